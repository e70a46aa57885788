/*
 * datagram_batch: many datagrams with few calls to the system.
 *
 * What is added waits until it is flushed; datagrams of one size to one
 * address then go out as one, which the kernel cuts up (UDP_SEGMENT), and
 * what comes in a row comes as one (UDP_GRO), where the kernel can do that.
 *
 * Ownership: sockets are borrowed; one for each family, or -1.
 * Threads:   one at a time.
 */
#ifndef BTGET_NET_DATAGRAM_BATCH_H
#define BTGET_NET_DATAGRAM_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct datagram_batch;

struct datagram_batch *datagram_batch_new(void);
void datagram_batch_free(struct datagram_batch *b);

/* Larger buffers, datagrams in a row; routers may cut what is too long. */
void datagram_batch_tune(int fd, int family);

/* False when it is full. */
bool datagram_batch_add(struct datagram_batch *b, const struct addr *to,
			const void *data, size_t n);
bool datagram_batch_empty(const struct datagram_batch *b);
/* Is the first one that waits for a socket of this family? */
bool datagram_batch_waits_for(const struct datagram_batch *b, int family);

/* False when a socket takes no more now: the rest stays.  What a socket
 * refuses for other reasons is lost, as datagrams may be. */
bool datagram_batch_flush(struct datagram_batch *b, const int sockets[2]);

/* Hands out what has come, of a few calls at most. */
void datagram_batch_read(struct datagram_batch *b, int fd, void *ctx,
			 void (*take)(void *ctx, const struct addr *from,
				      const uint8_t *data, size_t n));

#endif
