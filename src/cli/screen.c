#include "cli/screen.h"

#include <string.h>

#include "base/text.h"

/* A frame is shown at once (synchronized output); terminals that do not know
 * the mode pass over it. */
#define HOLD "\033[?2026h"
#define SHOW "\033[?2026l"
#define CURSOR_HIDE "\033[?25l"
#define CURSOR_SHOW "\033[?25h"
#define CLEAR_RIGHT "\033[K"
#define CLEAR_BELOW "\033[J"

/* How far up the frame begins.  Terminals wrap lines that have become too
 * wide anew, so that each may take several rows by now. */
static size_t
rows_up(const struct screen *s, const struct screen_size *size)
{
	size_t rows = 0;
	size_t i;

	for (i = 0; i < s->lines; i++) {
		unsigned w = s->widths[i] ? s->widths[i] : 1;

		rows += (w + size->columns - 1) / size->columns;
	}
	return rows < size->rows ? rows : size->rows - 1;
}

static void
put_up(struct screen *s, struct buffer *out, const struct screen_size *size)
{
	size_t up = rows_up(s, size);

	buffer_u8(out, '\r');
	if (up)
		buffer_printf(out, "\033[%zuA", up);
}

/* Columns of a line, without the colours in it. */
static unsigned
line_columns(const char *line, size_t length)
{
	unsigned columns = 0;
	uint32_t code;

	while (length > 0) {
		size_t n;

		if (*line == '\033') {
			for (n = 1; n < length && line[n - 1] != 'm'; n++)
				continue;
		} else {
			n = text_decode(line, length, &code);
			columns += (unsigned)text_width(code);
		}
		line += n;
		length -= n;
	}
	return columns;
}

void
screen_paint(struct screen *s, struct buffer *out, const char *frame,
	     const struct screen_size *size)
{
	const char *end;

	buffer_str(out, HOLD);
	if (!s->hidden)
		buffer_str(out, CURSOR_HIDE);
	s->hidden = true;
	put_up(s, out, size);
	s->lines = 0;
	for (; (end = strchr(frame, '\n')) != NULL; frame = end + 1) {
		size_t length = (size_t)(end - frame);

		if (s->lines == SCREEN_LINES_MAX)
			break;
		s->widths[s->lines++] = line_columns(frame, length);
		buffer_put(out, frame, length);
		buffer_str(out, CLEAR_RIGHT "\r\n");
	}
	buffer_str(out, CLEAR_BELOW SHOW);
}

void
screen_clear(struct screen *s, struct buffer *out,
	     const struct screen_size *size)
{
	put_up(s, out, size);
	buffer_str(out, CLEAR_BELOW);
	s->lines = 0;
}

void
screen_end(struct screen *s, struct buffer *out)
{
	if (s->hidden)
		buffer_str(out, CURSOR_SHOW);
	s->hidden = false;
	s->lines = 0;
}

void
screen_forget(struct screen *s)
{
	s->lines = 0;
	s->hidden = false;
}
