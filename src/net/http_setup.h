/*
 * http_setup: the settings that every transfer shares.  For net alone.
 *
 * A setting fails for want of memory or of a feature; none of them may be
 * missing silently.
 */
#ifndef BTGET_NET_HTTP_SETUP_H
#define BTGET_NET_HTTP_SETUP_H

#include <stdbool.h>

#include "http_library.h"
#include "net/http.h"

/* All header lines of a request together, 1xx answers and redirects
 * included: an endless header must not be kept. */
#define HTTP_HEADERS_MAX (64u << 10)

/* Expects a CURL *c and a CURLcode bad. */
#define HTTP_SET(option, value) \
	(bad = bad ? bad : curl.easy_setopt(c, option, value))

/* Who we are, http and https alone, five redirects at most. */
CURLcode http_setup_common(CURL *c);

/* A multi handle, or NULL.  To clean it up takes no longer than that. */
CURLM *http_setup_multi(void);

/* The way out, as it is now; the environment has no say.  Both may be
 * NULL. */
CURLcode http_setup_route(CURL *c, const struct iface *route,
			  const struct proxy *proxy);

/* Names that were looked up for one family alone. */
struct http_names {
	CURLSH *v4;		/* NULL: not needed yet */
	CURLSH *v6;
};

/* Addresses of this family alone (0: of both); after the route.  What is found
 * is kept apart: libcurl remembers a name's addresses, not which were asked
 * for. */
CURLcode http_setup_family(CURL *c, struct http_names *names, int family);
void http_names_release(struct http_names *names);	/* after its users */

/* Can anything leave?  Else why not. */
bool http_setup_ready(const struct iface *route, struct error *e);

/* What came of the addresses that a redirect (0: the URL itself) led to. */
struct http_hop {
	long number;
	bool allowed;
	bool refused;	/* must not be reached */
	bool blocked;	/* as the user wishes */
};

/* Which one it is now; a new one has met no address yet. */
long http_setup_hop(CURL *c, struct http_hop *hop);

/* Is it an address never to talk to? */
static inline bool
http_setup_refuses(const struct http_refusal *r, const struct addr *to)
{
	return r->refuses && r->refuses(r->ctx, to);
}

/* A socket for libcurl's callback: of the route, or CURL_SOCKET_BAD. */
curl_socket_t http_setup_socket(const struct iface *route,
				const struct curl_sockaddr *to);

/* Is it libcurl's own limit for one line of the headers?  It says that memory
 * ran out (from 8.6 on that something is too large). */
bool http_setup_line_too_long(CURL *c, CURLcode code);

/* Is it the proxy (or NULL) that failed the transfer, and not who is behind
 * it?  Then the reason in words. */
bool http_setup_blames(CURL *c, CURLcode code, const struct proxy *proxy,
		       const char *why, struct error *e);

#endif
