/*
 * blocklist: addresses never to talk to.
 *
 * Lines are added one by one; each holds an address, a network or a range:
 *
 *   1.2.3.4    1.2.3.0/24    1.2.3.4-1.2.3.9    2001:db8::/32
 *   name:1.2.3.4-1.2.3.9               (P2P lists; the name may hold ':')
 *   1.2.3.4 - 1.2.3.9 , 000 , name     (eMule's; above 127 it is not blocked)
 *
 * Empty lines are nothing, and so is what follows a '#' at the beginning of a
 * line or behind a space; but a P2P name may hold one.  Decimal parts may
 * have leading zeros.  IPv4-mapped IPv6 is IPv4.
 *
 * blocklist_seal sorts and joins what was added: 8 bytes for each range of
 * IPv4 and 32 of IPv6 are left.  An address is found by halving.
 *
 * Pure.
 * Threads: one until it is sealed, then any.
 */
#ifndef BTGET_DISCOVER_BLOCKLIST_H
#define BTGET_DISCOVER_BLOCKLIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/error.h"

#define BLOCKLIST_RANGES_MAX (16u << 20)
#define BLOCKLIST_LINE_MAX 1024

struct blocklist;

struct blocklist *blocklist_new(struct error *e);
void blocklist_free(struct blocklist *b);

/* Adds what a line says (without its end).  1: it is none of the above, and e
 * says so. */
int blocklist_add(struct blocklist *b, const char *line, size_t length,
		  struct error *e);
/* Those that were understood, but for empty ones and comments. */
size_t blocklist_lines(const struct blocklist *b);
void blocklist_seal(struct blocklist *b);

/* NULL holds nothing. */
bool blocklist_has(const struct blocklist *b, const struct addr *a);
/* The same, for net/http. */
bool blocklist_refuses(const void *b, const struct addr *a);

size_t blocklist_ranges(const struct blocklist *b);

#endif
