/*
 * The download: a session that runs in this thread, and a display that is
 * told of what it does.
 */
#include "cli/commands.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/terminal.h"
#include "session/exit.h"
#include "session/hooks.h"
#include "session/opener.h"
#include "session/sandbox.h"
#include "session/session.h"
#include "session/source.h"

struct get {
	const struct options *options;
	struct session_config config;
	char cache[PATH_MAX];
	struct log *log;
	struct session *session;
	struct hooks *hooks;		/* or NULL */
	struct opener *opener;		/* of the log, or NULL */
	/* NULL: lines go straight to standard error. */
	struct progress *_Atomic progress;
	_Atomic bool mute;		/* nobody takes what is said */
	pthread_t main;
	int failing;			/* main's: see session_events */
	const char *failing_text;	/* main's; of the line that has it */
	int code;
	char reason[STATS_REASON_MAX];	/* what led to the code */
	/* Of the first torrent that ended with each code. */
	char reasons[EXIT_HOOK + 1][STATS_REASON_MAX];
	size_t added;			/* torrents */
};

/* ---- what the session tells ---- */

static bool
is_shown(const struct options *o, enum log_level level)
{
	return !o->quiet || level == LOG_ERROR;
}

static void
tell_warning(struct progress *p, const char *who, const char *info_hash,
	     const char *text, int code)
{
	struct stats_torrent t = {.eta = -1};

	snprintf(t.name, sizeof(t.name), "%s", who ? who : "");
	snprintf(t.info_hash, sizeof(t.info_hash), "%s",
		 info_hash ? info_hash : "");
	progress_warning(p, who ? &t : NULL, text, code);
}

/* Others may have something to say meanwhile, and the log tells first what it
 * has left out. */
static int
failing(const struct get *g, const char *text)
{
	char clean[LOG_TEXT_MAX];

	if (!pthread_equal(pthread_self(), g->main) || g->failing == 0)
		return 0;
	text_clean(clean, sizeof(clean), g->failing_text);
	return strcmp(clean, text) == 0 ? g->failing : 0;
}

static void
on_failing(void *ctx, int code, const char *text)
{
	struct get *g = ctx;

	g->failing = code;
	g->failing_text = text;
}

static void
on_line(void *ctx, enum log_level level, const char *who,
	const char *info_hash, const char *text)
{
	struct get *g = ctx;
	struct progress *p = atomic_load(&g->progress);
	char line[COMMAND_LINE_MAX];

	if (p && level <= LOG_WARNING)
		tell_warning(p, who, info_hash, text, failing(g, text));
	if (!is_shown(g->options, level))
		return;
	if (!p) {
		if (!atomic_load(&g->mute))
			command_report(who, text);
		return;
	}
	command_line(line, sizeof(line), who, text);
	progress_message(p, line);
}

static void
on_added(void *ctx, const struct stats_torrent *t)
{
	struct get *g = ctx;

	(void)t;
	g->added++;
}

static void
on_start(void *ctx, const struct stats_torrent *t)
{
	struct get *g = ctx;
	char length[32];
	char done[32];

	log_write(g->log, LOG_NOTICE, t->name, "started: %s, %s of it there",
		  text_size(length, sizeof(length), t->length),
		  text_size(done, sizeof(done), t->done));
	progress_start(atomic_load(&g->progress), t);
}

static void
on_file(void *ctx, const struct stats_torrent *t, const char *path)
{
	struct get *g = ctx;

	progress_file(atomic_load(&g->progress), t, path);
}

static void
on_complete(void *ctx, const struct stats_torrent *t)
{
	struct get *g = ctx;

	log_write(g->log, LOG_NOTICE, t->name, "complete");
	progress_complete(atomic_load(&g->progress), t);
}

static void
note_reason(struct get *g, int code, const char *reason)
{
	if (code > 0 && code <= EXIT_HOOK && !*g->reasons[code])
		text_clean(g->reasons[code], sizeof(g->reasons[code]), reason);
}

