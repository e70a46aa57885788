#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "session/tracker_swarm.h"

#define LIFE (100 * CLOCK_S)

static const struct tracker_swarm_limits limits = {
	.swarms = 4,
	.peers = 40,
	.per_swarm = 30,
	.per_host = 3,
	.life_ns = LIFE,
};

static int
setup(void **state)
{
	*state = tracker_swarms_new(&limits, 7);
	return *state ? 0 : -1;
}

static int
teardown(void **state)
{
	tracker_swarms_free(*state);
	return 0;
}

/* Peer `who` of torrent `torrent`, each with an address and id of its own. */
static struct tracker_swarm_announce
peer(uint8_t torrent, uint16_t who)
{
	struct tracker_swarm_announce a = {
		.addr = {.ip = {8, 8, (uint8_t)(who >> 8), (uint8_t)who},
			 .port = 6881, .family = AF_INET},
	};

	memset(a.info_hash, torrent, sizeof(a.info_hash));
	memset(a.peer_id, 'p', sizeof(a.peer_id));
	a.peer_id[18] = (uint8_t)(who >> 8);
	a.peer_id[19] = (uint8_t)who;
	return a;
}

static struct tracker_swarm_announce
seed(uint8_t torrent, uint16_t who)
{
	struct tracker_swarm_announce a = peer(torrent, who);

	a.complete = true;
	return a;
}

static int
tell(void **state, struct tracker_swarm_announce a, int64_t now)
{
	return tracker_swarms_announce(*state, &a, now, NULL);
}

static size_t
ask(void **state, struct tracker_swarm_announce a, uint16_t family)
{
	struct tracker_swarm_peer out[64];

	return tracker_swarms_pick(*state, &a, family, out, 64);
}

static struct tracker_swarm_counts
counts(void **state, uint8_t torrent)
{
	struct tracker_swarm_announce a = peer(torrent, 0);

	return tracker_swarms_counts(*state, a.info_hash);
}

static void
announce_makes_a_peer_known_to_others(void **state)
{
	struct tracker_swarm_announce a = peer(1, 1), b = peer(1, 2);
	struct tracker_swarm_peer out[4];

	assert_int_equal(tell(state, a, 0), 0);
	assert_int_equal(tell(state, b, 0), 0);
	assert_int_equal(tracker_swarms_pick(*state, &b, AF_INET, out, 4), 1);
	assert_true(addr_equal(&out[0].addr, &a.addr));
	assert_memory_equal(out[0].id, a.peer_id, sizeof(a.peer_id));
}

static void
pick_never_returns_the_one_who_asks(void **state)
{
	struct tracker_swarm_announce a = peer(1, 1), other_address;

	tell(state, a, 0);
	assert_int_equal(ask(state, a, AF_INET), 0);
	/* The same client by its other address. */
	other_address = peer(1, 2);
	memcpy(other_address.peer_id, a.peer_id, sizeof(a.peer_id));
	assert_int_equal(ask(state, other_address, AF_INET), 0);
}

static void
pick_keeps_swarms_apart(void **state)
{
	tell(state, peer(1, 1), 0);
	assert_int_equal(ask(state, peer(2, 2), AF_INET), 0);
}

static void
pick_gives_seeds_no_seeds(void **state)
{
	tell(state, seed(1, 1), 0);
	tell(state, peer(1, 2), 0);
	assert_int_equal(ask(state, seed(1, 3), AF_INET), 1);
	assert_int_equal(ask(state, peer(1, 3), AF_INET), 2);
}

static void
pick_gives_paused_peers_no_seeds(void **state)
{
	struct tracker_swarm_announce a = peer(1, 3);

	a.event = TRACKER_SWARM_PAUSED;
	tell(state, seed(1, 1), 0);
	tell(state, peer(1, 2), 0);
	assert_int_equal(ask(state, a, AF_INET), 1);
}

static void
pick_keeps_families_apart(void **state)
{
	struct tracker_swarm_announce six = peer(1, 1);

	six.addr = (struct addr){.ip = {0x20, 1, [15] = 1}, .port = 1,
				 .family = AF_INET6};
	tell(state, six, 0);
	tell(state, peer(1, 2), 0);
	assert_int_equal(ask(state, peer(1, 3), AF_INET6), 1);
	assert_int_equal(ask(state, peer(1, 3), AF_INET), 1);
}

