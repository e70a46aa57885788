/*
 * Names are not kept: they are made from the metainfo whenever one is asked
 * for, and only who clashes is remembered, a bit a file.  A torrent of
 * 200,000 files then costs little more than its metainfo.
 *
 * Clashes are found with one table of path hashes, of files only: each file
 * is looked up there by its whole path (the same path twice) and by each
 * folder in front of it (a file that is also a folder).  The hash is
 * keyed with the info hash: names that fall into one chain would have to be
 * found under a key that changes with them.
 */
#include "layout_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/text.h"

#define PART ".part"
#define MARK ".btget-"
#define MARK_MAX (sizeof(MARK) - 1 + 10)
#define EXTENSION_MAX 16

static bool
character_allowed(uint32_t code)
{
	if (code < 0x20 || (code >= 0x7f && code < 0xa0) || code == '/')
		return false;
	/* Text that is shown in another order than it has. */
	if ((code >= 0x202a && code <= 0x202e) ||
	    (code >= 0x2066 && code <= 0x2069))
		return false;
	return code != 0xfffd;
}

/* Never longer than what goes in. */
static size_t
clean_bytes(char *out, const char *name, size_t length)
{
	size_t used = 0;

	for (size_t i = 0; i < length;) {
		uint32_t code = (uint8_t)name[i];
		size_t n = 1;

		if (code >= 0x80)
			n = text_decode(name + i, length - i, &code);
		if (character_allowed(code)) {
			memcpy(out + used, name + i, n);
			used += n;
		} else {
			out[used++] = '_';
		}
		i += n;
	}
	out[used] = '\0';
	return used;
}

/* Where the extension begins, or length when there is none to speak of. */
static size_t
extension_at(const char *name, size_t length)
{
	for (size_t i = length; i > 1 && length - i < EXTENSION_MAX; i--) {
		if (name[i - 1] == '.')
			return i - 1;
	}
	return length;
}

/* The length at or below max that splits no character. */
static size_t
cut_at(const char *name, size_t length, size_t max)
{
	size_t cut = max;

	if (length <= max)
		return length;
	for (int i = 0; i < 3 && cut > 0; i++) {
		if (((uint8_t)name[cut] & 0xc0) != 0x80)
			return cut;
		cut--;
	}
	return ((uint8_t)name[cut] & 0xc0) != 0x80 ? cut : max;
}

size_t
layout_clean(char *out, size_t max, const void *name, size_t length)
{
	const char *in = name;
	size_t used, dot = length, stem = length;
	char *mark;

	if (length > max) {
		dot = extension_at(in, length);
		stem = cut_at(in, dot, max - (length - dot));
	}
	used = clean_bytes(out, in, stem);
	used += clean_bytes(out + used, in + dot, length - dot);
	if (used == 0 || strcmp(out, ".") == 0) {
		memcpy(out, "_", 2);
		return 1;
	}
	if (strcmp(out, "..") == 0) {
		memcpy(out, "__", 3);
		return 2;
	}
	for (mark = strstr(out, MARK); mark; mark = strstr(mark, MARK))
		*mark = '_';
	return used;
}

/* What FAT refuses, or leaves out. */
static void
fit_fat(char *name, size_t n)
{
	for (char *at = name; (at = strpbrk(at, "\\:*?\"<>|")) != NULL;)
		*at = '_';
	if (name[n - 1] == '.' || name[n - 1] == ' ')
		name[n - 1] = '_';
}

static size_t
clean_part(const struct layout *l, char *out, size_t max, const char *raw,
	   size_t length)
{
	size_t n = layout_clean(out, max, raw, length);

	if (l->names.fat)
		fit_fat(out, n);
	return n;
}

static bool
same_bytes(const struct layout *l, const char *a, const char *b, size_t n)
{
	return (l->names.fat ? strncasecmp(a, b, n) : memcmp(a, b, n)) == 0;
}

void
layout_name_torrent(struct layout *l, const char *raw)
{
	size_t n = clean_part(l, l->name, l->names.longest - sizeof(PART),
			      raw, strlen(raw));

	if (l->name[0] == '.')
		l->name[0] = '_';
	if (n >= strlen(PART) && same_bytes(l, l->name + n - strlen(PART), PART,
					    strlen(PART))) {
		l->name[n++] = '_';
		l->name[n] = '\0';
	}
	l->name_length = n;
}

