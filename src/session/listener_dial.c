/*
 * What goes out: wishes in a queue, and connections until they are made.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener_parts.h"

#define DIAL_TIMEOUT (10 * CLOCK_S)
/* With others waiting, an address that takes longer makes room. */
#define DIAL_PATIENCE (1 * CLOCK_S)

/* ---- asked for by other threads ---- */

int
listener_dial(struct listener *l, uint32_t owner, const struct addr *to)
{
	bool full;

	mutex_lock(&l->lock);
	full = l->queue_used == QUEUE_MAX;
	if (!full) {
		size_t at = (l->queue_head + l->queue_used++) % QUEUE_MAX;

		l->queue[at] = (struct wish){owner, *to};
	}
	mutex_unlock(&l->lock);
	if (!full)
		wake_up(&l->wake);
	return full ? -1 : 0;
}

void
listener_forget(struct listener *l, uint32_t owner)
{
	size_t kept = 0;

	mutex_lock(&l->lock);
	for (size_t i = 0; i < l->queue_used; i++) {
		struct wish w = l->queue[(l->queue_head + i) % QUEUE_MAX];

		if (w.owner != owner)
			l->queue[(l->queue_head + kept++) % QUEUE_MAX] = w;
	}
	l->queue_used = kept;
	if (l->forgotten_count < sizeof(l->forgotten) / sizeof(*l->forgotten))
		l->forgotten[l->forgotten_count++] = owner;
	mutex_unlock(&l->lock);
	wake_up(&l->wake);
}

/* ---- dialling ---- */

static bool
next_wish(struct listener *l, struct wish *out)
{
	bool any;

	mutex_lock(&l->lock);
	any = l->queue_used > 0;
	if (any) {
		*out = l->queue[l->queue_head];
		l->queue_head = (l->queue_head + 1) % QUEUE_MAX;
		l->queue_used--;
	}
	mutex_unlock(&l->lock);
	return any;
}

static bool
wishes_wait(struct listener *l)
{
	bool any;

	mutex_lock(&l->lock);
	any = l->queue_used > 0;
	mutex_unlock(&l->lock);
	return any;
}

/* The i-th dial is over: sys is 0 when it is connected. */
static void
dial_end(struct listener *l, size_t i, int sys)
{
	struct pending d = l->dials[i];

	pending_drop(l->dials, &l->dial_count, i);
	if (sys != 0) {
		close(d.fd);
		d.fd = -1;
	}
	l->config.events.dialled(l->config.events.ctx, d.owner, &d.addr, d.fd,
				 sys);
}

static void
dial_begin(struct listener *l, const struct wish *w, int64_t now)
{
	struct pending *d = &l->dials[l->dial_count];
	struct sockaddr_storage sa;
	socklen_t size = addr_to_sockaddr(&w->addr, &sa);
	int fd = socket(w->addr.family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int status;

	if (fd < 0) {
		l->config.events.dialled(l->config.events.ctx, w->owner,
					 &w->addr, -1, errno);
		return;
	}
	*d = (struct pending){
		.fd = fd, .owner = w->owner, .addr = w->addr, .since = now};
	l->dial_count++;
	status = connect(fd, (struct sockaddr *)&sa, size);
	if (status == 0)
		dial_end(l, l->dial_count - 1, 0);
	else if (errno != EINPROGRESS)
		dial_end(l, l->dial_count - 1, errno);
}

void
listener_dial_wishes(struct listener *l, int64_t now)
{
	struct wish w;

	while (l->dial_count < l->config.dials_max && next_wish(l, &w))
		dial_begin(l, &w, now);
}

static int64_t
dial_patience(struct listener *l)
{
	return wishes_wait(l) ? DIAL_PATIENCE : DIAL_TIMEOUT;
}

void
listener_dial_forget(struct listener *l)
{
	uint32_t owners[16];
	size_t n;

	mutex_lock(&l->lock);
	n = l->forgotten_count;
	memcpy(owners, l->forgotten, n * sizeof(*owners));
	l->forgotten_count = 0;
	mutex_unlock(&l->lock);
	for (size_t i = l->dial_count; i-- > 0;)
		for (size_t k = 0; k < n; k++)
			if (l->dials[i].owner == owners[k]) {
				close(l->dials[i].fd);
				pending_drop(l->dials, &l->dial_count, i);
				break;
			}
}

void
listener_dial_ready(struct listener *l, size_t i)
{
	int sys = 0;
	socklen_t size = sizeof(sys);

	if (getsockopt(l->dials[i].fd, SOL_SOCKET, SO_ERROR, &sys, &size) < 0)
		sys = errno;
	dial_end(l, i, sys);
}

int64_t
listener_dial_due(struct listener *l)
{
	if (l->dial_count == 0)
		return CLOCK_NEVER;
	return l->dials[0].since + dial_patience(l);
}

void
listener_dial_expire(struct listener *l, int64_t now)
{
	while (l->dial_count > 0 &&
	       now - l->dials[0].since >= dial_patience(l)) {
		dial_end(l, 0, ETIMEDOUT);
		listener_dial_wishes(l, now);
	}
}
