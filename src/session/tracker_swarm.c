#include "session/tracker_swarm.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/bytes.h"
#include "base/clock.h"

/* A swarm's peers lie in four groups, so that picking for a complete peer
 * or for one family never walks over the others. */
enum {
	GROUP_V6 = 1,
	GROUP_COMPLETE = 2,
	GROUPS = 4,
};

#define GROUP_FIRST_SIZE 4

/* Lone swarms are counted by the host that their peers are at: in so many
 * classes by hash, of which one may have a part of all places, so that who
 * makes up torrents takes his own places and no one else's. */
#define HOSTS 1024
#define HOST_PART 16
#define V6_NETWORK 8			/* bytes: a host has all of a /64 */

#define LIFE_LEAST (660 * CLOCK_S)

struct swarm;

struct peer {
	struct tracker_swarm_peer pub;
	struct swarm *swarm;
	int64_t seen_ns;
	uint32_t place;			/* in its group */
	uint8_t group;
	bool paused;
	bool counted;			/* its download was */
	LIST_ENTRY(peer) bucket;
	TAILQ_ENTRY(peer) by_age;	/* among all, oldest first */
	TAILQ_ENTRY(peer) in_swarm;	/* the same in its swarm */
};

struct group {
	struct peer **peers;
	uint32_t count;
	uint32_t size;
};

struct swarm {
	uint8_t info_hash[SHA1_SIZE];
	uint32_t downloaded;
	uint32_t paused;
	uint32_t count;
	uint64_t key;			/* mixed into its peers' buckets */
	struct group groups[GROUPS];
	TAILQ_HEAD(, peer) peers;
	LIST_ENTRY(swarm) bucket;
	TAILQ_ENTRY(swarm) empty;	/* only while it has no peer */
	bool lone;			/* all its peers are at one host: */
	uint32_t host;
	TAILQ_ENTRY(swarm) by_news;
	TAILQ_ENTRY(swarm) in_host;
};

struct host {
	uint32_t count;
	TAILQ_HEAD(, swarm) lone;	/* longest unheard first */
};

LIST_HEAD(peer_bucket, peer);
LIST_HEAD(swarm_bucket, swarm);

struct tracker_swarms {
	struct tracker_swarm_limits limits;
	uint64_t seed;			/* of the tables */
	uint64_t random;		/* the state of the picker */
	struct swarm_bucket *swarm_table;
	struct peer_bucket *peer_table;
	size_t swarm_mask, peer_mask;
	uint32_t swarm_count, peer_count, complete_count;
	TAILQ_HEAD(, peer) by_age;
	TAILQ_HEAD(, swarm) empty;	/* longest empty first */
	TAILQ_HEAD(, swarm) lone;	/* longest unheard first */
	struct host hosts[HOSTS];
};

int64_t
tracker_swarm_life(uint32_t interval_s)
{
	int64_t life = 2 * CLOCK_S * interval_s;

	return life > LIFE_LEAST ? life : LIFE_LEAST;
}

static uint64_t
mix_bytes(uint64_t seed, const uint8_t *data, size_t n)
{
	uint64_t h = hash_mix(seed + n);

	for (; n >= 4; n -= 4, data += 4)
		h = hash_mix((h ^ get_u32(data)) + 0x9e3779b97f4a7c15u + seed);
	return h;
}

static uint64_t
next_random(struct tracker_swarms *t)
{
	t->random += 0x9e3779b97f4a7c15u;
	return hash_mix(t->random);
}

static size_t
table_size(uint32_t entries)
{
	size_t size = 16;

	while (size < entries)
		size *= 2;
	return size;
}

