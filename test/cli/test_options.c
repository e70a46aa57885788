#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/options.h"

#define MAX_ARGS 32

/* Reads a command line written with spaces. */
static int
parse(struct options *o, const char *line, struct error *e)
{
	static char text[1024];
	char *argv[MAX_ARGS + 1];
	char *rest = NULL;
	int argc = 0;

	error_clear(e);
	snprintf(text, sizeof(text), "btget %s", line);
	for (char *w = strtok_r(text, " ", &rest); w && argc < MAX_ARGS;
	     w = strtok_r(NULL, " ", &rest))
		argv[argc++] = w;
	argv[argc] = NULL;
	options_init(o);
	if (options_read(o, argc, argv, e) < 0)
		return -1;
	return options_check(o, e);
}

static struct options
good(const char *line)
{
	struct options o;
	struct error e;

	if (parse(&o, line, &e) < 0)
		fail_msg("%s: %s", line, e.text);
	return o;
}

static void
says(const char *line, const char *want)
{
	struct options o;
	struct error e;

	assert_int_equal(parse(&o, line, &e), -1);
	assert_int_equal(e.kind, ERROR_USAGE);
	assert_string_equal(e.text, want);
	options_release(&o);
}

static void
an_interface_is_a_name_or_an_address(void **state)
{
	struct options o = good("-i tun0 x");

	(void)state;
	assert_string_equal(o.session.interface, "tun0");
	options_release(&o);
	o = good("--interface=2001:db8::1 x");
	assert_string_equal(o.session.interface, "2001:db8::1");
	options_release(&o);
	says("-i a/b x", "-i: 'a/b' is neither the name of an interface nor "
	     "an address of one (see btget --help)");
	says("-i", "-i needs a value: NAME or ADDR (see btget --help)");
}

static void
a_bad_proxy_is_not_repeated(void **state)
{
	struct options o = good("--proxy http://a:1 --proxy socks5://u:w@h:2 "
				"x");

	(void)state;
	assert_string_equal(o.session.proxy, "socks5://u:w@h:2");
	options_release(&o);
	says("--proxy u:secret@h:1 x", "--proxy: needs socks5://HOST:PORT or "
	     "http://HOST:PORT (see btget --help)");
	says("--proxy http://u:secret@h x",
	     "--proxy: needs HOST:PORT (see btget --help)");
	says("--proxy= x", "--proxy: needs a value (see btget --help)");
}

static void
assert_hidden(const char *before, const char *arg, const char *shown)
{
	char program[] = "btget", first[16], second[200];
	char *argv[] = {program, first, second, NULL};

	snprintf(first, sizeof(first), "%s", before);
	snprintf(second, sizeof(second), "%s", arg);
	options_hide(3, argv);
	assert_string_equal(first, before);
	assert_string_equal(second, shown);
}

static void
the_password_of_a_proxy_is_overwritten(void **state)
{
	(void)state;
	assert_hidden("", "--proxy=socks5://me:secret@h:1",
		      "--proxy=socks5://*********@h:1");
	assert_hidden("--proxy", "http://me:se@cret@h:2",
		      "http://**********@h:2");
	assert_hidden("--proxy", "me:secret@h:3", "*********@h:3");
	assert_hidden("", "--proxy=me:secret@h:1", "--proxy=*********@h:1");
	assert_hidden("", "--proxy=h:1", "--proxy=h:1");
	assert_hidden("--proxy", "http://me:se/cr?et@h:2",
		      "http://***************");
	assert_hidden("--proxy", "", "");
}

static void
keys_in_urls_and_links_are_overwritten(void **state)
{
	(void)state;
	assert_hidden("get", "https://t.org/dl?passkey=X",
		      "https://t.org*************");
	assert_hidden("-a", "udp://t:1/k,http://u/k", "udp://t:1*************");
	assert_hidden("", "-ahttp://t/KEY", "-ahttp://t****");
	assert_hidden("", "--announce=http://u:p@[::1]:80#k",
		      "--announce=http://***@[::1]:80**");
	assert_hidden("-w", "http://t", "http://t");
	assert_hidden("", "https://t.org/rss?email=me@example.com&passkey=S",
		      "https://****************************************");
	assert_hidden("", "http://h/x@KEY", "http://*******");
	assert_hidden("", "magnet:?xt=urn:btih:00&dn=a&tr=http://t/K&x.pe=h:1",
		      "magnet:?xt=urn:btih:00&dn=a&tr=**********&x.pe=***");
	assert_hidden("", "MAGNET:?tr=udp%3A%2F%2Ft&K&xt.1=urn:btih:00",
		      "MAGNET:?tr=*************&*&xt.1=urn:btih:00");
	assert_hidden("", "magnet:tr=k/a?b&xtra=k", "magnet:tr=*****&xtra=*");
	assert_hidden("-d", "a/b@c?d,e", "a/b@c?d,e");
}

