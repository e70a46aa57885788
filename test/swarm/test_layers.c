#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "swarm/asking.h"
#include "swarm/hashes.h"
#include "swarm/layers.h"
#include "tree_rig.h"

#define BLOCK MERKLE_BLOCK

/* One of three parts, one of one, one without a layer, and the first one
 * again. */
static const uint64_t lengths[] = {
	1100 * (uint64_t)BLOCK + 7, 5 * BLOCK, 100,
	1100 * (uint64_t)BLOCK + 7};
#define PARTS 4
#define LARGE 3

struct fetch {
	struct tree_rig r;
	struct hashes *giver;
	struct metainfo bare;
	struct metainfo_tree trees[TREE_FILES];
	struct layers *l;
};

/* The rig has all; `bare` is what a link leads to. */
static void
begin(struct fetch *f)
{
	tree_open(&f->r, BLOCK, lengths, 4);
	f->giver = hashes_new(&f->r.m, &f->r.source, NULL);
	memcpy(f->trees, f->r.trees, sizeof(f->trees));
	for (int i = 0; i < TREE_FILES; i++)
		f->trees[i].layer = NULL;
	f->bare = f->r.m;
	f->bare.trees = f->trees;
	assert_true(metainfo_lacks_layers(&f->bare));
	f->l = layers_new(&f->bare, NULL);
	assert_non_null(f->l);
}

static void
end(struct fetch *f)
{
	layers_free(f->l);
	hashes_free(f->giver);
	tree_close(&f->r);
}

static size_t
true_answer(struct fetch *f, const struct wire_hashes *q, uint8_t *out)
{
	struct hashes_plan plan;

	assert_true(hashes_plan(f->giver, q, f->r.have, &plan));
	return hashes_answer(f->giver, q, &plan, out);
}

static enum layers_result
answer(struct fetch *f, uint64_t source, const struct wire_hashes *q)
{
	uint8_t out[HASHES_ANSWER_MAX * SHA256_SIZE];
	size_t n = true_answer(f, q, out);

	return layers_take(f->l, source, q, out, n);
}

static struct wire_hashes
next_of(struct fetch *f, struct layers_source *from, int64_t now)
{
	struct wire_hashes q = {0};
	int64_t retry;

	assert_true(layers_next(f->l, from, now, &q, &retry));
	return q;
}

/* When it may be asked again. */
static int64_t
refuse(struct fetch *f, struct layers_source *from,
       const struct wire_hashes *q)
{
	int64_t retry = CLOCK_S;

	layers_refuse(f->l, from, q, 0, &retry);
	return retry;
}

static struct wire_hashes
next(struct fetch *f, uint64_t source, int64_t now)
{
	struct layers_source from = {.address = source};

	return next_of(f, &from, now);
}

static bool
has_none(struct fetch *f, uint64_t source, int64_t now)
{
	struct layers_source from = {.address = source};
	struct wire_hashes q;
	int64_t retry;

	return !layers_next(f->l, &from, now, &q, &retry) && retry > now;
}

static void
layers_come_in_parts_from_several(void **state)
{
	struct wire_hashes q[PARTS];
	struct fetch f;

	(void)state;
	begin(&f);
	for (int i = 0; i < PARTS; i++)
		q[i] = next(&f, (uint64_t)(1 + i % 2), 0);
	assert_true(has_none(&f, 1, 0));
	for (int i = PARTS - 1; i > 0; i--)
		assert_int_equal(answer(&f, (uint64_t)(1 + i % 2), &q[i]),
				 LAYERS_MORE);
	assert_false(layers_done(f.l));
	assert_int_equal(answer(&f, 1, &q[0]), LAYERS_DONE);
	assert_true(layers_done(f.l));
	layers_apply(f.l, &f.bare);
	assert_false(metainfo_lacks_layers(&f.bare));
	for (int i = 0; i < TREE_FILES; i++) {
		assert_int_equal(f.trees[i].layer_count,
				 f.r.trees[i].layer_count);
		if (f.r.trees[i].layer)
			assert_memory_equal(f.trees[i].layer,
					    f.r.trees[i].layer,
					    f.trees[i].layer_count *
					    SHA256_SIZE);
	}
	end(&f);
}

/* For the layer of one part. */
static struct wire_hashes
next_whole(struct fetch *f, struct layers_source *from)
{
	struct wire_hashes q;

	do
		q = next_of(f, from, 0);
	while (q.count == LAYERS_PART || q.index > 0);
	return q;
}

