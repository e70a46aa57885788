#include "meta/magnet.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "meta/metainfo.h"

#define SCHEME "magnet:"
#define BTIH "urn:btih:"
#define BTMH "urn:btmh:"
#define MULTIHASH_SHA256 "1220"	/* the function's code and its size, hex */

#define ESCAPED "amp;"		/* what HTML makes of & goes on with this */
#define HOST_SIZE_MAX 255
#define BASE32_LENGTH 32
#define HEX_V2_LENGTH (2 * SHA256_SIZE)

static int
base32_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

/* 32 digits of 5 bits are exactly 20 bytes. */
static bool
base32_decode(uint8_t out[SHA1_SIZE], const char *text)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t used = 0;

	for (size_t i = 0; i < BASE32_LENGTH; i++) {
		int digit = base32_digit(text[i]);

		if (digit < 0)
			return false;
		bits = bits << 5 | (uint32_t)digit;
		have += 5;
		if (have >= 8) {
			have -= 8;
			out[used++] = (uint8_t)(bits >> have);
		}
	}
	return true;
}

static bool
decode_v1(uint8_t out[SHA1_SIZE], const char *text, size_t length)
{
	if (length == BASE32_LENGTH)
		return base32_decode(out, text);
	return hex_decode(out, SHA1_SIZE, text, length);
}

static bool
is_link(const char *text)
{
	return strncasecmp(text, SCHEME, strlen(SCHEME)) == 0;
}

/* Without the white space that a link often ends with, out of a file with
 * the line ends of another system say. */
static size_t
trimmed(const char *text)
{
	size_t length = strlen(text);

	while (length > 0 && strchr(" \t\r\n", text[length - 1]))
		length--;
	return length;
}

/* A bare hash: 40 hex or 32 base32 digits, or 64 hex digits. */
static bool
read_bare(struct magnet *m, const char *text)
{
	size_t length = trimmed(text);

	m->has_v1 = decode_v1(m->hash_v1, text, length);
	if (!m->has_v1)
		m->has_v2 = hex_decode(m->hash_v2, SHA256_SIZE, text, length);
	return m->has_v1 || m->has_v2;
}

bool
magnet_is(const char *text)
{
	struct magnet m = {0};

	return is_link(text) || read_bare(&m, text);
}

enum text { PLAIN, NAME, WEB_URL };

static bool
is_for_escape(uint8_t byte)
{
	return byte == ' ' || byte >= 0x80;
}

/*
 * Decodes in place, which only makes it shorter.  A broken escape stays as it
 * is, and so does one that the URL of a web server needs as well: many are
 * escaped once where twice is meant.  False if a NUL comes out: nothing here
 * may hold one.
 */
