/*
 * By what a torrent is known, and where it is announced.  A hybrid has two
 * hashes and thus two swarms, which we join with one set of data: trackers,
 * the DHT and local discovery are asked by each hash, and who comes by either
 * is let in.
 */
#include <stdlib.h>
#include <string.h>

#include "discover/announce.h"
#include "discover/peerlist.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "net/mse.h"
#include "session/listener.h"
#include "session/torrent_parts.h"

#define UNKNOWN_LEFT 16384	/* of a link; trackers want a number */

/* ---- hashes ---- */

void
torrent_set_hashes(struct torrent *t, const uint8_t *v1, const uint8_t *v2)
{
	unsigned known = atomic_load(&t->swarm.versions);

	if (v1 && !(known & SWARM_V1)) {
		memcpy(t->swarm.hash_v1, v1, sizeof(t->swarm.hash_v1));
		mse_torrent_hash(t->secret_v1, v1);
		atomic_fetch_or(&t->swarm.versions, SWARM_V1);
	}
	if (v2 && !(known & SWARM_V2)) {
		memcpy(t->swarm.hash_v2, v2, sizeof(t->swarm.hash_v2));
		mse_torrent_hash(t->secret_v2, v2);
		atomic_fetch_or(&t->swarm.versions, SWARM_V2);
	}
	torrent_tell_hybrid(t);
}

void
torrent_tell_hybrid(struct torrent *t)
{
	const unsigned both = SWARM_V1 | SWARM_V2;

	if (t->peerlist && atomic_load(&t->swarm.versions) == both)
		peerlist_set_hybrid(t->peerlist);
}

const uint8_t *
torrent_hash(const struct torrent *t, enum torrent_version version)
{
	unsigned known = atomic_load(&t->swarm.versions);

	if (version == TORRENT_V1)
		return known & SWARM_V1 ? t->swarm.hash_v1 : NULL;
	return known & SWARM_V2 ? t->swarm.hash_v2 : NULL;
}

bool
torrent_is(const struct torrent *t, const uint8_t *v1, const uint8_t *v2)
{
	const uint8_t *ours = torrent_hash(t, TORRENT_V1);

	if (ours && v1 && memcmp(ours, v1, 20) == 0)
		return true;
	ours = torrent_hash(t, TORRENT_V2);
	return ours && v2 && memcmp(ours, v2, 20) == 0;
}

bool
torrent_same(const struct torrent *t, const struct torrent *other)
{
	return torrent_is(t, torrent_hash(other, TORRENT_V1),
			  torrent_hash(other, TORRENT_V2));
}

const uint8_t *
torrent_by_secret(const struct torrent *t, const uint8_t hash[20])
{
	const uint8_t *v1 = torrent_hash(t, TORRENT_V1);
	const uint8_t *v2 = torrent_hash(t, TORRENT_V2);

	if (v1 && memcmp(t->secret_v1, hash, 20) == 0)
		return v1;
	return v2 && memcmp(t->secret_v2, hash, 20) == 0 ? v2 : NULL;
}

/* ---- trackers ---- */

/* A seed calls those who want something, too: one that nobody can reach has
 * no other way to give it to them. */
static bool
wants_peers(const struct torrent *t)
{
	enum torrent_phase phase = torrent_phase(t);

	return phase <= PHASE_DOWNLOADING ||
	       (phase <= PHASE_SEEDING && torrent_will_seed(t));
}

static void
announce_stats(void *ctx, struct announce_stats *out)
{
	struct torrent_announce *ta = ctx;
	struct torrent *t = ta->torrent;

	out->uploaded = atomic_load(&t->swarm.uploaded);
	out->downloaded = atomic_load(&t->swarm.downloaded);
	out->want_peers = wants_peers(t);
	out->left = UNKNOWN_LEFT;
	if (!t->swarm.picker)
		return;
	out->left = torrent_left(t);
	out->paused = torrent_is_partial_seed(t);
}

static void
announce_peers(void *ctx, const struct addr *peers, size_t count)
{
	struct torrent_announce *ta = ctx;
	struct torrent *t = ta->torrent;
	bool by_v2 = ta == &t->announces[TORRENT_V2];
	int64_t now = clock_ns();

	for (size_t i = 0; i < count; i++)
		peerlist_add(t->peerlist, &peers[i], PEER_TRACKER,
			     by_v2 ? PEERLIST_V2 : 0, now);
}

/* The proxy's business, if there is one. */
static bool
announce_name(void *ctx, const char *host, uint16_t port)
{
	struct torrent_announce *ta = ctx;
	struct addr a;

	if (!listener_name_of_strangers(ta->torrent->env.listener, host, port,
					&a))
		return false;
	if (a.family != 0)
		announce_peers(ctx, &a, 1);
	return true;
}

static void
announce_external(void *ctx, const struct addr *ip)
{
	struct torrent_announce *ta = ctx;

	peerlist_set_external(ta->torrent->peerlist, ip);
}

/* URLs, tier after tier. */
struct list {
	const char **urls;
	size_t *sizes;
	size_t used;
	size_t tiers;
};

static void
list_release(struct list *l)
{
	free(l->urls);
	free(l->sizes);
}

static void
list_url(struct list *l, const char *url, bool same_tier)
{
	l->urls[l->used++] = url;
	l->tiers += !same_tier;
	l->sizes[l->tiers - 1]++;
}

/* All but a .torrent's are a tier each. */
static void
fill_list(const struct torrent *t, const struct metainfo *m, struct list *l)
{
	for (size_t i = 0; t->link && i < t->link->tracker_count; i++)
		list_url(l, t->link->trackers[i], false);
	for (uint32_t i = 0; m && i < m->tracker_count; i++)
		list_url(l, m->trackers[i].url,
			 i > 0 && m->trackers[i].tier ==
				      m->trackers[i - 1].tier);
	for (size_t i = 0; i < t->more.trackers.count; i++)
		list_url(l, t->more.trackers.all[i], false);
}

