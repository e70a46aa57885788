#include "net/mse.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "mse_dh.h"

#define VC_SIZE 8		/* the verification constant: zeros */
#define RC4_DROP 1024
#define HEAD_MAX (VC_SIZE + 4 + 2)	/* VC, methods, length of the pad */
#define OUT_MAX (MSE_KEY_SIZE + MSE_PAD_MAX + 2 * MSE_HASH_SIZE + HEAD_MAX + \
		 MSE_PAD_MAX + 2 + MSE_BEGINNING_MAX)

/* How a plain handshake begins. */
static const uint8_t plain_start[20] = "\x13" "BitTorrent protocol";

enum state {
	WANT_KEY,	/* A, B: the other's public key */
	FIND_START,	/* A, B: the hash, or VC, behind the padding */
	WANT_TORRENT,	/* B */
	WANT_HEAD,	/* A, B: VC (B only), methods, length of the pad */
	SKIP_PAD,	/* A, B */
	WANT_LENGTH,	/* B: of what A sent along */
	ALL_DONE,
	BROKEN,
};

struct mse {
	struct mse_config config;
	struct mse_finder finder;
	bool outgoing;
	enum state state;
	const char *why;

	uint8_t private_key[MSE_DH_PRIVATE];
	uint8_t secret[MSE_KEY_SIZE];
	uint8_t info_hash[20];
	uint8_t beginning[MSE_BEGINNING_MAX];
	size_t beginning_size;
	struct mse_ciphers ciphers;
	unsigned method;

	uint8_t start[MSE_HASH_SIZE];	/* that is looked for */
	size_t start_size;

	uint8_t in[MSE_KEY_SIZE];	/* of the state's bytes */
	size_t in_used;
	size_t passed;			/* before the start that is looked for */
	size_t pad_left;

	uint8_t out[OUT_MAX];
	size_t out_used;
	size_t out_sent;
};

/* ---- small parts ---- */

static void
fill_random(struct mse *m, void *out, size_t n)
{
	if (m->config.random)
		m->config.random(m->config.random_ctx, out, n);
	else
		random_bytes(out, n);
}

/* HASH(name, a, b) */
static void
tagged_hash(uint8_t out[MSE_HASH_SIZE], const char name[4], const uint8_t *a,
	    size_t a_size, const uint8_t b[20])
{
	uint8_t all[4 + MSE_KEY_SIZE + 20];
	size_t n = 4 + a_size;

	memcpy(all, name, 4);
	memcpy(all + 4, a, a_size);
	if (b) {
		memcpy(all + n, b, 20);
		n += 20;
	}
	hash_sha1(out, all, n);
	OPENSSL_cleanse(all, sizeof(all));
}

void
mse_torrent_hash(uint8_t out[MSE_HASH_SIZE], const uint8_t info_hash[20])
{
	tagged_hash(out, "req2", info_hash, 20, NULL);
}

static void
xor_hash(uint8_t *to, const uint8_t *with)
{
	for (size_t i = 0; i < MSE_HASH_SIZE; i++)
		to[i] ^= with[i];
}

static int
fail(struct mse *m, const char *why)
{
	m->state = BROKEN;
	m->why = why;
	m->out_used = m->out_sent = 0;
	return -1;
}

static void
enter(struct mse *m, enum state state)
{
	m->state = state;
	m->in_used = 0;
}

/* ---- sending ---- */

static void
put(struct mse *m, const void *data, size_t n)
{
	memcpy(m->out + m->out_used, data, n);
	m->out_used += n;
}

static bool
put_key_and_pad(struct mse *m)
{
	uint8_t key[MSE_KEY_SIZE], length[2];
	size_t n;

	fill_random(m, m->private_key, sizeof(m->private_key));
	if (!mse_dh_public(key, m->private_key))
		return false;
	put(m, key, MSE_KEY_SIZE);
	fill_random(m, length, sizeof(length));
	n = get_u16(length) % (MSE_PAD_MAX + 1);
	fill_random(m, m->out + m->out_used, n);
	m->out_used += n;
	return true;
}

/* VC, methods, and no padding: it is only there for later versions. */
static void
put_head(struct mse *m, unsigned methods)
{
	uint8_t head[HEAD_MAX] = {0};

	put_u32(head + VC_SIZE, methods);
	put(m, head, sizeof(head));
}

static void
encrypt_from(struct mse *m, size_t at)
{
	rc4_crypt(m->ciphers.out, m->out + at, m->out_used - at);
}

