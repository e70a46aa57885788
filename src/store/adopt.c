#include "store/adopt.h"

#include "meta/metainfo.h"
#include "store/layout.h"

/* Whether a file that a piece lies in is known: asked for the same piece by
 * each of many small files in it. */
struct answer {
	size_t piece;
	bool known;
};

static bool
piece_is_known(const struct state *s, struct files *f, size_t piece,
	       struct answer *last)
{
	const struct layout *l = files_layout(f);
	struct layout_cursor c;
	struct span span;

	if (last->piece == piece)
		return last->known;
	last->piece = piece;
	last->known = false;
	if (!bitfield_get(&s->have, piece))
		return false;
	layout_seek(l, &c, piece * s->piece_length, s->piece_length);
	while (!last->known && layout_next(l, &c, &span))
		last->known = span.kind == SPAN_FILE &&
			      state_knows(s, f, span.file);
	return last->known;
}

/* Nothing of it is there but what was put aside. */
static bool
is_new(const struct state *s, struct files *f, size_t file)
{
	struct files_stamp now;

	return layout_fate(files_layout(f), file) == LAYOUT_KEPT &&
	       !bitfield_get(&s->selected, file) &&
	       files_stamp(f, file, &now, NULL) == 0 &&
	       (!now.there || files_is_aside(f, file));
}

void
adopt_find(const struct state *s, struct files *f, struct bitfield *found)
{
	struct answer last = {.piece = SIZE_MAX};
	size_t first, count;

	for (size_t i = 0; i < found->count; i++) {
		layout_file_pieces(files_layout(f), i, &first, &count);
		if (count > 0 && is_new(s, f, i) &&
		    (piece_is_known(s, f, first, &last) ||
		     piece_is_known(s, f, first + count - 1, &last)))
			bitfield_set(found, i);
	}
}

void
adopt_add_missing(struct files *f, struct bitfield *found)
{
	struct files_stamp now;

	for (size_t i = 0; i < found->count; i++)
		if (layout_fate(files_layout(f), i) == LAYOUT_KEPT &&
		    files_stamp(f, i, &now, NULL) == 0 && !now.there)
			bitfield_set(found, i);
}

/* Would nothing have to be written before it? */
static bool
is_in_reach(struct files *f, size_t file, uint64_t offset)
{
	struct files_stamp now;

	return !files_lacks_holes(f) || offset == 0 ||
	       (files_stamp(f, file, &now, NULL) == 0 && now.there &&
		offset <= now.size);
}

/* What a piece has of a file. */
static int
adopt_part(const struct state *s, struct files *f, size_t file, size_t piece,
	   struct error *e)
{
	const struct metainfo_file *mf =
	    &layout_metainfo(files_layout(f))->files[file];
	uint64_t from = piece * s->piece_length;
	uint64_t end = from + s->piece_length;

	if (!bitfield_get(&s->have, piece))
		return 0;
	if (from < mf->offset)
		from = mf->offset;
	if (end > mf->offset + mf->length)
		end = mf->offset + mf->length;
	if (!is_in_reach(f, file, from - mf->offset))
		return 0;
	return files_take_side(f, from, end - from, e);
}

/* With `begins`, of those alone that have nothing at their end. */
static int
adopt(const struct state *s, struct files *f, const struct bitfield *found,
      bool begins, struct error *e)
{
	size_t first, count;

	for (size_t i = 0; (i = bitfield_next(found, NULL, i)) < found->count;
	     i++) {
		bool end;

		layout_file_pieces(files_layout(f), i, &first, &count);
		end = count > 1 && bitfield_get(&s->have, first + count - 1);
		if (begins && end)
			continue;
		if (adopt_part(s, f, i, first, e) < 0 ||
		    (end && adopt_part(s, f, i, first + count - 1, e) < 0))
			return -1;
	}
	return 0;
}

int
adopt_files(const struct state *s, struct files *f,
	    const struct bitfield *found, struct error *e)
{
	return adopt(s, f, found, false, e);
}

int
adopt_begins(const struct state *s, struct files *f,
	     const struct bitfield *found, struct error *e)
{
	return adopt(s, f, found, true, e);
}

void
adopt_narrow(const struct state *s, struct files *f,
	     const struct bitfield *found, struct bitfield *check)
{
	size_t first, count;

	for (size_t i = 0; (i = bitfield_next(found, NULL, i)) < found->count;
	     i++) {
		layout_file_pieces(files_layout(f), i, &first, &count);
		if (files_is_aside(f, i))
			continue;	/* there is more of it */
		for (size_t k = first; k < first + count; k++)
			if (!bitfield_get(&s->have, k))
				bitfield_unset(check, k);
	}
}
