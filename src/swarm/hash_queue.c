/*
 * A ring of pieces.  As they are worked on in order, two counters tell where
 * it begins and ends, and what is done.
 */
#include "swarm/hash_queue.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/sync.h"

struct hash_queue {
	void (*work)(void *ctx, uint32_t piece);
	void *ctx;
	struct thread thread;
	struct mutex lock;
	struct cond posted;	/* or it is to stop */
	struct cond finished;	/* a piece is done, and somebody waits */
	_Atomic uint64_t post_count;	/* written under the lock */
	_Atomic uint64_t done_count;	/* written under the lock */
	unsigned waiting;	/* lock: for `finished` */
	bool stop;		/* lock */
	uint32_t pieces[HASH_QUEUE_MAX];	/* lock */
};

/* False: the end. */
static bool
next_piece(struct hash_queue *q, uint32_t *piece)
{
	uint64_t done;
	bool found;

	mutex_lock(&q->lock);
	done = atomic_load(&q->done_count);
	while (done == atomic_load(&q->post_count) && !q->stop)
		cond_wait(&q->posted, &q->lock, CLOCK_NEVER);
	found = done != atomic_load(&q->post_count);
	*piece = q->pieces[done % HASH_QUEUE_MAX];
	mutex_unlock(&q->lock);
	return found;
}

static void
run(void *arg)
{
	struct hash_queue *q = arg;
	uint32_t piece;

	while (next_piece(q, &piece)) {
		q->work(q->ctx, piece);
		mutex_lock(&q->lock);
		atomic_fetch_add(&q->done_count, 1);
		if (q->waiting > 0)
			cond_broadcast(&q->finished);
		mutex_unlock(&q->lock);
	}
}

struct hash_queue *
hash_queue_new(void (*work)(void *ctx, uint32_t piece), void *ctx,
	       struct error *e)
{
	struct hash_queue *q = calloc(1, sizeof(*q));

	if (!q) {
		error_memory(e);
		return NULL;
	}
	q->work = work;
	q->ctx = ctx;
	mutex_init(&q->lock);
	cond_init(&q->posted);
	cond_init(&q->finished);
	if (thread_start(&q->thread, "hash", THREAD_STACK_SMALL, run, q, e) < 0) {
		hash_queue_free(q);
		return NULL;
	}
	return q;
}

void
hash_queue_free(struct hash_queue *q)
{
	if (!q)
		return;
	mutex_lock(&q->lock);
	q->stop = true;
	cond_signal(&q->posted);
	mutex_unlock(&q->lock);
	thread_join(&q->thread);
	cond_release(&q->finished);
	cond_release(&q->posted);
	mutex_release(&q->lock);
	free(q);
}

static void
await_locked(struct hash_queue *q, uint64_t done) REQUIRES(q->lock)
{
	q->waiting++;
	while (atomic_load(&q->done_count) < done)
		cond_wait(&q->finished, &q->lock, CLOCK_NEVER);
	q->waiting--;
}

void
hash_queue_post(struct hash_queue *q, uint32_t piece)
{
	uint64_t at;

	mutex_lock(&q->lock);
	/* Others may post while we wait. */
	while ((at = atomic_load(&q->post_count)) -
	       atomic_load(&q->done_count) >= HASH_QUEUE_MAX)
		await_locked(q, at - HASH_QUEUE_MAX + 1);
	q->pieces[at % HASH_QUEUE_MAX] = piece;
	atomic_store(&q->post_count, at + 1);
	mutex_unlock(&q->lock);
	/* Now, so that it does not wake up to a lock that is taken. */
	cond_signal(&q->posted);
}

size_t
hash_queue_length(const struct hash_queue *q)
{
	uint64_t done = atomic_load(&q->done_count);

	return (size_t)(atomic_load(&q->post_count) - done);
}

void
hash_queue_drain(struct hash_queue *q)
{
	uint64_t posted = atomic_load(&q->post_count);

	mutex_lock(&q->lock);
	await_locked(q, posted);
	mutex_unlock(&q->lock);
}
