/*
 * What makes written data last: syncing, and what is done once all is there.
 *
 * A sync takes the set of dirty files bit by bit: the bit goes first, then
 * the data is synced, so that a write that comes in between sets it again.
 * With many dirty files one syncfs takes less than a sync for each, where it
 * tells of what was lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "files_inside.h"
#include "meta/metainfo.h"

#define SYNC_EACH_MAX 64
#define PUSH_MAX 64		/* files at a time */

/* Of some kernels' headers. */
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xFE534D42
#endif
#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xFF534D42
#endif
#define KERNEL_TELLS 5, 8	/* the first one whose syncfs reports errors */

int
files_stat(struct files *f, size_t file, struct stat *st)
{
	struct files_place place;

	files_locate(f, file, &place);
	if (place.dir < 0) {
		errno = ENOENT;
		return -1;
	}
	return fstatat(place.dir, place.path, st, AT_SYMLINK_NOFOLLOW);
}

/* Does any byte of the stream lie in it? */
static bool
is_used(const struct files *f, size_t file)
{
	enum layout_fate fate;

	if (file == f->side_index)
		return layout_has_side(f->layout);
	fate = layout_fate(f->layout, file);
	return fate == LAYOUT_KEPT || fate == LAYOUT_SPARE;
}

static int
note(struct files *f, struct bitfield *what, size_t file)
{
	mutex_lock(&f->lock);
	bitfield_set(what, file);
	mutex_unlock(&f->lock);
	return 0;
}

int
files_stamp(struct files *f, size_t file, struct files_stamp *out,
	    struct error *e)
{
	char label[FILES_LABEL_MAX];
	struct stat st;

	memset(out, 0, sizeof(*out));
	if (!is_used(f, file))
		return 0;
	if (files_stat(f, file, &st) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return note(f, &f->absent, file);
		return error_sys(e, ERROR_STORAGE, errno, "cannot read '%s'",
				 files_label(f, file, label));
	}
	/* What is no file is refused when it is opened. */
	if (!S_ISREG(st.st_mode))
		return 0;
	out->there = true;
	out->size = (uint64_t)st.st_size;
	out->mtime_ns = clock_stamp(&st.st_mtim);
	return note(f, &f->seen, file);
}

bool
files_touched(struct files *f, size_t file)
{
	bool touched;

	mutex_lock(&f->lock);
	touched = bitfield_get(&f->touched, file);
	bitfield_unset(&f->touched, file);
	mutex_unlock(&f->lock);
	return touched;
}

/* --- sync --- */

/* The next dirty file, which is then no longer; false when there is none. */
static bool
take_dirty(struct files *f, size_t *at, bool *made)
{
	bool found;

	mutex_lock(&f->lock);
	*at = bitfield_next(&f->dirty, NULL, *at);
	found = *at < f->dirty.count;
	if (found) {
		*made = bitfield_get(&f->made, *at);
		bitfield_unset(&f->dirty, *at);
		bitfield_unset(&f->made, *at);
	}
	mutex_unlock(&f->lock);
	return found;
}

/* Is the open file still the one at its place? */
static int
check_there(struct files *f, size_t file, int fd, struct error *e)
{
	char label[FILES_LABEL_MAX];
	struct stat open, there;

	if (fstat(fd, &open) < 0 || files_stat(f, file, &there) < 0)
		return error_sys(e, ERROR_STORAGE, errno, "'%s' is gone",
				 files_label(f, file, label));
	if (open.st_dev == there.st_dev && open.st_ino == there.st_ino)
		return 0;
	return error_set(e, ERROR_STORAGE, "'%s' was replaced by another",
			 files_label(f, file, label));
}

/* A disk over a network, or of user space, may tell of what it has lost only
 * when a descriptor is closed: any of them does. */
static int
sync_data(int fd)
{
	int more;

	if (fdatasync(fd) < 0)
		return -1;
	more = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (more < 0)
		return 0;	/* there is none to spare */
	return close(more) < 0 && errno != EINTR ? -1 : 0;
}

