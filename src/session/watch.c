/*
 * The folder is read anew each time that there is cause to, and compared with
 * what was there before; events only say when, and which files were closed.
 * So nothing is lost when events are.
 */
#include "session/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "session/source.h"

#define SETTLED_AFTER CLOCK_S		/* looks the same for so long */
#define GROWS_FOR (30 * CLOCK_S)	/* perhaps, while nobody closed it */
#define EMPTY_FOR (3 * CLOCK_S)	/* one that takes a name for what comes */
#define LOOK_EACH (10 * CLOCK_S)	/* beside events */
#define LOOK_EACH_BLIND (2 * CLOCK_S)	/* without */
#define LOOK_PAUSE (100 * CLOCK_MS)	/* events may come in thousands */
#define READ_AGAIN (60 * CLOCK_S)	/* what could not be read */
#define RETURN_EACH CLOCK_S		/* looks for a folder that vanished */
#define TAKE_FOR (100 * CLOCK_MS)	/* at a time */
#define PORTION 65536

struct stamp {
	uint64_t inode;
	int64_t size;
	int64_t mtime_ns;
};

struct file {
	char *name;
	struct stamp stamp;
	int64_t since;		/* looks like this */
	bool closed;		/* since then */
	bool done;		/* taken, or told of */
	int64_t again;		/* could not be read, which was told; or 0 */
	int64_t tried;		/* in vain; or 0 */
};

/* Sorted by name. */
struct list {
	struct file *files;
	size_t count;
	size_t room;
};

struct watch {
	const char *dir;
	struct log *log;
	void (*refused)(void *ctx, const char *name, const struct error *e);
	void *ctx;
	int events;		/* -1: no inotify */
	int id;			/* of the folder there, or -1 */
	dev_t device;		/* of it */
	ino_t inode;
	int fd;			/* the folder, while we look */
	bool lost;		/* it is gone, which was told */
	bool too_many;		/* was told */
	struct list list;
	struct list closed;	/* names alone, of files closed just now */
	int64_t looked_at;
	int64_t due;
};

/* ---- lists ---- */

static void
list_clear(struct list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->files[i].name);
	free(l->files);
	*l = (struct list){NULL, 0, 0};
}

/* A new one at the end, or NULL. */
static struct file *
list_add(struct list *l, const char *name)
{
	size_t room = l->room ? l->room * 2 : 16;
	struct file *more;

	if (l->count == WATCH_FILES_MAX)
		return NULL;
	if (l->count == l->room) {
		more = realloc(l->files, room * sizeof(*more));
		if (!more)
			return NULL;
		l->files = more;
		l->room = room;
	}
	more = &l->files[l->count];
	*more = (struct file){.name = strdup(name)};
	if (!more->name)
		return NULL;
	l->count++;
	return more;
}

static int
by_name(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void
list_sort(struct list *l)
{
	if (l->count > 1)
		qsort(l->files, l->count, sizeof(*l->files), by_name);
}

static int
against_name(const void *name, const void *file)
{
	return strcmp(name, ((const struct file *)file)->name);
}

static struct file *
list_find(struct list *l, const char *name)
{
	if (l->count == 0)
		return NULL;
	return bsearch(name, l->files, l->count, sizeof(*l->files),
		       against_name);
}

static bool
ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n > k && strcasecmp(name + n - k, end) == 0;
}

static bool
is_ours(const char *name)
{
	return *name != '.' &&
	       (ends_with(name, ".torrent") || ends_with(name, ".magnet"));
}

/* ---- the folder itself ---- */

/*
 * It is held open only while we look: the kernel tells of a folder's removal
 * when nobody has it open any more.
 */
static void
close_folder(struct watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

static void
end_events(struct watch *w)
{
	if (w->id >= 0)
		inotify_rm_watch(w->events, w->id);
	w->id = -1;
}

/* By the descriptor, so that it is the folder that we look at. */
static void
begin_events(struct watch *w)
{
	const uint32_t what = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE |
			      IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
			      IN_ONLYDIR;
	char path[48];

	end_events(w);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", w->fd);
	w->id = inotify_add_watch(w->events, path, what);
	if (w->id < 0)
		w->id = inotify_add_watch(w->events, w->dir, what);
}

static int
open_folder(struct watch *w, struct error *e)
{
	char clean[256];
	struct stat st;

	w->fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->fd < 0 || fstat(w->fd, &st) < 0)
		return error_sys(e, ERROR_STORAGE, errno, "cannot watch '%s'",
				 text_clean(clean, sizeof(clean), w->dir));
	if (w->events >= 0 && (w->id < 0 || st.st_dev != w->device ||
			       st.st_ino != w->inode))
		begin_events(w);
	w->device = st.st_dev;
	w->inode = st.st_ino;
	return 0;
}

