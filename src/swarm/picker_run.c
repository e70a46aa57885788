/*
 * Long runs of blocks, for those to whom a request costs a round trip.
 *
 * Peers take the rarest pieces, here and there; what they leave between them
 * are gaps.  A run begins where the longest gap does, or in its middle if
 * somebody is on the way through it, and goes from piece to piece as long as
 * nobody else works on the next one.  Pieces that no peer has come first: of
 * all others the peers can take care.
 *
 * Source: BEP 19.
 */
#include "picker_impl.h"

#define GAP_LOOK 32768		/* pieces looked at for a gap */
#define JOIN_MAX 64		/* blocks, where others are at work */

struct gap {
	uint32_t start;
	uint32_t length;	/* pieces */
	bool lonely;		/* no peer has them */
};

static bool
is_fresh(const struct picker *p, const struct picker_peer *pp, uint32_t i,
	 unsigned priority) REQUIRES(p->lock)
{
	return i < p->n && p->pieces[i].state == PIECE_OPEN &&
	    p->pieces[i].priority == priority && asker_has(pp, i);
}

static bool
gap_better(const struct gap *a, const struct gap *b)
{
	if (a->length == 0 || b->length == 0)
		return a->length > 0;
	if (a->lonely != b->lonely)
		return a->lonely;
	return a->length > b->length;
}

static struct gap
longest_gap(struct picker *p, const struct picker_peer *pp,
	    unsigned priority) REQUIRES(p->lock)
{
	uint32_t looks = p->n < GAP_LOOK ? p->n : GAP_LOOK;
	uint32_t i = p->n > GAP_LOOK ? picker_random(p, p->n) : 0;
	struct gap best = {0}, gap = {0};

	for (; looks > 0; looks--, i = i + 1 < p->n ? i + 1 : 0) {
		bool fresh = is_fresh(p, pp, i, priority);
		bool lonely = fresh && p->pieces[i].copies == 0;

		p->steps++;
		if (fresh && gap.length > 0 && i > 0 && lonely == gap.lonely) {
			gap.length++;
			continue;
		}
		if (gap_better(&gap, &best))
			best = gap;
		gap = (struct gap){i, fresh, lonely};
	}
	return gap_better(&gap, &best) ? gap : best;
}

/* Is somebody else at work at the end of the piece before? */
static bool
is_followed(const struct picker *p, const struct picker_peer *pp,
	    uint32_t piece) REQUIRES(p->lock)
{
	const struct active *a = piece > 0 ? active_of(p, piece - 1) : NULL;

	return a && a->owner && a->owner != pp && a->asks > 0;
}

/* The piece that a run of so many blocks begins with, or NONE. */
static uint32_t
find_start(struct picker *p, struct picker_peer *pp, size_t blocks)
    REQUIRES(p->lock)
{
	uint32_t key = order_next(p, 0), next = pp->run_piece + 1;
	unsigned priority;
	struct gap gap;

	if (key == NONE)
		return NONE;
	priority = order_priority(p, key);
	if (pp->run_piece != NONE && is_fresh(p, pp, next, priority) &&
	    (p->pieces[next].copies == 0 ||
	    p->pieces[p->buckets[key].head].copies > 0))
		return next;
	gap = longest_gap(p, pp, priority);
	if (gap.length == 0)
		return NONE;
	if (gap.length > 2 * blocks / p->piece_blocks &&
	    is_followed(p, pp, gap.start))
		gap.start += gap.length / 2;
	return gap.start;
}

/* A piece that was begun and is its own, or nobody's and may be taken over. */
static struct active *
take_over(struct picker *p, struct picker_peer *pp, uint32_t piece)
    REQUIRES(p->lock)
{
	struct active *b = piece < p->n ? active_of(p, piece) : NULL;

	if (!b || b->ready == NONE || !asker_has(pp, piece))
		return NULL;
	if (b->owner == pp)
		return b;
	if (b->owner || !sole_may_take(b, pp))
		return NULL;
	active_own(p, b, pp);
	return b;
}

/* The piece behind, if it can be taken from its first block on. */
static struct active *
next_in_line(struct picker *p, struct picker_peer *pp,
	     const struct active *a) REQUIRES(p->lock)
{
	uint32_t next = a->piece + 1;
	struct active *b = next < p->n ? active_of(p, next) : NULL;

	if (is_fresh(p, pp, next, p->pieces[a->piece].priority))
		return choose_begin(p, pp, next);
	return b && active_is_free(b, 0) ? take_over(p, pp, next) : NULL;
}

/* In order: the first piece that can be had, be it begun. */
static struct active *
begin_in_order(struct picker *p, struct picker_peer *pp) REQUIRES(p->lock)
{
	uint32_t key = order_next(p, 0);
	unsigned priority;
	struct active *a;

	if (key == NONE)
		return NULL;
	priority = order_priority(p, key);
	for (uint32_t i = p->cursor[priority]; i < p->n; i++) {
		if (is_fresh(p, pp, i, priority))
			return choose_begin(p, pp, i);
		a = p->pieces[i].priority == priority ? take_over(p, pp, i)
						      : NULL;
		if (a)
			return a;
	}
	return NULL;
}

/* Takes the free blocks from `from` up to the first that is not. */
static size_t
take_free(struct picker *p, struct picker_peer *pp, struct active *a,
	  const struct picker_ask *ask, struct block *out)
    REQUIRES(p->lock)
{
	uint32_t i = choose_edge(a, 0, true);
	size_t n = 0;

	for (; n < ask->max && active_is_free(a, i); i++) {
		out[n++] = block_at(p, a->piece, i);
		slot_ask(p, pp, a, i, ask->now);
		p->steps++;
	}
	while (i < a->blocks && a->slots[i].state == SLOT_PADDING)
		i++;
	pp->run_piece = a->piece;
	pp->run_block = i;
	active_update(p, a);
	return n;
}

static size_t
take_run(struct picker *p, struct picker_peer *pp,
	 const struct picker_ask *ask, struct block *out) REQUIRES(p->lock)
{
	struct active *a = p->sequential ? begin_in_order(p, pp) : NULL;
	struct picker_ask rest = *ask;
	size_t n = 0;

	if (!a)
		a = choose_own(p, pp);
	if (!a)
		a = choose_begin(p, pp, find_start(p, pp, ask->max));
	while (a && n < ask->max) {
		rest.max = ask->max - n;
		n += take_free(p, pp, a, &rest, out + n);
		if (pp->run_block < a->blocks)
			break;
		a = n < ask->max ? next_in_line(p, pp, a) : NULL;
	}
	return n;
}

/* What it owned before counts from now on. */
static void
set_runs(struct picker *p, struct picker_peer *pp) REQUIRES(p->lock)
{
	if (pp->runs)
		return;
	pp->runs = true;
	for (const struct active *a = pp->own_head; a; a = a->own_next)
		p->run_actives++;
}

size_t
picker_reserve_run(struct picker *p, struct picker_peer *pp,
		   const struct picker_ask *ask, struct block *out)
{
	struct picker_ask mine = *ask;
	size_t n = 0;

	mutex_lock(&p->lock);
	set_runs(p, pp);
	choose_rate(p, pp, ask->rate_bps);
	if (ask->max > 0 && asker_interesting(p, pp) &&
	    pp->live == pp->requested) {
		mine.max = asker_room(pp, ask->max);
		n = take_run(p, pp, &mine, out);
	}
	mutex_unlock(&p->lock);
	if (n > 0 || ask->max == 0)
		return n;
	mine.max = ask->max < JOIN_MAX ? ask->max : JOIN_MAX;
	return picker_reserve(p, pp, &mine, out);
}
