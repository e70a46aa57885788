/*
 * What comes from a web seed: bytes of the stream, of which blocks are made,
 * and how fast they come.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "swarm/intake.h"
#include "webseed_inside.h"

#define CANCELS 64		/* taken at a time */
#define RATE_WINDOW (1 * CLOCK_S)
#define BURST_FULL 100000	/* what a receive brings if there is more */
#define BURSTS_FULL 16		/* in a row: the server waits for us */

/* ---- the rate ---- */

/* The new rate counts as much as all before it. */
void
webseed_measure(struct webseed *w, int64_t now)
{
	int64_t span = now - w->window_at;
	double rate = (double)w->window_bytes * CLOCK_S /
		      (double)(span > 0 ? span : 1);

	w->last_bps = rate < UINT32_MAX ? (uint64_t)rate + 1 : UINT32_MAX;
	if (w->rate_bps > 0)
		w->rate_bps = w->rate_bps / 2 + w->last_bps / 2;
	else
		w->rate_bps = w->last_bps;
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
	uint64_t before = w->last_bps;

	w->window_bytes += bytes;
	if (ask.now - w->window_at < RATE_WINDOW)
		return;
	webseed_measure(w, ask.now);
	ask.rate_bps = w->rate_bps;
	picker_reserve_run(w->swarm->picker, w->pp, &ask, NULL);
	/* Over a long path each request begins slowly, and what is broken off
	 * begins more slowly still. */
	if (!w->whole && before > 0 && w->last_bps < before / 4 * 5)
		shorten(w);
}

/* ---- what comes ---- */

/* Blocks that make a load are left to the thread that writes, together with
 * the buffer. */
static int
write_parts(struct webseed *w, size_t n)
{
	struct swarm *s = w->swarm;
	struct load *load = NULL;
	uint8_t *slots = w->slots;
	int status;

	if (w->fast && n >= INTAKE_LOAD_MIN)
		load = loads_try(s->loads);
	if (!load) {
		status = intake_parts(s, w->pp, w->parts, n);
		memcpy(slots, slots + n * PICKER_BLOCK, w->block_used);
		return status;
	}
	w->slots = load->data;
	load->data = slots;
	memcpy(load->parts, w->parts, n * sizeof(*w->parts));
	load->used = n;
	memcpy(w->slots, slots + n * PICKER_BLOCK, w->block_used);
	return intake_load(s, w->pp, load);
}

int
webseed_write(struct webseed *w)
{
	size_t n = w->part_count;

	if (n == 0)
		return 0;
	w->part_count = 0;
	if (write_parts(w, n) < 0)
		return webseed_end_with(w, WEBSEED_END_STOPPED,
					"storage failed");
	return 0;
}

/* The block in the slot is whole. */
static int
take_block(struct webseed *w)
{
	const struct block *b = &w->blocks[w->next++];
	struct swarm *s = w->swarm;

	w->block_used = 0;
	if (!picker_accept(s->picker, w->pp, b)) {
		atomic_fetch_add(&s->wasted, b->length);
	} else {
		atomic_fetch_add(&w->downloaded, b->length);
		atomic_fetch_add(&s->downloaded, b->length);
		w->parts[w->part_count] = (struct load_part){
			*b, w->slots + w->part_count * PICKER_BLOCK};
		if (++w->part_count == LOAD_BLOCKS && webseed_write(w) < 0)
			return -1;
	}
	watch_rate(w, b->length);
	return atomic_load(&w->stop) || webseed_has_bad(w) ? -1 : 0;
}

static int
compare_blocks(const void *one, const void *two)
{
	const struct block *a = one, *b = two;

	if (a->piece != b->piece)
		return a->piece < b->piece ? -1 : 1;
	return (a->offset > b->offset) - (a->offset < b->offset);
}

void
webseed_sort(struct webseed *w)
{
	qsort(w->blocks, w->count, sizeof(*w->blocks), compare_blocks);
}

/* Others were quicker: those blocks are skipped when they come. */
static void
take_cancels(struct webseed *w)
{
	struct block blocks[CANCELS];

	while (picker_take_cancels(w->swarm->picker, w->pp, blocks,
				   CANCELS) == CANCELS)
		;
}

/* The file comes as a whole, and a new piece begins: what of it is still to
 * be had. */
static void
reserve_piece(struct webseed *w)
{
	struct picker *p = w->swarm->picker;
	uint32_t piece = (uint32_t)(w->at / w->swarm->meta->piece_length);
	struct picker_ask ask = {
		.max = WEBSEED_RUN_MAX,
		.now = clock_ns(),
		.rate_bps = w->rate_bps,
	};

	take_cancels(w);
	w->next = 0;
	w->count = picker_reserve_piece(p, w->pp, piece, &ask, w->blocks);
	webseed_sort(w);
}

/* A run may have been shortened; and of a file that comes as a whole, there
 * may be nothing left to be had. */
static bool
goes_on(struct webseed *w)
{
	if (w->next < w->count)
		return true;
	if (!w->whole || w->at % w->swarm->meta->piece_length != 0)
		return w->whole;
	reserve_piece(w);
	return w->count > 0 || picker_has_free(w->swarm->picker, w->pp);
}

/* Where the next block begins; what comes before it is not wanted. */
static uint64_t
next_place(const struct webseed *w)
{
	uint32_t piece_length = w->swarm->meta->piece_length;

	if (w->next < w->count)
		return webseed_place(w, &w->blocks[w->next]);
	return (w->at / piece_length + 1) * piece_length;
}

/* The bytes at the front that belong to no block, or to the next one. */
static size_t
take_some(struct webseed *w, const uint8_t *data, size_t n)
{
	uint64_t skip = w->block_used > 0 ? 0 : next_place(w) - w->at;
	size_t missing;

	if (skip > 0) {
		if (n > skip)
			n = (size_t)skip;
		atomic_fetch_add(&w->swarm->wasted, n);
	} else {
		missing = w->blocks[w->next].length - w->block_used;
		if (n > missing)
			n = missing;
		memcpy(w->slots + w->part_count * PICKER_BLOCK +
		       w->block_used,
		       data, n);
		w->block_used += n;
	}
	w->at += n;
	return n;
}

/* The next bytes of the stream.  They are gathered, since libcurl hands over
 * no more than 16 KiB at a time, and seldom a whole block. */
int
webseed_take(void *ctx, const uint8_t *data, size_t n)
{
	struct webseed *w = ctx;

	atomic_store(&w->reached, true);
	w->burst += n;
	while (n > 0) {
		size_t used;

		if (!goes_on(w))
			return -1;
		used = take_some(w, data, n);
		data += used;
		n -= used;
		if (w->block_used > 0 &&
		    w->block_used == w->blocks[w->next].length &&
		    take_block(w) < 0)
			return -1;
	}
	return 0;
}

/* A server that waits for us is help wanted: another core may hash. */
int
webseed_waits(void *ctx)
{
	struct webseed *w = ctx;

	w->full = w->burst < BURST_FULL ? 0 : w->full + 1;
	w->burst = 0;
	if (w->full == BURSTS_FULL && !w->fast) {
		w->fast = true;
		loads_enter(w->swarm->loads);
	}
	return webseed_write(w);
}

/* After a wake-up in the middle of a transfer: is it still of use? */
bool
webseed_go_on(void *ctx)
{
	struct webseed *w = ctx;
	struct picker *p = w->swarm->picker;

	if (atomic_load(&w->stop) || webseed_has_bad(w))
		return false;
	take_cancels(w);
	if (w->whole && picker_has_free(p, w->pp))
		return true;
	return picker_peer_asked(p, w->pp) > 0;
}
