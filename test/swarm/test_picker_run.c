#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "swarm/picker.h"

#define BLOCKS 4		/* in a piece */
#define MAX 256

static struct block got[MAX];

static struct picker *
new_picker(uint32_t pieces, bool sequential)
{
	struct picker_geometry g = {pieces, BLOCKS * PICKER_BLOCK,
				    (uint64_t)pieces * BLOCKS * PICKER_BLOCK,
				    sequential, 7, NULL, 0, NULL, 0};
	struct picker *p = picker_new(&g, NULL);

	assert_non_null(p);
	return p;
}

static struct picker_peer *
seed(struct picker *p, uint32_t id)
{
	struct picker_peer *pp = picker_join(p, id, id);

	assert_non_null(pp);
	picker_peer_have_all(p, pp);
	return pp;
}

/* A peer with the pieces from `from` to `to`. */
static struct picker_peer *
partial(struct picker *p, uint32_t id, uint32_t from, uint32_t to)
{
	struct picker_peer *pp = picker_join(p, id, id);

	assert_non_null(pp);
	for (uint32_t i = from; i < to; i++)
		assert_int_equal(picker_peer_have(p, pp, i), 0);
	return pp;
}

static size_t
run(struct picker *p, struct picker_peer *pp, size_t max)
{
	struct picker_ask a = {max, CLOCK_S, 1 << 20, true};

	return picker_reserve_run(p, pp, &a, got);
}

/* One behind the other, from this piece's first block on. */
static void
assert_run(size_t n, size_t expected, uint32_t piece)
{
	assert_int_equal(n, expected);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(got[i].piece, piece + i / BLOCKS);
		assert_int_equal(got[i].offset, i % BLOCKS * PICKER_BLOCK);
	}
}

static void
end(struct picker *p)
{
	const char *broken = picker_check(p);

	if (broken)
		fail_msg("broken rule: %s", broken);
	picker_free(p);
}

static void
picker_reserve_run_crosses_pieces(void **state)
{
	struct picker *p = new_picker(20, false);
	struct picker_peer *w = seed(p, 1);

	(void)state;
	assert_run(run(p, w, 3 * BLOCKS), 3 * BLOCKS, 0);
	assert_run(run(p, w, 2 * BLOCKS), 2 * BLOCKS, 3);
	assert_null(picker_check(p));
	picker_leave(p, w);
	end(p);
}

static void
picker_reserve_run_goes_on_inside_a_piece(void **state)
{
	struct picker *p = new_picker(20, false);
	struct picker_peer *w = seed(p, 1);

	(void)state;
	assert_run(run(p, w, BLOCKS + 1), BLOCKS + 1, 0);
	assert_int_equal(run(p, w, BLOCKS), BLOCKS);
	assert_int_equal(got[0].piece, 1);
	assert_int_equal(got[0].offset, PICKER_BLOCK);
	assert_int_equal(got[BLOCKS - 1].piece, 2);
	picker_leave(p, w);
	end(p);
}

static void
picker_tells_of_free_blocks_and_changes_nothing(void **state)
{
	struct picker *p = new_picker(2, false);
	struct picker_peer *w = seed(p, 1);

	(void)state;
	assert_int_equal(run(p, w, 2 * BLOCKS - 1), 2 * BLOCKS - 1);
	assert_true(picker_has_free(p, w));
	assert_int_equal(picker_peer_asked(p, w), 2 * BLOCKS - 1);
	assert_int_equal(run(p, w, 1), 1);
	assert_false(picker_has_free(p, w));
	picker_return_all(p, w);
	assert_true(picker_has_free(p, w));
	picker_peer_donthave(p, w, 0);
	picker_peer_donthave(p, w, 1);
	assert_false(picker_has_free(p, w));
	picker_leave(p, w);
	end(p);
}

static void
picker_reserve_run_takes_the_longest_gap(void **state)
{
	struct picker *p = new_picker(20, false);
	struct picker_peer *w = seed(p, 1);

	(void)state;
	picker_set_have(p, 5);
	picker_set_have(p, 16);
	assert_run(run(p, w, MAX), 10 * BLOCKS, 6);
	picker_leave(p, w);
	end(p);
}

static void
picker_reserve_run_leaves_what_peers_have_to_them(void **state)
{
	struct picker *p = new_picker(20, false);
	struct picker_peer *peer = partial(p, 2, 0, 15);
	struct picker_peer *w = seed(p, 1);

	(void)state;
	assert_run(run(p, w, BLOCKS), BLOCKS, 15);
	picker_leave(p, w);
	picker_leave(p, peer);
	end(p);
}

static void
picker_reserve_run_keeps_away_from_another_one(void **state)
{
	struct picker *p = new_picker(100, false);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);

	(void)state;
	assert_run(run(p, a, 2 * BLOCKS), 2 * BLOCKS, 0);
	assert_run(run(p, b, 2 * BLOCKS), 2 * BLOCKS, 51);
	picker_leave(p, a);
	picker_leave(p, b);
	end(p);
}

static void
picker_reserve_run_is_in_order_when_sequential(void **state)
{
	struct picker *p = new_picker(20, true);
	struct picker_peer *w = seed(p, 1);

	(void)state;
	picker_set_have(p, 2);
	assert_run(run(p, w, MAX), 2 * BLOCKS, 0);
	assert_run(run(p, w, BLOCKS), BLOCKS, 3);
	picker_leave(p, w);
	end(p);
}

