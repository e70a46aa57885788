#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/bencode.h"
#include "meta/merkle.h"
#include "meta/metainfo.h"

#define HASH "aaaaaaaaaaaaaaaaaaaa"
#define PIECES0 "6:pieces0:"
#define PIECES1 "6:pieces20:" HASH
#define PIECES2 "6:pieces40:" HASH HASH
#define PIECES3 "6:pieces60:" HASH HASH HASH
#define ROOT "11:pieces root32:rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr"
#define PL16K "12:piece lengthi16384e"
#define V2 "12:meta versioni2e"
#define FILES(list) "5:filesl" list "e"
#define MULTI(list, pieces) "d" FILES(list) "4:name1:n" PL16K pieces "e"

static struct error error;

static struct metainfo *
parse_bytes(const void *data, size_t size)
{
	void *copy = malloc(size > 0 ? size : 1);	/* exact: for ASan */

	assert_non_null(copy);
	memcpy(copy, data, size);
	error_clear(&error);
	return metainfo_adopt(copy, size, &error);
}

static struct metainfo *
parse(const char *torrent)
{
	struct metainfo *m = parse_bytes(torrent, strlen(torrent));

	if (!m)
		fail_msg("refused: %s", error.text);
	return m;
}

static char *
around(const char *info, const char *rest)
{
	size_t size = strlen(info) + strlen(rest) + 32;
	char *text = malloc(size);

	assert_non_null(text);
	snprintf(text, size, "d4:info%s%se", info, rest);
	return text;
}

static struct metainfo *
parse_info(const char *info)
{
	char *text = around(info, "");
	struct metainfo *m = parse(text);

	free(text);
	return m;
}

static struct metainfo *
parse_with(const char *rest)
{
	char *text = around("d6:lengthi5e4:name1:n" PL16K PIECES1 "e", rest);
	struct metainfo *m = parse(text);

	free(text);
	return m;
}

static void
assert_refused(struct metainfo *m, const char *why)
{
	if (m)
		fail_msg("accepted, but wanted: %s", why);
	assert_int_equal(error.kind, ERROR_TORRENT);
	if (!strstr(error.text, why))
		fail_msg("'%s' lacks '%s'", error.text, why);
}

static void
assert_refuses(const char *info, const char *why)
{
	char *text = around(info, "");
	struct metainfo *m = parse_bytes(text, strlen(text));

	free(text);
	assert_refused(m, why);
}

static void
single_file_is_read(void **state)
{
	struct metainfo *m = parse_info("d6:lengthi16385e4:name3:abc" PL16K
					PIECES2 "e");

	(void)state;
	assert_true(m->has_v1 && !m->has_v2 && !m->multi && !m->private);
	assert_string_equal(m->name, "abc");
	assert_int_equal(m->length, 16385);
	assert_int_equal(m->content_length, 16385);
	assert_int_equal(m->piece_count, 2);
	assert_int_equal(m->piece_length, 16384);
	assert_memory_equal(m->pieces, HASH HASH, 40);
	assert_int_equal(m->file_count, 1);
	assert_int_equal(m->files[0].components, 1);
	assert_int_equal(m->files[0].path_size, 4);
	assert_string_equal(m->files[0].path, "abc");
	assert_null(m->trees);
	assert_int_equal(m->creation_date, -1);
	metainfo_free(m);
}

static void
hash_is_that_of_the_raw_info(void **state)
{
	/* Unsorted keys and unknown ones: no re-encoding would do. */
	static const char info[] = "d5:zebrali1ee6:lengthi5e4:name1:n"
				   "1:ade" PL16K PIECES1 "e";
	struct metainfo *m = parse_info(info);
	uint8_t want[SHA1_SIZE];

	(void)state;
	hash_sha1(want, info, sizeof(info) - 1);
	assert_memory_equal(m->hash_v1, want, SHA1_SIZE);
	assert_int_equal(m->info_size, sizeof(info) - 1);
	assert_memory_equal(m->info, info, sizeof(info) - 1);
	assert_ptr_equal(metainfo_id(m), m->hash_v1);
	metainfo_free(m);
}

/* So many files that it is hashed beside; `last` is what follows them in
 * the list. */
static struct metainfo *
parse_large(const char *last, uint8_t sha1[SHA1_SIZE])
{
	static const char before[] = "d4:info";
	struct metainfo *m;
	struct buffer b;

	buffer_init(&b, 8 << 20);
	buffer_str(&b, before);
	buffer_str(&b, "d5:filesl");
	for (int i = 0; i < 40000; i++)
		buffer_printf(&b, "d6:lengthi0e4:pathl6:%06dee", i);
	buffer_str(&b, last);
	buffer_str(&b, "e4:name1:n" PL16K PIECES1 "ee");
	assert_false(b.failed);
	hash_sha1(sha1, b.data + sizeof(before) - 1,
		  b.used - sizeof(before));
	m = parse_bytes(b.data, b.used);
	buffer_release(&b);
	return m;
}

static void
large_info_has_its_hash_too(void **state)
{
	uint8_t want[SHA1_SIZE];
	struct metainfo *m = parse_large("d6:lengthi5e4:pathl1:zee", want);

	(void)state;
	assert_non_null(m);
	assert_true(m->info_size > 1 << 20);
	assert_memory_equal(m->hash_v1, want, SHA1_SIZE);
	assert_int_equal(m->file_count, 40001);
	assert_string_equal(m->files[39999].path, "039999");
	assert_string_equal(m->files[40000].path, "z");
	metainfo_free(m);
	/* What is wrong is found before the hash is done. */
	assert_refused(parse_large("d6:lengthi-5e4:pathl1:zee", want),
		       "file 40001: negative length");
}

static void
files_follow_one_another(void **state)
{
	struct metainfo *m = parse_info(
		MULTI("d6:lengthi5e4:pathl1:a2:bbee"
		      "d6:lengthi0e4:pathl1:cee"
		      "d6:lengthi16380e4:pathl1:dee", PIECES2));

	(void)state;
	assert_true(m->multi);
	assert_int_equal(m->file_count, 3);
	assert_int_equal(m->files[0].components, 2);
	assert_int_equal(m->files[0].path_size, 5);
	assert_memory_equal(m->files[0].path, "a\0bb", 5);
	assert_int_equal(m->files[1].offset, 5);
	assert_int_equal(m->files[1].length, 0);
	assert_int_equal(m->files[2].offset, 5);
	assert_int_equal(m->length, 16385);
	assert_int_equal(metainfo_piece_size(m, 0), 16384);
	assert_int_equal(metainfo_piece_size(m, 1), 1);
	assert_int_equal(metainfo_piece_size(m, 2), 0);
	metainfo_free(m);
}

