/*
 * Begun pieces.  States are kept for their blocks alone, in one allocation a
 * piece that is used again for the next; their sum is bounded: over the hard
 * bound the piece that lost its peers and has least gives way.
 */
#include <stdlib.h>
#include <string.h>

#include "picker_impl.h"

#define WORD 64
#define SPARES_MAX 64
#define ACTIVE_OVERHEAD 8	/* slots that a struct active is worth */
#define ACTIVES_ALWAYS 4	/* may be begun whatever their size */

uint32_t
block_bytes(const struct picker *p, uint32_t piece, uint32_t block)
{
	uint32_t left = picker_piece_length(p, piece) - block * PICKER_BLOCK;

	return left < PICKER_BLOCK ? left : PICKER_BLOCK;
}

struct block
block_at(const struct picker *p, uint32_t piece, uint32_t block)
{
	return (struct block){piece, block * PICKER_BLOCK,
			      block_bytes(p, piece, block)};
}

struct active *
active_of(const struct picker *p, uint32_t piece)
{
	if (p->pieces[piece].state != PIECE_ACTIVE)
		return NULL;
	return p->active[p->pieces[piece].next];
}

bool
active_is_free(const struct active *a, uint32_t block)
{
	return block < a->blocks &&
	    (a->free_bits[block / WORD] >> block % WORD & 1) != 0;
}

void
active_give(struct active *a, uint32_t block)
{
	a->free_bits[block / WORD] |= 1ULL << block % WORD;
	a->free++;
}

void
active_take(struct active *a, uint32_t block)
{
	a->free_bits[block / WORD] &= ~(1ULL << block % WORD);
	a->free--;
}

static uint64_t
cost_of(const struct active *a)
{
	return (uint64_t)a->blocks + ACTIVE_OVERHEAD;
}

/* ---- the lists ---- */

static void
own_unlink(struct active *a)
{
	struct picker_peer *pp = a->owner;

	if (a->own_prev)
		a->own_prev->own_next = a->own_next;
	else
		pp->own_head = a->own_next;
	if (a->own_next)
		a->own_next->own_prev = a->own_prev;
	else
		pp->own_tail = a->own_prev;
	a->own_next = a->own_prev = NULL;
}

static void
own_link(struct active *a)
{
	struct picker_peer *pp = a->owner;

	if (a->ready != NONE) {
		a->own_prev = NULL;
		a->own_next = pp->own_head;
	} else {
		a->own_prev = pp->own_tail;
		a->own_next = NULL;
	}
	if (a->own_prev)
		a->own_prev->own_next = a;
	else
		pp->own_head = a;
	if (a->own_next)
		a->own_next->own_prev = a;
	else
		pp->own_tail = a;
}

static void
set_orphan(struct picker *p, struct active *a)
{
	bool orphan = a->ready != NONE && !a->owner;

	if (orphan && !a->orphan)
		p->orphans++;
	if (!orphan && a->orphan)
		p->orphans--;
	a->orphan = orphan;
}

static void
ready_remove(struct picker *p, struct active *a)
{
	struct active *last = p->ready[--p->readies];

	p->ready[a->ready] = last;
	last->ready = a->ready;
	a->ready = NONE;
}

void
active_update(struct picker *p, struct active *a)
{
	bool was = a->ready != NONE;
	bool is = a->free > 0 && p->pieces[a->piece].priority > 0;

	if (is && !was) {
		a->ready = p->readies;
		p->ready[p->readies++] = a;
	} else if (!is && was) {
		ready_remove(p, a);
	}
	if (is != was && a->owner) {
		own_unlink(a);
		own_link(a);
	}
	set_orphan(p, a);
	askable_update(p, a->piece);
}

void
active_own(struct picker *p, struct active *a, struct picker_peer *pp)
{
	active_forget(p, a);
	a->owner = pp;
	p->run_actives += pp->runs;
	own_link(a);
	set_orphan(p, a);
	for (uint32_t i = 0; a->exclusive && i < a->blocks; i++)
		if (a->slots[i].state == SLOT_DONE &&
		    a->slots[i].source != pp->source)
			active_undo(p, a, i);
	active_update(p, a);
}

void
active_forget(struct picker *p, struct active *a)
{
	if (!a->owner)
		return;
	own_unlink(a);
	p->run_actives -= a->owner->runs;
	a->owner = NULL;
	a->leaving = false;
	set_orphan(p, a);
}

/* ---- begin and end ---- */

static int
grow_active(struct picker *p)
{
	uint32_t size = p->active_size ? p->active_size * 2 : 64;
	struct active **list;

	if (p->actives < p->active_size)
		return 0;
	list = realloc(p->active, size * sizeof(struct active *));
	if (!list)
		return -1;
	p->active = list;
	list = realloc(p->ready, size * sizeof(struct active *));
	if (!list)
		return -1;
	p->ready = list;
	p->active_size = size;
	return 0;
}

