#include "session/torrent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "discover/announce.h"
#include "discover/peerlist.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "net/mse.h"
#include "session/exit.h"
#include "session/listener.h"
#include "session/torrent_parts.h"
#include "store/files.h"
#include "store/layout.h"
#include "store/verify.h"
#include "swarm/blame.h"
#include "swarm/hasher.h"
#include "swarm/havelog.h"
#include "swarm/metadata.h"
#include "swarm/picker.h"

#define SAVE_EACH (30 * CLOCK_S)
#define STOP_TIMEOUT (5 * CLOCK_S)	/* for trackers to hear of the end */
#define EXPLAIN_EACH (5 * CLOCK_S)
#define UNKNOWN_LEFT 16384	/* of a link; trackers want a number */
#define PEER_ID_PREFIX "-BG0100-"

void
torrent_set_phase(struct torrent *t, enum torrent_phase phase)
{
	atomic_store(&t->phase, (int)phase);
}

/* ---- making and freeing ---- */

static int
read_back(void *ctx, uint32_t piece, uint32_t offset, void *buf, size_t n,
	struct error *e)
{
	struct torrent *t = ctx;

	return files_read(t->swarm.files,
			  (uint64_t)piece * t->meta->piece_length + offset,
			  buf, n, e);
}

static void
announce_stats(void *ctx, struct announce_stats *out)
{
	struct torrent *t = ctx;

	out->uploaded = atomic_load(&t->swarm.uploaded);
	out->downloaded = atomic_load(&t->swarm.downloaded);
	out->want_peers = torrent_phase(t) <= PHASE_DOWNLOADING;
	out->left = UNKNOWN_LEFT;
	if (!t->swarm.picker)
		return;
	out->left = torrent_left(t);
}

static void
announce_peers(void *ctx, const struct addr *peers, size_t count)
{
	struct torrent *t = ctx;
	int64_t now = clock_ns();

	for (size_t i = 0; i < count; i++)
		peerlist_add(t->peerlist, &peers[i], PEER_TRACKER, 0, now);
}

static void
announce_external(void *ctx, const struct addr *ip)
{
	struct torrent *t = ctx;

	peerlist_set_external(t->peerlist, ip);
}

/* The trackers' URLs, tier after tier; a link's are a tier each. */
static size_t
list_trackers(const struct torrent *t, const char **urls, size_t *sizes)
{
	const struct metainfo *m = t->meta;
	size_t tiers = 0;

	for (size_t i = 0; t->link && i < t->link->tracker_count; i++) {
		urls[i] = t->link->trackers[i];
		sizes[tiers++] = 1;
	}
	for (uint32_t i = 0; !t->link && i < m->tracker_count; i++) {
		urls[i] = m->trackers[i].url;
		if (i == 0 || m->trackers[i].tier != m->trackers[i - 1].tier)
			tiers++;
		sizes[tiers - 1]++;
	}
	return tiers;
}

static int
make_announce(struct torrent *t, struct error *e)
{
	size_t count = t->link ? t->link->tracker_count
			       : t->meta->tracker_count;
	struct announce_callbacks callbacks = {
		.ctx = t,
		.stats = announce_stats,
		.peers = announce_peers,
		.external = announce_external,
	};
	struct announce_torrent about = {.name = t->name};
	const char **urls = calloc(count + 1, sizeof(*urls));
	size_t *sizes = calloc(count + 1, sizeof(*sizes));

	if (urls && sizes) {
		memcpy(about.info_hash, t->id, 20);
		memcpy(about.peer_id, t->swarm.peer_id, 20);
		about.tier_count = list_trackers(t, urls, sizes);
		about.urls = urls;
		about.tier_sizes = sizes;
		t->announce = announce_new(t->env.announcer, &about,
					   &callbacks, e);
	} else {
		error_memory(e);
	}
	free(urls);
	free(sizes);
	return t->announce ? 0 : -1;
}

