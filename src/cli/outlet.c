#include "cli/outlet.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

bool
outlet_ready(const struct outlet *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };

	return poll(&p, 1, 0) > 0;
}

void
outlet_flush(struct outlet *s)
{
	while (!s->dead && s->queue.used > 0 && outlet_ready(s)) {
		size_t n = s->queue.used < PIPE_BUF ? s->queue.used :
			   PIPE_BUF;
		ssize_t done = write(s->fd, s->queue.data, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && errno == EAGAIN)
			return;
		if (done < 0)
			s->dead = true;
		else
			buffer_drop(&s->queue, (size_t)done);
	}
}

void
outlet_queue(struct buffer *queue, const void *data, size_t n, size_t kept)
{
	size_t room = queue->cap - queue->used;

	if (n == 0 || kept > room || n > room - kept)
		return;
	buffer_put(queue, data, n);
	/* Without memory this is lost, but not what comes later. */
	queue->failed = false;
}

/* How much of it goes into so many bytes, in whole lines. */
static size_t
lines_within(const struct buffer *from, size_t room)
{
	const uint8_t *end;

	if (from->used <= room)
		return from->used;
	end = memrchr(from->data, '\n', room);
	return end ? (size_t)(end - from->data) + 1 : 0;
}

static size_t
first_line(const struct buffer *from)
{
	const uint8_t *end = memchr(from->data, '\n', from->used);

	return end ? (size_t)(end - from->data) + 1 : from->used;
}

bool
outlet_take(struct outlet *s, struct buffer *from)
{
	struct buffer *queue = &s->queue;
	size_t n;

	from->failed = false;
	if (s->dead)
		buffer_clear(from);
	if (from->used == 0)
		return false;
	n = lines_within(from, queue->cap - queue->used);
	if (n > 0 && !buffer_room(queue, n)) {
		/* Without memory, what it has already must do. */
		queue->failed = false;
		n = queue->size > queue->used ?
		    lines_within(from, queue->size - queue->used - 1) : 0;
	}
	if (n > 0)
		buffer_put(queue, from->data, n);
	else if (queue->used == 0)
		n = first_line(from);
	buffer_drop(from, n);
	return from->used > 0;
}
