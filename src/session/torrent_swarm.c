/*
 * What a torrent's peer threads ask and tell: who is welcome, what came, who
 * lied, whom others can dial.
 */
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "discover/peerlist.h"
#include "net/mse.h"
#include "session/listener.h"
#include "session/torrent_parts.h"
#include "swarm/pex.h"
#include "swarm/picker.h"

#define SAME_MOMENT (10 * CLOCK_S)

static struct torrent_peer *
find_locked(struct torrent *t, const struct peer *p) REQUIRES(t->peers_lock)
{
	for (size_t i = 0; i < t->peer_count; i++)
		if (t->peers[i].peer == p)
			return &t->peers[i];
	return NULL;
}

/*
 * Two connections to one peer: of two that were made at the same moment from
 * both ends, both sides keep the one that the greater peer id began.  Who
 * calls while the one before hangs has lost it.
 */
static bool
new_one_wins(const struct torrent *t, const struct peer *old,
	     const struct peer *new)
{
	struct peer_view view;
	bool ours_is_greater = memcmp(t->swarm.peer_id, peer_remote_id(new),
				      20) > 0;

	peer_look(old, &view);
	if (view.ended || (view.hangs && peer_incoming(new)))
		return true;
	if (view.incoming == peer_incoming(new) ||
	    clock_ns() - view.connected_at > SAME_MOMENT)
		return false;
	return peer_incoming(new) != ours_is_greater;
}

static enum torrent_away
judge_locked(struct torrent *t, const struct peer *p) REQUIRES(t->peers_lock)
{
	size_t admitted = 0;

	for (size_t i = 0; i < t->peer_count; i++) {
		struct torrent_peer *other = &t->peers[i];

		if (other->peer == p || !other->admitted || other->leaving)
			continue;
		/* An id is the peer's own claim: whoever copies another's
		 * must not take its place. */
		if (memcmp(peer_remote_id(other->peer), peer_remote_id(p),
			   20) != 0 ||
		    !addr_same_ip(peer_addr(other->peer), peer_addr(p))) {
			admitted++;
			continue;
		}
		if (!new_one_wins(t, other->peer, p))
			return AWAY_DOUBLE;
		torrent_part(other, AWAY_NOT);	/* p's place */
	}
	if (admitted >= t->env.config->max_peers &&
	    !torrent_make_room_locked(t, clock_ns()) &&
	    !torrent_turn_over_locked(t, p, clock_ns()))
		return AWAY_NO_PLACE;
	return AWAY_NOT;
}

/* Where a peer that we dialled was known from. */
static const char *
source_name(enum peer_source source)
{
	static const char *const names[PEER_SOURCES] = {
		[PEER_TRACKER] = " (tracker)",
		[PEER_DHT] = " (dht)",
		[PEER_PEX] = " (pex)",
		[PEER_LSD] = " (lsd)",
		[PEER_INCOMING] = "",
		[PEER_MANUAL] = " (manual)",
		[PEER_HOLEPUNCH] = " (holepunch)",
	};

	return names[source];
}

static const char *
describe(unsigned method)
{
	if (method == MSE_RC4)
		return ", encrypted";
	return method == MSE_PLAIN ? ", plain after an encrypted handshake"
				   : "";
}

/* True if it has a place; *source is what it is known from. */
static bool
give_place(struct torrent *t, const struct peer *p, enum peer_source *source,
	   const char **why)
{
	struct torrent_peer *entry;
	enum torrent_away away = AWAY_NOT;
	bool welcome = false;

	mutex_lock(&t->peers_lock);
	if (!t->peers_closed) {
		away = judge_locked(t, p);
		welcome = away == AWAY_NOT;
	}
	entry = find_locked(t, p);
	if (entry) {
		entry->admitted = welcome;
		entry->away = away;
		*source = entry->source;
	}
	mutex_unlock(&t->peers_lock);
	*why = away == AWAY_NO_PLACE ? "no place for it" :
	       away == AWAY_DOUBLE   ? "connected already" : "stopped";
	return welcome;
}

