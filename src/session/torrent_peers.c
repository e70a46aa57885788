/*
 * A torrent's connections: who is let in, whom we dial, who may download,
 * who is told of new pieces, and who leaves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "discover/announce.h"
#include "discover/peerlist.h"
#include "meta/metainfo.h"
#include "net/mse.h"
#include "session/listener.h"
#include "session/torrent_parts.h"
#include "swarm/choker.h"
#include "swarm/havelog.h"
#include "swarm/pex.h"
#include "swarm/picker.h"

#define SHAKING_MAX 16		/* handshakes beyond --max-peers */
/* More than the listener holds half-open, so that it knows that others wait
 * behind addresses that do not answer. */
#define DIALLING_MAX 300
#define DIALS_A_SECOND 100
#define DIALS_AT_ONCE 200	/* after a while without any */
#define ENOUGH_PEERS 30		/* with fewer, trackers are asked for more */
#define CHOKE_AGAIN (100 * CLOCK_MS)
#define RATE_WINDOW (2 * CLOCK_S)	/* shorter ones say little */
#define TELL_AGAIN (50 * CLOCK_MS)
#define PRUNE_EACH (10 * CLOCK_S)
#define USELESS_AFTER (60 * CLOCK_S)
#define SAME_MOMENT (10 * CLOCK_S)

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
	unsigned left = atomic_load(t->env.peers_left);

	while (left > 0)
		if (atomic_compare_exchange_weak(t->env.peers_left, &left,
						 left - 1))
			return true;
	return false;
}

static void
refuse(const struct peer_start *start)
{
	mse_free(start->mse);
	close(start->fd);
}

/* Takes over what is in it; false when there is no place. */
static bool
add_peer(struct torrent *t, struct peer_start start)
{
	struct torrent_peer entry = {
		.useful_at = clock_ns(),
		.source = start.incoming ? PEER_INCOMING
					 : peerlist_source(t->peerlist,
							   &start.addr),
	};
	bool added = false;

	start.swarm = &t->swarm;
	start.id = atomic_fetch_add(&t->next_id, 1);
	start.source = peerlist_key(t->peerlist, &start.addr);
	if (!torrent_take_place(t)) {
		refuse(&start);
		return false;
	}
	mutex_lock(&t->peers_lock);
	if (!room_for_one_locked(t)) {
		refuse(&start);
	} else {
		if (!start.incoming)
			entry.dialled = start.addr;
		entry.peer = peer_new(&start, NULL);
		added = entry.peer != NULL;
		if (added) {
			t->peers[t->peer_count++] = entry;
			/* Under the lock: whoever closes the torrent then
			 * knows that a thread is there. */
			atomic_fetch_add(&t->connected, 1);
		}
	}
	mutex_unlock(&t->peers_lock);
	if (!added)
		atomic_fetch_add(t->env.peers_left, 1);
	return added;
}

static bool
is_open(const struct torrent *t)
{
	enum torrent_phase phase = torrent_phase(t);

	/* A magnet link's peers stay while its files are looked at. */
	if (phase == PHASE_OPENING || phase == PHASE_CHECKING ||
	    phase == PHASE_PREPARING)
		return t->link != NULL;
	return phase == PHASE_METADATA || phase == PHASE_DOWNLOADING ||
	       phase == PHASE_FINISHING || phase == PHASE_SEEDING;
}

bool
torrent_wants(const struct torrent *t, const uint8_t info_hash[20])
{
	return is_open(t) && memcmp(t->id, info_hash, 20) == 0;
}

bool
torrent_wants_secret(const struct torrent *t, const uint8_t hash[20])
{
	return is_open(t) && memcmp(t->secret_hash, hash, 20) == 0;
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
		add_peer(t, start);
}

/* Encrypted, unless that has just failed, or plain was right before. */
static bool
encrypts(struct torrent *t, const struct addr *to)
{
	if (!t->env.rc4)
		return false;
	return t->env.config->encryption == ENCRYPTION_REQUIRE ||
	       !(peerlist_flags(t->peerlist, to) & PEERLIST_PLAIN);
}

/* Takes the descriptor over; false when there is no place for the peer. */
static bool
admit_dialled(struct torrent *t, struct peer_start start)
{
	if (is_open(t))
		return add_peer(t, start);
	close(start.fd);
	return false;
}