static void
pick_hides_loopback_from_the_outside(void **state)
{
	struct tracker_swarm_announce inside = peer(1, 1);

	inside.addr.ip[0] = 127;
	tell(state, inside, 0);
	assert_int_equal(ask(state, peer(1, 2), AF_INET), 0);
	inside.addr.port++;
	inside.peer_id[0]++;
	assert_int_equal(ask(state, inside, AF_INET), 1);
}

static void
pick_returns_each_peer_once_and_at_most_max(void **state)
{
	struct tracker_swarm_announce me = peer(1, 999);
	struct tracker_swarm_peer out[64];
	bool seen[30];
	size_t n;

	for (uint16_t i = 0; i < 30; i++)
		tell(state, i % 3 ? peer(1, i) : seed(1, i), 0);
	for (int round = 0; round < 50; round++) {
		memset(seen, 0, sizeof(seen));
		n = tracker_swarms_pick(*state, &me, AF_INET, out, 64);
		assert_int_equal(n, 30);
		for (size_t i = 0; i < n; i++) {
			assert_false(seen[out[i].addr.ip[3]]);
			seen[out[i].addr.ip[3]] = true;
		}
		assert_int_equal(tracker_swarms_pick(*state, &me, AF_INET,
						     out, 7), 7);
	}
}

static void
pick_reaches_every_peer_in_time(void **state)
{
	struct tracker_swarm_announce me = peer(1, 999);
	struct tracker_swarm_peer out;
	bool seen[30] = {false};
	int found = 0;

	for (uint16_t i = 0; i < 30; i++)
		tell(state, peer(1, i), 0);
	for (int round = 0; round < 1000; round++) {
		assert_int_equal(tracker_swarms_pick(*state, &me, AF_INET,
						     &out, 1), 1);
		found += !seen[out.addr.ip[3]];
		seen[out.addr.ip[3]] = true;
	}
	assert_int_equal(found, 30);
}

static void
stopped_removes_a_peer(void **state)
{
	struct tracker_swarm_announce a = seed(1, 1);

	tell(state, a, 0);
	assert_int_equal(counts(state, 1).complete, 1);
	a.event = TRACKER_SWARM_STOPPED;
	tell(state, a, 1);
	assert_int_equal(counts(state, 1).complete, 0);
	assert_int_equal(tracker_swarms_totals(*state).complete, 0);
	assert_int_equal(ask(state, peer(1, 2), AF_INET), 0);
}

static void
stopped_of_an_unknown_torrent_makes_no_swarm(void **state)
{
	struct tracker_swarm_announce a = peer(1, 1);

	a.event = TRACKER_SWARM_STOPPED;
	assert_int_equal(tell(state, a, 0), 0);
	assert_int_equal(tracker_swarms_totals(*state).swarms, 0);
}

static void
port_zero_is_not_kept(void **state)
{
	struct tracker_swarm_announce a = peer(1, 1);

	a.addr.port = 0;
	assert_int_equal(tell(state, a, 0), 0);
	assert_int_equal(tracker_swarms_totals(*state).peers, 0);
	tell(state, peer(1, 2), 0);
	assert_int_equal(ask(state, a, AF_INET), 1);
}

static void
completed_is_counted_once_for_a_peer(void **state)
{
	struct tracker_swarm_announce a = seed(1, 1);

	tell(state, peer(1, 1), 0);
	assert_int_equal(counts(state, 1).incomplete, 1);
	a.event = TRACKER_SWARM_COMPLETED;
	tell(state, a, 1);
	tell(state, a, 2);
	assert_int_equal(counts(state, 1).downloaded, 1);
	assert_int_equal(counts(state, 1).complete, 1);
	assert_int_equal(counts(state, 1).incomplete, 0);
}

static void
count_of_downloads_outlives_the_peers(void **state)
{
	struct tracker_swarm_announce a = seed(1, 1);

	a.event = TRACKER_SWARM_COMPLETED;
	tell(state, a, 0);
	tracker_swarms_expire(*state, LIFE);
	assert_int_equal(counts(state, 1).complete, 0);
	assert_int_equal(counts(state, 1).downloaded, 1);
}

