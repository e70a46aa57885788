/*
 * tracker_socket: the sockets that a tracker listens on.
 *
 * TCP and UDP, IPv4 and IPv6, all on the same port; -1 for what there is
 * none of.  UDP answers leave from the address that was asked, which matters
 * on hosts with several.  Nothing here blocks.  No locks.
 */
#ifndef BTGET_SESSION_TRACKER_SOCKET_H
#define BTGET_SESSION_TRACKER_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "base/error.h"

#define TRACKER_SOCKET_FAMILIES 2

struct tracker_sockets {
	int tcp[TRACKER_SOCKET_FAMILIES];
	int udp[TRACKER_SOCKET_FAMILIES];
	uint16_t port;
};

/* `bind`'s family 0: all addresses, of IPv6 too where there is IPv6.  Its
 * port 0: any that is free for all of them. */
int tracker_sockets_open(struct tracker_sockets *s, const struct addr *bind,
			 struct error *e);
void tracker_sockets_close(struct tracker_sockets *s);

/* Longer packets are cut: none that a tracker knows is that long. */
#define TRACKER_PACKET_MAX 2048

struct tracker_packet {
	uint8_t data[TRACKER_PACKET_MAX];
	size_t size;
	struct addr from;
	struct sockaddr_storage peer;
	socklen_t peer_size;
	_Alignas(size_t) uint8_t control[128];	/* our address in it */
	size_t control_size;
};

/* False when no packet is waiting. */
bool tracker_socket_receive(int fd, struct tracker_packet *p);

/* Sends the answer to p; what cannot be sent at once is lost. */
void tracker_socket_answer(int fd, struct tracker_packet *p,
			   const void *data, size_t size);

#endif