/* Puts the file's index into its name, in front of the extension. */
static size_t
mark_name(const struct layout *l, char *name, size_t length, size_t file)
{
	char mark[MARK_MAX + 1], old[LAYOUT_NAME_MAX + 1];
	size_t dot = extension_at(name, length);
	size_t n, stem;

	n = (size_t)snprintf(mark, sizeof(mark), "%s%lu", MARK,
			     (unsigned long)(uint32_t)(file + 1));
	memcpy(old, name, length + 1);
	stem = cut_at(old, dot, l->names.longest - n - (length - dot));
	memcpy(name + stem, mark, n);
	memcpy(name + stem + n, old + dot, length - dot + 1);
	return stem + n + length - dot;
}

/* The next component of a raw path, whose NULs bytes from outside may lack
 * only by a fault of ours. */
static size_t
component_length(const char *at, const char *end)
{
	return strnlen(at, (size_t)(end - at));
}

static size_t
build_path(const struct layout *l, size_t file, bool marked, char *out,
	   size_t size)
{
	const struct metainfo_file *mf = &l->m->files[file];
	const char *at = mf->path, *end = mf->path + mf->path_size;
	size_t used = l->name_length;
	char part[LAYOUT_NAME_MAX + 1];

	if (used >= size)
		return 0;
	memcpy(out, l->name, used + 1);
	if (!l->multi)
		return used;
	for (unsigned i = 0; i < mf->components; i++) {
		size_t raw = component_length(at, end);
		size_t n = clean_part(l, part, l->names.longest, at, raw);

		if (marked && i + 1 == mf->components)
			n = mark_name(l, part, n, file);
		if (size - used < n + 2)
			return 0;
		out[used++] = '/';
		memcpy(out + used, part, n + 1);
		used += n;
		at += raw < (size_t)(end - at) ? raw + 1 : raw;
	}
	return used;
}

size_t
layout_path(const struct layout *l, size_t file, char *out, size_t size)
{
	return build_path(l, file, bitfield_get(&l->marked, file), out, size);
}

/* --- clashes --- */

struct table {
	uint64_t key[2];
	struct slot {
		uint64_t hash;
		uint32_t file;		/* index + 1; 0: free */
	} *slots;
	size_t mask;
};

/* The two halves of the product's 128 bits, one upon the other.  Made of 32
 * bits each: not every machine's compiler has a type for it. */
static uint64_t
fold_product(uint64_t a, uint64_t b)
{
	uint64_t a_low = a & UINT32_MAX, a_high = a >> 32;
	uint64_t b_low = b & UINT32_MAX, b_high = b >> 32;
	uint64_t low = a_low * b_low;
	uint64_t mid = a_high * b_low + (low >> 32);
	uint64_t more = a_low * b_high + (mid & UINT32_MAX);

	return (a * b) ^ (a_high * b_high + (mid >> 32) + (more >> 32));
}

static uint64_t
hash_more(const struct table *t, uint64_t h, const char *data, size_t n)
{
	while (n > 0) {
		size_t part = n < 8 ? n : 8;
		uint64_t word = 0;

		memcpy(&word, data, part);
		h = fold_product(h ^ word ^ t->key[0], t->key[1] + n);
		data += part;
		n -= part;
	}
	return h + t->key[1];
}

/* The hashes of a file's path and of the folders in front of it, a step at
 * a time. */
struct walk {
	const char *at;
	const char *end;
	unsigned left;
	uint64_t hash;
	size_t length;		/* of the clean path, with a '/' each */
};

static void
walk_start(const struct layout *l, size_t file, struct walk *w)
{
	const struct metainfo_file *mf = &l->m->files[file];

	w->at = mf->path;
	w->end = mf->path + mf->path_size;
	w->left = mf->components;
	w->hash = 0;
	w->length = l->name_length;
}

static void
walk_step(const struct layout *l, const struct table *t, struct walk *w)
{
	char part[LAYOUT_NAME_MAX + 1];
	size_t raw = component_length(w->at, w->end);
	size_t n = clean_part(l, part, l->names.longest, w->at, raw);

	for (size_t i = 0; l->names.fat && i < n; i++)
		if (part[i] >= 'A' && part[i] <= 'Z')
			part[i] |= 0x20;
	w->hash = hash_more(t, w->hash, part, n);
	w->length += n + 1;
	w->at += raw < (size_t)(w->end - w->at) ? raw + 1 : raw;
	w->left--;
}

