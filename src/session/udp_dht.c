/*
 * The udp thread's part in the DHT: its nodes from one run to the next, and
 * the routers for when there are none.
 */
#include <stdatomic.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "discover/blocklist.h"
#include "discover/dht.h"
#include "net/datagram.h"
#include "net/names.h"
#include "store/dht_cache.h"
#include "udp_parts.h"

#define SAVE_EVERY (30 * 60 * CLOCK_S)
#define ROUTERS_AGAIN (30 * CLOCK_S)
#define ROUTERS_LONGEST (15 * 60 * CLOCK_S)

static const struct session_peer routers[] = {
    {"dht.libtorrent.org", 25401},
    {"dht.transmissionbt.com", 6881},
    {"router.bittorrent.com", 6881},
};

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

void
udp_dht_save(struct udp *u, int64_t now)
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

void
udp_dht_found(void *ctx, const struct addr *addrs, size_t count,
	      const struct error *e, unsigned failures)
{
	struct udp *u = ctx;

	if (failures > 0)
		log_write(u->log, LOG_DETAIL, NULL, "DHT: %s", e->text);
	for (size_t i = 0; i < count; i++)
		dht_add_node(u->dht, &addrs[i], clock_ns());
}

void
udp_dht_resolve(struct udp *u, const struct session_peer *hosts, size_t n)
{
	struct error e;

	for (size_t i = 0; i < n; i++)
		if (names_add(u->names, hosts[i].host, hosts[i].port, &e) < 0)
			log_write(u->log, LOG_DETAIL, NULL, "DHT: %s", e.text);
}

bool
udp_dht_need(struct udp *u, int64_t now)
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
	udp_dht_resolve(u, u->config.nodes, u->config.node_count);
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
		udp_dht_resolve(u, u->config.nodes, u->config.node_count);
	else
		udp_dht_resolve(u, routers, sizeof(routers) / sizeof(*routers));
}

void
udp_dht_hurry(struct udp *u, int64_t now)
{
	u->routers_at = now;
	u->routers_wait = ROUTERS_AGAIN;
	names_hurry(u->names, now);
	dht_hurry(u->dht, now);
}

static void
tell_read_only(struct udp *u)
{
	for (int i = 0; i < FAMILIES; i++) {
		bool now = dht_read_only(u->dht, udp_family(i));

		if (now != u->read_only[i])
			log_write(u->log, LOG_DETAIL, NULL,
				  "DHT: %s over IPv%d%s",
				  now ? "nobody reaches us" : "a full node",
				  i == 0 ? 4 : 6, now ? ", read-only" : "");
		u->read_only[i] = now;
	}
}

/* Somebody answers, or nobody does any more. */
static void
tell_good(struct udp *u, size_t good)
{
	size_t before = atomic_exchange(&u->good, good);

	if ((good == 0) != (before == 0))
		log_write(u->log, LOG_DETAIL, NULL, "DHT: %s",
			  good > 0 ? "there are nodes that answer"
				   : "no node answers any more");
}

int64_t
udp_dht_beat(struct udp *u, int64_t now)
{
	struct dht_stats stats;
	int64_t due;

	dht_tick(u->dht, now);
	tell_read_only(u);
	ask_routers(u, now);
	if (now >= u->save_at)
		udp_dht_save(u, now);
	dht_get_stats(u->dht, now, &stats);
	tell_good(u, stats.good);
	atomic_store(&u->silent_since, stats.silent_since);
	due = clock_min(dht_due(u->dht), u->save_at);
	due = clock_min(due, names_mind(u->names, now));
	if (stats.good == 0 && u->routers_at > now)
		due = clock_min(due, u->routers_at);
	return due;
}
