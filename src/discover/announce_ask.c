/*
 * How a tracker is told, and what its answers lead to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "announce_parts.h"
#include "base/clock.h"
#include "base/text.h"
#include "net/iface.h"

#define NUMWANT 200
/* In 45 s, or in 15 at the end. */
#define UDP_TRIES 3
#define UDP_LAST_TRIES 2
/* To a tracker that has not answered, at the end. */
#define LAST_WORD (HTTP_TRACKER_LAST_WORD_MS * CLOCK_MS)
/* A torrent may name hundreds of trackers, and each of them say what it
 * likes, as often as it is asked. */
#define WARNINGS_MAX 8
/* For those whom nobody can reach: some trackers refuse 0, and to try this one
 * costs others little (it is tcpmux's, of which no host has any more). */
#define NO_PORT 1

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
	     uint32_t retry_in)
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
	tiers_failed(an->tiers, tracker, why, retry_in, clock_ns());
}

static void
unlink_job(struct job *job)
{
	for (struct job **at = &job->owner->jobs; *at; at = &(*at)->next) {
		if (*at == job) {
			*at = job->next;
			return;
		}
	}
}

void
announce_drop_job(struct job *job)
{
	udp_trackers_cancel(job->owner->announcer->udp, job->udp);
	free(job);
}

static void
on_http(void *ctx, const struct http_tracker_word *w)
{
	struct announce *an = ctx;

	if (w->e) {
		note_failure(an, w->index, w->e, w->answer->retry_in);
		return;
	}
	tell_answer(an, w->index, w->event, w->answer);
	if (w->news)
		note_success(an, w->index, w->answer);
	take_answer(an, w->event, w->answer);
}

static void
on_udp(void *ctx, const struct tracker_answer *answer, const struct error *e,
       bool last)
{
	struct job *job = ctx;
	struct announce *an = job->owner;
	enum tracker_event event = job->event;
	bool first = !job->reported;
	size_t tracker = job->tracker;

	job->reported = true;
	if (last) {
		unlink_job(job);
		free(job);
	}
	if (e)
		note_failure(an, tracker, e, 0);
	if (!answer)
		return;
	tell_answer(an, tracker, event, answer);
	if (first)
		note_success(an, tracker, answer);
	take_answer(an, event, answer);
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
	struct http_tracker **more;

	if (n <= an->http_count)
		return 0;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it holds pointers */
	more = realloc(an->http, n * sizeof(*more));
	if (!more)
		return error_memory(e);
	while (an->http_count < n)
		more[an->http_count++] = NULL;
	an->http = more;
	return 0;
}

static int
begin_http(struct announce *an, size_t tracker,
	   const struct tracker_request *r, struct error *e)
{
	const struct announcer *a = an->announcer;
	struct http_tracker_config config = {
		.http = a->http,
		.route = a->route,
		.proxy = a->proxy,
		.log = a->log,
		.url = tiers_tracker(an->tiers, tracker)->url,
		.index = tracker,
		.group = an,
		.done = on_http,
		.ctx = an,
	};

	if (make_places(an, e) < 0)
		return -1;
	if (!an->http[tracker])
		an->http[tracker] = http_tracker_new(&config, e);
	if (!an->http[tracker])
		return -1;
	return http_tracker_tell(an->http[tracker], r, e);
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

static int
start_udp(struct job *job, const struct tracker_request *r, struct error *e)
{
	struct announce *an = job->owner;
	const struct tiers_tracker *v = tiers_tracker(an->tiers, job->tracker);
	struct udp_trackers *udp = need_udp(an->announcer, e);
	struct udp_job_config config = {.url = v->url,
					.request = r,
					.tries = UDP_TRIES,
					.done = on_udp,
					.ctx = job};

	if (!udp)
		return -1;
	if (r->event == TRACKER_STOPPED) {
		config.tries = UDP_LAST_TRIES;
		if (!v->started)
			job->until = clock_ns() + LAST_WORD;
	}
	job->udp = udp_trackers_start(udp, &config, e);
	return job->udp ? 0 : -1;
}

static int
begin_udp(struct announce *an, size_t tracker,
	  const struct tracker_request *r, struct error *e)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return error_memory(e);
	job->owner = an;
	job->tracker = tracker;
	job->event = r->event;
	job->until = CLOCK_NEVER;
	if (start_udp(job, r, e) != 0) {
		free(job);
		return -1;
	}
	job->next = an->jobs;
	an->jobs = job;
	return 0;
}

void
announce_begin(struct announce *an, const struct tiers_job *tj)
{
	struct tracker_request r;
	struct error e = {0};
	int status;

	fill_request(an, tj, &r);
	if (tracker_url_is_udp(tj->url))
		status = begin_udp(an, tj->tracker, &r, &e);
	else
		status = begin_http(an, tj->tracker, &r, &e);
	if (status != 0)
		note_failure(an, tj->tracker, &e, 0);
}

/* ---- the end ---- */

/* It would count us for as long as its interval is. */
bool
announce_goes_on(const struct job *job)
{
	if (job->reported)
		return false;
	return job->event == TRACKER_COMPLETED ||
	       (job->event == TRACKER_STARTED && udp_trackers_sent(job->udp));
}

/* A last word need only be sent. */
static bool
has_had_its_time(const struct job *job, int64_t now)
{
	if (job->event == TRACKER_STARTED)
		return job->owner->hastens;
	return now >= job->until || (job->until != CLOCK_NEVER &&
				     udp_trackers_sent(job->udp));
}

void
announce_let_go(struct announce *an, int64_t now)
{
	struct job **at = &an->jobs;
	struct job *job;

	if (now >= an->hasten_at) {
		an->hasten_at = CLOCK_NEVER;
		an->hastens = true;
	}
	while ((job = *at)) {
		if (!has_had_its_time(job, now)) {
			at = &job->next;
			continue;
		}
		*at = job->next;
		if (!job->reported)
			tiers_let_go(an->tiers, job->tracker);
		announce_drop_job(job);
	}
	for (size_t i = 0; an->hastens && i < an->http_count; i++)
		if (an->http[i] && !http_tracker_hasten(an->http[i]))
			tiers_let_go(an->tiers, i);
}

int64_t
announce_let_go_due(const struct announce *an)
{
	int64_t due = an->hasten_at;

	for (const struct job *job = an->jobs; job; job = job->next)
		due = clock_min(due, job->until);
	return due;
}
