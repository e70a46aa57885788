#include "store/begun.h"

#include "meta/metainfo.h"

/* Is a block of it noted that lies in the file? */
static bool
has_block(const struct state *s, const struct state_partial *p,
	  const struct metainfo_file *f)
{
	uint64_t piece = p->piece * s->piece_length, from, end;

	for (size_t i = 0; (i = bitfield_next(&p->blocks, NULL, i)) <
			   p->blocks.count; i++) {
		from = piece + i * STATE_BLOCK;
		end = from + STATE_BLOCK;
		if (end > piece + s->piece_length)
			end = piece + s->piece_length;
		if (from < f->offset + f->length && end > f->offset)
			return true;
	}
	return false;
}

static bool
is_begun(const struct state *s, const struct layout *l, size_t file)
{
	size_t first, count, had = 0;

	layout_file_pieces(l, file, &first, &count);
	for (size_t i = first; i < first + count; i++)
		had += bitfield_get(&s->have, i);
	if (had > 0)
		return had < count;
	for (size_t i = 0; i < s->partial_count; i++)
		if (has_block(s, &s->partials[i],
			      &layout_metainfo(l)->files[file]))
			return true;
	return false;
}

void
begun_find(const struct state *s, const struct layout *l,
	   struct bitfield *out)
{
	for (size_t i = 0; i < out->count; i++)
		if (bitfield_get(&s->selected, i) && is_begun(s, l, i))
			bitfield_set(out, i);
}
