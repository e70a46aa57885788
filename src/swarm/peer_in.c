/*
 * What comes from the peer.  A recv fills the buffer, the messages in it
 * are acted on where they lie, and what is left of the last one moves to the
 * front.  Blocks that are neighbours are gathered and written together.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "meta/metainfo.h"
#include "net/ratelimit.h"
#include "swarm/intake.h"
#include "swarm/metadata.h"
#include "swarm/peer_parts.h"

#define UNASKED_MAX 64		/* blocks that no request explains, */
#define UNASKED_SHARE 16	/* and one for so many that were asked for */
#define REQUEST_TIMEOUT_US 90000000u	/* one among others that flow */
#define REJECTS_MAX 500		/* in a row, with not one block between */
#define REJECT_PAUSE (100 * CLOCK_MS)	/* for each one in a row */
#define REJECT_PAUSE_MAX (20 * CLOCK_S)
#define BURST_MAX (20 * CLOCK_MS)	/* to receive what came in a rest */
#define ASK_SOON (250 * CLOCK_MS)
#define MANY_PEERS 64

/* ---- the requests in flight ---- */

bool
peer_flight_remove(struct peer *p, const struct block *b, uint32_t *age_us)
{
	struct peer_flight *oldest;

	if (p->flight_used == 0)
		return false;
	oldest = peer_flight_oldest(p);
	for (size_t i = 0; i < p->flight_used; i++) {
		const struct peer_flight *f = &oldest[i];

		if (f->block.piece != b->piece ||
		    f->block.offset != b->offset ||
		    f->block.length != b->length)
			continue;
		if (age_us)
			*age_us = (uint32_t)(p->now / CLOCK_US) - f->at_us;
		p->flight_used--;
		if (i == 0)
			p->flight_first++;
		else
			memmove(oldest + i, oldest + i + 1,
				(p->flight_used - i) * sizeof(*f));
		return true;
	}
	return false;
}

/* What was asked for may have come, and lie before our own limit, or wait for
 * the disk. */
static bool
is_behind(const struct peer *p)
{
	return p->in_more && (ratelimit_enabled(p->swarm->down) ||
			      loads_waits(&p->seeker));
}

int64_t
peer_flight_due(const struct peer *p)
{
	uint32_t age_us;

	if (p->flight_used == 0 || is_behind(p))
		return CLOCK_NEVER;
	age_us = (uint32_t)(p->now / CLOCK_US) - peer_flight_oldest(p)->at_us;
	if (age_us >= REQUEST_TIMEOUT_US)
		return p->now;
	return p->now + (int64_t)(REQUEST_TIMEOUT_US - age_us) * CLOCK_US;
}

void
peer_give_back(struct peer *p, size_t freed)
{
	struct swarm *s = p->swarm;

	if (freed > 0)
		s->events.blocks_free(s->events.ctx);
}

/* ---- choke, reject ---- */

static void
take_choke(struct peer *p)
{
	size_t keep = 0;

	atomic_store(&p->choking_us, true);
	if (!p->pp)
		return;
	/* With Fast each request gets its own reject. */
	if (p->remote.fast)
		keep = SIZE_MAX;
	else
		p->flight_used = 0;
	peer_give_back(p, picker_return_but(p->swarm->picker, p->pp, keep));
}

/* Asking again at once would go in circles. */
static int
count_refusal(struct peer *p)
{
	int64_t pause;

	if (++p->rejected > REJECTS_MAX)
		return peer_end(p, PEER_END_BROKE, "rejects everything");
	pause = (int64_t)p->rejected * REJECT_PAUSE;
	p->ask_again_at = p->now + clock_min(pause, REJECT_PAUSE_MAX);
	return 0;
}

/* A turn before it in which not one block came counts as a refusal: a choke
 * is one, of all that was asked for. */
static int
take_unchoke(struct peer *p)
{
	bool in_vain = p->in_vain;

	if (!atomic_exchange(&p->choking_us, false))
		return 0;
	p->in_vain = false;
	if (in_vain)
		return count_refusal(p);
	if (p->rejected == 0)
		p->ask_again_at = 0;
	return 0;
}

/* True if it was allowed. */
static bool
forget_allowed(struct peer *p, uint32_t piece)
{
	for (size_t i = 0; i < p->allowed_in_count; i++) {
		if (p->allowed_in[i] != piece)
			continue;
		p->allowed_in[i] = p->allowed_in[--p->allowed_in_count];
		return true;
	}
	return false;
}

