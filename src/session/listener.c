#include "session/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hash.h"
#include "discover/blocklist.h"
#include "listener_parts.h"
#include "net/datagram.h"
#include "net/iface.h"
#include "net/stream.h"

#define BACKLOG 512
#define SPEAK_TIMEOUT (10 * CLOCK_S)
#define FULL_PAUSE (200 * CLOCK_MS)	/* when out of descriptors */
#define ACCEPT_BATCH 64

/* ---- binding ---- */

static int
bind_one(const struct listener *l, int family, uint16_t port, int *sys)
{
	int one = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		*sys = errno;
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (iface_bind(l->config.route, fd, family, port) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		*sys = errno;
		close(fd);
		return -1;
	}
	return fd;
}

/* For the moment; one that the machine does not have takes nothing. */
static bool
is_free_for_udp(const struct listener *l, uint16_t port)
{
	static const int families[SOCKETS] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < SOCKETS; i++) {
		int fd = datagram_bind(l->config.route, families[i], port);

		if (fd < 0 && errno == EADDRINUSE)
			return false;
		if (fd >= 0)
			close(fd);
	}
	return true;
}

/* Both families on one port; a machine may have only one of them. */
static bool
bind_port(struct listener *l, uint16_t port, int *sys)
{
	int sys6 = 0;

	l->sockets[0] = bind_one(l, AF_INET, port, sys);
	if (l->sockets[0] < 0 && *sys != EAFNOSUPPORT)
		return false;
	if (l->sockets[0] >= 0)
		port = datagram_port(l->sockets[0]);
	l->sockets[1] = bind_one(l, AF_INET6, port, &sys6);
	if (l->sockets[1] < 0 && sys6 == EADDRINUSE) {
		close(l->sockets[0]);
		l->sockets[0] = -1;
		*sys = sys6;
		return false;
	}
	if (l->sockets[0] < 0 && l->sockets[1] < 0)
		return false;
	l->port = datagram_port(l->sockets[0] >= 0 ? l->sockets[0]
						: l->sockets[1]);
	return true;
}

/* After the route has changed. */
static void
bind_again(struct listener *l)
{
	static const int families[SOCKETS] = {AF_INET, AF_INET6};
	int sys = 0;

	if (!atomic_exchange(&l->rebind, false) || l->port == 0)
		return;
	for (size_t i = 0; i < SOCKETS; i++) {
		if (l->sockets[i] >= 0)
			close(l->sockets[i]);
		l->sockets[i] = bind_one(l, families[i], l->port, &sys);
		if (l->sockets[i] < 0 && sys == EADDRINUSE)
			log_write(l->log, LOG_WARNING, NULL, "port %u is "
				  "taken: nobody can connect to us", l->port);
	}
}

#define PORTS_FROM 49152	/* those that nobody registers */
#define PORTS 16384
#define ANY_PORT_TRIES 16	/* IPv6 may have the one that IPv4 got */

/* It is away just now: the port is chosen, and bound when it is back. */
static void
wait_for_interface(struct listener *l)
{
	l->port = l->config.port_min;
	if (l->port == 0)
		l->port = (uint16_t)(PORTS_FROM + random_u64() % PORTS);
}

/* The first free one.  One that only UDP has not got is better than none. */
static bool
bind_first(struct listener *l, bool for_udp, int *sys)
{
	uint32_t min = l->config.port_min, max = l->config.port_max;
	bool any = max == 0;

	if (any)
		max = min + ANY_PORT_TRIES;
	for (uint32_t port = min; port <= max; port++)
		if ((!for_udp || any || is_free_for_udp(l, (uint16_t)port)) &&
		    bind_port(l, any ? 0 : (uint16_t)port, sys))
			return true;
	return false;
}

