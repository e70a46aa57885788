#include "discover/announce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "discover/tiers.h"
#include "discover/tracker_http.h"
#include "discover/udp_trackers.h"
#include "net/http.h"
#include "net/iface.h"
#include "net/proxy.h"
#include "net/resolve.h"

#define NUMWANT 200
#define STOP_TIMEOUT_MS 5000
/* 15 and 30 s: then it is the turn of the tier's next tracker, and of the
 * backoff, which asks again. */
#define UDP_TRIES 2
/* A torrent may name hundreds of trackers, and each of them say what it
 * likes, as often as it is asked. */
#define WARNINGS_MAX 8
#define QUERY_MAX 1024
#define CALLER_FDS_MAX 32
/* For those whom nobody can reach: some trackers refuse 0, and to try this one
 * costs others little (it is tcpmux's, of which no host has any more). */
#define NO_PORT 1
/* What is always waited for: the UDP sockets and the resolver. */
#define OWN_FDS_MAX (UDP_TRACKERS_FDS + 1)

struct announcer {
	struct log *log;
	uint16_t port;
	const struct iface *route;	/* or NULL */
	struct proxy *proxy;		/* or NULL */
	struct http *http;
	struct resolver *resolver;
	struct udp_trackers *udp;	/* NULL: not needed yet */
	struct announce *announces;
};

/* One announce under way. */
struct job {
	struct job *next;
	struct announce *owner;
	size_t tracker;
	enum tracker_event event;
	struct http_job *http;
	struct udp_job *udp;
	bool reported;		/* the tiers know how it went */
};

struct announce {
	struct announce *next;
	struct announcer *announcer;
	struct announce_callbacks callbacks;
	char *name;
	uint8_t info_hash[20];
	bool quiet;
	uint8_t peer_id[20];
	uint32_t key;
	struct tiers *tiers;
	struct job *jobs;
	bool stopping;
	char error[ERROR_TEXT_MAX];
	char warning[TRACKER_TEXT_MAX];	/* told last */
	unsigned warnings;	/* told so far */
};

struct announcer *
announcer_new(const struct announcer_config *config, struct log *log,
	      struct error *e)
{
	struct http_config http = {.route = config->route,
				   .proxy = config->proxy,
				   .connections_max = config->connections_max};
	struct announcer *a = calloc(1, sizeof(*a));

	if (!a) {
		error_memory(e);
		return NULL;
	}
	a->log = log;
	a->port = config->port;
	a->route = config->route;
	a->proxy = config->proxy;
	a->http = http_new(&http, e);
	a->resolver = a->http ? resolver_new(e) : NULL;
	if (!a->resolver) {
		announcer_free(a);
		return NULL;
	}
	resolver_set_route(a->resolver, a->route);
	return a;
}

void
announcer_free(struct announcer *a)
{
	if (!a)
		return;
	udp_trackers_free(a->udp);
	resolver_free(a->resolver);
	http_free(a->http);
	free(a);
}

void
announcer_set_port(struct announcer *a, uint16_t port)
{
	a->port = port;
}

void
announcer_rebind(struct announcer *a)
{
	if (a->udp)
		udp_trackers_rebind(a->udp);
}

struct resolver *
announcer_resolver(struct announcer *a)
{
	return a->resolver;
}

static void
warn_unusable(struct announcer *a, const struct announce_torrent *torrent)
{
	char shown[TRACKER_URL_MAX];
	size_t count = 0;

	for (size_t i = 0; i < torrent->tier_count; i++)
		count += torrent->tier_sizes[i];
	for (size_t i = 0; i < count; i++) {
		const char *why = NULL;

		if (!tracker_url_usable(torrent->urls[i]))
			why = "not an http, https or udp URL";
		else if (a->proxy && tracker_url_is_udp(torrent->urls[i]))
			why = "no proxy carries UDP";
		if (why)
			log_write(a->log, LOG_DETAIL, torrent->name,
				  "tracker '%s' cannot be asked: %s",
				  text_tracker_url(shown, sizeof(shown),
						   torrent->urls[i]), why);
	}
}

