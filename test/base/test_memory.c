#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"

#define PAGES 64
#define PAGE 4096

static size_t
present(void *at)
{
	unsigned char in[PAGES];
	size_t n = 0;

	assert_int_equal(mincore(at, (size_t)PAGES * PAGE, in), 0);
	for (size_t i = 0; i < PAGES; i++)
		n += in[i] & 1;
	return n;
}

static void *
fresh(void)
{
	void *at = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

static void
whole_pages_are_made(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *at = fresh();

	(void)state;
	if (page != PAGE)
		skip();
	assert_int_equal(present(at), 0);
	/* Of the first page and the last one a part is not meant. */
	memory_expect(at + 1, (size_t)PAGES * PAGE - 2);
#ifdef MADV_POPULATE_WRITE
	assert_int_equal(present(at), PAGES - 2);
#endif
	munmap(at, (size_t)PAGES * PAGE);
}

static void
contents_stay(void **state)
{
	uint8_t *at = fresh();

	(void)state;
	memset(at, 7, PAGE + 100);
	memory_expect(at, (size_t)PAGES * PAGE);
	for (size_t i = 0; i < PAGE + 100; i++)
		assert_int_equal(at[i], 7);
	assert_int_equal(at[PAGE + 100], 0);
	munmap(at, (size_t)PAGES * PAGE);
}

static void
less_than_a_page_is_nothing(void **state)
{
	uint8_t *at = fresh();

	(void)state;
	memory_expect(at + 1, PAGE);
	memory_expect(at, 0);
	assert_int_equal(present(at), 0);
	munmap(at, (size_t)PAGES * PAGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_pages_are_made),
		cmocka_unit_test(contents_stay),
		cmocka_unit_test(less_than_a_page_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
