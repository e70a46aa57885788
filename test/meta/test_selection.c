#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "meta/selection.h"

#define FILES_MAX 16

/* A torrent of these paths, '/' between components; "PAD" is padding. */
struct torrent {
	struct metainfo meta;
	struct metainfo_file files[FILES_MAX];
	char paths[FILES_MAX][80];
};

static void
make(struct torrent *t, const char *const *paths)
{
	memset(t, 0, sizeof(*t));
	t->meta.files = t->files;
	for (; *paths; paths++) {
		uint32_t i = t->meta.file_count++;
		struct metainfo_file *f = &t->files[i];

		f->path_size = (uint16_t)(strlen(*paths) + 1);
		memcpy(t->paths[i], *paths, f->path_size);
		for (char *c = t->paths[i]; *c; c++)
			if (*c == '/')
				*c = '\0';
		f->path = t->paths[i];
		f->length = 1;
		if (strcmp(*paths, "PAD") == 0)
			f->flags = METAINFO_PAD;
	}
}

static const char *const some[] = {
	"disc.iso", "doc/a.txt", "PAD", "doc/b.txt", "doc/deep/c.txt",
	"m\xc3\xbcll.bin", "doc/1", NULL,
};

/* What a list selects of some, as a digit for each file, 1 for wanted. */
static const char *
choose_of(const char *const *paths, const char *list)
{
	static char out[FILES_MAX + 1];
	struct torrent t;
	struct bitfield b;
	struct error e;
	struct selection *s = selection_parse(list, &e);

	if (!s)
		fail_msg("%s: %s", list, e.text);
	make(&t, paths);
	assert_int_equal(bitfield_init(&b, t.meta.file_count), 0);
	memset(out, 0, sizeof(out));
	if (selection_apply(s, &t.meta, &b, &e) == 0)
		for (size_t i = 0; i < b.count; i++)
			out[i] = (char)('0' + bitfield_get(&b, i));
	else
		strcpy(out, e.kind == ERROR_USAGE ? "nothing" : "?");
	bitfield_release(&b);
	selection_free(s);
	return out;
}

static const char *
choose(const char *list)
{
	return choose_of(some, list);
}

static void
numbers_are_those_of_show(void **state)
{
	(void)state;
	/* The third file is padding, which show does not list. */
	assert_string_equal(choose("1"), "1010000");
	assert_string_equal(choose("3"), "0011000");
	assert_string_equal(choose("2-4"), "0111100");
	assert_string_equal(choose("5-"), "0010011");
	assert_string_equal(choose("1,6"), "1010001");
	assert_string_equal(choose("007"), "nothing");
	assert_string_equal(choose("6-4294967295"), "0010001");
}

static void
patterns_match_the_path_or_its_last_part(void **state)
{
	(void)state;
	assert_string_equal(choose("*.txt"), "0111100");
	assert_string_equal(choose("a.txt"), "0110000");
	assert_string_equal(choose("doc/a.txt"), "0110000");
	assert_string_equal(choose("doc/*"), "0111101");
	assert_string_equal(choose("*/deep/*"), "0010100");
	assert_string_equal(choose("deep/*"), "nothing");
	assert_string_equal(choose("*.TXT"), "nothing");
	assert_string_equal(choose("m?ll.bin"), "0010010");
	assert_string_equal(choose("*"), "1111111");
}

static void
folders_name_all_that_is_in_them(void **state)
{
	(void)state;
	assert_string_equal(choose("doc"), "0111101");
	assert_string_equal(choose("doc/"), "0111101");
	assert_string_equal(choose("d*c/d?ep"), "0010100");
	assert_string_equal(choose("doc/deep/"), "0010100");
	assert_string_equal(choose("*deep"), "0010100");
	assert_string_equal(choose("!doc"), "1010010");
	assert_string_equal(choose("!doc/"), "1010010");
	assert_string_equal(choose("doc,!doc/deep/"), "0111001");
	/* Not what is only the beginning of a name, nor one further down. */
	assert_string_equal(choose("do"), "nothing");
	assert_string_equal(choose("doc?"), "nothing");
	assert_string_equal(choose("deep"), "nothing");
	assert_string_equal(choose("deep/"), "nothing");
	assert_string_equal(choose("disc.iso/"), "nothing");
	assert_string_equal(choose("doc//"), "nothing");
	assert_string_equal(choose("/"), "nothing");
}

