/*
 * peer_parts: the inside of a peer, for the files that make up its loop:
 * peer.c (life, the wait), peer_shake.c (the handshake), peer_in.c (what
 * comes), peer_have.c (which pieces it has), peer_chatter.c (what of it brings
 * nothing), peer_buffer.c (into what), peer_out.c (what goes), peer_serve.c
 * (blocks that go), peer_meta.c (metadata), peer_point.c (which pieces it is
 * pointed to), peer_hashes.c (v2), peer_pex.c (peer exchange),
 * peer_holepunch.c (who is to meet whom), peer_path.c (the way to it).
 *
 * Everything here belongs to the peer's thread, but for what is marked
 * shared: atomics that others read, and orders that they write.
 */
#ifndef BTGET_SWARM_PEER_PARTS_H
#define BTGET_SWARM_PEER_PARTS_H

#include <stdatomic.h>

#include "base/bitfield.h"
#include "base/bytes.h"
#include "base/sync.h"
#include "net/stream.h"
#include "meta/metainfo.h"
#include "swarm/asking.h"
#include "swarm/holepunch.h"
#include "swarm/intake.h"
#include "swarm/layers.h"
#include "swarm/loads.h"
#include "swarm/peer.h"
#include "swarm/picker.h"
#include "swarm/pipeline.h"
#include "swarm/wire.h"

/* Two blocks and their headers, and a little: one recv takes two blocks. */
#define PEER_IN_SIZE (2 * (WIRE_BLOCK_MAX + WIRE_PIECE_HEADER) + 256)
#define PEER_RUN_MAX 4		/* blocks of it, written together */
#define PEER_OUT_MAX (METAINFO_PIECES_MAX / 8 + 64 * 1024)	/* a bitfield */
#define PEER_ROUND_SIZE 4096	/* of messages, made at a time */
#define PEER_REQQ 2000			/* requests of a peer that we hold */
#define PEER_ALLOWED_FAST 10		/* BEP 6 */
#define PEER_ALLOWED_IN_MAX 32
#define PEER_EARLY_MAX (METAINFO_PIECES_MAX / 8)
#define PEER_PEX_MAX 200	/* peers that one is told of */
#define PEER_META_ASKS 4	/* metadata blocks asked for at a time */
#define PEER_META_REJECTS 16	/* asked of us in vain, not yet told */
#define PEER_HASH_SERVES 64	/* hashes asked of us and not yet sent */
#define PEER_HASH_ASKS 8	/* we ask for at a time */
#define PEER_WORDS_MAX 8	/* of hole punching, not yet said */

/* A block that the peer asked for. */
struct peer_ask {
	uint32_t piece;
	uint32_t offset;
	uint32_t length;
	bool reject;		/* to be refused, in its turn */
};

/* A block that we asked the peer for. */
struct peer_flight {
	struct block block;
	uint32_t at_us;		/* when, in microseconds, wrapping */
};

struct peer {
	struct swarm *swarm;
	uint32_t id;
	int fd;
	struct addr addr;
	bool incoming;
	bool v2;		/* by the v2 hash (BEP 52); set before admit */
	bool encrypted;		/* by an encrypted handshake */
	bool utp;		/* and not TCP */
	bool nudged;		/* see peer_nudge */
	struct mse *mse;	/* until the thread has begun with it */
	unsigned method;	/* set before admit */
	struct stream stream;
	uint64_t source;
	struct thread thread;
	struct wake wake;
	int64_t connected_at;

	/* Shared: orders. */
	_Atomic bool stop;
	_Atomic bool order_unchoke;
	_Atomic bool woken;		/* peer_wake was called */
	_Atomic bool unheard;		/* uTP: nothing that it says arrives */

