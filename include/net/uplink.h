/*
 * uplink: how much may be sent before the queue of our own line delays all.
 *
 * TCP fills the queue of a home line's router, and behind it wait our
 * requests and what acknowledges the data that we fetch: the download starves.
 * So once connections see a long queue, the upload is cut by half.  If that
 * helps, it was ours, and the limit is a little below what the line took; from
 * there it grows, slowly up to that rate, faster beyond, and is cut again, by
 * less.  If it does not help, or only seems to, something else makes the delay
 * (what we fetch, others in the house, a peer that lies), and the upload is
 * left alone for a while, a longer one each time.
 *
 * Pure: no clock.  Owned by one thread.
 *
 * Units:  bytes, bytes a second, nanoseconds of clock_ns.
 * Source: RFC 6817 for the idea (a target for the delay over the shortest
 *         one); draft-irtf-iccrg-ledbat-plus-plus for round trips in place
 *         of one way.
 */
#ifndef BTGET_NET_UPLINK_H
#define BTGET_NET_UPLINK_H

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

#define UPLINK_EACH (1 * CLOCK_S)	/* between two looks */
#define UPLINK_LATE (100 * CLOCK_MS)	/* a queue as long as that is cut */
#define UPLINK_EASED (50 * CLOCK_MS)	/* that it helped */
#define UPLINK_QUIET (10 * CLOCK_S)	/* the first while of leaving alone */
#define UPLINK_QUIET_MAX (600 * CLOCK_S)
#define UPLINK_LEAST 16384		/* never less a second */
#define UPLINK_LOOKS 2			/* out of which comes the rate */

enum uplink_state {
	UPLINK_FREE,		/* no limit */
	UPLINK_CUT,		/* does it help? */
	UPLINK_HELD,		/* it did: the limit grows */
};

struct uplink {
	enum uplink_state state;
	uint64_t limit_bps;	/* unless free */
	uint64_t full_bps;	/* what the line took, full */
	int64_t others;		/* of the delay: what a cut did not end */
	unsigned late;		/* looks in a row */
	unsigned early;		/* cuts in a row below full_bps */
	unsigned unknown;	/* looks in a row without a delay */
	int64_t cut_at;
	int64_t felt_at;	/* and as little is sent since */
	int64_t cut_excess;	/* the delay but for others', before the cut */
	int64_t last_excess;	/* at the last look since */
	int64_t quiet;		/* the next while; 0: UPLINK_QUIET */
	int64_t quiet_until;
	uint64_t sent[UPLINK_LOOKS];	/* of each, a ring */
	int64_t took[UPLINK_LOOKS];
	unsigned looks;
	int64_t looked_at;	/* 0: never */
};

/* Since the last look so many bytes were sent (by TCP: and came to the other
 * side), of all that the limit is for; delay is what uplink_common says, or
 * -1: nobody knows.  Returns the limit; 0: none. */
uint64_t uplink_look(struct uplink *u, uint64_t sent, int64_t delay,
		     int64_t now);

/* Back to no limit; when to leave the upload alone stays. */
void uplink_rest(struct uplink *u);

/* What our line's queue adds, out of what the connections see: all have that
 * in common, while the other end's is for each alone.  Sorts the array.  -1
 * of none. */
int64_t uplink_common(int64_t *delays, size_t n);

#endif
