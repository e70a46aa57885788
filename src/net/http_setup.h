/*
 * http_setup: the settings that every transfer shares.  For net alone.
 *
 * A setting fails for want of memory or of a feature; none of them may be
 * missing silently.
 */
#ifndef BTGET_NET_HTTP_SETUP_H
#define BTGET_NET_HTTP_SETUP_H

#include <curl/curl.h>

#include "net/http.h"

/* All header lines of a request together, 1xx answers and redirects
 * included: an endless header must not be kept. */
#define HTTP_HEADERS_MAX (64u << 10)

/* Expects a CURL *c and a CURLcode bad. */
#define HTTP_SET(option, value) \
	(bad = bad ? bad : curl_easy_setopt(c, option, value))

/* Who we are, http and https alone, five redirects at most. */
CURLcode http_setup_common(CURL *c);

/* The way out; the environment has no say.  interface and proxy may be
 * NULL, interface is http_setup_interface's. */
CURLcode http_setup_route(CURL *c, const char *interface, const char *proxy);

/* A name or an address in libcurl's words, to be freed; or NULL. */
char *http_setup_interface(const char *interface);

#endif
