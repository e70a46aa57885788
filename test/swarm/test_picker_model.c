/*
 * Goal: whatever peers do, in whatever order, the picker's rules hold, no
 * byte is written by two at a time or again after it is good, and in the end
 * everything that is wanted is there.  The actions are random, from fixed
 * seeds; the model beside the picker is a plain table of blocks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "swarm/picker.h"

#define PEERS 24
#define OPEN_MAX 256

enum block_state { LACKING, WRITING, WRITTEN };

struct sim_peer {
	struct picker_peer *pp;
	bool liar;
	uint32_t id;
	uint64_t rate;
	struct block open[OPEN_MAX];
	size_t n;
	struct block writing[4];
	size_t writings;
};

struct sim {
	struct picker *p;
	struct picker_geometry g;
	uint64_t random;
	int64_t now;
	uint32_t blocks;	/* in a full piece */
	uint8_t *state;		/* by piece * blocks + block */
	uint8_t *bad;
	bool *padding;		/* the same; these never come */
	bool *good;
	bool *exclusive;	/* a new owner may have to start again */
	struct sim_peer peer[PEERS];
	uint32_t next_id;
	bool calm;		/* the last phase: no mischief */
	unsigned failed, cancelled;
};

static uint32_t
chance(struct sim *s, uint32_t bound)
{
	s->random = s->random * 6364136223846793005ULL +
	    1442695040888963407ULL;
	return (uint32_t)((s->random >> 33) % bound);
}

static size_t
cell(const struct sim *s, const struct block *b)
{
	return (size_t)b->piece * s->blocks + b->offset / PICKER_BLOCK;
}

/* Nobody is writing it, and nobody has, but for a piece that started again
 * with another single peer. */
static bool
is_open(const struct sim *s, const struct block *b)
{
	uint8_t state = s->state[cell(s, b)];

	if (s->good[b->piece] || s->padding[cell(s, b)])
		return false;
	return state == LACKING ||
	    (state == WRITTEN && s->exclusive[b->piece]);
}

static void
check(struct sim *s)
{
	const char *broken = picker_check(s->p);

	if (broken)
		fail_msg("broken rule: %s", broken);
}

static void
forget(struct block *list, size_t *n, size_t i)
{
	memmove(list + i, list + i + 1, (--*n - i) * sizeof(*list));
}

static void
join(struct sim *s, struct sim_peer *q)
{
	struct bitfield b;

	memset(q, 0, sizeof(*q));
	q->id = s->next_id++;
	q->liar = !s->calm && chance(s, 5) == 0;
	q->rate = chance(s, 4) == 0 ? 0 : 1000u << chance(s, 12);
	q->pp = picker_join(s->p, q->id, q->id + 1);
	assert_non_null(q->pp);
	assert_int_equal(bitfield_init(&b, s->g.piece_count), 0);
	for (uint32_t i = 0; i < s->g.piece_count; i++)
		if (chance(s, 3) == 0)
			bitfield_set(&b, i);
	if (s->calm || chance(s, 4) == 0)
		picker_peer_have_all(s->p, q->pp);
	else if (chance(s, 4) == 0)
		picker_peer_have_none(s->p, q->pp);
	else
		assert_int_equal(picker_peer_bitfield(s->p, q->pp, &b), 0);
	bitfield_release(&b);
}

static void
leave(struct sim *s, struct sim_peer *q)
{
	for (size_t i = 0; i < q->writings; i++)
		s->state[cell(s, &q->writing[i])] = LACKING;
	picker_leave(s->p, q->pp);
	q->pp = NULL;
}

static void
reserve(struct sim *s, struct sim_peer *q)
{
	struct picker_ask ask = { .max = 1 + chance(s, 24), .now = s->now,
		.rate_bps = q->rate, .endgame_ok = true };
	struct block *out = q->open + q->n;
	uint32_t piece = chance(s, s->g.piece_count);
	size_t n;

	if (ask.max > OPEN_MAX - q->n)
		ask.max = OPEN_MAX - q->n;
	if (!s->calm && chance(s, 8) == 0)
		n = picker_reserve_piece(s->p, q->pp, piece, &ask, out);
	else if (q->id % 5 == 0)
		n = picker_reserve_run(s->p, q->pp, &ask, out);
	else
		n = picker_reserve(s->p, q->pp, &ask, out);
	assert_true(n <= ask.max);
	for (size_t i = 0; i < n; i++) {
		assert_true(picker_peer_has(s->p, q->pp, out[i].piece));
		assert_true(is_open(s, &out[i]));
		for (size_t k = 0; k < q->n + i; k++)
			assert_memory_not_equal(&q->open[k], &out[i],
			    sizeof(out[i]));
	}
	q->n += n;
	assert_int_equal(picker_peer_asked(s->p, q->pp), q->n);
}

