/*
 * merkle: the SHA-256 trees of v2 torrents.
 *
 * A file's leaves are the hashes of its 16 KiB blocks (level 0); the tree is
 * filled up to a power of two with leaves of zeros.  A layer is all hashes of
 * one level that cover data; what is missing on its right is the root of a
 * subtree of zero leaves, which merkle_pad gives.
 *
 * Pure, memory is fixed.  The hash is a SHA-256 one, borrowed for the call.
 * Source: BEP 52.
 */
#ifndef BTGET_META_MERKLE_H
#define BTGET_META_MERKLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

#define MERKLE_BLOCK 16384
#define MERKLE_LEVEL_MAX 63

/* The level whose hashes cover `length` bytes each: a power of two of at
 * least MERKLE_BLOCK. */
unsigned merkle_level(uint64_t length);

/* The root of 2^level zero leaves. */
void merkle_pad(struct hash *h, uint8_t out[SHA256_SIZE], unsigned level);

void merkle_parent(struct hash *h, uint8_t out[SHA256_SIZE],
		   const uint8_t *left, const uint8_t *right);

/*
 * A tree that grows from left to right, in fixed memory.  Leaves come as
 * bytes of the file, from the start of a block on, or as hashes (of any
 * level), but not mixed within one block.
 */
struct merkle {
	struct hash *hash;		/* borrowed until merkle_end */
	unsigned level;			/* of what merkle_add_hash adds */
	uint64_t count;			/* of such hashes so far */
	uint32_t in_block;		/* bytes of the block that is begun */
	size_t used;
	uint8_t stack[MERKLE_LEVEL_MAX + 1][SHA256_SIZE];
};

void merkle_begin(struct merkle *m, struct hash *h, unsigned level);
void merkle_add_bytes(struct merkle *m, const void *data, size_t n);
void merkle_add_hash(struct merkle *m, const uint8_t hash[SHA256_SIZE]);

/* The root over what was added (something was), filled up to a power of two,
 * and further on to the given level, if that is higher. */
void merkle_end(struct merkle *m, uint8_t out[SHA256_SIZE], unsigned level);

/* The root over a layer of count hashes (at least one) of the given level,
 * filled up to a power of two. */
void merkle_root(struct hash *h, uint8_t out[SHA256_SIZE],
		 const uint8_t *layer, size_t count, unsigned level);

#endif
