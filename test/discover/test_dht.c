#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "discover/dht.h"
#include "discover/dht_krpc.h"
#include "../../src/discover/dht_parts.h"

#define T0 (100 * CLOCK_S)
#define MIN (60 * CLOCK_S)
#define SENT_MAX 4096

struct sent {
	struct addr to;
	size_t size;
	uint8_t data[KRPC_PACKET_MAX];
};

/* The engine under test; what it sends is kept. */
struct fixture {
	struct dht *dht;
	int64_t now;
	size_t count;
	size_t read;		/* of these, seen by the test */
	uint64_t seed;
	size_t found;
	struct addr peer;	/* the last that was found */
	size_t values;		/* peers that each node names, from here on */
	struct addr value;
	struct addr us;		/* as each node sees us */
	int64_t asked;		/* for peers, the last time */
	unsigned looks;		/* lookups for peers, that are apart */
	bool tokens;		/* nodes of both networks give some */
	uint16_t announced[2];	/* ports, over IPv4 and IPv6 */
	struct krpc in;
	struct krpc out;
	struct sent sent[SENT_MAX];
};

static void
keep(void *ctx, const struct addr *to, const void *data, size_t n)
{
	struct fixture *f = ctx;

	assert_true(f->count < SENT_MAX && n <= KRPC_PACKET_MAX);
	f->sent[f->count].to = *to;
	f->sent[f->count].size = n;
	memcpy(f->sent[f->count++].data, data, n);
}

static void
take_peers(void *ctx, const uint8_t info_hash[20], const struct addr *peers,
	   size_t n)
{
	struct fixture *f = ctx;

	(void)info_hash;
	f->found += n;
	f->peer = peers[n - 1];
}

static void
fill(void *ctx, void *out, size_t n)
{
	struct fixture *f = ctx;

	for (size_t i = 0; i < n; i++) {
		f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)out)[i] = (uint8_t)(f->seed >> 40);
	}
}

static struct fixture *
make(bool ipv6)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct dht_config config = {.ctx = f, .send = keep,
				    .peers = take_peers, .random = fill,
				    .ipv4 = true, .ipv6 = ipv6};

	assert_non_null(f);
	f->now = T0;
	f->values = 1;
	assert_true(addr_parse(&f->value, "30.1.2.3", 4000));
	f->dht = dht_new(&config, f->now);
	assert_non_null(f->dht);
	return f;
}

static int
setup(void **state)
{
	*state = make(false);
	return 0;
}

static int
setup_both(void **state)
{
	*state = make(true);
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	dht_free(f->dht);
	free(f);
	return 0;
}

static struct addr
at(const char *ip, uint16_t port)
{
	struct addr a;

	assert_true(addr_parse(&a, ip, port));
	return a;
}

/* Host i, in a network of its own, and the id of its node. */
static struct dht_node
node(unsigned i)
{
	struct dht_node n = {0};
	char ip[32];

	snprintf(ip, sizeof(ip), "20.%u.%u.1", i / 250, i % 250);
	n.addr = at(ip, 6881);
	for (size_t j = 0; j < DHT_ID_SIZE; j++)
		n.id.raw[j] = (uint8_t)(i * 37 + j * 11);
	return n;
}

/* Lets time pass, tick by tick as they are due. */
static void
pass(struct fixture *f, int64_t time)
{
	int64_t end = f->now + time;

	while (dht_due(f->dht) <= end) {
		if (dht_due(f->dht) > f->now)
			f->now = dht_due(f->dht);
		dht_tick(f->dht, f->now);
		assert_true(dht_due(f->dht) > f->now);
	}
	f->now = end;
}

static void
receive(struct fixture *f, const struct addr *from, const struct krpc *m)
{
	struct buffer out;

	buffer_init(&out, KRPC_INCOMING_MAX);
	assert_int_equal(krpc_write(&out, m), 0);
	dht_packet(f->dht, from, out.data, out.used, f->now);
	buffer_release(&out);
}

/* The next packet that was sent, in f->in; NULL when there is none. */
static const struct addr *
next(struct fixture *f)
{
	struct sent *s = &f->sent[f->read];

	if (f->read == f->count)
		return NULL;
	f->read++;
	assert_int_equal(krpc_read(&f->in, s->data, s->size, NULL), 0);
	return &s->to;
}

static const struct addr *
next_of(struct fixture *f, enum krpc_method method)
{
	const struct addr *to;

	while ((to = next(f)))
		if (f->in.type == KRPC_QUERY && f->in.method == method)
			return to;
	return NULL;
}

/* A response to the query in f->in, empty but for the id. */
static struct krpc *
response(struct fixture *f, const struct dht_id *id)
{
	memset(&f->out, 0, offsetof(struct krpc, nodes));
	f->out.type = KRPC_RESPONSE;
	f->out.transaction = f->in.transaction;
	f->out.id = *id;
	return &f->out;
}

static struct krpc *
query(struct fixture *f, enum krpc_method method, const struct dht_id *id)
{
	memset(&f->out, 0, offsetof(struct krpc, nodes));
	f->out.method = method;
	f->out.transaction = (struct krpc_text){(const uint8_t *)"tt", 2};
	f->out.id = *id;
	memset(&f->out.target, 0x77, sizeof(f->out.target));
	return &f->out;
}

/* In the answer to a node's being asked for peers. */
static void
name_values(struct fixture *f, struct krpc *m)
{
	f->looks += f->looks == 0 || f->now - f->asked > 20 * CLOCK_S;
	f->asked = f->now;
	m->value_count = f->values;
	for (size_t i = 0; i < f->values; i++) {
		m->values[i] = f->value;
		m->values[i].port = (uint16_t)(f->value.port + i);
	}
}

/* Answers every query that was sent, as the node it was sent to: node i
 * names the nodes up to `known`.  Returns how many. */
