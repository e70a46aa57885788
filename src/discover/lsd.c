#include "discover/lsd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define LINES_MAX 64
/* What is heard: so many peers in a while, whoever shouts. */
#define HEARD_WINDOW (10 * CLOCK_S)
#define HEARD_MAX 200

struct lsd_torrent {
	uint8_t hash[20];
	int64_t due;
};

struct lsd {
	struct lsd_config config;
	char cookie[LSD_COOKIE_MAX + 1];
	struct lsd_torrent *torrents;
	size_t count;
	size_t size;
	int64_t next;		/* packet: not before */
	int64_t heard_since;
	unsigned heard;
};

struct addr
lsd_group(int family)
{
	struct addr a = {0};

	if (family == AF_INET)
		(void)addr_parse(&a, "239.192.152.143", LSD_PORT);
	else
		(void)addr_parse(&a, "ff15::efc0:988f", LSD_PORT);
	return a;
}

/* ---- the text ---- */

/* The next line without its end; false when there is none. */
static bool
next_line(struct bytes *in, const char **line, size_t *length)
{
	const char *at = (const char *)in->at;
	const char *end;

	if (in->left == 0)
		return false;
	end = memchr(at, '\n', in->left);
	*line = at;
	*length = end ? (size_t)(end - at) : in->left;
	(void)bytes_take(in, *length + (end != NULL));
	if (*length > 0 && at[*length - 1] == '\r')
		--*length;
	return true;
}

