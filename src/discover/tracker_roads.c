#include "discover/tracker_roads.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "discover/tracker_http.h"
#include "discover/tracker_udp.h"
#include "discover/udp_trackers.h"
#include "net/http.h"
#include "net/http_target.h"
#include "net/iface.h"
#include "net/proxy.h"

#define QUERY_MAX 1024
#define ROADS_MAX 2
/* Of UDP's packets: in 45 s, or in 15 at the end. */
#define UDP_TRIES 3
#define UDP_LAST_TRIES 2

struct road {
	struct tracker_roads *owner;
	int family;		/* 0: there is but this one */
	struct http_job *http;	/* under way, one of the two */
	struct udp_job *udp;
	enum tracker_event event;	/* of what is under way */
	bool paused;		/* it said that instead */
	bool plainly;		/* it does without, having been refused */
	bool started;		/* the tracker has us on its list */
	bool doubtful;		/* it may have: there was no answer */
	bool awaited;		/* its word is news */
	/* What comes next. */
	bool asks;
	bool owes_completed;
	bool owes_stopped;
};

struct tracker_roads {
	struct tracker_roads_config config;
	char *url;
	struct tracker_request last;	/* told */
	bool number6;		/* the URL has an address of IPv6 */
	bool open;		/* there was no news of that yet */
	bool plain;		/* refuses `paused`, and not without: not told
				 * again */
	bool stopping;
	struct error error;	/* the most telling one since then */
	unsigned weight;	/* of it */
	uint32_t retry_in;	/* that came with it, and */
	uint32_t rest;		/* the interval: not to be asked before */
	struct road roads[ROADS_MAX];
	size_t count;
};

static bool
has_two(const struct tracker_roads_config *config)
{
	if (tracker_url_is_udp(config->url))
		return !tracker_udp_is_number(config->url);
	return !config->proxy && !http_target_is_number(config->url);
}

/* In a URL such a number stands in brackets. */
static bool
is_number6(const char *url)
{
	const char *host = strstr(url, "://");

	return host && memchr(host + 3, '[', strcspn(host + 3, "/?#"));
}

struct tracker_roads *
tracker_roads_new(const struct tracker_roads_config *config, struct error *e)
{
	static const int families[ROADS_MAX] = {AF_INET, AF_INET6};
	struct tracker_roads *t = calloc(1, sizeof(*t));
	bool both = has_two(config);

	if (t)
		t->url = strdup(config->url);
	if (!t || !t->url) {
		tracker_roads_free(t);
		error_memory(e);
		return NULL;
	}
	t->config = *config;
	t->number6 = is_number6(t->url);
	t->count = both ? 2 : 1;
	for (size_t i = 0; i < t->count; i++) {
		t->roads[i].owner = t;
		t->roads[i].family = both ? families[i] : 0;
	}
	return t;
}

/* Is an answer waited for? */
static bool
is_busy(const struct road *r)
{
	return r->http || r->udp;
}

static bool
is_sent(const struct road *r)
{
	return r->http ? http_sent(r->http) : udp_trackers_sent(r->udp);
}

static void
cancel(struct road *r)
{
	if (r->http)
		http_cancel(r->owner->config.http, r->http);
	if (r->udp)
		udp_trackers_cancel(r->owner->config.udp, r->udp);
	r->http = NULL;
	r->udp = NULL;
}

void
tracker_roads_free(struct tracker_roads *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		cancel(&t->roads[i]);
	free(t->url);
	free(t);
}

/* ---- failures ---- */

/* That a name has no address of one family says the least; what a tracker
 * itself objects to says the most. */
static void
note_failure(struct tracker_roads *t, const struct error *e, bool no_address,
	     const struct tracker_answer *answer)
{
	unsigned weight = no_address ? 1 : 2;

	if (e->kind == ERROR_PROTOCOL)
		weight = 3;
	if (weight <= t->weight)
		return;
	t->weight = weight;
	t->error = *e;
	t->retry_in = answer ? answer->retry_in : 0;
	t->rest = 0;
	if (answer && answer->refused)
		t->rest = answer->interval > answer->min_interval
				  ? answer->interval
				  : answer->min_interval;
}

static bool
is_awaited(const struct tracker_roads *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->roads[i].awaited)
			return true;
	return false;
}

/* ---- asking ---- */

static http_done on_http;
static udp_job_done on_udp;

