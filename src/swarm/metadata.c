#include "swarm/metadata.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/sync.h"
#include "meta/bencode.h"
#include "swarm/asking.h"

#define OWNER_TIMEOUT (5 * CLOCK_S)	/* a lone giver that stalls, */
#define OWNER_BLOCK (200 * CLOCK_MS)	/* or takes a minute and more than */
#define OWNER_TOTAL (60 * CLOCK_S)	/* this for each block */
/* With other sizes waiting for a place: */
#define STALL_TIMEOUT (5 * CLOCK_S)	/* nothing was added for so long */
#define TRY_TIMEOUT (60 * CLOCK_S)	/* it takes so long in all */
#define TURN_TIMEOUT (10 * CLOCK_S)	/* then it is another one's turn */

struct block_note {
	bool there;
	uint64_t source;	/* who gave it */
	struct asking asking;
};

struct try {
	uint32_t size;		/* 0: the place is free */
	uint32_t blocks;
	uint32_t there;
	uint8_t *data;		/* mapped: pages cost once they are written */
	size_t room;		/* of data; grows */
	struct block_note *notes;
	uint64_t opener;	/* who claimed the size first */
	int64_t begun_at;	/* or when the opener's first one was */
	int64_t added_at;	/* the last block; at first as begun_at */
	bool alone;		/* only the owner may give */
	uint64_t owner;		/* 0: nobody yet */
	int64_t owner_at;	/* it last gave something */
	int64_t owner_since;
};

struct metadata {
	struct mutex lock;
	uint8_t info_hash[SHA256_SIZE];		/* or of SHA1_SIZE */
	enum hash_kind kind;
	struct try tries[METADATA_TRIES_MAX];	/* guarded by lock */
	size_t held;				/* guarded by lock; blocks of
						 * all tries */
	uint8_t *whole;				/* guarded by lock; mapped */
	size_t whole_size;			/* guarded by lock */
	bool done;				/* guarded by lock */
};

struct metadata *
metadata_new(const uint8_t *info_hash, enum hash_kind kind, struct error *e)
{
	struct metadata *m = calloc(1, sizeof(*m));

	if (!m) {
		error_memory(e);
		return NULL;
	}
	mutex_init(&m->lock);
	m->kind = kind;
	memcpy(m->info_hash, info_hash,
	       kind == HASH_SHA1 ? SHA1_SIZE : SHA256_SIZE);
	return m;
}

/* Not from the heap: what is given back there stays with us, and what was
 * used before is written with zeros as a whole. */
static uint8_t *
map(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return NULL;
	madvise(at, size, MADV_NOHUGEPAGE);
	return at;
}

static void
unmap(uint8_t *at, size_t size)
{
	if (at)
		munmap(at, size);
}

/* Room up to there.  Of what is claimed a machine of 32 bits could map little
 * at a time. */
static bool
reach(struct try *t, size_t end)
{
	size_t room = end > 2 * t->room ? end : 2 * t->room;
	void *at;

	if (end <= t->room)
		return true;
	if (room > t->size)
		room = t->size;
	at = t->data ? mremap(t->data, t->room, room, MREMAP_MAYMOVE)
		     : map(room);
	if (!at || at == MAP_FAILED)
		return false;
	t->data = at;
	t->room = room;
	return true;
}

static void
release_locked(struct metadata *m, struct try *t) REQUIRES(m->lock)
{
	m->held -= t->there;
	unmap(t->data, t->room);
	free(t->notes);
	memset(t, 0, sizeof(*t));
}

void
metadata_free(struct metadata *m)
{
	if (!m)
		return;
	mutex_lock(&m->lock);
	for (size_t i = 0; i < METADATA_TRIES_MAX; i++)
		release_locked(m, &m->tries[i]);
	unmap(m->whole, m->whole_size);
	mutex_unlock(&m->lock);
	mutex_release(&m->lock);
	free(m);
}

static struct try *
find_locked(struct metadata *m, uint32_t size) REQUIRES(m->lock)
{
	for (size_t i = 0; i < METADATA_TRIES_MAX; i++)
		if (m->tries[i].size == size && size != 0)
			return &m->tries[i];
	return NULL;
}

/* Did others than the opener give to it? */
static bool
is_shared(const struct try *t)
{
	for (uint32_t i = 0; i < t->blocks; i++)
		if (t->notes[i].there && t->notes[i].source != t->opener)
			return true;
	return false;
}

static bool
has_stalled(const struct try *t, int64_t now)
{
	return now - t->added_at >= STALL_TIMEOUT ||
	       now - t->begun_at >= TRY_TIMEOUT;
}

/* Of those that may go: those that stall before those that grow, then those
 * with little before those with much, so that slow ones pass the places on
 * among themselves. */
static bool
goes_before(const struct try *t, const struct try *other, int64_t now)
{
	bool stalled = has_stalled(t, now);

	if (stalled != has_stalled(other, now))
		return stalled;
	if (!stalled && t->there != other->there)
		return t->there < other->there;
	return t->begun_at < other->begun_at;
}

