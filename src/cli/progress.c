/*
 * The thread sleeps in one poll: on its wake fd, on the outlets that still
 * have something to take, and until the next snapshot is due.
 *
 * Writing never waits (see cli/outlet): what a reader does not take is queued
 * up to a cap, and then dropped; frames of bars are dropped at once.  The end
 * waits for a reader as long as he goes on reading, within a bound.  Should a
 * write block for all that (a terminal stopped with Ctrl-S in the wrong
 * moment), progress_stop gives up on the thread, and the end of the process
 * ends it.
 */
#include "cli/progress.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/json.h"
#include "cli/terminal.h"
#include "progress_parts.h"

#define QUEUE_MAX (1u << 20)
/* Of the events' queue: for warnings and what is complete, and at last for
 * the exit. */
#define RESULTS_KEPT (64u << 10)
#define EXIT_KEPT (8u << 10)
/* Room that is always there: out of memory there is still a message. */
#define MESSAGES_KEPT 4096
#define END_MAX_NS (60 * CLOCK_S)	/* for a reader who reads */
#define HURRIED 3			/* and then so many patiences */
#define LATE_NS (100 * CLOCK_MS)	/* who looks later did not run */
#define MESSAGE_NS (100 * CLOCK_MS)	/* messages that break the bars */

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
	p->out_waits = outlet_take(&p->out, &p->events);
	p->err_waits = outlet_take(&p->err, &p->messages);
	/* JSON's first progress comes a second after the start. */
	if (*source != p->source)
		p->next_at = p->mode == PROGRESS_JSON ?
			     clock_ns() + CLOCK_S : 0;
	*source = p->source;
	stop = p->stop;
	mutex_unlock(&p->lock);
	return stop;
}

/* Is there more to take over, and room for it? */
static bool
is_behind(const struct progress *p)
{
	return (p->out_waits && !p->out.queue.used) ||
	       (p->err_waits && !p->err.queue.used);
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
	poll(fds, 3, is_behind(p) ? 0 : clock_poll_ms(clock_ns(), until));
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

/* True when it took some. */
static bool
flush(struct outlet *s)
{
	size_t before = s->queue.used;

	outlet_flush(s);
	return s->queue.used < before;
}

static bool
is_flushed(const struct outlet *s, bool waits)
{
	return s->dead || (!s->queue.used && !waits);
}

/* Whoever waits for the thread waits as long. */
static void
give_time(struct progress *p, int64_t until)
{
	mutex_lock(&p->lock);
	p->until = until;
	mutex_unlock(&p->lock);
}

static void
flush_at_end(struct progress *p, const struct progress_source *source)
{
	int64_t now = clock_ns(), most = now + END_MAX_NS;
	int64_t until = now + p->patience_ns;
	int64_t hurried = now + HURRIED * p->patience_ns;

	p->ending = true;
	give_time(p, until);
	for (;;) {
		bool took = flush(&p->out);

		took |= flush(&p->err);
		take_queued(p, &source);
		if (is_flushed(&p->out, p->out_waits) &&
		    is_flushed(&p->err, p->err_waits))
			return;
		now = clock_ns();
		if (atomic_load(&p->hurried))
			most = hurried;
		/* Nor did the reader, perhaps, where this thread did not. */
		if (took || now - until > LATE_NS) {
			until = clock_min(now + p->patience_ns, most);
			give_time(p, until);
		}
		if (now >= until)
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
			progress_update(p, source, clock_ns(), false);
		outlet_flush(&p->out);
		if (!above_bars(p))
			outlet_flush(&p->err);
		wait_for_work(p, due_at(p));
	}
	progress_update(p, source, clock_ns(), true);
	flush_at_end(p, source);
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
	    !buffer_room(&p->out.queue, MESSAGES_KEPT) ||
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

/* Until the thread has ended, or its time is over; if this one did not run
 * meanwhile it may not have run either. */
static void
wait_for_thread(struct progress *p) REQUIRES(p->lock)
{
	bool late = false;

	while (!p->ended) {
		int64_t until = p->until + CLOCK_S / 2, now = clock_ns();

		if (now >= until && (late || now - until <= LATE_NS))
			return;
		if (now >= until) {
			late = true;
			p->until = now;
			continue;
		}
		cond_wait(&p->ended_cond, &p->lock, until);
	}
}

/* False when the thread hangs in a write. */
static bool
end_thread(struct progress *p)
{
	bool ended;

	mutex_lock(&p->lock);
	p->stop = true;
	p->until = clock_ns() + p->patience_ns;
	wake_up(&p->wake);
	wait_for_thread(p);
	ended = p->ended;
	if (!ended)	/* who waited goes on, and may free it */
		p->source = NULL;
	mutex_unlock(&p->lock);
	if (ended)
		thread_join(&p->thread);
	return ended;
}

bool
progress_stop(struct progress *p)
{
	return !p || !p->thread.started || end_thread(p);
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
tell(struct progress *p, struct buffer *event, size_t kept)
{
	mutex_lock(&p->lock);
	if (!event->failed)
		outlet_queue(&p->events, event->data, event->used, kept);
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
	tell(p, &event, RESULTS_KEPT);
}

void
progress_file(struct progress *p, const struct stats_torrent *t,
	      const char *path)
{
	struct buffer event;

	if (!wants(p, &event))
		return;
	json_event_file(&event, clock_wall(), t, path);
	tell(p, &event, RESULTS_KEPT);
}

void
progress_warning(struct progress *p, const struct stats_torrent *t,
		 const char *text, int code)
{
	struct buffer event;

	if (!wants(p, &event))
		return;
	json_event_warning(&event, clock_wall(), t, text, code);
	tell(p, &event, EXIT_KEPT);
}

void
progress_complete(struct progress *p, const struct stats_torrent *t)
{
	struct buffer event;

	if (!wants(p, &event))
		return;
	json_event_complete(&event, clock_wall(), t);
	tell(p, &event, EXIT_KEPT);
}

void
progress_exit(struct progress *p, int code, const char *reason)
{
	struct buffer event;

	if (!wants(p, &event))
		return;
	json_event_exit(&event, clock_wall(), code, reason);
	tell(p, &event, 0);
}

void
progress_hurry(struct progress *p)
{
	atomic_store(&p->hurried, true);
	wake_up(&p->wake);
}

void
progress_resized(struct progress *p)
{
	atomic_store(&p->resized, true);
	wake_up(&p->wake);
}
