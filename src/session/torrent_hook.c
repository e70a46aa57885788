/*
 * The user's commands: --on-complete, once for each time that a torrent
 * became complete, and --on-error when it ended without being so.
 *
 * That --on-complete is due is noted beside the state (INFOHASH.hook) before
 * the state says complete, and until the command has ended with 0: whatever
 * comes in between, the next run makes up for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session/exit.h"
#include "session/hooks.h"
#include "session/torrent_parts.h"
#include "store/files.h"
#include "store/layout.h"

static void
note_name(const struct torrent *t, char out[STATS_HASH_MAX + 8])
{
	snprintf(out, STATS_HASH_MAX + 8, "%s.hook", t->state_hex);
}

void
torrent_hook_look(struct torrent *t)
{
	char name[STATS_HASH_MAX + 8];

	note_name(t, name);
	t->hook_due = folder_has(t->folder.state, name);
}

int
torrent_hook_note(struct torrent *t, struct error *e)
{
	char name[STATS_HASH_MAX + 8];
	int fd;

	if (!hooks_has(t->env.hooks, HOOK_COMPLETE) || t->hook_due)
		return 0;
	note_name(t, name);
	fd = folder_openat(t->folder.state, name, O_WRONLY | O_CREAT, 0666);
	if (fd < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot create '%s/%s'", FOLDER_STATE, name);
	close(fd);
	t->hook_due = true;
	return 0;
}

/* ---- running ---- */

static const char *
option_of(enum hook_kind kind)
{
	return kind == HOOK_COMPLETE ? "--on-complete" : "--on-error";
}

static void
on_output(void *ctx, enum hook_kind kind, const char *name, const char *line)
{
	struct torrent *t = ctx;

	(void)name;
	log_write(t->env.log, LOG_WARNING, t->name, "%s: %s",
		  option_of(kind), line);
}

/* Whom a signal ends need not be told that it is an error. */
static bool
is_cut(const struct torrent *t)
{
	return t->hook_cut > 0 || t->code > EXIT_SIGNAL;
}

static void
failed(struct torrent *t, enum hook_kind kind, const char *why)
{
	bool counts = kind == HOOK_COMPLETE && !is_cut(t);

	snprintf(t->hook_why, sizeof(t->hook_why), "%s %s", option_of(kind),
		 why);
	torrent_tell_failure(t, counts ? LOG_ERROR : LOG_WARNING,
			     counts ? EXIT_HOOK : 0, t->hook_why);
	t->hook_failed = kind == HOOK_COMPLETE;
}

static void
on_done(void *ctx, enum hook_kind kind, const char *name, const char *why)
{
	struct torrent *t = ctx;
	char note[STATS_HASH_MAX + 8];

	(void)name;
	t->hook_running = false;
	if (why) {
		failed(t, kind, why);
	} else if (kind == HOOK_COMPLETE) {
		note_name(t, note);
		unlinkat(t->folder.state, note, 0);
		t->hook_due = false;
	}
}

/* Where the data is now; empty while not even its name is known. */
static void
data_path(const struct torrent *t, const char *dir, char *out, size_t size)
{
	*out = '\0';
	if (t->layout && t->swarm.files)
		snprintf(out, size, "%s/%s%s",
			 strcmp(dir, "/") == 0 ? "" : dir,
			 layout_name(t->layout),
			 files_in_place(t->swarm.files) ? "" : ".part");
}

static void
run(struct torrent *t, enum hook_kind kind, int code)
{
	char dir[PATH_MAX], path[PATH_MAX + LAYOUT_NAME_MAX + 8];
	struct hook_job job = {
		.kind = kind,
		.name = t->layout ? layout_name(t->layout) : t->name,
		.dir = dir,
		.path = path,
		.info_hash = t->hash_hex,
		.exit = code,
		.ctx = t,
		.output = on_output,
		.done = on_done,
	};
	struct error e;

	hooks_dir(dir, t->env.config->dir);
	data_path(t, dir, path, sizeof(path));
	t->hook_running = true;
	if (hooks_submit(t->env.hooks, &job, &e) < 0) {
		t->hook_running = false;
		failed(t, kind, e.text);
	}
}

void
torrent_hook_complete(struct torrent *t)
{
	if (t->hook_due && hooks_has(t->env.hooks, HOOK_COMPLETE))
		run(t, HOOK_COMPLETE, EXIT_COMPLETE);
}

void
torrent_hook_cut(struct torrent *t, int code)
{
	if (code > EXIT_SIGNAL && t->hook_running)
		t->hook_cut = code;
}

/* Not for what was asked for (signals), nor for another run at work. */
static bool
is_error(int code)
{
	return code != EXIT_COMPLETE && code != EXIT_LOCKED &&
	       code != EXIT_HOOK && code < EXIT_SIGNAL;
}

bool
torrent_hook_ending(struct torrent *t)
{
	if (t->hook_running)
		return true;
	if (t->hook_failed && t->code == EXIT_COMPLETE) {
		t->code = t->hook_cut ? t->hook_cut : EXIT_HOOK;
		snprintf(t->reason, sizeof(t->reason), "%s", t->hook_why);
	}
	if (t->hook_error_run || !is_error(t->code) || t->complete ||
	    !hooks_has(t->env.hooks, HOOK_ERROR))
		return false;
	t->hook_error_run = true;
	run(t, HOOK_ERROR, t->code);
	return t->hook_running;
}
