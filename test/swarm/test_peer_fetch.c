/* How a peer asks for blocks, and what it does with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "peer_rig.h"
#include "swarm/peer_parts.h"
#include "swarm/pipeline.h"

static const char none[] = "00000";

/* Does the file hold the whole torrent? */
static bool
is_whole(struct rig *r)
{
	size_t size = (size_t)r->meta.length;
	uint8_t *is = malloc(size);
	bool same = is &&
		    files_read(r->swarm.files, 0, is, size, NULL) == 0 &&
		    memcmp(is, r->bytes, size) == 0;

	free(is);
	return same;
}

/* ---- downloading ---- */

/* With the far end as a seed that has just unchoked. */
static void
meet_seed(struct rig *r, struct remote *m, bool fast)
{
	uint8_t bits = 0xf8;

	rig_open(r, none);
	rig_meet(r, m, fast, true);
	if (fast)
		remote_say_id(m, WIRE_HAVE_ALL);
	else
		remote_say_payload(m, WIRE_BITFIELD, &bits, 1);
	remote_await(m, WIRE_INTERESTED);
	remote_say_id(m, WIRE_UNCHOKE);
}

/* Answers so many requests. */
static void
serve(struct rig *r, struct remote *m, const uint8_t *bytes, size_t n)
{
	while (n-- > 0) {
		struct wire_message asked = remote_await(m, WIRE_REQUEST);

		remote_say_piece(m, bytes, r->meta.piece_length, &asked);
	}
}

static void
peer_downloads_a_torrent(void **state)
{
	struct peer_view v;
	struct remote m;
	struct rig r;

	(void)state;
	meet_seed(&r, &m, true);
	serve(&r, &m, r.bytes, RIG_BLOCKS);
	remote_await(&m, WIRE_NOT_INTERESTED);
	rig_await(&r, &r.pieces, RIG_PIECES);
	assert_int_equal(havelog_count(r.swarm.havelog), RIG_PIECES);
	assert_true(is_whole(&r));
	peer_look(r.peer, &v);
	assert_int_equal(v.downloaded, RIG_LENGTH);
	assert_true(v.seed);
	assert_int_equal(atomic_load(&r.swarm.wasted), 0);
	close(m.fd);
	rig_close(&r);
}

static void
peer_asks_for_nothing_while_choked(void **state)
{
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	rig_meet(&r, &m, true, true);
	remote_say_id(&m, WIRE_HAVE_NONE);
	remote_say_index(&m, WIRE_HAVE, 0);
	remote_await(&m, WIRE_INTERESTED);
	havelog_add(r.swarm.havelog, 4);	/* makes it speak */
	peer_wake(r.peer);
	do {
		assert_true(remote_hear(&m, &got));
		assert_int_not_equal(got.id, WIRE_REQUEST);
	} while (got.id != WIRE_HAVE);
	close(m.fd);
	rig_close(&r);
}

