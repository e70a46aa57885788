#include "discover/peerlist.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "discover/blocklist.h"
#include "peerlist_parts.h"

#define FAILURES_SOON 3		/* that make one wait for two minutes */

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

size_t
peerlist_find_locked(const struct peerlist *l, const struct addr *a)
{
	for (size_t i = 0; i < l->count; i++) {
		if (addr_equal(&l->entries[i].addr, a))
			return i;
	}
	return NONE;
}

void
peerlist_remove_locked(struct peerlist *l, size_t i)
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

/* A peer says of others, or of itself, what it likes and as often as it likes;
 * the DHT is open to all, too, but has many voices. */
static unsigned
trust_in(enum peer_source source)
{
	static const unsigned trust[PEER_SOURCES] = {
		[PEER_TRACKER] = 2,
		[PEER_LSD] = 2,
		[PEER_MANUAL] = 2,
		[PEER_DHT] = 1,
	};

	return trust[source];
}

/* Is a the better one to keep?  A flood of addresses from those that are
 * little trusted drives out none that others told us of. */
static bool
keeps(const struct entry *a, const struct entry *b)
{
	if (a->failures == b->failures && a->trust != b->trust)
		return a->trust > b->trust;
	return better(a, b);
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
		if (worst == NONE || keeps(&l->entries[worst], en))
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
		if (worst == NONE || !keeps(newcomer, &l->entries[worst]))
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
	if (trust_in(source) > en->trust)
		en->trust = trust_in(source);
	if (source == PEER_MANUAL || en->source == PEER_HOLEPUNCH)
		en->source = source;
}

bool
peerlist_add_locked(struct peerlist *l, const struct entry *newcomer)
{
	size_t at = peerlist_find_locked(l, &newcomer->addr);
	struct entry *place;

	if (at != NONE) {
		renew(&l->entries[at], newcomer->source, newcomer->flags);
		return false;
	}
	if (peerlist_is_self_locked(l, &newcomer->addr) ||
	    peerlist_is_banned_locked(l, newcomer->key))
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
				 .trust = trust_in(source),
				 .flags = flags,
				 .not_before = now};
	bool added;

	if (!addr_usable(a) || blocklist_has(l->blocklist, a))
		return false;
	newcomer.key = peerlist_key(l, a);
	mutex_lock(&l->lock);
	newcomer.priority = peerlist_priority_locked(l, a);
	added = peerlist_add_locked(l, &newcomer);
	mutex_unlock(&l->lock);
	return added;
}

