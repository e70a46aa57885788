/*
 * http_head: what an answer says of the part of a file that follows, and when
 * there is none, of when to come again.
 *
 * Pure.
 * Source: RFC 9110 (8.4 Content-Encoding, 8.6 Content-Length, 10.2.2
 *         Location, 14.4 Content-Range); BEP 17 (a 503's body).
 */
#ifndef BTGET_NET_HTTP_HEAD_H
#define BTGET_NET_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_head {
	bool has_range;		/* Content-Range, and it can be read: */
	uint64_t first, last;	/* bytes; first <= last < size */
	uint64_t size;		/* of the file; UINT64_MAX: it does not say */
	bool has_length;
	uint64_t length;	/* bytes */
	bool encoded;		/* it says so; perhaps of the stored file */
	bool location;
};

/* One line of them, which need not end in CR LF.  All zero before the first. */
void http_head_take(struct http_head *h, const char *line, size_t length);

/* In how many seconds to come again, by the body of a 503; 0: it does not
 * say. */
uint64_t http_head_wait(const char *body, size_t length);

#endif
