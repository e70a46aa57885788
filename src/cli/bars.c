/*
 * A line is: name [bar] percentage size down up peers eta.  What follows the
 * bar are fields of fixed width, so that lines stand below each other and
 * nothing jumps.  There is a long and a short form of each field; where even
 * the short ones are too wide, fields are left out, the least telling first.
 * A torrent that is not just downloading says its state instead of the rates.
 */
#include "cli/bars.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "session/session.h"

/* In the order in which they stand. */
enum field { PERCENT, SIZE, DOWN, UP, PEERS, ETA, FIELDS };

static const unsigned char short_width[FIELDS] = {
	[PERCENT] = 4, [SIZE] = 11, [DOWN] = 6, [UP] = 6, [PEERS] = 8,
	[ETA] = 6,
};
static const unsigned char long_width[FIELDS] = {
	[PERCENT] = 6, [SIZE] = 21, [DOWN] = 13, [UP] = 13, [PEERS] = 18,
	[ETA] = 11,
};

/* Who goes first when there is no room. */
static const enum field drop_order[] = { UP, PEERS, SIZE, ETA, DOWN };
#define DROPS (sizeof(drop_order) / sizeof(drop_order[0]))

#define NAME_MIN 8
#define NAME_MAX_COLUMNS 40
#define BAR_MIN 8		/* cells */
#define BAR_EXTRA 3		/* brackets, and the space before */
#define LONG_SPARE 40		/* for name and bar, to afford long forms */

struct shape {
	bool wide;		/* long forms */
	unsigned name;
	unsigned bar;		/* cells; 0: no bar */
	unsigned width[FIELDS];	/* 0: left out */
};

#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define CYAN "\033[36m"
#define PLAIN "\033[0m"

/* With a space before each. */
static unsigned
fields_width(const struct shape *s)
{
	unsigned sum = 0;
	unsigned i;

	for (i = 0; i < FIELDS; i++)
		if (s->width[i])
			sum += s->width[i] + 1;
	return sum;
}

static void
take_widths(struct shape *s, bool wide)
{
	unsigned i;

	s->wide = wide;
	for (i = 0; i < FIELDS; i++)
		s->width[i] = wide ? long_width[i] : short_width[i];
}

static struct shape
shape_for(unsigned columns)
{
	const unsigned least = NAME_MIN + BAR_EXTRA + BAR_MIN;
	struct shape s = { 0 };
	unsigned rest;
	unsigned i;

	take_widths(&s, true);
	if (columns < fields_width(&s) + LONG_SPARE)
		take_widths(&s, false);
	for (i = 0; i < DROPS && columns < fields_width(&s) + least; i++)
		s.width[drop_order[i]] = 0;
	if (columns < fields_width(&s) + 4) {
		/* Hardly any room: the percentage, or what fits of it. */
		s.width[PERCENT] = columns;
		return s;
	}
	rest = columns - fields_width(&s);
	if (rest < least) {
		s.name = rest;
		return s;
	}
	rest -= BAR_EXTRA;
	s.name = rest * 2 / 5;
	if (s.name < NAME_MIN)
		s.name = NAME_MIN;
	if (s.name > NAME_MAX_COLUMNS)
		s.name = NAME_MAX_COLUMNS;
	s.bar = rest - s.name;
	if (s.bar > BARS_CELLS_MAX) {
		s.name += s.bar - BARS_CELLS_MAX;
		s.bar = BARS_CELLS_MAX;
	}
	return s;
}

size_t
bars_cells(const struct bars_look *look)
{
	return shape_for(look->columns).bar;
}

static void
put_spaces(struct buffer *out, unsigned n)
{
	while (n-- > 0)
		buffer_u8(out, ' ');
}

/* Columns of a character on this screen; one that it lacks shows as '?'. */
static unsigned
columns_of(uint32_t code, bool utf8)
{
	if (!utf8)
		return 1;
	return (unsigned)text_width(code);
}

static unsigned
columns_all(const char *text, bool utf8)
{
	size_t left = strlen(text);
	unsigned sum = 0;
	uint32_t code;

	while (left > 0) {
		size_t n = text_decode(text, left, &code);

		sum += columns_of(code, utf8);
		text += n;
		left -= n;
	}
	return sum;
}

