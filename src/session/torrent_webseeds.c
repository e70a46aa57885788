/*
 * A torrent's web seeds: which URLs are at work, and when the others have
 * their turn.  A few at a time; one that ends leaves its place to the next
 * and comes back after its pause.
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

#define AT_ONCE 4

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

void
torrent_webseeds_begin(struct torrent *t)
{
	const struct metainfo *m = t->meta;
	size_t linked = t->link ? t->link->web_seed_count : 0, n = 0;
	size_t most = m->web_seed_count + linked + m->http_seed_count;
	struct torrent_webseed *all;

	if (!t->env.config->use_webseed || most == 0)
		return;
	all = calloc(most, sizeof(*all));
	if (!all)
		return;
	for (size_t i = 0; i < m->web_seed_count; i++)
		all[n++].url = m->web_seeds[i];
	for (size_t i = 0; i < linked; i++)
		all[n++].url = t->link->web_seeds[i];
	for (size_t i = 0; i < m->http_seed_count; i++) {
		all[n].url = m->http_seeds[i];
		all[n++].by_piece = true;
	}
	for (size_t i = 0; i < n; i++)
		all[i].source = source_of(all[i].url, all[i].by_piece);
	mutex_lock(&t->peers_lock);
	t->webseeds = all;
	t->webseed_count = n;
	mutex_unlock(&t->peers_lock);
}

static void
on_end(void *ctx)
{
	struct torrent *t = ctx;

	wake_up(t->env.wake);
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
		.ended = on_end,
		.ctx = t,
	};
	struct webseed *w = NULL;

	/* For when it cannot be. */
	tw->due = now + webseed_backoff(WEBSEED_END_UNREACHABLE, 1, 0, 0);
	if (!torrent_take_place(t))
		return;
	w = webseed_new(&start, NULL);
	if (!w) {
		atomic_fetch_add(t->env.peers_left, 1);
		return;
	}
	mutex_lock(&t->peers_lock);
	tw->seed = w;
	mutex_unlock(&t->peers_lock);
	t->webseeds_running++;
}

/* The one whose turn came first, or NULL. */
static struct torrent_webseed *
next_due(const struct torrent *t)
{
	struct torrent_webseed *first = NULL;

	for (size_t i = 0; i < t->webseed_count; i++) {
		struct torrent_webseed *tw = &t->webseeds[i];

		if (!tw->seed && !atomic_load(&tw->banned) &&
		    (!first || tw->due < first->due))
			first = tw;
	}
	return first;
}

void
torrent_webseeds_run(struct torrent *t, int64_t now)
{
	struct torrent_webseed *tw;

	while (torrent_phase(t) == PHASE_DOWNLOADING &&
	       t->webseeds_running < AT_ONCE &&
	       (tw = next_due(t)) != NULL && tw->due <= now)
		start_one(t, tw, now);
}

int64_t
torrent_webseeds_due(const struct torrent *t)
{
	const struct torrent_webseed *tw = next_due(t);

	return tw && t->webseeds_running < AT_ONCE ? tw->due : CLOCK_NEVER;
}

static void
reap_one(struct torrent *t, struct torrent_webseed *tw, int64_t now)
{
	struct webseed *w = tw->seed;
	struct webseed_view v;

	webseed_look(w, &v);
	if (v.reached)
		t->webseed_reached = true;
	if (!v.ended)
		return;
	if (v.end != WEBSEED_END_STOPPED)
		snprintf(t->webseed_why, sizeof(t->webseed_why), "%s", v.why);
	mutex_lock(&t->peers_lock);
	tw->seed = NULL;
	mutex_unlock(&t->peers_lock);
	webseed_free(w);
	atomic_fetch_add(t->env.peers_left, 1);
	t->webseeds_running--;
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
torrent_webseeds_stop(struct torrent *t)
{
	for (size_t i = 0; i < t->webseed_count; i++)
		if (t->webseeds[i].seed)
			webseed_stop(t->webseeds[i].seed);
}

void
torrent_webseeds_release(struct torrent *t)
{
	torrent_webseeds_stop(t);
	for (size_t i = 0; i < t->webseed_count; i++)
		webseed_free(t->webseeds[i].seed);
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
torrent_webseeds_ban_locked(struct torrent *t, uint64_t source)
{
	for (size_t i = 0; i < t->webseed_count; i++) {
		struct torrent_webseed *tw = &t->webseeds[i];

		if (tw->source != source)
			continue;
		atomic_store(&tw->banned, true);
		if (tw->seed)
			webseed_stop(tw->seed);
		return tw->url;
	}
	return NULL;
}

unsigned
torrent_webseeds_count_locked(struct torrent *t)
{
	unsigned n = 0;

	for (size_t i = 0; i < t->webseed_count; i++) {
		struct webseed_view v = {0};

		if (t->webseeds[i].seed)
			webseed_look(t->webseeds[i].seed, &v);
		n += v.reached && !v.ended;
	}
	return n;
}
