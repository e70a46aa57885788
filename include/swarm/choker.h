/*
 * choker: decides which peers may download from us.
 *
 * While we download, those who give us most get the regular slots (tit for
 * tat), and a few optimistic slots go round among the rest so that better
 * partners are found and newcomers get a start.  While we seed, slots go to
 * who takes data fastest, and pass on after a fair turn, or as soon as one
 * takes nothing.  A slow reader, for whom our line waits, has one beside
 * these.  Nobody is choked as long as there are slots for all.  No peer
 * changes twice within CHOKER_HOLD_NS: some clients hang up on that.
 *
 * A pure function over snapshots: no lock, no clock.  O(n log n).
 *
 * Units:  rates are bytes a second, times are monotonic nanoseconds.
 * Source: BEP 3; "Incentives Build Robustness in BitTorrent", 3.
 */
#ifndef BTGET_SWARM_CHOKER_H
#define BTGET_SWARM_CHOKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

#define CHOKER_PERIOD_NS (10 * CLOCK_S)		/* between two runs */
#define CHOKER_SOON_NS (2 * CLOCK_S)		/* while slow readers wait */
#define CHOKER_OPTIMISTIC_NS (30 * CLOCK_S)	/* an optimistic turn */
#define CHOKER_TURN_NS (60 * CLOCK_S)		/* a seeding turn, at least */
#define CHOKER_TURN_PIECES 20
#define CHOKER_IDLE_NS CHOKER_PERIOD_NS		/* it takes nothing */
#define CHOKER_NEW_NS (60 * CLOCK_S)		/* a newcomer, weighted 3 */
#define CHOKER_HOLD_NS (5 * CLOCK_S)
#define CHOKER_SLOTS_MIN 4
#define CHOKER_SLOTS_MAX 16

struct choker_peer {
	uint32_t id;
	bool interested;	/* it, in us */
	bool unchoked;		/* by us, now */
	bool optimistic;	/* its slot is an optimistic one */
	bool upload_only;	/* a seed, or BEP 21: never needs a slot */
	bool snubbed;		/* it owes us blocks for long */
	bool lags;		/* it takes less than we could give */
	uint64_t down_bps;	/* what it gives us */
	uint64_t up_bps;	/* what we give it */
	uint64_t sent_since_unchoke;	/* bytes */
	int64_t connected_at;
	int64_t changed_at;	/* last choke or unchoke; 0: never */
	int64_t took_at;	/* it last took data; 0: never */
	int64_t optimistic_at;	/* last optimistic turn's begin; 0: never */
	/* the answer */
	bool unchoke;
	bool unchoke_optimistic;	/* unchoke is set too */
	uint64_t order;		/* the choker's own */
};

struct choker_config {
	size_t slots;		/* regular and optimistic together */
	size_t optimistic;	/* of them, while downloading */
	bool seeding;
	bool limited;		/* who takes nothing may not be to blame */
	uint32_t piece_length;
	int64_t now;
	uint64_t seed;		/* a new one for each call */
};

/* Fills in the answers; the array comes back in another order.  The caller
 * acts on each peer whose `unchoke` differs from `unchoked`, and copies
 * unchoke_optimistic (setting optimistic_at when it is new). */
void choker_run(const struct choker_config *c, struct choker_peer *peers,
		size_t n);

/* After that: how long until the next one; CLOCK_NEVER when there is nobody
 * to decide about. */
int64_t choker_pause(const struct choker_config *c,
		     const struct choker_peer *peers, size_t n);

/* How many slots suit an upload limit in bytes a second; 0: no limit. */
size_t choker_slots(uint64_t up_limit_bps);

/* The rate that partners are ranked by, over some 20 seconds, with one more
 * sample of `span`: what they give comes in whole blocks, of which there may be
 * none in a short one. */
uint64_t choker_average(uint64_t bps, uint64_t sample_bps, int64_t span);

/* How many of them are optimistic: one in 8, at least 1. */
size_t choker_optimistic(size_t slots);

#endif
