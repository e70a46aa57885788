/*
 * The thread sleeps in one poll: on its wake fd, on the outlets that still
 * have something to take, and until the next snapshot is due.
 *
 * Writing never waits (see cli/outlet): what a reader does not take is queued
 * up to a cap, and then dropped; frames of bars are dropped at once.  Should a
 * write block for all that (a terminal stopped with Ctrl-S in the wrong
 * moment), progress_stop gives up on the thread, and the end of the process
 * ends it.
 */
#include "cli/progress.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/sync.h"
#include "cli/bars.h"
#include "cli/json.h"
#include "cli/plain.h"
#include "cli/screen.h"
#include "cli/outlet.h"
#include "cli/terminal.h"

#define QUEUE_MAX (1u << 20)
#define FRAME_MAX (256u << 10)
#define TORRENTS_MAX 65536
#define BUSY_NS (250 * CLOCK_MS)	/* between frames while all moves */
#define IDLE_NS CLOCK_S
/* Room that is always there: out of memory there is still a message. */
#define MESSAGES_KEPT 4096
#define MESSAGE_NS (100 * CLOCK_MS)	/* messages that break the bars */

/* What plain lines have told of a torrent. */
struct told {
	uint32_t number;
	struct plain plain;
};

struct progress {
	enum progress_mode mode;
	const char *dir;
	int64_t patience_ns;
	bool same_terminal;	/* messages would break the bars */
	bool utf8;
	bool colour;
	struct wake wake;
	struct thread thread;

	struct mutex lock;
	struct cond ended_cond;
	struct buffer events;	/* lock; for standard output */
	struct buffer messages;	/* lock; for standard error */
	const struct progress_source *source;	/* lock; or NULL */
	bool stop;		/* lock */
	bool ended;		/* lock; the thread is about to return */

	atomic_bool resized;
	atomic_bool restored;	/* a handler wrote: see progress_restore */
	atomic_bool painting;	/* within a write of a frame */
	atomic_bool hidden;	/* the cursor */

	/* the thread's own */
	struct outlet out;
	struct outlet err;
	struct screen screen;
	struct screen_size size;
	struct bars_torrent *torrents;	/* of the last snapshot */
	struct told *told;
	size_t told_count;
	size_t count;
	size_t room;		/* of both arrays */
	struct buffer frame;
	struct buffer shown;	/* the frame before */
	int64_t painted_at;
	int64_t next_at;
	bool ending;		/* no more frames */
};

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
	if (terminal_taken(p->out.fd) || p->out.dead || !outlet_ready(&p->out)) {
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
		plain_update(&p->told[i].plain, &p->frame, &p->torrents[i].stats,
			     now);
		outlet_queue(&p->out.queue, p->frame.data, p->frame.used);
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
	if (!source)
		return;
	take_snapshot(p, source, 0);
	for (i = 0; i < p->count; i++) {
		if (!is_at_work(&p->torrents[i].stats))
			continue;
		buffer_clear(&p->frame);
		json_event_progress(&p->frame, clock_wall(),
				    &p->torrents[i].stats);
		outlet_queue(&p->out.queue, p->frame.data, p->frame.used);
	}
}

static void
update(struct progress *p, const struct progress_source *source, int64_t now,
       bool last)
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

/* ---- the thread ---- */

/* Messages above the bars wait for the next frame. */
static bool
above_bars(const struct progress *p)
{
	return p->mode == PROGRESS_BAR && p->same_terminal &&
	       !p->out.dead && !p->ending;
}

/* Takes over what others have queued; true when it is time to end. */
static bool
take_queued(struct progress *p, const struct progress_source **source)
{
	bool stop;

	mutex_lock(&p->lock);
	outlet_queue(&p->out.queue, p->events.data, p->events.used);
	outlet_queue(&p->err.queue, p->messages.data, p->messages.used);
	buffer_clear(&p->events);
	buffer_clear(&p->messages);
	/* JSON's first progress comes a second after the start. */
	if (*source != p->source)
		p->next_at = p->mode == PROGRESS_JSON ?
			     clock_ns() + CLOCK_S : 0;
	*source = p->source;
	stop = p->stop;
	mutex_unlock(&p->lock);
	return stop;
}

