#include "session/lock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sync.h"

#define NAME "0123.lock"

static char path[] = "/tmp/btget-lock-XXXXXX";
static int dir;

static int
make_dir(void **unused)
{
	(void)unused;
	if (!mkdtemp(path))
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0;
}

static int
remove_dir(void **unused)
{
	(void)unused;
	close(dir);
	return rmdir(path);
}

static void
two_of_one_process_cannot_both_have_it(void **unused)
{
	struct lock a, b;
	struct error e;

	(void)unused;
	assert_int_equal(lock_take(&a, dir, NAME, &e), 0);
	assert_int_equal(lock_take(&b, dir, NAME, &e), -1);
	assert_int_equal(e.kind, ERROR_LOCKED);
	lock_release(&b);
	assert_int_equal(lock_take(&b, dir, NAME, &e), -1);
	lock_release(&a);
	assert_int_equal(lock_take(&b, dir, NAME, &e), 0);
	lock_release(&b);
}

static void
locks_of_other_names_are_free(void **unused)
{
	struct lock a, b;

	(void)unused;
	assert_int_equal(lock_take(&a, dir, NAME, NULL), 0);
	assert_int_equal(lock_take(&b, dir, "other.lock", NULL), 0);
	lock_release(&a);
	lock_release(&b);
}

static void
the_file_goes_with_the_lock(void **unused)
{
	struct lock a;

	(void)unused;
	assert_int_equal(lock_take(&a, dir, NAME, NULL), 0);
	assert_int_equal(faccessat(dir, NAME, F_OK, 0), 0);
	lock_release(&a);
	assert_int_equal(faccessat(dir, NAME, F_OK, 0), -1);
	lock_release(&a);
}

static void
shared_it_becomes_the_last_ones_own(void **unused)
{
	struct lock a, b, c;
	struct error e;

	(void)unused;
	assert_int_equal(lock_share(&a, dir, NAME, &e), 0);
	assert_int_equal(lock_share(&b, dir, NAME, &e), 0);
	assert_int_equal(lock_take(&c, dir, NAME, &e), -1);
	assert_int_equal(lock_own(&a, &e), -1);
	assert_int_equal(e.kind, ERROR_LOCKED);
	assert_int_equal(lock_own(&b, &e), 0);
	assert_int_equal(lock_share(&a, dir, NAME, &e), -1);
	lock_ease(&b);
	assert_int_equal(lock_share(&a, dir, NAME, &e), 0);
	lock_release(&b);
	assert_int_equal(faccessat(dir, NAME, F_OK, 0), 0);
	assert_int_equal(lock_take(&c, dir, NAME, &e), -1);
	lock_release(&a);
	assert_int_equal(faccessat(dir, NAME, F_OK, 0), -1);
}

static void
a_killed_process_leaves_no_lock(void **unused)
{
	struct lock a;
	int status;
	pid_t child = fork();

	(void)unused;
	if (child == 0)
		_exit(lock_take(&a, dir, NAME, NULL) == 0 ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(faccessat(dir, NAME, F_OK, 0), 0);
	assert_int_equal(lock_take(&a, dir, NAME, NULL), 0);
	lock_release(&a);
}

static void
links_and_fifos_are_refused(void **unused)
{
	struct lock a;
	struct error e;

	(void)unused;
	assert_int_equal(symlinkat("victim", dir, NAME), 0);
	assert_int_equal(lock_take(&a, dir, NAME, &e), -1);
	assert_int_equal(e.kind, ERROR_STORAGE);
	assert_int_equal(faccessat(dir, "victim", F_OK, 0), -1);
	unlinkat(dir, NAME, 0);
	assert_int_equal(mkfifoat(dir, NAME, 0666), 0);
	assert_int_equal(lock_take(&a, dir, NAME, &e), -1);
	assert_int_equal(e.kind, ERROR_STORAGE);
	unlinkat(dir, NAME, 0);
}

static void
a_name_that_is_too_long_is_refused(void **unused)
{
	char name[100];
	struct lock a;

	(void)unused;
	memset(name, 'a', 80);
	name[80] = '\0';
	assert_int_equal(lock_take(&a, dir, name, NULL), -1);
	lock_release(&a);
	name[79] = '\0';
	assert_int_equal(lock_take(&a, dir, name, NULL), 0);
	lock_release(&a);
}

struct contest {
	_Atomic int inside;
	_Atomic int bad;
	_Atomic int taken;
};

static void
take_and_release(void *arg)
{
	struct contest *c = arg;

	for (int i = 0; i < 500; i++) {
		struct lock l;

		if (lock_take(&l, dir, NAME, NULL) < 0)
			continue;
		if (atomic_fetch_add(&c->inside, 1) != 0)
			atomic_fetch_add(&c->bad, 1);
		atomic_fetch_add(&c->taken, 1);
		atomic_fetch_sub(&c->inside, 1);
		lock_release(&l);
	}
}

/* Removing the file must not let two in through two files of one name. */
static void
only_one_is_ever_inside(void **unused)
{
	struct contest c = { 0, 0, 0 };
	struct thread threads[4];

	(void)unused;
	for (int i = 0; i < 4; i++)
		assert_int_equal(thread_start(&threads[i], "contest",
					      THREAD_STACK_SMALL,
					      take_and_release, &c, NULL), 0);
	for (int i = 0; i < 4; i++)
		thread_join(&threads[i]);
	assert_int_equal(c.bad, 0);
	assert_true(c.taken > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_of_one_process_cannot_both_have_it),
		cmocka_unit_test(locks_of_other_names_are_free),
		cmocka_unit_test(the_file_goes_with_the_lock),
		cmocka_unit_test(shared_it_becomes_the_last_ones_own),
		cmocka_unit_test(a_killed_process_leaves_no_lock),
		cmocka_unit_test(links_and_fifos_are_refused),
		cmocka_unit_test(a_name_that_is_too_long_is_refused),
		cmocka_unit_test(only_one_is_ever_inside),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
