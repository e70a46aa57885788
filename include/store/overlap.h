/*
 * overlap: what other torrents' files have in pieces that are to be written,
 * where nobody can tell before whether it is the same.
 *
 * DIR/.btget/INFOHASH.overlap has the SHA-256 of each such part as it was
 * before the first write.  However many runs it takes until all is there, it is
 * known then whether something has changed.  It ends in a SHA-256 of itself;
 * one that is damaged counts for nothing.
 *
 * Ownership: an overlap, zero at first, owns what it points to
 *            (overlap_release).
 * Threads:   one at a time.
 */
#ifndef BTGET_STORE_OVERLAP_H
#define BTGET_STORE_OVERLAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "meta/metainfo.h"

struct overlap_part {
	uint32_t piece;
	uint32_t file;
	uint8_t digest[SHA256_SIZE];	/* of what the file has of the piece */
};

struct overlap {
	char owner[METAINFO_HEX_MAX];	/* one of those torrents */
	struct overlap_part *parts;
	size_t count;
	size_t sorted;		/* so many: those that were loaded */
};

void overlap_release(struct overlap *o);

int overlap_add(struct overlap *o, const struct overlap_part *part,
		struct error *e);

/* Was this part loaded? */
bool overlap_knows(const struct overlap *o, uint32_t piece, uint32_t file);

/* Of the torrent `hex`, below `dir` (DIR/.btget).  Saving none removes the
 * file; loading leaves the overlap empty where there is none that can be
 * used. */
int overlap_save(struct overlap *o, int dir, const char *hex,
		 struct error *e);
void overlap_load(struct overlap *o, int dir, const char *hex);

#endif