static int
make_ciphers(struct mse *m)
{
	const struct rc4_library *l = m->config.library;
	uint8_t ours[MSE_HASH_SIZE], theirs[MSE_HASH_SIZE];

	tagged_hash(m->outgoing ? ours : theirs, "keyA", m->secret,
		    MSE_KEY_SIZE, m->info_hash);
	tagged_hash(m->outgoing ? theirs : ours, "keyB", m->secret,
		    MSE_KEY_SIZE, m->info_hash);
	m->ciphers.out = rc4_new(l, ours, sizeof(ours), RC4_DROP);
	m->ciphers.in = rc4_new(l, theirs, sizeof(theirs), RC4_DROP);
	OPENSSL_cleanse(ours, sizeof(ours));
	OPENSSL_cleanse(theirs, sizeof(theirs));
	if (!m->ciphers.in || !m->ciphers.out)
		return fail(m, "out of memory");
	return 0;
}

/* What A says once it has the secret. */
static void
put_proof(struct mse *m)
{
	uint8_t hash[MSE_HASH_SIZE], other[MSE_HASH_SIZE], length[2];
	size_t at;

	tagged_hash(hash, "req1", m->secret, MSE_KEY_SIZE, NULL);
	put(m, hash, sizeof(hash));
	mse_torrent_hash(hash, m->info_hash);
	tagged_hash(other, "req3", m->secret, MSE_KEY_SIZE, NULL);
	xor_hash(hash, other);
	put(m, hash, sizeof(hash));
	at = m->out_used;
	put_head(m, m->config.methods);
	put_u16(length, (uint16_t)m->beginning_size);
	put(m, length, sizeof(length));
	put(m, m->beginning, m->beginning_size);
	encrypt_from(m, at);
}

/* ---- receiving: each takes the whole of what its state waits for ---- */

static int
take_key(struct mse *m)
{
	if (!m->outgoing && !put_key_and_pad(m))
		return fail(m, "out of memory");
	if (!mse_dh_secret(m->secret, m->in, m->private_key))
		return fail(m, "a public key that is none");
	m->passed = 0;
	if (!m->outgoing) {
		tagged_hash(m->start, "req1", m->secret, MSE_KEY_SIZE, NULL);
		m->start_size = MSE_HASH_SIZE;
		enter(m, FIND_START);
		return 0;
	}
	if (make_ciphers(m) < 0)
		return -1;
	put_proof(m);
	/* The zeros as they will come; that takes them off the cipher. */
	memset(m->start, 0, VC_SIZE);
	rc4_crypt(m->ciphers.in, m->start, VC_SIZE);
	m->start_size = VC_SIZE;
	enter(m, FIND_START);
	return 0;
}

/* The window moves on byte by byte, as far as the padding may reach. */
static int
take_start(struct mse *m)
{
	if (memcmp(m->in, m->start, m->start_size) == 0) {
		enter(m, m->outgoing ? WANT_HEAD : WANT_TORRENT);
		return 0;
	}
	if (m->passed++ >= MSE_PAD_MAX)
		return fail(m, "no answer to our key");
	memmove(m->in, m->in + 1, --m->in_used);
	return 0;
}

static int
take_torrent(struct mse *m)
{
	uint8_t other[MSE_HASH_SIZE];

	tagged_hash(other, "req3", m->secret, MSE_KEY_SIZE, NULL);
	xor_hash(m->in, other);
	if (!m->finder.find(m->finder.ctx, m->in, m->info_hash))
		return fail(m, "not one of our torrents");
	enter(m, WANT_HEAD);
	return make_ciphers(m);
}

static int
choose_method(struct mse *m, uint32_t offered)
{
	unsigned both = offered & m->config.methods & (MSE_PLAIN | MSE_RC4);

	if (both & m->config.preferred)
		both &= m->config.preferred;
	if (!both)
		return fail(m, "no method that both sides allow");
	m->method = both & MSE_RC4 ? MSE_RC4 : MSE_PLAIN;
	return 0;
}

static int
check_selection(struct mse *m, uint32_t selected)
{
	if ((selected != MSE_PLAIN && selected != MSE_RC4) ||
	    !(selected & m->config.methods))
		return fail(m, "selects what was not offered");
	m->method = selected;
	return 0;
}

static int
take_head(struct mse *m)
{
	struct bytes b = bytes_over(m->in, m->in_used);
	uint32_t methods;

	rc4_crypt(m->ciphers.in, m->in, m->in_used);
	if (!m->outgoing && bytes_u64(&b) != 0)
		return fail(m, "no verification constant");
	methods = bytes_u32(&b);
	m->pad_left = bytes_u16(&b);
	if (m->pad_left > MSE_PAD_MAX)
		return fail(m, "too much padding");
	enter(m, SKIP_PAD);
	return m->outgoing ? check_selection(m, methods)
			   : choose_method(m, methods);
}

static void
keep_ciphers(struct mse *m, uint64_t in_left)
{
	m->ciphers.in_left = in_left;
	if (m->method == MSE_PLAIN) {
		rc4_free(m->ciphers.out);
		m->ciphers.out = NULL;
	}
	if (in_left == 0) {
		rc4_free(m->ciphers.in);
		m->ciphers.in = NULL;
	}
	enter(m, ALL_DONE);
}

