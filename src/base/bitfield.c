#include "base/bitfield.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64

static size_t
words(const struct bitfield *b)
{
	return (b->count + WORD_BITS - 1) / WORD_BITS;
}

static uint64_t
word_at(const struct bitfield *b, size_t w)
{
	uint64_t raw;

	memcpy(&raw, b->bits + w * sizeof(raw), sizeof(raw));
	return be64toh(raw);
}

int
bitfield_init(struct bitfield *b, size_t count)
{
	size_t n = (count + WORD_BITS - 1) / WORD_BITS;

	b->count = count;
	b->bits = calloc(n ? n : 1, WORD_BITS / 8);
	return b->bits ? 0 : -1;
}

void
bitfield_release(struct bitfield *b)
{
	free(b->bits);
	b->bits = NULL;
	b->count = 0;
}

void
bitfield_fill(struct bitfield *b)
{
	memset(b->bits, 0xff, bitfield_bytes(b));
	if (b->count % 8)
		b->bits[b->count / 8] = (uint8_t)(0xff00 >> (b->count % 8));
}

void
bitfield_zero(struct bitfield *b)
{
	memset(b->bits, 0, bitfield_bytes(b));
}

size_t
bitfield_ones(const struct bitfield *b)
{
	size_t n = 0;

	for (size_t w = 0; w < words(b); w++)
		n += (size_t)__builtin_popcountll(word_at(b, w));
	return n;
}

bool
bitfield_full(const struct bitfield *b)
{
	return bitfield_ones(b) == b->count;
}

bool
bitfield_load(struct bitfield *b, const uint8_t *data, size_t size)
{
	if (size != bitfield_bytes(b))
		return false;
	if (b->count % 8 && (data[size - 1] & (0xff >> (b->count % 8))))
		return false;
	memcpy(b->bits, data, size);
	return true;
}

void
bitfield_copy(struct bitfield *to, const struct bitfield *from)
{
	memcpy(to->bits, from->bits, bitfield_bytes(from));
}

void
bitfield_add(struct bitfield *to, const struct bitfield *those)
{
	for (size_t i = 0; i < bitfield_bytes(to); i++)
		to->bits[i] |= those->bits[i];
}

void
bitfield_remove(struct bitfield *from, const struct bitfield *those)
{
	for (size_t i = 0; i < bitfield_bytes(from); i++)
		from->bits[i] &= (uint8_t)~those->bits[i];
}

size_t
bitfield_next(const struct bitfield *a, const struct bitfield *not_in,
	      size_t from)
{
	size_t w = from / WORD_BITS;
	uint64_t mask = ~0ULL >> (from % WORD_BITS);

	for (; w < words(a); w++) {
		uint64_t v = word_at(a, w) & mask;

		if (not_in)
			v &= ~word_at(not_in, w);
		if (v)
			return w * WORD_BITS + (size_t)__builtin_clzll(v);
		mask = ~0ULL;
	}
	return a->count;
}
