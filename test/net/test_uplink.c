/* uplink: a line whose queue our upload fills, and delays that others make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/uplink.h"

#define KB 1000
#define STEP (10 * CLOCK_MS)

/* A home line: sockets hold so much, and its queue, at most. */
struct line {
	uint64_t takes_bps;
	double queue, queue_most;
	double sockets, sockets_most;
	uint64_t wanted_bps;		/* by those that take */
	int64_t others;			/* delay that is not ours */
	double sent;			/* since the last look */
	struct uplink u;
	uint64_t limit;
	int64_t now;
	/* over the last watch() */
	double all;
	int64_t delays;			/* their sum */
	unsigned steps;
};

static struct line
home_line(void)
{
	return (struct line){.takes_bps = 250 * KB, .queue_most = 100 * KB,
			     .sockets_most = 100 * KB,
			     .wanted_bps = 10000 * KB, .now = CLOCK_S};
}

static int64_t
delay_of(const struct line *l)
{
	return l->others + (int64_t)(l->queue * CLOCK_S /
				     (double)l->takes_bps);
}

static void
run_step(struct line *l)
{
	double s = (double)STEP / CLOCK_S;
	uint64_t rate = l->limit && l->limit < l->wanted_bps ? l->limit
							      : l->wanted_bps;
	double goes = (double)l->takes_bps * s, in = (double)rate * s;

	if (goes > l->queue)
		goes = l->queue;
	l->queue -= goes;
	l->sent += goes;
	if (in > l->sockets_most - l->sockets)
		in = l->sockets_most - l->sockets;
	l->sockets += in;
	in = l->queue_most - l->queue;
	if (in > l->sockets)
		in = l->sockets;
	l->queue += in;
	l->sockets -= in;
	l->now += STEP;
	l->delays += delay_of(l);
	l->steps++;
}

static void
look(struct line *l)
{
	int64_t end = l->now + uplink_pause(&l->u);

	l->sent = 0;
	while (l->now < end)
		run_step(l);
	l->limit = uplink_look(&l->u, (uint64_t)l->sent,
			       l->limit < l->wanted_bps, delay_of(l), l->now);
	l->all += l->sent;
}

/* So many seconds, or a look more. */
static void
watch(struct line *l, unsigned seconds)
{
	int64_t end = l->now + seconds * CLOCK_S;

	l->all = 0;
	l->delays = 0;
	l->steps = 0;
	while (l->now < end)
		look(l);
}

static void
uplink_has_no_limit_while_nothing_waits(void **state)
{
	struct line l = home_line();

	(void)state;
	l.wanted_bps = 200 * KB;
	watch(&l, 60);
	assert_int_equal(l.limit, 0);
	assert_int_equal(l.u.state, UPLINK_FREE);
}

static void
uplink_cuts_by_half_after_two_late_looks(void **state)
{
	struct uplink u = {0};
	int64_t now = CLOCK_S;

	(void)state;
	uplink_look(&u, 200 * KB, true, 10 * CLOCK_MS, now);
	uplink_look(&u, 200 * KB, true, 10 * CLOCK_MS, now += CLOCK_S);
	uplink_look(&u, 200 * KB, true, 400 * CLOCK_MS, now += CLOCK_S);
	assert_int_equal(u.state, UPLINK_FREE);
	uplink_look(&u, 200 * KB, true, 10 * CLOCK_MS, now += CLOCK_S);
	uplink_look(&u, 200 * KB, true, 400 * CLOCK_MS, now += CLOCK_S);
	assert_int_equal(u.state, UPLINK_FREE);
	assert_int_equal(uplink_look(&u, 200 * KB, true, 400 * CLOCK_MS,
				     now + CLOCK_S), 100 * KB);
	assert_int_equal(u.state, UPLINK_CUT);
}

