#include "fixture.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include "store/borrow.h"

#define MUCH (1 << 30)
#define BLOCK 65536

static uint64_t has_free = MUCH;
static bool is_full;

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

ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	assert_int_equal(count, 1);
	if (!is_full)
		return pwrite(fd, iov->iov_base, iov->iov_len, at);
	errno = ENOSPC;
	return -1;
}

/* Pieces of 1024: a and b share piece 1, b and c piece 4. */
static const struct fixture_file three[] = {
	{ "a", 1500, 0 }, { "b", 3000, 0 }, { "c", 2000, 0 },
};

/* A file as it is to be, under the final name. */
static void
put(struct fixture *x, size_t file)
{
	char path[8];

	snprintf(path, sizeof(path), "T/%s", x->paths[file]);
	fixture_put(x, path, x->bytes + x->files[file].offset,
		    (size_t)x->files[file].length);
}

/* All of them are there. */
static void
start_with(struct fixture *x, const struct fixture_file files[3])
{
	fixture_torrent(x, "T", 1024, files, 3);
	fixture_dir(x);
	for (size_t i = 0; i < 3; i++)
		put(x, i);
}

static void
start(struct fixture *x)
{
	start_with(x, three);
}

static void
open_for(struct fixture *x, const char *wanted)
{
	struct bitfield selected;

	bitfield_init(&selected, 3);
	for (; *wanted; wanted++)
		bitfield_set(&selected, (size_t)(*wanted - 'a'));
	assert_int_equal(fixture_open_as(x, &selected, FILES_SPARSE, 4), 0);
	bitfield_release(&selected);
}

/* What comes, a bit for each piece, where these are had. */
static unsigned
borrow_with(struct fixture *x, unsigned had, bool stopped)
{
	const struct files_options options = { .max_open = 4,
					       .id = FIXTURE_ID };
	const _Atomic bool stop = stopped;
	struct bitfield have, whole;
	struct borrow b = { .to = x->store, .folder = &x->folder,
			    .options = &options, .have = &have,
			    .stop = &stop, .at_once = MUCH };
	unsigned came = 0;

	bitfield_init(&have, x->m.piece_count);
	bitfield_init(&whole, x->m.piece_count);
	for (uint32_t i = 0; i < x->m.piece_count; i++)
		if (had & 1u << i)
			bitfield_set(&have, i);
	assert_int_equal(borrow_shares(&b, &whole, &x->e), -stopped);
	for (uint32_t i = 0; i < x->m.piece_count; i++)
		if (bitfield_get(&whole, i))
			came |= 1u << i;
	bitfield_release(&have);
	bitfield_release(&whole);
	return came;
}

static unsigned
borrow(struct fixture *x)
{
	return borrow_with(x, 0, false);
}

/* Is the piece right, where it lies for this selection? */
static bool
holds(struct fixture *x, size_t piece)
{
	uint8_t data[1024];

	return files_read(x->store, piece * 1024, data, sizeof(data),
			  &x->e) == 0 &&
	       memcmp(data, x->bytes + piece * 1024, sizeof(data)) == 0;
}

static bool
has_side(struct fixture *x)
{
	return fixture_exists(x, ".btget/" FIXTURE_ID ".side");
}

static void
a_border_comes_from_a_file_that_is_not_wanted(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	open_for(&x, "a");
	assert_false(holds(&x, 1));
	assert_int_equal(borrow(&x), 1u << 1);
	assert_true(holds(&x, 1));
	fixture_release(&x);
}

static void
both_ends_of_a_wanted_file_come(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	open_for(&x, "b");
	assert_int_equal(borrow(&x), 1u << 1 | 1u << 4);
	assert_true(holds(&x, 1) && holds(&x, 4));
	fixture_release(&x);
}

static void
what_is_had_is_not_looked_for(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	open_for(&x, "b");
	assert_int_equal(borrow_with(&x, 1u << 4, false), 1u << 1);
	open_for(&x, "abc");
	assert_int_equal(borrow(&x), 0);
	fixture_release(&x);
}

static void
a_piece_that_is_not_right_is_not_copied(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_put(&x, "T/b", x.bytes, 3000);
	open_for(&x, "ac");
	assert_int_equal(borrow(&x), 0);
	assert_false(has_side(&x));
	fixture_release(&x);
}