static void
ask_http(struct road *r, const struct tracker_request *what, struct error *e)
{
	struct tracker_roads *t = r->owner;
	struct http_request request = {.announce = true,
				       .group = t->config.group,
				       .urgent = t->stopping,
				       .family = r->family,
				       .second = r->family == AF_INET6,
				       .body_max = HTTP_TRACKER_MAX,
				       .done = on_http,
				       .ctx = r};
	struct buffer text;

	if (what->event == TRACKER_STOPPED)
		request.timeout_ms = r->started ? TRACKER_ROADS_STOP_MS
						: TRACKER_ROADS_LAST_WORD_MS;
	buffer_init(&text, 3 * TRACKER_URL_MAX + QUERY_MAX);
	if (tracker_http_url(&text, t->url, what, e) == 0) {
		request.url = buffer_text(&text);
		r->http = http_start(t->config.http, &request, e);
	}
	buffer_release(&text);
}

static void
ask_udp(struct road *r, const struct tracker_request *what, struct error *e)
{
	struct tracker_roads *t = r->owner;
	struct udp_job_config config = {.url = t->url,
					.request = what,
					.family = r->family,
					.tries = UDP_TRIES,
					.owner = t->config.owner,
					.done = on_udp,
					.ctx = r};

	if (what->event == TRACKER_STOPPED) {
		config.tries = UDP_LAST_TRIES;
		if (!r->started)
			config.until = clock_ns() +
				       TRACKER_ROADS_LAST_WORD_MS * CLOCK_MS;
	}
	r->udp = udp_trackers_start(t->config.udp, &config, e);
}

static bool
is_over6(const struct road *r)
{
	return r->family == AF_INET6 || (r->family == 0 && r->owner->number6);
}

static int
ask(struct road *r, enum tracker_event event)
{
	struct tracker_roads *t = r->owner;
	struct tracker_request what = t->last;
	struct error e;

	if (is_over6(r))
		what.port = what.port6;
	what.event = event;
	what.paused = what.paused && !t->plain && !r->plainly;
	r->event = event;
	r->paused = what.paused && event != TRACKER_STOPPED;
	if (tracker_url_is_udp(t->url))
		ask_udp(r, &what, &e);
	else
		ask_http(r, &what, &e);
	if (is_busy(r))
		return 0;
	note_failure(t, &e, false, NULL);
	return -1;
}

/* What is due on this road; false if nothing is. */
static bool
next_event(struct road *r, enum tracker_event *event)
{
	if (r->owner->stopping && !r->started)
		r->asks = r->owes_completed = false;
	if (r->asks || r->owes_completed) {
		*event = r->started ? TRACKER_NONE : TRACKER_STARTED;
		if (r->started && r->owes_completed) {
			*event = TRACKER_COMPLETED;
			r->owes_completed = false;
		}
		r->asks = false;
		return true;
	}
	*event = TRACKER_STOPPED;
	if (!r->owes_stopped)
		return false;
	r->owes_stopped = false;
	return true;
}

static void
go_on(struct road *r)
{
	enum tracker_event event;

	while (!is_busy(r) && next_event(r, &event))
		if (ask(r, event) != 0 && event == TRACKER_STARTED)
			r->owes_completed = false;
	r->awaited = r->awaited && is_busy(r);
}

/* ---- answers ---- */

static void
take_success(struct road *r)
{
	struct tracker_roads *t = r->owner;

	if (r->event == TRACKER_STARTED)
		r->started = true;
	if (r->event == TRACKER_STOPPED)
		r->started = false;
	r->doubtful = false;
	if (!r->awaited)
		return;
	for (size_t i = 0; i < t->count; i++)
		t->roads[i].awaited = false;
}

static void
take_failure(struct road *r, const struct error *e, bool no_address,
	     const struct tracker_answer *answer)
{
	note_failure(r->owner, e, no_address, answer);
	if (r->event != TRACKER_STARTED)
		return;
	r->owes_completed = false;
	r->owes_stopped = false;
}

/* Trackers put their reason into answers of any status. */
static bool
judge(struct tracker_roads *t, const struct http_answer *got,
      struct tracker_answer *answer, struct error *e)
{
	struct proxy *proxy = t->config.proxy;

	*e = got->error;
	if (got->proxy_failed) {
		proxy_failed(proxy, t->config.log, e->text);
		error_prefix(e, "the proxy");
	} else if (proxy && e->kind == ERROR_NONE) {
		proxy_works(proxy);
	}
	if (e->kind == ERROR_NONE &&
	    tracker_http_parse(answer, t->url, got->body, got->size, e) == 0 &&
	    got->status == 200)
		return true;
	if (got->status != 200 && got->status != 0 && !answer->refused)
		error_set(e, ERROR_PROTOCOL, "it answered %ld", got->status);
	return false;
}

