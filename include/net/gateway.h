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

/* The default route's gateway, that of the lowest metric; port 0. */
int gateway_find(const char *table, struct addr *out, struct error *e);

#endif
