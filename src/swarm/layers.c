#include "swarm/layers.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sync.h"
#include "meta/bencode.h"
#include "meta/merkle.h"
#include "meta/metainfo.h"
#include "swarm/asking.h"

struct part {
	uint32_t layer;
	uint32_t index;			/* of its first hash */
	bool there;			/* guarded by lock */
	struct asking asking;		/* guarded by lock */
};

struct layer {
	const uint8_t *root;
	uint64_t length;		/* of the file, bytes */
	uint32_t count;			/* hashes */
	uint32_t first;			/* its first part */
	unsigned height;		/* of the tree above it */
	uint8_t *hashes;		/* made when the first part comes */
};

struct layers {
	unsigned level;			/* of the piece layer */
	struct layer *all;		/* by root, each once */
	size_t count;
	struct part *parts;
	size_t part_count;
	struct mutex lock;
	size_t first;			/* guarded by lock; all are there
					 * before it */
	size_t fresh;			/* guarded by lock; none was asked for
					 * from there on */
	size_t there;			/* guarded by lock */
};

/* ---- making ---- */

static int
compare_layers(const void *a, const void *b)
{
	const struct layer *x = a, *y = b;

	return memcmp(x->root, y->root, SHA256_SIZE);
}

static void
collect(struct layers *l, const struct metainfo *m)
{
	for (uint32_t i = 0; i < m->file_count; i++) {
		const struct metainfo_file *f = &m->files[i];
		struct layer *one = &l->all[l->count];

		if (f->length <= m->piece_length)
			continue;
		*one = (struct layer){.root = m->trees[i].root,
				      .length = f->length};
		one->count = (uint32_t)((f->length - 1) / m->piece_length + 1);
		while (((uint64_t)1 << one->height) < one->count)
			one->height++;
		l->count++;
	}
	if (l->count > 0)
		qsort(l->all, l->count, sizeof(*l->all), compare_layers);
}

/* Files of the same data have the same layer; with the same root and another
 * length one of them is not what it says. */
static int
unite(struct layers *l, struct error *e)
{
	size_t kept = 0, parts = 0;
	uint64_t size = 0;

	for (size_t i = 0; i < l->count; i++) {
		struct layer one = l->all[i];

		if (kept > 0 && compare_layers(&l->all[kept - 1], &one) == 0) {
			if (l->all[kept - 1].length == one.length)
				continue;
			return error_set(e, ERROR_TORRENT, "two files of "
					 "different lengths have one root");
		}
		one.first = (uint32_t)parts;
		parts += (one.count - 1) / LAYERS_PART + 1;
		size += (uint64_t)one.count * SHA256_SIZE;
		l->all[kept++] = one;
	}
	l->count = kept;
	l->part_count = parts;
	if (size > LAYERS_SIZE_MAX)
		return error_set(e, ERROR_TORRENT, "its piece layers take "
				 "more than %u bytes", LAYERS_SIZE_MAX);
	return 0;
}

static int
make_parts(struct layers *l, struct error *e)
{
	l->parts = calloc(l->part_count + 1, sizeof(*l->parts));
	if (!l->parts)
		return error_memory(e);
	for (size_t i = 0; i < l->count; i++) {
		struct part *p = &l->parts[l->all[i].first];

		for (uint32_t at = 0; at < l->all[i].count; at += LAYERS_PART)
			*p++ = (struct part){.layer = (uint32_t)i,
					     .index = at};
	}
	return 0;
}

struct layers *
layers_new(const struct metainfo *m, struct error *e)
{
	struct layers *l = calloc(1, sizeof(*l));

	if (!l) {
		error_memory(e);
		return NULL;
	}
	mutex_init(&l->lock);
	l->level = merkle_level(m->piece_length);
	l->all = calloc((size_t)m->file_count + 1, sizeof(*l->all));
	if (!l->all) {
		error_memory(e);
		goto fail;
	}
	collect(l, m);
	if (unite(l, e) < 0 || make_parts(l, e) < 0)
		goto fail;
	return l;
fail:
	layers_free(l);
	return NULL;
}

void
layers_free(struct layers *l)
{
	if (!l)
		return;
	for (size_t i = 0; l->all && i < l->count; i++)
		free(l->all[i].hashes);
	free(l->all);
	free(l->parts);
	mutex_release(&l->lock);
	free(l);
}

