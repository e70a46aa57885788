#include "cli/json.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"

void
json_init(struct json *j, struct buffer *out)
{
	j->out = out;
	j->first = true;
}

static void
put_comma(struct json *j)
{
	if (!j->first)
		buffer_u8(j->out, ',');
	j->first = false;
}

void
json_open(struct json *j, char bracket)
{
	put_comma(j);
	buffer_u8(j->out, (uint8_t)bracket);
	j->first = true;
}

void
json_close(struct json *j, char bracket)
{
	buffer_u8(j->out, (uint8_t)bracket);
	j->first = false;
}

static void
put_quoted(struct buffer *out, const char *text, size_t length)
{
	uint32_t code;

	buffer_u8(out, '"');
	while (length > 0) {
		size_t n = text_decode(text, length, &code);
		uint8_t c = (uint8_t)*text;

		if (c == '"' || c == '\\')
			buffer_printf(out, "\\%c", c);
		else if (c == '\n')
			buffer_str(out, "\\n");
		else if (c == '\t')
			buffer_str(out, "\\t");
		else if (text_unsafe(code))
			buffer_printf(out, "\\u%04x", (unsigned)code);
		else if (code == 0xfffd)
			buffer_str(out, "\xef\xbf\xbd");
		else
			buffer_put(out, text, n);
		text += n;
		length -= n;
	}
	buffer_u8(out, '"');
}

void
json_key(struct json *j, const char *key)
{
	put_comma(j);
	put_quoted(j->out, key, strlen(key));
	buffer_u8(j->out, ':');
	j->first = true;
}

void
json_bytes(struct json *j, const void *text, size_t length)
{
	put_comma(j);
	put_quoted(j->out, text, length);
}

void
json_string(struct json *j, const char *text)
{
	if (text)
		json_bytes(j, text, strlen(text));
	else
		json_null(j);
}

void
json_number(struct json *j, uint64_t value)
{
	put_comma(j);
	buffer_printf(j->out, "%" PRIu64, value);
}

void
json_signed(struct json *j, int64_t value)
{
	put_comma(j);
	buffer_printf(j->out, "%" PRId64, value);
}

void
json_bool(struct json *j, bool value)
{
	put_comma(j);
	buffer_str(j->out, value ? "true" : "false");
}

void
json_null(struct json *j)
{
	put_comma(j);
	buffer_str(j->out, "null");
}

/* t may be NULL: the event is about no torrent. */
static struct json
event_open(struct buffer *out, double now, const char *event,
	   const struct stats_torrent *t)
{
	struct json j;

	json_init(&j, out);
	json_open(&j, '{');
	json_key(&j, "event");
	json_string(&j, event);
	json_key(&j, "time");
	put_comma(&j);
	buffer_printf(out, "%.3f", now);
	if (t && t->info_hash[0]) {
		json_key(&j, "info_hash");
		json_string(&j, t->info_hash);
	}
	if (t) {
		json_key(&j, "name");
		json_string(&j, t->name);
	}
	return j;
}

static void
event_close(struct json *j)
{
	json_close(j, '}');
	buffer_u8(j->out, '\n');
}

void
json_event_start(struct buffer *out, double now,
		 const struct stats_torrent *t, const char *dir)
{
	struct json j = event_open(out, now, "start", t);

	json_key(&j, "length");
	json_number(&j, t->length);
	json_key(&j, "done");
	json_number(&j, t->done);
	json_key(&j, "dir");
	json_string(&j, dir);
	event_close(&j);
}

static const char *
state_word(enum torrent_state state)
{
	switch (state) {
	case TORRENT_CHECKING:
		return "checking";
	case TORRENT_LOADING:
	case TORRENT_METADATA:
		return "metadata";
	case TORRENT_SEEDING:
	case TORRENT_COMPLETE:
		return "seeding";
	case TORRENT_DOWNLOADING:
	case TORRENT_FINISHING:
	case TORRENT_STOPPED:
	case TORRENT_FAILED:
		break;
	}
	return "downloading";
}

static void
put_sources(struct json *j, const struct stats_torrent *t)
{
	static const char *const names[] = {
		[SOURCE_TRACKER] = "tracker",
		[SOURCE_DHT] = "dht",
		[SOURCE_PEX] = "pex",
		[SOURCE_LSD] = "lsd",
		[SOURCE_INCOMING] = "incoming",
		[SOURCE_GIVEN] = "manual",
		[SOURCE_WEBSEED] = "webseed",
	};

	_Static_assert(sizeof(names) / sizeof(*names) == SOURCE_COUNT,
		       "every source has a name");
	json_key(j, "peer_sources");
	json_open(j, '{');
	for (int i = 0; i < SOURCE_COUNT; i++) {
		json_key(j, names[i]);
		json_number(j, t->peers_by_source[i]);
	}
	json_close(j, '}');
}

void
json_event_progress(struct buffer *out, double now,
		    const struct stats_torrent *t)
{
	struct json j = event_open(out, now, "progress", t);

	json_key(&j, "state");
	json_string(&j, state_word(t->state));
	json_key(&j, "done");
	json_number(&j, t->state == TORRENT_CHECKING ? t->checked : t->done);
	json_key(&j, "length");
	json_number(&j, t->length);
	json_key(&j, "down_rate");
	json_number(&j, t->down_rate);
	json_key(&j, "up_rate");
	json_number(&j, t->up_rate);
	json_key(&j, "uploaded");
	json_number(&j, t->uploaded);
	json_key(&j, "peers");
	json_number(&j, t->peers);
	json_key(&j, "seeds");
	json_number(&j, t->seeds);
	json_key(&j, "eta");
	if (t->eta < 0)
		json_null(&j);
	else
		json_signed(&j, t->eta);
	put_sources(&j, t);
	event_close(&j);
}

void
json_event_file(struct buffer *out, double now, const struct stats_torrent *t,
		const char *path)
{
	struct json j = event_open(out, now, "file", t);

	json_key(&j, "path");
	json_string(&j, path);
	event_close(&j);
}

void
json_event_warning(struct buffer *out, double now,
		   const struct stats_torrent *t, const char *text, int code)
{
	struct json j = event_open(out, now, "warning", t);

	json_key(&j, "text");
	json_string(&j, text);
	if (code != 0) {
		json_key(&j, "code");
		json_signed(&j, code);
	}
	event_close(&j);
}

void
json_event_complete(struct buffer *out, double now,
		    const struct stats_torrent *t)
{
	struct json j = event_open(out, now, "complete", t);

	event_close(&j);
}

void
json_event_exit(struct buffer *out, double now, int code, const char *reason)
{
	struct json j = event_open(out, now, "exit", NULL);

	json_key(&j, "code");
	json_signed(&j, code);
	json_key(&j, "reason");
	json_string(&j, reason);
	event_close(&j);
}