static void
a_name_as_it_is_written_names_itself(void **state)
{
	static const char *const odd[] = {
		"x[1].bin", "[a]/b", "c/[!d]*", "x1.bin", "\\e", NULL,
	};

	(void)state;
	assert_string_equal(choose_of(odd, "x[1].bin"), "10010");
	assert_string_equal(choose_of(odd, "[a]"), "01000");
	assert_string_equal(choose_of(odd, "[a]/"), "01000");
	assert_string_equal(choose_of(odd, "[a]/b"), "01000");
	assert_string_equal(choose_of(odd, "c/[!d]*"), "00100");
	assert_string_equal(choose_of(odd, "\\e"), "00001");
	assert_string_equal(choose_of(odd, "!x[1].bin"), "01101");
}

static void
a_mark_leaves_out(void **state)
{
	(void)state;
	assert_string_equal(choose("!*.txt"), "1010011");
	assert_string_equal(choose("!1"), "0111111");
	assert_string_equal(choose("2-,!*.txt"), "0010011");
	assert_string_equal(choose("!*.txt,2-"), "0010011");
	assert_string_equal(choose("*,!doc/deep/*,!1"), "0111011");
	assert_string_equal(choose("1,!1"), "nothing");
	assert_string_equal(choose("!*"), "nothing");
}

static void
space_is_nothing_and_a_backslash_takes_what_follows(void **state)
{
	(void)state;
	assert_string_equal(choose(" 1 ,\t! 1 , a.txt "), "0110000");
	assert_string_equal(choose("\\1"), "0010001");
	assert_string_equal(choose("\\!x,1"), "1010000");
	assert_string_equal(choose("a\\,b,1"), "1010000");
	assert_string_equal(choose("[1]"), "0010001");
}

static bool
match(const char *pattern, const char *text)
{
	return selection_match(pattern, text, strlen(text));
}

static void
stars_match_any_text(void **state)
{
	(void)state;
	assert_true(match("", ""));
	assert_false(match("", "a"));
	assert_false(match("a", ""));
	assert_true(match("*", "") && match("**", "a/b"));
	assert_true(match("a*", "a") && match("*a", "a"));
	assert_true(match("a*b*c", "aXbXbc"));
	assert_false(match("a*b*c", "aXcXb"));
	assert_true(match("*ab", "aab") && match("*aab", "aaab"));
	assert_false(match("*ab", "aba"));
}

static void
one_character_is_one_of_utf8(void **state)
{
	(void)state;
	assert_true(match("?", "\xe6\x97\xa5"));
	assert_false(match("??", "\xe6\x97\xa5"));
	assert_true(match("\xe6\x97\xa5*", "\xe6\x97\xa5\xe6\x9c\xac"));
	assert_true(match("???", "\xff\xfe" "a"));
	assert_true(match("*\xc3\xbc", "\xc3\xa4\xc3\xbc"));
}

static void
classes_have_ranges_and_can_be_turned(void **state)
{
	(void)state;
	assert_true(match("[a-c]x", "bx"));
	assert_false(match("[a-c]", "d"));
	assert_true(match("[!a-c]", "d") && match("[^a-c]", "d"));
	assert_false(match("[!a-c]", "a"));
	assert_true(match("[]]", "]") && match("[!]]", "a"));
	assert_true(match("[a-]", "-") && match("[-a]", "-"));
	assert_true(match("[\\]x]", "]") && match("[a\\-c]", "-"));
	assert_false(match("[a\\-c]", "b"));
	assert_true(match("[\xc3\xa4-\xc3\xbc]", "\xc3\xb6"));
	/* One that has no end stands for itself. */
	assert_true(match("[ab", "[ab") && match("a[", "a["));
	assert_true(match("a\\", "a\\"));
}

static void
many_stars_take_no_long_time(void **state)
{
	static char text[3000];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_false(selection_match("*a*a*a*a*a*a*a*a*a*a*a*a*b", text,
				     sizeof(text)));
}

