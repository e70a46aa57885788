/*
 * announce: asks the trackers of every torrent for peers, in the main thread.
 *
 * One announcer serves the session: it owns the HTTP transfers, the UDP
 * tracker sockets and the resolver, and announcer_wait is the main thread's
 * one blocking wait.  Each torrent has one announce.  When to ask whom is
 * decided in discover/tiers; here is what touches sockets.
 *
 * Ownership: everything given is copied, but for the logs, which outlive
 *            what they were given to; callbacks run inside announcer_wait
 *            and may call any announce_ function of their own announce but
 *            announce_free.
 * Threads:   the main thread only.
 * Units:     deadlines are clock_ns.
 */
#ifndef BTGET_DISCOVER_ANNOUNCE_H
#define BTGET_DISCOVER_ANNOUNCE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"
#include "base/log.h"
#include "discover/tracker.h"

struct announcer;
struct announce;
struct proxy;
struct resolver;
struct iface;
struct blocklist;

struct announcer_config {
	const struct iface *route;	/* what all leaves by, or NULL */
	struct proxy *proxy;	/* then no UDP tracker is asked; or NULL */
	const struct blocklist *blocklist;	/* never asked, or NULL */
	uint16_t port;		/* see announcer_set_ports */
	size_t connections_max;	/* over HTTP; 0: see net/http */
};

/* What the torrent has done since it was started, asked before each
 * announce.  left is always a true or a finite guessed number of bytes: some
 * trackers refuse others (without metadata, say 16384). */
struct announce_stats {
	uint64_t uploaded;
	uint64_t downloaded;
	uint64_t left;
	bool want_peers;
	bool paused;		/* a partial seed, BEP 21 */
};

struct announce_callbacks {
	void *ctx;
	/* Calls no announce_ function. */
	void (*stats)(void *ctx, struct announce_stats *out);
	void (*peers)(void *ctx, const struct addr *peers, size_t count);
	/* A peer's name: true if somebody else looks it up; may be NULL. */
	bool (*name)(void *ctx, const char *host, uint16_t port);
	/* Our own address, as a tracker sees it; may be NULL. */
	void (*external)(void *ctx, const struct addr *ip);
};

struct announce_torrent {
	uint8_t info_hash[20];
	uint8_t peer_id[20];
	struct log *log;		/* for what is about it */
	const char *name;		/* for the log, or NULL; outlives it */
	const void *owner;		/* of its lookups: see net/resolve */
	bool quiet;			/* no warnings: it is a second hash */
	const char *const *urls;	/* tier after tier */
	const size_t *tier_sizes;	/* URLs of each tier */
	size_t tier_count;
};

struct announce_status {
	size_t trackers;	/* that can be asked at all */
	size_t working;		/* answered well, the last time */
	size_t busy;		/* being asked just now */
	int64_t answered_at;	/* the last of those that work, or INT64_MIN */
	int64_t seeds;		/* the most that one of them knows; -1: none */
	int64_t next_due;	/* the next announce; CLOCK_NEVER: none */
	char error[ERROR_TEXT_MAX];	/* why the last one failed, or "" */
};

struct announce_tracker {
	char url[TRACKER_URL_MAX];	/* as it may be shown */
	size_t tier;
	bool working;
	bool busy;
	unsigned failures;	/* in a row */
	int64_t seeds;		/* -1: unknown */
	int64_t leechers;
	int64_t next_due;
	char error[ERROR_TEXT_MAX];	/* of the last announce, or "" */
};

struct announcer *announcer_new(const struct announcer_config *config,
				struct log *log, struct error *e);
void announcer_free(struct announcer *a);	/* after its announces */

/* Peers reach us there from now on, over IPv4 and over IPv6; 0: they do not.
 * Trackers that have us are told as early as they allow, if it is new. */
void announcer_set_ports(struct announcer *a, uint16_t port, uint16_t port6);

/* The route has changed: other sockets from now on. */
void announcer_rebind(struct announcer *a);

/* For others in the main thread: names of peers and of the proxy, and what
 * else is fetched. */
struct resolver *announcer_resolver(struct announcer *a);
struct http *announcer_http(struct announcer *a);

/* Waits until a tracker, a fd of the caller's or the deadline needs care,
 * then takes care of the trackers; revents are filled in as by poll. */
int announcer_wait(struct announcer *a, struct pollfd *fds, size_t n,
		   int64_t deadline, struct error *e);

/* When announcer_wait would do something by itself. */
int64_t announcer_next_due(const struct announcer *a);

/* A torrent without usable trackers is fine: nothing is announced. */
struct announce *announce_new(struct announcer *a,
			      const struct announce_torrent *torrent,
			      const struct announce_callbacks *callbacks,
			      struct error *e);
void announce_free(struct announce *an);

/* It is called so from now on; the name outlives it. */
void announce_rename(struct announce *an, const char *name);

/* Trackers that were not known before, at any time; of the torrent they are
 * all that is looked at. */
int announce_add(struct announce *an, const struct announce_torrent *more,
		 struct error *e);

/* Begins: every tier gets its `started`. */
void announce_start(struct announce *an);
/* The last byte came in this run. */
void announce_completed(struct announce *an);
/* Peers have run out: ask earlier than planned, though never below what the
 * tracker allows.  Cheap; call it as often as it is true. */
void announce_want_peers(struct announce *an);
/* The network is there again: trackers that could not be reached are due. */
void announce_hurry(struct announce *an);
/* The machine slept for so long, and trackers count it. */
void announce_slept(struct announce *an, int64_t ns);
/* Tells `stopped` to every tracker that heard `started`, or may have heard
 * the one that is under way: that has a while to answer, and hears what it is
 * owed in order.  After it only announce_idle, _status and _free make sense. */
void announce_stop(struct announce *an);
/* Stopped, and nothing is under way any more. */
bool announce_idle(const struct announce *an);

void announce_get_status(const struct announce *an,
			 struct announce_status *out);
/* The i-th tracker; false when there are not so many. */
bool announce_get_tracker(const struct announce *an, size_t i,
			  struct announce_tracker *out);

#endif
