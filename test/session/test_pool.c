#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/sync.h"
#include "session/pool.h"
#include "session/share.h"

#define NOW (1000 * CLOCK_S)

static unsigned
take_all(struct pool *p, struct pool_member *m)
{
	unsigned n = 0;

	while (pool_take(p, m, NOW))
		n++;
	return n;
}

static void
one_takes_all_while_nobody_else_wants_any(void **state)
{
	struct pool_member m = {0};
	struct pool p;

	(void)state;
	pool_init(&p, 10);
	assert_int_equal(take_all(&p, &m), 10);
	assert_false(pool_is_short(&p, &m));
	pool_give(&p, &m);
	assert_true(pool_may_take(&p, &m, NOW));
}

static void
who_has_none_comes_first(void **state)
{
	struct pool_member rich = {0}, poor = {0};
	struct pool p;

	(void)state;
	pool_init(&p, 10);
	take_all(&p, &rich);
	pool_want(&p, &poor, true);
	assert_true(pool_wants(&poor));
	assert_true(pool_is_short(&p, &rich));
	pool_give(&p, &rich);
	assert_false(pool_take(&p, &rich, NOW));
	assert_true(pool_take(&p, &poor, NOW));
	/* And is like all others then. */
	assert_false(pool_wants(&poor));
	assert_false(pool_is_short(&p, &rich));
	pool_give(&p, &rich);
	assert_true(pool_take(&p, &rich, NOW));
}

static void
who_wants_none_any_more_leaves_it_to_others(void **state)
{
	struct pool_member rich = {0}, poor = {0};
	struct pool p;

	(void)state;
	pool_init(&p, 10);
	pool_take(&p, &rich, NOW);
	pool_want(&p, &poor, true);
	assert_int_equal(take_all(&p, &rich), 8);
	pool_want(&p, &poor, false);
	assert_int_equal(take_all(&p, &rich), 1);
}

static void
more_than_an_even_share_is_too_much(void **state)
{
	struct pool_member rich = {0}, poor = {0};
	struct pool p;

	(void)state;
	pool_init(&p, 4);
	take_all(&p, &rich);
	assert_false(pool_is_too_much(&p, &rich));
	pool_want(&p, &poor, true);
	assert_true(pool_is_too_much(&p, &rich));
	pool_give(&p, &rich);
	assert_true(pool_take(&p, &poor, NOW));
	assert_false(pool_is_too_much(&p, &rich));
}

static void
the_last_one_is_never_too_much(void **state)
{
	struct pool_member some[3] = {{0}}, poor = {0};
	struct pool p;

	(void)state;
	pool_init(&p, 3);
	for (int i = 0; i < 3; i++)
		assert_true(pool_take(&p, &some[i], NOW));
	pool_want(&p, &poor, true);
	assert_true(pool_is_short(&p, &some[0]));
	assert_false(pool_is_too_much(&p, &some[0]));
}

static void
who_has_given_back_waits_while_others_want(void **state)
{
	struct pool_member one = {0}, other = {0};
	struct pool p;

	(void)state;
	pool_init(&p, 1);
	assert_true(pool_take(&p, &one, NOW));
	pool_want(&p, &other, true);
	pool_yield(&one, NOW);
	pool_give(&p, &one);
	assert_false(pool_take(&p, &one, NOW));
	assert_true(pool_may_take(&p, &one, NOW + 60 * CLOCK_S));
	pool_want(&p, &other, false);
	assert_true(pool_take(&p, &one, NOW));
}

static void
there_is_a_place_for_each_at_work(void **state)
{
	struct pool_member m[10] = {{0}};
	struct pool p;
	unsigned n = 0;

	(void)state;
	pool_init(&p, 14);
	while (n < 10 && pool_join(&p, &m[n]))
		n++;
	assert_int_equal(n, 14 / (SHARE_TORRENT_PLACES + 1));
	for (unsigned i = 0; i < n; i++)
		assert_true(pool_take(&p, &m[i], NOW));
	/* Nobody is asked to make room for more. */
	assert_false(pool_join(&p, &m[n]));
	assert_false(pool_is_short(&p, &m[0]));
	pool_give(&p, &m[0]);
	pool_leave(&p, &m[0]);
	assert_true(pool_join(&p, &m[n]));
}

static void
connections_of_others_make_room_for_a_torrent(void **state)
{
	struct pool_member rich = {0}, late = {0};
	struct pool p;

	(void)state;
	pool_init(&p, 12);
	assert_true(pool_join(&p, &rich));
	take_all(&p, &rich);
	assert_false(pool_join(&p, &late));
	for (int i = 0; i < SHARE_TORRENT_PLACES + 1; i++) {
		assert_true(pool_is_too_much(&p, &rich));
		pool_give(&p, &rich);
		assert_false(pool_may_take(&p, &rich, NOW));
	}
	assert_false(pool_is_short(&p, &rich));
	assert_true(pool_join(&p, &late));
	/* Twice is once. */
	pool_leave(&p, &late);
	pool_leave(&p, &late);
	assert_int_equal(take_all(&p, &rich), SHARE_TORRENT_PLACES + 1);
}

struct wanting {
	struct pool pool;
	struct pool_member poor;
	_Atomic bool stop;
};

static void
want_and_not(void *ctx)
{
	struct wanting *w = ctx;

	while (!atomic_load(&w->stop)) {
		pool_want(&w->pool, &w->poor, true);
		pool_want(&w->pool, &w->poor, false);
	}
}

/* The listener gives a torrent its first connection while the main thread
 * looks whether it wants one. */
static void
what_is_wanted_never_passes_below_nothing(void **state)
{
	struct wanting w = {0};
	struct pool_member rich = {0};
	struct thread thread;
	unsigned beyond = 0;

	(void)state;
	pool_init(&w.pool, 2);
	assert_true(pool_take(&w.pool, &rich, NOW));
	assert_int_equal(thread_start(&thread, "wants", THREAD_STACK_LARGE,
				      want_and_not, &w, NULL), 0);
	for (int i = 0; i < 3000000 && beyond == 0; i++) {
		if (!pool_take(&w.pool, &w.poor, NOW))
			continue;
		beyond += pool_take(&w.pool, &rich, NOW);
		pool_give(&w.pool, &w.poor);
	}
	atomic_store(&w.stop, true);
	thread_join(&thread);
	assert_int_equal(beyond, 0);
	assert_int_equal(atomic_load(&w.pool.left), 1);
	assert_int_equal(atomic_load(&w.pool.wanted), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_takes_all_while_nobody_else_wants_any),
		cmocka_unit_test(who_has_none_comes_first),
		cmocka_unit_test(who_wants_none_any_more_leaves_it_to_others),
		cmocka_unit_test(more_than_an_even_share_is_too_much),
		cmocka_unit_test(the_last_one_is_never_too_much),
		cmocka_unit_test(who_has_given_back_waits_while_others_want),
		cmocka_unit_test(there_is_a_place_for_each_at_work),
		cmocka_unit_test(
		    connections_of_others_make_room_for_a_torrent),
		cmocka_unit_test(what_is_wanted_never_passes_below_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
