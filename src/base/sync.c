#include "base/sync.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_FACTOR 8
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STACK_FACTOR 8
#endif
#endif
#ifndef STACK_FACTOR
#define STACK_FACTOR 1
#endif

#define THREAD_NAME_MAX 16

struct start {
	char name[THREAD_NAME_MAX];
	void (*run)(void *);
	void *arg;
};

/* A lock that cannot be taken or given is a fault of ours: stop at once. */
static void
must(int status)
{
	if (status != 0)
		abort();
}

void
mutex_init(struct mutex *m)
{
	must(pthread_mutex_init(&m->raw, NULL));
}

void
mutex_release(struct mutex *m)
{
	must(pthread_mutex_destroy(&m->raw));
}

void
mutex_lock(struct mutex *m) SYNC_ATTRIBUTE(no_thread_safety_analysis)
{
	must(pthread_mutex_lock(&m->raw));
}

bool
mutex_try(struct mutex *m) SYNC_ATTRIBUTE(no_thread_safety_analysis)
{
	int status = pthread_mutex_trylock(&m->raw);

	if (status == EBUSY)
		return false;
	must(status);
	return true;
}

void
mutex_unlock(struct mutex *m) SYNC_ATTRIBUTE(no_thread_safety_analysis)
{
	must(pthread_mutex_unlock(&m->raw));
}

void
cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr));
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	must(pthread_cond_init(&c->raw, &attr));
	must(pthread_condattr_destroy(&attr));
}

void
cond_release(struct cond *c)
{
	must(pthread_cond_destroy(&c->raw));
}

void
cond_signal(struct cond *c)
{
	must(pthread_cond_signal(&c->raw));
}

void
cond_broadcast(struct cond *c)
{
	must(pthread_cond_broadcast(&c->raw));
}

bool
cond_wait(struct cond *c, struct mutex *m, int64_t when)
{
	struct timespec t;
	int status;

	if (when == CLOCK_NEVER) {
		must(pthread_cond_wait(&c->raw, &m->raw));
		return true;
	}
	t.tv_sec = (time_t)(when / CLOCK_S);
	t.tv_nsec = (long)(when % CLOCK_S);
	status = pthread_cond_timedwait(&c->raw, &m->raw, &t);
	if (status == ETIMEDOUT)
		return false;
	must(status);
	return true;
}

static void *
thread_main(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	pthread_setname_np(pthread_self(), start.name);
	start.run(start.arg);
	return NULL;
}

int
thread_start(struct thread *t, const char *name, size_t stack,
	     void (*run)(void *), void *arg, struct error *e)
{
	pthread_attr_t attr;
	sigset_t all, old;
	struct start *start;
	int status;

	t->started = false;
	start = calloc(1, sizeof(*start));
	if (!start)
		return error_memory(e);
	strncpy(start->name, name, sizeof(start->name) - 1);
	start->run = run;
	start->arg = arg;
	must(pthread_attr_init(&attr));
	must(pthread_attr_setstacksize(&attr, stack * STACK_FACTOR));
	sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &old));
	status = pthread_create(&t->id, &attr, thread_main, start);
	must(pthread_sigmask(SIG_SETMASK, &old, NULL));
	pthread_attr_destroy(&attr);
	if (status != 0) {
		free(start);
		return error_sys(e, ERROR_INTERNAL, status,
				 "cannot start thread '%s'", name);
	}
	t->started = true;
	return 0;
}

void
thread_join(struct thread *t)
{
	if (!t->started)
		return;
	must(pthread_join(t->id, NULL));
	t->started = false;
}

int
wake_init(struct wake *w, struct error *e)
{
	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->fd < 0)
		return error_sys(e, ERROR_INTERNAL, errno,
				 "cannot create a wake fd");
	return 0;
}

void
wake_release(struct wake *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

void
wake_up(struct wake *w)
{
	uint64_t one = 1;
	int saved = errno;

	/* It fails only when the counter is full: then it is awake anyway. */
	if (write(w->fd, &one, sizeof(one)) < 0)
		errno = saved;
}

void
wake_drain(struct wake *w)
{
	uint64_t count;

	if (read(w->fd, &count, sizeof(count)) < 0)
		return;
}

unsigned
sync_processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return CPU_COUNT(&set) > 0 ? (unsigned)CPU_COUNT(&set) : 1;
	return 1;
}
