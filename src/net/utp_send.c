/*
 * What goes: data in packets that keep their number until they have arrived,
 * acknowledgements, and the words at the beginning and the end.
 *
 * Only one packet that is not full is under way at a time: a row of small
 * messages shares packets, and the end of a large one does not wait.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "utp_parts.h"

#define KEEPALIVE (29 * CLOCK_S)
#define TIMEOUTS_UNHEARD 3
#define TIMEOUTS_SMALL 2	/* in a row: packets may be too large */

static struct utp_out **
out_at(struct utp *u, uint16_t seq)
{
	return &u->out[seq % UTP_RING];
}

static struct utp_out *
out_of(const struct utp *u, uint16_t seq)
{
	return u->out[seq % UTP_RING];
}

/* ---- packets ---- */

static uint32_t
now_us(int64_t now)
{
	return (uint32_t)(now / CLOCK_US);
}

/* The header of any packet: what is acknowledged goes along with each. */
static struct utp_packet
header(struct utp *u, enum utp_type type, int64_t now)
{
	u->told_window = utp_receive_window(u);
	return (struct utp_packet){
		.type = type,
		.id = u->send_id,
		.sent_us = now_us(now),
		.delay_us = u->reply_us,
		.window = u->told_window,
		.seq = u->next,
		.ack = u->ack,
	};
}

static void
send_raw(struct utp *u, const void *data, size_t n)
{
	u->set->config.send(u->set->config.ctx, &u->addr, data, n);
}

static void
put(struct utp *u, const struct utp_packet *p)
{
	uint8_t raw[UTP_HEADER + 2 + UTP_SACK_MAX];

	send_raw(u, raw, utp_packet_write(raw, p));
}

void
utp_send_syn(struct utp *u, int64_t now)
{
	struct utp_packet p = header(u, UTP_SYN, now);

	p.id = u->recv_id;
	p.seq = (uint16_t)(u->seq - 1);
	p.ack = 0;
	put(u, &p);
}

void
utp_send_reset(struct utp *u, int64_t now)
{
	struct utp_packet p = header(u, UTP_RESET, now);

	put(u, &p);
}

/* ---- acknowledgements ---- */

/* Bit i stands for ack + 2 + i. */
static size_t
put_sack(const struct utp *u, uint8_t bits[UTP_SACK_MAX])
{
	int last = utp_diff(u->highest, u->ack) - 2;
	size_t size;

	if (u->out_of_order == 0 || last < 0)
		return 0;
	if (last >= UTP_SACK_MAX * 8)
		last = UTP_SACK_MAX * 8 - 1;
	size = ((size_t)last / 32 + 1) * 4;
	memset(bits, 0, size);
	for (int i = 0; i <= last; i++)
		if (u->in[(uint16_t)(u->ack + 2 + i) % UTP_RING])
			bits[i / 8] |= (uint8_t)(1u << (i % 8));
	return size;
}

static void
acknowledged(struct utp *u, int64_t now)
{
	u->unacked = 0;
	u->ack_now = false;
	u->ack_at = CLOCK_NEVER;
	u->said_at = now;
}

static void
send_state(struct utp *u, int64_t now)
{
	struct utp_packet p = header(u, UTP_STATE, now);
	uint8_t bits[UTP_SACK_MAX];

	p.sack = bits;
	p.sack_size = put_sack(u, bits);
	put(u, &p);
	acknowledged(u, now);
}

int64_t
utp_keepalive_at(const struct utp *u)
{
	return u->said_at + KEEPALIVE;
}

/* So that routers on the way do not forget us. */
void
utp_keep_alive(struct utp *u, int64_t now)
{
	if (u->state == UTP_OPEN && now >= utp_keepalive_at(u))
		send_state(u, now);
}

/* ---- data ---- */

static size_t
window(const struct utp *u)
{
	size_t most = (size_t)u->pace.window, share = utp_share(u);

	if (u->peer_window < most)
		most = u->peer_window;
	return most < share ? most : share;
}

/* Not yet sent, and not full: more can go into it. */
static struct utp_out *
open_packet(const struct utp *u)
{
	struct utp_out *o;

	if (u->next == u->seq)
		return NULL;
	o = out_of(u, (uint16_t)(u->seq - 1));
	return o->type == UTP_DATA && o->size < o->room ? o : NULL;
}

