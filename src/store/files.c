#include "store/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "meta/metainfo.h"
#include "files_inside.h"

/* --- places and names --- */

uint64_t
files_length(const struct files *f, size_t file)
{
	if (file == f->side_index)
		return 0;
	return layout_metainfo(f->layout)->files[file].length;
}

void
files_locate(struct files *f, size_t file, struct files_place *out)
{
	mutex_lock(&f->lock);
	while (f->renaming)
		cond_wait(&f->changed, &f->lock, CLOCK_NEVER);
	out->in_place = f->in_place;
	out->aside = bitfield_get(&f->aside, file);
	out->dir = out->aside ? f->aside_dir
		 : layout_multi(f->layout) ? f->base : f->folder->dir;
	mutex_unlock(&f->lock);
	if (file == f->side_index) {
		out->dir = f->folder->state;
		out->path = f->side;
	} else if (out->aside) {
		files_aside_name(file, out->buffer);
		out->path = out->buffer;
	} else if (layout_multi(f->layout)) {
		layout_path(f->layout, file, out->buffer,
			    sizeof(out->buffer));
		out->path = out->buffer + f->top_length + 1;
	} else {
		out->path = out->in_place ? layout_name(f->layout) : f->part;
	}
}

/* The end of a text, at most max bytes and from a character's border. */
static const char *
tail(const char *text, size_t max)
{
	size_t length = strlen(text);

	if (length <= max)
		return text;
	text += length - max;
	while (((unsigned char)*text & 0xc0) == 0x80)
		text++;
	return text;
}

const char *
files_label(struct files *f, size_t file, char out[FILES_LABEL_MAX])
{
	struct files_place place;
	const char *top;
	size_t room;

	if (file == f->side_index) {
		snprintf(out, FILES_LABEL_MAX, "%s/%s", FOLDER_STATE, f->side);
		return out;
	}
	files_locate(f, file, &place);
	if (place.aside) {
		snprintf(out, FILES_LABEL_MAX, "%s/%s/%.20s", FOLDER_STATE,
			 f->aside_name, place.path);
		return out;
	}
	top = place.in_place ? layout_name(f->layout) : f->part;
	room = FILES_LABEL_MAX - 2 - strlen(top);
	if (!layout_multi(f->layout))
		snprintf(out, FILES_LABEL_MAX, "%.*s", LAYOUT_NAME_MAX, top);
	else if (strlen(place.path) <= room)
		snprintf(out, FILES_LABEL_MAX, "%.*s/%s", LAYOUT_NAME_MAX,
			 top, place.path);
	else
		snprintf(out, FILES_LABEL_MAX, ".../%s",
			 tail(place.path, FILES_LABEL_MAX - 5));
	return out;
}

static const char *
why_refused(int sys)
{
	if (sys == ELOOP)
		return "it is a symbolic link";
	if (sys == ENOTDIR)
		return "a part of its path is no folder";
	if (sys == EISDIR)
		return "it is a folder";
	if (sys == ENOTSUP)
		return "it is no regular file";
	return NULL;
}

static int
open_failed(struct files *f, size_t file, const char *what, int sys,
	    struct error *e)
{
	char label[FILES_LABEL_MAX];
	const char *why = why_refused(sys);

	files_label(f, file, label);
	if (!why)
		return error_sys(e, ERROR_STORAGE, sys, "cannot %s '%s'",
				 what, label);
	error_set(e, ERROR_STORAGE, "cannot %s '%s': %s", what, label, why);
	if (e)
		e->sys = sys;
	return -1;
}

/* --- opening --- */

