/*
 * Serving: the peer's requests, and the blocks that answer them.  A request
 * is kept as a few numbers; data is taken from the file when the socket can
 * take it.  Where several blocks wait, they are read and sent together: one
 * copy more than sendfile makes, but far fewer calls and segments.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "meta/metainfo.h"
#include "net/ratelimit.h"
#include "store/files.h"
#include "swarm/havelog.h"
#include "swarm/peer_parts.h"

/*
 * Blocks for each read and send.  Measured on loopback, in CPU time for each
 * byte: one by sendfile 1.9 times what a seeder that maps its file takes, 4
 * together 1.5, 7 together 1.3.  8 would be malloc's threshold for mmap, and
 * fresh pages for each batch.
 */
#define BATCH 7

/* Without a division, which is felt where all of them are looked through. */
static struct peer_ask *
ask_at(struct peer *p, size_t i)
{
	size_t at = p->asks_head + i;

	return &p->asks[at < p->asks_size ? at : at - p->asks_size];
}

static bool
grow_asks(struct peer *p)
{
	size_t size = p->asks_size ? p->asks_size * 2 : 32;
	struct peer_ask *asks;

	if (size > PEER_REQQ)
		size = PEER_REQQ;
	if (size == p->asks_size)
		return false;
	asks = malloc(size * sizeof(*asks));
	if (!asks)
		return false;
	for (size_t i = 0; i < p->asks_used; i++)
		asks[i] = *ask_at(p, i);
	free(p->asks);
	p->asks = asks;
	p->asks_size = size;
	p->asks_head = 0;
	return true;
}

static bool
is_allowed_out(const struct peer *p, uint32_t piece)
{
	for (size_t i = 0; i < p->allowed_out_count; i++)
		if (p->allowed_out[i] == piece)
			return true;
	return false;
}

/* They are to begin with: who is never unchoked must not live on them. */
static bool
takes_allowed(struct peer *p, const struct wire_message *m)
{
	if (!is_allowed_out(p, m->piece) || p->allowed_left < m->length)
		return false;
	p->allowed_left -= m->length;
	return true;
}

static bool
valid_ask(const struct peer *p, const struct wire_message *m)
{
	const struct metainfo *meta = p->swarm->meta;
	uint32_t size;

	if (m->piece >= meta->piece_count)
		return false;
	/* libtorrent 2.0 asks for the gaps of v2 torrents, too: zeros. */
	size = meta->has_v1 ? metainfo_piece_size(meta, m->piece)
			    : meta->piece_length;
	return m->length > 0 && m->length <= WIRE_BLOCK_MAX &&
	       m->length <= size && m->offset <= size - m->length;
}

/*
 * Honest peers say such as crosses a choke on its way, PEER_REQQ of them at
 * most: what may bring nothing is enough for 7 chokes in a row, and for one
 * each 9 s.
 */
static int
count_refused(struct peer *p)
{
	return peer_count_chatter(p, WIRE_MESSAGE_MAX);
}

int
peer_ask_add(struct peer *p, const struct wire_message *m)
{
	struct peer_ask ask = {m->piece, m->offset, m->length, false};

	if (!valid_ask(p, m))
		return peer_end(p, PEER_END_BROKE, "asks for what is no block");
	peer_point_asked(p, m->piece);
	if (!havelog_has(p->swarm->havelog, m->piece) ||
	    peer_point_hidden(p, m->piece) ||
	    (atomic_load(&p->choked) && !takes_allowed(p, m)))
		ask.reject = true;
	if (ask.reject && count_refused(p) < 0)
		return -1;
	if (ask.reject && !p->remote.fast)
		return 0;
	if (p->asks_used == p->asks_size && !grow_asks(p)) {
		/* We said how many we take. */
		if (p->remote.extended || p->remote.fast)
			return peer_end(p, PEER_END_BROKE, "too many requests");
		return count_refused(p);
	}
	p->asks_used++;
	*ask_at(p, p->asks_used - 1) = ask;
	return 0;
}

static void
remove_ask(struct peer *p, size_t i)
{
	for (; i + 1 < p->asks_used; i++)
		*ask_at(p, i) = *ask_at(p, i + 1);
	p->asks_used--;
}

bool
peer_ask_cancel(struct peer *p, const struct wire_message *m)
{
	for (size_t i = 0; i < p->asks_used; i++) {
		struct peer_ask *a = ask_at(p, i);

		if (a->piece != m->piece || a->offset != m->offset ||
		    a->length != m->length || a->reject)
			continue;
		if (p->remote.fast)
			a->reject = true;
		else
			remove_ask(p, i);
		return true;
	}
	return false;
}

