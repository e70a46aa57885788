#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sync.h"
#include "net/ratelimit.h"

#define START (100 * CLOCK_S)

static void
no_limit_lets_everything_flow_at_once(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, 0);
	assert_false(ratelimit_enabled(&r));
	for (int i = 0; i < 100; i++)
		assert_int_equal(ratelimit_reserve(&r, 1 << 20, START), START);
	assert_int_equal(ratelimit_portion(&r, 77777), 77777);
	ratelimit_release(&r);
}

static void
a_rate_beyond_every_link_is_no_limit(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, INT64_MAX);
	assert_false(ratelimit_enabled(&r));
	assert_int_equal(ratelimit_reserve(&r, 1 << 20, START), START);
	ratelimit_release(&r);
}

static void
a_portion_flows_once_it_is_paid(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, 1000);
	assert_true(ratelimit_enabled(&r));
	assert_int_equal(ratelimit_reserve(&r, 100, START),
			 START + 100 * CLOCK_MS);
	assert_int_equal(ratelimit_reserve(&r, 400, START),
			 START + 500 * CLOCK_MS);
	ratelimit_release(&r);
}

/* What is sold is bytes, and takes as long as the new rate needs for them. */
static void
a_rate_may_change(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, 0);
	assert_int_equal(ratelimit_reserve(&r, 1 << 20, START), START);
	ratelimit_set(&r, 1000, START);
	assert_int_equal(ratelimit_reserve(&r, 1000, START), START + CLOCK_S);
	ratelimit_set(&r, 10000, START);
	assert_int_equal(ratelimit_rate(&r), 10000);
	assert_int_equal(ratelimit_reserve(&r, 100, START),
			 START + 110 * CLOCK_MS);
	ratelimit_return(&r, 1000);
	assert_int_equal(ratelimit_reserve(&r, 100, START),
			 START + 20 * CLOCK_MS);
	ratelimit_set(&r, 0, START);
	ratelimit_return(&r, 100);
	assert_int_equal(ratelimit_reserve(&r, 1 << 20, START), START);
	ratelimit_set(&r, 1000, START);
	assert_int_equal(ratelimit_reserve(&r, 100, START),
			 START + 100 * CLOCK_MS);
	ratelimit_release(&r);
}

/* What flows in ten seconds through `threads` that each wait for their own
 * reservation and wake late by `late_ns`. */
static uint64_t
flow(uint64_t rate, size_t threads, int64_t late_ns, uint64_t *each)
{
	struct ratelimit r;
	int64_t due[16];
	uint64_t sum = 0;
	size_t portion;

	ratelimit_init(&r, rate);
	portion = ratelimit_portion(&r, 16384);
	for (size_t i = 0; i < threads; i++) {
		due[i] = ratelimit_reserve(&r, portion, START) + late_ns;
		each[i] = 0;
	}
	for (;;) {
		size_t next = 0;

		for (size_t i = 1; i < threads; i++)
			next = due[i] < due[next] ? i : next;
		if (due[next] > START + 10 * CLOCK_S)
			break;
		each[next] += portion;
		sum += portion;
		due[next] = ratelimit_reserve(&r, portion, due[next]) +
			    late_ns;
	}
	ratelimit_release(&r);
	return sum;
}

static void
assert_within_5_percent(uint64_t value, uint64_t aim)
{
	assert_in_range(value, aim - aim / 20, aim + aim / 20);
}

static void
ten_seconds_are_exact_to_5_percent(void **state)
{
	static const uint64_t rates[] = {10000, 102400, 1 << 20, 100 << 20};
	uint64_t each[16];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_within_5_percent(flow(rates[i], 1, 0, each),
					rates[i] * 10);
		assert_within_5_percent(flow(rates[i], 7, 0, each),
					rates[i] * 10);
	}
}

static void
waking_late_costs_no_bytes(void **state)
{
	uint64_t each[16];

	(void)state;
	assert_within_5_percent(flow(1 << 20, 1, 3 * CLOCK_MS, each),
				10 << 20);
}

static void
threads_share_the_rate_evenly(void **state)
{
	uint64_t each[16];

	(void)state;
	flow(1 << 20, 8, 0, each);
	for (size_t i = 0; i < 8; i++)
		assert_within_5_percent(each[i], (10 << 20) / 8);
}