static void
take_allowed_fast(struct peer *p, uint32_t piece)
{
	forget_allowed(p, piece);
	if (p->allowed_in_count < PEER_ALLOWED_IN_MAX)
		p->allowed_in[p->allowed_in_count++] = piece;
}

/* Of what was cancelled no more is known than how much it is: each request is
 * answered once, by a block or a reject. */
static int
take_reject(struct peer *p, const struct wire_message *m)
{
	struct block b = {m->piece, m->offset, m->length};
	bool asked = ++p->rejects_came + p->blocks_came <= p->blocks_asked;

	if (!peer_flight_remove(p, &b, NULL))
		return asked ? 0 : peer_count_chatter(p, WIRE_MESSAGE_MAX);
	peer_give_back(p, picker_return(p->swarm->picker, p->pp, &b));
	/* What belongs to a choke counts with that, not each. */
	if (!forget_allowed(p, m->piece) && atomic_load(&p->choking_us))
		return 0;
	return count_refusal(p);
}

/* ---- blocks ---- */

/* Of the block that begins there; 0 if none does. */
static uint32_t
block_size(const struct peer *p, const struct block *b)
{
	uint32_t size = metainfo_piece_size(p->swarm->meta, b->piece);
	uint32_t rest;

	if (b->offset % PICKER_BLOCK != 0 || b->offset >= size)
		return 0;
	rest = size - b->offset;
	return rest < PICKER_BLOCK ? rest : PICKER_BLOCK;
}

/* Who found less to ask for than it could take, as at the end, has room for
 * more as blocks come; but not who rejects what it is asked for. */
static void
ask_soon(struct peer *p)
{
	if (p->ran_short && p->rejected == 0 &&
	    p->ask_again_at > p->now + ASK_SOON)
		p->ask_again_at = p->now + ASK_SOON;
}

/* A block that was waited for, or is welcome all the same. */
static void
note_block(struct peer *p)
{
	p->block_at = p->now;
	p->rejected = 0;
	p->in_vain = false;
	atomic_store(&p->snubbed, false);
}

/* What was gathered goes into the file, before the buffer moves. */
static int
write_run(struct peer *p)
{
	size_t n = p->run_used;

	p->run_used = 0;
	if (n > 0 && intake_parts(p->swarm, p->pp, p->run, n) < 0)
		return peer_end(p, PEER_END_STOPPED, "storage failed");
	return 0;
}

/* A load has room for all blocks of a buffer, unless they are tiny. */
static int
gather(struct peer *p, const struct load_part *part)
{
	if (p->load && p->load->used < LOAD_BLOCKS) {
		p->load->parts[p->load->used++] = *part;
		return 0;
	}
	if (p->run_used == PEER_RUN_MAX && write_run(p) < 0)
		return -1;
	p->run[p->run_used++] = *part;
	return 0;
}

/* Late, cancelled or given to others: a request is answered once, so that an
 * honest peer never sends more blocks than it was asked for in all. */
static int
count_block(struct peer *p)
{
	uint64_t most = p->blocks_asked + p->blocks_asked / UNASKED_SHARE +
			UNASKED_MAX;

	if (++p->blocks_came <= most)
		return 0;
	return peer_end(p, PEER_END_BROKE, "sends blocks unasked");
}

static int
take_piece(struct peer *p, const struct wire_message *m)
{
	struct swarm *s = p->swarm;
	struct block b = {m->piece, m->offset, m->length};
	uint32_t age_us = 0, size = block_size(p, &b);
	struct wire_message reject = *m;

	/* We ask for whole blocks only: another size answers nothing of ours,
	 * and would leave the block that it stands for with this peer. */
	if (size == 0 || (b.length != 0 && b.length != size))
		return peer_end(p, PEER_END_BROKE, "sends what is no block");
	if (b.length == 0) {	/* BitComet's way to say no */
		reject.length = size;
		return take_reject(p, &reject);
	}
	if (count_block(p) < 0)
		return -1;
	ask_soon(p);
	if (peer_flight_remove(p, &b, &age_us)) {
		pipeline_on_block(&p->pipeline, p->now, b.length,
				  (int64_t)age_us * CLOCK_US);
		note_block(p);
	}
	if (!picker_accept(s->picker, p->pp, &b)) {
		atomic_fetch_add(&s->wasted, b.length);
		return 0;
	}
	note_block(p);
	atomic_fetch_add(&p->downloaded, b.length);
	atomic_fetch_add(&s->downloaded, b.length);
	return gather(p, &(struct load_part){b, m->data});
}