struct tracker_swarms *
tracker_swarms_new(const struct tracker_swarm_limits *limits, uint64_t seed)
{
	struct tracker_swarms *t = calloc(1, sizeof(*t));
	size_t swarms = table_size(limits->swarms);
	size_t peers = table_size(limits->peers);

	if (!t)
		return NULL;
	t->limits = *limits;
	t->seed = hash_mix(seed);
	t->random = hash_mix(seed + 1);
	TAILQ_INIT(&t->by_age);
	TAILQ_INIT(&t->empty);
	TAILQ_INIT(&t->lone);
	for (size_t i = 0; i < HOSTS; i++)
		TAILQ_INIT(&t->hosts[i].lone);
	t->swarm_mask = swarms - 1;
	t->peer_mask = peers - 1;
	t->swarm_table = calloc(swarms, sizeof(*t->swarm_table));
	t->peer_table = calloc(peers, sizeof(*t->peer_table));
	if (!t->swarm_table || !t->peer_table) {
		tracker_swarms_free(t);
		return NULL;
	}
	return t;
}

static struct swarm_bucket *
swarm_bucket(const struct tracker_swarms *t, const uint8_t *info_hash)
{
	uint64_t h = mix_bytes(t->seed, info_hash, SHA1_SIZE);

	return &t->swarm_table[h & t->swarm_mask];
}

static struct swarm *
swarm_find(const struct tracker_swarms *t, const uint8_t *info_hash)
{
	struct swarm *s;

	LIST_FOREACH(s, swarm_bucket(t, info_hash), bucket) {
		if (memcmp(s->info_hash, info_hash, SHA1_SIZE) == 0)
			return s;
	}
	return NULL;
}

/* ---- swarms of one host ---- */

/* What of an address is a host's own. */
static size_t
host_bytes(const struct addr *a)
{
	return a->family == AF_INET6 ? V6_NETWORK : sizeof(a->ip);
}

static uint32_t
host_of(const struct tracker_swarms *t, const struct addr *a)
{
	return (uint32_t)(mix_bytes(t->seed, a->ip, host_bytes(a)) % HOSTS);
}

static void
lone_leave(struct tracker_swarms *t, struct swarm *s)
{
	if (!s->lone)
		return;
	s->lone = false;
	TAILQ_REMOVE(&t->lone, s, by_news);
	TAILQ_REMOVE(&t->hosts[s->host].lone, s, in_host);
	t->hosts[s->host].count--;
}

static void
lone_enter(struct tracker_swarms *t, struct swarm *s, uint32_t host)
{
	s->lone = true;
	s->host = host;
	TAILQ_INSERT_TAIL(&t->lone, s, by_news);
	TAILQ_INSERT_TAIL(&t->hosts[host].lone, s, in_host);
	t->hosts[host].count++;
}

/* Of the host that has more than its part, if there is one: who makes up
 * torrents loses his own. */
static struct swarm *
made_up(const struct tracker_swarms *t)
{
	const struct host *most = &t->hosts[0];

	for (size_t i = 1; i < HOSTS; i++)
		if (t->hosts[i].count > most->count)
			most = &t->hosts[i];
	if (most->count > t->limits.swarms / HOST_PART)
		return TAILQ_FIRST(&most->lone);
	return NULL;
}

/* It has no peers. */
static void
swarm_drop(struct tracker_swarms *t, struct swarm *s)
{
	LIST_REMOVE(s, bucket);
	TAILQ_REMOVE(&t->empty, s, empty);
	for (int i = 0; i < GROUPS; i++)
		free(s->groups[i].peers);
	free(s);
	t->swarm_count--;
}

static void peer_drop(struct tracker_swarms *t, struct peer *p);

static int
make_place(struct tracker_swarms *t, struct error *e)
{
	struct swarm *s = TAILQ_FIRST(&t->empty);

	if (t->swarm_count < t->limits.swarms)
		return 0;
	if (!s)
		s = made_up(t);
	if (!s)
		s = TAILQ_FIRST(&t->lone);
	if (!s)
		return error_set(e, ERROR_PROTOCOL, "the tracker has no room "
				 "for more torrents");
	/* The analyzer does not see that the list gets another first one. */
	while (s->count > 0)	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		peer_drop(t, TAILQ_FIRST(&s->peers));
	swarm_drop(t, s);
	return 0;
}

