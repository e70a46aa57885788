#include "store/borrow.h"

#include <errno.h>
#include <stdlib.h>

#include "meta/metainfo.h"
#include "store/folder.h"
#include "store/layout.h"
#include "store/verify.h"

#define STEP (256u << 10)
#define BLOCK (64u << 10)	/* the most that a byte takes on the side */

/* The files as they would be with some more of them in use. */
struct view {
	struct layout *layout;
	struct files *files;
};

static void
view_release(struct view *v)
{
	files_free(v->files);
	layout_free(v->layout);
	*v = (struct view){NULL, NULL};
}

static int
view_open(struct view *v, const struct borrow *b,
	  const struct bitfield *lenders, struct error *e)
{
	const struct layout *l = files_layout(b->to);
	struct bitfield selected, spare;

	if (bitfield_init(&selected, lenders->count) < 0)
		return error_memory(e);
	if (bitfield_init(&spare, lenders->count) < 0) {
		bitfield_release(&selected);
		return error_memory(e);
	}
	bitfield_copy(&spare, lenders);
	for (size_t i = 0; i < lenders->count; i++) {
		if (layout_fate(l, i) == LAYOUT_KEPT)
			bitfield_set(&selected, i);
		if (layout_fate(l, i) == LAYOUT_SPARE)
			bitfield_set(&spare, i);
	}
	v->layout = layout_new_on(layout_metainfo(l), &selected, &spare,
				  folder_names(b->folder), e);
	if (v->layout)
		v->files = files_open(v->layout, b->folder, b->options, e);
	bitfield_release(&selected);
	bitfield_release(&spare);
	return v->files ? 0 : -1;
}

/* The pieces that a file shares with others, as far as they are wanted and not
 * had. */
static size_t
lacking_ends(const struct layout *l, const struct bitfield *lacking,
	     size_t file, size_t out[2])
{
	size_t first, count, n = 0;

	layout_file_pieces(l, file, &first, &count);
	if (count > 0 && bitfield_get(lacking, first))
		out[n++] = first;
	if (count > 1 && bitfield_get(lacking, first + count - 1))
		out[n++] = first + count - 1;
	return n;
}

static void
find_lenders(const struct layout *l, const struct bitfield *lacking,
	     struct bitfield *lenders)
{
	size_t ends[2];

	for (size_t i = 0; i < lenders->count; i++)
		if (layout_fate(l, i) == LAYOUT_SKIPPED &&
		    lacking_ends(l, lacking, i, ends) > 0)
			bitfield_set(lenders, i);
}

/* Those that are not there are none; returns how many that were. */
static size_t
drop_absent(struct files *f, struct bitfield *lenders)
{
	struct files_stamp now;
	size_t n = 0;

	for (size_t i = 0; (i = bitfield_next(lenders, NULL, i)) <
			   lenders->count; i++)
		if (files_stamp(f, i, &now, NULL) < 0 || !now.there) {
			bitfield_unset(lenders, i);
			n++;
		}
	return n;
}

/* What files that are not there have of a piece may be on the side: they are
 * left out of the view. */
static int
open_lenders(struct view *v, const struct borrow *b, struct bitfield *lenders,
	     struct error *e)
{
	if (view_open(v, b, lenders, e) < 0)
		return -1;
	if (drop_absent(v->files, lenders) == 0)
		return 0;
	view_release(v);
	return bitfield_ones(lenders) > 0 ? view_open(v, b, lenders, e) : 0;
}

/* Leaves in `pieces` what is right; what cannot be read is not. */
static int
verify_pieces(struct files *f, const _Atomic bool *stop,
	      struct bitfield *pieces, struct error *e)
{
	struct verify_options options = {.pieces = pieces, .stop = stop};
	struct error why = {.kind = ERROR_NONE};
	struct verify *v = verify_start(f, &options, e);
	int status = -1;

	if (!v)
		return -1;
	if (verify_join(v, &why) < 0 && why.kind == ERROR_STOPPED) {
		*e = why;
	} else {
		bitfield_zero(pieces);
		verify_results(v, pieces, NULL);
		status = 0;
	}
	verify_free(v);
	return status;
}

