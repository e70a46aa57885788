/*
 * What goes out: wishes in a queue, and connections until they are made.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener_parts.h"
#include "net/iface.h"
#include "net/socks5.h"

#define DIAL_TIMEOUT (10 * CLOCK_S)
/* With another way to be tried: the second SYN goes after one second. */
#define DIAL_BRIEF (1500 * CLOCK_MS)
/* With others waiting, an address that takes longer makes room. */
#define DIAL_PATIENCE (1 * CLOCK_S)
/* The proxy's own way to the other end counts as well, and may be long. */
#define PROXY_DIAL_TIMEOUT (30 * CLOCK_S)
#define PROXY_DIAL_PATIENCE (5 * CLOCK_S)

/* ---- asked for by other threads ---- */

static struct wish *
wish_locked(struct listener *l, size_t i)
{
	return &l->queue[(l->queue_head + i) % QUEUE_MAX];
}

/* For one who has his part of it, half of the queue is all there is. */
static bool
is_full_locked(struct listener *l, uint32_t owner)
{
	size_t n = 0;

	if (l->queue_used < QUEUE_MAX / 2)
		return false;
	for (size_t i = 0; i < l->queue_used; i++)
		n += wish_locked(l, i)->owner == owner;
	return n >= QUEUE_PART || l->queue_used == QUEUE_MAX;
}

int
listener_dial(struct listener *l, uint32_t owner, const struct addr *to,
	      bool brief)
{
	bool full;

	mutex_lock(&l->lock);
	full = is_full_locked(l, owner);
	if (!full)
		*wish_locked(l, l->queue_used++) = (struct wish){owner, *to,
								 brief};
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
		struct wish w = *wish_locked(l, i);

		if (w.owner != owner)
			*wish_locked(l, kept++) = w;
	}
	l->queue_used = kept;
	if (l->forgotten_count < sizeof(l->forgotten) / sizeof(*l->forgotten))
		l->forgotten[l->forgotten_count++] = owner;
	mutex_unlock(&l->lock);
	wake_up(&l->wake);
}

/* ---- dialling ---- */

/* The first of whoever comes behind the one before: each has a turn. */
static size_t
first_in_turn_locked(struct listener *l)
{
	uint32_t least = UINT32_MAX;
	size_t first = 0;

	for (size_t i = 0; i < l->queue_used; i++) {
		uint32_t behind = wish_locked(l, i)->owner - l->turn - 1;

		if (behind < least) {
			least = behind;
			first = i;
		}
	}
	return first;
}

