/*
 * picker_impl: what the picker's files share.  Nobody else includes it.
 *
 *   picker.c         life, peers, what they have
 *   picker_order.c   open pieces by priority and availability
 *   picker_active.c  begun pieces, block states
 *   picker_request.c open requests, a block's way
 *   picker_choose.c  which blocks a peer is given
 *   picker_endgame.c the last ones, that others owe
 *   picker_sole.c    pieces that are one peer's work
 *   picker_run.c     the same for those that want long runs
 *   picker_state.c   what we have and want, for everybody else
 *   picker_check.c   the rules that hold between calls
 *
 * Every function here is called with the picker's lock held.
 */
#ifndef BTGET_SWARM_PICKER_IMPL_H
#define BTGET_SWARM_PICKER_IMPL_H

#include "base/sync.h"
#include "swarm/picker.h"

#define NONE UINT32_MAX
#define UNKNOWN_RATE 32768	/* of who has given nothing yet */
#define SOLE_S 10		/* who needs longer loses an exclusive piece */
/* Requests for one block at a time; all of them may be losers. */
#define ASKERS_MAX PICKER_LOSERS_MAX

enum piece_state { PIECE_OPEN, PIECE_ACTIVE, PIECE_GOOD };

struct piece {
	uint32_t next;		/* in its bucket; if active: its index */
	uint32_t prev;
	uint16_t copies;	/* peers with a bitfield that have it */
	uint8_t priority;
	uint8_t state;
};

struct bucket {
	uint32_t head;
	uint32_t tail;
};

enum slot_state { SLOT_LACKING, SLOT_WRITING, SLOT_DONE, SLOT_PADDING };

/* A block of an active piece. */
struct slot {
	uint64_t source;	/* done: who sent it; writing: peer's index */
	uint16_t asker[ASKERS_MAX];	/* peers' indexes */
	uint8_t askers;
	uint8_t state;
};

/* A block is free when it is lacking and nobody was asked for it. */
struct active {
	uint32_t piece;
	uint32_t blocks;
	uint32_t index;		/* in picker.active */
	uint32_t ready;		/* in picker.ready, or NONE */
	uint32_t free;		/* blocks */
	uint32_t done;
	uint32_t padding;	/* blocks that are there without coming */
	uint32_t writing;
	uint32_t asks;		/* open requests */
	bool exclusive;		/* the owner alone is asked for blocks, and
				 * may give them */
	uint32_t failures;	/* of its hash */
	bool leaving;		/* and gives no more: for others, once what
				 * is being written is there */
	bool orphan;		/* counted in picker.orphans */
	struct picker_peer *owner;
	struct active *own_next;	/* the owner's, ready ones first */
	struct active *own_prev;
	uint64_t *free_bits;
	struct slot slots[];
};

struct request {
	uint32_t piece;
	uint32_t block : 31;
	uint32_t cancelled : 1;
	int64_t when;
};

struct picker_peer {
	uint32_t id;
	uint64_t source;
	uint16_t index;		/* in picker.by_index */
	bool seed;		/* has all; `have` is empty */
	bool gave;		/* a block, once */
	int64_t asked_at;	/* first, since it owed nothing; or 0 */
	struct bitfield have;	/* bits is NULL until it has something */
	uint32_t partial;	/* in picker.partial, or NONE */
	uint32_t count;		/* pieces it has */
	uint32_t useful;	/* of them wanted and missing; not for seeds */
	struct request *requests;	/* oldest first */
	uint32_t first, requested, size;
	uint32_t live;		/* requests that are not cancelled */
	uint32_t busy;		/* in picker.busy, or NONE */
	uint32_t writing;	/* blocks accepted and not delivered */
	uint32_t late;		/* blocks given back that may still come */
	uint64_t rate_bps;
	uint32_t suggested[PICKER_SUGGESTED];	/* oldest first */
	uint32_t suggestions;
	uint32_t run_piece;	/* where its run of blocks goes on */
	uint32_t run_block;
	bool runs;		/* asks for long runs */
	struct active *own_head;
	struct active *own_tail;
};

/* Kept together, so that a new good piece is quickly told to all. */
struct partial {
	const uint8_t *bits;
	struct picker_peer *peer;
};