static void
attributes_and_pad_files_are_read(void **state)
{
	struct metainfo *m = parse_info(
		MULTI("d4:attr2:hx6:lengthi4e4:pathl1:aee"
		      "d4:attr1:p6:lengthi16380ee"
		      "d4:attr2:ql4:pathl1:le12:symlink pathl1:d1:aee"
		      "d6:lengthi1e4:pathl1:bee", PIECES2));

	(void)state;
	assert_int_equal(m->files[0].flags,
			 METAINFO_HIDDEN | METAINFO_EXECUTABLE);
	assert_int_equal(m->files[1].flags, METAINFO_PAD);
	assert_int_equal(m->files[1].components, 0);
	assert_int_equal(m->files[2].flags, METAINFO_SYMLINK);
	assert_int_equal(m->pad_count, 1);
	assert_int_equal(m->length, 16385);
	assert_int_equal(m->content_length, 5);
	metainfo_free(m);
}

/* As BitComet has it. */
static void
padding_is_known_by_its_name(void **state)
{
	struct metainfo *m = parse_info(
		MULTI("d6:lengthi4e4:pathl1:aee"
		      "d6:lengthi3e4:pathl1:d19:_____padding_file_0ee"
		      "d6:lengthi7e4:pathl19:_____padding_file_12:eeee"
		      "d6:lengthi2e4:pathl20:x_____padding_file_2ee"
		      "d6:lengthi16384e4:pathl18:_____padding_file_ee",
		      PIECES2));

	(void)state;
	assert_int_equal(m->files[0].flags, 0);
	assert_int_equal(m->files[1].flags, METAINFO_PAD);
	assert_int_equal(m->files[2].flags, 0);
	assert_int_equal(m->files[3].flags, 0);
	assert_int_equal(m->files[4].flags, METAINFO_PAD);
	assert_int_equal(m->pad_count, 2);
	assert_int_equal(m->content_length, 13);
	metainfo_free(m);
	assert_refuses(MULTI("d6:lengthi4e4:pathl18:_____padding_file_ee",
			     PIECES1), "no files");
}

/* libtorrent writes some, of a link to "/" for one; no link is made anyway. */
static void
symlinks_may_lack_a_target_and_take_no_room(void **state)
{
	struct metainfo *m = parse_info(
		MULTI("d4:attr1:l4:pathl1:aee"
		      "d4:attr1:l4:pathl1:be12:symlink pathlee", PIECES0));

	(void)state;
	assert_int_equal(m->files[0].flags, METAINFO_SYMLINK);
	metainfo_free(m);
	m = parse_info("d9:file treed1:ad0:d4:attr1:lee"
		       "1:bd0:d6:lengthi0eeee" V2 "4:name1:n" PL16K "e");
	assert_int_equal(m->files[0].flags, METAINFO_SYMLINK);
	metainfo_free(m);
	m = parse_info(MULTI("d4:attr1:l6:lengthi40000e4:pathl1:ae"
			     "12:symlink pathl1:bee"
			     "d6:lengthi4e4:pathl1:bee", PIECES1));
	assert_int_equal(m->files[0].length, 0);
	assert_int_equal(m->files[1].offset, 0);
	assert_int_equal(m->length, 4);
	metainfo_free(m);
	m = parse_info("d9:file treed1:ad0:d4:attr1:l6:lengthi4eee"
		       "1:bd0:d6:lengthi0eeee" V2 "4:name1:n" PL16K "e");
	assert_int_equal(m->files[0].length, 0);
	assert_int_equal(m->length, 0);
	metainfo_free(m);
}

static void
utf8_names_are_preferred(void **state)
{
	struct metainfo *m = parse_info(
		"d" FILES("d6:lengthi5e4:pathl1:xe10:path.utf-8l1:yee")
		"4:name1:n10:name.utf-81:m" PL16K PIECES1 "e");

	(void)state;
	assert_string_equal(m->name, "m");
	assert_string_equal(m->files[0].path, "y");
	metainfo_free(m);
}

static void
empty_components_are_left_out(void **state)
{
	struct metainfo *m = parse_info(
		MULTI("d6:lengthi5e4:pathl0:1:a0:1:b0:ee", PIECES1));

	(void)state;
	assert_int_equal(m->files[0].components, 2);
	assert_memory_equal(m->files[0].path, "a\0b", 4);
	metainfo_free(m);
	assert_refuses(MULTI("d6:lengthi5e4:pathl0:ee", PIECES1), "no path");
}

static void
malformed_paths_are_refused(void **state)
{
	(void)state;
	assert_refuses(MULTI("d6:lengthi5ee", PIECES1), "no path");
	assert_refuses(MULTI("d6:lengthi5e4:pathlee", PIECES1), "no path");
	assert_refuses(MULTI("d6:lengthi5e4:path1:ae", PIECES1), "no path");
	assert_refuses(MULTI("d6:lengthi5e4:pathli1eee", PIECES1),
		       "not a string");
}

static void
nul_in_a_name_is_refused(void **state)
{
	static const char name[] = "d4:infod6:lengthi5e4:name3:a\0b" PL16K
				   PIECES1 "ee";
	static const char path[] = "d4:info" MULTI(
		"d6:lengthi5e4:pathl3:a\0bee", PIECES1) "e";

	(void)state;
	assert_refused(parse_bytes(name, sizeof(name) - 1), "NUL");
	assert_refused(parse_bytes(path, sizeof(path) - 1), "NUL");
}

static void
paths_have_a_longest_size(void **state)
{
	struct buffer b;
	uint8_t *room;
	struct metainfo *m;

	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		buffer_init(&b, 1 << 20);
		buffer_str(&b, "d4:infod5:filesld6:lengthi5e4:pathl");
		buffer_printf(&b, "%u:", METAINFO_PATH_SIZE_MAX - 1 + more);
		room = buffer_room(&b, METAINFO_PATH_SIZE_MAX);
		assert_non_null(room);
		memset(room, 'x', METAINFO_PATH_SIZE_MAX);
		buffer_added(&b, METAINFO_PATH_SIZE_MAX - 1 + more);
		buffer_str(&b, "eee4:name1:n" PL16K PIECES1 "ee");
		m = parse_bytes(b.data, b.used);
		if (more)
			assert_refused(m, "too long");
		else
			assert_non_null(m);
		metainfo_free(m);
		buffer_release(&b);
	}
}

