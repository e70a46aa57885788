#include "discover/peerlist.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/sync.h"
#include "discover/blocklist.h"

#define BANS_MAX 1024		/* the oldest goes */
#define SELVES_MAX 16
#define NONE SIZE_MAX
#define FAILURES_SOON 3		/* that make one wait for two minutes */

enum state { IDLE, DIALLING, CONNECTED };

struct entry {
	struct addr addr;
	enum peer_source source;
	enum state state;
	unsigned flags;
	unsigned failures;
	bool turned;		/* tried one way, and now the other */
	uint32_t priority;
	uint32_t relays[PEERLIST_RELAYS];	/* 0: none; the newest first */
	uint64_t key;
	int64_t not_before;
};

struct peerlist {
	struct mutex lock;
	uint8_t key[16];		/* never changes */
	size_t max;			/* never changes */
	const struct blocklist *blocklist;	/* never changes */
	/* All below: lock. */
	uint16_t port;
	struct entry *entries;
	size_t count;
	size_t room;
	bool seeding;
	struct addr external[2];	/* IPv4, IPv6; made up until known */
	bool external_known[2];
	struct addr selves[SELVES_MAX];
	size_t self_count;
	uint64_t bans[BANS_MAX];
	size_t ban_count;
	size_t ban_next;
};

static uint32_t
crc32c(const uint8_t *data, size_t n)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

uint32_t
peerlist_priority(const struct addr *us, const struct addr *peer)
{
	size_t n = addr_ip_size(us);
	size_t whole = n == 4 ? 2 : 6;	/* bytes that are not masked */
	size_t same = 0;
	uint8_t pair[2][16];
	uint8_t sorted[32];
	bool swap;

	if (us->family != peer->family)
		return 0;
	while (same < n && us->ip[same] == peer->ip[same])
		same++;
	if (same == n) {
		swap = us->port > peer->port;
		put_u16(sorted, swap ? peer->port : us->port);
		put_u16(sorted + 2, swap ? us->port : peer->port);
		return crc32c(sorted, 4);
	}
	if (same >= whole)
		whole = same + 1;
	for (size_t i = 0; i < n; i++) {
		uint8_t mask = i < whole ? 0xff : 0x55;

		pair[0][i] = us->ip[i] & mask;
		pair[1][i] = peer->ip[i] & mask;
	}
	swap = memcmp(pair[0], pair[1], n) > 0;
	memcpy(sorted, pair[swap ? 1 : 0], n);
	memcpy(sorted + n, pair[swap ? 0 : 1], n);
	return crc32c(sorted, 2 * n);
}

struct peerlist *
peerlist_new(const struct peerlist_config *config, struct error *e)
{
	struct peerlist *l = calloc(1, sizeof(*l));

	if (!l) {
		error_memory(e);
		return NULL;
	}
	mutex_init(&l->lock);
	memcpy(l->key, config->key, sizeof(l->key));
	l->port = config->port;
	l->max = config->max;
	l->blocklist = config->blocklist;
	/* Until we know our address, a made-up one: with the same for all,
	 * all would rush at the same peers. */
	l->external[0].family = AF_INET;
	l->external[1].family = AF_INET6;
	memcpy(l->external[0].ip, l->key, 4);
	memcpy(l->external[1].ip, l->key, 16);
	l->external[0].port = l->port;
	l->external[1].port = l->port;
	return l;
}

void
peerlist_free(struct peerlist *l)
{
	if (!l)
		return;
	mutex_release(&l->lock);
	free(l->entries);
	free(l);
}

uint64_t
peerlist_key(const struct peerlist *l, const struct addr *a)
{
	uint8_t message[16 + 1 + 16] = {0};
	uint8_t out[SHA1_SIZE];
	size_t n = addr_ip_size(a);
	uint64_t key;

	/* Whoever has one address of a /64 has them all; but a home or a
	 * test network is one /64 with many hosts. */
	if (n == 16 && !addr_is_local(a))
		n = 8;
	memcpy(message, l->key, 16);
	message[16] = (uint8_t)n;
	memcpy(message + 17, a->ip, n);
	hash_sha1(out, message, 17 + n);
	key = get_u64(out);
	return key != 0 ? key : 1;
}

static bool
is_banned_locked(const struct peerlist *l, uint64_t key) REQUIRES(l->lock)
{
	for (size_t i = 0; i < l->ban_count; i++) {
		if (l->bans[i] == key)
			return true;
	}
	return false;
}

