#include "store/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "meta/metainfo.h"
#include "state_inside.h"
#include "store/folder.h"

#define HEAD_SIZE (8 + 20 + 8 + 8 + 4 + 4 + 8 + 8 + 1)
#define STAMP_SIZE 17
#define NAME_SIZE (METAINFO_HEX_MAX + 8)

int
state_init(struct state *s, const struct metainfo *m, struct error *e)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->id, metainfo_id(m), sizeof(s->id));
	metainfo_hex(m, s->hex);
	s->length = m->length;
	s->piece_length = m->piece_length;
	s->stamp_count = (size_t)m->file_count + 1;
	s->stamps = calloc(s->stamp_count, sizeof(*s->stamps));
	if (!s->stamps || bitfield_init(&s->have, m->piece_count) < 0 ||
	    bitfield_init(&s->unchecked, m->piece_count) < 0 ||
	    bitfield_init(&s->damaged, m->piece_count) < 0 ||
	    bitfield_init(&s->whole, m->file_count) < 0 ||
	    bitfield_init(&s->selected, m->file_count) < 0) {
		state_release(s);
		return error_memory(e);
	}
	bitfield_fill(&s->selected);
	return 0;
}

static void
drop_partials(struct state *s)
{
	for (size_t i = 0; i < s->partial_count; i++)
		bitfield_release(&s->partials[i].blocks);
	free(s->partials);
	s->partials = NULL;
	s->partial_count = 0;
}

void
state_release(struct state *s)
{
	drop_partials(s);
	bitfield_release(&s->have);
	bitfield_release(&s->unchecked);
	bitfield_release(&s->damaged);
	bitfield_release(&s->selected);
	bitfield_release(&s->whole);
	free(s->stamps);
	memset(s, 0, sizeof(*s));
}

/* Back to what state_init made. */
static void
state_reset(struct state *s)
{
	drop_partials(s);
	bitfield_zero(&s->have);
	bitfield_zero(&s->unchecked);
	bitfield_zero(&s->damaged);
	bitfield_zero(&s->whole);
	bitfield_fill(&s->selected);
	memset(s->stamps, 0, s->stamp_count * sizeof(*s->stamps));
	s->uploaded = s->downloaded = 0;
	s->complete = s->was_complete = false;
}

int
state_add_partial(struct state *s, uint32_t piece,
		  const struct bitfield *blocks)
{
	size_t count = s->partial_count;
	struct state_partial *grown = s->partials;

	if (count >= STATE_PARTIALS_MAX)
		return 0;
	/* Grown at powers of two. */
	if ((count & (count - 1)) == 0) {
		grown = realloc(s->partials, (count ? count * 2 : 1) *
						 sizeof(*grown));
		if (!grown)
			return -1;
		s->partials = grown;
	}
	if (bitfield_init(&grown[count].blocks, blocks->count) < 0)
		return -1;
	bitfield_copy(&grown[count].blocks, blocks);
	grown[count].piece = piece;
	s->partial_count++;
	return 0;
}

/* --- bytes --- */

static uint8_t
there_of(const struct state *s, size_t file)
{
	if (!s->stamps[file].there)
		return 0;
	return file < s->whole.count && bitfield_get(&s->whole, file)
		       ? STATE_THERE_WHOLE
		       : STATE_THERE;
}

/* The most that a state of this shape can take. */
static size_t
size_max(const struct state *s)
{
	size_t blocks = (size_t)(s->piece_length / STATE_BLOCK + 1);

	return HEAD_SIZE + 3 * bitfield_bytes(&s->have) +
	       bitfield_bytes(&s->selected) + s->stamp_count * STAMP_SIZE +
	       4 + STATE_PARTIALS_MAX * (8 + (blocks + 7) / 8) + SHA256_SIZE;
}

static uint8_t
flags_of(const struct state *s)
{
	uint8_t damaged = bitfield_ones(&s->damaged) > 0 ? STATE_FLAG_DAMAGED
							 : 0;

	if (s->was_complete)
		return damaged | STATE_FLAG_WAS_COMPLETE;
	if (bitfield_ones(&s->unchecked) > 0)
		return damaged | STATE_FLAG_UNCHECKED;
	return damaged | (s->complete ? STATE_FLAG_COMPLETE : 0);
}

void
state_encode(const struct state *s, struct buffer *out)
{
	uint8_t flags = flags_of(s), sum[SHA256_SIZE];

	buffer_str(out, STATE_MAGIC);
	buffer_put(out, s->id, sizeof(s->id));
	buffer_u64(out, s->length);
	buffer_u64(out, s->piece_length);
	buffer_u32(out, (uint32_t)s->have.count);
	buffer_u32(out, (uint32_t)s->selected.count);
	buffer_u64(out, s->uploaded);
	buffer_u64(out, s->downloaded);
	buffer_u8(out, flags);
	buffer_put(out, s->have.bits, bitfield_bytes(&s->have));
	if (state_has_unchecked(flags))
		buffer_put(out, s->unchecked.bits,
			   bitfield_bytes(&s->unchecked));
	if (flags & STATE_FLAG_DAMAGED)
		buffer_put(out, s->damaged.bits, bitfield_bytes(&s->damaged));
	buffer_put(out, s->selected.bits, bitfield_bytes(&s->selected));
	for (size_t i = 0; i < s->stamp_count; i++) {
		buffer_u8(out, there_of(s, i));
		buffer_u64(out, s->stamps[i].size);
		buffer_u64(out, (uint64_t)s->stamps[i].mtime_ns);
	}
	buffer_u32(out, (uint32_t)s->partial_count);
	for (size_t i = 0; i < s->partial_count; i++) {
		const struct state_partial *p = &s->partials[i];

		buffer_u32(out, p->piece);
		buffer_u32(out, (uint32_t)p->blocks.count);
		buffer_put(out, p->blocks.bits, bitfield_bytes(&p->blocks));
	}
	if (out->failed)
		return;
	hash_sha256(sum, out->data, out->used);
	buffer_put(out, sum, sizeof(sum));
}

