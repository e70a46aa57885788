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

#include "base/error.h"
#include "swarm/loads.h"
#include "swarm/picker.h"

struct swarm;

/* Before the first block, and after the last one. */
int intake_begin(struct swarm *s, struct error *e);
void intake_end(struct swarm *s);

/* 1 to LOAD_BLOCKS blocks that picker_accept said yes to for pp.  Neighbours
 * are written in one call.  -1 when the disk failed: the torrent has been
 * told, and the caller ends. */
int intake_parts(struct swarm *s, struct picker_peer *pp,
		 const struct load_part *parts, size_t n);

/* So many make it worth while to wake another thread. */
#define INTAKE_LOAD_MIN 16

/* The same for what is in a load, which is given away: the blocks are hashed
 * here, and written by another thread.  As that may be at work on them, the
 * caller drains the swarm's loads before it takes pp away. */
int intake_load(struct swarm *s, struct picker_peer *pp, struct load *load);

#endif
