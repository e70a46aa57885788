/*
 * What the states of other torrents say, of whatever shape they are.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state_inside.h"
#include "store/folder.h"

#define TAIL ".state"
#define OTHER_MAX (64u << 20)

/* Of a state of any shape, as state_encode writes it: what lies before the
 * files' stamps. */
struct head {
	uint32_t files;
	uint8_t flags;
	bool any;		/* piece was verified */
};

static bool
read_head(struct bytes *b, struct head *out)
{
	const uint8_t *magic = bytes_take(b, strlen(STATE_MAGIC)), *have;
	uint32_t pieces;

	if (!magic || memcmp(magic, STATE_MAGIC, strlen(STATE_MAGIC)) != 0)
		return false;
	bytes_take(b, 20 + 8 + 8);
	pieces = bytes_u32(b);
	out->files = bytes_u32(b);
	bytes_take(b, 8 + 8);
	out->flags = bytes_u8(b);
	have = bytes_take(b, ((size_t)pieces + 7) / 8);
	if (state_has_unchecked(out->flags))
		bytes_take(b, ((size_t)pieces + 7) / 8);
	if (out->flags & STATE_FLAG_DAMAGED)
		bytes_take(b, ((size_t)pieces + 7) / 8);
	out->flags &= (uint8_t)~STATE_FLAG_DAMAGED;
	bytes_take(b, ((size_t)out->files + 7) / 8);
	out->any = false;
	for (size_t i = 0; have && i < ((size_t)pieces + 7) / 8; i++)
		out->any = out->any || have[i];
	return !bytes_failed(b);
}

/* The next file that is there and not empty; and is it all there? */
static bool
next_stamp(struct bytes *b, uint32_t *left, struct files_stamp *out,
	   bool *whole)
{
	uint8_t there;

	while (*left > 0) {
		--*left;
		there = bytes_u8(b);
		out->there = there != 0;
		*whole = there == STATE_THERE_WHOLE;
		out->size = bytes_u64(b);
		out->mtime_ns = (int64_t)bytes_u64(b);
		if (bytes_failed(b))
			return false;
		if (out->there && out->size > 0)
			return true;
	}
	return false;
}

static bool
is_among(const struct files_stamp *one, const struct files_stamp *all,
	 size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (state_same_stamp(one, &all[i]))
			return true;
	return false;
}

static bool
vouches_for(const struct buffer *data, const struct files_stamp *stamps,
	    size_t count)
{
	struct bytes b = bytes_over(data->data, data->used);
	struct files_stamp one;
	struct head head;
	bool whole;

	if (!read_head(&b, &head) || !head.any)
		return false;
	while (next_stamp(&b, &head.files, &one, &whole))
		if (is_among(&one, stamps, count))
			return true;
	return false;
}

bool
state_find_owner(const struct state *s, int dir,
		 const struct files_stamp *stamps, size_t count,
		 char owner[METAINFO_HEX_MAX])
{
	DIR *list = folder_list(dir);
	const struct dirent *entry;
	bool found = false;

	if (!list)
		return false;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody shares the stream */
	while (!found && (entry = readdir(list))) {
		size_t length = strlen(entry->d_name);
		struct buffer data;

		if (length <= strlen(TAIL) ||
		    length - strlen(TAIL) >= METAINFO_HEX_MAX)
			continue;
		length -= strlen(TAIL);
		if (strcmp(entry->d_name + length, TAIL) != 0 ||
		    strncmp(entry->d_name, s->hex, length) == 0)
			continue;
		buffer_init(&data, OTHER_MAX);
		found = folder_load(dir, entry->d_name, &data, NULL) == 0 &&
			vouches_for(&data, stamps, count);
		buffer_release(&data);
		memcpy(owner, entry->d_name, length);
		owner[length] = '\0';
	}
	closedir(list);
	return found;
}

/* ---- of one of them ---- */

struct look {
	struct files_stamp stamp;
	size_t file;
};

static int
compare_looks(const void *a, const void *b)
{
	const struct files_stamp *x = &((const struct look *)a)->stamp;
	const struct files_stamp *y = &((const struct look *)b)->stamp;

	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return (x->mtime_ns > y->mtime_ns) - (x->mtime_ns < y->mtime_ns);
}

static void
mark_alike(const struct look *looks, size_t count,
	   const struct files_stamp *one, struct bitfield *out)
{
	struct look key = {.stamp = *one};
	const struct look *at = bsearch(&key, looks, count, sizeof(*looks),
					compare_looks);

	if (!at)
		return;
	while (at > looks && compare_looks(at - 1, &key) == 0)
		at--;
	for (; at < looks + count && compare_looks(at, &key) == 0; at++)
		bitfield_set(out, at->file);
}

/* A state of before files were noted as whole has them all as if they were. */
static void
read_claims(struct bytes *b, const struct look *looks, size_t count,
	    struct state_claims *out)
{
	struct head head;
	struct files_stamp one;
	bool complete, whole, noted = false;

	if (!read_head(b, &head) || !head.any)
		return;
	complete = head.flags == STATE_FLAG_COMPLETE ||
		   head.flags == STATE_FLAG_WAS_COMPLETE;
	while (next_stamp(b, &head.files, &one, &whole)) {
		noted = noted || whole;
		mark_alike(looks, count, &one,
			   complete && whole ? &out->whole : &out->begun);
	}
	if (complete && !noted) {
		bitfield_add(&out->whole, &out->begun);
		bitfield_zero(&out->begun);
	}
}

int
state_find_claims(int dir, const char *hex, const struct files_stamp *stamps,
		  struct state_claims *out, struct error *e)
{
	size_t count = out->whole.count, n = 0;
	struct look *looks = malloc((count ? count : 1) * sizeof(*looks));
	char name[METAINFO_HEX_MAX + sizeof(TAIL)];
	struct buffer data;
	struct bytes b;

	bitfield_zero(&out->whole);
	bitfield_zero(&out->begun);
	if (!looks)
		return error_memory(e);
	for (size_t i = 0; i < count; i++)
		if (stamps[i].there && stamps[i].size > 0)
			looks[n++] = (struct look){stamps[i], i};
	qsort(looks, n, sizeof(*looks), compare_looks);
	snprintf(name, sizeof(name), "%s%s", hex, TAIL);
	buffer_init(&data, OTHER_MAX);
	if (folder_load(dir, name, &data, NULL) == 0) {
		b = bytes_over(data.data, data.used);
		read_claims(&b, looks, n, out);
	}
	buffer_release(&data);
	free(looks);
	return 0;
}
