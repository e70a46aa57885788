/*
 * dht: a node of the distributed hash table, without its socket.
 *
 * Datagrams go out through a callback and come in through dht_packet; time
 * and randomness are given.  One engine holds both networks, IPv4's and
 * IPv6's, each with a table and an id of its own (BEP 42 ties an id to an
 * address).  It finds its way in from nodes that it is told (dht_add_node)
 * or had before (dht_load), keeps its tables alive, looks for the peers of
 * the torrents it is asked to, announces us to the nodes closest to them
 * each 15 minutes, and answers others.
 *
 * It is polite, and hard to abuse: queries and answers have a budget of
 * bytes each, a source that asks too often is not answered for a while,
 * hosts that lie are left alone for an hour, and nothing grows without
 * bound.  A node of the Internet cannot name addresses of our local network.
 *
 * Ownership: packets and lists are borrowed for the call.
 * Threads:   one thread's.  Callbacks come from within the calls; they must
 *            not call the engine.
 * Units:     times are clock_ns.
 * Source:    BEP 5, 32, 33 (seed, noseed), 42, 43.
 */
#ifndef BTGET_DISCOVER_DHT_H
#define BTGET_DISCOVER_DHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/clock.h"

#define DHT_SEARCHES_MAX 1000
#define DHT_ANNOUNCE_EVERY (15 * 60 * CLOCK_S)
#define DHT_SAVE_MAX 8192	/* bytes of dht_save at most */

struct dht;

struct dht_config {
	void *ctx;
	void (*send)(void *ctx, const struct addr *to, const void *data,
		     size_t n);
	/* Peers of a torrent that is searched for, as they come. */
	void (*peers)(void *ctx, const uint8_t info_hash[20],
		      const struct addr *peers, size_t n);
	/* Unpredictable bytes; NULL: base/hash's. */
	void (*random)(void *ctx, void *out, size_t n);
	bool ipv4;
	bool ipv6;
};

struct dht_stats {
	size_t good;		/* nodes, of both tables */
	size_t nodes;
	size_t searches;
	size_t lookups;		/* under way */
	size_t stored;		/* peers that others announced to us */
	size_t banned;		/* hosts that lied or asked too often */
	int64_t silent_since;	/* when the first of many queries was sent
				 * that nobody answers any more; CLOCK_NEVER:
				 * few, or nobody ever did */
	uint64_t sent_bytes;
	uint64_t received_bytes;
	/* Of the last lookup for a torrent. */
	unsigned lookup_queries;
	unsigned lookup_depth;
};

struct dht *dht_new(const struct dht_config *config, int64_t now);
void dht_free(struct dht *d);

/* A datagram that came. */
void dht_packet(struct dht *d, const struct addr *from, const void *data,
		size_t n, int64_t now);

/* Does what is due; call it when dht_due says so, and after any other call
 * ask anew. */
void dht_tick(struct dht *d, int64_t now);
int64_t dht_due(const struct dht *d);

/* An address where a node may be: asked only while it is useful. */
void dht_add_node(struct dht *d, const struct addr *a, int64_t now);

/* True while no node has answered, and nobody is left to ask or they have
 * had their time: then other ways in are wanted, such as public routers. */
bool dht_lonely(const struct dht *d, int64_t now);

struct dht_wish {
	uint8_t info_hash[20];
	uint16_t port;		/* to announce, or 0 to only search; */
	uint16_t port6;		/* the same in the network of IPv6 */
	bool seed;
};

/* Looks for peers from now on; again: changes the wish.  -1 when there are
 * too many or out of memory. */
int dht_search(struct dht *d, const struct dht_wish *wish, int64_t now);
void dht_stop_search(struct dht *d, const uint8_t info_hash[20]);

/* The network is there again: the way in, and searches that few nodes have
 * answered, are due. */
void dht_hurry(struct dht *d, int64_t now);

/* The machine was suspended for so long: who keeps our announcements counts
 * that. */
void dht_slept(struct dht *d, int64_t ns, int64_t now);

/* Our address as others see it, once enough of them agree. */
bool dht_external(const struct dht *d, int family, struct addr *out);

/* The router lets our port in, or no longer. */
void dht_mapped(struct dht *d, int family, bool mapped, int64_t now);

/* Nobody seems to reach us in this network, so we say that we are read-only
 * and answer nobody (discover/dht_reach). */
bool dht_read_only(const struct dht *d, int family);

void dht_get_stats(const struct dht *d, int64_t now, struct dht_stats *out);

/* The nodes worth keeping, and our addresses; bencoded. */
int dht_save(const struct dht *d, int64_t now, struct buffer *out);
/* -1 when it is nothing that dht_save has written. */
int dht_load(struct dht *d, const void *data, size_t n, int64_t now);

#endif
