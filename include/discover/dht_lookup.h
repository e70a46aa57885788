/*
 * dht_lookup: one walk through the network towards an id.
 *
 * Candidates lie sorted by their distance.  The closest that was not asked
 * yet is asked next, DHT_LOOKUP_ALPHA at a time; one that is silent for
 * DHT_LOOKUP_SHORT no longer counts among these, though its answer is still
 * welcome.  It is over when the DHT_K closest that are alive have answered.
 *
 * When the first four that a node alone has named are silent, the others that
 * it named are forgotten: it may have made them up to lead us astray.  A host
 * is a candidate once, a network three times; answers of nodes whose id
 * BEP 42 does not grant do not end the lookup.
 *
 * Pure.  Threads: one thread's.
 * Source: BEP 5, 42; Maymounkov and Mazieres, "Kademlia", 2.3.
 */
#ifndef BTGET_DISCOVER_DHT_LOOKUP_H
#define BTGET_DISCOVER_DHT_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "discover/dht_id.h"
#include "discover/dht_krpc.h"

#define DHT_LOOKUP_ALPHA 4	/* of those that are closer than the next */
#define DHT_LOOKUP_FLYING 16	/* in all */
#define DHT_LOOKUP_SHORT (1500 * CLOCK_MS)
#define DHT_LOOKUP_CANDIDATES 128
#define DHT_LOOKUP_QUERIES 160	/* then it is over in any case */
#define DHT_LOOKUP_RESULTS 16

struct dht_lookup;

/* A node that answered and may be given something to store. */
struct dht_lookup_result {
	struct dht_node node;
	uint8_t token[KRPC_TOKEN_MAX];
	size_t token_size;	/* 0: it gave none */
};

struct dht_lookup_counts {
	unsigned queries;
	unsigned replies;
	unsigned depth;		/* most steps to a node among the closest */
};

struct dht_lookup *dht_lookup_new(const struct dht_id *target);
void dht_lookup_free(struct dht_lookup *l);
const struct dht_id *dht_lookup_target(const struct dht_lookup *l);

/* A candidate; `by` is the number of who named it, 0 for where to start.
 * known: its id is.  False when it is not taken. */
bool dht_lookup_add(struct dht_lookup *l, const struct dht_node *n, bool known,
		    unsigned by);

struct dht_lookup_query {
	struct dht_node node;
	bool known;		/* the id is what we were told */
	unsigned number;	/* for the calls below */
};

/* Whom to ask now, if anybody. */
bool dht_lookup_next(struct dht_lookup *l, int64_t now,
		     struct dht_lookup_query *out);
/* It was asked and answered, as id. */
void dht_lookup_replied(struct dht_lookup *l, unsigned number,
			const struct dht_id *id, struct krpc_text token);
/* DHT_LOOKUP_SHORT is over; or it will not answer any more. */
void dht_lookup_slow(struct dht_lookup *l, unsigned number);
void dht_lookup_failed(struct dht_lookup *l, unsigned number);

/* Ask dht_lookup_next before: there may be somebody left. */
bool dht_lookup_done(const struct dht_lookup *l, int64_t now);

/* The closest that answered: DHT_K whose ids are granted, and those of the
 * others that are closer than these. */
size_t dht_lookup_results(const struct dht_lookup *l,
			  struct dht_lookup_result *out, size_t max);
void dht_lookup_count(const struct dht_lookup *l,
		      struct dht_lookup_counts *out);

#endif
