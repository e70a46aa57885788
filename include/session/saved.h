/*
 * saved: what a torrent holds, by what the command line calls it, as far as
 * it can be told without peers: of a link that is what a download into a folder
 * has saved in its .btget.  What a URL gave is saved there as well, for when
 * its server is away.
 *
 * Threads: any.
 * Errors:  ERROR_TORRENT for a link of which nothing is saved there; what
 *          source_read and source_parse have.
 */
#ifndef BTGET_SESSION_SAVED_H
#define BTGET_SESSION_SAVED_H

#include "base/bytes.h"
#include "base/error.h"

struct metainfo;
struct source_limits;

/* The caller's; NULL with words.  `limits` as for source_read. */
struct metainfo *saved_read(const char *torrent, const char *dir,
			    const struct source_limits *limits,
			    struct error *e);

/* The same with all that data is verified by: the piece layers of a v2 torrent
 * may be saved there, too.  ERROR_TORRENT: they are not. */
struct metainfo *saved_read_whole(const char *torrent, const char *dir,
				  const struct source_limits *limits,
				  struct error *e);

/* Saves it, and makes the folders, unless it is there already. */
int saved_keep_url(const char *dir, const char *url, const void *data,
		   size_t size, struct error *e);

/* Fills an empty buffer with what was saved of the URL, up to its cap; -1: it
 * is not there. */
int saved_load_url(const char *dir, const char *url, struct buffer *out,
		   struct error *e);

#endif