bool
peerlist_wanted_locked(const struct peerlist *l, const struct entry *en)
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

		if (en->not_before <= now && peerlist_wanted_locked(l, en) &&
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

int64_t
peerlist_next_due(struct peerlist *l, int64_t now)
{
	int64_t due = CLOCK_NEVER;

	mutex_lock(&l->lock);
	for (size_t i = 0; i < l->count; i++) {
		if (peerlist_wanted_locked(l, &l->entries[i]))
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
	at = peerlist_find_locked(l, a);
	if (at != NONE && l->entries[at].state == DIALLING) {
		en = &l->entries[at];
		en->state = IDLE;
		if (en->not_before < until)
			en->not_before = until;
		if (en->source == PEER_HOLEPUNCH)
			peerlist_remove_locked(l, at);
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
	size_t at = peerlist_find_locked(l, a);
	unsigned n = FAILURES_SOON;
	struct entry *en;

	if (at == NONE)
		return;
	en = &l->entries[at];
	en->state = IDLE;
	if (en->failures < FAILURES_SOON)
		n = ++en->failures;
	en->not_before = now + backoff(l, en, n);
	if (peerlist_is_banned_locked(l, en->key))
		peerlist_remove_locked(l, at);
}

/* Counts a failure; `more` makes it weigh like so many further ones. */
static void
fail_locked(struct peerlist *l, const struct addr *a, unsigned more,
	    int64_t now) REQUIRES(l->lock)
{
	size_t at = peerlist_find_locked(l, a);
	struct entry *en;

	if (at == NONE)
		return;
	en = &l->entries[at];
	en->state = IDLE;
	en->at_once = false;
	if (en->failures < 1000)
		en->failures++;
	en->not_before = now + backoff(l, en, en->failures + more);
	if (peerlist_is_banned_locked(l, en->key) ||
	    en->source == PEER_HOLEPUNCH)
		peerlist_remove_locked(l, at);
}

/* No handshake came of it, whichever way: who was told of it may know it by
 * the other hash alone. */
static void
fail_handshake_locked(struct peerlist *l, const struct addr *a, int64_t now)
    REQUIRES(l->lock)
{
	size_t at = peerlist_find_locked(l, a);

	if (at != NONE && l->hybrid && !l->entries[at].met)
		l->entries[at].flags ^= PEERLIST_V2;
	fail_locked(l, a, 0, now);
}

void
peerlist_failed(struct peerlist *l, const struct addr *a,
		enum peer_failure how, int64_t now)
{
	mutex_lock(&l->lock);
	if (how == PEER_NO_ROUTE)
		fail_no_route_locked(l, a, now);
	else if (how == PEER_BAD_HANDSHAKE)
		fail_handshake_locked(l, a, now);
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
	at = peerlist_find_locked(l, a);
	if (at != NONE) {
		en = &l->entries[at];
		again = !en->turned && !peerlist_is_banned_locked(l, en->key);
		en->turned = again;
		en->flags ^= PEERLIST_PLAIN;
		en->state = IDLE;
		en->not_before = now;
	}
	if (!again)
		fail_handshake_locked(l, a, now);
	mutex_unlock(&l->lock);
	return again;
}

bool
peerlist_turn_to_utp(struct peerlist *l, const struct addr *a, int64_t now)
{
	struct entry *en;
	bool first = false;
	size_t at;

	mutex_lock(&l->lock);
	at = peerlist_find_locked(l, a);
	if (at != NONE) {
		en = &l->entries[at];
		if (en->state != DIALLING)
			en->flags |= PEERLIST_BY_UTP;
		first = !en->utp_tried && en->state != DIALLING;
		if (first && en->state == IDLE)
			en->not_before = now;
		if (first && en->state == CONNECTED)
			en->at_once = true;
		en->utp_tried = en->utp_tried || first;
	}
	mutex_unlock(&l->lock);
	return first;
}

void
peerlist_redial(struct peerlist *l, const struct addr *a, int64_t now)
{
	size_t at;

	mutex_lock(&l->lock);
	at = peerlist_find_locked(l, a);
	if (at != NONE && l->entries[at].state == CONNECTED)
		l->entries[at].at_once = true;
	/* One that came in is here under another port. */
	if (at != NONE && l->entries[at].state == IDLE) {
		l->entries[at].failures = 0;
		l->entries[at].not_before = now;
	}
	mutex_unlock(&l->lock);
}

bool
peerlist_connected(struct peerlist *l, const struct addr *a)
{
	uint64_t key = peerlist_key(l, a);
	bool fine;
	size_t at;

	mutex_lock(&l->lock);
	at = peerlist_find_locked(l, a);
	fine = !peerlist_is_banned_locked(l, key);
	if (at != NONE && l->entries[at].state == CONNECTED)
		fine = false;
	if (fine && at != NONE) {
		l->entries[at].state = CONNECTED;
		l->entries[at].met = true;
		l->entries[at].turned = false;
		l->entries[at].at_once = false;
	}
	mutex_unlock(&l->lock);
	return fine;
}

/* It may be dialled again, but not before then. */
static void
leave_locked(struct peerlist *l, size_t at, int64_t until) REQUIRES(l->lock)
{
	struct entry *en = &l->entries[at];

	en->state = IDLE;
	en->failures = 0;
	en->not_before = until;
	if (peerlist_is_banned_locked(l, en->key))
		peerlist_remove_locked(l, at);
}

void
peerlist_disconnected(struct peerlist *l, const struct addr *a, bool useful,
		      int64_t now)
{
	size_t at;

	mutex_lock(&l->lock);
	at = peerlist_find_locked(l, a);
	if (at != NONE && l->entries[at].at_once &&
	    !peerlist_is_banned_locked(l, l->entries[at].key)) {
		l->entries[at].at_once = false;
		l->entries[at].state = IDLE;
		l->entries[at].not_before = now;
		if (useful)
			l->entries[at].failures = 0;
	} else if (!useful) {
		fail_locked(l, a, 2, now);
	} else if (at != NONE) {
		leave_locked(l, at, now + backoff(l, &l->entries[at], 0));
	}
	mutex_unlock(&l->lock);
}

void
peerlist_turned_over(struct peerlist *l, const struct addr *a, int64_t until)
{
	size_t at;

	mutex_lock(&l->lock);
	at = peerlist_find_locked(l, a);
	if (at != NONE && l->entries[at].state != DIALLING) {
		l->entries[at].at_once = false;
		leave_locked(l, at, until);
	}
	mutex_unlock(&l->lock);
}

void
peerlist_set_flags(struct peerlist *l, const struct addr *a, unsigned flags)
{
	size_t at;

	mutex_lock(&l->lock);
	at = peerlist_find_locked(l, a);
	if (at != NONE)
		l->entries[at].flags |= flags;
	mutex_unlock(&l->lock);
}

void
peerlist_clear_flags(struct peerlist *l, const struct addr *a, unsigned flags)
{
	size_t at;

	mutex_lock(&l->lock);
	at = peerlist_find_locked(l, a);
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
	at = peerlist_find_locked(l, a);
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
	at = peerlist_find_locked(l, a);
	if (at != NONE)
		source = l->entries[at].source;
	mutex_unlock(&l->lock);
	return source;
}

void
peerlist_set_seeding(struct peerlist *l, bool seeding)
{
	mutex_lock(&l->lock);
	l->seeding = seeding;
	mutex_unlock(&l->lock);
}

void
peerlist_set_hybrid(struct peerlist *l)
{
	mutex_lock(&l->lock);
	l->hybrid = true;
	mutex_unlock(&l->lock);
}

size_t
peerlist_ready(struct peerlist *l, int64_t now, struct addr *out, size_t max)
{
	size_t n = 0;

	mutex_lock(&l->lock);
	for (size_t i = 0; i < l->count && n < max; i++) {
		const struct entry *en = &l->entries[i];

		if (en->not_before <= now && peerlist_wanted_locked(l, en))
			out[n++] = en->addr;
	}
	mutex_unlock(&l->lock);
	return n;
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
		if (en->not_before <= now && peerlist_wanted_locked(l, en))
			out->ready++;
	}
	mutex_unlock(&l->lock);
}
