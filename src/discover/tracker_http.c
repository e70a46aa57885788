#include "discover/tracker_http.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "meta/bencode.h"

static void
put_encoded(struct buffer *out, const uint8_t *raw, size_t n)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";

	for (size_t i = 0; i < n; i++) {
		if (raw[i] != 0 && strchr(plain, raw[i]))
			buffer_u8(out, raw[i]);
		else
			buffer_printf(out, "%%%02x", raw[i]);
	}
}

/* The announce URL without its fragment, and what joins a query to it. */
static void
put_base(struct buffer *out, const char *announce)
{
	size_t n = strcspn(announce, "#");
	const char *query = memchr(announce, '?', n);

	buffer_url(out, announce, n);
	if (!query)
		buffer_str(out, "?");
	else if (announce[n - 1] != '?' && announce[n - 1] != '&')
		buffer_str(out, "&");
}

int
tracker_http_url(struct buffer *out, const char *announce,
		 const struct tracker_request *r, struct error *e)
{
	if (!tracker_url_usable(announce))
		return error_set(e, ERROR_PROTOCOL, "not a tracker's URL");
	put_base(out, announce);
	buffer_str(out, "info_hash=");
	put_encoded(out, r->info_hash, sizeof(r->info_hash));
	buffer_str(out, "&peer_id=");
	put_encoded(out, r->peer_id, sizeof(r->peer_id));
	buffer_printf(out,
		      "&port=%u&uploaded=%" PRIu64 "&downloaded=%" PRIu64
		      "&left=%" PRIu64 "&key=%08" PRIX32 "&numwant=%" PRIu32
		      "&compact=1&no_peer_id=1",
		      r->port, r->uploaded, r->downloaded, r->left, r->key,
		      r->numwant);
	/* BEP 21 wants it in every announce, so that a tracker which lost its
	 * memory knows; who leaves is no seed any more. */
	if (r->paused && r->event != TRACKER_STOPPED)
		buffer_str(out, "&event=paused");
	else if (r->event != TRACKER_NONE)
		buffer_printf(out, "&event=%s", tracker_event_name(r->event));
	if (r->id[0] != '\0') {
		buffer_str(out, "&trackerid=");
		put_encoded(out, (const uint8_t *)r->id, strlen(r->id));
	}
	return out->failed ? error_memory(e) : 0;
}

enum key {
	KEY_FAILURE,
	KEY_RETRY_IN,
	KEY_WARNING,
	KEY_INTERVAL,
	KEY_MIN_INTERVAL,
	KEY_TRACKER_ID,
	KEY_COMPLETE,
	KEY_INCOMPLETE,
	KEY_EXTERNAL_IP,
	KEY_PEERS,
	KEY_PEERS6,
	KEY_COUNT,
};

static const struct bencode_key keys[KEY_COUNT] = {
    [KEY_FAILURE] = BENCODE_KEY("failure reason"),
    [KEY_RETRY_IN] = BENCODE_KEY("retry in"),
    [KEY_WARNING] = BENCODE_KEY("warning message"),
    [KEY_INTERVAL] = BENCODE_KEY("interval"),
    [KEY_MIN_INTERVAL] = BENCODE_KEY("min interval"),
    [KEY_TRACKER_ID] = BENCODE_KEY("tracker id"),
    [KEY_COMPLETE] = BENCODE_KEY("complete"),
    [KEY_INCOMPLETE] = BENCODE_KEY("incomplete"),
    [KEY_EXTERNAL_IP] = BENCODE_KEY("external ip"),
    [KEY_PEERS] = BENCODE_KEY("peers"),
    [KEY_PEERS6] = BENCODE_KEY("peers6"),
};

/* A number, also one written as a string (which trackers do). */
static bool
number_of(struct bencode v, uint32_t *out)
{
	char text[16];
	const uint8_t *at;
	size_t size;
	int64_t number = -1;
	uint64_t parsed;

	if (bencode_str(v, &at, &size) && size < sizeof(text)) {
		memcpy(text, at, size);
		text[size] = '\0';
		if (text_parse_number(text, 0, UINT32_MAX, &parsed))
			number = (int64_t)parsed;
	} else {
		bencode_int(v, &number);
	}
	if (number < 0)
		return false;
	*out = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX - 1;
	return true;
}

static void
read_retry(struct tracker_answer *a, struct bencode v)
{
	uint32_t minutes;

	if (bencode_str_is(v, "never"))
		a->retry_in = TRACKER_RETRY_NEVER;
	else if (number_of(v, &minutes))
		a->retry_in = minutes < 60 * 24 ? minutes * 60 : 60 * 60 * 24;
}

static int
read_failure(struct tracker_answer *a, const char *announce,
	     const struct bencode *values, struct error *e)
{
	char words[TRACKER_TEXT_MAX];
	const uint8_t *at;
	size_t size;

	a->refused = true;
	read_retry(a, values[KEY_RETRY_IN]);
	if (!bencode_str(values[KEY_FAILURE], &at, &size) || size == 0)
		return error_set(e, ERROR_PROTOCOL,
				 "the tracker refused without a reason");
	text_tracker_words(words, sizeof(words), at, size, announce);
	return error_set(e, ERROR_PROTOCOL, "the tracker says '%s'", words);
}

