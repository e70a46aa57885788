/*
 * utp_pace: how much a uTP connection may have under way (LEDBAT).
 *
 * The other side says how long our packets took, on a clock that has nothing
 * to do with ours.  The least of the last two minutes stands for an empty
 * path; what is above it is a queue that we help to fill, and the window
 * follows it towards UTP_TARGET_US.  So it gives way to whoever fills queues
 * without looking.  A queue that we keep up ourselves for so long would be
 * taken for the path: once a minute it is let run empty, if it never was.
 *
 * Embedded in the connection, used by its thread alone.  Pure: no clock.
 *
 * Units:  delays are microseconds modulo 2^32, windows bytes.
 * Source: BEP 29, RFC 6817; draft-irtf-iccrg-ledbat-plus-plus, 4.4.
 */
#ifndef BTGET_NET_UTP_PACE_H
#define BTGET_NET_UTP_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTP_TARGET_US 100000
#define UTP_GAIN 3000		/* bytes for each round trip, at most */
#define UTP_DELAY_BUCKETS 13	/* of 10 s each */
#define UTP_START_PACKETS 4

/* The least delay of the last two minutes. */
struct utp_delays {
	uint32_t least[UTP_DELAY_BUCKETS];
	bool known[UTP_DELAY_BUCKETS];
	unsigned at;		/* the bucket that is being filled */
	int64_t turn_at;	/* 0: not begun */
};

void utp_delays_add(struct utp_delays *d, uint32_t sample, int64_t now);
/* False while there is none. */
bool utp_delays_base(const struct utp_delays *d, uint32_t *out);

struct utp_pace {
	double window;
	double threshold;	/* slow start ends there */
	bool slow_start;
	uint32_t packet;	/* bytes of a full one */
	struct utp_delays ours;	/* of what we send */
	struct utp_delays theirs;
	uint32_t recent[3];	/* samples, the least of them counts */
	unsigned recent_count;
	int64_t sent_at;	/* something, last */
	int64_t empty_at;	/* the queue was, or should have been, last */
	bool draining;		/* it is about to be */
};

void utp_pace_init(struct utp_pace *p, uint32_t packet);

/* How long a packet of theirs took to us: tells how clocks drift apart. */
void utp_pace_theirs(struct utp_pace *p, uint32_t sample, int64_t now);

/* How long one of ours took, as they say. */
void utp_pace_ours(struct utp_pace *p, uint32_t sample, int64_t now);

/* So many bytes have arrived, the last of them rtt_us after they were sent.
 * limited: the window was what held us up; else it does not grow. */
void utp_pace_acked(struct utp_pace *p, size_t bytes, uint32_t rtt_us,
		    bool limited);

void utp_pace_lost(struct utp_pace *p);		/* once a round trip */
void utp_pace_timeout(struct utp_pace *p);
/* About to send; after a pause of idle_ns the path has to be felt again. */
void utp_pace_sending(struct utp_pace *p, int64_t now, int64_t idle_ns);

/* The queue we see, 0 while nothing is known. */
uint32_t utp_pace_queue_us(const struct utp_pace *p);

#endif
