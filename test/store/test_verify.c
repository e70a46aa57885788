#include "fixture.h"

#include <sys/resource.h>

#include "base/sync.h"
#include "store/verify.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct fixture_file mixed[] = {
	{ "a", 300000, 0 }, { "pad", 700, METAINFO_PAD },
	{ "b", 1000, 0 }, { "empty", 0, 0 }, { "c", 500001, 0 },
};

static void
start(struct fixture *x, uint32_t piece_length)
{
	fixture_torrent(x, "T", piece_length, mixed, COUNT(mixed));
	fixture_dir(x);
	fixture_open(x);
}

/* Checks all pieces; returns what verify_join does. */
static int
check(struct fixture *x, unsigned threads, struct bitfield *good)
{
	struct verify_options o = { .threads = threads };
	struct verify_progress progress;
	struct bitfield all;
	struct verify *v;
	int status;

	bitfield_init(&all, x->m.piece_count);
	bitfield_fill(&all);
	bitfield_init(good, x->m.piece_count);
	o.pieces = &all;
	v = verify_start(x->store, &o, &x->e);
	assert_non_null(v);
	status = verify_join(v, &x->e);
	verify_results(v, good, NULL);
	assert_true(verify_done(v));
	verify_progress(v, &progress);
	assert_int_equal(progress.total, x->m.length);
	assert_int_equal(progress.checked, x->m.length);
	assert_int_equal(progress.good, bitfield_ones(good));
	verify_free(v);
	bitfield_release(&all);
	return status;
}

static void
right_data_is_found_right_at_any_piece_length(void **unused)
{
	const uint32_t lengths[] = { 16384, 10000, 262144, 300001, 1 << 20 };
	struct bitfield good;
	struct fixture x;

	(void)unused;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		start(&x, lengths[i]);
		fixture_write_all(&x);
		assert_int_equal(check(&x, 1 + (unsigned)i % 3, &good), 0);
		assert_true(bitfield_full(&good));
		bitfield_release(&good);
		fixture_release(&x);
	}
}

static void
one_wrong_byte_costs_its_piece_only(void **unused)
{
	struct bitfield good;
	struct fixture x;

	(void)unused;
	start(&x, 10000);
	fixture_write_all(&x);
	x.bytes[299999] ^= 1;
	files_write(x.store, 299999, x.bytes + 299999, 1, &x.e);
	assert_int_equal(check(&x, 2, &good), 0);
	assert_false(bitfield_get(&good, 29));
	assert_int_equal(bitfield_ones(&good), x.m.piece_count - 1);
	bitfield_release(&good);
	fixture_release(&x);
}

static void
a_missing_file_costs_its_pieces_and_is_no_error(void **unused)
{
	struct bitfield good;
	struct fixture x;

	(void)unused;
	start(&x, 1000);
	fixture_write_all(&x);
	unlink(fixture_at(&x, "T.part/b"));
	fixture_open(&x);
	assert_int_equal(check(&x, 2, &good), 0);
	assert_false(bitfield_get(&good, 300));
	assert_false(bitfield_get(&good, 301));
	assert_int_equal(bitfield_ones(&good), x.m.piece_count - 2);
	bitfield_release(&good);
	fixture_release(&x);
}

/* Whoever wrote it may have died before it could sync it: then the sync looks
 * after it, and notices that it has gone. */
static void
what_is_found_is_for_the_next_sync(void **unused)
{
	struct bitfield good;
	struct fixture x;

	(void)unused;
	start(&x, 1000);
	fixture_write_all(&x);
	fixture_open(&x);
	assert_int_equal(check(&x, 2, &good), 0);
	unlink(fixture_at(&x, "T.part/b"));
	assert_int_equal(files_sync(x.store, &x.e), -1);
	assert_string_equal(x.e.text, "'T.part/b' is gone: No such file or "
			    "directory");
	bitfield_release(&good);
	fixture_release(&x);
}

static void
what_is_found_wrong_is_not_for_the_next_sync(void **unused)
{
	struct bitfield good;
	struct fixture x;

	(void)unused;
	start(&x, 500000);
	fixture_write_all(&x);
	x.bytes[0] ^= 1;
	files_write(x.store, 0, x.bytes, 1, &x.e);
	fixture_open(&x);
	assert_int_equal(check(&x, 2, &good), 0);
	unlink(fixture_at(&x, "T.part/a"));
	assert_int_equal(files_sync(x.store, &x.e), 0);
	bitfield_release(&good);
	fixture_release(&x);
}