/* Puts at most so many columns of text; returns how many it took. */
static unsigned
put_cut(struct buffer *out, const char *text, unsigned columns, bool utf8)
{
	size_t left = strlen(text);
	unsigned used = 0;
	uint32_t code;

	while (left > 0) {
		size_t n = text_decode(text, left, &code);
		unsigned w = columns_of(code, utf8);

		if (w > columns - used)
			break;
		if (code >= 0x80 && !utf8)
			buffer_u8(out, '?');
		else
			buffer_put(out, text, n);
		used += w;
		text += n;
		left -= n;
	}
	return used;
}

void
bars_fit(struct buffer *out, const char *text, unsigned columns, bool utf8)
{
	unsigned used;

	if (columns_all(text, utf8) <= columns || columns < 2) {
		used = put_cut(out, text, columns, utf8);
	} else {
		used = put_cut(out, text, columns - 1, utf8) + 1;
		buffer_str(out, utf8 ? "…" : "~");
	}
	put_spaces(out, columns - used);
}

/* "17B", "1.2K", "340M": at most five columns. */
static char *
compact(char *out, size_t size, uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	unsigned unit = 0;
	uint64_t rest = 0;

	while (bytes >= 1024 && units[unit + 1]) {
		rest = bytes % 1024;
		bytes /= 1024;
		unit++;
	}
	if (unit && bytes < 10)
		snprintf(out, size, "%u.%u%c", (unsigned)bytes,
			 (unsigned)(rest * 10 / 1024), units[unit]);
	else
		snprintf(out, size, "%u%c", (unsigned)bytes, units[unit]);
	return out;
}

/* Thousandths, rounded down: 1000 only when nothing is missing. */
static unsigned
permille(uint64_t part, uint64_t whole)
{
	uint64_t n;

	if (!whole)
		return 0;
	if (part >= whole)
		return 1000;
	n = whole <= UINT64_MAX / 1000 ? part * 1000 / whole :
	    part / (whole / 1000);
	return n > 999 ? 999 : (unsigned)n;
}

static void
text_percent(char *out, size_t size, const struct stats_torrent *t, bool wide)
{
	unsigned n = t->complete ? 1000 :
		     permille(t->state == TORRENT_CHECKING ? t->checked :
			      t->done, t->length);

	if (!t->complete && !t->length)
		snprintf(out, size, "-");
	else if (n == 1000 || !wide)
		snprintf(out, size, "%u%%", n / 10);
	else
		snprintf(out, size, "%u.%u%%", n / 10, n % 10);
}

static void
text_sizes(char *out, size_t size, const struct stats_torrent *t, bool wide)
{
	char done[24];
	char length[24];
	uint64_t part = t->state == TORRENT_CHECKING ? t->checked : t->done;

	out[0] = '\0';
	if (!t->length && !t->complete)
		return;
	if (wide) {
		text_size(done, sizeof(done), part);
		text_size(length, sizeof(length), t->length);
	} else {
		compact(done, sizeof(done), part);
		compact(length, sizeof(length), t->length);
	}
	if (part >= t->length)
		snprintf(out, size, "%s", length);
	else
		snprintf(out, size, "%s/%s", done, length);
}

static void
text_flow(char *out, size_t size, const char *arrow, uint64_t rate, bool wide)
{
	char text[32];

	if (wide)
		text_rate(text, sizeof(text), rate);
	else
		compact(text, sizeof(text), rate);
	snprintf(out, size, "%s%s", arrow, text);
}

static void
text_peers(char *out, size_t size, const struct stats_torrent *t, bool wide)
{
	if (wide)
		snprintf(out, size, "%u peer%s %u seed%s", t->peers,
			 t->peers == 1 ? "" : "s", t->seeds,
			 t->seeds == 1 ? "" : "s");
	else
		snprintf(out, size, "%up %us", t->peers, t->seeds);
}

static void
text_eta(char *out, size_t size, const struct stats_torrent *t, bool wide)
{
	char text[32];

	if (t->eta < 0)
		snprintf(out, size, wide ? "" : "-");
	else if (t->eta > 99 * 86400)
		snprintf(out, size, wide ? ">99d left" : ">99d");
	else
		snprintf(out, size, wide ? "%s left" : "%s",
			 text_duration(text, sizeof(text),
				       (uint64_t)t->eta));
}

