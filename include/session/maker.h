/*
 * maker: makes a .torrent from a file or a folder, on all processors.
 *
 * The folder is walked first, in bytewise order of the names; hidden files
 * are taken, symbolic links (but for the path itself) and special files are
 * left out with a warning, empty folders silently.  Then threads take runs of
 * pieces and hash them, each with one file open and one small buffer,
 * whatever the piece length.  A file that changes meanwhile is an error.
 * Names are taken as they are; where store/layout would change one, which
 * hides the data from a later check, there is a warning.  What the torrent
 * will be written to is no part of it: a .torrent of before is left out, with
 * a warning; anything else there is an error, as it would be lost.
 *
 * Threads: maker_run blocks; another thread may read the progress, or set
 *          stop, at any time.
 */
#ifndef BTGET_SESSION_MAKER_H
#define BTGET_SESSION_MAKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "meta/create.h"
#include "meta/metainfo.h"

struct stat;

struct maker_progress {
	_Atomic uint64_t total;		/* bytes; known after the walk */
	_Atomic uint64_t hashed;
	_Atomic bool stop;		/* set: ends with ERROR_STOPPED */
};

typedef void maker_warning(void *ctx, const char *line);

struct maker_options {
	enum create_kind kind;
	uint32_t piece_length;		/* 0: by size */
	unsigned threads;		/* 0: one a processor */
	bool private;
	const struct metainfo_tracker *trackers;	/* tiers ascending */
	size_t tracker_count;
	const char *const *web_seeds;
	size_t web_seed_count;
	const char *comment;		/* this and the next may be NULL */
	const char *source;
	const char *created_by;
	int64_t creation_date;		/* -1: none */
	const char *output;		/* where it will be written, or NULL */
	const struct stat *open_output;	/* that is open already, or NULL */
	maker_warning *warning;		/* may be NULL; in maker_run's thread */
	void *ctx;
};

/* Appends the torrent of what is at path to out, an empty buffer with a cap
 * of METAINFO_SIZE_MAX.  ERROR_STORAGE if something cannot be read, or nobody
 * could read the torrent (paths too long or too deep), or the output cannot be
 * written, which is looked at before anything is hashed; ERROR_USAGE if the
 * output is among the data, or the piece length makes too many pieces or too
 * large a torrent. */
int maker_run(const char *path, const struct maker_options *options,
	      struct maker_progress *progress, struct buffer *out,
	      struct error *e);

/* The name that the torrent of this path will have (the last component;
 * that of the real path for "." and the like), from malloc. */
char *maker_name(const char *path, struct error *e);

/* Could maker_save write there, as far as can be told without doing it?  NULL
 * is no place, and good. */
int maker_can_save(const char *path, struct error *e);

/* Writes a file so that it is there whole or not at all: aside, synced,
 * renamed.  What is there and no plain file (a device, a pipe, a link) is
 * written to instead, and stays what it is. */
int maker_save(const char *path, const struct buffer *data, struct error *e);

#endif
