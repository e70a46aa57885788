#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "discover/dht_store.h"

#define T0 CLOCK_S
#define MIN (60 * CLOCK_S)

static int
setup(void **state)
{
	*state = dht_store_new();
	return *state ? 0 : -1;
}

static int
teardown(void **state)
{
	dht_store_free(*state);
	return 0;
}

static struct dht_id
hash_of(unsigned i)
{
	struct dht_id id = {{(uint8_t)(i * 7), (uint8_t)(i >> 8), (uint8_t)i}};

	return id;
}

static struct addr
host(unsigned i)
{
	struct addr a;
	char ip[32];

	snprintf(ip, sizeof(ip), "%u.%u.%u.9", 20 + (i >> 16), i >> 8 & 255,
		 i & 255);
	assert_true(addr_parse(&a, ip, 6881));
	return a;
}

static bool
add(struct dht_store *s, unsigned hash, unsigned who, int64_t now)
{
	struct dht_id id = hash_of(hash);
	struct addr a = host(who);

	return dht_store_add(s, &id, &a, false, now);
}

static size_t
get(const struct dht_store *s, unsigned hash, int64_t now)
{
	struct dht_store_query q = {.hash = hash_of(hash), .family = AF_INET};
	struct addr out[300];

	return dht_store_get(s, &q, out, 300, now);
}

static void
peers_are_found_by_their_hash(void **state)
{
	assert_true(add(*state, 1, 1, T0));
	assert_true(add(*state, 1, 2, T0));
	assert_true(add(*state, 2, 3, T0));
	assert_int_equal(get(*state, 1, T0), 2);
	assert_int_equal(get(*state, 2, T0), 1);
	assert_int_equal(get(*state, 3, T0), 0);
}

static void
a_host_is_in_a_swarm_once(void **state)
{
	struct dht_id id = hash_of(1);
	struct addr a = host(1), out[2];
	struct dht_store_query q = {.hash = id, .family = AF_INET};

	assert_true(dht_store_add(*state, &id, &a, false, T0));
	a.port = 7000;
	assert_true(dht_store_add(*state, &id, &a, false, T0));
	assert_int_equal(dht_store_get(*state, &q, out, 2, T0), 1);
	assert_int_equal(out[0].port, 7000);
}

static void
families_and_seeds_are_told_apart(void **state)
{
	struct dht_id id = hash_of(1);
	struct addr four = host(1), six, out[2];
	struct dht_store_query q = {.hash = id, .family = AF_INET6};

	assert_true(addr_parse(&six, "2a00::1", 80));
	assert_true(dht_store_add(*state, &id, &four, true, T0));
	assert_true(dht_store_add(*state, &id, &six, false, T0));
	assert_int_equal(dht_store_get(*state, &q, out, 2, T0), 1);
	assert_true(addr_equal(&out[0], &six));
	q.family = AF_INET;
	q.noseed = true;
	assert_int_equal(dht_store_get(*state, &q, out, 2, T0), 0);
}

static void
peers_expire(void **state)
{
	add(*state, 1, 1, T0);
	add(*state, 1, 2, T0 + 10 * MIN);
	assert_int_equal(get(*state, 1, T0 + 31 * MIN), 1);
	dht_store_expire(*state, T0 + 31 * MIN);
	assert_int_equal(dht_store_peers(*state), 1);
	dht_store_expire(*state, T0 + 41 * MIN);
	assert_int_equal(dht_store_swarms(*state), 0);
}

static void
a_full_swarm_gives_up_its_stalest(void **state)
{
	for (unsigned i = 0; i < 300; i++)
		assert_true(add(*state, 1, i, T0 + i));
	assert_int_equal(get(*state, 1, T0 + 300), DHT_STORE_SWARM_PEERS);
	assert_int_equal(dht_store_peers(*state), DHT_STORE_SWARM_PEERS);
}

static void
a_host_stores_so_much_and_no_more(void **state)
{
	for (unsigned i = 0; i < 80; i++)
		assert_int_equal(add(*state, i, 1, T0),
				 i < DHT_STORE_HOST_PEERS);
	assert_int_equal(dht_store_swarms(*state), DHT_STORE_HOST_PEERS);
}

static void
all_of_it_is_bounded(void **state)
{
	for (unsigned i = 0; i < 3000; i++)
		assert_true(add(*state, i, i, T0 + i));
	assert_int_equal(dht_store_swarms(*state), DHT_STORE_SWARMS);
	assert_int_equal(get(*state, 2999, T0 + 3000), 1);
	assert_int_equal(get(*state, 0, T0 + 3000), 0);
	for (unsigned i = 0; i < 12000; i++)
		(void)add(*state, 5000 + i / 100, i, T0 + 3000 + i);
	assert_true(dht_store_peers(*state) <= DHT_STORE_PEERS);
}

/* Whoever counts the bits can tell seeds from others. */
static void
a_scrape_has_all_that_live(void **state)
{
	struct dht_id id = hash_of(1), none = hash_of(2);
	struct dht_scrape got, wanted = {0};
	struct addr seed = host(2), six, old = host(3);

	assert_true(addr_parse(&six, "2a00::1", 80));
	assert_true(dht_store_add(*state, &id, &old, false, T0));
	assert_true(add(*state, 1, 1, T0 + MIN));
	assert_true(dht_store_add(*state, &id, &six, false, T0 + MIN));
	assert_true(dht_store_add(*state, &id, &seed, true, T0 + MIN));
	assert_true(dht_store_scrape(*state, &id, &got,
				     T0 + DHT_STORE_LIFE));
	old = host(1);
	dht_bloom_add(wanted.seeds, &seed);
	dht_bloom_add(wanted.peers, &old);
	dht_bloom_add(wanted.peers, &six);
	assert_memory_equal(&got, &wanted, sizeof(got));
	assert_false(dht_store_scrape(*state, &none, &got, T0));
	assert_false(dht_store_scrape(*state, &id, &got,
				      T0 + MIN + DHT_STORE_LIFE));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(peers_are_found_by_their_hash),
	    TEST(a_host_is_in_a_swarm_once),
	    TEST(families_and_seeds_are_told_apart),
	    TEST(peers_expire),
	    TEST(a_full_swarm_gives_up_its_stalest),
	    TEST(a_host_stores_so_much_and_no_more),
	    TEST(all_of_it_is_bounded),
	    TEST(a_scrape_has_all_that_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
