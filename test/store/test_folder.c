#include "fixture.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/clock.h"

static int refusal;

/* In the place of libc's. */
int
renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	if (refusal) {
		errno = refusal;
		return -1;
	}
	return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

static int leased = -1;		/* a file, until it was tried so often: */
static int tries_left;

/* In the place of libc's. */
int
openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list list;

	if (flags & O_CREAT) {
		va_start(list, flags);
		mode = va_arg(list, mode_t);
		va_end(list);
	}
	if (leased >= 0 && tries_left-- == 0)
		fcntl(leased, F_SETLEASE, F_UNLCK);
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static int64_t waited_ns;	/* or would have, were there a clock */

/* In the place of libc's. */
int
nanosleep(const struct timespec *pause, struct timespec *rest)
{
	(void)rest;
	waited_ns += pause->tv_sec * CLOCK_S + pause->tv_nsec;
	return 0;
}

static void
it_is_made_with_all_that_leads_to_it(void **unused)
{
	struct folder f;
	struct fixture x;

	(void)unused;
	memset(&x, 0, sizeof(x));
	fixture_dir(&x);
	assert_int_equal(folder_open(&f, fixture_at(&x, "a/b/c/"), true,
				     &x.e), 0);
	assert_true(f.dir >= 0 && f.state >= 0);
	assert_true(fixture_exists(&x, "a/b/c/.btget"));
	assert_int_equal(folder_check(&f, &x.e), 0);
	folder_release(&f);
	fixture_release(&x);
}

static void
nothing_is_made_when_only_looking(void **unused)
{
	struct folder f;
	struct fixture x;

	(void)unused;
	memset(&x, 0, sizeof(x));
	fixture_dir(&x);
	mkdir(fixture_at(&x, "there"), 0777);
	assert_int_equal(folder_open(&f, fixture_at(&x, "gone"), false,
				     &x.e), -1);
	assert_int_equal(x.e.kind, ERROR_STORAGE);
	assert_int_equal(x.e.sys, ENOENT);
	assert_false(fixture_exists(&x, "gone"));
	assert_int_equal(folder_open(&f, fixture_at(&x, "there"), false,
				     &x.e), 0);
	assert_int_equal(f.state, -1);
	assert_false(fixture_exists(&x, "there/.btget"));
	folder_release(&f);
	fixture_release(&x);
}

static void
a_file_in_its_way_is_told(void **unused)
{
	struct folder f;
	struct fixture x;

	(void)unused;
	memset(&x, 0, sizeof(x));
	fixture_dir(&x);
	fixture_put(&x, "file", "x", 1);
	assert_int_equal(folder_open(&f, fixture_at(&x, "file/below"), true,
				     &x.e), -1);
	assert_int_equal(x.e.kind, ERROR_STORAGE);
	assert_non_null(strstr(x.e.text, "file/below': Not a directory"));
	fixture_release(&x);
}

static void
a_link_in_place_of_btget_is_refused(void **unused)
{
	struct folder f;
	struct fixture x;

	(void)unused;
	memset(&x, 0, sizeof(x));
	fixture_dir(&x);
	mkdir(fixture_at(&x, "t"), 0777);
	fixture_link(&x, "..", "t/.btget");
	assert_int_equal(folder_open(&f, fixture_at(&x, "t"), true, &x.e),
			 -1);
	assert_int_equal(x.e.kind, ERROR_STORAGE);
	fixture_release(&x);
}

static void
a_folder_that_was_removed_or_replaced_is_noticed(void **unused)
{
	struct folder f;
	struct fixture x;

	(void)unused;
	memset(&x, 0, sizeof(x));
	fixture_dir(&x);
	assert_int_equal(folder_open(&f, fixture_at(&x, "t"), true, &x.e), 0);
	fixture_rename(&x, "t", "moved");
	assert_int_equal(folder_check(&f, &x.e), -1);
	assert_non_null(strstr(x.e.text, "is gone"));
	mkdir(fixture_at(&x, "t"), 0777);
	assert_int_equal(folder_check(&f, &x.e), -1);
	assert_non_null(strstr(x.e.text, "replaced"));
	folder_release(&f);
	fixture_release(&x);
}

static int
refused(struct fixture *x, const char *path)
{
	int fd = folder_openat(x->folder.dir, path, O_RDWR, 0);

	assert_int_equal(fd, -1);
	return errno;
}

static void
links_fifos_and_folders_are_not_opened(void **unused)
{
	struct fixture x;

	(void)unused;
	memset(&x, 0, sizeof(x));
	fixture_dir(&x);
	fixture_put(&x, "d/file", "x", 1);
	fixture_link(&x, "file", "d/link");
	fixture_link(&x, "d", "dlink");
	mkfifo(fixture_at(&x, "fifo"), 0666);
	assert_int_equal(refused(&x, "d/link"), ELOOP);
	assert_true(refused(&x, "dlink/file") != 0);
	assert_int_equal(refused(&x, "fifo"), ENOTSUP);
	assert_int_equal(refused(&x, "d"), EISDIR);
	assert_int_equal(refused(&x, "d/none"), ENOENT);
	assert_int_equal(folder_openat(x.folder.dir, "fifo", O_WRONLY, 0),
			 -1);
	assert_int_equal(errno, ENOTSUP);
	assert_int_equal(folder_subdir(x.folder.dir, "dlink"), -1);
	fixture_release(&x);
}

