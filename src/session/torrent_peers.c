/*
 * A torrent's connections: who is let in, who has left, and the end of all.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "discover/announce.h"
#include "discover/peerlist.h"
#include "net/mse.h"
#include "net/names.h"
#include "session/listener.h"
#include "session/torrent_parts.h"

#define SHAKING_MAX 16		/* handshakes beyond --max-peers */
#define TURN_OVER_REST (180 * CLOCK_S)	/* the others first */
#define NO_PLACE_REST (30 * CLOCK_S)	/* more came at once than had places */
#define STAYED (60 * CLOCK_S)		/* a seed that was not full */

/* ---- coming in ---- */

static bool
room_for_one_locked(struct torrent *t) REQUIRES(t->peers_lock)
{
	size_t size = t->peer_size ? t->peer_size * 2 : 16;
	struct torrent_peer *peers;

	if (t->peers_closed ||
	    t->peer_count >= t->env.config->max_peers + SHAKING_MAX)
		return false;
	if (t->peer_count < t->peer_size)
		return true;
	peers = realloc(t->peers, size * sizeof(*peers));
	if (!peers)
		return false;
	t->peers = peers;
	t->peer_size = size;
	return true;
}

bool
torrent_take_place(struct torrent *t)
{
	return pool_take(t->env.pool, &t->pool, clock_ns());
}

static void
refuse(const struct peer_start *start)
{
	mse_free(start->mse);
	close(start->fd);
}

static void
turn_away(struct torrent *t)
{
	if (!atomic_exchange(&t->turned_away, true))
		wake_up(t->env.wake);
}

/* A warning once; many may follow. */
static void
tell_no_thread(struct torrent *t, const struct error *e)
{
	bool again = atomic_exchange(&t->no_thread, true);

	log_write(t->env.log, again ? LOG_DETAIL : LOG_WARNING, t->name,
		  "no connection with a peer: %s", e->text);
}

bool
torrent_add_connection(struct torrent *t, struct peer_start start)
{
	struct torrent_peer entry = {
		.source = start.incoming ? PEER_INCOMING
					 : peerlist_source(t->peerlist,
							   &start.addr),
	};
	bool added = false;
	struct error e;

	error_clear(&e);
	start.swarm = &t->swarm;
	start.id = atomic_fetch_add(&t->next_id, 1);
	start.source = peerlist_key(t->peerlist, &start.addr);
	if (!torrent_take_place(t)) {
		refuse(&start);
		turn_away(t);
		return false;
	}
	mutex_lock(&t->peers_lock);
	if (!room_for_one_locked(t)) {
		refuse(&start);
	} else {
		if (!start.incoming)
			entry.dialled = start.addr;
		entry.peer = peer_new(&start, &e);
		added = entry.peer != NULL;
		if (added) {
			t->peers[t->peer_count++] = entry;
			/* Under the lock: whoever closes the torrent then
			 * knows that a thread is there. */
			atomic_fetch_add(&t->connected, 1);
		}
	}
	mutex_unlock(&t->peers_lock);
	if (e.kind != ERROR_NONE)
		tell_no_thread(t, &e);
	if (!added)
		pool_give(t->env.pool, &t->pool);
	return added;
}

bool
torrent_is_open(const struct torrent *t)
{
	enum torrent_phase phase = torrent_phase(t);

	/* Peers that were asked for metadata, or piece layers, stay while the
	 * files are looked at. */
	if (phase == PHASE_OPENING || phase == PHASE_CHECKING ||
	    phase == PHASE_PREPARING)
		return t->swarm.metadata != NULL;
	return phase == PHASE_METADATA || phase == PHASE_DOWNLOADING ||
	       phase == PHASE_FINISHING || phase == PHASE_SEEDING;
}

bool
torrent_wants(const struct torrent *t, const uint8_t info_hash[20])
{
	return torrent_is_open(t) && torrent_is(t, info_hash, info_hash);
}