static void
a_copy_of_the_arguments_stays_as_it_was(void **state)
{
	char program[] = "btget", url[] = "http://t/KEY", empty[] = "";
	char *argv[] = {program, url, empty, NULL};
	char **copy = options_copy(3, argv, NULL);

	(void)state;
	assert_non_null(copy);
	options_hide(3, argv);
	assert_string_equal(url, "http://t****");
	assert_string_equal(copy[0], "btget");
	assert_string_equal(copy[1], "http://t/KEY");
	assert_string_equal(copy[2], "");
	assert_null(copy[3]);
	free(copy);
}

static void
a_torrent_alone_gets_the_defaults(void **state)
{
	struct options o = good("x.torrent");

	(void)state;
	assert_int_equal(o.verb, VERB_GET);
	assert_int_equal(o.operand_count, 1);
	assert_string_equal(o.operands[0], "x.torrent");
	assert_string_equal(o.session.dir, ".");
	assert_int_equal(o.session.port_min, 6881);
	assert_int_equal(o.session.port_max, 6999);
	assert_int_equal(o.session.max_peers, 100);
	assert_true(o.session.use_dht && o.session.use_webseed);
	assert_true(o.session.seed_ratio < 0);
	assert_true(o.session.seed_time_ns < 0);
	assert_int_equal(o.progress, PROGRESS_AUTO);
	assert_int_equal(o.session.allocation, ALLOCATION_SPARSE);
	assert_false(o.session.sequential);
	options_release(&o);
}

static void
every_download_option_arrives(void **state)
{
	struct options o = good("-qv -d D -l L --progress json --check "
				"--allocation full --sequential -p 0 "
				"--blocklist B -f 1,!*.x -P [::1]:7 x");

	(void)state;
	assert_true(o.quiet);
	assert_int_equal(o.verbose, 1);
	assert_string_equal(o.session.dir, "D");
	assert_string_equal(o.log_path, "L");
	assert_int_equal(o.progress, PROGRESS_JSON);
	assert_true(o.session.check);
	assert_int_equal(o.session.allocation, ALLOCATION_FULL);
	assert_true(o.session.sequential);
	assert_string_equal(o.session.blocklist, "B");
	assert_string_equal(o.session.files, "1,!*.x");
	assert_int_equal(o.session.port_min, 0);
	assert_int_equal(o.session.port_max, 0);
	assert_int_equal(o.session.peer_count, 1);
	assert_string_equal(o.session.peers[0].host, "::1");
	assert_int_equal(o.session.peers[0].port, 7);
	options_release(&o);
}

static void
limits_and_times_have_units(void **state)
{
	struct options o = good("--down-limit=500K --up-limit 2M "
				"--seed-ratio 1.5 --seed-time 2h --deadline 90"
				" --stall-timeout=15m --max-peers 7 x");

	(void)state;
	assert_int_equal(o.session.down_limit, 500 * 1024);
	assert_int_equal(o.session.up_limit, 2 << 20);
	assert_true(o.session.seed_ratio > 1.49 && o.session.seed_ratio < 1.51);
	assert_int_equal(o.session.seed_time_ns, 7200 * CLOCK_S);
	assert_int_equal(o.session.deadline_ns, 90 * CLOCK_S);
	assert_int_equal(o.session.stall_timeout_ns, 900 * CLOCK_S);
	assert_int_equal(o.session.max_peers, 7);
	options_release(&o);
}

static void
features_can_be_left_out(void **state)
{
	struct options o = good("--no-dht --no-pex --no-lsd --no-utp "
				"--no-portmap --no-webseed x");

	(void)state;
	assert_false(o.session.use_dht || o.session.use_pex ||
		     o.session.use_lsd || o.session.use_utp ||
		     o.session.use_portmap || o.session.use_webseed);
	options_release(&o);
}

