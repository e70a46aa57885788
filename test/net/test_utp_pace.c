#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/utp_pace.h"

#define PACKET 1400
#define START (1000 * CLOCK_S)

static struct utp_pace
steady(uint32_t window)
{
	struct utp_pace p;

	utp_pace_init(&p, PACKET);
	p.slow_start = false;
	p.window = window;
	return p;
}

static void
the_base_is_the_least_of_two_minutes(void **state)
{
	struct utp_delays d = {0};
	uint32_t base;

	(void)state;
	assert_false(utp_delays_base(&d, &base));
	utp_delays_add(&d, 500, START);
	utp_delays_add(&d, 900, START + 1);
	assert_true(utp_delays_base(&d, &base));
	assert_int_equal(base, 500);
	for (int i = 1; i < 14; i++)
		utp_delays_add(&d, 800, START + i * 10 * CLOCK_S);
	assert_true(utp_delays_base(&d, &base));
	assert_int_equal(base, 800);	/* 500 is forgotten */
}

static void
after_a_long_silence_nothing_old_counts(void **state)
{
	struct utp_delays d = {0};
	uint32_t base;

	(void)state;
	utp_delays_add(&d, 500, START);
	utp_delays_add(&d, 90000, START + 3600 * CLOCK_S);
	assert_true(utp_delays_base(&d, &base));
	assert_int_equal(base, 90000);
}

static void
delays_may_wrap(void **state)
{
	struct utp_pace p = steady(100000);

	(void)state;
	utp_pace_ours(&p, UINT32_MAX - 10000, START);
	for (int i = 0; i < 3; i++)
		utp_pace_ours(&p, 39999, START);
	assert_int_equal(utp_pace_queue_us(&p), 50000);
}

static void
an_empty_path_lets_it_grow_by_the_gain(void **state)
{
	struct utp_pace p = steady(100000);

	(void)state;
	utp_pace_ours(&p, 5000, START);
	utp_pace_acked(&p, 100000, 20000, true);	/* a window's worth */
	assert_int_equal((int)p.window, 100000 + UTP_GAIN);
}

static void
a_queue_of_the_target_holds_it(void **state)
{
	struct utp_pace p = steady(100000);

	(void)state;
	utp_pace_ours(&p, 5000, START);
	for (int i = 0; i < 3; i++)
		utp_pace_ours(&p, 5000 + UTP_TARGET_US, START);
	utp_pace_acked(&p, 100000, 200000, true);
	assert_int_equal((int)p.window, 100000);
	for (int i = 0; i < 3; i++)
		utp_pace_ours(&p, 5000 + 2 * UTP_TARGET_US, START);
	utp_pace_acked(&p, 100000, 400000, true);
	assert_int_equal((int)p.window, 100000 - UTP_GAIN);
}

static void
one_late_packet_is_no_queue(void **state)
{
	struct utp_pace p = steady(100000);

	(void)state;
	utp_pace_ours(&p, 5000, START);
	utp_pace_ours(&p, 5000, START);
	utp_pace_ours(&p, 905000, START);
	assert_int_equal(utp_pace_queue_us(&p), 0);
}

static void
it_does_not_grow_unless_it_was_in_the_way(void **state)
{
	struct utp_pace p = steady(100000);

	(void)state;
	utp_pace_ours(&p, 5000, START);
	utp_pace_acked(&p, 100000, 20000, false);
	assert_int_equal((int)p.window, 100000);
}

static void
slow_start_doubles_until_a_queue_is_seen(void **state)
{
	struct utp_pace p;

	(void)state;
	utp_pace_init(&p, PACKET);
	assert_int_equal((int)p.window, UTP_START_PACKETS * PACKET);
	utp_pace_ours(&p, 5000, START);
	utp_pace_acked(&p, (size_t)p.window, 20000, true);
	assert_int_equal((int)p.window, 2 * UTP_START_PACKETS * PACKET);
	for (int i = 0; i < 3; i++)
		utp_pace_ours(&p, 5000 + UTP_TARGET_US, START);
	utp_pace_acked(&p, (size_t)p.window, 200000, true);
	assert_int_equal((int)p.window, 2 * UTP_START_PACKETS * PACKET);
	assert_false(p.slow_start);
}

static void
losses_halve_it_and_a_timeout_begins_anew(void **state)
{
	struct utp_pace p = steady(100000);

	(void)state;
	utp_pace_lost(&p);
	assert_int_equal((int)p.window, 50000);
	utp_pace_timeout(&p);
	assert_int_equal((int)p.window, PACKET);
	assert_true(p.slow_start);
	assert_int_equal((int)p.threshold, 25000);
	for (int i = 0; i < 100; i++)
		utp_pace_lost(&p);
	assert_int_equal((int)p.window, PACKET);
}

