#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

static void
monotonic_time_never_goes_back(void **state)
{
	int64_t before = clock_ns();

	(void)state;
	assert_true(before > 0);
	for (int i = 0; i < 1000; i++) {
		int64_t now = clock_ns();

		assert_true(now >= before);
		before = now;
	}
}

static void
wall_time_is_in_seconds_since_the_epoch(void **state)
{
	time_t before = time(NULL);
	double now = clock_wall();

	(void)state;
	/* time() may lag behind by the tick of a coarse clock. */
	assert_true(now >= (double)before - 1);
	assert_true(now <= (double)time(NULL) + 2);
}

static void
poll_waits_until_the_moment_rounded_up(void **state)
{
	(void)state;
	assert_int_equal(clock_poll_ms(0, 5 * CLOCK_MS), 5);
	assert_int_equal(clock_poll_ms(0, 5 * CLOCK_MS + 1), 6);
	assert_int_equal(clock_poll_ms(7, 8), 1);
}

static void
poll_does_not_wait_for_what_is_past(void **state)
{
	(void)state;
	assert_int_equal(clock_poll_ms(10, 10), 0);
	assert_int_equal(clock_poll_ms(11, 10), 0);
	assert_int_equal(clock_poll_ms(CLOCK_S, 0), 0);
}

static void
poll_waits_for_ever_or_an_hour_at_most(void **state)
{
	(void)state;
	assert_int_equal(clock_poll_ms(0, CLOCK_NEVER), -1);
	assert_int_equal(clock_poll_ms(0, CLOCK_NEVER - CLOCK_S), 3600000);
	assert_int_equal(clock_poll_ms(0, 3601 * CLOCK_S), 3600000);
}

static void
min_is_the_earlier(void **state)
{
	(void)state;
	assert_true(clock_min(1, CLOCK_NEVER) == 1);
	assert_true(clock_min(3, 2) == 2);
}

static void
stamps_of_any_century_differ(void **state)
{
	const struct timespec old = { -1, 999999999 };
	const struct timespec now = { 1764349200, 1 };
	const struct timespec far = { (time_t)32503680000, 1 };

	(void)state;
	assert_true(clock_stamp(&old) == -1);
	assert_true(clock_stamp(&now) == 1764349200000000001);
	assert_true(clock_stamp(&far) != clock_stamp(&now));
}

static void
beats_are_the_same_for_all(void **state)
{
	(void)state;
	assert_int_equal(clock_beat(0, 5), 5);
	assert_int_equal(clock_beat(4, 5), 5);
	assert_int_equal(clock_beat(5, 5), 10);
	assert_int_equal(clock_beat(7, 5), clock_beat(9, 5));
}

static void
a_budget_allows_a_burst_and_then_one_at_a_time(void **state)
{
	int64_t paid = 0, now = 5 * CLOCK_S;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(clock_allow(&paid, now, CLOCK_S, 3 * CLOCK_S));
	assert_false(clock_allow(&paid, now, CLOCK_S, 3 * CLOCK_S));
	now += CLOCK_S;
	assert_true(clock_allow(&paid, now, CLOCK_S, 3 * CLOCK_S));
	assert_false(clock_allow(&paid, now, CLOCK_S, 3 * CLOCK_S));
	now += 1000 * CLOCK_S;
	for (int i = 0; i < 3; i++)
		assert_true(clock_allow(&paid, now, CLOCK_S, 3 * CLOCK_S));
	assert_false(clock_allow(&paid, now, CLOCK_S, 3 * CLOCK_S));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(monotonic_time_never_goes_back),
		cmocka_unit_test(wall_time_is_in_seconds_since_the_epoch),
		cmocka_unit_test(poll_waits_until_the_moment_rounded_up),
		cmocka_unit_test(poll_does_not_wait_for_what_is_past),
		cmocka_unit_test(poll_waits_for_ever_or_an_hour_at_most),
		cmocka_unit_test(min_is_the_earlier),
		cmocka_unit_test(stamps_of_any_century_differ),
		cmocka_unit_test(beats_are_the_same_for_all),
		cmocka_unit_test(
		    a_budget_allows_a_burst_and_then_one_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
