/*
 * plain: progress as a few lines of text, for files, mails and pipes.
 *
 * One line at the start, one at each 10 % or 60 s, one at the end; no
 * escapes.  Pure: the time comes in, lines go out.
 */
#ifndef BTGET_CLI_PLAIN_H
#define BTGET_CLI_PLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "session/stats.h"

/* What was last told of one torrent; all zero at first. */
struct plain {
	int64_t told_at;
	unsigned told_tenth;	/* of 10 % each */
	bool started;
	bool checks;		/* and takes its time */
	bool downloads;		/* has begun to */
	bool seeds;		/* the same */
	bool ended;
};

/* The line at the start of a download. */
void plain_start(struct buffer *out, const struct stats_torrent *t);

/* Puts the later lines that are due, if any, into out. */
void plain_update(struct plain *p, struct buffer *out,
		  const struct stats_torrent *t, int64_t now);

#endif
