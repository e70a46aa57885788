/*
 * webseed: a web server that has the torrent's files, as a peer that has
 * everything and never chokes: one connection, one thread.  A URL may have
 * several: many small files are mostly waited for (`waiting`).
 *
 * The thread takes a run of blocks from the picker, asks for each file's part
 * of it in one request, and hands the blocks on as they come.  It waits in
 * one place, for the transfer and its wake fd (net/http_range), or, when
 * there is nothing to ask for, for the wake fd alone.
 *
 * The other kind of server (BEP 17) is asked for pieces, or parts of them,
 * by the torrent's info hash, and may say when it wants to be asked again.
 *
 * A server that does not do ranges is asked for everything, if the torrent
 * is one file.  A file that it lacks, or has another one of, is not asked for
 * again.  Any other failure ends the thread, and whoever started it decides
 * when to try again (webseed_backoff).
 *
 * Memory: libcurl's buffer, a load of 1 MiB (swarm/loads), and descriptors.
 *
 * Ownership: whoever starts one joins and frees it after `ended`.
 * Threads:   the functions here are for other threads than its own.
 * Source:    BEP 17, 19.
 */
#ifndef BTGET_SWARM_WEBSEED_H
#define BTGET_SWARM_WEBSEED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "swarm/swarm.h"
#include "swarm/webseed_plan.h"

struct http_config;
struct webseed;

struct webseed_start {
	struct swarm *swarm;
	uint32_t id;		/* unique among the connections */
	uint64_t source;	/* a key of it, for blame */
	const char *url;	/* outlives the web seed */
	bool by_piece;		/* BEP 17 */
	const struct webseed_bad *bad;	/* the URL's, or NULL; outlives it */
	bool more;		/* it ends when there is nothing to do */
	bool only_ipv4;
	const struct http_config *route;	/* or NULL */
	/* Called by the thread: `ended` or `waiting` has become true. */
	void (*news)(void *ctx);
	void *ctx;
};

struct webseed *webseed_new(const struct webseed_start *start,
			    struct error *e);
void webseed_stop(struct webseed *w);	/* it ends at once */
void webseed_free(struct webseed *w);	/* joins */

/* Has it look around: at free blocks and cancels. */
void webseed_wake(struct webseed *w);
bool webseed_is_idle(const struct webseed *w);

uint32_t webseed_id(const struct webseed *w);

struct webseed_view {
	bool reached;		/* it answered, be it that it is busy */
	bool ended;
	bool waiting;		/* much of its time goes into round trips */
	uint64_t downloaded;	/* payload */
	/* Once it ended: */
	enum webseed_end end;
	bool mute6;		/* connected by IPv6, and nothing came */
	long retry_after_s;	/* 0: not said */
	const char *why;	/* until it is freed */
};

void webseed_look(const struct webseed *w, struct webseed_view *out);

#endif
