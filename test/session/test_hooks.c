#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "session/hooks.h"

#define PATIENCE_MS 20000

/* What came back, in order: "line|", and at the end of a job "ok;" or
 * "(why);". */
struct told {
	char text[8192];
};

static void
on_line(void *ctx, enum hook_kind kind, const char *name, const char *line)
{
	struct told *t = ctx;
	size_t n = strlen(t->text);

	(void)kind;
	(void)name;
	snprintf(t->text + n, sizeof(t->text) - n, "%s|", line);
}

static void
on_done(void *ctx, enum hook_kind kind, const char *name, const char *why)
{
	struct told *t = ctx;
	size_t n = strlen(t->text);

	(void)kind;
	(void)name;
	if (why)
		snprintf(t->text + n, sizeof(t->text) - n, "(%s);", why);
	else
		snprintf(t->text + n, sizeof(t->text) - n, "ok;");
}

static struct hooks *
start(const char *complete, const char *failed)
{
	const char *const commands[] = { complete, failed };
	struct hooks *h = hooks_new(commands, NULL);

	assert_non_null(h);
	return h;
}

static void
submit(struct hooks *h, struct told *t, enum hook_kind kind,
       const char *name)
{
	struct hook_job job = {
		.kind = kind, .name = name, .dir = "/d", .path = "/d/n",
		.info_hash = "abc", .exit = 6, .ctx = t,
		.output = on_line, .done = on_done,
	};

	assert_int_equal(hooks_submit(h, &job, NULL), 0);
}

static void
wait_idle(struct hooks *h)
{
	while (!hooks_idle(h)) {
		struct pollfd fd = { .fd = hooks_fd(h), .events = POLLIN };

		assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
		hooks_receive(h);
	}
}

/* Runs one command, and returns all that was told of it. */
static const char *
tell(const char *command, const char *name)
{
	static struct told t;
	struct hooks *h = start(command, NULL);

	memset(&t, 0, sizeof(t));
	submit(h, &t, HOOK_COMPLETE, name);
	wait_idle(h);
	hooks_free(h);
	return t.text;
}

static void
a_command_finds_its_environment(void **state)
{
	(void)state;
	assert_string_equal(tell("echo \"$BTGET_NAME\" \"$BTGET_DIR\" "
				 "$BTGET_PATH $BTGET_INFO_HASH $BTGET_EXIT",
				 "the name"),
			    "the name /d /d/n abc 6|ok;");
	assert_string_equal(tell("echo \"<$BTGET_NAME>\"", NULL), "<>|ok;");
}

static void
names_are_never_read_by_the_shell(void **state)
{
	(void)state;
	assert_string_equal(tell("printf %s \"$BTGET_NAME\"",
				 "$(echo x)`y`'\"; exit 3\n#"),
			    "$(echo x)`y`'\"; exit 3|#|ok;");
}

static void
output_comes_line_by_line_from_both_streams(void **state)
{
	(void)state;
	assert_string_equal(tell("echo a; echo; echo b >&2; printf c", ""),
			    "a|b|c|ok;");
}

static void
long_lines_are_cut_up_and_all_is_clean(void **state)
{
	char want[HOOKS_LINE_MAX + 16];

	(void)state;
	memset(want, 'x', HOOKS_LINE_MAX);
	strcpy(want + HOOKS_LINE_MAX, "|xx|ok;");
	assert_string_equal(tell("head -c 514 /dev/zero | tr '\\0' x", ""),
			    want);
	assert_string_equal(tell("printf '\\033[2J\\n'", ""), "?[2J|ok;");
}

/* U+65E5 takes three bytes, so that the border of a line is within one. */
static void
long_lines_are_cut_between_characters(void **state)
{
	char want[1024] = "";
	size_t line = HOOKS_LINE_MAX / 3;

	(void)state;
	for (size_t i = 0; i < 200; i++)
		strcat(strcat(want, i == line ? "|" : ""), "\xe6\x97\xa5");
	strcat(want, "|ok;");
	assert_string_equal(tell("yes '\xe6\x97\xa5' | head -n 200 | "
				 "tr -d '\\n'", ""), want);
}

/* It has an end, but not that of its last character. */
static void
half_a_character_at_the_end_is_told(void **state)
{
	(void)state;
	assert_string_equal(tell("printf 'a\\346\\227'", ""), "a??|ok;");
}

static void
a_failure_has_its_words(void **state)
{
	(void)state;
	assert_string_equal(tell("exit 3", ""), "(ended with 3);");
	assert_string_equal(tell("echo no; echo room; exit 1", ""),
			    "no|room|(ended with 1: room);");
	assert_string_equal(tell("kill -KILL $$", ""),
			    "(was ended by SIGKILL);");
	assert_string_equal(tell("kill -37 $$", ""),
			    "(was ended by signal 37);");
}

static void
there_is_no_input_and_signals_are_as_usual(void **state)
{
	(void)state;
	assert_string_equal(tell("cat; echo end", ""), "end|ok;");
	assert_string_equal(tell("sh -c 'kill -PIPE $$'; echo $?", ""),
			    "141|ok;");
	assert_string_equal(tell("{ sh -c 'kill -TERM $$'; echo $?; } "
				 "2>/dev/null", ""),
			    "143|ok;");
}

