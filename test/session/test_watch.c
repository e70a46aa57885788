#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "session/watch.h"

struct room {
	char base[64];
	char dir[80];
	struct watch *watch;
	struct log *log;
	int64_t now;
	char taken[512];	/* "name=content " of each */
	char told[2048];	/* lines of the log, with '\n' */
	char refused[512];	/* "name=why " of each */
	bool busy;		/* "busy" is to be shown again */
};

static void
on_line(void *ctx, enum log_level level, const char *who, const char *about,
	const char *line)
{
	struct room *r = ctx;
	size_t n = strlen(r->told);

	(void)level;
	assert_null(about);
	snprintf(r->told + n, sizeof(r->told) - n, "%s%s%s\n",
		 who ? who : "", who ? ": " : "", line);
}

static void
on_refused(void *ctx, const char *name, const struct error *e)
{
	struct room *r = ctx;
	size_t n = strlen(r->refused);

	snprintf(r->refused + n, sizeof(r->refused) - n, "%s=%s ", name,
		 e->text);
}

/* What begins with "bad" is no good, nor is nothing. */
static int
take(void *ctx, const char *name, struct buffer *data, struct error *e)
{
	struct room *r = ctx;
	size_t n = strlen(r->taken);

	if (data->used == 0 ||
	    (data->used >= 3 && memcmp(data->data, "bad", 3) == 0))
		return error_set(e, ERROR_TORRENT, "no good");
	if (r->busy && data->used >= 4 && memcmp(data->data, "busy", 4) == 0)
		return 1;
	snprintf(r->taken + n, sizeof(r->taken) - n, "%s=%.*s ", name,
		 (int)data->used, (const char *)data->data);
	return 0;
}

static void
open_room(struct room *r, bool inotify)
{
	struct watch_config config = {
		.dir = r->dir, .inotify = inotify,
		.refused = on_refused, .ctx = r,
	};
	struct error e;

	memset(r, 0, sizeof(*r));
	strcpy(r->base, "/tmp/btget-watch-XXXXXX");
	assert_non_null(mkdtemp(r->base));
	snprintf(r->dir, sizeof(r->dir), "%s/in", r->base);
	assert_int_equal(mkdir(r->dir, 0777), 0);
	r->log = log_new(LOG_WARNING, on_line, r);
	r->watch = watch_new(&config, r->log, &e);
	assert_non_null(r->watch);
	r->now = 1000 * CLOCK_S;
}

