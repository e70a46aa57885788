#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "discover/tiers.h"

#define S CLOCK_S

static const char *const four[] = {"http://a/", "http://b/", "http://c/",
				   "udp://d:1/"};

static struct tiers *
make(const char *const *urls, const size_t *sizes, size_t count)
{
	struct tiers_config config = {
	    .urls = urls, .sizes = sizes, .count = count, .seed = 1};
	struct tiers *t = tiers_new(&config, NULL);

	assert_non_null(t);
	return t;
}

/* One tier with one tracker. */
static int
setup_one(void **state)
{
	*state = make(four, (const size_t[]){1}, 1);
	tiers_start(*state, 0);
	return 0;
}

/* One tier with two trackers. */
static int
setup_pair(void **state)
{
	*state = make(four, (const size_t[]){2}, 1);
	tiers_start(*state, 0);
	return 0;
}

/* One tier with four trackers. */
static int
setup_four(void **state)
{
	*state = make(four, (const size_t[]){4}, 1);
	tiers_start(*state, 0);
	return 0;
}

/* Two tiers with two trackers each. */
static int
setup_two(void **state)
{
	*state = make(four, (const size_t[]){2, 2}, 2);
	tiers_start(*state, 0);
	return 0;
}

static int
teardown(void **state)
{
	tiers_free(*state);
	return 0;
}

static size_t
expect(struct tiers *t, int64_t now, enum tracker_event event)
{
	struct tiers_job job;

	assert_true(tiers_next(t, now, &job));
	assert_int_equal(job.event, event);
	return job.tracker;
}

static void
expect_none(struct tiers *t, int64_t now)
{
	struct tiers_job job;

	assert_false(tiers_next(t, now, &job));
}

static void
answer(struct tiers *t, size_t tracker, uint32_t interval, uint32_t min,
       int64_t now)
{
	struct tracker_answer a;

	tracker_answer_init(&a);
	a.interval = interval;
	a.min_interval = min;
	tiers_answered(t, tracker, &a, now);
}

static void
give_up(struct tiers *t, size_t tracker, uint32_t retry_in, int64_t now)
{
	struct tracker_answer a = {.retry_in = retry_in};
	struct error e;

	error_set(&e, ERROR_NETWORK, "away");
	tiers_failed(t, tracker, &e, &a, now);
}

static void
nothing_is_due_before_the_start(void **state)
{
	struct tiers *t = make(four, (const size_t[]){4}, 1);

	(void)state;
	expect_none(t, 100 * S);
	assert_true(tiers_due(t) == CLOCK_NEVER);
	assert_true(tiers_idle(t));
	tiers_free(t);
}

static void
started_comes_first_and_then_plain_announces(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	answer(*state, i, 100, 0, S);
	assert_true(tiers_due(*state) == 101 * S);
	expect_none(*state, 101 * S - 1);
	expect(*state, 101 * S, TRACKER_NONE);
}

/* Who works gets its time. */
static void
one_tracker_a_tier_is_asked_at_a_time(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	expect_none(*state, TIERS_PATIENCE * S - 1);
	answer(*state, i, 100, 0, S);
	assert_int_equal(expect(*state, 101 * S, TRACKER_NONE), i);
	assert_true(tiers_due(*state) == CLOCK_NEVER);
	expect_none(*state, 100000 * S);
}

static void
a_silent_tracker_does_not_keep_the_next_one_waiting(void **state)
{
	struct tiers *t = *state;
	bool seen[4] = {false};

	for (int n = 0; n < 4; n++) {
		int64_t now = n * TIERS_PATIENCE * S;
		size_t i;

		assert_true(tiers_due(t) == now);
		i = expect(t, now, TRACKER_STARTED);
		assert_false(seen[i]);
		seen[i] = true;
		expect_none(t, now);
	}
	expect_none(t, 100000 * S);
	assert_true(tiers_due(t) == CLOCK_NEVER);
}

