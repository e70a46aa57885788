/*
 * http_library: libcurl, loaded when the first request is due.  For net
 * alone.
 *
 * libcurl brings some thirty libraries with it, and loading them is most of
 * what the start of a process costs.  Listing a torrent, making one, or
 * finding that all of it is there asks nobody, and does without.  So the
 * program is not linked with libcurl, and calls it through a table:
 * curl.easy_init() is curl_easy_init().
 *
 * Threads: every function may be called from any thread; the table is for
 *          those for whom http_library_load (or http_new) has worked.
 */
#ifndef BTGET_NET_HTTP_LIBRARY_H
#define BTGET_NET_HTTP_LIBRARY_H

#include <curl/curl.h>

#include "base/error.h"

#define HTTP_LIBRARY_CALLS(F) \
	F(global_init) F(version) F(free) \
	F(easy_init) F(easy_setopt) F(easy_getinfo) F(easy_pause) \
	F(easy_strerror) F(easy_cleanup) \
	F(multi_init) F(multi_setopt) F(multi_add_handle) F(multi_perform) \
	F(multi_info_read) F(multi_poll) F(multi_remove_handle) \
	F(multi_strerror) F(multi_cleanup) \
	F(slist_append) F(slist_free_all) \
	F(share_init) F(share_setopt) F(share_cleanup) \
	F(url) F(url_set) F(url_get) F(url_cleanup)

#define HTTP_LIBRARY_POINTER(name) __typeof__(&curl_##name)(name);

/* Written once, by the first http_library_load that works. */
extern struct http_library {
	HTTP_LIBRARY_CALLS(HTTP_LIBRARY_POINTER)
} curl;

/* Loads libcurl if it is not there yet, which takes some milliseconds.  What
 * fails may work later. */
int http_library_load(struct error *e);

#endif