/* ---- asking ---- */

/* Is it one part? */
static bool
is_whole(const struct layer *one)
{
	return one->count <= LAYERS_PART;
}

/* How many of the part's hashes cover data. */
static uint32_t
part_size(const struct layer *one, const struct part *p)
{
	uint32_t left = one->count - p->index;

	return left < LAYERS_PART ? left : LAYERS_PART;
}

/* With proof up to the root: layers count for that which are not sent, since
 * the hashes make them whole. */
static struct wire_hashes
request_of(const struct layers *l, const struct part *p, bool bare)
{
	const struct layer *one = &l->all[p->layer];
	struct wire_hashes r = {
		.base = l->level,
		.index = p->index,
		.count = 2,
	};

	memcpy(r.root, one->root, sizeof(r.root));
	while (r.count < part_size(one, p))
		r.count *= 2;
	if (!bare || !is_whole(one))
		r.proofs = one->height - 1;
	return r;
}

/* A part that was asked for in vain. */
static struct part *
lost_part_locked(struct layers *l, uint64_t source, int64_t now,
		 int64_t *retry) REQUIRES(l->lock)
{
	while (l->first < l->fresh && l->parts[l->first].there)
		l->first++;
	for (size_t i = l->first; i < l->fresh; i++) {
		struct part *p = &l->parts[i];

		if (!p->there && asking_begin(&p->asking, source, now, retry))
			return p;
	}
	return NULL;
}

bool
layers_next(struct layers *l, const struct layers_source *from, int64_t now,
	    struct wire_hashes *out, int64_t *retry)
{
	struct part *p;

	*retry = now + ASKING_WAIT;
	mutex_lock(&l->lock);
	if (l->fresh < l->part_count) {
		p = &l->parts[l->fresh++];
		asking_begin(&p->asking, from->address, now, retry);
	} else {
		p = lost_part_locked(l, from->address, now, retry);
	}
	if (p)
		*out = request_of(l, p, from->bare);
	mutex_unlock(&l->lock);
	return p != NULL;
}

/* ---- taking ---- */

/* Do the hashes lead to the root? */
static bool
is_right(const struct layers *l, const struct layer *one,
	 const struct wire_hashes *what, const uint8_t *hashes, size_t n)
{
	struct hash *h = hash_new(HASH_SHA256);
	uint8_t at[SHA256_SIZE];
	uint64_t index = what->index;
	struct merkle m;

	if (!h)
		return false;
	merkle_begin(&m, h, l->level);
	for (size_t i = 0; i < what->count; i++)
		merkle_add_hash(&m, hashes + i * SHA256_SIZE);
	merkle_end(&m, at, l->level);
	for (uint32_t k = what->count; k > 1; k /= 2)
		index /= 2;
	for (size_t i = what->count; i < n; i++, index /= 2) {
		const uint8_t *uncle = hashes + i * SHA256_SIZE;

		merkle_parent(h, at, index & 1 ? uncle : at,
			      index & 1 ? at : uncle);
	}
	hash_free(h);
	return memcmp(at, one->root, SHA256_SIZE) == 0;
}

/* Of the files with this root, or NULL. */
static struct layer *
find_layer(const struct layers *l, const uint8_t *root)
{
	struct layer key = {.root = root};

	return bsearch(&key, l->all, l->count, sizeof(*l->all),
		       compare_layers);
}

/* The part that a message is about, if it is just as we ask for it. */
static struct part *
find_part(const struct layers *l, const struct wire_hashes *what)
{
	const struct layer *one = find_layer(l, what->root);
	struct wire_hashes ours;
	struct part *p;

	if (!one || what->index >= one->count ||
	    what->index % LAYERS_PART != 0)
		return NULL;
	p = &l->parts[one->first + what->index / LAYERS_PART];
	ours = request_of(l, p, what->proofs == 0);
	return memcmp(&ours, what, sizeof(ours)) == 0 ? p : NULL;
}

static void
end_asking(struct layers *l, struct part *p, uint64_t source)
{
	mutex_lock(&l->lock);
	asking_end(&p->asking, source);
	mutex_unlock(&l->lock);
}

