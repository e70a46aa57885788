/* Goal: picker, choker and pipeline together make a healthy swarm. */
#include "simulation.h"


static void
swarm_completes_near_the_bound(void **state)
{
	struct sim s;

	(void)state;
	start(&s, 101, 64, 8);
	make_seed(&s, 0);
	for (uint32_t i = 0; i < s.n; i++)
		s.nodes[i].up_bps = i ? 100 * K : 400 * K;
	connect_all(&s, 12);
	run(&s);
	SHOW("equal: %.1f s, bound %.1f s, seed sent %.2f\n",
	    (double)s.now / 1e9, bound(&s),
	    (double)s.nodes[0].sent / (double)s.g.length);
	assert_int_equal(s.waiting, 0);
	assert_true((double)s.now / CLOCK_S < 1.35 * bound(&s));
	stop(&s);
}

static void
swarm_of_mixed_speeds_completes_though_seeds_leave(void **state)
{
	struct sim s;

	(void)state;
	start(&s, 201, 64, 8);
	make_seed(&s, 0);
	for (uint32_t i = 0; i < s.n; i++) {
		s.nodes[i].up_bps = i ? (20 << i % 4) * K : 400 * K;
		s.nodes[i].leaves = i > 0;
	}
	connect_all(&s, 12);
	run(&s);
	SHOW("mixed: %.1f s, bound %.1f s\n", (double)s.now / 1e9,
	    bound(&s));
	assert_int_equal(s.waiting, 0);
	/* The bound takes no account of what leaves with the fast ones. */
	assert_true((double)s.now / CLOCK_S < 3 * bound(&s));
	stop(&s);
}

static void
swarm_survives_a_seed_that_leaves_early(void **state)
{
	struct sim s;

	(void)state;
	start(&s, 61, 64, 8);
	make_seed(&s, 0);
	for (uint32_t i = 0; i < s.n; i++)
		s.nodes[i].up_bps = i ? 100 * K : 800 * K;
	s.leave_after = 2.0;
	connect_all(&s, 12);
	run(&s);
	SHOW("early: %.1f s, bound %.1f s, waiting %u\n",
	    (double)s.now / 1e9, bound(&s), s.waiting);
	assert_int_equal(s.waiting, 0);
	assert_true((double)s.now / CLOCK_S < 1.5 * bound(&s));
	stop(&s);
}

/* Node 0 alone feeds them; who gives nothing waits for the leftovers. */
static void
free_riders_come_last(void **state)
{
	const uint32_t riders = 30;
	double givers, takers, luck = 0, earned = 0, all = 0;
	struct sim s;

	(void)state;
	start(&s, 121, 64, 8);
	make_seed(&s, 0);
	for (uint32_t i = 0; i < s.n; i++) {
		s.nodes[i].up_bps = i ? 50 * K : 800 * K;
		if (i > s.n - 1 - riders)
			s.nodes[i].up_bps = 0;
		s.nodes[i].leaves = i > 0;
	}
	connect_all(&s, 12);
	run(&s);
	for (uint32_t i = 1; i < s.n; i++) {
		luck += (double)s.nodes[i].to_riders[0];
		earned += (double)s.nodes[i].to_riders[1];
		all += (double)s.nodes[i].to_all;
	}
	givers = mean_done(&s, 1, s.n - riders);
	takers = mean_done(&s, s.n - riders, s.n);
	SHOW("riders: givers %.1f s, takers %.1f s; of the givers' upload "
	     "%.1f %% by luck, %.1f %% else\n", givers, takers,
	     luck / all * 100, earned / all * 100);
	assert_int_equal(s.waiting, 0);
	assert_true(takers > 1.15 * givers);
	/* What is not by luck was under way when a slot's turn ended. */
	assert_true(luck < all * 0.2);
	assert_true(earned < all * 0.01);
	stop(&s);
}

static void
last_percent_takes_no_longer_than_its_share(void **state)
{
	double whole = 0, last = 0;
	struct sim s;

	(void)state;
	start(&s, 101, 128, 8);
	make_seed(&s, 0);
	for (uint32_t i = 0; i < s.n; i++)
		s.nodes[i].up_bps = i ? (50 << i % 3) * K : 800 * K;
	connect_all(&s, 12);
	run(&s);
	for (uint32_t i = 1; i < s.n; i++) {
		whole += (double)s.nodes[i].done_at;
		last += (double)(s.nodes[i].done_at -
		    s.nodes[i].last_percent_at);
	}
	SHOW("last percent: %.2f %%\n", last / whole * 100);
	assert_int_equal(s.waiting, 0);
	assert_true(last < whole * 0.01);
	stop(&s);
}

/* Star: node 0 downloads from all the others. */
static void
star(struct sim *s, uint32_t nodes, uint32_t pieces, uint32_t blocks)
{
	start(s, nodes, pieces, blocks);
	s->ready = true;
	for (uint32_t i = 1; i < nodes; i++) {
		make_seed(s, i);
		connect_nodes(s, 0, i);
	}
}

static void
many_slow_seeds_end_together(void **state)
{
	double best = 0;
	struct sim s;

	(void)state;
	star(&s, 501, 256, 64);
	for (uint32_t i = 1; i < s.n; i++) {
		s.nodes[i].up_bps = 200 * K;
		best += s.nodes[i].up_bps;
	}
	run(&s);
	best = (double)s.g.length / best;
	SHOW("500 seeds: %.2f s, best %.2f s\n", (double)s.now / 1e9, best);
	assert_int_equal(s.waiting, 0);
	assert_true((double)s.now / CLOCK_S < best * 1.05 + 0.1);
	stop(&s);
}

static void
slow_peer_does_not_hold_the_end(void **state)
{
	struct sim s;
	double best;

	(void)state;
	star(&s, 6, 40, 64);
	for (uint32_t i = 1; i < s.n; i++)
		s.nodes[i].up_bps = 1024 * K;
	s.nodes[1].up_bps = 1 * K;
	s.nodes[2].up_bps = 10 * K;
	best = (double)s.g.length / (3 * 1024 * K);
	run(&s);
	SHOW("slow peer: %.2f s, best %.2f s\n", (double)s.now / 1e9, best);
	assert_int_equal(s.waiting, 0);
	assert_true((double)s.now / CLOCK_S < best * 1.05 + 0.2);
	stop(&s);
}

static void
one_huge_piece_is_shared_by_all(void **state)
{
	struct sim s;
	double best;

	(void)state;
	star(&s, 65, 1, 2048);
	for (uint32_t i = 1; i < s.n; i++)
		s.nodes[i].up_bps = 100 * K;
	best = (double)s.g.length / (64 * 100 * K);
	run(&s);
	SHOW("huge piece: %.2f s, best %.2f s\n", (double)s.now / 1e9, best);
	assert_int_equal(s.waiting, 0);
	assert_true((double)s.now / CLOCK_S < best * 1.05 + 0.2);
	stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(swarm_completes_near_the_bound),
		cmocka_unit_test(
		    swarm_of_mixed_speeds_completes_though_seeds_leave),
		cmocka_unit_test(swarm_survives_a_seed_that_leaves_early),
		cmocka_unit_test(free_riders_come_last),
		cmocka_unit_test(last_percent_takes_no_longer_than_its_share),
		cmocka_unit_test(many_slow_seeds_end_together),
		cmocka_unit_test(slow_peer_does_not_hold_the_end),
		cmocka_unit_test(one_huge_piece_is_shared_by_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
