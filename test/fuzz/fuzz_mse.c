/*
 * Any bytes as what the other side of an encrypted handshake sends.  The
 * first byte says which side that is, and whether it begins well: then the
 * keys and the proof are right, and the input stands, encrypted, where the
 * lengths and methods are.  It must end within its bounds, and say nothing
 * once it has failed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "net/mse.h"

#define READ_MAX (MSE_KEY_SIZE + 2 * MSE_PAD_MAX + 2 * MSE_HASH_SIZE + 16)
#define SAID_MAX (READ_MAX + 4 * MSE_PAD_MAX)

static const uint8_t info_hash[20] = "the only torrent";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
same_always(void *ctx, void *out, size_t n)
{
	(void)ctx;
	memset(out, 7, n);
}

static bool
find(void *ctx, const uint8_t hash[MSE_HASH_SIZE], uint8_t out[20])
{
	uint8_t ours[MSE_HASH_SIZE];

	(void)ctx;
	mse_torrent_hash(ours, info_hash);
	memcpy(out, info_hash, 20);
	return memcmp(ours, hash, sizeof(ours)) == 0;
}

static void
tagged(uint8_t out[SHA1_SIZE], const char *name, const uint8_t *secret,
       size_t more)
{
	uint8_t all[4 + MSE_KEY_SIZE + 20];

	memcpy(all, name, 4);
	memcpy(all + 4, secret, MSE_KEY_SIZE);
	memcpy(all + 4 + MSE_KEY_SIZE, info_hash, 20);
	hash_sha1(out, all, 4 + MSE_KEY_SIZE + more);
}

/* With the private key 1 the public one is 2, and the secret theirs. */
static size_t
begin_well(struct mse *m, const struct rc4_library *l, bool as_a,
	   uint8_t *said)
{
	uint8_t secret[MSE_KEY_SIZE], hash[SHA1_SIZE];
	size_t n, at = 0;
	struct rc4 *r;

	memset(said, 0, MSE_KEY_SIZE);
	said[MSE_KEY_SIZE - 1] = 2;
	if (as_a)
		mse_feed(m, said, MSE_KEY_SIZE, &n);
	memcpy(secret, mse_output(m, &n), sizeof(secret));
	if (!as_a)
		mse_feed(m, said, MSE_KEY_SIZE, &n);
	if (as_a) {
		tagged(said, "req1", secret, 0);
		tagged(hash, "req3", secret, 0);
		mse_torrent_hash(said + 20, info_hash);
		for (size_t i = 0; i < sizeof(hash); i++)
			said[20 + i] ^= hash[i];
		at = 40;
	}
	tagged(hash, as_a ? "keyA" : "keyB", secret, 20);
	r = rc4_new(l, hash, sizeof(hash), 1024);
	if (!r)
		abort();
	memset(said + at, 0, 8);
	rc4_crypt(r, said + at, SAID_MAX - at);
	rc4_free(r);
	return at + 8;
}

static void
check(struct mse *m, enum mse_status status, size_t left)
{
	size_t n;

	if (status != mse_status(m) || (status == MSE_MORE && left > 0))
		abort();
	mse_output(m, &n);
	if (status == MSE_BAD && n > 0)
		abort();
	if (status == MSE_DONE && mse_method(m) != MSE_PLAIN &&
	    mse_method(m) != MSE_RC4)
		abort();
}

static struct rc4_library *library;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mse_config config = {.methods = MSE_PLAIN | MSE_RC4,
				    .random = same_always};
	struct mse_finder finder = {NULL, find};
	uint8_t said[SAID_MAX] = {0};
	enum mse_status status = MSE_MORE;
	size_t at = 0, step, used, total = 0;
	struct mse *m;
	bool as_a;

	if (!library)
		library = rc4_library_new(NULL);
	if (!library || size < 2)
		return 0;
	as_a = data[0] & 1;
	step = data[1] ? data[1] : 1;
	config.library = library;
	m = as_a ? mse_new_incoming(&config, &finder)
		 : mse_new_outgoing(&config, info_hash, "beginning", 9);
	if (!m)
		return 0;
	data += 2;
	size -= 2;
	if (data[-2] & 2) {
		size_t from = as_a ? 40 : 0;
		size_t n = size < 1024 ? size : 1024;

		/* The cipher is a XOR: first the words, then it over them. */
		begin_well(m, library, as_a, said);
		for (size_t i = 0; i < n; i++)
			said[from + 8 + i] ^= data[i];
		size = from + 8 + n;
		data = said;
	}
	while (at < size && status == MSE_MORE) {
		size_t n = size - at < step ? size - at : step;

		status = mse_feed(m, data + at, n, &used);
		check(m, status, n - used);
		at += used;
		total += used;
	}
	if (total > READ_MAX)
		abort();
	mse_free(m);
	return 0;
}