static void
malformed_lengths_are_refused(void **state)
{
	(void)state;
	assert_refuses("d4:name1:n" PL16K PIECES1 "e", "no length");
	assert_refuses("d6:lengthi-1e4:name1:n" PL16K PIECES1 "e",
		       "negative");
	assert_refuses("d6:length1:54:name1:n" PL16K PIECES1 "e",
		       "no length");
	assert_refuses(MULTI("d4:pathl1:aee", PIECES1), "no length");
	assert_refuses(MULTI("d6:lengthi1e4:pathl1:aee"
			     "d6:lengthi-1e4:pathl1:bee", PIECES1),
		       "file 2: negative");
}

static void
sums_beyond_63_bits_are_refused(void **state)
{
	(void)state;
	assert_refuses(MULTI("d6:lengthi9223372036854775807e4:pathl1:aee"
			     "d6:lengthi1e4:pathl1:bee", PIECES1),
		       "together are too long");
	assert_refuses("d6:lengthi9223372036854775807e4:name1:n" PL16K
		       PIECES1 "e", "more than");
}

static void
piece_hashes_must_fit_the_length(void **state)
{
	(void)state;
	assert_refuses("d6:lengthi16384e4:name1:n" PL16K PIECES0 "e",
		       "piece hashes");
	assert_refuses("d6:lengthi16384e4:name1:n" PL16K PIECES2 "e",
		       "piece hashes");
	assert_refuses("d6:lengthi16385e4:name1:n" PL16K PIECES1 "e",
		       "piece hashes");
	assert_refuses("d6:lengthi5e4:name1:n" PL16K "6:pieces19:"
		       "aaaaaaaaaaaaaaaaaaae", "piece hashes");
	assert_refuses("d6:lengthi5e4:name1:n" PL16K "6:piecesi1ee",
		       "not a string");
	assert_refuses("d6:lengthi5e4:name1:n" PL16K "e", "no piece hashes");
}

static void
piece_length_has_a_range(void **state)
{
	struct metainfo *m;

	(void)state;
	m = parse_info("d6:lengthi3e4:name1:n12:piece lengthi1e" PIECES3 "e");
	assert_int_equal(m->piece_count, 3);
	metainfo_free(m);
	m = parse_info("d6:lengthi1e4:name1:n12:piece lengthi268435456e"
		       PIECES1 "e");
	assert_int_equal(m->piece_count, 1);
	metainfo_free(m);
	assert_refuses("d6:lengthi3e4:name1:n12:piece lengthi0e" PIECES3 "e",
		       "piece length 0");
	assert_refuses("d6:lengthi3e4:name1:n12:piece lengthi-5e" PIECES3
		       "e", "piece length -5");
	assert_refuses("d6:lengthi3e4:name1:n12:piece lengthi268435457e"
		       PIECES1 "e", "piece length 268435457");
	assert_refuses("d6:lengthi3e4:name1:n" PIECES1 "e",
		       "no piece length");
}

static void
empty_torrents_need_a_file(void **state)
{
	struct metainfo *m = parse_info("d6:lengthi0e4:name1:n" PL16K PIECES0
					"e");

	(void)state;
	assert_int_equal(m->piece_count, 0);
	assert_int_equal(m->length, 0);
	metainfo_free(m);
	m = parse_info(MULTI("d6:lengthi0e4:pathl1:aee", PIECES0));
	assert_int_equal(m->file_count, 1);
	metainfo_free(m);
	assert_refuses(MULTI("", PIECES0), "no files");
	assert_refuses("d5:filesi1e4:name1:n" PL16K PIECES0 "e", "no files");
	assert_refuses(MULTI("d4:attr1:p6:lengthi5ee", PIECES1), "no files");
}

static void
wrong_shapes_are_refused(void **state)
{
	(void)state;
	assert_refused(parse_bytes("", 0), "empty");
	assert_refused(parse_bytes("le", 2), "not a dictionary");
	assert_refused(parse_bytes("de", 2), "no info");
	assert_refused(parse_bytes("i1e", 3), "not a dictionary");
	assert_refused(parse_bytes("d4:infodee", 10), "no piece hashes");
	assert_refused(parse_bytes("d4:info", 7), "ends");
	assert_refuses("le", "no info");
	assert_refuses("d6:lengthi5e" PL16K PIECES1 "e", "no name");
	assert_refuses("d6:lengthi5e4:name0:" PL16K PIECES1 "e", "no name");
	assert_refuses("d6:lengthi5e4:namele" PL16K PIECES1 "e", "no name");
	assert_refuses(MULTI("i1e", PIECES1), "file 1: not a dictionary");
}

static void
a_list_of_files_outweighs_a_length(void **state)
{
	struct metainfo *m = parse_info(
		"d" FILES("d6:lengthi5e4:pathl1:aee")
		"6:lengthi7e4:name1:n" PL16K PIECES1 "e");

	(void)state;
	assert_true(m->multi);
	assert_int_equal(m->length, 5);
	metainfo_free(m);
	m = parse_info("d5:filesi1e6:lengthi7e4:name1:n" PL16K PIECES1 "e");
	assert_false(m->multi);
	assert_int_equal(m->length, 7);
	metainfo_free(m);
}

static void
keys_that_are_there_twice_are_refused(void **state)
{
	static const char info[] =
		"d6:lengthi5e4:name1:n" PL16K PIECES1 "e";
	char text[512];

	(void)state;
	assert_refuses("d6:lengthi5e6:lengthi5e4:name1:n" PL16K PIECES1 "e",
		       "'length' is there twice");
	assert_refuses(MULTI("d6:lengthi5e4:pathl1:ae4:pathl1:bee", PIECES1),
		       "'path' is there twice");
	snprintf(text, sizeof(text), "d4:info%s4:info%se", info, info);
	assert_refused(parse_bytes(text, strlen(text)),
		       "'info' is there twice");
}

static void
private_and_texts_are_read(void **state)
{
	struct metainfo *m = parse(
		"d7:comment2:hi10:created by1:c13:creation datei1700000000e"
		"4:infod6:lengthi5e4:name1:n" PL16K PIECES1
		"7:privatei1e6:source1:see");

	(void)state;
	assert_true(m->private);
	assert_string_equal(m->comment, "hi");
	assert_string_equal(m->created_by, "c");
	assert_string_equal(m->source, "s");
	assert_int_equal(m->creation_date, 1700000000);
	metainfo_free(m);
}