static unsigned
answer_all(struct fixture *f, unsigned known)
{
	const struct addr *to;
	unsigned n = 0;

	while ((to = next(f))) {
		struct addr from = *to;
		unsigned i = from.ip[1] * 250u + from.ip[2];
		struct dht_node self = node(i);
		struct krpc *m = response(f, &self.id);

		if (f->in.type != KRPC_QUERY || from.family != AF_INET)
			continue;
		m->has_nodes = true;
		for (unsigned j = 0; j < KRPC_SEND_NODES && i + j < known; j++)
			m->nodes[m->node_count++] = node(i + j + 1);
		if (f->in.method == KRPC_GET_PEERS) {
			m->token = (struct krpc_text){(const uint8_t *)"tok",
						      3};
			name_values(f, m);
		}
		m->external = f->us;
		receive(f, &from, m);
		n++;
	}
	return n;
}

/* Gets the engine into a network of so many nodes. */
static void
enter(struct fixture *f, unsigned nodes)
{
	struct dht_node first = node(1);

	dht_add_node(f->dht, &first.addr, f->now);
	pass(f, CLOCK_S / 10);
	while (answer_all(f, nodes) > 0)
		pass(f, CLOCK_S / 10);
}

static struct dht_stats
stats(struct fixture *f)
{
	struct dht_stats s;

	dht_get_stats(f->dht, f->now, &s);
	return s;
}

static void
nothing_is_sent_before_it_is_told_whom_to_ask(void **state)
{
	struct fixture *f = *state;

	pass(f, 60 * MIN);
	assert_int_equal(f->count, 0);
	assert_true(dht_lonely(f->dht, f->now));
}

static void
one_address_is_enough_to_get_in(void **state)
{
	struct fixture *f = *state;

	enter(f, 30);
	assert_true(stats(f).good >= 8);
	assert_false(dht_lonely(f->dht, f->now));
}

static void
silent_entrances_leave_it_lonely_and_are_tried_again(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(1);

	dht_add_node(f->dht, &n.addr, f->now);
	pass(f, CLOCK_S);
	assert_int_equal(f->count, 1);
	assert_false(dht_lonely(f->dht, f->now));
	pass(f, 5 * CLOCK_S);
	assert_true(dht_lonely(f->dht, f->now));
	pass(f, MIN);
	assert_true(f->count > 1);
	assert_true(f->count < 16);
}

static void
what_was_lost_on_the_way_in_is_asked_again(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(1);

	dht_add_node(f->dht, &n.addr, f->now);
	pass(f, CLOCK_S);
	assert_int_equal(f->count, 1);
	f->read = f->count;
	pass(f, CLOCK_S);
	assert_true(answer_all(f, 1) > 0);
	assert_int_equal(stats(f).nodes, 1);
	f->read = f->count;
	pass(f, CLOCK_S);
	assert_true(next_of(f, KRPC_FIND_NODE));
}

static void
a_search_finds_peers_and_announces_us(void **state)
{
	struct fixture *f = *state;
	struct dht_wish wish = {.info_hash = {9, 9, 9}, .port = 6999,
				.seed = true};
	unsigned announced = 0;

	enter(f, 30);
	f->read = f->count;
	assert_int_equal(dht_search(f->dht, &wish, f->now), 0);
	pass(f, CLOCK_S / 10);
	while (stats(f).lookups > 0) {
		assert_true(answer_all(f, 30) > 0);
		pass(f, CLOCK_S / 10);
	}
	assert_true(f->found >= 8);
	assert_int_equal(f->peer.port, 4000);
	f->read = 0;
	while (next_of(f, KRPC_ANNOUNCE_PEER)) {
		assert_int_equal(f->in.port, 6999);
		assert_false(f->in.implied_port);
		assert_true(f->in.seed);
		assert_int_equal(f->in.token.size, 3);
		assert_memory_equal(f->in.target.raw, wish.info_hash, 20);
		announced++;
	}
	assert_in_range(announced, 8, 16);
}

/* A second of answers: those nodes below `empty` know nobody and no peers,
 * those below `silent` do not even say so; the others have a peer. */
static void
a_second(struct fixture *f, unsigned silent, unsigned empty)
{
	for (int i = 0; i < 10; i++) {
		const struct addr *to;

		pass(f, CLOCK_S / 10);
		while ((to = next(f))) {
			struct addr from = *to;
			unsigned which = from.ip[1] * 250u + from.ip[2];
			struct dht_node self = node(which);
			struct krpc *m = response(f, &self.id);

			if (f->in.type != KRPC_QUERY || which < silent)
				continue;
			if (f->in.method == KRPC_GET_PEERS && which >= empty) {
				m->value_count = 1;
				m->values[0] = at("30.1.2.3", 4000);
			}
			receive(f, &from, m);
		}
	}
}

static void
one_entrance_does_not_decide(void **state, unsigned silent, unsigned empty,
			     int64_t between)
{
	struct fixture *f = *state;
	struct dht_wish wish = {.info_hash = {9, 9, 9}, .port = 6999};
	struct dht_node first = node(1), second = node(2);

	assert_int_equal(dht_search(f->dht, &wish, f->now), 0);
	pass(f, CLOCK_S);
	dht_add_node(f->dht, &first.addr, f->now);
	if (between > 0)
		pass(f, between);
	dht_add_node(f->dht, &second.addr, f->now);
	a_second(f, silent, empty);
	assert_true(f->found > 0);
}

static void
a_silent_entrance_delays_nobody(void **state)
{
	one_entrance_does_not_decide(state, 2, 2, 0);
}

static void
an_entrance_that_knows_nobody_delays_nobody(void **state)
{
	one_entrance_does_not_decide(state, 0, 2, 0);
}

static void
the_second_entrance_comes_to_a_search_that_runs(void **state)
{
	one_entrance_does_not_decide(state, 2, 2, CLOCK_S / 5);
}

/* Lets time pass in a network of 30 nodes; so many times are they asked for
 * peers. */
static unsigned
looks_in(struct fixture *f, int64_t time)
{
	int64_t end = f->now + time;

	f->looks = 0;
	while (f->now < end) {
		pass(f, 2 * CLOCK_S);
		answer_all(f, 30);
		f->count = f->read = 0;
	}
	return f->looks;
}

static void
look(struct fixture *f, uint16_t port)
{
	struct dht_wish wish = {.info_hash = {9, 9, 9}, .port = port};

	enter(f, 30);
	assert_int_equal(dht_search(f->dht, &wish, f->now), 0);
}

