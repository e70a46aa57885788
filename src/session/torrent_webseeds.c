/*
 * A torrent's web seeds: which URLs are at work, and when the others have
 * their turn.  A few at a time; one that ends leaves its place to the next
 * and comes back after its pause.  A URL whose connections wait for answers
 * much of the time gets more of them, twice as many at a time, as far as no
 * other URL needs the place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "session/torrent_parts.h"
#include "swarm/webseed.h"

#define URLS_AT_ONCE 4
#define SOON (60 * CLOCK_S)	/* a place is kept for it */
#define LONG (60 * CLOCK_S)	/* a connection that lasts is no failure */
#define IDLE_REST (5 * CLOCK_S)	/* one that there was nothing to do for */
#define PLACE_AGAIN (100 * CLOCK_MS)
#define POOL_AGAIN (1 * CLOCK_S)	/* others look each second */
#define CONNECTIONS_MAX 6	/* browsers have as many to one host */

/* Another space than that of peers' addresses.  The same URL may be listed by
 * both BEPs, and what lies by one of them tells the truth by the other. */
static uint64_t
source_of(const char *url, bool by_piece)
{
	uint8_t digest[SHA1_SIZE];
	uint64_t key;

	hash_sha1(digest, url, strlen(url));
	key = get_u64(digest) ^ (by_piece ? 1 : 0);
	return key != 0 ? key : 1;
}

/* An entry for each connection that it may have; once.  Where there are
 * several files, it may have a wrong one among them. */
static void
add(const struct torrent *t, struct torrent_webseed *all, size_t *n,
    const char *url, bool by_piece)
{
	bool several = webseed_only_file(t->meta) == UINT32_MAX;
	struct webseed_bad *bad = NULL;

	for (size_t i = 0; i < *n; i++)
		if (all[i].by_piece == by_piece &&
		    strcmp(all[i].url, url) == 0)
			return;
	if (several && !by_piece)
		bad = calloc(1, sizeof(*bad));
	for (int i = 0; i < (by_piece ? 1 : CONNECTIONS_MAX); i++)
		all[(*n)++] = (struct torrent_webseed){
			.url = url,
			.by_piece = by_piece,
			.more = i > 0,
			.bad = bad,
			.source = source_of(url, by_piece),
		};
}

void
torrent_webseeds_begin(struct torrent *t)
{
	const struct metainfo *m = t->meta;
	const struct torrent_texts *web = &t->more.web_seeds;
	const struct torrent_texts *http = &t->more.http_seeds;
	size_t linked = t->link ? t->link->web_seed_count : 0, n = 0;
	size_t most = m->web_seed_count + linked + m->http_seed_count +
		      web->count + http->count;
	struct torrent_webseed *all;

	if (!t->env.config->use_webseed || most == 0)
		return;
	all = calloc(most * CONNECTIONS_MAX, sizeof(*all));
	if (!all)
		return;
	for (size_t i = 0; i < m->web_seed_count; i++)
		add(t, all, &n, m->web_seeds[i], false);
	for (size_t i = 0; i < linked; i++)
		add(t, all, &n, t->link->web_seeds[i], false);
	for (size_t i = 0; i < web->count; i++)
		add(t, all, &n, web->all[i], false);
	for (size_t i = 0; i < m->http_seed_count; i++)
		add(t, all, &n, m->http_seeds[i], true);
	for (size_t i = 0; i < http->count; i++)
		add(t, all, &n, http->all[i], true);
	mutex_lock(&t->peers_lock);
	t->webseeds = all;
	t->webseed_count = n;
	mutex_unlock(&t->peers_lock);
}

void
torrent_webseeds_more(struct torrent *t, const char *url, bool by_piece)
{
	struct torrent_webseed *old = t->webseeds, *all;
	size_t n = t->webseed_count;

	if (!t->env.config->use_webseed ||
	    torrent_phase(t) != PHASE_DOWNLOADING)
		return;
	all = calloc(n + CONNECTIONS_MAX, sizeof(*all));
	if (!all)
		return;
	mutex_lock(&t->peers_lock);
	if (n > 0)
		memcpy(all, old, n * sizeof(*all));
	add(t, all, &n, url, by_piece);
	t->webseeds = all;
	t->webseed_count = n;
	mutex_unlock(&t->peers_lock);
	free(old);
}

