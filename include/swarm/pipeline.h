/*
 * pipeline: how many requests to keep in flight to a peer.
 *
 * At the start one more with each block that comes, which doubles it each
 * round trip, until the rate grows no more.  Then as much as covers two round
 * trips and PIPELINE_SLACK_NS at the measured rate, or PIPELINE_SLACK_BYTES,
 * so that it can still grow with the path.  The round trip is the shortest
 * time from a request to its block; it is only raised when blocks keep coming
 * late however little is asked for, or when TCP says that the path became
 * longer, by a queue on it.
 *
 * Among many, a peer is patient: if it is slow it is left alone while a few
 * blocks come, and so what comes in such a rest is in flight, too.
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
/* What waits longer in the buffers of sockets has left the cache when it is
 * read: eight fast peers take 7 % more CPU time with 4 MiB. */
#define PIPELINE_SLACK_BYTES (2 << 20)
#define PIPELINE_DEPTH_NS (3 * CLOCK_S)	/* never more worth than this */

struct pipeline {
	uint32_t limit;		/* the peer's reqq, at most PIPELINE_MAX */
	uint32_t target;
	bool snubbed;
	bool patient;
	bool starting;		/* one more with each block */
	bool measured;		/* rate_bps is set */
	unsigned flat;		/* windows in a row without growth */
	unsigned late;		/* and slower than the path should be */
	uint64_t rate_bps;
	int64_t round_trip;	/* 0: not known */
	int64_t path;		/* TCP's own; 0: not known */
	int64_t window_from;	/* what is being measured; 0: nothing */
	uint64_t window_bytes;
	int64_t window_age;	/* the quickest request in it */
	int64_t request_age;	/* the last one */
	int64_t last_age;	/* and in the window before */
	int64_t second_from;
	uint64_t second_bytes;
	uint64_t second_bps;
	bool second_known;
};

void pipeline_init(struct pipeline *l);

/* The reqq of the extension handshake; 0 counts as 1. */
void pipeline_limit(struct pipeline *l, uint32_t reqq);

/* Requests go out while none was open: the pause before is not the peer's. */
void pipeline_resume(struct pipeline *l, int64_t now);

/* A block came, request_age after it was asked for. */
void pipeline_on_block(struct pipeline *l, int64_t now, uint32_t bytes,
		       int64_t request_age);
/* All that came at once has been told: blocks that come together took their
 * time together, so that the rate is not to be measured in between. */
void pipeline_on_receive(struct pipeline *l, int64_t now);

/* A packet's round trip, of late: it does not hang on how long the peer lets
 * requests wait. */
static inline void
pipeline_set_path(struct pipeline *l, int64_t round_trip)
{
	l->path = round_trip;
}

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

/* Whether it is one of many. */
static inline void
pipeline_set_patient(struct pipeline *l, bool patient)
{
	l->patient = patient;
}

/* How long a slow and patient peer may be left alone, with all of the target
 * in flight, so that a few blocks come at a time; 0: not at all, as little
 * would be won, or its rate lost. */
int64_t pipeline_rest(const struct pipeline *l);

#endif
