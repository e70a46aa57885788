/*
 * Files that other torrents of our name have: what fits belongs to both, and
 * nothing else of theirs is written over.
 *
 * Whose a file is their states tell by its looks.  Of one that is complete
 * the files that it has all of are right, so a piece of ours that is wrong and
 * lies in such files alone would ruin one of them.  Any other file is spared
 * if it has nothing right of ours, and more than holes.
 *
 * A piece that lies elsewhere as well may be wrong for that alone: the next
 * episodes come to those that are there, of which the last one ends within a
 * piece.  It is fetched; and what of it was theirs must be the same then, or
 * this torrent does not end as if all was well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "meta/metainfo.h"
#include "session/torrent_parts.h"
#include "store/files.h"
#include "store/layout.h"
#include "store/owner.h"

#define STEP 16384
#define PATH_SHOWN 250

struct claims {
	const struct torrent *t;
	struct files_stamp *looks;	/* of what is under the name */
	struct bitfield whole;		/* what who is complete has all of */
	struct bitfield begun;		/* and other files */
	struct state_claims one;	/* of one torrent */
	struct bitfield alone;		/* one that is looked at */
	size_t file;			/* whose it is, is to be found */
	char *owner;			/* and put here; or NULL */
};

static int
add_claims(void *ctx, const char *other, struct error *e)
{
	struct claims *c = ctx;

	if (state_find_claims(c->t->folder.state, other, c->looks, &c->one,
			      e) < 0)
		return -1;
	if (c->owner && (bitfield_get(&c->one.whole, c->file) ||
			 bitfield_get(&c->one.begun, c->file))) {
		memcpy(c->owner, other, strlen(other) + 1);
		return 1;
	}
	bitfield_add(&c->whole, &c->one.whole);
	bitfield_add(&c->begun, &c->one.begun);
	return 0;
}

static int
ask_others(struct claims *c, struct error *e)
{
	char key[LAYOUT_NAME_MAX + 1];

	torrent_name_key(c->t, key);
	return owner_each(c->t->folder.state, key, c->t->state_hex, add_claims,
			  c, e);
}

/* Of a file that somebody has. */
static int
find_owner(struct claims *c, size_t file, char owner[METAINFO_HEX_MAX],
	   struct error *e)
{
	c->owner = owner;
	c->file = file;
	return ask_others(c, e);
}

static void
release_claims(struct claims *c)
{
	free(c->looks);
	bitfield_release(&c->whole);
	bitfield_release(&c->begun);
	bitfield_release(&c->one.whole);
	bitfield_release(&c->one.begun);
	bitfield_release(&c->alone);
}

static int
find_claims(struct torrent *t, struct claims *c, struct error *e)
{
	size_t count = t->meta->file_count;

	c->looks = calloc(count ? count : 1, sizeof(*c->looks));
	if (!c->looks || bitfield_init(&c->whole, count) < 0 ||
	    bitfield_init(&c->begun, count) < 0 ||
	    bitfield_init(&c->one.whole, count) < 0 ||
	    bitfield_init(&c->one.begun, count) < 0 ||
	    bitfield_init(&c->alone, count) < 0)
		return error_memory(e);
	for (size_t i = 0; i < count; i++)
		if (torrent_name_has(t, i))
			c->looks[i] = t->state.stamps[i];
	return ask_others(c, e);
}

static bool
is_stopped(const struct torrent *t)
{
	return atomic_load(&t->stop_disk);
}

static bool
is_kept(const struct torrent *t, size_t file)
{
	return layout_fate(t->layout, file) == LAYOUT_KEPT;
}

/* One that is to have another length; the count if there is none. */
static size_t
find_misfit(const struct torrent *t, struct claims *c)
{
	size_t i;

	for (i = 0; (i = bitfield_next(&c->whole, NULL, i)) < c->whole.count;
	     i++) {
		if (c->looks[i].size == t->meta->files[i].length)
			continue;
		if (is_kept(t, i))
			break;
		bitfield_unset(&c->whole, i);
	}
	return i;
}

/* ---- pieces ---- */

/* Is it to be written, and not because we had it and it was damaged? */
static bool
is_due(const struct torrent *t, size_t piece)
{
	return bitfield_get(&t->wanted, piece) &&
	       !bitfield_get(&t->have, piece) &&
	       !bitfield_get(&t->vouched, piece);
}

