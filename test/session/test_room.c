#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "session/room.h"

#define NOW (1000 * CLOCK_S)

static void
claims_on_one_disk_add_up(void **state)
{
	struct room_claim a = {0}, b = {0}, c = {0};
	struct room r;

	(void)state;
	room_init(&r);
	assert_int_equal(room_claimed(&r, 1, NOW), 0);
	room_claim(&r, &a, 1, 100, NOW);
	room_claim(&r, &b, 2, 1000, NOW);
	room_claim(&r, &c, 1, 20, NOW);
	assert_int_equal(room_claimed(&r, 1, NOW), 120);
	assert_int_equal(room_claimed(&r, 2, NOW), 1000);
	assert_int_equal(room_claimed(&r, 3, NOW), 0);
	room_release(&r);
}

static void
a_claim_shrinks_and_does_not_grow(void **state)
{
	struct room_claim a = {0};
	struct room r;

	(void)state;
	room_init(&r);
	room_shrink(&r, &a, 5, true, NOW);
	room_claim(&r, &a, 1, 100, NOW);
	room_shrink(&r, &a, 60, true, NOW);
	room_shrink(&r, &a, 70, true, NOW);
	assert_int_equal(room_claimed(&r, 1, NOW), 60);
	room_release(&r);
}

static void
what_is_given_back_is_claimed_no_more(void **state)
{
	struct room_claim all[3] = {{0}};
	struct room r;

	(void)state;
	room_init(&r);
	/* In any order, and once more. */
	for (size_t first = 0; first < 3; first++) {
		for (size_t i = 0; i < 3; i++)
			room_claim(&r, &all[i], 1, 10, NOW);
		for (size_t i = 0; i < 3; i++) {
			room_give_back(&r, &all[(first + i) % 3]);
			room_give_back(&r, &all[(first + i) % 3]);
			assert_int_equal(room_claimed(&r, 1, NOW), 20 - 10 * i);
		}
	}
	room_release(&r);
}

static void
who_has_stalled_keeps_nobody_waiting(void **state)
{
	const int64_t later = NOW + 60 * CLOCK_S;
	struct room_claim a = {0}, b = {0};
	struct room r;

	(void)state;
	room_init(&r);
	room_claim(&r, &a, 1, 100, NOW);
	room_claim(&r, &b, 1, 20, NOW);
	assert_int_equal(room_claimed(&r, 1, later - 1), 120);
	/* Data may come for a while before the claim is less. */
	room_shrink(&r, &a, 500, true, NOW + 1);
	room_shrink(&r, &b, 19, false, NOW + 1);
	assert_int_equal(room_claimed(&r, 1, later), 100);
	assert_int_equal(room_claimed(&r, 1, later + 1), 0);
	room_release(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims_on_one_disk_add_up),
		cmocka_unit_test(a_claim_shrinks_and_does_not_grow),
		cmocka_unit_test(what_is_given_back_is_claimed_no_more),
		cmocka_unit_test(who_has_stalled_keeps_nobody_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
