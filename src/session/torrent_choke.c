/*
 * What a torrent does about its connections as time goes by: who is told of
 * new pieces, who may download, who makes room.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "discover/peerlist.h"
#include "meta/metainfo.h"
#include "net/ratelimit.h"
#include "session/torrent_parts.h"
#include "swarm/choker.h"
#include "swarm/havelog.h"
#include "swarm/places.h"

#define CHOKE_AGAIN (100 * CLOCK_MS)
#define RATE_WINDOW (2 * CLOCK_S)	/* shorter ones say little */
#define TELL_AGAIN (50 * CLOCK_MS)
#define PRUNE_EACH (1 * CLOCK_S)
#define PRUNE_AT_ONCE 8
#define LOOKED_AT 128			/* addresses, for as many */
#define TURN_EACH (60 * CLOCK_S)	/* one of all goes */
#define TURN_AGE (60 * CLOCK_S)		/* that long it had */
#define GIVE_AGE (10 * CLOCK_S)		/* or so, for a torrent without any */
#define TURN_PLACES 8			/* with fewer it may be all we have */
#define HARDLY_BPS 2048			/* but not if it gives so little, */
#define HARDLY_EACH (15 * CLOCK_S)	/* and that one goes sooner */
#define HARDLY_PAUSE (3 * CLOCK_S)	/* since its last block */

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
measure(struct torrent_peer *tp, const struct peer_view *v, int64_t since,
	int64_t now)
{
	int64_t here = since > v->connected_at ? since : v->connected_at;
	int64_t span = now - here > RATE_WINDOW ? now - here : RATE_WINDOW;
	uint64_t span_ms = (uint64_t)(span / CLOCK_MS);
	uint64_t down = (v->downloaded - tp->last_down) * 1000 / span_ms;

	if (v->uploaded != tp->last_up)
		tp->took_at = now;
	tp->down_bps = tp->measured
			       ? choker_average(tp->down_bps, down, span)
			       : down;
	tp->measured = true;
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
		.lags = v->lags,
		.down_bps = tp->down_bps,
		.up_bps = tp->up_bps,
		.sent_since_unchoke = v->uploaded - tp->up_at_unchoke,
		.connected_at = v->connected_at,
		.changed_at = tp->changed_at,
		.took_at = tp->took_at,
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
			measure(tp, &v, t->measured_at, now);
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

/* 0 stays what it is: no limit. */
static uint64_t
part_of(uint64_t limit, unsigned sharers)
{
	if (limit == 0 || sharers < 2)
		return limit;
	return limit / sharers > 0 ? limit / sharers : 1;
}

static int64_t
choke_locked(struct torrent *t, struct choker_peer *peers, int64_t now)
    REQUIRES(t->peers_lock)
{
	uint64_t limit = *t->env.up_known;
	size_t slots = choker_slots(part_of(limit, *t->env.up_sharers));
	struct choker_config c = {
		.slots = slots,
		.optimistic = choker_optimistic(slots),
		.seeding = atomic_load(&t->swarm.complete),
		.limited = limit > 0,
		.piece_length = t->meta->piece_length,
		.now = now,
		.seed = random_u64(),
	};
	size_t n = collect_locked(t, peers, now);

	choker_run(&c, peers, n);
	t->asked = false;
	for (size_t i = 0; i < n; i++)
		t->asked = t->asked || peers[i].interested;
	for (size_t i = 0; i < n; i++)
		if (peers[i].unchoke != peers[i].unchoked ||
		    peers[i].unchoke_optimistic != peers[i].optimistic)
			apply_locked(t, &peers[i], now);
	return choker_pause(&c, peers, n);
}

bool
torrent_is_asked(const struct torrent *t)
{
	return t->asked && torrent_is_open(t);
}

void
torrent_choke(struct torrent *t, int64_t now)
{
	struct choker_peer *peers = NULL;
	bool soon = atomic_load(&t->choke_soon) &&
		    now - t->choked_at >= CHOKE_AGAIN;
	int64_t pause = CHOKER_PERIOD_NS;

	if ((!soon && now < t->choke_due) || !atomic_load(&t->swarm.ready))
		return;
	atomic_store(&t->choke_soon, false);
	mutex_lock(&t->peers_lock);
	if (t->peer_count > 0)
		peers = calloc(t->peer_count, sizeof(*peers));
	if (peers)
		pause = choke_locked(t, peers, now);
	else if (t->peer_count == 0)
		pause = CLOCK_NEVER;
	t->asked = t->asked && t->peer_count > 0;
	mutex_unlock(&t->peers_lock);
	free(peers);
	t->choked_at = now;
	t->choke_due = pause == CLOCK_NEVER ? pause : now + pause;
}

/* ---- making room ---- */

/* Here and not with the choker, which rests while nobody wants our data. */
static int64_t
until_locked(const struct torrent *t, struct torrent_peer *tp, int64_t now)
    REQUIRES(t->peers_lock)
{
	struct places_peer about = {0};
	struct peer_view v;

	peer_look(tp->peer, &v);
	if (v.downloaded + v.uploaded != tp->moved) {
		tp->moved = v.downloaded + v.uploaded;
		tp->moved_at = now;
	}
	about.connected_at = v.connected_at;
	about.moved_at = tp->moved_at;
	about.unchoked_at = v.ordered_unchoke ? tp->changed_at : 0;
	about.interesting = v.interesting;
	about.interested = v.interested;
	return places_until(&about, atomic_load(&t->swarm.ready));
}

bool
torrent_make_room_locked(struct torrent *t, int64_t now)
{
	struct torrent_peer *worst = NULL;
	int64_t earliest = now;

	for (size_t i = 0; i < t->peer_count; i++) {
		struct torrent_peer *tp = &t->peers[i];
		int64_t until;

		if (!tp->admitted || tp->leaving)
			continue;
		until = until_locked(t, tp, now);
		if (until < earliest) {
			earliest = until;
			worst = tp;
		}
	}
	if (!worst)
		return false;
	torrent_part(worst, AWAY_NOT);
	return true;
}

/* The slowest of those of this source, or (0) of all that have had so much
 * time and whom the user did not name; and its bytes a second. */
static struct torrent_peer *
slowest_locked(struct torrent *t, uint64_t of, int64_t now,
	       int64_t least_age, double *least) REQUIRES(t->peers_lock)
{
	struct torrent_peer *slowest = NULL;

	for (size_t i = 0; i < t->peer_count; i++) {
		struct torrent_peer *tp = &t->peers[i];
		struct peer_view v;
		double bps;
		int64_t age;

		if (!tp->admitted || tp->leaving || tp->source == PEER_MANUAL ||
		    (of && peer_source(tp->peer) != of))
			continue;
		peer_look(tp->peer, &v);
		age = now - v.connected_at;
		if (!of && age < least_age)
			continue;
		bps = (double)(v.downloaded + v.uploaded) * CLOCK_S /
		    (double)(age > 0 ? age : 1);
		if (!slowest || bps < *least) {
			slowest = tp;
			*least = bps;
		}
	}
	return slowest;
}

static size_t
count_admitted_locked(const struct torrent *t) REQUIRES(t->peers_lock)
{
	size_t n = 0;

	for (size_t i = 0; i < t->peer_count; i++)
		n += t->peers[i].admitted && !t->peers[i].leaving;
	return n;
}

/* The source (an address, or a network of IPv6) that has more than half of the
 * places, or 0. */
static uint64_t
crowd_locked(const struct torrent *t, size_t places) REQUIRES(t->peers_lock)
{
	uint64_t crowd = 0;
	size_t ahead = 0, of_it = 0;

	for (size_t i = 0; i < t->peer_count; i++) {
		uint64_t source = peer_source(t->peers[i].peer);

		if (!t->peers[i].admitted || t->peers[i].leaving)
			continue;
		if (ahead == 0)
			crowd = source;
		if (source == crowd)
			ahead++;
		else
			ahead--;
	}
	for (size_t i = 0; i < t->peer_count; i++) {
		if (!t->peers[i].admitted || t->peers[i].leaving)
			continue;
		of_it += peer_source(t->peers[i].peer) == crowd;
	}
	return 2 * of_it > places ? crowd : 0;
}

/* By its mean, and nothing came just now; with a limit of our own it may not
 * be to blame. */
static bool
gives_hardly(const struct torrent *t, const struct torrent_peer *tp,
	     double bps, int64_t now) REQUIRES(t->peers_lock)
{
	return bps < HARDLY_BPS && now - tp->moved_at >= HARDLY_PAUSE &&
	       !ratelimit_enabled(t->env.down);
}

/* Whose turn is over, as we download. */
static struct torrent_peer *
turn_of_locked(struct torrent *t, size_t places, int64_t now)
    REQUIRES(t->peers_lock)
{
	struct torrent_peer *tp;
	double bps = 0;

	if (now - t->turned_at < HARDLY_EACH)
		return NULL;
	tp = slowest_locked(t, 0, now, TURN_AGE, &bps);
	if (!tp || (!gives_hardly(t, tp, bps, now) &&
		    (places < TURN_PLACES || now - t->turned_at < TURN_EACH)))
		return NULL;
	t->turned_at = now;
	return tp;
}

bool
torrent_turn_over_locked(struct torrent *t, const struct peer *newcomer,
			 int64_t now)
{
	size_t places = count_admitted_locked(t);
	uint64_t crowd = 0;
	struct torrent_peer *tp = NULL;
	double bps;

	if (newcomer && places >= TURN_PLACES)
		crowd = crowd_locked(t, places);
	if (crowd && newcomer && peer_source(newcomer) != crowd)
		tp = slowest_locked(t, crowd, now, 0, &bps);
	else if (!atomic_load(&t->swarm.complete))
		tp = turn_of_locked(t, places, now);
	if (!tp)
		return false;
	torrent_part(tp, AWAY_TURN_OVER);
	return true;
}

static bool
is_full(const struct torrent *t, int64_t now)
{
	return atomic_load(&t->connected) >= t->env.config->max_peers ||
	       !pool_may_take(t->env.pool, &t->pool, now);
}

/* To a torrent that has none: one that is of no use, or, if this one has more
 * than its share, the slowest, or a web seed's. */
static void
give_back(struct torrent *t, int64_t now)
{
	struct torrent_peer *tp;
	bool given;
	double bps;

	mutex_lock(&t->peers_lock);
	given = torrent_make_room_locked(t, now);
	tp = given || !pool_is_too_much(t->env.pool, &t->pool) ? NULL
		: slowest_locked(t, 0, now, GIVE_AGE, &bps);
	if (tp) {
		torrent_part(tp, AWAY_TURN_OVER);
		given = true;
	}
	mutex_unlock(&t->peers_lock);
	if (!given && pool_is_too_much(t->env.pool, &t->pool))
		given = torrent_webseeds_give(t);
	if (given)
		pool_yield(&t->pool, now);
}

/* Addresses that could be called, but for those that are here already, having
 * come by themselves: nobody makes room for them. */
static size_t
count_waiting(struct torrent *t, int64_t now)
{
	struct addr ready[LOOKED_AT];
	size_t n = peerlist_ready(t->peerlist, now, ready, LOOKED_AT);
	size_t waiting = 0;

	for (size_t i = 0; i < n && waiting < PRUNE_AT_ONCE; i++)
		waiting += !torrent_came_in(t, &ready[i]);
	return waiting;
}

/* With every place taken, those who are of no use make room, for as many as
 * wait; what comes in makes its own, unless there was no place at all.  While
 * all are of some use, one goes now and then. */
void
torrent_prune(struct torrent *t, int64_t now)
{
	size_t waiting;

	if (!is_full(t, now) || now - t->pruned_at < PRUNE_EACH)
		return;
	t->pruned_at = now;
	if (atomic_load(&t->pool.held) == 0)
		return;		/* who was turned away makes it hungry */
	if (pool_is_short(t->env.pool, &t->pool)) {
		give_back(t, now);
		return;
	}
	waiting = count_waiting(t, now) +
		  atomic_exchange(&t->turned_away, false);
	if (waiting > PRUNE_AT_ONCE)
		waiting = PRUNE_AT_ONCE;
	mutex_lock(&t->peers_lock);
	while (waiting > 0 && torrent_make_room_locked(t, now))
		waiting--;
	if (waiting > 0)
		torrent_turn_over_locked(t, NULL, now);
	mutex_unlock(&t->peers_lock);
}

static int64_t
prune_due(const struct torrent *t, int64_t now)
{
	int64_t due = now;

	if (!is_full(t, now))
		return CLOCK_NEVER;
	if (!atomic_load(&t->turned_away) &&
	    !pool_is_short(t->env.pool, &t->pool))
		due = peerlist_next_due(t->peerlist, now);
	return due < t->pruned_at + PRUNE_EACH ? t->pruned_at + PRUNE_EACH
					       : due;
}

/* Whoever came and found no place may come again, so often. */
#define COMES_AGAIN (30 * CLOCK_S)

void
torrent_mind_hunger(struct torrent *t, int64_t now)
{
	struct pool *pool = t->env.pool;
	bool hungry = pool_wants(&t->pool), wants = false;

	if (atomic_load(&t->pool.held) > 0) {
		pool_want(pool, &t->pool, false);
		return;
	}
	if (hungry || !pool_may_take(pool, &t->pool, now)) {
		if (atomic_exchange(&t->turned_away, false))
			t->comes_until = now + COMES_AGAIN;
		wants = now < t->comes_until ||
			peerlist_next_due(t->peerlist, now) <= now ||
			atomic_load(&t->dialling) > 0 ||
			atomic_load(&t->utp_dialling) > 0 ||
			torrent_webseeds_wait(t, now);
	}
	if (!hungry && now < atomic_load(&t->pool.waits_until))
		wants = false;
	pool_want(pool, &t->pool, wants && torrent_is_open(t));
}

int64_t
torrent_choke_due(const struct torrent *t, int64_t now)
{
	int64_t due = t->choke_due;

	if (pool_wants(&t->pool))
		due = clock_min(due, now + PRUNE_EACH);

	if (atomic_load(&t->choke_soon) && atomic_load(&t->swarm.ready))
		due = clock_min(due, t->choked_at + CHOKE_AGAIN);
	if (atomic_load(&t->tell_soon))
		due = clock_min(due, t->told_at + TELL_AGAIN);
	return clock_min(due, prune_due(t, now));
}
