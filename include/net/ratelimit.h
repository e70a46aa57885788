/*
 * ratelimit: a token bucket by reservation, shared by every peer thread.
 *
 * A thread reserves a portion, is told the moment from which these bytes may
 * flow, waits for it in its own poll, and moves them.  The bucket is one
 * number, the moment up to which the rate is sold: a reservation pushes it
 * on and gets the new value.  So threads that hold one reservation each are
 * served in the order in which they asked, and share the rate evenly.
 *
 * A bucket that lies idle saves up RATELIMIT_BURST_NS of its rate and no
 * more; it makes good a thread that woke late, and keeps the error over ten
 * seconds below 5 %.
 *
 * The rate may change.  What is sold takes as long as the new rate needs for
 * it; who was told a moment may keep to it, or reckon anew in the same way.
 *
 * Threads: every function may be called from any thread.
 * Units:   rates in bytes a second, times in nanoseconds of clock_ns.
 */
#ifndef BTGET_NET_RATELIMIT_H
#define BTGET_NET_RATELIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/sync.h"

#define RATELIMIT_BURST_NS (250 * CLOCK_MS)

struct ratelimit {
	struct mutex lock;
	_Atomic uint64_t rate_bps;	/* 0: no limit */
	int64_t paid_until_ns;		/* lock; CLOCK_NEVER: not yet begun */
};

/* bytes_per_s of 0 is no limit. */
void ratelimit_init(struct ratelimit *r, uint64_t bytes_per_s);
void ratelimit_release(struct ratelimit *r);
void ratelimit_set(struct ratelimit *r, uint64_t bytes_per_s, int64_t now_ns);

static inline uint64_t
ratelimit_rate(const struct ratelimit *r)
{
	return atomic_load_explicit(&r->rate_bps, memory_order_relaxed);
}

static inline bool
ratelimit_enabled(const struct ratelimit *r)
{
	return ratelimit_rate(r) != 0;
}

/* Reserves bytes (at most RATELIMIT_PORTION_MAX) and returns when they may
 * flow: now_ns or later, and now_ns where there is no limit. */
#define RATELIMIT_PORTION_MAX (64u << 20)
int64_t ratelimit_reserve(struct ratelimit *r, size_t bytes, int64_t now_ns);

/* Gives back what was reserved and did not flow: the other side had less, or
 * is gone.  Moments that others were told stay as they are. */
void ratelimit_return(struct ratelimit *r, size_t bytes);

/* Is more asked for than may flow by now? */
bool ratelimit_is_ahead(struct ratelimit *r, int64_t now_ns);

/*
 * How fast a socket should send what is reserved at this rate, in bytes a
 * second: a block that goes all at once stands in the queue of our line, and
 * all that comes behind waits for it.  A little faster than the rate, so that
 * it is gone before the next one; not so slow that our own messages, which
 * come behind it in the socket, wait for long.  UINT32_MAX: as it likes, as
 * there is no limit, or a block is not felt.
 */
uint32_t ratelimit_pace(uint64_t rate_bps);

/* The most that one reservation should take, so that a low rate flows evenly
 * and nobody waits long behind others: an eighth of a second's worth, at
 * least 1 KiB, at most max. */
size_t ratelimit_portion(const struct ratelimit *r, size_t max);

#endif
