/*
 * udp_parts: the inside of the udp thread, for udp.c (the thread,
 * local discovery), udp_dht.c (the DHT) and udp_utp.c (uTP).
 */
#ifndef BTGET_SESSION_UDP_PARTS_H
#define BTGET_SESSION_UDP_PARTS_H

#include <limits.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/sync.h"
#include "session/udp.h"

struct datagram_batch;
struct dht;
struct lsd;
struct names;
struct resolver;
struct utp_link;

#define FAMILIES 2		/* IPv4, IPv6 */

static inline int
udp_family(int i)
{
	return i == 0 ? AF_INET : AF_INET6;
}

enum order {
	ORDER_SEARCH,
	ORDER_FORGET,
	ORDER_NODE,
	ORDER_HOST,
	ORDER_DIAL,
	ORDER_MAPPED,
	ORDER_HURRY,
	ORDER_SLEPT,
};

struct command {
	enum order order;
	struct udp_wish wish;
	struct addr node;
	struct session_peer host;
	uint32_t owner;
	bool mapped;
	int64_t slept_ns;
};

struct udp {
	struct udp_config config;
	struct log *log;
	struct thread thread;
	struct wake wake;
	_Atomic bool stop;
	_Atomic bool rebind;	/* the route has changed */
	_Atomic size_t good;
	_Atomic int64_t silent_since;
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
	struct names *names;	/* of nodes of the DHT */
	struct dht *dht;	/* NULL before it is needed */
	struct lsd *lsd;	/* the same */
	int groups[FAMILIES];
	int64_t routers_at;	/* not before */
	int64_t routers_wait;
	int64_t save_at;
	bool mapped;		/* the port, by the router */
	bool read_only[FAMILIES];	/* as was said last */
	struct datagram_batch *batch;
	struct utp_link *link;	/* NULL: no uTP */
	bool stuck;		/* a socket takes no more */
	int64_t linger_until;	/* once it is to stop */
};

/* -1: it is not taken. */
int udp_tell(struct udp *u, const struct command *c);

/* udp_dht.c */
bool udp_dht_need(struct udp *u, int64_t now);	/* false: there is none */
void udp_dht_resolve(struct udp *u, const struct session_peer *hosts,
		     size_t n);
/* Of the names; a names_done. */
void udp_dht_found(void *ctx, const struct addr *addrs, size_t count,
		   const struct error *e, unsigned failures);
void udp_dht_hurry(struct udp *u, int64_t now);
int64_t udp_dht_beat(struct udp *u, int64_t now);	/* when next */
void udp_dht_save(struct udp *u, int64_t now);

/* udp_utp.c */
int udp_utp_begin(struct udp *u, struct error *e);
void udp_utp_release(struct udp *u);
void udp_utp_dial(struct udp *u, const struct command *c, int64_t now);
/* What came to a socket, whatever it is. */
void udp_read(struct udp *u, int fd);
/* Moves what can be moved, and sends it. */
void udp_utp_serve(struct udp *u, int64_t now);
/* May the thread end? */
bool udp_utp_done(struct udp *u, int64_t now);

#endif