static void
whoever_answers_first_is_the_tiers_tracker(void **state)
{
	struct tiers *t = *state;
	size_t a = expect(t, 0, TRACKER_STARTED);
	size_t b = expect(t, 5 * S, TRACKER_STARTED);

	answer(t, b, 100, 0, 6 * S);
	assert_true(tiers_due(t) == 106 * S);
	/* It has us on its list, and is left at that. */
	answer(t, a, 10, 0, 9 * S);
	assert_true(tiers_due(t) == 106 * S);
	assert_int_equal(expect(t, 106 * S, TRACKER_NONE), b);
	answer(t, b, 100, 0, 106 * S);
	tiers_stop(t);
	assert_true(expect(t, 107 * S, TRACKER_STOPPED) !=
		    expect(t, 107 * S, TRACKER_STOPPED));
	expect_none(t, 107 * S);
}

static void
a_late_failure_changes_nothing(void **state)
{
	struct tiers *t = *state;
	size_t a = expect(t, 0, TRACKER_STARTED);
	size_t b = expect(t, 5 * S, TRACKER_STARTED);

	answer(t, b, 100, 0, 6 * S);
	give_up(t, a, 0, 30 * S);
	assert_true(tiers_due(t) == 106 * S);
	assert_int_equal(expect(t, 106 * S, TRACKER_NONE), b);
	/* a's time to come back has passed */
	give_up(t, b, 0, 107 * S);
	assert_int_equal(expect(t, 107 * S, TRACKER_STARTED), a);
}

static void
what_is_late_is_asked_again_when_it_has_ended(void **state)
{
	struct tiers *t = *state;
	size_t a = expect(t, 0, TRACKER_STARTED);
	size_t b = expect(t, 5 * S, TRACKER_STARTED);

	answer(t, b, 10, 0, 6 * S);
	assert_int_equal(expect(t, 16 * S, TRACKER_NONE), b);
	give_up(t, b, TRACKER_RETRY_NEVER, 17 * S);
	expect_none(t, 17 * S);
	assert_true(tiers_due(t) == CLOCK_NEVER);
	answer(t, a, 50, 0, 20 * S);
	assert_int_equal(expect(t, 70 * S, TRACKER_NONE), a);
}

static void
the_failure_of_one_of_two_brings_the_next_at_once(void **state)
{
	struct tiers *t = *state;
	size_t a = expect(t, 0, TRACKER_STARTED), b, c;

	expect(t, 5 * S, TRACKER_STARTED);
	give_up(t, a, 0, 6 * S);
	b = expect(t, 6 * S, TRACKER_STARTED);
	expect_none(t, 11 * S - 1);
	c = expect(t, 11 * S, TRACKER_STARTED);
	assert_true(a != b && a != c && b != c);
	expect_none(t, 16 * S);
	/* The first one's time to come back is next. */
	assert_in_range(tiers_due(t), 20 * S, 27 * S);
	assert_int_equal(expect(t, tiers_due(t), TRACKER_STARTED), a);
}

static void
completed_goes_to_the_one_that_answered_first(void **state)
{
	struct tiers *t = *state;
	size_t a = expect(t, 0, TRACKER_STARTED);
	size_t b = expect(t, 5 * S, TRACKER_STARTED);

	tiers_completed(t, 6 * S);
	expect_none(t, 6 * S);
	answer(t, b, 100, 0, 6 * S);
	assert_int_equal(expect(t, 6 * S, TRACKER_COMPLETED), b);
	answer(t, a, 100, 0, 7 * S);
	expect_none(t, 7 * S);
	answer(t, b, 100, 0, 8 * S);
	expect_none(t, 107 * S);
}

static void
a_completed_that_is_given_up_at_the_end_is_not_told_again(void **state)
{
	struct tiers *t = *state;
	size_t i = expect(t, 0, TRACKER_STARTED);

	answer(t, i, 100, 0, S);
	tiers_completed(t, 2 * S);
	assert_int_equal(expect(t, 2 * S, TRACKER_COMPLETED), i);
	tiers_await(t, i);
	tiers_stop(t);
	expect_none(t, 3 * S);
	tiers_let_go(t, i);
	assert_int_equal(expect(t, 4 * S, TRACKER_STOPPED), i);
	expect_none(t, 4 * S);
}

static void
all_tiers_are_asked_in_parallel(void **state)
{
	size_t a = expect(*state, 0, TRACKER_STARTED);
	size_t b = expect(*state, 0, TRACKER_STARTED);

	assert_true(a / 2 != b / 2);
	expect_none(*state, 0);
}

static void
add(struct tiers *t, const char *const *urls, size_t n, int64_t now)
{
	struct tiers_config more = {.urls = urls, .sizes = &n, .count = 1};
	struct error e;

	assert_int_equal(tiers_add(t, &more, now, &e), 0);
}

