/*
 * Metadata: a peer's part in finding out what a torrent holds, and in
 * telling others.  Until it is known, a connection does nothing else, and
 * what the peer says of its pieces is kept as it came: their number is not
 * known yet.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "swarm/havelog.h"
#include "swarm/metadata.h"
#include "swarm/peer_parts.h"

#define HAVES_AT_ONCE 4096	/* verified before we knew the torrent */
#define REFUSED_REST (10 * CLOCK_S)	/* it has none, for now */

/* ---- before ---- */

static int
early_room(struct peer *p, size_t size)
{
	uint8_t *early;

	if (size <= p->early_size)
		return 0;
	if (size > PEER_EARLY_MAX)
		return peer_end(p, PEER_END_BROKE, "too many pieces");
	early = realloc(p->early, size);
	if (!early)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	memset(early + p->early_size, 0, size - p->early_size);
	p->early = early;
	p->early_size = size;
	return 0;
}

int
peer_meta_early(struct peer *p, const struct wire_message *m)
{
	switch (m->id) {
	case WIRE_HAVE_ALL:
		p->early_all = true;
		return 0;
	case WIRE_BITFIELD:
		if (early_room(p, m->size) < 0)
			return -1;
		memcpy(p->early, m->data, m->size);
		for (size_t i = 0; i < m->size && !p->early_any; i++)
			p->early_any = m->data[i] != 0;
		return 0;
	case WIRE_HAVE:
		if (early_room(p, (size_t)m->piece / 8 + 1) < 0)
			return -1;
		p->early[m->piece / 8] |= (uint8_t)(128 >> (m->piece % 8));
		p->early_any = true;
		return 0;
	default:
		return 0;
	}
}

static int
apply_early(struct peer *p)
{
	struct bitfield b;
	int status = 0;

	if (p->early_all) {
		picker_peer_have_all(p->swarm->picker, p->pp);
		return 0;
	}
	if (bitfield_init(&b, p->swarm->meta->piece_count) < 0)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	/* HAVEs alone make it shorter than a bitfield would be. */
	if (p->early_size <= bitfield_bytes(&b) && p->early_size > 0) {
		memcpy(b.bits, p->early, p->early_size);
		if (b.count % 8 && p->early_size == bitfield_bytes(&b))
			b.bits[b.count / 8] &= (uint8_t)(0xff00 >>
							 (b.count % 8));
		if (picker_peer_bitfield(p->swarm->picker, p->pp, &b) < 0)
			status = peer_end(p, PEER_END_STOPPED,
					  "out of memory");
	} else if (p->early_size > 0) {
		status = peer_end(p, PEER_END_BROKE, "bitfield of wrong size");
	}
	bitfield_release(&b);
	return status;
}

/* A bitfield may only come first, so what we have goes out as HAVEs. */
static int
tell_all(struct peer *p)
{
	const struct havelog *log = p->swarm->havelog;
	uint8_t have[WIRE_MESSAGE_MAX];
	struct bitfield b;

	atomic_store(&p->told, havelog_length(log));
	if (havelog_count(log) == 0)
		return 0;
	if (havelog_count(log) > HAVES_AT_ONCE)
		return peer_end(p, PEER_END_STOPPED, "to begin anew");
	if (bitfield_init(&b, havelog_pieces(log)) < 0)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	havelog_copy(log, &b);
	for (size_t i = bitfield_next(&b, NULL, 0); i < b.count;
	     i = bitfield_next(&b, NULL, i + 1))
		buffer_put(&p->out, have,
			   wire_put_index(have, WIRE_HAVE, (uint32_t)i));
	bitfield_release(&b);
	return 0;
}

static void
check_allowed(struct peer *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->allowed_in_count; i++)
		if (p->allowed_in[i] < p->swarm->meta->piece_count)
			p->allowed_in[kept++] = p->allowed_in[i];
	p->allowed_in_count = kept;
}

int
peer_meta_begin(struct peer *p)
{
	struct swarm *s = p->swarm;

	peer_meta_leave(p);
	peer_hashes_leave(p);
	p->pp = picker_join(s->picker, p->id, p->source);
	if (!p->pp)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	check_allowed(p);
	if (apply_early(p) < 0 || tell_all(p) < 0)
		return -1;
	free(p->early);
	p->early = NULL;
	p->early_size = 0;
	atomic_store(&p->seed, picker_peer_is_seed(s->picker, p->pp));
	peer_meta_judge(p);
	p->check_interest = true;
	return 0;
}

/* ---- what it still wants ---- */

/*
 * It may be here for the metadata alone: some programs fetch that and say
 * upload_only meanwhile, and where there are no pieces, who knows nothing has
 * all of them.  Whoever has a piece has the metadata as well.
 */
static bool
may_lack_metadata(const struct peer *p)
{
	const struct swarm *s = p->swarm;

	if (!p->pp || !p->remote.extended || s->meta->private ||
	    picker_peer_count(s->picker, p->pp) > 0)
		return false;
	return !p->said_hello || (p->said.ids[EXTENSION_METADATA] != 0 &&
				  p->said.metadata_size == 0);
}

void
peer_meta_judge(struct peer *p)
{
	bool done = atomic_load(&p->seed) || p->said.upload_only;

	atomic_store(&p->upload_only, done && !may_lack_metadata(p));
}

