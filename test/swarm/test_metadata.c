#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/hash.h"
#include "swarm/metadata.h"

/* Two blocks and a bit. */
#define SIZE (2 * METADATA_BLOCK + 100)

struct rig {
	uint8_t info[SIZE];
	uint8_t id[SHA1_SIZE];
	struct metadata *m;
};

static struct rig *
rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	for (size_t i = 0; i < SIZE; i++)
		r->info[i] = (uint8_t)(i * 7 + i / 251);
	hash_sha1(r->id, r->info, SIZE);
	r->m = metadata_new(r->id, HASH_SHA1, NULL);
	assert_non_null(r->m);
	return r;
}

static void
rig_free(struct rig *r)
{
	metadata_free(r->m);
	free(r);
}

/* Asks for one block as this source. */
static bool
ask(struct rig *r, uint64_t source, int64_t now, uint32_t *index)
{
	int64_t retry;

	return metadata_next(r->m, source, SIZE, now, index, &retry);
}

static enum metadata_result
give(struct rig *r, uint64_t source, uint32_t index, bool lie, int64_t now)
{
	uint8_t block[METADATA_BLOCK];
	size_t at = (size_t)index * METADATA_BLOCK;
	size_t n = SIZE - at < METADATA_BLOCK ? SIZE - at : METADATA_BLOCK;

	memcpy(block, r->info + at, n);
	if (lie)
		block[0] ^= 1;
	return metadata_block(r->m, source, SIZE, index, block, n, now);
}

/* The source is asked for all there is, and gives it; the last result. */
static enum metadata_result
give_all(struct rig *r, uint64_t source, bool lie, int64_t now)
{
	enum metadata_result result = METADATA_MORE;
	uint32_t index;

	while (result == METADATA_MORE && ask(r, source, now, &index))
		result = give(r, source, index, lie, now);
	return result;
}

static void
one_peer_gives_it_all(void **state)
{
	struct rig *r = rig_new();
	uint8_t *whole;
	size_t size;

	(void)state;
	assert_null(metadata_take(r->m, &size));
	assert_int_equal(give_all(r, 1, false, 0), METADATA_DONE);
	whole = metadata_take(r->m, &size);
	assert_int_equal(size, SIZE);
	assert_memory_equal(whole, r->info, SIZE);
	free(whole);
	rig_free(r);
}

static void
once_it_is_known_from_elsewhere_nothing_is_asked_for(void **state)
{
	struct rig *r = rig_new();
	uint32_t index;
	size_t size;

	(void)state;
	assert_true(ask(r, 1, 0, &index));
	metadata_end(r->m);
	assert_int_equal(give(r, 1, index, false, 1), METADATA_UNASKED);
	assert_false(ask(r, 2, 1, &index));
	metadata_return(r->m, 1);
	assert_null(metadata_take(r->m, &size));
	rig_free(r);
	r = rig_new();
	assert_int_equal(give_all(r, 1, false, 0), METADATA_DONE);
	metadata_end(r->m);
	assert_null(metadata_take(r->m, &size));
	rig_free(r);
}

static void
peers_share_the_blocks(void **state)
{
	struct rig *r = rig_new();
	uint32_t a = 0, b = 0, c = 0, none;

	(void)state;
	assert_true(ask(r, 1, 0, &a) && ask(r, 2, 0, &b) && ask(r, 1, 0, &c));
	assert_true(a != b && b != c && a != c);
	assert_false(ask(r, 3, 0, &none));
	assert_int_equal(give(r, 2, b, false, 1), METADATA_MORE);
	assert_int_equal(give(r, 1, c, false, 1), METADATA_MORE);
	assert_int_equal(give(r, 1, a, false, 1), METADATA_DONE);
	rig_free(r);
}

static void
a_silent_peer_is_not_waited_for(void **state)
{
	struct rig *r = rig_new();
	uint32_t index;

	(void)state;
	while (ask(r, 1, 0, &index))
		;
	assert_false(ask(r, 2, CLOCK_S, &index));
	assert_int_equal(give_all(r, 2, false, 6 * CLOCK_S), METADATA_DONE);
	rig_free(r);
}

