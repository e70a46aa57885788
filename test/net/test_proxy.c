#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/proxy.h"

static void
assert_takes(const char *url, const char *host, uint16_t port,
	     const char *user, const char *password)
{
	struct proxy p;

	assert_int_equal(proxy_set(&p, url, NULL), 0);
	assert_string_equal(p.host, host);
	assert_int_equal(p.port, port);
	assert_string_equal(p.user, user);
	assert_string_equal(p.password, password);
}

static void
a_url_is_taken_apart(void **state)
{
	(void)state;
	assert_takes("socks5://127.0.0.1:1080", "127.0.0.1", 1080, "", "");
	assert_takes("SOCKS5H://a-b.example:9/", "a-b.example", 9, "", "");
	assert_takes("http://[2001:db8::1]:3128", "2001:db8::1", 3128, "", "");
	assert_takes("http://u@h:1", "h", 1, "u", "");
	assert_takes("socks5://me:p:w@h:1", "h", 1, "me", "p:w");
	assert_takes("socks5://me:a%40b%3ac%25@h:1", "h", 1, "me", "a@b:c%");
	assert_takes("socks5://me:at@sign@h:1", "h", 1, "me", "at@sign");
}

static void
names_are_looked_up_at_the_other_end(void **state)
{
	struct proxy p;

	(void)state;
	assert_int_equal(proxy_set(&p, "socks5://u:w@h:1", NULL), 0);
	assert_string_equal(p.url, "socks5h://h:1");
	assert_true(proxy_carries_peers(&p));
	assert_int_equal(proxy_set(&p, "http://[::1]:8080/", NULL), 0);
	assert_string_equal(p.url, "http://[::1]:8080");
	assert_false(proxy_carries_peers(&p));
	assert_false(proxy_carries_peers(NULL));
}

static void
bad_urls_are_refused_and_not_repeated(void **state)
{
	static const char *const urls[] = {
		"", "secret", "secret:1080", "//secret:1", "socks5:secret:1",
		"socks4://secret:1", "https://secret:1", "ftp://secret:1",
		"socks5://", "socks5://secret", "socks5://secret:",
		"socks5://:1", "socks5://secret:0", "socks5://secret:65536",
		"socks5://secret:1/path", "socks5://secret:1?q",
		"socks5://se cret:1", "socks5://se\ncret:1",
		"socks5://secret\xc3\xa4:1", "socks5://2001:db8::1:80",
		"socks5://0.0.0.0:1", "socks5://@secret:1",
		"socks5://:secret@h:1", "socks5://u:secret%@h:1",
		"socks5://u:secret%4@h:1", "socks5://u:secret%4g@h:1",
		"socks5://u:secret%00@h:1", "http://u:secret@",
	};
	struct proxy p;
	struct error e;

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		error_clear(&e);
		assert_int_equal(proxy_set(&p, urls[i], &e), -1);
		assert_int_equal(e.kind, ERROR_USAGE);
		assert_null(strstr(e.text, "secret"));
	}
}

static void
long_parts_are_refused(void **state)
{
	char url[4 * PROXY_TEXT_MAX], text[PROXY_TEXT_MAX + 2];
	struct proxy p;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[PROXY_TEXT_MAX + 1] = '\0';
	for (int i = 0; i < 3; i++) {
		snprintf(url, sizeof(url), i == 0 ? "http://%s:1" :
			 i == 1 ? "http://%s:w@h:1" : "http://u:%s@h:1", text);
		assert_int_equal(proxy_set(&p, url, NULL), -1);
	}
	text[PROXY_TEXT_MAX] = '\0';
	for (int i = 0; i < 3; i++) {
		snprintf(url, sizeof(url), i == 0 ? "http://%s:1" :
			 i == 1 ? "http://%s:w@h:1" : "http://u:%s@h:1", text);
		assert_int_equal(proxy_set(&p, url, NULL), 0);
	}
}

struct lines {
	unsigned warnings;
	unsigned details;
	char last[256];
};

static void
on_line(void *ctx, enum log_level level, const char *who, const char *about,
	const char *line)
{
	struct lines *l = ctx;

	assert_null(who);
	assert_null(about);
	if (level == LOG_WARNING)
		l->warnings++;
	else
		l->details++;
	snprintf(l->last, sizeof(l->last), "%s", line);
}

static void
a_failure_is_told_once_until_it_works(void **state)
{
	struct lines lines = {0};
	struct log *log = log_new(LOG_DEBUG, on_line, &lines);
	struct proxy *p = proxy_new("socks5://me:secret@h:1", NULL);

	(void)state;
	proxy_failed(p, log, "it is away");
	assert_string_equal(lines.last, "proxy h:1: it is away");
	proxy_failed(p, log, "it hangs up");
	assert_int_equal(lines.warnings, 1);
	assert_int_equal(lines.details, 1);
	proxy_works(p);
	proxy_failed(p, log, "it is away again");
	assert_int_equal(lines.warnings, 2);
	proxy_free(p);
	log_free(log);
}

#define TEST(name) cmocka_unit_test(name)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_url_is_taken_apart),
		TEST(names_are_looked_up_at_the_other_end),
		TEST(bad_urls_are_refused_and_not_repeated),
		TEST(long_parts_are_refused),
		TEST(a_failure_is_told_once_until_it_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
