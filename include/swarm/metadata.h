/*
 * metadata: puts a torrent's info dictionary together out of what peers
 * give, when all that is known of it is its hash.
 *
 * Peers may lie about its size and about its bytes.  So there is one try for
 * each size that is claimed, side by side; the blocks of a try come from all
 * peers that claim its size.  When a whole try does not match the hash and
 * several peers gave to it, each next try is one peer's alone, until one is
 * right or shown to lie.  A peer that alone gave wrong bytes has lied.
 *
 * Places for tries are few, and who claims a size may never complete it.  So
 * a source can begin one try at a time, and if another size waits, one that
 * nobody adds to makes room after a while, else the one that has come least
 * far, once it had its turn.
 *
 * Memory: METADATA_HELD_MAX bytes, taken as blocks come; when there is more,
 * the largest try is dropped.
 *
 * Threads: every function may be called from any thread.
 * Units:   index is a block of METADATA_BLOCK bytes; times are clock_ns.
 * Source:  BEP 9, 52.
 */
#ifndef BTGET_SWARM_METADATA_H
#define BTGET_SWARM_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"

#define METADATA_BLOCK 16384
#define METADATA_SIZE_MAX (64u << 20)
#define METADATA_HELD_MAX (96u << 20)
#define METADATA_TRIES_MAX 16

struct metadata;

/* The hash is of 20 bytes (SHA-1, v1) or 32 (SHA-256, v2). */
struct metadata *metadata_new(const uint8_t *info_hash, enum hash_kind kind,
			      struct error *e);
void metadata_free(struct metadata *m);

/* Could it be as large as this? */
bool metadata_size_allowed(uint32_t size);

/* The next block to ask this peer for, who claims this size (and begins a
 * try for it, if there is none); false when there is none now: then *retry
 * is when to look again. */
bool metadata_next(struct metadata *m, uint64_t source, uint32_t size,
		   int64_t now, uint32_t *index, int64_t *retry);

enum metadata_result {
	METADATA_MORE,
	METADATA_DONE,		/* whole and right: metadata_take */
	METADATA_UNASKED,	/* not what was asked for: dropped */
	METADATA_MISFIT,	/* a block of another size than it has */
	METADATA_LIE,		/* this peer alone gave wrong bytes */
};

enum metadata_result metadata_block(struct metadata *m, uint64_t source,
				    uint32_t size, uint32_t index,
				    const void *data, size_t n, int64_t now);

/* The peer will not give what it was asked for (rejected, or gone). */
void metadata_return(struct metadata *m, uint64_t source);

/* The dictionary, once; the caller frees it.  NULL before it is whole, and
 * while there is no memory for it. */
uint8_t *metadata_take(struct metadata *m, size_t *size);

/* It is known from elsewhere: nothing is asked for any more, or kept. */
void metadata_end(struct metadata *m);

/* How much of the best try is there. */
void metadata_progress(struct metadata *m, uint64_t *done, uint64_t *size);

/* ---- the messages of ut_metadata ---- */

enum metadata_kind {
	METADATA_REQUEST = 0,
	METADATA_DATA = 1,
	METADATA_REJECT = 2,
};

struct metadata_message {
	enum metadata_kind kind;
	uint32_t index;
	const uint8_t *data;	/* of DATA */
	size_t size;
};

/* Writes the dictionary; the data of METADATA_DATA goes behind it. */
void metadata_put_message(struct buffer *out, enum metadata_kind kind,
			  uint32_t index, uint32_t total_size);
int metadata_parse_message(struct metadata_message *m, const void *data,
			   size_t size, struct error *e);

#endif
