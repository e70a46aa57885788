/*
 * By libcrypto's old interface, which neither allocates nor fails.  The new
 * one looks digests up and allocates for each message, and a process short
 * of memory would have no way on; it is slower for small messages, too.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

struct hash {
	enum hash_kind kind;
	union {
		SHA_CTX sha1;
		SHA256_CTX sha256;
	} c;
};

struct hash *
hash_new(enum hash_kind kind)
{
	struct hash *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->kind = kind;
	hash_start(h);
	return h;
}

void
hash_free(struct hash *h)
{
	free(h);
}

void
hash_start(struct hash *h)
{
	if (h->kind == HASH_SHA1)
		SHA1_Init(&h->c.sha1);
	else
		SHA256_Init(&h->c.sha256);
}

void
hash_add(struct hash *h, const void *data, size_t n)
{
	if (h->kind == HASH_SHA1)
		SHA1_Update(&h->c.sha1, data, n);
	else
		SHA256_Update(&h->c.sha256, data, n);
}

void
hash_end(struct hash *h, uint8_t *out)
{
	if (h->kind == HASH_SHA1)
		SHA1_Final(out, &h->c.sha1);
	else
		SHA256_Final(out, &h->c.sha256);
}

void
hash_sha1(uint8_t out[SHA1_SIZE], const void *data, size_t n)
{
	SHA_CTX c;

	SHA1_Init(&c);
	SHA1_Update(&c, data, n);
	SHA1_Final(out, &c);
}

void
hash_sha256(uint8_t out[SHA256_SIZE], const void *data, size_t n)
{
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Update(&c, data, n);
	SHA256_Final(out, &c);
}

static bool
read_device(uint8_t *out, size_t n)
{
	int fd = open("/dev/urandom", O_RDONLY | O_NOCTTY | O_CLOEXEC);

	while (fd >= 0 && n > 0) {
		ssize_t got = read(fd, out, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		out += got;
		n -= (size_t)got;
	}
	if (fd >= 0)
		close(fd);
	return n == 0;
}

/* From the kernel, which never runs out of them or of memory for them.  Before
 * Linux 3.17, and in a sandbox that refuses the call, they are to be had from
 * the device alone. */
void
random_bytes(void *out, size_t n)
{
	uint8_t *at = out;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 && read_device(at, n))
			return;
		if (got <= 0)
			abort();
		at += got;
		n -= (size_t)got;
	}
}

uint64_t
random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof(v));
	return v;
}