static void
peer_asks_for_allowed_pieces_while_choked(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	rig_meet(&r, &m, true, true);
	remote_say_id(&m, WIRE_HAVE_ALL);
	remote_say_index(&m, WIRE_ALLOWED_FAST, 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(remote_await(&m, WIRE_REQUEST).piece, 2);
	close(m.fd);
	rig_close(&r);
}

static void
peer_finds_who_sent_bad_data(void **state)
{
	uint8_t *bad = calloc(1, RIG_LENGTH);
	struct remote m;
	struct rig r;

	(void)state;
	meet_seed(&r, &m, true);
	serve(&r, &m, bad, 2);
	rig_await(&r, &r.bans, 1);
	assert_int_equal(r.banned, 77);
	assert_int_equal(r.pieces, 0);
	assert_true(atomic_load(&r.swarm.wasted) >= 1000);
	close(m.fd);
	rig_close(&r);
	free(bad);
}

static void
peer_fetches_a_bad_piece_again(void **state)
{
	uint8_t *bytes = malloc(RIG_LENGTH);
	unsigned bad = 0;
	struct remote m;
	struct rig r;

	(void)state;
	meet_seed(&r, &m, true);
	memcpy(bytes, r.bytes, RIG_LENGTH);
	/* One block of all is wrong, the first time. */
	while (bad < 1) {
		struct wire_message asked = remote_await(&m, WIRE_REQUEST);

		if (asked.offset > 0) {
			bytes[asked.piece * RIG_PIECE + asked.offset] ^= 1;
			bad++;
		}
		remote_say_piece(&m, bytes, RIG_PIECE, &asked);
	}
	memcpy(bytes, r.bytes, RIG_LENGTH);
	while (havelog_count(r.swarm.havelog) < RIG_PIECES) {
		struct wire_message got;

		assert_true(remote_hear(&m, &got));
		if (got.id == WIRE_REQUEST)
			remote_say_piece(&m, bytes, RIG_PIECE, &got);
		if (got.id == WIRE_NOT_INTERESTED)
			break;
	}
	assert_true(is_whole(&r));
	assert_true(r.bans > 0);
	assert_int_equal(r.banned, 77);
	close(m.fd);
	rig_close(&r);
	free(bytes);
}

static void
peer_asks_again_after_a_choke_without_fast(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	meet_seed(&r, &m, false);
	for (int i = 0; i < 4; i++)
		remote_await(&m, WIRE_REQUEST);
	remote_say_id(&m, WIRE_CHOKE);
	rig_await(&r, &r.freed, 1);
	assert_null(picker_check(r.swarm.picker));
	remote_say_id(&m, WIRE_UNCHOKE);
	serve(&r, &m, r.bytes, RIG_BLOCKS);
	remote_await(&m, WIRE_NOT_INTERESTED);
	assert_true(is_whole(&r));
	close(m.fd);
	rig_close(&r);
}

/* All that it asks for at first is taken back at once. */
static void
refuse_all(struct remote *m, bool fast)
{
	struct wire_message q[PIPELINE_START];

	for (int i = 0; i < PIPELINE_START; i++)
		q[i] = remote_await(m, WIRE_REQUEST);
	remote_say_id(m, WIRE_CHOKE);
	for (int i = 0; i < PIPELINE_START && fast; i++)
		remote_say_block(m, WIRE_REJECT, q[i].piece, q[i].offset,
				 q[i].length);
	remote_say_id(m, WIRE_UNCHOKE);
}

static void
peer_asks_later_after_turns_in_vain(void **state)
{
	struct remote m;
	int64_t began;
	struct rig r;

	(void)state;
	for (int fast = 0; fast < 2; fast++) {
		meet_seed(&r, &m, fast);
		began = clock_ns();
		refuse_all(&m, fast);	/* 100 ms */
		refuse_all(&m, fast);	/* 200 ms */
		remote_await(&m, WIRE_REQUEST);
		assert_true(clock_ns() - began >= 300 * CLOCK_MS);
		close(m.fd);
		rig_close(&r);
	}
}

/* What the session does for who waits for blocks. */
static void
wake(void *ctx)
{
	struct rig *r = ctx;

	peer_wake(r->peer);
}

static void
peer_asks_later_for_what_is_allowed_and_refused(void **state)
{
	struct wire_message q;
	struct remote m;
	int64_t began;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	r.swarm.events.blocks_free = wake;
	rig_meet(&r, &m, true, true);
	remote_say_id(&m, WIRE_HAVE_ALL);
	began = clock_ns();
	for (int i = 0; i < 3; i++) {	/* 0, 100 and 200 ms */
		remote_say_index(&m, WIRE_ALLOWED_FAST, 4);
		q = remote_await(&m, WIRE_REQUEST);
		remote_say_block(&m, WIRE_REJECT, q.piece, q.offset, q.length);
	}
	assert_true(clock_ns() - began >= 300 * CLOCK_MS);
	close(m.fd);
	rig_close(&r);
}

static void
peer_waits_for_rejects_after_a_choke_with_fast(void **state)
{
	struct wire_message q;
	struct remote m;
	struct rig r;

	(void)state;
	meet_seed(&r, &m, true);
	q = remote_await(&m, WIRE_REQUEST);
	remote_say_id(&m, WIRE_CHOKE);
	/* Answered all the same, and taken. */
	remote_say_piece(&m, r.bytes, RIG_PIECE, &q);
	q = remote_await(&m, WIRE_REQUEST);
	assert_int_equal(r.freed, 0);
	remote_say_block(&m, WIRE_REJECT, q.piece, q.offset, q.length);
	rig_await(&r, &r.freed, 1);
	assert_int_equal(atomic_load(&r.swarm.downloaded), 16384);
	close(m.fd);
	rig_close(&r);
}

/* Somebody else brings the first piece, and its hash is wrong. */
static struct picker_peer *
fail_first_piece(struct picker *p)
{
	struct picker_peer *pp = picker_join(p, 8, 88);
	struct picker_ask ask = {.max = RIG_BLOCKS};
	uint32_t losers[PICKER_LOSERS_MAX];
	struct block b[RIG_BLOCKS];
	size_t lost;

	assert_non_null(pp);
	picker_peer_have_all(p, pp);
	assert_int_equal(picker_reserve_piece(p, pp, 0, &ask, b), 2);
	for (int i = 0; i < 2; i++) {
		assert_true(picker_accept(p, pp, &b[i]));
		picker_deliver(p, pp, &b[i], losers, &lost);
	}
	assert_int_equal(picker_piece_bad(p, 0, true), 2);
	return pp;
}

static void
peer_leaves_a_piece_that_failed_when_choked_with_fast(void **state)
{
	static const char reqq[] = "\0d4:reqqi1ee";
	struct picker_ask ask = {.max = RIG_BLOCKS};
	uint8_t out[WIRE_PIECE_HEADER + 16384 + 5], bits = 0x80;
	struct block b[RIG_BLOCKS];
	struct picker_peer *other;
	struct wire_message q;
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	other = fail_first_piece(r.swarm.picker);
	rig_meet(&r, &m, true, true);
	remote_say_payload(&m, WIRE_EXTENDED, reqq, sizeof(reqq) - 1);
	remote_say_payload(&m, WIRE_BITFIELD, &bits, 1);
	remote_say_id(&m, WIRE_UNCHOKE);
	q = remote_await(&m, WIRE_REQUEST);
	assert_int_equal(q.piece, 0);
	/* In one go, so that it is asked for nothing between the two. */
	wire_put_piece_header(out, q.piece, q.offset, q.length);
	memcpy(out + WIRE_PIECE_HEADER, r.bytes + q.offset, q.length);
	wire_put_plain(out + WIRE_PIECE_HEADER + q.length, WIRE_CHOKE);
	remote_say(&m, out, sizeof(out));
	rig_await(&r, &r.freed, 1);
	assert_int_equal(picker_reserve_piece(r.swarm.picker, other, 0, &ask,
					      b), 2);
	picker_leave(r.swarm.picker, other);
	close(m.fd);
	rig_close(&r);
}

static void
peer_ignores_a_reject_of_another_length(void **state)
{
	struct wire_message q;
	struct remote m;
	struct rig r;

	(void)state;
	meet_seed(&r, &m, true);
	q = remote_await(&m, WIRE_REQUEST);
	remote_say_block(&m, WIRE_REJECT, q.piece, q.offset, 1);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&r, &r.interest, 1);
	assert_int_equal(r.freed, 0);
	/* The request still stands, for the true one to end it. */
	remote_say_block(&m, WIRE_REJECT, q.piece, q.offset, q.length);
	rig_await(&r, &r.freed, 1);
	close(m.fd);
	rig_close(&r);
}

