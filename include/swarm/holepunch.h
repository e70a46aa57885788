/*
 * holepunch: the message by which a peer that two others are connected to
 * brings them together, although neither of them can be reached from outside.
 *
 * One asks the relay for a rendezvous with the other; the relay tells both to
 * connect, by uTP and at once: the packet that each of them sends opens its
 * own router to those of the other.
 *
 * Pure.  What a message asks for, and whether it is granted, is up to the
 * peer loop and the torrent.
 *
 * Source: BEP 55.
 */
#ifndef BTGET_SWARM_HOLEPUNCH_H
#define BTGET_SWARM_HOLEPUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

enum holepunch_kind {
	HOLEPUNCH_RENDEZVOUS,	/* bring us together with this one */
	HOLEPUNCH_CONNECT,	/* connect to this one now, by uTP */
	HOLEPUNCH_ERROR,	/* there is no rendezvous with this one */
};

enum holepunch_error {
	HOLEPUNCH_FINE,
	HOLEPUNCH_NO_SUCH_PEER,	/* the address is of no use */
	HOLEPUNCH_NOT_CONNECTED,	/* with the relay */
	HOLEPUNCH_NO_SUPPORT,	/* it does not know this extension */
	HOLEPUNCH_NO_SELF,	/* it is the relay's own address */
};

struct holepunch {
	enum holepunch_kind kind;
	struct addr addr;	/* of the other one; perhaps not usable */
	uint32_t error;		/* as it came, so it may be any number */
};

#define HOLEPUNCH_MAX 24	/* bytes of a message */

void holepunch_put(struct buffer *out, const struct holepunch *m);

/* False if it is none: cut short, or of a kind that is not known.  Other
 * clients leave the error out where there is none, so it may be missing. */
bool holepunch_parse(struct holepunch *m, const void *data, size_t size);

const char *holepunch_error_name(uint32_t error);

#endif
