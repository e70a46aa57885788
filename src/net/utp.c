/*
 * The set: which connection a packet is for, who may begin one, whose time
 * has come.
 */
#include "net/utp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "utp_parts.h"

#define SYN_AGAIN (1 * CLOCK_S)
#define CONNECT_TIMEOUT (3 * CLOCK_S)
#define LINGER (60 * CLOCK_S)	/* who is gone is known before */
/* The number that answers a SYN is good for one to two of these. */
#define SLOT (8 * CLOCK_S)
#define ANSWERS_EACH (2 * CLOCK_MS)	/* 500 a second to strangers */
#define RESETS_EACH (20 * CLOCK_MS)
#define BURST (1 * CLOCK_S)
#define ID_TRIES 16
#define NARROW_FOR (3600 * CLOCK_S)

/* ---- the table ---- */

static size_t
bucket(const struct addr *a, uint16_t recv_id)
{
	return (addr_hash(a) ^ recv_id * 0x9e3779b1u) % UTP_BUCKETS;
}

static struct utp *
find(const struct utp_set *s, const struct addr *a, uint16_t recv_id)
{
	struct utp *u = s->buckets[bucket(a, recv_id)];

	while (u && (u->recv_id != recv_id || !addr_equal(&u->addr, a)))
		u = u->chain;
	return u;
}

static void
link_in(struct utp_set *s, struct utp *u)
{
	struct utp **head = &s->buckets[bucket(&u->addr, u->recv_id)];

	u->chain = *head;
	*head = u;
	u->after = s->all;
	if (s->all)
		s->all->before = u;
	s->all = u;
	s->count++;
}

static void
link_out(struct utp_set *s, struct utp *u)
{
	struct utp **at = &s->buckets[bucket(&u->addr, u->recv_id)];

	while (*at != u)
		at = &(*at)->chain;
	*at = u->chain;
	if (u->before)
		u->before->after = u->after;
	else
		s->all = u->after;
	if (u->after)
		u->after->before = u->before;
	s->count--;
}

void
utp_touch(struct utp *u)
{
	struct utp_set *s = u->set;

	if (u->changed)
		return;
	u->changed = true;
	u->next_changed = NULL;
	if (s->changed_last)
		s->changed_last->next_changed = u;
	else
		s->changed = u;
	s->changed_last = u;
}

struct utp *
utp_set_changed(struct utp_set *s)
{
	struct utp *u = s->changed;

	if (!u)
		return NULL;
	s->changed = u->next_changed;
	if (!s->changed)
		s->changed_last = NULL;
	u->changed = false;
	return u;
}

static void
untouch(struct utp_set *s, const struct utp *u)
{
	struct utp **at = &s->changed, *last = NULL;

	if (!u->changed)
		return;
	while (*at != u) {
		last = *at;
		at = &(*at)->next_changed;
	}
	*at = u->next_changed;
	if (s->changed_last == u)
		s->changed_last = last;
}

/* ---- making and freeing ---- */

struct utp_set *
utp_set_new(const struct utp_config *config)
{
	struct utp_set *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->config = *config;
	s->due = CLOCK_NEVER;
	config->random(config->ctx, s->key, sizeof(s->key));
	return s;
}

static void
discard(struct utp *u)
{
	utp_drop_out(u);
	utp_drop_in(u);
	free(u);
}

void
utp_set_free(struct utp_set *s)
{
	struct utp *after;

	if (!s)
		return;
	for (struct utp *u = s->all; u; u = after) {
		after = u->after;
		discard(u);
	}
	free(s);
}

void
utp_free(struct utp *u, int64_t now)
{
	if (!u)
		return;
	if (u->state == UTP_OPEN)
		utp_send_reset(u, now);
	untouch(u->set, u);
	link_out(u->set, u);
	discard(u);
}

/* ---- narrow paths ---- */

void
utp_note_narrow(struct utp *u, int64_t now)
{
	struct utp_set *s = u->set;
	unsigned at = s->narrow_next++ % UTP_NARROW;

	s->narrow[at].addr = u->addr;
	s->narrow[at].until = now + NARROW_FOR;
}

uint16_t
utp_full_payload(const struct addr *a)
{
	return a->family == AF_INET6 ? UTP_PAYLOAD6 : UTP_PAYLOAD4;
}

static uint16_t
first_payload(const struct utp_set *s, const struct addr *a, int64_t now)
{
	for (size_t i = 0; i < UTP_NARROW; i++)
		if (s->narrow[i].until > now &&
		    addr_same_ip(&s->narrow[i].addr, a))
			return UTP_PAYLOAD_SMALL;
	return utp_full_payload(a);
}

/* ---- new ones ---- */

