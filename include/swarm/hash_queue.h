/*
 * hash_queue: a thread that takes pieces off those who download.
 *
 * One fast peer is one thread, and hashing is nearly half of its work.  Some
 * of its pieces are left to this thread, which reads them back from the page
 * cache: that costs a copy, and lets two cores work on one connection.
 *
 * Threads: every function may be called from any thread, but hash_queue_free
 *          only once nobody posts any more.
 */
#ifndef BTGET_SWARM_HASH_QUEUE_H
#define BTGET_SWARM_HASH_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct hash_queue;

/* `work` runs in the queue's thread, for one piece after the other. */
struct hash_queue *hash_queue_new(void (*work)(void *ctx, uint32_t piece),
				  void *ctx, struct error *e);

/* Does what was posted, and joins the thread. */
void hash_queue_free(struct hash_queue *q);

/* Waits only while HASH_QUEUE_MAX others are before it. */
#define HASH_QUEUE_MAX 64
void hash_queue_post(struct hash_queue *q, uint32_t piece);

/* How many pieces wait, the one at work among them. */
size_t hash_queue_length(const struct hash_queue *q);

/* Waits until all is done that was posted before the call. */
void hash_queue_drain(struct hash_queue *q);

#endif
