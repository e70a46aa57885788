#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sync.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "session/readers.h"

#define PIPES (READERS_MAX + 2)

static const char torrent[] =
    "d4:infod6:lengthi1e4:name1:x12:piece lengthi16384e"
    "6:pieces20:aaaaaaaaaaaaaaaaaaaaee";

/* Readers, and pipes to read from. */
struct world {
	struct wake wake;
	struct wake stop;
	struct readers *readers;
	int fds[PIPES][2];
	char paths[PIPES][32];
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct readers_config config = {
		.limits = {.until = CLOCK_NEVER},
		.wake = &w->wake,
	};

	assert_int_equal(wake_init(&w->wake, NULL), 0);
	assert_int_equal(wake_init(&w->stop, NULL), 0);
	config.limits.stop_fd = w->stop.fd;
	w->readers = readers_new(&config, NULL);
	assert_non_null(w->readers);
	for (size_t i = 0; i < PIPES; i++) {
		assert_int_equal(pipe(w->fds[i]), 0);
		snprintf(w->paths[i], sizeof(w->paths[i]), "/dev/fd/%d",
			 w->fds[i][0]);
	}
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	wake_up(&w->stop);
	readers_free(w->readers);
	for (size_t i = 0; i < PIPES; i++) {
		close(w->fds[i][0]);
		if (w->fds[i][1] >= 0)
			close(w->fds[i][1]);
	}
	wake_release(&w->wake);
	wake_release(&w->stop);
	free(w);
	return 0;
}

static void
add(struct world *w, size_t i)
{
	struct source s;

	assert_int_equal(source_open(&s, w->paths[i], NULL), 0);
	assert_int_equal(readers_add(w->readers, &s, NULL), 0);
}

static void
say(struct world *w, size_t i, const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(write(w->fds[i][1], text, n), n);
	close(w->fds[i][1]);
	w->fds[i][1] = -1;
}

/* The next that has ended. */
static struct readers_result
await(struct world *w)
{
	struct pollfd fd = {.fd = w->wake.fd, .events = POLLIN};
	struct readers_result got;

	while (!readers_take(w->readers, &got)) {
		assert_int_equal(poll(&fd, 1, 10000), 1);
		wake_drain(&w->wake);
	}
	return got;
}

static void
await_good(struct world *w, size_t i)
{
	struct readers_result got = await(w);

	assert_string_equal(got.arg, w->paths[i]);
	assert_non_null(got.meta);
	metainfo_free(got.meta);
}

static void
one_that_waits_keeps_no_other(void **state)
{
	struct world *w = *state;

	add(w, 0);
	add(w, 1);
	say(w, 1, torrent);
	await_good(w, 1);
	assert_false(readers_idle(w->readers));
	say(w, 0, torrent);
	await_good(w, 0);
	assert_true(readers_idle(w->readers));
}

static void
a_link_is_taken_as_one(void **state)
{
	struct world *w = *state;
	struct readers_result got;

	add(w, 0);
	say(w, 0, "# a page\nmagnet:?xt=urn:btih:"
	    "0123456789abcdef0123456789abcdef01234567\n");
	got = await(w);
	assert_null(got.meta);
	assert_non_null(got.link);
	magnet_free(got.link);
}

static void
what_is_no_torrent_is_told(void **state)
{
	struct world *w = *state;
	struct readers_result got;

	add(w, 0);
	say(w, 0, "nonsense");
	got = await(w);
	assert_string_equal(got.arg, w->paths[0]);
	assert_null(got.meta);
	assert_null(got.link);
	assert_int_equal(got.error.kind, ERROR_TORRENT);
}

static void
more_than_have_a_place_take_turns(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < PIPES; i++)
		add(w, i);
	say(w, PIPES - 1, torrent);
	for (size_t i = 0; i < PIPES - READERS_MAX; i++) {
		say(w, i, torrent);
		await_good(w, i);
	}
	await_good(w, PIPES - 1);
}

static void
one_pipe_is_read_once(void **state)
{
	struct world *w = *state;

	add(w, 0);
	add(w, 0);
	say(w, 0, torrent);
	await_good(w, 0);
	assert_true(readers_idle(w->readers));
}

static void
all_end_once_they_are_told_to(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < PIPES; i++)
		add(w, i);
	wake_up(&w->stop);
	for (size_t i = 0; i < PIPES; i++)
		assert_int_equal(await(w).error.kind, ERROR_STOPPED);
	assert_true(readers_idle(w->readers));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_that_waits_keeps_no_other),
		TEST(a_link_is_taken_as_one),
		TEST(what_is_no_torrent_is_told),
		TEST(more_than_have_a_place_take_turns),
		TEST(one_pipe_is_read_once),
		TEST(all_end_once_they_are_told_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