static void
on_news(void *ctx)
{
	struct torrent *t = ctx;

	wake_up(t->env.wake);
}

/* The entry of its URL's first connection. */
static struct torrent_webseed *
first_of(struct torrent_webseed *tw)
{
	while (tw->more)
		tw--;
	return tw;
}

static int64_t *
due_of(struct torrent_webseed *tw)
{
	return tw->more ? &first_of(tw)->more_due : &tw->due;
}

static void
start_one(struct torrent *t, struct torrent_webseed *tw, int64_t now)
{
	struct webseed_start start = {
		.swarm = &t->swarm,
		.id = atomic_fetch_add(&t->next_id, 1),
		.source = tw->source,
		.url = tw->url,
		.route = t->env.way,
		.by_piece = tw->by_piece,
		.bad = tw->bad,
		.more = tw->more,
		.only_ipv4 = first_of(tw)->mute6,
		.news = on_news,
		.ctx = t,
	};
	struct webseed *w = NULL;

	/* For when it cannot be. */
	*due_of(tw) = now + webseed_backoff(WEBSEED_END_UNREACHABLE, 1, 0, 0);
	if (!torrent_take_place(t))
		return;
	w = webseed_new(&start, NULL);
	if (!w) {
		pool_give(t->env.pool, &t->pool);
		return;
	}
	mutex_lock(&t->peers_lock);
	tw->seed = w;
	mutex_unlock(&t->peers_lock);
	*due_of(tw) = tw->begun_at = now;
	t->webseeds_running++;
}

/* URLs: how many are at work, and how many will be as soon as they may. */
struct urls {
	unsigned running;
	unsigned waiting;
};

static struct urls
count_urls(const struct torrent *t, int64_t now)
{
	struct urls n = {0};
	bool running = false;

	for (size_t i = 0; i < t->webseed_count; i++) {
		const struct torrent_webseed *tw = &t->webseeds[i];

		if (!tw->more)
			running = false;
		if (tw->seed && !running) {
			running = true;
			n.running++;
		}
		n.waiting += !tw->more && !tw->seed &&
			     !atomic_load(&tw->banned) &&
			     tw->due - now < SOON;
	}
	return n;
}

/* More for the URL of this entry? */
static bool
wants_more(const struct torrent *t, struct torrent_webseed *tw)
{
	const struct torrent_webseed *end = t->webseeds + t->webseed_count;
	unsigned running = 0, waiting = 0;
	struct webseed_view v;

	tw = first_of(tw);
	do {
		if (!tw->seed)
			continue;
		webseed_look(tw->seed, &v);
		running++;
		waiting += v.waiting && !v.ended;
	} while (++tw < end && tw->more);
	return running < 2 * waiting;
}

/* The one whose turn came first, or NULL. */
static struct torrent_webseed *
next_due(const struct torrent *t, int64_t now)
{
	struct torrent_webseed *first = NULL;
	struct urls n = count_urls(t, now);
	unsigned urls_left = n.running < URLS_AT_ONCE
				 ? URLS_AT_ONCE - n.running : 0;
	bool more = t->webseeds_running > 0 && t->webseeds_running +
		    (n.waiting < urls_left ? n.waiting : urls_left) <
			    CONNECTIONS_MAX;

	for (size_t i = 0; i < t->webseed_count; i++) {
		struct torrent_webseed *tw = &t->webseeds[i];

		if (tw->seed || atomic_load(&tw->banned) ||
		    (first && *due_of(first) <= *due_of(tw)))
			continue;
		if (tw->more ? more && wants_more(t, tw) : urls_left > 0)
			first = tw;
	}
	return first;
}

/* The last one that runs: of those that a URL has beside its first, or of the
 * others; false if there is none. */
