/* A disk that tells of what it has lost only as a descriptor is closed. */
#include "fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic bool loses;

/* In the place of libc's. */
int
close(int fd)
{
	int status = (int)syscall(SYS_close, fd);

	if (!atomic_load(&loses))
		return status;
	errno = EDQUOT;
	return -1;
}

static const struct fixture_file two[] = {{"a", 1024, 0}, {"b", 1024, 0}};

static void
start(struct fixture *x)
{
	fixture_torrent(x, "T", 1024, two, 2);
	fixture_dir(x);
	assert_int_equal(fixture_open_as(x, NULL, FILES_SPARSE, 1), 0);
}

static void
expect_lost(struct fixture *x)
{
	assert_int_equal(files_sync(x->store, &x->e), -1);
	assert_int_equal(x->e.kind, ERROR_STORAGE);
	assert_int_equal(x->e.sys, EDQUOT);
}

static void
what_is_lost_at_the_last_close_is_no_success(void **unused)
{
	static struct fixture x;

	(void)unused;
	start(&x);
	fixture_write_all(&x);
	atomic_store(&loses, true);
	expect_lost(&x);
	atomic_store(&loses, false);
	fixture_release(&x);
}

static void
what_is_lost_as_a_file_makes_room_is_no_success(void **unused)
{
	static struct fixture x;

	(void)unused;
	start(&x);
	assert_int_equal(files_write(x.store, 0, x.bytes, 1024, &x.e), 0);
	atomic_store(&loses, true);
	assert_int_equal(files_write(x.store, 1024, x.bytes, 1024, &x.e), 0);
	atomic_store(&loses, false);
	expect_lost(&x);
	expect_lost(&x);
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_lost_at_the_last_close_is_no_success),
		cmocka_unit_test(
			what_is_lost_as_a_file_makes_room_is_no_success),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
