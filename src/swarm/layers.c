#include "swarm/layers.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sync.h"
#include "meta/bencode.h"
#include "meta/merkle.h"
#include "meta/metainfo.h"
#include "swarm/asking.h"

#define PART_LEVELS 9		/* of the tree over a part */

enum part_state {
	PART_MISSING,
	PART_LENT,		/* came without proof */
	PART_THERE,
	PART_STATES,
};

struct part {
	uint32_t layer;
	uint32_t index;			/* of its first hash */
	enum part_state state;		/* guarded by lock */
	struct asking asking;		/* guarded by lock */
};

struct layer {
	const uint8_t *root;
	uint64_t length;		/* of the file, bytes */
	uint32_t count;			/* hashes */
	uint32_t first;			/* its first part */
	uint32_t parts;
	unsigned height;		/* of the tree above it */
	uint8_t *hashes;		/* made when the first part comes;
					 * behind them what is over each part,
					 * if there are several */
	uint32_t has[PART_STATES];	/* guarded by lock; parts of each */
	bool lends;			/* guarded by lock; somebody does: */
	uint64_t lender;		/* guarded by lock */
	uint32_t lent;			/* guarded by lock; parts, when it was
					 * last asked */
	int64_t lent_at;		/* guarded by lock; and since when it
					 * has given none */
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
	size_t has[PART_STATES];	/* guarded by lock; parts of each */
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
		one.parts = (one.count - 1) / LAYERS_PART + 1;
		one.has[PART_MISSING] = one.parts;
		parts += one.parts;
		size += (uint64_t)one.count * SHA256_SIZE;
		l->all[kept++] = one;
	}
	l->count = kept;
	l->part_count = l->has[PART_MISSING] = parts;
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

static void
set_state_locked(struct layers *l, struct part *p, enum part_state state)
    REQUIRES(l->lock)
{
	struct layer *one = &l->all[p->layer];

	one->has[p->state]--;
	l->has[p->state]--;
	p->state = state;
	one->has[state]++;
	l->has[state]++;
}

/* ---- lending ---- */

/*
 * Who proves nothing lends a layer of several parts: all that are missing, so
 * that once the last one is there the whole can be judged, and if it is wrong,
 * who lied.  Others who prove theirs are asked for the same parts meanwhile,
 * as if they were missing; others who do not, once the lender has not given
 * anything in a while, and from the beginning.
 */

static void
forget_loan_locked(struct layers *l, struct layer *one) REQUIRES(l->lock)
{
	one->lends = false;
	for (uint32_t i = 0; i < one->parts && one->has[PART_LENT] > 0; i++) {
		struct part *p = &l->parts[one->first + i];

		if (p->state != PART_LENT)
			continue;
		asking_end(&p->asking, one->lender);
		set_state_locked(l, p, PART_MISSING);
	}
}

static bool
lends(const struct layer *one, uint64_t source)
{
	return one->lends && one->lender == source;
}

static bool
may_lend(const struct layer *one, const struct part *p, uint64_t source,
	 int64_t now)
{
	if (lends(one, source))
		return p->state != PART_LENT;
	return !one->lends || now - one->lent_at >= ASKING_AGAIN;
}

static void
begin_loan_locked(struct layers *l, struct layer *one, uint64_t source,
		  int64_t now) REQUIRES(l->lock)
{
	if (!lends(one, source))
		forget_loan_locked(l, one);
	if (!one->lends || one->has[PART_LENT] != one->lent)
		one->lent_at = now;
	one->lends = true;
	one->lender = source;
	one->lent = one->has[PART_LENT];
}

/* All parts have come, some of them without proof: do they lead to the root?
 * The lent ones are there then, and else forgotten. */
static bool
settle_locked(struct layers *l, struct layer *one, struct hash *h)
    REQUIRES(l->lock)
{
	const uint8_t *tops = one->hashes + (size_t)one->count * SHA256_SIZE;
	uint8_t root[SHA256_SIZE];
	struct merkle m;

	merkle_begin(&m, h, l->level + PART_LEVELS);
	for (uint32_t i = 0; i < one->parts; i++)
		merkle_add_hash(&m, tops + (size_t)i * SHA256_SIZE);
	merkle_end(&m, root, l->level + one->height);
	if (memcmp(root, one->root, SHA256_SIZE) != 0) {
		forget_loan_locked(l, one);
		return false;
	}
	for (uint32_t i = 0; i < one->parts; i++)
		set_state_locked(l, &l->parts[one->first + i], PART_THERE);
	return true;
}

