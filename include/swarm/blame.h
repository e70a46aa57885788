/*
 * blame: finds out who sent bad data when several contributed to a piece.
 *
 * When a piece fails, the digest of each of its blocks is kept with the
 * block's sender.  When the piece later passes, every sender whose recorded
 * block differs from the good one has lied.  A piece that came from one
 * sender alone needs no second try.
 *
 * Memory is bounded: BLAME_BLOCKS_MAX blocks in all and BLAME_TRIES_MAX
 * failures a piece; the oldest are dropped.
 *
 * Threads: every function may be called from any thread.
 */
#ifndef BTGET_SWARM_BLAME_H
#define BTGET_SWARM_BLAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define BLAME_BLOCKS_MAX 65536
#define BLAME_TRIES_MAX 4

struct blame;

struct blame_block {
	uint64_t source;	/* picker_contributors; 0: not known */
	uint64_t digest;	/* blame_digest of the block as written */
};

struct blame *blame_new(struct error *e);
void blame_free(struct blame *b);

/* The first 8 bytes of the SHA-1. */
uint64_t blame_digest(const void *data, size_t n);

/* The one source of all the blocks of a failed piece, or 0. */
uint64_t blame_single(const uint64_t *sources, size_t n);

/* A piece failed.  Its n blocks in order; copied.  A record that is out of
 * memory or larger than the cap is not kept. */
void blame_record(struct blame *b, uint32_t piece,
		  const struct blame_block *blocks, size_t n);

/* Are there records of the piece?  (If not, digests need not be made.) */
bool blame_waits(struct blame *b, uint32_t piece);

/* The piece passed: the digests of its n blocks.  Puts up to max different
 * sources that lied into out, returns how many, forgets the piece. */
size_t blame_settle(struct blame *b, uint32_t piece, const uint64_t *digests,
		    size_t n, uint64_t *out, size_t max);

#endif
