/*
 * Peers that nobody keeps a list of: the DHT and local discovery, which the
 * udp thread asks for us.  Never for private torrents (BEP 27).
 */
#include <string.h>

#include "base/clock.h"
#include "discover/peerlist.h"
#include "meta/metainfo.h"
#include "session/torrent_parts.h"
#include "session/udp.h"

#define HOSTS_MAX 16		/* nodes that a .torrent names */

static bool
is_private(const struct torrent *t)
{
	return t->meta && t->meta->private;
}

void
torrent_seek_init(struct torrent *t)
{
	uint16_t port = 0;

	if (t->env.udp && t->env.config->use_dht && !is_private(t))
		port = udp_port(t->env.udp);
	atomic_store(&t->swarm.dht_port, port);
}

static void
add_hosts(struct torrent *t)
{
	const struct metainfo *m = t->meta;

	if (t->hosts_told || !m || !t->env.config->use_dht)
		return;
	t->hosts_told = true;
	for (uint32_t i = 0; i < m->node_count && i < HOSTS_MAX; i++)
		udp_add_host(t->env.udp, m->nodes[i].host, m->nodes[i].port);
}

void
torrent_seek(struct torrent *t)
{
	struct udp_wish wish = {
		.port = atomic_load(&t->swarm.port),
		.port6 = atomic_load(&t->swarm.port6),
		.seed = torrent_phase(t) == PHASE_SEEDING,
		.dht = t->env.config->use_dht,
		.lsd = t->env.config->use_lsd,
	};

	if (!t->env.udp || is_private(t) || (!wish.dht && !wish.lsd))
		return;
	atomic_store(&t->seeking, true);
	for (int v = 0; v < TORRENT_VERSIONS; v++) {
		const uint8_t *hash = torrent_hash(t, (enum torrent_version)v);

		if (!hash)
			continue;
		memcpy(wish.info_hash, hash, sizeof(wish.info_hash));
		udp_search(t->env.udp, &wish);
	}
	add_hosts(t);
}

void
torrent_seek_stop(struct torrent *t)
{
	if (!atomic_exchange(&t->seeking, false))
		return;
	for (int v = 0; v < TORRENT_VERSIONS; v++) {
		const uint8_t *hash = torrent_hash(t, (enum torrent_version)v);

		if (hash)
			udp_forget(t->env.udp, hash);
	}
}

/* The metadata of a magnet link may say that it is private. */
void
torrent_seek_judge(struct torrent *t)
{
	if (!is_private(t))
		return;
	atomic_store(&t->swarm.private, true);
	atomic_store(&t->swarm.dht_port, 0);
	torrent_seek_stop(t);
}

void
torrent_found(struct torrent *t, const uint8_t info_hash[20],
	      enum udp_source source, const struct addr *peers, size_t n)
{
	unsigned flags = torrent_is(t, info_hash, NULL) ? 0 : PEERLIST_V2;
	enum peer_source from = source == UDP_LSD ? PEER_LSD : PEER_DHT;
	int64_t now = clock_ns();
	size_t news = 0;

	if (!atomic_load(&t->seeking))
		return;
	for (size_t i = 0; i < n; i++)
		news += peerlist_add(t->peerlist, &peers[i], from, flags, now);
	if (news == 0)
		return;
	log_write(t->env.log, LOG_DEBUG, t->name, "new peers by %s: %zu",
		  source == UDP_LSD ? "local discovery" : "the DHT", news);
	wake_up(t->env.wake);
}

const char *
torrent_seek_explain(const struct torrent *t)
{
	if (!atomic_load(&t->seeking) || !t->env.config->use_dht)
		return "no peers";
	return udp_nodes(t->env.udp) == 0 ? "no peers: the DHT does not answer"
					  : "no peers, in the DHT neither";
}
