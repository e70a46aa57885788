#include "session/udp.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/sync.h"
#include "discover/blocklist.h"
#include "discover/dht.h"
#include "discover/lsd.h"
#include "net/datagram.h"
#include "net/datagram_batch.h"
#include "net/multicast.h"
#include "net/names.h"
#include "net/resolve.h"
#include "session/utp_link.h"
#include "udp_parts.h"

#define DATAGRAM_MAX 2048
#define BATCH 64		/* datagrams of a group at a time */
#define QUEUE_MAX 4096
#define QUEUE_NODES_MAX 256	/* of it; peers may be many, and lie */

/* ---- sockets ---- */

static int
bind_one(const struct udp *u, int family, uint16_t port)
{
	int fd = datagram_bind_near(u->config.route, family, port);

	if (fd >= 0 && u->config.utp)
		datagram_batch_tune(fd, family);
	return fd;
}

/* TCP's number, so that one mapping serves both; else any. */
static int
bind_all(struct udp *u, struct error *e)
{
	uint16_t port = u->config.port;

	for (int i = 0; i < FAMILIES; i++) {
		u->sockets[i] = bind_one(u, udp_family(i), port);
		if (u->sockets[i] >= 0 && u->port == 0)
			port = u->port = datagram_port(u->sockets[i]);
	}
	/* The interface is away just now; bind_again will do it. */
	if (u->port == 0 && u->config.route && errno == ENETDOWN)
		u->port = port;
	if (u->port == 0)
		return error_sys(e, ERROR_NETWORK, errno,
				 "cannot open a UDP socket");
	return 0;
}

/* ---- local discovery ---- */

static void
lsd_send(void *ctx, int family, const void *data, size_t n)
{
	const struct udp *u = ctx;
	struct addr group = lsd_group(family);
	int fd = u->groups[family == AF_INET6];

	if (fd < 0)
		return;
	/* Interfaces come and go. */
	(void)multicast_join(u->config.route, fd, &group);
	(void)multicast_send(u->config.route, fd, &group, data, n);
}

static void
lsd_found(void *ctx, const uint8_t info_hash[20], const struct addr *peer)
{
	const struct udp *u = ctx;

	u->config.events.found(u->config.events.ctx, info_hash, UDP_LSD, peer,
			       1);
}

static void
open_groups(struct udp *u)
{
	struct error e;

	for (int i = 0; i < FAMILIES; i++) {
		struct addr group = lsd_group(udp_family(i));

		if (u->groups[i] >= 0)
			close(u->groups[i]);
		u->groups[i] = multicast_open(u->config.route, &group, &e);
		if (u->groups[i] >= 0)
			(void)multicast_join(u->config.route, u->groups[i],
					     &group);
		else
			log_write(u->log, LOG_DETAIL, NULL,
				  "local discovery: %s", e.text);
	}
}

/* Those who hear it are on this side of the router. */
static bool
need_lsd(struct udp *u)
{
	struct lsd_config config = {.ctx = u, .send = lsd_send,
				    .found = lsd_found,
				    .port = u->config.port ? u->config.port
							   : u->port,
				    .cookie = random_u64()};

	if (u->lsd || !u->config.lsd)
		return u->lsd != NULL;
	u->lsd = lsd_new(&config);
	if (u->lsd)
		open_groups(u);
	return u->lsd != NULL;
}

/* After the route has changed.  The DHT keeps the number it has told. */
static void
bind_again(struct udp *u)
{
	if (!atomic_exchange(&u->rebind, false))
		return;
	for (int i = 0; i < FAMILIES; i++) {
		if (u->sockets[i] >= 0)
			close(u->sockets[i]);
		u->sockets[i] = bind_one(u, udp_family(i), u->port);
	}
	if (u->lsd)
		open_groups(u);
}

/* ---- what is told to the thread ---- */

int
udp_tell(struct udp *u, const struct command *c)
{
	int status = -1;
	bool node = c->order == ORDER_NODE || c->order == ORDER_HOST;

	mutex_lock(&u->lock);
	if (u->queued == QUEUE_MAX ||
	    (node && u->queued_nodes == QUEUE_NODES_MAX))
		goto out;
	if (u->queued == u->queue_size) {
		size_t size = u->queue_size ? u->queue_size * 2 : 8;
		struct command *more =
		    realloc(u->queue, size * sizeof(*more));

		if (!more)
			goto out;
		u->queue = more;
		u->queue_size = size;
	}
	u->queue[u->queued++] = *c;
	u->queued_nodes += node;
	status = 0;
out:
	mutex_unlock(&u->lock);
	wake_up(&u->wake);
	return status;
}

