/*
 * A line goes three ways: it is made and cleaned without the lock, admitted
 * or counted under it, and handed to the sink and the file without it again,
 * so that a slow disk or terminal holds up nobody else.
 *
 * That works since the file's number never changes once it is open: opening
 * it again puts the new file under the old number (dup3), and a line is one
 * write to a file opened for appending.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sync.h"
#include "base/text.h"

#define LINE_MAX_BYTES 1024
#define WHO_MAX_BYTES 256	/* as long as names in events */
#define LINES_PER_S 300
#define REPEAT_NS (10 * CLOCK_S)

/* Warnings have a budget of their own: a flood of the protocol's lines must
 * not drown them.  Errors have no need of one: a torrent ends once. */
enum { URGENT, CHATTY, BUDGETS };

struct line {
	enum log_level level;
	bool has_who;
	char who[WHO_MAX_BYTES];
	char text[LINE_MAX_BYTES];
};

struct log {
	enum log_level level;
	log_sink *sink;
	void *ctx;
	atomic_int fd;			/* -1 until the first log_open */
	atomic_bool torn;		/* the last write was cut short */

	struct mutex lock;
	char *path;			/* lock */
	struct line last;		/* lock; the last one admitted */
	int64_t last_ns;		/* lock; when, or CLOCK_NEVER */
	unsigned repeats;		/* lock; of it, not shown */
	int64_t window_ns;		/* lock; when this second began */
	unsigned admitted[BUDGETS];	/* lock; in this second */
	unsigned dropped;		/* lock; not yet told */
	enum log_level dropped_level;	/* lock; the gravest of them */
};

/* What became of a line, and what must be told before it. */
struct verdict {
	bool admitted;
	unsigned repeats;
	enum log_level repeats_level;
	unsigned dropped;
	enum log_level dropped_level;
};

struct log *
log_new(enum log_level level, log_sink *sink, void *ctx)
{
	struct log *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->level = level;
	l->sink = sink;
	l->ctx = ctx;
	atomic_init(&l->fd, -1);
	atomic_init(&l->torn, false);
	mutex_init(&l->lock);
	l->last_ns = CLOCK_NEVER;
	return l;
}

/* ---- the file ---- */

static bool
file_wants(const struct log *l, enum log_level level)
{
	enum log_level most = l->level > LOG_NOTICE ? l->level : LOG_NOTICE;

	return atomic_load_explicit(&l->fd, memory_order_relaxed) >= 0 &&
	       level <= most;
}

static bool
sink_wants(const struct log *l, enum log_level level)
{
	return l->sink && level <= l->level;
}

static size_t
format_time(char *out, size_t size)
{
	struct timespec now;
	struct tm tm;
	char zone[8];
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	if (!localtime_r(&now.tv_sec, &tm))
		memset(&tm, 0, sizeof(tm));
	n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	snprintf(out + n, size - n, ".%03d%s", (int)(now.tv_nsec / CLOCK_MS),
		 zone);
	return strlen(out);
}

/* A line that the file does not take (disk full) is lost, and nothing else:
 * the run goes on.  Half a line gets its end before the next one. */
static void
file_write(struct log *l, const struct line *line)
{
	static const char *const names[] = {"error", "warning", "notice",
					    "detail", "debug"};
	char out[LINE_MAX_BYTES + WHO_MAX_BYTES + 64];
	char when[40];
	bool torn = atomic_exchange(&l->torn, false);
	ssize_t done;
	int n;

	format_time(when, sizeof(when));
	n = snprintf(out, sizeof(out), "%s%s %s %s%s%s\n", torn ? "\n" : "",
		     when, names[line->level], line->has_who ? line->who : "",
		     line->has_who ? ": " : "", line->text);
	do
		done = write(atomic_load(&l->fd), out, (size_t)n);
	while (done < 0 && errno == EINTR);
	if (done != n && (done > 0 || torn))
		atomic_store(&l->torn, true);
}

/* Not blocking, so that a pipe without a reader cannot stop the run. */
static int
open_file(const char *path, struct error *e)
{
	int fd = open(path,
		      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
			  O_NONBLOCK,
		      0666);
	char clean[256];

	if (fd < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot open log '%s'",
				 text_path(clean, sizeof(clean), path));
	return fd;
}

/* Makes fd the log's file; takes it over. */
static void
use_file(struct log *l, int fd)
{
	int old = -1;
	int status;

	if (atomic_compare_exchange_strong(&l->fd, &old, fd))
		return;
	do
		status = dup3(fd, old, O_CLOEXEC);
	while (status < 0 && (errno == EINTR || errno == EBUSY));
	close(fd);
}