/* The spans of a piece in files of a set, and others. */
static void
count_spans(const struct torrent *t, size_t piece,
	    const struct bitfield *files, size_t *in, size_t *out)
{
	uint64_t size = t->meta->piece_length;
	struct layout_cursor c;
	struct span s;

	*in = *out = 0;
	layout_seek(t->layout, &c, piece * size, size);
	while (layout_next(t->layout, &c, &s)) {
		if (s.kind == SPAN_FILE && bitfield_get(files, s.file))
			++*in;
		else if (s.kind != SPAN_PAD)
			++*out;
	}
}

/* Of the files of a piece one that has nothing of ours, or else the first. */
static size_t
blame(const struct torrent *t, size_t piece)
{
	uint64_t size = t->meta->piece_length;
	size_t found = SIZE_MAX;
	struct layout_cursor c;
	struct span s;

	layout_seek(t->layout, &c, piece * size, size);
	while (layout_next(t->layout, &c, &s)) {
		if (s.kind != SPAN_FILE)
			continue;
		if (!torrent_name_fits(t, s.file))
			return s.file;
		if (found == SIZE_MAX)
			found = s.file;
	}
	return found;
}

/* A file of who is complete that we would ruin; the count if there is none.
 * What cannot be told of is set in `unsure`. */
static size_t
find_whole(const struct torrent *t, const struct claims *c,
	   struct bitfield *unsure)
{
	size_t in, out;

	for (size_t i = 0; i < t->wanted.count && !is_stopped(t); i++) {
		if (!is_due(t, i))
			continue;
		count_spans(t, i, &c->whole, &in, &out);
		if (in > 0 && out == 0)
			return blame(t, i);
		if (in > 0)
			bitfield_set(unsure, i);
	}
	return c->whole.count;
}

/* Has it a piece that is data, all of it, and not ours? */
static bool
is_strange(const struct torrent *t, size_t file, struct bitfield *alone)
{
	size_t first, count, in, out;
	bool found = false;

	bitfield_set(alone, file);
	layout_file_pieces(t->layout, file, &first, &count);
	for (size_t i = first; !found && i < first + count && !is_stopped(t);
	     i++) {
		count_spans(t, i, alone, &in, &out);
		found = is_due(t, i) && out == 0 &&
			torrent_piece_is_full(t, t->swarm.files, i, file);
	}
	bitfield_unset(alone, file);
	return found;
}

/* A file that others have begun, and of which nothing is ours. */
static size_t
find_begun(const struct torrent *t, struct claims *c)
{
	size_t i;

	for (i = 0; (i = bitfield_next(&c->begun, &c->whole, i)) <
		    c->begun.count && !is_stopped(t); i++)
		if (is_kept(t, i) && !torrent_name_fits(t, i) &&
		    is_strange(t, i, &c->alone))
			break;
	return i;
}

/* ---- what cannot be told ---- */

static int
add_span(struct torrent *t, struct hash *h, uint64_t at, uint64_t n,
	 struct error *e)
{
	_Alignas(FILES_ALIGN) uint8_t data[STEP];

	while (n > 0) {
		size_t part = n < sizeof(data) ? (size_t)n : sizeof(data);

		if (torrent_is_stopped(t, e) ||
		    files_read(t->swarm.files, at, data, part, e) < 0)
			return -1;
		hash_add(h, data, part);
		at += part;
		n -= part;
	}
	return 0;
}

/* Of what a piece has of others' files. */
static int
digest_piece(struct torrent *t, size_t piece, uint8_t out[SHA256_SIZE],
	     struct error *e)
{
	uint64_t size = t->meta->piece_length, at = piece * size;
	struct hash *h = hash_new(HASH_SHA256);
	struct layout_cursor c;
	struct span s;
	int status = h ? 0 : error_memory(e);

	layout_seek(t->layout, &c, at, size);
	for (; status == 0 && layout_next(t->layout, &c, &s); at += s.length)
		if (s.kind == SPAN_FILE && bitfield_get(&t->claimed, s.file))
			status = add_span(t, h, at, s.length, e);
	if (status == 0)
		hash_end(h, out);
	hash_free(h);
	return status;
}

/* Of all that cannot be told of.  At first, what a bad disk has lost is left
 * out from then on: it is nobody's. */
static int
digest(struct torrent *t, bool first, uint8_t out[SHA256_SIZE],
       struct error *e)
{
	struct hash *h = hash_new(HASH_SHA256);
	uint8_t one[SHA256_SIZE];
	int status = h ? 0 : error_memory(e);