static int
sync_file(struct files *f, size_t file, struct error *e)
{
	char label[FILES_LABEL_MAX];
	bool write;
	struct pin *pin;
	int fd, status;

	/* What was found may be somebody's whom we may but read. */
	mutex_lock(&f->lock);
	write = bitfield_get(&f->ours, file);
	mutex_unlock(&f->lock);
	fd = files_pin(f, file, write, &pin, e);
	if (fd < 0)
		return -1;
	status = sync_data(fd);
	if (status < 0)
		error_sys(e, ERROR_STORAGE, errno, "cannot sync '%s'",
			  files_label(f, file, label));
	else
		status = check_there(f, file, fd, e);
	fdtable_unpin(f->table, pin);
	return status;
}

/* The next dirty file to be pushed; false at the end, where the next call
 * begins anew. */
static bool
next_to_push(struct files *f, size_t *file, bool *write)
{
	bool found;

	mutex_lock(&f->lock);
	*file = bitfield_next(&f->dirty, NULL, f->push_at);
	found = *file < f->dirty.count;
	*write = found && bitfield_get(&f->ours, *file);
	f->push_at = found ? *file + 1 : 0;
	mutex_unlock(&f->lock);
	return found;
}

void
files_push(struct files *f)
{
	struct pin *pin;
	size_t file;
	bool write;

	for (unsigned n = 0; n < PUSH_MAX && next_to_push(f, &file, &write);
	     n++) {
		int fd = files_pin(f, file, write, &pin, NULL);

		if (fd < 0)
			continue;
		/* Failures stay for the sync to find: it waits for none. */
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
		fdtable_unpin(f->table, pin);
	}
}

static int
sync_dir(int fd, struct error *e)
{
	if (folder_sync(fd) < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot sync a folder");
	return 0;
}

/* Syncs the folder of this path below another one, and all in between, but
 * not that one; the path is eaten up. */
static int
sync_way(int dir, char *path, struct error *e)
{
	char *slash;
	int fd, status;

	while (*path) {
		fd = folder_subdir(dir, path);
		if (fd < 0)
			return error_sys(e, ERROR_STORAGE, errno,
					 "cannot open folder '%s'", path);
		status = sync_dir(fd, e);
		close(fd);
		if (status < 0)
			return -1;
		slash = strrchr(path, '/');
		*(slash ? slash : path) = '\0';
	}
	return 0;
}

/* Syncs the folders that lead to a file; `last` is where the one before
 * lay: many neighbours share theirs. */
static int
sync_parents(struct files *f, size_t file, char *last, struct error *e)
{
	struct files_place place;
	char *slash, *path = place.buffer + f->top_length + 1;

	files_locate(f, file, &place);
	if (place.dir == f->folder->state)
		return sync_dir(place.dir, e);
	if (place.aside)
		return 0;	/* files_set_aside has done so */
	if (place.dir < 0 || !layout_multi(f->layout))
		return 0;
	slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	else
		*path = '\0';
	if (strcmp(path, last) == 0)
		return 0;
	snprintf(last, LAYOUT_PATH_MAX, "%s", path);
	if (sync_way(place.dir, path, e) < 0)
		return -1;
	return sync_dir(place.dir, e);
}

/* Of many files only whether they are there is looked at. */
static int
look_at(struct files *f, size_t file, struct error *e)
{
	char label[FILES_LABEL_MAX];
	struct stat st;

	if (files_stat(f, file, &st) == 0)
		return 0;
	return error_sys(e, ERROR_STORAGE, errno, "'%s' is gone",
			 files_label(f, file, label));
}

static bool
kernel_tells(void)
{
	static const unsigned long first[] = {KERNEL_TELLS};
	unsigned long major, minor;
	struct utsname kernel;
	char *end;

	if (uname(&kernel) < 0)
		return false;
	major = strtoul(kernel.release, &end, 10);
	minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
	return major > first[0] || (major == first[0] && minor >= first[1]);
}

/* User space is not asked by most of FUSE, nor the server by SMB and 9p; and
 * an overlay does not pass on what befell the disk below it. */
static bool
syncfs_tells(int dir)
{
	static const uint32_t silent[] = {
		FUSE_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC,
		SMB2_SUPER_MAGIC, CIFS_SUPER_MAGIC, V9FS_MAGIC,
	};
	struct statfs fs;

	if (fstatfs(dir, &fs) < 0)
		return false;
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++)
		if ((uint32_t)fs.f_type == silent[i])
			return false;
	return true;
}

