#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sync.h"
#include "discover/blocklist.h"
#include "discover/peerlist.h"

#define MAX 8

static struct addr
at(const char *ip, uint16_t port)
{
	struct addr a;

	assert_true(addr_parse(&a, ip, port));
	return a;
}

static int
setup(void **state)
{
	struct peerlist_config config = {.max = MAX, .port = 6881};

	memset(config.key, 7, sizeof(config.key));
	*state = peerlist_new(&config, NULL);
	return *state ? 0 : -1;
}

static int
teardown(void **state)
{
	peerlist_free(*state);
	return 0;
}

static bool
add(struct peerlist *l, const char *ip, uint16_t port)
{
	struct addr a = at(ip, port);

	return peerlist_add(l, &a, PEER_TRACKER, 0, 0);
}

/* Takes the next one and asserts that it is this one. */
static struct addr
expect_next(struct peerlist *l, int64_t now, const char *ip)
{
	struct peer_candidate c;
	char text[ADDR_TEXT_MAX];

	assert_true(peerlist_next(l, now, &c));
	assert_string_equal(addr_format_ip(&c.addr, text), ip);
	return c.addr;
}

static void
expect_none(struct peerlist *l, int64_t now)
{
	struct peer_candidate c;

	assert_false(peerlist_next(l, now, &c));
}

static uint32_t
priority(const char *us, const char *peer)
{
	struct addr a = at(us, 1), b = at(peer, 2);

	assert_int_equal(peerlist_priority(&a, &b), peerlist_priority(&b, &a));
	return peerlist_priority(&a, &b);
}

/* The two examples of BEP 40. */
static void
priority_is_that_of_bep_40(void **state)
{
	(void)state;
	assert_int_equal(priority("123.213.32.10", "98.76.54.32"), 0xec2d7224);
	assert_int_equal(priority("123.213.32.10", "123.213.32.234"),
			 0x99568189);
}

/* crc32c of 0001 0002, and not of the ports as the host stores them */
static void
priority_of_one_address_goes_by_ports(void **state)
{
	struct addr a = at("1.2.3.4", 2), b = at("1.2.3.4", 1);

	(void)state;
	assert_int_equal(peerlist_priority(&a, &b), 0x0c1da94e);
	assert_int_equal(peerlist_priority(&b, &a), 0x0c1da94e);
}

static void
priority_masks_less_the_nearer_they_are(void **state)
{
	(void)state;
	/* 0xaa is masked out by 0x55 */
	assert_int_equal(priority("1.2.3.4", "9.9.0.0"),
			 priority("1.2.3.4", "9.9.170.170"));
	assert_int_not_equal(priority("1.2.3.4", "1.2.0.0"),
			     priority("1.2.3.4", "1.2.170.0"));
	assert_int_equal(priority("1.2.3.4", "1.2.0.0"),
			 priority("1.2.3.4", "1.2.0.170"));
	assert_int_equal(priority("1::", "2::"), priority("1::", "2::aaaa"));
	assert_int_not_equal(priority("1:0:0:100::", "1:0:0:200::"),
			     priority("1:0:0:100::", "1:0:0:a200::"));
}

static void
each_candidate_is_handed_out_once(void **state)
{
	assert_true(add(*state, "1.0.0.1", 80));
	expect_next(*state, 0, "1.0.0.1");
	expect_none(*state, CLOCK_S * 86400);
}

static void
an_address_is_known_once(void **state)
{
	assert_true(add(*state, "1.0.0.1", 80));
	assert_false(add(*state, "1.0.0.1", 80));
	assert_true(add(*state, "1.0.0.1", 81));
}

static void
unusable_addresses_are_not_taken(void **state)
{
	assert_false(add(*state, "1.0.0.1", 0));
	assert_false(add(*state, "0.0.0.0", 80));
	assert_false(add(*state, "224.0.0.1", 80));
	assert_false(add(*state, "::", 80));
}

static void
the_higher_priority_goes_first(void **state)
{
	struct addr us = at("123.213.32.10", 0);

	peerlist_set_external(*state, &us);
	add(*state, "123.213.32.234", 80);	/* 0x99568189 */
	add(*state, "98.76.54.32", 80);		/* 0xec2d7224 */
	expect_next(*state, 0, "98.76.54.32");
	expect_next(*state, 0, "123.213.32.234");
}

static void
learning_our_address_changes_the_order(void **state)
{
	struct addr us = at("123.213.32.10", 0);

	add(*state, "123.213.32.234", 80);
	add(*state, "98.76.54.32", 80);
	peerlist_set_external(*state, &us);
	expect_next(*state, 0, "98.76.54.32");
}

static void
manual_peers_go_first(void **state)
{
	struct addr a = at("1.0.0.9", 80);

	for (uint16_t port = 1; port < 6; port++)
		add(*state, "1.0.0.1", port);
	peerlist_add(*state, &a, PEER_MANUAL, 0, 0);
	expect_next(*state, 0, "1.0.0.9");
}

