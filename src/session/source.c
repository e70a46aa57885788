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
#include "meta/magnet_file.h"
#include "meta/metainfo.h"
#include "net/http_fetch.h"

#define PATIENCE_MS 60000
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

/* ---- waiting ---- */

static int
too_quiet(int64_t idle_ns, struct error *e)
{
	char how_long[32];

	text_duration(how_long, sizeof(how_long),
		      (uint64_t)(idle_ns / CLOCK_S));
	return error_set(e, ERROR_TORRENT, "cannot read: no data for %s",
			 how_long);
}

/* -1 when the other fd asks to stop, or the time is over; a signal alone
 * does neither. */
static int
wait_readable(int fd, const struct source_limits *limits, struct error *e)
{
	struct pollfd fds[2] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = limits->stop_fd, .events = POLLIN },
	};
	int64_t until = limits->until;
	int n;

	if (limits->idle_ns)
		until = clock_min(until, clock_ns() + limits->idle_ns);
	do
		n = poll(fds, 2, clock_poll_ms(clock_ns(), until));
	while ((n < 0 && errno == EINTR) || (n == 0 && clock_ns() < until));
	if (fds[1].revents)
		return error_set(e, ERROR_STOPPED, "interrupted");
	if (n != 0)
		return 0;
	if (until != limits->until)
		return too_quiet(limits->idle_ns, e);
	return error_set(e, ERROR_TORRENT, "cannot read: the deadline came");
}

/* ---- reading ---- */

static int
too_large(struct error *e)
{
	return error_set(e, ERROR_TORRENT, "larger than %u MiB",
			 SOURCE_MAX >> 20);
}

/* Room for a whole file, and for what tells that it ends there. */
static int
expect_file(int fd, struct buffer *out, struct error *e)
{
	struct stat st;
	uint8_t *room;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size <= PORTION)
		return 0;
	if (st.st_size > SOURCE_MAX)
		return too_large(e);
	room = buffer_room(out, (size_t)st.st_size + 1);
	if (room)
		memory_expect(room, (size_t)st.st_size);
	return 0;
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
read_all(int fd, const struct source_limits *limits, struct buffer *out,
	 struct error *e)
{
	uint8_t *room;
	size_t portion;
	ssize_t n;

	for (;;) {
		if (wait_readable(fd, limits, e) < 0)
			return -1;
		if (out->used == out->cap)
			return too_large(e);
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

/* Whether there is nothing left to wait for, so that it is not begun. */
static bool
is_stopped(int stop_fd)
{
	struct pollfd stop = { .fd = stop_fd, .events = POLLIN };

	return stop_fd >= 0 && poll(&stop, 1, 0) > 0;
}

/* As it is seen and copied: escaped, but for spaces and what is no ASCII. */
static void
put_url(struct buffer *b, const char *url)
{
	for (; *url; url++)
		if (*url == ' ')
			buffer_str(b, "%20");
		else
			buffer_url(b, url, 1);
}

static int
read_url(const char *url, const struct source_limits *limits,
	 struct buffer *out, struct error *e)
{
	struct buffer escaped;
	const char *text;
	int status;

	struct http_patience patience = {
		.timeout_ms = clock_poll_ms(clock_ns(), limits->until),
		.stop_fd = limits->stop_fd,
	};

	if (patience.timeout_ms < 0 || patience.timeout_ms > PATIENCE_MS)
		patience.timeout_ms = PATIENCE_MS;
	if (patience.timeout_ms == 0)
		patience.timeout_ms = 1;
	if (limits->idle_ns < PATIENCE_MS * CLOCK_MS)
		patience.idle_ms = clock_poll_ms(0, limits->idle_ns);
	if (is_stopped(limits->stop_fd))
		return error_set(e, ERROR_STOPPED, "interrupted");
	out->cap = SOURCE_URL_MAX;
	buffer_init(&escaped, 3 * strlen(url) + 1);
	put_url(&escaped, url);
	text = buffer_text(&escaped);
	status = text ? http_fetch(limits->way, text, &patience, out, e)
		      : error_memory(e);
	buffer_release(&escaped);
	return status;
}

int
source_get(const struct source *s, const struct source_limits *limits,
	   struct buffer *out, struct error *e)
{
	struct source_limits mine = *limits;
	int64_t most = PATIENCE_MS * CLOCK_MS;

	/* One more than is allowed, to tell a file that is too large. */
	buffer_init(out, (size_t)SOURCE_MAX + 1);
	if (s->fd < 0)
		return read_url(s->arg, limits, out, e);
	if (s->fd != STDIN_FILENO)
		mine.idle_ns = mine.idle_ns ? clock_min(mine.idle_ns, most)
					    : most;
	if (expect_file(s->fd, out, e) < 0)
		return -1;
	return read_all(s->fd, &mine, out, e);
}

/* ---- opening ---- */

int
source_open(struct source *s, const char *arg, struct error *e)
{
	struct stat st;

	*s = (struct source){ .arg = arg, .fd = -1 };
	if (magnet_is(arg))
		return error_set(e, ERROR_TORRENT, "a link does not say what "
				 "the torrent holds");
	if (source_is_url(arg)) {
		s->slow = true;
		return 0;
	}
	/* A pipe that nobody writes to must not hold us in here. */
	s->fd = strcmp(arg, "-") == 0 ? STDIN_FILENO :
		open(arg, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (s->fd < 0)
		return error_sys(e, ERROR_TORRENT, errno, "cannot open");
	if (fstat(s->fd, &st) == 0) {
		s->slow = !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
		s->device = st.st_dev;
		s->inode = st.st_ino;
	}
	return 0;
}

void
source_close(struct source *s)
{
	if (s->fd >= 0 && s->fd != STDIN_FILENO)
		close(s->fd);
	s->fd = -1;
}

int
source_read(const char *arg, const struct source_limits *limits,
	    struct buffer *out, struct error *e)
{
	const struct source_limits none = {
		.stop_fd = -1, .until = CLOCK_NEVER,
	};
	struct source s;
	int rc;

	buffer_init(out, SOURCE_MAX);
	if (source_open(&s, arg, e) < 0)
		return -1;
	rc = source_get(&s, limits ? limits : &none, out, e);
	source_close(&s);
	return rc;
}

int
source_parse(struct buffer *data, struct metainfo **meta,
	     struct magnet **link, struct error *e)
{
	*meta = NULL;
	*link = NULL;
	if (magnet_file_is(data->data, data->used)) {
		*link = magnet_file_parse(data, e);
		buffer_release(data);
	} else {
		*meta = metainfo_adopt(data->data, data->used, e);
		*data = (struct buffer){.cap = data->cap};
	}
	return *meta || *link ? 0 : -1;
}

const char *
source_library(struct error *e)
{
	return http_version(e);
}
