/*
 * utp_sim: sets of uTP connections, joined by a path in virtual time.
 *
 * Each way has a rate with a queue in front of it, a delay, jitter, and
 * packets that are lost, doubled, or overtaken by later ones.  A thing that
 * is no uTP can put load on the queue.  Data is a row of bytes that both
 * ends can compute, so that nothing has to be kept.
 */
#ifndef BTGET_TEST_UTP_SIM_H
#define BTGET_TEST_UTP_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/clock.h"
#include "net/utp.h"
#include "net/utp_packet.h"

struct sim_way {
	uint64_t rate;		/* bytes a second; 0: any */
	size_t queue;		/* bytes that wait, at most; 0: any */
	int64_t delay;
	int64_t jitter;
	unsigned loss;		/* of 1,000 */
	size_t largest;		/* bytes of a packet; 0: any */
	unsigned twice;
	unsigned late;		/* by jitter more: overtaken */
	int64_t free_at;	/* the rate's */
	uint64_t packets;
	uint64_t dropped;
	int64_t queue_most;	/* the longest wait since it was reset */
};

struct sim_packet {
	int64_t at;
	uint64_t order;
	int to;			/* the side */
	size_t size;
	uint8_t *data;		/* NULL: the rival's */
};

struct sim;

struct sim_side {
	struct sim *sim;
	int index;
	struct addr addr;
	struct utp_set *set;
	struct utp *conn;
	int64_t clock;		/* its time, when the simulation's is 0 */
	int64_t drift;		/* its seconds are this many ppm longer */
	uint64_t to_send;
	uint64_t sent;
	uint64_t taken;
	bool slow;		/* takes nothing */
	bool wrong;		/* a byte was */
	bool ended;
	bool at_end;
	bool close;		/* once all is sent */
	int error;
};

struct sim {
	int64_t now;
	uint64_t seed;
	uint64_t order;
	struct sim_side side[2];
	struct sim_way way[2];	/* from side 0, from side 1 */
	struct sim_packet *heap;
	size_t count;
	size_t size;
	bool cut;		/* no packet arrives */
	/* Who fills the queue of side 0 as TCP does, until it is lost. */
	struct {
		double window;		/* packets; 0: nobody */
		size_t flying;
		uint64_t arrived;
		int64_t halved_at;
	} rival;
};

#define SIM_RIVAL_PACKET 1472

static inline uint32_t
sim_random(struct sim *s)
{
	s->seed = s->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(s->seed >> 33);
}

static inline bool
sim_dice(struct sim *s, unsigned of_1000)
{
	return sim_random(s) % 1000 < of_1000;
}

