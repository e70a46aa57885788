/*
 * portmap_codec: the packets by which a port of the gateway is asked for:
 * PCP's MAP and its elder NAT-PMP, which share the gateway's port 5351.
 *
 * Both are a question and an answer.  A question is asked again after a
 * quarter of a second, then after twice as long each time, and given up
 * after PORTMAP_TRIES; a mapping is asked for again when half of its lifetime
 * is over.  Each answer tells how long the gateway has known its mappings
 * (the epoch): where that runs backwards or too fast, it has lost them.
 *
 * Pure: the time (clock_ns) and nonces are given.
 * Units:  lifetimes and epochs in seconds.
 * Source: RFC 6886 (NAT-PMP), RFC 6887 (PCP).
 */
#ifndef BTGET_NET_PORTMAP_CODEC_H
#define BTGET_NET_PORTMAP_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"

#define PORTMAP_SERVER_PORT 5351	/* of the gateway */
#define PORTMAP_CLIENT_PORT 5350	/* where it announces a restart */
#define PORTMAP_PACKET_MAX 1100		/* of either side */

/* What we ask for: two hours, as both sources recommend.  What we are given
 * may be less or more, and is believed up to a day. */
#define PORTMAP_LIFETIME 7200u
#define PORTMAP_LIFETIME_MAX 86400u
/* RFC 6887, 11.2.1: never ask again earlier than that. */
#define PORTMAP_RENEW_MIN_S 4u

#define PORTMAP_TRIES 4		/* at 0, 250, 750 and 1750 ms */
#define PORTMAP_FIRST_WAIT (250 * CLOCK_MS)

#define PCP_NONCE_SIZE 12

enum portmap_method { PORTMAP_PCP, PORTMAP_NATPMP, PORTMAP_UPNP };

enum portmap_protocol {		/* the numbers of the IP header */
	PORTMAP_TCP = 6,
	PORTMAP_UDP = 17,
};

struct portmap_question {
	enum portmap_protocol protocol;
	uint16_t internal_port;
	uint16_t external_port;		/* that we would like; 0: any */
	uint32_t lifetime;		/* 0 removes the mapping */
	/* PCP alone. */
	struct addr client;		/* ours, as the gateway sees it */
	struct addr external_ip;	/* that we had; family 0: any */
	uint8_t nonce[PCP_NONCE_SIZE];	/* the same for a mapping's life */
};

enum portmap_kind {
	PORTMAP_MAPPED,		/* an answer about a mapping */
	PORTMAP_ADDRESS,	/* NAT-PMP: the external address */
	PORTMAP_RESTARTED,	/* PCP: nothing but the epoch */
	PORTMAP_OTHER_VERSION,	/* it does not speak ours */
};

struct portmap_answer {
	enum portmap_kind kind;
	unsigned result;		/* 0: granted */
	uint32_t epoch;
	enum portmap_protocol protocol;
	uint16_t internal_port;
	uint16_t external_port;
	uint32_t lifetime;
	struct addr external_ip;	/* family 0: it does not say */
	uint8_t nonce[PCP_NONCE_SIZE];
};

/* Each writes a question into out, PORTMAP_PACKET_MAX bytes, and returns its
 * size. */
size_t pcp_put_map(uint8_t *out, const struct portmap_question *q);
size_t natpmp_put_map(uint8_t *out, const struct portmap_question *q);
size_t natpmp_put_address(uint8_t *out);

/* Reads what the gateway sent: false where it is no answer of that protocol,
 * or not whole.  Fields that a kind or a failure does not have are 0. */
bool pcp_read(const uint8_t *data, size_t size, struct portmap_answer *a);
bool natpmp_read(const uint8_t *data, size_t size, struct portmap_answer *a);

/* Is it about this mapping? */
bool portmap_answers(const struct portmap_answer *a, enum portmap_method by,
		     const struct portmap_question *q);

/* What a result that is not 0 means. */
const char *portmap_result(enum portmap_method by, unsigned result);

/* How long to wait after the try (0 is the first); 0: give up. */
int64_t portmap_wait(unsigned tries);

/* When a mapping that was granted just now is to be asked for again. */
int64_t portmap_renew_at(uint32_t lifetime, int64_t now);

struct portmap_epoch {
	bool known;
	uint32_t server;
	int64_t at;
};

/* Takes the epoch of an answer: false when the gateway has lost what it knew
 * since the last one. */
bool portmap_epoch_take(struct portmap_epoch *e, enum portmap_method by,
			uint32_t server, int64_t now);

#endif