/* Is the path of `file` the first `length` bytes of the path of `other`? */
static bool
same_path(const struct layout *l, size_t file, size_t other, size_t length)
{
	char a[LAYOUT_PATH_MAX], b[LAYOUT_PATH_MAX];

	return build_path(l, file, false, a, sizeof(a)) == length &&
	       build_path(l, other, false, b, sizeof(b)) >= length &&
	       same_bytes(l, a, b, length);
}

/*
 * The slot of the file with this path, or the free one where it belongs.
 * Of one that is marked already nothing depends on the answer, and names
 * are not compared: a torrent where thousands lie below thousands of such
 * files would take for ever.
 */
static struct slot *
table_find(const struct layout *l, const struct table *t,
	   const struct walk *w, size_t file)
{
	size_t i = (size_t)w->hash & t->mask;

	for (; t->slots[i].file; i = (i + 1) & t->mask) {
		size_t other = t->slots[i].file - 1;

		if (t->slots[i].hash != w->hash)
			continue;
		if (bitfield_get(&l->marked, other) ||
		    same_path(l, other, file, w->length))
			break;
	}
	return &t->slots[i];
}

static bool
has_name(const struct layout *l, size_t file)
{
	return l->fates[file] == LAYOUT_KEPT ||
	       l->fates[file] == LAYOUT_SKIPPED ||
	       l->fates[file] == LAYOUT_SPARE;
}

static int
enter_file(struct layout *l, struct table *t, size_t file, struct error *e)
{
	struct slot *slot;
	struct walk w;

	walk_start(l, file, &w);
	while (w.left > 0)
		walk_step(l, t, &w);
	if (w.length + MARK_MAX >= LAYOUT_PATH_MAX)
		return error_set(e, ERROR_TORRENT,
				 "the path of file %zu is longer than %zu "
				 "bytes", file + 1,
				 LAYOUT_PATH_MAX - MARK_MAX - 1);
	slot = table_find(l, t, &w, file);
	if (slot->file) {
		bitfield_set(&l->marked, file);
		return 0;
	}
	slot->hash = w.hash;
	slot->file = (uint32_t)(file + 1);
	return 0;
}

/* How many folders two paths begin with in common: those were looked at. */
static unsigned
folders_shared(const struct metainfo_file *a, const struct metainfo_file *b)
{
	size_t n = a->path_size < b->path_size ? a->path_size : b->path_size;
	unsigned shared = 0;

	for (size_t i = 0; i < n && a->path[i] == b->path[i]; i++)
		shared += a->path[i] == '\0';
	/* The last component of a is no folder. */
	if (shared > 0 && shared >= a->components)
		shared = a->components - 1U;
	return shared;
}

static void
check_folders(struct layout *l, const struct table *t, size_t file,
	      unsigned known)
{
	struct walk w;
	struct slot *slot;

	walk_start(l, file, &w);
	while (w.left > 1) {
		walk_step(l, t, &w);
		if (known > 0) {
			known--;
			continue;
		}
		slot = table_find(l, t, &w, file);
		if (slot->file)
			bitfield_set(&l->marked, slot->file - 1);
	}
}

int
layout_find_clashes(struct layout *l, struct error *e)
{
	const struct metainfo *m = l->m;
	struct table t = { .mask = 15 };
	size_t previous = m->file_count;
	int status = -1;

	while (t.mask < m->file_count * 2ULL)
		t.mask = t.mask * 2 + 1;
	t.key[0] = get_u64(metainfo_id(m));
	t.key[1] = get_u64(metainfo_id(m) + 8) | 1;
	t.slots = calloc(t.mask + 1, sizeof(*t.slots));
	if (!t.slots)
		return error_memory(e);
	for (size_t i = 0; i < m->file_count; i++) {
		if (has_name(l, i) && enter_file(l, &t, i, e) < 0)
			goto out;
	}
	for (size_t i = 0; i < m->file_count; i++) {
		unsigned known = 0;

		if (!has_name(l, i))
			continue;
		if (previous < m->file_count)
			known = folders_shared(&m->files[previous],
					       &m->files[i]);
		check_folders(l, &t, i, known);
		previous = i;
	}
	status = 0;
out:
	free(t.slots);
	return status;
}