static void
a_search_comes_again_after_fifteen_minutes(void **state)
{
	struct fixture *f = *state;

	f->values = 8;
	look(f, 6999);
	assert_int_equal(looks_in(f, 14 * MIN), 1);
	assert_true(f->found >= 8);
	assert_int_equal(looks_in(f, 4 * MIN), 1);
}

/* After 30 s, 1 min, 2, 4, 8. */
static void
our_own_announcement_is_no_news(void **state)
{
	struct fixture *f = *state;

	f->us = f->value = at("40.1.2.3", 6999);
	f->us.port = 1024;
	f->values = 0;
	look(f, 6999);
	assert_int_equal(looks_in(f, 20 * CLOCK_S), 1);
	f->values = 1;
	assert_int_equal(looks_in(f, 17 * MIN), 5);
}

static void
a_peer_that_is_there_each_time_is_no_news(void **state)
{
	struct fixture *f = *state;

	look(f, 6999);
	assert_int_equal(looks_in(f, 17 * MIN), 6);
}

static void
a_peer_that_was_not_there_before_is_news(void **state)
{
	struct fixture *f = *state;

	f->values = 0;
	look(f, 6999);
	assert_int_equal(looks_in(f, 45 * CLOCK_S), 2);
	f->values = 1;
	assert_int_equal(looks_in(f, 15 * MIN), 1);
}

#define MANY 600

/* Answers what was sent, without peers, and notes when each search asked. */
static void
answer_searches(struct fixture *f, int64_t asked[])
{
	const struct addr *to;

	while ((to = next(f))) {
		struct addr from = *to;
		struct dht_node self = node(from.ip[1] * 250u + from.ip[2]);

		if (f->in.type != KRPC_QUERY)
			continue;
		if (f->in.method == KRPC_GET_PEERS)
			asked[get_u16(f->in.target.raw)] = f->now;
		receive(f, &from, response(f, &self.id));
	}
	f->count = f->read = 0;
}

/* Those of hundreds that found nobody leave others their first turn. */
static void
each_search_has_its_turn(void **state)
{
	struct fixture *f = *state;
	struct dht_wish wish = {.port = 6999};
	int64_t asked[MANY] = {0};
	size_t begun = 0;

	enter(f, 30);
	f->count = f->read = 0;
	for (uint16_t i = 0; i < MANY; i++) {
		put_u16(wish.info_hash, i);
		assert_int_equal(dht_search(f->dht, &wish, f->now), 0);
	}
	for (int i = 0; begun < MANY && i < 6000; i++) {
		int64_t before[MANY];

		memcpy(before, asked, sizeof(before));
		pass(f, CLOCK_S / 10);
		answer_searches(f, asked);
		for (size_t k = 0; k < MANY; k++) {
			begun += before[k] == 0 && asked[k] != 0;
			/* So long after, it is another time. */
			assert_true(before[k] == 0 ||
				    asked[k] - before[k] < 20 * CLOCK_S);
		}
	}
	assert_int_equal(begun, MANY);
}

/* Host i, as node() has it, in the other network. */
static struct dht_node
node6(unsigned i)
{
	struct dht_node n = node(i);
	char ip[40];

	snprintf(ip, sizeof(ip), "2a00:%x::1", i);
	n.addr = at(ip, 6881);
	return n;
}

/* The same for both networks; who is asked names nodes of the other one. */
static void
answer_both(struct fixture *f, int64_t asked[2][MANY])
{
	const struct addr *to;

	while ((to = next(f))) {
		struct addr from = *to;
		bool six = from.family == AF_INET6;
		unsigned i = six ? get_u16(from.ip + 2)
				 : from.ip[1] * 250u + from.ip[2];
		struct dht_node self = node(i);
		struct krpc *m = response(f, &self.id);

		if (f->in.type != KRPC_QUERY)
			continue;
		if (f->in.method == KRPC_GET_PEERS)
			asked[six][get_u16(f->in.target.raw)] = f->now;
		if (f->in.method == KRPC_GET_PEERS && f->tokens)
			m->token = (struct krpc_text){(const uint8_t *)"tok",
						      3};
		if (f->in.method == KRPC_ANNOUNCE_PEER)
			f->announced[six] = f->in.port;
		m->has_nodes = m->has_nodes6 = true;
		for (unsigned j = 1; j <= 8; j++) {
			unsigned k = (i + j) % 30 + 1;

			m->nodes[m->node_count++] = node(k);
			m->nodes6[m->node6_count++] = node6(k);
		}
		receive(f, &from, m);
	}
	f->count = f->read = 0;
}

/* Those of one network that found nobody leave the other one its turn. */
static void
both_networks_are_searched(void **state)
{
	struct fixture *f = *state;
	struct dht_wish wish = {.port = 6999};
	struct dht_node first = node(1), first6 = node6(1);
	int64_t asked[2][MANY] = {{0}};
	size_t begun = 0;

	dht_add_node(f->dht, &first.addr, f->now);
	dht_add_node(f->dht, &first6.addr, f->now);
	for (int i = 0; i < 300; i++) {
		pass(f, CLOCK_S / 10);
		answer_both(f, asked);
	}
	for (uint16_t i = 0; i < MANY; i++) {
		put_u16(wish.info_hash, i);
		assert_int_equal(dht_search(f->dht, &wish, f->now), 0);
	}
	for (int i = 0; begun < 2 * (size_t)MANY && i < 6000; i++) {
		pass(f, CLOCK_S / 10);
		answer_both(f, asked);
		begun = 0;
		for (size_t k = 0; k < MANY; k++)
			begun += (size_t)(asked[0][k] != 0) +
				 (size_t)(asked[1][k] != 0);
	}
	assert_int_equal(begun, 2 * MANY);
}

static void
each_network_hears_of_its_port(void **state)
{
	struct fixture *f = *state;
	struct dht_wish wish = {.port = 6999, .port6 = 6881};
	struct dht_node first = node(1), first6 = node6(1);
	int64_t asked[2][MANY] = {{0}};

	f->tokens = true;
	dht_add_node(f->dht, &first.addr, f->now);
	dht_add_node(f->dht, &first6.addr, f->now);
	assert_int_equal(dht_search(f->dht, &wish, f->now), 0);
	for (int i = 0; i < 300; i++) {
		pass(f, CLOCK_S / 10);
		answer_both(f, asked);
	}
	assert_int_equal(f->announced[0], 6999);
	assert_int_equal(f->announced[1], 6881);
}

