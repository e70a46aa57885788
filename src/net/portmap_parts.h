/*
 * portmap_parts: the inside of a portmap, for the files that make it up:
 * portmap.c (its thread), portmap_pcp.c (PCP and NAT-PMP), portmap_upnp.c.
 *
 * All of it is the thread's own, but for `stop`, `stop_at`, `hurry` and the
 * wake.
 */
#ifndef BTGET_NET_PORTMAP_PARTS_H
#define BTGET_NET_PORTMAP_PARTS_H

#include <poll.h>
#include <stdatomic.h>

#include "base/sync.h"
#include "net/portmap.h"
#include "net/portmap_codec.h"
#include "net/upnp_codec.h"

#define PORTMAP_MAPS 2		/* TCP first: it decides */

struct portmap_map {
	struct portmap_question q;
	bool asked;		/* the gateway may have it */
	bool granted;
	bool answered;		/* in this round */
	unsigned result;	/* of the answer */
	uint16_t external_port;
	uint32_t lifetime;
};

/* How a round of questions ended. */
enum portmap_end {
	PORTMAP_ANSWERED,	/* each map's result says how */
	PORTMAP_SILENT,		/* not each was answered */
	PORTMAP_NOBODY,		/* nobody listens there, or not this one */
};

struct portmap {
	struct portmap_config config;
	struct log *log;
	struct thread thread;
	struct wake wake;
	_Atomic bool stop;
	_Atomic int64_t stop_at;	/* when the removal must be over */
	_Atomic bool hurry;

	struct addr gateway;		/* family 0: none */
	struct addr local;		/* ours, towards it */
	enum portmap_method method;
	bool mapped;			/* by that method */
	bool heard;			/* it has answered, ever */
	struct portmap_map maps[PORTMAP_MAPS];
	struct addr external_ip;
	bool idle;			/* nothing is under way */
	int64_t due;			/* to ask again */
	int64_t begun_at;		/* when it was asked the last time */

	/* PCP, NAT-PMP. */
	int fd;				/* connected to the gateway, or -1 */
	int news_fd;			/* where it tells of a restart, or -1 */
	struct portmap_epoch epoch;
	/* Of a mapping: with another one the gateway would refuse to renew or
	 * remove it.  Drawn once. */
	uint8_t nonces[PORTMAP_MAPS][PCP_NONCE_SIZE];
	bool had[PORTMAP_UPNP];		/* by which it was granted, ever */

	/* UPnP. */
	struct upnp_service service;
	uint32_t lease;			/* PORTMAP_LIFETIME or, for ever, 0 */

	struct portmap_news told;
	char note[ERROR_TEXT_MAX];	/* the last word on a failure */
};

/* Waits for fd (or -1) until then; false when the time came, or the end is
 * asked for (which does not count once the removal has begun), or haste, while
 * it is idle. */
bool portmap_poll(struct portmap *p, int fd, int64_t until);

static inline bool
portmap_stopping(const struct portmap *p)
{
	return atomic_load(&p->stop);
}

/* portmap_pcp.c.  A lifetime of 0 removes. */
/* A socket connected to the gateway; *local becomes our address.  -1: none. */
int portmap_pcp_connect(const struct portmap *p, struct addr *local,
			struct error *e);
int portmap_pcp_open(struct portmap *p, struct error *e);
void portmap_pcp_close(struct portmap *p);
enum portmap_end portmap_pcp_round(struct portmap *p, uint32_t lifetime,
				   int64_t until);
/* Reads a note from the gateway: does it say that it has lost all? */
bool portmap_pcp_restarted(struct portmap *p);

/* portmap_upnp.c */
int portmap_upnp_find(struct portmap *p, struct error *e);
enum portmap_end portmap_upnp_round(struct portmap *p, uint32_t lifetime,
				    int64_t until);

#endif
