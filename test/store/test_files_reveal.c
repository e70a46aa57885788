/* The step to the final name: what stands there already, and a disk that
 * renames nothing in which a file is open, as some do over a network. */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <sys/syscall.h>

static const char *below;	/* the folder, while the disk is so */
static int refusals;		/* how often it is busy besides; -1: always */
static unsigned tries;
static bool apart;		/* nothing goes from folder to folder */

static bool
is_open_below(const char *folder)
{
	DIR *list = opendir("/proc/self/fd");
	const struct dirent *entry;
	bool found = false;
	char path[512];

	assert_non_null(list);
	while ((entry = readdir(list))) {
		ssize_t n = readlinkat(dirfd(list), entry->d_name, path,
				       sizeof(path) - 1);
		struct stat st;

		path[n > 0 ? n : 0] = '\0';
		found |= strncmp(path, folder, strlen(folder)) == 0 &&
			 stat(path, &st) == 0 && S_ISREG(st.st_mode);
	}
	closedir(list);
	return found;
}

/* In the place of libc's. */
int
renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	tries++;
	if (apart && from != to) {
		errno = EXDEV;
		return -1;
	}
	if (below && (refusals != 0 || is_open_below(below))) {
		refusals -= refusals > 0;
		errno = tries % 2 ? EACCES : EBUSY;
		return -1;
	}
	return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

static const struct fixture_file two[] = {{"a", 1024, 0}, {"d/b", 1024, 0}};

static int
finish(struct fixture *x, int busy)
{
	fixture_torrent(x, "T", 1024, two, 2);
	fixture_dir(x);
	fixture_open(x);
	fixture_write_all(x);
	assert_true(is_open_below(x->dir));
	below = x->dir;
	refusals = busy;
	tries = 0;
	return files_finish(x->store, NULL, &x->e);
}

static void
nothing_is_open_as_the_final_name_is_given(void **unused)
{
	static struct fixture x;
	uint8_t is[2048];

	(void)unused;
	assert_int_equal(finish(&x, 0), 0);
	assert_int_equal(tries, 1);
	assert_int_equal(files_read(x.store, 0, is, sizeof(is), &x.e), 0);
	assert_memory_equal(is, x.bytes, sizeof(is));
	fixture_release(&x);
}

static void
what_others_have_open_is_waited_for(void **unused)
{
	static struct fixture x;

	(void)unused;
	assert_int_equal(finish(&x, 2), 0);
	assert_int_equal(tries, 3);
	assert_true(fixture_exists(&x, "T/d/b"));
	fixture_release(&x);
}

static void
but_not_for_long(void **unused)
{
	static struct fixture x;

	(void)unused;
	assert_int_equal(finish(&x, -1), -1);
	assert_int_equal(x.e.kind, ERROR_STORAGE);
	assert_true(tries <= 10);
	assert_true(fixture_exists(&x, "T.part/d/b"));
	fixture_release(&x);
}

/* ---- what stands there ---- */

static void
prepare(struct fixture *x, bool multi)
{
	static const struct fixture_file one[] = {{"x", 3000, 0}};

	fixture_torrent(x, multi ? "T" : "x", 1024, multi ? two : one,
			multi ? 2 : 1);
	x->m.multi = multi;
	fixture_dir(x);
	fixture_open(x);
	below = NULL;
	fixture_write_all(x);
	assert_int_equal(files_sync(x->store, &x->e), 0);
}

static void
an_empty_folder_there_counts_for_nothing(void **unused)
{
	static struct fixture x;

	(void)unused;
	prepare(&x, true);
	assert_int_equal(mkdir(fixture_at(&x, "T"), 0777), 0);
	fixture_open(&x);
	assert_false(files_in_place(x.store));
	assert_false(files_fresh(x.store));
	assert_false(files_leftover(x.store));
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_true(fixture_exists(&x, "T/d/b"));
	assert_false(fixture_exists(&x, "T.part"));
	fixture_release(&x);
}

static void
nor_does_an_empty_file(void **unused)
{
	static struct fixture x;

	(void)unused;
	prepare(&x, false);
	fixture_put(&x, "x", "", 0);
	fixture_open(&x);
	assert_false(files_in_place(x.store));
	assert_false(files_leftover(x.store));
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_true(fixture_holds(&x, "x", x.bytes, 3000));
	assert_false(fixture_exists(&x, "x.part"));
	assert_false(fixture_exists(&x, ".btget/" FIXTURE_ID ".empty"));
	assert_false(fixture_exists(&x, FIXTURE_ID ".empty"));
	fixture_release(&x);
}

static void
nor_where_nothing_goes_to_another_folder(void **unused)
{
	apart = true;
	nor_does_an_empty_file(unused);
	apart = false;
}

static void
unless_the_part_is_empty_as_well(void **unused)
{
	static struct fixture x;

	(void)unused;
	prepare(&x, false);
	fixture_put(&x, "x", "", 0);
	fixture_put(&x, "x.part", "", 0);
	fixture_open(&x);
	assert_true(files_in_place(x.store));
	fixture_release(&x);
	prepare(&x, true);
	mkdir(fixture_at(&x, "T"), 0777);
	unlink(fixture_at(&x, "T.part/a"));
	unlink(fixture_at(&x, "T.part/d/b"));
	rmdir(fixture_at(&x, "T.part/d"));
	fixture_open(&x);
	assert_true(files_in_place(x.store));
	fixture_release(&x);
}

static void
what_has_got_data_meanwhile_stays(void **unused)
{
	static struct fixture x;

	(void)unused;
	prepare(&x, false);
	fixture_put(&x, "x", "", 0);
	fixture_open(&x);
	fixture_put(&x, "x", "precious", 8);
	assert_int_equal(files_finish(x.store, NULL, &x.e), -1);
	assert_int_equal(x.e.kind, ERROR_STORAGE);
	assert_true(fixture_holds(&x, "x", "precious", 8));
	assert_true(fixture_holds(&x, "x.part", x.bytes, 3000));
	fixture_release(&x);
}

static void
and_what_was_not_there_before(void **unused)
{
	static struct fixture x;

	(void)unused;
	prepare(&x, false);
	fixture_open(&x);
	fixture_put(&x, "x", "", 0);
	assert_int_equal(files_finish(x.store, NULL, &x.e), -1);
	assert_true(fixture_exists(&x, "x"));
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_open_as_the_final_name_is_given),
		cmocka_unit_test(what_others_have_open_is_waited_for),
		cmocka_unit_test(but_not_for_long),
		cmocka_unit_test(an_empty_folder_there_counts_for_nothing),
		cmocka_unit_test(nor_does_an_empty_file),
		cmocka_unit_test(nor_where_nothing_goes_to_another_folder),
		cmocka_unit_test(unless_the_part_is_empty_as_well),
		cmocka_unit_test(what_has_got_data_meanwhile_stays),
		cmocka_unit_test(and_what_was_not_there_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