static void
paused_peers_are_no_downloaders(void **state)
{
	struct tracker_swarm_announce a = peer(1, 1);

	tell(state, peer(1, 2), 0);
	a.event = TRACKER_SWARM_PAUSED;
	tell(state, a, 0);
	tell(state, a, 1);
	assert_int_equal(counts(state, 1).incomplete, 2);
	assert_int_equal(counts(state, 1).downloaders, 1);
	a.event = TRACKER_SWARM_NONE;
	tell(state, a, 2);
	assert_int_equal(counts(state, 1).downloaders, 2);
}

static void
peers_expire_exactly_at_the_end_of_their_life(void **state)
{
	tell(state, peer(1, 1), 0);
	tell(state, peer(1, 2), 10);
	assert_int_equal(tracker_swarms_expire(*state, LIFE - 1), LIFE);
	assert_int_equal(counts(state, 1).incomplete, 2);
	assert_int_equal(tracker_swarms_expire(*state, LIFE), LIFE + 10);
	assert_int_equal(counts(state, 1).incomplete, 1);
	assert_int_equal(tracker_swarms_expire(*state, LIFE + 10),
			 CLOCK_NEVER);
}

static void
life_is_longer_than_clients_wait_on_their_own(void **state)
{
	(void)state;
	assert_true(tracker_swarm_life(1) > 2 * 300 * CLOCK_S);
	assert_int_equal(tracker_swarm_life(330), tracker_swarm_life(1));
	assert_int_equal(tracker_swarm_life(600), 1200 * CLOCK_S);
	assert_int_equal(tracker_swarm_life(86400), 172800 * CLOCK_S);
}

static void
announce_renews_a_peers_life(void **state)
{
	tell(state, peer(1, 1), 0);
	tell(state, peer(1, 1), 50);
	assert_int_equal(tracker_swarms_expire(*state, LIFE), LIFE + 50);
	assert_int_equal(counts(state, 1).incomplete, 1);
}

static void
full_swarm_lets_the_most_silent_go(void **state)
{
	for (uint16_t i = 0; i < 30; i++)
		tell(state, peer(1, i), i);
	tell(state, seed(1, 0), 30);	/* renewed: now 1 is the oldest */
	tell(state, peer(1, 100), 31);
	assert_int_equal(counts(state, 1).complete, 1);
	assert_int_equal(counts(state, 1).incomplete, 29);
	tell(state, peer(1, 1), 32);
	assert_int_equal(counts(state, 1).incomplete, 29);
}

static void
full_house_lets_the_most_silent_of_all_go(void **state)
{
	tell(state, peer(2, 1), 0);
	for (uint16_t i = 0; i < 20; i++)
		tell(state, peer(1, i), 1);
	for (uint16_t i = 0; i < 20; i++)
		tell(state, peer(3, i), 2);
	assert_int_equal(tracker_swarms_totals(*state).peers, 40);
	assert_int_equal(counts(state, 2).incomplete, 0);
	assert_int_equal(counts(state, 1).incomplete, 20);
	assert_int_equal(counts(state, 3).incomplete, 20);
}

/* Each by itself below what a host may have of it. */
static void
one_host_cannot_empty_the_house(void **state)
{
	static const struct tracker_swarm_limits many = {
		.swarms = 64, .peers = 40, .per_swarm = 30, .per_host = 3,
		.life_ns = LIFE,
	};
	struct tracker_swarms *t = tracker_swarms_new(&many, 7);
	struct tracker_swarm_announce a;

	(void)state;
	assert_non_null(t);
	for (uint16_t i = 0; i < 10; i++) {
		a = peer(200, i);
		assert_int_equal(tracker_swarms_announce(t, &a, 0, NULL), 0);
	}
	for (int i = 0; i < 150; i++) {
		a = peer((uint8_t)(i / 3), 99);
		a.addr.port = (uint16_t)(1 + i % 3);
		assert_int_equal(tracker_swarms_announce(t, &a, 1, NULL), 0);
	}
	a = peer(200, 0);
	assert_int_equal(tracker_swarms_counts(t, a.info_hash).incomplete, 10);
	tracker_swarms_free(t);
}