static void
trackers_that_are_added_are_asked_at_once(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	answer(*state, i, 100, 0, S);
	add(*state, four + 1, 2, 5 * S);
	i = expect(*state, 5 * S, TRACKER_STARTED);
	assert_in_range(i, 1, 2);
	expect_none(*state, 5 * S);
	answer(*state, i, 100, 0, 6 * S);
	assert_true(tiers_due(*state) == 101 * S);
}

static void
trackers_that_are_added_before_the_start_wait_for_it(void **state)
{
	struct tiers *t = make(four, (const size_t[]){1}, 1);

	(void)state;
	add(t, four + 1, 1, 0);
	expect_none(t, 0);
	tiers_start(t, S);
	expect(t, S, TRACKER_STARTED);
	expect(t, S, TRACKER_STARTED);
	tiers_free(t);
}

static void
trackers_that_are_known_are_not_added(void **state)
{
	add(*state, four, 1, 0);
	assert_int_equal(tiers_trackers(*state), 1);
	add(*state, four, 2, 0);
	assert_int_equal(tiers_trackers(*state), 2);
	assert_int_equal(tiers_tracker(*state, 1)->tier, 1);
}

static void
trackers_that_are_added_at_the_end_are_not_asked(void **state)
{
	tiers_stop(*state);
	add(*state, four + 1, 1, 0);
	expect_none(*state, 0);
	assert_true(tiers_idle(*state));
}

/* They get their turn where nothing works. */
static void
trackers_that_are_added_when_all_tiers_are_taken_share_one(void **state)
{
	char text[2 * TIERS_MAX][24];
	const char *urls[2 * TIERS_MAX];
	size_t i = expect(*state, 0, TRACKER_STARTED);
	struct tiers_job job;
	size_t asked = 1;

	answer(*state, i, 100, 0, 0);
	for (size_t n = 1; n < TIERS_MAX; n++) {
		snprintf(text[n], sizeof(text[n]), "http://%zu/", n);
		urls[n] = text[n];
		add(*state, &urls[n], 1, 0);
	}
	for (; tiers_next(*state, 0, &job); asked++)
		give_up(*state, job.tracker, 0, 0);
	assert_int_equal(asked, TIERS_MAX);
	for (size_t n = TIERS_MAX; n < 2 * TIERS_MAX; n++) {
		snprintf(text[n], sizeof(text[n]), "http://%zu/", n);
		urls[n] = text[n];
		add(*state, &urls[n], 1, S);
	}
	for (; tiers_next(*state, S, &job); asked++)
		give_up(*state, job.tracker, 0, S);
	assert_int_equal(asked, 2 * TIERS_MAX - 1);
}

static void
a_failure_falls_through_to_the_next_at_once(void **state)
{
	bool seen[4] = {false};

	for (int n = 0; n < 4; n++) {
		size_t i = expect(*state, 0, TRACKER_STARTED);

		assert_false(seen[i]);
		seen[i] = true;
		give_up(*state, i, 0, 0);
	}
	expect_none(*state, 0);
	/* 17.5 s, 20 % more or less */
	assert_in_range(tiers_due(*state), 14 * S, 21 * S);
}

static void
the_one_that_answers_moves_to_the_front(void **state)
{
	size_t a = expect(*state, 0, TRACKER_STARTED);
	size_t b;

	give_up(*state, a, 0, 0);
	b = expect(*state, 0, TRACKER_STARTED);
	answer(*state, b, 100, 0, 0);
	assert_int_equal(expect(*state, 100 * S, TRACKER_NONE), b);
	answer(*state, b, 100, 0, 100 * S);
	assert_int_equal(expect(*state, 200 * S, TRACKER_NONE), b);
	/* and back, as one that has not heard of us */
	give_up(*state, b, 0, 200 * S);
	assert_int_equal(expect(*state, 200 * S, TRACKER_STARTED), a);
}

static void
the_order_within_a_tier_is_random(void **state)
{
	unsigned first[4] = {0};

	(void)state;
	for (uint64_t seed = 0; seed < 64; seed++) {
		struct tiers_config config = {.urls = four,
					      .sizes = (const size_t[]){4},
					      .count = 1,
					      .seed = seed};
		struct tiers *t = tiers_new(&config, NULL);

		tiers_start(t, 0);
		first[expect(t, 0, TRACKER_STARTED)]++;
		tiers_free(t);
	}
	for (int i = 0; i < 4; i++)
		assert_in_range(first[i], 4, 40);
}

