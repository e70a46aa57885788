/*
 * socks5: asks a proxy for a connection, bytes in and bytes out.
 *
 *   -> 5, n, methods           <- 5, method
 *   -> 1, user, password       <- 1, 0            where the method is that
 *   -> 5, connect, 0, address  <- 5, reply, 0, address
 *
 * It touches no socket and no clock: who uses it moves the bytes and sets
 * the deadline.  It never asks for a byte that belongs to what comes behind
 * the handshake.  Memory is fixed, whatever comes.
 *
 * Ownership: plain.  It holds the password: socks5_forget wipes it.
 * Threads:   one at a time.
 * Source:    RFC 1928, RFC 1929.
 */
#ifndef BTGET_NET_SOCKS5_H
#define BTGET_NET_SOCKS5_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define SOCKS5_TEXT_MAX 255	/* of a user, a password, a host name */
#define SOCKS5_OUT_MAX (3 + 2 * SOCKS5_TEXT_MAX)
#define SOCKS5_IN_MAX (4 + 1 + SOCKS5_TEXT_MAX + 2)

enum socks5_status {
	SOCKS5_MORE,		/* send what there is, then feed it */
	SOCKS5_DONE,		/* the rest is between us and the other end */
	SOCKS5_UNREACHABLE,	/* the proxy works, the other end does not */
	SOCKS5_BAD,		/* the proxy does not: see why */
};

enum socks5_stage {
	SOCKS5_METHOD,
	SOCKS5_LOGIN,
	SOCKS5_CONNECT,
};

struct socks5 {
	enum socks5_status status;
	enum socks5_stage stage;
	int sys;		/* for SOCKS5_UNREACHABLE: an errno */
	const char *why;	/* for SOCKS5_BAD */
	struct addr to;
	char host[SOCKS5_TEXT_MAX + 1];	/* instead, if it is not empty */
	char user[SOCKS5_TEXT_MAX + 1];	/* "": none */
	char password[SOCKS5_TEXT_MAX + 1];
	uint8_t out[SOCKS5_OUT_MAX];
	size_t out_used;
	size_t out_sent;
	uint8_t in[SOCKS5_IN_MAX];
	size_t in_used;
	size_t in_want;
};

/* host NULL: the address itself; else the proxy looks the name up, and of
 * `to` the port alone counts.  user NULL or "": without.  Texts that are too
 * long make it SOCKS5_BAD. */
void socks5_begin(struct socks5 *s, const struct addr *to, const char *host,
		  const char *user, const char *password);
void socks5_forget(struct socks5 *s);

/* What is to be sent next, *n bytes of it; then how many of them went. */
const uint8_t *socks5_output(const struct socks5 *s, size_t *n);
void socks5_sent(struct socks5 *s, size_t n);

/* How many bytes to receive at most; then what came.  More than that is
 * SOCKS5_BAD. */
size_t socks5_wants(const struct socks5 *s);
enum socks5_status socks5_feed(struct socks5 *s, const uint8_t *data,
			       size_t n);

#endif
