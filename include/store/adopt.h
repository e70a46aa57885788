/*
 * adopt: files that an earlier selection left out get their share of what it
 * has verified.
 *
 * A piece on a border was fetched whole, and what it has of such a file went
 * to the side file.  Once the file is wanted that is copied into it, and the
 * piece is verified anew where it lies now: nothing is claimed before that,
 * so that it does not matter when a run dies.
 *
 * Threads: as for the state; the name is ours alone.
 */
#ifndef BTGET_STORE_ADOPT_H
#define BTGET_STORE_ADOPT_H

#include "base/bitfield.h"
#include "base/error.h"
#include "store/files.h"
#include "store/state.h"

/* Sets in `found` (by file) those that there may be something for: wanted,
 * not so before, and not there; and in a piece that the state has verified
 * together with a file that still looks as the state has it. */
void adopt_find(const struct state *s, struct files *f,
		struct bitfield *found);

/* For who takes all space before adopt_files: adds the wanted files that are
 * not there, of which then all is. */
void adopt_add_missing(struct files *f, struct bitfield *found);

/* Copies for these; what cannot be read from the side file is left out, and on
 * a disk without holes what would lie behind the end of its file. */
int adopt_files(const struct state *s, struct files *f,
		const struct bitfield *found, struct error *e);

/* For who takes all space before the rest: what lies at the begin of a file,
 * of those that have nothing at their end. */
int adopt_begins(const struct state *s, struct files *f,
		 const struct bitfield *found, struct error *e);

/* Of the pieces that state_compare wants to be verified after that, takes
 * away those of which only holes were made, or zeros. */
void adopt_narrow(const struct state *s, struct files *f,
		  const struct bitfield *found, struct bitfield *check);

#endif
