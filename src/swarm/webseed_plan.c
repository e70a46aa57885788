#include "swarm/webseed_plan.h"

#include <inttypes.h>
#include <string.h>

#include "meta/metainfo.h"
#include "swarm/picker.h"

#define BACKOFF_FIRST (2 * CLOCK_S)
#define BACKOFF_MAX (600 * CLOCK_S)
#define BACKOFF_LONG (3600 * CLOCK_S)	/* after 404 and the like */

/* ---- URLs ---- */

static bool
is_plain(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c != 0 && strchr("-._~", c));
}

static void
put_escaped_bytes(struct buffer *out, const uint8_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is_plain(at[i]))
			buffer_u8(out, at[i]);
		else
			buffer_printf(out, "%%%02X", at[i]);
	}
}

static void
put_escaped(struct buffer *out, const char *text)
{
	put_escaped_bytes(out, (const uint8_t *)text, strlen(text));
}

static void
put_base(struct buffer *out, const char *base)
{
	buffer_url(out, base, strcspn(base, "#"));
}

bool
webseed_url(struct buffer *out, const struct metainfo *m, const char *base,
	    uint32_t file, size_t *name_at)
{
	const struct metainfo_file *f = &m->files[file];
	const char *part = f->path;
	bool folder;

	buffer_clear(out);
	put_base(out, base);
	folder = out->used > 0 && out->data[out->used - 1] == '/';
	if (m->multi && !folder)
		buffer_u8(out, '/');
	*name_at = m->multi ? out->used : 0;
	if (m->multi || folder)
		put_escaped(out, m->name);
	for (unsigned i = 0; m->multi && i < f->components; i++) {
		buffer_u8(out, '/');
		put_escaped(out, part);
		part += strlen(part) + 1;
	}
	return !out->failed && out->used <= WEBSEED_URL_MAX;
}

bool
webseed_piece_url(struct buffer *out, const struct metainfo *m,
		  const char *base, uint64_t at, uint64_t count)
{
	uint32_t piece = (uint32_t)(at / m->piece_length);
	uint64_t first = at % m->piece_length;

	buffer_clear(out);
	put_base(out, base);
	buffer_u8(out, strchr(base, '?') ? '&' : '?');
	buffer_put(out, "info_hash=", 10);
	put_escaped_bytes(out, metainfo_id(m), sizeof(m->hash_v1));
	buffer_printf(out, "&piece=%" PRIu32, piece);
	if (count < metainfo_piece_size(m, piece))
		buffer_printf(out, "&ranges=%" PRIu64 "-%" PRIu64, first,
			      first + count - 1);
	return !out->failed && out->used <= WEBSEED_URL_MAX;
}

/* ---- parts ---- */

/* The first file that ends behind `at`; an empty one never does so before
 * the one that holds the byte. */
static uint32_t
file_behind(const struct metainfo *m, uint64_t at)
{
	uint32_t low = 0, high = m->file_count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct metainfo_file *f = &m->files[mid];

		if (f->offset + f->length <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void
webseed_part_at(const struct metainfo *m, uint64_t at, uint64_t end,
		struct webseed_part *out)
{
	uint32_t i = file_behind(m, at);
	const struct metainfo_file *f = &m->files[i];
	uint64_t until = end;

	memset(out, 0, sizeof(*out));
	if (i == m->file_count || f->offset > at) {
		out->zeros = true;	/* a gap of a v2 torrent */
		if (i < m->file_count && f->offset < until)
			until = f->offset;
	} else {
		out->zeros = (f->flags & METAINFO_PAD) != 0;
		out->file = i;
		out->first = at - f->offset;
		if (f->offset + f->length < until)
			until = f->offset + f->length;
	}
	out->count = until - at;
}

void
webseed_piece_part(const struct metainfo *m, uint64_t at, uint64_t end,
		   struct webseed_part *out)
{
	uint64_t behind = (at / m->piece_length + 1) * m->piece_length;
	struct webseed_part next;

	if (behind < end)
		end = behind;
	webseed_part_at(m, at, end, out);
	while (!out->zeros && at + out->count < end) {
		webseed_part_at(m, at + out->count, end, &next);
		if (next.zeros)
			break;
		out->count += next.count;
	}
}

uint32_t
webseed_only_file(const struct metainfo *m)
{
	for (uint32_t i = 0; i < m->file_count; i++)
		if (m->files[i].length > 0)
			return m->files[i].length == metainfo_pieces_length(m)
				       ? i : UINT32_MAX;
	return UINT32_MAX;
}

/* ---- what it has wrong ---- */

uint32_t
webseed_piece_file(const struct metainfo *m, uint32_t piece)
{
	uint64_t at = (uint64_t)piece * m->piece_length;
	uint64_t end = at + metainfo_piece_size(m, piece);
	uint32_t file = UINT32_MAX;

	while (at < end) {
		struct webseed_part part;

		webseed_part_at(m, at, end, &part);
		at += part.count;
		if (part.zeros || part.file == file)
			continue;
		if (file != UINT32_MAX)
			return UINT32_MAX;
		file = part.file;
	}
	return file;
}

enum webseed_verdict
webseed_bad_add(struct webseed_bad *b, const struct metainfo *m,
		uint32_t piece)
{
	uint32_t file = webseed_piece_file(m, piece);
	unsigned n = atomic_load(&b->count);

	for (unsigned i = 0; i < n; i++)
		if (b->pieces[i] == piece ||
		    (file != UINT32_MAX &&
		     webseed_piece_file(m, b->pieces[i]) == file))
			return WEBSEED_BAD_KNOWN;
	if (n == WEBSEED_BAD_MAX)
		return WEBSEED_BAD_ENOUGH;
	b->pieces[n] = piece;
	atomic_store(&b->count, n + 1);
	return WEBSEED_BAD_NEWS;
}

/* ---- how much, and when ---- */

size_t
webseed_run_blocks(uint64_t rate_bps)
{
	uint64_t blocks = rate_bps / PICKER_BLOCK * WEBSEED_RUN_S;

	if (rate_bps == 0)
		return WEBSEED_RUN_FIRST;
	if (blocks < WEBSEED_RUN_MIN)
		return WEBSEED_RUN_MIN;
	return blocks < WEBSEED_RUN_MAX ? (size_t)blocks : WEBSEED_RUN_MAX;
}

int64_t
webseed_backoff(enum webseed_end end, unsigned failures, long retry_after_s,
		uint64_t random)
{
	unsigned doubled = failures > 0 ? failures - 1 : 0;
	int64_t wait = BACKOFF_MAX;

	if (end == WEBSEED_END_MISSING || end == WEBSEED_END_REFUSED)
		wait = BACKOFF_LONG;
	else if (doubled < 9 && (BACKOFF_FIRST << doubled) < BACKOFF_MAX)
		wait = BACKOFF_FIRST << doubled;
	if (wait < retry_after_s * CLOCK_S)
		wait = retry_after_s * CLOCK_S;
	/* Up to a quarter more, so that many do not come back as one. */
	return wait + (int64_t)(random % (uint64_t)(wait / 4));
}