static void
fresh_peers_go_before_failed_ones(void **state)
{
	struct addr a;

	add(*state, "1.0.0.1", 80);
	a = expect_next(*state, 0, "1.0.0.1");
	peerlist_failed(*state, &a, PEER_UNREACHABLE, 0);
	add(*state, "1.0.0.2", 80);
	add(*state, "1.0.0.3", 80);
	for (int i = 0; i < 2; i++) {
		struct peer_candidate c;

		assert_true(peerlist_next(*state, CLOCK_S * 3600, &c));
		assert_int_not_equal(c.addr.ip[3], 1);
	}
	expect_next(*state, CLOCK_S * 3600, "1.0.0.1");
}

/* When does a peer come back that failed (n times, or as given)? */
static int64_t
wait_after(struct peerlist *l, int n, enum peer_failure how)
{
	struct peer_candidate c;
	int64_t now = 0, due = 0;

	add(l, "1.0.0.1", 80);
	for (int i = 0; i < n; i++) {
		now = due;
		assert_true(peerlist_next(l, now, &c));
		peerlist_failed(l, &c.addr, how, now);
		due = peerlist_next_due(l, now);
	}
	expect_none(l, due - 1);
	return due - now;
}

static void
a_first_failure_waits_15_seconds_at_most(void **state)
{
	int64_t wait = wait_after(*state, 1, PEER_UNREACHABLE);

	assert_in_range(wait, 10 * CLOCK_S, 15 * CLOCK_S);
}

static void
waits_grow_to_half_an_hour(void **state)
{
	int64_t wait = wait_after(*state, 9, PEER_BAD_HANDSHAKE);

	assert_in_range(wait, 1800 * CLOCK_S, 2160 * CLOCK_S);
}

static void
a_peer_that_rejects_waits_long_at_once(void **state)
{
	int64_t wait = wait_after(*state, 1, PEER_REJECTED);

	assert_in_range(wait, 600 * CLOCK_S, 720 * CLOCK_S);
}

static void
without_a_route_waits_stay_at_two_minutes(void **state)
{
	int64_t wait = wait_after(*state, 9, PEER_NO_ROUTE);

	assert_in_range(wait, 120 * CLOCK_S, 144 * CLOCK_S);
}

static void
a_manual_peer_waits_two_minutes_at_most(void **state)
{
	struct addr a = at("1.0.0.1", 80);
	int64_t wait;

	peerlist_add(*state, &a, PEER_MANUAL, 0, 0);
	wait = wait_after(*state, 9, PEER_UNREACHABLE);
	assert_in_range(wait, 120 * CLOCK_S, 144 * CLOCK_S);
}

static void
in_a_hurry_nobody_waits_for_failures_of_before(void **state)
{
	struct peer_candidate c;
	int64_t then, now;

	wait_after(*state, 9, PEER_UNREACHABLE);
	then = peerlist_next_due(*state, 0);
	now = then - 1000 * CLOCK_S;
	expect_none(*state, now);
	peerlist_hurry(*state, now);
	assert_true(peerlist_next(*state, now, &c));
	peerlist_failed(*state, &c.addr, PEER_UNREACHABLE, now);
	assert_in_range(peerlist_next_due(*state, now) - now, 30 * CLOCK_S,
			36 * CLOCK_S);
}

static void
a_useful_peer_comes_back_soon(void **state)
{
	struct addr a;

	wait_after(*state, 5, PEER_UNREACHABLE);
	a = expect_next(*state, CLOCK_S * 7200, "1.0.0.1");
	assert_true(peerlist_connected(*state, &a));
	peerlist_disconnected(*state, &a, true, 0);
	assert_in_range(peerlist_next_due(*state, 0), 5 * CLOCK_S,
			6 * CLOCK_S);
}

static void
a_useless_peer_waits_longer(void **state)
{
	struct addr a;

	add(*state, "1.0.0.1", 80);
	a = expect_next(*state, 0, "1.0.0.1");
	assert_true(peerlist_connected(*state, &a));
	peerlist_disconnected(*state, &a, false, 0);
	assert_in_range(peerlist_next_due(*state, 0), 120 * CLOCK_S,
			144 * CLOCK_S);
}

static void
a_refused_handshake_is_tried_the_other_way_at_once(void **state)
{
	struct peerlist *l = *state;
	struct addr a;

	add(l, "10.0.0.1", 1);
	a = expect_next(l, 0, "10.0.0.1");
	assert_int_equal(peerlist_flags(l, &a) & PEERLIST_PLAIN, 0);
	assert_true(peerlist_refused(l, &a, 0));
	expect_next(l, 0, "10.0.0.1");
	assert_int_equal(peerlist_flags(l, &a), PEERLIST_PLAIN);
	/* Both ways failed: a failure like others, and from the start. */
	assert_false(peerlist_refused(l, &a, 0));
	expect_none(l, 0);
	assert_int_equal(peerlist_flags(l, &a), 0);
	expect_next(l, 15 * CLOCK_S, "10.0.0.1");
	assert_true(peerlist_refused(l, &a, 15 * CLOCK_S));
}

