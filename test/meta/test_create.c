#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "meta/create.h"

#define HASHES "aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb"

static struct error error;

static void
assert_writes(const struct create *c, const char *want)
{
	struct buffer b;

	buffer_init(&b, 1 << 16);
	error_clear(&error);
	if (create_write(c, &b, &error) != 0)
		fail_msg("%s", error.text);
	assert_string_equal(buffer_text(&b), want);
	buffer_release(&b);
}

static struct create
single(const struct create_file *f)
{
	struct create c = {
		.name = "n",
		.piece_length = 16384,
		.files = f,
		.file_count = 1,
		.pieces = (const uint8_t *)HASHES,
		.piece_count = 1,
		.creation_date = -1,
	};

	return c;
}

static const struct create_file five = {"n", 5, false, NULL, NULL};

static void
single_file_is_written(void **state)
{
	struct create c = single(&five);

	(void)state;
	assert_writes(&c, "d4:infod6:lengthi5e4:name1:n12:piece lengthi16384e"
			  "6:pieces20:aaaaaaaaaaaaaaaaaaaaee");
}

static void
all_that_is_given_is_written_in_order(void **state)
{
	static const struct metainfo_tracker trackers[] = {
		{"http://a", 0}, {"http://b", 0}, {"udp://c", 1},
	};
	static const char *const seeds[] = {"http://w/"};
	struct create c = single(&five);

	(void)state;
	c.trackers = trackers;
	c.tracker_count = 3;
	c.web_seeds = seeds;
	c.web_seed_count = 1;
	c.comment = "hi";
	c.source = "s";
	c.created_by = "me";
	c.creation_date = 7;
	c.private = true;
	assert_writes(&c, "d8:announce8:http://a13:announce-listl"
			  "l8:http://a8:http://bel7:udp://cee"
			  "7:comment2:hi10:created by2:me"
			  "13:creation datei7e4:info"
			  "d6:lengthi5e4:name1:n12:piece lengthi16384e"
			  "6:pieces20:aaaaaaaaaaaaaaaaaaaa7:privatei1e"
			  "6:source1:se8:url-listl9:http://w/ee");
	c.tracker_count = 1;
	c.web_seed_count = 0;
	c.comment = c.source = c.created_by = NULL;
	c.private = false;
	c.creation_date = -1;
	assert_writes(&c, "d8:announce8:http://a4:info"
			  "d6:lengthi5e4:name1:n12:piece lengthi16384e"
			  "6:pieces20:aaaaaaaaaaaaaaaaaaaaee");
}

static void
folders_are_written_as_lists_of_components(void **state)
{
	static const struct create_file files[] = {
		{"a/b c", 16384, true, NULL, NULL},
		{"d", 1, false, NULL, NULL}, {"e", 0, false, NULL, NULL},
	};
	struct create c = single(files);

	(void)state;
	c.multi = true;
	c.file_count = 3;
	c.piece_count = 2;
	assert_writes(&c, "d4:infod5:filesl"
			  "d4:attr1:x6:lengthi16384e4:pathl1:a3:b cee"
			  "d6:lengthi1e4:pathl1:dee"
			  "d6:lengthi0e4:pathl1:eee"
			  "e4:name1:n12:piece lengthi16384e"
			  "6:pieces40:" HASHES "ee");
}

static void
what_is_written_is_read_the_same(void **state)
{
	static const struct create_file files[] = {
		{"a/b", 16384, true, NULL, NULL}, {"d", 1, false, NULL, NULL},
	};
	struct create c = single(files);
	struct metainfo *m;
	struct buffer b;

	(void)state;
	c.multi = true;
	c.file_count = 2;
	c.piece_count = 2;
	c.private = true;
	buffer_init(&b, 1 << 16);
	assert_int_equal(create_write(&c, &b, &error), 0);
	m = metainfo_parse(b.data, b.used, &error);
	assert_non_null(m);
	assert_int_equal(m->length, 16385);
	assert_int_equal(m->file_count, 2);
	assert_int_equal(m->files[0].flags, METAINFO_EXECUTABLE);
	assert_true(m->private);
	metainfo_free(m);
	buffer_release(&b);
}

