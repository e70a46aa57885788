/*
 * worker: one thread for what the disk makes slow (opening, reserving space,
 * syncing, renaming), so that the main thread never waits for a disk.
 *
 * Jobs run one after another, in order.  A job belongs to its submitter and
 * may be submitted again once it is idle.
 *
 * Threads: submit and busy from any thread; run in the worker's.
 */
#ifndef BTGET_SESSION_WORKER_H
#define BTGET_SESSION_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"

struct worker;

struct worker_job {
	void (*run)(void *ctx);
	void *ctx;
	struct worker_job *next;	/* the worker's */
	_Atomic bool busy;		/* waits or runs */
};

/* `wake` is called, from the worker's thread, after each job. */
struct worker *worker_new(void (*wake)(void *ctx), void *ctx,
			  struct error *e);
/* Ends after the jobs that were submitted. */
void worker_free(struct worker *w);

void worker_submit(struct worker *w, struct worker_job *job);

static inline bool
worker_busy(const struct worker_job *job)
{
	return atomic_load_explicit(&job->busy, memory_order_acquire);
}

#endif
