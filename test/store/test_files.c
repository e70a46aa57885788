#include "fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/sync.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct fixture_file mixed[] = {
	{ "empty", 0, 0 }, { "a", 10, 0 }, { "d/e/b", 7000, 0 },
	{ "pad", 50, METAINFO_PAD }, { "d/c", 3000, 0 },
	{ "d/none", 0, 0 }, { "run", 5, METAINFO_EXECUTABLE },
	{ "link", 0, METAINFO_SYMLINK },
};

static void
start(struct fixture *x)
{
	fixture_torrent(x, "T", 1024, mixed, COUNT(mixed));
	fixture_dir(x);
	fixture_open(x);
}

static void
start_single(struct fixture *x, uint64_t length)
{
	const struct fixture_file file = { "x.iso", length, 0 };

	fixture_torrent(x, "x.iso", 1024, &file, 1);
	x->m.multi = false;
	fixture_dir(x);
	fixture_open(x);
}

static void
expect_all(struct fixture *x)
{
	size_t size = (size_t)x->m.length;
	uint8_t *is = malloc(size + 1);

	assert_int_equal(files_read(x->store, 0, is, size, &x->e), 0);
	assert_memory_equal(is, x->bytes, size);
	free(is);
}

static void
expect_error(struct fixture *x, int status, enum error_kind kind,
	     const char *text)
{
	assert_int_equal(status, -1);
	assert_int_equal(x->e.kind, kind);
	if (!strstr(x->e.text, text))
		fail_msg("'%s' is not in '%s'", text, x->e.text);
}

/* --- the life of a download --- */

static void
what_is_written_is_read_again(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	assert_true(files_fresh(x.store));
	fixture_write_all(&x);
	expect_all(&x);
	fixture_open(&x);
	assert_false(files_fresh(x.store));
	expect_all(&x);
	fixture_release(&x);
}

/* A long has 32 bits on some machines. */
static void
a_file_of_more_than_4_gib_has_an_end(void **unused)
{
	const uint64_t length = 5ull << 30;
	struct files_stamp stamp;
	struct fixture x;
	uint8_t is[5];

	(void)unused;
	start_single(&x, length);
	assert_int_equal(files_write(x.store, length - 5, "hello", 5, &x.e),
			 0);
	fixture_open(&x);
	assert_int_equal(files_read(x.store, length - 5, is, 5, &x.e), 0);
	assert_memory_equal(is, "hello", 5);
	assert_int_equal(files_stamp(x.store, 0, &stamp, &x.e), 0);
	assert_true(stamp.size == length);
	fixture_release(&x);
}

static void
an_empty_file_or_folder_is_bare(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	assert_true(files_bare(x.store));
	fixture_put(&x, "T.part/other", "", 0);
	fixture_open(&x);
	assert_false(files_bare(x.store));
	unlink(fixture_at(&x, "T.part/other"));
	assert_true(files_bare(x.store));
	assert_false(files_fresh(x.store));
	fixture_release(&x);
	start_single(&x, 5000);
	fixture_put(&x, "x.iso", "", 0);
	fixture_open(&x);
	assert_true(files_bare(x.store));
	fixture_put(&x, "x.iso", "1", 1);
	assert_false(files_bare(x.store));
	fixture_release(&x);
}

static void
blocks_across_files_are_written_from_many_buffers(void **unused)
{
	struct iovec iov[200];
	struct fixture x;
	size_t at = 0;

	(void)unused;
	start(&x);
	for (size_t i = 0; i < COUNT(iov); i++) {
		size_t n = i % 3 ? 50 : 0;

		if (i + 1 == COUNT(iov) || n > x.m.length - at)
			n = (size_t)x.m.length - at;
		iov[i].iov_base = x.bytes + at;
		iov[i].iov_len = n;
		at += n;
	}
	assert_int_equal(at, x.m.length);
	assert_int_equal(files_writev(x.store, 0, iov, COUNT(iov), &x.e), 0);
	expect_all(&x);
	fixture_release(&x);
}

static void
unfinished_data_is_under_part_only(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	assert_false(fixture_exists(&x, "T.part"));
	fixture_write_all(&x);
	assert_true(fixture_exists(&x, "T.part/d/e/b"));
	assert_false(fixture_exists(&x, "T"));
	assert_false(files_in_place(x.store));
	fixture_release(&x);
}