static void
a_peer_that_left_gives_its_blocks_back(void **state)
{
	struct rig *r = rig_new();
	uint32_t index;

	(void)state;
	while (ask(r, 1, 0, &index))
		;
	metadata_return(r->m, 1);
	assert_int_equal(give_all(r, 2, false, 0), METADATA_DONE);
	rig_free(r);
}

static void
who_alone_gave_wrong_bytes_has_lied(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	assert_int_equal(give_all(r, 1, true, 0), METADATA_LIE);
	assert_int_equal(give_all(r, 2, false, 0), METADATA_DONE);
	rig_free(r);
}

static void
among_several_the_liar_is_found_by_asking_one_at_a_time(void **state)
{
	struct rig *r = rig_new();
	uint32_t a = 0, b = 0, c = 0;

	(void)state;
	assert_true(ask(r, 1, 0, &a) && ask(r, 2, 0, &b) && ask(r, 1, 0, &c));
	give(r, 1, a, false, 0);
	give(r, 2, b, true, 0);
	assert_int_equal(give(r, 1, c, false, 0), METADATA_MORE);
	/* From here on the first that asks is alone. */
	assert_true(ask(r, 2, 1, &a));
	assert_false(ask(r, 1, 1, &b));
	give(r, 2, a, true, 1);
	assert_int_equal(give_all(r, 2, true, 1), METADATA_LIE);
	assert_int_equal(give_all(r, 1, false, 1), METADATA_DONE);
	rig_free(r);
}

static void
a_lone_giver_that_stalls_is_replaced(void **state)
{
	struct rig *r = rig_new();
	uint32_t index;

	(void)state;
	give_all(r, 1, true, 0);
	assert_true(ask(r, 2, 1, &index));
	assert_false(ask(r, 3, 2, &index));
	assert_int_equal(give_all(r, 3, false, 20 * CLOCK_S), METADATA_DONE);
	rig_free(r);
}

static void
a_wrong_size_does_not_hold_up_the_right_one(void **state)
{
	struct rig *r = rig_new();
	uint8_t junk[METADATA_BLOCK] = {1};
	uint32_t index;
	int64_t retry;

	(void)state;
	assert_true(metadata_next(r->m, 9, METADATA_BLOCK, 0, &index, &retry));
	assert_int_equal(metadata_block(r->m, 9, METADATA_BLOCK, index, junk,
					sizeof(junk), 0),
			 METADATA_LIE);
	assert_int_equal(give_all(r, 1, false, 0), METADATA_DONE);
	rig_free(r);
}

/* A block of whatever this source claims is there. */
static bool
begin_try(struct rig *r, uint64_t source, uint32_t size, int64_t now)
{
	static const uint8_t junk[METADATA_BLOCK];
	uint32_t index;
	int64_t retry;

	return metadata_next(r->m, source, size, now, &index, &retry) &&
	       metadata_block(r->m, source, size, index, junk, sizeof(junk),
			      now) == METADATA_MORE;
}

static void
sizes_are_bounded_in_value(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	assert_false(begin_try(r, 1, 0, 0));
	assert_false(begin_try(r, 1, METADATA_SIZE_MAX + 1, 0));
	assert_true(begin_try(r, 1, METADATA_SIZE_MAX, 0));
	rig_free(r);
}

static void
who_claims_many_sizes_has_one_try(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	for (uint32_t i = 2; i < 100; i++)
		assert_true(begin_try(r, 9, i * METADATA_BLOCK, 0));
	assert_int_equal(give_all(r, 1, false, 0), METADATA_DONE);
	rig_free(r);
}

