#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "discover/lsd.h"

#define T0 (100 * CLOCK_S)
#define MIN (60 * CLOCK_S)
#define HEX "0102030405060708090a0b0c0d0e0f1011121314"

struct heard {
	unsigned sent[2];	/* by family */
	struct lsd_message last;
	uint8_t data[LSD_PACKET_MAX];
	size_t size;
	unsigned found;
	struct addr peer;
	struct lsd *lsd;
};

static struct heard h;		/* what the engine under test did */

static void
take_sent(void *ctx, int family, const void *data, size_t n)
{
	(void)ctx;
	assert_true(n <= LSD_PACKET_MAX);
	assert_int_equal(lsd_read(&h.last, data, n), 0);
	h.sent[family == AF_INET6]++;
	memcpy(h.data, data, n);
	h.size = n;
}

static void
take_found(void *ctx, const uint8_t info_hash[20], const struct addr *peer)
{
	(void)ctx;
	(void)info_hash;
	h.found++;
	h.peer = *peer;
}

static int
setup(void **state)
{
	struct lsd_config config = {.send = take_sent, .found = take_found,
				    .port = 6881, .cookie = 0xabc};

	(void)state;
	memset(&h, 0, sizeof(h));
	h.lsd = lsd_new(&config);
	return h.lsd ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	lsd_free(h.lsd);
	return 0;
}

static void
add(unsigned i, int64_t now)
{
	uint8_t hash[20] = {(uint8_t)i, (uint8_t)(i >> 8)};

	assert_int_equal(lsd_add(h.lsd, hash, now), 0);
}

static int
take(const char *text)
{
	return lsd_read(&h.last, text, strlen(text));
}

static void
an_announce_is_read(void **state)
{
	(void)state;
	assert_int_equal(take("BT-SEARCH * HTTP/1.1\r\n"
			      "Host: 239.192.152.143:6771\r\n"
			      "X-Other: thing\r\n"
			      "port:6881 \r\n"
			      "INFOHASH: " HEX "\r\n"
			      "Infohash: " HEX "\r\n"
			      "cookie: me\r\n\r\n\r\n"), 0);
	assert_int_equal(h.last.port, 6881);
	assert_int_equal(h.last.count, 2);
	assert_int_equal(h.last.hashes[1][19], 0x14);
	assert_string_equal(h.last.cookie, "me");
}

