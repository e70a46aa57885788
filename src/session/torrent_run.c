/*
 * While connections are open: what is due at each tick, and when it is time
 * to give up.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"
#include "discover/announce.h"
#include "meta/metainfo.h"
#include "net/http.h"
#include "net/proxy.h"
#include "session/exit.h"
#include "session/torrent_parts.h"
#include "store/verify.h"
#include "swarm/havelog.h"
#include "swarm/picker.h"

#define TURN_AGAIN (1 * CLOCK_S)
#define ROOM_AGAIN (5 * CLOCK_S)
#define NAME_AGAIN (200 * CLOCK_MS)
#define SAVE_SHARE 20	/* saving takes no more than such a part of the time */
#define PUSH_SHARE 10	/* the same */
#define PUSH_EACH (4 * CLOCK_S)
#define PUSH_LEAST (16u << 20)

/* Who looks at the stall timeout so late did not run meanwhile. */
#define LATE (2 * CLOCK_S)

/* Notes new data, for the stall timeout; the most that was ever there
 * counts, so that data that is refused again is no news. */
static void
note_news(struct torrent *t, int64_t now)
{
	struct picker_totals totals;

	picker_totals(t->swarm.picker, &totals);
	room_shrink(t->env.room, &t->claim, totals.wanted_left,
		    totals.got_bytes > t->most_bytes, now);
	if (totals.got_bytes <= t->most_bytes)
		return;
	t->most_bytes = totals.got_bytes;
	/* Nothing stalls any more: the displays are told so. */
	if (now - t->news_at >= TORRENT_EXPLAIN_EACH)
		t->explain_due = now;
	t->news_at = now;
}

/* What peers were to give before any data. */
static bool
lacks_layers(const struct torrent *t)
{
	return torrent_phase(t) == PHASE_METADATA && t->meta &&
	       metainfo_lacks_layers(t->meta);
}

static void
give_up(struct torrent *t, const char *why)
{
	bool met, lacks = lacks_layers(t);
	struct announce_status a;
	char text[ERROR_TEXT_MAX + 100];

	if (!worker_busy(&t->job) && t->lacks_room) {
		torrent_fail(t, &t->job_error);
		return;
	}
	torrent_webseeds_reap(t, clock_ns());
	met = atomic_load(&t->ever_admitted) > 0 || t->webseed_reached;
	torrent_announce_status(t, &a);
	if (met)
		snprintf(text, sizeof(text),
			 "incomplete: %s%s; run it again to resume",
			 lacks ? "no peer gave the piece layers that it "
				 "lacks: " : "", why);
	else if (torrent_phase(t) != PHASE_DOWNLOADING &&
		 torrent_phase(t) != PHASE_METADATA)
		snprintf(text, sizeof(text), "%s before the download began",
			 why);
	else if (proxy_is_failing(t->env.way->proxy))
		snprintf(text, sizeof(text),
			 "nobody could be reached: %s: the proxy %s does "
			 "not work", why, t->env.way->proxy->shown);
	else if (*a.error || !*t->webseed_why)
		snprintf(text, sizeof(text),
			 "no peer could be reached%s: %s%s%.300s",
			 lacks ? " for the piece layers that it lacks" : "",
			 why, *a.error ? ": " : "", a.error);
	else
		snprintf(text, sizeof(text),
			 "nobody could be reached: %s: web seed: %s", why,
			 t->webseed_why);
	torrent_fail_with(t, met ? EXIT_INCOMPLETE : EXIT_NO_PEERS, text);
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

	/* Stopped (SIGSTOP, a frozen container): nobody was given a chance. */
	if (stall_of(t) != CLOCK_NEVER && now - stall_of(t) > LATE)
		t->news_at = now;
	if (now >= stall_of(t)) {
		int64_t ns = t->env.config->stall_timeout_ns;

		snprintf(why, sizeof(why), "no new data for %s",
			 text_span(how_long, sizeof(how_long), ns));
		give_up(t, why);
		return true;
	}
	if (now >= deadline_of(t)) {
		give_up(t, "the deadline came");
		return true;
	}
	return false;
}

int64_t
torrent_await(struct torrent *t, int64_t now)
{
	if (now < deadline_of(t))
		return deadline_of(t);
	give_up(t, "the deadline came");
	return now;
}

void
torrent_begin_job(struct torrent *t)
{
	torrent_job(t, torrent_phase(t) == PHASE_LOOKING ? torrent_job_look
							 : torrent_job_open);
}

/* The first job, which opens the folder, is tried again. */
static void
begin_again(struct torrent *t, int64_t now)
{
	t->crowded = false;
	t->turn_at = now + TURN_AGAIN;
	torrent_begin_job(t);
}