/* Somebody else was faster: what is lacking can be fetched once there is room
 * again. */
static bool
is_full(const struct error *e)
{
	return e && (e->sys == ENOSPC || e->sys == EDQUOT);
}

/* 1 when all came; 0 when it could not be read. */
static int
copy(struct files *from, struct files *to, const struct span *s, char *buf,
     struct error *e)
{
	uint64_t at = s->offset, end = at + s->length;

	for (size_t n; at < end; at += n) {
		n = end - at < STEP ? (size_t)(end - at) : STEP;
		if (files_read(from, at, buf, n, NULL) < 0)
			return 0;
		if (files_write(to, at, buf, n, e) < 0)
			return -1;
	}
	return 1;
}

static int
copy_piece(const struct borrow *b, struct files *from,
	   const struct bitfield *lenders, size_t piece, char *buf,
	   struct error *e)
{
	const struct layout *l = files_layout(b->to);
	uint64_t size = layout_metainfo(l)->piece_length;
	struct layout_cursor c;
	struct span s;
	int status = 1;

	layout_seek(l, &c, piece * size, size);
	while (status > 0 && layout_next(l, &c, &s))
		if (s.kind == SPAN_SIDE && bitfield_get(lenders, s.file))
			status = copy(from, b->to, &s, buf, e);
	return status;
}

static int
copy_all(struct borrow *b, struct files *from, const struct bitfield *lenders,
	 const struct bitfield *pieces, struct bitfield *whole,
	 struct error *e)
{
	char *buf = aligned_alloc(FILES_ALIGN, STEP);
	int status = buf ? 0 : error_memory(e);

	for (size_t i = 0; status >= 0 &&
			   (i = bitfield_next(pieces, NULL, i)) <
			   pieces->count; i++) {
		if (atomic_load(b->stop))
			status = error_set(e, ERROR_STOPPED, "stopped");
		else
			status = copy_piece(b, from, lenders, i, buf, e);
		if (status > 0)
			bitfield_set(whole, i);
	}
	free(buf);
	if (status < 0 && is_full(e)) {
		error_clear(e);
		b->from = pieces->count;
		status = 0;
	}
	return status < 0 ? -1 : 0;
}

/* The pieces for which the lenders may have what they lack. */
static void
find_pieces(const struct layout *l, const struct bitfield *lacking,
	    const struct bitfield *lenders, struct bitfield *pieces)
{
	size_t ends[2];

	for (size_t i = 0; (i = bitfield_next(lenders, NULL, i)) <
			   lenders->count; i++)
		for (size_t n = lacking_ends(l, lacking, i, ends); n > 0;)
			bitfield_set(pieces, ends[--n]);
}

static void
unset_before(struct bitfield *b, size_t end)
{
	for (size_t i = 0; (i = bitfield_next(b, NULL, i)) < b->count &&
			   i < end; i++)
		bitfield_unset(b, i);
}

static void
unset_from(struct bitfield *b, size_t i)
{
	for (; (i = bitfield_next(b, NULL, i)) < b->count; i++)
		bitfield_unset(b, i);
}

static uint64_t
bytes_of(const struct layout *l, const struct bitfield *pieces)
{
	uint64_t sum = 0;

	for (size_t i = 0; (i = bitfield_next(pieces, NULL, i)) <
			   pieces->count; i++)
		sum += metainfo_piece_size(layout_metainfo(l), (uint32_t)i);
	return sum;
}

/* The piece before which one call ends. */
static size_t
find_end(const struct layout *l, const struct bitfield *pieces,
	 uint64_t at_once)
{
	const struct metainfo *m = layout_metainfo(l);
	uint64_t left = at_once;
	bool any = false;
	size_t i;

	for (i = 0; (i = bitfield_next(pieces, NULL, i)) < pieces->count;
	     i++) {
		uint32_t size = metainfo_piece_size(m, (uint32_t)i);

		if (any && size > left)
			break;
		left -= size < left ? size : left;
		any = true;
	}
	return i;
}

