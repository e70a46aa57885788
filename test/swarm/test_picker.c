#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "swarm/picker.h"

#define K 1024
#define FAST (1 << 30)		/* does any piece alone */
#define SLOW 1024
#define MAX 4096

static struct block got[MAX];

static struct picker *
new_picker(uint32_t pieces, uint32_t piece_length, uint64_t length)
{
	struct picker_geometry g = { pieces, piece_length,
		length ? length : (uint64_t)pieces * piece_length, false, 7, NULL, 0, NULL, 0 };
	struct picker *p = picker_new(&g, NULL);

	assert_non_null(p);
	return p;
}

/* Past the first random pieces. */
static void
past_start(struct picker *p, uint32_t first)
{
	for (uint32_t i = 0; i < 4; i++)
		picker_set_have(p, first + i);
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
ask(struct picker *p, struct picker_peer *pp, size_t max, uint64_t rate_bps)
{
	struct picker_ask a = { max, CLOCK_S, rate_bps, false };

	return picker_reserve(p, pp, &a, got);
}

static size_t
ask_endgame(struct picker *p, struct picker_peer *pp, uint64_t rate_bps,
	    int64_t now)
{
	struct picker_ask a = { 64, now, rate_bps, true };

	return picker_reserve(p, pp, &a, got);
}

static enum picker_result
bring_accepted(struct picker *p, struct picker_peer *pp,
	       const struct block *b)
{
	uint32_t losers[PICKER_LOSERS_MAX];
	size_t n;

	return picker_deliver(p, pp, b, losers, &n);
}

static enum picker_result
bring(struct picker *p, struct picker_peer *pp, const struct block *b)
{
	assert_true(picker_accept(p, pp, b));
	return bring_accepted(p, pp, b);
}

static void
end(struct picker *p)
{
	const char *broken = picker_check(p);

	if (broken)
		fail_msg("broken rule: %s", broken);
	picker_free(p);
}

static struct block
block(uint32_t piece, uint32_t index, uint32_t length)
{
	return (struct block){ piece, index * PICKER_BLOCK, length };
}

/* ---- geometry ---- */

/* Where files begin at pieces, any piece may be short. */
static void
short_pieces_have_their_own_length(void **state)
{
	static const struct picker_short shorts[] = {
		{ 1, PICKER_BLOCK + 5 }, { 3, 1 },
	};
	struct picker_geometry g = { 4, 3 * PICKER_BLOCK,
		7 * PICKER_BLOCK + 6, false, 1, shorts, 2, NULL, 0 };
	struct picker *p = picker_new(&g, NULL);
	struct picker_peer *pp;
	struct picker_ask ask = { .max = 20, .now = 1 };
	struct block b[20];
	struct picker_totals t;

	(void)state;
	assert_non_null(p);
	assert_int_equal(picker_piece_length(p, 0), 3 * PICKER_BLOCK);
	assert_int_equal(picker_piece_length(p, 1), PICKER_BLOCK + 5);
	assert_int_equal(picker_piece_blocks(p, 1), 2);
	assert_int_equal(picker_piece_length(p, 2), 3 * PICKER_BLOCK);
	assert_int_equal(picker_piece_blocks(p, 3), 1);
	pp = picker_join(p, 1, 1);
	picker_peer_have_all(p, pp);
	assert_int_equal(picker_reserve(p, pp, &ask, b), 9);
	for (int i = 0; i < 9; i++)
		assert_int_equal(b[i].length,
				 b[i].piece == 3 ? 1 :
				 b[i].piece == 1 && b[i].offset ? 5 :
				 PICKER_BLOCK);
	assert_null(picker_check(p));
	picker_leave(p, pp);
	picker_totals(p, &t);
	assert_int_equal(t.wanted_bytes, g.length);
	picker_free(p);
}

static void
picker_new_refuses_a_length_that_does_not_fit(void **state)
{
	static const struct picker_short shorts[] = {
		{ 0, 50 }, { 2, 1 }, { 1, 100 },
	};
	static const struct picker_padding padding[] = {
		{ 0, 0, 1 }, { 2, 1, 1 }, { 1, 0, 1 }, { 0, 0, 1 },
		{ 1, 0, 0 },
	};
	const struct picker_geometry bad[] = {
		{ 2, 100, 100, false, 1, NULL, 0, NULL, 0 },
		{ 2, 100, 201, false, 1, NULL, 0, NULL, 0 },
		{ 1, 0, 10, false, 1, NULL, 0, NULL, 0 },
		{ 0, 100, 1, false, 1, NULL, 0, NULL, 0 },
		{ 1, 100, 0, false, 1, NULL, 0, NULL, 0 },
		{ 3, 100, 299, false, 1, shorts, 2, NULL, 0 },
		{ 3, 100, 150, false, 1, shorts, 2, NULL, 0 },
		{ 3, 100, 201, false, 1, shorts + 1, 2, NULL, 0 },
		{ 2, 100, 151, false, 1, shorts, 2, NULL, 0 },
		{ 2, 100, 200, false, 1, NULL, 0, padding, 2 },
		{ 3, 100, 300, false, 1, NULL, 0, padding + 1, 1 },
		{ 3, 100, 300, false, 1, NULL, 0, padding + 2, 2 },
		{ 3, 100, 300, false, 1, NULL, 0, padding + 4, 1 },
	};
	struct error e = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(picker_new(&bad[i], &e));
		assert_int_equal(e.kind, ERROR_INTERNAL);
	}
}

