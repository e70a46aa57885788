#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "discover/dht_bloom.h"

static void
add(uint8_t bloom[DHT_BLOOM_SIZE], const char *ip, uint16_t port)
{
	struct addr a;

	assert_true(addr_parse(&a, ip, port));
	dht_bloom_add(bloom, &a);
}

/* The vector of BEP 33. */
static void
the_filter_is_the_one_that_all_others_make(void **state)
{
	static const char wanted[] =
	    "F6C3F5EAA07FFD91BDE89F777F26FB2BFF37BDB8FB2BBAA2FD3DDDE7"
	    "BACFFF75EE7CCBAEFE5EEDB1FBFAFF67F6ABFF5E43DDBCA3FD9B9FFD"
	    "F4FFD3E9DFF12D1BDF59DB53DBE9FA5B7FF3B8FDFCDE1AFB8BEDD7BE"
	    "2F3EE71EBBBFE93BCDEEFE148246C2BC5DBFF7E7EFDCF24FD8DC7ADF"
	    "FD8FFFDFDDFFF7A4BBEEDF5CB95CE81FC7FCFF1FF4FFFFDFE5F7FDCB"
	    "B7FD79B3FA1FC77BFE07FFF905B7B7FFC7FEFEFFE0B8370BB0CD3F5B"
	    "7F2BD93FEB4386CFDD6F7FD5BFAF2E9EBFFFFEECD67ADBF7C67F17EF"
	    "D5D75EBA6FFEBA7FFF47A91EB1BFBB53E8ABFB5762ABE8FF237279BF"
	    "EFBFEEF5FFC5FEBFDFE5ADFFADFEE1FB737FFFFBFD9F6AEFFEEE76B6"
	    "FD8F72EF";
	uint8_t bloom[DHT_BLOOM_SIZE] = {0};
	char text[2 * DHT_BLOOM_SIZE + 1], ip[32];

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		snprintf(ip, sizeof(ip), "192.0.2.%u", i);
		add(bloom, ip, 1);
	}
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(ip, sizeof(ip), "2001:db8::%x", i);
		add(bloom, ip, 1);
	}
	for (size_t i = 0; i < sizeof(bloom); i++)
		snprintf(text + 2 * i, 3, "%02X", bloom[i]);
	assert_string_equal(text, wanted);
}

static void
ports_do_not_count(void **state)
{
	uint8_t one[DHT_BLOOM_SIZE] = {0}, both[DHT_BLOOM_SIZE] = {0};

	(void)state;
	add(one, "192.0.2.1", 1);
	add(both, "192.0.2.1", 1);
	add(both, "192.0.2.1", 2);
	assert_memory_equal(one, both, sizeof(one));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_filter_is_the_one_that_all_others_make),
	    cmocka_unit_test(ports_do_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
