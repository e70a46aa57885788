#include "maker_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "meta/metainfo.h"
#include "store/layout.h"

/* Is the safe path, "NAME/folder/file" or "NAME", the one on this disk? */
static bool
is_kept(const struct layout *l, size_t file, char *raw)
{
	const struct metainfo *m = layout_metainfo(l);
	char path[LAYOUT_PATH_MAX];
	const char *rest = path;

	if (layout_path(l, file, path, sizeof(path)) == 0)
		return false;
	metainfo_path(&m->files[file], raw);
	if (m->multi) {
		size_t n = strlen(m->name);

		if (strncmp(path, m->name, n) != 0 || path[n] != '/')
			return false;
		rest += n + 1;
	}
	return strcmp(rest, raw) == 0;
}

static void
warn(const struct maker_options *o, const char *first, size_t count)
{
	char name[256], more[48] = "";
	char line[384];

	if (count > 1)
		snprintf(more, sizeof(more), " and %zu more", count - 1);
	text_clean(name, sizeof(name), first);
	snprintf(line, sizeof(line), "'%s'%s: not a safe name, btget will "
		 "look for it under another", name, more);
	o->warning(o->ctx, line);
}

int
maker_check_names(const struct buffer *torrent,
		  const struct maker_options *options, struct error *e)
{
	struct metainfo *m = metainfo_parse(torrent->data, torrent->used, e);
	struct layout *l = NULL;
	char *raw = malloc(METAINFO_PATH_TEXT), *first = NULL;
	size_t count = 0;
	int status;

	if (m)
		l = layout_new(m, NULL, e);
	status = l ? 0 : -1;
	if (!l && e && e->kind == ERROR_TORRENT) {
		e->kind = ERROR_STORAGE;
		error_prefix(e, "nobody could read the torrent");
	}
	for (size_t i = 0; l && raw && i < layout_count(l); i++) {
		if (layout_fate(l, i) != LAYOUT_KEPT || is_kept(l, i, raw))
			continue;
		if (count++ == 0)
			first = strdup(raw);
	}
	if (first && options->warning)
		warn(options, first, count);
	free(first);
	free(raw);
	layout_free(l);
	metainfo_free(m);
	return status;
}
