/*
 * stream: a connection as the peer loop sees it, plain or encrypted.
 *
 * Sending encrypts into a small buffer of the stream's own, and what the
 * socket does not take at once stays there as it is: no byte is encrypted
 * twice.  So what stream_send accepts has not always left; as long as
 * stream_pending says so, the caller polls for writing and flushes.  A plain
 * stream holds nothing back, and sendfile may be used on it.
 *
 * Ownership: the descriptor is borrowed (connected, non-blocking).
 * Threads:   one at a time.
 */
#ifndef BTGET_NET_STREAM_H
#define BTGET_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/mse.h"

/* A block with its header, and some messages. */
#define STREAM_BUFFER (24 * 1024)

struct stream {
	int fd;
	struct mse_ciphers ciphers;
	uint8_t *buffer;	/* STREAM_BUFFER bytes, once needed */
	size_t used;		/* encrypted */
	size_t sent;		/* of these */
};

void stream_init(struct stream *s, int fd);
void stream_release(struct stream *s);	/* the descriptor stays open */

/*
 * One turn of the encrypted handshake: moves the bytes that can be moved
 * without waiting, and not one that belongs to the stream.  MSE_MORE: poll
 * for *events; MSE_DONE: stream_secure is next; MSE_BAD: *why.
 */
enum mse_status stream_shake(const struct stream *s, struct mse *m,
			     short *events, const char **why);

/* From here on it is what the finished handshake agreed on. */
void stream_secure(struct stream *s, struct mse *m);

/* Is it one end of a pair, behind which uTP is spoken? */
bool stream_is_utp(const struct stream *s);

/* Does what we send go out as it is? */
bool stream_is_plain(const struct stream *s);

/* Like recv: 0 at the end, -1 and errno. */
ssize_t stream_recv(struct stream *s, void *buf, size_t n);

/* Like send: how many bytes were accepted, -1 and errno (EAGAIN: none now).
 * more: other bytes follow at once. */
ssize_t stream_send(struct stream *s, const void *data, size_t n, bool more);

/* For an encrypted stream, to fill the buffer without a copy: where *n bytes
 * at most may be put, or NULL and errno (EAGAIN: none now).  stream_commit
 * encrypts n of them and sends: -1 and errno when the connection failed. */
uint8_t *stream_room(struct stream *s, size_t *n);
int stream_commit(struct stream *s, size_t n, bool more);

/* Accepted, but not yet taken by the socket. */
size_t stream_pending(const struct stream *s);

/* How many bytes went (0 when none were pending), or -1 and errno. */
ssize_t stream_flush(struct stream *s);

#endif
