#include "net/resolve.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sync.h"
#include "net/iface.h"

#define HOST_MAX 256
#define THREADS_MAX 8
#define OWNER_THREADS 4		/* of them for one owner */
/* So long a name server may still know better than when it was asked: the line
 * may just have come back.  But it is asked twice for a name, no more. */
#define FRESH (2 * CLOCK_S)
#define TWICE 2

struct lookup {
	struct lookup *next;
	uint64_t id;
	const void *owner;	/* the lock of `shared`, while it waits */
	char host[HOST_MAX];
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
	struct lookup *busy[THREADS_MAX];	/* lock; by who does them */
	unsigned threads;	/* lock; that will look at `waiting` again */
	unsigned references;	/* lock */
	bool closed;		/* lock; the resolver is gone */
};

struct caller {
	struct caller *next;
	uint64_t id;
	uint16_t port;
	resolve_done *done;
	void *ctx;
};

/* What is being looked up, and who wants to know. */
struct question {
	struct question *next;
	uint64_t id;		/* the lookup's */
	const void *owner;	/* or &everybody */
	char host[HOST_MAX];
	int family;
	bool numeric;
	bool answered;		/* its callers are being told */
	int64_t asked_at;
	struct caller *callers;	/* the first one first */
	struct caller **end;
};

struct resolver {
	struct shared *shared;
	const struct iface *route;	/* or NULL */
	struct question *questions;
	size_t names;		/* of those that are no numbers */
	uint64_t last_id;
};

/* The owner of what more than one has asked for: nobody waits for it behind
 * all that the first of them wants. */
static const char everybody;

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
		if (addr_from_sockaddr(&a, at->ai_addr))
			l->addrs[l->count++] = a;
	}
	if (list)
		freeaddrinfo(list);
	if (l->count == 0)
		error_set(&l->error, ERROR_NETWORK,
			  "cannot resolve '%s': it has no address", l->host);
}

static unsigned
busy_for_locked(const struct shared *s, const void *owner) REQUIRES(s->lock)
{
	unsigned n = 0;

	for (size_t i = 0; i < THREADS_MAX; i++)
		n += s->busy[i] && s->busy[i]->owner == owner;
	return n;
}

/* Of the owner that has the fewest threads, the first one. */
static struct lookup *
take_next_locked(struct shared *s) REQUIRES(s->lock)
{
	struct lookup **best = NULL, *l;
	unsigned fewest = OWNER_THREADS;

	for (struct lookup **at = &s->waiting.first; *at && fewest > 0;
	     at = &(*at)->next) {
		unsigned n = busy_for_locked(s, (*at)->owner);

		if (n < fewest) {
			fewest = n;
			best = at;
		}
	}
	if (!best)
		return NULL;
	l = *best;
	*best = l->next;
	if (!*best)
		s->waiting.end = best;
	return l;
}

/* What the thread has done goes out, and what it does next comes back; NULL:
 * nothing. */
static struct lookup *
turn(struct shared *s, struct lookup *did)
{
	struct lookup *l;
	size_t at = 0;

	mutex_lock(&s->lock);
	while (s->busy[at] != did)
		at++;
	if (did)
		queue_push(&s->done, did);
	s->busy[at] = NULL;
	l = s->closed ? NULL : take_next_locked(s);
	s->busy[at] = l;
	if (!l)
		s->threads--;
	mutex_unlock(&s->lock);
	if (did)
		wake_up(&s->wake);
	return l;
}

static void
run(void *arg)
{
	struct shared *s = arg;
	struct lookup *l = NULL;

	while ((l = turn(s, l)))
		look_up(l);
	shared_drop(s);
}

void
resolver_set_route(struct resolver *r, const struct iface *route)
{
	r->route = route;
}

/* A thread for what waits, unless there are enough. */
static int
more_threads(struct shared *s, const void *owner, struct error *e)
{
	struct thread t;
	bool enough;

	mutex_lock(&s->lock);
	enough = s->threads == THREADS_MAX ||
		 busy_for_locked(s, owner) == OWNER_THREADS;
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

/* ---- questions ---- */

static void
free_question(struct resolver *r, struct question *q)
{
	struct question **at = &r->questions;
	struct caller *c;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	r->names -= !q->numeric;
	while ((c = q->callers)) {
		q->callers = c->next;
		free(c);
	}
	free(q);
}

static uint64_t
add_caller(struct resolver *r, struct question *q, struct caller *c)
{
	c->id = ++r->last_id;
	c->next = NULL;
	*q->end = c;
	q->end = &c->next;
	return c->id;
}

/* One for the same name whose answer will do, or NULL. */
static struct question *
find_question(const struct resolver *r, const char *host, int family)
{
	struct question *found = NULL;
	unsigned same = 0;

	for (struct question *q = r->questions; q; q = q->next) {
		if (q->numeric || q->answered || q->family != family ||
		    strcmp(q->host, host) != 0)
			continue;
		same++;
		if (!found || q->asked_at > found->asked_at)
			found = q;
	}
	if (same >= TWICE || (found && clock_ns() - found->asked_at < FRESH))
		return found;
	return NULL;
}

/* Somebody asks for what is being looked up already. */
static void
join(struct resolver *r, struct question *q, const void *owner)
{
	struct shared *s = r->shared;
	bool waits = false;

	if (q->owner == owner || q->owner == &everybody)
		return;
	q->owner = &everybody;
	mutex_lock(&s->lock);
	for (struct lookup *l = s->waiting.first; l; l = l->next) {
		if (l->id != q->id)
			continue;
		l->owner = &everybody;
		waits = true;
	}
	mutex_unlock(&s->lock);
	/* Without one, those who have it wait will see to it. */
	if (waits)
		(void)more_threads(s, &everybody, NULL);
}

/* Each may have as many as it leaves to others. */
static bool
has_room(const struct resolver *r, const void *owner)
{
	size_t own = 0;

	for (const struct question *q = r->questions; q; q = q->next)
		own += !q->numeric && q->owner == owner;
	return r->names + own < RESOLVE_NAMES_MAX;
}

static struct question *
new_question(struct resolver *r, const struct resolve_query *what, int family,
	     bool numeric)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->id = ++r->last_id;
	q->owner = what->owner;
	q->family = family;
	q->numeric = numeric;
	q->asked_at = clock_ns();
	q->end = &q->callers;
	memcpy(q->host, what->host, strlen(what->host) + 1);
	q->next = r->questions;
	r->questions = q;
	r->names += !numeric;
	return q;
}

