#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/progress.h"
#include "cli/terminal.h"

/* ---- a source of which the test is master ---- */

static bool
fixed(void *ctx, size_t from, struct stats_torrent *out)
{
	if (from > 0)
		return false;
	*out = *(const struct stats_torrent *)ctx;
	return true;
}

static void
no_cells(void *ctx, size_t number, uint8_t *cells, size_t n)
{
	(void)ctx;
	(void)number;
	memset(cells, 0, n);
}

static struct stats_torrent
complete(void)
{
	struct stats_torrent t;

	memset(&t, 0, sizeof(t));
	strcpy(t.name, "x");
	strcpy(t.info_hash, "abcd");
	t.state = TORRENT_COMPLETE;
	t.length = t.done = 1 << 20;
	t.complete = true;
	t.eta = -1;
	return t;
}

#define PATIENCE (50 * CLOCK_MS)

struct rig {
	int out[2];
	int err[2];
	struct progress *p;
	struct stats_torrent torrent;
	struct progress_source source;
};

static void
rig_begin(struct rig *r, enum progress_mode mode, int64_t patience_ns)
{
	struct progress_config config = { .mode = mode, .dir = "D" };
	struct error e;

	assert_int_equal(pipe(r->out), 0);
	assert_int_equal(pipe(r->err), 0);
	config.out = r->out[1];
	config.err = r->err[1];
	config.patience_ns = patience_ns;
	r->torrent = complete();
	r->source = (struct progress_source){ &r->torrent, fixed,
					      no_cells };
	r->p = progress_new(&config, &e);
	assert_non_null(r->p);
}

/* All that is left in a pipe whose writer is done. */
static void
reads(int fd, const char *want)
{
	char got[8192];
	ssize_t n;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	n = read(fd, got, sizeof(got) - 1);
	got[n > 0 ? n : 0] = '\0';
	assert_string_equal(got, want);
}

static void
rig_end(struct rig *r)
{
	progress_free(r->p);
	close(r->out[0]);
	close(r->out[1]);
	close(r->err[0]);
	close(r->err[1]);
}

/* ---- the tests ---- */

static void
the_last_state_is_shown_however_short_the_run(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r, PROGRESS_PLAIN, PATIENCE);
	progress_watch(r.p, &r.source);
	progress_stop(r.p);
	reads(r.out[0], "x: complete, 1.0 MiB\n");
	reads(r.err[0], "");
	rig_end(&r);
}

static void
messages_go_to_standard_error_in_order(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r, PROGRESS_NONE, PATIENCE);
	progress_watch(r.p, &r.source);
	progress_message(r.p, "btget: one");
	progress_message(r.p, "btget: two");
	progress_stop(r.p);
	reads(r.out[0], "");
	reads(r.err[0], "btget: one\nbtget: two\n");
	rig_end(&r);
}

static void
json_events_come_in_order_and_exit_is_last(void **state)
{
	struct rig r;
	char got[4096];
	ssize_t n;
	char *exit_line;

	(void)state;
	rig_begin(&r, PROGRESS_JSON, PATIENCE);
	progress_watch(r.p, &r.source);
	progress_start(r.p, &r.torrent);
	progress_file(r.p, &r.torrent, "f");
	progress_warning(r.p, NULL, "w", 0);
	progress_complete(r.p, &r.torrent);
	progress_exit(r.p, 0, "complete");
	progress_stop(r.p);
	n = read(r.out[0], got, sizeof(got) - 1);
	assert_true(n > 0);
	got[n] = '\0';
	assert_true(strncmp(got, "{\"event\":\"start\"", 16) == 0);
	exit_line = strstr(got, "{\"event\":\"exit\"");
	assert_non_null(exit_line);
	assert_ptr_equal(strchr(exit_line, '\n'), got + n - 1);
	rig_end(&r);
}

