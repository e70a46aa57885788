/*
 * What files.c (places, opening), files_io.c (reading, writing, sending),
 * files_side.c (the side file without holes), files_space.c (reserving),
 * files_finish.c (sync, stamps, the end), files_reveal.c (the rename),
 * files_aside.c (what is hidden) and files_inspect.c (what others did) know of
 * one another.
 */
#ifndef BTGET_STORE_FILES_INSIDE_H
#define BTGET_STORE_FILES_INSIDE_H

#include <sys/stat.h>

#include "base/bitfield.h"
#include "base/sync.h"
#include "store/fdtable.h"
#include "store/files.h"
#include "store/folder.h"
#include "store/layout.h"

#define FILES_PART ".part"
#define FILES_LABEL_MAX 280	/* leaves the error text room for why */

/* By place in the side file: which part of the stream it is. */
struct files_chunks {
	uint64_t *at;
	size_t count;
	bool known;
};

struct files {
	const struct layout *layout;
	const struct folder *folder;
	enum files_allocation allocation;
	bool no_holes;				/* on this disk */
	bool chunked;				/* so is the side file */
	uint64_t largest;			/* file, on this disk */
	bool fresh;
	/* What space is taken for: the next file, and where in it; what is
	 * left to be taken, once that has begun. */
	size_t reserve_file;
	uint64_t reserve_at;
	uint64_t reserve_left;
	bool reserves;
	bool leftover;
	bool makes_way;				/* NAME is there, and empty */
	char part[LAYOUT_NAME_MAX + 1];		/* NAME.part */
	char side[80];				/* below DIR/.btget */
	char other_side[80];			/* as it would be, kept the
						 * other way */
	char aside_name[80];			/* below DIR/.btget */
	char empty_name[80];			/* the same: what made way */
	size_t side_index;			/* the file count */
	size_t top_length;			/* of NAME, for labels */
	struct fdtable *table;

	struct mutex lock;
	struct cond changed;		/* renaming or syncing ended */
	int base;			/* lock; NAME of a folder, or -1 */
	int aside_dir;			/* lock; or -1 */
	bool in_place;			/* lock */
	bool renaming;			/* lock */
	bool syncing;			/* lock */
	size_t push_at;			/* lock; where files_push goes on */
	struct error failure;		/* lock; of the first failed sync */
	struct files_chunks chunks;	/* lock */
	/* By file, the last is the side file; all under the lock. */
	struct bitfield dirty;		/* written since the last sync */
	struct bitfield touched;	/* the same, since files_touched */
	struct bitfield ours;		/* this run may write to it */
	struct bitfield absent;		/* it was not there: we make it */
	struct bitfield made;		/* its name is not synced yet */
	struct bitfield seen;		/* was there: never made again */
	struct bitfield aside;		/* it lies below aside_dir */
};

/* Where a file lies: `path` below the descriptor `dir`. */
struct files_place {
	int dir;		/* -1: the torrent's folder is not there */
	bool in_place;
	bool aside;
	const char *path;	/* in `buffer` or the files */
	char buffer[LAYOUT_PATH_MAX];
};

void files_locate(struct files *f, size_t file, struct files_place *out);

/* The name for people: below DIR, not too long. */
const char *files_label(struct files *f, size_t file,
			char out[FILES_LABEL_MAX]);

/* Part of files_open: what lies aside. */
int files_find_aside(struct files *f, struct error *e);
#define FILES_ASIDE_MAX 24
void files_aside_name(size_t file, char out[FILES_ASIDE_MAX]);

/* A part of files_finish: NAME.part becomes NAME, for good. */
int files_reveal(struct files *f, struct error *e);

/* Parts of files_finish: wanted files, which are whole, go where they
 * belong; and then what is left aside of them is removed. */
int files_come_home(struct files *f, struct error *e);
void files_clear_aside(struct files *f);

/* All that the disks were told so far, with syncfs.  Does it say what they
 * have lost?  If not, each file is to be synced by itself. */
int files_sync_disks(struct files *f, struct error *e);
bool files_disks_tell(struct files *f);

/* The folders between which a file was moved, each by itself. */
int files_sync_move(struct files *f, size_t file, struct error *e);

/* Makes the torrent's folder, or finds that another thread has. */
int files_make_base(struct files *f, struct error *e);

int files_pin(struct files *f, size_t file, bool write, struct pin **pin,
	      struct error *e);
void files_mark_dirty(struct files *f, size_t file);

uint64_t files_length(const struct files *f, size_t file);

/* The file that a span lies in, which is not padding; and where in it, for
 * which the file is open.  ERROR_DATA where the side file has nothing of it,
 * but with `write`. */
size_t files_span_index(const struct files *f, const struct span *s);
int files_span_at(struct files *f, const struct span *s, int fd, bool write,
		  uint64_t *at, struct error *e);

/* As layout_next; what lies in two places of the side file are two spans. */
bool files_next_span(const struct files *f, struct layout_cursor *c,
		     struct span *out);
/* How much may lie in one from this offset of the stream. */
uint64_t files_side_room(const struct files *f, uint64_t offset);

/* Part of files_open: how the side file is kept. */
void files_side_name(struct files *f, const struct files_options *o);
/* One that an earlier version or another disk has left, and is not used. */
void files_side_drop_other(struct files *f);
uint64_t files_side_other_size(const struct files *f);	/* on the disk */

/* The file as it stands at its place, not what is open; -1 with errno. */
int files_stat(struct files *f, size_t file, struct stat *st);

/* The kernel drops what it has of the file in memory and need not write. */
void files_forget(struct files *f, size_t file);

#endif
