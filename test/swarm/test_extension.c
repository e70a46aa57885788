#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "swarm/extension.h"

static struct extension_handshake
parse(const char *text, size_t size)
{
	struct extension_handshake h = {0};
	struct error e;

	assert_int_equal(extension_parse_handshake(&h, text, size, &e), 0);
	return h;
}

#define PARSE(text) parse(text, sizeof(text) - 1)

static void
extension_reads_what_it_writes(void **state)
{
	struct extension_handshake in = {
		.client = "btget 1",
		.port = 6881,
		.reqq = 2000,
		.upload_only = true,
		.yourip = {.ip = {1, 2, 3, 4}, .family = AF_INET},
		.ids = {[EXTENSION_DONTHAVE] = EXTENSION_DONTHAVE},
	}, h;
	struct buffer out;

	(void)state;
	buffer_init(&out, EXTENSION_HANDSHAKE_MAX);
	extension_put_handshake(&out, &in);
	assert_false(out.failed);
	h = parse((const char *)out.data, out.used);
	buffer_release(&out);
	assert_string_equal(h.client, "btget 1");
	assert_int_equal(h.port, 6881);
	assert_int_equal(h.reqq, 2000);
	assert_true(h.upload_only);
	assert_true(addr_same_ip(&h.yourip, &in.yourip));
	assert_int_equal(h.ids[EXTENSION_DONTHAVE], EXTENSION_DONTHAVE);
}

static void
extension_writes_sorted_keys_and_no_more_than_is_known(void **state)
{
	struct extension_handshake in = {
		.client = "x",
		.reqq = 5,
		.ids = {[EXTENSION_DONTHAVE] = 1, [EXTENSION_METADATA] = 2,
			[EXTENSION_HOLEPUNCH] = 4},
	};
	static const char want[] = "d1:md11:lt_donthavei1e12:ut_holepunchi4e"
				   "11:ut_metadatai2ee4:reqqi5e1:v1:xe";
	struct buffer out;

	(void)state;
	buffer_init(&out, EXTENSION_HANDSHAKE_MAX);
	extension_put_handshake(&out, &in);
	assert_int_equal(out.used, sizeof(want) - 1);
	assert_memory_equal(out.data, want, out.used);
	buffer_release(&out);
}

static void
extension_keeps_what_a_later_one_does_not_mention(void **state)
{
	static const char first[] = "d1:md11:lt_donthavei7ee1:pi80e4:reqqi9ee";
	struct extension_handshake h;

	(void)state;
	h = PARSE(first);
	assert_int_equal(extension_parse_handshake(&h, "d4:reqqi3ee", 11, NULL),
			 0);
	assert_int_equal(h.reqq, 3);
	assert_int_equal(h.port, 80);
	assert_int_equal(h.ids[EXTENSION_DONTHAVE], 7);
	assert_int_equal(extension_parse_handshake(
				 &h, "d1:md11:lt_donthavei0eee", 24, NULL), 0);
	assert_int_equal(h.ids[EXTENSION_DONTHAVE], 0);
}

static void
extension_takes_no_number_out_of_range(void **state)
{
	struct extension_handshake h;

	(void)state;
	h = PARSE("d1:md11:lt_donthavei256ee1:pi65536e4:reqqi-1ee");
	assert_int_equal(h.ids[EXTENSION_DONTHAVE], 0);
	assert_int_equal(h.port, 0);
	assert_int_equal(h.reqq, 0);
	h = PARSE("d1:pi-1e4:reqqi9223372036854775807ee");
	assert_int_equal(h.port, 0);
	assert_in_range(h.reqq, 2000, 1000000);
}

static void
extension_takes_no_value_of_another_kind(void **state)
{
	struct extension_handshake h;

	(void)state;
	h = PARSE("d1:mi1e1:p1:x4:reqqle11:upload_onlyde1:vi1e6:yourip3:abce");
	assert_int_equal(h.port, 0);
	assert_int_equal(h.reqq, 0);
	assert_false(h.upload_only);
	assert_string_equal(h.client, "");
	assert_int_equal(h.yourip.family, 0);
}

static void
extension_cleans_the_clients_name(void **state)
{
	struct extension_handshake h;

	(void)state;
	h = PARSE("d1:v9:a\033[31mb\n\0e");
	assert_null(strchr(h.client, '\033'));
	assert_null(strchr(h.client, '\n'));
	assert_int_equal(h.client[0], 'a');
	h = PARSE("d1:v100:"
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxe");
	assert_true(strlen(h.client) < EXTENSION_CLIENT_MAX);
}

static void
extension_knows_both_kinds_of_address(void **state)
{
	(void)state;
	assert_int_equal(PARSE("d6:yourip4:abcde").yourip.family, AF_INET);
	assert_int_equal(PARSE("d6:yourip16:abcdefghijklmnope").yourip.family,
			 AF_INET6);
}

static void
extension_refuses_what_is_no_dictionary(void **state)
{
	static const char *const bad[] = {"", "i1e", "le", "d", "d1:p", "4:abcd",
					  "di1ei1ee"};
	struct extension_handshake h = {0};
	struct error e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		error_clear(&e);
		assert_int_equal(extension_parse_handshake(
					 &h, bad[i], strlen(bad[i]), &e), -1);
		assert_true(*e.text != '\0');
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extension_reads_what_it_writes),
		cmocka_unit_test(
			extension_writes_sorted_keys_and_no_more_than_is_known),
		cmocka_unit_test(
			extension_keeps_what_a_later_one_does_not_mention),
		cmocka_unit_test(extension_takes_no_number_out_of_range),
		cmocka_unit_test(extension_takes_no_value_of_another_kind),
		cmocka_unit_test(extension_cleans_the_clients_name),
		cmocka_unit_test(extension_knows_both_kinds_of_address),
		cmocka_unit_test(extension_refuses_what_is_no_dictionary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
