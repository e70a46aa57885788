/*
 * names: hosts whose addresses are wanted, and asked for until they are
 * found: a name server that is away when the run begins is back later.
 *
 * A name that was found is forgotten, and may be added again.  After a
 * failure it rests, longer each time: NAMES_AGAIN, doubled up to
 * NAMES_LONGEST.
 *
 * Ownership: the resolver is borrowed, and freed later; names are copied.
 * Threads:   the resolver's.
 * Units:     now is clock_ns.
 */
#ifndef BTGET_NET_NAMES_H
#define BTGET_NET_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/error.h"

#define NAMES_MAX 1024		/* that are wanted at a time */
#define NAMES_AGAIN (30 * CLOCK_S)
#define NAMES_LONGEST (15 * 60 * CLOCK_S)

struct names;
struct resolver;

/* count is 0, and e says why, after that many failures in a row.  Calls no
 * function of its names. */
typedef void names_done(void *ctx, const struct addr *addrs, size_t count,
			const struct error *e, unsigned failures);

/* owner: whose they are, see net/resolve. */
struct names *names_new(struct resolver *r, const void *owner,
			names_done *done, void *ctx, struct error *e);
/* No callback comes after this, whatever is being looked up. */
void names_free(struct names *n);

/* Wanted from the next names_mind on; one that is already stays as it is. */
int names_add(struct names *n, const char *host, uint16_t port,
	      struct error *e);

/* The network is there again: those that failed are due. */
void names_hurry(struct names *n, int64_t now);

/* Asks for those that are due; returns when others are. */
int64_t names_mind(struct names *n, int64_t now);

#endif
