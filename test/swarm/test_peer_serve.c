/* How a peer answers requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>

#include "peer_rig.h"
#include "swarm/metadata.h"
#include "swarm/peer_parts.h"

static const char all[] = "11111", some[] = "10100";

/* So many requests that the socket is full before the last is served. */
#define QUEUED 200
/* So many cancels may find nothing to cancel, and so many requests may be
 * refused. */
#define LATE_MOST (15 * 1024)

/* ---- serving ---- */

static void
peer_serves_what_was_asked_for(void **state)
{
	struct wire_message got;
	struct peer_view v;
	struct remote m;
	struct rig r;

	(void)state;
	rig_meet_unchoked(&r, &m, true, true);
	remote_say_block(&m, WIRE_REQUEST, 1, 16384, 16384);
	remote_say_block(&m, WIRE_REQUEST, 4, 999, 1);
	got = remote_await(&m, WIRE_PIECE);
	assert_int_equal(got.piece, 1);
	assert_int_equal(got.offset, 16384);
	assert_int_equal(got.length, 16384);
	assert_memory_equal(got.data, r.bytes + RIG_PIECE + 16384, 16384);
	got = remote_await(&m, WIRE_PIECE);
	assert_int_equal(got.length, 1);
	assert_int_equal(*got.data, r.bytes[RIG_LENGTH - 1]);
	close(m.fd);
	rig_await_end(&r);
	peer_look(r.peer, &v);
	assert_int_equal(v.uploaded, 16385);
	assert_int_equal(atomic_load(&r.swarm.uploaded), 16385);
	rig_close(&r);
}

/* The i-th of many requests: neighbours, single ones, odd sizes. */
static struct block
nth_block(unsigned i)
{
	if (i % 11 == 10)
		return (struct block){4, i, 1 + i % 700};
	if (i % 7 == 6)
		return (struct block){3, 100 + i, 16384 - i};
	return (struct block){i / 2 % 4, i % 2 * 16384, 16384};
}

static void
peer_serves_many_blocks_in_order_however_they_are_cut(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_meet_unchoked(&r, &m, true, true);
	for (unsigned i = 0; i < QUEUED; i++) {
		struct block b = nth_block(i);

		remote_say_block(&m, WIRE_REQUEST, b.piece, b.offset,
				 b.length);
	}
	remote_say_id(&m, WIRE_NOT_INTERESTED);
	rig_await(&r, &r.interest, 2);		/* they were all read */
	for (unsigned i = 0; i < QUEUED; i++) {
		struct wire_message got = remote_await(&m, WIRE_PIECE);
		struct block b = nth_block(i);

		assert_int_equal(got.piece, b.piece);
		assert_int_equal(got.offset, b.offset);
		assert_int_equal(got.length, b.length);
		assert_memory_equal(got.data,
				    r.bytes + b.piece * RIG_PIECE + b.offset,
				    b.length);
	}
	close(m.fd);
	rig_close(&r);
}

/* ---- the rate limit ---- */

#define BLOCK_WAITS 1024	/* bytes a second: a block takes 16 s */

/* The far end has asked for the first block, and that was read. */
static void
ask_one_limited(struct rig *r, struct remote *m, struct ratelimit *up)
{
	ratelimit_init(up, BLOCK_WAITS);
	rig_open(r, some);
	r->swarm.up = up;
	rig_meet(r, m, true, true);
	remote_say_id(m, WIRE_INTERESTED);
	peer_order_unchoke(r->peer, true);
	remote_await(m, WIRE_UNCHOKE);
	remote_say_block(m, WIRE_REQUEST, 0, 0, 16384);
	remote_say_id(m, WIRE_NOT_INTERESTED);
	rig_await(r, &r->interest, 2);
}

static void
peer_asks_and_tells_while_a_block_waits_for_the_limit(void **state)
{
	struct wire_message got;
	struct ratelimit up;
	struct remote m;
	struct rig r;

	(void)state;
	ask_one_limited(&r, &m, &up);
	remote_say_index(&m, WIRE_HAVE, 1);
	remote_say_id(&m, WIRE_UNCHOKE);
	do {
		assert_true(remote_hear(&m, &got));
		assert_int_not_equal(got.id, WIRE_PIECE);
	} while (got.id != WIRE_REQUEST);
	havelog_add(r.swarm.havelog, 4);
	peer_wake(r.peer);
	remote_await(&m, WIRE_HAVE);
	close(m.fd);
	rig_close(&r);
	ratelimit_release(&up);
}

static void
peer_gives_back_to_the_limit_what_a_cancel_spares(void **state)
{
	struct ratelimit up;
	struct remote m;
	struct rig r;
	int64_t now;

	(void)state;
	ask_one_limited(&r, &m, &up);
	remote_say_block(&m, WIRE_CANCEL, 0, 0, 16384);
	remote_await(&m, WIRE_REJECT);
	now = clock_ns();
	assert_true(ratelimit_reserve(&up, BLOCK_WAITS, now) - now <= CLOCK_S);
	assert_int_equal(atomic_load(&r.swarm.uploaded), 0);
	close(m.fd);
	rig_close(&r);
	ratelimit_release(&up);
}

