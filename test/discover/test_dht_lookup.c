#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "discover/dht_lookup.h"
#include "discover/dht_table.h"

#define T0 CLOCK_S

static const struct krpc_text no_token;

static int
setup(void **state)
{
	struct dht_id target = {{0}};

	*state = dht_lookup_new(&target);
	return *state ? 0 : -1;
}

static int
teardown(void **state)
{
	dht_lookup_free(*state);
	return 0;
}

/* A node at this distance from the target, by its first two bytes. */
static struct dht_node
node(unsigned distance)
{
	struct dht_node n = {0};
	char ip[32];

	n.id.raw[0] = (uint8_t)(distance >> 8);
	n.id.raw[1] = (uint8_t)distance;
	snprintf(ip, sizeof(ip), "10.%u.%u.1", distance >> 8 & 255,
		 distance & 255);
	assert_true(addr_parse(&n.addr, ip, 6881));
	return n;
}

static void
add(struct dht_lookup *l, unsigned distance, unsigned by)
{
	struct dht_node n = node(distance);

	assert_true(dht_lookup_add(l, &n, true, by));
}

static unsigned
distance_of(const struct dht_node *n)
{
	return (unsigned)n->id.raw[0] << 8 | n->id.raw[1];
}

static struct dht_lookup_query
expect_next(struct dht_lookup *l, int64_t now, unsigned distance)
{
	struct dht_lookup_query q;

	assert_true(dht_lookup_next(l, now, &q));
	assert_int_equal(distance_of(&q.node), distance);
	return q;
}

static void
expect_none(struct dht_lookup *l, int64_t now)
{
	struct dht_lookup_query q;

	assert_false(dht_lookup_next(l, now, &q));
}

static void
reply(struct dht_lookup *l, const struct dht_lookup_query *q)
{
	dht_lookup_replied(l, q->number, &q->node.id, no_token);
}

static void
the_closest_are_asked_first_a_few_at_a_time(void **state)
{
	for (unsigned d = 10; d > 0; d--)
		add(*state, d, 0);
	for (unsigned d = 1; d <= DHT_LOOKUP_ALPHA; d++)
		expect_next(*state, T0, d);
	expect_none(*state, T0);
}

static void
a_silent_node_makes_place_for_another(void **state)
{
	for (unsigned d = 1; d <= 10; d++)
		add(*state, d, 0);
	for (unsigned d = 1; d <= DHT_LOOKUP_ALPHA; d++)
		expect_next(*state, T0, d);
	expect_next(*state, T0 + DHT_LOOKUP_SHORT, DHT_LOOKUP_ALPHA + 1);
}

/* As most of them are on the way there. */
static void
silent_ones_that_are_farther_hold_up_nobody(void **state)
{
	unsigned asked = DHT_LOOKUP_ALPHA;

	for (unsigned d = 100; d < 100 + DHT_LOOKUP_ALPHA; d++)
		add(*state, d, 0);
	for (unsigned d = 100; d < 100 + DHT_LOOKUP_ALPHA; d++)
		expect_next(*state, T0, d);
	for (unsigned d = 90; d > 70; d -= 4) {
		for (unsigned i = 0; i < 4 && asked < DHT_LOOKUP_FLYING; i++) {
			add(*state, d - i, 0);
			expect_next(*state, T0, d - i);
			asked++;
		}
	}
	/* But no more than so many in all. */
	add(*state, 5, 0);
	expect_none(*state, T0);
}

/* Their answers would change nothing. */
static void
who_is_farther_than_enough_is_not_waited_for(void **state)
{
	struct dht_lookup_query near[DHT_K];

	add(*state, 500, 0);
	expect_next(*state, T0, 500);
	for (unsigned i = 0; i < DHT_K; i++) {
		add(*state, i + 1, 0);
		near[i] = expect_next(*state, T0, i + 1);
		assert_false(dht_lookup_done(*state, T0));
		reply(*state, &near[i]);
	}
	assert_true(dht_lookup_done(*state, T0));
}