static void
wait_for_work(struct progress *p, int64_t until)
{
	struct pollfd fds[3] = {
		{ .fd = p->wake.fd, .events = POLLIN },
		{ .fd = -1, .events = POLLOUT },
		{ .fd = -1, .events = POLLOUT },
	};

	if (p->out.queue.used && !p->out.dead)
		fds[1].fd = p->out.fd;
	if (p->err.queue.used && !p->err.dead && !above_bars(p))
		fds[2].fd = p->err.fd;
	poll(fds, 3, clock_poll_ms(clock_ns(), until));
	if (fds[0].revents)
		wake_drain(&p->wake);
}

static int64_t
due_at(const struct progress *p)
{
	int64_t due = p->next_at;

	if (p->mode != PROGRESS_BAR || p->out.dead)
		return due;
	if (above_bars(p) && p->err.queue.used && !p->err.dead)
		due = clock_min(due, p->painted_at + MESSAGE_NS);
	if (atomic_load(&p->resized) || atomic_load(&p->restored))
		due = clock_min(due, p->painted_at + MESSAGE_NS);
	return due;
}

static void
flush_at_end(struct progress *p)
{
	int64_t until = clock_ns() + p->patience_ns;

	p->ending = true;
	for (;;) {
		outlet_flush(&p->out);
		outlet_flush(&p->err);
		if ((p->out.dead || !p->out.queue.used) &&
		    (p->err.dead || !p->err.queue.used))
			return;
		if (clock_ns() >= until)
			return;
		wait_for_work(p, until);
	}
}

static void
progress_run(void *arg)
{
	struct progress *p = arg;
	const struct progress_source *source = NULL;

	while (!take_queued(p, &source)) {
		if (clock_ns() >= due_at(p))
			update(p, source, clock_ns(), false);
		outlet_flush(&p->out);
		if (!above_bars(p))
			outlet_flush(&p->err);
		wait_for_work(p, due_at(p));
	}
	update(p, source, clock_ns(), true);
	flush_at_end(p);
	mutex_lock(&p->lock);
	p->ended = true;
	cond_broadcast(&p->ended_cond);
	mutex_unlock(&p->lock);
}

/* ---- for the others ---- */

struct progress *
progress_new(const struct progress_config *config, struct error *e)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (!p) {
		error_memory(e);
		return NULL;
	}
	p->mode = config->mode;
	p->dir = config->dir;
	p->patience_ns = config->patience_ns;
	p->out.fd = config->out;
	p->err.fd = config->err;
	p->same_terminal = isatty(config->out) && isatty(config->err);
	p->utf8 = terminal_utf8();
	p->colour = terminal_colour(config->out);
	p->size = terminal_size(config->out);
	buffer_init(&p->out.queue, QUEUE_MAX);
	buffer_init(&p->err.queue, QUEUE_MAX);
	buffer_init(&p->events, QUEUE_MAX);
	buffer_init(&p->messages, QUEUE_MAX);
	buffer_init(&p->frame, FRAME_MAX);
	buffer_init(&p->shown, FRAME_MAX);
	mutex_init(&p->lock);
	cond_init(&p->ended_cond);
	p->wake.fd = -1;
	if (!buffer_room(&p->messages, MESSAGES_KEPT) ||
	    !buffer_room(&p->err.queue, MESSAGES_KEPT)) {
		error_memory(e);
		progress_free(p);
		return NULL;
	}
	if (wake_init(&p->wake, e) < 0 ||
	    thread_start(&p->thread, "progress", THREAD_STACK_SMALL,
			 progress_run, p, e) < 0) {
		progress_free(p);
		return NULL;
	}
	return p;
}

void
progress_watch(struct progress *p, const struct progress_source *source)
{
	mutex_lock(&p->lock);
	p->source = source;
	mutex_unlock(&p->lock);
	wake_up(&p->wake);
}

