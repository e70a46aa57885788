/*
 * sync: locks, threads and the wake fd.
 *
 * The attributes let clang's -Wthread-safety check which lock a function
 * needs: REQUIRES(p->lock) on a `_locked` function, EXCLUDES(p->lock) on one
 * that takes it.  gcc ignores them.
 *
 * Threads: every function may be called from any thread.
 */
#ifndef BTGET_BASE_SYNC_H
#define BTGET_BASE_SYNC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#if defined(__clang__)
#define SYNC_ATTRIBUTE(x) __attribute__((x))
#else
#define SYNC_ATTRIBUTE(x)
#endif

#define REQUIRES(...) SYNC_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) SYNC_ATTRIBUTE(locks_excluded(__VA_ARGS__))

struct SYNC_ATTRIBUTE(capability("mutex")) mutex {
	pthread_mutex_t raw;
};

void mutex_init(struct mutex *m);
void mutex_release(struct mutex *m);
void mutex_lock(struct mutex *m) SYNC_ATTRIBUTE(acquire_capability(*m));
bool mutex_try(struct mutex *m)
    SYNC_ATTRIBUTE(try_acquire_capability(true, *m));
void mutex_unlock(struct mutex *m) SYNC_ATTRIBUTE(release_capability(*m));

/* A condition on monotonic time. */
struct cond {
	pthread_cond_t raw;
};

void cond_init(struct cond *c);
void cond_release(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

/* Waits until signalled or until `when` (clock_ns); CLOCK_NEVER: no limit.
 * False when the time came first.  Wakes without cause happen. */
bool cond_wait(struct cond *c, struct mutex *m, int64_t when)
    REQUIRES(*m);

/*
 * A thread has a name, a fixed stack and all signals blocked, and is joined
 * by whoever started it.  `stack` is in bytes; sanitizer builds use more.
 */
#define THREAD_STACK_SMALL (128 * 1024)
#define THREAD_STACK_LARGE (1024 * 1024)

struct thread {
	pthread_t id;
	bool started;
};

int thread_start(struct thread *t, const char *name, size_t stack,
		 void (*run)(void *), void *arg, struct error *e);
void thread_join(struct thread *t);	/* nothing if it was never started */

/*
 * A wake fd (eventfd) ends another thread's poll.  wake_up never blocks and
 * may be called from a signal handler.
 */
struct wake {
	int fd;
};

int wake_init(struct wake *w, struct error *e);
void wake_release(struct wake *w);
void wake_up(struct wake *w);
void wake_drain(struct wake *w);

/* How many processors this process may use, at least 1. */
unsigned sync_processors(void);

#endif
