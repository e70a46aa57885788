/*
 * The side file of a disk without holes.
 *
 * Elsewhere each byte lies at the stream's own offset, and between are holes.
 * Here the kernel would write zeros up to there, tens of gigabytes in one
 * call, or the offset is more than the disk takes.  So the stream is cut into
 * chunks, and those of which something is written lie one behind the other, in
 * the order in which they come.  In front of each is a head that tells which
 * one it is; from the heads alone it is known what lies where, whatever is
 * selected.
 *
 * Each write to a chunk writes its head as well: whoever syncs the bytes then
 * has synced what they are found by, though another thread came first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "files_inside.h"

#define CHUNK (64ULL << 10)
#define MAGIC "btgside1"
#define MAGIC_SIZE (sizeof(MAGIC) - 1)
#define HEAD_SIZE (MAGIC_SIZE + 8)
#define STRIDE (HEAD_SIZE + CHUNK)
#define NO_CHUNK UINT64_MAX	/* what lies there is no chunk */

static bool
has(const struct files *f, const char *name)
{
	return f->folder->state >= 0 && folder_has(f->folder->state, name);
}

static void
swap_sides(struct files *f)
{
	char name[sizeof(f->side)];

	f->chunked = !f->chunked;
	memcpy(name, f->side, sizeof(name));
	memcpy(f->side, f->other_side, sizeof(name));
	memcpy(f->other_side, name, sizeof(name));
}

void
files_side_name(struct files *f, const struct files_options *o)
{
	f->chunked = f->no_holes;
	snprintf(f->side, sizeof(f->side), "%s.%s", o->id,
		 f->chunked ? "shares" : "side");
	snprintf(f->other_side, sizeof(f->other_side), "%s.%s", o->id,
		 f->chunked ? "side" : "shares");
	if (o->side_as_left && !has(f, f->side) && has(f, f->other_side))
		swap_sides(f);
}

void
files_side_drop_other(struct files *f)
{
	if (f->folder->state >= 0)
		unlinkat(f->folder->state, f->other_side, 0);
}

uint64_t
files_side_other_size(const struct files *f)
{
	struct stat st;

	if (f->folder->state < 0 ||
	    fstatat(f->folder->state, f->other_side, &st,
		    AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return (uint64_t)st.st_blocks * 512;
}

uint64_t
files_side_room(const struct files *f, uint64_t offset)
{
	return f->chunked ? CHUNK - offset % CHUNK : UINT64_MAX;
}

bool
files_next_span(const struct files *f, struct layout_cursor *c,
		struct span *out)
{
	uint64_t end = c->end, room, at;

	if (!layout_next(f->layout, c, out))
		return false;
	room = files_side_room(f, out->offset);
	if (out->kind == SPAN_SIDE && out->length > room) {
		out->length = room;
		at = out->offset + room;
		layout_seek(f->layout, c, at, end - at);
	}
	return true;
}

/* --- heads --- */

static int
failed(struct files *f, const char *what, int sys, struct error *e)
{
	char label[FILES_LABEL_MAX];

	return error_sys(e, ERROR_STORAGE, sys, "cannot %s '%s'", what,
			 files_label(f, f->side_index, label));
}

/* 1 with the chunk that lies there, 0 at the end of the file. */
static int
read_head(struct files *f, int fd, size_t place, uint64_t *chunk,
	  struct error *e)
{
	uint8_t head[HEAD_SIZE] = {0};
	ssize_t n;

	do
		n = pread(fd, head, sizeof(head), (off_t)(place * STRIDE));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return failed(f, "read", errno, e);
	*chunk = memcmp(head, MAGIC, MAGIC_SIZE) == 0
			 ? get_u64(head + MAGIC_SIZE)
			 : NO_CHUNK;
	return n == HEAD_SIZE;
}

static int
write_head(struct files *f, int fd, size_t place, uint64_t chunk,
	   struct error *e)
{
	uint8_t head[HEAD_SIZE];
	ssize_t n;

	memcpy(head, MAGIC, MAGIC_SIZE);
	put_u64(head + MAGIC_SIZE, chunk);
	do
		n = pwrite(fd, head, sizeof(head), (off_t)(place * STRIDE));
	while (n < 0 && errno == EINTR);
	if (n == HEAD_SIZE)
		return 0;
	return failed(f, "write", n < 0 ? errno : EIO, e);
}

/* --- which chunk lies where --- */

/* Grown at powers of two. */
static int
add_chunk(struct files_chunks *c, uint64_t chunk)
{
	uint64_t *grown = c->at;

	if ((c->count & (c->count - 1)) == 0)
		grown = realloc(c->at, (c->count ? c->count * 2 : 1) *
					   sizeof(*grown));
	if (!grown)
		return -1;
	c->at = grown;
	c->at[c->count++] = chunk;
	return 0;
}

static int
read_heads(struct files *f, int fd, struct files_chunks *out, struct error *e)
{
	uint64_t chunk = NO_CHUNK;
	int more;

	while ((more = read_head(f, fd, out->count, &chunk, e)) > 0)
		if (add_chunk(out, chunk) < 0)
			return error_memory(e);
	return more;
}

/* Once; of several threads the first one counts, for what it knows may have
 * grown since. */
static int
learn_chunks(struct files *f, int fd, struct error *e)
{
	struct files_chunks found = {.known = true};
	bool known;

	mutex_lock(&f->lock);
	known = f->chunks.known;
	mutex_unlock(&f->lock);
	if (known)
		return 0;
	if (read_heads(f, fd, &found, e) < 0) {
		free(found.at);
		return -1;
	}
	mutex_lock(&f->lock);
	known = f->chunks.known;
	if (!known)
		f->chunks = found;
	mutex_unlock(&f->lock);
	if (known)
		free(found.at);
	return 0;
}

/* Its place; with `make` it gets one where it has none.  -1 without. */
static int
find_chunk(struct files *f, uint64_t chunk, bool make, size_t *place)
{
	struct files_chunks *c = &f->chunks;
	int status = 0;

	mutex_lock(&f->lock);
	for (*place = 0; *place < c->count && c->at[*place] != chunk;)
		(*place)++;
	if (*place == c->count)
		status = make ? add_chunk(c, chunk) : -1;
	mutex_unlock(&f->lock);
	return status;
}

int
files_span_at(struct files *f, const struct span *s, int fd, bool write,
	      uint64_t *at, struct error *e)
{
	uint64_t chunk = s->offset / CHUNK;
	char label[FILES_LABEL_MAX];
	size_t place;

	*at = s->offset;
	if (s->kind != SPAN_SIDE || !f->chunked)
		return 0;
	if (learn_chunks(f, fd, e) < 0)
		return -1;
	if (find_chunk(f, chunk, write, &place) < 0)
		return write ? error_memory(e)
			     : error_set(e, ERROR_DATA, "'%s' lacks a part",
					 files_label(f, f->side_index,
						     label));
	*at = place * STRIDE + HEAD_SIZE + s->offset % CHUNK;
	return write ? write_head(f, fd, place, chunk, e) : 0;
}
