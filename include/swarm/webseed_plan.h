/*
 * webseed_plan: what to ask a web seed for, and when.
 *
 * Pure.
 *
 * Units:  bytes, nanoseconds; offsets are those of the torrent's stream.
 * Source: BEP 17, 19; RFC 3986.
 */
#ifndef BTGET_SWARM_WEBSEED_PLAN_H
#define BTGET_SWARM_WEBSEED_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"

struct metainfo;

#define WEBSEED_URL_MAX 8192
#define WEBSEED_RUN_MAX 4096	/* blocks: 64 MiB */
#define WEBSEED_RUN_MIN 16
#define WEBSEED_RUN_FIRST 64	/* while the rate is not known */
#define WEBSEED_RUN_S 4		/* how long one request should last */

/* Why a web seed is left alone. */
enum webseed_end {
	WEBSEED_END_NONE,	/* it is not */
	WEBSEED_END_STOPPED,	/* we wanted it */
	WEBSEED_END_UNREACHABLE,
	WEBSEED_END_BUSY,	/* it asks us to come later */
	WEBSEED_END_MISSING,	/* it does not have the files */
	WEBSEED_END_REFUSED,	/* it cannot be used, by its fault or ours */
};

/* The file's URL: base, and if that is a folder, name and path, with every
 * byte that is not plain text escaped.  False if it is too long.  *name_at
 * becomes where in it the folder of several files begins, 0 for one file. */
bool webseed_url(struct buffer *out, const struct metainfo *m,
		 const char *base, uint32_t file, size_t *name_at);

/* A part of the stream that lies in one file, or in none. */
struct webseed_part {
	bool zeros;		/* padding: known without asking */
	uint32_t file;
	uint64_t first;		/* in the file */
	uint64_t count;
};

/* The part that begins at `at` and ends at `end` at the latest; at < end <=
 * the stream's length.  Files of length 0 are passed over. */
void webseed_part_at(const struct metainfo *m, uint64_t at, uint64_t end,
		     struct webseed_part *out);

/* The same, for a server that is asked for pieces (BEP 17): files do not
 * divide it, pieces and padding do. */
void webseed_piece_part(const struct metainfo *m, uint64_t at, uint64_t end,
			struct webseed_part *out);

/* Where that server has the part of `count` bytes at `at`, which lies in one
 * piece.  False if the URL is too long. */
bool webseed_piece_url(struct buffer *out, const struct metainfo *m,
		       const char *base, uint64_t at, uint64_t count);

/* The one file that holds the whole stream, or UINT32_MAX. */
uint32_t webseed_only_file(const struct metainfo *m);

/* The one file that has bytes in the piece, or UINT32_MAX if several have. */
uint32_t webseed_piece_file(const struct metainfo *m, uint32_t piece);

#define WEBSEED_BAD_MAX 8

/* Pieces that a URL has sent bad data for: the file that one lies in is
 * another one there, others may be right.  Read by its connections. */
struct webseed_bad {
	uint32_t pieces[WEBSEED_BAD_MAX];
	_Atomic unsigned count;	/* only grows */
};

enum webseed_verdict {
	WEBSEED_BAD_KNOWN,	/* of that file, or of that piece */
	WEBSEED_BAD_NEWS,
	WEBSEED_BAD_ENOUGH,	/* it is not to be asked any more */
};

/* Notes one.  For one caller at a time. */
enum webseed_verdict webseed_bad_add(struct webseed_bad *b,
				     const struct metainfo *m, uint32_t piece);

/* How many blocks to ask for at a time: enough that the round trip before
 * them does not count.  0: the rate is not known. */
size_t webseed_run_blocks(uint64_t rate_bps);

/* How long to leave it alone after so many failures in a row (at least 1);
 * retry_after_s is the server's wish or 0. */
int64_t webseed_backoff(enum webseed_end end, unsigned failures,
			long retry_after_s, uint64_t random);

#endif
