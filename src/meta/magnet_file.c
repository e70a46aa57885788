#include "meta/magnet_file.h"

#include <string.h>
#include <strings.h>

#define UTF8_MARK "\xef\xbb\xbf"	/* some editors begin with it */
#define SCHEME "magnet:"

bool
magnet_file_is(const void *data, size_t size)
{
	size_t mark = strlen(UTF8_MARK);
	const char *at = data, *end;
	bool comment = false;

	if (size == 0)
		return false;
	end = at + size;
	if (size >= mark && memcmp(at, UTF8_MARK, mark) == 0)
		at += mark;
	for (; at < end && *at; at++) {
		if (*at == '\r' || *at == '\n')
			comment = false;
		else if (*at == '#')
			comment = true;
		else if (!comment && *at != ' ' && *at != '\t')
			break;
	}
	return (size_t)(end - at) >= strlen(SCHEME) &&
	       strncasecmp(at, SCHEME, strlen(SCHEME)) == 0;
}

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

struct magnet *
magnet_file_parse(struct buffer *text, struct error *e)
{
	char *line;

	if (text->used > MAGNET_SIZE_MAX) {
		error_set(e, ERROR_TORRENT, "too large for a link");
		return NULL;
	}
	buffer_u8(text, 0);
	if (text->failed) {
		error_memory(e);
		return NULL;
	}
	line = only_line((char *)text->data);
	if (!line || !magnet_is(line)) {
		error_set(e, ERROR_TORRENT,
			  "it does not hold one magnet link");
		return NULL;
	}
	return magnet_parse(line, e);
}
