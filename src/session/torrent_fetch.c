/*
 * A magnet link may say where its .torrent is (xs, as): it is asked for beside
 * the peers, who may not come where the data is on web servers alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/text.h"
#include "discover/announce.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "net/http.h"
#include "session/source.h"
#include "session/torrent_parts.h"

#define URL_MAX (3 * METAINFO_URL_SIZE_MAX + 1)	/* each byte as %XX */
#define FETCH_TIMEOUT_MS 60000
#define FETCH_AGAIN (10 * 60 * CLOCK_S)	/* once all were asked */

static void
tell(const struct torrent *t, const char *url, const char *why)
{
	char shown[ERROR_TEXT_MAX];

	log_write(t->env.log, LOG_DETAIL, t->name, "%s: %s",
		  text_tracker_url(shown, sizeof(shown), url), why);
}

/* The main thread's, as it waits: what came is looked at in the next tick. */
static void
on_fetched(void *ctx, const struct http_answer *a)
{
	struct torrent *t = ctx;
	struct torrent_fetch *f = &t->fetch;
	char why[32];

	f->job = NULL;
	if (a->error.kind != ERROR_NONE) {
		tell(t, f->url, a->error.text);
	} else if (a->status != 200) {
		snprintf(why, sizeof(why), "the server answered %ld",
			 a->status);
		tell(t, f->url, why);
	} else if (a->size > 0 && (f->data = malloc(a->size)) != NULL) {
		memcpy(f->data, a->body, a->size);
		f->size = a->size;
	}
}

static void
ask(struct torrent *t)
{
	struct http_request r = {
		.link = true,
		.group = t,
		.body_max = SOURCE_URL_MAX,
		.timeout_ms = FETCH_TIMEOUT_MS,
		.done = on_fetched,
		.ctx = t,
	};
	struct buffer url;
	struct error e;

	buffer_init(&url, URL_MAX);
	buffer_url(&url, t->fetch.url, strlen(t->fetch.url));
	r.url = buffer_text(&url);
	if (!r.url)
		error_memory(&e);
	else
		t->fetch.job = http_start(announcer_http(t->env.announcer),
					  &r, &e);
	if (!t->fetch.job)
		tell(t, t->fetch.url, e.text);
	buffer_release(&url);
}

/* What came, if it is of use: kept until it is saved. */
static void
take(struct torrent *t)
{
	struct torrent_fetch *f = &t->fetch;
	struct metainfo *m;
	struct error e;

	m = metainfo_parse(f->data, f->size, &e);
	if (!m) {
		tell(t, f->url, e.text);
	} else if (!torrent_fits(t, m)) {
		tell(t, f->url, "it has another torrent");
		metainfo_free(m);
	} else if (t->meta) {
		torrent_take_layers(t, m);
		metainfo_free(m);
	} else {
		/* Another one may have the layers that this one lacks. */
		f->taken = !metainfo_lacks_layers(m);
		torrent_take_fetched(t, m);
		if (f->taken)
			return;
	}
	torrent_fetch_end(t);
}

/* The link's own; those of others come after them. */
static size_t
count_own(const struct torrent *t)
{
	return t->link ? t->link->source_count : 0;
}

static size_t
count_sources(const struct torrent *t)
{
	return count_own(t) + t->more.sources.count;
}

/* The next one, which there is. */
static const char *
next_source(struct torrent *t)
{
	size_t i = t->fetch.next++, own = count_own(t);

	return i < own ? t->link->sources[i] : t->more.sources.all[i - own];
}

void
torrent_fetch(struct torrent *t, int64_t now)
{
	struct torrent_fetch *f = &t->fetch;

	if (f->data && !f->taken)
		take(t);
	if (f->job || f->taken || !torrent_is_link(t) ||
	    count_sources(t) == 0 || !t->env.config->use_webseed)
		return;
	if (f->next == count_sources(t)) {
		if (now < f->due)
			return;
		f->next = 0;
		f->round = f->came = 0;
	}
	f->round += f->came;
	f->came = 0;
	f->url = next_source(t);
	f->due = now + FETCH_AGAIN;
	ask(t);
}

int64_t
torrent_fetch_due(const struct torrent *t)
{
	const struct torrent_fetch *f = &t->fetch;

	if (f->job || f->taken || count_sources(t) == 0 ||
	    !t->env.config->use_webseed)
		return CLOCK_NEVER;
	return f->next < count_sources(t) ? 0 : f->due;
}

bool
torrent_fetch_has_come(struct torrent *t)
{
	struct torrent_fetch *f = &t->fetch;

	if (f->job)
		f->came = http_came(f->job);
	/* What comes again in each round is no news. */
	if (f->round + f->came <= f->most)
		return false;
	f->most = f->round + f->came;
	return true;
}

void
torrent_fetch_hurry(struct torrent *t)
{
	t->fetch.next = 0;
	t->fetch.round = t->fetch.came = 0;
}

void
torrent_fetch_end(struct torrent *t)
{
	struct torrent_fetch *f = &t->fetch;

	if (f->job)
		http_cancel(announcer_http(t->env.announcer), f->job);
	f->job = NULL;
	if (!f->taken)
		torrent_fetch_forget(t);
}

void
torrent_fetch_forget(struct torrent *t)
{
	free(t->fetch.data);
	t->fetch.data = NULL;
	t->fetch.size = 0;
}