static void
layers_of_proof_that_are_not_sent_are_counted(void **state)
{
	struct layers_source from = {.address = 1};
	struct wire_hashes q;
	struct fetch f;

	(void)state;
	begin(&f);
	q = next_whole(&f, &from);
	assert_int_equal(q.count, 8);
	assert_int_equal(q.proofs, 2);
	assert_int_equal(wire_proofs(&q), 0);
	assert_int_equal(answer(&f, 1, &q), LAYERS_MORE);
	end(&f);
}

static void
who_refuses_a_whole_layer_is_asked_without_proof(void **state)
{
	struct layers_source from = {.address = 1}, other = {.address = 2};
	struct wire_hashes q, again;
	struct fetch f;

	(void)state;
	begin(&f);
	q = next_whole(&f, &from);
	assert_int_equal(refuse(&f, &from, &q), 0);
	again = next_whole(&f, &from);
	assert_int_equal(again.proofs, 0);
	again.proofs = q.proofs;
	assert_memory_equal(&again, &q, sizeof(q));
	/* Others are not. */
	again = next_of(&f, &other, ASKING_WAIT);
	while (again.count != q.count)
		again = next_of(&f, &other, ASKING_WAIT);
	assert_memory_equal(&again, &q, sizeof(q));
	again.proofs = 0;
	assert_int_equal(answer(&f, 1, &again), LAYERS_MORE);
	end(&f);
}

static void
who_refuses_both_starts_over(void **state)
{
	struct layers_source from = {.address = 1};
	struct wire_hashes q, again;
	struct fetch f;

	(void)state;
	begin(&f);
	q = next_whole(&f, &from);
	assert_int_equal(refuse(&f, &from, &q), 0);
	/* All that it was asked for meanwhile. */
	assert_int_equal(refuse(&f, &from, &q), CLOCK_S);
	assert_true(from.bare);
	again = next_whole(&f, &from);
	assert_int_equal(refuse(&f, &from, &again), LAYERS_REST);
	/* It cannot talk itself out of that. */
	assert_int_equal(refuse(&f, &from, &q), CLOCK_S);
	assert_false(from.bare);
	again = next_whole(&f, &from);
	assert_memory_equal(&again, &q, sizeof(q));
	/* What nobody asks for is no way at all. */
	q.count *= 2;
	assert_int_equal(refuse(&f, &from, &q), LAYERS_REST);
	end(&f);
}

/* The parts of the large file that this one, who proves nothing, is asked
 * for; the other file's, if it is asked for that, is answered. */
static size_t
borrow(struct fetch *f, uint64_t source, int64_t now, struct wire_hashes *out)
{
	struct layers_source from = {.address = source, .bare = true};
	struct wire_hashes q;
	int64_t retry;
	size_t n = 0;

	while (layers_next(f->l, &from, now, &q, &retry)) {
		assert_int_equal(q.proofs, 0);
		if (memcmp(q.root, f->trees[0].root, SHA256_SIZE) == 0)
			out[n++] = q;
		else
			answer(f, source, &q);
	}
	return n;
}

static enum layers_result
lie(struct fetch *f, uint64_t source, const struct wire_hashes *q)
{
	uint8_t out[HASHES_ANSWER_MAX * SHA256_SIZE];
	size_t n = true_answer(f, q, out);

	out[5] ^= 1;
	return layers_take(f->l, source, q, out, n);
}

static void
assert_taken(struct fetch *f)
{
	assert_true(layers_done(f->l));
	layers_apply(f->l, &f->bare);
	assert_memory_equal(f->trees[0].layer, f->r.trees[0].layer,
			    f->trees[0].layer_count * SHA256_SIZE);
}

static void
who_refuses_to_prove_lends_what_a_layer_lacks(void **state)
{
	struct layers_source from = {.address = 1};
	struct wire_hashes q, lent[LARGE];
	struct fetch f;

	(void)state;
	begin(&f);
	while ((q = next_of(&f, &from, 0)).proofs == 2)
		answer(&f, 1, &q);
	assert_int_equal(q.proofs, 10);
	assert_int_equal(refuse(&f, &from, &q), 0);
	assert_true(from.bare);
	assert_int_equal(borrow(&f, 1, 0, lent), LARGE);
	for (int i = 0; i < LARGE; i++) {
		assert_false(layers_done(f.l));
		answer(&f, 1, &lent[i]);
	}
	assert_taken(&f);
	end(&f);
}

static void
what_others_have_proved_stays(void **state)
{
	struct wire_hashes q, lent[LARGE];
	struct fetch f;

	(void)state;
	begin(&f);
	while ((q = next(&f, 1, 0)).proofs == 2)
		answer(&f, 1, &q);
	answer(&f, 1, &q);
	assert_int_equal(borrow(&f, 2, 0, lent), LARGE - 1);
	for (int i = 0; i < LARGE - 1; i++)
		answer(&f, 2, &lent[i]);
	assert_taken(&f);
	end(&f);
}

