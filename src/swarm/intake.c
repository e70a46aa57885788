#include "swarm/intake.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "meta/metainfo.h"
#include "store/files.h"
#include "store/layout.h"
#include "swarm/blame.h"
#include "swarm/hasher.h"
#include "swarm/havelog.h"
#include "swarm/loads.h"
#include "swarm/picker.h"
#include "swarm/swarm.h"
#include "swarm/verify_v2.h"

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

/* With a v2 half.  Where there are two, both must be right (BEP 52). */
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
	if (!right_v1(s, piece, &v1, e))
		return false;
	if (v2 != VERIFY_V2_UNKNOWN && v1 != *right) {
		error_set(e, ERROR_TORRENT, "its v1 and v2 hashes contradict "
			  "each other: piece %u matches one alone", piece);
		return false;
	}
	*right = v1;
	return true;
}

/* Was a block of it noted in an earlier run? */
static bool
is_from_before(struct swarm *s, uint32_t piece)
{
	size_t blocks = picker_piece_blocks(s->picker, piece);
	uint64_t *sources = calloc(blocks, sizeof(*sources));
	bool found = false;

	if (sources)
		picker_contributors(s->picker, piece, sources, blocks);
	for (size_t i = 0; sources && i < blocks; i++)
		found |= sources[i] == 0;
	free(sources);
	return found;
}

/* What cannot be told of a piece.  The file that had blocks of it in an
 * earlier run may have gone since, or was cut: then all of them are fetched,
 * which can happen but once. */
static int
unsettled(struct swarm *s, uint32_t piece, const struct error *e)
{
	bool again = e->kind == ERROR_DATA && is_from_before(s, piece);

	hasher_drop(s->hasher, piece);
	if (picker_piece_bad(s->picker, piece, false) > 0 && again)
		s->events.blocks_free(s->events.ctx);
	if (again)
		return 0;
	s->events.storage(s->events.ctx, e);
	return -1;
}

/* Every block of the piece is there. */
static int
settle(struct swarm *s, uint32_t piece)
{
	bool right = false;
	struct error e;

	if (!(s->v2 ? right_v2(s, piece, &right, &e)
		    : right_v1(s, piece, &right, &e)))
		return unsettled(s, piece, &e);
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

/* ---- runs of neighbours ---- */

/* Padding is zeros, whatever was sent for it: what is kept of a block must
 * read the same from the disk.  The block's data, or its copy in buf. */
static const uint8_t *
with_zeros(const struct swarm *s, const struct load_part *part,
	   uint8_t buf[PICKER_BLOCK])
{
	const struct block *b = &part->block;
	const struct layout *l = files_layout(s->files);
	const uint8_t *data = part->data;
	struct layout_cursor c;
	size_t at = 0;
	struct span span;

	layout_seek(l, &c, (uint64_t)b->piece * s->meta->piece_length +
		    b->offset, b->length);
	for (; layout_next(l, &c, &span); at += (size_t)span.length) {
		if (span.kind != SPAN_PAD)
			continue;
		if (data == part->data)
			data = memcpy(buf, part->data, b->length);
		memset(buf + at, 0, (size_t)span.length);
	}
	return data;
}

static void
feed(struct swarm *s, const struct load_part *part)
{
	const struct block *b = &part->block;
	const uint8_t *data = part->data;
	uint8_t buf[PICKER_BLOCK];

	if (metainfo_is_padded(s->meta))
		data = with_zeros(s, part, buf);
	if (s->v2)
		verify_v2_feed(s->v2, b->piece, b->offset, data, b->length);
	if (s->meta->pieces)
		hasher_feed(s->hasher, b->piece, b->offset, data, b->length);
}

static void
feed_all(struct swarm *s, const struct load_part *parts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		feed(s, &parts[i]);
}

/* How many parts from the first one on are neighbours in a piece. */
static size_t
run_length(const struct load_part *parts, size_t n)
{
	size_t i = 1;

	while (i < n && parts[i].block.piece == parts[0].block.piece &&
	       parts[i].block.offset == parts[i - 1].block.offset +
					parts[i - 1].block.length)
		i++;
	return i;
}

static int
write_run(struct swarm *s, const struct load_part *parts, size_t n,
	  struct error *e)
{
	const struct block *b = &parts[0].block;
	struct iovec iov[LOAD_BLOCKS] = {{0}};

	for (size_t i = 0; i < n; i++) {
		/* Only read; iovec knows no const. */
		memcpy(&iov[i].iov_base, &parts[i].data, sizeof(void *));
		iov[i].iov_len = parts[i].block.length;
	}
	return files_writev(s->files,
			    (uint64_t)b->piece * s->meta->piece_length +
			    b->offset, iov, n, e);
}

/* The run is on disk; true if that was the rest of the piece. */
static bool
deliver_run(struct swarm *s, struct picker_peer *pp,
	    const struct load_part *parts, size_t n)
{
	uint32_t losers[PICKER_LOSERS_MAX];
	bool full = false;

	for (size_t i = 0; i < n; i++) {
		size_t lost = 0;

		switch (picker_deliver(s->picker, pp, &parts[i].block, losers,
				       &lost)) {
		case PICKER_PIECE_FULL:
			full = true;
			break;
		case PICKER_FREED:
			s->events.blocks_free(s->events.ctx);
			break;
		case PICKER_MORE:
			break;
		}
		if (lost > 0)
			s->events.outrun(s->events.ctx, losers, lost);
	}
	return full;
}

/* They were not written: their pieces' hashes run ahead of what is on disk. */
static void
take_back(struct swarm *s, struct picker_peer *pp,
	  const struct load_part *parts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t piece = parts[i].block.piece;

		hasher_drop(s->hasher, piece);
		if (s->v2)
			verify_v2_drop(s->v2, piece);
		picker_return(s->picker, pp, &parts[i].block);
	}
}

static int
store_all(struct swarm *s, struct picker_peer *pp,
	  const struct load_part *parts, size_t n)
{
	int status = 0;
	struct error e;

	while (n > 0 && status == 0) {
		size_t run = run_length(parts, n);

		if (write_run(s, parts, run, &e) < 0) {
			s->events.storage(s->events.ctx, &e);
			status = -1;
			break;
		}
		if (deliver_run(s, pp, parts, run))
			status = settle(s, parts[0].block.piece);
		parts += run;
		n -= run;
	}
	take_back(s, pp, parts, n);
	return status;
}

int
intake_parts(struct swarm *s, struct picker_peer *pp,
	     const struct load_part *parts, size_t n)
{
	feed_all(s, parts, n);
	return store_all(s, pp, parts, n);
}

/* ---- loads ---- */

/* In the thread that writes.  Where the disk fails, the torrent has been
 * told. */
static void
write_load(void *ctx, struct load *load)
{
	store_all(ctx, load->pp, load->parts, load->used);
}

int
intake_begin(struct swarm *s, struct error *e)
{
	s->loads = loads_new(write_load, s, e);
	return s->loads ? 0 : -1;
}

void
intake_end(struct swarm *s)
{
	loads_free(s->loads);
	s->loads = NULL;
}

int
intake_load(struct swarm *s, struct picker_peer *pp, struct load *load)
{
	int status;

	load->pp = pp;
	feed_all(s, load->parts, load->used);
	if (load->used >= INTAKE_LOAD_MIN && loads_post(s->loads, load))
		return 0;
	status = store_all(s, pp, load->parts, load->used);
	loads_give(s->loads, load);
	return status;
}
