#include "fixture.h"

#include <time.h>

#include "base/text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
expect_paths(const char *name, const struct fixture_file *files,
	     const char *const *want, size_t count)
{
	struct fixture x;
	char path[LAYOUT_PATH_MAX];

	fixture_torrent(&x, name, 16, files, count);
	x.layout = layout_new(&x.m, NULL, &x.e);
	assert_non_null(x.layout);
	for (size_t i = 0; i < count; i++) {
		size_t n = layout_path(x.layout, i, path, sizeof(path));

		assert_string_equal(path, want[i]);
		assert_int_equal(n, strlen(path));
	}
	fixture_release(&x);
}

static void
honest_names_stay_as_they_are(void **unused)
{
	const struct fixture_file files[] = {
		{ "a/b.txt", 1, 0 }, { ".hidden", 1, 0 },
		{ "a/\xc3\xa4 \xe6\x97\xa5.mkv", 1, 0 },
		{ "back\\slash:*?", 1, 0 }, { "a/...", 1, 0 },
		{ "A/b.txt", 1, 0 }, { ".btget", 1, 0 },
		{ "x.part", 1, 0 }, { "trailing. ", 1, 0 },
	};
	const char *const want[] = {
		"T/a/b.txt", "T/.hidden",
		"T/a/\xc3\xa4 \xe6\x97\xa5.mkv", "T/back\\slash:*?",
		"T/a/...", "T/A/b.txt", "T/.btget", "T/x.part",
		"T/trailing. ",
	};

	(void)unused;
	expect_paths("T", files, want, COUNT(files));
}

static void
hostile_names_stay_inside(void **unused)
{
	const struct fixture_file files[] = {
		{ "../../etc/passwd", 1, 0 }, { "a/./b", 1, 0 },
		{ "|etc|shadow", 1, 0 }, { "a//c", 1, 0 },
		{ "..|..|x", 1, 0 }, { "a\nb\x1b[2J\x7f", 1, 0 },
		{ "\xc2\x85|\xff\xfe", 1, 0 },
		{ "\xe2\x80\xae" "gpj.exe", 1, 0 },
		{ "x.btget-3.txt", 1, 0 },
	};
	const char *const want[] = {
		"T/__/__/etc/passwd", "T/a/_/b", "T/_etc_shadow", "T/a/_/c",
		"T/.._.._x", "T/a_b_[2J_", "T/____", "T/_gpj.exe",
		"T/x_btget-3.txt",
	};

	(void)unused;
	expect_paths("T", files, want, COUNT(files));
}

static void
the_name_of_the_torrent_is_made_safe(void **unused)
{
	const char *const names[][2] = {
		{ "..", "__" }, { ".", "_" }, { "/etc", "_etc" },
		{ ".btget", "_btget" }, { "x.part", "x.part_" },
		{ ".part", "_part" }, { "part", "part" },
		{ ".bashrc", "_bashrc" }, { ".a.part", "_a.part_" },
		{ "...", "_.." }, { "a.b", "a.b" },
		{ "a/../b", "a_.._b" },
	};
	const struct fixture_file file = { "f", 1, 0 };

	(void)unused;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct fixture x;

		fixture_torrent(&x, names[i][0], 16, &file, 1);
		x.layout = layout_new(&x.m, NULL, &x.e);
		assert_string_equal(layout_name(x.layout), names[i][1]);
		fixture_release(&x);
	}
}

static void
a_single_file_is_called_as_the_torrent(void **unused)
{
	const struct fixture_file file = { "../other", 1, 0 };
	char path[LAYOUT_PATH_MAX];
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "x.iso", 16, &file, 1);
	x.m.multi = false;
	x.layout = layout_new(&x.m, NULL, &x.e);
	assert_int_equal(layout_path(x.layout, 0, path, sizeof(path)), 5);
	assert_string_equal(path, "x.iso");
	fixture_release(&x);
}

