/*
 * tracker_conn: a tracker's HTTP connections.
 *
 * Each is in one of three phases: it waits for a request, it sends the
 * answer, or it waits for the client to close.  No phase may last longer
 * than TRACKER_CONN_PHASE_S however slowly bytes trickle, so that the order
 * in which phases began is also that of the deadlines.  When the table is
 * full, the connection whose phase began first goes.
 *
 * Ownership: the service is borrowed.  One thread.
 */
#ifndef BTGET_SESSION_TRACKER_CONN_H
#define BTGET_SESSION_TRACKER_CONN_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "session/tracker_service.h"

#define TRACKER_CONN_MAX 256
#define TRACKER_CONN_PHASE_S 10

struct tracker_conns;

/* `max` is at most TRACKER_CONN_MAX; NULL: no memory. */
struct tracker_conns *tracker_conns_new(struct tracker_service *s,
					size_t max);
void tracker_conns_free(struct tracker_conns *c);

/* Takes what waits on a listening socket.  False if the process or system
 * has no room for more: try again later. */
bool tracker_conns_accept(struct tracker_conns *c, int fd, int64_t now);

/* What to poll for: one entry for each connection, their count returned.
 * tracker_conns_serve gets the same array back, with nothing in between. */
size_t tracker_conns_poll(const struct tracker_conns *c, struct pollfd *out);
void tracker_conns_serve(struct tracker_conns *c, const struct pollfd *in,
			 int64_t now);

/* Closes what is overdue; returns the next deadline, or CLOCK_NEVER. */
int64_t tracker_conns_expire(struct tracker_conns *c, int64_t now);

#endif