/* We have all of it, and the far end is unchoked. */
static void
open_limited(struct rig *r, struct remote *m, struct ratelimit *up,
	     uint64_t rate_bps)
{
	ratelimit_init(up, rate_bps);
	rig_open(r, all);
	r->swarm.up = up;
	rig_meet(r, m, true, true);
	remote_say_id(m, WIRE_INTERESTED);
	peer_order_unchoke(r->peer, true);
	remote_await(m, WIRE_UNCHOKE);
}

/* It waits by the old rate, for hours, and nobody wakes it. */
static void
waits_no_longer_than_a_new_limit_asks(uint64_t bytes_per_s)
{
	struct ratelimit up;
	struct remote m;
	struct rig r;

	open_limited(&r, &m, &up, 2);
	remote_flood(&m, 2);
	remote_say_id(&m, WIRE_NOT_INTERESTED);
	rig_await(&r, &r.interest, 2);
	ratelimit_set(&up, bytes_per_s, clock_ns());
	remote_await(&m, WIRE_PIECE);
	remote_await(&m, WIRE_PIECE);
	close(m.fd);
	rig_close(&r);
	ratelimit_release(&up);
}

static void
peer_follows_a_limit_that_changes(void **state)
{
	(void)state;
	waits_no_longer_than_a_new_limit_asks(1 << 20);
	waits_no_longer_than_a_new_limit_asks(0);
}

static void
peer_serves_no_faster_than_the_limit(void **state)
{
	const unsigned blocks = 16;
	struct ratelimit up;
	struct remote m;
	struct rig r;
	int64_t from;

	(void)state;
	open_limited(&r, &m, &up, 1 << 20);
	from = clock_ns();
	remote_flood(&m, blocks);
	for (unsigned i = 0; i < blocks; i++)
		remote_await(&m, WIRE_PIECE);
	assert_true(clock_ns() - from >= blocks * 16384 * CLOCK_S / (1 << 20));
	close(m.fd);
	rig_await_end(&r);
	assert_int_equal(atomic_load(&r.swarm.uploaded), blocks * 16384);
	rig_close(&r);
	ratelimit_release(&up);
}

/* ---- choking ---- */

/* A piece that is not among the allowed ones of an address on loopback; the
 * torrent is larger than that set. */
static void
open_choked(struct rig *r, struct remote *m, uint32_t *allowed,
	    uint32_t *not_allowed)
{
	uint32_t set[10];
	uint8_t ip[4] = {127, 0, 0, 1};
	char have[41];
	size_t n;

	memset(have, '1', 40);
	have[40] = '\0';
	rig_open_sized(r, have, WIRE_BLOCK_MAX, 40 * WIRE_BLOCK_MAX);
	rig_write(r, have);
	n = wire_allowed_fast(set, 10, ip, (const uint8_t *)RIG_HASH, 40);
	assert_int_equal(n, 10);
	*allowed = set[0];
	*not_allowed = 0;
	for (size_t i = 0; i < n; i++)
		if (set[i] == *not_allowed) {
			(*not_allowed)++;
			i = SIZE_MAX;	/* from the start again */
		}
	rig_meet(r, m, true, true);
}

static void
peer_rejects_while_choking(void **state)
{
	struct wire_message got;
	uint32_t yes, no;
	struct remote m;
	struct rig r;

	(void)state;
	open_choked(&r, &m, &yes, &no);
	remote_say_block(&m, WIRE_REQUEST, no, 0, 16384);
	got = remote_await(&m, WIRE_REJECT);
	assert_int_equal(got.piece, no);
	assert_int_equal(got.length, 16384);
	close(m.fd);
	rig_close(&r);
}

static void
peer_serves_allowed_pieces_while_choking(void **state)
{
	uint32_t yes, no;
	struct remote m;
	struct rig r;

	(void)state;
	open_choked(&r, &m, &yes, &no);
	assert_int_equal(remote_await(&m, WIRE_ALLOWED_FAST).piece, yes);
	remote_say_block(&m, WIRE_REQUEST, yes, 0, 100);
	assert_int_equal(remote_await(&m, WIRE_PIECE).piece, yes);
	close(m.fd);
	rig_close(&r);
}