/* Of several torrents, the reason is that of the one whose code counts. */
static const char *
reason_of(const struct get *g)
{
	if (g->code == 0)
		return "complete";
	return g->code <= EXIT_HOOK && *g->reasons[g->code]
		       ? g->reasons[g->code] : "see the warnings";
}

static void
on_refused(void *ctx, const char *torrent, int code, const char *why)
{
	struct get *g = ctx;
	char label[256];

	source_label(label, sizeof(label), torrent);
	on_failing(g, code, why);
	log_write(g->log, code == EXIT_LOCKED ? LOG_WARNING : LOG_ERROR,
		  label, "%s", why);
	on_failing(g, 0, NULL);
	note_reason(g, code, why);
}

static void
on_ended(void *ctx, const struct stats_torrent *t, int code,
	 const char *reason)
{
	struct get *g = ctx;

	log_write(g->log, LOG_NOTICE, t->name, "ended with %d: %s", code,
		  reason);
	note_reason(g, code, reason);
}

/* ---- what the display asks ---- */

static bool
torrent_stats(void *ctx, size_t from, struct stats_torrent *out)
{
	return session_stats(ctx, from, out);
}

static void
torrent_cells(void *ctx, size_t number, uint8_t *cells, size_t n)
{
	session_cells(ctx, number, cells, n);
}

/* ---- the run ---- */

static void
interrupt(void *ctx, int signal)
{
	session_interrupt(ctx, signal);
}

static void
hangup(void *ctx)
{
	session_reopen_log(ctx);
}

static void
run(struct get *g)
{
	const struct options *o = g->options;
	char signal[32];
	int code;

	for (size_t i = 0; i < o->operand_count && !signals_caught(); i++)
		session_add(g->session, o->operands[i]);
	code = session_run(g->session);
	if (signals_caught() && code < EXIT_SIGNAL && !g->added)
		code = exit_merge(code, EXIT_SIGNAL + signals_caught());
	g->code = code;
	if (code >= EXIT_SIGNAL)
		/* Whatever else went wrong, it was told to end. */
		snprintf(g->reason, sizeof(g->reason), "ended by %s",
			 text_signal(signal, sizeof(signal),
				     code - EXIT_SIGNAL));
	else
		snprintf(g->reason, sizeof(g->reason), "%s", reason_of(g));
}

static int
open_log(struct get *g, struct error *e)
{
	static const enum log_level levels[] = {
		LOG_WARNING, LOG_DETAIL, LOG_DEBUG
	};

	g->log = log_new(levels[g->options->verbose], on_line, g);
	if (!g->log)
		return error_memory(e);
	if (g->options->log_path)
		return log_open(g->log, g->options->log_path, e);
	return 0;
}

/* First of all: while there is one thread, no file, and no restriction. */
static int
start_hooks(struct get *g, struct error *e)
{
	const char *const commands[HOOK_KINDS] = {
		[HOOK_COMPLETE] = g->options->session.on_complete,
		[HOOK_ERROR] = g->options->session.on_error,
	};

	if (!commands[HOOK_COMPLETE] && !commands[HOOK_ERROR])
		return 0;
	g->hooks = hooks_new(commands, e);
	return g->hooks ? 0 : -1;
}

static int
open_log_again(void *ctx)
{
	return opener_open(ctx);
}

/* The same, for what HUP asks for, which may do without. */
static void
start_opener(struct get *g)
{
	if (g->options->log_path && g->options->session.watch)
		g->opener = opener_new(g->options->log_path, NULL);
	if (g->opener)
		log_set_opener(g->log, open_log_again, g->opener);
}

