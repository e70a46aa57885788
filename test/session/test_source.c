#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sync.h"
#include "session/source.h"

static void
a_file_is_read_whole(void **state)
{
	/* About the portion that is read at once, and about what a buffer
	 * that doubles holds. */
	static const size_t sizes[] = {0, 1, 65534, 65535, 65536, 65537,
				       131071, 131072, 1000000};
	static uint8_t data[1000000];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char path[] = "/tmp/btget-source-XXXXXX";
		int fd = mkstemp(path);
		struct buffer out;
		struct error e;

		assert_int_equal(write(fd, data, sizes[i]), sizes[i]);
		assert_int_equal(source_read(path, NULL, &out, &e), 0);
		assert_int_equal(out.used, sizes[i]);
		if (sizes[i] > 0)
			assert_memory_equal(out.data, data, sizes[i]);
		buffer_release(&out);
		close(fd);
		unlink(path);
	}
}

static void
what_cannot_be_read_is_a_torrent_error(void **state)
{
	struct buffer out;
	struct error e;

	(void)state;
	assert_int_equal(source_read("/nowhere/x", NULL, &out, &e), -1);
	assert_int_equal(e.kind, ERROR_TORRENT);
	assert_string_equal(e.text, "cannot open: No such file or directory");
	buffer_release(&out);
	assert_int_equal(source_read("/tmp", NULL, &out, &e), -1);
	assert_int_equal(e.kind, ERROR_TORRENT);
	assert_string_equal(e.text, "cannot read: Is a directory");
	buffer_release(&out);
}

/* A pipe, as a path. */
struct ends {
	int fds[2];
	char path[64];
};

static void
ends_init(struct ends *ends)
{
	assert_int_equal(pipe(ends->fds), 0);
	snprintf(ends->path, sizeof(ends->path), "/dev/fd/%d", ends->fds[0]);
}

static void
ends_release(const struct ends *ends)
{
	close(ends->fds[0]);
	close(ends->fds[1]);
}

static void
assert_left(const struct source_limits *limits, enum error_kind kind,
	    const char *why)
{
	struct ends ends;
	struct buffer out;
	struct error e;

	ends_init(&ends);
	assert_int_equal(source_read(ends.path, limits, &out, &e), -1);
	assert_int_equal(e.kind, kind);
	assert_string_equal(e.text, why);
	buffer_release(&out);
	ends_release(&ends);
}

static void
a_fifo_that_nobody_feeds_can_be_left(void **state)
{
	struct source_limits limits = {.stop_fd = -1, .until = clock_ns()};
	struct wake stop;

	(void)state;
	assert_left(&limits, ERROR_TORRENT, "cannot read: the deadline came");
	limits.until = CLOCK_NEVER;
	limits.idle_ns = CLOCK_MS;
	assert_left(&limits, ERROR_TORRENT, "cannot read: no data for 0s");
	assert_int_equal(wake_init(&stop, NULL), 0);
	wake_up(&stop);
	limits.stop_fd = stop.fd;
	assert_left(&limits, ERROR_STOPPED, "interrupted");
	wake_release(&stop);
}

static void
a_url_is_not_asked_for_once_it_is_to_end(void **state)
{
	struct source_limits limits = {.until = CLOCK_NEVER};
	struct wake stop;
	struct buffer out;
	struct error e;

	(void)state;
	assert_int_equal(wake_init(&stop, NULL), 0);
	wake_up(&stop);
	limits.stop_fd = stop.fd;
	assert_int_equal(source_read("http://127.0.0.1:1/", &limits, &out, &e),
			 -1);
	assert_int_equal(e.kind, ERROR_STOPPED);
	buffer_release(&out);
	wake_release(&stop);
}

static void
what_may_keep_us_waiting_is_slow(void **state)
{
	struct ends ends;
	struct source s;

	(void)state;
	ends_init(&ends);
	assert_int_equal(source_open(&s, ends.path, NULL), 0);
	assert_true(s.slow);
	source_close(&s);
	ends_release(&ends);
	assert_int_equal(source_open(&s, "http://host/x", NULL), 0);
	assert_true(s.slow);
	source_close(&s);
	assert_int_equal(source_open(&s, "/proc/self/exe", NULL), 0);
	assert_false(s.slow);
	source_close(&s);
}

static void
labels_hide_secrets_and_escapes(void **state)
{
	char out[256];

	(void)state;
	assert_string_equal(source_label(out, sizeof(out), "-"),
			    "standard input");
	assert_string_equal(source_label(out, sizeof(out), "a\033b"), "a?b");
	assert_null(strstr(source_label(out, sizeof(out),
					"http://u:secret@h/x"), "secret"));
	assert_null(strstr(source_label(out, sizeof(out),
					"HTTPS://h/x?passkey=secret"),
			   "secret"));
	assert_null(strstr(source_label(out, sizeof(out), "udp://h/"
					"0123456789abcdef0123456789abcdef"),
			   "0123456789abcdef"));
	assert_null(strstr(source_label(out, sizeof(out), "magnet:?xt=x&tr="
					"http%3A%2F%2Fh%2Fsecret"),
			   "secret"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_read_whole),
		cmocka_unit_test(what_cannot_be_read_is_a_torrent_error),
		cmocka_unit_test(a_fifo_that_nobody_feeds_can_be_left),
		cmocka_unit_test(a_url_is_not_asked_for_once_it_is_to_end),
		cmocka_unit_test(what_may_keep_us_waiting_is_slow),
		cmocka_unit_test(labels_hide_secrets_and_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
