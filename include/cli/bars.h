/*
 * bars: paints torrents as lines of text, each with a bar that shows which
 * parts are there.
 *
 * Pure: a snapshot and the size of the screen in, lines out, without cursor
 * movement, so that what a person sees can be compared to the letter.
 */
#ifndef BTGET_CLI_BARS_H
#define BTGET_CLI_BARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "session/stats.h"

#define BARS_CELLS_MAX 64	/* the widest bar */

struct bars_look {
	unsigned columns;	/* that may be used, at least 1 */
	unsigned rows;		/* lines that may be used, at least 1 */
	bool utf8;
	bool colour;
};

struct bars_torrent {
	struct stats_torrent stats;
	uint8_t cells[BARS_CELLS_MAX];	/* 0 to SESSION_CELL_FULL */
};

/* How many cells of the bar there will be: ask the session for as many. */
size_t bars_cells(const struct bars_look *look);

/* Puts up to look->rows lines, each with '\n' behind it, into out, and
 * returns how many.  With several torrents the last line is the total of all;
 * when there are more than lines, those that are at work come first. */
size_t bars_paint(struct buffer *out, const struct bars_look *look,
		  const struct bars_torrent *t, size_t count);

/* Cuts text to so many columns, with an ellipsis where something is lost,
 * and fills up with spaces: exactly `columns` wide. */
void bars_fit(struct buffer *out, const char *text, unsigned columns,
	      bool utf8);

#endif
