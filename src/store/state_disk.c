/*
 * The state of a torrent against what lies on the disk.
 */
#include <string.h>

#include "meta/metainfo.h"
#include "state_inside.h"
#include "store/layout.h"

static void
mark_whole(struct state *s, const struct layout *l)
{
	size_t first, count, k;

	for (size_t i = 0; i < s->whole.count; i++) {
		layout_file_pieces(l, i, &first, &count);
		for (k = first; k < first + count; k++)
			if (!bitfield_get(&s->have, k) &&
			    !bitfield_get(&s->unchecked, k))
				break;
		if (k == first + count)
			bitfield_set(&s->whole, i);
		else
			bitfield_unset(&s->whole, i);
	}
}

/* A write that comes in between is seen by the next call, which at worst has
 * a file verified for nothing. */
int
state_stamp(struct state *s, struct files *f, struct files_stamp *known,
	    struct bitfield *strange, struct error *e)
{
	const struct layout *l = files_layout(f);

	mark_whole(s, l);
	for (size_t i = 0; i < s->stamp_count; i++) {
		bool touched = files_touched(f, i);

		if (files_stamp(f, i, &s->stamps[i], e) < 0)
			return -1;
		if (!known || state_same_stamp(&known[i], &s->stamps[i]))
			continue;
		if (touched) {
			known[i] = s->stamps[i];
			continue;
		}
		s->stamps[i] = known[i];
		if (strange && i < layout_count(l))
			layout_mark_file(l, i, strange);
	}
	return 0;
}

bool
state_knows(const struct state *s, struct files *f, size_t file)
{
	struct files_stamp now;

	return bitfield_get(&s->selected, file) && s->stamps[file].there &&
	       files_stamp(f, file, &now, NULL) == 0 &&
	       state_same_stamp(&now, &s->stamps[file]);
}

/* What blocks of a piece have on disk: from the first to before the second. */
static enum files_presence
blocks_presence(const struct state *s, struct files *f, uint32_t piece,
		const size_t span[2], bool *whole)
{
	uint64_t at = span[0] * STATE_BLOCK, end = span[1] * STATE_BLOCK;

	if (end > s->piece_length)
		end = s->piece_length;
	return files_presence_whole(f, piece * s->piece_length + at, end - at,
				    whole);
}

/* A run of blocks that it has is mostly as it was: one look is enough, where
 * each may ask a server. */
static void
drop_absent_run(const struct state *s, struct files *f,
		struct state_partial *p, const size_t run[2])
{
	enum files_presence found;
	bool whole;

	found = blocks_presence(s, f, p->piece, run, &whole);
	if (whole)
		return;
	for (size_t k = run[0]; k < run[1]; k++) {
		const size_t one[2] = {k, k + 1};

		if (found == FILES_HOLE ||
		    blocks_presence(s, f, p->piece, one, &whole) != FILES_DATA)
			bitfield_unset(&p->blocks, k);
	}
}

void
state_drop_absent(struct state *s, struct files *f, const _Atomic bool *stop)
{
	for (size_t i = 0; i < s->partial_count; i++) {
		struct state_partial *p = &s->partials[i];
		size_t run[2] = {0, 0};

		while ((run[0] = bitfield_next(&p->blocks, NULL, run[1])) <
		       p->blocks.count) {
			if (stop && atomic_load(stop))
				return;
			run[1] = run[0] + 1;
			while (run[1] < p->blocks.count &&
			       bitfield_get(&p->blocks, run[1]))
				run[1]++;
			drop_absent_run(s, f, p, run);
		}
	}
}

/* A file that is not kept has nothing that could be somebody else's. */
void
state_drop_changed(struct state *s, struct files *f)
{
	const struct layout *l = files_layout(f);
	size_t first, count;

	for (size_t i = 0; bitfield_ones(&s->damaged) > 0 &&
			   i < layout_count(l); i++) {
		enum layout_fate fate = layout_fate(l, i);

		if ((fate != LAYOUT_KEPT && fate != LAYOUT_SPARE) ||
		    state_knows(s, f, i))
			continue;
		layout_file_pieces(l, i, &first, &count);
		for (size_t k = first; k < first + count; k++)
			bitfield_unset(&s->damaged, k);
	}
}

/* What is found out about the pieces, in a walk over the files. */
struct compare {
	const struct state *s;		/* or NULL */
	struct files *f;
	const struct layout *l;
	struct files_stamp *known;	/* gets how they look; or NULL */
	struct files_stamp side;
	bool side_same;
	bool all_same;
	struct bitfield missing;	/* a file of it is not there */
	struct bitfield changed;	/* a file of it looks otherwise */
};

