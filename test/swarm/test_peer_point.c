/* Super-seeding and hints, as a peer sees them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer_rig.h"
#include "swarm/superseed.h"

static const char all[] = "11111", none[] = "00000";

static void
open_seed(struct rig *r, bool show)
{
	rig_open(r, all);
	atomic_store(&r->swarm.complete, true);
	atomic_store(&r->swarm.superseed,
		     superseed_new(RIG_PIECES, show, 1, NULL));
	MUST(atomic_load(&r->swarm.superseed));
}

/* Another peer of the swarm, which the engine knows of. */
static struct superseed_peer *
another(struct rig *r)
{
	return superseed_join(atomic_load(&r->swarm.superseed), 99);
}

static void
close_seed(struct rig *r, struct superseed_peer *other)
{
	struct superseed *s = atomic_load(&r->swarm.superseed);

	peer_stop(r->peer);
	peer_free(r->peer);
	r->peer = NULL;
	superseed_leave(s, other);
	superseed_free(s);
	rig_close(r);
}

static void
super_seed_says_that_it_has_nothing_and_shows_a_piece(void **state)
{
	struct extension_handshake h = {0};
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	open_seed(&r, true);
	rig_meet(&r, &m, true, true);
	MUST(remote_hear(&m, &got));
	assert_int_equal(got.id, WIRE_HAVE_NONE);
	MUST(remote_hear(&m, &got));
	assert_int_equal(got.id, WIRE_EXTENDED);
	assert_int_equal(extension_parse_handshake(
				 &h, m.message + WIRE_HEADER + 2, got.size,
				 NULL), 0);
	assert_false(h.upload_only);
	MUST(remote_hear(&m, &got));
	assert_int_equal(got.id, WIRE_HAVE);
	close(m.fd);
	close_seed(&r, NULL);
}

static void
super_seed_sends_no_bitfield_without_fast(void **state)
{
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	open_seed(&r, true);
	rig_meet(&r, &m, false, false);
	MUST(remote_hear(&m, &got));
	assert_int_equal(got.id, WIRE_HAVE);
	close(m.fd);
	close_seed(&r, NULL);
}

/* Who is to be unchoked is shown a second piece, before or after the word. */
static uint32_t
await_second_and_unchoke(struct remote *m)
{
	uint32_t second = UINT32_MAX;
	struct wire_message got;
	bool unchoked = false;

	while (second == UINT32_MAX || !unchoked) {
		MUST(remote_hear(m, &got));
		if (got.id == WIRE_HAVE)
			second = got.piece;
		unchoked = unchoked || got.id == WIRE_UNCHOKE;
	}
	return second;
}

static void
super_seed_gives_what_it_has_shown_and_nothing_else(void **state)
{
	struct superseed_peer *other;
	struct remote m;
	struct rig r;
	uint32_t shown, second;

	(void)state;
	open_seed(&r, true);
	other = another(&r);
	rig_meet(&r, &m, true, true);
	shown = remote_await(&m, WIRE_HAVE).piece;
	remote_say_id(&m, WIRE_INTERESTED);
	peer_order_unchoke(r.peer, true);
	second = await_second_and_unchoke(&m);
	assert_int_not_equal(second, shown);
	for (uint32_t i = 0; i < RIG_PIECES; i++) {
		bool may = i == shown || i == second;
		struct wire_message answer;

		remote_say_block(&m, WIRE_REQUEST, i, 0, 1000);
		MUST(remote_hear(&m, &answer));
		assert_int_equal(answer.id, may ? WIRE_PIECE : WIRE_REJECT);
		assert_int_equal(answer.piece, i);
	}
	close(m.fd);
	close_seed(&r, other);
}

static void
super_seed_shows_the_next_piece_when_one_was_passed_on(void **state)
{
	struct superseed_peer *other;
	struct wire_message got;
	struct remote m;
	struct rig r;
	uint32_t a, b;

	(void)state;
	open_seed(&r, true);
	other = another(&r);
	rig_meet(&r, &m, true, true);
	a = remote_await(&m, WIRE_HAVE).piece;
	peer_order_unchoke(r.peer, true);
	b = remote_await(&m, WIRE_HAVE).piece;
	remote_say_index(&m, WIRE_HAVE, a);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&r, &r.interest, 1);
	assert_int_equal(superseed_have(atomic_load(&r.swarm.superseed),
					other, a, clock_ns()), 7);
	peer_wake(r.peer);
	got = remote_await(&m, WIRE_HAVE);
	assert_true(got.piece != a && got.piece != b);
	close(m.fd);
	close_seed(&r, other);
}