static void
nothing_more_is_sent_for_a_search_that_was_stopped(void **state)
{
	struct fixture *f = *state;
	struct dht_wish wish = {.info_hash = {9}, .port = 6999};

	enter(f, 30);
	dht_search(f->dht, &wish, f->now);
	pass(f, CLOCK_S / 10);
	dht_stop_search(f->dht, wish.info_hash);
	f->read = f->count;
	pass(f, 5 * MIN);
	assert_null(next_of(f, KRPC_GET_PEERS));
	assert_int_equal(stats(f).searches, 0);
}

static void
queries_are_answered(void **state)
{
	struct fixture *f = *state;
	struct dht_node asks = node(200);

	enter(f, 30);
	f->read = f->count;
	receive(f, &asks.addr, query(f, KRPC_PING, &asks.id));
	assert_non_null(next(f));
	assert_int_equal(f->in.type, KRPC_RESPONSE);
	assert_memory_equal(f->in.transaction.at, "tt", 2);
	assert_true(addr_equal(&f->in.external, &asks.addr));
	receive(f, &asks.addr, query(f, KRPC_FIND_NODE, &asks.id));
	assert_non_null(next(f));
	assert_int_equal(f->in.node_count, 8);
	receive(f, &asks.addr, query(f, KRPC_GET_PEERS, &asks.id));
	assert_non_null(next(f));
	assert_int_equal(f->in.node_count, 8);
	assert_int_equal(f->in.token.size, 8);
	assert_int_equal(f->in.value_count, 0);
}

/* Asks for a token, and returns it in out. */
static void
get_token(struct fixture *f, const struct dht_node *n, uint8_t out[8])
{
	f->read = f->count;
	receive(f, &n->addr, query(f, KRPC_GET_PEERS, &n->id));
	assert_non_null(next(f));
	assert_int_equal(f->in.token.size, 8);
	memcpy(out, f->in.token.at, 8);
}

/* Announces port 5000 with a token; the type of the answer. */
static enum krpc_type
announce(struct fixture *f, const struct dht_node *n, const uint8_t token[8])
{
	struct krpc *m = query(f, KRPC_ANNOUNCE_PEER, &n->id);

	m->port = 5000;
	m->token = (struct krpc_text){token, 8};
	f->read = f->count;
	receive(f, &n->addr, m);
	assert_non_null(next(f));
	return f->in.type;
}

static void
who_announces_with_a_token_is_handed_on(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(200), other = node(201);
	struct addr a = n.addr;
	uint8_t token[8];

	get_token(f, &n, token);
	assert_int_equal(announce(f, &n, token), KRPC_RESPONSE);
	f->read = f->count;
	receive(f, &other.addr, query(f, KRPC_GET_PEERS, &other.id));
	assert_non_null(next(f));
	assert_int_equal(f->in.value_count, 1);
	a.port = 5000;
	assert_true(addr_equal(&f->in.values[0], &a));
}

static void
a_scrape_is_answered_with_filters(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(200), other = node(201);
	uint8_t token[8], wanted[DHT_BLOOM_SIZE] = {0};
	static const uint8_t nobody[DHT_BLOOM_SIZE];
	struct krpc *m;

	enter(f, 30);
	m = query(f, KRPC_GET_PEERS, &other.id);
	m->scrape = true;
	f->read = f->count;
	receive(f, &other.addr, m);
	assert_non_null(next(f));
	assert_int_equal(f->in.peers.size, 0);	/* nothing is known of it */
	assert_int_equal(f->in.node_count, 8);
	get_token(f, &n, token);
	m = query(f, KRPC_ANNOUNCE_PEER, &n.id);
	m->port = 5000;
	m->seed = true;
	m->token = (struct krpc_text){token, 8};
	receive(f, &n.addr, m);
	m = query(f, KRPC_GET_PEERS, &other.id);
	m->scrape = true;
	f->read = f->count;
	receive(f, &other.addr, m);
	assert_non_null(next(f));
	dht_bloom_add(wanted, &n.addr);
	assert_int_equal(f->in.seeds.size, sizeof(wanted));
	assert_memory_equal(f->in.seeds.at, wanted, sizeof(wanted));
	assert_memory_equal(f->in.peers.at, nobody, sizeof(nobody));
	assert_int_equal(f->in.value_count, 1);
	assert_int_equal(f->in.token.size, 8);
	assert_true(f->in.node_count > 0);
}

/* A torrent of ours: its peer came to us by itself. */
static void
who_announces_what_we_search_is_found(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(200);
	struct dht_wish wish = {.port = 6999};
	uint8_t token[8];

	memset(wish.info_hash, 0x77, sizeof(wish.info_hash));
	dht_search(f->dht, &wish, f->now);
	get_token(f, &n, token);
	assert_int_equal(announce(f, &n, token), KRPC_RESPONSE);
	assert_int_equal(f->found, 1);
	assert_int_equal(f->peer.port, 5000);
}

static void
a_token_is_good_for_one_address_only(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(200), other = node(201);
	uint8_t token[8];

	get_token(f, &n, token);
	assert_int_equal(announce(f, &other, token), KRPC_ERROR);
	assert_int_equal(f->in.code, KRPC_PROTOCOL);
	assert_int_equal(stats(f).stored, 0);
}

static void
a_token_lives_for_five_to_ten_minutes(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(200);
	uint8_t token[8];

	pass(f, 4 * MIN);
	get_token(f, &n, token);
	pass(f, 5 * MIN);
	assert_int_equal(announce(f, &n, token), KRPC_RESPONSE);
	pass(f, 5 * MIN);
	assert_int_equal(announce(f, &n, token), KRPC_ERROR);
}

static void
stored_peers_expire(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(200);
	uint8_t token[8];

	get_token(f, &n, token);
	assert_int_equal(announce(f, &n, token), KRPC_RESPONSE);
	pass(f, 29 * MIN);
	assert_int_equal(stats(f).stored, 1);
	pass(f, 3 * MIN);
	assert_int_equal(stats(f).stored, 0);
}