static void
what_is_none_is_refused(void **state)
{
	static const char *const bad[] = {
	    "", "\r\n", "GET / HTTP/1.1\r\nPort: 1\r\nInfohash: " HEX "\r\n",
	    "BT-SEARCH * HTTP/1.1\r\nInfohash: " HEX "\r\n\r\n",
	    "BT-SEARCH * HTTP/1.1\r\nPort: 0\r\nInfohash: " HEX "\r\n\r\n",
	    "BT-SEARCH * HTTP/1.1\r\nPort: 65536\r\nInfohash: " HEX "\r\n",
	    "BT-SEARCH * HTTP/1.1\r\nPort: 80\r\n\r\n",
	    "BT-SEARCH * HTTP/1.1\r\nPort: 80\r\nInfohash: " HEX "00\r\n",
	    "BT-SEARCH * HTTP/1.1\r\nPort: 80\r\n\r\nInfohash: " HEX "\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(take(bad[i]), -1);
}

static void
the_announce_is_the_specifications(void **state)
{
	struct lsd_message m = {.port = 80, .cookie = "c", .count = 1};
	struct buffer out;

	(void)state;
	assert_true(hex_decode(m.hashes[0], 20, HEX, 40));
	buffer_init(&out, LSD_PACKET_MAX);
	assert_int_equal(lsd_write(&out, AF_INET6, &m), 0);
	assert_string_equal(buffer_text(&out),
			    "BT-SEARCH * HTTP/1.1\r\n"
			    "Host: [ff15::efc0:988f]:6771\r\nPort: 80\r\n"
			    "Infohash: " HEX "\r\ncookie: c\r\n\r\n\r\n");
	buffer_release(&out);
}

static void
torrents_that_come_together_are_told_together(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		add(i, T0);
	lsd_tick(h.lsd, T0);
	assert_int_equal(h.sent[0], 0);
	assert_int_equal(lsd_due(h.lsd), T0 + LSD_FIRST);
	lsd_tick(h.lsd, T0 + LSD_FIRST);
	assert_int_equal(h.sent[0], 1);
	assert_int_equal(h.sent[1], 1);
	assert_int_equal(h.last.count, 5);
	assert_int_equal(h.last.port, 6881);
}

static void
a_torrent_is_told_each_five_minutes(void **state)
{
	unsigned told = 0;

	(void)state;
	add(1, T0);
	for (int64_t now = T0; now < T0 + 31 * MIN; now += CLOCK_S) {
		lsd_tick(h.lsd, now);
		told = h.sent[0];
	}
	assert_int_equal(told, 7);
}

static void
packets_are_a_minute_apart(void **state)
{
	int64_t last = 0;
	unsigned told = 0;

	(void)state;
	for (unsigned i = 0; i < 90; i++)
		add(i, T0);
	for (int64_t now = T0; now < T0 + 30 * MIN; now += CLOCK_S) {
		lsd_tick(h.lsd, now);
		if (h.sent[0] == told)
			continue;
		assert_true(last == 0 || now - last >= MIN);
		assert_true(h.last.count <= LSD_HASHES_MAX);
		told = h.sent[0];
		last = now;
	}
	assert_in_range(told, 25, 31);
}

static void
a_peer_of_a_torrent_of_ours_is_found(void **state)
{
	struct addr from;
	const char *text = "BT-SEARCH * HTTP/1.1\r\nPort: 7000\r\nInfohash: "
			   "0500000000000000000000000000000000000000\r\n"
			   "Infohash: " HEX "\r\n\r\n";

	(void)state;
	assert_true(addr_parse(&from, "192.168.1.2", 6771));
	lsd_packet(h.lsd, &from, text, strlen(text), T0);
	assert_int_equal(h.found, 0);
	add(5, T0);
	lsd_packet(h.lsd, &from, text, strlen(text), T0);
	assert_int_equal(h.found, 1);
	from.port = 7000;
	assert_true(addr_equal(&h.peer, &from));
}

static void
our_own_announce_is_known_by_its_cookie(void **state)
{
	struct addr from;

	(void)state;
	assert_true(addr_parse(&from, "192.168.1.2", 6771));
	add(5, T0);
	lsd_tick(h.lsd, T0 + MIN);
	lsd_packet(h.lsd, &from, h.data, h.size, T0 + MIN);
	assert_int_equal(h.found, 0);
}

static void
a_removed_torrent_is_silent(void **state)
{
	uint8_t hash[20] = {5};

	(void)state;
	add(5, T0);
	lsd_remove(h.lsd, hash);
	assert_int_equal(lsd_due(h.lsd), CLOCK_NEVER);
	lsd_tick(h.lsd, T0 + MIN);
	assert_int_equal(h.sent[0], 0);
}

static void
a_flood_of_announces_is_cut(void **state)
{
	struct addr from;
	const char *text = "BT-SEARCH * HTTP/1.1\r\nPort: 7000\r\nInfohash: "
			   "0500000000000000000000000000000000000000\r\n\r\n";

	(void)state;
	assert_true(addr_parse(&from, "192.168.1.2", 6771));
	add(5, T0);
	for (int i = 0; i < 5000; i++)
		lsd_packet(h.lsd, &from, text, strlen(text), T0);
	assert_int_equal(h.found, 200);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_announce_is_read),
	    TEST(what_is_none_is_refused),
	    TEST(the_announce_is_the_specifications),
	    TEST(torrents_that_come_together_are_told_together),
	    TEST(a_torrent_is_told_each_five_minutes),
	    TEST(packets_are_a_minute_apart),
	    TEST(a_peer_of_a_torrent_of_ours_is_found),
	    TEST(our_own_announce_is_known_by_its_cookie),
	    TEST(a_removed_torrent_is_silent),
	    TEST(a_flood_of_announces_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
