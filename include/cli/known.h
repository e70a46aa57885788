/*
 * known: the torrents of this run by name, so that a line of the log, which
 * has a name alone, can be told as an event of its torrent.
 *
 * Threads: all functions but init and release may be called from any thread;
 *          the lock is a leaf.
 */
#ifndef BTGET_CLI_KNOWN_H
#define BTGET_CLI_KNOWN_H

#include <stddef.h>

#include "base/sync.h"
#include "session/stats.h"

struct known_torrent {
	char name[STATS_NAME_MAX];
	char info_hash[STATS_HASH_MAX];
};

struct known {
	struct mutex lock;
	struct known_torrent *torrents;	/* lock */
	size_t count;			/* lock */
	size_t room;			/* lock */
};

void known_init(struct known *k);
void known_release(struct known *k);

/* A magnet link's torrent may come again, by another name.  Without memory
 * for it the torrent stays unknown. */
void known_add(struct known *k, const struct stats_torrent *t);

/* Its last line has come. */
void known_drop(struct known *k, const struct stats_torrent *t);

/* Fills in the name, and the info hash if exactly one torrent has it. */
void known_find(struct known *k, const char *name, struct stats_torrent *out);

#endif
