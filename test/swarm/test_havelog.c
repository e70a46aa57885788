#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sync.h"
#include "swarm/havelog.h"

#define PIECES 1003

static int
setup(void **state)
{
	*state = havelog_new(PIECES, NULL);
	return *state ? 0 : -1;
}

static int
teardown(void **state)
{
	havelog_free(*state);
	return 0;
}

static void
havelog_lists_pieces_in_the_order_they_came(void **state)
{
	struct havelog *h = *state;

	assert_true(havelog_add(h, 1002));
	assert_true(havelog_add(h, 0));
	assert_int_equal(havelog_length(h), 2);
	assert_int_equal(havelog_at(h, 0), 1002);
	assert_int_equal(havelog_at(h, 1), 0);
	assert_true(havelog_has(h, 0));
	assert_true(havelog_has(h, 1002));
	assert_false(havelog_has(h, 1));
	assert_int_equal(havelog_count(h), 2);
	assert_int_equal(havelog_pieces(h), PIECES);
}

static void
havelog_takes_a_piece_once(void **state)
{
	struct havelog *h = *state;

	assert_true(havelog_add(h, 5));
	assert_false(havelog_add(h, 5));
	assert_int_equal(havelog_length(h), 1);
	assert_int_equal(havelog_count(h), 1);
}

static void
havelog_does_not_list_what_was_there_before(void **state)
{
	struct havelog *h = *state;
	struct bitfield b;

	assert_int_equal(bitfield_init(&b, PIECES), 0);
	bitfield_set(&b, 7);
	bitfield_set(&b, 1001);
	havelog_begin(h, &b);
	bitfield_release(&b);
	assert_int_equal(havelog_length(h), 0);
	assert_int_equal(havelog_count(h), 2);
	assert_true(havelog_has(h, 7));
	assert_true(havelog_has(h, 1001));
	assert_false(havelog_add(h, 7));
	assert_true(havelog_add(h, 8));
	assert_int_equal(havelog_count(h), 3);
}

static void
havelog_has_nothing_out_of_range(void **state)
{
	assert_false(havelog_has(*state, PIECES));
	assert_false(havelog_has(*state, UINT32_MAX));
}

static void
havelog_copies_a_true_bitfield(void **state)
{
	struct havelog *h = *state;
	struct bitfield b;

	havelog_add(h, 1002);
	havelog_add(h, 9);
	assert_int_equal(bitfield_init(&b, PIECES), 0);
	bitfield_set(&b, 3);		/* is written over */
	havelog_copy(h, &b);
	assert_int_equal(bitfield_ones(&b), 2);
	assert_true(bitfield_get(&b, 9) && bitfield_get(&b, 1002));
	bitfield_release(&b);
}

struct share {
	struct havelog *h;
	struct thread thread;
	uint32_t first;
	size_t fresh;
};

/* Every third piece, and all of them once more. */
static void
add_many(void *arg)
{
	struct share *s = arg;

	for (uint32_t i = s->first; i < PIECES; i += 3)
		s->fresh += havelog_add(s->h, i);
	for (uint32_t i = 0; i < PIECES; i++)
		s->fresh += havelog_add(s->h, i);
}

static void
havelog_readers_see_every_entry_whole(void **state)
{
	struct havelog *h = *state;
	struct share s[3] = {0};
	size_t seen = 0, fresh = 0;

	for (uint32_t i = 0; i < 3; i++) {
		s[i].h = h;
		s[i].first = i;
		assert_int_equal(thread_start(&s[i].thread, "add",
					      THREAD_STACK_SMALL, add_many,
					      &s[i], NULL), 0);
	}
	while (seen < PIECES) {
		size_t end = havelog_length(h);

		for (; seen < end; seen++)
			assert_true(havelog_has(h, havelog_at(h, seen)));
	}
	for (int i = 0; i < 3; i++) {
		thread_join(&s[i].thread);
		fresh += s[i].fresh;
	}
	assert_int_equal(fresh, PIECES);
	assert_int_equal(havelog_length(h), PIECES);
	assert_int_equal(havelog_count(h), PIECES);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(havelog_lists_pieces_in_the_order_they_came),
		TEST(havelog_takes_a_piece_once),
		TEST(havelog_does_not_list_what_was_there_before),
		TEST(havelog_has_nothing_out_of_range),
		TEST(havelog_copies_a_true_bitfield),
		TEST(havelog_readers_see_every_entry_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
