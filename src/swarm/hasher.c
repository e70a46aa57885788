/*
 * A table of slots in which a piece may stand in one of a few neighbouring
 * places.  Each slot has a lock of its own that is held while its hash is
 * fed: some ten microseconds a block.  Feeding only tries the lock.
 */
#include "swarm/hasher.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/sync.h"
#include "store/files.h"

#define PLACES_MAX 512		/* hundreds of slow peers have a piece each */
#define WAYS 4
#define READ_BACK 65536

struct slot {
	struct mutex lock;
	struct hash *hash;	/* made at first use */
	uint32_t piece;
	uint32_t done;		/* bytes hashed; 0: the slot is free */
};

struct hasher {
	struct hasher_source source;
	uint8_t *_Atomic spare;	/* to read back into; or NULL */
	uint32_t places;
	struct slot slots[];	/* WAYS for each place */
};

static struct slot *
slot_at(struct hasher *h, uint32_t piece, unsigned way)
{
	return &h->slots[piece % h->places * WAYS + way];
}

struct hasher *
hasher_new(const struct hasher_source *source, uint32_t pieces,
	   struct error *e)
{
	uint32_t places = pieces < PLACES_MAX ? pieces + 1 : PLACES_MAX;
	struct hasher *h = calloc(1, sizeof(*h) +
				  places * WAYS * sizeof(h->slots[0]));

	if (!h) {
		error_memory(e);
		return NULL;
	}
	h->source = *source;
	h->places = places;
	for (size_t i = 0; i < places * WAYS; i++)
		mutex_init(&h->slots[i].lock);
	return h;
}

void
hasher_free(struct hasher *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->places * WAYS; i++) {
		mutex_release(&h->slots[i].lock);
		hash_free(h->slots[i].hash);
	}
	free(h->spare);
	free(h);
}

/* Begins the piece in a free slot; false if it is not free. */
static bool
slot_begin_locked(struct slot *s, uint32_t piece) REQUIRES(s->lock)
{
	if (s->done != 0)
		return false;
	if (!s->hash)
		s->hash = hash_new(HASH_SHA1);
	if (!s->hash)
		return false;
	hash_start(s->hash);
	s->piece = piece;
	return true;
}

/* True if the block found its place, so that no other slot need be tried. */
static bool
slot_feed_locked(struct slot *s, uint32_t piece, uint32_t offset,
		 const void *data, size_t n) REQUIRES(s->lock)
{
	if (s->done != 0 && s->piece == piece && offset < s->done)
		s->done = 0;	/* the piece was begun anew */
	if (s->done != 0 && s->piece == piece) {
		if (s->done == offset) {
			hash_add(s->hash, data, n);
			s->done += (uint32_t)n;
		}
		return true;
	}
	if (offset != 0 || !slot_begin_locked(s, piece))
		return false;
	hash_add(s->hash, data, n);
	s->done = (uint32_t)n;
	return true;
}

void
hasher_feed(struct hasher *h, uint32_t piece, uint32_t offset,
	    const void *data, size_t n)
{
	for (unsigned way = 0; way < WAYS; way++) {
		struct slot *s = slot_at(h, piece, way);
		bool placed;

		/* A piece's beginning must not be missed: what an earlier
		 * try left behind would be taken for its own. */
		if (offset == 0)
			mutex_lock(&s->lock);
		else if (!mutex_try(&s->lock))
			continue;
		placed = slot_feed_locked(s, piece, offset, data, n);
		mutex_unlock(&s->lock);
		if (placed)
			return;
	}
}

/* On the stack it would take as much for each peer, for good. */
static int
add_rest(struct hasher *h, struct hash *hash, uint32_t piece, uint32_t from,
	 uint32_t length, struct error *e)
{
	uint8_t *buf = atomic_exchange(&h->spare, NULL);
	int status = 0;

	if (!buf)
		buf = aligned_alloc(FILES_ALIGN, READ_BACK);
	if (!buf)
		return error_memory(e);
	while (from < length && status == 0) {
		size_t n = length - from;

		if (n > READ_BACK)
			n = READ_BACK;
		status = h->source.read(h->source.ctx, piece, from, buf, n, e);
		if (status == 0)
			hash_add(hash, buf, n);
		from += (uint32_t)n;
	}
	free(atomic_exchange(&h->spare, buf));
	return status;
}

/* Takes the piece's hash out of the table, so that no lock is held while
 * the rest is read; *done is how much of the piece is in it. */
static struct hash *
take(struct hasher *h, uint32_t piece, uint32_t *done)
{
	struct hash *hash = NULL;

	for (unsigned way = 0; way < WAYS && !hash; way++) {
		struct slot *s = slot_at(h, piece, way);

		mutex_lock(&s->lock);
		if (s->done != 0 && s->piece == piece) {
			hash = s->hash;
			*done = s->done;
			s->hash = NULL;
			s->done = 0;
		}
		mutex_unlock(&s->lock);
	}
	return hash;
}

/* Gives a hash back to a slot that has none. */
static void
give(struct hasher *h, uint32_t piece, struct hash *hash)
{
	for (unsigned way = 0; way < WAYS && hash; way++) {
		struct slot *s = slot_at(h, piece, way);

		mutex_lock(&s->lock);
		if (!s->hash) {
			s->hash = hash;
			hash = NULL;
		}
		mutex_unlock(&s->lock);
	}
	hash_free(hash);
}

int
hasher_settle(struct hasher *h, uint32_t piece, uint32_t length,
	      uint8_t out[SHA1_SIZE], struct error *e)
{
	uint32_t done = 0;
	struct hash *hash = take(h, piece, &done);
	int status;

	if (!hash)
		hash = hash_new(HASH_SHA1);
	if (!hash)
		return error_memory(e);
	status = done < length ? add_rest(h, hash, piece, done, length, e) : 0;
	hash_end(hash, out);
	give(h, piece, hash);
	return status;
}

void
hasher_drop(struct hasher *h, uint32_t piece)
{
	uint32_t done;

	give(h, piece, take(h, piece, &done));
}
