/*
 * Pieces that are one peer's work.  Of a piece that did not match its hash
 * nobody knows who spoiled it.  So it is fetched again from one peer alone
 * (it is exclusive), who is found out if it lies: unless it is so slow that
 * the end would have to wait for it.
 */
#include "picker_impl.h"

#define SHARED_FAILURES 2	/* of a piece; then it is one peer's work */

bool
sole_may_take(const struct active *a, const struct picker_peer *pp)
{
	if (!a->exclusive || a->owner == pp)
		return true;
	return !a->owner && a->asks == 0 && a->writing == 0;
}

static double
seconds_for(const struct picker_peer *pp, uint32_t blocks)
{
	uint64_t bps = pp->rate_bps ? pp->rate_bps : UNKNOWN_RATE;

	return (double)blocks * PICKER_BLOCK / (double)bps;
}

/* How long its owner will need for the rest. */
static double
owner_needs(const struct active *a)
{
	return seconds_for(a->owner, a->blocks - a->padding - a->done);
}

/* Quick enough to begin once more from its first block. */
static bool
does_it_anew(const struct active *a, const struct picker_peer *pp)
{
	return 2 * seconds_for(pp, a->blocks) < owner_needs(a);
}

/* The end of a download must not wait for a slow one, who may be the liar.
 * Nor may a liar join in each time: the work of several proves nothing. */
static bool
may_seize(const struct active *a, const struct picker_peer *pp)
{
	if (!a->exclusive || !a->owner || a->writing > 0 ||
	    !asker_has_shown(pp) || owner_needs(a) <= SOLE_S)
		return false;
	return a->failures < SHARED_FAILURES || does_it_anew(a, pp);
}

/* Who is fast does it anew, so that it is the work of a single one again;
 * else both share the rest. */
void
sole_seize(struct picker *p, struct active *a, struct picker_peer *pp)
{
	if (does_it_anew(a, pp)) {
		active_cancel(p, a);
		active_own(p, a, pp);
	} else {
		a->exclusive = false;
		active_update(p, a);
	}
}

bool
sole_may_join(const struct active *a, const struct picker_peer *pp)
{
	return sole_may_take(a, pp) || may_seize(a, pp);
}
