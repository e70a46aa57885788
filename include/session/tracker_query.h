/*
 * tracker_query: what an HTTP request asks of a tracker.
 *
 * The request's head is read first, then the query of its target.  Strict in
 * what decides (info_hash, peer_id and port are there once and well formed),
 * kind in the rest: `left` that is missing or no number only means that the
 * peer is not complete, an unknown event is none, numwant out of range is
 * the default.  '+' stands for itself.
 *
 * Ownership: spans borrow the head.  Pure; any thread.
 * Source:    RFC 9112; BEP 3, 7, 23, 48.
 */
#ifndef BTGET_SESSION_TRACKER_QUERY_H
#define BTGET_SESSION_TRACKER_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "session/tracker_swarm.h"

#define TRACKER_QUERY_HEAD_MAX 8192
#define TRACKER_QUERY_HASHES_MAX 128
#define TRACKER_QUERY_WANT 50
#define TRACKER_QUERY_WANT_MAX 200

struct tracker_head {
	struct bytes path;	/* without query */
	struct bytes query;	/* what follows '?', may be empty */
	bool head_only;		/* HEAD: the answer has no body */
	bool keep;		/* the connection stays open */
};

/* The size of the head at the front of what has come, its blank line
 * included, or 0 if it is not complete yet. */
size_t tracker_head_size(const void *data, size_t size);

/* Reads a complete head.  Returns 0 or the HTTP status of the refusal:
 * 400, 405, 413 (it has a body) or 505. */
int tracker_head_read(struct tracker_head *h, const void *data, size_t size);

bool tracker_head_path_is(const struct tracker_head *h, const char *path);

struct tracker_query {
	struct tracker_swarm_announce announce;	/* addr: only the port */
	struct addr ip;		/* of `ip=`; family 0 if none */
	uint32_t want;
	bool compact;
	bool no_peer_id;
};

/* The failure's text is meant for the client. */
int tracker_query_announce(struct tracker_query *q, struct bytes query,
			   struct error *e);

/* Reads the info hashes, sorted and each once; -1 if there are none, too
 * many, or one is malformed. */
int tracker_query_scrape(uint8_t hashes[][SHA1_SIZE], size_t *count,
			 struct bytes query, struct error *e);

#endif
