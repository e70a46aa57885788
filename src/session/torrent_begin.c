/*
 * From opening to downloading, and to completion: what has to be there before
 * connections work is made here, in the order in which it becomes known.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "discover/peerlist.h"
#include "meta/metainfo.h"
#include "session/exit.h"
#include "session/listener.h"
#include "session/torrent_parts.h"
#include "store/files.h"
#include "store/layout.h"
#include "store/verify.h"
#include "swarm/blame.h"
#include "swarm/hasher.h"
#include "swarm/hashes.h"
#include "swarm/havelog.h"
#include "swarm/intake.h"
#include "swarm/picker.h"
#include "swarm/superseed.h"
#include "swarm/verify_v2.h"

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
	t->swarm.hasher = hasher_new(&source, t->meta->piece_count, e);
	t->swarm.havelog = havelog_new(t->meta->piece_count, e);
	if (t->meta->has_v2) {
		t->swarm.v2 = verify_v2_new(t->meta, &source, e);
		t->swarm.hashes = hashes_new(t->meta, &source, e);
		if (!t->swarm.v2 || !t->swarm.hashes)
			return -1;
	}
	if (!t->swarm.blame || !t->swarm.hasher || !t->swarm.havelog ||
	    intake_begin(&t->swarm, e) < 0)
		return -1;
	havelog_begin(t->swarm.havelog, &t->have);
	return 0;
}

/* Without v1, pieces at files' ends are as short as the data. */
static int
list_shorts(const struct metainfo *m, struct picker_geometry *g,
	    struct picker_short **out, struct error *e)
{
	struct picker_short *s;
	size_t n = 0;

	*out = NULL;
	if (m->has_v1)
		return 0;
	s = malloc(((size_t)m->file_count + 1) * sizeof(*s));
	if (!s)
		return error_memory(e);
	for (uint32_t i = 0; i < m->file_count; i++) {
		const struct metainfo_file *f = &m->files[i];
		uint32_t rest = (uint32_t)(f->length % m->piece_length);

		if (rest == 0)
			continue;
		s[n].piece = (uint32_t)((f->offset + f->length) /
					m->piece_length);
		s[n++].length = rest;
	}
	g->shorts = *out = s;
	g->short_count = n;
	return 0;
}

/* The blocks that lie in a part of a piece from `from` up to `end` within the
 * piece, as the next entry. */
static void
add_padding(const struct metainfo *m, struct picker_geometry *g,
	    struct picker_padding *out, uint32_t piece, uint64_t from,
	    uint64_t end)
{
	uint32_t first = (uint32_t)((from + PICKER_BLOCK - 1) / PICKER_BLOCK);
	uint32_t behind = (uint32_t)(end / PICKER_BLOCK);

	if (end == metainfo_piece_size(m, piece))
		behind = (uint32_t)((end + PICKER_BLOCK - 1) / PICKER_BLOCK);
	if (first < behind)
		out[g->padding_count++] = (struct picker_padding){
			piece, first, behind - first};
}

/* Of padding, which may be longer than a piece, the first piece and the last
 * have something else as well. */
static int
list_padding(const struct torrent *t, struct picker_geometry *g,
	     struct picker_padding **out, struct error *e)
{
	const struct metainfo *m = t->meta;
	uint64_t size = m->piece_length, at = 0;
	struct layout_cursor c;
	struct span span;

	*out = NULL;
	if (!metainfo_is_padded(m))
		return 0;
	g->padding = *out = malloc(2 * ((size_t)m->file_count * 2 + 1) *
				   sizeof(**out));
	if (!*out)
		return error_memory(e);
	layout_seek(t->layout, &c, 0, UINT64_MAX);
	for (; layout_next(t->layout, &c, &span); at += span.length) {
		uint64_t last = at + span.length - 1;
		uint32_t p = (uint32_t)(at / size), q = (uint32_t)(last / size);

		if (span.kind != SPAN_PAD)
			continue;
		add_padding(m, g, *out, p, at % size,
			    p < q ? size : last % size + 1);
		if (p < q)
			add_padding(m, g, *out, q, 0, last % size + 1);
	}
	return 0;
}