static void
peer_serves_allowed_pieces_twice_while_choking(void **state)
{
	unsigned pieces = 0, rejects = 0, most = 2 * 10;	/* of a block */
	struct wire_message got;
	uint32_t yes, no;
	struct remote m;
	struct rig r;

	(void)state;
	open_choked(&r, &m, &yes, &no);
	for (unsigned i = 0; i < most + 3; i++)
		remote_say_block(&m, WIRE_REQUEST, yes, 0, WIRE_BLOCK_MAX);
	while (pieces + rejects < most + 3) {
		assert_true(remote_hear(&m, &got));
		pieces += got.id == WIRE_PIECE;
		rejects += got.id == WIRE_REJECT;
	}
	assert_int_equal(pieces, most);
	close(m.fd);
	rig_close(&r);
}

static void
peer_without_fast_is_not_answered_while_choking(void **state)
{
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, all);
	rig_meet(&r, &m, false, false);
	remote_say_block(&m, WIRE_REQUEST, 0, 0, 100);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&r, &r.interest, 1);		/* the request was read */
	peer_order_unchoke(r.peer, true);
	remote_await(&m, WIRE_UNCHOKE);
	remote_say_block(&m, WIRE_REQUEST, 1, 0, 200);
	got = remote_await(&m, WIRE_PIECE);
	assert_int_equal(got.piece, 1);
	close(m.fd);
	rig_close(&r);
}

/* No more at a time than are answered; false: it has ended. */
static bool
is_refused(struct remote *m, uint32_t piece, size_t n)
{
	struct wire_message got;

	for (size_t i = 0; i < n; i++) {
		if (i % 1024 == 0)
			for (size_t k = i; k < n && k < i + 1024; k++)
				remote_say_block(m, WIRE_REQUEST, piece, 0,
						 100);
		do
			if (!remote_hear(m, &got))
				return false;
		while (got.id != WIRE_REJECT);
	}
	return true;
}

static void
peer_ends_a_flood_of_requests_that_it_refuses(void **state)
{
	uint32_t yes, no;
	struct remote m;
	struct rig r;

	(void)state;
	open_choked(&r, &m, &yes, &no);
	assert_true(is_refused(&m, no, LATE_MOST));
	assert_false(is_refused(&m, no, LATE_MOST));
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

static void
peer_ends_a_flood_of_requests_that_it_ignores(void **state)
{
	struct peer_view v;
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, all);
	rig_meet(&r, &m, false, false);
	remote_flood(&m, LATE_MOST);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&r, &r.interest, 1);
	peer_look(r.peer, &v);
	assert_int_equal(v.end, PEER_END_NONE);
	remote_flood(&m, LATE_MOST);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

static void
peer_rejects_what_it_has_not(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, some);
	rig_meet(&r, &m, true, true);
	peer_order_unchoke(r.peer, true);
	remote_await(&m, WIRE_UNCHOKE);
	remote_say_block(&m, WIRE_REQUEST, 1, 0, 16384);
	assert_int_equal(remote_await(&m, WIRE_REJECT).piece, 1);
	close(m.fd);
	rig_close(&r);
}

static void
peer_answers_each_request_once_over_a_choke(void **state)
{
	unsigned pieces = 0, rejects = 0;
	bool choked = false;
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	rig_meet_unchoked(&r, &m, true, true);
	for (int i = 0; i < QUEUED; i++)
		remote_say_block(&m, WIRE_REQUEST, 0, 0, 16384);
	remote_say_id(&m, WIRE_NOT_INTERESTED);
	rig_await(&r, &r.interest, 2);		/* they were all read */
	peer_order_unchoke(r.peer, false);
	while (pieces + rejects < QUEUED) {
		assert_true(remote_hear(&m, &got));
		pieces += got.id == WIRE_PIECE;
		rejects += got.id == WIRE_REJECT;
		choked = choked || got.id == WIRE_CHOKE;
	}
	assert_true(choked);
	/* Five pieces, all of which are allowed ones. */
	assert_int_equal(rejects, 0);
	close(m.fd);
	rig_close(&r);
}

static void
peer_rejects_what_was_queued_before_a_choke(void **state)
{
	unsigned pieces = 0, rejects = 0, after = 0;
	bool choked = false;
	struct wire_message got;
	uint32_t yes, no;
	struct remote m;
	struct rig r;

	(void)state;
	open_choked(&r, &m, &yes, &no);
	peer_order_unchoke(r.peer, true);
	remote_await(&m, WIRE_UNCHOKE);
	for (int i = 0; i < QUEUED; i++)
		remote_say_block(&m, WIRE_REQUEST, no, 0, 16384);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&r, &r.interest, 1);
	peer_order_unchoke(r.peer, false);
	while (pieces + rejects < QUEUED) {
		assert_true(remote_hear(&m, &got));
		pieces += got.id == WIRE_PIECE;
		rejects += got.id == WIRE_REJECT;
		after += choked && got.id == WIRE_PIECE;
		choked = choked || got.id == WIRE_CHOKE;
	}
	assert_true(rejects > 0);
	assert_int_equal(after, 0);
	close(m.fd);
	rig_close(&r);
}

