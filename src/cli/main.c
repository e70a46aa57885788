/*
 * btget: one process, one verb, one exit code.
 */
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/config_file.h"
#include "cli/options.h"
#include "cli/signals.h"
#include "session/exit.h"
#include "session/sandbox.h"
#include "session/source.h"

#define STACK_NEEDED (512 * 1024)

/* Nothing can be read there, and who writes is told.  A chroot may have no
 * /dev. */
static int
open_nothing(void)
{
	int fd = open("/dev/null", O_RDONLY);

	if (fd < 0)
		fd = open("/", O_RDONLY | O_DIRECTORY);
	return fd;
}

/* Standard descriptors that are closed would be taken by the next file, and
 * what is meant for the screen would end up in it. */
static void
fill_descriptors(void)
{
	int fd;

	do
		fd = open_nothing();
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* Raises what the user may raise.  Each peer takes two descriptors; the main
 * thread's stack grows as far as it may now, whatever it began with. */
static int
raise_limits(struct error *e)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (getrlimit(RLIMIT_STACK, &limit) < 0 ||
	    limit.rlim_cur >= STACK_NEEDED)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	if (limit.rlim_max > STACK_NEEDED)
		limit.rlim_cur = STACK_NEEDED;
	setrlimit(RLIMIT_STACK, &limit);
	if (limit.rlim_cur >= STACK_NEEDED)
		return 0;
	return error_set(e, ERROR_INTERNAL,
			 "the stack may have %llu KiB only (ulimit -s); "
			 "it takes %d",
			 (unsigned long long)limit.rlim_cur / 1024,
			 STACK_NEEDED / 1024);
}

static int
print_help(enum verb verb)
{
	struct buffer out;
	int code;

	buffer_init(&out, 65536);
	options_help(&out, verb);
	code = command_print(&out);
	buffer_release(&out);
	return code;
}

static int
print_version(void)
{
	struct buffer out;
	struct error e;
	int code;

	error_clear(&e);
	buffer_init(&out, 4096);
	buffer_printf(&out, "btget %s\n%s\n%s\n", BTGET_VERSION,
		      source_library(&e), OpenSSL_version(OPENSSL_VERSION));
	code = command_print(&out);
	buffer_release(&out);
	return code;
}

/* For what writes no files but a log. */
static void
confine(const struct options *o)
{
	struct sandbox s;

	sandbox_init(&s);
	if (o->log_path && sandbox_allow_file(&s, o->log_path) < 0)
		sandbox_release(&s);
	sandbox_enter(&s);
}

static int
run(const struct options *o)
{
	if (o->help)
		return print_help(o->verb);
	if (o->version)
		return print_version();
	if (o->verb != VERB_GET && o->verb != VERB_CREATE)
		confine(o);
	switch (o->verb) {
	case VERB_GET:
		return command_get(o);
	case VERB_CREATE:
		return command_create(o);
	case VERB_SHOW:
		return command_show(o);
	case VERB_CHECK:
		return command_check(o);
	case VERB_TRACKER:
		return command_tracker(o);
	case VERB_COUNT:
		break;
	}
	return EXIT_INTERNAL;
}

/* Nobody else sees what is secret in the arguments once they are read; before
 * there is any other process. */
static int
run_arguments(int argc, char **argv)
{
	struct options options;
	struct error e;
	char **copy = options_copy(argc, argv, &e);
	int code;

	if (!copy) {
		command_report(NULL, e.text);
		return EXIT_INTERNAL;
	}
	options_hide(argc, argv);
	error_clear(&e);
	if (config_file_options(&options, argc, copy, &e) < 0) {
		command_report(NULL, e.text);
		code = exit_for(e.kind);
	} else {
		code = run(&options);
	}
	options_release(&options);
	free(copy);
	return code;
}

int
main(int argc, char **argv)
{
	struct error e;

	error_clear(&e);
	fill_descriptors();
	signals_setup();
	if (raise_limits(&e) < 0) {
		command_report(NULL, e.text);
		return exit_for(e.kind);
	}
	/* What it cannot set up now it would miss without a check later. */
	if (OPENSSL_init_crypto(0, NULL) != 1) {
		command_report(NULL, "out of memory");
		return EXIT_INTERNAL;
	}
	return run_arguments(argc, argv);
}
