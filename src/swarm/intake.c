#include "swarm/intake.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/sync.h"
#include "meta/metainfo.h"
#include "store/files.h"
#include "swarm/blame.h"
#include "swarm/hash_queue.h"
#include "swarm/hasher.h"
#include "swarm/havelog.h"
#include "swarm/picker.h"
#include "swarm/swarm.h"
#include "swarm/verify_v2.h"

#define LIARS_MAX 32
#define LEFT_MAX 2		/* pieces that the other thread is behind */

static int
read_block(struct swarm *s, uint32_t piece, uint32_t block, uint8_t *buf,
	   size_t *n, struct error *e)
{
	uint32_t size = metainfo_piece_size(s->meta, piece);
	uint32_t offset = block * PICKER_BLOCK;

	*n = size - offset < PICKER_BLOCK ? size - offset : PICKER_BLOCK;
	return files_read(s->files,
			  (uint64_t)piece * s->meta->piece_length + offset,
			  buf, *n, e);
}

/* The digest of each block as it is on disk now; NULL on failure. */
static uint64_t *
digests(struct swarm *s, uint32_t piece, size_t blocks)
{
	uint64_t *out = calloc(blocks, sizeof(*out));
	_Alignas(FILES_ALIGN) uint8_t buf[PICKER_BLOCK];

	for (uint32_t i = 0; out && i < blocks; i++) {
		size_t n;

		if (read_block(s, piece, i, buf, &n, NULL) < 0) {
			free(out);
			return NULL;
		}
		out[i] = blame_digest(buf, n);
	}
	return out;
}

static void
ban(struct swarm *s, uint64_t source, uint32_t piece)
{
	if (source != 0)
		s->events.ban(s->events.ctx, source, piece);
}

static void
find_liars(struct swarm *s, uint32_t piece)
{
	size_t blocks = picker_piece_blocks(s->picker, piece);
	uint64_t *good, liars[LIARS_MAX];
	size_t n;

	if (!blame_waits(s->blame, piece))
		return;
	good = digests(s, piece, blocks);
	if (!good)
		return;
	n = blame_settle(s->blame, piece, good, blocks, liars, LIARS_MAX);
	for (size_t i = 0; i < n; i++)
		ban(s, liars[i], piece);
	free(good);
}

/* Notes who sent what of a piece that failed. */
static void
note_senders(struct swarm *s, uint32_t piece)
{
	size_t blocks = picker_piece_blocks(s->picker, piece);
	uint64_t *sources = calloc(blocks, sizeof(*sources));
	struct blame_block *record = calloc(blocks, sizeof(*record));
	uint64_t *bad = digests(s, piece, blocks);

	if (sources && record && bad) {
		picker_contributors(s->picker, piece, sources, blocks);
		for (size_t i = 0; i < blocks; i++)
			record[i] = (struct blame_block){sources[i], bad[i]};
		ban(s, blame_single(sources, blocks), piece);
		blame_record(s->blame, piece, record, blocks);
	}
	free(sources);
	free(record);
	free(bad);
}

static void
piece_bad(struct swarm *s, uint32_t piece)
{
	log_write(s->log, LOG_DETAIL, s->name,
		  "piece %u does not match its hash: fetched again", piece);
	atomic_fetch_add(&s->wasted, metainfo_piece_size(s->meta, piece));
	note_senders(s, piece);
	if (picker_piece_bad(s->picker, piece, true) > 0)
		s->events.blocks_free(s->events.ctx);
}

static bool
right_v1(struct swarm *s, uint32_t piece, bool *right, struct error *e)
{
	uint8_t digest[SHA1_SIZE];

	if (hasher_settle(s->hasher, piece, metainfo_piece_size(s->meta, piece),
			  digest, e) < 0)
		return false;
	*right = memcmp(digest, s->meta->pieces + (size_t)piece * SHA1_SIZE,
			SHA1_SIZE) == 0;
	return true;
}

/*
 * With a v2 half.  Where there are two, both must be right (BEP 52).  What
 * was received as padding counts for v1 alone: if that makes the difference,
 * it is judged by what is on disk, where padding is zeros.
 */
static bool
right_v2(struct swarm *s, uint32_t piece, bool *right, struct error *e)
{
	enum verify_v2_result v2 = verify_v2_settle(s->v2, piece, e);
	bool v1 = false;

	*right = v2 == VERIFY_V2_RIGHT;
	if (v2 == VERIFY_V2_FAILED)
		return false;
	if (!s->meta->pieces)
		return true;
	if (!right_v1(s, piece, &v1, e) ||
	    (*right && !v1 && !right_v1(s, piece, &v1, e)))
		return false;
	if (v2 != VERIFY_V2_UNKNOWN && v1 != *right) {
		error_set(e, ERROR_TORRENT, "its v1 and v2 hashes contradict "
			  "each other: piece %u matches one alone", piece);
		return false;
	}
	*right = v1;
	return true;
}

