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
		assert_int_equal(source_read(path, &out, &e), 0);
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
	assert_int_equal(source_read("/nowhere/x", &out, &e), -1);
	assert_int_equal(e.kind, ERROR_TORRENT);
	assert_string_equal(e.text, "cannot open: No such file or directory");
	buffer_release(&out);
	assert_int_equal(source_read("/tmp", &out, &e), -1);
	assert_int_equal(e.kind, ERROR_TORRENT);
	assert_string_equal(e.text, "cannot read: Is a directory");
	buffer_release(&out);
}

static void
a_fifo_that_nobody_feeds_can_be_left(void **state)
{
	int ends[2];
	char path[64];
	struct wake stop;
	struct buffer out;
	struct error e;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(wake_init(&stop, &e), 0);
	wake_up(&stop);
	snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
	assert_int_equal(source_read_until(path, NULL, stop.fd, CLOCK_NEVER,
					   &out, &e), -1);
	assert_int_equal(e.kind, ERROR_STOPPED);
	buffer_release(&out);
	assert_int_equal(source_read_until(path, NULL, -1, clock_ns(), &out, &e),
			 -1);
	assert_int_equal(e.kind, ERROR_TORRENT);
	buffer_release(&out);
	wake_release(&stop);
	close(ends[0]);
	close(ends[1]);
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
		cmocka_unit_test(labels_hide_secrets_and_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