static void
what_is_behind_it_is_nothing(void **state)
{
	static const char *const ends[] = {"\n", " \t\n\n", "\v", "e",
					   "d4:info", "<!-- -->"};
	char *text = around("d6:lengthi5e4:name1:n" PL16K PIECES1 "e", "");
	size_t size = strlen(text);
	char all[1024] = "";

	(void)state;
	assert_true(size + 16 < sizeof(all));
	memcpy(all, text, size + 1);
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		struct metainfo *m;

		memset(all + size, 0, 16);
		strcpy(all + size, ends[i]);
		m = metainfo_parse(all, size + 16, &error);
		assert_non_null(m);
		assert_int_equal(m->length, 5);
		metainfo_free(m);
	}
	assert_refused(metainfo_parse("\n\n", 2, &error), "");
	free(text);
}

static void
odd_extras_do_no_harm(void **state)
{
	struct metainfo *m = parse_with(
		"8:announcei1e13:announce-list1:x7:commentle"
		"13:creation datei-5e5:nodesd1:ai1ee8:url-listi7e");

	(void)state;
	assert_int_equal(m->tracker_count, 0);
	assert_int_equal(m->web_seed_count, 0);
	assert_int_equal(m->node_count, 0);
	assert_null(m->comment);
	assert_int_equal(m->creation_date, -1);
	metainfo_free(m);
}

static void
announce_list_wins_over_announce(void **state)
{
	struct metainfo *m = parse_with(
		"8:announce8:http://x13:announce-listll8:http://a7:udp://be"
		"l5:wss:/el9:https://cee");

	(void)state;
	assert_int_equal(m->tracker_count, 3);
	assert_string_equal(m->trackers[0].url, "http://a");
	assert_int_equal(m->trackers[0].tier, 0);
	assert_string_equal(m->trackers[1].url, "udp://b");
	assert_int_equal(m->trackers[1].tier, 0);
	assert_string_equal(m->trackers[2].url, "https://c");
	assert_int_equal(m->trackers[2].tier, 1);
	metainfo_free(m);
}

static bool
note_tracker(void *ctx, const char *url, size_t size, uint32_t tier)
{
	buffer_printf(ctx, "%u:%.*s ", tier, (int)size, url);
	return size != 1;
}

static void
assert_trackers_told(const char *top, const char *want)
{
	struct metainfo *m = parse_with(top);
	struct buffer b;

	buffer_init(&b, 1000);
	metainfo_each_tracker(m, note_tracker, &b);
	assert_string_equal(buffer_text(&b), want);
	buffer_release(&b);
	metainfo_free(m);
}

static void
every_tracker_is_told_of(void **state)
{
	(void)state;
	assert_trackers_told("", "");
	assert_trackers_told("8:announce6:wss://", "0:wss:// ");
	assert_trackers_told("8:announce8:http://x13:announce-listll8:http://a"
			     "3:b:/ei5el0:el4: c: 8:http://aee",
			     "0:http://a 0:b:/ 1:c: 1:http://a ");
	/* It counts, as none of the list does. */
	assert_trackers_told("8:announce8:http://x13:announce-listl3:w:/e",
			     "0:w:/ 1:http://x ");
	assert_trackers_told("8:announce3:w:/13:announce-listl3:w:/e",
			     "0:w:/ ");
	/* No more are wanted. */
	assert_trackers_told("13:announce-listl3:w:/l1:x3:y:/ee",
			     "0:w:/ 1:x ");
}

static void
announce_counts_where_the_list_is_empty(void **state)
{
	struct metainfo *m = parse_with("8:announce8:http://x"
					"13:announce-listllee");

	(void)state;
	assert_int_equal(m->tracker_count, 1);
	assert_string_equal(m->trackers[0].url, "http://x");
	metainfo_free(m);
}

static void
trackers_are_kept_once_and_clean(void **state)
{
	struct metainfo *m = parse_with(
		"13:announce-listl8:http://al8:http://a8:HTTP://be"
		"l10:http://a\nbe9:http://c l7:http://ee");

	(void)state;
	assert_int_equal(m->tracker_count, 3);
	assert_string_equal(m->trackers[1].url, "HTTP://b");
	assert_int_equal(m->trackers[1].tier, 1);
	assert_string_equal(m->trackers[2].url, "http://c");
	metainfo_free(m);
}

/* A torrent with these URLs under a key, up to the NULL. */
static struct metainfo *
parse_urls(const char *key, const char *const *urls)
{
	struct metainfo *m;
	struct buffer b;

	buffer_init(&b, 1 << 16);
	buffer_printf(&b, "%zu:%sl", strlen(key), key);
	for (; *urls; urls++)
		buffer_printf(&b, "%zu:%s", strlen(*urls), *urls);
	buffer_str(&b, "e");
	m = parse_with(buffer_text(&b));
	buffer_release(&b);
	return m;
}

static void
space_around_urls_is_nothing(void **state)
{
	static const char *const urls[] = {
		"http://a/\n", "http://a/", " \thttp://b/\r\n", "\r \n", "",
		"http://c/\r\nX: y", "http://d/\x01\t", " ftp://e/", NULL,
	};
	struct metainfo *m = parse_urls("announce-list", urls);

	(void)state;
	assert_int_equal(m->tracker_count, 2);
	assert_string_equal(m->trackers[0].url, "http://a/");
	assert_string_equal(m->trackers[1].url, "http://b/");
	metainfo_free(m);
	m = parse_urls("url-list", urls);
	assert_int_equal(m->web_seed_count, 2);
	assert_string_equal(m->web_seeds[1], "http://b/");
	metainfo_free(m);
	m = parse_urls("httpseeds", urls);
	assert_int_equal(m->http_seed_count, 2);
	metainfo_free(m);
	m = parse_with("8:announce10: http://x\n");
	assert_int_equal(m->tracker_count, 1);
	assert_string_equal(m->trackers[0].url, "http://x");
	metainfo_free(m);
}

static void
space_in_web_seeds_is_encoded(void **state)
{
	static const char *const urls[] = {
		" http://a/b c ", "http://a/b%20c", "http://a/b\tc",
		"http://a/b\rc", "http://a/\x7f", "http://a/  b", NULL,
	};
	struct metainfo *m = parse_urls("url-list", urls);

	(void)state;
	assert_int_equal(m->web_seed_count, 2);
	assert_string_equal(m->web_seeds[0], "http://a/b%20c");
	assert_string_equal(m->web_seeds[1], "http://a/%20%20b");
	metainfo_free(m);
	m = parse_urls("announce-list", urls);
	assert_int_equal(m->tracker_count, 1);
	assert_string_equal(m->trackers[0].url, "http://a/b%20c");
	metainfo_free(m);
}