static int
make_parts(struct torrent *t, struct error *e)
{
	struct peerlist_config config = {
		.max = PEERLIST_MAX,
		.port = listener_port(t->env.listener),
		.blocklist = t->env.blocklist,
	};

	random_bytes(config.key, sizeof(config.key));
	t->peerlist = peerlist_new(&config, e);
	if (!t->peerlist)
		return -1;
	if (t->link) {
		t->swarm.metadata = metadata_new(t->id, e);
		if (!t->swarm.metadata)
			return -1;
	}
	return make_announce(t, e);
}

/* What it is called, and by what it is known. */
static void
take_source(struct torrent *t, const struct torrent_source *source)
{
	const struct magnet *link = source->link;

	atomic_store(&t->name, t->first_name);
	t->link = source->link;
	memcpy(t->id, link ? link->hash_v1 : metainfo_id(source->meta),
	       sizeof(t->id));
	hex_encode(t->hash_hex, t->id, sizeof(t->id));
	memcpy(t->swarm.info_hash, t->id, sizeof(t->id));
	text_clean(t->first_name, sizeof(t->first_name),
		   link ? link->name ? link->name : t->hash_hex
			: source->meta->name);
	atomic_store(&t->swarm.name, t->first_name);
	if (!link)
		torrent_set_meta(t, source->meta);
}

struct torrent *
torrent_new(const struct torrent_env *env, uint32_t index,
	    const struct torrent_source *source, struct error *e)
{
	struct torrent *t = calloc(1, sizeof(*t));

	if (!t) {
		metainfo_free(source->meta);
		magnet_free(source->link);
		error_memory(e);
		return NULL;
	}
	t->env = *env;
	t->index = index;
	t->folder.dir = t->folder.state = t->lock.fd = -1;
	mutex_init(&t->view_lock);
	torrent_peers_init(t);
	take_source(t, source);
	mse_torrent_hash(t->secret_hash, t->id);
	memcpy(t->swarm.peer_id, PEER_ID_PREFIX, 8);
	random_bytes(t->swarm.peer_id + 8, 12);
	t->swarm.down = env->down;
	t->swarm.up = env->up;
	t->swarm.rc4 = env->rc4;
	t->swarm.methods = env->methods;
	t->swarm.use_pex = env->config->use_pex;
	t->swarm.log = env->log;
	atomic_store(&t->swarm.port, listener_port(env->listener));
	torrent_seek_init(t);
	t->begun_at = clock_ns();
	if (make_parts(t, e) < 0) {
		torrent_free(t);
		return NULL;
	}
	t->news_at = t->begun_at;
	torrent_set_phase(t, t->meta ? PHASE_OPENING : PHASE_LOOKING);
	torrent_job(t, t->meta ? torrent_job_open : torrent_job_look);
	return t;
}

void
torrent_free(struct torrent *t)
{
	if (!t)
		return;
	torrent_peers_release(t);
	torrent_close_disk(t);
	announce_free(t->announce);
	peerlist_free(t->peerlist);
	picker_free(t->swarm.picker);
	hasher_free(t->swarm.hasher);
	havelog_free(t->swarm.havelog);
	blame_free(t->swarm.blame);
	metadata_free(t->swarm.metadata);
	magnet_free(t->link);
	mutex_release(&t->view_lock);
	free(t->file_left);
	metainfo_free(t->meta);
	free(t);
}

/* ---- the end ---- */

void
torrent_stop(struct torrent *t, int code, const char *reason)
{
	enum torrent_phase phase = torrent_phase(t);

	if (phase >= PHASE_ENDING)
		return;
	t->code = code;
	atomic_store(&t->gave_up, code > 0 && code < EXIT_SIGNAL);
	snprintf(t->reason, sizeof(t->reason), "%s", reason);
	atomic_store(&t->stop_disk, true);
	if (t->verify)
		verify_stop(t->verify);
	t->ending_until = clock_ns() + STOP_TIMEOUT;
	t->save_at_end = phase >= PHASE_DOWNLOADING;
	torrent_disconnect(t);
	if (t->announced)
		announce_stop(t->announce);
	torrent_seek_stop(t);
	torrent_set_phase(t, PHASE_ENDING);
}

