#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"

/* An empty value is none.  Nothing in this program changes the environment,
 * so threads may look. */
static const char *
from_environment(const char *name)
{
	const char *value = getenv(name);	/* NOLINT(concurrency-*) */

	return value && *value ? value : NULL;
}

static bool
is_dumb(void)
{
	const char *term = from_environment("TERM");

	return !term || strcmp(term, "dumb") == 0;
}

enum progress_mode
terminal_mode(enum progress_mode asked, int out)
{
	if (asked != PROGRESS_AUTO && asked != PROGRESS_BAR)
		return asked;
	return isatty(out) && !is_dumb() ? PROGRESS_BAR : PROGRESS_PLAIN;
}

bool
terminal_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	const char *value;
	size_t i;

	for (i = 0; i < 3; i++) {
		value = from_environment(names[i]);
		if (value)
			return strcasestr(value, "utf-8") ||
			       strcasestr(value, "utf8");
	}
	return false;
}

struct screen_size
terminal_size(int fd)
{
	struct screen_size size = { 80, 24 };
	struct winsize w = { 0 };
	const char *columns = from_environment("COLUMNS");
	uint64_t n;

	if (columns && text_parse_number(columns, 1, 10000, &n))
		size.columns = (unsigned)n;
	if (ioctl(fd, TIOCGWINSZ, &w) == 0) {
		if (w.ws_col)
			size.columns = w.ws_col;
		if (w.ws_row)
			size.rows = w.ws_row;
	}
	return size;
}

bool
terminal_colour(int fd)
{
	return isatty(fd) && !is_dumb() && !from_environment("NO_COLOR");
}

bool
terminal_taken(int fd)
{
	pid_t group = tcgetpgrp(fd);

	return group > 0 && group != getpgrp();
}
