/*
 * The endgame: the blocks that others will bring last, for a peer that brings
 * them clearly sooner.
 */
#include "base/clock.h"
#include "picker_impl.h"

#define LOOK 512		/* peers, for those that need longest */
#define VICTIMS 32		/* peers whose blocks are asked for again */
#define DUPLICATES_MAX 64	/* in one call */
#define DUPLICATES_EARLY 4	/* while others still have free blocks */
#define EARLY_S 5		/* and only if that saves so much */
#define STALLED_S 5		/* a third request for a block */
#define MUTE_S 2		/* asked so long ago, and nothing came */
#define MUTE_AGES 4		/* and will take so much longer yet */

/* How long until the peer brings its request number i: what lies before it
 * at its rate, and no less than it let its oldest one wait already. */
static int64_t
time_left(const struct picker_peer *pp, uint32_t i, int64_t now)
{
	const struct request *oldest = pp->requests + pp->first;
	uint64_t bps = pp->rate_bps ? pp->rate_bps : UNKNOWN_RATE;
	double s = (double)(i + 1) * PICKER_BLOCK / (double)bps;
	int64_t left = s < 3600 ? (int64_t)(s * CLOCK_S) : 3600 * CLOCK_S;
	int64_t age = pp->requested > 0 ? now - oldest->when : 0;

	return age > left ? age : left;
}

/* Was it asked more than MUTE_S ago, and has never brought anything?  To be
 * asked for other blocks since does not make it new again. */
static bool
is_mute(const struct picker_peer *pp, int64_t now)
{
	return !asker_has_shown(pp) && pp->asked_at > 0 &&
	    now - pp->asked_at > MUTE_S * CLOCK_S;
}

/* The same as time_left, but who is mute will hardly begin soon. */
static int64_t
likely_left(const struct picker_peer *pp, uint32_t i, int64_t now)
{
	int64_t left = time_left(pp, i, now), mute;

	if (!is_mute(pp, now))
		return left;
	mute = (now - pp->asked_at) * MUTE_AGES;
	return mute > left ? mute : left;
}

/* The busy peers that will need longest, worst first. */
static unsigned
find_victims(struct picker *p, const struct take *t,
	     struct picker_peer *out[VICTIMS]) REQUIRES(p->lock)
{
	uint32_t looks = p->busies < LOOK ? p->busies : LOOK;
	uint32_t k = picker_random(p, p->busies);	/* of none: 0 */
	int64_t left[VICTIMS];
	unsigned n = 0, j;

	for (; looks > 0; looks--, k++) {
		struct picker_peer *pp = p->busy[k % p->busies];
		int64_t need = likely_left(pp, pp->live - 1, t->ask->now);

		p->steps++;
		if (pp == t->pp || (n == VICTIMS && need <= left[n - 1]))
			continue;
		if (n < VICTIMS)
			n++;
		for (j = n - 1; j > 0 && left[j - 1] < need; j--) {
			left[j] = left[j - 1];
			out[j] = out[j - 1];
		}
		left[j] = need;
		out[j] = pp;
	}
	return n;
}

/* Those that were asked for a block, less those that are mute. */
static unsigned
count_heard(const struct picker *p, const struct slot *s, int64_t now)
    REQUIRES(p->lock)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->askers; i++)
		n += !is_mute(p->by_index[s->asker[i]], now);
	return n;
}

/* How many may be asked for the block at a time: one more where it has been
 * waited for too long, or where all the others are mute.  There, who has shown
 * nothing gets one block, so that there is a place for as many as can be, and
 * none once it is mute itself. */
static unsigned
places(struct picker *p, const struct take *t, const struct slot *s,
       int64_t when) REQUIRES(p->lock)
{
	int64_t now = t->ask->now;

	if (now - when > STALLED_S * CLOCK_S)
		return ASKERS_MAX;
	if (is_mute(t->pp, now) || count_heard(p, s, now) > 0 ||
	    (!asker_has_shown(t->pp) && t->pp->live > 0))
		return ASKERS_MAX - 1;
	return ASKERS_MAX;
}