static inline bool
sim_before(const struct sim_packet *a, const struct sim_packet *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static inline void
sim_push(struct sim *s, struct sim_packet p)
{
	size_t i = s->count++;

	if (s->count > s->size) {
		s->size = s->size ? 2 * s->size : 64;
		s->heap = realloc(s->heap, s->size * sizeof(*s->heap));
		assert_non_null(s->heap);
	}
	p.order = s->order++;
	for (; i > 0 && sim_before(&p, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = p;
}

static inline struct sim_packet
sim_pop(struct sim *s)
{
	struct sim_packet first = s->heap[0], last = s->heap[--s->count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < s->count) {
		if (child + 1 < s->count &&
		    sim_before(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!sim_before(&s->heap[child], &last))
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return first;
}

/* Through the queue; false when that is full. */
static inline bool
sim_queue(struct sim *s, struct sim_way *w, size_t n, int64_t *at)
{
	int64_t free_at = w->free_at > s->now ? w->free_at : s->now;
	int64_t wait = free_at - s->now;

	if (w->rate == 0) {
		*at = s->now;
		return true;
	}
	if (w->queue > 0 &&
	    (double)wait * (double)w->rate / CLOCK_S + (double)n >
		(double)w->queue) {
		w->dropped++;
		return false;
	}
	if (wait > w->queue_most)
		w->queue_most = wait;
	w->free_at = free_at + (int64_t)((double)n * CLOCK_S /
					 (double)w->rate);
	*at = w->free_at;
	return true;
}

static inline void
sim_rival_send(struct sim *s)
{
	struct sim_way *w = &s->way[0];
	int64_t at;

	while ((double)s->rival.flying + 1 <= s->rival.window) {
		if (!sim_queue(s, w, SIM_RIVAL_PACKET + 28, &at)) {
			if (s->now - s->rival.halved_at > CLOCK_S / 4) {
				s->rival.window /= 2;
				s->rival.halved_at = s->now;
			}
			if (s->rival.flying > 0)
				return;
			at = s->now + w->delay;
		}
		s->rival.flying++;
		sim_push(s, (struct sim_packet){.at = at + 2 * w->delay});
	}
}

static inline void
sim_rival_arrived(struct sim *s)
{
	s->rival.flying--;
	s->rival.arrived += SIM_RIVAL_PACKET;
	if (s->rival.window == 0)
		return;		/* it has left */
	s->rival.window += 1 / s->rival.window;
	sim_rival_send(s);
}

static inline void
sim_carry(struct sim *s, int from, const void *data, size_t n)
{
	struct sim_way *w = &s->way[from];
	int times = sim_dice(s, w->twice) ? 2 : 1;
	int64_t at;

	w->packets++;
	if (sim_dice(s, w->loss) || s->cut || (w->largest > 0 &&
					       n > w->largest))
		return;
	if (!sim_queue(s, w, n + 28, &at))
		return;
	for (int i = 0; i < times; i++) {
		struct sim_packet p = {.at = at + w->delay, .to = !from,
				       .size = n, .data = malloc(n)};

		if (w->jitter)
			p.at += sim_random(s) % w->jitter;
		if (sim_dice(s, w->late))
			p.at += 3 * w->jitter;
		assert_non_null(p.data);
		memcpy(p.data, data, n);
		sim_push(s, p);
	}
}

static inline void
sim_send(void *ctx, const struct addr *to, const void *data, size_t n)
{
	struct sim_side *side = ctx;

	assert_true(addr_equal(to, &side->sim->side[!side->index].addr));
	assert_true(n <= UTP_DATAGRAM_MAX);
	sim_carry(side->sim, side->index, data, n);
}

static inline void
sim_fill(void *ctx, void *out, size_t n)
{
	struct sim_side *side = ctx;

	for (size_t i = 0; i < n; i++)
		((uint8_t *)out)[i] = (uint8_t)sim_random(side->sim);
}

/* The time on this side's clock. */
static inline int64_t
sim_clock(const struct sim_side *side)
{
	return side->clock + side->sim->now +
	       side->sim->now / 1000000 * side->drift;
}

static inline void
sim_init(struct sim *s, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	s->seed = seed;
	for (int i = 0; i < 2; i++) {
		struct sim_side *side = &s->side[i];
		struct utp_config config = {.ctx = side, .send = sim_send,
					    .random = sim_fill, .max = 8};

		side->sim = s;
		side->index = i;
		side->clock = 1000 * CLOCK_S;
		side->addr = (struct addr){.family = AF_INET, .port = 6881,
					   .ip = {10, 0, 0, (uint8_t)(i + 1)}};
		side->set = utp_set_new(&config);
		assert_non_null(side->set);
		s->way[i].delay = 10 * CLOCK_MS;
	}
}

static inline void
sim_release(struct sim *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->heap[i].data);
	free(s->heap);
	utp_set_free(s->side[0].set);
	utp_set_free(s->side[1].set);
}

static inline uint8_t
sim_byte(int from, uint64_t at)
{
	return (uint8_t)((at * 31 + at / 251 + (uint64_t)from * 7) % 253);
}

static inline void
sim_take(struct sim_side *side, struct utp *u)
{
	struct utp_part parts[16];
	size_t n, got = 0;

	n = utp_peek(u, parts, 16);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < parts[i].size; k++, got++)
			if (parts[i].data[k] !=
			    sim_byte(!side->index, side->taken + got))
				side->wrong = true;
	side->taken += got;
	utp_consume(u, got);
}

static inline void
sim_give(struct sim_side *side, struct utp *u)
{
	uint8_t data[4096];
	size_t n, written;

	while (side->sent < side->to_send && utp_room(u) > 0) {
		n = side->to_send - side->sent < sizeof(data)
			? (size_t)(side->to_send - side->sent) : sizeof(data);
		for (size_t i = 0; i < n; i++)
			data[i] = sim_byte(side->index, side->sent + i);
		written = utp_write(u, data, n);
		side->sent += written;
		if (written == 0)
			break;
	}
	if (side->close && side->sent == side->to_send)
		utp_close(u, sim_clock(side));
}

static inline void
sim_serve(struct sim_side *side)
{
	struct utp *u;

	while ((u = utp_set_changed(side->set)) != NULL) {
		if (utp_state(u) == UTP_ENDED) {
			side->ended = true;
			side->error = utp_error(u);
			if (side->conn == u)
				side->conn = NULL;
			utp_free(u, sim_clock(side));
			continue;
		}
		if (!side->conn)
			side->conn = u;
		while (!side->slow && utp_ready(u) > 0)
			sim_take(side, u);
		if (utp_at_end(u))
			side->at_end = true;
		if (utp_state(u) == UTP_OPEN)
			sim_give(side, u);
		utp_flush(u, sim_clock(side));
	}
}

/* The beat of a side; its clock may run otherwise. */
static inline int64_t
sim_due(const struct sim_side *side)
{
	int64_t due = utp_set_due(side->set);

	if (due == CLOCK_NEVER)
		return due;
	due -= side->clock;
	/* A little late, and never too early. */
	due = (int64_t)((double)due / (1 + (double)side->drift / 1e6)) +
	      (side->drift ? CLOCK_US : 0);
	return due > side->sim->now ? due : side->sim->now;
}

static inline void
sim_beat(struct sim_side *side)
{
	utp_set_tick(side->set, sim_clock(side));
	sim_serve(side);
}

static inline void
sim_arrive(struct sim *s)
{
	struct sim_packet p = sim_pop(s);
	struct sim_side *to = &s->side[p.to];

	s->now = p.at;
	if (!p.data)
		sim_rival_arrived(s);
	else if (!s->cut) {
		assert_true(utp_is_packet(p.data, p.size));
		utp_set_packet(to->set, &s->side[!p.to].addr, p.data, p.size,
			       sim_clock(to));
		sim_serve(to);
	}
	free(p.data);
}

/* One step; false when there is nothing before `until`. */
static inline bool
sim_step(struct sim *s, int64_t until)
{
	int64_t due0 = sim_due(&s->side[0]), due1 = sim_due(&s->side[1]);
	int64_t due = clock_min(due0, due1);
	int64_t at = s->count > 0 ? s->heap[0].at : CLOCK_NEVER;

	if (clock_min(at, due) > until) {
		s->now = until;
		return false;
	}
	if (at <= due) {
		sim_arrive(s);
		return true;
	}
	s->now = due;
	sim_beat(&s->side[due1 < due0]);
	return true;
}

static inline void
sim_run(struct sim *s, int64_t span)
{
	int64_t until = s->now + span;

	while (sim_step(s, until))
		;
}

static inline void
sim_connect(struct sim *s)
{
	s->side[0].conn = utp_connect(s->side[0].set, &s->side[1].addr,
				      sim_clock(&s->side[0]));
	assert_non_null(s->side[0].conn);
}

/* Until all has arrived, or the time is over. */
static inline bool
sim_transfer(struct sim *s, int64_t limit)
{
	int64_t until = s->now + limit;

	while (s->side[0].taken < s->side[1].to_send ||
	       s->side[1].taken < s->side[0].to_send)
		if (!sim_step(s, until))
			return false;
	return !s->side[0].wrong && !s->side[1].wrong;
}

#endif
