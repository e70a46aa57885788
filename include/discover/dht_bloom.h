/*
 * dht_bloom: a set of IP addresses in 256 bytes, of which others can tell
 * how many there are, and unite it with what further nodes know.
 *
 * Pure values.  Source: BEP 33.
 */
#ifndef BTGET_DISCOVER_DHT_BLOOM_H
#define BTGET_DISCOVER_DHT_BLOOM_H

#include <stdint.h>

#include "base/addr.h"

#define DHT_BLOOM_SIZE 256

/* Its 4 or 16 bytes go in; the port does not count. */
void dht_bloom_add(uint8_t bloom[DHT_BLOOM_SIZE], const struct addr *a);

#endif
