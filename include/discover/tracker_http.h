/*
 * tracker_http: the announce of an HTTP tracker, as text.
 *
 * Pure: builds the URL and reads the answer; net/http carries them.
 *
 * Source: BEP 3, 7, 23, 24, 31.
 */
#ifndef BTGET_DISCOVER_TRACKER_HTTP_H
#define BTGET_DISCOVER_TRACKER_HTTP_H

#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"
#include "discover/tracker.h"

/* Appends the whole URL; a query that is there already is kept. */
int tracker_http_url(struct buffer *out, const char *announce,
		     const struct tracker_request *request, struct error *e);

/* Reads the body of an answer; `answer` has been initialised.  A failure
 * reason is an error (ERROR_PROTOCOL) with the tracker's words in it, from
 * which the secrets of its announce URL are gone. */
int tracker_http_parse(struct tracker_answer *answer, const char *announce,
		       const void *body, size_t size, struct error *e);

#endif
