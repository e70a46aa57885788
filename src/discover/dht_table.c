#include "discover/dht_table.h"

#include <stdlib.h>
#include <string.h>

#define NETWORK_MAX 2		/* nodes of one network in a bucket */

struct entry {
	struct dht_node node;
	int64_t replied;	/* 0: never */
	int64_t heard;		/* a query or an answer */
	int64_t asked;		/* by a ping from here; 0: never */
	unsigned failures;	/* in a row */
	bool valid;		/* BEP 42 grants the id */
};

struct bucket {
	int64_t changed;
	bool looked;		/* a lookup into it was asked for */
	size_t count;
	size_t spare_count;
	struct entry nodes[DHT_K];
	struct entry spare[DHT_K];
};

struct dht_table {
	int family;
	struct dht_id self;
	struct bucket *buckets;
	size_t count;		/* at least 1 */
	size_t size;		/* allocated */
};

bool
dht_same_host(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family || memcmp(a->ip, b->ip, 4) != 0)
		return false;	/* as it is nearly always */
	if (addr_is_local(a) || addr_is_local(b))
		return addr_equal(a, b);
	return a->family == AF_INET || memcmp(a->ip, b->ip, 8) == 0;
}

bool
dht_same_network(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family ||
	    memcmp(a->ip, b->ip, a->family == AF_INET ? 3 : 6) != 0)
		return false;
	return !addr_is_local(a) && !addr_is_local(b);
}

struct dht_table *
dht_table_new(int family, const struct dht_id *self)
{
	struct dht_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->family = family;
	t->self = *self;
	t->buckets = calloc(1, sizeof(*t->buckets));
	if (!t->buckets) {
		free(t);
		return NULL;
	}
	t->count = 1;
	t->size = 1;
	return t;
}

void
dht_table_free(struct dht_table *t)
{
	if (!t)
		return;
	free(t->buckets);
	free(t);
}

static bool
is_bad(const struct entry *n)
{
	return n->failures >= DHT_TABLE_FAILURES;
}

static bool
is_good(const struct entry *n, int64_t now)
{
	return n->failures == 0 && n->replied != 0 &&
	       now - n->heard < DHT_TABLE_FRESH;
}

static struct bucket *
bucket_of(const struct dht_table *t, const struct dht_id *id)
{
	unsigned shared = dht_id_prefix(&t->self, id);

	return &t->buckets[shared < t->count ? shared : t->count - 1];
}

/* ---- taking out ---- */

static void
drop(struct entry *list, size_t *count, size_t i)
{
	(*count)--;
	memmove(&list[i], &list[i + 1], (*count - i) * sizeof(*list));
}

/* A spare node that has answered takes the place of one that is bad or
 * gone. */
static void
promote(struct bucket *b)
{
	size_t best = DHT_K, to;

	for (size_t i = 0; i < b->spare_count; i++)
		if (b->spare[i].replied != 0 &&
		    (best == DHT_K ||
		     b->spare[i].replied > b->spare[best].replied))
			best = i;
	if (best == DHT_K)
		return;
	for (to = 0; to < b->count && !is_bad(&b->nodes[to]); to++)
		;
	if (to == DHT_K)
		return;
	if (to == b->count)
		b->count++;
	b->nodes[to] = b->spare[best];
	drop(b->spare, &b->spare_count, best);
}

static void
forget_in(struct bucket *b, const struct addr *a)
{
	for (size_t i = b->count; i-- > 0;)
		if (dht_same_host(&b->nodes[i].node.addr, a))
			drop(b->nodes, &b->count, i);
	for (size_t i = b->spare_count; i-- > 0;)
		if (dht_same_host(&b->spare[i].node.addr, a))
			drop(b->spare, &b->spare_count, i);
	promote(b);
}

void
dht_table_forget(struct dht_table *t, const struct addr *a)
{
	for (size_t i = 0; i < t->count; i++)
		forget_in(&t->buckets[i], a);
}

/* ---- taking in ---- */