	for (size_t i = 0; status == 0 &&
			   (i = bitfield_next(&t->unsure, NULL, i)) <
			   t->unsure.count; i++) {
		status = digest_piece(t, i, one, e);
		if (status == 0) {
			hash_add(h, one, sizeof(one));
		} else if (first && e->kind == ERROR_STORAGE &&
			   !torrent_is_no_loss(e)) {
			bitfield_unset(&t->unsure, i);
			error_clear(e);
			status = 0;
		}
	}
	if (status == 0)
		hash_end(h, out);
	hash_free(h);
	return status;
}

static int
remember(struct torrent *t, struct claims *c, struct error *e)
{
	size_t count = c->whole.count;

	if (!t->claimed.count && (bitfield_init(&t->claimed, count) < 0 ||
				  bitfield_init(&t->begun, count) < 0))
		return error_memory(e);
	bitfield_copy(&t->claimed, &c->whole);
	bitfield_copy(&t->begun, &c->begun);
	if (bitfield_ones(&t->unsure) > 0 &&
	    (find_owner(c, bitfield_next(&c->whole, NULL, 0), t->claimed_by,
			e) < 0 ||
	     digest(t, true, t->claimed_digest, e) < 0))
		return -1;
	t->claims_known = true;
	return 0;
}

static bool
is_same(const struct bitfield *a, const struct bitfield *b)
{
	return memcmp(a->bits, b->bits, bitfield_bytes(a)) == 0;
}

/* While it waits for the name or for room, nothing is read twice.  The lock is
 * free for moments, in which others may write: then files look otherwise. */
static bool
is_known(const struct torrent *t, const struct claims *c)
{
	struct files_stamp now;

	if (!t->claims_known || !is_same(&t->claimed, &c->whole) ||
	    !is_same(&t->begun, &c->begun))
		return false;
	for (size_t i = 0; i < c->whole.count; i++)
		if ((bitfield_get(&c->whole, i) ||
		     bitfield_get(&c->begun, i)) &&
		    (files_stamp(t->swarm.files, i, &now, NULL) < 0 ||
		     now.size != c->looks[i].size ||
		     now.mtime_ns != c->looks[i].mtime_ns))
			return false;
	return true;
}

/* ---- all of it ---- */

static int
refuse(const struct torrent *t, struct claims *c, size_t file,
       struct error *e)
{
	const char *name = layout_name(t->layout);
	char owner[METAINFO_HEX_MAX] = "", path[LAYOUT_PATH_MAX];

	if (find_owner(c, file, owner, e) < 0)
		return -1;
	layout_path(t->layout, file, path, sizeof(path));
	return error_set(e, ERROR_STORAGE, "'%s%s%.*s' is another torrent's, "
			 "%s, and is not the same in this one: give another "
			 "--dir, or move it away", name,
			 files_in_place(t->swarm.files) ? "" : ".part",
			 PATH_SHOWN, path + strlen(name), owner);
}

static int
judge(struct torrent *t, struct claims *c, struct error *e)
{
	size_t none = t->meta->file_count, file = find_misfit(t, c);

	if (file == none && is_known(t, c))
		return 0;
	t->claims_known = false;
	bitfield_zero(&t->unsure);
	if (file == none)
		file = find_whole(t, c, &t->unsure);
	if (file == none)
		file = find_begun(t, c);
	if (torrent_is_stopped(t, e))
		return -1;
	return file == none ? remember(t, c, e) : refuse(t, c, file, e);
}

int
torrent_claims_spare(struct torrent *t, struct error *e)
{
	struct claims c = {.t = t};
	/* Nothing was looked at before, and what is to be written by then
	 * goes to new files. */
	int status = t->have.count > 0 ? torrent_name_is_shared(t, e) : 0;

	if (status <= 0)
		return status;
	if (!t->unsure.count &&
	    bitfield_init(&t->unsure, t->meta->piece_count) < 0)
		return error_memory(e);
	status = find_claims(t, &c, e);
	if (status == 0)
		status = judge(t, &c, e);
	release_claims(&c);
	return status;
}

int
torrent_claims_settle(struct torrent *t, struct error *e)
{
	uint8_t now[SHA256_SIZE];

	if (!t->claimed.count || bitfield_ones(&t->unsure) == 0)
		return 0;
	if (digest(t, false, now, e) < 0)
		return -1;
	if (memcmp(now, t->claimed_digest, sizeof(now)) == 0)
		return 0;
	return error_set(e, ERROR_STORAGE, "another torrent of this name, %s, "
			 "had a file that is not the same in this one, and is "
			 "overwritten now: give that torrent another --dir",
			 t->claimed_by);
}
