/*
 * picker: decides which block a peer asks for next, rarest piece first.
 *
 * A piece is open (not begun), active (some of its blocks are asked for or
 * there) or good (verified).  Open pieces hang in lists by priority and
 * availability, so that a HAVE costs the same whatever the torrent's size.
 * Block states exist for active pieces only.  A piece that was begun is
 * finished first, preferably by the peer that began it; who finds nothing
 * left takes over runs of blocks of other peers' pieces, and in the endgame
 * asks for outstanding blocks again where that promises to be quicker.
 *
 * A block's way: picker_reserve, then one of
 *   - picker_accept when its payload came; on true the caller writes it and
 *     then says picker_deliver, or picker_return if the write failed;
 *   - picker_return, picker_return_all or picker_return_but;
 *   - picker_take_cancels: somebody else was quicker.
 *
 * Ownership: the torrent owns the picker; bitfields are borrowed for the
 *            call.  A picker_peer belongs to the picker, from join to leave.
 * Threads:   every function may be called from any thread, but calls with
 *            the same picker_peer come from one thread at a time, but for
 *            picker_deliver and picker_return of a block that was accepted.
 * Units:     piece is an index, offset and length are bytes, rates are bytes
 *            a second, times are monotonic nanoseconds.
 * Source:    BEP 3, 6; "Incentives Build Robustness in BitTorrent", 2.4.
 */
#ifndef BTGET_SWARM_PICKER_H
#define BTGET_SWARM_PICKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bitfield.h"
#include "base/error.h"

#define PICKER_BLOCK 16384
#define PICKER_PRIORITY_MAX 7
#define PICKER_PRIORITY_NORMAL 4
#define PICKER_PEERS_MAX 65000	/* joined at the same time */
#define PICKER_SUGGESTED 4
#define PICKER_LOSERS_MAX 3	/* others that may have asked for a block */

struct picker;
struct picker_peer;

struct block {
	uint32_t piece;
	uint32_t offset;	/* a multiple of PICKER_BLOCK */
	uint32_t length;	/* PICKER_BLOCK, less at the end of a piece */
};

/* A piece that is shorter than others although it is not the last one. */
struct picker_short {
	uint32_t piece;
	uint32_t length;
};

/* Blocks that hold padding alone (BEP 47): zeros that nobody need send. */
struct picker_padding {
	uint32_t piece;
	uint32_t first;		/* block */
	uint32_t count;
};

struct picker_geometry {
	uint32_t piece_count;
	uint32_t piece_length;
	uint64_t length;	/* of all pieces together */
	bool sequential;
	uint64_t seed;		/* for every random choice */
	/* Without any, the last piece has what is left; with some, it is among
	 * them or of full length.  Ascending; copied. */
	const struct picker_short *shorts;
	size_t short_count;
	/* Ascending; copied.  Pieces that are nothing else are not wanted. */
	const struct picker_padding *padding;
	size_t padding_count;
};

/* Every piece is wanted with PICKER_PRIORITY_NORMAL. */
struct picker *picker_new(const struct picker_geometry *g, struct error *e);

/* Every peer has left. */
void picker_free(struct picker *p);

/* How many bytes and blocks a piece has. */
uint32_t picker_piece_length(const struct picker *p, uint32_t piece);
uint32_t picker_piece_blocks(const struct picker *p, uint32_t piece);

/* ---- what we have and want ---- */

/* A piece is known to be good (verified at the start, or from a source that
 * the picker does not know).  Open requests for it become cancels. */
void picker_set_have(struct picker *p, uint32_t piece);

/* 0: not wanted, 7: first.  May be called at any time. */
void picker_set_priority(struct picker *p, uint32_t piece, unsigned priority);

/* Blocks of a piece that are on disk from an earlier run; indexes as of
 * PICKER_BLOCK.  Ignored when the piece is good or begun, when the size is
 * wrong, and when every block is there (verify such a piece instead).  -1
 * when out of memory; nothing is changed then. */
int picker_restore_partial(struct picker *p, uint32_t piece,
			   const struct bitfield *blocks);

/* Every piece with blocks that are written, for the state file.  Export,
 * then sync the data, then write the state: so it never claims too much. */
struct picker_partial {
	uint32_t piece;
	struct bitfield blocks;
};

int picker_export_partials(struct picker *p, struct picker_partial **out,
			   size_t *n, struct error *e);
void picker_free_partials(struct picker_partial *partials, size_t n);

uint32_t picker_have_count(struct picker *p);
uint32_t picker_missing(struct picker *p);	/* wanted and not yet good */

struct picker_totals {
	uint64_t good_bytes;	/* verified */
	uint64_t got_bytes;	/* verified, or written and not yet verified */
	uint64_t wanted_bytes;	/* of all wanted pieces, good ones too */
	uint64_t wanted_left;	/* of wanted pieces, not yet written */
	uint32_t missing;	/* pieces: wanted and not yet good */
	uint32_t active;	/* pieces */
};

void picker_totals(struct picker *p, struct picker_totals *out);

/* ---- peers ---- */

/* id names the connection and is handed back in `losers`; source is a key
 * of its address (not 0).  NULL: no memory, or PICKER_PEERS_MAX reached. */
struct picker_peer *picker_join(struct picker *p, uint32_t id,
				uint64_t source);

/* Returns all that it reserved; how many blocks became free. */
size_t picker_leave(struct picker *p, struct picker_peer *pp);

/* What it has.  Index out of range: ignored by all of them (the wire layer
 * has dropped such a peer).  0, or -1 when out of memory. */
