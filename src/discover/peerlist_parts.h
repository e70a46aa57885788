/*
 * peerlist_parts: the inside of the list, for the files that make it up:
 *
 * peerlist.c        its life, who is tried next, and how that went
 * peerlist_self.c   our own addresses, and the order by them
 * peerlist_bans.c   who is never dialled again
 * peerlist_relays.c hole punching
 */
#ifndef BTGET_DISCOVER_PEERLIST_PARTS_H
#define BTGET_DISCOVER_PEERLIST_PARTS_H

#include "base/sync.h"
#include "discover/peerlist.h"

#define BANS_MAX 1024		/* the oldest goes */
#define SELVES_MAX 16
#define NONE SIZE_MAX

enum state { IDLE, DIALLING, CONNECTED };

struct entry {
	struct addr addr;
	enum peer_source source;
	enum state state;
	unsigned flags;
	unsigned failures;
	unsigned trust;		/* in the best of its sources */
	bool turned;		/* tried one way, and now the other */
	bool met;		/* a handshake came of it: by the right hash */
	bool utp_tried;		/* at once, instead of TCP */
	bool at_once;		/* it is dialled as soon as it has left */
	uint32_t priority;
	uint32_t relays[PEERLIST_RELAYS];	/* 0: none; the newest first */
	uint32_t caller;	/* of them, or another: see peerlist_punch */
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
	uint16_t mapped;		/* 0: not known */
	struct entry *entries;
	size_t count;
	size_t room;
	bool seeding;
	bool hybrid;
	struct addr external[2];	/* IPv4, IPv6; made up until known */
	bool external_known[2];
	struct addr selves[SELVES_MAX];
	size_t self_count;
	uint64_t bans[BANS_MAX];
	size_t ban_count;
	size_t ban_next;
};

/* ---- peerlist.c ---- */
/* Its index, or NONE. */
size_t peerlist_find_locked(const struct peerlist *l, const struct addr *a)
    REQUIRES(l->lock);
/* False when it is known (and renewed), ours, banned, or finds no place. */
bool peerlist_add_locked(struct peerlist *l, const struct entry *newcomer)
    REQUIRES(l->lock);
void peerlist_remove_locked(struct peerlist *l, size_t i) REQUIRES(l->lock);
/* May it be dialled, once its time has come? */
bool peerlist_wanted_locked(const struct peerlist *l, const struct entry *en)
    REQUIRES(l->lock);

/* ---- peerlist_self.c ---- */
bool peerlist_is_self_locked(const struct peerlist *l, const struct addr *a)
    REQUIRES(l->lock);
uint32_t peerlist_priority_locked(const struct peerlist *l,
				  const struct addr *a) REQUIRES(l->lock);

/* ---- peerlist_bans.c ---- */
bool peerlist_is_banned_locked(const struct peerlist *l, uint64_t key)
    REQUIRES(l->lock);

#endif
