/*
 * http_moved: where the last redirect led to, for the next requests.
 *
 * A server that sends one file of a folder elsewhere does so with the others:
 * what the two URLs have in common at their ends is taken for the file's
 * name, if the folder is in it, and what lies before it for the place that
 * has moved.  A guess that turned out to be wrong is the last one: from then
 * on only the same URL is known.
 *
 * Pure.
 *
 * Ownership: of a zeroed struct, until http_moved_release.
 * Threads:   one at a time.
 */
#ifndef BTGET_NET_HTTP_MOVED_H
#define BTGET_NET_HTTP_MOVED_H

#include <stdbool.h>
#include <stddef.h>

struct http_moved {
	char *from;		/* both or none */
	char *to;
	size_t tail;		/* bytes at the end of both that are one name */
	bool exact;		/* a guess was wrong */
};

/* The folder's name begins at from[name_at]; 0: there is none.  Without memory
 * nothing is known. */
void http_moved_note(struct http_moved *m, const char *from, const char *to,
		     size_t name_at);

/* Where this URL may be found without a redirect; NULL: not known.  To be
 * freed.  *guess: another one was redirected. */
char *http_moved_find(const struct http_moved *m, const char *url,
		      bool *guess);

/* What http_moved_find gave led nowhere, while the URL itself did.  If there
 * was a redirect, it has been noted. */
void http_moved_wrong(struct http_moved *m, const char *url, const char *found,
		      bool guess);

/* What was guessed is not to be trusted. */
void http_moved_no_guess(struct http_moved *m);

void http_moved_release(struct http_moved *m);

#endif