static int
bind_range(struct listener *l, struct error *e)
{
	uint32_t min = l->config.port_min, max = l->config.port_max;
	int sys = 0;

	if ((l->config.udp && bind_first(l, true, &sys)) ||
	    bind_first(l, false, &sys))
		return 0;
	if (sys == ENETDOWN && l->config.route) {
		wait_for_interface(l);
		return 0;
	}
	if (min == max)
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
	l->config.dials_max = at_most(config->dials_max, LISTENER_DIALS_MAX);
	l->config.waiting_max = at_most(config->waiting_max,
					LISTENER_WAITING_MAX);
	l->log = log;
	l->sockets[0] = l->sockets[1] = -1;
	mutex_init(&l->lock);
	if (wake_init(&l->wake, e) < 0 ||
	    (!config->proxy && !config->deaf && bind_range(l, e) < 0)) {
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
	while (l->taken_count > 0)
		close(l->taken[--l->taken_count].fd);
	free(l->names);
	wake_release(&l->wake);
	mutex_release(&l->lock);
	free(l);
}

uint16_t
listener_port(const struct listener *l)
{
	return l->port;
}

void
listener_rebind(struct listener *l)
{
	atomic_store(&l->rebind, true);
	wake_up(&l->wake);
}

void
listener_take(struct listener *l, int fd, const struct addr *from)
{
	bool full;

	mutex_lock(&l->lock);
	full = l->taken_count == TAKEN_MAX;
	if (!full)
		l->taken[l->taken_count++] = (struct pending){
			.fd = fd, .addr = *from, .events = POLLIN};
	mutex_unlock(&l->lock);
	if (full)
		close(fd);
	else
		wake_up(&l->wake);
}

/* ---- accepting ---- */

static void
waiting_drop(struct listener *l, size_t i)
{
	close(l->waiting[i].fd);
	mse_free(l->waiting[i].mse);
	pending_drop(l->waiting, &l->waiting_count, i);
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
accept_taken(struct listener *l, int64_t now)
{
	struct pending taken[TAKEN_MAX];
	size_t n;

	mutex_lock(&l->lock);
	n = l->taken_count;
	memcpy(taken, l->taken, n * sizeof(*taken));
	l->taken_count = 0;
	mutex_unlock(&l->lock);
	for (size_t i = 0; i < n; i++) {
		if (l->waiting_count == l->config.waiting_max)
			waiting_drop(l, 0);
		taken[i].since = now;
		l->waiting[l->waiting_count++] = taken[i];
	}
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
	pending_drop(l->waiting, &l->waiting_count, i);
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
	if (l->config.mse.library &&
	    !handshake_is_plain(prefix, sizeof(prefix))) {
		begin_shake(l, i);
		return;
	}
	pending_drop(l->waiting, &l->waiting_count, i);
	low_water(p.fd, 1);
	l->config.events.incoming(l->config.events.ctx, p.fd, &p.addr, prefix);
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
					      .events = l->dials[i].events};
	return n;
}

static int64_t
next_due(struct listener *l, int64_t now)
{
	int64_t due = listener_dial_due(l, now);

	if (l->waiting_count > 0)
		due = clock_min(due, l->waiting[0].since + SPEAK_TIMEOUT);
	if (l->accept_at > now)
		due = clock_min(due, l->accept_at);
	return due;
}

/* From the last to the first, so that the indexes before stay right. */
static void
serve_ready(struct listener *l, size_t waiting, size_t dials)
{
	const struct pollfd *fds = l->fds + 1 + SOCKETS;

	for (size_t i = dials; i-- > 0;)
		if (fds[waiting + i].revents)
			listener_dial_ready(l, i);
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
	listener_dial_expire(l, now);
}

static void
run(void *arg)
{
	struct listener *l = arg;

	while (!atomic_load(&l->stop)) {
		int64_t now = clock_ns();
		size_t waiting = l->waiting_count, dials = l->dial_count;
		size_t n;

		bind_again(l);
		n = fill_fds(l, now);
		if (poll(l->fds, n, clock_poll_ms(now, next_due(l, now))) < 0)
			continue;
		now = clock_ns();
		serve_ready(l, waiting, dials);
		if (l->fds[0].revents)
			wake_drain(&l->wake);
		listener_dial_forget(l);
		accept_taken(l, now);
		for (size_t i = 0; i < SOCKETS; i++)
			if (l->fds[1 + i].revents)
				accept_some(l, l->sockets[i], now);
		expire(l, now);
		listener_dial_wishes(l, now);
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
		listener_dial_drop(l, l->dial_count - 1);
}