static enum layers_result
keep_locked(struct layers *l, struct part *p, const uint8_t *hashes)
    REQUIRES(l->lock)
{
	struct layer *one = &l->all[p->layer];

	if (p->there)
		return LAYERS_MORE;
	if (!one->hashes)	/* untouched pages cost none */
		one->hashes = calloc(one->count, SHA256_SIZE);
	if (!one->hashes)
		return LAYERS_MORE;
	memcpy(one->hashes + (size_t)p->index * SHA256_SIZE, hashes,
	       (size_t)part_size(one, p) * SHA256_SIZE);
	p->there = true;
	return ++l->there == l->part_count ? LAYERS_DONE : LAYERS_MORE;
}

enum layers_result
layers_take(struct layers *l, uint64_t source,
	    const struct wire_hashes *what, const uint8_t *hashes, size_t n)
{
	struct part *p = find_part(l, what);
	enum layers_result result;
	bool asked, there;

	if (!p)
		return LAYERS_UNASKED;
	mutex_lock(&l->lock);
	asked = p < l->parts + l->fresh;
	there = p->there;
	mutex_unlock(&l->lock);
	if (!asked)
		return LAYERS_UNASKED;
	if (there)
		return LAYERS_MORE;	/* another one was quicker */
	if (n != what->count + wire_proofs(what) ||
	    !is_right(l, &l->all[p->layer], what, hashes, n)) {
		end_asking(l, p, source);
		return LAYERS_LIE;
	}
	mutex_lock(&l->lock);
	result = keep_locked(l, p, hashes);
	mutex_unlock(&l->lock);
	return result;
}

bool
layers_refuse(struct layers *l, struct layers_source *from,
	      const struct wire_hashes *what)
{
	struct part *p = find_part(l, what);

	from->bare = p && what->proofs > 0 && is_whole(&l->all[p->layer]);
	if (p)
		end_asking(l, p, from->address);
	return from->bare;
}

void
layers_leave(struct layers *l, uint64_t source)
{
	mutex_lock(&l->lock);
	for (size_t i = l->first; i < l->fresh; i++)
		asking_end(&l->parts[i].asking, source);
	mutex_unlock(&l->lock);
}

static void
fill_locked(struct layers *l, struct layer *one, const uint8_t *hashes)
    REQUIRES(l->lock)
{
	struct part *p = &l->parts[one->first];

	for (uint32_t at = 0; at < one->count; at += LAYERS_PART, p++)
		keep_locked(l, p, hashes + (size_t)at * SHA256_SIZE);
}

void
layers_fill(struct layers *l, const struct metainfo *m)
{
	mutex_lock(&l->lock);
	for (uint32_t i = 0; m->trees && i < m->file_count; i++) {
		const struct metainfo_tree *tree = &m->trees[i];
		struct layer *one = tree->layer ? find_layer(l, tree->root)
						: NULL;

		if (one && one->count == tree->layer_count)
			fill_locked(l, one, tree->layer);
	}
	l->fresh = l->part_count;	/* what it lacks is lost */
	mutex_unlock(&l->lock);
}

void
layers_progress(struct layers *l, uint64_t *done, uint64_t *all)
{
	mutex_lock(&l->lock);
	*done = l->there;
	mutex_unlock(&l->lock);
	*all = l->part_count;
}

bool
layers_done(struct layers *l)
{
	uint64_t done, all;

	layers_progress(l, &done, &all);
	return done == all;
}

/* ---- what came of it ---- */

void
layers_apply(const struct layers *l, struct metainfo *m)
{
	for (uint32_t i = 0; i < m->file_count; i++) {
		const struct layer *one;

		if (m->files[i].length <= m->piece_length)
			continue;
		one = find_layer(l, m->trees[i].root);
		m->trees[i].layer = one->hashes;
		m->trees[i].layer_count = one->count;
	}
}

void
layers_put(const struct layers *l, struct buffer *out)
{
	bencode_put_dict(out);
	for (size_t i = 0; i < l->count; i++) {
		const struct layer *one = &l->all[i];

		bencode_put_bytes(out, one->root, SHA256_SIZE);
		bencode_put_bytes(out, one->hashes,
				  (size_t)one->count * SHA256_SIZE);
	}
	bencode_put_end(out);
}
