#include "cli/commands.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/terminal.h"
#include "session/exit.h"
#include "session/session.h"

void
command_line(char *out, size_t size, const char *who, const char *text)
{
	snprintf(out, size, "btget: %s%s%s", who ? who : "", who ? ": " : "",
		 text);
}

void
command_report(const char *who, const char *text)
{
	char raw[COMMAND_LINE_MAX];
	char line[COMMAND_LINE_MAX];
	size_t n;
	ssize_t done;

	command_line(raw, sizeof(raw), who, text);
	text_clean(line, sizeof(line) - 1, raw);
	n = strlen(line);
	line[n] = '\n';
	done = write(STDERR_FILENO, line, n + 1);
	(void)done;
}

/* 0, or the error's number. */
static int
write_out(const struct buffer *out)
{
	struct pollfd room = {.fd = STDOUT_FILENO, .events = POLLOUT};
	size_t at = 0;
	ssize_t n;

	while (at < out->used) {
		n = write(STDOUT_FILENO, out->data + at, out->used - at);
		/* Whoever shares it may have had it not block. */
		if (n < 0 && errno == EAGAIN)
			poll(&room, 1, -1);
		else if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0)
			at += (size_t)n;
	}
	return 0;
}

/* The exit code; a reader who leaves is let go where he may have enough. */
static int
put(const struct buffer *out, bool enough)
{
	struct error e;
	int sys;

	if (out->failed) {
		command_report(NULL, "out of memory");
		return EXIT_INTERNAL;
	}
	sys = write_out(out);
	if (sys == 0 || (enough && sys == EPIPE))
		return EXIT_COMPLETE;
	error_sys(&e, ERROR_STORAGE, sys, "cannot write to standard output");
	command_report(NULL, e.text);
	return EXIT_STORAGE;
}

int
command_print(const struct buffer *out)
{
	return put(out, true);
}

int
command_print_whole(const struct buffer *out)
{
	return put(out, false);
}

void
command_mention(const struct buffer *out)
{
	(void)write_out(out);
}

int
command_code(const struct error *e)
{
	/* A torrent that no server would give could not be read. */
	if (e->kind == ERROR_NETWORK || e->kind == ERROR_PROTOCOL)
		return EXIT_TORRENT;
	return exit_for(e->kind);
}

enum progress_mode
command_progress_mode(void)
{
	return terminal_mode(PROGRESS_AUTO, STDERR_FILENO) == PROGRESS_BAR ?
	       PROGRESS_BAR : PROGRESS_NONE;
}

void
command_fill(const struct stats_torrent *now, uint8_t *cells, size_t n)
{
	for (size_t c = 0; now->length && c < n; c++)
		if (now->length / n * c < now->checked)
			cells[c] = SESSION_CELL_FULL;
}
