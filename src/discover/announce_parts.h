/*
 * What the parts of discover/announce share: what it holds, and how a tracker
 * is told and answers (announce_ask).  For these alone.
 */
#ifndef BTGET_DISCOVER_ANNOUNCE_PARTS_H
#define BTGET_DISCOVER_ANNOUNCE_PARTS_H

#include "discover/announce.h"
#include "discover/tiers.h"
#include "discover/tracker_roads.h"
#include "discover/udp_trackers.h"

/* At the end: how long an answer to `started` is waited for, so that the
 * tracker can be told the rest; and one to `completed`, which needs the time
 * of a UDP packet that is sent again.  Behind that only `stopped` is sent. */
#define ANNOUNCE_STARTED_PATIENCE (2 * CLOCK_S)
#define ANNOUNCE_COMPLETED_PATIENCE (4500 * CLOCK_MS)

struct announcer {
	struct log *log;
	uint16_t port;			/* over IPv4 */
	uint16_t port6;
	const struct iface *route;	/* or NULL */
	struct proxy *proxy;		/* or NULL */
	const struct blocklist *blocklist;	/* or NULL */
	struct http *http;
	struct resolver *resolver;
	struct udp_trackers *udp;	/* NULL: not needed yet */
	struct announce *announces;
	struct peer_name *names;	/* that wait; the first is asked for */
	uint64_t lookup;	/* of the first, or 0 */
};

struct announce {
	struct announce *next;
	struct announcer *announcer;
	struct log *log;
	struct announce_callbacks callbacks;
	const char *name;
	const void *owner;	/* of its lookups */
	uint8_t info_hash[20];
	bool quiet;
	uint8_t peer_id[20];
	uint32_t key;
	struct tiers *tiers;
	struct tracker_roads **roads;	/* to each tracker, or NULL */
	size_t roads_count;	/* more trackers may have come since */
	bool stopping;
	int64_t hasten_at;	/* then, or CLOCK_NEVER */
	unsigned hastens;	/* how often that has been */
	char error[ERROR_TEXT_MAX];
	char warning[TRACKER_TEXT_MAX];	/* told last */
	unsigned warnings;	/* told so far */
	unsigned names;		/* taken since then */
	int64_t names_since;
};

/* Tells a tracker what is due. */
void announce_begin(struct announce *an, const struct tiers_job *tj);

/* Names of peers in an answer: looked up, or left to the proxy. */
void announce_take_names(struct announce *an,
			 const struct tracker_answer *answer);
void announce_drop_names(struct announce *an);

/* At the end, each time that hasten_at has come: gives up what has had its
 * time. */
void announce_let_go(struct announce *an, int64_t now);

#endif
