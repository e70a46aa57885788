/*
 * udp: the thread of the UDP sockets: DHT, local discovery, uTP.
 *
 * It sends nothing before the first torrent wants peers; then the DHT joins
 * through the nodes it had before (a file), those it is told, and, if none
 * of them answers, the public routers.  What is told to it lies in a queue
 * until the thread comes by.
 *
 * Ownership: config's strings, log and blocklist are borrowed and outlive it.
 * Threads:   callbacks run in its thread, without a lock; all functions but
 *            new, start, stop and free may be called from any thread.
 */
#ifndef BTGET_SESSION_UDP_H
#define BTGET_SESSION_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"
#include "base/log.h"
#include "session/config.h"

struct blocklist;
struct iface;
struct udp;

enum udp_source { UDP_DHT, UDP_LSD };

struct udp_events {
	void *ctx;
	/* Where peers of a torrent may be. */
	void (*found)(void *ctx, const uint8_t info_hash[20],
		      enum udp_source source, const struct addr *peers,
		      size_t n);
	/* uTP: what came in and has said enough; what became of a dial (fd
	 * is -1 and sys says why not).  The descriptor is the callee's. */
	void (*incoming)(void *ctx, int fd, const struct addr *from);
	void (*dialled)(void *ctx, uint32_t owner, const struct addr *to,
			int fd, int sys);
	/* Of that connection nothing arrives there any more, or again. */
	void (*unheard)(void *ctx, const struct addr *with, bool unheard);
};

struct udp_config {
	uint16_t port;		/* TCP's; another one if that is taken */
	bool dht;
	bool lsd;
	bool utp;
	size_t utp_max;		/* connections */
	const struct session_peer *nodes;	/* instead of the routers */
	size_t node_count;
	const char *cache;	/* a folder for the list of nodes, or NULL */
	const struct blocklist *blocklist;	/* or NULL */
	const struct iface *route;		/* or NULL */
	struct udp_events events;
};

/* What a torrent wants. */
struct udp_wish {
	uint8_t info_hash[20];
	uint16_t port;		/* where its peers reach us from afar */
	uint16_t port6;		/* the same over IPv6 */
	bool seed;
	bool dht;
	bool lsd;
};

/* Binds, for IPv4 and, where there is any, IPv6. */
struct udp *udp_new(const struct udp_config *config, struct log *log,
		    struct error *e);
int udp_start(struct udp *u, struct error *e);
/* Ends the thread; no callback comes after. */
void udp_stop(struct udp *u);
void udp_free(struct udp *u);

uint16_t udp_port(const struct udp *u);

/* The route has changed: the sockets are made anew. */
void udp_rebind(struct udp *u);

/* The network is there again: the DHT tries anew. */
void udp_hurry(struct udp *u);

/* The machine was suspended for so long: the DHT has forgotten us. */
void udp_slept(struct udp *u, int64_t ns);

/* Looks for peers from now on; again: changes the wish. */
void udp_search(struct udp *u, const struct udp_wish *wish);
void udp_forget(struct udp *u, const uint8_t info_hash[20]);

/* Where a node of the DHT may be: as a peer said, as a torrent says. */
void udp_add_node(struct udp *u, const struct addr *node);
void udp_add_host(struct udp *u, const char *host, uint16_t port);

/* The router lets the port in from IPv4's Internet, or no longer. */
void udp_mapped(struct udp *u, bool mapped);

/* Connects by uTP; dialled is called once.  -1: it is not, and will not. */
int udp_connect(struct udp *u, uint32_t owner, const struct addr *to);

/* Good nodes that the DHT knows. */
size_t udp_nodes(const struct udp *u);
/* Since when nobody there has answered, though many were asked; CLOCK_NEVER:
 * somebody has. */
int64_t udp_silent_since(const struct udp *u);

#endif