static void
parents_are_made_but_not_through_links(void **unused)
{
	struct fixture x;

	(void)unused;
	memset(&x, 0, sizeof(x));
	fixture_dir(&x);
	mkdir(fixture_at(&x, "outside"), 0777);
	mkdir(fixture_at(&x, "t"), 0777);
	fixture_link(&x, "../outside", "t/link");
	assert_int_equal(folder_parents(x.folder.dir, "t/a/b/file"), 0);
	assert_true(fixture_exists(&x, "t/a/b"));
	assert_false(fixture_exists(&x, "t/a/b/file"));
	assert_int_equal(folder_parents(x.folder.dir, "t/link/b/file"), -1);
	assert_false(fixture_exists(&x, "outside/b"));
	fixture_release(&x);
}

static void
a_name_is_given_where_the_system_knows_no_better_way(void **unused)
{
	/* Of a file system, of Linux before 3.15, of a sandbox. */
	static const int refusals[] = { EINVAL, ENOSYS, EPERM };
	struct fixture x;

	(void)unused;
	memset(&x, 0, sizeof(x));
	fixture_dir(&x);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		fixture_put(&x, "old", "x", 1);
		refusal = refusals[i];
		assert_int_equal(folder_rename(x.folder.dir, "old",
					       x.folder.dir, "new"), 0);
		fixture_put(&x, "old", "x", 1);
		assert_int_equal(folder_rename(x.folder.dir, "new",
					       x.folder.dir, "old"), -1);
		assert_int_equal(errno, EEXIST);
		refusal = 0;
		assert_int_equal(unlinkat(x.folder.dir, "new", 0), 0);
	}
	fixture_release(&x);
}

/* Somebody has a lease on "file", and gives it back after so many tries;
 * false: there are none here. */
static bool
lease(struct fixture *x, int tries)
{
	memset(x, 0, sizeof(*x));
	fixture_dir(x);
	fixture_put(x, "file", "data", 4);
	leased = open(fixture_at(x, "file"), O_RDWR | O_CLOEXEC);
	assert_true(leased >= 0);
	signal(SIGIO, SIG_IGN);
	tries_left = tries;
	waited_ns = 0;
	if (fcntl(leased, F_SETLEASE, F_WRLCK) == 0)
		return true;
	print_message("no leases here\n");
	return false;
}

static void
lease_release(struct fixture *x)
{
	signal(SIGIO, SIG_DFL);
	close(leased);
	leased = -1;
	fixture_release(x);
}

static void
a_lease_is_waited_for(void **unused)
{
	struct fixture x;
	int fd;

	(void)unused;
	if (lease(&x, 3)) {
		fd = folder_openat(x.folder.dir, "file", O_RDONLY, 0);
		assert_true(fd >= 0);
		assert_true(tries_left < 0);
		close(fd);
	}
	lease_release(&x);
}

static void
a_lease_that_is_kept_is_waited_for_a_minute(void **unused)
{
	struct fixture x;

	(void)unused;
	if (lease(&x, INT_MAX)) {
		assert_int_equal(folder_openat(x.folder.dir, "file", O_RDONLY,
					       0), -1);
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(waited_ns, 60 * CLOCK_S);
	}
	lease_release(&x);
}

static unsigned
mode_of(struct fixture *x, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(x->folder.state, name, &st, 0), 0);
	return st.st_mode & 0777;
}

/* Also where there was one that others could read. */
static void
secrets_are_saved_for_the_user_alone(void **unused)
{
	mode_t old = umask(022);
	struct fixture x;
	struct buffer b;

	(void)unused;
	memset(&x, 0, sizeof(x));
	fixture_dir(&x);
	assert_int_equal(folder_save(x.folder.state, "a", "1", 1, &x.e), 0);
	assert_int_equal(mode_of(&x, "a"), 0644);
	assert_int_equal(folder_save_secret(x.folder.state, "a", "22", 2,
					    &x.e), 0);
	assert_int_equal(mode_of(&x, "a"), 0600);
	assert_false(folder_has(x.folder.state, "a.new"));
	buffer_init(&b, 10);
	assert_int_equal(folder_load(x.folder.state, "a", &b, &x.e), 0);
	assert_int_equal(b.used, 2);
	buffer_release(&b);
	umask(old);
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_name_is_given_where_the_system_knows_no_better_way),
		cmocka_unit_test(it_is_made_with_all_that_leads_to_it),
		cmocka_unit_test(nothing_is_made_when_only_looking),
		cmocka_unit_test(a_file_in_its_way_is_told),
		cmocka_unit_test(a_link_in_place_of_btget_is_refused),
		cmocka_unit_test(
		    a_folder_that_was_removed_or_replaced_is_noticed),
		cmocka_unit_test(links_fifos_and_folders_are_not_opened),
		cmocka_unit_test(parents_are_made_but_not_through_links),
		cmocka_unit_test(a_lease_is_waited_for),
		cmocka_unit_test(a_lease_that_is_kept_is_waited_for_a_minute),
		cmocka_unit_test(secrets_are_saved_for_the_user_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