/* Files end in pieces 0 and 2; what follows in those is zeros. */
static void
padding_need_not_come(void **state)
{
	static const struct picker_padding padding[] = {
		{ 0, 2, 2 }, { 2, 0, 1 }, { 2, 3, 1 },
	};
	struct picker_geometry g = { 3, 4 * PICKER_BLOCK, 12 * PICKER_BLOCK,
		false, 1, NULL, 0, padding, 3 };
	struct picker *p = picker_new(&g, NULL);
	struct picker_peer *pp = seed(p, 1);
	struct picker_ask all = { .max = 20, .now = 1 };
	struct picker_partial *list;
	struct bitfield data;
	uint64_t from[4];
	uint32_t losers[PICKER_LOSERS_MAX];
	struct block b[20], unasked = { 0, 2 * PICKER_BLOCK, PICKER_BLOCK };
	size_t n, full = 0;

	(void)state;
	assert_int_equal(picker_reserve(p, pp, &all, b), 8);
	assert_false(picker_accept(p, pp, &unasked));
	for (int i = 0; i < 8; i++) {
		assert_false(b[i].piece == 0 && b[i].offset / PICKER_BLOCK >= 2);
		assert_false(b[i].piece == 2 && b[i].offset % (3 * PICKER_BLOCK) == 0);
		if (b[i].piece == 1)
			continue;
		assert_true(picker_accept(p, pp, &b[i]));
		full += picker_deliver(p, pp, &b[i], losers, &n) ==
		    PICKER_PIECE_FULL;
	}
	assert_int_equal(full, 2);
	assert_null(picker_check(p));
	assert_int_equal(picker_contributors(p, 0, from, 4), 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(from[i], from[0]);
	assert_true(from[0] != 0);
	/* What the state says of a full piece: verify it. */
	assert_int_equal(picker_export_partials(p, &list, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_true(bitfield_full(&list[0].blocks));
	picker_free_partials(list, n);
	assert_int_equal(picker_piece_bad(p, 0, false), 2);
	picker_piece_good(p, 2);
	assert_null(picker_check(p));
	picker_return_all(p, pp);
	/* Data without the padding is as good as full, and nobody would
	 * settle it. */
	assert_int_equal(bitfield_init(&data, 4), 0);
	bitfield_set(&data, 0);
	assert_int_equal(picker_restore_partial(p, 0, &data), 0);
	assert_int_equal(ask(p, pp, 1, 0), 1);
	picker_return_all(p, pp);
	bitfield_release(&data);
	end(p);
	p = picker_new(&g, NULL);
	assert_int_equal(bitfield_init(&data, 4), 0);
	bitfield_set(&data, 0);
	bitfield_set(&data, 1);
	assert_int_equal(picker_restore_partial(p, 0, &data), 0);
	assert_null(picker_check(p));
	bitfield_unset(&data, 0);
	assert_int_equal(picker_restore_partial(p, 0, &data), 0);
	assert_null(picker_check(p));
	pp = seed(p, 1);
	assert_int_equal(picker_reserve_piece(p, pp, 0, &all, b), 1);
	assert_int_equal(b[0].offset, 0);
	bitfield_release(&data);
	picker_leave(p, pp);
	/* A piece of padding alone, restored: nothing is left of it. */
	bitfield_init(&data, 4);
	bitfield_set(&data, 0);
	assert_int_equal(picker_restore_partial(p, 2, &data), 0);
	assert_null(picker_check(p));
	bitfield_release(&data);
	end(p);
}

static void
picker_of_nothing_is_complete(void **state)
{
	struct picker_geometry g = { 0, 16384, 0, false, 1, NULL, 0, NULL, 0 };
	struct picker *p = picker_new(&g, NULL);
	struct picker_peer *pp = seed(p, 1);

	(void)state;
	assert_int_equal(picker_missing(p), 0);
	assert_false(picker_interesting(p, pp));
	assert_int_equal(ask(p, pp, 8, 0), 0);
	end(p);
}

static void
picker_blocks_end_with_the_piece(void **state)
{
	struct picker *p = new_picker(2, 40000, 40000 + 17000);
	struct picker_peer *pp = seed(p, 1);
	uint64_t sum = 0;
	size_t n = ask(p, pp, MAX, FAST);

	(void)state;
	assert_int_equal(n, 5);
	for (size_t i = 0; i < n; i++) {
		uint32_t size = got[i].piece == 0 ? 40000 : 17000;
		uint32_t left = size - got[i].offset;

		assert_int_equal(got[i].length,
		    left < PICKER_BLOCK ? left : PICKER_BLOCK);
		sum += got[i].length;
	}
	assert_int_equal(sum, 57000);
	end(p);
}

/* ---- which piece ---- */

static void
picker_reserve_follows_advice_among_equally_rare_pieces(void **state)
{
	struct picker *p = new_picker(100, PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);
	struct picker_peer *c = picker_join(p, 3, 3);

	(void)state;
	past_start(p, 96);
	for (uint32_t i = 0; i < 50; i++)
		picker_peer_have(p, c, i);
	picker_set_priority(p, 60, PICKER_PRIORITY_NORMAL - 1);
	/* The last four count: the first of them that is left is next. */
	picker_peer_suggest(p, a, 70);
	picker_peer_suggest(p, a, 77);
	picker_peer_suggest(p, a, 3);		/* less rare */
	picker_peer_suggest(p, a, 60);		/* less wanted */
	picker_peer_suggest(p, a, 88);
	picker_peer_suggest(p, a, 100);		/* there is none */
	assert_int_equal(ask(p, a, 1, FAST), 1);
	assert_int_equal(got[0].piece, 77);
	assert_int_equal(ask(p, a, 1, FAST), 1);
	assert_int_equal(got[0].piece, 88);
	assert_int_equal(ask(p, a, 30, FAST), 30);
	for (int i = 0; i < 30; i++)
		assert_true(got[i].piece >= 50 && got[i].piece != 60);
	/* Another peer's advice is not b's. */
	assert_int_equal(ask(p, b, 1, FAST), 1);
	assert_int_not_equal(got[0].piece, 60);
	picker_leave(p, a);
	picker_leave(p, b);
	picker_leave(p, c);
	end(p);
}

static void
picker_reserve_takes_no_advice_for_what_the_peer_lacks(void **state)
{
	struct picker *p = new_picker(10, PICKER_BLOCK, 0);
	struct picker_peer *a = picker_join(p, 1, 1);

	(void)state;
	picker_peer_have(p, a, 4);
	picker_peer_suggest(p, a, 5);
	assert_int_equal(ask(p, a, 2, FAST), 1);
	assert_int_equal(got[0].piece, 4);
	picker_leave(p, a);
	end(p);
}

static void
picker_reserve_prefers_the_rarest_piece(void **state)
{
	struct picker *p = new_picker(20, PICKER_BLOCK, 0);
	struct picker_peer *pp = seed(p, 1);

	(void)state;
	past_start(p, 16);
	for (uint32_t id = 2; id < 5; id++) {
		struct picker_peer *other = picker_join(p, id, id);

		for (uint32_t i = 0; i < 16; i++)
			if (i != 11 && (i != 5 || id == 2))
				picker_peer_have(p, other, i);
	}
	assert_int_equal(ask(p, pp, 2, FAST), 2);
	assert_int_equal(got[0].piece, 11);
	assert_int_equal(got[1].piece, 5);
	end(p);
}

static void
picker_reserve_follows_peers_that_leave(void **state)
{
	struct picker *p = new_picker(12, PICKER_BLOCK, 0);
	struct picker_peer *pp = seed(p, 1), *a, *b;

	(void)state;
	past_start(p, 8);
	a = picker_join(p, 2, 2);
	b = picker_join(p, 3, 3);
	for (uint32_t i = 0; i < 8; i++) {
		picker_peer_have(p, a, i);
		if (i != 6)
			picker_peer_have(p, b, i);
		if (i != 3)
			continue;
		assert_int_equal(picker_peer_donthave(p, a, 3), 0);
		assert_int_equal(picker_peer_donthave(p, b, 3), 0);
	}
	picker_leave(p, a);
	assert_int_equal(ask(p, pp, 2, FAST), 2);
	assert_int_equal(got[0].piece + got[1].piece, 9);
	end(p);
}

static void
picker_reserve_takes_only_what_the_peer_has(void **state)
{
	struct picker *p = new_picker(40, PICKER_BLOCK, 0);
	struct picker_peer *pp = picker_join(p, 1, 1);

	(void)state;
	assert_int_equal(ask(p, pp, 8, FAST), 0);
	picker_peer_have(p, pp, 17);
	picker_peer_have(p, pp, 40);
	assert_int_equal(ask(p, pp, 8, FAST), 1);
	assert_int_equal(got[0].piece, 17);
	end(p);
}

/* The same pick from two seeds of the random numbers would be no chance. */
static void
picker_first_pieces_are_random(void **state)
{
	unsigned same = 0;

	(void)state;
	for (uint64_t k = 0; k < 50; k++) {
		struct picker_geometry g = { 100, PICKER_BLOCK,
			100 * PICKER_BLOCK, false, k, NULL, 0, NULL, 0 };
		struct picker *p = picker_new(&g, NULL);
		struct picker_peer *a = seed(p, 1), *b = picker_join(p, 2, 2);

		/* Piece 50 alone is rarest. */
		for (uint32_t i = 0; i < 100; i++)
			if (i != 50)
				picker_peer_have(p, b, i);
		assert_int_equal(ask(p, a, 1, FAST), 1);
		same += got[0].piece == 50;
		end(p);
	}
	assert_true(same < 10);
}

static void
picker_ties_are_random(void **state)
{
	bool seen[64] = { false };
	unsigned different = 0;

	(void)state;
	for (uint64_t k = 0; k < 40; k++) {
		struct picker_geometry g = { 64, PICKER_BLOCK,
			64 * PICKER_BLOCK, false, k, NULL, 0, NULL, 0 };
		struct picker *p = picker_new(&g, NULL);
		struct picker_peer *a = seed(p, 1);

		past_start(p, 60);
		ask(p, a, 1, FAST);
		different += !seen[got[0].piece];
		seen[got[0].piece] = true;
		end(p);
	}
	assert_true(different > 15);
}

static void
picker_reserve_prefers_priority_over_rarity(void **state)
{
	struct picker *p = new_picker(12, PICKER_BLOCK, 0);
	struct picker_peer *pp = seed(p, 1), *other = picker_join(p, 2, 2);

	(void)state;
	past_start(p, 8);
	picker_peer_have(p, other, 3);
	picker_peer_have(p, other, 4);
	picker_set_priority(p, 3, 7);
	picker_set_priority(p, 4, 6);
	assert_int_equal(ask(p, pp, 3, FAST), 3);
	assert_int_equal(got[0].piece, 3);
	assert_int_equal(got[1].piece, 4);
	end(p);
}

static void
picker_reserve_leaves_unwanted_pieces(void **state)
{
	struct picker *p = new_picker(8, 2 * PICKER_BLOCK, 0);
	struct picker_peer *pp = seed(p, 1);

	(void)state;
	for (uint32_t i = 0; i < 8; i++)
		picker_set_priority(p, i, i == 2);
	assert_int_equal(picker_missing(p), 1);
	assert_int_equal(ask(p, pp, 64, FAST), 2);
	assert_int_equal(got[0].piece, 2);
	assert_int_equal(ask(p, pp, 64, FAST), 0);
	end(p);
}

static void
picker_reserve_finishes_its_own_piece_first(void **state)
{
	struct picker *p = new_picker(20, 16 * PICKER_BLOCK, 0);
	struct picker_peer *pp = seed(p, 1);
	uint32_t piece;

	(void)state;
	ask(p, pp, 5, FAST);
	piece = got[0].piece;
	assert_int_equal(ask(p, pp, 20, FAST), 20);
	for (uint32_t i = 0; i < 11; i++) {
		assert_int_equal(got[i].piece, piece);
		assert_int_equal(got[i].offset, (5 + i) * PICKER_BLOCK);
	}
	assert_int_not_equal(got[11].piece, piece);
	end(p);
}

static void
picker_reserve_takes_over_an_orphaned_piece(void **state)
{
	struct picker *p = new_picker(20, 16 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);
	struct block first;

	(void)state;
	ask(p, a, 5, FAST);
	first = got[0];
	bring(p, a, &first);
	assert_int_equal(picker_return_all(p, a), 4);
	assert_int_equal(ask(p, b, 15, FAST), 15);
	for (unsigned i = 0; i < 15; i++)
		assert_int_equal(got[i].piece, first.piece);
	end(p);
}

static void
picker_fast_peers_begin_pieces_of_their_own(void **state)
{
	struct picker *p = new_picker(20, 16 * PICKER_BLOCK, 0);
	bool seen[20] = { false };

	(void)state;
	for (uint32_t id = 1; id <= 20; id++) {
		ask(p, seed(p, id), 4, FAST);
		assert_false(seen[got[0].piece]);
		seen[got[0].piece] = true;
	}
	end(p);
}

static void
picker_slow_peers_share_few_pieces(void **state)
{
	struct picker *p = new_picker(200, 256 * PICKER_BLOCK, 0);
	struct picker_totals t;

	(void)state;
	for (uint32_t id = 1; id <= 60; id++)
		assert_int_equal(ask(p, seed(p, id), 4, SLOW), 4);
	picker_totals(p, &t);
	assert_in_range(t.active, 2, 16);
	end(p);
}

/* 64 peers, one piece: each has a place of its own and goes on from it. */
static void
picker_peers_share_one_piece_in_runs(void **state)
{
	struct picker *p = new_picker(1, 4096 * PICKER_BLOCK, 0);
	struct picker_peer *pp[64];
	uint32_t next[64];
	unsigned runs = 0;

	(void)state;
	for (uint32_t i = 0; i < 64; i++) {
		pp[i] = seed(p, i);
		assert_int_equal(ask(p, pp[i], 4, SLOW), 4);
		next[i] = got[3].offset + PICKER_BLOCK;
	}
	for (unsigned round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < 64; i++) {
			assert_int_equal(ask(p, pp[i], 4, SLOW), 4);
			runs += got[0].offset != next[i];
			next[i] = got[3].offset + PICKER_BLOCK;
		}
	}
	assert_true(runs < 16);
	end(p);
}

static void
picker_sequential_goes_in_order(void **state)
{
	struct picker_geometry g = { 50, 4 * PICKER_BLOCK,
		50 * 4 * PICKER_BLOCK, true, 1, NULL, 0, NULL, 0 };
	struct picker *p = picker_new(&g, NULL);
	struct picker_peer *pp = seed(p, 1);

	(void)state;
	assert_int_equal(ask(p, pp, 40, FAST), 40);
	for (uint32_t i = 0; i < 40; i++) {
		assert_int_equal(got[i].piece, i / 4);
		assert_int_equal(got[i].offset, i % 4 * PICKER_BLOCK);
	}
	end(p);
}

static void
picker_sequential_order_is_within_a_priority(void **state)
{
	struct picker_geometry g = { 50, PICKER_BLOCK, 50 * PICKER_BLOCK,
		true, 1, NULL, 0, NULL, 0 };
	struct picker *p = picker_new(&g, NULL);
	struct picker_peer *pp = seed(p, 1);

	(void)state;
	for (uint32_t i = 30; i < 33; i++)
		picker_set_priority(p, i, 7);
	picker_set_have(p, 0);
	assert_int_equal(ask(p, pp, 5, FAST), 5);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(got[i].piece, i < 3 ? 30 + i : i - 2);
	picker_return_all(p, pp);
	assert_int_equal(ask(p, pp, 1, FAST), 1);
	assert_int_equal(got[0].piece, 30);
	end(p);
}

static void
picker_reserve_piece_gives_that_piece_only(void **state)
{
	struct picker_ask a = { 64, 0, 0, true };
	struct picker *p = new_picker(20, 4 * PICKER_BLOCK, 0);
	struct picker_peer *pp = picker_join(p, 1, 1);

	(void)state;
	picker_peer_have(p, pp, 9);
	assert_int_equal(picker_reserve_piece(p, pp, 8, &a, got), 0);
	assert_int_equal(picker_reserve_piece(p, pp, 20, &a, got), 0);
	assert_int_equal(picker_reserve_piece(p, pp, 9, &a, got), 4);
	assert_int_equal(picker_reserve_piece(p, pp, 9, &a, got), 0);
	end(p);
}

/* ---- the way of a block ---- */

static void
picker_last_block_fills_the_piece_once(void **state)
{
	struct picker *p = new_picker(4, 3 * PICKER_BLOCK, 0);
	struct picker_peer *pp = seed(p, 1);
	struct block b[3];

	(void)state;
	assert_int_equal(ask(p, pp, 3, FAST), 3);
	memcpy(b, got, sizeof(b));
	assert_int_equal(bring(p, pp, &b[2]), PICKER_MORE);
	assert_int_equal(bring(p, pp, &b[0]), PICKER_MORE);
	assert_int_equal(bring(p, pp, &b[1]), PICKER_PIECE_FULL);
	assert_int_equal(picker_have_count(p), 0);
	picker_piece_good(p, b[0].piece);
	assert_true(picker_have(p, b[0].piece));
	end(p);
}

static void
picker_accept_refuses_what_nobody_asked_for(void **state)
{
	struct picker *p = new_picker(4, 3 * PICKER_BLOCK, 0);
	struct picker_peer *pp = seed(p, 1);
	struct block b = block(2, 1, PICKER_BLOCK);

	(void)state;
	assert_false(picker_accept(p, pp, &b));
	end(p);
}

static void
picker_accept_refuses_blocks_that_are_none(void **state)
{
	struct picker *p = new_picker(2, 20000, 0);
	struct picker_peer *pp = seed(p, 1);
	const struct block bad[] = {
		{ 2, 0, PICKER_BLOCK }, { UINT32_MAX, 0, PICKER_BLOCK },
		{ 0, 1, PICKER_BLOCK }, { 0, 0, PICKER_BLOCK - 1 },
		{ 0, 0, 0 }, { 0, PICKER_BLOCK, PICKER_BLOCK },
		{ 0, 2 * PICKER_BLOCK, PICKER_BLOCK },
		{ 0, 0xffffc000, PICKER_BLOCK }, { 0, 0, UINT32_MAX },
	};
	uint32_t losers[PICKER_LOSERS_MAX];
	size_t n;

	(void)state;
	assert_int_equal(ask(p, pp, 4, FAST), 4);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(picker_accept(p, pp, &bad[i]));
		assert_int_equal(picker_return(p, pp, &bad[i]), 0);
		assert_int_equal(picker_deliver(p, pp, &bad[i], losers, &n),
		    PICKER_MORE);
	}
	assert_int_equal(picker_peer_asked(p, pp), 4);
	end(p);
}

static void
picker_accept_takes_a_block_once(void **state)
{
	struct picker *p = new_picker(4, 3 * PICKER_BLOCK, 0);
	struct picker_peer *pp = seed(p, 1);
	struct block b;

	(void)state;
	ask(p, pp, 3, FAST);
	b = got[0];
	assert_true(picker_accept(p, pp, &b));
	assert_false(picker_accept(p, pp, &b));
	end(p);
}

static void
picker_accept_takes_a_late_block_that_is_still_wanted(void **state)
{
	struct picker *p = new_picker(4, 3 * PICKER_BLOCK, 0);
	struct picker_peer *pp = seed(p, 1);
	struct block b;

	(void)state;
	ask(p, pp, 1, FAST);
	b = got[0];
	assert_int_equal(picker_return(p, pp, &b), 1);
	assert_int_equal(bring(p, pp, &b), PICKER_MORE);
	assert_false(picker_accept(p, pp, &b));
	end(p);
}

static void
picker_failed_write_frees_the_block(void **state)
{
	struct picker *p = new_picker(1, 3 * PICKER_BLOCK, 0);
	struct picker_peer *pp = seed(p, 1);
	struct block b;

	(void)state;
	ask(p, pp, 3, FAST);
	b = got[1];
	assert_true(picker_accept(p, pp, &b));
	assert_int_equal(picker_return(p, pp, &b), 1);
	assert_int_equal(ask(p, pp, 3, FAST), 1);
	assert_memory_equal(&got[0], &b, sizeof(b));
	end(p);
}

static void
picker_leave_frees_all_even_what_it_was_writing(void **state)
{
	struct picker *p = new_picker(1, 8 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);

	(void)state;
	ask(p, a, 6, FAST);
	assert_true(picker_accept(p, a, &got[2]));
	assert_int_equal(picker_leave(p, a), 6);
	assert_int_equal(ask(p, b, 8, FAST), 8);
	end(p);
}

static void
picker_return_but_keeps_the_oldest(void **state)
{
	struct picker *p = new_picker(1, 8 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);
	struct block oldest;

	(void)state;
	ask(p, a, 6, FAST);
	oldest = got[0];
	assert_int_equal(picker_return_but(p, a, 1), 5);
	assert_int_equal(picker_peer_asked(p, a), 1);
	assert_int_equal(ask(p, b, 8, FAST), 7);
	assert_int_equal(bring(p, a, &oldest), PICKER_MORE);
	end(p);
}

static void
picker_bad_piece_is_missing_again(void **state)
{
	struct picker *p = new_picker(1, 2 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);
	struct block blocks[2];
	uint64_t from[2];

	(void)state;
	ask(p, a, 1, FAST);
	blocks[0] = got[0];
	ask(p, b, 1, SLOW);
	blocks[1] = got[0];
	bring(p, a, &blocks[0]);
	assert_int_equal(bring(p, b, &blocks[1]), PICKER_PIECE_FULL);
	assert_int_equal(picker_contributors(p, 0, from, 2), 2);
	assert_int_equal(from[blocks[0].offset / PICKER_BLOCK], 1);
	assert_int_equal(from[blocks[1].offset / PICKER_BLOCK], 2);
	assert_int_equal(picker_piece_bad(p, 0, false), 2);
	assert_int_equal(picker_piece_bad(p, 0, false), 0);
	assert_int_equal(ask(p, b, 8, FAST), 2);
	end(p);
}

/* Fails the only piece so that it is exclusive. */
static void
fail_piece(struct picker *p, struct picker_peer *pp, size_t blocks)
{
	struct block b[16];

	assert_int_equal(ask(p, pp, blocks, FAST), blocks);
	memcpy(b, got, blocks * sizeof(*b));
	for (size_t i = 0; i < blocks; i++)
		bring(p, pp, &b[i]);
	assert_int_equal(picker_piece_bad(p, 0, true), blocks);
}

static void
picker_exclusive_piece_has_a_single_giver(void **state)
{
	struct picker *p = new_picker(1, 4 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);

	(void)state;
	fail_piece(p, a, 4);
	assert_int_equal(ask(p, a, 1, FAST), 1);
	assert_int_equal(ask(p, b, 4, FAST), 0);
	assert_int_equal(ask_endgame(p, b, FAST, CLOCK_S), 0);
	assert_int_equal(ask(p, a, 4, FAST), 3);
	end(p);
}

static void
picker_exclusive_piece_starts_again_with_a_new_giver(void **state)
{
	struct picker *p = new_picker(1, 4 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);
	struct picker_totals t;
	struct block first;

	(void)state;
	fail_piece(p, a, 4);
	ask(p, a, 4, FAST);
	first = got[0];
	bring(p, a, &first);
	picker_return_all(p, a);
	assert_int_equal(ask(p, b, 8, FAST), 4);
	picker_totals(p, &t);
	assert_int_equal(t.got_bytes, 0);
	assert_false(picker_accept(p, a, &first));
	end(p);
}

/* The owner of an exclusive piece chokes us while its first block is on the
 * way to the disk. */
static void
choke_while_writing(struct picker *p, struct picker_peer *a,
		    struct block *first)
{
	fail_piece(p, a, 4);
	ask(p, a, 4, FAST);
	*first = got[0];
	assert_true(picker_accept(p, a, first));
	picker_return_all(p, a);
}

static void
picker_exclusive_piece_is_free_once_its_last_block_is_written(void **state)
{
	struct picker *p = new_picker(1, 4 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);
	struct block first;

	(void)state;
	choke_while_writing(p, a, &first);
	assert_int_equal(ask(p, b, 8, FAST), 0);
	assert_int_equal(bring_accepted(p, a, &first), PICKER_FREED);
	assert_int_equal(ask(p, b, 8, FAST), 4);
	end(p);
}

static void
picker_exclusive_piece_stays_with_a_giver_that_is_asked_again(void **state)
{
	struct picker *p = new_picker(1, 4 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);
	struct block first;

	(void)state;
	choke_while_writing(p, a, &first);
	assert_int_equal(ask(p, a, 1, FAST), 1);
	assert_int_equal(bring_accepted(p, a, &first), PICKER_MORE);
	assert_int_equal(ask(p, b, 8, FAST), 0);
	assert_int_equal(ask(p, a, 8, FAST), 2);
	end(p);
}

static void
picker_exclusive_piece_is_left_by_a_giver_that_owes_nothing(void **state)
{
	struct picker *p = new_picker(1, 4 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);

	(void)state;
	fail_piece(p, a, 4);
	ask(p, a, 1, FAST);
	assert_int_equal(bring(p, a, &got[0]), PICKER_MORE);
	assert_int_equal(ask(p, b, 8, FAST), 0);
	assert_int_equal(picker_return_but(p, a, SIZE_MAX), 3);
	assert_int_equal(ask(p, b, 8, FAST), 4);
	end(p);
}

static void
picker_exclusive_piece_is_left_once_the_giver_owes_nothing(void **state)
{
	struct picker *p = new_picker(1, 4 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);
	struct block first;

	(void)state;
	fail_piece(p, a, 4);
	ask(p, a, 1, FAST);
	first = got[0];
	assert_int_equal(picker_return_but(p, a, SIZE_MAX), 0);
	assert_int_equal(picker_peer_asked(p, a), 1);
	assert_int_equal(ask(p, b, 8, FAST), 0);
	assert_int_equal(bring(p, a, &first), PICKER_FREED);
	assert_int_equal(ask(p, b, 8, FAST), 4);
	end(p);
}

static void
picker_slow_giver_loses_an_exclusive_piece_in_the_endgame(void **state)
{
	struct picker *p = new_picker(1, 4 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);

	(void)state;
	fail_piece(p, a, 4);
	assert_int_equal(ask(p, a, 4, SLOW), 4);
	assert_true(ask_endgame(p, b, FAST, 2 * CLOCK_S) > 0);
	end(p);
}

/* A piece of 64 blocks that failed so often, 4 of them asked of its exclusive
 * owner, at 16 KiB/s. */
static struct picker *
slow_owner(struct picker_peer **owner, int failures)
{
	struct picker *p = new_picker(1, 64 * PICKER_BLOCK, 0);
	struct picker_peer *first = seed(p, 1);

	for (int i = 0; i < failures * 64; i += 16) {
		struct block b[16];

		assert_int_equal(ask(p, first, 16, FAST), 16);
		memcpy(b, got, sizeof(b));
		for (size_t k = 0; k < 16; k++)
			bring(p, first, &b[k]);
		if (i % 64 == 48)
			assert_int_equal(picker_piece_bad(p, 0, true), 64);
	}
	*owner = seed(p, 2);
	assert_int_equal(ask(p, *owner, 4, 16 * K), 4);
	return p;
}

static void
picker_fast_peer_does_an_exclusive_piece_anew(void **state)
{
	struct picker_peer *a, *b;
	struct picker *p = slow_owner(&a, 1);
	struct block first = got[0], second = got[1];

	(void)state;
	bring(p, a, &first);
	b = seed(p, 3);
	assert_int_equal(ask(p, b, 64, 0), 0);
	assert_int_equal(ask(p, b, 64, 1024 * K), 64);
	assert_false(picker_accept(p, a, &second));
	assert_int_equal(picker_take_cancels(p, a, got, MAX), 2);
	assert_int_equal(ask(p, a, 64, 16 * K), 0);
	assert_int_equal(ask_endgame(p, seed(p, 4), 4096 * K, CLOCK_S), 0);
	end(p);
}

/* The slow one still owes blocks of the piece. */
static void
picker_who_does_an_exclusive_piece_anew_may_leave(void **state)
{
	struct picker_peer *a, *b;
	struct picker *p = slow_owner(&a, 1);

	(void)state;
	b = seed(p, 3);
	assert_true(ask(p, b, 64, 1024 * K) > 0);
	picker_leave(p, b);
	assert_null(picker_check(p));
	assert_int_equal(picker_take_cancels(p, a, got, MAX), 4);
	assert_int_equal(ask(p, a, 64, 16 * K), 64);
	end(p);
}

static void
picker_peers_as_slow_share_an_exclusive_piece(void **state)
{
	struct picker_peer *a, *b;
	struct picker *p = slow_owner(&a, 1);
	struct block first = got[0], second = got[1];

	(void)state;
	bring(p, a, &first);
	b = seed(p, 3);
	assert_int_equal(ask(p, b, 8, 16 * K), 8);
	assert_true(picker_accept(p, a, &second));
	assert_int_equal(ask(p, a, 8, 16 * K), 8);
	end(p);
}

static void
picker_a_piece_that_fails_again_is_not_shared(void **state)
{
	struct picker_peer *a, *b;
	struct picker *p = slow_owner(&a, 2);

	(void)state;
	b = seed(p, 3);
	assert_int_equal(ask(p, b, 8, 16 * K), 0);
	assert_int_equal(ask(p, a, 8, 16 * K), 8);
	assert_int_equal(ask(p, b, 64, 1024 * K), 64);
	end(p);
}

/* ---- the endgame ---- */

static void
picker_endgame_asks_again_what_a_slow_peer_owes(void **state)
{
	struct picker *p = new_picker(1, 8 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);
	uint32_t losers[PICKER_LOSERS_MAX];
	struct block last, out[4];
	size_t n;

	(void)state;
	assert_int_equal(ask(p, a, 8, 16 * K), 8);
	assert_int_equal(ask(p, b, 8, 1024 * K), 0);
	assert_int_equal(ask_endgame(p, b, 1024 * K, CLOCK_S), 8);
	last = got[0];
	assert_int_equal(last.offset, 7 * PICKER_BLOCK);
	assert_true(picker_accept(p, b, &last));
	picker_deliver(p, b, &last, losers, &n);
	assert_int_equal(n, 1);
	assert_int_equal(losers[0], 1);
	assert_int_equal(picker_take_cancels(p, a, out, 4), 1);
	assert_memory_equal(&out[0], &last, sizeof(last));
	assert_int_equal(picker_take_cancels(p, a, out, 4), 0);
	assert_int_equal(picker_peer_asked(p, a), 7);
	end(p);
}

/* Forty owe a block each: none of them is left for long. */
static void
picker_endgame_relieves_many_slow_peers(void **state)
{
	struct picker *p = new_picker(40, PICKER_BLOCK, 0);
	struct picker_peer *fast = seed(p, 100);

	(void)state;
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(ask(p, seed(p, i + 1), 1, 2 * K), 1);
	assert_int_equal(ask_endgame(p, fast, 1024 * K, CLOCK_S), 32);
	for (uint32_t i = 0; i < 32; i++)
		bring(p, fast, &got[i]);
	assert_int_equal(ask_endgame(p, fast, 1024 * K, CLOCK_S), 8);
	end(p);
}

static void
picker_endgame_does_not_ask_what_comes_soon_anyway(void **state)
{
	struct picker *p = new_picker(1, 8 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);

	(void)state;
	assert_int_equal(ask(p, a, 8, 1024 * K), 8);
	assert_int_equal(ask_endgame(p, b, 16 * K, CLOCK_S), 0);
	end(p);
}

static void
picker_endgame_does_not_wait_for_a_stalled_fast_peer(void **state)
{
	struct picker *p = new_picker(1, 2 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);

	(void)state;
	assert_int_equal(ask(p, a, 2, 1024 * K), 2);
	assert_int_equal(ask_endgame(p, b, 64 * K, CLOCK_S), 0);
	assert_int_equal(ask_endgame(p, b, 64 * K, 4 * CLOCK_S), 2);
	end(p);
}

static void
picker_endgame_has_few_askers_for_a_block(void **state)
{
	struct picker *p = new_picker(1, PICKER_BLOCK, 0);
	unsigned askers = 0;

	(void)state;
	for (uint32_t id = 1; id < 20; id++)
		askers += ask_endgame(p, seed(p, id), 10 + id * id * id,
		    CLOCK_S) == 1;
	assert_int_equal(askers, 2);
	for (uint32_t id = 20; id < 40; id++)
		askers += ask_endgame(p, seed(p, id), 1024 * K,
		    20 * CLOCK_S) == 1;
	/* A third one, and two more in the place of those that stalled. */
	assert_int_equal(askers, 5);
	end(p);
}

static void
picker_reserve_waits_until_cancels_are_taken(void **state)
{
	struct picker *p = new_picker(1, 2 * PICKER_BLOCK, 0);
	struct picker_peer *a = seed(p, 1), *b = seed(p, 2);
	struct block out[4], mine[2];

	(void)state;
	assert_int_equal(ask(p, a, 2, SLOW), 2);
	assert_int_equal(ask_endgame(p, b, FAST, CLOCK_S), 2);
	memcpy(mine, got, sizeof(mine));
	bring(p, b, &mine[0]);
	bring(p, b, &mine[1]);
	picker_piece_bad(p, 0, false);
	assert_int_equal(ask(p, a, 2, SLOW), 0);
	assert_int_equal(picker_take_cancels(p, a, out, 4), 2);
	assert_int_equal(ask(p, a, 2, SLOW), 2);
	end(p);
}

/* ---- interest, sums, resume ---- */

static void
picker_interest_follows_what_is_missing(void **state)
{
	struct picker *p = new_picker(3, PICKER_BLOCK, 0);
	struct picker_peer *a = picker_join(p, 1, 1), *s = seed(p, 2);

	(void)state;
	assert_false(picker_interesting(p, a));
	picker_peer_have(p, a, 1);
	assert_true(picker_interesting(p, a));
	picker_set_have(p, 1);
	assert_false(picker_interesting(p, a));
	picker_peer_have(p, a, 2);
	picker_set_priority(p, 2, 0);
	assert_false(picker_interesting(p, a));
	assert_true(picker_interesting(p, s));
	picker_set_priority(p, 0, 0);
	assert_false(picker_interesting(p, s));
	picker_set_priority(p, 2, 1);
	assert_true(picker_interesting(p, a));
	assert_true(picker_interesting(p, s));
	end(p);
}

static void
picker_full_bitfield_is_a_seed(void **state)
{
	struct picker *p = new_picker(70, PICKER_BLOCK, 0);
	struct picker_peer *a = picker_join(p, 1, 1), *b = seed(p, 2);
	struct picker_totals t;
	struct bitfield f;

	(void)state;
	bitfield_init(&f, 70);
	bitfield_fill(&f);
	assert_int_equal(picker_peer_bitfield(p, a, &f), 0);
	assert_true(picker_peer_is_seed(p, a));
	picker_peer_donthave(p, b, 69);
	assert_false(picker_peer_is_seed(p, b));
	assert_false(picker_peer_has(p, b, 69));
	assert_int_equal(picker_peer_count(p, b), 69);
	picker_totals(p, &t);
	picker_peer_have_none(p, a);
	bitfield_release(&f);
	end(p);
}

static void
picker_totals_are_exact(void **state)
{
	struct picker *p = new_picker(3, 40000, 100001);
	struct picker_peer *pp = seed(p, 1);
	struct picker_totals t;
	struct block b;

	(void)state;
	picker_set_have(p, 2);
	picker_set_priority(p, 1, 0);
	ask(p, pp, 3, FAST);
	b = got[2];
	assert_int_equal(b.length, 40000 - 2 * PICKER_BLOCK);
	bring(p, pp, &b);
	picker_totals(p, &t);
	assert_int_equal(t.good_bytes, 20001);
	assert_int_equal(t.got_bytes, 20001 + b.length);
	assert_int_equal(t.wanted_bytes, 60001);
	assert_int_equal(t.wanted_left, 40000 - b.length);
	assert_int_equal(t.missing, 1);
	assert_int_equal(t.active, 1);
	end(p);
}

static void
picker_partials_survive_a_restart(void **state)
{
	struct picker *p = new_picker(6, 4 * PICKER_BLOCK, 0);
	struct picker_peer *pp = seed(p, 1);
	struct picker_partial *list;
	struct picker_totals t;
	struct block b;
	size_t n;

	(void)state;
	ask(p, pp, 4, FAST);
	b = got[2];
	bring(p, pp, &b);
	assert_int_equal(picker_export_partials(p, &list, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(list[0].piece, b.piece);
	end(p);
	p = new_picker(6, 4 * PICKER_BLOCK, 0);
	pp = seed(p, 1);
	assert_int_equal(picker_restore_partial(p, b.piece, &list[0].blocks),
	    0);
	picker_free_partials(list, n);
	picker_totals(p, &t);
	assert_int_equal(t.got_bytes, PICKER_BLOCK);
	assert_int_equal(ask(p, pp, 3, FAST), 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(got[i].piece, b.piece);
		assert_int_not_equal(got[i].offset, b.offset);
	}
	end(p);
}

static void
picker_restore_ignores_what_cannot_be(void **state)
{
	struct picker *p = new_picker(2, 4 * PICKER_BLOCK, 0);
	struct picker_totals t;
	struct bitfield f, g;

	(void)state;
	bitfield_init(&f, 5);
	bitfield_init(&g, 4);
	bitfield_set(&f, 1);
	assert_int_equal(picker_restore_partial(p, 0, &f), 0);
	assert_int_equal(picker_restore_partial(p, 0, &g), 0);
	bitfield_set(&g, 1);
	picker_set_have(p, 1);
	assert_int_equal(picker_restore_partial(p, 1, &g), 0);
	assert_int_equal(picker_restore_partial(p, 2, &g), 0);
	bitfield_fill(&g);
	assert_int_equal(picker_restore_partial(p, 0, &g), 0);
	picker_totals(p, &t);
	assert_int_equal(t.active, 0);
	bitfield_release(&f);
	bitfield_release(&g);
	end(p);
}

/* Peers that begin a piece, give a block and go, over and over. */
static void
picker_bounds_what_peers_leave_behind(void **state)
{
	const uint32_t blocks = 1024;
	struct picker *p = new_picker(2000, blocks * PICKER_BLOCK, 0);
	struct picker_totals t;
	struct bitfield f;

	(void)state;
	bitfield_init(&f, blocks);
	bitfield_set(&f, 3);
	for (uint32_t i = 0; i < 2000; i++)
		assert_int_equal(picker_restore_partial(p, i, &f), 0);
	picker_totals(p, &t);
	assert_true((uint64_t)t.active * blocks <= 1 << 19);
	assert_true(t.active > 100);
	assert_int_equal(t.got_bytes, t.active * (uint64_t)PICKER_BLOCK);
	bitfield_release(&f);
	end(p);
}

/* ---- cost ---- */

/* 400,000 pieces: the entries looked at stay bounded for each call, for a
 * seed, for a peer with a single piece, and for one whose pieces are gone. */
static void
picker_cost_does_not_grow_with_the_torrent(void **state)
{
	const uint32_t n = 400000;
	struct picker *p = new_picker(n, 2 * PICKER_BLOCK, 0);
	struct picker_peer *s = seed(p, 1), *one = picker_join(p, 2, 2);
	struct picker_peer *many = picker_join(p, 3, 3);
	uint64_t before, most;
	size_t asked = 0;

	(void)state;
	past_start(p, n - 4);
	for (uint32_t i = 0; i < n; i += 2)
		picker_peer_have(p, many, i);
	picker_peer_have(p, one, 399990);
	before = picker_steps(p);
	for (unsigned i = 0; i < 1000; i++)
		asked += ask(p, s, 2, FAST);
	assert_int_equal(asked, 2000);
	assert_true(picker_steps(p) - before <= 1000 * 8);
	before = picker_steps(p);
	for (unsigned i = 0; i < 1000; i++)
		asked += ask(p, many, 2, FAST);
	assert_int_equal(asked, 4000);
	assert_true(picker_steps(p) - before <= 1000 * 1024);
	before = picker_steps(p);
	assert_int_equal(ask(p, one, 2, FAST), 2);
	most = 2 * 512 + n / 64 + 64;
	assert_true(picker_steps(p) - before <= most);
	before = picker_steps(p);
	assert_int_equal(ask(p, one, 2, FAST), 0);
	assert_true(picker_steps(p) - before <= 2 * most);
	picker_free(p);
}

int
main(void)
{
#define T(f) cmocka_unit_test(f)
	const struct CMUnitTest tests[] = {
		T(short_pieces_have_their_own_length),
		T(picker_new_refuses_a_length_that_does_not_fit),
		T(padding_need_not_come),
		T(picker_of_nothing_is_complete),
		T(picker_blocks_end_with_the_piece),
		T(picker_reserve_follows_advice_among_equally_rare_pieces),
		T(picker_reserve_takes_no_advice_for_what_the_peer_lacks),
		T(picker_reserve_prefers_the_rarest_piece),
		T(picker_reserve_follows_peers_that_leave),
		T(picker_reserve_takes_only_what_the_peer_has),
		T(picker_first_pieces_are_random),
		T(picker_ties_are_random),
		T(picker_reserve_prefers_priority_over_rarity),
		T(picker_reserve_leaves_unwanted_pieces),
		T(picker_reserve_finishes_its_own_piece_first),
		T(picker_reserve_takes_over_an_orphaned_piece),
		T(picker_fast_peers_begin_pieces_of_their_own),
		T(picker_slow_peers_share_few_pieces),
		T(picker_peers_share_one_piece_in_runs),
		T(picker_sequential_goes_in_order),
		T(picker_sequential_order_is_within_a_priority),
		T(picker_reserve_piece_gives_that_piece_only),
		T(picker_last_block_fills_the_piece_once),
		T(picker_accept_refuses_what_nobody_asked_for),
		T(picker_accept_refuses_blocks_that_are_none),
		T(picker_accept_takes_a_block_once),
		T(picker_accept_takes_a_late_block_that_is_still_wanted),
		T(picker_failed_write_frees_the_block),
		T(picker_leave_frees_all_even_what_it_was_writing),
		T(picker_return_but_keeps_the_oldest),
		T(picker_bad_piece_is_missing_again),
		T(picker_exclusive_piece_has_a_single_giver),
		T(picker_exclusive_piece_starts_again_with_a_new_giver),
		T(picker_exclusive_piece_is_free_once_its_last_block_is_written),
		T(picker_exclusive_piece_stays_with_a_giver_that_is_asked_again),
		T(picker_exclusive_piece_is_left_by_a_giver_that_owes_nothing),
		T(picker_exclusive_piece_is_left_once_the_giver_owes_nothing),
		T(picker_slow_giver_loses_an_exclusive_piece_in_the_endgame),
		T(picker_fast_peer_does_an_exclusive_piece_anew),
		T(picker_who_does_an_exclusive_piece_anew_may_leave),
		T(picker_peers_as_slow_share_an_exclusive_piece),
		T(picker_a_piece_that_fails_again_is_not_shared),
		T(picker_endgame_asks_again_what_a_slow_peer_owes),
		T(picker_endgame_relieves_many_slow_peers),
		T(picker_endgame_does_not_ask_what_comes_soon_anyway),
		T(picker_endgame_does_not_wait_for_a_stalled_fast_peer),
		T(picker_endgame_has_few_askers_for_a_block),
		T(picker_reserve_waits_until_cancels_are_taken),
		T(picker_interest_follows_what_is_missing),
		T(picker_full_bitfield_is_a_seed),
		T(picker_totals_are_exact),
		T(picker_partials_survive_a_restart),
		T(picker_restore_ignores_what_cannot_be),
		T(picker_bounds_what_peers_leave_behind),
		T(picker_cost_does_not_grow_with_the_torrent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
