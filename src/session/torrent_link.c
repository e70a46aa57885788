/*
 * Magnet links: what the torrent holds is looked for beside the data, where
 * an earlier run may have saved it, and else asked of peers.  From then on
 * it is a torrent like any other.  So are the piece layers of a v2 torrent,
 * where its .torrent lacks them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "discover/announce.h"
#include "meta/bencode.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "net/names.h"
#include "session/exit.h"
#include "session/listener.h"
#include "session/torrent_parts.h"
#include "swarm/layers.h"
#include "swarm/metadata.h"

#define TWICE_AGAIN (20 * CLOCK_MS)
#define TORRENT_EXTRA (4u << 20)	/* URLs beside the info */
#define HOST_SIZE_MAX 255

void
torrent_metadata_name(const struct torrent *t, char *out, size_t size)
{
	snprintf(out, size, "%s.torrent", t->hash_hex);
}

void
torrent_set_meta(struct torrent *t, struct metainfo *meta)
{
	t->meta = meta;
	t->swarm.meta = meta;
	metainfo_hex(meta, t->state_hex);
	torrent_set_hashes(t, meta->has_v1 ? meta->hash_v1 : NULL,
			   meta->has_v2 ? meta->hash_v2 : NULL);
	atomic_store(&t->wanted_bytes, meta->content_length);
	text_clean(t->last_name, sizeof(t->last_name), meta->name);
	torrent_set_name(t, t->last_name);
	torrent_seek_judge(t);
}

/* ---- saving: trackers' URLs may hold keys ---- */

static void
put_tracker(const char *url, struct buffer *out)
{
	bencode_put_list(out);
	bencode_put_str(out, url);
	bencode_put_end(out);
}

static void
put_trackers(const struct torrent *t, struct buffer *out)
{
	const struct magnet *link = t->link;
	const struct torrent_texts *more = &t->more.trackers;
	size_t linked = link ? link->tracker_count : 0;
	size_t own = !link || t->uses_trackers ? t->meta->tracker_count : 0;

	if (linked + own + more->count == 0)
		return;
	bencode_put_str(out, "announce-list");
	bencode_put_list(out);
	for (size_t i = 0; i < linked; i++)
		put_tracker(link->trackers[i], out);
	for (size_t i = 0; i < own; i++)
		put_tracker(t->meta->trackers[i].url, out);
	for (size_t i = 0; i < more->count; i++)
		put_tracker(more->all[i], out);
	bencode_put_end(out);
}

/* Those of a .torrent; a link has its own with it. */
static void
put_web_seeds(const struct metainfo *m, struct buffer *out)
{
	if (m->web_seed_count == 0)
		return;
	bencode_put_str(out, "url-list");
	bencode_put_list(out);
	for (uint32_t i = 0; i < m->web_seed_count; i++)
		bencode_put_str(out, m->web_seeds[i]);
	bencode_put_end(out);
}

/* A hybrid is found by its other hash as well; where links cannot be made it
 * is asked for once more. */
static void
link_metadata(const struct torrent *t, const char *name)
{
	const struct metainfo *m = t->meta;
	char hex[STATS_HASH_MAX], other[STATS_HASH_MAX + 16];

	for (int i = 0; m->has_v1 && m->has_v2 && i < 2; i++) {
		if (i == 0)
			hex_encode(hex, m->hash_v1, sizeof(m->hash_v1));
		else
			hex_encode(hex, m->hash_v2, sizeof(m->hash_v2));
		snprintf(other, sizeof(other), "%s.torrent", hex);
		if (strcmp(other, name) != 0 &&
		    linkat(t->folder.state, name, t->folder.state, other,
			   0) < 0)
			log_write(t->env.log, LOG_DETAIL, t->name,
				  "'%s' is not saved as '%s' too", name,
				  other);
	}
}

/* With its piece layers. */
static int
save_fetched(struct torrent *t, const char *name, struct error *e)
{
	int status = folder_save_secret(t->folder.state, name, t->fetch.data,
					t->fetch.size, e);

	torrent_fetch_forget(t);
	if (status == 0)
		link_metadata(t, name);
	return status;
}

/* So that the next run begins at once; the worker's. */
int
torrent_save_metadata(struct torrent *t, struct error *e)
{
	char name[STATS_HASH_MAX + 16];
	const struct layers *l = atomic_load(&t->swarm.layers);
	struct buffer b;
	int status;

	if (!t->save_metadata)
		return 0;
	t->save_metadata = false;
	torrent_metadata_name(t, name, sizeof(name));
	if (t->fetch.data && !l)
		return save_fetched(t, name, e);
	buffer_init(&b, t->meta->info_size + TORRENT_EXTRA +
			(l ? 2 * (size_t)LAYERS_SIZE_MAX : 0));
	bencode_put_dict(&b);
	put_trackers(t, &b);
	bencode_put_str(&b, "info");
	buffer_put(&b, t->meta->info, t->meta->info_size);
	if (l) {
		bencode_put_str(&b, "piece layers");
		layers_put(l, &b);
	}
	put_web_seeds(t->meta, &b);
	bencode_put_end(&b);
	if (b.failed)
		status = error_memory(e);
	else
		status = folder_save_secret(t->folder.state, name, b.data,
					    b.used, e);
	if (status == 0)
		link_metadata(t, name);
	buffer_release(&b);
	return status;
}

