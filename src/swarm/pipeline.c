#include "swarm/pipeline.h"

#include <string.h>

#define BLOCK 16384
#define WINDOW_MIN_NS (20 * CLOCK_MS)
#define WINDOW_MAX_NS (2 * CLOCK_S)
#define FLAT_WINDOWS 2		/* without growth: the start is over */
#define LATE_WINDOWS 3
#define REST_BLOCKS 6
#define REST_MAX (500 * CLOCK_MS)
#define REST_MIN (20 * CLOCK_MS)

void
pipeline_init(struct pipeline *l)
{
	memset(l, 0, sizeof(*l));
	l->limit = PIPELINE_REQQ;
	l->target = PIPELINE_START;
	l->starting = true;
}

static void
set_target(struct pipeline *l, uint64_t target)
{
	uint64_t most = l->limit;

	/* What a second brought bounds what bursts in it seem to promise. */
	if (l->second_known && l->second_bps * 3 / BLOCK < most)
		most = l->second_bps * 3 / BLOCK;
	if (most < PIPELINE_START)
		most = PIPELINE_START;
	if (target > most)
		target = most;
	if (target < PIPELINE_MIN)
		target = PIPELINE_MIN;
	if (target > l->limit)
		target = l->limit;
	l->target = (uint32_t)target;
}

void
pipeline_limit(struct pipeline *l, uint32_t reqq)
{
	l->limit = reqq < 1 ? 1 : reqq;
	if (l->limit > PIPELINE_MAX)
		l->limit = PIPELINE_MAX;
	if (l->target > l->limit)
		l->target = l->limit;
}

static void
open_window(struct pipeline *l, int64_t now)
{
	l->window_from = now;
	l->window_bytes = 0;
	l->window_age = 0;
}

void
pipeline_resume(struct pipeline *l, int64_t now)
{
	open_window(l, now);
	l->second_from = now;
	l->second_bytes = 0;
}

/* While REST_BLOCKS come. */
static int64_t
rest_time(const struct pipeline *l)
{
	int64_t bps = (int64_t)l->rate_bps, rest;

	if (!l->patient || bps < 2 * BLOCK * CLOCK_S / REST_MAX)
		return 0;
	rest = clock_min(REST_MAX, REST_BLOCKS * BLOCK * CLOCK_S / bps);
	return rest < REST_MIN ? 0 : rest;
}

/* What the rate brings in twice the round trip, in a rest, and as long again
 * as the slack: at most PIPELINE_SLACK_BYTES take. */
static int64_t
depth(const struct pipeline *l)
{
	int64_t ns = PIPELINE_SLACK_NS, most;

	if (l->rate_bps > 0) {
		most = (int64_t)((double)PIPELINE_SLACK_BYTES * CLOCK_S /
				 (double)l->rate_bps);
		ns = clock_min(ns, most);
	}
	ns += 2 * (l->path > l->round_trip ? l->path : l->round_trip) +
	      rest_time(l);
	return clock_min(ns, PIPELINE_DEPTH_NS);
}

static uint64_t
rate(uint64_t bytes, int64_t ns)
{
	return (uint64_t)((double)bytes * CLOCK_S / (double)(ns > 0 ? ns : 1));
}

/* The path became longer: blocks come late although less is asked for.  Only
 * requests count that are as young as the window: older ones may just have
 * waited behind too many. */
static void
follow_path(struct pipeline *l, int64_t now)
{
	bool late = !l->starting && l->window_age > depth(l) / 4 * 5 &&
	    l->window_age > l->last_age / 8 * 7 &&
	    l->request_age <= (now - l->window_from) / 8 * 9;

	l->late = late ? l->late + 1 : 0;
	if (l->late < LATE_WINDOWS)
		return;
	l->late = 0;
	l->round_trip = l->window_age;
	l->starting = true;
	l->flat = 0;
}

static void
close_window(struct pipeline *l, int64_t now)
{
	uint64_t bps = rate(l->window_bytes, now - l->window_from);
	uint64_t want;

	follow_path(l, now);
	if (l->measured && bps < l->rate_bps / 4 * 5)
		l->flat++;
	else
		l->flat = 0;
	if (l->flat >= FLAT_WINDOWS)
		l->starting = false;
	if (l->starting || !l->measured)
		l->rate_bps = bps > l->rate_bps ? bps : l->rate_bps;
	else
		l->rate_bps = l->rate_bps / 2 + bps / 2;
	l->measured = true;
	l->last_age = l->window_age;
	open_window(l, now);
	if (l->starting)
		return;
	want = (uint64_t)((double)l->rate_bps * (double)depth(l) / CLOCK_S /
	    BLOCK) + PIPELINE_MIN;
	set_target(l, want < 2ULL * l->target ? want : 2ULL * l->target);
}

void
pipeline_on_block(struct pipeline *l, int64_t now, uint32_t bytes,
		  int64_t request_age)
{
	if (request_age < 1)
		request_age = 1;
	if (l->snubbed) {
		l->snubbed = false;
		l->starting = true;
		l->flat = 0;
		pipeline_resume(l, now - request_age);
	}
	if (l->window_from == 0)
		pipeline_resume(l, now - request_age);
	if (l->round_trip == 0 || request_age < l->round_trip)
		l->round_trip = request_age;
	if (l->window_age == 0 || request_age < l->window_age)
		l->window_age = request_age;
	l->window_bytes += bytes;
	l->second_bytes += bytes;
	l->request_age = request_age;
	if (l->starting)
		set_target(l, l->target + 1ULL);
}

void
pipeline_on_receive(struct pipeline *l, int64_t now)
{
	int64_t window;

	if (l->window_bytes == 0)
		return;
	if (now - l->second_from >= CLOCK_S) {
		l->second_bps = rate(l->second_bytes, now - l->second_from);
		l->second_known = true;
		l->second_from = now;
		l->second_bytes = 0;
	}
	window = l->window_age < WINDOW_MAX_NS ? l->window_age :
	    WINDOW_MAX_NS;
	if (window < WINDOW_MIN_NS)
		window = WINDOW_MIN_NS;
	if (now - l->window_from >= window)
		close_window(l, now);
}

void
pipeline_snubbed(struct pipeline *l)
{
	l->snubbed = true;
	l->target = 1;
	l->rate_bps = 0;
	l->measured = false;
	l->second_known = false;
}

int64_t
pipeline_rest(const struct pipeline *l)
{
	return l->target > REST_BLOCKS ? rest_time(l) : 0;
}
