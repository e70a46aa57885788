/* The bytes: reading, writing, sending, and what there is of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "files_inside.h"
#include "meta/metainfo.h"

#define IOV_BATCH 64
#define READAHEAD_SPANS 8
#define TAKE_STEP (256u << 10)
#define SEND_MAX (1u << 30)

static const char zeros[16384];

/* --- reading and writing --- */

size_t
files_span_index(const struct files *f, const struct span *s)
{
	return s->kind == SPAN_SIDE ? f->side_index : s->file;
}

static int
outside(const struct files *f, uint64_t offset, uint64_t n, struct error *e)
{
	uint64_t total = layout_metainfo(f->layout)->length;

	if (n <= total && offset <= total - n)
		return 0;
	return error_set(e, ERROR_INTERNAL,
			 "bytes beyond the end of the torrent");
}

static int
read_span(struct files *f, const struct span *s, char *out, struct error *e)
{
	char label[FILES_LABEL_MAX];
	size_t done = 0, index = files_span_index(f, s);
	struct pin *pin;
	uint64_t at;
	int fd, status = -1;

	fd = files_pin(f, index, false, &pin, e);
	if (fd < 0)
		return -1;
	if (files_span_at(f, s, fd, false, &at, e) < 0)
		goto out;
	while (done < s->length) {
		ssize_t n = pread(fd, out + done, (size_t)s->length - done,
				  (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			error_sys(e, ERROR_STORAGE, errno, "cannot read '%s'",
				  files_label(f, index, label));
			goto out;
		}
		if (n == 0) {
			error_set(e, ERROR_DATA, "'%s' ends too early",
				  files_label(f, index, label));
			goto out;
		}
		done += (size_t)n;
	}
	status = 0;
out:
	fdtable_unpin(f->table, pin);
	return status;
}

int
files_read(struct files *f, uint64_t offset, void *buf, size_t n,
	   struct error *e)
{
	struct layout_cursor c;
	struct span s;
	char *out = buf;

	if (outside(f, offset, n, e) < 0)
		return -1;
	layout_seek(f->layout, &c, offset, n);
	while (files_next_span(f, &c, &s)) {
		if (s.kind == SPAN_PAD)
			memset(out, 0, (size_t)s.length);
		else if (read_span(f, &s, out, e) < 0)
			return -1;
		out += s.length;
	}
	return 0;
}

/* A place in a list of buffers. */
struct source {
	const struct iovec *iov;
	size_t count;
	size_t used;		/* of the first */
};

/* The next buffers up to `length` bytes, without moving on. */
static int
source_look(const struct source *s, struct iovec *out, uint64_t length)
{
	size_t used = s->used, n = 0;

	for (size_t i = 0; i < s->count && n < IOV_BATCH && length > 0; i++) {
		size_t part = s->iov[i].iov_len - used;

		if (part > length)
			part = (size_t)length;
		if (part > 0) {
			out[n].iov_base = (char *)s->iov[i].iov_base + used;
			out[n++].iov_len = part;
		}
		length -= part;
		used = 0;
	}
	return (int)n;
}

static void
source_skip(struct source *s, uint64_t length)
{
	while (s->count > 0 && length >= s->iov->iov_len - s->used) {
		length -= s->iov->iov_len - s->used;
		s->iov++;
		s->count--;
		s->used = 0;
	}
	s->used += (size_t)length;
}

static int
write_failed(struct files *f, size_t index, int sys, struct error *e)
{
	char label[FILES_LABEL_MAX];

	return error_sys(e, ERROR_STORAGE, sys, "cannot write '%s'",
			 files_label(f, index, label));
}

static int
write_span(struct files *f, const struct span *s, struct source *source,
	   struct error *e)
{
	struct iovec iov[IOV_BATCH];
	size_t index = files_span_index(f, s);
	uint64_t done = 0, at;
	struct pin *pin;
	int fd, status = -1;

	fd = files_pin(f, index, true, &pin, e);
	if (fd < 0)
		return -1;
	if (files_span_at(f, s, fd, true, &at, e) < 0)
		goto out;
	while (done < s->length) {
		int count = source_look(source, iov, s->length - done);
		ssize_t n = pwritev(fd, iov, count, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			write_failed(f, index, n < 0 ? errno : EIO, e);
			goto out;
		}
		source_skip(source, (uint64_t)n);
		done += (uint64_t)n;
	}
	status = 0;
out:
	/* Before the pin goes: then whoever sees the write sees this too. */
	files_mark_dirty(f, index);
	fdtable_unpin(f->table, pin);
	return status;
}

int
files_writev(struct files *f, uint64_t offset, const struct iovec *iov,
	     size_t count, struct error *e)
{
	struct source source = { iov, count, 0 };
	struct layout_cursor c;
	struct span s;
	uint64_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += iov[i].iov_len;
	if (outside(f, offset, n, e) < 0)
		return -1;
	layout_seek(f->layout, &c, offset, n);
	while (files_next_span(f, &c, &s)) {
		if (s.kind == SPAN_PAD)
			source_skip(&source, s.length);
		else if (write_span(f, &s, &source, e) < 0)
			return -1;
	}
	return 0;
}

int
files_write(struct files *f, uint64_t offset, const void *buf, size_t n,
	    struct error *e)
{
	struct iovec iov = { .iov_len = n };

	memcpy(&iov.iov_base, &buf, sizeof(buf));	/* const is kept */
	return files_writev(f, offset, &iov, 1, e);
}

int
files_take_side(struct files *f, uint64_t offset, uint64_t n,
		struct error *e)
{
	struct span s = {.kind = SPAN_SIDE};
	uint64_t left;
	char *buf = malloc(TAKE_STEP);
	int status = 0;

	if (!buf)
		return error_memory(e);
	for (uint64_t end = offset + n; offset < end && status == 0;
	     offset += s.length) {
		s.offset = offset;
		s.length = files_side_room(f, offset);
		left = end - offset < TAKE_STEP ? end - offset : TAKE_STEP;
		if (s.length > left)
			s.length = left;
		if (read_span(f, &s, buf, NULL) < 0)
			break;
		status = files_write(f, offset, buf, (size_t)s.length, e);
	}
	free(buf);
	return status;
}

/* --- sending --- */

static ssize_t
send_failed(int sys, struct error *e)
{
	if (sys == EAGAIN || sys == EWOULDBLOCK)
		return 0;
	return error_sys(e, ERROR_NETWORK, sys, "cannot send");
}

static ssize_t
send_zeros(int socket, uint64_t n, struct error *e)
{
	size_t part = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);
	ssize_t sent;

	do
		sent = send(socket, zeros, part, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? send_failed(errno, e) : sent;
}

static ssize_t
send_span(struct files *f, int socket, const struct span *s, struct error *e)
{
	size_t index = files_span_index(f, s);
	size_t part = s->length < SEND_MAX ? (size_t)s->length : SEND_MAX;
	char label[FILES_LABEL_MAX];
	struct pin *pin;
	ssize_t sent;
	uint64_t from;
	off_t at;
	int fd, sys;

	fd = files_pin(f, index, false, &pin, e);
	if (fd < 0)
		return -1;
	if (files_span_at(f, s, fd, false, &from, e) < 0) {
		fdtable_unpin(f->table, pin);
		return -1;
	}
	at = (off_t)from;
	do
		sent = sendfile(socket, fd, &at, part);
	while (sent < 0 && errno == EINTR);
	sys = errno;
	fdtable_unpin(f->table, pin);
	if (sent > 0)
		return sent;
	if (sent == 0)
		return error_set(e, ERROR_DATA, "'%s' ends too early",
				 files_label(f, index, label));
	if (sys == EIO || sys == ENOMEM || sys == EOVERFLOW)
		return error_sys(e, ERROR_STORAGE, sys, "cannot read '%s'",
				 files_label(f, index, label));
	return send_failed(sys, e);
}

ssize_t
files_send(struct files *f, int socket, uint64_t offset, size_t n,
	   struct error *e)
{
	struct layout_cursor c;
	struct span s;

	if (outside(f, offset, n, e) < 0)
		return -1;
	layout_seek(f->layout, &c, offset, n);
	if (!files_next_span(f, &c, &s))
		return error_set(e, ERROR_INTERNAL, "nothing to send");
	if (s.kind == SPAN_PAD)
		return send_zeros(socket, s.length, e);
	return send_span(f, socket, &s, e);
}

/* --- looking without reading --- */

/* Unsets `whole` (or NULL) where there is a hole or less than that. */
static enum files_presence
span_presence(struct files *f, const struct span *s, bool *whole)
{
	enum files_presence found = FILES_DATA;
	struct error e;
	struct pin *pin;
	struct stat st;
	uint64_t at;
	off_t data;
	int fd;

	error_clear(&e);
	fd = files_pin(f, files_span_index(f, s), false, &pin, &e);
	/* What cannot be read is for the read to report. */
	if (fd < 0)
		return e.kind == ERROR_DATA ? FILES_ABSENT : FILES_DATA;
	if (files_span_at(f, s, fd, false, &at, &e) < 0) {
		found = e.kind == ERROR_DATA ? FILES_ABSENT : FILES_DATA;
		goto out;
	}
	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size < at + s->length) {
		found = FILES_ABSENT;
		goto out;
	}
	/* cppcheck-suppress invalidFunctionArg; it knows POSIX only */
	data = lseek(fd, (off_t)at, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		found = FILES_HOLE;
	if (data >= 0 && (uint64_t)data >= at + s->length)
		found = FILES_HOLE;
	if (whole && found == FILES_DATA && data >= 0) {
		/* cppcheck-suppress invalidFunctionArg */
		off_t hole = lseek(fd, (off_t)at, SEEK_HOLE);

		*whole &= hole < 0 || (uint64_t)hole >= at + s->length;
	}
out:
	fdtable_unpin(f->table, pin);
	return found;
}

static enum files_presence
presence(struct files *f, uint64_t offset, uint64_t n, bool *whole)
{
	enum files_presence all = FILES_HOLE, one;
	struct layout_cursor c;
	struct span s;

	layout_seek(f->layout, &c, offset, n);
	while (files_next_span(f, &c, &s)) {
		if (s.kind == SPAN_PAD)
			continue;
		one = span_presence(f, &s, whole);
		if (whole && one != FILES_DATA)
			*whole = false;
		if (one == FILES_ABSENT)
			return one;
		if (one == FILES_DATA)
			all = one;
	}
	return all;
}

enum files_presence
files_presence(struct files *f, uint64_t offset, uint64_t n)
{
	return presence(f, offset, n, NULL);
}

enum files_presence
files_presence_whole(struct files *f, uint64_t offset, uint64_t n,
		     bool *whole)
{
	enum files_presence found;

	*whole = true;
	found = presence(f, offset, n, whole);
	*whole &= found == FILES_DATA;
	return found;
}

void
files_readahead(struct files *f, uint64_t offset, uint64_t n)
{
	unsigned spans = 0;
	struct layout_cursor c;
	struct pin *pin;
	struct span s;
	uint64_t at;
	int fd;

	layout_seek(f->layout, &c, offset, n);
	while (files_next_span(f, &c, &s) && spans++ < READAHEAD_SPANS) {
		if (s.kind == SPAN_PAD)
			continue;
		fd = files_pin(f, files_span_index(f, &s), false, &pin, NULL);
		if (fd < 0)
			continue;
		if (files_span_at(f, &s, fd, false, &at, NULL) == 0)
			posix_fadvise(fd, (off_t)at, (off_t)s.length,
				      POSIX_FADV_WILLNEED);
		fdtable_unpin(f->table, pin);
	}
}

void
files_forget(struct files *f, size_t file)
{
	struct pin *pin;
	int fd = files_pin(f, file, false, &pin, NULL);

	if (fd < 0)
		return;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	fdtable_unpin(f->table, pin);
}