static struct utp *
new_connection(struct utp_set *s, const struct addr *a, uint16_t recv_id,
	       int64_t now)
{
	struct utp *u;

	if (s->count >= s->config.max)
		return NULL;
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->set = s;
	u->addr = *a;
	u->recv_id = recv_id;
	u->payload = first_payload(s, a, now);
	u->rto = UTP_RTO_FIRST;
	u->said_at = now;
	u->rto_at = u->ack_at = u->close_until = u->syn_at = CLOCK_NEVER;
	u->give_up_at = u->due = CLOCK_NEVER;
	utp_pace_init(&u->pace, u->payload + (uint32_t)UTP_HEADER);
	link_in(s, u);
	return u;
}

struct utp *
utp_connect(struct utp_set *s, const struct addr *to, int64_t now)
{
	uint16_t id = 0, seq = 0;
	struct utp *u;
	int i;

	for (i = 0; i < ID_TRIES; i++) {
		s->config.random(s->config.ctx, &id, sizeof(id));
		if (!find(s, to, id))
			break;
	}
	u = i < ID_TRIES ? new_connection(s, to, id, now) : NULL;
	if (!u)
		return NULL;
	s->config.random(s->config.ctx, &seq, sizeof(seq));
	u->send_id = (uint16_t)(id + 1);
	u->state = UTP_CONNECTING;
	u->una = u->next = u->seq = u->recover = (uint16_t)(seq + 1);
	u->give_up_at = now + CONNECT_TIMEOUT;
	utp_send_syn(u, now);
	u->syn_at = now + SYN_AGAIN;
	utp_set_alarm(u);
	return u;
}

void
utp_end(struct utp *u, int error)
{
	if (u->state == UTP_ENDED)
		return;
	u->state = UTP_ENDED;
	u->error = error;
	utp_touch(u);
}

size_t
utp_share(const struct utp *u)
{
	size_t share = UTP_POOL / u->set->count;

	if (share < UTP_WINDOW_MIN)
		return UTP_WINDOW_MIN;
	return share < UTP_WINDOW_MAX ? share : UTP_WINDOW_MAX;
}

/* ---- strangers ---- */

static bool
may_say(struct utp_tokens *t, int64_t each, int64_t now)
{
	if (t->spent_until < now - BURST)
		t->spent_until = now - BURST;
	if (t->spent_until > now)
		return false;
	t->spent_until += each;
	return true;
}

/* Our first number for who calls with this SYN, in this while. */
static uint16_t
cookie(const struct utp_set *s, const struct addr *a, uint16_t syn_id,
       uint16_t syn_seq, int64_t slot)
{
	uint8_t message[16 + 16 + 2 + 2 + 2 + 8], out[SHA1_SIZE];

	memcpy(message, s->key, 16);
	memcpy(message + 16, a->ip, 16);
	put_u16(message + 32, a->port);
	put_u16(message + 34, syn_id);
	put_u16(message + 36, syn_seq);
	put_u64(message + 38, (uint64_t)slot);
	hash_sha1(out, message, sizeof(message));
	return get_u16(out);
}

/* An answer that leaves nothing behind. */
static void
say(struct utp_set *s, const struct addr *to, const struct utp_packet *p)
{
	uint8_t raw[UTP_HEADER];

	s->config.send(s->config.ctx, to, raw, utp_packet_write(raw, p));
}

static void
answer_syn(struct utp_set *s, const struct addr *from,
	   const struct utp_packet *p, int64_t now)
{
	struct utp *known = find(s, from, (uint16_t)(p->id + 1));
	uint32_t now_us = (uint32_t)(now / CLOCK_US);
	struct utp_packet answer = {
		.type = UTP_STATE,
		.id = p->id,
		.sent_us = now_us,
		.delay_us = now_us - p->sent_us,
		.window = UTP_WINDOW_MAX,
		.seq = cookie(s, from, p->id, p->seq, now / SLOT),
		.ack = p->seq,
	};

	if (known || s->count >= s->config.max ||
	    !may_say(&s->answers, ANSWERS_EACH, now))
		return;
	say(s, from, &answer);
}

static void
answer_unknown(struct utp_set *s, const struct addr *from,
	       const struct utp_packet *p, int64_t now)
{
	struct utp_packet answer = {
		.type = UTP_RESET,
		.id = p->id,
		.sent_us = (uint32_t)(now / CLOCK_US),
		.seq = p->ack,
		.ack = p->seq,
	};

	if (may_say(&s->resets, RESETS_EACH, now))
		say(s, from, &answer);
}

/* Is it among the first data of one whose SYN we answered, and which number
 * had that?  One of them may be lost, and a later one the first to come. */
static bool
is_answered(const struct utp_set *s, const struct addr *from,
	    const struct utp_packet *p, int64_t now, uint16_t *syn_seq)
{
	uint16_t id = (uint16_t)(p->id - 1), ours = (uint16_t)(p->ack + 1);
	int64_t slot = now / SLOT;

	for (int i = 1; i <= UTP_START_PACKETS; i++) {
		*syn_seq = (uint16_t)(p->seq - i);
		if (cookie(s, from, id, *syn_seq, slot) == ours ||
		    cookie(s, from, id, *syn_seq, slot - 1) == ours)
			return true;
	}
	return false;
}

