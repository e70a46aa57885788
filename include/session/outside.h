/*
 * outside: what the router did for our port, for the main thread.
 *
 * The router is asked once there is something to be reached for: a run that
 * finds everything complete touches no network.  What it says comes from
 * another thread, is kept here, and wakes the main one.
 *
 * Ownership: wake and log are borrowed.
 * Threads:   main.
 */
#ifndef BTGET_SESSION_OUTSIDE_H
#define BTGET_SESSION_OUTSIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "net/portmap.h"

struct outside;
struct iface;
struct wake;

/* The route may be NULL.  NULL: no memory, or no thread; one can do
 * without. */
struct outside *outside_new(uint16_t port, const struct iface *route,
			    struct wake *wake, struct log *log);

/* Gives the port back; to wait for that takes PORTMAP_STOP_MS at most. */
void outside_hurry(struct outside *o);	/* see net/portmap */
void outside_stop(struct outside *o);
void outside_free(struct outside *o);	/* waits */

/* True when there is something new. */
bool outside_news(struct outside *o, struct portmap_news *out);

#endif
