/*
 * datagram: UDP sockets that never block.
 *
 * Threads: any.
 */
#ifndef BTGET_NET_DATAGRAM_H
#define BTGET_NET_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"

struct iface;

/* A socket on every address of the family, or the route's (or NULL), IPv6's
 * without IPv4; port 0 is any.  -1 and errno when it cannot be. */
int datagram_bind(const struct iface *route, int family, uint16_t port);
/* The same; if another one has the port, at any other. */
int datagram_bind_near(const struct iface *route, int family, uint16_t port);
uint16_t datagram_port(int fd);

/* What does not go out at once is lost, as datagrams may be. */
void datagram_send(int fd, const struct addr *to, const void *data, size_t n);

/* The size of the next one, 0 if it is of no use, -1 when there is none.
 * What is longer than size is cut. */
ssize_t datagram_receive(int fd, void *data, size_t size, struct addr *from);

#endif