void
peer_refuse_asks(struct peer *p)
{
	if (!p->remote.fast) {
		p->asks_used = 0;
		return;
	}
	for (size_t i = 0; i < p->asks_used; i++)
		if (!is_allowed_out(p, ask_at(p, i)->piece))
			ask_at(p, i)->reject = true;
}

/* The rate has changed meanwhile, and with it what is sold before us: nobody
 * loses his place in the line. */
static void
follow_rate(struct peer *p, uint64_t rate)
{
	int64_t wait = p->send_at - p->now;

	if (rate == p->send_rate)
		return;
	if (wait > 0 && p->send_rate != 0 && rate != 0)
		p->send_at = p->now + (int64_t)((double)wait *
				      (double)p->send_rate / (double)rate);
	p->send_rate = rate;
}

/*
 * The rate limit is asked for a whole block before its header goes: in the
 * midst of one nothing else can be said, and our own requests would wait for
 * as long as the limit has the rest of it wait.
 */
static bool
may_begin(struct peer *p, size_t length)
{
	struct ratelimit *up = p->swarm->up;

	if (!ratelimit_enabled(up)) {
		p->send_credit = 0;	/* of a limit that is gone */
		return true;
	}
	follow_rate(p, ratelimit_rate(up));
	if (p->send_credit < length) {
		p->send_at = ratelimit_reserve(up, length - p->send_credit,
					       p->now);
		p->send_credit = length;
	}
	return p->send_at <= p->now;
}

void
peer_return_credit(struct peer *p)
{
	if (p->send_credit > 0)
		ratelimit_return(p->swarm->up, p->send_credit);
	p->send_credit = 0;
}

/* Answers are short: each goes at once, and the next one waits until the rate
 * limit has been paid for it. */
bool
peer_may_give(const struct peer *p)
{
	return p->given_until <= p->now;
}

void
peer_note_given(struct peer *p, size_t size)
{
	p->given_until = ratelimit_reserve(p->swarm->up, size, p->now);
}

bool
peer_put_next_ask(struct peer *p)
{
	while (p->asks_used > 0 && p->out.used < PEER_ROUND_SIZE) {
		struct peer_ask a = *ask_at(p, 0);
		uint8_t *to;

		if (!a.reject && !may_begin(p, a.length))
			return false;
		to = buffer_room(&p->out, WIRE_MESSAGE_MAX);
		p->asks_head = (p->asks_head + 1) % p->asks_size;
		p->asks_used--;
		if (a.reject) {
			if (to)
				buffer_added(&p->out, wire_put_block(
					to, WIRE_REJECT, a.piece, a.offset,
					a.length));
			continue;
		}
		if (!to)
			return false;
		buffer_added(&p->out, wire_put_piece_header(to, a.piece,
							    a.offset,
							    a.length));
		p->body = a;
		p->body_left = a.length;
		return true;
	}
	/* What it was for was cancelled, or refused. */
	if (p->asks_used == 0)
		peer_return_credit(p);
	return false;
}

static uint64_t
ask_offset(const struct peer *p, const struct peer_ask *a)
{
	return (uint64_t)a->piece * p->swarm->meta->piece_length + a->offset;
}

/* Blocks of an encrypted stream take the way through its buffer. */
static ssize_t
send_encrypted(struct peer *p, uint64_t at, size_t max, struct error *e)
{
	size_t most;
	uint8_t *to = stream_room(&p->stream, &most);

	if (!to)
		return errno == EAGAIN || errno == EINTR
			       ? 0 : error_sys(e, ERROR_NETWORK, errno,
					       "cannot send");
	if (max > most)
		max = most;
	if (files_read(p->swarm->files, at, to, max, e) < 0)
		return -1;
	if (stream_commit(&p->stream, max, false) < 0)
		return error_sys(e, ERROR_NETWORK, errno, "cannot send");
	return (ssize_t)max;
}

int
peer_send_body(struct peer *p)
{
	struct swarm *s = p->swarm;
	uint64_t at = ask_offset(p, &p->body) + (p->body.length - p->body_left);
	size_t max = p->body_left;
	struct error e;
	ssize_t n;

	n = stream_is_plain(&p->stream)
		    ? files_send(s->files, p->fd, at, max, &e)
		    : send_encrypted(p, at, max, &e);
	if (n < 0 && e.kind == ERROR_NETWORK)
		return peer_end(p, PEER_END_CLOSED, "%s", e.text);
	if (n < 0) {
		s->events.storage(s->events.ctx, &e);
		return peer_end(p, PEER_END_STOPPED, "storage failed");
	}
	if (n == 0) {
		peer_note_blocked(p);
		return 0;
	}
	p->body_left -= (uint32_t)n;
	/* There was no limit yet, perhaps, when it began. */
	p->send_credit -= (size_t)n < p->send_credit ? (size_t)n
						     : p->send_credit;
	atomic_fetch_add(&p->uploaded, (uint64_t)n);
	atomic_fetch_add(&s->uploaded, (uint64_t)n);
	peer_took(p, n);
	peer_took_all(p);
	return 0;
}

