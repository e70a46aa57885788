/*
 * The rules that hold whenever the lock is free, each looked up the slow way.
 */
#include <stdlib.h>

#include "picker_impl.h"

#define RULE(holds) do { if (!(holds)) return #holds; } while (0)

static const char *
check_order(const struct picker *p) REQUIRES(p->lock)
{
	uint32_t listed = 0, wanted_open = 0;

	for (uint32_t key = order_next(p, 0); key != NONE;
	    key = order_next(p, key + 1)) {
		uint32_t prev = NONE, i = p->buckets[key].head;

		RULE(i != NONE);
		for (; i != NONE; prev = i, i = p->pieces[i].next) {
			RULE(p->pieces[i].state == PIECE_OPEN);
			RULE(p->pieces[i].priority > 0);
			RULE(order_key(p, i) == key);
			RULE(p->pieces[i].prev == prev);
			listed++;
		}
		RULE(p->buckets[key].tail == prev);
	}
	for (uint32_t i = 0; i < p->n; i++)
		wanted_open += p->pieces[i].state == PIECE_OPEN &&
		    p->pieces[i].priority > 0;
	RULE(listed == wanted_open);
	return NULL;
}

static const char *
check_pieces(const struct picker *p) REQUIRES(p->lock)
{
	uint64_t good = 0, wanted = 0, got = 0, left = 0;
	uint32_t goods = 0, missing = 0, askables = 0;

	for (uint32_t i = 0; i < p->n; i++) {
		const struct piece *q = &p->pieces[i];
		const struct active *a = active_of(p, i);
		uint64_t length = picker_piece_length(p, i), done = 0;
		uint32_t copies = 0;
		bool free_block = q->state == PIECE_OPEN;

		for (uint32_t k = 0; k < p->partials; k++)
			copies += asker_has(p->partial[k].peer, i);
		RULE(copies == q->copies);
		if (a)
			free_block = a->free > 0;
		for (uint32_t k = 0; a && k < a->blocks; k++)
			if (a->slots[k].state == SLOT_DONE)
				done += block_bytes(p, i, k);
		if (q->state == PIECE_GOOD)
			done = length;
		RULE(bitfield_get(&p->good, i) == (q->state == PIECE_GOOD));
		RULE(bitfield_get(&p->askable, i) ==
		    (free_block && q->priority > 0));
		RULE(!bitfield_get(&p->askable, i) ||
		    i >= p->cursor[q->priority]);
		askables += bitfield_get(&p->askable, i);
		got += done;
		if (q->state == PIECE_GOOD) {
			goods++;
			good += length;
		}
		if (q->priority > 0) {
			missing += q->state != PIECE_GOOD;
			wanted += length;
			left += length - done;
		}
	}
	RULE(goods == p->goods && missing == p->missing);
	RULE(askables == p->askables);
	RULE(good == p->good_bytes && got == p->got_bytes);
	RULE(wanted == p->wanted_bytes && left == p->wanted_left);
	return NULL;
}

/* The peer has exactly one live request for the block. */
static bool
has_request(const struct picker_peer *pp, uint32_t piece, uint32_t block)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < pp->requested; i++) {
		const struct request *r = &pp->requests[pp->first + i];

		n += !r->cancelled && r->piece == piece && r->block == block;
	}
	return n == 1;
}

