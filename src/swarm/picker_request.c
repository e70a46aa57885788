/*
 * Open requests and the way of a block from request to disk.  A peer keeps
 * its requests in one list, oldest first, and each block its askers; the two
 * always agree, but for requests that are cancelled and stay in the list
 * until the peer has been told.
 */
#include <stdlib.h>
#include <string.h>

#include "picker_impl.h"

#define REQUESTS_START 16

size_t
asker_room(struct picker_peer *pp, size_t more)
{
	size_t need = pp->requested + more;
	size_t size = pp->size ? pp->size : REQUESTS_START;
	struct request *r;

	if (pp->first + need <= pp->size)
		return more;
	while (size < need + need / 2)
		size *= 2;
	if (size > pp->size) {
		r = realloc(pp->requests, size * sizeof(*r));
		if (!r)
			return pp->size - pp->first - pp->requested;
		pp->requests = r;
		pp->size = (uint32_t)size;
	}
	memmove(pp->requests, pp->requests + pp->first,
	    pp->requested * sizeof(*pp->requests));
	pp->first = 0;
	return more;
}

static void
set_busy(struct picker *p, struct picker_peer *pp)
{
	struct picker_peer *last;

	if (pp->live > 0 && pp->busy == NONE) {
		pp->busy = p->busies;
		p->busy[p->busies++] = pp;
	} else if (pp->live == 0 && pp->busy != NONE) {
		last = p->busy[--p->busies];
		p->busy[pp->busy] = last;
		last->busy = pp->busy;
		pp->busy = NONE;
	}
}

static uint32_t
find_request(const struct picker_peer *pp, uint32_t piece, uint32_t block)
{
	for (uint32_t i = 0; i < pp->requested; i++) {
		const struct request *r = &pp->requests[pp->first + i];

		if (r->block == block && r->piece == piece)
			return i;
	}
	return NONE;
}

/* Takes the i-th request off the list, moving the shorter side. */
static void
remove_request(struct picker *p, struct picker_peer *pp, uint32_t i)
{
	struct request *r = pp->requests + pp->first;

	if (!r[i].cancelled)
		pp->live--;
	pp->requested--;
	if (i <= pp->requested / 2) {
		memmove(r + 1, r, i * sizeof(*r));
		pp->first++;
	} else {
		memmove(r + i, r + i + 1, (pp->requested - i) * sizeof(*r));
	}
	set_busy(p, pp);
}

bool
slot_has_asker(const struct slot *s, const struct picker_peer *pp)
{
	for (unsigned i = 0; i < s->askers; i++)
		if (s->asker[i] == pp->index)
			return true;
	return false;
}

void
slot_ask(struct picker *p, struct picker_peer *pp, struct active *a,
	 uint32_t block, int64_t now)
{
	struct slot *s = &a->slots[block];
	struct request *r = pp->requests + pp->first + pp->requested++;

	if (s->askers == 0)
		active_take(a, block);
	if (a->owner == pp)
		a->leaving = false;
	s->asker[s->askers++] = pp->index;
	a->asks++;
	*r = (struct request){ .piece = a->piece, .when = now };
	r->block = block & INT32_MAX;
	pp->live++;
	if (pp->asked_at == 0)
		pp->asked_at = now;
	set_busy(p, pp);
}

/* True if the block became free. */
static bool
slot_unask(struct active *a, uint32_t block, const struct picker_peer *pp)
{
	struct slot *s = &a->slots[block];

	for (unsigned i = 0; i < s->askers; i++) {
		if (s->asker[i] != pp->index)
			continue;
		s->asker[i] = s->asker[--s->askers];
		a->asks--;
		if (s->askers > 0 || s->state != SLOT_LACKING)
			return false;
		active_give(a, block);
		return true;
	}
	return false;
}

/* Gives the i-th request back; 1 if its block became free. */
static size_t
give_back(struct picker *p, struct picker_peer *pp, uint32_t i)
    REQUIRES(p->lock)
{
	struct request r = pp->requests[pp->first + i];
	struct active *a;
	bool freed;

	remove_request(p, pp, i);
	if (r.cancelled)
		return 0;
	pp->late++;
	a = active_of(p, r.piece);
	freed = slot_unask(a, r.block, pp);
	active_settle(p, a);
	return freed;
}

size_t
asker_give_back(struct picker *p, struct picker_peer *pp, size_t keep)
{
	size_t freed = 0;

	for (uint32_t i = pp->requested; i-- > 0;) {
		if (pp->live <= keep && keep > 0)
			break;
		if (keep == 0 || !pp->requests[pp->first + i].cancelled)
			freed += give_back(p, pp, i);
	}
	if (pp->live == 0)
		pp->asked_at = 0;
	return freed;
}

