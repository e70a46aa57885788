/*
 * Which blocks a peer is given, in this order:
 *
 *   1. free blocks of pieces that it began
 *   2. pieces that were begun and lost their peer
 *   3. a new piece, if the peer gets through it soon or few are begun
 *   4. runs of other peers' pieces, far from where those are at work
 *   5. a new piece after all
 *   6. the endgame (picker_endgame.c)
 *
 * Every walk looks at LOOK entries at most.  Where that was not enough, the
 * peer's bitfield is scanned a word at a time against the pieces that have a
 * free block, from a random place, and the rarest of the first hits is taken:
 * nothing that a peer could give is missed, however rare its pieces are.
 */
#include <string.h>

#include "picker_impl.h"

#define LOOK 512
#define HITS 32
#define WORD 64
#define RANDOM_PIECES 4		/* the first ones */
#define RANDOM_TRIES 16
#define WHOLE_PIECE_S 20	/* fast enough to do a piece alone */
#define WINDOW_MIN 8		/* pieces, sequential */

/* ---- blocks of a piece ---- */

static uint32_t
first_free(const struct active *a)
{
	for (uint32_t w = 0; w * WORD < a->blocks; w++)
		if (a->free_bits[w])
			return w * WORD +
			    (uint32_t)__builtin_ctzll(a->free_bits[w]);
	return NONE;
}

uint32_t
choose_edge(const struct active *a, uint32_t from, bool is_free)
{
	uint64_t mask = ~0ULL << from % WORD;

	for (uint32_t w = from / WORD; w * WORD < a->blocks; w++) {
		uint64_t v = a->free_bits[w];

		v = (is_free ? v : ~v) & mask;
		if (v) {
			from = w * WORD + (uint32_t)__builtin_ctzll(v);
			return from < a->blocks ? from : a->blocks;
		}
		mask = ~0ULL;
	}
	return a->blocks;
}

/* Where somebody who joins in begins: at the longest run of free blocks; in
 * its middle, if another one is on the way through it. */
static uint32_t
longest_run(const struct active *a)
{
	uint32_t best = NONE, length = 0;

	for (uint32_t i = choose_edge(a, 0, true); i < a->blocks;) {
		uint32_t end = choose_edge(a, i, false);

		if (end - i > length) {
			best = i;
			length = end - i;
		}
		i = end < a->blocks ? choose_edge(a, end, true) : end;
	}
	if (best != NONE && best > 0 && a->slots[best - 1].askers > 0)
		best += length / 2;
	return best;
}

/* Gives blocks of the piece until the caller has enough. */
static void
take_blocks(struct picker *p, struct active *a, struct take *t)
    REQUIRES(p->lock)
{
	struct picker_peer *pp = t->pp;
	uint32_t i = pp->run_block;

	if (pp->run_piece != a->piece)
		i = NONE;
	while (t->n < t->max && a->free > 0) {
		if (!active_is_free(a, i))
			i = a->owner == pp ? first_free(a) : longest_run(a);
		t->out[t->n++] = block_at(p, a->piece, i);
		slot_ask(p, pp, a, i++, t->ask->now);
		p->steps++;
	}
	pp->run_piece = a->piece;
	pp->run_block = i;
	active_update(p, a);
}

/* ---- which piece ---- */

/* Of the ready pieces with (or without) an owner, one for this peer: first
 * by priority; without, the one furthest on; else what would take longest. */
static bool
better(const struct picker *p, const struct active *a,
       const struct active *best) REQUIRES(p->lock)
{
	unsigned mine = p->pieces[a->piece].priority;
	unsigned its = p->pieces[best->piece].priority;

	if (mine != its)
		return mine > its;
	if (!a->owner || !best->owner)
		return a->done > best->done;
	return (double)a->free * (double)(best->owner->rate_bps + 1) >
	    (double)best->free * (double)(a->owner->rate_bps + 1);
}

/* A bounded scan over everything that the peer has and that is open (or
 * begun), for when the walk did not get far enough. */