/* A place for what this source claims; or NULL, for now.  What the source
 * began itself goes first, so that nobody fills them all. */
static struct try *
place_locked(struct metadata *m, uint64_t source, int64_t now)
    REQUIRES(m->lock)
{
	struct try *first = NULL;

	for (size_t i = 0; i < METADATA_TRIES_MAX; i++) {
		struct try *t = &m->tries[i];

		if (t->size != 0 && t->opener == source && !is_shared(t))
			return t;
	}
	for (size_t i = 0; i < METADATA_TRIES_MAX; i++) {
		struct try *t = &m->tries[i];

		if (t->size == 0)
			return t;
		if (!has_stalled(t, now) && now - t->begun_at < TURN_TIMEOUT)
			continue;
		if (!first || goes_before(t, first, now))
			first = t;
	}
	return first;
}

static struct try *
begin_locked(struct metadata *m, uint64_t source, uint32_t size, int64_t now)
    REQUIRES(m->lock)
{
	struct try *t = place_locked(m, source, now);
	int64_t begun_at = now;

	if (!t)
		return NULL;
	/* To claim another size wins no time. */
	if (t->size != 0 && t->opener == source)
		begun_at = t->begun_at;
	release_locked(m, t);
	t->blocks = (size + METADATA_BLOCK - 1) / METADATA_BLOCK;
	t->notes = calloc(t->blocks, sizeof(*t->notes));
	if (!t->notes) {
		release_locked(m, t);
		return NULL;
	}
	t->size = size;
	t->opener = source;
	t->begun_at = begun_at;
	t->added_at = now;
	return t;
}

bool
metadata_size_allowed(uint32_t size)
{
	return size > 0 && size <= METADATA_SIZE_MAX;
}

static bool
owner_is_good(const struct try *t, int64_t now)
{
	return t->owner != 0 && now - t->owner_at < OWNER_TIMEOUT &&
	       now - t->owner_since < OWNER_TOTAL + t->blocks * OWNER_BLOCK;
}

static void
begin_anew_locked(struct metadata *m, struct try *t) REQUIRES(m->lock)
{
	memset(t->notes, 0, t->blocks * sizeof(*t->notes));
	m->held -= t->there;
	t->there = 0;
}

/* May this peer give to the try? */
static bool
may_give_locked(struct metadata *m, struct try *t, uint64_t source,
		int64_t now) REQUIRES(m->lock)
{
	if (!t->alone || t->owner == source)
		return true;
	if (owner_is_good(t, now))
		return false;
	begin_anew_locked(m, t);	/* all of it is the new owner's */
	t->owner = source;
	t->owner_at = t->owner_since = now;
	return true;
}

static bool
next_block(struct try *t, uint64_t source, int64_t now, uint32_t *index,
	   int64_t *retry)
{
	for (uint32_t i = 0; i < t->blocks; i++) {
		struct block_note *n = &t->notes[i];

		if (n->there || !asking_begin(&n->asking, source, now, retry))
			continue;
		*index = i;
		return true;
	}
	return false;
}

bool
metadata_next(struct metadata *m, uint64_t source, uint32_t size, int64_t now,
	      uint32_t *index, int64_t *retry)
{
	struct try *t;
	bool found = false;

	*retry = now + ASKING_WAIT;
	mutex_lock(&m->lock);
	t = m->done ? NULL : find_locked(m, size);
	if (!t && !m->done && metadata_size_allowed(size))
		t = begin_locked(m, source, size, now);
	if (t && may_give_locked(m, t, source, now))
		found = next_block(t, source, now, index, retry);
	mutex_unlock(&m->lock);
	return found;
}

static bool
one_giver(const struct try *t)
{
	for (uint32_t i = 1; i < t->blocks; i++)
		if (t->notes[i].source != t->notes[0].source)
			return false;
	return true;
}

static bool
is_right(const struct metadata *m, const struct try *t)
{
	uint8_t digest[SHA256_SIZE];

	if (m->kind == HASH_SHA1)
		hash_sha1(digest, t->data, t->size);
	else
		hash_sha256(digest, t->data, t->size);
	return memcmp(digest, m->info_hash, m->kind == HASH_SHA1
						    ? SHA1_SIZE
						    : SHA256_SIZE) == 0;
}

/* Every block is there: right, or whose fault? */
static enum metadata_result
judge_locked(struct metadata *m, struct try *t) REQUIRES(m->lock)
{
	bool single = one_giver(t);

	if (is_right(m, t)) {
		m->whole = t->data;
		m->whole_size = t->size;
		m->done = true;
		t->data = NULL;
		t->room = 0;
		return METADATA_DONE;
	}
	begin_anew_locked(m, t);
	t->alone = true;
	t->owner = 0;
	return single ? METADATA_LIE : METADATA_MORE;
}

/* The largest try goes when all together are too large: of several that
 * grow, none that is small can be driven out. */
