/*
 * What goes to the peer.  Messages are made when the socket has taken the
 * ones before, out of what is true at that moment; so the buffer stays small
 * whatever happens, and reading never has to wait for writing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "meta/metainfo.h"
#include "swarm/havelog.h"
#include "swarm/peer_parts.h"

#define RATE_AGAIN (1 * CLOCK_S)	/* the rate limit may have changed */
#define KEEPALIVE_AFTER (100 * CLOCK_S)	/* libtorrent 60, Transmission 100 */
#define HAVES_A_ROUND 200
#define TELL_SEED_EACH (2 * CLOCK_S)	/* pieces that are new here */
#define ASK_BATCH 64
#define BLOCKS_A_TURN 16	/* served before we look what has come */
#define ASK_AGAIN (1 * CLOCK_S)	/* when there was nothing to ask for */
#define ALLOWED_TIMES 2		/* allowed pieces, should they come to grief */

static uint8_t *
room(struct peer *p)
{
	return buffer_room(&p->out, WIRE_MESSAGE_MAX);
}

static void
say(struct peer *p, enum wire_id id)
{
	uint8_t *to = room(p);

	if (to)
		buffer_added(&p->out, wire_put_plain(to, id));
}

void
peer_say_index(struct peer *p, enum wire_id id, uint32_t piece)
{
	uint8_t *to = room(p);

	if (to)
		buffer_added(&p->out, wire_put_index(to, id, piece));
}

static void
say_block(struct peer *p, enum wire_id id, uint32_t piece, uint32_t offset,
	  uint32_t length)
{
	uint8_t *to = room(p);

	if (to)
		buffer_added(&p->out,
			     wire_put_block(to, id, piece, offset, length));
}

/* ---- the first words ---- */

void
peer_put_extended(struct peer *p, uint8_t id, const struct buffer *data)
{
	uint8_t head[WIRE_MESSAGE_MAX];
	size_t n = wire_put_header(head, WIRE_EXTENDED, data->used + 1);

	head[n++] = id;
	buffer_put(&p->out, head, n);
	buffer_put(&p->out, data->data, data->used);
	if (data->failed)
		p->out.failed = true;
}

/* What others may be told of the info dictionary. */
static uint32_t
metadata_size(const struct peer *p)
{
	const struct metainfo *meta;

	/* Before there is a pp, the swarm's fields are still being written. */
	if (!p->pp)
		return 0;
	meta = p->swarm->meta;
	return meta->private ? 0 : (uint32_t)meta->info_size;
}

/* Nothing that the other side has is wanted (BEP 21); while it believes that
 * we have nothing, that would be odd. */
static bool
wants_nothing(const struct peer *p)
{
	return atomic_load(&p->swarm->complete) && !p->hiding;
}

static uint16_t
own_port(const struct peer *p)
{
	if (p->addr.family == AF_INET6)
		return atomic_load(&p->swarm->port6);
	return atomic_load(&p->swarm->port);
}

static void
put_extension_handshake(struct peer *p)
{
	struct extension_handshake h = {
		.client = "btget " BTGET_VERSION,
		.port = own_port(p),
		.reqq = PEER_REQQ,
		.metadata_size = metadata_size(p),
		.upload_only = wants_nothing(p),
		.yourip = p->addr,
		.ids = {[EXTENSION_DONTHAVE] = EXTENSION_DONTHAVE,
			[EXTENSION_METADATA] = EXTENSION_METADATA},
	};
	struct buffer dict;

	p->told_upload_only = h.upload_only;
	if (peer_pex_on(p))
		h.ids[EXTENSION_PEX] = EXTENSION_PEX;
	if (peer_holepunch_on(p))
		h.ids[EXTENSION_HOLEPUNCH] = EXTENSION_HOLEPUNCH;
	buffer_init(&dict, EXTENSION_HANDSHAKE_MAX);
	extension_put_handshake(&dict, &h);
	peer_put_extended(p, EXTENSION_HANDSHAKE, &dict);
	buffer_release(&dict);
}

static void
put_bitfield(struct peer *p)
{
	const struct havelog *log = p->swarm->havelog;
	uint8_t head[WIRE_MESSAGE_MAX];
	struct bitfield b;

	if (bitfield_init(&b, havelog_pieces(log)) < 0) {
		p->out.failed = true;
		return;
	}
	havelog_copy(log, &b);
	buffer_put(&p->out, head,
		   wire_put_header(head, WIRE_BITFIELD, bitfield_bytes(&b)));
	buffer_put(&p->out, b.bits, bitfield_bytes(&b));
	bitfield_release(&b);
}

