#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/config_file.h"
#include "support/folder.h"

static char text[4096];

static int
apply(struct options *o, const char *lines, struct error *e)
{
	options_init(o);
	error_clear(e);
	snprintf(text, sizeof(text), "%s", lines);
	return config_file_apply(o, "the-file", text, strlen(text), e);
}

static struct options
good(const char *lines)
{
	struct options o;
	struct error e;

	if (apply(&o, lines, &e) < 0)
		fail_msg("%s: %s", lines, e.text);
	return o;
}

static void
says(const char *lines, const char *want)
{
	struct options o;
	struct error e;

	assert_int_equal(apply(&o, lines, &e), -1);
	assert_int_equal(e.kind, ERROR_USAGE);
	assert_string_equal(e.text, want);
	options_release(&o);
}

static void
values_of_every_kind_arrive(void **state)
{
	struct options o = good("dir = /a b\n"
				"max-peers=7\n"
				"down-limit =2M\n"
				"seed-ratio= 1.5\n"
				"deadline = 1h\n"
				"progress = json\n"
				"port = 7000-7010\n"
				"quiet = yes\n"
				"no-dht = true\n");

	(void)state;
	assert_string_equal(o.session.dir, "/a b");
	assert_int_equal(o.session.max_peers, 7);
	assert_int_equal(o.session.down_limit, 2 << 20);
	assert_true(o.session.seed_ratio > 1.4);
	assert_int_equal(o.session.deadline_ns, 3600000000000);
	assert_int_equal(o.progress, PROGRESS_JSON);
	assert_int_equal(o.session.port_max, 7010);
	assert_true(o.quiet);
	assert_false(o.session.use_dht);
	assert_true(o.session.use_pex);
	options_release(&o);
}

static void
comments_space_and_empty_lines_are_nothing(void **state)
{
	struct options o = good("\n# dir = /x\n  \t\r\n\t # y\r\n"
				"\t dir \t = \t here \t\r\n\n"
				"log = a # b");

	(void)state;
	assert_string_equal(o.session.dir, "here");
	assert_string_equal(o.log_path, "a # b");
	options_release(&o);
}

static void
a_value_is_taken_as_it_stands(void **state)
{
	struct options o = good("log = \"$HOME\" = ~/x\n");

	(void)state;
	assert_string_equal(o.log_path, "\"$HOME\" = ~/x");
	options_release(&o);
}

static void
no_and_false_take_it_back(void **state)
{
	struct options o = good("no-dht = yes\nno-dht = no\nno-pex = false\n"
				"quiet = true\nquiet = no\n");

	(void)state;
	assert_true(o.session.use_dht && o.session.use_pex);
	assert_false(o.quiet);
	options_release(&o);
}