static int
read_compact(struct tracker_answer *a, struct bencode v, size_t step)
{
	const uint8_t *at;
	size_t size;
	struct bytes b;

	if (!bencode_str(v, &at, &size))
		return 0;
	b = bytes_over(at, size);
	while (b.left >= step && a->peer_count < TRACKER_PEERS_MAX) {
		const uint8_t *raw = bytes_take(&b, step);
		struct addr peer = step == ADDR_COMPACT4
				       ? addr_from_compact4(raw)
				       : addr_from_compact6(raw);

		if (tracker_answer_add(a, &peer) != 0)
			return -1;
	}
	return 0;
}

/* BEP 3 allows a name in the place of the address. */
static int
add_peer(struct tracker_answer *a, const struct bencode values[2])
{
	char host[TRACKER_HOST_MAX];
	const uint8_t *at;
	size_t size;
	int64_t port;
	struct addr peer;

	if (!bencode_str(values[0], &at, &size) || size >= sizeof(host) ||
	    memchr(at, '\0', size) || !bencode_int(values[1], &port) ||
	    port < 1 || port > UINT16_MAX)
		return 0;
	memcpy(host, at, size);
	host[size] = '\0';
	if (addr_parse(&peer, host, (uint16_t)port))
		return tracker_answer_add(a, &peer);
	return tracker_answer_add_name(a, host, (uint16_t)port);
}

static int
read_dicts(struct tracker_answer *a, struct bencode list, struct error *e)
{
	static const struct bencode_key names[2] = {BENCODE_KEY("ip"),
						    BENCODE_KEY("port")};
	struct bencode_iter it = bencode_items(list);
	struct bencode values[2], other;
	struct error why;
	bool any = false;
	int more;

	error_clear(&why);
	while ((more = bencode_pick_next(&it, names, values, 2, &why)) != 0) {
		/* One that is no dictionary spoils no other one. */
		if (more < 0 && !bencode_next(&it, &other))
			break;
		any |= more > 0;
		if (more > 0 && add_peer(a, values) != 0)
			return error_memory(e);
	}
	if (!any && why.kind != ERROR_NONE)
		return error_set(e, ERROR_PROTOCOL, "bad list of peers: %s",
				 why.text);
	return 0;
}

static void
read_external(struct tracker_answer *a, struct bencode v)
{
	uint8_t raw[ADDR_COMPACT6] = {0};
	const uint8_t *at;
	size_t size;

	if (!bencode_str(v, &at, &size) || (size != 4 && size != 16))
		return;
	memcpy(raw, at, size);
	a->external = size == 4 ? addr_from_compact4(raw)
				: addr_from_compact6(raw);
}

/* The tracker's id is sent back as it came: one with a NUL, or too long a
 * one, is not kept. */
static void
read_texts(struct tracker_answer *a, const char *announce,
	   const struct bencode *values)
{
	const uint8_t *at;
	size_t size;

	if (bencode_str(values[KEY_WARNING], &at, &size))
		text_tracker_words(a->warning, sizeof(a->warning), at, size,
				   announce);
	if (bencode_str(values[KEY_TRACKER_ID], &at, &size) &&
	    size < sizeof(a->id) && !memchr(at, '\0', size)) {
		memcpy(a->id, at, size);
		a->id[size] = '\0';
	}
}

static int
read_peers(struct tracker_answer *a, const struct bencode *values,
	   struct error *e)
{
	struct bencode peers = values[KEY_PEERS];

	if (bencode_type(peers) == BENCODE_LIST &&
	    read_dicts(a, peers, e) != 0)
		return -1;
	if (read_compact(a, peers, ADDR_COMPACT4) != 0 ||
	    read_compact(a, values[KEY_PEERS6], ADDR_COMPACT6) != 0)
		return error_memory(e);
	return 0;
}

int
tracker_http_parse(struct tracker_answer *a, const char *announce,
		   const void *body, size_t size, struct error *e)
{
	struct bencode v, values[KEY_COUNT];
	uint32_t number;

	/* Some servers put a line's end behind it. */
	if (bencode_read_prefix(&v, body, size, e) != 0 ||
	    bencode_pick(v, keys, values, KEY_COUNT, e) != 0) {
		error_prefix(e, "not a tracker's answer");
		return -1;
	}
	number_of(values[KEY_INTERVAL], &a->interval);
	number_of(values[KEY_MIN_INTERVAL], &a->min_interval);
	if (values[KEY_FAILURE].size > 0)
		return read_failure(a, announce, values, e);
	if (values[KEY_INTERVAL].size == 0 && values[KEY_PEERS].size == 0 &&
	    values[KEY_PEERS6].size == 0)
		return error_set(e, ERROR_PROTOCOL,
				 "not a tracker's answer: it has neither peers "
				 "nor an interval");
	if (number_of(values[KEY_COMPLETE], &number))
		a->seeds = number;
	if (number_of(values[KEY_INCOMPLETE], &number))
		a->leechers = number;
	read_texts(a, announce, values);
	read_external(a, values[KEY_EXTERNAL_IP]);
	return read_peers(a, values, e);
}