/* In a network whose nodes answer, and never ask. */
static void
stay(struct fixture *f, int64_t time)
{
	for (int64_t end = f->now + time; f->now < end;) {
		f->count = f->read = 0;
		pass(f, CLOCK_S);
		answer_all(f, 30);
	}
	f->count = f->read = 0;
}

/* Does the next query that is sent say so? */
static bool
says_read_only(struct fixture *f)
{
	uint8_t hash[20] = {9};
	struct dht_wish wish = {.port = 1};
	bool says;

	memcpy(wish.info_hash, hash, sizeof(hash));
	assert_int_equal(dht_search(f->dht, &wish, f->now), 0);
	pass(f, CLOCK_S);
	assert_non_null(next_of(f, KRPC_GET_PEERS));
	says = f->in.read_only;
	dht_stop_search(f->dht, hash);
	f->count = f->read = 0;
	return says;
}

static void
a_node_that_nobody_reaches_is_read_only(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(1);

	enter(f, 30);
	stay(f, 4 * MIN);
	assert_false(dht_read_only(f->dht, AF_INET));
	assert_false(says_read_only(f));
	stay(f, 2 * MIN);
	assert_true(dht_read_only(f->dht, AF_INET));
	assert_true(says_read_only(f));
	/* Whom it asked may well get through; it is not answered. */
	receive(f, &n.addr, query(f, KRPC_PING, &n.id));
	assert_null(next(f));
	assert_true(dht_read_only(f->dht, AF_INET));
	dht_packet(f->dht, &n.addr, "d1:q1:x1:t2:aa1:y1:qe", 21, f->now);
	assert_null(next(f));
}

static void
a_query_from_a_stranger_ends_read_only(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(200);

	enter(f, 30);
	stay(f, 6 * MIN);
	assert_true(dht_read_only(f->dht, AF_INET));
	receive(f, &n.addr, query(f, KRPC_PING, &n.id));
	assert_non_null(next(f));	/* it is answered at once */
	assert_int_equal(f->in.type, KRPC_RESPONSE);
	assert_false(dht_read_only(f->dht, AF_INET));
	stay(f, 29 * MIN);
	assert_false(says_read_only(f));
	stay(f, 2 * MIN);
	assert_true(dht_read_only(f->dht, AF_INET));
}

static void
a_mapped_port_ends_read_only(void **state)
{
	struct fixture *f = *state;

	enter(f, 30);
	stay(f, 6 * MIN);
	assert_true(dht_read_only(f->dht, AF_INET));
	dht_mapped(f->dht, AF_INET, true, f->now);
	assert_false(says_read_only(f));
	stay(f, 60 * MIN);
	assert_false(dht_read_only(f->dht, AF_INET));
}

static void
a_full_node_tries_again_after_an_hour(void **state)
{
	struct fixture *f = *state;

	enter(f, 30);
	stay(f, 6 * MIN);
	assert_true(dht_read_only(f->dht, AF_INET));
	stay(f, 58 * MIN);
	assert_true(dht_read_only(f->dht, AF_INET));
	stay(f, 3 * MIN);
	assert_false(says_read_only(f));
	stay(f, 5 * MIN);
	assert_true(dht_read_only(f->dht, AF_INET));
}

static void
who_is_read_only_is_answered_but_not_taken_in(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(200);
	struct krpc *m = query(f, KRPC_PING, &n.id);

	m->read_only = true;
	receive(f, &n.addr, m);
	assert_non_null(next(f));
	pass(f, MIN);
	assert_null(next(f));	/* not pinged */
	receive(f, &n.addr, query(f, KRPC_PING, &n.id));
	assert_non_null(next(f));
	pass(f, MIN);
	assert_non_null(next(f));	/* but so */
}

static void
an_unknown_query_gets_an_error(void **state)
{
	struct fixture *f = *state;
	struct addr a = node(200).addr;
	const char *text = "d1:ad2:id20:abcdefghij0123456789e1:q4:vote1:t2:aa"
			   "1:y1:qe";

	dht_packet(f->dht, &a, text, strlen(text), f->now);
	assert_non_null(next(f));
	assert_int_equal(f->in.code, KRPC_METHOD_UNKNOWN);
	dht_packet(f->dht, &a, "d1:q1:x1:t2:aa1:y1:qe", 21, f->now);
	assert_non_null(next(f));
	assert_int_equal(f->in.code, KRPC_PROTOCOL);
}

static void
a_source_that_asks_too_often_is_not_answered(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(200), other = node(201);

	for (int i = 0; i < 300; i++)
		receive(f, &n.addr, query(f, KRPC_PING, &n.id));
	assert_in_range(f->count, 1, 100);
	pass(f, MIN);
	f->read = f->count;
	receive(f, &n.addr, query(f, KRPC_PING, &n.id));
	assert_null(next(f));	/* there are bytes for it */
	receive(f, &other.addr, query(f, KRPC_PING, &other.id));
	assert_non_null(next(f));
	pass(f, 6 * MIN);
	f->read = f->count;
	receive(f, &n.addr, query(f, KRPC_PING, &n.id));
	assert_non_null(next(f));
}

static void
a_network_of_ipv6_is_one_source(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = {.id = {{1}}};
	char ip[32];

	for (unsigned i = 0; i < 300; i++) {
		snprintf(ip, sizeof(ip), "2a01:1:2:3::%x", i + 1);
		n.addr = at(ip, 6881);
		receive(f, &n.addr, query(f, KRPC_PING, &n.id));
	}
	assert_in_range(f->count, 1, 100);
	n.addr = at("2a01:1:2:4::1", 6881);
	f->read = f->count;
	receive(f, &n.addr, query(f, KRPC_PING, &n.id));
	assert_non_null(next(f));
}

/* A flood from everywhere: what goes out stays within its budget. */
static void
answers_have_a_budget(void **state)
{
	struct fixture *f = *state;
	uint64_t sent;

	for (unsigned i = 0; i < 60 * 250; i++) {
		struct dht_node n = node(i % 2000 + 1);

		receive(f, &n.addr, query(f, KRPC_PING, &n.id));
		f->now += CLOCK_S / 250;
		f->count = 0;
	}
	sent = stats(f).sent_bytes;
	assert_true(sent < 16384 + 70 * 1024);
}