static void
a_hybrids_peer_is_tried_by_the_other_hash(void **state)
{
	struct peerlist *l = *state;
	struct addr a;

	peerlist_set_hybrid(l);
	add(l, "10.0.0.1", 1);
	for (int64_t now = 0; now < 400 * CLOCK_S; now += 200 * CLOCK_S) {
		unsigned hash = now == 0 ? 0 : PEERLIST_V2;

		a = expect_next(l, now, "10.0.0.1");
		assert_int_equal(peerlist_flags(l, &a), hash);
		assert_true(peerlist_refused(l, &a, now));
		expect_next(l, now, "10.0.0.1");
		assert_int_equal(peerlist_flags(l, &a), hash | PEERLIST_PLAIN);
		assert_false(peerlist_refused(l, &a, now));
		assert_int_equal(peerlist_flags(l, &a), hash ^ PEERLIST_V2);
		expect_none(l, now);
	}
	/* There is but one way to shake hands. */
	expect_next(l, 400 * CLOCK_S, "10.0.0.1");
	peerlist_failed(l, &a, PEER_BAD_HANDSHAKE, 400 * CLOCK_S);
	assert_int_equal(peerlist_flags(l, &a), PEERLIST_V2);
}

static void
the_hash_that_was_right_stays(void **state)
{
	struct peerlist *l = *state;
	struct addr a;

	peerlist_set_hybrid(l);
	add(l, "10.0.0.1", 1);
	a = expect_next(l, 0, "10.0.0.1");
	assert_true(peerlist_connected(l, &a));
	peerlist_disconnected(l, &a, true, 0);
	expect_next(l, 400 * CLOCK_S, "10.0.0.1");
	peerlist_failed(l, &a, PEER_BAD_HANDSHAKE, 400 * CLOCK_S);
	assert_int_equal(peerlist_flags(l, &a), 0);
	/* Nor does what cannot be reached say anything of it. */
	add(l, "10.0.0.2", 1);
	a = expect_next(l, 400 * CLOCK_S, "10.0.0.2");
	peerlist_failed(l, &a, PEER_UNREACHABLE, 400 * CLOCK_S);
	assert_int_equal(peerlist_flags(l, &a), 0);
}

/* It takes no TCP, whichever way: uTP is tried at once, and only once so. */
static void
utp_has_its_turn_once(void **state)
{
	struct peerlist *l = *state;
	struct addr a;

	add(l, "10.0.0.1", 1);
	a = expect_next(l, 0, "10.0.0.1");
	assert_true(peerlist_refused(l, &a, 0));
	expect_next(l, 0, "10.0.0.1");
	assert_false(peerlist_refused(l, &a, 0));
	assert_true(peerlist_turn_to_utp(l, &a, 0));
	expect_next(l, 0, "10.0.0.1");
	assert_true(peerlist_flags(l, &a) & PEERLIST_BY_UTP);
	peerlist_failed(l, &a, PEER_BAD_HANDSHAKE, 0);
	assert_false(peerlist_turn_to_utp(l, &a, 0));
	expect_none(l, 0);
}

/* We part with it for that, so it has no rest, whatever it was good for. */
static void
one_that_is_to_come_by_utp_is_dialled_as_it_leaves(void **state)
{
	struct peerlist *l = *state;
	struct addr a;

	add(l, "10.0.0.1", 1);
	a = expect_next(l, 0, "10.0.0.1");
	assert_true(peerlist_connected(l, &a));
	assert_true(peerlist_turn_to_utp(l, &a, 0));
	expect_none(l, 0);
	peerlist_disconnected(l, &a, false, 0);
	expect_next(l, 0, "10.0.0.1");
	assert_true(peerlist_connected(l, &a));
	assert_false(peerlist_turn_to_utp(l, &a, 0));
	peerlist_disconnected(l, &a, true, 0);
	expect_none(l, 0);
}

/* Two calls in vain may name one relay; and what comes between the word and
 * the dial counts. */
static void
one_that_is_to_come_by_utp_is_told_so_once(void **state)
{
	struct peerlist *l = *state;
	struct addr a, b;

	add(l, "10.0.0.1", 1);
	a = expect_next(l, 0, "10.0.0.1");
	assert_false(peerlist_turn_to_utp(l, &a, 0));	/* it is dialled */
	assert_true(peerlist_connected(l, &a));
	assert_true(peerlist_turn_to_utp(l, &a, 0));
	assert_false(peerlist_turn_to_utp(l, &a, 0));
	peerlist_disconnected(l, &a, false, 0);
	expect_next(l, 0, "10.0.0.1");
	peerlist_failed(l, &a, PEER_REJECTED, 0);

	add(l, "10.0.0.2", 1);
	b = expect_next(l, 0, "10.0.0.2");
	assert_true(peerlist_connected(l, &b));
	assert_true(peerlist_turn_to_utp(l, &b, 0));
	peerlist_ban(l, peerlist_key(l, &b));
	peerlist_disconnected(l, &b, true, 0);
	expect_none(l, 0);
}

