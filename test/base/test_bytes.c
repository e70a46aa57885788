#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"

static const uint8_t sample[] = {1, 2, 3, 4, 5, 6, 7, 8,
				 9, 10, 11, 12, 13, 14, 15};

static void
reader_takes_big_endian_numbers_in_turn(void **state)
{
	struct bytes b = bytes_over(sample, sizeof(sample));

	(void)state;
	assert_int_equal(bytes_u8(&b), 1);
	assert_int_equal(bytes_u16(&b), 0x0203);
	assert_int_equal(bytes_u32(&b), 0x04050607);
	assert_true(bytes_u64(&b) == 0x08090a0b0c0d0e0fULL);
	assert_int_equal(b.left, 0);
	assert_false(bytes_failed(&b));
}

static void
reader_stays_failed_and_gives_zeros(void **state)
{
	struct bytes b = bytes_over(sample, 3);

	(void)state;
	assert_int_equal(bytes_u32(&b), 0);
	assert_true(bytes_failed(&b));
	assert_int_equal(bytes_u8(&b), 0);
	assert_int_equal(bytes_u16(&b), 0);
	assert_true(bytes_u64(&b) == 0);
	assert_null(bytes_take(&b, 0));
	assert_int_equal(b.left, 3);
}

static void
take_lends_the_bytes_where_they_lie(void **state)
{
	struct bytes b = bytes_over(sample, sizeof(sample));

	(void)state;
	assert_ptr_equal(bytes_take(&b, 5), sample);
	assert_ptr_equal(bytes_take(&b, 10), sample + 5);
	assert_null(bytes_take(&b, 1));
}

static void
take_survives_the_largest_size(void **state)
{
	struct bytes b = bytes_over(sample, sizeof(sample));

	(void)state;
	assert_null(bytes_take(&b, SIZE_MAX));
	assert_true(bytes_failed(&b));
}

static void
copy_zeroes_its_target_on_failure(void **state)
{
	struct bytes b = bytes_over(sample, 4);
	uint8_t out[8];

	(void)state;
	assert_true(bytes_copy(&b, out, 2));
	assert_memory_equal(out, sample, 2);
	memset(out, 0xff, sizeof(out));
	assert_false(bytes_copy(&b, out, 8));
	for (size_t i = 0; i < sizeof(out); i++)
		assert_int_equal(out[i], 0);
}

static void
reader_over_nothing_gives_nothing(void **state)
{
	struct bytes b = bytes_over(NULL, 0);

	(void)state;
	assert_true(bytes_copy(&b, NULL, 0));
	assert_false(bytes_failed(&b));
	bytes_u8(&b);
	assert_true(bytes_failed(&b));
}

static void
buffer_writes_what_the_reader_reads(void **state)
{
	struct buffer out;
	struct bytes in;

	(void)state;
	buffer_init(&out, 100);
	buffer_u8(&out, 0xab);
	buffer_u16(&out, 0xabcd);
	buffer_u32(&out, 0xabcdef01);
	buffer_u64(&out, 0xabcdef0123456789ULL);
	buffer_put(&out, "xy", 2);
	in = bytes_over(out.data, out.used);
	assert_int_equal(bytes_u8(&in), 0xab);
	assert_int_equal(bytes_u16(&in), 0xabcd);
	assert_true(bytes_u32(&in) == 0xabcdef01);
	assert_true(bytes_u64(&in) == 0xabcdef0123456789ULL);
	assert_memory_equal(bytes_take(&in, 2), "xy", 2);
	assert_int_equal(in.left, 0);
	buffer_release(&out);
}

static void
buffer_grows_to_its_cap_and_no_further(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 10000);
	for (int i = 0; i < 10000; i++)
		buffer_u8(&b, (uint8_t)i);
	assert_false(b.failed);
	assert_int_equal(b.used, 10000);
	for (size_t i = 0; i < b.used; i++)
		assert_int_equal(b.data[i], (uint8_t)i);
	buffer_u8(&b, 1);
	assert_true(b.failed);
	assert_int_equal(b.used, 10000);
	assert_null(buffer_room(&b, SIZE_MAX));
	buffer_release(&b);
}

/* For a sanitizer, to ask for so much is an error. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || \
		   __has_feature(thread_sanitizer))
#else
#define SANITIZED false
#endif

/* Twice the size is then no size at all; it was given as room. */
static void
buffer_of_half_of_all_addresses_does_not_turn_round(void **state)
{
	struct buffer b;

	(void)state;
	if (SANITIZED)
		skip();
	buffer_init(&b, SIZE_MAX / 2 + 1);
	b.size = SIZE_MAX / 2 + 1;
	b.used = b.size - 10;
	assert_null(buffer_room(&b, 10));
	assert_true(b.failed);
	buffer_release(&b);
}

