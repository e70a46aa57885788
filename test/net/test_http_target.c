#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curlver.h>

#include "net/http_target.h"

/* Older ones take odd forms of numbers for names. */
#define KNOWS_ODD_FORMS (LIBCURL_VERSION_NUM >= 0x074d00)

static bool
allowed(bool local, const char *ip)
{
	struct addr a;

	assert_true(addr_parse(&a, ip, 80));
	return http_target_allowed(local, &a);
}

static void
numbers_of_local_hosts_are_local(void **state)
{
	static const char *const urls[] = {
		"http://127.0.0.1/f",	 "http://127.0.0.1:8080/f",
		"http://10.1.2.3/f",	 "http://172.16.0.1/f",
		"http://192.168.1.1/f",	 "http://169.254.1.1/f",
		"http://100.64.0.1/f",	 "http://[::1]:80/f",
		"http://[fe80::1]/f",	 "http://[fd00::1]/f",
		"http://u:p@127.0.0.1/", "http://[::ffff:10.0.0.1]/f",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++)
		assert_true(http_target_is_local(urls[i]));
}

static void
odd_forms_of_numbers_are_local_too(void **state)
{
	(void)state;
	if (!KNOWS_ODD_FORMS)
		skip();
	assert_true(http_target_is_local("http://127.1/f"));
	assert_true(http_target_is_local("http://0x7f000001/f"));
	assert_true(http_target_is_local("http://2130706433/f"));
}

static void
a_number_is_told_from_a_name(void **state)
{
	(void)state;
	assert_true(http_target_is_number("http://8.8.8.8:80/f"));
	assert_true(http_target_is_number("http://[2001:db8::1]/f"));
	assert_true(!KNOWS_ODD_FORMS ||
		    http_target_is_number("http://0x7f000001/f"));
	assert_false(http_target_is_number("http://example.com/8.8.8.8"));
	assert_false(http_target_is_number("http://8.8.8.8.example.com/"));
}

static void
names_of_the_local_network_are_local(void **state)
{
	static const char *const urls[] = {
		"http://localhost/f",	  "http://LOCALHOST:80/f",
		"http://nas/f",		  "http://nas.lan/f",
		"http://nas.local./f",	  "http://a.b.home.arpa/f",
		"http://x.internal:81/f", "https://a.localhost/f",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++)
		assert_true(http_target_is_local(urls[i]));
}

static void
all_others_are_not(void **state)
{
	static const char *const urls[] = {
		"http://example.com/f",	     "http://8.8.8.8/f",
		"http://[2001:db8::1]/f",    "http://0.0.0.0/f",
		"http://a.com/http://nas/",  "http://127.0.0.1.example.com/",
		"http://nas@example.com/",   "http://example.com/?127.0.0.1",
		"http://mylan.example.org/", "no url",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++)
		assert_false(http_target_is_local(urls[i]));
}

static void
a_local_host_is_not_sent_a_query(void **state)
{
	(void)state;
	assert_false(http_target_url_allowed("http://192.168.1.1/a?reboot=1"));
	assert_false(http_target_url_allowed("http://router/?x"));
	assert_true(http_target_url_allowed("http://192.168.1.1/a"));
	assert_true(http_target_url_allowed("http://example.com/a?b=c"));
}

static void
a_foreign_url_reaches_public_addresses_alone(void **state)
{
	static const char *const inside[] = {
		"127.0.0.1", "10.0.0.1", "192.168.0.1", "169.254.169.254",
		"::1",	     "fe80::1",	 "fd12::1",	"::ffff:127.0.0.1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(inside) / sizeof(*inside); i++) {
		assert_false(allowed(false, inside[i]));
		assert_true(allowed(true, inside[i]));
	}
	assert_true(allowed(false, "8.8.8.8"));
	assert_true(allowed(false, "2001:4860::1"));
}

static void
nobody_reaches_what_is_no_host(void **state)
{
	static const char *const none[] = {"0.0.0.0", "::", "224.0.0.1",
					   "255.255.255.255", "ff02::1"};

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		assert_false(allowed(true, none[i]));
}

static void
an_announce_is_told_by_its_path(void **state)
{
	(void)state;
	assert_true(http_target_is_announce("http://a/announce"));
	assert_true(http_target_is_announce("http://a:80/k/announce?b=/c"));
	assert_true(http_target_is_announce("http://a/x/announce.php#d"));
	assert_false(http_target_is_announce("http://a/"));
	assert_false(http_target_is_announce("http://a/reboot?x=/announce"));
	assert_true(http_target_is_announce("http://a/announce/KEY"));
	assert_true(http_target_is_announce("http://a/announce.php/KEY/x?y"));
	assert_false(http_target_is_announce("http://a/x-announce/reboot"));
	assert_false(http_target_is_announce("http://announce/reboot"));
	assert_false(http_target_is_announce("http://announce"));
	assert_false(http_target_is_announce("http://a?/announce"));
	assert_false(http_target_is_announce("http://a/#/announce"));
	assert_false(http_target_is_announce("http://a/an"));
}

static void
an_announce_leads_nowhere_else(void **state)
{
	static const char *const bad[] = {
		"http://a/announce/../reboot", "http://a/announce/..;/reboot",
		"http://a/announce/%2e%2E/reboot", "http://a/announce/.%2e/x",
		"http://a/announce/%2E./x", "http://a/announce..%2f..%2fx",
		"http://a/announce/x/..",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(http_target_is_announce(bad[i]));
	assert_true(http_target_is_announce("http://a/announce/a.b%2/.c"));
	assert_true(http_target_is_announce("http://a/announce?x=.."));
}

static void
bad_urls_are_refused(void **state)
{
	static const char *const bad[] = {
		"ftp://a/",		    "file:///etc/passwd", "a",
		"http://",		    "http:///a",	  "http://a/b c",
		"http://a/\r\nHost: b", "http://a/\x7f",	  "http://a/\xc3\xa4",
	};
	struct error e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(http_target_check_url(bad[i], &e), -1);
	assert_int_equal(http_target_check_url("HTTPS://[::1]:80/a?b", &e), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_urls_are_refused),
		cmocka_unit_test(an_announce_is_told_by_its_path),
		cmocka_unit_test(an_announce_leads_nowhere_else),
		cmocka_unit_test(numbers_of_local_hosts_are_local),
		cmocka_unit_test(odd_forms_of_numbers_are_local_too),
		cmocka_unit_test(a_number_is_told_from_a_name),
		cmocka_unit_test(names_of_the_local_network_are_local),
		cmocka_unit_test(all_others_are_not),
		cmocka_unit_test(a_local_host_is_not_sent_a_query),
		cmocka_unit_test(a_foreign_url_reaches_public_addresses_alone),
		cmocka_unit_test(nobody_reaches_what_is_no_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
