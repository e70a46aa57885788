/*
 * What comes in, from the command line or a watched folder, becomes torrents.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "session/exit.h"
#include "session/hooks.h"
#include "session/readers.h"
#include "session/session_parts.h"
#include "session/source.h"

void
session_drop_source(struct torrent_source *source)
{
	metainfo_free(source->meta);
	magnet_free(source->link);
}

static bool
make_room(struct session *s)
{
	size_t size = s->size ? s->size * 2 : 8;
	struct torrent **torrents;

	if (s->count < s->size)
		return true;
	mutex_lock(&s->lock);
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it holds pointers */
	torrents = realloc(s->torrents, size * sizeof(*torrents));
	if (torrents) {
		s->torrents = torrents;
		s->size = size;
	}
	mutex_unlock(&s->lock);
	return torrents != NULL;
}

/* Of several that are the same by one of their hashes, or were: which of them
 * a source joins.  0: none; in a watched folder it may be put again on
 * purpose. */
static int
rank(const struct session *s, const struct torrent *t)
{
	if (torrent_gave_way(t))
		return 0;
	if (!torrent_ended(t))
		return torrent_is_ending(t) ? 3 : 4;
	if (s->watch)
		return 0;
	return torrent_exit_code(t) == EXIT_COMPLETE ? 2 : 1;
}

/* The one that is at work on it, or was; or NULL. */
static struct torrent *
find(const struct session *s, const struct torrent_source *source)
{
	const struct magnet *link = source->link;
	const struct metainfo *m = source->meta;
	bool has_v1 = link ? link->has_v1 : m->has_v1;
	bool has_v2 = link ? link->has_v2 : m->has_v2;
	const uint8_t *v1 = link ? link->hash_v1 : m->hash_v1;
	const uint8_t *v2 = link ? link->hash_v2 : m->hash_v2;
	struct torrent *found = NULL;

	for (size_t i = 0; i < s->count; i++) {
		struct torrent *t = s->torrents[i];

		if (torrent_is(t, has_v1 ? v1 : NULL, has_v2 ? v2 : NULL) &&
		    rank(s, t) > (found ? rank(s, found) : 0))
			found = t;
	}
	return found;
}

bool
session_is_ending(const struct session *s, const struct torrent_source *source)
{
	const struct torrent *t = find(s, source);

	return t && torrent_is_ending(t);
}

/* A torrent_env's. */
static enum torrent_twice
named_twice(struct torrent_env *env, struct torrent *t)
{
	struct session *s = env->session;
	enum torrent_twice twice = TWICE_NOT;

	for (size_t i = 0; i < s->count; i++) {
		struct torrent *other = s->torrents[i];
		bool leaving;

		if (other == t || !torrent_same(other, t) ||
		    torrent_gave_way(other))
			continue;
		if (torrent_ended(other) && !torrent_begins_anew(other)) {
			/* One that has failed, or is put again on purpose, is
			 * no reason. */
			if (!s->watch &&
			    torrent_exit_code(other) == EXIT_COMPLETE)
				return TWICE_THIS;
			continue;
		}
		leaving = torrent_ended(other) || torrent_is_ending(other);
		if (!leaving && !torrent_is_link(other)) {
			torrent_hand_over(t, other);
			return TWICE_THIS;
		}
		if (leaving || !torrent_give_way(other))
			twice = TWICE_WAIT;
		else
			torrent_hand_over(other, t);
	}
	return twice;
}

/* The same. */
static struct torrent_rivals
rivals(struct torrent_env *env, const struct torrent *t)
{
	const struct session *s = env->session;
	struct torrent_rivals found = {0};

	for (size_t i = 0; i < s->count; i++)
		if (s->torrents[i] != t)
			torrent_add_rival(t, s->torrents[i], &found);
	return found;
}

static void
tell_added(const struct session *s, struct torrent *t)
{
	struct stats_torrent now;

	if (!s->events || !s->events->added)
		return;
	torrent_stats(t, &now);
	s->events->added(s->events->ctx, &now);
}