static void
json_has_a_progress_however_short_the_download(void **state)
{
	struct rig r;
	char got[4096];
	ssize_t n;

	(void)state;
	rig_begin(&r, PROGRESS_JSON, PATIENCE);
	r.torrent.complete = false;
	r.torrent.done = r.torrent.length - 1;
	r.torrent.state = TORRENT_CHECKING;
	progress_start(r.p, &r.torrent);
	r.torrent.complete = true;
	progress_start(r.p, &r.torrent);
	progress_stop(r.p);
	n = read(r.out[0], got, sizeof(got) - 1);
	assert_true(n > 0);
	got[n] = '\0';
	assert_non_null(strstr(got, "{\"event\":\"progress\""));
	assert_non_null(strstr(got, "\"state\":\"downloading\""));
	/* What is complete only starts. */
	assert_ptr_equal(strstr(got, "{\"event\":\"progress\""),
			 strchr(got, '\n') + 1);
	assert_null(strstr(strstr(got, "\"progress\"") + 1,
			   "\"progress\""));
	rig_end(&r);
}

static void
json_says_seeding_no_sooner_than_it_does(void **state)
{
	struct rig r;
	char got[4096];
	ssize_t n;

	(void)state;
	rig_begin(&r, PROGRESS_JSON, PATIENCE);
	r.torrent.complete = false;
	r.torrent.done = r.torrent.length;
	r.torrent.state = TORRENT_CHECKING;
	progress_start(r.p, &r.torrent);
	progress_stop(r.p);
	n = read(r.out[0], got, sizeof(got) - 1);
	assert_true(n > 0);
	got[n] = '\0';
	assert_non_null(strstr(got, "{\"event\":\"progress\""));
	assert_null(strstr(got, "seeding"));
	rig_end(&r);
}

static void
events_are_for_json_alone(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r, PROGRESS_NONE, PATIENCE);
	progress_start(r.p, &r.torrent);
	progress_exit(r.p, 0, "complete");
	progress_stop(r.p);
	reads(r.out[0], "");
	rig_end(&r);
}

/* Torrents number `first` and the two behind it, all complete. */
struct three {
	uint32_t first;
};

static bool
three_stats(void *ctx, size_t from, struct stats_torrent *out)
{
	const struct three *s = ctx;

	*out = complete();
	out->number = from > s->first ? (uint32_t)from : s->first;
	out->name[0] = (char)('a' + out->number);
	return out->number < s->first + 3;
}

/* A line of so many bytes comes. */
static void
awaits(int fd, size_t size)
{
	char byte;

	for (; size > 0; size--)
		assert_int_equal(read(fd, &byte, 1), 1);
}

static void
those_that_go_are_no_news_of_others(void **state)
{
	struct three now = {0}, later = {1};
	struct progress_source sources[] = {
		{ &now, three_stats, no_cells },
		{ &later, three_stats, no_cells },
	};
	struct rig r;

	(void)state;
	rig_begin(&r, PROGRESS_PLAIN, PATIENCE);
	progress_watch(r.p, &sources[0]);
	awaits(r.out[0], 3 * strlen("a: complete, 1.0 MiB\n"));
	progress_watch(r.p, &sources[1]);
	progress_stop(r.p);
	reads(r.out[0], "d: complete, 1.0 MiB\n");
	rig_end(&r);
}

static void
a_reader_who_never_reads_holds_up_nothing(void **state)
{
	struct rig r;
	char junk[4096] = { 0 };
	int64_t begin;

	(void)state;
	rig_begin(&r, PROGRESS_JSON, PATIENCE);
	fcntl(r.out[1], F_SETFL, O_NONBLOCK);
	while (write(r.out[1], junk, sizeof(junk)) > 0)
		continue;
	fcntl(r.out[1], F_SETFL, 0);
	memset(r.torrent.name, 'x', sizeof(r.torrent.name) - 1);
	progress_watch(r.p, &r.source);
	begin = clock_ns();
	/* More than is kept for a reader. */
	for (int i = 0; i < 5000; i++)
		progress_complete(r.p, &r.torrent);
	progress_message(r.p, "still heard");
	progress_stop(r.p);
	assert_true(clock_ns() - begin < 3 * CLOCK_S);
	reads(r.err[0], "still heard\n");
	rig_end(&r);
}

