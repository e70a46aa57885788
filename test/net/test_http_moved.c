#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/http_moved.h"

/* NULL: not known; else whether it is a guess is checked as well. */
static void
expect(const struct http_moved *m, const char *url, const char *where,
       bool guess)
{
	bool guessed = false;
	char *found = http_moved_find(m, url, &guessed);

	if (where) {
		assert_non_null(found);
		assert_string_equal(found, where);
		assert_int_equal(guessed, guess);
	} else {
		assert_null(found);
	}
	free(found);
}

/* The name of the folder begins behind `place`. */
static void
note(struct http_moved *m, const char *place, const char *rest, const char *to)
{
	char from[100];

	snprintf(from, sizeof(from), "%s%s", place, rest);
	http_moved_note(m, from, to, strlen(place));
}

static void
nothing_is_known_at_first(void **state)
{
	struct http_moved m = {0};

	(void)state;
	expect(&m, "http://a/x", NULL, false);
	http_moved_release(&m);
}

static void
others_of_the_folder_have_moved_too(void **state)
{
	struct http_moved m = {0};

	(void)state;
	note(&m, "http://a.org/download/", "item/one.jpg",
	     "https://b.a.org/12/items/item/one.jpg");
	expect(&m, "http://a.org/download/item/one.jpg",
	       "https://b.a.org/12/items/item/one.jpg", false);
	expect(&m, "http://a.org/download/item/sub/two",
	       "https://b.a.org/12/items/item/sub/two", true);
	expect(&m, "http://a.org/other/one.jpg", NULL, false);
	expect(&m, "http://a.org/download/", NULL, false);
	expect(&m, "http://a.org/", NULL, false);
	http_moved_release(&m);
}

static void
another_protocol_is_a_move(void **state)
{
	struct http_moved m = {0};

	(void)state;
	note(&m, "http://a.org/", "f/1", "https://a.org/f/1");
	expect(&m, "http://a.org/f/2", "https://a.org/f/2", true);
	http_moved_release(&m);
}

static void
other_names_are_known_alone(void **state)
{
	struct http_moved m = {0};

	(void)state;
	note(&m, "http://a/", "f/1", "http://b/f/1?token=5");
	expect(&m, "http://a/f/1", "http://b/f/1?token=5", false);
	expect(&m, "http://a/f/2", NULL, false);
	/* The last letters of a name are none. */
	note(&m, "http://a/", "f/one", "http://b/pdf/one");
	expect(&m, "http://a/f/two", NULL, false);
	/* A number of its own before it: the name alone may be decoration. */
	note(&m, "http://a/", "f/one", "http://b/5/one");
	expect(&m, "http://a/f/one", "http://b/5/one", false);
	expect(&m, "http://a/f/two", NULL, false);
	http_moved_release(&m);
}

static void
one_file_has_no_neighbours(void **state)
{
	struct http_moved m = {0};

	(void)state;
	http_moved_note(&m, "http://a/f/1", "http://b/f/1", 0);
	expect(&m, "http://a/f/1", "http://b/f/1", false);
	expect(&m, "http://a/f/2", NULL, false);
	http_moved_release(&m);
}

static void
a_wrong_guess_is_the_last(void **state)
{
	struct http_moved m = {0};

	(void)state;
	note(&m, "http://a/", "f/1", "http://b/f/1");
	expect(&m, "http://a/f/2", "http://b/f/2", true);
	note(&m, "http://a/", "f/2", "http://c/f/2");
	http_moved_wrong(&m, "http://a/f/2", "http://b/f/2", true);
	expect(&m, "http://a/f/2", "http://c/f/2", false);
	expect(&m, "http://a/f/3", NULL, false);
	note(&m, "http://a/", "f/3", "http://b/f/3");
	expect(&m, "http://a/f/4", NULL, false);
	http_moved_release(&m);
}

static void
what_is_found_without_a_redirect_was_a_wrong_guess(void **state)
{
	struct http_moved m = {0};

	(void)state;
	note(&m, "http://a/", "f/1", "http://b/f/1");
	http_moved_wrong(&m, "http://a/f/2", "http://b/f/2", true);
	expect(&m, "http://a/f/1", NULL, false);
	http_moved_release(&m);
}

static void
a_guess_that_is_not_trusted_is_the_last(void **state)
{
	struct http_moved m = {0};

	(void)state;
	note(&m, "http://a/", "f/1", "http://b/f/1");
	http_moved_no_guess(&m);
	expect(&m, "http://a/f/2", NULL, false);
	note(&m, "http://a/", "f/2", "http://b/f/2");
	expect(&m, "http://a/f/2", "http://b/f/2", false);
	expect(&m, "http://a/f/3", NULL, false);
	http_moved_release(&m);
}

static void
a_guess_that_the_server_confirms_was_right(void **state)
{
	struct http_moved m = {0};

	(void)state;
	note(&m, "http://a/", "f/2", "http://b/f/2");
	http_moved_wrong(&m, "http://a/f/2", "http://b/f/2", true);
	expect(&m, "http://a/f/3", "http://b/f/3", true);
	http_moved_release(&m);
}

static void
what_has_moved_again_was_no_guess(void **state)
{
	struct http_moved m = {0};

	(void)state;
	note(&m, "http://a/", "f/1", "http://b/f/1");
	http_moved_wrong(&m, "http://a/f/1", "http://b/f/1", false);
	expect(&m, "http://a/f/1", NULL, false);
	note(&m, "http://a/", "f/1", "http://c/f/1");
	http_moved_wrong(&m, "http://a/f/1", "http://b/f/1", false);
	expect(&m, "http://a/f/2", "http://c/f/2", true);
	http_moved_release(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known_at_first),
		cmocka_unit_test(others_of_the_folder_have_moved_too),
		cmocka_unit_test(another_protocol_is_a_move),
		cmocka_unit_test(other_names_are_known_alone),
		cmocka_unit_test(one_file_has_no_neighbours),
		cmocka_unit_test(a_wrong_guess_is_the_last),
		cmocka_unit_test(
		    what_is_found_without_a_redirect_was_a_wrong_guess),
		cmocka_unit_test(a_guess_that_is_not_trusted_is_the_last),
		cmocka_unit_test(a_guess_that_the_server_confirms_was_right),
		cmocka_unit_test(what_has_moved_again_was_no_guess),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