static void
obey_search(struct udp *u, const struct udp_wish *w, int64_t now)
{
	struct dht_wish wish = {.port = w->port, .port6 = w->port6,
				.seed = w->seed};

	memcpy(wish.info_hash, w->info_hash, sizeof(wish.info_hash));
	if (w->dht && udp_dht_need(u, now) && dht_search(u->dht, &wish, now) < 0)
		log_write(u->log, LOG_DETAIL, NULL,
			  "too many torrents for the DHT");
	if (w->lsd && need_lsd(u) &&
	    lsd_add(u->lsd, w->info_hash, now) < 0)
		log_write(u->log, LOG_DETAIL, NULL,
			  "too many torrents for local discovery");
}

static void
obey(struct udp *u, const struct command *c, int64_t now)
{
	switch (c->order) {
	case ORDER_SEARCH:
		obey_search(u, &c->wish, now);
		break;
	case ORDER_FORGET:
		if (u->dht)
			dht_stop_search(u->dht, c->wish.info_hash);
		if (u->lsd)
			lsd_remove(u->lsd, c->wish.info_hash);
		break;
	case ORDER_NODE:
		if (u->dht && !blocklist_has(u->config.blocklist, &c->node))
			dht_add_node(u->dht, &c->node, now);
		break;
	case ORDER_HOST:
		if (udp_dht_need(u, now))
			udp_dht_resolve(u, &c->host, 1);
		break;
	case ORDER_DIAL:
		udp_utp_dial(u, c, now);
		break;
	case ORDER_MAPPED:
		u->mapped = c->mapped;
		if (u->dht)
			dht_mapped(u->dht, AF_INET, u->mapped, now);
		break;
	case ORDER_HURRY:
		if (u->dht)
			udp_dht_hurry(u, now);
		break;
	case ORDER_SLEPT:
		if (u->dht)
			dht_slept(u->dht, c->slept_ns, now);
		break;
	}
}

static void
obey_all(struct udp *u, int64_t now)
{
	struct command *queue;
	size_t n;

	mutex_lock(&u->lock);
	queue = u->queue;
	n = u->queued;
	u->queue = NULL;
	u->queued = u->queue_size = u->queued_nodes = 0;
	mutex_unlock(&u->lock);
	for (size_t i = 0; i < n; i++)
		obey(u, &queue[i], now);
	free(queue);
}

/* ---- the loop ---- */

static void
take_announces(struct udp *u, int fd)
{
	uint8_t data[DATAGRAM_MAX];
	struct addr from;

	for (int i = 0; i < BATCH; i++) {
		ssize_t n = datagram_receive(fd, data, sizeof(data), &from);

		if (n < 0)
			return;
		if (n == 0 || blocklist_has(u->config.blocklist, &from))
			continue;
		lsd_packet(u->lsd, &from, data, (size_t)n, clock_ns());
	}
}

/* Does what is due, and returns when something is again. */
static int64_t
beat(struct udp *u)
{
	int64_t now = clock_ns(), due = CLOCK_NEVER;

	bind_again(u);
	obey_all(u, now);
	if (u->lsd) {
		lsd_tick(u->lsd, now);
		due = lsd_due(u->lsd);
	}
	if (u->dht)
		due = clock_min(due, udp_dht_beat(u, now));
	if (u->link) {
		udp_utp_serve(u, clock_ns());
		due = clock_min(due, utp_link_due(u->link));
	}
	if (atomic_load(&u->stop))
		due = clock_min(due, u->linger_until);
	return due;
}

/* The wake fd, the resolver's, the sockets; and the ends of socket pairs. */
#define FIXED (2 + 2 * FAMILIES)

static size_t
fill_fds(struct udp *u, struct pollfd *own, struct pollfd **out)
{
	struct pollfd *fds = NULL;
	size_t n = FIXED;

	if (u->link && !u->stuck)
		fds = utp_link_poll(u->link, FIXED, &n);
	if (!fds) {
		fds = own;
		n = FIXED;
	}
	fds[0] = (struct pollfd){.fd = u->wake.fd, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = resolver_fd(u->resolver),
				 .events = POLLIN};
	for (int i = 0; i < FAMILIES; i++) {
		fds[2 + i] = (struct pollfd){.fd = u->sockets[i],
					     .events = POLLIN};
		/* The other one takes more, and would end each poll. */
		if (u->stuck &&
		    datagram_batch_waits_for(u->batch, udp_family(i)))
			fds[2 + i].events |= POLLOUT;
		fds[2 + FAMILIES + i] = (struct pollfd){.fd = u->groups[i],
							.events = POLLIN};
	}
	*out = fds;
	return n;
}

