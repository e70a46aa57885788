#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef SYS_openat2
#include <linux/openat2.h>
#endif

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define MODE_DIR 0777
/* A minute in all: the kernel gives them 45 s if it was not told otherwise. */
#define LEASE_PAUSES 600
#define LEASE_PAUSE_NS 100000000

/* path is changed while at it and is the same afterwards. */
static int
make_all(char *path, mode_t mode)
{
	int refused = 0;

	for (char *at = path; *at; at++) {
		int status;

		if (*at != '/' || at == path)
			continue;
		*at = '\0';
		status = mkdir(path, mode);
		*at = '/';
		if (status == 0 || errno == EEXIST)
			continue;
		/* It may be there all the same: on a read-only disk EROFS
		 * comes before EEXIST. */
		if (!refused)
			refused = errno;
	}
	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return 0;
	if (errno == ENOENT && refused)
		errno = refused;
	return -1;
}

int
folder_make(const char *path, unsigned mode)
{
	char *copy = strdup(path);
	int status, sys;

	if (!copy) {
		errno = ENOMEM;
		return -1;
	}
	status = make_all(copy, (mode_t)mode);
	sys = errno;
	free(copy);
	errno = sys;
	return status;
}

int
folder_open(struct folder *f, const char *path, bool create, struct error *e)
{
	f->dir = f->state = -1;
	f->path = strdup(*path ? path : ".");
	if (!f->path)
		return error_memory(e);
	f->dir = open(f->path, DIR_FLAGS);
	if (f->dir < 0 && errno == ENOENT && create) {
		if (make_all(f->path, MODE_DIR) < 0) {
			error_sys(e, ERROR_STORAGE, errno,
				  "cannot create folder '%s'", f->path);
			goto fail;
		}
		f->dir = open(f->path, DIR_FLAGS);
	}
	if (f->dir < 0) {
		error_sys(e, ERROR_STORAGE, errno, "cannot open folder '%s'",
			  f->path);
		goto fail;
	}
	if (create && mkdirat(f->dir, FOLDER_STATE, MODE_DIR) < 0 &&
	    errno != EEXIST) {
		error_sys(e, ERROR_STORAGE, errno,
			  "cannot create folder '%s/%s'", f->path,
			  FOLDER_STATE);
		goto fail;
	}
	f->state = openat(f->dir, FOLDER_STATE, DIR_FLAGS | O_NOFOLLOW);
	if (f->state < 0 && (create || errno != ENOENT)) {
		error_sys(e, ERROR_STORAGE, errno,
			  "cannot open folder '%s/%s'", f->path,
			  FOLDER_STATE);
		goto fail;
	}
	return 0;
fail:
	folder_release(f);
	return -1;
}

void
folder_release(struct folder *f)
{
	if (f->dir >= 0)
		close(f->dir);
	if (f->state >= 0)
		close(f->state);
	free(f->path);
	f->dir = f->state = -1;
	f->path = NULL;
}

int
folder_check(const struct folder *f, struct error *e)
{
	struct stat held, named;

	if (fstat(f->dir, &held) < 0 || stat(f->path, &named) < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "folder '%s' is gone", f->path);
	if (held.st_dev != named.st_dev || held.st_ino != named.st_ino)
		return error_set(e, ERROR_STORAGE,
				 "folder '%s' was replaced by another",
				 f->path);
	return 0;
}

/* Opens a folder; with `make`, makes it first where it is missing. */
static int
step_into(int at, const char *name, bool make)
{
	int made = make ? mkdirat(at, name, MODE_DIR) : 0;
	int why = errno;
	int next = openat(at, name, DIR_FLAGS | O_NOFOLLOW);

	/* It is not there since it could not be made: that is what to tell. */
	if (next < 0 && errno == ENOENT && made < 0)
		errno = why;
	return next;
}

/*
 * The last component stands in *last; returns a descriptor of the folder
 * that it is in, which is `dir` itself when there is none in between.  With
 * `make`, folders on the way are made.
 */
static int
walk_to_last(int dir, const char *path, bool make, const char **last)
{
	int at = dir;

	for (;;) {
		const char *slash = strchr(path, '/');
		char part[NAME_MAX + 1];
		int next, saved;

		*last = path;
		if (!slash)
			return at;
		if ((size_t)(slash - path) >= sizeof(part)) {
			errno = ENAMETOOLONG;
			next = -1;
		} else {
			memcpy(part, path, (size_t)(slash - path));
			part[slash - path] = '\0';
			next = step_into(at, part, make);
		}
		saved = errno;
		if (at != dir)
			close(at);
		errno = saved;
		if (next < 0)
			return -1;
		at = next;
		path = slash + 1;
	}
}

static int
open_by_steps(int dir, const char *path, int flags, unsigned mode)
{
	const char *last;
	int at = walk_to_last(dir, path, false, &last), fd, saved;

	if (at < 0)
		return -1;
	fd = openat(at, last, flags | O_NOFOLLOW, mode);
	saved = errno;
	if (at != dir)
		close(at);
	errno = saved;
	return fd;
}