static bool
admit(void *ctx, struct peer *p, const char **why)
{
	struct torrent *t = ctx;
	char text[ADDR_TEXT_MAX];
	enum peer_source source = PEER_INCOMING;

	*why = "ourselves";
	if (memcmp(peer_remote_id(p), t->swarm.peer_id, 20) == 0) {
		peer_set_ourselves(p);
		return false;
	}
	if (!give_place(t, p, &source, why))
		return false;
	if (!peer_incoming(p) &&
	    !peerlist_connected(t->peerlist, peer_addr(p))) {
		*why = peerlist_is_banned(t->peerlist, peer_addr(p))
			   ? "banned" : "connected already";
		return false;
	}
	atomic_fetch_add(&t->ever_admitted, 1);
	if (log_wants(t->env.log, LOG_DETAIL))
		log_write(t->env.log, LOG_DETAIL, t->name,
			  "peer %u %s%s: %s%s%s", peer_id_number(p),
			  addr_format(peer_addr(p), text),
			  source_name(source),
			  peer_incoming(p) ? "came in" : "connected",
			  describe(peer_method(p)),
			  peer_utp(p) ? ", by uTP" : "");
	return true;
}

static void
on_piece(void *ctx, uint32_t piece)
{
	struct torrent *t = ctx;

	(void)piece;
	/* Telling may wait for more; the end may not. */
	if (!atomic_exchange(&t->tell_soon, true) ||
	    picker_missing(t->swarm.picker) == 0)
		wake_up(t->env.wake);
}

static void
on_blocks_free(void *ctx)
{
	struct torrent *t = ctx;

	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++)
		if (peer_is_idle(t->peers[i].peer))
			peer_wake(t->peers[i].peer);
	torrent_webseeds_wake_locked(t);
	mutex_unlock(&t->peers_lock);
}

static void
on_outrun(void *ctx, const uint32_t *ids, size_t n)
{
	struct torrent *t = ctx;

	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++)
		for (size_t k = 0; k < n; k++)
			if (peer_id_number(t->peers[i].peer) == ids[k])
				peer_wake(t->peers[i].peer);
	for (size_t k = 0; k < n; k++)
		torrent_webseeds_outrun_locked(t, ids[k]);
	mutex_unlock(&t->peers_lock);
}

/* False when the key is no web seed's. */
static bool
blame_webseed(struct torrent *t, uint64_t source, uint32_t piece)
{
	enum webseed_verdict verdict;
	char text[ERROR_TEXT_MAX];
	const char *url;

	mutex_lock(&t->peers_lock);
	url = torrent_webseeds_blame_locked(t, source, piece, &verdict);
	mutex_unlock(&t->peers_lock);
	if (url && verdict != WEBSEED_BAD_KNOWN)
		log_write(t->env.log, LOG_WARNING, t->name,
			  "web seed %s is left alone%s: it sent bad data for "
			  "piece %u", text_url(text, sizeof(text), url),
			  verdict == WEBSEED_BAD_NEWS ? " with that file" : "",
			  piece);
	return url != NULL;
}

static void
on_ban(void *ctx, uint64_t source, uint32_t piece)
{
	struct torrent *t = ctx;
	char text[ADDR_TEXT_MAX];
	struct addr who = {0};
	bool news;

	if (blame_webseed(t, source, piece))
		return;
	news = peerlist_ban(t->peerlist, source);
	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++) {
		struct peer *p = t->peers[i].peer;

		if (peer_source(p) != source)
			continue;
		peer_stop(p);
		who = *peer_addr(p);
	}
	mutex_unlock(&t->peers_lock);
	/* What it sent before may be found to be bad long after. */
	if (!news)
		return;
	log_write(t->env.log, LOG_DETAIL, t->name,
		  "%s is banned: it sent bad data for piece %u",
		  who.family ? addr_format_ip(&who, text) : "a peer that left",
		  piece);
}

static void
on_interest(void *ctx)
{
	struct torrent *t = ctx;

	if (!atomic_exchange(&t->choke_soon, true))
		wake_up(t->env.wake);
}

enum torrent_reach
torrent_reach(const struct addr *a)
{
	if (addr_is_loopback(a))
		return REACH_HOST;
	return addr_is_local(a) ? REACH_NETWORK : REACH_WORLD;
}