static void
finish_gives_the_final_name_and_makes_empty_files(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_write_all(&x);
	assert_false(fixture_exists(&x, "T.part/empty"));
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_true(files_in_place(x.store));
	assert_false(fixture_exists(&x, "T.part"));
	assert_true(fixture_holds(&x, "T/a", x.bytes, 10));
	assert_true(fixture_holds(&x, "T/d/e/b", x.bytes + 10, 7000));
	assert_true(fixture_holds(&x, "T/d/c", x.bytes + 7060, 3000));
	assert_int_equal(fixture_size(&x, "T/empty"), 0);
	assert_int_equal(fixture_size(&x, "T/d/none"), 0);
	assert_false(fixture_exists(&x, "T/pad"));
	assert_false(fixture_exists(&x, "T/link"));
	expect_all(&x);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	fixture_release(&x);
}

/* A torrent may have hundreds of thousands of empty files. */
static void
finishing_can_be_stopped_and_goes_on(void **unused)
{
	_Atomic bool stop = true;
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_write_all(&x);
	expect_error(&x, files_finish(x.store, &stop, &x.e), ERROR_STOPPED,
		     "stopped");
	assert_false(files_in_place(x.store));
	assert_false(fixture_exists(&x, "T.part/empty"));
	stop = false;
	assert_int_equal(files_finish(x.store, &stop, &x.e), 0);
	assert_true(files_in_place(x.store));
	assert_int_equal(fixture_size(&x, "T/empty"), 0);
	expect_all(&x);
	fixture_release(&x);
}

static void
a_single_file_is_finished_too(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 5000);
	fixture_write_all(&x);
	assert_true(fixture_exists(&x, "x.iso.part"));
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_false(fixture_exists(&x, "x.iso.part"));
	assert_true(fixture_holds(&x, "x.iso", x.bytes, 5000));
	expect_all(&x);
	/* Written under its new name as well, when opened anew. */
	fixture_write_all(&x);
	assert_int_equal(files_sync(x.store, &x.e), 0);
	fixture_release(&x);
}

static void
modes_follow_the_attribute(void **unused)
{
	struct fixture x;
	struct stat st;
	mode_t old = umask(022);

	(void)unused;
	start(&x);
	fixture_write_all(&x);
	assert_int_equal(stat(fixture_at(&x, "T.part/run"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_int_equal(stat(fixture_at(&x, "T.part/a"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	umask(old);
	fixture_release(&x);
}

static void
what_is_there_is_completed_in_place(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 5000);
	fixture_put(&x, "x.iso", x.bytes, 1000);
	fixture_open(&x);
	assert_true(files_in_place(x.store));
	assert_false(files_fresh(x.store));
	fixture_write_all(&x);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_true(fixture_holds(&x, "x.iso", x.bytes, 5000));
	assert_false(fixture_exists(&x, "x.iso.part"));
	fixture_release(&x);
}

static void
the_final_name_wins_over_part(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 50);
	fixture_put(&x, "x.iso", "final", 5);
	fixture_put(&x, "x.iso.part", "part", 4);
	fixture_open(&x);
	assert_true(files_in_place(x.store));
	assert_true(files_leftover(x.store));
	fixture_write_all(&x);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_true(fixture_holds(&x, "x.iso", x.bytes, 50));
	assert_true(fixture_holds(&x, "x.iso.part", "part", 4));
	fixture_release(&x);
}

static void
what_has_other_names_is_not_written_to(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 5000);
	fixture_put(&x, "victim", "precious", 8);
	assert_int_equal(linkat(x.folder.dir, "victim", x.folder.dir,
				"x.iso.part", 0), 0);
	fixture_open(&x);
	expect_error(&x, files_write(x.store, 0, x.bytes, 5000, &x.e),
		     ERROR_STORAGE, "it has other hard links");
	assert_true(fixture_holds(&x, "victim", "precious", 8));
	fixture_release(&x);
}

static void
what_appears_where_nothing_was_is_not_written_to(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 5000);
	fixture_open(&x);
	fixture_put(&x, "x.iso.part", "precious", 8);
	expect_error(&x, files_write(x.store, 0, x.bytes, 5000, &x.e),
		     ERROR_STORAGE, "a file of this name has appeared");
	assert_true(fixture_holds(&x, "x.iso.part", "precious", 8));
	fixture_release(&x);
}

/* Pieces of 1000; what lies in a hole, and files that are one. */
static void
holes_and_twins_are_found(void **unused)
{
	static const struct fixture_file three[] = {
		{ "a", 300000, 0 }, { "b", 2000, 0 }, { "c", 2000, 0 },
	};
	struct bitfield found;
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "T", 1000, three, 3);
	fixture_dir(&x);
	fixture_open(&x);
	bitfield_init(&found, x.m.piece_count);
	fixture_write_all(&x);
	assert_int_equal(files_inspect(x.store, &found, &x.e), 0);
	assert_int_equal(bitfield_ones(&found), 0);
	/* A hole from 100,352 (or a larger block's end) to 250,000. */
	assert_int_equal(truncate(fixture_at(&x, "T.part/a"), 100000), 0);
	assert_int_equal(files_write(x.store, 250000, x.bytes + 250000, 50000,
				     &x.e), 0);
	assert_int_equal(files_inspect(x.store, &found, &x.e), 0);
	assert_true(bitfield_get(&found, 200));
	assert_false(bitfield_get(&found, 50));
	assert_false(bitfield_get(&found, 290));
	assert_false(bitfield_get(&found, 301));
	bitfield_zero(&found);
	fixture_write_all(&x);
	unlink(fixture_at(&x, "T.part/c"));
	assert_int_equal(linkat(x.folder.dir, "T.part/b", x.folder.dir,
				"T.part/c", 0), 0);
	assert_int_equal(files_inspect(x.store, &found, &x.e), 0);
	assert_int_equal(bitfield_ones(&found), 4);
	assert_true(bitfield_get(&found, 300));
	assert_true(bitfield_get(&found, 303));
	bitfield_release(&found);
	fixture_release(&x);
}

/* Some disks tell no upper from lower case, and give each an inode. */
static void
names_that_differ_in_case_may_be_twins(void **unused)
{
	static const struct fixture_file four[] = {
		{ "A", 2000, 0 }, { "b", 2000, 0 }, { "D/c", 2000, 0 },
		{ "d/C", 2000, 0 },
	};
	struct bitfield found;
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "T", 1000, four, 4);
	fixture_dir(&x);
	fixture_open(&x);
	bitfield_init(&found, x.m.piece_count);
	fixture_write_all(&x);
	assert_int_equal(files_inspect(x.store, &found, &x.e), 0);
	assert_int_equal(bitfield_ones(&found), 4);
	assert_true(bitfield_get(&found, 4));
	assert_true(bitfield_get(&found, 7));
	bitfield_release(&found);
	fixture_release(&x);
}