/* The new swarm is an empty one until it gets its first peer. */
static struct swarm *
swarm_add(struct tracker_swarms *t, const uint8_t *info_hash, struct error *e)
{
	struct swarm *s;

	if (make_place(t, e) < 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s) {
		error_memory(e);
		return NULL;
	}
	memcpy(s->info_hash, info_hash, SHA1_SIZE);
	s->key = mix_bytes(t->seed, info_hash, SHA1_SIZE);
	TAILQ_INIT(&s->peers);
	LIST_INSERT_HEAD(swarm_bucket(t, info_hash), s, bucket);
	TAILQ_INSERT_TAIL(&t->empty, s, empty);
	t->swarm_count++;
	return s;
}

/* Peers of one host in one swarm share a bucket, so that they are counted on
 * the way; a local host may have any number and is spread by port. */
static struct peer_bucket *
peer_bucket(const struct tracker_swarms *t, const struct swarm *s,
	    const struct addr *a)
{
	uint64_t h = mix_bytes(s->key, a->ip, host_bytes(a));

	if (addr_is_local(a))
		h = hash_mix(h ^ a->port);
	return &t->peer_table[h & t->peer_mask];
}

static struct peer *
peer_find(const struct tracker_swarms *t, const struct swarm *s,
	  const struct addr *a)
{
	struct peer *p;

	LIST_FOREACH(p, peer_bucket(t, s, a), bucket) {
		if (p->swarm == s && addr_equal(&p->pub.addr, a))
			return p;
	}
	return NULL;
}

static uint8_t
group_of(const struct tracker_swarm_announce *a)
{
	return (uint8_t)((a->complete ? GROUP_COMPLETE : 0) |
			 (a->addr.family == AF_INET6 ? GROUP_V6 : 0));
}

/* Makes room for one more. */
static int
group_reserve(struct group *g)
{
	uint32_t size = g->size ? g->size * 2 : GROUP_FIRST_SIZE;
	struct peer **peers;

	if (g->count < g->size)
		return 0;
	peers = realloc(g->peers, size * sizeof(struct peer *));
	if (!peers)
		return -1;
	g->peers = peers;
	g->size = size;
	return 0;
}

static void
group_enter(struct tracker_swarms *t, struct peer *p, uint8_t group)
{
	struct group *g = &p->swarm->groups[group];

	p->group = group;
	p->place = g->count;
	g->peers[g->count++] = p;
	if (group & GROUP_COMPLETE)
		t->complete_count++;
}

static void
group_leave(struct tracker_swarms *t, struct peer *p)
{
	struct group *g = &p->swarm->groups[p->group];
	struct peer *last = g->peers[--g->count];

	g->peers[p->place] = last;
	last->place = p->place;
	if (p->group & GROUP_COMPLETE)
		t->complete_count--;
	if (g->count == 0) {
		free(g->peers);
		*g = (struct group){0};
	}
}

static void
peer_drop(struct tracker_swarms *t, struct peer *p)
{
	struct swarm *s = p->swarm;

	group_leave(t, p);
	LIST_REMOVE(p, bucket);
	TAILQ_REMOVE(&t->by_age, p, by_age);
	TAILQ_REMOVE(&s->peers, p, in_swarm);
	if (p->paused)
		s->paused--;
	free(p);
	t->peer_count--;
	if (--s->count == 0) {
		lone_leave(t, s);
		TAILQ_INSERT_TAIL(&t->empty, s, empty);
	} else if (s->count == 1 && !s->lone) {
		lone_enter(t, s, host_of(t, &TAILQ_FIRST(&s->peers)->pub.addr));
	}
}

static bool
is_same_host(const struct addr *a, const struct addr *b)
{
	return a->family == b->family &&
	       memcmp(a->ip, b->ip, host_bytes(a)) == 0;
}