static void
settle(struct sim *s, uint32_t piece)
{
	struct block b = { .piece = piece };
	uint32_t n = picker_piece_blocks(s->p, piece);
	uint64_t from[64];
	size_t came = 0;
	bool bad = false;

	assert_int_equal(picker_contributors(s->p, piece, from, 64), n);
	for (uint32_t i = 0; i < n; i++) {
		b.offset = i * PICKER_BLOCK;
		assert_true(from[i] != 0);
		if (s->padding[cell(s, &b)])
			continue;
		came++;
		assert_int_equal(s->state[cell(s, &b)], WRITTEN);
		bad |= s->bad[cell(s, &b)];
	}
	if (!bad) {
		assert_false(s->good[piece]);
		s->good[piece] = true;
		picker_piece_good(s->p, piece);
		return;
	}
	s->failed++;
	memset(s->state + (size_t)piece * s->blocks, LACKING, s->blocks);
	s->exclusive[piece] = chance(s, 2);
	assert_int_equal(picker_piece_bad(s->p, piece, s->exclusive[piece]),
	    came);
}

static void
finish_write(struct sim *s, struct sim_peer *q, size_t i)
{
	struct block b = q->writing[i];
	uint32_t losers[PICKER_LOSERS_MAX];
	enum picker_result result;
	size_t n;

	forget(q->writing, &q->writings, i);
	if (!s->calm && chance(s, 20) == 0) {
		s->state[cell(s, &b)] = LACKING;
		picker_return(s->p, q->pp, &b);
		return;
	}
	result = picker_deliver(s->p, q->pp, &b, losers, &n);
	assert_true(n <= PICKER_LOSERS_MAX);
	for (size_t k = 0; k < n; k++)
		assert_int_not_equal(losers[k], q->id);
	s->state[cell(s, &b)] = WRITTEN;
	s->bad[cell(s, &b)] = q->liar;
	if (result == PICKER_PIECE_FULL)
		settle(s, b.piece);
}

static void
arrive(struct sim *s, struct sim_peer *q, const struct block *b)
{
	if (!picker_accept(s->p, q->pp, b))
		return;
	assert_true(is_open(s, b));
	s->state[cell(s, b)] = WRITING;
	q->writing[q->writings++] = *b;
}

static void
receive(struct sim *s, struct sim_peer *q)
{
	size_t i = chance(s, 4) == 0 ? chance(s, (uint32_t)q->n) : 0;
	struct block b = q->open[i];

	if (q->writings == 4)
		finish_write(s, q, chance(s, 4));
	forget(q->open, &q->n, i);
	arrive(s, q, &b);
}

static void
take_cancels(struct sim *s, struct sim_peer *q)
{
	struct block out[8];
	size_t n;

again:
	n = picker_take_cancels(s->p, q->pp, out, 8);
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < q->n && memcmp(&q->open[k], &out[i],
		    sizeof(out[i])) != 0)
			k++;
		assert_true(k < q->n);
		forget(q->open, &q->n, k);
		s->cancelled++;
	}
	if (n == 8)
		goto again;
}

/* Gives one back, and often it comes after all. */
static void
give_back(struct sim *s, struct sim_peer *q)
{
	size_t i = chance(s, (uint32_t)q->n);
	struct block b = q->open[i];

	picker_return(s->p, q->pp, &b);
	forget(q->open, &q->n, i);
	if (q->writings < 4 && chance(s, 2) == 0)
		arrive(s, q, &b);
}

static void
mischief(struct sim *s, struct sim_peer *q)
{

	switch (chance(s, 9)) {
	case 0:
		picker_return_all(s->p, q->pp);
		q->n = 0;
		break;
	case 1:
		take_cancels(s, q);
		picker_return_but(s->p, q->pp, 1);
		q->n = picker_peer_asked(s->p, q->pp);
		break;
	case 2:
		if (q->n > 0)
			give_back(s, q);
		break;
	case 3:
		leave(s, q);
		break;
	case 4:
	case 5:
		picker_peer_have(s->p, q->pp,
		    chance(s, s->g.piece_count + 1));
		break;
	case 6:
		if (chance(s, 4) == 0)
			picker_peer_donthave(s->p, q->pp,
			    chance(s, s->g.piece_count));
		break;
	case 7:
		picker_set_priority(s->p, chance(s, s->g.piece_count),
		    chance(s, 8));
		break;
	default:
		q->rate = chance(s, 1u << 20);
	}
}