/* The same, and tells when it goes and comes. */
static bool
reopen_folder(struct watch *w)
{
	char clean[256];
	struct error e;

	if (open_folder(w, &e) < 0) {
		if (!w->lost)
			log_write(w->log, LOG_WARNING, NULL,
				  "%s; waiting for it", e.text);
		w->lost = true;
		end_events(w);
		return false;
	}
	if (w->lost)
		log_write(w->log, LOG_WARNING, NULL, "'%s' is back",
			  text_clean(clean, sizeof(clean), w->dir));
	w->lost = false;
	return true;
}

struct watch *
watch_new(const struct watch_config *config, struct log *log,
	  struct error *e)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w) {
		error_memory(e);
		return NULL;
	}
	w->dir = config->dir;
	w->log = log;
	w->refused = config->refused;
	w->ctx = config->ctx;
	w->id = w->fd = w->events = -1;
	w->looked_at = -LOOK_PAUSE;
	if (config->inotify)
		w->events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (open_folder(w, e) == 0) {
		close_folder(w);
		return w;
	}
	watch_free(w);
	return NULL;
}

void
watch_free(struct watch *w)
{
	if (!w)
		return;
	close_folder(w);
	if (w->events >= 0)
		close(w->events);
	list_clear(&w->list);
	list_clear(&w->closed);
	free(w);
}

int
watch_fd(const struct watch *w)
{
	return w->events;
}

int64_t
watch_due(const struct watch *w)
{
	return w->due;
}

/* ---- events ---- */

static void
take_event(struct watch *w, const struct inotify_event *event)
{
	struct file *f;
	bool closed = event->mask & (IN_CLOSE_WRITE | IN_MOVED_TO);

	if (event->mask & IN_IGNORED && event->wd == w->id)
		w->id = -1;
	/* One that finds no place settles like any other. */
	if (closed && event->len > 0 && is_ours(event->name))
		list_add(&w->closed, event->name);
	/* One that was away is put here anew, though it looks the same. */
	if (event->mask & IN_MOVED_TO && event->len > 0) {
		f = list_find(&w->list, event->name);
		if (f)
			f->stamp = (struct stamp){0};
	}
}

/* True when there were any. */
static bool
read_events(struct watch *w)
{
	char data[8192]
	    __attribute__((aligned(_Alignof(struct inotify_event))));
	bool any = false;
	ssize_t n;

	if (w->events < 0)
		return false;
	while ((n = read(w->events, data, sizeof(data))) > 0) {
		const char *at = data;

		any = true;
		while (at < data + n) {
			const struct inotify_event *event =
			    (const void *)at;

			take_event(w, event);
			at += sizeof(*event) + event->len;
		}
	}
	return any;
}

/* ---- looking ---- */

static bool
same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->inode == b->inode && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns;
}

static bool
get_stamp(int fd, const char *name, const struct file *before,
	  struct stamp *out)
{
	struct stat st;

	if (fstatat(fd, name, &st, 0) < 0) {
		/* Else the disk or its server is away: it is as it was. */
		if (errno == ENOENT || errno == ENOTDIR || !before)
			return false;
		*out = before->stamp;
		return true;
	}
	if (!S_ISREG(st.st_mode))
		return false;
	*out = (struct stamp){
		.inode = (uint64_t)st.st_ino,
		.size = (int64_t)st.st_size,
		.mtime_ns = clock_stamp(&st.st_mtim),
	};
	return true;
}

/* Carries over what is known of those that look the same. */
static void
merge(struct watch *w, struct list *now_there, int64_t now)
{
	for (size_t i = 0; i < now_there->count; i++) {
		struct file *f = &now_there->files[i];
		const struct file *old = list_find(&w->list, f->name);

		f->since = now;
		if (old && same_stamp(&old->stamp, &f->stamp)) {
			f->since = old->since;
			f->closed = old->closed;
			f->done = old->done;
			f->again = old->again;
			f->tried = old->tried;
		}
		if (list_find(&w->closed, f->name))
			f->closed = true;
	}
	list_clear(&w->list);
	w->list = *now_there;
}

static void
tell_too_many(struct watch *w)
{
	char clean[256];

	if (!w->too_many)
		log_write(w->log, LOG_WARNING, NULL,
			  "more than %d files in '%s': not all are taken",
			  WATCH_FILES_MAX,
			  text_clean(clean, sizeof(clean), w->dir));
	w->too_many = true;
}

