#include "discover/dht_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int
failed(struct error *e, const char *what, const char *path)
{
	return error_sys(e, ERROR_STORAGE, errno, "cannot %s '%s'", what,
			 path);
}

static int
read_all(int fd, const char *path, size_t left, struct buffer *out,
	 struct error *e)
{
	uint8_t *room = buffer_room(out, left);

	if (!room)
		return error_set(e, ERROR_STORAGE, "'%s' is too large", path);
	while (left > 0) {
		ssize_t n = read(fd, room, left);

		if (n < 0)
			return failed(e, "read", path);
		if (n == 0)
			break;
		buffer_added(out, (size_t)n);
		room += n;
		left -= (size_t)n;
	}
	return 0;
}

int
dht_cache_read(const char *path, struct buffer *out, struct error *e)
{
	/* Not blocking: somebody may have put a FIFO there. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int result;

	if (fd < 0)
		return errno == ENOENT ? 0 : failed(e, "open", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		result = error_set(e, ERROR_STORAGE,
				   "'%s' is no regular file", path);
	else
		result = read_all(fd, path, (size_t)st.st_size, out, e);
	close(fd);
	return result;
}

/* Every folder of the path that is missing; the last ones are private, as
 * the base directory specification wants it. */
static int
make_folders(const char *path, struct error *e)
{
	char part[PATH_MAX];
	size_t n = strlen(path);

	if (n >= sizeof(part))
		return error_set(e, ERROR_STORAGE, "the path is too long");
	memcpy(part, path, n + 1);
	for (char *at = strchr(part + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return failed(e, "create the folder", part);
		*at = '/';
	}
	return 0;
}

static int
write_all(int fd, const uint8_t *at, size_t left)
{
	while (left > 0) {
		ssize_t n = write(fd, at, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		left -= (size_t)n;
	}
	return 0;
}

int
dht_cache_write(const char *path, const void *data, size_t n, struct error *e)
{
	char aside[PATH_MAX];
	int fd;

	if (make_folders(path, e) < 0)
		return -1;
	if ((size_t)snprintf(aside, sizeof(aside), "%s.XXXXXX", path) >=
	    sizeof(aside))
		return error_set(e, ERROR_STORAGE, "the path is too long");
	fd = mkostemp(aside, O_CLOEXEC);
	if (fd < 0)
		return failed(e, "create", aside);
	/* Not synced: what is lost in a crash is found again. */
	if (write_all(fd, data, n) < 0) {
		failed(e, "write", aside);
		close(fd);
		unlink(aside);
		return -1;
	}
	close(fd);
	if (rename(aside, path) < 0) {
		failed(e, "replace", path);
		unlink(aside);
		return -1;
	}
	return 0;
}