static bool
split(struct dht_table *t)
{
	struct bucket *from, *to;
	unsigned index = (unsigned)t->count - 1;

	if (t->count == DHT_ID_BITS)
		return false;
	if (t->count == t->size) {
		size_t size = t->size * 2;
		struct bucket *more =
		    realloc(t->buckets, size * sizeof(*more));

		if (!more)
			return false;
		t->buckets = more;
		t->size = size;
	}
	from = &t->buckets[index];
	to = &t->buckets[t->count++];
	memset(to, 0, sizeof(*to));
	to->changed = from->changed;
	for (size_t i = from->count; i-- > 0;)
		if (dht_id_prefix(&t->self, &from->nodes[i].node.id) > index) {
			to->nodes[to->count++] = from->nodes[i];
			drop(from->nodes, &from->count, i);
		}
	for (size_t i = from->spare_count; i-- > 0;)
		if (dht_id_prefix(&t->self, &from->spare[i].node.id) > index) {
			to->spare[to->spare_count++] = from->spare[i];
			drop(from->spare, &from->spare_count, i);
		}
	while (from->count < DHT_K && from->spare_count > 0) {
		size_t before = from->count;

		promote(from);
		if (from->count == before)
			break;
	}
	return true;
}

static bool
network_full(const struct bucket *b, const struct addr *a)
{
	size_t n = 0;

	for (size_t i = 0; i < b->count; i++)
		n += dht_same_network(&b->nodes[i].node.addr, a);
	return n >= NETWORK_MAX;
}

/* Into the spare list: for a node that has answered, whoever was heard least
 * lately goes; others only go before such as never answered either. */
static void
keep_spare(struct bucket *b, const struct entry *n)
{
	size_t worst = DHT_K;

	if (b->spare_count < DHT_K) {
		b->spare[b->spare_count++] = *n;
		return;
	}
	for (size_t i = 0; i < DHT_K; i++) {
		if (n->replied == 0 && b->spare[i].replied != 0)
			continue;
		if (worst == DHT_K || b->spare[i].heard < b->spare[worst].heard)
			worst = i;
	}
	if (worst < DHT_K)
		b->spare[worst] = *n;
}

/* A node that is not in the table yet, and has answered. */
static void
insert(struct dht_table *t, const struct entry *n)
{
	for (;;) {
		struct bucket *b = bucket_of(t, &n->node.id);

		if (network_full(b, &n->node.addr))
			return;
		if (b->count < DHT_K) {
			b->nodes[b->count++] = *n;
			return;
		}
		for (size_t i = 0; i < DHT_K; i++)
			if (is_bad(&b->nodes[i])) {
				b->nodes[i] = *n;
				return;
			}
		if (b == &t->buckets[t->count - 1] && split(t))
			continue;
		for (size_t i = 0; n->valid && i < DHT_K; i++)
			if (!b->nodes[i].valid) {
				keep_spare(b, &b->nodes[i]);
				b->nodes[i] = *n;
				return;
			}
		keep_spare(b, n);
		return;
	}
}

/* The entry of exactly this node; any other one of its host is in `other`. */
static struct entry *
find(const struct dht_table *t, const struct dht_node *n, struct entry **other)
{
	*other = NULL;
	for (size_t i = 0; i < t->count; i++) {
		struct bucket *b = &t->buckets[i];

		for (size_t j = 0; j < b->count + b->spare_count; j++) {
			struct entry *have = j < b->count
						 ? &b->nodes[j]
						 : &b->spare[j - b->count];

			if (!dht_same_host(&have->node.addr, &n->addr))
				continue;
			if (dht_id_equal(&have->node.id, &n->id) &&
			    addr_equal(&have->node.addr, &n->addr))
				return have;
			*other = have;
		}
	}
	return NULL;
}

static bool
acceptable(const struct dht_table *t, const struct dht_node *n)
{
	return n->addr.family == t->family && addr_usable(&n->addr) &&
	       !dht_id_equal(&n->id, &t->self);
}

/* Is there room for one more node, now or by a split? */
static bool
has_room(const struct dht_table *t, const struct bucket *b)
{
	if (b->count < DHT_K ||
	    (b == &t->buckets[t->count - 1] && t->count < DHT_ID_BITS))
		return true;
	for (size_t i = 0; i < b->count; i++)
		if (is_bad(&b->nodes[i]))
			return true;
	return false;
}

