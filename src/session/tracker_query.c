#include "session/tracker_query.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

/* Room for a decoded value; longer ones than any we read are refused. */
#define VALUE_MAX 64

/* Takes what lies before the next `mark` (or all) off b, the mark too. */
static struct bytes
take_part(struct bytes *b, char mark)
{
	const uint8_t *at = b->left ? memchr(b->at, mark, b->left) : NULL;
	size_t n = at ? (size_t)(at - b->at) : b->left;
	struct bytes part = bytes_over(b->at, n);

	bytes_take(b, at ? n + 1 : n);
	return part;
}

static bool
is(const struct bytes *b, const char *text)
{
	size_t n = strlen(text);

	return b->left == n && (n == 0 || memcmp(b->at, text, n) == 0);
}

static bool
is_word(const struct bytes *b, const char *text)
{
	return b->left == strlen(text) &&
	       strncasecmp((const char *)b->at, text, b->left) == 0;
}

static void
trim(struct bytes *b)
{
	while (b->left > 0 && (b->at[0] == ' ' || b->at[0] == '\t'))
		bytes_take(b, 1);
	while (b->left > 0 && (b->at[b->left - 1] == ' ' ||
			       b->at[b->left - 1] == '\t'))
		b->left--;
}

/* A line without its end, which may lack the CR. */
static struct bytes
take_line(struct bytes *b)
{
	struct bytes line = take_part(b, '\n');

	if (line.left > 0 && line.at[line.left - 1] == '\r')
		line.left--;
	return line;
}

size_t
tracker_head_size(const void *data, size_t size)
{
	struct bytes b = bytes_over(data, size), line;
	bool begun = false;

	while (b.left > 0 && memchr(b.at, '\n', b.left)) {
		line = take_line(&b);
		if (line.left == 0 && begun)
			return size - b.left;
		begun = begun || line.left > 0;
	}
	return 0;
}

/* "/announce?..." or, as a proxy is asked, "http://host/announce?..." */
static int
read_target(struct tracker_head *h, struct bytes target)
{
	static const char scheme[] = "http://";
	const size_t n = sizeof(scheme) - 1;

	if (target.left > n &&
	    strncasecmp((const char *)target.at, scheme, n) == 0) {
		bytes_take(&target, n);
		while (target.left > 0 && target.at[0] != '/')
			bytes_take(&target, 1);
	}
	if (target.left == 0 || target.at[0] != '/')
		return 400;
	h->path = take_part(&target, '?');
	h->query = take_part(&target, '#');
	return 0;
}

static int
read_request_line(struct tracker_head *h, struct bytes line)
{
	struct bytes method = take_part(&line, ' ');
	struct bytes target = take_part(&line, ' ');

	if (line.left != 8 || memcmp(line.at, "HTTP/", 5) != 0)
		return 400;
	if (memcmp(line.at + 5, "1.", 2) != 0)
		return 505;
	h->keep = line.at[7] != '0';
	h->head_only = is(&method, "HEAD");
	if (!h->head_only && !is(&method, "GET"))
		return method.left > 0 ? 405 : 400;
	return read_target(h, target);
}

static int
read_field(struct tracker_head *h, struct bytes line)
{
	struct bytes name, option;

	if (!memchr(line.at, ':', line.left) || line.at[0] == ' ' ||
	    line.at[0] == '\t' || line.at[0] == ':')
		return 400;
	name = take_part(&line, ':');
	trim(&line);
	if (is_word(&name, "transfer-encoding") ||
	    (is_word(&name, "content-length") && !is(&line, "0")))
		return 413;
	if (!is_word(&name, "connection"))
		return 0;
	while (line.left > 0) {
		option = take_part(&line, ',');
		trim(&option);
		if (is_word(&option, "close"))
			h->keep = false;
	}
	return 0;
}

int
tracker_head_read(struct tracker_head *h, const void *data, size_t size)
{
	struct bytes b = bytes_over(data, size), line;
	int status;

	*h = (struct tracker_head){0};
	do
		line = take_line(&b);
	while (line.left == 0 && b.left > 0);
	status = read_request_line(h, line);
	while (status == 0 && b.left > 0) {
		line = take_line(&b);
		if (line.left > 0)
			status = read_field(h, line);
	}
	return status;
}

bool
tracker_head_path_is(const struct tracker_head *h, const char *path)
{
	return is(&h->path, path);
}

/* A decoded value, with a NUL behind it that does not count. */
struct value {
	uint8_t data[VALUE_MAX + 1];
	size_t size;
};

static int
decode(struct value *v, const char *key, struct bytes raw, struct error *e)
{
	v->size = 0;
	while (raw.left > 0) {
		uint8_t c = bytes_u8(&raw);

		if (v->size == VALUE_MAX)
			return error_set(e, ERROR_PROTOCOL, "%s is too long",
					 key);
		if (c == '%') {
			const uint8_t *hex = bytes_take(&raw, 2);

			if (!hex || !hex_decode(&c, 1, (const char *)hex, 2))
				return error_set(e, ERROR_PROTOCOL,
						 "%s has a bad %% escape",
						 key);
		}
		v->data[v->size++] = c;
	}
	v->data[v->size] = '\0';
	return 0;
}

static int
read_id(uint8_t out[SHA1_SIZE], const char *key, const struct value *v,
	struct error *e)
{
	if (v->size != SHA1_SIZE)
		return error_set(e, ERROR_PROTOCOL,
				 "%s is %zu bytes long, not %d", key, v->size,
				 SHA1_SIZE);
	memcpy(out, v->data, SHA1_SIZE);
	return 0;
}

static bool
read_number(const struct value *v, uint64_t max, uint64_t *number)
{
	return strlen((const char *)v->data) == v->size &&
	       text_parse_number((const char *)v->data, 0, max, number);
}

