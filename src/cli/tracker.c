#include "session/tracker_server.h"

#include <errno.h>

#include "base/bytes.h"
#include "cli/commands.h"
#include "cli/signals.h"
#include "session/exit.h"

static void
on_line(void *ctx, enum log_level level, const char *who, const char *about,
	const char *text)
{
	(void)ctx;
	(void)level;
	(void)about;
	command_report(who, text);
}

static void
interrupt(void *ctx, int signal)
{
	(void)signal;
	wake_up(ctx);
}

static void
tell_port(uint16_t port)
{
	struct buffer out;

	buffer_init(&out, 256);
	buffer_printf(&out, "tracker on port %u, HTTP and UDP\n", port);
	(void)command_print(&out);
	buffer_release(&out);
}

static int
serve(struct tracker_server *t, struct error *e)
{
	struct wake stop;
	const struct signals signals = {
		.interrupt = interrupt, .ctx = &stop,
	};
	int rc;

	if (wake_init(&stop, e) < 0)
		return -1;
	signals_begin(&signals);
	tell_port(tracker_server_port(t));
	rc = tracker_server_run(t, &stop, e);
	signals_end();
	wake_release(&stop);
	return rc;
}

static int
open_and_serve(const struct options *o, struct log *log, struct error *e)
{
	const struct tracker_server_config config = {
		.port = o->tracker.port,
		.bind = o->tracker.bind,
		.interval_s = o->tracker.interval_s,
		.allow_file = o->tracker.allow,
		.log = log,
	};
	struct tracker_server *t;
	int rc;

	if (o->log_path && log_open(log, o->log_path, e) < 0)
		return -1;
	t = tracker_server_new(&config, e);
	if (!t)
		return -1;
	rc = serve(t, e);
	tracker_server_free(t);
	return rc;
}

/* A port or an address that it cannot have was asked for. */
static int
code_of(const struct error *e)
{
	if (e->kind != ERROR_NETWORK)
		return exit_for(e->kind);
	return e->sys == EADDRINUSE || e->sys == EADDRNOTAVAIL ||
	       e->sys == EACCES || e->sys == EINVAL ? EXIT_USAGE : EXIT_INTERNAL;
}

int
command_tracker(const struct options *o)
{
	static const enum log_level levels[] = {
		LOG_WARNING, LOG_DETAIL, LOG_DEBUG
	};
	struct log *log = log_new(levels[o->verbose], on_line, NULL);
	struct error e;
	int rc;

	error_clear(&e);
	rc = log ? open_and_serve(o, log, &e) : error_memory(&e);
	log_free(log);
	if (signals_caught())
		return EXIT_SIGNAL + signals_caught();
	if (rc < 0) {
		command_report(NULL, e.text);
		return code_of(&e);
	}
	return EXIT_COMPLETE;
}