/* A reader in a thread of its own, who takes a page, and pauses. */
struct reader {
	pthread_t thread;
	int fd;
	long pause_ns;
	char *got;		/* all of it, with a NUL */
};

#define READ_MAX (8u << 20)

static void *
read_on(void *arg)
{
	struct reader *r = arg;
	struct timespec pause = { .tv_nsec = r->pause_ns };
	size_t used = 0;
	ssize_t n;

	while ((n = read(r->fd, r->got + used, 4096)) > 0) {
		used += (size_t)n;
		assert_true(used < READ_MAX - 4096);
		if (r->pause_ns)
			nanosleep(&pause, NULL);
	}
	r->got[used] = '\0';
	return NULL;
}

static void
reader_begin(struct reader *r, int fd, long pause_ns)
{
	*r = (struct reader){ .fd = fd, .pause_ns = pause_ns };
	r->got = malloc(READ_MAX);
	assert_non_null(r->got);
	assert_int_equal(pthread_create(&r->thread, NULL, read_on, r), 0);
}

/* The rig's progress has ended. */
static void
reader_join(struct reader *r, struct rig *rig)
{
	close(rig->out[1]);
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	rig->out[1] = dup(rig->err[1]);
}

/* So many files, then the end. */
static void
tells_files(struct rig *r, int count)
{
	char path[32];

	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "file %07d", i);
		progress_file(r->p, &r->torrent, path);
	}
	progress_warning(r->p, &r->torrent, "w", 0);
	progress_complete(r->p, &r->torrent);
	progress_exit(r->p, 0, "complete");
}

/* How many files were told, in order; behind them come the last three, or it
 * is -1. */
static int
files_told(char *text)
{
	static const char *const last[] = { "warning", "complete", "exit" };
	char want[64], *rest = NULL;
	int files = 0, before = -1, end = 0;

	for (char *line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		const char *path = strstr(line, "\"path\":\"file ");

		assert_int_equal(line[strlen(line) - 1], '}');
		if (path) {
			assert_int_equal(end, 0);
			assert_true(atoi(path + 14) > before);
			before = atoi(path + 14);
			files++;
			continue;
		}
		if (end == 3)
			return -1;
		snprintf(want, sizeof(want), "{\"event\":\"%s\"", last[end++]);
		assert_int_equal(strncmp(line, want, strlen(want)), 0);
	}
	assert_int_equal(end, 3);
	return files;
}

static void
a_slow_reader_gets_the_end_as_well(void **state)
{
	struct reader reader;
	struct rig r;

	(void)state;
	rig_begin(&r, PROGRESS_JSON, 3 * CLOCK_S);
	fcntl(r.out[1], F_SETPIPE_SZ, 4096);
	tells_files(&r, 3000);
	/* More than the patience in all. */
	reader_begin(&reader, r.out[0], 50 * CLOCK_MS);
	progress_stop(r.p);
	reader_join(&reader, &r);
	assert_int_equal(files_told(reader.got), 3000);
	free(reader.got);
	rig_end(&r);
}

static void
a_slow_reader_is_left_once_it_is_to_hurry(void **state)
{
	struct reader reader;
	struct rig r;

	(void)state;
	rig_begin(&r, PROGRESS_JSON, CLOCK_S / 10);
	fcntl(r.out[1], F_SETPIPE_SZ, 4096);
	tells_files(&r, 7000);
	progress_hurry(r.p);
	/* Who would take six seconds in all. */
	reader_begin(&reader, r.out[0], 25 * CLOCK_MS);
	progress_stop(r.p);
	reader_join(&reader, &r);
	assert_null(strstr(reader.got, "\"event\":\"exit\""));
	free(reader.got);
	rig_end(&r);
}

static void
what_is_too_much_for_a_reader_is_cut_off_before_the_end(void **state)
{
	struct reader reader;
	struct rig r;
	int told;

	(void)state;
	rig_begin(&r, PROGRESS_JSON, 5 * CLOCK_S);
	fcntl(r.out[1], F_SETPIPE_SZ, 4096);
	tells_files(&r, 60000);
	reader_begin(&reader, r.out[0], 0);
	progress_stop(r.p);
	reader_join(&reader, &r);
	told = files_told(reader.got);
	assert_true(told > 10000 && told < 60000);
	free(reader.got);
	rig_end(&r);
}