static void
udp_trackers_can_be_left_out(void **state)
{
	struct tiers_config config = {.urls = four,
				      .sizes = (const size_t[]){3, 1},
				      .count = 2,
				      .no_udp = true};
	struct tiers *t = tiers_new(&config, NULL);

	(void)state;
	assert_int_equal(tiers_trackers(t), 3);
	tiers_free(t);
}

static void
backoff_grows_with_the_square_and_ends_at_an_hour(void **state)
{
	int64_t now = 0;

	for (int n = 1; n < 30; n++) {
		int64_t wait = 5 * S + n * n * 12500 * CLOCK_MS;
		size_t i = expect(*state, now, TRACKER_STARTED);

		if (wait > 3600 * S)
			wait = 3600 * S;
		give_up(*state, i, 0, now);
		expect_none(*state, now);
		assert_in_range(tiers_due(*state) - now, wait / 10 * 8,
				wait / 10 * 12);
		now = tiers_due(*state);
	}
}

static void
a_tracker_can_say_when_to_come_back(void **state)
{
	give_up(*state, expect(*state, 0, TRACKER_STARTED), 600, 0);
	expect_none(*state, 0);
	assert_true(tiers_due(*state) == 600 * S);
}

static void
a_tracker_that_says_never_is_not_asked_again(void **state)
{
	give_up(*state, expect(*state, 0, TRACKER_STARTED), TRACKER_RETRY_NEVER,
	     0);
	expect_none(*state, 0);
	assert_true(tiers_due(*state) == CLOCK_NEVER);
}

/* What it says, and when it is asked next. */
static int64_t
wait_for(struct tiers *t, uint32_t interval, uint32_t min)
{
	answer(t, expect(t, 0, TRACKER_STARTED), interval, min, 0);
	return tiers_due(t);
}

static void
no_interval_is_half_an_hour(void **state)
{
	assert_true(wait_for(*state, 0, 0) == 1800 * S);
}

static void
a_tiny_interval_is_raised(void **state)
{
	assert_true(wait_for(*state, 1, 0) == 5 * S);
}

static void
a_huge_interval_is_cut_to_a_day(void **state)
{
	assert_true(wait_for(*state, UINT32_MAX, UINT32_MAX) == 86400 * S);
}

static void
the_minimum_wins_over_the_interval(void **state)
{
	assert_true(wait_for(*state, 60, 90) == 90 * S);
}

static void
wanting_peers_asks_at_the_trackers_minimum(void **state)
{
	wait_for(*state, 1800, 300);
	tiers_want_peers(*state, 10 * S);
	assert_true(tiers_due(*state) == 300 * S);
	tiers_want_peers(*state, 400 * S);
	assert_true(tiers_due(*state) == 300 * S);
	expect(*state, 300 * S, TRACKER_NONE);
}

static void
wanting_peers_late_asks_at_once(void **state)
{
	wait_for(*state, 1800, 300);
	tiers_want_peers(*state, 400 * S);
	assert_true(tiers_due(*state) == 400 * S);
}

static void
without_a_minimum_early_announces_double_their_wait(void **state)
{
	int64_t now = 0;
	size_t i = expect(*state, 0, TRACKER_STARTED);

	for (int64_t wait = 60; wait < 1800; wait *= 2) {
		answer(*state, i, 1800, 0, now);
		tiers_want_peers(*state, now);
		assert_true(tiers_due(*state) == now + wait * S);
		now = tiers_due(*state);
		expect(*state, now, TRACKER_NONE);
	}
	answer(*state, i, 1800, 0, now);
	tiers_want_peers(*state, now);
	assert_true(tiers_due(*state) == now + 1800 * S);
	/* a regular one in between, and it starts anew */
	now += 1800 * S;
	expect(*state, now, TRACKER_NONE);
	answer(*state, i, 1800, 0, now);
	tiers_want_peers(*state, now);
	assert_true(tiers_due(*state) == now + 60 * S);
}

