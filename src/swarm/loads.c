/*
 * Free buffers are on a list, those that are to be written on another one;
 * as they are written in order, two counters tell what is done.
 */
#include "swarm/loads.h"

#include <stdlib.h>

#include "base/clock.h"
#include "store/files.h"

#define LOADS_MAX 10
#define LOADS_SPARE 2		/* more than cores: in the writer's hands */

_Static_assert(LOAD_SIZE % FILES_ALIGN == 0, "aligned_alloc needs it");

struct list {
	struct load *first;
	struct load **end;
};

struct loads {
	void (*write)(void *ctx, struct load *l);
	void *ctx;
	struct mutex lock;
	struct cond posted;	/* or it is to stop */
	struct cond written;	/* and somebody waits for it */
	struct thread thread;
	struct load all[LOADS_MAX];
	size_t count;		/* of them: what the cores can use */
	size_t made;		/* lock: of those, seen before */
	struct load *free;	/* lock: the last one used is the first */
	struct list queue;	/* lock: to be written */
	struct load_seeker *line;	/* lock */
	struct load_seeker **line_end;	/* lock */
	unsigned members;	/* lock */
	uint64_t post_count;	/* lock */
	uint64_t done_count;	/* lock */
	unsigned waiting;	/* lock: for `written` */
	bool writes;		/* lock: the thread is there */
	bool stop;		/* lock */
};

/* ---- the thread that writes ---- */

/* NULL: the end. */
static struct load *
next_load(struct loads *l)
{
	struct load *load;

	mutex_lock(&l->lock);
	while (!l->queue.first && !l->stop)
		cond_wait(&l->posted, &l->lock, CLOCK_NEVER);
	load = l->queue.first;
	if (load)
		l->queue.first = load->next;
	if (!l->queue.first)
		l->queue.end = &l->queue.first;
	mutex_unlock(&l->lock);
	return load;
}

static void
run(void *arg)
{
	struct loads *l = arg;
	struct load *load;

	while ((load = next_load(l))) {
		l->write(l->ctx, load);
		loads_give(l, load);
		mutex_lock(&l->lock);
		l->done_count++;
		if (l->waiting > 0)
			cond_broadcast(&l->written);
		mutex_unlock(&l->lock);
	}
}

bool
loads_post(struct loads *l, struct load *load)
{
	bool writes;

	mutex_lock(&l->lock);
	writes = l->writes;
	if (writes) {
		load->next = NULL;
		*l->queue.end = load;
		l->queue.end = &load->next;
		l->post_count++;
	}
	mutex_unlock(&l->lock);
	/* Now, so that it does not wake up to a lock that is taken. */
	if (writes)
		cond_signal(&l->posted);
	return writes;
}

void
loads_drain(struct loads *l)
{
	uint64_t posted;

	mutex_lock(&l->lock);
	posted = l->post_count;
	l->waiting++;
	while (l->done_count < posted)
		cond_wait(&l->written, &l->lock, CLOCK_NEVER);
	l->waiting--;
	mutex_unlock(&l->lock);
}

/* ---- buffers, and the line of those who want one ---- */

static void
forget_memory_locked(struct loads *l) REQUIRES(l->lock)
{
	for (struct load *load = l->free; load; load = load->next) {
		free(load->data);
		load->data = NULL;
	}
}

static struct load *
free_one_locked(struct loads *l) REQUIRES(l->lock)
{
	struct load *load = l->free;

	if (!load && l->made < l->count) {
		load = &l->all[l->made++];
		load->next = NULL;
		l->free = load;
	}
	if (!load)
		return NULL;
	if (!load->data)
		load->data = aligned_alloc(FILES_ALIGN, LOAD_SIZE);
	if (!load->data)
		return NULL;
	l->free = load->next;
	load->used = 0;
	return load;
}

static void
stand_in_line_locked(struct loads *l, struct load_seeker *s) REQUIRES(l->lock)
{
	s->next = NULL;
	*l->line_end = s;
	l->line_end = &s->next;
	s->in_line = true;
}

struct load *
loads_take(struct loads *l, struct load_seeker *s)
{
	struct load *load;

	if (s->in_line) {
		load = atomic_exchange(&s->given, NULL);
		s->in_line = !load;
		return load;
	}
	mutex_lock(&l->lock);
	load = free_one_locked(l);
	if (!load && !l->free && l->made == l->count)
		stand_in_line_locked(l, s);
	mutex_unlock(&l->lock);
	return load;
}

struct load *
loads_try(struct loads *l)
{
	struct load *load;

	mutex_lock(&l->lock);
	load = free_one_locked(l);
	mutex_unlock(&l->lock);
	return load;
}

static void
give_locked(struct loads *l, struct load *load) REQUIRES(l->lock)
{
	struct load_seeker *s = l->line;

	if (!s) {
		load->next = l->free;
		l->free = load;
		if (l->members == 0)
			forget_memory_locked(l);
		return;
	}
	l->line = s->next;
	if (!l->line)
		l->line_end = &l->line;
	load->used = 0;
	/* Under the lock: after it, the seeker may be gone. */
	atomic_store(&s->given, load);
	wake_up(s->wake);
}

void
loads_give(struct loads *l, struct load *load)
{
	mutex_lock(&l->lock);
	give_locked(l, load);
	mutex_unlock(&l->lock);
}

bool
loads_waits(const struct load_seeker *s)
{
	return s->in_line && !atomic_load(&s->given);
}

static void
leave_line_locked(struct loads *l, struct load_seeker *s) REQUIRES(l->lock)
{
	struct load_seeker **at = &l->line;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (!*at)
		l->line_end = at;
}

void
loads_leave(struct loads *l, struct load_seeker *s)
{
	struct load *given;

	if (!s->in_line)
		return;
	mutex_lock(&l->lock);
	given = atomic_exchange(&s->given, NULL);
	if (given)
		give_locked(l, given);
	else
		leave_line_locked(l, s);
	s->in_line = false;
	mutex_unlock(&l->lock);
}

/* ---- life ---- */

void
loads_enter(struct loads *l)
{
	mutex_lock(&l->lock);
	l->members++;
	/* Without it, everybody writes for himself. */
	if (!l->writes && sync_processors() > 1)
		l->writes = thread_start(&l->thread, "write",
					 THREAD_STACK_SMALL, run, l,
					 NULL) == 0;
	mutex_unlock(&l->lock);
}

void
loads_exit(struct loads *l)
{
	mutex_lock(&l->lock);
	if (--l->members == 0)
		forget_memory_locked(l);
	mutex_unlock(&l->lock);
}

struct loads *
loads_new(void (*write)(void *ctx, struct load *l), void *ctx, struct error *e)
{
	struct loads *l = calloc(1, sizeof(*l));
	size_t wanted = sync_processors() + LOADS_SPARE;

	if (!l) {
		error_memory(e);
		return NULL;
	}
	l->write = write;
	l->ctx = ctx;
	l->count = wanted < LOADS_MAX ? wanted : LOADS_MAX;
	l->queue.end = &l->queue.first;
	l->line_end = &l->line;
	mutex_init(&l->lock);
	cond_init(&l->posted);
	cond_init(&l->written);
	return l;
}

void
loads_free(struct loads *l)
{
	if (!l)
		return;
	mutex_lock(&l->lock);
	l->stop = true;
	cond_signal(&l->posted);
	mutex_unlock(&l->lock);
	thread_join(&l->thread);
	for (size_t i = 0; i < LOADS_MAX; i++)
		free(l->all[i].data);
	cond_release(&l->written);
	cond_release(&l->posted);
	mutex_release(&l->lock);
	free(l);
}