static void
yes_and_no_have_other_words(void **state)
{
	static const char *const words[][2] = {
		{"yes", "no"}, {"true", "false"}, {"on", "off"}, {"1", "0"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		char lines[80];
		struct options o;

		snprintf(lines, sizeof(lines), "quiet = %s\nno-dht = %s\n",
			 words[i][0], words[i][0]);
		o = good(lines);
		assert_true(o.quiet && !o.session.use_dht);
		options_release(&o);
		snprintf(lines, sizeof(lines), "quiet = 1\nquiet = %s\n"
			 "no-dht = 1\nno-dht = %s\n", words[i][1],
			 words[i][1]);
		o = good(lines);
		assert_true(!o.quiet && o.session.use_dht);
		options_release(&o);
	}
	says("quiet = 2\n", "the-file:1: quiet: '2' is not yes or no");
}

static void
a_byte_order_mark_is_skipped_at_the_beginning(void **state)
{
	struct options o = good("\xef\xbb\xbfquiet = yes\n");

	(void)state;
	assert_true(o.quiet);
	options_release(&o);
	o = good("\xef\xbb\xbf");
	options_release(&o);
	says("\n\xef\xbb\xbfquiet = yes\n", "the-file:2: unknown option "
	     "'\xef\xbb\xbfquiet'");
	says("\xef\xbb", "the-file:1: '?\?' is not of the form option = "
	     "value");
}

static void
verbose_is_a_number_or_yes(void **state)
{
	struct options o = good("verbose = 2\n");

	(void)state;
	assert_int_equal(o.verbose, 2);
	options_release(&o);
	o = good("verbose = yes\n");
	assert_int_equal(o.verbose, 1);
	options_release(&o);
	says("verbose = 3\n", "the-file:1: verbose: '3' is not yes or no");
}

static void
the_last_one_counts_but_lists_add_up(void **state)
{
	struct options o = good("dir = a\ndir = b\npeer = a:1\npeer = b:2");

	(void)state;
	assert_string_equal(o.session.dir, "b");
	assert_int_equal(o.session.peer_count, 2);
	assert_string_equal(o.session.peers[1].host, "b");
	options_release(&o);
}

static void
each_mistake_names_the_file_and_the_line(void **state)
{
	(void)state;
	says("\n\nfrob = 1\n", "the-file:3: unknown option 'frob'");
	says("--dir = x\n", "the-file:1: unknown option '--dir'");
	says("#\ndir\n", "the-file:2: 'dir' is not of the form option = "
	     "value");
	says("dir =\n", "the-file:1: dir: needs a value");
	says("= x\n", "the-file:1: unknown option ''");
	says("quiet = maybe\n", "the-file:1: quiet: 'maybe' is not yes or "
	     "no");
	says("quiet =\n", "the-file:1: quiet: '' is not yes or no");
	says("max-peers = 0\n", "the-file:1: max-peers: '0' is not a number "
	     "from 1 to 10000");
	says("announce = u\n", "the-file:1: unknown option 'announce'");
	says("proxy socks5://u:pw@h:1\n", "the-file:1: 'proxy...' is not of "
	     "the form option = value");
	says("proxy:socks5://u:p=w@h:1\n", "the-file:1: unknown option "
	     "'proxy...'");
	says("peer = u:p/w@h\n", "the-file:1: peer: '...@h' is not "
	     "HOST:PORT");
	says("config = x\n", "the-file:1: the command line alone has the "
	     "option 'config'");
	says("help = yes\n", "the-file:1: the command line alone has the "
	     "option 'help'");
	says("\033[2J = x\n", "the-file:1: unknown option '?[2J'");
}

static void
a_nul_byte_is_a_mistake(void **state)
{
	static char lines[] = "dir = a\nlog = \0x\n";
	struct options o;
	struct error e;

	(void)state;
	options_init(&o);
	assert_int_equal(config_file_apply(&o, "f", lines, sizeof(lines) - 1,
					   &e), -1);
	assert_string_equal(e.text, "f:2: a NUL byte");
	options_release(&o);
}

static void
the_path_follows_xdg_and_then_home(void **state)
{
	char path[64];

	(void)state;
	assert_true(config_file_path(path, sizeof(path), "/x", "/h"));
	assert_string_equal(path, "/x/btget/config");
	assert_true(config_file_path(path, sizeof(path), NULL, "/h"));
	assert_string_equal(path, "/h/.config/btget/config");
	assert_true(config_file_path(path, sizeof(path), "relative", "/h"));
	assert_string_equal(path, "/h/.config/btget/config");
	assert_false(config_file_path(path, sizeof(path), "", ""));
	assert_false(config_file_path(path, sizeof(path), NULL, NULL));
	assert_false(config_file_path(path, 20, NULL, "/long/enough"));
}

/* ---- with the command line ---- */

#define FILE_PATH "config"

static int
options_of(struct options *o, const char *lines, const char *args,
	   struct error *e)
{
	char line[256];
	char *argv[16] = { "btget" }, *rest = NULL;
	FILE *f = fopen(FILE_PATH, "w");
	int argc = 1, rc;

	assert_non_null(f);
	assert_true(fputs(lines, f) >= 0);
	assert_int_equal(fclose(f), 0);
	snprintf(line, sizeof(line), "%s", args);
	for (char *w = strtok_r(line, " ", &rest); w;
	     w = strtok_r(NULL, " ", &rest))
		argv[argc++] = w;
	error_clear(e);
	rc = config_file_options(o, argc, argv, e);
	unlink(FILE_PATH);
	return rc;
}

static void
the_command_line_wins_and_adds_to_lists(void **state)
{
	struct options o;
	struct error e;

	(void)state;
	assert_int_equal(options_of(&o, "dir = file\nmax-peers = 3\n"
				    "peer = a:1\n",
				    "-d flag x -P b:2 --config=" FILE_PATH,
				    &e), 0);
	assert_string_equal(o.session.dir, "flag");
	assert_int_equal(o.session.max_peers, 3);
	assert_int_equal(o.session.peer_count, 2);
	assert_string_equal(o.session.peers[0].host, "a");
	assert_int_equal(o.operand_count, 1);
	options_release(&o);
}

static bool
is_quiet(const char *args)
{
	char all[128];
	struct options o;
	struct error e;
	bool quiet;

	snprintf(all, sizeof(all), "x --config=" FILE_PATH " %s", args);
	assert_int_equal(options_of(&o, "quiet = yes\nprogress = plain\n",
				    all, &e), 0);
	quiet = o.quiet;
	options_release(&o);
	return quiet;
}

static void
who_asks_for_something_to_be_shown_sees_it(void **state)
{
	(void)state;
	assert_true(is_quiet(""));
	assert_false(is_quiet("-v"));
	assert_false(is_quiet("--progress=json"));
	assert_false(is_quiet("--progress=auto"));
	assert_true(is_quiet("--progress=none"));
	assert_true(is_quiet("-v -q"));
}

static unsigned
verbose_of(const char *lines, const char *args)
{
	char all[128];
	struct options o;
	struct error e;
	unsigned verbose;

	snprintf(all, sizeof(all), "x --config=" FILE_PATH " %s", args);
	assert_int_equal(options_of(&o, lines, all, &e), 0);
	verbose = o.verbose;
	options_release(&o);
	return verbose;
}

static void
verbose_counts_anew_on_the_command_line(void **state)
{
	(void)state;
	assert_int_equal(verbose_of("verbose = 1\n", ""), 1);
	assert_int_equal(verbose_of("verbose = 1\n", "-v"), 1);
	assert_int_equal(verbose_of("verbose = 2\n", "-v"), 1);
	assert_int_equal(verbose_of("verbose = 1\n", "-vv"), 2);
	assert_int_equal(verbose_of("verbose = no\n", "-v"), 1);
}

static void
without_a_file_progress_has_its_default(void **state)
{
	struct options o;
	struct error e;

	(void)state;
	assert_int_equal(options_of(&o, "", "--no-config x", &e), 0);
	assert_int_equal(o.progress, PROGRESS_AUTO);
	options_release(&o);
}

static void
other_verbs_take_nothing_from_it(void **state)
{
	struct options o;
	struct error e;

	(void)state;
	setenv("XDG_CONFIG_HOME", "/", 1);
	assert_int_equal(options_of(&o, "frob", "show x", &e), 0);
	options_release(&o);
	assert_int_equal(options_of(&o, "", "show --config=x x", &e), -1);
	options_release(&o);
}

static void
a_file_that_was_asked_for_must_be_there(void **state)
{
	struct options o;
	struct error e;

	(void)state;
	assert_int_equal(options_of(&o, "", "--config=/nowhere x", &e), -1);
	assert_int_equal(e.kind, ERROR_USAGE);
	assert_string_equal(e.text, "cannot read '/nowhere': No such file or "
			    "directory");
	options_release(&o);
	assert_int_equal(options_of(&o, "", "--no-config --config=/nowhere x",
				    &e), -1);
	assert_string_equal(e.text, "either --config or --no-config");
	options_release(&o);
}

static void
the_users_file_need_not_be_there(void **state)
{
	struct options o;
	struct error e;

	(void)state;
	setenv("XDG_CONFIG_HOME", "/nowhere", 1);
	assert_int_equal(options_of(&o, "", "x", &e), 0);
	options_release(&o);
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("HOME");
	assert_int_equal(options_of(&o, "", "x", &e), 0);
	options_release(&o);
}

static void
a_file_that_is_too_large_is_refused(void **state)
{
	struct options o;
	struct error e;

	(void)state;
	assert_int_equal(options_of(&o, "", "--config=/dev/zero x", &e), -1);
	assert_string_equal(e.text, "cannot read '/dev/zero': File too "
			    "large");
	options_release(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_every_kind_arrive),
		cmocka_unit_test(comments_space_and_empty_lines_are_nothing),
		cmocka_unit_test(a_value_is_taken_as_it_stands),
		cmocka_unit_test(no_and_false_take_it_back),
		cmocka_unit_test(yes_and_no_have_other_words),
		cmocka_unit_test(a_byte_order_mark_is_skipped_at_the_beginning),
		cmocka_unit_test(verbose_is_a_number_or_yes),
		cmocka_unit_test(the_last_one_counts_but_lists_add_up),
		cmocka_unit_test(each_mistake_names_the_file_and_the_line),
		cmocka_unit_test(a_nul_byte_is_a_mistake),
		cmocka_unit_test(the_path_follows_xdg_and_then_home),
		cmocka_unit_test(the_command_line_wins_and_adds_to_lists),
		cmocka_unit_test(who_asks_for_something_to_be_shown_sees_it),
		cmocka_unit_test(verbose_counts_anew_on_the_command_line),
		cmocka_unit_test(without_a_file_progress_has_its_default),
		cmocka_unit_test(other_verbs_take_nothing_from_it),
		cmocka_unit_test(a_file_that_was_asked_for_must_be_there),
		cmocka_unit_test(the_users_file_need_not_be_there),
		cmocka_unit_test(a_file_that_is_too_large_is_refused),
	};

	return cmocka_run_group_tests(tests, folder_enter, folder_leave);
}
