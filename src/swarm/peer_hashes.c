/*
 * Hashes of v2 trees: a peer's part in giving them, and in asking for the
 * piece layers that a magnet link does not bring.  Both only on connections
 * by the v2 hash: on others these messages mean nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "swarm/hashes.h"
#include "swarm/layers.h"
#include "swarm/peer_parts.h"

/* ---- giving ---- */

static int
add_ask(struct peer *p, const struct wire_hashes *r)
{
	if (!p->hash_asks)
		p->hash_asks = calloc(PEER_HASH_SERVES,
				      sizeof(*p->hash_asks));
	if (!p->hash_asks)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	if (p->hash_serves == PEER_HASH_SERVES)
		return peer_end(p, PEER_END_BROKE, "too many hash requests");
	p->hash_asks[p->hash_serves++] = *r;
	return 0;
}

static void
put_reject(struct peer *p, const struct wire_hashes *r)
{
	uint8_t head[WIRE_HASHES_HEADER];

	buffer_put(&p->out, head,
		   wire_put_hashes(head, WIRE_HASH_REJECT, r, 0));
}

static void
put_answer(struct peer *p, const struct wire_hashes *r,
	   const struct hashes_plan *plan)
{
	uint8_t *hashes = malloc(HASHES_ANSWER_MAX * SHA256_SIZE);
	uint8_t head[WIRE_HASHES_HEADER];
	size_t n = 0;

	if (hashes)
		n = hashes_answer(p->swarm->hashes, r, plan, hashes);
	if (n > 0) {
		buffer_put(&p->out, head,
			   wire_put_hashes(head, WIRE_HASHES, r, n));
		buffer_put(&p->out, hashes, n * SHA256_SIZE);
		peer_note_given(p, n * SHA256_SIZE);
	} else {
		put_reject(p, r);
	}
	free(hashes);
}

/* All peers share one budget, each with one request at a time.  False: its
 * turn is yet to come. */
static bool
may_answer(struct peer *p, const struct hashes_plan *plan)
{
	if (p->hash_paid == 0) {
		p->hash_reads = plan->blocks > 0;
		p->hash_at = hashes_reserve(p->swarm->hashes, plan->cost,
					    p->hash_reads, p->now);
		p->hash_paid = plan->cost;
	}
	if (p->hash_at > p->now)
		return false;
	p->hash_paid = 0;
	return true;
}

static void
return_paid(struct peer *p)
{
	if (p->hash_paid > 0)
		hashes_return(p->swarm->hashes, p->hash_paid, p->hash_reads);
	p->hash_paid = 0;
}

static void
put_answers(struct peer *p)
{
	size_t done = 0;

	/* Whoever stops us need not wait for them all. */
	while (done < p->hash_serves && !atomic_load(&p->stop) &&
	       p->out.used < PEER_ROUND_SIZE && peer_may_give(p)) {
		const struct wire_hashes *r = &p->hash_asks[done];
		struct hashes_plan plan;

		if (!p->pp || !hashes_plan(p->swarm->hashes, r,
					   p->swarm->havelog, &plan)) {
			return_paid(p);
			put_reject(p, r);
		} else if (may_answer(p, &plan)) {
			put_answer(p, r, &plan);
		} else {
			break;
		}
		done++;
	}
	p->hash_serves -= done;
	if (done > 0)
		memmove(p->hash_asks, p->hash_asks + done,
			p->hash_serves * sizeof(*p->hash_asks));
}

/* ---- asking ---- */

/* Who has no metadata either is not asked, and may hang up on that. */
static bool
may_know(const struct peer *p)
{
	return p->said.metadata_size > 0 || p->early_all || p->early_any;
}

static void
put_asks(struct peer *p, struct layers *l)
{
	uint8_t head[WIRE_HASHES_HEADER];
	struct wire_hashes r;

	if (p->now < p->hash_retry)
		return;
	while (patience_allows(&p->hash_patience, PEER_HASH_ASKS, p->now,
			       &p->hash_retry)) {
		if (!layers_next(l, &p->hash_from, p->now, &r,
				 &p->hash_retry))
			return;
		buffer_put(&p->out, head,
			   wire_put_hashes(head, WIRE_HASH_REQUEST, &r, 0));
		patience_asked(&p->hash_patience, p->now);
	}
}

void
peer_hashes_leave(struct peer *p)
{
	struct layers *l = atomic_load(&p->swarm->layers);

	return_paid(p);
	if (l && p->hash_patience.since > 0)	/* it was asked */
		layers_leave(l, p->source);
	p->hash_patience = (struct patience){0};
}

static int
take_hashes(struct peer *p, struct layers *l, const struct wire_message *m)
{
	struct swarm *s = p->swarm;
	struct wire_hashes r = wire_get_hashes(m);
	size_t n = (m->size - WIRE_HASHES_SIZE) / SHA256_SIZE;

	if (p->hash_patience.owed == 0)
		return 0;
	patience_answered(&p->hash_patience, p->now);
	p->hash_retry = 0;
	atomic_store(&p->gave_facts, true);
	switch (layers_take(l, p->source, &r, m->data + WIRE_HASHES_SIZE, n)) {
	case LAYERS_DONE:
		s->events.metadata(s->events.ctx);
		return 0;
	case LAYERS_UNASKED:
		return peer_end(p, PEER_END_BROKE, "hashes of something else");
	case LAYERS_LIE:
		s->events.ban(s->events.ctx, p->source, UINT32_MAX);
		return peer_end(p, PEER_END_BROKE, "wrong hashes");
	default:
		return 0;
	}
}

static void
take_reject(struct peer *p, struct layers *l, const struct wire_message *m)
{
	struct wire_hashes r = wire_get_hashes(m);

	if (p->hash_patience.owed == 0)
		return;
	patience_answered(&p->hash_patience, p->now);
	layers_refuse(l, &p->hash_from, &r, p->now, &p->hash_retry);
}

/* ---- both ---- */

void
peer_hashes_put(struct peer *p)
{
	struct layers *l = atomic_load(&p->swarm->layers);

	if (!p->v2)
		return;
	if (p->hash_serves > 0)
		put_answers(p);
	if (l && !p->pp && may_know(p))
		put_asks(p, l);
}

int
peer_hashes_take(struct peer *p, const struct wire_message *m)
{
	struct layers *l = atomic_load(&p->swarm->layers);
	struct wire_hashes r;

	if (!p->v2)
		return peer_end(p, PEER_END_BROKE, "'%s' on a v1 connection",
				wire_name(m->id));
	if (m->id == WIRE_HASH_REQUEST) {
		r = wire_get_hashes(m);
		return add_ask(p, &r);
	}
	if (!l || p->pp)
		return 0;
	if (m->id == WIRE_HASHES)
		return take_hashes(p, l, m);
	take_reject(p, l, m);
	return 0;
}

int64_t
peer_hashes_due(const struct peer *p)
{
	int64_t due = CLOCK_NEVER;

	if (p->hash_serves > 0)
		due = peer_may_give(p) ? p->hash_at : p->given_until;
	if (!p->pp && p->v2 && may_know(p) && p->hash_retry > p->now &&
	    atomic_load(&p->swarm->layers))
		due = clock_min(due, p->hash_retry);
	return due;
}