static void
wanting_peers_never_hurries_a_failed_tracker(void **state)
{
	int64_t due;

	give_up(*state, expect(*state, 0, TRACKER_STARTED), 0, 0);
	expect_none(*state, 0);
	due = tiers_due(*state);
	tiers_want_peers(*state, S);
	assert_true(tiers_due(*state) == due);
}

static void
news_are_told_as_early_as_the_tracker_allows(void **state)
{
	size_t i;

	wait_for(*state, 1800, 300);
	tiers_news(*state, 10 * S);
	assert_true(tiers_due(*state) == 300 * S);
	i = expect(*state, 300 * S, TRACKER_NONE);
	answer(*state, i, 1800, 300, 301 * S);
	assert_true(tiers_due(*state) == 2101 * S);
}

static void
news_of_meanwhile_come_behind_the_answer(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	tiers_news(*state, S);
	assert_true(tiers_due(*state) > S);
	answer(*state, i, 1800, 300, 2 * S);
	assert_true(tiers_due(*state) == 302 * S);
	expect(*state, 302 * S, TRACKER_NONE);
	answer(*state, i, 1800, 300, 303 * S);
	assert_true(tiers_due(*state) == 2103 * S);
}

/* Whoever is asked in its place hears them, and so does it when it is back. */
static void
news_do_not_hurry_a_failed_tracker(void **state)
{
	int64_t due;
	size_t i = expect(*state, 0, TRACKER_STARTED);

	tiers_news(*state, S);
	give_up(*state, i, 0, 2 * S);
	expect_none(*state, 2 * S);
	due = tiers_due(*state);
	tiers_news(*state, 3 * S);
	assert_true(tiers_due(*state) == due);
	answer(*state, expect(*state, due, TRACKER_STARTED), 1800, 300, due);
	assert_true(tiers_due(*state) == due + 1800 * S);
}

static void
completed_is_told_at_once_and_only_once(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	answer(*state, i, 100, 50, 0);
	tiers_completed(*state, S);
	expect(*state, S, TRACKER_COMPLETED);
	answer(*state, i, 100, 50, S);
	expect_none(*state, 101 * S - 1);
	expect(*state, 101 * S, TRACKER_NONE);
}

static void
completed_comes_behind_started(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	tiers_completed(*state, S);
	expect_none(*state, S);
	answer(*state, i, 100, 0, 2 * S);
	expect(*state, 2 * S, TRACKER_COMPLETED);
}

static void
completed_is_told_again_after_a_failure(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	answer(*state, i, 100, 0, 0);
	tiers_completed(*state, S);
	expect(*state, S, TRACKER_COMPLETED);
	give_up(*state, i, 0, S);
	expect(*state, 30 * S, TRACKER_COMPLETED);
}

static void
stopped_goes_to_whoever_heard_started(void **state)
{
	size_t a = expect(*state, 0, TRACKER_STARTED);
	size_t b = expect(*state, 0, TRACKER_STARTED);

	answer(*state, a, 100, 0, 0);
	give_up(*state, b, 0, 0);
	tiers_stop(*state);
	assert_false(tiers_idle(*state));
	assert_int_equal(expect(*state, S, TRACKER_STOPPED), a);
	expect_none(*state, S);
	assert_false(tiers_idle(*state));
	answer(*state, a, 100, 0, S);
	assert_true(tiers_idle(*state));
	expect_none(*state, 100000 * S);
}

static void
stopped_is_not_told_twice_when_it_fails(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	answer(*state, i, 100, 0, 0);
	tiers_stop(*state);
	expect(*state, S, TRACKER_STOPPED);
	give_up(*state, i, 0, S);
	assert_true(tiers_idle(*state));
	expect_none(*state, 100000 * S);
}

static void
stop_before_any_answer_is_idle_at_once(void **state)
{
	expect(*state, 0, TRACKER_STARTED);
	tiers_stop(*state);
	assert_true(tiers_idle(*state));
	expect_none(*state, S);
}

static void
stopped_goes_to_whoever_may_have_heard_started(void **state)
{
	size_t a = expect(*state, 0, TRACKER_STARTED);

	expect(*state, 0, TRACKER_STARTED);
	tiers_await(*state, a);
	tiers_stop(*state);
	assert_false(tiers_idle(*state));
	expect_none(*state, S);
	tiers_let_go(*state, a);
	assert_int_equal(expect(*state, S, TRACKER_STOPPED), a);
	expect_none(*state, S);
	give_up(*state, a, 0, S);
	assert_true(tiers_idle(*state));
}

