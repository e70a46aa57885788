/*
 * listener: the thread in which connections begin.
 *
 * It accepts what comes in and dials what it is asked to, and holds each
 * connection, without a thread of its own, until it is worth one: an
 * incoming one until the first bytes of its handshake are there (they are
 * looked at, not taken) or, if it is encrypted, until that has told which
 * torrent it is about; an outgoing one until it is connected.  So silent
 * or unreachable addresses cost a descriptor for a few seconds, not a
 * thread, and hundreds of them hold nobody up: when all places are taken,
 * the one that has waited longest makes room.
 *
 * With a proxy that carries peers, nothing comes in, since it could only come
 * past the proxy, and a dial is the connection to the proxy and the handshake
 * with it.  A proxy that fails is no peer's fault: the dial ends with
 * ECANCELED, and the next ones wait for a while.
 *
 * Ownership: a descriptor passed to a callback belongs to the callee.
 * Threads:   callbacks run in the listener's thread; listener_dial,
 *            listener_take and listener_forget may be called from any thread.
 */
#ifndef BTGET_SESSION_LISTENER_H
#define BTGET_SESSION_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"
#include "base/log.h"
#include "net/mse.h"
#include "swarm/wire.h"

struct blocklist;
struct proxy;
struct iface;

#define LISTENER_PREFIX HANDSHAKE_HASH_END
#define LISTENER_WAITING_MAX 512	/* accepted, nothing said yet */
#define LISTENER_DIALS_MAX 160		/* half-open, of all torrents */

struct listener_events {
	void *ctx;

	/* The first bytes, which lie unread in fd. */
	void (*incoming)(void *ctx, int fd, const struct addr *from,
			 const uint8_t prefix[LISTENER_PREFIX]);

	/* fd is connected, or -1 and sys says why not. */
	void (*dialled)(void *ctx, uint32_t owner, const struct addr *to,
			int fd, int sys);

	/* It began with an encrypted handshake, which is done; the callee
	 * frees it. */
	void (*encrypted)(void *ctx, int fd, const struct addr *from,
			  struct mse *mse);
};

struct listener_config {
	uint16_t port_min;	/* the first free port; 0 to 0: any */
	uint16_t port_max;
	bool udp;		/* which has the same number, if it can */
	struct listener_events events;
	const struct blocklist *blocklist;	/* refused; or NULL */
	size_t dials_max;	/* half-open at once, of all torrents; */
	size_t waiting_max;	/* and accepted ones that have said nothing;
				 * 0: as many as it has room for */
	const struct iface *route;		/* or NULL */
	struct proxy *proxy;	/* that carries peers, or NULL */
	bool deaf;		/* nothing is bound: we dial, and port is 0 */

	/* With a library, what begins unlike a plain handshake is taken for
	 * an encrypted one. */
	struct mse_config mse;
	struct mse_finder finder;
};

struct listener;

/* Binds, for IPv4 and, where there is any, IPv6, to the same port. */
struct listener *listener_new(const struct listener_config *config,
			      struct log *log, struct error *e);
int listener_start(struct listener *l, struct error *e);
/* Ends the thread and closes what is waiting; no callback comes after. */
void listener_stop(struct listener *l);
void listener_free(struct listener *l);

uint16_t listener_port(const struct listener *l);	/* 0: nothing comes in */

/* The route has changed: the sockets are made anew, with the same port. */
void listener_rebind(struct listener *l);

/* Where the proxy is; before that is known, dials wait. */
#define LISTENER_PROXY_MAX 8
void listener_set_proxy(struct listener *l, const struct addr *addrs,
			size_t n);

/* With a proxy, the names of peers are its to look up.  False: there is none,
 * or that is no name.  True: *out stands for it, an address of a range that
 * nobody has (RFC 6666); family 0 if there are too many.  Those that came from
 * strangers, without end, leave room for others. */
bool listener_name(struct listener *l, const char *host, uint16_t port,
		   struct addr *out);
bool listener_name_of_strangers(struct listener *l, const char *host,
				uint16_t port, struct addr *out);
bool listener_is_name(const struct addr *a);

/* Connects to an address for `owner`; dialled is called once, whatever
 * happens, unless the owner is forgotten.  brief: there is another way, to be
 * tried after 1.5 s without an answer.  -1 when too many wait already. */
int listener_dial(struct listener *l, uint32_t owner, const struct addr *to,
		  bool brief);

/* A connection that came in elsewhere, with LISTENER_PREFIX bytes in it; fd
 * is taken over.  The same becomes of it as of one that was accepted. */
void listener_take(struct listener *l, int fd, const struct addr *from);

/* The owner wants no more connections. A call under way may still come. */
void listener_forget(struct listener *l, uint32_t owner);

#endif
