#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "metainfo_parts.h"

#define HOST_SIZE_MAX 255
/* Each is compared with those before it. */
#define TRACKERS_SEEN_MAX (2 * METAINFO_TRACKERS_MAX)

static bool
has_scheme(const char *url, size_t size, const char *scheme)
{
	size_t n = strlen(scheme);

	return size > n && strncasecmp(url, scheme, n) == 0;
}

/* No character is below the least one. */
static bool
is_clean_from(uint8_t least, const char *url, size_t size)
{
	if (size > METAINFO_URL_SIZE_MAX)
		return false;
	for (size_t i = 0; i < size; i++) {
		if ((uint8_t)url[i] < least || url[i] == 0x7f)
			return false;
	}
	return true;
}

static bool
is_clean(const char *url, size_t size)
{
	return is_clean_from(' ' + 1, url, size);
}

static bool
is_http(const char *url, size_t size)
{
	return has_scheme(url, size, "http://") ||
	       has_scheme(url, size, "https://");
}

/* Up to its path: nobody says how another name is to be asked for. */
static bool
has_ascii_host(const char *url, size_t size)
{
	const char *host = memchr(url, ':', size);

	host = host ? host + 3 : url;
	for (; host < url + size && !strchr("/?#", *host); host++)
		if ((uint8_t)*host >= 0x80)
			return false;
	return true;
}

bool
metainfo_tracker_usable(const char *url, size_t size)
{
	return (is_http(url, size) || has_scheme(url, size, "udp://")) &&
	       is_clean(url, size) && has_ascii_host(url, size);
}

bool
metainfo_web_seed_usable(const char *url, size_t size)
{
	return is_http(url, size) && is_clean(url, size);
}

const char *
metainfo_url_lacks(const char *url)
{
	char text[METAINFO_URL_SIZE_MAX + 1], host[HOST_SIZE_MAX + 1];
	const char *start = strstr(url, "://") + 3;
	size_t n = strcspn(start, "/?#");
	const char *user = memrchr(start, '@', n);
	uint16_t port;

	if (user) {
		n -= (size_t)(user + 1 - start);
		start = user + 1;
	}
	if (is_http(url, strlen(url)))
		return n == 0 || *start == ':' ? "host" : NULL;
	memcpy(text, start, n);
	text[n] = '\0';
	return addr_split(text, host, sizeof(host), &port) ? NULL
							   : "host and port";
}

static bool
same(const char *text, const void *at, size_t size)
{
	return strlen(text) == size && memcmp(text, at, size) == 0;
}

