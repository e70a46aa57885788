#include "session/torrent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "discover/announce.h"
#include "discover/peerlist.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "net/names.h"
#include "session/exit.h"
#include "session/torrent_parts.h"
#include "store/verify.h"
#include "swarm/blame.h"
#include "swarm/hasher.h"
#include "swarm/intake.h"
#include "swarm/hashes.h"
#include "swarm/havelog.h"
#include "swarm/layers.h"
#include "swarm/metadata.h"
#include "swarm/picker.h"
#include "swarm/superseed.h"
#include "swarm/verify_v2.h"

#define STOP_TIMEOUT (5 * CLOCK_S)	/* for trackers to hear of the end */

void
torrent_set_phase(struct torrent *t, enum torrent_phase phase)
{
	atomic_store(&t->phase, (int)phase);
}

/* ---- making and freeing ---- */

/* What peers are asked before they are asked for data: of a link the metadata,
 * of a .torrent without piece layers those. */
static int
make_asked(struct torrent *t, struct error *e)
{
	const struct magnet *link = t->link;

	if (link) {
		t->swarm.metadata = metadata_new(
			link->has_v1 ? link->hash_v1 : link->hash_v2,
			link->has_v1 ? HASH_SHA1 : HASH_SHA256, e);
		return t->swarm.metadata ? 0 : -1;
	}
	if (!metainfo_lacks_layers(t->meta))
		return 0;
	t->swarm.metadata = metadata_new(t->meta->hash_v2, HASH_SHA256, e);
	if (!t->swarm.metadata)
		return -1;
	metadata_end(t->swarm.metadata);
	return torrent_make_layers(t, e);
}

static int
make_parts(struct torrent *t, struct error *e)
{
	struct peerlist_config config = {
		.max = PEERLIST_MAX,
		.blocklist = t->env.blocklist,
	};

	random_bytes(config.key, sizeof(config.key));
	t->peerlist = peerlist_new(&config, e);
	if (!t->peerlist)
		return -1;
	torrent_tell_hybrid(t);
	if (make_asked(t, e) < 0)
		return -1;
	return torrent_announces_make(t, e);
}

/* In Azureus' style: -bg0100- for 0.1.0. */
static void
make_peer_id(uint8_t id[20])
{
	const char *version = BTGET_VERSION;
	const char prefix[8] = {
		'-', 'b', 'g', version[0], version[2], version[4], '0', '-'
	};

	memcpy(id, prefix, sizeof(prefix));
	random_bytes(id + sizeof(prefix), 20 - sizeof(prefix));
}

/* Its own, so that lines tell whose they are, whatever it is called. */
static int
make_log(struct torrent *t, struct log *whole, struct error *e)
{
	t->env.log = log_about(whole, t->hash_hex);
	t->swarm.log = t->env.log;
	return whole && !t->env.log ? error_memory(e) : 0;
}

void
torrent_set_name(struct torrent *t, const char *name)
{
	atomic_store(&t->name, name);
	atomic_store(&t->swarm.name, name);
	for (int v = 0; v < TORRENT_VERSIONS; v++)
		if (t->announces[v].announce)
			announce_rename(t->announces[v].announce, name);
}

/* What it is called, and by what it is known. */
static void
take_source(struct torrent *t, const struct torrent_source *source)
{
	const struct magnet *link = source->link;

	t->link = source->link;
	if (link)
		magnet_hex(link, t->hash_hex);
	else
		metainfo_hex(source->meta, t->hash_hex);
	if (link)
		torrent_set_hashes(t, link->has_v1 ? link->hash_v1 : NULL,
				   link->has_v2 ? link->hash_v2 : NULL);
	text_clean(t->first_name, sizeof(t->first_name),
		   link ? link->name ? link->name : t->hash_hex
			: source->meta->name);
	torrent_set_name(t, t->first_name);
	if (!link)
		torrent_set_meta(t, source->meta);
}

struct torrent *
torrent_new(const struct torrent_env *env, uint32_t number,
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
	t->env.log = NULL;
	t->number = number;
	t->folder.dir = t->folder.state = -1;
	t->lock.fd = t->state_lock.fd = t->name_lock.fd = -1;
	mutex_init(&t->view_lock);
	torrent_peers_init(t);
	take_source(t, source);
	make_peer_id(t->swarm.peer_id);
	t->swarm.down = env->down;
	t->swarm.up = env->up;
	t->swarm.rc4 = env->rc4;
	t->swarm.methods = env->methods;
	t->swarm.use_pex = env->config->use_pex;
	t->news_at = clock_ns();
	t->begun_at = env->begun_at ? env->begun_at : t->news_at;
	if (make_log(t, env->log, e) < 0 || make_parts(t, e) < 0) {
		torrent_free(t);
		return NULL;
	}
	torrent_set_phase(t, t->swarm.metadata ? PHASE_LOOKING
					       : PHASE_OPENING);
	torrent_begin_job(t);
	return t;
}

void
torrent_free(struct torrent *t)
{
	if (!t)
		return;
	torrent_peers_release(t);
	torrent_close_disk(t);
	names_free(t->names);
	torrent_fetch_forget(t);
	torrent_announces_free(t);
	peerlist_free(t->peerlist);
	superseed_free(atomic_load(&t->swarm.superseed));
	intake_end(&t->swarm);
	picker_free(t->swarm.picker);
	hasher_free(t->swarm.hasher);
	verify_v2_free(t->swarm.v2);
	hashes_free(t->swarm.hashes);
	havelog_free(t->swarm.havelog);
	blame_free(t->swarm.blame);
	metadata_free(t->swarm.metadata);
	torrent_join_release(t);
	magnet_free(t->link);
	bitfield_release(&t->selected);
	mutex_release(&t->view_lock);
	free(t->file_left);
	metainfo_free(t->meta);
	layers_free(t->swarm.layers);
	log_free(t->env.log);
	free(t);
}

