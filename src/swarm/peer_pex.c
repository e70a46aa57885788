/*
 * Peer exchange: a peer hears once a minute whom else we are connected to,
 * and what it says of others is believed within bounds.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "swarm/peer_parts.h"
#include "swarm/pex.h"

#define FIRST_AFTER (5 * CLOCK_S)
#define EACH (65 * CLOCK_S)	/* some drop who sends more than one a minute */
#define HEAR_EACH (30 * CLOCK_S)	/* what comes sooner is ignored */
#define HEARD_MAX 1000		/* addresses, from one connection at once */
#define HEARD_EACH (CLOCK_S * 6 / 5)	/* and one more each so often */

/* Private torrents never: neither a word, nor an ear (BEP 27). */
bool
peer_pex_on(const struct peer *p)
{
	const struct swarm *s = p->swarm;

	return s->use_pex && !atomic_load(&s->private);
}

int64_t
peer_pex_due(const struct peer *p)
{
	if (!peer_pex_on(p) || p->said.ids[EXTENSION_PEX] == 0)
		return CLOCK_NEVER;
	return p->pex_at ? p->pex_at : p->connected_at + FIRST_AFTER;
}

static void
put_message(struct peer *p, const struct pex_message *m)
{
	struct buffer b;

	buffer_init(&b, 16384);
	pex_put(&b, m);
	peer_put_extended(p, p->said.ids[EXTENSION_PEX], &b);
	buffer_release(&b);
}

void
peer_pex_put(struct peer *p)
{
	struct swarm *s = p->swarm;
	struct pex_peer *now;
	struct pex_message m;
	size_t n;

	if (p->now < peer_pex_due(p))
		return;
	p->pex_at = p->now + EACH;
	if (!p->pex_told)
		p->pex_told = calloc(PEER_PEX_MAX, sizeof(*p->pex_told));
	now = calloc(PEER_PEX_MAX, sizeof(*now));
	if (p->pex_told && now) {
		n = s->events.connected(s->events.ctx, p->id, now,
					PEER_PEX_MAX);
		p->pex_count = pex_diff(&m, p->pex_told, p->pex_count, now, n,
					PEER_PEX_MAX);
		if (m.added_count + m.dropped_count > 0)
			put_message(p, &m);
	}
	free(now);
}

/* Only who takes part can be asked for a rendezvous. */
static void
forget_holepunch(struct pex_message *m)
{
	for (size_t i = 0; i < m->added_count; i++)
		m->added[i].flags &= (uint8_t)~PEX_HOLEPUNCH;
}

/* One that lasts for days may say more than one that lasts for minutes. */
static bool
may_hear(struct peer *p, size_t addresses)
{
	if (p->pex_heard_at && p->now - p->pex_heard_at < HEAR_EACH)
		return false;
	return clock_allow(&p->pex_paid, p->now,
			   (int64_t)addresses * HEARD_EACH,
			   HEARD_MAX * HEARD_EACH);
}

int
peer_pex_take(struct peer *p, const struct wire_message *wire)
{
	struct swarm *s = p->swarm;
	struct pex_message m;
	struct error e;

	if (!peer_pex_on(p))
		return 0;
	if (pex_parse(&m, wire->data, wire->size, &e) < 0)
		return peer_end(p, PEER_END_BROKE, "peer exchange: %s", e.text);
	if (!may_hear(p, m.added_count))
		return 0;
	p->pex_heard_at = p->now;
	if (!peer_holepunch_on(p) || !atomic_load(&p->holepunch))
		forget_holepunch(&m);
	if (m.added_count > 0)
		s->events.found(s->events.ctx, p->id, m.added, m.added_count);
	return 0;
}