static void
picker_reserve_run_prefers_the_higher_priority(void **state)
{
	struct picker *p = new_picker(20, false);
	struct picker_peer *w = seed(p, 1);

	(void)state;
	picker_set_priority(p, 9, PICKER_PRIORITY_MAX);
	picker_set_priority(p, 10, 0);
	assert_run(run(p, w, MAX), BLOCKS, 9);
	picker_leave(p, w);
	end(p);
}

static void
picker_reserve_run_finds_what_was_given_back(void **state)
{
	struct picker *p = new_picker(3, false);
	struct picker_peer *w = seed(p, 1);

	(void)state;
	assert_run(run(p, w, 2 * BLOCKS), 2 * BLOCKS, 0);
	assert_int_equal(picker_return_but(p, w, 2), 2 * BLOCKS - 2);
	assert_run(run(p, w, BLOCKS), BLOCKS, 2);
	assert_run(run(p, w, BLOCKS), BLOCKS, 1);
	assert_int_equal(run(p, w, BLOCKS), 2);
	assert_int_equal(got[0].piece, 0);
	assert_int_equal(got[0].offset, 2 * PICKER_BLOCK);
	picker_leave(p, w);
	end(p);
}

/* Who reads while it comes is waiting for just that. */
static void
picker_reserve_run_goes_on_with_a_begun_piece_in_order(void **state)
{
	struct picker *p = new_picker(3, true);
	struct picker_peer *w = seed(p, 1);

	(void)state;
	assert_run(run(p, w, 2 * BLOCKS), 2 * BLOCKS, 0);
	assert_int_equal(picker_return_but(p, w, 2), 2 * BLOCKS - 2);
	assert_int_equal(run(p, w, BLOCKS), BLOCKS);
	assert_int_equal(got[0].piece, 0);
	assert_int_equal(got[0].offset, 2 * PICKER_BLOCK);
	assert_int_equal(got[BLOCKS - 1].piece, 1);
	picker_leave(p, w);
	end(p);
}

/* It is in the middle of one behind. */
static void
picker_reserve_run_goes_back_to_the_front_in_order(void **state)
{
	struct picker *p = new_picker(4, true);
	struct picker_peer *peer = seed(p, 2), *w = seed(p, 1);
	struct picker_ask a = {BLOCKS, CLOCK_S, 0, false};

	(void)state;
	assert_int_equal(picker_reserve(p, peer, &a, got), BLOCKS);
	assert_int_equal(got[0].piece, 0);
	assert_int_equal(run(p, w, BLOCKS + 2), BLOCKS + 2);
	assert_int_equal(got[0].piece, 1);
	picker_leave(p, peer);
	assert_int_equal(run(p, w, BLOCKS), BLOCKS);
	assert_int_equal(got[0].piece, 0);
	picker_leave(p, w);
	end(p);
}

static void
picker_reserve_run_joins_in_where_nothing_is_left(void **state)
{
	struct picker *p = new_picker(1, false);
	struct picker_peer *peer = seed(p, 2), *w = seed(p, 1);
	struct picker_ask a = {1, CLOCK_S, 0, false};

	(void)state;
	assert_int_equal(picker_reserve(p, peer, &a, got), 1);
	a.max = MAX;
	assert_int_equal(picker_reserve_run(p, w, &a, got), BLOCKS - 1);
	picker_leave(p, w);
	picker_leave(p, peer);
	end(p);
}

static void
picker_reserve_run_does_not_make_slow_peers_share(void **state)
{
	struct picker *p = new_picker(200, false);
	struct picker_peer *w = seed(p, 1), *slow = seed(p, 2);
	struct picker_ask a = {1, CLOCK_S, 100, false};

	(void)state;
	/* Its last piece is half taken: there would be a block to share. */
	assert_int_equal(run(p, w, 50 * BLOCKS + 1), 50 * BLOCKS + 1);
	assert_int_equal(picker_reserve(p, slow, &a, got), 1);
	assert_true(got[0].piece > 50);
	picker_leave(p, w);
	picker_leave(p, slow);
	end(p);
}

static void
picker_reserve_run_of_nothing_begins_nothing(void **state)
{
	struct picker *p = new_picker(3, false);
	struct picker_peer *w = seed(p, 1);
	struct picker_totals totals;

	(void)state;
	assert_int_equal(run(p, w, 0), 0);
	picker_totals(p, &totals);
	assert_int_equal(totals.active, 0);
	picker_leave(p, w);
	end(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(picker_reserve_run_crosses_pieces),
		cmocka_unit_test(picker_reserve_run_goes_on_inside_a_piece),
		cmocka_unit_test(
			picker_tells_of_free_blocks_and_changes_nothing),
		cmocka_unit_test(picker_reserve_run_takes_the_longest_gap),
		cmocka_unit_test(
			picker_reserve_run_leaves_what_peers_have_to_them),
		cmocka_unit_test(
			picker_reserve_run_keeps_away_from_another_one),
		cmocka_unit_test(
			picker_reserve_run_is_in_order_when_sequential),
		cmocka_unit_test(
			picker_reserve_run_prefers_the_higher_priority),
		cmocka_unit_test(picker_reserve_run_finds_what_was_given_back),
		cmocka_unit_test(
		    picker_reserve_run_goes_on_with_a_begun_piece_in_order),
		cmocka_unit_test(
		    picker_reserve_run_goes_back_to_the_front_in_order),
		cmocka_unit_test(
			picker_reserve_run_joins_in_where_nothing_is_left),
		cmocka_unit_test(
			picker_reserve_run_does_not_make_slow_peers_share),
		cmocka_unit_test(
			picker_reserve_run_of_nothing_begins_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