/* Bytes of the answers to a host that has asked so often in a second, for some
 * minutes. */
static uint64_t
ask_often(struct fixture *f, const struct dht_node *n, enum krpc_method method,
	  unsigned often)
{
	uint64_t before = stats(f).sent_bytes;

	for (unsigned i = 0; i < 180 * often; i++) {
		receive(f, &n->addr, query(f, method, &n->id));
		f->now += CLOCK_S / often;
		f->count = f->read = 0;
	}
	return stats(f).sent_bytes - before;
}

/* Five a second are within what a source may ask. */
static void
one_host_leaves_answers_to_others(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(200), other = node(201);
	uint64_t sent;

	enter(f, 30);
	f->count = f->read = 0;
	sent = ask_often(f, &n, KRPC_FIND_NODE, 5);
	assert_in_range(sent, 120 * 160, 16384 / 4 + 180 * 160 + 1024);
	receive(f, &n.addr, query(f, KRPC_FIND_NODE, &n.id));
	receive(f, &n.addr, query(f, KRPC_FIND_NODE, &n.id));
	assert_true(f->count < 2);
	f->read = f->count;
	for (int i = 0; i < 10; i++) {
		receive(f, &other.addr, query(f, KRPC_FIND_NODE, &other.id));
		if (next(f))
			assert_int_equal(f->in.node_count, 8);
	}
	assert_in_range(f->read, 8, 11);
}

/* Many who ask for nodes use up what there is for them. */
static void
a_ping_is_answered_while_nodes_are_asked_for(void **state)
{
	struct fixture *f = *state;
	struct dht_node n, last = node(1000);

	enter(f, 30);
	for (unsigned i = 0; i < 200; i++) {
		n = node(i + 100);
		receive(f, &n.addr, query(f, KRPC_FIND_NODE, &n.id));
	}
	f->read = f->count;
	receive(f, &last.addr, query(f, KRPC_FIND_NODE, &last.id));
	assert_null(next(f));
	for (int i = 0; i < 20; i++) {
		n = node((unsigned)i + 2000);
		receive(f, &n.addr, query(f, KRPC_PING, &n.id));
		assert_non_null(next(f));
	}
}

static void
a_budget_is_refilled_in_a_flood(void **state)
{
	struct budget b;
	int64_t now = T0;

	(void)state;
	budget_init(&b, 640, 16384, now);
	budget_take(&b, 16384);
	for (int i = 0; i < 10000; i++)
		(void)budget_has(&b, now += CLOCK_MS / 10);
	assert_int_equal(b.left, 640);
	now += 24 * 60 * MIN;
	assert_true(budget_has(&b, now));
	assert_int_equal(b.left, 16384);
}

static void
who_answers_under_another_id_is_banned_in_the_end(void **state)
{
	struct fixture *f = *state;
	struct dht_node liar = node(1);
	const struct addr *to;

	enter(f, 30);
	for (int i = 0; i < 400 && stats(f).banned == 0; i++) {
		pass(f, MIN);
		while ((to = next(f))) {
			struct addr from = *to;
			unsigned n = from.ip[1] * 250u + from.ip[2];
			struct dht_node self = node(n);

			if (f->in.type != KRPC_QUERY)
				continue;
			if (addr_equal(&from, &liar.addr))
				self.id.raw[4] ^= (uint8_t)(i + 1);
			receive(f, &from, response(f, &self.id));
		}
	}
	assert_int_equal(stats(f).banned, 1);
	f->read = f->count;
	receive(f, &liar.addr, query(f, KRPC_PING, &liar.id));
	assert_null(next(f));
}

/* The answer must come from where the query went. */
static void
an_answer_from_elsewhere_counts_for_nothing(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(1), other = node(2);

	dht_add_node(f->dht, &n.addr, f->now);
	pass(f, CLOCK_S / 10);
	assert_non_null(next(f));
	receive(f, &other.addr, response(f, &other.id));
	assert_int_equal(stats(f).nodes, 0);
	receive(f, &n.addr, response(f, &n.id));
	assert_int_equal(stats(f).nodes, 1);
}

static void
garbage(struct fixture *f, const struct addr *from, const void *transaction)
{
	char text[] = "d1:rde1:t4:....1:y1:re";

	memcpy(text + 11, transaction, 4);
	dht_packet(f->dht, from, text, strlen(text), f->now);
}

/* As anybody may send it, in the name of a node that is asked. */
static void
garbage_of_no_query_counts_for_nothing(void **state)
{
	static const char *const noise[] = {"x", "", "d1:q4:ping1:y1:qe",
					    "d1:rd2:id20:abcdefghij"};
	struct fixture *f = *state;
	struct dht_node n = node(1);

	dht_add_node(f->dht, &n.addr, f->now);
	pass(f, CLOCK_S / 10);
	assert_non_null(next(f));
	for (size_t i = 0; i < sizeof(noise) / sizeof(*noise); i++)
		dht_packet(f->dht, &n.addr, noise[i], strlen(noise[i]),
			   f->now);
	for (int i = 0; i < 4; i++)
		garbage(f, &n.addr, "none");
	assert_int_equal(stats(f).banned, 0);
	receive(f, &n.addr, response(f, &n.id));
	assert_int_equal(stats(f).nodes, 1);
}

/* The query's own transaction, as only the node knows it. */
static void
who_answers_with_garbage_is_banned_in_the_end(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(1);

	dht_add_node(f->dht, &n.addr, f->now);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(stats(f).banned, 0);
		while (!next_of(f, KRPC_FIND_NODE) &&
		       f->now < T0 + 60 * MIN)
			pass(f, CLOCK_S);
		garbage(f, &n.addr, f->in.transaction.at);
	}
	assert_int_equal(stats(f).banned, 1);
}

static void
a_far_node_cannot_name_local_addresses(void **state)
{
	struct fixture *f = *state;
	struct dht_wish wish = {.info_hash = {9}};
	struct dht_node n = node(1);
	const struct addr *to;
	struct krpc *m;

	enter(f, 1);
	dht_search(f->dht, &wish, f->now);
	pass(f, CLOCK_S / 10);
	assert_non_null(next_of(f, KRPC_GET_PEERS));
	m = response(f, &n.id);
	m->has_nodes = true;
	m->node_count = 1;
	m->nodes[0].addr = at("192.168.0.1", 80);
	m->value_count = 1;
	m->values[0] = at("127.0.0.1", 22);
	receive(f, &n.addr, m);
	pass(f, MIN);
	assert_int_equal(f->found, 0);
	while ((to = next(f)))
		assert_int_equal(to->ip[0], 20);
}