static void
the_same_path_twice_is_marked_with_the_index(void **unused)
{
	const struct fixture_file files[] = {
		{ "a.txt", 1, 0 }, { "a.txt", 1, 0 }, { "d/a", 1, 0 },
		{ "d/a", 1, 0 }, { "x|y", 1, 0 }, { "x_y", 1, 0 },
		{ "a.txt", 1, 0 }, { "a.btget-2.txt", 1, 0 },
	};
	const char *const want[] = {
		"T/a.txt", "T/a.btget-2.txt", "T/d/a", "T/d/a.btget-4",
		"T/x_y", "T/x_y.btget-6", "T/a.btget-7.txt",
		"T/a_btget-2.txt",
	};

	(void)unused;
	expect_paths("T", files, want, COUNT(files));
}

static void
a_file_that_is_also_a_folder_is_marked(void **unused)
{
	const struct fixture_file files[] = {
		{ "a", 1, 0 }, { "a/b", 1, 0 }, { "a/b/c", 1, 0 },
		{ "d/e/f", 1, 0 }, { "d/e", 1, 0 }, { "d/ef", 1, 0 },
	};
	const char *const want[] = {
		"T/a.btget-1", "T/a/b.btget-2", "T/a/b/c", "T/d/e/f",
		"T/d/e.btget-5", "T/d/ef",
	};

	(void)unused;
	expect_paths("T", files, want, COUNT(files));
}

static void
padding_and_links_clash_with_nothing(void **unused)
{
	const struct fixture_file files[] = {
		{ "a", 1, 0 }, { "a", 3, METAINFO_PAD },
		{ "a", 0, METAINFO_SYMLINK }, { "a/b", 2, METAINFO_PAD },
	};
	char path[LAYOUT_PATH_MAX];
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "T", 16, files, COUNT(files));
	x.layout = layout_new(&x.m, NULL, &x.e);
	layout_path(x.layout, 0, path, sizeof(path));
	assert_string_equal(path, "T/a");
	assert_int_equal(layout_fate(x.layout, 0), LAYOUT_KEPT);
	assert_int_equal(layout_fate(x.layout, 1), LAYOUT_PADDING);
	assert_int_equal(layout_fate(x.layout, 2), LAYOUT_LINK);
	assert_int_equal(layout_size(x.layout), 1);
	fixture_release(&x);
}

static const struct folder_names fat = {true, LAYOUT_NAME_MAX};

static void
fat_has_fewer_names(void **unused)
{
	static const char *const expected[] = {
		"T_ 1_/a_b_", "T_ 1_/A_B_.btget-2", "T_ 1_/________.x",
		"T_ 1_/dir_/ ok", "T_ 1_/A", "T_ 1_/a.btget-6", "T_ 1_/\xc3\xa4_",
	};
	const struct fixture_file files[] = {
		{ "a?b.", 1, 0 }, { "A*B.", 1, 0 }, { "\\:*?\"<>|.x", 1, 0 },
		{ "dir./ ok", 1, 0 }, { "A", 1, 0 }, { "a", 1, 0 },
		{ "\xc3\xa4 ", 1, 0 },
	};
	char path[LAYOUT_PATH_MAX];
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "T: 1.", 16, files, COUNT(files));
	x.layout = layout_new_on(&x.m, NULL, NULL, fat, &x.e);
	for (size_t i = 0; i < COUNT(files); i++) {
		layout_path(x.layout, i, path, sizeof(path));
		assert_string_equal(path, expected[i]);
	}
	fixture_release(&x);
	/* Elsewhere they are all there. */
	fixture_torrent(&x, "T: 1.", 16, files, COUNT(files));
	x.layout = layout_new(&x.m, NULL, &x.e);
	layout_path(x.layout, 1, path, sizeof(path));
	assert_string_equal(path, "T: 1./A*B.");
	fixture_release(&x);
}

static void
fat_tells_no_part_by_its_case(void **unused)
{
	const struct fixture_file file = { "f", 1, 0 };
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "x.PART", 16, &file, 1);
	x.layout = layout_new_on(&x.m, NULL, NULL, fat, &x.e);
	assert_string_equal(layout_name(x.layout), "x.PART_");
	fixture_release(&x);
}

