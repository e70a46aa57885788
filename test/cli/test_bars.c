#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/bars.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct bars_torrent
downloading(const char *name)
{
	struct bars_torrent t;

	memset(&t, 0, sizeof(t));
	snprintf(t.stats.name, sizeof(t.stats.name), "%s", name);
	t.stats.state = TORRENT_DOWNLOADING;
	t.stats.length = 3 * GIB;
	t.stats.done = 3 * GIB / 8;
	t.stats.down_rate = 3 * MIB / 2;
	t.stats.up_rate = 120 * 1024;
	t.stats.peers = 12;
	t.stats.seeds = 3;
	t.stats.eta = 250;
	for (size_t i = 0; i < BARS_CELLS_MAX; i++)
		t.cells[i] = (uint8_t)(i % 9);
	return t;
}

static void
paints(const struct bars_look *look, const struct bars_torrent *t,
       size_t count, const char *want)
{
	struct buffer out;
	size_t lines;
	size_t newlines = 0;

	buffer_init(&out, 1 << 20);
	lines = bars_paint(&out, look, t, count);
	for (size_t i = 0; i < out.used; i++)
		newlines += out.data[i] == '\n';
	assert_string_equal(buffer_text(&out), want);
	assert_int_equal(lines, newlines);
	buffer_release(&out);
}

static void
a_line_shows_parts_and_figures(void **state)
{
	const struct bars_look look = { 79, 24, true, false };
	struct bars_torrent t = downloading("debian.iso");

	(void)state;
	paints(&look, &t, 1,
	       "debian.iso  [ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█]  12%   384M/3.0G  ↓1.5M"
	       "  ↑120K   12p 3s  4m10s\n");
}

static void
ascii_screens_get_ascii(void **state)
{
	const struct bars_look look = { 79, 24, false, false };
	struct bars_torrent t = downloading("déjà");

	(void)state;
	paints(&look, &t, 1,
	       "d?j?        [ .,:-=+*# .,:-=+*#]  12%   384M/3.0G  v1.5M"
	       "  ^120K   12p 3s  4m10s\n");
}

static void
wide_screens_get_words(void **state)
{
	const struct bars_look look = { 140, 24, true, false };
	struct bars_torrent t = downloading("debian.iso");

	(void)state;
	paints(&look, &t, 1,
	       "debian.iso          [ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂]  "
	       "12.5%       384 MiB/3.0 GiB    ↓1.5 MiB/s    ↑120 KiB/s"
	       "   12 peers 3 seeds  4m10s left\n");
}

static void
narrow_screens_lose_the_least_telling_first(void **state)
{
	struct bars_look look = { 60, 24, true, false };
	struct bars_torrent t = downloading("debian.iso");

	(void)state;
	paints(&look, &t, 1, "debian.… [ ▁▂▃▄▅▆▇█]  12%   384M/3.0G"
	       "  ↓1.5M   12p 3s  4m10s\n");
	look.columns = 40;
	paints(&look, &t, 1, "debian.… [ ▁▂▃▄▅▆▇█ ]  12%  ↓1.5M  4m10s\n");
	look.columns = 20;
	paints(&look, &t, 1, "debian.iso       12%\n");
	look.columns = 8;
	paints(&look, &t, 1, "     12%\n");
	look.columns = 2;
	paints(&look, &t, 1, "1…\n");
	look.columns = 1;
	paints(&look, &t, 1, "1\n");
}

static void
no_line_is_ever_wider_than_the_screen(void **state)
{
	static const char *const names[] = {
		"x", "日本語の名前がとても長いファイル.iso",
		"a very long name that goes on and on and on, on and on",
		"e\xcc\x81\xcc\x81\xcc\x81", "",
	};
	struct buffer out;

	(void)state;
	buffer_init(&out, 1 << 20);
	for (unsigned columns = 1; columns <= 220; columns++)
		for (unsigned s = TORRENT_LOADING; s <= TORRENT_FAILED; s++)
			for (size_t n = 0; n < 5; n++) {
				struct bars_look look = { columns, 24,
							  n % 2 == 1, false };
				struct bars_torrent t = downloading(names[n]);

				t.stats.state = (enum torrent_state)s;
				t.stats.stalled = s == TORRENT_DOWNLOADING;
				t.stats.eta = 1LL << 50;
				t.stats.peers = t.stats.seeds = 4000000000u;
				t.stats.down_rate = UINT64_MAX;
				t.stats.up_rate = UINT64_MAX;
				strcpy(t.stats.reason, "tracker: 日本");
				buffer_clear(&out);
				bars_paint(&out, &look, &t, 1);
				out.used--;
				assert_in_range(
				    text_columns(buffer_text(&out)), 0,
				    columns);
			}
	buffer_release(&out);
}

static void
a_full_percentage_means_complete(void **state)
{
	const struct bars_look look = { 30, 24, true, false };
	struct bars_torrent t = downloading("x");

	(void)state;
	t.stats.length = UINT64_MAX;
	t.stats.done = UINT64_MAX - 1;
	paints(&look, &t, 1, "x        [ ▁▂▃▄▅▆▇█ ▁▂▃▄]  99%\n");
	t.stats.done = UINT64_MAX;
	t.stats.complete = true;
	paints(&look, &t, 1, "x        [██████████████] 100%\n");
}

