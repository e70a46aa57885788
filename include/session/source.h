/*
 * source: gets the bytes of a .torrent from where the command line says.
 */
#ifndef BTGET_SESSION_SOURCE_H
#define BTGET_SESSION_SOURCE_H

#include "base/bytes.h"
#include "base/error.h"

#define SOURCE_MAX (256u << 20)	/* a larger .torrent is refused */

/*
 * Reads a file, standard input ("-") or an http(s) URL into out, which this
 * initialises and which the caller releases, also after a failure.  Blocks;
 * main thread.
 */
int source_read(const char *arg, struct buffer *out, struct error *e);

/* The argument as it may be shown: URLs without secrets, all clean. */
char *source_label(char *out, size_t size, const char *arg);

#endif
