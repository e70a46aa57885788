/*
 * hasher: the running hashes of the pieces that are being received.
 *
 * A block that is next in line goes into its piece's hash while it is hot in
 * the cache.  A block that came early is left out, and read back from the
 * page cache when the piece is settled.  Nothing is copied to be kept, and a
 * piece without a running hash (there is room for a fixed number) is simply
 * read back whole.
 *
 * Ownership: the source's ctx is borrowed and outlives the hasher.
 * Threads:   every function may be called from any thread; so source.read
 *            is, too.  A hash that another thread is adding to is not waited
 *            for by hasher_feed.
 * Units:     offset and length are bytes within the piece.
 */
#ifndef BTGET_SWARM_HASHER_H
#define BTGET_SWARM_HASHER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

struct hasher;

/* Reads n bytes of the piece at offset into buf; 0 or -1. */
struct hasher_source {
	int (*read)(void *ctx, uint32_t piece, uint32_t offset, void *buf,
		    size_t n, struct error *e);
	void *ctx;
};

/* For a torrent of so many pieces. */
struct hasher *hasher_new(const struct hasher_source *source, uint32_t pieces,
			  struct error *e);
void hasher_free(struct hasher *h);

/* A block that the picker accepted, before or after it is written. */
void hasher_feed(struct hasher *h, uint32_t piece, uint32_t offset,
		 const void *data, size_t n);

/* The piece is whole on disk: its SHA-1.  Reads what is missing back. */
int hasher_settle(struct hasher *h, uint32_t piece, uint32_t length,
		  uint8_t out[SHA1_SIZE], struct error *e);

/* Forgets what was hashed of the piece. */
void hasher_drop(struct hasher *h, uint32_t piece);

#endif
