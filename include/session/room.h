/*
 * room: what the torrents of a session are yet to write to each disk, so that
 * none counts on what another has been promised.
 *
 * What is written is no longer free, and a claim shrinks by as much; the two
 * are not of one moment, and a claim is rather too large than too small.  A
 * torrent to which nothing comes may never need what it claims: it keeps
 * nobody waiting.
 *
 * Ownership: a claim is its torrent's, and is given back before that is gone.
 * Threads:   any.
 * Units:     bytes; nanoseconds of clock_ns.
 */
#ifndef BTGET_SESSION_ROOM_H
#define BTGET_SESSION_ROOM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/sync.h"

/* All of it is guarded by the room's lock. */
struct room_claim {
	struct room_claim *next;
	bool made;
	dev_t disk;
	uint64_t left;		/* to be written */
	int64_t news_at;	/* some was */
};

struct room {
	struct mutex lock;
	struct room_claim *claims;	/* lock */
};

void room_init(struct room *r);
void room_release(struct room *r);

/* What all claims on a disk come to, but for those who have stalled. */
uint64_t room_claimed(struct room *r, dev_t disk, int64_t now);

/* Each claim is made once at a time. */
void room_claim(struct room *r, struct room_claim *c, dev_t disk,
		uint64_t bytes, int64_t now);
/* So much is left of it at most; with `news`, some has come. */
void room_shrink(struct room *r, struct room_claim *c, uint64_t left,
		 bool news, int64_t now);
/* Nothing if it was not made. */
void room_give_back(struct room *r, struct room_claim *c);

#endif
