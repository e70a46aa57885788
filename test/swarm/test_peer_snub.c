/* A peer that gives nothing for a while, or refuses all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer_rig.h"
#include "support/clock_ahead.h"
#include "swarm/pipeline.h"

#define OTHERS 5

/* It has all, and is asked for so much at once. */
static void
begin(struct rig *r, struct remote *m, struct wire_message *asked)
{
	rig_open(r, "00000");
	rig_meet(r, m, true, true);
	remote_say_id(m, WIRE_HAVE_ALL);
	remote_await(m, WIRE_INTERESTED);
	remote_say_id(m, WIRE_UNCHOKE);
	for (int i = 0; i < PIPELINE_START; i++)
		asked[i] = remote_await(m, WIRE_REQUEST);
}

/* Others that have the piece take the peer's place for all of its blocks,
 * bring nothing, and leave. */
static void
outdo(struct rig *r, uint32_t piece)
{
	struct picker_ask ask = {.max = 4, .endgame_ok = true,
				 .now = clock_ns() + 30 * CLOCK_S};
	struct picker_peer *others[OTHERS];
	struct block blocks[4];

	for (uint32_t i = 0; i < OTHERS; i++) {
		others[i] = picker_join(r->swarm.picker, 100 + i, 100 + i);
		picker_peer_have(r->swarm.picker, others[i], piece);
		picker_reserve(r->swarm.picker, others[i], &ask, blocks);
	}
	for (uint32_t i = 0; i < OTHERS; i++)
		picker_leave(r->swarm.picker, others[i]);
}

/* Its oldest request was cancelled, so that the one that it keeps is another;
 * and as it refuses that, it is asked again, being the only one. */
static void
snubbed_peer_keeps_a_request_that_is_wanted(void **state)
{
	struct wire_message asked[PIPELINE_START];
	struct peer_view v = {0};
	struct remote m;
	struct rig r;
	int64_t until;

	(void)state;
	begin(&r, &m, asked);
	outdo(&r, asked[0].piece);
	atomic_fetch_add(&ahead_s, 61);
	until = clock_ns() + RIG_PATIENCE_S * CLOCK_S;
	remote_say_id(&m, WIRE_INTERESTED);	/* so that it looks */
	while (!v.snubbed) {
		assert_true(clock_ns() < until);
		usleep(1000);
		peer_look(r.peer, &v);
	}
	remote_say_id(&m, WIRE_CHOKE);
	for (int i = 0; i < PIPELINE_START; i++)
		remote_say_block(&m, WIRE_REJECT, asked[i].piece,
				 asked[i].offset, asked[i].length);
	remote_say_id(&m, WIRE_UNCHOKE);
	for (int i = 0; i < RIG_BLOCKS; i++) {
		struct wire_message one = remote_await(&m, WIRE_REQUEST);

		remote_say_piece(&m, r.bytes, r.meta.piece_length, &one);
	}
	rig_await(&r, &r.pieces, RIG_PIECES);
	close(m.fd);
	rig_close(&r);
}

/* By that it shows whether anything arrives there. */
static void
one_that_is_silent_is_told_that_we_are_there(void **state)
{
	struct wire_message asked[PIPELINE_START];
	struct remote m;
	struct rig r;

	(void)state;
	begin(&r, &m, asked);
	remote_say_piece(&m, r.bytes, r.meta.piece_length, &asked[0]);
	remote_await(&m, WIRE_REQUEST);
	atomic_fetch_add(&ahead_s, 6);
	peer_wake(r.peer);
	remote_await(&m, WIRE_KEEPALIVE);
	close(m.fd);
	rig_close(&r);
}

#define REJECTS 500		/* in a row, that are put up with */
#define REJECT_PAUSE_S 20	/* the longest */

/* The far end refuses the one request that is open, and the pause after it is
 * over. */
static void
refuse_one(struct rig *r, struct remote *m, unsigned n)
{
	struct wire_message q = remote_await(m, WIRE_REQUEST);

	remote_say_block(m, WIRE_REJECT, q.piece, q.offset, q.length);
	rig_await(r, &r->freed, n);
	atomic_fetch_add(&ahead_s, REJECT_PAUSE_S);
	peer_wake(r->peer);
}

static void
one_that_refuses_all_is_left_after_500_in_a_row(void **state)
{
	static const char one_at_a_time[] = "\0d4:reqqi1ee";
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, "00000");
	rig_meet(&r, &m, true, true);
	remote_say_payload(&m, WIRE_EXTENDED, one_at_a_time,
			   sizeof(one_at_a_time) - 1);
	remote_say_id(&m, WIRE_HAVE_ALL);
	remote_say_id(&m, WIRE_UNCHOKE);
	/* Each is for a request: so 500 are put up with. */
	for (unsigned i = 1; i <= REJECTS + 1; i++)
		refuse_one(&r, &m, i);
	while (remote_hear(&m, &got))
		assert_int_not_equal(got.id, WIRE_REQUEST);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_is_silent_is_told_that_we_are_there),
		cmocka_unit_test(snubbed_peer_keeps_a_request_that_is_wanted),
		cmocka_unit_test(
			one_that_refuses_all_is_left_after_500_in_a_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
