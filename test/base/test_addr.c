#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/addr.h"

static struct addr
parsed(const char *host, uint16_t port)
{
	struct addr a;

	assert_true(addr_parse(&a, host, port));
	return a;
}

static void
assert_format(const struct addr *a, const char *text)
{
	char out[ADDR_TEXT_MAX];

	assert_string_equal(addr_format(a, out), text);
}

static void
parse_and_format_agree(void **state)
{
	struct addr a = parsed("192.0.2.1", 6881);
	struct addr b = parsed("2001:db8::1", 80);
	struct addr c = parsed("[::1]", 1);
	char out[ADDR_TEXT_MAX];

	(void)state;
	assert_format(&a, "192.0.2.1:6881");
	assert_format(&b, "[2001:db8::1]:80");
	assert_format(&c, "[::1]:1");
	assert_string_equal(addr_format_ip(&b, out), "2001:db8::1");
}

static void
parse_refuses_what_is_no_address(void **state)
{
	static const char *const bad[] = {
		"", "host", "1.2.3", "1.2.3.4.5", "1.2.3.256", "[1::", "1::]",
		"::1%no-such-interface", ":::", "[]", " 1.2.3.4",
	};
	struct addr a;
	char longer[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(addr_parse(&a, bad[i], 1));
	memset(longer, '1', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_false(addr_parse(&a, longer, 1));
}

static void
mapped_addresses_become_plain_ipv4(void **state)
{
	static const uint8_t raw[ADDR_COMPACT6] = {
		[10] = 0xff, 0xff, 192, 0, 2, 1, 0x1a, 0xe1};
	struct addr plain = parsed("192.0.2.1", 6881);
	struct addr a = parsed("::ffff:192.0.2.1", 6881);
	struct addr b = addr_from_compact6(raw);

	(void)state;
	assert_int_equal(a.family, AF_INET);
	assert_true(addr_equal(&a, &plain));
	assert_true(addr_equal(&b, &plain));
}

static void
compact_form_goes_there_and_back(void **state)
{
	struct addr a = parsed("192.0.2.1", 6881);
	struct addr b = parsed("2001:db8::1", 80);
	uint8_t raw[ADDR_COMPACT6];
	struct addr back;

	(void)state;
	assert_int_equal(addr_to_compact(&a, raw), ADDR_COMPACT4);
	assert_memory_equal(raw, "\xc0\x00\x02\x01\x1a\xe1", 6);
	back = addr_from_compact4(raw);
	assert_true(addr_equal(&a, &back));
	assert_int_equal(addr_to_compact(&b, raw), ADDR_COMPACT6);
	back = addr_from_compact6(raw);
	assert_true(addr_equal(&b, &back));
}

static void
sockaddr_goes_there_and_back(void **state)
{
	static const char *const hosts[] = {"192.0.2.1", "2001:db8::1"};
	struct sockaddr_storage sa;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct addr a = parsed(hosts[i], 6881);
		struct addr back;

		assert_int_equal(addr_to_sockaddr(&a, &sa),
				 i == 0 ? sizeof(struct sockaddr_in)
					: sizeof(struct sockaddr_in6));
		assert_true(addr_from_sockaddr(&back, (struct sockaddr *)&sa));
		assert_true(addr_equal(&a, &back));
	}
}

static void
a_link_local_scope_is_kept(void **state)
{
	struct sockaddr_in6 in = {.sin6_family = AF_INET6,
				  .sin6_port = htons(5),
				  .sin6_scope_id = 3};
	struct sockaddr_storage sa;
	struct addr a, b;

	(void)state;
	assert_int_equal(inet_pton(AF_INET6, "fe80::1", &in.sin6_addr), 1);
	assert_true(addr_from_sockaddr(&a, (struct sockaddr *)&in));
	assert_format(&a, "[fe80::1%3]:5");
	b = a;
	b.scope = 4;
	assert_false(addr_equal(&a, &b));
	addr_to_sockaddr(&a, &sa);
	assert_int_equal(((struct sockaddr_in6 *)&sa)->sin6_scope_id, 3);
}

static void
other_families_are_refused(void **state)
{
	struct sockaddr sa = {.sa_family = AF_UNIX};
	struct addr a;

	(void)state;
	assert_false(addr_from_sockaddr(&a, &sa));
	assert_false(addr_usable(&a));
}

static void
split_finds_host_and_port(void **state)
{
	char host[64];
	uint16_t port;

	(void)state;
	assert_true(addr_split("example.org:80", host, sizeof(host), &port));
	assert_string_equal(host, "example.org");
	assert_int_equal(port, 80);
	assert_true(addr_split("[::1]:65535", host, sizeof(host), &port));
	assert_string_equal(host, "::1");
	assert_int_equal(port, 65535);
}

static void
split_refuses_other_forms(void **state)
{
	static const char *const bad[] = {
		"", ":", ":80", "host", "host:", "host:0", "host:65536",
		"host:8o", "::1:80", "[]:80", "[::1]80", "[::1:80", "host:-1",
		"host:+1", "host: 1", "toolong:80",
	};
	char host[7];
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(addr_split(bad[i], host, sizeof(host), &port));
}

static void
order_and_hash_agree_with_equality(void **state)
{
	struct addr sorted[] = {
		parsed("1.2.3.4", 1), parsed("1.2.3.4", 2),
		parsed("1.2.3.5", 1), parsed("::1", 1), parsed("::1", 2),
	};

	(void)state;
	for (int i = 0; i < 5; i++) {
		for (int j = 0; j < 5; j++) {
			assert_int_equal(addr_equal(&sorted[i], &sorted[j]),
					 i == j);
		}
	}
	assert_int_equal(addr_hash(&sorted[0]), addr_hash(&sorted[0]));
	assert_int_not_equal(addr_hash(&sorted[0]), addr_hash(&sorted[1]));
	assert_true(addr_same_ip(&sorted[0], &sorted[1]));
	assert_false(addr_same_ip(&sorted[0], &sorted[2]));
}

static void
only_unicast_with_a_port_is_usable(void **state)
{
	static const char *const bad[] = {"0.0.0.0", "0.1.2.3", "224.0.0.1",
					  "255.255.255.255", "::", "ff02::1"};
	struct addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		a = parsed(bad[i], 80);
		assert_false(addr_usable(&a));
	}
	a = parsed("192.0.2.1", 0);
	assert_false(addr_usable(&a));
	a = parsed("192.0.2.1", 1);
	assert_true(addr_usable(&a));
	a = parsed("2001:db8::1", 1);
	assert_true(addr_usable(&a));
}

