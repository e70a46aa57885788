/*
 * peer_rig: a small torrent in a folder of its own with all that a peer
 * needs, and the far end of its connection, to be scripted.
 *
 * Everything is real but the session: its events are counted.  Each wait has
 * a deadline of RIG_PATIENCE_S, after which the test is over.
 */
#ifndef BTGET_TEST_PEER_RIG_H
#define BTGET_TEST_PEER_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/sync.h"
#include "meta/merkle.h"
#include "meta/metainfo.h"
#include "net/ratelimit.h"
#include "store/files.h"
#include "store/folder.h"
#include "store/layout.h"
#include "swarm/blame.h"
#include "swarm/hasher.h"
#include "swarm/hashes.h"
#include "swarm/havelog.h"
#include "swarm/intake.h"
#include "swarm/peer.h"
#include "swarm/picker.h"
#include "swarm/swarm.h"
#include "swarm/verify_v2.h"
#include "swarm/wire.h"

#define RIG_PATIENCE_S 10
#define RIG_HASH "an info hash, 20 byte"	/* the first 20 of it */
#define RIG_HASH_V2 "the v2 hash, 20 bytes"
#define RIG_PIECE (2 * WIRE_BLOCK_MAX)
#define RIG_LENGTH (4 * RIG_PIECE + 1000)	/* 5 pieces, 9 blocks */
#define RIG_PIECES 5
#define RIG_BLOCKS 9
#define RIG_NAME "data"

#define MUST(x)                                                             \
	do {                                                                \
		if (!(x)) {                                                 \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__,  \
				#x);                                        \
			abort();                                            \
		}                                                           \
	} while (0)

struct rig {
	struct metainfo meta;
	struct metainfo_file file;
	struct metainfo_tree tree;
	uint8_t root[SHA256_SIZE];
	uint8_t *layer;
	uint8_t *bytes;
	uint8_t *digests;
	struct layout *layout;
	struct folder folder;
	char dir[64];
	struct ratelimit unlimited;
	struct swarm swarm;
	struct peer *peer;

	bool by_v2;		/* dials by the v2 hash */
	bool ipv6;		/* that is where the peer is */
	struct mse *mse;	/* or NULL: what it came in by, done */
	bool refuse;		/* admission */
	bool ourselves;

	struct mutex lock;
	struct cond changed;
	/* All below: lock. */
	unsigned admitted;
	unsigned pieces;
	unsigned freed;
	unsigned interest;
	unsigned storage;
	unsigned ended;
	unsigned bans;
	uint64_t banned;	/* the last one */
};

/* ---- events ---- */

static inline void
rig_count(struct rig *r, unsigned *what)
{
	mutex_lock(&r->lock);
	(*what)++;
	cond_broadcast(&r->changed);
	mutex_unlock(&r->lock);
}

static inline bool
rig_admit(void *ctx, struct peer *p, const char **why)
{
	struct rig *r = ctx;

	*why = "refused";
	if (r->ourselves)
		peer_set_ourselves(p);
	if (r->ourselves || r->refuse)
		return false;
	rig_count(r, &r->admitted);
	return true;
}

static inline void
rig_on_piece(void *ctx, uint32_t piece)
{
	struct rig *r = ctx;

	(void)piece;
	rig_count(r, &r->pieces);
}

static inline void
rig_on_free(void *ctx)
{
	struct rig *r = ctx;

	rig_count(r, &r->freed);
}

static inline void
rig_on_outrun(void *ctx, const uint32_t *ids, size_t n)
{
	(void)ctx;
	(void)ids;
	(void)n;
}

static inline void
rig_on_ban(void *ctx, uint64_t source, uint32_t piece)
{
	struct rig *r = ctx;

	(void)piece;
	mutex_lock(&r->lock);
	r->banned = source;
	mutex_unlock(&r->lock);
	rig_count(r, &r->bans);
}

static inline void
rig_on_interest(void *ctx)
{
	struct rig *r = ctx;

	rig_count(r, &r->interest);
}