static struct active *
take_memory(struct picker *p)
{
	size_t words = (p->piece_blocks + WORD - 1) / WORD;
	struct active *a = p->spare;

	if (a) {
		p->spare = a->own_next;
		p->spares--;
		return a;
	}
	return malloc(sizeof(*a) + p->piece_blocks * sizeof(struct slot) +
	    words * sizeof(uint64_t));
}

/* The first run of padding in this piece or behind it. */
static size_t
first_padding(const struct picker *p, uint32_t piece)
{
	size_t low = 0, high = p->padding_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (p->padding[middle].piece < piece)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What is padding need not come. */
static void
take_padding(const struct picker *p, struct active *a)
{
	for (size_t i = first_padding(p, a->piece); i < p->padding_count &&
	     p->padding[i].piece == a->piece; i++) {
		uint32_t block = p->padding[i].first;

		for (uint32_t k = 0; k < p->padding[i].count &&
		     block < a->blocks; k++, block++) {
			active_take(a, block);
			a->slots[block].state = SLOT_PADDING;
			a->padding++;
		}
	}
}

static void
init_active(struct picker *p, struct active *a, uint32_t piece)
{
	uint32_t blocks = picker_piece_blocks(p, piece);
	size_t words = (p->piece_blocks + WORD - 1) / WORD;

	memset(a, 0, sizeof(*a) + p->piece_blocks * sizeof(struct slot) +
	    words * sizeof(uint64_t));
	a->free_bits = (uint64_t *)(void *)&a->slots[p->piece_blocks];
	a->piece = piece;
	a->blocks = blocks;
	a->ready = NONE;
	for (uint32_t i = 0; i < blocks; i++)
		active_give(a, i);
	take_padding(p, a);
}

void
active_end(struct picker *p, struct active *a)
{
	struct active *last = p->active[p->actives - 1];

	active_forget(p, a);
	if (a->ready != NONE)
		ready_remove(p, a);
	set_orphan(p, a);
	p->active[a->index] = last;
	last->index = a->index;
	p->pieces[last->piece].next = last->index;
	p->actives--;
	p->active_cost -= cost_of(a);
	if (p->spares < SPARES_MAX &&
	    p->spares * (uint64_t)p->piece_blocks < ACTIVE_COST_SOFT / 4) {
		a->own_next = p->spare;
		p->spare = a;
		p->spares++;
	} else {
		free(a);
	}
}

void
active_reopen(struct picker *p, struct active *a)
{
	uint32_t piece = a->piece;

	for (uint32_t i = 0; i < a->blocks; i++)
		if (a->slots[i].state == SLOT_DONE)
			active_undo(p, a, i);
	active_end(p, a);
	p->pieces[piece].state = PIECE_OPEN;
	if (p->pieces[piece].priority > 0)
		order_add(p, piece);
	askable_update(p, piece);
}

/* Nobody works on it, and it is not waiting for its verdict. */
static bool
evictable(const struct active *a)
{
	return !a->owner && a->asks == 0 && a->writing == 0 && a->free > 0;
}

static bool
evict(struct picker *p) REQUIRES(p->lock)
{
	struct active *least = NULL;

	for (uint32_t i = 0; i < p->actives; i++) {
		struct active *a = p->active[i];

		if (evictable(a) && (!least || a->done < least->done))
			least = a;
	}
	if (least)
		active_reopen(p, least);
	return least != NULL;
}

struct active *
active_begin(struct picker *p, uint32_t piece)
{
	struct active *a;

	if (p->actives >= ACTIVES_ALWAYS &&
	    p->active_cost + p->piece_blocks > ACTIVE_COST_HARD && !evict(p))
		return NULL;
	if (grow_active(p) < 0 || !(a = take_memory(p)))
		return NULL;
	init_active(p, a, piece);
	if (p->pieces[piece].priority > 0)
		order_remove(p, piece);
	a->index = p->actives;
	p->active[p->actives++] = a;
	p->active_cost += cost_of(a);
	p->pieces[piece].state = PIECE_ACTIVE;
	p->pieces[piece].next = a->index;
	active_update(p, a);
	return a;
}

void
active_settle(struct picker *p, struct active *a)
{
	if (a->asks || a->writing || a->done || a->exclusive)
		active_update(p, a);
	else
		active_reopen(p, a);
}

void
active_done(struct picker *p, struct active *a, uint32_t block,
	    uint64_t source)
{
	uint32_t length = block_bytes(p, a->piece, block);

	a->slots[block].state = SLOT_DONE;
	a->slots[block].source = source;
	a->done++;
	p->got_bytes += length;
	if (p->pieces[a->piece].priority > 0)
		p->wanted_left -= length;
}

void
active_undo(struct picker *p, struct active *a, uint32_t block)
{
	uint32_t length = block_bytes(p, a->piece, block);

	a->slots[block].state = SLOT_LACKING;
	a->slots[block].source = 0;
	a->done--;
	active_give(a, block);
	p->got_bytes -= length;
	if (p->pieces[a->piece].priority > 0)
		p->wanted_left += length;
}