static void
it_is_over_when_the_closest_have_answered(void **state)
{
	struct dht_lookup_query q;
	struct dht_lookup_result found[DHT_LOOKUP_RESULTS];

	for (unsigned d = 1; d <= 20; d++)
		add(*state, d, 0);
	for (unsigned d = 1; d <= DHT_K; d++) {
		assert_false(dht_lookup_done(*state, T0));
		q = expect_next(*state, T0, d);
		reply(*state, &q);
	}
	expect_none(*state, T0);
	assert_true(dht_lookup_done(*state, T0));
	assert_int_equal(dht_lookup_results(*state, found,
					    DHT_LOOKUP_RESULTS), DHT_K);
	assert_int_equal(distance_of(&found[0].node), 1);
}

static void
a_closer_one_that_is_named_later_is_asked_next(void **state)
{
	struct dht_lookup_query q;

	add(*state, 100, 0);
	add(*state, 200, 0);
	q = expect_next(*state, T0, 100);
	reply(*state, &q);
	add(*state, 7, q.number);
	expect_next(*state, T0, 7);
}

static void
one_that_failed_is_passed_over(void **state)
{
	struct dht_lookup_query q;

	for (unsigned d = 1; d <= 9; d++)
		add(*state, d, 0);
	q = expect_next(*state, T0, 1);
	dht_lookup_failed(*state, q.number);
	for (unsigned d = 2; d <= 9; d++) {
		q = expect_next(*state, T0, d);
		reply(*state, &q);
	}
	assert_true(dht_lookup_done(*state, T0));
}

static void
without_any_answer_it_waits_for_the_silent_ones(void **state)
{
	struct dht_lookup_query q;
	int64_t late = T0 + 2 * DHT_LOOKUP_SHORT;

	add(*state, 1, 0);
	q = expect_next(*state, T0, 1);
	assert_false(dht_lookup_done(*state, late));
	dht_lookup_failed(*state, q.number);
	assert_true(dht_lookup_done(*state, late));
}

static void
a_host_is_a_candidate_once(void **state)
{
	struct dht_node n = node(1);

	add(*state, 1, 0);
	assert_false(dht_lookup_add(*state, &n, true, 0));
	n.id.raw[5] = 1;
	assert_false(dht_lookup_add(*state, &n, true, 0));
	n = node(2);
	n.id = node(1).id;
	assert_false(dht_lookup_add(*state, &n, true, 0));
}

static void
a_network_is_a_candidate_three_times(void **state)
{
	struct dht_node n = node(1);

	for (unsigned i = 1; i <= 4; i++) {
		assert_true(addr_parse(&n.addr, "20.1.1.1", 6881));
		n.addr.ip[3] = (uint8_t)i;
		n.id.raw[9] = (uint8_t)i;
		assert_int_equal(dht_lookup_add(*state, &n, true, 0), i <= 3);
	}
}

static void
what_an_inventor_named_is_forgotten(void **state)
{
	struct dht_lookup_query q;
	unsigned liar;

	add(*state, 1000, 0);
	add(*state, 2000, 0);
	q = expect_next(*state, T0, 1000);
	liar = q.number;
	reply(*state, &q);
	for (unsigned d = 1; d <= DHT_K; d++)
		add(*state, d, liar);
	for (unsigned d = 1; d <= 4; d++) {
		q = expect_next(*state, T0, d);
		dht_lookup_slow(*state, q.number);
	}
	expect_next(*state, T0 + DHT_LOOKUP_SHORT, 2000);
}

static void
one_that_named_a_living_node_is_believed(void **state)
{
	struct dht_lookup_query q;
	unsigned namer;

	add(*state, 1000, 0);
	q = expect_next(*state, T0, 1000);
	namer = q.number;
	reply(*state, &q);
	for (unsigned d = 1; d <= DHT_K; d++)
		add(*state, d, namer);
	q = expect_next(*state, T0, 1);
	reply(*state, &q);
	for (unsigned d = 2; d <= 6; d++) {
		q = expect_next(*state, T0, d);
		dht_lookup_failed(*state, q.number);
	}
	expect_next(*state, T0, 7);
}

