#include "net/resolve.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/sync.h"
#include "net/iface.h"

#define HOST_MAX 256
#define THREADS_MAX 4

struct lookup {
	struct lookup *next;
	uint64_t id;
	char host[HOST_MAX];
	uint16_t port;
	int family;		/* AF_UNSPEC: both */
	struct addr addrs[RESOLVE_ADDRS_MAX];
	size_t count;
	struct error error;
};

struct queue {
	struct lookup *first;
	struct lookup **end;
};

/* What the resolver and its threads share; the last one frees it. */
struct shared {
	struct mutex lock;
	struct wake wake;	/* up when something is in `done` */
	struct queue waiting;	/* lock */
	struct queue done;	/* lock */
	unsigned threads;	/* lock; that will look at `waiting` again */
	unsigned references;	/* lock */
	bool closed;		/* lock; the resolver is gone */
};

struct pending {
	struct pending *next;
	uint64_t id;
	resolve_done *done;
	void *ctx;
};

struct resolver {
	struct shared *shared;
	const struct iface *route;	/* or NULL */
	struct pending *pending;
	size_t pending_count;
	uint64_t last_id;
};

static void
queue_init(struct queue *q)
{
	q->first = NULL;
	q->end = &q->first;
}

static void
queue_push(struct queue *q, struct lookup *l)
{
	l->next = NULL;
	*q->end = l;
	q->end = &l->next;
}

static struct lookup *
queue_pop(struct queue *q)
{
	struct lookup *l = q->first;

	if (!l)
		return NULL;
	q->first = l->next;
	if (!q->first)
		q->end = &q->first;
	return l;
}

static void
queue_empty(struct queue *q)
{
	struct lookup *l;

	while ((l = queue_pop(q)))
		free(l);
}

static void
shared_drop(struct shared *s)
{
	bool last;

	mutex_lock(&s->lock);
	last = --s->references == 0;
	mutex_unlock(&s->lock);
	if (!last)
		return;
	queue_empty(&s->waiting);
	queue_empty(&s->done);
	wake_release(&s->wake);
	mutex_release(&s->lock);
	free(s);
}

struct resolver *
resolver_new(struct error *e)
{
	struct resolver *r = calloc(1, sizeof(*r));
	struct shared *s = calloc(1, sizeof(*s));

	if (!r || !s) {
		error_memory(e);
		goto out;
	}
	if (wake_init(&s->wake, e) != 0)
		goto out;
	mutex_init(&s->lock);
	queue_init(&s->waiting);
	queue_init(&s->done);
	s->references = 1;
	r->shared = s;
	return r;
out:
	free(s);
	free(r);
	return NULL;
}

int
resolver_fd(const struct resolver *r)
{
	return r->shared->wake.fd;
}

static void
look_up(struct lookup *l)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM,
				 .ai_family = l->family};
	struct addrinfo *list = NULL;
	int status = getaddrinfo(l->host, NULL, &hints, &list);

	if (status != 0) {
		error_set(&l->error, ERROR_NETWORK, "cannot resolve '%s': %s",
			  l->host, gai_strerror(status));
		return;
	}
	for (struct addrinfo *at = list; at; at = at->ai_next) {
		struct addr a;

		if (l->count == RESOLVE_ADDRS_MAX)
			break;
		if (!addr_from_sockaddr(&a, at->ai_addr))
			continue;
		a.port = l->port;
		l->addrs[l->count++] = a;
	}
	if (list)
		freeaddrinfo(list);
	if (l->count == 0)
		error_set(&l->error, ERROR_NETWORK,
			  "cannot resolve '%s': it has no address", l->host);
}

static void
run(void *arg)
{
	struct shared *s = arg;
	struct lookup *l;

	for (;;) {
		mutex_lock(&s->lock);
		l = s->closed ? NULL : queue_pop(&s->waiting);
		if (!l)
			s->threads--;
		mutex_unlock(&s->lock);
		if (!l)
			break;
		look_up(l);
		mutex_lock(&s->lock);
		queue_push(&s->done, l);
		mutex_unlock(&s->lock);
		wake_up(&s->wake);
	}
	shared_drop(s);
}

void
resolver_set_route(struct resolver *r, const struct iface *route)
{
	r->route = route;
}

static bool
host_usable(const char *host)
{
	size_t n = strlen(host);

	if (n == 0 || n >= HOST_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (host[i] <= ' ' || host[i] > '~')
			return false;
	}
	return true;
}

