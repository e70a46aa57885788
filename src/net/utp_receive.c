/*
 * What comes: acknowledgements of what we sent, and data, which is kept
 * until it is in order and taken.
 */
#include <stdlib.h>
#include <string.h>

#include "utp_parts.h"

#define LOST_AFTER 3		/* later ones have come */
#define ACK_DELAY (40 * CLOCK_MS)
#define ACK_PACKETS 2		/* so many are acknowledged at once */
#define LIMITED_FOR (50 * CLOCK_MS)

static struct utp_out **
out_at(struct utp *u, uint16_t seq)
{
	return &u->out[seq % UTP_RING];
}

static struct utp_in **
in_at(struct utp *u, uint16_t seq)
{
	return &u->in[seq % UTP_RING];
}

/* ---- acknowledgements ---- */

/* What one packet's acknowledgements came to. */
struct news {
	size_t bytes;
	int64_t rtt;		/* the last one measured; 0: none */
	bool limited;		/* by the pace's window, since one was sent */
};

static void
measure(struct utp *u, int64_t rtt)
{
	int64_t delta = u->srtt - rtt;

	if (u->srtt == 0) {
		u->srtt = rtt;
		u->rttvar = rtt / 2;
	} else {
		u->rttvar += ((delta < 0 ? -delta : delta) - u->rttvar) / 4;
		u->srtt -= delta / 8;
	}
	u->rto = u->srtt + 4 * u->rttvar;
	if (u->rto < UTP_RTO_MIN)
		u->rto = UTP_RTO_MIN;
	if (u->rto > UTP_RTO_MAX)
		u->rto = UTP_RTO_MAX;
}

static void
acked(struct utp *u, uint16_t seq, struct news *news, int64_t now)
{
	struct utp_out *o = *out_at(u, seq);

	if (!o)
		return;		/* selectively, before */
	*out_at(u, seq) = NULL;
	if (o->lost)
		u->lost--;
	else
		u->in_flight -= utp_cost(o);
	news->bytes += utp_cost(o);
	if (u->limited_at >= o->sent_at)
		news->limited = true;
	if (o->size > UTP_PAYLOAD_SMALL) {
		u->wide_acked = true;
		u->payload = utp_full_payload(&u->addr);
	}
	if (o->sends == 1) {
		news->rtt = now > o->sent_at ? now - o->sent_at : 1;
		if ((int32_t)(o->order - u->top_order) > 0)
			u->top_order = o->order;
	}
	free(o);
}

static void
lose(struct utp *u, uint16_t seq, struct utp_out *o)
{
	o->lost = true;
	u->lost++;
	u->in_flight -= utp_cost(o);
	if (utp_diff(seq, u->recover) < 0)
		return;
	u->recover = u->next;
	utp_pace_lost(&u->pace);
}

static void
find_losses(struct utp *u)
{
	for (uint16_t seq = u->una; seq != u->next; seq++) {
		struct utp_out *o = *out_at(u, seq);

		if (o && !o->lost &&
		    (int32_t)(u->top_order - o->order) >= LOST_AFTER)
			lose(u, seq, o);
	}
}

/* The other side says the same thing again: something is missing there. */
static void
count_duplicates(struct utp *u, const struct utp_packet *p)
{
	struct utp_out *o = u->una != u->next ? *out_at(u, u->una) : NULL;

	if (p->type != UTP_STATE || !o || p->sack)
		return;
	if (++u->duplicates == LOST_AFTER && !o->lost && o->sends == 1)
		lose(u, u->una, o);
}

static void
take_sack(struct utp *u, const struct utp_packet *p, struct news *news,
	  int64_t now)
{
	for (size_t i = 0; i < p->sack_size * 8; i++) {
		uint16_t seq = (uint16_t)(p->ack + 2 + i);

		if (utp_diff(u->next, seq) <= 0)
			return;
		if (utp_sack_has(p, i))
			acked(u, seq, news, now);
	}
}

