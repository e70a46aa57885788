/* Goal: peers that unchoke and give nothing hold up nobody, and who is slow
 * to begin loses nothing to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "swarm/picker.h"

#define STEP (50 * CLOCK_MS)
#define FLIGHT 4		/* of who has given nothing */
#define CROWD_MAX 90
#define BLOCKS 64

static struct block got[BLOCKS];

static struct picker *
new_picker(uint32_t blocks)
{
	struct picker_geometry g = { .piece_count = (blocks + 1) / 2,
		.piece_length = 2 * PICKER_BLOCK, .seed = 7,
		.length = (uint64_t)blocks * PICKER_BLOCK };
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

static size_t
ask(struct picker *p, struct picker_peer *pp, size_t max, int64_t now)
{
	struct picker_ask a = { .max = max, .now = now, .endgame_ok = true };
	struct block gone[BLOCKS];

	picker_take_cancels(p, pp, gone, BLOCKS);
	return picker_reserve(p, pp, &a, got);
}

static void
bring(struct picker *p, struct picker_peer *pp, const struct block *b)
{
	uint32_t losers[PICKER_LOSERS_MAX];
	size_t n;

	assert_true(picker_accept(p, pp, b));
	if (picker_deliver(p, pp, b, losers, &n) == PICKER_PIECE_FULL)
		picker_piece_good(p, b->piece);
}

/* A peer that has given a block, of a piece of its own. */
static struct picker_peer *
giver(struct picker *p, uint32_t id)
{
	struct picker_peer *pp = seed(p, id);

	assert_int_equal(ask(p, pp, 1, CLOCK_S), 1);
	bring(p, pp, &got[0]);
	return pp;
}

static void
end(struct picker *p)
{
	assert_null(picker_check(p));
	picker_free(p);
}

/* ---- a crowd ---- */

/* How long a seed that answers within a step needs, when it unchokes half a
 * second after a crowd of which each asks once a second. */
static int64_t
time_beside(uint32_t crowd)
{
	struct picker *p = new_picker(BLOCKS);
	struct picker_peer *silent[CROWD_MAX], *good = seed(p, CROWD_MAX + 1);
	struct block mine[BLOCKS];
	size_t n = 0, most = FLIGHT;
	int64_t t = 0;

	for (uint32_t i = 0; i < crowd; i++)
		silent[i] = seed(p, i + 1);
	for (; picker_missing(p) > 0 && t < 60 * CLOCK_S; t += STEP) {
		int64_t now = CLOCK_S + t;

		for (size_t i = 0; i < n; i++)
			bring(p, good, &mine[i]);
		most = n > 0 ? BLOCKS : most;
		n = 0;
		if (t >= 500 * CLOCK_MS && t % (5 * STEP) == 0)
			n = ask(p, good, most, now);
		memcpy(mine, got, n * sizeof(*mine));
		/* All at once, and then each once a second. */
		for (uint32_t i = (uint32_t)(t / STEP % 20); i < crowd;
		    i += t ? 20 : 1) {
			size_t open = picker_peer_asked(p, silent[i]);

			if (open < FLIGHT)
				ask(p, silent[i], FLIGHT - open, now);
		}
	}
	end(p);
	return t;
}

static void
picker_silent_crowds_hold_up_nobody(void **state)
{
	static const uint32_t crowds[] = { 1, 3, 10, 30, CROWD_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(crowds) / sizeof(*crowds); i++) {
		int64_t took = time_beside(crowds[i]);

		if (took > 4 * CLOCK_S)
			fail_msg("%u: %.2f s", crowds[i], (double)took / CLOCK_S);
	}
}

/* ---- places for a block ---- */

static size_t
cancels(struct picker *p, struct picker_peer *pp)
{
	struct block gone[BLOCKS];

	return picker_take_cancels(p, pp, gone, BLOCKS);
}

static void
picker_newcomer_has_a_place_beside_mute_ones(void **state)
{
	struct picker *p = new_picker(1);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);

	(void)state;
	assert_int_equal(ask(p, a, FLIGHT, CLOCK_S), 1);
	assert_int_equal(ask(p, b, FLIGHT, 2 * CLOCK_S), 1);
	assert_int_equal(ask(p, seed(p, 3), FLIGHT, 4 * CLOCK_S), 0);
	assert_int_equal(ask(p, seed(p, 4), FLIGHT, 5 * CLOCK_S), 1);
	assert_int_equal(ask(p, seed(p, 5), FLIGHT, 5 * CLOCK_S), 0);
	/* Who is slow to begin has lost nothing by it. */
	assert_int_equal(cancels(p, a) + cancels(p, b), 0);
	end(p);
}