static void
nothing_on_disk_is_nothing_found(void **unused)
{
	struct bitfield good;
	struct fixture x;

	(void)unused;
	start(&x, 1000);
	assert_int_equal(check(&x, 2, &good), 0);
	assert_int_equal(bitfield_ones(&good), 0);
	bitfield_release(&good);
	fixture_release(&x);
}

static void
what_is_no_file_is_reported(void **unused)
{
	struct bitfield good;
	struct fixture x;

	(void)unused;
	start(&x, 1000);
	fixture_write_all(&x);
	unlink(fixture_at(&x, "T.part/b"));
	mkfifo(fixture_at(&x, "T.part/b"), 0666);
	fixture_open(&x);
	assert_int_equal(check(&x, 2, &good), -1);
	assert_int_equal(x.e.kind, ERROR_STORAGE);
	assert_int_equal(bitfield_ones(&good), x.m.piece_count - 2);
	bitfield_release(&good);
	fixture_release(&x);
}

/* 40 GiB of holes: reading them would take many seconds. */
static void
holes_are_passed_over(void **unused)
{
	const struct fixture_file file = { "x", 40ULL << 30, 0 };
	struct bitfield good;
	static struct fixture x;
	uint8_t zero_hash[SHA1_SIZE];
	void *zeros;

	(void)unused;
	fixture_torrent(&x, "x", 4 << 20, &file, 1);
	x.m.multi = false;
	fixture_dir(&x);
	x.pieces = calloc(x.m.piece_count, SHA1_SIZE);
	x.m.pieces = x.pieces;
	/* Zeros are the right content of one piece. */
	zeros = calloc(1, 4 << 20);
	hash_sha1(zero_hash, zeros, 4 << 20);
	free(zeros);
	memcpy(x.pieces + 77 * SHA1_SIZE, zero_hash, SHA1_SIZE);
	assert_int_equal(fixture_open_as(&x, NULL, FILES_SPARSE, 2), 0);
	assert_int_equal(files_write(x.store, 1ULL << 30, "data", 4, &x.e),
			 0);
	assert_int_equal(check(&x, 2, &good), 0);
	assert_int_equal(bitfield_ones(&good), 1);
	assert_true(bitfield_get(&good, 77));
	bitfield_release(&good);
	fixture_release(&x);
}

static void
zeros_are_told_from_data(void **unused)
{
	static const uint8_t zeros[20000], one = 1;
	struct fixture x;

	(void)unused;
	start(&x, 10000);
	assert_true(verify_is_zeros(x.store, 0, 300000));
	assert_int_equal(files_write(x.store, 0, zeros, sizeof(zeros), &x.e),
			 0);
	assert_true(verify_is_zeros(x.store, 0, sizeof(zeros)));
	assert_int_equal(files_write(x.store, sizeof(zeros) - 1, &one, 1,
				     &x.e), 0);
	assert_false(verify_is_zeros(x.store, 0, sizeof(zeros)));
	assert_true(verify_is_zeros(x.store, 0, sizeof(zeros) - 1));
	assert_true(verify_is_zeros(x.store, sizeof(zeros), 280000));
	/* Padding and what is not there. */
	assert_true(verify_is_zeros(x.store, 300000, 1700));
	fixture_release(&x);
}

static void
only_what_is_asked_for_is_checked(void **unused)
{
	struct verify_options o = { .threads = 2 };
	struct bitfield some, good;
	struct verify_progress progress;
	struct verify *v;
	struct fixture x;

	(void)unused;
	start(&x, 1000);
	fixture_write_all(&x);
	bitfield_init(&some, x.m.piece_count);
	bitfield_init(&good, x.m.piece_count);
	bitfield_set(&some, 3);
	bitfield_set(&some, x.m.piece_count - 1);
	bitfield_set(&good, 5);
	o.pieces = &some;
	v = verify_start(x.store, &o, &x.e);
	assert_int_equal(verify_join(v, &x.e), 0);
	verify_results(v, &good, NULL);
	verify_progress(v, &progress);
	assert_int_equal(progress.total, 1000 + x.m.length % 1000);
	assert_int_equal(bitfield_ones(&good), 3);
	verify_free(v);
	bitfield_release(&some);
	bitfield_release(&good);
	fixture_release(&x);
}

static void
count_call(void *ctx)
{
	atomic_fetch_add((_Atomic int *)ctx, 1);
}

