/*
 * layers: fetches the piece layers of a v2 torrent from peers, when all that
 * came of it is its info dictionary (magnet links).
 *
 * Each layer comes in parts of up to LAYERS_PART hashes, side by side from
 * all peers that know v2.  A part comes with what leads from it to the file's
 * root, which the info dictionary has: so each is judged when it comes, and
 * who gave a wrong one has lied.  Who gives parts without that (anacrolix) is
 * asked for all that a layer lacks, alone, and judged by the whole.
 *
 * Memory: 32 bytes a piece, LAYERS_SIZE_MAX in all, taken as parts come.
 *
 * Ownership: the metainfo is borrowed; what layers_apply puts into it leads
 *            into the layers.
 * Threads:   every function may be called from any thread, layers_apply and
 *            layers_put once all is there.
 * Units:     times are clock_ns; a source is a peer's address, as for blame.
 * Source:    BEP 52.
 */
#ifndef BTGET_SWARM_LAYERS_H
#define BTGET_SWARM_LAYERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "swarm/wire.h"

#define LAYERS_PART 512
#define LAYERS_SIZE_MAX (256u << 20)
#define LAYERS_REST (10 * CLOCK_S)	/* it has none, for now */

struct layers;
struct metainfo;

/* Of a torrent whose layers are not known.  ERROR_TORRENT: it cannot be. */
struct layers *layers_new(const struct metainfo *m, struct error *e);
void layers_free(struct layers *l);

/*
 * One whom we ask.  Some refuse a request that counts no layers of proof, even
 * if none is to be sent (BiglyBT), and others any that does (anacrolix).  Each
 * is asked with proof first, and once it has refused that, without.
 */
struct layers_source {
	uint64_t address;	/* a source */
	bool bare;		/* it is asked without */
	bool proof;		/* and was asked with, since it refused that */
};

/* The next part to ask this peer for; false when there is none now: then
 * *retry is when to look again. */
bool layers_next(struct layers *l, struct layers_source *from, int64_t now,
		 struct wire_hashes *out, int64_t *retry);

enum layers_result {
	LAYERS_MORE,
	LAYERS_DONE,		/* that was the last part */
	LAYERS_UNASKED,		/* not what we ask anybody for: dropped */
	LAYERS_LIE,
};

/* n hashes have come: right ones are taken, whoever was asked since. */
enum layers_result layers_take(struct layers *l, uint64_t source,
			       const struct wire_hashes *what,
			       const uint8_t *hashes, size_t n);

/* The peer refuses this: it is asked in the other way at once (*retry becomes
 * 0), or, if that is the second one, in the first after LAYERS_REST. */
void layers_refuse(struct layers *l, struct layers_source *from,
		   const struct wire_hashes *what, int64_t now,
		   int64_t *retry);

/* It is gone, and what it gave without proof forgotten. */
void layers_leave(struct layers *l, uint64_t source);

/* All that this one, of the same torrent, has of them. */
void layers_fill(struct layers *l, const struct metainfo *m);

/* Parts: of those that came, some may have to be forgotten. */
void layers_progress(struct layers *l, uint64_t *done, uint64_t *all);
bool layers_done(struct layers *l);

void layers_apply(const struct layers *l, struct metainfo *m);
/* The dictionary `piece layers` of a .torrent. */
void layers_put(const struct layers *l, struct buffer *out);

#endif
