#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "discover/dht_krpc.h"

#define ID "abcdefghij0123456789"
#define TARGET "mnopqrstuvwxyz123456"

static struct krpc m;		/* large, and one test runs at a time */

static int
take(const char *text)
{
	return krpc_read(&m, text, strlen(text), NULL);
}

static struct dht_id
id_of(const char *text)
{
	return dht_id_from((const uint8_t *)text);
}

static void
expect_id(const struct dht_id *id, const char *text)
{
	assert_memory_equal(id->raw, text, DHT_ID_SIZE);
}

/* Writes m, and asserts which bytes. */
static void
expect_written(const struct krpc *message, const char *text)
{
	struct buffer out;

	buffer_init(&out, KRPC_PACKET_MAX);
	assert_int_equal(krpc_write(&out, message), 0);
	assert_string_equal(buffer_text(&out), text);
	buffer_release(&out);
}

static struct krpc_text
bytes_of(const char *text)
{
	return (struct krpc_text){(const uint8_t *)text, strlen(text)};
}

/* The examples of BEP 5. */
static void
the_queries_of_the_specification_are_read(void **state)
{
	(void)state;
	assert_int_equal(take("d1:ad2:id20:" ID "e1:q4:ping1:t2:aa1:y1:qe"),
			 0);
	assert_int_equal(m.type, KRPC_QUERY);
	assert_int_equal(m.method, KRPC_PING);
	expect_id(&m.id, ID);
	assert_int_equal(m.transaction.size, 2);
	assert_memory_equal(m.transaction.at, "aa", 2);

	assert_int_equal(take("d1:ad2:id20:" ID "6:target20:" TARGET
			      "e1:q9:find_node1:t2:aa1:y1:qe"), 0);
	assert_int_equal(m.method, KRPC_FIND_NODE);
	expect_id(&m.target, TARGET);

	assert_int_equal(take("d1:ad2:id20:" ID "9:info_hash20:" TARGET
			      "e1:q9:get_peers1:t2:aa1:y1:qe"), 0);
	assert_int_equal(m.method, KRPC_GET_PEERS);
	expect_id(&m.target, TARGET);

	assert_int_equal(take("d1:ad2:id20:" ID "12:implied_porti1e9:info_hash"
			      "20:" TARGET "4:porti6881e5:token8:aoeusnthe"
			      "1:q13:announce_peer1:t2:aa1:y1:qe"), 0);
	assert_int_equal(m.method, KRPC_ANNOUNCE_PEER);
	assert_true(m.implied_port);
	assert_int_equal(m.port, 6881);
	assert_int_equal(m.token.size, 8);
}

static void
the_responses_of_the_specification_are_read(void **state)
{
	struct addr a;

	(void)state;
	assert_int_equal(take("d1:rd2:id20:" ID "5:token8:aoeusnth6:valuesl"
			      "6:axje.u6:idhtnmee1:t2:aa1:y1:re"), 0);
	assert_int_equal(m.type, KRPC_RESPONSE);
	assert_int_equal(m.value_count, 2);
	assert_true(addr_parse(&a, "97.120.106.101", '.' * 256 + 'u'));
	assert_true(addr_equal(&m.values[0], &a));
	assert_false(m.has_nodes);

	assert_int_equal(take("d1:rd2:id20:" ID "5:nodes26:" TARGET
			      "axje.u5:token8:aoeusnthe1:t2:aa1:y1:re"), 0);
	assert_true(m.has_nodes);
	assert_int_equal(m.node_count, 1);
	expect_id(&m.nodes[0].id, TARGET);
	assert_true(addr_equal(&m.nodes[0].addr, &a));
}

static void
the_error_of_the_specification_is_read(void **state)
{
	(void)state;
	assert_int_equal(take("d1:eli201e23:A Generic Error Ocurrede1:t2:aa"
			      "1:y1:ee"), 0);
	assert_int_equal(m.type, KRPC_ERROR);
	assert_int_equal(m.code, KRPC_GENERIC);
}

static void
want_read_only_and_external_are_read(void **state)
{
	(void)state;
	assert_int_equal(take("d1:ad2:id20:" ID "6:target20:" TARGET
			      "4:wantl2:n42:n6ee1:q9:find_node2:roi1e1:t2:aa"
			      "1:y1:qe"), 0);
	assert_int_equal(m.want, KRPC_WANT4 | KRPC_WANT6);
	assert_true(m.read_only);
	assert_int_equal(take("d2:ip6:\x08\x08\x04\x04\x01\x02"
			      "1:rd2:id20:" ID "e1:t1:a1:y1:re"), 0);
	assert_int_equal(m.external.ip[2], 4);
	assert_int_equal(m.external.port, 0x102);
}

