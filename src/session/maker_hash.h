/*
 * maker_hash: hashes what goes into a torrent, with several threads.
 */
#ifndef BTGET_SESSION_MAKER_HASH_H
#define BTGET_SESSION_MAKER_HASH_H

#include "maker_walk.h"

struct maker_job {
	struct maker_list *list;
	struct maker_progress *progress;
	bool v1, v2;
	bool padded;			/* v1: up to the end of each piece */
	uint64_t length;		/* of the stream, with gaps */
	uint32_t piece_length;
	uint32_t piece_count;
	uint32_t run;			/* pieces that a thread takes at once */
	uint32_t runs;			/* how many of them there are */
	_Atomic uint32_t next;		/* piece that nobody took yet */
	_Atomic bool failed;		/* some thread did: end */
	uint8_t *hashes;		/* each is written by one thread */
	uint8_t *layers;		/* the same; v2: 32 bytes a piece */
	uint8_t *roots;			/* v2: 32 bytes a file */
};

/* Reads all files, and makes sure that they are as the walk saw them. */
int maker_hash(struct maker_job *j, unsigned threads, struct error *e);

#endif
