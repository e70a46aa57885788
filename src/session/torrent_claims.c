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
 * piece.  It is fetched; and what of it was theirs (store/overlap) must be the
 * same then, or the run that completes this torrent does not end as if all was
 * well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "meta/metainfo.h"
#include "session/torrent_parts.h"
#include "store/files.h"
#include "store/layout.h"
#include "store/overlap.h"
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
	struct bitfield unsure;		/* pieces: what cannot be told of */
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
	bitfield_release(&c->unsure);
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
	    bitfield_init(&c->alone, count) < 0 ||
	    bitfield_init(&c->unsure, t->meta->piece_count) < 0)
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
 * What cannot be told of is set as unsure. */
static size_t
find_whole(const struct torrent *t, struct claims *c)
{
	size_t in, out;

	for (size_t i = 0; i < t->wanted.count && !is_stopped(t); i++) {
		if (!is_due(t, i))
			continue;
		count_spans(t, i, &c->whole, &in, &out);
		if (in > 0 && out == 0)
			return blame(t, i);
		if (in > 0)
			bitfield_set(&c->unsure, i);
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
digest(const struct torrent *t, uint64_t at, uint64_t n,
       uint8_t out[SHA256_SIZE], struct error *e)
{
	_Alignas(FILES_ALIGN) uint8_t data[STEP];
	struct hash *h = hash_new(HASH_SHA256);
	int status = h ? 0 : error_memory(e);

	while (status == 0 && n > 0) {
		size_t part = n < sizeof(data) ? (size_t)n : sizeof(data);

		if (torrent_is_stopped(t, e) ||
		    files_read(t->swarm.files, at, data, part, e) < 0)
			status = -1;
		else
			hash_add(h, data, part);
		at += part;
		n -= part;
	}
	if (status == 0)
		hash_end(h, out);
	hash_free(h);
	return status;
}

/* What a bad disk has lost is nobody's. */
static int
add_part(struct torrent *t, size_t piece, const struct span *s, uint64_t at,
	 struct error *e)
{
	struct overlap_part part = {(uint32_t)piece, (uint32_t)s->file, {0}};

	if (overlap_knows(&t->overlap, part.piece, part.file))
		return 0;
	if (digest(t, at, s->length, part.digest, e) == 0)
		return overlap_add(&t->overlap, &part, e);
	if (e->kind != ERROR_STORAGE || torrent_is_no_loss(e))
		return -1;
	error_clear(e);
	return 0;
}

/* Of what the unsure pieces have of others' files. */
static int
add_parts(struct torrent *t, const struct claims *c, struct error *e)
{
	uint64_t size = t->meta->piece_length, at;
	struct layout_cursor cursor;
	struct span s;
	int status = 0;

	for (size_t i = 0; status == 0 &&
			   (i = bitfield_next(&c->unsure, NULL, i)) <
			   c->unsure.count; i++) {
		at = i * size;
		layout_seek(t->layout, &cursor, at, size);
		for (; status == 0 && layout_next(t->layout, &cursor, &s);
		     at += s.length)
			if (s.kind == SPAN_FILE &&
			    bitfield_get(&c->whole, s.file))
				status = add_part(t, i, &s, at, e);
	}
	return status;
}

static bool
is_there(const struct torrent *t, size_t file)
{
	struct files_stamp now;

	return files_stamp(t->swarm.files, file, &now, NULL) == 0 && now.there;
}

/* What earlier runs knew, but for files that were moved away since: what is to
 * come there is ours alone. */
static int
load_overlap(struct torrent *t, struct error *e)
{
	struct overlap *o = &t->overlap;
	size_t n = 0, before;

	if (t->overlap_loaded)
		return 0;
	overlap_load(o, t->folder.state, t->state_hex);
	before = o->count;
	for (size_t i = 0; i < before; i++) {
		struct overlap_part part = o->parts[i];

		if (part.piece < t->meta->piece_count &&
		    part.file < t->meta->file_count &&
		    (!torrent_name_has(t, part.file) ||
		     is_there(t, part.file)))
			o->parts[n++] = part;
	}
	o->count = o->sorted = n;
	t->overlap_loaded = n == before ||
			    overlap_save(o, t->folder.state, t->state_hex,
					 e) == 0;
	return t->overlap_loaded ? 0 : -1;
}

/* Before anything of it is written over. */
static int
note_overlap(struct torrent *t, struct claims *c, struct error *e)
{
	struct overlap *o = &t->overlap;
	size_t before = o->count;

	if (bitfield_ones(&c->unsure) == 0)
		return 0;
	if (!o->owner[0] &&
	    find_owner(c, bitfield_next(&c->whole, NULL, 0), o->owner, e) < 0)
		return -1;
	if (add_parts(t, c, e) < 0) {
		o->count = before;
		return -1;
	}
	return o->count == before ? 0
				  : overlap_save(o, t->folder.state,
						 t->state_hex, e);
}

static int
remember(struct torrent *t, struct claims *c, struct error *e)
{
	size_t count = c->whole.count;

	if (note_overlap(t, c, e) < 0)
		return -1;
	if (!t->claimed.count && (bitfield_init(&t->claimed, count) < 0 ||
				  bitfield_init(&t->begun, count) < 0))
		return error_memory(e);
	bitfield_copy(&t->claimed, &c->whole);
	bitfield_copy(&t->begun, &c->begun);
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
	if (file == none)
		file = find_whole(t, c);
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
	status = load_overlap(t, e);
	if (status == 0)
		status = find_claims(t, &c, e);
	if (status == 0)
		status = judge(t, &c, e);
	release_claims(&c);
	return status;
}

/* Is it as it was?  1, 0, or -1 with the error.  What is not kept now is not
 * looked at. */
static int
is_as_before(const struct torrent *t, const struct overlap_part *part,
	     struct error *e)
{
	uint64_t size = t->meta->piece_length, at = part->piece * size;
	uint8_t now[SHA256_SIZE];
	struct layout_cursor c;
	struct span s;

	layout_seek(t->layout, &c, at, size);
	for (; layout_next(t->layout, &c, &s); at += s.length) {
		if (s.kind != SPAN_FILE || s.file != part->file)
			continue;
		if (digest(t, at, s.length, now, e) < 0)
			return -1;
		return memcmp(now, part->digest, sizeof(now)) == 0;
	}
	return 1;
}

int
torrent_claims_settle(struct torrent *t, struct error *e)
{
	struct overlap *o = &t->overlap;
	int same = 1;

	if (load_overlap(t, e) < 0)
		return -1;
	if (o->count == 0)
		return 0;
	for (size_t i = 0; same > 0 && i < o->count; i++)
		same = is_as_before(t, &o->parts[i], e);
	if (same < 0)
		return -1;
	o->count = o->sorted = 0;
	if (overlap_save(o, t->folder.state, t->state_hex, e) < 0)
		return -1;
	if (same)
		return 0;
	return error_set(e, ERROR_STORAGE, "another torrent of this name, %s, "
			 "had a file that is not the same in this one, and is "
			 "overwritten now: give that torrent another --dir",
			 o->owner);
}