static void
a_lie_is_found_once_all_is_lent(void **state)
{
	struct wire_hashes lent[LARGE];
	struct fetch f;

	(void)state;
	for (int wrong = 0; wrong < LARGE; wrong++) {
		begin(&f);
		assert_int_equal(borrow(&f, 1, 0, lent), LARGE);
		for (int i = 0; i < LARGE; i++)
			assert_int_equal(
			    i == wrong ? lie(&f, 1, &lent[i])
				       : answer(&f, 1, &lent[i]),
			    i < LARGE - 1 ? LAYERS_MORE : LAYERS_LIE);
		/* Others give it, with proof or without. */
		if (wrong == 0)
			assert_int_equal(borrow(&f, 2, 0, lent), LARGE);
		for (int i = 0; i < LARGE; i++) {
			if (wrong > 0)
				lent[i] = next(&f, 2, 0);
			assert_int_equal(lent[i].proofs, wrong > 0 ? 10 : 0);
			answer(&f, 2, &lent[i]);
		}
		assert_taken(&f);
		end(&f);
	}
}

static void
a_layer_is_lent_by_one_alone(void **state)
{
	struct wire_hashes lent[LARGE], more[LARGE];
	struct fetch f;

	(void)state;
	begin(&f);
	assert_int_equal(borrow(&f, 1, 0, lent), LARGE);
	assert_int_equal(borrow(&f, 2, ASKING_WAIT, more), 0);
	answer(&f, 1, &lent[0]);
	assert_int_equal(answer(&f, 2, &lent[1]), LAYERS_MORE);
	answer(&f, 1, &lent[2]);
	assert_false(layers_done(f.l));
	assert_int_equal(borrow(&f, 1, ASKING_AGAIN, more), 1);
	/* It says no more, and another one begins anew. */
	assert_int_equal(borrow(&f, 2, ASKING_AGAIN, more), 0);
	assert_int_equal(borrow(&f, 2, 2 * ASKING_AGAIN, more), LARGE);
	answer(&f, 1, &lent[1]);
	for (int i = 0; i < LARGE; i++) {
		assert_false(layers_done(f.l));
		answer(&f, 2, &more[i]);
	}
	assert_taken(&f);
	end(&f);
}

static void
what_was_lent_goes_with_the_lender(void **state)
{
	struct layers_source from = {.address = 2, .bare = true};
	struct wire_hashes lent[LARGE];
	struct fetch f;

	(void)state;
	begin(&f);
	assert_int_equal(borrow(&f, 1, 0, lent), LARGE);
	answer(&f, 1, &lent[0]);
	layers_leave(f.l, 1);
	assert_int_equal(borrow(&f, 2, 0, lent), LARGE);
	answer(&f, 2, &lent[0]);
	/* It refuses the rest, or another one of its address does. */
	assert_int_equal(refuse(&f, &from, &lent[1]), LAYERS_REST);
	assert_false(from.bare);
	assert_int_equal(borrow(&f, 3, 0, lent), 0);
	assert_int_equal(borrow(&f, 3, ASKING_AGAIN, lent), LARGE);
	end(&f);
}

/* It may be asked again for what it keeps back; that is not to go on. */
static void
who_lends_no_more_keeps_nobody_out(void **state)
{
	struct wire_hashes lent[LARGE];
	struct fetch f;

	(void)state;
	begin(&f);
	assert_int_equal(borrow(&f, 1, 0, lent), LARGE);
	answer(&f, 1, &lent[0]);
	assert_int_equal(borrow(&f, 1, ASKING_AGAIN, lent), LARGE - 1);
	assert_int_equal(borrow(&f, 2, ASKING_AGAIN + 1, lent), 0);
	assert_int_equal(borrow(&f, 1, 2 * ASKING_AGAIN, lent), LARGE - 1);
	assert_int_equal(borrow(&f, 2, 2 * ASKING_AGAIN + 1, lent), LARGE);
	end(&f);
}

/* Whoever proves what is lent need not wait for it, nor believe it. */
static void
what_is_lent_is_asked_of_others_who_prove_it(void **state)
{
	struct wire_hashes lent[LARGE], q;
	struct fetch f;

	(void)state;
	begin(&f);
	assert_int_equal(borrow(&f, 1, 0, lent), LARGE);
	lie(&f, 1, &lent[0]);
	answer(&f, 1, &lent[1]);
	for (int i = 0; i < LARGE; i++) {
		q = next(&f, 2, ASKING_WAIT);
		assert_int_equal(q.proofs, 10);
		assert_false(layers_done(f.l));
		answer(&f, 2, &q);
	}
	assert_taken(&f);
	end(&f);
}