static void
uplink_leaves_alone_who_sends_little(void **state)
{
	struct uplink u = {0};

	(void)state;
	for (int i = 1; i < 60; i++)
		assert_int_equal(uplink_look(&u, UPLINK_LEAST / 2, true, CLOCK_S,
					     i * CLOCK_S), 0);
}

/* Most of the line is used, and nothing waits for long. */
static void
uplink_finds_what_the_line_takes(void **state)
{
	static const double queues[] = {50, 100, 300, 1000};

	(void)state;
	for (size_t i = 0; i < sizeof(queues) / sizeof(*queues); i++) {
		struct line l = home_line();

		l.queue_most = queues[i] * KB;
		watch(&l, 30);
		assert_int_not_equal(l.u.state, UPLINK_FREE);
		watch(&l, 120);
		assert_true(l.all > 0.8 * 120 * 250 * KB);
		assert_true(l.delays / l.steps < UPLINK_LATE);
	}
}

static void
uplink_grows_with_the_line(void **state)
{
	struct line l = home_line();

	(void)state;
	watch(&l, 60);
	assert_in_range(l.limit, 1, 300 * KB);
	l.takes_bps *= 20;
	watch(&l, 60);
	assert_true(l.limit == 0 || l.limit > 2500 * KB);
}

static void
uplink_shrinks_with_the_line(void **state)
{
	struct line l = home_line();

	(void)state;
	watch(&l, 60);
	l.takes_bps /= 4;
	watch(&l, 30);
	watch(&l, 60);
	assert_in_range(l.limit, 1, 80 * KB);
	assert_true(l.delays / l.steps < 2 * UPLINK_LATE);
}

/* One try, and a longer rest after each. */
static void
uplink_leaves_alone_what_others_make(void **state)
{
	struct line l = home_line();
	unsigned limited = 0, tries = 0;

	(void)state;
	l.wanted_bps = 200 * KB;
	l.others = 500 * CLOCK_MS;
	for (unsigned i = 0; i < 600; i++) {
		enum uplink_state before = l.u.state;

		watch(&l, 1);
		limited += l.limit != 0;
		tries += before != UPLINK_CUT && l.u.state == UPLINK_CUT;
	}
	assert_in_range(tries, 2, 8);
	assert_true(limited < 60);
}

/* Now and then it falls just after a cut. */
static void
uplink_pays_little_for_delays_that_come_and_go(void **state)
{
	struct line l = home_line();
	double all = 0;

	(void)state;
	l.wanted_bps = 200 * KB;
	for (unsigned i = 0; i < 60; i++) {
		l.others = (i % 2 ? 300 : 600) * CLOCK_MS;
		watch(&l, 7 + i % 13);
		all += l.all / (7 + i % 13);
	}
	assert_true(all > 0.85 * 60 * 200 * KB);
}

static void
uplink_sees_its_own_part_beside_that_of_others(void **state)
{
	struct line l = home_line();

	(void)state;
	l.others = 150 * CLOCK_MS;
	watch(&l, 30);
	assert_int_not_equal(l.u.state, UPLINK_FREE);
	watch(&l, 60);
	assert_true(l.delays / l.steps < l.others + UPLINK_LATE);
	assert_true(l.all > 0.7 * 60 * 250 * KB);
}

/* Sockets may hold seconds of it, which go out first. */
static void
uplink_waits_until_a_cut_is_felt(void **state)
{
	struct line l = home_line();

	(void)state;
	l.sockets_most = 2000 * KB;
	watch(&l, 20);
	assert_int_not_equal(l.u.state, UPLINK_FREE);
	assert_int_equal(l.u.quiet_until, 0);
	watch(&l, 20);
	watch(&l, 60);
	assert_true(l.delays / l.steps < UPLINK_LATE);
}

/* How many seconds it had a limit, of so many. */
static unsigned
limited(struct line *l, unsigned seconds)
{
	unsigned n = 0;

	for (unsigned i = 0; i < seconds; i++) {
		watch(l, 1);
		n += l->limit != 0;
	}
	return n;
}