	/* Shared: written by the thread. */
	_Atomic bool admitted;
	_Atomic bool ended;
	_Atomic bool idle;		/* waits for blocks to become free */
	_Atomic bool interested;	/* it, in us */
	_Atomic bool interesting;	/* what we told it last */
	_Atomic bool choking_us;
	_Atomic bool choked;		/* what we told it last */
	_Atomic bool seed;
	_Atomic bool upload_only;
	_Atomic bool holepunch;		/* it takes these messages */
	_Atomic bool snubbed;
	_Atomic bool hangs;
	_Atomic bool gave_facts;	/* metadata or layers of hashes */
	_Atomic uint64_t downloaded;
	_Atomic uint64_t uploaded;
	_Atomic uint64_t acked;		/* TCP: bytes of all kinds */
	_Atomic int64_t queue_delay;	/* see struct peer_view */
	_Atomic int64_t path_at;
	_Atomic bool far;
	_Atomic bool lags;		/* see struct peer_view */
	_Atomic size_t told;		/* cursor in the have log */
	_Atomic uint16_t listen_port;	/* its own word; 0: none */
	_Atomic int end;		/* enum peer_end */

	struct handshake remote;	/* set before admit */
	bool suggests;		/* pieces to us */
	bool told_node;		/* its node of the DHT */
	struct extension_handshake said;	/* by the peer */
	bool said_hello;	/* the same, has come */
	bool told_upload_only;	/* by us, in the extension handshake */
	bool got_pieces;	/* bitfield, have all, have none, or a HAVE */
	bool said_all;		/* have all: counts once */
	bool look_around;	/* woken: cancels, new pieces, orders */
	bool check_interest;
	size_t looked_at;	/* of the have log, for that */
	int64_t tell_at;	/* of pieces, no sooner than this */
	int64_t now;		/* of this turn of the loop */

	/* What comes. */
	uint8_t *in;
	size_t in_size;
	size_t in_used;
	size_t in_wanted;	/* of the message at the front, when known */
	int in_full;		/* receives in a row that filled it; of one
				 * that is fast: that brought little */
	struct load_part run[PEER_RUN_MAX];	/* accepted, not yet written */
	size_t run_used;
	struct load *load;	/* or NULL: what `in` is, for now */
	uint8_t *in_own;	/* meanwhile: the peer's own buffer */
	size_t in_own_size;
	bool fast;		/* receives into loads */
	struct load_seeker seeker;
	bool in_more;		/* the last recv was full: try again at once */
	int64_t recv_at;	/* the rate limit's word, or pipeline_rest's */
	int64_t burst_until;	/* what came in a rest is being received */
	int64_t heard_at;	/* or, under a limit, may be read from again */
	int64_t silence_at;	/* when to look at its silence again */

	/* What goes. */
	struct buffer out;
	size_t out_sent;
	bool out_blocked;	/* wait for POLLOUT */
	bool out_more;		/* there is more to serve at once */
	int64_t said_at;
	int64_t moved_at;	/* the socket last took something */

	/* Asking. */
	struct picker_peer *pp;
	struct pipeline pipeline;
	struct peer_flight *flight;	/* oldest first, from flight_first */
	size_t flight_first;
	size_t flight_used;
	size_t flight_size;
	int64_t block_at;	/* the last block came, or the wait began */
	int64_t ask_again_at;	/* nothing to ask for before this */
	bool ran_short;		/* fewer blocks were left than it could take */
	unsigned rejected;	/* in a row */
	bool in_vain;		/* asked, and no block came since */
	uint64_t blocks_asked;	/* in all, and */
	uint64_t blocks_came;	/* wanted or not */
	uint64_t rejects_came;	/* the same */
	int64_t chatter_until;	/* what brings nothing is paid for */
	uint32_t allowed_in[PEER_ALLOWED_IN_MAX];
	size_t allowed_in_count;

	/* Serving. */
	struct peer_ask *asks;	/* a ring of PEER_REQQ, or smaller */
	size_t asks_head;
	size_t asks_used;
	size_t asks_size;
	struct peer_ask body;	/* being sent */
	uint32_t body_left;
	size_t send_credit;	/* reserved from the rate limit */
	int64_t send_at;	/* and may flow from then on, */
	uint64_t send_rate;	/* if the rate is still this one */
	uint64_t paced_for;	/* a limit that the socket was told */
	int64_t delay_at;	/* queue_delay was measured */
	int64_t given_until;	/* what was given beside blocks is paid for */
	uint32_t allowed_out[PEER_ALLOWED_FAST];
	size_t allowed_out_count;
	uint64_t allowed_left;	/* bytes of them, while it is choked */