static void
what_was_heard_of_a_failed_announce_is_forgotten(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	tiers_await(*state, i);
	give_up(*state, i, 0, 0);
	expect(*state, 1000 * S, TRACKER_STARTED);
	tiers_stop(*state);
	assert_true(tiers_idle(*state));
}

static void
completed_comes_between_a_late_answer_and_stopped(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	tiers_completed(*state, S);
	tiers_await(*state, i);
	tiers_stop(*state);
	expect_none(*state, S);
	answer(*state, i, 100, 0, S);
	assert_int_equal(expect(*state, S, TRACKER_COMPLETED), i);
	expect_none(*state, S);
	answer(*state, i, 100, 0, S);
	assert_int_equal(expect(*state, S, TRACKER_STOPPED), i);
	answer(*state, i, 100, 0, S);
	assert_true(tiers_idle(*state));
	expect_none(*state, S);
}

static void
completed_is_told_to_the_one_of_a_tier_that_answers_late(void **state)
{
	size_t a = expect(*state, 0, TRACKER_STARTED), b;

	give_up(*state, a, 0, 0);
	b = expect(*state, 0, TRACKER_STARTED);
	tiers_completed(*state, S);
	tiers_await(*state, b);
	tiers_stop(*state);
	answer(*state, b, 100, 0, S);
	assert_int_equal(expect(*state, S, TRACKER_COMPLETED), b);
}

static void
whoever_refuses_late_hears_no_more(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	tiers_completed(*state, S);
	tiers_await(*state, i);
	tiers_stop(*state);
	give_up(*state, i, 0, S);
	assert_true(tiers_idle(*state));
	expect_none(*state, S);
}

static void
completed_that_was_not_told_comes_before_stopped(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	answer(*state, i, 100, 0, 0);
	tiers_completed(*state, S);
	tiers_stop(*state);
	expect(*state, S, TRACKER_COMPLETED);
	expect_none(*state, S);
	answer(*state, i, 100, 0, S);
	expect(*state, S, TRACKER_STOPPED);
}

static void
completed_under_way_is_awaited_before_stopped(void **state)
{
	size_t i = expect(*state, 0, TRACKER_STARTED);

	answer(*state, i, 100, 0, 0);
	tiers_completed(*state, S);
	expect(*state, S, TRACKER_COMPLETED);
	tiers_await(*state, i);
	tiers_stop(*state);
	expect_none(*state, S);
	give_up(*state, i, 0, 2 * S);
	expect(*state, 2 * S, TRACKER_STOPPED);
}

static void
the_trackers_id_is_given_back(void **state)
{
	struct tracker_answer a;
	struct tiers_job job;

	tracker_answer_init(&a);
	strcpy(a.id, "xyz");
	tiers_answered(*state, expect(*state, 0, TRACKER_STARTED), &a, 0);
	assert_true(tiers_next(*state, 1800 * S, &job));
	assert_string_equal(job.id, "xyz");
	/* kept when it does not say one again */
	answer(*state, job.tracker, 100, 0, 1800 * S);
	assert_true(tiers_next(*state, 1900 * S, &job));
	assert_string_equal(job.id, "xyz");
}

static void
repeated_and_unusable_urls_are_left_out(void **state)
{
	static const char *const urls[] = {"http://a/", "http://a/", "wss://b/",
					   "http://a/", "http://c/"};
	struct tiers *t = make(urls, (const size_t[]){2, 1, 0, 2}, 4);

	(void)state;
	assert_int_equal(tiers_trackers(t), 2);
	assert_string_equal(tiers_tracker(t, 0)->url, "http://a/");
	assert_string_equal(tiers_tracker(t, 1)->url, "http://c/");
	assert_int_equal(tiers_tracker(t, 1)->tier, 1);
	tiers_free(t);
}

