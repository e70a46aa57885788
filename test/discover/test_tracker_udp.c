#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "discover/tracker_udp.h"

#define S CLOCK_S
#define TRIES 4

struct fixture {
	struct tracker_udp_link link;
	struct tracker_udp udp;
	struct tracker_answer answer;
	struct error e;
	uint8_t out[TRACKER_UDP_MAX];
	size_t size;
};

static void
begin(struct fixture *f, const char *path, int64_t now)
{
	struct tracker_request r = {.uploaded = 3,
				    .downloaded = 1,
				    .left = 2,
				    .key = 4,
				    .numwant = 5,
				    .port = 6,
				    .event = TRACKER_STARTED};

	memset(r.info_hash, 'h', sizeof(r.info_hash));
	memset(r.peer_id, 'p', sizeof(r.peer_id));
	tracker_udp_start(&f->udp, &r, path, TRIES, now);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f)
		return -1;
	tracker_answer_init(&f->answer);
	begin(f, "", 0);
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	tracker_answer_release(&f->answer);
	free(f);
	return 0;
}

static void
expect_nothing(struct fixture *f, int64_t now)
{
	assert_int_equal(tracker_udp_send(&f->udp, &f->link, now, 99, f->out),
			 0);
}

static void
expect_connect(struct fixture *f, int64_t now, uint32_t transaction)
{
	f->size = tracker_udp_send(&f->udp, &f->link, now, 77, f->out);
	assert_int_equal(f->size, 16);
	assert_true(get_u64(f->out) == 0x41727101980);
	assert_int_equal(get_u32(f->out + 8), 0);
	assert_int_equal(get_u32(f->out + 12), transaction);
}

static void
expect_announce(struct fixture *f, int64_t now, uint64_t id)
{
	f->size = tracker_udp_send(&f->udp, &f->link, now, 88, f->out);
	assert_in_range(f->size, 98, TRACKER_UDP_MAX);
	assert_true(get_u64(f->out) == id);
	assert_int_equal(get_u32(f->out + 8), 1);
	assert_int_equal(get_u32(f->out + 12), 88);
}

static enum tracker_udp_state
receive(struct fixture *f, const void *data, size_t n, int64_t now)
{
	struct tracker_udp_packet packet = {data, n, AF_INET};

	return tracker_udp_receive(&f->udp, &f->link, &packet, now,
				   &f->answer, &f->e);
}

static enum tracker_udp_state
receive_connect(struct fixture *f, uint32_t transaction, uint64_t id,
		int64_t now)
{
	uint8_t p[16] = {0};

	put_u32(p + 4, transaction);
	put_u64(p + 8, id);
	return receive(f, p, sizeof(p), now);
}

static enum tracker_udp_state
receive_error(struct fixture *f, uint32_t transaction, const char *text,
	      int64_t now)
{
	uint8_t p[64] = {0, 0, 0, 3};

	put_u32(p + 4, transaction);
	for (size_t i = 0; i < strlen(text); i++)
		p[8 + i] = (uint8_t)text[i];
	return receive(f, p, 8 + strlen(text), now);
}

static size_t
put_answer(uint8_t *p, uint32_t transaction)
{
	put_u32(p, 1);
	put_u32(p + 4, transaction);
	put_u32(p + 8, 1800);
	put_u32(p + 12, 7);
	put_u32(p + 16, 8);
	return 20;
}

static void
connected(struct fixture *f, int64_t now)
{
	expect_connect(f, now, 77);
	assert_int_equal(receive_connect(f, 77, 1234, now), TRACKER_UDP_BUSY);
}

static void
the_announce_is_laid_out_as_in_bep_15(void **state)
{
	struct fixture *f = *state;

	connected(f, 0);
	expect_announce(f, 0, 1234);
	assert_int_equal(f->size, 98);
	assert_memory_equal(f->out + 16, "hhhhhhhhhhhhhhhhhhhh", 20);
	assert_memory_equal(f->out + 36, "pppppppppppppppppppp", 20);
	assert_int_equal(get_u64(f->out + 56), 1);
	assert_int_equal(get_u64(f->out + 64), 2);
	assert_int_equal(get_u64(f->out + 72), 3);
	assert_int_equal(get_u32(f->out + 80), 2);
	assert_int_equal(get_u32(f->out + 84), 0);
	assert_int_equal(get_u32(f->out + 88), 4);
	assert_int_equal(get_u32(f->out + 92), 5);
	assert_int_equal(get_u16(f->out + 96), 6);
}

