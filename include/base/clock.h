/*
 * clock: the time, as the rest of the program may ask for it.
 *
 * Monotonic time is in nanoseconds since some moment in the past and is what
 * every deadline uses; wall time is for people and files.  Pure modules take
 * the time as an argument and never call these.
 *
 * Threads: any.
 */
#ifndef BTGET_BASE_CLOCK_H
#define BTGET_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define CLOCK_US 1000LL
#define CLOCK_MS 1000000LL
#define CLOCK_S 1000000000LL
#define CLOCK_NEVER INT64_MAX

int64_t clock_ns(void);		/* monotonic; stands still in suspend */
/* How long the machine was suspended, to be compared with an earlier look;
 * some microseconds off. */
int64_t clock_slept_ns(void);
double clock_wall(void);	/* seconds since the epoch */

/* Milliseconds from now until `when`, rounded up, for poll: 0 when past, -1
 * for CLOCK_NEVER, at most one hour. */
int clock_poll_ms(int64_t now, int64_t when);

/* A file's time in nanoseconds, to be compared and nothing else: beyond the
 * year 2262 it goes round. */
static inline int64_t
clock_stamp(const struct timespec *t)
{
	return (int64_t)((uint64_t)t->tv_sec * (uint64_t)CLOCK_S +
			 (uint64_t)t->tv_nsec);
}

/* The next moment of those that come each so often, and are the same for all:
 * what need not be exact is done together, and wakes the thread once. */
static inline int64_t
clock_beat(int64_t now, int64_t each)
{
	return now - now % each + each;
}

static inline int64_t
clock_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* A budget, paid for up to *paid (0 at first): may something of this cost be
 * had now, with so much at once after a while without?  Then it is paid. */
static inline bool
clock_allow(int64_t *paid, int64_t now, int64_t cost, int64_t burst)
{
	int64_t from = *paid > now ? *paid : now;

	if (from - now > burst - cost)
		return false;
	*paid = from + cost;
	return true;
}

#endif
