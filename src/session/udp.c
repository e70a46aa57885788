#include "session/udp.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/sync.h"
#include "discover/blocklist.h"
#include "discover/dht.h"
#include "discover/dht_cache.h"
#include "discover/lsd.h"
#include "net/datagram.h"
#include "net/iface.h"
#include "net/multicast.h"
#include "net/resolve.h"

#define FAMILIES 2		/* IPv4, IPv6 */
#define DATAGRAM_MAX 2048
#define BATCH 64		/* datagrams of a socket at a time */
#define QUEUE_MAX 4096
#define QUEUE_NODES_MAX 256	/* of it; peers may be many, and lie */
#define SAVE_EVERY (30 * 60 * CLOCK_S)
#define ROUTERS_AGAIN (30 * CLOCK_S)
#define ROUTERS_LONGEST (15 * 60 * CLOCK_S)

static const struct session_peer routers[] = {
    {"dht.libtorrent.org", 25401},
    {"dht.transmissionbt.com", 6881},
    {"router.bittorrent.com", 6881},
};

enum order {
	ORDER_SEARCH,
	ORDER_FORGET,
	ORDER_NODE,
	ORDER_HOST,
	ORDER_MAPPED,
};

struct command {
	enum order order;
	struct udp_wish wish;
	struct addr node;
	struct session_peer host;
	bool mapped;
};

struct udp {
	struct udp_config config;
	struct log *log;
	struct thread thread;
	struct wake wake;
	_Atomic bool stop;
	_Atomic bool rebind;	/* the route has changed */
	_Atomic size_t good;
	char path[PATH_MAX];	/* of the list of nodes, or "" */
	uint16_t port;
	int sockets[FAMILIES];	/* -1 where there is none */

	struct mutex lock;
	struct command *queue;	/* guarded by lock */
	size_t queued;		/* guarded by lock */
	size_t queue_size;	/* guarded by lock */
	size_t queued_nodes;	/* guarded by lock */

	/* The thread's own. */
	struct resolver *resolver;
	struct dht *dht;	/* NULL before it is needed */
	struct lsd *lsd;	/* the same */
	int groups[FAMILIES];
	int64_t routers_at;	/* not before */
	int64_t routers_wait;
	int64_t save_at;
	bool mapped;		/* the port, by the router */
	bool read_only[FAMILIES];	/* as was said last */
};

/* ---- sockets ---- */

static int
family_of(int i)
{
	return i == 0 ? AF_INET : AF_INET6;
}

