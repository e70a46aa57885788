#include "swarm/webseed.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "net/http_range.h"
#include "net/http_target.h"
#include "net/proxy.h"
#include "store/files.h"
#include "store/layout.h"
#include "webseed_inside.h"

#define LOOK_AGAIN (1 * CLOCK_S)	/* when there was nothing to ask for */
#define RATE_LEAST (100 * CLOCK_MS)	/* less says nothing */
#define GROWTH 4		/* of a run over the one before */
#define MISSING_MAX 8		/* files in a row: it has none of them */
#define WAIT_WINDOW (500 * CLOCK_MS)
#define WAIT_PART 4		/* a fourth of the time is much */

int
webseed_end_with(struct webseed *w, enum webseed_end end, const char *why)
{
	if (w->end == WEBSEED_END_NONE) {
		w->end = end;
		snprintf(w->why, sizeof(w->why), "%s", why);
	}
	return -1;
}

/* ---- asking ---- */

static void
lose_pieces(struct webseed *w, size_t first, size_t count, const char *why)
{
	struct swarm *s = w->swarm;

	snprintf(w->lost, sizeof(w->lost), "%s", why);
	for (size_t i = first; i < first + count; i++)
		if (picker_peer_donthave(s->picker, w->pp, (uint32_t)i) < 0)
			webseed_end_with(w, WEBSEED_END_UNREACHABLE,
					 "out of memory");
	if (picker_peer_count(s->picker, w->pp) == 0)
		webseed_end_with(w, WEBSEED_END_MISSING, why);
}

/* It lacks the file, or has another one: the pieces with a part of it come
 * from elsewhere. */
static int
lose_file(struct webseed *w, uint32_t file, const char *why)
{
	struct swarm *s = w->swarm;
	size_t first, count;

	log_write(s->log, LOG_DETAIL, s->name, "web seed %s: file %u: %s",
		  w->shown, file + 1, why);
	if (w->by_piece || w->only_file != UINT32_MAX ||
	    ++w->missing == MISSING_MAX)
		return webseed_end_with(w, WEBSEED_END_MISSING, why);
	layout_file_pieces(files_layout(s->files), file, &first, &count);
	lose_pieces(w, first, count, why);
	return -1;
}

/* What its URL has sent bad data for. */
static void
lose_bad(struct webseed *w)
{
	while (webseed_has_bad(w)) {
		uint32_t piece = w->bad->pieces[w->bad_seen++];
		uint32_t file = webseed_piece_file(w->swarm->meta, piece);
		size_t first = piece, count = 1;

		if (file != UINT32_MAX)
			layout_file_pieces(files_layout(w->swarm->files), file,
					   &first, &count);
		lose_pieces(w, first, count, "it sent bad data");
	}
}

/* It does not do ranges: everything, or nothing. */
static int
ask_whole(struct webseed *w, uint32_t file, const char *why)
{
	struct swarm *s = w->swarm;

	if (w->by_piece || w->only_file == UINT32_MAX || w->whole)
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
		return webseed_end_with(w, WEBSEED_END_BUSY, why);
	case HTTP_RANGE_UNREACHABLE:
		/* It broke off in the middle: go on behind that. */
		if (progress)
			return -1;
		w->mute6 = a->mute6;
		return webseed_end_with(w, WEBSEED_END_UNREACHABLE, why);
	default:
		if (a->status >= 200)
			return lose_file(w, file, why);
		return webseed_end_with(w, WEBSEED_END_REFUSED, why);
	}
}

/* A proxy that fails is told of once, whoever meets it. */
static void
mind_proxy(struct webseed *w, struct http_range_answer *a)
{
	if (!w->proxy)
		return;
	if (!a->proxy_failed) {
		if (a->status != 0)
			proxy_works(w->proxy);
		return;
	}
	proxy_failed(w->proxy, w->swarm->log, a->error.text);
	error_prefix(&a->error, "the proxy");
}

