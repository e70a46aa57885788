#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sync.h"
#include "session/check.h"
#include "session/maker.h"

#define PIECE 16384

/* A folder with data of two files, and a torrent of it. */
struct scene {
	char dir[64];
	char torrent[96];
	struct check_result r;
	struct error e;
};

static char *
path_of(const struct scene *s, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	return path;
}

static void
put(const struct scene *s, const char *name, size_t size)
{
	int fd = open(path_of(s, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	uint8_t *data = malloc(size + 1);

	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(write(fd, data, size), size);
	free(data);
	close(fd);
}

static int
setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct maker_options m = {
		.piece_length = PIECE, .creation_date = -1, .threads = 1,
	};
	struct maker_progress progress = { 0 };
	struct buffer out;

	strcpy(s->dir, "/tmp/btget-check-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	assert_int_equal(mkdir(path_of(s, "data"), 0700), 0);
	put(s, "data/a", 3 * PIECE + 100);
	put(s, "data/b", 50);
	put(s, "data/empty", 0);
	buffer_init(&out, METAINFO_SIZE_MAX);
	assert_int_equal(maker_run(path_of(s, "data"), &m, &progress, &out,
				   &s->e), 0);
	strcpy(s->torrent, path_of(s, "t"));
	assert_int_equal(maker_save(s->torrent, &out, &s->e), 0);
	buffer_release(&out);
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = {
		"data/a", "data/b", "data/empty", "data", "data.part/a",
		"data.part/b", "data.part/empty", "data.part", "t", "",
	};
	struct scene *s = *state;

	check_release(&s->r);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		remove(path_of(s, names[i]));
	free(s);
	return 0;
}

static int
run_stoppable(struct scene *s, const char *dir, int stop_fd)
{
	const struct check_job job = {
		.torrent = s->torrent, .dir = dir, .stop_fd = stop_fd,
	};

	return check_run(&job, &s->r, &s->e);
}

static void
run(struct scene *s)
{
	if (run_stoppable(s, s->dir, -1) < 0)
		fail_msg("%s", s->e.text);
}

static void
data_that_is_all_right_is_complete(void **state)
{
	struct scene *s = *state;

	run(s);
	assert_true(s->r.complete);
	assert_string_equal(s->r.name, "data");
	assert_int_equal(strlen(s->r.info_hash), 40);
	assert_int_equal(s->r.pieces, 4);
	assert_int_equal(s->r.pieces_good, 4);
	assert_int_equal(s->r.file_count, 3);
	assert_string_equal(s->r.files[0].path, "a");
	assert_int_equal(s->r.files[0].good, 3 * PIECE + 100);
}

static void
one_wrong_byte_costs_its_piece(void **state)
{
	struct scene *s = *state;
	int fd = open(path_of(s, "data/a"), O_WRONLY);

	assert_int_equal(pwrite(fd, "!", 1, PIECE + 5), 1);
	close(fd);
	run(s);
	assert_false(s->r.complete);
	assert_int_equal(s->r.pieces_good, 3);
	assert_int_equal(s->r.files[0].good, 2 * PIECE + 100);
	assert_false(s->r.files[0].missing || s->r.files[0].wrong_size);
	assert_int_equal(s->r.files[1].good, 50);
}

static void
missing_files_are_named_even_empty_ones(void **state)
{
	struct scene *s = *state;

	unlink(path_of(s, "data/b"));
	unlink(path_of(s, "data/empty"));
	run(s);
	assert_false(s->r.complete);
	assert_false(s->r.files[0].missing);
	assert_true(s->r.files[1].missing);
	assert_true(s->r.files[2].missing);
	/* The last piece has bytes of both. */
	assert_int_equal(s->r.files[0].good, 3 * PIECE);
	assert_true(s->r.files[0].unsure);
	assert_false(s->r.files[1].unsure);
}

static void
what_is_wrong_by_itself_is_not_unsure(void **state)
{
	struct scene *s = *state;
	int fd = open(path_of(s, "data/a"), O_WRONLY);

	unlink(path_of(s, "data/b"));
	assert_int_equal(pwrite(fd, "!", 1, PIECE + 5), 1);
	close(fd);
	run(s);
	assert_int_equal(s->r.files[0].good, 2 * PIECE);
	assert_false(s->r.files[0].unsure);
}

static void
a_file_that_is_too_long_is_wrong(void **state)
{
	struct scene *s = *state;

	assert_int_equal(truncate(path_of(s, "data/b"), 51), 0);
	run(s);
	assert_int_equal(s->r.pieces_good, 4);
	assert_true(s->r.files[1].wrong_size);
	assert_false(s->r.complete);
}

static void
unfinished_data_is_looked_at_too(void **state)
{
	struct scene *s = *state;
	char from[256];

	strcpy(from, path_of(s, "data"));
	assert_int_equal(rename(from, path_of(s, "data.part")), 0);
	run(s);
	assert_true(s->r.complete);
}

static void
a_folder_that_is_not_there_holds_nothing(void **state)
{
	struct scene *s = *state;
	char nowhere[256];

	strcpy(nowhere, path_of(s, "nowhere"));
	assert_int_equal(run_stoppable(s, nowhere, -1), 0);
	assert_false(s->r.complete);
	assert_int_equal(s->r.pieces_good, 0);
	assert_true(s->r.files[0].missing);
	assert_int_not_equal(access(nowhere, F_OK), 0);
}

static void
nothing_is_created(void **state)
{
	struct scene *s = *state;

	unlink(path_of(s, "data/b"));
	run(s);
	assert_int_not_equal(access(path_of(s, "data/b"), F_OK), 0);
	assert_int_not_equal(access(path_of(s, ".btget"), F_OK), 0);
}

static void
it_can_be_stopped(void **state)
{
	struct scene *s = *state;
	struct wake stop;

	assert_int_equal(wake_init(&stop, &s->e), 0);
	wake_up(&stop);
	assert_int_equal(run_stoppable(s, s->dir, stop.fd), -1);
	assert_int_equal(s->e.kind, ERROR_STOPPED);
	wake_release(&stop);
}

static void
what_is_no_torrent_is_refused(void **state)
{
	struct scene *s = *state;

	strcpy(s->torrent, path_of(s, "data/a"));
	assert_int_equal(run_stoppable(s, s->dir, -1), -1);
	assert_int_equal(s->e.kind, ERROR_TORRENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(data_that_is_all_right_is_complete),
		TEST(one_wrong_byte_costs_its_piece),
		TEST(missing_files_are_named_even_empty_ones),
		TEST(what_is_wrong_by_itself_is_not_unsure),
		TEST(a_file_that_is_too_long_is_wrong),
		TEST(unfinished_data_is_looked_at_too),
		TEST(a_folder_that_is_not_there_holds_nothing),
		TEST(nothing_is_created),
		TEST(it_can_be_stopped),
		TEST(what_is_no_torrent_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
