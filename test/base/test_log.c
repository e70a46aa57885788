#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sync.h"

/* What a sink got. */
struct seen {
	struct mutex lock;
	int count;		/* lock */
	char last[2000];	/* lock */
	char who[2000];		/* lock */
	char about[2000];	/* lock */
	bool has_who;		/* lock */
	enum log_level level;	/* lock */
};

struct fixture {
	struct seen seen;
	char dir[64];
	char path[128];
	char moved[128];
};

static void
sink(void *ctx, enum log_level level, const char *who, const char *about,
     const char *line)
{
	struct seen *s = ctx;

	mutex_lock(&s->lock);
	s->count++;
	s->level = level;
	s->has_who = who != NULL;
	snprintf(s->who, sizeof(s->who), "%s", who ? who : "");
	snprintf(s->about, sizeof(s->about), "%s", about ? about : "");
	snprintf(s->last, sizeof(s->last), "%s", line);
	mutex_unlock(&s->lock);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	mutex_init(&f->seen.lock);
	strcpy(f->dir, "/tmp/btget-log-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/log", f->dir);
	snprintf(f->moved, sizeof(f->moved), "%s/log.1", f->dir);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	unlink(f->moved);
	rmdir(f->dir);
	mutex_release(&f->seen.lock);
	free(f);
	return 0;
}

/* The whole file, as text; of a fixed size, since the log's is bounded. */
static const char *
contents(const char *path)
{
	static char text[1 << 20];
	FILE *file = fopen(path, "r");
	size_t n;

	assert_non_null(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	assert_int_equal(fclose(file), 0);
	text[n] = '\0';
	return text;
}

static size_t
line_count(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void
the_sink_gets_lines_up_to_the_level(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_WARNING, sink, &f->seen);

	assert_true(log_wants(l, LOG_WARNING));
	assert_false(log_wants(l, LOG_NOTICE));
	log_write(l, LOG_NOTICE, NULL, "no");
	assert_int_equal(f->seen.count, 0);
	log_write(l, LOG_WARNING, "name", "yes %d", 1);
	assert_int_equal(f->seen.count, 1);
	assert_int_equal(f->seen.level, LOG_WARNING);
	assert_string_equal(f->seen.who, "name");
	assert_string_equal(f->seen.last, "yes 1");
	log_write(l, LOG_ERROR, NULL, "run");
	assert_false(f->seen.has_who);
	log_free(l);
}

static void
a_null_log_drops_everything(void **state)
{
	(void)state;
	assert_false(log_wants(NULL, LOG_ERROR));
	log_write(NULL, LOG_ERROR, NULL, "text");
	log_free(NULL);
}

static void
the_file_gets_the_time_the_level_and_the_name(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_ERROR, NULL, NULL);
	int year, month, day, hour, minute, second, ms, zone;
	char rest[100];

	assert_int_equal(log_open(l, f->path, NULL), 0);
	log_write(l, LOG_NOTICE, "name", "started");
	log_free(l);
	assert_int_equal(sscanf(contents(f->path),
				"%4d-%2d-%2dT%2d:%2d:%2d.%3d%5d %99[^\n]",
				&year, &month, &day, &hour, &minute, &second,
				&ms, &zone, rest), 9);
	assert_true(year > 2000);
	assert_string_equal(rest, "notice name: started");
}

static void
the_file_is_appended_to_and_takes_notices_at_least(void **state)
{
	struct fixture *f = *state;
	struct log *l;

	for (int i = 0; i < 2; i++) {
		l = log_new(LOG_ERROR, NULL, NULL);
		assert_false(log_wants(l, LOG_ERROR));
		assert_int_equal(log_open(l, f->path, NULL), 0);
		assert_true(log_wants(l, LOG_NOTICE));
		assert_false(log_wants(l, LOG_DETAIL));
		log_write(l, LOG_NOTICE, NULL, "line");
		log_write(l, LOG_DETAIL, NULL, "left out");
		log_free(l);
	}
	assert_int_equal(line_count(contents(f->path)), 2);
}

static void
a_file_that_cannot_be_opened_is_reported(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_ERROR, NULL, NULL);
	struct error e = {0};
	char text[300];

	snprintf(text, sizeof(text), "cannot open log '%s': Is a directory",
		 f->dir);
	assert_int_equal(log_open(l, f->dir, &e), -1);
	assert_int_equal(e.kind, ERROR_STORAGE);
	assert_string_equal(e.text, text);
	assert_int_equal(log_reopen(l, &e), 0);
	log_free(l);
}

static void
reopening_starts_a_new_file_after_a_move(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_ERROR, NULL, NULL);

	assert_int_equal(log_open(l, f->path, NULL), 0);
	log_write(l, LOG_NOTICE, NULL, "first");
	assert_int_equal(rename(f->path, f->moved), 0);
	log_write(l, LOG_NOTICE, NULL, "second");
	assert_int_equal(log_reopen(l, NULL), 0);
	log_write(l, LOG_NOTICE, NULL, "third");
	log_free(l);
	assert_int_equal(line_count(contents(f->moved)), 2);
	assert_non_null(strstr(contents(f->path), "third"));
}