/* An error ends it; its text is the one line that the user gets. */
static void
fail(struct torrent *t, int code, const char *text)
{
	enum log_level level = code == EXIT_LOCKED ? LOG_WARNING : LOG_ERROR;

	log_write(t->env.log, level, t->name, "%s", text);
	torrent_stop(t, code, text);
}

void
torrent_fail(struct torrent *t, const struct error *e)
{
	fail(t, exit_for(e->kind), e->text);
}

static void
tell_end(struct torrent *t)
{
	const struct session_events *events = t->env.events;
	struct stats_torrent now;

	torrent_stats(t, &now);
	if (events && events->ended)
		events->ended(events->ctx, &now, t->code, t->reason);
}

static int64_t
tick_ending(struct torrent *t, int64_t now)
{
	torrent_reap(t, now);
	if (worker_busy(&t->job) || (t->verify && !verify_done(t->verify)) ||
	    atomic_load(&t->connected) > 0 || t->webseeds_running > 0)
		return CLOCK_NEVER;
	if (t->save_at_end) {
		t->save_at_end = false;
		torrent_job(t, torrent_job_save);
		return CLOCK_NEVER;
	}
	if (t->job_error.kind != ERROR_NONE &&
	    t->job_error.kind != ERROR_STOPPED && !atomic_load(&t->gave_up))
		log_write(t->env.log, LOG_WARNING, t->name, "%s",
			  t->job_error.text);
	error_clear(&t->job_error);
	if (t->announced && !announce_idle(t->announce) &&
	    now < t->ending_until)
		return t->ending_until;
	if (torrent_hook_ending(t))
		return CLOCK_NEVER;
	torrent_close_disk(t);
	torrent_set_phase(t, PHASE_ENDED);
	tell_end(t);
	return CLOCK_NEVER;
}

bool
torrent_ended(const struct torrent *t)
{
	return torrent_phase(t) == PHASE_ENDED;
}

int
torrent_exit_code(const struct torrent *t)
{
	return t->code;
}

/* ---- from opening to downloading ---- */

static void
tell_start(struct torrent *t)
{
	const struct session_events *events = t->env.events;
	struct stats_torrent now;

	if (t->started)
		return;
	t->started = true;
	torrent_stats(t, &now);
	if (events && events->start)
		events->start(events->ctx, &now);
}

/* What connections work with, made once the torrent and its data are known. */
static int
make_swarm(struct torrent *t, struct error *e)
{
	struct hasher_source source = {read_back, t};

	t->swarm.blame = blame_new(e);
	t->swarm.hasher = hasher_new(&source, e);
	t->swarm.havelog = havelog_new(t->meta->piece_count, e);
	if (!t->swarm.blame || !t->swarm.hasher || !t->swarm.havelog)
		return -1;
	havelog_begin(t->swarm.havelog, &t->have);
	return 0;
}

static int
make_picker(struct torrent *t, struct error *e)
{
	struct picker_geometry g = {
		.piece_count = t->meta->piece_count,
		.piece_length = t->meta->piece_length,
		.length = t->meta->length,
		.sequential = t->env.config->sequential,
		.seed = random_u64(),
	};
	struct picker *p = picker_new(&g, e);

	if (!p)
		return -1;
	for (uint32_t i = 0; i < g.piece_count; i++) {
		if (!bitfield_get(&t->wanted, i))
			picker_set_priority(p, i, 0);
		if (bitfield_get(&t->have, i))
			picker_set_have(p, i);
	}
	/* With other files, their blocks would lie elsewhere. */
	for (size_t i = 0; !t->reselected && i < t->state.partial_count; i++)
		picker_restore_partial(p, t->state.partials[i].piece,
				       &t->state.partials[i].blocks);
	t->swarm.picker = p;
	return 0;
}

static bool
has_all(const struct torrent *t)
{
	return bitfield_next(&t->wanted, &t->have, 0) == t->wanted.count;
}