/* The last part to come is right, and another one is not. */
static void
who_proves_is_not_blamed_for_what_is_lent(void **state)
{
	struct wire_hashes lent[LARGE], q;
	struct fetch f;

	(void)state;
	begin(&f);
	assert_int_equal(borrow(&f, 1, 0, lent), LARGE);
	answer(&f, 1, &lent[0]);
	lie(&f, 1, &lent[2]);
	do
		q = next(&f, 2, ASKING_WAIT);
	while (q.index != LAYERS_PART);
	assert_int_equal(answer(&f, 2, &q), LAYERS_MORE);
	assert_false(layers_done(f.l));
	assert_int_equal(borrow(&f, 3, ASKING_WAIT, lent), LARGE - 1);
	end(&f);
}

static void
layers_are_taken_from_a_torrent_that_has_them(void **state)
{
	struct fetch f;

	(void)state;
	begin(&f);
	next(&f, 1, 0);
	layers_fill(f.l, &f.r.m);
	assert_true(layers_done(f.l));
	assert_true(has_none(&f, 1, 0));
	layers_apply(f.l, &f.bare);
	assert_memory_equal(f.trees[0].layer, f.r.trees[0].layer,
			    f.trees[0].layer_count * SHA256_SIZE);
	assert_memory_equal(f.trees[1].layer, f.r.trees[1].layer,
			    f.trees[1].layer_count * SHA256_SIZE);
	end(&f);
}

static void
layers_that_a_torrent_lacks_are_still_asked_for(void **state)
{
	const uint8_t *last;
	struct fetch f;

	(void)state;
	begin(&f);
	last = f.r.trees[1].layer;
	f.r.trees[1].layer = NULL;
	layers_fill(f.l, &f.r.m);
	f.r.trees[1].layer = last;
	assert_false(layers_done(f.l));
	assert_memory_equal(next(&f, 1, 0).root, f.trees[1].root,
			    SHA256_SIZE);
	assert_true(has_none(&f, 1, 0));
	end(&f);
}

/* A wrong hash in front, a wrong proof, one too few. */
static void
wrong_hashes_are_lies(void **state)
{
	uint8_t out[HASHES_ANSWER_MAX * SHA256_SIZE];

	(void)state;
	for (int way = 0; way < 3; way++) {
		struct wire_hashes q;
		struct fetch f;
		size_t n;

		begin(&f);
		do
			q = next(&f, 1, 0);
		while (wire_proofs(&q) == 0);
		n = true_answer(&f, &q, out);
		if (way < 2)
			out[way == 0 ? 0 : (n - 1) * SHA256_SIZE] ^= 1;
		else
			n--;
		assert_int_equal(layers_take(f.l, 1, &q, out, n), LAYERS_LIE);
		/* It is still to be had. */
		assert_int_equal(answer(&f, 2, &q), LAYERS_MORE);
		assert_false(layers_done(f.l));
		end(&f);
	}
}

static void
what_was_not_asked_for_is_dropped(void **state)
{
	struct wire_hashes q, other;
	struct fetch f;

	(void)state;
	begin(&f);
	q = next(&f, 1, 0);
	other = q;
	other.count /= 2;
	assert_int_equal(answer(&f, 1, &other), LAYERS_UNASKED);
	other = q;
	other.root[0] ^= 1;
	assert_int_equal(layers_take(f.l, 1, &other, NULL, 0),
			 LAYERS_UNASKED);
	other = q;
	other.index = UINT32_MAX;
	assert_int_equal(layers_take(f.l, 1, &other, NULL, 0),
			 LAYERS_UNASKED);
	end(&f);
}

/* Another one is asked meanwhile, and the first one answers. */
static void
what_comes_late_is_taken_and_what_comes_twice_does_no_harm(void **state)
{
	struct wire_hashes q[PARTS], again;
	struct fetch f;

	(void)state;
	begin(&f);
	for (int i = 0; i < PARTS; i++)
		q[i] = next(&f, 1, 0);
	again = next(&f, 2, ASKING_WAIT);
	assert_memory_equal(&again, &q[0], sizeof(again));
	assert_int_equal(answer(&f, 1, &q[0]), LAYERS_MORE);
	assert_int_equal(answer(&f, 2, &q[0]), LAYERS_MORE);
	for (int i = 1; i < PARTS - 1; i++)
		assert_int_equal(answer(&f, 1, &q[i]), LAYERS_MORE);
	assert_int_equal(answer(&f, 1, &q[PARTS - 1]), LAYERS_DONE);
	end(&f);
}

