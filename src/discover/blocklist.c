/*
 * Two arrays of ranges, ends included; IPv4 as numbers, IPv6 as bytes, which
 * compare in the same order.
 */
#include "discover/blocklist.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

struct range4 {
	uint32_t first;
	uint32_t last;
};

struct range6 {
	uint8_t first[16];
	uint8_t last[16];
};

struct blocklist {
	struct range4 *v4;
	size_t v4_count;
	size_t v4_room;
	struct range6 *v6;
	size_t v6_count;
	size_t v6_room;
	size_t lines;		/* with an address */
};

struct blocklist *
blocklist_new(struct error *e)
{
	struct blocklist *b = calloc(1, sizeof(*b));

	if (!b)
		error_memory(e);
	return b;
}

void
blocklist_free(struct blocklist *b)
{
	if (!b)
		return;
	free(b->v4);
	free(b->v6);
	free(b);
}

/* ---- reading ---- */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* A part of a line. */
struct part {
	const char *at;
	size_t length;
};

static struct part
trim(const char *at, size_t length)
{
	while (length > 0 && is_space(*at)) {
		at++;
		length--;
	}
	while (length > 0 && is_space(at[length - 1]))
		length--;
	return (struct part){at, length};
}

/* "1.2.3.4", "001.002.003.004": decimal in these lists, never octal. */
static bool
parse_v4(struct part p, uint32_t *ip)
{
	unsigned parts = 0, digits = 0, value = 0;

	*ip = 0;
	for (size_t i = 0; i <= p.length; i++) {
		char c = '.';

		if (i < p.length)
			c = p.at[i];
		if (c >= '0' && c <= '9') {
			value = value * 10 + (unsigned)(c - '0');
			if (++digits > 3)
				return false;
			continue;
		}
		if (c != '.' || digits == 0 || value > 255 || ++parts > 4)
			return false;
		*ip = *ip << 8 | value;
		digits = value = 0;
	}
	return parts == 4;
}

static bool
parse_address(struct part p, struct addr *a)
{
	char text[64];
	uint32_t ip;

	if (p.length == 0 || p.length >= sizeof(text))
		return false;
	if (parse_v4(p, &ip)) {
		memset(a, 0, sizeof(*a));
		a->family = AF_INET;
		put_u32(a->ip, ip);
		return true;
	}
	if (!memchr(p.at, ':', p.length) || memchr(p.at, '%', p.length) ||
	    memchr(p.at, '\0', p.length) || *p.at == '[')
		return false;
	memcpy(text, p.at, p.length);
	text[p.length] = '\0';
	return addr_parse(a, text, 0);
}

/* Both ends of what is blocked. */
struct span {
	struct addr first;
	struct addr last;
};

/* The network that an address with so many leading bits lies in. */
static void
spread(struct span *s, unsigned bits)
{
	size_t size = addr_ip_size(&s->first);

	s->last = s->first;
	for (size_t i = 0; i < size; i++) {
		unsigned here = bits < 8 ? bits : 8;
		uint8_t mask = (uint8_t)(0xff00u >> here);

		s->first.ip[i] &= mask;
		s->last.ip[i] |= (uint8_t)~mask;
		bits -= here;
	}
}

static bool
parse_network(struct part p, struct span *s)
{
	const char *slash = memchr(p.at, '/', p.length);
	struct part address = {p.at, p.length};
	unsigned bits = 0, most;
	size_t digits = 0;

	if (slash)
		address.length = (size_t)(slash - p.at);
	if (!parse_address(trim(address.at, address.length), &s->first))
		return false;
	most = (unsigned)addr_ip_size(&s->first) * 8;
	if (!slash) {
		s->last = s->first;
		return true;
	}
	for (const char *c = slash + 1; c < p.at + p.length; c++, digits++) {
		if (*c < '0' || *c > '9' || digits >= 3)
			return false;
		bits = bits * 10 + (unsigned)(*c - '0');
	}
	/* Mapped addresses have become shorter. */
	if (most == 32 && memchr(p.at, ':', address.length)) {
		if (bits < 96)
			return false;
		bits -= 96;
	}
	if (digits == 0 || bits > most)
		return false;
	spread(s, bits);
	return true;
}