static const char *
check_slots(const struct picker *p, const struct active *a)
    REQUIRES(p->lock)
{
	uint32_t asks = 0, free_blocks = 0, done = 0, writing = 0;
	uint32_t padding = 0;

	for (uint32_t i = 0; i < a->blocks; i++) {
		const struct slot *s = &a->slots[i];

		RULE(s->askers <= ASKERS_MAX);
		RULE(s->askers == 0 || s->state == SLOT_LACKING ||
		     s->state == SLOT_WRITING);
		for (unsigned k = 0; k < s->askers; k++) {
			const struct picker_peer *pp =
				p->by_index[s->asker[k]];

			RULE(has_request(pp, a->piece, i));
			RULE(!a->exclusive || !a->owner || a->owner == pp);
		}
		RULE(active_is_free(a, i) ==
		    (s->state == SLOT_LACKING && s->askers == 0));
		free_blocks += active_is_free(a, i);
		done += s->state == SLOT_DONE;
		padding += s->state == SLOT_PADDING;
		writing += s->state == SLOT_WRITING;
		asks += s->askers;
	}
	RULE(asks == a->asks && free_blocks == a->free);
	RULE(done == a->done && writing == a->writing);
	RULE(padding == a->padding);
	return NULL;
}

static const char *
check_actives(const struct picker *p) REQUIRES(p->lock)
{
	uint32_t orphans = 0, readies = 0, runs = 0;

	for (uint32_t i = 0; i < p->actives; i++) {
		const struct active *a = p->active[i];
		const char *broken = check_slots(p, a);
		bool ready = a->free > 0 &&
		    p->pieces[a->piece].priority > 0;

		if (broken)
			return broken;
		RULE(a->index == i && active_of(p, a->piece) == a);
		RULE(a->asks || a->writing || a->done || a->exclusive);
		RULE((a->ready != NONE) == ready);
		RULE(!ready || p->ready[a->ready] == a);
		RULE(!a->leaving || a->owner);
		RULE(a->orphan == (ready && !a->owner));
		orphans += a->orphan;
		readies += ready;
		runs += a->owner && a->owner->runs;
	}
	RULE(runs == p->run_actives);
	RULE(orphans == p->orphans && readies == p->readies);
	return NULL;
}

static const char *
check_peer(const struct picker *p, const struct picker_peer *pp)
    REQUIRES(p->lock)
{
	const struct active *prev = NULL;
	uint32_t useful = 0, live = 0, count = 0;

	for (uint32_t i = 0; i < p->n; i++) {
		count += asker_has(pp, i);
		useful += asker_has(pp, i) && p->pieces[i].priority > 0 &&
		    p->pieces[i].state != PIECE_GOOD;
	}
	RULE(count == pp->count);
	RULE(asker_interesting(p, pp) == (useful > 0));
	RULE(pp->seed || useful == pp->useful);
	RULE((pp->partial != NONE) == (pp->have.bits != NULL));
	for (uint32_t i = 0; i < pp->requested; i++) {
		const struct request *r = &pp->requests[pp->first + i];
		const struct active *a = active_of(p, r->piece);

		live += !r->cancelled;
		RULE(r->cancelled || (a &&
		    slot_has_asker(&a->slots[r->block], pp)));
	}
	RULE(live == pp->live && (live > 0) == (pp->busy != NONE));
	for (const struct active *a = pp->own_head; a; a = a->own_next) {
		RULE(a->owner == pp && a->own_prev == prev);
		RULE(!prev || prev->ready != NONE || a->ready == NONE);
		prev = a;
	}
	RULE(pp->own_tail == prev);
	return NULL;
}

static const char *
check_peers(const struct picker *p) REQUIRES(p->lock)
{
	uint32_t peers = 0;
	uint64_t rates = 0;

	for (uint32_t i = 0; i < p->peer_size; i++) {
		const struct picker_peer *pp = p->by_index[i];
		const char *broken;

		if (!pp)
			continue;
		broken = check_peer(p, pp);
		if (broken)
			return broken;
		peers++;
		rates += pp->rate_bps;
	}
	RULE(peers + p->free_indexes == p->peer_size);
	RULE(rates == p->rate_sum);
	return NULL;
}

const char *
picker_check(struct picker *p)
{
	const char *broken;

	mutex_lock(&p->lock);
	broken = check_order(p);
	if (!broken)
		broken = check_pieces(p);
	if (!broken)
		broken = check_actives(p);
	if (!broken)
		broken = check_peers(p);
	mutex_unlock(&p->lock);
	return broken;
}
