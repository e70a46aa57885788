/*
 * The pipeline against a simulated path: requests travel half a round trip,
 * are served one after the other at the path's rate, and travel back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "swarm/pipeline.h"

#define BLOCK 16384
#define RING 4096

struct path {
	struct pipeline l;
	int64_t now;
	int64_t round_trip;
	double bps;
	int64_t busy_until;
	int64_t asked[RING], due[RING];
	unsigned first, open;
	uint64_t bytes;
	size_t most;		/* the highest target seen */
	bool rests;		/* blocks are taken after a rest */
	uint64_t turns;		/* in which blocks were taken */
};

static void
path_open(struct path *p, int64_t round_trip, double bps, uint32_t reqq)
{
	memset(p, 0, sizeof(*p));
	pipeline_init(&p->l);
	pipeline_limit(&p->l, reqq);
	p->now = p->busy_until = CLOCK_S;
	p->round_trip = round_trip;
	p->bps = bps;
}

static void
path_ask(struct path *p)
{
	if (p->open == 0)
		pipeline_resume(&p->l, p->now);
	while (p->open < pipeline_target(&p->l)) {
		unsigned i = (p->first + p->open++) % RING;
		int64_t from = p->now + p->round_trip / 2;

		if (p->busy_until > from)
			from = p->busy_until;
		p->busy_until = from + (int64_t)(BLOCK * 1e9 / p->bps);
		p->asked[i] = p->now;
		p->due[i] = p->busy_until + p->round_trip / 2;
	}
}

/* When the next block is looked for. */
static int64_t
path_next(const struct path *p)
{
	int64_t due = p->due[p->first], rest = 0;

	if (p->rests)
		rest = p->now + pipeline_rest(&p->l);
	return due > rest ? due : rest;
}

/* Runs for so long; the rate that came through, in bytes a second. */
static double
path_run(struct path *p, int64_t ns)
{
	int64_t end = p->now + ns, at;

	p->bytes = p->turns = 0;
	for (;;) {
		path_ask(p);
		if (pipeline_target(&p->l) > p->most)
			p->most = pipeline_target(&p->l);
		at = path_next(p);
		if (at > end)
			break;
		p->now = at;
		p->turns++;
		while (p->open > 0 && p->due[p->first] <= at) {
			int64_t age = at - p->asked[p->first];

			p->first = (p->first + 1) % RING;
			p->open--;
			p->bytes += BLOCK;
			pipeline_on_block(&p->l, at, BLOCK, age);
		}
		pipeline_on_receive(&p->l, at);
	}
	p->now = end;
	return (double)p->bytes * 1e9 / (double)ns;
}

static void
pipeline_starts_with_a_few_requests(void **state)
{
	struct pipeline l;

	(void)state;
	pipeline_init(&l);
	assert_int_equal(pipeline_target(&l), PIPELINE_START);
	assert_int_equal(pipeline_rate(&l), 0);
}

static void
pipeline_fills_a_long_fat_path_within_two_seconds(void **state)
{
	struct path p;

	(void)state;
	path_open(&p, 100 * CLOCK_MS, 300.0 * (1 << 20), 10000);
	path_run(&p, 2 * CLOCK_S);
	assert_true(path_run(&p, CLOCK_S) >= 0.97 * 300 * (1 << 20));
}

/* All that was asked for comes in one receive, and only then more is. */
static void
pipeline_grows_where_all_blocks_come_together(void **state)
{
	struct pipeline l;
	int64_t now = CLOCK_S;

	(void)state;
	pipeline_init(&l);
	for (unsigned round = 0; round < 40; round++) {
		size_t n = pipeline_target(&l);

		pipeline_resume(&l, now);
		now += 100 * CLOCK_MS;
		for (size_t i = 0; i < n; i++)
			pipeline_on_block(&l, now, BLOCK, 100 * CLOCK_MS);
		pipeline_on_receive(&l, now);
		/* And then for a while little is there to ask for. */
		if (round == 10)
			l.target = PIPELINE_MIN;
	}
	assert_int_equal(pipeline_target(&l), PIPELINE_REQQ);
}

static void
pipeline_stays_full(void **state)
{
	struct path p;

	(void)state;
	path_open(&p, 100 * CLOCK_MS, 50.0 * (1 << 20), 2000);
	path_run(&p, 2 * CLOCK_S);
	assert_true(path_run(&p, 60 * CLOCK_S) >= 0.99 * 50 * (1 << 20));
}