static void
long_names_are_cut_and_keep_their_extension(void **unused)
{
	char name[401], out[LAYOUT_NAME_MAX + 1];
	size_t n;

	(void)unused;
	memset(name, 'a', sizeof(name));
	memcpy(name + 396, ".mkv", 5);
	n = layout_clean(out, 255, name, 400);
	assert_int_equal(n, 255);
	assert_string_equal(out + 251, ".mkv");
	/* Two bytes a character, and none is split. */
	for (size_t i = 0; i < 400; i++)
		name[i] = i % 2 ? '\xa4' : '\xc3';
	n = layout_clean(out, 255, name, 400);
	assert_int_equal(n, 254);
	assert_true(text_is_utf8(out, n));
}

static void
a_marked_long_name_still_fits(void **unused)
{
	char name[256], path[LAYOUT_PATH_MAX];
	struct fixture_file files[2] = { { name, 1, 0 }, { name, 1, 0 } };
	struct fixture x;

	(void)unused;
	memset(name, 'a', 255);
	memcpy(name + 251, ".iso", 5);
	fixture_torrent(&x, "T", 16, files, 2);
	x.layout = layout_new(&x.m, NULL, &x.e);
	assert_int_equal(layout_path(x.layout, 1, path, sizeof(path)), 257);
	assert_string_equal(path + 257 - 12, ".btget-2.iso");
	fixture_release(&x);
}

/* The most that eCryptfs takes. */
static void
names_are_cut_at_what_the_disk_takes(void **unused)
{
	const struct folder_names some = {false, 143};
	char name[256], path[LAYOUT_PATH_MAX];
	struct fixture_file files[2] = { { name, 1, 0 }, { name, 1, 0 } };
	struct fixture x;

	(void)unused;
	memset(name, 'a', 255);
	memcpy(name + 251, ".iso", 5);
	fixture_torrent(&x, name, 16, files, 2);
	x.layout = layout_new_on(&x.m, NULL, NULL, some, &x.e);
	assert_int_equal(strlen(layout_name(x.layout)), 143 - 6);
	assert_string_equal(layout_name(x.layout) + 143 - 6 - 4, ".iso");
	for (size_t i = 0; i < 2; i++) {
		layout_path(x.layout, i, path, sizeof(path));
		assert_int_equal(strlen(path), 143 - 6 + 1 + 143);
	}
	assert_string_equal(path + 143 - 6 + 1 + 143 - 12, ".btget-2.iso");
	fixture_release(&x);
}

static void
a_path_that_is_too_long_is_refused(void **unused)
{
	char path[3200];
	struct fixture_file file = { path, 1, 0 };
	struct fixture x;

	(void)unused;
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	for (size_t i = 100; i < sizeof(path) - 1; i += 100)
		path[i] = '/';
	fixture_torrent(&x, "T", 16, &file, 1);
	assert_null(layout_new(&x.m, NULL, &x.e));
	assert_int_equal(x.e.kind, ERROR_TORRENT);
	fixture_release(&x);
}

static void
layout_path_refuses_a_buffer_that_is_too_small(void **unused)
{
	const struct fixture_file file = { "abc/def", 1, 0 };
	struct fixture x;
	char path[10];

	(void)unused;
	fixture_torrent(&x, "T", 16, &file, 1);
	x.layout = layout_new(&x.m, NULL, &x.e);
	assert_int_equal(layout_path(x.layout, 0, path, 10), 9);
	for (size_t size = 1; size < 10; size++)
		assert_int_equal(layout_path(x.layout, 0, path, size), 0);
	fixture_release(&x);
}

/* --- spans --- */

static const struct fixture_file mixed[] = {
	{ "empty0", 0, 0 }, { "a", 10, 0 }, { "empty1", 0, 0 },
	{ "empty2", 0, 0 }, { "pad", 6, METAINFO_PAD }, { "b", 40, 0 },
	{ "c", 1, 0 }, { "end", 0, 0 },
};

