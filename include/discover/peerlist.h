/*
 * peerlist: the addresses where one torrent's peers may be, whom to try
 * next, and whom never again.
 *
 * An entry is an address with its listening port.  peerlist_next hands out
 * the best one that may be dialled now; from then on it is taken until
 * peerlist_connected and peerlist_disconnected, or peerlist_failed, say how
 * it went.  A peer that came in by itself is added when it leaves, under the
 * port it says it listens on; until then it is the caller's to leave that
 * address alone.  What is known from a relay alone (PEER_HOLEPUNCH) is
 * forgotten when its dial fails.
 *
 * Bans are by IP address (an IPv6 host by its /64, unless it is local or stands
 * for a name) and remembered as keyed hashes.  What is on the blocklist is
 * never taken, and counts as banned.
 *
 * Pure: the time (clock_ns) and the key are given.
 *
 * Ownership: the blocklist is borrowed and outlives the list.
 * Threads:   any; the list has a lock of its own and calls nobody under it.
 * Source:    BEP 40 for the order among equals; BEP 55 for relays.
 */
#ifndef BTGET_DISCOVER_PEERLIST_H
#define BTGET_DISCOVER_PEERLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"

#define PEERLIST_MAX 2000	/* a sensible number of candidates */

enum peer_source {
	PEER_TRACKER,
	PEER_DHT,
	PEER_PEX,
	PEER_LSD,
	PEER_INCOMING,
	PEER_MANUAL,		/* -P: tried first, never evicted, and within
				 * minutes again */
	PEER_HOLEPUNCH,		/* a relay's word (BEP 55): for the moment */
	PEER_SOURCES,
};

/* What is known of a peer. */
#define PEERLIST_SEED 1u	/* wants nothing: of no use to a seed */
#define PEERLIST_HOLEPUNCH 8u	/* there are relays to be asked */
#define PEERLIST_PLAIN 16u	/* to be tried with a plain handshake */
#define PEERLIST_V2 32u		/* known by the v2 hash (BEP 52) */
#define PEERLIST_BY_UTP 64u	/* uTP got there, or is to be tried */
#define PEERLIST_NOT_UTP 128u	/* uTP has just failed */
#define PEERLIST_PUNCHED 256u	/* called on a relay's word */

#define PEERLIST_RELAYS 2	/* remembered of a peer, the last ones */

enum peer_failure {
	PEER_UNREACHABLE,	/* refused, timed out */
	PEER_NO_ROUTE,		/* no way of ours leads there, perhaps for now:
				 * it is tried again within minutes */
	PEER_BAD_HANDSHAKE,	/* connected, but no handshake came of it, and
				 * there is no other way (peerlist_refused) */
	PEER_REJECTED,		/* wrong torrent, or broke the protocol */
};

struct blocklist;

struct peer_candidate {
	struct addr addr;
	enum peer_source source;	/* by which it was known first */
	unsigned flags;
	unsigned failures;		/* in a row */
};

struct peerlist_config {
	size_t max;
	uint8_t key[16];	/* random: hashes of addresses, jitter */
	uint16_t port;		/* our own, for BEP 40; 0: not known yet */
	const struct blocklist *blocklist;	/* borrowed; or NULL */
};

struct peerlist_counts {
	size_t all;
	size_t connected;
	size_t dialling;
	size_t ready;		/* may be dialled now */
	size_t banned;		/* addresses on the ban list */
	size_t by_source[PEER_SOURCES];
};

struct peerlist;

struct peerlist *peerlist_new(const struct peerlist_config *config,
			      struct error *e);
void peerlist_free(struct peerlist *l);

/* True when it is new.  Ourselves, banned and unusable addresses are not
 * taken; a full list gives up its worst for a better one, but for what
 * others say none that a tracker told us of and that has not failed.  Flags
 * add up. */
bool peerlist_add(struct peerlist *l, const struct addr *a,
		  enum peer_source source, unsigned flags, int64_t now);

/* The best to dial now; it is ours to dial until told otherwise. */
bool peerlist_next(struct peerlist *l, int64_t now,
		   struct peer_candidate *out);
/* Some of those that it could hand out; how many. */
size_t peerlist_ready(struct peerlist *l, int64_t now, struct addr *out,
		      size_t max);
/* When peerlist_next will have one: now, later, or CLOCK_NEVER. */
int64_t peerlist_next_due(struct peerlist *l, int64_t now);

