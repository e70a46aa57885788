/*
 * http_hosts: whom requests go to, and who of them answers.  For http alone.
 *
 * Many torrents name the same trackers, and some of those say nothing any
 * more.  Each request to one takes a place until patience ends, and they come
 * in hundreds: so one that has not answered yet, or did not the last time,
 * gets a quarter of all places, and all such together leave a quarter to those
 * that do.  Where one has failed the others go first.  With its first word it
 * is like all others.
 *
 * Ownership: a host is the list's, and stays while requests to it are there;
 *            some of which a word is known stay longer.
 */
#ifndef BTGET_NET_HTTP_HOSTS_H
#define BTGET_NET_HTTP_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct http_host {
	TAILQ_ENTRY(http_host) entry;
	size_t users;		/* requests to it */
	size_t waiting;		/* of those; whoever has them wait counts */
	size_t silent;		/* under way, without a byte of an answer */
	enum { HOST_NEW, HOST_ANSWERS, HOST_FAILED } word;	/* the last */
	int family;
	size_t length;
	char name[];		/* with its port, as the URL has it */
};

struct http_hosts {
	TAILQ_HEAD(http_host_list, http_host) list;
	size_t idle;		/* without a request; the last has just got so */
	size_t places;
	size_t silent;		/* of all that do not answer */
};

void http_hosts_init(struct http_hosts *hs, size_t places);
void http_hosts_release(struct http_hosts *hs);	/* after the last request */

/* That of a URL, for one request, over one family (0: either); or NULL without
 * memory.  It is to be dropped when the request is over. */
struct http_host *http_hosts_find(struct http_hosts *hs, const char *url,
				  int family);
void http_hosts_drop(struct http_hosts *hs, struct http_host *host);

/* A request begins; a byte of the answer has come; or it ends without one,
 * as it has failed or since nobody wants it any more. */
void http_hosts_asked(struct http_hosts *hs, struct http_host *host);
void http_hosts_heard(struct http_hosts *hs, struct http_host *host);
void http_hosts_silent(struct http_hosts *hs, struct http_host *host,
		       bool failed);

/* May another request to it begin, for all that it has said? */
bool http_hosts_has_place(const struct http_hosts *hs,
			  const struct http_host *host);

/* Is it among those that keep others that do not answer from being asked? */
bool http_hosts_crowds(const struct http_hosts *hs,
		       const struct http_host *host);

/* The lower the sooner. */
size_t http_hosts_rank(const struct http_host *host);

#endif