/* ---- extensions ---- */

static int
take_hello(struct peer *p, const struct wire_message *m)
{
	uint32_t known = p->said.metadata_size;
	struct error e;

	if (extension_parse_handshake(&p->said, m->data, m->size, &e) < 0)
		return peer_end(p, PEER_END_BROKE, "extension handshake: %s",
				e.text);
	if (p->said.reqq)
		pipeline_limit(&p->pipeline, p->said.reqq);
	if (p->said.port)
		atomic_store(&p->listen_port, p->said.port);
	/* One for each connection: what a hash stands for does not grow. */
	if (known != 0 || !metadata_size_allowed(p->said.metadata_size))
		p->said.metadata_size = known;
	p->said_hello = true;
	peer_meta_judge(p);
	atomic_store(&p->holepunch, p->said.ids[EXTENSION_HOLEPUNCH] != 0);
	log_write(p->swarm->log, LOG_DEBUG, p->swarm->name,
		  "peer %u: is %s, queues %u requests", p->id, p->said.client,
		  p->said.reqq);
	peer_nudge(p);
	return 0;
}

static int
take_extended(struct peer *p, const struct wire_message *m)
{
	switch (m->extended) {
	case EXTENSION_HANDSHAKE:
		return take_hello(p, m);
	case EXTENSION_METADATA:
		return peer_meta_take(p, m);
	case EXTENSION_PEX:
		return peer_pex_take(p, m);
	case EXTENSION_HOLEPUNCH:
		peer_holepunch_take(p, m);
		return 0;
	case EXTENSION_DONTHAVE:
		return peer_have_lost(p, m);
	default:
		return 0;
	}
}

/* ---- the messages ---- */

static void
take_interest(struct peer *p, bool interested)
{
	struct swarm *s = p->swarm;

	if (atomic_exchange(&p->interested, interested) != interested)
		s->events.interest(s->events.ctx);
}

static int
needs_fast(struct peer *p, const struct wire_message *m)
{
	if (p->remote.fast)
		return 0;
	return peer_end(p, PEER_END_BROKE, "'%s' without the fast extension",
			wire_name(m->id));
}

static int
take_fast(struct peer *p, const struct wire_message *m)
{
	if (needs_fast(p, m) < 0)
		return -1;
	switch (m->id) {
	case WIRE_HAVE_ALL:
	case WIRE_HAVE_NONE:
		return peer_have_take(p, m);
	case WIRE_REJECT:
		return take_reject(p, m);
	case WIRE_ALLOWED_FAST:
		take_allowed_fast(p, m->piece);
		return 0;
	case WIRE_SUGGEST:
		p->suggests = true;
		if (p->pp)
			picker_peer_suggest(p->swarm->picker, p->pp, m->piece);
		return 0;
	default:
		return 0;
	}
}

/* Once: a node has one port. */
static void
take_port(struct peer *p, const struct wire_message *m)
{
	struct swarm *s = p->swarm;
	struct addr node = p->addr;

	if (p->told_node || m->port == 0 || atomic_load(&s->dht_port) == 0)
		return;
	p->told_node = true;
	node.port = m->port;
	s->events.dht_node(s->events.ctx, &node);
}

/* A few come too late.  To find that out may take a look at all that is
 * queued, so more than a few are a flood. */
static int
take_cancel(struct peer *p, const struct wire_message *m)
{
	if (peer_ask_cancel(p, m))
		return 0;
	return peer_count_chatter(p, WIRE_MESSAGE_MAX);
}

