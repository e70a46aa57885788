#include "net/rc4.h"

#include <openssl/evp.h>
#include <stdlib.h>

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#include <openssl/provider.h>
#endif

#define CHUNK ((size_t)1 << 20)	/* libcrypto counts in int */

struct rc4 {
	EVP_CIPHER_CTX *ctx;
};

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
struct rc4_library {
	OSSL_LIB_CTX *ctx;
	OSSL_PROVIDER *legacy;
	EVP_CIPHER *cipher;
};

struct rc4_library *
rc4_library_new(struct error *e)
{
	struct rc4_library *l = calloc(1, sizeof(*l));

	if (!l) {
		error_memory(e);
		return NULL;
	}
	l->ctx = OSSL_LIB_CTX_new();
	if (l->ctx)
		l->legacy = OSSL_PROVIDER_load(l->ctx, "legacy");
	if (l->legacy)
		l->cipher = EVP_CIPHER_fetch(l->ctx, "RC4", NULL);
	if (!l->cipher) {
		error_set(e, ERROR_INTERNAL, "libcrypto has no RC4 "
			  "(is OpenSSL's legacy provider installed?)");
		rc4_library_free(l);
		return NULL;
	}
	return l;
}

void
rc4_library_free(struct rc4_library *l)
{
	if (!l)
		return;
	EVP_CIPHER_free(l->cipher);
	if (l->legacy)
		OSSL_PROVIDER_unload(l->legacy);
	OSSL_LIB_CTX_free(l->ctx);
	free(l);
}
#else
/* It has RC4 without further ado. */
struct rc4_library {
	const EVP_CIPHER *cipher;
};

struct rc4_library *
rc4_library_new(struct error *e)
{
	struct rc4_library *l = calloc(1, sizeof(*l));

	if (l)
		l->cipher = EVP_rc4();
	else
		error_memory(e);
	return l;
}

void
rc4_library_free(struct rc4_library *l)
{
	free(l);
}
#endif

static int
set_key(struct rc4 *r, const struct rc4_library *l, const void *key,
	size_t size)
{
	EVP_CIPHER_CTX *c = r->ctx;

	return EVP_EncryptInit_ex(c, l->cipher, NULL, NULL, NULL) == 1 &&
	       EVP_CIPHER_CTX_set_key_length(c, (int)size) == 1 &&
	       EVP_EncryptInit_ex(c, NULL, NULL, key, NULL) == 1 ? 0 : -1;
}

struct rc4 *
rc4_new(const struct rc4_library *l, const void *key, size_t size,
	size_t drop)
{
	struct rc4 *r = calloc(1, sizeof(*r));
	uint8_t waste[256] = {0};

	if (!r)
		return NULL;
	r->ctx = EVP_CIPHER_CTX_new();
	if (!r->ctx || set_key(r, l, key, size) < 0) {
		rc4_free(r);
		return NULL;
	}
	while (drop > 0) {
		size_t n = drop < sizeof(waste) ? drop : sizeof(waste);

		rc4_crypt(r, waste, n);
		drop -= n;
	}
	return r;
}

void
rc4_free(struct rc4 *r)
{
	if (!r)
		return;
	EVP_CIPHER_CTX_free(r->ctx);
	free(r);
}

void
rc4_crypt(struct rc4 *r, void *data, size_t n)
{
	uint8_t *at = data;

	while (n > 0) {
		size_t part = n < CHUNK ? n : CHUNK;
		int done = 0;

		/* A stream cipher with its key set has no way to fail; going
		 * on without it would send what was to be hidden. */
		if (EVP_EncryptUpdate(r->ctx, at, &done, at, (int)part) != 1 ||
		    done != (int)part)
			abort();
		at += part;
		n -= part;
	}
}
