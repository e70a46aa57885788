/*
 * text: words for people, and from them.
 *
 * Whatever came from outside passes text_clean before it is shown: control
 * and escape characters and bytes that are no UTF-8 never reach a terminal,
 * a log or an error line.  No locale is needed.  Pure; any thread.
 */
#ifndef BTGET_BASE_TEXT_H
#define BTGET_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Must it not reach a terminal: a control character (C0, DEL, C1), a separator
 * of lines or paragraphs, or a bidirectional override? */
bool text_unsafe(uint32_t code);

/* Copies text with every unsafe character and invalid byte replaced by '?';
 * cut to size at a character's border.  Returns out. */
char *text_clean(char *out, size_t size, const char *text);
char *text_clean_n(char *out, size_t size, const void *text, size_t length);
/* The same; the length of what is in out. */
size_t text_put_clean(char *out, size_t size, const void *text, size_t length);

/* Is it valid UTF-8 (no surrogates, no overlong forms)? */
bool text_is_utf8(const void *text, size_t length);

/* How much of it is whole, if more is to follow: all but the beginning of a
 * character at its end. */
size_t text_whole(const char *text, size_t length);

/* Decodes one character, at least one byte; *code is U+FFFD for a bad one. */
size_t text_decode(const char *text, size_t length, uint32_t *code);

/* Columns that a character takes on a terminal: 0, 1 or 2. */
int text_width(uint32_t code);
size_t text_columns(const char *text);

/* The URL as it may be shown: user info, path segments that look like keys
 * (20 hex digits or more, 16 letters and digits mixed, 16 characters of either
 * case, digits, '-' and '_', a value behind '='), the values of the query and
 * the fragment become "...";
 * "http://host/iso/...?passkey=..." */
char *text_url(char *out, size_t size, const char *url);
/* The same of a tracker, where any segment may be a passkey: all but those
 * that trackers are known to have become "..."; "http://host/.../announce" */
char *text_tracker_url(char *out, size_t size, const char *url);
/* What this tracker says, cleaned; what text_tracker_url hides of its URL
 * becomes "...", and so does whatever else looks like a key.  `url` may be the
 * path and query alone. */
char *text_tracker_words(char *out, size_t size, const void *words,
			 size_t length, const char *url);
/* A path, or a URL that somebody took for one. */
char *text_path(char *out, size_t size, const char *path);

/* Puts the digits of a number before `end`, without a NUL, and returns where
 * they begin; at most 20. */
char *text_number(char *end, uint64_t number);

/* "17 B", "4.2 GiB" (1024 based); at least 16 bytes of room. */
char *text_size(char *out, size_t size, uint64_t bytes);
/* The same; its length. */
size_t text_put_size(char *out, size_t size, uint64_t bytes);
/* "1.5 MiB/s" */
char *text_rate(char *out, size_t size, uint64_t bytes_per_s);
/* "7s", "3m12s", "2h05m", "4d07h" */
char *text_duration(char *out, size_t size, uint64_t seconds);
/* The same of nanoseconds, with parts of a second below a minute: "0.5s". */
char *text_span(char *out, size_t size, int64_t ns);

/* "SIGTERM", or "signal 37" for one that has no name. */
char *text_signal(char *out, size_t size, int number);

/* "500K", "2M", "1.5G", "17"; false if it is none, too large, or more than 0
 * and less than 1. */
bool text_parse_size(const char *text, uint64_t *bytes);
/* "90", "90s", "15m", "2h", "1d", "1.5h"; the result is nanoseconds,
 * 0 for 0 alone. */
bool text_parse_duration(const char *text, int64_t *ns);
/* A plain decimal number in a range. */
bool text_parse_number(const char *text, uint64_t min, uint64_t max,
		       uint64_t *value);

#endif
