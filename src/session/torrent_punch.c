/*
 * Hole punching (BEP 55): two peers that nobody reaches from outside are
 * brought together by a third one.  A torrent is each of the three in turn:
 * the one that asks, the one that both know, the one that is told to call.
 *
 * What makes others send packets can be turned against somebody: see
 * docs/SECURITY.md.  So it is uTP alone, where two packets that nobody
 * answers are the end of it, and few of them.
 */
#include "base/clock.h"
#include "discover/peerlist.h"
#include "session/torrent_parts.h"
#include "swarm/holepunch.h"

/* Calls on a relay's word, whoever the relays are. */
#define CALLS_EACH (200 * CLOCK_MS)
#define CALLS_BURST 20

static bool
is_there(const struct peer *p, struct peer_view *out)
{
	peer_look(p, out);
	return out->admitted && !out->ended;
}

/* One that can be called there, or else one that says that it listens there:
 * that is what peer exchange tells of it. */
static struct peer *
find_locked(const struct torrent *t, const struct addr *a)
    REQUIRES(t->peers_lock)
{
	struct peer *found = NULL;
	struct peer_view v;

	for (size_t i = 0; i < t->peer_count; i++) {
		struct peer *p = t->peers[i].peer;
		struct addr listens = peer_listen_addr(p);
		struct addr called = peer_utp_addr(p);

		if (!is_there(p, &v))
			continue;
		if (addr_equal(&called, a))
			return p;
		if (addr_equal(&listens, a))
			found = p;
	}
	return found;
}

/* ---- the one that both know ---- */

/* Can each of them be called where the other one is? */
static bool
can_meet(const struct addr *a, const struct addr *b)
{
	return a->port != 0 && b->port != 0 && a->family == b->family &&
	       torrent_reach(a) == torrent_reach(b);
}

static enum holepunch_error
introduce_locked(struct torrent *t, const struct peer *p,
		 const struct addr *target, struct addr *where)
    REQUIRES(t->peers_lock)
{
	struct holepunch m = {.kind = HOLEPUNCH_CONNECT,
			      .addr = peer_utp_addr(p)};
	struct peer *other = find_locked(t, target);
	struct peer_view v;

	if (!other)
		return HOLEPUNCH_NOT_CONNECTED;
	*where = peer_utp_addr(other);
	if (other == p || !can_meet(&m.addr, where))
		return HOLEPUNCH_NO_SUCH_PEER;
	peer_look(other, &v);
	if (!v.holepunch)
		return HOLEPUNCH_NO_SUPPORT;
	return peer_say_holepunch(other, &m) ? HOLEPUNCH_FINE
					     : HOLEPUNCH_NOT_CONNECTED;
}

static uint32_t
on_introduce(void *ctx, struct peer *p, const struct addr *target,
	     struct addr *where)
{
	struct torrent *t = ctx;
	char text[ADDR_TEXT_MAX];
	enum holepunch_error why;

	if (peerlist_is_ours(t->peerlist, target))
		return HOLEPUNCH_NO_SELF;
	mutex_lock(&t->peers_lock);
	why = introduce_locked(t, p, target, where);
	mutex_unlock(&t->peers_lock);
	log_write(t->env.log, LOG_DEBUG, t->name,
		  "peer %u wants to meet %s: %s", peer_id_number(p),
		  addr_format(target, text),
		  why == HOLEPUNCH_FINE ? "both are told"
					: holepunch_error_name(why));
	return why;
}

/* ---- the one that is told to call ---- */

static bool
may_call(struct torrent *t, const struct peer *relay, const struct addr *to,
	 int64_t now)
{
	bool may;

	/* No stranger leads us to our own network. */
	if (!torrent_may_dial(t) ||
	    torrent_reach(to) < torrent_reach(peer_addr(relay)))
		return false;
	mutex_lock(&t->peers_lock);
	may = !find_locked(t, to) &&
	      clock_allow(&t->punch_paid, now, CALLS_EACH,
			  CALLS_BURST * CALLS_EACH);
	mutex_unlock(&t->peers_lock);
	return may;
}

/* At once: the other one's packets are under way.  While it is dialled in
 * another way already, uTP comes last in that, and early enough: routers stay
 * open for 30 s and more. */
