#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sync.h"
#include "meta/merkle.h"
#include "meta/metainfo.h"
#include "swarm/verify_v2.h"

#define BLOCK 16384u
#define PIECE (4 * BLOCK)
#define LENGTH (2 * PIECE + BLOCK + 77)	/* 3 pieces, the last of 2 blocks */
#define SMALL 5000u		/* the second file: one piece, one block */
#define PIECES 4

/* A torrent of two files, and its data in memory. */
struct disk {
	struct metainfo m;
	struct metainfo_file files[2];
	struct metainfo_tree trees[2];
	uint8_t layer[3 * SHA256_SIZE];
	uint8_t roots[2][SHA256_SIZE];
	uint8_t data[PIECES * PIECE];
	struct verify_v2 *v;
	size_t read;		/* bytes */
	bool broken;
};

static int
read_disk(void *ctx, uint32_t piece, uint32_t offset, void *buf, size_t n,
	  struct error *e)
{
	struct disk *d = ctx;

	if (d->broken)
		return error_set(e, ERROR_STORAGE, "broken");
	memcpy(buf, d->data + (size_t)piece * PIECE + offset, n);
	d->read += n;
	return 0;
}

/* The hash of n bytes, as a tree of at least so many levels. */
static void
root_of(uint8_t *out, const uint8_t *data, size_t n, unsigned level)
{
	struct hash *h = hash_new(HASH_SHA256);
	struct merkle t;

	assert_non_null(h);
	merkle_begin(&t, h, 0);
	merkle_add_bytes(&t, data, n);
	merkle_end(&t, out, level);
	hash_free(h);
}

static int
setup(void **state)
{
	struct disk *d = calloc(1, sizeof(*d));
	struct hasher_source source = {read_disk, d};

	assert_non_null(d);
	for (size_t i = 0; i < LENGTH; i++)
		d->data[i] = (uint8_t)(i * 7 + i / 256);
	memset(d->data + 3 * PIECE, 's', SMALL);
	for (size_t i = 0; i < 3; i++)
		root_of(d->layer + i * SHA256_SIZE, d->data + i * PIECE,
			i < 2 ? PIECE : LENGTH - 2 * PIECE, 2);
	root_of(d->roots[0], d->data, LENGTH, 0);
	root_of(d->roots[1], d->data + 3 * PIECE, SMALL, 0);
	d->files[0].length = LENGTH;
	d->files[1] = (struct metainfo_file){.offset = 3 * PIECE,
					     .length = SMALL};
	d->trees[0] = (struct metainfo_tree){d->roots[0], d->layer, 3};
	d->trees[1] = (struct metainfo_tree){.root = d->roots[1]};
	d->m = (struct metainfo){
		.has_v2 = true, .piece_length = PIECE, .piece_count = PIECES,
		.length = PIECES * PIECE, .content_length = LENGTH + SMALL,
		.files = d->files, .trees = d->trees, .file_count = 2};
	d->v = verify_v2_new(&d->m, &source, NULL);
	*state = d;
	return d->v ? 0 : -1;
}

static int
teardown(void **state)
{
	struct disk *d = *state;

	verify_v2_free(d->v);
	free(d);
	return 0;
}

static void
feed(struct disk *d, uint32_t piece, uint32_t block)
{
	uint32_t offset = block * BLOCK;
	uint32_t n = metainfo_piece_size(&d->m, piece) - offset;

	verify_v2_feed(d->v, piece, offset,
		       d->data + (size_t)piece * PIECE + offset,
		       n < BLOCK ? n : BLOCK);
}

static void
blocks_that_came_in_any_order_are_not_read_again(void **state)
{
	struct disk *d = *state;

	feed(d, 0, 2);
	feed(d, 0, 0);
	feed(d, 2, 1);
	feed(d, 0, 3);
	feed(d, 0, 1);
	feed(d, 2, 0);
	feed(d, 3, 0);
	assert_int_equal(verify_v2_settle(d->v, 0, NULL), VERIFY_V2_RIGHT);
	assert_int_equal(verify_v2_settle(d->v, 2, NULL), VERIFY_V2_RIGHT);
	assert_int_equal(verify_v2_settle(d->v, 3, NULL), VERIFY_V2_RIGHT);
	assert_int_equal(d->read, 0);
}

static void
blocks_that_were_left_out_are_read_back(void **state)
{
	struct disk *d = *state;

	feed(d, 1, 2);
	assert_int_equal(verify_v2_settle(d->v, 1, NULL), VERIFY_V2_RIGHT);
	assert_int_equal(d->read, 3 * BLOCK);
	assert_int_equal(verify_v2_settle(d->v, 2, NULL), VERIFY_V2_RIGHT);
	assert_int_equal(d->read, 4 * BLOCK + 77);
}

static void
a_wrong_block_makes_the_piece_wrong(void **state)
{
	struct disk *d = *state;

	d->data[LENGTH - 1] ^= 1;
	feed(d, 2, 1);
	assert_int_equal(verify_v2_settle(d->v, 2, NULL), VERIFY_V2_WRONG);
	/* What was kept is gone: the next try is judged by itself. */
	d->data[LENGTH - 1] ^= 1;
	assert_int_equal(verify_v2_settle(d->v, 2, NULL), VERIFY_V2_RIGHT);
}

static void
a_piece_that_is_dropped_is_forgotten(void **state)
{
	struct disk *d = *state;

	d->data[0] ^= 1;
	feed(d, 0, 0);
	verify_v2_drop(d->v, 0);
	d->data[0] ^= 1;
	assert_int_equal(verify_v2_settle(d->v, 0, NULL), VERIFY_V2_RIGHT);
}

static void
padding_of_a_hybrid_does_not_count(void **state)
{
	struct disk *d = *state;
	uint8_t block[BLOCK];

	memset(block, 'p', sizeof(block));
	verify_v2_feed(d->v, 2, 2 * BLOCK, block, BLOCK);
	memcpy(block, d->data + 2 * PIECE + BLOCK, 77);
	verify_v2_feed(d->v, 2, BLOCK, block, BLOCK);
	feed(d, 2, 0);
	assert_int_equal(verify_v2_settle(d->v, 2, NULL), VERIFY_V2_RIGHT);
}

static void
without_a_layer_nothing_is_known(void **state)
{
	struct disk *d = *state;

	d->trees[0].layer = NULL;
	feed(d, 0, 0);
	assert_int_equal(verify_v2_settle(d->v, 0, NULL), VERIFY_V2_UNKNOWN);
	assert_int_equal(verify_v2_settle(d->v, 3, NULL), VERIFY_V2_RIGHT);
}

static void
a_disk_that_fails_is_told(void **state)
{
	struct disk *d = *state;
	struct error e = {0};

	d->broken = true;
	assert_int_equal(verify_v2_settle(d->v, 0, &e), VERIFY_V2_FAILED);
	assert_int_equal(e.kind, ERROR_STORAGE);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(blocks_that_came_in_any_order_are_not_read_again),
		T(blocks_that_were_left_out_are_read_back),
		T(a_wrong_block_makes_the_piece_wrong),
		T(a_piece_that_is_dropped_is_forgotten),
		T(padding_of_a_hybrid_does_not_count),
		T(without_a_layer_nothing_is_known),
		T(a_disk_that_fails_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
