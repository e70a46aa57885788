#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sync.h"
#include "swarm/hasher.h"

#define BLOCK 16384u
#define LENGTH (5 * BLOCK + 77)
#define SAME_PLACE 512		/* pieces so far apart share their slots */

/* The disk: piece i holds `data` with i added to each byte. */
struct disk {
	struct hasher *h;
	uint8_t data[LENGTH];
	_Atomic size_t read;	/* bytes */
	bool broken;
};

static int
read_disk(void *ctx, uint32_t piece, uint32_t offset, void *buf, size_t n,
	  struct error *e)
{
	struct disk *d = ctx;
	uint8_t *out = buf;

	if (d->broken)
		return error_set(e, ERROR_STORAGE, "broken");
	assert_true(n <= LENGTH && offset <= LENGTH - n);
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(d->data[offset + i] + piece);
	d->read += n;
	return 0;
}

static int
setup(void **state)
{
	struct disk *d = calloc(1, sizeof(*d));
	struct hasher_source source = {read_disk, d};

	for (size_t i = 0; i < LENGTH; i++)
		d->data[i] = (uint8_t)(i * 7 + i / 256);
	d->h = hasher_new(&source, 10 * SAME_PLACE, NULL);
	*state = d;
	return d->h ? 0 : -1;
}

static int
teardown(void **state)
{
	struct disk *d = *state;

	hasher_free(d->h);
	free(d);
	return 0;
}

static void
feed(struct disk *d, uint32_t piece, uint32_t block)
{
	uint32_t offset = block * BLOCK;
	uint32_t n = LENGTH - offset < BLOCK ? LENGTH - offset : BLOCK;
	uint8_t buf[BLOCK];

	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)(d->data[offset + i] + piece);
	hasher_feed(d->h, piece, offset, buf, n);
}

/* Settles the piece, which must be right; the bytes that were read back. */
static size_t
settle(struct disk *d, uint32_t piece)
{
	uint8_t whole[LENGTH], want[SHA1_SIZE], got[SHA1_SIZE];

	for (size_t i = 0; i < LENGTH; i++)
		whole[i] = (uint8_t)(d->data[i] + piece);
	hash_sha1(want, whole, LENGTH);
	d->read = 0;
	assert_int_equal(hasher_settle(d->h, piece, LENGTH, got, NULL), 0);
	assert_memory_equal(got, want, SHA1_SIZE);
	return d->read;
}

static void
hasher_reads_nothing_of_a_piece_that_came_in_order(void **state)
{
	for (uint32_t i = 0; i < 6; i++)
		feed(*state, 3, i);
	assert_int_equal(settle(*state, 3), 0);
}

static void
hasher_reads_what_came_early(void **state)
{
	feed(*state, 3, 0);
	feed(*state, 3, 2);
	feed(*state, 3, 1);
	feed(*state, 3, 3);
	for (uint32_t i = 4; i < 6; i++)
		feed(*state, 3, i);
	assert_int_equal(settle(*state, 3), LENGTH - 2 * BLOCK);
}

static void
hasher_reads_a_piece_whole_that_it_does_not_know(void **state)
{
	assert_int_equal(settle(*state, 9), LENGTH);
	feed(*state, 9, 1);	/* not from its beginning */
	assert_int_equal(settle(*state, 9), LENGTH);
}

static void
hasher_begins_anew_after_settling(void **state)
{
	feed(*state, 3, 0);
	assert_int_equal(settle(*state, 3), LENGTH - BLOCK);
	assert_int_equal(settle(*state, 3), LENGTH);
	feed(*state, 3, 0);
	assert_int_equal(settle(*state, 3), LENGTH - BLOCK);
}

static void
hasher_forgets_what_is_dropped(void **state)
{
	feed(*state, 3, 0);
	hasher_drop(*(struct hasher **)*state, 3);
	assert_int_equal(settle(*state, 3), LENGTH);
}

static void
hasher_is_right_when_there_is_no_room(void **state)
{
	for (uint32_t block = 0; block < 6; block++)
		for (uint32_t i = 0; i < 6; i++)
			feed(*state, i * SAME_PLACE, block);
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(settle(*state, i * SAME_PLACE),
				 i < 4 ? 0 : LENGTH);
}

static void
hasher_reports_what_cannot_be_read(void **state)
{
	struct disk *d = *state;
	uint8_t got[SHA1_SIZE];
	struct error e;

	feed(d, 3, 0);
	d->broken = true;
	assert_int_equal(hasher_settle(d->h, 3, LENGTH, got, &e), -1);
	assert_int_equal(e.kind, ERROR_STORAGE);
	d->broken = false;
	assert_int_equal(settle(d, 3), LENGTH);
}

struct feeder {
	struct disk *d;
	struct thread thread;
	uint32_t first;
};

static void
feed_some(void *arg)
{
	struct feeder *f = arg;

	for (uint32_t piece = 0; piece < 200; piece++)
		for (uint32_t block = f->first; block < 6; block += 2)
			feed(f->d, piece, block);
}

static void
hasher_is_right_whoever_feeds_it(void **state)
{
	struct feeder f[2] = {{.d = *state}, {.d = *state, .first = 1}};

	for (int i = 0; i < 2; i++)
		assert_int_equal(thread_start(&f[i].thread, "feed",
					      THREAD_STACK_LARGE, feed_some,
					      &f[i], NULL), 0);
	for (int i = 0; i < 2; i++)
		thread_join(&f[i].thread);
	for (uint32_t piece = 0; piece < 200; piece++)
		settle(*state, piece);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(hasher_reads_nothing_of_a_piece_that_came_in_order),
		TEST(hasher_reads_what_came_early),
		TEST(hasher_reads_a_piece_whole_that_it_does_not_know),
		TEST(hasher_begins_anew_after_settling),
		TEST(hasher_forgets_what_is_dropped),
		TEST(hasher_is_right_when_there_is_no_room),
		TEST(hasher_reports_what_cannot_be_read),
		TEST(hasher_is_right_whoever_feeds_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
