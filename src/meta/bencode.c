#include "meta/bencode.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Digits of a length: more cannot be within a torrent that fits memory. */
#define LENGTH_DIGITS_MAX 10
/* Digits of INT64_MAX; as many nines still fit uint64_t. */
#define INT_DIGITS_MAX 19

struct scan {
	const uint8_t *start;
	const uint8_t *at;
	const uint8_t *end;
	const char *wrong;	/* what is, once something is */
};

static bool
scan_fail(struct scan *s, const char *wrong)
{
	s->wrong = wrong;
	return false;
}

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* "5:hello" */
static bool
scan_str(struct scan *s)
{
	const uint8_t *at = s->at;
	uint64_t length = 0;

	while (at < s->end && is_digit(*at) &&
	       at - s->at < LENGTH_DIGITS_MAX)
		length = length * 10 + (uint64_t)(*at++ - '0');
	if (at == s->end)
		return scan_fail(s, "ends in the middle");
	if (*at != ':')
		return scan_fail(s, "a string's length is malformed");
	if (*s->at == '0' && at - s->at > 1)
		return scan_fail(s, "a string's length has leading zeros");
	at++;
	if (length > (uint64_t)(s->end - at))
		return scan_fail(s, "a string goes past the end");
	s->at = at + length;
	return true;
}

/* "i-42e", with as many digits as it likes */
static bool
scan_int(struct scan *s)
{
	const uint8_t *p = s->at + 1;
	const uint8_t *first;
	bool minus = p < s->end && *p == '-';

	first = p += minus;
	while (p < s->end && is_digit(*p))
		p++;
	s->at++;
	if (p == s->end)
		return scan_fail(s, "ends in the middle");
	if (*p != 'e' || p == first)
		return scan_fail(s, "an integer is malformed");
	if (*first == '0' && (p - first > 1 || minus))
		return scan_fail(s, "an integer has leading zeros");
	s->at = p + 1;
	return true;
}

/* One bit for each container that is open: is it a dict? */
struct nest {
	uint8_t dicts[(BENCODE_DEPTH_MAX + 7) / 8];
	unsigned depth;
};

static bool
nest_enter(struct nest *n, bool dict)
{
	uint8_t *byte = &n->dicts[n->depth / 8];
	uint8_t bit = (uint8_t)(1u << n->depth % 8);

	*byte = (uint8_t)(dict ? *byte | bit : *byte & ~bit);
	n->depth++;
	return dict;
}

/* Is the one around the container that ends a dict? */
static bool
nest_leave(struct nest *n)
{
	unsigned around = --n->depth - 1;

	return n->depth > 0 && (n->dicts[around / 8] >> around % 8 & 1);
}

/* Checks one value of any depth.  `dict`: the innermost open container is
 * one; `key`: a key comes next in it. */
static bool
scan_value(struct scan *s)
{
	struct nest n = {.depth = 0};
	bool dict = false, key = false;

	do {
		if (s->at == s->end)
			return scan_fail(s, "ends in the middle");
		if (is_digit(*s->at)) {
			if (!scan_str(s))
				return false;
			key = dict && !key;
		} else if (*s->at == 'e') {
			if (n.depth == 0 || (dict && !key))
				return scan_fail(s, "a value is missing");
			s->at++;
			key = dict = nest_leave(&n);
		} else if (key) {
			return scan_fail(s, "a key is not a string");
		} else if (*s->at == 'i') {
			if (!scan_int(s))
				return false;
			key = dict;
		} else if (*s->at == 'l' || *s->at == 'd') {
			if (n.depth == BENCODE_DEPTH_MAX)
				return scan_fail(s, "nested too deeply");
			key = dict = nest_enter(&n, *s->at++ == 'd');
		} else {
			return scan_fail(s, "not a bencoded value");
		}
	} while (n.depth > 0);
	return true;
}

int
bencode_read_prefix(struct bencode *v, const void *data, size_t size,
		    struct error *e)
{
	struct scan s = {.start = data, .at = data};

