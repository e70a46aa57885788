#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "swarm/choker.h"

#define MANY 64
#define NOW (1000 * CLOCK_S)

static struct choker_config
config(size_t slots, size_t optimistic)
{
	return (struct choker_config){ .slots = slots,
		.optimistic = optimistic, .now = NOW, .seed = 1,
		.piece_length = 1 << 18 };
}

/* Interested, long connected, choked for ever. */
static void
fill(struct choker_peer *peers, uint32_t n)
{
	memset(peers, 0, n * sizeof(*peers));
	for (uint32_t i = 0; i < n; i++) {
		peers[i].id = i;
		peers[i].interested = true;
		peers[i].connected_at = CLOCK_S;
	}
}

static const struct choker_peer *
find(const struct choker_peer *peers, uint32_t id)
{
	while (peers->id != id)
		peers++;
	return peers;
}

static size_t
unchoked(const struct choker_peer *peers, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += peers[i].unchoke;
	return count;
}

/* What the caller does with the answers. */
static unsigned
apply(struct choker_peer *peers, size_t n, int64_t now)
{
	unsigned changes = 0;

	for (size_t i = 0; i < n; i++) {
		struct choker_peer *p = &peers[i];

		if (p->unchoke_optimistic &&
		    (!p->optimistic || !p->unchoked ||
		    now - p->optimistic_at >= CHOKER_OPTIMISTIC_NS))
			p->optimistic_at = now;
		p->optimistic = p->unchoke_optimistic;
		if (p->unchoke == p->unchoked)
			continue;
		p->unchoked = p->unchoke;
		p->changed_at = now;
		p->sent_since_unchoke = 0;
		changes++;
	}
	return changes;
}

static void
choker_unchokes_all_when_slots_suffice(void **state)
{
	struct choker_config c = config(8, 1);
	struct choker_peer p[8];

	(void)state;
	for (int seeding = 0; seeding < 2; seeding++) {
		fill(p, 8);
		c.seeding = seeding;
		p[3].snubbed = true;
		choker_run(&c, p, 8);
		assert_int_equal(unchoked(p, 8), 8);
	}
}

static void
choker_never_exceeds_its_slots(void **state)
{
	struct choker_config c = config(5, 1);
	struct choker_peer p[MANY];

	(void)state;
	for (int seeding = 0; seeding < 2; seeding++) {
		fill(p, MANY);
		c.seeding = seeding;
		choker_run(&c, p, MANY);
		assert_int_equal(unchoked(p, MANY), 5);
	}
	choker_run(&c, p, 0);
}

static void
choker_gives_nothing_to_who_needs_nothing(void **state)
{
	struct choker_config c = config(8, 1);
	struct choker_peer p[3];

	(void)state;
	for (int seeding = 0; seeding < 2; seeding++) {
		fill(p, 3);
		c.seeding = seeding;
		p[0].interested = false;
		p[1].upload_only = true;
		choker_run(&c, p, 3);
		assert_false(find(p, 0)->unchoke);
		assert_false(find(p, 1)->unchoke);
		assert_true(find(p, 2)->unchoke);
	}
}

static void
choker_prefers_who_gives_most(void **state)
{
	struct choker_config c = config(4, 1);
	struct choker_peer p[MANY];

	(void)state;
	fill(p, MANY);
	p[7].down_bps = 300000;
	p[20].down_bps = 200000;
	p[40].down_bps = 100000;
	p[41].down_bps = 90000;
	choker_run(&c, p, MANY);
	assert_true(find(p, 7)->unchoke && find(p, 20)->unchoke);
	assert_true(find(p, 40)->unchoke);
	assert_false(find(p, 7)->unchoke_optimistic);
	assert_int_equal(unchoked(p, MANY), 4);
}

static void
choker_snubbed_peers_lose_regular_slots(void **state)
{
	struct choker_config c = config(2, 1);
	struct choker_peer p[3];

	(void)state;
	for (c.seed = 0; c.seed < 20; c.seed++) {
		fill(p, 3);
		p[0].down_bps = 300000;
		p[0].snubbed = true;
		p[1].down_bps = 1000;
		p[2].down_bps = 500;
		choker_run(&c, p, 3);
		assert_true(find(p, 1)->unchoke);
		assert_false(find(p, 1)->unchoke_optimistic);
		assert_true(!find(p, 0)->unchoke ||
		    find(p, 0)->unchoke_optimistic);
	}
}

static void
choker_equals_do_not_push_each_other_out(void **state)
{
	struct choker_config c = config(2, 1);
	struct choker_peer p[3];

	(void)state;
	fill(p, 3);
	p[1].unchoked = true;
	for (unsigned i = 0; i < 3; i++)
		p[i].down_bps = 100000;
	p[0].down_bps = 105000;
	choker_run(&c, p, 3);
	assert_true(find(p, 1)->unchoke);
	assert_false(find(p, 1)->unchoke_optimistic);
}

