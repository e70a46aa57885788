#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "discover/dht_table.h"

#define T0 CLOCK_S
#define MIN (60 * CLOCK_S)

static int
setup(void **state)
{
	struct dht_id self = {{0}};

	*state = dht_table_new(AF_INET, &self);
	return *state ? 0 : -1;
}

static int
teardown(void **state)
{
	dht_table_free(*state);
	return 0;
}

/* A node whose id begins with these two bytes, on a host of its own. */
static struct dht_node
node(unsigned front, unsigned host)
{
	struct dht_node n = {0};
	char ip[32];

	n.id.raw[0] = (uint8_t)(front >> 8);
	n.id.raw[1] = (uint8_t)front;
	n.id.raw[5] = (uint8_t)(host >> 8);
	n.id.raw[6] = (uint8_t)host;
	snprintf(ip, sizeof(ip), "8.%u.%u.9", host / 256, host % 256);
	assert_true(addr_parse(&n.addr, ip, 6881));
	return n;
}

static void
reply(struct dht_table *t, const struct dht_node *n, int64_t now)
{
	dht_table_replied(t, n, now);
}

static struct dht_table_counts
count(struct dht_table *t, int64_t now)
{
	struct dht_table_counts c;

	dht_table_count(t, now, &c);
	return c;
}

static bool
has(struct dht_table *t, const struct dht_node *n)
{
	struct dht_node all[512];
	size_t found = dht_table_nodes(t, T0, all, 512);

	for (size_t i = 0; i < found; i++)
		if (dht_id_equal(&all[i].id, &n->id) &&
		    addr_equal(&all[i].addr, &n->addr))
			return true;
	return false;
}

/* Hosts 1 to 8, none of whose ids is granted, in the far half. */
static void
fill_far(struct dht_table *t, int64_t now)
{
	for (unsigned i = 1; i <= DHT_K; i++) {
		struct dht_node n = node(0x8000, i);

		reply(t, &n, now);
	}
}

static void
only_the_bucket_around_our_id_splits(void **state)
{
	struct dht_table *t = *state;

	for (unsigned i = 1; i <= 40; i++) {
		struct dht_node n = node(0x8000, i);

		reply(t, &n, T0);
	}
	assert_int_equal(count(t, T0).nodes, DHT_K);
	assert_int_equal(count(t, T0).spare, DHT_K);
	assert_int_equal(count(t, T0).buckets, 2);
	for (unsigned i = 41; i <= 60; i++) {
		struct dht_node n = node(0x4000, i);

		reply(t, &n, T0);
	}
	assert_int_equal(count(t, T0).nodes, 2 * DHT_K);
	assert_int_equal(count(t, T0).buckets, 3);
}

static void
our_own_id_is_not_taken(void **state)
{
	struct dht_node n = node(0, 0);

	n.addr.ip[3] = 1;
	memset(&n.id, 0, sizeof(n.id));
	reply(*state, &n, T0);
	assert_int_equal(count(*state, T0).nodes, 0);
}

static void
a_node_that_only_asked_is_not_handed_on(void **state)
{
	struct dht_node n = node(0x8000, 1), out[DHT_K];

	dht_table_heard(*state, &n, T0);
	assert_int_equal(
	    dht_table_closest(*state, &n.id, out, DHT_K), 0);
	assert_true(dht_table_to_ping(*state, T0, out));
	assert_true(addr_equal(&out[0].addr, &n.addr));
	reply(*state, &n, T0);
	assert_int_equal(
	    dht_table_closest(*state, &n.id, out, DHT_K), 1);
}

static void
a_node_turns_questionable_and_is_pinged(void **state)
{
	struct dht_node n = node(0x8000, 1), out;

	reply(*state, &n, T0);
	assert_false(dht_table_to_ping(*state, T0 + 14 * MIN, &out));
	assert_int_equal(count(*state, T0 + 14 * MIN).good, 1);
	assert_int_equal(count(*state, T0 + 15 * MIN).good, 0);
	/* The first look into the new bucket is not meant here. */
	assert_true(dht_table_to_refresh(*state, T0, &out.id, &out.id));
	assert_int_equal(dht_table_due(*state), T0 + 15 * MIN);
	assert_true(dht_table_to_ping(*state, T0 + 15 * MIN, &out));
	/* Not again while that one is under way. */
	assert_false(dht_table_to_ping(*state, T0 + 15 * MIN, &out));
}