static bool
parse_first(struct part p, struct span *s)
{
	return parse_address(trim(p.at, p.length), &s->first) &&
	       s->first.family == s->last.family;
}

/* "FIRST-LAST", or with "NAME:" in front: behind the first ':' that leaves
 * an address. */
static bool
parse_range(struct part p, struct span *s)
{
	const char *dash = memrchr(p.at, '-', p.length);
	const char *end = p.at + p.length, *colon;

	if (!dash || !parse_address(trim(dash + 1, (size_t)(end - dash - 1)),
				    &s->last))
		return false;
	p.length = (size_t)(dash - p.at);
	while (!parse_first(p, s)) {
		colon = memchr(p.at, ':', p.length);
		if (!colon)
			return false;
		p.length -= (size_t)(colon + 1 - p.at);
		p.at = colon + 1;
	}
	return true;
}

static bool
parse_span(struct part p, struct span *s)
{
	return p.length > 0 && (parse_network(p, s) || parse_range(p, s));
}

/* The same without the comment at its end. */
static bool
parse_commented(struct part p, struct span *s)
{
	for (size_t i = 1; i < p.length; i++)
		if (p.at[i] == '#' && is_space(p.at[i - 1]))
			return parse_span(trim(p.at, i), s);
	return false;
}

#define DAT_BLOCKED 127		/* access numbers up to there */

/* "FIRST - LAST , ACCESS , NAME", as eMule has it. */
static bool
parse_dat(struct part p, struct span *s, unsigned *access)
{
	const char *comma = memchr(p.at, ',', p.length);
	const char *end = p.at + p.length, *next;
	struct part number;
	unsigned value = 0;

	if (!comma || !parse_range(trim(p.at, (size_t)(comma - p.at)), s))
		return false;
	next = memchr(comma + 1, ',', (size_t)(end - comma - 1));
	number = trim(comma + 1, (size_t)((next ? next : end) - comma - 1));
	for (size_t i = 0; i < number.length; i++) {
		if (number.at[i] < '0' || number.at[i] > '9' || i == 3)
			return false;
		value = value * 10 + (unsigned)(number.at[i] - '0');
	}
	if (number.length == 0)
		return false;
	*access = value;
	return true;
}

/* ---- keeping ---- */

static int
make_room(void **array, size_t size, size_t count, size_t *room,
	  struct error *e)
{
	size_t more = *room ? *room * 2 : 256;
	void *grown;

	if (count < *room)
		return 0;
	if (count >= BLOCKLIST_RANGES_MAX)
		return error_set(e, ERROR_USAGE, "more than %u ranges",
				 BLOCKLIST_RANGES_MAX);
	grown = realloc(*array, more * size);
	if (!grown)
		return error_memory(e);
	*array = grown;
	*room = more;
	return 0;
}

static int
keep(struct blocklist *b, const struct span *s, struct error *e)
{
	void *array;

	if (s->first.family == AF_INET) {
		array = b->v4;
		if (make_room(&array, sizeof(*b->v4), b->v4_count,
			      &b->v4_room, e) < 0)
			return -1;
		b->v4 = array;
		b->v4[b->v4_count++] = (struct range4){get_u32(s->first.ip),
						       get_u32(s->last.ip)};
		return 0;
	}
	array = b->v6;
	if (make_room(&array, sizeof(*b->v6), b->v6_count, &b->v6_room, e) <
	    0)
		return -1;
	b->v6 = array;
	memcpy(b->v6[b->v6_count].first, s->first.ip, 16);
	memcpy(b->v6[b->v6_count++].last, s->last.ip, 16);
	return 0;
}

