/*
 * What a torrent's connections tell of our line: how much went by it since
 * the last look, and how long each of them sees data wait.
 */
#include "base/clock.h"
#include "session/torrent_parts.h"

#define FRESH (2 * CLOCK_S)

static void
look_at(struct torrent_peer *tp, int64_t now, struct torrent_uplink *out)
{
	struct peer_view v;
	uint64_t sent;

	peer_look(tp->peer, &v);
	sent = v.utp ? v.uploaded : v.acked;
	out->sent += sent - tp->last_sent;
	tp->last_sent = sent;
	if (v.queue_delay >= 0 && now - v.path_at < FRESH &&
	    out->count < TORRENT_DELAYS_MAX)
		out->delays[out->count++] = v.queue_delay;
}

bool
torrent_look_at_uplink(struct torrent *t, int64_t now,
		       struct torrent_uplink *out)
{
	/* The choker rests while nobody wants anything of us. */
	if (torrent_phase(t) != PHASE_DOWNLOADING ||
	    t->choke_due == CLOCK_NEVER)
		return false;
	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++)
		look_at(&t->peers[i], now, out);
	mutex_unlock(&t->peers_lock);
	return true;
}