/* ---- asking ---- */

/* Is it one part? */
static bool
is_whole(const struct layer *one)
{
	return one->parts == 1;
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
	if (!bare)
		r.proofs = one->height - 1;
	return r;
}

/* May it be asked for this part now?  Then it counts as asked. */
static bool
ask_locked(struct layers *l, struct part *p, const struct layers_source *from,
	   int64_t now, int64_t *retry) REQUIRES(l->lock)
{
	struct layer *one = &l->all[p->layer];
	bool loan = from->bare && !is_whole(one);

	if (p->state == PART_THERE ||
	    (loan && !may_lend(one, p, from->address, now)) ||
	    !asking_begin(&p->asking, from->address, now, retry))
		return false;
	if (loan)
		begin_loan_locked(l, one, from->address, now);
	return true;
}

/* A part that was asked for in vain. */
static struct part *
lost_part_locked(struct layers *l, const struct layers_source *from,
		 int64_t now, int64_t *retry) REQUIRES(l->lock)
{
	while (l->first < l->fresh &&
	       l->parts[l->first].state == PART_THERE)
		l->first++;
	for (size_t i = l->first; i < l->fresh; i++)
		if (ask_locked(l, &l->parts[i], from, now, retry))
			return &l->parts[i];
	return NULL;
}

bool
layers_next(struct layers *l, struct layers_source *from, int64_t now,
	    struct wire_hashes *out, int64_t *retry)
{
	struct part *p = NULL;

	*retry = now + ASKING_WAIT;
	mutex_lock(&l->lock);
	while (!p && l->fresh < l->part_count) {
		p = &l->parts[l->fresh++];
		if (!ask_locked(l, p, from, now, retry))
			p = NULL;
	}
	if (!p)
		p = lost_part_locked(l, from, now, retry);
	mutex_unlock(&l->lock);
	if (!p)
		return false;
	*out = request_of(l, p, from->bare);
	from->proof = from->proof || out->proofs > 0;
	return true;
}

/* ---- taking ---- */

/* What came. */
struct answer {
	const struct wire_hashes *what;
	const uint8_t *hashes;
	size_t n;
	bool bare;			/* it is to be judged later */
	uint8_t top[SHA256_SIZE];
};

/* Do the hashes lead to the root? */
static bool
is_right(const struct layers *l, const struct layer *one,
	 const struct answer *a, struct hash *h)
{
	const struct wire_hashes *what = a->what;
	const uint8_t *hashes = a->hashes;
	uint8_t at[SHA256_SIZE];
	uint64_t index = what->index;
	struct merkle m;

	merkle_begin(&m, h, l->level);
	for (size_t i = 0; i < what->count; i++)
		merkle_add_hash(&m, hashes + i * SHA256_SIZE);
	merkle_end(&m, at, l->level);
	for (uint32_t k = what->count; k > 1; k /= 2)
		index /= 2;
	for (size_t i = what->count; i < a->n; i++, index /= 2) {
		const uint8_t *uncle = hashes + i * SHA256_SIZE;

		merkle_parent(h, at, index & 1 ? uncle : at,
			      index & 1 ? at : uncle);
	}
	return memcmp(at, one->root, SHA256_SIZE) == 0;
}

static void
make_top(const struct layers *l, const struct part *p, struct answer *a,
	 struct hash *h)
{
	uint32_t size = part_size(&l->all[p->layer], p);
	struct merkle m;

	merkle_begin(&m, h, l->level);
	for (uint32_t i = 0; i < size; i++)
		merkle_add_hash(&m, a->hashes + (size_t)i * SHA256_SIZE);
	merkle_end(&m, a->top, l->level + PART_LEVELS);
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

/* False: it is so already, or memory is short. */
static bool
keep_locked(struct layers *l, struct part *p, const uint8_t *hashes,
	    enum part_state state) REQUIRES(l->lock)
{
	struct layer *one = &l->all[p->layer];

	if (p->state >= state)
		return false;
	if (!one->hashes)	/* untouched pages cost none */
		one->hashes = calloc((size_t)one->count + one->parts,
				     SHA256_SIZE);
	if (!one->hashes)
		return false;
	memcpy(one->hashes + (size_t)p->index * SHA256_SIZE, hashes,
	       (size_t)part_size(one, p) * SHA256_SIZE);
	set_state_locked(l, p, state);
	return true;
}

static enum layers_result
take_locked(struct layers *l, struct part *p, const struct answer *a,
	    struct hash *h) REQUIRES(l->lock)
{
	struct layer *one = &l->all[p->layer];

