/*
 * pex: the messages in which peers tell each other of peers.
 *
 * Pure.  What a peer says is bounded here: PEX_MAX addresses a message; who
 * is asked how often is the peer loop's business.
 *
 * Source: BEP 11.
 */
#ifndef BTGET_SWARM_PEX_H
#define BTGET_SWARM_PEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/error.h"

#define PEX_MAX 50	/* added, and dropped, in one message of ours */
#define PEX_HEARD (2 * PEX_MAX)	/* in one of others, of each family half */

enum {
	PEX_ENCRYPT = 1,	/* prefers encryption */
	PEX_SEED = 2,
	PEX_UTP = 4,
	PEX_HOLEPUNCH = 8,
	PEX_REACHABLE = 16,
};

struct pex_peer {
	struct addr addr;	/* with its listening port */
	uint8_t flags;
};

struct pex_message {
	struct pex_peer added[PEX_HEARD];
	size_t added_count;
	struct pex_peer dropped[PEX_HEARD];	/* flags are 0 */
	size_t dropped_count;
};

void pex_put(struct buffer *out, const struct pex_message *m);

/* Unusable addresses, and what is beyond PEX_MAX of a family, are left out.
 * ERROR_PROTOCOL if it is no dictionary. */
int pex_parse(struct pex_message *m, const void *data, size_t size,
	      struct error *e);

/* What has changed from what was told to what is now, into m; told becomes
 * what the other side then knows.  Returns the new number of told ones; both
 * arrays have room for `max`. */
size_t pex_diff(struct pex_message *m, struct pex_peer *told, size_t count,
		const struct pex_peer *now, size_t now_count, size_t max);

#endif
