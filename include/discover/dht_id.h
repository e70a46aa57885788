/*
 * dht_id: the 160-bit ids of nodes and info hashes, and their distances.
 *
 * BEP 42 ties the id of a node to its IP address, so that nobody can choose
 * a place in the network by choosing an id.  Local addresses are exempt.
 *
 * Pure values; random bytes are given.
 * Source: BEP 5, 42; Castagnoli's CRC as in RFC 3720, B.4.
 */
#ifndef BTGET_DISCOVER_DHT_ID_H
#define BTGET_DISCOVER_DHT_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define DHT_ID_SIZE 20
#define DHT_ID_BITS 160

struct dht_id {
	uint8_t raw[DHT_ID_SIZE];
};

/* A node: its id and where it listens. */
struct dht_node {
	struct dht_id id;
	struct addr addr;
};

struct dht_id dht_id_from(const uint8_t raw[DHT_ID_SIZE]);
bool dht_id_equal(const struct dht_id *a, const struct dht_id *b);

/* Below 0 when a is closer to the target than b, 0 when they are equal. */
int dht_id_compare(const struct dht_id *target, const struct dht_id *a,
		   const struct dht_id *b);

/* How many leading bits they share; DHT_ID_BITS when they are equal. */
unsigned dht_id_prefix(const struct dht_id *a, const struct dht_id *b);

/* The id in random with its first `bits` bits made those of `base`, and the
 * bit behind them made different when `differ` is true. */
struct dht_id dht_id_share(const struct dht_id *base,
			   const struct dht_id *random, unsigned bits,
			   bool differ);

/* random, made an id that BEP 42 grants to this address. */
struct dht_id dht_id_for(const struct addr *ip, const struct dht_id *random);
/* May a node of this address have the id?  Local addresses: any. */
bool dht_id_valid(const struct dht_id *id, const struct addr *ip);

uint32_t dht_crc32c(const void *data, size_t n);

#endif
