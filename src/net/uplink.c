#include "net/uplink.h"

#include <stdlib.h>

#define LATE_LOOKS 2		/* in a row: one may be a burst */
#define EARLY_CUTS 3		/* in a row, in vain */
#define UNKNOWN_CUT (10 * CLOCK_S)
#define UNKNOWN_HELD (60 * CLOCK_S)
#define EMPTY_IN (500 * CLOCK_MS)	/* a later cut empties the queue */
#define JUDGE_AFTER (2 * CLOCK_S)	/* and twice the delay */
#define EMPTY_MOST (20 * CLOCK_S)
#define UNDER_FULL 16		/* the limit is full_bps less one of these */
#define NEAR_FULL 8		/* as this is still what the line took */
#define STEPS 64		/* it grows by one of these a look */
#define RATE_OVER (2 * CLOCK_S)
#define BACK_LOOKS 12		/* by an UNDER_FULL, since the last cut */
/* While the line is felt: */
#define FEEL_RATE_OVER (400 * CLOCK_MS)
#define FEEL_EACH (200 * CLOCK_MS)	/* it may grow, */
#define FEEL_STEPS 4			/* by one of these, */
#define FEEL_USED 0.85			/* if so much of it came through */
#define FEEL_SHORT 2			/* in a row did not */
#define FEEL_STANDS 6			/* looks in a row */
#define FEEL_ASKED 8			/* looks in a row, and it comes through */
#define FEEL_MOST (32u << 20)		/* no line of a home */

struct look {
	uint64_t sent;
	bool asked;		/* more was to be sent */
	int64_t excess;		/* the delay but for others' */
	int64_t now;
};

/* ---- what was sent ---- */

static void
note(struct uplink *u, uint64_t sent, int64_t now)
{
	unsigned at = u->looks % UPLINK_LOOKS;

	if (u->looked_at != 0) {
		u->sent[at] = sent;
		u->took[at] = now - u->looked_at;
		u->looks++;
	}
	u->looked_at = now;
}

/* Over so long at least: what goes out in bursts is evened out. */
static uint64_t
rate_bps(const struct uplink *u, int64_t span)
{
	uint64_t sent = 0;
	int64_t took = 0;

	for (unsigned i = 1; i <= UPLINK_LOOKS && i <= u->looks; i++) {
		unsigned at = (u->looks - i) % UPLINK_LOOKS;

		if (took >= span)
			break;
		sent += u->sent[at];
		took += u->took[at];
	}
	return took > 0 ? (uint64_t)((double)sent * CLOCK_S / (double)took)
			: 0;
}

/* ---- the limit ---- */

static uint64_t
at_least(uint64_t bps)
{
	return bps > UPLINK_LEAST ? bps : UPLINK_LEAST;
}

static void
leave(struct uplink *u)
{
	u->state = UPLINK_FREE;
	u->limit_bps = 0;
	u->others = 0;
	u->late = u->early = u->stands = 0;
}

/* It was not ours, or nobody knows any more. */
static void
give_up(struct uplink *u, int64_t now)
{
	int64_t quiet = u->quiet ? u->quiet : UPLINK_QUIET;

	leave(u);
	u->quiet_until = now + quiet;
	u->quiet = clock_min(2 * quiet, UPLINK_QUIET_MAX);
}

/* The first time by half, so that the answer is plain.  Then by so much that
 * a queue of that delay is empty soon. */
static void
cut(struct uplink *u, uint64_t bps, int64_t excess, int64_t now)
{
	double less = (double)excess / (double)(excess + EMPTY_IN);

	if (less > 0.5 || u->state != UPLINK_HELD)
		less = 0.5;
	u->state = UPLINK_CUT;
	u->full_bps = at_least(bps);
	u->limit_bps = at_least((uint64_t)((double)bps * (1 - less)));
	u->cut_at = u->felt_at = u->judged_at = now;
	u->cut_excess = u->last_excess = excess;
	u->is_ours = false;
	u->late = 0;
}

/* What is left of the delay is made by others, or still to go. */
static void
helped(struct uplink *u, int64_t excess)
{
	u->state = UPLINK_HELD;
	u->limit_bps = at_least(u->full_bps - u->full_bps / UNDER_FULL);
	if (!u->is_ours && excess > UPLINK_EASED)
		u->others += excess;
	u->late = u->stands = 0;
}