static void
put_field(struct buffer *out, const struct bars_look *look,
	  const struct shape *s, const struct stats_torrent *t,
	  enum field field)
{
	char text[64];
	unsigned width = s->width[field];
	unsigned columns;

	switch (field) {
	case PERCENT:
		text_percent(text, sizeof(text), t, s->wide);
		break;
	case SIZE:
		text_sizes(text, sizeof(text), t, s->wide);
		break;
	case DOWN:
		text_flow(text, sizeof(text), look->utf8 ? "↓" : "v",
			  t->down_rate, s->wide);
		break;
	case UP:
		text_flow(text, sizeof(text), look->utf8 ? "↑" : "^",
			  t->up_rate, s->wide);
		break;
	case PEERS:
		text_peers(text, sizeof(text), t, s->wide);
		break;
	case ETA:
	case FIELDS:
		text_eta(text, sizeof(text), t, s->wide);
		break;
	}
	columns = columns_all(text, look->utf8);
	if (columns < width)
		put_spaces(out, width - columns);
	bars_fit(out, text, columns < width ? columns : width, look->utf8);
}

static const char *
colour_of(const struct stats_torrent *t)
{
	if (t->state == TORRENT_FAILED)
		return RED;
	if (t->stalled || t->state == TORRENT_STOPPED)
		return YELLOW;
	if (t->complete)
		return GREEN;
	return CYAN;
}

static void
put_bar(struct buffer *out, const struct bars_look *look,
	const struct shape *s, const struct bars_torrent *t)
{
	static const char *const blocks[] = {
		" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"
	};
	static const char letters[] = " .,:-=+*#";
	unsigned i;

	buffer_str(out, " [");
	if (look->colour)
		buffer_str(out, colour_of(&t->stats));
	for (i = 0; i < s->bar; i++) {
		unsigned level = t->cells[i];

		if (t->stats.complete || level > SESSION_CELL_FULL)
			level = SESSION_CELL_FULL;
		if (look->utf8)
			buffer_str(out, blocks[level]);
		else
			buffer_u8(out, (uint8_t)letters[level]);
	}
	if (look->colour)
		buffer_str(out, PLAIN);
	buffer_u8(out, ']');
}

/* What stands instead of the rates; false if the rates do. */
static bool
state_text(char *out, size_t size, const struct bars_look *look,
	   const struct stats_torrent *t)
{
	static const char *const words[] = {
		[TORRENT_LOADING] = "loading",
		[TORRENT_CHECKING] = "checking",
		[TORRENT_METADATA] = "metadata",
		[TORRENT_DOWNLOADING] = "downloading",
		[TORRENT_FINISHING] = "finishing",
		[TORRENT_SEEDING] = "seeding",
		[TORRENT_STOPPED] = "stopped",
		[TORRENT_COMPLETE] = "complete",
		[TORRENT_FAILED] = "failed",
	};
	char rate[16];

	if (t->state == TORRENT_DOWNLOADING && !t->stalled)
		return false;
	if (t->state == TORRENT_SEEDING)
		snprintf(out, size, "seeding %s%s to %u peer%s",
			 look->utf8 ? "↑" : "^",
			 compact(rate, sizeof(rate), t->up_rate), t->peers,
			 t->peers == 1 ? "" : "s");
	else if (t->stalled)
		snprintf(out, size, "stalled%s%s", t->reason[0] ? ": " : "",
			 t->reason);
	else if (t->state == TORRENT_METADATA)
		snprintf(out, size, "metadata, %u peer%s", t->peers,
			 t->peers == 1 ? "" : "s");
	else
		snprintf(out, size, "%s%s%s", words[t->state],
			 t->reason[0] ? ": " : "", t->reason);
	return true;
}

static void
put_tail(struct buffer *out, const struct bars_look *look,
	 const struct shape *s, const struct stats_torrent *t)
{
	char text[STATS_REASON_MAX + 32];
	unsigned room = 0;
	unsigned i;

	for (i = DOWN; i < FIELDS; i++)
		if (s->width[i])
			room += s->width[i] + 1;
	if (room < 2)
		return;
	if (!state_text(text, sizeof(text), look, t)) {
		for (i = DOWN; i < FIELDS; i++) {
			if (!s->width[i])
				continue;
			buffer_u8(out, ' ');
			put_field(out, look, s, t, (enum field)i);
		}
		return;
	}
	buffer_u8(out, ' ');
	if (look->colour)
		buffer_str(out, colour_of(t));
	bars_fit(out, text, room - 1, look->utf8);
	if (look->colour)
		buffer_str(out, PLAIN);
}

