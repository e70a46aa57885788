#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "swarm/asking.h"

/* How many of the sources [from, to) are asked now. */
static unsigned
ask(struct asking *a, uint64_t from, uint64_t to, int64_t now)
{
	int64_t retry = CLOCK_NEVER;
	unsigned n = 0;

	for (uint64_t source = from; source < to; source++)
		n += asking_begin(a, source, now, &retry);
	assert_true(retry > now);
	return n;
}

static void
asking_begins_with_one_and_doubles_in_vain(void **state)
{
	struct asking a = {0};
	unsigned most = 1;

	(void)state;
	for (int64_t now = 0; most <= 16; now += ASKING_WAIT, most *= 2) {
		assert_int_equal(ask(&a, 1, 1000, now), most);
		assert_int_equal(ask(&a, 1, 1000, now + ASKING_WAIT - 1), 0);
	}
}

static void
asking_says_when_to_look_again(void **state)
{
	struct asking a = {0};
	int64_t retry = CLOCK_NEVER;

	(void)state;
	assert_true(asking_begin(&a, 1, 7, &retry));
	assert_false(asking_begin(&a, 2, 8, &retry));
	assert_int_equal(retry, 7 + ASKING_WAIT);
	retry = CLOCK_NEVER;
	assert_false(asking_begin(&a, 1, 8, &retry));
	assert_int_equal(retry, 7 + ASKING_AGAIN);
}

static void
asking_leaves_who_was_asked_last_alone_for_longer(void **state)
{
	struct asking a = {0};

	(void)state;
	assert_int_equal(ask(&a, 1, 2, 0), 1);
	assert_int_equal(ask(&a, 1, 2, ASKING_AGAIN - 1), 0);
	assert_int_equal(ask(&a, 1, 2, ASKING_AGAIN), 1);
}

static void
asking_goes_on_at_once_when_one_refuses(void **state)
{
	struct asking a = {0};

	(void)state;
	assert_int_equal(ask(&a, 1, 2, 0), 1);
	asking_end(&a, 1);
	assert_int_equal(ask(&a, 2, 9, 0), 1);
}

static void
patience_allows_so_many_at_once(void **state)
{
	struct patience p = {0};
	int64_t retry;

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_true(patience_allows(&p, 4, i, &retry));
		patience_asked(&p, i);
	}
	assert_false(patience_allows(&p, 4, 5, &retry));
	patience_answered(&p, 6);
	assert_true(patience_allows(&p, 4, 6, &retry));
}

/* From when it was asked first, not from when somebody looked. */
static void
patience_ends_after_a_while_and_longer_each_time(void **state)
{
	struct patience p = {0};
	int64_t now = 0, retry;

	(void)state;
	for (unsigned i = 0; i < ASKING_DOUBLINGS + 2; i++) {
		int64_t rest = ASKING_REST
			       << (i < ASKING_DOUBLINGS ? i
							: ASKING_DOUBLINGS);

		assert_true(patience_allows(&p, 4, now, &retry));
		patience_asked(&p, now);
		now += ASKING_WAIT;
		assert_false(patience_allows(&p, 4, now, &retry));
		assert_int_equal(retry, now + rest);
		now += rest;
		assert_false(patience_allows(&p, 4, now - 1, &retry));
	}
}

static void
patience_comes_back_with_an_answer(void **state)
{
	struct patience p = {0};
	int64_t retry;

	(void)state;
	patience_asked(&p, 0);
	patience_asked(&p, 0);
	assert_true(patience_allows(&p, 4, 100 * CLOCK_S, &retry));
	patience_asked(&p, 100 * CLOCK_S);
	patience_asked(&p, 100 * CLOCK_S);
	assert_false(patience_allows(&p, 4, 103 * CLOCK_S, &retry));
	patience_answered(&p, 103 * CLOCK_S);
	assert_true(patience_allows(&p, 4, 103 * CLOCK_S, &retry));
	assert_false(patience_allows(&p, 4, 105 * CLOCK_S, &retry));
	assert_int_equal(retry, 105 * CLOCK_S + ASKING_REST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asking_begins_with_one_and_doubles_in_vain),
		cmocka_unit_test(asking_says_when_to_look_again),
		cmocka_unit_test(
			asking_leaves_who_was_asked_last_alone_for_longer),
		cmocka_unit_test(asking_goes_on_at_once_when_one_refuses),
		cmocka_unit_test(patience_allows_so_many_at_once),
		cmocka_unit_test(
			patience_ends_after_a_while_and_longer_each_time),
		cmocka_unit_test(patience_comes_back_with_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
