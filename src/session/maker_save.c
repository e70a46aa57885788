/* Writing the .torrent, whole or not at all. */
#include "session/maker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "store/folder.h"

/* Synced, too. */
static int
write_all(int fd, const struct buffer *data)
{
	if (folder_write(fd, data->data, data->used) < 0)
		return -1;
	/* EINVAL: a pipe or a device, which has nothing to sync. */
	return fsync(fd) < 0 && errno != EINVAL ? -1 : 0;
}

/* With the '/', so that it is nothing but a folder; from malloc. */
static char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? strndup(path, (size_t)(slash + 1 - path)) : strdup(".");
}

/* So that the new name, too, survives a power cut.  Some file systems refuse
 * this; the file is whole then all the same. */
static void
sync_folder(const char *path)
{
	char *folder = folder_of(path);
	int fd;

	fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(folder);
}

/* With errno. */
static int
write_and_close(int fd, const struct buffer *data)
{
	int rc = write_all(fd, data), sys = errno;

	if (close(fd) < 0)
		return -1;
	errno = sys;
	return rc;
}

/* A device, a pipe or a link is written to, and never replaced by a file. */
static int
save_into(const char *path, const struct buffer *data)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC |
		      O_NOCTTY, 0666);

	return fd < 0 ? -1 : write_and_close(fd, data);
}

static int
save_aside(const char *path, const char *aside, const struct buffer *data)
{
	int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int rc, sys;

	if (fd < 0)
		return -1;
	rc = write_and_close(fd, data);
	if (rc == 0)
		rc = rename(aside, path);
	if (rc != 0) {
		sys = errno;
		unlink(aside);
		errno = sys;
		return -1;
	}
	sync_folder(path);
	return 0;
}

static int
cannot_write(const char *path, int sys, struct error *e)
{
	return error_sys(e, ERROR_STORAGE, sys, "cannot write '%s'", path);
}

/* Sandboxes that know faccessat2 not yet refuse that call, whatever may be
 * written. */
static int
may(const char *path, int mode)
{
	int rc = faccessat(AT_FDCWD, path, mode, AT_EACCESS);

	return rc == 0 || errno == EACCES || errno == EROFS ||
	       errno == ENOENT || errno == ENOTDIR ? rc : 0;
}

/* A file is made beside a plain one, or where none is; what is no plain file
 * is written to.  Where a link leads nowhere, only trying would tell. */
static int
try_access(const char *path)
{
	struct stat st;
	char *folder;
	int rc;

	if (lstat(path, &st) < 0) {
		if (errno == ENAMETOOLONG)
			return -1;
	} else if (!S_ISREG(st.st_mode)) {
		if (stat(path, &st) < 0)
			return 0;
		if (S_ISDIR(st.st_mode)) {
			errno = EISDIR;
			return -1;
		}
		return may(path, W_OK);
	}
	folder = folder_of(path);
	if (!folder)
		return -1;
	rc = may(folder, W_OK | X_OK);
	free(folder);
	return rc;
}

int
maker_can_save(const char *path, struct error *e)
{
	if (!path || try_access(path) == 0)
		return 0;
	return cannot_write(path, errno, e);
}

int
maker_save(const char *path, const struct buffer *data, struct error *e)
{
	const char *slash = strrchr(path, '/');
	char aside[PATH_MAX];
	struct stat st;
	int n = snprintf(aside, sizeof(aside), "%.*s.btget-%016" PRIx64,
			 slash ? (int)(slash + 1 - path) : 0, path,
			 random_u64());
	int rc;

	if (n < 0 || (size_t)n >= sizeof(aside)) {
		errno = ENAMETOOLONG;
		rc = -1;
	} else if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		rc = save_into(path, data);
	} else {
		rc = save_aside(path, aside, data);
	}
	return rc == 0 ? 0 : cannot_write(path, errno, e);
}
