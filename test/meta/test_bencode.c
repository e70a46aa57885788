#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/bencode.h"

static struct error error;

/* An exact copy on the heap, so that a sanitizer sees a byte too many. */
static int
read_exact(const char *text, size_t size)
{
	char *copy = malloc(size > 0 ? size : 1);
	struct bencode v;
	int status;

	assert_non_null(copy);
	memcpy(copy, text, size);
	error_clear(&error);
	status = bencode_read(&v, copy, size, &error);
	free(copy);
	return status;
}

static void
assert_reads(const char *text)
{
	if (read_exact(text, strlen(text)) != 0)
		fail_msg("'%s' was refused: %s", text, error.text);
}

static void
assert_refuses(const char *text, const char *why)
{
	if (read_exact(text, strlen(text)) == 0)
		fail_msg("'%s' was read", text);
	assert_int_equal(error.kind, ERROR_PROTOCOL);
	if (!strstr(error.text, why))
		fail_msg("'%s': '%s' lacks '%s'", text, error.text, why);
}

static struct bencode
value_of(const char *text)
{
	struct bencode v;

	assert_int_equal(bencode_read(&v, text, strlen(text), NULL), 0);
	return v;
}

static void
read_takes_every_kind_of_value(void **state)
{
	(void)state;
	assert_reads("i0e");
	assert_reads("i-1e");
	assert_reads("0:");
	assert_reads("4:spam");
	assert_reads("le");
	assert_reads("de");
	assert_reads("l4:spami7elee");
	assert_reads("d3:cow3:moo4:spaml1:a1:bee");
	assert_reads("d1:ad1:bd1:clee1:dleee");
}

static void
read_refuses_malformed_integers(void **state)
{
	(void)state;
	assert_refuses("i-0e", "leading zeros");
	assert_refuses("i01e", "leading zeros");
	assert_refuses("i00e", "leading zeros");
	assert_refuses("i-01e", "leading zeros");
	assert_refuses("ie", "malformed");
	assert_refuses("i-e", "malformed");
	assert_refuses("i+1e", "malformed");
	assert_refuses("i 1e", "malformed");
	assert_refuses("i1.5e", "malformed");
	assert_refuses("i--1e", "malformed");
	assert_refuses("i1", "ends");
	assert_refuses("i", "ends");
	assert_refuses("i-", "ends");
}

static void
integers_take_64_bits_and_no_more(void **state)
{
	int64_t n = 0;

	(void)state;
	assert_true(bencode_int(value_of("i9223372036854775807e"), &n));
	assert_true(n == INT64_MAX);
	assert_true(bencode_int(value_of("i-9223372036854775808e"), &n));
	assert_true(n == INT64_MIN);
	assert_false(bencode_int(value_of("i9223372036854775808e"), &n));
	assert_false(bencode_int(value_of("i-9223372036854775809e"), &n));
	assert_false(bencode_int(value_of("i18446744073709551615e"), &n));
	assert_false(bencode_int(value_of("i99999999999999999999999999999999e"),
				 &n));
}

static void
read_refuses_malformed_strings(void **state)
{
	(void)state;
	assert_refuses("5:spam", "past the end");
	assert_refuses("4294967296:x", "past the end");
	assert_refuses("18446744073709551615:x", "malformed");
	assert_refuses("99999999999999999999999999:x", "malformed");
	assert_refuses("04:spam", "leading zeros");
	assert_refuses("00:", "leading zeros");
	assert_refuses("4spam", "malformed");
	assert_refuses("4", "ends");
	assert_refuses("-1:a", "not a bencoded value");
	assert_refuses(":a", "not a bencoded value");
}

static void
read_refuses_malformed_containers(void **state)
{
	(void)state;
	assert_refuses("", "empty");
	assert_refuses("l", "ends");
	assert_refuses("d", "ends");
	assert_refuses("l4:spam", "ends");
	assert_refuses("e", "missing");
	assert_refuses("d1:ae", "missing");
	assert_refuses("di1ei2ee", "key is not a string");
	assert_refuses("dlei2ee", "key is not a string");
	assert_refuses("d1:a1:bi1e1:ce", "key is not a string");
	assert_refuses("x", "not a bencoded value");
	assert_refuses("l e", "not a bencoded value");
	assert_refuses("i1ei2e", "follows");
	assert_refuses("dee", "follows");
	assert_refuses("4:spam\n", "follows");
}