static void
put_allowed_fast(struct peer *p)
{
	if (p->addr.family != AF_INET)
		return;
	p->allowed_out_count = wire_allowed_fast(
		p->allowed_out, PEER_ALLOWED_FAST, p->addr.ip,
		p->v2 ? p->swarm->hash_v2 : p->swarm->hash_v1,
		havelog_pieces(p->swarm->havelog));
	p->allowed_left = (uint64_t)p->swarm->meta->piece_length *
			  p->allowed_out_count * ALLOWED_TIMES;
	for (size_t i = 0; i < p->allowed_out_count; i++)
		peer_say_index(p, WIRE_ALLOWED_FAST, p->allowed_out[i]);
}

static size_t
put_pieces(struct peer *p)
{
	const struct havelog *log;
	size_t count;

	if (!p->pp) {
		if (p->remote.fast)
			say(p, WIRE_HAVE_NONE);
		return 0;
	}
	peer_point_begin(p);
	if (p->hiding) {
		if (p->remote.fast)
			say(p, WIRE_HAVE_NONE);
		return 0;
	}
	log = p->swarm->havelog;
	/* What is verified between these two is told twice: no harm. */
	atomic_store(&p->told, havelog_length(log));
	count = havelog_count(log);
	if (p->remote.fast && count == havelog_pieces(log))
		say(p, WIRE_HAVE_ALL);
	else if (p->remote.fast && count == 0)
		say(p, WIRE_HAVE_NONE);
	else if (count > 0)
		put_bitfield(p);
	return count;
}

/* So that its node of the DHT and ours get to know each other. */
static void
put_port(struct peer *p)
{
	uint16_t port = atomic_load(&p->swarm->dht_port);
	uint8_t raw[WIRE_MESSAGE_MAX];

	if (port != 0)
		buffer_put(&p->out, raw, wire_put_port(raw, port));
}

void
peer_put_hello(struct peer *p)
{
	size_t count = put_pieces(p);

	if (p->remote.extended)
		put_extension_handshake(p);
	if (p->remote.fast && count > 0)
		put_allowed_fast(p);
	if (p->remote.dht)
		put_port(p);
	p->check_interest = true;
}

/* ---- choking ---- */

static void
follow_order(struct peer *p)
{
	bool choke = !atomic_load(&p->order_unchoke);

	if (atomic_load(&p->choked) == choke)
		return;
	atomic_store(&p->choked, choke);
	say(p, choke ? WIRE_CHOKE : WIRE_UNCHOKE);
	if (choke)
		peer_refuse_asks(p);
}

/* ---- interest and news ---- */

static void
put_interest(struct peer *p)
{
	bool interesting;

	if (!p->check_interest)
		return;
	p->check_interest = false;
	interesting = picker_interesting(p->swarm->picker, p->pp);
	if (atomic_load(&p->interesting) == interesting)
		return;
	atomic_store(&p->interesting, interesting);
	say(p, interesting ? WIRE_INTERESTED : WIRE_NOT_INTERESTED);
}

static void
put_haves(struct peer *p)
{
	const struct havelog *log = p->swarm->havelog;
	size_t end = havelog_length(log);
	size_t told = atomic_load(&p->told);

	if (p->looked_at < end) {
		p->looked_at = end;
		p->check_interest = true;
	}
	if (told == end || p->now < p->tell_at)
		return;
	for (int i = 0; told < end && i < HAVES_A_ROUND; i++)
		peer_say_index(p, WIRE_HAVE, havelog_at(log, told++));
	atomic_store(&p->told, told);
	/* A seed has them all.  But some ban who takes much and has nothing
	 * to show for it, and one that gives advice wants to know them. */
	if (told == end && atomic_load(&p->seed) && !p->suggests)
		p->tell_at = p->now + TELL_SEED_EACH;
}

/* ---- asking ---- */

static void
put_cancels(struct peer *p)
{
	struct block blocks[16];
	size_t n;

	do {
		n = picker_take_cancels(p->swarm->picker, p->pp, blocks, 16);
		for (size_t i = 0; i < n; i++) {
			if (!peer_flight_remove(p, &blocks[i], NULL))
				continue;
			say_block(p, WIRE_CANCEL, blocks[i].piece,
				  blocks[i].offset, blocks[i].length);
		}
	} while (n == 16 && p->out.used < PEER_ROUND_SIZE);
}

/* Makes room for more requests behind those in flight.  With twice the room
 * that they need, moving them to the front is rare. */
