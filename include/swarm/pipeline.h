/*
 * pipeline: how many requests to keep in flight to a peer.
 *
 * Enough to cover two round trips and PIPELINE_SLACK_NS at the rate the peer
 * gives: as long as the rate grows with what is asked, that more than
 * doubles each round trip, and it settles when the path or the peer is full.
 * The round trip is the shortest time from a request to its block.
 *
 * Embedded in the peer, used by its thread alone.  Pure: no clock.
 *
 * Units: rates are bytes a second, times are monotonic nanoseconds.
 */
#ifndef BTGET_SWARM_PIPELINE_H
#define BTGET_SWARM_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

#define PIPELINE_MIN 2
#define PIPELINE_START 4
#define PIPELINE_MAX 2000
#define PIPELINE_REQQ 250		/* of a peer that does not say */
#define PIPELINE_SLACK_NS (250 * CLOCK_MS)
#define PIPELINE_DEPTH_NS (3 * CLOCK_S)	/* never more worth than this */

struct pipeline {
	uint32_t limit;		/* the peer's reqq, at most PIPELINE_MAX */
	uint32_t target;
	bool snubbed;
	bool measured;		/* rate is set */
	uint64_t rate_bps;
	int64_t round_trip;	/* 0: not known */
	int64_t window_from;	/* the window being measured; 0: none */
	uint64_t window_bytes;
	int64_t window_age;	/* the youngest request served in it */
	unsigned late;		/* windows in a row slower than expected */
};

void pipeline_init(struct pipeline *l);

/* The reqq of the extension handshake; 0 counts as 1. */
void pipeline_limit(struct pipeline *l, uint32_t reqq);

/* Requests go out while none was open: the pause before is not the peer's. */
void pipeline_resume(struct pipeline *l, int64_t now);

/* A block came, request_age after it was asked for. */
void pipeline_on_block(struct pipeline *l, int64_t now, uint32_t bytes,
		       int64_t request_age);

/* The peer has not sent for too long: one request until it sends again. */
void pipeline_snubbed(struct pipeline *l);

static inline size_t
pipeline_target(const struct pipeline *l)
{
	return l->target;
}

/* What the peer gives, for struct picker_ask; 0: not known yet. */
static inline uint64_t
pipeline_rate(const struct pipeline *l)
{
	return l->rate_bps;
}

#endif