static void
expect_span(struct fixture *x, struct layout_cursor *c, enum span_kind kind,
	    size_t file, uint64_t offset, uint64_t length)
{
	struct span s;

	assert_true(layout_next(x->layout, c, &s));
	assert_int_equal(s.kind, kind);
	assert_int_equal(s.file, file);
	assert_int_equal(s.offset, offset);
	assert_int_equal(s.length, length);
}

static void
a_walk_yields_files_and_padding_and_no_empty_spans(void **unused)
{
	struct layout_cursor c;
	struct fixture x;
	struct span s;

	(void)unused;
	fixture_torrent(&x, "T", 16, mixed, COUNT(mixed));
	x.layout = layout_new(&x.m, NULL, &x.e);
	layout_seek(x.layout, &c, 0, 57);
	expect_span(&x, &c, SPAN_FILE, 1, 0, 10);
	expect_span(&x, &c, SPAN_PAD, 4, 0, 6);
	expect_span(&x, &c, SPAN_FILE, 5, 0, 40);
	expect_span(&x, &c, SPAN_FILE, 6, 0, 1);
	assert_false(layout_next(x.layout, &c, &s));
	layout_seek(x.layout, &c, 9, 3);
	expect_span(&x, &c, SPAN_FILE, 1, 9, 1);
	expect_span(&x, &c, SPAN_PAD, 4, 0, 2);
	assert_false(layout_next(x.layout, &c, &s));
	fixture_release(&x);
}

static void
a_walk_ends_with_the_stream(void **unused)
{
	struct layout_cursor c;
	struct fixture x;
	struct span s;

	(void)unused;
	fixture_torrent(&x, "T", 16, mixed, COUNT(mixed));
	x.layout = layout_new(&x.m, NULL, &x.e);
	layout_seek(x.layout, &c, 56, UINT64_MAX);
	expect_span(&x, &c, SPAN_FILE, 6, 0, 1);
	assert_false(layout_next(x.layout, &c, &s));
	layout_seek(x.layout, &c, 57, 1);
	assert_false(layout_next(x.layout, &c, &s));
	layout_seek(x.layout, &c, UINT64_MAX, UINT64_MAX);
	assert_false(layout_next(x.layout, &c, &s));
	fixture_release(&x);
}

/* Every start and length against a plain search over all files. */
static void
every_walk_covers_its_bytes_once(void **unused)
{
	struct layout_cursor c;
	struct fixture x;
	struct span s;

	(void)unused;
	fixture_torrent(&x, "T", 16, mixed, COUNT(mixed));
	x.layout = layout_new(&x.m, NULL, &x.e);
	for (uint64_t at = 0; at < 57; at++) {
		for (uint64_t n = 1; at + n <= 57; n++) {
			uint64_t next = at;

			layout_seek(x.layout, &c, at, n);
			while (layout_next(x.layout, &c, &s)) {
				assert_int_equal(x.files[s.file].offset +
						 s.offset, next);
				assert_true(s.offset + s.length <=
					    x.files[s.file].length);
				next += s.length;
			}
			assert_int_equal(next, at + n);
		}
	}
	fixture_release(&x);
}

static void
gaps_of_aligned_files_read_as_padding(void **unused)
{
	const struct fixture_file files[] = { { "a", 10, 0 }, { "b", 5, 0 } };
	struct layout_cursor c;
	struct fixture x;
	struct span s;

	(void)unused;
	fixture_torrent(&x, "T", 16, files, 2);
	x.files[1].offset = 16;
	x.m.length = 21;
	x.layout = layout_new(&x.m, NULL, &x.e);
	layout_seek(x.layout, &c, 5, 16);
	expect_span(&x, &c, SPAN_FILE, 0, 5, 5);
	expect_span(&x, &c, SPAN_PAD, 0, 10, 6);
	expect_span(&x, &c, SPAN_FILE, 1, 0, 5);
	assert_false(layout_next(x.layout, &c, &s));
	fixture_release(&x);
}

