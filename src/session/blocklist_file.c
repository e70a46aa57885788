#include "session/blocklist_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define PORTION 65536
#define SKIPPED_OF 100		/* lines: of so many one may be odd */
#define SKIPPED_MAX (BLOCKLIST_RANGES_MAX / SKIPPED_OF)

/* The end of a line that is not all there yet stays in the buffer. */
struct lines {
	int fd;
	struct blocklist *list;
	unsigned long number;
	unsigned long skipped;
	unsigned long first;	/* the number of the first of these */
	struct error why;	/* it was */
	size_t used;
	char data[PORTION];
};

/* Too many lines are not understood: it is the first one's fault. */
static int
give_up(struct lines *l, struct error *e)
{
	*e = l->why;
	l->number = l->first;
	return -1;
}

/* The status of a line that was added: one that is not understood is passed
 * over for now. */
static int
skip(struct lines *l, int status, const struct error *why, struct error *e)
{
	if (status < 0)
		*e = *why;
	if (status <= 0)
		return status;
	if (l->skipped++ == 0) {
		l->first = l->number;
		l->why = *why;
	}
	return l->skipped <= SKIPPED_MAX ? 0 : give_up(l, e);
}

static int
add_line(struct lines *l, const char *line, size_t length, struct error *e)
{
	struct error why;

	l->number++;
	if (l->number == 1 && length >= 2 && memcmp(line, "\x1f\x8b", 2) == 0)
		return error_set(e, ERROR_USAGE,
				 "it is compressed: unpack it first");
	if (l->number == 1 && length >= 3 &&
	    memcmp(line, "\xef\xbb\xbf", 3) == 0) {
		line += 3;
		length -= 3;
	}
	return skip(l, blocklist_add(l->list, line, length, &why), &why, e);
}

/* All lines that are whole; at the end of the file the last one is. */
static int
add_lines(struct lines *l, bool at_end, struct error *e)
{
	const char *line = l->data, *end = l->data + l->used;

	while (line < end) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));

		if (!stop && !at_end)
			break;
		if (!stop)
			stop = end;
		if (add_line(l, line, (size_t)(stop - line), e) < 0)
			return -1;
		line = stop < end ? stop + 1 : end;
	}
	l->used = (size_t)(end - line);
	memmove(l->data, line, l->used);
	if (l->used < PORTION)
		return 0;
	l->number++;
	return error_set(e, ERROR_USAGE, "a line over %d bytes",
			 BLOCKLIST_LINE_MAX);
}

/* *sys is set when the file cannot be read. */
static int
read_lines(struct lines *l, int *sys, struct error *e)
{
	for (;;) {
		ssize_t n = read(l->fd, l->data + l->used, PORTION - l->used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			*sys = errno;
			return -1;
		}
		l->used += (size_t)n;
		if (add_lines(l, n == 0, e) < 0)
			return -1;
		if (n == 0)
			return 0;
	}
}

/* Long lists have a few odd lines; a short one may be meant to hold what its
 * only odd line says. */
static int
judge(struct lines *l, const char *name, struct log *log, struct error *e)
{
	if (l->skipped == 0)
		return 0;
	if (l->skipped > blocklist_lines(l->list) / SKIPPED_OF)
		return give_up(l, e);
	log_write(log, LOG_WARNING, NULL, "--blocklist: lines left out: %lu, "
		  "the first is %s:%lu: %s", l->skipped, name, l->first,
		  l->why.text);
	return 0;
}

struct blocklist *
blocklist_file_read(const char *path, struct log *log, struct error *e)
{
	struct lines l = {.fd = -1};
	char clean[256];
	int sys = 0;

	text_path(clean, sizeof(clean), path);
	l.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (l.fd < 0) {
		error_sys(e, ERROR_USAGE, errno, "cannot read '%s'", clean);
		return NULL;
	}
	l.list = blocklist_new(e);
	if (l.list && (read_lines(&l, &sys, e) < 0 ||
		       judge(&l, clean, log, e) < 0)) {
		if (sys)
			error_sys(e, ERROR_USAGE, sys, "cannot read '%s'",
				  clean);
		else
			error_prefix(e, "%s:%lu", clean, l.number);
		blocklist_free(l.list);
		l.list = NULL;
	}
	close(l.fd);
	if (l.list)
		blocklist_seal(l.list);
	return l.list;
}