static void
what_others_gave_to_is_not_the_openers_to_drop(void **state)
{
	struct rig *r = rig_new();
	uint32_t index;

	(void)state;
	assert_true(ask(r, 9, 0, &index));
	assert_true(ask(r, 1, 0, &index));
	assert_int_equal(give(r, 1, index, false, 0), METADATA_MORE);
	assert_true(begin_try(r, 9, 50 * METADATA_BLOCK, 0));
	/* The block that was asked of the opener is asked again in time. */
	assert_int_equal(give_all(r, 1, false, 1), METADATA_MORE);
	assert_int_equal(give_all(r, 1, false, 10 * CLOCK_S), METADATA_DONE);
	rig_free(r);
}

static void
tries_that_stall_make_room(void **state)
{
	struct rig *r = rig_new();
	uint32_t index;
	int64_t retry;

	(void)state;
	for (uint32_t i = 0; i < METADATA_TRIES_MAX; i++)
		assert_true(begin_try(r, 10 + i, (50 + i) * METADATA_BLOCK,
				      0));
	assert_false(metadata_next(r->m, 1, SIZE, CLOCK_S, &index, &retry));
	assert_true(retry > CLOCK_S && retry < 10 * CLOCK_S);
	assert_int_equal(give_all(r, 1, false, 20 * CLOCK_S), METADATA_DONE);
	rig_free(r);
}

/* Each of the tries that fill all places gets a block more. */
static void
crawl(struct rig *r, int64_t now)
{
	for (uint32_t i = 0; i < METADATA_TRIES_MAX; i++)
		assert_true(begin_try(r, 10 + i, (50 + i) * METADATA_BLOCK,
				      now));
}

static void
tries_that_crawl_take_turns(void **state)
{
	struct rig *r = rig_new();
	uint32_t index;

	(void)state;
	for (int64_t now = 0; now < 10 * CLOCK_S; now += 2 * CLOCK_S) {
		crawl(r, now);
		assert_false(ask(r, 1, now, &index));
	}
	assert_int_equal(give_all(r, 1, false, 10 * CLOCK_S), METADATA_DONE);
	rig_free(r);
}

static void
who_has_come_far_keeps_the_place(void **state)
{
	struct rig *r = rig_new();
	uint32_t size = 50 * METADATA_BLOCK, index;
	int64_t retry;

	(void)state;
	for (int64_t now = 0; now < 10 * CLOCK_S; now += 2 * CLOCK_S) {
		crawl(r, now);
		assert_true(begin_try(r, 10, size, now));
	}
	/* All others go before the first one does. */
	for (uint32_t i = 1; i < METADATA_TRIES_MAX; i++)
		assert_true(metadata_next(r->m, 100 + i,
					  (500 + i) * METADATA_BLOCK,
					  10 * CLOCK_S, &index, &retry));
	for (int i = 0; i < 39; i++)
		assert_true(begin_try(r, 10, size, 10 * CLOCK_S));
	assert_true(metadata_next(r->m, 10, size, 10 * CLOCK_S, &index,
				  &retry));
	assert_int_equal(index, 49);
	rig_free(r);
}

static void
to_claim_another_size_wins_no_time(void **state)
{
	struct rig *r = rig_new();
	uint32_t index;

	(void)state;
	for (int64_t now = 0; now <= 9 * CLOCK_S; now += CLOCK_S)
		for (uint32_t i = 0; i < METADATA_TRIES_MAX; i++)
			begin_try(r, 10 + i,
				  (50 + i + 20 * (uint32_t)(now / CLOCK_S)) *
					  METADATA_BLOCK,
				  now);
	assert_false(ask(r, 1, 9 * CLOCK_S, &index));
	assert_int_equal(give_all(r, 1, false, 10 * CLOCK_S), METADATA_DONE);
	rig_free(r);
}