static int
make_picker(struct torrent *t, struct error *e)
{
	struct picker_geometry g = {
		.piece_count = t->meta->piece_count,
		.piece_length = t->meta->piece_length,
		.length = metainfo_pieces_length(t->meta),
		.sequential = t->env.config->sequential,
		.seed = random_u64(),
	};
	struct picker_padding *padding = NULL;
	struct picker_short *shorts;
	struct picker *p = NULL;

	if (list_shorts(t->meta, &g, &shorts, e) == 0 &&
	    list_padding(t, &g, &padding, e) == 0)
		p = picker_new(&g, e);
	free(shorts);
	free(padding);
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

bool
torrent_will_seed(const struct torrent *t)
{
	const struct session_config *c = t->env.config;
	double ratio = c->seed_ratio;	/* of nothing, all has been sent */

	if (c->seed_time_ns == 0 ||
	    (c->seed_ratio <= 0 && c->seed_time_ns < 0))
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

/* Before the phase in which connections come: their threads look at what is
 * set here.  False when the torrent has failed. */
bool
torrent_go_online(struct torrent *t)
{
	uint16_t port;
	struct error e;

	if (t->env.listener)
		return true;
	if (t->env.open_network(&t->env, &e) < 0) {
		torrent_fail(t, &e);
		return false;
	}
	port = listener_port(t->env.listener);
	peerlist_set_port(t->peerlist, port);
	atomic_store(&t->swarm.port6, port);
	/* Unless the router has given us another one. */
	if (atomic_load(&t->swarm.port) == 0)
		atomic_store(&t->swarm.port, port);
	t->swarm.use_holepunch = t->env.udp && t->env.config->use_utp;
	torrent_seek_init(t);
	return true;
}

/* Peers of a magnet link, which have waited, join in now. */
static void
swarm_ready(struct torrent *t)
{
	atomic_store(&t->swarm.ready, true);
	torrent_wake_peers(t);
}

/* Peers are pointed to what others lack; or (BEP 16) see nothing else, where
 * this run found all of it there: after a download others have it too. */
static void
make_superseed(struct torrent *t)
{
	bool show = t->env.config->super_seed &&
		    havelog_length(t->swarm.havelog) == 0;

	if (torrent_is_whole(t) && !atomic_load(&t->swarm.superseed))
		atomic_store(&t->swarm.superseed,
			     superseed_new(t->meta->piece_count, show,
					   random_u64(), NULL));
}

static void
begin_seeding(struct torrent *t)
{
	if (!torrent_go_online(t))
		return;
	t->seeding_at = clock_ns();
	make_superseed(t);
	swarm_ready(t);
	error_clear(&t->job_error);
	peerlist_set_seeding(t->peerlist, true);
	torrent_set_phase(t, PHASE_SEEDING);
	torrent_announce(t);
}

/* Nothing is missing and everything has its name. */
void
torrent_completed(struct torrent *t)
{
	atomic_store(&t->complete, true);
	tell_complete(t);
	torrent_hook_complete(t);
	if (torrent_will_seed(t))
		begin_seeding(t);
	else
		torrent_stop(t, EXIT_COMPLETE, "complete");
	t->save_at_end = false;		/* that was just done */
}

void
torrent_begin_finishing(struct torrent *t)
{
	swarm_ready(t);
	atomic_store(&t->swarm.complete, true);
	torrent_wake_peers(t);	/* those with nothing to take leave */
	torrent_webseeds_stop(t);
	room_give_back(t->env.room, &t->claim);
	torrent_set_phase(t, PHASE_FINISHING);
	torrent_job(t, torrent_job_finish);
}

static void
begin_download(struct torrent *t)
{
	struct picker_totals totals;

	if (!torrent_go_online(t))
		return;
	picker_totals(t->swarm.picker, &totals);
	t->most_bytes = totals.got_bytes;
	t->news_at = clock_ns();
	t->save_due = t->news_at + (t->verified ? 0 : TORRENT_SAVE_EACH);
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
	if (!torrent_has_all(t)) {
		t->was_complete = false;
		tell_start(t);
		torrent_begin_preparing(t);
		return;
	}
	atomic_store(&t->swarm.complete, true);
	if (all_trusted && torrent_is_as_left(t)) {
		atomic_store(&t->complete, true);
		tell_start(t);
		torrent_completed(t);
		return;
	}
	tell_start(t);
	torrent_begin_finishing(t);
}

static void
wake_main(void *ctx)
{
	wake_up(ctx);
}

void
torrent_opened(struct torrent *t)
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
	if (t->adopts_later) {
		torrent_set_phase(t, PHASE_PREPARING);
		torrent_begin_preparing(t);
		return;
	}
	if (t->borrows_on) {
		torrent_job(t, torrent_job_borrow);
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
	t->save_due = clock_ns() + TORRENT_SAVE_EACH;
	torrent_set_phase(t, PHASE_CHECKING);
}

/* What may not be read may not be written either, and what could not be is
 * there all the same; while bytes that a bad disk has lost can be fetched
 * again. */
bool
torrent_is_no_loss(const struct error *e)
{
	return e->kind == ERROR_INTERNAL || e->sys == EACCES ||
	       e->sys == EPERM || e->sys == EMFILE || e->sys == ENFILE ||
	       e->sys == ENOMEM;
}

/* There is no lock to be had, and what is wrong cannot be mended. */
static void
fail_without_lock(struct torrent *t)
{
	struct error e = t->lock_error;
	size_t wrong = 0;

	for (size_t i = 0; (i = bitfield_next(&t->wanted, &t->have, i)) <
			   t->wanted.count; i++)
		wrong++;
	error_prefix(&e, "%zu of its pieces are not right", wrong);
	torrent_fail(t, &e);
}

void
torrent_verified(struct torrent *t)
{
	struct error e;

	error_clear(&e);
	t->verified = true;
	verify_join(t->verify, &e);
	verify_results(t->verify, &t->have, &t->check);
	if (bitfield_ones(&t->check) > 0 && torrent_is_no_loss(&e)) {
		torrent_fail(t, &e);
		return;
	}
	bitfield_remove(&t->have, &t->check);
	bitfield_copy(&t->unknown, &t->check);
	if (e.kind != ERROR_NONE)
		log_write(t->env.log, LOG_WARNING, t->name, "%s", e.text);
	if (t->lock_error.kind == ERROR_NONE)
		checked(t, false);
	else if (torrent_has_all(t))
		checked(t, true);	/* and as it was: needs_no_lock */
	else
		fail_without_lock(t);
}

/* What was claimed is taken by now. */
static void
open_on(struct torrent *t)
{
	t->adopts_later = false;
	room_give_back(t->env.room, &t->claim);
	torrent_set_phase(t, PHASE_OPENING);
	torrent_job(t, torrent_job_adopt);
}

void
torrent_prepared(struct torrent *t)
{
	if (t->job_error.kind != ERROR_NONE)
		torrent_fail(t, &t->job_error);
	else if (t->adopts_later)
		open_on(t);
	else
		begin_download(t);
}