/* ---- peers that the link names ---- */

static void
on_resolved(void *ctx, const struct addr *addrs, size_t count,
	    const struct error *e, unsigned failures)
{
	struct torrent *t = ctx;

	if (failures > 0)
		log_write(t->env.log, LOG_DETAIL, t->name,
			  "a peer of the link: %s", e->text);
	for (size_t i = 0; i < count; i++)
		torrent_add_peer(t, &addrs[i]);
}

/* They are its own: what is under way ends with it. */
static int
look_up(struct torrent *t, const char *host, uint16_t port, struct error *e)
{
	struct resolver *r = announcer_resolver(t->env.announcer);

	if (!t->names)
		t->names = names_new(r, t, on_resolved, t, e);
	return t->names ? names_add(t->names, host, port, e) : -1;
}

void
torrent_ask_peer(struct torrent *t, const char *host, uint16_t port)
{
	struct addr a;
	struct error e;

	if (listener_name(t->env.listener, host, port, &a))
		torrent_add_peer(t, &a);	/* by the proxy */
	else if (look_up(t, host, port, &e) < 0)
		log_write(t->env.log, LOG_DETAIL, t->name,
			  "a peer of the link: %s", e.text);
}

void
torrent_ask_link_peers(struct torrent *t)
{
	char host[HOST_SIZE_MAX + 1];
	uint16_t port;

	for (size_t i = 0; t->link && i < t->link->peer_count; i++)
		torrent_ask_peer(t, t->link->peers[i].host,
				 t->link->peers[i].port);
	for (size_t i = 0; i < t->more.peers.count; i++)
		if (addr_split(t->more.peers.all[i], host, sizeof(host),
			       &port))
			torrent_ask_peer(t, host, port);
}

int64_t
torrent_mind_names(struct torrent *t, int64_t now)
{
	return t->names ? names_mind(t->names, now) : CLOCK_NEVER;
}

/* ---- finding out ---- */

/* What we have saved, or the link names, tells where a private torrent is
 * announced, which nobody else would. */
static void
take_private_trackers(struct torrent *t)
{
	t->uses_trackers = t->meta->private;
	if (t->uses_trackers)
		torrent_announce_more(t);
}

static void
begin_opening(struct torrent *t)
{
	torrent_fetch_end(t);
	/* Nobody looks whether it still does, before it downloads. */
	pool_want(t->env.pool, &t->pool, false);
	torrent_set_phase(t, PHASE_OPENING);
	torrent_job(t, torrent_job_open);
}

bool
torrent_give_way(struct torrent *t)
{
	if (worker_busy(&t->job))
		return false;
	t->gave_way = true;
	torrent_stop(t, EXIT_COMPLETE, "named twice");
	lock_release(&t->lock);
	return true;
}

bool
torrent_gave_way(const struct torrent *t)
{
	return t->gave_way;
}

/* ---- piece layers ---- */

bool
torrent_fits(const struct torrent *t, const struct metainfo *m)
{
	if (t->link)
		return magnet_fits(t->link, m);
	return m->has_v2 && memcmp(m->hash_v2, t->meta->hash_v2,
				   sizeof(m->hash_v2)) == 0;
}

static bool
has_layers(const struct metainfo *m)
{
	for (uint32_t i = 0; m->trees && i < m->file_count; i++)
		if (m->trees[i].layer)
			return true;
	return false;
}

int
torrent_make_layers(struct torrent *t, struct error *e)
{
	struct layers *l = layers_new(t->meta, e);

	if (!l)
		return -1;
	if (has_layers(t->meta))
		layers_fill(l, t->meta);
	atomic_store(&t->swarm.layers, l);
	return 0;
}

/* They are not in the metadata; peers that know v2 have them. */
static void
begin_layers(struct torrent *t)
{
	struct error e;

	if (!atomic_load(&t->swarm.layers) && torrent_make_layers(t, &e) < 0) {
		torrent_fail(t, &e);
		return;
	}
	t->most_bytes = 0;
	t->news_at = clock_ns();
	torrent_wake_peers(t);
}

/* False while some are missing. */
static bool
apply_layers(struct torrent *t)
{
	struct layers *l = atomic_load(&t->swarm.layers);

	if (l && layers_done(l))
		layers_apply(l, t->meta);
	return !metainfo_lacks_layers(t->meta);
}

