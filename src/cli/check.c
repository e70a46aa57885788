/*
 * Says what is missing or wrong on disk; on a terminal with a bar meanwhile.
 */
#include "session/check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sync.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "session/exit.h"
#include "session/session.h"
#include "session/source.h"

#define OUTPUT_MAX ((size_t)2 << 30)

/* What the display shows, and the check tells. */
struct view {
	bool quiet;			/* nothing is shown */
	struct mutex lock;
	struct stats_torrent now;	/* lock */
};

static bool
view_stats(void *ctx, size_t from, struct stats_torrent *out)
{
	struct view *v = ctx;

	if (from > 0)
		return false;
	mutex_lock(&v->lock);
	*out = v->now;
	mutex_unlock(&v->lock);
	return true;
}

static void
view_cells(void *ctx, size_t number, uint8_t *cells, size_t n)
{
	struct stats_torrent now;

	(void)number;
	view_stats(ctx, 0, &now);
	command_fill(&now, cells, n);
}

static void
on_progress(void *ctx, uint64_t checked, uint64_t length)
{
	struct view *v = ctx;

	mutex_lock(&v->lock);
	v->now.checked = checked;
	v->now.length = length;
	mutex_unlock(&v->lock);
}

static void
interrupt(void *ctx, int signal)
{
	(void)signal;
	wake_up(ctx);
}

/* ---- the result ---- */

/* What is so of a file, in a word. */
enum file_state {
	FILE_GOOD,
	FILE_MISSING,
	FILE_UNSURE,	/* until missing files are there */
	FILE_WRONG,
	FILE_TOO_LONG,	/* and right up to where it should end */
};

static enum file_state
file_state(const struct check_file *f)
{
	if (f->missing)
		return FILE_MISSING;
	if (f->unsure)
		return FILE_UNSURE;
	if (f->good != f->length)
		return FILE_WRONG;
	return f->wrong_size ? FILE_TOO_LONG : FILE_GOOD;
}

static void
put_json_file(struct json *j, const struct check_file *f)
{
	static const char *const states[] = {
		[FILE_GOOD] = "good",
		[FILE_MISSING] = "missing",
		[FILE_UNSURE] = "unsure",
		[FILE_WRONG] = "wrong",
		[FILE_TOO_LONG] = "too long",
	};

	json_open(j, '{');
	json_key(j, "path");
	json_string(j, f->path);
	json_key(j, "length");
	json_number(j, f->length);
	json_key(j, "good");
	json_number(j, f->good);
	json_key(j, "state");
	json_string(j, states[file_state(f)]);
	json_close(j, '}');
}

static void
put_json(struct buffer *out, const struct check_result *r)
{
	struct json j;
	size_t i;

	json_init(&j, out);
	json_open(&j, '{');
	json_key(&j, "name");
	json_string(&j, r->name);
	json_key(&j, "info_hash");
	json_string(&j, r->info_hash);
	json_key(&j, "complete");
	json_bool(&j, r->complete);
	json_key(&j, "in_part");
	json_bool(&j, r->in_part);
	json_key(&j, "pieces");
	json_number(&j, r->pieces);
	json_key(&j, "pieces_good");
	json_number(&j, r->pieces_good);
	json_key(&j, "files");
	json_open(&j, '[');
	for (i = 0; i < r->file_count; i++)
		put_json_file(&j, &r->files[i]);
	json_close(&j, ']');
	json_close(&j, '}');
	buffer_u8(out, '\n');
}

static void
put_file(struct buffer *out, const struct check_file *f)
{
	char path[4096];
	char good[32];
	char length[32];

	text_clean(path, sizeof(path), f->path);
	text_size(good, sizeof(good), f->good);
	text_size(length, sizeof(length), f->length);
	switch (file_state(f)) {
	case FILE_GOOD:
		break;
	case FILE_MISSING:
		buffer_printf(out, "  missing: %s (%s)\n", path, length);
		break;
	case FILE_UNSURE:
		buffer_printf(out, "  unsure: %s (%s of %s right, the rest "
			      "cannot be told without missing files)\n", path,
			      good, length);
		break;
	case FILE_WRONG:
		buffer_printf(out, "  wrong: %s (%s of %s right)\n", path,
			      good, length);
		break;
	case FILE_TOO_LONG:
		buffer_printf(out, "  too long: %s (should have %llu "
			      "bytes)\n", path,
			      (unsigned long long)f->length);
		break;
	}
}