/* The URL of the part, and what is expected there; false: it is too long. */
static bool
ask_where(struct webseed *w, const struct webseed_part *part,
	  struct http_range_request *r)
{
	const struct metainfo *m = w->swarm->meta;

	if (!w->by_piece)
		return webseed_url(&w->file_url, m, w->url, part->file,
				   &r->name_at);
	r->first = 0;
	r->size = part->count;
	r->whole = r->wait_in_body = true;
	return webseed_piece_url(&w->file_url, m, w->url, w->at, part->count);
}

/* The first request, which makes the connection, says nothing. */
static void
watch_waits(struct webseed *w, int64_t waited, int64_t took, bool first)
{
	bool much;

	if (first || w->whole || w->by_piece)
		return;
	w->asked += took;
	w->waited += waited;
	if (w->asked < WAIT_WINDOW)
		return;
	much = w->waited > w->asked / WAIT_PART;
	w->asked = w->waited = 0;
	if (atomic_exchange(&w->waiting, much) != much && much)
		w->news(w->ctx);
}

static int
fetch_part(struct webseed *w, const struct webseed_part *part)
{
	const struct metainfo *m = w->swarm->meta;
	uint64_t before = atomic_load(&w->downloaded);
	bool first = !atomic_load(&w->reached);
	int64_t begun = clock_ns();
	struct http_range_answer answer;
	struct http_range_request r = {
		.first = part->first,
		.count = part->count,
		.size = m->files[part->file].length,
		.whole = w->whole,
		.data = webseed_take,
		.waits = webseed_waits,
		.go_on = webseed_go_on,
		.ctx = w,
	};

	if (!ask_where(w, part, &r))
		return lose_file(w, part->file, "the URL is too long");
	r.url = buffer_text(&w->file_url);
	if (!r.url)
		return webseed_end_with(w, WEBSEED_END_UNREACHABLE,
					"out of memory");
	http_range_get(w->http, &r, &answer);
	watch_waits(w, answer.waited, clock_ns() - begun, first);
	mind_proxy(w, &answer);
	return judge(w, part->file, &answer,
		     atomic_load(&w->downloaded) > before);
}

static int
fill_zeros(struct webseed *w, uint64_t n)
{
	static const uint8_t zeros[PICKER_BLOCK];

	while (n > 0) {
		size_t part = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);

		if (webseed_take(w, zeros, part) < 0)
			return -1;
		n -= part;
	}
	return 0;
}