static void
choker_optimistic_slot_stays_for_its_turn(void **state)
{
	struct choker_config c = config(2, 1);
	struct choker_peer p[MANY];

	(void)state;
	for (c.seed = 0; c.seed < 20; c.seed++) {
		fill(p, MANY);
		p[0].down_bps = 1000;
		p[9].unchoked = p[9].optimistic = true;
		p[9].optimistic_at = p[9].changed_at = NOW - 29 * CLOCK_S;
		choker_run(&c, p, MANY);
		assert_true(find(p, 9)->unchoke_optimistic);
	}
}

static void
choker_optimistic_slot_passes_on_after_its_turn(void **state)
{
	struct choker_config c = config(2, 1);
	struct choker_peer p[MANY];

	(void)state;
	for (c.seed = 0; c.seed < 20; c.seed++) {
		fill(p, MANY);
		p[0].down_bps = 1000;
		p[9].unchoked = p[9].optimistic = true;
		p[9].optimistic_at = p[9].changed_at = NOW - 30 * CLOCK_S;
		choker_run(&c, p, MANY);
		assert_false(find(p, 9)->unchoke);
		assert_int_equal(unchoked(p, MANY), 2);
	}
}

static void
choker_optimistic_peer_that_gives_earns_a_slot(void **state)
{
	struct choker_config c = config(2, 1);
	struct choker_peer p[MANY];

	(void)state;
	fill(p, MANY);
	p[9].unchoked = p[9].optimistic = true;
	p[9].optimistic_at = p[9].changed_at = NOW - 10 * CLOCK_S;
	p[9].down_bps = 1000000;
	choker_run(&c, p, MANY);
	assert_true(find(p, 9)->unchoke);
	assert_false(find(p, 9)->unchoke_optimistic);
	assert_int_equal(unchoked(p, MANY), 2);
}

/* Half of the peers are new: they should get about three in four turns. */
static void
choker_newcomers_have_three_chances(void **state)
{
	struct choker_config c = config(1, 1);
	struct choker_peer p[MANY];
	unsigned fresh = 0;

	(void)state;
	for (c.seed = 0; c.seed < 2000; c.seed++) {
		fill(p, MANY);
		for (uint32_t i = 0; i < MANY; i += 2)
			p[i].connected_at = NOW - 10 * CLOCK_S;
		choker_run(&c, p, MANY);
		for (uint32_t i = 0; i < MANY; i++)
			fresh += p[i].unchoke && p[i].id % 2 == 0;
	}
	assert_in_range(fresh, 1400, 1600);
}

static void
choker_each_gets_an_optimistic_turn(void **state)
{
	struct choker_config c = config(2, 1);
	struct choker_peer p[10];
	uint32_t seen = 0;

	(void)state;
	fill(p, 10);
	p[0].down_bps = 1000;
	for (unsigned round = 0; round < 300; round++) {
		c.now += CHOKER_PERIOD_NS;
		c.seed = round;
		choker_run(&c, p, 10);
		for (unsigned i = 0; i < 10; i++)
			if (p[i].unchoke)
				seen |= 1u << p[i].id;
		apply(p, 10, c.now);
	}
	assert_int_equal(seen, 1023);
}

static void
choker_holds_a_fresh_decision(void **state)
{
	struct choker_config c = config(1, 1);
	struct choker_peer p[3];

	(void)state;
	for (int seeding = 0; seeding < 2; seeding++) {
		fill(p, 3);
		c.seeding = seeding;
		p[0].unchoked = true;
		p[0].changed_at = NOW - 4 * CLOCK_S;
		p[1].changed_at = NOW - 4 * CLOCK_S;
		p[1].down_bps = 1000000;
		choker_run(&c, p, 3);
		assert_true(find(p, 0)->unchoke);
		assert_false(find(p, 1)->unchoke);
		assert_false(find(p, 2)->unchoke);
	}
}

static void
choker_no_peer_changes_twice_within_five_seconds(void **state)
{
	struct choker_config c = config(4, 1);
	int64_t last[MANY] = { 0 };
	struct choker_peer p[MANY];

	(void)state;
	fill(p, MANY);
	for (unsigned round = 0; round < 400; round++) {
		c.now += CLOCK_S;
		c.seed = round;
		c.seeding = round / 50 % 2;
		for (unsigned i = 0; i < MANY; i++) {
			p[i].down_bps = (p[i].id * 7919 + round * 104729) %
			    100000;
			p[i].interested = (p[i].id + round) % 5 != 0;
		}
		choker_run(&c, p, MANY);
		for (unsigned i = 0; i < MANY; i++) {
			if (p[i].unchoke == p[i].unchoked)
				continue;
			assert_true(last[p[i].id] == 0 ||
			    c.now - last[p[i].id] >= 5 * CLOCK_S);
			last[p[i].id] = c.now;
		}
		apply(p, MANY, c.now);
	}
}