static int
check_start(const struct resolver *r, const char *host, bool numeric,
	    struct error *e)
{
	struct iface_state state;

	if (strlen(host) >= HOST_MAX || !addr_host_usable(host))
		return error_set(e, ERROR_NETWORK, "not a host name");
	if (!numeric && r->route && !iface_look(r->route, &state))
		return error_set(e, ERROR_NETWORK, "cannot resolve '%s': the "
				 "interface is away", host);
	return 0;
}

/* A number is its own answer. */
static int
ask(struct resolver *r, const struct question *q, const struct addr *number,
    struct error *e)
{
	struct shared *s = r->shared;
	struct lookup *l = calloc(1, sizeof(*l));

	if (!l)
		return error_memory(e);
	l->id = q->id;
	l->owner = q->owner;
	l->family = q->family;
	l->addrs[0] = *number;
	l->count = q->numeric ? 1 : 0;
	memcpy(l->host, q->host, strlen(q->host) + 1);
	mutex_lock(&s->lock);
	queue_push(q->numeric ? &s->done : &s->waiting, l);
	mutex_unlock(&s->lock);
	if (q->numeric) {
		wake_up(&s->wake);
	} else if (more_threads(s, q->owner, e) != 0) {
		withdraw(s, q->id);
		return -1;
	}
	return 0;
}

/* NULL: it cannot be asked. */
static struct question *
put_question(struct resolver *r, const struct resolve_query *what,
	     struct error *e)
{
	struct addr number;
	bool numeric = addr_parse(&number, what->host, what->port);
	int family = numeric ? AF_UNSPEC : iface_family(r->route);
	struct question *q;

	if (check_start(r, what->host, numeric, e) < 0)
		return NULL;
	q = numeric ? NULL : find_question(r, what->host, family);
	if (q) {
		join(r, q, what->owner);
		return q;
	}
	if (!numeric && !has_room(r, what->owner)) {
		error_set(e, ERROR_NETWORK, "too many lookups at a time");
		return NULL;
	}
	q = new_question(r, what, family, numeric);
	if (!q) {
		error_memory(e);
	} else if (ask(r, q, &number, e) < 0) {
		free_question(r, q);
		q = NULL;
	}
	return q;
}

uint64_t
resolver_start(struct resolver *r, const struct resolve_query *what,
	       struct error *e)
{
	struct caller *c = calloc(1, sizeof(*c));
	struct question *q;

	if (!c) {
		error_memory(e);
		return 0;
	}
	*c = (struct caller){.port = what->port, .done = what->done,
			     .ctx = what->ctx};
	q = put_question(r, what, e);
	if (q)
		return add_caller(r, q, c);
	free(c);
	return 0;
}

/* False when there is none. */
static bool
drop_caller(struct question *q, uint64_t id)
{
	for (struct caller **at = &q->callers; *at; at = &(*at)->next) {
		struct caller *c = *at;

		if (c->id != id)
			continue;
		*at = c->next;
		if (!*at)
			q->end = at;
		free(c);
		return true;
	}
	return false;
}

void
resolver_cancel(struct resolver *r, uint64_t id)
{
	struct question *q = r->questions;

	while (q && !drop_caller(q, id))
		q = q->next;
	if (!q || q->callers || q->answered)
		return;
	/* One that a thread has begun goes on, and nobody hears of it. */
	withdraw(r->shared, q->id);
	free_question(r, q);
}

/* Callers may start and cancel others. */
static void
tell_callers(struct resolver *r, struct question *q, struct lookup *l)
{
	struct caller *c;

	q->answered = true;
	while ((c = q->callers)) {
		q->callers = c->next;
		if (!q->callers)
			q->end = &q->callers;
		for (size_t i = 0; i < l->count; i++)
			l->addrs[i].port = c->port;
		c->done(c->ctx, l->addrs, l->count, &l->error);
		free(c);
	}
	free_question(r, q);
}

void
resolver_run(struct resolver *r)
{
	struct shared *s = r->shared;
	struct question *q;
	struct queue mine;
	struct lookup *l;

	wake_drain(&s->wake);
	queue_init(&mine);
	mutex_lock(&s->lock);
	while ((l = queue_pop(&s->done)))
		queue_push(&mine, l);
	mutex_unlock(&s->lock);
	while ((l = queue_pop(&mine))) {
		for (q = r->questions; q && q->id != l->id; q = q->next)
			continue;
		if (q)
			tell_callers(r, q, l);
		free(l);
	}
}

void
resolver_free(struct resolver *r)
{
	if (!r)
		return;
	mutex_lock(&r->shared->lock);
	r->shared->closed = true;
	mutex_unlock(&r->shared->lock);
	while (r->questions)
		free_question(r, r->questions);
	shared_drop(r->shared);
	free(r);
}
