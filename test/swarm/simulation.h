/*
 * simulation: picker, choker, pipeline and superseed at work together.
 *
 * A discrete simulation without sockets: nodes of limited upload know some
 * neighbours each; a block takes its time on the sender's line and then a
 * fixed delay; requests, HAVEs and chokes take none.  Every node runs the
 * choker each 10 s, and where it is due sooner, within a second.  Each second
 * no piece may be extinct.  Sizes are small and times are simulated, so that
 * each case takes a fraction of a second.
 */
#ifndef BTGET_TEST_SIMULATION_H
#define BTGET_TEST_SIMULATION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "swarm/choker.h"
#include "swarm/picker.h"
#include "swarm/pipeline.h"
#include "swarm/superseed.h"

#define K 1024.0
#define DELAY (50 * CLOCK_MS)
#define LINKS_MAX 520
#define QUEUE_MAX PIPELINE_MAX
#define LIMIT (3600 * CLOCK_S)

enum event_kind { EVENT_ARRIVE, EVENT_LINE_FREE, EVENT_CHOKE, EVENT_TICK };

struct event {
	int64_t at;
	uint64_t order;		/* of those at the same time */
	enum event_kind kind;
	uint32_t node, link;
	struct block block;
	int64_t asked;
};

struct request {
	struct block block;
	int64_t asked;
};

/* What a node knows of one neighbour. */
struct link {
	uint32_t node;		/* the neighbour */
	uint32_t back;		/* its link to us */
	struct picker_peer *pp;	/* the neighbour in our picker */
	struct pipeline line;
	size_t open;		/* our requests at it */
	struct superseed_peer *sp;	/* the neighbour, for node 0 */
	struct request *queue;	/* its requests at us */
	size_t queued, queue_size;
	struct choker_peer state;	/* it, as our choker sees it */
	uint64_t down, up;	/* bytes in this period */
};

struct node {
	struct picker *p;
	struct link *links;
	uint32_t n, turn;
	double up_bps;
	bool sending, gone, leaves;
	bool freed;		/* an unchoked neighbour left, or one was
				 * interested anew: the choker is to run */
	uint64_t sent, got;
	uint64_t to_riders[2];	/* while downloading: optimistic or not */
	uint64_t to_all;	/* while downloading */
	int64_t leave_at;	/* done or not; 0: stays */
	int64_t last_percent_at, done_at, choked_at;
};

struct sim {
	struct node *nodes;
	uint32_t n;
	struct picker_geometry g;
	int64_t now;
	uint64_t random, order;
	struct event *heap;
	size_t events, heap_size;
	uint32_t waiting;	/* nodes that are not done */
	double leave_after;	/* copies that node 0 sends; 0: stays */
	bool ready;		/* the first unchokes come at once */
	struct superseed *seeding;	/* node 0 points to pieces; or NULL */
	bool show;		/* by showing nothing else */
	bool passive;		/* the others never serve */
	uint8_t *spread;	/* by piece: it is among the others */
	uint32_t spreads;
	double copies;		/* that node 0 had sent when all were */
};

static inline uint32_t
chance(struct sim *s, uint32_t bound)
{
	s->random = s->random * 6364136223846793005ULL +
	    1442695040888963407ULL;
	return (uint32_t)((s->random >> 33) % bound);
}

/* ---- events ---- */

