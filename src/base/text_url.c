/*
 * URLs as they may be shown, and what trackers say of them.
 *
 * A URL is cut into what is shown and what is hidden; the hidden parts are
 * also what must not show where a tracker repeats them.
 */
#include <string.h>
#include <strings.h>

#include "base/bytes.h"

#include "base/text.h"
#include "text_room.h"

#define HIDDEN "..."
/* More of them in one URL are nobody's keys. */
#define SECRETS_MAX 32
/* A shorter secret may be part of a word that is none. */
#define SHORT 4

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

/* ---- other paths ---- */

/* A word that is being counted. */
struct word {
	size_t letters;
	size_t digits;
	size_t hex;		/* of both; dashes do not end these */
};

static bool
is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* 20 hex digits or more, as a UUID has them, or 16 letters and digits. */
static bool
is_key(const struct word *w)
{
	return w->hex >= 20 || (w->letters > 0 && w->digits > 0 &&
				w->letters + w->digits >= 16);
}

static void
count(struct word *w, char c)
{
	if (!is_letter(c) && !is_digit(c)) {
		*w = (struct word){.hex = c == '-' ? w->hex : 0};
		return;
	}
	w->letters += is_letter(c);
	w->digits += is_digit(c);
	w->hex = is_hex(c) ? w->hex + 1 : 0;
}

/* What a segment is made of. */
struct mixture {
	size_t length;
	size_t changes;		/* of kind, but for a word's capital */
	int last;		/* kind, and that before it */
	int before;
	bool upper;
	bool lower;
	bool digit;
	bool other;		/* than those, '-' and '_' */
};

/* Upper case, lower case or digit; 0: none of these. */
static int
kind_of(char c)
{
	if (is_digit(c))
		return 1;
	if (!is_letter(c))
		return 0;
	return c <= 'Z' ? 2 : 3;
}

static void
add_character(struct mixture *m, char c)
{
	int kind = kind_of(c);

	if (m->length++ > 0 && kind != m->last &&
	    !(m->last == 2 && kind == 3 && m->before == 0))
		m->changes++;
	m->before = m->last;
	m->last = kind;
	m->upper |= kind == 2;
	m->lower |= kind == 3;
	m->digit |= kind == 1;
	m->other |= kind == 0 && c != '-' && c != '_';
}

/* A token in base64 for URLs has dashes anywhere, and is of one kind for no
 * longer than chance has it; "Big-Buck-Bunny-2008-1080p" is a name. */
static bool
is_token(const struct mixture *m)
{
	return m->length >= 16 && m->upper && m->lower && m->digit &&
	       !m->other && m->changes * 20 >= m->length * 9;
}

/* A character, which may be escaped; how much it takes. */
static size_t
take_character(const char *text, size_t length, char *c)
{
	uint8_t byte;

	*c = *text;
	if (*c != '%' || length < 3 || !hex_decode(&byte, 1, text + 1, 2))
		return 1;
	*c = (char)byte;
	return 3;
}

/*
 * Where servers keep files, most segments are names: "distributions",
 * "release-2023".  What no name looks like is hidden, with a value behind an
 * equals sign.
 */
static bool
has_key(const char *text, size_t length)
{
	struct mixture all = {0};
	struct word w = {0};
	char c;

	while (length > 0) {
		size_t n = take_character(text, length, &c);

		count(&w, c);
		add_character(&all, c);
		if (c == '=' || is_key(&w))
			return true;
		text += n;
		length -= n;
	}
	return is_token(&all);
}

/* ---- the segments of a tracker's path ---- */

struct part {
	const char *at;
	size_t length;
};

static bool
is_one_of(const struct part *p, const char *const *words)
{
	for (; *words; words++)
		if (strlen(*words) == p->length &&
		    strncasecmp(*words, p->at, p->length) == 0)
			return true;
	return false;
}

static size_t
span(const struct part *p, bool (*is)(char))
{
	size_t n = 0;

	while (n < p->length && is(p->at[n]))
		n++;
	return n;
}

