/*
 * iface: the one interface that all traffic leaves by, given by its name or
 * by an address of it.
 *
 * Every socket is bound before it is used, to the interface itself, so that
 * no table of routes leads elsewhere; where the system does not allow that
 * (Linux before 5.7, without CAP_NET_RAW), to an address of the interface.
 * Which interface has the name, or the address, is asked for each socket
 * anew: one that is away, or comes back as another one, opens no other way.
 * A family of addresses that the interface lacks is not used: the kernel
 * would lend it another interface's address.
 *
 * An address of 127/8 means the loopback interface.  Another address that
 * lies on the loopback interface is one of the machine's own, which any
 * interface may carry: there the address alone is bound.
 *
 * All functions take a NULL route: everything is free then.
 *
 * Ownership: plain; whoever uses it borrows it.
 * Threads:   any, once it is set; `away` is told by one.
 */
#ifndef BTGET_NET_IFACE_H
#define BTGET_NET_IFACE_H

#include <net/if.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"

struct iface {
	char name[IF_NAMESIZE];	/* "": by address */
	struct addr ip;		/* family 0: by name */
	_Atomic bool away;	/* the last word of iface_note */
};

/* What the interface is at a moment. */
struct iface_state {
	unsigned index;		/* 0: there is none */
	char name[IF_NAMESIZE];
	bool up;
	bool loopback;
	struct addr ip[2];	/* IPv4, IPv6; family 0: it has none */
	int sys;		/* errno if the system did not tell */
};

/* Reads what the user wrote; ERROR_USAGE if it can be neither. */
int iface_set(struct iface *r, const char *text, struct error *e);

/* Looks at the interface; true if something can leave by it. */
bool iface_look(const struct iface *r, struct iface_state *out);
/* The same, with the reason if nothing can: ERROR_USAGE, or ERROR_INTERNAL
 * where the system does not tell. */
int iface_check(const struct iface *r, struct error *e);
bool iface_same(const struct iface_state *a, const struct iface_state *b);

/* AF_INET or AF_INET6 if it can be that alone, AF_UNSPEC for both. */
int iface_family(const struct iface *r);

/* For pacing alone: is it known that nothing can leave?  Sockets that are
 * tried all the same fail. */
void iface_note(struct iface *r, bool away);
bool iface_away(const struct iface *r);

/* Binds a new socket that is going to connect or to send; or one that is to
 * hear at a port (0: any).  -1 and errno: ENETDOWN if the interface is away,
 * EAFNOSUPPORT if it lacks the family. */
int iface_leave(const struct iface *r, int fd, int family);
int iface_bind(const struct iface *r, int fd, int family, uint16_t port);

/* A descriptor that can be read when interfaces, addresses or routes have
 * changed, or -1; and reads it empty: true if they have. */
int iface_watch(void);
bool iface_watch_drain(int fd);

#endif
