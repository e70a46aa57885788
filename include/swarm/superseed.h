/*
 * superseed: which piece a seed points a peer to next, so that it sends
 * little more than one copy before the swarm has all of it.
 *
 * Two ways.  Showing (BEP 16): peers believe that we have nothing but what
 * was shown to them, two pieces at a time at first; a peer is shown another
 * one once somebody else has announced what it was given.  Hinting: peers
 * know that we have everything, and are advised which pieces to ask for; two
 * hints that the peer has not followed wait at a time.  In both, each peer is
 * pointed to pieces that nobody has and that nobody else is pointed to.
 *
 * Who has nobody to pass pieces on to is not waited for, and is shown the more
 * pieces at a time the more it has.  When no piece comes to anybody for a
 * while, those who wait go on, with twice as many pieces at a time, and the
 * next time sooner: a swarm whose peers pass nothing on, or only think each
 * ten seconds, is served all the same, and a piece that got stuck is shown to
 * another peer.  Showing is over for good as soon as a peer has all, or all
 * peers together.
 *
 * Pure but for its lock: no clock, randomness from the seed.  Pointing costs
 * at most a look at each piece.
 *
 * Ownership: the torrent owns it; a superseed_peer belongs to it, from join
 *            to leave.
 * Threads:   every function may be called from any thread, but calls with
 *            the same superseed_peer come from one thread at a time.
 * Units:     times are monotonic nanoseconds.
 * Source:    BEP 16; BEP 6 (suggest piece).
 */
#ifndef BTGET_SWARM_SUPERSEED_H
#define BTGET_SWARM_SUPERSEED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bitfield.h"
#include "base/clock.h"
#include "base/error.h"

#define SUPERSEED_OPEN 2		/* pieces of a peer at a time */
#define SUPERSEED_OPEN_MAX 32
#define SUPERSEED_PATIENCE_NS (5 * CLOCK_S)
#define SUPERSEED_NONE UINT32_MAX	/* no piece */

struct superseed;
struct superseed_peer;

struct superseed *superseed_new(uint32_t pieces, bool show, uint64_t seed,
				struct error *e);
void superseed_free(struct superseed *s);	/* every peer has left */

/* The id names the connection, and is not 0.  NULL: no memory. */
struct superseed_peer *superseed_join(struct superseed *s, uint32_t id);
void superseed_leave(struct superseed *s, struct superseed_peer *sp);

/* The peer has the piece.  The id of a peer that need not wait for that any
 * more, or 0. */
uint32_t superseed_have(struct superseed *s, struct superseed_peer *sp,
			uint32_t piece, int64_t now);

/* It asks for the piece, hinted or not: no hint for others. */
void superseed_asked(struct superseed *s, struct superseed_peer *sp,
		     uint32_t piece);

/* The piece that the peer is to be pointed to now, or SUPERSEED_NONE.  A
 * peer that is choked is shown one piece at a time, and is given no hints:
 * those that it has not followed are void. */
uint32_t superseed_next(struct superseed *s, struct superseed_peer *sp,
			bool choked, int64_t now);

/* The peer was shown the piece. */
bool superseed_shown(const struct superseed *s,
		     const struct superseed_peer *sp, uint32_t piece);

/* Showing is what it is for, and not over. */
bool superseed_hides(const struct superseed *s);

#endif