static void
parts_that_do_not_fit_are_refused(void **state)
{
	static const struct create_file huge[] = {
		{"a", INT64_MAX, false, NULL, NULL},
		{"b", 1, false, NULL, NULL},
	};
	struct create c = single(&five);
	struct buffer b;

	(void)state;
	buffer_init(&b, 1 << 16);
	c.piece_count = 2;
	assert_int_equal(create_write(&c, &b, &error), -1);
	c = single(&five);
	c.piece_length = 0;
	assert_int_equal(create_write(&c, &b, &error), -1);
	c = single(&five);
	c.file_count = 0;
	assert_int_equal(create_write(&c, &b, &error), -1);
	c = single(huge);
	c.multi = true;
	c.file_count = 2;
	assert_int_equal(create_write(&c, &b, &error), -1);
	assert_int_equal(b.used, 0);
	c = single(&five);
	buffer_release(&b);
	buffer_init(&b, 20);
	assert_int_equal(create_write(&c, &b, &error), -1);
	buffer_release(&b);
}

#define ROOT_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ROOT_B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
#define LAYER "ccccccccccccccccccccccccccccccccdddddddddddddddddddddddddddddddd"

static const struct create_file tree[] = {
	{"a/b/x", 16385, false, (const uint8_t *)ROOT_B,
	 (const uint8_t *)LAYER},
	{"a/b/y", 0, false, NULL, NULL},
	{"a/z", 1, true, (const uint8_t *)ROOT_A, NULL},
	{"b", 16385, false, (const uint8_t *)ROOT_B, (const uint8_t *)LAYER},
};

#define TREE "9:file treed1:ad1:bd1:xd0:d6:lengthi16385e11:pieces root32:" 	ROOT_B "ee1:yd0:d6:lengthi0eeee1:zd0:d4:attr1:x6:lengthi1e" 	"11:pieces root32:" ROOT_A "eee1:bd0:d6:lengthi16385e" 	"11:pieces root32:" ROOT_B "eee"

static struct create
folder(enum create_kind kind)
{
	struct create c = {
		.kind = kind,
		.name = "n",
		.multi = true,
		.piece_length = 16384,
		.files = tree,
		.file_count = 4,
		.creation_date = -1,
	};

	return c;
}

static void
v2_has_a_tree_and_each_layer_once(void **state)
{
	struct create c = folder(CREATE_V2);

	(void)state;
	assert_writes(&c, "d4:infod" TREE "12:meta versioni2e4:name1:n"
			  "12:piece lengthi16384ee"
			  "12:piece layersd32:" ROOT_B "64:" LAYER "ee");
}

static void
hybrid_has_both_and_padding(void **state)
{
	struct create c = folder(CREATE_HYBRID);

	(void)state;
	c.pieces = (const uint8_t *)HASHES HASHES HASHES;
	c.piece_count = 5;
	assert_writes(&c, "d4:infod" TREE "5:filesl"
			  "d6:lengthi16385e4:pathl1:a1:b1:xee"
			  "d4:attr1:p6:lengthi16383e4:pathl4:.pad5:16383ee"
			  "d6:lengthi0e4:pathl1:a1:b1:yee"
			  "d4:attr1:x6:lengthi1e4:pathl1:a1:zee"
			  "d4:attr1:p6:lengthi16383e4:pathl4:.pad5:16383ee"
			  "d6:lengthi16385e4:pathl1:bee"
			  "d4:attr1:p6:lengthi16383e4:pathl4:.pad5:16383eee"
			  "12:meta versioni2e4:name1:n12:piece lengthi16384e"
			  "6:pieces100:" HASHES HASHES "aaaaaaaaaaaaaaaaaaaae"
			  "12:piece layersd32:" ROOT_B "64:" LAYER "ee");
}

