#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>

#include "base/bitfield.h"

/* Sizes around the borders of bytes and words. */
static const size_t counts[] = {0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 1000};
#define COUNTS (sizeof(counts) / sizeof(counts[0]))

static void
a_new_set_is_empty(void **state)
{
	(void)state;
	for (size_t n = 0; n < COUNTS; n++) {
		struct bitfield b;

		assert_int_equal(bitfield_init(&b, counts[n]), 0);
		assert_int_equal(bitfield_ones(&b), 0);
		assert_int_equal(bitfield_next(&b, NULL, 0), counts[n]);
		bitfield_release(&b);
	}
}

static void
index_0_is_the_high_bit_of_the_first_byte(void **state)
{
	struct bitfield b;

	(void)state;
	assert_int_equal(bitfield_init(&b, 20), 0);
	bitfield_set(&b, 0);
	bitfield_set(&b, 9);
	assert_int_equal(bitfield_bytes(&b), 3);
	assert_int_equal(b.bits[0], 0x80);
	assert_int_equal(b.bits[1], 0x40);
	bitfield_unset(&b, 0);
	assert_int_equal(b.bits[0], 0);
	assert_false(bitfield_get(&b, 0));
	assert_true(bitfield_get(&b, 9));
	bitfield_release(&b);
}

static void
fill_leaves_spare_bits_zero(void **state)
{
	(void)state;
	for (size_t n = 0; n < COUNTS; n++) {
		struct bitfield b;

		assert_int_equal(bitfield_init(&b, counts[n]), 0);
		bitfield_fill(&b);
		assert_int_equal(bitfield_ones(&b), counts[n]);
		assert_true(bitfield_full(&b));
		if (counts[n] > 0) {
			bitfield_unset(&b, counts[n] - 1);
			assert_false(bitfield_full(&b));
		}
		bitfield_zero(&b);
		assert_int_equal(bitfield_ones(&b), 0);
		bitfield_release(&b);
	}
}

static void
load_takes_wire_bytes(void **state)
{
	static const uint8_t wire[] = {0xa0, 0x80};
	struct bitfield b;

	(void)state;
	assert_int_equal(bitfield_init(&b, 9), 0);
	assert_true(bitfield_load(&b, wire, 2));
	assert_true(bitfield_get(&b, 0));
	assert_false(bitfield_get(&b, 1));
	assert_true(bitfield_get(&b, 2));
	assert_true(bitfield_get(&b, 8));
	bitfield_release(&b);
}

static void
load_refuses_wrong_sizes_and_spare_bits(void **state)
{
	static const uint8_t wire[] = {0xff, 0xc0, 0};
	struct bitfield b;

	(void)state;
	assert_int_equal(bitfield_init(&b, 9), 0);
	assert_false(bitfield_load(&b, wire, 1));
	assert_false(bitfield_load(&b, wire, 3));
	assert_false(bitfield_load(&b, wire, 2));
	assert_int_equal(bitfield_ones(&b), 0);
	bitfield_release(&b);
}

static void
copy_makes_equal_sets(void **state)
{
	struct bitfield a, b;

	(void)state;
	assert_int_equal(bitfield_init(&a, 100), 0);
	assert_int_equal(bitfield_init(&b, 100), 0);
	bitfield_set(&a, 3);
	bitfield_set(&a, 99);
	bitfield_set(&b, 50);
	bitfield_copy(&b, &a);
	assert_int_equal(bitfield_ones(&b), 2);
	assert_true(bitfield_get(&b, 3));
	assert_true(bitfield_get(&b, 99));
	bitfield_release(&a);
	bitfield_release(&b);
}

/* The plain way, one index at a time. */
static size_t
slow_next(const struct bitfield *a, const struct bitfield *not_in, size_t from)
{
	for (size_t i = from; i < a->count; i++) {
		if (bitfield_get(a, i) && !(not_in && bitfield_get(not_in, i)))
			return i;
	}
	return a->count;
}

static void
next_agrees_with_one_index_at_a_time(void **state)
{
	uint32_t random = 12345;

	(void)state;
	for (size_t n = 0; n < COUNTS; n++) {
		struct bitfield a, b;

		assert_int_equal(bitfield_init(&a, counts[n]), 0);
		assert_int_equal(bitfield_init(&b, counts[n]), 0);
		for (size_t i = 0; i < counts[n]; i++) {
			random = random * 1664525 + 1013904223;
			if (random >> 30 == 0)
				bitfield_set(&a, i);
			if (random >> 29 & 1)
				bitfield_set(&b, i);
		}
		for (size_t i = 0; i <= counts[n]; i++) {
			assert_int_equal(bitfield_next(&a, NULL, i),
					 slow_next(&a, NULL, i));
			assert_int_equal(bitfield_next(&a, &b, i),
					 slow_next(&a, &b, i));
		}
		bitfield_release(&a);
		bitfield_release(&b);
	}
}

static void
sets_are_added_and_taken_away(void **state)
{
	const size_t count = 77;
	struct bitfield a, b, sum, rest;

	(void)state;
	bitfield_init(&a, count);
	bitfield_init(&b, count);
	bitfield_init(&sum, count);
	bitfield_init(&rest, count);
	for (size_t i = 0; i < count; i++) {
		if (i % 2 == 0)
			bitfield_set(&a, i);
		if (i % 3 == 0)
			bitfield_set(&b, i);
	}
	bitfield_copy(&sum, &a);
	bitfield_copy(&rest, &a);
	bitfield_add(&sum, &b);
	bitfield_remove(&rest, &b);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(bitfield_get(&sum, i),
				 i % 2 == 0 || i % 3 == 0);
		assert_int_equal(bitfield_get(&rest, i),
				 i % 2 == 0 && i % 3 != 0);
	}
	bitfield_release(&a);
	bitfield_release(&b);
	bitfield_release(&sum);
	bitfield_release(&rest);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_set_is_empty),
		cmocka_unit_test(index_0_is_the_high_bit_of_the_first_byte),
		cmocka_unit_test(fill_leaves_spare_bits_zero),
		cmocka_unit_test(load_takes_wire_bytes),
		cmocka_unit_test(load_refuses_wrong_sizes_and_spare_bits),
		cmocka_unit_test(copy_makes_equal_sets),
		cmocka_unit_test(next_agrees_with_one_index_at_a_time),
		cmocka_unit_test(sets_are_added_and_taken_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
