#include "session/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sync.h"
#include "discover/blocklist.h"
#include "net/stream.h"
#include "swarm/wire.h"

#define BACKLOG 512
#define WAITING_MAX 512		/* accepted, nothing said yet */
#define DIALS_MAX 160		/* half-open, of all torrents */
#define QUEUE_MAX 1024		/* asked for, not begun */
#define SPEAK_TIMEOUT (10 * CLOCK_S)
#define DIAL_TIMEOUT (10 * CLOCK_S)
/* With others waiting, an address that takes longer makes room. */
#define DIAL_PATIENCE (1 * CLOCK_S)
#define FULL_PAUSE (200 * CLOCK_MS)	/* when out of descriptors */
#define ACCEPT_BATCH 64
#define SOCKETS 2
#define FDS_MAX (1 + SOCKETS + WAITING_MAX + DIALS_MAX)

struct pending {
	int fd;
	uint32_t owner;		/* of a dial */
	struct addr addr;
	int64_t since;
	struct mse *mse;	/* incoming, and not plain */
	short events;		/* waited for */
};

struct wish {
	uint32_t owner;
	struct addr addr;
};

struct listener {
	struct listener_config config;
	struct log *log;
	struct thread thread;
	struct wake wake;
	_Atomic bool stop;
	int sockets[SOCKETS];	/* IPv4, IPv6; -1 where there is none */
	uint16_t port;

	struct mutex lock;
	struct wish queue[QUEUE_MAX];	/* guarded by lock; a ring */
	size_t queue_head;		/* guarded by lock */
	size_t queue_used;		/* guarded by lock */
	uint32_t forgotten[16];		/* guarded by lock */
	size_t forgotten_count;		/* guarded by lock */

	/* The thread's own. */
	struct pending waiting[WAITING_MAX];	/* oldest first */
	size_t waiting_count;
	struct pending dials[DIALS_MAX];	/* oldest first */
	size_t dial_count;
	int64_t accept_at;	/* not before this, after EMFILE */
	struct pollfd fds[FDS_MAX];
};

/* ---- binding ---- */

static int
bind_one(int family, uint16_t port, int *sys)
{
	struct addr any = {.family = (uint16_t)family, .port = port};
	struct sockaddr_storage sa;
	socklen_t size = addr_to_sockaddr(&any, &sa);
	int one = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		*sys = errno;
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, size) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		*sys = errno;
		close(fd);
		return -1;
	}
	return fd;
}

static uint16_t
bound_port(int fd)
{
	struct sockaddr_storage sa;
	socklen_t size = sizeof(sa);
	struct addr a;

	if (getsockname(fd, (struct sockaddr *)&sa, &size) < 0 ||
	    !addr_from_sockaddr(&a, (struct sockaddr *)&sa))
		return 0;
	return a.port;
}

/* Both families on one port; a machine may have only one of them. */
static bool
bind_port(struct listener *l, uint16_t port, int *sys)
{
	int sys6 = 0;

	l->sockets[0] = bind_one(AF_INET, port, sys);
	if (l->sockets[0] < 0 && *sys != EAFNOSUPPORT)
		return false;
	if (l->sockets[0] >= 0)
		port = bound_port(l->sockets[0]);
	l->sockets[1] = bind_one(AF_INET6, port, &sys6);
	if (l->sockets[1] < 0 && sys6 == EADDRINUSE) {
		close(l->sockets[0]);
		l->sockets[0] = -1;
		*sys = sys6;
		return false;
	}
	if (l->sockets[0] < 0 && l->sockets[1] < 0)
		return false;
	l->port = bound_port(l->sockets[0] >= 0 ? l->sockets[0]
						: l->sockets[1]);
	return true;
}

#define ANY_PORT_TRIES 16	/* IPv6 may have the one that IPv4 got */

static int
bind_range(struct listener *l, struct error *e)
{
	uint32_t min = l->config.port_min, max = l->config.port_max;
	int sys = 0;

	if (max == 0)
		max = min + ANY_PORT_TRIES;
	for (uint32_t port = min; port <= max; port++)
		if (bind_port(l, l->config.port_max ? (uint16_t)port : 0, &sys))
			return 0;
	if (l->config.port_min == l->config.port_max)
		return error_sys(e, ERROR_NETWORK, sys,
				 "cannot listen on port %u", min);
	return error_sys(e, ERROR_NETWORK, sys,
			 "cannot listen on any port from %u to %u", min, max);
}

