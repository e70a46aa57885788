#include "swarm/webseed.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sync.h"
#include "base/text.h"
#include "meta/metainfo.h"
#include "net/http_range.h"
#include "net/http_target.h"
#include "store/files.h"
#include "store/layout.h"
#include "swarm/intake.h"
#include "swarm/picker.h"

#define LOOK_AGAIN (1 * CLOCK_S)	/* when there was nothing to ask for */
#define RATE_WINDOW (1 * CLOCK_S)
#define RATE_LEAST (100 * CLOCK_MS)	/* less says nothing */
#define GROWTH 4		/* of a run over the one before */
#define MISSING_MAX 8		/* files in a row: it has none of them */
#define CANCELS 64
#define SHOWN_MAX 256

struct webseed {
	struct swarm *swarm;
	uint32_t id;
	uint64_t source;
	const char *url;
	char shown[SHOWN_MAX];	/* the URL, without its secrets */
	void (*on_end)(void *ctx);
	void *ctx;
	struct thread thread;
	struct wake wake;
	struct http_range *http;
	struct buffer file_url;

	/* Shared. */
	_Atomic bool stop;
	_Atomic bool idle;	/* waits for blocks to become free */
	_Atomic bool reached;
	_Atomic bool ended;
	_Atomic uint64_t downloaded;

	/* Read by others once it ended. */
	enum webseed_end end;
	long retry_after_s;

	/* The thread's own. */
	struct picker_peer *pp;
	uint64_t rate_bps;	/* 0: not known */
	int64_t window_at;	/* what it is measured over */
	uint64_t window_bytes;
	size_t run;		/* blocks that may be asked for at a time */
	uint32_t only_file;	/* UINT32_MAX: there are several */
	bool whole;		/* the server does not do ranges */
	unsigned missing;	/* files in a row */
	struct block *blocks;	/* reserved; in the stream's order */
	size_t count;
	size_t next;		/* the one that is being received */
	uint64_t at;		/* in the stream */
	uint8_t *block;		/* the beginning of the next one */
	size_t block_used;
	char why[ERROR_TEXT_MAX];
};

static int
end_with(struct webseed *w, enum webseed_end end, const char *why)
{
	if (w->end == WEBSEED_END_NONE) {
		w->end = end;
		snprintf(w->why, sizeof(w->why), "%s", why);
	}
	return -1;
}

static uint64_t
place_of(const struct webseed *w, const struct block *b)
{
	return (uint64_t)b->piece * w->swarm->meta->piece_length + b->offset;
}

/* ---- the rate ---- */

/* The new rate counts as much as all before it. */
static void
measure(struct webseed *w, int64_t now)
{
	int64_t span = now - w->window_at;
	double rate = (double)w->window_bytes * CLOCK_S /
		      (double)(span > 0 ? span : 1);

	if (w->rate_bps > 0)
		rate = (rate + (double)w->rate_bps) / 2;
	w->rate_bps = rate < UINT32_MAX ? (uint64_t)rate + 1 : UINT32_MAX;
	w->window_at = now;
	w->window_bytes = 0;
}

/* The run turns out to take far longer than it was meant to: what lies
 * behind is for others. */
static void
shorten(struct webseed *w)
{
	struct swarm *s = w->swarm;
	size_t keep = webseed_run_blocks(w->rate_bps);

	if (w->count - w->next <= 2 * keep)
		return;
	w->count = w->next + keep;
	if (picker_return_but(s->picker, w->pp, keep) > 0)
		s->events.blocks_free(s->events.ctx);
}

static void
watch_rate(struct webseed *w, uint32_t bytes)
{
	struct picker_ask ask = {.now = clock_ns()};

	w->window_bytes += bytes;
	if (ask.now - w->window_at < RATE_WINDOW)
		return;
	measure(w, ask.now);
	ask.rate_bps = w->rate_bps;
	picker_reserve_run(w->swarm->picker, w->pp, &ask, NULL);
	if (!w->whole)
		shorten(w);
}

/* ---- what comes ---- */

static int
take_block(struct webseed *w, const uint8_t *data)
{
	const struct block *b = &w->blocks[w->next++];
	struct swarm *s = w->swarm;

	watch_rate(w, b->length);

	if (!picker_accept(s->picker, w->pp, b)) {
		atomic_fetch_add(&s->wasted, b->length);
	} else {
		atomic_fetch_add(&w->downloaded, b->length);
		atomic_fetch_add(&s->downloaded, b->length);
		if (intake_block(s, w->pp, b, data) < 0)
			return end_with(w, WEBSEED_END_STOPPED,
					"storage failed");
	}
	return atomic_load(&w->stop) ? -1 : 0;
}

