#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "discover/dht_reach.h"

#define T0 (100 * CLOCK_S)
#define MIN (60 * CLOCK_S)

static int
setup(void **state)
{
	struct dht_reach *r = malloc(sizeof(*r));

	assert_non_null(r);
	dht_reach_init(r, T0);
	*state = r;
	return 0;
}

static int
teardown(void **state)
{
	free(*state);
	return 0;
}

static struct addr
host(const char *net, unsigned i)
{
	struct addr a;
	char ip[64];

	snprintf(ip, sizeof(ip), "%s.%u.%u", net, i / 250, i % 250 + 1);
	assert_true(addr_parse(&a, ip, 6881));
	return a;
}

/* So many hosts have answered. */
static void
know(struct dht_reach *r, const char *net, unsigned n, int64_t now)
{
	for (unsigned i = 0; i < n; i++) {
		struct addr a = host(net, i);

		dht_reach_asked(r, &a, now);
		dht_reach_answered(r, &a, now);
	}
}

static void
hear(struct dht_reach *r, const char *net, unsigned i, int64_t now)
{
	struct addr a = host(net, i);

	dht_reach_heard(r, &a, now);
}

static void
few_answers_conclude_nothing(void **state)
{
	struct dht_reach *r = *state;

	know(r, "20.1", DHT_REACH_KNOWN - 1, T0);
	know(r, "20.1", DHT_REACH_KNOWN - 1, T0);	/* the same ones */
	assert_true(r->due == CLOCK_NEVER);
	know(r, "20.1", DHT_REACH_KNOWN, T0);
	assert_true(r->due == T0 + DHT_REACH_GRACE);
	assert_false(r->read_only);
}

static void
nodes_of_the_local_network_prove_nothing(void **state)
{
	struct dht_reach *r = *state;

	know(r, "192.168", 2 * DHT_REACH_KNOWN, T0);
	assert_true(r->due == CLOCK_NEVER);
	know(r, "20.1", DHT_REACH_KNOWN, T0);
	hear(r, "10.1", 1, T0);
	assert_true(r->due == T0 + DHT_REACH_GRACE);
}

static void
without_a_query_it_is_read_only_after_the_grace(void **state)
{
	struct dht_reach *r = *state;

	know(r, "20.1", DHT_REACH_KNOWN, T0);
	dht_reach_tick(r, r->due - 1);
	assert_false(r->read_only);
	dht_reach_tick(r, r->due);
	assert_true(r->read_only);
	assert_true(r->due == T0 + DHT_REACH_GRACE + DHT_REACH_TRIAL);
}

static void
a_query_from_whom_we_asked_proves_nothing(void **state)
{
	struct dht_reach *r = *state;
	struct addr other_port = host("20.1", 3);

	other_port.port = 7;
	know(r, "20.1", DHT_REACH_KNOWN, T0);
	hear(r, "20.1", 3, T0);
	dht_reach_heard(r, &other_port, T0);
	assert_true(r->due == T0 + DHT_REACH_GRACE);
}

static void
a_query_from_a_stranger_keeps_it_open(void **state)
{
	struct dht_reach *r = *state;

	know(r, "20.1", DHT_REACH_KNOWN, T0);
	hear(r, "20.2", 1, T0 + MIN);
	assert_true(r->due == T0 + MIN + DHT_REACH_PROOF);
	dht_reach_tick(r, r->due);
	assert_true(r->read_only);
	hear(r, "20.2", 2, T0 + 40 * MIN);
	assert_false(r->read_only);
	assert_true(r->due == T0 + 40 * MIN + DHT_REACH_PROOF);
}

/* A router forgets whom we asked, and so do we. */
static void
who_was_asked_long_ago_is_a_stranger(void **state)
{
	struct dht_reach *r = *state;
	struct addr a = host("20.1", 5);

	dht_reach_asked(r, &a, T0);
	know(r, "20.2", DHT_REACH_KNOWN, T0 + 6 * MIN);
	dht_reach_heard(r, &a, T0 + 9 * MIN);	/* the turn before */
	assert_true(r->due == T0 + 6 * MIN + DHT_REACH_GRACE);
	dht_reach_heard(r, &a, T0 + 11 * MIN);
	assert_true(r->due == T0 + 11 * MIN + DHT_REACH_PROOF);
}