static inline void
rig_on_storage(void *ctx, const struct error *e)
{
	struct rig *r = ctx;

	(void)e;
	rig_count(r, &r->storage);
}

static inline void
rig_on_hangs(void *ctx)
{
	(void)ctx;
}

static inline void
rig_on_ended(void *ctx, struct peer *p)
{
	struct rig *r = ctx;

	(void)p;
	rig_count(r, &r->ended);
}

/* Waits until it was counted n times. */
static inline void
rig_await(struct rig *r, const unsigned *what, unsigned n)
{
	int64_t until = clock_ns() + RIG_PATIENCE_S * CLOCK_S;

	mutex_lock(&r->lock);
	while (*what < n)
		MUST(cond_wait(&r->changed, &r->lock, until));
	mutex_unlock(&r->lock);
}

/* ---- the torrent ---- */

static inline int
rig_read_back(void *ctx, uint32_t piece, uint32_t offset, void *buf, size_t n,
	      struct error *e)
{
	struct rig *r = ctx;

	return files_read(r->swarm.files,
			  (uint64_t)piece * r->meta.piece_length + offset, buf,
			  n, e);
}

static inline void
rig_torrent(struct rig *r, uint32_t piece_length, uint64_t length)
{
	struct metainfo *m = &r->meta;

	m->has_v1 = true;
	memcpy(m->hash_v1, RIG_HASH, SHA1_SIZE);
	m->name = RIG_NAME;
	m->piece_length = piece_length;
	m->piece_count = (uint32_t)((length + piece_length - 1) / piece_length);
	m->length = m->content_length = length;
	m->files = &r->file;
	m->file_count = 1;
	r->file = (struct metainfo_file){
		.length = length,
		.path = RIG_NAME,
		.path_size = sizeof(RIG_NAME),
		.components = 1,
	};
	r->bytes = malloc((size_t)length);
	r->digests = calloc(m->piece_count, SHA1_SIZE);
	MUST(r->bytes && r->digests);
	for (uint64_t i = 0; i < length; i++)
		r->bytes[i] = (uint8_t)((i + 1) * 0x9e3779b97f4a7c15ull >> 56);
	for (uint32_t i = 0; i < m->piece_count; i++)
		hash_sha1(r->digests + (size_t)i * SHA1_SIZE,
			  r->bytes + (size_t)i * piece_length,
			  metainfo_piece_size(m, i));
	m->pieces = r->digests;
}

/* The v2 half of the same data; `versions` says which halves there are. */
static inline void
rig_add_tree(struct rig *r, unsigned versions)
{
	struct metainfo *m = &r->meta;
	struct hash *h = hash_new(HASH_SHA256);
	struct merkle t;

	r->layer = malloc((size_t)m->piece_count * SHA256_SIZE);
	MUST(h && r->layer);
	for (uint32_t i = 0; i < m->piece_count; i++) {
		merkle_begin(&t, h, 0);
		merkle_add_bytes(&t, r->bytes + (size_t)i * m->piece_length,
				 metainfo_piece_size(m, i));
		merkle_end(&t, r->layer + (size_t)i * SHA256_SIZE,
			   merkle_level(m->piece_length));
	}
	merkle_root(h, r->root, r->layer, m->piece_count,
		    merkle_level(m->piece_length));
	hash_free(h);
	r->tree = (struct metainfo_tree){r->root, r->layer, m->piece_count};
	m->trees = &r->tree;
	m->has_v2 = true;
	memcpy(m->hash_v2, RIG_HASH_V2, 20);
	if (versions & SWARM_V1)
		return;
	m->has_v1 = false;
	m->pieces = NULL;
	m->length = (uint64_t)m->piece_count * m->piece_length;
}

static inline void
rig_store(struct rig *r)
{
	struct files_options o = {
		.allocation = FILES_SPARSE, .max_open = 4,
		.id = "0123456789abcdef0123456789abcdef01234567"};
	struct error e;

	strcpy(r->dir, "/tmp/btget-peer-XXXXXX");
	MUST(mkdtemp(r->dir));
	MUST(folder_open(&r->folder, r->dir, true, &e) == 0);
	r->layout = layout_new(&r->meta, NULL, &e);
	MUST(r->layout);
	r->swarm.files = files_open(r->layout, &r->folder, &o, &e);
	MUST(r->swarm.files);
}