static uint32_t
scan(struct picker *p, const struct picker_peer *pp, uint8_t state)
    REQUIRES(p->lock)
{
	uint32_t words = (p->n + WORD - 1) / WORD;
	uint32_t start = picker_random(p, words) * WORD;
	uint32_t best = NONE, hits = 0;

	for (uint32_t k = 0; k < words && hits < HITS; k++) {
		uint32_t i = start + k * WORD;
		uint64_t mine = ~0ULL, open;

		if (i / WORD >= words)
			i -= words * WORD;
		p->steps++;
		memcpy(&open, p->askable.bits + i / 8, sizeof(open));
		if (!pp->seed)
			memcpy(&mine, pp->have.bits + i / 8, sizeof(mine));
		if (!(open & mine))
			continue;
		for (uint32_t end = i + WORD; i < end && i < p->n; i++) {
			const struct piece *q = &p->pieces[i];

			if (!bitfield_get(&p->askable, i) ||
			    !asker_has(pp, i) || q->state != state ||
			    (state == PIECE_ACTIVE &&
			    !sole_may_join(active_of(p, i), pp)))
				continue;
			hits++;
			if (best == NONE ||
			    q->priority > p->pieces[best].priority ||
			    (q->priority == p->pieces[best].priority &&
			    q->copies < p->pieces[best].copies))
				best = i;
		}
	}
	return best;
}

static struct active *
find_ready(struct picker *p, const struct picker_peer *pp, bool owned)
    REQUIRES(p->lock)
{
	uint32_t n = p->readies < LOOK ? p->readies : LOOK;
	uint32_t k, hits = 0, i;
	struct active *best = NULL;

	if (p->readies == 0)
		return NULL;
	k = picker_random(p, p->readies);
	for (; n > 0 && hits < HITS; n--, k++) {
		struct active *a = p->ready[k % p->readies];

		p->steps++;
		if ((a->owner != NULL) != owned || !asker_has(pp, a->piece) ||
		    !sole_may_join(a, pp))
			continue;
		hits++;
		if (!best || better(p, a, best))
			best = a;
	}
	if (!best && p->readies > LOOK && owned) {
		i = scan(p, pp, PIECE_ACTIVE);
		best = i == NONE ? NULL : active_of(p, i);
	}
	return best;
}

static uint32_t
random_open(struct picker *p, const struct picker_peer *pp,
	    unsigned priority) REQUIRES(p->lock)
{
	for (unsigned k = 0; k < RANDOM_TRIES; k++) {
		uint32_t i = picker_random(p, p->n);

		p->steps++;
		if (p->pieces[i].state == PIECE_OPEN &&
		    p->pieces[i].priority == priority && asker_has(pp, i))
			return i;
	}
	return NONE;
}

/* The rarest open piece of the highest priority that the peer has. */
static uint32_t
find_open(struct picker *p, const struct picker_peer *pp)
    REQUIRES(p->lock)
{
	uint32_t key = order_next(p, 0), looked = 0, i = NONE;

	if (key == NONE)
		return NONE;
	if (p->goods < RANDOM_PIECES)
		i = random_open(p, pp, order_priority(p, key));
	if (i != NONE)
		return i;
	for (; key != NONE; key = order_next(p, key + 1)) {
		for (i = p->buckets[key].head; i != NONE;
		    i = p->pieces[i].next) {
			p->steps++;
			if (asker_has(pp, i))
				return i;
			if (++looked == LOOK)
				return scan(p, pp, PIECE_OPEN);
		}
	}
	return NONE;
}

struct active *
choose_begin(struct picker *p, struct picker_peer *pp, uint32_t piece)
{
	struct active *a;

	if (piece == NONE)
		return NULL;
	a = active_begin(p, piece);
	if (a)
		active_own(p, a, pp);
	return a;
}

/* May the peer begin another piece rather than join in? */
static bool
may_begin(const struct picker *p, const struct picker_peer *pp)
    REQUIRES(p->lock)
{
	uint64_t soon = p->rate_sum * WHOLE_PIECE_S / p->piece_length + 4;
	uint64_t most = (uint64_t)p->busies * 3 / 2 + 8;

	if (p->active_cost >= ACTIVE_COST_SOFT)
		return false;
	if (pp->rate_bps * WHOLE_PIECE_S >= p->piece_length)
		return true;
	return p->actives - p->run_actives < (soon < most ? soon : most);
}

struct active *
choose_own(struct picker *p, struct picker_peer *pp)
{
	struct active *a;

	while ((a = pp->own_head) && a->ready != NONE) {
		if (asker_has(pp, a->piece))
			return a;
		active_forget(p, a);
	}
	return NULL;
}

