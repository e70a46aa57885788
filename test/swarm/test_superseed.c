/* Which pieces a seed points its peers to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "swarm/superseed.h"

#define N 10
#define NONE SUPERSEED_NONE
#define MS CLOCK_MS
#define S CLOCK_S

struct scene {
	struct superseed *s;
	struct superseed_peer *a, *b, *c;	/* of ids 1, 2, 3 */
};

static struct scene
scene(bool show, uint32_t pieces)
{
	struct scene x = {superseed_new(pieces, show, 5, NULL), NULL, NULL,
			  NULL};

	assert_non_null(x.s);
	x.a = superseed_join(x.s, 1);
	x.b = superseed_join(x.s, 2);
	x.c = superseed_join(x.s, 3);
	assert_true(x.a && x.b && x.c);
	return x;
}

static void
end(struct scene *x)
{
	superseed_leave(x->s, x->a);
	superseed_leave(x->s, x->b);
	superseed_leave(x->s, x->c);
	superseed_free(x->s);
}

static uint32_t
next(struct scene *x, struct superseed_peer *sp, int64_t now)
{
	return superseed_next(x->s, sp, false, now);
}

/* Up to two pieces, which the peer gets at once. */
static void
take_two(struct scene *x, struct superseed_peer *sp, uint32_t out[2],
	 int64_t now)
{
	for (int i = 0; i < 2; i++) {
		out[i] = next(x, sp, now);
		assert_int_not_equal(out[i], NONE);
	}
	assert_int_equal(next(x, sp, now), NONE);
	for (int i = 0; i < 2; i++)
		superseed_have(x->s, sp, out[i], now);
}

/* ---- showing ---- */

static void
each_peer_is_shown_other_pieces(void **state)
{
	struct scene x = scene(true, 6);
	struct superseed_peer *peers[] = {x.a, x.b, x.c};
	bool seen[6] = {false};

	(void)state;
	for (int i = 0; i < 6; i++) {
		uint32_t piece = next(&x, peers[i % 3], S);

		assert_true(piece < 6 && !seen[piece]);
		assert_true(superseed_shown(x.s, peers[i % 3], piece));
		assert_false(superseed_shown(x.s, peers[(i + 1) % 3], piece));
		seen[piece] = true;
	}
	end(&x);
}

static void
choked_peer_is_shown_one_piece(void **state)
{
	struct scene x = scene(true, N);

	(void)state;
	assert_int_not_equal(superseed_next(x.s, x.a, true, S), NONE);
	assert_int_equal(superseed_next(x.s, x.a, true, S), NONE);
	assert_int_not_equal(superseed_next(x.s, x.a, false, S), NONE);
	end(&x);
}

static void
next_piece_comes_when_another_peer_announces_the_last(void **state)
{
	struct scene x = scene(true, N);
	uint32_t got[2];

	(void)state;
	take_two(&x, x.a, got, S);
	assert_int_equal(next(&x, x.a, S), NONE);
	assert_int_equal(superseed_have(x.s, x.b, got[0], S), 1);
	assert_int_not_equal(next(&x, x.a, S), NONE);
	assert_int_equal(next(&x, x.a, S), NONE);
	/* A third one with the piece is no news. */
	assert_int_equal(superseed_have(x.s, x.c, got[0], S), 0);
	assert_int_equal(next(&x, x.a, S), NONE);
	end(&x);
}

static void
piece_that_came_from_elsewhere_is_not_waited_for(void **state)
{
	struct scene x = scene(true, N);
	uint32_t first = next(&x, x.a, S);

	(void)state;
	assert_int_not_equal(next(&x, x.a, S), NONE);
	assert_int_equal(superseed_have(x.s, x.c, first, S), 1);
	assert_int_not_equal(next(&x, x.a, S), NONE);
	end(&x);
}

static void
lone_peer_is_shown_one_piece_after_the_other(void **state)
{
	struct superseed *s = superseed_new(N, true, 5, NULL);
	struct superseed_peer *sp = superseed_join(s, 1);

	(void)state;
	for (int i = 0; i < N; i++) {
		uint32_t piece = superseed_next(s, sp, false, S);

		assert_true(superseed_hides(s));
		assert_int_not_equal(piece, NONE);
		superseed_have(s, sp, piece, S);
	}
	assert_int_equal(superseed_next(s, sp, false, S), NONE);
	assert_false(superseed_hides(s));
	superseed_leave(s, sp);
	superseed_free(s);
}

static void
peer_that_stays_alone_is_not_waited_for(void **state)
{
	struct scene x = scene(true, N);
	uint32_t got[2];

	(void)state;
	take_two(&x, x.a, got, S);
	assert_int_equal(next(&x, x.a, S), NONE);
	superseed_leave(x.s, x.b);
	superseed_leave(x.s, x.c);
	assert_int_not_equal(next(&x, x.a, S), NONE);
	x.b = x.c = NULL;
	end(&x);
}

static unsigned
all_that_come(struct scene *x, struct superseed_peer *sp, uint32_t *out)
{
	unsigned n = 0;

	while ((out[n] = next(x, sp, S)) != NONE)
		n++;
	return n;
}

