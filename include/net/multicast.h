/*
 * multicast: a UDP socket that hears and speaks to a group on every
 * interface that is up, or on the route's alone (or NULL).
 *
 * It is bound to the group's address, so that it takes what was sent to the
 * group and nothing else; other programs on the machine may hear it too.
 *
 * Threads: a socket is one thread's.
 */
#ifndef BTGET_NET_MULTICAST_H
#define BTGET_NET_MULTICAST_H

#include <stddef.h>

#include "base/addr.h"
#include "base/error.h"

struct iface;

#define MULTICAST_INTERFACES_MAX 64

/* A non-blocking socket for the group, IPv4 or IPv6, that belongs to no
 * interface yet; or -1. */
int multicast_open(const struct iface *route, const struct addr *group,
		   struct error *e);

/* Joins the group where it has not been joined yet; again from time to time,
 * since interfaces come and go.  How many there are. */
size_t multicast_join(const struct iface *route, int fd,
		      const struct addr *group);

/* Sends to the group on every interface; on how many it went out. */
size_t multicast_send(const struct iface *route, int fd,
		      const struct addr *group, const void *data, size_t n);

#endif
