#include "store/verify.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sync.h"
#include "meta/merkle.h"
#include "meta/metainfo.h"
#include "store/files.h"
#include "store/layout.h"

/* Fits the second-level cache: bytes are hashed while they are hot. */
#define BUFFER_SIZE (256u * 1024)
#define RUN_BYTES (4u << 20)		/* that one thread takes at once */
#define READAHEAD (4u << 20)
#define ZEROS_STEP 16384

/* What pieces are compared by: each half that the torrent has. */
struct sums {
	uint8_t v1[SHA1_SIZE];
	uint8_t v2[SHA256_SIZE];
};

/* A piece's shape; with v1 alone, size and level are 0. */
struct shape {
	uint32_t length;
	uint32_t size;			/* of the file's data in it */
	unsigned level;			/* of its tree */
};

/* The sums of a piece of zeros. */
struct zero_sums {
	struct shape shape;		/* length 0: not known yet */
	struct sums sums;
};

struct verify {
	struct files *files;
	const struct metainfo *m;
	struct bitfield pieces;		/* to check; never changes */
	uint64_t total;
	size_t run;			/* pieces */
	void (*done)(void *ctx);
	void *ctx;

	_Atomic size_t next;		/* the first piece nobody took */
	_Atomic uint64_t checked;
	_Atomic size_t good_count;
	_Atomic unsigned running;
	_Atomic bool stop;
	const _Atomic bool *outer_stop;	/* the owner's, or NULL */

	struct mutex lock;
	struct bitfield looked;		/* lock; found to be right or wrong */
	struct bitfield good;		/* lock; those that are right */
	struct zero_sums zeros[2];	/* lock; of a full and a shorter piece */
	struct error trouble;		/* lock; the first */

	struct thread *threads;
	unsigned thread_count;
};

/* What one thread has. */
struct worker {
	struct verify *v;
	struct hash *hash;		/* SHA-1 */
	struct hash *tree_hash;		/* SHA-256 */
	struct merkle tree;
	uint32_t tree_left;		/* bytes of the piece's data to come */
	uint8_t *buffer;
	uint64_t ahead;			/* the kernel was told up to here */
	bool unread;			/* the piece could not be read */
};

static bool
is_stopped(const struct verify *v)
{
	return atomic_load_explicit(&v->stop, memory_order_relaxed) ||
	       (v->outer_stop && atomic_load_explicit(v->outer_stop,
						      memory_order_relaxed));
}

static uint64_t
piece_offset(const struct verify *v, size_t piece)
{
	return (uint64_t)piece * v->m->piece_length;
}

static void
keep_trouble(struct verify *v, const struct error *e)
{
	mutex_lock(&v->lock);
	if (v->trouble.kind == ERROR_NONE)
		v->trouble = *e;
	mutex_unlock(&v->lock);
}

static struct shape
shape_of(const struct verify *v, uint32_t piece)
{
	struct shape s = {.length = metainfo_piece_size(v->m, piece)};

	if (v->m->has_v2) {
		struct metainfo_piece p = metainfo_piece(v->m, piece);

		s.size = p.size;
		s.level = p.level;
	}
	return s;
}

static void
sums_begin(struct worker *w, const struct shape *s)
{
	hash_start(w->hash);
	merkle_begin(&w->tree, w->tree_hash, 0);
	w->tree_left = s->size;
}

/* Padding is for the v1 half alone. */
static void
sums_add(struct worker *w, const uint8_t *data, uint32_t n)
{
	uint32_t part = n < w->tree_left ? n : w->tree_left;

	if (w->v->m->pieces)
		hash_add(w->hash, data, n);
	if (part > 0)
		merkle_add_bytes(&w->tree, data, part);
	w->tree_left -= part;
}

static void
sums_end(struct worker *w, const struct shape *s, struct sums *out)
{
	hash_end(w->hash, out->v1);
	if (s->size > 0)
		merkle_end(&w->tree, out->v2, s->level);
}

static bool
same_shape(const struct shape *a, const struct shape *b)
{
	return a->length == b->length && a->size == b->size &&
	       a->level == b->level;
}