/* Delays that come and go all by themselves end after a cut by chance. */
static void
uplink_does_not_sink_by_chance(void **state)
{
	static const unsigned on_off[][2] = {
		{2, 2}, {3, 2}, {2, 3}, {3, 5}, {2, 6}, {4, 4}, {10, 5},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(on_off) / sizeof(*on_off); i++) {
		struct line l = home_line();
		double all = 0;

		l.takes_bps = 100000 * KB;
		l.wanted_bps = 1000 * KB;
		for (unsigned s = 0; s < 1200; s++) {
			unsigned turn = on_off[i][0] + on_off[i][1];

			l.others = s % turn < on_off[i][0] ? 400 * CLOCK_MS
							   : 0;
			watch(&l, 1);
			all += l.all;
		}
		assert_true(all > 0.8 * 1200 * 1000 * KB);
	}
}

/* It acknowledges late while we send much, and in time while we send little. */
static void
uplink_is_not_led_by_one_who_lies(void **state)
{
	struct line l = home_line();
	double all = 0;

	(void)state;
	l.takes_bps = 100000 * KB;
	l.wanted_bps = 1000 * KB;
	for (unsigned s = 0; s < 1200; s++) {
		l.others = l.u.state == UPLINK_CUT ? 0 : CLOCK_S;
		watch(&l, 1);
		all += l.all;
	}
	assert_true(all > 0.8 * 1200 * 1000 * KB);
}

static void
uplink_is_not_held_by_a_delay_without_end(void **state)
{
	static const int64_t delays[] = {CLOCK_S, 30 * CLOCK_S, 300 * CLOCK_S};

	(void)state;
	for (size_t i = 0; i < sizeof(delays) / sizeof(*delays); i++) {
		struct line l = home_line();

		l.wanted_bps = 200 * KB;
		l.others = delays[i];
		assert_true(limited(&l, 3600) < 3600 / 10);
	}
}

/* What held it is gone, and something else makes the delay. */
static void
uplink_lets_go_when_others_make_the_delay_now(void **state)
{
	struct line l = home_line();

	(void)state;
	watch(&l, 60);
	assert_true(l.limit > 0);
	l.takes_bps *= 20;
	l.others = 300 * CLOCK_MS;
	watch(&l, 60);
	assert_true(limited(&l, 600) < 600 / 4);
}

static void
uplink_keeps_its_limit_for_a_minute_while_nobody_knows(void **state)
{
	struct line l = home_line();
	uint64_t limit;
	int i;

	(void)state;
	watch(&l, 60);
	while (l.u.state != UPLINK_HELD)
		watch(&l, 1);
	limit = l.limit;
	assert_true(limit > 0);
	for (i = 1; i < 60; i++)
		assert_int_equal(uplink_look(&l.u, 0, true, -1,
					     l.now + i * CLOCK_S), limit);
	assert_int_equal(uplink_look(&l.u, 0, true, -1, l.now + i * CLOCK_S), 0);
}

static void
uplink_ends_a_cut_of_which_nobody_knows(void **state)
{
	struct line l = home_line();

	(void)state;
	while (l.u.state != UPLINK_CUT)
		watch(&l, 1);
	for (int i = 1; i <= 10; i++)
		uplink_look(&l.u, 0, true, -1, l.now + i * CLOCK_S);
	assert_int_equal(l.u.state, UPLINK_FREE);
}

static void
uplink_rests(void **state)
{
	struct line l = home_line();

	(void)state;
	watch(&l, 60);
	assert_true(l.limit > 0);
	uplink_rest(&l.u);
	assert_int_equal(l.u.state, UPLINK_FREE);
	assert_int_equal(uplink_look(&l.u, 0, true, 0, l.now + CLOCK_S), 0);
}

/* ---- before anybody knows what the line takes ---- */

static struct line
new_line(void)
{
	struct line l = home_line();

	l.queue_most = 300 * KB;
	uplink_begin(&l.u, 0, l.now);
	l.limit = l.u.limit_bps;
	return l;
}