static int
refuse(struct part p, const char *why, struct error *e)
{
	char clean[80];

	error_set(e, ERROR_USAGE, "'%s' %s",
		  text_clean_n(clean, sizeof(clean), p.at, p.length), why);
	return 1;
}

int
blocklist_add(struct blocklist *b, const char *line, size_t length,
	      struct error *e)
{
	struct part p = trim(line, length);
	unsigned access = 0;
	struct span s;

	if (p.length == 0 || *p.at == '#')
		return 0;
	if (p.length > BLOCKLIST_LINE_MAX) {
		error_set(e, ERROR_USAGE, "a line over %d bytes",
			  BLOCKLIST_LINE_MAX);
		return 1;
	}
	if (!parse_dat(p, &s, &access) && !parse_span(p, &s) &&
	    !parse_commented(p, &s))
		return refuse(p, "is no address, network or range", e);
	if (memcmp(s.first.ip, s.last.ip, 16) > 0)
		return refuse(p, "ends before it begins", e);
	b->lines++;
	return access > DAT_BLOCKED ? 0 : keep(b, &s, e);
}

size_t
blocklist_lines(const struct blocklist *b)
{
	return b->lines;
}

/* ---- order ---- */

static int
compare4(const void *a, const void *b)
{
	const struct range4 *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static int
compare6(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

static void
join4(struct blocklist *b)
{
	size_t n = 0;

	for (size_t i = 1; i < b->v4_count; i++) {
		struct range4 *last = &b->v4[n], *next = &b->v4[i];

		if (last->last == UINT32_MAX || next->first <= last->last + 1) {
			if (next->last > last->last)
				last->last = next->last;
		} else {
			b->v4[++n] = *next;
		}
	}
	b->v4_count = b->v4_count ? n + 1 : 0;
}

static void
join6(struct blocklist *b)
{
	size_t n = 0;

	for (size_t i = 1; i < b->v6_count; i++) {
		struct range6 *last = &b->v6[n], *next = &b->v6[i];

		if (memcmp(next->first, last->last, 16) > 0)
			b->v6[++n] = *next;
		else if (memcmp(next->last, last->last, 16) > 0)
			memcpy(last->last, next->last, 16);
	}
	b->v6_count = b->v6_count ? n + 1 : 0;
}

static void *
shrink(void *array, size_t size)
{
	void *less = size ? realloc(array, size) : NULL;

	return less ? less : array;
}

void
blocklist_seal(struct blocklist *b)
{
	if (b->v4_count)
		qsort(b->v4, b->v4_count, sizeof(*b->v4), compare4);
	if (b->v6_count)
		qsort(b->v6, b->v6_count, sizeof(*b->v6), compare6);
	join4(b);
	join6(b);
	b->v4 = shrink(b->v4, b->v4_count * sizeof(*b->v4));
	b->v6 = shrink(b->v6, b->v6_count * sizeof(*b->v6));
	b->v4_room = b->v4_count;
	b->v6_room = b->v6_count;
}

bool
blocklist_refuses(const void *b, const struct addr *a)
{
	return blocklist_has(b, a);
}

size_t
blocklist_ranges(const struct blocklist *b)
{
	return b->v4_count + b->v6_count;
}

/* ---- asking ---- */

static bool
has4(const struct blocklist *b, uint32_t ip)
{
	size_t low = 0, high = b->v4_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (b->v4[middle].last < ip)
			low = middle + 1;
		else
			high = middle;
	}
	return low < b->v4_count && b->v4[low].first <= ip;
}

static bool
has6(const struct blocklist *b, const uint8_t ip[16])
{
	size_t low = 0, high = b->v6_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(b->v6[middle].last, ip, 16) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < b->v6_count && memcmp(b->v6[low].first, ip, 16) <= 0;
}

bool
blocklist_has(const struct blocklist *b, const struct addr *a)
{
	if (!b)
		return false;
	if (a->family == AF_INET)
		return has4(b, get_u32(a->ip));
	return a->family == AF_INET6 && has6(b, a->ip);
}