static void
one_network_of_ipv6_cannot_fill_a_swarm(void **state)
{
	struct tracker_swarm_announce a = peer(1, 1);

	tell(state, peer(1, 2), 0);
	for (uint8_t i = 1; i <= 10; i++) {
		a.addr = (struct addr){.ip = {0x20, 1, [15] = i},
				       .port = 6881, .family = AF_INET6};
		tell(state, a, i);
	}
	assert_int_equal(counts(state, 1).incomplete, 4);
}

static void
one_host_cannot_fill_a_swarm(void **state)
{
	struct tracker_swarm_announce a = peer(1, 1);

	tell(state, peer(1, 2), 0);
	for (uint16_t i = 1; i <= 10; i++) {
		a.addr.port = i;
		tell(state, a, i);
	}
	assert_int_equal(counts(state, 1).incomplete, 1 + 3);
}

static void
local_host_may_have_many_peers(void **state)
{
	struct tracker_swarm_announce a = peer(1, 1);

	a.addr.ip[0] = 10;
	for (uint16_t i = 1; i <= 20; i++) {
		a.addr.port = i;
		tell(state, a, i);
	}
	assert_int_equal(counts(state, 1).incomplete, 20);
}

static void
full_house_of_swarms_takes_no_new_one(void **state)
{
	struct tracker_swarm_announce a = peer(9, 1);
	struct error e;

	for (uint8_t i = 1; i <= 4; i++) {
		assert_int_equal(tell(state, peer(i, 1), 0), 0);
		assert_int_equal(tell(state, peer(i, 2), 0), 0);
	}
	assert_int_equal(tracker_swarms_announce(*state, &a, 1, &e), -1);
	assert_string_equal(e.text,
			    "the tracker has no room for more torrents");
	assert_int_equal(counts(state, 1).incomplete, 2);
	/* Until one is of one host again. */
	a = peer(3, 2);
	a.event = TRACKER_SWARM_STOPPED;
	tell(state, a, 1);
	assert_int_equal(tell(state, peer(9, 1), 2), 0);
	assert_int_equal(counts(state, 3).incomplete, 0);
}

/* A house with room for many, where each host's part is four. */
static struct tracker_swarms *
large_house(void)
{
	struct tracker_swarm_limits large = limits;
	struct tracker_swarms *t;

	large.swarms = 64;
	large.peers = 1000;
	t = tracker_swarms_new(&large, 7);
	assert_non_null(t);
	return t;
}

static void
new_swarm_takes_the_place_of_the_longest_unheard(void **state)
{
	struct tracker_swarms *t = large_house();

	(void)state;
	for (uint8_t i = 1; i <= 64; i++)
		tell((void **)&t, peer(i, i), i);
	tell((void **)&t, peer(1, 1), 65);
	tell((void **)&t, peer(2, 100), 65);	/* a second host */
	assert_int_equal(tell((void **)&t, peer(99, 99), 66), 0);
	assert_int_equal(counts((void **)&t, 1).incomplete, 1);
	assert_int_equal(counts((void **)&t, 2).incomplete, 2);
	assert_int_equal(counts((void **)&t, 3).incomplete, 0);
	assert_int_equal(counts((void **)&t, 4).incomplete, 1);
	tracker_swarms_free(t);
}

/* Fills the house with torrents of one host, by two ports each. */
static void
flood(struct tracker_swarms *t, struct addr from, uint8_t swarms, int64_t now)
{
	for (uint8_t i = 0; i < swarms; i++) {
		struct tracker_swarm_announce a = peer((uint8_t)(100 + i), 1);

		a.addr = from;
		if (from.family == AF_INET6)
			a.addr.ip[15] = i;
		tell((void **)&t, a, now);
		a.addr.port++;
		tell((void **)&t, a, now);
	}
}

static void
one_host_takes_its_own_places(void **state)
{
	static const struct addr from[] = {
		{.ip = {9, 9, 9, 9}, .port = 1, .family = AF_INET},
		{.ip = {0x20, 1}, .port = 1, .family = AF_INET6},
	};

	(void)state;
	for (int way = 0; way < 2; way++) {
		struct tracker_swarms *t = large_house();

		for (uint8_t i = 1; i <= 10; i++)
			tell((void **)&t, peer(i, i), 0);
		flood(t, from[way], 150, 1);
		for (uint8_t i = 11; i <= 20; i++)
			assert_int_equal(tell((void **)&t, peer(i, i), 2), 0);
		flood(t, from[way], 150, 3);
		for (uint8_t i = 1; i <= 20; i++)
			assert_int_equal(counts((void **)&t, i).incomplete, 1);
		assert_int_equal(tracker_swarms_totals(t).swarms, 64);
		tracker_swarms_free(t);
	}
}