static bool
percent_decode(char *text, enum text kind)
{
	char *out = text;
	uint8_t byte;
	size_t n;

	while (*text) {
		if (*text == '%' && strnlen(text, 3) == 3 &&
		    hex_decode(&byte, 1, text + 1, 2)) {
			if (byte == 0)
				return false;
			n = kind == WEB_URL && is_for_escape(byte) ? 3 : 1;
			memmove(out, n == 3 ? text : (char *)&byte, n);
			out += n;
			text += 3;
		} else if (*text == '+' && kind == NAME) {
			*out++ = ' ';
			text++;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
	return true;
}

static int
add_hash(bool *has, uint8_t *hash, const uint8_t *value, size_t size,
	 struct error *e)
{
	if (*has && memcmp(hash, value, size) != 0)
		return error_set(e, ERROR_TORRENT, "two different hashes of "
				 "the same kind");
	*has = true;
	memcpy(hash, value, size);
	return 0;
}

static int
read_topic(struct magnet *m, const char *value, struct error *e)
{
	uint8_t hash[SHA256_SIZE];
	size_t prefix = strlen(BTMH) + strlen(MULTIHASH_SHA256);

	if (strncasecmp(value, BTIH, strlen(BTIH)) == 0) {
		value += strlen(BTIH);
		if (!decode_v1(hash, value, strlen(value)))
			return error_set(e, ERROR_TORRENT,
					 "malformed info hash (btih)");
		return add_hash(&m->has_v1, m->hash_v1, hash, SHA1_SIZE, e);
	}
	if (strncasecmp(value, BTMH, strlen(BTMH)) == 0) {
		/* strncmp ends at the NUL: the prefix is there in full. */
		if (strncmp(value + strlen(BTMH), MULTIHASH_SHA256,
			    strlen(MULTIHASH_SHA256)) != 0 ||
		    !hex_decode(hash, SHA256_SIZE, value + prefix,
				strlen(value + prefix)))
			return error_set(e, ERROR_TORRENT,
					 "malformed info hash (btmh)");
		return add_hash(&m->has_v2, m->hash_v2, hash, SHA256_SIZE, e);
	}
	return 0;	/* of another network */
}

/* False: there is no room. */
static bool
add_url(const char **list, size_t *count, size_t max, const char *url)
{
	for (size_t i = 0; i < *count; i++) {
		if (strcmp(list[i], url) == 0)
			return true;
	}
	if (*count == max)
		return false;
	list[(*count)++] = url;
	return true;
}

/* The host goes to where the text was: it is shorter than that. */
static void
add_peer(struct magnet *m, char *value)
{
	char host[HOST_SIZE_MAX + 1];
	uint16_t port;

	if (m->peer_count == MAGNET_LIST_MAX ||
	    !addr_split(value, host, sizeof(host), &port))
		return;
	memcpy(value, host, strlen(host) + 1);
	m->peers[m->peer_count++] = (struct magnet_peer){value, port};
}

/* A decimal number of a file; *at is then behind it. */
static bool
read_index(const char **at, uint32_t *index)
{
	const char *p = *at;
	uint64_t value = 0;

	while (*p >= '0' && *p <= '9') {
		value = value * 10 + (uint64_t)(*p++ - '0');
		if (value >= METAINFO_FILES_MAX)
			return false;
	}
	if (p == *at)
		return false;
	*at = p;
	*index = (uint32_t)value;
	return true;
}

static int
compare_ranges(const void *a, const void *b)
{
	const struct magnet_range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static int
append_ranges(struct magnet *m, const struct magnet_range *more, size_t n,
	      struct error *e)
{
	struct magnet_range *all =
	    realloc(m->select, (m->select_count + n) * sizeof(*all));

	if (!all)
		return error_memory(e);
	memcpy(all + m->select_count, more, n * sizeof(*all));
	m->select = all;
	m->select_count += n;
	return 0;
}

/* Sorts them and joins what touches. */
static int
join_ranges(struct magnet *m, struct error *e)
{
	struct magnet_range *all = m->select;
	size_t used = 0;

	if (m->select_count == 0)
		return 0;
	qsort(all, m->select_count, sizeof(*all), compare_ranges);
	for (size_t i = 0; i < m->select_count; i++) {
		struct magnet_range *last = used ? &all[used - 1] : NULL;

		if (!last || all[i].first > last->last + 1)
			all[used++] = all[i];
		else if (all[i].last > last->last)
			last->last = all[i].last;
	}
	m->select_count = used;
	if (used <= MAGNET_RANGES_MAX)
		return 0;
	return error_set(e, ERROR_TORRENT, "more than %d ranges of files (so)",
			 MAGNET_RANGES_MAX);
}

int
magnet_select(struct magnet *m, const struct magnet_range *more, size_t n,
	      struct error *e)
{
	if (n == 0)
		return 0;
	if (append_ranges(m, more, n, e) == 0 && join_ranges(m, e) == 0)
		return 0;
	m->select_count = 0;
	return -1;
}

bool
magnet_selects(const struct magnet *m, uint32_t file)
{
	size_t from = 0, to = m->select_count;

	while (from < to) {
		size_t at = from + (to - from) / 2;

		if (file > m->select[at].last)
			from = at + 1;
		else if (file < m->select[at].first)
			to = at;
		else
			return true;
	}
	return m->select_count == 0;
}

/* Reads "0,2,4,6-8" into out, which has room for as many as there are
 * commas and one more; returns how many, or 0 if it is malformed. */
static size_t
read_ranges(const char *at, struct magnet_range *out)
{
	for (size_t n = 0;; at++) {
		struct magnet_range *r = &out[n++];

		if (!read_index(&at, &r->first))
			return 0;
		r->last = r->first;
		if (*at == '-') {
			at++;
			if (!read_index(&at, &r->last) || r->last < r->first)
				return 0;
		}
		if (*at == '\0')
			return n;
		if (*at != ',')
			return 0;
	}
}

static int
read_select(struct magnet *m, const char *value, struct error *e)
{
	struct magnet_range *ranges;
	size_t n = 1;
	int status;

	for (const char *c = value; *c; c++)
		n += *c == ',';
	ranges = calloc(n, sizeof(*ranges));
	if (!ranges)
		return error_memory(e);
	n = read_ranges(value, ranges);
	if (n > 0)
		status = append_ranges(m, ranges, n, e);
	else
		status = error_set(e, ERROR_TORRENT,
				   "malformed selection of files (so)");
	free(ranges);
	return status;
}

/* Some programs number what is there several times: "tr.1=", "xt.2=". */
static bool
key_is(const char *key, const char *name)
{
	size_t n = strlen(name);

	if (strncasecmp(key, name, n) != 0)
		return false;
	key += n;
	if (*key == '.')
		key += 1 + strspn(key + 1, "0123456789");
	return *key == '\0';
}

static enum text
text_of(const char *key)
{
	if (key_is(key, "dn"))
		return NAME;
	return key_is(key, "ws") || key_is(key, "xs") || key_is(key, "as")
		       ? WEB_URL : PLAIN;
}

/* Of all else, what cannot be is left out. */
static bool
is_vital(const char *key)
{
	return key_is(key, "xt") || key_is(key, "so");
}

static int
read_parameter(struct magnet *m, char *key, char *value, struct error *e)
{
	if (is_vital(key))
		value[strcspn(value, "#")] = '\0';
	if (!percent_decode(value, text_of(key)))
		return is_vital(key) ? error_set(e, ERROR_TORRENT,
						 "NUL in it") : 0;
	if (key_is(key, "xt"))
		return read_topic(m, value, e);
	if (key_is(key, "so"))
		return *value ? read_select(m, value, e) : 0;
	if (key_is(key, "dn") && !m->name && *value)
		m->name = value;
	else if (key_is(key, "tr") &&
		 metainfo_tracker_usable(value, strlen(value)))
		m->trackers_left_out += !add_url(m->trackers,
						 &m->tracker_count,
						 METAINFO_TRACKERS_MAX, value);
	else if (key_is(key, "ws") &&
		 metainfo_web_seed_usable(value, strlen(value)))
		add_url(m->web_seeds, &m->web_seed_count, MAGNET_LIST_MAX,
			value);
	else if ((key_is(key, "xs") || key_is(key, "as")) &&
		 metainfo_web_seed_usable(value, strlen(value)))
		add_url(m->sources, &m->source_count, MAGNET_SOURCES_MAX,
			value);
	else if (key_is(key, "x.pe"))
		add_peer(m, value);
	return 0;
}

/* One that other parameters follow was meant as a part of a name. */
static void
cut_fragment(char *text)
{
	char *last = strrchr(text, '&');

	text = last ? last : text;
	text[strcspn(text, "#")] = '\0';
}

static int
read_link(struct magnet *m, struct error *e)
{
	char *save = NULL;
	char *part, *value;

	cut_fragment(m->text);
	part = m->text + strlen(SCHEME);
	if (*part == '?')
		part++;
	for (part = strtok_r(part, "&", &save); part;
	     part = strtok_r(NULL, "&", &save)) {
		value = strchr(part, '=');
		if (!value)
			continue;
		/* Out of the source of a page. */
		if (strncasecmp(part, ESCAPED, strlen(ESCAPED)) == 0)
			part += strlen(ESCAPED);
		*value++ = '\0';
		if (read_parameter(m, part, value, e) != 0)
			return -1;
	}
	if (!m->has_v1 && !m->has_v2)
		return error_set(e, ERROR_TORRENT, "no info hash");
	return join_ranges(m, e);
}

struct magnet *
magnet_parse(const char *text, struct error *e)
{
	struct magnet *m = calloc(1, sizeof(*m));

	if (!m) {
		error_memory(e);
		return NULL;
	}
	if (!is_link(text)) {
		if (read_bare(m, text))
			return m;
		error_set(e, ERROR_TORRENT,
			  "neither a magnet link nor an info hash");
		goto fail;
	}
	if (strnlen(text, MAGNET_SIZE_MAX + 1) > MAGNET_SIZE_MAX) {
		error_set(e, ERROR_TORRENT,
			  "invalid magnet link: longer than %d bytes",
			  MAGNET_SIZE_MAX);
		goto fail;
	}
	m->text = strndup(text, trimmed(text));
	if (!m->text) {
		error_memory(e);
		goto fail;
	}
	if (read_link(m, e) != 0) {
		error_prefix(e, "invalid magnet link");
		goto fail;
	}
	return m;
fail:
	magnet_free(m);
	return NULL;
}

void
magnet_free(struct magnet *m)
{
	if (!m)
		return;
	free(m->select);
	free(m->text);
	free(m);
}

void
magnet_hex(const struct magnet *m, char out[METAINFO_HEX_MAX])
{
	if (m->has_v1)
		hex_encode(out, m->hash_v1, SHA1_SIZE);
	else
		hex_encode(out, m->hash_v2, SHA256_SIZE);
}

bool
magnet_fits(const struct magnet *m, const struct metainfo *t)
{
	if (m->has_v1 && (!t->has_v1 ||
	    memcmp(m->hash_v1, t->hash_v1, SHA1_SIZE) != 0))
		return false;
	return !m->has_v2 ||
	       (t->has_v2 && memcmp(m->hash_v2, t->hash_v2,
				    SHA256_SIZE) == 0);
}
