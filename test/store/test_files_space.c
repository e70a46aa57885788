/* How much a download takes, beside what it has. */
#include "fixture.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#define LENGTH 100000
#define EXFAT 0x2011bab0
#define EXT4 0xef53
#define NTFS3 0x7366746e

static uint64_t has_free;

/* In the place of libc's. */
int
fstatvfs(int fd, struct statvfs *out)
{
	(void)fd;
	memset(out, 0, sizeof(*out));
	out->f_frsize = 1;
	out->f_blocks = out->f_bavail = (fsblkcnt_t)has_free;
	return 0;
}

static bool counts_blocks;

int
fstatat(int dir, const char *path, struct stat *out, int flags)
{
	int fd = openat(dir, path, O_PATH | (flags & AT_SYMLINK_NOFOLLOW
						 ? O_NOFOLLOW : 0));
	int status = fd < 0 ? -1 : fstat(fd, out);

	if (fd >= 0)
		close(fd);
	if (!counts_blocks)
		out->st_blocks = 0;
	return status;
}

static uint32_t kind;
static long longest;
static unsigned reserved;
static const _Atomic bool stopped = true;

int
fstatfs(int fd, struct statfs *out)
{
	(void)fd;
	memset(out, 0, sizeof(*out));
	out->f_type = (__typeof__(out->f_type))kind;
	out->f_namelen = (__typeof__(out->f_namelen))longest;
	return 0;
}

int
fallocate(int fd, int mode, off_t at, off_t n)
{
	(void)mode;
	reserved++;
	return posix_fallocate(fd, at, n) == 0 ? 0 : -1;
}

static void
start(struct fixture *x, enum files_allocation allocation)
{
	static const struct fixture_file one = {"x", LENGTH, 0};

	fixture_torrent(x, "x", 1024, &one, 1);
	x->m.multi = false;
	fixture_dir(x);
	fixture_put(x, "x.part", x->bytes, LENGTH);
	assert_int_equal(fixture_open_as(x, NULL, allocation, 4), 0);
}

static int
prepare(struct fixture *x, struct files_room room, uint64_t *need)
{
	int status = files_prepare(x->store, &room, NULL, &x->e);

	*need = room.need;
	return status;
}

static void
what_is_verified_need_not_fit_once_more(void **unused)
{
	static const enum files_allocation all[] = {FILES_SPARSE, FILES_FULL};
	static struct fixture x;
	uint64_t need;

	(void)unused;
	for (size_t i = 0; i < 2; i++) {
		start(&x, all[i]);
		has_free = 30000;
		assert_int_equal(prepare(&x, (struct files_room){
						 .missing = 30000}, &need), 0);
		/* What is reserved is no longer free. */
		assert_int_equal(need, all[i] == FILES_FULL ? 0 : 30000);
		assert_int_equal(prepare(&x, (struct files_room){
						 .missing = 30001}, &need),
				 -1);
		assert_int_equal(x.e.sys, ENOSPC);
		has_free = 0;
		assert_int_equal(prepare(&x, (struct files_room){
						 .missing = 0}, &need), 0);
		fixture_release(&x);
	}
}

static void
what_others_still_need_is_not_free(void **unused)
{
	static struct fixture x;
	uint64_t need;

	(void)unused;
	start(&x, FILES_SPARSE);
	has_free = 4 * LENGTH;
	assert_int_equal(prepare(&x, (struct files_room){
					 .missing = LENGTH,
					 .others = 3 * LENGTH}, &need), 0);
	assert_int_equal(need, LENGTH);
	assert_int_equal(prepare(&x, (struct files_room){
					 .missing = LENGTH,
					 .others = 3 * LENGTH + 1}, &need),
			 -1);
	assert_string_equal(x.e.text, "cannot create 'x.part': No space left "
			    "on device (needs 97.7 KiB, 391 KiB free, of "
			    "which others still need 293 KiB)");
	assert_int_equal(prepare(&x, (struct files_room){
					 .missing = LENGTH,
					 .others = UINT64_MAX}, &need), -1);
	/* Who needs nothing is in nobody's way. */
	assert_int_equal(prepare(&x, (struct files_room){
					 .others = UINT64_MAX}, &need), 0);
	fixture_release(&x);
}

