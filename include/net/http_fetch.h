/*
 * http_fetch: one blocking request, for threads that have nothing else to do.
 *
 * Threads: any.
 */
#ifndef BTGET_NET_HTTP_FETCH_H
#define BTGET_NET_HTTP_FETCH_H

#include "base/bytes.h"
#include "base/error.h"
#include "net/http.h"

struct http_patience {
	int timeout_ms;		/* for all of it */
	int idle_ms;		/* nothing came for so long; 0: no limit */
	int stop_fd;		/* readable: ERROR_STOPPED; -1: none */
};

/* Fetches url into out (whose cap bounds it).  Fails with ERROR_NETWORK when
 * it could not be reached, patience ended, or it said that it cannot now (5xx,
 * 429), ERROR_TORRENT when the answer is no good (404, too large).  config may
 * be NULL. */
int http_fetch(const struct http_config *config, const char *url,
	       const struct http_patience *patience, struct buffer *out,
	       struct error *e);

#endif