static void
a_failed_reopening_goes_on_in_the_old_file(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_ERROR, NULL, NULL);
	struct error e = {0};

	assert_int_equal(log_open(l, f->path, NULL), 0);
	assert_int_equal(rename(f->path, f->moved), 0);
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(log_reopen(l, &e), -1);
	log_write(l, LOG_NOTICE, NULL, "line");
	log_free(l);
	assert_int_equal(rmdir(f->path), 0);
	assert_int_equal(line_count(contents(f->moved)), 1);
}

static void
names_and_lines_are_cleaned_and_cut(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_ERROR, sink, &f->seen);
	char text[5000];

	log_write(l, LOG_ERROR, "a\nb", "c\x1b[2J\nd");
	assert_string_equal(f->seen.who, "a?b");
	assert_string_equal(f->seen.last, "c?[2J?d");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(log_open(l, f->path, NULL), 0);
	log_write(l, LOG_ERROR, text, "%s", text);
	log_free(l);
	assert_true(strlen(f->seen.last) < 1100);
	assert_int_equal(strlen(f->seen.who), 255);
	assert_int_equal(line_count(contents(f->path)), 1);
}

static void
a_repeated_line_is_counted(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_ERROR, NULL, NULL);

	assert_int_equal(log_open(l, f->path, NULL), 0);
	for (int i = 0; i < 5; i++)
		log_write(l, LOG_WARNING, "name", "same");
	assert_int_equal(line_count(contents(f->path)), 1);
	log_write(l, LOG_WARNING, "other", "same");
	assert_int_equal(line_count(contents(f->path)), 3);
	assert_non_null(strstr(contents(f->path), "repeated: 4"));
	log_write(l, LOG_WARNING, "other", "same");
	log_free(l);
	assert_int_equal(line_count(contents(f->path)), 4);
	assert_non_null(strstr(contents(f->path), "repeated: 1"));
}

static void
the_sink_hears_what_a_log_is_about(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_WARNING, sink, &f->seen);
	struct log *one = log_about(l, "1");

	log_write(one, LOG_WARNING, "name", "text");
	assert_string_equal(f->seen.who, "name");
	assert_string_equal(f->seen.about, "1");
	log_write(l, LOG_WARNING, "name", "text");
	assert_string_equal(f->seen.about, "");
	log_free(one);
	log_write(l, LOG_ERROR, NULL, "still there");
	assert_string_equal(f->seen.last, "still there");
	log_free(l);
}

static void
logs_about_something_share_the_rest(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_DEBUG, NULL, NULL);
	struct log *one = log_about(l, "1"), *two = log_about(l, "2");

	assert_false(log_wants(one, LOG_ERROR));
	assert_int_equal(log_open(l, f->path, NULL), 0);
	assert_true(log_wants(one, LOG_DEBUG));
	for (int i = 0; i < 2000; i++)
		log_write(i % 2 ? one : two, LOG_DEBUG, NULL, "line %d", i);
	log_write(two, LOG_ERROR, NULL, "end");
	assert_non_null(strstr(contents(f->path), "lines dropped here"));
	log_free(one);
	log_free(two);
	log_free(l);
	assert_null(log_about(NULL, "1"));
}

/* Of two that have one name, both tell what they meet. */
static void
what_two_say_is_no_repetition(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_WARNING, sink, &f->seen);
	struct log *one = log_about(l, "1"), *two = log_about(l, "2");

	log_write(one, LOG_WARNING, "name", "same");
	log_write(two, LOG_WARNING, "name", "same");
	assert_int_equal(f->seen.count, 2);
	assert_string_equal(f->seen.about, "2");
	log_write(two, LOG_WARNING, "name", "same");
	assert_int_equal(f->seen.count, 2);
	log_free(one);
	log_free(two);
	log_free(l);
}

/* Also when its log is gone by then. */
static void
the_count_of_repetitions_says_whose_they_are(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_WARNING, sink, &f->seen);
	struct log *one = log_about(l, "1");

	log_write(one, LOG_WARNING, "name", "same");
	log_write(one, LOG_WARNING, "name", "same");
	log_free(one);
	log_free(l);
	assert_int_equal(f->seen.count, 2);
	assert_string_equal(f->seen.last, "(last line repeated: 1)");
	assert_string_equal(f->seen.who, "name");
	assert_string_equal(f->seen.about, "1");
}

/* Of hundreds of torrents that are complete at once, too. */
static void
milestones_all_come_through(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_ERROR, NULL, NULL);

	assert_int_equal(log_open(l, f->path, NULL), 0);
	for (int i = 0; i < 1000; i++)
		log_write(l, LOG_NOTICE, "name", "complete %d", i);
	log_free(l);
	assert_int_equal(line_count(contents(f->path)), 1000);
	assert_null(strstr(contents(f->path), "dropped"));
}

