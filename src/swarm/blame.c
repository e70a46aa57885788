#include "swarm/blame.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/sync.h"

#define RECORDS_MAX 256

struct record {
	struct record *next;	/* younger */
	uint32_t piece;
	size_t n;
	struct blame_block blocks[];
};

struct blame {
	struct mutex lock;	/* guards all below */
	struct record *oldest;
	size_t records;
	size_t blocks;
};

struct blame *
blame_new(struct error *e)
{
	struct blame *b = calloc(1, sizeof(*b));

	if (!b) {
		error_memory(e);
		return NULL;
	}
	mutex_init(&b->lock);
	return b;
}

/* Takes the record that `at` points to off the list. */
static void
drop(struct blame *b, struct record **at) REQUIRES(b->lock)
{
	struct record *r = *at;

	*at = r->next;
	b->records--;
	b->blocks -= r->n;
	free(r);
}

void
blame_free(struct blame *b)
{
	if (!b)
		return;
	mutex_lock(&b->lock);
	while (b->oldest)
		drop(b, &b->oldest);
	mutex_unlock(&b->lock);
	mutex_release(&b->lock);
	free(b);
}

uint64_t
blame_digest(const void *data, size_t n)
{
	uint8_t sha1[SHA1_SIZE];

	hash_sha1(sha1, data, n);
	return get_u64(sha1);
}

uint64_t
blame_single(const uint64_t *sources, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (sources[i] != sources[0])
			return 0;
	return n > 0 ? sources[0] : 0;
}

/* Drops the oldest try of a piece that has too many. */
static void
make_room(struct blame *b, uint32_t piece, size_t n) REQUIRES(b->lock)
{
	struct record **first = NULL;
	unsigned tries = 0;

	for (struct record **at = &b->oldest; *at; at = &(*at)->next) {
		if ((*at)->piece != piece)
			continue;
		if (tries++ == 0)
			first = at;
	}
	if (first && tries >= BLAME_TRIES_MAX)
		drop(b, first);
	while (b->oldest && (b->records >= RECORDS_MAX ||
	    b->blocks + n > BLAME_BLOCKS_MAX))
		drop(b, &b->oldest);
}

void
blame_record(struct blame *b, uint32_t piece,
	     const struct blame_block *blocks, size_t n)
{
	struct record *r, **at;

	if (n == 0 || n > BLAME_BLOCKS_MAX)
		return;
	r = malloc(sizeof(*r) + n * sizeof(*blocks));
	if (!r)
		return;
	r->next = NULL;
	r->piece = piece;
	r->n = n;
	memcpy(r->blocks, blocks, n * sizeof(*blocks));
	mutex_lock(&b->lock);
	make_room(b, piece, n);
	for (at = &b->oldest; *at; at = &(*at)->next)
		;
	*at = r;
	b->records++;
	b->blocks += n;
	mutex_unlock(&b->lock);
}

bool
blame_waits(struct blame *b, uint32_t piece)
{
	bool waits = false;

	mutex_lock(&b->lock);
	for (struct record *r = b->oldest; r && !waits; r = r->next)
		waits = r->piece == piece;
	mutex_unlock(&b->lock);
	return waits;
}

static size_t
add_source(uint64_t source, uint64_t *out, size_t count, size_t max)
{
	for (size_t i = 0; i < count; i++)
		if (out[i] == source)
			return count;
	if (count < max)
		out[count++] = source;
	return count;
}

size_t
blame_settle(struct blame *b, uint32_t piece, const uint64_t *digests,
	     size_t n, uint64_t *out, size_t max)
{
	size_t count = 0;

	mutex_lock(&b->lock);
	for (struct record **at = &b->oldest; *at;) {
		const struct record *r = *at;

		if (r->piece != piece) {
			at = &(*at)->next;
			continue;
		}
		for (size_t i = 0; i < n && i < r->n; i++)
			if (r->blocks[i].source != 0 &&
			    r->blocks[i].digest != digests[i])
				count = add_source(r->blocks[i].source, out,
				    count, max);
		drop(b, at);
	}
	mutex_unlock(&b->lock);
	return count;
}
