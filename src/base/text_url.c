/*
 * URLs as they may be shown.
 */
#include <string.h>

#include "base/text.h"
#include "text_room.h"

#define HIDDEN "..."

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * Trackers put a user's passkey into the path as a segment of its own, 16 to
 * 64 hex digits or letters.  Too much hidden costs a little sense, too little
 * gives an account away: so every unbroken run of 12 hides its segment (an
 * escape sequence does not break it), and 8 do when letters and digits are
 * mixed and no dot makes it look like a file's name.
 */
static bool
is_key_like(const char *text, size_t length)
{
	size_t run = 0, letters = 0, digits = 0;
	bool dot = false;

	for (size_t i = 0; i < length; i++) {
		char c = text[i];

		letters += is_letter(c);
		digits += is_digit(c);
		dot = dot || c == '.';
		run = is_letter(c) || is_digit(c) || c == '%' ? run + 1 : 0;
		if (run >= 12 || c == '=')
			return true;
	}
	return length >= 8 && letters > 0 && digits > 0 && !dot;
}

static void
room_segment(struct room *r, const char *text, size_t length)
{
	if (is_key_like(text, length))
		room_str(r, HIDDEN);
	else
		room_clean(r, text, length);
}

/* "name=value&..." without the values; a name alone may be the key itself. */
static void
room_query(struct room *r, const char *text, size_t length)
{
	while (length > 0) {
		size_t part = 0;
		const char *equal;

		while (part < length && text[part] != '&' && text[part] != ';')
			part++;
		equal = memchr(text, '=', part);
		if (equal) {
			room_segment(r, text, (size_t)(equal - text));
			room_str(r, "=");
		}
		if (part > 0)
			room_str(r, HIDDEN);
		if (part < length)
			room_clean(r, text + part++, 1);
		text += part;
		length -= part;
	}
}

static void
room_path(struct room *r, const char *text, size_t length)
{
	while (length > 0) {
		const char *slash = memchr(text, '/', length);
		size_t part = slash ? (size_t)(slash - text) : length;

		room_segment(r, text, part);
		if (slash) {
			room_str(r, "/");
			part++;
		}
		text += part;
		length -= part;
	}
}

char *
text_url(char *out, size_t size, const char *url)
{
	struct room r = {out, size};
	const char *host = strstr(url, "://");
	const char *user;
	size_t n;

	if (size > 0)
		*out = '\0';
	/* A "://" behind the first '/' or '?' is part of something else. */
	if (host && (size_t)(host - url) < strcspn(url, "/?#")) {
		host += 3;
		room_clean(&r, url, (size_t)(host - url));
		url = host;
	}
	n = strcspn(url, "/?#");
	user = memrchr(url, '@', n);
	if (user) {
		room_str(&r, HIDDEN);
		n -= (size_t)(user - url);
		url = user;
	}
	room_clean(&r, url, n);
	url += n;
	n = strcspn(url, "?#");
	room_path(&r, url, n);
	url += n;
	if (*url == '?') {
		room_str(&r, "?");
		url++;
		n = strcspn(url, "#");
		room_query(&r, url, n);
		url += n;
	}
	if (*url == '#')
		room_str(&r, "#" HIDDEN);
	return out;
}