/* Kernels before 5.6, and sandboxes that do not know the call, refuse it:
 * then the path is walked in steps, which comes to the same. */
static int
open_below(int dir, const char *path, int flags, unsigned mode)
{
#ifdef SYS_openat2
	struct open_how how = {
		.flags = (unsigned)flags,
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	if (fd >= 0 || (errno != ENOSYS && errno != EPERM &&
			errno != EINVAL && errno != EAGAIN))
		return (int)fd;
#endif
	return open_by_steps(dir, path, flags, mode);
}

/* O_NONBLOCK: a FIFO would hold us up until someone comes.  Who has a lease on
 * a file (Samba's oplocks, NFS's delegations) gives it back once somebody
 * wants to open it, or loses it. */
static int
open_at_once(int dir, const char *path, int flags, unsigned mode)
{
	const struct timespec pause = {.tv_nsec = LEASE_PAUSE_NS};
	struct stat st;
	int fd;

	flags |= O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_LARGEFILE;
	for (int i = 0;; i++) {
		fd = open_below(dir, path, flags, mode);
		if (fd >= 0 || errno != EAGAIN || i == LEASE_PAUSES)
			return fd;
		if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode)) {
			errno = EAGAIN;
			return -1;
		}
		nanosleep(&pause, NULL);
	}
}

