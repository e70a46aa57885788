/*
 * What brings nothing: kinds of messages of which honest peers say little,
 * some a connection, a choke or a piece.  What the peer has told before is
 * among them.
 */
#include "base/clock.h"
#include "swarm/peer_parts.h"

#define CHATTER_BPS 4096	/* of what brings nothing; at once: */
#define CHATTER_BURST (256 << 10)
#define CHATTER_A_PIECE 32	/* and for each: HAVE, SUGGEST, DONTHAVE */

bool
peer_is_chatter(const struct peer *p, const struct wire_message *m)
{
	switch (m->id) {
	case WIRE_PIECE:
	case WIRE_REQUEST:	/* counted when it is refused, */
	case WIRE_CANCEL:	/* when there is nothing to cancel, */
	case WIRE_REJECT:	/* or nothing that it answers */
		return !p->pp;
	case WIRE_HASH_REQUEST:
		return false;
	case WIRE_HASHES:
	case WIRE_HASH_REJECT:
		return p->hash_patience.owed == 0;
	case WIRE_HAVE:
		return p->pp &&
		       picker_peer_has(p->swarm->picker, p->pp, m->piece);
	case WIRE_BITFIELD:
		return p->got_pieces;
	case WIRE_EXTENDED:
		return p->pp || m->extended != EXTENSION_METADATA;
	default:
		return true;
	}
}

/* It takes its share of a limited line all the same: that much of it is let
 * pass as any rate is, by the moment up to which it is paid for. */
int
peer_count_chatter(struct peer *p, size_t size)
{
	size_t pieces = p->pp ? p->swarm->meta->piece_count : 0;
	int64_t burst = (int64_t)(CHATTER_BURST + pieces * CHATTER_A_PIECE);

	if (clock_allow(&p->chatter_until, p->now,
			(int64_t)size * (CLOCK_S / CHATTER_BPS),
			burst * (CLOCK_S / CHATTER_BPS)))
		return 0;
	return peer_end(p, PEER_END_BROKE, "says much and nothing new");
}