static void
peer_answers_a_cancelled_request_once(void **state)
{
	unsigned answers = 0;
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	rig_meet_unchoked(&r, &m, true, true);
	for (int i = 0; i < QUEUED; i++)
		remote_say_block(&m, WIRE_REQUEST, 0, 0, 16384);
	remote_say_block(&m, WIRE_REQUEST, 3, 16384, 5);
	remote_say_block(&m, WIRE_CANCEL, 3, 16384, 5);
	remote_say_block(&m, WIRE_REQUEST, 2, 0, 6);
	do {
		assert_true(remote_hear(&m, &got));
		if (got.piece == 3 && got.offset == 16384) {
			assert_int_equal(got.id, WIRE_REJECT);
			answers++;
		}
	} while (got.id != WIRE_PIECE || got.piece != 2);
	assert_int_equal(answers, 1);
	close(m.fd);
	rig_close(&r);
}

static void
peer_without_fast_forgets_a_cancelled_request(void **state)
{
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	rig_meet_unchoked(&r, &m, false, false);
	for (int i = 0; i < QUEUED; i++)
		remote_say_block(&m, WIRE_REQUEST, 0, 0, 16384);
	remote_say_block(&m, WIRE_REQUEST, 3, 16384, 5);
	remote_say_block(&m, WIRE_CANCEL, 3, 16384, 5);
	remote_say_block(&m, WIRE_REQUEST, 2, 0, 6);
	do {
		assert_true(remote_hear(&m, &got));
		assert_int_not_equal(got.piece, 3);
	} while (got.id != WIRE_PIECE || got.piece != 2);
	close(m.fd);
	rig_close(&r);
}