static void
the_largest_try_goes_when_all_hold_too_much(void **state)
{
	uint32_t most = METADATA_HELD_MAX / METADATA_BLOCK;
	uint32_t size = METADATA_SIZE_MAX, index;
	struct rig *r = rig_new();
	uint64_t done, all;

	(void)state;
	assert_true(ask(r, 1, 0, &index));
	assert_int_equal(give(r, 1, index, false, 0), METADATA_MORE);
	for (uint32_t i = 0; i < most / 2; i++)
		assert_true(begin_try(r, 2, size, 0));
	for (uint32_t i = 0; i < most / 2 - 1; i++)
		assert_true(begin_try(r, 3, size - METADATA_BLOCK, 0));
	metadata_progress(r->m, &done, &all);
	assert_int_equal(all, size);
	assert_true(begin_try(r, 3, size - METADATA_BLOCK, 0));
	metadata_progress(r->m, &done, &all);
	assert_int_equal(all, size - METADATA_BLOCK);
	assert_int_equal(done, METADATA_HELD_MAX / 2);
	assert_int_equal(give_all(r, 1, false, 0), METADATA_DONE);
	rig_free(r);
}

struct memory {
	size_t mapped;
	size_t resident;
};

/* Bytes of ours: of addresses, and of those that lie in memory. */
static struct memory
memory(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned long all = 0, there = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &all, &there), 2);
	fclose(f);
	return (struct memory){all * page, there * page};
}

/* A size is claimed for a block, and then another one, by many; as a whole
 * they would take 280 MiB. */
static void
sizes_that_are_claimed_cost_what_was_given(void **state)
{
	struct rig *r = rig_new();
	size_t before = memory().resident;

	(void)state;
	for (uint32_t n = 0; n < 200; n++)
		assert_true(begin_try(r, n % 10,
				      (1000 + n) * METADATA_BLOCK, 0));
	assert_true(memory().resident < before + (32u << 20));
	rig_free(r);
}

/* A machine of 32 bits has 3 GiB of them, for all torrents. */
static void
sizes_that_are_claimed_take_no_addresses(void **state)
{
	struct rig *r = rig_new();
	size_t before = memory().mapped;

	(void)state;
	for (uint32_t n = 0; n < METADATA_TRIES_MAX; n++)
		assert_true(begin_try(r, n, METADATA_SIZE_MAX - n, 0));
	assert_true(memory().mapped < before + (32u << 20));
	rig_free(r);
}

static void
a_lone_giver_that_crawls_is_replaced(void **state)
{
	uint32_t size = 50 * METADATA_BLOCK, index;
	struct rig *r = rig_new();
	int64_t retry, now;

	(void)state;
	/* It lies, so that the next try is one peer's alone. */
	for (int i = 0; i < 50; i++)
		begin_try(r, 1, size, 0);
	for (now = 0; now < 70 * CLOCK_S; now += 10 * CLOCK_S) {
		assert_true(begin_try(r, 2, size, now));
		assert_false(metadata_next(r->m, 3, size, now, &index,
					   &retry));
	}
	assert_true(metadata_next(r->m, 3, size, now, &index, &retry));
	assert_false(begin_try(r, 2, size, now));
	rig_free(r);
}

static void
what_was_not_asked_for_is_dropped(void **state)
{
	struct rig *r = rig_new();
	uint32_t index;

	(void)state;
	assert_int_equal(give(r, 1, 0, false, 0), METADATA_UNASKED);
	assert_true(ask(r, 1, 0, &index));
	assert_int_equal(give(r, 1, index + 1, false, 0), METADATA_UNASKED);
	assert_int_equal(metadata_block(r->m, 1, SIZE, 77, "x", 1, 0),
			 METADATA_UNASKED);
	rig_free(r);
}

static void
a_block_of_another_size_is_told_apart(void **state)
{
	struct rig *r = rig_new();
	uint32_t index;

	(void)state;
	assert_true(ask(r, 1, 0, &index));
	assert_int_equal(metadata_block(r->m, 1, SIZE, index, "x", 1, 0),
			 METADATA_MISFIT);
	rig_free(r);
}