static bool
grow_flight(struct peer *p, size_t more)
{
	size_t size = p->flight_size ? p->flight_size : 16;
	struct peer_flight *flight;

	if (p->flight_first + p->flight_used + more <= p->flight_size)
		return true;
	if (p->flight_first > 0)
		memmove(p->flight, peer_flight_oldest(p),
			p->flight_used * sizeof(*flight));
	p->flight_first = 0;
	while (size < 2 * (p->flight_used + more))
		size *= 2;
	if (size == p->flight_size)
		return true;
	flight = realloc(p->flight, size * sizeof(*flight));
	if (!flight)
		return false;
	p->flight = flight;
	p->flight_size = size;
	return true;
}

static size_t
reserve(struct peer *p, size_t max, struct block *out)
{
	struct picker *picker = p->swarm->picker;
	struct picker_ask ask = {
		.max = max,
		.now = p->now,
		.rate_bps = pipeline_rate(&p->pipeline),
		.endgame_ok = true,
	};
	size_t n = 0;

	if (!atomic_load(&p->choking_us))
		return picker_reserve(picker, p->pp, &ask, out);
	/* Neighbours are allowed the same: each begins elsewhere. */
	for (size_t i = 0; i < p->allowed_in_count && n < max; i++) {
		size_t k = (i + p->swarm->peer_id[19]) % p->allowed_in_count;
		uint32_t piece = p->allowed_in[k];

		ask.max = max - n;
		if (picker_peer_has(picker, p->pp, piece))
			n += picker_reserve_piece(picker, p->pp, piece, &ask,
						  out + n);
	}
	return n;
}

static bool
may_ask(const struct peer *p)
{
	if (!atomic_load(&p->interesting) || p->now < p->ask_again_at)
		return false;
	return !atomic_load(&p->choking_us) || p->allowed_in_count > 0;
}

/* Asks in batches: a quarter of what may be in flight, or what is missing
 * of it when nothing is; but no larger ones than save something, since what
 * is not asked for yet is missing on a long path. */
static void
put_requests(struct peer *p)
{
	size_t target = pipeline_target(&p->pipeline);
	size_t batch = target / 4 ? target / 4 : 1;
	struct block blocks[ASK_BATCH];
	size_t n, max;

	if (batch > ASK_BATCH)
		batch = ASK_BATCH;
	if (!may_ask(p) || p->flight_used + batch > target)
		return;
	max = target - p->flight_used;
	if (max > ASK_BATCH)
		max = ASK_BATCH;
	if (!grow_flight(p, max))
		return;
	/* Said before looking: what becomes free in between wakes us. */
	atomic_store(&p->idle, true);
	n = reserve(p, max, blocks);
	p->ran_short = n < max;
	if (n > 0)
		atomic_store(&p->idle, false);
	if (n == 0)
		p->ask_again_at = p->now + ASK_AGAIN;
	if (n > 0 && p->flight_used == 0) {
		pipeline_resume(&p->pipeline, p->now);
		p->block_at = p->recv_at > p->now ? p->recv_at : p->now;
	}
	p->blocks_asked += n;
	if (n > 0 && !atomic_load(&p->choking_us))
		p->in_vain = true;
	for (size_t i = 0; i < n; i++) {
		say_block(p, WIRE_REQUEST, blocks[i].piece, blocks[i].offset,
			  blocks[i].length);
		peer_flight_oldest(p)[p->flight_used++] = (struct peer_flight){
			blocks[i], (uint32_t)(p->now / CLOCK_US)};
	}
}

/* ---- sending ---- */

static void
put_keepalive(struct peer *p)
{
	uint8_t *to;

	if (p->out.used > 0 || p->now - p->said_at < KEEPALIVE_AFTER)
		return;
	to = room(p);
	if (to)
		buffer_added(&p->out, wire_put_keepalive(to));
}

void
peer_say_alive(struct peer *p)
{
	p->said_at = p->now - KEEPALIVE_AFTER;
}

/*
 * Transmission 3.00, when it has called by uTP, looks at what came in one
 * packet with our handshake only once something else comes; and we may have
 * nothing else to say before it has looked.
 */
void
peer_nudge(struct peer *p)
{
	if (p->utp && p->incoming && !p->nudged)
		peer_say_alive(p);
	p->nudged = true;
}

/* Now that we have the metadata, others who look for it may ask us. */
static int
begin(struct peer *p)
{
	if (peer_meta_begin(p) < 0)
		return -1;
	if (p->remote.extended && metadata_size(p) > 0)
		put_extension_handshake(p);
	return 0;
}

