/*
 * resolve: host names to addresses, without blocking who asks.
 *
 * getaddrinfo blocks for as long as it likes, so it runs in threads made on
 * demand (eight at most, each ends when nothing waits).  Nobody waits for
 * them: they share counted state with the resolver, and whoever lets go of
 * it last frees it, so that a dead name server never delays the exit.
 *
 * Who asks for a name that is being looked up gets the same answer: hundreds
 * of torrents name the same trackers, and a name that nobody answers for holds
 * up one thread, or two, and not all.
 *
 * Each owner, which is a torrent or what else it is that has names, may take
 * four of the threads, and the next one that is free goes to who has the
 * fewest: one whose name servers are silent holds up itself.  What several
 * owners want counts as one more.
 *
 * Answers come through the callback, from resolver_run, which the owner
 * calls when resolver_fd is readable.  Numeric hosts need no thread; their
 * callback too comes from resolver_run.
 *
 * Threads: a resolver belongs to one thread.
 */
#ifndef BTGET_NET_RESOLVE_H
#define BTGET_NET_RESOLVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"

#define RESOLVE_ADDRS_MAX 8	/* of one host */
/* That may be looked up at a time.  An owner may have as many as it leaves
 * free: half of them, where it is alone. */
#define RESOLVE_NAMES_MAX 512

struct resolver;
struct iface;

/* count is 0, and e says why, when it failed. */
typedef void resolve_done(void *ctx, const struct addr *addrs, size_t count,
			  const struct error *e);

struct resolve_query {
	const char *host;
	uint16_t port;
	const void *owner;	/* any pointer that tells it from others */
	resolve_done *done;
	void *ctx;
};

struct resolver *resolver_new(struct error *e);
void resolver_free(struct resolver *r);	/* no callback comes after this */

/* How what is found will be used: no name is looked up while the route is
 * away, and no addresses of a family that it lacks.  The question itself is
 * the system's, and goes the system's way. */
void resolver_set_route(struct resolver *r, const struct iface *route);

int resolver_fd(const struct resolver *r);
void resolver_run(struct resolver *r);

/* Looks a host up; the addresses get this port.  Returns an id for
 * resolver_cancel, or 0 when it cannot be asked. */
uint64_t resolver_start(struct resolver *r, const struct resolve_query *what,
			struct error *e);
void resolver_cancel(struct resolver *r, uint64_t id);

#endif