/* ---- asking ---- */

static void
put_message(struct peer *p, enum metadata_kind kind, uint32_t index,
	    uint32_t total, const uint8_t *data, size_t size)
{
	struct buffer b;

	buffer_init(&b, METADATA_BLOCK + 128);
	metadata_put_message(&b, kind, index, total);
	if (size > 0)
		buffer_put(&b, data, size);
	peer_put_extended(p, p->said.ids[EXTENSION_METADATA], &b);
	buffer_release(&b);
}

static void
put_asks(struct peer *p)
{
	uint32_t size = p->said.metadata_size, index;

	if (size == 0 || p->now < p->meta_retry)
		return;
	while (patience_allows(&p->meta_patience, PEER_META_ASKS, p->now,
			       &p->meta_retry)) {
		if (!metadata_next(p->swarm->metadata, p->source, size, p->now,
				   &index, &p->meta_retry))
			return;
		put_message(p, METADATA_REQUEST, index, 0, NULL, 0);
		patience_asked(&p->meta_patience, p->now);
	}
}

void
peer_meta_leave(struct peer *p)
{
	if (p->swarm->metadata && p->meta_patience.owed > 0)
		metadata_return(p->swarm->metadata, p->source);
	p->meta_patience = (struct patience){0};
}

/* ---- serving ---- */

static bool
may_serve(const struct peer *p, uint32_t index)
{
	const struct metainfo *meta;

	if (!p->pp)
		return false;
	meta = p->swarm->meta;
	return !meta->private &&
	       (size_t)index * METADATA_BLOCK < meta->info_size;
}

/* The next one that is to be answered; false: none is. */
static bool
next_asked(struct peer *p, uint32_t *index)
{
	if (p->meta_rejects > 0) {
		*index = p->meta_reject[0];
		memmove(p->meta_reject, p->meta_reject + 1,
			--p->meta_rejects * sizeof(*p->meta_reject));
		return true;
	}
	if (p->meta_serves == 0)
		return false;
	*index = (uint32_t)bitfield_next(&p->meta_serve, NULL, 0);
	bitfield_unset(&p->meta_serve, *index);
	p->meta_serves--;
	return true;
}

static void
put_serves(struct peer *p)
{
	uint32_t index;
	size_t at, n;

	if (!peer_may_give(p) || !next_asked(p, &index))
		return;
	if (!may_serve(p, index)) {
		put_message(p, METADATA_REJECT, index, 0, NULL, 0);
		return;
	}
	at = (size_t)index * METADATA_BLOCK;
	n = p->swarm->meta->info_size - at;
	if (n > METADATA_BLOCK)
		n = METADATA_BLOCK;
	put_message(p, METADATA_DATA, index,
		    (uint32_t)p->swarm->meta->info_size,
		    p->swarm->meta->info + at, n);
	peer_note_given(p, n);
}

void
peer_meta_put(struct peer *p)
{
	if (p->said.ids[EXTENSION_METADATA] == 0)
		return;
	put_serves(p);
	if (!p->pp && p->swarm->metadata)
		put_asks(p);
}

/* ---- taking ---- */

/* Some programs ask for every block at once, and for none again: each is kept
 * until it can be sent. */
static int
take_request(struct peer *p, uint32_t index)
{
	struct bitfield *asked = &p->meta_serve;

	if (!may_serve(p, index)) {
		if (p->meta_rejects < PEER_META_REJECTS)
			p->meta_reject[p->meta_rejects++] = index;
		return 0;
	}
	if (asked->count == 0 &&
	    bitfield_init(asked, (p->swarm->meta->info_size - 1) /
				 METADATA_BLOCK + 1) < 0)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	if (bitfield_get(asked, index))
		return 0;
	bitfield_set(asked, index);
	p->meta_serves++;
	return 0;
}

static int
take_data(struct peer *p, const struct metadata_message *m)
{
	struct swarm *s = p->swarm;

	if (p->pp || !s->metadata || p->meta_patience.owed == 0)
		return 0;
	patience_answered(&p->meta_patience, p->now);
	p->meta_retry = 0;
	atomic_store(&p->gave_facts, true);
	switch (metadata_block(s->metadata, p->source, p->said.metadata_size,
			       m->index, m->data, m->size, p->now)) {
	case METADATA_DONE:
		s->events.metadata(s->events.ctx);
		return 0;
	case METADATA_MISFIT:
		return peer_end(p, PEER_END_BROKE, "metadata of wrong size");
	case METADATA_LIE:
		s->events.ban(s->events.ctx, p->source, UINT32_MAX);
		return peer_end(p, PEER_END_BROKE, "wrong metadata");
	default:
		return 0;
	}
}

int
peer_meta_take(struct peer *p, const struct wire_message *wire)
{
	struct metadata_message m;
	struct error e;

	if (metadata_parse_message(&m, wire->data, wire->size, &e) < 0)
		return peer_end(p, PEER_END_BROKE, "%s", e.text);
	switch (m.kind) {
	case METADATA_REQUEST:
		return take_request(p, m.index);
	case METADATA_DATA:
		return take_data(p, &m);
	case METADATA_REJECT:
		peer_meta_leave(p);
		p->meta_retry = p->now + REFUSED_REST;
		return 0;
	}
	return 0;
}
