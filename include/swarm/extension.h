/*
 * extension: the handshake of the extension protocol, both ways.
 *
 * Pure.  Text from the peer is cleaned before it is kept.
 *
 * Source: BEP 10; ut_metadata: BEP 9; ut_pex: BEP 11; upload_only: BEP 21;
 *         lt_donthave: BEP 54; ut_holepunch: BEP 55.
 */
#ifndef BTGET_SWARM_EXTENSION_H
#define BTGET_SWARM_EXTENSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/error.h"

/* Our numbers for the messages that we take. */
enum extension_id {
	EXTENSION_HANDSHAKE = 0,
	EXTENSION_DONTHAVE = 1,
	EXTENSION_METADATA = 2,
	EXTENSION_PEX = 3,
	EXTENSION_HOLEPUNCH = 4,
	EXTENSION_COUNT
};

#define EXTENSION_CLIENT_MAX 64
#define EXTENSION_HANDSHAKE_MAX 512	/* of ours */

/* What is said in one handshake; a later one updates an earlier one. */
struct extension_handshake {
	char client[EXTENSION_CLIENT_MAX];
	uint16_t port;		/* where it listens; 0: not said */
	uint32_t reqq;		/* requests it queues; 0: not said */
	bool upload_only;
	uint32_t metadata_size;	/* of the info dictionary; 0: not said */
	struct addr yourip;	/* how the other side is seen; family 0: not */
	uint8_t ids[EXTENSION_COUNT];	/* its numbers; 0: not taken */
};

/* Writes ours (the payload behind the message's id byte) to out. */
void extension_put_handshake(struct buffer *out,
			     const struct extension_handshake *h);

/* Reads the peer's into h, which keeps what is not mentioned.
 * ERROR_PROTOCOL if it is no dictionary. */
int extension_parse_handshake(struct extension_handshake *h, const void *data,
			      size_t size, struct error *e);

#endif
