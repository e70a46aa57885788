/*
 * Who is never dialled again, nor let in.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "discover/blocklist.h"
#include "peerlist_parts.h"

/* Of 100::/64 (RFC 6666), from which nothing ever comes: such an address stands
 * for a host that is known by its name, see session/listener. */
static bool
is_name(const struct addr *a)
{
	static const uint8_t prefix[8] = {1};

	return memcmp(a->ip, prefix, sizeof(prefix)) == 0;
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
	if (n == 16 && !addr_is_local(a) && !is_name(a))
		n = 8;
	memcpy(message, l->key, 16);
	message[16] = (uint8_t)n;
	memcpy(message + 17, a->ip, n);
	hash_sha1(out, message, 17 + n);
	key = get_u64(out);
	return key != 0 ? key : 1;
}

bool
peerlist_is_banned_locked(const struct peerlist *l, uint64_t key)
{
	for (size_t i = 0; i < l->ban_count; i++) {
		if (l->bans[i] == key)
			return true;
	}
	return false;
}

bool
peerlist_ban(struct peerlist *l, uint64_t key)
{
	bool news;

	mutex_lock(&l->lock);
	news = !peerlist_is_banned_locked(l, key);
	if (news) {
		l->bans[l->ban_next] = key;
		l->ban_next = (l->ban_next + 1) % BANS_MAX;
		if (l->ban_count < BANS_MAX)
			l->ban_count++;
	}
	/* Those in use go when they come back. */
	for (size_t i = l->count; i > 0; i--) {
		if (l->entries[i - 1].key == key &&
		    l->entries[i - 1].state == IDLE)
			peerlist_remove_locked(l, i - 1);
	}
	mutex_unlock(&l->lock);
	return news;
}

bool
peerlist_is_banned(struct peerlist *l, const struct addr *a)
{
	uint64_t key = peerlist_key(l, a);
	bool banned;

	if (blocklist_has(l->blocklist, a))
		return true;
	mutex_lock(&l->lock);
	banned = peerlist_is_banned_locked(l, key);
	mutex_unlock(&l->lock);
	return banned;
}