static void
who_is_left_in_the_background_is_not_waited_for(void **state)
{
	int64_t begun = clock_ns();

	(void)state;
	assert_string_equal(tell("sleep 9 & echo x", ""), "x|ok;");
	assert_true(clock_ns() - begun < 8 * CLOCK_S);
}

static void
jobs_run_one_after_another(void **state)
{
	struct hooks *h = start("echo c$BTGET_NAME; sleep 0.05; echo d",
				"echo e$BTGET_NAME; exit 1");
	struct told t = { "" };

	(void)state;
	submit(h, &t, HOOK_COMPLETE, "1");
	submit(h, &t, HOOK_ERROR, "2");
	submit(h, &t, HOOK_COMPLETE, "3");
	assert_false(hooks_idle(h));
	wait_idle(h);
	assert_string_equal(t.text, "c1|d|ok;e2|(ended with 1: e2);c3|d|ok;");
	hooks_free(h);
}

static void
what_is_not_there_is_not_had(void **state)
{
	struct hooks *h = start(NULL, "true");

	(void)state;
	assert_false(hooks_has(h, HOOK_COMPLETE));
	assert_true(hooks_has(h, HOOK_ERROR));
	assert_false(hooks_has(NULL, HOOK_ERROR));
	assert_true(hooks_idle(NULL) && hooks_idle(h));
	hooks_free(h);
	hooks_free(NULL);
}

static void
too_large_an_environment_is_an_error(void **state)
{
	static char name[HOOKS_JOB_MAX];
	struct hook_job job = { .name = name };
	struct hooks *h = start("true", NULL);
	struct error e;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	assert_int_equal(hooks_submit(h, &job, &e), -1);
	assert_true(hooks_idle(h));
	hooks_free(h);
}

static void
a_lost_helper_fails_what_waits(void **state)
{
	struct hooks *h = start("kill -KILL $PPID; sleep 1", NULL);
	struct told t = { "" };

	(void)state;
	submit(h, &t, HOOK_COMPLETE, "1");
	submit(h, &t, HOOK_COMPLETE, "2");
	wait_idle(h);
	assert_string_equal(t.text, "(could not be run: the helper process "
			    "is gone);(could not be run);");
	assert_int_equal(hooks_fd(h), -1);
	hooks_free(h);
}

/* Ends the hooks while this command runs, and says how long that took. */
static int64_t
end_early(const char *command)
{
	struct hooks *h = start(command, NULL);
	struct pollfd fd = { .fd = hooks_fd(h), .events = POLLIN };
	struct told t = { "" };
	int64_t begun, took;
	pid_t pid;

	submit(h, &t, HOOK_COMPLETE, "");
	while (!strchr(t.text, '|')) {
		assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
		hooks_receive(h);
	}
	pid = (pid_t)strtol(t.text, NULL, 10);
	assert_true(pid > 0);
	begun = clock_ns();
	hooks_free(h);
	took = clock_ns() - begun;
	/* The helper's children are not ours: nothing is left but, for a
	 * moment, what init has not yet reaped. */
	for (int i = 0; i < 2000 && kill(pid, 0) == 0; i++)
		poll(NULL, 0, 10);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	return took;
}

static void
commands_do_not_outlive_the_hooks(void **state)
{
	(void)state;
	assert_true(end_early("echo $$; sleep 30") < CLOCK_S);
	assert_true(end_early("trap '' TERM; echo $$; sleep 30; sleep 30") <
		    5 * CLOCK_S);
}

static void
what_is_abandoned_is_ended_and_the_rest_not_run(void **state)
{
	struct hooks *h = start("echo 1; sleep 30", NULL);
	struct pollfd fd = { .fd = hooks_fd(h), .events = POLLIN };
	struct told t = { "" };

	(void)state;
	submit(h, &t, HOOK_COMPLETE, "1");
	submit(h, &t, HOOK_COMPLETE, "2");
	while (!strchr(t.text, '|')) {
		assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
		hooks_receive(h);
	}
	hooks_abandon(h);
	wait_idle(h);
	assert_string_equal(t.text, "1|(was ended);(was not run);");
	hooks_free(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_finds_its_environment),
		cmocka_unit_test(names_are_never_read_by_the_shell),
		cmocka_unit_test(output_comes_line_by_line_from_both_streams),
		cmocka_unit_test(long_lines_are_cut_up_and_all_is_clean),
		cmocka_unit_test(long_lines_are_cut_between_characters),
		cmocka_unit_test(half_a_character_at_the_end_is_told),
		cmocka_unit_test(a_failure_has_its_words),
		cmocka_unit_test(there_is_no_input_and_signals_are_as_usual),
		cmocka_unit_test(
		    who_is_left_in_the_background_is_not_waited_for),
		cmocka_unit_test(jobs_run_one_after_another),
		cmocka_unit_test(what_is_not_there_is_not_had),
		cmocka_unit_test(too_large_an_environment_is_an_error),
		cmocka_unit_test(a_lost_helper_fails_what_waits),
		cmocka_unit_test(commands_do_not_outlive_the_hooks),
		cmocka_unit_test(
		    what_is_abandoned_is_ended_and_the_rest_not_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
