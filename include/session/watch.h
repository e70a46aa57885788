/*
 * watch: takes the .torrent and .magnet files that appear in a folder.
 *
 * A file is taken once it is whole: when its writer closed it or it was moved
 * here (inotify says so), or when it has looked the same for a moment.  It
 * stays where it is and is remembered by what it looks like, so that it is
 * not taken twice; one that changes, or comes again, is taken anew.  What is
 * no good is told once, and what cannot be read is tried again each minute
 * beside that; but as long as it may still be growing, nothing is told.
 * Names that begin with a dot are nobody's.
 *
 * A folder that vanishes is waited for, without an end.  Where there is no
 * inotify, or it is silent (network file systems), the folder is looked
 * through now and then.
 *
 * Ownership: dir and log are borrowed.
 * Threads:   one.
 * Units:     now is clock_ns.
 */
#ifndef BTGET_SESSION_WATCH_H
#define BTGET_SESSION_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"

#define WATCH_FILES_MAX 65536	/* more are left alone, with a warning */

struct watch;

struct watch_config {
	const char *dir;
	bool inotify;		/* false: only look, for tests */
	/* Or NULL: of each file that is no good, when that is told; its name
	 * is clean. */
	void (*refused)(void *ctx, const char *name, const struct error *e);
	void *ctx;
};

/* What to do with a file: its name, and its bytes, which the callee may take
 * over (and then empties the buffer).  -1 with words if it is no good; 1 if it
 * is to be shown again, in a second. */
typedef int watch_take(void *ctx, const char *name, struct buffer *data,
		       struct error *e);

/* ERROR_STORAGE when it is not there, or no folder. */
struct watch *watch_new(const struct watch_config *config, struct log *log,
			struct error *e);
void watch_free(struct watch *w);

/* Readable when there is news; or -1. */
int watch_fd(const struct watch *w);

/* When watch_look has something to do by itself. */
int64_t watch_due(const struct watch *w);

/* Looks, where there is cause to, and takes what is whole. */
void watch_look(struct watch *w, int64_t now, watch_take *take, void *ctx);

#endif
