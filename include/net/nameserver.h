/*
 * nameserver: whom the system asks for the addresses of hosts, and from where.
 *
 * Looking names up is the system's; this is for telling the user when that
 * goes another way than all the rest.  By the same look at the routes one
 * learns which address of ours faces the Internet.
 *
 * Threads: any.
 */
#ifndef BTGET_NET_NAMESERVER_H
#define BTGET_NET_NAMESERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

#define NAMESERVER_FILE "/etc/resolv.conf"
#define NAMESERVERS_MAX 3	/* what the C library looks at */

/* The servers that a file names; 0 if it cannot be read. */
size_t nameserver_read(const char *path, struct addr out[NAMESERVERS_MAX]);

/* Which of our addresses packets to it would come from, whatever it is;
 * nothing is sent.  False: it cannot be reached. */
bool nameserver_from(const struct addr *server, struct addr *out);

#endif