struct picker {
	/* constant */
	uint32_t n;
	uint32_t piece_length;
	uint32_t piece_blocks;
	uint64_t length;
	struct picker_short *shorts;	/* NULL: the last alone is shorter */
	size_t short_count;
	struct picker_padding *padding;	/* or NULL */
	size_t padding_count;
	bool sequential;

	struct mutex lock;	/* guards all below */
	uint64_t random;
	uint64_t steps;
	struct piece *pieces;
	struct bitfield good;
	struct bitfield askable;	/* wanted, with a free block */
	uint32_t level[PICKER_PRIORITY_MAX + 1];	/* askable pieces */
	uint32_t cursor[PICKER_PRIORITY_MAX + 1];	/* none before it */
	uint32_t askables;

	struct bucket *buckets;
	uint64_t *bucket_bits;	/* the buckets that are not empty */
	uint32_t stride;	/* buckets of a priority */

	struct active **active;
	struct active **ready;	/* wanted ones with a free block */
	uint32_t actives, readies, active_size;
	uint32_t orphans;	/* ready ones without an owner */
	uint32_t run_actives;	/* owned by peers that ask for long runs */
	uint64_t active_cost;	/* see cost_of */
	struct active *spare;	/* to be used again, by own_next */
	uint32_t spares;

	struct picker_peer **by_index;
	uint16_t *free_index;	/* a stack */
	struct partial *partial;
	struct picker_peer **busy;	/* have live requests */
	uint32_t partials, busies, peer_size;
	uint32_t free_indexes;
	uint64_t rate_sum;

	uint32_t goods;
	uint32_t missing;
	uint64_t good_bytes, got_bytes, wanted_bytes, wanted_left;
};

/* Has it ever brought anything? */
static inline bool
asker_has_shown(const struct picker_peer *pp)
{
	return pp->gave || pp->rate_bps > 0;
}

/* picker.c */
uint32_t picker_random(struct picker *p, uint32_t bound) REQUIRES(p->lock);
bool asker_has(const struct picker_peer *pp, uint32_t piece);
bool asker_interesting(const struct picker *p, const struct picker_peer *pp)
    REQUIRES(p->lock);
void askers_useful(struct picker *p, uint32_t piece, bool useful)
    REQUIRES(p->lock);

/* picker_order.c */
int order_stride(struct picker *p, uint32_t copies) REQUIRES(p->lock);
void order_add(struct picker *p, uint32_t piece) REQUIRES(p->lock);
void order_append(struct picker *p, uint32_t piece) REQUIRES(p->lock);
void order_remove(struct picker *p, uint32_t piece) REQUIRES(p->lock);
/* What the peer suggests, if it is as rare and wanted as what was found;
 * else that. */
uint32_t order_suggested(const struct picker *p,
			 const struct picker_peer *pp, uint32_t found)
    REQUIRES(p->lock);
void order_copies(struct picker *p, uint32_t piece, int change)
    REQUIRES(p->lock);

/* The first bucket from `key` on that is not empty, or NONE. */
uint32_t order_next(const struct picker *p, uint32_t key) REQUIRES(p->lock);
unsigned order_priority(const struct picker *p, uint32_t key)
    REQUIRES(p->lock);
uint32_t order_key(const struct picker *p, uint32_t piece)
    REQUIRES(p->lock);
void askable_update(struct picker *p, uint32_t piece) REQUIRES(p->lock);

/* picker_active.c */
#define ACTIVE_COST_SOFT (1u << 18)
#define ACTIVE_COST_HARD (1u << 19)

struct active *active_of(const struct picker *p, uint32_t piece)
    REQUIRES(p->lock);

/* Every block is there. */
static inline bool
active_is_full(const struct active *a)
{
	return a->done + a->padding == a->blocks;
}

/* Begins an open piece; NULL when out of memory or over the bound. */
struct active *active_begin(struct picker *p, uint32_t piece)
    REQUIRES(p->lock);

/* Takes it out of all lists; the piece's state is up to the caller. */
void active_end(struct picker *p, struct active *a) REQUIRES(p->lock);

/* Puts it into the lists that its counts ask for. */
void active_update(struct picker *p, struct active *a) REQUIRES(p->lock);