static void
local_ranges_are_known_to_their_borders(void **state)
{
	static const char *const local[] = {
		"127.0.0.1", "10.255.0.1", "172.16.0.1", "172.31.255.255",
		"192.168.0.1", "169.254.0.1", "100.64.0.1", "100.127.255.255",
		"::1", "fe80::1", "febf::1", "fc00::1", "fdff::1",
	};
	static const char *const remote[] = {
		"128.0.0.1", "11.0.0.1", "172.15.0.1", "172.32.0.1",
		"192.169.0.1", "169.253.0.1", "100.63.0.1", "100.128.0.1",
		"::2", "fec0::1", "fe00::1", "2001:db8::1",
	};
	struct addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		a = parsed(local[i], 1);
		assert_true(addr_is_local(&a));
	}
	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
		a = parsed(remote[i], 1);
		assert_false(addr_is_local(&a));
	}
	a = parsed("127.9.9.9", 1);
	assert_true(addr_is_loopback(&a));
	a = parsed("10.0.0.1", 1);
	assert_false(addr_is_loopback(&a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_and_format_agree),
		cmocka_unit_test(parse_refuses_what_is_no_address),
		cmocka_unit_test(mapped_addresses_become_plain_ipv4),
		cmocka_unit_test(compact_form_goes_there_and_back),
		cmocka_unit_test(sockaddr_goes_there_and_back),
		cmocka_unit_test(a_link_local_scope_is_kept),
		cmocka_unit_test(other_families_are_refused),
		cmocka_unit_test(split_finds_host_and_port),
		cmocka_unit_test(split_refuses_other_forms),
		cmocka_unit_test(order_and_hash_agree_with_equality),
		cmocka_unit_test(only_unicast_with_a_port_is_usable),
		cmocka_unit_test(local_ranges_are_known_to_their_borders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
