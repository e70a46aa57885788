/*
 * verify_v2: verifies pieces by the SHA-256 trees of BEP 52.
 *
 * Each block hashes alone, so that it is hashed when it comes, in whatever
 * order, while it is hot in the cache; its hash is kept until the piece is
 * settled.  Where there is no room for that (it is bounded) the block is read
 * back from the page cache.
 *
 * Ownership: the metainfo is borrowed.
 * Threads:   every function may be called from any thread.
 * Units:     offset and n are bytes within the piece.
 */
#ifndef BTGET_SWARM_VERIFY_V2_H
#define BTGET_SWARM_VERIFY_V2_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "swarm/hasher.h"

struct metainfo;
struct verify_v2;

struct verify_v2 *verify_v2_new(const struct metainfo *m,
				const struct hasher_source *source,
				struct error *e);
void verify_v2_free(struct verify_v2 *v);

/* A block that the picker accepted, before or after it is written. */
void verify_v2_feed(struct verify_v2 *v, uint32_t piece, uint32_t offset,
		    const void *data, size_t n);

enum verify_v2_result {
	VERIFY_V2_RIGHT,
	VERIFY_V2_WRONG,
	VERIFY_V2_UNKNOWN,	/* there is no hash to compare with */
	VERIFY_V2_FAILED,	/* it cannot be read: see the error */
};

/* The piece is whole on disk.  What was kept of it is forgotten. */
enum verify_v2_result verify_v2_settle(struct verify_v2 *v, uint32_t piece,
				       struct error *e);

/* Forgets what was kept of the piece. */
void verify_v2_drop(struct verify_v2 *v, uint32_t piece);

#endif
