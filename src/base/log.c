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

#define WHO_MAX_BYTES 256	/* as long as names in events */
#define LINES_PER_S 300
#define REPEAT_NS (10 * CLOCK_S)

/* Warnings have a budget of their own: a flood of the protocol's lines must
 * not drown them.  Errors and milestones have no need of one: a torrent begins
 * and ends once. */
enum { URGENT, CHATTY, BUDGETS };

/* Whom a line is about. */
struct subject {
	char who[WHO_MAX_BYTES];	/* or "" */
	char about[LOG_ABOUT_MAX];	/* or "" */
};

struct line {
	enum log_level level;
	struct subject of;
	char text[LOG_TEXT_MAX];
};

struct core;

struct log {
	struct core *core;
	char about[LOG_ABOUT_MAX];	/* or "" */
};

/* What a log shares with those that log_about makes of it. */
struct core {
	struct log whole;		/* the log that log_new returned */
	enum log_level level;
	log_sink *sink;
	void *ctx;
	log_opener *opener;		/* or NULL */
	void *opener_ctx;
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
	struct subject repeats_of;
	unsigned dropped;
	enum log_level dropped_level;
};

struct log *
log_new(enum log_level level, log_sink *sink, void *ctx)
{
	struct core *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->whole.core = c;
	c->level = level;
	c->sink = sink;
	c->ctx = ctx;
	atomic_init(&c->fd, -1);
	atomic_init(&c->torn, false);
	mutex_init(&c->lock);
	c->last_ns = CLOCK_NEVER;
	return &c->whole;
}

struct log *
log_about(struct log *l, const char *about)
{
	struct log *one = l ? calloc(1, sizeof(*one)) : NULL;

	if (!one)
		return NULL;
	one->core = l->core;
	snprintf(one->about, sizeof(one->about), "%s", about);
	return one;
}

/* ---- the file ---- */

static bool
file_wants(const struct core *c, enum log_level level)
{
	enum log_level most = c->level > LOG_NOTICE ? c->level : LOG_NOTICE;

	return atomic_load_explicit(&c->fd, memory_order_relaxed) >= 0 &&
	       level <= most;
}

static bool
sink_wants(const struct core *c, enum log_level level)
{
	return c->sink && level <= c->level;
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
file_write(struct core *c, const struct line *line)
{
	static const char *const names[] = {"error", "warning", "notice",
					    "detail", "debug"};
	char out[LOG_TEXT_MAX + WHO_MAX_BYTES + 64];
	char when[40];
	bool torn = atomic_exchange(&c->torn, false);
	ssize_t done;
	int n;

	format_time(when, sizeof(when));
	n = snprintf(out, sizeof(out), "%s%s %s %s%s%s\n", torn ? "\n" : "",
		     when, names[line->level], line->of.who,
		     *line->of.who ? ": " : "", line->text);
	do
		done = write(atomic_load(&c->fd), out, (size_t)n);
	while (done < 0 && errno == EINTR);
	if (done != n && (done > 0 || torn))
		atomic_store(&c->torn, true);
}

/* Not blocking, so that a pipe without a reader cannot stop the run. */
int
log_open_file(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
			      O_NOCTTY | O_NONBLOCK, 0666);
}

static int
open_file(const struct core *c, const char *path, struct error *e)
{
	int fd = log_open_file(path);
	char clean[256];

	if (fd < 0 && errno == EACCES && c->opener)
		fd = c->opener(c->opener_ctx);
	if (fd < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot open log '%s'",
				 text_path(clean, sizeof(clean), path));
	return fd;
}

/* Makes fd the log's file; takes it over. */
static void
use_file(struct core *c, int fd)
{
	int old = -1;
	int status;

	if (atomic_compare_exchange_strong(&c->fd, &old, fd))
		return;
	do
		status = dup3(fd, old, O_CLOEXEC);
	while (status < 0 && (errno == EINTR || errno == EBUSY));
	close(fd);
}

int
log_open(struct log *l, const char *path, struct error *e)
{
	struct core *c = l->core;
	char *copy = strdup(path);
	int fd;

	if (!copy)
		return error_memory(e);
	fd = open_file(c, path, e);
	if (fd < 0) {
		free(copy);
		return -1;
	}
	use_file(c, fd);
	mutex_lock(&c->lock);
	free(c->path);
	c->path = copy;
	mutex_unlock(&c->lock);
	return 0;
}

int
log_reopen(struct log *l, struct error *e)
{
	struct core *c = l->core;
	char *path;
	bool named;
	int fd;

	mutex_lock(&c->lock);
	named = c->path != NULL;
	path = named ? strdup(c->path) : NULL;
	mutex_unlock(&c->lock);
	if (!named)
		return 0;
	if (!path)
		return error_memory(e);
	fd = open_file(c, path, e);
	free(path);
	if (fd < 0)
		return -1;
	use_file(c, fd);
	return 0;
}