static void
super_seed_shows_everything_when_it_is_over(void **state)
{
	struct extension_handshake h = {0};
	struct superseed_peer *other;
	bool seen[RIG_PIECES] = {false};
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	open_seed(&r, true);
	other = another(&r);
	rig_meet(&r, &m, true, true);
	remote_await(&m, WIRE_EXTENDED);
	for (uint32_t i = 0; i < RIG_PIECES; i++)
		superseed_have(atomic_load(&r.swarm.superseed), other, i,
			       clock_ns());
	peer_wake(r.peer);
	for (int i = 0; i < RIG_PIECES; i++) {
		got = remote_await(&m, WIRE_HAVE);
		assert_false(seen[got.piece]);
		seen[got.piece] = true;
	}
	got = remote_await(&m, WIRE_EXTENDED);
	assert_int_equal(extension_parse_handshake(
				 &h, m.message + WIRE_HEADER + 2, got.size,
				 NULL), 0);
	assert_true(h.upload_only);
	close(m.fd);
	close_seed(&r, other);
}

static void
seed_gives_hints_to_those_that_it_serves(void **state)
{
	struct superseed_peer *other;
	struct wire_message got;
	struct remote m;
	struct rig r;
	uint32_t a;

	(void)state;
	open_seed(&r, false);
	other = another(&r);
	rig_meet(&r, &m, true, true);
	MUST(remote_hear(&m, &got));
	assert_int_equal(got.id, WIRE_HAVE_ALL);
	remote_say_id(&m, WIRE_INTERESTED);
	peer_order_unchoke(r.peer, true);
	do
		MUST(remote_hear(&m, &got));
	while (got.id == WIRE_EXTENDED || got.id == WIRE_ALLOWED_FAST ||
	       got.id == WIRE_UNCHOKE);
	assert_int_equal(got.id, WIRE_SUGGEST);
	a = got.piece;
	assert_int_not_equal(remote_await(&m, WIRE_SUGGEST).piece, a);
	/* One is followed: there is another one. */
	remote_say_block(&m, WIRE_REQUEST, a, 0, 1000);
	assert_int_not_equal(remote_await(&m, WIRE_SUGGEST).piece, a);
	close(m.fd);
	close_seed(&r, other);
}

static void
seed_gives_no_hints_without_fast(void **state)
{
	struct superseed_peer *other;
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	open_seed(&r, false);
	other = another(&r);
	rig_meet(&r, &m, false, false);
	remote_say_id(&m, WIRE_INTERESTED);
	peer_order_unchoke(r.peer, true);
	remote_await(&m, WIRE_UNCHOKE);
	remote_say_block(&m, WIRE_REQUEST, 0, 0, 1000);
	MUST(remote_hear(&m, &got));
	assert_int_equal(got.id, WIRE_PIECE);
	close(m.fd);
	close_seed(&r, other);
}

/* A seed that gives hints has to know what became of them. */
static void
leech_follows_hints_and_tells_who_gave_them(void **state)
{
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	rig_meet(&r, &m, true, true);
	remote_say_id(&m, WIRE_HAVE_ALL);
	remote_say_index(&m, WIRE_SUGGEST, 3);
	remote_say_id(&m, WIRE_UNCHOKE);
	got = remote_await(&m, WIRE_REQUEST);
	assert_int_equal(got.piece, 3);
	while (!picker_have(r.swarm.picker, 3)) {
		remote_say_piece(&m, r.bytes, RIG_PIECE, &got);
		if (got.piece == 3 && got.offset > 0)
			break;
		got = remote_await(&m, WIRE_REQUEST);
	}
	rig_await(&r, &r.pieces, 1);
	peer_wake(r.peer);
	assert_int_equal(remote_await(&m, WIRE_HAVE).piece, 3);
	close(m.fd);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			super_seed_says_that_it_has_nothing_and_shows_a_piece),
		cmocka_unit_test(super_seed_sends_no_bitfield_without_fast),
		cmocka_unit_test(
			super_seed_gives_what_it_has_shown_and_nothing_else),
		cmocka_unit_test(
			super_seed_shows_the_next_piece_when_one_was_passed_on),
		cmocka_unit_test(super_seed_shows_everything_when_it_is_over),
		cmocka_unit_test(seed_gives_hints_to_those_that_it_serves),
		cmocka_unit_test(seed_gives_no_hints_without_fast),
		cmocka_unit_test(leech_follows_hints_and_tells_who_gave_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