/* What a download needs anew; `have` is one character a piece, '1' if it is
 * there. */
static inline void
rig_begin(struct rig *r, const char *have)
{
	struct picker_geometry g = {
		.piece_count = r->meta.piece_count,
		.piece_length = r->meta.piece_length,
		.length = metainfo_pieces_length(&r->meta),
		.seed = 1,
	};
	struct picker_short last = {
		g.piece_count - 1,
		metainfo_piece_size(&r->meta, g.piece_count - 1)};
	struct hasher_source source = {rig_read_back, r};
	struct bitfield b;

	if (!r->meta.has_v1) {
		g.shorts = &last;
		g.short_count = 1;
	}
	r->swarm.picker = picker_new(&g, NULL);
	if (r->meta.has_v2) {
		r->swarm.v2 = verify_v2_new(&r->meta, &source, NULL);
		r->swarm.hashes = hashes_new(&r->meta, &source, NULL);
		MUST(r->swarm.v2 && r->swarm.hashes);
	}
	r->swarm.hasher = hasher_new(&source, g.piece_count, NULL);
	r->swarm.havelog = havelog_new(g.piece_count, NULL);
	r->swarm.blame = blame_new(NULL);
	MUST(r->swarm.picker && r->swarm.hasher && r->swarm.havelog &&
	     r->swarm.blame && intake_begin(&r->swarm, NULL) == 0 &&
	     bitfield_init(&b, g.piece_count) == 0);
	for (uint32_t i = 0; i < g.piece_count && have[i]; i++) {
		if (have[i] != '1')
			continue;
		bitfield_set(&b, i);
		picker_set_have(r->swarm.picker, i);
	}
	havelog_begin(r->swarm.havelog, &b);
	atomic_store(&r->swarm.versions, (r->meta.has_v1 ? SWARM_V1 : 0) |
					 (r->meta.has_v2 ? SWARM_V2 : 0));
	memcpy(r->swarm.hash_v1, r->meta.hash_v1, 20);
	memcpy(r->swarm.hash_v2, r->meta.hash_v2, 20);
	atomic_store(&r->swarm.ready, true);
	bitfield_release(&b);
}

static inline void
rig_end(struct rig *r)
{
	intake_end(&r->swarm);
	picker_free(r->swarm.picker);
	hasher_free(r->swarm.hasher);
	verify_v2_free(r->swarm.v2);
	hashes_free(r->swarm.hashes);
	havelog_free(r->swarm.havelog);
	blame_free(r->swarm.blame);
}

static inline void
rig_write(struct rig *r, const char *have)
{
	for (uint32_t i = 0; i < r->meta.piece_count && have[i]; i++) {
		uint64_t at = (uint64_t)i * r->meta.piece_length;

		if (have[i] == '1')
			MUST(files_write(r->swarm.files, at, r->bytes + at,
					 metainfo_piece_size(&r->meta, i),
					 NULL) == 0);
	}
}

static inline void
rig_open_all(struct rig *r, const char *have, uint32_t piece_length,
	     uint64_t length, unsigned versions)
{
	memset(r, 0, sizeof(*r));
	mutex_init(&r->lock);
	cond_init(&r->changed);
	ratelimit_init(&r->unlimited, 0);
	rig_torrent(r, piece_length, length);
	if (versions & SWARM_V2)
		rig_add_tree(r, versions);
	rig_store(r);
	rig_begin(r, have);
	r->swarm.meta = &r->meta;
	r->swarm.down = r->swarm.up = &r->unlimited;
	r->swarm.name = RIG_NAME;
	r->swarm.port = 6881;
	r->swarm.port6 = 6886;
	memcpy(r->swarm.peer_id, "-bg0000-abcdefghijkl", 20);
	r->swarm.events = (struct swarm_events){
		.ctx = r,
		.admit = rig_admit,
		.piece = rig_on_piece,
		.blocks_free = rig_on_free,
		.outrun = rig_on_outrun,
		.ban = rig_on_ban,
		.interest = rig_on_interest,
		.hangs = rig_on_hangs,
		.storage = rig_on_storage,
		.ended = rig_on_ended,
	};
}

