/*
 * What the thread shows: a snapshot, as bars, as plain lines or as JSON.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/json.h"
#include "cli/terminal.h"
#include "progress_parts.h"

#define TORRENTS_MAX 65536
#define BUSY_NS (250 * CLOCK_MS)	/* between frames while all moves */
#define IDLE_NS CLOCK_S

/* ---- snapshots ---- */

static bool
make_room(struct progress *p, size_t count)
{
	size_t room = p->room ? p->room : 4;
	struct bars_torrent *torrents;
	struct told *told;

	if (count <= p->room)
		return true;
	while (room < count)
		room *= 2;
	torrents = realloc(p->torrents, room * sizeof(*torrents));
	if (torrents)
		p->torrents = torrents;
	told = realloc(p->told, room * sizeof(*told));
	if (told)
		p->told = told;
	if (!torrents || !told)
		return false;
	p->room = room;
	return true;
}

static void
take_snapshot(struct progress *p, const struct progress_source *source,
	      size_t cells)
{
	size_t from = 0;

	for (p->count = 0; p->count < TORRENTS_MAX; p->count++) {
		struct bars_torrent *t;

		if (!make_room(p, p->count + 1))
			break;
		t = &p->torrents[p->count];
		memset(t->cells, 0, sizeof(t->cells));
		if (!source->stats(source->ctx, from, &t->stats))
			break;
		from = t->stats.number + 1;
		if (cells && !t->stats.complete)
			source->cells(source->ctx, t->stats.number, t->cells,
				      cells);
	}
}

/* Both are sorted by number, and a new torrent has the greatest so far: who
 * is gone from the snapshot is forgotten, who is new begins anew. */
static void
match_told(struct progress *p)
{
	size_t k = 0;

	for (size_t i = 0; i < p->count; i++) {
		uint32_t number = p->torrents[i].stats.number;

		while (k < p->told_count && p->told[k].number < number)
			k++;
		if (k < p->told_count && p->told[k].number == number)
			p->told[i] = p->told[k++];
		else
			p->told[i] = (struct told){.number = number};
	}
	p->told_count = p->count;
}

/* Does anything move, so that it is worth looking soon again? */
static bool
is_busy(const struct progress *p)
{
	size_t i;

	for (i = 0; i < p->count; i++) {
		const struct stats_torrent *t = &p->torrents[i].stats;

		if (t->down_rate || t->up_rate ||
		    t->state == TORRENT_LOADING ||
		    t->state == TORRENT_CHECKING)
			return true;
	}
	return false;
}

/* ---- bars ---- */

/* One write, so that the frame comes at once; a frame that the terminal has
 * no room for now is left out. */
static void
write_frame(struct progress *p, struct buffer *bytes)
{
	size_t at = 0;

	if (p->out.dead || bytes->failed)
		return;
	atomic_store(&p->painting, true);
	while (at < bytes->used) {
		ssize_t n = write(p->out.fd, bytes->data + at,
				  bytes->used - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			p->out.dead = errno != EAGAIN;
			break;
		}
		at += (size_t)n;
	}
	atomic_store(&p->painting, false);
}

/* Lets messages through where the bars stand. */
static void
show_messages(struct progress *p, struct buffer *bytes)
{
	if (!p->err.queue.used)
		return;
	if (p->same_terminal && p->screen.lines) {
		screen_clear(&p->screen, bytes, &p->size);
		write_frame(p, bytes);
		buffer_clear(bytes);
		buffer_clear(&p->shown);
	}
	outlet_flush(&p->err);
}

static void
paint(struct progress *p, bool last)
{
	struct buffer bytes;
	const char *text;

	buffer_init(&bytes, FRAME_MAX);
	if (terminal_taken(p->out.fd) || p->out.dead ||
	    !outlet_ready(&p->out)) {
		outlet_flush(&p->err);
		if (terminal_taken(p->out.fd))
			screen_forget(&p->screen);
		goto out;
	}
	show_messages(p, &bytes);
	text = buffer_text(&p->frame);
	if (text && p->frame.used &&
	    (p->frame.used != p->shown.used ||
	     memcmp(p->frame.data, p->shown.data, p->frame.used) != 0)) {
		screen_paint(&p->screen, &bytes, text, &p->size);
		atomic_store(&p->hidden, true);
		buffer_clear(&p->shown);
		buffer_put(&p->shown, p->frame.data, p->frame.used);
	}
	if (last)
		screen_end(&p->screen, &bytes);
	write_frame(p, &bytes);
	if (last)
		atomic_store(&p->hidden, false);
out:
	buffer_release(&bytes);
}

