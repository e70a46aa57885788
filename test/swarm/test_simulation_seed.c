/*
 * Goal: one seed sends little more than one copy before the swarm has all of
 * it, by showing pieces one by one (super-seeding) or by hints, and no swarm
 * gets stuck over it.
 */
#include "simulation.h"

enum way { PLAIN, HINTS, SHOWS };

static void
begin(struct sim *s, uint32_t nodes, uint32_t pieces, enum way way)
{
	start(s, nodes, pieces, 8);
	make_seed(s, 0);
	for (uint32_t i = 0; i < s->n; i++)
		s->nodes[i].up_bps = i ? 100 * K : 400 * K;
	s->show = way == SHOWS;
	connect_all(s, 12);
	if (way != PLAIN)
		begin_pointing(s, way == SHOWS);
}

static void
finish(struct sim *s, const char *name)
{
	run(s);
	SHOW("%s: %.1f s, bound %.1f s; %.3f copies until all was there, "
	     "%.2f in all\n", name, (double)s->now / 1e9, bound(s),
	     s->copies, (double)s->nodes[0].sent / (double)s->g.length);
	(void)name;
	assert_int_equal(s->waiting, 0);
}

static void
super_seed_sends_little_more_than_one_copy(void **state)
{
	struct sim s;

	(void)state;
	begin(&s, 101, 128, SHOWS);
	finish(&s, "shows");
	assert_true(s.copies < 1.05);
	assert_true((double)s.now / CLOCK_S < 1.4 * bound(&s));
	stop(&s);
}

static void
hints_save_what_chance_costs(void **state)
{
	struct sim s;
	double plain;

	(void)state;
	begin(&s, 9, 256, PLAIN);
	finish(&s, "plain");
	plain = s.copies;
	stop(&s);
	begin(&s, 9, 256, HINTS);
	finish(&s, "hints");
	assert_true(s.copies < 1.05);
	assert_true(s.copies < plain);
	assert_true((double)s.now / CLOCK_S < 1.4 * bound(&s));
	stop(&s);
}

static void
super_seed_serves_one_leech(void **state)
{
	struct sim s;

	(void)state;
	begin(&s, 2, 64, SHOWS);
	finish(&s, "one leech");
	assert_true((double)s.now / CLOCK_S < 1.2 * bound(&s));
	stop(&s);
}

static void
super_seed_serves_leeches_that_pass_nothing_on(void **state)
{
	struct sim s;
	double alone;

	(void)state;
	begin(&s, 9, 64, SHOWS);
	s.passive = true;
	alone = 8.0 * (double)s.g.length / s.nodes[0].up_bps;
	finish(&s, "passive");
	assert_true((double)s.now / CLOCK_S < 1.2 * alone + 10);
	stop(&s);
}

/* A third of the leeches goes at some time, with all that it has. */
static void
super_seed_copes_with_leeches_that_leave(void **state)
{
	struct sim s;

	(void)state;
	begin(&s, 61, 128, SHOWS);
	for (uint32_t i = 1; i < s.n; i += 3)
		s.nodes[i].leave_at = (i + 5) * CLOCK_S;
	finish(&s, "leaving");
	assert_true((double)s.now / CLOCK_S < 2 * bound(&s));
	stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(super_seed_sends_little_more_than_one_copy),
		cmocka_unit_test(hints_save_what_chance_costs),
		cmocka_unit_test(super_seed_serves_one_leech),
		cmocka_unit_test(
		    super_seed_serves_leeches_that_pass_nothing_on),
		cmocka_unit_test(super_seed_copes_with_leeches_that_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
