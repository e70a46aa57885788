/*
 * utp: connections over UDP that give way to others (uTP).
 *
 * A set holds all connections of a socket (or of several, one a family).
 * Packets are fed in; what is to go out comes through a callback.  After a
 * round of packets and a tick, the caller asks for the connections that
 * changed, moves their bytes, and flushes each: so that one packet or one
 * acknowledgement serves for all that came in the round.
 *
 * Nobody who calls costs memory before his address is known to be his: the
 * answer to a SYN carries a number made from a key, and a connection begins
 * with data that acknowledges it.  A number has 16 bits, so one guess in
 * 8,192 is right; what that makes is bounded by `max`, and by whoever drops
 * connections that say nothing.
 *
 * Memory: for each connection at most what is under way and what waits to be
 * taken, each UTP_WINDOW_MAX or a share of UTP_POOL, but UTP_WINDOW_MIN.
 *
 * Pure: time (clock_ns), randomness and the socket are given.
 * Threads: one at a time.
 * Source: BEP 29.
 */
#ifndef BTGET_NET_UTP_H
#define BTGET_NET_UTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define UTP_WINDOW_MAX (640 * 1024)	/* some 470 packets */
#define UTP_WINDOW_MIN (64 * 1024)
#define UTP_POOL (16 * 1024 * 1024)
/* With headers 1420, which WireGuard takes as a rule; and IPv6's least. */
#define UTP_PAYLOAD4 1372
#define UTP_PAYLOAD6 1212
#define UTP_PAYLOAD_SMALL 512
#define UTP_DATAGRAM_MAX (20 + UTP_PAYLOAD4)	/* of ours */

struct utp;
struct utp_set;

struct utp_config {
	void *ctx;
	void (*send)(void *ctx, const struct addr *to, const void *data,
		     size_t n);
	void (*random)(void *ctx, void *out, size_t n);
	size_t max;		/* connections */
};

struct utp_set *utp_set_new(const struct utp_config *config);
void utp_set_free(struct utp_set *s);	/* and all connections, in silence */

/* Something that utp_is_packet says yes to. */
void utp_set_packet(struct utp_set *s, const struct addr *from,
		    const void *data, size_t n, int64_t now);
void utp_set_tick(struct utp_set *s, int64_t now);
int64_t utp_set_due(const struct utp_set *s);
size_t utp_set_count(const struct utp_set *s);

/* The next connection with news, or NULL.  Flush it, or free it. */
struct utp *utp_set_changed(struct utp_set *s);

/* NULL when there are too many. */
struct utp *utp_connect(struct utp_set *s, const struct addr *to,
			int64_t now);

/* Forgets it; the other side is told, if it does not know. */
void utp_free(struct utp *u, int64_t now);

enum utp_state {
	UTP_CONNECTING,
	UTP_OPEN,
	UTP_ENDED,
};

enum utp_state utp_state(const struct utp *u);
int utp_error(const struct utp *u);	/* ended: errno, 0 when in order */
bool utp_incoming(const struct utp *u);
const struct addr *utp_addr(const struct utp *u);
void *utp_user(const struct utp *u);
void utp_set_user(struct utp *u, void *user);

/* How much may be written now; utp_write takes no more. */
size_t utp_room(const struct utp *u);
size_t utp_write(struct utp *u, const void *data, size_t n);
/* No more is written.  It ends once the other side has all. */
void utp_close(struct utp *u, int64_t now);
/* Has all of it arrived? */
bool utp_all_acked(const struct utp *u);
/* Does nothing of it arrive, time after time? */
bool utp_is_unheard(const struct utp *u);

struct utp_part {
	const uint8_t *data;
	size_t size;
};

/* What has come, in order: how many parts (max at most) were put there. */
size_t utp_peek(const struct utp *u, struct utp_part *out, size_t max);
size_t utp_ready(const struct utp *u);	/* bytes */
void utp_consume(struct utp *u, size_t n);
/* All is consumed, and there will be no more. */
bool utp_at_end(const struct utp *u);

/* Sends what can be sent, and acknowledges what came. */
void utp_flush(struct utp *u, int64_t now);
/* It is to be among the changed ones. */
void utp_touch(struct utp *u);

#endif
