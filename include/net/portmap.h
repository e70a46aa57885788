/*
 * portmap: asks the router to let our port in from outside.
 *
 * A thread of its own finds the gateway, asks for the port by PCP, then by
 * NAT-PMP, then by UPnP, and keeps to the first that grants TCP.  It asks
 * again at half of the lifetime, at once when the gateway says that it was
 * restarted, and from the beginning when it no longer answers or our address
 * is another one.  Where there
 * is no gateway, or nobody answers, that is said once (-v), and tried again
 * after a while.  At the end the mapping is removed.
 *
 * Nothing here is trusted: an answer counts if it came from the gateway's
 * address and fits a question; of UPnP see net/upnp_codec.
 *
 * Ownership: the log and ctx outlive it.
 * Threads:   start, hurry, stop and free belong to one thread; `mapped` is called
 *            from the portmap's own.
 */
#ifndef BTGET_NET_PORTMAP_H
#define BTGET_NET_PORTMAP_H

#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"
#include "base/log.h"

struct portmap;
struct iface;

struct portmap_news {
	struct addr external_ip;	/* family 0: unknown; port 0 */
	uint16_t tcp_port;		/* where others reach us */
	uint16_t udp_port;		/* 0: not mapped */
};

struct portmap_config {
	uint16_t port;		/* ours, TCP and UDP */
	const struct iface *route;	/* whose gateway; or NULL */
	void *ctx;
	/* Once there is a mapping, and whenever it has changed; all is zero
	 * when it is lost. */
	void (*mapped)(void *ctx, const struct portmap_news *news);
};

struct portmap *portmap_start(const struct portmap_config *config,
			      struct log *log, struct error *e);

/* The network is there again, or is another one: asks anew, soon. */
void portmap_hurry(struct portmap *p);

/* Begins to remove the mapping; no more than PORTMAP_STOP_MS from here on,
 * portmap_free returns. */
#define PORTMAP_STOP_MS 1000
void portmap_stop(struct portmap *p);
void portmap_free(struct portmap *p);	/* stops it; no callback after */

#endif