static void
our_address_is_what_most_say_and_the_id_follows(void **state)
{
	struct fixture *f = *state;
	struct addr real = at("99.1.2.3", 1), wrong = at("66.6.6.6", 1), seen;
	struct dht_node n = node(1);
	const struct addr *to;
	unsigned said = 0;

	dht_add_node(f->dht, &n.addr, f->now);
	pass(f, CLOCK_S / 10);
	while ((to = next(f)) && said < 16) {
		struct addr from = *to;
		unsigned i = from.ip[1] * 250u + from.ip[2];
		struct krpc *m;

		n = node(i);
		m = response(f, &n.id);
		m->has_nodes = true;
		for (unsigned j = 0; j < KRPC_SEND_NODES; j++)
			m->nodes[m->node_count++] = node(i + j + 1);
		m->external = said++ % 3 == 0 ? wrong : real;
		receive(f, &from, m);
		pass(f, CLOCK_S / 10);
	}
	assert_true(dht_external(f->dht, AF_INET, &seen));
	assert_true(addr_same_ip(&seen, &real));
	n = node(240);
	f->read = f->count;
	receive(f, &n.addr, query(f, KRPC_PING, &n.id));
	assert_non_null(next(f));
	assert_true(dht_id_valid(&f->in.id, &real));
}

static void
saved_nodes_are_a_way_back_in(void **state)
{
	struct fixture *f = *state, *again = make(false);
	struct buffer saved;

	enter(f, 30);
	buffer_init(&saved, DHT_SAVE_MAX);
	assert_int_equal(dht_save(f->dht, f->now, &saved), 0);
	assert_int_equal(dht_load(again->dht, saved.data, saved.used,
				  again->now), 0);
	pass(again, CLOCK_S / 10);
	assert_int_equal(again->count, 4);	/* a few at a time */
	while (answer_all(again, 30) > 0)
		pass(again, CLOCK_S / 10);
	assert_true(stats(again).good >= 8);
	assert_int_equal(dht_load(again->dht, "d2:ipi1e", 8, again->now), -1);
	assert_int_equal(dht_load(again->dht, "de", 2, again->now), 0);
	buffer_release(&saved);
	dht_free(again->dht);
	free(again);
}

/* A node of IPv4 that is asked for both helps into IPv6's network. */
static void
one_network_helps_into_the_other(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(1), six = node(2);
	const struct addr *to;
	struct krpc *m;

	dht_add_node(f->dht, &n.addr, f->now);
	pass(f, CLOCK_S / 10);
	assert_non_null(next(f));
	assert_int_equal(f->in.want, KRPC_WANT4 | KRPC_WANT6);
	six.addr = at("2a00:1234::1", 7000);
	m = response(f, &n.id);
	m->has_nodes6 = true;
	m->node6_count = 1;
	m->nodes6[0] = six;
	receive(f, &n.addr, m);
	pass(f, 10 * CLOCK_S);
	while ((to = next(f)) && to->family != AF_INET6)
		;
	assert_non_null(to);
	assert_true(addr_equal(to, &six.addr));
	receive(f, &six.addr, response(f, &six.id));
	assert_int_equal(stats(f).nodes, 2);
}

