#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "swarm/hashes.h"
#include "tree_rig.h"

#define BLOCK MERKLE_BLOCK

/* Asks and compares with the tree by its definition; false: refused. */
static bool
answered(struct tree_rig *r, struct hashes *h, uint32_t file,
	 const struct wire_hashes *q)
{
	const struct tree_file *t = &r->of[file];
	uint8_t out[HASHES_ANSWER_MAX * SHA256_SIZE];
	struct hashes_plan plan;
	unsigned level = q->base, skip = 0;
	size_t n, at;

	if (!hashes_plan(h, q, r->have, &plan))
		return false;
	n = hashes_answer(h, q, &plan, out);
	assert_int_equal(n, q->count + wire_proofs(q));
	assert_memory_equal(out, t->levels[level] +
			    (size_t)q->index * SHA256_SIZE,
			    q->count * SHA256_SIZE);
	while ((1u << skip) < q->count)
		skip++;
	for (at = q->count; at < n; at++, skip++)
		assert_memory_equal(out + at * SHA256_SIZE,
				    t->levels[level + skip] +
				    ((q->index >> skip) ^ 1) * SHA256_SIZE,
				    SHA256_SIZE);
	return true;
}

static bool
asks(struct tree_rig *r, struct hashes *h, uint32_t file, uint32_t base,
     uint32_t index, uint32_t count, uint32_t proofs)
{
	struct wire_hashes q = tree_ask(r, file, base, index, count, proofs);

	return answered(r, h, file, &q);
}

/* 11 pieces of 4 blocks, the last one short; a file of a piece, one of a
 * block. */
static const uint64_t lengths[] = {
	10 * 4 * BLOCK + BLOCK + 5, 3 * BLOCK + 1, 100, 4 * BLOCK};

static struct hashes *
open_several(struct tree_rig *r)
{
	struct hashes *h;

	tree_open(r, 4 * BLOCK, lengths, 4);
	h = hashes_new(&r->m, &r->source, NULL);
	assert_non_null(h);
	return h;
}

static void
close_all(struct tree_rig *r, struct hashes *h)
{
	hashes_free(h);
	tree_close(r);
}

static void
piece_layers_are_given_with_proof(void **state)
{
	struct tree_rig r;
	struct hashes *h = open_several(&r);

	(void)state;
	for (uint32_t count = 1; count <= 16; count *= 2)
		for (uint32_t at = 0; at < 11; at += count)
			for (uint32_t proofs = 0; proofs < 4; proofs++)
				if (count > 1 || proofs > 0)
					assert_true(asks(&r, h, 0, 2, at,
							 count, proofs));
	assert_int_equal(r.read, 0);
	close_all(&r, h);
}

static void
block_layers_are_read_back(void **state)
{
	struct tree_rig r;
	struct hashes *h = open_several(&r);

	(void)state;
	for (uint32_t count = 2; count <= 64; count *= 2)
		for (uint32_t at = 0; at < 42; at += count)
			for (uint32_t proofs = 0; proofs < 6; proofs++)
				assert_true(asks(&r, h, 0, 0, at, count,
						 proofs));
	assert_true(asks(&r, h, 1, 0, 0, 4, 0));
	assert_true(asks(&r, h, 1, 0, 2, 2, 1));
	assert_true(asks(&r, h, 3, 0, 0, 2, 1));
	close_all(&r, h);
}

/* As libtorrent asks for the last of 513: it takes what leads to the root. */
static void
the_last_hash_alone_is_given_with_what_leads_to_the_root(void **state)
{
	const uint64_t length[] = {512 * (uint64_t)BLOCK + 1};
	struct tree_rig r;
	struct hashes *h;
	struct wire_hashes q;

	(void)state;
	tree_open(&r, BLOCK, length, 1);
	h = hashes_new(&r.m, &r.source, NULL);
	q = tree_ask(&r, 0, 0, 512, 1, 9);
	assert_int_equal(wire_proofs(&q), 10);
	assert_true(answered(&r, h, 0, &q));
	close_all(&r, h);
}