static void
buffer_counts_without_memory(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init_count(&b, SIZE_MAX);
	buffer_put(&b, NULL, SIZE_MAX - 3);
	buffer_str(&b, "ab");
	buffer_u8(&b, 0);
	assert_int_equal(b.used, SIZE_MAX);
	assert_false(b.failed);
	buffer_u8(&b, 0);
	assert_true(b.failed);
	assert_null(buffer_text(&b));
	assert_null(b.data);
}

static void
buffer_stays_failed_until_cleared(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 4);
	buffer_str(&b, "12345");
	buffer_str(&b, "1");
	assert_true(b.failed);
	assert_int_equal(b.used, 0);
	assert_null(buffer_text(&b));
	buffer_clear(&b);
	buffer_str(&b, "1234");
	assert_false(b.failed);
	assert_string_equal(buffer_text(&b), "1234");
	buffer_release(&b);
}

static void
buffer_text_is_terminated_at_the_cap(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 0);
	assert_string_equal(buffer_text(&b), "");
	buffer_release(&b);
	buffer_init(&b, 256);
	for (int i = 0; i < 256; i++)
		buffer_u8(&b, 'x');
	assert_int_equal(strlen(buffer_text(&b)), 256);
	assert_int_equal(b.used, 256);
	buffer_release(&b);
}

static void
buffer_url_escapes_what_no_url_may_hold(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 60);
	buffer_url(&b, "http://h/a%20%c\xc3\xa9+?\xff#z", 20);
	assert_string_equal(buffer_text(&b), "http://h/a%20%c%C3%A9+?%FF");
	buffer_release(&b);
}

static void
buffer_printf_appends(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 20);
	buffer_printf(&b, "%d-%s", 12, "ab");
	buffer_printf(&b, "!");
	assert_string_equal(buffer_text(&b), "12-ab!");
	buffer_printf(&b, "%30d", 1);
	assert_true(b.failed);
	assert_int_equal(b.used, 6);
	buffer_release(&b);
}

static void
buffer_drop_moves_the_rest_to_the_front(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 20);
	buffer_str(&b, "abcdef");
	buffer_drop(&b, 2);
	assert_string_equal(buffer_text(&b), "cdef");
	buffer_drop(&b, 100);
	assert_int_equal(b.used, 0);
	buffer_release(&b);
}

static void
a_released_buffer_can_be_used_again(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 4);
	buffer_str(&b, "abcd");
	buffer_release(&b);
	buffer_release(&b);
	assert_int_equal(b.used, 0);
	buffer_str(&b, "xyz");
	assert_string_equal(buffer_text(&b), "xyz");
	buffer_release(&b);
}

static void
hex_goes_there_and_back(void **state)
{
	static const uint8_t raw[] = {0x00, 0x9f, 0xa0, 0xff};
	char text[9];
	uint8_t back[4];

	(void)state;
	hex_encode(text, raw, 4);
	assert_string_equal(text, "009fa0ff");
	assert_true(hex_decode(back, 4, "009FA0ff", 8));
	assert_memory_equal(back, raw, 4);
}

static void
hex_of_another_form_is_refused(void **state)
{
	uint8_t out[2];

	(void)state;
	assert_false(hex_decode(out, 2, "001", 3));
	assert_false(hex_decode(out, 2, "00112", 5));
	assert_false(hex_decode(out, 2, "00g1", 4));
	assert_false(hex_decode(out, 2, "0x11", 4));
	assert_false(hex_decode(out, 2, "00 1", 4));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reader_takes_big_endian_numbers_in_turn),
		cmocka_unit_test(reader_stays_failed_and_gives_zeros),
		cmocka_unit_test(take_lends_the_bytes_where_they_lie),
		cmocka_unit_test(take_survives_the_largest_size),
		cmocka_unit_test(copy_zeroes_its_target_on_failure),
		cmocka_unit_test(reader_over_nothing_gives_nothing),
		cmocka_unit_test(buffer_writes_what_the_reader_reads),
		cmocka_unit_test(buffer_grows_to_its_cap_and_no_further),
		cmocka_unit_test(
		    buffer_of_half_of_all_addresses_does_not_turn_round),
		cmocka_unit_test(buffer_counts_without_memory),
		cmocka_unit_test(buffer_stays_failed_until_cleared),
		cmocka_unit_test(buffer_text_is_terminated_at_the_cap),
		cmocka_unit_test(buffer_url_escapes_what_no_url_may_hold),
		cmocka_unit_test(buffer_printf_appends),
		cmocka_unit_test(buffer_drop_moves_the_rest_to_the_front),
		cmocka_unit_test(a_released_buffer_can_be_used_again),
		cmocka_unit_test(hex_goes_there_and_back),
		cmocka_unit_test(hex_of_another_form_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