bool
files_disks_tell(struct files *f)
{
	int base;

	mutex_lock(&f->lock);
	base = f->base;
	mutex_unlock(&f->lock);
	return kernel_tells() && syncfs_tells(f->folder->dir) &&
	       (base < 0 || syncfs_tells(base));
}

int
files_sync_move(struct files *f, size_t file, struct error *e)
{
	char path[LAYOUT_PATH_MAX], *slash;
	int base, aside;

	layout_path(f->layout, file, path, sizeof(path));
	slash = strrchr(path + f->top_length, '/');
	*(slash == path + f->top_length ? slash + 1 : slash) = '\0';
	mutex_lock(&f->lock);
	base = f->base;
	aside = f->aside_dir;
	mutex_unlock(&f->lock);
	if (sync_way(base, path + f->top_length + 1, e) < 0 ||
	    sync_dir(base, e) < 0 || sync_dir(aside, e) < 0)
		return -1;
	return sync_dir(f->folder->state, e);
}

/* The torrent's folder may be a disk of its own. */
int
files_sync_disks(struct files *f, struct error *e)
{
	struct stat dir, base;
	int fd, status;

	mutex_lock(&f->lock);
	fd = f->base;
	mutex_unlock(&f->lock);
	status = syncfs(f->folder->dir);
	if (status == 0 && fd >= 0 &&
	    (fstat(f->folder->dir, &dir) < 0 || fstat(fd, &base) < 0 ||
	     dir.st_dev != base.st_dev))
		status = syncfs(fd);
	if (status < 0)
		error_sys(e, ERROR_STORAGE, errno, "cannot sync '%s'",
			  f->folder->path);
	return status;
}

static int
sync_all(struct files *f, struct error *e)
{
	char last[LAYOUT_PATH_MAX] = "/";
	bool many, whole, any_made = false, made = false;
	int lost;

	mutex_lock(&f->lock);
	many = bitfield_ones(&f->dirty) > SYNC_EACH_MAX;
	mutex_unlock(&f->lock);
	whole = many && files_disks_tell(f);
	/* Each one has little left to do then. */
	if (many && !whole && files_sync_disks(f, e) < 0)
		return -1;
	/* Bits are taken before the disk is told in both cases. */
	for (size_t i = 0; take_dirty(f, &i, &made); i++) {
		any_made |= made;
		if (whole ? look_at(f, i, e) < 0 : sync_file(f, i, e) < 0)
			return -1;
		if (made && !whole && sync_parents(f, i, last, e) < 0)
			return -1;
	}
	if (whole && files_sync_disks(f, e) < 0)
		return -1;
	if (any_made && !whole && sync_dir(f->folder->dir, e) < 0)
		return -1;
	lost = fdtable_lost(f->table);
	if (lost != 0)
		return error_sys(e, ERROR_STORAGE, lost, "cannot close a file "
				 "of '%s'", layout_name(f->layout));
	return folder_check(f->folder, e);
}

void
files_found(struct files *f, uint64_t offset, uint64_t n)
{
	struct layout_cursor c;
	struct span s;

	layout_seek(f->layout, &c, offset, n);
	mutex_lock(&f->lock);
	while (layout_next(f->layout, &c, &s))
		if (s.kind != SPAN_PAD)
			bitfield_set(&f->dirty, files_span_index(f, &s));
	mutex_unlock(&f->lock);
}

/* A page that could not be written counts as clean from then on.  Read again
 * it would be right, and never come to the disk. */
void
files_drop_cached(struct files *f)
{
	for (size_t i = 0; i <= f->side_index; i++)
		if (is_used(f, i))
			files_forget(f, i);
}

