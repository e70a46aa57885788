#include "net/uplink.h"

#include <stdbool.h>
#include <stdlib.h>

#define LATE_LOOKS 2		/* in a row: one may be a burst */
#define FIRST_CUT 0.75
#define EMPTY_IN (500 * CLOCK_MS)	/* a later one empties it in that */
#define JUDGE_AFTER (2 * CLOCK_S)	/* and twice the delay */
#define EMPTY_MOST (20 * CLOCK_S)
#define UNDER_FULL 8		/* the limit is full_bps less one of these */
#define STEPS 32		/* from there to full_bps, a step a look */

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

/* The most that two looks in a row, or more, saw: what goes out in bursts is
 * evened out, and a rest before it does not count. */
static uint64_t
rate_bps(const struct uplink *u)
{
	double sent = 0, took = 0, most = 0;

	for (unsigned i = 0; i < u->looks && i < UPLINK_LOOKS; i++) {
		unsigned at = (u->looks - 1 - i) % UPLINK_LOOKS;

		sent += (double)u->sent[at];
		took += (double)u->took[at];
		if (i > 0 && sent > most * took)
			most = sent / took;
	}
	return (uint64_t)(most * CLOCK_S);
}

static uint64_t
last_bps(const struct uplink *u)
{
	unsigned at = (u->looks - 1) % UPLINK_LOOKS;

	if (u->looks == 0 || u->took[at] <= 0)
		return 0;
	return (uint64_t)((double)u->sent[at] * CLOCK_S /
			  (double)u->took[at]);
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
	u->late = 0;
}

static void
keep(struct uplink *u, uint64_t full_bps)
{
	u->state = UPLINK_HELD;
	u->full_bps = full_bps;
	u->limit_bps = at_least(full_bps - full_bps / UNDER_FULL);
}

/* The first time by much: what sockets have taken already goes out all the
 * same, and the answer is to be plain.  Then by so much that a queue of that
 * delay is empty soon, at most half. */
static void
cut(struct uplink *u, uint64_t bps, int64_t excess, int64_t now)
{
	double less = (double)excess / (double)(excess + EMPTY_IN);

	u->known_bps = u->state == UPLINK_HELD ? u->full_bps : 0;
	if (u->known_bps == 0)
		less = FIRST_CUT;
	else if (less > 0.5)
		less = 0.5;
	u->state = UPLINK_CUT;
	u->full_bps = bps;
	u->limit_bps = at_least((uint64_t)((double)bps * (1 - less)));
	u->cut_at = u->felt_at = now;
	u->cut_excess = u->last_excess = excess;
	u->late = 0;
}

/* What is left of the delay is made by others. */
static void
helped(struct uplink *u, int64_t excess)
{
	keep(u, u->full_bps);
	u->others += excess > UPLINK_EASED ? excess : 0;
	u->quiet = 0;
}

/* All of it is: nothing is known, or what was known before. */
static void
give_up(struct uplink *u, int64_t now)
{
	int64_t quiet = u->quiet ? u->quiet : UPLINK_QUIET;

	if (u->known_bps)
		keep(u, u->known_bps);
	else
		leave(u);
	u->quiet_until = now + quiet;
	u->quiet = clock_min(2 * quiet, UPLINK_QUIET_MAX);
}

static void
judge(struct uplink *u, int64_t excess, int64_t now)
{
	bool falls = excess < u->last_excess / 8 * 7;
	bool soon = now - u->cut_at < EMPTY_MOST;
	bool plain;
	int64_t since;

	u->last_excess = excess;
	/* Sockets first send what they had taken before. */
	if (soon && last_bps(u) > u->limit_bps / 2 * 3)
		u->felt_at = now;
	since = now - u->felt_at;
	plain = excess <= UPLINK_EASED || excess <= u->cut_excess / 4;
	/* A deep queue takes longer. */
	if (!plain && (since < JUDGE_AFTER + 2 * u->cut_excess ||
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
		step += (u->limit_bps - u->full_bps) / 2;
	u->limit_bps += step;
	if (u->limit_bps / 4 > u->full_bps)
		leave(u);
}

uint64_t
uplink_look(struct uplink *u, uint64_t sent, int64_t delay, int64_t now)
{
	uint64_t bps;
	int64_t excess;

	note(u, sent, now);
	if (delay < 0)
		return u->limit_bps;
	bps = rate_bps(u);
	if (delay < u->others)
		u->others = delay;
	excess = delay - u->others;
	u->late = excess > UPLINK_LATE ? u->late + 1 : 0;
	if (u->state == UPLINK_CUT)
		judge(u, excess, now);
	else if (u->late >= LATE_LOOKS && bps >= UPLINK_LEAST &&
		 now >= u->quiet_until)
		cut(u, bps, excess, now);
	else if (u->state == UPLINK_HELD && u->late == 0 &&
		 bps >= u->limit_bps - u->limit_bps / 4)
		grow(u);
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
