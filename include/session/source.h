/*
 * source: gets the bytes of a .torrent from where the command line says.
 *
 * A source that is slow may keep whoever reads it waiting: a URL, a pipe, a
 * terminal, a socket, a device.  Reading anything but standard input ends
 * when nothing has come for a minute; a URL has a minute in all.
 *
 * Ownership: what an argument says is borrowed; `out` is initialised here,
 *            and the caller releases it, also after a failure.
 * Threads:   any, one at a time for each source.
 * Errors:    ERROR_TORRENT when there is nothing readable, or it does not
 *            come; ERROR_NETWORK when a server could not be reached.
 */
#ifndef BTGET_SESSION_SOURCE_H
#define BTGET_SESSION_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/error.h"

struct http_config;
struct magnet;
struct metainfo;

#define SOURCE_MAX (256u << 20)	/* a larger .torrent is refused */
#define SOURCE_URL_MAX (32u << 20)	/* the same, of what a server gives */

struct source {
	const char *arg;
	int fd;			/* -1: a URL */
	bool slow;
	dev_t device;		/* of what the fd is */
	ino_t inode;
};

struct source_limits {
	const struct http_config *way;	/* of a URL; or NULL */
	int stop_fd;		/* readable: ERROR_STOPPED; -1: none */
	int64_t until;		/* by clock_ns, or CLOCK_NEVER */
	int64_t idle_ns;	/* nothing came for so long; 0: no limit */
};

/* Opens a file or standard input ("-"), or takes an http(s) URL as it is,
 * without waiting for anybody; a magnet link or an info hash is
 * ERROR_TORRENT, since there is nothing to read.  To be closed. */
int source_open(struct source *s, const char *arg, struct error *e);
void source_close(struct source *s);

/* Reads it whole; once. */
int source_get(const struct source *s, const struct source_limits *limits,
	       struct buffer *out, struct error *e);

/* All three.  Without limits (NULL) there are those of above alone. */
int source_read(const char *arg, const struct source_limits *limits,
		struct buffer *out, struct error *e);

/* What was read: a torrent, or the text of a magnet link (meta/magnet_file).
 * Sets one of the two, which is the caller's; takes the bytes over. */
int source_parse(struct buffer *data, struct metainfo **meta,
		 struct magnet **link, struct error *e);

/* Is it an http or https URL, by its beginning? */
bool source_is_url(const char *arg);

/* What fetches URLs, its version and its parts; or why it cannot be used. */
const char *source_library(struct error *e);

/* The argument as it may be shown: URLs without secrets, all clean. */
char *source_label(char *out, size_t size, const char *arg);

#endif