static void
finish_renames_over_nothing(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 50);
	fixture_write_all(&x);
	fixture_put(&x, "x.iso", "mine", 4);
	expect_error(&x, files_finish(x.store, NULL, &x.e), ERROR_STORAGE,
		     "cannot give 'x.iso.part' its final name: File exists");
	assert_true(fixture_holds(&x, "x.iso", "mine", 4));
	fixture_release(&x);
}

static void
finish_renames_over_an_empty_folder(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_write_all(&x);
	mkdir(fixture_at(&x, "T"), 0777);
	fixture_put(&x, "T/mine", "mine", 4);
	expect_error(&x, files_finish(x.store, NULL, &x.e), ERROR_STORAGE,
		     "cannot give 'T.part' its final name: ");
	unlink(fixture_at(&x, "T/mine"));
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_false(fixture_exists(&x, "T.part"));
	expect_all(&x);
	fixture_release(&x);
}

static void
finish_cuts_what_is_too_long(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 50);
	fixture_put(&x, "x.iso", x.bytes, 50);
	assert_int_equal(truncate(fixture_at(&x, "x.iso"), 80), 0);
	fixture_open(&x);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_true(fixture_holds(&x, "x.iso", x.bytes, 50));
	fixture_release(&x);
}

static void
finish_refuses_what_is_short_or_missing(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 50);
	fixture_put(&x, "x.iso", x.bytes, 49);
	fixture_open(&x);
	expect_error(&x, files_finish(x.store, NULL, &x.e), ERROR_STORAGE,
		     "'x.iso' was cut short");
	unlink(fixture_at(&x, "x.iso"));
	expect_error(&x, files_finish(x.store, NULL, &x.e), ERROR_STORAGE,
		     "'x.iso' is gone");
	fixture_release(&x);
}

/* --- what is not there --- */

static void
missing_bytes_are_told_apart_from_failures(void **unused)
{
	struct fixture x;
	uint8_t b[50];

	(void)unused;
	start_single(&x, 50);
	expect_error(&x, files_read(x.store, 0, b, 50, &x.e), ERROR_DATA,
		     "'x.iso.part' is not there");
	fixture_put(&x, "x.iso.part", x.bytes, 20);
	assert_int_equal(files_read(x.store, 0, b, 20, &x.e), 0);
	expect_error(&x, files_read(x.store, 0, b, 21, &x.e), ERROR_DATA,
		     "'x.iso.part' ends too early");
	fixture_release(&x);
}

static void
reading_creates_nothing(void **unused)
{
	struct fixture x;
	uint8_t b[50];

	(void)unused;
	start(&x);
	files_read(x.store, 0, b, 50, &x.e);
	assert_false(fixture_exists(&x, "T.part"));
	fixture_release(&x);
}

