#include "discover/dht_bloom.h"

#include "base/hash.h"

static void
set_bit(uint8_t bloom[DHT_BLOOM_SIZE], const uint8_t raw[2])
{
	unsigned bit = (raw[0] | (unsigned)raw[1] << 8) % (DHT_BLOOM_SIZE * 8);

	bloom[bit / 8] |= (uint8_t)(1u << bit % 8);
}

void
dht_bloom_add(uint8_t bloom[DHT_BLOOM_SIZE], const struct addr *a)
{
	uint8_t digest[SHA1_SIZE];

	hash_sha1(digest, a->ip, addr_ip_size(a));
	set_bit(bloom, digest);
	set_bit(bloom, digest + 2);
}