/* Of one that is too short, what is there may do. */
static void
a_short_file_gives_what_it_has(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	assert_int_equal(truncate(fixture_at(&x, "T/b"), 600), 0);
	open_for(&x, "ac");
	assert_int_equal(borrow(&x), 1u << 1);
	assert_int_equal(truncate(fixture_at(&x, "T/b"), 500), 0);
	unlink(fixture_at(&x, ".btget/" FIXTURE_ID ".side"));
	open_for(&x, "ac");
	assert_int_equal(borrow(&x), 0);
	assert_false(has_side(&x));
	fixture_release(&x);
}

static void
what_is_no_file_is_let_be(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_put(&x, "elsewhere/b", x.bytes + 1500, 3000);
	assert_int_equal(unlink(fixture_at(&x, "T/b")), 0);
	fixture_link(&x, "../elsewhere/b", "T/b");
	open_for(&x, "ac");
	assert_int_equal(borrow(&x), 0);
	assert_int_equal(unlink(fixture_at(&x, "T/b")), 0);
	assert_int_equal(mkfifo(fixture_at(&x, "T/b"), 0666), 0);
	open_for(&x, "ac");
	assert_int_equal(borrow(&x), 0);
	assert_false(has_side(&x));
	fixture_release(&x);
}

/* One small file after the other: all lie in a piece. */
static void
start_small(struct fixture *x)
{
	static const struct fixture_file small[] = {
		{ "a", 300, 0 }, { "b", 300, 0 }, { "c", 424, 0 },
	};

	fixture_torrent(x, "T", 1024, small, 3);
	fixture_dir(x);
	put(x, 0);
}

static void
a_piece_is_put_together_of_files_and_the_side(void **unused)
{
	struct fixture x;

	(void)unused;
	start_small(&x);
	open_for(&x, "a");
	assert_int_equal(files_write(x.store, 600, x.bytes + 600, 424, &x.e),
			 0);
	assert_true(has_side(&x));
	assert_int_equal(borrow(&x), 0);
	put(&x, 1);
	open_for(&x, "a");
	assert_int_equal(borrow(&x), 1);
	assert_true(holds(&x, 0));
	fixture_release(&x);
}

static void
what_the_side_has_is_not_given_up(void **unused)
{
	struct fixture x;

	(void)unused;
	start_small(&x);
	open_for(&x, "a");
	fixture_write_all(&x);
	fixture_put(&x, "T/b", x.bytes, 300);
	put(&x, 2);
	open_for(&x, "a");
	assert_int_equal(borrow(&x), 0);
	assert_true(holds(&x, 0));
	fixture_release(&x);
}

static void
it_ends_when_told(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	open_for(&x, "a");
	assert_int_equal(borrow_with(&x, 0, true), 0);
	assert_int_equal(x.e.kind, ERROR_STOPPED);
	assert_false(has_side(&x));
	fixture_release(&x);
}

/* The same, with borders that lie far apart. */
static void
start_wide(struct fixture *x)
{
	static const struct fixture_file wide[] = {
		{ "a", 1500, 0 }, { "b", 200000, 0 }, { "c", 2000, 0 },
	};

	start_with(x, wide);
}

#define WIDE_END 196	/* the piece that b and c share */

/* How many pieces come of one call, after which there are more or not. */
static int
borrow_some(struct fixture *x, struct borrow *b, int more)
{
	static const _Atomic bool stop;
	const struct files_options options = { .max_open = 4,
					       .id = FIXTURE_ID };
	struct bitfield have, whole;
	size_t came;

	bitfield_init(&have, x->m.piece_count);
	bitfield_init(&whole, x->m.piece_count);
	b->to = x->store;
	b->folder = &x->folder;
	b->options = &options;
	b->have = &have;
	b->stop = &stop;
	assert_int_equal(borrow_shares(b, &whole, &x->e), more);
	came = bitfield_ones(&whole);
	bitfield_release(&have);
	bitfield_release(&whole);
	return (int)came;
}