static void
bytes_beyond_the_stream_are_refused(void **unused)
{
	struct fixture x;
	uint8_t b[51];

	(void)unused;
	start_single(&x, 50);
	expect_error(&x, files_write(x.store, 50, b, 1, &x.e),
		     ERROR_INTERNAL, "beyond");
	expect_error(&x, files_read(x.store, UINT64_MAX, b, 2, &x.e),
		     ERROR_INTERNAL, "beyond");
	expect_error(&x, (int)files_send(x.store, -1, 49, 2, &x.e),
		     ERROR_INTERNAL, "beyond");
	fixture_release(&x);
}

static void
presence_tells_data_from_holes_from_nothing(void **unused)
{
	struct fixture x;
	const uint64_t far = 40 << 20;

	(void)unused;
	start_single(&x, far + 100);
	assert_int_equal(files_presence(x.store, 0, 1), FILES_ABSENT);
	assert_int_equal(files_write(x.store, 0, x.bytes, 10, &x.e), 0);
	assert_int_equal(files_presence(x.store, 0, 10), FILES_DATA);
	assert_int_equal(files_presence(x.store, far, 100), FILES_HOLE);
	assert_int_equal(files_presence(x.store, 1000000, 4096), FILES_HOLE);
	assert_int_equal(truncate(fixture_at(&x, "x.iso.part"),
				  (off_t)far + 50), 0);
	assert_int_equal(files_presence(x.store, far, 100), FILES_ABSENT);
	assert_int_equal(files_presence(x.store, far, 50), FILES_HOLE);
	fixture_release(&x);
}

/* --- what others planted --- */

static void
planted_links_are_not_followed(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_put(&x, "victim/b", "safe", 4);
	mkdir(fixture_at(&x, "T.part"), 0777);
	fixture_link(&x, "../victim/b", "T.part/a");
	fixture_link(&x, "../victim", "T.part/d");
	fixture_open(&x);
	expect_error(&x, files_write(x.store, 0, x.bytes, 10, &x.e),
		     ERROR_STORAGE, "'T.part/a': it is a symbolic link");
	expect_error(&x, files_write(x.store, 10, x.bytes, 10, &x.e),
		     ERROR_STORAGE, "T.part/d/e/b");
	assert_true(fixture_holds(&x, "victim/b", "safe", 4));
	assert_false(fixture_exists(&x, "victim/e"));
	fixture_release(&x);
}

static void
a_link_for_the_whole_torrent_is_refused(void **unused)
{
	const char *const names[] = { "T", "T.part" };
	struct fixture x;

	(void)unused;
	start(&x);
	mkdir(fixture_at(&x, "victim"), 0777);
	for (size_t i = 0; i < COUNT(names); i++) {
		fixture_link(&x, "victim", names[i]);
		expect_error(&x, fixture_open_as(&x, NULL, FILES_SPARSE, 4),
			     ERROR_STORAGE, "it is a symbolic link");
		unlink(fixture_at(&x, names[i]));
	}
	fixture_release(&x);
}

static void
fifos_and_folders_hold_nobody_up(void **unused)
{
	struct fixture x;
	uint8_t b[10];

	(void)unused;
	start(&x);
	mkdir(fixture_at(&x, "T.part"), 0777);
	mkfifo(fixture_at(&x, "T.part/a"), 0666);
	mkdir(fixture_at(&x, "T.part/run"), 0777);
	fixture_open(&x);
	expect_error(&x, files_write(x.store, 0, x.bytes, 10, &x.e),
		     ERROR_STORAGE, "it is no regular file");
	expect_error(&x, files_read(x.store, 0, b, 10, &x.e), ERROR_STORAGE,
		     "it is no regular file");
	expect_error(&x, files_write(x.store, 10060, x.bytes, 5, &x.e),
		     ERROR_STORAGE, "it is a folder");
	fixture_release(&x);
}

static void
a_file_in_place_of_the_folder_is_refused(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_put(&x, "T", "x", 1);
	expect_error(&x, fixture_open_as(&x, NULL, FILES_SPARSE, 4),
		     ERROR_STORAGE, "cannot use 'T': it is no folder");
	fixture_release(&x);
}

/* --- what vanishes --- */

static void
a_file_that_was_removed_is_noticed_by_sync(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 50);
	fixture_write_all(&x);
	assert_int_equal(files_sync(x.store, &x.e), 0);
	fixture_write_all(&x);
	unlink(fixture_at(&x, "x.iso.part"));
	fixture_write_all(&x);
	expect_error(&x, files_sync(x.store, &x.e), ERROR_STORAGE,
		     "'x.iso.part' is gone");
	/* And it stays so: what was written is lost. */
	expect_error(&x, files_sync(x.store, &x.e), ERROR_STORAGE,
		     "'x.iso.part' is gone");
	fixture_release(&x);
}

