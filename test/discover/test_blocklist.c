#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "discover/blocklist.h"

static struct blocklist *
list_of(const char *const *lines)
{
	struct blocklist *b = blocklist_new(NULL);
	struct error e;

	assert_non_null(b);
	for (; *lines; lines++)
		if (blocklist_add(b, *lines, strlen(*lines), &e) != 0)
			fail_msg("%s: %s", *lines, e.text);
	blocklist_seal(b);
	return b;
}

static bool
has(const struct blocklist *b, const char *ip)
{
	struct addr a;

	assert_true(addr_parse(&a, ip, 80));
	return blocklist_has(b, &a);
}

/* Exactly first to last is blocked by this line. */
static void
blocks(const char *line, const char *const edges[4])
{
	struct blocklist *b = list_of((const char *const[]){line, NULL});

	if (has(b, edges[0]) || !has(b, edges[1]) || !has(b, edges[2]) ||
	    has(b, edges[3]))
		fail_msg("'%s' is %d %d %d %d", line, has(b, edges[0]),
			 has(b, edges[1]), has(b, edges[2]),
			 has(b, edges[3]));
	blocklist_free(b);
}

#define EDGES(...) ((const char *const[4]){__VA_ARGS__})

static void
networks_are_cut_at_their_bits(void **state)
{
	(void)state;
	blocks("1.2.3.0/24", EDGES("1.2.2.255", "1.2.3.0", "1.2.3.255",
				   "1.2.4.0"));
	blocks("1.2.3.77/24", EDGES("1.2.2.255", "1.2.3.0", "1.2.3.255",
				    "1.2.4.0"));
	blocks("1.2.3.4/32", EDGES("1.2.3.3", "1.2.3.4", "1.2.3.4",
				   "1.2.3.5"));
	blocks("10.0.0.0/9", EDGES("9.255.255.255", "10.0.0.0",
				   "10.127.255.255", "10.128.0.0"));
	blocks("2001:db8::/33", EDGES("2001:db7:ffff::", "2001:db8::",
				      "2001:db8:7fff:ffff::",
				      "2001:db8:8000::"));
	blocks("::1/128", EDGES("::", "::1", "::1", "::2"));
}

static void
one_family_has_no_say_in_the_other(void **state)
{
	struct blocklist *all4 = list_of((const char *const[]){"0.0.0.0/0",
							      NULL});
	struct blocklist *all6 = list_of((const char *const[]){"::/0", NULL});

	(void)state;
	assert_true(has(all4, "255.255.255.255") && has(all4, "0.0.0.0"));
	assert_false(has(all4, "::1"));
	assert_true(has(all6, "::1") && has(all6, "ffff::"));
	assert_false(has(all6, "1.2.3.4"));
	blocklist_free(all4);
	blocklist_free(all6);
}

static void
addresses_and_ranges_are_taken(void **state)
{
	(void)state;
	blocks("1.2.3.4", EDGES("1.2.3.3", "1.2.3.4", "1.2.3.4", "1.2.3.5"));
	blocks("1.2.3.4-1.2.3.9", EDGES("1.2.3.3", "1.2.3.4", "1.2.3.9",
					"1.2.3.10"));
	blocks("1.2.3.4 - 1.2.3.9", EDGES("1.2.3.3", "1.2.3.4", "1.2.3.9",
					  "1.2.3.10"));
	blocks("::5-::9", EDGES("::4", "::5", "::9", "::a"));
	blocks("001.010.003.004-001.010.003.009",
	       EDGES("1.10.3.3", "1.10.3.4", "1.10.3.9", "1.10.3.10"));
}

static void
names_of_p2p_lists_may_hold_anything(void **state)
{
	static const char *const lines[] = {
		"name:1.2.3.4-1.2.3.9", ":1.2.3.4-1.2.3.9",
		"a-b: c:1.2.3.4-1.2.3.9", "#1 of 1.1.1.1:1.2.3.4-1.2.3.9\r",
		"x #2:1.2.3.4-1.2.3.9", "\xff\xfe:1.2.3.4-1.2.3.9 # y",
		NULL,
	};

	(void)state;
	/* A '#' at the very beginning is a comment all the same. */
	for (size_t i = 0; lines[i]; i++)
		if (*lines[i] != '#')
			blocks(lines[i], EDGES("1.2.3.3", "1.2.3.4",
					       "1.2.3.9", "1.2.3.10"));
	blocks("name:2001:db8::1-2001:db8::9",
	       EDGES("2001:db8::", "2001:db8::1", "2001:db8::9",
		     "2001:db8::a"));
}