/* As BitComet says no. */
static void
peer_takes_an_empty_block_for_a_reject(void **state)
{
	struct wire_message q;
	struct remote m;
	struct rig r;

	(void)state;
	meet_seed(&r, &m, true);
	q = remote_await(&m, WIRE_REQUEST);
	q.length = 0;
	remote_say_piece(&m, r.bytes, RIG_PIECE, &q);
	rig_await(&r, &r.freed, 1);
	assert_int_equal(r.ended, 0);
	close(m.fd);
	rig_close(&r);
}

static void
peer_ends_over_a_block_of_another_length(void **state)
{
	struct wire_message q;
	struct remote m;
	struct rig r;

	(void)state;
	meet_seed(&r, &m, true);
	q = remote_await(&m, WIRE_REQUEST);
	q.length--;
	remote_say_piece(&m, r.bytes, RIG_PIECE, &q);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	/* All that it was asked for can be asked of others. */
	assert_int_equal(r.freed, 1);
	assert_null(picker_check(r.swarm.picker));
	close(m.fd);
	rig_close(&r);
}

/* All blocks, and behind the last one what is no message. */
static void
peer_keeps_the_blocks_before_a_bad_message(void **state)
{
	struct wire_message q[PIPELINE_START];
	struct remote m;
	struct rig r;

	(void)state;
	meet_seed(&r, &m, true);
	serve(&r, &m, r.bytes, RIG_BLOCKS - PIPELINE_START);
	for (int i = 0; i < PIPELINE_START; i++)
		q[i] = remote_await(&m, WIRE_REQUEST);
	for (int i = 0; i < PIPELINE_START; i++)
		remote_say_piece(&m, r.bytes, RIG_PIECE, &q[i]);
	remote_say(&m, "\xff\xff\xff\xff\x07", 5);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	assert_int_equal(havelog_count(r.swarm.havelog), RIG_PIECES);
	assert_true(is_whole(&r));
	assert_null(picker_check(r.swarm.picker));
	close(m.fd);
	rig_close(&r);
}