/* The sums of so many zeros; false when told to stop. */
static bool
sum_zeros(struct worker *w, const struct shape *s, struct sums *out)
{
	struct verify *v = w->v;
	struct zero_sums *z = &v->zeros[s->length != v->m->piece_length];
	bool known;

	mutex_lock(&v->lock);
	known = same_shape(&z->shape, s);
	if (known)
		*out = z->sums;
	mutex_unlock(&v->lock);
	if (known)
		return true;
	memset(w->buffer, 0, BUFFER_SIZE);
	sums_begin(w, s);
	for (uint32_t done = 0; done < s->length;) {
		uint32_t part = s->length - done < BUFFER_SIZE
					? s->length - done : BUFFER_SIZE;

		if (is_stopped(v))
			return false;
		sums_add(w, w->buffer, part);
		done += part;
	}
	sums_end(w, s, out);
	mutex_lock(&v->lock);
	z->sums = *out;
	z->shape = *s;
	mutex_unlock(&v->lock);
	return true;
}

/* The sums of what is on disk; false when it cannot be read. */
static bool
sum_data(struct worker *w, uint64_t at, const struct shape *s,
	 struct sums *out)
{
	uint64_t end = at + s->length;
	struct error e;

	sums_begin(w, s);
	while (at < end) {
		uint32_t part = end - at < BUFFER_SIZE ? (uint32_t)(end - at)
						       : BUFFER_SIZE;

		if (is_stopped(w->v))
			return false;
		if (at + part > w->ahead) {
			files_readahead(w->v->files, at, READAHEAD);
			w->ahead = at + READAHEAD;
		}
		if (files_read(w->v->files, at, w->buffer, part, &e) < 0) {
			w->unread = e.kind != ERROR_DATA;
			if (w->unread)
				keep_trouble(w->v, &e);
			return false;
		}
		sums_add(w, w->buffer, part);
		at += part;
	}
	sums_end(w, s, out);
	return true;
}

/* Both halves must agree, as far as they are known. */
static bool
right(const struct metainfo *m, uint32_t piece, const struct sums *sums)
{
	struct metainfo_piece p = {0};

	if (m->has_v2)
		p = metainfo_piece(m, piece);
	if (p.root && memcmp(sums->v2, p.root, SHA256_SIZE) != 0)
		return false;
	if (!m->pieces)
		return p.root != NULL;
	return memcmp(sums->v1, m->pieces + (size_t)piece * SHA1_SIZE,
		      SHA1_SIZE) == 0;
}

static bool
piece_good(struct worker *w, uint32_t piece)
{
	uint64_t at = piece_offset(w->v, piece);
	struct shape s = shape_of(w->v, piece);
	struct sums is;
	bool known = false;

	w->unread = false;
	switch (files_presence(w->v->files, at, s.length)) {
	case FILES_ABSENT:
		return false;
	case FILES_HOLE:
		known = sum_zeros(w, &s, &is);
		break;
	case FILES_DATA:
		known = sum_data(w, at, &s, &is);
		break;
	}
	return known && right(w->v->m, piece, &is);
}

bool
verify_is_zeros(struct files *f, uint64_t offset, uint64_t n)
{
	_Alignas(FILES_ALIGN) uint8_t data[ZEROS_STEP];
	size_t part;

	if (files_presence(f, offset, n) != FILES_DATA)
		return true;
	for (; n > 0; offset += part, n -= part) {
		part = n < sizeof(data) ? (size_t)n : sizeof(data);
		if (files_read(f, offset, data, part, NULL) < 0)
			return true;
		for (size_t i = 0; i < part; i++)
			if (data[i])
				return false;
	}
	return true;
}

static void
note_piece(struct verify *v, size_t piece, bool good)
{
	mutex_lock(&v->lock);
	bitfield_set(&v->looked, piece);
	if (good)
		bitfield_set(&v->good, piece);
	mutex_unlock(&v->lock);
	if (good)
		atomic_fetch_add_explicit(&v->good_count, 1,
					  memory_order_relaxed);
}

static void
check_run(struct worker *w, size_t from, size_t to)
{
	struct verify *v = w->v;

	/* Another run was taken from in between. */
	w->ahead = 0;
	for (size_t i = from; (i = bitfield_next(&v->pieces, NULL, i)) < to;
	     i++) {
		uint32_t length = metainfo_piece_size(v->m, (uint32_t)i);
		bool good = piece_good(w, (uint32_t)i);

		if (is_stopped(v))
			return;
		if (good)
			files_found(v->files, piece_offset(v, i), length);
		if (!w->unread)
			note_piece(v, i, good);
		atomic_fetch_add_explicit(&v->checked, length,
					  memory_order_relaxed);
	}
}

static void
thread_ended(struct verify *v)
{
	/* Nothing of v is touched after this: it may be gone once the last
	 * thread's callback has run and it was joined. */
	if (atomic_fetch_sub(&v->running, 1) == 1 && v->done)
		v->done(v->ctx);
}

