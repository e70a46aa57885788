/*
 * http_tracker: one tracker over HTTP, told over IPv4 and over IPv6.
 *
 * Most trackers give peers of that family alone which asked, and give us to
 * those (BEP 7).  So a tracker that has a name is announced to over both
 * families at a time, unless a proxy or the route leaves one.  Each is a road
 * of its own: whatever is told goes there when what is under way has ended,
 * `started` first and once, `completed` behind it, then `stopped`.  A road that
 * leads nowhere (most names have one family) or is slow holds up no other.
 *
 * Ownership: text and requests are copied; route and proxy outlive it; an
 *            answer is borrowed for the callback.
 * Threads:   those of its struct http.
 */
#ifndef BTGET_DISCOVER_HTTP_TRACKER_H
#define BTGET_DISCOVER_HTTP_TRACKER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/log.h"
#include "discover/tracker.h"

/* At the end: for a tracker that has answered before, and for the last word to
 * one that has not, which is only to be sent. */
#define HTTP_TRACKER_STOP_MS 5000
#define HTTP_TRACKER_LAST_WORD_MS 1000

struct http;
struct http_tracker;
struct iface;
struct proxy;

/* A word of the tracker's on `event`; e: it failed, and then `answer` holds
 * what came with a refusal.  `news`: the first word since something was told;
 * a failure is news alone, when no road is left.  It may call any function but
 * http_tracker_free. */
struct http_tracker_word {
	size_t index;
	enum tracker_event event;
	const struct tracker_answer *answer;
	const struct error *e;		/* or NULL */
	bool news;
};

typedef void http_tracker_done(void *ctx, const struct http_tracker_word *w);

struct http_tracker_config {
	struct http *http;
	const struct iface *route;	/* or NULL */
	struct proxy *proxy;		/* or NULL */
	struct log *log;
	const char *url;
	size_t index;		/* the caller's number for it */
	const void *group;	/* see net/http */
	http_tracker_done *done;
	void *ctx;
};

struct http_tracker *http_tracker_new(const struct http_tracker_config *config,
				      struct error *e);
void http_tracker_free(struct http_tracker *t);	/* ends what is under way */

/* Tells it.  -1, and no callback, when no road can be taken. */
int http_tracker_tell(struct http_tracker *t, const struct tracker_request *r,
		      struct error *e);

/* The end comes: only what it may have heard of already goes on.  False: it
 * will say no more of what was told last. */
bool http_tracker_stop(struct http_tracker *t);
/* A `started` without an answer has had its time, and a last `stopped` behind
 * it has when it is sent; call it again until it is.  The same result. */
bool http_tracker_hasten(struct http_tracker *t);
/* Nothing is under way. */
bool http_tracker_idle(const struct http_tracker *t);

#endif
