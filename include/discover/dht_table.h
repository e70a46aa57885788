/*
 * dht_table: the nodes we know, dense around our own id.
 *
 * Bucket i holds nodes whose ids share exactly i leading bits with ours, the
 * last bucket those that share more; only that one splits.  A bucket has
 * DHT_K nodes that have answered us, and as many spare ones that step in
 * when one of them goes bad.  A node is good for 15 minutes after it has
 * answered (or, having done so ever, asked), then questionable until it is
 * pinged, and bad after two failures in a row.
 *
 * Nobody gets much of the table: a host (an IPv4 address, an IPv6 /64) has
 * one node in it, a network (a /24, a /48) two in a bucket; and a node whose
 * id BEP 42 grants takes the place of one whose id it does not.  Hosts of
 * local networks are exempt.
 *
 * Pure: time and random ids are given; nothing is sent here.
 * Threads: one thread's.  Units: times are clock_ns.
 * Source:  BEP 5, 42.
 */
#ifndef BTGET_DISCOVER_DHT_TABLE_H
#define BTGET_DISCOVER_DHT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "discover/dht_id.h"

#define DHT_K 8
#define DHT_TABLE_FRESH (15 * 60 * CLOCK_S)
#define DHT_TABLE_PING_RETRY (30 * CLOCK_S)
#define DHT_TABLE_FAILURES 2	/* in a row: the node is bad */

struct dht_table;

struct dht_table_counts {
	size_t good;
	size_t nodes;		/* good, questionable and bad ones */
	size_t spare;
	size_t buckets;
};

/* NULL when out of memory. */
struct dht_table *dht_table_new(int family, const struct dht_id *self);
void dht_table_free(struct dht_table *t);

/* Our id is another one from now on: every node finds its new place. */
void dht_table_move(struct dht_table *t, const struct dht_id *self,
		    int64_t now);

/* The node sent a query; the table may want to ping it. */
void dht_table_heard(struct dht_table *t, const struct dht_node *n,
		     int64_t now);
/* The node answered a query of ours. */
void dht_table_replied(struct dht_table *t, const struct dht_node *n,
		       int64_t now);
/* The address did not answer. */
void dht_table_failed(struct dht_table *t, const struct addr *a, int64_t now);
/* Drops the nodes of this host. */
void dht_table_forget(struct dht_table *t, const struct addr *a);

/* Is there a node that is not bad? */
bool dht_table_alive(const struct dht_table *t);
/* The nodes that are not bad, closest to the target first; at most DHT_K. */
size_t dht_table_closest(const struct dht_table *t,
			 const struct dht_id *target, struct dht_node *out,
			 size_t max);

/* The node that should be pinged next, if that is due. */
bool dht_table_to_ping(struct dht_table *t, int64_t now,
		       struct dht_node *out);
/* An id to look up, because a bucket is new and not full, or has not changed
 * for long: random, moved into that bucket. */
bool dht_table_to_refresh(struct dht_table *t, int64_t now,
			  const struct dht_id *random, struct dht_id *target);
/* When one of the two has something. */
int64_t dht_table_due(const struct dht_table *t);

/* All nodes, good ones first, at most max. */
size_t dht_table_nodes(const struct dht_table *t, int64_t now,
		       struct dht_node *out, size_t max);
void dht_table_count(const struct dht_table *t, int64_t now,
		     struct dht_table_counts *out);

/* Are they the same host, the same network, in the sense above? */
bool dht_same_host(const struct addr *a, const struct addr *b);
bool dht_same_network(const struct addr *a, const struct addr *b);

#endif
