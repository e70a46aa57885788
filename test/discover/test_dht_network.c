/*
 * A network of 1,000 nodes in virtual time: each packet takes 20 to 300 ms.
 * The nodes are engines; who is dead takes nothing, who is malicious answers
 * with lies.  One network serves all tests, which make it worse in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discover/dht.h"
#include "discover/dht_krpc.h"
#include "discover/dht_table.h"

#define NODES 1000
#define SEARCHES 20
#define MALICIOUS_EVERY 5	/* 20 % */

struct packet {
	int64_t at;
	uint32_t order;
	uint16_t from;
	uint16_t to;
	uint16_t size;
	uint8_t *data;
};

struct sim;

struct peer {
	struct sim *sim;
	struct dht *dht;
	uint16_t index;
	bool dead;
	bool malicious;
	int64_t due;		/* of its beat, in the heap below */
	size_t slot;
	unsigned found;		/* right peers that it was told */
	uint64_t seed;
};

struct sim {
	int64_t now;
	uint64_t seed;
	struct peer peers[NODES];
	struct packet *heap;
	size_t count;
	size_t size;
	uint32_t order;
	uint16_t beats[NODES];	/* a heap of peers by due */
	struct krpc query;	/* of the malicious ones */
	struct krpc answer;
};

static uint64_t
next_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void
fill_random(void *ctx, void *out, size_t n)
{
	struct peer *p = ctx;

	for (size_t i = 0; i < n; i++)
		((uint8_t *)out)[i] = (uint8_t)(next_random(&p->seed) >> 32);
}

/* Node i is 11.hi.lo.1, so that each has a network of its own. */
static struct addr
address(unsigned i)
{
	struct addr a = {.family = AF_INET, .port = 6881};

	a.ip[0] = 11;
	a.ip[1] = (uint8_t)(i / 256);
	a.ip[2] = (uint8_t)(i % 256);
	a.ip[3] = 1;
	return a;
}

static bool
index_of(const struct addr *a, uint16_t *i)
{
	struct addr back;

	*i = (uint16_t)(a->ip[1] * 256 + a->ip[2]);
	if (*i >= NODES)
		return false;
	back = address(*i);
	return addr_equal(&back, a);
}

/* ---- the packets under way, the earliest on top ---- */