size_t
utp_room(const struct utp *u)
{
	const struct utp_out *open = open_packet(u);
	size_t used = u->in_flight + u->unsent, most = window(u);
	size_t packet = (size_t)u->payload + UTP_HEADER;
	size_t room = open ? (size_t)(open->room - open->size) : 0;
	size_t packets, ring;

	if (u->state != UTP_OPEN || u->close_until != CLOCK_NEVER)
		return 0;
	packets = used < most ? (most - used) / packet : 0;
	if (packets == 0 && used == 0)
		packets = 1;
	if (u->lost > 0)
		packets = 0;	/* first what is missing there */
	ring = UTP_SENT_MAX - (size_t)(uint16_t)(u->seq - u->una);
	return room + (packets < ring ? packets : ring) * u->payload;
}

static struct utp_out *
add_packet(struct utp *u, enum utp_type type, uint16_t room)
{
	struct utp_out *o = malloc(sizeof(*o) + UTP_HEADER + room);

	if (!o)
		return NULL;
	memset(o, 0, sizeof(*o));
	o->type = type;
	o->room = room;
	*out_at(u, u->seq++) = o;
	u->unsent += UTP_HEADER;
	return o;
}

size_t
utp_write(struct utp *u, const void *data, size_t n)
{
	const uint8_t *at = data;
	size_t left = utp_room(u);

	if (left > n)
		left = n;
	n = left;
	while (left > 0) {
		struct utp_out *o = open_packet(u);
		size_t part;

		if (!o)
			o = add_packet(u, UTP_DATA, u->payload);
		if (!o)
			break;
		part = (size_t)(o->room - o->size);
		if (part > left)
			part = left;
		memcpy(o->data + UTP_HEADER + o->size, at, part);
		o->size = (uint16_t)(o->size + part);
		u->unsent += part;
		at += part;
		left -= part;
	}
	return n - left;
}

static void
send_packet(struct utp *u, uint16_t seq, int64_t now)
{
	struct utp_out *o = out_of(u, seq);
	struct utp_packet p = header(u, o->type, now);

	p.seq = seq;
	utp_packet_write(o->data, &p);
	utp_pace_sending(&u->pace, now,
			 u->rto > CLOCK_S ? u->rto : CLOCK_S);
	if (o->lost) {
		o->lost = false;
		u->lost--;
	} else {
		u->unsent -= utp_cost(o);
	}
	u->in_flight += utp_cost(o);
	if (o->sends < UINT8_MAX)
		o->sends++;
	o->order = ++u->order;
	o->sent_at = now;
	if (u->rto_at == CLOCK_NEVER)
		u->rto_at = now + u->rto;
	send_raw(u, o->data, utp_cost(o));
	/* What has gaps is told in a packet of its own. */
	if (u->out_of_order == 0)
		acknowledged(u, now);
	u->said_at = now;
}

/* The first packet always fits into the pace's window, not into theirs. */
static bool
fits(struct utp *u, const struct utp_out *o, int64_t now)
{
	size_t need = u->in_flight + utp_cost(o);

	if (o->type == UTP_FIN)
		return true;
	if (need > u->peer_window && o->size > 0)
		return false;
	if (u->in_flight == 0 || need <= window(u))
		return true;
	u->limited_at = now;
	return false;
}

static void
send_lost(struct utp *u, int64_t now)
{
	for (uint16_t seq = u->una; u->lost > 0 && seq != u->next; seq++) {
		struct utp_out *o = out_of(u, seq);

		if (!o || !o->lost)
			continue;
		/* All others wait for the first: when it is lost the first
		 * time, it goes whatever the windows say. */
		if (!fits(u, o, now) && (seq != u->una || o->sends > 1))
			return;
		send_packet(u, seq, now);
	}
}

/* May one that is not full go out? */
static bool
may_be_small(const struct utp *u)
{
	return !u->small_out || u->close_until != CLOCK_NEVER;
}

