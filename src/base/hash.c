#include "base/hash.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

struct hash {
	EVP_MD_CTX *ctx;
	const EVP_MD *md;
};

struct hash *
hash_new(enum hash_kind kind)
{
	struct hash *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->md = kind == HASH_SHA1 ? EVP_sha1() : EVP_sha256();
	h->ctx = EVP_MD_CTX_new();
	if (!h->ctx || EVP_DigestInit_ex(h->ctx, h->md, NULL) != 1) {
		hash_free(h);
		return NULL;
	}
	return h;
}

void
hash_free(struct hash *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

void
hash_start(struct hash *h)
{
	/* With the digest already set this only resets the state. */
	EVP_DigestInit_ex(h->ctx, NULL, NULL);
}

void
hash_add(struct hash *h, const void *data, size_t n)
{
	EVP_DigestUpdate(h->ctx, data, n);
}

void
hash_end(struct hash *h, uint8_t *out)
{
	EVP_DigestFinal_ex(h->ctx, out, NULL);
}

void
hash_sha1(uint8_t out[SHA1_SIZE], const void *data, size_t n)
{
	if (EVP_Digest(data, n, out, NULL, EVP_sha1(), NULL) != 1)
		abort();
}

void
hash_sha256(uint8_t out[SHA256_SIZE], const void *data, size_t n)
{
	if (EVP_Digest(data, n, out, NULL, EVP_sha256(), NULL) != 1)
		abort();
}

void
random_bytes(void *out, size_t n)
{
	uint8_t *at = out;

	while (n > 0) {
		int part = n < 1 << 20 ? (int)n : 1 << 20;

		if (RAND_bytes(at, part) != 1)
			abort();
		at += part;
		n -= (size_t)part;
	}
}

uint64_t
random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof(v));
	return v;
}
