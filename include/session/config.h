/*
 * config: what a session is asked to do.  Each field is set by an option of
 * the download verb; the table in cli/options says which.
 *
 * Ownership: all strings and arrays belong to whoever filled this in and
 * must outlive the session, which only reads.
 * Units: bytes, bytes a second, nanoseconds.
 */
#ifndef BTGET_SESSION_CONFIG_H
#define BTGET_SESSION_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum session_allocation {
	ALLOCATION_NONE,	/* files grow, and free space is not looked at */
	ALLOCATION_SPARSE,	/* space is taken as data comes */
	ALLOCATION_FULL,	/* reserved before the first byte */
};

enum session_encryption {
	ENCRYPTION_PREFER,	/* encrypted handshakes first, then plain */
	ENCRYPTION_REQUIRE,	/* nothing is plain, either way */
	ENCRYPTION_OFF,
};

struct session_peer {
	char host[256];		/* a name or a numeric address */
	uint16_t port;
};

struct session_config {
	/* data */
	const char *dir;
	const char *watch;	/* a folder of torrents to come, or NULL */
	const char *files;	/* a list, see meta/selection; NULL: all */
	bool check;		/* verify all, whatever the state vouches for */
	enum session_allocation allocation;
	bool sequential;	/* pieces in order */

	/* network; the first free port of the range, 0 to 0 is any */
	uint16_t port_min;
	uint16_t port_max;
	unsigned max_peers;	/* of each torrent */
	const struct session_peer *peers;
	size_t peer_count;
	uint64_t down_limit;	/* 0: none */
	uint64_t up_limit;
	enum session_encryption encryption;
	const char *interface;	/* all leaves by it alone; or NULL */
	const char *proxy;	/* a URL, maybe with a password; or NULL */
	const char *blocklist;	/* a file, or NULL */
	bool use_dht;
	const struct session_peer *dht_nodes;	/* not the public routers */
	size_t dht_node_count;
	const char *cache;	/* a folder of ours, or NULL */
	bool use_pex;
	bool use_lsd;
	bool use_utp;
	bool use_portmap;
	bool use_webseed;

	/* commands for the shell, or NULL */
	const char *on_complete;
	const char *on_error;

	/* when to end; seeding ends with whichever is reached first */
	double seed_ratio;	/* negative: not given */
	int64_t seed_time_ns;	/* negative: not given */
	bool super_seed;	/* the first seed: shows pieces one by one */
	int64_t stall_timeout_ns;	/* 0: never */
	int64_t deadline_ns;		/* after the start; 0: never */
};

/* What the download does when no option is given. */
void session_config_init(struct session_config *c);

/* Can it be an interface, a proxy?  ERROR_USAGE in words that show no
 * password. */
int session_config_interface(const char *text, struct error *e);
int session_config_proxy(const char *text, struct error *e);

#endif