static void
a_reader_who_left_ends_the_display_only(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r, PROGRESS_PLAIN, PATIENCE);
	close(r.out[0]);
	progress_watch(r.p, &r.source);
	progress_message(r.p, "still heard");
	progress_stop(r.p);
	reads(r.err[0], "still heard\n");
	r.out[0] = dup(r.err[0]);
	rig_end(&r);
}

/* What comes of a terminal, until these bytes have come. */
static void
reads_until(int master, char *got, size_t size, const char *last)
{
	struct pollfd fd = { .fd = master, .events = POLLIN };
	size_t used = 0;
	ssize_t n;

	got[0] = '\0';
	while (!strstr(got, last)) {
		assert_int_equal(poll(&fd, 1, 5000), 1);
		n = read(master, got + used, size - 1 - used);
		assert_true(n > 0);
		used += (size_t)n;
		got[used] = '\0';
	}
}

static void
a_terminal_gets_the_frame_and_its_cursor_back(void **state)
{
	struct winsize size = { .ws_col = 21, .ws_row = 5 };
	struct stats_torrent t = complete();
	struct progress_source source = { &t, fixed, no_cells };
	struct progress_config config = { .mode = PROGRESS_BAR };
	struct progress *p;
	struct error e;
	int master;
	int slave;
	char got[4096];

	(void)state;
	unsetenv("LC_ALL");
	unsetenv("LC_CTYPE");
	setenv("LANG", "C", 1);
	setenv("TERM", "xterm", 1);
	setenv("NO_COLOR", "1", 1);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
	config.out = config.err = slave;
	config.patience_ns = 50 * CLOCK_MS;
	p = progress_new(&config, &e);
	assert_non_null(p);
	progress_watch(p, &source);
	progress_stop(p);
	reads_until(master, got, sizeof(got), "\033[?25h");
	assert_non_null(strstr(got, "x               100%\033[K\r"));
	assert_non_null(strstr(got, "\033[?25l"));
	assert_string_equal(got + strlen(got) - 6, "\033[?25h");
	progress_free(p);
	close(master);
	close(slave);
}

/* ---- a terminal that takes nothing any more ---- */

struct watched {
	struct stats_torrent torrent;
	_Atomic bool asked;
	_Atomic bool gone;
	_Atomic bool missed;	/* it was asked although it is gone */
};

static bool
watched_stats(void *ctx, size_t from, struct stats_torrent *out)
{
	struct watched *w = ctx;

	if (atomic_load(&w->gone))
		atomic_store(&w->missed, true);
	atomic_store(&w->asked, from > 0);
	if (from > 0)
		return false;
	*out = w->torrent;
	return true;
}

/* Leaves room for less than a frame. */
static void
fill_terminal(int master, int slave)
{
	struct pollfd room = { .fd = slave, .events = POLLOUT };
	struct termios raw;
	char some[512];

	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	tcsetattr(slave, TCSANOW, &raw);
	memset(some, 'x', sizeof(some));
	fcntl(slave, F_SETFL, O_NONBLOCK);
	while (write(slave, some, sizeof(some)) > 0)
		;
	while (write(slave, some, 1) > 0)
		;
	fcntl(slave, F_SETFL, 0);
	do
		assert_true(read(master, some, sizeof(some)) > 0);
	while (poll(&room, 1, 200) == 0);
}

