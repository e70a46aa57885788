/*
 * What we have and want: good pieces, priorities, blocks of an earlier run,
 * and the sums for everybody else.
 */
#include <stdlib.h>
#include <string.h>

#include "picker_impl.h"

/* Bytes of the piece that are written. */
static uint64_t
written(const struct picker *p, uint32_t piece) REQUIRES(p->lock)
{
	const struct active *a = active_of(p, piece);
	uint64_t n = 0;

	if (p->pieces[piece].state == PIECE_GOOD)
		return picker_piece_length(p, piece);
	for (uint32_t i = 0; a && i < a->blocks; i++)
		if (a->slots[i].state == SLOT_DONE)
			n += block_bytes(p, piece, i);
	return n;
}

static void
make_good(struct picker *p, uint32_t piece) REQUIRES(p->lock)
{
	struct piece *q = &p->pieces[piece];
	uint32_t length = picker_piece_length(p, piece);
	bool wanted = q->priority > 0;

	if (q->state == PIECE_GOOD)
		return;
	if (q->state == PIECE_ACTIVE) {
		active_drop(p, active_of(p, piece));
	} else {
		p->got_bytes += length;
		if (wanted) {
			p->wanted_left -= length;
			order_remove(p, piece);
		}
	}
	q->state = PIECE_GOOD;
	askable_update(p, piece);
	bitfield_set(&p->good, piece);
	p->goods++;
	p->good_bytes += length;
	if (wanted) {
		p->missing--;
		askers_useful(p, piece, false);
	}
}

void
picker_set_have(struct picker *p, uint32_t piece)
{
	if (piece >= p->n)
		return;
	mutex_lock(&p->lock);
	make_good(p, piece);
	mutex_unlock(&p->lock);
}

void
picker_piece_good(struct picker *p, uint32_t piece)
{
	picker_set_have(p, piece);
}

size_t
picker_piece_bad(struct picker *p, uint32_t piece, bool exclusive)
{
	struct active *a;
	size_t n = 0;

	if (piece >= p->n)
		return 0;
	mutex_lock(&p->lock);
	a = active_of(p, piece);
	if (a && active_is_full(a)) {
		n = a->done;
		for (uint32_t i = 0; i < a->blocks; i++)
			if (a->slots[i].state == SLOT_DONE)
				active_undo(p, a, i);
		active_forget(p, a);
		a->exclusive = exclusive;
		a->failures += exclusive;
		active_settle(p, a);
	}
	mutex_unlock(&p->lock);
	return n;
}

/* Whoever sent the rest of a piece stands for its padding, too. */
static uint64_t
sender(const struct active *a, size_t block)
{
	if (a->slots[block].state == SLOT_DONE)
		return a->slots[block].source;
	for (size_t i = 0; a->slots[block].state == SLOT_PADDING &&
	     i < a->blocks; i++)
		if (a->slots[i].state == SLOT_DONE)
			return a->slots[i].source;
	return 0;
}

size_t
picker_contributors(struct picker *p, uint32_t piece, uint64_t *out,
		    size_t max)
{
	const struct active *a;
	size_t n;

	if (piece >= p->n)
		return 0;
	n = picker_piece_blocks(p, piece);
	mutex_lock(&p->lock);
	a = active_of(p, piece);
	for (size_t i = 0; i < n && i < max; i++)
		out[i] = a ? sender(a, i) : 0;
	mutex_unlock(&p->lock);
	return n;
}

/* ---- priorities ---- */

static void
change_wanted(struct picker *p, uint32_t piece, bool wanted)
    REQUIRES(p->lock)
{
	uint64_t length = picker_piece_length(p, piece);
	uint64_t left = length - written(p, piece);
	bool good = p->pieces[piece].state == PIECE_GOOD;

	if (wanted) {
		p->wanted_bytes += length;
		p->wanted_left += left;
		p->missing += !good;
	} else {
		p->wanted_bytes -= length;
		p->wanted_left -= left;
		p->missing -= !good;
	}
	if (!good)
		askers_useful(p, piece, wanted);
}

static void
change_priority(struct picker *p, uint32_t piece, uint8_t priority)
    REQUIRES(p->lock)
{
	struct piece *q = &p->pieces[piece];
	uint8_t was = q->priority;

	if ((was > 0) != (priority > 0))
		change_wanted(p, piece, priority > 0);
	if (q->state == PIECE_OPEN && was > 0)
		order_remove(p, piece);
	if (bitfield_get(&p->askable, piece)) {
		bitfield_unset(&p->askable, piece);
		p->level[was]--;
		p->askables--;
	}
	q->priority = priority;
	if (q->state == PIECE_OPEN && priority > 0)
		order_add(p, piece);
	if (q->state == PIECE_ACTIVE)
		active_update(p, active_of(p, piece));
	askable_update(p, piece);
}