static size_t
at_most(size_t n, size_t room)
{
	return n > 0 && n < room ? n : room;
}

struct listener *
listener_new(const struct listener_config *config, struct log *log,
	     struct error *e)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l) {
		error_memory(e);
		return NULL;
	}
	l->config = *config;
	l->config.dials_max = at_most(config->dials_max, DIALS_MAX);
	l->config.waiting_max = at_most(config->waiting_max, WAITING_MAX);
	l->log = log;
	l->sockets[0] = l->sockets[1] = -1;
	mutex_init(&l->lock);
	if (wake_init(&l->wake, e) < 0 || bind_range(l, e) < 0) {
		listener_free(l);
		return NULL;
	}
	return l;
}

void
listener_free(struct listener *l)
{
	if (!l)
		return;
	listener_stop(l);
	for (size_t i = 0; i < SOCKETS; i++)
		if (l->sockets[i] >= 0)
			close(l->sockets[i]);
	wake_release(&l->wake);
	mutex_release(&l->lock);
	free(l);
}

uint16_t
listener_port(const struct listener *l)
{
	return l->port;
}

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

/* ---- dialling ---- */

static void
drop_at(struct pending *list, size_t *count, size_t i)
{
	memmove(list + i, list + i + 1, (*count - i - 1) * sizeof(*list));
	(*count)--;
}

/* The i-th dial is over: sys is 0 when it is connected. */
static void
dial_end(struct listener *l, size_t i, int sys)
{
	struct pending d = l->dials[i];

	drop_at(l->dials, &l->dial_count, i);
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

static void
dial_wishes(struct listener *l, int64_t now)
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

static void
forget_owners(struct listener *l)
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
				drop_at(l->dials, &l->dial_count, i);
				break;
			}
}

/* ---- accepting ---- */

static void
waiting_drop(struct listener *l, size_t i)
{
	close(l->waiting[i].fd);
	mse_free(l->waiting[i].mse);
	drop_at(l->waiting, &l->waiting_count, i);
}

/* Poll should speak up only once the handshake's beginning is there. */
static void
low_water(int fd, int bytes)
{
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

/* False when nothing is left to accept, or nothing can be. */
static bool
accept_one(struct listener *l, int socket, int64_t now)
{
	struct sockaddr_storage sa;
	socklen_t size = sizeof(sa);
	struct pending p = {.since = now, .events = POLLIN};

	p.fd = accept4(socket, (struct sockaddr *)&sa, &size,
		       SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (p.fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM) {
			if (l->waiting_count > 0)
				waiting_drop(l, 0);
			l->accept_at = now + FULL_PAUSE;
		}
		return errno == EINTR || errno == ECONNABORTED;
	}
	if (!addr_from_sockaddr(&p.addr, (struct sockaddr *)&sa) ||
	    blocklist_has(l->config.blocklist, &p.addr)) {
		close(p.fd);
		return true;
	}
	if (l->waiting_count == l->config.waiting_max)
		waiting_drop(l, 0);
	low_water(p.fd, LISTENER_PREFIX);
	l->waiting[l->waiting_count++] = p;
	return true;
}

static void
accept_some(struct listener *l, int socket, int64_t now)
{
	for (int i = 0; i < ACCEPT_BATCH; i++)
		if (!accept_one(l, socket, now))
			return;
}

/* Goes on with an encrypted handshake as far as it goes. */
static void
shake(struct listener *l, size_t i)
{
	struct pending *p = &l->waiting[i];
	struct pending done = *p;
	char text[ADDR_TEXT_MAX];
	struct stream s;
	const char *why;

	stream_init(&s, p->fd);
	switch (stream_shake(&s, p->mse, &p->events, &why)) {
	case MSE_MORE:
		return;
	case MSE_BAD:
		log_write(l->log, LOG_DEBUG, NULL, "%s: %s",
			  addr_format(&p->addr, text), why);
		waiting_drop(l, i);
		return;
	case MSE_DONE:
		break;
	}
	drop_at(l->waiting, &l->waiting_count, i);
	l->config.events.encrypted(l->config.events.ctx, done.fd, &done.addr,
				   done.mse);
}

static void
begin_shake(struct listener *l, size_t i)
{
	struct pending *p = &l->waiting[i];

	p->mse = mse_new_incoming(&l->config.mse, &l->config.finder);
	low_water(p->fd, 1);
	if (p->mse)
		shake(l, i);
	else
		waiting_drop(l, i);
}

static void
waiting_ready(struct listener *l, size_t i)
{
	struct pending p = l->waiting[i];
	uint8_t prefix[LISTENER_PREFIX];
	ssize_t n;

	if (p.mse) {
		shake(l, i);
		return;
	}
	n = recv(p.fd, prefix, sizeof(prefix), MSG_PEEK);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < LISTENER_PREFIX) {	/* it closed, or said too little */
		waiting_drop(l, i);
		return;
	}
	if (l->config.mse.library && !handshake_is_plain(prefix, (size_t)n)) {
		begin_shake(l, i);
		return;
	}
	drop_at(l->waiting, &l->waiting_count, i);
	low_water(p.fd, 1);
	l->config.events.incoming(l->config.events.ctx, p.fd, &p.addr, prefix,
				  (size_t)n);
}

