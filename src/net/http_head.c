#include "net/http_head.h"

#include <string.h>
#include <strings.h>

static bool
take_number(const char **at, const char *end, uint64_t *out)
{
	const char *from = *at;
	uint64_t v = 0;

	while (*at < end && **at >= '0' && **at <= '9') {
		if (v > (UINT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (uint64_t)(*(*at)++ - '0');
	}
	*out = v;
	return *at > from;
}

static bool
take_char(const char **at, const char *end, char c)
{
	if (*at == end || **at != c)
		return false;
	(*at)++;
	return true;
}

/* The value of a Content-Range; the size may be unknown ("*"). */
static bool
take_range(struct http_head *h, const char *at, const char *end)
{
	if (end - at < 6 || strncasecmp(at, "bytes ", 6) != 0)
		return false;
	at += 6;
	while (take_char(&at, end, ' '))
		;
	if (!take_number(&at, end, &h->first) || !take_char(&at, end, '-') ||
	    !take_number(&at, end, &h->last) || !take_char(&at, end, '/'))
		return false;
	h->size = UINT64_MAX;
	if (!take_char(&at, end, '*') && !take_number(&at, end, &h->size))
		return false;
	return at == end && h->first <= h->last && h->last < h->size;
}

/* The line's value if it is this header's, without the white around it. */
static const char *
value_of(const char *line, size_t length, const char *name, size_t *size)
{
	size_t n = strlen(name);
	const char *at = line + n, *end = line + length;

	if (length <= n || strncasecmp(line, name, n) != 0)
		return NULL;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (end > at && (end[-1] == ' ' || end[-1] == '\t' ||
			    end[-1] == '\r' || end[-1] == '\n'))
		end--;
	*size = (size_t)(end - at);
	return at;
}

void
http_head_take(struct http_head *h, const char *line, size_t length)
{
	const char *at;
	size_t n;

	at = value_of(line, length, "content-range:", &n);
	if (at)
		h->has_range = take_range(h, at, at + n);
	at = value_of(line, length, "content-length:", &n);
	if (at)
		h->has_length = take_number(&at, at + n, &h->length);
	at = value_of(line, length, "content-encoding:", &n);
	if (at && !(n == 8 && strncasecmp(at, "identity", 8) == 0))
		h->encoded = true;
	if (value_of(line, length, "location:", &n))
		h->location = true;
}

uint64_t
http_head_wait(const char *body, size_t length)
{
	const char *at = body, *end = body + length;
	uint64_t seconds;

	while (at < end && (*at == ' ' || *at == '\r' || *at == '\n'))
		at++;
	return take_number(&at, end, &seconds) ? seconds : 0;
}