static void
a_file_that_was_replaced_is_noticed_by_sync(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 50);
	fixture_write_all(&x);
	fixture_put(&x, "other", x.bytes, 50);
	fixture_rename(&x, "other", "x.iso.part");
	expect_error(&x, files_sync(x.store, &x.e), ERROR_STORAGE,
		     "replaced");
	fixture_release(&x);
}

static void
a_file_that_was_removed_is_never_made_anew(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	assert_int_equal(fixture_open_as(&x, NULL, FILES_SPARSE, 1), 0);
	fixture_write_all(&x);
	unlink(fixture_at(&x, "T.part/a"));
	expect_error(&x, files_write(x.store, 0, x.bytes, 10, &x.e),
		     ERROR_STORAGE, "'T.part/a' is gone");
	assert_false(fixture_exists(&x, "T.part/a"));
	fixture_release(&x);
}

static void
a_folder_that_was_removed_is_never_made_anew(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	assert_int_equal(files_write(x.store, 0, x.bytes, 10, &x.e), 0);
	unlink(fixture_at(&x, "T.part/a"));
	rmdir(fixture_at(&x, "T.part"));
	expect_error(&x, files_write(x.store, 10, x.bytes, 10, &x.e),
		     ERROR_STORAGE, "T.part/d/e/b");
	assert_false(fixture_exists(&x, "T.part"));
	expect_error(&x, files_sync(x.store, &x.e), ERROR_STORAGE, "gone");
	fixture_release(&x);
}

static void
a_moved_folder_is_noticed_by_finish(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_write_all(&x);
	assert_int_equal(files_sync(x.store, &x.e), 0);
	fixture_rename(&x, "T.part", "elsewhere");
	expect_error(&x, files_finish(x.store, NULL, &x.e), ERROR_STORAGE,
		     "'T.part' is gone");
	fixture_release(&x);
}

static void
a_target_folder_that_was_moved_is_noticed_by_sync(void **unused)
{
	struct fixture x;
	char moved[80];

	(void)unused;
	start(&x);
	fixture_write_all(&x);
	snprintf(moved, sizeof(moved), "%s.moved", x.dir);
	assert_int_equal(rename(x.dir, moved), 0);
	expect_error(&x, files_sync(x.store, &x.e), ERROR_STORAGE,
		     "is gone");
	assert_int_equal(rename(moved, x.dir), 0);
	fixture_release(&x);
}

/* --- many files, few descriptors --- */

static void
one_descriptor_does_for_many_files(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	assert_int_equal(fixture_open_as(&x, NULL, FILES_NONE, 1), 0);
	for (size_t i = 0; i < x.m.length; i += 500) {
		size_t left = (size_t)x.m.length - i;
		size_t n = left < 500 ? left : 500;

		assert_int_equal(files_write(x.store, i, x.bytes + i, n,
					     &x.e), 0);
	}
	expect_all(&x);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	fixture_release(&x);
}

static void
more_dirty_files_than_are_synced_one_by_one(void **unused)
{
	struct metainfo_file many[100];
	char names[100][8], bytes[100];
	struct fixture x;
	struct files_options o = { .allocation = FILES_NONE, .max_open = 4,
				   .id = FIXTURE_ID };

	(void)unused;
	start(&x);
	fixture_close(&x);
	memset(many, 0, sizeof(many));
	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; i < COUNT(many); i++) {
		memcpy(names[i], "d0\0000", 5);
		names[i][1] = (char)('0' + i % 10);
		names[i][3] = (char)('0' + i / 10);
		many[i].path = names[i];
		many[i].path_size = 5;
		many[i].components = 2;
		many[i].offset = i;
		many[i].length = 1;
	}
	x.m.files = many;
	x.m.file_count = COUNT(many);
	x.m.length = COUNT(many);
	x.m.piece_count = 1;
	x.layout = layout_new(&x.m, NULL, &x.e);
	x.store = files_open(x.layout, &x.folder, &o, &x.e);
	assert_int_equal(files_write(x.store, 0, bytes, 100, &x.e), 0);
	assert_int_equal(files_sync(x.store, &x.e), 0);
	assert_int_equal(files_write(x.store, 0, bytes, 100, &x.e), 0);
	unlink(fixture_at(&x, "T.part/d5/5"));
	expect_error(&x, files_sync(x.store, &x.e), ERROR_STORAGE,
		     "'T.part/d5/5' is gone");
	fixture_release(&x);
}

/* --- selection --- */

