/*
 * maker_names: names on this disk that a download would not use.
 *
 * Names that a reader makes safe are not those on this disk: what is made
 * here could then be neither checked nor seeded from here.  The torrent is
 * right all the same, so this is no more than a warning.
 *
 * Threads: any.
 */
#ifndef BTGET_SESSION_MAKER_NAMES_H
#define BTGET_SESSION_MAKER_NAMES_H

#include "base/bytes.h"
#include "session/maker.h"

/* Warns of files that a download of the torrent would name otherwise.  -1 if
 * it could not be read at all: paths that are too long or too deep. */
int maker_check_names(const struct buffer *torrent,
		      const struct maker_options *options, struct error *e);

#endif