static void
take_ready(struct udp *u, const struct pollfd *fds, size_t n)
{
	if (fds[0].revents)
		wake_drain(&u->wake);
	if (fds[1].revents)
		resolver_run(u->resolver);
	if (u->link)
		utp_link_ready(u->link, fds + FIXED, n - FIXED, clock_ns());
	for (int i = 0; i < FAMILIES; i++) {
		if (fds[2 + i].revents & (POLLIN | POLLERR))
			udp_read(u, u->sockets[i]);
		if (fds[2 + FAMILIES + i].revents)
			take_announces(u, u->groups[i]);
	}
}

static void
run(void *arg)
{
	struct udp *u = arg;

	while (!atomic_load(&u->stop) || !udp_utp_done(u, clock_ns())) {
		int64_t due = beat(u);
		struct pollfd own[FIXED], *fds;
		size_t n = fill_fds(u, own, &fds);

		if (poll(fds, n, clock_poll_ms(clock_ns(), due)) > 0)
			take_ready(u, fds, n);
	}
	udp_dht_save(u, clock_ns());
}

/* ---- for others ---- */

struct udp *
udp_new(const struct udp_config *config, struct log *log, struct error *e)
{
	struct udp *u = calloc(1, sizeof(*u));

	if (!u) {
		error_memory(e);
		return NULL;
	}
	u->config = *config;
	u->log = log;
	u->silent_since = CLOCK_NEVER;
	if (config->cache &&
	    snprintf(u->path, sizeof(u->path), "%s/dht.dat", config->cache) >=
		(int)sizeof(u->path))
		u->path[0] = '\0';
	u->wake.fd = -1;
	for (int i = 0; i < FAMILIES; i++)
		u->sockets[i] = u->groups[i] = -1;
	mutex_init(&u->lock);
	if (wake_init(&u->wake, e) < 0 || bind_all(u, e) < 0 ||
	    udp_utp_begin(u, e) < 0)
		goto fail;
	u->resolver = resolver_new(e);
	if (!u->resolver)
		goto fail;
	resolver_set_route(u->resolver, config->route);
	u->names = names_new(u->resolver, u, udp_dht_found, u, e);
	if (!u->names)
		goto fail;
	return u;
fail:
	udp_free(u);
	return NULL;
}

int
udp_start(struct udp *u, struct error *e)
{
	return thread_start(&u->thread, "udp", THREAD_STACK_SMALL, run, u, e);
}

void
udp_stop(struct udp *u)
{
	atomic_store(&u->stop, true);
	wake_up(&u->wake);
	thread_join(&u->thread);
}

void
udp_free(struct udp *u)
{
	if (!u)
		return;
	udp_utp_release(u);
	names_free(u->names);
	resolver_free(u->resolver);
	dht_free(u->dht);
	lsd_free(u->lsd);
	for (int i = 0; i < FAMILIES; i++) {
		if (u->sockets[i] >= 0)
			close(u->sockets[i]);
		if (u->groups[i] >= 0)
			close(u->groups[i]);
	}
	free(u->queue);
	wake_release(&u->wake);
	mutex_release(&u->lock);
	free(u);
}

uint16_t
udp_port(const struct udp *u)
{
	return u->port;
}

void
udp_rebind(struct udp *u)
{
	atomic_store(&u->rebind, true);
	wake_up(&u->wake);
}

void
udp_search(struct udp *u, const struct udp_wish *wish)
{
	struct command c = {.order = ORDER_SEARCH, .wish = *wish};

	(void)udp_tell(u, &c);
}

void
udp_forget(struct udp *u, const uint8_t info_hash[20])
{
	struct command c = {.order = ORDER_FORGET};

	memcpy(c.wish.info_hash, info_hash, sizeof(c.wish.info_hash));
	(void)udp_tell(u, &c);
}

void
udp_add_node(struct udp *u, const struct addr *node)
{
	struct command c = {.order = ORDER_NODE, .node = *node};

	(void)udp_tell(u, &c);
}

void
udp_add_host(struct udp *u, const char *host, uint16_t port)
{
	struct command c = {.order = ORDER_HOST, .host.port = port};
	size_t n = strlen(host);

	if (n >= sizeof(c.host.host))
		return;
	memcpy(c.host.host, host, n + 1);
	(void)udp_tell(u, &c);
}

void
udp_mapped(struct udp *u, bool mapped)
{
	struct command c = {.order = ORDER_MAPPED, .mapped = mapped};

	(void)udp_tell(u, &c);
}

void
udp_hurry(struct udp *u)
{
	struct command c = {.order = ORDER_HURRY};

	(void)udp_tell(u, &c);
}

void
udp_slept(struct udp *u, int64_t ns)
{
	struct command c = {.order = ORDER_SLEPT, .slept_ns = ns};

	(void)udp_tell(u, &c);
}

size_t
udp_nodes(const struct udp *u)
{
	return atomic_load(&u->good);
}

int64_t
udp_silent_since(const struct udp *u)
{
	return atomic_load(&u->silent_since);
}