static void
a_value_may_be_joined_or_apart(void **state)
{
	static const char *const lines[] = {
		"-d DIR x", "-dDIR x", "--dir=DIR x", "--dir DIR x",
		"x -d DIR", "-qdDIR x", "-qd DIR x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct options o = good(lines[i]);

		assert_string_equal(o.session.dir, "DIR");
		assert_int_equal(o.operand_count, 1);
		options_release(&o);
	}
}

static void
an_equals_sign_belongs_to_the_value_only_once(void **state)
{
	struct options o = good("--dir=a=b x");

	(void)state;
	assert_string_equal(o.session.dir, "a=b");
	options_release(&o);
}

static void
two_dashes_end_the_options(void **state)
{
	struct options o = good("-q -- -v --dir");

	(void)state;
	assert_int_equal(o.operand_count, 2);
	assert_string_equal(o.operands[0], "-v");
	assert_string_equal(o.operands[1], "--dir");
	assert_int_equal(o.verbose, 0);
	options_release(&o);
}

static void
a_dash_is_standard_input(void **state)
{
	struct options o = good("- x");

	(void)state;
	assert_int_equal(o.operand_count, 2);
	assert_string_equal(o.operands[0], "-");
	options_release(&o);
}

static void
the_verb_may_be_written(void **state)
{
	struct options o = good("get -q create");

	(void)state;
	assert_int_equal(o.verb, VERB_GET);
	assert_string_equal(o.operands[0], "create");
	options_release(&o);
	o = good("./create");
	assert_int_equal(o.verb, VERB_GET);
	options_release(&o);
}

static void
create_takes_tiers_in_order(void **state)
{
	struct options o = good("create -a http://a -a udp://b,udp://c -o - "
				"--piece-length 64K --private --no-date "
				"-w http://w --source S --comment C --v1 p");

	(void)state;
	assert_int_equal(o.verb, VERB_CREATE);
	assert_int_equal(o.create.tiers.count, 2);
	assert_string_equal(o.create.tiers.items[1], "udp://b,udp://c");
	assert_int_equal(o.create.web_seeds.count, 1);
	assert_int_equal(o.create.piece_length, 65536);
	assert_true(o.create.private && o.create.v1);
	assert_false(o.create.date);
	assert_string_equal(o.create.source, "S");
	assert_string_equal(o.create.comment, "C");
	assert_string_equal(o.create.output, "-");
	options_release(&o);
}

static void
the_tracker_has_options_alone(void **state)
{
	struct options o = good("tracker --port 0 --bind ::1 --interval 5 "
				"--allow F");

	(void)state;
	assert_int_equal(o.tracker.port, 0);
	assert_int_equal(o.tracker.interval_s, 5);
	assert_string_equal(o.tracker.bind, "::1");
	assert_string_equal(o.tracker.allow, "F");
	options_release(&o);
	says("tracker x", "the tracker takes no arguments, only options (see "
	     "btget tracker --help)");
}

static void
a_range_of_ports_is_taken(void **state)
{
	struct options o = good("-p 7000-7010 x");

	(void)state;
	assert_int_equal(o.session.port_min, 7000);
	assert_int_equal(o.session.port_max, 7010);
	options_release(&o);
	says("-p 7010-7000 x", "-p: '7010-7000' is not a range of ports (see "
	     "btget --help)");
	says("-p 65536 x", "-p: '65536' is not a port, 0 to 65535 (see btget "
	     "--help)");
}

static void
many_peers_are_kept_in_order(void **state)
{
	struct options o = good("-P a:1 -P b:2 -P c:3 -P d:4 -P e:5 x");

	(void)state;
	assert_int_equal(o.session.peer_count, 5);
	assert_string_equal(o.session.peers[0].host, "a");
	assert_string_equal(o.session.peers[4].host, "e");
	assert_ptr_equal(o.session.peers, o.peers);
	options_release(&o);
}

static void
a_folder_to_watch_needs_no_torrents(void **state)
{
	struct options o = good("--watch W");

	(void)state;
	assert_string_equal(o.session.watch, "W");
	assert_int_equal(o.operand_count, 0);
	options_release(&o);
}

