/*
 * Open pieces that are wanted hang in one list for each pair of priority and
 * number of copies; a bit set says which lists are not empty.  A change of
 * availability moves a piece to the head or tail of the next list, by
 * chance, so that pieces of the same rarity have no order that two peers
 * would share.  Seeds have everything, so they are not counted.
 */
#include <stdlib.h>
#include <string.h>

#include "picker_impl.h"

#define LEVELS PICKER_PRIORITY_MAX
#define WORD 64

uint32_t
order_key(const struct picker *p, uint32_t piece)
{
	const struct piece *q = &p->pieces[piece];

	return (uint32_t)(LEVELS - q->priority) * p->stride + q->copies;
}

unsigned
order_priority(const struct picker *p, uint32_t key)
{
	return LEVELS - key / p->stride;
}

static void
fill_buckets(struct picker *p, const struct bucket *from, uint32_t stride)
{
	for (uint32_t level = 0; level < LEVELS; level++) {
		for (uint32_t i = 0; i < stride; i++) {
			uint32_t key = level * p->stride + i;

			p->buckets[key] = from[level * stride + i];
			if (p->buckets[key].head != NONE)
				p->bucket_bits[key / WORD] |=
				    1ULL << key % WORD;
		}
	}
}

/* Room for this many copies of a piece; -1 when out of memory. */
int
order_stride(struct picker *p, uint32_t copies)
{
	uint32_t stride = p->stride ? p->stride : WORD;
	struct bucket *buckets, *old = p->buckets;
	uint64_t *bits;
	uint32_t was = p->stride;

	while (stride <= copies)
		stride *= 2;
	if (stride == p->stride)
		return 0;
	buckets = malloc(LEVELS * stride * sizeof(*buckets));
	bits = calloc(LEVELS * stride / WORD, sizeof(*bits));
	if (!buckets || !bits) {
		free(buckets);
		free(bits);
		return -1;
	}
	memset(buckets, 0xff, LEVELS * stride * sizeof(*buckets));
	free(p->bucket_bits);
	p->buckets = buckets;
	p->bucket_bits = bits;
	p->stride = stride;
	if (old)
		fill_buckets(p, old, was);
	free(old);
	return 0;
}

uint32_t
order_next(const struct picker *p, uint32_t key)
{
	uint32_t words = LEVELS * p->stride / WORD;
	uint64_t mask = ~0ULL << key % WORD;

	for (uint32_t w = key / WORD; w < words; w++) {
		uint64_t bits = p->bucket_bits[w] & mask;

		if (bits)
			return w * WORD + (uint32_t)__builtin_ctzll(bits);
		mask = ~0ULL;
	}
	return NONE;
}

static void
insert(struct picker *p, uint32_t piece, bool at_head) REQUIRES(p->lock)
{
	uint32_t key = order_key(p, piece);
	struct bucket *b = &p->buckets[key];
	struct piece *q = &p->pieces[piece];

	q->prev = at_head ? NONE : b->tail;
	q->next = at_head ? b->head : NONE;
	if (q->prev != NONE)
		p->pieces[q->prev].next = piece;
	else
		b->head = piece;
	if (q->next != NONE)
		p->pieces[q->next].prev = piece;
	else
		b->tail = piece;
	p->bucket_bits[key / WORD] |= 1ULL << key % WORD;
}

void
order_add(struct picker *p, uint32_t piece)
{
	insert(p, piece, picker_random(p, 2) == 0);
}

void
order_append(struct picker *p, uint32_t piece)
{
	insert(p, piece, false);
}

void
order_remove(struct picker *p, uint32_t piece)
{
	uint32_t key = order_key(p, piece);
	struct bucket *b = &p->buckets[key];
	struct piece *q = &p->pieces[piece];

	if (q->prev != NONE)
		p->pieces[q->prev].next = q->next;
	else
		b->head = q->next;
	if (q->next != NONE)
		p->pieces[q->next].prev = q->prev;
	else
		b->tail = q->prev;
	if (b->head == NONE)
		p->bucket_bits[key / WORD] &= ~(1ULL << key % WORD);
}

void
order_copies(struct picker *p, uint32_t piece, int change)
{
	struct piece *q = &p->pieces[piece];
	bool listed = q->state == PIECE_OPEN && q->priority > 0;

	if (listed)
		order_remove(p, piece);
	q->copies = (uint16_t)(q->copies + change);
	if (listed)
		order_add(p, piece);
}

/* Sets or clears the piece's bit, by its state; counts stay with the
 * priority, so a change of priority takes the bit off first. */
void
askable_update(struct picker *p, uint32_t piece)
{
	const struct piece *q = &p->pieces[piece];
	bool was = bitfield_get(&p->askable, piece);
	bool is = q->priority > 0 && (q->state == PIECE_OPEN ||
	    (q->state == PIECE_ACTIVE && active_of(p, piece)->free > 0));

	if (is == was)
		return;
	if (is) {
		bitfield_set(&p->askable, piece);
		p->level[q->priority]++;
		p->askables++;
		if (piece < p->cursor[q->priority])
			p->cursor[q->priority] = piece;
	} else {
		bitfield_unset(&p->askable, piece);
		p->level[q->priority]--;
		p->askables--;
	}
}

void
picker_peer_suggest(struct picker *p, struct picker_peer *pp, uint32_t piece)
{
	if (piece >= p->n)
		return;
	mutex_lock(&p->lock);
	if (pp->suggestions == PICKER_SUGGESTED) {
		pp->suggestions--;
		memmove(pp->suggested, pp->suggested + 1,
		    pp->suggestions * sizeof(*pp->suggested));
	}
	pp->suggested[pp->suggestions++] = piece;
	mutex_unlock(&p->lock);
}

uint32_t
order_suggested(const struct picker *p, const struct picker_peer *pp,
		uint32_t found)
{
	const struct piece *best;

	if (found == NONE)
		return NONE;
	best = &p->pieces[found];
	for (uint32_t k = 0; k < pp->suggestions; k++) {
		uint32_t i = pp->suggested[k];
		const struct piece *q = &p->pieces[i];

		if (q->state == PIECE_OPEN && asker_has(pp, i) &&
		    q->priority == best->priority &&
		    q->copies <= best->copies)
			return i;
	}
	return found;
}