static void
one_that_is_to_be_redialled_is_as_it_leaves(void **state)
{
	struct peerlist *l = *state;
	struct addr a;

	add(l, "10.0.0.1", 1);
	a = expect_next(l, 0, "10.0.0.1");
	peerlist_redial(l, &a, 0);		/* it is dialled */
	peerlist_failed(l, &a, PEER_UNREACHABLE, 0);
	expect_none(l, 0);
	a = expect_next(l, 3600 * CLOCK_S, "10.0.0.1");
	assert_true(peerlist_connected(l, &a));
	peerlist_redial(l, &a, 3600 * CLOCK_S);
	expect_none(l, 3600 * CLOCK_S);
	peerlist_disconnected(l, &a, true, 3600 * CLOCK_S);
	expect_next(l, 3600 * CLOCK_S, "10.0.0.1");
	assert_true(peerlist_connected(l, &a));
	peerlist_disconnected(l, &a, true, 3600 * CLOCK_S);
	expect_none(l, 3600 * CLOCK_S);		/* once */
}

/* It is connected under another port. */
static void
one_that_came_in_is_redialled_whatever_failed_before(void **state)
{
	struct peerlist *l = *state;
	struct addr a;

	add(l, "10.0.0.1", 1);
	for (int i = 0; i < 3; i++) {
		a = expect_next(l, (i + 1) * 3600 * CLOCK_S, "10.0.0.1");
		peerlist_failed(l, &a, PEER_UNREACHABLE,
				(i + 1) * 3600 * CLOCK_S);
	}
	expect_none(l, 3 * 3600 * CLOCK_S);
	peerlist_redial(l, &a, 3 * 3600 * CLOCK_S);
	expect_next(l, 3 * 3600 * CLOCK_S, "10.0.0.1");
	peerlist_failed(l, &a, PEER_UNREACHABLE, 3 * 3600 * CLOCK_S);
	expect_next(l, (3 * 3600 + 15) * CLOCK_S, "10.0.0.1");
}

static void
the_way_that_led_to_a_connection_is_remembered(void **state)
{
	struct peerlist *l = *state;
	struct addr a;

	add(l, "10.0.0.1", 1);
	a = expect_next(l, 0, "10.0.0.1");
	assert_true(peerlist_refused(l, &a, 0));
	expect_next(l, 0, "10.0.0.1");
	assert_true(peerlist_connected(l, &a));
	peerlist_disconnected(l, &a, true, 0);
	expect_next(l, 15 * CLOCK_S, "10.0.0.1");
	assert_int_equal(peerlist_flags(l, &a), PEERLIST_PLAIN);
	assert_true(peerlist_refused(l, &a, 15 * CLOCK_S));
	assert_int_equal(peerlist_flags(l, &a), 0);
}

static void
a_connected_peer_is_not_connected_twice(void **state)
{
	struct addr a = at("1.0.0.1", 80);

	peerlist_add(*state, &a, PEER_INCOMING, 0, 0);
	assert_true(peerlist_connected(*state, &a));
	expect_none(*state, 0);
	assert_false(peerlist_connected(*state, &a));
}

static void
a_returned_candidate_can_be_had_again(void **state)
{
	struct addr a;

	add(*state, "1.0.0.1", 80);
	a = expect_next(*state, 0, "1.0.0.1");
	peerlist_return(*state, &a);
	expect_next(*state, 0, "1.0.0.1");
}

static void
one_that_rests_is_handed_out_later_and_has_not_failed(void **state)
{
	struct addr a = at("1.0.0.1", 1);
	struct peer_candidate c;

	peerlist_add(*state, &a, PEER_PEX, 0, 0);
	assert_true(peerlist_next(*state, 0, &c));
	peerlist_rest(*state, &a, 5 * CLOCK_S);
	assert_false(peerlist_next(*state, 4 * CLOCK_S, &c));
	assert_int_equal(peerlist_next_due(*state, 0), 5 * CLOCK_S);
	assert_true(peerlist_next(*state, 5 * CLOCK_S, &c));
	assert_int_equal(c.failures, 0);
}

static void
one_whose_turn_is_over_is_dialled_again_later(void **state)
{
	struct peerlist *l = *state;
	struct addr a, b = at("1.0.0.2", 2);

	add(l, "1.0.0.1", 1);
	a = expect_next(l, 0, "1.0.0.1");
	assert_true(peerlist_connected(l, &a));
	peerlist_turned_over(l, &a, 180 * CLOCK_S);
	assert_int_equal(peerlist_next_due(l, 0), 180 * CLOCK_S);
	expect_next(l, 180 * CLOCK_S, "1.0.0.1");
	assert_true(peerlist_connected(l, &a));
	peerlist_add(l, &b, PEER_INCOMING, 0, 0);
	peerlist_turned_over(l, &b, 200 * CLOCK_S);
	assert_int_equal(peerlist_next_due(l, 0), 200 * CLOCK_S);
	peerlist_ban(l, peerlist_key(l, &a));
	peerlist_turned_over(l, &a, 180 * CLOCK_S);
	expect_next(l, 200 * CLOCK_S, "1.0.0.2");
}