static inline bool
sooner(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static inline void
put(struct sim *s, struct event e)
{
	size_t i = s->events++;

	if (i == s->heap_size) {
		s->heap_size = s->heap_size ? s->heap_size * 2 : 1024;
		s->heap = realloc(s->heap, s->heap_size * sizeof(*s->heap));
	}
	e.order = s->order++;
	for (; i > 0 && sooner(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = e;
}

static inline struct event
take(struct sim *s)
{
	struct event first = s->heap[0], last = s->heap[--s->events];
	size_t i = 0, k;

	while ((k = 2 * i + 1) < s->events) {
		if (k + 1 < s->events && sooner(&s->heap[k + 1], &s->heap[k]))
			k++;
		if (!sooner(&s->heap[k], &last))
			break;
		s->heap[i] = s->heap[k];
		i = k;
	}
	s->heap[i] = last;
	return first;
}

/* ---- sending ---- */

static inline void
count_sent(struct sim *s, struct node *a, const struct link *l,
	   uint32_t bytes)
{
	if (picker_missing(a->p) == 0)
		return;
	a->to_all += bytes;
	if (s->nodes[l->node].up_bps <= 0)
		a->to_riders[!l->state.optimistic] += bytes;
}

/* The next block on the node's line, by turns among its neighbours. */
static inline void
send_next(struct sim *s, uint32_t node)
{
	struct node *a = &s->nodes[node];

	if (a->sending || a->gone || a->up_bps <= 0)
		return;
	for (uint32_t k = 0; k < a->n; k++) {
		struct link *l = &a->links[a->turn++ % a->n];
		struct event e = { .node = l->node, .link = l->back };
		double ns;

		if (l->queued == 0)
			continue;
		e.block = l->queue[0].block;
		e.asked = l->queue[0].asked;
		memmove(l->queue, l->queue + 1,
		    --l->queued * sizeof(*l->queue));
		ns = e.block.length * 1e9 / a->up_bps;
		a->sending = true;
		a->sent += e.block.length;
		l->up += e.block.length;
		count_sent(s, a, l, e.block.length);
		l->state.sent_since_unchoke += e.block.length;
		e.at = s->now + (int64_t)ns + DELAY;
		put(s, e);
		put(s, (struct event){ .at = s->now + (int64_t)ns,
		    .kind = EVENT_LINE_FREE, .node = node });
		return;
	}
}

static inline void
unqueue(struct link *l, const struct block *b)
{
	for (size_t i = 0; i < l->queued; i++) {
		if (memcmp(&l->queue[i].block, b, sizeof(*b)) != 0)
			continue;
		memmove(l->queue + i, l->queue + i + 1,
		    (--l->queued - i) * sizeof(*l->queue));
		return;
	}
}

static inline void
queue(struct sim *s, struct link *l, const struct block *b)
{
	if (l->queued == l->queue_size) {
		l->queue_size = l->queue_size ? l->queue_size * 2 : 16;
		l->queue = realloc(l->queue,
		    l->queue_size * sizeof(*l->queue));
	}
	l->queue[l->queued++] = (struct request){ *b, s->now };
}

/* ---- pointing ---- */

static inline void request(struct sim *s, uint32_t node, struct link *l);

/* What node 0 shows or hints to this neighbour now. */
static inline void
point(struct sim *s, struct link *l)
{
	struct node *b = &s->nodes[l->node];
	struct link *back = &b->links[l->back];
	uint32_t piece;

	if (!l->sp || b->gone || !back->pp)
		return;
	while ((piece = superseed_next(s->seeding, l->sp, !l->state.unchoked,
				       s->now)) != SUPERSEED_NONE) {
		s->nodes[0].freed |= !l->state.unchoked;
		if (s->show)
			picker_peer_have(b->p, back->pp, piece);
		else
			picker_peer_suggest(b->p, back->pp, piece);
		if (back->open == 0)
			request(s, l->node, back);
	}
}

static inline void
point_all(struct sim *s)
{
	struct node *a = &s->nodes[0];
	bool over = s->show && !superseed_hides(s->seeding);

	for (uint32_t i = 0; i < a->n; i++) {
		struct node *b = &s->nodes[a->links[i].node];
		struct link *back = &b->links[a->links[i].back];

		point(s, &a->links[i]);
		if (over && !b->gone && back->pp)
			picker_peer_have_all(b->p, back->pp);
	}
	s->show = s->show && !over;
}

/* A neighbour tells node 0 what it has got. */
static inline void
hear_have(struct sim *s, struct link *l, uint32_t piece)
{
	uint32_t id;

	if (!l->sp)
		return;
	id = superseed_have(s->seeding, l->sp, piece, s->now);
	if (id != 0)
		point(s, &s->nodes[0].links[id - 1]);
	point(s, l);
	if (s->show && !superseed_hides(s->seeding))
		point_all(s);
}

static inline void
begin_pointing(struct sim *s, bool show)
{
	s->show = show;
	s->seeding = superseed_new(s->g.piece_count, show, 7, NULL);
	for (uint32_t i = 0; i < s->nodes[0].n; i++)
		s->nodes[0].links[i].sp = superseed_join(s->seeding, i + 1);
}

/* The piece is among the others now. */
static inline void
spread(struct sim *s, uint32_t piece)
{
	if (s->spread[piece])
		return;
	s->spread[piece] = 1;
	if (++s->spreads == s->g.piece_count)
		s->copies = (double)s->nodes[0].sent / (double)s->g.length;
}

/* ---- asking ---- */

static inline void
request(struct sim *s, uint32_t node, struct link *l)
{
	struct link *theirs = &s->nodes[l->node].links[l->back];
	size_t target = pipeline_target(&l->line), n;
	struct block out[256];
	struct picker_ask ask = { .now = s->now,
		.rate_bps = pipeline_rate(&l->line), .endgame_ok = true };

	if (!theirs->state.unchoked || s->nodes[l->node].gone ||
	    s->nodes[node].gone || l->open >= target)
		return;
	ask.max = target - l->open < 256 ? target - l->open : 256;
	n = picker_reserve(s->nodes[node].p, l->pp, &ask, out);
	if (n > 0 && l->open == 0)
		pipeline_resume(&l->line, s->now);
	for (size_t i = 0; i < n; i++) {
		queue(s, theirs, &out[i]);
		if (theirs->sp)
			superseed_asked(s->seeding, theirs->sp, out[i].piece);
	}
	l->open += n;
	if (n > 0 && theirs->sp && !s->show)
		point(s, theirs);
	if (n > 0)
		send_next(s, l->node);
}

static inline void
request_idle(struct sim *s, uint32_t node)
{
	struct node *a = &s->nodes[node];

	for (uint32_t i = 0; i < a->n; i++)
		if (a->links[i].open == 0)
			request(s, node, &a->links[i]);
}

static inline void
cancel(struct sim *s, uint32_t node, uint32_t link)
{
	struct link *l = &s->nodes[node].links[link];
	struct block out[16];
	size_t n;

	do {
		n = picker_take_cancels(s->nodes[node].p, l->pp, out, 16);
		for (size_t i = 0; i < n; i++)
			unqueue(&s->nodes[l->node].links[l->back], &out[i]);
		l->open -= n;
	} while (n == 16);
	request(s, node, l);
}

static inline void
leave(struct sim *s, uint32_t node)
{
	struct node *a = &s->nodes[node];

	a->gone = true;
	for (uint32_t i = 0; node != 0 && i < a->n; i++) {
		struct link *l = &s->nodes[a->links[i].node].links[
		    a->links[i].back];

		if (l->sp)
			superseed_leave(s->seeding, l->sp);
		l->sp = NULL;
	}
	for (uint32_t i = 0; i < a->n; i++) {
		struct link *l = &a->links[i];
		struct node *b = &s->nodes[l->node];
		struct link *back = &b->links[l->back];

		l->queued = 0;
		l->state.unchoked = false;
		back->queued = 0;
		b->freed |= back->state.unchoked;
		if (!back->pp)
			continue;
		picker_leave(b->p, back->pp);
		back->pp = NULL;
		back->open = 0;
	}
	for (uint32_t i = 0; i < a->n; i++)
		if (!s->nodes[a->links[i].node].gone)
			request_idle(s, a->links[i].node);
}

static inline void
tell_have(struct sim *s, uint32_t node, uint32_t piece)
{
	struct node *a = &s->nodes[node];

	for (uint32_t i = 0; i < a->n; i++) {
		struct link *l = &a->links[i];
		struct node *b = &s->nodes[l->node];
		struct link *back = &b->links[l->back];

		if (b->gone || !back->pp)
			continue;
		/* The choker runs when interest changes. */
		a->freed |= !l->state.unchoked &&
		    !picker_interesting(b->p, back->pp);
		picker_peer_have(b->p, back->pp, piece);
		hear_have(s, back, piece);
		if (back->open == 0)
			request(s, l->node, back);
	}
}

static inline void
done(struct sim *s, uint32_t node)
{
	s->nodes[node].done_at = s->now;
	s->waiting--;
	if (s->nodes[node].leaves)
		leave(s, node);
}

static inline void
arrive(struct sim *s, const struct event *e)
{
	struct node *a = &s->nodes[e->node];
	struct link *l = &a->links[e->link];
	uint32_t losers[PICKER_LOSERS_MAX];
	enum picker_result result;
	size_t n;

	if (a->gone || !l->pp)
		return;
	l->down += e->block.length;
	if (l->open > 0)
		l->open--;
	pipeline_on_block(&l->line, s->now, e->block.length,
	    s->now - e->asked);
	pipeline_on_receive(&l->line, s->now);
	if (picker_accept(a->p, l->pp, &e->block)) {
		result = picker_deliver(a->p, l->pp, &e->block, losers, &n);
		a->got += e->block.length;
		if (a->got >= s->g.length / 100 * 99 && !a->last_percent_at)
			a->last_percent_at = s->now;
		for (size_t i = 0; i < n; i++)
			cancel(s, e->node, losers[i]);
		if (result == PICKER_PIECE_FULL) {
			picker_piece_good(a->p, e->block.piece);
			spread(s, e->block.piece);
			tell_have(s, e->node, e->block.piece);
			if (picker_missing(a->p) == 0)
				done(s, e->node);
		}
	}
	l->open = a->gone || !l->pp ? 0 : picker_peer_asked(a->p, l->pp);
	if (!a->gone && l->pp)
		request(s, e->node, l);
}

/* ---- choking ---- */

static inline void
set_choke(struct sim *s, uint32_t node, struct link *l,
	  const struct choker_peer *c)
{
	struct node *b = &s->nodes[l->node];
	struct link *back = &b->links[l->back];

	if (c->unchoke_optimistic && (!l->state.optimistic ||
	    s->now - l->state.optimistic_at >= CHOKER_OPTIMISTIC_NS))
		l->state.optimistic_at = s->now;
	l->state.optimistic = c->unchoke_optimistic;
	if (c->unchoke == l->state.unchoked)
		return;
	l->state.unchoked = c->unchoke;
	l->state.changed_at = s->now;
	l->state.sent_since_unchoke = 0;
	if (!c->unchoke) {
		point(s, l);
		l->queued = 0;
		if (picker_return_all(b->p, back->pp) > 0)
			request_idle(s, l->node);
		back->open = 0;
	} else {
		point(s, l);
		request(s, l->node, back);
	}
	(void)node;
}

static inline void
measure(uint64_t *bps, uint64_t bytes, double period)
{
	if (period <= 0)
		return;
	*bps = choker_average(*bps, (uint64_t)((double)bytes / period),
			      (int64_t)(period * CLOCK_S));
}

static inline void
choke(struct sim *s, uint32_t node)
{
	struct choker_peer peers[LINKS_MAX];
	struct node *a = &s->nodes[node];
	struct choker_config c = { .slots = 8, .optimistic = 1,
		.seeding = picker_missing(a->p) == 0, .now = s->now,
		.piece_length = s->g.piece_length,
		.seed = chance(s, 1u << 30) };
	double period = (double)(s->now - a->choked_at) / CLOCK_S;
	uint32_t n = 0;

	a->choked_at = s->now;
	for (uint32_t i = 0; i < a->n && a->up_bps > 0 &&
	    !(s->passive && node > 0); i++) {
		struct link *l = &a->links[i];
		struct node *b = &s->nodes[l->node];

		if (b->gone || !l->pp)
			continue;
		l->state.id = i;
		measure(&l->state.down_bps, l->down, period);
		measure(&l->state.up_bps, l->up, period);
		if (l->up > 0)
			l->state.took_at = s->now;
		l->down = l->up = 0;
		l->state.interested = b->links[l->back].pp &&
		    picker_interesting(b->p, b->links[l->back].pp);
		l->state.upload_only = picker_missing(b->p) == 0;
		peers[n++] = l->state;
	}
	choker_run(&c, peers, n);
	for (uint32_t i = 0; i < n; i++)
		set_choke(s, node, &a->links[peers[i].id], &peers[i]);
}

/* ---- the swarm ---- */

static inline void
start(struct sim *s, uint32_t nodes, uint32_t pieces, uint32_t piece_blocks)
{
	memset(s, 0, sizeof(*s));
	s->n = nodes;
	s->random = 42;
	s->nodes = calloc(nodes, sizeof(*s->nodes));
	s->spread = calloc(pieces, 1);
	s->g.piece_count = pieces;
	s->g.piece_length = piece_blocks * PICKER_BLOCK;
	s->g.length = (uint64_t)pieces * s->g.piece_length;
	for (uint32_t i = 0; i < nodes; i++) {
		s->g.seed = i;
		s->nodes[i].p = picker_new(&s->g, NULL);
		s->nodes[i].links = calloc(LINKS_MAX, sizeof(struct link));
	}
	s->waiting = nodes;
}

static inline void
make_seed(struct sim *s, uint32_t node)
{
	for (uint32_t i = 0; i < s->g.piece_count; i++)
		picker_set_have(s->nodes[node].p, i);
	s->waiting--;
	s->nodes[node].done_at = 1;
}

static inline bool
linked(const struct sim *s, uint32_t a, uint32_t b)
{
	for (uint32_t i = 0; i < s->nodes[a].n; i++)
		if (s->nodes[a].links[i].node == b)
			return true;
	return false;
}

static inline void
connect_nodes(struct sim *s, uint32_t a, uint32_t b)
{
	uint32_t ends[2] = { a, b };

	if (a == b || linked(s, a, b))
		return;
	assert_true(s->nodes[a].n < LINKS_MAX && s->nodes[b].n < LINKS_MAX);
	for (int k = 0; k < 2; k++) {
		struct node *x = &s->nodes[ends[k]];
		struct node *y = &s->nodes[ends[!k]];
		struct link *l = &x->links[x->n];

		l->node = ends[!k];
		l->back = y->n - (k == 1);
		l->pp = picker_join(x->p, x->n, ends[!k] + 1);
		pipeline_init(&l->line);
		pipeline_limit(&l->line, PIPELINE_MAX);
		if (picker_missing(y->p) == 0 && !s->show)
			picker_peer_have_all(x->p, l->pp);
		x->n++;
	}
}

/* Node 0 knows everyone, the others some 2 * degree each. */
static inline void
connect_all(struct sim *s, uint32_t degree)
{
	for (uint32_t i = 1; i < s->n; i++) {
		connect_nodes(s, 0, i);
		for (uint32_t k = 0; k < degree; k++)
			connect_nodes(s, i, 1 + chance(s, s->n - 1));
	}
}

/* Pieces that nobody has any more. */
static inline uint32_t
extinct(const struct sim *s)
{
	uint32_t lost = 0;

	for (uint32_t piece = 0; piece < s->g.piece_count; piece++) {
		bool there = false;

		for (uint32_t i = 0; i < s->n && !there; i++)
			there = !s->nodes[i].gone &&
			    picker_have(s->nodes[i].p, piece);
		lost += !there;
	}
	return lost;
}

static inline void
run(struct sim *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		put(s, (struct event){
		    .at = s->ready ? 1 : chance(s, 1000) * CLOCK_MS,
		    .kind = EVENT_CHOKE, .node = i });
		put(s, (struct event){ .at = CLOCK_S, .kind = EVENT_TICK,
		    .node = i });
	}
	while (s->waiting > 0 && s->events > 0 && s->now < LIMIT) {
		struct event e = take(s);
		struct node *a = &s->nodes[e.node];

		s->now = e.at;
		if (a->gone)
			continue;
		if (e.kind == EVENT_ARRIVE) {
			arrive(s, &e);
		} else if (e.kind == EVENT_LINE_FREE) {
			a->sending = false;
			if (e.node == 0 && s->leave_after > 0 &&
			    (double)a->sent >
			    s->leave_after * (double)s->g.length)
				leave(s, 0);
			send_next(s, e.node);
		} else if (e.kind == EVENT_CHOKE) {
			choke(s, e.node);
			e.at += CHOKER_PERIOD_NS;
			put(s, e);
		} else {
			if (e.node == 0 || (s->nodes[0].gone && e.node == 1))
				assert_int_equal(extinct(s), 0);
			if (e.node == 0 && s->seeding)
				point_all(s);
			if (a->leave_at && s->now >= a->leave_at &&
			    !a->done_at) {
				s->waiting--;
				leave(s, e.node);
				continue;
			}
			/* A slot that fell free need not wait. */
			if (a->freed)
				choke(s, e.node);
			a->freed = false;
			request_idle(s, e.node);
			e.at += CLOCK_S;
			put(s, e);
		}
	}
	for (uint32_t i = 0; i < s->n; i++)
		assert_null(picker_check(s->nodes[i].p));
}

static inline void
stop(struct sim *s)
{
	for (uint32_t k = 0; k < s->nodes[0].n; k++)
		superseed_leave(s->seeding, s->nodes[0].links[k].sp);
	superseed_free(s->seeding);
	free(s->spread);
	for (uint32_t i = 0; i < s->n; i++) {
		for (uint32_t k = 0; k < s->nodes[i].n; k++)
			free(s->nodes[i].links[k].queue);
		free(s->nodes[i].links);
		picker_free(s->nodes[i].p);
	}
	free(s->nodes);
	free(s->heap);
}

/* The least time in which everyone can have everything, in seconds: the
 * seed must send one copy, and all together one for each. */
static inline double
bound(const struct sim *s)
{
	double sum = 0, alone, all;

	for (uint32_t i = 0; i < s->n; i++)
		sum += s->nodes[i].up_bps;
	alone = (double)s->g.length / s->nodes[0].up_bps;
	all = (double)s->g.length * (s->n - 1) / sum;
	return alone > all ? alone : all;
}

static inline double
mean_done(const struct sim *s, uint32_t from, uint32_t to)
{
	double sum = 0;

	for (uint32_t i = from; i < to; i++)
		sum += (double)s->nodes[i].done_at / CLOCK_S;
	return sum / (to - from);
}

#ifdef SIMULATION_SHOW
#include <stdio.h>
#define SHOW(...) fprintf(stderr, __VA_ARGS__)
#else
#define SHOW(...) ((void)0)
#endif

#endif
