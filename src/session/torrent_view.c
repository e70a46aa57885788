/*
 * What others see of a torrent: a snapshot, taken by any thread.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "discover/announce.h"
#include "discover/peerlist.h"
#include "meta/metainfo.h"
#include "session/session.h"
#include "session/torrent_parts.h"
#include "store/layout.h"
#include "store/verify.h"
#include "swarm/havelog.h"
#include "swarm/metadata.h"
#include "swarm/picker.h"

#define RATE_WINDOW (500 * CLOCK_MS)
#define RATE_SMOOTH 0.35	/* the newest window's share */
#define STALLED_AFTER (10 * CLOCK_S)

/* Are the picker and the have log there? */
static bool
has_swarm(enum torrent_phase phase)
{
	return phase >= PHASE_DOWNLOADING;
}

uint64_t
torrent_wanted_bytes(const struct torrent *t)
{
	return atomic_load(&t->wanted_bytes);
}

static enum torrent_state
state_of(const struct torrent *t, enum torrent_phase phase)
{
	switch (phase) {
	case PHASE_LOOKING:
		return TORRENT_LOADING;
	case PHASE_METADATA:
		return TORRENT_METADATA;
	case PHASE_OPENING:
	case PHASE_CHECKING:
		return TORRENT_CHECKING;
	case PHASE_PREPARING:	/* and nothing was looked at yet, or all was */
		return atomic_load(&t->adopts_later) ? TORRENT_CHECKING
						     : TORRENT_DOWNLOADING;
	case PHASE_DOWNLOADING:
		return TORRENT_DOWNLOADING;
	case PHASE_FINISHING:
		return TORRENT_FINISHING;
	case PHASE_SEEDING:
		return TORRENT_SEEDING;
	default:
		if (atomic_load(&t->complete))
			return TORRENT_COMPLETE;
		return atomic_load(&t->gave_up) ? TORRENT_FAILED
						: TORRENT_STOPPED;
	}
}

static void
smooth_locked(struct torrent *t, int64_t now) REQUIRES(t->view_lock)
{
	uint64_t down = atomic_load(&t->swarm.downloaded);
	uint64_t up = atomic_load(&t->swarm.uploaded);
	int64_t span = now - t->view_at;
	double per_s, share = RATE_SMOOTH;

	if (t->view_at != 0 && span < RATE_WINDOW)
		return;
	if (t->view_at == 0) {
		t->view_at = now;
		return;
	}
	per_s = 1e9 / (double)span;
	if (t->view_down == 0 && t->view_up == 0)
		share = 1;
	t->view_down_rate += share * ((double)(down - t->view_down) * per_s -
				      t->view_down_rate);
	t->view_up_rate += share * ((double)(up - t->view_up) * per_s -
				    t->view_up_rate);
	t->view_at = now;
	t->view_down = down;
	t->view_up = up;
}

static void
count_peers(struct torrent *t, struct stats_torrent *out)
{
	static const enum stats_source sources[] = {
		[PEER_TRACKER] = SOURCE_TRACKER,
		[PEER_DHT] = SOURCE_DHT,
		[PEER_PEX] = SOURCE_PEX,
		[PEER_LSD] = SOURCE_LSD,
		[PEER_INCOMING] = SOURCE_INCOMING,
		[PEER_MANUAL] = SOURCE_GIVEN,
		[PEER_HOLEPUNCH] = SOURCE_PEX,
	};
	unsigned web;

	mutex_lock(&t->peers_lock);
	for (size_t i = 0; i < t->peer_count; i++) {
		struct peer_view v;

		peer_look(t->peers[i].peer, &v);
		if (!v.admitted || v.ended)
			continue;
		out->peers++;
		out->seeds += v.seed;
		out->peers_by_source[sources[t->peers[i].source]]++;
	}
	web = torrent_webseeds_count_locked(t);
	out->peers += web;
	out->seeds += web;
	out->peers_by_source[SOURCE_WEBSEED] = web;
	mutex_unlock(&t->peers_lock);
}

static void
view_swarm(struct torrent *t, struct stats_torrent *out)
{
	struct picker_totals totals;

	picker_totals(t->swarm.picker, &totals);
	out->complete = totals.missing == 0;
	if (out->complete)
		out->done = torrent_wanted_bytes(t);
	out->uploaded = atomic_load(&t->swarm.uploaded);
	count_peers(t, out);
	if (!out->complete && out->down_rate > 0) {
		uint64_t left = out->length > out->done ?
		    out->length - out->done : 0;

		out->eta = (int64_t)(left / out->down_rate);
	}
}