int
files_sync(struct files *f, struct error *e)
{
	struct error failure;
	int status;

	error_clear(&failure);
	mutex_lock(&f->lock);
	while (f->syncing)
		cond_wait(&f->changed, &f->lock, CLOCK_NEVER);
	if (f->failure.kind != ERROR_NONE) {
		if (e)
			*e = f->failure;
		mutex_unlock(&f->lock);
		return -1;
	}
	f->syncing = true;
	mutex_unlock(&f->lock);
	status = sync_all(f, &failure);
	if (status < 0)
		files_drop_cached(f);
	mutex_lock(&f->lock);
	f->syncing = false;
	f->failure = failure;
	cond_broadcast(&f->changed);
	mutex_unlock(&f->lock);
	if (status < 0 && e)
		*e = failure;
	return status;
}

/* --- finish --- */

/* Makes an empty file, cuts a long one, refuses a short one. */
static int
settle_file(struct files *f, size_t file, struct error *e)
{
	uint64_t length = files_length(f, file);
	char label[FILES_LABEL_MAX];
	struct pin *pin;
	struct stat st;
	bool there;
	int fd, status = 0;

	there = files_stat(f, file, &st) == 0;
	if (!there && (errno != ENOENT || length > 0))
		return error_sys(e, ERROR_STORAGE, errno, "'%s' is gone",
				 files_label(f, file, label));
	if (there && S_ISREG(st.st_mode) && (uint64_t)st.st_size == length)
		return 0;
	if (there && S_ISREG(st.st_mode) && (uint64_t)st.st_size < length)
		return error_set(e, ERROR_STORAGE, "'%s' was cut short",
				 files_label(f, file, label));
	fd = files_pin(f, file, true, &pin, e);
	if (fd < 0)
		return -1;
	if (there && ftruncate(fd, (off_t)length) < 0)
		status = error_sys(e, ERROR_STORAGE, errno,
				   "cannot write '%s'",
				   files_label(f, file, label));
	files_mark_dirty(f, file);
	fdtable_unpin(f->table, pin);
	return status;
}

/* Is the torrent's folder still the one that we hold? */
static int
check_base(struct files *f, struct error *e)
{
	struct stat held, named;
	const char *name;
	int base;

	mutex_lock(&f->lock);
	base = f->base;
	name = f->in_place ? layout_name(f->layout) : f->part;
	mutex_unlock(&f->lock);
	/* Not a single file in it: nobody has made it so far. */
	if (base < 0)
		return files_make_base(f, e);
	if (fstat(base, &held) < 0 ||
	    fstatat(f->folder->dir, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(e, ERROR_STORAGE, errno, "'%s' is gone",
				 name);
	if (held.st_dev == named.st_dev && held.st_ino == named.st_ino)
		return 0;
	return error_set(e, ERROR_STORAGE, "'%s' was replaced by another",
			 name);
}

/* Does this selection need the side file, or may one before, whose files are
 * still there, and others not? */
static bool
keeps_side(const struct files *f)
{
	bool spare = false, skipped = false;

	for (size_t i = 0; i < f->side_index; i++) {
		spare |= layout_fate(f->layout, i) == LAYOUT_SPARE;
		skipped |= layout_fate(f->layout, i) == LAYOUT_SKIPPED;
	}
	return layout_has_side(f->layout) || (spare && skipped);
}

int
files_finish(struct files *f, const _Atomic bool *stop, struct error *e)
{
	bool any = layout_multi(f->layout);

	if (files_sync(f, e) < 0)
		return -1;
	for (size_t i = 0; i < f->side_index; i++) {
		if (layout_fate(f->layout, i) != LAYOUT_KEPT)
			continue;
		if (stop && files_length(f, i) == 0 && atomic_load(stop))
			return error_set(e, ERROR_STOPPED, "stopped");
		if (settle_file(f, i, e) < 0)
			return -1;
		any = true;
	}
	if (files_sync(f, e) < 0 || files_come_home(f, e) < 0)
		return -1;
	if (layout_multi(f->layout) && check_base(f, e) < 0)
		return -1;
	if (any && files_reveal(f, e) < 0)
		return -1;
	if (!keeps_side(f) && f->folder->state >= 0)
		unlinkat(f->folder->state, f->side, 0);
	files_side_drop_other(f);
	files_clear_aside(f);
	return 0;
}
