#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/dht_cache.h"

static char folder[64];
static char path[128];

static int
setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/btget-test-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/a/btget/dht.dat", folder);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const below[] = {"a/btget/dht.dat", "a/btget",
					    "a", "."};
	char name[256];

	(void)state;
	for (size_t i = 0; i < sizeof(below) / sizeof(*below); i++) {
		snprintf(name, sizeof(name), "%s/%s", folder, below[i]);
		if (i == 3)
			snprintf(name, sizeof(name), "%s", folder);
		if (remove(name) < 0 && i == 3)
			return -1;
	}
	return 0;
}

static void
what_was_written_is_read(void **state)
{
	struct buffer in;

	(void)state;
	assert_int_equal(dht_cache_write(path, "old", 3, NULL), 0);
	assert_int_equal(dht_cache_write(path, "newer", 5, NULL), 0);
	buffer_init(&in, 8192);
	assert_int_equal(dht_cache_read(path, &in, NULL), 0);
	assert_string_equal(buffer_text(&in), "newer");
	buffer_release(&in);
}

static void
a_file_as_large_as_allowed_is_read(void **state)
{
	static char large[8000];
	struct buffer in;

	(void)state;
	assert_int_equal(dht_cache_write(path, large, sizeof(large), NULL), 0);
	buffer_init(&in, 8192);
	assert_int_equal(dht_cache_read(path, &in, NULL), 0);
	assert_int_equal(in.used, sizeof(large));
	buffer_release(&in);
}

static void
no_file_is_no_error(void **state)
{
	struct buffer in;

	(void)state;
	buffer_init(&in, 8192);
	assert_int_equal(dht_cache_read(path, &in, NULL), 0);
	assert_int_equal(in.used, 0);
	buffer_release(&in);
}

static void
a_file_that_is_too_large_is_refused(void **state)
{
	static char large[20000];
	struct buffer in;

	(void)state;
	assert_int_equal(dht_cache_write(path, large, sizeof(large), NULL), 0);
	buffer_init(&in, 8192);
	assert_int_equal(dht_cache_read(path, &in, NULL), -1);
	buffer_release(&in);
}

static void
a_fifo_in_its_place_hangs_nobody(void **state)
{
	struct buffer in;

	(void)state;
	assert_int_equal(dht_cache_write(path, "", 0, NULL), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	buffer_init(&in, 8192);
	assert_int_equal(dht_cache_read(path, &in, NULL), -1);
	buffer_release(&in);
}

static void
a_failed_write_leaves_nothing_behind(void **state)
{
	struct error e;
	DIR *dir;
	unsigned files = 0;

	(void)state;
	assert_int_equal(dht_cache_write(path, "", 0, NULL), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(dht_cache_write(path, "x", 1, &e), -1);
	assert_non_null(strstr(e.text, "cannot replace"));
	path[strlen(path) - strlen("/dht.dat")] = '\0';
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))	/* NOLINT(concurrency-mt-unsafe) */
		files++;
	closedir(dir);
	assert_int_equal(files, 3);	/* ".", ".." and the folder */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_was_written_is_read),
	    TEST(a_file_as_large_as_allowed_is_read),
	    TEST(no_file_is_no_error),
	    TEST(a_file_that_is_too_large_is_refused),
	    TEST(a_fifo_in_its_place_hangs_nobody),
	    TEST(a_failed_write_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
