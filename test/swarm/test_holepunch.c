#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "swarm/holepunch.h"

static const struct addr four = {
	.ip = {203, 0, 113, 9}, .port = 6881, .family = AF_INET};
static const struct addr six = {
	.ip = {0x20, 1, 0xd, 0xb8, [15] = 9}, .port = 6882,
	.family = AF_INET6};

static void
assert_written(const struct holepunch *m, const void *want, size_t n)
{
	struct buffer b;

	buffer_init(&b, HOLEPUNCH_MAX);
	holepunch_put(&b, m);
	assert_false(b.failed);
	assert_int_equal(b.used, n);
	assert_memory_equal(b.data, want, n);
	buffer_release(&b);
}

static void
assert_comes_back(const struct holepunch *m)
{
	struct holepunch got;
	struct buffer b;

	buffer_init(&b, HOLEPUNCH_MAX);
	holepunch_put(&b, m);
	assert_true(holepunch_parse(&got, b.data, b.used));
	buffer_release(&b);
	assert_int_equal(got.kind, m->kind);
	assert_true(addr_equal(&got.addr, &m->addr));
	assert_int_equal(got.error, m->error);
}

static void
holepunch_writes_what_the_bep_says(void **state)
{
	static const char rendezvous[] = "\0\0\xcb\0\x71\x09\x1a\xe1\0\0\0\0";
	static const char error[] = "\2\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0"
				    "\x09\x1a\xe2\0\0\0\3";

	(void)state;
	assert_written(&(struct holepunch){HOLEPUNCH_RENDEZVOUS, four, 0},
		       rendezvous, sizeof(rendezvous) - 1);
	assert_written(&(struct holepunch){HOLEPUNCH_ERROR, six,
					   HOLEPUNCH_NO_SUPPORT},
		       error, sizeof(error) - 1);
}

static void
holepunch_reads_what_it_writes(void **state)
{
	(void)state;
	for (int kind = HOLEPUNCH_RENDEZVOUS; kind <= HOLEPUNCH_ERROR; kind++) {
		struct holepunch m = {.kind = (enum holepunch_kind)kind};

		if (kind == HOLEPUNCH_ERROR)
			m.error = HOLEPUNCH_NOT_CONNECTED;
		m.addr = four;
		assert_comes_back(&m);
		m.addr = six;
		assert_comes_back(&m);
	}
}

static void
holepunch_does_without_the_error_where_there_is_none(void **state)
{
	static const char connect[] = {1, 0, 10, 0, 0, 1, 0x1a, (char)0xe1};
	static const char error[] = {2, 0, 10, 0, 0, 1, 0x1a, (char)0xe1};
	struct holepunch m;

	(void)state;
	assert_true(holepunch_parse(&m, connect, sizeof(connect)));
	assert_int_equal(m.kind, HOLEPUNCH_CONNECT);
	assert_int_equal(m.addr.port, 6881);
	assert_int_equal(m.error, 0);
	assert_false(holepunch_parse(&m, error, sizeof(error)));
}

static void
holepunch_takes_no_message_that_is_cut_short(void **state)
{
	struct holepunch m = {HOLEPUNCH_ERROR, six, HOLEPUNCH_NO_SELF}, got;
	struct buffer b;

	(void)state;
	buffer_init(&b, HOLEPUNCH_MAX);
	holepunch_put(&b, &m);
	for (size_t n = 0; n < b.used; n++)
		assert_false(holepunch_parse(&got, b.data, n));
	buffer_release(&b);
}

static void
holepunch_takes_no_kind_or_address_that_is_unknown(void **state)
{
	uint8_t raw[HOLEPUNCH_MAX] = {3, 0, 10, 0, 0, 1, 0x1a, 0xe1};
	struct holepunch m;

	(void)state;
	assert_false(holepunch_parse(&m, raw, sizeof(raw)));
	raw[0] = 0;
	assert_true(holepunch_parse(&m, raw, sizeof(raw)));
	raw[1] = 2;
	assert_false(holepunch_parse(&m, raw, sizeof(raw)));
}

static void
holepunch_takes_no_ipv4_that_is_said_to_be_ipv6(void **state)
{
	uint8_t raw[HOLEPUNCH_MAX] = {0, 1, [12] = 0xff, [13] = 0xff, 10, 0,
				      0, 1, 0x1a, 0xe1};
	struct holepunch m;

	(void)state;
	assert_false(holepunch_parse(&m, raw, sizeof(raw)));
}

static void
holepunch_leaves_unusable_addresses_to_the_caller(void **state)
{
	uint8_t raw[HOLEPUNCH_MAX] = {0, 0, 10, 0, 0, 1};
	struct holepunch m;

	(void)state;
	assert_true(holepunch_parse(&m, raw, sizeof(raw)));
	assert_false(addr_usable(&m.addr));
}

static void
holepunch_names_every_error(void **state)
{
	(void)state;
	assert_string_equal(holepunch_error_name(HOLEPUNCH_NO_SUPPORT),
			    "it does not know how");
	assert_string_equal(holepunch_error_name(HOLEPUNCH_FINE),
			    "unknown error");
	assert_string_equal(holepunch_error_name(UINT32_MAX),
			    "unknown error");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holepunch_writes_what_the_bep_says),
		cmocka_unit_test(holepunch_reads_what_it_writes),
		cmocka_unit_test(
			holepunch_does_without_the_error_where_there_is_none),
		cmocka_unit_test(holepunch_takes_no_message_that_is_cut_short),
		cmocka_unit_test(
			holepunch_takes_no_kind_or_address_that_is_unknown),
		cmocka_unit_test(
			holepunch_takes_no_ipv4_that_is_said_to_be_ipv6),
		cmocka_unit_test(
			holepunch_leaves_unusable_addresses_to_the_caller),
		cmocka_unit_test(holepunch_names_every_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
