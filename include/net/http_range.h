/*
 * http_range: parts of files over HTTP, one request after the other, for a
 * thread that does nothing else.
 *
 * The connection is kept from one request to the next.  What comes is handed
 * on where it lies.  A part is taken only from a 206 whose Content-Range is
 * the one asked for, or from a 200 if all of the file was asked for.  Where a
 * redirect led to is remembered for the next requests (net/http_moved).
 *
 * Only http and https (1.1), five redirects at most, no cookies, no .netrc,
 * no proxy from the environment, and no address that http_target refuses.
 * Headers are bounded; who sends nothing for HTTP_RANGE_STALL (for half of
 * that, when its kernel does not answer either), or less than a block a
 * minute, is given up.
 *
 * Ownership: everything in a config outlives the http_range, but for
 *            `route`, which is copied.
 * Threads:   belongs to one thread, which waits in http_range_get, for the
 *            transfer and for the wake fd.
 * Units:     bytes.
 * Source:    RFC 9110, 14; BEP 17 (a 503 that says when to come again).
 */
#ifndef BTGET_NET_HTTP_RANGE_H
#define BTGET_NET_HTTP_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/http.h"

#define HTTP_RANGE_STALL (30 * CLOCK_S)
#define HTTP_RANGE_RETRY_MAX 3600	/* seconds of Retry-After */

struct http_range;
struct ratelimit;
struct wake;

struct http_range_config {
	const struct http_config *route;	/* copied; or NULL */
	struct wake *wake;	/* drained when it ended the wait */
	struct ratelimit *down;
	bool local;		/* see http_target_allowed */
	bool only_ipv4;		/* unless the interface has IPv6 alone */
};

struct http_range_request {
	const char *url;
	size_t name_at;		/* see http_moved_note */
	uint64_t first;
	uint64_t count;		/* at least 1 */
	uint64_t size;		/* of the file */
	bool whole;		/* it is all of the file: no Range is sent */
	bool wait_in_body;	/* a 503 says there when to come again */

	/* The next bytes.  -1 ends the request. */
	int (*data)(void *ctx, const uint8_t *data, size_t n);

	/* Before each wait: no more has come yet.  -1 ends the request. */
	int (*waits)(void *ctx);

	/* After each wake-up: false ends the request. */
	bool (*go_on)(void *ctx);
	void *ctx;
};

enum http_range_end {
	HTTP_RANGE_DONE,	/* every byte came */
	HTTP_RANGE_STOPPED,	/* data or go_on ended it */
	HTTP_RANGE_UNREACHABLE,	/* no connection, or it broke or stalled */
	HTTP_RANGE_MISSING,	/* 404, 410 */
	HTTP_RANGE_BUSY,	/* 429, 5xx */
	HTTP_RANGE_REFUSED,	/* other answers; addresses we refuse */
	HTTP_RANGE_IGNORED,	/* 200: the server does not do ranges */
	HTTP_RANGE_WRONG,	/* another range, or an encoded one */
};

struct http_range_answer {
	enum http_range_end end;
	long status;		/* the last one; 0: no answer came */
	long retry_after_s;	/* 0: not said */
	bool proxy_failed;	/* the error is the proxy's */
	bool mute6;		/* unreachable: connected by IPv6, no data */
	int64_t waited;		/* ns until data came, or to the end */
	struct error error;
};

struct http_range *http_range_new(const struct http_range_config *config,
				  struct error *e);
void http_range_free(struct http_range *h);

void http_range_get(struct http_range *h, const struct http_range_request *r,
		    struct http_range_answer *out);

#endif