static struct progress *
open_progress(const struct options *o, struct error *e)
{
	struct progress_config config = {
		.mode = terminal_mode((enum progress_mode)o->progress,
					STDOUT_FILENO),
		.out = STDOUT_FILENO,
		.err = STDERR_FILENO,
		.dir = o->session.dir,
		.patience_ns = COMMAND_PATIENCE_NS,
	};

	if (o->quiet)
		config.mode = PROGRESS_NONE;
	return progress_new(&config, e);
}

static int
run_session(struct get *g, struct progress *p, struct error *e)
{
	const struct session_events events = {
		.ctx = g,
		.added = on_added,
		.refused = on_refused,
		.failing = on_failing,
		.start = on_start,
		.file = on_file,
		.complete = on_complete,
		.ended = on_ended,
	};
	struct progress_source source = {
		NULL, torrent_stats, torrent_cells
	};
	struct signals signals = {
		.interrupt = interrupt,
		.hangup = g->options->session.watch ? hangup : NULL,
		.progress = p,
	};

	g->session = session_new(&g->config, g->log, &events, e);
	if (!g->session)
		return -1;
	session_set_hooks(g->session, g->hooks);
	source.ctx = g->session;
	signals.ctx = g->session;
	signals_begin(&signals);
	progress_watch(p, &source);
	run(g);
	signals_settled();
	progress_exit(p, g->code, g->reason);
	atomic_store(&g->mute, !progress_stop(p));
	atomic_store(&g->progress, NULL);
	session_free(g->session);
	signals_end();
	return 0;
}

static bool
is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Where the DHT's nodes are kept.  Without, the next run only takes longer
 * to begin.  A home that is not there (/nonexistent, as accounts of services
 * have it) is not ours to make. */
static void
choose_cache(struct get *g)
{
	const char *cache = getenv("XDG_CACHE_HOME");	/* NOLINT(concurrency-*) */
	const char *home = getenv("HOME");	/* NOLINT(concurrency-*) */
	int n = -1;

	if (cache && *cache == '/')
		n = snprintf(g->cache, sizeof(g->cache), "%s/btget", cache);
	else if (home && *home == '/' && is_folder(home))
		n = snprintf(g->cache, sizeof(g->cache), "%s/.cache/btget",
			     home);
	if (n > 0 && (size_t)n < sizeof(g->cache) && g->config.use_dht)
		g->config.cache = g->cache;
}

/*
 * Before there is any other thread.  A target folder that cannot be used
 * leaves us free: what fails is then told in its own words.
 */
static void
confine(const struct get *g)
{
	const struct options *o = g->options;
	struct sandbox s;

	sandbox_init(&s);
	if (sandbox_allow(&s, o->session.dir, 0777) < 0 ||
	    (o->log_path && sandbox_allow_file(&s, o->log_path) < 0))
		sandbox_release(&s);
	if (g->config.cache)
		sandbox_allow(&s, g->config.cache, 0700);
	sandbox_enter(&s);
}

int
command_get(const struct options *o)
{
	struct get g = {.options = o, .config = o->session,
			.main = pthread_self()};
	struct progress *p = NULL;
	struct error e;
	int rc;

	error_clear(&e);
	atomic_init(&g.progress, NULL);
	rc = start_hooks(&g, &e);
	if (rc == 0)
		rc = open_log(&g, &e);
	if (rc == 0) {
		start_opener(&g);
		choose_cache(&g);
		confine(&g);
		p = open_progress(o, &e);
		atomic_store(&g.progress, p);
		rc = p ? run_session(&g, p, &e) : -1;
	}
	atomic_store(&g.progress, NULL);
	if (rc < 0) {
		command_report(NULL, e.text);
		g.code = exit_for(e.kind);
		/* JSON ends with its exit event, wherever it ends. */
		if (!p && o->progress == PROGRESS_JSON)
			p = open_progress(o, NULL);
		if (p)
			progress_exit(p, g.code, e.text);
	}
	progress_free(p);
	hooks_free(g.hooks);
	log_free(g.log);
	opener_free(g.opener);
	return g.code;
}
