#include "cli/outlet.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
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
outlet_queue(struct buffer *queue, const void *data, size_t n)
{
	if (n == 0 || n > queue->cap - queue->used)
		return;
	buffer_put(queue, data, n);
	/* Without memory this is lost, but not what comes later. */
	queue->failed = false;
}
