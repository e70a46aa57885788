/*
 * torrent: one torrent's way through a run: found out about (magnet links),
 * opened, checked, downloaded, finished, seeded, ended.
 *
 * The main thread drives it with torrent_tick, which does what is due and
 * never blocks: disk work that takes time goes to the worker, checking to
 * verifier threads, connections to peer threads, and each of them wakes the
 * main thread when there is news.
 *
 * Ownership: the session owns it; what is in torrent_env outlives it.
 * Threads:   main, but for what says otherwise.
 */
#ifndef BTGET_SESSION_TORRENT_H
#define BTGET_SESSION_TORRENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"
#include "base/log.h"
#include "session/config.h"
#include "session/stats.h"
#include "session/udp.h"

struct announcer;
struct blocklist;
struct fdbudget;
struct hooks;
struct http_config;
struct listener;
struct magnet;
struct metainfo;
struct mse;
struct ratelimit;
struct room;
struct rc4_library;
struct torrent;
struct torrent_env;
struct wake;
struct worker;

enum torrent_twice {
	TWICE_NOT,
	TWICE_WAIT,		/* the other one is about to go: ask again */
	TWICE_THIS,		/* this one has to go */
};

/* What the torrents of a session share. */
struct torrent_rivals {
	bool look;	/* one does at what lies there, and may yet find that
			 * it is not to write */
	bool earlier;	/* one is there that was named before */
};

struct torrent_env {
	const struct session_config *config;
	const struct session_events *events;
	struct log *log;		/* of which each has its own */
	struct wake *wake;		/* the main thread's */
	struct announcer *announcer;

	/* Makes what the network is reached by and fills in the two below,
	 * which are NULL before; called when a torrent goes online, which
	 * one that is complete may never do. */
	int (*open_network)(struct torrent_env *env, struct error *e);
	/* A link's metadata is known, and with it perhaps another hash: of two
	 * names of one torrent one goes. */
	enum torrent_twice (*named_twice)(struct torrent_env *env,
					  struct torrent *t);
	/* What others do that have its name. */
	struct torrent_rivals (*rivals)(struct torrent_env *env,
					const struct torrent *t);
	void *session;			/* for these */
	struct listener *listener;
	struct udp *udp;		/* or NULL: no DHT, LSD, uTP */
	const struct http_config *way;	/* for HTTP */
	struct worker *worker;
	struct ratelimit *down;
	struct ratelimit *up;
	const uint64_t *up_known;	/* the limit of it, by which slots are
					 * given; main's */
	const unsigned *up_sharers;	/* torrents that share it; main's */
	struct hooks *hooks;		/* or NULL */
	const struct blocklist *blocklist;	/* or NULL */
	const struct rc4_library *rc4;	/* NULL: all handshakes are plain */
	unsigned methods;		/* MSE_PLAIN, MSE_RC4 */
	size_t max_open;		/* files, of each torrent */
	struct fdbudget *files_left;	/* files, of all of them */
	struct pool *pool;		/* places of connections */
	struct room *room;		/* on the disks */
	int64_t begun_at;		/* what the deadline counts from; 0:
					 * each torrent's own beginning */
};

/* Either what a .torrent says, or a magnet link: then the rest is asked of
 * peers first. */
struct torrent_source {
	struct metainfo *meta;
	struct magnet *link;
};

/* Takes over what is in the source, also on failure.  No other torrent of
 * the session has, or had, its number. */
struct torrent *torrent_new(const struct torrent_env *env, uint32_t number,
			    const struct torrent_source *source,
			    struct error *e);
void torrent_free(struct torrent *t);	/* once it has ended */

/* Was there no place for its dials just now? */
bool torrent_waits_to_dial(const struct torrent *t, int64_t now);
/* Does somebody want data of it? */
bool torrent_is_asked(const struct torrent *t);

/* Does what is due; returns when it wants to be called next without any
 * wake-up before. */
int64_t torrent_tick(struct torrent *t, int64_t now);

/* Begins the end: state is saved, trackers are told.  `code` is the exit
 * code, 128 + N for a signal. */
void torrent_stop(struct torrent *t, int code, const char *reason);

/* As a link whose torrent has another name, too, by which it is at work: its
 * lock is free from now on.  False: not yet, it looks for something. */
bool torrent_give_way(struct torrent *t);
bool torrent_gave_way(const struct torrent *t);

/* Takes over another source that names it, too: what that knows of it is used
 * as well, and if it is a .torrent, what a link looks for. */