void
torrent_dialled(struct torrent *t, const struct addr *to, int fd, int sys)
{
	struct peer_start start = {.fd = fd, .addr = *to};
	char text[ADDR_TEXT_MAX];
	struct error e;

	start.encrypt = encrypts(t, to);
	if (fd < 0 && sys != EMFILE && sys != ENFILE) {
		peerlist_failed(t->peerlist, to, PEER_UNREACHABLE, clock_ns());
		error_sys(&e, ERROR_NETWORK, sys, "cannot connect to %s",
			  addr_format(to, text));
		log_write(t->env.log, LOG_DETAIL, t->name, "%s", e.text);
	} else if (fd < 0 || !admit_dialled(t, start)) {
		peerlist_return(t->peerlist, to);	/* no fault of its own */
	}
	atomic_fetch_sub(&t->dialling, 1);
	wake_up(t->env.wake);
}

/* ---- the swarm's events: called by peer threads ---- */

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
 * both ends, both sides keep the one that the greater peer id began.
 */
static bool
new_one_wins(const struct torrent *t, const struct peer *old,
	     const struct peer *new)
{
	struct peer_view view;
	bool ours_is_greater = memcmp(t->swarm.peer_id, peer_remote_id(new),
				      20) > 0;

	peer_look(old, &view);
	if (view.ended)
		return true;
	if (view.incoming == peer_incoming(new) ||
	    clock_ns() - view.connected_at > SAME_MOMENT)
		return false;
	return peer_incoming(new) != ours_is_greater;
}