static void
milestones_of_two_with_one_name_are_no_repetition(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_ERROR, NULL, NULL);

	assert_int_equal(log_open(l, f->path, NULL), 0);
	log_write(l, LOG_NOTICE, "name", "complete");
	log_write(l, LOG_NOTICE, "name", "complete");
	log_free(l);
	assert_int_equal(line_count(contents(f->path)), 2);
	assert_null(strstr(contents(f->path), "repeated"));
}

static void
a_flood_is_dropped_and_counted(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_DEBUG, NULL, NULL);
	int64_t began = clock_ns();
	size_t lines, seconds;

	assert_int_equal(log_open(l, f->path, NULL), 0);
	for (int i = 0; i < 5000; i++)
		log_write(l, LOG_DEBUG, NULL, "line %d", i);
	log_free(l);
	seconds = (size_t)((clock_ns() - began) / CLOCK_S) + 2;
	lines = line_count(contents(f->path));
	assert_true(lines <= seconds * 301);
	assert_non_null(strstr(contents(f->path), "lines dropped here"));
}

static void
a_flood_of_detail_does_not_drown_an_error(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_DEBUG, sink, &f->seen);

	for (int i = 0; i < 2000; i++)
		log_write(l, LOG_DEBUG, NULL, "line %d", i);
	log_write(l, LOG_ERROR, NULL, "disk full");
	assert_string_equal(f->seen.last, "disk full");
	log_free(l);
}

/* Each torrent of a long list gets its line, also at one and the same time,
 * and of two that have one name. */
static void
errors_all_come_through(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_WARNING, sink, &f->seen);

	for (int i = 0; i < 2000; i++)
		log_write(l, LOG_ERROR, "name", "line %d", i / 2);
	assert_int_equal(f->seen.count, 2000);
	log_write(l, LOG_WARNING, NULL, "and a warning");
	assert_int_equal(f->seen.count, 2001);
	log_free(l);
	assert_int_equal(f->seen.count, 2001);
}

static void
a_full_disk_loses_lines_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_ERROR, sink, &f->seen);

	assert_int_equal(log_open(l, "/dev/full", NULL), 0);
	log_write(l, LOG_ERROR, NULL, "text");
	assert_string_equal(f->seen.last, "text");
	log_free(l);
}

static void
half_a_line_is_ended_before_the_next(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_ERROR, NULL, NULL);
	struct rlimit old, small;
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	const char *text;

	assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 20;
	assert_int_equal(log_open(l, f->path, NULL), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	log_write(l, LOG_ERROR, NULL, "cut");
	log_write(l, LOG_ERROR, NULL, "lost");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	log_write(l, LOG_ERROR, NULL, "whole");
	log_free(l);
	text = contents(f->path);
	assert_int_equal(text[20], '\n');
	assert_int_equal(line_count(text), 2);
	assert_null(strstr(text, "lost"));
	assert_non_null(strstr(text, "error whole\n"));
}

#define WRITERS 4
#define WRITES 50

static void
write_lines(void *arg)
{
	for (int i = 0; i < WRITES; i++)
		log_write(arg, LOG_NOTICE, "name", "line %p %d", (void *)&i,
			  i);
}

static void
threads_write_whole_lines_while_it_reopens(void **state)
{
	struct fixture *f = *state;
	struct log *l = log_new(LOG_ERROR, sink, &f->seen);
	struct thread threads[WRITERS];
	const char *at;
	size_t lines = 0;

	assert_int_equal(log_open(l, f->path, NULL), 0);
	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(thread_start(&threads[i], "writer",
					      THREAD_STACK_SMALL, write_lines,
					      l, NULL), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(log_reopen(l, NULL), 0);
	for (int i = 0; i < WRITERS; i++)
		thread_join(&threads[i]);
	log_free(l);
	for (at = contents(f->path); *at; at = strchr(at, '\n') + 1) {
		assert_non_null(strstr(at, " notice name: line "));
		lines++;
	}
	assert_int_equal(lines, WRITERS * WRITES);
}

#define log_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		log_test(the_sink_gets_lines_up_to_the_level),
		log_test(a_null_log_drops_everything),
		log_test(the_file_gets_the_time_the_level_and_the_name),
		log_test(the_file_is_appended_to_and_takes_notices_at_least),
		log_test(a_file_that_cannot_be_opened_is_reported),
		log_test(reopening_starts_a_new_file_after_a_move),
		log_test(a_failed_reopening_goes_on_in_the_old_file),
		log_test(names_and_lines_are_cleaned_and_cut),
		log_test(a_repeated_line_is_counted),
		log_test(the_sink_hears_what_a_log_is_about),
		log_test(logs_about_something_share_the_rest),
		log_test(what_two_say_is_no_repetition),
		log_test(the_count_of_repetitions_says_whose_they_are),
		log_test(milestones_all_come_through),
		log_test(milestones_of_two_with_one_name_are_no_repetition),
		log_test(a_flood_is_dropped_and_counted),
		log_test(a_flood_of_detail_does_not_drown_an_error),
		log_test(errors_all_come_through),
		log_test(a_full_disk_loses_lines_and_nothing_else),
		log_test(half_a_line_is_ended_before_the_next),
		log_test(threads_write_whole_lines_while_it_reopens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
