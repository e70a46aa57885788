#include "swarm/intake.h"

#include <stdlib.h>
#include <string.h>

#include "meta/metainfo.h"
#include "store/files.h"
#include "swarm/blame.h"
#include "swarm/hasher.h"
#include "swarm/havelog.h"
#include "swarm/picker.h"
#include "swarm/swarm.h"

#define LIARS_MAX 32

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
	uint8_t buf[PICKER_BLOCK];

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

/* Every block of the piece is there. */
static int
settle(struct swarm *s, uint32_t piece)
{
	uint8_t digest[SHA1_SIZE];
	struct error e;

	if (hasher_settle(s->hasher, piece, metainfo_piece_size(s->meta, piece),
			  digest, &e) < 0) {
		picker_piece_bad(s->picker, piece, false);
		s->events.storage(s->events.ctx, &e);
		return -1;
	}
	if (memcmp(digest, s->meta->pieces + (size_t)piece * SHA1_SIZE,
		   SHA1_SIZE) != 0) {
		piece_bad(s, piece);
		return 0;
	}
	find_liars(s, piece);
	picker_piece_good(s->picker, piece);
	if (havelog_add(s->havelog, piece))
		s->events.piece(s->events.ctx, piece);
	return 0;
}

int
intake_block(struct swarm *s, struct picker_peer *pp, const struct block *b,
	     const void *data)
{
	uint64_t at = (uint64_t)b->piece * s->meta->piece_length + b->offset;
	uint32_t losers[PICKER_LOSERS_MAX];
	enum picker_result result;
	size_t n = 0;
	struct error e;

	hasher_feed(s->hasher, b->piece, b->offset, data, b->length);
	if (files_write(s->files, at, data, b->length, &e) < 0) {
		/* Its hash runs ahead of what is on disk. */
		hasher_drop(s->hasher, b->piece);
		picker_return(s->picker, pp, b);
		s->events.storage(s->events.ctx, &e);
		return -1;
	}
	result = picker_deliver(s->picker, pp, b, losers, &n);
	if (n > 0)
		s->events.outrun(s->events.ctx, losers, n);
	return result == PICKER_PIECE_FULL ? settle(s, b->piece) : 0;
}