static void
an_address_without_id_gets_its_place_by_the_answer(void **state)
{
	struct dht_node n = node(5), blank = n;
	struct dht_lookup_result found[DHT_LOOKUP_RESULTS];
	struct dht_lookup_query q;

	memset(&blank.id, 0, sizeof(blank.id));
	assert_true(dht_lookup_add(*state, &blank, false, 0));
	add(*state, 9, 0);
	expect_next(*state, T0, 9);
	assert_true(dht_lookup_next(*state, T0, &q));
	assert_false(q.known);
	dht_lookup_replied(*state, q.number, &n.id, no_token);
	assert_int_equal(dht_lookup_results(*state, found, 1), 1);
	assert_true(dht_id_equal(&found[0].node.id, &n.id));
}

/* While nothing answers, bare addresses take turns with saved nodes. */
static void
bare_addresses_do_not_wait_behind_dead_nodes(void **state)
{
	struct dht_node blank = node(500);
	struct dht_lookup_query q;

	for (unsigned d = 1; d <= 60; d++)
		add(*state, d, 0);
	assert_true(dht_lookup_add(*state, &blank, false, 0));
	expect_next(*state, T0, 1);
	assert_true(dht_lookup_next(*state, T0, &q));
	assert_false(q.known);
}

static void
ids_that_are_not_granted_do_not_end_it(void **state)
{
	struct dht_lookup_query q;

	for (unsigned d = 1; d <= DHT_K; d++) {
		struct dht_node n = node(d);

		n.addr.ip[0] = 20;	/* not local: BEP 42 holds */
		assert_true(dht_lookup_add(*state, &n, true, 0));
	}
	for (unsigned d = 100; d < 100 + DHT_K; d++)
		add(*state, d, 0);
	for (unsigned d = 1; d <= DHT_K; d++) {
		q = expect_next(*state, T0, d);
		reply(*state, &q);
	}
	assert_false(dht_lookup_done(*state, T0));
	expect_next(*state, T0, 100);
}

/* Endless closer nodes, each of which answers and names closer ones. */
static void
it_ends_whatever_is_named(void **state)
{
	struct dht_lookup_query q;
	unsigned queries = 0, next = 60000;

	add(*state, next--, 0);
	while (dht_lookup_next(*state, T0, &q)) {
		assert_true(++queries <= DHT_LOOKUP_QUERIES);
		reply(*state, &q);
		for (int i = 0; i < 8; i++) {
			struct dht_node n = node(next--);

			(void)dht_lookup_add(*state, &n, true, q.number);
		}
	}
	assert_true(dht_lookup_done(*state, T0));
	assert_int_equal(queries, DHT_LOOKUP_QUERIES);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_closest_are_asked_first_a_few_at_a_time),
	    TEST(a_silent_node_makes_place_for_another),
	    TEST(silent_ones_that_are_farther_hold_up_nobody),
	    TEST(who_is_farther_than_enough_is_not_waited_for),
	    TEST(it_is_over_when_the_closest_have_answered),
	    TEST(a_closer_one_that_is_named_later_is_asked_next),
	    TEST(one_that_failed_is_passed_over),
	    TEST(without_any_answer_it_waits_for_the_silent_ones),
	    TEST(a_host_is_a_candidate_once),
	    TEST(a_network_is_a_candidate_three_times),
	    TEST(what_an_inventor_named_is_forgotten),
	    TEST(one_that_named_a_living_node_is_believed),
	    TEST(an_address_without_id_gets_its_place_by_the_answer),
	    TEST(bare_addresses_do_not_wait_behind_dead_nodes),
	    TEST(ids_that_are_not_granted_do_not_end_it),
	    TEST(it_ends_whatever_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