/* False when the thread hangs in a write. */
static bool
end_thread(struct progress *p)
{
	int64_t until = clock_ns() + p->patience_ns + CLOCK_S / 2;
	bool ended;

	mutex_lock(&p->lock);
	p->stop = true;
	wake_up(&p->wake);
	while (!p->ended && cond_wait(&p->ended_cond, &p->lock, until))
		continue;
	ended = p->ended;
	mutex_unlock(&p->lock);
	if (ended)
		thread_join(&p->thread);
	return ended;
}

void
progress_stop(struct progress *p)
{
	if (p && p->thread.started)
		end_thread(p);
}

void
progress_free(struct progress *p)
{
	if (!p)
		return;
	/* A thread that hangs keeps what it uses. */
	if (p->thread.started && !end_thread(p))
		return;
	wake_release(&p->wake);
	cond_release(&p->ended_cond);
	mutex_release(&p->lock);
	buffer_release(&p->out.queue);
	buffer_release(&p->err.queue);
	buffer_release(&p->events);
	buffer_release(&p->messages);
	buffer_release(&p->frame);
	buffer_release(&p->shown);
	free(p->torrents);
	free(p->told);
	free(p);
}

void
progress_message(struct progress *p, const char *line)
{
	size_t n = strlen(line);

	mutex_lock(&p->lock);
	if (!p->messages.failed && n < QUEUE_MAX - p->messages.used) {
		buffer_put(&p->messages, line, n);
		buffer_u8(&p->messages, '\n');
	}
	mutex_unlock(&p->lock);
	wake_up(&p->wake);
}

/* False where nobody wants events; else the event goes to tell(). */
static bool
wants(const struct progress *p, struct buffer *event)
{
	buffer_init(event, FRAME_MAX);
	return p->mode == PROGRESS_JSON;
}

static void
tell(struct progress *p, struct buffer *event)
{
	mutex_lock(&p->lock);
	if (!event->failed)
		outlet_queue(&p->events, event->data, event->used);
	mutex_unlock(&p->lock);
	wake_up(&p->wake);
	buffer_release(event);
}

static void
put_first_progress(struct buffer *event, const struct stats_torrent *t)
{
	struct stats_torrent now = *t;

	/* It seeds once the trackers are about to hear of it. */
	now.state = t->done < t->length ? TORRENT_DOWNLOADING :
		    TORRENT_FINISHING;
	json_event_progress(event, clock_wall(), &now);
}

void
progress_start(struct progress *p, const struct stats_torrent *t)
{
	struct buffer event;

	if (wants(p, &event)) {
		json_event_start(&event, clock_wall(), t, p->dir);
		/* However soon it ends, there is one of these. */
		if (!t->complete)
			put_first_progress(&event, t);
	} else if (p->mode == PROGRESS_PLAIN && !t->complete)
		plain_start(&event, t);
	tell(p, &event);
}

void
progress_file(struct progress *p, const struct stats_torrent *t,
	      const char *path)
{
	struct buffer event;

	if (!wants(p, &event))
		return;
	json_event_file(&event, clock_wall(), t, path);
	tell(p, &event);
}

void
progress_warning(struct progress *p, const struct stats_torrent *t,
		 const char *text)
{
	struct buffer event;

	if (!wants(p, &event))
		return;
	json_event_warning(&event, clock_wall(), t, text);
	tell(p, &event);
}

void
progress_complete(struct progress *p, const struct stats_torrent *t)
{
	struct buffer event;

	if (!wants(p, &event))
		return;
	json_event_complete(&event, clock_wall(), t);
	tell(p, &event);
}

void
progress_exit(struct progress *p, int code, const char *reason)
{
	struct buffer event;

	if (!wants(p, &event))
		return;
	json_event_exit(&event, clock_wall(), code, reason);
	tell(p, &event);
}

void
progress_resized(struct progress *p)
{
	atomic_store(&p->resized, true);
	wake_up(&p->wake);
}

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