static void
new_swarm_takes_the_place_of_the_longest_empty(void **state)
{
	struct tracker_swarm_announce a;

	for (uint8_t i = 1; i <= 4; i++) {
		a = seed(i, 1);
		a.event = TRACKER_SWARM_COMPLETED;
		tell(state, a, 0);
	}
	a = peer(3, 1);
	a.event = TRACKER_SWARM_STOPPED;
	tell(state, a, 1);
	a = peer(2, 1);
	a.event = TRACKER_SWARM_STOPPED;
	tell(state, a, 2);
	assert_int_equal(tell(state, peer(9, 1), 3), 0);
	assert_int_equal(counts(state, 3).downloaded, 0);
	assert_int_equal(counts(state, 2).downloaded, 1);
}

/* Random traffic against a plain model: the counts must agree throughout. */
static void
counts_agree_with_a_model_under_random_traffic(void **state)
{
	struct { bool in, complete; } model[3][8] = {0};
	uint32_t rnd = 12345;

	for (int step = 0; step < 20000; step++) {
		struct tracker_swarm_announce a;
		uint32_t complete = 0, all = 0;
		uint8_t torrent;
		uint16_t who;

		rnd = rnd * 1664525 + 1013904223;
		torrent = (uint8_t)((rnd >> 8) % 3);
		who = (uint16_t)((rnd >> 12) % 8);
		a = peer(torrent, who);
		a.complete = (rnd >> 20 & 1) != 0;
		a.event = (rnd >> 21 & 3) == 0 ? TRACKER_SWARM_STOPPED
					       : TRACKER_SWARM_NONE;
		assert_int_equal(tell(state, a, 0), 0);
		model[torrent][who].in = a.event == TRACKER_SWARM_NONE;
		model[torrent][who].complete = a.complete;
		for (int i = 0; i < 8; i++) {
			all += model[torrent][i].in;
			complete += model[torrent][i].in &&
				    model[torrent][i].complete;
		}
		assert_int_equal(counts(state, torrent).complete, complete);
		assert_int_equal(counts(state, torrent).incomplete,
				 all - complete);
		a = peer(torrent, 100);
		assert_int_equal(ask(state, a, AF_INET), all);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(announce_makes_a_peer_known_to_others),
		CASE(pick_never_returns_the_one_who_asks),
		CASE(pick_keeps_swarms_apart),
		CASE(pick_gives_seeds_no_seeds),
		CASE(pick_gives_paused_peers_no_seeds),
		CASE(pick_keeps_families_apart),
		CASE(pick_hides_loopback_from_the_outside),
		CASE(pick_returns_each_peer_once_and_at_most_max),
		CASE(pick_reaches_every_peer_in_time),
		CASE(stopped_removes_a_peer),
		CASE(stopped_of_an_unknown_torrent_makes_no_swarm),
		CASE(port_zero_is_not_kept),
		CASE(completed_is_counted_once_for_a_peer),
		CASE(count_of_downloads_outlives_the_peers),
		CASE(paused_peers_are_no_downloaders),
		CASE(peers_expire_exactly_at_the_end_of_their_life),
		cmocka_unit_test(life_is_longer_than_clients_wait_on_their_own),
		CASE(announce_renews_a_peers_life),
		CASE(full_swarm_lets_the_most_silent_go),
		CASE(full_house_lets_the_most_silent_of_all_go),
		CASE(one_host_cannot_empty_the_house),
		CASE(one_network_of_ipv6_cannot_fill_a_swarm),
		CASE(one_host_cannot_fill_a_swarm),
		CASE(local_host_may_have_many_peers),
		CASE(full_house_of_swarms_takes_no_new_one),
		CASE(new_swarm_takes_the_place_of_the_longest_empty),
		CASE(new_swarm_takes_the_place_of_the_longest_unheard),
		CASE(one_host_takes_its_own_places),
		CASE(counts_agree_with_a_model_under_random_traffic),
	};

	return cmocka_run_group_tests_name("tracker_swarm", tests, NULL,
					   NULL);
}