static int
take_message(struct peer *p, const struct wire_message *m)
{
	if (!p->pp && (m->id == WIRE_PIECE || m->id == WIRE_REQUEST ||
		       m->id == WIRE_CANCEL || m->id == WIRE_REJECT))
		return 0;	/* no answer to anything of ours */
	switch (m->id) {
	case WIRE_CHOKE:
		take_choke(p);
		return 0;
	case WIRE_UNCHOKE:
		return take_unchoke(p);
	case WIRE_INTERESTED:
	case WIRE_NOT_INTERESTED:
		take_interest(p, m->id == WIRE_INTERESTED);
		return 0;
	case WIRE_HAVE:
	case WIRE_BITFIELD:
		return peer_have_take(p, m);
	case WIRE_REQUEST:
		return peer_ask_add(p, m);
	case WIRE_PIECE:
		return take_piece(p, m);
	case WIRE_CANCEL:
		return take_cancel(p, m);
	case WIRE_HAVE_ALL:
	case WIRE_HAVE_NONE:
	case WIRE_REJECT:
	case WIRE_ALLOWED_FAST:
	case WIRE_SUGGEST:
		return take_fast(p, m);
	case WIRE_EXTENDED:
		return take_extended(p, m);
	case WIRE_PORT:
		take_port(p, m);
		return 0;
	case WIRE_HASH_REQUEST:
	case WIRE_HASHES:
	case WIRE_HASH_REJECT:
		return peer_hashes_take(p, m);
	default:
		return 0;	/* keepalive, unknown */
	}
}

/* ---- receiving ---- */

static int
take_messages(struct peer *p)
{
	size_t pieces = p->pp ? p->swarm->meta->piece_count
			      : WIRE_PIECES_UNKNOWN;
	size_t at = 0;
	int status = 0;

	/* Whoever stops us need not wait for all that is in the buffer. */
	while (status == 0 && !atomic_load(&p->stop)) {
		struct wire_message m;
		size_t used;
		enum wire_status found =
			wire_parse(p->in + at, p->in_used - at, pieces, &m,
				   &used);

		p->in_wanted = used;
		if (found == WIRE_MORE)
			break;
		if (found == WIRE_BAD)
			status = peer_end(p, PEER_END_BROKE, "bad message");
		else if (peer_is_chatter(p, &m))
			status = peer_count_chatter(p, used);
		if (status == 0)
			status = take_message(p, &m);
		at += used;
	}
	/* Good blocks count, whatever came behind them. */
	if (write_run(p) < 0)
		status = -1;
	p->in_used -= at;
	peer_keep_rest(p, at);
	return status;
}

/* Among many, a slow peer is not looked at for each block: a few come first,
 * so that waking up and asking for more is done once for them all.  Not when
 * it takes data from us, and not when blocks run out, since each may then be
 * the last one that is waited for. */
static void
take_rest(struct peer *p)
{
	int64_t rest;

	if (p->flight_used == 0 || p->ran_short || p->asks_used > 0 ||
	    !atomic_load(&p->choked))
		return;
	rest = pipeline_rest(&p->pipeline);
	if (rest == 0)
		return;
	p->recv_at = p->now + rest;
	p->burst_until = p->recv_at + BURST_MAX;
	p->in_more = true;	/* by then */
}

/* While the limit keeps us from reading, it is not the peer that is late. */
static void
wait_for_limit(struct peer *p, size_t got)
{
	p->recv_at = ratelimit_reserve(p->swarm->down, got, p->now);
	p->heard_at = p->recv_at;
	p->block_at += p->recv_at - p->now;
}

static int
receive(struct peer *p)
{
	struct ratelimit *down = p->swarm->down;
	size_t room = p->in_size - p->in_used;
	int status;
	ssize_t n;

	if (ratelimit_enabled(down))
		room = ratelimit_portion(down, room);
	n = stream_recv(&p->stream, p->in + p->in_used, room);
	if (n == 0)
		return peer_end(p, PEER_END_CLOSED, "closed by the peer");
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		p->in_more = false;
		pipeline_on_receive(&p->pipeline, p->now);
		return 0;
	}
	if (n < 0)
		return peer_end(p, PEER_END_CLOSED, "%m");
	pipeline_set_patient(&p->pipeline, !ratelimit_enabled(down) &&
			     atomic_load(&p->swarm->peers) >= MANY_PEERS);
	p->in_more = (size_t)n == room;
	p->in_used += (size_t)n;
	p->heard_at = p->now;
	peer_judge_speed(p, (size_t)n, p->in_used == p->in_size);
	status = take_messages(p);
	if (ratelimit_enabled(down))
		wait_for_limit(p, (size_t)n);
	/* What came while it rested came together. */
	if (!p->in_more || p->now >= p->burst_until)
		pipeline_on_receive(&p->pipeline, p->now);
	if (status == 0 && !p->in_more && !ratelimit_enabled(down))
		take_rest(p);
	return status;
}

int
peer_receive(struct peer *p)
{
	int status;

	if (!peer_take_load(p))
		return 0;
	status = receive(p);
	if (peer_give_load(p) < 0 || status < 0)
		return -1;
	return peer_fit_buffer(p);
}