	/* Metadata, and what was said before it was known. */
	uint8_t *early;		/* a bitfield of unknown length */
	size_t early_size;
	bool early_all;
	bool early_any;
	struct patience meta_patience;
	int64_t meta_retry;	/* nothing to ask for before this */
	struct bitfield meta_serve;	/* blocks to be sent; empty at first */
	size_t meta_serves;	/* so many */
	uint32_t meta_reject[PEER_META_REJECTS];	/* not ours to give */
	size_t meta_rejects;

	/* Pointing it to pieces that nobody has. */
	struct superseed_peer *sp;
	bool hiding;		/* it was told that we have nothing */
	bool hinted;		/* since it was unchoked */
	uint32_t unveiled;	/* pieces told since that was over */
	uint32_t asked_piece;	/* the last one it asked for */

	/* Hashes (v2). */
	struct wire_hashes *hash_asks;	/* PEER_HASH_SERVES, or NULL */
	size_t hash_serves;
	bool hash_reads;	/* takes reads, what is */
	uint32_t hash_paid;	/* reserved for the first of them, which */
	int64_t hash_at;	/* may be answered from then on */
	struct layers_source hash_from;
	struct patience hash_patience;
	int64_t hash_retry;	/* nothing to ask for before this */

	/* Peer exchange. */
	struct pex_peer *pex_told;
	size_t pex_count;
	int64_t pex_at;		/* the next message; 0: the first */
	int64_t pex_heard_at;
	int64_t pex_paid;	/* what was heard is paid for */

	/* Hole punching: shared, what others have it told. */
	struct mutex words_lock;
	struct holepunch words[PEER_WORDS_MAX];	/* guarded by words_lock */
	size_t word_count;	/* guarded by words_lock */
	int64_t words_paid;	/* guarded by words_lock */
	_Atomic bool has_words;
	/* And the thread's own: the peer's budgets, see clock_allow. */
	int64_t asks_paid;
	int64_t calls_paid;

	char why[160];		/* it ends */
};

