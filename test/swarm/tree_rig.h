/*
 * tree_rig: v2 torrents in memory, with what a hash tree is by its
 * definition: every level in full.
 */
#ifndef BTGET_TEST_TREE_RIG_H
#define BTGET_TEST_TREE_RIG_H

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "meta/merkle.h"
#include "meta/metainfo.h"
#include "swarm/hasher.h"
#include "swarm/havelog.h"
#include "swarm/wire.h"

#define TREE_FILES 4
#define TREE_FILES_MAX 20	/* if it must be more */
#define TREE_LEVELS 24

struct tree_file {
	uint64_t blocks;
	unsigned height;
	uint8_t *levels[TREE_LEVELS];	/* 2^(height - i) hashes each */
};

struct tree_rig {
	struct metainfo m;
	struct metainfo_file files[TREE_FILES_MAX];
	struct metainfo_tree trees[TREE_FILES_MAX];
	struct tree_file of[TREE_FILES_MAX];
	uint8_t *data;			/* the stream */
	struct havelog *have;
	struct hasher_source source;
	size_t read;			/* bytes */
};

static inline int
tree_read(void *ctx, uint32_t piece, uint32_t offset, void *buf, size_t n,
	  struct error *e)
{
	struct tree_rig *r = ctx;

	(void)e;
	memcpy(buf, r->data + (uint64_t)piece * r->m.piece_length + offset,
	       n);
	r->read += n;
	return 0;
}

static inline void
tree_build(struct tree_rig *r, uint32_t file)
{
	struct tree_file *t = &r->of[file];
	const struct metainfo_file *f = &r->files[file];

	t->blocks = (f->length + MERKLE_BLOCK - 1) / MERKLE_BLOCK;
	t->height = 0;
	while (((uint64_t)1 << t->height) < t->blocks)
		t->height++;
	for (unsigned i = 0; i <= t->height; i++) {
		uint64_t n = (uint64_t)1 << (t->height - i);

		t->levels[i] = calloc((size_t)n, SHA256_SIZE);
		for (uint64_t k = 0; k < n; k++) {
			uint8_t *out = t->levels[i] + k * SHA256_SIZE;
			uint64_t at = k * MERKLE_BLOCK;

			if (i > 0)
				hash_sha256(out, t->levels[i - 1] +
						2 * k * SHA256_SIZE,
					    2 * SHA256_SIZE);
			else if (k < t->blocks)
				hash_sha256(out, r->data + f->offset + at,
					    f->length - at < MERKLE_BLOCK
						    ? (size_t)(f->length - at)
						    : MERKLE_BLOCK);
		}
	}
	r->trees[file].root = t->levels[t->height];
	if (f->length <= r->m.piece_length)
		return;
	r->trees[file].layer = t->levels[merkle_level(r->m.piece_length)];
	r->trees[file].layer_count = (uint32_t)(
		(f->length - 1) / r->m.piece_length + 1);
}

/* Files of these lengths; bytes are made up, and equal for equal lengths. */
static inline void
tree_open(struct tree_rig *r, uint32_t piece_length, const uint64_t *lengths,
	  uint32_t files)
{
	struct bitfield all;
	uint64_t end = 0;

	memset(r, 0, sizeof(*r));
	r->source = (struct hasher_source){tree_read, r};
	r->m = (struct metainfo){
		.has_v2 = true, .multi = true, .piece_length = piece_length,
		.files = r->files, .trees = r->trees, .file_count = files};
	for (uint32_t i = 0; i < files; i++) {
		r->files[i].offset = end;
		r->files[i].length = lengths[i];
		end += (lengths[i] + piece_length - 1) / piece_length *
		       piece_length;
		r->m.content_length += lengths[i];
	}
	r->m.length = end;
	r->m.piece_count = (uint32_t)(end / piece_length);
	r->data = calloc(1, (size_t)end);
	for (uint32_t i = 0; i < files; i++) {
		for (uint64_t k = 0; k < lengths[i]; k++)
			r->data[r->files[i].offset + k] =
				(uint8_t)((k + lengths[i]) *
					  0x9e3779b97f4a7c15ull >> 56);
		tree_build(r, i);
	}
	r->have = havelog_new(r->m.piece_count, NULL);
	bitfield_init(&all, r->m.piece_count);
	bitfield_fill(&all);
	havelog_begin(r->have, &all);
	bitfield_release(&all);
}

static inline void
tree_close(struct tree_rig *r)
{
	for (uint32_t i = 0; i < r->m.file_count; i++)
		for (unsigned k = 0; k < TREE_LEVELS; k++)
			free(r->of[i].levels[k]);
	havelog_free(r->have);
	free(r->data);
}

static inline struct wire_hashes
tree_ask(const struct tree_rig *r, uint32_t file, uint32_t base,
	 uint32_t index, uint32_t count, uint32_t proofs)
{
	struct wire_hashes h = {.base = base, .index = index, .count = count,
				.proofs = proofs};

	memcpy(h.root, r->trees[file].root, sizeof(h.root));
	return h;
}

#endif