static void
peer_takes_a_flood_of_blocks(void **state)
{
	struct remote m;
	char have[33];
	struct rig r;

	(void)state;
	memset(have, '0', 32);
	have[32] = '\0';
	rig_open_sized(&r, have, 8 * WIRE_BLOCK_MAX, 256 * WIRE_BLOCK_MAX);
	rig_meet(&r, &m, true, true);
	remote_say_id(&m, WIRE_HAVE_ALL);
	remote_await(&m, WIRE_INTERESTED);
	remote_say_id(&m, WIRE_UNCHOKE);
	serve(&r, &m, r.bytes, 256);
	remote_await(&m, WIRE_NOT_INTERESTED);
	rig_await(&r, &r.pieces, 32);
	assert_int_equal(havelog_count(r.swarm.havelog), 32);
	assert_true(is_whole(&r));
	assert_int_equal(atomic_load(&r.swarm.wasted), 0);
	close(m.fd);
	rig_await_end(&r);
	rig_close(&r);
}

static void
peer_drops_blocks_that_nobody_asked_for(void **state)
{
	struct wire_message q = {.piece = 3, .length = 16384};
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	rig_meet(&r, &m, true, true);
	remote_say_piece(&m, r.bytes, RIG_PIECE, &q);
	remote_say_id(&m, WIRE_HAVE_ALL);
	remote_await(&m, WIRE_INTERESTED);
	assert_int_equal(atomic_load(&r.swarm.downloaded), 0);
	assert_int_equal(atomic_load(&r.swarm.wasted), 16384);
	close(m.fd);
	rig_close(&r);
}

/* The remote's blocks come so often, whatever is asked for. */
static void
say_blocks(struct rig *r, struct remote *m, size_t n)
{
	struct wire_message q = {.piece = 3, .length = 16384};

	while (n-- > 0)
		remote_say_piece(m, r->bytes, RIG_PIECE, &q);
}

/* Returns once all that was said has been acted on. */
static void
await_interest(struct rig *r, struct remote *m)
{
	struct peer_view v;

	remote_say_id(m, WIRE_INTERESTED);
	rig_await(r, &r->interest, 1);
	peer_look(r->peer, &v);
	assert_int_equal(v.end, PEER_END_NONE);
}