bool
torrent_waits(struct torrent *t, int64_t now, int64_t *due)
{
	/* One look for all: it may be over at any time. */
	if (worker_busy(&t->job)) {
		*due = torrent_await(t, now);
		return true;
	}
	if (!t->crowded) {
		*due = now;
		return t->joining != NULL;
	}
	*due = torrent_await(t, now);
	if (torrent_phase(t) == PHASE_ENDING)
		return true;
	if (t->turn_at == 0) {
		log_write(t->env.log, LOG_WARNING, t->name, "%s (ulimit -n): "
			  "it waits for others to end", t->job_error.text);
		t->turn_at = now + TURN_AGAIN;
	}
	if (now >= t->turn_at)
		begin_again(t, now);
	*due = clock_min(*due, t->turn_at);
	return true;
}

/* Those who gave a link's metadata stay; when to look at them again. */
static int64_t
mind_waiting_peers(struct torrent *t, int64_t now)
{
	torrent_reap(t, now);
	torrent_prune(t, now);
	return atomic_load(&t->connected) > 0 ? now + CLOCK_S : CLOCK_NEVER;
}

void
torrent_begin_preparing(struct torrent *t)
{
	t->name_later = t->env.rivals(&t->env, t).earlier;
	torrent_job(t, torrent_job_prepare);
}

/* While others still look, that is no try. */
static int64_t
try_name(struct torrent *t, int64_t now)
{
	if (t->name_at == 0)
		t->name_at = now + NAME_AGAIN;
	if (now < t->name_at)
		return t->name_at;
	t->name_at = 0;
	t->name_waits = false;
	t->name_tries += !t->env.rivals(&t->env, t).look;
	torrent_begin_preparing(t);
	return now + NAME_AGAIN;
}

