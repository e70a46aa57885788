#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meta/metainfo.h"
#include "swarm/picker.h"
#include "swarm/webseed_plan.h"

/* Bytes 0 to 9 "a b", nothing, 10 to 15 padding, 16 to 19 "d/ü?", nothing. */
static struct metainfo_file several[] = {
	{.offset = 0, .length = 0, .path = "empty", .components = 1},
	{.offset = 0, .length = 10, .path = "a b", .components = 1},
	{.offset = 10, .length = 0, .path = "empty too", .components = 1},
	{.offset = 10, .length = 6, .flags = METAINFO_PAD},
	{.offset = 16, .length = 4, .path = "d\0\xc3\xbc?", .components = 2},
	{.offset = 20, .length = 0, .path = "last", .components = 1},
};

static struct metainfo multi = {.has_v1 = true, .multi = true, .name = "the name",
				.files = several, .file_count = 6,
				.length = 20, .piece_length = 16};

static struct metainfo_file one[] = {
	{.offset = 0, .length = 20, .path = "a#b.iso", .components = 1},
};

static struct metainfo single = {.has_v1 = true, .name = "a#b.iso", .files = one,
				 .file_count = 1, .length = 20,
				 .piece_length = 16};

/* A piece of 16 bytes of two files. */
static struct metainfo_file two[] = {
	{.offset = 0, .length = 5, .path = "a", .components = 1},
	{.offset = 5, .length = 15, .path = "b", .components = 1},
};

static struct metainfo joined = {.multi = true, .name = "x", .files = two,
				 .file_count = 2, .length = 20,
				 .piece_length = 16};

static void
assert_url(const struct metainfo *m, const char *base, uint32_t file,
	   const char *expected)
{
	struct buffer b;
	size_t name_at;

	buffer_init(&b, WEBSEED_URL_MAX + 1);
	assert_true(webseed_url(&b, m, base, file, &name_at));
	assert_string_equal(buffer_text(&b), expected);
	assert_int_equal(name_at, m->multi ? strlen("http://a/f/") : 0);
	buffer_release(&b);
}

static void
a_url_of_one_file_is_used_as_it_is(void **state)
{
	(void)state;
	assert_url(&single, "http://a/x%20y.iso?k=v", 0,
		   "http://a/x%20y.iso?k=v");
	assert_url(&single, "http://a/x.iso#part", 0, "http://a/x.iso");
}

static void
a_url_of_a_folder_gets_the_name(void **state)
{
	(void)state;
	assert_url(&single, "http://a/f/", 0, "http://a/f/a%23b.iso");
}

static void
a_folder_gets_name_and_path(void **state)
{
	(void)state;
	assert_url(&multi, "http://a/f/", 1, "http://a/f/the%20name/a%20b");
	assert_url(&multi, "http://a/f", 4,
		   "http://a/f/the%20name/d/%C3%BC%3F");
}

static void
bytes_that_are_no_ascii_are_escaped_in_the_url_too(void **state)
{
	(void)state;
	assert_url(&single, "http://a/\xc3\xbc", 0, "http://a/%C3%BC");
}

static void
escaping_leaves_only_plain_characters(void **state)
{
	char name[256], *c = name;
	struct metainfo m = single;
	struct buffer b;
	size_t name_at;

	(void)state;
	for (int i = 1; i < 256; i++)
		if (i != '/')
			*c++ = (char)i;
	*c = '\0';
	m.name = name;
	buffer_init(&b, WEBSEED_URL_MAX + 1);
	assert_true(webseed_url(&b, &m, "http://a/", 0, &name_at));
	for (const char *at = buffer_text(&b) + 9; *at; at++)
		assert_true(strchr("abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789-._~%", *at));
	buffer_release(&b);
}

static void
a_url_that_is_too_long_is_none(void **state)
{
	char *name = malloc(3000);
	struct metainfo m = single;
	struct buffer b;
	size_t name_at;

	(void)state;
	assert_non_null(name);
	memset(name, ' ', 2999);
	name[2999] = '\0';
	m.name = name;
	buffer_init(&b, WEBSEED_URL_MAX + 1);
	assert_false(webseed_url(&b, &m, "http://a/", 0, &name_at));
	buffer_release(&b);
	free(name);
}

static void
assert_part(uint64_t at, uint64_t end, int file, uint64_t first,
	    uint64_t count)
{
	struct webseed_part p;

	webseed_part_at(&multi, at, end, &p);
	assert_int_equal(p.zeros, file < 0);
	if (file >= 0) {
		assert_int_equal(p.file, file);
		assert_int_equal(p.first, first);
	}
	assert_int_equal(p.count, count);
}