/* A thread for what waits, unless there are enough. */
static int
more_threads(struct shared *s, struct error *e)
{
	struct thread t;
	bool enough;

	mutex_lock(&s->lock);
	enough = s->threads == THREADS_MAX;
	if (!enough) {
		s->threads++;
		s->references++;
	}
	mutex_unlock(&s->lock);
	if (enough)
		return 0;
	if (thread_start(&t, "resolve", THREAD_STACK_LARGE, run, s, e) == 0) {
		/* Never joined: see the top of the header. */
		pthread_detach(t.id);
		return 0;
	}
	mutex_lock(&s->lock);
	s->threads--;
	s->references--;
	enough = s->threads > 0;
	mutex_unlock(&s->lock);
	return enough ? 0 : -1;
}

/* Takes back a lookup that no thread will do. */
static void
withdraw(struct shared *s, uint64_t id)
{
	struct queue rest;
	struct lookup *l;

	queue_init(&rest);
	mutex_lock(&s->lock);
	while ((l = queue_pop(&s->waiting))) {
		if (l->id == id)
			free(l);
		else
			queue_push(&rest, l);
	}
	while ((l = queue_pop(&rest)))
		queue_push(&s->waiting, l);
	mutex_unlock(&s->lock);
}

static uint64_t
remember(struct resolver *r, resolve_done *done, void *ctx)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p)
		return 0;
	p->id = ++r->last_id;
	p->done = done;
	p->ctx = ctx;
	p->next = r->pending;
	r->pending = p;
	r->pending_count++;
	return p->id;
}

/* Removes it from the pending ones; false when it is not among them. */
static bool
forget(struct resolver *r, uint64_t id, struct pending *out)
{
	for (struct pending **at = &r->pending; *at; at = &(*at)->next) {
		struct pending *p = *at;

		if (p->id != id)
			continue;
		*at = p->next;
		*out = *p;
		free(p);
		r->pending_count--;
		return true;
	}
	return false;
}

static int
check_start(const struct resolver *r, const char *host, bool numeric,
	    struct error *e)
{
	struct iface_state state;

	if (!host_usable(host))
		return error_set(e, ERROR_NETWORK, "not a host name");
	if (!numeric && r->route && !iface_look(r->route, &state))
		return error_set(e, ERROR_NETWORK, "cannot resolve '%s': the "
				 "interface is away", host);
	if (r->pending_count >= RESOLVE_PENDING_MAX)
		return error_set(e, ERROR_NETWORK,
				 "too many lookups at a time");
	return 0;
}

uint64_t
resolver_start(struct resolver *r, const char *host, uint16_t port,
	       resolve_done *done, void *ctx, struct error *e)
{
	struct shared *s = r->shared;
	struct lookup *l = NULL;
	uint64_t id;
	struct addr number;
	bool numeric = addr_parse(&number, host, port);

	if (check_start(r, host, numeric, e) < 0)
		return 0;
	l = calloc(1, sizeof(*l));
	id = l ? remember(r, done, ctx) : 0;
	if (id == 0) {
		free(l);
		error_memory(e);
		return 0;
	}
	l->id = id;
	l->port = port;
	l->family = numeric ? AF_UNSPEC : iface_family(r->route);
	l->addrs[0] = number;
	memcpy(l->host, host, strlen(host) + 1);
	l->count = numeric ? 1 : 0;
	mutex_lock(&s->lock);
	queue_push(numeric ? &s->done : &s->waiting, l);
	mutex_unlock(&s->lock);
	if (numeric) {
		wake_up(&s->wake);
	} else if (more_threads(s, e) != 0) {
		resolver_cancel(r, id);
		return 0;
	}
	return id;
}

void
resolver_cancel(struct resolver *r, uint64_t id)
{
	struct pending unused;

	/* One that a thread has begun goes on, and nobody hears of it. */
	if (forget(r, id, &unused))
		withdraw(r->shared, id);
}

void
resolver_run(struct resolver *r)
{
	struct shared *s = r->shared;
	struct pending p;
	struct queue mine;
	struct lookup *l;

	wake_drain(&s->wake);
	queue_init(&mine);
	mutex_lock(&s->lock);
	while ((l = queue_pop(&s->done)))
		queue_push(&mine, l);
	mutex_unlock(&s->lock);
	while ((l = queue_pop(&mine))) {
		if (forget(r, l->id, &p))
			p.done(p.ctx, l->addrs, l->count, &l->error);
		free(l);
	}
}

void
resolver_free(struct resolver *r)
{
	struct pending unused;

	if (!r)
		return;
	mutex_lock(&r->shared->lock);
	r->shared->closed = true;
	mutex_unlock(&r->shared->lock);
	while (r->pending)
		forget(r, r->pending->id, &unused);
	shared_drop(r->shared);
	free(r);
}