static void
after_a_long_silence_nobody_is_remembered(void **state)
{
	struct dht_reach *r = *state;

	know(r, "20.1", DHT_REACH_KNOWN, T0);
	hear(r, "20.1", 3, T0 + 60 * MIN);
	assert_true(r->due == T0 + 60 * MIN + DHT_REACH_PROOF);
}

static void
a_trial_lasts_for_the_grace(void **state)
{
	struct dht_reach *r = *state;
	int64_t trial;

	know(r, "20.1", DHT_REACH_KNOWN, T0);
	dht_reach_tick(r, r->due);
	trial = r->due;
	dht_reach_tick(r, trial);
	assert_false(r->read_only);
	assert_true(r->due == trial + DHT_REACH_GRACE);
	dht_reach_tick(r, r->due);
	assert_true(r->read_only);
}

static void
a_mapped_port_is_open_until_it_is_lost(void **state)
{
	struct dht_reach *r = *state;

	know(r, "20.1", DHT_REACH_KNOWN, T0);
	dht_reach_tick(r, r->due);
	dht_reach_mapped(r, true, T0 + 6 * MIN);
	assert_false(r->read_only);
	assert_true(r->due == CLOCK_NEVER);
	hear(r, "20.2", 1, T0 + 7 * MIN);
	assert_true(r->due == CLOCK_NEVER);
	dht_reach_mapped(r, false, T0 + 8 * MIN);
	assert_true(r->due == T0 + 8 * MIN + DHT_REACH_GRACE);
	dht_reach_mapped(r, false, T0 + 9 * MIN);	/* no news */
	assert_true(r->due == T0 + 8 * MIN + DHT_REACH_GRACE);
}

static void
with_another_address_it_begins_anew(void **state)
{
	struct dht_reach *r = *state;

	know(r, "20.1", DHT_REACH_KNOWN, T0);
	dht_reach_tick(r, r->due);
	dht_reach_moved(r, T0 + 6 * MIN);
	assert_false(r->read_only);
	assert_true(r->due == CLOCK_NEVER);
	know(r, "20.1", DHT_REACH_KNOWN, T0 + 7 * MIN);
	assert_true(r->due == T0 + 7 * MIN + DHT_REACH_GRACE);
}

/* The busiest that the budget of queries allows: 60 a second. */
static void
many_that_were_asked_hide_few_strangers(void **state)
{
	struct dht_reach *r = *state;
	unsigned strangers = 0;

	for (unsigned i = 0; i < 18000; i++) {
		struct addr a = host("20.1", i);

		dht_reach_asked(r, &a, T0);
	}
	know(r, "21.1", DHT_REACH_KNOWN, T0);
	for (unsigned i = 0; i < 1000; i++) {
		int64_t now = T0 + i * CLOCK_MS;

		hear(r, "22.2", i, now);
		strangers += r->due == now + DHT_REACH_PROOF;
	}
	assert_true(strangers > 300);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(few_answers_conclude_nothing),
	    TEST(nodes_of_the_local_network_prove_nothing),
	    TEST(without_a_query_it_is_read_only_after_the_grace),
	    TEST(a_query_from_whom_we_asked_proves_nothing),
	    TEST(a_query_from_a_stranger_keeps_it_open),
	    TEST(who_was_asked_long_ago_is_a_stranger),
	    TEST(after_a_long_silence_nobody_is_remembered),
	    TEST(a_trial_lasts_for_the_grace),
	    TEST(a_mapped_port_is_open_until_it_is_lost),
	    TEST(with_another_address_it_begins_anew),
	    TEST(many_that_were_asked_hide_few_strangers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
