#include "net/uplink.h"

#include <stdbool.h>
#include <stdlib.h>

#define LATE_LOOKS 2		/* in a row: one may be a burst */
#define EARLY_CUTS 3		/* in a row, in vain */
#define UNKNOWN_CUT 10		/* looks in a row */
#define UNKNOWN_HELD 60
#define EMPTY_IN (500 * CLOCK_MS)	/* a later cut empties the queue */
#define JUDGE_AFTER (2 * CLOCK_S)	/* and twice the delay */
#define EMPTY_MOST (20 * CLOCK_S)
#define UNDER_FULL 8		/* the limit is full_bps less one of these */
#define STEPS 64		/* it grows by one of these a look */

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

/* Over the last so many looks: what goes out in bursts is evened out. */
static uint64_t
rate_bps(const struct uplink *u, unsigned looks)
{
	uint64_t sent = 0;
	int64_t took = 0;

	for (unsigned i = 1; i <= looks && i <= u->looks; i++) {
		unsigned at = (u->looks - i) % UPLINK_LOOKS;

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
	u->late = u->early = u->unknown = 0;
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

	if (less > 0.5 || u->state == UPLINK_FREE)
		less = 0.5;
	u->state = UPLINK_CUT;
	u->full_bps = at_least(bps);
	u->limit_bps = at_least((uint64_t)((double)bps * (1 - less)));
	u->cut_at = u->felt_at = now;
	u->cut_excess = u->last_excess = excess;
	u->late = 0;
}

/* What is left of the delay is made by others. */
static void
helped(struct uplink *u, int64_t excess)
{
	u->state = UPLINK_HELD;
	u->limit_bps = at_least(u->full_bps - u->full_bps / UNDER_FULL);
	u->others += excess > UPLINK_EASED ? excess : 0;
	u->late = 0;
}

static void
judge(struct uplink *u, int64_t excess, int64_t now)
{
	bool falls = excess < u->last_excess / 8 * 7;
	bool soon = now - u->cut_at < EMPTY_MOST;
	int64_t patience = clock_min(2 * u->cut_excess, EMPTY_MOST);
	bool plain;

	u->last_excess = excess;
	/* Sockets first send what they had taken before. */
	if (soon && rate_bps(u, 1) > u->limit_bps / 2 * 3)
		u->felt_at = now;
	plain = excess <= UPLINK_EASED || excess <= u->cut_excess / 4;
	/* A deep queue takes longer. */
	if (!plain && (now - u->felt_at < JUDGE_AFTER + patience ||
		       (falls && soon)))
		return;
	if (excess <= u->cut_excess / 8 * 5)
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
	if (u->limit_bps > u->full_bps + u->full_bps / UNDER_FULL)
		u->early = 0;
	if (u->limit_bps / 4 > u->full_bps)
		leave(u);
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
		     bps < u->limit_bps - u->limit_bps / UNDER_FULL;

	if (!early && u->late > 0)
		u->quiet = 0;
	if (u->late == 0 && bps >= u->limit_bps - u->limit_bps / 4)
		grow(u);
	else if (u->late >= (early ? LATE_LOOKS : 1) &&
		 (early && ++u->early >= EARLY_CUTS))
		give_up(u, now);
	else if (u->late >= (early ? LATE_LOOKS : 1))
		cut(u, bps, excess, now);
}

/* Those that know have left, or have nothing to say. */
static void
guess(struct uplink *u, int64_t now)
{
	u->late = 0;
	u->unknown++;
	if (u->state == UPLINK_CUT && u->unknown >= UNKNOWN_CUT)
		give_up(u, now);
	else if (u->state == UPLINK_HELD && u->unknown >= UNKNOWN_HELD)
		leave(u);
}

static void
follow(struct uplink *u, int64_t delay, int64_t now)
{
	uint64_t bps = rate_bps(u, UPLINK_LOOKS);
	int64_t excess;

	if (delay < u->others)
		u->others = delay;
	excess = delay - u->others;
	u->unknown = 0;
	u->late = excess > UPLINK_LATE ? u->late + 1 : 0;
	if (u->state == UPLINK_CUT)
		judge(u, excess, now);
	else if (u->state == UPLINK_HELD)
		hold(u, bps, excess, now);
	else if (u->late >= LATE_LOOKS && bps >= 2ULL * UPLINK_LEAST &&
		 now >= u->quiet_until)
		cut(u, bps, excess, now);
}

uint64_t
uplink_look(struct uplink *u, uint64_t sent, int64_t delay, int64_t now)
{
	note(u, sent, now);
	if (delay < 0)
		guess(u, now);
	else
		follow(u, delay, now);
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