static const struct fixture_file three[] = {
	{ "a", 1500, 0 }, { "b", 1000, 0 }, { "c", 3000, 0 },
};

static int
prepare(struct fixture *x, const _Atomic bool *stop)
{
	struct files_room room = {.missing = x->m.length};

	return files_prepare(x->store, &room, stop, &x->e);
}

static void
unselected_files_are_never_created(void **unused)
{
	struct bitfield selected;
	struct fixture x;
	uint8_t is[2048];

	(void)unused;
	fixture_torrent(&x, "T", 1024, three, COUNT(three));
	fixture_dir(&x);
	bitfield_init(&selected, 3);
	bitfield_set(&selected, 1);
	assert_int_equal(fixture_open_as(&x, &selected, FILES_FULL, 4), 0);
	assert_int_equal(prepare(&x, NULL), 0);
	/* Pieces 1 and 2 hold b, and parts of a and c. */
	assert_int_equal(files_write(x.store, 1024, x.bytes + 1024, 2048,
				     &x.e), 0);
	assert_int_equal(files_read(x.store, 1024, is, 2048, &x.e), 0);
	assert_memory_equal(is, x.bytes + 1024, 2048);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_true(fixture_holds(&x, "T/b", x.bytes + 1500, 1000));
	assert_false(fixture_exists(&x, "T/a"));
	assert_false(fixture_exists(&x, "T/c"));
	assert_true(fixture_exists(&x, ".btget/" FIXTURE_ID ".side"));
	/* All of it later on: the side file has done its duty. */
	assert_int_equal(fixture_open_as(&x, NULL, FILES_NONE, 4), 0);
	fixture_write_all(&x);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_false(fixture_exists(&x, ".btget/" FIXTURE_ID ".side"));
	bitfield_release(&selected);
	fixture_release(&x);
}

/* --- space --- */

static void
sparse_files_have_their_size_at_once(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 100000);
	assert_int_equal(prepare(&x, NULL), 0);
	assert_int_equal(files_write(x.store, 5, x.bytes, 1, &x.e), 0);
	assert_int_equal(fixture_size(&x, "x.iso.part"), 100000);
	fixture_release(&x);
}

static void
without_allocation_files_grow(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 100000);
	assert_int_equal(fixture_open_as(&x, NULL, FILES_NONE, 4), 0);
	assert_int_equal(files_write(x.store, 5, x.bytes, 1, &x.e), 0);
	assert_int_equal(fixture_size(&x, "x.iso.part"), 6);
	fixture_release(&x);
}

static void
full_allocation_takes_the_space_and_keeps_the_data(void **unused)
{
	uint8_t is[5000];
	struct fixture x;
	struct stat st;

	(void)unused;
	start_single(&x, 3 << 20);
	fixture_put(&x, "x.iso.part", x.bytes, 5000);
	assert_int_equal(fixture_open_as(&x, NULL, FILES_FULL, 4), 0);
	assert_int_equal(prepare(&x, NULL), 0);
	assert_int_equal(stat(fixture_at(&x, "x.iso.part"), &st), 0);
	assert_int_equal(st.st_size, 3 << 20);
	assert_true(st.st_blocks * 512 >= 3 << 20);
	assert_int_equal(files_read(x.store, 0, is, 5000, &x.e), 0);
	assert_memory_equal(is, x.bytes, 5000);
	fixture_release(&x);
}

static void
what_cannot_fit_is_told_before_the_first_byte(void **unused)
{
	struct fixture x;

	(void)unused;
	start_single(&x, 1ULL << 59);
	expect_error(&x, prepare(&x, NULL), ERROR_STORAGE,
		     "cannot create 'x.iso.part': No space left on device "
		     "(needs ");
	assert_int_equal(x.e.sys, ENOSPC);
	assert_false(fixture_exists(&x, "x.iso.part"));
	/* Unless told not to look. */
	assert_int_equal(fixture_open_as(&x, NULL, FILES_NONE, 4), 0);
	assert_int_equal(prepare(&x, NULL), 0);
	fixture_release(&x);
}

static void
reserving_can_be_stopped(void **unused)
{
	const _Atomic bool stop = true;
	struct fixture x;

	(void)unused;
	start_single(&x, 3 << 20);
	assert_int_equal(fixture_open_as(&x, NULL, FILES_FULL, 4), 0);
	expect_error(&x, prepare(&x, &stop), ERROR_STOPPED,
		     "stopped");
	fixture_release(&x);
}