static void
work(void *arg)
{
	struct worker w = { .v = arg };
	struct verify *v = w.v;
	size_t count = v->pieces.count;
	struct error e;

	w.buffer = aligned_alloc(FILES_ALIGN, BUFFER_SIZE);
	w.hash = hash_new(HASH_SHA1);
	w.tree_hash = hash_new(HASH_SHA256);
	if (!w.buffer || !w.hash || !w.tree_hash) {
		error_memory(&e);
		keep_trouble(v, &e);
		goto out;
	}
	while (!is_stopped(v)) {
		size_t from = atomic_fetch_add(&v->next, v->run);

		if (from >= count)
			break;
		check_run(&w, from,
			  count - from < v->run ? count : from + v->run);
	}
out:
	hash_free(w.tree_hash);
	hash_free(w.hash);
	free(w.buffer);
	thread_ended(v);
}

static int
start_threads(struct verify *v, unsigned n, struct error *e)
{
	v->threads = calloc(n, sizeof(*v->threads));
	if (!v->threads)
		return error_memory(e);
	atomic_store(&v->running, n);
	for (; v->thread_count < n; v->thread_count++) {
		if (thread_start(&v->threads[v->thread_count], "verify",
				 THREAD_STACK_SMALL, work, v, e) < 0)
			break;
	}
	if (v->thread_count == 0)
		return -1;
	/* Fewer do as well. */
	for (unsigned i = v->thread_count; i < n; i++)
		thread_ended(v);
	return 0;
}

struct verify *
verify_start(struct files *f, const struct verify_options *o,
	     struct error *e)
{
	struct verify *v = calloc(1, sizeof(*v));
	unsigned threads = o->threads ? o->threads : sync_processors();
	size_t todo;

	if (!v) {
		error_memory(e);
		return NULL;
	}
	mutex_init(&v->lock);
	v->files = f;
	v->m = layout_metainfo(files_layout(f));
	v->done = o->done;
	v->ctx = o->ctx;
	v->outer_stop = o->stop;
	v->run = RUN_BYTES / v->m->piece_length + 1;
	if (bitfield_init(&v->pieces, o->pieces->count) < 0 ||
	    bitfield_init(&v->looked, o->pieces->count) < 0 ||
	    bitfield_init(&v->good, o->pieces->count) < 0) {
		error_memory(e);
		goto fail;
	}
	bitfield_copy(&v->pieces, o->pieces);
	todo = bitfield_ones(&v->pieces);
	for (size_t i = 0; (i = bitfield_next(&v->pieces, NULL, i)) <
			   v->pieces.count; i++)
		v->total += metainfo_piece_size(v->m, (uint32_t)i);
	if (threads > todo)
		threads = todo ? (unsigned)todo : 1;
	if (start_threads(v, threads, e) < 0)
		goto fail;
	return v;
fail:
	verify_free(v);
	return NULL;
}

void
verify_progress(struct verify *v, struct verify_progress *out)
{
	out->checked = atomic_load_explicit(&v->checked,
					    memory_order_relaxed);
	out->good = atomic_load_explicit(&v->good_count,
					 memory_order_relaxed);
	out->total = v->total;
}

bool
verify_done(struct verify *v)
{
	return atomic_load(&v->running) == 0;
}

void
verify_stop(struct verify *v)
{
	atomic_store(&v->stop, true);
}

static void
join_all(struct verify *v)
{
	for (unsigned i = 0; i < v->thread_count; i++)
		thread_join(&v->threads[i]);
}

void
verify_results(struct verify *v, struct bitfield *have, struct bitfield *left)
{
	mutex_lock(&v->lock);
	bitfield_remove(have, &v->looked);
	bitfield_add(have, &v->good);
	if (left)
		bitfield_remove(left, &v->looked);
	mutex_unlock(&v->lock);
}

int
verify_join(struct verify *v, struct error *e)
{
	int status = -1;

	join_all(v);
	mutex_lock(&v->lock);
	if (v->trouble.kind != ERROR_NONE) {
		if (e)
			*e = v->trouble;
	} else if (is_stopped(v)) {
		error_set(e, ERROR_STOPPED, "stopped while checking");
	} else {
		status = 0;
	}
	mutex_unlock(&v->lock);
	return status;
}

void
verify_free(struct verify *v)
{
	if (!v)
		return;
	verify_stop(v);
	join_all(v);
	free(v->threads);
	bitfield_release(&v->pieces);
	bitfield_release(&v->looked);
	bitfield_release(&v->good);
	mutex_release(&v->lock);
	free(v);
}