/* The verified pieces that reach beyond the end of a file. */
static void
mark_beyond(struct compare *c, size_t file, uint64_t size)
{
	const struct metainfo *m = layout_metainfo(c->l);
	const struct metainfo_file *f = &m->files[file];

	if (size >= f->length)
		return;
	for (size_t i = (size_t)((f->offset + size) / m->piece_length);
	     (i = bitfield_next(&c->s->have, NULL, i)) < c->s->have.count &&
	     (uint64_t)i * m->piece_length < f->offset + f->length; i++) {
		bitfield_set(&c->changed, i);
		c->all_same = false;
	}
}

static int
compare_kept(struct compare *c, size_t file, struct files_stamp *now,
	     struct error *e)
{
	if (files_stamp(c->f, file, now, e) < 0)
		return -1;
	/* It is to go where it belongs, if it is whole, and to be cut: what
	 * was not wanted before may be of any length. */
	if (layout_fate(c->l, file) == LAYOUT_KEPT &&
	    (files_is_aside(c->f, file) ||
	     now->size > layout_metainfo(c->l)->files[file].length))
		c->all_same = false;
	if (c->s && bitfield_get(&c->s->selected, file) &&
	    state_same_stamp(now, &c->s->stamps[file])) {
		if (!now->there)
			layout_mark_file(c->l, file, &c->missing);
		else
			mark_beyond(c, file, now->size);
		return 0;
	}
	c->all_same = false;
	layout_mark_file(c->l, file, now->there ? &c->changed : &c->missing);
	return 0;
}

/* A file that is not kept has its share of wanted pieces in the side file,
 * if it was not kept before either. */
static void
compare_skipped(struct compare *c, size_t file)
{
	bool same = c->side_same && c->s &&
		    !bitfield_get(&c->s->selected, file);

	if (!c->side.there)
		layout_mark_file(c->l, file, &c->missing);
	else if (!same)
		layout_mark_file(c->l, file, &c->changed);
	if (!same)
		c->all_same = false;
}

static int
compare_files(struct compare *c, struct error *e)
{
	size_t count = layout_count(c->l);

	if (files_stamp(c->f, count, &c->side, e) < 0)
		return -1;
	c->side_same = c->s && state_same_stamp(&c->side, &c->s->stamps[count]);
	for (size_t i = 0; i < count; i++) {
		enum layout_fate fate = layout_fate(c->l, i);
		struct files_stamp now = {0};

		if ((fate == LAYOUT_KEPT || fate == LAYOUT_SPARE) &&
		    compare_kept(c, i, &now, e) < 0)
			return -1;
		if (fate == LAYOUT_SKIPPED)
			compare_skipped(c, i);
		if (c->known)
			c->known[i] = now;
	}
	if (c->known)
		c->known[count] = c->side;
	return 0;
}

int
state_compare(const struct state *s, struct files *f, struct bitfield *have,
	      struct bitfield *check, struct files_stamp *known,
	      struct error *e)
{
	struct compare c = {
		.s = s, .f = f, .l = files_layout(f), .known = known
	};
	int status = -1;

	bitfield_zero(have);
	bitfield_zero(check);
	c.all_same = s != NULL;
	if (known && !s)
		memset(known, 0, (layout_count(c.l) + 1) * sizeof(*known));
	if (files_fresh(f) && !files_in_place(f) && !s)
		return 0;
	if (bitfield_init(&c.missing, have->count) < 0 ||
	    bitfield_init(&c.changed, have->count) < 0) {
		error_memory(e);
		goto out;
	}
	if (compare_files(&c, e) < 0)
		goto out;
	/* `have` holds all that is stored until its turn comes. */
	layout_stored_pieces(c.l, have);
	for (size_t i = 0; (i = bitfield_next(have, &c.missing, i)) <
			   have->count; i++) {
		if (bitfield_get(&c.changed, i) ||
		    (s && bitfield_get(&s->unchecked, i) &&
		     !bitfield_get(&s->have, i)))
			bitfield_set(check, i);
	}
	for (size_t i = 0; (i = bitfield_next(have, NULL, i)) < have->count;
	     i++) {
		if (!s || !bitfield_get(&s->have, i) ||
		    bitfield_get(&c.missing, i) || bitfield_get(check, i))
			bitfield_unset(have, i);
	}
	status = c.all_same;
out:
	bitfield_release(&c.missing);
	bitfield_release(&c.changed);
	return status;
}