/* The value of "Name: value", cut into out; false if it has another name. */
static bool
header(const char *line, size_t length, const char *name, char *out,
       size_t size)
{
	size_t n = strlen(name);

	if (length <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return false;
	line += n + 1;
	length -= n + 1;
	while (length > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		length--;
	}
	while (length > 0 && (line[length - 1] == ' ' ||
			      line[length - 1] == '\t'))
		length--;
	n = length < size - 1 ? length : size - 1;
	memcpy(out, line, n);
	out[n] = '\0';
	return true;
}

static void
take_line(struct lsd_message *m, const char *line, size_t length)
{
	char value[64];
	uint64_t port;

	if (header(line, length, "Port", value, sizeof(value))) {
		if (text_parse_number(value, 1, UINT16_MAX, &port))
			m->port = (uint16_t)port;
	} else if (header(line, length, "cookie", value, sizeof(value))) {
		snprintf(m->cookie, sizeof(m->cookie), "%.*s", LSD_COOKIE_MAX,
			 value);
	} else if (header(line, length, "Infohash", value, sizeof(value))) {
		if (m->count < LSD_HASHES_MAX &&
		    hex_decode(m->hashes[m->count], 20, value, strlen(value)))
			m->count++;
	}
}

int
lsd_read(struct lsd_message *m, const void *data, size_t size)
{
	static const char first[] = "BT-SEARCH * HTTP/1.";
	struct bytes in = bytes_over(data, size);
	const char *line;
	size_t length;

	m->port = 0;
	m->cookie[0] = '\0';
	m->count = 0;
	if (size > LSD_PACKET_MAX || !next_line(&in, &line, &length) ||
	    length < sizeof(first) - 1 ||
	    memcmp(line, first, sizeof(first) - 1) != 0)
		return -1;
	for (int i = 0; i < LINES_MAX && next_line(&in, &line, &length); i++) {
		if (length == 0)
			break;
		take_line(m, line, length);
	}
	return m->port != 0 && m->count > 0 ? 0 : -1;
}

int
lsd_write(struct buffer *out, int family, const struct lsd_message *m)
{
	struct addr group = lsd_group(family);
	char text[ADDR_TEXT_MAX], hex[41];

	buffer_printf(out, "BT-SEARCH * HTTP/1.1\r\nHost: %s\r\nPort: %u\r\n",
		      addr_format(&group, text), m->port);
	for (size_t i = 0; i < m->count; i++) {
		hex_encode(hex, m->hashes[i], 20);
		buffer_printf(out, "Infohash: %s\r\n", hex);
	}
	if (m->cookie[0])
		buffer_printf(out, "cookie: %s\r\n", m->cookie);
	buffer_str(out, "\r\n\r\n");
	return out->failed ? -1 : 0;
}

/* ---- the beat ---- */

struct lsd *
lsd_new(const struct lsd_config *config)
{
	struct lsd *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->config = *config;
	snprintf(l->cookie, sizeof(l->cookie), "%016llx",
		 (unsigned long long)config->cookie);
	return l;
}

void
lsd_free(struct lsd *l)
{
	if (!l)
		return;
	free(l->torrents);
	free(l);
}

static struct lsd_torrent *
find(const struct lsd *l, const uint8_t info_hash[20])
{
	for (size_t i = 0; i < l->count; i++)
		if (memcmp(l->torrents[i].hash, info_hash, 20) == 0)
			return &l->torrents[i];
	return NULL;
}

int
lsd_add(struct lsd *l, const uint8_t info_hash[20], int64_t now)
{
	if (find(l, info_hash))
		return 0;
	if (l->count == LSD_TORRENTS_MAX)
		return -1;
	if (l->count == l->size) {
		size_t size = l->size ? l->size * 2 : 4;
		struct lsd_torrent *more =
		    realloc(l->torrents, size * sizeof(*more));

		if (!more)
			return -1;
		l->torrents = more;
		l->size = size;
	}
	memcpy(l->torrents[l->count].hash, info_hash, 20);
	l->torrents[l->count++].due = now + LSD_FIRST;
	return 0;
}

void
lsd_remove(struct lsd *l, const uint8_t info_hash[20])
{
	struct lsd_torrent *t = find(l, info_hash);

	if (t)
		*t = l->torrents[--l->count];
}

void
lsd_packet(struct lsd *l, const struct addr *from, const void *data, size_t n,
	   int64_t now)
{
	struct lsd_message m;
	struct addr peer = *from;

	if (lsd_read(&m, data, n) < 0 || strcmp(m.cookie, l->cookie) == 0)
		return;
	if (now - l->heard_since >= HEARD_WINDOW) {
		l->heard_since = now;
		l->heard = 0;
	}
	peer.port = m.port;
	if (!addr_usable(&peer))
		return;
	for (size_t i = 0; i < m.count; i++)
		if (find(l, m.hashes[i]) && l->heard < HEARD_MAX) {
			l->heard++;
			l->config.found(l->config.ctx, m.hashes[i], &peer);
		}
}

int64_t
lsd_due(const struct lsd *l)
{
	int64_t due = CLOCK_NEVER;

	for (size_t i = 0; i < l->count; i++)
		due = clock_min(due, l->torrents[i].due);
	return due > l->next ? due : l->next;
}

/* The torrent that has waited longest, at its due time or later. */
static struct lsd_torrent *
longest_due(struct lsd *l, int64_t now)
{
	struct lsd_torrent *first = NULL;

	for (size_t i = 0; i < l->count; i++)
		if (l->torrents[i].due <= now &&
		    (!first || l->torrents[i].due < first->due))
			first = &l->torrents[i];
	return first;
}

void
lsd_tick(struct lsd *l, int64_t now)
{
	struct lsd_message m = {.port = l->config.port};
	struct lsd_torrent *t;
	struct buffer out;

	if (now < l->next)
		return;
	while (m.count < LSD_HASHES_MAX && (t = longest_due(l, now))) {
		memcpy(m.hashes[m.count++], t->hash, 20);
		t->due = now + LSD_EVERY;
	}
	if (m.count == 0)
		return;
	l->next = now + LSD_PAUSE;
	memcpy(m.cookie, l->cookie, sizeof(m.cookie));
	buffer_init(&out, LSD_PACKET_MAX);
	for (int i = 0; i < 2; i++) {
		int family = i == 0 ? AF_INET : AF_INET6;

		buffer_clear(&out);
		if (lsd_write(&out, family, &m) == 0)
			l->config.send(l->config.ctx, family, out.data,
				       out.used);
	}
	buffer_release(&out);
}
