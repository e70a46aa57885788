/*
 * session_parts: what the files that make up a session know of one another:
 * session.c (making and running one), session_watch.c (--watch).
 */
#ifndef BTGET_SESSION_SESSION_PARTS_H
#define BTGET_SESSION_SESSION_PARTS_H

#include "base/bytes.h"
#include "base/error.h"
#include "session/torrent.h"

struct session;

/* What a .torrent or a magnet link says; the data is taken over.  What comes
 * out belongs to the caller, or to session_add_source. */
int session_read_data(struct buffer *data, struct torrent_source *out,
		      struct error *e);
int session_read_link(const char *link, struct torrent_source *out,
		      struct error *e);

/* Adds it, unless it is there and at work; takes it over in any case. */
int session_add_source(struct session *s, struct torrent_source *source,
		       struct error *e);

/* Runs --on-error for what did not even become a torrent. */
void session_run_on_error(struct session *s, const char *name, int code);

/* session_watch.c: a watch_take of the session. */
int session_take(void *ctx, const char *name, struct buffer *data,
		 struct error *e);

#endif
