#include "discover/dht_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "discover/dht_table.h"

struct stored {
	struct addr addr;
	int64_t at;
	bool seed;
};

struct swarm {
	struct dht_id hash;
	struct stored *peers;
	size_t count;
	size_t size;
};

struct dht_store {
	struct swarm *swarms;	/* sorted by hash */
	size_t count;
	size_t size;
	size_t peers;		/* of all */
};

struct dht_store *
dht_store_new(void)
{
	return calloc(1, sizeof(struct dht_store));
}

void
dht_store_free(struct dht_store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++)
		free(s->swarms[i].peers);
	free(s->swarms);
	free(s);
}

/* Where the swarm is, or belongs. */
static size_t
place(const struct dht_store *s, const struct dht_id *hash, bool *there)
{
	size_t low = 0, high = s->count;

	*there = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(s->swarms[middle].hash.raw, hash->raw,
				   DHT_ID_SIZE);

		if (order == 0) {
			*there = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
drop_swarm(struct dht_store *s, size_t i)
{
	s->peers -= s->swarms[i].count;
	free(s->swarms[i].peers);
	s->count--;
	memmove(&s->swarms[i], &s->swarms[i + 1],
		(s->count - i) * sizeof(*s->swarms));
}

static void
drop_peer(struct dht_store *s, struct swarm *w, size_t i)
{
	w->peers[i] = w->peers[--w->count];
	s->peers--;
}

static size_t
stalest_peer(const struct swarm *w)
{
	size_t oldest = 0;

	for (size_t i = 1; i < w->count; i++)
		if (w->peers[i].at < w->peers[oldest].at)
			oldest = i;
	return oldest;
}

/* The swarm whose latest news is oldest goes. */
static void
drop_stalest(struct dht_store *s)
{
	size_t worst = 0;
	int64_t worst_at = CLOCK_NEVER;

	for (size_t i = 0; i < s->count; i++) {
		int64_t latest = 0;

		for (size_t j = 0; j < s->swarms[i].count; j++)
			if (s->swarms[i].peers[j].at > latest)
				latest = s->swarms[i].peers[j].at;
		if (latest < worst_at) {
			worst_at = latest;
			worst = i;
		}
	}
	if (s->count > 0)
		drop_swarm(s, worst);
}

static bool
host_full(const struct dht_store *s, const struct addr *a)
{
	size_t n = 0;

	if (addr_is_local(a))
		return false;
	for (size_t i = 0; i < s->count; i++)
		for (size_t j = 0; j < s->swarms[i].count; j++)
			n += dht_same_host(&s->swarms[i].peers[j].addr, a);
	return n >= DHT_STORE_HOST_PEERS;
}

static struct swarm *
get_swarm(struct dht_store *s, const struct dht_id *hash)
{
	bool there;
	size_t at = place(s, hash, &there);

	if (there)
		return &s->swarms[at];
	if (s->count == DHT_STORE_SWARMS) {
		drop_stalest(s);
		at = place(s, hash, &there);
	}
	if (s->count == s->size) {
		size_t size = s->size ? s->size * 2 : 8;
		struct swarm *more = realloc(s->swarms, size * sizeof(*more));

		if (!more)
			return NULL;
		s->swarms = more;
		s->size = size;
	}
	memmove(&s->swarms[at + 1], &s->swarms[at],
		(s->count - at) * sizeof(*s->swarms));
	s->swarms[at] = (struct swarm){.hash = *hash};
	s->count++;
	return &s->swarms[at];
}

static bool
put_peer(struct dht_store *s, struct swarm *w, const struct stored *new)
{
	for (size_t i = 0; i < w->count; i++)
		if (dht_same_host(&w->peers[i].addr, &new->addr)) {
			w->peers[i] = *new;
			return true;
		}
	if (host_full(s, &new->addr))
		return false;
	if (w->count == DHT_STORE_SWARM_PEERS) {
		w->peers[stalest_peer(w)] = *new;
		return true;
	}
	if (w->count == w->size) {
		size_t size = w->size ? w->size * 2 : 2;
		struct stored *more = realloc(w->peers, size * sizeof(*more));

		if (!more)
			return false;
		w->peers = more;
		w->size = size;
	}
	w->peers[w->count++] = *new;
	s->peers++;
	return true;
}

bool
dht_store_add(struct dht_store *s, const struct dht_id *hash,
	      const struct addr *peer, bool seed, int64_t now)
{
	struct stored new = {.addr = *peer, .at = now, .seed = seed};
	struct swarm *w;
	bool taken;

	if (!addr_usable(peer))
		return false;
	while (s->peers >= DHT_STORE_PEERS)
		drop_stalest(s);
	w = get_swarm(s, hash);
	if (!w)
		return false;
	taken = put_peer(s, w, &new);
	if (w->count == 0)
		drop_swarm(s, (size_t)(w - s->swarms));
	return taken;
}

size_t
dht_store_get(const struct dht_store *s, const struct dht_store_query *q,
	      struct addr *out, size_t max, int64_t now)
{
	bool there;
	size_t at = place(s, &q->hash, &there), n = 0;
	const struct swarm *w;

	if (!there)
		return 0;
	w = &s->swarms[at];
	for (size_t i = 0; i < w->count && n < max; i++) {
		const struct stored *p =
		    &w->peers[(q->random + i) % w->count];

		if (p->addr.family == q->family && !(q->noseed && p->seed) &&
		    now - p->at < DHT_STORE_LIFE)
			out[n++] = p->addr;
	}
	return n;
}

bool
dht_store_scrape(const struct dht_store *s, const struct dht_id *hash,
		 struct dht_scrape *out, int64_t now)
{
	bool there, any = false;
	size_t at = place(s, hash, &there);

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; there && i < s->swarms[at].count; i++) {
		const struct stored *p = &s->swarms[at].peers[i];

		if (now - p->at >= DHT_STORE_LIFE)
			continue;
		dht_bloom_add(p->seed ? out->seeds : out->peers, &p->addr);
		any = true;
	}
	return any;
}

void
dht_store_expire(struct dht_store *s, int64_t now)
{
	for (size_t i = s->count; i-- > 0;) {
		struct swarm *w = &s->swarms[i];

		for (size_t j = w->count; j-- > 0;)
			if (now - w->peers[j].at >= DHT_STORE_LIFE)
				drop_peer(s, w, j);
		if (w->count == 0)
			drop_swarm(s, i);
	}
}

size_t
dht_store_peers(const struct dht_store *s)
{
	return s->peers;
}

size_t
dht_store_swarms(const struct dht_store *s)
{
	return s->count;
}

/* ---- tokens ---- */

void
dht_tokens_turn(struct dht_tokens *t, const uint8_t secret[DHT_SECRET_SIZE],
		int64_t now)
{
	memcpy(t->secret[1], t->secret[0], DHT_SECRET_SIZE);
	memcpy(t->secret[0], secret, DHT_SECRET_SIZE);
	t->turned = now;
}

static void
make(const uint8_t *secret, const struct addr *ip, const struct dht_id *hash,
     uint8_t out[DHT_TOKEN_SIZE])
{
	uint8_t text[DHT_SECRET_SIZE + 16 + DHT_ID_SIZE];
	uint8_t digest[SHA256_SIZE];

	memcpy(text, secret, DHT_SECRET_SIZE);
	memcpy(text + DHT_SECRET_SIZE, ip->ip, 16);
	memcpy(text + DHT_SECRET_SIZE + 16, hash->raw, DHT_ID_SIZE);
	hash_sha256(digest, text, sizeof(text));
	memcpy(out, digest, DHT_TOKEN_SIZE);
}

void
dht_tokens_make(const struct dht_tokens *t, const struct addr *ip,
		const struct dht_id *hash, uint8_t out[DHT_TOKEN_SIZE])
{
	make(t->secret[0], ip, hash, out);
}

bool
dht_tokens_check(const struct dht_tokens *t, const struct addr *ip,
		 const struct dht_id *hash, const void *token, size_t size)
{
	uint8_t right[DHT_TOKEN_SIZE];

	if (size != sizeof(right))
		return false;
	for (int i = 0; i < 2; i++) {
		make(t->secret[i], ip, hash, right);
		if (memcmp(right, token, sizeof(right)) == 0)
			return true;
	}
	return false;
}