const uint8_t *
torrent_wants_secret(const struct torrent *t, const uint8_t hash[20])
{
	return torrent_is_open(t) ? torrent_by_secret(t, hash) : NULL;
}

void
torrent_incoming(struct torrent *t, int fd, const struct addr *from,
		 struct mse *mse)
{
	struct peer_start start = {
		.fd = fd, .addr = *from, .incoming = true, .mse = mse};

	if (peerlist_is_banned(t->peerlist, from))
		refuse(&start);
	else
		torrent_add_connection(t, start);
}

bool
torrent_came_in(struct torrent *t, const struct addr *a)
{
	bool found = false;

	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count && !found; i++) {
		const struct torrent_peer *tp = &t->peers[i];
		struct addr listens = peer_listen_addr(tp->peer);

		found = tp->admitted && !tp->leaving && !tp->dialled.family &&
			addr_equal(&listens, a);
	}
	mutex_unlock(&t->peers_lock);
	return found;
}

void
torrent_peers_init(struct torrent *t)
{
	mutex_init(&t->peers_lock);
	mutex_init(&t->failure_lock);
	t->choke_due = t->hangs_due = CLOCK_NEVER;
	torrent_dial_init(t);
	atomic_store(&t->next_id, 1);
	torrent_swarm_init(t);
}

/* ---- leaving ---- */

/* No handshake came of it.  Some take TCP connections, close them at once,
 * and talk by uTP alone. */
static void
note_refused(struct torrent *t, const struct addr *a, bool utp, int64_t now)
{
	if (t->env.rc4 && t->env.config->encryption == ENCRYPTION_PREFER) {
		if (peerlist_refused(t->peerlist, a, now))
			return;
	} else {
		peerlist_failed(t->peerlist, a, PEER_BAD_HANDSHAKE, now);
	}
	if (utp)
		peerlist_clear_flags(t->peerlist, a, PEERLIST_BY_UTP);
	else if (t->env.udp && t->env.config->use_utp)
		(void)peerlist_turn_to_utp(t->peerlist, a, now);
}

/* A seed that is full lets us in, and hangs up at once: not to be called again
 * as soon as one that gave us something. */
bool
torrent_was_useful(const struct peer_view *v, int64_t now)
{
	bool full = v->seed && v->end == PEER_END_CLOSED &&
		    v->downloaded + v->uploaded == 0 &&
		    now - v->connected_at < STAYED;

	return v->useful && !full;
}

unsigned
torrent_flags_of(const struct torrent_peer *tp)
{
	return tp->admitted && peer_by_v2(tp->peer) ? PEERLIST_V2 : 0;
}

/* What its end says about the address. */
static void
note_end(struct torrent *t, const struct torrent_peer *tp, int64_t now)
{
	struct peer_view v;
	struct addr a = tp->dialled;
	bool broke_off;

	peer_look(tp->peer, &v);
	broke_off = v.useful && v.hangs && v.end == PEER_END_CLOSED;
	if (!a.family)
		a = peer_listen_addr(tp->peer);
	if (broke_off && a.port != 0)
		peerlist_redial(t->peerlist, &a, now);
	if (!tp->dialled.family) {
		if (tp->admitted && a.port != 0 && v.end != PEER_END_BROKE)
			peerlist_add(t->peerlist, &a, PEER_INCOMING,
				     torrent_flags_of(tp), now);
		if (tp->away == AWAY_TURN_OVER)
			peerlist_turned_over(t->peerlist, &a,
					     now + TURN_OVER_REST);
		return;
	}
	if (v.upload_only)
		peerlist_set_flags(t->peerlist, &a, PEERLIST_SEED);
	if (v.end == PEER_END_OURSELVES)
		peerlist_is_self(t->peerlist, &a);
	else if (v.end == PEER_END_BROKE)
		peerlist_failed(t->peerlist, &a, PEER_REJECTED, now);
	else if (v.end == PEER_END_REFUSED)
		note_refused(t, &a, v.utp, now);
	else if (tp->away == AWAY_NO_PLACE)	/* no fault of its own */
		peerlist_rest(t->peerlist, &a, now + NO_PLACE_REST);
	else if (tp->away == AWAY_TURN_OVER)
		peerlist_turned_over(t->peerlist, &a, now + TURN_OVER_REST);
	else if (tp->away == AWAY_DOUBLE)	/* it may have kept this one */
		peerlist_failed(t->peerlist, &a, PEER_UNREACHABLE, now);
	else
		peerlist_disconnected(t->peerlist, &a, torrent_was_useful(&v, now),
				      now);
}