/* Each may take a look at all that is queued. */
static void
end_after_cancels(bool fast, bool of_one)
{
	struct peer_view v;
	struct remote m;
	struct rig r;

	rig_meet_unchoked(&r, &m, fast, fast);
	for (int i = 0; i < QUEUED; i++)
		remote_say_block(&m, WIRE_REQUEST, 0, 0, 16384);
	remote_say_block(&m, WIRE_REQUEST, 3, 0, 5);
	for (uint32_t i = 0; i < LATE_MOST; i++)
		remote_say_block(&m, WIRE_CANCEL, 3, of_one ? 0 : i, 5);
	remote_say_id(&m, WIRE_NOT_INTERESTED);
	rig_await(&r, &r.interest, 2);
	peer_look(r.peer, &v);
	assert_int_equal(v.end, PEER_END_NONE);
	for (uint32_t i = 0; i < LATE_MOST; i++)
		remote_say_block(&m, WIRE_CANCEL, 3, of_one ? 0 : i, 5);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

static void
peer_ends_a_flood_of_cancels_that_come_too_late(void **state)
{
	(void)state;
	end_after_cancels(true, false);
	end_after_cancels(false, false);
}

static void
peer_ends_a_flood_of_cancels_of_one_request(void **state)
{
	(void)state;
	end_after_cancels(true, true);
	end_after_cancels(false, true);
}

static enum peer_end
end_after_request(uint32_t piece, uint32_t offset, uint32_t length)
{
	enum peer_end end;
	struct remote m;
	struct rig r;

	rig_meet_unchoked(&r, &m, true, true);
	remote_say_block(&m, WIRE_REQUEST, piece, offset, length);
	end = rig_await_end(&r);
	assert_int_equal(atomic_load(&r.swarm.uploaded), 0);
	close(m.fd);
	rig_close(&r);
	return end;
}

static void
peer_ends_over_requests_that_are_no_blocks(void **state)
{
	static const uint32_t bad[][3] = {
		{0, 0, 16385}, {0, 0, 0}, {0, 0, UINT32_MAX}, {5, 0, 1},
		{UINT32_MAX, 0, 1}, {0, RIG_PIECE, 1}, {0, RIG_PIECE - 1, 2},
		{0, UINT32_MAX, 16384}, {4, 0, 1001}, {4, 1000, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(end_after_request(bad[i][0], bad[i][1],
						   bad[i][2]),
				 PEER_END_BROKE);
}

static void
peer_ends_a_flood_of_requests(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_meet_unchoked(&r, &m, true, true);
	remote_flood(&m, 4000);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

static void
peer_that_knows_no_limit_is_flooded_to_the_limit_only(void **state)
{
	unsigned pieces = 0;
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	rig_meet_unchoked(&r, &m, false, false);
	remote_flood(&m, 4000);
	remote_say_id(&m, WIRE_NOT_INTERESTED);
	rig_await(&r, &r.interest, 2);
	/* What the socket took in the meantime comes on top. */
	while (pieces < 2000) {
		assert_true(remote_hear(&m, &got));
		pieces += got.id == WIRE_PIECE;
	}
	remote_say_block(&m, WIRE_REQUEST, 3, 0, 16);
	do {
		assert_true(remote_hear(&m, &got));
		pieces += got.id == WIRE_PIECE;
	} while (got.id != WIRE_PIECE || got.piece != 3);
	assert_in_range(pieces, 2001, 2200);
	close(m.fd);
	rig_close(&r);
}

static void
serve_nothing(int requests)
{
	struct remote m;
	struct rig r;

	rig_open_sized(&r, all, RIG_PIECE, RIG_LENGTH);	/* nothing on disk */
	rig_meet(&r, &m, true, true);
	peer_order_unchoke(r.peer, true);
	remote_await(&m, WIRE_UNCHOKE);
	for (int i = 0; i < requests; i++)
		remote_say_block(&m, WIRE_REQUEST, 0, 0, 16384);
	assert_int_equal(rig_await_end(&r), PEER_END_STOPPED);
	assert_int_equal(r.storage, 1);
	close(m.fd);
	rig_close(&r);
}

static void
peer_reports_data_that_cannot_be_read(void **state)
{
	(void)state;
	serve_nothing(1);
	serve_nothing(QUEUED);
}

/* ---- hashes ---- */

/* The rig is open. */
static void
greet_v2(struct rig *r, struct remote *m)
{
	struct handshake h;

	rig_connect(r, m, true);
	remote_say_hash(m, RIG_HASH_V2, (struct handshake){
		.fast = true, .v2 = true});
	MUST(remote_hear_handshake(m, &h));
}

static void
meet_v2(struct rig *r, struct remote *m, const char *have)
{
	rig_open_versions(r, have, SWARM_V2);
	greet_v2(r, m);
}

static void
ask_hashes(struct remote *m, const struct wire_hashes *q)
{
	uint8_t out[WIRE_HASHES_HEADER];

	remote_say(m, out, wire_put_hashes(out, WIRE_HASH_REQUEST, q, 0));
}

static struct wire_hashes
layer_of(const struct rig *r, uint32_t base, uint32_t count)
{
	struct wire_hashes q = {.base = base, .count = count};

	memcpy(q.root, r->root, sizeof(q.root));
	return q;
}

static void
peer_gives_hashes_while_it_chokes(void **state)
{
	struct wire_hashes q, got;
	struct wire_message a;
	struct remote m;
	struct rig r;

	(void)state;
	meet_v2(&r, &m, "11111");
	q = layer_of(&r, 1, 8);
	ask_hashes(&m, &q);
	a = remote_await(&m, WIRE_HASHES);
	got = wire_get_hashes(&a);
	assert_memory_equal(&got, &q, sizeof(q));
	assert_int_equal(a.size, WIRE_HASHES_SIZE + 8 * SHA256_SIZE);
	assert_memory_equal(a.data + WIRE_HASHES_SIZE, r.layer,
			    5 * SHA256_SIZE);
	/* Blocks' hashes, read back. */
	q = layer_of(&r, 0, 2);
	ask_hashes(&m, &q);
	a = remote_await(&m, WIRE_HASHES);
	assert_int_equal(a.size, WIRE_HASHES_SIZE + 2 * SHA256_SIZE);
	close(m.fd);
	rig_close(&r);
}

static void
peer_refuses_hashes_that_it_has_not(void **state)
{
	struct wire_hashes q, got;
	struct wire_message a;
	struct remote m;
	struct rig r;

	(void)state;
	meet_v2(&r, &m, "00000");
	q = layer_of(&r, 0, 2);
	ask_hashes(&m, &q);
	a = remote_await(&m, WIRE_HASH_REJECT);
	got = wire_get_hashes(&a);
	assert_memory_equal(&got, &q, sizeof(q));
	close(m.fd);
	rig_close(&r);
}

static void
peer_that_floods_with_hash_requests_is_dropped(void **state)
{
	struct wire_hashes q;
	struct remote m;
	struct rig r;

	(void)state;
	meet_v2(&r, &m, "11111");
	q = layer_of(&r, 0, 2);
	for (int i = 0; i < 200000; i++)
		ask_hashes(&m, &q);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

/* Peers as they are between two turns of their loops, whose time is the
 * test's; each was asked for these hashes. */
#define ASKERS 3

struct askers {
	struct rig r;
	struct peer *p[ASKERS];
};

static void
open_askers(struct askers *a, const struct wire_hashes *q, size_t each)
{
	for (size_t i = 0; i < ASKERS; i++) {
		struct peer *p = calloc(1, sizeof(*p));

		MUST(p);
		p->hash_asks = calloc(PEER_HASH_SERVES, sizeof(*p->hash_asks));
		MUST(p->hash_asks);
		for (size_t k = 0; k < each; k++)
			p->hash_asks[p->hash_serves++] = *q;
		p->swarm = &a->r.swarm;
		p->v2 = true;
		p->now = 1000 * CLOCK_S;
		p->pp = picker_join(p->swarm->picker, (uint32_t)i, i + 1);
		MUST(p->pp);
		buffer_init(&p->out, PEER_OUT_MAX);
		a->p[i] = p;
	}
}

static void
close_askers(struct askers *a)
{
	for (size_t i = 0; i < ASKERS; i++) {
		picker_leave(a->r.swarm.picker, a->p[i]->pp);
		buffer_release(&a->p[i]->out);
		free(a->p[i]->hash_asks);
		free(a->p[i]);
	}
	rig_close(&a->r);
}

/* The first has what was saved up, the second waits for the first. */
static void
peers_share_what_is_spent_on_hashes(void **state)
{
	const int64_t now = 1000 * CLOCK_S;
	struct wire_hashes q;
	struct askers a;

	(void)state;
	rig_open_versions(&a.r, all, SWARM_V2);
	q = layer_of(&a.r, 1, 8);
	open_askers(&a, &q, 1);
	hashes_reserve(a.r.swarm.hashes, 1024, false, now);
	for (size_t i = 0; i < ASKERS; i++)
		peer_hashes_put(a.p[i]);
	assert_int_equal(a.p[0]->hash_serves, 0);
	assert_int_equal(a.p[1]->hash_serves, 1);
	assert_int_equal(a.p[2]->hash_serves, 1);
	assert_int_equal(peer_hashes_due(a.p[1]), now + CLOCK_S / 256);
	assert_int_equal(peer_hashes_due(a.p[2]), now + CLOCK_S / 128);
	/* It has its turn, and no second one before the third's. */
	a.p[1]->hash_asks[a.p[1]->hash_serves++] = q;
	a.p[1]->now = now + CLOCK_S / 256;
	peer_hashes_put(a.p[1]);
	assert_int_equal(a.p[1]->hash_serves, 1);
	assert_int_equal(peer_hashes_due(a.p[1]), now + 3 * CLOCK_S / 256);
	/* Who leaves uses nothing up. */
	peer_hashes_leave(a.p[1]);
	a.p[0]->hash_asks[a.p[0]->hash_serves++] = q;
	peer_hashes_put(a.p[0]);
	assert_int_equal(peer_hashes_due(a.p[0]), now + 3 * CLOCK_S / 256);
	close_askers(&a);
}

static void
peers_that_are_stopped_look_for_no_hashes(void **state)
{
	struct wire_hashes q;
	struct askers a;

	(void)state;
	rig_open_versions(&a.r, all, SWARM_V2);
	q = layer_of(&a.r, 1, 8);
	open_askers(&a, &q, 2);
	atomic_store(&a.p[1]->stop, true);
	for (size_t i = 0; i < ASKERS; i++)
		peer_hashes_put(a.p[i]);
	assert_int_equal(a.p[0]->hash_serves, 0);
	assert_int_equal(a.p[1]->hash_serves, 2);
	close_askers(&a);
}

/* Asks so many times for hashes that take 256 bytes. */
static void
ask_limited(struct rig *r, struct remote *m, struct ratelimit *up,
	    uint64_t rate_bps, unsigned times)
{
	struct wire_hashes q;

	ratelimit_init(up, rate_bps);
	rig_open_versions(r, all, SWARM_V2);
	r->swarm.up = up;
	greet_v2(r, m);
	q = layer_of(r, 1, 8);
	for (unsigned i = 0; i < times; i++)
		ask_hashes(m, &q);
}

static void
peer_gives_hashes_no_faster_than_the_limit(void **state)
{
	const unsigned times = 4;
	struct ratelimit up;
	struct remote m;
	struct rig r;
	int64_t from = clock_ns();

	(void)state;
	ask_limited(&r, &m, &up, 2048, times);
	for (unsigned i = 0; i < times; i++)
		remote_await(&m, WIRE_HASHES);
	assert_true(clock_ns() - from >=
		    (times - 1) * 8 * SHA256_SIZE * CLOCK_S / 2048);
	close(m.fd);
	rig_close(&r);
	ratelimit_release(&up);
}

static void
peer_tells_while_hashes_wait_for_the_limit(void **state)
{
	struct wire_message got;
	struct ratelimit up;
	struct remote m;
	struct rig r;

	(void)state;
	ask_limited(&r, &m, &up, 1, 2);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&r, &r.interest, 1);
	remote_await(&m, WIRE_HASHES);
	peer_order_unchoke(r.peer, true);
	do {
		assert_true(remote_hear(&m, &got));
		assert_int_not_equal(got.id, WIRE_HASHES);
	} while (got.id != WIRE_UNCHOKE);
	close(m.fd);
	rig_close(&r);
	ratelimit_release(&up);
}

static void
peer_gives_metadata_no_faster_than_the_limit(void **state)
{
	static const char hello[] = "\0d1:md11:ut_metadatai2eee";
	static const char ask[] = "\2d8:msg_typei0e5:piecei0ee";
	struct wire_message got;
	struct ratelimit up;
	struct remote m;
	struct rig r;
	int64_t from;

	(void)state;
	ratelimit_init(&up, 4096);
	rig_open(&r, all);
	r.meta.info = r.bytes;
	r.meta.info_size = 1024;
	r.swarm.up = &up;
	from = clock_ns();
	rig_meet(&r, &m, true, true);
	remote_say_payload(&m, WIRE_EXTENDED, hello, sizeof(hello) - 1);
	for (int i = 0; i < 3; i++) {
		remote_say_payload(&m, WIRE_EXTENDED, ask, sizeof(ask) - 1);
		do
			assert_true(remote_hear(&m, &got));
		while (got.id != WIRE_EXTENDED || got.extended != 2);
	}
	assert_true(clock_ns() - from >= 2 * 1024 * CLOCK_S / 4096);
	close(m.fd);
	rig_close(&r);
	ratelimit_release(&up);
}

#define META_ASK_MAX 64

static size_t
put_metadata_ask(uint8_t out[META_ASK_MAX], uint32_t index)
{
	char text[48];
	int n = snprintf(text, sizeof(text),
			 "%cd8:msg_typei0e5:piecei%" PRIu32 "ee", 2, index);
	size_t head = wire_put_header(out, WIRE_EXTENDED, (size_t)n);

	memcpy(out + head, text, (size_t)n);
	return head + (size_t)n;
}

static void
ask_metadata(struct remote *m, uint32_t index)
{
	uint8_t out[META_ASK_MAX];

	remote_say(m, out, put_metadata_ask(out, index));
}

/* The next word on metadata: which block, and is it given? */
static uint32_t
hear_metadata(struct remote *m, bool *given)
{
	struct metadata_message word;
	struct wire_message got;

	do
		assert_true(remote_hear(m, &got));
	while (got.id != WIRE_EXTENDED || got.extended != 2);
	assert_int_equal(metadata_parse_message(&word, got.data, got.size,
						NULL), 0);
	*given = word.kind == METADATA_DATA;
	return word.index;
}

#define META_BLOCKS 40

static void
meet_metadata(struct rig *r, struct remote *m)
{
	static const char hello[] = "\0d1:md11:ut_metadatai2eee";

	rig_open_sized(r, "1", META_BLOCKS * METADATA_BLOCK,
		       META_BLOCKS * METADATA_BLOCK);
	r->meta.info = r->bytes;
	r->meta.info_size = META_BLOCKS * METADATA_BLOCK - 1000;
	rig_meet(r, m, true, true);
	remote_say_payload(m, WIRE_EXTENDED, hello, sizeof(hello) - 1);
}

/* Some programs ask for all at once, and never again. */
static void
peer_gives_all_metadata_that_is_asked_for_at_once(void **state)
{
	bool given, got[META_BLOCKS] = {false};
	struct remote m;
	struct rig r;

	(void)state;
	meet_metadata(&r, &m);
	for (uint32_t i = META_BLOCKS; i-- > 0;)
		ask_metadata(&m, i);
	for (uint32_t i = 0; i < META_BLOCKS; i++) {
		uint32_t index = hear_metadata(&m, &given);

		assert_true(given && index < META_BLOCKS && !got[index]);
		got[index] = true;
	}
	close(m.fd);
	rig_close(&r);
}

/* What comes at once is read before any of it is answered. */
static void
peer_gives_once_what_is_asked_for_twice(void **state)
{
	static const uint32_t asks[] = {3, 3, 5, 3, 5};
	uint8_t out[5 * META_ASK_MAX];
	size_t n = 0;
	struct remote m;
	struct rig r;
	bool given;

	(void)state;
	meet_metadata(&r, &m);
	for (size_t i = 0; i < 5; i++)
		n += put_metadata_ask(out + n, asks[i]);
	remote_say(&m, out, n);
	assert_int_equal(hear_metadata(&m, &given), 3);
	assert_int_equal(hear_metadata(&m, &given), 5);
	ask_metadata(&m, 7);
	assert_int_equal(hear_metadata(&m, &given), 7);
	close(m.fd);
	rig_close(&r);
}

static void
peer_rejects_metadata_behind_the_end(void **state)
{
	struct remote m;
	struct rig r;
	bool given;

	(void)state;
	meet_metadata(&r, &m);
	ask_metadata(&m, META_BLOCKS);
	assert_int_equal(hear_metadata(&m, &given), META_BLOCKS);
	assert_false(given);
	ask_metadata(&m, META_BLOCKS - 1);
	assert_int_equal(hear_metadata(&m, &given), META_BLOCKS - 1);
	assert_true(given);
	close(m.fd);
	rig_close(&r);
}

static void
peer_ends_a_flood_of_hashes_that_nobody_asked_for(void **state)
{
	static const uint8_t hashes[WIRE_HASHES_SIZE + 512 * SHA256_SIZE];
	struct remote m;
	struct rig r;

	(void)state;
	meet_v2(&r, &m, "11111");
	for (int i = 0; i < 64; i++)
		remote_say_payload(&m, WIRE_HASHES, hashes, sizeof(hashes));
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

static void
hashes_are_no_part_of_v1(void **state)
{
	struct wire_hashes q = {.count = 2};
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, "11111");
	rig_meet(&r, &m, true, false);
	ask_hashes(&m, &q);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

/* libtorrent asks for what lies between files. */
static void
peer_gives_zeros_behind_the_end_of_a_v2_file(void **state)
{
	struct wire_message a;
	struct remote m;
	struct rig r;

	(void)state;
	meet_v2(&r, &m, "11111");
	remote_say_id(&m, WIRE_INTERESTED);
	peer_order_unchoke(r.peer, true);
	remote_await(&m, WIRE_UNCHOKE);
	remote_say_block(&m, WIRE_REQUEST, 4, 0, WIRE_BLOCK_MAX);
	a = remote_await(&m, WIRE_PIECE);
	assert_int_equal(a.length, WIRE_BLOCK_MAX);
	assert_memory_equal(a.data, r.bytes + 4 * RIG_PIECE, 1000);
	for (size_t i = 1000; i < a.length; i++)
		assert_int_equal(a.data[i], 0);
	remote_say_block(&m, WIRE_REQUEST, 4, WIRE_BLOCK_MAX, WIRE_BLOCK_MAX);
	a = remote_await(&m, WIRE_PIECE);
	assert_int_equal(a.data[0], 0);
	remote_say_block(&m, WIRE_REQUEST, 4, 2 * WIRE_BLOCK_MAX, 1);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_gives_hashes_while_it_chokes),
		cmocka_unit_test(peer_refuses_hashes_that_it_has_not),
		cmocka_unit_test(
			peer_that_floods_with_hash_requests_is_dropped),
		cmocka_unit_test(peers_share_what_is_spent_on_hashes),
		cmocka_unit_test(peers_that_are_stopped_look_for_no_hashes),
		cmocka_unit_test(peer_gives_hashes_no_faster_than_the_limit),
		cmocka_unit_test(peer_tells_while_hashes_wait_for_the_limit),
		cmocka_unit_test(peer_gives_metadata_no_faster_than_the_limit),
		cmocka_unit_test(
		    peer_gives_all_metadata_that_is_asked_for_at_once),
		cmocka_unit_test(peer_gives_once_what_is_asked_for_twice),
		cmocka_unit_test(peer_rejects_metadata_behind_the_end),
		cmocka_unit_test(
			peer_ends_a_flood_of_hashes_that_nobody_asked_for),
		cmocka_unit_test(hashes_are_no_part_of_v1),
		cmocka_unit_test(
			peer_gives_zeros_behind_the_end_of_a_v2_file),
		cmocka_unit_test(peer_serves_what_was_asked_for),
		cmocka_unit_test(
			peer_serves_many_blocks_in_order_however_they_are_cut),
		cmocka_unit_test(
			peer_asks_and_tells_while_a_block_waits_for_the_limit),
		cmocka_unit_test(
			peer_gives_back_to_the_limit_what_a_cancel_spares),
		cmocka_unit_test(peer_follows_a_limit_that_changes),
		cmocka_unit_test(peer_serves_no_faster_than_the_limit),
		cmocka_unit_test(peer_rejects_while_choking),
		cmocka_unit_test(peer_serves_allowed_pieces_while_choking),
		cmocka_unit_test(
			peer_serves_allowed_pieces_twice_while_choking),
		cmocka_unit_test(
			peer_without_fast_is_not_answered_while_choking),
		cmocka_unit_test(peer_ends_a_flood_of_requests_that_it_refuses),
		cmocka_unit_test(peer_ends_a_flood_of_requests_that_it_ignores),
		cmocka_unit_test(peer_rejects_what_it_has_not),
		cmocka_unit_test(peer_answers_each_request_once_over_a_choke),
		cmocka_unit_test(peer_rejects_what_was_queued_before_a_choke),
		cmocka_unit_test(peer_answers_a_cancelled_request_once),
		cmocka_unit_test(peer_without_fast_forgets_a_cancelled_request),
		cmocka_unit_test(
			peer_ends_a_flood_of_cancels_that_come_too_late),
		cmocka_unit_test(peer_ends_a_flood_of_cancels_of_one_request),
		cmocka_unit_test(peer_ends_over_requests_that_are_no_blocks),
		cmocka_unit_test(peer_ends_a_flood_of_requests),
		cmocka_unit_test(
			peer_that_knows_no_limit_is_flooded_to_the_limit_only),
		cmocka_unit_test(peer_reports_data_that_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