/* By the pace's window, a round trip ago? */
static bool
was_limited(const struct utp *u, const struct news *news, int64_t now)
{
	int64_t span = u->srtt > LIMITED_FOR ? u->srtt : LIMITED_FOR;

	return news->limited || now - u->limited_at <= span;
}

/* False when it acknowledges what was never sent. */
static bool
take_ack(struct utp *u, const struct utp_packet *p, int64_t now)
{
	int ahead = utp_diff(p->ack, (uint16_t)(u->una - 1));
	struct news news = {0};

	if (ahead > utp_diff(u->next, u->una) || ahead < -2 * UTP_RING)
		return false;
	if (ahead < 0)
		return true;	/* it was overtaken on the way */
	if (p->delay_us != 0)
		utp_pace_ours(&u->pace, p->delay_us, now);
	u->peer_window = p->window;
	if (ahead == 0)
		count_duplicates(u, p);
	else
		u->duplicates = 0;
	for (; ahead > 0; ahead--)
		acked(u, u->una++, &news, now);
	/* Left behind, it would one day seem to be ahead. */
	if (utp_diff(u->recover, u->una) < 0)
		u->recover = u->una;
	take_sack(u, p, &news, now);
	if (utp_diff(u->small, u->una) < 0)
		u->small_out = false;
	if (u->una != u->next)
		find_losses(u);
	if (news.bytes == 0)
		return true;
	u->any_acked = true;
	if (news.rtt)
		measure(u, news.rtt);
	utp_pace_acked(&u->pace, news.bytes, (uint32_t)(news.rtt / CLOCK_US),
		       was_limited(u, &news, now));
	u->timeouts = 0;
	u->rto_at = u->una == u->next ? CLOCK_NEVER : now + u->rto;
	return true;
}

/* ---- data ---- */

uint32_t
utp_receive_window(const struct utp *u)
{
	size_t share = utp_share(u);

	return u->held < share ? (uint32_t)(share - u->held) : 0;
}

/* What is next in line has come, perhaps with some behind it. */
static void
advance(struct utp *u)
{
	struct utp_in *in;

	while (utp_diff(u->highest, u->ack) > 0 &&
	       (in = *in_at(u, (uint16_t)(u->ack + 1))) != NULL) {
		u->ack++;
		u->ready += in->size;
		if (u->out_of_order > 0)
			u->out_of_order--;
	}
}

/* Is there room for it, and is it new? */
static bool
wants(struct utp *u, const struct utp_packet *p)
{
	int ahead = utp_diff(p->seq, u->ack);

	if (ahead <= 0 || utp_diff(p->seq, u->taken) >= UTP_RING ||
	    *in_at(u, p->seq))
		return false;
	if (u->got_fin && utp_diff(p->seq, u->fin_seq) > 0)
		return false;
	/* Held by others, the next one in line would never come in. */
	return p->size <= utp_receive_window(u) ||
	       (ahead == 1 && u->ready == 0 &&
		u->held + p->size <= 2 * utp_share(u));
}

static void
take_data(struct utp *u, const struct utp_packet *p)
{
	struct utp_in *in;

	if (!wants(u, p)) {
		u->ack_now = true;	/* it does not know that */
		return;
	}
	in = malloc(sizeof(*in) + p->size);
	if (!in)
		return;
	in->size = p->size;
	memcpy(in->data, p->data, p->size);
	*in_at(u, p->seq) = in;
	u->held += p->size;
	u->unacked++;
	u->got_any = true;
	if (p->type == UTP_FIN) {
		u->got_fin = true;
		u->fin_seq = p->seq;
		u->ack_now = true;
	}
	if (utp_diff(p->seq, u->highest) > 0)
		u->highest = p->seq;
	if (p->seq != (uint16_t)(u->ack + 1)) {
		u->out_of_order++;
		u->ack_now = true;
		return;
	}
	if (u->out_of_order > 0)
		u->ack_now = true;	/* a gap is closed */
	u->out_of_order++;
	advance(u);
}

static void
plan_ack(struct utp *u, int64_t now)
{
	if (u->unacked >= ACK_PACKETS)
		u->ack_now = true;
	else if (u->unacked > 0 && u->ack_at == CLOCK_NEVER)
		u->ack_at = now + ACK_DELAY;
}

