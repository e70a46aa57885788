#include "session/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[] = "/tmp/btget-sandbox-XXXXXX";

/* top/in is allowed, top/out is not; both hold a file. */
static int
make_folders(void **unused)
{
	static const char *const names[] = { "in", "out" };
	char path[256];

	(void)unused;
	if (!mkdtemp(top))
		return -1;
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", top, names[i]);
		if (mkdir(path, 0755) < 0)
			return -1;
		snprintf(path, sizeof(path), "%s/%s/file", top, names[i]);
		close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	}
	return 0;
}

static int
remove_folders(void **unused)
{
	char command[256];

	(void)unused;
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	return system(command);	/* NOLINT(cert-env33-c) */
}

/* Everything below runs in a child that is in the sandbox: 0 or errno. */

static int
try_open(const char *path, int flags)
{
	int fd = openat(AT_FDCWD, path, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int
write_inside(void)
{
	return try_open("in/new", O_CREAT | O_WRONLY);
}

static int
truncate_inside(void)
{
	return try_open("in/file", O_WRONLY | O_TRUNC);
}

static int
rename_inside(void)
{
	return rename("in/file", "in/other") < 0 ? errno : 0;
}

static int
make_folder_inside(void)
{
	return mkdir("in/folder", 0755) < 0 ? errno : 0;
}

static int
remove_inside(void)
{
	return unlink("in/file") < 0 ? errno : 0;
}

static int
make_outside(void)
{
	return try_open("out/new", O_CREAT | O_WRONLY);
}

static int
write_outside(void)
{
	return try_open("out/file", O_WRONLY);
}

static int
remove_outside(void)
{
	return unlink("out/file") < 0 ? errno : 0;
}

/* The first version of Landlock knew no moves between folders. */
static int
rename_outside(void)
{
	int status = rename("in/file", "out/other") < 0 ? errno : 0;

	return status == EXDEV ? EACCES : status;
}

static int
link_inside(void)
{
	return symlink("/etc", "in/link") < 0 ? errno : 0;
}

static int
read_outside(void)
{
	return try_open("out/file", O_RDONLY);
}

static int
run_a_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return errno;
}

static int
gain_privileges(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? EPERM : 0;
}

static void *
write_in_thread(void *status)
{
	*(int *)status = make_outside();
	return NULL;
}

static int
write_outside_in_a_thread(void)
{
	pthread_t id;
	int status = 0;

	if (pthread_create(&id, NULL, write_in_thread, &status) != 0)
		return 0;
	pthread_join(id, NULL);
	return status;
}

#define NO_LANDLOCK 200

static int
in_child(int (*what)(void), const char *log)
{
	struct sandbox s;
	char path[256];
	int status;
	pid_t pid;

	assert_int_equal(chdir(top), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		return WEXITSTATUS(status);
	}
	sandbox_init(&s);
	snprintf(path, sizeof(path), "%s/%s", top, log ? log : "in");
	if ((log ? sandbox_allow_file(&s, path)
		 : sandbox_allow(&s, path, 0755)) < 0)
		_exit(201);
	if (!sandbox_enter(&s) && what != gain_privileges)
		_exit(NO_LANDLOCK);
	_exit(what());
}

static void
expect(int (*what)(void), int want)
{
	int got = in_child(what, NULL);

	if (got == NO_LANDLOCK)
		skip();
	assert_int_equal(got, want);
}

/* ---- */

static void
what_is_below_the_folder_can_be_written(void **unused)
{
	(void)unused;
	expect(write_inside, 0);
	expect(truncate_inside, 0);
	expect(make_folder_inside, 0);
	expect(rename_inside, 0);
	assert_int_equal(rename("in/other", "in/file"), 0);
	expect(remove_inside, 0);
	assert_int_equal(try_open("in/file", O_CREAT | O_WRONLY), 0);
}

static void
what_is_elsewhere_cannot_be_changed(void **unused)
{
	(void)unused;
	expect(make_outside, EACCES);
	expect(write_outside, EACCES);
	expect(remove_outside, EACCES);
	expect(rename_outside, EACCES);
}

static void
threads_that_come_later_are_in_it_too(void **unused)
{
	(void)unused;
	expect(write_outside_in_a_thread, EACCES);
}

static void
what_is_elsewhere_can_be_read(void **unused)
{
	(void)unused;
	expect(read_outside, 0);
}

static void
no_links_are_made_even_inside(void **unused)
{
	(void)unused;
	expect(link_inside, EACCES);
}

static void
no_program_can_be_run(void **unused)
{
	(void)unused;
	expect(run_a_program, EACCES);
}

static void
privileges_are_not_gained_with_or_without_landlock(void **unused)
{
	(void)unused;
	assert_int_equal(in_child(gain_privileges, NULL), EPERM);
}

static void
a_log_can_be_made_again_and_nothing_removed(void **unused)
{
	int got = in_child(write_inside, "in/log");

	(void)unused;
	if (got == NO_LANDLOCK)
		skip();
	assert_int_equal(got, 0);
	assert_int_equal(in_child(remove_inside, "in/log"), EACCES);
	assert_int_equal(in_child(make_outside, "in/log"), EACCES);
}

static void
so_can_one_that_a_link_leads_to(void **unused)
{
	char path[256];
	int got;

	(void)unused;
	snprintf(path, sizeof(path), "%s/in/linked", top);
	assert_int_equal(symlink("../out/file", path), 0);
	got = in_child(make_outside, "in/linked");
	if (got == NO_LANDLOCK)
		skip();
	assert_int_equal(got, 0);
	assert_int_equal(in_child(write_inside, "in/linked"), 0);
	assert_int_equal(in_child(remove_outside, "in/linked"), EACCES);
}

static void
a_folder_is_made_and_one_that_cannot_be_is_told(void **unused)
{
	struct sandbox s;
	struct stat st;
	char path[256];

	(void)unused;
	sandbox_init(&s);
	if (s.rules < 0)
		skip();
	snprintf(path, sizeof(path), "%s/deep/down", top);
	assert_int_equal(sandbox_allow(&s, path, 0700), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	snprintf(path, sizeof(path), "%s/in/file/below", top);
	assert_int_equal(sandbox_allow(&s, path, 0700), -1);
	assert_int_equal(errno, ENOTDIR);
	sandbox_release(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_below_the_folder_can_be_written),
		cmocka_unit_test(what_is_elsewhere_cannot_be_changed),
		cmocka_unit_test(threads_that_come_later_are_in_it_too),
		cmocka_unit_test(what_is_elsewhere_can_be_read),
		cmocka_unit_test(no_links_are_made_even_inside),
		cmocka_unit_test(no_program_can_be_run),
		cmocka_unit_test(
		    privileges_are_not_gained_with_or_without_landlock),
		cmocka_unit_test(a_log_can_be_made_again_and_nothing_removed),
		cmocka_unit_test(so_can_one_that_a_link_leads_to),
		cmocka_unit_test(
		    a_folder_is_made_and_one_that_cannot_be_is_told),
	};

	return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
