/*
 * loads: the few large buffers that those who are fast receive into, and the
 * thread that writes what is in them.
 *
 * One fast peer is one thread, and writing is a third of its work: it hashes
 * what it received while that is hot in its core's cache, and leaves the
 * writing to another core.  With several of them the kernel lets only one
 * write to a file at a time anyhow, and a few buffers that are used again at
 * once stay in the cache, which one for each peer would not.
 *
 * Who finds no buffer free stands in line.  Nobody blocks there: when it is
 * its turn, its wake fd is written to.
 *
 * Threads: every function may be called from any thread, but loads_free only
 *          once nobody else calls any; a seeker belongs to one thread.
 */
#ifndef BTGET_SWARM_LOADS_H
#define BTGET_SWARM_LOADS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/sync.h"
#include "swarm/picker.h"
#include "swarm/wire.h"

/* 1 MiB: half of it is as good for one peer, and takes 8 % more CPU time with
 * eight of them. */
#define LOAD_BLOCKS 64
#define LOAD_SIZE (LOAD_BLOCKS * (WIRE_BLOCK_MAX + WIRE_PIECE_HEADER) + 256)

/* A block that was accepted, and where its bytes are. */
struct load_part {
	struct block block;
	const void *data;
};

struct load {
	uint8_t *data;		/* LOAD_SIZE bytes */
	struct load_part parts[LOAD_BLOCKS];
	size_t used;		/* parts */
	struct picker_peer *pp;	/* who brought them */
	struct load *next;	/* lock of loads */
};

/* Zeroed before its first use, but for `wake`. */
struct load_seeker {
	struct wake *wake;
	struct load_seeker *next;	/* lock of loads */
	struct load *_Atomic given;	/* its turn has come */
	bool in_line;			/* its thread's */
};

struct loads;

/* `write` does what there is to do with a load that was posted, one after the
 * other, in a thread that is started with the first one who is fast. */
struct loads *loads_new(void (*write)(void *ctx, struct load *l), void *ctx,
			struct error *e);
/* Does what was posted, and joins the thread.  NULL: nothing. */
void loads_free(struct loads *l);

/* Somebody is fast, or no more.  Memory is kept while there is one. */
void loads_enter(struct loads *l);
void loads_exit(struct loads *l);

/* An empty one, or NULL: in line, or out of memory if it is not. */
struct load *loads_take(struct loads *l, struct load_seeker *s);
/* One that nobody waits for, or NULL. */
struct load *loads_try(struct loads *l);

/* It is in line still: loads_take would find nothing. */
bool loads_waits(const struct load_seeker *s);
/* Leaves the line, if it is in it. */
void loads_leave(struct loads *l, struct load_seeker *s);

/* The load is of no more use to the caller: as it is, or to be written.
 * False: there is nobody who writes, and nothing was done. */
void loads_give(struct loads *l, struct load *load);
bool loads_post(struct loads *l, struct load *load);

/* Waits until all is written that was posted before the call. */
void loads_drain(struct loads *l);

#endif