static void
a_query_keeps_a_node_good_that_has_answered_before(void **state)
{
	struct dht_node n = node(0x8000, 1), out;

	reply(*state, &n, T0);
	dht_table_heard(*state, &n, T0 + 14 * MIN);
	assert_int_equal(count(*state, T0 + 28 * MIN).good, 1);
	assert_false(dht_table_to_ping(*state, T0 + 28 * MIN, &out));
}

static void
two_failures_make_a_node_bad_and_a_spare_one_steps_in(void **state)
{
	struct dht_table *t = *state;
	struct dht_node spare = node(0x8000, 50), bad = node(0x8000, 3);

	fill_far(t, T0);
	reply(t, &spare, T0);
	dht_table_failed(t, &bad.addr, T0 + MIN);
	assert_true(has(t, &bad));
	assert_false(has(t, &spare));
	dht_table_failed(t, &bad.addr, T0 + 2 * MIN);
	assert_false(has(t, &bad));
	assert_true(has(t, &spare));
}

static void
a_bad_node_is_not_handed_on_but_comes_back(void **state)
{
	struct dht_node n = node(0x8000, 1), out[DHT_K];

	reply(*state, &n, T0);
	dht_table_failed(*state, &n.addr, T0);
	dht_table_failed(*state, &n.addr, T0);
	assert_int_equal(
	    dht_table_closest(*state, &n.id, out, DHT_K), 0);
	assert_false(dht_table_to_ping(*state, T0 + MIN, out));
	assert_true(dht_table_to_ping(*state, T0 + 15 * MIN, out));
	reply(*state, &n, T0 + 15 * MIN);
	assert_int_equal(
	    dht_table_closest(*state, &n.id, out, DHT_K), 1);
}

static void
a_host_has_one_node(void **state)
{
	struct dht_node first = node(0x8000, 1), second = node(0x4000, 1);

	second.addr.port = 7000;
	reply(*state, &first, T0);
	reply(*state, &second, T0);
	assert_true(has(*state, &first));
	assert_false(has(*state, &second));
}

static void
hosts_of_a_local_network_are_told_apart_by_port(void **state)
{
	struct dht_node n = node(0x8000, 1);

	assert_true(addr_parse(&n.addr, "127.0.0.1", 1));
	for (uint16_t port = 1; port <= 5; port++) {
		n.addr.port = port;
		n.id.raw[7] = (uint8_t)port;
		reply(*state, &n, T0);
	}
	assert_int_equal(count(*state, T0).nodes, 5);
}

static void
a_node_that_changed_its_id_is_there_once(void **state)
{
	struct dht_node n = node(0x8000, 1), again = node(0x4000, 1);

	reply(*state, &n, T0);
	reply(*state, &again, T0);
	assert_false(has(*state, &n));
	assert_true(has(*state, &again));
}

static void
a_network_has_two_nodes_in_a_bucket(void **state)
{
	for (unsigned i = 1; i <= 4; i++) {
		struct dht_node n = node(0x8000, 1);

		n.addr.ip[3] = (uint8_t)i;
		n.id.raw[8] = (uint8_t)i;
		reply(*state, &n, T0);
	}
	assert_int_equal(count(*state, T0).nodes, 2);
}

static void
a_granted_id_goes_before_one_that_is_not(void **state)
{
	struct dht_table *t = *state;
	struct dht_node n = node(0x8000, 77);
	struct dht_id random = {{0}};
	unsigned host = 77;

	fill_far(t, T0);
	/* A host whose granted id lies in the far half. */
	do {
		n = node(0x8000, host++);
		n.id = dht_id_for(&n.addr, &random);
	} while (n.id.raw[0] < 0x80);
	reply(t, &n, T0);
	assert_true(has(t, &n));
	assert_int_equal(count(t, T0).nodes, DHT_K);
}

static void
closest_comes_in_order_out_of_all_buckets(void **state)
{
	struct dht_table *t = *state;
	struct dht_id target = {{0x45}};
	struct dht_node out[DHT_K];
	size_t n;

	fill_far(t, T0);
	for (unsigned i = 20; i < 26; i++) {
		struct dht_node near = node(0x4000 + i, i);

		reply(t, &near, T0);
	}
	n = dht_table_closest(t, &target, out, 100);
	assert_int_equal(n, DHT_K);
	assert_int_equal(out[5].id.raw[0], 0x40);
	assert_int_equal(out[6].id.raw[0], 0x80);
	for (size_t i = 1; i < n; i++)
		assert_true(dht_id_compare(&target, &out[i - 1].id,
					   &out[i].id) < 0);
}