static void
keep_bounds_locked(struct metadata *m) REQUIRES(m->lock)
{
	struct try *largest = &m->tries[0];

	if (m->held <= METADATA_HELD_MAX / METADATA_BLOCK)
		return;
	for (size_t i = 1; i < METADATA_TRIES_MAX; i++)
		if (m->tries[i].there > largest->there)
			largest = &m->tries[i];
	release_locked(m, largest);
}

static enum metadata_result
block_locked(struct metadata *m, struct try *t, uint64_t source,
	     uint32_t index, const void *data, size_t n, int64_t now)
    REQUIRES(m->lock)
{
	size_t offset = (size_t)index * METADATA_BLOCK;
	size_t expected = t->size - offset < METADATA_BLOCK ? t->size - offset
							    : METADATA_BLOCK;
	struct block_note *note = &t->notes[index];

	if (note->there)
		return METADATA_MORE;	/* another one was quicker */
	if (note->asking.asked == 0 || (t->alone && t->owner != source))
		return METADATA_UNASKED;
	if (n != expected)
		return METADATA_MISFIT;
	if (!reach(t, offset + n))
		return METADATA_UNASKED;
	memcpy(t->data + offset, data, n);
	note->there = true;
	note->source = source;
	t->owner_at = t->added_at = now;
	m->held++;
	if (++t->there == t->blocks)
		return judge_locked(m, t);
	keep_bounds_locked(m);
	return METADATA_MORE;
}

enum metadata_result
metadata_block(struct metadata *m, uint64_t source, uint32_t size,
	       uint32_t index, const void *data, size_t n, int64_t now)
{
	enum metadata_result result = METADATA_UNASKED;
	struct try *t;

	mutex_lock(&m->lock);
	t = find_locked(m, size);
	if (t && !m->done && index < t->blocks)
		result = block_locked(m, t, source, index, data, n, now);
	mutex_unlock(&m->lock);
	return result;
}

void
metadata_return(struct metadata *m, uint64_t source)
{
	mutex_lock(&m->lock);
	for (size_t k = 0; k < METADATA_TRIES_MAX; k++) {
		struct try *t = &m->tries[k];

		for (uint32_t i = 0; i < t->blocks; i++)
			asking_end(&t->notes[i].asking, source);
		if (t->alone && t->owner == source)
			t->owner_at = 0;
	}
	mutex_unlock(&m->lock);
}

uint8_t *
metadata_take(struct metadata *m, size_t *size)
{
	uint8_t *whole = NULL;

	mutex_lock(&m->lock);
	*size = m->whole_size;
	if (m->whole)
		whole = malloc(m->whole_size);
	if (whole) {
		memcpy(whole, m->whole, m->whole_size);
		unmap(m->whole, m->whole_size);
		m->whole = NULL;
	}
	mutex_unlock(&m->lock);
	return whole;
}

void
metadata_end(struct metadata *m)
{
	mutex_lock(&m->lock);
	m->done = true;
	for (size_t i = 0; i < METADATA_TRIES_MAX; i++)
		release_locked(m, &m->tries[i]);
	unmap(m->whole, m->whole_size);
	m->whole = NULL;
	mutex_unlock(&m->lock);
}

void
metadata_progress(struct metadata *m, uint64_t *done, uint64_t *size)
{
	*done = *size = 0;
	mutex_lock(&m->lock);
	for (size_t i = 0; i < METADATA_TRIES_MAX; i++) {
		const struct try *t = &m->tries[i];
		uint64_t there = (uint64_t)t->there * METADATA_BLOCK;

		if (t->size == 0 || (there < *done && *size != 0))
			continue;
		*size = t->size;
		*done = there < t->size ? there : t->size;
	}
	mutex_unlock(&m->lock);
}

/* ---- the messages ---- */

void
metadata_put_message(struct buffer *out, enum metadata_kind kind,
		     uint32_t index, uint32_t total_size)
{
	bencode_put_dict(out);
	bencode_put_str(out, "msg_type");
	bencode_put_int(out, (int)kind);
	bencode_put_str(out, "piece");
	bencode_put_int(out, index);
	if (kind == METADATA_DATA) {
		bencode_put_str(out, "total_size");
		bencode_put_int(out, total_size);
	}
	bencode_put_end(out);
}

int
metadata_parse_message(struct metadata_message *m, const void *data,
		       size_t size, struct error *e)
{
	struct bencode dict;
	int64_t kind, index;

	memset(m, 0, sizeof(*m));
	if (bencode_read_prefix(&dict, data, size, e) < 0)
		return -1;
	if (!bencode_find_int(dict, "msg_type", &kind) ||
	    !bencode_find_int(dict, "piece", &index) || kind < 0 ||
	    index < 0 || index > METADATA_SIZE_MAX / METADATA_BLOCK)
		return error_set(e, ERROR_PROTOCOL, "bad metadata message");
	m->kind = (enum metadata_kind)(kind <= METADATA_REJECT ? kind : 3);
	m->index = (uint32_t)index;
	m->data = (const uint8_t *)data + dict.size;
	m->size = size - dict.size;
	return 0;
}
