/*
 * Which pieces the peer is pointed to, while we seed: by HAVE, if it believes
 * that we have nothing (super-seeding), else by SUGGEST, if it knows the Fast
 * extension.
 */
#include "base/clock.h"
#include "swarm/havelog.h"
#include "swarm/peer_parts.h"
#include "swarm/superseed.h"

#define LOOK_EACH (250 * CLOCK_MS)	/* while others are waited for */
#define UNVEIL_A_ROUND 200

static struct superseed *
engine(const struct peer *p)
{
	return atomic_load(&p->swarm->superseed);
}

/* Takes part, and tells what it has. */
static bool
join(struct peer *p)
{
	struct superseed *s = engine(p);

	if (p->sp || !s || !p->pp)
		return p->sp != NULL;
	p->sp = superseed_join(s, p->id);
	p->asked_piece = SUPERSEED_NONE;
	peer_point_look(p);
	return p->sp != NULL;
}

void
peer_point_begin(struct peer *p)
{
	p->hiding = engine(p) && superseed_hides(engine(p)) && join(p);
}

void
peer_point_leave(struct peer *p)
{
	if (p->sp)
		superseed_leave(engine(p), p->sp);
	p->sp = NULL;
}

void
peer_point_have(struct peer *p, uint32_t piece)
{
	struct swarm *s = p->swarm;
	uint32_t id;

	if (!p->sp)
		return;
	id = superseed_have(engine(p), p->sp, piece, p->now);
	if (id != 0 && id != p->id)
		s->events.outrun(s->events.ctx, &id, 1);
}

void
peer_point_look(struct peer *p)
{
	size_t n = havelog_pieces(p->swarm->havelog);

	for (uint32_t i = 0; p->sp && i < n; i++)
		if (picker_peer_has(p->swarm->picker, p->pp, i))
			peer_point_have(p, i);
}

void
peer_point_asked(struct peer *p, uint32_t piece)
{
	if (!p->sp || p->asked_piece == piece)
		return;
	p->asked_piece = piece;
	superseed_asked(engine(p), p->sp, piece);
}

bool
peer_point_hidden(const struct peer *p, uint32_t piece)
{
	return p->hiding && superseed_hides(engine(p)) &&
	       !superseed_shown(engine(p), p->sp, piece);
}

int64_t
peer_point_due(const struct peer *p)
{
	return p->hiding ? p->now + LOOK_EACH : CLOCK_NEVER;
}

/* Nothing is hidden any more: the pieces that it was not shown. */
static void
unveil(struct peer *p)
{
	uint32_t n = (uint32_t)havelog_pieces(p->swarm->havelog);
	int said = 0;

	for (; p->unveiled < n && said < UNVEIL_A_ROUND; p->unveiled++) {
		if (superseed_shown(engine(p), p->sp, p->unveiled))
			continue;
		peer_say_index(p, WIRE_HAVE, p->unveiled);
		said++;
	}
	if (p->unveiled == n)
		p->hiding = false;
}

void
peer_point_put(struct peer *p)
{
	bool waits = atomic_load(&p->choked) &&
		     !atomic_load(&p->order_unchoke);
	uint32_t piece;

	if (!engine(p) || !join(p))
		return;
	if (p->hiding && !superseed_hides(engine(p))) {
		unveil(p);
		return;
	}
	if (!p->hiding) {
		waits |= !p->remote.fast || !atomic_load(&p->interested);
		if (waits && !p->hinted)
			return;
		p->hinted = !waits;
	}
	while ((piece = superseed_next(engine(p), p->sp, waits, p->now)) !=
	       SUPERSEED_NONE)
		peer_say_index(p, p->hiding ? WIRE_HAVE : WIRE_SUGGEST,
			       piece);
}