/* What all torrents of a session work with. */
static struct torrent_env
env_of(struct session *s)
{
	return (struct torrent_env){
		.config = s->config,
		.events = s->events,
		.log = s->log,
		.wake = &s->wake,
		.announcer = s->announcer,
		.open_network = session_open_network,
		.named_twice = named_twice,
		.rivals = rivals,
		.session = s,
		.way = &s->way,
		.worker = s->worker,
		.down = &s->down,
		.up = &s->up,
		.up_known = &s->up_known,
		.up_sharers = &s->up_sharers,
		.hooks = s->hooks,
		.blocklist = s->blocklist,
		.rc4 = s->rc4,
		.methods = session_methods(s),
		.max_open = s->share.files_each,
		.files_left = &s->files_left,
		.pool = &s->pool,
		.room = &s->room,
		.begun_at = s->watch ? 0 : s->begun_at,
	};
}

/* Takes the source over. */
static struct torrent *
add_torrent(struct session *s, struct torrent_source *source, struct error *e)
{
	struct torrent_env env = env_of(s);
	struct torrent *t;

	if (!make_room(s)) {
		session_drop_source(source);
		error_memory(e);
		return NULL;
	}
	t = torrent_new(&env, s->next_number, source, e);
	if (!t)
		return NULL;
	if (s->news.tcp_port)
		torrent_set_outside(t, &s->news.external_ip,
				    s->news.tcp_port);
	for (size_t i = 0; i < s->given_count; i++)
		torrent_add_peer(t, &s->given[i]);
	s->next_number++;
	mutex_lock(&s->lock);
	s->torrents[s->count++] = t;
	mutex_unlock(&s->lock);
	tell_added(s, t);
	return t;
}

int
session_add_source(struct session *s, struct torrent_source *source,
		   struct error *e)
{
	struct torrent *t = find(s, source);

	if (!t)
		return add_torrent(s, source, e) ? 0 : -1;
	torrent_join(t, source);	/* named twice: done once */
	return 0;
}

/* Whom a signal ends begins nothing. */
static void
begin_anew(struct session *s, struct torrent *old)
{
	struct torrent_source source;
	struct torrent *t;
	struct error e;

	torrent_give_up_to(old, &source);
	if (s->ended_by) {
		session_drop_source(&source);
		s->cut = true;
		return;
	}
	/* By another of its hashes it may be at work all the same. */
	t = find(s, &source);
	if (t && !torrent_ended(t))
		torrent_join(t, &source);
	else
		t = add_torrent(s, &source, &e);
	if (t) {
		torrent_hand_over(old, t);
		return;
	}
	log_write(s->log, LOG_ERROR, NULL, "%s", e.text);
	s->code = exit_merge(s->code, exit_for(e.kind));
}

bool
session_begin_anew(struct session *s)
{
	bool any = false;

	for (size_t i = 0; i < s->count; i++) {
		struct torrent *t = s->torrents[i];

		if (torrent_ended(t) && torrent_begins_anew(t)) {
			begin_anew(s, t);
			any = true;
		}
	}
	return any;
}

/* ---- what cannot be added ---- */

static void
on_hook_output(void *ctx, enum hook_kind kind, const char *name,
	       const char *line)
{
	struct session *s = ctx;

	(void)kind;
	log_write(s->log, LOG_WARNING, name, "--on-error: %s", line);
}

static void
on_hook_done(void *ctx, enum hook_kind kind, const char *name, const char *why)
{
	struct session *s = ctx;

	(void)kind;
	if (why)
		log_write(s->log, LOG_WARNING, name, "--on-error %s", why);
}