/* TCP's number, so that one mapping serves both; else any. */
static int
bind_all(struct udp *u, struct error *e)
{
	uint16_t port = u->config.port;

	for (int i = 0; i < FAMILIES; i++) {
		u->sockets[i] = datagram_bind_near(u->config.route,
						   family_of(i), port);
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

/* ---- the DHT ---- */

static void
dht_send(void *ctx, const struct addr *to, const void *data, size_t n)
{
	const struct udp *u = ctx;
	int fd = u->sockets[to->family == AF_INET6];

	if (fd >= 0 && !blocklist_has(u->config.blocklist, to))
		datagram_send(fd, to, data, n);
}

static void
dht_peers(void *ctx, const uint8_t info_hash[20], const struct addr *peers,
	  size_t n)
{
	const struct udp *u = ctx;

	u->config.events.found(u->config.events.ctx, info_hash, UDP_DHT,
			       peers, n);
}

static void
load_nodes(struct udp *u, int64_t now)
{
	struct buffer data;
	struct error e;

	if (!u->path[0])
		return;
	buffer_init(&data, DHT_SAVE_MAX);
	if (dht_cache_read(u->path, &data, &e) < 0)
		log_write(u->log, LOG_DETAIL, NULL, "%s", e.text);
	else if (data.used > 0 &&
		 dht_load(u->dht, data.data, data.used, now) < 0)
		log_write(u->log, LOG_DETAIL, NULL,
			  "'%s' holds no nodes of the DHT", u->path);
	buffer_release(&data);
}

static void
save_nodes(struct udp *u, int64_t now)
{
	struct dht_stats stats;
	struct buffer data;
	struct error e;

	u->save_at = now + SAVE_EVERY;
	if (!u->path[0] || !u->dht)
		return;
	dht_get_stats(u->dht, now, &stats);
	if (stats.good == 0)
		return;		/* what was saved before is worth more */
	buffer_init(&data, DHT_SAVE_MAX);
	if (dht_save(u->dht, now, &data) == 0 &&
	    dht_cache_write(u->path, data.data, data.used, &e) < 0)
		log_write(u->log, LOG_DETAIL, NULL, "%s", e.text);
	buffer_release(&data);
}

static void
on_resolved(void *ctx, const struct addr *addrs, size_t count,
	    const struct error *e)
{
	struct udp *u = ctx;

	if (count == 0)
		log_write(u->log, LOG_DETAIL, NULL, "DHT: %s", e->text);
	for (size_t i = 0; i < count; i++)
		dht_add_node(u->dht, &addrs[i], clock_ns());
}

static void
resolve_all(struct udp *u, const struct session_peer *hosts, size_t n)
{
	struct error e;

	for (size_t i = 0; i < n; i++)
		if (resolver_start(u->resolver, hosts[i].host, hosts[i].port,
				   on_resolved, u, &e) == 0)
			log_write(u->log, LOG_DETAIL, NULL, "DHT: %s", e.text);
}

static bool
need_dht(struct udp *u, int64_t now)
{
	struct dht_config config = {.ctx = u, .send = dht_send,
				    .peers = dht_peers,
				    .ipv4 = u->sockets[0] >= 0,
				    .ipv6 = u->sockets[1] >= 0};

	if (u->dht || !u->config.dht)
		return u->dht != NULL;
	u->dht = dht_new(&config, now);
	if (!u->dht) {
		log_write(u->log, LOG_WARNING, NULL,
			  "no DHT: out of memory");
		u->config.dht = false;
		return false;
	}
	dht_mapped(u->dht, AF_INET, u->mapped, now);
	load_nodes(u, now);
	resolve_all(u, u->config.nodes, u->config.node_count);
	u->save_at = now + SAVE_EVERY;
	u->routers_at = now;
	u->routers_wait = ROUTERS_AGAIN;
	return true;
}

/* Nobody answers: the routers are asked, again and again but ever less. */
static void
ask_routers(struct udp *u, int64_t now)
{
	if (now < u->routers_at || !dht_lonely(u->dht, now))
		return;
	u->routers_at = now + u->routers_wait;
	u->routers_wait = clock_min(2 * u->routers_wait, ROUTERS_LONGEST);
	if (u->config.node_count > 0)
		resolve_all(u, u->config.nodes, u->config.node_count);
	else
		resolve_all(u, routers, sizeof(routers) / sizeof(*routers));
}

static void
tell_read_only(struct udp *u)
{
	for (int i = 0; i < FAMILIES; i++) {
		bool now = dht_read_only(u->dht, family_of(i));

		if (now != u->read_only[i])
			log_write(u->log, LOG_DETAIL, NULL,
				  "DHT: %s over IPv%d%s",
				  now ? "nobody reaches us" : "a full node",
				  i == 0 ? 4 : 6, now ? ", read-only" : "");
		u->read_only[i] = now;
	}
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
		struct addr group = lsd_group(family_of(i));

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
				    .port = u->config.port,
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
		u->sockets[i] = datagram_bind_near(u->config.route,
						   family_of(i), u->port);
	}
	if (u->lsd)
		open_groups(u);
}

/* ---- what is told to the thread ---- */

static void
tell(struct udp *u, const struct command *c)
{
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
out:
	mutex_unlock(&u->lock);
	wake_up(&u->wake);
}

static void
obey_search(struct udp *u, const struct udp_wish *w, int64_t now)
{
	struct dht_wish wish = {.port = w->port, .seed = w->seed};

	memcpy(wish.info_hash, w->info_hash, sizeof(wish.info_hash));
	if (w->dht && need_dht(u, now) && dht_search(u->dht, &wish, now) < 0)
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
		if (need_dht(u, now))
			resolve_all(u, &c->host, 1);
		break;
	case ORDER_MAPPED:
		u->mapped = c->mapped;
		if (u->dht)
			dht_mapped(u->dht, AF_INET, u->mapped, now);
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
take_datagrams(struct udp *u, int fd, bool group)
{
	uint8_t data[DATAGRAM_MAX];
	struct addr from;

	for (int i = 0; i < BATCH; i++) {
		ssize_t n = datagram_receive(fd, data, sizeof(data), &from);

		if (n < 0)
			return;
		if (n == 0 || blocklist_has(u->config.blocklist, &from))
			continue;
		if (group)
			lsd_packet(u->lsd, &from, data, (size_t)n, clock_ns());
		else if (u->dht)
			dht_packet(u->dht, &from, data, (size_t)n, clock_ns());
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
	if (u->dht) {
		struct dht_stats stats;

		dht_tick(u->dht, now);
		tell_read_only(u);
		ask_routers(u, now);
		if (now >= u->save_at)
			save_nodes(u, now);
		dht_get_stats(u->dht, now, &stats);
		atomic_store(&u->good, stats.good);
		due = clock_min(due, dht_due(u->dht));
		due = clock_min(due, u->save_at);
		if (stats.good == 0 && u->routers_at > now)
			due = clock_min(due, u->routers_at);
	}
	return due;
}

static void
run(void *arg)
{
	struct udp *u = arg;

	while (!atomic_load(&u->stop)) {
		int64_t due = beat(u);
		struct pollfd fds[2 + 2 * FAMILIES] = {
		    {.fd = u->wake.fd, .events = POLLIN},
		    {.fd = resolver_fd(u->resolver), .events = POLLIN},
		};

		for (int i = 0; i < FAMILIES; i++) {
			fds[2 + i].fd = u->sockets[i];
			fds[2 + FAMILIES + i].fd = u->groups[i];
			fds[2 + i].events = POLLIN;
			fds[2 + FAMILIES + i].events = POLLIN;
		}
		if (poll(fds, 2 + 2 * FAMILIES,
			 clock_poll_ms(clock_ns(), due)) <= 0)
			continue;
		if (fds[0].revents)
			wake_drain(&u->wake);
		if (fds[1].revents)
			resolver_run(u->resolver);
		for (int i = 0; i < FAMILIES; i++) {
			if (fds[2 + i].revents)
				take_datagrams(u, u->sockets[i], false);
			if (fds[2 + FAMILIES + i].revents)
				take_datagrams(u, u->groups[i], true);
		}
	}
	save_nodes(u, clock_ns());
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
	if (config->cache &&
	    snprintf(u->path, sizeof(u->path), "%s/dht.dat", config->cache) >=
		(int)sizeof(u->path))
		u->path[0] = '\0';
	u->wake.fd = -1;
	for (int i = 0; i < FAMILIES; i++)
		u->sockets[i] = u->groups[i] = -1;
	mutex_init(&u->lock);
	if (wake_init(&u->wake, e) < 0 || bind_all(u, e) < 0)
		goto fail;
	u->resolver = resolver_new(e);
	if (!u->resolver)
		goto fail;
	resolver_set_route(u->resolver, config->route);
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

	tell(u, &c);
}

void
udp_forget(struct udp *u, const uint8_t info_hash[20])
{
	struct command c = {.order = ORDER_FORGET};

	memcpy(c.wish.info_hash, info_hash, sizeof(c.wish.info_hash));
	tell(u, &c);
}

void
udp_add_node(struct udp *u, const struct addr *node)
{
	struct command c = {.order = ORDER_NODE, .node = *node};

	tell(u, &c);
}

void
udp_add_host(struct udp *u, const char *host, uint16_t port)
{
	struct command c = {.order = ORDER_HOST, .host.port = port};
	size_t n = strlen(host);

	if (n >= sizeof(c.host.host))
		return;
	memcpy(c.host.host, host, n + 1);
	tell(u, &c);
}

void
udp_mapped(struct udp *u, bool mapped)
{
	struct command c = {.order = ORDER_MAPPED, .mapped = mapped};

	tell(u, &c);
}

size_t
udp_nodes(const struct udp *u)
{
	return atomic_load(&u->good);
}
