#include "meta/selection.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"

#define ITEMS_MAX 4096

struct item {
	const char *text;	/* as it was written, for messages */
	const char *pattern;	/* NULL: by number */
	uint32_t first;
	uint32_t last;
	bool leave_out;
};

struct selection {
	char *text;		/* cut into items */
	struct item *items;
	size_t count;
	bool names_some;	/* an item that does not leave out */
};

/* ---- patterns ---- */

static const char *
take(const char *p, uint32_t *code)
{
	return p + text_decode(p, strlen(p), code);
}

/* Is the character in the class that begins behind '['?  *end is behind its
 * ']', or NULL when it has none and the '[' stands for itself. */
static bool
in_class(const char *p, uint32_t code, const char **end)
{
	bool other = *p == '!' || *p == '^';
	bool found = false, first = true;

	p += other;
	for (; *p && (*p != ']' || first); first = false) {
		uint32_t low, high;

		p = take(p + (*p == '\\' && p[1]), &low);
		high = low;
		if (*p == '-' && p[1] && p[1] != ']')
			p = take(p + 1 + (p[1] == '\\' && p[2]), &high);
		found |= low <= code && code <= high;
	}
	*end = *p ? p + 1 : NULL;
	return found != other;
}

/* Does the pattern's next part, which is no star, match a character?  NULL,
 * or what follows it. */
static const char *
match_one(const char *p, uint32_t code)
{
	const char *end = NULL;
	uint32_t want;

	if (!*p)
		return NULL;
	if (*p == '?')
		return p + 1;
	if (*p == '[') {
		bool in = in_class(p + 1, code, &end);

		if (end)
			return in ? end : NULL;
	}
	p = take(p + (*p == '\\' && p[1]), &want);
	return want == code ? p : NULL;
}

/* Has all of a pattern matched the folder that the path is in so far?  Its
 * '/' may be written or not. */
static bool
ends_folder(const char *end, const char *path, size_t at)
{
	return !*end && at > 0 &&
	       (path[at] == '/' || (path[at - 1] == '/' && end[-1] == '/'));
}

/* Either all of the text, or one of the folders that it begins with. */
static bool
match(const char *pattern, const char *text, size_t length, bool folders)
{
	const char *p = pattern, *star = NULL, *next;
	size_t at = 0, star_at = 0, size;
	uint32_t code;

	while (at < length) {
		if (folders && ends_folder(p, text, at))
			return true;
		if (*p == '*') {
			star = ++p;
			star_at = at;
			continue;
		}
		size = text_decode(text + at, length - at, &code);
		next = match_one(p, code);
		if (next) {
			p = next;
			at += size;
		} else if (star) {
			/* The last star takes one character more. */
			star_at += text_decode(text + star_at,
					       length - star_at, &code);
			at = star_at;
			p = star;
		} else {
			return false;
		}
	}
	while (*p == '*')
		p++;
	return !*p;
}

bool
selection_match(const char *pattern, const char *text, size_t length)
{
	return match(pattern, text, length, false);
}

/* As it is written, signs of patterns too. */
static bool
is_same(const char *pattern, const char *text, size_t length, bool folders)
{
	size_t n = strlen(pattern);

	if (n > length || memcmp(pattern, text, n) != 0)
		return false;
	return n == length || (folders && ends_folder(pattern + n, text, n));
}

/* ---- reading ---- */

static char *
trim(char *text)
{
	size_t n;

	text += strspn(text, " \t");
	n = strlen(text);
	while (n > 0 && strchr(" \t", text[n - 1]) &&
	       !(n > 1 && text[n - 2] == '\\'))
		n--;
	text[n] = '\0';
	return text;
}

/* The end of an item: a comma, or the end of all. */
static char *
item_end(char *text)
{
	while (*text && *text != ',')
		text += text[0] == '\\' && text[1] ? 2 : 1;
	return text;
}

static bool
parse_digits(const char *text, size_t length, uint32_t *n)
{
	uint64_t value = 0;

	for (size_t i = 0; i < length; i++) {
		value = value * 10 + (uint64_t)(text[i] - '0');
		if (value > UINT32_MAX)
			return false;
	}
	*n = (uint32_t)value;
	return length > 0;
}

static int
bad_item(struct error *e, const struct item *item, const char *why)
{
	char clean[80];

	return error_set(e, ERROR_USAGE, "'%s' %s",
			 text_clean(clean, sizeof(clean), item->text), why);
}

/* "3", "2-5", "7-"; 0 when it is none of them, and so a pattern. */
static int
parse_numbers(struct item *item, const char *text, struct error *e)
{
	size_t first = strspn(text, "0123456789"), last = 0;
	bool range = text[first] == '-';

	if (range)
		last = strspn(text + first + 1, "0123456789");
	if (first == 0 || text[first + range + last])
		return 0;
	if (!parse_digits(text, first, &item->first))
		return bad_item(e, item, "is too large a number");
	item->last = range ? UINT32_MAX : item->first;
	if (last && !parse_digits(text + first + 1, last, &item->last))
		return bad_item(e, item, "is too large a number");
	if (item->first == 0)
		return bad_item(e, item, "is no file: they count from 1");
	if (item->last < item->first)
		return bad_item(e, item, "ends before it begins");
	return 1;
}

static int
parse_item(struct selection *s, char *text, struct error *e)
{
	struct item *item = &s->items[s->count];
	int numbers;

	text = trim(text);
	*item = (struct item){.text = text, .leave_out = *text == '!'};
	if (item->leave_out)
		text = trim(text + 1);
	if (!*text)
		return error_set(e, ERROR_USAGE, "an item is empty");
	numbers = parse_numbers(item, text, e);
	if (numbers < 0)
		return -1;
	if (!numbers)
		item->pattern = text;
	s->count++;
	s->names_some |= !item->leave_out;
	return 0;
}