/* Any number of them claims the right size, is asked for all, says nothing. */
static void
silent_peers_cost_a_few_rounds(void **state)
{
	struct rig *r = rig_new();
	int64_t now = 0;
	uint32_t index;

	(void)state;
	for (; now < 8 * CLOCK_S; now += 2 * CLOCK_S)
		for (uint64_t source = 2; source < 12; source++)
			while (ask(r, source, now, &index))
				;
	assert_int_equal(give_all(r, 1, false, now), METADATA_DONE);
	rig_free(r);
}

static void
who_was_too_late_is_not_blamed(void **state)
{
	struct rig *r = rig_new();
	uint32_t a = 9, b = 8;

	(void)state;
	assert_true(ask(r, 1, 0, &a));
	assert_true(ask(r, 2, 2 * CLOCK_S, &b));
	assert_int_equal(a, b);
	/* The first one gives it after all. */
	assert_int_equal(give(r, 1, a, false, 3 * CLOCK_S), METADATA_MORE);
	assert_int_equal(give(r, 2, a, true, 4 * CLOCK_S), METADATA_MORE);
	assert_int_equal(give_all(r, 1, false, 4 * CLOCK_S), METADATA_DONE);
	rig_free(r);
}

static void
messages_come_back_as_they_were_put(void **state)
{
	struct metadata_message m;
	struct buffer b;

	(void)state;
	buffer_init(&b, 1000);
	metadata_put_message(&b, METADATA_DATA, 3, 40000);
	buffer_str(&b, "payload");
	assert_int_equal(metadata_parse_message(&m, b.data, b.used, NULL), 0);
	assert_int_equal(m.kind, METADATA_DATA);
	assert_int_equal(m.index, 3);
	assert_int_equal(m.size, 7);
	assert_memory_equal(m.data, "payload", 7);
	buffer_release(&b);
}

static void
messages_that_make_no_sense_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "de", "i1e", "d8:msg_typei0ee", "d5:piecei0ee",
		"d8:msg_typei0e5:piecei-1ee",
		"d8:msg_typei0e5:piecei99999999ee",
	};
	struct metadata_message m;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(metadata_parse_message(&m, bad[i],
							strlen(bad[i]), NULL),
				 -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_peer_gives_it_all),
		cmocka_unit_test(
		    once_it_is_known_from_elsewhere_nothing_is_asked_for),
		cmocka_unit_test(peers_share_the_blocks),
		cmocka_unit_test(a_silent_peer_is_not_waited_for),
		cmocka_unit_test(a_peer_that_left_gives_its_blocks_back),
		cmocka_unit_test(who_alone_gave_wrong_bytes_has_lied),
		cmocka_unit_test(
			among_several_the_liar_is_found_by_asking_one_at_a_time),
		cmocka_unit_test(a_lone_giver_that_stalls_is_replaced),
		cmocka_unit_test(a_wrong_size_does_not_hold_up_the_right_one),
		cmocka_unit_test(sizes_are_bounded_in_value),
		cmocka_unit_test(who_claims_many_sizes_has_one_try),
		cmocka_unit_test(
		    what_others_gave_to_is_not_the_openers_to_drop),
		cmocka_unit_test(tries_that_stall_make_room),
		cmocka_unit_test(tries_that_crawl_take_turns),
		cmocka_unit_test(who_has_come_far_keeps_the_place),
		cmocka_unit_test(to_claim_another_size_wins_no_time),
		cmocka_unit_test(the_largest_try_goes_when_all_hold_too_much),
		cmocka_unit_test(sizes_that_are_claimed_cost_what_was_given),
		cmocka_unit_test(sizes_that_are_claimed_take_no_addresses),
		cmocka_unit_test(a_lone_giver_that_crawls_is_replaced),
		cmocka_unit_test(what_was_not_asked_for_is_dropped),
		cmocka_unit_test(a_block_of_another_size_is_told_apart),
		cmocka_unit_test(silent_peers_cost_a_few_rounds),
		cmocka_unit_test(who_was_too_late_is_not_blamed),
		cmocka_unit_test(messages_come_back_as_they_were_put),
		cmocka_unit_test(messages_that_make_no_sense_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