static bool
will_seed(const struct torrent *t)
{
	const struct session_config *c = t->env.config;
	double ratio = 0;

	if (c->seed_ratio <= 0 && c->seed_time_ns <= 0)
		return false;
	if (torrent_wanted_bytes(t) > 0)
		ratio = (double)(t->state.uploaded +
				 atomic_load(&t->swarm.uploaded)) /
			(double)torrent_wanted_bytes(t);
	return c->seed_ratio <= 0 || ratio < c->seed_ratio;
}

static void
tell_complete(struct torrent *t)
{
	const struct session_events *events = t->env.events;
	struct stats_torrent now;

	torrent_stats(t, &now);
	if (events && events->complete)
		events->complete(events->ctx, &now);
}

void
torrent_announce(struct torrent *t)
{
	torrent_seek(t);
	if (t->announced)
		return;
	t->announced = true;
	announce_start(t->announce);
	torrent_ask_link_peers(t);
}

/* Peers of a magnet link, which have waited, join in now. */
static void
swarm_ready(struct torrent *t)
{
	atomic_store(&t->swarm.ready, true);
	torrent_wake_peers(t);
}

static void
begin_seeding(struct torrent *t)
{
	t->seeding_at = clock_ns();
	swarm_ready(t);
	error_clear(&t->job_error);
	peerlist_set_seeding(t->peerlist, true);
	torrent_set_phase(t, PHASE_SEEDING);
	torrent_announce(t);
}

/* Nothing is missing and everything has its name. */
static void
completed(struct torrent *t)
{
	atomic_store(&t->complete, true);
	tell_complete(t);
	torrent_hook_complete(t);
	if (will_seed(t))
		begin_seeding(t);
	else
		torrent_stop(t, EXIT_COMPLETE, "complete");
	t->save_at_end = false;		/* that was just done */
}

static void
begin_finishing(struct torrent *t)
{
	swarm_ready(t);
	atomic_store(&t->swarm.complete, true);
	torrent_webseeds_stop(t);
	torrent_set_phase(t, PHASE_FINISHING);
	torrent_job(t, torrent_job_finish);
}

static void
begin_download(struct torrent *t)
{
	struct picker_totals totals;

	picker_totals(t->swarm.picker, &totals);
	t->most_bytes = totals.got_bytes;
	t->news_at = clock_ns();
	t->save_due = t->news_at + SAVE_EACH;
	torrent_webseeds_begin(t);
	torrent_set_phase(t, PHASE_DOWNLOADING);
	swarm_ready(t);
	torrent_announce(t);
}

/* What is on disk is known. */
static void
checked(struct torrent *t, bool all_trusted)
{
	struct error e;

	torrent_set_phase(t, PHASE_PREPARING);
	if (make_swarm(t, &e) < 0 || make_picker(t, &e) < 0) {
		torrent_fail(t, &e);
		return;
	}
	torrent_count_files(t);
	if (!has_all(t)) {
		tell_start(t);
		torrent_job(t, torrent_job_prepare);
		return;
	}
	atomic_store(&t->swarm.complete, true);
	if (all_trusted && t->all_same && t->state.complete && files_in_place(t->swarm.files)) {
		atomic_store(&t->complete, true);
		tell_start(t);
		completed(t);
		return;
	}
	tell_start(t);
	begin_finishing(t);
}

static void
wake_main(void *ctx)
{
	wake_up(ctx);
}

static void
opened(struct torrent *t)
{
	struct verify_options options = {
		.pieces = &t->check,
		.done = wake_main,
		.ctx = t->env.wake,
	};
	struct verify *v;
	struct error e;

	if (t->job_error.kind != ERROR_NONE) {
		torrent_fail(t, &t->job_error);
		return;
	}
	if (files_leftover(t->swarm.files))
		log_write(t->env.log, LOG_WARNING, t->name,
			  "both the file and its .part are there: the .part "
			  "is left alone");
	if (bitfield_ones(&t->check) == 0) {
		checked(t, true);
		return;
	}
	v = verify_start(t->swarm.files, &options, &e);
	if (!v) {
		torrent_fail(t, &e);
		return;
	}
	mutex_lock(&t->view_lock);
	t->verify = v;
	mutex_unlock(&t->view_lock);
	torrent_set_phase(t, PHASE_CHECKING);
}

