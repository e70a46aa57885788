/*
 * hash: SHA-1 and SHA-256 by libcrypto, and random bytes.
 *
 * A hash is made once and started again for each message, so that nothing
 * is looked up or allocated while data flows.  One thread at a time.
 */
#ifndef BTGET_BASE_HASH_H
#define BTGET_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define SHA1_SIZE 20
#define SHA256_SIZE 32

enum hash_kind { HASH_SHA1, HASH_SHA256 };

struct hash;

struct hash *hash_new(enum hash_kind kind);	/* started; NULL: no memory */
void hash_free(struct hash *h);
void hash_start(struct hash *h);		/* a new message */
void hash_add(struct hash *h, const void *data, size_t n);
void hash_end(struct hash *h, uint8_t *out);	/* 20 or 32 bytes */

/* Whole messages. */
void hash_sha1(uint8_t out[SHA1_SIZE], const void *data, size_t n);
void hash_sha256(uint8_t out[SHA256_SIZE], const void *data, size_t n);

/* Unpredictable bytes; ends the process if the system has none. */
void random_bytes(void *out, size_t n);
uint64_t random_u64(void);

/* The finalizer of splitmix64, for what need not be safe from guessing. */
static inline uint64_t
hash_mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

#endif
