#include "discover/dht_id.h"

#include <string.h>

#define PREFIX_BITS 21		/* of the CRC, that the id must begin with */

struct dht_id
dht_id_from(const uint8_t raw[DHT_ID_SIZE])
{
	struct dht_id id;

	memcpy(id.raw, raw, sizeof(id.raw));
	return id;
}

bool
dht_id_equal(const struct dht_id *a, const struct dht_id *b)
{
	return memcmp(a->raw, b->raw, sizeof(a->raw)) == 0;
}

int
dht_id_compare(const struct dht_id *target, const struct dht_id *a,
	       const struct dht_id *b)
{
	for (size_t i = 0; i < DHT_ID_SIZE; i++)
		if (a->raw[i] != b->raw[i])
			return (a->raw[i] ^ target->raw[i]) -
			       (b->raw[i] ^ target->raw[i]);
	return 0;
}

unsigned
dht_id_prefix(const struct dht_id *a, const struct dht_id *b)
{
	for (unsigned i = 0; i < DHT_ID_SIZE; i++) {
		unsigned differ = a->raw[i] ^ b->raw[i];

		if (differ != 0)
			return i * 8 + (unsigned)__builtin_clz(differ) - 24;
	}
	return DHT_ID_BITS;
}

struct dht_id
dht_id_share(const struct dht_id *base, const struct dht_id *random,
	     unsigned bits, bool differ)
{
	struct dht_id id = *random;

	for (unsigned i = 0; i < DHT_ID_BITS && i <= bits; i++) {
		unsigned bit = 128u >> (i % 8), value = base->raw[i / 8] & bit;

		if (i == bits) {
			if (!differ)
				break;
			value ^= bit;
		}
		id.raw[i / 8] = (uint8_t)((id.raw[i / 8] & ~bit) | value);
	}
	return id;
}

/* Bit by bit: it is asked for a few bytes of each new node. */
uint32_t
dht_crc32c(const void *data, size_t n)
{
	const uint8_t *at = data;
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		crc ^= at[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
	}
	return ~crc;
}

/* The number whose first 21 bits an id of this address begins with. */
static uint32_t
address_prefix(const struct addr *ip, uint8_t random)
{
	static const uint8_t mask4[] = {0x03, 0x0f, 0x3f, 0xff};
	static const uint8_t mask6[] = {0x01, 0x03, 0x07, 0x0f,
					0x1f, 0x3f, 0x7f, 0xff};
	bool v4 = ip->family == AF_INET;
	const uint8_t *mask = v4 ? mask4 : mask6;
	size_t n = v4 ? sizeof(mask4) : sizeof(mask6);
	uint8_t raw[sizeof(mask6)];

	for (size_t i = 0; i < n; i++)
		raw[i] = ip->ip[i] & mask[i];
	raw[0] |= (uint8_t)((random & 7) << 5);
	return dht_crc32c(raw, n);
}

struct dht_id
dht_id_for(const struct addr *ip, const struct dht_id *random)
{
	struct dht_id id = *random;
	uint32_t crc = address_prefix(ip, id.raw[DHT_ID_SIZE - 1]);

	id.raw[0] = (uint8_t)(crc >> 24);
	id.raw[1] = (uint8_t)(crc >> 16);
	id.raw[2] = (uint8_t)((crc >> 8 & 0xf8) | (id.raw[2] & 7));
	return id;
}

bool
dht_id_valid(const struct dht_id *id, const struct addr *ip)
{
	uint32_t crc, front;

	if (addr_is_local(ip))
		return true;
	crc = address_prefix(ip, id->raw[DHT_ID_SIZE - 1]);
	front = (uint32_t)id->raw[0] << 24 | (uint32_t)id->raw[1] << 16 |
		(uint32_t)id->raw[2] << 8;
	return (crc ^ front) >> (32 - PREFIX_BITS) == 0;
}