/* Blocks that lie one behind the other, up to this end. */
static int
fetch_run(struct webseed *w, uint64_t end)
{
	w->at = webseed_place(w, &w->blocks[w->next]);
	while (w->at < end) {
		struct webseed_part part;
		int status;

		if (w->by_piece)
			webseed_piece_part(w->swarm->meta, w->at, end, &part);
		else
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
	webseed_sort(w);
	while (w->next < w->count) {
		uint64_t end = webseed_place(w, &w->blocks[w->next]);

		for (size_t i = w->next; i < w->count; i++) {
			if (webseed_place(w, &w->blocks[i]) != end)
				break;
			end += w->blocks[i].length;
		}
		if (fetch_run(w, end) < 0)
			return -1;
	}
	return 0;
}

static void
fetch_whole(struct webseed *w)
{
	struct webseed_part part = {.file = w->only_file,
				    .count = metainfo_pieces_length(
					    w->swarm->meta)};
	uint64_t before = atomic_load(&w->downloaded);

	w->at = 0;
	w->next = w->count = 0;
	fetch_part(w, &part);
	if (atomic_load(&w->downloaded) == before)
		webseed_end_with(w, WEBSEED_END_UNREACHABLE,
				 "nothing of it could be used");
}

/* ---- the loop ---- */

static void
give_back(struct webseed *w)
{
	struct swarm *s = w->swarm;

	w->block_used = w->next = w->count = 0;
	/* The next run goes on in the piece in which this one ended. */
	if (picker_peer_asked(s->picker, w->pp) == 0)
		return;
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
	w->last_bps = 0;
	if (w->whole)
		fetch_whole(w);
	else
		fetch_runs(w);
	webseed_write(w);
	now = clock_ns();
	if (w->window_bytes > 0 && (w->rate_bps == 0 ||
				    now - w->window_at >= RATE_LEAST))
		webseed_measure(w, now);
	give_back(w);
}

static void
wait_idle(struct webseed *w)
{
	struct pollfd fd = {.fd = w->wake.fd, .events = POLLIN};

	atomic_store(&w->waiting, false);
	w->asked = w->waited = 0;
	if (poll(&fd, 1, (int)(LOOK_AGAIN / CLOCK_MS)) == 0 && w->more)
		webseed_end_with(w, WEBSEED_END_STOPPED, "not needed");
	wake_drain(&w->wake);
	atomic_store(&w->idle, false);
}

/* All that it could still give was lost: it comes back later and is asked
 * for everything, since the server may have lacked a file for a moment. */
static bool
has_run_out(struct webseed *w)
{
	return *w->lost && !picker_interesting(w->swarm->picker, w->pp);
}

static void
loop(struct webseed *w)
{
	for (;;) {
		lose_bad(w);
		if (atomic_load(&w->stop) || w->end != WEBSEED_END_NONE)
			break;
		/* Said before looking: what becomes free in between wakes
		 * us. */
		atomic_store(&w->idle, true);
		if (w->whole ? !picker_has_free(w->swarm->picker, w->pp)
			     : !reserve(w)) {
			if (has_run_out(w))
				webseed_end_with(w, WEBSEED_END_MISSING,
						 w->lost);
			else
				wait_idle(w);
			continue;
		}
		atomic_store(&w->idle, false);
		fetch(w);
	}
	webseed_end_with(w, WEBSEED_END_STOPPED, "stopped");
}

static void
work(struct webseed *w)
{
	struct swarm *s = w->swarm;
	size_t freed;

	if (!http_target_url_allowed(w->url)) {
		webseed_end_with(w, WEBSEED_END_REFUSED,
				 "a query to a host of the local network");
		return;
	}
	w->pp = picker_join(s->picker, w->id, w->source);
	if (!w->pp) {
		webseed_end_with(w, WEBSEED_END_UNREACHABLE,
				 "out of memory");
		return;
	}
	picker_peer_have_all(s->picker, w->pp);
	loop(w);
	if (w->fast)
		loads_exit(s->loads);
	loads_drain(s->loads);
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
	w->news(w->ctx);
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
		.only_ipv4 = start->only_ipv4,
	};

	if (!w) {
		error_memory(e);
		return NULL;
	}
	w->swarm = start->swarm;
	w->id = start->id;
	w->source = start->source;
	w->url = start->url;
	w->proxy = start->route ? start->route->proxy : NULL;
	w->by_piece = start->by_piece;
	w->bad = start->bad;
	w->more = start->more;
	w->news = start->news;
	w->ctx = start->ctx;
	w->wake.fd = -1;
	w->only_file = webseed_only_file(start->swarm->meta);
	text_url(w->shown, sizeof(w->shown), start->url);
	buffer_init(&w->file_url, WEBSEED_URL_MAX + 1);
	w->blocks = calloc(WEBSEED_RUN_MAX, sizeof(*w->blocks));
	w->slots = aligned_alloc(FILES_ALIGN, LOAD_SIZE);
	if (!w->blocks || !w->slots) {
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
	free(w->slots);
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
		.waiting = atomic_load(&w->waiting),
		.downloaded = atomic_load(&w->downloaded),
	};
	if (!out->ended)
		return;
	out->end = w->end;
	out->mute6 = w->mute6;
	out->retry_after_s = w->retry_after_s;
	out->why = w->why;
}