static int
compare_blocks(const void *one, const void *two)
{
	const struct block *a = one, *b = two;

	if (a->piece != b->piece)
		return a->piece < b->piece ? -1 : 1;
	return (a->offset > b->offset) - (a->offset < b->offset);
}

/* The file comes as a whole, and a new piece begins: what of it is still to
 * be had.  */
static void
reserve_piece(struct webseed *w)
{
	struct picker *p = w->swarm->picker;
	uint32_t piece = (uint32_t)(w->at / w->swarm->meta->piece_length);
	struct block cancelled[CANCELS];
	struct picker_ask ask = {
		.max = WEBSEED_RUN_MAX,
		.now = clock_ns(),
		.rate_bps = w->rate_bps,
	};

	while (picker_take_cancels(p, w->pp, cancelled, CANCELS) == CANCELS)
		;
	w->next = 0;
	w->count = picker_reserve_piece(p, w->pp, piece, &ask, w->blocks);
	qsort(w->blocks, w->count, sizeof(*w->blocks), compare_blocks);
}

/* Where the next block begins; what comes before it is not wanted. */
static uint64_t
next_place(struct webseed *w)
{
	uint32_t piece_length = w->swarm->meta->piece_length;

	if (w->whole && w->next == w->count && w->at % piece_length == 0)
		reserve_piece(w);
	if (w->next < w->count)
		return place_of(w, &w->blocks[w->next]);
	return (w->at / piece_length + 1) * piece_length;
}

/* The next bytes of the stream.  A block that lies there whole is used where
 * it lies; of others the beginning is kept. */
static int
take_data(void *ctx, const uint8_t *data, size_t n)
{
	struct webseed *w = ctx;

	atomic_store(&w->reached, true);
	while (n > 0) {
		size_t used = n, length;
		uint64_t skip = 0;

		if (w->next == w->count && !w->whole)
			return -1;	/* the run was shortened */
		if (w->block_used == 0)
			skip = next_place(w) - w->at;
		if (skip > 0) {
			if (used > skip)
				used = (size_t)skip;
			atomic_fetch_add(&w->swarm->wasted, used);
			w->at += used;
			data += used;
			n -= used;
			continue;
		}
		length = w->blocks[w->next].length;
		if (used > length - w->block_used)
			used = length - w->block_used;
		if (used < length) {
			memcpy(w->block + w->block_used, data, used);
			w->block_used += used;
		}
		w->at += used;
		if (used == length || w->block_used == length) {
			w->block_used = 0;
			if (take_block(w, used == length ? data
							 : w->block) < 0)
				return -1;
		}
		data += used;
		n -= used;
	}
	return 0;
}

/* After a wake-up in the middle of a transfer: is it still of use? */
static bool
go_on(void *ctx)
{
	struct webseed *w = ctx;
	struct picker *p = w->swarm->picker;
	struct block cancelled[CANCELS];

	if (atomic_load(&w->stop))
		return false;
	while (picker_take_cancels(p, w->pp, cancelled, CANCELS) == CANCELS)
		;
	if (w->whole)
		return picker_interesting(p, w->pp);
	return picker_peer_asked(p, w->pp) > 0;
}

/* ---- asking ---- */

/* It lacks the file, or has another one: the pieces with a part of it come
 * from elsewhere. */
static int
lose_file(struct webseed *w, uint32_t file, const char *why)
{
	struct swarm *s = w->swarm;
	size_t first, count;

	log_write(s->log, LOG_DETAIL, s->name, "web seed %s: file %u: %s",
		  w->shown, file + 1, why);
	if (w->only_file != UINT32_MAX || ++w->missing == MISSING_MAX)
		return end_with(w, WEBSEED_END_MISSING, why);
	layout_file_pieces(files_layout(s->files), file, &first, &count);
	for (size_t i = first; i < first + count; i++)
		if (picker_peer_donthave(s->picker, w->pp, (uint32_t)i) < 0)
			return end_with(w, WEBSEED_END_UNREACHABLE,
					"out of memory");
	if (picker_peer_count(s->picker, w->pp) == 0)
		return end_with(w, WEBSEED_END_MISSING, why);
	return -1;
}

/* It does not do ranges: everything, or nothing. */
static int
ask_whole(struct webseed *w, uint32_t file, const char *why)
{
	struct swarm *s = w->swarm;

	if (w->only_file == UINT32_MAX || w->whole)
		return lose_file(w, file, why);
	log_write(s->log, LOG_DETAIL, s->name,
		  "web seed %s: %s: asking for all of it", w->shown, why);
	w->whole = true;
	return -1;
}