/* The peer that has to go before one more of this host may come, if any. */
static struct peer *
peer_in_excess(const struct tracker_swarms *t, const struct swarm *s,
	       const struct addr *a)
{
	struct peer *p, *oldest = NULL;
	uint32_t count = 0;

	if (addr_is_local(a))
		return NULL;
	LIST_FOREACH(p, peer_bucket(t, s, a), bucket) {
		if (p->swarm != s || !is_same_host(&p->pub.addr, a))
			continue;
		count++;
		if (!oldest || p->seen_ns < oldest->seen_ns)
			oldest = p;
	}
	return count >= t->limits.per_host ? oldest : NULL;
}

static void
make_room(struct tracker_swarms *t, struct swarm *s, const struct addr *a)
{
	struct peer *p = peer_in_excess(t, s, a);

	if (!p && s->count >= t->limits.per_swarm)
		p = TAILQ_FIRST(&s->peers);
	if (!p && t->peer_count >= t->limits.peers) {
		const struct swarm *gone = made_up(t);

		p = gone ? TAILQ_FIRST(&gone->peers) : TAILQ_FIRST(&t->by_age);
	}
	if (p)
		peer_drop(t, p);
}

static struct peer *
peer_add(struct tracker_swarms *t, struct swarm *s,
	 const struct tracker_swarm_announce *a)
{
	struct peer *p = calloc(1, sizeof(*p));
	uint8_t group = group_of(a);

	if (!p)
		return NULL;
	make_room(t, s, &a->addr);
	if (group_reserve(&s->groups[group]) != 0) {
		free(p);
		return NULL;
	}
	p->pub.addr = a->addr;
	p->swarm = s;
	LIST_INSERT_HEAD(peer_bucket(t, s, &a->addr), p, bucket);
	TAILQ_INSERT_TAIL(&t->by_age, p, by_age);
	TAILQ_INSERT_TAIL(&s->peers, p, in_swarm);
	if (s->count++ == 0) {
		TAILQ_REMOVE(&t->empty, s, empty);
		lone_enter(t, s, host_of(t, &a->addr));
	} else if (host_of(t, &a->addr) != s->host) {
		lone_leave(t, s);
	}
	t->peer_count++;
	group_enter(t, p, group);
	return p;
}

/* Brings a known peer up to date. */
static int
peer_update(struct tracker_swarms *t, struct peer *p,
	    const struct tracker_swarm_announce *a, int64_t now)
{
	struct swarm *s = p->swarm;
	uint8_t group = group_of(a);
	bool paused = a->event == TRACKER_SWARM_PAUSED && !a->complete;

	if (group != p->group) {
		if (group_reserve(&s->groups[group]) != 0)
			return -1;
		group_leave(t, p);
		group_enter(t, p, group);
	}
	if (paused != p->paused)
		s->paused += paused ? 1 : UINT32_MAX;
	p->paused = paused;
	if (a->event == TRACKER_SWARM_COMPLETED && !p->counted) {
		p->counted = true;	/* UDP repeats what got lost */
		s->downloaded++;
	}
	memcpy(p->pub.id, a->peer_id, sizeof(p->pub.id));
	p->seen_ns = now;
	TAILQ_REMOVE(&t->by_age, p, by_age);
	TAILQ_INSERT_TAIL(&t->by_age, p, by_age);
	TAILQ_REMOVE(&s->peers, p, in_swarm);
	TAILQ_INSERT_TAIL(&s->peers, p, in_swarm);
	if (s->lone) {
		lone_leave(t, s);
		lone_enter(t, s, s->host);
	}
	return 0;
}

int
tracker_swarms_announce(struct tracker_swarms *t,
			const struct tracker_swarm_announce *a, int64_t now,
			struct error *e)
{
	struct swarm *s = swarm_find(t, a->info_hash);
	struct peer *p;

	tracker_swarms_expire(t, now);
	if (a->addr.port == 0)
		return 0;
	if (a->event == TRACKER_SWARM_STOPPED) {
		p = s ? peer_find(t, s, &a->addr) : NULL;
		if (p)
			peer_drop(t, p);
		return 0;
	}
	if (!s)
		s = swarm_add(t, a->info_hash, e);
	if (!s)
		return -1;
	p = peer_find(t, s, &a->addr);
	if (!p)
		p = peer_add(t, s, a);
	if (!p || peer_update(t, p, a, now) != 0)
		return error_memory(e);
	return 0;
}

