/*
 * Which pieces the peer has, by its own word.
 */
#include "swarm/havelog.h"
#include "swarm/peer_parts.h"

static void
note_pieces(struct peer *p)
{
	p->got_pieces = true;
	p->check_interest = true;
	atomic_store(&p->seed,
		     picker_peer_is_seed(p->swarm->picker, p->pp));
	peer_meta_judge(p);
}

static int
take_have(struct peer *p, const struct wire_message *m)
{
	if (!p->pp) {
		p->got_pieces = true;
		return peer_meta_early(p, m);
	}
	if (picker_peer_have(p->swarm->picker, p->pp, m->piece) < 0)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	note_pieces(p);
	peer_point_have(p, m->piece);
	/* There was nothing to ask it for: now there may be. */
	if (p->rejected == 0 && !havelog_has(p->swarm->havelog, m->piece))
		p->ask_again_at = 0;
	return 0;
}

/*
 * aria2 1.36 sends its bitfield again and again, where that is shorter than
 * the HAVEs.  What is new in it counts; as nothing is taken back but by a
 * message for each piece, no number of them costs more than as many HAVEs.
 */
static int
take_more_pieces(struct peer *p, const struct bitfield *b)
{
	for (size_t i = bitfield_next(b, NULL, 0); i < b->count;
	    i = bitfield_next(b, NULL, i + 1)) {
		uint32_t piece = (uint32_t)i;

		if (picker_peer_has(p->swarm->picker, p->pp, piece))
			continue;
		if (picker_peer_have(p->swarm->picker, p->pp, piece) < 0)
			return -1;
		peer_point_have(p, piece);
	}
	return 0;
}

static int
take_first_pieces(struct peer *p, const struct bitfield *b)
{
	if (picker_peer_bitfield(p->swarm->picker, p->pp, b) < 0)
		return -1;
	peer_point_look(p);
	return 0;
}

static int
take_bitfield(struct peer *p, const struct wire_message *m)
{
	struct bitfield b;
	int status;

	if (!p->pp) {
		p->got_pieces = true;
		return peer_meta_early(p, m);
	}
	if (bitfield_init(&b, p->swarm->meta->piece_count) < 0)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	if (!bitfield_load(&b, m->data, m->size)) {
		bitfield_release(&b);
		return peer_end(p, PEER_END_BROKE, "bitfield with spare bits");
	}
	if (p->got_pieces)
		status = take_more_pieces(p, &b);
	else
		status = take_first_pieces(p, &b);
	bitfield_release(&b);
	if (status < 0)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	note_pieces(p);
	return 0;
}

/*
 * BEP 6 wants one of the two, first and once.  As of bitfields, what is new
 * in a late one counts, but that once: each piece is looked at for it, and a
 * DONTHAVE behind it would cost as much again.
 */
static int
take_all_or_none(struct peer *p, const struct wire_message *m)
{
	bool all = m->id == WIRE_HAVE_ALL;

	if (all ? p->said_all : p->got_pieces)
		return 0;
	p->said_all = all;
	if (!p->pp) {
		p->got_pieces = true;
		return peer_meta_early(p, m);
	}
	if (all)
		picker_peer_have_all(p->swarm->picker, p->pp);
	else
		picker_peer_have_none(p->swarm->picker, p->pp);
	note_pieces(p);
	peer_point_look(p);
	return 0;
}

int
peer_have_take(struct peer *p, const struct wire_message *m)
{
	switch (m->id) {
	case WIRE_HAVE:
		return take_have(p, m);
	case WIRE_BITFIELD:
		return take_bitfield(p, m);
	default:
		return take_all_or_none(p, m);
	}
}

int
peer_have_lost(struct peer *p, const struct wire_message *m)
{
	struct bytes b = bytes_over(m->data, m->size);
	uint32_t piece;

	/* Some send other messages by this number. */
	piece = bytes_u32(&b);
	if (!p->pp || m->size != sizeof(piece) || bytes_failed(&b) ||
	    piece >= p->swarm->meta->piece_count)
		return 0;
	if (picker_peer_donthave(p->swarm->picker, p->pp, piece) < 0)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	note_pieces(p);
	return 0;
}