static void
peer_that_is_alone_is_shown_the_more_the_more_it_has(void **state)
{
	struct scene x = scene(true, 200);
	uint32_t got[200];
	unsigned n, had = 0;

	(void)state;
	superseed_leave(x.s, x.b);
	superseed_leave(x.s, x.c);
	while (had < 100) {
		n = all_that_come(&x, x.a, got);
		assert_int_equal(n, 2 + had < SUPERSEED_OPEN_MAX
				    ? 2 + had : SUPERSEED_OPEN_MAX);
		for (unsigned i = 0; i < n; i++, had++)
			superseed_have(x.s, x.a, got[i], S);
	}
	/* Whoever comes is shown something else, and no more than usual. */
	assert_int_equal(all_that_come(&x, x.a, got), SUPERSEED_OPEN_MAX);
	x.b = superseed_join(x.s, 2);
	superseed_have(x.s, x.a, got[0], S);
	assert_int_equal(all_that_come(&x, x.b, got), 2);
	assert_int_equal(next(&x, x.a, S), NONE);
	x.c = NULL;
	end(&x);
}

static void
peers_that_pass_nothing_on_are_served_ever_sooner(void **state)
{
	struct scene x = scene(true, 100);
	uint32_t got[2], piece;
	int64_t now = S;

	(void)state;
	take_two(&x, x.a, got, now);
	take_two(&x, x.b, got, now);
	assert_int_equal(next(&x, x.a, 5 * S), NONE);
	for (int i = 0; i < 90; i++) {
		while ((piece = next(&x, x.a, now)) == NONE)
			now += 10 * MS;
		superseed_have(x.s, x.a, piece, now);
	}
	assert_true(now < S + 2 * SUPERSEED_PATIENCE_NS);
	/* One that does pass on brings patience back. */
	superseed_have(x.s, x.c, piece, now);
	while ((piece = next(&x, x.a, now)) != NONE)
		superseed_have(x.s, x.a, piece, now);
	assert_int_equal(next(&x, x.a, now + 4 * S), NONE);
	end(&x);
}

static void
nobody_is_given_more_for_a_piece_that_it_does_not_fetch(void **state)
{
	struct scene x = scene(true, N);

	(void)state;
	assert_int_not_equal(next(&x, x.a, S), NONE);
	assert_int_not_equal(next(&x, x.a, S), NONE);
	assert_int_equal(next(&x, x.a, 1000 * S), NONE);
	end(&x);
}

static void
piece_that_got_stuck_is_shown_to_another(void **state)
{
	struct scene x = scene(true, 3);
	uint32_t stuck = next(&x, x.a, S), p, q;

	(void)state;
	p = next(&x, x.b, S);
	q = next(&x, x.b, S);
	superseed_have(x.s, x.b, p, S);
	superseed_have(x.s, x.b, q, S);
	superseed_have(x.s, x.c, p, S);
	superseed_have(x.s, x.c, q, S);
	assert_int_equal(next(&x, x.c, S), NONE);
	assert_int_equal(next(&x, x.c, S + SUPERSEED_PATIENCE_NS), stuck);
	end(&x);
}

static void
what_goes_with_a_peer_is_shown_again(void **state)
{
	struct scene x = scene(true, 4);
	uint32_t got[2], p, q;

	(void)state;
	take_two(&x, x.a, got, S);
	for (int i = 0; i < 2; i++)
		assert_int_not_equal(next(&x, x.b, S), NONE);
	assert_int_equal(next(&x, x.c, S), NONE);
	superseed_leave(x.s, x.a);
	x.a = NULL;
	p = next(&x, x.c, S);
	q = next(&x, x.c, S);
	assert_true((p == got[0] && q == got[1]) ||
		    (p == got[1] && q == got[0]));
	end(&x);
}

static void
showing_ends_when_the_peers_have_all_together(void **state)
{
	struct scene x = scene(true, 4);
	uint32_t got[2];

	(void)state;
	take_two(&x, x.a, got, S);
	assert_true(superseed_hides(x.s));
	take_two(&x, x.b, got, S);
	assert_false(superseed_hides(x.s));
	assert_int_equal(next(&x, x.c, S), NONE);
	/* For good: from then on everyone knows what we have. */
	superseed_leave(x.s, x.a);
	x.a = NULL;
	assert_false(superseed_hides(x.s));
	end(&x);
}

static void
showing_ends_when_a_seed_comes(void **state)
{
	struct scene x = scene(true, N);

	(void)state;
	assert_true(superseed_hides(x.s));
	for (uint32_t i = 0; i < N; i++)
		superseed_have(x.s, x.c, i, S);
	assert_false(superseed_hides(x.s));
	assert_int_equal(next(&x, x.a, S), NONE);
	end(&x);
}