static void
each_mistake_has_its_words(void **state)
{
	static const char *const lists[][2] = {
		{"", "an item is empty"},
		{"1,", "an item is empty"},
		{",1", "an item is empty"},
		{"!", "an item is empty"},
		{"0", "'0' is no file: they count from 1"},
		{"!0-3", "'!0-3' is no file: they count from 1"},
		{"5-3", "'5-3' ends before it begins"},
		{"4294967296", "'4294967296' is too large a number"},
		{"1-99999999999999999999999",
		 "'1-99999999999999999999999' is too large a number"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct error e;

		assert_null(selection_parse(lists[i][0], &e));
		assert_int_equal(e.kind, ERROR_USAGE);
		assert_string_equal(e.text, lists[i][1]);
	}
}

static void
a_list_has_a_length(void **state)
{
	size_t size = SELECTION_SIZE_MAX + 1;
	char *text = malloc(size + 1);
	struct error e;

	(void)state;
	memset(text, 'x', size);
	text[size] = '\0';
	assert_null(selection_parse(text, &e));
	for (size_t i = 1; i < size; i += 2)
		text[i] = ',';
	text[size - 1] = '\0';
	assert_null(selection_parse(text, &e));
	assert_string_equal(e.text, "more than 4096 items");
	free(text);
}

static void
an_item_that_names_nothing_is_told(void **state)
{
	struct selection *s = selection_parse("1, !disc* ,*.txt,9-", NULL);
	struct torrent t;

	(void)state;
	make(&t, some);
	assert_string_equal(selection_unused(s, &t.meta), "9-");
	selection_free(s);
	s = selection_parse("doc/,! x ,9-", NULL);
	assert_string_equal(selection_unused(s, &t.meta), "! x");
	selection_free(s);
	s = selection_parse("*.txt,doc,!1", NULL);
	assert_null(selection_unused(s, &t.meta));
	selection_free(s);
}

static void
a_link_counts_from_0_and_padding_too(void **state)
{
	struct magnet_range ranges[2] = {{0, 0}, {2, 3}};
	struct magnet link = {.select_count = 2, .select = ranges};
	struct torrent t;
	struct bitfield b;
	struct error e;

	(void)state;
	make(&t, some);
	assert_int_equal(bitfield_init(&b, t.meta.file_count), 0);
	assert_int_equal(selection_apply_link(&link, &t.meta, &b, &e), 0);
	assert_int_equal(b.bits[0], 0xb0);
	link.select_count = 0;
	assert_int_equal(selection_apply_link(&link, &t.meta, &b, &e), 0);
	assert_true(bitfield_full(&b));
	ranges[0] = (struct magnet_range){2, 2};
	ranges[1] = (struct magnet_range){7, 9};
	link.select_count = 2;
	assert_int_equal(selection_apply_link(&link, &t.meta, &b, &e), -1);
	assert_int_equal(e.kind, ERROR_TORRENT);
	bitfield_release(&b);
}

static void
a_link_adds_what_it_selects_and_is_not_there(void **state)
{
	struct magnet_range ranges[2] = {{0, 0}, {2, 9}};
	struct magnet link = {.select_count = 2, .select = ranges};
	struct torrent t;
	struct bitfield have;

	(void)state;
	make(&t, some);
	assert_int_equal(bitfield_init(&have, t.meta.file_count), 0);
	assert_true(selection_link_adds(&link, &t.meta, &have));
	for (uint32_t i = 0; i < t.meta.file_count; i++)
		if (i != 1 && !(t.meta.files[i].flags & METAINFO_PAD))
			bitfield_set(&have, i);
	assert_false(selection_link_adds(&link, &t.meta, &have));
	ranges[0] = ranges[1] = (struct magnet_range){1, 1};
	assert_true(selection_link_adds(&link, &t.meta, &have));
	ranges[0] = ranges[1] = (struct magnet_range){70, 90};
	assert_false(selection_link_adds(&link, &t.meta, &have));
	link.select_count = 0;
	assert_true(selection_link_adds(&link, &t.meta, &have));
	bitfield_release(&have);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_those_of_show),
		cmocka_unit_test(patterns_match_the_path_or_its_last_part),
		cmocka_unit_test(folders_name_all_that_is_in_them),
		cmocka_unit_test(a_name_as_it_is_written_names_itself),
		cmocka_unit_test(a_mark_leaves_out),
		cmocka_unit_test(
		    space_is_nothing_and_a_backslash_takes_what_follows),
		cmocka_unit_test(stars_match_any_text),
		cmocka_unit_test(one_character_is_one_of_utf8),
		cmocka_unit_test(classes_have_ranges_and_can_be_turned),
		cmocka_unit_test(many_stars_take_no_long_time),
		cmocka_unit_test(each_mistake_has_its_words),
		cmocka_unit_test(a_list_has_a_length),
		cmocka_unit_test(an_item_that_names_nothing_is_told),
		cmocka_unit_test(a_link_counts_from_0_and_padding_too),
		cmocka_unit_test(a_link_adds_what_it_selects_and_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
