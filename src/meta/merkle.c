#include "meta/merkle.h"

#include <string.h>

unsigned
merkle_level(uint64_t length)
{
	unsigned level = 0;

	while (level < MERKLE_LEVEL_MAX && length > MERKLE_BLOCK) {
		length >>= 1;
		level++;
	}
	return level;
}

void
merkle_parent(struct hash *h, uint8_t out[SHA256_SIZE], const uint8_t *left,
	      const uint8_t *right)
{
	hash_start(h);
	hash_add(h, left, SHA256_SIZE);
	hash_add(h, right, SHA256_SIZE);
	hash_end(h, out);
}

void
merkle_pad(struct hash *h, uint8_t out[SHA256_SIZE], unsigned level)
{
	memset(out, 0, SHA256_SIZE);
	for (unsigned i = 0; i < level; i++)
		merkle_parent(h, out, out, out);
}

/*
 * Works like a binary counter: after i hashes, the stack holds the root of
 * one full subtree for each bit that is set in i, the largest first.  In the
 * end the smallest grows: by padding, or by what is left of it.
 */
void
merkle_root(struct hash *h, uint8_t out[SHA256_SIZE], const uint8_t *layer,
	    size_t count, unsigned level)
{
	uint8_t stack[64][SHA256_SIZE];
	uint8_t pad[SHA256_SIZE];
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		memcpy(stack[used++], layer + i * SHA256_SIZE, SHA256_SIZE);
		for (size_t bits = i; bits & 1; bits >>= 1) {
			used--;
			merkle_parent(h, stack[used - 1], stack[used - 1],
				      stack[used]);
		}
	}
	merkle_pad(h, pad, level);
	for (size_t n = 1, rest = count & (count - 1); used > 1; n <<= 1) {
		uint8_t *top = stack[used - 1];

		if (rest & n) {
			used--;
			merkle_parent(h, stack[used - 1], stack[used - 1], top);
		} else if (n >= (count & (~count + 1))) {
			merkle_parent(h, top, top, pad);
		}
		merkle_parent(h, pad, pad, pad);
	}
	memcpy(out, stack[0], SHA256_SIZE);
}
