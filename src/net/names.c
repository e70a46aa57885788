#include "net/names.h"

#include <stdlib.h>
#include <string.h>

#include "net/resolve.h"

struct name {
	struct name *next;
	struct names *names;
	uint64_t id;		/* of the lookup under way, or 0 */
	unsigned failures;	/* in a row */
	int64_t due;		/* when asked, or to be asked */
	uint16_t port;
	char host[];
};

struct names {
	struct resolver *resolver;
	const void *owner;
	names_done *done;
	void *ctx;
	struct name *first;
	size_t count;
};

struct names *
names_new(struct resolver *r, const void *owner, names_done *done, void *ctx,
	  struct error *e)
{
	struct names *n = calloc(1, sizeof(*n));

	if (!n) {
		error_memory(e);
		return NULL;
	}
	n->resolver = r;
	n->owner = owner;
	n->done = done;
	n->ctx = ctx;
	return n;
}

static void
forget(struct name *name)
{
	struct names *n = name->names;
	struct name **at = &n->first;

	while (*at != name)
		at = &(*at)->next;
	*at = name->next;
	n->count--;
	free(name);
}

void
names_free(struct names *n)
{
	if (!n)
		return;
	while (n->first) {
		resolver_cancel(n->resolver, n->first->id);
		forget(n->first);
	}
	free(n);
}

int
names_add(struct names *n, const char *host, uint16_t port, struct error *e)
{
	size_t size = strlen(host) + 1;
	struct name **end = &n->first;
	struct name *name;

	for (; *end; end = &(*end)->next)
		if ((*end)->port == port && strcmp((*end)->host, host) == 0)
			return 0;
	if (n->count == NAMES_MAX)
		return error_set(e, ERROR_NETWORK,
				 "cannot resolve '%s': too many names", host);
	name = calloc(1, sizeof(*name) + size);
	if (!name)
		return error_memory(e);
	name->names = n;
	name->port = port;
	memcpy(name->host, host, size);
	*end = name;
	n->count++;
	return 0;
}

static void
fail(struct name *name, const struct error *why)
{
	struct names *n = name->names;
	int64_t wait = NAMES_AGAIN;

	for (unsigned i = 0; i < name->failures && wait < NAMES_LONGEST; i++)
		wait *= 2;
	name->due += clock_min(wait, NAMES_LONGEST);
	name->failures++;
	n->done(n->ctx, NULL, 0, why, name->failures);
}

static void
on_resolved(void *ctx, const struct addr *addrs, size_t count,
	    const struct error *e)
{
	struct name *name = ctx;
	struct names *n = name->names;

	name->id = 0;
	if (count == 0) {
		fail(name, e);
		return;
	}
	forget(name);
	n->done(n->ctx, addrs, count, e, 0);
}

void
names_hurry(struct names *n, int64_t now)
{
	for (struct name *at = n->first; at; at = at->next) {
		if (at->failures > 1)
			at->failures = 1;
		if (at->id == 0)
			at->due = clock_min(at->due, now);
	}
}

static void
ask(struct name *name, int64_t now)
{
	struct names *n = name->names;
	struct resolve_query what = {.host = name->host,
				     .port = name->port,
				     .owner = n->owner,
				     .done = on_resolved,
				     .ctx = name};
	struct error e;

	name->due = now;
	name->id = resolver_start(n->resolver, &what, &e);
	if (name->id == 0)
		fail(name, &e);
}

int64_t
names_mind(struct names *n, int64_t now)
{
	int64_t due = CLOCK_NEVER;

	for (struct name *at = n->first; at; at = at->next) {
		if (at->id == 0 && at->due <= now)
			ask(at, now);
		if (at->id == 0)
			due = clock_min(due, at->due);
	}
	return due;
}
