/*
 * uplink: how much may be sent before the queue of our own line delays all.
 *
 * TCP fills the queue of a home line's router, and behind it wait our
 * requests and what acknowledges the data that we fetch: the download starves.
 * So once connections see a long queue, the upload is cut by half.  If that
 * helps, it was ours, and the limit is a little below what the line took; from
 * there it grows, slowly up to that rate, faster beyond, takes a step back when
 * something waits again, and is cut again, by less, if that is for long.  If a
 * cut does not help, or only seems to, something else makes the delay (what we
 * fetch, others in the house, a peer that lies), and the upload is left alone
 * for a while, a longer one each time.
 *
 * At first a few sockets fill a queue within a second, and it takes seconds to
 * empty.  So the limit begins low, and grows by a quarter each fifth of a
 * second while all that it allows comes through and nothing waits: until the
 * line is full, or is wider than those of homes.
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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

#define UPLINK_EACH (1 * CLOCK_S)	/* between two looks, */
#define UPLINK_SOON (100 * CLOCK_MS)	/* or while it changes fast */
#define UPLINK_LATE (100 * CLOCK_MS)	/* a queue as long as that is cut */
#define UPLINK_EASED (50 * CLOCK_MS)	/* and that short is all right */
#define UPLINK_QUIET (10 * CLOCK_S)	/* the first while of leaving alone */
#define UPLINK_QUIET_MAX (600 * CLOCK_S)
#define UPLINK_LEAST 16384		/* never less a second */
#define UPLINK_START 131072		/* so much a second at first */
#define UPLINK_LOOKS 20			/* out of which comes the rate */

enum uplink_state {
	UPLINK_FREE,		/* no limit */
	UPLINK_FEEL,		/* the limit grows fast, until it is felt */
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
	int64_t known_at;	/* the delay, last */
	int64_t cut_at;
	int64_t felt_at;	/* and as little is sent since */
	int64_t cut_excess;	/* the delay but for others', before the cut */
	int64_t last_excess;	/* at the last look since */
	int64_t judged_at;	/* and that was */
	bool is_ours;		/* the delay before the cut, for sure */
	unsigned stands;	/* looks with some delay: in a row; when held,
				 * steps back */
	unsigned feel_short;	/* steps in a row in which less came through */
	uint64_t feel_sent;	/* in this step */
	unsigned feel_asked;	/* looks in a row, and the limit held it up */
	int64_t feel_others;	/* others, before these */
	int64_t feel_from;
	int64_t quiet;		/* the next while; 0: UPLINK_QUIET */
	int64_t quiet_until;
	uint64_t sent[UPLINK_LOOKS];	/* of each, a ring */
	int64_t took[UPLINK_LOOKS];
	unsigned looks;
	int64_t looked_at;	/* 0: never */
};

/* Somebody may soon ask for data of ours, and what the line takes is not known
 * yet: it is felt for, unless the upload is to be left alone, from what is
 * sent by now on, as by torrents that are complete. */
void uplink_begin(struct uplink *u, uint64_t bps, int64_t now);

/* How long until the next look. */
int64_t uplink_pause(const struct uplink *u);

/* Since the last look so many bytes were sent (by TCP: and came to the other
 * side), of all that the limit is for; asked: the limit holds something up;
 * delay is what uplink_common says, or -1: nobody knows.  Returns the limit;
 * 0: none. */
uint64_t uplink_look(struct uplink *u, uint64_t sent, bool asked,
		     int64_t delay, int64_t now);

/* Back to no limit; when to leave the upload alone stays. */
void uplink_rest(struct uplink *u);

/* What our line's queue adds, out of what the connections see: all have that
 * in common, while the other end's is for each alone.  Sorts the array.  -1
 * of none. */
int64_t uplink_common(int64_t *delays, size_t n);

#endif