static void
nodes_of_the_dht_are_no_peers(void **state)
{
	struct options o = good("--dht-node a:1 -P p:9 --dht-node [::1]:2 x");

	(void)state;
	assert_int_equal(o.session.peer_count, 1);
	assert_int_equal(o.session.dht_node_count, 2);
	assert_string_equal(o.session.dht_nodes[0].host, "a");
	assert_string_equal(o.session.dht_nodes[1].host, "::1");
	assert_int_equal(o.session.dht_nodes[1].port, 2);
	options_release(&o);
	says("--dht-node a x", "--dht-node: 'a' is not HOST:PORT (see btget "
	     "--help)");
}

static void
help_ends_the_reading(void **state)
{
	struct options o = good("-q --help --frobnicate");

	(void)state;
	assert_true(o.help);
	options_release(&o);
	o = good("create -V");
	assert_true(o.version);
	options_release(&o);
}

static void
each_mistake_has_its_line(void **state)
{
	(void)state;
	says("", "no torrent given (see btget --help)");
	says("create", "no path given (see btget create --help)");
	says("create a b", "one path makes one torrent, 2 are given (see "
	     "btget create --help)");
	says("--frob x", "unknown option --frob (see btget --help)");
	says("-% x", "unknown option -% (see btget --help)");
	says("--prog x", "unknown option --prog; is --progress meant? (see "
	     "btget --help)");
	says("-a u x", "-a is an option of 'btget create' (see btget "
	     "--help)");
	says("create --check x", "--check is an option of 'btget get' (see "
	     "btget create --help)");
	says("x -d", "-d needs a value: DIR (see btget --help)");
	says("x --dir", "--dir needs a value: DIR (see btget --help)");
	says("--dir= x", "--dir: needs a value (see btget --help)");
	says("--quiet=yes x", "--quiet takes no value (see btget --help)");
	says("-v show x", "the verb comes first: btget show ...; for a file "
	     "of that name write ./show (see btget --help)");
	says("- -", "standard input can be read only once (see btget "
	     "--help)");
}

static void
values_out_of_range_are_refused(void **state)
{
	(void)state;
	says("--max-peers 0 x", "--max-peers: '0' is not a number from 1 to "
	     "10000 (see btget --help)");
	says("--progress loud x", "--progress: 'loud' is not auto, bar, "
	     "plain, json or none (see btget --help)");
	says("--allocation x x", "--allocation: 'x' is not none, sparse "
	     "or full (see btget --help)");
	says("--seed-ratio nan x", "--seed-ratio: 'nan' is not a ratio such "
	     "as 1.5 (see btget --help)");
	says("--seed-ratio . x", "--seed-ratio: '.' is not a ratio such as "
	     "1.5 (see btget --help)");
	says("--seed-ratio 1e3 x", "--seed-ratio: '1e3' is not a ratio such "
	     "as 1.5 (see btget --help)");
	says("--deadline -1 x", "--deadline: '-1' is not a duration such as "
	     "90, 15m or 2h (see btget --help)");
	says("--down-limit fast x", "--down-limit: 'fast' is not a size such "
	     "as 500K or 2M (see btget --help)");
	says("-f 0 x", "-f: '0' is no file: they count from 1 (see btget "
	     "--help)");
	says("-P http://u:p/w@h/0123456789abcdef?k=v x",
	     "-P: '...@h/...?k=...' is not HOST:PORT (see btget --help)");
	says("-P a\nb:1 x", "-P: 'a?b:1' is not HOST:PORT (see btget "
	     "--help)");
	says("-P nowhere x", "-P: 'nowhere' is not HOST:PORT (see btget "
	     "--help)");
	says("create --piece-length 33K x", "--piece-length: 33792 is no "
	     "power of two (see btget create --help)");
	says("create --piece-length 1K x", "--piece-length: '1K' is not from "
	     "16.0 KiB to 256 MiB (see btget create --help)");
}

static void
what_is_shown_of_a_mistake_is_clean(void **state)
{
	(void)state;
	says("--\033[2J x", "unknown option --?[2J (see btget --help)");
	says("-P \033[2J x", "-P: '?[2J' is not HOST:PORT (see btget "
	     "--help)");
}

/* ---- the table and what comes from it ---- */

static void
no_name_or_letter_is_there_twice(void **state)
{
	(void)state;
	for (size_t i = 0; i < options_count; i++)
		for (size_t k = 0; k < i; k++) {
			const struct option_row *a = &options_table[i];
			const struct option_row *b = &options_table[k];

			if (!(a->verbs & b->verbs))
				continue;
			assert_string_not_equal(a->name, b->name);
			assert_false(a->letter && a->letter == b->letter);
		}
}