static void
offsets_beyond_32_bits_are_found(void **unused)
{
	const struct fixture_file files[] = {
		{ "a", 5ULL << 40, 0 }, { "b", 3, 0 }, { "c", 7ULL << 33, 0 },
	};
	struct layout_cursor c;
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "T", 256u << 20, files, 3);
	x.layout = layout_new(&x.m, NULL, &x.e);
	layout_seek(x.layout, &c, (5ULL << 40) - 1, 1ULL << 33);
	expect_span(&x, &c, SPAN_FILE, 0, (5ULL << 40) - 1, 1);
	expect_span(&x, &c, SPAN_FILE, 1, 0, 3);
	expect_span(&x, &c, SPAN_FILE, 2, 0, (1ULL << 33) - 4);
	fixture_release(&x);
}

/* --- selection --- */

/* Pieces of 10: a 0..24, b 25..29, c 30..59, d 60..64 */
static const struct fixture_file four[] = {
	{ "a", 25, 0 }, { "b", 5, 0 }, { "c", 30, 0 }, { "d", 5, 0 },
};

static void
select_only(struct fixture *x, struct bitfield *selected, size_t file)
{
	fixture_torrent(x, "T", 10, four, COUNT(four));
	assert_int_equal(bitfield_init(selected, COUNT(four)), 0);
	bitfield_set(selected, file);
	x->layout = layout_new(&x->m, selected, &x->e);
	assert_non_null(x->layout);
}

static void
only_pieces_of_selected_files_are_wanted(void **unused)
{
	struct bitfield selected, wanted;
	struct fixture x;

	(void)unused;
	select_only(&x, &selected, 1);
	bitfield_init(&wanted, x.m.piece_count);
	bitfield_fill(&wanted);
	layout_wanted_pieces(x.layout, &wanted);
	assert_int_equal(bitfield_ones(&wanted), 1);
	assert_true(bitfield_get(&wanted, 2));
	assert_int_equal(layout_size(x.layout), 5);
	bitfield_release(&wanted);
	bitfield_release(&selected);
	fixture_release(&x);
}

static void
the_rest_of_a_shared_piece_goes_to_the_side(void **unused)
{
	struct bitfield selected;
	struct layout_cursor c;
	struct fixture x;

	(void)unused;
	select_only(&x, &selected, 1);
	assert_true(layout_has_side(x.layout));
	assert_int_equal(layout_side_size(x.layout), 5);
	layout_seek(x.layout, &c, 20, 10);
	expect_span(&x, &c, SPAN_SIDE, 0, 20, 5);
	expect_span(&x, &c, SPAN_FILE, 1, 0, 5);
	bitfield_release(&selected);
	fixture_release(&x);
}

/* A file that is not selected, between two that are. */
static void
both_ends_of_a_file_may_go_to_the_side(void **unused)
{
	static const struct fixture_file three[] = {
		{ "a", 13, 0 }, { "b", 44, 0 }, { "c", 13, 0 },
	};
	struct bitfield selected;
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "T", 10, three, COUNT(three));
	assert_int_equal(bitfield_init(&selected, COUNT(three)), 0);
	bitfield_set(&selected, 0);
	bitfield_set(&selected, 2);
	x.layout = layout_new(&x.m, &selected, &x.e);
	assert_non_null(x.layout);
	assert_int_equal(layout_side_size(x.layout), 7 + 7);
	bitfield_release(&selected);
	fixture_release(&x);
}

static void
a_file_with_pieces_of_its_own_needs_no_side(void **unused)
{
	struct bitfield selected;
	struct fixture x;

	(void)unused;
	select_only(&x, &selected, 2);
	assert_false(layout_has_side(x.layout));
	assert_int_equal(layout_side_size(x.layout), 0);
	bitfield_release(&selected);
	fixture_release(&x);
}

