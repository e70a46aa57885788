/*
 * A table like the hasher's, in which a piece may stand in one of a few
 * neighbouring places.  No lock is held while anything is hashed.
 */
#include "swarm/verify_v2.h"

#include <stdlib.h>
#include <string.h>

#include "base/bitfield.h"
#include "base/hash.h"
#include "base/sync.h"
#include "meta/merkle.h"
#include "meta/metainfo.h"
#include "store/files.h"

#define SLOTS 256
#define WAYS 4
#define KEPT_MAX (8u << 20)	/* bytes of hashes, in all slots */

/* The hashes of a piece's blocks, and which of them are there. */
struct leaves {
	uint32_t piece;
	uint32_t blocks;
	struct bitfield known;
	uint8_t hashes[];	/* 32 bytes a block */
};

struct verify_v2 {
	const struct metainfo *m;
	struct hasher_source source;
	struct mutex lock;
	struct leaves *slots[SLOTS];	/* guarded by lock */
	size_t kept;			/* guarded by lock; bytes */
};

struct verify_v2 *
verify_v2_new(const struct metainfo *m, const struct hasher_source *source,
	      struct error *e)
{
	struct verify_v2 *v = calloc(1, sizeof(*v));

	if (!v) {
		error_memory(e);
		return NULL;
	}
	v->m = m;
	v->source = *source;
	mutex_init(&v->lock);
	return v;
}

static void
leaves_free(struct leaves *l)
{
	if (l)
		bitfield_release(&l->known);
	free(l);
}

void
verify_v2_free(struct verify_v2 *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		leaves_free(v->slots[i]);
	mutex_release(&v->lock);
	free(v);
}

static uint32_t
blocks_of(uint32_t size)
{
	return (size + MERKLE_BLOCK - 1) / MERKLE_BLOCK;
}

static struct leaves **
find_locked(struct verify_v2 *v, uint32_t piece) REQUIRES(v->lock)
{
	for (unsigned way = 0; way < WAYS; way++) {
		struct leaves **s = &v->slots[(piece * WAYS + way) % SLOTS];

		if (*s && (*s)->piece == piece)
			return s;
	}
	return NULL;
}

/* Room for the piece's hashes, or NULL. */
static struct leaves *
begin_locked(struct verify_v2 *v, uint32_t piece, uint32_t blocks)
    REQUIRES(v->lock)
{
	size_t size = (size_t)blocks * SHA256_SIZE;
	struct leaves **at = NULL, *l;

	for (unsigned way = 0; way < WAYS && !at; way++) {
		struct leaves **s = &v->slots[(piece * WAYS + way) % SLOTS];

		if (!*s)
			at = s;
	}
	if (!at || size > KEPT_MAX - v->kept)
		return NULL;
	l = malloc(sizeof(*l) + size);
	if (!l || bitfield_init(&l->known, blocks) < 0) {
		free(l);
		return NULL;
	}
	l->piece = piece;
	l->blocks = blocks;
	v->kept += size;
	*at = l;
	return l;
}

void
verify_v2_feed(struct verify_v2 *v, uint32_t piece, uint32_t offset,
	       const void *data, size_t n)
{
	uint32_t size = metainfo_piece(v->m, piece).size;
	uint32_t block = offset / MERKLE_BLOCK;
	uint8_t hash[SHA256_SIZE];
	struct leaves **at, *l;

	if (offset >= size)
		return;			/* padding of a hybrid */
	hash_sha256(hash, data, n < size - offset ? n : size - offset);
	mutex_lock(&v->lock);
	at = find_locked(v, piece);
	l = at ? *at : begin_locked(v, piece, blocks_of(size));
	if (l && block < l->blocks) {
		memcpy(l->hashes + (size_t)block * SHA256_SIZE, hash,
		       SHA256_SIZE);
		bitfield_set(&l->known, block);
	}
	mutex_unlock(&v->lock);
}

static struct leaves *
take(struct verify_v2 *v, uint32_t piece)
{
	struct leaves **at, *l = NULL;

	mutex_lock(&v->lock);
	at = find_locked(v, piece);
	if (at) {
		l = *at;
		v->kept -= (size_t)l->blocks * SHA256_SIZE;
		*at = NULL;
	}
	mutex_unlock(&v->lock);
	return l;
}

void
verify_v2_drop(struct verify_v2 *v, uint32_t piece)
{
	leaves_free(take(v, piece));
}

/* Reads a block back. */
static int
add_block(struct verify_v2 *v, struct merkle *t, uint32_t piece,
	  uint32_t offset, uint32_t size, struct error *e)
{
	_Alignas(FILES_ALIGN) uint8_t data[MERKLE_BLOCK];
	size_t n = size - offset < MERKLE_BLOCK ? size - offset
						: MERKLE_BLOCK;

	if (v->source.read(v->source.ctx, piece, offset, data, n, e) < 0)
		return -1;
	merkle_add_bytes(t, data, n);
	return 0;
}

static int
root_of(struct verify_v2 *v, uint32_t piece, const struct metainfo_piece *p,
	uint8_t root[SHA256_SIZE], struct error *e)
{
	struct leaves *l = take(v, piece);
	struct hash *h = hash_new(HASH_SHA256);
	struct merkle t;
	int status = h ? 0 : error_memory(e);

	if (h)
		merkle_begin(&t, h, 0);
	for (uint32_t i = 0; status == 0 && i < blocks_of(p->size); i++) {
		if (l && bitfield_get(&l->known, i))
			merkle_add_hash(&t, l->hashes +
					    (size_t)i * SHA256_SIZE);
		else
			status = add_block(v, &t, piece, i * MERKLE_BLOCK,
					   p->size, e);
	}
	if (status == 0)
		merkle_end(&t, root, p->level);
	hash_free(h);
	leaves_free(l);
	return status;
}

enum verify_v2_result
verify_v2_settle(struct verify_v2 *v, uint32_t piece, struct error *e)
{
	struct metainfo_piece p = metainfo_piece(v->m, piece);
	uint8_t root[SHA256_SIZE];

	if (!p.root) {
		verify_v2_drop(v, piece);
		return VERIFY_V2_UNKNOWN;
	}
	if (root_of(v, piece, &p, root, e) < 0)
		return VERIFY_V2_FAILED;
	return memcmp(root, p.root, SHA256_SIZE) == 0 ? VERIFY_V2_RIGHT
						      : VERIFY_V2_WRONG;
}