/* On a relay's word: true if it is ours to dial, now and by uTP alone, as
 * after peerlist_next; PEERLIST_PUNCHED is set.  It is new, or waits for its
 * turn.  Not ourselves, nor a banned or unusable address.  id is the relay's
 * connection. */
bool peerlist_punch(struct peerlist *l, const struct addr *a, uint32_t id,
		    int64_t now);
/* The relay's connection that had us call; 0: none did. */
uint32_t peerlist_caller(struct peerlist *l, const struct addr *a);
/* This connection (its number is not 0) told of the peer, and can bring us
 * together; and those that did, out of which some may have ended. */
void peerlist_add_relay(struct peerlist *l, const struct addr *a, uint32_t id);
size_t peerlist_relays(struct peerlist *l, const struct addr *a,
		       uint32_t out[PEERLIST_RELAYS]);

/* Gives back a candidate that was not dialled after all. */
void peerlist_return(struct peerlist *l, const struct addr *a);
/* The same, and it is not handed out before then. */
void peerlist_rest(struct peerlist *l, const struct addr *a, int64_t until);
void peerlist_failed(struct peerlist *l, const struct addr *a,
		     enum peer_failure how, int64_t now);
/* The network is there again: whoever failed may do so no more. */
void peerlist_hurry(struct peerlist *l, int64_t now);
/* Connected, but the handshake failed; for once it is tried again at once,
 * the other way (PEERLIST_PLAIN is turned).  False: that one has failed too,
 * and it is a failure like others. */
bool peerlist_refused(struct peerlist *l, const struct addr *a, int64_t now);
/* uTP comes first from now on: it takes no TCP, or is to be reached by uTP.
 * The first time, which is when this is true, it is dialled at once, or as
 * soon as it has left.  Nothing changes while it is being dialled. */
bool peerlist_turn_to_utp(struct peerlist *l, const struct addr *a,
			  int64_t now);
/* It is parted with, to be dialled at once, or as soon as it has left. */
void peerlist_redial(struct peerlist *l, const struct addr *a, int64_t now);
/* False when this address is connected already, or banned: close it. */
bool peerlist_connected(struct peerlist *l, const struct addr *a);
/* useful: it can be dialled again soon; else it waits longer. */
void peerlist_disconnected(struct peerlist *l, const struct addr *a,
			   bool useful, int64_t now);
/* It was connected, or came in, and had to leave for others: they are first
 * until then. */
void peerlist_turned_over(struct peerlist *l, const struct addr *a,
			  int64_t until);
void peerlist_set_flags(struct peerlist *l, const struct addr *a,
			unsigned flags);
void peerlist_clear_flags(struct peerlist *l, const struct addr *a,
			  unsigned flags);
unsigned peerlist_flags(struct peerlist *l, const struct addr *a);
/* By whom it was known first; PEER_INCOMING if it is not in the list. */
enum peer_source peerlist_source(struct peerlist *l, const struct addr *a);

/* The address turned out to be ourselves: never again. */
void peerlist_is_self(struct peerlist *l, const struct addr *a);
/* Is it known to be ourselves? */
bool peerlist_is_ours(struct peerlist *l, const struct addr *a);
/* Our own port is known, or another one. */
void peerlist_set_port(struct peerlist *l, uint16_t port);
/* The one that the router has for us in IPv4's Internet. */
void peerlist_set_mapped(struct peerlist *l, uint16_t port);
/* Our address as others see it (port is ignored). */
void peerlist_set_external(struct peerlist *l, const struct addr *ip);
/* While true, peers that are seeds are not handed out. */
void peerlist_set_seeding(struct peerlist *l, bool seeding);

/* The torrent has both hashes.  From now on, whoever answers by none of the
 * ways to shake hands is called by the other hash the next time (PEERLIST_V2
 * is turned), until it was connected once. */
void peerlist_set_hybrid(struct peerlist *l);

/* The number that stands for the peer's IP address in the picker and in the
 * ban list; never 0. */
uint64_t peerlist_key(const struct peerlist *l, const struct addr *a);
/* False: it is banned already. */
bool peerlist_ban(struct peerlist *l, uint64_t key);
bool peerlist_is_banned(struct peerlist *l, const struct addr *a);

void peerlist_count(struct peerlist *l, int64_t now,
		    struct peerlist_counts *out);

/* BEP 40's number for a pair of addresses, ports included; higher first. */
uint32_t peerlist_priority(const struct addr *us, const struct addr *peer);

#endif