static void
put_summary(char *out, size_t size, const struct check_result *r)
{
	char good[32];
	char length[32];
	const char *where = r->in_part ? ", in its .part" : "";

	text_size(length, sizeof(length), r->length);
	if (r->complete)
		snprintf(out, size, "complete, %s%s", length, where);
	else
		snprintf(out, size, "incomplete, %u of %u pieces right, "
			 "%s of %s%s", r->pieces_good, r->pieces,
			 text_size(good, sizeof(good), r->good), length,
			 where);
}

static void
put_text(struct buffer *out, const struct check_result *r)
{
	char summary[160];
	size_t i;

	put_summary(summary, sizeof(summary), r);
	buffer_printf(out, "%s: %s\n", r->name, summary);
	for (i = 0; !r->complete && i < r->file_count; i++)
		put_file(out, &r->files[i]);
}

/* Under -q what is good is no news, and what is not is an error. */
static int
tell_quietly(const struct check_result *r)
{
	char summary[160];

	if (r->complete)
		return EXIT_COMPLETE;
	put_summary(summary, sizeof(summary), r);
	command_report(r->name, summary);
	return EXIT_INCOMPLETE;
}

static int
print(const struct options *o, const struct check_result *r)
{
	struct buffer out;
	int code;

	if (o->quiet)
		return tell_quietly(r);
	buffer_init(&out, OUTPUT_MAX);
	if (o->json)
		put_json(&out, r);
	else
		put_text(&out, r);
	code = command_print(&out);
	buffer_release(&out);
	return exit_merge(code, r->complete ? EXIT_COMPLETE :
			  EXIT_INCOMPLETE);
}

/* ---- the run ---- */

static void
show_end(struct view *v, const struct check_result *r, int rc)
{
	mutex_lock(&v->lock);
	v->now.state = rc < 0 ? TORRENT_STOPPED : TORRENT_COMPLETE;
	v->now.complete = rc == 0 && r->complete;
	v->now.done = r->good;
	v->now.length = r->length;
	if (rc == 0 && !r->complete)
		v->now.state = TORRENT_STOPPED;
	mutex_unlock(&v->lock);
}

/* Runs the check while a display shows it. */
static int
watch(const struct check_job *job, struct view *v, struct wake *stop,
      struct check_result *r, struct error *e)
{
	const struct progress_config config = {
		.mode = v->quiet ? PROGRESS_NONE : command_progress_mode(),
		.out = STDERR_FILENO,
		.err = STDERR_FILENO,
		.dir = job->dir,
		.patience_ns = COMMAND_PATIENCE_NS,
	};
	const struct progress_source source = {
		v, view_stats, view_cells
	};
	struct progress *p = progress_new(&config, e);
	const struct signals signals = {
		.interrupt = interrupt, .ctx = stop, .progress = p,
	};
	int rc;

	if (!p)
		return -1;
	signals_begin(&signals);
	progress_watch(p, &source);
	rc = check_run(job, r, e);
	show_end(v, r, rc);
	progress_stop(p);
	signals_end();
	progress_free(p);
	return rc;
}

static int
check_one(const struct options *o, const char *arg)
{
	struct view v;
	struct wake stop;
	struct check_result r = { 0 };
	struct check_job job = {
		.torrent = arg,
		.dir = o->session.dir,
		.progress = on_progress,
		.ctx = &v,
	};
	struct error e;
	int code;

	error_clear(&e);
	memset(&v, 0, sizeof(v));
	v.quiet = o->quiet;
	mutex_init(&v.lock);
	source_label(v.now.name, sizeof(v.now.name), arg);
	v.now.state = TORRENT_CHECKING;
	v.now.eta = -1;
	if (wake_init(&stop, &e) == 0) {
		job.stop_fd = stop.fd;
		if (watch(&job, &v, &stop, &r, &e) == 0)
			e.kind = ERROR_NONE;
		wake_release(&stop);
	}
	if (signals_caught()) {
		code = EXIT_SIGNAL + signals_caught();
	} else if (e.kind != ERROR_NONE) {
		command_report(v.now.name, e.text);
		code = command_code(&e);
	} else {
		code = print(o, &r);
	}
	check_release(&r);
	mutex_release(&v.lock);
	return code;
}

int
command_check(const struct options *o)
{
	int code = EXIT_COMPLETE;
	size_t i;

	for (i = 0; i < o->operand_count && !signals_caught(); i++)
		code = exit_merge(code, check_one(o, o->operands[i]));
	return signals_caught() ? EXIT_SIGNAL + signals_caught() : code;
}
