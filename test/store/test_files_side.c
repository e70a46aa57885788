/* The side file of a disk without holes. */
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "store/adopt.h"

#define EXT4 0xef53
#define EXFAT 0x2011bab0
#define GIB (1ULL << 30)
#define PIECE (1u << 20)
#define SIDE ".btget/" FIXTURE_ID ".side"
#define SHARES ".btget/" FIXTURE_ID ".shares"
#define ZEROS_MAX (128 << 10)

static uint32_t kind = EXFAT;

/* In the place of libc's. */
int
fstatfs(int fd, struct statfs *out)
{
	(void)fd;
	memset(out, 0, sizeof(*out));
	out->f_type = (__typeof__(out->f_type))kind;
	return 0;
}

/* Where so many zeros would have to come first, it fails. */
static bool
is_far(int fd, off_t at)
{
	struct stat st;

	return kind == EXFAT && fstat(fd, &st) == 0 &&
	       at > st.st_size + ZEROS_MAX;
}

ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	if (is_far(fd, at)) {
		errno = EFBIG;
		return -1;
	}
	return (ssize_t)syscall(SYS_pwritev, fd, iov, count, at, 0);
}

/* Four files, each of them ends within a piece. */
static const struct fixture_file large[] = {
	{ "a", 10 * GIB + 300000, 0 }, { "b", 20 * GIB + 300000, 0 },
	{ "c", 200000, 0 }, { "d", 5 * GIB, 0 },
};

static uint8_t bytes[2 * PIECE], is[2 * PIECE];

static void
open_for(struct fixture *x, const char *wanted)
{
	struct bitfield selected;

	bitfield_init(&selected, x->m.file_count);
	for (; *wanted; wanted++)
		bitfield_set(&selected, (size_t)(*wanted - 'a'));
	assert_int_equal(fixture_open_as(x, &selected, FILES_NONE, 4), 0);
	bitfield_release(&selected);
}

static void
start(struct fixture *x)
{
	fixture_torrent(x, "T", PIECE, large, 4);
	fixture_dir(x);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)((i * 0x9e3779b97f4a7c15ULL) >> 56);
}

/* The part of the piece on this file's beginning that others have. */
static uint64_t
border(const struct fixture *x, size_t file)
{
	return x->files[file].offset / PIECE * PIECE;
}

static void
write_at(struct fixture *x, uint64_t at, size_t n)
{
	assert_int_equal(files_write(x->store, at, bytes, n, &x->e), 0);
}

static bool
reads_at(struct fixture *x, uint64_t at, size_t n)
{
	memset(is, 0xee, n);
	return files_read(x->store, at, is, n, &x->e) == 0 &&
	       memcmp(is, bytes, n) == 0;
}

static void
it_is_as_small_as_what_it_holds(void **unused)
{
	static struct fixture x;
	uint64_t at;
	size_t n;

	(void)unused;
	start(&x);
	at = x.files[3].offset;
	n = (size_t)(border(&x, 3) + PIECE - at);
	open_for(&x, "c");
	/* Of d its beginning, and of b its end. */
	write_at(&x, at, n);
	assert_true(fixture_size(&x, SHARES) > 0);
	assert_true(fixture_size(&x, SHARES) < (long)(PIECE + ZEROS_MAX));
	assert_false(fixture_exists(&x, SIDE));
	assert_true(reads_at(&x, at, n));
	assert_int_equal(files_presence(x.store, at, n), FILES_DATA);
	fixture_release(&x);
}

/* What one selection has kept, the next one finds, and adds to. */
static void
what_lies_where_does_not_depend_on_the_selection(void **unused)
{
	static struct fixture x;
	uint64_t ab, cd;

	(void)unused;
	start(&x);
	ab = x.files[1].offset;
	cd = x.files[3].offset;
	open_for(&x, "c");
	write_at(&x, cd, 100000);
	open_for(&x, "a");
	assert_true(reads_at(&x, cd, 100000));
	write_at(&x, ab, 50000);
	write_at(&x, cd + 100000, 70000);
	open_for(&x, "c");
	assert_true(reads_at(&x, cd, 100000));
	assert_true(reads_at(&x, cd + 100000, 70000));
	assert_true(reads_at(&x, ab, 50000));
	fixture_release(&x);
}