	*v = (struct bencode){0};
	if (size == 0)
		return error_set(e, ERROR_PROTOCOL, "bencoding: empty");
	s.end = s.start + size;
	if (!scan_value(&s))
		return error_set(e, ERROR_PROTOCOL,
				 "bencoding: %s, at byte %zu", s.wrong,
				 (size_t)(s.at - s.start));
	*v = (struct bencode){s.start, (size_t)(s.at - s.start)};
	return 0;
}

int
bencode_read(struct bencode *v, const void *data, size_t size,
	     struct error *e)
{
	if (bencode_read_prefix(v, data, size, e) != 0)
		return -1;
	if (v->size == size)
		return 0;
	error_set(e, ERROR_PROTOCOL,
		  "bencoding: something follows the value, at byte %zu",
		  v->size);
	*v = (struct bencode){0};
	return -1;
}

/*
 * From here on the bytes are known to be right: walking needs no more than
 * the lengths, and never comes past the end.
 */

static const uint8_t *
str_body(const uint8_t *at, size_t *size)
{
	size_t length = 0;

	while (*at != ':')
		length = length * 10 + (size_t)(*at++ - '0');
	*size = length;
	return at + 1;
}

static const uint8_t *
skip_str(const uint8_t *at)
{
	size_t size;

	at = str_body(at, &size);
	return at + size;
}

static const uint8_t *
skip_value(const uint8_t *at)
{
	unsigned depth = 0;

	do {
		if (is_digit(*at)) {
			at = skip_str(at);
		} else if (*at == 'i') {
			while (*at != 'e')
				at++;
			at++;
		} else if (*at++ == 'e') {
			depth--;
		} else {
			depth++;
		}
	} while (depth > 0);
	return at;
}

enum bencode_type
bencode_type(struct bencode v)
{
	if (v.size == 0)
		return BENCODE_NONE;
	switch (*v.at) {
	case 'i':
		return BENCODE_INT;
	case 'l':
		return BENCODE_LIST;
	case 'd':
		return BENCODE_DICT;
	default:
		return BENCODE_STR;
	}
}

bool
bencode_int(struct bencode v, int64_t *number)
{
	const uint8_t *at = v.at;
	uint64_t value = 0;
	unsigned digits = 0;
	bool minus;

	if (bencode_type(v) != BENCODE_INT)
		return false;
	minus = *++at == '-';
	for (at += minus; *at != 'e'; at++) {
		if (++digits > INT_DIGITS_MAX)
			return false;
		value = value * 10 + (uint64_t)(*at - '0');
	}
	if (value > (uint64_t)INT64_MAX + minus)
		return false;
	*number = minus ? (int64_t)(0 - value) : (int64_t)value;
	return true;
}

bool
bencode_str(struct bencode v, const uint8_t **at, size_t *size)
{
	if (bencode_type(v) != BENCODE_STR)
		return false;
	*at = str_body(v.at, size);
	return true;
}

bool
bencode_str_is(struct bencode v, const char *text)
{
	const uint8_t *at;
	size_t size;

	return bencode_str(v, &at, &size) && size == strlen(text) &&
	       memcmp(at, text, size) == 0;
}

static struct bencode_iter
inside(struct bencode v, enum bencode_type type)
{
	if (bencode_type(v) != type)
		return (struct bencode_iter){0};
	return (struct bencode_iter){v.at + 1, v.at + v.size - 1};
}

struct bencode_iter
bencode_items(struct bencode list)
{
	return inside(list, BENCODE_LIST);
}

struct bencode_iter
bencode_entries(struct bencode dict)
{
	return inside(dict, BENCODE_DICT);
}

/* No item begins with the 'e' that ends what holds it. */
static bool
at_end(const struct bencode_iter *it)
{
	return it->at == it->end || *it->at == 'e';
}

bool
bencode_enter_dict(struct bencode_iter *it)
{
	if (at_end(it) || *it->at != 'd')
		return false;
	it->at++;
	return true;
}

void
bencode_leave(struct bencode_iter *it)
{
	while (*it->at != 'e')
		it->at = skip_value(it->at);
	it->at++;
}