static void
choker_seeding_keeps_a_turn_that_is_not_over(void **state)
{
	struct choker_config c = config(2, 1);
	struct choker_peer p[MANY];

	(void)state;
	fill(p, MANY);
	c.seeding = true;
	p[3].unchoked = p[4].unchoked = true;
	p[3].changed_at = NOW - 50 * CLOCK_S;
	p[3].sent_since_unchoke = 1 << 30;
	p[4].changed_at = NOW - 100 * CLOCK_S;
	p[4].sent_since_unchoke = 19 << 18;
	p[3].took_at = p[4].took_at = NOW;
	p[3].up_bps = p[4].up_bps = 50000;
	choker_run(&c, p, MANY);
	assert_true(find(p, 3)->unchoke && find(p, 4)->unchoke);
}

static void
choker_seeding_passes_on_after_a_fair_turn(void **state)
{
	struct choker_config c = config(2, 1);
	struct choker_peer p[MANY];

	(void)state;
	fill(p, MANY);
	c.seeding = true;
	p[3].unchoked = p[4].unchoked = true;
	p[3].changed_at = p[4].changed_at = NOW - 61 * CLOCK_S;
	p[3].sent_since_unchoke = p[4].sent_since_unchoke = 20 << 18;
	p[3].up_bps = p[4].up_bps = 50000;
	choker_run(&c, p, MANY);
	assert_false(find(p, 3)->unchoke || find(p, 4)->unchoke);
	assert_int_equal(unchoked(p, MANY), 2);
}

static void
choker_slow_readers_keep_nobody_out(void **state)
{
	struct choker_config c = config(2, 1);
	struct choker_peer p[MANY];

	(void)state;
	fill(p, MANY);
	c.seeding = true;
	for (int i = 3; i < 6; i++) {
		p[i].unchoked = true;
		p[i].changed_at = NOW - 20 * CLOCK_S;
		p[i].took_at = NOW;
		p[i].up_bps = i == 5 ? 1000000 : 2000;
	}
	p[4].lags = p[5].lags = true;
	assert_int_equal(choker_pause(&c, p, MANY), CHOKER_SOON_NS);
	choker_run(&c, p, MANY);
	assert_true(find(p, 3)->unchoke && find(p, 4)->unchoke &&
		    find(p, 5)->unchoke);
	assert_int_equal(unchoked(p, MANY), 3);
	for (size_t i = 0; i < MANY; i++)
		p[i].lags = p[i].lags || p[i].id == 3;
	choker_run(&c, p, MANY);
	assert_true(find(p, 3)->unchoke && find(p, 4)->unchoke &&
		    find(p, 5)->unchoke);
	assert_int_equal(unchoked(p, MANY), 4);
	c.seeding = false;
	assert_int_equal(choker_pause(&c, p, MANY), CHOKER_PERIOD_NS);
	assert_true(choker_pause(&c, p, 0) == CLOCK_NEVER);
}

static void
choker_seeding_takes_slots_from_who_hardly_reads(void **state)
{
	struct choker_config c = config(2, 1);
	struct choker_peer p[3];

	(void)state;
	fill(p, 3);
	c.seeding = true;
	p[0].unchoked = p[1].unchoked = true;
	p[0].changed_at = p[1].changed_at = NOW - 61 * CLOCK_S;
	p[0].took_at = p[1].took_at = NOW;
	p[0].up_bps = 1;
	p[1].up_bps = 500000;
	choker_run(&c, p, 3);
	assert_false(find(p, 0)->unchoke);
	assert_true(find(p, 1)->unchoke && find(p, 2)->unchoke);
}

/* One of two slots: does the peer keep it, after so many seconds in which it
 * took data for the first of them? */
static bool
keeps_slot(bool limited, int64_t turn_s, int64_t took_s)
{
	struct choker_config c = config(2, 1);
	struct choker_peer p[3];

	fill(p, 3);
	c.seeding = true;
	c.limited = limited;
	p[0].unchoked = p[1].unchoked = true;
	p[0].changed_at = p[1].changed_at = NOW - turn_s * CLOCK_S;
	p[0].took_at = p[0].changed_at + took_s * CLOCK_S;
	p[1].took_at = NOW;
	choker_run(&c, p, 3);
	assert_true(find(p, 1)->unchoke);
	assert_int_not_equal(find(p, 0)->unchoke, find(p, 2)->unchoke);
	return find(p, 0)->unchoke;
}

