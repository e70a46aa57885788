#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "net/rc4.h"

static int
open_library(void **state)
{
	*state = rc4_library_new(NULL);
	return 0;
}

static int
close_library(void **state)
{
	rc4_library_free(*state);
	return 0;
}

/* A machine without the legacy provider has nothing to test here. */
static struct rc4_library *
library(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static void
check_vector(struct rc4_library *l, const char *key, const char *text,
	     const uint8_t *expected)
{
	char data[64];
	size_t n = strlen(text);
	struct rc4 *r = rc4_new(l, key, strlen(key), 0);

	assert_non_null(r);
	snprintf(data, sizeof(data), "%s", text);
	rc4_crypt(r, data, n);
	assert_memory_equal(data, expected, n);
	rc4_free(r);
}

static void
known_vectors_come_out(void **state)
{
	static const uint8_t a[] = {0xBB, 0xF3, 0x16, 0xE8, 0xD9, 0x40, 0xAF,
				    0x0A, 0xD3};
	static const uint8_t b[] = {0x10, 0x21, 0xBF, 0x04, 0x20};
	static const uint8_t c[] = {0x45, 0xA0, 0x1F, 0x64, 0x5F, 0xC3, 0x5B,
				    0x38, 0x35, 0x52, 0x54, 0x4B, 0x9B, 0xF5};
	struct rc4_library *l = library(state);

	check_vector(l, "Key", "Plaintext", a);
	check_vector(l, "Wiki", "pedia", b);
	check_vector(l, "Secret", "Attack at dawn", c);
}

/* RFC 6229: a key of 128 bits, the stream from byte 1024 on. */
static void
dropped_bytes_are_passed_over(void **state)
{
	static const uint8_t key[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
					13, 14, 15, 16};
	static const uint8_t expected[16] = {0xbd, 0xf0, 0x32, 0x4e, 0x60,
					     0x83, 0xdc, 0xc6, 0xd3, 0xce,
					     0xdd, 0x3c, 0xa8, 0xc5, 0x3c,
					     0x16};
	uint8_t data[16] = {0};
	struct rc4 *r = rc4_new(library(state), key, sizeof(key), 1024);

	assert_non_null(r);
	rc4_crypt(r, data, sizeof(data));
	assert_memory_equal(data, expected, sizeof(data));
	rc4_free(r);
}

static void
a_stream_does_not_depend_on_its_portions(void **state)
{
	enum { SIZE = 3 << 20 };
	struct rc4_library *l = library(state);
	struct rc4 *whole = rc4_new(l, "12345678901234567890", 20, 7);
	struct rc4 *parts = rc4_new(l, "12345678901234567890", 20, 7);
	uint8_t *a = calloc(1, SIZE);
	uint8_t *b = calloc(1, SIZE);
	size_t at = 0;

	assert_true(whole && parts && a && b);
	rc4_crypt(whole, a, SIZE);
	for (size_t n = 1; at < SIZE; n = n * 3 + 1) {
		size_t part = n % 5000 < SIZE - at ? n % 5000 : SIZE - at;

		rc4_crypt(parts, b + at, part);
		at += part;
	}
	assert_memory_equal(a, b, SIZE);
	free(a);
	free(b);
	rc4_free(whole);
	rc4_free(parts);
}

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
static void
the_rest_of_the_process_sees_no_rc4(void **state)
{
	library(state);
	assert_null(EVP_CIPHER_fetch(NULL, "RC4", NULL));
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_vectors_come_out),
		cmocka_unit_test(dropped_bytes_are_passed_over),
		cmocka_unit_test(a_stream_does_not_depend_on_its_portions),
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
		cmocka_unit_test(the_rest_of_the_process_sees_no_rc4),
#endif
	};

	return cmocka_run_group_tests(tests, open_library, close_library);
}