static void
every_cut_of_a_document_is_refused(void **state)
{
	static const char text[] = "d1:ai-12e1:bl3:abcd0:leee1:cd1:xi0eee";

	(void)state;
	assert_reads(text);
	for (size_t i = 0; i + 1 < sizeof(text) - 1; i++)
		assert_int_equal(read_exact(text, i), -1);
}

static void
depth_is_bounded(void **state)
{
	char text[2 * (BENCODE_DEPTH_MAX + 1) + 1];
	size_t n = BENCODE_DEPTH_MAX;

	(void)state;
	memset(text, 'l', n);
	memset(text + n, 'e', n);
	text[2 * n] = '\0';
	assert_reads(text);
	n++;
	memset(text, 'l', n);
	memset(text + n, 'e', n);
	text[2 * n] = '\0';
	assert_refuses(text, "too deeply");
}

static void
a_deep_mix_keeps_keys_and_values_apart(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 4000);
	for (int i = 0; i < BENCODE_DEPTH_MAX / 2; i++)
		buffer_str(&b, "d1:al");
	for (int i = 0; i < BENCODE_DEPTH_MAX / 2; i++)
		buffer_str(&b, "ee");
	assert_reads(buffer_text(&b));
	b.data[b.used - 2] = 'i';	/* where a value or an end must be */
	assert_refuses(buffer_text(&b), "malformed");
	buffer_release(&b);
}

/* What a container was is known again when the one in it has ended. */
static void
keys_go_on_behind_every_depth(void **state)
{
	struct buffer b;
	uint8_t *key;

	(void)state;
	buffer_init(&b, 4000);
	for (int i = 0; i < BENCODE_DEPTH_MAX / 2; i++)
		buffer_str(&b, "d1:al");
	for (int i = 0; i < BENCODE_DEPTH_MAX / 2; i++)
		buffer_str(&b, "i7ee1:bi7ee");
	assert_reads(buffer_text(&b));
	for (int i = 0; i < BENCODE_DEPTH_MAX / 2; i++) {
		key = b.data + BENCODE_DEPTH_MAX / 2 * 5 + i * 11 + 4;
		*key = 'i';
		assert_refuses(buffer_text(&b), "key is not a string");
		*key = '1';
	}
	buffer_release(&b);
}

static void
read_prefix_tells_what_it_used(void **state)
{
	static const char text[] = "d5:piecei0eeDATA";
	struct bencode v;

	(void)state;
	assert_int_equal(bencode_read_prefix(&v, text, sizeof(text) - 1, NULL),
			 0);
	assert_int_equal(v.size, sizeof(text) - 1 - 4);
	assert_ptr_equal(v.at, text);
	assert_int_equal(bencode_read_prefix(&v, "d", 1, NULL), -1);
	assert_int_equal(v.size, 0);
	assert_int_equal(bencode_read_prefix(&v, NULL, 0, NULL), -1);
}

static void
values_know_their_type(void **state)
{
	struct bencode none = {0};

	(void)state;
	assert_int_equal(bencode_type(value_of("i1e")), BENCODE_INT);
	assert_int_equal(bencode_type(value_of("0:")), BENCODE_STR);
	assert_int_equal(bencode_type(value_of("le")), BENCODE_LIST);
	assert_int_equal(bencode_type(value_of("de")), BENCODE_DICT);
	assert_int_equal(bencode_type(none), BENCODE_NONE);
}