static void
bytes_come_in_any_order_and_length(void **unused)
{
	static struct fixture x;
	uint64_t at;
	size_t n = 400000;

	(void)unused;
	start(&x);
	at = x.files[3].offset;
	open_for(&x, "c");
	for (size_t i = 0; i < n; i += 16384) {
		size_t from = (i / 16384 * 7 % 25) * 16384;
		size_t part = n - from < 16384 ? n - from : 16384;

		assert_int_equal(files_write(x.store, at + from, bytes + from,
					     part, &x.e), 0);
	}
	assert_true(reads_at(&x, at, n));
	fixture_release(&x);
}

static void
what_it_does_not_hold_is_not_there(void **unused)
{
	static struct fixture x;
	uint64_t at;

	(void)unused;
	start(&x);
	at = x.files[3].offset;
	open_for(&x, "c");
	assert_int_equal(files_presence(x.store, at, 10), FILES_ABSENT);
	write_at(&x, at, 10);
	assert_int_equal(files_presence(x.store, at + PIECE, 10),
			 FILES_ABSENT);
	assert_false(reads_at(&x, at + PIECE, 10));
	assert_int_equal(x.e.kind, ERROR_DATA);
	/* A run has died while it grew. */
	assert_int_equal(truncate(fixture_at(&x, SHARES), 7), 0);
	open_for(&x, "c");
	assert_int_equal(files_presence(x.store, at, 10), FILES_ABSENT);
	write_at(&x, at, 10);
	assert_true(reads_at(&x, at, 10));
	fixture_release(&x);
}

static void
a_place_that_holds_nothing_of_ours_is_passed_over(void **unused)
{
	static struct fixture x;
	static uint8_t zeros[100];
	uint64_t at;
	int fd;

	(void)unused;
	start(&x);
	at = x.files[3].offset / 65536 * 65536 + 65536;
	open_for(&x, "c");
	write_at(&x, at, 65536);
	write_at(&x, at + 65536, 65536);
	fixture_close(&x);
	fd = openat(x.folder.dir, SHARES, O_WRONLY);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 0), sizeof(zeros));
	close(fd);
	open_for(&x, "c");
	assert_false(reads_at(&x, at, 65536));
	assert_true(reads_at(&x, at + 65536, 65536));
	write_at(&x, at, 65536);
	open_for(&x, "c");
	assert_true(reads_at(&x, at, 65536));
	assert_true(reads_at(&x, at + 65536, 65536));
	fixture_release(&x);
}

#define THREADS 4
#define PART 40000		/* they share chunks */

struct writer {
	struct fixture *x;
	size_t number;
	pthread_t thread;
	bool failed;
};

static void *
write_parts(void *arg)
{
	struct writer *w = arg;
	uint64_t at = w->x->files[3].offset;

	for (size_t i = w->number; (i + 1) * PART <= PIECE; i += THREADS)
		w->failed |= files_write(w->x->store, at + i * PART,
					 bytes + i * PART, PART, NULL) < 0;
	return NULL;
}

