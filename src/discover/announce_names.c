/*
 * Peers that trackers give by name.
 *
 * A tracker may say what it likes: so the names of one torrent are few in a
 * minute, and of all of them one is asked for at a time, which leaves the
 * resolver's other threads to others.  None is asked for twice: the tracker
 * names it again.
 */
#include <stdlib.h>
#include <string.h>

#include "announce_parts.h"
#include "base/clock.h"
#include "net/resolve.h"

#define WINDOW (60 * CLOCK_S)

struct peer_name {
	struct peer_name *next;
	struct announce *owner;
	struct tracker_name name;
};

static void ask_next(struct announcer *a);

static struct peer_name *
take_first(struct announcer *a)
{
	struct peer_name *first = a->names;

	a->names = first->next;
	a->lookup = 0;
	return first;
}

static void
on_resolved(void *ctx, const struct addr *addrs, size_t count,
	    const struct error *e)
{
	struct announcer *a = ctx;
	struct peer_name *first = take_first(a);
	struct announce *an = first->owner;

	free(first);
	ask_next(a);
	if (count > 0)
		an->callbacks.peers(an->callbacks.ctx, addrs, count);
	else
		log_write(an->log, LOG_DETAIL, an->name,
			  "a peer of a tracker: %s", e->text);
}

static void
ask_next(struct announcer *a)
{
	struct error e;

	while (a->names && a->lookup == 0) {
		struct resolve_query what = {
			.host = a->names->name.host,
			.port = a->names->name.port,
			.owner = a->names->owner->owner,
			.done = on_resolved,
			.ctx = a,
		};

		a->lookup = resolver_start(a->resolver, &what, &e);
		if (a->lookup != 0)
			break;
		log_write(a->names->owner->log, LOG_DETAIL,
			  a->names->owner->name,
			  "a peer of a tracker: %s", e.text);
		free(take_first(a));
	}
}

/* One that waits already is not added, nor one behind too many: they may come
 * faster than they are looked up. */
static void
add_name(struct announce *an, const struct tracker_name *name)
{
	struct peer_name **end = &an->announcer->names;
	struct peer_name *more;
	size_t waiting = 0;

	for (; *end; end = &(*end)->next) {
		if ((*end)->owner != an)
			continue;
		if ((*end)->name.port == name->port &&
		    strcmp((*end)->name.host, name->host) == 0)
			return;
		waiting++;
	}
	if (waiting >= TRACKER_NAMES_MAX)
		return;
	more = calloc(1, sizeof(*more));
	if (!more)
		return;
	more->owner = an;
	more->name = *name;
	*end = more;
}

/* May one more be taken? */
static bool
has_room(struct announce *an)
{
	int64_t now = clock_ns();

	if (an->names == 0 || now - an->names_since >= WINDOW) {
		an->names = 0;
		an->names_since = now;
	}
	return an->names++ < TRACKER_NAMES_MAX;
}

void
announce_take_names(struct announce *an, const struct tracker_answer *answer)
{
	const struct announce_callbacks *calls = &an->callbacks;
	struct announce_stats stats = {0};

	if (answer->name_count == 0 || an->stopping)
		return;
	calls->stats(calls->ctx, &stats);
	if (!stats.want_peers)
		return;
	for (size_t i = 0; i < answer->name_count; i++) {
		const struct tracker_name *name = &answer->names[i];

		if (!has_room(an))
			break;
		if (calls->name &&
		    calls->name(calls->ctx, name->host, name->port))
			continue;
		add_name(an, name);
	}
	ask_next(an->announcer);
}

void
announce_drop_names(struct announce *an)
{
	struct announcer *a = an->announcer;
	struct peer_name **at = &a->names;

	if (a->lookup != 0 && a->names->owner == an) {
		resolver_cancel(a->resolver, a->lookup);
		a->lookup = 0;
	}
	while (*at) {
		struct peer_name *one = *at;

		if (one->owner != an) {
			at = &one->next;
			continue;
		}
		*at = one->next;
		free(one);
	}
	ask_next(a);
}
