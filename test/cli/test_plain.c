#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/plain.h"

#define MIB (1ull << 20)

static struct stats_torrent
torrent(enum torrent_state state, uint64_t done)
{
	struct stats_torrent t;

	memset(&t, 0, sizeof(t));
	strcpy(t.name, "x.iso");
	t.state = state;
	t.length = 100 * MIB;
	t.done = done;
	t.down_rate = 2 * MIB;
	t.peers = 5;
	t.seeds = 1;
	t.eta = 45;
	return t;
}

static void
says(struct plain *p, const struct stats_torrent *t, int64_t now,
     const char *want)
{
	struct buffer out;

	buffer_init(&out, 4096);
	plain_update(p, &out, t, now);
	assert_string_equal(out.used ? buffer_text(&out) : "", want);
	buffer_release(&out);
}

static void
a_download_has_a_line_for_each_tenth_and_the_end(void **state)
{
	struct plain p = { 0 };
	struct stats_torrent t = torrent(TORRENT_DOWNLOADING, 0);

	(void)state;
	says(&p, &t, CLOCK_S, "");
	t.done = 9 * MIB;
	says(&p, &t, 2 * CLOCK_S, "");
	t.done = 10 * MIB;
	says(&p, &t, 3 * CLOCK_S, "x.iso: 10%, 10.0 MiB of 100 MiB, "
	     "2.0 MiB/s, 5 peers, 1 seed, 45s left\n");
	says(&p, &t, 4 * CLOCK_S, "");
	t.done = 55 * MIB;
	t.eta = -1;
	says(&p, &t, 5 * CLOCK_S, "x.iso: 55%, 55.0 MiB of 100 MiB, "
	     "2.0 MiB/s, 5 peers, 1 seed\n");
	t.done = 100 * MIB;
	says(&p, &t, 6 * CLOCK_S, "");
	t.state = TORRENT_COMPLETE;
	says(&p, &t, 7 * CLOCK_S, "x.iso: complete, 100 MiB\n");
	says(&p, &t, 700 * CLOCK_S, "");
}

static void
the_start_says_what_is_there(void **state)
{
	struct stats_torrent t = torrent(TORRENT_DOWNLOADING, 12 * MIB);
	struct buffer out;

	(void)state;
	buffer_init(&out, 4096);
	plain_start(&out, &t);
	assert_string_equal(buffer_text(&out),
			    "x.iso: started at 12%, 12.0 MiB of 100 MiB\n");
	buffer_release(&out);
}

static void
a_minute_without_news_has_a_line(void **state)
{
	struct plain p = { 0 };
	struct stats_torrent t = torrent(TORRENT_DOWNLOADING, 0);

	(void)state;
	says(&p, &t, CLOCK_S, "");
	t.stalled = true;
	strcpy(t.reason, "no seeds");
	says(&p, &t, 60 * CLOCK_S, "");
	says(&p, &t, 61 * CLOCK_S,
	     "x.iso: 0%, 0 B of 100 MiB, stalled: no seeds\n");
	says(&p, &t, 62 * CLOCK_S, "");
}

static void
what_was_complete_before_has_one_line(void **state)
{
	struct plain p = { 0 };
	struct stats_torrent t = torrent(TORRENT_LOADING, 0);

	(void)state;
	says(&p, &t, CLOCK_S, "");
	t = torrent(TORRENT_COMPLETE, 100 * MIB);
	t.complete = true;
	says(&p, &t, CLOCK_S, "x.iso: complete, 100 MiB\n");
}

static void
checking_and_seeding_are_told(void **state)
{
	struct plain p = { 0 };
	struct stats_torrent t = torrent(TORRENT_CHECKING, 0);

	(void)state;
	says(&p, &t, CLOCK_S, "");
	t.checked = 1 * MIB;
	says(&p, &t, 2 * CLOCK_S, "x.iso: checking, 1%\n");
	says(&p, &t, 3 * CLOCK_S, "");
	t.checked = 42 * MIB;
	says(&p, &t, 62 * CLOCK_S, "x.iso: checking, 42%\n");
	t = torrent(TORRENT_DOWNLOADING, 42 * MIB);
	says(&p, &t, 63 * CLOCK_S, "");
	t = torrent(TORRENT_SEEDING, 100 * MIB);
	t.complete = true;
	t.uploaded = 3 * MIB;
	says(&p, &t, 64 * CLOCK_S, "x.iso: complete, 100 MiB; seeding, 3.0 MiB "
	     "sent, 0 B/s, 5 peers\n");
	t.state = TORRENT_STOPPED;
	says(&p, &t, 65 * CLOCK_S,
	     "x.iso: stopped, complete, 100 MiB, 3.0 MiB sent\n");
}

static void
a_failure_says_how_far_and_why(void **state)
{
	struct plain p = { 0 };
	struct stats_torrent t = torrent(TORRENT_FAILED, 100 * MIB - 1);

	(void)state;
	strcpy(t.reason, "no space");
	says(&p, &t, CLOCK_S, "x.iso: failed at 99% of 100 MiB: no space\n");
}

static void
metadata_is_told_at_once_and_has_no_size_yet(void **state)
{
	struct plain p = { 0 };
	struct stats_torrent t = torrent(TORRENT_METADATA, 0);

	(void)state;
	t.length = 0;
	says(&p, &t, CLOCK_S, "x.iso: asking peers what it holds, 5 peers\n");
	says(&p, &t, 2 * CLOCK_S, "");
	says(&p, &t, 61 * CLOCK_S, "x.iso: asking peers what it holds, 5 peers\n");
	t.state = TORRENT_FAILED;
	says(&p, &t, 62 * CLOCK_S, "x.iso: failed\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_download_has_a_line_for_each_tenth_and_the_end),
		cmocka_unit_test(the_start_says_what_is_there),
		cmocka_unit_test(a_minute_without_news_has_a_line),
		cmocka_unit_test(what_was_complete_before_has_one_line),
		cmocka_unit_test(checking_and_seeding_are_told),
		cmocka_unit_test(a_failure_says_how_far_and_why),
		cmocka_unit_test(metadata_is_told_at_once_and_has_no_size_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