void
dht_table_heard(struct dht_table *t, const struct dht_node *n, int64_t now)
{
	struct entry new = {.node = *n, .heard = now}, *have, *other;
	struct bucket *b;

	if (!acceptable(t, n))
		return;
	have = find(t, n, &other);
	if (have) {
		have->heard = now;
		return;
	}
	b = bucket_of(t, &n->id);
	if (other || !has_room(t, b) || network_full(b, &n->addr))
		return;
	new.valid = dht_id_valid(&n->id, &n->addr);
	keep_spare(b, &new);
}

void
dht_table_replied(struct dht_table *t, const struct dht_node *n, int64_t now)
{
	struct entry new = {.node = *n, .replied = now, .heard = now};
	struct entry *have, *other;
	struct bucket *b;

	if (!acceptable(t, n))
		return;
	have = find(t, n, &other);
	if (!have && other) {
		/* Another port of a host that is in the table has to wait
		 * until that one is bad; another id at the same port means
		 * that the node began anew. */
		if (!is_bad(other) && !addr_equal(&other->node.addr, &n->addr))
			return;
		dht_table_forget(t, &n->addr);
	}
	b = bucket_of(t, &n->id);
	b->changed = now;
	if (have) {
		bool spare = have >= b->spare && have < b->spare + DHT_K;

		have->replied = now;
		have->heard = now;
		have->failures = 0;
		if (!spare)
			return;
		new = *have;
		drop(b->spare, &b->spare_count, (size_t)(have - b->spare));
	}
	new.valid = dht_id_valid(&n->id, &n->addr);
	insert(t, &new);
}

void
dht_table_failed(struct dht_table *t, const struct addr *a, int64_t now)
{
	for (size_t i = 0; i < t->count; i++) {
		struct bucket *b = &t->buckets[i];

		for (size_t j = 0; j < b->count; j++) {
			if (!addr_equal(&b->nodes[j].node.addr, a))
				continue;
			b->nodes[j].failures++;
			b->nodes[j].asked = now;
			if (is_bad(&b->nodes[j]))
				promote(b);
			return;
		}
		for (size_t j = 0; j < b->spare_count; j++)
			if (addr_equal(&b->spare[j].node.addr, a)) {
				drop(b->spare, &b->spare_count, j);
				return;
			}
	}
}

void
dht_table_move(struct dht_table *t, const struct dht_id *self, int64_t now)
{
	struct bucket *old = t->buckets;
	size_t count = t->count;
	struct bucket *first = calloc(1, sizeof(*first));

	if (!first)
		return;		/* the old id serves too */
	t->self = *self;
	t->buckets = first;
	t->count = 1;
	t->size = 1;
	first->changed = now;
	for (size_t i = count; i-- > 0;) {
		for (size_t j = 0; j < old[i].count; j++)
			insert(t, &old[i].nodes[j]);
		for (size_t j = 0; j < old[i].spare_count; j++)
			if (old[i].spare[j].replied != 0)
				insert(t, &old[i].spare[j]);
	}
	free(old);
}

/* ---- asking the table ---- */

bool
dht_table_alive(const struct dht_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		for (size_t j = 0; j < t->buckets[i].count; j++)
			if (!is_bad(&t->buckets[i].nodes[j]))
				return true;
	return false;
}

size_t
dht_table_closest(const struct dht_table *t, const struct dht_id *target,
		  struct dht_node *out, size_t max)
{
	size_t n = 0;

	max = max < DHT_K ? max : DHT_K;
	for (size_t i = 0; i < t->count; i++) {
		const struct bucket *b = &t->buckets[i];

		for (size_t j = 0; j < b->count; j++) {
			const struct dht_node *node = &b->nodes[j].node;
			size_t at;

			if (is_bad(&b->nodes[j]))
				continue;
			for (at = n; at > 0; at--)
				if (dht_id_compare(target, &out[at - 1].id,
						   &node->id) <= 0)
					break;
			if (at == max)
				continue;
			n += n < max;
			memmove(&out[at + 1], &out[at],
				(n - at - 1) * sizeof(*out));
			out[at] = *node;
		}
	}
	return n;
}