/* Notes why the connection ends; returns -1. */
int peer_end(struct peer *p, enum peer_end end, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* peer_shake.c: the handshake; -1: none came of it. */
int peer_shake_hands(struct peer *p);

/* peer_in.c: reads what there is and acts on it; -1: the end. */
int peer_receive(struct peer *p);

/* The oldest request in flight, if there is one. */
static inline struct peer_flight *
peer_flight_oldest(const struct peer *p)
{
	return p->flight + p->flight_first;
}

/* The requests in flight; true if the very block was one of them. */
bool peer_flight_remove(struct peer *p, const struct block *b,
			uint32_t *age_us);
/* When the oldest one is waited for no longer. */
int64_t peer_flight_due(const struct peer *p);
/* Gives blocks back to the picker and tells others. */
void peer_give_back(struct peer *p, size_t freed);

/* peer_have.c: have, bitfield, have all, have none; and what it has no more
 * (BEP 54); -1: the end. */
int peer_have_take(struct peer *p, const struct wire_message *m);
int peer_have_lost(struct peer *p, const struct wire_message *m);

/* peer_chatter.c: does the message bring nothing; then that many bytes of it
 * are let pass, or not (-1: the end). */
bool peer_is_chatter(const struct peer *p, const struct wire_message *m);
int peer_count_chatter(struct peer *p, size_t size);

/* peer_buffer.c: room for the message at the front, whatever its size, which
 * wire_parse has judged already; -1: the end. */
int peer_fit_buffer(struct peer *p);
/* A receive brought this much: who fills the buffer again and again receives
 * into loads, as long as it brings much. */
void peer_judge_speed(struct peer *p, size_t got, bool full);
void peer_slow_down(struct peer *p);
/* The beginning of the buffer was acted on; in_used bytes are left. */
void peer_keep_rest(struct peer *p, size_t at);
/* Takes a load, if it is fast; false: it stands in line for one. */
bool peer_take_load(struct peer *p);
/* Gives it away: blocks are written, the rest goes into the own buffer; -1:
 * the end. */
int peer_give_load(struct peer *p);

/* peer_out.c: says what there is to say, as far as the socket takes it. */
int peer_send(struct peer *p);
/* When there will be something to say without anything coming first. */
int64_t peer_send_due(const struct peer *p);
void peer_put_hello(struct peer *p);
void peer_say_index(struct peer *p, enum wire_id id, uint32_t piece);

/* Says a word that means nothing, before long. */
void peer_say_alive(struct peer *p);
/* The same, if it has not been done and may matter. */
void peer_nudge(struct peer *p);

/* What came of sending: n bytes, or -1 and errno; -1: the end. */
int peer_took(struct peer *p, ssize_t n);
/* It takes no more for now; so does an encrypted stream that holds on to
 * something. */
void peer_note_blocked(struct peer *p);
void peer_took_all(struct peer *p);

/* peer_serve.c: the peer's requests. */
int peer_ask_add(struct peer *p, const struct wire_message *m);
/* False: there was nothing to cancel. */
bool peer_ask_cancel(struct peer *p, const struct wire_message *m);
/* What was asked for before a choke is refused (Fast), or forgotten. */
void peer_refuse_asks(struct peer *p);
/* Refusals up to the next block that is to be sent; then its header, from the
 * rate limit's moment on.  True when a body follows. */
bool peer_put_next_ask(struct peer *p);
/* Gives what was reserved and has not flowed back to the rate limit. */
void peer_return_credit(struct peer *p);
/* Metadata and hashes: does the rate limit allow any?  So much goes. */
bool peer_may_give(const struct peer *p);
void peer_note_given(struct peer *p, size_t size);
/* One step of the body. */
int peer_send_body(struct peer *p);
/* Several blocks in one call, where that may be: how many, perhaps the last
 * in part; 0: they must go one by one; -1: the end. */
int peer_send_batch(struct peer *p);

/* peer_meta.c: metadata, both ways, and the time before it is known. */
int peer_meta_begin(struct peer *p);	/* it is known: join in */
int peer_meta_early(struct peer *p, const struct wire_message *m);
int peer_meta_take(struct peer *p, const struct wire_message *m);
void peer_meta_put(struct peer *p);
void peer_meta_leave(struct peer *p);
/* Does it want nothing more, by what it has told so far? */
void peer_meta_judge(struct peer *p);

/* peer_point.c: which pieces it is pointed to, while we seed. */
void peer_point_begin(struct peer *p);	/* before the first words */
void peer_point_have(struct peer *p, uint32_t piece);
void peer_point_look(struct peer *p);	/* it told of many pieces */
void peer_point_asked(struct peer *p, uint32_t piece);
bool peer_point_hidden(const struct peer *p, uint32_t piece);
int64_t peer_point_due(const struct peer *p);
void peer_point_put(struct peer *p);
void peer_point_leave(struct peer *p);

/* peer_hashes.c: hashes of v2 trees, both ways. */
int peer_hashes_take(struct peer *p, const struct wire_message *m);
void peer_hashes_put(struct peer *p);
int64_t peer_hashes_due(const struct peer *p);
void peer_hashes_leave(struct peer *p);

/* peer_pex.c: whom else we are connected to. */
bool peer_pex_on(const struct peer *p);
int64_t peer_pex_due(const struct peer *p);
void peer_pex_put(struct peer *p);
int peer_pex_take(struct peer *p, const struct wire_message *m);

/* peer_holepunch.c: who is to meet whom. */
bool peer_holepunch_on(const struct peer *p);
void peer_holepunch_put(struct peer *p);
void peer_holepunch_take(struct peer *p, const struct wire_message *m);

/* peer_path.c: looks at it now and then, and when peer_path_due says; and
 * whether anything arrives, while it is its turn and says nothing, at the
 * latest when peer_silence_due says. */
void peer_look_at_path(struct peer *p);
int64_t peer_path_due(const struct peer *p);
/* Tells the socket how fast to send, if the limit of upload has changed. */
void peer_pace(struct peer *p);
void peer_mind_silence(struct peer *p);
int64_t peer_silence_due(const struct peer *p);
/* It was closed, then. */
bool peer_ended_in_silence(const struct peer *p);

/* A message of an extension, whose payload is this. */
void peer_put_extended(struct peer *p, uint8_t id, const struct buffer *data);

#endif