/* Some trackers refuse the event that they do not know, and then not even hear
 * that we are there.  True: it is asked without; who wants a rest has it. */
static bool
ask_plainly(struct road *r, const struct tracker_answer *answer)
{
	if (!answer->refused || answer->retry_in != 0 || !r->paused ||
	    r->owner->stopping)
		return false;
	r->plainly = true;
	return ask(r, r->event) == 0;
}

/* The callback comes last: it may stop the tracker. */
static void
report(struct road *r, struct tracker_answer *answer, const struct error *e,
       bool no_address)
{
	struct tracker_roads *t = r->owner;
	struct tracker_roads_word w = {.index = t->config.index,
				       .event = r->event,
				       .answer = answer};

	if (ask_plainly(r, answer))
		return;
	t->plain = t->plain || (r->plainly && !e);
	r->plainly = false;
	if (e)
		take_failure(r, e, no_address, answer);
	else
		take_success(r);
	go_on(r);
	w.news = t->open && !is_awaited(t);
	t->open = t->open && !w.news;
	if (e) {
		w.e = &t->error;
		answer->retry_in = t->retry_in;
		answer->interval = t->rest;
	}
	if (!e || w.news)
		t->config.done(t->config.ctx, &w);
}

static void
on_http(void *ctx, const struct http_answer *got)
{
	struct road *r = ctx;
	struct tracker_answer answer;
	struct error e;
	bool good;

	r->http = NULL;
	tracker_answer_init(&answer);
	good = judge(r->owner, got, &answer, &e);
	report(r, &answer, good ? NULL : &e, got->no_address);
	tracker_answer_release(&answer);
}

static void
on_udp(void *ctx, struct tracker_answer *answer, const struct error *e,
       bool no_address)
{
	struct tracker_answer none;
	struct road *r = ctx;

	r->udp = NULL;
	tracker_answer_init(&none);
	report(r, answer ? answer : &none, e, no_address);
}

/* ---- what is told ---- */

/* The route may have got or lost a family. */
static bool
is_passable(const struct road *r)
{
	int family = r->family ? iface_family(r->owner->config.route) : 0;

	return family == AF_UNSPEC || family == r->family;
}

static void
take(struct road *r, enum tracker_event event)
{
	if (event == TRACKER_STOPPED) {
		r->owes_stopped = r->started || r->doubtful || is_busy(r);
		r->awaited = r->owes_stopped;
	} else if (is_busy(r) || is_passable(r)) {
		r->owes_completed |= event == TRACKER_COMPLETED;
		r->asks = !is_busy(r);
		r->awaited = true;
	}
}

int
tracker_roads_tell(struct tracker_roads *t, const struct tracker_request *r,
		  struct error *e)
{
	t->last = *r;
	t->weight = 0;
	error_set(&t->error, ERROR_NETWORK,
		  "no address of it can be reached from here");
	for (size_t i = 0; i < t->count; i++) {
		take(&t->roads[i], r->event);
		go_on(&t->roads[i]);
	}
	t->open = is_awaited(t);
	if (!t->open && e)
		*e = t->error;
	return t->open ? 0 : -1;
}

/* A `started` that has not been sent was not heard. */
static bool
may_go_on(const struct road *r)
{
	return is_busy(r) && (r->event == TRACKER_COMPLETED ||
			      (r->event == TRACKER_STARTED && is_sent(r)));
}

bool
tracker_roads_stop(struct tracker_roads *t)
{
	t->stopping = true;
	for (size_t i = 0; i < t->count; i++) {
		struct road *r = &t->roads[i];

		r->asks = false;
		if (!may_go_on(r))
			cancel(r);
		go_on(r);
	}
	t->open = t->open && t->last.event != TRACKER_NONE && is_awaited(t);
	return t->open;
}

/* The last word is not waited for beyond its being sent. */
static bool
has_had_its_time(const struct road *r, bool completed_too)
{
	return r->event == TRACKER_STARTED ||
	       (r->event == TRACKER_COMPLETED && completed_too) ||
	       (r->event == TRACKER_STOPPED && !r->started && is_sent(r));
}

bool
tracker_roads_hasten(struct tracker_roads *t, bool completed_too)
{
	for (size_t i = 0; i < t->count; i++) {
		struct road *r = &t->roads[i];

		if (!is_busy(r) || !has_had_its_time(r, completed_too))
			continue;
		r->doubtful = r->event == TRACKER_STARTED;
		cancel(r);
		go_on(r);
	}
	t->open = t->open && is_awaited(t);
	return t->open;
}

bool
tracker_roads_idle(const struct tracker_roads *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (is_busy(&t->roads[i]))
			return false;
	return true;
}