static void
choker_seeding_takes_slots_from_who_takes_nothing(void **state)
{
	(void)state;
	assert_false(keeps_slot(false, 10, -100));
	assert_false(keeps_slot(false, 30, 20));
}

static void
choker_seeding_gives_time_to_begin(void **state)
{
	(void)state;
	assert_true(keeps_slot(false, 9, -100));
	assert_true(keeps_slot(false, 30, 21));
}

static void
choker_seeding_is_patient_under_a_limit(void **state)
{
	(void)state;
	assert_true(keeps_slot(true, 59, -100));
	assert_false(keeps_slot(true, 60, -100));
}

static void
choker_seeding_next_is_who_waits_longest(void **state)
{
	struct choker_config c = config(1, 1);
	struct choker_peer p[4];

	(void)state;
	fill(p, 4);
	c.seeding = true;
	for (uint32_t i = 0; i < 4; i++)
		p[i].changed_at = NOW - (10 + 10 * (i ^ 1)) * CLOCK_S;
	choker_run(&c, p, 4);
	assert_true(find(p, 2)->unchoke);
}

static void
choker_spare_slots_stay_with_who_lost_interest(void **state)
{
	struct choker_config c = config(2, 1);
	struct choker_peer p[3];

	(void)state;
	fill(p, 3);
	p[0].interested = false;
	p[0].unchoked = true;
	p[1].interested = false;
	choker_run(&c, p, 3);
	assert_true(find(p, 0)->unchoke && find(p, 2)->unchoke);
	assert_false(find(p, 1)->unchoke);
	fill(p, 3);
	p[0].interested = false;
	p[0].unchoked = true;
	choker_run(&c, p, 3);
	assert_false(find(p, 0)->unchoke);
}

static void
choker_average_outlives_a_window_without_a_block(void **state)
{
	uint64_t bps = 8192;

	(void)state;
	bps = choker_average(bps, 0, 2 * CLOCK_S);
	assert_int_equal(bps, 7372);
	assert_int_equal(choker_average(bps, 16384, 2 * CLOCK_S), 8273);
	/* A burst of one window is a tenth; of 20 seconds, it is the rate. */
	assert_int_equal(choker_average(0, 100000, 2 * CLOCK_S), 10000);
	assert_int_equal(choker_average(5, 100000, 20 * CLOCK_S), 100000);
}

static void
choker_slots_follow_the_limit(void **state)
{
	(void)state;
	assert_int_equal(choker_slots(0), CHOKER_SLOTS_MAX);
	assert_int_equal(choker_slots(1), CHOKER_SLOTS_MIN);
	assert_int_equal(choker_slots(240 * 1024), 10);
	assert_int_equal(choker_slots(UINT64_MAX), CHOKER_SLOTS_MAX);
	assert_int_equal(choker_optimistic(4), 1);
	assert_int_equal(choker_optimistic(16), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(choker_unchokes_all_when_slots_suffice),
		cmocka_unit_test(choker_never_exceeds_its_slots),
		cmocka_unit_test(choker_gives_nothing_to_who_needs_nothing),
		cmocka_unit_test(choker_prefers_who_gives_most),
		cmocka_unit_test(choker_snubbed_peers_lose_regular_slots),
		cmocka_unit_test(choker_equals_do_not_push_each_other_out),
		cmocka_unit_test(choker_optimistic_slot_stays_for_its_turn),
		cmocka_unit_test(
		    choker_optimistic_slot_passes_on_after_its_turn),
		cmocka_unit_test(
		    choker_optimistic_peer_that_gives_earns_a_slot),
		cmocka_unit_test(choker_newcomers_have_three_chances),
		cmocka_unit_test(choker_each_gets_an_optimistic_turn),
		cmocka_unit_test(choker_holds_a_fresh_decision),
		cmocka_unit_test(
		    choker_no_peer_changes_twice_within_five_seconds),
		cmocka_unit_test(
		    choker_seeding_keeps_a_turn_that_is_not_over),
		cmocka_unit_test(choker_seeding_passes_on_after_a_fair_turn),
		cmocka_unit_test(choker_slow_readers_keep_nobody_out),
		cmocka_unit_test(
		    choker_seeding_takes_slots_from_who_hardly_reads),
		cmocka_unit_test(
		    choker_seeding_takes_slots_from_who_takes_nothing),
		cmocka_unit_test(choker_seeding_gives_time_to_begin),
		cmocka_unit_test(choker_seeding_is_patient_under_a_limit),
		cmocka_unit_test(choker_seeding_next_is_who_waits_longest),
		cmocka_unit_test(
		    choker_spare_slots_stay_with_who_lost_interest),
		cmocka_unit_test(
			choker_average_outlives_a_window_without_a_block),
		cmocka_unit_test(choker_slots_follow_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
