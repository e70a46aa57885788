#include "maker_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "store/folder.h"

#define DEPTH_MAX 256			/* as deep as BENCODE_DEPTH_MAX allows */
#define NAMES_MAX METAINFO_FILES_MAX	/* in one folder */

struct walk {
	struct maker_list *list;
	const struct maker_options *options;
	const struct maker_progress *progress;
	bool has_output;		/* there is something already: */
	struct stat output;
	unsigned depth;
	size_t used;			/* of the path */
	char path[PATH_MAX];		/* from the root, joined by '/' */
};

struct names {
	char **all;
	size_t count;
	size_t room;
};

static void
names_release(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->all[i]);
	free(n->all);
}

static int
names_add(struct names *n, const char *name, struct error *e)
{
	size_t room = n->room ? 2 * n->room : 16;
	char **all;

	if (n->count == n->room) {
		if (room > NAMES_MAX)
			return error_set(e, ERROR_STORAGE,
					 "more than %u names in a folder",
					 NAMES_MAX);
		all = realloc(n->all, room * sizeof(*all));
		if (!all)
			return error_memory(e);
		n->all = all;
		n->room = room;
	}
	n->all[n->count] = strdup(name);
	if (!n->all[n->count])
		return error_memory(e);
	n->count++;
	return 0;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, sorted; closes fd. */
static int
list_folder(struct names *n, int fd, const char *path, struct error *e)
{
	DIR *dir = fdopendir(fd);
	struct dirent *d;
	int status = 0;

	if (!dir) {
		error_sys(e, ERROR_STORAGE, errno, "cannot read folder '%s'",
			  path);
		close(fd);
		return -1;
	}
	for (;;) {
		errno = 0;
		/* Safe, as no other thread has this DIR. */
		d = readdir(dir); /* NOLINT(concurrency-mt-unsafe) */
		if (status != 0 || !d)
			break;
		if (strcmp(d->d_name, ".") != 0 &&
		    strcmp(d->d_name, "..") != 0)
			status = names_add(n, d->d_name, e);
	}
	if (status == 0 && errno != 0)
		status = error_sys(e, ERROR_STORAGE, errno,
				   "cannot read folder '%s'", path);
	closedir(dir);
	if (n->count > 0)
		qsort(n->all, n->count, sizeof(*n->all), compare_names);
	return status;
}

static int
add_file(struct maker_list *l, const char *path, const struct stat *st,
	 struct error *e)
{
	size_t room = l->room ? 2 * l->room : 16;
	struct create_file *files;
	struct maker_file *more;
	char *copy;
	uint64_t length = (uint64_t)st->st_size;

	if (length > (uint64_t)INT64_MAX - l->length)
		return error_set(e, ERROR_STORAGE,
				 "all files together are too long");
	if (l->count == METAINFO_FILES_MAX)
		return error_set(e, ERROR_STORAGE, "more than %u files",
				 METAINFO_FILES_MAX);
	if (l->count == l->room) {
		files = realloc(l->files, room * sizeof(*files));
		if (!files)
			return error_memory(e);
		l->files = files;
		more = realloc(l->more, room * sizeof(*more));
		if (!more)
			return error_memory(e);
		l->more = more;
		l->room = room;
	}
	copy = strdup(path);
	if (!copy)
		return error_memory(e);
	l->more[l->count] = (struct maker_file){
		.path = copy,
		.offset = l->length,
		.changed = st->st_mtim,
	};
	l->files[l->count] = (struct create_file){
		.path = copy,
		.length = length,
		.executable = (st->st_mode & S_IXUSR) != 0,
	};
	l->count++;
	l->length += length;
	return 0;
}

static void
warn(const struct walk *w, const char *what)
{
	char name[256];
	char line[320];

	if (!w->options->warning)
		return;
	text_clean(name, sizeof(name), w->path);
	snprintf(line, sizeof(line), "left out '%s': %s", name, what);
	w->options->warning(w->options->ctx, line);
}

/* The torrent will be written to this file. */
static bool
is_output(const struct walk *w, const struct stat *st)
{
	return w->has_output && st->st_dev == w->output.st_dev &&
	       st->st_ino == w->output.st_ino;
}

static int
skip_output(const struct walk *w, const char *path, struct error *e)
{
	const char *dot = strrchr(w->path, '.');
	const char *output = w->options->output;
	char clean[256];

	if (dot && strcmp(dot, ".torrent") == 0) {
		warn(w, "the torrent goes there");
		return 0;
	}
	return error_set(e, ERROR_USAGE, "'%s' is part of the data, and the "
			 "torrent would take its place",
			 text_path(clean, sizeof(clean),
				   output ? output : path));
}

static int walk_folder(struct walk *w, int fd, struct error *e);

static int
walk_subfolder(struct walk *w, struct error *e)
{
	int fd = openat(w->list->root, w->path,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int status;

	if (fd < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot open folder '%s'", w->path);
	if (w->depth == DEPTH_MAX) {
		close(fd);
		return error_set(e, ERROR_STORAGE,
				 "folders are nested more than %d deep",
				 DEPTH_MAX);
	}
	w->depth++;
	status = walk_folder(w, fd, e);
	w->depth--;
	return status;
}

/* What is at the path, which ends in a name that was found in its folder. */
static int
walk_entry(struct walk *w, const char *name, struct error *e)
{
	struct stat st;

	if (atomic_load(&w->progress->stop))
		return error_set(e, ERROR_STOPPED, "stopped");
	if (fstatat(w->list->root, w->path, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return error_sys(e, ERROR_STORAGE, errno, "cannot look at "
				 "'%s'", w->path);
	/* The keys of trackers are in there. */
	if (S_ISDIR(st.st_mode) && strcmp(name, FOLDER_STATE) == 0) {
		warn(w, "what btget knows of downloads");
		return 0;
	}
	if (S_ISDIR(st.st_mode))
		return walk_subfolder(w, e);
	if (is_output(w, &st))
		return skip_output(w, w->path, e);
	if (S_ISREG(st.st_mode) && !metainfo_names_padding(name))
		return add_file(w->list, w->path, &st, e);
	warn(w, S_ISREG(st.st_mode) ? "padding of another torrent" :
	     S_ISLNK(st.st_mode) ? "a symbolic link" :
	     "neither a file nor a folder");
	return 0;
}

/* Closes fd before it goes deeper: depth costs no descriptors. */
static int
walk_folder(struct walk *w, int fd, struct error *e)
{
	struct names n = {0};
	size_t used = w->used;
	int status = list_folder(&n, fd, w->path, e);

	for (size_t i = 0; status == 0 && i < n.count; i++) {
		size_t size = strlen(n.all[i]);

		if (size + 2 > sizeof(w->path) - used) {
			status = error_set(e, ERROR_STORAGE,
					   "path too long below '%s'",
					   w->path);
			break;
		}
		if (used > 0)
			w->path[used] = '/';
		w->used = used + (used > 0);
		memcpy(w->path + w->used, n.all[i], size + 1);
		w->used += size;
		status = walk_entry(w, n.all[i], e);
		w->used = used;
		w->path[used] = '\0';
	}
	names_release(&n);
	return status;
}

static int
walk_root(struct walk *w, const char *path, struct error *e)
{
	struct stat st;
	int fd;

	if (fstat(w->list->root, &st) != 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot look at '%s'", path);
	if (is_output(w, &st))
		return skip_output(w, path, e);
	if (S_ISREG(st.st_mode))
		return add_file(w->list, path, &st, e);
	if (!S_ISDIR(st.st_mode))
		return error_set(e, ERROR_STORAGE,
				 "'%s' is neither a file nor a folder", path);
	w->list->multi = true;
	fd = openat(w->list->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot read folder '%s'", path);
	if (walk_folder(w, fd, e) != 0)
		return -1;
	if (w->list->count == 0)
		return error_set(e, ERROR_STORAGE, "no files in '%s'", path);
	return 0;
}

int
maker_walk(struct maker_list *l, const char *path,
	   const struct maker_options *options,
	   const struct maker_progress *progress, struct error *e)
{
	struct walk *w;
	int status;

	*l = (struct maker_list){.root = -1};
	w = calloc(1, sizeof(*w));
	if (!w)
		return error_memory(e);
	w->list = l;
	w->options = options;
	w->progress = progress;
	if (options->open_output) {
		w->has_output = true;
		w->output = *options->open_output;
	} else {
		w->has_output = options->output &&
				stat(options->output, &w->output) == 0;
	}
	/* A FIFO must not hang us: it is refused once it is open. */
	l->root = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (l->root < 0)
		status = error_sys(e, ERROR_STORAGE, errno,
				   "cannot open '%s'", path);
	else
		status = walk_root(w, path, e);
	free(w);
	return status;
}

void
maker_list_release(struct maker_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->more[i].path);
	free(l->files);
	free(l->more);
	if (l->root >= 0)
		close(l->root);
	*l = (struct maker_list){.root = -1};
}
