/*
 * The buffer that a peer's bytes come into.  It grows for fast peers, and for
 * the few messages that are longer than a block (a bitfield, an extension
 * message), and shrinks again.
 */
#include <stdlib.h>

#include "swarm/intake.h"
#include "swarm/peer_parts.h"

#define FULL_RECEIVES 4		/* in a row: it needs a large buffer */
#define SMALL_RECEIVES 64	/* in a row: it does not */

static int
resize_in(struct peer *p, size_t size)
{
	uint8_t *in = realloc(p->in, size);

	if (!in)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	p->in = in;
	p->in_size = size;
	return 0;
}

int
peer_fit_buffer(struct peer *p)
{
	size_t need = p->in_wanted > p->in_used ? p->in_wanted : p->in_used;
	size_t size = need > p->in_base ? need : p->in_base;

	return size == p->in_size ? 0 : resize_in(p, size);
}

static void
take_large_buffer(struct peer *p)
{
	_Atomic int *large = &p->swarm->large_buffers;
	int others = atomic_fetch_add(large, 1);

	if (others >= PEER_IN_LARGE_COUNT) {
		atomic_fetch_sub(large, 1);
		return;
	}
	p->in_base = others < PEER_IN_LARGEST_COUNT ? PEER_IN_LARGEST
						    : PEER_IN_LARGE;
}

/* Receives in a row that filled a large buffer are help wanted, those that
 * brought too little for it are its end. */
static void
judge_large_buffer(struct peer *p, size_t got, bool full)
{
	int last = p->in_full;

	if (got < PEER_IN_SIZE)
		p->in_full = last < 0 ? last - 1 : -1;
	else
		p->in_full = !full ? 0 : last > 0 ? last + 1 : 1;
	if (p->in_full == FULL_RECEIVES) {
		p->in_full = 0;
		intake_share(p->swarm);
	}
	if (p->in_full == -SMALL_RECEIVES)
		peer_small_buffer(p);
}

void
peer_judge_buffer(struct peer *p, size_t got, bool full)
{
	if (p->in_base != PEER_IN_SIZE) {
		judge_large_buffer(p, got, full);
		return;
	}
	p->in_full = full ? p->in_full + 1 : 0;
	if (p->in_full < FULL_RECEIVES)
		return;
	p->in_full = 0;
	take_large_buffer(p);
}

void
peer_small_buffer(struct peer *p)
{
	if (p->in_base != PEER_IN_SIZE)
		atomic_fetch_sub(&p->swarm->large_buffers, 1);
	p->in_base = PEER_IN_SIZE;
	p->in_full = 0;
}