int picker_peer_have(struct picker *p, struct picker_peer *pp,
		     uint32_t piece);
int picker_peer_bitfield(struct picker *p, struct picker_peer *pp,
			 const struct bitfield *b);
void picker_peer_have_all(struct picker *p, struct picker_peer *pp);
void picker_peer_have_none(struct picker *p, struct picker_peer *pp);
int picker_peer_donthave(struct picker *p, struct picker_peer *pp,
			 uint32_t piece);

/* It advises to take this piece from it next.  That is followed among pieces
 * that are as rare; the last PICKER_SUGGESTED count. */
void picker_peer_suggest(struct picker *p, struct picker_peer *pp,
			 uint32_t piece);

/* Without a lock: only for the thread that owns the peer. */
bool picker_peer_has(const struct picker *p, const struct picker_peer *pp,
		     uint32_t piece);
bool picker_peer_is_seed(const struct picker *p,
			 const struct picker_peer *pp);
uint32_t picker_peer_count(const struct picker *p,
			   const struct picker_peer *pp);

/* It has a wanted piece that we lack.  Constant time. */
bool picker_interesting(struct picker *p, struct picker_peer *pp);

/* It has a wanted block that nobody has been asked for.  A look at each piece
 * with such blocks, as far as it has none of them. */
bool picker_has_free(struct picker *p, struct picker_peer *pp);

/* How many requests of the peer are open (cancels not yet taken count). */
size_t picker_peer_asked(struct picker *p, struct picker_peer *pp);

/* ---- asking ---- */

struct picker_ask {
	size_t max;		/* blocks */
	int64_t now;
	uint64_t rate_bps;	/* what the peer gives us; 0: not known yet */
	bool endgame_ok;	/* outstanding blocks of others, too */
};

/* Reserves up to ask->max blocks that this peer can give; how many.  None
 * while cancels wait: take those first, so that a block that is lacking again
 * is not mistaken for its cancelled request.  With 0 although the peer is
 * interesting, ask again after a wake-up (blocks became free) or after a
 * second: by then another peer may have stalled. */
size_t picker_reserve(struct picker *p, struct picker_peer *pp,
		      const struct picker_ask *ask, struct block *out);

/* The same for whoever does best with long runs (web seeds): the blocks lie
 * one behind the other, out of the longest gap that nobody works on, of pieces
 * that no peer has if there are any; the next call goes on behind them.
 * Without such a gap, what picker_reserve gives: few blocks, in any order.
 * A max of 0 only tells the rate. */
size_t picker_reserve_run(struct picker *p, struct picker_peer *pp,
			  const struct picker_ask *ask, struct block *out);

/* The same out of one piece (allowed fast, suggested).  The peer must have
 * it. */
size_t picker_reserve_piece(struct picker *p, struct picker_peer *pp,
			    uint32_t piece, const struct picker_ask *ask,
			    struct block *out);

/* Its payload is there and not yet written.  True: the caller writes it, and
 * nobody else writes these bytes until picker_deliver or picker_return.
 * False: a duplicate, not wanted or not a valid block; drop it.  The request
 * is closed in both cases. */
bool picker_accept(struct picker *p, struct picker_peer *pp,
		   const struct block *b);

enum picker_result {
	PICKER_MORE,		/* the piece lacks blocks */
	PICKER_FREED,		/* and may now be had from others */
	PICKER_PIECE_FULL,	/* verify it: picker_piece_good or _bad */
};

/* An accepted block is written.  Exactly one caller gets PICKER_PIECE_FULL.
 * losers: ids of the *n other connections that had asked for the block; wake
 * them, they find it in picker_take_cancels. */
enum picker_result picker_deliver(struct picker *p, struct picker_peer *pp,
				  const struct block *b,
				  uint32_t losers[PICKER_LOSERS_MAX],
				  size_t *n);

/* Takes up to max blocks off the peer's requests that it need not send any
 * more; how many. */
size_t picker_take_cancels(struct picker *p, struct picker_peer *pp,
			   struct block *out, size_t max);

/* Gives back one block (rejected, timed out, write failed), all (choked by a
 * peer without Fast; cancels need no sending then), or all but the `keep`
 * oldest (snubbed; SIZE_MAX when choked by one with Fast, which still answers
 * each), and leaves the pieces it began to others.  How many blocks became
 * free, so that the caller wakes idle peers.  A block that comes late after
 * all may still be accepted. */
size_t picker_return(struct picker *p, struct picker_peer *pp,
		     const struct block *b);
size_t picker_return_all(struct picker *p, struct picker_peer *pp);
size_t picker_return_but(struct picker *p, struct picker_peer *pp,
			 size_t keep);

/* ---- settling a full piece ---- */

/* Who sent each block, by block index (padding: another block of the piece);
 * 0 for blocks of an earlier run.  The
 * number of blocks of the piece, of which at most max are set. */
size_t picker_contributors(struct picker *p, uint32_t piece, uint64_t *out,
			   size_t max);

void picker_piece_good(struct picker *p, uint32_t piece);

/* Every block is missing again; how many.  exclusive: only a single peer may
 * give the next try, so that a second failure proves who lies. */
size_t picker_piece_bad(struct picker *p, uint32_t piece, bool exclusive);

/* ---- for tests ---- */

/* NULL, or the first broken rule.  Walks over everything. */
const char *picker_check(struct picker *p);

bool picker_have(struct picker *p, uint32_t piece);	/* it is good */

/* Entries looked at so far by picker_reserve. */
uint64_t picker_steps(struct picker *p);

#endif