static bool
is_welcome_locked(struct torrent *t, const struct peer *p)
    REQUIRES(t->peers_lock)
{
	size_t admitted = 0;

	for (size_t i = 0; i < t->peer_count; i++) {
		struct torrent_peer *other = &t->peers[i];

		if (other->peer == p || !other->admitted)
			continue;
		if (memcmp(peer_remote_id(other->peer), peer_remote_id(p),
			   20) != 0) {
			admitted++;
			continue;
		}
		if (!new_one_wins(t, other->peer, p))
			return false;
		peer_stop(other->peer);	/* p takes its place */
	}
	return admitted < t->env.config->max_peers;
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
		[PEER_HOLEPUNCH] = " (pex)",
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

static bool
admit(void *ctx, struct peer *p)
{
	struct torrent *t = ctx;
	struct torrent_peer *entry;
	char text[ADDR_TEXT_MAX];
	enum peer_source source = PEER_INCOMING;
	bool welcome;

	if (memcmp(peer_remote_id(p), t->swarm.peer_id, 20) == 0) {
		peer_is_ourselves(p);
		return false;
	}
	mutex_lock(&t->peers_lock);
	welcome = !t->peers_closed && is_welcome_locked(t, p);
	entry = find_locked(t, p);
	if (entry) {
		entry->admitted = welcome;
		source = entry->source;
	}
	mutex_unlock(&t->peers_lock);
	if (!welcome)
		return false;
	if (!peer_incoming(p) && !peerlist_connected(t->peerlist, peer_addr(p)))
		return false;
	atomic_fetch_add(&t->ever_admitted, 1);
	if (log_wants(t->env.log, LOG_DETAIL))
		log_write(t->env.log, LOG_DETAIL, t->name, "peer %u %s%s: %s%s",
			  peer_id_number(p), addr_format(peer_addr(p), text),
			  source_name(source),
			  peer_incoming(p) ? "came in" : "connected",
			  describe(peer_method(p)));
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
ban_webseed(struct torrent *t, uint64_t source, uint32_t piece)
{
	char text[ERROR_TEXT_MAX];
	const char *url;

	mutex_lock(&t->peers_lock);
	url = torrent_webseeds_ban_locked(t, source);
	mutex_unlock(&t->peers_lock);
	if (url)
		log_write(t->env.log, LOG_WARNING, t->name,
			  "web seed %s is left alone: it sent bad data for "
			  "piece %u", text_url(text, sizeof(text), url),
			  piece);
	return url != NULL;
}

static void
on_ban(void *ctx, uint64_t source, uint32_t piece)
{
	struct torrent *t = ctx;
	char text[ADDR_TEXT_MAX];
	struct addr who = {0};

	if (ban_webseed(t, source, piece))
		return;
	peerlist_ban(t->peerlist, source);
	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++) {
		struct peer *p = t->peers[i].peer;

		if (peer_source(p) != source)
			continue;
		peer_stop(p);
		who = *peer_addr(p);
	}
	mutex_unlock(&t->peers_lock);
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

/* Those that others can dial: where they listen is known. */
static size_t
on_connected(void *ctx, uint32_t id, struct pex_peer *out, size_t max)
{
	struct torrent *t = ctx;
	size_t n = 0;

	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count && n < max; i++) {
		const struct peer *p = t->peers[i].peer;
		struct addr a = peer_listen_addr(p);
		struct peer_view v;

		peer_look(p, &v);
		if (!v.admitted || v.ended || v.id == id || a.port == 0)
			continue;
		out[n].addr = a;
		out[n].flags = (uint8_t)((v.upload_only ? PEX_SEED : 0) |
					 (v.incoming ? 0 : PEX_REACHABLE));
		n++;
	}
	mutex_unlock(&t->peers_lock);
	return n;
}

static void
on_found(void *ctx, const struct pex_peer *peers, size_t n)
{
	struct torrent *t = ctx;
	int64_t now = clock_ns();

	for (size_t i = 0; i < n; i++) {
		unsigned flags = 0;

		if (peers[i].flags & PEX_SEED)
			flags |= PEERLIST_SEED;
		if (peers[i].flags & PEX_ENCRYPT)
			flags |= PEERLIST_ENCRYPT;
		peerlist_add(t->peerlist, &peers[i].addr, PEER_PEX, flags,
			     now);
	}
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
on_ended(void *ctx, struct peer *p)
{
	struct torrent *t = ctx;

	(void)p;
	wake_up(t->env.wake);
}

void
torrent_peers_init(struct torrent *t)
{
	mutex_init(&t->peers_lock);
	mutex_init(&t->failure_lock);
	t->choke_due = CLOCK_NEVER;
	t->dial_tokens = DIALS_AT_ONCE;
	atomic_store(&t->next_id, 1);
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
		.dht_node = on_dht_node,
		.metadata = on_metadata,
		.storage = on_storage,
		.ended = on_ended,
	};
}

/* ---- dialling ---- */

static void
refill_tokens(struct torrent *t, int64_t now)
{
	int64_t span = clock_min(now - t->dial_tokens_at, CLOCK_S);
	int64_t add = span * DIALS_A_SECOND / CLOCK_S;

	if (add <= 0)
		return;
	t->dial_tokens_at = now;
	t->dial_tokens += (unsigned)add;
	if (t->dial_tokens > DIALS_AT_ONCE)
		t->dial_tokens = DIALS_AT_ONCE;
}

static bool
may_dial(const struct torrent *t)
{
	unsigned dialling = atomic_load(&t->dialling);

	return is_open(t) && dialling < DIALLING_MAX &&
	       atomic_load(&t->connected) < t->env.config->max_peers &&
	       atomic_load(t->env.peers_left) > 0;
}

void
torrent_dial(struct torrent *t, int64_t now)
{
	struct peer_candidate c;

	refill_tokens(t, now);
	while (t->dial_tokens > 0 && may_dial(t) &&
	       peerlist_next(t->peerlist, now, &c)) {
		t->dial_tokens--;
		atomic_fetch_add(&t->dialling, 1);
		if (listener_dial(t->env.listener, t->index, &c.addr) < 0) {
			atomic_fetch_sub(&t->dialling, 1);
			peerlist_return(t->peerlist, &c.addr);
			break;
		}
	}
	if ((torrent_phase(t) == PHASE_DOWNLOADING ||
	     torrent_phase(t) == PHASE_METADATA) &&
	    atomic_load(&t->connected) < ENOUGH_PEERS &&
	    peerlist_next_due(t->peerlist, now) > now)
		announce_want_peers(t->announce);
}

/* ---- telling ---- */

void
torrent_tell(struct torrent *t, int64_t now)
{
	size_t end;

	if (!atomic_load(&t->tell_soon) || now - t->told_at < TELL_AGAIN)
		return;
	/* In this order: a piece that comes later sets it again. */
	atomic_store(&t->tell_soon, false);
	end = havelog_length(t->swarm.havelog);
	t->told_at = now;
	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++) {
		struct peer_view v;

		peer_look(t->peers[i].peer, &v);
		if (v.admitted && !v.seed && v.told < end)
			peer_wake(t->peers[i].peer);
	}
	mutex_unlock(&t->peers_lock);
}