static void
pipeline_fills_a_fast_near_path_in_a_tenth_of_a_second(void **state)
{
	struct path p;

	(void)state;
	path_open(&p, 50 * CLOCK_US, 1e9, 2000);
	path_run(&p, 100 * CLOCK_MS);
	assert_true(path_run(&p, CLOCK_S) >= 0.98e9);
}

static void
pipeline_stays_within_reqq(void **state)
{
	struct path p;

	(void)state;
	path_open(&p, 100 * CLOCK_MS, 1e9, 7);
	path_run(&p, 5 * CLOCK_S);
	assert_int_equal(p.most, 7);
	pipeline_limit(&p.l, 3);
	assert_int_equal(pipeline_target(&p.l), 3);
	pipeline_limit(&p.l, 0);
	assert_int_equal(pipeline_target(&p.l), 1);
	path_open(&p, 400 * CLOCK_MS, 4e9, UINT32_MAX);
	path_run(&p, 10 * CLOCK_S);
	assert_int_equal(p.most, PIPELINE_MAX);
}

/* Whatever the rate: at most three seconds' worth once it is known, and
 * never less than PIPELINE_MIN. */
static void
pipeline_stays_modest_for_slow_peers(void **state)
{
	(void)state;
	for (unsigned n = 1000; n < 1000000; n += n / 2) {
		double bps = n, worth = bps * 3 / BLOCK;
		struct path p;

		path_open(&p, 50 * CLOCK_MS, bps, 2000);
		path_run(&p, 60 * CLOCK_S);
		assert_in_range(pipeline_target(&p.l), PIPELINE_MIN,
		    worth < PIPELINE_START ? PIPELINE_START :
		    (unsigned)worth);
		p.most = 0;
		assert_true(path_run(&p, 120 * CLOCK_S) >= 0.85 * bps);
		assert_true((double)p.most <= worth + PIPELINE_START);
	}
}

static void
pipeline_shrinks_with_the_rate(void **state)
{
	struct path p;
	size_t before;

	(void)state;
	path_open(&p, 20 * CLOCK_MS, 2e7, 2000);
	path_run(&p, 3 * CLOCK_S);
	before = pipeline_target(&p.l);
	p.bps = 1e6;
	path_run(&p, 20 * CLOCK_S);
	assert_true(pipeline_target(&p.l) < before / 4);
	assert_in_range(pipeline_rate(&p.l), 900000, 1100000);
}

static void
pipeline_grows_again_with_the_rate(void **state)
{
	struct path p;

	(void)state;
	path_open(&p, 50 * CLOCK_MS, 1e6, 2000);
	path_run(&p, 5 * CLOCK_S);
	p.bps = 1e8;
	path_run(&p, 3 * CLOCK_S);
	assert_true(path_run(&p, CLOCK_S) >= 0.97e8);
}

static void
pipeline_follows_a_path_that_became_longer(void **state)
{
	struct path p;

	(void)state;
	path_open(&p, 50 * CLOCK_MS, 2e7, 2000);
	path_run(&p, 5 * CLOCK_S);
	p.round_trip = 800 * CLOCK_MS;
	path_run(&p, 30 * CLOCK_S);
	assert_true(path_run(&p, 5 * CLOCK_S) >= 0.9 * 2e7);
}

/* Its rate stays what it was, and one quick block is no path. */
static void
pipeline_fills_a_path_with_a_queue_that_tcp_sees(void **state)
{
	struct path p;

	(void)state;
	path_open(&p, 50 * CLOCK_MS, 1e6, 2000);
	path_run(&p, 5 * CLOCK_S);
	p.round_trip = 800 * CLOCK_MS;
	pipeline_set_path(&p.l, 800 * CLOCK_MS);
	path_run(&p, 5 * CLOCK_S);
	assert_true(path_run(&p, 5 * CLOCK_S) >= 0.95 * 1e6);
	assert_true(p.l.round_trip < 100 * CLOCK_MS);
}