/* Among those that hold all places for a block, one who gives way to this
 * peer: if it has shown anything, one who is mute; or one who has stalled, to
 * one that has shown that it is faster, or, if he has never shown anything, to
 * one that has not been asked yet. */
static unsigned
find_stalled(struct picker *p, const struct take *t, struct active *a,
	     uint32_t block) REQUIRES(p->lock)
{
	const struct slot *s = &a->slots[block];
	int64_t now = t->ask->now;
	bool spare = asker_has_shown(t->pp) &&
	    count_heard(p, s, now) < ASKERS_MAX - 1;
	unsigned i;

	for (i = 0; i < s->askers; i++) {
		const struct picker_peer *its = p->by_index[s->asker[i]];

		if (spare && is_mute(its, now))
			break;
		/* Its oldest request mostly spares us the search. */
		if (now - its->requests[its->first].when <=
			STALLED_S * CLOCK_S ||
		    now - slot_asked_at(p, a, block, i) <= STALLED_S * CLOCK_S)
			continue;
		if (!asker_has_shown(its) &&
		    (asker_has_shown(t->pp) || t->pp->live == 0))
			break;
		if (asker_has_shown(t->pp) && time_left(its, 0, now) / 4 >
				   time_left(t->pp, t->pp->live, now))
			break;
	}
	return i;
}

static bool
may_duplicate(struct picker *p, const struct take *t,
	      const struct request *r, int64_t left) REQUIRES(p->lock)
{
	struct active *a = active_of(p, r->piece);
	const struct slot *s = &a->slots[r->block];
	unsigned stalled;

	if (s->state != SLOT_LACKING || !asker_has(t->pp, r->piece) ||
	    p->pieces[r->piece].priority == 0 || slot_has_asker(s, t->pp))
		return false;
	if (a->exclusive && a->owner != t->pp &&
	    left < SOLE_S * CLOCK_S)
		return false;
	if (s->askers >= places(p, t, s, r->when)) {
		stalled = find_stalled(p, t, a, r->block);
		if (stalled == s->askers)
			return false;
		slot_evict(p, a, r->block, stalled);
	}
	if (a->exclusive && a->owner != t->pp) {
		a->exclusive = false;
		active_update(p, a);
	}
	return true;
}

/* Takes from the end of the victim's requests: what it would bring last. */
static void
rob(struct picker *p, struct picker_peer *victim, struct take *t)
    REQUIRES(p->lock)
{
	int64_t now = t->ask->now, floor = 0;
	uint32_t position = victim->live;

	if (p->askables > 0)
		floor = EARLY_S * CLOCK_S;
	for (uint32_t i = victim->requested; i-- > 0 && t->n < t->max;) {
		struct request r = victim->requests[victim->first + i];
		int64_t left;

		p->steps++;
		if (r.cancelled)
			continue;
		left = likely_left(victim, --position, now);
		if (left < floor ||
		    time_left(t->pp, t->pp->live, now) > left / 4 * 3)
			return;
		if (!may_duplicate(p, t, &r, time_left(victim, position, now)))
			continue;
		t->out[t->n++] = block_at(p, r.piece, r.block);
		slot_ask(p, t->pp, active_of(p, r.piece), r.block, now);
	}
}

void
endgame_take(struct picker *p, struct take *t)
{
	struct picker_peer *victims[VICTIMS];
	size_t most = DUPLICATES_MAX;
	unsigned n;

	/* Who has shown nothing yet must not take all places for a block. */
	if (p->askables > 0 || !asker_has_shown(t->pp))
		most = t->pp->live == 0 ? DUPLICATES_EARLY : 0;
	if (t->max - t->n > most)
		t->max = t->n + most;
	if (t->n == t->max)
		return;
	n = find_victims(p, t, victims);
	for (unsigned i = 0; i < n && t->n < t->max; i++)
		rob(p, victims[i], t);
}
