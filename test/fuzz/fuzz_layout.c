/*
 * Goal: whatever a torrent says, its files get names that lie inside of the
 * folder, differ from one another and from all folders, and are the same
 * each time; and every byte of the stream has one place.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "meta/metainfo.h"
#include "store/layout.h"

#define FILES_MAX 500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static void
check_component(const char *at, size_t n)
{
	must(n > 0 && n <= LAYOUT_NAME_MAX);
	must(!(n == 1 && at[0] == '.'));
	must(!(n == 2 && at[0] == '.' && at[1] == '.'));
	for (size_t i = 0; i < n; i++)
		must((uint8_t)at[i] >= 0x20 && at[i] != 0x7f);
	must(text_is_utf8(at, n));
}

static void
check_path(const struct layout *l, const char *path, size_t length)
{
	const char *name = layout_name(l);
	size_t top = strlen(name);

	must(length == strlen(path) && length < LAYOUT_PATH_MAX);
	must(strncmp(path, name, top) == 0);
	must(path[top] == (layout_multi(l) ? '/' : '\0'));
	while (*path) {
		size_t n = strcspn(path, "/");

		check_component(path, n);
		path += n;
		if (*path == '/')
			must(*++path != '\0');
	}
}

static void
check_name(const struct layout *l)
{
	const char *name = layout_name(l);
	size_t n = strlen(name);

	check_component(name, n);
	must(!strchr(name, '/'));
	must(n + strlen(".part") <= LAYOUT_NAME_MAX);
	must(strcmp(name, ".btget") != 0);
	must(n < 5 || strcmp(name + n - 5, ".part") != 0);
}

/* Neither the same, nor one a folder of the other. */
static void
check_pair(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);
	size_t n = na < nb ? na : nb;

	if (memcmp(a, b, n) != 0)
		return;
	must(na != nb);
	must((na < nb ? b : a)[n] != '/');
}

static void
check_names(const struct layout *l, const struct layout *again)
{
	static char path[LAYOUT_PATH_MAX], same[LAYOUT_PATH_MAX];
	char *paths[FILES_MAX];
	size_t count = 0;

	check_name(l);
	for (size_t i = 0; i < layout_count(l) && count < FILES_MAX; i++) {
		enum layout_fate fate = layout_fate(l, i);

		if (fate == LAYOUT_PADDING || fate == LAYOUT_LINK)
			continue;
		check_path(l, path, layout_path(l, i, path, sizeof(path)));
		layout_path(again, i, same, sizeof(same));
		must(strcmp(path, same) == 0);
		paths[count++] = strdup(path);
	}
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < i; j++)
			check_pair(paths[i], paths[j]);
	}
	for (size_t i = 0; i < count; i++)
		free(paths[i]);
}

static void
check_spans(const struct layout *l)
{
	const struct metainfo *m = layout_metainfo(l);
	struct layout_cursor c;
	struct span s;
	uint64_t at = 0;

	layout_seek(l, &c, 0, m->length);
	while (layout_next(l, &c, &s)) {
		must(s.length > 0 && s.length <= m->length - at);
		if (s.kind == SPAN_FILE)
			must(s.offset == 0 &&
			     s.length == m->files[s.file].length);
		if (s.kind == SPAN_SIDE)
			must(s.offset == at);
		at += s.length;
	}
	must(at == m->length);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct metainfo *m = metainfo_parse(data, size, NULL);
	struct bitfield odd = { NULL, 0 };
	struct layout *l, *again = NULL;

	if (!m)
		return 0;
	bitfield_init(&odd, m->file_count);
	for (size_t i = 1; i < m->file_count; i += 2)
		bitfield_set(&odd, i);
	l = layout_new(m, NULL, NULL);
	if (l) {
		again = layout_new(m, &odd, NULL);
		must(again != NULL);
		check_names(l, again);
		check_spans(l);
		check_spans(again);
	}
	if (l && m->folder) {
		layout_use_folder(l);
		layout_use_folder(again);
		check_names(l, again);
	}
	layout_free(l);
	layout_free(again);
	bitfield_release(&odd);
	metainfo_free(m);
	return 0;
}
