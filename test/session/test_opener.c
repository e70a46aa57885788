#include "session/opener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/btget-opener-XXXXXX";
static char folder[64], file[80];

static int
make_folder(void **unused)
{
	(void)unused;
	snprintf(folder, sizeof(folder), "%s/logs", top);
	snprintf(file, sizeof(file), "%s/it.log", folder);
	return mkdir(folder, 0755);
}

static int
remove_folder(void **unused)
{
	(void)unused;
	unlink(file);
	return rmdir(folder);
}

static int
make_top(void **unused)
{
	(void)unused;
	return mkdtemp(top) ? 0 : -1;
}

static int
remove_top(void **unused)
{
	(void)unused;
	return rmdir(top);
}

static off_t
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? -1 : st.st_size;
}

static void
the_file_is_opened_for_appending_each_time(void **unused)
{
	struct opener *o = opener_new(file, NULL);

	(void)unused;
	assert_non_null(o);
	for (int i = 1; i <= 3; i++) {
		int fd = opener_open(o);

		assert_true(fd >= 0);
		assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		assert_int_equal(write(fd, "line\n", 5), 5);
		close(fd);
		assert_int_equal(size_of(file), 5 * i);
	}
	opener_free(o);
}

static void
what_cannot_be_opened_is_told_and_may_be_later(void **unused)
{
	struct opener *o = opener_new(file, NULL);
	int fd;

	(void)unused;
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(opener_open(o), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(mkdir(folder, 0755), 0);
	fd = opener_open(o);
	assert_true(fd >= 0);
	close(fd);
	opener_free(o);
}

/* Its number, by what it is called. */
static pid_t
find_helper(void)
{
	char path[64], pid[16] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
		 (int)getpid());
	f = fopen(path, "re");
	if (f && !fgets(pid, sizeof(pid), f))
		*pid = '\0';
	if (f)
		fclose(f);
	return (pid_t)strtol(pid, NULL, 10);
}

static void
without_the_helper_nothing_hangs(void **unused)
{
	struct opener *o = opener_new(file, NULL);
	pid_t helper = find_helper();

	(void)unused;
	if (helper == 0) {
		opener_free(o);
		skip();
	}
	kill(helper, SIGKILL);
	assert_int_equal(opener_open(o), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(opener_open(o), -1);
	opener_free(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    the_file_is_opened_for_appending_each_time, make_folder,
		    remove_folder),
		cmocka_unit_test_setup_teardown(
		    what_cannot_be_opened_is_told_and_may_be_later,
		    make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
		    without_the_helper_nothing_hangs, make_folder,
		    remove_folder),
	};

	return cmocka_run_group_tests(tests, make_top, remove_top);
}