/* Leaves in `lacking` the pieces to be looked at in this call. */
static void
narrow(struct borrow *b, struct bitfield *lacking, struct bitfield *lenders,
       struct bitfield *pieces)
{
	const struct layout *l = files_layout(b->to);

	unset_before(lacking, b->from);
	find_lenders(l, lacking, lenders);
	find_pieces(l, lacking, lenders, pieces);
	b->from = find_end(l, pieces, b->at_once);
	unset_from(pieces, b->from);
	bitfield_copy(lacking, pieces);
	bitfield_zero(pieces);
	bitfield_zero(lenders);
	find_lenders(l, lacking, lenders);
}

/* What a piece takes on the side, in whole blocks: those up to *counted are
 * taken already. */
static uint64_t
side_need(const struct layout *l, const struct bitfield *lenders,
	  size_t piece, uint64_t *counted)
{
	uint64_t size = layout_metainfo(l)->piece_length, need = 0;
	struct layout_cursor c;
	struct span s;

	layout_seek(l, &c, piece * size, size);
	while (layout_next(l, &c, &s)) {
		uint64_t at = s.offset / BLOCK * BLOCK;
		uint64_t end = (s.offset + s.length + BLOCK - 1) / BLOCK *
			       BLOCK;

		if (s.kind != SPAN_SIDE || !bitfield_get(lenders, s.file))
			continue;
		if (at < *counted)
			at = *counted;
		if (at < end) {
			need += end - at;
			*counted = end;
		}
	}
	return need;
}

/* Once it has filled the disk, the download could not go on. */
static void
keep_fitting(struct borrow *b, const struct bitfield *lenders,
	     uint64_t missing, struct bitfield *pieces)
{
	uint64_t left = files_room_left(b->to, missing, b->others);
	uint64_t counted = 0, need;

	for (size_t i = 0; (i = bitfield_next(pieces, NULL, i)) <
			   pieces->count; i++) {
		need = side_need(files_layout(b->to), lenders, i, &counted);
		if (need > left) {
			b->from = pieces->count;
			unset_from(pieces, i);
			return;
		}
		left -= need;
	}
}

static int
borrow(struct borrow *b, struct bitfield *lacking, struct bitfield *lenders,
       struct bitfield *pieces, struct bitfield *whole, struct error *e)
{
	const struct layout *l = files_layout(b->to);
	uint64_t missing = bytes_of(l, lacking);
	struct view view = {NULL, NULL};
	int status;

	narrow(b, lacking, lenders, pieces);
	if (bitfield_ones(lenders) == 0)
		return 0;
	status = open_lenders(&view, b, lenders, e);
	if (status == 0 && view.files) {
		find_pieces(l, lacking, lenders, pieces);
		status = verify_pieces(view.files, b->stop, pieces, e);
		if (status == 0 && bitfield_ones(pieces) > 0) {
			keep_fitting(b, lenders, missing, pieces);
			status = copy_all(b, view.files, lenders, pieces,
					  whole, e);
		}
	}
	view_release(&view);
	return status;
}

int
borrow_shares(struct borrow *b, struct bitfield *whole, struct error *e)
{
	const struct layout *l = files_layout(b->to);
	struct bitfield lacking = {NULL, 0}, pieces = {NULL, 0};
	struct bitfield lenders = {NULL, 0};
	int status;

	if (!layout_has_side(l) || files_fresh(b->to))
		return 0;
	if (bitfield_init(&lacking, whole->count) < 0 ||
	    bitfield_init(&pieces, whole->count) < 0 ||
	    bitfield_init(&lenders, layout_count(l)) < 0) {
		status = error_memory(e);
	} else {
		layout_wanted_pieces(l, &lacking);
		bitfield_remove(&lacking, b->have);
		status = borrow(b, &lacking, &lenders, &pieces, whole, e);
	}
	bitfield_release(&lacking);
	bitfield_release(&pieces);
	bitfield_release(&lenders);
	return status < 0 ? -1 : b->from < whole->count;
}