static void
a_tracker_has_a_host_of_ascii(void **state)
{
	static const char *const urls[] = {
		"http://\xc3\xa4/", "http://a/\xc3\xa4", "udp://b:1?\xff",
		"udp://\xff:1", NULL,
	};
	struct metainfo *m = parse_urls("announce-list", urls);

	(void)state;
	assert_int_equal(m->tracker_count, 2);
	assert_string_equal(m->trackers[0].url, "http://a/\xc3\xa4");
	assert_string_equal(m->trackers[1].url, "udp://b:1?\xff");
	metainfo_free(m);
	m = parse_urls("url-list", urls);
	assert_int_equal(m->web_seed_count, 2);
	metainfo_free(m);
}

static void
web_seeds_are_bounded_as_encoded(void **state)
{
	char url[METAINFO_URL_SIZE_MAX + 1] = "http://a/";
	struct metainfo *m;
	struct buffer b;

	(void)state;
	memset(url + 9, 'x', sizeof(url) - 10);
	url[10] = ' ';
	for (size_t cut = 0; cut <= 2; cut += 2) {
		buffer_init(&b, 1 << 16);
		buffer_printf(&b, "8:url-list%zu:%.*s", strlen(url) - cut,
			      (int)(strlen(url) - cut), url);
		m = parse_with(buffer_text(&b));
		assert_int_equal(m->web_seed_count, cut ? 1 : 0);
		metainfo_free(m);
		buffer_release(&b);
	}
}

static void
trackers_are_bounded(void **state)
{
	struct buffer b;
	struct metainfo *m;

	(void)state;
	buffer_init(&b, 1 << 20);
	buffer_str(&b, "13:announce-listl");
	for (int i = 0; i < METAINFO_TRACKERS_MAX + 7; i++)
		buffer_printf(&b, "l12:http://a%04de", i);
	buffer_str(&b, "e8:url-listl");
	for (int i = 0; i < 2 * METAINFO_URLS_MAX; i++)
		buffer_printf(&b, "12:http://a%04d", i);
	buffer_str(&b, "e5:nodesl");
	for (int i = 0; i < 2 * METAINFO_NODES_MAX; i++)
		buffer_str(&b, "l1:ai1ee");
	buffer_str(&b, "e");
	m = parse_with(buffer_text(&b));
	assert_int_equal(m->tracker_count, METAINFO_TRACKERS_MAX);
	assert_int_equal(m->trackers_left_out, 7);
	assert_int_equal(m->web_seed_count, METAINFO_URLS_MAX);
	assert_int_equal(m->node_count, METAINFO_NODES_MAX);
	metainfo_free(m);
	buffer_release(&b);
}

static void
web_seeds_are_a_string_or_a_list(void **state)
{
	struct metainfo *m = parse_with("8:url-list9:http://a/");

	(void)state;
	assert_int_equal(m->web_seed_count, 1);
	assert_string_equal(m->web_seeds[0], "http://a/");
	metainfo_free(m);
	m = parse_with("8:url-listl9:http://a/0:8:ftp://b/10:https://c/e");
	assert_int_equal(m->web_seed_count, 2);
	assert_string_equal(m->web_seeds[1], "https://c/");
	metainfo_free(m);
}

static void
http_seeds_are_kept_apart_from_web_seeds(void **state)
{
	struct metainfo *m = parse_with("9:httpseedsl9:http://a/9:http://a/"
					"8:ftp://b/e8:url-list9:http://w/");

	(void)state;
	assert_int_equal(m->web_seed_count, 1);
	assert_int_equal(m->http_seed_count, 1);
	assert_string_equal(m->http_seeds[0], "http://a/");
	metainfo_free(m);
}

static void
nodes_are_hosts_and_ports(void **state)
{
	struct metainfo *m = parse_with("5:nodesll1:ai80eel1:bi0eel1:ci65536"
					"eeli1ei2eel1:deli1eee");

	(void)state;
	assert_int_equal(m->node_count, 1);
	assert_string_equal(m->nodes[0].host, "a");
	assert_int_equal(m->nodes[0].port, 80);
	metainfo_free(m);
}

static void
many_files_are_read(void **state)
{
	enum { COUNT = 5000 };
	struct buffer b;
	struct metainfo *m;

	(void)state;
	buffer_init(&b, 1 << 20);
	buffer_str(&b, "d4:infod5:filesl");
	for (int i = 0; i < COUNT; i++)
		buffer_printf(&b, "d6:lengthi1e4:pathl3:dir6:%06dee", i);
	buffer_str(&b, "e4:name1:n" PL16K PIECES1 "ee");
	m = parse_bytes(b.data, b.used);
	assert_non_null(m);
	assert_int_equal(m->file_count, COUNT);
	for (uint32_t i = 0; i < COUNT; i++) {
		char want[16];

		snprintf(want, sizeof(want), "%06u", i);
		assert_int_equal(m->files[i].offset, i);
		assert_string_equal(m->files[i].path + 4, want);
	}
	metainfo_free(m);
	buffer_release(&b);
}

static void
integers_of_any_size_are_let_be(void **state)
{
	struct metainfo *m = parse_with("8:uploadedi18446744073709551615e"
					"13:creation datei9223372036854775808e");

	(void)state;
	assert_int_equal(m->creation_date, -1);
	metainfo_free(m);
	m = parse_info("d6:lengthi5e4:name1:n" PL16K PIECES1
		       "7:privatei18446744073709551616ee");
	assert_true(m->private);
	metainfo_free(m);
	assert_refuses("d6:lengthi9223372036854775808e4:name1:n" PL16K
		       PIECES1 "e", "length");
}

static void
unknown_versions_are_refused_first(void **state)
{
	(void)state;
	assert_refuses("d12:meta versioni3ee", "meta version 3 is not known");
	assert_refuses("d12:meta versioni0ee", "meta version 0");
	assert_refuses("d12:meta version1:2e", "not an integer");
	assert_refuses("d" V2 "4:name1:n" PL16K "e", "without a file tree");
}

#define LEAF(length) "d0:d6:lengthi" length "e" ROOT "ee"

static void
v2_tree_gives_the_files(void **state)
{
	struct metainfo *m = parse_info(
		"d9:file treed1:ad1:xd0:d6:lengthi0eee1:y" LEAF("16384") "e"
		"1:b" LEAF("5") "e" V2 "4:name1:n" PL16K "e");

	(void)state;
	assert_true(m->has_v2 && !m->has_v1 && m->multi);
	assert_null(m->pieces);
	assert_int_equal(m->file_count, 3);
	assert_memory_equal(m->files[0].path, "a\0x", 4);
	assert_memory_equal(m->files[1].path, "a\0y", 4);
	assert_int_equal(m->files[1].offset, 0);
	assert_int_equal(m->files[1].components, 2);
	assert_string_equal(m->files[2].path, "b");
	assert_int_equal(m->files[2].offset, 16384);
	assert_int_equal(m->length, 32768);
	assert_int_equal(m->content_length, 16389);
	assert_int_equal(m->piece_count, 2);
	assert_null(m->trees[0].root);
	assert_memory_equal(m->trees[2].root, "rrrr", 4);
	assert_null(m->trees[2].layer);
	assert_ptr_equal(metainfo_id(m), m->hash_v2);
	metainfo_free(m);
}