static void
an_answer_gives_peers_and_numbers(void **state)
{
	static const uint8_t peers[12] = {1, 2, 3, 4, 0x1a, 0xe1,
					  5, 6, 7, 8, 0,    80};
	struct fixture *f = *state;
	uint8_t p[32];
	size_t n = put_answer(p, 88);

	connected(f, 0);
	expect_announce(f, 0, 1234);
	memcpy(p + n, peers, sizeof(peers));
	assert_int_equal(receive(f, p, n + 12, 0), TRACKER_UDP_ANSWERED);
	assert_int_equal(f->answer.peer_count, 2);
	assert_int_equal(f->answer.peers[0].port, 6881);
	assert_int_equal(f->answer.interval, 1800);
	assert_int_equal(f->answer.leechers, 7);
	assert_int_equal(f->answer.seeds, 8);
}

static void
an_ipv6_answer_has_longer_peers(void **state)
{
	struct fixture *f = *state;
	uint8_t p[64] = {0};
	size_t n = put_answer(p, 88);
	struct tracker_udp_packet packet = {p, n + 18, AF_INET6};

	connected(f, 0);
	expect_announce(f, 0, 1234);
	p[n] = 0x20;
	p[n + 17] = 80;
	assert_int_equal(tracker_udp_receive(&f->udp, &f->link, &packet, 0,
					     &f->answer, &f->e),
			 TRACKER_UDP_ANSWERED);
	assert_int_equal(f->answer.peer_count, 1);
	assert_int_equal(f->answer.peers[0].family, AF_INET6);
	assert_int_equal(f->answer.peers[0].port, 80);
}

static void
a_cut_off_peer_is_ignored(void **state)
{
	struct fixture *f = *state;
	uint8_t p[32] = {0};
	size_t n = put_answer(p, 88);

	connected(f, 0);
	expect_announce(f, 0, 1234);
	assert_int_equal(receive(f, p, n + 5, 0), TRACKER_UDP_ANSWERED);
	assert_int_equal(f->answer.peer_count, 0);
}

static void
numbers_of_minus_one_are_unknown(void **state)
{
	struct fixture *f = *state;
	uint8_t p[32];
	size_t n = put_answer(p, 88);

	connected(f, 0);
	expect_announce(f, 0, 1234);
	put_u32(p + 12, UINT32_MAX);
	assert_int_equal(receive(f, p, n, 0), TRACKER_UDP_ANSWERED);
	assert_int_equal(f->answer.leechers, -1);
}

/* The times of BEP 15's example, and one packet more in the first. */
static void
retries_wait_15_seconds_and_twice_as_long_each_time(void **state)
{
	struct fixture *f = *state;

	expect_connect(f, 0, 77);
	expect_nothing(f, 4 * S - 1);
	expect_connect(f, 4 * S, 77);
	expect_nothing(f, 15 * S - 1);
	expect_connect(f, 15 * S, 77);
	expect_nothing(f, 45 * S - 1);
	expect_connect(f, 45 * S, 77);
	assert_false(tracker_udp_expired(&f->udp, 105 * S - 1));
	assert_true(tracker_udp_expired(&f->udp, 105 * S));
	expect_nothing(f, 105 * S);
}

static void
a_tracker_that_only_connects_is_given_up(void **state)
{
	struct fixture *f = *state;
	int64_t now = 0;
	int announces = 0;

	for (int i = 0; i < 20; i++) {
		size_t n = tracker_udp_send(&f->udp, &f->link, now, 77, f->out);

		if (n == 16)
			receive_connect(f, 77, 1234, now);
		announces += n == 98 ? 1 : 0;
		if (tracker_udp_expired(&f->udp, f->udp.due))
			break;
		now = f->udp.due;
	}
	assert_int_equal(announces, TRIES);
	assert_true(tracker_udp_expired(&f->udp, f->udp.due));
}

static void
a_connection_serves_for_a_minute(void **state)
{
	struct fixture *f = *state;

	connected(f, 0);
	begin(f, "", 60 * S - 1);
	expect_announce(f, 60 * S - 1, 1234);
	begin(f, "", 60 * S);
	expect_connect(f, 60 * S, 77);
}

