#include "swarm/havelog.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/sync.h"

struct havelog {
	struct mutex lock;	/* guards appending */
	size_t pieces;
	_Atomic size_t count;
	_Atomic size_t length;	/* released after the entry is written */
	uint32_t *list;		/* room for every piece */
	_Atomic uint8_t *bits;	/* in a bitfield's order */
};

struct havelog *
havelog_new(size_t pieces, struct error *e)
{
	struct havelog *h = calloc(1, sizeof(*h));

	if (!h) {
		error_memory(e);
		return NULL;
	}
	mutex_init(&h->lock);
	h->pieces = pieces;
	h->list = calloc(pieces + 1, sizeof(*h->list));
	h->bits = calloc(pieces / 8 + 1, sizeof(*h->bits));
	if (!h->list || !h->bits) {
		error_memory(e);
		havelog_free(h);
		return NULL;
	}
	return h;
}

void
havelog_free(struct havelog *h)
{
	if (!h)
		return;
	mutex_release(&h->lock);
	free(h->list);
	free(h->bits);
	free(h);
}

void
havelog_begin(struct havelog *h, const struct bitfield *have)
{
	for (size_t i = 0; i < bitfield_bytes(have); i++)
		atomic_store(&h->bits[i], have->bits[i]);
	atomic_store(&h->count, bitfield_ones(have));
}

bool
havelog_has(const struct havelog *h, uint32_t piece)
{
	uint8_t byte;

	if (piece >= h->pieces)
		return false;
	byte = atomic_load_explicit(&h->bits[piece >> 3],
				    memory_order_acquire);
	return (byte >> (7 - (piece & 7)) & 1) != 0;
}

bool
havelog_add(struct havelog *h, uint32_t piece)
{
	size_t end;
	bool fresh;

	mutex_lock(&h->lock);
	fresh = !havelog_has(h, piece);
	if (fresh) {
		end = atomic_load(&h->length);
		h->list[end] = piece;
		atomic_fetch_or(&h->bits[piece >> 3],
				(uint8_t)(128 >> (piece & 7)));
		atomic_fetch_add(&h->count, 1);
		atomic_store_explicit(&h->length, end + 1,
				      memory_order_release);
	}
	mutex_unlock(&h->lock);
	return fresh;
}

size_t
havelog_count(const struct havelog *h)
{
	return atomic_load_explicit(&h->count, memory_order_acquire);
}

size_t
havelog_pieces(const struct havelog *h)
{
	return h->pieces;
}

size_t
havelog_length(const struct havelog *h)
{
	return atomic_load_explicit(&h->length, memory_order_acquire);
}

uint32_t
havelog_at(const struct havelog *h, size_t i)
{
	return h->list[i];
}

void
havelog_copy(const struct havelog *h, struct bitfield *out)
{
	for (size_t i = 0; i < bitfield_bytes(out); i++)
		out->bits[i] = atomic_load(&h->bits[i]);
}
