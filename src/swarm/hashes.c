#include "swarm/hashes.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sync.h"
#include "meta/merkle.h"
#include "meta/metainfo.h"
#include "swarm/havelog.h"

#define UPPER_LEVELS 9		/* above the piece layer: 512 pieces each */
#define BLOCK_NS (CLOCK_S / HASHES_BLOCKS_PER_S)

struct hashes {
	const struct metainfo *m;
	struct hasher_source source;
	unsigned level;			/* of the piece layer */
	struct mutex lock;
	int64_t paid_until[2];		/* guarded by lock; the budgets */
	uint32_t *order;		/* guarded by lock; files by root */
	size_t count;			/* guarded by lock */
	uint8_t **upper;		/* guarded by lock; one a file, whose
					 * hashes never change once made */
};

struct hashes *
hashes_new(const struct metainfo *m, const struct hasher_source *source,
	   struct error *e)
{
	struct hashes *h = calloc(1, sizeof(*h));

	if (!h) {
		error_memory(e);
		return NULL;
	}
	h->m = m;
	h->source = *source;
	h->level = merkle_level(m->piece_length);
	mutex_init(&h->lock);
	return h;
}

void
hashes_free(struct hashes *h)
{
	if (!h)
		return;
	for (uint32_t i = 0; h->upper && i < h->m->file_count; i++)
		free(h->upper[i]);
	free(h->upper);
	free(h->order);
	mutex_release(&h->lock);
	free(h);
}

/* ---- which file ---- */

static int
compare_files(const void *a, const void *b, void *ctx)
{
	const struct metainfo *m = ctx;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = memcmp(m->trees[x].root, m->trees[y].root, SHA256_SIZE);

	return order ? order : (x > y) - (x < y);
}

/* Made when it is first needed: most torrents are never asked. */
static bool
sort_files_locked(struct hashes *h) REQUIRES(h->lock)
{
	struct metainfo m = *h->m;	/* qsort_r knows no const */

	if (h->order)
		return true;
	h->order = malloc(((size_t)m.file_count + 1) * sizeof(*h->order));
	if (!h->order)
		return false;
	for (uint32_t i = 0; i < m.file_count; i++)
		if (m.trees[i].root)
			h->order[h->count++] = i;
	if (h->count > 0)
		qsort_r(h->order, h->count, sizeof(*h->order), compare_files,
			&m);
	return true;
}

