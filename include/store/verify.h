/*
 * verify: checks pieces on disk against their hashes, on all cores.
 *
 * Threads take short runs of pieces, in order, from one atomic counter, so
 * that the disk sees one stream; each has a fixed buffer whatever the piece
 * length.  Holes and missing files are passed over without reading.  Of a
 * hybrid, a piece must be right by both halves, as far as they are known.
 *
 * Ownership: files is borrowed until verify_free.
 * Threads:   start, join and free by the owner; the rest by any.
 */
#ifndef BTGET_STORE_VERIFY_H
#define BTGET_STORE_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bitfield.h"
#include "base/error.h"

struct files;
struct verify;

struct verify_options {
	const struct bitfield *pieces;	/* to check; copied */
	unsigned threads;		/* 0: one a core */
	const _Atomic bool *stop;	/* ends it like verify_stop; or NULL */
	/* Called once, by the last verifier thread as it ends (also when
	 * stopped); it must only wake the owner.  May be NULL. */
	void (*done)(void *ctx);
	void *ctx;
};

struct verify_progress {
	uint64_t checked;	/* bytes of pieces settled so far */
	uint64_t total;		/* bytes of pieces to check */
	size_t good;		/* pieces found right */
};

struct verify *verify_start(struct files *f, const struct verify_options *o,
			    struct error *e);

void verify_progress(struct verify *v, struct verify_progress *out);
bool verify_done(struct verify *v);	/* join would not wait */
void verify_stop(struct verify *v);	/* soon; join tells ERROR_STOPPED */

/* What was found out so far, which is right whenever it is asked for: pieces
 * that are right are set in `have`, wrong ones are unset there, and both are
 * unset in `left` (may be NULL).  What cannot be read is neither. */
void verify_results(struct verify *v, struct bitfield *have,
		    struct bitfield *left);

/* Waits for the threads.  -1 when stopped or when something could not be
 * read (the first such). */
int verify_join(struct verify *v, struct error *e);

/* Stops and joins first if need be. */
void verify_free(struct verify *v);

/* Is there nothing on disk of this part of the stream but zeros?  Any file
 * with a hole has those: that a piece of them is right does not say whose
 * file it is. */
bool verify_is_zeros(struct files *f, uint64_t offset, uint64_t n);

#endif
