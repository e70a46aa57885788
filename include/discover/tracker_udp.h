/*
 * tracker_udp: one announce to a UDP tracker, as a state machine.
 *
 * Pure: time and random numbers come in, packets go out through the caller,
 * who checks that what arrives comes from the address that was asked.
 *
 * A connection id serves all announces to one address for a minute, so it
 * lives apart from them, in a tracker_udp_link that they share.
 *
 * Source: BEP 15; BEP 41 for the URL's path and query.
 */
#ifndef BTGET_DISCOVER_TRACKER_UDP_H
#define BTGET_DISCOVER_TRACKER_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "discover/tracker.h"

/* The announce, and URL data with its option headers. */
#define TRACKER_UDP_MAX (98 + TRACKER_URL_MAX + 2 * (TRACKER_URL_MAX / 255 + 1))
#define TRACKER_UDP_ANSWER_MAX 65536
#define TRACKER_UDP_TRIES_MAX 10		/* n = 0 to 8, the first twice */

struct tracker_udp_link {
	uint64_t id;
	int64_t expires;	/* 0: there is none */
};

enum tracker_udp_state {
	TRACKER_UDP_BUSY,	/* nothing yet, or a packet to ignore */
	TRACKER_UDP_ANSWERED,
	TRACKER_UDP_FAILED,
};

struct tracker_udp {
	struct tracker_request request;
	char path[TRACKER_URL_MAX];	/* path and query, "" for none */
	bool sent;		/* an answer to `transaction` may come */
	bool connecting;	/* what was sent last was a connect */
	bool connected;		/* by this announce itself */
	uint32_t transaction;
	unsigned tries;		/* sent without an answer, of this kind */
	unsigned announces;	/* the same, of announces only */
	unsigned tries_max;
	bool again;		/* the last try was had once more */
	int64_t due;		/* when to send again or to give up */
};

/* Ready to send at once.  tries_max, 1 at least: how often a packet is sent
 * before it has failed (4, 11, 30, 60, ... seconds each: BEP 15's times, with
 * one more packet in the first 15). */
void tracker_udp_start(struct tracker_udp *u,
		       const struct tracker_request *request,
		       const char *path, unsigned tries_max, int64_t now);

/* What was sent is lost: ready to send at once, but no more often; the last
 * try may be had once more. */
void tracker_udp_again(struct tracker_udp *u, int64_t now);

/* The packet that is due, into out; returns its size, or 0 when nothing is
 * due. */
size_t tracker_udp_send(struct tracker_udp *u, struct tracker_udp_link *link,
			int64_t now, uint32_t random,
			uint8_t out[TRACKER_UDP_MAX]);

/* Is the time of the last try over? */
bool tracker_udp_expired(const struct tracker_udp *u, int64_t now);

/* What came from the tracker's address; borrowed. */
struct tracker_udp_packet {
	const void *data;
	size_t size;
	int family;		/* AF_INET: its peers take 6 bytes each,
				 * AF_INET6: 18 */
};

/* BUSY: not for this announce, or the connection stands and the announce is
 * due. */
enum tracker_udp_state
tracker_udp_receive(struct tracker_udp *u, struct tracker_udp_link *link,
		    const struct tracker_udp_packet *packet, int64_t now,
		    struct tracker_answer *answer, struct error *e);

/* Splits "udp://host:port/path?query"; path gets "/path?query", or "" when
 * the URL ends behind the port.  False if it is not of that form. */
bool tracker_udp_split(const char *url, char *host, size_t host_size,
		       uint16_t *port, char path[TRACKER_URL_MAX]);

/* Is its host a number, and no name that might have more addresses? */
bool tracker_udp_is_number(const char *url);

#endif