/* The pieces of one small file, most of which are another's. */
static void
the_side_takes_space_as_well(void **unused)
{
	static const struct fixture_file two[] = {
		{"a", 100, 0}, {"b", LENGTH, 0},
	};
	static const enum files_allocation all[] = {FILES_SPARSE, FILES_FULL};
	const struct files_room room = {.missing = 1024};
	static struct fixture x;
	struct bitfield selected;
	uint64_t need;

	(void)unused;
	for (size_t i = 0; i < 2; i++) {
		fixture_torrent(&x, "x", 1024, two, 2);
		fixture_dir(&x);
		assert_int_equal(bitfield_init(&selected, 2), 0);
		bitfield_set(&selected, 0);
		assert_int_equal(fixture_open_as(&x, &selected, all[i], 4), 0);
		has_free = 1023;
		assert_int_equal(prepare(&x, room, &need), -1);
		assert_int_equal(x.e.sys, ENOSPC);
		has_free = 1024;
		assert_int_equal(prepare(&x, room, &need), 0);
		assert_int_equal(need, all[i] == FILES_FULL ? 924 : 1024);
		bitfield_release(&selected);
		fixture_release(&x);
	}
}

static void
without_allocation_nothing_is_asked_for(void **unused)
{
	static struct fixture x;
	uint64_t need;

	(void)unused;
	start(&x, FILES_NONE);
	has_free = 1;
	assert_int_equal(prepare(&x, (struct files_room){
					 .missing = LENGTH}, &need), 0);
	assert_int_equal(need, 0);
	fixture_release(&x);
}

static void
where_there_are_no_holes_zeros_are_written_first(void **unused)
{
	static const uint32_t kinds[] = {MSDOS_SUPER_MAGIC, EXFAT, NTFS3};
	static struct fixture x;
	struct files_room room = {.missing = LENGTH};
	static const uint8_t zeros[LENGTH];

	(void)unused;
	has_free = LENGTH;
	for (size_t i = 0; i < 3; i++) {
		kind = kinds[i];
		reserved = 0;
		start(&x, FILES_SPARSE);
		unlink(fixture_at(&x, "x.part"));
		assert_int_equal(fixture_open_as(&x, NULL, FILES_SPARSE, 4),
				 0);
		assert_int_equal(files_prepare(x.store, &room, &stopped,
					       &x.e),
				 -1);
		assert_int_equal(x.e.kind, ERROR_STOPPED);
		assert_true(fixture_size(&x, "x.part") < LENGTH);
		assert_int_equal(files_prepare(x.store, &room, NULL, &x.e), 0);
		assert_true(fixture_holds(&x, "x.part", zeros, LENGTH));
		assert_int_equal(reserved, 0);
		fixture_release(&x);
	}
	kind = 0;
}

static void
only_fat_takes_fewer_names_as_well(void **unused)
{
	static const struct {
		uint32_t kind;
		bool fat, lacks_holes;
	} disks[] = {
		{EXT4, false, false}, {NTFS3, false, true},
		{MSDOS_SUPER_MAGIC, true, true}, {EXFAT, true, true},
	};
	const struct folder any = {.dir = -1, .state = -1};

	(void)unused;
	for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
		kind = disks[i].kind;
		assert_int_equal(folder_names(&any).fat, disks[i].fat);
		assert_int_equal(folder_lacks_holes(&any),
				 disks[i].lacks_holes);
	}
	kind = 0;
}

static void
names_are_as_long_as_the_disk_says(void **unused)
{
	static const struct {
		long told;
		size_t longest;
	} disks[] = {
		{255, 255}, {143, 143}, {0, 255}, {-1, 255}, {1, 255},
		{1530, 255},
	};
	const struct folder any = {.dir = -1, .state = -1};

	(void)unused;
	for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
		longest = disks[i].told;
		assert_int_equal(folder_names(&any).longest,
				 disks[i].longest);
	}
	longest = 0;
}

