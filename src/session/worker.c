#include "session/worker.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/sync.h"

struct worker {
	struct mutex lock;
	struct cond changed;
	struct thread thread;
	void (*wake)(void *ctx);
	void *ctx;
	struct worker_job *first;	/* guarded by lock */
	struct worker_job **last;	/* guarded by lock */
	bool stop;			/* guarded by lock */
};

/* The next job, or NULL when it is time to end. */
static struct worker_job *
next_job(struct worker *w)
{
	struct worker_job *job;

	mutex_lock(&w->lock);
	while (!w->first && !w->stop)
		cond_wait(&w->changed, &w->lock, CLOCK_NEVER);
	job = w->first;
	if (job) {
		w->first = job->next;
		if (!w->first)
			w->last = &w->first;
	}
	mutex_unlock(&w->lock);
	return job;
}

static void
run(void *arg)
{
	struct worker *w = arg;
	struct worker_job *job;

	while ((job = next_job(w)) != NULL) {
		job->run(job->ctx);
		atomic_store_explicit(&job->busy, false, memory_order_release);
		w->wake(w->ctx);
	}
}

struct worker *
worker_new(void (*wake)(void *ctx), void *ctx, struct error *e)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w) {
		error_memory(e);
		return NULL;
	}
	mutex_init(&w->lock);
	cond_init(&w->changed);
	w->wake = wake;
	w->ctx = ctx;
	w->last = &w->first;
	if (thread_start(&w->thread, "disk", THREAD_STACK_LARGE, run, w, e) <
	    0) {
		worker_free(w);
		return NULL;
	}
	return w;
}

void
worker_free(struct worker *w)
{
	if (!w)
		return;
	mutex_lock(&w->lock);
	w->stop = true;
	cond_signal(&w->changed);
	mutex_unlock(&w->lock);
	thread_join(&w->thread);
	cond_release(&w->changed);
	mutex_release(&w->lock);
	free(w);
}

void
worker_submit(struct worker *w, struct worker_job *job)
{
	atomic_store(&job->busy, true);
	job->next = NULL;
	mutex_lock(&w->lock);
	*w->last = job;
	w->last = &job->next;
	cond_signal(&w->changed);
	mutex_unlock(&w->lock);
}
