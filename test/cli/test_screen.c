#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "cli/screen.h"

#define BEGIN "\033[?2026h"
#define END "\033[J\033[?2026l"

static const struct screen_size SIZE = { 80, 24 };

static void
paints(struct screen *s, const char *frame, const struct screen_size *size,
       const char *want)
{
	struct buffer out;

	buffer_init(&out, 65536);
	screen_paint(s, &out, frame, size);
	assert_string_equal(buffer_text(&out), want);
	buffer_release(&out);
}

static void
the_first_frame_begins_where_the_cursor_is(void **state)
{
	struct screen s = { 0 };

	(void)state;
	paints(&s, "one\ntwo\n", &SIZE,
	       BEGIN "\033[?25l\rone\033[K\r\ntwo\033[K\r\n" END);
}

static void
later_frames_replace_it(void **state)
{
	struct screen s = { 0 };

	(void)state;
	paints(&s, "one\ntwo\n", &SIZE,
	       BEGIN "\033[?25l\rone\033[K\r\ntwo\033[K\r\n" END);
	paints(&s, "three\n", &SIZE,
	       BEGIN "\r\033[2Athree\033[K\r\n" END);
	paints(&s, "four\n", &SIZE, BEGIN "\r\033[1Afour\033[K\r\n" END);
}

static void
lines_that_a_smaller_screen_wrapped_are_gone_over(void **state)
{
	const struct screen_size narrow = { 4, 24 };
	struct screen s = { 0 };

	(void)state;
	paints(&s, "\033[36m日本\033[0m6\nx\n", &SIZE,
	       BEGIN "\033[?25l\r\033[36m日本\033[0m6\033[K\r\nx\033[K\r\n"
	       END);
	paints(&s, "y\n", &narrow, BEGIN "\r\033[3Ay\033[K\r\n" END);
}

static void
the_cursor_never_leaves_the_screen(void **state)
{
	const struct screen_size low = { 80, 2 };
	struct screen s = { 0 };

	(void)state;
	paints(&s, "1\n2\n3\n", &SIZE,
	       BEGIN "\033[?25l\r1\033[K\r\n2\033[K\r\n3\033[K\r\n" END);
	paints(&s, "4\n", &low, BEGIN "\r\033[1A4\033[K\r\n" END);
}

static void
clearing_makes_room_for_other_lines(void **state)
{
	struct screen s = { 0 };
	struct buffer out;

	(void)state;
	buffer_init(&out, 4096);
	paints(&s, "one\n", &SIZE,
	       BEGIN "\033[?25l\rone\033[K\r\n" END);
	screen_clear(&s, &out, &SIZE);
	assert_string_equal(buffer_text(&out), "\r\033[1A\033[J");
	paints(&s, "two\n", &SIZE, BEGIN "\rtwo\033[K\r\n" END);
	buffer_release(&out);
}

static void
the_end_shows_the_cursor_once(void **state)
{
	struct screen s = { 0 };
	struct buffer out;

	(void)state;
	buffer_init(&out, 4096);
	screen_end(&s, &out);
	assert_int_equal(out.used, 0);
	paints(&s, "one\n", &SIZE,
	       BEGIN "\033[?25l\rone\033[K\r\n" END);
	screen_end(&s, &out);
	screen_end(&s, &out);
	assert_string_equal(buffer_text(&out), "\033[?25h");
	buffer_release(&out);
}

static void
after_others_wrote_the_frame_begins_anew(void **state)
{
	struct screen s = { 0 };

	(void)state;
	paints(&s, "one\n", &SIZE,
	       BEGIN "\033[?25l\rone\033[K\r\n" END);
	screen_forget(&s);
	paints(&s, "one\n", &SIZE,
	       BEGIN "\033[?25l\rone\033[K\r\n" END);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_frame_begins_where_the_cursor_is),
		cmocka_unit_test(later_frames_replace_it),
		cmocka_unit_test(
		    lines_that_a_smaller_screen_wrapped_are_gone_over),
		cmocka_unit_test(the_cursor_never_leaves_the_screen),
		cmocka_unit_test(clearing_makes_room_for_other_lines),
		cmocka_unit_test(the_end_shows_the_cursor_once),
		cmocka_unit_test(after_others_wrote_the_frame_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