static void
v2_files_begin_at_pieces(void **state)
{
	struct metainfo *m = parse_info(
		"d9:file treed1:a" LEAF("5") "1:b" LEAF("7") "e" V2
		"4:name1:n" PL16K "e");

	(void)state;
	assert_int_equal(m->files[1].offset, 16384);
	assert_int_equal(m->length, 32768);
	assert_int_equal(m->content_length, 12);
	assert_int_equal(m->piece_count, 2);
	assert_int_equal(metainfo_piece_size(m, 0), 5);
	assert_int_equal(metainfo_piece_size(m, 1), 7);
	assert_int_equal(metainfo_piece_size(m, 2), 0);
	assert_int_equal(metainfo_pieces_length(m), 12);
	assert_int_equal(metainfo_file_at(m, 0, m->piece_length), 1);
	metainfo_free(m);
}

static void
v2_tree_of_one_file_is_that_file_whatever_the_name(void **state)
{
	struct metainfo *m = parse_info("d9:file treed1:n" LEAF("5") "e" V2
					"4:name1:n" PL16K "e");

	(void)state;
	assert_false(m->multi);
	assert_string_equal(m->name, "n");
	assert_null(m->folder);
	metainfo_free(m);
	m = parse_info("d9:file treed1:x" LEAF("5") "e" V2 "4:name1:n" PL16K
		       "e");
	assert_false(m->multi);
	assert_string_equal(m->name, "x");
	assert_string_equal(m->folder, "n");
	metainfo_free(m);
	m = parse_info("d9:file treed1:nd1:x" LEAF("5") "ee" V2 "4:name1:n"
		       PL16K "e");
	assert_true(m->multi);
	assert_string_equal(m->name, "n");
	assert_null(m->folder);
	metainfo_free(m);
}

static void
assert_tree_refused(const char *tree, const char *why)
{
	char info[1024];

	snprintf(info, sizeof(info), "d9:file tree%s" V2 "4:name1:n" PL16K
		 "e", tree);
	assert_refuses(info, why);
}

static void
malformed_trees_are_refused(void **state)
{
	(void)state;
	assert_tree_refused("de", "no files");
	assert_tree_refused("d1:adee", "no files");
	assert_tree_refused("d0:d6:lengthi5e" ROOT "ee", "root of the file");
	assert_tree_refused("d1:ai5ee", "no dictionary");
	assert_tree_refused("d1:ad0:i5eee", "not a dictionary");
	assert_tree_refused("d1:ad0:deee", "no length");
	assert_tree_refused("d1:ad0:d6:lengthi-5eeee", "negative");
	assert_tree_refused("d1:ad0:d6:lengthi5eeee", "no pieces root");
	assert_tree_refused("d1:ad0:d6:lengthi5e11:pieces root3:abceee",
			    "no pieces root");
	assert_tree_refused("d1:ad0:d6:lengthi5e" ROOT "e1:b" LEAF("5") "ee",
			    "beside");
	assert_tree_refused("d1:b" LEAF("5") "1:a" LEAF("5") "e", "order");
	assert_tree_refused("d1:a" LEAF("5") "1:a" LEAF("5") "e", "order");
	assert_tree_refused("d1:ad1:b" LEAF("5") "0:d6:lengthi0eeee",
			    "order");
	assert_tree_refused("d1:ad0:d6:lengthi9223372036854775807e" ROOT
			    "eee", "more than");
	assert_tree_refused("d1:ad0:d6:lengthi0e6:lengthi0eeee",
			    "'length' is there twice");
}

static void
v2_piece_length_is_a_power_of_two(void **state)
{
	(void)state;
	assert_refuses("d9:file treed1:a" LEAF("5") "e" V2 "4:name1:n"
		       "12:piece lengthi8192ee", "power of two");
	assert_refuses("d9:file treed1:a" LEAF("5") "e" V2 "4:name1:n"
		       "12:piece lengthi24576ee", "power of two");
}

static void
paths_of_deep_trees_are_bounded(void **state)
{
	struct buffer b;
	uint8_t *room;
	int depth = 10;

	(void)state;
	buffer_init(&b, 1 << 20);
	buffer_str(&b, "d4:infod9:file treed");
	for (int i = 0; i < depth; i++) {
		buffer_str(&b, "8000:");
		room = buffer_room(&b, 8000);
		assert_non_null(room);
		memset(room, 'x', 8000);
		buffer_added(&b, 8000);
		buffer_str(&b, "d");
	}
	buffer_str(&b, "0:d6:lengthi0ee");
	for (int i = 0; i < depth; i++)
		buffer_str(&b, "e");
	buffer_str(&b, "e" V2 "4:name1:n" PL16K "ee");
	assert_refused(parse_bytes(b.data, b.used), "too long");
	buffer_release(&b);
}

/* Each file of a v2 tree has the names of its folders in its path. */
static void
paths_of_all_files_together_are_bounded(void **state)
{
	const size_t name = 64000, files = 4500;
	struct buffer b;
	uint8_t *room;

	(void)state;
	buffer_init(&b, 1 << 20);
	buffer_printf(&b, "d4:infod9:file treed%zu:", name);
	room = buffer_room(&b, name);
	assert_non_null(room);
	memset(room, 'x', name);
	buffer_added(&b, name);
	buffer_str(&b, "d");
	for (size_t i = 0; i < files; i++)
		buffer_printf(&b, "4:%04zxd0:d6:lengthi0eee", i);
	buffer_str(&b, "ee" V2 "4:name1:n" PL16K "ee");
	assert_refused(parse_bytes(b.data, b.used), "take more than");
	buffer_release(&b);
}

/* A v2 torrent of two files of three pieces each, the same content. */
static void
put_v2(struct buffer *b, const uint8_t *root, const uint8_t *layer,
       size_t layer_size, unsigned copies)
{
	buffer_init(b, 1 << 20);
	buffer_str(b, "d4:infod9:file treed");
	for (int i = 0; i < 2; i++) {
		buffer_printf(b, "1:%cd0:d6:lengthi40000e11:pieces root32:",
			      "ab"[i]);
		buffer_put(b, root, SHA256_SIZE);
		buffer_str(b, "ee");
	}
	buffer_str(b, "e" V2 "4:name1:n" PL16K "e12:piece layersd");
	for (unsigned i = 0; i < copies; i++) {
		bencode_put_bytes(b, root, SHA256_SIZE);
		bencode_put_bytes(b, layer, layer_size);
	}
	buffer_str(b, "ee");
}

