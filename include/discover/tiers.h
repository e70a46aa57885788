/*
 * tiers: when to announce to which tracker of a torrent, and what.
 *
 * All tiers go in parallel; those beyond the bound share the tiers before
 * them, so that their trackers are asked where others fail.  Within one, the
 * trackers are shuffled once and then asked in order until one answers; that
 * one moves to the front.  One that does not work and is silent for a while
 * does not keep the next one waiting: it is asked beside it.  Each tracker
 * hears `started` first, `completed` is told once a tier, `stopped`
 * goes to everyone that answered a `started`, or may have heard one just
 * before the stop: its answer is awaited for a while, so that `completed` can
 * come between the two.  A tracker that fails waits
 * 5 + 12.5 n^2 seconds after its n-th failure in a row, an hour at most, 20 %
 * more or less.
 *
 * Pure: the time (clock_ns) and a seed are given; the caller makes the
 * announces and reports how they went.  No locks.
 * Source: BEP 12 as clients practise it; BEP 31.
 */
#ifndef BTGET_DISCOVER_TIERS_H
#define BTGET_DISCOVER_TIERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "discover/tracker.h"

#define TIERS_MAX 200		/* and thus trackers asked at a time */

/* What a tracker that does not say gets, and the bounds of what it may say.
 * Small private swarms live by short intervals, so the least is low. */
#define TIERS_INTERVAL_DEFAULT 1800
#define TIERS_INTERVAL_MIN 5
#define TIERS_INTERVAL_MAX 86400
/* The wait before asking again early, if the tracker names no minimum: it
 * doubles with each early announce in a row. */
#define TIERS_EARLY 60u
/* So long a tracker that has not answered before is waited for alone. */
#define TIERS_PATIENCE 5

struct tiers;

struct tiers_config {
	const char *const *urls;	/* tier after tier */
	const size_t *sizes;		/* URLs of each tier */
	size_t count;			/* tiers */
	uint64_t seed;
	bool no_udp;			/* leaves UDP trackers out */
};

struct tiers_job {
	size_t tracker;
	const char *url;	/* valid as long as the tiers */
	const char *id;		/* the tracker's own, or ""; valid until some
				 * are added */
	enum tracker_event event;
};

struct tiers_tracker {
	const char *url;
	size_t tier;
	bool busy;
	bool started;		/* it has us on its list */
	bool working;		/* the last announce was answered */
	bool dead;		/* it asked never to come back */
	unsigned failures;	/* in a row */
	int64_t retry_at;	/* not before, after a failure */
	int64_t answered_at;
	uint32_t interval;	/* seconds, within the bounds */
	uint32_t min_interval;	/* 0: it did not say */
	int64_t seeds;		/* -1: it did not say */
	int64_t leechers;
	char error[ERROR_TEXT_MAX];	/* of the last announce, or "" */
};

/* URLs that cannot be asked, and repeated ones, are left out; of the others
 * the caller bounds the number. */
struct tiers *tiers_new(const struct tiers_config *config, struct error *e);
void tiers_free(struct tiers *t);

/* More of them, known from elsewhere: those that are not there yet come
 * behind the others, and get their `started` at once if these had it.  Of the
 * config, what it names is looked at, and nothing else. */
int tiers_add(struct tiers *t, const struct tiers_config *more, int64_t now,
	      struct error *e);

void tiers_start(struct tiers *t, int64_t now);
void tiers_completed(struct tiers *t, int64_t now);
void tiers_want_peers(struct tiers *t, int64_t now);
/* There is something new to say, in the next announces: to who has answered
 * before as early as allowed, until it has answered to that. */
void tiers_news(struct tiers *t, int64_t now);
/* The network is there again: trackers that could not be reached are due. */
void tiers_hurry(struct tiers *t, int64_t now);
/* The machine slept for so long, and trackers count it. */
void tiers_slept(struct tiers *t, int64_t ns);
/* The announce that is under way may have reached this tracker already, and
 * goes on after tiers_stop. */
void tiers_await(struct tiers *t, size_t tracker);
/* From now on there is only `stopped`, and before it a `completed` that has
 * not been told yet.  The caller has given up all other jobs under way. */
void tiers_stop(struct tiers *t);
/* It is given up as well, and nobody knows what the tracker has heard. */
void tiers_let_go(struct tiers *t, size_t tracker);

/* The next announce that is due; each ends in one of the two below. */
bool tiers_next(struct tiers *t, int64_t now, struct tiers_job *out);
void tiers_answered(struct tiers *t, size_t tracker,
		    const struct tracker_answer *answer, int64_t now);
/* Of the answer (NULL: none came) retry_in and the interval count: not to be
 * asked before. */
void tiers_failed(struct tiers *t, size_t tracker, const struct error *why,
		  const struct tracker_answer *answer, int64_t now);

/* When tiers_next will have something; CLOCK_NEVER: not by itself. */
int64_t tiers_due(const struct tiers *t);
/* The same for the tier of one tracker. */
int64_t tiers_tracker_due(const struct tiers *t, size_t tracker);
/* Stopped, nothing under way and nothing left to tell. */
bool tiers_idle(const struct tiers *t);

size_t tiers_trackers(const struct tiers *t);
const struct tiers_tracker *tiers_tracker(const struct tiers *t, size_t i);

#endif
