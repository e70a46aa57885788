/*
 * source: gets the bytes of a .torrent from where the command line says.
 *
 * Both block; for the main thread.  `out` is initialised here, and the
 * caller releases it, also after a failure.  ERROR_TORRENT when there is
 * nothing readable, ERROR_NETWORK when a server could not be reached.
 */
#ifndef BTGET_SESSION_SOURCE_H
#define BTGET_SESSION_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct http_config;

#define SOURCE_MAX (256u << 20)	/* a larger .torrent is refused */

/* Reads a file, standard input ("-") or an http(s) URL; a magnet link or an
 * info hash is ERROR_TORRENT, since there is nothing to read. */
int source_read(const char *arg, struct buffer *out, struct error *e);

/* The same, a URL by this way (or NULL); ends with ERROR_STOPPED once stop_fd
 * (or -1) is readable, and with a failure at `until` (by clock_ns, or
 * CLOCK_NEVER). */
int source_read_until(const char *arg, const struct http_config *way,
		      int stop_fd, int64_t until, struct buffer *out,
		      struct error *e);

/* Is it an http or https URL, by its beginning? */
bool source_is_url(const char *arg);

/* The argument as it may be shown: URLs without secrets, all clean. */
char *source_label(char *out, size_t size, const char *arg);

#endif
