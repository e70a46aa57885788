/*
 * session_parts: the inside of a session, for the files that make it up:
 * session.c (making and freeing one), session_add.c (what comes in),
 * session_calls.c (what the threads of connections ask), session_run.c (the
 * main thread's loop), session_route.c (-i and --proxy), session_reach.c (the
 * network comes back), session_uplink.c (what is sent leaves room on our
 * line), session_watch.c (--watch), session_past.c (torrents that have ended,
 * and what the displays see).
 *
 * Fields belong to the main thread, but for what says otherwise.
 */
#ifndef BTGET_SESSION_SESSION_PARTS_H
#define BTGET_SESSION_SESSION_PARTS_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/sync.h"
#include "net/http.h"
#include "net/iface.h"
#include "net/ratelimit.h"
#include "net/uplink.h"
#include "session/listener.h"
#include "session/outside.h"
#include "session/session.h"
#include "session/pool.h"
#include "session/room.h"
#include "session/share.h"
#include "session/torrent.h"
#include "session/udp.h"
#include "store/fdtable.h"

struct announcer;
struct blocklist;
struct hooks;
struct names;
struct proxy;
struct readers;
struct rc4_library;
struct watch;
struct worker;

/* What is left of a torrent. */
struct session_past {
	struct stats_torrent stats;
	int64_t since;
	bool seen;		/* a display has asked */
};

struct session {
	const struct session_config *config;
	const struct session_events *events;
	struct log *log;
	struct wake wake;
	struct wake stop;	/* ends the reading of a .torrent */
	int64_t begun_at;
	_Atomic int signal;
	struct pool pool;
	struct room room;
	struct share share;
	struct fdbudget files_left;
	struct ratelimit down;
	struct ratelimit up;
	struct uplink uplink;
	int64_t uplink_due;		/* to be looked at */
	bool uplink_begun;		/* since somebody may ask us */
	uint64_t up_known;		/* see struct torrent_env */
	unsigned up_sharers;		/* torrents that somebody asks */
	bool uplink_told;		/* to the user */
	struct iface *route;		/* NULL, or: */
	struct iface route_given;
	struct iface_state route_seen;
	int route_fd;			/* tells of changes; or -1 */
	int64_t route_rest;		/* until then nobody listens to it */
	int64_t route_due;		/* to be looked at, without it */
	struct proxy *proxy;		/* or NULL */
	bool proxy_asked;		/* its name is being looked up */
	bool proxy_known;		/* perhaps from before */
	int64_t proxy_due;		/* to look it up (again) */
	struct http_config way;		/* of the two, for HTTP */
	struct addr reach_ip[2];	/* ours, towards the Internet */
	int64_t reach_due;		/* to be looked at; 0: not yet */
	int64_t hurry_from;		/* not again before */
	int64_t slept;			/* clock_slept_ns, as counted so far */
	bool woke;			/* just now */
	int64_t silent_at;		/* nobody answers since; or 0 */
	struct hooks *hooks;		/* or NULL */
	struct blocklist *blocklist;	/* or NULL */
	struct rc4_library *rc4;	/* NULL: all handshakes are plain */
	struct announcer *announcer;
	struct listener *listener;	/* NULL: no torrent went online yet */
	struct outside *outside;	/* NULL: not begun, or not wanted */
	bool outside_begun;
	struct names *names;		/* of -P; NULL: not begun */
	int64_t names_at;		/* to be looked up again */
	bool names_again;		/* they were */
	struct portmap_news news;	/* tcp_port 0: none yet */
	struct udp *udp;		/* or NULL; comes with the listener */
	struct worker *worker;
	int code;		/* of torrents that could not be added */
	struct readers *readers;	/* NULL: none keeps us waiting */
	bool cut;		/* their work, by the signal */
	struct watch *watch;	/* or NULL */
	int ended_by;		/* the signal that did, or 0 */
	int64_t commands_until;	/* they are waited for, then */
	_Atomic bool reopen;	/* the log */
	struct addr *given;	/* what -P led to, for torrents to come */
	size_t given_count;

	uint32_t next_number;
	struct torrent **leaving;	/* ended, but somebody holds them */
	size_t leaving_count;
	size_t turn;			/* who is first to be ticked */

	struct mutex lock;		/* main alone changes what it guards,
					 * and reads without */
	struct torrent **torrents;	/* guarded by lock; by number */
	size_t count;			/* guarded by lock */
	size_t size;			/* guarded by lock */
	struct session_past *past;	/* guarded by lock; the oldest first */
	size_t past_count;		/* guarded by lock */
	size_t past_size;		/* guarded by lock */
};

/* session.c */
unsigned session_methods(const struct session *s);
/* A torrent_env's open_network: the first time, the ports are opened. */
int session_open_network(struct torrent_env *env, struct error *e);

/* session_route.c */
int session_route_begin(struct session *s, struct error *e);
/* Features that would go past the proxy. */
bool session_goes_direct(const struct session *s);
/* Does what is due; returns when something is again. */
int64_t session_route_mind(struct session *s, bool online);
void session_route_release(struct session *s);

/* session_reach.c: the same, and when the network came back. */
void session_mind_sleep(struct session *s);	/* before torrents come */
int64_t session_reach_mind(struct session *s, bool online);
void session_reach_soon(struct session *s);	/* there may be news */
void session_hurry(struct session *s);
/* Is a long silence over?  *silent_at: when it began, or 0; silent_since: when
 * the DHT knows that it did, or CLOCK_NEVER. */
bool session_silence_over(int64_t *silent_at, bool answered,
			  int64_t silent_since, int64_t now);

/* session_uplink.c: the same, for what is sent. */
int64_t session_uplink_mind(struct session *s, int64_t now);

/* session_calls.c: called by the listener's and the udp thread. */
struct listener_events session_listener_events(struct session *s);
bool session_find_secret(void *ctx, const uint8_t hash[20],
			 uint8_t info_hash[20]);
void session_on_found(void *ctx, const uint8_t info_hash[20],
		      enum udp_source source, const struct addr *peers,
		      size_t n);
void session_on_utp_incoming(void *ctx, int fd, const struct addr *from);
void session_on_utp_dialled(void *ctx, uint32_t owner, const struct addr *to,
			    int fd, int sys);
void session_on_utp_unheard(void *ctx, const struct addr *with, bool unheard);

/* session_past.c.  Frees torrents that have ended; returns when to be called
 * again if that is to be soon. */
int64_t session_let_go(struct session *s, int64_t now);
void session_past_release(struct session *s);
/* Of any thread; to be dropped.  NULL: it is not there (any more). */
struct torrent *session_hold(struct session *s, size_t number);

/* session_add.c.  Adds it, unless it is there and at work; takes it over in
 * any case. */
int session_add_source(struct session *s, struct torrent_source *source,
		       struct error *e);

/* Makes others of those that have ended and are to be begun anew; were there
 * any? */
bool session_begin_anew(struct session *s);

/* Is it there, and just ends (trackers and commands are waited for)? */
bool session_is_ending(const struct session *s,
		       const struct torrent_source *source);
void session_drop_source(struct torrent_source *source);

/* Adds what the readers have read, and tells of what they could not. */
void session_take_read(struct session *s);

/* A file of the watched folder was no good, which has been told. */
void session_refused(void *ctx, const char *name, const struct error *e);

/* session_watch.c: a watch_take of the session. */
int session_take(void *ctx, const char *name, struct buffer *data,
		 struct error *e);

#endif
