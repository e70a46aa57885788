#include "store/dht_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/folder.h"

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

/* Private, as the base directory specification wants it. */
static int
make_folder(const char *path, struct error *e)
{
	const char *slash = strrchr(path, '/');
	char *folder;
	int status;

	if (!slash || slash == path)
		return 0;
	folder = strndup(path, (size_t)(slash - path));
	if (!folder)
		return error_memory(e);
	status = folder_make(folder, 0700);
	if (status < 0)
		failed(e, "create the folder", folder);
	free(folder);
	return status;
}

int
dht_cache_write(const char *path, const void *data, size_t n, struct error *e)
{
	char aside[PATH_MAX];
	int fd;

	if (make_folder(path, e) < 0)
		return -1;
	if ((size_t)snprintf(aside, sizeof(aside), "%s.XXXXXX", path) >=
	    sizeof(aside))
		return error_set(e, ERROR_STORAGE, "the path is too long");
	fd = mkostemp(aside, O_CLOEXEC);
	if (fd < 0)
		return failed(e, "create", aside);
	/* Not synced: what is lost in a crash is found again. */
	if (folder_write(fd, data, n) < 0) {
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
