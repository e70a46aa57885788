/*
 * gateway: which router this machine sends through, by the kernel's table.
 *
 * IPv4 alone: what is asked of a router (open a port) has no use elsewhere.
 * Threads: any.
 */
#ifndef BTGET_NET_GATEWAY_H
#define BTGET_NET_GATEWAY_H

#include "base/addr.h"
#include "base/error.h"

#define GATEWAY_TABLE "/proc/net/route"

/* The default route's gateway, that of the lowest metric; port 0.  With the
 * name of an interface, or NULL: only routes over that. */
int gateway_find(const char *table, const char *interface, struct addr *out,
		 struct error *e);

#endif