/* "announce", "ann.php", "tracker2", "bt", "v1": what no passkey is. */
static bool
is_well_known(const char *text, size_t length)
{
	static const char *const names[] = {
		"announce", "scrape", "tracker", "trackers", "index",
		"torrent", "torrents", "bittorrent", NULL
	};
	static const char *const suffixes[] = {
		"php", "php5", "cgi", "asp", "aspx", "jsp", "htm", "html",
		"pl", "py", NULL
	};
	struct part stem = {text, length}, rest;
	size_t digits;
	bool named;

	stem.length = span(&stem, is_letter);
	named = is_one_of(&stem, names);
	if (!named && stem.length > 3)
		return false;
	rest = (struct part){text + stem.length, length - stem.length};
	digits = span(&rest, is_digit);
	if (digits > (named || stem.length == 1 ? 2 : 0))
		return false;
	rest.at += digits;
	rest.length -= digits;
	if (rest.length == 0)
		return true;
	if (*rest.at != '.' || stem.length == 0)
		return false;
	rest.at++;
	rest.length--;
	return is_one_of(&rest, suffixes);
}

/* ---- a URL, cut ---- */

struct cut {
	struct room shown;
	bool tracker;
	struct part secrets[SECRETS_MAX];
	size_t count;
};

static void
add_secret(struct cut *c, const char *text, size_t length)
{
	if (length > 0 && c->count < SECRETS_MAX)
		c->secrets[c->count++] = (struct part){text, length};
}

static void
cut_hidden(struct cut *c, const char *text, size_t length)
{
	room_str(&c->shown, HIDDEN);
	add_secret(c, text, length);
}

/* Both halves of it are secrets, too. */
static void
cut_user(struct cut *c, const char *text, size_t length)
{
	const char *colon = memchr(text, ':', length);

	cut_hidden(c, text, length);
	if (!colon)
		return;
	add_secret(c, text, (size_t)(colon - text));
	add_secret(c, colon + 1, length - (size_t)(colon - text) - 1);
}

static void
cut_name(struct cut *c, const char *text, size_t length)
{
	if (is_key_like(text, length))
		cut_hidden(c, text, length);
	else
		room_clean(&c->shown, text, length);
}

static void
cut_segment(struct cut *c, const char *text, size_t length)
{
	if (c->tracker ? length > 0 && !is_well_known(text, length) :
			 has_key(text, length))
		cut_hidden(c, text, length);
	else
		room_clean(&c->shown, text, length);
}

/* "name=value&..." without the values; a name alone may be the key itself. */
static void
cut_query(struct cut *c, const char *text, size_t length)
{
	while (length > 0) {
		size_t part = 0, name = 0;
		const char *equal;

		while (part < length && text[part] != '&' && text[part] != ';')
			part++;
		equal = memchr(text, '=', part);
		if (equal) {
			name = (size_t)(equal - text);
			cut_name(c, text, name++);
			room_str(&c->shown, "=");
		}
		if (part > 0)
			cut_hidden(c, text + name, part - name);
		if (part < length)
			room_clean(&c->shown, text + part++, 1);
		text += part;
		length -= part;
	}
}

static void
cut_path(struct cut *c, const char *text, size_t length)
{
	while (length > 0) {
		const char *slash = memchr(text, '/', length);
		size_t part = slash ? (size_t)(slash - text) : length;

		cut_segment(c, text, part);
		if (slash) {
			room_str(&c->shown, "/");
			part++;
		}
		text += part;
		length -= part;
	}
}

