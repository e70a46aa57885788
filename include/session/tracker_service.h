/*
 * tracker_service: a tracker's answers, to HTTP heads and UDP packets.
 *
 * UDP connection ids are stateless: the second they were given in, and a
 * keyed hash of it with the address; they hold for two minutes.  A request
 * with another id gets no answer, as BEP 15 has it, so that nobody is sent
 * packets he did not ask for.
 *
 * The address field of an announce (`ip=`) counts for clients on loopback
 * only: a seeder beside the tracker may so tell its address on the network,
 * and nobody can name a victim's.
 *
 * Pure, but for a line to the log on each announce: time, address and secrets
 * come in.  Not thread-safe.
 * Source:    BEP 3, 7, 15, 21, 23, 41, 48.
 */
#ifndef BTGET_SESSION_TRACKER_SERVICE_H
#define BTGET_SESSION_TRACKER_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/log.h"
#include "session/tracker_allow.h"
#include "session/tracker_swarm.h"

/* What fits the smallest IPv6 packet, so that no answer is split. */
#define TRACKER_SERVICE_UDP_MAX 1232
/* The longest HTTP answer with its head: 200 peers in dictionaries. */
#define TRACKER_SERVICE_HTTP_MAX 32768

struct tracker_service {
	struct tracker_swarms *swarms;		/* borrowed */
	const struct tracker_allow *allow;	/* borrowed; NULL: all */
	struct log *log;			/* borrowed; NULL: none */
	uint32_t interval_s;
	uint8_t secret[32];
	uint64_t announces;
	uint64_t scrapes;
	uint64_t refused;
};

/* Answers a complete request head; out is cleared first and holds up to
 * TRACKER_SERVICE_HTTP_MAX.  True if the connection may stay open. */
bool tracker_service_http(struct tracker_service *s, const void *head,
			  size_t size, const struct addr *from, int64_t now,
			  struct buffer *out);

/* The answer to a head that is refused for its form or size. */
void tracker_service_http_refuse(int status, struct buffer *out);

/* Answers a packet; out is cleared first, stays empty for no answer, and
 * holds up to TRACKER_SERVICE_UDP_MAX. */
void tracker_service_udp(struct tracker_service *s, const void *packet,
			 size_t size, const struct addr *from, int64_t now,
			 struct buffer *out);

/* For both ways: puts in the peer's address and takes note of it. */
int tracker_service_announce(struct tracker_service *s,
			     struct tracker_swarm_announce *a,
			     const struct addr *from, const struct addr *ip,
			     int64_t now, struct error *e);

#endif
