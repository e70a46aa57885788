/*
 * Connections that hang.  When a router was started anew, a laptop slept or
 * our address has changed, both sides have said what did not arrive, and say
 * it again after ever longer pauses: a line that was away for a minute is not
 * used for up to another one.  Or the other side has given up, and its word
 * does not get through.  So while a connection hangs, its address is called;
 * as soon as somebody answers there, the way is there again, and the
 * connection is made anew.
 */
#include <unistd.h>

#include "base/clock.h"
#include "net/http.h"
#include "net/iface.h"
#include "session/torrent_parts.h"

#define AGAIN_FIRST (2 * CLOCK_S)
#define AGAIN_LONGEST (15 * CLOCK_S)
#define PATIENCE (60 * CLOCK_S)	/* with one that cannot be called */
#define TOLD_MAX 4	/* of one address; it seldom has two connections */

/* ---- whom to call ---- */

static bool
hangs(struct torrent_peer *tp, int64_t now, struct peer_view *v)
{
	peer_look(tp->peer, v);
	if (!v->hangs || v->ended || tp->leaving) {
		tp->hangs_at = 0;
		return false;
	}
	if (tp->hangs_at == 0)
		tp->hangs_at = tp->call_at = now;
	return true;
}

/* Port 0: there is no address, or it is not worth it, as nothing has ever gone
 * by the connection. */
static struct addr
address_of(const struct torrent_peer *tp, const struct peer_view *v)
{
	struct addr none = {0};

	if (!v->useful)
		return none;
	if (v->utp)
		return peer_utp_addr(tp->peer);
	return tp->dialled.family ? tp->dialled : peer_listen_addr(tp->peer);
}

static struct addr *
find_call_locked(struct torrent *t, const struct addr *to)
    REQUIRES(t->peers_lock)
{
	for (size_t i = 0; i < TORRENT_HANG_CALLS; i++)
		if (to ? addr_equal(&t->hang_calls[i], to)
		       : t->hang_calls[i].family == 0)
			return &t->hang_calls[i];
	return NULL;
}

static bool
call_locked(struct torrent *t, struct torrent_peer *tp, const struct addr *to,
	    int64_t now) REQUIRES(t->peers_lock)
{
	struct addr *call = find_call_locked(t, NULL);
	int64_t pause = (now - tp->hangs_at) / 8;

	if (!call || now < tp->call_at || find_call_locked(t, to) ||
	    iface_away(t->env.way->route))
		return false;
	*call = *to;
	if (peer_utp(tp->peer) ? !torrent_dial_utp(t, to)
			       : !torrent_dial_tcp(t, to, true)) {
		call->family = 0;
		return false;
	}
	tp->call_at = now + clock_min(AGAIN_FIRST + pause, AGAIN_LONGEST);
	return true;
}

static bool
mind_locked(struct torrent *t, struct torrent_peer *tp, int64_t now)
    REQUIRES(t->peers_lock)
{
	struct peer_view v;
	struct addr to;

	if (!hangs(tp, now, &v))
		return false;
	t->hangs_due = now + AGAIN_FIRST / 4;
	to = address_of(tp, &v);
	if (to.port != 0)
		return call_locked(t, tp, &to, now);
	if (now - tp->hangs_at >= PATIENCE &&
	    !iface_away(t->env.way->route))
		torrent_part(tp, AWAY_NOT);
	return false;
}

void
torrent_mind_hanging(struct torrent *t, int64_t now)
{
	size_t first;

	if (atomic_exchange(&t->hangs_soon, false))
		t->hangs_due = now;
	if (now < t->hangs_due)
		return;
	t->hangs_due = CLOCK_NEVER;
	mutex_lock(&t->peers_lock);
	first = t->hangs_next;
	for (size_t i = 0; i < t->peer_count; i++) {
		size_t at = (first + i) % t->peer_count;

		if (mind_locked(t, &t->peers[at], now))
			t->hangs_next = at + 1;
	}
	mutex_unlock(&t->peers_lock);
}

/* ---- what comes of it ---- */

/* One that came in may be unknown there, or known for TCP alone. */
static void
redial_locked(struct torrent *t, const struct torrent_peer *tp,
	      const struct addr *to, int64_t now) REQUIRES(t->peers_lock)
{
	if (tp->dialled.family == 0)
		peerlist_add(t->peerlist, to, PEER_INCOMING,
			     torrent_flags_of(tp), now);
	if (peer_utp(tp->peer))
		peerlist_set_flags(t->peerlist, to, PEERLIST_BY_UTP);
	peerlist_redial(t->peerlist, to, now);
}

/* Returns how many ids it has put down of those that it renews: they are told of
 * without the lock. */
static size_t
renew_locked(struct torrent *t, const struct addr *to, int64_t now,
	     uint32_t ids[TOLD_MAX]) REQUIRES(t->peers_lock)
{
	size_t n = 0;

	for (size_t i = 0; i < t->peer_count; i++) {
		struct torrent_peer *tp = &t->peers[i];
		struct peer_view v;
		struct addr a;

		if (!hangs(tp, now, &v))
			continue;
		a = address_of(tp, &v);
		if (!addr_equal(&a, to))
			continue;
		if (n < TOLD_MAX)
			ids[n++] = v.id;
		redial_locked(t, tp, to, now);
		torrent_part(tp, AWAY_NOT);
	}
	return n;
}

bool
torrent_hang_called(struct torrent *t, const struct addr *to, int fd)
{
	uint32_t ids[TOLD_MAX];
	struct addr *call;
	size_t n = 0;

	mutex_lock(&t->peers_lock);
	call = find_call_locked(t, to);
	if (call)
		call->family = 0;
	if (call && fd >= 0)
		n = renew_locked(t, to, clock_ns(), ids);
	mutex_unlock(&t->peers_lock);
	for (size_t i = 0; i < n; i++)
		log_write(t->env.log, LOG_DETAIL, t->name, "peer %u answers a "
			  "new call: connected anew", ids[i]);
	if (!call)
		return false;
	if (fd >= 0)
		close(fd);
	atomic_store(&t->hangs_soon, true);
	return true;
}

void
torrent_utp_unheard(struct torrent *t, const struct addr *with, bool unheard)
{
	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++)
		if (peer_utp(t->peers[i].peer) &&
		    addr_equal(peer_addr(t->peers[i].peer), with))
			peer_note_unheard(t->peers[i].peer, unheard);
	mutex_unlock(&t->peers_lock);
}