/* Of this connection. */
static enum torrent_reach
reach_of_locked(const struct torrent *t, uint32_t id) REQUIRES(t->peers_lock)
{
	for (size_t i = 0; i < t->peer_count; i++)
		if (peer_id_number(t->peers[i].peer) == id)
			return torrent_reach(peer_addr(t->peers[i].peer));
	return REACH_WORLD;
}

/* Those that others can dial: where they listen is known, and is no nearer to
 * us than who is told.  What is in our own network, or on our host, is nothing
 * to strangers. */
static size_t
on_connected(void *ctx, uint32_t id, struct pex_peer *out, size_t max)
{
	struct torrent *t = ctx;
	enum torrent_reach least;
	size_t n = 0;

	mutex_lock(&t->peers_lock);
	least = reach_of_locked(t, id);
	for (size_t i = 0; i < t->peer_count && n < max; i++) {
		const struct peer *p = t->peers[i].peer;
		struct addr a = peer_listen_addr(p);
		struct peer_view v;

		peer_look(p, &v);
		if (!v.admitted || v.ended || v.id == id || a.port == 0 ||
		    listener_is_name(&a) || torrent_reach(&a) < least)
			continue;
		out[n].addr = a;
		/* Who is encrypted may take nothing else. */
		out[n].flags = (uint8_t)((v.encrypted ? PEX_ENCRYPT : 0) |
					 (v.upload_only ? PEX_SEED : 0) |
					 (v.utp ? PEX_UTP : 0) |
					 (v.holepunch ? PEX_HOLEPUNCH : 0) |
					 (v.incoming ? 0 : PEX_REACHABLE));
		n++;
	}
	mutex_unlock(&t->peers_lock);
	return n;
}

static void
on_found(void *ctx, uint32_t id, const struct pex_peer *peers, size_t n)
{
	struct torrent *t = ctx;
	int64_t now = clock_ns();
	size_t news = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned flags = 0;

		if (peers[i].flags & PEX_SEED)
			flags |= PEERLIST_SEED;
		news += peerlist_add(t->peerlist, &peers[i].addr, PEER_PEX,
				     flags, now);
		if (peers[i].flags & PEX_HOLEPUNCH)
			peerlist_add_relay(t->peerlist, &peers[i].addr, id);
	}
	torrent_relay_tells(t, id);
	if (news > 0)
		log_write(t->env.log, LOG_DEBUG, t->name,
			  "new peers by peer %u: %zu", id, news);
	wake_up(t->env.wake);
}

static void
on_dht_node(void *ctx, const struct addr *node)
{
	struct torrent *t = ctx;

	udp_add_node(t->env.udp, node);
}

static void
on_metadata(void *ctx)
{
	struct torrent *t = ctx;

	wake_up(t->env.wake);
}

static void
on_storage(void *ctx, const struct error *e)
{
	struct torrent *t = ctx;

	mutex_lock(&t->failure_lock);
	if (t->failure.kind == ERROR_NONE)
		t->failure = *e;
	mutex_unlock(&t->failure_lock);
	atomic_store(&t->failed, true);
	wake_up(t->env.wake);
}

static void
on_hangs(void *ctx)
{
	struct torrent *t = ctx;

	atomic_store(&t->hangs_soon, true);
	wake_up(t->env.wake);
}

static void
on_ended(void *ctx, struct peer *p)
{
	struct torrent *t = ctx;

	(void)p;
	wake_up(t->env.wake);
}

void
torrent_swarm_init(struct torrent *t)
{
	t->swarm.events = (struct swarm_events){
		.ctx = t,
		.admit = admit,
		.piece = on_piece,
		.blocks_free = on_blocks_free,
		.outrun = on_outrun,
		.ban = on_ban,
		.interest = on_interest,
		.connected = on_connected,
		.found = on_found,
		.hangs = on_hangs,
		.dht_node = on_dht_node,
		.metadata = on_metadata,
		.storage = on_storage,
		.ended = on_ended,
	};
	torrent_punch_init(t);
}
