/*
 * progress: the thread that owns standard output while torrents run.
 *
 * It takes snapshots a few times a second while something changes, sleeps
 * in one timed wait otherwise, and shows them as bars, plain lines or JSON.
 * It alone writes; what others have to say is queued for it, so that a
 * reader who does not read stops the display and never the download.
 *
 * Ownership: the caller owns the progress; source and its ctx are borrowed
 *            until progress_stop or progress_free.
 * Threads:   every function but new and free may be called from any thread.
 */
#ifndef BTGET_CLI_PROGRESS_H
#define BTGET_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cli/options.h"
#include "session/stats.h"

struct progress;

/* Where snapshots come from: the session, or a test. */
struct progress_source {
	void *ctx;
	/* The first torrent whose number is `from` or more. */
	bool (*stats)(void *ctx, size_t from, struct stats_torrent *out);
	void (*cells)(void *ctx, size_t number, uint8_t *cells, size_t n);
};

struct progress_config {
	enum progress_mode mode;
	int out;		/* standard output */
	int err;		/* standard error, for messages */
	const char *dir;	/* where the data goes, for JSON */
	int64_t patience_ns;	/* how long the end waits for a reader who
				 * takes nothing */
};

struct progress *progress_new(const struct progress_config *config,
			      struct error *e);

/* Shows this source from now on. */
void progress_watch(struct progress *p, const struct progress_source *source);

/* Shows the last state, waits for it to be written (while something is taken
 * within each patience_ns, and for a minute at most, or three times patience_ns
 * once it is to hurry), and ends the thread.  False if that hangs in a
 * write. */
bool progress_stop(struct progress *p);
void progress_free(struct progress *p);	/* stops it, too */

/* A line for standard error, without '\n'; above the bars. */
void progress_message(struct progress *p, const char *line);

/* The events of a session (see session/stats.h). */
void progress_start(struct progress *p, const struct stats_torrent *t);
void progress_file(struct progress *p, const struct stats_torrent *t,
		   const char *path);
void progress_warning(struct progress *p, const struct stats_torrent *t,
		      const char *text, int code);
void progress_complete(struct progress *p, const struct stats_torrent *t);
void progress_exit(struct progress *p, int code, const char *reason);

/* Somebody waits for the end.  For a signal handler. */
void progress_hurry(struct progress *p);

/* The terminal's size has changed.  Async-signal-safe. */
void progress_resized(struct progress *p);

/* Leaves the terminal usable: for a handler that ends the process at once.
 * Async-signal-safe. */
void progress_restore(struct progress *p);

#endif