/* In order within a window, whoever began the piece. */
static struct active *
find_sequential(struct picker *p, struct picker_peer *pp, unsigned priority)
    REQUIRES(p->lock)
{
	uint32_t window = p->busies > WINDOW_MIN ? p->busies : WINDOW_MIN;
	uint32_t first = NONE, i = p->cursor[priority];

	for (unsigned k = 0; k < LOOK; k++, i++) {
		i = (uint32_t)bitfield_next(&p->askable, NULL, i);
		p->steps++;
		if (i >= p->n || (first != NONE && i - first > window))
			return NULL;
		if (p->pieces[i].priority != priority)
			continue;
		if (first == NONE)
			first = p->cursor[priority] = i;
		if (!asker_has(pp, i))
			continue;
		if (p->pieces[i].state == PIECE_OPEN)
			return choose_begin(p, pp, i);
		if (sole_may_join(active_of(p, i), pp))
			return active_of(p, i);
	}
	if (first == NONE)
		p->cursor[priority] = i;
	return NULL;
}

static struct active *
next_sequential(struct picker *p, struct picker_peer *pp)
    REQUIRES(p->lock)
{
	for (unsigned level = PICKER_PRIORITY_MAX; level > 0; level--) {
		struct active *a = NULL;

		if (p->level[level] > 0)
			a = find_sequential(p, pp, level);
		if (a)
			return a;
	}
	return NULL;
}

static struct active *
begin_open(struct picker *p, struct picker_peer *pp) REQUIRES(p->lock)
{
	return choose_begin(p, pp, order_suggested(p, pp, find_open(p, pp)));
}

static struct active *
next_piece(struct picker *p, struct picker_peer *pp) REQUIRES(p->lock)
{
	struct active *a = choose_own(p, pp);
	uint32_t key;

	if (!a && p->sequential)
		a = next_sequential(p, pp);
	if (a)
		return a;
	key = order_next(p, 0);
	if (p->orphans > 0)
		a = find_ready(p, pp, false);
	if (a && (key == NONE ||
	    p->pieces[a->piece].priority >= order_priority(p, key)))
		return a;
	if (may_begin(p, pp)) {
		struct active *fresh = begin_open(p, pp);

		if (fresh || a)
			return fresh ? fresh : a;
		return find_ready(p, pp, true);
	}
	if (!a)
		a = find_ready(p, pp, true);
	return a ? a : begin_open(p, pp);
}

/* ---- the calls ---- */

void
choose_rate(struct picker *p, struct picker_peer *pp, uint64_t rate_bps)
{
	if (rate_bps > UINT32_MAX)
		rate_bps = UINT32_MAX;
	p->rate_sum = p->rate_sum - pp->rate_bps + rate_bps;
	pp->rate_bps = rate_bps;
}

size_t
picker_reserve(struct picker *p, struct picker_peer *pp,
	       const struct picker_ask *ask, struct block *out)
{
	struct take t = { .pp = pp, .ask = ask, .out = out };
	struct active *a;

	mutex_lock(&p->lock);
	choose_rate(p, pp, ask->rate_bps);
	if (!asker_interesting(p, pp) || pp->live < pp->requested)
		goto out;
	t.max = asker_room(pp, ask->max);
	while (t.n < t.max && (a = next_piece(p, pp)) != NULL) {
		if (!a->owner)
			active_own(p, a, pp);
		else if (!sole_may_take(a, pp))
			sole_seize(p, a, pp);
		take_blocks(p, a, &t);
	}
	if (t.n < t.max && ask->endgame_ok)
		endgame_take(p, &t);
out:
	mutex_unlock(&p->lock);
	return t.n;
}

size_t
picker_reserve_piece(struct picker *p, struct picker_peer *pp,
		     uint32_t piece, const struct picker_ask *ask,
		     struct block *out)
{
	struct take t = { .pp = pp, .ask = ask, .out = out };
	struct active *a;

	if (piece >= p->n)
		return 0;
	mutex_lock(&p->lock);
	choose_rate(p, pp, ask->rate_bps);
	if (!bitfield_get(&p->askable, piece) || !asker_has(pp, piece) ||
	    pp->live < pp->requested)
		goto out;
	a = active_of(p, piece);
	if (!a)
		a = choose_begin(p, pp, piece);
	if (!a || !sole_may_take(a, pp))
		goto out;
	if (!a->owner)
		active_own(p, a, pp);
	t.max = asker_room(pp, ask->max);
	take_blocks(p, a, &t);
out:
	mutex_unlock(&p->lock);
	return t.n;
}