/* Every block of the piece is there. */
static int
settle(struct swarm *s, uint32_t piece)
{
	bool right = false;
	struct error e;

	if (!(s->v2 ? right_v2(s, piece, &right, &e)
		    : right_v1(s, piece, &right, &e))) {
		picker_piece_bad(s->picker, piece, false);
		s->events.storage(s->events.ctx, &e);
		return -1;
	}
	if (!right) {
		piece_bad(s, piece);
		return 0;
	}
	find_liars(s, piece);
	picker_piece_good(s->picker, piece);
	if (havelog_add(s->havelog, piece))
		s->events.piece(s->events.ctx, piece);
	return 0;
}

/* ---- pieces that another thread hashes ---- */

/* In its thread.  Where the disk fails, the torrent has been told. */
static void
settle_beside(void *ctx, uint32_t piece)
{
	settle(ctx, piece);
}

void
intake_share(struct swarm *s)
{
	struct hash_queue *q, *none = NULL;
	struct error e;

	if (atomic_load(&s->hash_queue) || sync_processors() < 2)
		return;
	/* Without it, everything is as it was. */
	q = hash_queue_new(settle_beside, s, &e);
	if (q && !atomic_compare_exchange_strong(&s->hash_queue, &none, q))
		hash_queue_free(q);
}

void
intake_drain(struct swarm *s)
{
	struct hash_queue *q = atomic_load(&s->hash_queue);

	if (q)
		hash_queue_drain(q);
}

void
intake_unshare(struct swarm *s)
{
	hash_queue_free(atomic_exchange(&s->hash_queue, NULL));
}

/*
 * May the piece that begins be left to the other thread?  As often as that is
 * ready for more, but not where so many peers are fast that they have work
 * for all cores without it.
 */
static bool
leaves(struct swarm *s)
{
	struct hash_queue *q = atomic_load(&s->hash_queue);

	return q && atomic_load(&s->large_buffers) <= 1 &&
	       hash_queue_length(q) < LEFT_MAX;
}

/* Left to the other thread is what nobody began to hash. */
static int
settle_somewhere(struct swarm *s, uint32_t piece)
{
	struct hash_queue *q = atomic_load(&s->hash_queue);

	if (!q || hasher_holds(s->hasher, piece) ||
	    hash_queue_length(q) > LEFT_MAX)
		return settle(s, piece);
	hash_queue_post(q, piece);
	return 0;
}

/* ---- runs ---- */

/* Blocks hash alone: any of them may be left out. */
static void
feed_v2(struct swarm *s, const struct intake_part *part)
{
	const struct block *b = &part->block;
	bool left = leaves(s);

	if (!left)
		verify_v2_feed(s->v2, b->piece, b->offset, part->data,
			       b->length);
	if (s->meta->pieces && (b->offset > 0 || !left))
		hasher_feed(s->hasher, b->piece, b->offset, part->data,
			    b->length);
}

/* A piece whose beginning is left out is left out whole. */
static void
feed(struct swarm *s, const struct intake_part *part)
{
	const struct block *b = &part->block;

	if (s->v2) {
		feed_v2(s, part);
		return;
	}
	if (b->offset > 0 || !leaves(s))
		hasher_feed(s->hasher, b->piece, b->offset, part->data,
			    b->length);
}

static int
write_run(struct swarm *s, const struct intake_part *parts, size_t n,
	  struct error *e)
{
	const struct block *b = &parts[0].block;
	struct iovec iov[INTAKE_RUN_MAX] = {{0}};

	for (size_t i = 0; i < n; i++) {
		feed(s, &parts[i]);
		/* Only read; iovec knows no const. */
		memcpy(&iov[i].iov_base, &parts[i].data, sizeof(void *));
		iov[i].iov_len = parts[i].block.length;
	}
	return files_writev(s->files,
			    (uint64_t)b->piece * s->meta->piece_length +
			    b->offset, iov, n, e);
}

int
intake_run(struct swarm *s, struct picker_peer *pp,
	   const struct intake_part *parts, size_t n)
{
	uint32_t losers[PICKER_LOSERS_MAX], piece = parts[0].block.piece;
	bool full = false;
	struct error e;

	if (write_run(s, parts, n, &e) < 0) {
		/* Its hash runs ahead of what is on disk. */
		hasher_drop(s->hasher, piece);
		if (s->v2)
			verify_v2_drop(s->v2, piece);
		for (size_t i = 0; i < n; i++)
			picker_return(s->picker, pp, &parts[i].block);
		s->events.storage(s->events.ctx, &e);
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		size_t lost = 0;

		if (picker_deliver(s->picker, pp, &parts[i].block, losers,
				   &lost) == PICKER_PIECE_FULL)
			full = true;
		if (lost > 0)
			s->events.outrun(s->events.ctx, losers, lost);
	}
	return full ? settle_somewhere(s, piece) : 0;
}

int
intake_block(struct swarm *s, struct picker_peer *pp, const struct block *b,
	     const void *data)
{
	struct intake_part part = {*b, data};

	return intake_run(s, pp, &part, 1);
}