static void
a_failing_write_names_the_file(void **unused)
{
	struct rlimit old, low;
	struct fixture x;

	(void)unused;
	start_single(&x, 5000);
	assert_int_equal(fixture_open_as(&x, NULL, FILES_NONE, 4), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	low = old;
	low.rlim_cur = 4096;
	setrlimit(RLIMIT_FSIZE, &low);
	expect_error(&x, files_write(x.store, 0, x.bytes, 5000, &x.e),
		     ERROR_STORAGE,
		     "cannot write 'x.iso.part': File too large");
	setrlimit(RLIMIT_FSIZE, &old);
	/* The cause is mended: it goes on. */
	fixture_write_all(&x);
	assert_int_equal(files_sync(x.store, &x.e), 0);
	fixture_release(&x);
}

/* --- sending --- */

static void
sent_bytes_come_from_files_and_padding(void **unused)
{
	struct fixture x;
	uint8_t *is;
	size_t at = 0, got = 0, size;
	int pair[2];

	(void)unused;
	start(&x);
	fixture_write_all(&x);
	size = (size_t)x.m.length;
	is = malloc(size);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				    pair), 0);
	while (got < size) {
		ssize_t n = 0;

		if (at < size)
			n = files_send(x.store, pair[0], at, size - at, &x.e);
		assert_true(n >= 0);
		at += (size_t)n;
		n = read(pair[1], is + got, size - got);
		if (n > 0)
			got += (size_t)n;
	}
	assert_memory_equal(is, x.bytes, size);
	close(pair[0]);
	close(pair[1]);
	free(is);
	fixture_release(&x);
}

static void
a_full_socket_takes_nothing_and_a_closed_one_fails(void **unused)
{
	struct fixture x;
	ssize_t n;
	int pair[2];

	(void)unused;
	signal(SIGPIPE, SIG_IGN);
	start_single(&x, 1 << 20);
	fixture_write_all(&x);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				    pair), 0);
	do
		n = files_send(x.store, pair[0], 0, 1 << 20, &x.e);
	while (n > 0);
	assert_int_equal(n, 0);
	close(pair[1]);
	expect_error(&x, (int)files_send(x.store, pair[0], 0, 1, &x.e),
		     ERROR_NETWORK, "cannot send: Broken pipe");
	close(pair[0]);
	fixture_release(&x);
}

static void
a_file_that_was_cut_cannot_be_sent(void **unused)
{
	struct fixture x;
	int pair[2];

	(void)unused;
	start_single(&x, 5000);
	fixture_write_all(&x);
	assert_int_equal(truncate(fixture_at(&x, "x.iso.part"), 100), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				    pair), 0);
	expect_error(&x, (int)files_send(x.store, pair[0], 100, 10, &x.e),
		     ERROR_DATA, "ends too early");
	close(pair[0]);
	close(pair[1]);
	fixture_release(&x);
}

/* --- threads --- */

#define THREADS 4

struct crowd {
	struct fixture x;
	_Atomic size_t next;
	_Atomic int bad;
	_Atomic int busy;
};

/* Writes pieces that nobody else has, and reads each again. */
static void
write_and_read(void *arg)
{
	struct crowd *c = arg;
	struct metainfo *m = &c->x.m;
	uint8_t is[1024];
	size_t i;

	while ((i = atomic_fetch_add(&c->next, 1)) < m->piece_count) {
		uint64_t at = i * 1024;
		uint32_t n = metainfo_piece_size(m, (uint32_t)i);

		if (files_write(c->x.store, at, c->x.bytes + at, n, NULL) < 0 ||
		    files_read(c->x.store, at, is, n, NULL) < 0 ||
		    memcmp(is, c->x.bytes + at, n) != 0)
			atomic_fetch_add(&c->bad, 1);
	}
	atomic_fetch_sub(&c->busy, 1);
}

static void
read_all_along(void *arg)
{
	struct crowd *c = arg;
	uint8_t is[10];

	do {
		if (files_read(c->x.store, 0, is, 10, NULL) < 0 ||
		    memcmp(is, c->x.bytes, 10) != 0)
			atomic_fetch_add(&c->bad, 1);
	} while (atomic_load(&c->busy) > 0);
}