static void
idle_time_saves_up_no_more_than_the_burst(void **state)
{
	struct ratelimit r;
	int64_t later = START + 3600 * CLOCK_S;

	(void)state;
	ratelimit_init(&r, 1000);
	ratelimit_reserve(&r, 1, START);
	assert_int_equal(ratelimit_reserve(&r, 250, later), later);
	assert_int_equal(ratelimit_reserve(&r, 100, later),
			 later + 100 * CLOCK_MS);
	ratelimit_release(&r);
}

static void
the_first_bytes_find_nothing_saved_up(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, 1000);
	assert_int_equal(ratelimit_reserve(&r, 1, START), START + CLOCK_MS);
	ratelimit_release(&r);
}

static void
returned_bytes_can_be_reserved_again(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, 1000);
	ratelimit_reserve(&r, 1000, START);
	ratelimit_return(&r, 900);
	assert_int_equal(ratelimit_reserve(&r, 100, START),
			 START + 200 * CLOCK_MS);
	ratelimit_release(&r);
}

static void
a_portion_is_bounded_on_both_sides(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, 80000);
	assert_int_equal(ratelimit_portion(&r, 16384), 10000);
	assert_int_equal(ratelimit_portion(&r, 5000), 5000);
	ratelimit_release(&r);
	ratelimit_init(&r, 1);
	assert_int_equal(ratelimit_portion(&r, 16384), 1024);
	assert_int_equal(ratelimit_portion(&r, 500), 500);
	ratelimit_release(&r);
}

static void
huge_portions_do_not_overflow(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, 1);
	assert_true(ratelimit_reserve(&r, SIZE_MAX, START) > START);
	assert_true(ratelimit_reserve(&r, SIZE_MAX, START) > START);
	ratelimit_release(&r);
}

#define RACERS 4
#define RACES 10000

static void
race(void *arg)
{
	for (int i = 0; i < RACES; i++)
		ratelimit_reserve(arg, 1, START);
}

static void
no_reservation_of_concurrent_threads_is_lost(void **state)
{
	struct ratelimit r;
	struct thread threads[RACERS];

	(void)state;
	ratelimit_init(&r, 1000000);
	for (int i = 0; i < RACERS; i++)
		assert_int_equal(thread_start(&threads[i], "race",
					      THREAD_STACK_SMALL, race, &r,
					      NULL), 0);
	for (int i = 0; i < RACERS; i++)
		thread_join(&threads[i]);
	assert_int_equal(ratelimit_reserve(&r, 0, START),
			 START + RACERS * RACES * CLOCK_US);
	ratelimit_release(&r);
}

static void
more_is_asked_for_until_what_is_reserved_has_flown(void **state)
{
	struct ratelimit r;

	(void)state;
	ratelimit_init(&r, 1000000);
	assert_false(ratelimit_is_ahead(&r, START));
	ratelimit_reserve(&r, 1000, START);
	assert_true(ratelimit_is_ahead(&r, START));
	assert_false(ratelimit_is_ahead(&r, START + CLOCK_MS));
	ratelimit_set(&r, 0, START);
	assert_false(ratelimit_is_ahead(&r, START));
	ratelimit_release(&r);
}

static void
a_socket_sends_a_little_faster_than_the_rate(void **state)
{
	(void)state;
	assert_int_equal(ratelimit_pace(0), UINT32_MAX);
	assert_int_equal(ratelimit_pace(1), 131072);
	assert_int_equal(ratelimit_pace(800000), 900000);
	assert_int_equal(ratelimit_pace(5 << 20), UINT32_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_limit_lets_everything_flow_at_once),
		cmocka_unit_test(a_rate_beyond_every_link_is_no_limit),
		cmocka_unit_test(a_portion_flows_once_it_is_paid),
		cmocka_unit_test(a_rate_may_change),
		cmocka_unit_test(ten_seconds_are_exact_to_5_percent),
		cmocka_unit_test(waking_late_costs_no_bytes),
		cmocka_unit_test(threads_share_the_rate_evenly),
		cmocka_unit_test(idle_time_saves_up_no_more_than_the_burst),
		cmocka_unit_test(the_first_bytes_find_nothing_saved_up),
		cmocka_unit_test(returned_bytes_can_be_reserved_again),
		cmocka_unit_test(a_portion_is_bounded_on_both_sides),
		cmocka_unit_test(huge_portions_do_not_overflow),
		cmocka_unit_test(
			more_is_asked_for_until_what_is_reserved_has_flown),
		cmocka_unit_test(a_socket_sends_a_little_faster_than_the_rate),
		cmocka_unit_test(no_reservation_of_concurrent_threads_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