static void
a_full_list_keeps_the_better_ones(void **state)
{
	struct peerlist_counts counts;
	struct peer_candidate c;
	struct addr us = at("1.0.0.1", 0);
	struct addr best = at("2.0.0.1", 1);

	peerlist_set_external(*state, &us);
	for (int i = 1; i < 200; i++) {
		struct addr a = at("2.0.0.1", 1);

		a.ip[1] = (uint8_t)i;
		peerlist_add(*state, &a, PEER_PEX, 0, 0);
		if (peerlist_priority(&us, &a) > peerlist_priority(&us, &best))
			best = a;
	}
	peerlist_count(*state, 0, &counts);
	assert_int_equal(counts.all, MAX);
	assert_int_equal(counts.by_source[PEER_PEX], MAX);
	assert_true(peerlist_next(*state, 0, &c));
	assert_true(addr_equal(&c.addr, &best));
}

/* Adds n of them, of ever other networks, and thus of all priorities. */
static void
add_many(struct peerlist *l, enum peer_source source, int n)
{
	for (int i = 0; i < n; i++) {
		struct addr a = at("3.0.0.1", (uint16_t)(source + 1));

		a.ip[1] = (uint8_t)i;
		peerlist_add(l, &a, source, 0, 0);
	}
}

static void
what_peers_say_drives_out_nobody_else(void **state)
{
	struct peerlist_counts counts;

	add_many(*state, PEER_DHT, MAX / 2);
	add_many(*state, PEER_PEX, 200);
	add_many(*state, PEER_INCOMING, 200);
	peerlist_count(*state, 0, &counts);
	assert_int_equal(counts.all, MAX);
	assert_int_equal(counts.by_source[PEER_DHT], MAX / 2);
	add_many(*state, PEER_TRACKER, MAX);
	add_many(*state, PEER_DHT, 200);
	peerlist_count(*state, 0, &counts);
	assert_int_equal(counts.by_source[PEER_TRACKER], MAX);
}

static void
whom_a_peer_told_of_first_a_tracker_may_confirm(void **state)
{
	struct peerlist_counts counts;
	struct addr a;

	for (uint16_t port = 1; port <= MAX; port++) {
		a = at("1.0.0.1", port);
		assert_true(peerlist_add(*state, &a, PEER_PEX, 0, 0));
		assert_false(peerlist_add(*state, &a, PEER_TRACKER, 0, 0));
	}
	add_many(*state, PEER_DHT, 200);
	peerlist_count(*state, 0, &counts);
	assert_int_equal(counts.by_source[PEER_PEX], MAX);
}

static void
a_failed_peer_makes_room(void **state)
{
	struct peer_candidate c;

	for (uint16_t port = 1; port <= MAX; port++)
		add(*state, "1.0.0.1", port);
	for (int i = 0; i < MAX; i++) {
		assert_true(peerlist_next(*state, 0, &c));
		peerlist_failed(*state, &c.addr, PEER_UNREACHABLE, 0);
	}
	assert_true(add(*state, "1.0.0.2", 80));
	expect_next(*state, 0, "1.0.0.2");
}

static void
peers_in_use_and_manual_ones_are_never_evicted(void **state)
{
	struct peer_candidate c;

	for (uint16_t port = 1; port <= MAX; port++)
		add(*state, "1.0.0.1", port);
	for (int i = 0; i < MAX; i++)
		assert_true(peerlist_next(*state, 0, &c));
	assert_false(add(*state, "1.0.0.2", 80));
}

static void
a_banned_peer_is_never_handed_out(void **state)
{
	struct addr a = at("1.0.0.1", 80), other_port = at("1.0.0.1", 81);

	add(*state, "1.0.0.1", 80);
	peerlist_ban(*state, peerlist_key(*state, &a));
	expect_none(*state, CLOCK_S * 86400);
	assert_false(add(*state, "1.0.0.1", 80));
	assert_true(peerlist_is_banned(*state, &other_port));
	assert_false(peerlist_connected(*state, &other_port));
}

static void
a_second_ban_is_no_news(void **state)
{
	struct addr a = at("1.0.0.1", 80), other_port = at("1.0.0.1", 81);

	assert_true(peerlist_ban(*state, peerlist_key(*state, &a)));
	assert_false(peerlist_ban(*state, peerlist_key(*state, &other_port)));
}

static void
a_ban_hits_only_its_address(void **state)
{
	struct addr a = at("1.0.0.1", 80), b = at("1.0.0.2", 80);

	peerlist_ban(*state, peerlist_key(*state, &a));
	assert_false(peerlist_is_banned(*state, &b));
}