static void
nodes6_and_mixed_values_are_read(void **state)
{
	(void)state;
	assert_int_equal(take("d1:rd2:id20:" ID "6:nodes638:" TARGET
			      "\x20\x01xxxxxxxxxxxxxx\x01\x01"
			      "6:valuesl6:aaaaaa18:\x20\x01xxxxxxxxxxxxxxbb"
			      "5:shorti4eee1:t2:aa1:y1:re"), 0);
	assert_int_equal(m.node6_count, 1);
	assert_int_equal(m.nodes6[0].addr.family, AF_INET6);
	assert_int_equal(m.value_count, 2);
	assert_int_equal(m.values[1].family, AF_INET6);
}

static void
addresses_that_cannot_be_are_left_out(void **state)
{
	(void)state;
	assert_int_equal(take("d1:rd2:id20:" ID "5:nodes52:" TARGET
			      "\xe0jjj.u" TARGET "ajjj.u6:valuesl6:\xff\xff"
			      "jj.uee1:t2:aa1:y1:re"), 0);
	assert_int_equal(m.node_count, 1);
	assert_int_equal(m.nodes[0].addr.ip[0], 'a');
	assert_int_equal(m.value_count, 0);
}

/* A list as long as a packet allows fills the array and no more. */
static void
long_lists_are_cut(void **state)
{
	char text[KRPC_INCOMING_MAX + 1];
	int n = snprintf(text, sizeof(text),
			 "d1:rd2:id20:" ID "5:nodes%d:", 26 * 30);

	(void)state;
	for (int i = 0; i < 30; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s",
			      TARGET "axje.u");
	n += snprintf(text + n, sizeof(text) - (size_t)n, "6:valuesl");
	for (int i = 0; i < 120; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "6:axje.u");
	snprintf(text + n, sizeof(text) - (size_t)n, "ee1:t2:aa1:y1:re");
	assert_int_equal(take(text), 0);
	assert_int_equal(m.node_count, KRPC_NODES_MAX);
	assert_int_equal(m.value_count, 120);
}