static void
a_display_that_hangs_lets_its_source_go(void **state)
{
	struct winsize size = { .ws_col = 4000, .ws_row = 5 };
	struct watched w = { .torrent = complete() };
	struct progress_source source = { &w, watched_stats, no_cells };
	struct progress_config config = { .mode = PROGRESS_BAR,
					  .patience_ns = PATIENCE };
	struct reader reader;
	struct progress *p;
	struct error e;
	int master;
	int slave;

	(void)state;
	setenv("TERM", "xterm", 1);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
	fill_terminal(master, slave);
	config.out = config.err = slave;
	p = progress_new(&config, &e);
	assert_non_null(p);
	progress_watch(p, &source);
	while (!atomic_load(&w.asked))
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_false(progress_stop(p));
	atomic_store(&w.gone, true);
	reader_begin(&reader, master, 0);
	/* The thread has ended now. */
	assert_true(progress_stop(p));
	assert_false(atomic_load(&w.missed));
	progress_free(p);
	close(slave);
	pthread_join(reader.thread, NULL);
	free(reader.got);
	close(master);
}

static void
restoring_writes_only_when_the_cursor_is_hidden(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r, PROGRESS_NONE, PATIENCE);
	progress_restore(r.p);
	progress_stop(r.p);
	reads(r.out[0], "");
	rig_end(&r);
}

static void
bars_are_plain_without_a_terminal(void **state)
{
	int fds[2];
	int master;
	int slave;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	setenv("TERM", "xterm", 1);
	assert_int_equal(terminal_mode(PROGRESS_AUTO, fds[1]),
			 PROGRESS_PLAIN);
	assert_int_equal(terminal_mode(PROGRESS_BAR, fds[1]),
			 PROGRESS_PLAIN);
	assert_int_equal(terminal_mode(PROGRESS_AUTO, slave), PROGRESS_BAR);
	assert_int_equal(terminal_mode(PROGRESS_BAR, slave), PROGRESS_BAR);
	assert_int_equal(terminal_mode(PROGRESS_JSON, slave),
			 PROGRESS_JSON);
	setenv("TERM", "dumb", 1);
	assert_int_equal(terminal_mode(PROGRESS_AUTO, slave),
			 PROGRESS_PLAIN);
	assert_int_equal(terminal_mode(PROGRESS_BAR, slave),
			 PROGRESS_PLAIN);
	unsetenv("TERM");
	assert_int_equal(terminal_mode(PROGRESS_AUTO, slave),
			 PROGRESS_PLAIN);
	close(fds[0]);
	close(fds[1]);
	close(master);
	close(slave);
}

static void
the_first_locale_that_is_set_decides(void **state)
{
	(void)state;
	unsetenv("LC_ALL");
	unsetenv("LC_CTYPE");
	unsetenv("LANG");
	assert_false(terminal_utf8());
	setenv("LANG", "de_DE.utf8", 1);
	assert_true(terminal_utf8());
	setenv("LC_CTYPE", "C", 1);
	assert_false(terminal_utf8());
	setenv("LC_ALL", "xx_XX.UTF-8", 1);
	assert_true(terminal_utf8());
	setenv("LC_ALL", "", 1);
	assert_false(terminal_utf8());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    the_last_state_is_shown_however_short_the_run),
		cmocka_unit_test(messages_go_to_standard_error_in_order),
		cmocka_unit_test(json_events_come_in_order_and_exit_is_last),
		cmocka_unit_test(json_has_a_progress_however_short_the_download),
		cmocka_unit_test(json_says_seeding_no_sooner_than_it_does),
		cmocka_unit_test(events_are_for_json_alone),
		cmocka_unit_test(those_that_go_are_no_news_of_others),
		cmocka_unit_test(a_reader_who_never_reads_holds_up_nothing),
		cmocka_unit_test(a_slow_reader_gets_the_end_as_well),
		cmocka_unit_test(a_slow_reader_is_left_once_it_is_to_hurry),
		cmocka_unit_test(
		    what_is_too_much_for_a_reader_is_cut_off_before_the_end),
		cmocka_unit_test(a_reader_who_left_ends_the_display_only),
		cmocka_unit_test(
		    a_terminal_gets_the_frame_and_its_cursor_back),
		cmocka_unit_test(a_display_that_hangs_lets_its_source_go),
		cmocka_unit_test(
		    restoring_writes_only_when_the_cursor_is_hidden),
		cmocka_unit_test(bars_are_plain_without_a_terminal),
		cmocka_unit_test(the_first_locale_that_is_set_decides),
	};

	/* As the program has it: a reader who leaves is no end. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
