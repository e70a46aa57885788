/*
 * folder: the target folder and its .btget, held open by descriptor.
 *
 * All files of a torrent are opened below these descriptors and no symbolic
 * link below them is ever followed, so that nothing a torrent says and
 * nothing that others plant can lead outside.  DIR itself is the user's
 * word: links in its path are fine.
 *
 * Ownership: the caller; release once, after all that uses it.
 * Threads:   opened and released by one; the descriptors are for all.
 */
#ifndef BTGET_STORE_FOLDER_H
#define BTGET_STORE_FOLDER_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

/* The folder of our own in it. */
#define FOLDER_STATE ".btget"
/* What folder_move copies to, in the folder that it moves to; no file of a
 * torrent has this name (store/layout). */
#define FOLDER_MOVING ".btget-move"

struct folder {
	int dir;	/* DIR */
	int state;	/* DIR/.btget, or -1: not there, nothing was created */
	char *path;	/* DIR as the user wrote it */
};

/* mkdir -p, with this mode for those that are missing; -1 with errno. */
int folder_make(const char *path, unsigned mode);

/* Opens both.  With `create` they are made (mkdir -p); without, a missing
 * DIR is an error and a missing .btget leaves state at -1. */
int folder_open(struct folder *f, const char *path, bool create,
		struct error *e);
void folder_release(struct folder *f);

/* Is DIR still what its path names?  ERROR_STORAGE when it was moved or
 * removed under us. */
int folder_check(const struct folder *f, struct error *e);

/*
 * Opens a regular file below a directory descriptor without following links
 * in any part of the path and without being held up by FIFOs or devices; a
 * lease that somebody has on the file is waited for, a minute at most.
 * Returns the descriptor, or -1 with errno: ELOOP (ENOTDIR within the path)
 * for a link, EISDIR or ENOTSUP for what is no regular file.  `flags` and
 * `mode` are those of openat.
 */
int folder_openat(int dir, const char *path, int flags, unsigned mode);

/* Does the disk take names for the same that differ in case? */
bool folder_ignores_case(const struct folder *f);

/* What names the disk takes. */
struct folder_names {
	bool fat;	/* FAT or exFAT, which take fewer */
	size_t longest;	/* bytes of one, of at most 255 that we use */
};

struct folder_names folder_names(const struct folder *f);

/* The size of the largest file that the disk takes, as far as its kind says:
 * FAT, other than exFAT, counts with 32 bits. */
uint64_t folder_largest(const struct folder *f);

/* Have its files no holes (FAT, exFAT, the kernel's own NTFS)?  A write beyond
 * what was written so far then has the kernel write all the zeros between,
 * and nothing can break that off. */
bool folder_lacks_holes(const struct folder *f);

/* Is there anything of this name, be it a link?  faccessat could be asked as
 * well, but where kernel or sandbox are old it knows no flags. */
bool folder_has(int dir, const char *name);

/* Makes the folders that lead to path (its last component is left out);
 * -1 with errno. */
int folder_parents(int dir, const char *path);

/* Removes these, from the last one up, as far as they are empty. */
void folder_prune(int dir, const char *path);

/* Opens a folder below; no links followed; -1 with errno. */
int folder_subdir(int dir, const char *path);

/* Its entries, read by a descriptor of their own; NULL with errno. */
DIR *folder_list(int dir);

/* Its names are on the disk; some disks cannot do that, and need not.  -1 with
 * errno. */
int folder_sync(int dir);

/* Gives a file or folder another name, never over something: EEXIST; -1 with
 * errno. */
int folder_rename(int from, const char *old, int to, const char *new);

/*
 * The same for a regular file, without following links in either path, and
 * making the folders that lead to the new one.  What cannot be moved in one
 * step (another disk; Landlock before Linux 5.19 lets nothing go to another
 * folder) is copied with its time, synced, given its name, and then removed;
 * there may be both after a crash, each of them whole.  Returns 0, 1 for a
 * copy, or -1 with errno.
 */
int folder_move(int from, const char *old, int to, const char *new);

/* Writes all of it; -1 with errno. */
int folder_write(int fd, const void *data, size_t size);

/*
 * Small files below .btget, read and written whole.  Saving writes aside,
 * syncs, renames and syncs the folder, so that a crash leaves the old one or
 * the new one.  Loading fills `out` up to its cap: 1 when there is no such
 * file; -1 with ERROR_DATA when it is larger, or ERROR_STORAGE.  A secret is
 * for the user alone to read.
 */
int folder_save(int dir, const char *name, const void *data, size_t size,
		struct error *e);
int folder_save_secret(int dir, const char *name, const void *data,
		       size_t size, struct error *e);
int folder_load(int dir, const char *name, struct buffer *out,
		struct error *e);

#endif