static void
what_is_out_of_range_or_told_twice_is_ignored(void **state)
{
	struct scene x = scene(true, N);
	uint32_t got = next(&x, x.a, S);

	(void)state;
	assert_int_equal(superseed_have(x.s, x.b, N, S), 0);
	superseed_asked(x.s, x.b, NONE);
	assert_false(superseed_shown(x.s, x.a, NONE));
	superseed_have(x.s, x.a, got, S);
	assert_int_equal(superseed_have(x.s, x.a, got, S), 0);
	superseed_leave(x.s, x.a);
	x.a = NULL;
	/* It counted once: the piece is lonely again. */
	for (uint32_t i = 0; i < N; i++)
		if (i != got)
			superseed_have(x.s, x.b, i, S);
	assert_true(superseed_hides(x.s));
	end(&x);
}

/* ---- hinting ---- */

static void
hints_wait_two_at_a_time_until_they_are_followed(void **state)
{
	struct scene x = scene(false, N);
	uint32_t first = next(&x, x.a, S);

	(void)state;
	assert_int_not_equal(next(&x, x.a, S), NONE);
	assert_int_equal(next(&x, x.a, 1000 * S), NONE);
	superseed_asked(x.s, x.a, first);
	assert_int_not_equal(next(&x, x.a, S), NONE);
	assert_false(superseed_hides(x.s));
	end(&x);
}

static void
hints_leave_out_what_others_have_or_get(void **state)
{
	struct scene x = scene(false, 6);
	uint32_t a, b;

	(void)state;
	superseed_have(x.s, x.c, 0, S);
	superseed_asked(x.s, x.c, 1);
	a = next(&x, x.a, S);
	b = next(&x, x.a, S);
	assert_true(a > 1 && a < 6 && b > 1 && b < 6 && a != b);
	a = a + b;
	a += next(&x, x.b, S);
	a += next(&x, x.b, S);
	assert_int_equal(a, 2 + 3 + 4 + 5);
	assert_int_equal(next(&x, x.c, S), NONE);
	end(&x);
}

static void
hint_is_void_when_another_is_quicker(void **state)
{
	struct scene x = scene(false, 4);
	uint32_t first = next(&x, x.a, S);

	(void)state;
	assert_int_not_equal(next(&x, x.a, S), NONE);
	superseed_asked(x.s, x.b, first);
	assert_int_not_equal(next(&x, x.a, S), NONE);
	end(&x);
}

static void
one_leech_needs_no_hints(void **state)
{
	struct scene x = scene(false, N);

	(void)state;
	superseed_leave(x.s, x.b);
	superseed_leave(x.s, x.c);
	x.b = x.c = NULL;
	assert_int_equal(next(&x, x.a, S), NONE);
	end(&x);
}

static void
choked_peer_loses_the_hints_that_it_did_not_follow(void **state)
{
	struct scene x = scene(false, 2);
	uint32_t first = next(&x, x.a, S), second = next(&x, x.a, S);

	(void)state;
	superseed_asked(x.s, x.a, first);
	assert_int_equal(next(&x, x.b, S), NONE);
	assert_int_equal(superseed_next(x.s, x.a, true, S), NONE);
	assert_int_equal(next(&x, x.b, S), second);
	assert_int_equal(next(&x, x.b, S), NONE);
	end(&x);
}

/* Who asks for more and more, and tells nothing, costs a bounded memory. */
static void
peer_that_never_announces_is_bounded(void **state)
{
	struct scene x = scene(false, 100000);

	(void)state;
	for (uint32_t i = 0; i < 100000; i++)
		superseed_asked(x.s, x.a, i);
	assert_int_not_equal(next(&x, x.b, S), NONE);
	end(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_peer_is_shown_other_pieces),
		cmocka_unit_test(choked_peer_is_shown_one_piece),
		cmocka_unit_test(
			next_piece_comes_when_another_peer_announces_the_last),
		cmocka_unit_test(
			piece_that_came_from_elsewhere_is_not_waited_for),
		cmocka_unit_test(lone_peer_is_shown_one_piece_after_the_other),
		cmocka_unit_test(peer_that_stays_alone_is_not_waited_for),
		cmocka_unit_test(
			peer_that_is_alone_is_shown_the_more_the_more_it_has),
		cmocka_unit_test(
			peers_that_pass_nothing_on_are_served_ever_sooner),
		cmocka_unit_test(
			nobody_is_given_more_for_a_piece_that_it_does_not_fetch),
		cmocka_unit_test(piece_that_got_stuck_is_shown_to_another),
		cmocka_unit_test(what_goes_with_a_peer_is_shown_again),
		cmocka_unit_test(showing_ends_when_the_peers_have_all_together),
		cmocka_unit_test(showing_ends_when_a_seed_comes),
		cmocka_unit_test(what_is_out_of_range_or_told_twice_is_ignored),
		cmocka_unit_test(
			hints_wait_two_at_a_time_until_they_are_followed),
		cmocka_unit_test(hints_leave_out_what_others_have_or_get),
		cmocka_unit_test(hint_is_void_when_another_is_quicker),
		cmocka_unit_test(one_leech_needs_no_hints),
		cmocka_unit_test(
			choked_peer_loses_the_hints_that_it_did_not_follow),
		cmocka_unit_test(peer_that_never_announces_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