	if (!keep_locked(l, p, a->hashes, a->bare ? PART_LENT : PART_THERE))
		return LAYERS_MORE;
	memcpy(one->hashes + (one->count + (size_t)p->index / LAYERS_PART) *
				     SHA256_SIZE, a->top, SHA256_SIZE);
	/* Who proved the last part has not lied, whoever did. */
	if (one->has[PART_MISSING] == 0 && one->has[PART_LENT] > 0 &&
	    !settle_locked(l, one, h) && a->bare)
		return LAYERS_LIE;
	return l->has[PART_THERE] == l->part_count ? LAYERS_DONE : LAYERS_MORE;
}

static enum layers_result
judge(struct layers *l, struct part *p, uint64_t source, struct answer *a)
{
	struct layer *one = &l->all[p->layer];
	struct hash *h = hash_new(HASH_SHA256);
	enum layers_result result = LAYERS_MORE;

	if (!h)
		return LAYERS_MORE;
	if (a->n != a->what->count + wire_proofs(a->what) ||
	    (!a->bare && !is_right(l, one, a, h))) {
		end_asking(l, p, source);
		hash_free(h);
		return LAYERS_LIE;
	}
	if (!is_whole(one))
		make_top(l, p, a, h);
	mutex_lock(&l->lock);
	if (!a->bare || lends(one, source))
		result = take_locked(l, p, a, h);
	mutex_unlock(&l->lock);
	hash_free(h);
	return result;
}

enum layers_result
layers_take(struct layers *l, uint64_t source,
	    const struct wire_hashes *what, const uint8_t *hashes, size_t n)
{
	struct answer a = {.what = what, .hashes = hashes, .n = n};
	struct part *p = find_part(l, what);
	bool asked, there;

	if (!p)
		return LAYERS_UNASKED;
	a.bare = what->proofs == 0 && !is_whole(&l->all[p->layer]);
	mutex_lock(&l->lock);
	asked = p < l->parts + l->fresh;
	there = p->state == PART_THERE;
	mutex_unlock(&l->lock);
	if (!asked)
		return LAYERS_UNASKED;
	return there ? LAYERS_MORE	/* another one was quicker */
		     : judge(l, p, source, &a);
}

void
layers_refuse(struct layers *l, struct layers_source *from,
	      const struct wire_hashes *what, int64_t now, int64_t *retry)
{
	struct part *p = find_part(l, what);
	struct layer *one;

	if (!p || what->proofs == 0) {
		from->bare = false;
		*retry = now + LAYERS_REST;
	} else if (from->proof) {
		from->bare = true;
		from->proof = false;	/* what it refused beside is no news */
		*retry = 0;
	}
	if (!p)
		return;
	one = &l->all[p->layer];
	mutex_lock(&l->lock);
	asking_end(&p->asking, from->address);
	/* What another one behind the same address has given stays. */
	if (what->proofs == 0 && lends(one, from->address) &&
	    one->has[PART_LENT] == 0)
		forget_loan_locked(l, one);
	mutex_unlock(&l->lock);
}

void
layers_leave(struct layers *l, uint64_t source)
{
	mutex_lock(&l->lock);
	for (size_t i = l->first; i < l->fresh; i++)
		asking_end(&l->parts[i].asking, source);
	for (size_t i = 0; i < l->count; i++)
		if (lends(&l->all[i], source))
			forget_loan_locked(l, &l->all[i]);
	mutex_unlock(&l->lock);
}

static void
fill_locked(struct layers *l, struct layer *one, const uint8_t *hashes)
    REQUIRES(l->lock)
{
	struct part *p = &l->parts[one->first];

	for (uint32_t at = 0; at < one->count; at += LAYERS_PART, p++)
		keep_locked(l, p, hashes + (size_t)at * SHA256_SIZE,
			    PART_THERE);
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
	*done = l->has[PART_LENT] + l->has[PART_THERE];
	mutex_unlock(&l->lock);
	*all = l->part_count;
}

bool
layers_done(struct layers *l)
{
	bool done;

	mutex_lock(&l->lock);
	done = l->has[PART_THERE] == l->part_count;
	mutex_unlock(&l->lock);
	return done;
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