static void
picker_newcomer_beside_mute_ones_leaves_places(void **state)
{
	struct picker *p = new_picker(2);
	int64_t late = 11 * CLOCK_S / 2;

	(void)state;
	assert_int_equal(ask(p, seed(p, 1), 2, CLOCK_S), 2);
	assert_int_equal(ask(p, seed(p, 2), 2, 3 * CLOCK_S), 2);
	assert_int_equal(ask(p, seed(p, 3), FLIGHT, late), 1);
	assert_int_equal(ask(p, seed(p, 4), FLIGHT, late), 1);
	assert_int_equal(ask(p, seed(p, 5), FLIGHT, late), 0);
	end(p);
}

static void
picker_mute_one_gives_way_to_who_has_given(void **state)
{
	struct picker *p = new_picker(3);
	struct picker_peer *good = giver(p, 1), *other = giver(p, 2);
	struct picker_peer *a = seed(p, 3), *b = seed(p, 4);

	(void)state;
	assert_int_equal(ask(p, a, FLIGHT, CLOCK_S), 1);
	assert_int_equal(ask(p, b, FLIGHT, 2 * CLOCK_S), 1);
	assert_int_equal(ask(p, seed(p, 5), FLIGHT, 5 * CLOCK_S), 1);
	assert_int_equal(ask(p, good, FLIGHT, 5 * CLOCK_S), 1);
	assert_int_equal(cancels(p, a) + cancels(p, b), 1);
	/* Two of whom a block may still come are enough. */
	assert_int_equal(ask(p, other, FLIGHT, 5 * CLOCK_S), 0);
	end(p);
}

/* One that was asked for a block that another one gave. */
static struct picker_peer *
overtaken(struct picker *p, uint32_t id)
{
	struct picker_peer *pp = seed(p, id), *quick = seed(p, id + 1);

	assert_int_equal(ask(p, pp, 1, CLOCK_S), 1);
	assert_int_equal(ask(p, quick, 1, 2 * CLOCK_S), 1);
	bring(p, quick, &got[0]);
	picker_leave(p, quick);
	assert_int_equal(cancels(p, pp), 1);
	return pp;
}

static void
picker_mute_one_is_no_newcomer(void **state)
{
	struct picker *p = new_picker(2);
	struct picker_peer *a = seed(p, 1), *mute;

	(void)state;
	assert_int_equal(ask(p, a, 1, 2 * CLOCK_S), 1);
	mute = overtaken(p, 2);
	assert_int_equal(ask(p, seed(p, 4), FLIGHT, 3 * CLOCK_S), 1);
	assert_int_equal(ask(p, mute, FLIGHT, 6 * CLOCK_S), 0);
	assert_int_equal(ask(p, seed(p, 5), FLIGHT, 6 * CLOCK_S), 1);
	end(p);
}

static void
picker_who_choked_is_a_newcomer_again(void **state)
{
	struct picker *p = new_picker(2);
	struct picker_peer *a = seed(p, 1), *mute;

	(void)state;
	assert_int_equal(ask(p, a, 1, 2 * CLOCK_S), 1);
	mute = overtaken(p, 2);
	assert_int_equal(ask(p, seed(p, 4), FLIGHT, 3 * CLOCK_S), 1);
	picker_return_all(p, mute);
	assert_int_equal(ask(p, mute, FLIGHT, 6 * CLOCK_S), 1);
	end(p);
}

static void
picker_mute_one_stays_so_until_it_refuses(void **state)
{
	struct picker *p = new_picker(2);
	struct picker_peer *a = seed(p, 1), *mute, *next = seed(p, 5);
	struct block refused;

	(void)state;
	assert_int_equal(ask(p, a, 1, 2 * CLOCK_S), 1);
	mute = overtaken(p, 2);
	picker_leave(p, a);
	assert_int_equal(ask(p, mute, FLIGHT, 5 * CLOCK_S), 1);
	refused = got[0];
	assert_int_equal(ask(p, next, FLIGHT, 5 * CLOCK_S), 1);
	picker_leave(p, next);
	assert_int_equal(picker_return(p, mute, &refused), 1);
	assert_int_equal(ask(p, mute, FLIGHT, 5 * CLOCK_S), 1);
	assert_int_equal(ask(p, seed(p, 4), FLIGHT, 5 * CLOCK_S), 0);
	end(p);
}

#define T(f) cmocka_unit_test(f)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(picker_silent_crowds_hold_up_nobody),
		T(picker_newcomer_has_a_place_beside_mute_ones),
		T(picker_newcomer_beside_mute_ones_leaves_places),
		T(picker_mute_one_gives_way_to_who_has_given),
		T(picker_mute_one_is_no_newcomer),
		T(picker_who_choked_is_a_newcomer_again),
		T(picker_mute_one_stays_so_until_it_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