/* Leaves a piece it began to others; an exclusive one only when nothing of
 * this peer is under way in it.  How many blocks that frees: others may have
 * those of a piece that is not exclusive anyway. */
static size_t
disown(struct picker *p, struct active *a, const struct picker_peer *pp)
    REQUIRES(p->lock)
{
	if (a->owner != pp)
		return 0;
	a->leaving = a->exclusive && (a->asks > 0 || a->writing > 0);
	if (a->leaving)
		return 0;
	active_forget(p, a);
	return a->exclusive ? a->free : 0;
}

/* A block was written: perhaps the last one of an owner that leaves. */
static bool
let_go(struct picker *p, struct active *a) REQUIRES(p->lock)
{
	if (!a->leaving || a->asks > 0 || a->writing > 0)
		return false;
	active_forget(p, a);
	return a->free > 0;
}

size_t
asker_disown(struct picker *p, struct picker_peer *pp)
{
	struct active *next;
	size_t freed = 0;

	for (struct active *a = pp->own_head; a; a = next) {
		next = a->own_next;
		freed += disown(p, a, pp);
	}
	return freed;
}

static void
stop_writing(struct picker *p, struct active *a, uint32_t block)
{
	struct slot *s = &a->slots[block];

	p->by_index[s->source]->writing--;
	a->writing--;
	s->state = SLOT_LACKING;
	s->source = 0;
	if (s->askers == 0)
		active_give(a, block);
}

size_t
asker_stop_writing(struct picker *p, struct picker_peer *pp)
{
	size_t stopped = 0;

	/* Downwards, since settling moves the last one to the gap. */
	for (uint32_t k = p->actives; pp->writing && k-- > 0;) {
		struct active *a = p->active[k];

		if (a->writing == 0)
			continue;
		for (uint32_t i = 0; i < a->blocks; i++) {
			if (a->slots[i].state != SLOT_WRITING ||
			    a->slots[i].source != pp->index)
				continue;
			stop_writing(p, a, i);
			stopped += a->slots[i].askers == 0;
		}
		active_settle(p, a);
	}
	return stopped;
}

/* The i-th one that asked for the block need not send it. */
static struct picker_peer *
cancel_asker(struct picker *p, const struct active *a, uint32_t block,
	     unsigned i)
{
	struct picker_peer *pp = p->by_index[a->slots[block].asker[i]];
	uint32_t at = find_request(pp, a->piece, block);

	pp->requests[pp->first + at].cancelled = 1;
	pp->live--;
	set_busy(p, pp);
	return pp;
}

void
slot_evict(struct picker *p, struct active *a, uint32_t block, unsigned i)
{
	struct slot *s = &a->slots[block];

	cancel_asker(p, a, block, i);
	s->asker[i] = s->asker[--s->askers];
	a->asks--;
}

int64_t
slot_asked_at(const struct picker *p, const struct active *a, uint32_t block,
	      unsigned i)
{
	const struct picker_peer *pp = p->by_index[a->slots[block].asker[i]];
	uint32_t at = find_request(pp, a->piece, block);

	return pp->requests[pp->first + at].when;
}

/* Everyone that asked for the block need not send it. */
static size_t
cancel_askers(struct picker *p, struct active *a, uint32_t block,
	      uint32_t *losers)
{
	struct slot *s = &a->slots[block];
	size_t n = s->askers;

	for (unsigned i = 0; i < n; i++) {
		const struct picker_peer *pp = cancel_asker(p, a, block, i);

		if (losers)
			losers[i] = pp->id;
	}
	a->asks -= s->askers;
	s->askers = 0;
	return n;
}

void
active_cancel(struct picker *p, struct active *a)
{
	for (uint32_t i = 0; i < a->blocks; i++)
		if (cancel_askers(p, a, i, NULL) > 0)
			active_give(a, i);
}

void
active_drop(struct picker *p, struct active *a)
{
	for (uint32_t i = 0; i < a->blocks; i++) {
		struct slot *s = &a->slots[i];

		cancel_askers(p, a, i, NULL);
		if (s->state == SLOT_WRITING)
			stop_writing(p, a, i);
		if (s->state != SLOT_DONE) {
			p->got_bytes += block_bytes(p, a->piece, i);
			if (p->pieces[a->piece].priority > 0)
				p->wanted_left -=
				    block_bytes(p, a->piece, i);
		}
	}
	active_end(p, a);
}

/* ---- a block's way ---- */