static bool
stop_last(struct torrent *t, bool more)
{
	for (size_t i = t->webseed_count; i-- > 0;)
		if (t->webseeds[i].more == more && t->webseeds[i].seed) {
			webseed_stop(t->webseeds[i].seed);
			return true;
		}
	return false;
}

bool
torrent_webseeds_give(struct torrent *t)
{
	return stop_last(t, true) || stop_last(t, false);
}

bool
torrent_webseeds_wait(const struct torrent *t, int64_t now)
{
	struct torrent_webseed *tw;

	if (torrent_phase(t) != PHASE_DOWNLOADING ||
	    atomic_load(&t->pool.held) > 0)
		return false;
	tw = next_due(t, now);
	return tw && *due_of(tw) <= now;
}

void
torrent_webseeds_run(struct torrent *t, int64_t now)
{
	struct torrent_webseed *tw;

	while (torrent_phase(t) == PHASE_DOWNLOADING &&
	       (tw = next_due(t, now)) != NULL && *due_of(tw) <= now) {
		if (t->webseeds_running >= CONNECTIONS_MAX) {
			stop_last(t, true);
			return;
		}
		/* Without any it comes first, and soon. */
		if (torrent_webseeds_wait(t, now) &&
		    !pool_may_take(t->env.pool, &t->pool, now))
			return;
		start_one(t, tw, now);
	}
}

int64_t
torrent_webseeds_due(const struct torrent *t, int64_t now)
{
	struct torrent_webseed *tw = next_due(t, now);

	if (!tw)
		return CLOCK_NEVER;
	if (*due_of(tw) > now)
		return *due_of(tw);
	/* A place is being made. */
	return now + (torrent_webseeds_wait(t, now) ? POOL_AGAIN : PLACE_AGAIN);
}

/* Where one more was too many, another would be too; and several that end
 * together have failed once. */
static void
pause_more(struct torrent_webseed *tw, const struct webseed_view *v,
	   int64_t now)
{
	struct torrent_webseed *first = first_of(tw);
	int64_t due = now + IDLE_REST;

	if (v->end != WEBSEED_END_STOPPED) {
		if (now - tw->begun_at >= LONG)
			first->more_failures = 0;
		if (first->more_due <= now)
			first->more_failures++;
		due = now + webseed_backoff(v->end, first->more_failures,
					    v->retry_after_s, random_u64());
	}
	if (first->more_due < due)
		first->more_due = due;
}

static void
reap_one(struct torrent *t, struct torrent_webseed *tw, int64_t now)
{
	struct webseed *w = tw->seed;
	struct webseed_view v;
	bool in_vain = false;

	webseed_look(w, &v);
	if (v.reached)
		t->webseed_reached = true;
	if (!v.ended)
		return;
	/* IPv4 was a try; where there is none, IPv6 is all the same. */
	if (first_of(tw)->mute6 && v.end == WEBSEED_END_UNREACHABLE &&
	    v.downloaded == 0 && !v.reached)
		in_vain = true;
	else if (v.end != WEBSEED_END_STOPPED)
		snprintf(t->webseed_why, sizeof(t->webseed_why), "%s", v.why);
	mutex_lock(&t->peers_lock);
	tw->seed = NULL;
	mutex_unlock(&t->peers_lock);
	webseed_free(w);
	pool_give(t->env.pool, &t->pool);
	t->webseeds_running--;
	if (tw->more || v.end == WEBSEED_END_BUSY)
		pause_more(tw, &v, now);
	if (tw->more)
		return;
	tw->unreachable = v.end == WEBSEED_END_UNREACHABLE;
	/* By turns, should IPv4 not do either. */
	if (tw->unreachable && v.downloaded == 0)
		tw->mute6 = v.mute6;
	if (in_vain) {
		tw->due = now;
		return;
	}
	tw->failures = v.downloaded > 0 ? 1 : tw->failures + 1;
	tw->due = now + webseed_backoff(v.end, tw->failures, v.retry_after_s,
					random_u64());
}