void
torrent_take_layers(struct torrent *t, const struct metainfo *m)
{
	struct layers *l = atomic_load(&t->swarm.layers);

	if (!l || !torrent_is_link(t) || !has_layers(m))
		return;
	layers_fill(l, m);
	t->save_metadata = true;
}

/* ---- the phases ---- */

int64_t
torrent_tick_looking(struct torrent *t, int64_t now)
{
	int64_t due;

	if (torrent_waits(t, now, &due))
		return due;
	if (t->job_error.kind != ERROR_NONE) {
		torrent_fail(t, &t->job_error);
		return now;
	}
	if (t->meta) {
		switch (t->env.named_twice(&t->env, t)) {
		case TWICE_WAIT:
			return clock_min(torrent_await(t, now),
					 now + TWICE_AGAIN);
		case TWICE_THIS:
			torrent_give_way(t);
			return now;
		case TWICE_NOT:
			take_private_trackers(t);
		}
		if (apply_layers(t)) {
			begin_opening(t);
			return now;
		}
	}
	/* What is complete here has left its metadata. */
	if (t->lock_error.kind != ERROR_NONE) {
		torrent_fail(t, &t->lock_error);
		return now;
	}
	if (!torrent_go_online(t))
		return now;
	t->news_at = now;
	torrent_set_phase(t, PHASE_METADATA);
	torrent_announce(t);
	if (t->meta)
		begin_layers(t);
	return now;
}

/* The metadata came from peers. */
static void
go_on(struct torrent *t)
{
	enum torrent_twice twice = t->env.named_twice(&t->env, t);

	t->ask_again = twice == TWICE_WAIT;
	if (twice == TWICE_THIS) {
		torrent_give_way(t);
	} else if (twice == TWICE_NOT) {
		torrent_announce(t);	/* by another hash, perhaps */
		if (metainfo_lacks_layers(t->meta))
			begin_layers(t);
		else
			begin_opening(t);
	}
}

/* False when the torrent has failed. */
static bool
set_meta(struct torrent *t, struct metainfo *meta)
{
	if (magnet_fits(t->link, meta)) {
		torrent_set_meta(t, meta);
		return true;
	}
	torrent_fail_with(t, EXIT_TORRENT,
			  "the link's two hashes are not of one torrent");
	return false;
}

/* It matches the hash; it must be a torrent, too. */
static void
take_metadata(struct torrent *t, uint8_t *info, size_t size)
{
	struct metainfo *meta;
	struct error e;

	meta = metainfo_from_info(info, size, NULL, 0, &e);
	free(info);
	if (!meta) {
		torrent_fail(t, &e);
	} else if (!set_meta(t, meta)) {
		metainfo_free(meta);
	} else {
		t->save_metadata = true;
		go_on(t);
	}
}

bool
torrent_take_file(struct torrent *t, struct metainfo *meta)
{
	if (!set_meta(t, meta))
		return false;
	t->has_file = true;
	metadata_end(t->swarm.metadata);
	torrent_announce_more(t);
	if (torrent_phase(t) == PHASE_METADATA)
		go_on(t);
	return true;
}

void
torrent_take_fetched(struct torrent *t, struct metainfo *meta)
{
	torrent_set_meta(t, meta);
	take_private_trackers(t);
	t->save_metadata = true;
	metadata_end(t->swarm.metadata);
	go_on(t);
}

static void
note_news(struct torrent *t, int64_t now)
{
	struct layers *l = atomic_load(&t->swarm.layers);
	uint64_t done, size;

	if (l)
		layers_progress(l, &done, &size);
	else
		metadata_progress(t->swarm.metadata, &done, &size);
	if (torrent_fetch_has_come(t))
		t->news_at = now;
	if (done <= t->most_bytes)
		return;
	t->most_bytes = done;
	t->news_at = now;
}

int64_t
torrent_tick_metadata(struct torrent *t, int64_t now)
{
	struct layers *l = atomic_load(&t->swarm.layers);
	int64_t due;
	size_t size;
	uint8_t *info;

	if (t->ask_again) {
		go_on(t);
		return t->ask_again ? clock_min(torrent_await(t, now),
						now + TWICE_AGAIN) : now;
	}
	info = metadata_take(t->swarm.metadata, &size);
	if (info) {
		take_metadata(t, info, size);
		return now;
	}
	if (l && layers_done(l)) {
		apply_layers(t);
		t->save_metadata = true;
		begin_opening(t);
		return now;
	}
	torrent_fetch(t, now);
	if (torrent_phase(t) != PHASE_METADATA)
		return now;
	note_news(t, now);
	if (torrent_out_of_time(t, now))
		return now;
	torrent_mind_peers(t, now);
	torrent_explain(t, now);
	due = clock_min(torrent_peers_due(t, now), t->explain_due);
	due = clock_min(due, torrent_mind_names(t, now));
	due = clock_min(due, torrent_fetch_due(t));
	return clock_min(due, torrent_time_left(t));
}
