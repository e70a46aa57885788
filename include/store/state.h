/*
 * state: what is remembered of a download between runs.
 *
 * DIR/.btget/INFOHASH.state holds which pieces were verified, which ones
 * are still to be looked at (a verification was ended early, or they came while
 * the data was synced), how each file looked then (size and time), blocks of
 * unfinished pieces, totals and the selection.  It ends in a SHA-256 of itself:
 * one that is damaged in any way is refused whole, which costs a verification
 * and nothing else.
 *
 * The order that keeps it true: copy the verified set, files_sync,
 * state_stamp, state_save.  What was verified between the copy and the stamps
 * is unchecked: its files look as they do with it.
 *
 * Damaged pieces were verified once, and are wrong now in files that look as
 * they did: what they are overwritten with is no loss to anybody.
 *
 * Blocks of unfinished pieces are hints: their bytes were never verified.
 *
 * Ownership: a state owns what it points to (state_release).
 * Threads:   one at a time.
 */
#ifndef BTGET_STORE_STATE_H
#define BTGET_STORE_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bitfield.h"
#include "base/bytes.h"
#include "base/error.h"
#include "meta/metainfo.h"
#include "store/files.h"

#define STATE_BLOCK 16384
#define STATE_PARTIALS_MAX 4096

struct state_partial {
	uint32_t piece;
	struct bitfield blocks;		/* of STATE_BLOCK bytes */
};

struct state {
	uint8_t id[20];			/* metainfo_id */
	char hex[METAINFO_HEX_MAX];	/* names the file */
	uint64_t length;
	uint64_t piece_length;
	struct bitfield have;		/* verified pieces */
	struct bitfield unchecked;	/* stored, and nobody knows yet */
	struct bitfield damaged;	/* had once, in files as they look */
	struct bitfield selected;	/* files */
	struct bitfield whole;		/* files: see state_stamp */
	struct files_stamp *stamps;	/* by file; the last: the side file */
	size_t stamp_count;		/* files + 1 */
	struct state_partial *partials;
	size_t partial_count;
	uint64_t uploaded;
	uint64_t downloaded;
	bool complete;			/* all that was selected, and renamed */
	/* An earlier one was, and of that nothing is known to be lost; it is
	 * to be verified, or to be finished, once more. */
	bool was_complete;
};

/* An empty state of a torrent's shape: nothing had, all selected. */
int state_init(struct state *s, const struct metainfo *m, struct error *e);
void state_release(struct state *s);

/* Adds a partial piece; more than STATE_PARTIALS_MAX are dropped.  -1 when
 * out of memory. */
int state_add_partial(struct state *s, uint32_t piece,
		      const struct bitfield *blocks);

/* Pure.  Decode needs a state fresh from state_init and takes only what has
 * its shape; on failure (ERROR_DATA) the state is as state_init left it. */
void state_encode(const struct state *s, struct buffer *out);
int state_decode(struct state *s, const void *data, size_t size,
		 struct error *e);

/*
 * Takes the stamps of all files as they are now.  `known` (one for each stamp
 * of s; NULL: nothing is known) is how they looked when it was known what is
 * in them.  A file that looks otherwise and that we did not write to was
 * changed by others: its stamp is the known one, so that the next run will
 * verify it, and its pieces are set in `strange` (may be NULL).  For all
 * others `known` becomes what is now.  `whole` gets the files of which no piece
 * is neither had nor unchecked.
 */
int state_stamp(struct state *s, struct files *f, struct files_stamp *known,
		struct bitfield *strange, struct error *e);

/* Both below DIR/.btget.  Load returns 1 when there is none, 0 when read;
 * -1 with ERROR_DATA: damaged, or ERROR_STORAGE: cannot be read. */
int state_save(const struct state *s, int dir, struct error *e);
int state_load(struct state *s, int dir, struct error *e);

/*
 * Looks among the other states below DIR/.btget for one that has verified
 * pieces and knows a file which looks like one of these (empty ones do not
 * count): its torrent's data would be overwritten.  Copies the name of its
 * file, without ".state", to `owner`; false if there is none.
 */
bool state_find_owner(const struct state *s, int dir,
		      const struct files_stamp *stamps, size_t count,
		      char owner[METAINFO_HEX_MAX]);

/*
 * What another torrent, whose state is HEX.state below DIR/.btget, knows of
 * these files: the sets (by file, which the stamps are for) get those that look
 * like one of its own, empty ones not counted; none where it has no verified
 * piece.  What it has all of is whole, if it is complete, or was and is not
 * known to have lost anything; all else is begun.
 */
struct state_claims {
	struct bitfield whole;
	struct bitfield begun;
};

int state_find_claims(int dir, const char *hex,
		      const struct files_stamp *stamps,
		      struct state_claims *out, struct error *e);

/* Was the file selected, is it there, and does it look as it did? */
bool state_knows(const struct state *s, struct files *f, size_t file);

/* Of unfinished pieces, drops the blocks of which nothing is on the disk: the
 * files of it may be gone, and may have been made anew.  Leaves off where
 * `stop` (or NULL) becomes true. */
void state_drop_absent(struct state *s, struct files *f,
		       const _Atomic bool *stop);

/* Drops damaged pieces with a file that does not look as it did: what is there
 * may be somebody else's. */
void state_drop_changed(struct state *s, struct files *f);

/*
 * Compares with the files as they are now: `have` gets the pieces that the
 * state vouches for (verified, and all their files look as they did),
 * `check` the stored ones that must be verified: those with a file that
 * looks otherwise, or ends before them, and those that it has as unchecked.
 * A piece with a file that is missing is in neither.  With s NULL nothing is
 * vouched for.  `known` (may be NULL, or the state's own) gets how the files
 * look.
 *
 * Returns 1 when every file looks as the state has it and none has to be cut
 * or to go to its place (with s->complete and files_in_place nothing is left
 * to do), 0 when one does not, -1 on errors.
 */
int state_compare(const struct state *s, struct files *f,
		  struct bitfield *have, struct bitfield *check,
		  struct files_stamp *known, struct error *e);

#endif