void torrent_join(struct torrent *t, const struct torrent_source *source);
/* The same for all that one which gives way has been told itself. */
void torrent_hand_over(struct torrent *from, struct torrent *to);

/* It ends, or has ended, and cannot do what a source that has joined it asks
 * for: once it has ended another torrent is to be made of that, to which it
 * gives way (out belongs to the caller) and hands over the rest. */
bool torrent_begins_anew(const struct torrent *t);
void torrent_give_up_to(struct torrent *t, struct torrent_source *out);

/* Has it, complete, all that the other one, which is the same, was to get? */
bool torrent_does_for(const struct torrent *t, const struct torrent *other);

bool torrent_ended(const struct torrent *t);
/* It will have soon, and does nothing more. */
bool torrent_is_ending(const struct torrent *t);
/* Adds what the other one is to this one's name, if it has the same. */
void torrent_add_rival(const struct torrent *t, const struct torrent *other,
		       struct torrent_rivals *to);
int torrent_exit_code(const struct torrent *t);

/* It looks for peers, or serves them. */
bool torrent_online(const struct torrent *t);

/* Where others reach us over IPv4, as the router says: family 0 is no
 * address. */
void torrent_set_outside(struct torrent *t, const struct addr *ip,
			 uint16_t port);

/* A -P peer whose name is resolved. */
void torrent_add_peer(struct torrent *t, const struct addr *a);

/* All connections end; peers are dialled again. */
void torrent_reconnect(struct torrent *t);

/* Does anybody answer it: a peer, or a tracker since then? */
bool torrent_is_answered(const struct torrent *t, int64_t since);
/* The network is there again: who could not be reached is tried soon. */
void torrent_hurry(struct torrent *t, int64_t now);
/* The machine was suspended for so long: the deadline and trackers count
 * that. */
void torrent_slept(struct torrent *t, int64_t ns);

/* What the connections of all torrents tell of our line. */
#define TORRENT_DELAYS_MAX 256
struct torrent_uplink {
	size_t tcp_takers;	/* interested, and not in our own network */
	size_t utp_takers;
	uint64_t up_bps;	/* when the choker looked last */
	uint64_t sent;		/* since the last look */
	int64_t delays[TORRENT_DELAYS_MAX];	/* by queues, of those that
						 * fetch something */
	size_t count;
};
/* Adds its own. */
void torrent_look_at_uplink(struct torrent *t, int64_t now,
			    struct torrent_uplink *out);
/* Does data come to it?  Does somebody want data of it? */
bool torrent_fetches(const struct torrent *t, int64_t now);
bool torrent_gives(const struct torrent *t);

/* From the listener's thread. */
bool torrent_wants(const struct torrent *t, const uint8_t info_hash[20]);
/* The same by mse_torrent_hash: the info hash, or NULL. */
const uint8_t *torrent_wants_secret(const struct torrent *t,
				    const uint8_t hash[20]);
/* mse: its encrypted handshake, which is taken over; or NULL. */
void torrent_incoming(struct torrent *t, int fd, const struct addr *from,
		      struct mse *mse);
void torrent_dialled(struct torrent *t, const struct addr *to, int fd,
		     int sys);

/* From the udp thread. */
void torrent_found(struct torrent *t, const uint8_t info_hash[20],
		   enum udp_source source, const struct addr *peers,
		   size_t n);
void torrent_utp_dialled(struct torrent *t, const struct addr *to, int fd,
			 int sys);
void torrent_utp_unheard(struct torrent *t, const struct addr *with,
			 bool unheard);

/* From any thread that holds it: who finds it under the session's lock holds
 * it from then on, and drops it in the end; main does not free it before. */
void torrent_hold(struct torrent *t);
void torrent_drop(struct torrent *t);
bool torrent_held(const struct torrent *t);
uint32_t torrent_number(const struct torrent *t);
void torrent_stats(struct torrent *t, struct stats_torrent *out);
void torrent_cells(struct torrent *t, uint8_t *cells, size_t n);

/* Is it known by one of these info hashes, as far as they are given?  By one
 * that the other is known by? */
bool torrent_is(const struct torrent *t, const uint8_t *v1,
		const uint8_t *v2);
bool torrent_same(const struct torrent *t, const struct torrent *other);

/* A link whose metadata is not known, or what still lacks piece layers. */
bool torrent_is_link(const struct torrent *t);

#endif
