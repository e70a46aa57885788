#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"

/* The sample messages of FIPS 180-2. */
#define ABC_SHA1 "a9993e364706816aba3e25717850c26c9cd0d89d"
#define ABC_SHA256 \
	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define EMPTY_SHA1 "da39a3ee5e6b4b0d3255bfef95601890afd80709"

static void
assert_hex(const uint8_t *raw, size_t n, const char *hex)
{
	char text[2 * SHA256_SIZE + 1];

	hex_encode(text, raw, n);
	assert_string_equal(text, hex);
}

static void
whole_messages_hash_as_the_standard_says(void **state)
{
	uint8_t out[SHA256_SIZE];

	(void)state;
	hash_sha1(out, "abc", 3);
	assert_hex(out, SHA1_SIZE, ABC_SHA1);
	hash_sha1(out, "", 0);
	assert_hex(out, SHA1_SIZE, EMPTY_SHA1);
	hash_sha256(out, "abc", 3);
	assert_hex(out, SHA256_SIZE, ABC_SHA256);
}

static void
parts_hash_like_the_whole(void **state)
{
	uint8_t out[SHA256_SIZE];
	struct hash *h = hash_new(HASH_SHA1);

	(void)state;
	assert_non_null(h);
	hash_add(h, "a", 1);
	hash_add(h, "", 0);
	hash_add(h, "bc", 2);
	hash_end(h, out);
	assert_hex(out, SHA1_SIZE, ABC_SHA1);
	hash_free(h);
}

static void
a_hash_serves_message_after_message(void **state)
{
	uint8_t out[SHA256_SIZE];
	struct hash *h = hash_new(HASH_SHA256);

	(void)state;
	assert_non_null(h);
	hash_add(h, "rubbish", 7);
	hash_start(h);
	hash_add(h, "abc", 3);
	hash_end(h, out);
	assert_hex(out, SHA256_SIZE, ABC_SHA256);
	hash_start(h);
	hash_add(h, "abc", 3);
	hash_end(h, out);
	assert_hex(out, SHA256_SIZE, ABC_SHA256);
	hash_free(h);
}

static void
nothing_can_be_freed(void **state)
{
	(void)state;
	hash_free(NULL);
}

static void
random_bytes_fill_exactly_their_target(void **state)
{
	uint8_t a[64], b[64];

	(void)state;
	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	random_bytes(a, 32);
	random_bytes(b, 32);
	assert_memory_not_equal(a, b, 32);
	for (size_t i = 32; i < 64; i++)
		assert_int_equal(a[i], 0);
	assert_true(random_u64() != random_u64());
}

static int refusal;

/* In the place of libc's. */
ssize_t
getrandom(void *out, size_t n, unsigned flags)
{
	if (refusal) {
		errno = refusal;
		return -1;
	}
	return syscall(SYS_getrandom, out, n, flags);
}

static void
random_bytes_need_no_call_of_the_kernel(void **state)
{
	static const int refusals[] = {ENOSYS, EPERM};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		refusal = refusals[i];
		random_bytes_fill_exactly_their_target(NULL);
	}
	refusal = 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_messages_hash_as_the_standard_says),
		cmocka_unit_test(parts_hash_like_the_whole),
		cmocka_unit_test(a_hash_serves_message_after_message),
		cmocka_unit_test(nothing_can_be_freed),
		cmocka_unit_test(random_bytes_fill_exactly_their_target),
		cmocka_unit_test(random_bytes_need_no_call_of_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