static void
lines_of_emule_have_an_access_number(void **state)
{
	static const char *const wrong[] = {
		"1.2.3.4 - 1.2.3.9 , , x", "1.2.3.4 - 1.2.3.9 , x , 0",
		"1.2.3.4 , 0 , x", "1.2.3.4 - 1.2.3.9 , 0000 , x", NULL,
	};
	struct blocklist *b = list_of((const char *const[]){
		"001.002.003.004 - 001.002.003.009 , 128 , x",
		"1.2.3.4-1.2.3.9,200", NULL});

	(void)state;
	assert_int_equal(blocklist_lines(b), 2);
	assert_int_equal(blocklist_ranges(b), 0);
	blocklist_free(b);
	blocks("001.002.003.004 - 001.002.003.009 , 127 , a-b, c: d",
	       EDGES("1.2.3.3", "1.2.3.4", "1.2.3.9", "1.2.3.10"));
	blocks("1.2.3.4-1.2.3.9,0", EDGES("1.2.3.3", "1.2.3.4", "1.2.3.9",
					  "1.2.3.10"));
	/* That is no access number, but the name of another kind of line. */
	blocks("a:1.2.3.4-1.2.3.9,200x:5.6.7.8-5.6.7.9",
	       EDGES("5.6.7.7", "5.6.7.8", "5.6.7.9", "5.6.7.10"));
	b = blocklist_new(NULL);
	for (size_t i = 0; wrong[i]; i++)
		assert_int_equal(blocklist_add(b, wrong[i], strlen(wrong[i]),
					       NULL), 1);
	blocklist_free(b);
}

static void
comments_and_empty_lines_are_nothing(void **state)
{
	struct blocklist *b = list_of((const char *const[]){
		"", " \t\r", "# 1.2.3.4", "  #x", "#", NULL});

	(void)state;
	assert_int_equal(blocklist_ranges(b), 0);
	assert_false(has(b, "1.2.3.4"));
	blocklist_free(b);
	blocks(" 1.2.3.0/24\t# why", EDGES("1.2.2.255", "1.2.3.0",
					   "1.2.3.255", "1.2.4.0"));
}

static void
mapped_addresses_are_ipv4(void **state)
{
	(void)state;
	blocks("::ffff:1.2.3.0/120", EDGES("1.2.2.255", "1.2.3.0",
					   "1.2.3.255", "1.2.4.0"));
	blocks("::ffff:1.2.3.4", EDGES("1.2.3.3", "1.2.3.4", "1.2.3.4",
				       "1.2.3.5"));
}

static void
neighbours_and_overlaps_are_joined(void **state)
{
	struct blocklist *b = list_of((const char *const[]){
		"1.0.0.5-1.0.0.9", "1.0.0.0-1.0.0.4", "1.0.0.2-1.0.0.3",
		"255.255.255.255", "255.255.255.0/24", "::1-::5", "::2-::9",
		"::3", "9.9.9.9", NULL});

	(void)state;
	assert_int_equal(blocklist_ranges(b), 4);
	assert_true(has(b, "1.0.0.0") && has(b, "1.0.0.9"));
	assert_true(has(b, "::9") && has(b, "255.255.255.255"));
	assert_false(has(b, "1.0.0.10") || has(b, "::a"));
	blocklist_free(b);
}

