/*
 * Hole punching (BEP 55): who can bring us together with a peer, and the
 * claim on one that a relay has told to call us.
 */
#include <string.h>

#include "discover/blocklist.h"
#include "peerlist_parts.h"

void
peerlist_add_relay(struct peerlist *l, const struct addr *a, uint32_t id)
{
	uint32_t *relays;
	size_t at;

	mutex_lock(&l->lock);
	at = peerlist_find_locked(l, a);
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
	at = peerlist_find_locked(l, a);
	while (at != NONE && n < PEERLIST_RELAYS &&
	       l->entries[at].relays[n] != 0) {
		out[n] = l->entries[at].relays[n];
		n++;
	}
	mutex_unlock(&l->lock);
	return n;
}

/* One that is known, and may be one of ours or banned by now. */
static bool
claim_locked(struct peerlist *l, struct entry *en, uint32_t id)
    REQUIRES(l->lock)
{
	if (peerlist_is_self_locked(l, &en->addr) ||
	    peerlist_is_banned_locked(l, en->key) ||
	    !peerlist_wanted_locked(l, en))
		return false;
	en->state = DIALLING;
	en->flags |= PEERLIST_PUNCHED;
	en->caller = id;
	return true;
}

bool
peerlist_punch(struct peerlist *l, const struct addr *a, uint32_t id,
	       int64_t now)
{
	struct entry newcomer = {.addr = *a,
				 .source = PEER_HOLEPUNCH,
				 .state = DIALLING,
				 .flags = PEERLIST_PUNCHED,
				 .caller = id,
				 .not_before = now};
	bool ours;
	size_t at;

	if (!addr_usable(a) || blocklist_has(l->blocklist, a))
		return false;
	newcomer.key = peerlist_key(l, a);
	mutex_lock(&l->lock);
	newcomer.priority = peerlist_priority_locked(l, a);
	at = peerlist_find_locked(l, a);
	ours = at != NONE ? claim_locked(l, &l->entries[at], id)
			  : peerlist_add_locked(l, &newcomer);
	mutex_unlock(&l->lock);
	return ours;
}

uint32_t
peerlist_caller(struct peerlist *l, const struct addr *a)
{
	uint32_t id = 0;
	size_t at;

	mutex_lock(&l->lock);
	at = peerlist_find_locked(l, a);
	if (at != NONE)
		id = l->entries[at].caller;
	mutex_unlock(&l->lock);
	return id;
}