static int
list_trackers(const struct torrent *t, struct list *l, struct error *e)
{
	const struct metainfo *m =
	    !t->link || t->has_file || t->uses_trackers ? t->meta : NULL;
	size_t room = t->more.trackers.count + 1;

	room += t->link ? t->link->tracker_count : 0;
	room += m ? m->tracker_count : 0;
	*l = (struct list){.urls = calloc(room, sizeof(*l->urls)),
			   .sizes = calloc(room, sizeof(*l->sizes))};
	if (l->urls && l->sizes) {
		fill_list(t, m, l);
		return 0;
	}
	list_release(l);
	error_memory(e);
	return -1;
}

/* What trackers object to is said once: many know v1 hashes alone. */
static int
make_announce(struct torrent *t, enum torrent_version version,
	      struct error *e)
{
	struct torrent_announce *ta = &t->announces[version];
	struct announce_callbacks callbacks = {
		.ctx = ta,
		.stats = announce_stats,
		.peers = announce_peers,
		.name = announce_name,
		.external = announce_external,
	};
	struct announce_torrent about = {
		.log = t->env.log,
		.name = t->name,
		.owner = t,
		.quiet = version == TORRENT_V2 && torrent_hash(t, TORRENT_V1),
	};
	struct list l;

	if (list_trackers(t, &l, e) < 0)
		return -1;
	ta->torrent = t;
	memcpy(about.info_hash, torrent_hash(t, version), 20);
	memcpy(about.peer_id, t->swarm.peer_id, 20);
	about.tier_count = l.tiers;
	about.urls = l.urls;
	about.tier_sizes = l.sizes;
	ta->announce = announce_new(t->env.announcer, &about, &callbacks, e);
	list_release(&l);
	return ta->announce ? 0 : -1;
}

int
torrent_announces_make(struct torrent *t, struct error *e)
{
	for (int v = 0; v < TORRENT_VERSIONS; v++) {
		enum torrent_version version = (enum torrent_version)v;

		if (torrent_hash(t, version) && !t->announces[v].announce &&
		    make_announce(t, version, e) < 0)
			return -1;
	}
	return 0;
}

void
torrent_announces_free(struct torrent *t)
{
	for (int v = 0; v < TORRENT_VERSIONS; v++)
		announce_free(t->announces[v].announce);
}

/* Those that are known are passed over. */
void
torrent_announce_more(struct torrent *t)
{
	struct announce_torrent more = {0};
	struct error e;
	struct list l;

	if (list_trackers(t, &l, &e) < 0) {
		log_write(t->env.log, LOG_WARNING, t->name, "%s", e.text);
		return;
	}
	more.urls = l.urls;
	more.tier_sizes = l.sizes;
	more.tier_count = l.tiers;
	for (int v = 0; v < TORRENT_VERSIONS; v++)
		if (t->announces[v].announce &&
		    announce_add(t->announces[v].announce, &more, &e) != 0)
			log_write(t->env.log, LOG_WARNING, t->name, "%s",
				  e.text);
	list_release(&l);
}

static void
tell_left_out(const struct torrent *t)
{
	size_t n = t->link ? t->link->trackers_left_out
			   : t->meta->trackers_left_out;

	if (n > 0)
		log_write(t->env.log, LOG_WARNING, t->name, "the last %zu "
			  "trackers are left out: it has more than %d", n,
			  METAINFO_TRACKERS_MAX);
}

/* Metadata may have told of another hash since the last time. */
void
torrent_announce(struct torrent *t)
{
	struct error e;

	torrent_seek(t);
	if (torrent_announces_make(t, &e) < 0)
		log_write(t->env.log, LOG_WARNING, t->name, "%s", e.text);
	for (int v = 0; v < TORRENT_VERSIONS; v++) {
		struct torrent_announce *ta = &t->announces[v];

		if (!ta->announce || ta->started)
			continue;
		ta->started = true;
		announce_start(ta->announce);
	}
	if (t->announced)
		return;
	t->announced = true;
	tell_left_out(t);
	torrent_ask_link_peers(t);
}

static void
each_started(struct torrent *t, void (*call)(struct announce *an))
{
	for (int v = 0; v < TORRENT_VERSIONS; v++)
		if (t->announces[v].started)
			call(t->announces[v].announce);
}

void
torrent_announce_stop(struct torrent *t)
{
	each_started(t, announce_stop);
}

void
torrent_announce_completed(struct torrent *t)
{
	each_started(t, announce_completed);
}

void
torrent_announce_want_peers(struct torrent *t)
{
	each_started(t, announce_want_peers);
}

void
torrent_announce_hurry(struct torrent *t)
{
	each_started(t, announce_hurry);
}

void
torrent_announce_slept(struct torrent *t, int64_t ns)
{
	for (int v = 0; v < TORRENT_VERSIONS; v++)
		if (t->announces[v].started)
			announce_slept(t->announces[v].announce, ns);
}

bool
torrent_announce_idle(const struct torrent *t)
{
	for (int v = 0; v < TORRENT_VERSIONS; v++)
		if (t->announces[v].started &&
		    !announce_idle(t->announces[v].announce))
			return false;
	return true;
}

/* What is said of trackers is what the first hash's say. */
void
torrent_announce_status(const struct torrent *t, struct announce_status *out)
{
	const struct torrent_announce *ta = &t->announces[TORRENT_V1];

	if (!ta->announce)
		ta = &t->announces[TORRENT_V2];
	announce_get_status(ta->announce, out);
}
