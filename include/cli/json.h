/*
 * json: writes JSON, and the events of --progress=json.
 *
 * Strings are escaped, with all that a terminal must not get (text_unsafe),
 * and made valid UTF-8 where they are not (a bad byte becomes U+FFFD).  Pure:
 * the time comes in.
 */
#ifndef BTGET_CLI_JSON_H
#define BTGET_CLI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "session/stats.h"

/*
 * A writer: it sets the commas.  json_key comes before each member of an
 * object.
 */
struct json {
	struct buffer *out;
	bool first;		/* no comma before the next value */
};

void json_init(struct json *j, struct buffer *out);
void json_open(struct json *j, char bracket);	/* '{' or '[' */
void json_close(struct json *j, char bracket);	/* '}' or ']' */
void json_key(struct json *j, const char *key);
void json_string(struct json *j, const char *text);	/* NULL: null */
void json_bytes(struct json *j, const void *text, size_t length);
void json_number(struct json *j, uint64_t value);
void json_signed(struct json *j, int64_t value);
void json_bool(struct json *j, bool value);
void json_null(struct json *j);

/* Events, each a line with '\n'; now is clock_wall(). */
void json_event_start(struct buffer *out, double now,
		      const struct stats_torrent *t, const char *dir);
void json_event_progress(struct buffer *out, double now,
			 const struct stats_torrent *t);
void json_event_file(struct buffer *out, double now,
		     const struct stats_torrent *t, const char *path);
/* With the exit code of what has failed; 0: nothing has. */
void json_event_warning(struct buffer *out, double now,
			const struct stats_torrent *t, const char *text,
			int code);
void json_event_complete(struct buffer *out, double now,
			 const struct stats_torrent *t);
void json_event_exit(struct buffer *out, double now, int code,
		     const char *reason);

#endif
