/*
 * tracker: what is said to a tracker and what it answers, whichever way it
 * is carried (tracker_http, tracker_udp).
 *
 * Ownership: an answer owns its peers and names (tracker_answer_release).
 * Threads:   plain values, no locks.
 * Units:     intervals are seconds, amounts bytes.
 * Source:    BEP 3, 7, 15, 21, 23, 24, 31.
 */
#ifndef BTGET_DISCOVER_TRACKER_H
#define BTGET_DISCOVER_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

#define TRACKER_PEERS_MAX 2000	/* kept of one answer */
#define TRACKER_URL_MAX 2048
#define TRACKER_TEXT_MAX 200
#define TRACKER_ID_MAX 128
#define TRACKER_NAMES_MAX 16	/* of peers, kept of one answer */
#define TRACKER_HOST_MAX 254
#define TRACKER_RETRY_NEVER UINT32_MAX

enum tracker_event {		/* the numbers are BEP 15's */
	TRACKER_NONE,
	TRACKER_COMPLETED,
	TRACKER_STARTED,
	TRACKER_STOPPED,
};

struct tracker_request {
	uint8_t info_hash[20];
	uint8_t peer_id[20];
	uint64_t uploaded;
	uint64_t downloaded;
	uint64_t left;
	uint32_t key;
	uint32_t numwant;
	uint16_t port;
	uint16_t port6;		/* instead, to one that is asked over IPv6 */
	enum tracker_event event;
	bool paused;		/* a partial seed; instead of any event but
				 * `stopped`, over HTTP */
	char id[TRACKER_ID_MAX];	/* what it gave us, "" for none */
};

/* A peer by the name of its host. */
struct tracker_name {
	char host[TRACKER_HOST_MAX];	/* see tracker_answer_add_name */
	uint16_t port;
};

struct tracker_answer {
	struct addr *peers;	/* usable ones only */
	size_t peer_count;
	struct tracker_name *names;	/* to be looked up */
	size_t name_count;
	uint32_t interval;	/* 0: it did not say; of a refusal, too */
	uint32_t min_interval;	/* 0: it did not say */
	int64_t seeds;		/* -1: it did not say */
	int64_t leechers;	/* -1: it did not say */
	struct addr external;	/* our address as it sees it; family 0: no */
	bool refused;		/* it gave a failure reason */
	uint32_t retry_in;	/* then: seconds, 0, or TRACKER_RETRY_NEVER */
	char id[TRACKER_ID_MAX];
	char warning[TRACKER_TEXT_MAX];	/* cleaned, as it may be shown */
};

void tracker_answer_init(struct tracker_answer *a);
void tracker_answer_release(struct tracker_answer *a);

/* Keeps one more peer, unless there are enough or one cannot connect to it.
 * -1 when out of memory. */
int tracker_answer_add(struct tracker_answer *a, const struct addr *peer);

/* The same for one more name, if it can be one of a host: letters, digits,
 * dots, dashes and underlines, and not what some take for a number. */
int tracker_answer_add_name(struct tracker_answer *a, const char *host,
			    uint16_t port);

/* "started", ...; "" for TRACKER_NONE. */
const char *tracker_event_name(enum tracker_event event);

/* Is the URL one of a tracker that can be asked: http, https or udp, of
 * bounded length, printable, up to its path in ASCII only? */
bool tracker_url_usable(const char *url);
bool tracker_url_is_udp(const char *url);

#endif