static size_t
find_locked(const struct peerlist *l, const struct addr *a) REQUIRES(l->lock)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->entries[i].addr.port == a->port &&
		    addr_same_ip(&l->entries[i].addr, a))
			return i;
	}
	return NONE;
}

static bool
is_self_locked(const struct peerlist *l, const struct addr *a)
    REQUIRES(l->lock)
{
	int family = a->family == AF_INET6 ? 1 : 0;

	if (l->external_known[family] && a->port == l->port &&
	    addr_same_ip(a, &l->external[family]))
		return true;
	for (size_t i = 0; i < l->self_count; i++) {
		if (addr_equal(&l->selves[i], a))
			return true;
	}
	return false;
}

static uint32_t
priority_locked(const struct peerlist *l, const struct addr *a)
    REQUIRES(l->lock)
{
	return peerlist_priority(&l->external[a->family == AF_INET6 ? 1 : 0],
				 a);
}

static void
remove_locked(struct peerlist *l, size_t i) REQUIRES(l->lock)
{
	l->entries[i] = l->entries[--l->count];
}

/* Is a the better one to dial? */
static bool
better(const struct entry *a, const struct entry *b)
{
	bool a_manual = a->source == PEER_MANUAL;
	bool b_manual = b->source == PEER_MANUAL;

	if (a_manual != b_manual)
		return a_manual;
	if (a->failures != b->failures)
		return a->failures < b->failures;
	return a->priority > b->priority;
}

/* The one that a full list can best do without. */
static size_t
worst_locked(const struct peerlist *l) REQUIRES(l->lock)
{
	size_t worst = NONE;

	for (size_t i = 0; i < l->count; i++) {
		const struct entry *en = &l->entries[i];

		if (en->state != IDLE || en->source == PEER_MANUAL)
			continue;
		if (worst == NONE || better(&l->entries[worst], en))
			worst = i;
	}
	return worst;
}

/* A place for a new entry, or NULL. */
static struct entry *
place_locked(struct peerlist *l, const struct entry *newcomer)
    REQUIRES(l->lock)
{
	struct entry *grown;
	size_t room, worst;

	if (l->count >= l->max) {
		worst = worst_locked(l);
		if (worst == NONE || !better(newcomer, &l->entries[worst]))
			return NULL;
		return &l->entries[worst];
	}
	if (l->count == l->room) {
		room = l->room == 0 ? 64 : l->room * 2;
		grown = realloc(l->entries, room * sizeof(*grown));
		if (!grown)
			return NULL;
		l->entries = grown;
		l->room = room;
	}
	return &l->entries[l->count++];
}

static void
renew(struct entry *en, enum peer_source source, unsigned flags)
{
	en->flags |= flags;
	if (source == PEER_MANUAL || en->source == PEER_HOLEPUNCH)
		en->source = source;
}

static bool
add_locked(struct peerlist *l, const struct entry *newcomer)
    REQUIRES(l->lock)
{
	size_t at = find_locked(l, &newcomer->addr);
	struct entry *place;

	if (at != NONE) {
		renew(&l->entries[at], newcomer->source, newcomer->flags);
		return false;
	}
	if (is_self_locked(l, &newcomer->addr) ||
	    is_banned_locked(l, newcomer->key))
		return false;
	place = place_locked(l, newcomer);
	if (place)
		*place = *newcomer;
	return place != NULL;
}

bool
peerlist_add(struct peerlist *l, const struct addr *a, enum peer_source source,
	     unsigned flags, int64_t now)
{
	struct entry newcomer = {.addr = *a,
				 .source = source,
				 .flags = flags,
				 .not_before = now};
	bool added;

	if (!addr_usable(a) || blocklist_has(l->blocklist, a))
		return false;
	newcomer.key = peerlist_key(l, a);
	mutex_lock(&l->lock);
	newcomer.priority = priority_locked(l, a);
	added = add_locked(l, &newcomer);
	mutex_unlock(&l->lock);
	return added;
}

void
peerlist_add_relay(struct peerlist *l, const struct addr *a, uint32_t id)
{
	uint32_t *relays;
	size_t at;

	mutex_lock(&l->lock);
	at = find_locked(l, a);
	if (at != NONE) {
		l->entries[at].flags |= PEERLIST_HOLEPUNCH;
		relays = l->entries[at].relays;
		if (relays[0] != id) {
			memmove(relays + 1, relays,
				(PEERLIST_RELAYS - 1) * sizeof(*relays));
			relays[0] = id;
		}
	}
	mutex_unlock(&l->lock);
}