static void
a_bucket_without_news_is_looked_up(void **state)
{
	struct dht_table *t = *state;
	struct dht_id random, target, self = {{0}};
	struct dht_node near = node(0x4000, 30);

	memset(&random, 0xff, sizeof(random));
	assert_false(dht_table_to_refresh(t, 100 * MIN, &random, &target));
	fill_far(t, T0);
	reply(t, &near, T0);
	/* The near bucket has room: it is looked into at once. */
	assert_true(dht_table_to_refresh(t, T0, &random, &target));
	assert_true(dht_id_prefix(&self, &target) >= 1);
	reply(t, &near, T0 + 10 * MIN);
	assert_false(dht_table_to_refresh(t, T0 + 14 * MIN, &random, &target));
	assert_true(dht_table_to_refresh(t, T0 + 15 * MIN, &random, &target));
	assert_int_equal(dht_id_prefix(&self, &target), 0);
	assert_false(dht_table_to_refresh(t, T0 + 16 * MIN, &random, &target));
}

static void
moving_keeps_nodes_and_sorts_them_anew(void **state)
{
	struct dht_table *t = *state;
	struct dht_id self = {{0x80, 0x01}};

	fill_far(t, T0);
	for (unsigned i = 10; i < 14; i++) {
		struct dht_node n = node(0x4000, i);

		reply(t, &n, T0);
	}
	dht_table_move(t, &self, T0);
	assert_int_equal(count(t, T0).nodes, 12);
	for (unsigned i = 60; i < 80; i++) {
		struct dht_node n = node(0x8100, i);

		reply(t, &n, T0);
	}
	/* Now the far half is the near one. */
	assert_true(count(t, T0).nodes >= 20);
}

static void
forgetting_a_host_takes_its_node_out(void **state)
{
	struct dht_node n = node(0x8000, 1);

	reply(*state, &n, T0);
	n.addr.port = 1;
	dht_table_forget(*state, &n.addr);
	assert_int_equal(count(*state, T0).nodes, 0);
}

/* Whatever comes, in any order, the bounds hold. */
static void
bounds_hold_under_random_use(void **state)
{
	struct dht_table *t = *state;
	uint32_t seed = 1;
	struct dht_node out[DHT_K];

	for (int i = 0; i < 20000; i++) {
		struct dht_node n;
		int64_t now = T0 + i * CLOCK_S;

		seed = seed * 1664525 + 1013904223;
		n = node((seed >> 8) & 0xffff, (seed >> 20) & 0x7ff);
		n.id.raw[0] = (uint8_t)(n.id.raw[0] >> seed % 9);
		switch (seed >> 5 & 3) {
		case 0:
			dht_table_heard(t, &n, now);
			break;
		case 1:
		case 2:
			dht_table_replied(t, &n, now);
			break;
		default:
			dht_table_failed(t, &n.addr, now);
			break;
		}
		(void)dht_table_to_ping(t, now, out);
	}
	assert_true(count(t, T0).nodes <= DHT_K * count(t, T0).buckets);
	assert_true(count(t, T0).spare <= DHT_K * count(t, T0).buckets);
	assert_true(count(t, T0).buckets <= 32);
	assert_int_equal(dht_table_closest(t, &(struct dht_id){{0}}, out,
					   DHT_K), DHT_K);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(only_the_bucket_around_our_id_splits),
	    TEST(our_own_id_is_not_taken),
	    TEST(a_node_that_only_asked_is_not_handed_on),
	    TEST(a_node_turns_questionable_and_is_pinged),
	    TEST(a_query_keeps_a_node_good_that_has_answered_before),
	    TEST(two_failures_make_a_node_bad_and_a_spare_one_steps_in),
	    TEST(a_bad_node_is_not_handed_on_but_comes_back),
	    TEST(a_host_has_one_node),
	    TEST(hosts_of_a_local_network_are_told_apart_by_port),
	    TEST(a_node_that_changed_its_id_is_there_once),
	    TEST(a_network_has_two_nodes_in_a_bucket),
	    TEST(a_granted_id_goes_before_one_that_is_not),
	    TEST(closest_comes_in_order_out_of_all_buckets),
	    TEST(a_bucket_without_news_is_looked_up),
	    TEST(moving_keeps_nodes_and_sorts_them_anew),
	    TEST(forgetting_a_host_takes_its_node_out),
	    TEST(bounds_hold_under_random_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