static void
send_new(struct utp *u, int64_t now)
{
	while (u->next != u->seq && u->lost == 0) {
		struct utp_out *o = out_of(u, u->next);
		bool small = o->size < o->room;

		if (!fits(u, o, now) || (small && !may_be_small(u)))
			return;
		if (small) {
			u->small = u->next;
			u->small_out = true;
		}
		/* Counted before: its header says which is next. */
		u->next++;
		send_packet(u, (uint16_t)(u->next - 1), now);
	}
	/* Nothing held us up but what there was to send; or the window. */
	if (u->next == u->seq && u->in_flight + u->payload + UTP_HEADER >
				     (size_t)u->pace.window)
		u->limited_at = now;
}

static void
write_fin(struct utp *u)
{
	if (u->close_until == CLOCK_NEVER || u->fin_written ||
	    (uint16_t)(u->seq - u->una) >= UTP_SENT_MAX)
		return;
	u->fin_written = add_packet(u, UTP_FIN, 0) != NULL;
}

void
utp_flush(struct utp *u, int64_t now)
{
	if (u->state != UTP_OPEN)
		return;
	write_fin(u);
	send_lost(u, now);
	send_new(u, now);
	if (u->ack_now)
		send_state(u, now);
	/* Their window is shut: it is knocked at now and then. */
	if (u->rto_at == CLOCK_NEVER && u->una != u->seq)
		u->rto_at = now + u->rto;
	utp_set_alarm(u);
}

bool
utp_all_acked(const struct utp *u)
{
	uint16_t end = (uint16_t)(u->seq - (u->fin_written ? 1 : 0));

	return u->una == end || u->una == u->seq;
}

/* ---- timeouts ---- */

bool
utp_is_unheard(const struct utp *u)
{
	return u->timeouts >= TIMEOUTS_UNHEARD;
}

static void
lose_all(struct utp *u)
{
	for (uint16_t seq = u->una; seq != u->next; seq++) {
		struct utp_out *o = out_of(u, seq);

		if (o && !o->lost) {
			o->lost = true;
			u->lost++;
		}
	}
	u->in_flight = 0;
	u->duplicates = 0;
	u->recover = u->next;
}

static void
knock(struct utp *u, int64_t now)
{
	uint16_t seq = u->una;

	if (u->una == u->next) {
		u->next++;
		send_packet(u, seq, now);
		return;
	}
	while (seq != u->next && (!out_of(u, seq) || !out_of(u, seq)->lost))
		seq++;
	if (seq != u->next)
		send_packet(u, seq, now);
}

/* What was sent cannot be cut anew: the other side may have it, and only its
 * acknowledgements were lost. */
static bool
seems_narrow(const struct utp *u)
{
	const struct utp_out *o = out_of(u, u->una);

	return !u->wide_acked && o && o->size > UTP_PAYLOAD_SMALL;
}

void
utp_timeout(struct utp *u, int64_t now)
{
	bool shut = u->peer_window < (size_t)u->payload + UTP_HEADER;
	int64_t wait = u->rto;

	u->rto_at = CLOCK_NEVER;
	if (u->una == u->seq)
		return;
	if (shut && u->heard)
		u->timeouts = 0;
	u->heard = false;
	if (!shut && u->in_flight == 0 && u->lost == 0) {
		utp_touch(u);	/* nothing was sent that could be lost */
		return;
	}
	if (++u->timeouts > UTP_TIMEOUTS_MAX) {
		if (seems_narrow(u))
			utp_note_narrow(u, now);
		utp_end(u, ETIMEDOUT);
		return;
	}
	if (u->in_flight > 0)
		utp_pace_timeout(&u->pace);
	lose_all(u);
	if (u->timeouts >= TIMEOUTS_SMALL)
		u->payload = UTP_PAYLOAD_SMALL;
	for (unsigned i = 0; i < u->timeouts && wait < UTP_RTO_MAX; i++)
		wait *= 2;
	u->rto_at = now + clock_min(wait, UTP_RTO_MAX);
	if (shut)
		knock(u, now);
	utp_touch(u);
}

void
utp_drop_out(struct utp *u)
{
	for (size_t i = 0; i < UTP_RING; i++)
		free(u->out[i]);
}