/* Each of them is asked all the same, where those before it fail. */
static void
the_number_of_tiers_is_bounded(void **state)
{
	static char text[1000][24];
	static const char *urls[1000];
	static size_t sizes[1000];
	bool asked[1000] = {false};
	size_t at_once = 0, all = 0;
	struct tiers_job job, last;
	struct tiers *t;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(text[i], sizeof(text[i]), "http://h%d/", i);
		urls[i] = text[i];
		sizes[i] = 1;
	}
	t = make(urls, sizes, 1000);
	tiers_start(t, 0);
	for (; tiers_next(t, 0, &last); at_once++) {
		assert_false(asked[last.tracker]);
		asked[last.tracker] = true;
	}
	assert_int_equal(at_once, TIERS_MAX);
	for (size_t i = 0; i < 1000; i++)
		if (asked[i])
			give_up(t, i, TRACKER_RETRY_NEVER, 0);
	for (all = at_once; tiers_next(t, 0, &job); all++)
		give_up(t, job.tracker, TRACKER_RETRY_NEVER, 0);
	assert_int_equal(all, 1000);
	tiers_free(t);
}

/* However long their silence. */
static void
the_number_of_trackers_under_way_is_bounded(void **state)
{
	static char text[1000][24];
	static const char *urls[1000];
	static size_t sizes[250];
	struct tiers_job job;
	struct tiers *t;
	size_t all = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(text[i], sizeof(text[i]), "udp://h%d:1/", i);
		urls[i] = text[i];
		sizes[i / 4] = 4;
	}
	t = make(urls, sizes, 100);
	tiers_start(t, 0);
	for (int64_t now = 0; now < 100 * S; now += S)
		while (tiers_next(t, now, &job))
			all++;
	assert_int_equal(all, TIERS_MAX);
	assert_true(tiers_due(t) == CLOCK_NEVER);
	/* One ends, one comes. */
	give_up(t, job.tracker, 0, 100 * S);
	expect(t, 100 * S, TRACKER_STARTED);
	expect_none(t, 100 * S);
	tiers_free(t);
}

/* Fails until it would wait for an hour. */
static int64_t
wear_out(struct tiers *t, enum error_kind kind)
{
	struct error e;
	int64_t now = 0;

	error_set(&e, kind, "away");
	for (int i = 0; i < 20; i++) {
		size_t n = expect(t, now, TRACKER_STARTED);

		tiers_failed(t, n, &e, NULL, now);
		expect_none(t, now);
		if (i < 19)
			now = tiers_due(t);
	}
	return now;
}

static void
in_a_hurry_an_unreachable_tracker_is_due(void **state)
{
	int64_t now = wear_out(*state, ERROR_NETWORK);
	size_t n;

	expect_none(*state, now + 60 * S);
	tiers_hurry(*state, now + 60 * S);
	n = expect(*state, now + 60 * S, TRACKER_STARTED);
	give_up(*state, n, 0, now + 60 * S);
	expect_none(*state, now + 60 * S);
	assert_true(tiers_due(*state) < now + 160 * S);
}

static void
in_a_hurry_a_tracker_that_refused_is_left_alone(void **state)
{
	int64_t now = wear_out(*state, ERROR_PROTOCOL);

	tiers_hurry(*state, now + 60 * S);
	expect_none(*state, now + 60 * S);
}

static void
a_refusal_that_names_an_interval_is_heeded(void **state)
{
	struct tracker_answer a = {.interval = 5400, .refused = true};
	size_t n = expect(*state, 0, TRACKER_STARTED);
	struct error e;

	error_set(&e, ERROR_PROTOCOL, "unregistered torrent");
	tiers_failed(*state, n, &e, &a, 0);
	expect_none(*state, 5400 * S - 1);
	expect(*state, 5400 * S, TRACKER_STARTED);
}

static void
the_time_of_a_sleep_counts(void **state)
{
	size_t n = expect(*state, 0, TRACKER_STARTED);

	answer(*state, n, 1800, 0, 0);
	tiers_slept(*state, 1000 * S);
	expect_none(*state, 800 * S - 1);
	expect(*state, 800 * S, TRACKER_NONE);
}

static void
in_a_hurry_a_tracker_that_works_is_left_alone(void **state)
{
	size_t n = expect(*state, 0, TRACKER_STARTED);

	answer(*state, n, 1800, 0, 0);
	tiers_hurry(*state, 60 * S);
	expect_none(*state, 60 * S);
}

static void
without_trackers_there_is_nothing_to_do(void **state)
{
	struct tiers *t = make(NULL, NULL, 0);

	(void)state;
	tiers_start(t, 0);
	tiers_want_peers(t, 0);
	tiers_completed(t, 0);
	expect_none(t, 0);
	tiers_stop(t);
	assert_true(tiers_idle(t));
	tiers_free(t);
}