static void
verified(struct torrent *t)
{
	struct error e;

	if (verify_join(t->verify, &t->have, &e) < 0)
		log_write(t->env.log, LOG_WARNING, t->name, "%s", e.text);
	checked(t, false);
}

static void
prepared(struct torrent *t)
{
	if (t->job_error.kind != ERROR_NONE)
		torrent_fail(t, &t->job_error);
	else
		begin_download(t);
}

/* ---- while connections are open ---- */

/* Notes new data, for the stall timeout; the most that was ever there
 * counts, so that data that is refused again is no news. */
static void
note_news(struct torrent *t, int64_t now)
{
	struct picker_totals totals;

	picker_totals(t->swarm.picker, &totals);
	if (totals.got_bytes <= t->most_bytes)
		return;
	t->most_bytes = totals.got_bytes;
	t->news_at = now;
}

static void
give_up(struct torrent *t, const char *why)
{
	bool met;
	struct announce_status a;
	char text[ERROR_TEXT_MAX + 100];

	torrent_webseeds_reap(t, clock_ns());
	met = atomic_load(&t->ever_admitted) > 0 || t->webseed_reached;
	announce_get_status(t->announce, &a);
	if (met)
		snprintf(text, sizeof(text),
			 "incomplete: %s; run it again to resume", why);
	else if (torrent_phase(t) != PHASE_DOWNLOADING &&
		 torrent_phase(t) != PHASE_METADATA)
		snprintf(text, sizeof(text), "%s before the download began",
			 why);
	else if (*a.error || !*t->webseed_why)
		snprintf(text, sizeof(text),
			 "no peer could be reached: %s%s%.300s", why,
			 *a.error ? ": " : "", a.error);
	else
		snprintf(text, sizeof(text),
			 "nobody could be reached: %s: web seed: %s", why,
			 t->webseed_why);
	fail(t, met ? EXIT_INCOMPLETE : EXIT_NO_PEERS, text);
}

static int64_t
deadline_of(const struct torrent *t)
{
	int64_t limit = t->env.config->deadline_ns;

	return limit > 0 ? t->begun_at + limit : CLOCK_NEVER;
}

static int64_t
stall_of(const struct torrent *t)
{
	int64_t limit = t->env.config->stall_timeout_ns;

	return limit > 0 ? t->news_at + limit : CLOCK_NEVER;
}

int64_t
torrent_time_left(const struct torrent *t)
{
	return clock_min(stall_of(t), deadline_of(t));
}

/* True when the torrent is ending. */
bool
torrent_out_of_time(struct torrent *t, int64_t now)
{
	char how_long[32], why[80];

	if (now >= stall_of(t)) {
		int64_t s = t->env.config->stall_timeout_ns / CLOCK_S;

		snprintf(why, sizeof(why), "no new data for %s",
			 text_duration(how_long, sizeof(how_long),
				       (uint64_t)s));
		give_up(t, why);
		return true;
	}
	if (now >= deadline_of(t)) {
		give_up(t, "the deadline came");
		return true;
	}
	return false;
}

/* Something else runs; the deadline holds all the same. */
static int64_t
await(struct torrent *t, int64_t now)
{
	if (now < deadline_of(t))
		return deadline_of(t);
	give_up(t, "the deadline came");
	return now;
}

static bool
failed(struct torrent *t)
{
	struct error e;

	if (!atomic_load(&t->failed))
		return false;
	mutex_lock(&t->failure_lock);
	e = t->failure;
	mutex_unlock(&t->failure_lock);
	torrent_fail(t, &e);
	return true;
}

/* A job that ended badly ends the torrent. */
static bool
job_failed(struct torrent *t)
{
	if (worker_busy(&t->job) || t->job_error.kind == ERROR_NONE)
		return false;
	torrent_fail(t, &t->job_error);
	return true;
}

static void
save_sometimes(struct torrent *t, int64_t now)
{
	uint64_t got = atomic_load(&t->swarm.downloaded);

	if (now < t->save_due || worker_busy(&t->job))
		return;
	t->save_due = now + SAVE_EACH;
	if (got == t->saved_bytes)
		return;
	t->saved_bytes = got;
	torrent_job(t, torrent_job_save);
}

