#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/bytes.h"
#include "discover/dht_id.h"

static struct dht_id
hex_id(const char *text)
{
	struct dht_id id;

	assert_true(hex_decode(id.raw, sizeof(id.raw), text, strlen(text)));
	return id;
}

/* RFC 3720, B.4. */
static void
crc32c_gives_the_values_of_the_rfc(void **state)
{
	uint8_t data[32] = {0};

	(void)state;
	assert_int_equal(dht_crc32c(data, 32), 0x8a9136aa);
	memset(data, 0xff, 32);
	assert_int_equal(dht_crc32c(data, 32), 0x62a8ab43);
	assert_int_equal(dht_crc32c("123456789", 9), 0xe3069283);
}

/* The table of BEP 42. */
static const struct {
	const char *ip;
	const char *id;
} granted[] = {
    {"124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"},
    {"21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"},
    {"65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"},
    {"84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"},
    {"43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"},
};

static void
ids_of_the_specification_are_valid(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(granted) / sizeof(*granted); i++) {
		struct dht_id id = hex_id(granted[i].id);
		struct addr a;

		assert_true(addr_parse(&a, granted[i].ip, 1));
		assert_true(dht_id_valid(&id, &a));
	}
}

static void
an_id_is_not_valid_for_another_address(void **state)
{
	struct dht_id id = hex_id(granted[0].id);
	struct addr a;

	(void)state;
	assert_true(addr_parse(&a, "124.31.75.22", 1));
	assert_false(dht_id_valid(&id, &a));
	assert_true(addr_parse(&a, "124.31.75.21", 1));
	id.raw[2] ^= 8;		/* the 21st bit */
	assert_false(dht_id_valid(&id, &a));
}

static void
local_addresses_may_have_any_id(void **state)
{
	struct dht_id id = hex_id(granted[0].id);
	struct addr a;

	(void)state;
	assert_true(addr_parse(&a, "192.168.1.1", 1));
	assert_true(dht_id_valid(&id, &a));
	assert_true(addr_parse(&a, "::1", 1));
	assert_true(dht_id_valid(&id, &a));
}

static void
an_id_made_for_an_address_is_valid_and_otherwise_random(void **state)
{
	struct dht_id random, id;
	struct addr a;

	(void)state;
	memset(random.raw, 0xa7, sizeof(random.raw));
	assert_true(addr_parse(&a, "2001:db8:1:2:3::4", 1));
	id = dht_id_for(&a, &random);
	assert_true(dht_id_valid(&id, &a));
	assert_memory_equal(id.raw + 3, random.raw + 3, 17);
	assert_true(addr_parse(&a, "2001:db8:1:3::4", 1));
	assert_false(dht_id_valid(&id, &a));
	assert_true(addr_parse(&a, "8.8.4.4", 1));
	id = dht_id_for(&a, &random);
	assert_true(dht_id_valid(&id, &a));
}

static void
distance_is_by_xor(void **state)
{
	struct dht_id target = {{0x80}}, a = {{0xc0}}, b = {{0x00}};

	(void)state;
	assert_true(dht_id_compare(&target, &a, &b) < 0);
	assert_true(dht_id_compare(&target, &b, &a) > 0);
	assert_int_equal(dht_id_compare(&target, &a, &a), 0);
}

static void
prefix_counts_the_bits_they_share(void **state)
{
	struct dht_id a = {{0}}, b = {{0}};

	(void)state;
	assert_int_equal(dht_id_prefix(&a, &b), DHT_ID_BITS);
	b.raw[0] = 0x80;
	assert_int_equal(dht_id_prefix(&a, &b), 0);
	b.raw[0] = 0;
	b.raw[2] = 0x10;
	assert_int_equal(dht_id_prefix(&a, &b), 19);
}

static void
share_takes_exactly_so_many_bits(void **state)
{
	struct dht_id base, random, id;

	(void)state;
	memset(base.raw, 0x5a, sizeof(base.raw));
	memset(random.raw, 0xff, sizeof(random.raw));
	for (unsigned bits = 0; bits < DHT_ID_BITS; bits++) {
		id = dht_id_share(&base, &random, bits, true);
		assert_int_equal(dht_id_prefix(&base, &id), bits);
		id = dht_id_share(&base, &random, bits, false);
		assert_true(dht_id_prefix(&base, &id) >= bits);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(crc32c_gives_the_values_of_the_rfc),
	    cmocka_unit_test(ids_of_the_specification_are_valid),
	    cmocka_unit_test(an_id_is_not_valid_for_another_address),
	    cmocka_unit_test(local_addresses_may_have_any_id),
	    cmocka_unit_test(
		an_id_made_for_an_address_is_valid_and_otherwise_random),
	    cmocka_unit_test(distance_is_by_xor),
	    cmocka_unit_test(prefix_counts_the_bits_they_share),
	    cmocka_unit_test(share_takes_exactly_so_many_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
