/*
 * dht_krpc: the messages of the DHT, read and written.
 *
 * One struct stands for any message; which fields count depends on its type
 * and method.  What is read has been checked: ids have 20 bytes, addresses
 * are usable, lists are cut to what fits.  A message that is no good at all
 * is an error; one that is merely odd has less in it.
 *
 * Pure.  Ownership: texts borrow the packet that was read.
 * Source: BEP 5, 32 (want, nodes6), 33 (seed, noseed, scrape), 42 (ip), 43 (ro).
 */
#ifndef BTGET_DISCOVER_DHT_KRPC_H
#define BTGET_DISCOVER_DHT_KRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/error.h"
#include "discover/dht_bloom.h"
#include "discover/dht_id.h"

#define KRPC_PACKET_MAX 1024	/* that we send: BEP 32 */
#define KRPC_INCOMING_MAX 2048	/* that we read */
#define KRPC_TRANSACTION_MAX 32
#define KRPC_TOKEN_MAX 64
#define KRPC_NODES_MAX 16	/* kept of one message, a family */
#define KRPC_VALUES_MAX 200

/* How many of them we send, so that all fit into one packet. */
#define KRPC_SEND_NODES 8
#define KRPC_SEND_VALUES4 40
#define KRPC_SEND_VALUES6 15
/* The same, beside the filters of a scrape. */
#define KRPC_SCRAPE_NODES 4
#define KRPC_SCRAPE_VALUES4 8
#define KRPC_SCRAPE_VALUES6 3

enum krpc_type { KRPC_QUERY, KRPC_RESPONSE, KRPC_ERROR };

enum krpc_method {
	KRPC_PING,
	KRPC_FIND_NODE,
	KRPC_GET_PEERS,
	KRPC_ANNOUNCE_PEER,
	KRPC_UNKNOWN,		/* a query that we do not know */
};

/* Bits of `want`. */
#define KRPC_WANT4 1u
#define KRPC_WANT6 2u

enum krpc_code {
	KRPC_GENERIC = 201,
	KRPC_SERVER = 202,
	KRPC_PROTOCOL = 203,
	KRPC_METHOD_UNKNOWN = 204,
};

struct krpc_text {
	const uint8_t *at;
	size_t size;
};

struct krpc {
	enum krpc_type type;
	enum krpc_method method;	/* of a query */
	struct krpc_text transaction;
	struct dht_id id;	/* of who sends it; not in an error */
	struct dht_id target;	/* the target or info hash of a query */
	struct krpc_text token;	/* size 0: none */
	unsigned want;		/* 0: it did not say */
	uint16_t port;		/* of announce_peer */
	bool implied_port;
	bool read_only;
	bool seed;
	bool noseed;
	bool scrape;
	struct krpc_text seeds;	/* filters of BEP 33; size 0: none */
	struct krpc_text peers;
	int code;		/* of an error */
	struct addr external;	/* `ip`: the receiver's address; family 0: no */
	bool has_nodes;		/* there is a key for it, maybe an empty one */
	bool has_nodes6;
	size_t node_count;
	size_t node6_count;
	size_t value_count;
	struct dht_node nodes[KRPC_NODES_MAX];
	struct dht_node nodes6[KRPC_NODES_MAX];
	struct addr values[KRPC_VALUES_MAX];
};

/* Reads a packet into m.  ERROR_PROTOCOL if it is none; then m->transaction
 * is set if it could be read, and so is m->type: a query deserves the answer
 * "203".  If not, its size is 0 and the type that of a query. */
int krpc_read(struct krpc *m, const void *data, size_t size, struct error *e);

/* Appends the message.  -1 when it did not fit into out. */
int krpc_write(struct buffer *out, const struct krpc *m);

/* The lists of `nodes` and `nodes6` by themselves, as the file of saved
 * nodes has them too.  Reading leaves out what one cannot connect to. */
void krpc_put_nodes(struct buffer *out, const struct dht_node *nodes,
		    size_t n);
size_t krpc_take_nodes(struct dht_node *out, size_t max, const uint8_t *data,
		       size_t size, int family);

#endif