/* For what did not even become a torrent. */
static void
run_on_error(struct session *s, const char *name, int code)
{
	char dir[PATH_MAX];
	struct hook_job job = {
		.kind = HOOK_ERROR,
		.name = name,
		.dir = hooks_dir(dir, s->config->dir),
		.exit = code,
		.ctx = s,
		.output = on_hook_output,
		.done = on_hook_done,
	};
	struct error e;

	if (hooks_has(s->hooks, HOOK_ERROR) &&
	    hooks_submit(s->hooks, &job, &e) < 0)
		on_hook_done(s, HOOK_ERROR, name, e.text);
}

/* What no server would give could not be read. */
static int
code_of(const struct error *e)
{
	if (e->kind == ERROR_NETWORK || e->kind == ERROR_PROTOCOL)
		return EXIT_TORRENT;
	return exit_for(e->kind);
}

/* The status of a run that watches says nothing of single torrents. */
void
session_refused(void *ctx, const char *name, const struct error *e)
{
	run_on_error(ctx, name, code_of(e));
}

/* Whom a signal ends need not be told why. */
static void
refuse(struct session *s, const char *torrent, const struct error *e)
{
	int code = code_of(e);
	char label[256];

	if (e->kind == ERROR_STOPPED) {
		s->cut = true;
		return;
	}
	s->code = exit_merge(s->code, code);
	source_label(label, sizeof(label), torrent);
	run_on_error(s, label, code);
	if (s->events && s->events->refused)
		s->events->refused(s->events->ctx, torrent, code, e->text);
}

/* ---- the command line's ---- */

static struct source_limits
limits_of(const struct session *s)
{
	struct source_limits limits = {
		.way = &s->way,
		.stop_fd = s->stop.fd,
		.until = CLOCK_NEVER,
		.idle_ns = s->config->stall_timeout_ns,
	};

	if (s->config->deadline_ns > 0)
		limits.until = s->begun_at + s->config->deadline_ns;
	return limits;
}

/* Takes the source over. */
static int
read_beside(struct session *s, struct source *from, struct error *e)
{
	const struct readers_config config = {
		.limits = limits_of(s),
		.dir = s->config->dir,
		.wake = &s->wake,
	};

	if (!s->readers)
		s->readers = readers_new(&config, e);
	if (s->readers)
		return readers_add(s->readers, from, e);
	source_close(from);
	return -1;
}

/* Takes the source over. */
static int
read_now(struct session *s, struct source *from, struct error *e)
{
	struct source_limits limits = limits_of(s);
	struct torrent_source source = {0};
	struct buffer data;
	int rc = source_get(from, &limits, &data, e);

	source_close(from);
	if (rc < 0)
		buffer_release(&data);
	else
		rc = source_parse(&data, &source.meta, &source.link, e);
	return rc < 0 ? -1 : session_add_source(s, &source, e);
}

static int
add(struct session *s, const char *torrent, struct error *e)
{
	struct torrent_source source = {0};
	struct source from;

	if (magnet_is(torrent)) {
		source.link = magnet_parse(torrent, e);
		if (!source.link)
			return -1;
		return session_add_source(s, &source, e);
	}
	if (source_open(&from, torrent, e) < 0)
		return -1;
	return from.slow ? read_beside(s, &from, e) : read_now(s, &from, e);
}

void
session_add(struct session *s, const char *torrent)
{
	struct error e;

	error_clear(&e);
	if (add(s, torrent, &e) < 0)
		refuse(s, torrent, &e);
}

static void
tell_kept(struct session *s, const struct readers_result *got)
{
	char label[256];

	log_write(s->log, LOG_WARNING,
		  source_label(label, sizeof(label), got->arg),
		  "%s: going on with what it gave before", got->error.text);
}

void
session_take_read(struct session *s)
{
	struct readers_result got;

	while (readers_take(s->readers, &got)) {
		struct torrent_source source = {got.meta, got.link};
		bool came = got.meta || got.link;

		if (got.kept)
			tell_kept(s, &got);
		if (came && s->ended_by) {
			session_drop_source(&source);
			s->cut = true;
		} else if (!came ||
			   session_add_source(s, &source, &got.error) < 0) {
			refuse(s, got.arg, &got.error);
		}
	}
}