static void
pipeline_bursts_do_not_fool_it(void **state)
{
	struct path p;

	(void)state;
	path_open(&p, 5 * CLOCK_MS, 1e8, 2000);
	path_run(&p, 10 * CLOCK_MS);
	p.bps = 200 * 1024;
	path_run(&p, 8 * CLOCK_S);
	assert_true(pipeline_target(&p.l) <= 200 * 1024 * 3 / BLOCK);
}

static void
pipeline_snubbed_asks_for_one_until_a_block_comes(void **state)
{
	struct path p;

	(void)state;
	path_open(&p, 20 * CLOCK_MS, 1e7, 2000);
	path_run(&p, 2 * CLOCK_S);
	pipeline_snubbed(&p.l);
	assert_int_equal(pipeline_target(&p.l), 1);
	assert_int_equal(pipeline_rate(&p.l), 0);
	p.open = 1;
	path_run(&p, 3 * CLOCK_S);
	assert_true(path_run(&p, CLOCK_S) >= 0.97e7);
}

static void
pipeline_a_pause_of_ours_is_not_the_peers(void **state)
{
	struct path p;
	uint64_t before;

	(void)state;
	path_open(&p, 20 * CLOCK_MS, 1e7, 2000);
	path_run(&p, 3 * CLOCK_S);
	before = pipeline_rate(&p.l);
	p.now += 60 * CLOCK_S;
	p.open = 0;
	path_run(&p, 200 * CLOCK_MS);
	assert_true(pipeline_rate(&p.l) > before / 4 * 3);
}

static void
pipeline_rests_cost_no_rate(void **state)
{
	static const double rates[] = {2e5, 4e5, 1e6, 2e6};
	static const int64_t trips[] = {CLOCK_MS, 50 * CLOCK_MS,
					400 * CLOCK_MS};
	struct path p;

	(void)state;
	for (size_t i = 0; i < 12; i++) {
		double bps = rates[i / 3];

		path_open(&p, trips[i % 3], bps, 2000);
		p.rests = true;
		pipeline_set_patient(&p.l, true);
		path_run(&p, 10 * CLOCK_S);
		assert_true(path_run(&p, 20 * CLOCK_S) >= 0.97 * bps);
		assert_true(p.turns <= p.bytes / BLOCK * 2 / 5);
	}
}

static void
pipeline_rests_where_it_pays(void **state)
{
	struct pipeline l;

	(void)state;
	pipeline_init(&l);
	pipeline_set_patient(&l, true);
	l.target = 100;
	assert_int_equal(pipeline_rest(&l), 0);	/* not known yet */
	l.rate_bps = 60000;	/* less than two blocks in a rest */
	assert_int_equal(pipeline_rest(&l), 0);
	l.rate_bps = 6 * BLOCK * 10;
	assert_int_equal(pipeline_rest(&l), 100 * CLOCK_MS);
	l.target = 6;		/* it would run dry */
	assert_int_equal(pipeline_rest(&l), 0);
	l.target = 100;
	pipeline_set_patient(&l, false);
	assert_int_equal(pipeline_rest(&l), 0);
	pipeline_set_patient(&l, true);
	l.rate_bps = 100u << 20;
	assert_int_equal(pipeline_rest(&l), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pipeline_starts_with_a_few_requests),
		cmocka_unit_test(
		    pipeline_fills_a_long_fat_path_within_two_seconds),
		cmocka_unit_test(pipeline_grows_where_all_blocks_come_together),
		cmocka_unit_test(pipeline_stays_full),
		cmocka_unit_test(
		    pipeline_fills_a_fast_near_path_in_a_tenth_of_a_second),
		cmocka_unit_test(pipeline_stays_within_reqq),
		cmocka_unit_test(pipeline_stays_modest_for_slow_peers),
		cmocka_unit_test(pipeline_shrinks_with_the_rate),
		cmocka_unit_test(pipeline_grows_again_with_the_rate),
		cmocka_unit_test(pipeline_follows_a_path_that_became_longer),
		cmocka_unit_test(
			pipeline_fills_a_path_with_a_queue_that_tcp_sees),
		cmocka_unit_test(pipeline_bursts_do_not_fool_it),
		cmocka_unit_test(
		    pipeline_snubbed_asks_for_one_until_a_block_comes),
		cmocka_unit_test(pipeline_a_pause_of_ours_is_not_the_peers),
		cmocka_unit_test(pipeline_rests_cost_no_rate),
		cmocka_unit_test(pipeline_rests_where_it_pays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
