#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "session/blocklist_file.h"
#include "support/folder.h"

#define FILE_PATH "blocklist"

static struct blocklist *
read_text(const char *text, size_t size, struct error *e)
{
	FILE *f = fopen(FILE_PATH, "w");
	struct blocklist *b;

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
	error_clear(e);
	b = blocklist_file_read(FILE_PATH, NULL, e);
	unlink(FILE_PATH);
	return b;
}

static void
says(const char *text, const char *want)
{
	struct error e;

	assert_null(read_text(text, strlen(text), &e));
	assert_int_equal(e.kind, ERROR_USAGE);
	assert_string_equal(e.text, want);
}

static void
every_line_is_read_the_last_one_too(void **state)
{
	static const char text[] = "\xef\xbb\xbf" "1.0.0.0/8\r\n# c\n\n"
				   "x:2.0.0.1-2.0.0.9\n::1";
	struct blocklist *b;
	struct error e;

	(void)state;
	b = read_text(text, sizeof(text) - 1, &e);
	assert_non_null(b);
	assert_int_equal(blocklist_ranges(b), 3);
	blocklist_free(b);
	b = read_text("", 0, &e);
	assert_non_null(b);
	assert_int_equal(blocklist_ranges(b), 0);
	blocklist_free(b);
}

static void
lines_across_portions_are_whole(void **state)
{
	static char text[400000];
	struct blocklist *b;
	struct error e;
	size_t used = 0;
	unsigned n = 0;

	(void)state;
	/* Lines of different lengths, so that borders fall anywhere. */
	for (; used < sizeof(text) - 100; n++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "%*s10.%u.%u.7\n", (int)(n % 17),
					 "", n / 256, n % 256);
	b = read_text(text, used, &e);
	assert_non_null(b);
	assert_int_equal(blocklist_ranges(b), n);
	blocklist_free(b);
}

static void
a_mistake_names_the_file_and_the_line(void **state)
{
	(void)state;
	says("1.2.3.4\n#\nwhat\n", FILE_PATH ":3: 'what' is no address, "
	     "network or range");
	says("\x1f\x8b", FILE_PATH ":1: it is compressed: unpack it first");
}

static void
one_odd_line_of_a_hundred_is_left_out(void **state)
{
	char text[4096] = "what\n";
	size_t used = strlen(text);
	struct blocklist *b;
	struct error e;

	(void)state;
	for (unsigned n = 0; n < 99; n++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "10.0.%u.7 - 10.0.%u.7 , 000 , x\n",
					 n, n);
	says(text, FILE_PATH ":1: 'what' is no address, network or range");
	used += (size_t)snprintf(text + used, sizeof(text) - used,
				 "10.1.0.0\n");
	b = read_text(text, used, &e);
	assert_non_null(b);
	assert_int_equal(blocklist_ranges(b), 100);
	blocklist_free(b);
	strcpy(text + used, "1.2.3.9-1.2.3.4\n");
	says(text, FILE_PATH ":1: 'what' is no address, network or range");
}

static void
a_line_without_an_end_is_refused(void **state)
{
	static char text[100000];
	struct error e;

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_null(read_text(text, sizeof(text), &e));
	assert_string_equal(e.text, FILE_PATH ":1: a line over 1024 bytes");
}

static void
a_file_that_cannot_be_read_is_an_error(void **state)
{
	struct error e;

	(void)state;
	assert_null(blocklist_file_read("/nowhere", NULL, &e));
	assert_int_equal(e.kind, ERROR_USAGE);
	assert_string_equal(e.text, "cannot read '/nowhere': No such file or "
			    "directory");
	assert_null(blocklist_file_read("/", NULL, &e));
	assert_string_equal(e.text, "cannot read '/': Is a directory");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_is_read_the_last_one_too),
		cmocka_unit_test(lines_across_portions_are_whole),
		cmocka_unit_test(a_mistake_names_the_file_and_the_line),
		cmocka_unit_test(one_odd_line_of_a_hundred_is_left_out),
		cmocka_unit_test(a_line_without_an_end_is_refused),
		cmocka_unit_test(a_file_that_cannot_be_read_is_an_error),
	};

	return cmocka_run_group_tests(tests, folder_enter, folder_leave);
}
