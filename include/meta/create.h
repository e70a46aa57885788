/*
 * create: writes a .torrent out of its parts.
 *
 * Reading and hashing the files is the business of session/maker; this is
 * pure.  Everything is borrowed for the call.
 *
 * A torrent with a v2 half begins each file at a piece.  In a hybrid of several
 * files each that does not fill its last piece is followed by padding, the
 * last one too: so does BEP 52's own program, and libtorrent, and thus the
 * same data gets the same hash.
 *
 * Source: BEP 3, 12, 19, 27, 47, 52.
 */
#ifndef BTGET_META_CREATE_H
#define BTGET_META_CREATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "meta/metainfo.h"

enum create_kind { CREATE_V1, CREATE_V2, CREATE_HYBRID };

struct create_file {
	const char *path;	/* components joined by '/' */
	uint64_t length;
	bool executable;

	/* The v2 half, unless the file is empty: 32 bytes, and a hash for each
	 * piece if there are several. */
	const uint8_t *root;
	const uint8_t *layer;
};

/* With a v2 half the files are in the order of the tree: bytewise, component
 * by component. */
struct create {
	enum create_kind kind;
	const char *name;
	bool multi;		/* otherwise there is one file: `name` */
	bool private;
	uint32_t piece_length;
	const struct create_file *files;
	size_t file_count;
	const uint8_t *pieces;	/* v1: 20 bytes a piece */
	size_t piece_count;

	const struct metainfo_tracker *trackers;	/* tiers ascending */
	size_t tracker_count;
	const char *const *web_seeds;
	size_t web_seed_count;
	const char *comment;	/* this and the next may be NULL */
	const char *source;
	const char *created_by;
	int64_t creation_date;	/* -1: none */
};

/* Appends the torrent; fails on parts that do not fit one another
 * (ERROR_INTERNAL), and if the buffer does. */
int create_write(const struct create *c, struct buffer *out,
		 struct error *e);

/* Would it be no longer than this?  Asked before anything is hashed: the
 * hashes may be missing.  Files of the same content, which share a layer,
 * are counted as if each had its own. */
bool create_fits(const struct create *c, size_t size);

/* A power of two, 16 KiB to 16 MiB, for some 2000 pieces at most; with a v2
 * half more where the padding of many files would outgrow the data. */
uint32_t create_piece_length(enum create_kind kind, uint64_t length,
			     size_t files);

/* Is there padding behind the files? */
bool create_padded(enum create_kind kind, size_t files);

/* How many pieces so many bytes take. */
uint64_t create_pieces(uint64_t length, uint32_t piece_length);

#endif