static void
parts_end_with_their_file(void **state)
{
	(void)state;
	assert_part(0, 20, 1, 0, 10);
	assert_part(4, 20, 1, 4, 6);
	assert_part(4, 7, 1, 4, 3);
	assert_part(16, 20, 4, 0, 4);
	assert_part(19, 20, 4, 3, 1);
}

static void
padding_is_not_asked_for(void **state)
{
	(void)state;
	assert_part(10, 20, -1, 0, 6);
	assert_part(12, 14, -1, 0, 2);
}

static void
parts_cover_the_stream_without_empty_files(void **state)
{
	unsigned parts = 0;

	(void)state;
	for (uint64_t at = 0; at < 20;) {
		struct webseed_part p;

		webseed_part_at(&multi, at, 20, &p);
		assert_true(p.count > 0);
		assert_true(p.zeros || several[p.file].length > 0);
		at += p.count;
		parts++;
	}
	assert_int_equal(parts, 3);
}

/* Files do not count; pieces of 16 bytes and the padding do. */
static void
parts_of_pieces_end_with_the_piece_or_at_padding(void **state)
{
	struct webseed_part part;

	(void)state;
	webseed_piece_part(&multi, 3, 20, &part);
	assert_true(!part.zeros && part.count == 7);
	webseed_piece_part(&multi, 10, 20, &part);
	assert_true(part.zeros && part.count == 6);
	webseed_piece_part(&multi, 16, 18, &part);
	assert_true(!part.zeros && part.count == 2);
	webseed_piece_part(&single, 2, 20, &part);
	assert_true(!part.zeros && part.count == 14);
	webseed_piece_part(&joined, 0, 20, &part);
	assert_true(!part.zeros && part.count == 16);
}

static void
assert_piece_url(const char *base, uint64_t at, uint64_t count,
		 const char *expected)
{
	struct metainfo m = single;
	struct buffer b;

	memcpy(m.hash_v1, "0aZ-\0/%\xff 123456789ab", 20);
	buffer_init(&b, WEBSEED_URL_MAX + 1);
	assert_true(webseed_piece_url(&b, &m, base, at, count));
	assert_string_equal(buffer_text(&b), expected);
	buffer_release(&b);
}

static void
a_piece_is_asked_for_by_hash_and_number(void **state)
{
	(void)state;
	assert_piece_url("http://a/seed.php", 0, 16,
			 "http://a/seed.php?info_hash="
			 "0aZ-%00%2F%25%FF%20123456789ab&piece=0");
	assert_piece_url("http://a/?x=1", 16, 4,
			 "http://a/?x=1&info_hash="
			 "0aZ-%00%2F%25%FF%20123456789ab&piece=1");
	assert_piece_url("http://a/", 18, 2,
			 "http://a/?info_hash="
			 "0aZ-%00%2F%25%FF%20123456789ab&piece=1&ranges=2-3");
}

static void
without_a_v1_half_it_is_the_v2_hash_cut_short(void **state)
{
	static const uint8_t hashes[2 * SHA256_SIZE];
	struct metainfo_tree tree = {.root = hashes, .layer = hashes,
				     .layer_count = 2};
	struct metainfo m = single;
	struct buffer b;

	(void)state;
	m.has_v1 = false;
	m.has_v2 = true;
	m.trees = &tree;
	memcpy(m.hash_v2, "the first twenty are of use 1234", 32);
	buffer_init(&b, WEBSEED_URL_MAX + 1);
	assert_true(webseed_piece_url(&b, &m, "http://a/", 0, 16));
	assert_string_equal(buffer_text(&b),
			    "http://a/?info_hash=the%20first%20twenty%20are"
			    "&piece=0");
	buffer_release(&b);
}

static void
the_only_file_is_found(void **state)
{
	(void)state;
	assert_int_equal(webseed_only_file(&single), 0);
	assert_int_equal(webseed_only_file(&multi), UINT32_MAX);
}

static void
the_file_of_a_piece_is_found_where_it_is_one(void **state)
{
	(void)state;
	assert_int_equal(webseed_piece_file(&multi, 0), 1);
	assert_int_equal(webseed_piece_file(&multi, 1), 4);
	assert_int_equal(webseed_piece_file(&single, 1), 0);
	assert_int_equal(webseed_piece_file(&joined, 0), UINT32_MAX);
	assert_int_equal(webseed_piece_file(&joined, 1), 1);
}

