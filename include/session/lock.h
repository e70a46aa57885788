/*
 * lock: one run at a time for each torrent in a folder, and for each name
 * there one torrent that writes.
 *
 * An flock on a file: it ends with the process however that ends, so none
 * is ever stale, and it holds between two torrents of one process as well.
 *
 * Threads: one at a time for each lock.
 */
#ifndef BTGET_SESSION_LOCK_H
#define BTGET_SESSION_LOCK_H

#include <stdbool.h>

#include "base/error.h"

struct lock {
	int fd;		/* -1: not held */
	int dir;	/* borrowed until lock_release */
	char name[80];
	bool pretended;	/* there are no locks on this file system */
};

/* The lock file `name` below the folder `dir` (DIR/.btget); at most 79
 * bytes.  ERROR_LOCKED when it is held elsewhere, by another user perhaps,
 * ERROR_STORAGE when it cannot be made. */
int lock_take(struct lock *l, int dir, const char *name, struct error *e);

/* The same lock, held together with others who share it. */
int lock_share(struct lock *l, int dir, const char *name, struct error *e);

/* A shared lock becomes one's own, if nobody else has it; after a failure it
 * is not held.  And the other way round. */
int lock_own(struct lock *l, struct error *e);
/* Shares again what lock_own has just failed to get.  Whoever lets go holds it
 * alone for a moment, which is waited for. */
int lock_share_again(struct lock *l, struct error *e);
void lock_ease(struct lock *l);

/* Removes the file, unless others share it; nothing if not held. */
void lock_release(struct lock *l);

#endif