/* ---- the end ---- */

void
torrent_stop(struct torrent *t, int code, const char *reason)
{
	enum torrent_phase phase = torrent_phase(t);

	if (phase >= PHASE_ENDING) {
		torrent_hook_cut(t, code);
		return;
	}
	t->code = code;
	atomic_store(&t->gave_up, code > 0 && code < EXIT_SIGNAL);
	snprintf(t->reason, sizeof(t->reason), "%s", reason);
	atomic_store(&t->stop_disk, true);
	if (t->verify)
		verify_stop(t->verify);
	t->ending_until = clock_ns() + STOP_TIMEOUT;
	t->save_at_end = phase >= PHASE_DOWNLOADING || t->verify;
	/* Of a seed, all is saved but what it has sent since. */
	if (phase == PHASE_SEEDING)
		t->save_at_end = atomic_load(&t->swarm.uploaded) !=
				 t->saved_sent;
	torrent_disconnect(t);
	torrent_announce_stop(t);
	torrent_seek_stop(t);
	torrent_fetch_end(t);
	room_give_back(t->env.room, &t->claim);
	torrent_set_phase(t, PHASE_ENDING);
}

static void
tell_failing(struct torrent *t, int code, const char *text)
{
	const struct session_events *events = t->env.events;

	if (events && events->failing)
		events->failing(events->ctx, code, text);
}

void
torrent_tell_failure(struct torrent *t, enum log_level level, int code,
		     const char *text)
{
	tell_failing(t, code, text);
	log_write(t->env.log, level, t->name, "%s", text);
	tell_failing(t, 0, NULL);
}

void
torrent_fail_with(struct torrent *t, int code, const char *text)
{
	bool ends = torrent_phase(t) < PHASE_ENDING;

	torrent_tell_failure(t, code == EXIT_LOCKED ? LOG_WARNING : LOG_ERROR,
			     ends ? code : 0, text);
	torrent_stop(t, code, text);
}

void
torrent_fail(struct torrent *t, const struct error *e)
{
	torrent_fail_with(t, exit_for(e->kind), e->text);
	if (e == &t->job_error)		/* it is told */
		error_clear(&t->job_error);
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
		/* What has come since the last look is saved, and told. */
		if (t->swarm.havelog)
			torrent_tell_files(t);
		t->save_at_end = false;
		torrent_job(t, torrent_job_save);
		return CLOCK_NEVER;
	}
	/* That it has waited was told, and so was what is wrong with the
	 * disk. */
	if (t->job_error.kind != ERROR_NONE && !t->crowded && !t->lacks_room &&
	    !t->name_waits && t->job_error.kind != ERROR_STOPPED &&
	    t->code != EXIT_STORAGE)
		log_write(t->env.log, LOG_WARNING, t->name, "%s",
			  t->job_error.text);
	error_clear(&t->job_error);
	if (!torrent_announce_idle(t) &&
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

bool
torrent_is_link(const struct torrent *t)
{
	return torrent_phase(t) < PHASE_OPENING;
}

void
torrent_add_rival(const struct torrent *t, const struct torrent *other,
		  struct torrent_rivals *to)
{
	enum torrent_phase phase = torrent_phase(other);
	bool looks = worker_busy(&other->job) || !other->crowded;

	if (phase < PHASE_OPENING || phase >= PHASE_ENDING ||
	    strcasecmp(t->meta->name, other->meta->name) != 0)
		return;
	to->look |= phase == PHASE_CHECKING ||
		    (phase == PHASE_OPENING && looks);
	to->earlier |= other->number < t->number;
}

bool
torrent_is_ending(const struct torrent *t)
{
	return torrent_phase(t) == PHASE_ENDING;
}

int
torrent_exit_code(const struct torrent *t)
{
	return t->code;
}

int64_t
torrent_tick(struct torrent *t, int64_t now)
{
	int64_t due;

	torrent_take_joined(t);
	switch (torrent_phase(t)) {
	case PHASE_LOOKING:
		return torrent_tick_looking(t, now);
	case PHASE_METADATA:
		return torrent_tick_metadata(t, now);
	case PHASE_OPENING:
		if (torrent_waits(t, now, &due))
			return due;
		torrent_opened(t);
		return now;
	case PHASE_CHECKING:
		return torrent_tick_checking(t, now);
	case PHASE_PREPARING:
		return torrent_tick_preparing(t, now);
	case PHASE_DOWNLOADING:
		return torrent_tick_downloading(t, now);
	case PHASE_FINISHING:
		return torrent_tick_finishing(t, now);
	case PHASE_SEEDING:
		return torrent_tick_seeding(t, now);
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
	peerlist_set_mapped(t->peerlist, port);
	atomic_store(&t->swarm.port, port);
	if (atomic_load(&t->seeking))
		torrent_seek(t);	/* what is announced has changed */
}

void
torrent_hold(struct torrent *t)
{
	atomic_fetch_add(&t->holders, 1);
}

void
torrent_drop(struct torrent *t)
{
	atomic_fetch_sub(&t->holders, 1);
}

bool
torrent_held(const struct torrent *t)
{
	return atomic_load(&t->holders) > 0;
}

uint32_t
torrent_number(const struct torrent *t)
{
	return t->number;
}

void
torrent_add_peer(struct torrent *t, const struct addr *a)
{
	peerlist_add(t->peerlist, a, PEER_MANUAL, 0, clock_ns());
}