static int
put_round(struct peer *p)
{
	if (!p->pp && atomic_load(&p->swarm->ready) && begin(p) < 0)
		return -1;
	peer_meta_put(p);
	peer_hashes_put(p);
	peer_pex_put(p);
	peer_holepunch_put(p);
	if (!p->pp) {
		put_keepalive(p);
		return 0;
	}
	if (p->remote.extended && !p->told_upload_only && wants_nothing(p))
		put_extension_handshake(p);	/* once more */
	peer_point_put(p);
	follow_order(p);
	if (p->look_around) {
		p->look_around = false;
		if (atomic_exchange(&p->idle, false) && p->rejected == 0)
			p->ask_again_at = 0;
		put_cancels(p);
	}
	put_haves(p);
	put_interest(p);
	put_requests(p);
	put_keepalive(p);
	return 0;
}

void
peer_note_blocked(struct peer *p)
{
	if (!p->out_blocked)
		p->moved_at = p->now;
	p->out_blocked = true;
}

int
peer_took(struct peer *p, ssize_t n)
{
	if (n > 0)
		p->moved_at = p->said_at = p->now;
	if (n > 0 || errno == EINTR)
		return 0;
	if (errno != EAGAIN)
		return peer_end(p, PEER_END_CLOSED, "%m");
	peer_note_blocked(p);
	return 0;
}

/* An encrypted stream holds on to what the socket has not taken. */
void
peer_took_all(struct peer *p)
{
	if (stream_pending(&p->stream) > 0)
		peer_note_blocked(p);
}

static int
flush(struct peer *p)
{
	ssize_t n = stream_flush(&p->stream);

	if (n != 0 && peer_took(p, n) < 0)
		return -1;
	peer_took_all(p);
	return 0;
}

static int
send_out(struct peer *p)
{
	bool more = p->body_left > 0;
	ssize_t n = stream_send(&p->stream, p->out.data + p->out_sent,
				p->out.used - p->out_sent, more);

	if (n > 0)
		p->out_sent += (size_t)n;
	if (p->out_sent == p->out.used) {
		p->out_sent = 0;
		if (p->out.size > 2 * PEER_ROUND_SIZE)
			buffer_release(&p->out);
		else
			buffer_clear(&p->out);
	}
	if (peer_took(p, n) < 0)
		return -1;
	if (!more)
		peer_took_all(p);
	return 0;
}

/* Fills the buffer: messages, and the header of the next block.  Or sends
 * blocks without it.  The number of blocks, of metadata as well; -1: the
 * end. */
static int
begin_round(struct peer *p)
{
	size_t serves = p->meta_serves;
	int blocks = 0;

	if (put_round(p) < 0)
		return -1;
	if (p->out.used == 0 && !p->out.failed)
		blocks = peer_send_batch(p);
	if (blocks == 0 && p->out.used < PEER_ROUND_SIZE)
		blocks = peer_put_next_ask(p);
	return blocks + (p->meta_serves < serves);
}

int
peer_send(struct peer *p)
{
	p->out_more = false;
	peer_pace(p);
	if (!p->out_blocked && flush(p) < 0)
		return -1;
	for (int blocks = 0; !p->out_blocked && blocks < BLOCKS_A_TURN;) {
		if (p->out.used == 0 && p->body_left == 0) {
			int n = begin_round(p);

			if (n < 0)
				return -1;
			blocks += n;
			if (p->out.used == 0 && !p->out.failed && n == 0)
				return 0;
		}
		/* Sent with a gap in it, it would be read as something else. */
		if (p->out.failed)
			return peer_end(p, PEER_END_STOPPED, "out of memory");
		if (p->out_blocked)
			break;
		if (p->out.used > 0) {
			if (send_out(p) < 0)
				return -1;
			continue;
		}
		if (p->body_left > 0 && peer_send_body(p) < 0)
			return -1;
	}
	/* More to serve, but others first: come back without waiting. */
	if (!p->out_blocked)
		p->out_more = p->in_more = true;
	return 0;
}

int64_t
peer_send_due(const struct peer *p)
{
	int64_t due = clock_min(p->said_at + KEEPALIVE_AFTER,
				clock_min(peer_pex_due(p),
					  peer_hashes_due(p)));

	due = clock_min(due, peer_point_due(p));
	if (p->out_blocked)
		return CLOCK_NEVER;
	if (p->send_credit > 0 && p->send_at > p->now)
		due = clock_min(due, clock_min(p->send_at,
					       p->now + RATE_AGAIN));
	if ((p->meta_serves > 0 || p->meta_rejects > 0) && !peer_may_give(p))
		due = clock_min(due, p->given_until);
	if (!p->pp && p->said.metadata_size > 0 && p->meta_retry > p->now)
		due = clock_min(due, p->meta_retry);
	if (atomic_load(&p->interesting) && p->ask_again_at > p->now &&
	    !may_ask(p))
		due = clock_min(due, p->ask_again_at);
	return due;
}