/* A piece's worth, however little is asked for. */
static void
work_for_blocks_is_bounded(void **state)
{
	struct wire_hashes q;
	struct hashes_plan plan;
	struct tree_rig r;
	struct hashes *h = open_several(&r);

	(void)state;
	q = tree_ask(&r, 0, 0, 2, 2, 5);
	assert_true(hashes_plan(h, &q, r.have, &plan));
	assert_int_equal(plan.blocks, 4);
	q = tree_ask(&r, 0, 0, 40, 2, 5);
	assert_true(hashes_plan(h, &q, r.have, &plan));
	assert_int_equal(plan.blocks, 2);
	assert_int_equal(plan.cost, 2);
	q = tree_ask(&r, 0, 2, 0, 16, 3);
	assert_true(hashes_plan(h, &q, r.have, &plan));
	assert_int_equal(plan.blocks, 0);
	assert_int_equal(plan.cost, HASHES_PROOF_COST);
	close_all(&r, h);
}

static void
who_asks_later_waits_for_what_was_asked_before(void **state)
{
	const int64_t now = 1000 * CLOCK_S, burst = HASHES_BURST_NS;
	struct tree_rig r;
	struct hashes *h = open_several(&r);

	(void)state;
	/* What was saved up goes first. */
	assert_int_equal(hashes_reserve(h, 1024, true, now), now - burst);
	assert_int_equal(hashes_reserve(h, 1024, true, now), now);
	assert_int_equal(hashes_reserve(h, 256, true, now), now + 2 * CLOCK_S);
	assert_int_equal(hashes_reserve(h, 1, true, now),
			 now + 2 * CLOCK_S + CLOCK_S / 2);
	/* What is not used is for others. */
	/* Proofs have another one. */
	assert_int_equal(hashes_reserve(h, 2, false, now), now - burst);
	hashes_return(h, 257, true);
	assert_int_equal(hashes_reserve(h, 1, true, now + CLOCK_S),
			 now + 2 * CLOCK_S);
	/* No more than a burst is ever saved up. */
	assert_int_equal(hashes_reserve(h, 1, true, 2 * now), 2 * now - burst);
	close_all(&r, h);
}

static void
what_cannot_be_is_refused(void **state)
{
	struct tree_rig r;
	struct hashes *h = open_several(&r);
	struct wire_hashes q;

	(void)state;
	assert_false(asks(&r, h, 0, 1, 0, 2, 0));	/* another layer */
	assert_false(asks(&r, h, 0, 3, 0, 2, 0));
	assert_false(asks(&r, h, 0, UINT32_MAX, 0, 2, 0));
	assert_false(asks(&r, h, 0, 2, 0, 0, 0));
	assert_false(asks(&r, h, 0, 2, 0, 3, 0));
	assert_false(asks(&r, h, 0, 2, 0, 32, 0));	/* too many */
	assert_false(asks(&r, h, 0, 0, 0, 1024, 0));
	assert_false(asks(&r, h, 0, 2, 1, 2, 0));	/* not aligned */
	assert_false(asks(&r, h, 0, 2, 12, 4, 0));	/* beyond the data */
	assert_false(asks(&r, h, 0, 2, UINT32_MAX - 1, 2, 0));
	assert_false(asks(&r, h, 0, 2, 0, 2, 4));	/* the root's sibling */
	assert_false(asks(&r, h, 0, 2, 0, 2, UINT32_MAX));
	assert_false(asks(&r, h, 1, 2, 0, 1, 0));	/* no piece layer */
	assert_false(asks(&r, h, 2, 0, 0, 1, 0));	/* a lone block */
	q = tree_ask(&r, 0, 2, 0, 2, 0);
	q.root[0] ^= 1;
	assert_false(answered(&r, h, 0, &q));
	close_all(&r, h);
}

static void
blocks_of_missing_pieces_are_refused(void **state)
{
	struct bitfield some;
	struct tree_rig r;
	struct hashes *h = open_several(&r);

	(void)state;
	havelog_free(r.have);
	r.have = havelog_new(r.m.piece_count, NULL);
	bitfield_init(&some, r.m.piece_count);
	bitfield_set(&some, 0);
	havelog_begin(r.have, &some);
	bitfield_release(&some);
	assert_true(asks(&r, h, 0, 0, 0, 4, 5));
	assert_false(asks(&r, h, 0, 0, 4, 4, 5));
	assert_false(asks(&r, h, 0, 0, 0, 8, 5));
	assert_true(asks(&r, h, 0, 2, 0, 16, 0));
	close_all(&r, h);
}

