/*
 * Connections that hang.  When a router was started anew, a laptop slept or
 * our address has changed, both sides have said what did not arrive, and say
 * it again after ever longer pauses: a line that was away for a minute is not
 * used for up to another one.  Or the other side has given up,
 * and its word does not get through.  So while a connection hangs, its address
 * is called; as soon as somebody answers there, the way is there again, and
 * the connection is made anew.
 */
#include <unistd.h>

#include "base/clock.h"
#include "net/http.h"
#include "net/iface.h"
#include "session/torrent_parts.h"

#define AGAIN_FIRST (2 * CLOCK_S)
#define AGAIN_LONGEST (15 * CLOCK_S)

/* ---- whom to call ---- */

/* Where it is to be called, if it hangs; else family 0. */
static struct addr
hanging(struct torrent_peer *tp, int64_t now)
{
	struct addr none = {0};
	struct peer_view v;

	peer_look(tp->peer, &v);
	if (!v.hangs || v.ended || tp->leaving) {
		tp->hangs_at = 0;
		return none;
	}
	if (tp->hangs_at == 0)
		tp->hangs_at = tp->call_at = now;
	if (v.utp)
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
		struct torrent_peer *tp = &t->peers[at];
		struct addr to = hanging(tp, now);

		if (to.port == 0)
			continue;
		if (call_locked(t, tp, &to, now))
			t->hangs_next = at + 1;
		t->hangs_due = now + AGAIN_FIRST / 4;
	}
	mutex_unlock(&t->peers_lock);
}

/* ---- what comes of it ---- */

bool
torrent_hang_called(struct torrent *t, const struct addr *to, int fd)
{
	int64_t now = clock_ns();
	struct addr *call;

	mutex_lock(&t->peers_lock);
	call = find_call_locked(t, to);
	if (call)
		call->family = 0;
	for (size_t i = 0; call && fd >= 0 && i < t->peer_count; i++) {
		struct torrent_peer *tp = &t->peers[i];
		struct addr a = hanging(tp, now);

		if (a.port == 0 || !addr_equal(&a, to))
			continue;
		log_write(t->env.log, LOG_DETAIL, t->name, "peer %u answers a "
			  "new call: connected anew",
			  peer_id_number(tp->peer));
		peerlist_redial(t->peerlist, to);
		tp->leaving = true;
		peer_stop(tp->peer);
	}
	mutex_unlock(&t->peers_lock);
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