static void
an_expired_connection_is_made_again_in_between(void **state)
{
	struct fixture *f = *state;

	connected(f, 0);
	expect_announce(f, 0, 1234);
	expect_announce(f, 4 * S, 1234);
	expect_announce(f, 15 * S, 1234);
	expect_announce(f, 45 * S, 1234);
	assert_true(tracker_udp_expired(&f->udp, 105 * S));
	begin(f, "", 50 * S);
	expect_announce(f, 50 * S, 1234);
	expect_connect(f, 65 * S, 77);
}

static void
whose_last_try_was_lost_has_one_more(void **state)
{
	struct fixture *f = *state;

	connected(f, 0);
	expect_announce(f, 0, 1234);
	expect_announce(f, 4 * S, 1234);
	expect_announce(f, 15 * S, 1234);
	expect_announce(f, 45 * S, 1234);
	f->link.expires = 0;
	tracker_udp_again(&f->udp, 46 * S);
	assert_false(tracker_udp_expired(&f->udp, 46 * S));
	expect_connect(f, 46 * S, 77);
	receive_connect(f, 77, 1235, 47 * S);
	expect_announce(f, 47 * S, 1235);
	assert_true(tracker_udp_expired(&f->udp, 107 * S));
	expect_nothing(f, 107 * S);
}

static void
packets_of_another_transaction_are_ignored(void **state)
{
	struct fixture *f = *state;
	uint8_t p[32];
	size_t n = put_answer(p, 87);

	assert_int_equal(receive_connect(f, 0, 5, 0), TRACKER_UDP_BUSY);
	assert_true(f->link.expires == 0);
	expect_connect(f, 0, 77);
	assert_int_equal(receive_connect(f, 76, 5, 0), TRACKER_UDP_BUSY);
	assert_true(f->link.expires == 0);
	receive_connect(f, 77, 1234, 0);
	expect_announce(f, 0, 1234);
	assert_int_equal(receive(f, p, n, 0), TRACKER_UDP_BUSY);
	assert_int_equal(receive_error(f, 87, "no", 0), TRACKER_UDP_BUSY);
}

static void
a_packet_of_the_wrong_kind_is_ignored(void **state)
{
	struct fixture *f = *state;
	uint8_t p[32];
	size_t n = put_answer(p, 77);

	expect_connect(f, 0, 77);
	assert_int_equal(receive(f, p, n, 0), TRACKER_UDP_BUSY);
	receive_connect(f, 77, 1234, 0);
	expect_announce(f, 0, 1234);
	assert_int_equal(receive_connect(f, 88, 99, 0), TRACKER_UDP_BUSY);
	assert_true(f->link.id == 1234);
}

static void
short_packets_are_ignored(void **state)
{
	struct fixture *f = *state;
	uint8_t p[32] = {0};

	expect_connect(f, 0, 77);
	put_u32(p + 4, 77);
	for (size_t n = 0; n < 16; n++)
		assert_int_equal(receive(f, p, n, 0), TRACKER_UDP_BUSY);
	assert_true(f->link.expires == 0);
	receive_connect(f, 77, 1234, 0);
	expect_announce(f, 0, 1234);
	put_answer(p, 88);
	for (size_t n = 0; n < 20; n++)
		assert_int_equal(receive(f, p, n, 0), TRACKER_UDP_BUSY);
}

static void
an_error_is_told_cleaned(void **state)
{
	struct fixture *f = *state;

	expect_connect(f, 0, 77);
	assert_int_equal(receive_error(f, 77, "go\n away", 0),
			 TRACKER_UDP_FAILED);
	assert_int_equal(f->e.kind, ERROR_PROTOCOL);
	assert_string_equal(f->e.text, "the tracker says 'go? away'");
}

static void
an_error_is_told_without_the_secrets_of_the_path(void **state)
{
	struct fixture *f = *state;

	begin(f, "/my-key/announce?pass=w0rd", 0);
	expect_connect(f, 0, 77);
	assert_int_equal(receive_error(f, 77, "no my-key, no w0rd", 0),
			 TRACKER_UDP_FAILED);
	assert_string_equal(f->e.text, "the tracker says 'no ..., no ...'");
}