static void
values_of_another_type_answer_no(void **state)
{
	struct bencode none = {0};
	struct bencode v;
	struct bencode_iter it;
	const uint8_t *at;
	size_t size;
	int64_t n;

	(void)state;
	assert_false(bencode_int(value_of("1:1"), &n));
	assert_false(bencode_int(none, &n));
	assert_false(bencode_str(value_of("i1e"), &at, &size));
	assert_false(bencode_str(none, &at, &size));
	assert_false(bencode_find(none, "a", &v));
	assert_false(bencode_find(value_of("l1:ai1ee"), "a", &v));
	it = bencode_items(value_of("d1:ai1ee"));
	assert_false(bencode_next(&it, &v));
	it = bencode_entries(none);
	assert_false(bencode_next(&it, &v));
	assert_false(bencode_enter_dict(&it));
}

static void
strings_lend_their_bytes(void **state)
{
	const uint8_t *at;
	size_t size;

	(void)state;
	assert_true(bencode_str(value_of("4:sp:m"), &at, &size));
	assert_int_equal(size, 4);
	assert_memory_equal(at, "sp:m", 4);
	assert_true(bencode_str_is(value_of("2:ok"), "ok"));
	assert_false(bencode_str_is(value_of("2:ok"), "o"));
	assert_false(bencode_str_is(value_of("i1e"), "i1e"));
}

static void
list_items_come_in_order(void **state)
{
	struct bencode list = value_of("li1el1:xe0:d1:ai2eee");
	struct bencode_iter it = bencode_items(list);
	struct bencode v;
	int64_t n;

	(void)state;
	assert_true(bencode_next(&it, &v));
	assert_true(bencode_int(v, &n) && n == 1);
	assert_true(bencode_next(&it, &v));
	assert_int_equal(v.size, 5);
	assert_memory_equal(v.at, "l1:xe", 5);
	assert_true(bencode_next(&it, &v));
	assert_true(bencode_str_is(v, ""));
	assert_true(bencode_next(&it, &v));
	assert_true(bencode_find_int(v, "a", &n) && n == 2);
	assert_false(bencode_next(&it, &v));
	assert_int_equal(v.size, 0);
	assert_false(bencode_next(&it, &v));
}

static void
find_takes_unsorted_keys(void **state)
{
	struct bencode d = value_of("d1:z1:Z1:ai5e4:infodee");
	struct bencode v;
	const uint8_t *at;
	size_t size;
	int64_t n;

	(void)state;
	assert_true(bencode_find_int(d, "a", &n) && n == 5);
	assert_true(bencode_find_str(d, "z", &at, &size));
	assert_int_equal(*at, 'Z');
	assert_true(bencode_find(d, "info", &v));
	assert_int_equal(v.size, 2);
	assert_false(bencode_find(d, "inf", &v));
	assert_false(bencode_find(d, "Z", &v));
}

static void
a_key_that_is_there_twice_is_not_found(void **state)
{
	struct bencode d = value_of("d1:ai1e1:bi3e1:ai2ee");
	struct bencode v;
	int64_t n;

	(void)state;
	assert_false(bencode_find(d, "a", &v));
	assert_int_equal(v.size, 0);
	assert_true(bencode_find_int(d, "b", &n) && n == 3);
}

static void
pick_gets_all_keys_in_one_walk(void **state)
{
	static const struct bencode_key keys[] = {
		BENCODE_KEY("a"), BENCODE_KEY("gone"), BENCODE_KEY("cc"),
	};
	struct bencode v[3];

	(void)state;
	assert_int_equal(bencode_pick(value_of("d2:cci1e1:ai2e1:xi3ee"), keys,
				      v, 3, &error), 0);
	assert_memory_equal(v[0].at, "i2e", 3);
	assert_int_equal(v[1].size, 0);
	assert_memory_equal(v[2].at, "i1e", 3);
}

static void
pick_refuses_a_key_that_is_there_twice(void **state)
{
	static const struct bencode_key key = BENCODE_KEY("a");
	struct bencode v;

	(void)state;
	assert_int_equal(bencode_pick(value_of("d1:ai1e1:ai1ee"), &key, &v, 1,
				      &error), -1);
	assert_non_null(strstr(error.text, "'a' is there twice"));
	assert_int_equal(bencode_pick(value_of("d1:bi1e1:bi1ee"), &key, &v, 1,
				      &error), 0);
	assert_int_equal(bencode_pick(value_of("i1e"), &key, &v, 1, &error),
			 -1);
}

