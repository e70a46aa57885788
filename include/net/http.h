/*
 * http: libcurl, as this program uses it.
 *
 * A `struct http` runs many requests at once from one thread: http_wait is
 * that thread's one blocking wait, and finished requests report through
 * their callback from inside it.
 *
 * Requests beyond `connections_max` wait, and their time with them: the next
 * is of the group that has the fewest under way, and of that the one that has
 * waited longest.  One that has not had a byte of an answer in a while is given
 * up if its place could be another one's.  Those that are `second` have half of
 * the places at most, so that a family of addresses that leads nowhere holds up
 * no other; a server that has not answered yet, or did not the last time, has a
 * quarter, and all of these together leave a quarter to those that do.
 *
 * libcurl is loaded for the first request, which takes some milliseconds.
 *
 * Only http and https, also after a redirect (five at most); no cookies, no
 * .netrc, no proxy from the environment.  Bodies and headers are capped, and
 * every request has a deadline.  URLs with control characters, spaces or
 * bytes that are no ASCII are refused.
 *
 * With a route, connections leave by it and nothing is asked while it is
 * away.  With a proxy, connections go to it alone, and it looks names up.
 *
 * Ownership: text in a request is copied; route and proxy outlive the http;
 *            an answer is borrowed for the callback.
 * Threads:   a struct http belongs to one thread.
 */
#ifndef BTGET_NET_HTTP_H
#define BTGET_NET_HTTP_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

#define HTTP_TRACKER_MAX (2u << 20)	/* a tracker's answer */
#define HTTP_TIMEOUT_MS 30000
#define HTTP_CONNECT_TIMEOUT_MS 10000
#define HTTP_PATIENCE_MS 10000

struct http;
struct http_job;
struct addr;
struct proxy;
struct iface;

/* Addresses never to talk to (where no proxy looks them up).  All zero: there
 * are none. */
struct http_refusal {
	bool (*refuses)(const void *ctx, const struct addr *to);
	const void *ctx;
};

struct http_config {
	const struct iface *route;	/* or NULL */
	struct proxy *proxy;		/* or NULL */
	struct http_refusal refusal;
	size_t connections_max;	/* further ones wait; 0: 64 */
	int patience_ms;	/* with silent ones; 0: HTTP_PATIENCE_MS */
};

struct http_answer {
	long status;		/* 0 when there was no whole answer */
	const uint8_t *body;
	size_t size;
	struct error error;	/* kind ERROR_NONE when the transfer worked */
	bool no_address;	/* the error: none was found */
	bool proxy_failed;	/* the error is the proxy's */
};

typedef void http_done(void *ctx, const struct http_answer *answer);

struct http_request {
	const char *url;
	const char *post;	/* a body to POST, or NULL: GET */
	const char *const *headers;	/* "Name: value" each, to a NULL; or
					 * NULL */
	bool no_redirects;	/* a redirect is an answer like others */
	bool announce;		/* a torrent's tracker: see http_target */
	bool link;		/* a stranger's: to a local address only if
				 * it names that itself, without a query */
	bool urgent;		/* it waits for no others */
	bool second;		/* another one asks the same */
	int family;		/* AF_INET or AF_INET6 alone; 0: either */
	const void *group;	/* whose it is, for a fair order; or NULL */
	size_t body_max;
	int timeout_ms;		/* 0: HTTP_TIMEOUT_MS */
	int connect_timeout_ms;	/* 0: HTTP_CONNECT_TIMEOUT_MS */
	http_done *done;
	void *ctx;
};

/* libcurl's word on its version and its parts, or why there is none. */
const char *http_version(struct error *e);

/* config may be NULL. */
struct http *http_new(const struct http_config *config, struct error *e);
void http_free(struct http *h);		/* cancels what is under way */

/* Begins a request.  `done` is called once, from http_wait or http_run,
 * unless the job is cancelled first.  Any status is an answer here: the
 * caller judges 404. */
struct http_job *http_start(struct http *h, const struct http_request *r,
			    struct error *e);
void http_cancel(struct http *h, struct http_job *job);
/* Has anything of the request been sent? */
bool http_sent(const struct http_job *job);
/* How many bytes of an answer have come? */
size_t http_came(const struct http_job *job);

/* Waits until a transfer or one of the caller's fds has something, or until
 * the timeout (-1: none), then does what is due as http_run.  The fds'
 * revents are filled in as by poll. */
int http_wait(struct http *h, struct pollfd *fds, size_t n, int timeout_ms,
	      struct error *e);
int http_run(struct http *h, struct error *e);

#endif