static void
judge(struct uplink *u, int64_t excess, int64_t now)
{
	int64_t patience = clock_min(2 * u->cut_excess, EMPTY_MOST);
	bool most_gone = excess <= u->cut_excess / 8 * 5;
	bool soon = now - u->cut_at < EMPTY_MOST;
	bool falls;

	if (most_gone && excess <= UPLINK_EASED) {
		helped(u, excess);
		return;
	}
	if (now - u->judged_at < UPLINK_EACH)
		return;
	falls = excess < u->last_excess / 8 * 7;
	u->judged_at = now;
	u->last_excess = excess;
	/* Sockets first send what they had taken before. */
	if (soon && rate_bps(u, UPLINK_EACH) > u->limit_bps / 2 * 3)
		u->felt_at = now;
	/* A deep queue takes longer. */
	if (now - u->felt_at < JUDGE_AFTER + patience || (falls && soon))
		return;
	if (most_gone || u->is_ours)
		helped(u, excess);
	else
		give_up(u, now);
}

static void
grow(struct uplink *u)
{
	uint64_t step = u->full_bps / STEPS + 1;

	if (u->limit_bps > u->full_bps)
		step += (u->limit_bps - u->full_bps) / 4;
	u->limit_bps += step;
	/* More goes than was too much before: nothing sinks. */
	if (u->limit_bps > u->full_bps + u->full_bps / NEAR_FULL)
		u->early = 0;
	if (u->limit_bps / 4 > u->full_bps)
		leave(u);
}

/* A little less, and the queue gets shorter again; if it is ours.  So after
 * some of these it grows through what waits, until a cut tells. */
static void
step_back(struct uplink *u)
{
	uint64_t least = at_least(u->full_bps - u->full_bps / 4);

	u->stands++;
	if (u->limit_bps > least)
		u->limit_bps -= u->limit_bps / UNDER_FULL;
}

/*
 * Once the limit has grown back to what the line took, and all of it goes out,
 * it is just being tried whether there is more, and one look is enough.  If
 * less than that is too much, the line takes less now; or delays of others
 * come and go, and end after a cut by chance: then each would lower the limit,
 * on and on.
 */
static void
hold(struct uplink *u, uint64_t bps, int64_t excess, int64_t now)
{
	bool early = u->limit_bps < u->full_bps ||
		     bps < u->limit_bps - u->limit_bps / NEAR_FULL;
	bool used = bps >= u->limit_bps - u->limit_bps / 4;

	if (!early && u->late > 0)
		u->quiet = 0;
	if (u->late == 0 && used && excess > UPLINK_EASED &&
	    u->stands < BACK_LOOKS)
		step_back(u);
	else if (u->late == 0 && used)
		grow(u);
	else if (u->late >= (early ? LATE_LOOKS : 1) &&
		 (early && ++u->early >= EARLY_CUTS))
		give_up(u, now);
	else if (u->late >= (early ? LATE_LOOKS : 1))
		cut(u, bps, excess, now);
}

/* ---- at first ---- */

static void
feel_anew(struct uplink *u, int64_t now)
{
	u->feel_sent = 0;
	u->feel_from = now;
}

void
uplink_begin(struct uplink *u, uint64_t bps, int64_t now)
{
	if (u->state != UPLINK_FREE || now < u->quiet_until)
		return;
	u->state = UPLINK_FEEL;
	u->limit_bps = u->full_bps - u->full_bps / UNDER_FULL;
	if (u->limit_bps < UPLINK_START)
		u->limit_bps = UPLINK_START;
	if (u->limit_bps < bps)
		u->limit_bps = bps;
	u->feel_short = u->feel_asked = 0;
	feel_anew(u, now);
}

/* By less, the more waits. */
static void
grow_fast(struct uplink *u, int64_t excess)
{
	double by = (1 - (double)excess / UPLINK_EASED) / FEEL_STEPS;

	u->limit_bps += (uint64_t)((double)u->limit_bps * by);
	u->limit_bps += u->limit_bps / STEPS;
	if (u->limit_bps > FEEL_MOST)
		leave(u);
}

/* All that may go was asked for, or most of it came through. */
static void
end_feel_step(struct uplink *u, int64_t excess, int64_t now)
{
	double took = (double)(now - u->feel_from) / CLOCK_S;
	bool used = (double)u->feel_sent >=
		    (double)u->limit_bps * took * FEEL_USED;

	u->feel_short = used || u->feel_asked < FEEL_SHORT ? 0
							   : u->feel_short + 1;
	if (used && excess < UPLINK_EASED)
		grow_fast(u, excess);
	feel_anew(u, now);
}