static void
end_pad(struct mse *m)
{
	if (m->outgoing)
		keep_ciphers(m, m->method == MSE_RC4 ? UINT64_MAX : 0);
	else
		enter(m, WANT_LENGTH);
}

/* What A sent along is the beginning of its stream, and encrypted whatever
 * the method is.  It is left to the stream. */
static int
take_length(struct mse *m)
{
	size_t at = m->out_used;
	uint16_t length;

	rc4_crypt(m->ciphers.in, m->in, m->in_used);
	length = get_u16(m->in);
	put_head(m, m->method);
	encrypt_from(m, at);
	keep_ciphers(m, m->method == MSE_RC4 ? UINT64_MAX : length);
	return 0;
}

static size_t
wanted(const struct mse *m)
{
	switch (m->state) {
	case WANT_KEY:
		return MSE_KEY_SIZE;
	case FIND_START:
		return m->start_size;
	case WANT_TORRENT:
		return MSE_HASH_SIZE;
	case WANT_HEAD:
		return m->outgoing ? HEAD_MAX - VC_SIZE : HEAD_MAX;
	case WANT_LENGTH:
		return 2;
	default:
		return 0;
	}
}

static int
take(struct mse *m)
{
	switch (m->state) {
	case WANT_KEY:
		return take_key(m);
	case FIND_START:
		return take_start(m);
	case WANT_TORRENT:
		return take_torrent(m);
	case WANT_HEAD:
		return take_head(m);
	case WANT_LENGTH:
		return take_length(m);
	default:
		return 0;
	}
}

/* Padding is thrown away, but the cipher has to pass over it. */
static size_t
skip_pad(struct mse *m, size_t n)
{
	uint8_t waste[MSE_PAD_MAX] = {0};

	if (n > m->pad_left)
		n = m->pad_left;
	rc4_crypt(m->ciphers.in, waste, n);
	m->pad_left -= n;
	if (m->pad_left == 0)
		end_pad(m);
	return n;
}

static size_t
gather(struct mse *m, const uint8_t *data, size_t n)
{
	size_t missing = wanted(m) - m->in_used;

	if (n > missing)
		n = missing;
	memcpy(m->in + m->in_used, data, n);
	m->in_used += n;
	return n;
}

static bool
answers_in_plain(const struct mse *m)
{
	return m->state == WANT_KEY && m->in_used >= sizeof(plain_start) &&
	       memcmp(m->in, plain_start, sizeof(plain_start)) == 0;
}

enum mse_status
mse_feed(struct mse *m, const uint8_t *data, size_t n, size_t *consumed)
{
	size_t at = 0;

	while (at < n && mse_status(m) == MSE_MORE) {
		if (m->state == SKIP_PAD) {
			at += skip_pad(m, n - at);
			continue;
		}
		at += gather(m, data + at, n - at);
		if (answers_in_plain(m))
			fail(m, "answers in plain");
		else if (m->in_used == wanted(m) && take(m) == 0 &&
			 m->state == SKIP_PAD && m->pad_left == 0)
			end_pad(m);
	}
	*consumed = at;
	return mse_status(m);
}

/* ---- life ---- */

struct mse *
mse_new_outgoing(const struct mse_config *config, const uint8_t info_hash[20],
		 const void *beginning, size_t size)
{
	struct mse *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->config = *config;
	m->outgoing = true;
	memcpy(m->info_hash, info_hash, 20);
	if (size > 0 && size <= MSE_BEGINNING_MAX) {
		memcpy(m->beginning, beginning, size);
		m->beginning_size = size;
	}
	if (size > MSE_BEGINNING_MAX || !put_key_and_pad(m)) {
		mse_free(m);
		return NULL;
	}
	return m;
}

struct mse *
mse_new_incoming(const struct mse_config *config,
		 const struct mse_finder *finder)
{
	struct mse *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->config = *config;
	m->finder = *finder;
	return m;
}

void
mse_free(struct mse *m)
{
	if (!m)
		return;
	rc4_free(m->ciphers.in);
	rc4_free(m->ciphers.out);
	OPENSSL_cleanse(m, sizeof(*m));
	free(m);
}

const uint8_t *
mse_output(const struct mse *m, size_t *n)
{
	*n = m->out_used - m->out_sent;
	return m->out + m->out_sent;
}

void
mse_sent(struct mse *m, size_t n)
{
	m->out_sent += n;
}

enum mse_status
mse_status(const struct mse *m)
{
	if (m->state == BROKEN)
		return MSE_BAD;
	return m->state == ALL_DONE ? MSE_DONE : MSE_MORE;
}

const char *
mse_why(const struct mse *m)
{
	return m->why ? m->why : "not finished";
}

unsigned
mse_method(const struct mse *m)
{
	return m->method;
}

const uint8_t *
mse_info_hash(const struct mse *m)
{
	return m->info_hash;
}

void
mse_take_ciphers(struct mse *m, struct mse_ciphers *out)
{
	*out = m->ciphers;
	m->ciphers = (struct mse_ciphers){0};
}