static void
make_layer(uint8_t *layer, uint8_t *root)
{
	struct hash *h = hash_new(HASH_SHA256);

	assert_non_null(h);
	for (unsigned i = 0; i < 4 * SHA256_SIZE; i++)
		layer[i] = (uint8_t)(i * 7);
	merkle_root(h, root, layer, 3, 0);
	hash_free(h);
}

static void
piece_layers_lead_to_their_roots(void **state)
{
	uint8_t layer[4 * SHA256_SIZE], root[SHA256_SIZE];
	struct metainfo *m;
	struct buffer b;

	(void)state;
	make_layer(layer, root);
	put_v2(&b, root, layer, 3 * SHA256_SIZE, 1);
	m = parse_bytes(b.data, b.used);
	assert_non_null(m);
	assert_int_equal(m->trees[0].layer_count, 3);
	assert_memory_equal(m->trees[1].layer, layer, 3 * SHA256_SIZE);
	assert_int_equal(m->piece_count, 6);
	metainfo_free(m);
	buffer_release(&b);
}

static void
piece_layers_may_be_missing(void **state)
{
	uint8_t layer[4 * SHA256_SIZE], root[SHA256_SIZE];
	struct metainfo *m;
	struct buffer b;

	(void)state;
	make_layer(layer, root);
	for (unsigned copies = 0; copies < 2; copies++) {
		put_v2(&b, root, layer, 3 * SHA256_SIZE, copies);
		m = parse_bytes(b.data, b.used);
		assert_non_null(m);
		assert_true(metainfo_lacks_layers(m) == (copies == 0));
		metainfo_free(m);
		buffer_release(&b);
	}
}

static void
wrong_piece_layers_are_refused(void **state)
{
	uint8_t layer[4 * SHA256_SIZE], root[SHA256_SIZE];
	struct buffer b;

	(void)state;
	make_layer(layer, root);
	put_v2(&b, root, layer, 2 * SHA256_SIZE, 1);
	assert_refused(parse_bytes(b.data, b.used), "takes 64 bytes");
	buffer_release(&b);
	put_v2(&b, root, layer, 4 * SHA256_SIZE, 1);
	assert_refused(parse_bytes(b.data, b.used), "takes 128 bytes");
	buffer_release(&b);
	put_v2(&b, root, layer, 3 * SHA256_SIZE, 2);
	assert_refused(parse_bytes(b.data, b.used), "there twice");
	buffer_release(&b);
	layer[70] ^= 1;
	put_v2(&b, root, layer, 3 * SHA256_SIZE, 1);
	assert_refused(parse_bytes(b.data, b.used), "lead to its root");
	buffer_release(&b);
}

static void
a_bare_info_needs_no_layers(void **state)
{
	static const char info[] = "d9:file treed1:a" LEAF("40000") "e" V2
				   "4:name1:n" PL16K "e";
	static const struct metainfo_tracker trackers[] = {
		{"http://a/", 0}, {"gopher://b/", 1}, {"udp://c:1", 2},
	};
	struct metainfo *m = metainfo_from_info(info, sizeof(info) - 1,
						trackers, 3, &error);

	(void)state;
	assert_non_null(m);
	assert_null(m->trees[0].layer);
	assert_int_equal(m->tracker_count, 2);
	assert_int_equal(m->trackers[1].tier, 2);
	assert_string_equal(m->trackers[1].url, "udp://c:1");
	metainfo_free(m);
	assert_null(metainfo_from_info("de", 2, NULL, 0, &error));
	assert_null(metainfo_from_info("i1e", 3, NULL, 0, &error));
	assert_null(metainfo_from_info(NULL, 0, NULL, 0, &error));
}

#define TREE_AB "9:file treed1:a" LEAF("5") "1:b" LEAF("7") "e"
#define PAD "d4:attr1:p6:lengthi16379ee"
#define V1_A "d6:lengthi5e4:pathl1:aee"
#define V1_B "d6:lengthi7e4:pathl1:bee"
#define HYBRID(tree, list, pieces) \
	"d" tree FILES(list) V2 "4:name1:n" PL16K pieces "e"

static void
hybrid_halves_that_agree_are_read(void **state)
{
	struct metainfo *m = parse_info(HYBRID(TREE_AB, V1_A PAD V1_B,
					       PIECES2));

	(void)state;
	assert_true(m->has_v1 && m->has_v2 && m->multi);
	assert_int_equal(m->file_count, 3);
	assert_int_equal(m->length, 16391);
	assert_int_equal(m->content_length, 12);
	assert_non_null(m->trees[0].root);
	assert_null(m->trees[1].root);
	assert_non_null(m->trees[2].root);
	metainfo_free(m);
	/* Padding at the very end is common. */
	m = parse_info(HYBRID(TREE_AB, V1_A PAD V1_B
			      "d4:attr1:p6:lengthi16377ee", PIECES2));
	assert_int_equal(m->length, 32768);
	metainfo_free(m);
	/* There padding has its attribute. */
	m = parse_info(HYBRID("9:file treed18:_____padding_file_" LEAF("5")
			      "1:b" LEAF("7") "e",
			      "d6:lengthi5e4:pathl18:_____padding_file_ee"
			      PAD V1_B, PIECES2));
	assert_int_equal(m->pad_count, 1);
	metainfo_free(m);
	m = parse_info("d9:file treed1:n" LEAF("5") "e6:lengthi5e" V2
		       "4:name1:n" PL16K PIECES1 "e");
	assert_false(m->multi);
	metainfo_free(m);
}

static void
hybrid_halves_that_differ_are_refused(void **state)
{
	(void)state;
	assert_refuses(HYBRID(TREE_AB, V1_A V1_B, PIECES1), "is not where");
	assert_refuses(HYBRID(TREE_AB, V1_A, PIECES1), "v2 half has more");
	assert_refuses(HYBRID(TREE_AB, V1_A PAD V1_B
			      "d6:lengthi0e4:pathl1:cee", PIECES2),
		       "v1 half has more");
	assert_refuses(HYBRID(TREE_AB, V1_B PAD V1_A, PIECES2), "differs");
	assert_refuses(HYBRID(TREE_AB, V1_A PAD "d6:lengthi8e4:pathl1:bee",
			      PIECES2), "file 3 differs");
	assert_refuses(HYBRID(TREE_AB, V1_A PAD "d6:lengthi7e4:pathl1:Bee",
			      PIECES2), "file 3 differs");
	assert_refuses(HYBRID(TREE_AB, V1_A PAD V1_B
			      "d4:attr1:p6:lengthi16378ee", PIECES3),
		       "numbers of pieces");
	assert_refuses("d9:file treed1:x" LEAF("5") "e6:lengthi5e" V2
		       "4:name1:n" PL16K PIECES1 "e", "differs");
}