static void
states_stand_where_the_rates_were(void **state)
{
	const struct bars_look look = { 79, 24, true, false };
	struct bars_torrent t = downloading("x");

	(void)state;
	t.stats.stalled = true;
	strcpy(t.stats.reason, "no seeds");
	paints(&look, &t, 1,
	       "x           [ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█]  12%   384M/3.0G stalled: "
	       "no seeds\n");
	t.stats.stalled = false;
	t.stats.state = TORRENT_CHECKING;
	t.stats.checked = 3 * GIB / 2;
	t.stats.reason[0] = '\0';
	paints(&look, &t, 1,
	       "x           [ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█]  50%   1.5G/3.0G checking\n");
	t.stats.state = TORRENT_METADATA;
	t.stats.length = t.stats.done = 0;
	memset(t.cells, 0, sizeof(t.cells));
	paints(&look, &t, 1,
	       "x           [                  ]    -             metadata, 12 "
	       "peers\n");
	t.stats.state = TORRENT_SEEDING;
	t.stats.length = t.stats.done = GIB;
	t.stats.complete = true;
	t.stats.peers = 1;
	paints(&look, &t, 1,
	       "x           [██████████████████] 100%        1.0G seeding ↑120K "
	       "to 1 peer\n");
	t.stats.state = TORRENT_FAILED;
	t.stats.complete = false;
	strcpy(t.stats.reason, "cannot write 'x.part': No space left on it");
	paints(&look, &t, 1,
	       "x           [                  ] 100%        1.0G failed: cannot"
	       " write 'x.part…\n");
}

static void
several_torrents_have_a_total(void **state)
{
	const struct bars_look look = { 79, 24, true, false };
	struct bars_torrent t[2] = { downloading("one"), downloading("two") };

	(void)state;
	memset(t[0].cells, 0, sizeof(t[0].cells));
	memset(t[1].cells, 0, sizeof(t[1].cells));
	t[1].stats.done = 3 * GIB / 8 * 7;
	paints(&look, t, 2,
	       "one         [                  ]  12%   384M/3.0G  ↓1.5M  ↑120K"
	       "   12p 3s  4m10s\n"
	       "two         [                  ]  87%   2.6G/3.0G  ↓1.5M  ↑120K"
	       "   12p 3s  4m10s\n"
	       "total of 2  [█████████         ]  50%   3.0G/6.0G  ↓3.0M  ↑240K"
	       "   24p 6s 17m04s\n");
}

static void
those_at_work_are_shown_when_rows_are_few(void **state)
{
	const struct bars_look look = { 20, 3, true, false };
	struct bars_torrent t[4] = { downloading("done"), downloading("one"),
				     downloading("seed"), downloading("two") };

	(void)state;
	t[0].stats.state = TORRENT_COMPLETE;
	t[2].stats.state = TORRENT_SEEDING;
	paints(&look, t, 4,
	       "one              12%\n"
	       "two              12%\n"
	       "total of 4       12%\n");
}

static void
one_row_holds_the_total(void **state)
{
	const struct bars_look look = { 20, 1, true, false };
	struct bars_torrent t[2] = { downloading("one"), downloading("two") };

	(void)state;
	paints(&look, t, 2, "total of 2       12%\n");
}

static void
colour_is_closed_on_the_line_where_it_began(void **state)
{
	const struct bars_look look = { 30, 24, true, true };
	struct bars_torrent t = downloading("x");

	(void)state;
	paints(&look, &t, 1,
	       "x        [\033[36m ▁▂▃▄▅▆▇█ ▁▂▃▄\033[0m]  12%\n");
}

static void
the_session_is_asked_for_as_many_cells_as_are_shown(void **state)
{
	struct bars_look look = { 79, 24, true, false };

	(void)state;
	assert_int_equal(bars_cells(&look), 18);
	look.columns = 10;
	assert_int_equal(bars_cells(&look), 0);
	look.columns = 10000;
	assert_int_equal(bars_cells(&look), BARS_CELLS_MAX);
}

static void
fits(const char *text, unsigned columns, const char *want)
{
	struct buffer out;

	buffer_init(&out, 4096);
	bars_fit(&out, text, columns, true);
	assert_string_equal(out.used ? buffer_text(&out) : "", want);
	buffer_release(&out);
}

static void
text_is_cut_at_characters_and_padded(void **state)
{
	(void)state;
	fits("abc", 5, "abc  ");
	fits("abcdef", 4, "abc…");
	fits("日本語", 6, "日本語");
	fits("日本語", 5, "日本…");
	fits("日本語", 4, "日… ");
	fits("日本", 1, " ");
	fits("abc", 1, "a");
	fits("abc", 0, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_shows_parts_and_figures),
		cmocka_unit_test(ascii_screens_get_ascii),
		cmocka_unit_test(wide_screens_get_words),
		cmocka_unit_test(narrow_screens_lose_the_least_telling_first),
		cmocka_unit_test(no_line_is_ever_wider_than_the_screen),
		cmocka_unit_test(a_full_percentage_means_complete),
		cmocka_unit_test(states_stand_where_the_rates_were),
		cmocka_unit_test(several_torrents_have_a_total),
		cmocka_unit_test(those_at_work_are_shown_when_rows_are_few),
		cmocka_unit_test(one_row_holds_the_total),
		cmocka_unit_test(colour_is_closed_on_the_line_where_it_began),
		cmocka_unit_test(
		    the_session_is_asked_for_as_many_cells_as_are_shown),
		cmocka_unit_test(text_is_cut_at_characters_and_padded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