static bool
may_have(const struct tracker_swarm_announce *a, const struct peer *p)
{
	if (addr_equal(&a->addr, &p->pub.addr) ||
	    memcmp(a->peer_id, p->pub.id, sizeof(p->pub.id)) == 0)
		return false;
	return addr_is_loopback(&a->addr) ||
	       !addr_is_loopback(&p->pub.addr);
}

static uint32_t
greatest_common_divisor(uint32_t a, uint32_t b)
{
	while (b != 0) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Walks over both groups from a random place in strides that have no divisor
 * in common with their size: each peer is met once, neighbours apart. */
size_t
tracker_swarms_pick(struct tracker_swarms *t,
		    const struct tracker_swarm_announce *a, uint16_t family,
		    struct tracker_swarm_peer *out, size_t max)
{
	const struct swarm *s = swarm_find(t, a->info_hash);
	unsigned v6 = family == AF_INET6 ? GROUP_V6 : 0;
	bool wants_data = !a->complete && a->event != TRACKER_SWARM_PAUSED;
	const struct group *seeds, *others;
	uint32_t total, stride, at;
	size_t n = 0;

	if (!s)
		return 0;
	others = &s->groups[v6];
	seeds = &s->groups[v6 | GROUP_COMPLETE];
	total = others->count + (wants_data ? seeds->count : 0);
	if (total == 0)
		return 0;
	at = (uint32_t)(next_random(t) % total);
	stride = (uint32_t)(next_random(t) % total) + 1;
	while (greatest_common_divisor(stride, total) != 1)
		stride--;
	for (uint32_t i = 0; i < total && n < max; i++) {
		const struct peer *p;

		p = at < others->count ? others->peers[at]
				       : seeds->peers[at - others->count];
		if (may_have(a, p))
			out[n++] = p->pub;
		at = (uint32_t)(((uint64_t)at + stride) % total);
	}
	return n;
}

struct tracker_swarm_counts
tracker_swarms_counts(const struct tracker_swarms *t,
		      const uint8_t info_hash[SHA1_SIZE])
{
	const struct swarm *s = swarm_find(t, info_hash);
	struct tracker_swarm_counts c = {0};

	if (!s)
		return c;
	c.complete = s->groups[GROUP_COMPLETE].count +
		     s->groups[GROUP_COMPLETE | GROUP_V6].count;
	c.incomplete = s->count - c.complete;
	c.downloaders = c.incomplete - s->paused;
	c.downloaded = s->downloaded;
	return c;
}

int64_t
tracker_swarms_expire(struct tracker_swarms *t, int64_t now)
{
	struct peer *p, *next;

	for (p = TAILQ_FIRST(&t->by_age); p; p = next) {
		if (now - p->seen_ns < t->limits.life_ns)
			return p->seen_ns + t->limits.life_ns;
		next = TAILQ_NEXT(p, by_age);
		peer_drop(t, p);
	}
	return CLOCK_NEVER;
}

struct tracker_swarm_totals
tracker_swarms_totals(const struct tracker_swarms *t)
{
	return (struct tracker_swarm_totals){
		.swarms = t->swarm_count,
		.peers = t->peer_count,
		.complete = t->complete_count,
	};
}

void
tracker_swarms_free(struct tracker_swarms *t)
{
	struct swarm *s;

	if (!t)
		return;
	/* The analyzer does not see that a list gets another first one. */
	while (!TAILQ_EMPTY(&t->by_age))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		peer_drop(t, TAILQ_FIRST(&t->by_age));
	while ((s = TAILQ_FIRST(&t->empty)) != NULL)
		swarm_drop(t, s);
	free(t->swarm_table);
	free(t->peer_table);
	free(t);
}
