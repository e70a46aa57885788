/*
 * utp_link: joins uTP connections to the rest of the program.
 *
 * A connection shows itself as one end of a socket pair, and is from then on
 * a connection like any other; this is what moves the bytes between the
 * other end and the connection's machine.  What comes in is handed over only
 * once the first bytes of a handshake are there, as the listener does it.
 * Nothing is read from either side that the other one cannot take.
 *
 * Ownership: a descriptor passed to a callback belongs to the callee; the
 *            batch is borrowed, and flushed by whoever lends it.
 * Threads:   one: that of the UDP sockets.
 */
#ifndef BTGET_SESSION_UTP_LINK_H
#define BTGET_SESSION_UTP_LINK_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/log.h"

struct utp_link;

struct utp_link_config {
	void *ctx;
	void (*send)(void *ctx, const struct addr *to, const void *data,
		     size_t n);
	void (*incoming)(void *ctx, int fd, const struct addr *from);
	/* fd is -1 when it failed, and sys says why; ENOBUFS: there was no
	 * place, and nobody was called. */
	void (*dialled)(void *ctx, uint32_t owner, const struct addr *to,
			int fd, int sys);
	/* Of a connection that was handed over: utp_is_unheard, as it
	 * changes. */
	void (*unheard)(void *ctx, const struct addr *with, bool unheard);
	size_t max;		/* connections */
};

struct utp_link *utp_link_new(const struct utp_link_config *config);
void utp_link_free(struct utp_link *l, int64_t now);	/* tells others */

/* dialled is called once, perhaps at once. */
void utp_link_dial(struct utp_link *l, uint32_t owner, const struct addr *to,
		   int64_t now);

void utp_link_packet(struct utp_link *l, const struct addr *from,
		     const void *data, size_t n, int64_t now);

/* What is to be waited for: the array belongs to it, and is good until the
 * next call.  The first `spare` places are left to the caller; NULL when out
 * of memory. */
struct pollfd *utp_link_poll(struct utp_link *l, size_t spare, size_t *count);
/* What poll said of these. */
void utp_link_ready(struct utp_link *l, const struct pollfd *fds, size_t n,
		    int64_t now);

/* Does what is due, and moves what can be moved; while `stuck` says so it
 * leaves off, and goes on when it is called again. */
void utp_link_serve(struct utp_link *l, int64_t now,
		    bool (*stuck)(void *ctx));
int64_t utp_link_due(const struct utp_link *l);

/* Does somebody still wait for data of connections that we have closed? */
bool utp_link_owes(const struct utp_link *l);

#endif