/* With all nodes gone it goes on trying, slowly, and recovers. */
static void
it_recovers_from_an_outage(void **state)
{
	struct fixture *f = *state;

	enter(f, 30);
	for (int i = 0; i < 60; i++) {
		f->count = f->read = 0;
		pass(f, MIN);
	}
	assert_int_equal(stats(f).good, 0);
	for (int i = 0; i < 400; i++) {
		f->count = f->read = 0;
		pass(f, CLOCK_S);
		answer_all(f, 30);
	}
	assert_true(stats(f).good >= 8);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* A lookup that waits for one node alone, and 2 s are over. */
static void
wait_for_one(struct fixture *f, const struct dht_node *n)
{
	struct dht_id target = {{0x55}};
	struct job *job = dht_start_job(f->dht, JOB_REFRESH, NET4, &target);

	assert_non_null(job);
	assert_true(dht_lookup_add(job->lookup, n, true, 0));
	dht_advance(f->dht, job, f->now);
	pass(f, 2 * CLOCK_S);
	assert_int_equal(stats(f).lookups, 1);
}

/* And that is the oldest of all that there may be. */
static void
leave_no_room(struct fixture *f)
{
	struct dht_node n = node(1);

	wait_for_one(f, &n);
	while (f->dht->query_count < QUERIES_MAX)
		f->dht->queries[f->dht->query_count++] = (struct query){
		    .to = node(1000), .slow = true, .sent = f->now};
}

static void
a_query_that_makes_room_has_failed(void **state)
{
	struct fixture *f = *state;
	struct dht_node n = node(600);
	struct dht_stats before;

	enter(f, 30);
	pass(f, 20 * CLOCK_S);
	answer_all(f, 30);
	before = stats(f);
	leave_no_room(f);
	dht_ping(f->dht, &n, true, f->now);
	assert_int_equal(f->dht->query_count, QUERIES_MAX);
	assert_true(dht_due(f->dht) <= f->now);
	dht_tick(f->dht, f->now);
	assert_int_equal(stats(f).lookups, 0);
	assert_int_equal(stats(f).good, before.good - 1);
}

/* Behind the lookups' turn. */
static void
a_query_that_makes_room_within_a_beat_has_failed(void **state)
{
	struct fixture *f = *state;
	struct dht_wish wish = {.info_hash = {9}};

	enter(f, 30);
	pass(f, 20 * CLOCK_S);
	answer_all(f, 30);
	leave_no_room(f);
	dht_search(f->dht, &wish, f->now);
	dht_tick(f->dht, f->now);
	assert_int_equal(f->dht->query_count, QUERIES_MAX);
	assert_int_equal(stats(f).lookups, 2);
	assert_true(dht_due(f->dht) <= f->now);
	dht_tick(f->dht, f->now);
	assert_int_equal(stats(f).lookups, 1);
}

/* Nobody answers, for so long. */
static void
be_cut_off(struct fixture *f, int64_t time)
{
	int64_t end = f->now + time;

	while (f->now < end) {
		f->count = f->read = 0;
		pass(f, 10 * CLOCK_S);
	}
	f->count = f->read = 0;
}

static void
a_hurry_ends_the_wait_for_the_way_in(void **state)
{
	struct fixture *f = *state;

	enter(f, 30);
	be_cut_off(f, 100 * MIN);
	assert_int_equal(stats(f).good, 0);
	dht_hurry(f->dht, f->now);
	(void)looks_in(f, 4 * CLOCK_S);
	assert_true(stats(f).good >= 8);
}

static void
a_search_of_an_outage_is_due_with_a_hurry(void **state)
{
	struct fixture *f = *state;

	f->values = 8;
	look(f, 6999);
	assert_int_equal(looks_in(f, 14 * MIN), 1);
	be_cut_off(f, 5 * MIN);
	assert_int_equal(looks_in(f, 10 * CLOCK_S), 0);
	dht_hurry(f->dht, f->now);
	assert_int_equal(looks_in(f, 4 * CLOCK_S), 1);
}

/* Long before all of them are given up. */
static void
that_nobody_answers_is_soon_known(void **state)
{
	struct fixture *f = *state;
	int64_t begun;

	look(f, 6999);
	(void)looks_in(f, 14 * MIN);
	assert_true(stats(f).silent_since == CLOCK_NEVER);
	begun = f->now;
	be_cut_off(f, 4 * MIN);
	assert_true(stats(f).silent_since >= begun &&
		    stats(f).silent_since < begun + 3 * MIN);
	(void)looks_in(f, 10 * MIN);
	assert_true(stats(f).silent_since == CLOCK_NEVER);
}

static void
the_time_of_a_sleep_counts(void **state)
{
	struct fixture *f = *state;

	f->values = 8;
	look(f, 6999);
	assert_int_equal(looks_in(f, 10 * MIN), 1);
	dht_slept(f->dht, 16 * MIN, f->now);
	assert_int_equal(looks_in(f, 4 * CLOCK_S), 1);
}

/* There were 20 good nodes as it ran into the outage. */
static void
eight_nodes_are_enough_to_look_again(void **state)
{
	struct fixture *f = *state;

	f->values = 8;
	look(f, 6999);
	assert_int_equal(looks_in(f, 14 * MIN), 1);
	f->dht->searches[0].few[NET4] = 1000;
	f->dht->nets[NET4].join_at = f->now;
	dht_wake_at(f->dht, f->now);
	assert_int_equal(looks_in(f, 20 * CLOCK_S), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(nothing_is_sent_before_it_is_told_whom_to_ask),
	    TEST(one_address_is_enough_to_get_in),
	    TEST(silent_entrances_leave_it_lonely_and_are_tried_again),
	    TEST(what_was_lost_on_the_way_in_is_asked_again),
	    TEST(a_search_finds_peers_and_announces_us),
	    TEST(a_silent_entrance_delays_nobody),
	    TEST(an_entrance_that_knows_nobody_delays_nobody),
	    TEST(the_second_entrance_comes_to_a_search_that_runs),
	    TEST(a_search_comes_again_after_fifteen_minutes),
	    TEST(our_own_announcement_is_no_news),
	    TEST(a_peer_that_is_there_each_time_is_no_news),
	    TEST(a_peer_that_was_not_there_before_is_news),
	    TEST(each_search_has_its_turn),
	    cmocka_unit_test_setup_teardown(both_networks_are_searched,
					    setup_both, teardown),
	    cmocka_unit_test_setup_teardown(each_network_hears_of_its_port,
					    setup_both, teardown),
	    TEST(nothing_more_is_sent_for_a_search_that_was_stopped),
	    TEST(a_query_that_makes_room_has_failed),
	    TEST(a_query_that_makes_room_within_a_beat_has_failed),
	    TEST(a_hurry_ends_the_wait_for_the_way_in),
	    TEST(a_search_of_an_outage_is_due_with_a_hurry),
	    TEST(that_nobody_answers_is_soon_known),
	    TEST(the_time_of_a_sleep_counts),
	    TEST(eight_nodes_are_enough_to_look_again),
	    TEST(queries_are_answered),
	    TEST(who_announces_with_a_token_is_handed_on),
	    TEST(a_scrape_is_answered_with_filters),
	    TEST(who_announces_what_we_search_is_found),
	    TEST(a_token_is_good_for_one_address_only),
	    TEST(a_token_lives_for_five_to_ten_minutes),
	    TEST(stored_peers_expire),
	    TEST(a_node_that_nobody_reaches_is_read_only),
	    TEST(a_query_from_a_stranger_ends_read_only),
	    TEST(a_mapped_port_ends_read_only),
	    TEST(a_full_node_tries_again_after_an_hour),
	    TEST(who_is_read_only_is_answered_but_not_taken_in),
	    TEST(an_unknown_query_gets_an_error),
	    TEST(a_source_that_asks_too_often_is_not_answered),
	    cmocka_unit_test_setup_teardown(a_network_of_ipv6_is_one_source,
					    setup_both, teardown),
	    TEST(answers_have_a_budget),
	    TEST(one_host_leaves_answers_to_others),
	    TEST(a_ping_is_answered_while_nodes_are_asked_for),
	    TEST(a_budget_is_refilled_in_a_flood),
	    TEST(who_answers_under_another_id_is_banned_in_the_end),
	    TEST(an_answer_from_elsewhere_counts_for_nothing),
	    TEST(garbage_of_no_query_counts_for_nothing),
	    TEST(who_answers_with_garbage_is_banned_in_the_end),
	    TEST(a_far_node_cannot_name_local_addresses),
	    TEST(our_address_is_what_most_say_and_the_id_follows),
	    TEST(saved_nodes_are_a_way_back_in),
	    cmocka_unit_test_setup_teardown(one_network_helps_into_the_other,
					    setup_both, teardown),
	    TEST(it_recovers_from_an_outage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
