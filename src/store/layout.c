#include "store/layout.h"

#include <stdlib.h>

#include "layout_inside.h"

static uint8_t
decide_fate(const struct layout *l, size_t file,
	    const struct bitfield *selected, const struct bitfield *spare)
{
	const struct metainfo_file *mf = &l->m->files[file];

	if (mf->flags & METAINFO_PAD)
		return LAYOUT_PADDING;
	if (mf->flags & METAINFO_SYMLINK)
		return LAYOUT_LINK;
	if (!selected || bitfield_get(selected, file))
		return LAYOUT_KEPT;
	return spare && bitfield_get(spare, file) ? LAYOUT_SPARE
						  : LAYOUT_SKIPPED;
}

/* Of a file that is skipped, only the first and the last piece may be stored:
 * what they have of it. */
static uint64_t
side_bytes(const struct layout *l, size_t file, const struct bitfield *pieces)
{
	const struct metainfo_file *mf = &l->m->files[file];
	uint64_t end = mf->offset + mf->length, size = l->m->piece_length, n = 0;
	size_t first, count, last;

	layout_file_pieces(l, file, &first, &count);
	if (count == 0)
		return 0;
	last = first + count - 1;
	if (count > 1 && bitfield_get(pieces, last))
		n = end - last * size;
	if (bitfield_get(pieces, first))
		n += (count > 1 ? (first + 1) * size : end) - mf->offset;
	return n;
}

static int
measure_side(struct layout *l, struct error *e)
{
	struct bitfield wanted = { NULL, 0 }, stored = { NULL, 0 };

	if (bitfield_init(&wanted, l->m->piece_count) < 0 ||
	    bitfield_init(&stored, l->m->piece_count) < 0) {
		bitfield_release(&wanted);
		return error_memory(e);
	}
	layout_wanted_pieces(l, &wanted);
	layout_stored_pieces(l, &stored);
	for (size_t i = 0; i < l->m->file_count; i++) {
		if (l->fates[i] != LAYOUT_SKIPPED)
			continue;
		l->has_side = l->has_side || side_bytes(l, i, &stored) > 0;
		l->side_size += side_bytes(l, i, &wanted);
	}
	bitfield_release(&stored);
	bitfield_release(&wanted);
	return 0;
}

void
layout_mark_file(const struct layout *l, size_t file, struct bitfield *out)
{
	size_t first, count;

	layout_file_pieces(l, file, &first, &count);
	while (count > 0)
		bitfield_set(out, first + --count);
}

struct layout *
layout_new_on(const struct metainfo *m, const struct bitfield *selected,
	      const struct bitfield *spare, struct folder_names names,
	      struct error *e)
{
	struct layout *l = calloc(1, sizeof(*l));

	if (!l) {
		error_memory(e);
		return NULL;
	}
	l->m = m;
	l->names = names;
	if (selected && selected->count != m->file_count) {
		error_set(e, ERROR_INTERNAL,
			  "a selection of %zu files for a torrent of %lu",
			  selected->count, (unsigned long)m->file_count);
		goto fail;
	}
	l->fates = calloc(m->file_count ? m->file_count : 1, 1);
	if (!l->fates || bitfield_init(&l->marked, m->file_count) < 0) {
		error_memory(e);
		goto fail;
	}
	for (size_t i = 0; i < m->file_count; i++) {
		l->fates[i] = decide_fate(l, i, selected, spare);
		if (l->fates[i] == LAYOUT_KEPT)
			l->size += m->files[i].length;
	}
	l->multi = m->multi;
	layout_name_torrent(l, m->name);
	if (l->multi && layout_find_clashes(l, e) < 0)
		goto fail;
	if (selected && measure_side(l, e) < 0)
		goto fail;
	return l;
fail:
	layout_free(l);
	return NULL;
}

void
layout_use_folder(struct layout *l)
{
	l->multi = true;
	layout_name_torrent(l, l->m->folder);
}

struct layout *
layout_new_over(const struct metainfo *m, const struct bitfield *selected,
		const struct bitfield *spare, struct error *e)
{
	const struct folder_names most = {false, LAYOUT_NAME_MAX};

	return layout_new_on(m, selected, spare, most, e);
}