static void
many_may_write_at_once(void **unused)
{
	static struct fixture x;
	struct writer all[THREADS];

	(void)unused;
	start(&x);
	open_for(&x, "c");
	write_at(&x, x.files[3].offset, PART);
	open_for(&x, "c");	/* what is there is to be learned, once */
	for (size_t i = 0; i < THREADS; i++) {
		all[i] = (struct writer){.x = &x, .number = i};
		assert_int_equal(pthread_create(&all[i].thread, NULL,
						write_parts, &all[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(all[i].thread, NULL);
		assert_false(all[i].failed);
	}
	open_for(&x, "c");
	assert_true(reads_at(&x, x.files[3].offset, PIECE / PART * PART));
	fixture_release(&x);
}

static void
elsewhere_it_is_as_ever(void **unused)
{
	static struct fixture x;
	uint64_t at;

	(void)unused;
	kind = EXT4;
	start(&x);
	at = x.files[3].offset;
	open_for(&x, "c");
	write_at(&x, at, 1000);
	assert_int_equal(fixture_size(&x, SIDE), (long)(at + 1000));
	assert_false(fixture_exists(&x, SHARES));
	fixture_release(&x);
	kind = EXFAT;
}

static void
open_done(struct fixture *x)
{
	const struct files_options o = {.max_open = 4, .id = FIXTURE_ID,
					.side_as_left = true};

	files_free(x->store);
	x->store = files_open(x->layout, &x->folder, &o, &x->e);
	assert_non_null(x->store);
}

/* What is complete stays so; whoever goes on does without. */
static void
one_of_an_earlier_version_is_read_until_more_is_to_come(void **unused)
{
	static struct fixture x;
	struct files_room room = {0};
	uint64_t at;

	(void)unused;
	start(&x);
	at = x.files[3].offset;
	kind = EXT4;
	open_for(&x, "c");
	write_at(&x, at, 1000);
	kind = EXFAT;
	open_for(&x, "c");
	assert_false(reads_at(&x, at, 1000));
	open_done(&x);
	assert_true(reads_at(&x, at, 1000));
	open_for(&x, "c");
	assert_int_equal(files_prepare(x.store, &room, NULL, &x.e), 0);
	assert_false(fixture_exists(&x, SIDE));
	write_at(&x, at, 1000);
	open_done(&x);
	assert_true(reads_at(&x, at, 1000));
	fixture_release(&x);
}

static void
it_goes_when_nothing_needs_it(void **unused)
{
	static const struct fixture_file three[] = {
		{ "a", 1500, 0 }, { "b", 1000, 0 }, { "c", 3000, 0 },
	};
	static struct fixture x;

	(void)unused;
	fixture_torrent(&x, "T", 1024, three, 3);
	fixture_dir(&x);
	open_for(&x, "b");
	assert_int_equal(files_write(x.store, 1024, x.bytes + 1024, 2048,
				     &x.e), 0);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_true(fixture_exists(&x, SHARES));
	open_for(&x, "abc");
	assert_int_equal(files_take_side(x.store, 1024, 476, &x.e), 0);
	assert_int_equal(files_read(x.store, 1024, is, 476, &x.e), 0);
	assert_memory_equal(is, x.bytes + 1024, 476);
	fixture_write_all(&x);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_false(fixture_exists(&x, SHARES));
	fixture_release(&x);
}

static void
a_file_gets_its_share_once_it_has_its_size(void **unused)
{
	static const struct fixture_file two[] = {
		{ "a", 2000000, 0 }, { "b", 1000000, 0 },
	};
	static struct fixture x;
	struct bitfield found;
	struct state s;
	uint64_t at = PIECE, n = 2000000 - PIECE;

	(void)unused;
	fixture_torrent(&x, "T", PIECE, two, 2);
	fixture_dir(&x);
	state_init(&s, &x.m, &x.e);
	open_for(&x, "b");
	assert_int_equal(files_write(x.store, at, x.bytes + at, PIECE, &x.e),
			 0);
	bitfield_set(&s.have, 1);
	bitfield_unset(&s.selected, 0);
	assert_int_equal(state_stamp(&s, x.store, NULL, NULL, &x.e), 0);
	open_for(&x, "ab");
	bitfield_init(&found, 2);
	adopt_find(&s, x.store, &found);
	assert_int_equal(bitfield_ones(&found), 1);
	assert_int_equal(adopt_files(&s, x.store, &found, &x.e), 0);
	assert_false(fixture_exists(&x, "T.part/a"));
	fixture_put(&x, "T.part/a", "", 0);
	assert_int_equal(truncate(fixture_at(&x, "T.part/a"), 2000000), 0);
	open_for(&x, "ab");
	assert_int_equal(adopt_files(&s, x.store, &found, &x.e), 0);
	assert_int_equal(files_read(x.store, at, is, (size_t)n, &x.e), 0);
	assert_memory_equal(is, x.bytes + at, (size_t)n);
	bitfield_release(&found);
	state_release(&s);
	fixture_release(&x);
}

/* That they are zeros then need not be found out by reading them. */
static void
missing_files_are_added_to_those_that_adopt(void **unused)
{
	static struct fixture x;
	struct bitfield found;

	(void)unused;
	start(&x);
	open_for(&x, "cd");
	write_at(&x, x.files[2].offset, 1000);
	bitfield_init(&found, 4);
	adopt_add_missing(x.store, &found);
	assert_int_equal(bitfield_ones(&found), 1);
	assert_true(bitfield_get(&found, 3));
	bitfield_release(&found);
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_as_small_as_what_it_holds),
		cmocka_unit_test(
		    what_lies_where_does_not_depend_on_the_selection),
		cmocka_unit_test(bytes_come_in_any_order_and_length),
		cmocka_unit_test(what_it_does_not_hold_is_not_there),
		cmocka_unit_test(
		    a_place_that_holds_nothing_of_ours_is_passed_over),
		cmocka_unit_test(many_may_write_at_once),
		cmocka_unit_test(elsewhere_it_is_as_ever),
		cmocka_unit_test(
		    one_of_an_earlier_version_is_read_until_more_is_to_come),
		cmocka_unit_test(it_goes_when_nothing_needs_it),
		cmocka_unit_test(a_file_gets_its_share_once_it_has_its_size),
		cmocka_unit_test(missing_files_are_added_to_those_that_adopt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
