/*
 * hashes: answers requests for the hashes of v2 trees, out of the piece
 * layers and, for the blocks' own hashes, by reading data back.
 *
 * Given are the layer of the pieces and that of the blocks, and what proves
 * them; of blocks only those of verified pieces, and so many at a time that
 * an answer costs HASHES_BLOCKS_MAX blocks at most.  The upper part of large
 * trees is computed once and kept.
 *
 * All answers of a torrent are paid for from one budget, by reservation: each
 * who asks is told the moment from which it may be answered, and who comes
 * later, later.
 *
 * Ownership: the metainfo is borrowed.
 * Threads:   every function may be called from any thread.
 * Units:     times in nanoseconds of clock_ns, costs in blocks.
 * Source:    BEP 52.
 */
#ifndef BTGET_SWARM_HASHES_H
#define BTGET_SWARM_HASHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "swarm/hasher.h"
#include "swarm/wire.h"

struct hashes;
struct havelog;
struct metainfo;

#define HASHES_BLOCKS_MAX 1024
#define HASHES_TWINS_MAX 16	/* files of one root that are looked at */
#define HASHES_ANSWER_MAX (WIRE_HASHES_MAX + WIRE_PROOFS_MAX)

/*
 * The budget: so many blocks a second, and what two seconds bring at once.
 * An answer out of the piece layers reads nothing, but its proof takes some
 * hundred short hashes, which is less than what two blocks take; at that cost
 * whoever fetches the layers of a large torrent, 512 hashes an answer, gets 4
 * MiB/s of them.
 */
#define HASHES_BLOCKS_PER_S 512		/* 8 MiB */
#define HASHES_BURST_NS (2 * CLOCK_S)
#define HASHES_PROOF_COST 2

/* What answering takes. */
struct hashes_plan {
	uint32_t file;
	uint32_t blocks;	/* to be read and hashed */
	uint32_t cost;		/* these, or HASHES_PROOF_COST */
};

struct hashes *hashes_new(const struct metainfo *m,
			  const struct hasher_source *source,
			  struct error *e);
void hashes_free(struct hashes *h);

/* False: such hashes there are not, or are not to be had here. */
bool hashes_plan(struct hashes *h, const struct wire_hashes *r,
		 const struct havelog *have, struct hashes_plan *plan);

/* From when on that may be done: now, later, or some time ago.  What takes
 * reads has a budget of its own, so that who wants the piece layers does not
 * wait behind who has us read whole pieces. */
int64_t hashes_reserve(struct hashes *h, uint32_t cost, bool reads,
		       int64_t now);
/* It will not be.  Moments that others were told stay as they are. */
void hashes_return(struct hashes *h, uint32_t cost, bool reads);

/* Writes the hashes; how many, at most HASHES_ANSWER_MAX, or 0 when data
 * cannot be read or memory is short. */
size_t hashes_answer(struct hashes *h, const struct wire_hashes *r,
		     const struct hashes_plan *plan, uint8_t *out);

#endif