struct layout *
layout_new(const struct metainfo *m, const struct bitfield *selected,
	   struct error *e)
{
	return layout_new_over(m, selected, NULL, e);
}

void
layout_free(struct layout *l)
{
	if (!l)
		return;
	bitfield_release(&l->marked);
	free(l->fates);
	free(l);
}

const struct metainfo *
layout_metainfo(const struct layout *l)
{
	return l->m;
}

size_t
layout_count(const struct layout *l)
{
	return l->m->file_count;
}

enum layout_fate
layout_fate(const struct layout *l, size_t file)
{
	return (enum layout_fate)l->fates[file];
}

bool
layout_multi(const struct layout *l)
{
	return l->multi;
}

bool
layout_has_side(const struct layout *l)
{
	return l->has_side;
}

uint64_t
layout_side_size(const struct layout *l)
{
	return l->side_size;
}

const char *
layout_name(const struct layout *l)
{
	return l->name;
}

uint64_t
layout_size(const struct layout *l)
{
	return l->size;
}

/* --- spans --- */

void
layout_seek(const struct layout *l, struct layout_cursor *c, uint64_t offset,
	    uint64_t length)
{
	uint64_t total = l->m->file_count ? l->m->length : 0;

	c->at = offset < total ? offset : total;
	c->end = length < total - c->at ? c->at + length : total;
	c->file = c->at < c->end ? metainfo_file_at(l->m, 0, c->at) : 0;
}

/* Where the next file begins, or the stream ends. */
static uint64_t
next_offset(const struct layout *l, size_t file)
{
	return file + 1 < l->m->file_count ? l->m->files[file + 1].offset
					   : l->m->length;
}

bool
layout_next(const struct layout *l, struct layout_cursor *c,
	    struct span *out)
{
	const struct metainfo_file *mf;
	uint64_t end;

	if (c->at >= c->end)
		return false;
	mf = &l->m->files[c->file];
	out->file = c->file;
	out->offset = c->at - mf->offset;
	if (out->offset >= mf->length) {
		/* The gap behind a file of v2. */
		out->kind = SPAN_PAD;
		end = next_offset(l, c->file);
	} else {
		end = mf->offset + mf->length;
		if (l->fates[c->file] == LAYOUT_KEPT ||
		    l->fates[c->file] == LAYOUT_SPARE)
			out->kind = SPAN_FILE;
		else if (l->fates[c->file] == LAYOUT_SKIPPED)
			out->kind = SPAN_SIDE;
		else
			out->kind = SPAN_PAD;
	}
	if (out->kind == SPAN_SIDE)
		out->offset = c->at;
	if (end > c->end)
		end = c->end;
	out->length = end - c->at;
	c->at = end;
	if (c->at < c->end && next_offset(l, c->file) <= c->at) {
		c->file++;
		if (next_offset(l, c->file) <= c->at)
			c->file = metainfo_file_at(l->m, c->file, c->at);
	}
	return true;
}

void
layout_file_pieces(const struct layout *l, size_t file, size_t *first,
		   size_t *count)
{
	const struct metainfo_file *mf = &l->m->files[file];
	uint64_t size = l->m->piece_length;

	*first = (size_t)(mf->offset / size);
	*count = 0;
	if (mf->length > 0)
		*count = (size_t)((mf->offset + mf->length - 1) / size -
				  *first + 1);
}

static void
add_pieces(const struct layout *l, enum layout_fate fate,
	   struct bitfield *out)
{
	for (size_t i = 0; i < l->m->file_count; i++)
		if (l->fates[i] == fate)
			layout_mark_file(l, i, out);
}

void
layout_wanted_pieces(const struct layout *l, struct bitfield *out)
{
	bitfield_zero(out);
	add_pieces(l, LAYOUT_KEPT, out);
}

void
layout_stored_pieces(const struct layout *l, struct bitfield *out)
{
	layout_wanted_pieces(l, out);
	add_pieces(l, LAYOUT_SPARE, out);
}