static void
what_is_no_message_is_refused(void **state)
{
	static const char *const bad[] = {
	    "", "x", "i1e", "le", "de", "d1:y1:qe",
	    "d1:t2:aa1:y1:xe",				/* no such type */
	    "d1:q4:ping1:t2:aa1:y1:qe",			/* no arguments */
	    "d1:ad2:id4:abcde1:q4:ping1:t2:aa1:y1:qe",	/* a short id */
	    "d1:ad2:id20:" ID "e1:q9:get_peers1:t2:aa1:y1:qe",
	    "d1:ad2:id20:" ID "e1:q4:ping1:t0:1:y1:qe",	/* no transaction */
	    "d1:rd2:id3:abce1:t2:aa1:y1:re",
	    "d1:t2:aa1:t2:bb1:y1:ee",			/* twice */
	    "d1:ad2:id20:" ID "9:info_hash20:" TARGET "4:porti0e5:token1:a"
	    "e1:q13:announce_peer1:t2:aa1:y1:qe",
	    "d1:ad2:id20:" ID "9:info_hash20:" TARGET "4:porti80ee"
	    "1:q13:announce_peer1:t2:aa1:y1:qe",	/* no token */
	    "d1:ad2:id20:" ID "9:info_hash20:" TARGET "4:porti65536e5:token"
	    "1:ae1:q13:announce_peer1:t2:aa1:y1:qe",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(take(bad[i]), -1);
}

static void
a_bad_query_says_whom_to_answer(void **state)
{
	(void)state;
	assert_int_equal(take("d1:q4:ping1:t2:aa1:y1:qe"), -1);
	assert_int_equal(m.type, KRPC_QUERY);
	assert_int_equal(m.transaction.size, 2);
	assert_int_equal(take("d1:q4:ping1:y1:qe"), -1);
	assert_int_equal(m.transaction.size, 0);
}

static void
an_unknown_query_is_told_as_such(void **state)
{
	(void)state;
	assert_int_equal(take("d1:ad2:id20:" ID "6:target20:" TARGET
			      "e1:q6:sample1:t2:aa1:y1:qe"), 0);
	assert_int_equal(m.method, KRPC_UNKNOWN);
}

static void
long_tokens_and_transactions_are_not_kept(void **state)
{
	char text[400];

	(void)state;
	snprintf(text, sizeof(text), "d1:rd2:id20:" ID "5:token65:%065de"
		 "1:t2:aa1:y1:re", 0);
	assert_int_equal(take(text), 0);
	assert_int_equal(m.token.size, 0);
	snprintf(text, sizeof(text), "d1:rd2:id20:" ID "e1:t33:%033d1:y1:re",
		 0);
	assert_int_equal(take(text), -1);
}

static void
queries_are_written_in_the_order_of_keys(void **state)
{
	struct krpc q = {.type = KRPC_QUERY, .transaction = bytes_of("aa")};

	(void)state;
	q.id = id_of(ID);
	q.target = id_of(TARGET);
	expect_written(&q, "d1:ad2:id20:" ID "e1:q4:ping1:t2:aa1:v4:bg011:y1:"
			   "qe");
	q.method = KRPC_FIND_NODE;
	q.read_only = true;
	q.want = KRPC_WANT4 | KRPC_WANT6;
	expect_written(&q, "d1:ad2:id20:" ID "6:target20:" TARGET
			   "4:wantl2:n42:n6ee1:q9:find_node2:roi1e1:t2:aa"
			   "1:v4:bg011:y1:qe");
	q.method = KRPC_ANNOUNCE_PEER;
	q.port = 6881;
	q.seed = true;
	q.read_only = false;
	q.token = bytes_of("tok");
	expect_written(&q, "d1:ad2:id20:" ID "9:info_hash20:" TARGET
			   "4:porti6881e4:seedi1e5:token3:toke1:q13:"
			   "announce_peer1:t2:aa1:v4:bg011:y1:qe");
}

static void
responses_and_errors_are_written(void **state)
{
	static struct krpc r;

	(void)state;
	r.type = KRPC_RESPONSE;
	r.transaction = bytes_of("aa");
	r.id = id_of(ID);
	r.has_nodes = true;
	r.node_count = 1;
	r.nodes[0].id = id_of(TARGET);
	assert_true(addr_parse(&r.nodes[0].addr, "97.120.106.101", 11893));
	r.token = bytes_of("tok");
	r.value_count = 1;
	r.values[0] = r.nodes[0].addr;
	r.external = r.nodes[0].addr;
	expect_written(&r, "d2:ip6:axje.u1:rd2:id20:" ID "5:nodes26:" TARGET
			   "axje.u5:token3:tok6:valuesl6:axje.uee1:t2:aa"
			   "1:v4:bg011:y1:re");
	r.external.family = 0;
	r.type = KRPC_ERROR;
	r.code = KRPC_METHOD_UNKNOWN;
	expect_written(&r, "d1:eli204e14:method unknowne1:t2:aa1:v4:bg01"
			   "1:y1:ee");
}

/* Both lists of nodes and as many peers as we ever send, with the longest
 * transaction: within BEP 32's bound. */
static void
the_fullest_response_fits_into_a_packet(void **state)
{
	static struct krpc r;
	struct buffer out;

	(void)state;
	for (int family = 0; family < 2; family++) {
		const char *ip = family == 0 ? "8.8.8.8" : "2001::1";

		r.type = KRPC_RESPONSE;
		r.transaction = bytes_of("01234567890123456789012345678901");
		r.token = bytes_of("12345678");
		r.has_nodes = true;
		r.has_nodes6 = true;
		r.node_count = KRPC_SEND_NODES;
		r.node6_count = KRPC_SEND_NODES;
		for (size_t i = 0; i < KRPC_SEND_NODES; i++) {
			assert_true(
			    addr_parse(&r.nodes[i].addr, "8.8.8.8", 1));
			assert_true(
			    addr_parse(&r.nodes6[i].addr, "2001::1", 1));
		}
		r.value_count = family == 0 ? KRPC_SEND_VALUES4
					    : KRPC_SEND_VALUES6;
		for (size_t i = 0; i < r.value_count; i++)
			assert_true(addr_parse(&r.values[i], ip, 1));
		assert_true(addr_parse(&r.external, "2001::1", 1));
		buffer_init(&out, KRPC_PACKET_MAX);
		assert_int_equal(krpc_write(&out, &r), 0);
		buffer_release(&out);
	}
}

static void
the_fullest_scrape_fits_into_a_packet(void **state)
{
	static const uint8_t bloom[DHT_BLOOM_SIZE];
	static struct krpc r;
	struct buffer out;

	(void)state;
	r.type = KRPC_RESPONSE;
	r.transaction = bytes_of("01234567890123456789012345678901");
	r.token = bytes_of("12345678");
	r.seeds = r.peers = (struct krpc_text){bloom, sizeof(bloom)};
	r.has_nodes = r.has_nodes6 = true;
	r.node_count = r.node6_count = KRPC_SCRAPE_NODES;
	for (size_t i = 0; i < KRPC_SCRAPE_NODES; i++) {
		assert_true(addr_parse(&r.nodes[i].addr, "8.8.8.8", 1));
		assert_true(addr_parse(&r.nodes6[i].addr, "2001::1", 1));
	}
	for (int family = 0; family < 2; family++) {
		const char *ip = family == 0 ? "8.8.8.8" : "2001::1";

		r.value_count = family == 0 ? KRPC_SCRAPE_VALUES4
					    : KRPC_SCRAPE_VALUES6;
		for (size_t i = 0; i < r.value_count; i++)
			assert_true(addr_parse(&r.values[i], ip, 1));
		assert_true(addr_parse(&r.external, ip, 1));
		buffer_init(&out, KRPC_PACKET_MAX);
		assert_int_equal(krpc_write(&out, &r), 0);
		buffer_release(&out);
	}
}

static void
a_scrape_is_asked_for_with_get_peers_alone(void **state)
{
	struct krpc q = {.type = KRPC_QUERY, .method = KRPC_GET_PEERS,
			 .transaction = bytes_of("aa"), .scrape = true};

	(void)state;
	q.id = id_of(ID);
	q.target = id_of(TARGET);
	expect_written(&q, "d1:ad2:id20:" ID "9:info_hash20:" TARGET
			   "6:scrapei1ee1:q9:get_peers1:t2:aa1:v4:bg01"
			   "1:y1:qe");
	assert_int_equal(take("d1:ad2:id20:" ID "9:info_hash20:" TARGET
			      "6:scrapei1ee1:q9:get_peers1:t2:aa1:y1:qe"), 0);
	assert_true(m.scrape);
	assert_int_equal(take("d1:ad2:id20:" ID "6:scrapei1e6:target20:"
			      TARGET "e1:q9:find_node1:t2:aa1:y1:qe"), 0);
	assert_false(m.scrape);
}

static void
a_filter_of_another_size_is_none(void **state)
{
	char text[600];

	(void)state;
	snprintf(text, sizeof(text), "d1:rd4:BFpe256:%0256d4:BFsd255:%0255d"
		 "2:id20:" ID "e1:t2:aa1:y1:re", 0, 0);
	assert_int_equal(take(text), 0);
	assert_int_equal(m.peers.size, DHT_BLOOM_SIZE);
	assert_int_equal(m.seeds.size, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_queries_of_the_specification_are_read),
	    cmocka_unit_test(the_responses_of_the_specification_are_read),
	    cmocka_unit_test(the_error_of_the_specification_is_read),
	    cmocka_unit_test(want_read_only_and_external_are_read),
	    cmocka_unit_test(nodes6_and_mixed_values_are_read),
	    cmocka_unit_test(addresses_that_cannot_be_are_left_out),
	    cmocka_unit_test(long_lists_are_cut),
	    cmocka_unit_test(what_is_no_message_is_refused),
	    cmocka_unit_test(a_bad_query_says_whom_to_answer),
	    cmocka_unit_test(an_unknown_query_is_told_as_such),
	    cmocka_unit_test(long_tokens_and_transactions_are_not_kept),
	    cmocka_unit_test(queries_are_written_in_the_order_of_keys),
	    cmocka_unit_test(responses_and_errors_are_written),
	    cmocka_unit_test(the_fullest_response_fits_into_a_packet),
	    cmocka_unit_test(the_fullest_scrape_fits_into_a_packet),
	    cmocka_unit_test(a_scrape_is_asked_for_with_get_peers_alone),
	    cmocka_unit_test(a_filter_of_another_size_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