void
log_set_opener(struct log *l, log_opener *opener, void *ctx)
{
	l->core->opener = opener;
	l->core->opener_ctx = ctx;
}

/* ---- lines ---- */

static void
emit(struct core *c, const struct line *line)
{
	if (file_wants(c, line->level))
		file_write(c, line);
	if (sink_wants(c, line->level))
		c->sink(c->ctx, line->level,
			*line->of.who ? line->of.who : NULL,
			*line->of.about ? line->of.about : NULL, line->text);
}

static void
emit_note(struct core *c, enum log_level level, const struct subject *of,
	  const char *what, unsigned n)
{
	struct line note = {.level = level};

	if (n == 0)
		return;
	if (of)
		note.of = *of;
	snprintf(note.text, sizeof(note.text), what, n);
	emit(c, &note);
}

static void
emit_notes(struct core *c, const struct verdict *v)
{
	emit_note(c, v->repeats_level, &v->repeats_of,
		  "(last line repeated: %u)", v->repeats);
	emit_note(c, v->dropped_level, NULL, "(lines dropped here: %u)",
		  v->dropped);
}

/* What has been counted and not told. */
static struct verdict
take_counts_locked(struct core *c) REQUIRES(c->lock)
{
	struct verdict v = {
		.repeats = c->repeats,
		.repeats_level = c->last.level,
		.repeats_of = c->last.of,
		.dropped = c->dropped,
		.dropped_level = c->dropped_level,
	};

	c->repeats = 0;
	c->dropped = 0;
	return v;
}

static bool
is_same(const struct subject *a, const struct subject *b)
{
	return strcmp(a->who, b->who) == 0 && strcmp(a->about, b->about) == 0;
}

static bool
is_repeat_locked(const struct core *c, const struct line *line, int64_t now)
    REQUIRES(c->lock)
{
	return c->last_ns != CLOCK_NEVER && now - c->last_ns < REPEAT_NS &&
	       c->last.level == line->level &&
	       is_same(&c->last.of, &line->of) &&
	       strcmp(c->last.text, line->text) == 0;
}

static struct verdict
judge_locked(struct core *c, const struct line *line, int64_t now)
    REQUIRES(c->lock)
{
	int budget = line->level <= LOG_WARNING ? URGENT : CHATTY;
	bool counts = line->level != LOG_ERROR && line->level != LOG_NOTICE;
	struct verdict v = {0};

	if (counts && is_repeat_locked(c, line, now)) {
		c->repeats++;
		return v;
	}
	if (now - c->window_ns >= CLOCK_S) {
		c->window_ns = now;
		memset(c->admitted, 0, sizeof(c->admitted));
	}
	if (counts && c->admitted[budget] >= LINES_PER_S) {
		if (c->dropped++ == 0 || line->level < c->dropped_level)
			c->dropped_level = line->level;
		return v;
	}
	if (counts)
		c->admitted[budget]++;
	v = take_counts_locked(c);
	v.admitted = true;
	c->last = *line;
	c->last_ns = now;
	return v;
}

bool
log_wants(const struct log *l, enum log_level level)
{
	return l && (sink_wants(l->core, level) || file_wants(l->core, level));
}

static void
write_line(struct core *c, const struct line *line)
{
	int64_t now = clock_ns();
	struct verdict v;

	mutex_lock(&c->lock);
	v = judge_locked(c, line, now);
	mutex_unlock(&c->lock);
	if (!v.admitted)
		return;
	emit_notes(c, &v);
	emit(c, line);
}

void
log_write(struct log *l, enum log_level level, const char *who,
	  const char *fmt, ...)
{
	struct line line = {.level = level};
	char raw[LOG_TEXT_MAX];
	va_list ap;

	if (!log_wants(l, level))
		return;
	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	text_clean(line.text, sizeof(line.text), raw);
	text_clean(line.of.who, sizeof(line.of.who), who ? who : "");
	memcpy(line.of.about, l->about, sizeof(line.of.about));
	write_line(l->core, &line);
}

static void
free_core(struct core *c)
{
	struct verdict v;
	int fd;

	mutex_lock(&c->lock);
	v = take_counts_locked(c);
	mutex_unlock(&c->lock);
	emit_notes(c, &v);
	fd = atomic_load(&c->fd);
	if (fd >= 0)
		close(fd);
	mutex_release(&c->lock);
	free(c->path);
	free(c);
}

void
log_free(struct log *l)
{
	if (!l)
		return;
	if (l == &l->core->whole)
		free_core(l->core);
	else
		free(l);
}
