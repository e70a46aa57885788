/* The first line is a list of files, the others are paths. */
#include <stdlib.h>
#include <string.h>

#include "meta/metainfo.h"
#include "meta/selection.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILES_MAX 64

static void
must(bool condition)
{
	if (!condition)
		abort();
}

/* Lines become strings, '/' a NUL. */
static void
make_files(struct metainfo *m, char *text)
{
	char *rest = NULL;

	for (char *path = strtok_r(text, "\n", &rest);
	     path && m->file_count < FILES_MAX;
	     path = strtok_r(NULL, "\n", &rest)) {
		struct metainfo_file *f = &m->files[m->file_count++];
		size_t n = strlen(path);

		f->path_size = (uint16_t)(n < 60000 ? n + 1 : 60000);
		path[f->path_size - 1] = '\0';
		for (char *c = path; *c; c++)
			if (*c == '/')
				*c = '\0';
		f->path = path;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct metainfo_file files[FILES_MAX] = {{0}};
	struct metainfo m = {.files = files};
	char *text = malloc(size + 1), *end;
	struct selection *s;
	struct bitfield out;
	struct error e;

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	end = strchr(text, '\n');
	if (end)
		*end = '\0';
	s = selection_parse(text, &e);
	if (!s)
		must(e.kind == ERROR_USAGE);
	if (s && end) {
		make_files(&m, end + 1);
		must(bitfield_init(&out, m.file_count) == 0);
		if (selection_apply(s, &m, &out, &e) == 0)
			must(bitfield_ones(&out) > 0);
		else
			must(bitfield_ones(&out) == 0);
		selection_unused(s, &m);
		bitfield_release(&out);
	}
	selection_free(s);
	free(text);
	return 0;
}