static void
an_ipv6_ban_hits_the_network_unless_it_is_local(void **state)
{
	struct addr a = at("2001:db8::1", 1), b = at("2001:db8::2", 1);
	struct addr c = at("fd00::1", 1), d = at("fd00::2", 1);

	peerlist_ban(*state, peerlist_key(*state, &a));
	peerlist_ban(*state, peerlist_key(*state, &c));
	assert_true(peerlist_is_banned(*state, &b));
	assert_false(peerlist_is_banned(*state, &d));
}

/* As a proxy has to look them up, 100::/64 has one for each name. */
static void
a_ban_of_a_name_hits_no_other(void **state)
{
	struct addr a = at("100::1", 1), b = at("100::2", 1);

	peerlist_ban(*state, peerlist_key(*state, &a));
	assert_true(peerlist_is_banned(*state, &a));
	assert_false(peerlist_is_banned(*state, &b));
}

static void
a_peer_banned_while_connected_does_not_come_back(void **state)
{
	struct addr a;

	add(*state, "1.0.0.1", 80);
	a = expect_next(*state, 0, "1.0.0.1");
	assert_true(peerlist_connected(*state, &a));
	peerlist_ban(*state, peerlist_key(*state, &a));
	peerlist_disconnected(*state, &a, true, 0);
	expect_none(*state, CLOCK_S * 86400);
}

static void
the_ban_list_is_bounded_and_forgets_the_oldest(void **state)
{
	struct peerlist_counts counts;

	for (uint64_t key = 1; key <= 5000; key++)
		peerlist_ban(*state, key);
	peerlist_count(*state, 0, &counts);
	assert_int_equal(counts.banned, 1024);
}

static void
we_do_not_dial_ourselves(void **state)
{
	struct addr a = at("1.0.0.1", 80), us = at("9.9.9.9", 0);

	add(*state, "1.0.0.1", 80);
	peerlist_is_self(*state, &a);
	expect_none(*state, 0);
	assert_false(add(*state, "1.0.0.1", 80));
	peerlist_set_external(*state, &us);
	assert_false(add(*state, "9.9.9.9", 6881));
	assert_true(add(*state, "9.9.9.9", 6882));
}

static void
a_mapped_port_is_ours_over_ipv4(void **state)
{
	struct addr us = at("9.9.9.9", 0), us6 = at("2001:db8::9", 0);

	peerlist_set_external(*state, &us);
	peerlist_set_external(*state, &us6);
	peerlist_set_mapped(*state, 7000);
	assert_false(add(*state, "9.9.9.9", 7000));
	assert_false(add(*state, "9.9.9.9", 6881));
	assert_false(add(*state, "2001:db8::9", 6881));
	assert_true(add(*state, "2001:db8::9", 7000));
}

static void
our_port_may_be_known_later(void **state)
{
	struct addr us = at("9.9.9.9", 0);

	peerlist_set_external(*state, &us);
	peerlist_set_port(*state, 7000);
	assert_false(add(*state, "9.9.9.9", 7000));
	assert_true(add(*state, "9.9.9.9", 6881));
}

static void
a_seed_does_not_dial_seeds(void **state)
{
	struct addr a = at("1.0.0.1", 80);

	add(*state, "1.0.0.1", 80);
	peerlist_set_flags(*state, &a, PEERLIST_SEED);
	peerlist_set_seeding(*state, true);
	expect_none(*state, 0);
	assert_true(peerlist_next_due(*state, 0) == CLOCK_NEVER);
	peerlist_set_seeding(*state, false);
	expect_next(*state, 0, "1.0.0.1");
}

static void
flags_are_taken_off_again(void **state)
{
	struct addr a = at("1.0.0.1", 80);

	peerlist_clear_flags(*state, &a, PEERLIST_BY_UTP);	/* nobody */
	peerlist_add(*state, &a, PEER_TRACKER, PEERLIST_BY_UTP | PEERLIST_SEED,
		     0);
	peerlist_clear_flags(*state, &a, PEERLIST_BY_UTP);
	assert_int_equal(peerlist_flags(*state, &a), PEERLIST_SEED);
}

static void
flags_add_up_over_sources(void **state)
{
	struct addr a = at("1.0.0.1", 80);
	struct peer_candidate c;

	peerlist_add(*state, &a, PEER_TRACKER, PEERLIST_BY_UTP, 0);
	peerlist_add(*state, &a, PEER_PEX, PEERLIST_SEED, 0);
	assert_true(peerlist_next(*state, 0, &c));
	assert_int_equal(c.flags, PEERLIST_BY_UTP | PEERLIST_SEED);
	assert_int_equal(c.source, PEER_TRACKER);
}

static void
next_due_is_now_when_one_is_ready(void **state)
{
	assert_true(peerlist_next_due(*state, 5) == CLOCK_NEVER);
	add(*state, "1.0.0.1", 80);
	assert_true(peerlist_next_due(*state, 5) == 5);
}