/* ---- choking ---- */

static void
measure(struct torrent_peer *tp, const struct peer_view *v, int64_t span)
{
	uint64_t span_ms = (uint64_t)(span / CLOCK_MS);

	tp->down_bps = (v->downloaded - tp->last_down) * 1000 / span_ms;
	tp->up_bps = (v->uploaded - tp->last_up) * 1000 / span_ms;
	tp->last_down = v->downloaded;
	tp->last_up = v->uploaded;
}

static struct choker_peer
snapshot(const struct torrent_peer *tp, const struct peer_view *v)
{
	return (struct choker_peer){
		.id = v->id,
		.interested = v->interested,
		.unchoked = v->ordered_unchoke,
		.optimistic = tp->optimistic,
		.upload_only = v->upload_only,
		.snubbed = v->snubbed,
		.down_bps = tp->down_bps,
		.up_bps = tp->up_bps,
		.sent_since_unchoke = v->uploaded - tp->up_at_unchoke,
		.connected_at = v->connected_at,
		.changed_at = tp->changed_at,
		.optimistic_at = tp->optimistic_at,
	};
}

static size_t
collect_locked(struct torrent *t, struct choker_peer *out, int64_t now)
    REQUIRES(t->peers_lock)
{
	int64_t span = now - t->measured_at;
	size_t n = 0;

	for (size_t i = 0; i < t->peer_count; i++) {
		struct torrent_peer *tp = &t->peers[i];
		struct peer_view v;

		peer_look(tp->peer, &v);
		if (!v.admitted || v.ended)
			continue;
		if (span >= RATE_WINDOW)
			measure(tp, &v, span);
		out[n++] = snapshot(tp, &v);
	}
	if (span >= RATE_WINDOW)
		t->measured_at = now;
	return n;
}

static void
apply_locked(struct torrent *t, const struct choker_peer *c, int64_t now)
    REQUIRES(t->peers_lock)
{
	for (size_t i = 0; i < t->peer_count; i++) {
		struct torrent_peer *tp = &t->peers[i];
		struct peer_view v;

		if (peer_id_number(tp->peer) != c->id)
			continue;
		if (c->unchoke_optimistic && !tp->optimistic)
			tp->optimistic_at = now;
		tp->optimistic = c->unchoke_optimistic;
		if (c->unchoke == c->unchoked)
			return;
		peer_look(tp->peer, &v);
		tp->up_at_unchoke = v.uploaded;
		tp->changed_at = now;
		peer_order_unchoke(tp->peer, c->unchoke);
		return;
	}
}

static bool
choke_locked(struct torrent *t, struct choker_peer *peers, int64_t now)
    REQUIRES(t->peers_lock)
{
	size_t slots = choker_slots(t->env.config->up_limit);
	struct choker_config c = {
		.slots = slots,
		.optimistic = choker_optimistic(slots),
		.seeding = atomic_load(&t->swarm.complete),
		.piece_length = t->meta->piece_length,
		.now = now,
		.seed = random_u64(),
	};
	size_t n = collect_locked(t, peers, now);
	bool again = false;

	choker_run(&c, peers, n);
	for (size_t i = 0; i < n; i++) {
		if (peers[i].unchoke != peers[i].unchoked ||
		    peers[i].unchoke_optimistic != peers[i].optimistic)
			apply_locked(t, &peers[i], now);
		again = again || peers[i].interested || peers[i].unchoke;
	}
	return again;
}

void
torrent_choke(struct torrent *t, int64_t now)
{
	struct choker_peer *peers = NULL;
	bool soon = atomic_load(&t->choke_soon) &&
		    now - t->choked_at >= CHOKE_AGAIN;
	bool again = true;

	if ((!soon && now < t->choke_due) || !atomic_load(&t->swarm.ready))
		return;
	atomic_store(&t->choke_soon, false);
	mutex_lock(&t->peers_lock);
	if (t->peer_count > 0)
		peers = calloc(t->peer_count, sizeof(*peers));
	if (peers)
		again = choke_locked(t, peers, now);
	else
		again = t->peer_count > 0;
	mutex_unlock(&t->peers_lock);
	free(peers);
	t->choked_at = now;
	t->choke_due = again ? now + CHOKER_PERIOD_NS : CLOCK_NEVER;
}