/* The most that a piece can have: where files have gaps behind them it may be
 * fewer, which the picker knows. */
static uint64_t
blocks_max(const struct state *s, uint32_t piece)
{
	uint64_t offset = piece * s->piece_length;
	uint64_t size = s->length - offset;

	if (size > s->piece_length)
		size = s->piece_length;
	return (size + STATE_BLOCK - 1) / STATE_BLOCK;
}

static bool
read_bits(struct bytes *b, struct bitfield *out)
{
	size_t size = bitfield_bytes(out);
	const uint8_t *bits = bytes_take(b, size);

	return bits && bitfield_load(out, bits, size);
}

static bool
read_head(struct bytes *b, struct state *s, uint8_t *flags)
{
	const uint8_t *magic = bytes_take(b, strlen(STATE_MAGIC));
	uint8_t id[sizeof(s->id)];
	uint8_t stands;
	bool same;

	if (!magic || memcmp(magic, STATE_MAGIC, strlen(STATE_MAGIC)) != 0)
		return false;
	bytes_copy(b, id, sizeof(id));
	same = memcmp(id, s->id, sizeof(id)) == 0;
	same &= bytes_u64(b) == s->length;
	same &= bytes_u64(b) == s->piece_length;
	same &= bytes_u32(b) == s->have.count;
	same &= bytes_u32(b) == s->selected.count;
	s->uploaded = bytes_u64(b);
	s->downloaded = bytes_u64(b);
	*flags = bytes_u8(b);
	stands = *flags & (uint8_t)~STATE_FLAG_DAMAGED;
	s->complete = stands == STATE_FLAG_COMPLETE;
	s->was_complete = stands == STATE_FLAG_WAS_COMPLETE;
	return same && stands <= STATE_FLAG_WAS_COMPLETE;
}

static bool
read_pieces(struct bytes *b, struct state *s, uint8_t flags)
{
	if (!read_bits(b, &s->have))
		return false;
	if (state_has_unchecked(flags) &&
	    (!read_bits(b, &s->unchecked) ||
	     (!s->was_complete && bitfield_ones(&s->unchecked) == 0)))
		return false;
	if (!(flags & STATE_FLAG_DAMAGED))
		return true;
	return read_bits(b, &s->damaged) && bitfield_ones(&s->damaged) > 0;
}

static bool
read_stamps(struct bytes *b, struct state *s)
{
	for (size_t i = 0; i < s->stamp_count; i++) {
		uint8_t there = bytes_u8(b);
		bool is_side = i == s->whole.count;

		s->stamps[i].there = there != 0;
		if (there == STATE_THERE_WHOLE && !is_side)
			bitfield_set(&s->whole, i);
		s->stamps[i].size = bytes_u64(b);
		s->stamps[i].mtime_ns = (int64_t)bytes_u64(b);
		if (there > (is_side ? STATE_THERE : STATE_THERE_WHOLE) ||
		    bytes_failed(b))
			return false;
	}
	return true;
}

static bool
read_partials(struct bytes *b, struct state *s)
{
	uint32_t count = bytes_u32(b);

	if (count > STATE_PARTIALS_MAX)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct bitfield blocks = { NULL, 0 };
		uint32_t piece = bytes_u32(b);
		uint32_t n = bytes_u32(b);
		bool good;

		if (piece >= s->have.count || n == 0 ||
		    n > blocks_max(s, piece) ||
		    bitfield_init(&blocks, n) < 0)
			return false;
		good = read_bits(b, &blocks) &&
		       state_add_partial(s, piece, &blocks) == 0;
		bitfield_release(&blocks);
		if (!good)
			return false;
	}
	return true;
}

int
state_decode(struct state *s, const void *data, size_t size,
	     struct error *e)
{
	uint8_t sum[SHA256_SIZE], flags = 0;
	struct bytes b;

	if (size < sizeof(sum))
		return error_set(e, ERROR_DATA, "the saved state is cut off");
	size -= sizeof(sum);
	hash_sha256(sum, data, size);
	if (memcmp(sum, (const uint8_t *)data + size, sizeof(sum)) != 0)
		return error_set(e, ERROR_DATA, "the saved state is damaged");
	b = bytes_over(data, size);
	if (read_head(&b, s, &flags) && read_pieces(&b, s, flags) &&
	    read_bits(&b, &s->selected) && read_stamps(&b, s) &&
	    read_partials(&b, s) && !bytes_failed(&b) && b.left == 0)
		return 0;
	state_reset(s);
	return error_set(e, ERROR_DATA, "the saved state is of another "
			 "torrent or version");
}

/* --- the file --- */

static void
file_name(const struct state *s, char out[NAME_SIZE])
{
	snprintf(out, NAME_SIZE, "%s.state", s->hex);
}

int
state_save(const struct state *s, int dir, struct error *e)
{
	char name[NAME_SIZE];
	struct buffer b;
	int status;

	file_name(s, name);
	buffer_init(&b, size_max(s));
	state_encode(s, &b);
	if (b.failed)
		status = error_memory(e);
	else
		status = folder_save(dir, name, b.data, b.used, e);
	buffer_release(&b);
	return status;
}

int
state_load(struct state *s, int dir, struct error *e)
{
	char name[NAME_SIZE];
	struct buffer b;
	int status;

	file_name(s, name);
	buffer_init(&b, size_max(s));
	status = folder_load(dir, name, &b, e);
	if (status == 0)
		status = state_decode(s, b.data, b.used, e);
	buffer_release(&b);
	return status;
}