/* 20 ppm over an hour, with a real queue nowhere. */
static void
clocks_that_drift_apart_are_no_queue(void **state)
{
	struct utp_pace p = steady(100000);

	(void)state;
	for (int s = 0; s < 3600; s++) {
		int64_t now = START + s * CLOCK_S;

		utp_pace_theirs(&p, (uint32_t)(5000 - s * 200), now);
		utp_pace_ours(&p, (uint32_t)(5000 + s * 200), now);
		assert_true(utp_pace_queue_us(&p) < 1000);
	}
}

static void
after_a_pause_it_feels_its_way(void **state)
{
	struct utp_pace p = steady(100000);

	(void)state;
	utp_pace_sending(&p, START, CLOCK_S);
	utp_pace_sending(&p, START + CLOCK_S / 2, CLOCK_S);
	assert_int_equal((int)p.window, 100000);
	utp_pace_sending(&p, START + 5 * CLOCK_S, CLOCK_S);
	assert_int_equal((int)p.window, UTP_START_PACKETS * PACKET);
	assert_true(p.slow_start);
}

static void
a_standing_queue_is_drained_once_a_minute(void **state)
{
	struct utp_pace p = steady(100000);
	int64_t now = START;

	(void)state;
	utp_pace_ours(&p, 1000, now);
	for (; now < START + 60 * CLOCK_S; now += CLOCK_S)
		utp_pace_ours(&p, 1000 + UTP_TARGET_US, now);
	utp_pace_acked(&p, PACKET, 120000, true);
	assert_int_equal((int)p.window, 100000);
	utp_pace_ours(&p, 1000 + UTP_TARGET_US, now + 2 * CLOCK_S);
	assert_int_equal((int)p.window, 2 * PACKET);
	/* It has gone: up to where it was, in large steps. */
	utp_pace_ours(&p, 1500, now + 3 * CLOCK_S);
	utp_pace_acked(&p, 2 * (size_t)PACKET, 20000, true);
	assert_int_equal((int)p.window, 4 * PACKET);
	assert_int_equal((int)p.threshold, 100000);
}

/* Somebody else's queue stays: we go on beside it. */
static void
a_queue_that_stays_is_not_waited_for(void **state)
{
	struct utp_pace p = steady(100000);

	(void)state;
	utp_pace_ours(&p, 1000, START);
	for (int s = 1; s < 64; s++)
		utp_pace_ours(&p, 41000, START + s * CLOCK_S);
	assert_true(p.draining);
	utp_pace_ours(&p, 41000, START + 66 * CLOCK_S);
	assert_false(p.draining);
	utp_pace_acked(&p, PACKET, 60000, true);
	assert_true(p.window > 2 * PACKET);
}

/* Whatever a hostile one says of delays, there are bounds. */
static void
lies_about_delays_keep_within_bounds(void **state)
{
	struct utp_pace p;
	uint32_t lie = 1;

	(void)state;
	utp_pace_init(&p, PACKET);
	for (int i = 0; i < 100000; i++) {
		lie = lie * 1664525u + 1013904223u;
		utp_pace_ours(&p, lie, START + i * CLOCK_MS);
		utp_pace_acked(&p, 700000, i % 3 ? 0 : 50000, true);
		assert_true(p.window >= PACKET && p.window <= 4 << 20);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_base_is_the_least_of_two_minutes),
		cmocka_unit_test(after_a_long_silence_nothing_old_counts),
		cmocka_unit_test(delays_may_wrap),
		cmocka_unit_test(an_empty_path_lets_it_grow_by_the_gain),
		cmocka_unit_test(a_queue_of_the_target_holds_it),
		cmocka_unit_test(one_late_packet_is_no_queue),
		cmocka_unit_test(it_does_not_grow_unless_it_was_in_the_way),
		cmocka_unit_test(slow_start_doubles_until_a_queue_is_seen),
		cmocka_unit_test(losses_halve_it_and_a_timeout_begins_anew),
		cmocka_unit_test(clocks_that_drift_apart_are_no_queue),
		cmocka_unit_test(after_a_pause_it_feels_its_way),
		cmocka_unit_test(a_standing_queue_is_drained_once_a_minute),
		cmocka_unit_test(a_queue_that_stays_is_not_waited_for),
		cmocka_unit_test(lies_about_delays_keep_within_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
