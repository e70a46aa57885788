/*
 * screen: turns frames of lines into what a terminal must be sent to show
 * them in place of the frame before.
 *
 * The cursor rests at the beginning of the line below the frame, so that
 * whatever ends the program leaves a clean line.  Bytes alone, no terminal:
 * pure.
 */
#ifndef BTGET_CLI_SCREEN_H
#define BTGET_CLI_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

#define SCREEN_LINES_MAX 256

/* All zero: nothing is shown yet. */
struct screen {
	size_t lines;			/* of the frame that is shown */
	unsigned widths[SCREEN_LINES_MAX];	/* of each, in columns */
	bool hidden;			/* the cursor */
};

struct screen_size {
	unsigned columns;		/* of the terminal */
	unsigned rows;
};

/* Shows these lines, each ended by '\n', in place of those before. */
void screen_paint(struct screen *s, struct buffer *out, const char *frame,
		  const struct screen_size *size);

/* Takes the frame away, so that other lines can be written in its place. */
void screen_clear(struct screen *s, struct buffer *out,
		  const struct screen_size *size);

/* Leaves the frame where it is, and the cursor below it, visible. */
void screen_end(struct screen *s, struct buffer *out);

/* Others have written: the next frame starts where the cursor is. */
void screen_forget(struct screen *s);

/* What leaves any terminal usable, whatever was under way. */
#define SCREEN_RESTORE "\033[?2026l\033[0m\033[?25h"

#endif
