/*
 * What layout.c (which bytes lie where) and layout_names.c (under which
 * name) know of one another.
 */
#ifndef BTGET_STORE_LAYOUT_INSIDE_H
#define BTGET_STORE_LAYOUT_INSIDE_H

#include "meta/metainfo.h"
#include "store/layout.h"

struct layout {
	const struct metainfo *m;
	uint8_t *fates;			/* enum layout_fate, by file */
	struct bitfield marked;		/* files whose name clashed */
	uint64_t size;
	uint64_t side_size;
	bool has_side;
	bool multi;
	struct folder_names names;	/* that the disk takes */
	char name[LAYOUT_NAME_MAX + 1];
	size_t name_length;
};

/* Makes the torrent's name of the raw one. */
void layout_name_torrent(struct layout *l, const char *raw);

/* Marks the files whose paths clash. */
int layout_find_clashes(struct layout *l, struct error *e);

#endif