size_t
peerlist_relays(struct peerlist *l, const struct addr *a,
		uint32_t out[PEERLIST_RELAYS])
{
	size_t n = 0, at;

	mutex_lock(&l->lock);
	at = find_locked(l, a);
	while (at != NONE && n < PEERLIST_RELAYS &&
	       l->entries[at].relays[n] != 0) {
		out[n] = l->entries[at].relays[n];
		n++;
	}
	mutex_unlock(&l->lock);
	return n;
}

/* May it be dialled, once its time has come? */
static bool
wanted_locked(const struct peerlist *l, const struct entry *en)
    REQUIRES(l->lock)
{
	if (en->state != IDLE)
		return false;
	return !l->seeding || !(en->flags & PEERLIST_SEED);
}

bool
peerlist_next(struct peerlist *l, int64_t now, struct peer_candidate *out)
{
	struct entry *best = NULL;

	mutex_lock(&l->lock);
	for (size_t i = 0; i < l->count; i++) {
		struct entry *en = &l->entries[i];

		if (en->not_before <= now && wanted_locked(l, en) &&
		    (!best || better(en, best)))
			best = en;
	}
	if (best) {
		best->state = DIALLING;
		out->addr = best->addr;
		out->source = best->source;
		out->flags = best->flags;
		out->failures = best->failures;
	}
	mutex_unlock(&l->lock);
	return best != NULL;
}

/* One that is known, and may be one of ours or banned by now. */
static bool
claim_locked(struct peerlist *l, struct entry *en) REQUIRES(l->lock)
{
	if (is_self_locked(l, &en->addr) || is_banned_locked(l, en->key) ||
	    !wanted_locked(l, en))
		return false;
	en->state = DIALLING;
	en->flags |= PEERLIST_PUNCHED;
	return true;
}

bool
peerlist_punch(struct peerlist *l, const struct addr *a, int64_t now)
{
	struct entry newcomer = {.addr = *a,
				 .source = PEER_HOLEPUNCH,
				 .state = DIALLING,
				 .flags = PEERLIST_PUNCHED,
				 .not_before = now};
	bool ours;
	size_t at;

	if (!addr_usable(a) || blocklist_has(l->blocklist, a))
		return false;
	newcomer.key = peerlist_key(l, a);
	mutex_lock(&l->lock);
	newcomer.priority = priority_locked(l, a);
	at = find_locked(l, a);
	ours = at != NONE ? claim_locked(l, &l->entries[at])
			  : add_locked(l, &newcomer);
	mutex_unlock(&l->lock);
	return ours;
}

int64_t
peerlist_next_due(struct peerlist *l, int64_t now)
{
	int64_t due = CLOCK_NEVER;

	mutex_lock(&l->lock);
	for (size_t i = 0; i < l->count; i++) {
		if (wanted_locked(l, &l->entries[i]))
			due = clock_min(due, l->entries[i].not_before);
	}
	mutex_unlock(&l->lock);
	return due > now ? due : now;
}

/* After the n-th failure in a row.  The first is short, for a peer that only
 * restarts; up to a fifth more, so that peers do not come back in step. */
static int64_t
backoff(const struct peerlist *l, const struct entry *en, unsigned n)
{
	static const int64_t seconds[] = {5, 10, 30, 120, 600, 1800};
	size_t last = en->source == PEER_MANUAL
			      ? FAILURES_SOON
			      : sizeof(seconds) / sizeof(*seconds) - 1;
	int64_t wait = seconds[n < last ? n : last] * CLOCK_S;
	uint64_t dice = en->key ^ l->key[0] ^
			(uint64_t)(en->failures + 1) * 0x9e3779b97f4a7c15ull;

	return wait + wait / 5 * (int64_t)(dice % 101) / 100;
}

void
peerlist_rest(struct peerlist *l, const struct addr *a, int64_t until)
{
	struct entry *en;
	size_t at;

	mutex_lock(&l->lock);
	at = find_locked(l, a);
	if (at != NONE && l->entries[at].state == DIALLING) {
		en = &l->entries[at];
		en->state = IDLE;
		if (en->not_before < until)
			en->not_before = until;
		if (en->source == PEER_HOLEPUNCH)
			remove_locked(l, at);
	}
	mutex_unlock(&l->lock);
}