/* ---- many blocks at a time ---- */

/* How many blocks at the head of the queue may go together. */
static size_t
batch_ready(struct peer *p)
{
	size_t n = 0;

	if (!stream_is_plain(&p->stream) || ratelimit_enabled(p->swarm->up))
		return 0;
	while (n < p->asks_used && n < BATCH && !ask_at(p, n)->reject)
		n++;
	return n > 1 ? n : 0;
}

/* Reads the first n blocks, those that are neighbours in one call. */
static int
batch_read(struct peer *p, size_t n, uint8_t *to, struct error *e)
{
	for (size_t i = 0; i < n;) {
		uint64_t at = ask_offset(p, ask_at(p, i));
		size_t size = 0;

		while (i < n && ask_offset(p, ask_at(p, i)) == at + size)
			size += ask_at(p, i++)->length;
		if (files_read(p->swarm->files, at, to, size, e) < 0)
			return -1;
		to += size;
	}
	return 0;
}

static ssize_t
batch_put(struct peer *p, size_t n, uint8_t *data)
{
	uint8_t heads[BATCH][WIRE_PIECE_HEADER];
	struct iovec iov[2 * BATCH];
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2 * n};

	for (size_t i = 0; i < n; i++) {
		const struct peer_ask *a = ask_at(p, i);

		wire_put_piece_header(heads[i], a->piece, a->offset,
				      a->length);
		iov[2 * i] = (struct iovec){heads[i], WIRE_PIECE_HEADER};
		iov[2 * i + 1] = (struct iovec){data, a->length};
		data += a->length;
	}
	return sendmsg(p->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The block that the socket took a part of goes on like any other one. */
static void
batch_rest(struct peer *p, size_t sent)
{
	uint8_t head[WIRE_PIECE_HEADER];

	p->body = *ask_at(p, 0);
	p->body_left = p->body.length;
	if (sent >= sizeof(head)) {
		p->body_left -= (uint32_t)(sent - sizeof(head));
		return;
	}
	wire_put_piece_header(head, p->body.piece, p->body.offset,
			      p->body.length);
	buffer_put(&p->out, head + sent, sizeof(head) - sent);
}

/* So many bytes of the queue have gone, in part of a block perhaps. */
static void
batch_sent(struct peer *p, size_t sent)
{
	uint64_t data = 0;

	while (sent > 0) {
		size_t size = WIRE_PIECE_HEADER + ask_at(p, 0)->length;
		bool whole = sent >= size;

		if (!whole)
			batch_rest(p, sent);
		data += ask_at(p, 0)->length - (whole ? 0 : p->body_left);
		p->asks_head = (p->asks_head + 1) % p->asks_size;
		p->asks_used--;
		sent -= whole ? size : sent;
	}
	atomic_fetch_add(&p->uploaded, data);
	atomic_fetch_add(&p->swarm->uploaded, data);
}

int
peer_send_batch(struct peer *p)
{
	size_t n = batch_ready(p), size = 0;
	uint8_t *data;
	struct error e;
	ssize_t sent = 0;

	if (n == 0)
		return 0;
	p->send_credit = 0;		/* of a limit that is gone */
	/* Not kept: memory is for those that are served right now. */
	data = aligned_alloc(FILES_ALIGN, BATCH * WIRE_BLOCK_MAX);
	if (!data)
		return 0;
	if (batch_read(p, n, data, &e) < 0) {
		free(data);
		p->swarm->events.storage(p->swarm->events.ctx, &e);
		return peer_end(p, PEER_END_STOPPED, "storage failed");
	}
	for (size_t i = 0; i < n; i++)
		size += WIRE_PIECE_HEADER + ask_at(p, i)->length;
	sent = batch_put(p, n, data);
	free(data);
	if (sent > 0)
		batch_sent(p, (size_t)sent);
	if (peer_took(p, sent) < 0)
		return -1;
	if (sent > 0 && (size_t)sent < size)
		peer_note_blocked(p);
	return (int)n;
}
