/*
 * mse: the handshake of encrypted connections, bytes in and bytes out.
 *
 * Both sides exchange public keys and padding; the one that called (A) then
 * proves that it knows the torrent, offers methods, and sends the beginning
 * of its stream along; the other (B) finds the torrent by what is proven,
 * and selects a method.  Nothing of it has a fixed place on the wire: B looks
 * for a hash, A for the encrypted form of eight zeros, within a bounded
 * number of bytes.
 *
 *   A -> B   Ya, pad
 *   B -> A   Yb, pad
 *   A -> B   HASH('req1', S), HASH('req2', SKEY) ^ HASH('req3', S),
 *            RC4(VC, provide, len, pad, len, beginning)
 *   B -> A   RC4(VC, select, len, pad), then by the method selected
 *
 * It touches no socket and no clock: who uses it moves the bytes and sets
 * the deadline.  Memory is fixed, whatever comes.  That protects against
 * whoever looks at or throttles BitTorrent, not against whoever knows the
 * info hash.
 *
 * Ownership: the library is borrowed and must outlive it.
 * Threads:   one at a time.
 * Source:    "Message Stream Encryption" as Vuze described it.
 */
#ifndef BTGET_NET_MSE_H
#define BTGET_NET_MSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/rc4.h"

/* What the stream is after the handshake; crypto_provide's bits. */
#define MSE_PLAIN 1u
#define MSE_RC4 2u

#define MSE_KEY_SIZE 96		/* Ya, Yb, S: 768 bits */
#define MSE_PAD_MAX 512
#define MSE_BEGINNING_MAX 128	/* of our own stream, sent along */
#define MSE_HASH_SIZE 20

struct mse;

struct mse_config {
	const struct rc4_library *library;
	unsigned methods;	/* that we offer, or allow */
	unsigned preferred;	/* of those that an incoming one offers */

	/* Unpredictable bytes; NULL: random_bytes. */
	void (*random)(void *ctx, void *out, size_t n);
	void *random_ctx;
};

/* Which torrent has this mse_torrent_hash?  False: none. */
struct mse_finder {
	void *ctx;
	bool (*find)(void *ctx, const uint8_t hash[MSE_HASH_SIZE],
		     uint8_t info_hash[20]);
};

enum mse_status {
	MSE_MORE,		/* needs bytes */
	MSE_DONE,		/* once mse_output is empty */
	MSE_BAD,		/* it is over; mse_why */
};

/* The beginning of our stream is copied.  NULL: no memory. */
struct mse *mse_new_outgoing(const struct mse_config *config,
			     const uint8_t info_hash[20],
			     const void *beginning, size_t size);
struct mse *mse_new_incoming(const struct mse_config *config,
			     const struct mse_finder *finder);
void mse_free(struct mse *m);

/* HASH('req2', SKEY): by this an incoming one names its torrent. */
void mse_torrent_hash(uint8_t out[MSE_HASH_SIZE], const uint8_t info_hash[20]);

/* Takes bytes from the other side.  When it is done, *consumed may be less
 * than n: the rest belongs to the stream. */
enum mse_status mse_feed(struct mse *m, const uint8_t *data, size_t n,
			 size_t *consumed);

/* What is to be sent next, *n bytes of it; then how many of them went. */
const uint8_t *mse_output(const struct mse *m, size_t *n);
void mse_sent(struct mse *m, size_t n);

enum mse_status mse_status(const struct mse *m);
const char *mse_why(const struct mse *m);	/* it is bad; for the log */

/* The outcome, once it is done. */
unsigned mse_method(const struct mse *m);	/* MSE_PLAIN or MSE_RC4 */
const uint8_t *mse_info_hash(const struct mse *m);

struct mse_ciphers {
	struct rc4 *in;		/* NULL: plain */
	struct rc4 *out;	/* NULL: plain */
	uint64_t in_left;	/* so many bytes are encrypted, then none */
};

/* Hands the ciphers over; only once. */
void mse_take_ciphers(struct mse *m, struct mse_ciphers *out);

#endif