static void
put_line(struct buffer *out, const struct bars_look *look,
	 const struct shape *s, const struct bars_torrent *t)
{
	unsigned i;

	if (s->name) {
		bars_fit(out, t->stats.name, s->name, look->utf8);
		if (s->bar)
			put_bar(out, look, s, t);
		buffer_u8(out, ' ');
	}
	for (i = PERCENT; i <= SIZE; i++) {
		if (!s->width[i])
			continue;
		if (i != PERCENT)
			buffer_u8(out, ' ');
		put_field(out, look, s, &t->stats, (enum field)i);
	}
	put_tail(out, look, s, &t->stats);
	while (!out->failed && out->used && out->data[out->used - 1] == ' ')
		out->used--;
	buffer_u8(out, '\n');
}

/* All torrents as if they were one. */
static void
add_up(struct bars_torrent *sum, const struct bars_torrent *t, size_t count,
       size_t cells)
{
	struct stats_torrent *s = &sum->stats;
	size_t i;

	memset(sum, 0, sizeof(*sum));
	s->complete = true;
	s->state = TORRENT_DOWNLOADING;
	for (i = 0; i < count; i++) {
		const struct stats_torrent *one = &t[i].stats;

		s->length += one->length;
		s->done += one->done;
		s->down_rate += one->down_rate;
		s->up_rate += one->up_rate;
		s->peers += one->peers;
		s->seeds += one->seeds;
		s->complete = s->complete && one->complete;
	}
	s->eta = -1;
	if (s->down_rate && s->done < s->length)
		s->eta = (int64_t)((s->length - s->done) / s->down_rate);
	snprintf(s->name, sizeof(s->name), "total of %zu", count);
	for (i = 0; i < cells; i++) {
		uint64_t level = (uint64_t)permille(s->done, s->length) *
				 cells * SESSION_CELL_FULL / 1000;

		level = level > i * SESSION_CELL_FULL ?
			level - i * SESSION_CELL_FULL : 0;
		sum->cells[i] = (uint8_t)(level > SESSION_CELL_FULL ?
					  SESSION_CELL_FULL : level);
	}
}

/* The smaller, the more it belongs on the screen. */
static unsigned
rank(const struct stats_torrent *t)
{
	switch (t->state) {
	case TORRENT_CHECKING:
	case TORRENT_METADATA:
	case TORRENT_DOWNLOADING:
	case TORRENT_FINISHING:
		return t->stalled ? 1 : 0;
	case TORRENT_FAILED:
		return 2;
	case TORRENT_SEEDING:
		return 3;
	case TORRENT_LOADING:
		return 4;
	case TORRENT_STOPPED:
	case TORRENT_COMPLETE:
		break;
	}
	return 5;
}
#define RANKS 6

/* How many of each rank are shown when there are `rows` lines. */
static void
share_rows(size_t shown[RANKS], const struct bars_torrent *t, size_t count,
	   size_t rows)
{
	size_t i;

	memset(shown, 0, RANKS * sizeof(*shown));
	for (i = 0; i < count; i++)
		shown[rank(&t[i].stats)]++;
	for (i = 0; i < RANKS; i++) {
		if (shown[i] > rows)
			shown[i] = rows;
		rows -= shown[i];
	}
}

size_t
bars_paint(struct buffer *out, const struct bars_look *look,
	   const struct bars_torrent *t, size_t count)
{
	const struct shape s = shape_for(look->columns);
	size_t shown[RANKS];
	struct bars_torrent sum;
	size_t lines = 0;
	size_t i;

	share_rows(shown, t, count,
		   count > 1 ? look->rows - 1 : look->rows);
	for (i = 0; i < count; i++) {
		size_t *left = &shown[rank(&t[i].stats)];

		if (!*left)
			continue;
		--*left;
		put_line(out, look, &s, &t[i]);
		lines++;
	}
	if (count > 1) {
		add_up(&sum, t, count, s.bar);
		put_line(out, look, &s, &sum);
		lines++;
	}
	return lines;
}
