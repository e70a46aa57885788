#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

static void
set_reports_and_returns_minus_one(void **state)
{
	struct error e = {0};

	(void)state;
	e.sys = 5;
	assert_int_equal(error_set(&e, ERROR_DATA, "piece %d is bad", 7), -1);
	assert_int_equal(e.kind, ERROR_DATA);
	assert_int_equal(e.sys, 0);
	assert_string_equal(e.text, "piece 7 is bad");
}

static void
sys_says_why_and_keeps_errno(void **state)
{
	struct error e = {0};

	(void)state;
	assert_int_equal(error_sys(&e, ERROR_STORAGE, ENOSPC,
				   "cannot write '%s'", "a"), -1);
	assert_int_equal(e.kind, ERROR_STORAGE);
	assert_int_equal(e.sys, ENOSPC);
	assert_string_equal(e.text, "cannot write 'a': "
				    "No space left on device");
}

static void
prefix_keeps_kind_and_errno(void **state)
{
	struct error e = {0};

	(void)state;
	error_sys(&e, ERROR_STORAGE, EACCES, "cannot open 'f'");
	error_prefix(&e, "torrent %s", "t");
	assert_string_equal(e.text,
			    "torrent t: cannot open 'f': Permission denied");
	assert_int_equal(e.kind, ERROR_STORAGE);
	assert_int_equal(e.sys, EACCES);
}

static void
too_long_a_text_is_cut(void **state)
{
	struct error e = {0};
	char text[2 * ERROR_TEXT_MAX];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(&e, ERROR_DATA, "%s", text);
	assert_int_equal(strlen(e.text), ERROR_TEXT_MAX - 1);
	error_sys(&e, ERROR_DATA, EIO, "%s", text);
	assert_int_equal(strlen(e.text), ERROR_TEXT_MAX - 1);
	error_prefix(&e, "%s", text);
	assert_int_equal(strlen(e.text), ERROR_TEXT_MAX - 1);
}

static void
memory_is_an_internal_error(void **state)
{
	struct error e = {0};

	(void)state;
	assert_int_equal(error_memory(&e), -1);
	assert_int_equal(e.kind, ERROR_INTERNAL);
	assert_string_equal(e.text, "out of memory");
}

static void
clear_forgets_everything(void **state)
{
	struct error e = {0};

	(void)state;
	error_sys(&e, ERROR_DATA, EIO, "text");
	error_clear(&e);
	assert_int_equal(e.kind, ERROR_NONE);
	assert_int_equal(e.sys, 0);
	assert_string_equal(e.text, "");
}

static void
a_null_report_is_dropped(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, ERROR_DATA, "text"), -1);
	assert_int_equal(error_sys(NULL, ERROR_DATA, EIO, "text"), -1);
	assert_int_equal(error_memory(NULL), -1);
	error_prefix(NULL, "text");
	error_clear(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_reports_and_returns_minus_one),
		cmocka_unit_test(sys_says_why_and_keeps_errno),
		cmocka_unit_test(prefix_keeps_kind_and_errno),
		cmocka_unit_test(too_long_a_text_is_cut),
		cmocka_unit_test(memory_is_an_internal_error),
		cmocka_unit_test(clear_forgets_everything),
		cmocka_unit_test(a_null_report_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
