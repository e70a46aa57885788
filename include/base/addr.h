/*
 * addr: an IPv4 or IPv6 address with a port.
 *
 * IPv4-mapped IPv6 addresses become plain IPv4 on the way in, so that one
 * host has one form.  The port is in host order.  Plain values, no locks.
 */
#ifndef BTGET_BASE_ADDR_H
#define BTGET_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
	uint8_t ip[16];		/* IPv4: the first four bytes, rest zero */
	uint16_t port;
	uint16_t family;	/* AF_INET, AF_INET6, or 0 for none */
	uint32_t scope;		/* of an IPv6 link-local address */
};

#define ADDR_TEXT_MAX 80	/* "[ip%scope]:port" and the NUL */
#define ADDR_COMPACT4 6
#define ADDR_COMPACT6 18

/* The compact form of BEP 23 and BEP 7: 6 or 18 bytes. */
struct addr addr_from_compact4(const uint8_t raw[ADDR_COMPACT4]);
struct addr addr_from_compact6(const uint8_t raw[ADDR_COMPACT6]);
size_t addr_to_compact(const struct addr *a, uint8_t raw[ADDR_COMPACT6]);
size_t addr_ip_size(const struct addr *a);	/* 4 or 16 */

bool addr_from_sockaddr(struct addr *a, const struct sockaddr *sa);
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *sa);

/* A numeric "1.2.3.4", "::1" or "[::1]", with port. False if it is none. */
bool addr_parse(struct addr *a, const char *host, uint16_t port);

/* May it be asked for: no spaces, nothing but ASCII? */
bool addr_host_usable(const char *host);

/* Splits "host:port", "[v6]:port" into a host (NUL-terminated, without
 * brackets) and a port of 1 to 65535.  False if it is not of that form. */
bool addr_split(const char *text, char *host, size_t host_size,
		uint16_t *port);

/* "1.2.3.4:80" or "[::1]:80"; returns out. */
char *addr_format(const struct addr *a, char out[ADDR_TEXT_MAX]);
char *addr_format_ip(const struct addr *a, char out[ADDR_TEXT_MAX]);

bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_same_ip(const struct addr *a, const struct addr *b);
uint32_t addr_hash(const struct addr *a);

/* One may connect to it: unicast, not unspecified, port not 0. */
bool addr_usable(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
/* Loopback, link-local, or of a private range (RFC 1918, 4193, 6598). */
bool addr_is_local(const struct addr *a);

#endif