static void
step(struct sim *s)
{
	struct sim_peer *q = &s->peer[chance(s, PEERS)];

	s->now += (int64_t)chance(s, 100) * CLOCK_MS;
	if (!q->pp) {
		join(s, q);
		return;
	}
	switch (chance(s, s->calm ? 7 : 8)) {
	case 0:
	case 1:
		take_cancels(s, q);
		if (q->n < OPEN_MAX)
			reserve(s, q);
		break;
	case 6:
		if (q->writings > 0)
			finish_write(s, q, chance(s, (uint32_t)q->writings));
		break;
	case 7:
		mischief(s, q);
		break;
	default:
		if (q->n > 0)
			receive(s, q);
	}
}

/* Files end in every other piece: one run of blocks up to its end, or two
 * with something in between. */
static void
add_padding(struct sim *s, struct picker_padding *list)
{
	for (uint32_t i = chance(s, 2); i + 1 < s->g.piece_count; i += 2) {
		uint32_t first = 1 + chance(s, s->blocks - 1);
		uint32_t count = s->blocks - first;

		if (count > 2 && chance(s, 2) == 0) {
			list[s->g.padding_count++] = (struct picker_padding){
				i, first, 1};
			first += 2;
			count -= 2;
		}
		list[s->g.padding_count++] = (struct picker_padding){
			i, first, count};
	}
	for (size_t i = 0; i < s->g.padding_count; i++)
		memset(s->padding + (size_t)list[i].piece * s->blocks +
		       list[i].first, true, list[i].count);
	s->g.padding = list;
}

static void
start(struct sim *s, uint32_t pieces, uint32_t piece_length, uint64_t seed)
{
	struct picker_padding *list = calloc(2 * pieces, sizeof(*list));

	memset(s, 0, sizeof(*s));
	s->g.piece_count = pieces;
	s->g.piece_length = piece_length;
	s->g.length = (uint64_t)(pieces - 1) * piece_length +
	    1 + seed * 7919 % piece_length;
	s->g.sequential = seed % 4 == 3;
	s->g.seed = s->random = seed;
	s->blocks = (piece_length - 1) / PICKER_BLOCK + 1;
	s->state = calloc(pieces, s->blocks);
	s->bad = calloc(pieces, s->blocks);
	s->padding = calloc(pieces, s->blocks);
	s->good = calloc(pieces, sizeof(*s->good));
	s->exclusive = calloc(pieces, sizeof(*s->exclusive));
	if (s->blocks > 1 && seed % 2 == 0)
		add_padding(s, list);
	s->p = picker_new(&s->g, NULL);
	assert_non_null(s->p);
	free(list);
}

static void
finish(struct sim *s)
{
	struct picker_totals t;
	unsigned steps = 0;

	for (unsigned i = 0; i < PEERS; i++)
		if (s->peer[i].pp)
			leave(s, &s->peer[i]);
	check(s);
	s->calm = true;
	for (uint32_t i = 0; i < s->g.piece_count; i++)
		picker_set_priority(s->p, i, 1 + i % 7);
	while (picker_missing(s->p) > 0 && steps++ < 400000)
		step(s);
	assert_int_equal(picker_missing(s->p), 0);
	for (unsigned i = 0; i < PEERS; i++)
		if (s->peer[i].pp)
			leave(s, &s->peer[i]);
	check(s);
	picker_totals(s->p, &t);
	assert_int_equal(t.got_bytes, s->g.length);
	assert_int_equal(t.good_bytes, s->g.length);
	assert_int_equal(t.wanted_left, 0);
	assert_int_equal(t.active, 0);
	for (uint32_t i = 0; i < s->g.piece_count; i++)
		assert_true(s->good[i]);
	picker_free(s->p);
	free(s->state);
	free(s->bad);
	free(s->padding);
	free(s->good);
	free(s->exclusive);
}

static void
model_run(uint32_t pieces, uint32_t piece_length, uint64_t seed)
{
	struct sim *s = malloc(sizeof(*s));

	start(s, pieces, piece_length, seed);
	for (unsigned i = 0; i < 8000; i++) {
		step(s);
		if (i % 16 == 0)
			check(s);
	}
	assert_true(s->failed > 0 && s->cancelled > 0);
	finish(s);
	free(s);
}

static void
picker_keeps_its_rules_with_small_pieces(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++)
		model_run(150, 5000, seed);
}

static void
picker_keeps_its_rules_with_odd_pieces(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++)
		model_run(40, 100000, seed);
}

static void
picker_keeps_its_rules_with_few_large_pieces(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++)
		model_run(3, 1 << 20, seed);
}

static void
picker_keeps_its_rules_with_one_byte_pieces(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		model_run(70, 1, seed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(picker_keeps_its_rules_with_small_pieces),
		cmocka_unit_test(picker_keeps_its_rules_with_odd_pieces),
		cmocka_unit_test(picker_keeps_its_rules_with_few_large_pieces),
		cmocka_unit_test(picker_keeps_its_rules_with_one_byte_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