/* ---- the thread ---- */

static size_t
fill_fds(struct listener *l, int64_t now)
{
	size_t n = 0;

	l->fds[n++] = (struct pollfd){.fd = l->wake.fd, .events = POLLIN};
	for (size_t i = 0; i < SOCKETS; i++)
		l->fds[n++] = (struct pollfd){
			.fd = now >= l->accept_at ? l->sockets[i] : -1,
			.events = POLLIN};
	for (size_t i = 0; i < l->waiting_count; i++)
		l->fds[n++] = (struct pollfd){
			.fd = l->waiting[i].fd,
			.events = l->waiting[i].events};
	for (size_t i = 0; i < l->dial_count; i++)
		l->fds[n++] = (struct pollfd){.fd = l->dials[i].fd,
					      .events = POLLOUT};
	return n;
}

static int64_t
next_due(struct listener *l, int64_t now)
{
	int64_t due = CLOCK_NEVER;

	if (l->waiting_count > 0)
		due = l->waiting[0].since + SPEAK_TIMEOUT;
	if (l->dial_count > 0)
		due = clock_min(due, l->dials[0].since + dial_patience(l));
	if (l->accept_at > now)
		due = clock_min(due, l->accept_at);
	return due;
}

/* From the last to the first, so that the indexes before stay right. */
static void
serve_ready(struct listener *l, size_t waiting, size_t dials)
{
	const struct pollfd *fds = l->fds + 1 + SOCKETS;

	for (size_t i = dials; i-- > 0;) {
		int sys = 0;
		socklen_t size = sizeof(sys);

		if (!fds[waiting + i].revents)
			continue;
		if (getsockopt(l->dials[i].fd, SOL_SOCKET, SO_ERROR, &sys,
			       &size) < 0)
			sys = errno;
		dial_end(l, i, sys);
	}
	for (size_t i = waiting; i-- > 0;)
		if (fds[i].revents)
			waiting_ready(l, i);
}

static void
expire(struct listener *l, int64_t now)
{
	while (l->waiting_count > 0 &&
	       now - l->waiting[0].since >= SPEAK_TIMEOUT)
		waiting_drop(l, 0);
	while (l->dial_count > 0 &&
	       now - l->dials[0].since >= dial_patience(l)) {
		dial_end(l, 0, ETIMEDOUT);
		dial_wishes(l, now);
	}
}

static void
run(void *arg)
{
	struct listener *l = arg;

	while (!atomic_load(&l->stop)) {
		int64_t now = clock_ns();
		size_t waiting = l->waiting_count, dials = l->dial_count;
		size_t n = fill_fds(l, now);

		if (poll(l->fds, n, clock_poll_ms(now, next_due(l, now))) < 0)
			continue;
		now = clock_ns();
		serve_ready(l, waiting, dials);
		if (l->fds[0].revents)
			wake_drain(&l->wake);
		forget_owners(l);
		for (size_t i = 0; i < SOCKETS; i++)
			if (l->fds[1 + i].revents)
				accept_some(l, l->sockets[i], now);
		expire(l, now);
		dial_wishes(l, now);
	}
}

int
listener_start(struct listener *l, struct error *e)
{
	return thread_start(&l->thread, "listener", THREAD_STACK_SMALL, run, l,
			    e);
}

void
listener_stop(struct listener *l)
{
	atomic_store(&l->stop, true);
	wake_up(&l->wake);
	thread_join(&l->thread);
	while (l->waiting_count > 0)
		waiting_drop(l, l->waiting_count - 1);
	while (l->dial_count > 0)
		close(l->dials[--l->dial_count].fd);
}