/* Something waits: for long, or it does not go, or more was to come through. */
static bool
is_felt(const struct uplink *u, int64_t excess)
{
	return u->late >= LATE_LOOKS || u->stands >= FEEL_STANDS ||
	       (u->feel_short >= FEEL_SHORT && excess >= UPLINK_EASED / 2);
}

/*
 * A cut is not to prove anything here, as what comes through says it too; it
 * empties the queue.  While hardly anything is sent, others make the delay;
 * unless much was to be sent for some time, by a line that is very slow.
 */
static void
end_feeling(struct uplink *u, uint64_t bps, int64_t excess, int64_t now)
{
	bool hardly = bps < u->limit_bps / 2;

	if (hardly && u->feel_asked < FEEL_ASKED) {
		u->others += excess;
		u->late = u->stands = u->feel_short = 0;
		return;
	}
	if (hardly) {
		excess += u->others - u->feel_others;
		u->others = u->feel_others;
	}
	cut(u, bps, excess, now);
	u->is_ours = true;
}

static void
feel(struct uplink *u, const struct look *l)
{
	u->feel_sent += l->sent;
	u->feel_asked = l->asked ? u->feel_asked + 1 : 0;
	if (u->feel_asked <= 1)
		u->feel_others = u->others;
	u->feel_others = clock_min(u->feel_others, u->others);
	u->stands = l->excess >= UPLINK_EASED ? u->stands + 1 : 0;
	if (is_felt(u, l->excess))
		end_feeling(u, rate_bps(u, FEEL_RATE_OVER), l->excess, l->now);
	else if (l->now - u->feel_from >= FEEL_EACH)
		end_feel_step(u, l->excess, l->now);
}

int64_t
uplink_pause(const struct uplink *u)
{
	return u->state == UPLINK_FEEL || u->state == UPLINK_CUT ? UPLINK_SOON
								 : UPLINK_EACH;
}

/* ---- a look ---- */

static int64_t
late_from(const struct uplink *u)
{
	return u->state != UPLINK_FEEL
		       ? UPLINK_LATE
		       : clock_min(UPLINK_EASED + u->others, UPLINK_LATE);
}

/* Those that know have left, or have nothing to say. */
static void
guess(struct uplink *u, const struct look *l)
{
	int64_t unknown = l->now - u->known_at;

	u->late = 0;
	if (u->state == UPLINK_FEEL)
		feel(u, l);
	else if (u->state == UPLINK_CUT && unknown >= UNKNOWN_CUT)
		give_up(u, l->now);
	else if (u->state == UPLINK_HELD && unknown >= UNKNOWN_HELD)
		leave(u);
}

static void
follow(struct uplink *u, const struct look *l)
{
	uint64_t bps = rate_bps(u, RATE_OVER);

	u->known_at = l->now;
	u->late = l->excess > late_from(u) ? u->late + 1 : 0;
	if (u->state == UPLINK_CUT)
		judge(u, l->excess, l->now);
	else if (u->state == UPLINK_FEEL)
		feel(u, l);
	else if (u->state == UPLINK_HELD)
		hold(u, bps, l->excess, l->now);
	else if (u->late >= LATE_LOOKS && bps >= 2ULL * UPLINK_LEAST &&
		 l->now >= u->quiet_until)
		cut(u, bps, l->excess, l->now);
}

uint64_t
uplink_look(struct uplink *u, uint64_t sent, bool asked, int64_t delay,
	    int64_t now)
{
	struct look l = {.sent = sent, .asked = asked, .now = now};

	note(u, sent, now);
	if (delay < 0) {
		guess(u, &l);
	} else {
		u->others = clock_min(u->others, delay);
		l.excess = delay - u->others;
		follow(u, &l);
	}
	return u->limit_bps;
}

void
uplink_rest(struct uplink *u)
{
	leave(u);
	u->looks = 0;
	u->looked_at = 0;
}

/* ---- the delay ---- */

static int
by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Not the least: one that came while the queue stood knows no shorter way. */
int64_t
uplink_common(int64_t *delays, size_t n)
{
	if (n == 0)
		return -1;
	qsort(delays, n, sizeof(*delays), by_size);
	return delays[n / 4];
}
