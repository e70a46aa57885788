/*
 * log: one line for each thing worth telling, to a sink and to a file.
 *
 * The program's front (cli) gives the sink, which puts warnings and errors
 * on standard error; the file (-l) gets everything up to the level, with the
 * time in front.  Lines are cleaned by text_clean, bounded in length, and
 * bounded in number: a repeated line is counted, and more than a few hundred
 * lines a second are dropped and counted (a peer must not fill the disk).
 * Errors and milestones all come through: there are a few of each torrent's,
 * and whoever has a list of torrents waits for the lines of each.
 *
 * Names are not unique and may change, so a torrent writes into a log of its
 * own (log_about), which is the same but tells the sink whose the line is.
 *
 * Threads: every function may be called from any thread.  The lock is the
 * last in the lock order; the sink is called without it, until log_free has
 * returned.  A file that takes no lines (disk full) loses them, and only them;
 * SIGXFSZ and SIGPIPE must be blocked or ignored.
 */
#ifndef BTGET_BASE_LOG_H
#define BTGET_BASE_LOG_H

#include <stdbool.h>

#include "base/error.h"

enum log_level {
	LOG_ERROR,	/* a torrent, or the run, cannot go on */
	LOG_WARNING,	/* something is wrong, the run goes on */
	LOG_NOTICE,	/* milestones: started, complete */
	LOG_DETAIL,	/* -v: trackers, peers that come and go */
	LOG_DEBUG,	/* -vv: the protocol */
};

struct log;

#define LOG_ABOUT_MAX 65	/* the longest info hash in hex, and the NUL */
#define LOG_TEXT_MAX 1024	/* a line's text and the NUL, cleaned or not */

/* `who` is the torrent's name (cleaned), or NULL; `about` is what its log was
 * made for by log_about, or NULL. */
typedef void log_sink(void *ctx, enum log_level level, const char *who,
		      const char *about, const char *line);

struct log *log_new(enum log_level level, log_sink *sink, void *ctx);
/* Those made of it by log_about go first; they end nothing. */
void log_free(struct log *l);

/* The same log (sink, file, bounds) for lines about one thing; of NULL it is
 * NULL, which is also returned when memory lacks. */
struct log *log_about(struct log *l, const char *about);

/* Appends to the file from now on; the level for the file is at least
 * LOG_NOTICE.  Reopening makes the file anew where it was moved away; on
 * failure the lines go on into the old one. */
int log_open(struct log *l, const char *path, struct error *e);
int log_reopen(struct log *l, struct error *e);

/* Who opens it again for a run that may not any more (EACCES): a descriptor,
 * which is taken over, or -1 with errno.  Set before there are threads. */
typedef int log_opener(void *ctx);
void log_set_opener(struct log *l, log_opener *opener, void *ctx);

/* As both open it; -1 with errno. */
int log_open_file(const char *path);

/* Would a line of this level go anywhere?  Cheap: ask before formatting. */
bool log_wants(const struct log *l, enum log_level level);

/* A NULL log drops everything.  `who` may be NULL. */
void log_write(struct log *l, enum log_level level, const char *who,
	       const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
