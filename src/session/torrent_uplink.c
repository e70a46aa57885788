/*
 * What a torrent's connections tell of our line: how much went by it since
 * the last look, and how long each of them sees data wait.
 */
#include "base/clock.h"
#include "session/torrent_parts.h"

#define FRESH (2 * CLOCK_S)
#define FETCHES (60 * CLOCK_S)	/* since the last news */

static void
look_at(struct torrent_peer *tp, bool asks, int64_t now,
	struct torrent_uplink *out)
{
	struct peer_view v;
	uint64_t sent;

	peer_look(tp->peer, &v);
	sent = v.utp ? v.uploaded : v.acked;
	out->sent += sent - tp->last_sent;
	tp->last_sent = sent;
	out->up_bps += tp->up_bps;
	out->tcp_takers += v.far && v.interested;
	out->utp_takers += v.utp && v.interested;
	if (asks && v.queue_delay >= 0 && now - v.path_at < FRESH &&
	    out->count < TORRENT_DELAYS_MAX)
		out->delays[out->count++] = v.queue_delay;
}

bool
torrent_fetches(const struct torrent *t, int64_t now)
{
	return torrent_phase(t) == PHASE_DOWNLOADING &&
	       now - t->news_at < FETCHES;
}

bool
torrent_gives(const struct torrent *t)
{
	/* The choker rests while nobody wants anything of us. */
	return torrent_is_open(t) && t->choke_due != CLOCK_NEVER;
}

void
torrent_look_at_uplink(struct torrent *t, int64_t now,
		       struct torrent_uplink *out)
{
	bool asks = torrent_fetches(t, now);

	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++)
		look_at(&t->peers[i], asks, now, out);
	mutex_unlock(&t->peers_lock);
}
