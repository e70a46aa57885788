#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session/exit.h"

static void
the_smallest_code_that_is_not_0_counts(void **state)
{
	(void)state;
	assert_int_equal(exit_merge(0, 0), 0);
	assert_int_equal(exit_merge(0, 6), 6);
	assert_int_equal(exit_merge(6, 0), 6);
	assert_int_equal(exit_merge(6, 4), 4);
	assert_int_equal(exit_merge(3, 5), 3);
}

static void
code_1_counts_last(void **state)
{
	(void)state;
	assert_int_equal(exit_merge(1, 8), 8);
	assert_int_equal(exit_merge(8, 1), 8);
	assert_int_equal(exit_merge(1, 0), 1);
	assert_int_equal(exit_merge(1, 1), 1);
}

static void
each_kind_of_error_has_its_code(void **state)
{
	(void)state;
	assert_int_equal(exit_for(ERROR_NONE), 0);
	assert_int_equal(exit_for(ERROR_INTERNAL), 1);
	assert_int_equal(exit_for(ERROR_USAGE), 2);
	assert_int_equal(exit_for(ERROR_TORRENT), 3);
	assert_int_equal(exit_for(ERROR_STORAGE), 4);
	assert_int_equal(exit_for(ERROR_NETWORK), 5);
	assert_int_equal(exit_for(ERROR_DATA), 6);
	assert_int_equal(exit_for(ERROR_LOCKED), 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_code_that_is_not_0_counts),
		cmocka_unit_test(code_1_counts_last),
		cmocka_unit_test(each_kind_of_error_has_its_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