static void
uplink_feels_what_the_line_takes(void **state)
{
	static const uint64_t lines[] = {60, 125, 250, 1000, 5000};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct line l = new_line();

		l.takes_bps = lines[i] * KB;
		l.sockets_most = (double)l.takes_bps / 10;
		watch(&l, 8);
		assert_true(l.delays / l.steps <
			    (l.takes_bps < UPLINK_START ? 3 : 1) *
				    UPLINK_LATE);
		watch(&l, 20);
		assert_int_not_equal(l.u.state, UPLINK_FREE);
		assert_true(l.all > 0.85 * 20 * (double)l.takes_bps);
		assert_true(l.delays / l.steps < UPLINK_EASED);
	}
}

static void
uplink_has_no_limit_on_a_wide_line(void **state)
{
	struct line l = new_line();

	(void)state;
	l.takes_bps = l.wanted_bps = 100000 * KB;
	l.sockets_most = 10000 * KB;
	watch(&l, 8);
	assert_int_equal(l.limit, 0);
}

static void
uplink_feels_nothing_while_little_is_sent(void **state)
{
	struct line l = new_line();

	(void)state;
	l.wanted_bps = 50 * KB;
	l.others = 80 * CLOCK_MS;
	watch(&l, 20);
	assert_int_equal(l.u.state, UPLINK_FEEL);
	assert_int_equal(l.limit, UPLINK_START);
	l.wanted_bps = 10000 * KB;
	watch(&l, 10);
	watch(&l, 20);
	assert_true(l.all > 0.8 * 20 * 250 * KB);
}

/* Who does not ask for more is not held up: others make the delay. */
static void
uplink_is_felt_by_what_was_asked_for(void **state)
{
	struct uplink asked = {0}, not_asked = {0};
	int64_t now = CLOCK_S;
	uint64_t sent = UPLINK_START / 10 / 4 * 3;

	(void)state;
	uplink_begin(&asked, 0, now);
	uplink_begin(&not_asked, 0, now);
	for (int i = 0; i < 8; i++) {
		now += UPLINK_SOON;
		uplink_look(&asked, sent, true, 30 * CLOCK_MS, now);
		uplink_look(&not_asked, sent, false, 30 * CLOCK_MS, now);
	}
	assert_int_equal(asked.state, UPLINK_CUT);
	assert_int_equal(not_asked.state, UPLINK_FEEL);
}

static void
uplink_does_not_begin_while_it_leaves_the_upload_alone(void **state)
{
	struct uplink u = {.quiet_until = 2 * CLOCK_S};

	(void)state;
	uplink_begin(&u, 0, CLOCK_S);
	assert_int_equal(u.state, UPLINK_FREE);
	uplink_begin(&u, 0, 2 * CLOCK_S);
	assert_int_equal(u.state, UPLINK_FEEL);
}

/* Seeds are not held up because a download begins. */
static void
uplink_begins_with_what_is_sent(void **state)
{
	struct uplink u = {0};

	(void)state;
	uplink_begin(&u, 5 << 20, CLOCK_S);
	assert_int_equal(u.state, UPLINK_FEEL);
	assert_int_equal(u.limit_bps, 5 << 20);
	uplink_rest(&u);
	uplink_begin(&u, 1000, 2 * CLOCK_S);
	assert_int_equal(u.limit_bps, UPLINK_START);
}

static void
uplink_begins_with_what_it_knew(void **state)
{
	struct line l = new_line();

	(void)state;
	watch(&l, 20);
	uplink_rest(&l.u);
	uplink_begin(&l.u, 0, l.now);
	assert_in_range(l.u.limit_bps, 200 * KB, 260 * KB);
}