void
peerlist_return(struct peerlist *l, const struct addr *a)
{
	peerlist_rest(l, a, INT64_MIN);
}

/* Ours for now, so that it does not add up; but who cannot be reached by us
 * at all (IPv6, where there is none) comes behind others. */
static void
fail_no_route_locked(struct peerlist *l, const struct addr *a, int64_t now)
    REQUIRES(l->lock)
{
	size_t at = find_locked(l, a);
	unsigned n = FAILURES_SOON;
	struct entry *en;

	if (at == NONE)
		return;
	en = &l->entries[at];
	en->state = IDLE;
	if (en->failures < FAILURES_SOON)
		n = ++en->failures;
	en->not_before = now + backoff(l, en, n);
	if (is_banned_locked(l, en->key))
		remove_locked(l, at);
}

/* Counts a failure; `more` makes it weigh like so many further ones. */
static void
fail_locked(struct peerlist *l, const struct addr *a, unsigned more,
	    int64_t now) REQUIRES(l->lock)
{
	size_t at = find_locked(l, a);
	struct entry *en;

	if (at == NONE)
		return;
	en = &l->entries[at];
	en->state = IDLE;
	if (en->failures < 1000)
		en->failures++;
	en->not_before = now + backoff(l, en, en->failures + more);
	if (is_banned_locked(l, en->key) || en->source == PEER_HOLEPUNCH)
		remove_locked(l, at);
}

void
peerlist_failed(struct peerlist *l, const struct addr *a,
		enum peer_failure how, int64_t now)
{
	mutex_lock(&l->lock);
	if (how == PEER_NO_ROUTE)
		fail_no_route_locked(l, a, now);
	else
		fail_locked(l, a, how == PEER_REJECTED ? 3 : 0, now);
	mutex_unlock(&l->lock);
}

void
peerlist_hurry(struct peerlist *l, int64_t now)
{
	mutex_lock(&l->lock);
	for (size_t i = 0; i < l->count; i++) {
		struct entry *en = &l->entries[i];

		if (en->failures > 1)
			en->failures = 1;
		if (en->not_before > now)
			en->not_before = now;
	}
	mutex_unlock(&l->lock);
}

bool
peerlist_refused(struct peerlist *l, const struct addr *a, int64_t now)
{
	struct entry *en;
	bool again = false;
	size_t at;

	mutex_lock(&l->lock);
	at = find_locked(l, a);
	if (at != NONE) {
		en = &l->entries[at];
		again = !en->turned && !is_banned_locked(l, en->key);
		en->turned = again;
		en->flags ^= PEERLIST_PLAIN;
		en->state = IDLE;
		en->not_before = now;
	}
	if (!again)
		fail_locked(l, a, 0, now);
	mutex_unlock(&l->lock);
	return again;
}

bool
peerlist_connected(struct peerlist *l, const struct addr *a)
{
	uint64_t key = peerlist_key(l, a);
	bool fine;
	size_t at;

	mutex_lock(&l->lock);
	at = find_locked(l, a);
	fine = !is_banned_locked(l, key);
	if (at != NONE && l->entries[at].state == CONNECTED)
		fine = false;
	if (fine && at != NONE) {
		l->entries[at].state = CONNECTED;
		l->entries[at].turned = false;
	}
	mutex_unlock(&l->lock);
	return fine;
}

void
peerlist_disconnected(struct peerlist *l, const struct addr *a, bool useful,
		      int64_t now)
{
	size_t at;

	mutex_lock(&l->lock);
	at = find_locked(l, a);
	if (!useful) {
		fail_locked(l, a, 2, now);
	} else if (at != NONE) {
		struct entry *en = &l->entries[at];

		en->state = IDLE;
		en->failures = 0;
		en->not_before = now + backoff(l, en, 0);
		if (is_banned_locked(l, en->key))
			remove_locked(l, at);
	}
	mutex_unlock(&l->lock);
}

void
peerlist_set_flags(struct peerlist *l, const struct addr *a, unsigned flags)
{
	size_t at;

	mutex_lock(&l->lock);
	at = find_locked(l, a);
	if (at != NONE)
		l->entries[at].flags |= flags;
	mutex_unlock(&l->lock);
}

void
peerlist_clear_flags(struct peerlist *l, const struct addr *a, unsigned flags)
{
	size_t at;

	mutex_lock(&l->lock);
	at = find_locked(l, a);
	if (at != NONE)
		l->entries[at].flags &= ~flags;
	mutex_unlock(&l->lock);
}

