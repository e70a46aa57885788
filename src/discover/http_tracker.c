#include "discover/http_tracker.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "discover/tracker_http.h"
#include "net/http.h"
#include "net/http_target.h"
#include "net/iface.h"
#include "net/proxy.h"

#define QUERY_MAX 1024
#define ROADS_MAX 2

struct road {
	struct http_tracker *owner;
	int family;		/* 0: there is but this one */
	struct http_job *job;	/* under way */
	enum tracker_event event;	/* of that */
	bool started;		/* the tracker has us on its list */
	bool doubtful;		/* it may have: there was no answer */
	bool awaited;		/* its word is news */
	/* What comes next. */
	bool asks;
	bool owes_completed;
	bool owes_stopped;
};

struct http_tracker {
	struct http_tracker_config config;
	char *url;
	struct tracker_request last;	/* told */
	bool open;		/* there was no news of that yet */
	bool stopping;
	struct error error;	/* the most telling one since then */
	unsigned weight;	/* of it */
	uint32_t retry_in;	/* that came with it */
	struct road roads[ROADS_MAX];
	size_t count;
};

struct http_tracker *
http_tracker_new(const struct http_tracker_config *config, struct error *e)
{
	static const int families[ROADS_MAX] = {AF_INET, AF_INET6};
	struct http_tracker *t = calloc(1, sizeof(*t));
	bool both = !config->proxy && !http_target_is_number(config->url);

	if (t)
		t->url = strdup(config->url);
	if (!t || !t->url) {
		http_tracker_free(t);
		error_memory(e);
		return NULL;
	}
	t->config = *config;
	t->count = both ? 2 : 1;
	for (size_t i = 0; i < t->count; i++) {
		t->roads[i].owner = t;
		t->roads[i].family = both ? families[i] : 0;
	}
	return t;
}

static void
cancel(struct road *r)
{
	if (r->job)
		http_cancel(r->owner->config.http, r->job);
	r->job = NULL;
}

void
http_tracker_free(struct http_tracker *t)
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
note_failure(struct http_tracker *t, const struct error *e, bool no_address,
	     uint32_t retry_in)
{
	unsigned weight = no_address ? 1 : 2;

	if (e->kind == ERROR_PROTOCOL)
		weight = 3;
	if (weight <= t->weight)
		return;
	t->weight = weight;
	t->error = *e;
	t->retry_in = retry_in;
}

static bool
is_awaited(const struct http_tracker *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->roads[i].awaited)
			return true;
	return false;
}

/* ---- asking ---- */

static void on_http(void *ctx, const struct http_answer *got);

static int
ask(struct road *r, enum tracker_event event)
{
	struct http_tracker *t = r->owner;
	struct tracker_request what = t->last;
	struct http_request request = {.announce = true,
				       .group = t->config.group,
				       .family = r->family,
				       .second = r->family == AF_INET6,
				       .body_max = HTTP_TRACKER_MAX,
				       .done = on_http,
				       .ctx = r};
	struct buffer text;
	struct error e;

	what.event = event;
	r->event = event;
	if (event == TRACKER_STOPPED)
		request.timeout_ms = r->started ? HTTP_TRACKER_STOP_MS
						: HTTP_TRACKER_LAST_WORD_MS;
	request.urgent = t->stopping;
	buffer_init(&text, TRACKER_URL_MAX + QUERY_MAX);
	if (tracker_http_url(&text, t->url, &what, &e) == 0) {
		request.url = buffer_text(&text);
		r->job = http_start(t->config.http, &request, &e);
	}
	buffer_release(&text);
	if (!r->job)
		note_failure(t, &e, false, 0);
	return r->job ? 0 : -1;
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

	while (!r->job && next_event(r, &event))
		if (ask(r, event) != 0 && event == TRACKER_STARTED)
			r->owes_completed = false;
	r->awaited = r->awaited && r->job;
}

/* ---- answers ---- */

static void
take_success(struct road *r)
{
	struct http_tracker *t = r->owner;

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
	     uint32_t retry_in)
{
	note_failure(r->owner, e, no_address, retry_in);
	if (r->event != TRACKER_STARTED)
		return;
	r->owes_completed = false;
	r->owes_stopped = false;
}

/* Trackers put their reason into answers of any status. */
static bool
judge(struct http_tracker *t, const struct http_answer *got,
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

/* The callback comes last: it may stop the tracker. */
static void
on_http(void *ctx, const struct http_answer *got)
{
	struct road *r = ctx;
	struct http_tracker *t = r->owner;
	struct http_tracker_word w = {.index = t->config.index,
				      .event = r->event};
	struct tracker_answer answer;
	struct error e;
	bool good;

	r->job = NULL;
	tracker_answer_init(&answer);
	good = judge(t, got, &answer, &e);
	w.answer = &answer;
	if (good)
		take_success(r);
	else
		take_failure(r, &e, got->no_address, answer.retry_in);
	go_on(r);
	w.news = t->open && !is_awaited(t);
	t->open = t->open && !w.news;
	if (!good) {
		w.e = &t->error;
		answer.retry_in = t->retry_in;
	}
	if (good || w.news)
		t->config.done(t->config.ctx, &w);
	tracker_answer_release(&answer);
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
		r->owes_stopped = r->started || r->doubtful || r->job;
		r->awaited = r->owes_stopped;
	} else if (r->job || is_passable(r)) {
		r->owes_completed |= event == TRACKER_COMPLETED;
		r->asks = !r->job;
		r->awaited = true;
	}
}

int
http_tracker_tell(struct http_tracker *t, const struct tracker_request *r,
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
	return r->job && (r->event == TRACKER_COMPLETED ||
			  (r->event == TRACKER_STARTED && http_sent(r->job)));
}

bool
http_tracker_stop(struct http_tracker *t)
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
has_had_its_time(const struct road *r)
{
	return r->event == TRACKER_STARTED ||
	       (r->event == TRACKER_STOPPED && !r->started &&
		http_sent(r->job));
}

bool
http_tracker_hasten(struct http_tracker *t)
{
	for (size_t i = 0; i < t->count; i++) {
		struct road *r = &t->roads[i];

		if (!r->job || !has_had_its_time(r))
			continue;
		r->doubtful = r->event == TRACKER_STARTED;
		cancel(r);
		go_on(r);
	}
	t->open = t->open && is_awaited(t);
	return t->open;
}

bool
http_tracker_idle(const struct http_tracker *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->roads[i].job)
			return false;
	return true;
}