static void
scan(struct watch *w, int64_t now)
{
	int fd = openat(w->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct list found = {NULL, 0, 0};
	const struct dirent *entry;
	struct stamp stamp;
	struct file *f;
	bool lost;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	/* A stream of our own. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while (errno = 0, (entry = readdir(dir)) != NULL) {
		if (!is_ours(entry->d_name) ||
		    !get_stamp(w->fd, entry->d_name,
			       list_find(&w->list, entry->d_name), &stamp))
			continue;
		f = list_add(&found, entry->d_name);
		if (f)
			f->stamp = stamp;
		else
			tell_too_many(w);
	}
	lost = errno != 0;
	closedir(dir);
	if (lost) {
		list_clear(&found);
		return;
	}
	list_sort(&found);
	list_sort(&w->closed);
	merge(w, &found, now);
	list_clear(&w->closed);
}

/* ---- taking ---- */

static int
read_fd(int fd, struct buffer *out, struct error *e)
{
	for (;;) {
		uint8_t *room = buffer_room(out, PORTION);
		ssize_t n;

		if (!room)
			return error_set(e, ERROR_TORRENT, "too large");
		n = read(fd, room, PORTION);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(e, ERROR_TORRENT, errno,
					 "cannot read");
		if (n == 0)
			return 0;
		buffer_added(out, (size_t)n);
	}
}

/* What is no regular file any more is not waited for. */
static int
read_file(const struct watch *w, const char *name, struct buffer *out,
	  struct error *e)
{
	int fd = openat(w->fd, name,
			O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int status;

	if (fd < 0)
		return error_sys(e, ERROR_TORRENT, errno, "cannot open");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		status = error_set(e, ERROR_TORRENT, "it is no regular file");
	else if (st.st_size > SOURCE_MAX)
		status = error_set(e, ERROR_TORRENT, "too large");
	else
		status = read_fd(fd, out, e);
	close(fd);
	return status;
}

static void
tell_refused(const struct watch *w, const char *name, const struct error *e)
{
	char clean[256];

	text_clean(clean, sizeof(clean), name);
	log_write(w->log, LOG_ERROR, clean, "%s", e->text);
	if (w->refused)
		w->refused(w->ctx, clean, e);
}

/* Somebody may be at work on it. */
static bool
may_grow(const struct file *f, int64_t now)
{
	if (!f->closed)
		return now - f->since < GROWS_FOR;
	return f->stamp.size == 0 && now - f->since < EMPTY_FOR;
}

static void
take_file(struct watch *w, struct file *f, int64_t now, watch_take *take,
	  void *ctx)
{
	struct buffer data;
	struct stamp stamp;
	struct error e;
	bool told = f->again != 0, unread;
	int status;

	buffer_init(&data, SOURCE_MAX);
	error_clear(&e);
	status = read_file(w, f->name, &data, &e);
	unread = status < 0 && e.sys != 0;
	if (status == 0)
		status = take(ctx, f->name, &data, &e);
	buffer_release(&data);
	f->done = status <= 0;
	if (status >= 0) {
		f->again = 0;
		return;
	}
	/* It was removed, or is being written: another look will tell. */
	if (!get_stamp(w->fd, f->name, NULL, &stamp) ||
	    !same_stamp(&stamp, &f->stamp) || may_grow(f, now)) {
		f->done = false;
		return;
	}
	/* Rights change, descriptors become free, disks come back. */
	f->done = !unread;
	f->again = unread ? now + READ_AGAIN : 0;
	if (!unread || !told)
		tell_refused(w, f->name, &e);
}

/* When it is to be tried; from then on each second, for a while. */
static int64_t
due_of(const struct file *f, int64_t now)
{
	if (f->done)
		return CLOCK_NEVER;
	if (f->again > now)
		return f->again;
	if (f->tried != 0 && now - f->tried < SETTLED_AFTER)
		return f->tried + SETTLED_AFTER;
	if (f->closed || now - f->since >= SETTLED_AFTER)
		return now;
	return f->since + SETTLED_AFTER;
}

static void
take_all(struct watch *w, int64_t now, watch_take *take, void *ctx)
{
	int64_t until = clock_ns() + TAKE_FOR;

	for (size_t i = 0; i < w->list.count; i++) {
		struct file *f = &w->list.files[i];

		if (due_of(f, now) <= now) {
			/* Signals and torrents at work do not wait for
			 * thousands. */
			if (clock_ns() >= until) {
				w->due = now;
				return;
			}
			take_file(w, f, now, take, ctx);
			f->tried = now;
		}
		w->due = clock_min(w->due, due_of(f, now));
	}
}

void
watch_look(struct watch *w, int64_t now, watch_take *take, void *ctx)
{
	if (read_events(w))
		w->due = clock_min(w->due, w->looked_at + LOOK_PAUSE);
	if (now < w->due)
		return;
	w->looked_at = now;
	w->due = now + RETURN_EACH;
	if (reopen_folder(w)) {
		w->due = now + (w->id >= 0 ? LOOK_EACH : LOOK_EACH_BLIND);
		scan(w, now);
		take_all(w, now, take, ctx);
	}
	close_folder(w);
}
