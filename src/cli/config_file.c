#include "cli/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/text.h"

#define PORTION 4096
#define FILE_NAME "btget/config"
/* Some editors begin files of UTF-8 with it. */
#define BYTE_ORDER_MARK "\xef\xbb\xbf"
#define NOT_GIVEN UINT_MAX

/* ---- lines ---- */

/* What stands between space, in place. */
static char *
trim(char *text)
{
	size_t n;

	text += strspn(text, " \t\r");
	n = strlen(text);
	while (n > 0 && strchr(" \t\r", text[n - 1]))
		n--;
	text[n] = '\0';
	return text;
}

static bool
parse_bool(const char *text, bool *value)
{
	static const char *const words[][2] = {
		{"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		*value = strcmp(text, words[i][1]) == 0;
		if (*value || strcmp(text, words[i][0]) == 0)
			return true;
	}
	return false;
}

/* An option that the command line has without a value. */
static int
set_bare(struct options *o, const struct option_row *row, const char *value,
	 struct error *e)
{
	void *at = (char *)o + row->where;
	char clean[128];
	uint64_t times;
	bool yes;

	if (row->kind == OPTION_TALLY &&
	    text_parse_number(value, 0, row->max, &times)) {
		*(unsigned *)at = (unsigned)times;
		return 0;
	}
	if (!parse_bool(value, &yes))
		return error_set(e, ERROR_USAGE, "%s: '%s' is not yes or no",
				 row->name,
				 text_clean(clean, sizeof(clean), value));
	if (row->kind == OPTION_TALLY)
		*(unsigned *)at = yes;
	else
		*(bool *)at = yes == (row->kind == OPTION_YES);
	return 0;
}

static bool
is_for_the_command_line(const char *name)
{
	return strcmp(name, "config") == 0 ||
	       strcmp(name, "no-config") == 0 || strcmp(name, "help") == 0 ||
	       strcmp(name, "version") == 0;
}

/* The word that a line begins with: what is behind it may be a URL with
 * a password, in a line that was meant otherwise. */
static char *
first_word(char *out, size_t size, const char *line)
{
	static const char more[] = "...";
	size_t n = strcspn(line, " \t=:/?@");
	size_t used = text_put_clean(out, size - sizeof(more), line, n);

	if (line[n])
		memcpy(out + used, more, sizeof(more));
	return out;
}

static int
apply_line(struct options *o, char *line, struct error *e)
{
	const struct option_row *row;
	char clean[128], *equals, *name;

	line = trim(line);
	if (!*line || *line == '#')
		return 0;
	equals = strchr(line, '=');
	if (!equals)
		return error_set(e, ERROR_USAGE, "'%s' is not of the form "
				 "option = value",
				 first_word(clean, sizeof(clean), line));
	*equals = '\0';
	name = trim(line);
	row = options_find(VERB_GET, name);
	if (!row || is_for_the_command_line(name))
		return error_set(e, ERROR_USAGE, "%s option '%s'",
				 row ? "the command line alone has the" :
				 "unknown",
				 first_word(clean, sizeof(clean), name));
	if (!row->argument)
		return set_bare(o, row, trim(equals + 1), e);
	return options_set(o, row, row->name, trim(equals + 1), e);
}

int
config_file_apply(struct options *o, const char *name, char *text,
		  size_t size, struct error *e)
{
	char *end = text + size;
	size_t mark = strlen(BYTE_ORDER_MARK);
	unsigned long number = 0;
	char clean[256];

	if (size >= mark && memcmp(text, BYTE_ORDER_MARK, mark) == 0)
		text += mark;
	while (text < end) {
		char *stop = memchr(text, '\n', (size_t)(end - text));
		int rc;

		if (!stop)
			stop = end;
		*stop = '\0';
		number++;
		rc = strlen(text) == (size_t)(stop - text) ?
		     apply_line(o, text, e) :
		     error_set(e, ERROR_USAGE, "a NUL byte");
		if (rc < 0) {
			error_prefix(e, "%s:%lu",
				     text_clean(clean, sizeof(clean), name),
				     number);
			return -1;
		}
		text = stop + 1;
	}
	return 0;
}

/* ---- the file ---- */

static bool
join(char *out, size_t size, const char *dir, const char *rest)
{
	int n;

	if (!dir || *dir != '/')
		return false;
	n = snprintf(out, size, "%s/%s", dir, rest);
	return n > 0 && (size_t)n < size;
}

bool
config_file_path(char *out, size_t size, const char *xdg, const char *home)
{
	return join(out, size, xdg, FILE_NAME) ||
	       join(out, size, home, ".config/" FILE_NAME);
}

/* The whole file with a NUL behind it; -1 with errno, EFBIG when it is too
 * large. */
static int
read_file(const char *path, struct buffer *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int sys = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -1;
	while (n > 0 && sys == 0) {
		uint8_t *room = buffer_room(out, PORTION);

		n = room ? read(fd, room, PORTION) : -1;
		if (!room)
			sys = out->used + PORTION > out->cap ? EFBIG : ENOMEM;
		else if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			sys = errno;
		else
			buffer_added(out, (size_t)n);
	}
	close(fd);
	if (sys == 0 && out->used > CONFIG_FILE_MAX)
		sys = EFBIG;
	buffer_u8(out, 0);
	errno = sys;
	return sys ? -1 : 0;
}

/* Which file is to be read, or NULL; room is for the user's. */
static const char *
choose_file(const struct options *o, char room[PATH_MAX])
{
	if (options_end(o) || o->verb != VERB_GET || o->no_config)
		return NULL;
	if (o->config)
		return o->config;
	/* Before any other thread exists.
	 * NOLINTBEGIN(concurrency-mt-unsafe) */
	return config_file_path(room, PATH_MAX, getenv("XDG_CONFIG_HOME"),
				getenv("HOME")) ? room : NULL;
	/* NOLINTEND(concurrency-mt-unsafe) */
}

/* A home that lets us not even look into it is another user's, as after a
 * change of user that kept HOME; what is in it is not meant for us. */
static bool
is_ours(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0 ||
	       errno != EACCES;
}

static int
apply_file(struct options *o, const char *path, bool asked_for,
	   struct error *e)
{
	char clean[256];
	struct buffer text;
	int sys;

	buffer_init(&text, CONFIG_FILE_MAX + 2 * PORTION);
	if (read_file(path, &text) < 0) {
		sys = errno;
		buffer_release(&text);
		if (!asked_for && (sys == ENOENT || sys == ENOTDIR ||
				   (sys == EACCES && !is_ours(path))))
			return 0;
		text_path(clean, sizeof(clean), path);
		return error_sys(e, ERROR_USAGE, sys, asked_for ?
				 "cannot read '%s'" :
				 "cannot read '%s' (--no-config leaves it "
				 "out)", clean);
	}
	/* From here on the options own the text. */
	o->config_text = (char *)text.data;
	return config_file_apply(o, path, o->config_text, text.used - 1, e);
}

int
config_file_options(struct options *o, int argc, char *const *argv,
		    struct error *e)
{
	char room[PATH_MAX];
	const char *path;
	bool asked_for, verbose, shows;

	/* A first reading tells which file it is. */
	options_init(o);
	o->progress = NOT_GIVEN;
	if (options_read(o, argc, argv, e) < 0)
		return -1;
	if (o->config && o->no_config)
		return error_set(e, ERROR_USAGE,
				 "either --config or --no-config");
	verbose = o->verbose > 0;
	shows = verbose || (o->progress != NOT_GIVEN &&
			    o->progress != PROGRESS_NONE);
	if (o->progress == NOT_GIVEN)
		o->progress = PROGRESS_AUTO;
	asked_for = o->config != NULL;
	path = choose_file(o, room);
	if (!path)
		return options_check(o, e);
	options_release(o);
	options_init(o);
	if (apply_file(o, path, asked_for, e) < 0)
		return -1;
	/* Who asks for something to be shown does not mean the file's quiet. */
	if (shows)
		o->quiet = false;
	if (verbose)
		o->verbose = 0;
	if (options_read(o, argc, argv, e) < 0)
		return -1;
	return options_check(o, e);
}