/* Nothing of the piece is there any more. */
void active_reopen(struct picker *p, struct active *a) REQUIRES(p->lock);

/* Updates, and opens the piece again if nothing of it is left. */
void active_settle(struct picker *p, struct active *a) REQUIRES(p->lock);
void active_own(struct picker *p, struct active *a, struct picker_peer *pp)
    REQUIRES(p->lock);
void active_forget(struct picker *p, struct active *a) REQUIRES(p->lock);

/* A block is written; is lacking again.  The caller keeps the free bit in
 * the first case, and updates or settles in both. */
void active_done(struct picker *p, struct active *a, uint32_t block,
		 uint64_t source) REQUIRES(p->lock);
void active_undo(struct picker *p, struct active *a, uint32_t block)
    REQUIRES(p->lock);

/* The bit of a free block. */
bool active_is_free(const struct active *a, uint32_t block);
void active_take(struct active *a, uint32_t block);
void active_give(struct active *a, uint32_t block);
uint32_t block_bytes(const struct picker *p, uint32_t piece,
		      uint32_t block);
struct block block_at(const struct picker *p, uint32_t piece, uint32_t block);

/* picker_request.c */

/* Makes room for more requests of the peer; for how many there is room. */
size_t asker_room(struct picker_peer *pp, size_t more);
bool slot_has_asker(const struct slot *s, const struct picker_peer *pp);

/* The caller has made room. */
void slot_ask(struct picker *p, struct picker_peer *pp, struct active *a,
	      uint32_t block, int64_t now) REQUIRES(p->lock);

/* All requests for the piece, in which nothing is being written, are
 * cancelled. */
void active_cancel(struct picker *p, struct active *a) REQUIRES(p->lock);

/* The i-th asker's request is cancelled; when it was made. */
void slot_evict(struct picker *p, struct active *a, uint32_t block,
		unsigned i) REQUIRES(p->lock);
int64_t slot_asked_at(const struct picker *p, const struct active *a,
		      uint32_t block, unsigned i) REQUIRES(p->lock);

/* Gives back all but the `keep` oldest live requests (with 0 the cancelled
 * ones too), or what the peer is writing; how many blocks became free. */
size_t asker_give_back(struct picker *p, struct picker_peer *pp, size_t keep)
    REQUIRES(p->lock);
size_t asker_stop_writing(struct picker *p, struct picker_peer *pp)
    REQUIRES(p->lock);

/* What a call fills. */
struct take {
	struct picker_peer *pp;
	const struct picker_ask *ask;
	struct block *out;
	size_t max;
	size_t n;
};

/* picker_choose.c */

/* The first block from `from` on that is free, or is not; else blocks. */
uint32_t choose_edge(const struct active *a, uint32_t from, bool is_free);

/* picker_endgame.c: blocks that others were asked for, up to t->max. */
void endgame_take(struct picker *p, struct take *t) REQUIRES(p->lock);

/* picker_sole.c: an exclusive piece goes to a new owner once the old one has
 * nothing under way in it, and is shared with nobody. */
bool sole_may_take(const struct active *a, const struct picker_peer *pp);
/* The same, and pieces of an owner who is too slow: those are for sole_seize
 * first, which makes them this peer's, or everybody's. */
bool sole_may_join(const struct active *a, const struct picker_peer *pp);
void sole_seize(struct picker *p, struct active *a, struct picker_peer *pp)
    REQUIRES(p->lock);

/* A new piece for the peer; NULL for NONE, or when out of memory. */
struct active *choose_begin(struct picker *p, struct picker_peer *pp,
			    uint32_t piece) REQUIRES(p->lock);

/* One of its own pieces that has free blocks, or NULL. */
struct active *choose_own(struct picker *p, struct picker_peer *pp)
    REQUIRES(p->lock);
void choose_rate(struct picker *p, struct picker_peer *pp, uint64_t rate_bps)
    REQUIRES(p->lock);

/* Leaves the pieces it began to others; how many blocks that freed. */
size_t asker_disown(struct picker *p, struct picker_peer *pp)
    REQUIRES(p->lock);

/* The whole piece is there: requests become cancels, states are dropped. */
void active_drop(struct picker *p, struct active *a) REQUIRES(p->lock);

#endif