void
torrent_mind_peers(struct torrent *t, int64_t now)
{
	torrent_reap(t, now);
	torrent_tell(t, now);
	torrent_choke(t, now);
	torrent_prune(t, now);
	torrent_dial(t, now);
	torrent_webseeds_run(t, now);
}

static int64_t
tick_downloading(struct torrent *t, int64_t now)
{
	int64_t due;

	if (failed(t) || job_failed(t))
		return now;
	torrent_tell_files(t);
	if (picker_missing(t->swarm.picker) == 0) {
		if (worker_busy(&t->job))
			return CLOCK_NEVER;	/* a save: soon over */
		begin_finishing(t);
		if (torrent_is_whole(t))
			announce_completed(t->announce);
		return now;
	}
	note_news(t, now);
	if (torrent_out_of_time(t, now))
		return now;
	torrent_mind_peers(t, now);
	save_sometimes(t, now);
	if (now >= t->explain_due) {
		t->explain_due = now + EXPLAIN_EACH;
		torrent_explain(t);
	}
	due = clock_min(torrent_peers_due(t, now), t->explain_due);
	due = clock_min(due, torrent_time_left(t));
	due = clock_min(due, torrent_webseeds_due(t));
	return clock_min(due, t->save_due);
}

static int64_t
tick_finishing(struct torrent *t, int64_t now)
{
	if (worker_busy(&t->job))
		return CLOCK_NEVER;
	if (job_failed(t))
		return now;
	torrent_tell_files(t);
	torrent_tell_empty_files(t);
	torrent_reap(t, now);
	completed(t);
	return now;
}

static int64_t
tick_seeding(struct torrent *t, int64_t now)
{
	int64_t limit = t->env.config->seed_time_ns;
	int64_t until = limit > 0 ? t->seeding_at + limit : CLOCK_NEVER;

	if (failed(t) || job_failed(t))
		return now;
	until = clock_min(until, deadline_of(t));
	if (now >= until || !will_seed(t)) {
		torrent_stop(t, EXIT_COMPLETE, "complete");
		return now;
	}
	torrent_mind_peers(t, now);
	if (t->env.config->seed_ratio > 0 &&
	    atomic_load(&t->connected) > 0)
		until = clock_min(until, now + CLOCK_S);
	return clock_min(until, torrent_peers_due(t, now));
}

int64_t
torrent_tick(struct torrent *t, int64_t now)
{
	switch (torrent_phase(t)) {
	case PHASE_LOOKING:
		return torrent_tick_looking(t, now);
	case PHASE_METADATA:
		return torrent_tick_metadata(t, now);
	case PHASE_OPENING:
		if (worker_busy(&t->job))
			return await(t, now);
		opened(t);
		return now;
	case PHASE_CHECKING:
		if (!verify_done(t->verify))
			return await(t, now);
		verified(t);
		return now;
	case PHASE_PREPARING:
		if (worker_busy(&t->job))
			return await(t, now);
		prepared(t);
		return now;
	case PHASE_DOWNLOADING:
		return tick_downloading(t, now);
	case PHASE_FINISHING:
		return tick_finishing(t, now);
	case PHASE_SEEDING:
		return tick_seeding(t, now);
	case PHASE_ENDING:
		return tick_ending(t, now);
	case PHASE_ENDED:
		break;
	}
	return CLOCK_NEVER;
}

bool
torrent_online(const struct torrent *t)
{
	return t->announced && torrent_phase(t) < PHASE_ENDING;
}

void
torrent_set_outside(struct torrent *t, const struct addr *ip, uint16_t port)
{
	peerlist_set_external(t->peerlist, ip);
	atomic_store(&t->swarm.port, port);
	if (atomic_load(&t->seeking))
		torrent_seek(t);	/* what is announced has changed */
}

void
torrent_add_peer(struct torrent *t, const struct addr *a)
{
	peerlist_add(t->peerlist, a, PEER_MANUAL, 0, clock_ns());
}