static bool
valid_block(const struct picker *p, const struct block *b)
{
	return b->piece < p->n && b->offset % PICKER_BLOCK == 0 &&
	    b->offset < picker_piece_length(p, b->piece) &&
	    b->length == block_bytes(p, b->piece, b->offset / PICKER_BLOCK);
}

/* The active piece that the block belongs to, begun if need be, or NULL. */
static struct active *
receiver(struct picker *p, const struct block *b) REQUIRES(p->lock)
{
	struct active *a = active_of(p, b->piece);

	if (a || p->pieces[b->piece].state == PIECE_GOOD ||
	    p->pieces[b->piece].priority == 0)
		return a;
	return active_begin(p, b->piece);
}

static bool
accept_locked(struct picker *p, struct picker_peer *pp,
	      const struct block *b) REQUIRES(p->lock)
{
	uint32_t block = b->offset / PICKER_BLOCK;
	uint32_t i = find_request(pp, b->piece, block);
	struct active *a;
	struct slot *s;

	if (i != NONE) {
		if (!pp->requests[pp->first + i].cancelled)
			slot_unask(active_of(p, b->piece), block, pp);
		remove_request(p, pp, i);
	} else if (pp->late == 0) {
		return false;
	} else {
		pp->late--;
	}
	a = receiver(p, b);
	if (!a)
		return false;
	s = &a->slots[block];
	if (s->state != SLOT_LACKING || (a->exclusive && a->owner != pp)) {
		active_settle(p, a);
		return false;
	}
	if (active_is_free(a, block))
		active_take(a, block);
	pp->gave = true;
	s->state = SLOT_WRITING;
	s->source = pp->index;
	a->writing++;
	pp->writing++;
	active_update(p, a);
	return true;
}

bool
picker_accept(struct picker *p, struct picker_peer *pp,
	      const struct block *b)
{
	bool yes;

	if (!valid_block(p, b))
		return false;
	mutex_lock(&p->lock);
	yes = accept_locked(p, pp, b);
	mutex_unlock(&p->lock);
	return yes;
}

/* The slot that the peer is writing, or NULL. */
static struct active *
writing_of(const struct picker *p, const struct picker_peer *pp,
	   const struct block *b) REQUIRES(p->lock)
{
	struct active *a = active_of(p, b->piece);
	const struct slot *s;

	if (!a)
		return NULL;
	s = &a->slots[b->offset / PICKER_BLOCK];
	if (s->state != SLOT_WRITING || s->source != pp->index)
		return NULL;
	return a;
}

enum picker_result
picker_deliver(struct picker *p, struct picker_peer *pp,
	       const struct block *b, uint32_t losers[PICKER_LOSERS_MAX],
	       size_t *n)
{
	uint32_t block = b->offset / PICKER_BLOCK;
	enum picker_result result = PICKER_MORE;
	struct active *a;

	*n = 0;
	if (!valid_block(p, b))
		return result;
	mutex_lock(&p->lock);
	a = writing_of(p, pp, b);
	if (a) {
		a->writing--;
		pp->writing--;
		active_done(p, a, block, pp->source);
		*n = cancel_askers(p, a, block, losers);
		if (active_is_full(a))
			result = PICKER_PIECE_FULL;
		else if (let_go(p, a))
			result = PICKER_FREED;
	}
	mutex_unlock(&p->lock);
	return result;
}

size_t
picker_take_cancels(struct picker *p, struct picker_peer *pp,
		    struct block *out, size_t max)
{
	size_t n = 0;

	mutex_lock(&p->lock);
	for (uint32_t i = 0; n < max && pp->live < pp->requested;) {
		struct request r = pp->requests[pp->first + i];

		if (!r.cancelled) {
			i++;
			continue;
		}
		out[n++] = block_at(p, r.piece, r.block);
		remove_request(p, pp, i);
	}
	mutex_unlock(&p->lock);
	return n;
}

size_t
picker_return(struct picker *p, struct picker_peer *pp,
	      const struct block *b)
{
	uint32_t block = b->offset / PICKER_BLOCK;
	struct active *a;
	size_t freed = 0;
	uint32_t i;

	if (!valid_block(p, b))
		return 0;
	mutex_lock(&p->lock);
	a = writing_of(p, pp, b);
	i = find_request(pp, b->piece, block);
	if (a) {
		stop_writing(p, a, block);
		freed = active_is_free(a, block);
		disown(p, a, pp);
		active_settle(p, a);
	} else if (i != NONE) {
		freed = give_back(p, pp, i);
		if (pp->live == 0)
			pp->asked_at = 0;
		a = active_of(p, b->piece);
		if (a)
			disown(p, a, pp);
	}
	mutex_unlock(&p->lock);
	return freed;
}
