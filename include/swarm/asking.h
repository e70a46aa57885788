/*
 * asking: whom to ask for what many peers may give, when some of them never
 * answer (metadata, piece layers).
 *
 * A part is asked of one peer.  Each time that nobody gave it in ASKING_WAIT,
 * twice as many may be asked: so one who gives is found in a few rounds, and
 * while all do give, nothing comes twice.
 *
 * A peer that lets a request run out rests, longer each time in a row, while
 * others are asked.
 *
 * Pure: time comes in.  Not thread-safe.
 * Units: times are clock_ns; a source is a peer's address, as for blame.
 */
#ifndef BTGET_SWARM_ASKING_H
#define BTGET_SWARM_ASKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define ASKING_WAIT (2 * CLOCK_S)	/* then others are asked too */
#define ASKING_AGAIN (10 * CLOCK_S)	/* then the same one may be, */
#define ASKING_REST (10 * CLOCK_S)	/* and rests so long, doubled */
#define ASKING_DOUBLINGS 4		/* so often at most */

/* Of one part.  All zero: asked of nobody. */
struct asking {
	uint64_t asked;		/* a bit for each source; some share one */
	uint64_t last;
	int64_t at;		/* the first one of this round was */
	uint8_t rounds;
};

/* May this source be asked now?  Then it counts as asked.  If not, *retry
 * becomes no later than when to look again. */
bool asking_begin(struct asking *a, uint64_t source, int64_t now,
		  int64_t *retry);
/* It will not give it. */
void asking_end(struct asking *a, uint64_t source);

/* With one peer.  All zero: it owes nothing. */
struct patience {
	unsigned owed;		/* answers */
	unsigned lost;		/* waits in a row that were in vain */
	int64_t since;		/* waits for the next answer */
};

/* May the peer be asked for more, of which it may owe so much?  If not,
 * *retry is when, unless an answer comes. */
bool patience_allows(struct patience *p, unsigned most, int64_t now,
		     int64_t *retry);
void patience_asked(struct patience *p, int64_t now);
void patience_answered(struct patience *p, int64_t now);

#endif
