#include "discover/dht_reach.h"

#include <string.h>

/* ---- whom we asked ---- */

static void
turn(struct dht_reach *r, int64_t now)
{
	if (now - r->turned < DHT_REACH_TURN)
		return;
	if (now - r->turned < 2 * DHT_REACH_TURN)
		memcpy(r->asked[1], r->asked[0], sizeof(r->asked[1]));
	else
		memset(r->asked[1], 0, sizeof(r->asked[1]));
	memset(r->asked[0], 0, sizeof(r->asked[0]));
	r->turned = now;
}

/* Without the port: routers that let in whoever we sent to mostly let in all
 * ports of it. */
static uint32_t
hash_host(const struct addr *a)
{
	struct addr host = *a;

	host.port = 0;
	return addr_hash(&host);
}

static void
bits_of(const struct addr *a, uint32_t bits[2])
{
	uint32_t hash = hash_host(a);

	bits[0] = hash % DHT_REACH_BITS;
	bits[1] = (hash >> 16) % DHT_REACH_BITS;
}

static bool
has_bit(const uint8_t *set, uint32_t bit)
{
	return set[bit / 8] >> bit % 8 & 1;
}

static bool
was_asked(const struct dht_reach *r, const struct addr *a)
{
	uint32_t bits[2];

	bits_of(a, bits);
	for (int i = 0; i < 2; i++)
		if (has_bit(r->asked[i], bits[0]) &&
		    has_bit(r->asked[i], bits[1]))
			return true;
	return false;
}

void
dht_reach_asked(struct dht_reach *r, const struct addr *to, int64_t now)
{
	uint32_t bits[2];

	turn(r, now);
	bits_of(to, bits);
	for (int i = 0; i < 2; i++)
		r->asked[0][bits[i] / 8] |= (uint8_t)(1u << bits[i] % 8);
}

/* ---- the verdict ---- */

static void
open_until(struct dht_reach *r, int64_t due)
{
	bool open = r->mapped || r->known_count < DHT_REACH_KNOWN;

	r->read_only = false;
	r->due = open ? CLOCK_NEVER : due;
}

void
dht_reach_init(struct dht_reach *r, int64_t now)
{
	memset(r, 0, sizeof(*r));
	r->turned = now;
	r->due = CLOCK_NEVER;
}

void
dht_reach_answered(struct dht_reach *r, const struct addr *from, int64_t now)
{
	uint32_t hash = hash_host(from);

	if (r->known_count == DHT_REACH_KNOWN || addr_is_local(from))
		return;
	for (unsigned i = 0; i < r->known_count; i++)
		if (r->known[i] == hash)
			return;
	r->known[r->known_count++] = hash;
	if (r->known_count == DHT_REACH_KNOWN)
		open_until(r, now + DHT_REACH_GRACE);
}

void
dht_reach_heard(struct dht_reach *r, const struct addr *from, int64_t now)
{
	turn(r, now);
	if (!addr_is_local(from) && !was_asked(r, from))
		open_until(r, now + DHT_REACH_PROOF);
}

void
dht_reach_mapped(struct dht_reach *r, bool mapped, int64_t now)
{
	if (mapped == r->mapped)
		return;
	r->mapped = mapped;
	open_until(r, now + DHT_REACH_GRACE);
}

void
dht_reach_moved(struct dht_reach *r, int64_t now)
{
	r->known_count = 0;
	open_until(r, now);
}

void
dht_reach_tick(struct dht_reach *r, int64_t now)
{
	if (now < r->due)
		return;
	if (r->read_only) {
		open_until(r, now + DHT_REACH_GRACE);
		return;
	}
	r->read_only = true;
	r->due = now + DHT_REACH_TRIAL;
}