/* The place of the first file with this root, or behind it. */
static size_t
place_locked(const struct hashes *h, const uint8_t *root) REQUIRES(h->lock)
{
	size_t low = 0, high = h->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct metainfo_tree *t =
			&h->m->trees[h->order[middle]];

		if (memcmp(t->root, root, SHA256_SIZE) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The i-th file with this root; false when there are not so many. */
static bool
find_file(struct hashes *h, const uint8_t *root, size_t i, uint32_t *file)
{
	bool found = false;
	size_t at;

	mutex_lock(&h->lock);
	if (sort_files_locked(h)) {
		at = place_locked(h, root) + i;
		found = at < h->count &&
			memcmp(h->m->trees[h->order[at]].root, root,
			       SHA256_SIZE) == 0;
		if (found)
			*file = h->order[at];
	}
	mutex_unlock(&h->lock);
	return found;
}

/* ---- what a request means ---- */

/* A file's tree: how many blocks, and how many levels above them. */
struct tree {
	uint32_t file;
	uint64_t blocks;
	unsigned height;
	bool known;		/* the piece layer is, if there is one */
};

static struct tree
tree_of(const struct hashes *h, uint32_t file)
{
	const struct metainfo_file *f = &h->m->files[file];
	struct tree t = {.file = file};

	t.blocks = (f->length + MERKLE_BLOCK - 1) / MERKLE_BLOCK;
	while (((uint64_t)1 << t.height) < t.blocks)
		t.height++;
	t.known = f->length <= h->m->piece_length ||
		  h->m->trees[file].layer != NULL;
	return t;
}

static unsigned
log2_of(uint32_t n)
{
	unsigned log = 0;

	while (n >>= 1)
		log++;
	return log;
}

/* Is it of these layers, and within the tree? */
static bool
is_sound(const struct hashes *h, const struct tree *t,
	 const struct wire_hashes *r)
{
	uint64_t have;

	if (r->count == 0 || r->count > WIRE_HASHES_MAX ||
	    (r->count & (r->count - 1)) != 0 || r->index % r->count != 0 ||
	    !t->known)
		return false;
	if (r->base != 0 && (r->base != h->level || t->height <= h->level))
		return false;
	have = (t->blocks + ((uint64_t)1 << r->base) - 1) >> r->base;
	return r->index < have &&
	       r->count <= (uint64_t)1 << (t->height - r->base) &&
	       (r->proofs < t->height - r->base ||
		(r->proofs == 0 && wire_proofs(r) == 0));
}

/*
 * Blocks' hashes are computed for whole pieces, as the proof begins within
 * them: the smallest part of the tree that has both.
 */
struct part {
	uint32_t first;		/* block */
	uint32_t span;		/* a power of two */
	uint32_t blocks;	/* that there are of these */
};

static bool
part_of(const struct hashes *h, const struct tree *t,
	const struct wire_hashes *r, struct part *part)
{
	unsigned level = t->height < h->level ? t->height : h->level;

	part->span = (uint32_t)1 << level;
	if (part->span < r->count)
		part->span = r->count;
	part->first = r->index & ~(part->span - 1);
	part->blocks = t->blocks - part->first < part->span
			       ? (uint32_t)(t->blocks - part->first)
			       : part->span;
	return part->blocks <= HASHES_BLOCKS_MAX;
}

static bool
has_part(const struct hashes *h, const struct tree *t,
	 const struct part *part, const struct havelog *have)
{
	uint64_t first = h->m->files[t->file].offset / h->m->piece_length;
	uint32_t last = part->first + part->blocks - 1;

	for (uint32_t i = part->first >> h->level; i <= last >> h->level; i++)
		if (!havelog_has(have, (uint32_t)first + i))
			return false;
	return true;
}

bool
hashes_plan(struct hashes *h, const struct wire_hashes *r,
	    const struct havelog *have, struct hashes_plan *plan)
{
	struct part part;
	uint32_t file;

	/* The same data may be several files, of which we have one. */
	for (size_t i = 0; i < HASHES_TWINS_MAX &&
	     find_file(h, r->root, i, &file); i++) {
		struct tree t = tree_of(h, file);

		if (!is_sound(h, &t, r))
			return false;
		plan->file = file;
		plan->blocks = 0;
		plan->cost = HASHES_PROOF_COST;
		if (r->base != 0 || (h->level == 0 && t.height > 0))
			return true;
		if (!part_of(h, &t, r, &part))
			return false;
		plan->blocks = plan->cost = part.blocks;
		if (has_part(h, &t, &part, have))
			return true;
	}
	return false;
}

/* ---- the budget ---- */

int64_t
hashes_reserve(struct hashes *h, uint32_t cost, bool reads, int64_t now)
{
	int64_t *until = &h->paid_until[reads], from;

	mutex_lock(&h->lock);
	if (*until < now - HASHES_BURST_NS)
		*until = now - HASHES_BURST_NS;
	from = *until;
	*until += cost * BLOCK_NS;
	mutex_unlock(&h->lock);
	return from;
}

void
hashes_return(struct hashes *h, uint32_t cost, bool reads)
{
	mutex_lock(&h->lock);
	h->paid_until[reads] -= cost * BLOCK_NS;
	mutex_unlock(&h->lock);
}

/* ---- the answer ---- */

/* The hashes of one level, as far as they cover data. */
struct layer {
	const uint8_t *hashes;
	uint64_t count;
	unsigned level;
};

/* A hash of a level above, or of the same. */
static void
node(struct hash *hash, const struct layer *l, unsigned level,
     uint64_t index, uint8_t *out)
{
	uint64_t first = index << (level - l->level);
	uint64_t n = (uint64_t)1 << (level - l->level);
	struct merkle tree;

	if (first >= l->count) {
		merkle_pad(hash, out, level);
		return;
	}
	if (n > l->count - first)
		n = l->count - first;
	merkle_begin(&tree, hash, l->level);
	for (uint64_t i = first; i < first + n; i++)
		merkle_add_hash(&tree, l->hashes + i * SHA256_SIZE);
	merkle_end(&tree, out, level);
}

/* Made without the lock: should two make it, one is thrown away. */
static const uint8_t *
upper_of(struct hashes *h, struct hash *hash, uint32_t file,
	 const struct layer *pieces)
{
	uint64_t count = (pieces->count >> UPPER_LEVELS) + 1;
	uint8_t *made, *kept = NULL;
	bool room;

	mutex_lock(&h->lock);
	if (!h->upper)
		/* NOLINTNEXTLINE(bugprone-sizeof-expression): pointers */
		h->upper = calloc((size_t)h->m->file_count + 1,
				  sizeof(*h->upper));
	room = h->upper != NULL;
	if (room)
		kept = h->upper[file];
	mutex_unlock(&h->lock);
	if (kept || !room)
		return kept;
	made = malloc((size_t)count * SHA256_SIZE);
	if (!made)
		return NULL;
	for (uint64_t i = 0; i < count; i++)
		node(hash, pieces, pieces->level + UPPER_LEVELS, i,
		     made + i * SHA256_SIZE);
	mutex_lock(&h->lock);
	kept = h->upper[file];
	if (!kept) {
		h->upper[file] = kept = made;
		made = NULL;
	}
	mutex_unlock(&h->lock);
	free(made);
	return kept;
}

/* A hash of the piece layer or above it. */
static bool
piece_node(struct hashes *h, struct hash *hash, uint32_t file,
	   unsigned level, uint64_t index, uint8_t *out)
{
	const struct metainfo_tree *t = &h->m->trees[file];
	struct layer l = {t->layer, t->layer_count, h->level};

	if (l.count > (uint64_t)1 << UPPER_LEVELS &&
	    level >= h->level + UPPER_LEVELS) {
		l.hashes = upper_of(h, hash, file, &l);
		if (!l.hashes)
			return false;
		l.count = (l.count >> UPPER_LEVELS) + 1;
		l.level += UPPER_LEVELS;
	}
	node(hash, &l, level, index, out);
	return true;
}

/* The hashes of a part's blocks, read back. */
static uint8_t *
read_part(struct hashes *h, uint32_t file, const struct part *part)
{
	const struct metainfo_file *f = &h->m->files[file];
	uint8_t *leaves = malloc((size_t)part->blocks * SHA256_SIZE);
	uint8_t data[MERKLE_BLOCK];

	for (uint32_t i = 0; leaves && i < part->blocks; i++) {
		uint64_t at = (uint64_t)(part->first + i) * MERKLE_BLOCK;
		uint64_t n = f->length - at;
		uint64_t stream = f->offset + at;

		if (n > MERKLE_BLOCK)
			n = MERKLE_BLOCK;
		if (h->source.read(h->source.ctx,
				   (uint32_t)(stream / h->m->piece_length),
				   (uint32_t)(stream % h->m->piece_length),
				   data, (size_t)n, NULL) < 0) {
			free(leaves);
			return NULL;
		}
		hash_sha256(leaves + (size_t)i * SHA256_SIZE, data,
			    (size_t)n);
	}
	return leaves;
}

/* From the blocks' layer: up to the part's top out of what was read, and
 * out of the piece layer above. */
static size_t
answer_blocks(struct hashes *h, struct hash *hash,
	      const struct wire_hashes *r, uint32_t file, uint8_t *out)
{
	struct tree t = tree_of(h, file);
	struct layer leaves = {0};
	unsigned top;
	struct part part;
	uint8_t *read;
	size_t n = 0;

	if (!part_of(h, &t, r, &part))
		return 0;
	read = read_part(h, file, &part);
	if (!read)
		return 0;
	leaves.hashes = read;
	leaves.count = part.blocks;
	top = log2_of(part.span);
	for (; n < r->count; n++)
		node(hash, &leaves, 0, r->index - part.first + n,
		     out + n * SHA256_SIZE);
	for (unsigned k = log2_of(r->count); k <= r->proofs &&
	     n < r->count + wire_proofs(r); k++, n++) {
		uint64_t index = (r->index >> k) ^ 1;

		if (k < top)
			node(hash, &leaves, k, index - (part.first >> k),
			     out + n * SHA256_SIZE);
		else if (!piece_node(h, hash, file, k, index,
				     out + n * SHA256_SIZE))
			break;
	}
	free(read);
	return n == r->count + wire_proofs(r) ? n : 0;
}

static size_t
answer_pieces(struct hashes *h, struct hash *hash,
	      const struct wire_hashes *r, uint32_t file, uint8_t *out)
{
	size_t n = 0, all = r->count + wire_proofs(r);
	unsigned k = log2_of(r->count);

	for (; n < all; n++) {
		uint64_t index = r->index + n;
		unsigned level = h->level;

		if (n >= r->count) {
			index = (r->index >> k) ^ 1;
			level += k++;
		}
		if (!piece_node(h, hash, file, level, index,
				out + n * SHA256_SIZE))
			return 0;
	}
	return n;
}

size_t
hashes_answer(struct hashes *h, const struct wire_hashes *r,
	      const struct hashes_plan *plan, uint8_t *out)
{
	struct hash *hash = hash_new(HASH_SHA256);
	size_t n = 0;

	if (!hash)
		return 0;
	if (plan->blocks > 0)
		n = answer_blocks(h, hash, r, plan->file, out);
	else
		n = answer_pieces(h, hash, r, plan->file, out);
	hash_free(hash);
	return n;
}
