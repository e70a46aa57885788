/*
 * borrow: pieces on a border get what they lack from files that are not
 * wanted, where those lie there all the same.
 *
 * The state may not know such a file, or not as it looks: another client has
 * left it, or somebody has touched it.  Nothing is written to it, and it may
 * change at any time; so what it has of a piece is copied to the side file,
 * once all of the piece was found to be right.
 *
 * Threads: as for the state.
 */
#ifndef BTGET_STORE_BORROW_H
#define BTGET_STORE_BORROW_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/bitfield.h"
#include "base/error.h"
#include "store/files.h"

struct borrow {
	struct files *to;		/* its side file gets them */
	const struct folder *folder;
	const struct files_options *options;	/* as `to` was opened with */
	const struct bitfield *have;	/* the other wanted pieces lack some */
	const _Atomic bool *stop;	/* ends it with ERROR_STOPPED */
	uint64_t others;		/* of what is free, promised to them */
	uint64_t at_once;		/* bytes of pieces that one call looks
					 * at; of one at least */
	size_t from;			/* the next piece: 0 at first */
};

/*
 * Sets in `whole` the pieces that have got all they lacked: to be verified
 * where they lie now.  Reads what the wanted files have of them too, and two
 * pieces a file at most.
 *
 * Returns 1 when there are more to look at, with the next call.  A disk that
 * has no room beside what the wanted files and others need ends it: the rest
 * is to be fetched.
 */
int borrow_shares(struct borrow *b, struct bitfield *whole, struct error *e);

#endif