/* Ours was answered; its number is that of the first data to come. */
static void
take_answer(struct utp *u, const struct utp_packet *p, int64_t now)
{
	if (p->type != UTP_STATE || p->ack != (uint16_t)(u->seq - 1))
		return;
	u->state = UTP_OPEN;
	u->taken = u->ack = u->highest = (uint16_t)(p->seq - 1);
	u->peer_window = p->window;
	u->told_window = UTP_WINDOW_MAX;
	u->said_at = now;
	utp_touch(u);
}

/*
 * libtorrent 2.0 begins anew with each SYN that comes, ours that was sent
 * again too, and goes on with the last one alone.
 */
static void
take_second_answer(struct utp *u, const struct utp_packet *p, int64_t now)
{
	uint16_t ack = (uint16_t)(p->seq - 1);

	if (u->incoming || u->any_acked || p->type != UTP_STATE || p->sack ||
	    p->ack != (uint16_t)(u->una - 1) || u->ack != u->taken ||
	    u->out_of_order > 0 || u->got_any || ack == u->ack)
		return;
	u->taken = u->ack = u->highest = ack;
	if (u->rto_at != CLOCK_NEVER)
		u->rto_at = now;	/* what it saw goes to nobody */
}

static void
note_times(struct utp *u, const struct utp_packet *p, int64_t now)
{
	u->reply_us = (uint32_t)(now / CLOCK_US) - p->sent_us;
	utp_pace_theirs(&u->pace, u->reply_us, now);
	u->heard = true;
}

void
utp_take(struct utp *u, const struct utp_packet *p, int64_t now)
{
	if (u->state == UTP_ENDED)
		return;
	if (u->state == UTP_CONNECTING) {
		take_answer(u, p, now);
		if (u->state == UTP_OPEN)
			note_times(u, p, now);
		utp_set_alarm(u);
		return;
	}
	take_second_answer(u, p, now);
	/* Far off: of an old connection, or of nobody. */
	if (utp_diff(p->seq, u->ack) > 8 * UTP_RING ||
	    utp_diff(p->seq, u->ack) < -8 * UTP_RING)
		return;
	if (!take_ack(u, p, now))
		return;
	note_times(u, p, now);
	if (p->type == UTP_DATA || p->type == UTP_FIN)
		take_data(u, p);
	plan_ack(u, now);
	if (u->fin_written && u->una == u->seq)
		utp_end(u, 0);
	utp_touch(u);
	utp_set_alarm(u);
}

/* ---- taking it ---- */

size_t
utp_peek(const struct utp *u, struct utp_part *out, size_t max)
{
	size_t n = 0, skip = u->in_offset;

	for (uint16_t seq = u->taken; seq != u->ack && n < max;) {
		struct utp_in *in = u->in[++seq % UTP_RING];

		if (in->size > skip)
			out[n++] = (struct utp_part){in->data + skip,
						     in->size - skip};
		skip = 0;
	}
	return n;
}

size_t
utp_ready(const struct utp *u)
{
	return u->ready;
}

void
utp_consume(struct utp *u, size_t n)
{
	u->ready -= n;
	u->held -= n;
	n += u->in_offset;
	while (u->taken != u->ack) {
		struct utp_in **in = in_at(u, (uint16_t)(u->taken + 1));

		if (n < (*in)->size)
			break;
		n -= (*in)->size;
		free(*in);
		*in = NULL;
		u->taken++;
	}
	u->in_offset = n;
	/* It stopped for want of room: it has to hear that there is some. */
	if (u->told_window < utp_share(u) / 4 &&
	    utp_receive_window(u) >= utp_share(u) / 2)
		u->ack_now = true;
}

bool
utp_at_end(const struct utp *u)
{
	return u->got_fin && u->ack == u->fin_seq && u->ready == 0;
}

void
utp_drop_in(struct utp *u)
{
	for (size_t i = 0; i < UTP_RING; i++)
		free(u->in[i]);
}
