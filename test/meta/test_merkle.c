#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "meta/merkle.h"

#define LAYER_MAX 16

static struct hash *h;

static int
make_hash(void **state)
{
	(void)state;
	h = hash_new(HASH_SHA256);
	return h ? 0 : -1;
}

static int
free_hash(void **state)
{
	(void)state;
	hash_free(h);
	return 0;
}

/* The layer is the hashes of the bytes 0, 1, ...; the wanted roots were
 * computed by another program, level by level. */
static void
assert_root(size_t count, unsigned level, const char *want)
{
	uint8_t layer[LAYER_MAX * SHA256_SIZE];
	uint8_t root[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	for (size_t i = 0; i < count; i++) {
		uint8_t byte = (uint8_t)i;

		hash_sha256(layer + i * SHA256_SIZE, &byte, 1);
	}
	merkle_root(h, root, layer, count, level);
	hex_encode(hex, root, SHA256_SIZE);
	assert_string_equal(hex, want);
}

static void
root_of_one_hash_is_that_hash(void **state)
{
	(void)state;
	assert_root(1, 0, "6e340b9cffb37a989ca544e6bb780a2c"
			  "78901d3fb33738768511a30617afa01d");
	assert_root(1, 5, "6e340b9cffb37a989ca544e6bb780a2c"
			  "78901d3fb33738768511a30617afa01d");
}

static void
root_of_a_full_layer_needs_no_padding(void **state)
{
	(void)state;
	assert_root(2, 0, "30e1867424e66e8b6d159246db94e348"
			  "6778136f7e386ff5f001859d6b8484ab");
}

static void
root_is_padded_to_a_power_of_two(void **state)
{
	(void)state;
	assert_root(3, 0, "7ee5fcde741ff935e2c5fee3f08c8761"
			  "b800957f20035d9d5dac2897f942a5eb");
	assert_root(6, 0, "4e3af77bf9c09c78d7341f5cf79db5a3"
			  "93ba0dd2d7c6dba3864de06ed349f46e");
}

static void
padding_fits_the_level_of_the_layer(void **state)
{
	(void)state;
	assert_root(5, 2, "62591b2b4fcd4d2399e79def66857551"
			  "fd297b875f6817b7829fa276cd31f97c");
	assert_root(11, 3, "29eb6de5d6ccd57423ed7627bdb5bc90"
			   "da05c82fadc4435eb9d4ed4831a2eff2");
}

/* The same root, from bytes that come in odd portions. */
static void
bytes_make_the_tree_of_their_blocks(void **state)
{
	enum { SIZE = 5 * MERKLE_BLOCK + 77 };
	static uint8_t data[SIZE];
	uint8_t leaves[6 * SHA256_SIZE], want[SHA256_SIZE], got[SHA256_SIZE];
	struct merkle m;

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i * 31 + i / 255);
	for (size_t i = 0; i < 6; i++)
		hash_sha256(leaves + i * SHA256_SIZE,
			    data + i * MERKLE_BLOCK,
			    i < 5 ? MERKLE_BLOCK : 77);
	merkle_root(h, want, leaves, 6, 0);
	merkle_begin(&m, h, 0);
	for (size_t at = 0, n; at < SIZE; at += n) {
		n = SIZE - at < 9999 ? SIZE - at : 9999;
		merkle_add_bytes(&m, data + at, n);
	}
	merkle_end(&m, got, 0);
	assert_memory_equal(got, want, SHA256_SIZE);
}

/* A file's last piece is as high as the others. */
static void
tree_grows_to_the_level_that_is_asked_for(void **state)
{
	uint8_t leaf[SHA256_SIZE], pad[SHA256_SIZE], want[SHA256_SIZE];
	uint8_t got[SHA256_SIZE];
	struct merkle m;

	(void)state;
	hash_sha256(leaf, "x", 1);
	merkle_begin(&m, h, 0);
	merkle_add_bytes(&m, "x", 1);
	merkle_end(&m, got, 2);
	merkle_pad(h, pad, 0);
	merkle_parent(h, want, leaf, pad);
	merkle_pad(h, pad, 1);
	merkle_parent(h, want, want, pad);
	assert_memory_equal(got, want, SHA256_SIZE);

	/* As high already, or higher. */
	merkle_begin(&m, h, 1);
	merkle_add_hash(&m, leaf);
	merkle_end(&m, got, 1);
	assert_memory_equal(got, leaf, SHA256_SIZE);
}

static void
level_is_that_of_the_piece_length(void **state)
{
	(void)state;
	assert_int_equal(merkle_level(MERKLE_BLOCK), 0);
	assert_int_equal(merkle_level(2 * MERKLE_BLOCK), 1);
	assert_int_equal(merkle_level(1 << 20), 6);
	assert_int_equal(merkle_level(256u << 20), 14);
}

static void
pad_of_level_one_is_the_parent_of_zeros(void **state)
{
	uint8_t zeros[2 * SHA256_SIZE] = {0};
	uint8_t want[SHA256_SIZE], pad[SHA256_SIZE];

	(void)state;
	merkle_pad(h, pad, 0);
	assert_memory_equal(pad, zeros, SHA256_SIZE);
	merkle_pad(h, pad, 1);
	hash_sha256(want, zeros, sizeof(zeros));
	assert_memory_equal(pad, want, SHA256_SIZE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_of_one_hash_is_that_hash),
		cmocka_unit_test(root_of_a_full_layer_needs_no_padding),
		cmocka_unit_test(root_is_padded_to_a_power_of_two),
		cmocka_unit_test(padding_fits_the_level_of_the_layer),
		cmocka_unit_test(bytes_make_the_tree_of_their_blocks),
		cmocka_unit_test(tree_grows_to_the_level_that_is_asked_for),
		cmocka_unit_test(level_is_that_of_the_piece_length),
		cmocka_unit_test(pad_of_level_one_is_the_parent_of_zeros),
	};

	return cmocka_run_group_tests(tests, make_hash, free_hash);
}