static bool
next_wish(struct listener *l, struct wish *out)
{
	bool any;

	mutex_lock(&l->lock);
	any = l->queue_used > 0;
	if (any) {
		size_t i = first_in_turn_locked(l);

		*out = *wish_locked(l, i);
		l->turn = out->owner;
		for (; i > 0; i--)
			*wish_locked(l, i) = *wish_locked(l, i - 1);
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

static void
socks_free(struct socks5 *s)
{
	if (!s)
		return;
	socks5_forget(s);
	free(s);
}

void
listener_dial_drop(struct listener *l, size_t i)
{
	close(l->dials[i].fd);
	socks_free(l->dials[i].socks);
	pending_drop(l->dials, &l->dial_count, i);
}

/* The i-th dial is over: sys is 0 when it is connected. */
void
listener_dial_end(struct listener *l, size_t i, int sys)
{
	struct pending d = l->dials[i];

	pending_drop(l->dials, &l->dial_count, i);
	socks_free(d.socks);
	if (sys != 0) {
		close(d.fd);
		d.fd = -1;
	}
	l->config.events.dialled(l->config.events.ctx, d.owner, &d.addr, d.fd,
				 sys);
}

/* The i-th dial's socket is connected, or sys says why not. */
static void
connected(struct listener *l, size_t i, int sys)
{
	if (!l->config.proxy)
		listener_dial_end(l, i, sys);
	else if (sys == 0)
		listener_proxy_begin(l, i);
	else
		/* NOLINTNEXTLINE(concurrency-mt-unsafe): constants */
		listener_proxy_failed(l, i, strerror(sys));
}

static int
open_socket(const struct listener *l, int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int sys;

	if (fd < 0 || iface_leave(l->config.route, fd, family) == 0)
		return fd;
	sys = errno;
	close(fd);
	errno = sys;
	return -1;
}

static void
dial_begin(struct listener *l, const struct wish *w, int64_t now)
{
	struct pending *d = &l->dials[l->dial_count];
	struct addr to = l->config.proxy ? listener_proxy_addr(l) : w->addr;
	struct sockaddr_storage sa;
	socklen_t size = addr_to_sockaddr(&to, &sa);
	int fd = open_socket(l, to.family);
	int sys = 0;

	if (fd < 0) {
		/* A family that the interface lacks is the peer's bad luck,
		 * but not if it is the proxy's. */
		sys = errno == ENETDOWN || l->config.proxy ? ECANCELED : errno;
		l->config.events.dialled(l->config.events.ctx, w->owner,
					 &w->addr, -1, sys);
		return;
	}
	*d = (struct pending){.fd = fd, .owner = w->owner, .addr = w->addr,
			      .since = now, .events = POLLOUT,
			      .brief = w->brief};
	l->dial_count++;
	if (connect(fd, (struct sockaddr *)&sa, size) < 0)
		sys = errno;
	if (sys != EINPROGRESS)
		connected(l, l->dial_count - 1, sys);
}

void
listener_dial_wishes(struct listener *l, int64_t now)
{
	struct wish w;

	while (l->dial_count < l->config.dials_max &&
	       listener_proxy_ready(l, now) && next_wish(l, &w))
		dial_begin(l, &w, now);
}

static int64_t
dial_patience(const struct listener *l, const struct pending *d, bool wait)
{
	if (l->config.proxy)
		return wait ? PROXY_DIAL_PATIENCE : PROXY_DIAL_TIMEOUT;
	if (wait)
		return DIAL_PATIENCE;
	return d->brief ? DIAL_BRIEF : DIAL_TIMEOUT;
}

/* The one whose time is over first, and when that is. */
static size_t
first_due(struct listener *l, int64_t *due)
{
	bool wait = wishes_wait(l);
	size_t first = 0;

	*due = CLOCK_NEVER;
	for (size_t i = 0; i < l->dial_count; i++) {
		int64_t end = l->dials[i].since +
			      dial_patience(l, &l->dials[i], wait);

		if (end < *due) {
			*due = end;
			first = i;
		}
	}
	return first;
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
				listener_dial_drop(l, i);
				break;
			}
}

void
listener_dial_ready(struct listener *l, size_t i)
{
	int sys = 0;
	socklen_t size = sizeof(sys);

	if (l->dials[i].socks) {
		listener_proxy_talk(l, i);
		return;
	}
	if (getsockopt(l->dials[i].fd, SOL_SOCKET, SO_ERROR, &sys, &size) < 0)
		sys = errno;
	connected(l, i, sys);
}

int64_t
listener_dial_due(struct listener *l, int64_t now)
{
	int64_t due;

	(void)first_due(l, &due);
	if (l->proxy_at > now && wishes_wait(l))
		due = clock_min(due, l->proxy_at);
	return due;
}

/* A proxy that takes long to answer may be waiting for the other end. */
static void
expire(struct listener *l, size_t i)
{
	const struct socks5 *s = l->dials[i].socks;

	if (!l->config.proxy || (s && s->stage == SOCKS5_CONNECT))
		listener_dial_end(l, i, ETIMEDOUT);
	else
		listener_proxy_failed(l, i, s ? "it does not answer"
					      : "it cannot be reached");
}

void
listener_dial_expire(struct listener *l, int64_t now)
{
	int64_t due;
	size_t i = first_due(l, &due);

	while (due <= now) {
		expire(l, i);
		listener_dial_wishes(l, now);
		i = first_due(l, &due);
	}
}