struct announce *
announce_new(struct announcer *a, const struct announce_torrent *torrent,
	     const struct announce_callbacks *callbacks, struct error *e)
{
	struct tiers_config config = {.no_udp = a->proxy != NULL,
				      .urls = torrent->urls,
				      .sizes = torrent->tier_sizes,
				      .count = torrent->tier_count,
				      .seed = random_u64()};
	struct announce *an = calloc(1, sizeof(*an));

	if (!an) {
		error_memory(e);
		return NULL;
	}
	an->announcer = a;
	an->callbacks = *callbacks;
	memcpy(an->info_hash, torrent->info_hash, sizeof(an->info_hash));
	memcpy(an->peer_id, torrent->peer_id, sizeof(an->peer_id));
	an->quiet = torrent->quiet;
	an->key = (uint32_t)random_u64();
	an->name = torrent->name ? strdup(torrent->name) : NULL;
	if (torrent->name && !an->name)
		error_memory(e);
	else
		an->tiers = tiers_new(&config, e);
	if (!an->tiers) {
		free(an->name);
		free(an);
		return NULL;
	}
	warn_unusable(a, torrent);
	an->next = a->announces;
	a->announces = an;
	return an;
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

/* Ends what is under way of a job that is in no list any more. */
static void
drop_job(struct job *job)
{
	struct announcer *a = job->owner->announcer;

	http_cancel(a->http, job->http);
	if (job->udp)
		udp_trackers_cancel(a->udp, job->udp);
	free(job);
}

void
announce_free(struct announce *an)
{
	struct job *job;

	if (!an)
		return;
	while ((job = an->jobs)) {
		an->jobs = job->next;
		drop_job(job);
	}
	for (struct announce **at = &an->announcer->announces; *at;
	     at = &(*at)->next) {
		if (*at == an) {
			*at = an->next;
			break;
		}
	}
	tiers_free(an->tiers);
	free(an->name);
	free(an);
}

int
announce_add(struct announce *an, const struct announce_torrent *more,
	     struct error *e)
{
	struct tiers_config config = {.urls = more->urls,
				      .sizes = more->tier_sizes,
				      .count = more->tier_count};

	return tiers_add(an->tiers, &config, clock_ns(), e);
}

void
announce_start(struct announce *an)
{
	tiers_start(an->tiers, clock_ns());
}

void
announce_completed(struct announce *an)
{
	tiers_completed(an->tiers, clock_ns());
}

void
announce_want_peers(struct announce *an)
{
	tiers_want_peers(an->tiers, clock_ns());
}

void
announce_hurry(struct announce *an)
{
	tiers_hurry(an->tiers, clock_ns());
}

/* It would count us for as long as its interval is. */
static bool
may_have_heard(const struct job *job)
{
	if (job->udp)
		return udp_trackers_sent(job->udp);
	return job->http && http_sent(job->http);
}

void
announce_stop(struct announce *an)
{
	struct job **at = &an->jobs;
	struct job *job;

	while ((job = *at)) {
		if (job->event == TRACKER_COMPLETED && !job->reported) {
			at = &job->next;
			continue;
		}
		*at = job->next;
		if (!job->reported && may_have_heard(job))
			tiers_heard(an->tiers, job->tracker);
		drop_job(job);
	}
	an->stopping = true;
	tiers_stop(an->tiers);
}

bool
announce_idle(const struct announce *an)
{
	return tiers_idle(an->tiers);
}

static const char *
job_url(const struct job *job)
{
	return tiers_tracker(job->owner->tiers, job->tracker)->url;
}

static const char *
shown_url(const struct job *job, char *out, size_t size)
{
	return text_tracker_url(out, size, job_url(job));
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
tell_answer(struct job *job, const struct tracker_answer *answer)
{
	struct announce *an = job->owner;
	struct log *log = an->announcer->log;
	char url[TRACKER_URL_MAX];

	/* Most say the same with each answer. */
	if (answer->warning[0] != '\0' &&
	    strcmp(answer->warning, an->warning) != 0) {
		snprintf(an->warning, sizeof(an->warning), "%s",
			 answer->warning);
		log_write(log, warning_level(an), an->name,
			  "tracker '%s' warns: %s",
			  shown_url(job, url, sizeof(url)), answer->warning);
	}
	if (log_wants(log, LOG_DETAIL))
		log_write(log, LOG_DETAIL, an->name,
			  "tracker '%s' answered%s%s: %zu peers",
			  shown_url(job, url, sizeof(url)),
			  job->event == TRACKER_NONE ? "" : " ",
			  tracker_event_name(job->event), answer->peer_count);
}

/* The callbacks come last: they may stop the announce, which frees jobs that
 * have reported. */
static void
succeed(struct job *job, const struct tracker_answer *answer)
{
	struct announce *an = job->owner;
	bool first = !job->reported;
	bool stopped = job->event == TRACKER_STOPPED;

	tell_answer(job, answer);
	if (first) {
		job->reported = true;
		an->error[0] = '\0';
		tiers_answered(an->tiers, job->tracker, answer, clock_ns());
	}
	if (stopped)
		return;
	if (answer->external.family != 0 && an->callbacks.external)
		an->callbacks.external(an->callbacks.ctx, &answer->external);
	if (answer->peer_count > 0)
		an->callbacks.peers(an->callbacks.ctx, answer->peers,
				    answer->peer_count);
}

/* What a tracker itself objects to is worth a warning, once; that it is away
 * happens all the time, and the session says so when it matters. */
static void
fail(struct job *job, const struct error *why, uint32_t retry_in)
{
	struct announce *an = job->owner;
	const struct tiers_tracker *v = tiers_tracker(an->tiers, job->tracker);
	enum log_level level = LOG_DETAIL;
	char url[TRACKER_URL_MAX];

	if (why->kind == ERROR_PROTOCOL && strcmp(v->error, why->text) != 0)
		level = warning_level(an);
	shown_url(job, url, sizeof(url));
	log_write(an->announcer->log, level, an->name, "tracker '%s': %s", url,
		  why->text);
	snprintf(an->error, sizeof(an->error), "tracker '%.150s': %.300s", url,
		 why->text);
	job->reported = true;
	tiers_failed(an->tiers, job->tracker, why, retry_in, clock_ns());
}

/* Trackers put their reason into answers of any status. */
static void
http_done_judge(struct job *job, const struct http_answer *got)
{
	struct announcer *an = job->owner->announcer;
	struct tracker_answer answer;
	struct error e = got->error;

	tracker_answer_init(&answer);
	if (got->proxy_failed) {
		proxy_failed(an->proxy, an->log, e.text);
		error_prefix(&e, "the proxy");
	} else if (an->proxy && e.kind == ERROR_NONE) {
		proxy_works(an->proxy);
	}
	if (e.kind == ERROR_NONE &&
	    tracker_http_parse(&answer, job_url(job), got->body, got->size,
			       &e) == 0 &&
	    got->status == 200) {
		succeed(job, &answer);
	} else {
		if (got->status != 200 && got->status != 0 && !answer.refused)
			error_set(&e, ERROR_PROTOCOL, "it answered %ld",
				  got->status);
		fail(job, &e, answer.retry_in);
	}
	tracker_answer_release(&answer);
}

static void
on_http(void *ctx, const struct http_answer *got)
{
	struct job *job = ctx;

	/* From here on it is not among the jobs that a stop cancels. */
	job->http = NULL;
	unlink_job(job);
	http_done_judge(job, got);
	free(job);
}

static void
on_udp(void *ctx, const struct tracker_answer *answer, const struct error *e,
       bool last)
{
	struct job *job = ctx;

	if (last) {
		job->udp = NULL;
		unlink_job(job);
	}
	if (answer)
		succeed(job, answer);
	else if (e)
		fail(job, e, 0);
	if (last)
		free(job);
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

static int
begin_http(struct job *job, const char *url, const struct tracker_request *r,
	   struct error *e)
{
	struct http_request request = {.announce = true,
				       .group = job->owner,
				       .body_max = HTTP_TRACKER_MAX,
				       .done = on_http,
				       .ctx = job};
	struct buffer text;

	buffer_init(&text, TRACKER_URL_MAX + QUERY_MAX);
	if (r->event == TRACKER_STOPPED) {
		request.timeout_ms = STOP_TIMEOUT_MS;
		request.urgent = true;
	}
	if (tracker_http_url(&text, url, r, e) == 0) {
		request.url = buffer_text(&text);
		job->http = http_start(job->owner->announcer->http, &request,
				       e);
	}
	buffer_release(&text);
	return job->http ? 0 : -1;
}

/* The sockets come with the first tracker that needs them. */
static struct udp_trackers *
need_udp(struct announcer *a, struct error *e)
{
	if (!a->udp)
		a->udp = udp_trackers_new(a->route, a->resolver, e);
	return a->udp;
}

static int
begin_udp(struct job *job, const char *url, const struct tracker_request *r,
	  struct error *e)
{
	struct udp_trackers *udp = need_udp(job->owner->announcer, e);
	struct udp_job_config config = {.url = url,
					.request = r,
					.tries = UDP_TRIES,
					.done = on_udp,
					.ctx = job};

	if (!udp)
		return -1;
	if (r->event == TRACKER_STOPPED)
		config.tries = 1;
	job->udp = udp_trackers_start(udp, &config, e);
	return job->udp ? 0 : -1;
}

static void
begin(struct announce *an, const struct tiers_job *tj)
{
	struct job *job = calloc(1, sizeof(*job));
	struct tracker_request r;
	struct error e = {0};
	int status;

	if (!job) {
		error_memory(&e);
		tiers_failed(an->tiers, tj->tracker, &e, 0, clock_ns());
		return;
	}
	job->owner = an;
	job->tracker = tj->tracker;
	job->event = tj->event;
	fill_request(an, tj, &r);
	if (tracker_url_is_udp(tj->url))
		status = begin_udp(job, tj->url, &r, &e);
	else
		status = begin_http(job, tj->url, &r, &e);
	if (status != 0) {
		fail(job, &e, 0);
		free(job);
		return;
	}
	job->next = an->jobs;
	an->jobs = job;
}

/* While the interface is away, nothing is tried that would only fail; but
 * whoever ends does not wait for it. */
static bool
rests(const struct announce *an)
{
	return iface_away(an->announcer->route) && !an->stopping;
}

static void
run_due(struct announcer *a)
{
	int64_t now = clock_ns();
	struct tiers_job tj;

	for (struct announce *an = a->announces; an; an = an->next) {
		if (rests(an))
			continue;
		while (tiers_next(an->tiers, now, &tj))
			begin(an, &tj);
	}
}

int64_t
announcer_next_due(const struct announcer *a)
{
	int64_t due = a->udp ? udp_trackers_due(a->udp) : CLOCK_NEVER;

	for (const struct announce *an = a->announces; an; an = an->next)
		if (!rests(an))
			due = clock_min(due, tiers_due(an->tiers));
	return due;
}

int
announcer_wait(struct announcer *a, struct pollfd *fds, size_t n,
	       int64_t deadline, struct error *e)
{
	struct pollfd all[OWN_FDS_MAX + CALLER_FDS_MAX];
	size_t own = 0;
	int timeout_ms;

	if (n > CALLER_FDS_MAX)
		return error_set(e, ERROR_INTERNAL, "too many fds to wait for");
	run_due(a);
	if (a->udp)
		own = udp_trackers_fds(a->udp, all);
	all[own++] = (struct pollfd){.fd = resolver_fd(a->resolver),
				     .events = POLLIN};
	for (size_t i = 0; i < n; i++)
		all[own + i] = fds[i];
	timeout_ms = clock_poll_ms(clock_ns(), clock_min(deadline,
						announcer_next_due(a)));
	if (http_wait(a->http, all, own + n, timeout_ms, e) != 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		fds[i].revents = all[own + i].revents;
	resolver_run(a->resolver);
	if (a->udp)
		udp_trackers_run(a->udp, clock_ns());
	return 0;
}

void
announce_get_status(const struct announce *an, struct announce_status *out)
{
	memset(out, 0, sizeof(*out));
	out->seeds = -1;
	out->leechers = -1;
	out->next_due = tiers_due(an->tiers);
	for (size_t i = 0; i < tiers_trackers(an->tiers); i++) {
		const struct tiers_tracker *v = tiers_tracker(an->tiers, i);

		out->trackers++;
		out->working += v->working ? 1 : 0;
		out->busy += v->busy ? 1 : 0;
		if (v->seeds > out->seeds)
			out->seeds = v->seeds;
		if (v->leechers > out->leechers)
			out->leechers = v->leechers;
	}
	memcpy(out->error, an->error, sizeof(out->error));
}

bool
announce_get_tracker(const struct announce *an, size_t i,
		     struct announce_tracker *out)
{
	const struct tiers_tracker *v;

	if (i >= tiers_trackers(an->tiers))
		return false;
	v = tiers_tracker(an->tiers, i);
	text_tracker_url(out->url, sizeof(out->url), v->url);
	out->tier = v->tier;
	out->working = v->working;
	out->busy = v->busy;
	out->failures = v->failures;
	out->seeds = v->seeds;
	out->leechers = v->leechers;
	out->next_due = tiers_tracker_due(an->tiers, i);
	memcpy(out->error, v->error, sizeof(out->error));
	return true;
}