/* 0: it came; -1: the rest of the run is given up. */
static int
judge(struct webseed *w, uint32_t file, const struct http_range_answer *a,
      bool progress)
{
	const char *why = a->error.text;

	switch (a->end) {
	case HTTP_RANGE_DONE:
		w->missing = 0;
		return 0;
	case HTTP_RANGE_STOPPED:
		return -1;
	case HTTP_RANGE_MISSING:
		return lose_file(w, file, why);
	case HTTP_RANGE_IGNORED:
		return ask_whole(w, file, why);
	case HTTP_RANGE_BUSY:
		atomic_store(&w->reached, true);
		w->retry_after_s = a->retry_after_s;
		return end_with(w, WEBSEED_END_BUSY, why);
	case HTTP_RANGE_UNREACHABLE:
		/* It broke off in the middle: go on behind that. */
		if (progress)
			return -1;
		return end_with(w, WEBSEED_END_UNREACHABLE, why);
	default:
		if (a->status >= 200)
			return lose_file(w, file, why);
		return end_with(w, WEBSEED_END_REFUSED, why);
	}
}

static int
fetch_part(struct webseed *w, const struct webseed_part *part)
{
	const struct metainfo *m = w->swarm->meta;
	uint64_t before = atomic_load(&w->downloaded);
	struct http_range_answer answer;
	struct http_range_request r = {
		.first = part->first,
		.count = part->count,
		.size = m->files[part->file].length,
		.whole = w->whole,
		.data = take_data,
		.go_on = go_on,
		.ctx = w,
	};

	if (!webseed_url(&w->file_url, m, w->url, part->file))
		return lose_file(w, part->file, "the URL is too long");
	r.url = buffer_text(&w->file_url);
	if (!r.url)
		return end_with(w, WEBSEED_END_UNREACHABLE, "out of memory");
	http_range_get(w->http, &r, &answer);
	return judge(w, part->file, &answer,
		     atomic_load(&w->downloaded) > before);
}

static int
fill_zeros(struct webseed *w, uint64_t n)
{
	static const uint8_t zeros[PICKER_BLOCK];

	while (n > 0) {
		size_t part = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);

		if (take_data(w, zeros, part) < 0)
			return -1;
		n -= part;
	}
	return 0;
}

/* Blocks that lie one behind the other, up to this end. */
static int
fetch_run(struct webseed *w, uint64_t end)
{
	w->at = place_of(w, &w->blocks[w->next]);
	while (w->at < end) {
		struct webseed_part part;
		int status;

		webseed_part_at(w->swarm->meta, w->at, end, &part);
		status = part.zeros ? fill_zeros(w, part.count)
				    : fetch_part(w, &part);
		if (status < 0)
			return -1;
	}
	return 0;
}

static int
fetch_runs(struct webseed *w)
{
	qsort(w->blocks, w->count, sizeof(*w->blocks), compare_blocks);
	while (w->next < w->count) {
		size_t i = w->next;
		uint64_t end;

		do {
			end = place_of(w, &w->blocks[i]) +
			      w->blocks[i].length;
			i++;
		} while (i < w->count && place_of(w, &w->blocks[i]) == end);
		if (fetch_run(w, end) < 0)
			return -1;
	}
	return 0;
}

static void
fetch_whole(struct webseed *w)
{
	struct webseed_part part = {.file = w->only_file,
				    .count = w->swarm->meta->length};
	uint64_t before = atomic_load(&w->downloaded);

	w->at = 0;
	w->next = w->count = 0;
	fetch_part(w, &part);
	if (atomic_load(&w->downloaded) == before)
		end_with(w, WEBSEED_END_UNREACHABLE,
			 "nothing of it could be used");
}

/* ---- the loop ---- */

static void
give_back(struct webseed *w)
{
	struct swarm *s = w->swarm;

	w->block_used = w->next = w->count = 0;
	if (picker_return_all(s->picker, w->pp) > 0)
		s->events.blocks_free(s->events.ctx);
}

static bool
reserve(struct webseed *w)
{
	size_t most = webseed_run_blocks(w->rate_bps);
	struct picker_ask ask = {
		.now = clock_ns(),
		.rate_bps = w->rate_bps,
		.endgame_ok = true,
	};

	/* Buffers on the way can make the first bytes too fast. */
	w->run = w->run == 0 || w->run * GROWTH > most ? most
						       : w->run * GROWTH;
	ask.max = w->run;
	w->next = 0;
	w->count = picker_reserve_run(w->swarm->picker, w->pp, &ask,
				      w->blocks);
	return w->count > 0;
}