int
files_make_base(struct files *f, struct error *e)
{
	int fd, spare = -1, status;

	status = mkdirat(f->folder->dir, f->part, 0777);
	if (status < 0 && errno != EEXIST)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot create folder '%s'", f->part);
	fd = folder_subdir(f->folder->dir, f->part);
	if (fd < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot open folder '%s'", f->part);
	mutex_lock(&f->lock);
	if (f->base < 0)
		f->base = fd;
	else
		spare = fd;
	mutex_unlock(&f->lock);
	if (spare >= 0)
		close(spare);
	return 0;
}

/* Creates a file that was not there. */
static int
create_file(struct files *f, size_t file, const struct files_place *place,
	    struct error *e)
{
	const struct metainfo *m = layout_metainfo(f->layout);
	unsigned mode = 0666;
	int fd, sys;

	if (file != f->side_index &&
	    m->files[file].flags & METAINFO_EXECUTABLE)
		mode = 0777;
	if (folder_parents(place->dir, place->path) < 0)
		return open_failed(f, file, "create", errno, e);
	fd = folder_openat(place->dir, place->path,
			   O_RDWR | O_CREAT | O_EXCL, mode);
	if (fd < 0)
		return open_failed(f, file, "create", errno, e);
	mutex_lock(&f->lock);
	bitfield_set(&f->seen, file);
	bitfield_set(&f->made, file);
	bitfield_set(&f->ours, file);
	bitfield_set(&f->dirty, file);
	bitfield_set(&f->touched, file);
	mutex_unlock(&f->lock);
	if (f->allocation == FILES_SPARSE && files_length(f, file) > 0 &&
	    ftruncate(fd, (off_t)files_length(f, file)) < 0) {
		sys = errno;
		close(fd);
		return open_failed(f, file, "create", sys, e);
	}
	return fd;
}

static bool
was_seen(struct files *f, size_t file, bool now)
{
	bool seen;

	mutex_lock(&f->lock);
	seen = bitfield_get(&f->seen, file);
	if (now)
		bitfield_set(&f->seen, file);
	mutex_unlock(&f->lock);
	return seen;
}

static int
absent(struct files *f, size_t file, struct error *e)
{
	char label[FILES_LABEL_MAX];

	files_label(f, file, label);
	if (was_seen(f, file, false))
		return error_set(e, ERROR_STORAGE, "'%s' is gone", label);
	return error_set(e, ERROR_DATA, "'%s' is not there", label);
}

/* A file that was there before is written to if it has no other name, which
 * somebody may have given it to have another file changed; and one that was
 * not is made by create_file alone. */
static int
make_ours(struct files *f, size_t file, int fd, struct error *e)
{
	char label[FILES_LABEL_MAX];
	bool was_absent, ours;
	struct stat st;

	mutex_lock(&f->lock);
	ours = bitfield_get(&f->ours, file);
	was_absent = f->fresh ? file != f->side_index
			      : bitfield_get(&f->absent, file);
	mutex_unlock(&f->lock);
	if (ours)
		return 0;
	if (was_absent)
		return error_set(e, ERROR_STORAGE, "cannot create '%s': a "
				 "file of this name has appeared, or the disk "
				 "takes two names for one",
				 files_label(f, file, label));
	if (fstat(fd, &st) < 0)
		return error_sys(e, ERROR_STORAGE, errno, "cannot write '%s'",
				 files_label(f, file, label));
	if (st.st_nlink > 1)
		return error_set(e, ERROR_STORAGE, "cannot write '%s': it has "
				 "other hard links, which would change too",
				 files_label(f, file, label));
	mutex_lock(&f->lock);
	bitfield_set(&f->ours, file);
	mutex_unlock(&f->lock);
	return 0;
}

/* The table's callback; fd and error as there. */
static int
open_file(void *ctx, size_t file, bool write, struct error *e)
{
	struct files *f = ctx;
	struct files_place place, again;
	int fd, sys;

	files_locate(f, file, &place);
	while (place.dir < 0) {
		if (!write || file == f->side_index)
			return absent(f, file, e);
		if (files_make_base(f, e) < 0)
			return -1;
		files_locate(f, file, &place);
	}
	for (;;) {
		fd = folder_openat(place.dir, place.path,
				   write ? O_RDWR : O_RDONLY, 0);
		if (fd >= 0 && write && make_ours(f, file, fd, e) < 0) {
			close(fd);
			return -1;
		}
		if (fd >= 0) {
			was_seen(f, file, true);
			return fd;
		}
		/* It may just have got its final name, or another place: also
		 * between being found and being looked at, which is EXDEV. */
		sys = errno;
		files_locate(f, file, &again);
		if (again.in_place == place.in_place &&
		    again.aside == place.aside)
			break;
		files_locate(f, file, &place);
	}
	if (sys != ENOENT)
		return open_failed(f, file, write ? "write" : "read", sys, e);
	if (!write || was_seen(f, file, false))
		return absent(f, file, e);
	return create_file(f, file, &place, e);
}

int
files_pin(struct files *f, size_t file, bool write, struct pin **pin,
	  struct error *e)
{
	return fdtable_pin(f->table, file, write, pin, e);
}

void
files_mark_dirty(struct files *f, size_t file)
{
	mutex_lock(&f->lock);
	bitfield_set(&f->dirty, file);
	bitfield_set(&f->touched, file);
	mutex_unlock(&f->lock);
}

/* Is a file or folder of this name there, and of the right kind?  1, 0, or
 * -1 with the error. */
static int
look_for(const struct files *f, const char *name, struct error *e)
{
	bool multi = layout_multi(f->layout);
	struct stat st;

	if (fstatat(f->folder->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return 0;
		return error_sys(e, ERROR_STORAGE, errno, "cannot open '%s'",
				 name);
	}
	if (S_ISLNK(st.st_mode))
		return error_set(e, ERROR_STORAGE,
				 "cannot use '%s': it is a symbolic link",
				 name);
	if (multi ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode))
		return 1;
	return error_set(e, ERROR_STORAGE, "cannot use '%s': it is no %s",
			 name, multi ? "folder" : "regular file");
}

static bool
is_empty_folder(int dir)
{
	DIR *list = folder_list(dir);
	const struct dirent *entry;
	bool any = !list;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody shares the stream */
	while (!any && (entry = readdir(list)))
		any = strcmp(entry->d_name, ".") != 0 &&
		      strcmp(entry->d_name, "..") != 0;
	if (list)
		closedir(list);
	return !any;
}

/* Nothing lies there but an empty file or folder.  One that is a disk of its
 * own cannot be replaced, and is meant. */
static bool
is_bare(const struct files *f, const char *name)
{
	int dir = f->folder->dir, fd;
	struct stat st, above;
	bool bare;

	if (!layout_multi(f->layout))
		return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		       S_ISREG(st.st_mode) && st.st_size == 0;
	fd = folder_subdir(dir, name);
	if (fd < 0)
		return false;
	bare = fstat(fd, &st) == 0 && fstat(dir, &above) == 0 &&
	       st.st_dev == above.st_dev && is_empty_folder(fd);
	close(fd);
	return bare;
}

/* NAME.part has something, and NAME has nothing. */
static bool
makes_way(const struct files *f)
{
	const char *name = layout_name(f->layout);

	return look_for(f, f->part, NULL) > 0 && !is_bare(f, f->part) &&
	       is_bare(f, name);
}

static int
find_place(struct files *f, struct error *e)
{
	const char *name = layout_name(f->layout);
	int final, part = 0, base;

	final = look_for(f, name, e);
	if (final < 0)
		return -1;
	f->makes_way = final && makes_way(f);
	if (f->makes_way)
		final = 0;
	if (final)
		f->leftover = folder_has(f->folder->dir, f->part);
	else
		part = look_for(f, f->part, e);
	if (part < 0)
		return -1;
	f->in_place = final;
	f->fresh = !final && !part;
	if (f->fresh || !layout_multi(f->layout))
		return 0;
	base = folder_subdir(f->folder->dir, final ? name : f->part);
	if (base < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot open folder '%s'",
				 final ? name : f->part);
	f->base = base;
	return 0;
}

struct files *
files_open(const struct layout *l, const struct folder *dir,
	   const struct files_options *o, struct error *e)
{
	struct files *f = calloc(1, sizeof(*f));
	size_t count = layout_count(l) + 1;

	if (!f) {
		error_memory(e);
		return NULL;
	}
	mutex_init(&f->lock);
	cond_init(&f->changed);
	f->layout = l;
	f->folder = dir;
	f->allocation = o->allocation;
	f->no_holes = folder_lacks_holes(dir);
	f->largest = folder_largest(dir);
	/* The zeros are not for a peer's thread to write. */
	if (f->no_holes && f->allocation == FILES_SPARSE)
		f->allocation = FILES_FULL;
	f->base = f->aside_dir = -1;
	f->side_index = count - 1;
	f->top_length = strlen(layout_name(l));
	snprintf(f->part, sizeof(f->part), "%s%s", layout_name(l),
		 FILES_PART);
	files_side_name(f, o);
	snprintf(f->aside_name, sizeof(f->aside_name), "%s.aside", o->id);
	snprintf(f->empty_name, sizeof(f->empty_name), "%s.empty", o->id);
	f->table = fdtable_new(o->max_open, open_file, f, e);
	if (!f->table)
		goto fail;
	if (o->budget)
		fdtable_share(f->table, o->budget);
	if (bitfield_init(&f->dirty, count) < 0 ||
	    bitfield_init(&f->touched, count) < 0 ||
	    bitfield_init(&f->ours, count) < 0 ||
	    bitfield_init(&f->absent, count) < 0 ||
	    bitfield_init(&f->made, count) < 0 ||
	    bitfield_init(&f->seen, count) < 0 ||
	    bitfield_init(&f->aside, count) < 0) {
		error_memory(e);
		goto fail;
	}
	if (find_place(f, e) < 0 || files_find_aside(f, e) < 0)
		goto fail;
	return f;
fail:
	files_free(f);
	return NULL;
}

void
files_free(struct files *f)
{
	if (!f)
		return;
	fdtable_free(f->table);
	if (f->base >= 0)
		close(f->base);
	if (f->aside_dir >= 0)
		close(f->aside_dir);
	bitfield_release(&f->dirty);
	bitfield_release(&f->touched);
	bitfield_release(&f->ours);
	bitfield_release(&f->absent);
	bitfield_release(&f->made);
	bitfield_release(&f->seen);
	bitfield_release(&f->aside);
	free(f->chunks.at);
	cond_release(&f->changed);
	mutex_release(&f->lock);
	free(f);
}

const struct layout *
files_layout(const struct files *f)
{
	return f->layout;
}

bool
files_lacks_holes(const struct files *f)
{
	return f->no_holes;
}

bool
files_fresh(const struct files *f)
{
	return f->fresh;
}

bool
files_bare(struct files *f)
{
	struct stat st;
	int base;

	mutex_lock(&f->lock);
	base = f->base;
	mutex_unlock(&f->lock);
	if (layout_multi(f->layout))
		return base < 0 || is_empty_folder(base);
	if (f->fresh)
		return true;
	return fstatat(f->folder->dir,
		       files_in_place(f) ? layout_name(f->layout) : f->part,
		       &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == 0;
}

bool
files_leftover(const struct files *f)
{
	return f->leftover;
}

bool
files_is_aside(struct files *f, size_t file)
{
	bool aside;

	mutex_lock(&f->lock);
	aside = bitfield_get(&f->aside, file);
	mutex_unlock(&f->lock);
	return aside;
}

bool
files_in_place(struct files *f)
{
	bool in_place;

	mutex_lock(&f->lock);
	in_place = f->in_place;
	mutex_unlock(&f->lock);
	return in_place;
}