static void
peer_ends_over_many_blocks_that_nobody_asked_for(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	rig_meet(&r, &m, true, true);
	say_blocks(&r, &m, 64);
	await_interest(&r, &m);
	say_blocks(&r, &m, 1);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

/* Those of before a choke may all be answered yet. */
static void
peer_expects_blocks_that_it_has_given_back(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	meet_seed(&r, &m, false);
	for (int i = 0; i < PIPELINE_START; i++)
		remote_await(&m, WIRE_REQUEST);
	remote_say_id(&m, WIRE_CHOKE);
	say_blocks(&r, &m, PIPELINE_START + 64);
	await_interest(&r, &m);
	say_blocks(&r, &m, 1);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

/* More than may bring nothing. */
#define REJECTS (16 * 1024)

static void
say_rejects(struct remote *m, size_t n)
{
	while (n-- > 0)
		remote_say_block(m, WIRE_REJECT, 0, 1, 5);
}

static void
peer_ends_over_many_rejects_of_nothing(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	meet_seed(&r, &m, true);
	remote_await(&m, WIRE_REQUEST);		/* and is not answered */
	say_rejects(&m, REJECTS / 2);
	await_interest(&r, &m);
	say_rejects(&m, REJECTS);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

/* As if each had been cancelled: with Fast it is answered all the same. */
static bool
admit_who_was_asked(void *ctx, struct peer *p, const char **why)
{
	p->blocks_asked = 2 * REJECTS;
	return rig_admit(ctx, p, why);
}

static void
peer_takes_a_reject_for_each_request_that_was_cancelled(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	r.swarm.events.admit = admit_who_was_asked;
	rig_meet(&r, &m, true, true);
	say_rejects(&m, 2 * REJECTS);
	await_interest(&r, &m);
	close(m.fd);
	rig_close(&r);
}

static void
request_is_late_after_90_s(void **state)
{
	struct peer_flight flight[2] = {{.at_us = UINT32_MAX - 1000},
					{.at_us = 10}};
	struct peer p = {.flight = flight, .flight_used = 2};
	int64_t asked = (UINT32_MAX - 1000LL) * CLOCK_US;

	(void)state;
	p.now = asked + 30 * CLOCK_S;	/* the microseconds have wrapped */
	assert_int_equal(peer_flight_due(&p), asked + 90 * CLOCK_S);
	p.now = asked + 90 * CLOCK_S - CLOCK_US;
	assert_int_equal(peer_flight_due(&p), asked + 90 * CLOCK_S);
	p.now = asked + 95 * CLOCK_S;
	assert_int_equal(peer_flight_due(&p), p.now);
	p.flight_used = 0;
	assert_true(peer_flight_due(&p) == CLOCK_NEVER);
}

/* Asked for again, all of it would come twice; and the more of that waits,
 * the later is what comes. */
static void
request_is_not_late_before_what_came_is_read(void **state)
{
	struct peer_flight flight = {.at_us = 0};
	struct swarm swarm = {0};
	struct peer p = {.swarm = &swarm, .flight = &flight,
			 .flight_used = 1, .now = 95 * CLOCK_S};
	struct ratelimit down;

	(void)state;
	swarm.down = &down;
	ratelimit_init(&down, 1024);
	p.in_more = true;
	assert_true(peer_flight_due(&p) == CLOCK_NEVER);
	p.in_more = false;
	assert_int_equal(peer_flight_due(&p), p.now);
	ratelimit_release(&down);
	/* Without a limit it is read at once. */
	ratelimit_init(&down, 0);
	p.in_more = true;
	assert_int_equal(peer_flight_due(&p), p.now);
	ratelimit_release(&down);
}

static void
peer_gives_its_blocks_back_when_it_leaves(void **state)
{
	struct picker_totals totals;
	struct remote m;
	struct rig r;

	(void)state;
	meet_seed(&r, &m, true);
	remote_await(&m, WIRE_REQUEST);
	close(m.fd);
	rig_await_end(&r);
	assert_int_equal(r.freed, 1);
	picker_totals(r.swarm.picker, &totals);
	assert_int_equal(totals.active, 0);
	rig_close(&r);
}

static void
peer_learns_where_the_other_side_listens(void **state)
{
	static const char dict[] = "\0d1:pi12345e4:reqqi1e"
				   "11:upload_onlyi1ee";
	struct peer_view v;
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	rig_meet(&r, &m, true, true);
	remote_say_payload(&m, WIRE_EXTENDED, dict, sizeof(dict) - 1);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&r, &r.interest, 1);
	assert_int_equal(peer_listen_addr(r.peer).port, 12345);
	peer_look(r.peer, &v);
	assert_true(v.upload_only);
	assert_false(v.seed);
	close(m.fd);
	rig_close(&r);
}

/* ---- both directions ---- */

/* A TCP connection on loopback with buffers that hold a few blocks. */
static void
tcp_pair(int fds[2])
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t size = sizeof(in);
	int small = 32 * 1024;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&in, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &size),
			 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&in, size), 0);
	fds[1] = accept(listener, NULL, NULL);
	assert_true(fds[1] >= 0);
	for (int i = 0; i < 2; i++) {
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &small,
			   sizeof(small));
		setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &small,
			   sizeof(small));
	}
	close(listener);
}