static bool
take_ended(struct torrent *t, struct torrent_peer *out)
{
	bool found = false;

	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count && !found; i++) {
		struct peer_view v;

		peer_look(t->peers[i].peer, &v);
		if (!v.ended)
			continue;
		*out = t->peers[i];
		t->peers[i] = t->peers[--t->peer_count];
		found = true;
	}
	mutex_unlock(&t->peers_lock);
	return found;
}

void
torrent_reap(struct torrent *t, int64_t now)
{
	struct torrent_peer tp;

	while (take_ended(t, &tp)) {
		note_end(t, &tp, now);
		peer_free(tp.peer);
		atomic_fetch_sub(&t->connected, 1);
		pool_give(t->env.pool, &t->pool);
		atomic_store(&t->choke_soon, true);
	}
	torrent_webseeds_reap(t, now);
}

void
torrent_wake_peers(struct torrent *t)
{
	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++)
		peer_wake(t->peers[i].peer);
	mutex_unlock(&t->peers_lock);
}

void
torrent_reconnect(struct torrent *t)
{
	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++)
		peer_stop(t->peers[i].peer);
	mutex_unlock(&t->peers_lock);
	torrent_announce_want_peers(t);
}

bool
torrent_is_answered(const struct torrent *t, int64_t since)
{
	struct announce_status a;

	if (atomic_load(&t->connected) > 0)
		return true;
	torrent_announce_status(t, &a);
	return a.working > 0 && a.answered_at >= since;
}

void
torrent_hurry(struct torrent *t, int64_t now)
{
	peerlist_hurry(t->peerlist, now);
	torrent_announce_hurry(t);
	torrent_fetch_hurry(t);
	torrent_webseeds_hurry(t, now);
	if (t->names)
		names_hurry(t->names, now);
}

void
torrent_slept(struct torrent *t, int64_t ns)
{
	t->begun_at -= ns;
	torrent_announce_slept(t, ns);
}

static void
close_peers(struct torrent *t)
{
	mutex_lock(&t->peers_lock);
	t->peers_closed = true;
	for (size_t i = 0; i < t->peer_count; i++)
		peer_stop(t->peers[i].peer);
	mutex_unlock(&t->peers_lock);
}

void
torrent_disconnect(struct torrent *t)
{
	torrent_webseeds_stop(t);
	if (t->env.listener)
		listener_forget(t->env.listener, t->number);
	pool_want(t->env.pool, &t->pool, false);
	close_peers(t);
}

static struct peer *
take_last(struct torrent *t)
{
	struct peer *p = NULL;

	mutex_lock(&t->peers_lock);
	if (t->peer_count > 0)
		p = t->peers[--t->peer_count].peer;
	mutex_unlock(&t->peers_lock);
	return p;
}

void
torrent_peers_release(struct torrent *t)
{
	struct peer *p;

	close_peers(t);
	torrent_webseeds_join(t);
	/* Those that have not ended look at who is there. */
	while ((p = take_last(t)) != NULL)
		peer_free(p);
	torrent_webseeds_release(t);
	free(t->peers);
	mutex_release(&t->peers_lock);
	mutex_release(&t->failure_lock);
}

int64_t
torrent_peers_due(const struct torrent *t, int64_t now)
{
	return clock_min(clock_min(torrent_choke_due(t, now), t->hangs_due),
			 torrent_dial_due(t, now));
}