unsigned
peerlist_flags(struct peerlist *l, const struct addr *a)
{
	unsigned flags = 0;
	size_t at;

	mutex_lock(&l->lock);
	at = find_locked(l, a);
	if (at != NONE)
		flags = l->entries[at].flags;
	mutex_unlock(&l->lock);
	return flags;
}

enum peer_source
peerlist_source(struct peerlist *l, const struct addr *a)
{
	enum peer_source source = PEER_INCOMING;
	size_t at;

	mutex_lock(&l->lock);
	at = find_locked(l, a);
	if (at != NONE)
		source = l->entries[at].source;
	mutex_unlock(&l->lock);
	return source;
}

void
peerlist_is_self(struct peerlist *l, const struct addr *a)
{
	size_t at;

	mutex_lock(&l->lock);
	if (!is_self_locked(l, a)) {
		/* The oldest goes: a host has few addresses at a time. */
		if (l->self_count == SELVES_MAX) {
			memmove(l->selves, l->selves + 1,
				(SELVES_MAX - 1) * sizeof(*l->selves));
			l->self_count--;
		}
		l->selves[l->self_count++] = *a;
	}
	at = find_locked(l, a);
	if (at != NONE)
		remove_locked(l, at);
	mutex_unlock(&l->lock);
}

bool
peerlist_is_ours(struct peerlist *l, const struct addr *a)
{
	bool ours;

	mutex_lock(&l->lock);
	ours = is_self_locked(l, a);
	mutex_unlock(&l->lock);
	return ours;
}

static void
set_priorities_locked(struct peerlist *l) REQUIRES(l->lock)
{
	for (size_t i = 0; i < l->count; i++)
		l->entries[i].priority =
		    priority_locked(l, &l->entries[i].addr);
}

void
peerlist_set_port(struct peerlist *l, uint16_t port)
{
	mutex_lock(&l->lock);
	if (l->port != port) {
		l->port = port;
		l->external[0].port = l->external[1].port = port;
		set_priorities_locked(l);
	}
	mutex_unlock(&l->lock);
}

void
peerlist_set_external(struct peerlist *l, const struct addr *ip)
{
	int family = ip->family == AF_INET6 ? 1 : 0;
	bool changed;

	if (ip->family != AF_INET && ip->family != AF_INET6)
		return;
	mutex_lock(&l->lock);
	changed = !l->external_known[family] ||
		  !addr_same_ip(&l->external[family], ip);
	l->external[family] = *ip;
	l->external[family].port = l->port;
	l->external_known[family] = true;
	if (changed)
		set_priorities_locked(l);
	mutex_unlock(&l->lock);
}

void
peerlist_set_seeding(struct peerlist *l, bool seeding)
{
	mutex_lock(&l->lock);
	l->seeding = seeding;
	mutex_unlock(&l->lock);
}

void
peerlist_ban(struct peerlist *l, uint64_t key)
{
	mutex_lock(&l->lock);
	if (!is_banned_locked(l, key)) {
		l->bans[l->ban_next] = key;
		l->ban_next = (l->ban_next + 1) % BANS_MAX;
		if (l->ban_count < BANS_MAX)
			l->ban_count++;
	}
	/* Those in use go when they come back. */
	for (size_t i = l->count; i > 0; i--) {
		if (l->entries[i - 1].key == key &&
		    l->entries[i - 1].state == IDLE)
			remove_locked(l, i - 1);
	}
	mutex_unlock(&l->lock);
}

bool
peerlist_is_banned(struct peerlist *l, const struct addr *a)
{
	uint64_t key = peerlist_key(l, a);
	bool banned;

	if (blocklist_has(l->blocklist, a))
		return true;
	mutex_lock(&l->lock);
	banned = is_banned_locked(l, key);
	mutex_unlock(&l->lock);
	return banned;
}

void
peerlist_count(struct peerlist *l, int64_t now, struct peerlist_counts *out)
{
	memset(out, 0, sizeof(*out));
	mutex_lock(&l->lock);
	out->all = l->count;
	out->banned = l->ban_count;
	for (size_t i = 0; i < l->count; i++) {
		const struct entry *en = &l->entries[i];

		out->by_source[en->source]++;
		out->connected += en->state == CONNECTED ? 1 : 0;
		out->dialling += en->state == DIALLING ? 1 : 0;
		if (en->not_before <= now && wanted_locked(l, en))
			out->ready++;
	}
	mutex_unlock(&l->lock);
}