/* The size is known without a hash, to the byte. */
static void
size_is_known_before_the_hashes(void **state)
{
	struct create_file bare[4];
	struct create c = folder(CREATE_HYBRID);
	struct buffer b;

	(void)state;
	c.pieces = (const uint8_t *)HASHES HASHES HASHES;
	c.piece_count = 5;
	c.file_count = 3;	/* the fourth is like the first */
	c.comment = "hi";
	buffer_init(&b, 1 << 16);
	for (int kind = CREATE_V2; kind <= CREATE_HYBRID; kind++) {
		c.kind = (enum create_kind)kind;
		c.piece_count = 3;
		c.files = tree;
		buffer_clear(&b);
		assert_int_equal(create_write(&c, &b, &error), 0);
		memcpy(bare, tree, sizeof(bare));
		for (int i = 0; i < 4; i++)
			bare[i].root = bare[i].layer = NULL;
		c.files = bare;
		assert_true(create_fits(&c, b.used));
		assert_false(create_fits(&c, b.used - 1));
	}
	buffer_release(&b);
}

static void
lone_v2_file_is_a_tree_of_its_name(void **state)
{
	static const struct create_file f = {
		"ignored", 5, false, (const uint8_t *)ROOT_A, NULL};
	struct create c = single(&f);

	(void)state;
	c.kind = CREATE_V2;
	assert_writes(&c, "d4:infod9:file treed1:nd0:d6:lengthi5e"
			  "11:pieces root32:" ROOT_A "eee"
			  "12:meta versioni2e4:name1:n12:piece lengthi16384ee"
			  "12:piece layersdee");
}

static void
v2_without_its_hashes_is_refused(void **state)
{
	struct create_file f = {"n", 16385, false, (const uint8_t *)ROOT_A,
				NULL};
	struct create c = single(&f);
	struct buffer b;

	(void)state;
	c.kind = CREATE_V2;
	buffer_init(&b, 1 << 16);
	assert_int_equal(create_write(&c, &b, &error), -1);
	f.length = 5;
	f.root = NULL;
	assert_int_equal(create_write(&c, &b, &error), -1);
	f.root = (const uint8_t *)ROOT_A;
	assert_int_equal(create_write(&c, &b, &error), 0);
	buffer_release(&b);
}

static void
padding_does_not_outgrow_the_data(void **state)
{
	(void)state;
	assert_int_equal(create_piece_length(CREATE_V1, 1ULL << 30, 100000),
			 1 << 20);
	assert_int_equal(create_piece_length(CREATE_HYBRID, 1ULL << 30,
					     100000), 16384);
	assert_int_equal(create_piece_length(CREATE_V2, 1ULL << 30, 1),
			 1 << 20);
}

static void
piece_length_grows_with_the_size(void **state)
{
	(void)state;
	assert_int_equal(create_piece_length(CREATE_V1, 0, 1), 16384);
	assert_int_equal(create_piece_length(CREATE_V1, 1 << 20, 1), 16384);
	assert_int_equal(create_piece_length(CREATE_V1, 1ULL << 30, 1),
			 1 << 20);
	assert_int_equal(create_piece_length(CREATE_V1, 4ULL << 30, 1), 4 << 20);
	assert_int_equal(create_piece_length(CREATE_V1, 1ULL << 50, 1),
			 16 << 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_file_is_written),
		cmocka_unit_test(all_that_is_given_is_written_in_order),
		cmocka_unit_test(folders_are_written_as_lists_of_components),
		cmocka_unit_test(what_is_written_is_read_the_same),
		cmocka_unit_test(parts_that_do_not_fit_are_refused),
		cmocka_unit_test(v2_has_a_tree_and_each_layer_once),
		cmocka_unit_test(hybrid_has_both_and_padding),
		cmocka_unit_test(size_is_known_before_the_hashes),
		cmocka_unit_test(lone_v2_file_is_a_tree_of_its_name),
		cmocka_unit_test(v2_without_its_hashes_is_refused),
		cmocka_unit_test(padding_does_not_outgrow_the_data),
		cmocka_unit_test(piece_length_grows_with_the_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
