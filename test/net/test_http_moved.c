#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/http_moved.h"

static void
expect(const struct http_moved *m, const char *url, const char *where)
{
	char *found = http_moved_find(m, url);

	if (where) {
		assert_non_null(found);
		assert_string_equal(found, where);
	} else {
		assert_null(found);
	}
	free(found);
}

static void
nothing_is_known_at_first(void **state)
{
	struct http_moved m = {0};

	(void)state;
	expect(&m, "http://a/x", NULL);
	http_moved_release(&m);
}

static void
neighbours_have_moved_too(void **state)
{
	struct http_moved m = {0};

	(void)state;
	http_moved_note(&m, "http://a.org/download/item/one.jpg",
			"https://b.a.org/12/items/item/one.jpg");
	expect(&m, "http://a.org/download/item/one.jpg",
	       "https://b.a.org/12/items/item/one.jpg");
	expect(&m, "http://a.org/download/item/sub/two",
	       "https://b.a.org/12/items/item/sub/two");
	expect(&m, "http://a.org/download/more", "https://b.a.org/12/items/"
						 "more");
	expect(&m, "http://a.org/other/one.jpg", NULL);
	expect(&m, "http://a.org/download/", NULL);
	expect(&m, "http://a.org/", NULL);
	http_moved_release(&m);
}

static void
another_protocol_is_a_move(void **state)
{
	struct http_moved m = {0};

	(void)state;
	http_moved_note(&m, "http://a.org/f/1", "https://a.org/f/1");
	expect(&m, "http://a.org/f/2", "https://a.org/f/2");
	http_moved_release(&m);
}

static void
other_names_are_known_alone(void **state)
{
	struct http_moved m = {0};

	(void)state;
	http_moved_note(&m, "http://a/f/1", "http://b/f/1?token=5");
	expect(&m, "http://a/f/1", "http://b/f/1?token=5");
	expect(&m, "http://a/f/2", NULL);
	/* The last letters of a name are none. */
	http_moved_note(&m, "http://a/f/one", "http://b/g/clone");
	expect(&m, "http://a/f/two", NULL);
	expect(&m, "http://a/f/one", "http://b/g/clone");
	expect(&m, "http://a/f/1", NULL);
	http_moved_release(&m);
}

static void
a_wrong_guess_is_the_last(void **state)
{
	struct http_moved m = {0};

	(void)state;
	http_moved_note(&m, "http://a/1", "http://b/1");
	expect(&m, "http://a/2", "http://b/2");
	http_moved_wrong(&m, "http://a/2");
	expect(&m, "http://a/1", NULL);
	http_moved_note(&m, "http://a/2", "http://c/2");
	expect(&m, "http://a/2", "http://c/2");
	expect(&m, "http://a/3", NULL);
	http_moved_release(&m);
}

static void
what_has_moved_again_was_no_guess(void **state)
{
	struct http_moved m = {0};

	(void)state;
	http_moved_note(&m, "http://a/1", "http://b/1");
	http_moved_wrong(&m, "http://a/1");
	expect(&m, "http://a/1", NULL);
	http_moved_note(&m, "http://a/1", "http://c/1");
	expect(&m, "http://a/2", "http://c/2");
	http_moved_release(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known_at_first),
		cmocka_unit_test(neighbours_have_moved_too),
		cmocka_unit_test(another_protocol_is_a_move),
		cmocka_unit_test(other_names_are_known_alone),
		cmocka_unit_test(a_wrong_guess_is_the_last),
		cmocka_unit_test(what_has_moved_again_was_no_guess),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