void
metainfo_add_tracker(struct metainfo_whole *w, const void *url, size_t size,
		     uint32_t tier)
{
	struct metainfo *m = &w->m;
	uint32_t last;
	char *text;

	if (!metainfo_tracker_usable(url, size))
		return;
	if (m->tracker_count == METAINFO_TRACKERS_MAX ||
	    w->trackers_seen == TRACKERS_SEEN_MAX) {
		m->trackers_left_out++;
		return;
	}
	w->trackers_seen++;
	for (uint32_t i = 0; i < m->tracker_count; i++) {
		if (same(m->trackers[i].url, url, size))
			return;
	}
	if (!m->trackers)
		m->trackers = calloc(METAINFO_TRACKERS_MAX,
				     sizeof(*m->trackers));
	text = metainfo_copy(w, url, size);
	if (!m->trackers || !text)
		return;
	last = m->tracker_count ? m->trackers[m->tracker_count - 1].tier : 0;
	if (tier < last)
		tier = last;
	m->trackers[m->tracker_count].url = text;
	m->trackers[m->tracker_count].tier = tier;
	m->tracker_count++;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A string without the space around it, which people paste along. */
static bool
take_url(struct bencode v, const char **url, size_t *size)
{
	const uint8_t *at;

	if (!bencode_str(v, &at, size))
		return false;
	*url = (const char *)at;
	while (*size > 0 && is_space((*url)[*size - 1]))
		--*size;
	for (; *size > 0 && is_space(**url); ++*url)
		--*size;
	return true;
}

static void
add_value(struct metainfo_whole *w, struct bencode v, uint32_t tier)
{
	const char *url;
	size_t size;

	if (take_url(v, &url, &size))
		metainfo_add_tracker(w, url, size, tier);
}

/* A list of tiers replaces the one URL (BEP 12), unless nothing in it can be
 * used.  A bare string in it is a tier of its own. */
void
metainfo_read_trackers(struct metainfo_whole *w, struct bencode announce,
		       struct bencode tiers)
{
	struct bencode_iter it = bencode_items(tiers);
	struct bencode_iter urls;
	struct bencode item, url;
	uint32_t tier = 0;

	w->announce = announce;
	w->tiers = tiers;
	while (bencode_next(&it, &item)) {
		uint32_t before = w->m.tracker_count;

		add_value(w, item, tier);
		urls = bencode_items(item);
		while (bencode_next(&urls, &url))
			add_value(w, url, tier);
		if (w->m.tracker_count > before)
			tier++;
	}
	if (w->m.tracker_count == 0)
		add_value(w, announce, 0);
}

/* The walk of metainfo_each_tracker. */
struct telling {
	bool (*tell)(void *ctx, const char *url, size_t size, uint32_t tier);
	void *ctx;
	uint32_t tier;
	bool any;		/* in this tier */
	bool usable;		/* one of all */
};

static bool
tell_one(struct telling *t, struct bencode v)
{
	const char *url;
	size_t size;

	if (!take_url(v, &url, &size) || size == 0)
		return true;
	t->any = true;
	t->usable = t->usable || metainfo_tracker_usable(url, size);
	return t->tell(t->ctx, url, size, t->tier);
}

static bool
tell_tier(struct telling *t, struct bencode item)
{
	struct bencode_iter urls = bencode_items(item);
	struct bencode url;

	t->any = false;
	if (!tell_one(t, item))
		return false;
	while (bencode_next(&urls, &url))
		if (!tell_one(t, url))
			return false;
	t->tier += t->any;
	return true;
}

/* The one URL beside the list is told where it counts. */
void
metainfo_each_tracker(const struct metainfo *m,
		      bool (*tell)(void *ctx, const char *url, size_t size,
				   uint32_t tier), void *ctx)
{
	const struct metainfo_whole *w = (const struct metainfo_whole *)m;
	struct telling t = {.tell = tell, .ctx = ctx};
	struct bencode_iter it = bencode_items(w->tiers);
	struct bencode item;

	while (bencode_next(&it, &item))
		if (!tell_tier(&t, item))
			return;
	if (t.tier == 0 || (!t.usable && m->tracker_count > 0))
		tell_one(&t, w->announce);
}

struct seed_list {
	const char ***urls;
	uint32_t *count;
};

/* The URL with each space as %20, not kept yet; NULL if it is none.  *size
 * becomes that of the text. */
static char *
seed_text(struct metainfo_whole *w, const char *url, size_t *size)
{
	size_t n = *size;
	char *text, *to;

	if (!is_http(url, n) || !is_clean_from(' ', url, n))
		return NULL;
	for (size_t i = 0; i < n; i++)
		*size += url[i] == ' ' ? 2 : 0;
	if (*size > METAINFO_URL_SIZE_MAX)
		return NULL;
	text = to = metainfo_room(w, *size + 1, NULL);
	for (size_t i = 0; text && i < n; i++) {
		if (url[i] == ' ')
			to = stpcpy(to, "%20");
		else
			*to++ = url[i];
	}
	if (text)
		*to = '\0';
	return text;
}

static void
add_seed(struct metainfo_whole *w, const struct seed_list *list,
	 struct bencode v)
{
	const char *url;
	size_t size;
	char *text;

	if (*list->count == METAINFO_URLS_MAX || !take_url(v, &url, &size))
		return;
	text = seed_text(w, url, &size);
	if (!text)
		return;
	if (!*list->urls) {
		*list->urls = calloc(METAINFO_URLS_MAX, sizeof(**list->urls));
		*list->count = 0;
	}
	if (!*list->urls)
		return;
	for (uint32_t i = 0; i < *list->count; i++) {
		if (same((*list->urls)[i], text, size))
			return;
	}
	metainfo_keep(w, size + 1);
	(*list->urls)[(*list->count)++] = text;
}

static void
read_seeds(struct metainfo_whole *w, const struct seed_list *list,
	   struct bencode urls)
{
	struct bencode_iter it = bencode_items(urls);
	struct bencode item;

	add_seed(w, list, urls);
	while (*list->count < METAINFO_URLS_MAX && bencode_next(&it, &item))
		add_seed(w, list, item);
}

/* BEP 19 and BEP 17 have lists; a single string is as common. */
void
metainfo_read_web_seeds(struct metainfo_whole *w, struct bencode files,
			struct bencode pieces)
{
	struct metainfo *m = &w->m;
	struct seed_list web = {&m->web_seeds, &m->web_seed_count};
	struct seed_list http = {&m->http_seeds, &m->http_seed_count};

	read_seeds(w, &web, files);
	read_seeds(w, &http, pieces);
}

static void
add_node(struct metainfo_whole *w, struct bencode node)
{
	struct metainfo *m = &w->m;
	struct bencode_iter it = bencode_items(node);
	struct bencode host, port;
	const uint8_t *at;
	size_t size;
	int64_t number;
	char *text;

	if (!bencode_next(&it, &host) || !bencode_next(&it, &port) ||
	    !bencode_str(host, &at, &size) || !bencode_int(port, &number) ||
	    number < 1 || number > UINT16_MAX || size == 0 ||
	    size > HOST_SIZE_MAX || !is_clean((const char *)at, size))
		return;
	if (!m->nodes)
		m->nodes = calloc(METAINFO_NODES_MAX, sizeof(*m->nodes));
	text = metainfo_copy(w, at, size);
	if (!m->nodes || !text)
		return;
	m->nodes[m->node_count].host = text;
	m->nodes[m->node_count].port = (uint16_t)number;
	m->node_count++;
}

void
metainfo_read_nodes(struct metainfo_whole *w, struct bencode nodes)
{
	struct bencode_iter it = bencode_items(nodes);
	struct bencode node;

	while (w->m.node_count < METAINFO_NODES_MAX &&
	       bencode_next(&it, &node))
		add_node(w, node);
}