static void
silent_peers_cost_a_few_rounds(void **state)
{
	struct layers_source from = {0};
	struct wire_hashes q;
	struct fetch f;
	int64_t retry;
	int64_t now = 0;

	(void)state;
	begin(&f);
	for (; now < 8 * CLOCK_S; now += 2 * CLOCK_S)
		for (from.address = 2; from.address < 12; from.address++)
			while (layers_next(f.l, &from, now, &q, &retry))
				;
	from.address = 1;
	while (layers_next(f.l, &from, now, &q, &retry))
		answer(&f, 1, &q);
	assert_true(layers_done(f.l));
	end(&f);
}

static void
refused_and_late_parts_are_asked_of_others(void **state)
{
	struct layers_source from = {.address = 1};
	struct wire_hashes q[PARTS], again;
	struct fetch f;

	(void)state;
	begin(&f);
	for (int i = 0; i < PARTS; i++)
		q[i] = next(&f, 1, 0);
	refuse(&f, &from, &q[2]);
	again = next(&f, 2, 1);
	assert_memory_equal(&again, &q[2], sizeof(again));
	assert_true(has_none(&f, 2, 1));
	/* It went away. */
	layers_leave(f.l, 1);
	again = next(&f, 2, 1);
	assert_memory_equal(&again, &q[0], sizeof(again));
	/* It does not answer. */
	again = next(&f, 3, 60 * CLOCK_S);
	assert_memory_equal(&again, &q[0], sizeof(again));
	end(&f);
}

static void
files_with_one_root_must_have_one_length(void **state)
{
	struct metainfo_file files[TREE_FILES];
	struct error e = {0};
	struct fetch f;

	(void)state;
	begin(&f);
	memcpy(files, f.r.files, sizeof(files));
	files[3].length--;
	f.bare.files = files;
	assert_null(layers_new(&f.bare, &e));
	assert_int_equal(e.kind, ERROR_TORRENT);
	end(&f);
}

static void
layers_are_written_each_once(void **state)
{
	struct fetch f;
	struct buffer b;
	uint64_t done, all;

	(void)state;
	begin(&f);
	for (int i = 0; i < PARTS; i++) {
		struct wire_hashes q = next(&f, 1, 0);

		answer(&f, 1, &q);
	}
	layers_progress(f.l, &done, &all);
	assert_int_equal(done, PARTS);
	assert_int_equal(all, PARTS);
	buffer_init(&b, 1 << 20);
	layers_put(f.l, &b);
	/* "d", two times "32:", the root, the size, ":" and hashes; "e" */
	assert_int_equal(b.used, 1 + 3 + 32 + 6 + 1101 * 32 +
				 3 + 32 + 4 + 5 * 32 + 1);
	buffer_release(&b);
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layers_come_in_parts_from_several),
		cmocka_unit_test(
		    layers_of_proof_that_are_not_sent_are_counted),
		cmocka_unit_test(
		    who_refuses_a_whole_layer_is_asked_without_proof),
		cmocka_unit_test(who_refuses_both_starts_over),
		cmocka_unit_test(who_refuses_to_prove_lends_what_a_layer_lacks),
		cmocka_unit_test(what_others_have_proved_stays),
		cmocka_unit_test(a_lie_is_found_once_all_is_lent),
		cmocka_unit_test(a_layer_is_lent_by_one_alone),
		cmocka_unit_test(what_was_lent_goes_with_the_lender),
		cmocka_unit_test(who_lends_no_more_keeps_nobody_out),
		cmocka_unit_test(what_is_lent_is_asked_of_others_who_prove_it),
		cmocka_unit_test(who_proves_is_not_blamed_for_what_is_lent),
		cmocka_unit_test(
		    layers_are_taken_from_a_torrent_that_has_them),
		cmocka_unit_test(
		    layers_that_a_torrent_lacks_are_still_asked_for),
		cmocka_unit_test(wrong_hashes_are_lies),
		cmocka_unit_test(what_was_not_asked_for_is_dropped),
		cmocka_unit_test(
		    what_comes_late_is_taken_and_what_comes_twice_does_no_harm),
		cmocka_unit_test(silent_peers_cost_a_few_rounds),
		cmocka_unit_test(refused_and_late_parts_are_asked_of_others),
		cmocka_unit_test(files_with_one_root_must_have_one_length),
		cmocka_unit_test(layers_are_written_each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
