#include "meta/merkle.h"

#include <stdbool.h>
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

void
merkle_begin(struct merkle *m, struct hash *h, unsigned level)
{
	m->hash = h;
	m->level = level;
	m->count = 0;
	m->in_block = 0;
	m->used = 0;
}

/*
 * Works like a binary counter: after n hashes, the stack holds the root of
 * one full subtree for each bit that is set in n, the largest first.
 */
void
merkle_add_hash(struct merkle *m, const uint8_t hash[SHA256_SIZE])
{
	memcpy(m->stack[m->used++], hash, SHA256_SIZE);
	for (uint64_t bits = m->count++; bits & 1; bits >>= 1) {
		m->used--;
		merkle_parent(m->hash, m->stack[m->used - 1],
			      m->stack[m->used - 1], m->stack[m->used]);
	}
}

static void
end_block(struct merkle *m)
{
	uint8_t leaf[SHA256_SIZE];

	hash_end(m->hash, leaf);
	m->in_block = 0;
	merkle_add_hash(m, leaf);
}

void
merkle_add_bytes(struct merkle *m, const void *data, size_t n)
{
	const uint8_t *at = data;

	while (n > 0) {
		size_t part = MERKLE_BLOCK - m->in_block;

		if (part > n)
			part = n;
		if (m->in_block == 0)
			hash_start(m->hash);
		hash_add(m->hash, at, part);
		m->in_block += (uint32_t)part;
		if (m->in_block == MERKLE_BLOCK)
			end_block(m);
		at += part;
		n -= part;
	}
}

/* In the end the smallest subtree grows, by padding or by what waits for it,
 * until there is one, as high as it should be. */
void
merkle_end(struct merkle *m, uint8_t out[SHA256_SIZE], unsigned level)
{
	uint8_t pad[SHA256_SIZE];
	bool open = false;	/* the last subtree has grown to this size */
	uint64_t n;

	if (m->in_block > 0)
		end_block(m);
	n = m->count;
	merkle_pad(m->hash, pad, m->level);
	for (unsigned at = m->level; at < level || n != (open ? 0 : 1);
	     at++, n >>= 1) {
		uint8_t *top = m->stack[m->used - 1];

		if (open && (n & 1)) {
			m->used--;
			merkle_parent(m->hash, m->stack[m->used - 1],
				      m->stack[m->used - 1], top);
		} else if (open || (n & 1)) {
			merkle_parent(m->hash, top, top, pad);
			open = true;
		}
		merkle_parent(m->hash, pad, pad, pad);
	}
	memcpy(out, m->stack[0], SHA256_SIZE);
}

void
merkle_root(struct hash *h, uint8_t out[SHA256_SIZE], const uint8_t *layer,
	    size_t count, unsigned level)
{
	struct merkle m;

	merkle_begin(&m, h, level);
	for (size_t i = 0; i < count; i++)
		merkle_add_hash(&m, layer + i * SHA256_SIZE);
	merkle_end(&m, out, level);
}
