/*
 * places: how long a peer may keep its place while others wait for one.
 *
 * Who gives or takes data keeps it.  Who could, gets the time that it takes
 * to be unchoked; who neither has what we want nor wants what we have gets a
 * few seconds.  Nobody is made to leave while there is room.
 *
 * Pure: the times (clock_ns) are given.
 */
#ifndef BTGET_SWARM_PLACES_H
#define BTGET_SWARM_PLACES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define PLACES_MOVED (60 * CLOCK_S)	/* after the last data */
#define PLACES_CHOKED (60 * CLOCK_S)	/* it waits for us */
/* An optimistic unchoke comes each 30 s. */
#define PLACES_PROMISING (35 * CLOCK_S)
#define PLACES_UNKNOWN (20 * CLOCK_S)	/* no metadata: no telling */
#define PLACES_UNCHOKED (15 * CLOCK_S)	/* to ask us for something */
#define PLACES_IDLE (5 * CLOCK_S)

struct places_peer {
	int64_t connected_at;
	int64_t moved_at;	/* 0: there was no data ever */
	int64_t unchoked_at;	/* by us; 0: it is choked */
	bool interesting;	/* it, for us */
	bool interested;	/* it, in us */
};

/* From when on it is to make room.  Of several, the one with the earliest
 * goes.  known: we know what the torrent holds. */
int64_t places_until(const struct places_peer *p, bool known);

#endif