void
picker_set_priority(struct picker *p, uint32_t piece, unsigned priority)
{
	if (piece >= p->n)
		return;
	if (priority > PICKER_PRIORITY_MAX)
		priority = PICKER_PRIORITY_MAX;
	mutex_lock(&p->lock);
	if (p->pieces[piece].priority != priority)
		change_priority(p, piece, (uint8_t)priority);
	mutex_unlock(&p->lock);
}

/* ---- blocks of an earlier run ---- */

int
picker_restore_partial(struct picker *p, uint32_t piece,
		       const struct bitfield *blocks)
{
	struct active *a;
	int status = 0;

	if (piece >= p->n || blocks->count != picker_piece_blocks(p, piece) ||
	    bitfield_full(blocks) ||
	    bitfield_next(blocks, NULL, 0) == blocks->count)
		return 0;
	mutex_lock(&p->lock);
	if (p->pieces[piece].state != PIECE_OPEN)
		goto out;
	a = active_begin(p, piece);
	if (!a) {
		status = -1;
		goto out;
	}
	for (uint32_t i = 0; i < a->blocks; i++) {
		if (!bitfield_get(blocks, i) || !active_is_free(a, i))
			continue;
		active_take(a, i);
		active_done(p, a, i, 0);
	}
	/* Nobody would notice that it waits for its verdict. */
	if (active_is_full(a))
		active_reopen(p, a);
	else
		active_settle(p, a);
out:
	mutex_unlock(&p->lock);
	return status;
}

static int
export_one(const struct picker *p, const struct active *a,
	   struct picker_partial *out) REQUIRES(p->lock)
{
	(void)p;
	out->piece = a->piece;
	if (bitfield_init(&out->blocks, a->blocks) < 0)
		return -1;
	for (uint32_t i = 0; i < a->blocks; i++)
		if (a->slots[i].state == SLOT_DONE ||
		    a->slots[i].state == SLOT_PADDING)
			bitfield_set(&out->blocks, i);
	return 0;
}

int
picker_export_partials(struct picker *p, struct picker_partial **out,
		       size_t *n, struct error *e)
{
	struct picker_partial *list;
	size_t count = 0;
	int status = 0;

	mutex_lock(&p->lock);
	list = calloc((size_t)p->actives + 1, sizeof(*list));
	if (!list)
		status = -1;
	for (uint32_t i = 0; status == 0 && i < p->actives; i++) {
		if (p->active[i]->done == 0)
			continue;
		status = export_one(p, p->active[i], &list[count]);
		if (status == 0)
			count++;
	}
	mutex_unlock(&p->lock);
	if (status < 0) {
		picker_free_partials(list, count);
		return error_memory(e);
	}
	*out = list;
	*n = count;
	return 0;
}

void
picker_free_partials(struct picker_partial *partials, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bitfield_release(&partials[i].blocks);
	free(partials);
}

/* ---- sums ---- */

bool
picker_have(struct picker *p, uint32_t piece)
{
	bool yes;

	if (piece >= p->n)
		return false;
	mutex_lock(&p->lock);
	yes = p->pieces[piece].state == PIECE_GOOD;
	mutex_unlock(&p->lock);
	return yes;
}

uint32_t
picker_have_count(struct picker *p)
{
	uint32_t n;

	mutex_lock(&p->lock);
	n = p->goods;
	mutex_unlock(&p->lock);
	return n;
}

uint32_t
picker_missing(struct picker *p)
{
	uint32_t n;

	mutex_lock(&p->lock);
	n = p->missing;
	mutex_unlock(&p->lock);
	return n;
}

void
picker_totals(struct picker *p, struct picker_totals *out)
{
	mutex_lock(&p->lock);
	out->good_bytes = p->good_bytes;
	out->got_bytes = p->got_bytes;
	out->wanted_bytes = p->wanted_bytes;
	out->wanted_left = p->wanted_left;
	out->missing = p->missing;
	out->active = p->actives;
	mutex_unlock(&p->lock);
}

uint64_t
picker_steps(struct picker *p)
{
	uint64_t n;

	mutex_lock(&p->lock);
	n = p->steps;
	mutex_unlock(&p->lock);
	return n;
}