int
log_open(struct log *l, const char *path, struct error *e)
{
	char *copy = strdup(path);
	int fd;

	if (!copy)
		return error_memory(e);
	fd = open_file(path, e);
	if (fd < 0) {
		free(copy);
		return -1;
	}
	use_file(l, fd);
	mutex_lock(&l->lock);
	free(l->path);
	l->path = copy;
	mutex_unlock(&l->lock);
	return 0;
}

int
log_reopen(struct log *l, struct error *e)
{
	char *path;
	bool named;
	int fd;

	mutex_lock(&l->lock);
	named = l->path != NULL;
	path = named ? strdup(l->path) : NULL;
	mutex_unlock(&l->lock);
	if (!named)
		return 0;
	if (!path)
		return error_memory(e);
	fd = open_file(path, e);
	free(path);
	if (fd < 0)
		return -1;
	use_file(l, fd);
	return 0;
}

/* ---- lines ---- */

static void
emit(struct log *l, const struct line *line)
{
	if (file_wants(l, line->level))
		file_write(l, line);
	if (sink_wants(l, line->level))
		l->sink(l->ctx, line->level, line->has_who ? line->who : NULL,
			line->text);
}

static void
emit_note(struct log *l, enum log_level level, const char *what, unsigned n)
{
	struct line note = {.level = level};

	if (n == 0)
		return;
	snprintf(note.text, sizeof(note.text), what, n);
	emit(l, &note);
}

static void
emit_notes(struct log *l, const struct verdict *v)
{
	emit_note(l, v->repeats_level, "(last line repeated: %u)",
		  v->repeats);
	emit_note(l, v->dropped_level, "(lines dropped here: %u)",
		  v->dropped);
}

/* What has been counted and not told. */
static struct verdict
take_counts_locked(struct log *l) REQUIRES(l->lock)
{
	struct verdict v = {
		.repeats = l->repeats,
		.repeats_level = l->last.level,
		.dropped = l->dropped,
		.dropped_level = l->dropped_level,
	};

	l->repeats = 0;
	l->dropped = 0;
	return v;
}

static bool
is_repeat_locked(const struct log *l, const struct line *line, int64_t now)
    REQUIRES(l->lock)
{
	return l->last_ns != CLOCK_NEVER && now - l->last_ns < REPEAT_NS &&
	       l->last.level == line->level &&
	       strcmp(l->last.who, line->who) == 0 &&
	       strcmp(l->last.text, line->text) == 0;
}

static struct verdict
judge_locked(struct log *l, const struct line *line, int64_t now)
    REQUIRES(l->lock)
{
	int budget = line->level <= LOG_WARNING ? URGENT : CHATTY;
	bool error = line->level == LOG_ERROR;
	struct verdict v = {0};

	if (!error && is_repeat_locked(l, line, now)) {
		l->repeats++;
		return v;
	}
	if (now - l->window_ns >= CLOCK_S) {
		l->window_ns = now;
		memset(l->admitted, 0, sizeof(l->admitted));
	}
	if (!error && l->admitted[budget] >= LINES_PER_S) {
		if (l->dropped++ == 0 || line->level < l->dropped_level)
			l->dropped_level = line->level;
		return v;
	}
	if (!error)
		l->admitted[budget]++;
	v = take_counts_locked(l);
	v.admitted = true;
	l->last = *line;
	l->last_ns = now;
	return v;
}

bool
log_wants(const struct log *l, enum log_level level)
{
	return l && (sink_wants(l, level) || file_wants(l, level));
}

void
log_write(struct log *l, enum log_level level, const char *who,
	  const char *fmt, ...)
{
	struct line line = {.level = level, .has_who = who != NULL};
	struct verdict v;
	char raw[LINE_MAX_BYTES];
	int64_t now;
	va_list ap;

	if (!log_wants(l, level))
		return;
	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	text_clean(line.text, sizeof(line.text), raw);
	text_clean(line.who, sizeof(line.who), who ? who : "");
	now = clock_ns();
	mutex_lock(&l->lock);
	v = judge_locked(l, &line, now);
	mutex_unlock(&l->lock);
	if (!v.admitted)
		return;
	emit_notes(l, &v);
	emit(l, &line);
}

void
log_free(struct log *l)
{
	struct verdict v;
	int fd;

	if (!l)
		return;
	mutex_lock(&l->lock);
	v = take_counts_locked(l);
	mutex_unlock(&l->lock);
	emit_notes(l, &v);
	fd = atomic_load(&l->fd);
	if (fd >= 0)
		close(fd);
	mutex_release(&l->lock);
	free(l->path);
	free(l);
}