static void
a_spare_file_takes_what_wanted_pieces_have_of_it(void **unused)
{
	struct bitfield selected, spare, pieces;
	struct layout_cursor c;
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "T", 10, four, COUNT(four));
	bitfield_init(&selected, COUNT(four));
	bitfield_init(&spare, COUNT(four));
	bitfield_init(&pieces, x.m.piece_count);
	bitfield_set(&selected, 1);
	/* One that is selected is kept, whatever else is said of it. */
	bitfield_set(&spare, 0);
	bitfield_set(&spare, 1);
	x.layout = layout_new_over(&x.m, &selected, &spare, &x.e);
	assert_int_equal(layout_fate(x.layout, 0), LAYOUT_SPARE);
	assert_int_equal(layout_fate(x.layout, 1), LAYOUT_KEPT);
	assert_int_equal(layout_fate(x.layout, 2), LAYOUT_SKIPPED);
	assert_false(layout_has_side(x.layout));
	assert_int_equal(layout_size(x.layout), 5);
	layout_seek(x.layout, &c, 20, 10);
	expect_span(&x, &c, SPAN_FILE, 0, 20, 5);
	expect_span(&x, &c, SPAN_FILE, 1, 0, 5);
	layout_wanted_pieces(x.layout, &pieces);
	assert_int_equal(bitfield_ones(&pieces), 1);
	layout_stored_pieces(x.layout, &pieces);
	assert_int_equal(bitfield_ones(&pieces), 3);
	/* What its other pieces have of the next file goes on the side. */
	layout_free(x.layout);
	bitfield_zero(&selected);
	bitfield_set(&selected, 3);
	bitfield_unset(&spare, 1);
	x.layout = layout_new_over(&x.m, &selected, &spare, &x.e);
	assert_true(layout_has_side(x.layout));
	assert_int_equal(layout_side_size(x.layout), 0);
	bitfield_release(&pieces);
	bitfield_release(&spare);
	bitfield_release(&selected);
	fixture_release(&x);
}

static void
the_selection_does_not_change_names(void **unused)
{
	const struct fixture_file files[] = { { "a", 5, 0 }, { "a", 5, 0 } };
	char path[LAYOUT_PATH_MAX];
	struct bitfield selected;
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "T", 10, files, 2);
	bitfield_init(&selected, 2);
	bitfield_set(&selected, 1);
	x.layout = layout_new(&x.m, &selected, &x.e);
	layout_path(x.layout, 1, path, sizeof(path));
	assert_string_equal(path, "T/a.btget-2");
	assert_int_equal(layout_fate(x.layout, 0), LAYOUT_SKIPPED);
	bitfield_release(&selected);
	fixture_release(&x);
}

static void
a_selection_of_another_size_is_refused(void **unused)
{
	struct bitfield selected;
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "T", 10, four, COUNT(four));
	bitfield_init(&selected, 3);
	assert_null(layout_new(&x.m, &selected, &x.e));
	assert_int_equal(x.e.kind, ERROR_INTERNAL);
	bitfield_release(&selected);
	fixture_release(&x);
}

static void
a_file_knows_its_pieces(void **unused)
{
	struct fixture x;
	size_t first, count;

	(void)unused;
	fixture_torrent(&x, "T", 16, mixed, COUNT(mixed));
	x.layout = layout_new(&x.m, NULL, &x.e);
	layout_file_pieces(x.layout, 5, &first, &count);
	assert_int_equal(first, 1);
	assert_int_equal(count, 3);
	layout_file_pieces(x.layout, 1, &first, &count);
	assert_int_equal(first, 0);
	assert_int_equal(count, 1);
	layout_file_pieces(x.layout, 2, &first, &count);
	assert_int_equal(count, 0);
	fixture_release(&x);
}

/* --- many --- */

#define MANY 200000

static struct metainfo_file *
many_files(struct metainfo *m, char *text, bool same)
{
	struct metainfo_file *files = calloc(MANY, sizeof(*files));

	for (size_t i = 0; i < MANY; i++) {
		char *at = text + i * 64;

		files[i].offset = i;
		files[i].length = 1;
		files[i].path = at;
		files[i].components = 3;
		files[i].path_size = (uint16_t)snprintf(
		    at, 64, "folder %zu%cdeeper%cfile number %zu.dat",
		    same ? 0 : i / 100, 0, 0, same ? 0 : i) + 1;
	}
	memset(m, 0, sizeof(*m));
	m->multi = true;
	m->name = "T";
	m->piece_length = 16384;
	m->piece_count = MANY / 16384 + 1;
	m->length = MANY;
	m->files = files;
	m->file_count = MANY;
	return files;
}

