#include "swarm/asking.h"

#define BITS_LOG 6

/* In each round others share a bit.  The multiplier is 2^64 divided by the
 * golden ratio. */
static uint64_t
bit_of(const struct asking *a, uint64_t source)
{
	uint64_t h = (source ^ a->rounds) * 0x9e3779b97f4a7c15u;

	h ^= h >> 32;
	return (uint64_t)1 << (h * 0x9e3779b97f4a7c15u >> (64 - BITS_LOG));
}

static bool
is_full(const struct asking *a)
{
	return __builtin_popcountll(a->asked) >= 1 << a->rounds;
}

bool
asking_begin(struct asking *a, uint64_t source, int64_t now, int64_t *retry)
{
	if (a->asked != 0 && a->last == source && now - a->at < ASKING_AGAIN) {
		*retry = clock_min(*retry, a->at + ASKING_AGAIN);
		return false;
	}
	if (a->asked != 0 && now - a->at >= ASKING_WAIT) {
		a->asked = 0;
		if (a->rounds < BITS_LOG)
			a->rounds++;
	}
	if (is_full(a) || a->asked & bit_of(a, source)) {
		*retry = clock_min(*retry, a->at + ASKING_WAIT);
		return false;
	}
	if (a->asked == 0)
		a->at = now;
	a->asked |= bit_of(a, source);
	a->last = source;
	return true;
}

void
asking_end(struct asking *a, uint64_t source)
{
	a->asked &= ~bit_of(a, source);
}

bool
patience_allows(struct patience *p, unsigned most, int64_t now,
		int64_t *retry)
{
	int64_t until = p->since + ASKING_WAIT + (ASKING_REST << p->lost);

	if (p->owed == 0)
		return true;
	if (p->owed < most && now - p->since < ASKING_WAIT)
		return true;
	if (now < until) {
		*retry = until;
		return false;
	}
	if (p->lost < ASKING_DOUBLINGS)
		p->lost++;
	p->owed = 0;
	return true;
}

void
patience_asked(struct patience *p, int64_t now)
{
	if (p->owed++ == 0)
		p->since = now;
}

void
patience_answered(struct patience *p, int64_t now)
{
	p->owed--;
	p->lost = 0;
	p->since = now;
}