static struct utp *
begin_incoming(struct utp_set *s, const struct addr *from,
	       const struct utp_packet *p, int64_t now)
{
	uint16_t syn_seq;
	struct utp *u;

	if (p->type != UTP_DATA || !is_answered(s, from, p, now, &syn_seq))
		return NULL;
	u = new_connection(s, from, p->id, now);
	if (!u)
		return NULL;
	u->incoming = true;
	u->send_id = (uint16_t)(p->id - 1);
	u->state = UTP_OPEN;
	u->una = u->next = u->seq = u->recover = (uint16_t)(p->ack + 1);
	u->taken = u->ack = u->highest = syn_seq;
	u->peer_window = p->window;
	u->told_window = UTP_WINDOW_MAX;
	return u;
}

/* ---- what is fed in ---- */

/* A reset names its packet's number, or ours; either is from who knows. */
static struct utp *
find_for_reset(const struct utp_set *s, const struct addr *from,
	       const struct utp_packet *p)
{
	struct utp *u = find(s, from, p->id);

	if (!u)
		u = find(s, from, (uint16_t)(p->id - 1));
	if (!u)
		u = find(s, from, (uint16_t)(p->id + 1));
	if (u && u->recv_id != p->id && u->send_id != p->id)
		return NULL;
	return u;
}

/* Who cannot see our packets does not guess what it would acknowledge. */
static void
take_reset(struct utp_set *s, const struct addr *from,
	   const struct utp_packet *p)
{
	struct utp *u = find_for_reset(s, from, p);
	int ahead;

	if (!u)
		return;
	ahead = utp_diff(u->next, p->ack);
	if (ahead >= -1 && ahead <= UTP_RING)
		utp_end(u, u->state == UTP_CONNECTING ? ECONNREFUSED
						      : ECONNRESET);
}

void
utp_set_packet(struct utp_set *s, const struct addr *from, const void *data,
	       size_t n, int64_t now)
{
	struct utp_packet p;
	struct utp *u;

	if (utp_packet_read(&p, data, n) < 0)
		return;
	if (p.type == UTP_SYN) {
		answer_syn(s, from, &p, now);
		return;
	}
	if (p.type == UTP_RESET) {
		take_reset(s, from, &p);
		return;
	}
	u = find(s, from, p.id);
	if (!u)
		u = begin_incoming(s, from, &p, now);
	if (u)
		utp_take(u, &p, now);
	else if (p.type != UTP_STATE)
		answer_unknown(s, from, &p, now);
}

/* ---- time ---- */

void
utp_set_alarm(struct utp *u)
{
	int64_t due = clock_min(u->rto_at, u->ack_at);

	if (u->state == UTP_CONNECTING)
		due = clock_min(u->syn_at, u->give_up_at);
	else if (u->state == UTP_OPEN)
		due = clock_min(due, clock_min(u->close_until,
					       utp_keepalive_at(u)));
	else
		due = CLOCK_NEVER;
	u->due = due;
	u->set->due = clock_min(u->set->due, due);
}

static void
tick(struct utp *u, int64_t now)
{
	bool connecting = u->state == UTP_CONNECTING;

	if (now >= (connecting ? u->give_up_at : u->close_until)) {
		utp_end(u, ETIMEDOUT);
	} else if (connecting) {
		utp_send_syn(u, now);
		u->syn_at = CLOCK_NEVER;
	} else if (now >= u->rto_at) {
		utp_timeout(u, now);
	} else if (now >= u->ack_at) {
		utp_touch(u);
		u->ack_now = true;
		u->ack_at = CLOCK_NEVER;
	} else {
		utp_keep_alive(u, now);
	}
	utp_set_alarm(u);
}

/* The alarm may be an old one: then it is only set anew. */
void
utp_set_tick(struct utp_set *s, int64_t now)
{
	int64_t due = CLOCK_NEVER;

	if (now < s->due)
		return;
	for (struct utp *u = s->all; u; u = u->after) {
		if (now >= u->due)
			tick(u, now);
		due = clock_min(due, u->due);
	}
	s->due = due;
}

int64_t
utp_set_due(const struct utp_set *s)
{
	return s->due;
}

size_t
utp_set_count(const struct utp_set *s)
{
	return s->count;
}

/* ---- what is asked of a connection ---- */

enum utp_state
utp_state(const struct utp *u)
{
	return u->state;
}

int
utp_error(const struct utp *u)
{
	return u->error;
}

bool
utp_incoming(const struct utp *u)
{
	return u->incoming;
}

const struct addr *
utp_addr(const struct utp *u)
{
	return &u->addr;
}

void *
utp_user(const struct utp *u)
{
	return u->user;
}

void
utp_set_user(struct utp *u, void *user)
{
	u->user = user;
}

void
utp_close(struct utp *u, int64_t now)
{
	if (u->close_until != CLOCK_NEVER)
		return;
	u->close_until = now + LINGER;
	utp_touch(u);
	utp_set_alarm(u);
}
