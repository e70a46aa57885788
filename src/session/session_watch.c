/*
 * What is done with a file of the watched folder: a .torrent is added as it
 * is, a .magnet holds one link, in a line with nothing but space and comments
 * (#) around it, and perhaps the mark of UTF-8 before all.
 */
#include <string.h>
#include <strings.h>

#include "meta/magnet.h"
#include "session/session_parts.h"

#define UTF8_MARK "\xef\xbb\xbf"	/* some editors begin with it */

/* The one line that says something, cut out in place; NULL if it is not just
 * one. */
static char *
only_line(char *text)
{
	char *rest = NULL, *found = NULL;

	if (strncmp(text, UTF8_MARK, strlen(UTF8_MARK)) == 0)
		text += strlen(UTF8_MARK);
	for (char *line = strtok_r(text, "\r\n", &rest); line;
	     line = strtok_r(NULL, "\r\n", &rest)) {
		size_t n;

		line += strspn(line, " \t");
		n = strlen(line);
		while (n > 0 && strchr(" \t", line[n - 1]))
			n--;
		line[n] = '\0';
		if (!*line || *line == '#')
			continue;
		if (found)
			return NULL;
		found = line;
	}
	return found;
}

static int
read_magnet(struct buffer *data, struct torrent_source *out, struct error *e)
{
	char *line;

	if (data->used > MAGNET_SIZE_MAX)
		return error_set(e, ERROR_TORRENT, "too large for a link");
	buffer_u8(data, 0);
	if (data->failed)
		return error_memory(e);
	line = only_line((char *)data->data);
	if (!line || !magnet_is(line))
		return error_set(e, ERROR_TORRENT,
				 "it does not hold one magnet link");
	return session_read_link(line, out, e);
}

static bool
is_magnet_file(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && strcasecmp(dot, ".magnet") == 0;
}

int
session_take(void *ctx, const char *name, struct buffer *data,
	     struct error *e)
{
	struct torrent_source source = {0};
	int status;

	if (is_magnet_file(name))
		status = read_magnet(data, &source, e);
	else
		status = session_read_data(data, &source, e);
	if (status < 0)
		return -1;
	/* It may be put again since that failed, by --on-error itself. */
	if (session_is_ending(ctx, &source)) {
		session_drop_source(&source);
		return 1;
	}
	return session_add_source(ctx, &source, e);
}