static void
on_punch(void *ctx, struct peer *relay, const struct addr *to)
{
	struct torrent *t = ctx;
	int64_t now = clock_ns();
	char text[ADDR_TEXT_MAX];

	if (!may_call(t, relay, to, now) ||
	    !peerlist_punch(t->peerlist, to, peer_id_number(relay), now))
		return;
	log_write(t->env.log, LOG_DETAIL, t->name,
		  "%s is called by uTP, as peer %u says to both of us",
		  addr_format(to, text), peer_id_number(relay));
	if (torrent_dial_utp(t, to)) {
		atomic_fetch_add(&t->dials_punched, 1);
		return;
	}
	peerlist_clear_flags(t->peerlist, to, PEERLIST_PUNCHED);
	peerlist_return(t->peerlist, to);
}

/* ---- the one that asks ---- */

static bool
is_among(uint32_t id, const uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* Those of the relays that are there; how many were asked. */
static unsigned
ask_locked(struct torrent *t, const struct addr *to, const uint32_t *ids,
	   size_t n) REQUIRES(t->peers_lock)
{
	struct holepunch m = {.kind = HOLEPUNCH_RENDEZVOUS, .addr = *to};
	unsigned asked = 0;

	if (find_locked(t, to))
		return 0;
	for (size_t i = 0; i < t->peer_count; i++) {
		struct peer *p = t->peers[i].peer;
		struct peer_view v;

		if (is_among(peer_id_number(p), ids, n) && is_there(p, &v))
			asked += peer_say_holepunch(p, &m);
	}
	return asked;
}

void
torrent_ask_relays(struct torrent *t, const struct addr *to)
{
	uint32_t ids[PEERLIST_RELAYS];
	size_t n = peerlist_relays(t->peerlist, to, ids);
	char text[ADDR_TEXT_MAX];
	unsigned asked = 0;

	if (n == 0 || !t->swarm.use_holepunch)
		return;
	mutex_lock(&t->peers_lock);
	asked = ask_locked(t, to, ids, n);
	mutex_unlock(&t->peers_lock);
	if (asked > 0)
		log_write(t->env.log, LOG_DETAIL, t->name,
			  "%u of our peers asked to bring us together with %s",
			  asked, addr_format(to, text));
}

static bool
turn_locked(struct torrent *t, struct torrent_peer *tp, const struct addr *to)
    REQUIRES(t->peers_lock)
{
	struct peer_view v;

	if (!is_there(tp->peer, &v) || v.utp || tp->dialled.family == 0 ||
	    tp->leaving || (v.interesting && !v.choking_us) ||
	    !peerlist_turn_to_utp(t->peerlist, &tp->dialled, clock_ns()))
		return false;
	t->turned = tp->dialled;
	t->turned_for = *to;
	torrent_part(tp, AWAY_NOT);
	return true;
}

/*
 * Both were told to call, and nobody came: a relay that we dialled by TCP may
 * have told our address with the port of that connection (libtorrent does),
 * which is open to the relay alone.  By uTP we have one port for all.  Who
 * gives us data is not parted with for that.
 */
void
torrent_turn_relay(struct torrent *t, const struct addr *to)
{
	uint32_t id = peerlist_caller(t->peerlist, to);
	bool turned = false;

	if (id == 0 || atomic_load(&t->connected) >= TORRENT_ENOUGH_PEERS)
		return;
	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count && !turned; i++)
		turned = peer_id_number(t->peers[i].peer) == id &&
			 turn_locked(t, &t->peers[i], to);
	mutex_unlock(&t->peers_lock);
	if (turned)
		log_write(t->env.log, LOG_DETAIL, t->name, "peer %u is to be "
			  "reached by uTP, so that it can bring us together "
			  "with others", id);
}

static bool
is_turned_locked(const struct torrent *t, uint32_t id) REQUIRES(t->peers_lock)
{
	for (size_t i = 0; i < t->peer_count && t->turned.family != 0; i++)
		if (peer_id_number(t->peers[i].peer) == id)
			return addr_equal(&t->peers[i].dialled, &t->turned);
	return false;
}

void
torrent_relay_tells(struct torrent *t, uint32_t id)
{
	uint32_t ids[PEERLIST_RELAYS];
	bool asked = false;
	size_t n;

	mutex_lock(&t->peers_lock);
	if (is_turned_locked(t, id)) {
		n = peerlist_relays(t->peerlist, &t->turned_for, ids);
		asked = is_among(id, ids, n) &&
			ask_locked(t, &t->turned_for, &id, 1) > 0;
	}
	if (asked)
		t->turned.family = 0;
	mutex_unlock(&t->peers_lock);
	if (asked)
		log_write(t->env.log, LOG_DETAIL, t->name,
			  "peer %u is asked again to bring us together", id);
}

void
torrent_punch_init(struct torrent *t)
{
	t->swarm.events.introduce = on_introduce;
	t->swarm.events.punch = on_punch;
}
