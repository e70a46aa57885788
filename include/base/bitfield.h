/*
 * bitfield: a set of piece (or block) indexes, in BEP 3's order: the high
 * bit of the first byte is index 0, spare bits at the end are zero.
 *
 * Memory is in whole 64-bit words, so that sets of the same size combine
 * word by word; `bits` can be sent as it stands.  Not thread-safe.
 */
#ifndef BTGET_BASE_BITFIELD_H
#define BTGET_BASE_BITFIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bitfield {
	uint8_t *bits;
	size_t count;		/* how many indexes there are */
};

/* All zero; -1 when out of memory. */
int bitfield_init(struct bitfield *b, size_t count);
void bitfield_release(struct bitfield *b);

static inline size_t
bitfield_bytes(const struct bitfield *b)
{
	return (b->count + 7) / 8;
}

static inline bool
bitfield_get(const struct bitfield *b, size_t i)
{
	return (b->bits[i >> 3] >> (7 - (i & 7)) & 1) != 0;
}

static inline void
bitfield_set(struct bitfield *b, size_t i)
{
	b->bits[i >> 3] |= (uint8_t)(128 >> (i & 7));
}

static inline void
bitfield_unset(struct bitfield *b, size_t i)
{
	b->bits[i >> 3] &= (uint8_t)~(128 >> (i & 7));
}

void bitfield_fill(struct bitfield *b);		/* every index */
void bitfield_zero(struct bitfield *b);
size_t bitfield_ones(const struct bitfield *b);
bool bitfield_full(const struct bitfield *b);

/* Takes wire bytes: false if the size is wrong or a spare bit is set. */
bool bitfield_load(struct bitfield *b, const uint8_t *data, size_t size);

/* Both have the same count. */
void bitfield_copy(struct bitfield *to, const struct bitfield *from);
void bitfield_add(struct bitfield *to, const struct bitfield *those);
void bitfield_remove(struct bitfield *from, const struct bitfield *those);

/* The first index at or after `from` that is in a and, when `not_in` is given, not
 * in that; count when there is none.  Same counts; a word at a time. */
size_t bitfield_next(const struct bitfield *a, const struct bitfield *not_in,
		     size_t from);

#endif