/* When a node of a bucket should be pinged. */
static int64_t
node_due(const struct entry *n)
{
	int64_t due = n->heard + DHT_TABLE_FRESH;

	if (is_bad(n))
		return n->asked + DHT_TABLE_FRESH;
	if (n->failures > 0)
		return n->asked + DHT_TABLE_PING_RETRY;
	if (n->asked != 0 && due < n->asked + DHT_TABLE_PING_RETRY)
		due = n->asked + DHT_TABLE_PING_RETRY;
	return due;
}

/* When a spare one should: it has never answered, and it has a place. */
static int64_t
spare_due(const struct dht_table *t, const struct bucket *b,
	  const struct entry *n)
{
	if (n->replied != 0 || !has_room(t, b))
		return CLOCK_NEVER;
	return n->asked == 0 ? n->heard : n->asked + DHT_TABLE_PING_RETRY;
}

static struct entry *
next_ping(const struct dht_table *t, int64_t *when)
{
	struct entry *best = NULL;

	*when = CLOCK_NEVER;
	for (size_t i = 0; i < t->count; i++) {
		struct bucket *b = &t->buckets[i];

		for (size_t j = 0; j < b->count + b->spare_count; j++) {
			bool spare = j >= b->count;
			struct entry *n = spare ? &b->spare[j - b->count]
						: &b->nodes[j];
			int64_t due = spare ? spare_due(t, b, n) : node_due(n);

			if (due < *when) {
				*when = due;
				best = n;
			}
		}
	}
	return best;
}

bool
dht_table_to_ping(struct dht_table *t, int64_t now, struct dht_node *out)
{
	int64_t when;
	struct entry *n = next_ping(t, &when);

	if (!n || when > now)
		return false;
	n->asked = now;
	*out = n->node;
	return true;
}

/* A table without any node has nobody to ask. */
static bool
is_empty(const struct dht_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->buckets[i].count > 0)
			return false;
	return true;
}

/* A new bucket that has room is looked into at once, as Kademlia has it:
 * sparse tables lead lookups into dead ends. */
static int64_t
refresh_due(const struct bucket *b)
{
	if (!b->looked && b->count < DHT_K / 2)
		return b->changed;
	return b->changed + DHT_TABLE_FRESH;
}

bool
dht_table_to_refresh(struct dht_table *t, int64_t now,
		     const struct dht_id *random, struct dht_id *target)
{
	if (is_empty(t))
		return false;
	for (size_t i = 0; i < t->count; i++) {
		struct bucket *b = &t->buckets[i];

		if (refresh_due(b) > now)
			continue;
		b->changed = now;
		b->looked = true;
		*target = dht_id_share(&t->self, random, (unsigned)i,
				       i + 1 < t->count);
		return true;
	}
	return false;
}

int64_t
dht_table_due(const struct dht_table *t)
{
	int64_t due;

	(void)next_ping(t, &due);
	if (is_empty(t))
		return due;
	for (size_t i = 0; i < t->count; i++)
		due = clock_min(due, refresh_due(&t->buckets[i]));
	return due;
}

size_t
dht_table_nodes(const struct dht_table *t, int64_t now, struct dht_node *out,
		size_t max)
{
	size_t n = 0;

	for (int good = 1; good >= 0; good--)
		for (size_t i = t->count; i-- > 0;) {
			const struct bucket *b = &t->buckets[i];

			for (size_t j = 0; j < b->count && n < max; j++)
				if (is_good(&b->nodes[j], now) == (good == 1))
					out[n++] = b->nodes[j].node;
		}
	return n;
}

void
dht_table_count(const struct dht_table *t, int64_t now,
		struct dht_table_counts *out)
{
	memset(out, 0, sizeof(*out));
	out->buckets = t->count;
	for (size_t i = 0; i < t->count; i++) {
		const struct bucket *b = &t->buckets[i];

		out->nodes += b->count;
		out->spare += b->spare_count;
		for (size_t j = 0; j < b->count; j++)
			out->good += is_good(&b->nodes[j], now);
	}
}
