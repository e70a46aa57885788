/*
 * dht_reach: can nodes that we have not asked reach us?
 *
 * Behind a router or a firewall that lets nothing in, a node only costs the
 * others time: they take it into their tables and wait for answers that never
 * come.  BEP 43 lets such a node say so: it is read-only.  Nobody tells us
 * which we are, so it is concluded for each network: a query from a host that
 * we have not spoken to lately proves that the way in is open; when enough
 * nodes know us and none such comes for a while, it is closed.
 *
 * A read-only node is in nobody's table, so no query would ever prove the
 * opposite.  Hence now and then a trial, in which we are a full node again.
 * A port that the router has mapped makes us one for as long as it is mapped.
 *
 * Nodes of the local network prove nothing: they are not behind the router.
 *
 * Pure: time is given.  Threads: one thread's.  Units: clock_ns.
 * Source: BEP 43; RFC 4787, 4.3 (how long a router remembers whom we asked).
 */
#ifndef BTGET_DISCOVER_DHT_REACH_H
#define BTGET_DISCOVER_DHT_REACH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"

#define DHT_REACH_KNOWN 16	/* hosts of afar that have answered */
#define DHT_REACH_GRACE (5 * 60 * CLOCK_S)	/* for a first query to come */
#define DHT_REACH_PROOF (30 * 60 * CLOCK_S)	/* one proves this long */
#define DHT_REACH_TRIAL (60 * 60 * CLOCK_S)	/* from one to the next */
#define DHT_REACH_TURN (5 * 60 * CLOCK_S)
#define DHT_REACH_BITS 32768

struct dht_reach {
	bool read_only;
	bool mapped;
	uint32_t known[DHT_REACH_KNOWN];	/* hashes of hosts */
	unsigned known_count;
	int64_t due;		/* when the state changes by itself */
	/* Hosts that we sent to, in this turn and the one before. */
	uint8_t asked[2][DHT_REACH_BITS / 8];
	int64_t turned;
};

void dht_reach_init(struct dht_reach *r, int64_t now);

/* We send a query to it.  It is remembered for one to two turns; seldom
 * another is mistaken for it, whose query then proves nothing. */
void dht_reach_asked(struct dht_reach *r, const struct addr *to, int64_t now);

/* It has answered. */
void dht_reach_answered(struct dht_reach *r, const struct addr *from,
			int64_t now);

/* It asks us. */
void dht_reach_heard(struct dht_reach *r, const struct addr *from,
		     int64_t now);

/* The router lets our port in, or no longer. */
void dht_reach_mapped(struct dht_reach *r, bool mapped, int64_t now);

/* We have another address: all is open again. */
void dht_reach_moved(struct dht_reach *r, int64_t now);

/* Does what is due at r->due. */
void dht_reach_tick(struct dht_reach *r, int64_t now);

#endif
