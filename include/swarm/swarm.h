/*
 * swarm: what all connections of one torrent share.
 *
 * Ownership: the session's torrent owns all of it; it outlives the peers.
 * Threads:   the modules behind the pointers lock themselves; events are
 *            called from the threads of peers and web seeds and from the one
 *            that writes, with no lock held, and must be quick.
 */
#ifndef BTGET_SWARM_SWARM_H
#define BTGET_SWARM_SWARM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"
#include "base/log.h"

struct blame;
struct files;
struct loads;
struct hashes;
struct hasher;
struct havelog;
struct layers;
struct metadata;
struct metainfo;
struct peer;
struct picker;
struct pex_peer;
struct ratelimit;
struct rc4_library;
struct superseed;
struct verify_v2;

struct swarm_events {
	void *ctx;

	/* The handshake is done: may it stay?  Not if it is ourselves, or
	 * connected already, or has no place; *why is then for the log. */
	bool (*admit)(void *ctx, struct peer *p, const char **why);

	/* A piece is verified: everyone is told in good time. */
	void (*piece)(void *ctx, uint32_t piece);

	/* Blocks became free: peers that found none may look again. */
	void (*blocks_free)(void *ctx);

	/* Another peer was quicker with a block that these asked for. */
	void (*outrun)(void *ctx, const uint32_t *ids, size_t n);

	/* The address behind this key sent bad data. */
	void (*ban)(void *ctx, uint64_t source, uint32_t piece);

	/* Who wants data from us has changed: the choker looks again. */
	void (*interest)(void *ctx);

	/* Peer exchange: up to max of the connected peers that can be reached
	 * by the one with this id, but for itself; and peers that this one
	 * told. */
	size_t (*connected)(void *ctx, uint32_t id, struct pex_peer *out,
			    size_t max);
	void (*found)(void *ctx, uint32_t id, const struct pex_peer *peers,
		      size_t n);

	/* Hole punching (BEP 55): p wants to meet the peer at this address.
	 * That one was told, and *where is what p is to be told; or why not,
	 * an enum holepunch_error.  And: p says that we are to connect to this
	 * address, by uTP and at once. */
	uint32_t (*introduce)(void *ctx, struct peer *p,
			      const struct addr *target, struct addr *where);
	void (*punch)(void *ctx, struct peer *p, const struct addr *to);

	/* A connection hangs, see peer_view: the torrent looks whether the
	 * other side answers a new call. */
	void (*hangs)(void *ctx);

	/* A peer says that it is a node of the DHT, at this address. */
	void (*dht_node)(void *ctx, const struct addr *node);

	/* The info dictionary is whole, or the piece layers (magnet links). */
	void (*metadata)(void *ctx);

	/* The disk failed: the torrent cannot go on. */
	void (*storage)(void *ctx, const struct error *e);

	/* The thread is about to end, and can be joined. */
	void (*ended)(void *ctx, struct peer *p);
};

/*
 * A torrent that is known by its hash alone is not `ready`: its peers give
 * metadata and nothing else, and what they say of their pieces is kept as it
 * came.  What stands from meta to blame is made before it becomes ready.
 */

/* Versions of the protocol that a torrent has a hash of. */
#define SWARM_V1 1u
#define SWARM_V2 2u		/* BEP 52 */

struct swarm {
	/* What it is known by; metadata may tell of another one later. */
	_Atomic unsigned versions;	/* whose hashes are set */
	uint8_t hash_v1[20];
	uint8_t hash_v2[20];		/* cut short */
	struct metadata *metadata;	/* NULL: not needed */
	struct layers *_Atomic layers;	/* NULL: not needed, or not yet */
	_Atomic bool ready;
	const struct metainfo *meta;
	struct files *files;
	struct picker *picker;
	struct hasher *hasher;
	struct verify_v2 *v2;		/* NULL: no v2 half */
	struct hashes *hashes;		/* the same */
	struct loads *loads;		/* of those who are fast */
	struct havelog *havelog;
	struct blame *blame;
	struct ratelimit *down;		/* of the whole session */
	struct ratelimit *up;
	const struct rc4_library *rc4;	/* NULL: no encrypted handshakes */
	unsigned methods;		/* that encrypted ones may end in */
	struct log *log;
	const char *_Atomic name;	/* for the log */
	uint8_t peer_id[20];
	_Atomic uint16_t port;		/* where others reach us over IPv4, */
	_Atomic uint16_t port6;		/* and over IPv6; 0: nowhere */
	_Atomic unsigned peers;		/* that shook hands */
	bool use_pex;
	bool use_holepunch;		/* set before the first connection */
	_Atomic bool private;		/* as is known by now */
	_Atomic uint16_t dht_port;	/* of our node of the DHT; 0: none */
	struct superseed *_Atomic superseed;	/* while we seed; or NULL */
	struct swarm_events events;

	_Atomic bool complete;		/* nothing more is wanted */
	_Atomic uint64_t downloaded;	/* payload */
	_Atomic uint64_t uploaded;
	_Atomic uint64_t wasted;	/* payload that was not needed, or bad */
};

#endif
