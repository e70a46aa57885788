#include "session/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"
#include "meta/magnet.h"
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
	/* A link that is none may still carry a tracker's key. */
	if (strstr(arg, "://") || magnet_is(arg))
		return text_url(out, size, arg);
	return text_clean(out, size, arg);
}

/* False when the other fd asks to stop, or the time is over; a signal alone
 * does neither. */
static bool
wait_readable(int fd, int stop_fd, int64_t until, struct error *e)
{
	struct pollfd fds[2] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = stop_fd, .events = POLLIN },
	};
	int n;

	do
		n = poll(fds, 2, clock_poll_ms(clock_ns(), until));
	while ((n < 0 && errno == EINTR) || (n == 0 && clock_ns() < until));
	if (fds[1].revents)
		error_set(e, ERROR_STOPPED, "interrupted");
	else if (n == 0)
		error_set(e, ERROR_TORRENT, "cannot read: the deadline came");
	return n != 0 && !fds[1].revents;
}

/* Room for a whole file, and for what tells that it ends there. */
static void
expect_file(int fd, struct buffer *out)
{
	struct stat st;
	uint8_t *room;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size <= PORTION || st.st_size > SOURCE_MAX)
		return;
	room = buffer_room(out, (size_t)st.st_size + 1);
	if (room)
		memory_expect(room, (size_t)st.st_size);
}

/* What is read next: as much as there is room for, but a portion at least. */
static size_t
portion_of(const struct buffer *out)
{
	size_t room = out->size - out->used, left = out->cap - out->used;

	if (room <= PORTION)
		room = PORTION + 1;
	return room - 1 < left ? room - 1 : left;
}

/* At most SOURCE_MAX, and one more to tell what is too large. */
static int
read_all(int fd, int stop_fd, int64_t until, struct buffer *out,
	 struct error *e)
{
	uint8_t *room;
	size_t portion;
	ssize_t n;

	for (;;) {
		if (!wait_readable(fd, stop_fd, until, e))
			return -1;
		if (out->used == out->cap)
			return error_set(e, ERROR_TORRENT, "larger than %u "
					 "MiB", SOURCE_MAX >> 20);
		portion = portion_of(out);
		room = buffer_room(out, portion);
		if (!room)
			return error_memory(e);
		n = read(fd, room, portion);
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
read_url(const char *arg, const struct http_config *way, int stop_fd,
	 int64_t until, struct buffer *out, struct error *e)
{
	struct http_patience patience = {
		.timeout_ms = clock_poll_ms(clock_ns(), until),
		.stop_fd = stop_fd,
	};
	int rc;

	if (patience.timeout_ms < 0 || patience.timeout_ms > FETCH_TIMEOUT_MS)
		patience.timeout_ms = FETCH_TIMEOUT_MS;
	if (patience.timeout_ms == 0)
		patience.timeout_ms = 1;
	if (http_global_init(e) < 0)
		return -1;
	rc = http_fetch(way, arg, &patience, out, e);
	http_global_release();
	return rc;
}

int
source_read_until(const char *arg, const struct http_config *way, int stop_fd,
		  int64_t until, struct buffer *out, struct error *e)
{
	int fd;
	int rc;

	/* One more than is allowed, to tell a file that is too large. */
	buffer_init(out, (size_t)SOURCE_MAX + 1);
	if (magnet_is(arg))
		return error_set(e, ERROR_TORRENT, "a link does not say what "
				 "the torrent holds");
	if (source_is_url(arg)) {
		out->cap = SOURCE_MAX;
		return read_url(arg, way, stop_fd, until, out, e);
	}
	if (strcmp(arg, "-") == 0)
		return read_all(STDIN_FILENO, stop_fd, until, out, e);
	/* A pipe that nobody writes to must not hold us in here. */
	fd = open(arg, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return error_sys(e, ERROR_TORRENT, errno, "cannot open");
	expect_file(fd, out);
	rc = read_all(fd, stop_fd, until, out, e);
	close(fd);
	return rc;
}

int
source_read(const char *arg, struct buffer *out, struct error *e)
{
	return source_read_until(arg, NULL, -1, CLOCK_NEVER, out, e);
}