static void
uplink_takes_steps_back_and_then_grows_through_it(void **state)
{
	struct uplink u = {.state = UPLINK_HELD, .full_bps = 160 * KB,
			   .limit_bps = 160 * KB};
	int64_t now = CLOCK_S;
	uint64_t limit;

	(void)state;
	uplink_look(&u, 160 * KB, true, 0, now);
	limit = uplink_look(&u, 160 * KB, true, 70 * CLOCK_MS, now += CLOCK_S);
	assert_int_equal(limit, 150 * KB);
	for (int i = 0; i < 11; i++)
		limit = uplink_look(&u, 160 * KB, true, 70 * CLOCK_MS,
				    now += CLOCK_S);
	assert_in_range(limit, 110 * KB, 120 * KB);
	assert_true(uplink_look(&u, 160 * KB, true, 70 * CLOCK_MS,
				now += CLOCK_S) > limit);
	assert_int_equal(u.state, UPLINK_HELD);
}

/* However they say it is. */
static void
uplink_is_not_held_for_long_by_those_who_lie_at_first(void **state)
{
	(void)state;
	for (int64_t ms = 20; ms <= 1000; ms += 7) {
		struct line l = new_line();

		l.takes_bps = l.wanted_bps = 100000 * KB;
		l.sockets_most = 10000 * KB;
		for (unsigned s = 0; s < 120; s++) {
			l.others = s % 3 == 0 || l.u.state == UPLINK_CUT
					   ? 0 : ms * CLOCK_MS;
			watch(&l, 1);
		}
		assert_true(l.limit == 0 || l.limit > 5000 * KB);
	}
}

/* ---- */

static void
uplink_takes_what_most_have_in_common(void **state)
{
	int64_t one[] = {7};
	int64_t late_comer[] = {300, 0, 310, 320, 900};

	(void)state;
	assert_int_equal(uplink_common(NULL, 0), -1);
	assert_int_equal(uplink_common(one, 1), 7);
	assert_int_equal(uplink_common(late_comer, 5), 300);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uplink_has_no_limit_while_nothing_waits),
		cmocka_unit_test(uplink_cuts_by_half_after_two_late_looks),
		cmocka_unit_test(uplink_leaves_alone_who_sends_little),
		cmocka_unit_test(uplink_finds_what_the_line_takes),
		cmocka_unit_test(uplink_grows_with_the_line),
		cmocka_unit_test(uplink_shrinks_with_the_line),
		cmocka_unit_test(uplink_leaves_alone_what_others_make),
		cmocka_unit_test(uplink_pays_little_for_delays_that_come_and_go),
		cmocka_unit_test(uplink_sees_its_own_part_beside_that_of_others),
		cmocka_unit_test(uplink_waits_until_a_cut_is_felt),
		cmocka_unit_test(uplink_does_not_sink_by_chance),
		cmocka_unit_test(uplink_is_not_led_by_one_who_lies),
		cmocka_unit_test(uplink_is_not_held_by_a_delay_without_end),
		cmocka_unit_test(uplink_lets_go_when_others_make_the_delay_now),
		cmocka_unit_test(
			uplink_keeps_its_limit_for_a_minute_while_nobody_knows),
		cmocka_unit_test(uplink_ends_a_cut_of_which_nobody_knows),
		cmocka_unit_test(uplink_rests),
		cmocka_unit_test(uplink_feels_what_the_line_takes),
		cmocka_unit_test(uplink_has_no_limit_on_a_wide_line),
		cmocka_unit_test(uplink_feels_nothing_while_little_is_sent),
		cmocka_unit_test(uplink_is_felt_by_what_was_asked_for),
		cmocka_unit_test(
			uplink_does_not_begin_while_it_leaves_the_upload_alone),
		cmocka_unit_test(uplink_begins_with_what_is_sent),
		cmocka_unit_test(uplink_begins_with_what_it_knew),
		cmocka_unit_test(
			uplink_takes_steps_back_and_then_grows_through_it),
		cmocka_unit_test(
			uplink_is_not_held_for_long_by_those_who_lie_at_first),
		cmocka_unit_test(uplink_takes_what_most_have_in_common),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
