#include "net/ratelimit.h"

#define PORTION_MIN 1024
#define PORTIONS_PER_S 8
#define PACE_LEAST (128u << 10)		/* a block takes an eighth of a second */
#define PACE_MOST (4u << 20)		/* or 4 ms */

/* Beyond this (16 GiB/s) the arithmetic would overflow, and no limit would
 * ever be felt. */
#define RATE_MAX (1ULL << 34)

static uint64_t
possible(uint64_t bytes_per_s)
{
	return bytes_per_s <= RATE_MAX ? bytes_per_s : 0;
}

void
ratelimit_init(struct ratelimit *r, uint64_t bytes_per_s)
{
	mutex_init(&r->lock);
	atomic_init(&r->rate_bps, possible(bytes_per_s));
	r->paid_until_ns = CLOCK_NEVER;
}

void
ratelimit_set(struct ratelimit *r, uint64_t bytes_per_s, int64_t now_ns)
{
	uint64_t rate = possible(bytes_per_s), before;
	int64_t ahead;

	mutex_lock(&r->lock);
	before = ratelimit_rate(r);
	ahead = r->paid_until_ns - now_ns;
	if (rate == 0 || before == 0)
		r->paid_until_ns = CLOCK_NEVER;
	else if (r->paid_until_ns != CLOCK_NEVER && ahead > 0)
		r->paid_until_ns = now_ns + (int64_t)((double)ahead *
				   (double)before / (double)rate);
	atomic_store(&r->rate_bps, rate);
	mutex_unlock(&r->lock);
}

void
ratelimit_release(struct ratelimit *r)
{
	mutex_release(&r->lock);
}

/* How long the rate needs for so many bytes; at most 2^26 s. */
static int64_t
duration_ns(uint64_t rate_bps, size_t bytes)
{
	uint64_t n = bytes < RATELIMIT_PORTION_MAX ? bytes
						   : RATELIMIT_PORTION_MAX;

	return (int64_t)(n * (uint64_t)CLOCK_S / rate_bps);
}

static int64_t
reserve_locked(struct ratelimit *r, size_t bytes, int64_t now_ns)
    REQUIRES(r->lock)
{
	int64_t when = r->paid_until_ns;

	if (!ratelimit_enabled(r))	/* since a moment ago */
		return now_ns;
	if (when == CLOCK_NEVER)
		when = now_ns;
	else if (when < now_ns - RATELIMIT_BURST_NS)
		when = now_ns - RATELIMIT_BURST_NS;
	when += duration_ns(ratelimit_rate(r), bytes);
	r->paid_until_ns = when;
	return when > now_ns ? when : now_ns;
}

int64_t
ratelimit_reserve(struct ratelimit *r, size_t bytes, int64_t now_ns)
{
	int64_t when;

	if (!ratelimit_enabled(r))
		return now_ns;
	mutex_lock(&r->lock);
	when = reserve_locked(r, bytes, now_ns);
	mutex_unlock(&r->lock);
	return when;
}

void
ratelimit_return(struct ratelimit *r, size_t bytes)
{
	if (!ratelimit_enabled(r))
		return;
	mutex_lock(&r->lock);
	if (r->paid_until_ns != CLOCK_NEVER)
		r->paid_until_ns -= duration_ns(ratelimit_rate(r), bytes);
	mutex_unlock(&r->lock);
}

bool
ratelimit_is_ahead(struct ratelimit *r, int64_t now_ns)
{
	bool ahead;

	mutex_lock(&r->lock);
	ahead = r->paid_until_ns != CLOCK_NEVER && r->paid_until_ns > now_ns;
	mutex_unlock(&r->lock);
	return ahead;
}

uint32_t
ratelimit_pace(uint64_t rate_bps)
{
	uint64_t pace = rate_bps + rate_bps / 8;

	if (rate_bps == 0 || rate_bps > PACE_MOST)
		return UINT32_MAX;
	return pace > PACE_LEAST ? (uint32_t)pace : PACE_LEAST;
}

size_t
ratelimit_portion(const struct ratelimit *r, size_t max)
{
	uint64_t rate_bps = ratelimit_rate(r);
	uint64_t portion = rate_bps / PORTIONS_PER_S;

	if (rate_bps == 0)
		return max;
	if (portion < PORTION_MIN)
		portion = PORTION_MIN;
	return portion < max ? (size_t)portion : max;
}