static void
churn(void *arg)
{
	struct peer_candidate c;

	for (uint16_t i = 1; i < 500; i++) {
		struct addr a = {.family = AF_INET, .ip = {1, 1, 1, 1}};

		a.port = i;
		peerlist_add(arg, &a, PEER_DHT, 0, 0);
		if (peerlist_next(arg, i * CLOCK_S, &c))
			peerlist_failed(arg, &c.addr, PEER_UNREACHABLE, 0);
		peerlist_is_banned(arg, &a);
	}
}

static void
threads_share_a_list(void **state)
{
	struct thread threads[4];
	struct peerlist_counts counts;

	for (int i = 0; i < 4; i++)
		assert_int_equal(thread_start(&threads[i], "churn",
					      THREAD_STACK_LARGE, churn,
					      *state, NULL),
				 0);
	for (int i = 0; i < 4; i++)
		thread_join(&threads[i]);
	peerlist_count(*state, 0, &counts);
	assert_int_equal(counts.all, MAX);
	assert_int_equal(counts.dialling, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void
blocked_addresses_are_never_taken(void **state)
{
	struct blocklist *b = blocklist_new(NULL);
	struct peerlist_config config = {.max = MAX, .blocklist = b};
	struct addr blocked = at("1.2.3.4", 5), other = at("1.2.4.4", 5);
	struct peerlist *l;

	(void)state;
	assert_int_equal(blocklist_add(b, "1.2.3.0/24", 10, NULL), 0);
	blocklist_seal(b);
	l = peerlist_new(&config, NULL);
	for (enum peer_source from = 0; from < PEER_SOURCES; from++)
		assert_false(peerlist_add(l, &blocked, from, 0, 0));
	assert_false(peerlist_punch(l, &blocked, 7, 0));
	assert_true(peerlist_add(l, &other, PEER_TRACKER, 0, 0));
	assert_true(peerlist_is_banned(l, &blocked));
	assert_false(peerlist_is_banned(l, &other));
	expect_next(l, 0, "1.2.4.4");
	expect_none(l, INT64_MAX);
	peerlist_free(l);
	blocklist_free(b);
}

/* ---- relays ---- */

static void
one_that_is_punched_is_ours_to_dial_once(void **state)
{
	struct peerlist *l = *state;
	struct addr a = at("1.2.3.4", 5);

	assert_true(peerlist_punch(l, &a, 7, 0));
	assert_int_equal(peerlist_caller(l, &a), 7);
	assert_false(peerlist_punch(l, &a, 7, 0));
	expect_none(l, INT64_MAX);
	assert_int_equal(peerlist_source(l, &a), PEER_HOLEPUNCH);
	assert_int_equal(peerlist_flags(l, &a), PEERLIST_PUNCHED);
	assert_true(peerlist_connected(l, &a));
	assert_false(peerlist_punch(l, &a, 7, 0));
}

static void
one_that_waits_its_turn_can_be_punched(void **state)
{
	struct peerlist *l = *state;
	struct addr a = at("1.2.3.4", 5);

	add(l, "1.2.3.4", 5);
	expect_next(l, 0, "1.2.3.4");
	assert_false(peerlist_punch(l, &a, 7, 0));
	peerlist_failed(l, &a, PEER_UNREACHABLE, 0);
	expect_none(l, 0);
	assert_true(peerlist_punch(l, &a, 7, 0));
	peerlist_failed(l, &a, PEER_UNREACHABLE, 0);
	assert_int_equal(peerlist_source(l, &a), PEER_TRACKER);
	expect_next(l, INT64_MAX - 1, "1.2.3.4");
}

static void
what_a_relay_alone_knows_is_forgotten_when_it_fails(void **state)
{
	struct peerlist *l = *state;
	struct addr a = at("1.2.3.4", 5);

	assert_true(peerlist_punch(l, &a, 7, 0));
	peerlist_failed(l, &a, PEER_UNREACHABLE, 0);
	expect_none(l, INT64_MAX);
	assert_true(peerlist_punch(l, &a, 7, 0));
	peerlist_return(l, &a);
	expect_none(l, INT64_MAX);
	/* Others know of it, too. */
	assert_true(peerlist_punch(l, &a, 7, 0));
	add(l, "1.2.3.4", 5);
	peerlist_failed(l, &a, PEER_UNREACHABLE, 0);
	expect_next(l, INT64_MAX - 1, "1.2.3.4");
}

static void
nobody_who_is_banned_or_unusable_or_ourselves_is_punched(void **state)
{
	struct peerlist *l = *state;
	struct addr banned = at("1.2.3.4", 5), us = at("1.2.3.5", 5);
	struct addr odd = at("1.2.3.6", 0);

	add(l, "1.2.3.4", 5);
	peerlist_ban(l, peerlist_key(l, &banned));
	peerlist_is_self(l, &us);
	assert_true(peerlist_is_ours(l, &us));
	assert_false(peerlist_is_ours(l, &banned));
	assert_false(peerlist_punch(l, &banned, 7, 0));
	assert_false(peerlist_punch(l, &us, 7, 0));
	assert_false(peerlist_punch(l, &odd, 7, 0));
}

static void
a_seed_punches_no_seeds(void **state)
{
	struct peerlist *l = *state;
	struct addr a = at("1.2.3.4", 5);

	peerlist_add(l, &a, PEER_PEX, PEERLIST_SEED, 0);
	peerlist_set_seeding(l, true);
	assert_false(peerlist_punch(l, &a, 7, 0));
}

static void
the_last_relays_are_remembered(void **state)
{
	struct peerlist *l = *state;
	struct addr a = at("1.2.3.4", 5);
	uint32_t ids[PEERLIST_RELAYS];

	peerlist_add_relay(l, &a, 1);
	assert_int_equal(peerlist_relays(l, &a, ids), 0);
	add(l, "1.2.3.4", 5);
	assert_int_equal(peerlist_relays(l, &a, ids), 0);
	for (uint32_t id = 1; id <= 5; id++) {
		peerlist_add_relay(l, &a, id);
		peerlist_add_relay(l, &a, id);
	}
	assert_int_equal(peerlist_relays(l, &a, ids), PEERLIST_RELAYS);
	assert_int_equal(ids[0], 5);
	assert_int_equal(ids[1], 4);
	assert_int_equal(peerlist_flags(l, &a), PEERLIST_HOLEPUNCH);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(priority_is_that_of_bep_40),
	    cmocka_unit_test(priority_of_one_address_goes_by_ports),
	    cmocka_unit_test(priority_masks_less_the_nearer_they_are),
	    TEST(each_candidate_is_handed_out_once),
	    TEST(an_address_is_known_once),
	    TEST(unusable_addresses_are_not_taken),
	    TEST(the_higher_priority_goes_first),
	    TEST(learning_our_address_changes_the_order),
	    TEST(manual_peers_go_first),
	    TEST(fresh_peers_go_before_failed_ones),
	    TEST(a_first_failure_waits_15_seconds_at_most),
	    TEST(without_a_route_waits_stay_at_two_minutes),
	    TEST(a_manual_peer_waits_two_minutes_at_most),
	    TEST(in_a_hurry_nobody_waits_for_failures_of_before),
	    TEST(waits_grow_to_half_an_hour),
	    TEST(a_peer_that_rejects_waits_long_at_once),
	    TEST(a_useful_peer_comes_back_soon),
	    TEST(a_useless_peer_waits_longer),
	    TEST(a_refused_handshake_is_tried_the_other_way_at_once),
	    TEST(a_hybrids_peer_is_tried_by_the_other_hash),
	    TEST(the_hash_that_was_right_stays),
	    TEST(utp_has_its_turn_once),
	    TEST(one_that_is_to_come_by_utp_is_dialled_as_it_leaves),
	    TEST(one_that_is_to_come_by_utp_is_told_so_once),
	    TEST(one_that_is_to_be_redialled_is_as_it_leaves),
	    TEST(one_that_came_in_is_redialled_whatever_failed_before),
	    TEST(the_way_that_led_to_a_connection_is_remembered),
	    TEST(a_connected_peer_is_not_connected_twice),
	    TEST(a_returned_candidate_can_be_had_again),
	    TEST(one_that_rests_is_handed_out_later_and_has_not_failed),
	    TEST(one_whose_turn_is_over_is_dialled_again_later),
	    TEST(a_full_list_keeps_the_better_ones),
	    TEST(what_peers_say_drives_out_nobody_else),
	    TEST(whom_a_peer_told_of_first_a_tracker_may_confirm),
	    TEST(a_failed_peer_makes_room),
	    TEST(peers_in_use_and_manual_ones_are_never_evicted),
	    TEST(a_banned_peer_is_never_handed_out),
	    TEST(a_second_ban_is_no_news),
	    TEST(a_ban_hits_only_its_address),
	    TEST(an_ipv6_ban_hits_the_network_unless_it_is_local),
	    TEST(a_ban_of_a_name_hits_no_other),
	    TEST(a_peer_banned_while_connected_does_not_come_back),
	    TEST(the_ban_list_is_bounded_and_forgets_the_oldest),
	    TEST(we_do_not_dial_ourselves),
	    TEST(a_mapped_port_is_ours_over_ipv4),
	    TEST(our_port_may_be_known_later),
	    TEST(a_seed_does_not_dial_seeds),
	    TEST(flags_are_taken_off_again),
	    TEST(flags_add_up_over_sources),
	    TEST(next_due_is_now_when_one_is_ready),
	    TEST(one_that_is_punched_is_ours_to_dial_once),
	    TEST(one_that_waits_its_turn_can_be_punched),
	    TEST(what_a_relay_alone_knows_is_forgotten_when_it_fails),
	    TEST(nobody_who_is_banned_or_unusable_or_ourselves_is_punched),
	    TEST(a_seed_punches_no_seeds),
	    TEST(the_last_relays_are_remembered),
	    TEST(threads_share_a_list),
	    cmocka_unit_test(blocked_addresses_are_never_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