static void
zeros_are_written_in_parts(void **unused)
{
	static const uint8_t zeros[LENGTH];
	static struct fixture x;
	struct files_room room = {.missing = LENGTH, .until = 1};
	uint64_t before;

	(void)unused;
	has_free = LENGTH;
	kind = MSDOS_SUPER_MAGIC;
	counts_blocks = true;
	start(&x, FILES_SPARSE);
	unlink(fixture_at(&x, "x.part"));
	assert_int_equal(fixture_open_as(&x, NULL, FILES_SPARSE, 4), 0);
	do {
		before = room.need;
		assert_int_equal(files_prepare(x.store, &room, NULL, &x.e),
				 -1);
		assert_int_equal(x.e.kind, ERROR_STOPPED);
		assert_true(before == 0 || room.need < before);
	} while (room.need > LENGTH / 2);
	room.until = 0;
	assert_int_equal(files_prepare(x.store, &room, NULL, &x.e), 0);
	assert_int_equal(room.need, 0);
	assert_true(fixture_holds(&x, "x.part", zeros, LENGTH));
	fixture_release(&x);
	kind = 0;
	counts_blocks = false;
}

static void
what_fat_cannot_hold_is_refused_before_a_byte_is_written(void **unused)
{
	static const enum files_allocation all[] = {FILES_NONE, FILES_SPARSE};
	static const struct fixture_file files[] = {
		{"small", 1000, 0}, {"largest", UINT32_MAX, 0},
		{"large", UINT32_MAX + 1ULL, 0},
	};
	struct files_room room = {.missing = UINT64_MAX};
	struct bitfield two;
	static struct fixture x;

	(void)unused;
	has_free = UINT64_MAX;
	kind = MSDOS_SUPER_MAGIC;
	fixture_torrent(&x, "x", 1 << 20, files, 3);
	fixture_dir(&x);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(fixture_open_as(&x, NULL, all[i], 4), 0);
		assert_int_equal(files_prepare(x.store, &room, &stopped,
					       &x.e), -1);
		assert_int_equal(x.e.kind, ERROR_STORAGE);
		assert_string_equal(x.e.text, "cannot create 'x.part/large': "
				    "File too large");
		assert_false(fixture_exists(&x, "x.part"));
	}
	/* Others can be had without it. */
	bitfield_init(&two, 3);
	bitfield_set(&two, 0);
	bitfield_set(&two, 1);
	assert_int_equal(fixture_open_as(&x, &two, FILES_NONE, 4), 0);
	assert_int_equal(files_prepare(x.store, &room, NULL, &x.e), 0);
	bitfield_release(&two);
	kind = EXFAT;
	assert_int_equal(fixture_open_as(&x, NULL, FILES_NONE, 4), 0);
	assert_int_equal(files_prepare(x.store, &room, NULL, &x.e), 0);
	fixture_release(&x);
	kind = 0;
}

/* However little time there is, a part is taken, and behind the one before. */
static void
what_is_reserved_in_parts_comes_to_an_end(void **unused)
{
	static const struct fixture_file three[] = {
		{"a", 100, 0}, {"b", 200, 0}, {"c", 300, 0},
	};
	static struct fixture x;
	struct files_room room = {.missing = 600, .until = 1};
	const uint64_t left[] = {500, 300};

	(void)unused;
	fixture_torrent(&x, "x", 1024, three, 3);
	fixture_dir(&x);
	assert_int_equal(fixture_open_as(&x, NULL, FILES_FULL, 4), 0);
	has_free = 600;
	reserved = 0;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(files_prepare(x.store, &room, NULL, &x.e),
				 -1);
		assert_int_equal(x.e.kind, ERROR_STOPPED);
		assert_int_equal(room.need, left[i]);
		has_free = 0;
	}
	assert_int_equal(files_prepare(x.store, &room, NULL, &x.e), 0);
	assert_int_equal(room.need, 0);
	assert_int_equal(reserved, 3);
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_verified_need_not_fit_once_more),
		cmocka_unit_test(what_others_still_need_is_not_free),
		cmocka_unit_test(the_side_takes_space_as_well),
		cmocka_unit_test(without_allocation_nothing_is_asked_for),
		cmocka_unit_test(
			where_there_are_no_holes_zeros_are_written_first),
		cmocka_unit_test(only_fat_takes_fewer_names_as_well),
		cmocka_unit_test(names_are_as_long_as_the_disk_says),
		cmocka_unit_test(zeros_are_written_in_parts),
		cmocka_unit_test(
		    what_fat_cannot_hold_is_refused_before_a_byte_is_written),
		cmocka_unit_test(what_is_reserved_in_parts_comes_to_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
