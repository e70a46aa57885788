#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "swarm/blame.h"

#define N 4
#define SOURCES 8

static const uint64_t good[N] = { 10, 11, 12, 13 };

static int
start(void **state)
{
	*state = blame_new(NULL);
	return *state ? 0 : -1;
}

static int
stop(void **state)
{
	blame_free(*state);
	return 0;
}

static void
blame_digest_is_the_head_of_sha1(void **state)
{
	(void)state;
	assert_true(blame_digest("abc", 3) == 0xa9993e364706816aULL);
}

static void
blame_single_names_the_only_contributor(void **state)
{
	const uint64_t same[] = { 7, 7, 7 }, mixed[] = { 7, 7, 8 };
	const uint64_t old[] = { 7, 0, 7 };

	(void)state;
	assert_int_equal(blame_single(same, 3), 7);
	assert_int_equal(blame_single(mixed, 3), 0);
	assert_int_equal(blame_single(old, 3), 0);
	assert_int_equal(blame_single(same, 0), 0);
}

static void
blame_settle_finds_whose_block_differs(void **state)
{
	struct blame_block tried[N] = { { 1, 10 }, { 2, 99 }, { 1, 12 },
		{ 3, 13 } };
	uint64_t out[SOURCES];

	blame_record(*state, 5, tried, N);
	assert_true(blame_waits(*state, 5));
	assert_int_equal(blame_settle(*state, 5, good, N, out, SOURCES), 1);
	assert_int_equal(out[0], 2);
	assert_false(blame_waits(*state, 5));
}

static void
blame_settle_names_each_liar_once(void **state)
{
	struct blame_block tried[N] = { { 1, 90 }, { 1, 91 }, { 2, 92 },
		{ 3, 13 } };
	uint64_t out[SOURCES];

	blame_record(*state, 5, tried, N);
	assert_int_equal(blame_settle(*state, 5, good, N, out, SOURCES), 2);
	assert_int_equal(out[0], 1);
	assert_int_equal(out[1], 2);
}

static void
blame_settle_looks_at_every_try(void **state)
{
	struct blame_block tried[N] = { { 1, 10 }, { 1, 11 }, { 1, 12 },
		{ 2, 90 } };
	uint64_t out[SOURCES];

	blame_record(*state, 5, tried, N);
	tried[3] = (struct blame_block){ 3, 91 };
	blame_record(*state, 5, tried, N);
	assert_int_equal(blame_settle(*state, 5, good, N, out, SOURCES), 2);
}

static void
blame_settle_keeps_within_max(void **state)
{
	struct blame_block tried[N] = { { 1, 90 }, { 2, 91 }, { 3, 92 },
		{ 4, 93 } };
	uint64_t out[2];

	blame_record(*state, 5, tried, N);
	assert_int_equal(blame_settle(*state, 5, good, N, out, 2), 2);
}

static void
blame_settle_ignores_blocks_of_an_earlier_run(void **state)
{
	struct blame_block tried[N] = { { 0, 90 }, { 1, 11 }, { 1, 12 },
		{ 1, 13 } };
	uint64_t out[SOURCES];

	blame_record(*state, 5, tried, N);
	assert_int_equal(blame_settle(*state, 5, good, N, out, SOURCES), 0);
}

static void
blame_settle_leaves_other_pieces(void **state)
{
	struct blame_block tried[N] = { { 1, 90 }, { 2, 11 }, { 2, 12 },
		{ 2, 13 } };
	uint64_t out[SOURCES];

	blame_record(*state, 5, tried, N);
	blame_record(*state, 6, tried, N);
	assert_int_equal(blame_settle(*state, 7, good, N, out, SOURCES), 0);
	assert_int_equal(blame_settle(*state, 5, good, N, out, SOURCES), 1);
	assert_true(blame_waits(*state, 6));
}

static void
blame_keeps_the_youngest_tries_of_a_piece(void **state)
{
	struct blame_block tried = { 0, 99 };
	uint64_t out[SOURCES];

	for (uint64_t i = 1; i <= BLAME_TRIES_MAX + 2; i++) {
		tried.source = i;
		blame_record(*state, 5, &tried, 1);
	}
	assert_int_equal(blame_settle(*state, 5, good, 1, out, SOURCES),
	    BLAME_TRIES_MAX);
	assert_int_equal(out[0], 3);
}

static void
blame_drops_the_oldest_over_its_bound(void **state)
{
	const size_t n = BLAME_BLOCKS_MAX / 4;
	struct blame_block *tried = calloc(n, sizeof(*tried));

	for (uint32_t piece = 0; piece < 6; piece++)
		blame_record(*state, piece, tried, n);
	for (uint32_t piece = 0; piece < 6; piece++)
		assert_int_equal(blame_waits(*state, piece), piece >= 2);
	free(tried);
}

static void
blame_does_not_keep_what_is_larger_than_its_bound(void **state)
{
	const size_t n = BLAME_BLOCKS_MAX + 1;
	struct blame_block *tried = calloc(n, sizeof(*tried));

	blame_record(*state, 1, tried, 1);
	blame_record(*state, 2, tried, n);
	assert_true(blame_waits(*state, 1));
	assert_false(blame_waits(*state, 2));
	free(tried);
}

static void
blame_bounds_the_number_of_small_records(void **state)
{
	struct blame_block tried = { 1, 99 };
	unsigned kept = 0;

	for (uint32_t piece = 0; piece < 5000; piece++)
		blame_record(*state, piece, &tried, 1);
	for (uint32_t piece = 0; piece < 5000; piece++)
		kept += blame_waits(*state, piece);
	assert_in_range(kept, 100, 1000);
	assert_true(blame_waits(*state, 4999));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blame_digest_is_the_head_of_sha1),
		cmocka_unit_test(blame_single_names_the_only_contributor),
		T(blame_settle_finds_whose_block_differs),
		T(blame_settle_names_each_liar_once),
		T(blame_settle_looks_at_every_try),
		T(blame_settle_keeps_within_max),
		T(blame_settle_ignores_blocks_of_an_earlier_run),
		T(blame_settle_leaves_other_pieces),
		T(blame_keeps_the_youngest_tries_of_a_piece),
		T(blame_drops_the_oldest_over_its_bound),
		T(blame_does_not_keep_what_is_larger_than_its_bound),
		T(blame_bounds_the_number_of_small_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
