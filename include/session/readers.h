/*
 * readers: read .torrents that may keep us waiting, so that the others need
 * not wait for them.
 *
 * Each has a thread of its own, READERS_MAX at once; the rest wait for a
 * place.  What came is parsed in that thread, too.
 *
 * Ownership: the config, and what it points to, outlive the readers.
 * Threads:   new, add, take and free belong to one thread, the main one.
 */
#ifndef BTGET_SESSION_READERS_H
#define BTGET_SESSION_READERS_H

#include <stdbool.h>

#include "base/error.h"
#include "session/source.h"

#define READERS_MAX 8

struct magnet;
struct metainfo;
struct readers;
struct wake;

struct readers_config {
	struct source_limits limits;	/* of each */
	const char *dir;	/* what URLs give is kept there; or NULL */
	struct wake *wake;	/* when there is something to take */
};

struct readers_result {
	const char *arg;	/* the source's */
	struct metainfo *meta;	/* one of these, which is the caller's; */
	struct magnet *link;
	struct error error;	/* or neither, and this */
	bool kept;		/* one of them from before, because of this: a
				 * server that is away (ERROR_NETWORK) */
};

struct readers *readers_new(const struct readers_config *config,
			    struct error *e);
/* Waits for those at work: limits.stop_fd tells them to end. */
void readers_free(struct readers *r);

/* Takes the source over, also on failure.  A pipe or device that is there
 * already is read once. */
int readers_add(struct readers *r, struct source *source, struct error *e);

/* One that has ended, each once; false if there is none. */
bool readers_take(struct readers *r, struct readers_result *out);

/* Have all been taken? */
bool readers_idle(const struct readers *r);

#endif
