/*
 * tracker_swarm: who is in which swarm, as a tracker remembers it.
 *
 * A peer is known by its address and port.  It is forgotten when it says so
 * or when `life_ns` has passed since its last announce.  A swarm that lost
 * its last peer stays, for the sake of its count of downloads, until another
 * one needs its place.
 *
 * Nothing grows beyond the limits.  A full swarm, and a full house, lets go
 * of the peer that was silent longest; a host that is not local has at most
 * `per_host` peers in a swarm, so that no single one can empty it.
 * In a house full of swarms a new one takes the place of an empty one, or of
 * one whose peers are all at one host (IPv6: one /64): the longest unheard of
 * the host that has most of them, if those are many, else of all.
 *
 * Pure: time and the seed come in.  Not thread-safe.
 */
#ifndef BTGET_SESSION_TRACKER_SWARM_H
#define BTGET_SESSION_TRACKER_SWARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"
#include "base/hash.h"

#define TRACKER_SWARM_ID_SIZE 20

/* The numbers are BEP 15's; paused is BEP 21's, over HTTP only. */
enum tracker_swarm_event {
	TRACKER_SWARM_NONE = 0,
	TRACKER_SWARM_COMPLETED = 1,
	TRACKER_SWARM_STARTED = 2,
	TRACKER_SWARM_STOPPED = 3,
	TRACKER_SWARM_PAUSED = 4,
};

struct tracker_swarm_limits {
	uint32_t swarms;
	uint32_t peers;		/* in all swarms together */
	uint32_t per_swarm;
	uint32_t per_host;	/* of one address in one swarm, unless local */
	int64_t life_ns;
};

struct tracker_swarm_announce {
	uint8_t info_hash[SHA1_SIZE];
	uint8_t peer_id[TRACKER_SWARM_ID_SIZE];
	struct addr addr;	/* port 0: it cannot be reached; never kept */
	bool complete;		/* nothing is left to download */
	enum tracker_swarm_event event;
};

struct tracker_swarm_counts {
	uint32_t complete;
	uint32_t incomplete;	/* downloaders and paused ones */
	uint32_t downloaders;	/* BEP 21 */
	uint32_t downloaded;	/* how often it was completed */
};

struct tracker_swarm_peer {
	struct addr addr;
	uint8_t id[TRACKER_SWARM_ID_SIZE];
};

/* How long a peer lives that is told to announce each interval: two of them,
 * but longer than those wait that have a least interval of their own
 * (Transmission 2 min, libtorrent 5 min), and may miss one. */
int64_t tracker_swarm_life(uint32_t interval_s);

struct tracker_swarms;

/* `seed` decides which peers are picked and must not be guessable, since it
 * also keeps the hash tables even.  NULL: no memory. */
struct tracker_swarms *
tracker_swarms_new(const struct tracker_swarm_limits *limits, uint64_t seed);
void tracker_swarms_free(struct tracker_swarms *t);

/* Takes note of an announce.  Time never goes backward.  Fails when a new
 * swarm finds no place, all others being shared, or out of memory. */
int tracker_swarms_announce(struct tracker_swarms *t,
			    const struct tracker_swarm_announce *a,
			    int64_t now, struct error *e);

/* Picks up to max peers of one family for who announced, at random, and
 * returns how many: never itself, no complete ones for who is complete or
 * paused, none on loopback for who is not. */
size_t tracker_swarms_pick(struct tracker_swarms *t,
			   const struct tracker_swarm_announce *a,
			   uint16_t family, struct tracker_swarm_peer *out,
			   size_t max);

/* All zero for a swarm that is not known. */
struct tracker_swarm_counts
tracker_swarms_counts(const struct tracker_swarms *t,
		      const uint8_t info_hash[SHA1_SIZE]);

/* Forgets the peers whose life is over; returns when the next one's ends, or
 * CLOCK_NEVER. */
int64_t tracker_swarms_expire(struct tracker_swarms *t, int64_t now);

struct tracker_swarm_totals {
	uint32_t swarms;
	uint32_t peers;
	uint32_t complete;
};

struct tracker_swarm_totals
tracker_swarms_totals(const struct tracker_swarms *t);

#endif