struct sample {
	const char *file;
	const char *v1;
	const char *v2;
	uint32_t pieces;
	uint32_t files;
};

/* Written by libtorrent 2.0.8, which also gave the figures. */
static const struct sample samples[] = {
	{"v1_multi", "f24476120bec79f5e30d738f4812114a5b1b049c", NULL, 10, 6},
	{"v1_tiny", "4e0c2a54903f42ccf4e02a31a18916e74adc3e86", NULL, 1, 1},
	{"hybrid_multi", "12929ab884f8eac6ecf79d35c3b993ee31d85e87",
	 "6a6560dece821c3365d6a2291a2464b1faf79d3a3650740cd5679fb4d1ad1024",
	 13, 10},
	{"hybrid_one", "4a6ba1bdda24014f7880767e1987c5f405f6d467",
	 "8fc3a347178263c218ee587ae469e346f2596379c82a9e2f006db7f6d3b0590d",
	 3, 1},
	{"v2_multi32", NULL,
	 "744fca57abe72c35e2d841bd1b84d44b3479383e778042db7c22f6a4a84f1f55",
	 8, 6},
	{"v2_one", NULL,
	 "f0416fec61df064a08002a71d553f0ce6e71e60c669ddd0adc8122cdbc8eb9d3",
	 3, 1},
};

static struct metainfo *
parse_sample(const char *file)
{
	static char data[4096];
	char path[128];
	size_t size;
	FILE *f;

	snprintf(path, sizeof(path), "test/fuzz/corpus/metainfo/%s", file);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("no %s: tests run in the project's folder", path);
	size = fread(data, 1, sizeof(data), f);
	fclose(f);
	return parse_bytes(data, size);
}

static void
assert_hash(bool has, const uint8_t *hash, size_t size, const char *want)
{
	char hex[2 * SHA256_SIZE + 1];

	assert_int_equal(has, want != NULL);
	if (!want)
		return;
	hex_encode(hex, hash, size);
	assert_string_equal(hex, want);
}

static void
torrents_by_libtorrent_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		struct metainfo *m = parse_sample(samples[i].file);

		assert_non_null(m);
		assert_hash(m->has_v1, m->hash_v1, SHA1_SIZE, samples[i].v1);
		assert_hash(m->has_v2, m->hash_v2, SHA256_SIZE,
			    samples[i].v2);
		assert_int_equal(m->piece_count, samples[i].pieces);
		assert_int_equal(m->file_count, samples[i].files);
		assert_int_equal(m->tracker_count, 2);
		assert_int_equal(m->web_seed_count, 1);
		assert_int_equal(m->node_count, 1);
		metainfo_free(m);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_file_is_read),
		cmocka_unit_test(hash_is_that_of_the_raw_info),
		cmocka_unit_test(large_info_has_its_hash_too),
		cmocka_unit_test(files_follow_one_another),
		cmocka_unit_test(attributes_and_pad_files_are_read),
		cmocka_unit_test(padding_is_known_by_its_name),
		cmocka_unit_test(symlinks_may_lack_a_target_and_take_no_room),
		cmocka_unit_test(utf8_names_are_preferred),
		cmocka_unit_test(empty_components_are_left_out),
		cmocka_unit_test(malformed_paths_are_refused),
		cmocka_unit_test(nul_in_a_name_is_refused),
		cmocka_unit_test(paths_have_a_longest_size),
		cmocka_unit_test(malformed_lengths_are_refused),
		cmocka_unit_test(sums_beyond_63_bits_are_refused),
		cmocka_unit_test(piece_hashes_must_fit_the_length),
		cmocka_unit_test(piece_length_has_a_range),
		cmocka_unit_test(empty_torrents_need_a_file),
		cmocka_unit_test(wrong_shapes_are_refused),
		cmocka_unit_test(a_list_of_files_outweighs_a_length),
		cmocka_unit_test(keys_that_are_there_twice_are_refused),
		cmocka_unit_test(private_and_texts_are_read),
		cmocka_unit_test(what_is_behind_it_is_nothing),
		cmocka_unit_test(odd_extras_do_no_harm),
		cmocka_unit_test(announce_list_wins_over_announce),
		cmocka_unit_test(every_tracker_is_told_of),
		cmocka_unit_test(announce_counts_where_the_list_is_empty),
		cmocka_unit_test(trackers_are_kept_once_and_clean),
		cmocka_unit_test(space_around_urls_is_nothing),
		cmocka_unit_test(space_in_web_seeds_is_encoded),
		cmocka_unit_test(a_tracker_has_a_host_of_ascii),
		cmocka_unit_test(web_seeds_are_bounded_as_encoded),
		cmocka_unit_test(trackers_are_bounded),
		cmocka_unit_test(web_seeds_are_a_string_or_a_list),
		cmocka_unit_test(http_seeds_are_kept_apart_from_web_seeds),
		cmocka_unit_test(nodes_are_hosts_and_ports),
		cmocka_unit_test(many_files_are_read),
		cmocka_unit_test(integers_of_any_size_are_let_be),
		cmocka_unit_test(unknown_versions_are_refused_first),
		cmocka_unit_test(v2_tree_gives_the_files),
		cmocka_unit_test(v2_files_begin_at_pieces),
		cmocka_unit_test(
		    v2_tree_of_one_file_is_that_file_whatever_the_name),
		cmocka_unit_test(malformed_trees_are_refused),
		cmocka_unit_test(v2_piece_length_is_a_power_of_two),
		cmocka_unit_test(paths_of_deep_trees_are_bounded),
		cmocka_unit_test(paths_of_all_files_together_are_bounded),
		cmocka_unit_test(piece_layers_lead_to_their_roots),
		cmocka_unit_test(piece_layers_may_be_missing),
		cmocka_unit_test(wrong_piece_layers_are_refused),
		cmocka_unit_test(a_bare_info_needs_no_layers),
		cmocka_unit_test(hybrid_halves_that_agree_are_read),
		cmocka_unit_test(hybrid_halves_that_differ_are_refused),
		cmocka_unit_test(torrents_by_libtorrent_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
