/*
 * layout: where each byte of a torrent lies, and under which name.
 *
 * A torrent is one stream of bytes: its files one behind the other.  A
 * cursor walks over a part of it in spans, each in one place: in a file, in
 * padding (BEP 47: nothing on disk, reads as zeros), or in the side file,
 * which holds what wanted pieces have of files that were not selected (where
 * in it is up to the files; the span tells the offset in the stream).
 *
 * Names are made safe in one way, the same in each run; the path of a file
 * is its cleaned components behind the cleaned name of the torrent:
 *
 *   - '/', NUL, control characters, bidirectional overrides and bytes that
 *     are no UTF-8 become '_'; so do an empty component and "."; ".."
 *     becomes "__"
 *   - ".btget-" inside a component becomes "_btget-": that mark is ours
 *   - a component over 255 bytes is cut, its extension kept; so is a shorter
 *     one where the disk takes less (eCryptfs)
 *   - a torrent's name that begins with "." begins with "_" instead: the
 *     target may be somebody's home, where ".profile" and ".ssh" are no data,
 *     and ".btget" is ours; one that ends in ".part" gets a "_" behind it; it
 *     is cut at 6 bytes less, to leave room for .part
 *   - a file whose path is another's, or is a folder that others lie in, is
 *     marked with its index (from 1): "a.txt" becomes "a.btget-7.txt".  Of
 *     files with the same path the first keeps it.  Case makes a difference.
 *   - a path over LAYOUT_PATH_MAX bytes is refused
 *   - on FAT and exFAT, backslashes and  : * ? " < > |  become '_', and so
 *     does a dot or space at the end of a component; case (of ASCII) makes no
 *     difference
 *
 * The selection does not change names.  Links of BEP 47 are never made.
 *
 * Ownership: the metainfo is borrowed and must outlive the layout.
 * Threads:   never changes once made; any thread may ask.
 * Units:     offsets and lengths are bytes, piece and file are indexes.
 * Source:    BEP 3, BEP 47.
 */
#ifndef BTGET_STORE_LAYOUT_H
#define BTGET_STORE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bitfield.h"
#include "base/error.h"
#include "store/folder.h"

struct metainfo;
struct layout;

/* Leaves a kilobyte of PATH_MAX to DIR. */
#define LAYOUT_PATH_MAX 3072
#define LAYOUT_NAME_MAX 255

enum span_kind { SPAN_FILE, SPAN_PAD, SPAN_SIDE };

struct span {
	enum span_kind kind;
	size_t file;		/* index in the metainfo; not for SPAN_PAD */
	uint64_t offset;	/* in the file; of the side, in the stream */
	uint64_t length;	/* at least 1 */
};

struct layout_cursor {
	size_t file;
	uint64_t at;
	uint64_t end;
};

/* What becomes of an entry of the metainfo. */
enum layout_fate {
	LAYOUT_KEPT,		/* a file on disk, zero-length ones too */
	LAYOUT_SKIPPED,		/* was not selected */
	LAYOUT_SPARE,		/* nor was this, but it is there: used for what
				 * wanted pieces have of it, never created */
	LAYOUT_PADDING,
	LAYOUT_LINK,		/* a link: never made */
};

/* `selected` is by file index and is copied; NULL: all.  ERROR_TORRENT for
 * names that cannot be made safe. */
struct layout *layout_new(const struct metainfo *m,
			  const struct bitfield *selected, struct error *e);

/* The same; files in `spare` that are not selected are LAYOUT_SPARE.  NULL:
 * none. */
struct layout *layout_new_over(const struct metainfo *m,
			       const struct bitfield *selected,
			       const struct bitfield *spare,
			       struct error *e);

/* The same, with names that the disk takes. */
struct layout *layout_new_on(const struct metainfo *m,
			     const struct bitfield *selected,
			     const struct bitfield *spare,
			     struct folder_names names, struct error *e);
void layout_free(struct layout *l);

/* Of a torrent with a folder (metainfo): its file lies in there.  Before
 * anybody asks. */
void layout_use_folder(struct layout *l);

const struct metainfo *layout_metainfo(const struct layout *l);
size_t layout_count(const struct layout *l);	/* entries, all of them */
enum layout_fate layout_fate(const struct layout *l, size_t file);
bool layout_multi(const struct layout *l);	/* NAME is a folder */
bool layout_has_side(const struct layout *l);	/* a side file is needed */
/* Bytes of wanted pieces that go there. */
uint64_t layout_side_size(const struct layout *l);

/* The torrent's safe name: DIR/NAME. */
const char *layout_name(const struct layout *l);

/* The safe path below DIR into out: NAME, or NAME/folder/file.  Returns its
 * length, below LAYOUT_PATH_MAX; 0 if out is too small. */
size_t layout_path(const struct layout *l, size_t file, char *out,
		   size_t size);

/* Bytes of the kept files: what the finished download takes on disk. */
uint64_t layout_size(const struct layout *l);

/* Starts a walk over length bytes from offset; what lies beyond the stream
 * is left out. */
void layout_seek(const struct layout *l, struct layout_cursor *c,
		 uint64_t offset, uint64_t length);
bool layout_next(const struct layout *l, struct layout_cursor *c,
		 struct span *out);

/* Pieces that hold a byte of a kept file; `out` has piece_count bits.  The
 * stored ones are these and those with a byte of a spare file. */
void layout_wanted_pieces(const struct layout *l, struct bitfield *out);
void layout_stored_pieces(const struct layout *l, struct bitfield *out);

/* The pieces that a file lies in; count is 0 for an empty one. */
void layout_file_pieces(const struct layout *l, size_t file, size_t *first,
			size_t *count);
/* Sets them in `out`, which has piece_count bits. */
void layout_mark_file(const struct layout *l, size_t file,
		      struct bitfield *out);

/* One component made safe, as above, cut at max (at least 32) bytes; out
 * has one more for the NUL.  Returns its length. */
size_t layout_clean(char *out, size_t max, const void *name, size_t length);

#endif
