/*
 * Torrents that have ended make room while the run goes on (--watch): all
 * that is left of one is what the displays last show of it, and that is kept
 * of a few only.
 *
 * Another thread may look at a torrent just then.  It finds it in the
 * session's array, and holds it, under session.lock; so one that is no longer
 * in the array and is not held is the main thread's alone.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "session/session_parts.h"

#define PAST_KEPT 32		/* more only while nobody has seen them */
#define PAST_UNSEEN (5 * CLOCK_S)	/* nobody looks, with -q */
#define HELD_AGAIN (20 * CLOCK_MS)

/* ---- what is left of them ---- */

static void
drop_past_locked(struct session *s, size_t i) REQUIRES(s->lock)
{
	s->past_count--;
	memmove(s->past + i, s->past + i + 1,
		(s->past_count - i) * sizeof(*s->past));
}

/* The first are the oldest. */
static void
thin_past_locked(struct session *s, int64_t now) REQUIRES(s->lock)
{
	size_t i = 0;

	while (i < s->past_count && s->past_count > PAST_KEPT)
		if (s->past[i].seen || now - s->past[i].since >= PAST_UNSEEN)
			drop_past_locked(s, i);
		else
			i++;
}

/* Without memory for it, the displays do without. */
static void
remember_locked(struct session *s, const struct stats_torrent *last,
		int64_t now) REQUIRES(s->lock)
{
	size_t size = s->past_size ? 2 * s->past_size : 8;
	struct session_past *more;

	if (s->past_count == s->past_size) {
		more = realloc(s->past, size * sizeof(*more));
		if (!more)
			return;
		s->past = more;
		s->past_size = size;
	}
	s->past[s->past_count++] =
	    (struct session_past){.stats = *last, .since = now};
}

/* ---- letting go ---- */

/* Torrents are made of pieces of all sizes and by several threads, so that
 * the heap would keep most of their pages. */
static void
give_back(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

static void
free_unheld(struct session *s)
{
	size_t count = s->leaving_count, kept = 0;

	for (size_t i = 0; i < count; i++)
		if (torrent_held(s->leaving[i]))
			s->leaving[kept++] = s->leaving[i];
		else
			torrent_free(s->leaving[i]);
	s->leaving_count = kept;
	if (kept < count)
		give_back();
}

/* False when there is no memory to do so: it stays for now. */
static bool
let_go(struct session *s, size_t i, int64_t now)
{
	struct torrent *t = s->torrents[i];
	struct stats_torrent last;
	struct torrent **more;

	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it holds pointers */
	more = realloc(s->leaving, (s->leaving_count + 1) * sizeof(*more));
	if (!more)
		return false;
	s->leaving = more;
	s->leaving[s->leaving_count++] = t;
	torrent_stats(t, &last);
	last.down_rate = last.up_rate = 0;
	mutex_lock(&s->lock);
	if (!torrent_gave_way(t))
		remember_locked(s, &last, now);
	s->count--;
	memmove(s->torrents + i, s->torrents + i + 1,
		/* NOLINTNEXTLINE(bugprone-sizeof-expression): pointers */
		(s->count - i) * sizeof(*s->torrents));
	mutex_unlock(&s->lock);
	return true;
}

int64_t
session_let_go(struct session *s, int64_t now)
{
	for (size_t i = 0; i < s->count;)
		if (!torrent_ended(s->torrents[i]) || !let_go(s, i, now))
			i++;
	free_unheld(s);
	mutex_lock(&s->lock);
	thin_past_locked(s, now);
	mutex_unlock(&s->lock);
	return s->leaving_count > 0 ? now + HELD_AGAIN : CLOCK_NEVER;
}

void
session_past_release(struct session *s)
{
	for (size_t i = 0; i < s->leaving_count; i++)
		torrent_free(s->leaving[i]);
	free(s->leaving);
	free(s->past);
}

/* ---- for the displays ---- */

/* The first whose number is `from` or more; torrents are sorted by it. */
static struct torrent *
find_locked(struct session *s, size_t from) REQUIRES(s->lock)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (torrent_number(s->torrents[middle]) < from)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->count ? s->torrents[low] : NULL;
}

/* The same among those that are gone, which are sorted by their end. */
static struct session_past *
find_past_locked(struct session *s, size_t from) REQUIRES(s->lock)
{
	struct session_past *found = NULL;

	for (size_t i = 0; i < s->past_count; i++) {
		size_t number = s->past[i].stats.number;

		if (number >= from && (!found || number < found->stats.number))
			found = &s->past[i];
	}
	return found;
}

bool
session_stats(struct session *s, size_t from, struct stats_torrent *out)
{
	struct session_past *past;
	struct torrent *t;

	mutex_lock(&s->lock);
	t = find_locked(s, from);
	while (t && torrent_gave_way(t))	/* another is shown for it */
		t = find_locked(s, torrent_number(t) + 1);
	past = find_past_locked(s, from);
	if (past && (!t || past->stats.number < torrent_number(t))) {
		*out = past->stats;
		past->seen = true;
		t = NULL;
	}
	if (t)
		torrent_hold(t);
	mutex_unlock(&s->lock);
	if (!t)
		return past != NULL;
	torrent_stats(t, out);
	torrent_drop(t);
	return true;
}

struct torrent *
session_hold(struct session *s, size_t number)
{
	struct torrent *t;

	mutex_lock(&s->lock);
	t = find_locked(s, number);
	if (t && torrent_number(t) != number)
		t = NULL;
	if (t)
		torrent_hold(t);
	mutex_unlock(&s->lock);
	return t;
}

void
session_cells(struct session *s, size_t number, uint8_t *cells, size_t n)
{
	struct torrent *t = session_hold(s, number);

	memset(cells, 0, n);
	if (!t)
		return;
	torrent_cells(t, cells, n);
	torrent_drop(t);
}