static void
update_bars(struct progress *p, const struct progress_source *source,
	    int64_t now, bool last)
{
	struct bars_look look;

	if (atomic_exchange(&p->restored, false)) {
		screen_forget(&p->screen);
		buffer_clear(&p->shown);
	}
	if (atomic_exchange(&p->resized, false)) {
		p->size = terminal_size(p->out.fd);
		buffer_clear(&p->shown);
	}
	look.columns = p->size.columns > 1 ? p->size.columns - 1 : 1;
	look.rows = p->size.rows > 2 ? p->size.rows - 1 : 1;
	if (look.rows > SCREEN_LINES_MAX)
		look.rows = SCREEN_LINES_MAX;
	look.utf8 = p->utf8;
	look.colour = p->colour;
	if (source)
		take_snapshot(p, source, bars_cells(&look));
	buffer_clear(&p->frame);
	bars_paint(&p->frame, &look, p->torrents, p->count);
	paint(p, last);
	p->painted_at = now;
	p->next_at = now + (is_busy(p) ? BUSY_NS : IDLE_NS);
}

/* ---- plain and json ---- */

static void
update_plain(struct progress *p, const struct progress_source *source,
	     int64_t now)
{
	size_t i;

	p->next_at = now + IDLE_NS;
	if (!source)
		return;
	take_snapshot(p, source, 0);
	match_told(p);
	for (i = 0; i < p->count; i++) {
		buffer_clear(&p->frame);
		plain_update(&p->told[i].plain, &p->frame,
			     &p->torrents[i].stats, now);
		outlet_queue(&p->out.queue, p->frame.data, p->frame.used, 0);
	}
}

static bool
is_at_work(const struct stats_torrent *t)
{
	return t->state >= TORRENT_CHECKING && t->state <= TORRENT_SEEDING;
}

static void
update_json(struct progress *p, const struct progress_source *source,
	    int64_t now)
{
	size_t i;

	p->next_at = now + CLOCK_S;
	/* Nothing overtakes what waits for a slow reader. */
	if (!source || p->out_waits)
		return;
	take_snapshot(p, source, 0);
	for (i = 0; i < p->count; i++) {
		if (!is_at_work(&p->torrents[i].stats))
			continue;
		buffer_clear(&p->frame);
		json_event_progress(&p->frame, clock_wall(),
				    &p->torrents[i].stats);
		outlet_queue(&p->out.queue, p->frame.data, p->frame.used, 0);
	}
}

void
progress_update(struct progress *p, const struct progress_source *source,
		int64_t now, bool last)
{
	switch (p->mode) {
	case PROGRESS_BAR:
		update_bars(p, source, now, last);
		break;
	case PROGRESS_PLAIN:
		update_plain(p, source, now);
		break;
	case PROGRESS_JSON:
		if (!last)
			update_json(p, source, now);
		break;
	case PROGRESS_AUTO:
	case PROGRESS_NONE:
		p->next_at = CLOCK_NEVER;
		break;
	}
	if (p->out.dead && p->mode != PROGRESS_NONE)
		p->next_at = CLOCK_NEVER;
}

/* ---- for a signal handler ---- */

void
progress_restore(struct progress *p)
{
	static const char within[] = SCREEN_RESTORE "\r\n";
	static const char below[] = SCREEN_RESTORE;
	struct pollfd out = { .fd = p->out.fd, .events = POLLOUT };
	ssize_t n;

	if (!atomic_load(&p->hidden) || poll(&out, 1, 0) <= 0)
		return;
	if (atomic_load(&p->painting))
		n = write(p->out.fd, within, sizeof(within) - 1);
	else
		n = write(p->out.fd, below, sizeof(below) - 1);
	(void)n;
	atomic_store(&p->restored, true);
}
