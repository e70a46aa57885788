/*
 * saved: what a torrent holds, by what the command line calls it, as far as
 * it can be told without peers: of a link that is what a download into a folder
 * has saved in its .btget.
 *
 * Threads: any.
 * Errors:  ERROR_TORRENT for a link of which nothing is saved there; what
 *          source_read and source_parse have.
 */
#ifndef BTGET_SESSION_SAVED_H
#define BTGET_SESSION_SAVED_H

#include "base/error.h"

struct metainfo;
struct source_limits;

/* The caller's; NULL with words.  `limits` as for source_read. */
struct metainfo *saved_read(const char *torrent, const char *dir,
			    const struct source_limits *limits,
			    struct error *e);

#endif