#define MANY 64			/* pieces of 256 KiB */

static void
open_half(struct rig *r, int odd)
{
	char have[MANY + 1];

	for (int i = 0; i < MANY; i++)
		have[i] = "01"[i % 2 == odd];
	have[MANY] = '\0';
	rig_open_sized(r, have, 16 * WIRE_BLOCK_MAX,
		       (uint64_t)MANY * 16 * WIRE_BLOCK_MAX);
	rig_write(r, have);
}

static void
peers_exchange_halves_at_full_speed(void **state)
{
	struct rig r[2];
	int fds[2];

	(void)state;
	open_half(&r[0], 0);
	open_half(&r[1], 1);
	tcp_pair(fds);
	for (int i = 0; i < 2; i++) {
		rig_peer(&r[i], fds[i], i == 0);
		peer_order_unchoke(r[i].peer, true);
	}
	for (int i = 0; i < 2; i++)
		rig_await(&r[i], &r[i].pieces, MANY / 2);
	for (int i = 0; i < 2; i++) {
		assert_true(is_whole(&r[i]));
		assert_int_equal(r[i].bans, 0);
	}
	peer_stop(r[0].peer);
	rig_await_end(&r[1]);
	for (int i = 0; i < 2; i++)
		rig_close(&r[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_downloads_a_torrent),
		cmocka_unit_test(peer_asks_for_nothing_while_choked),
		cmocka_unit_test(peer_asks_for_allowed_pieces_while_choked),
		cmocka_unit_test(peer_finds_who_sent_bad_data),
		cmocka_unit_test(peer_fetches_a_bad_piece_again),
		cmocka_unit_test(peer_asks_again_after_a_choke_without_fast),
		cmocka_unit_test(peer_asks_later_after_turns_in_vain),
		cmocka_unit_test(
		    peer_asks_later_for_what_is_allowed_and_refused),
		cmocka_unit_test(
			peer_waits_for_rejects_after_a_choke_with_fast),
		cmocka_unit_test(
			peer_leaves_a_piece_that_failed_when_choked_with_fast),
		cmocka_unit_test(peer_ignores_a_reject_of_another_length),
		cmocka_unit_test(peer_takes_an_empty_block_for_a_reject),
		cmocka_unit_test(peer_ends_over_a_block_of_another_length),
		cmocka_unit_test(peer_keeps_the_blocks_before_a_bad_message),
		cmocka_unit_test(peer_takes_a_flood_of_blocks),
		cmocka_unit_test(peer_drops_blocks_that_nobody_asked_for),
		cmocka_unit_test(
		    peer_ends_over_many_blocks_that_nobody_asked_for),
		cmocka_unit_test(peer_expects_blocks_that_it_has_given_back),
		cmocka_unit_test(peer_ends_over_many_rejects_of_nothing),
		cmocka_unit_test(
		    peer_takes_a_reject_for_each_request_that_was_cancelled),
		cmocka_unit_test(request_is_late_after_90_s),
		cmocka_unit_test(request_is_not_late_before_what_came_is_read),
		cmocka_unit_test(peer_gives_its_blocks_back_when_it_leaves),
		cmocka_unit_test(peer_learns_where_the_other_side_listens),
		cmocka_unit_test(peers_exchange_halves_at_full_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
