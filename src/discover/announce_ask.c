/*
 * How a tracker is told, and what its answers lead to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "announce_parts.h"
#include "base/clock.h"
#include "base/text.h"

#define NUMWANT 200
/* A torrent may name hundreds of trackers, and each of them say what it
 * likes, as often as it is asked. */
#define WARNINGS_MAX 8
/* For those whom nobody can reach: some trackers refuse 0, and all below 1024;
 * this one is reserved, so that nobody is there. */
#define NO_PORT 49151

static const char *
shown_url(const struct announce *an, size_t tracker, char *out, size_t size)
{
	return text_tracker_url(out, size,
				tiers_tracker(an->tiers, tracker)->url);
}

/* The first few are warnings, what comes behind them is detail. */
static enum log_level
warning_level(struct announce *an)
{
	if (an->quiet || an->warnings == WARNINGS_MAX)
		return LOG_DETAIL;
	an->warnings++;
	return LOG_WARNING;
}

static void
tell_answer(struct announce *an, size_t tracker, enum tracker_event event,
	    const struct tracker_answer *answer)
{
	char url[TRACKER_URL_MAX];

	/* Most say the same with each answer. */
	if (answer->warning[0] != '\0' &&
	    strcmp(answer->warning, an->warning) != 0) {
		snprintf(an->warning, sizeof(an->warning), "%s",
			 answer->warning);
		log_write(an->log, warning_level(an), an->name,
			  "tracker '%s' warns: %s",
			  shown_url(an, tracker, url, sizeof(url)),
			  answer->warning);
	}
	if (log_wants(an->log, LOG_DETAIL))
		log_write(an->log, LOG_DETAIL, an->name,
			  "tracker '%s' answered%s%s: %zu peers",
			  shown_url(an, tracker, url, sizeof(url)),
			  event == TRACKER_NONE ? "" : " ",
			  tracker_event_name(event), answer->peer_count);
}

/* The callbacks come last: they may stop the announce, which frees jobs that
 * have reported. */
static void
take_answer(struct announce *an, enum tracker_event event,
	    const struct tracker_answer *answer)
{
	if (event == TRACKER_STOPPED)
		return;
	if (answer->external.family != 0 && an->callbacks.external)
		an->callbacks.external(an->callbacks.ctx, &answer->external);
	if (answer->peer_count > 0)
		an->callbacks.peers(an->callbacks.ctx, answer->peers,
				    answer->peer_count);
	announce_take_names(an, answer);
}

static void
note_success(struct announce *an, size_t tracker,
	     const struct tracker_answer *answer)
{
	an->error[0] = '\0';
	tiers_answered(an->tiers, tracker, answer, clock_ns());
}

/* What a tracker itself objects to is worth a warning, once; that it is away
 * happens all the time, and the session says so when it matters. */
static void
note_failure(struct announce *an, size_t tracker, const struct error *why,
	     const struct tracker_answer *answer)
{
	const struct tiers_tracker *v = tiers_tracker(an->tiers, tracker);
	enum log_level level = LOG_DETAIL;
	char url[TRACKER_URL_MAX];

	if (why->kind == ERROR_PROTOCOL && strcmp(v->error, why->text) != 0)
		level = warning_level(an);
	shown_url(an, tracker, url, sizeof(url));
	log_write(an->log, level, an->name, "tracker '%s': %s", url,
		  why->text);
	snprintf(an->error, sizeof(an->error), "tracker '%.150s': %.300s", url,
		 why->text);
	tiers_failed(an->tiers, tracker, why, answer, clock_ns());
}

static void
on_word(void *ctx, const struct tracker_roads_word *w)
{
	struct announce *an = ctx;

	if (w->e) {
		note_failure(an, w->index, w->e, w->answer);
		return;
	}
	tell_answer(an, w->index, w->event, w->answer);
	if (w->news)
		note_success(an, w->index, w->answer);
	take_answer(an, w->event, w->answer);
}

static void
fill_request(struct announce *an, const struct tiers_job *tj,
	     struct tracker_request *r)
{
	struct announce_stats stats = {0};

	an->callbacks.stats(an->callbacks.ctx, &stats);
	memset(r, 0, sizeof(*r));
	memcpy(r->info_hash, an->info_hash, sizeof(r->info_hash));
	memcpy(r->peer_id, an->peer_id, sizeof(r->peer_id));
	r->uploaded = stats.uploaded;
	r->downloaded = stats.downloaded;
	r->left = stats.left;
	r->key = an->key;
	r->port = an->announcer->port ? an->announcer->port : NO_PORT;
	r->port6 = an->announcer->port6 ? an->announcer->port6 : NO_PORT;
	r->event = tj->event;
	r->paused = stats.paused;
	if (stats.want_peers && tj->event != TRACKER_STOPPED)
		r->numwant = NUMWANT;
	snprintf(r->id, sizeof(r->id), "%s", tj->id);
}

/* Trackers may have come since the last time. */
static int
make_places(struct announce *an, struct error *e)
{
	size_t n = tiers_trackers(an->tiers);
	struct tracker_roads **more;

	if (n <= an->roads_count)
		return 0;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it holds pointers */
	more = realloc(an->roads, n * sizeof(*more));
	if (!more)
		return error_memory(e);
	while (an->roads_count < n)
		more[an->roads_count++] = NULL;
	an->roads = more;
	return 0;
}

/* The sockets come with the first tracker that needs them. */
static struct udp_trackers *
need_udp(struct announcer *a, struct error *e)
{
	if (!a->udp)
		a->udp = udp_trackers_new(a->route, a->blocklist,
					  a->resolver, e);
	return a->udp;
}

static struct tracker_roads *
make_roads(struct announce *an, size_t tracker, const char *url,
	   struct error *e)
{
	struct announcer *a = an->announcer;
	struct tracker_roads_config config = {
		.http = a->http,
		.route = a->route,
		.proxy = a->proxy,
		.log = a->log,
		.url = url,
		.index = tracker,
		.group = an,
		.owner = an->owner,
		.done = on_word,
		.ctx = an,
	};

	if (tracker_url_is_udp(url)) {
		config.udp = need_udp(a, e);
		if (!config.udp)
			return NULL;
	}
	return tracker_roads_new(&config, e);
}

static int
begin(struct announce *an, const struct tiers_job *tj, struct error *e)
{
	struct tracker_roads **roads;
	struct tracker_request r;

	if (make_places(an, e) < 0)
		return -1;
	roads = &an->roads[tj->tracker];
	if (!*roads)
		*roads = make_roads(an, tj->tracker, tj->url, e);
	if (!*roads)
		return -1;
	fill_request(an, tj, &r);
	return tracker_roads_tell(*roads, &r, e);
}

void
announce_begin(struct announce *an, const struct tiers_job *tj)
{
	struct error e = {0};

	if (begin(an, tj, &e) != 0)
		note_failure(an, tj->tracker, &e, NULL);
}

/* ---- the end ---- */

void
announce_let_go(struct announce *an, int64_t now)
{
	if (now >= an->hasten_at) {
		an->hasten_at = CLOCK_NEVER;
		if (an->hastens++ == 0)
			an->hasten_at = now + ANNOUNCE_COMPLETED_PATIENCE -
					ANNOUNCE_STARTED_PATIENCE;
	}
	for (size_t i = 0; an->hastens > 0 && i < an->roads_count; i++)
		if (an->roads[i] &&
		    !tracker_roads_hasten(an->roads[i], an->hastens > 1))
			tiers_let_go(an->tiers, i);
}
