#include "session/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/text.h"
#include "net/http.h"

#define FETCH_TIMEOUT_MS 60000
#define PORTION 65536

bool
source_is_url(const char *arg)
{
	return strncasecmp(arg, "http://", 7) == 0 ||
	       strncasecmp(arg, "https://", 8) == 0;
}

char *
source_label(char *out, size_t size, const char *arg)
{
	if (strcmp(arg, "-") == 0)
		return text_clean(out, size, "standard input");
	if (source_is_url(arg))
		return text_url(out, size, arg);
	return text_clean(out, size, arg);
}

/* False when the other fd asks to stop; a signal alone does not. */
static bool
wait_readable(int fd, int stop_fd)
{
	struct pollfd fds[2] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = stop_fd, .events = POLLIN },
	};

	while (!fds[0].revents && !fds[1].revents)
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
	return !fds[1].revents;
}

static int
read_all(int fd, int stop_fd, struct buffer *out, struct error *e)
{
	uint8_t *room;
	ssize_t n;

	for (;;) {
		if (!wait_readable(fd, stop_fd))
			return error_set(e, ERROR_STOPPED, "interrupted");
		if (out->used == out->cap)
			return error_set(e, ERROR_TORRENT, "larger than %u "
					 "MiB", SOURCE_MAX >> 20);
		room = buffer_room(out, out->cap - out->used < PORTION ?
				   out->cap - out->used : PORTION);
		if (!room)
			return error_memory(e);
		n = read(fd, room, out->cap - out->used < PORTION ?
			 out->cap - out->used : PORTION);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return error_sys(e, ERROR_TORRENT, errno,
					 "cannot read");
		if (n == 0)
			return 0;
		buffer_added(out, (size_t)n);
	}
}

static int
read_url(const char *arg, int stop_fd, struct buffer *out, struct error *e)
{
	int rc;

	if (http_global_init(e) < 0)
		return -1;
	rc = http_fetch(NULL, arg, FETCH_TIMEOUT_MS, stop_fd, out, e);
	http_global_release();
	return rc;
}

int
source_read_until(const char *arg, int stop_fd, struct buffer *out,
		  struct error *e)
{
	int fd;
	int rc;

	/* One more than is allowed, to tell a file that is too large. */
	buffer_init(out, (size_t)SOURCE_MAX + 1);
	if (source_is_url(arg)) {
		out->cap = SOURCE_MAX;
		return read_url(arg, stop_fd, out, e);
	}
	if (strcmp(arg, "-") == 0)
		return read_all(STDIN_FILENO, stop_fd, out, e);
	fd = open(arg, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_sys(e, ERROR_TORRENT, errno, "cannot open");
	rc = read_all(fd, stop_fd, out, e);
	close(fd);
	return rc;
}

int
source_read(const char *arg, struct buffer *out, struct error *e)
{
	return source_read_until(arg, -1, out, e);
}