static void
pick_next_goes_from_dict_to_dict(void **state)
{
	static const struct bencode_key key = BENCODE_KEY("a");
	struct bencode_iter it;
	struct bencode v;

	(void)state;
	it = bencode_items(value_of("ld1:ai1eeded1:ai3eei9ee"));
	assert_int_equal(bencode_pick_next(&it, &key, &v, 1, &error), 1);
	assert_memory_equal(v.at, "i1e", 3);
	assert_int_equal(bencode_pick_next(&it, &key, &v, 1, &error), 1);
	assert_int_equal(v.size, 0);
	assert_int_equal(bencode_pick_next(&it, &key, &v, 1, &error), 1);
	assert_memory_equal(v.at, "i3e", 3);
	assert_int_equal(bencode_pick_next(&it, &key, &v, 1, &error), -1);
	it = bencode_items(value_of("le"));
	assert_int_equal(bencode_pick_next(&it, &key, &v, 1, &error), 0);
}

static void
enter_and_leave_walk_a_tree(void **state)
{
	struct bencode_iter it;
	struct bencode v;

	(void)state;
	it = bencode_entries(value_of("d1:ad1:bi1e1:ci2ee1:di3ee"));
	assert_true(bencode_next(&it, &v));
	assert_false(bencode_str_is(v, "b"));
	assert_true(bencode_enter_dict(&it));
	assert_true(bencode_next(&it, &v));
	assert_true(bencode_str_is(v, "b"));
	bencode_leave(&it);
	assert_true(bencode_next(&it, &v));
	assert_true(bencode_str_is(v, "d"));
	assert_false(bencode_enter_dict(&it));
	assert_true(bencode_next(&it, &v));
	assert_false(bencode_next(&it, &v));
}

static void
what_is_written_can_be_read(void **state)
{
	static const char want[] = "d1:ali0ei-7ei-9223372036854775808ee"
				   "1:b3:a\0be";
	struct buffer b;

	(void)state;
	buffer_init(&b, 1000);
	bencode_put_dict(&b);
	bencode_put_str(&b, "a");
	bencode_put_list(&b);
	bencode_put_int(&b, 0);
	bencode_put_int(&b, -7);
	bencode_put_int(&b, INT64_MIN);
	bencode_put_end(&b);
	bencode_put_str(&b, "b");
	bencode_put_bytes(&b, "a\0b", 3);
	bencode_put_end(&b);
	assert_false(b.failed);
	assert_int_equal(b.used, sizeof(want) - 1);
	assert_memory_equal(b.data, want, sizeof(want) - 1);
	assert_int_equal(read_exact((const char *)b.data, b.used), 0);
	buffer_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_takes_every_kind_of_value),
		cmocka_unit_test(read_refuses_malformed_integers),
		cmocka_unit_test(integers_take_64_bits_and_no_more),
		cmocka_unit_test(read_refuses_malformed_strings),
		cmocka_unit_test(read_refuses_malformed_containers),
		cmocka_unit_test(every_cut_of_a_document_is_refused),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(a_deep_mix_keeps_keys_and_values_apart),
		cmocka_unit_test(keys_go_on_behind_every_depth),
		cmocka_unit_test(read_prefix_tells_what_it_used),
		cmocka_unit_test(values_know_their_type),
		cmocka_unit_test(values_of_another_type_answer_no),
		cmocka_unit_test(strings_lend_their_bytes),
		cmocka_unit_test(list_items_come_in_order),
		cmocka_unit_test(find_takes_unsorted_keys),
		cmocka_unit_test(a_key_that_is_there_twice_is_not_found),
		cmocka_unit_test(pick_gets_all_keys_in_one_walk),
		cmocka_unit_test(pick_refuses_a_key_that_is_there_twice),
		cmocka_unit_test(pick_next_goes_from_dict_to_dict),
		cmocka_unit_test(enter_and_leave_walk_a_tree),
		cmocka_unit_test(what_is_written_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