static int
parse_all(struct selection *s, struct error *e)
{
	char *at = s->text;
	bool more = true;

	while (more) {
		char *end = item_end(at);

		more = *end == ',';
		*end = '\0';
		if (s->count == ITEMS_MAX)
			return error_set(e, ERROR_USAGE, "more than %d items",
					 ITEMS_MAX);
		if (parse_item(s, at, e) < 0)
			return -1;
		at = end + 1;
	}
	return 0;
}

struct selection *
selection_parse(const char *text, struct error *e)
{
	struct selection *s = calloc(1, sizeof(*s));
	size_t commas = 0;

	if (!s) {
		error_memory(e);
		return NULL;
	}
	for (const char *c = text; *c; c++)
		commas += *c == ',';
	if (strlen(text) > SELECTION_SIZE_MAX) {
		error_set(e, ERROR_USAGE, "a list over %d bytes",
			  SELECTION_SIZE_MAX);
		goto fail;
	}
	s->text = strdup(text);
	s->items = calloc(commas + 1, sizeof(*s->items));
	if (!s->text || !s->items) {
		error_memory(e);
		goto fail;
	}
	if (parse_all(s, e) < 0)
		goto fail;
	return s;
fail:
	selection_free(s);
	return NULL;
}

void
selection_free(struct selection *s)
{
	if (!s)
		return;
	free(s->items);
	free(s->text);
	free(s);
}

/* ---- asking ---- */

/* A file as items see it. */
struct subject {
	uint32_t number;	/* from 1, padding not counted */
	char *path;		/* with '/' */
	size_t length;
	size_t base;		/* where its last component begins */
};

static bool
item_names(const struct item *item, const struct subject *f)
{
	const char *base = f->path + f->base;

	if (!item->pattern)
		return item->first <= f->number && f->number <= item->last;
	return is_same(item->pattern, f->path, f->length, true) ||
	       is_same(item->pattern, base, f->length - f->base, false) ||
	       match(item->pattern, f->path, f->length, true) ||
	       match(item->pattern, base, f->length - f->base, false);
}

static void
look_at(struct subject *f, const struct metainfo_file *mf)
{
	f->length = mf->path_size ? (size_t)mf->path_size - 1 : 0;
	f->base = 0;
	f->number++;
	memcpy(f->path, mf->path, f->length);
	for (size_t i = 0; i < f->length; i++)
		if (!f->path[i]) {
			f->path[i] = '/';
			f->base = i + 1;
		}
}

static bool
is_wanted(const struct selection *s, const struct subject *f)
{
	bool wanted = !s->names_some;

	for (size_t i = 0; i < s->count; i++) {
		const struct item *item = &s->items[i];

		if ((item->leave_out || !wanted) && item_names(item, f)) {
			if (item->leave_out)
				return false;
			wanted = true;
		}
	}
	return wanted;
}

int
selection_apply(const struct selection *s, const struct metainfo *m,
		struct bitfield *out, struct error *e)
{
	struct subject f = {.path = malloc(METAINFO_PATH_SIZE_MAX)};
	bool any = false;

	if (!f.path)
		return error_memory(e);
	bitfield_zero(out);
	for (uint32_t i = 0; i < m->file_count; i++) {
		if (m->files[i].flags & METAINFO_PAD) {
			bitfield_set(out, i);
			continue;
		}
		look_at(&f, &m->files[i]);
		if (is_wanted(s, &f)) {
			bitfield_set(out, i);
			any = true;
		}
	}
	free(f.path);
	if (any)
		return 0;
	return error_set(e, ERROR_USAGE, "no file is selected (btget show "
			 "lists them)");
}

const char *
selection_unused(const struct selection *s, const struct metainfo *m)
{
	struct subject f = {.path = malloc(METAINFO_PATH_SIZE_MAX)};
	bool *used = calloc(s->count, sizeof(*used));
	size_t unused = 0;

	for (uint32_t i = 0; f.path && used && i < m->file_count; i++) {
		if (m->files[i].flags & METAINFO_PAD)
			continue;
		look_at(&f, &m->files[i]);
		for (size_t k = unused; k < s->count; k++)
			used[k] = used[k] ||
				  item_names(&s->items[k], &f);
		while (unused < s->count && used[unused])
			unused++;
	}
	/* Without memory nothing is said. */
	if (!f.path || !used)
		unused = s->count;
	free(f.path);
	free(used);
	return unused < s->count ? s->items[unused].text : NULL;
}

static bool
is_pad(const struct metainfo *m, uint32_t file)
{
	return (m->files[file].flags & METAINFO_PAD) != 0;
}

bool
selection_link_adds(const struct magnet *link, const struct metainfo *m,
		    const struct bitfield *have)
{
	uint32_t i = 0;

	while (i < m->file_count && (bitfield_get(have, i) || is_pad(m, i) ||
				     !magnet_selects(link, i)))
		i++;
	return i < m->file_count;
}

int
selection_apply_link(const struct magnet *link, const struct metainfo *m,
		     struct bitfield *out, struct error *e)
{
	bool any = link->select_count == 0;

	bitfield_zero(out);
	for (uint32_t i = 0; i < m->file_count; i++)
		if (is_pad(m, i)) {
			bitfield_set(out, i);
		} else if (magnet_selects(link, i)) {
			bitfield_set(out, i);
			any = true;
		}
	if (any)
		return 0;
	return error_set(e, ERROR_TORRENT,
			 "the link selects files that are not there (so)");
}