static void
what_is_none_of_these_is_refused(void **state)
{
	static const char *const lines[] = {
		"1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4/33", "1.2.3.4/",
		"1.2.3.4/-1", "::1/129", "1.2.3.4-", "-1.2.3.4", "name",
		"name:", "name:1.2.3.4-1.2.3", "1.2.3.4-::1", "fe80::1%lo",
		"1..2.3", "1.2.3.4/0000000", "::ffff:1.2.3.4/95", "[::1]",
		"0001.2.3.4", "1.2.3.4 5.6.7.8", "1.2.3.4,5.6.7.8",
		"host.example", NULL,
	};
	struct blocklist *b = blocklist_new(NULL);
	struct error e;

	(void)state;
	for (size_t i = 0; lines[i]; i++) {
		if (blocklist_add(b, lines[i], strlen(lines[i]), &e) == 0)
			fail_msg("'%s' was taken", lines[i]);
		assert_int_equal(e.kind, ERROR_USAGE);
	}
	assert_int_equal(blocklist_add(b, "1.2.3.9-1.2.3.4", 15, &e), 1);
	assert_string_equal(e.text, "'1.2.3.9-1.2.3.4' ends before it "
			    "begins");
	assert_int_equal(blocklist_add(b, "\033[2J", 4, &e), 1);
	assert_string_equal(e.text, "'?[2J' is no address, network or range");
	assert_int_equal(blocklist_add(b, "1.2.3.4\0", 8, &e), 1);
	assert_int_equal(blocklist_ranges(b), 0);
	blocklist_free(b);
}

static void
a_nul_ends_no_address(void **state)
{
	static const char line[] = "::1\0more";
	struct blocklist *b = blocklist_new(NULL);

	(void)state;
	assert_int_equal(blocklist_add(b, line, sizeof(line) - 1, NULL), 1);
	blocklist_free(b);
}

static void
a_line_has_a_length(void **state)
{
	char line[BLOCKLIST_LINE_MAX + 2];
	struct blocklist *b = blocklist_new(NULL);
	struct error e;

	(void)state;
	memset(line, 'x', sizeof(line));
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): no text */
	memcpy(line + BLOCKLIST_LINE_MAX - 16, ":1.2.3.4-1.2.3.9", 16);
	assert_int_equal(blocklist_add(b, line, BLOCKLIST_LINE_MAX, &e), 0);
	assert_int_equal(blocklist_add(b, line, sizeof(line) - 1, &e), 1);
	assert_string_equal(e.text, "a line over 1024 bytes");
	blocklist_free(b);
}

static void
no_list_and_an_empty_list_block_nobody(void **state)
{
	struct blocklist *b = blocklist_new(NULL);
	struct addr none = {0};

	(void)state;
	assert_false(has(NULL, "1.2.3.4"));
	blocklist_seal(b);
	assert_false(has(b, "1.2.3.4") || has(b, "::1"));
	assert_false(blocklist_has(b, &none));
	blocklist_free(b);
}

static void
many_ranges_are_found_again(void **state)
{
	struct blocklist *b = blocklist_new(NULL);
	const uint32_t count = 20000;
	struct addr a = {.family = AF_INET};

	(void)state;
	/* In an order that is not theirs, each second block of 16. */
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = i * 7919u % count * 32;
		uint8_t ip[4];
		char line[32];
		int n;

		put_u32(ip, at);
		n = snprintf(line, sizeof(line), "%u.%u.%u.%u/28", ip[0],
			     ip[1], ip[2], ip[3]);
		assert_int_equal(blocklist_add(b, line, (size_t)n, NULL), 0);
	}
	blocklist_seal(b);
	assert_int_equal(blocklist_ranges(b), count);
	for (uint32_t i = 0; i < count * 32; i += 5) {
		put_u32(a.ip, i);
		if (blocklist_has(b, &a) != (i % 32 < 16))
			fail_msg("%u", i);
	}
	blocklist_free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks_are_cut_at_their_bits),
		cmocka_unit_test(one_family_has_no_say_in_the_other),
		cmocka_unit_test(addresses_and_ranges_are_taken),
		cmocka_unit_test(names_of_p2p_lists_may_hold_anything),
		cmocka_unit_test(lines_of_emule_have_an_access_number),
		cmocka_unit_test(comments_and_empty_lines_are_nothing),
		cmocka_unit_test(mapped_addresses_are_ipv4),
		cmocka_unit_test(neighbours_and_overlaps_are_joined),
		cmocka_unit_test(what_is_none_of_these_is_refused),
		cmocka_unit_test(a_nul_ends_no_address),
		cmocka_unit_test(a_line_has_a_length),
		cmocka_unit_test(no_list_and_an_empty_list_block_nobody),
		cmocka_unit_test(many_ranges_are_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