static bool
before(const struct packet *a, const struct packet *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void
push(struct sim *s, struct packet p)
{
	size_t i = s->count++;

	if (s->count > s->size) {
		s->size = s->size ? s->size * 2 : 1024;
		s->heap = realloc(s->heap, s->size * sizeof(*s->heap));
		assert_non_null(s->heap);
	}
	while (i > 0 && before(&p, &s->heap[(i - 1) / 2])) {
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = p;
}

static struct packet
pop(struct sim *s)
{
	struct packet top = s->heap[0], last = s->heap[--s->count];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= s->count)
			break;
		if (child + 1 < s->count &&
		    before(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!before(&s->heap[child], &last))
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return top;
}

/* ---- the beats ---- */

static void
put_beat(struct sim *s, size_t slot, uint16_t peer)
{
	s->beats[slot] = peer;
	s->peers[peer].slot = slot;
}

static void
move_beat(struct sim *s, struct peer *p, int64_t due)
{
	size_t i = p->slot;

	p->due = due;
	while (i > 0 && due < s->peers[s->beats[(i - 1) / 2]].due) {
		put_beat(s, i, s->beats[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= NODES)
			break;
		if (child + 1 < NODES && s->peers[s->beats[child + 1]].due <
					     s->peers[s->beats[child]].due)
			child++;
		if (s->peers[s->beats[child]].due >= due)
			break;
		put_beat(s, i, s->beats[child]);
		i = child;
	}
	put_beat(s, i, p->index);
}

/* ---- the nodes ---- */

static void
transmit(struct sim *s, uint16_t from, const struct addr *to, const void *data,
	 size_t n)
{
	struct packet p = {.from = from, .size = (uint16_t)n};

	assert_true(n <= KRPC_PACKET_MAX);
	if (!index_of(to, &p.to) || s->peers[p.to].dead)
		return;
	p.at = s->now + (int64_t)(20 + next_random(&s->seed) % 280) * CLOCK_MS;
	p.order = s->order++;
	p.data = malloc(n);
	assert_non_null(p.data);
	memcpy(p.data, data, n);
	push(s, p);
}

static void
send_packet(void *ctx, const struct addr *to, const void *data, size_t n)
{
	struct peer *p = ctx;

	transmit(p->sim, p->index, to, data, n);
}

/* The peer of torrent i announces port 1000 + i. */
static void
take_peers(void *ctx, const uint8_t info_hash[20], const struct addr *peers,
	   size_t n)
{
	struct peer *p = ctx;

	for (size_t i = 0; i < n; i++)
		if (peers[i].port == 1000 + info_hash[19] &&
		    peers[i].ip[0] == 11)
			p->found++;
}

static struct dht_wish
torrent(unsigned i, bool announce)
{
	struct dht_wish w = {.port = announce ? (uint16_t)(1000 + i) : 0};
	uint64_t seed = i + 77;

	for (size_t j = 0; j < 19; j++)
		w.info_hash[j] = (uint8_t)next_random(&seed);
	w.info_hash[19] = (uint8_t)i;
	return w;
}

/* Nodes next to the target that do not exist, or its own kind, or noise. */
static void
lie(struct sim *s, struct peer *p, const struct packet *in)
{
	struct addr from = address(in->from);
	struct buffer out;
	struct krpc *m = &s->answer;
	unsigned kind = p->index / MALICIOUS_EVERY % 4;
	struct dht_id random;

	if (krpc_read(&s->query, in->data, in->size, NULL) < 0 ||
	    s->query.type != KRPC_QUERY)
		return;
	memset(m, 0, offsetof(struct krpc, nodes));
	m->type = KRPC_RESPONSE;
	m->transaction = s->query.transaction;
	fill_random(p, random.raw, sizeof(random.raw));
	from = address(p->index);
	m->id = dht_id_for(&from, &random);
	if (kind == 1)		/* as close as an id can be */
		m->id = dht_id_share(&s->query.target, &random, 100, true);
	m->has_nodes = true;
	m->node_count = KRPC_SEND_NODES;
	for (size_t i = 0; i < m->node_count; i++) {
		fill_random(p, random.raw, sizeof(random.raw));
		m->nodes[i].id =
		    dht_id_share(&s->query.target, &random, 60, true);
		m->nodes[i].addr = address(
		    kind == 2 ? random.raw[0] % (NODES / MALICIOUS_EVERY) *
				    MALICIOUS_EVERY
			      : NODES + random.raw[1] * 200u + random.raw[0]);
	}
	if (kind == 3) {	/* a wrong peer, too */
		m->value_count = 1;
		m->values[0] = address(1);
	}
	buffer_init(&out, KRPC_PACKET_MAX);
	assert_int_equal(krpc_write(&out, m), 0);
	if (kind == 0)
		out.data[3] ^= 0x55;
	from = address(in->from);
	transmit(s, p->index, &from, out.data, out.used);
	buffer_release(&out);
}

static void
run_until(struct sim *s, int64_t end)
{
	for (;;) {
		struct peer *p = &s->peers[s->beats[0]];
		int64_t at = s->count > 0 ? s->heap[0].at : CLOCK_NEVER;

		if (p->due > end && at > end)
			break;
		if (p->due <= at) {
			s->now = p->due > s->now ? p->due : s->now;
			dht_tick(p->dht, s->now);
			assert_true(dht_due(p->dht) > s->now);
		} else {
			struct packet in = pop(s);
			struct addr from = address(in.from);

			s->now = in.at;
			p = &s->peers[in.to];
			if (p->malicious)
				lie(s, p, &in);
			else if (!p->dead)
				dht_packet(p->dht, &from, in.data, in.size,
					   s->now);
			/* The analyzer cannot know that a heap hands each
			 * packet out once. */
			free(in.data);	/* NOLINT(clang-analyzer-*) */
			if (p->malicious || p->dead)
				continue;
		}
		move_beat(s, p, dht_due(p->dht));
	}
	s->now = end;
}

static void
stop(struct sim *s, struct peer *p)
{
	move_beat(s, p, CLOCK_NEVER);
}

static void
wake(struct sim *s, struct peer *p)
{
	move_beat(s, p, s->now);
}

/* Each node knows three that were there before it, and 50 join a second. */
static int
build(void **state)
{
	struct sim *s = calloc(1, sizeof(*s));

	if (!s)
		return -1;
	s->now = CLOCK_S;
	s->seed = 45;
	for (uint16_t i = 0; i < NODES; i++) {
		s->peers[i].due = CLOCK_NEVER;
		put_beat(s, i, i);
	}
	for (uint16_t i = 0; i < NODES; i++) {
		struct peer *p = &s->peers[i];
		struct dht_config config = {.ctx = p,
					    .send = send_packet,
					    .peers = take_peers,
					    .random = fill_random,
					    .ipv4 = true};

		p->sim = s;
		p->index = i;
		p->seed = i;
		p->dht = dht_new(&config, s->now);
		if (!p->dht)
			return -1;
		for (int j = 0; i > 0 && j < 3; j++) {
			struct addr a =
			    address((unsigned)(next_random(&s->seed) % i));

			dht_add_node(p->dht, &a, s->now);
		}
		wake(s, p);
		run_until(s, s->now + CLOCK_S / 50);
	}
	run_until(s, s->now + 40 * CLOCK_S);
	*state = s;
	return 0;
}

static int
destroy(void **state)
{
	struct sim *s = *state;

	for (int i = 0; i < NODES; i++)
		dht_free(s->peers[i].dht);
	while (s->count > 0)
		free(pop(s).data);
	free(s->heap);
	free(s);
	return 0;
}

static bool
sound(const struct peer *p)
{
	return !p->dead && !p->malicious;
}

static struct peer *
anyone(struct sim *s)
{
	struct peer *p;

	do {
		p = &s->peers[next_random(&s->seed) % NODES];
	} while (!sound(p));
	return p;
}

/* Torrents from `first` on: how many of their searchers found the peer that
 * had announced itself. */
static unsigned
search(struct sim *s, unsigned first, struct dht_stats *total)
{
	unsigned found = 0;

	memset(total, 0, sizeof(*total));
	for (unsigned i = first; i < first + SEARCHES; i++) {
		struct dht_wish w = torrent(i, false);
		struct dht_stats stats;
		struct peer *p = anyone(s);

		p->found = 0;
		assert_int_equal(dht_search(p->dht, &w, s->now), 0);
		wake(s, p);
		run_until(s, s->now + 12 * CLOCK_S);
		dht_stop_search(p->dht, w.info_hash);
		dht_get_stats(p->dht, s->now, &stats);
		found += p->found > 0;
		total->lookup_depth += stats.lookup_depth;
		total->lookup_queries += stats.lookup_queries;
		if (stats.lookup_depth > total->good)
			total->good = stats.lookup_depth;
	}
	return found;
}

static void
announce(struct sim *s, unsigned first)
{
	for (unsigned i = first; i < first + SEARCHES; i++) {
		struct dht_wish w = torrent(i, true);
		struct peer *p = anyone(s);

		assert_int_equal(dht_search(p->dht, &w, s->now), 0);
		wake(s, p);
	}
	run_until(s, s->now + 20 * CLOCK_S);
	for (unsigned i = 0; i < NODES; i++) {
		for (unsigned j = first; j < first + SEARCHES; j++) {
			struct dht_wish w = torrent(j, true);

			dht_stop_search(s->peers[i].dht, w.info_hash);
		}
	}
}

static void
every_node_finds_its_way_in(void **state)
{
	struct sim *s = *state;
	size_t good = 0;

	for (int i = 0; i < NODES; i++) {
		struct dht_stats stats;
		struct addr seen, real = address((unsigned)i);

		dht_get_stats(s->peers[i].dht, s->now, &stats);
		good += stats.good;
		assert_true(stats.good >= DHT_K);
		assert_int_equal(stats.banned, 0);
		assert_true(dht_external(s->peers[i].dht, AF_INET, &seen));
		assert_true(addr_same_ip(&seen, &real));
	}
	print_message("good nodes in a table: %zu on average\n",
		      good / NODES);
}

/* log2(1000) is 10; each step comes at least one bit closer. */
static void
lookups_converge_in_logarithmic_steps(void **state)
{
	struct dht_stats total;
	unsigned found;

	announce(*state, 0);
	found = search(*state, 0, &total);
	print_message("found %u of %d; steps %.1f on average, %zu at most; "
		      "queries %.1f\n",
		      found, SEARCHES, total.lookup_depth * 1.0 / SEARCHES,
		      total.good, total.lookup_queries * 1.0 / SEARCHES);
	assert_int_equal(found, SEARCHES);
	assert_true(total.lookup_depth <= 6 * SEARCHES);
	assert_true(total.good <= 10);
	assert_true(total.lookup_queries <= 40 * SEARCHES);
}

static void
an_idle_node_stays_under_a_kibibyte_a_second(void **state)
{
	enum { SECONDS = 960 };
	struct sim *s = *state;
	struct dht_stats before_it[NODES], stats;
	uint64_t most = 0, all = 0;

	for (int i = 0; i < NODES; i++)
		dht_get_stats(s->peers[i].dht, s->now, &before_it[i]);
	run_until(s, s->now + SECONDS * CLOCK_S);
	for (int i = 0; i < NODES; i++) {
		uint64_t bytes;

		dht_get_stats(s->peers[i].dht, s->now, &stats);
		bytes = stats.sent_bytes - before_it[i].sent_bytes +
			stats.received_bytes - before_it[i].received_bytes;
		most = bytes > most ? bytes : most;
		all += bytes;
		assert_true(stats.good >= DHT_K);
	}
	print_message("idle, both ways: %.0f B/s on average, %.0f at most\n",
		      (double)all / NODES / SECONDS, (double)most / SECONDS);
	assert_true(most / SECONDS < 1024);
}

static void
lookups_survive_churn_and_liars(void **state)
{
	struct sim *s = *state;
	struct dht_stats total;
	unsigned found;

	announce(s, 50);
	for (int i = 0; i < NODES; i++) {
		struct peer *p = &s->peers[i];

		if (i % MALICIOUS_EVERY == 0)
			p->malicious = true;
		else if (next_random(&s->seed) % 10 < 3)
			p->dead = true;
		if (!sound(p))
			stop(s, p);
	}
	found = search(s, 50, &total);
	print_message("found %u of %d; steps %.1f on average, queries %.1f\n",
		      found, SEARCHES, total.lookup_depth * 1.0 / SEARCHES,
		      total.lookup_queries * 1.0 / SEARCHES);
	assert_true(found * 100 >= SEARCHES * 95);
	/* Announcing works as well as finding. */
	announce(s, 100);
	found = search(s, 100, &total);
	print_message("found %u of %d; steps %.1f on average, queries %.1f\n",
		      found, SEARCHES, total.lookup_depth * 1.0 / SEARCHES,
		      total.lookup_queries * 1.0 / SEARCHES);
	assert_true(found * 100 >= SEARCHES * 95);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_node_finds_its_way_in),
	    cmocka_unit_test(lookups_converge_in_logarithmic_steps),
	    cmocka_unit_test(an_idle_node_stays_under_a_kibibyte_a_second),
	    cmocka_unit_test(lookups_survive_churn_and_liars),
	};

	return cmocka_run_group_tests(tests, build, destroy);
}
