/*
 * utp_parts: the inside of a set of uTP connections, for utp.c (the set),
 * utp_send.c (what goes) and utp_receive.c (what comes).
 *
 * Numbers of packets wrap: they are compared by their difference.
 */
#ifndef BTGET_NET_UTP_PARTS_H
#define BTGET_NET_UTP_PARTS_H

#include "base/clock.h"
#include "net/utp.h"
#include "net/utp_pace.h"
#include "net/utp_packet.h"

#define UTP_RING 512		/* a power of two */
/* Others keep no more than some 510 out of order. */
#define UTP_SENT_MAX 508
#define UTP_BUCKETS 1024
#define UTP_NARROW 64

#define UTP_RTO_FIRST (1 * CLOCK_S)
#define UTP_RTO_MIN (500 * CLOCK_MS)
#define UTP_RTO_MAX (15 * CLOCK_S)
#define UTP_TIMEOUTS_MAX 6	/* in a row; then it is dead */

/* Of ours, not acknowledged. */
struct utp_out {
	enum utp_type type;
	uint16_t size;		/* payload */
	uint16_t room;		/* payload that it could have */
	uint8_t sends;
	bool lost;		/* to be sent again */
	uint32_t order;		/* of the last sending, among all */
	int64_t sent_at;
	uint8_t data[];		/* header and payload */
};

struct utp_in {
	size_t size;
	uint8_t data[];
};

struct utp {
	struct utp_set *set;
	struct utp *chain;	/* in its bucket */
	struct utp *after;	/* in the list of all */
	struct utp *before;
	struct utp *next_changed;
	bool changed;
	void *user;

	struct addr addr;
	uint16_t recv_id;
	uint16_t send_id;
	enum utp_state state;
	bool incoming;
	int error;
	int64_t due;

	/* Connecting. */
	int64_t syn_at;		/* the next one */
	int64_t give_up_at;

	/* What goes: [una, next) has been sent, [next, seq) has not. */
	struct utp_out *out[UTP_RING];	/* NULL: selectively acknowledged */
	uint16_t una;
	uint16_t next;
	uint16_t seq;
	size_t in_flight;	/* bytes, neither acknowledged nor lost */
	size_t unsent;
	unsigned lost;
	bool any_acked;
	bool wide_acked;	/* one of more than UTP_PAYLOAD_SMALL */
	uint16_t payload;	/* of a full packet */
	uint16_t small;		/* the last packet sent that was not full */
	bool small_out;
	uint32_t order;
	uint32_t top_order;	/* acknowledged, of what was sent once */
	uint16_t recover;	/* losses before it are one */
	unsigned duplicates;
	uint32_t peer_window;
	struct utp_pace pace;
	int64_t limited_at;	/* by the pace's window */
	int64_t srtt;
	int64_t rttvar;
	int64_t rto;
	int64_t rto_at;
	unsigned timeouts;	/* in a row */
	bool heard;		/* since the last of them */
	bool fin_written;
	int64_t close_until;

	/* What comes: (taken, ack] is in order, what is behind it is not. */
	struct utp_in *in[UTP_RING];
	uint16_t taken;
	uint16_t ack;
	size_t in_offset;	/* of the first one */
	size_t held;		/* bytes */
	size_t ready;		/* of these, in order */
	unsigned out_of_order;	/* packets */
	uint16_t highest;	/* of those */
	bool got_any;
	bool got_fin;
	uint16_t fin_seq;
	uint32_t reply_us;
	uint32_t told_window;
	unsigned unacked;	/* packets */
	bool ack_now;
	int64_t ack_at;
	int64_t said_at;
};

/* How often something may be said to strangers. */
struct utp_tokens {
	int64_t spent_until;	/* the time that is paid for */
};

/* A path that swallows large packets and tells nobody. */
struct utp_narrow {
	struct addr addr;	/* whatever the port */
	int64_t until;
};

struct utp_set {
	struct utp_config config;
	uint8_t key[16];
	struct utp *buckets[UTP_BUCKETS];
	struct utp *all;
	size_t count;
	struct utp *changed;
	struct utp *changed_last;
	int64_t due;
	struct utp_tokens answers;
	struct utp_tokens resets;
	struct utp_narrow narrow[UTP_NARROW];
	unsigned narrow_next;
};

static inline int
utp_diff(uint16_t a, uint16_t b)
{
	return (int16_t)(uint16_t)(a - b);
}

static inline size_t
utp_cost(const struct utp_out *o)
{
	return (size_t)o->size + UTP_HEADER;
}

/* utp.c */
void utp_end(struct utp *u, int error);
void utp_set_alarm(struct utp *u);
/* The next connections to its address begin with small packets. */
void utp_note_narrow(struct utp *u, int64_t now);
/* Of a packet on a path that is not narrow. */
uint16_t utp_full_payload(const struct addr *a);
/* What a connection may hold, of either way. */
size_t utp_share(const struct utp *u);

/* utp_send.c */
void utp_send_syn(struct utp *u, int64_t now);
void utp_send_reset(struct utp *u, int64_t now);
void utp_keep_alive(struct utp *u, int64_t now);
void utp_timeout(struct utp *u, int64_t now);
int64_t utp_keepalive_at(const struct utp *u);
void utp_drop_out(struct utp *u);

/* utp_receive.c: a packet of this connection. */
void utp_take(struct utp *u, const struct utp_packet *p, int64_t now);
uint32_t utp_receive_window(const struct utp *u);
void utp_drop_in(struct utp *u);

#endif