static void
fetch(struct webseed *w)
{
	int64_t now = clock_ns();

	if (w->window_bytes == 0)
		w->window_at = now;
	if (w->whole)
		fetch_whole(w);
	else
		fetch_runs(w);
	now = clock_ns();
	if (w->window_bytes > 0 && (w->rate_bps == 0 ||
				    now - w->window_at >= RATE_LEAST))
		measure(w, now);
	give_back(w);
}

static void
wait_idle(struct webseed *w)
{
	struct pollfd fd = {.fd = w->wake.fd, .events = POLLIN};

	poll(&fd, 1, (int)(LOOK_AGAIN / CLOCK_MS));
	wake_drain(&w->wake);
	atomic_store(&w->idle, false);
}

static void
loop(struct webseed *w)
{
	while (!atomic_load(&w->stop) && w->end == WEBSEED_END_NONE) {
		/* Said before looking: what becomes free in between wakes
		 * us. */
		atomic_store(&w->idle, true);
		if (w->whole ? !picker_interesting(w->swarm->picker, w->pp)
			     : !reserve(w)) {
			wait_idle(w);
			continue;
		}
		atomic_store(&w->idle, false);
		fetch(w);
	}
	end_with(w, WEBSEED_END_STOPPED, "stopped");
}

static void
work(struct webseed *w)
{
	struct swarm *s = w->swarm;
	size_t freed;

	if (!http_target_url_allowed(w->url)) {
		end_with(w, WEBSEED_END_REFUSED,
			 "a query to a host of the local network");
		return;
	}
	w->pp = picker_join(s->picker, w->id, w->source);
	if (!w->pp) {
		end_with(w, WEBSEED_END_UNREACHABLE, "out of memory");
		return;
	}
	picker_peer_have_all(s->picker, w->pp);
	loop(w);
	freed = picker_leave(s->picker, w->pp);
	if (freed > 0)
		s->events.blocks_free(s->events.ctx);
}

static void
run(void *arg)
{
	struct webseed *w = arg;
	struct swarm *s = w->swarm;

	log_write(s->log, LOG_DETAIL, s->name, "web seed %s: begins",
		  w->shown);
	work(w);
	log_write(s->log, LOG_DETAIL, s->name, "web seed %s: ends: %s",
		  w->shown, w->why);
	atomic_store(&w->ended, true);
	w->on_end(w->ctx);
}

/* ---- for other threads ---- */

struct webseed *
webseed_new(const struct webseed_start *start, struct error *e)
{
	struct webseed *w = calloc(1, sizeof(*w));
	struct http_range_config config = {
		.route = start->route,
		.down = start->swarm->down,
		.local = http_target_is_local(start->url),
	};

	if (!w) {
		error_memory(e);
		return NULL;
	}
	w->swarm = start->swarm;
	w->id = start->id;
	w->source = start->source;
	w->url = start->url;
	w->on_end = start->ended;
	w->ctx = start->ctx;
	w->wake.fd = -1;
	w->only_file = webseed_only_file(start->swarm->meta);
	text_url(w->shown, sizeof(w->shown), start->url);
	buffer_init(&w->file_url, WEBSEED_URL_MAX + 1);
	w->blocks = calloc(WEBSEED_RUN_MAX, sizeof(*w->blocks));
	w->block = malloc(PICKER_BLOCK);
	if (!w->blocks || !w->block) {
		error_memory(e);
		goto fail;
	}
	if (wake_init(&w->wake, e) < 0)
		goto fail;
	config.wake = &w->wake;
	w->http = http_range_new(&config, e);
	if (!w->http || thread_start(&w->thread, "webseed",
				     THREAD_STACK_LARGE, run, w, e) < 0)
		goto fail;
	return w;
fail:
	webseed_free(w);
	return NULL;
}

void
webseed_stop(struct webseed *w)
{
	atomic_store(&w->stop, true);
	wake_up(&w->wake);
}

void
webseed_free(struct webseed *w)
{
	if (!w)
		return;
	thread_join(&w->thread);
	http_range_free(w->http);
	wake_release(&w->wake);
	buffer_release(&w->file_url);
	free(w->blocks);
	free(w->block);
	free(w);
}

void
webseed_wake(struct webseed *w)
{
	wake_up(&w->wake);
}

bool
webseed_is_idle(const struct webseed *w)
{
	return atomic_load(&w->idle);
}

uint32_t
webseed_id(const struct webseed *w)
{
	return w->id;
}

void
webseed_look(const struct webseed *w, struct webseed_view *out)
{
	*out = (struct webseed_view){
		.ended = atomic_load(&w->ended),
		.reached = atomic_load(&w->reached),
		.downloaded = atomic_load(&w->downloaded),
	};
	if (!out->ended)
		return;
	out->end = w->end;
	out->retry_after_s = w->retry_after_s;
	out->why = w->why;
}
