/*
 * intake: a block's way from the network to a verified piece, the same for
 * blocks of peers and of web seeds.
 *
 * The block goes into its piece's running hash and into the file; whoever
 * brings a piece's last block settles the piece.  Its hash decides: right,
 * everyone is told; wrong, its blocks are fetched again and those who sent
 * them are looked at (see blame).
 *
 * Threads: every function may be called from any thread.
 */
#ifndef BTGET_SWARM_INTAKE_H
#define BTGET_SWARM_INTAKE_H

#include <stddef.h>

#include "swarm/picker.h"

#define INTAKE_RUN_MAX 17	/* what a large receive buffer may hold */

struct swarm;

/* A block that picker_accept said yes to for pp.  -1 when the disk failed:
 * the torrent has been told, and the caller ends. */
int intake_block(struct swarm *s, struct picker_peer *pp,
		 const struct block *b, const void *data);

struct intake_part {
	struct block block;
	const void *data;
};

/* The same for 1 to INTAKE_RUN_MAX neighbours in a piece, in order, in one
 * write. */
int intake_run(struct swarm *s, struct picker_peer *pp,
	       const struct intake_part *parts, size_t n);

/* A peer is fast enough to fill a core: starts the thread that hashes some of
 * the pieces, once, and where there is another core. */
void intake_share(struct swarm *s);
/* Waits until that thread has hashed what it was left.  Who brings blocks
 * calls it before its end, so that nothing comes after the last one's. */
void intake_drain(struct swarm *s);
/* Ends that thread, when no peer and no web seed is left. */
void intake_unshare(struct swarm *s);

#endif