static void
a_call_looks_at_so_much_and_no_more(void **unused)
{
	struct borrow b = {.at_once = 2047};
	struct fixture x;

	(void)unused;
	start_wide(&x);
	open_for(&x, "b");
	assert_int_equal(borrow_some(&x, &b, 1), 1);
	assert_true(holds(&x, 1));
	assert_false(holds(&x, WIDE_END));
	assert_int_equal(borrow_some(&x, &b, 0), 1);
	assert_true(holds(&x, WIDE_END));
	b = (struct borrow){.at_once = 2048};
	assert_int_equal(borrow_some(&x, &b, 0), 2);
	b = (struct borrow){.at_once = 1};
	assert_int_equal(borrow_some(&x, &b, 1), 1);
	fixture_release(&x);
}

static void
only_what_fits_comes(void **unused)
{
	struct borrow b = {.at_once = MUCH};
	struct fixture x;

	(void)unused;
	start_wide(&x);
	open_for(&x, "b");
	has_free = BLOCK - 1;
	assert_int_equal(borrow_some(&x, &b, 0), 0);
	assert_false(has_side(&x));
	has_free = 2 * BLOCK - 1;
	b = (struct borrow){.at_once = MUCH};
	assert_int_equal(borrow_some(&x, &b, 0), 1);
	assert_true(holds(&x, 1));
	has_free = MUCH;
	fixture_release(&x);
}

/* There is nothing to be gained by going on. */
static void
what_does_not_fit_ends_it(void **unused)
{
	struct borrow b = {.at_once = 1};
	struct fixture x;

	(void)unused;
	start_wide(&x);
	open_for(&x, "b");
	has_free = BLOCK - 1;
	assert_int_equal(borrow_some(&x, &b, 0), 0);
	has_free = MUCH;
	fixture_release(&x);
}

static void
what_others_were_promised_is_left(void **unused)
{
	struct borrow b = {.at_once = MUCH, .others = BLOCK};
	struct fixture x;

	(void)unused;
	start_wide(&x);
	open_for(&x, "b");
	has_free = 3 * BLOCK - 1;
	assert_int_equal(borrow_some(&x, &b, 0), 1);
	has_free = 3 * BLOCK;
	b.from = 0;
	assert_int_equal(borrow_some(&x, &b, 0), 2);
	b.from = 0;
	b.others = UINT64_MAX;
	assert_int_equal(borrow_some(&x, &b, 0), 0);
	has_free = MUCH;
	fixture_release(&x);
}

static void
what_wanted_files_will_take_is_left(void **unused)
{
	struct borrow b = {.at_once = MUCH};
	struct fixture x;

	(void)unused;
	start_wide(&x);
	assert_int_equal(unlink(fixture_at(&x, "T/c")), 0);
	open_for(&x, "ac");
	has_free = BLOCK + 1999;
	assert_int_equal(borrow_some(&x, &b, 0), 0);
	has_free = BLOCK + 2000;
	b.from = 0;
	assert_int_equal(borrow_some(&x, &b, 0), 1);
	has_free = MUCH;
	fixture_release(&x);
}

static void
a_disk_that_is_full_ends_it_and_nothing_else(void **unused)
{
	struct borrow b = {.at_once = 1};
	struct fixture x;

	(void)unused;
	start_wide(&x);
	open_for(&x, "b");
	is_full = true;
	assert_int_equal(borrow_some(&x, &b, 0), 0);
	is_full = false;
	assert_int_equal(x.e.kind, ERROR_NONE);
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_border_comes_from_a_file_that_is_not_wanted),
		cmocka_unit_test(both_ends_of_a_wanted_file_come),
		cmocka_unit_test(what_is_had_is_not_looked_for),
		cmocka_unit_test(a_piece_that_is_not_right_is_not_copied),
		cmocka_unit_test(a_short_file_gives_what_it_has),
		cmocka_unit_test(what_is_no_file_is_let_be),
		cmocka_unit_test(
		    a_piece_is_put_together_of_files_and_the_side),
		cmocka_unit_test(what_the_side_has_is_not_given_up),
		cmocka_unit_test(it_ends_when_told),
		cmocka_unit_test(a_call_looks_at_so_much_and_no_more),
		cmocka_unit_test(only_what_fits_comes),
		cmocka_unit_test(what_does_not_fit_ends_it),
		cmocka_unit_test(what_others_were_promised_is_left),
		cmocka_unit_test(what_wanted_files_will_take_is_left),
		cmocka_unit_test(a_disk_that_is_full_ends_it_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
