/* Disks whose syncfs says nothing of what they have lost. */
#include "fixture.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#define MANY 70
#define EXT4 0xef53
#define FUSE 0x65735546
#define SMB2 0xfe534d42
#define CIFS 0xff534d42

static uint32_t kind;
static const char *kernel;
static bool loses;		/* what single files have */
static unsigned whole, files, folders, pushed;

/* In the place of libc's. */
int
fstatfs(int fd, struct statfs *out)
{
	(void)fd;
	memset(out, 0, sizeof(*out));
	out->f_type = (__typeof__(out->f_type))kind;
	return 0;
}

int
uname(struct utsname *out)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->release, sizeof(out->release), "%s", kernel);
	return 0;
}

int
syncfs(int fd)
{
	(void)fd;
	whole++;
	return 0;
}

int
fdatasync(int fd)
{
	files++;
	if (!loses)
		return (int)syscall(SYS_fdatasync, fd);
	errno = EIO;
	return -1;
}

int
sync_file_range(int fd, off_t from, off_t n, unsigned flags)
{
	(void)fd;
	/* All of it; and nothing is waited for, which would hide failures. */
	pushed += from == 0 && n == 0 && flags == SYNC_FILE_RANGE_WRITE;
	return 0;
}

int
fsync(int fd)
{
	struct stat st;

	folders += fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
	return (int)syscall(SYS_fsync, fd);
}

/* So many files in folder d, all of them written. */
static void
start(struct fixture *x, size_t count, uint32_t on, const char *release)
{
	static char names[MANY][8];
	struct fixture_file list[MANY];

	for (size_t i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "d/f%zu", i);
		list[i] = (struct fixture_file){names[i], 100, 0};
	}
	kind = on;
	kernel = release;
	loses = false;
	fixture_torrent(x, "T", 1024, list, count);
	fixture_dir(x);
	fixture_open(x);
	fixture_write_all(x);
	whole = files = folders = pushed = 0;
}

static void
many_files_are_synced_at_once(void **unused)
{
	static const char *const kernels[] = {"5.8.0", "5.10-x", "6.1", "10.0"};
	static struct fixture x;

	(void)unused;
	for (size_t i = 0; i < 4; i++) {
		start(&x, MANY, EXT4, kernels[i]);
		assert_int_equal(files_sync(x.store, &x.e), 0);
		assert_int_equal(whole, 1);
		assert_int_equal(files, 0);
		fixture_release(&x);
	}
}

static void
each_is_synced_where_that_would_tell_nothing(void **unused)
{
	static const struct {
		uint32_t kind;
		const char *kernel;
	} cases[] = {
		{FUSE, "6.1"}, {OVERLAYFS_SUPER_MAGIC, "6.1"},
		{SMB2, "6.1"}, {CIFS, "6.1"}, {V9FS_MAGIC, "6.1"},
		{EXT4, "5.7.19"}, {EXT4, "4.19"}, {EXT4, "strange"},
	};
	static struct fixture x;

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start(&x, MANY, cases[i].kind, cases[i].kernel);
		assert_int_equal(files_sync(x.store, &x.e), 0);
		assert_int_equal(files, MANY);
		/* d, T.part and the one that has it. */
		assert_true(folders >= 3);
		fixture_write_all(&x);
		loses = true;
		assert_int_equal(files_sync(x.store, &x.e), -1);
		assert_int_equal(x.e.sys, EIO);
		fixture_release(&x);
	}
}

/* Some at a time, each of them once before the first comes again; and all of
 * them are still to be synced. */
static void
what_is_dirty_is_pushed_in_turns(void **unused)
{
	static struct fixture x;

	(void)unused;
	start(&x, MANY, FUSE, "6.1");
	files_push(x.store);
	assert_int_equal(pushed, 64);
	files_push(x.store);
	assert_int_equal(pushed, MANY);
	files_push(x.store);
	assert_int_equal(pushed, MANY + 64);
	assert_int_equal(files_sync(x.store, &x.e), 0);
	assert_int_equal(files, MANY);
	files_push(x.store);
	files_push(x.store);
	assert_int_equal(pushed, MANY + 64);
	fixture_release(&x);
}

/* Reopens it with the first file alone wanted, and hides the other one. */
static void
hide(struct fixture *x)
{
	struct bitfield selected, have, begun;

	bitfield_init(&selected, 2);
	bitfield_init(&have, 1);
	bitfield_init(&begun, 2);
	bitfield_set(&selected, 0);
	assert_int_equal(fixture_open_as(x, &selected, FILES_SPARSE, 4), 0);
	whole = folders = 0;
	assert_int_equal(files_set_aside(x->store, &have, &begun, &x->e), 0);
	assert_true(files_is_aside(x->store, 1));
	bitfield_release(&selected);
	bitfield_release(&have);
	bitfield_release(&begun);
}

static void
folders_are_synced_as_a_file_is_moved(void **unused)
{
	static struct fixture x;

	(void)unused;
	start(&x, 2, EXT4, "6.1");
	hide(&x);
	assert_int_equal(whole, 1);
	assert_int_equal(folders, 0);
	fixture_release(&x);
	start(&x, 2, FUSE, "6.1");
	hide(&x);
	/* d and T.part, the one aside and the one that has it. */
	assert_int_equal(folders, 4);
	fixture_open(&x);
	fixture_write_all(&x);
	assert_int_equal(files_sync(x.store, &x.e), 0);
	folders = 0;
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_true(folders >= 4);
	assert_false(files_is_aside(x.store, 1));
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_files_are_synced_at_once),
		cmocka_unit_test(each_is_synced_where_that_would_tell_nothing),
		cmocka_unit_test(what_is_dirty_is_pushed_in_turns),
		cmocka_unit_test(folders_are_synced_as_a_file_is_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
