/*
 * Who we are: the addresses that are our own, and how that of a peer ranks
 * next to them (BEP 40).
 */
#include <string.h>

#include "base/bytes.h"
#include "discover/dht_id.h"
#include "peerlist_parts.h"

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
		return dht_crc32c(sorted, 4);
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
	return dht_crc32c(sorted, 2 * n);
}

bool
peerlist_is_self_locked(const struct peerlist *l, const struct addr *a)
{
	int family = a->family == AF_INET6 ? 1 : 0;

	if (l->external_known[family] &&
	    (a->port == l->port || (family == 0 && a->port == l->mapped)) &&
	    addr_same_ip(a, &l->external[family]))
		return true;
	for (size_t i = 0; i < l->self_count; i++) {
		if (addr_equal(&l->selves[i], a))
			return true;
	}
	return false;
}

uint32_t
peerlist_priority_locked(const struct peerlist *l, const struct addr *a)
{
	return peerlist_priority(&l->external[a->family == AF_INET6 ? 1 : 0],
				 a);
}

static void
set_priorities_locked(struct peerlist *l) REQUIRES(l->lock)
{
	for (size_t i = 0; i < l->count; i++)
		l->entries[i].priority =
		    peerlist_priority_locked(l, &l->entries[i].addr);
}

void
peerlist_is_self(struct peerlist *l, const struct addr *a)
{
	size_t at;

	mutex_lock(&l->lock);
	if (!peerlist_is_self_locked(l, a)) {
		/* The oldest goes: a host has few addresses at a time. */
		if (l->self_count == SELVES_MAX) {
			memmove(l->selves, l->selves + 1,
				(SELVES_MAX - 1) * sizeof(*l->selves));
			l->self_count--;
		}
		l->selves[l->self_count++] = *a;
	}
	at = peerlist_find_locked(l, a);
	if (at != NONE)
		peerlist_remove_locked(l, at);
	mutex_unlock(&l->lock);
}

bool
peerlist_is_ours(struct peerlist *l, const struct addr *a)
{
	bool ours;

	mutex_lock(&l->lock);
	ours = peerlist_is_self_locked(l, a);
	mutex_unlock(&l->lock);
	return ours;
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
peerlist_set_mapped(struct peerlist *l, uint16_t port)
{
	mutex_lock(&l->lock);
	l->mapped = port;
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