int
folder_openat(int dir, const char *path, int flags, unsigned mode)
{
	struct stat st;
	int fd, saved;

	fd = open_at_once(dir, path, flags, mode);
	if (fd < 0) {
		/* A FIFO without a reader. */
		if (errno == ENXIO)
			errno = ENOTSUP;
		return -1;
	}
	if (fstat(fd, &st) == 0) {
		if (S_ISREG(st.st_mode))
			return fd;
		errno = S_ISDIR(st.st_mode) ? EISDIR : ENOTSUP;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

bool
folder_has(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int
folder_parents(int dir, const char *path)
{
	const char *last;
	int at = walk_to_last(dir, path, true, &last);

	if (at < 0)
		return -1;
	if (at != dir)
		close(at);
	return 0;
}

void
folder_prune(int dir, const char *path)
{
	char at[PATH_MAX], *slash;
	const char *last;
	int parent, status = 0;

	snprintf(at, sizeof(at), "%s", path);
	while (status == 0 && (slash = strrchr(at, '/'))) {
		*slash = '\0';
		parent = walk_to_last(dir, at, false, &last);
		if (parent < 0)
			return;
		status = unlinkat(parent, last, AT_REMOVEDIR);
		if (parent != dir)
			close(parent);
	}
}

int
folder_subdir(int dir, const char *path)
{
	return open_below(dir, path, DIR_FLAGS, 0);
}

DIR *
folder_list(int dir)
{
	int fd = openat(dir, ".", DIR_FLAGS), sys;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	sys = errno;
	if (!list && fd >= 0)
		close(fd);
	errno = sys;
	return list;
}

int
folder_sync(int dir)
{
	return fsync(dir) < 0 && errno != EINVAL && errno != EROFS ? -1 : 0;
}

/* --- moving --- */

#ifndef RENAME_NOREPLACE	/* some libcs have neither */
#define RENAME_NOREPLACE 1

static int
renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}
#endif

int
folder_rename(int from, const char *old, int to, const char *new)
{
	struct stat st;

	if (renameat2(from, old, to, new, RENAME_NOREPLACE) == 0)
		return 0;
	/* A sandbox that does not know the call refuses it with EPERM. */
	if (errno != EINVAL && errno != ENOSYS && errno != EPERM)
		return -1;
	/* The file system cannot do both in one step. */
	if (fstatat(to, new, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return renameat(from, old, to, new);
}

/* 4 GiB in one are none where a size has 32 bits. */
#define COPY_STEP (1 << 30)

/* Holes stay holes. */
static int
copy_data(int in, int out, off_t size)
{
	off_t at = 0, end;
	ssize_t n;

	if (ftruncate(out, size) < 0)
		return -1;
	/* cppcheck-suppress invalidFunctionArg; it knows POSIX only */
	while ((at = lseek(in, at, SEEK_DATA)) >= 0) {
		/* cppcheck-suppress invalidFunctionArg */
		end = lseek(in, at, SEEK_HOLE);
		if (end < 0 || lseek(out, at, SEEK_SET) < 0)
			return -1;
		while (at < end) {
			n = sendfile(out, in, &at,
				     end - at < COPY_STEP ? (size_t)(end - at)
							  : COPY_STEP);
			if (n == 0)
				errno = EIO;
			if (n <= 0)
				return -1;
		}
	}
	return errno == ENXIO ? 0 : -1;
}

/* The copy is on the disk, and has the time of what it was made from. */
static int
copy_file(int in, int out, const struct stat *st)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};

	if (copy_data(in, out, st->st_size) < 0 || futimens(out, times) < 0)
		return -1;
	return fsync(out);
}

/* Has its name once it is on the disk, and not before. */
static int
copy_beside(int in, int to, const char *new)
{
	int out = -1, status = -1, sys;
	struct stat st;

	unlinkat(to, FOLDER_MOVING, 0);		/* one left by a crash */
	if (fstat(in, &st) == 0)
		out = folder_openat(to, FOLDER_MOVING,
				    O_WRONLY | O_CREAT | O_EXCL,
				    st.st_mode & 0777);
	if (out < 0)
		return -1;
	status = copy_file(in, out, &st);
	sys = errno;
	if (close(out) < 0 && status == 0) {
		sys = errno;
		status = -1;
	}
	if (status == 0) {
		status = folder_rename(to, FOLDER_MOVING, to, new);
		sys = errno;
	}
	if (status < 0)
		unlinkat(to, FOLDER_MOVING, 0);
	errno = sys;
	return status;
}

static int
move_by_copy(int from, const char *old, int to, const char *new)
{
	int in = folder_openat(from, old, O_RDONLY, 0), status, sys;

	if (in < 0)
		return -1;
	status = copy_beside(in, to, new);
	/* Folders may have been made for it, too. */
	if (status == 0)
		status = syncfs(to);
	sys = errno;
	close(in);
	errno = sys;
	return status < 0 || unlinkat(from, old, 0) < 0 ? -1 : 1;
}

int
folder_move(int from, const char *old, int to, const char *new)
{
	const char *last, *first;
	int out = walk_to_last(from, old, false, &first), in = -1;
	int status = -1, sys;

	if (out >= 0)
		in = walk_to_last(to, new, true, &last);
	if (in >= 0) {
		status = folder_rename(out, first, in, last);
		if (status < 0 && errno == EXDEV)
			status = move_by_copy(out, first, in, last);
	}
	sys = errno;
	if (out >= 0 && out != from)
		close(out);
	if (in >= 0 && in != to)
		close(in);
	errno = sys;
	return status;
}

/* --- small files, whole --- */

#define ASIDE_MAX 160
#define MODE_FILE 0666
#define MODE_SECRET 0600
#define READ_STEP 65536

int
folder_write(int fd, const void *data, size_t size)
{
	const uint8_t *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Written and synced; -1 with errno. */
static int
write_new(int dir, const char *name, const void *data, size_t size,
	  unsigned mode)
{
	int fd, sys, status;

	/* One left by a crash, or a link that someone put there. */
	unlinkat(dir, name, 0);
	fd = folder_openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, mode);
	if (fd < 0)
		return -1;
	status = folder_write(fd, data, size);
	if (status == 0)
		status = fsync(fd);
	sys = errno;
	if (close(fd) < 0 && status == 0) {
		sys = errno;
		status = -1;
	}
	errno = sys;
	return status;
}

/* -1 with errno. */
static int
replace(int dir, const char *name, const void *data, size_t size,
	unsigned mode)
{
	char aside[ASIDE_MAX];
	int sys;

	snprintf(aside, sizeof(aside), "%s.new", name);
	if (write_new(dir, aside, data, size, mode) == 0 &&
	    renameat(dir, aside, dir, name) == 0)
		return 0;
	sys = errno;
	unlinkat(dir, aside, 0);
	errno = sys;
	return -1;
}

/* What came of replacing it. */
static int
settle(int dir, const char *name, int status, struct error *e)
{
	if (status < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot save '%s/%s'", FOLDER_STATE, name);
	if (folder_sync(dir) < 0)
		return error_sys(e, ERROR_STORAGE, errno, "cannot sync '%s'",
				 FOLDER_STATE);
	return 0;
}

int
folder_save(int dir, const char *name, const void *data, size_t size,
	    struct error *e)
{
	return settle(dir, name, replace(dir, name, data, size, MODE_FILE), e);
}

int
folder_save_secret(int dir, const char *name, const void *data, size_t size,
		   struct error *e)
{
	return settle(dir, name, replace(dir, name, data, size, MODE_SECRET),
		      e);
}

/* The buffer is full: was that all? */
static int
at_its_end(int fd)
{
	uint8_t more;
	ssize_t n = read(fd, &more, 1);

	if (n > 0)
		errno = EFBIG;
	return n == 0 ? 0 : -1;
}

/* Up to the cap; -1 with errno, EFBIG when there is more. */
static int
read_all(int fd, struct buffer *b)
{
	for (;;) {
		size_t room = b->cap - b->used;
		uint8_t *at;
		ssize_t n;

		if (room == 0)
			return at_its_end(fd);
		if (room > READ_STEP)
			room = READ_STEP;
		at = buffer_room(b, room);
		if (!at) {
			errno = ENOMEM;
			return -1;
		}
		n = read(fd, at, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		buffer_added(b, (size_t)n);
	}
}

int
folder_load(int dir, const char *name, struct buffer *out, struct error *e)
{
	int fd = folder_openat(dir, name, O_RDONLY, 0);
	int status;

	if (fd < 0 && errno == ENOENT)
		return 1;
	status = fd < 0 ? -1 : read_all(fd, out);
	if (status < 0)
		error_sys(e, errno == EFBIG ? ERROR_DATA : ERROR_STORAGE,
			  errno, "cannot read '%s/%s'", FOLDER_STATE, name);
	if (fd >= 0)
		close(fd);
	return status;
}