void
torrent_webseeds_reap(struct torrent *t, int64_t now)
{
	for (size_t i = 0; i < t->webseed_count; i++)
		if (t->webseeds[i].seed)
			reap_one(t, &t->webseeds[i], now);
}

void
torrent_webseeds_hurry(struct torrent *t, int64_t now)
{
	for (size_t i = 0; i < t->webseed_count; i++) {
		struct torrent_webseed *tw = &t->webseeds[i];

		if (tw->more || tw->seed || !tw->unreachable)
			continue;
		tw->failures = 1;
		tw->more_failures = 0;
		tw->due = clock_min(tw->due, now);
		tw->more_due = clock_min(tw->more_due, now);
	}
}

void
torrent_webseeds_stop(struct torrent *t)
{
	for (size_t i = 0; i < t->webseed_count; i++)
		if (t->webseeds[i].seed)
			webseed_stop(t->webseeds[i].seed);
}

void
torrent_webseeds_join(struct torrent *t)
{
	torrent_webseeds_stop(t);
	for (size_t i = 0; i < t->webseed_count; i++) {
		struct webseed *w = t->webseeds[i].seed;

		/* Others that end look at who is idle. */
		mutex_lock(&t->peers_lock);
		t->webseeds[i].seed = NULL;
		mutex_unlock(&t->peers_lock);
		webseed_free(w);
	}
}

void
torrent_webseeds_release(struct torrent *t)
{
	for (size_t i = 0; i < t->webseed_count; i++)
		if (!t->webseeds[i].more)
			free(t->webseeds[i].bad);
	free(t->webseeds);
	t->webseeds = NULL;
	t->webseed_count = 0;
}

/* ---- for other threads ---- */

void
torrent_webseeds_wake_locked(struct torrent *t)
{
	for (size_t i = 0; i < t->webseed_count; i++) {
		struct webseed *w = t->webseeds[i].seed;

		if (w && webseed_is_idle(w))
			webseed_wake(w);
	}
}

void
torrent_webseeds_outrun_locked(struct torrent *t, uint32_t id)
{
	for (size_t i = 0; i < t->webseed_count; i++) {
		struct webseed *w = t->webseeds[i].seed;

		if (w && webseed_id(w) == id)
			webseed_wake(w);
	}
}

const char *
torrent_webseeds_blame_locked(struct torrent *t, uint64_t source,
			      uint32_t piece, enum webseed_verdict *verdict)
{
	const char *url = NULL;
	bool news = false;

	*verdict = WEBSEED_BAD_KNOWN;
	for (size_t i = 0; i < t->webseed_count; i++) {
		struct torrent_webseed *tw = &t->webseeds[i];

		if (tw->source != source)
			continue;
		url = tw->url;
		if (!tw->more)
			*verdict = tw->bad ? webseed_bad_add(tw->bad, t->meta,
							     piece)
					   : WEBSEED_BAD_ENOUGH;
		if (*verdict == WEBSEED_BAD_ENOUGH)
			news |= !atomic_exchange(&tw->banned, true);
		if (tw->seed && *verdict == WEBSEED_BAD_ENOUGH)
			webseed_stop(tw->seed);
		else if (tw->seed && *verdict == WEBSEED_BAD_NEWS)
			webseed_wake(tw->seed);
	}
	if (*verdict == WEBSEED_BAD_ENOUGH && !news)
		*verdict = WEBSEED_BAD_KNOWN;
	return url;
}

unsigned
torrent_webseeds_count_locked(struct torrent *t)
{
	bool counted = false;
	unsigned n = 0;

	for (size_t i = 0; i < t->webseed_count; i++) {
		const struct torrent_webseed *tw = &t->webseeds[i];
		struct webseed_view v = {0};

		if (!tw->more)
			counted = false;
		if (tw->seed)
			webseed_look(tw->seed, &v);
		if (!v.reached || v.ended || counted)
			continue;
		counted = true;
		n++;
	}
	return n;
}
