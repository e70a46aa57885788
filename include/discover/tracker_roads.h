/*
 * tracker_roads: one tracker, and the roads by which it is told.
 *
 * Most trackers give peers of that family alone which asked, and give us to
 * those (BEP 7).  So one that has a name is told over IPv4 and over IPv6 at a
 * time, each a road of its own, unless a proxy or the route leaves one.
 * Whatever is told goes by a road when what is under way there has ended,
 * `started` first and once, `completed` behind it, then `stopped`.  A road that
 * leads nowhere (most names have one family) or is slow holds up no other.  A
 * tracker that refuses an announce with `paused` is asked again at once, and
 * from then on, without.
 *
 * Ownership: text and requests are copied; http, udp, route and proxy outlive
 *            it; an answer is borrowed for the callback.
 * Threads:   those of its struct http.
 */
#ifndef BTGET_DISCOVER_TRACKER_ROADS_H
#define BTGET_DISCOVER_TRACKER_ROADS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/log.h"
#include "discover/tracker.h"

/* At the end: for a tracker that has answered before, and for the last word to
 * one that has not, which is only to be sent. */
#define TRACKER_ROADS_STOP_MS 5000
#define TRACKER_ROADS_LAST_WORD_MS 1000

struct http;
struct iface;
struct proxy;
struct tracker_roads;
struct udp_trackers;

/* A word of the tracker's on `event`; e: it failed, and then `answer` holds
 * what came with a refusal.  `news`: the first word since something was told;
 * a failure is news alone, when no road is left.  It may call any function but
 * tracker_roads_free. */
struct tracker_roads_word {
	size_t index;
	enum tracker_event event;
	const struct tracker_answer *answer;
	const struct error *e;		/* or NULL */
	bool news;
};

typedef void tracker_roads_done(void *ctx, const struct tracker_roads_word *w);

struct tracker_roads_config {
	struct http *http;
	struct udp_trackers *udp;	/* NULL: no UDP URL will come */
	const struct iface *route;	/* or NULL */
	struct proxy *proxy;		/* or NULL */
	struct log *log;
	const char *url;
	size_t index;		/* the caller's number for it */
	const void *group;	/* see net/http */
	const void *owner;	/* see net/resolve */
	tracker_roads_done *done;
	void *ctx;
};

struct tracker_roads *tracker_roads_new(const struct tracker_roads_config *config,
				      struct error *e);
void tracker_roads_free(struct tracker_roads *t);	/* ends what is under way */

/* Tells it.  -1, and no callback, when no road can be taken. */
int tracker_roads_tell(struct tracker_roads *t, const struct tracker_request *r,
		      struct error *e);

/* The end comes: only what it may have heard of already goes on.  False: it
 * will say no more of what was told last. */
bool tracker_roads_stop(struct tracker_roads *t);
/* A `started` without an answer has had its time (and, completed_too, so has a
 * `completed`), and a last `stopped` behind it has when it is sent; call it
 * again until it is.  The same result. */
bool tracker_roads_hasten(struct tracker_roads *t, bool completed_too);
/* Nothing is under way. */
bool tracker_roads_idle(const struct tracker_roads *t);

#endif