#define ONE(name) cmocka_unit_test_setup_teardown(name, setup_one, teardown)
#define TWO(name) cmocka_unit_test_setup_teardown(name, setup_two, teardown)
#define PAIR(name) cmocka_unit_test_setup_teardown(name, setup_pair, teardown)
#define FOUR(name) cmocka_unit_test_setup_teardown(name, setup_four, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_due_before_the_start),
	    ONE(started_comes_first_and_then_plain_announces),
	    ONE(trackers_that_are_added_are_asked_at_once),
	    cmocka_unit_test(
		trackers_that_are_added_before_the_start_wait_for_it),
	    ONE(trackers_that_are_known_are_not_added),
	    ONE(trackers_that_are_added_at_the_end_are_not_asked),
	    ONE(trackers_that_are_added_when_all_tiers_are_taken_share_one),
	    ONE(in_a_hurry_an_unreachable_tracker_is_due),
	    ONE(in_a_hurry_a_tracker_that_refused_is_left_alone),
	    ONE(in_a_hurry_a_tracker_that_works_is_left_alone),
	    ONE(a_refusal_that_names_an_interval_is_heeded),
	    ONE(the_time_of_a_sleep_counts),
	    FOUR(one_tracker_a_tier_is_asked_at_a_time),
	    FOUR(a_silent_tracker_does_not_keep_the_next_one_waiting),
	    PAIR(whoever_answers_first_is_the_tiers_tracker),
	    PAIR(a_late_failure_changes_nothing),
	    PAIR(what_is_late_is_asked_again_when_it_has_ended),
	    FOUR(the_failure_of_one_of_two_brings_the_next_at_once),
	    PAIR(completed_goes_to_the_one_that_answered_first),
	    ONE(a_completed_that_is_given_up_at_the_end_is_not_told_again),
	    TWO(all_tiers_are_asked_in_parallel),
	    FOUR(a_failure_falls_through_to_the_next_at_once),
	    TWO(stopped_goes_to_whoever_heard_started),
	    TWO(stopped_goes_to_whoever_may_have_heard_started),
	    ONE(what_was_heard_of_a_failed_announce_is_forgotten),
	    ONE(backoff_grows_with_the_square_and_ends_at_an_hour),
	    ONE(a_tracker_can_say_when_to_come_back),
	    ONE(a_tracker_that_says_never_is_not_asked_again),
	    ONE(no_interval_is_half_an_hour),
	    ONE(a_tiny_interval_is_raised),
	    ONE(a_huge_interval_is_cut_to_a_day),
	    ONE(the_minimum_wins_over_the_interval),
	    ONE(wanting_peers_asks_at_the_trackers_minimum),
	    ONE(wanting_peers_late_asks_at_once),
	    ONE(without_a_minimum_early_announces_double_their_wait),
	    ONE(wanting_peers_never_hurries_a_failed_tracker),
	    ONE(news_are_told_as_early_as_the_tracker_allows),
	    ONE(news_of_meanwhile_come_behind_the_answer),
	    ONE(news_do_not_hurry_a_failed_tracker),
	    ONE(completed_is_told_at_once_and_only_once),
	    ONE(completed_comes_behind_started),
	    ONE(completed_is_told_again_after_a_failure),
	    ONE(stopped_is_not_told_twice_when_it_fails),
	    ONE(stop_before_any_answer_is_idle_at_once),
	    ONE(completed_that_was_not_told_comes_before_stopped),
	    ONE(completed_under_way_is_awaited_before_stopped),
	    ONE(completed_comes_between_a_late_answer_and_stopped),
	    PAIR(completed_is_told_to_the_one_of_a_tier_that_answers_late),
	    ONE(whoever_refuses_late_hears_no_more),
	    ONE(the_trackers_id_is_given_back),
	    cmocka_unit_test(the_order_within_a_tier_is_random),
	    cmocka_unit_test(udp_trackers_can_be_left_out),
	    cmocka_unit_test(repeated_and_unusable_urls_are_left_out),
	    cmocka_unit_test(the_number_of_tiers_is_bounded),
	    cmocka_unit_test(the_number_of_trackers_under_way_is_bounded),
	    cmocka_unit_test(without_trackers_there_is_nothing_to_do),
	    PAIR(the_one_that_answers_moves_to_the_front),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