static void
a_connection_that_the_tracker_forgot_is_made_again(void **state)
{
	struct fixture *f = *state;

	connected(f, 0);
	begin(f, "", S);
	expect_announce(f, S, 1234);
	assert_int_equal(receive_error(f, 88, "who?", S), TRACKER_UDP_BUSY);
	expect_connect(f, S, 77);
	receive_connect(f, 77, 5678, S);
	expect_announce(f, S, 5678);
	assert_int_equal(receive_error(f, 88, "who?", S), TRACKER_UDP_FAILED);
}

static void
path_and_query_follow_in_options(void **state)
{
	struct fixture *f = *state;

	begin(f, "/ann?k=v", 0);
	connected(f, 0);
	expect_announce(f, 0, 1234);
	assert_int_equal(f->size, 98 + 10);
	assert_memory_equal(f->out + 98, "\x02\x08/ann?k=v", 10);
}

static void
a_long_path_takes_several_options(void **state)
{
	struct fixture *f = *state;
	char path[TRACKER_URL_MAX];

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	begin(f, path, 0);
	connected(f, 0);
	expect_announce(f, 0, 1234);
	assert_int_equal(f->size, 98 + 2047 + 2 * 9);
	assert_int_equal(f->out[98], 2);
	assert_int_equal(f->out[99], 255);
	assert_int_equal(f->out[98 + 257], 2);
	assert_int_equal(f->out[98 + 8 * 257 + 1], 2047 - 8 * 255);
}

static void
expect_split(const char *url, const char *host, uint16_t port,
	     const char *path)
{
	char got_host[64], got_path[TRACKER_URL_MAX];
	uint16_t got_port;

	assert_true(tracker_udp_split(url, got_host, sizeof(got_host),
				      &got_port, got_path));
	assert_string_equal(got_host, host);
	assert_int_equal(got_port, port);
	assert_string_equal(got_path, path);
}

static void
urls_are_split(void **state)
{
	(void)state;
	expect_split("udp://a.b:80", "a.b", 80, "");
	expect_split("UDP://a.b:80/", "a.b", 80, "/");
	expect_split("udp://[::1]:6969/announce?x=y#z", "::1", 6969,
		     "/announce?x=y");
	expect_split("udp://a:1?x", "a", 1, "/?x");
	expect_split("udp://a:1/\xc3\xa4?\xff", "a", 1, "/%C3%A4?%FF");
}

static void
bad_urls_are_not_split(void **state)
{
	static const char *const bad[] = {
	    "http://a:80/",   "udp://a",	   "udp://a/",
	    "udp://:80/",     "udp://a:0/",  "udp://a:65536/",
	    "udp://u@a:80/", "udp://[::1]/", "udp://",
	};
	char host[64], path[TRACKER_URL_MAX];
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(tracker_udp_split(bad[i], host, sizeof(host),
					       &port, path));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void
numbers_are_told_from_names(void **state)
{
	(void)state;
	assert_true(tracker_udp_is_number("udp://1.2.3.4:80/announce"));
	assert_true(tracker_udp_is_number("udp://[::1]:80"));
	assert_false(tracker_udp_is_number("udp://a.b:80/announce"));
	assert_false(tracker_udp_is_number("udp://localhost:80"));
	assert_false(tracker_udp_is_number("http://1.2.3.4:80/announce"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_announce_is_laid_out_as_in_bep_15),
	    TEST(an_answer_gives_peers_and_numbers),
	    TEST(an_ipv6_answer_has_longer_peers),
	    TEST(a_cut_off_peer_is_ignored),
	    TEST(numbers_of_minus_one_are_unknown),
	    TEST(retries_wait_15_seconds_and_twice_as_long_each_time),
	    TEST(a_tracker_that_only_connects_is_given_up),
	    TEST(a_connection_serves_for_a_minute),
	    TEST(an_expired_connection_is_made_again_in_between),
	    TEST(whose_last_try_was_lost_has_one_more),
	    TEST(packets_of_another_transaction_are_ignored),
	    TEST(a_packet_of_the_wrong_kind_is_ignored),
	    TEST(short_packets_are_ignored),
	    TEST(an_error_is_told_cleaned),
	    TEST(an_error_is_told_without_the_secrets_of_the_path),
	    TEST(a_connection_that_the_tracker_forgot_is_made_again),
	    TEST(path_and_query_follow_in_options),
	    TEST(a_long_path_takes_several_options),
	    cmocka_unit_test(urls_are_split),
	    cmocka_unit_test(bad_urls_are_not_split),
	    cmocka_unit_test(numbers_are_told_from_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