/* ---- leaving ---- */

/* Here and not with the choker, which rests while nobody wants our data. */
static void
note_use(struct torrent_peer *tp, int64_t now)
{
	struct peer_view v;

	peer_look(tp->peer, &v);
	if (v.downloaded + v.uploaded == tp->moved)
		return;
	tp->moved = v.downloaded + v.uploaded;
	tp->useful_at = now;
}

/* With every place taken, those who are of no use make room. */
void
torrent_prune(struct torrent *t, int64_t now)
{
	struct torrent_peer *worst = NULL;

	if (atomic_load(&t->connected) < t->env.config->max_peers ||
	    now - t->pruned_at < PRUNE_EACH)
		return;
	t->pruned_at = now;
	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++) {
		struct torrent_peer *tp = &t->peers[i];

		note_use(tp, now);
		if (!worst || tp->useful_at < worst->useful_at)
			worst = tp;
	}
	if (worst && now - worst->useful_at > USELESS_AFTER)
		peer_stop(worst->peer);
	mutex_unlock(&t->peers_lock);
}

/* What its end says about the address. */
static void
note_end(struct torrent *t, const struct torrent_peer *tp, int64_t now)
{
	struct peer_view v;
	struct addr a = tp->dialled;
	bool useful;

	peer_look(tp->peer, &v);
	useful = v.downloaded + v.uploaded > 0 || v.seed;
	if (!a.family) {
		a = peer_listen_addr(tp->peer);
		if (tp->admitted && a.port != 0 && v.end != PEER_END_BROKE)
			peerlist_add(t->peerlist, &a, PEER_INCOMING, 0, now);
		return;
	}
	if (v.seed)
		peerlist_set_flags(t->peerlist, &a, PEERLIST_SEED);
	if (v.end == PEER_END_OURSELVES)
		peerlist_is_self(t->peerlist, &a);
	else if (v.end == PEER_END_BROKE)
		peerlist_failed(t->peerlist, &a, PEER_REJECTED, now);
	else if (v.end == PEER_END_REFUSED && t->env.rc4 &&
		 t->env.config->encryption == ENCRYPTION_PREFER)
		peerlist_refused(t->peerlist, &a, now);
	else if (v.end == PEER_END_REFUSED)
		peerlist_failed(t->peerlist, &a, PEER_BAD_HANDSHAKE, now);
	else
		peerlist_disconnected(t->peerlist, &a, useful, now);
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
		atomic_fetch_add(t->env.peers_left, 1);
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
torrent_disconnect(struct torrent *t)
{
	torrent_webseeds_stop(t);
	listener_forget(t->env.listener, t->index);
	mutex_lock(&t->peers_lock);
	t->peers_closed = true;
	for (size_t i = 0; i < t->peer_count; i++)
		peer_stop(t->peers[i].peer);
	mutex_unlock(&t->peers_lock);
}

void
torrent_peers_release(struct torrent *t)
{
	mutex_lock(&t->peers_lock);
	t->peers_closed = true;
	for (size_t i = 0; i < t->peer_count; i++)
		peer_stop(t->peers[i].peer);
	mutex_unlock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++)
		peer_free(t->peers[i].peer);
	torrent_webseeds_release(t);
	free(t->peers);
	mutex_release(&t->peers_lock);
	mutex_release(&t->failure_lock);
}

int64_t
torrent_peers_due(const struct torrent *t, int64_t now)
{
	int64_t due = t->choke_due;

	if (atomic_load(&t->choke_soon) && atomic_load(&t->swarm.ready))
		due = clock_min(due, t->choked_at + CHOKE_AGAIN);
	if (atomic_load(&t->tell_soon))
		due = clock_min(due, t->told_at + TELL_AGAIN);
	if (atomic_load(&t->connected) >= t->env.config->max_peers)
		due = clock_min(due, t->pruned_at + PRUNE_EACH);
	if (may_dial(t)) {
		int64_t dial = peerlist_next_due(t->peerlist, now);

		if (t->dial_tokens == 0 && dial <= now)
			dial = now + CLOCK_S / DIALS_A_SECOND;
		due = clock_min(due, dial);
	}
	return due;
}