bool
bencode_next(struct bencode_iter *it, struct bencode *item)
{
	const uint8_t *at = it->at;

	if (at_end(it)) {
		*item = (struct bencode){0};
		return false;
	}
	it->at = skip_value(at);
	*item = (struct bencode){at, (size_t)(it->at - at)};
	return true;
}

bool
bencode_next_entry(struct bencode_iter *it, struct bencode *key,
		   struct bencode *value)
{
	if (!bencode_next(it, key)) {
		*value = (struct bencode){0};
		return false;
	}
	return bencode_next(it, value);
}

/* Picks from the dict whose first key is at `at`; returns what is behind the
 * dict, or NULL and in *twice the key that was there twice. */
static const uint8_t *
pick(const uint8_t *at, const struct bencode_key *keys,
     struct bencode *values, size_t n, size_t *twice)
{
	for (size_t i = 0; i < n; i++)
		values[i] = (struct bencode){0};
	while (*at != 'e') {
		size_t size;
		const uint8_t *key = str_body(at, &size);
		const uint8_t *value = key + size;

		at = skip_value(value);
		for (size_t i = 0; i < n; i++) {
			if (keys[i].size != size ||
			    memcmp(keys[i].text, key, size) != 0)
				continue;
			*twice = i;
			if (values[i].size != 0)
				return NULL;
			values[i].at = value;
			values[i].size = (size_t)(at - value);
			break;
		}
	}
	return at + 1;
}

bool
bencode_find(struct bencode dict, const char *key, struct bencode *value)
{
	struct bencode_key one = {key, strlen(key)};
	size_t twice;

	*value = (struct bencode){0};
	if (bencode_type(dict) != BENCODE_DICT)
		return false;
	if (!pick(dict.at + 1, &one, value, 1, &twice)) {
		*value = (struct bencode){0};
		return false;
	}
	return value->size != 0;
}

bool
bencode_find_int(struct bencode dict, const char *key, int64_t *number)
{
	struct bencode value;

	return bencode_find(dict, key, &value) && bencode_int(value, number);
}

bool
bencode_find_str(struct bencode dict, const char *key, const uint8_t **at,
		 size_t *size)
{
	struct bencode value;

	return bencode_find(dict, key, &value) &&
	       bencode_str(value, at, size);
}

static int
not_a_dict(struct bencode *values, size_t n, struct error *e)
{
	for (size_t i = 0; i < n; i++)
		values[i] = (struct bencode){0};
	return error_set(e, ERROR_PROTOCOL, "not a dictionary");
}

int
bencode_pick(struct bencode v, const struct bencode_key *keys,
	     struct bencode *values, size_t n, struct error *e)
{
	size_t twice = 0;

	if (bencode_type(v) != BENCODE_DICT)
		return not_a_dict(values, n, e);
	if (!pick(v.at + 1, keys, values, n, &twice))
		return error_set(e, ERROR_PROTOCOL, "key '%s' is there twice",
				 keys[twice].text);
	return 0;
}

int
bencode_pick_next(struct bencode_iter *it, const struct bencode_key *keys,
		  struct bencode *values, size_t n, struct error *e)
{
	size_t twice = 0;
	const uint8_t *next;

	if (at_end(it))
		return 0;
	if (*it->at != 'd')
		return not_a_dict(values, n, e);
	next = pick(it->at + 1, keys, values, n, &twice);
	if (!next)
		return error_set(e, ERROR_PROTOCOL, "key '%s' is there twice",
				 keys[twice].text);
	it->at = next;
	return 1;
}

void
bencode_put_int(struct buffer *out, int64_t number)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "i%" PRId64 "e", number);

	buffer_put(out, text, (size_t)n);
}

void
bencode_put_bytes(struct buffer *out, const void *data, size_t size)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%zu:", size);

	buffer_put(out, text, (size_t)n);
	buffer_put(out, data, size);
}

void
bencode_put_str(struct buffer *out, const char *text)
{
	bencode_put_bytes(out, text, strlen(text));
}

void
bencode_put_list(struct buffer *out)
{
	buffer_u8(out, 'l');
}

void
bencode_put_dict(struct buffer *out)
{
	buffer_u8(out, 'd');
}

void
bencode_put_end(struct buffer *out)
{
	buffer_u8(out, 'e');
}