static int
take_info_hash(struct tracker_query *q, const struct value *v,
	       struct error *e)
{
	return read_id(q->announce.info_hash, "info_hash", v, e);
}

static int
take_peer_id(struct tracker_query *q, const struct value *v, struct error *e)
{
	return read_id(q->announce.peer_id, "peer_id", v, e);
}

static int
take_port(struct tracker_query *q, const struct value *v, struct error *e)
{
	uint64_t number;

	if (!read_number(v, UINT16_MAX, &number))
		return error_set(e, ERROR_PROTOCOL,
				 "port is not a number up to 65535");
	q->announce.addr.port = (uint16_t)number;
	return 0;
}

static int
take_left(struct tracker_query *q, const struct value *v, struct error *e)
{
	uint64_t number;

	(void)e;
	q->announce.complete = read_number(v, UINT64_MAX, &number) &&
			       number == 0;
	return 0;
}

static int
take_event(struct tracker_query *q, const struct value *v, struct error *e)
{
	static const char *const names[] = {
		[TRACKER_SWARM_NONE] = "",
		[TRACKER_SWARM_COMPLETED] = "completed",
		[TRACKER_SWARM_STARTED] = "started",
		[TRACKER_SWARM_STOPPED] = "stopped",
		[TRACKER_SWARM_PAUSED] = "paused",
	};

	(void)e;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp((const char *)v->data, names[i]) == 0)
			q->announce.event = (enum tracker_swarm_event)i;
	}
	return 0;
}

static int
take_numwant(struct tracker_query *q, const struct value *v, struct error *e)
{
	uint64_t number;

	(void)e;
	if (!read_number(v, UINT32_MAX, &number))
		return 0;
	q->want = number < TRACKER_QUERY_WANT_MAX ? (uint32_t)number
						  : TRACKER_QUERY_WANT_MAX;
	return 0;
}

static int
take_compact(struct tracker_query *q, const struct value *v, struct error *e)
{
	(void)e;
	q->compact = strcmp((const char *)v->data, "0") != 0;
	return 0;
}

static int
take_no_peer_id(struct tracker_query *q, const struct value *v,
		struct error *e)
{
	(void)e;
	q->no_peer_id = strcmp((const char *)v->data, "1") == 0;
	return 0;
}

static int
take_ip(struct tracker_query *q, const struct value *v, struct error *e)
{
	(void)e;
	/* A scope would be the name of an interface of ours. */
	if (strlen((const char *)v->data) != v->size ||
	    strchr((const char *)v->data, '%') ||
	    !addr_parse(&q->ip, (const char *)v->data, 1) ||
	    !addr_usable(&q->ip))
		q->ip = (struct addr){0};
	return 0;
}

static const struct field {
	const char *key;
	bool required;
	int (*take)(struct tracker_query *q, const struct value *v,
		    struct error *e);
} fields[] = {
	{"info_hash", true, take_info_hash},
	{"peer_id", true, take_peer_id},
	{"port", true, take_port},
	{"left", false, take_left},
	{"event", false, take_event},
	{"numwant", false, take_numwant},
	{"compact", false, take_compact},
	{"no_peer_id", false, take_no_peer_id},
	{"ip", false, take_ip},
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static int
take_field(struct tracker_query *q, struct bytes part, unsigned *seen,
	   struct error *e)
{
	struct bytes key = take_part(&part, '=');
	struct value v;

	for (size_t i = 0; i < FIELDS; i++) {
		if (!is(&key, fields[i].key))
			continue;
		if (*seen & 1u << i)
			return error_set(e, ERROR_PROTOCOL,
					 "%s is given twice", fields[i].key);
		*seen |= 1u << i;
		if (decode(&v, fields[i].key, part, e) != 0)
			return -1;
		return fields[i].take(q, &v, e);
	}
	return 0;
}

int
tracker_query_announce(struct tracker_query *q, struct bytes query,
		       struct error *e)
{
	unsigned seen = 0;

	*q = (struct tracker_query){
		.want = TRACKER_QUERY_WANT,
		.compact = true,
	};
	while (query.left > 0) {
		if (take_field(q, take_part(&query, '&'), &seen, e) != 0)
			return -1;
	}
	for (size_t i = 0; i < FIELDS; i++) {
		if (fields[i].required && !(seen & 1u << i))
			return error_set(e, ERROR_PROTOCOL, "%s is missing",
					 fields[i].key);
	}
	return 0;
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, SHA1_SIZE);
}

int
tracker_query_scrape(uint8_t hashes[][SHA1_SIZE], size_t *count,
		     struct bytes query, struct error *e)
{
	size_t n = 0, unique = 1;
	struct value v;

	while (query.left > 0) {
		struct bytes part = take_part(&query, '&');
		struct bytes key = take_part(&part, '=');

		if (!is(&key, "info_hash"))
			continue;
		if (n == TRACKER_QUERY_HASHES_MAX)
			return error_set(e, ERROR_PROTOCOL,
					 "more than %d info hashes",
					 TRACKER_QUERY_HASHES_MAX);
		if (decode(&v, "info_hash", part, e) != 0 ||
		    read_id(hashes[n], "info_hash", &v, e) != 0)
			return -1;
		n++;
	}
	if (n == 0)
		return error_set(e, ERROR_PROTOCOL, "info_hash is missing");
	qsort(hashes, n, SHA1_SIZE, compare);
	for (size_t i = 1; i < n; i++) {
		if (memcmp(hashes[i], hashes[unique - 1], SHA1_SIZE) != 0)
			memmove(hashes[unique++], hashes[i], SHA1_SIZE);
	}
	*count = unique;
	return 0;
}
