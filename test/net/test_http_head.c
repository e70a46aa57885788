/* What a web server says of the part that it sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "net/http_head.h"

static struct http_head
read_line(const char *line)
{
	struct http_head h = {0};

	http_head_take(&h, line, strlen(line));
	return h;
}

static void
ranges_are_read(void **state)
{
	struct http_head h = read_line("Content-Range: bytes 5-99/100\r\n");

	(void)state;
	assert_true(h.has_range);
	assert_true(h.first == 5 && h.last == 99 && h.size == 100);
	h = read_line("content-range:\tBytes   0-0/* \r\n");
	assert_true(h.has_range);
	assert_true(h.first == 0 && h.last == 0 && h.size == UINT64_MAX);
	h = read_line("CONTENT-RANGE:bytes 7-7/8");
	assert_true(h.has_range && h.first == 7);
}

static void
ranges_are_read_strictly(void **state)
{
	static const char *const bad[] = {
		"",		       "bytes",
		"bytes 1-2",	       "bytes 2-1/3",
		"bytes 0-3/3",	       "bytes */3",
		"bytes 0-1/3 x",       "bytes -1/3",
		"bytes 0-1/",	       "octets 0-1/3",
		"bytes 0-18446744073709551616/18446744073709551617",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char line[100] = "Content-Range: ";

		strcat(line, bad[i]);
		assert_false(read_line(line).has_range);
	}
}

/* A bad one does not leave the good one before it standing. */
static void
the_last_of_two_ranges_counts(void **state)
{
	struct http_head h = read_line("Content-Range: bytes 0-1/2");
	const char *more = "Content-Range: bytes 0-9/2";

	(void)state;
	http_head_take(&h, more, strlen(more));
	assert_false(h.has_range);
}

static void
lengths_are_read(void **state)
{
	struct http_head h = read_line("Content-Length: 1234\r\n");

	(void)state;
	assert_true(h.has_length && h.length == 1234);
	assert_false(read_line("Content-Length: \r\n").has_length);
	assert_false(read_line("Content-Length: -1\r\n").has_length);
	assert_false(read_line("Content-Length: 99999999999999999999\r\n")
			     .has_length);
	assert_false(read_line("X-Content-Length: 5\r\n").has_length);
}

static void
encodings_are_noticed(void **state)
{
	(void)state;
	assert_true(read_line("Content-Encoding: gzip\r\n").encoded);
	assert_true(read_line("Content-Encoding: identity, br\r\n").encoded);
	assert_false(read_line("Content-Encoding: Identity\r\n").encoded);
	assert_false(read_line("Accept-Encoding: gzip\r\n").encoded);
}

static void
a_location_is_noticed(void **state)
{
	(void)state;
	assert_true(read_line("Location: http://a/\r\n").location);
	assert_false(read_line("Content-Location: /\r\n").location);
}

static void
the_time_to_wait_is_read(void **state)
{
	(void)state;
	assert_int_equal(http_head_wait("30", 2), 30);
	assert_int_equal(http_head_wait(" \r\n5\r\n", 6), 5);
	assert_int_equal(http_head_wait("307", 2), 30);
	assert_int_equal(http_head_wait("", 0), 0);
	assert_int_equal(http_head_wait("soon", 4), 0);
	assert_int_equal(http_head_wait("-5", 2), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_read),
		cmocka_unit_test(ranges_are_read_strictly),
		cmocka_unit_test(the_last_of_two_ranges_counts),
		cmocka_unit_test(lengths_are_read),
		cmocka_unit_test(encodings_are_noticed),
		cmocka_unit_test(a_location_is_noticed),
		cmocka_unit_test(the_time_to_wait_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