static int
remove_one(const char *path, const struct stat *st, int flag,
	   struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void
close_room(struct room *r)
{
	watch_free(r->watch);
	log_free(r->log);
	nftw(r->base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Lets so much time go by, in steps in which it looks when it wants to, and
 * returns what was taken meanwhile. */
static const char *
pass(struct room *r, int64_t span)
{
	int64_t until = r->now + span;

	*r->taken = '\0';
	for (int i = 0; i < 10000; i++) {
		watch_look(r->watch, r->now, take, r);
		if (watch_due(r->watch) > until)
			break;
		if (watch_due(r->watch) > r->now)
			r->now = watch_due(r->watch);
		else
			r->now++;
	}
	r->now = until;
	return r->taken;
}

static const char *
path_of(const struct room *r, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	return path;
}

/* Writes without closing; fd -1 opens the file. */
static int
grow(const struct room *r, int fd, const char *name, const char *text)
{
	size_t n = strlen(text);

	if (fd < 0)
		fd = open(path_of(r, name), O_WRONLY | O_CREAT | O_TRUNC,
			  0666);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	return fd;
}

static void
put(const struct room *r, const char *name, const char *text)
{
	close(grow(r, -1, name, text));
}

static void
a_file_that_was_closed_is_taken_at_once(void **state)
{
	struct room r;

	(void)state;
	open_room(&r, true);
	assert_string_equal(pass(&r, CLOCK_S), "");
	put(&r, "a.torrent", "1");
	put(&r, "b.MAGNET", "2");
	assert_string_equal(pass(&r, 200 * CLOCK_MS),
			    "a.torrent=1 b.MAGNET=2 ");
	assert_string_equal(pass(&r, 100 * CLOCK_S), "");
	assert_string_equal(r.told, "");
	close_room(&r);
}

static void
what_was_there_before_is_taken(void **state)
{
	struct room r;

	(void)state;
	open_room(&r, true);
	put(&r, "a.torrent", "1");
	watch_free(r.watch);
	r.watch = watch_new(&(struct watch_config){
				.dir = r.dir, .inotify = true }, r.log,
			    NULL);
	assert_string_equal(pass(&r, 3 * CLOCK_S), "a.torrent=1 ");
	close_room(&r);
}

static void
other_files_are_left_alone(void **state)
{
	struct room r;

	(void)state;
	open_room(&r, true);
	put(&r, ".x.torrent", "1");
	put(&r, "x.torrent.part", "1");
	put(&r, ".torrent", "1");
	put(&r, "x", "1");
	assert_int_equal(mkdir(path_of(&r, "d.torrent"), 0777), 0);
	assert_int_equal(mkfifo(path_of(&r, "f.torrent"), 0666), 0);
	assert_int_equal(symlink("/dev/zero", path_of(&r, "z.torrent")), 0);
	assert_string_equal(pass(&r, 60 * CLOCK_S), "");
	assert_string_equal(r.told, "");
	close_room(&r);
}

static void
a_file_that_still_grows_is_waited_for(void **state)
{
	struct room r;
	int fd;

	(void)state;
	open_room(&r, true);
	fd = grow(&r, -1, "a.torrent", "bad ");
	/* It stands still, and cannot be read: nothing is told yet. */
	assert_string_equal(pass(&r, 10 * CLOCK_S), "");
	grow(&r, fd, NULL, "more");
	assert_string_equal(pass(&r, 25 * CLOCK_S), "");
	assert_string_equal(r.told, "");
	assert_int_equal(pwrite(fd, "now", 3, 0), 3);
	close(fd);
	assert_string_equal(pass(&r, CLOCK_S), "a.torrent=now more ");
	assert_string_equal(r.told, "");
	close_room(&r);
}

static void
without_events_a_file_must_settle(void **state)
{
	struct room r;
	int fd;

	(void)state;
	open_room(&r, false);
	assert_int_equal(watch_fd(r.watch), -1);
	assert_string_equal(pass(&r, CLOCK_S), "");
	fd = grow(&r, -1, "a.torrent", "1");
	watch_look(r.watch, r.now += 3 * CLOCK_S, take, &r);
	grow(&r, fd, NULL, "2");
	watch_look(r.watch, r.now += 900 * CLOCK_MS, take, &r);
	assert_string_equal(r.taken, "");
	close(fd);
	assert_string_equal(pass(&r, 5 * CLOCK_S), "a.torrent=12 ");
	assert_string_equal(pass(&r, 60 * CLOCK_S), "");
	close_room(&r);
}

static void
a_bad_file_is_told_of_once(void **state)
{
	struct room r;

	(void)state;
	open_room(&r, true);
	put(&r, "a.torrent", "bad");
	put(&r, "b.torrent", "1");
	assert_string_equal(pass(&r, CLOCK_S), "b.torrent=1 ");
	assert_string_equal(r.told, "a.torrent: no good\n");
	pass(&r, 100 * CLOCK_S);
	assert_string_equal(r.told, "a.torrent: no good\n");
	assert_string_equal(r.refused, "a.torrent=no good ");
	/* Another try is another file. */
	put(&r, "a.torrent", "2");
	assert_string_equal(pass(&r, CLOCK_S), "a.torrent=2 ");
	close_room(&r);
}

static void
an_empty_file_is_waited_for(void **state)
{
	struct room r;

	(void)state;
	open_room(&r, true);
	put(&r, "a.torrent", "");
	put(&r, "b.torrent", "");
	assert_string_equal(pass(&r, 2 * CLOCK_S), "");
	assert_string_equal(r.told, "");
	put(&r, "a.torrent", "1");
	assert_string_equal(pass(&r, CLOCK_S), "a.torrent=1 ");
	pass(&r, 100 * CLOCK_S);
	assert_string_equal(r.told, "b.torrent: no good\n");
	close_room(&r);
}

static void
a_bad_file_that_nobody_closes_is_told_of_in_the_end(void **state)
{
	struct room r;

	(void)state;
	open_room(&r, false);
	put(&r, "a.torrent", "bad");
	pass(&r, 20 * CLOCK_S);
	assert_string_equal(r.told, "");
	pass(&r, 20 * CLOCK_S);
	assert_string_equal(r.told, "a.torrent: no good\n");
	close_room(&r);
}

static void
a_file_that_was_moved_here_is_whole(void **state)
{
	struct room r;
	char from[128];

	(void)state;
	open_room(&r, true);
	snprintf(from, sizeof(from), "%s/x", r.base);
	assert_string_equal(pass(&r, CLOCK_S), "");
	put(&r, "../x", "1");
	assert_int_equal(rename(from, path_of(&r, "a.torrent")), 0);
	assert_string_equal(pass(&r, 200 * CLOCK_MS), "a.torrent=1 ");
	close_room(&r);
}

static void
a_removed_folder_is_waited_for(void **state)
{
	struct room r;
	char away[128];

	(void)state;
	for (int inotify = 0; inotify < 2; inotify++) {
		open_room(&r, inotify);
		snprintf(away, sizeof(away), "%s/away", r.base);
		assert_int_equal(rmdir(r.dir), 0);
		assert_string_equal(pass(&r, 30 * CLOCK_S), "");
		assert_non_null(strstr(r.told, "No such file or directory; "
				       "waiting for it\n"));
		assert_int_equal(strchr(r.told, '\n')[1], '\0');
		assert_int_equal(mkdir(r.dir, 0777), 0);
		put(&r, "a.torrent", "1");
		assert_string_equal(pass(&r, 5 * CLOCK_S), "a.torrent=1 ");
		assert_non_null(strstr(r.told, "' is back\n"));
		/* Moved away, and another one in its place. */
		assert_int_equal(rename(r.dir, away), 0);
		assert_int_equal(mkdir(r.dir, 0777), 0);
		put(&r, "b.torrent", "2");
		assert_string_equal(pass(&r, 5 * CLOCK_S), "b.torrent=2 ");
		close_room(&r);
	}
}

static void
a_new_folder_has_events_too(void **state)
{
	struct room r;

	(void)state;
	open_room(&r, true);
	assert_int_equal(rmdir(r.dir), 0);
	assert_int_equal(mkdir(r.dir, 0777), 0);
	pass(&r, 2 * CLOCK_S);
	put(&r, "a.torrent", "1");
	assert_string_equal(pass(&r, 200 * CLOCK_MS), "a.torrent=1 ");
	close_room(&r);
}

static void
a_file_that_comes_again_is_taken_again(void **state)
{
	struct room r;

	(void)state;
	open_room(&r, true);
	put(&r, "a.torrent", "1");
	pass(&r, CLOCK_S);
	assert_int_equal(unlink(path_of(&r, "a.torrent")), 0);
	pass(&r, 20 * CLOCK_S);
	put(&r, "a.torrent", "1");
	assert_string_equal(pass(&r, CLOCK_S), "a.torrent=1 ");
	close_room(&r);
}

/* The same file, which only was elsewhere. */
static void
a_file_that_is_moved_away_and_back_is_taken_again(void **state)
{
	char away[128];
	struct room r;

	(void)state;
	open_room(&r, true);
	snprintf(away, sizeof(away), "%s/away", r.base);
	put(&r, "a.torrent", "1");
	pass(&r, CLOCK_S);
	assert_int_equal(rename(path_of(&r, "a.torrent"), away), 0);
	assert_string_equal(pass(&r, 3 * CLOCK_S), "");
	assert_int_equal(rename(away, path_of(&r, "a.torrent")), 0);
	assert_string_equal(pass(&r, CLOCK_S), "a.torrent=1 ");
	assert_string_equal(pass(&r, 100 * CLOCK_S), "");
	close_room(&r);
}

/* With a.torrent that cannot be read.  Nothing is forbidden to root, so that it
 * is somebody else for a while: returns who it was. */
static uid_t
open_forbidden(struct room *r, bool inotify)
{
	uid_t us = geteuid();

	open_room(r, inotify);
	chmod(r->base, 0755);
	chmod(r->dir, 0755);
	put(r, "a.torrent", "1");
	chmod(path_of(r, "a.torrent"), 0);
	if (us == 0)
		assert_int_equal(seteuid(65534), 0);
	return us;
}

static void
a_file_that_cannot_be_read_is_tried_again(void **state)
{
	struct room r;
	uid_t us = open_forbidden(&r, true);

	(void)state;
	assert_string_equal(pass(&r, 200 * CLOCK_S), "");
	assert_string_equal(r.told,
			    "a.torrent: cannot open: Permission denied\n");
	assert_int_equal(seteuid(us), 0);
	chmod(path_of(&r, "a.torrent"), 0444);
	assert_string_equal(pass(&r, 60 * CLOCK_S), "a.torrent=1 ");
	assert_string_equal(pass(&r, 100 * CLOCK_S), "");
	close_room(&r);
}

/* As where its server is away for a moment; here it is a link to itself. */
static void
a_file_that_cannot_be_looked_at_is_not_forgotten(void **state)
{
	char away[256];
	struct room r;

	(void)state;
	open_room(&r, false);
	snprintf(away, sizeof(away), "%s/away", r.base);
	put(&r, "a.torrent", "1");
	assert_string_equal(pass(&r, 20 * CLOCK_S), "a.torrent=1 ");
	assert_int_equal(rename(path_of(&r, "a.torrent"), away), 0);
	assert_int_equal(symlink("a.torrent", path_of(&r, "a.torrent")), 0);
	assert_string_equal(pass(&r, 20 * CLOCK_S), "");
	assert_int_equal(rename(away, path_of(&r, "a.torrent")), 0);
	assert_string_equal(pass(&r, 100 * CLOCK_S), "");
	close_room(&r);
}

/* Its hour has come, and nothing comes of it: no reason to try at once. */
static void
what_could_not_be_read_and_is_away_is_no_work_without_end(void **state)
{
	struct room r;
	uid_t us = open_forbidden(&r, false);

	(void)state;
	assert_string_equal(pass(&r, 30 * CLOCK_S), "");
	assert_int_equal(seteuid(us), 0);
	assert_int_equal(unlink(path_of(&r, "a.torrent")), 0);
	assert_int_equal(symlink("a.torrent", path_of(&r, "a.torrent")), 0);
	assert_string_equal(pass(&r, 100 * CLOCK_S), "");
	watch_look(r.watch, r.now, take, &r);
	assert_true(watch_due(r.watch) > r.now);
	close_room(&r);
}

static void
a_file_that_is_not_wanted_yet_is_shown_again(void **state)
{
	struct room r;

	(void)state;
	open_room(&r, true);
	r.busy = true;
	put(&r, "a.torrent", "busy");
	put(&r, "b.torrent", "1");
	assert_string_equal(pass(&r, 20 * CLOCK_S), "b.torrent=1 ");
	assert_string_equal(r.told, "");
	r.busy = false;
	assert_string_equal(pass(&r, CLOCK_S), "a.torrent=busy ");
	assert_string_equal(pass(&r, 100 * CLOCK_S), "");
	close_room(&r);
}

static void
no_folder_is_an_error_at_the_start(void **state)
{
	struct watch_config config = { .dir = "/nowhere", .inotify = true };
	struct error e;

	(void)state;
	assert_null(watch_new(&config, NULL, &e));
	assert_int_equal(e.kind, ERROR_STORAGE);
	assert_string_equal(e.text, "cannot watch '/nowhere': No such file "
			    "or directory");
	config.dir = "/dev/null";
	assert_null(watch_new(&config, NULL, &e));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_was_closed_is_taken_at_once),
		cmocka_unit_test(what_was_there_before_is_taken),
		cmocka_unit_test(other_files_are_left_alone),
		cmocka_unit_test(a_file_that_still_grows_is_waited_for),
		cmocka_unit_test(without_events_a_file_must_settle),
		cmocka_unit_test(a_bad_file_is_told_of_once),
		cmocka_unit_test(an_empty_file_is_waited_for),
		cmocka_unit_test(
		    a_bad_file_that_nobody_closes_is_told_of_in_the_end),
		cmocka_unit_test(a_file_that_was_moved_here_is_whole),
		cmocka_unit_test(a_removed_folder_is_waited_for),
		cmocka_unit_test(a_new_folder_has_events_too),
		cmocka_unit_test(a_file_that_comes_again_is_taken_again),
		cmocka_unit_test(
		    a_file_that_is_moved_away_and_back_is_taken_again),
		cmocka_unit_test(a_file_that_cannot_be_read_is_tried_again),
		cmocka_unit_test(
		    a_file_that_cannot_be_looked_at_is_not_forgotten),
		cmocka_unit_test(
		    what_could_not_be_read_and_is_away_is_no_work_without_end),
		cmocka_unit_test(
		    a_file_that_is_not_wanted_yet_is_shown_again),
		cmocka_unit_test(no_folder_is_an_error_at_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