static void
what_takes_a_value_says_so(void **state)
{
	(void)state;
	for (size_t i = 0; i < options_count; i++) {
		const struct option_row *row = &options_table[i];
		bool bare = row->kind == OPTION_YES ||
			    row->kind == OPTION_NO ||
			    row->kind == OPTION_TALLY;

		assert_int_equal(bare, row->argument == NULL);
		assert_int_equal(row->kind == OPTION_CHOICE,
				 row->choices != NULL);
	}
}

static void
help_fits_80_columns_and_has_every_option(void **state)
{
	(void)state;
	for (unsigned v = 0; v < VERB_COUNT; v++) {
		struct buffer out;
		char option[64];
		char *text;
		char *rest = NULL;

		buffer_init(&out, 65536);
		options_help(&out, (enum verb)v);
		for (size_t i = 0; i < options_count; i++) {
			if (!(options_table[i].verbs & VERB_BIT(v)))
				continue;
			snprintf(option, sizeof(option), "--%s",
				 options_table[i].name);
			assert_non_null(strstr(buffer_text(&out), option));
		}
		text = strdup(buffer_text(&out));
		for (char *l = strtok_r(text, "\n", &rest); l;
		     l = strtok_r(NULL, "\n", &rest))
			assert_in_range(strlen(l), 1, 80);
		free(text);
		buffer_release(&out);
	}
}

static void
help_is_laid_out_in_columns(void **state)
{
	struct buffer out;

	(void)state;
	buffer_init(&out, 65536);
	options_help(&out, VERB_SHOW);
	assert_string_equal(
	    buffer_text(&out),
	    "Usage: btget show [OPTION]... TORRENT...\n"
	    "\n"
	    "Prints what a torrent holds; of a magnet link or an info hash, "
	    "what a download\n"
	    "into DIR has found out. The network is not touched: a URL is "
	    "refused.\n"
	    "\n"
	    "Data:\n"
	    "  -d, --dir DIR               where the data goes, or is; "
	    "default: here\n"
	    "\n"
	    "Display:\n"
	    "      --json                  one JSON object for each torrent\n"
	    "\n"
	    "Help:\n"
	    "  -h, --help                  print this, and end\n"
	    "  -V, --version               print the version, and end\n");
	buffer_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_torrent_alone_gets_the_defaults),
		cmocka_unit_test(the_password_of_a_proxy_is_overwritten),
		cmocka_unit_test(keys_in_urls_and_links_are_overwritten),
		cmocka_unit_test(a_copy_of_the_arguments_stays_as_it_was),
		cmocka_unit_test(a_bad_proxy_is_not_repeated),
		cmocka_unit_test(an_interface_is_a_name_or_an_address),
		cmocka_unit_test(every_download_option_arrives),
		cmocka_unit_test(limits_and_times_have_units),
		cmocka_unit_test(features_can_be_left_out),
		cmocka_unit_test(a_value_may_be_joined_or_apart),
		cmocka_unit_test(an_equals_sign_belongs_to_the_value_only_once),
		cmocka_unit_test(two_dashes_end_the_options),
		cmocka_unit_test(a_dash_is_standard_input),
		cmocka_unit_test(the_verb_may_be_written),
		cmocka_unit_test(create_takes_tiers_in_order),
		cmocka_unit_test(the_tracker_has_options_alone),
		cmocka_unit_test(a_range_of_ports_is_taken),
		cmocka_unit_test(many_peers_are_kept_in_order),
		cmocka_unit_test(a_folder_to_watch_needs_no_torrents),
		cmocka_unit_test(nodes_of_the_dht_are_no_peers),
		cmocka_unit_test(help_ends_the_reading),
		cmocka_unit_test(each_mistake_has_its_line),
		cmocka_unit_test(values_out_of_range_are_refused),
		cmocka_unit_test(what_is_shown_of_a_mistake_is_clean),
		cmocka_unit_test(no_name_or_letter_is_there_twice),
		cmocka_unit_test(what_takes_a_value_says_so),
		cmocka_unit_test(help_fits_80_columns_and_has_every_option),
		cmocka_unit_test(help_is_laid_out_in_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
