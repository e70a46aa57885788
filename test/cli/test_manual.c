/*
 * The manual has every option of the table, and no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"

#define MANUAL "docs/btget.1"

/* The page without the backslashes of "\-". */
static char *
read_manual(void)
{
	FILE *f = fopen(MANUAL, "r");
	char *text = calloc(1, 1 << 20);
	size_t n = 0;
	int c;

	if (!f)
		fail_msg("%s cannot be opened; run this in the project's "
			 "folder", MANUAL);
	while ((c = getc(f)) != EOF && n < (1 << 20) - 1) {
		int next = c == '\\' ? getc(f) : EOF;

		if (next == '-')
			c = '-';
		else if (next != EOF)
			ungetc(next, f);
		text[n++] = (char)c;
	}
	fclose(f);
	return text;
}

static bool
is_name(char c)
{
	return islower((unsigned char)c) || isdigit((unsigned char)c) ||
	       c == '-';
}

static bool
has_option(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (; (text = strstr(text, "--")) != NULL; text += 2)
		if (strncmp(text + 2, name, n) == 0 && !is_name(text[2 + n]))
			return true;
	return false;
}

static void
every_option_is_in_the_manual(void **state)
{
	char *text = read_manual();

	(void)state;
	for (size_t i = 0; i < options_count; i++) {
		const struct option_row *row = &options_table[i];
		char both[80];

		if (!has_option(text, row->name))
			fail_msg("--%s is not in %s", row->name, MANUAL);
		if (!row->letter)
			continue;
		snprintf(both, sizeof(both), ".BR -%c \", \" --%s", row->letter,
			 row->name);
		if (!strstr(text, both))
			fail_msg("%s is not in %s", both, MANUAL);
	}
	free(text);
}

static bool
is_option(const char *name, size_t n)
{
	for (size_t i = 0; i < options_count; i++)
		if (strlen(options_table[i].name) == n &&
		    memcmp(options_table[i].name, name, n) == 0)
			return true;
	return false;
}

static void
the_manual_has_no_other_option(void **state)
{
	char *text = read_manual();
	const char *at = text;

	(void)state;
	while ((at = strstr(at, "--")) != NULL) {
		size_t n = 0;

		at += 2;
		while (is_name(at[n]))
			n++;
		if (n && !is_option(at, n))
			fail_msg("--%.*s is in %s, but is no option", (int)n,
				 at, MANUAL);
		at += n;
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_option_is_in_the_manual),
		cmocka_unit_test(the_manual_has_no_other_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