int64_t
torrent_tick_preparing(struct torrent *t, int64_t now)
{
	int64_t due = mind_waiting_peers(t, now);
	bool busy = worker_busy(&t->job);	/* it may end at any time */

	if (!busy && !t->lacks_room && !t->prepares_on && !t->name_waits) {
		torrent_prepared(t);
		return now;
	}
	due = clock_min(due, torrent_await(t, now));
	if (busy || torrent_phase(t) != PHASE_PREPARING)
		return due;
	if (t->prepares_on) {
		torrent_job(t, torrent_job_prepare);
		return due;
	}
	if (t->name_waits)
		return clock_min(due, try_name(t, now));
	if (t->room_at == 0)
		log_write(t->env.log, LOG_WARNING, t->name, "%s: it waits for "
			  "them", t->job_error.text);
	if (t->room_at == 0)
		t->room_at = now + ROOM_AGAIN;
	if (now >= t->room_at) {
		t->room_at = now + ROOM_AGAIN;
		t->lacks_room = false;
		torrent_job(t, torrent_job_prepare);
	}
	return clock_min(due, t->room_at);
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

/* Time for a state; one that is still being written, on a slow disk, is let
 * go on.  That of a million files takes its time, of the thread that works for
 * all torrents. */
static bool
save_is_due(struct torrent *t, int64_t now, int64_t each)
{
	if (now < t->save_due)
		return false;
	t->save_due = now + each;
	if (worker_busy(&t->job)) {
		if (t->job.run == torrent_job_push)
			t->save_due = now + CLOCK_S;
		return false;
	}
	if (each < SAVE_SHARE * t->save_took)
		t->save_due = now + SAVE_SHARE * t->save_took;
	return true;
}

/* What brings some wakes the main thread, or explaining does soon. */
static bool
has_news_to_save(const struct torrent *t)
{
	return t->verified ||
	       atomic_load(&t->swarm.downloaded) != t->saved_bytes;
}

static void
save_sometimes(struct torrent *t, int64_t now)
{
	if (!save_is_due(t, now, TORRENT_SAVE_EACH) || !has_news_to_save(t) ||
	    t->job_error.kind != ERROR_NONE)
		return;
	t->saved_bytes = atomic_load(&t->swarm.downloaded);
	t->verified = false;
	torrent_job(t, torrent_job_save);
}

/* The kernel would let data lie for half a minute, and at the end all that came
 * in that time would be waited for. */
static void
push_sometimes(struct torrent *t, int64_t now)
{
	uint64_t come = atomic_load(&t->swarm.downloaded);

	if (now < t->push_due || worker_busy(&t->job) ||
	    t->job_error.kind != ERROR_NONE ||	/* is to be told first */
	    come - t->pushed_bytes < PUSH_LEAST)
		return;
	t->push_due = now + PUSH_EACH;
	if (PUSH_EACH < PUSH_SHARE * t->push_took)
		t->push_due = now + PUSH_SHARE * t->push_took;
	t->pushed_bytes = come;
	torrent_job(t, torrent_job_push);
}

/* For the ratio, should there be no end that could save it.  What is there
 * can be served without. */
static void
save_sent(struct torrent *t, int64_t now)
{
	uint64_t sent = atomic_load(&t->swarm.uploaded);
	bool due = save_is_due(t, now, TORRENT_SAVE_SENT);

	if (worker_busy(&t->job))
		return;
	if (t->job_error.kind != ERROR_NONE)
		log_write(t->env.log, LOG_WARNING, t->name, "%s",
			  t->job_error.text);
	error_clear(&t->job_error);
	if (!due || sent == t->saved_sent)
		return;
	t->saved_sent = sent;
	torrent_job(t, torrent_job_save);
}

void
torrent_mind_peers(struct torrent *t, int64_t now)
{
	torrent_reap(t, now);
	torrent_tell(t, now);
	torrent_choke(t, now);
	torrent_prune(t, now);
	torrent_mind_hanging(t, now);
	torrent_dial(t, now);
	torrent_webseeds_run(t, now);
	torrent_mind_hunger(t, now);
}

/* The log gets a piece behind the picker, and what is saved and told at the
 * end comes out of it. */
static bool
has_come(const struct torrent *t)
{
	return picker_missing(t->swarm.picker) == 0 &&
	       havelog_count(t->swarm.havelog) ==
		       picker_have_count(t->swarm.picker);
}

int64_t
torrent_tick_checking(struct torrent *t, int64_t now)
{
	bool over = verify_done(t->verify), busy = worker_busy(&t->job);
	int64_t due;

	if (!busy && job_failed(t))
		return now;
	if (over && !busy) {
		torrent_verified(t);
		return now;
	}
	if (!over && save_is_due(t, now, TORRENT_SAVE_EACH))
		torrent_job(t, torrent_job_save);
	due = mind_waiting_peers(t, now);
	if (!over)
		due = clock_min(due, t->save_due);
	return clock_min(torrent_await(t, now), due);
}

int64_t
torrent_tick_downloading(struct torrent *t, int64_t now)
{
	int64_t due;

	if (failed(t) || job_failed(t))
		return now;
	torrent_tell_files(t);
	if (has_come(t)) {
		/* A save: soon over, unless it waits for others' work. */
		if (worker_busy(&t->job))
			return torrent_await(t, now);
		torrent_begin_finishing(t);
		if (torrent_is_whole(t))
			torrent_announce_completed(t);
		return now;
	}
	note_news(t, now);
	if (torrent_out_of_time(t, now))
		return now;
	torrent_mind_peers(t, now);
	save_sometimes(t, now);
	push_sometimes(t, now);
	torrent_explain(t, now);
	due = clock_min(torrent_peers_due(t, now), t->explain_due);
	due = clock_min(due, torrent_time_left(t));
	due = clock_min(due, torrent_webseeds_due(t, now));
	due = clock_min(due, torrent_mind_names(t, now));
	return has_news_to_save(t) ? clock_min(due, t->save_due) : due;
}

int64_t
torrent_tick_finishing(struct torrent *t, int64_t now)
{
	if (worker_busy(&t->job) && now < deadline_of(t))
		return deadline_of(t);
	if (worker_busy(&t->job)) {
		/* What can wait for the next run does, the rest comes to an
		 * end. */
		atomic_store(&t->stop_disk, true);
		return CLOCK_NEVER;
	}
	if (t->job_error.kind == ERROR_STOPPED) {
		torrent_fail_with(t, EXIT_INCOMPLETE, "incomplete: the "
				  "deadline came; run it again to resume");
		return now;
	}
	if (job_failed(t))
		return now;
	torrent_tell_files(t);
	torrent_tell_empty_files(t);
	torrent_reap(t, now);
	torrent_completed(t);
	return now;
}

int64_t
torrent_tick_seeding(struct torrent *t, int64_t now)
{
	int64_t limit = t->env.config->seed_time_ns;
	int64_t until = limit > 0 ? t->seeding_at + limit : CLOCK_NEVER;

	if (failed(t))
		return now;
	until = clock_min(until, deadline_of(t));
	if (now >= until || !torrent_will_seed(t)) {
		torrent_stop(t, EXIT_COMPLETE, "complete");
		return now;
	}
	torrent_mind_peers(t, now);
	until = clock_min(until, torrent_mind_names(t, now));
	save_sent(t, now);
	until = clock_min(until, t->save_due);
	if (t->env.config->seed_ratio > 0 &&
	    atomic_load(&t->connected) > 0)
		until = clock_min(until, now + CLOCK_S);
	return clock_min(until, torrent_peers_due(t, now));
}