static void
cut_url(struct cut *c, const char *url)
{
	const char *host = strstr(url, "://");
	const char *user;
	size_t n;

	/* A "://" behind the first '/' or '?' is part of something else. */
	if (host && (size_t)(host - url) < strcspn(url, "/?#")) {
		host += 3;
		room_clean(&c->shown, url, (size_t)(host - url));
		url = host;
	}
	n = strcspn(url, "/?#");
	user = memrchr(url, '@', n);
	if (user) {
		cut_user(c, url, (size_t)(user - url));
		n -= (size_t)(user - url);
		url = user;
	}
	room_clean(&c->shown, url, n);
	url += n;
	n = strcspn(url, "?#");
	cut_path(c, url, n);
	url += n;
	if (*url == '?') {
		room_str(&c->shown, "?");
		url++;
		n = strcspn(url, "#");
		cut_query(c, url, n);
		url += n;
	}
	if (*url == '#')
		room_str(&c->shown, "#" HIDDEN);
}

static char *
shown_url(char *out, size_t size, const char *url, bool tracker)
{
	struct cut c = {.shown = {out, size}, .tracker = tracker};

	if (size > 0)
		*out = '\0';
	cut_url(&c, url);
	return out;
}

char *
text_url(char *out, size_t size, const char *url)
{
	return shown_url(out, size, url, false);
}

char *
text_tracker_url(char *out, size_t size, const char *url)
{
	return shown_url(out, size, url, true);
}

char *
text_path(char *out, size_t size, const char *path)
{
	return strstr(path, "://") ? text_url(out, size, path)
				   : text_clean(out, size, path);
}

/* ---- what a tracker says ---- */

static bool
is_word(char c)
{
	return is_letter(c) || is_digit(c);
}

static char
lower(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c | 0x20);
	return c;
}

/* How much of the text is the secret, in either case; 0: it is not. */
static size_t
match(const struct part *secret, const struct part *text, bool decoded)
{
	size_t i = 0, n = 0;

	for (; i < secret->length; i++, n++) {
		char c = secret->at[i];
		uint8_t byte;

		if (n == text->length)
			return 0;
		if (decoded && c == '%' && secret->length - i > 2 &&
		    hex_decode(&byte, 1, secret->at + i + 1, 2)) {
			c = (char)byte;
			i += 2;
		} else if (decoded && c == '+' && text->at[n] == ' ') {
			c = ' ';
		}
		if (lower(c) != lower(text->at[n]))
			return 0;
	}
	return n;
}

/* The longest secret that the text begins with; `within` a word, no short
 * one. */
static size_t
secret_at(const struct cut *c, const struct part *text, bool within)
{
	size_t longest = 0;

	for (size_t i = 0; i < 2 * c->count; i++) {
		size_t n = match(&c->secrets[i / 2], text, i % 2);

		if (n < SHORT && (within || (n < text->length &&
					     is_word(text->at[n]))))
			continue;
		if (n > longest)
			longest = n;
	}
	return longest;
}

/* The whole word, if it is 20 hex digits or more, or 16 letters and digits. */
static size_t
key_at(const struct part *text)
{
	size_t n = span(text, is_word), letters = 0, hex = 0;

	for (size_t i = 0; i < n; i++) {
		char c = lower(text->at[i]);

		letters += is_letter(c);
		hex += !is_letter(c) || c <= 'f';
	}
	if ((n >= 20 && hex == n) || (n >= 16 && letters > 0 && letters < n))
		return n;
	return 0;
}

char *
text_tracker_words(char *out, size_t size, const void *words, size_t length,
		   const char *url)
{
	struct room r = {out, size};
	struct part left = {words, length};
	char nothing[1] = "";
	struct cut c = {.shown = {nothing, 1}, .tracker = true};
	bool within = false;

	if (size > 0)
		*out = '\0';
	cut_url(&c, url);
	while (left.length > 0 && r.left > 1) {
		size_t n = secret_at(&c, &left, within);
		size_t key = within ? 0 : key_at(&left);
		uint32_t code;

		if (key > n)
			n = key;
		if (n > 0) {
			room_str(&r, HIDDEN);
		} else {
			n = text_decode(left.at, left.length, &code);
			room_clean(&r, left.at, n);
		}
		within = is_word(left.at[n - 1]);
		left.at += n;
		left.length -= n;
	}
	return out;
}