static inline void
rig_open_sized(struct rig *r, const char *have, uint32_t piece_length,
	       uint64_t length)
{
	rig_open_all(r, have, piece_length, length, SWARM_V1);
}

static inline void
rig_open_versions(struct rig *r, const char *have, unsigned versions)
{
	rig_open_all(r, have, RIG_PIECE, RIG_LENGTH, versions);
	rig_write(r, have);
}

static inline void
rig_open(struct rig *r, const char *have)
{
	rig_open_versions(r, have, SWARM_V1);
}

static inline void
rig_close(struct rig *r)
{
	char path[128];

	if (r->peer)
		peer_stop(r->peer);
	peer_free(r->peer);
	rig_end(r);
	files_free(r->swarm.files);
	layout_free(r->layout);
	folder_release(&r->folder);
	snprintf(path, sizeof(path), "%s/" RIG_NAME ".part", r->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/.btget", r->dir);
	rmdir(path);
	rmdir(r->dir);
	ratelimit_release(&r->unlimited);
	cond_release(&r->changed);
	mutex_release(&r->lock);
	free(r->bytes);
	free(r->digests);
	free(r->layer);
}

/* ---- the connection ---- */

/* Hands fd to a new peer. */
static inline void
rig_peer(struct rig *r, int fd, bool incoming)
{
	struct peer_start start = {
		.swarm = &r->swarm,
		.id = 7,
		.fd = fd,
		.addr = {.ip = {127, 0, 0, 1}, .port = 1, .family = AF_INET},
		.incoming = incoming,
		.v2 = r->by_v2,
		.mse = r->mse,
		.source = 77,
	};

	if (r->ipv6)
		start.addr = (struct addr){.ip = {[15] = 1}, .port = 1,
					   .family = AF_INET6};
	MUST(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	r->peer = peer_new(&start, NULL);
	MUST(r->peer);
}

static inline enum peer_end
rig_await_end(struct rig *r)
{
	struct peer_view v;

	rig_await(r, &r->ended, 1);
	peer_look(r->peer, &v);
	MUST(v.ended);
	return v.end;
}

/* The far end: what the test says, and what it has heard. */
struct remote {
	int fd;
	size_t pieces;
	size_t used;
	uint8_t in[4 * WIRE_BLOCK_MAX];
	uint8_t message[2 * WIRE_BLOCK_MAX];	/* what `data` points into */
};

static inline void
remote_init(struct remote *m, int fd, size_t pieces)
{
	struct timeval limit = {.tv_sec = RIG_PATIENCE_S};

	m->fd = fd;
	m->used = 0;
	m->pieces = pieces;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

/* Connects a new peer of the rig with a far end. */
static inline void
rig_connect(struct rig *r, struct remote *m, bool incoming)
{
	int fds[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	remote_init(m, fds[1], r->meta.piece_count);
	rig_peer(r, fds[0], incoming);
}

/* A peer that has ended may take no more: that is no fault of the test. */
static inline void
remote_say(struct remote *m, const void *data, size_t n)
{
	const uint8_t *at = data;

	while (n > 0) {
		ssize_t sent = send(m->fd, at, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return;
		at += sent;
		n -= (size_t)sent;
	}
}

static inline void
remote_say_id(struct remote *m, enum wire_id id)
{
	uint8_t out[WIRE_MESSAGE_MAX];

	remote_say(m, out, wire_put_plain(out, id));
}

static inline void
remote_say_index(struct remote *m, enum wire_id id, uint32_t piece)
{
	uint8_t out[WIRE_MESSAGE_MAX];

	remote_say(m, out, wire_put_index(out, id, piece));
}

static inline void
remote_say_block(struct remote *m, enum wire_id id, uint32_t piece,
		 uint32_t offset, uint32_t length)
{
	uint8_t out[WIRE_MESSAGE_MAX];

	remote_say(m, out, wire_put_block(out, id, piece, offset, length));
}

static inline void
remote_say_payload(struct remote *m, enum wire_id id, const void *data,
		   size_t n)
{
	uint8_t out[WIRE_MESSAGE_MAX];

	remote_say(m, out, wire_put_header(out, id, n));
	remote_say(m, data, n);
}

static inline void
remote_say_piece(struct remote *m, const uint8_t *bytes, uint32_t piece_length,
		 const struct wire_message *asked)
{
	uint8_t out[WIRE_MESSAGE_MAX];

	remote_say(m, out, wire_put_piece_header(out, asked->piece,
						 asked->offset, asked->length));
	remote_say(m, bytes + (size_t)asked->piece * piece_length +
			   asked->offset,
		   asked->length);
}

/* Reads more; false at the end. */
static inline bool
remote_fill(struct remote *m, size_t wanted)
{
	while (m->used < wanted) {
		ssize_t n = recv(m->fd, m->in + m->used, sizeof(m->in) - m->used,
				 0);

		if (n < 0 && errno == EINTR)	/* of a fuzzer: SIGALRM */
			continue;
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return false;
		MUST(n > 0);
		m->used += (size_t)n;
	}
	return true;
}

static inline void
remote_take(struct remote *m, void *out, size_t n)
{
	memcpy(out, m->in, n);
	m->used -= n;
	memmove(m->in, m->in + n, m->used);
}

/* The next message; false when the peer has closed. */
static inline bool
remote_hear(struct remote *m, struct wire_message *out)
{
	enum wire_status status;
	size_t used;

	while ((status = wire_parse(m->in, m->used, m->pieces, out, &used)) ==
	       WIRE_MORE)
		if (!remote_fill(m, used))
			return false;
	MUST(status == WIRE_OK && used <= sizeof(m->message));
	remote_take(m, m->message, used);
	MUST(wire_parse(m->message, used, m->pieces, out, &used) == WIRE_OK);
	return true;
}

/* The next message with this id; others before it are passed over. */
static inline struct wire_message
remote_await(struct remote *m, enum wire_id id)
{
	struct wire_message got;

	do
		MUST(remote_hear(m, &got));
	while (got.id != id);
	return got;
}

static inline void
remote_say_hash(struct remote *m, const char *hash, struct handshake h)
{
	uint8_t raw[HANDSHAKE_SIZE];

	memcpy(h.info_hash, hash, 20);
	memcpy(h.peer_id, "-XX0000-somebodyelse", 20);
	handshake_put(raw, &h);
	remote_say(m, raw, sizeof(raw));
}

static inline void
remote_say_handshake(struct remote *m, bool fast, bool extended)
{
	remote_say_hash(m, RIG_HASH, (struct handshake){
		.fast = fast, .extended = extended});
}

static inline bool
remote_hear_handshake(struct remote *m, struct handshake *out)
{
	uint8_t raw[HANDSHAKE_SIZE];

	memset(out, 0, sizeof(*out));
	if (!remote_fill(m, sizeof(raw)))
		return false;
	remote_take(m, raw, sizeof(raw));
	return handshake_parse(raw, out);
}

/* Up to the first messages, with the far end as the one that dialled. */
static inline void
rig_meet(struct rig *r, struct remote *m, bool fast, bool extended)
{
	struct handshake h;

	rig_connect(r, m, true);
	remote_say_handshake(m, fast, extended);
	MUST(remote_hear_handshake(m, &h));
}

/* A seed that has unchoked the far end. */
static inline void
rig_meet_unchoked(struct rig *r, struct remote *m, bool fast, bool extended)
{
	rig_open(r, "11111");
	rig_meet(r, m, fast, extended);
	remote_say_id(m, WIRE_INTERESTED);
	peer_order_unchoke(r->peer, true);
	remote_await(m, WIRE_UNCHOKE);
}

static inline void
remote_flood(struct remote *m, size_t n)
{
	while (n-- > 0)
		remote_say_block(m, WIRE_REQUEST, 0, 0, WIRE_BLOCK_MAX);
}

#endif
