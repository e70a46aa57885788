/*
 * dht_store: what other nodes store with us, and the tokens that entitle
 * them to it.
 *
 * A token proves that whoever announces receives at the address that it
 * announces; its secret changes every five minutes, and the one before is
 * taken too.  Peers live for half an hour.  Everything is bounded: swarms,
 * peers of one, peers of all, what one host may store; what was not renewed
 * for longest goes first.
 *
 * Pure: time and random bytes are given.  Threads: one thread's.
 * Source: BEP 5, 33.
 */
#ifndef BTGET_DISCOVER_DHT_STORE_H
#define BTGET_DISCOVER_DHT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "discover/dht_bloom.h"
#include "discover/dht_id.h"

#define DHT_STORE_SWARMS 1000
#define DHT_STORE_SWARM_PEERS 200
#define DHT_STORE_PEERS 8000
#define DHT_STORE_HOST_PEERS 50
#define DHT_STORE_LIFE (30 * 60 * CLOCK_S)
#define DHT_TOKEN_SIZE 8
#define DHT_TOKEN_TURN (5 * 60 * CLOCK_S)
#define DHT_SECRET_SIZE 20

struct dht_store;

struct dht_store *dht_store_new(void);
void dht_store_free(struct dht_store *s);

/* Remembers the peer; an address of the same host in the swarm is replaced.
 * False when it is not taken. */
bool dht_store_add(struct dht_store *s, const struct dht_id *hash,
		   const struct addr *peer, bool seed, int64_t now);

struct dht_store_query {
	struct dht_id hash;
	int family;
	bool noseed;		/* rather none that are seeds */
	uint32_t random;	/* which ones, where there are more */
};

size_t dht_store_get(const struct dht_store *s,
		     const struct dht_store_query *q, struct addr *out,
		     size_t max, int64_t now);

struct dht_scrape {
	uint8_t seeds[DHT_BLOOM_SIZE];
	uint8_t peers[DHT_BLOOM_SIZE];	/* that are no seeds */
};

/* All that is stored of a torrent, of both families; false: nothing. */
bool dht_store_scrape(const struct dht_store *s, const struct dht_id *hash,
		      struct dht_scrape *out, int64_t now);
void dht_store_expire(struct dht_store *s, int64_t now);
size_t dht_store_peers(const struct dht_store *s);
size_t dht_store_swarms(const struct dht_store *s);

struct dht_tokens {
	uint8_t secret[2][DHT_SECRET_SIZE];	/* now, and before */
	int64_t turned;
};

/* Twice for a start; then each DHT_TOKEN_TURN. */
void dht_tokens_turn(struct dht_tokens *t,
		     const uint8_t secret[DHT_SECRET_SIZE], int64_t now);
void dht_tokens_make(const struct dht_tokens *t, const struct addr *ip,
		     const struct dht_id *hash, uint8_t out[DHT_TOKEN_SIZE]);
bool dht_tokens_check(const struct dht_tokens *t, const struct addr *ip,
		      const struct dht_id *hash, const void *token,
		      size_t size);

#endif
