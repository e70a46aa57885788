/*
 * udp_trackers: announces to UDP trackers under way, and their sockets.
 *
 * One socket for IPv4 and one for IPv6 serve all torrents.  Connection ids are
 * shared by all announces to an address.
 *
 * Ownership: text and requests are copied; an answer is borrowed for the
 *            callback.
 * Threads:   one thread's, that of the resolver's owner.
 * Source:    BEP 15; the packets are discover/tracker_udp's.
 */
#ifndef BTGET_DISCOVER_UDP_TRACKERS_H
#define BTGET_DISCOVER_UDP_TRACKERS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "discover/tracker.h"
#include "net/resolve.h"

struct iface;
struct blocklist;
struct udp_trackers;
struct udp_job;

/* Once: an answer, or NULL and e.  no_address: there was none to be asked from
 * here.  The job is gone. */
typedef void udp_job_done(void *ctx, struct tracker_answer *answer,
			  const struct error *e, bool no_address);

struct udp_job_config {
	const char *url;
	const struct tracker_request *request;
	int family;		/* AF_INET or AF_INET6 alone; 0: either */
	unsigned tries;		/* see tracker_udp_start */
	int64_t until;		/* not beyond; 0: as long as they take */
	const void *owner;	/* of its lookup: see net/resolve */
	udp_job_done *done;
	void *ctx;
};

/* route: what to leave by, or NULL.  A family that it lacks now is tried
 * again by udp_trackers_rebind, when the route has changed.  Nobody on the
 * blocklist (or NULL) is asked. */
struct udp_trackers *udp_trackers_new(const struct iface *route,
				      const struct blocklist *blocklist,
				      struct resolver *r, struct error *e);
void udp_trackers_rebind(struct udp_trackers *u);
void udp_trackers_free(struct udp_trackers *u);	/* cancels its jobs */

/* The callback never comes from here, but from resolver_run and
 * udp_trackers_run. */
struct udp_job *udp_trackers_start(struct udp_trackers *u,
				   const struct udp_job_config *config,
				   struct error *e);
void udp_trackers_cancel(struct udp_trackers *u, struct udp_job *job);
/* Has the announce itself been sent, at least once? */
bool udp_trackers_sent(const struct udp_job *job);

#define UDP_TRACKERS_FDS 2
size_t udp_trackers_fds(const struct udp_trackers *u,
			struct pollfd out[UDP_TRACKERS_FDS]);
/* Receives what has come and sends what is due. */
void udp_trackers_run(struct udp_trackers *u, int64_t now);
int64_t udp_trackers_due(const struct udp_trackers *u);

#endif