static double
cpu_seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

/* It takes less than a tenth of this, but for sanitizers; comparing each
 * with each would take minutes. */
#define SECONDS_MAX 10

static void
many_files_are_laid_out_quickly(void **unused)
{
	char *text = calloc(MANY, 64), path[LAYOUT_PATH_MAX];
	struct metainfo m;
	struct metainfo_file *files = many_files(&m, text, false);
	double before = cpu_seconds();
	struct layout *l = layout_new(&m, NULL, NULL);

	(void)unused;
	assert_non_null(l);
	assert_true(cpu_seconds() - before < SECONDS_MAX);
	layout_path(l, MANY - 1, path, sizeof(path));
	assert_string_equal(path, "T/folder 1999/deeper/"
			    "file number 199999.dat");
	layout_free(l);
	free(files);
	free(text);
}

static void
many_files_of_one_name_take_no_longer(void **unused)
{
	char *text = calloc(MANY, 64), path[LAYOUT_PATH_MAX];
	struct metainfo m;
	struct metainfo_file *files = many_files(&m, text, true);
	double before = cpu_seconds();
	struct layout *l = layout_new(&m, NULL, NULL);

	(void)unused;
	assert_non_null(l);
	assert_true(cpu_seconds() - before < SECONDS_MAX);
	layout_path(l, MANY - 1, path, sizeof(path));
	assert_string_equal(path, "T/folder 0/deeper/"
			    "file number 0.btget-200000.dat");
	layout_free(l);
	free(files);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(honest_names_stay_as_they_are),
		cmocka_unit_test(hostile_names_stay_inside),
		cmocka_unit_test(the_name_of_the_torrent_is_made_safe),
		cmocka_unit_test(a_single_file_is_called_as_the_torrent),
		cmocka_unit_test(the_same_path_twice_is_marked_with_the_index),
		cmocka_unit_test(a_file_that_is_also_a_folder_is_marked),
		cmocka_unit_test(padding_and_links_clash_with_nothing),
		cmocka_unit_test(fat_has_fewer_names),
		cmocka_unit_test(fat_tells_no_part_by_its_case),
		cmocka_unit_test(long_names_are_cut_and_keep_their_extension),
		cmocka_unit_test(a_marked_long_name_still_fits),
		cmocka_unit_test(names_are_cut_at_what_the_disk_takes),
		cmocka_unit_test(a_path_that_is_too_long_is_refused),
		cmocka_unit_test(
		    layout_path_refuses_a_buffer_that_is_too_small),
		cmocka_unit_test(
		    a_walk_yields_files_and_padding_and_no_empty_spans),
		cmocka_unit_test(a_walk_ends_with_the_stream),
		cmocka_unit_test(every_walk_covers_its_bytes_once),
		cmocka_unit_test(gaps_of_aligned_files_read_as_padding),
		cmocka_unit_test(offsets_beyond_32_bits_are_found),
		cmocka_unit_test(only_pieces_of_selected_files_are_wanted),
		cmocka_unit_test(
		    a_spare_file_takes_what_wanted_pieces_have_of_it),
		cmocka_unit_test(the_rest_of_a_shared_piece_goes_to_the_side),
		cmocka_unit_test(both_ends_of_a_file_may_go_to_the_side),
		cmocka_unit_test(a_file_with_pieces_of_its_own_needs_no_side),
		cmocka_unit_test(the_selection_does_not_change_names),
		cmocka_unit_test(a_selection_of_another_size_is_refused),
		cmocka_unit_test(a_file_knows_its_pieces),
		cmocka_unit_test(many_files_are_laid_out_quickly),
		cmocka_unit_test(many_files_of_one_name_take_no_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