static void
threads_write_read_and_sync_at_once(void **unused)
{
	struct thread threads[THREADS];
	struct crowd c = { .busy = THREADS };

	(void)unused;
	start(&c.x);
	assert_int_equal(fixture_open_as(&c.x, NULL, FILES_SPARSE, 2), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(thread_start(&threads[i], "crowd",
					      THREAD_STACK_SMALL,
					      write_and_read, &c, NULL), 0);
	while (atomic_load(&c.busy) > 0)
		assert_int_equal(files_sync(c.x.store, &c.x.e), 0);
	for (int i = 0; i < THREADS; i++)
		thread_join(&threads[i]);
	assert_int_equal(c.bad, 0);
	assert_int_equal(files_finish(c.x.store, NULL, &c.x.e), 0);
	expect_all(&c.x);
	fixture_release(&c.x);
}

static void
readers_do_not_notice_the_new_name(void **unused)
{
	const struct fixture_file file = { "x", 5000, 0 };
	struct thread threads[THREADS];
	struct crowd c = { .busy = 1 };

	(void)unused;
	for (int round = 0; round < 10; round++) {
		fixture_torrent(&c.x, "x", 1024, &file, 1);
		c.x.m.multi = false;
		fixture_dir(&c.x);
		fixture_open(&c.x);
		fixture_write_all(&c.x);
		/* Nothing is open: readers must find it by name. */
		fixture_open(&c.x);
		atomic_store(&c.busy, 1);
		for (int i = 0; i < THREADS; i++)
			thread_start(&threads[i], "crowd",
				     THREAD_STACK_SMALL, read_all_along, &c,
				     NULL);
		assert_int_equal(files_finish(c.x.store, NULL, &c.x.e), 0);
		atomic_store(&c.busy, 0);
		for (int i = 0; i < THREADS; i++)
			thread_join(&threads[i]);
		assert_int_equal(c.bad, 0);
		fixture_release(&c.x);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(a_file_of_more_than_4_gib_has_an_end),
		cmocka_unit_test(an_empty_file_or_folder_is_bare),
		cmocka_unit_test(
		    blocks_across_files_are_written_from_many_buffers),
		cmocka_unit_test(unfinished_data_is_under_part_only),
		cmocka_unit_test(
		    finish_gives_the_final_name_and_makes_empty_files),
		cmocka_unit_test(finishing_can_be_stopped_and_goes_on),
		cmocka_unit_test(a_single_file_is_finished_too),
		cmocka_unit_test(modes_follow_the_attribute),
		cmocka_unit_test(what_is_there_is_completed_in_place),
		cmocka_unit_test(the_final_name_wins_over_part),
		cmocka_unit_test(what_has_other_names_is_not_written_to),
		cmocka_unit_test(
		    what_appears_where_nothing_was_is_not_written_to),
		cmocka_unit_test(holes_and_twins_are_found),
		cmocka_unit_test(names_that_differ_in_case_may_be_twins),
		cmocka_unit_test(finish_renames_over_nothing),
		cmocka_unit_test(finish_renames_over_an_empty_folder),
		cmocka_unit_test(finish_cuts_what_is_too_long),
		cmocka_unit_test(finish_refuses_what_is_short_or_missing),
		cmocka_unit_test(missing_bytes_are_told_apart_from_failures),
		cmocka_unit_test(reading_creates_nothing),
		cmocka_unit_test(bytes_beyond_the_stream_are_refused),
		cmocka_unit_test(presence_tells_data_from_holes_from_nothing),
		cmocka_unit_test(planted_links_are_not_followed),
		cmocka_unit_test(a_link_for_the_whole_torrent_is_refused),
		cmocka_unit_test(fifos_and_folders_hold_nobody_up),
		cmocka_unit_test(a_file_in_place_of_the_folder_is_refused),
		cmocka_unit_test(a_file_that_was_removed_is_noticed_by_sync),
		cmocka_unit_test(a_file_that_was_replaced_is_noticed_by_sync),
		cmocka_unit_test(a_file_that_was_removed_is_never_made_anew),
		cmocka_unit_test(a_folder_that_was_removed_is_never_made_anew),
		cmocka_unit_test(a_moved_folder_is_noticed_by_finish),
		cmocka_unit_test(
		    a_target_folder_that_was_moved_is_noticed_by_sync),
		cmocka_unit_test(one_descriptor_does_for_many_files),
		cmocka_unit_test(more_dirty_files_than_are_synced_one_by_one),
		cmocka_unit_test(unselected_files_are_never_created),
		cmocka_unit_test(sparse_files_have_their_size_at_once),
		cmocka_unit_test(without_allocation_files_grow),
		cmocka_unit_test(
		    full_allocation_takes_the_space_and_keeps_the_data),
		cmocka_unit_test(
		    what_cannot_fit_is_told_before_the_first_byte),
		cmocka_unit_test(reserving_can_be_stopped),
		cmocka_unit_test(a_failing_write_names_the_file),
		cmocka_unit_test(sent_bytes_come_from_files_and_padding),
		cmocka_unit_test(
		    a_full_socket_takes_nothing_and_a_closed_one_fails),
		cmocka_unit_test(a_file_that_was_cut_cannot_be_sent),
		cmocka_unit_test(threads_write_read_and_sync_at_once),
		cmocka_unit_test(readers_do_not_notice_the_new_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