static void
the_owner_is_told_once(void **unused)
{
	_Atomic int calls = 0;
	struct verify_options o = { .threads = 3, .done = count_call,
				    .ctx = &calls };
	struct bitfield none;
	struct verify *v;
	struct fixture x;

	(void)unused;
	start(&x, 1000);
	bitfield_init(&none, x.m.piece_count);
	o.pieces = &none;
	for (int i = 1; i <= 20; i++) {
		v = verify_start(x.store, &o, &x.e);
		assert_int_equal(verify_join(v, &x.e), 0);
		assert_int_equal(calls, i);
		verify_free(v);
		bitfield_fill(&none);
	}
	bitfield_release(&none);
	fixture_release(&x);
}

static void
what_was_not_found_out_is_left(void **unused)
{
	struct verify_options o = { .threads = 2 };
	struct bitfield all, have, left;
	struct verify *v;
	struct fixture x;

	(void)unused;
	start(&x, 1000);
	fixture_write_all(&x);
	/* Pieces 300 and 301 cannot be read, 2 is wrong. */
	unlink(fixture_at(&x, "T.part/b"));
	mkfifo(fixture_at(&x, "T.part/b"), 0666);
	x.bytes[2500] ^= 1;
	files_write(x.store, 2500, x.bytes + 2500, 1, &x.e);
	fixture_open(&x);
	bitfield_init(&all, x.m.piece_count);
	bitfield_init(&have, x.m.piece_count);
	bitfield_init(&left, x.m.piece_count);
	bitfield_fill(&all);
	bitfield_unset(&all, 4);
	bitfield_fill(&left);
	bitfield_set(&have, 2);
	bitfield_set(&have, 301);
	o.pieces = &all;
	v = verify_start(x.store, &o, &x.e);
	assert_int_equal(verify_join(v, &x.e), -1);
	verify_results(v, &have, &left);
	for (size_t i = 0; i < x.m.piece_count; i++) {
		bool unread = i == 300 || i == 301 || i == 4;

		assert_int_equal(bitfield_get(&left, i), unread);
		assert_int_equal(bitfield_get(&have, i),
				 i == 301 || (i != 2 && !unread));
	}
	verify_free(v);
	bitfield_release(&all);
	bitfield_release(&have);
	bitfield_release(&left);
	fixture_release(&x);
}

static void
it_stops_when_told(void **unused)
{
	const struct fixture_file file = { "x", 1ULL << 50, 0 };
	struct verify_options o = { .threads = 2 };
	struct bitfield all, have;
	struct verify *v;
	static struct fixture x;

	(void)unused;
	/* A file system has its limits: a short file in a long torrent. */
	fixture_torrent(&x, "x", 1 << 28, &file, 1);
	x.m.multi = false;
	fixture_dir(&x);
	x.pieces = calloc(x.m.piece_count, SHA1_SIZE);
	x.m.pieces = x.pieces;
	fixture_put(&x, "x", "x", 1);
	assert_int_equal(truncate(fixture_at(&x, "x"), 8LL << 40), 0);
	assert_int_equal(fixture_open_as(&x, NULL, FILES_NONE, 2), 0);
	bitfield_init(&all, x.m.piece_count);
	bitfield_init(&have, x.m.piece_count);
	bitfield_fill(&all);
	bitfield_fill(&have);
	o.pieces = &all;
	v = verify_start(x.store, &o, &x.e);
	verify_stop(v);
	assert_int_equal(verify_join(v, &x.e), -1);
	assert_int_equal(x.e.kind, ERROR_STOPPED);
	/* The sums of zeros took longer. */
	verify_results(v, &have, &all);
	assert_true(bitfield_full(&all));
	assert_true(bitfield_full(&have));
	verify_free(v);
	bitfield_release(&all);
	bitfield_release(&have);
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_data_is_found_right_at_any_piece_length),
		cmocka_unit_test(one_wrong_byte_costs_its_piece_only),
		cmocka_unit_test(
		    a_missing_file_costs_its_pieces_and_is_no_error),
		cmocka_unit_test(nothing_on_disk_is_nothing_found),
		cmocka_unit_test(what_is_found_is_for_the_next_sync),
		cmocka_unit_test(
			what_is_found_wrong_is_not_for_the_next_sync),
		cmocka_unit_test(what_is_no_file_is_reported),
		cmocka_unit_test(holes_are_passed_over),
		cmocka_unit_test(zeros_are_told_from_data),
		cmocka_unit_test(only_what_is_asked_for_is_checked),
		cmocka_unit_test(the_owner_is_told_once),
		cmocka_unit_test(what_was_not_found_out_is_left),
		cmocka_unit_test(it_stops_when_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