void
torrent_stats(struct torrent *t, struct stats_torrent *out)
{
	enum torrent_phase phase = torrent_phase(t);
	int64_t now = clock_ns();

	memset(out, 0, sizeof(*out));
	out->eta = -1;
	out->number = t->number;
	snprintf(out->name, sizeof(out->name), "%s", atomic_load(&t->name));
	memcpy(out->info_hash, t->hash_hex, sizeof(out->info_hash));
	out->state = state_of(t, phase);
	if (phase >= PHASE_OPENING) {
		out->length = torrent_wanted_bytes(t);
		out->done = atomic_load(&t->done_bytes);
	}
	mutex_lock(&t->view_lock);
	smooth_locked(t, now);
	out->down_rate = (uint64_t)(t->view_down_rate + 0.5);
	out->up_rate = (uint64_t)(t->view_up_rate + 0.5);
	snprintf(out->reason, sizeof(out->reason), "%s", t->view_reason);
	if (phase == PHASE_CHECKING && t->verify) {
		struct verify_progress progress;

		verify_progress(t->verify, &progress);
		out->checked = progress.checked;
		if (progress.total > 0)
			out->length = progress.total;
	}
	mutex_unlock(&t->view_lock);
	out->stalled = (phase == PHASE_DOWNLOADING ||
			phase == PHASE_METADATA) && *out->reason;
	if (has_swarm(phase) && t->swarm.picker)
		view_swarm(t, out);
	else if (atomic_load(&t->complete))
		out->done = out->length;
	if (phase == PHASE_METADATA) {
		metadata_progress(t->swarm.metadata, &out->done, &out->length);
		count_peers(t, out);
	}
	out->complete = out->complete || atomic_load(&t->complete);
}

/* ---- the bar ---- */

void
torrent_cells(struct torrent *t, uint8_t *cells, size_t n)
{
	size_t pieces;

	memset(cells, 0, n);
	if (atomic_load(&t->complete)) {
		memset(cells, SESSION_CELL_FULL, n);
		return;
	}
	if (!has_swarm(torrent_phase(t)) || !t->swarm.havelog || n == 0)
		return;
	pieces = t->meta->piece_count;
	for (size_t i = 0; i < n; i++) {
		size_t from = i * pieces / n, to = (i + 1) * pieces / n, got = 0;

		if (to == from)
			to = from + 1;
		for (size_t k = from; k < to && k < pieces; k++)
			got += havelog_has(t->swarm.havelog, (uint32_t)k);
		cells[i] = (uint8_t)(got * SESSION_CELL_FULL / (to - from));
	}
}

/* ---- why nothing comes ---- */

static void
explain(const struct torrent *t, const struct stats_torrent *now, char *out,
	size_t size)
{
	struct announce_status a;

	torrent_announce_status(t, &a);
	if (now->peers > 0 && torrent_phase(t) == PHASE_METADATA)
		snprintf(out, size, "no peer gives %s",
			 atomic_load(&t->swarm.layers) ? "piece layers"
						       : "metadata");
	else if (now->peers > 0 && now->seeds == 0)
		snprintf(out, size, "no seeds");
	else if (now->peers > 0)
		snprintf(out, size, "peers give nothing");
	else if (*a.error && a.working == 0)
		snprintf(out, size, "tracker: %.150s", a.error);
	else if (*t->webseed_why && a.busy == 0)
		snprintf(out, size, "web seed: %.150s", t->webseed_why);
	else if (a.busy > 0 && a.working == 0)
		snprintf(out, size, "asking the tracker");
	else
		snprintf(out, size, "%s", torrent_seek_explain(t));
}

void
torrent_explain(struct torrent *t, int64_t now)
{
	char reason[STATS_REASON_MAX] = "";
	struct stats_torrent stats = {0};

	if (now < t->explain_due)
		return;
	t->explain_due = clock_beat(now, TORRENT_EXPLAIN_EACH);
	if ((torrent_phase(t) == PHASE_DOWNLOADING ||
	     torrent_phase(t) == PHASE_METADATA) &&
	    now - t->news_at >= STALLED_AFTER) {
		count_peers(t, &stats);
		explain(t, &stats, reason, sizeof(reason));
	}
	mutex_lock(&t->view_lock);
	memcpy(t->view_reason, reason, sizeof(reason));
	mutex_unlock(&t->view_lock);
}
