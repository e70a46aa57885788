/*
 * Goal: threads that share a picker bring every block once and settle every
 * piece once.  For the thread sanitizer above all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/sync.h"
#include "swarm/picker.h"

#define THREADS 4
#define PIECES 300
#define BLOCKS 3

struct shared {
	struct picker *p;
	atomic_uint written[PIECES * BLOCKS];
	atomic_uint settled[PIECES];
};

struct worker {
	struct shared *s;
	uint32_t id;
	struct thread thread;
};

static void
bring(struct shared *s, struct picker_peer *pp, const struct block *b)
{
	uint32_t losers[PICKER_LOSERS_MAX];
	size_t n;

	if (!picker_accept(s->p, pp, b))
		return;
	atomic_fetch_add(&s->written[b->piece * BLOCKS +
	    b->offset / PICKER_BLOCK], 1);
	if (picker_deliver(s->p, pp, b, losers, &n) == PICKER_MORE)
		return;
	atomic_fetch_add(&s->settled[b->piece], 1);
	picker_piece_good(s->p, b->piece);
}

static void
work(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->s;
	struct picker_peer *pp = picker_join(s->p, w->id, w->id + 1);
	struct picker_ask ask = { 5, CLOCK_S, 1000u << w->id * 4, true };
	struct block b[5];

	if (w->id % 2)
		picker_peer_have_all(s->p, pp);
	for (uint32_t i = 0; i < PIECES; i++)
		picker_peer_have(s->p, pp, i);
	for (unsigned round = 0; picker_interesting(s->p, pp); round++) {
		size_t n = picker_reserve(s->p, pp, &ask, b);

		ask.now += CLOCK_MS;
		if (round % 50 == 49) {
			picker_return_all(s->p, pp);
			continue;
		}
		for (size_t i = 0; i < n; i++)
			bring(s, pp, &b[i]);
		while (picker_take_cancels(s->p, pp, b, 5) == 5)
			;
	}
	picker_leave(s->p, pp);
}

static void
picker_threads_bring_each_block_once(void **state)
{
	static struct shared s;
	struct picker_geometry g = { PIECES, BLOCKS * PICKER_BLOCK,
		PIECES * BLOCKS * PICKER_BLOCK, false, 3, NULL, 0, NULL, 0 };
	struct worker w[THREADS];

	(void)state;
	s.p = picker_new(&g, NULL);
	for (uint32_t i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .s = &s, .id = i };
		assert_int_equal(thread_start(&w[i].thread, "worker",
		    THREAD_STACK_SMALL, work, &w[i], NULL), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		thread_join(&w[i].thread);
	assert_int_equal(picker_missing(s.p), 0);
	assert_null(picker_check(s.p));
	for (uint32_t i = 0; i < PIECES * BLOCKS; i++)
		assert_int_equal(s.written[i], 1);
	for (uint32_t i = 0; i < PIECES; i++)
		assert_int_equal(s.settled[i], 1);
	picker_free(s.p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(picker_threads_bring_each_block_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
