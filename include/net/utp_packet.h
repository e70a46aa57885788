/*
 * utp_packet: the packets of uTP, read and written.
 *
 * Pure.  Extensions that nobody knows are skipped.
 *
 * Units:  times are microseconds modulo 2^32, window and size are bytes.
 * Source: BEP 29.
 */
#ifndef BTGET_NET_UTP_PACKET_H
#define BTGET_NET_UTP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTP_HEADER 20
/* Of ours: 512 packets.  There are those who keep no more. */
#define UTP_SACK_MAX 64

enum utp_type {
	UTP_DATA,
	UTP_FIN,
	UTP_STATE,		/* an acknowledgement, and no more */
	UTP_RESET,
	UTP_SYN,
	UTP_TYPES
};

struct utp_packet {
	enum utp_type type;
	uint16_t id;
	uint32_t sent_us;	/* by the sender's clock */
	uint32_t delay_us;	/* of the last packet it got; 0: none yet */
	uint32_t window;
	uint16_t seq;
	uint16_t ack;
	const uint8_t *sack;	/* bit i: ack + 2 + i has come; or NULL */
	size_t sack_size;
	const uint8_t *data;
	size_t size;
};

/* Whether it may be one: the DHT's begin otherwise. */
static inline bool
utp_is_packet(const void *data, size_t n)
{
	uint8_t first = n >= UTP_HEADER ? *(const uint8_t *)data : 0;

	return (first & 0x0f) == 1 && first >> 4 < UTP_TYPES;
}

/* -1 when it is none.  sack and data point into it. */
int utp_packet_read(struct utp_packet *p, const void *data, size_t n);

/* Writes all but the data; how many bytes that takes, UTP_HEADER + 2 +
 * UTP_SACK_MAX at most. */
size_t utp_packet_write(uint8_t *out, const struct utp_packet *p);

static inline bool
utp_sack_has(const struct utp_packet *p, size_t i)
{
	return i / 8 < p->sack_size && (p->sack[i / 8] >> (i % 8) & 1) != 0;
}

#endif