static void
layers_that_are_not_known_are_refused(void **state)
{
	struct tree_rig r;
	struct hashes *h = open_several(&r);

	(void)state;
	r.trees[0].layer = NULL;
	assert_false(asks(&r, h, 0, 2, 0, 16, 0));
	assert_false(asks(&r, h, 0, 0, 0, 4, 5));
	assert_true(asks(&r, h, 1, 0, 0, 4, 0));
	close_all(&r, h);
}

/* Both have it, we have the second one only. */
static void
the_same_data_in_another_file_will_do(void **state)
{
	static const uint64_t twice[] = {9 * BLOCK, 9 * BLOCK};
	struct bitfield some;
	struct tree_rig r;
	struct hashes *h;

	(void)state;
	tree_open(&r, 4 * BLOCK, twice, 2);
	h = hashes_new(&r.m, &r.source, NULL);
	havelog_free(r.have);
	r.have = havelog_new(r.m.piece_count, NULL);
	bitfield_init(&some, r.m.piece_count);
	bitfield_set(&some, 4);
	havelog_begin(r.have, &some);
	bitfield_release(&some);
	assert_true(asks(&r, h, 0, 0, 4, 4, 3));
	assert_false(asks(&r, h, 0, 0, 0, 4, 3));
	close_all(&r, h);
}

/* The same data TREE_FILES_MAX times, of which we have one. */
static bool
is_found_in(uint32_t file)
{
	uint64_t lengths_of[TREE_FILES_MAX];
	struct bitfield one;
	struct tree_rig r;
	struct hashes *h;
	bool found;

	for (size_t i = 0; i < TREE_FILES_MAX; i++)
		lengths_of[i] = 4 * BLOCK;
	tree_open(&r, 4 * BLOCK, lengths_of, TREE_FILES_MAX);
	h = hashes_new(&r.m, &r.source, NULL);
	havelog_free(r.have);
	r.have = havelog_new(r.m.piece_count, NULL);
	bitfield_init(&one, r.m.piece_count);
	bitfield_set(&one, file);
	havelog_begin(r.have, &one);
	bitfield_release(&one);
	found = asks(&r, h, 0, 0, 0, 4, 0);
	close_all(&r, h);
	return found;
}

/* There may be hundreds of thousands, all for one request. */
static void
the_same_data_is_looked_for_in_a_few_files(void **state)
{
	(void)state;
	assert_true(is_found_in(HASHES_TWINS_MAX - 1));
	assert_false(is_found_in(HASHES_TWINS_MAX));
}

/* Pieces of a block: both layers are one.  And a tree so large that its
 * upper part is kept. */
static void
large_trees_are_answered_from_what_is_kept(void **state)
{
	static const uint64_t large[] = {1300 * (uint64_t)BLOCK - 9};
	struct tree_rig r;
	struct hashes *h;

	(void)state;
	tree_open(&r, BLOCK, large, 1);
	h = hashes_new(&r.m, &r.source, NULL);
	for (int round = 0; round < 2; round++)
		for (uint32_t at = 0; at < 1300; at += 512)
			assert_true(asks(&r, h, 0, 0, at, 512, 10));
	assert_true(asks(&r, h, 0, 0, 1298, 2, 10));
	assert_true(asks(&r, h, 0, 0, 1024, 512, 9));
	assert_int_equal(r.read, 0);
	close_all(&r, h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(piece_layers_are_given_with_proof),
		cmocka_unit_test(block_layers_are_read_back),
		cmocka_unit_test(
		    the_last_hash_alone_is_given_with_what_leads_to_the_root),
		cmocka_unit_test(work_for_blocks_is_bounded),
		cmocka_unit_test(
		    who_asks_later_waits_for_what_was_asked_before),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(blocks_of_missing_pieces_are_refused),
		cmocka_unit_test(layers_that_are_not_known_are_refused),
		cmocka_unit_test(the_same_data_in_another_file_will_do),
		cmocka_unit_test(the_same_data_is_looked_for_in_a_few_files),
		cmocka_unit_test(large_trees_are_answered_from_what_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
