/*
 * peer: one connection, one thread, one loop that reads from top to bottom.
 *
 * The thread waits in one place, a poll on its socket and its wake fd, and
 * in between runs straight through: it takes what has come, and writes what
 * there is to say as far as the socket takes it.  What to say is looked up
 * at that moment (interest, verified pieces since the last look, requests up
 * to the pipeline's depth, rejects, asked-for blocks), so that no message
 * waits in a queue and no other thread touches the socket.
 *
 * Memory: a buffer of two blocks for what comes (or of a longer message, while
 * one comes), descriptors of requests (never data) for what goes.
 *
 * Ownership: whoever starts a peer joins and frees it after events.ended.
 * Threads:   peer_* functions here are for other threads than the peer's.
 */
#ifndef BTGET_SWARM_PEER_H
#define BTGET_SWARM_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"
#include "swarm/extension.h"
#include "swarm/swarm.h"

struct holepunch;
struct mse;
struct peer;

struct peer_start {
	struct swarm *swarm;
	uint32_t id;		/* of the connection, unique in the run */
	int fd;			/* connected, non-blocking; taken over */
	struct addr addr;
	bool incoming;
	bool encrypt;		/* outgoing: begin with the encrypted try */
	bool v2;		/* outgoing: it is known by the v2 hash */
	struct mse *mse;	/* incoming, encrypted: done; taken over */
	uint64_t source;	/* the key of its address, for blame */
};

/* Starts the thread.  On failure the descriptor is closed all the same. */
struct peer *peer_new(const struct peer_start *start, struct error *e);

/* Asks the thread to end; it does so at once. */
void peer_stop(struct peer *p);

/* Joins the thread and frees all. */
void peer_free(struct peer *p);

/* Has it look around: at new pieces, free blocks, cancels, orders. */
void peer_wake(struct peer *p);

/* The choker's word; the thread acts on it. */
void peer_order_unchoke(struct peer *p, bool unchoke);

/* How a connection came to its end. */
enum peer_end {
	PEER_END_NONE,		/* it has not */
	PEER_END_STOPPED,	/* we wanted it */
	PEER_END_CLOSED,	/* closed by the other side, or timed out */
	PEER_END_REFUSED,	/* no handshake came of it */
	PEER_END_OURSELVES,
	PEER_END_BROKE,		/* it broke the protocol */
};

struct peer_view {
	uint32_t id;
	struct addr addr;
	bool incoming;
	bool encrypted;		/* its handshake was, or was to be */
	bool utp;
	bool admitted;		/* the handshake is done */
	bool interested;	/* it, in us */
	bool interesting;	/* it, for us */
	bool choking_us;
	bool ordered_unchoke;	/* the last order */
	bool seed;
	bool upload_only;	/* a seed, or says that it wants nothing */
	bool holepunch;		/* it takes ut_holepunch (BEP 55) */
	bool snubbed;
	bool hangs;		/* it is its turn, but nothing comes, and
				 * nothing that we say arrives; or it ended
				 * in such a silence */
	bool useful;		/* a seed, or something went by it: payload,
				 * metadata, layers of hashes */
	bool ended;
	uint64_t downloaded;	/* payload */
	uint64_t uploaded;
	uint64_t acked;		/* TCP: of all bytes sent */
	int64_t queue_delay;	/* TCP: what queues on the way add to the
				 * round trip, ns; -1: not known, or the peer
				 * is in our own network */
	bool far;		/* TCP: it is not in our own network */
	int64_t path_at;	/* when these were looked at */
	bool lags;		/* TCP: it takes less than the way to it
				 * would carry */
	int64_t connected_at;	/* clock_ns */
	size_t told;		/* how far in the have log it has been told */
	enum peer_end end;
};

void peer_look(const struct peer *p, struct peer_view *out);

/* Valid from events.admit on. */
const uint8_t *peer_remote_id(const struct peer *p);
uint32_t peer_id_number(const struct peer *p);
uint64_t peer_source(const struct peer *p);
const struct addr *peer_addr(const struct peer *p);
bool peer_incoming(const struct peer *p);
/* The method behind an encrypted handshake: MSE_PLAIN or MSE_RC4; or 0. */
unsigned peer_method(const struct peer *p);
/* Is it about the v2 hash?  Then the peer knows that. */
bool peer_by_v2(const struct peer *p);

bool peer_utp(const struct peer *p);

/* Where it listens, as far as known: its own word, or where we dialled. */
struct addr peer_listen_addr(const struct peer *p);
/* Where it can be called by uTP, or port 0: what its router has opened to us
 * when it came by uTP, else where it listens. */
struct addr peer_utp_addr(const struct peer *p);

/* Has it told this, soon.  False when it does not know the extension, or was
 * told too much of late.  For any thread. */
bool peer_say_holepunch(struct peer *p, const struct holepunch *m);

/* uTP: nothing that it says arrives any more, or again. */
void peer_note_unheard(struct peer *p, bool unheard);

/* Does it wait for blocks to become free? */
bool peer_is_idle(const struct peer *p);

/* Sets it apart as a connection to ourselves; only from events.admit. */
void peer_set_ourselves(struct peer *p);

#endif
