/*
 * tracker_server: a small tracker of one's own, for private swarms and tests.
 *
 * It answers announce and scrape over HTTP and UDP, by IPv4 and IPv6, all on
 * one port, and forgets everything when it ends.  A peer's address is what
 * its packets come from; only a client on loopback may name another one
 * (`ip=`, or the address field of UDP).  Peers are dropped two intervals,
 * at least 11 minutes, after their last announce.  `/announce` and `/scrape`
 * are the only paths over HTTP beside `/` (counts in plain text); over UDP
 * the path that BEP 41 carries does not matter.
 *
 * Bounds:    8,192 torrents, 65,536 peers, 8,192 of one torrent, 256 HTTP
 *            connections of at most 10 s a request and 8 KiB a request head.
 *            Memory stays below 32 MiB, and the allow list (20 bytes a
 *            torrent) on top of it.
 * Threads:   none of its own.  One thread makes it and runs it; the wake may
 *            be woken from any thread or from a signal handler.
 * Source:    BEP 3, 7, 15, 21, 23, 41, 48.
 */
#ifndef BTGET_SESSION_TRACKER_SERVER_H
#define BTGET_SESSION_TRACKER_SERVER_H

#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "base/sync.h"

#define TRACKER_SERVER_PORT 6969
#define TRACKER_SERVER_INTERVAL_S 600
#define TRACKER_SERVER_INTERVAL_MAX_S 86400

struct tracker_server_config {
	uint16_t port;		/* 0: any free one */
	const char *bind;	/* a numeric address; NULL: all of both kinds */
	uint32_t interval_s;	/* between announces; 1 to the maximum */
	const char *allow_file;	/* info hashes to serve; NULL: every torrent */
	struct log *log;	/* may be NULL */
};

struct tracker_server;

/* The values that hold when no option is given. */
void tracker_server_defaults(struct tracker_server_config *c);

/* Reads the allow list and listens; what the config points to is borrowed
 * for the call, but the log for the server's life.  ERROR_USAGE: a bad
 * address, interval or allow list; ERROR_NETWORK: it cannot listen. */
struct tracker_server *
tracker_server_new(const struct tracker_server_config *c, struct error *e);
void tracker_server_free(struct tracker_server *t);

/* The port it listens on, TCP and UDP alike. */
uint16_t tracker_server_port(const struct tracker_server *t);

/* Serves until `stop` is woken: 0 then (the wake is left undrained), -1 if
 * it cannot go on. */
int tracker_server_run(struct tracker_server *t, struct wake *stop,
		       struct error *e);

#endif