static void
a_file_that_is_wrong_counts_once(void **state)
{
	struct metainfo_file files[10];
	struct metainfo m = {.multi = true, .name = "x", .files = files,
			     .file_count = 10, .length = 312,
			     .piece_length = 16};
	struct webseed_bad bad = {0};

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		files[i] = (struct metainfo_file){
			.offset = 32 * i, .length = i < 9 ? 32 : 24,
			.path = "a", .components = 1};
	files[0].length = 40;		/* and so piece 2 has two files */
	files[1].offset = 40;
	files[1].length = 24;
	assert_int_equal(webseed_bad_add(&bad, &m, 2), WEBSEED_BAD_NEWS);
	assert_int_equal(webseed_bad_add(&bad, &m, 2), WEBSEED_BAD_KNOWN);
	assert_int_equal(webseed_bad_add(&bad, &m, 1), WEBSEED_BAD_NEWS);
	assert_int_equal(webseed_bad_add(&bad, &m, 0), WEBSEED_BAD_KNOWN);
	for (uint32_t i = 2; i < 8; i++)
		assert_int_equal(webseed_bad_add(&bad, &m, 2 * i),
				 WEBSEED_BAD_NEWS);
	assert_int_equal(webseed_bad_add(&bad, &m, 15), WEBSEED_BAD_KNOWN);
	assert_int_equal(webseed_bad_add(&bad, &m, 16), WEBSEED_BAD_ENOUGH);
	assert_int_equal(bad.count, WEBSEED_BAD_MAX);
}

static void
runs_grow_with_the_rate_within_bounds(void **state)
{
	(void)state;
	assert_int_equal(webseed_run_blocks(0), WEBSEED_RUN_FIRST);
	assert_int_equal(webseed_run_blocks(1), WEBSEED_RUN_MIN);
	assert_int_equal(webseed_run_blocks(100 * PICKER_BLOCK),
			 100 * WEBSEED_RUN_S);
	assert_int_equal(webseed_run_blocks(UINT64_MAX), WEBSEED_RUN_MAX);
}

static void
pauses_double_up_to_ten_minutes(void **state)
{
	const enum webseed_end end = WEBSEED_END_UNREACHABLE;

	(void)state;
	assert_true(webseed_backoff(end, 1, 0, 0) == 2 * CLOCK_S);
	assert_true(webseed_backoff(end, 2, 0, 0) == 4 * CLOCK_S);
	assert_true(webseed_backoff(end, 9, 0, 0) == 512 * CLOCK_S);
	assert_true(webseed_backoff(end, 10, 0, 0) == 600 * CLOCK_S);
	assert_true(webseed_backoff(end, UINT32_MAX, 0, 0) == 600 * CLOCK_S);
}

static void
a_file_that_is_not_there_is_left_for_long(void **state)
{
	(void)state;
	assert_true(webseed_backoff(WEBSEED_END_MISSING, 1, 0, 0) ==
		    3600 * CLOCK_S);
}

static void
the_servers_wish_is_the_least_pause(void **state)
{
	(void)state;
	assert_true(webseed_backoff(WEBSEED_END_BUSY, 1, 30, 0) ==
		    30 * CLOCK_S);
	assert_true(webseed_backoff(WEBSEED_END_BUSY, 9, 30, 0) ==
		    512 * CLOCK_S);
}

static void
pauses_vary_by_a_quarter(void **state)
{
	(void)state;
	for (uint64_t random = 0; random < 1000; random++) {
		int64_t wait = webseed_backoff(WEBSEED_END_BUSY, 2, 0,
					       random * 7919 * 104729);

		assert_true(wait >= 4 * CLOCK_S && wait < 5 * CLOCK_S);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_url_of_one_file_is_used_as_it_is),
		cmocka_unit_test(a_url_of_a_folder_gets_the_name),
		cmocka_unit_test(a_folder_gets_name_and_path),
		cmocka_unit_test(
			bytes_that_are_no_ascii_are_escaped_in_the_url_too),
		cmocka_unit_test(escaping_leaves_only_plain_characters),
		cmocka_unit_test(a_url_that_is_too_long_is_none),
		cmocka_unit_test(parts_end_with_their_file),
		cmocka_unit_test(padding_is_not_asked_for),
		cmocka_unit_test(parts_cover_the_stream_without_empty_files),
		cmocka_unit_test(
		    parts_of_pieces_end_with_the_piece_or_at_padding),
		cmocka_unit_test(a_piece_is_asked_for_by_hash_and_number),
		cmocka_unit_test(
		    without_a_v1_half_it_is_the_v2_hash_cut_short),
		cmocka_unit_test(the_only_file_is_found),
		cmocka_unit_test(the_file_of_a_piece_is_found_where_it_is_one),
		cmocka_unit_test(a_file_that_is_wrong_counts_once),
		cmocka_unit_test(runs_grow_with_the_rate_within_bounds),
		cmocka_unit_test(pauses_double_up_to_ten_minutes),
		cmocka_unit_test(a_file_that_is_not_there_is_left_for_long),
		cmocka_unit_test(the_servers_wish_is_the_least_pause),
		cmocka_unit_test(pauses_vary_by_a_quarter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
