/* Hole punching, as a peer's loop sees it: whom it asks, whom it tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer_rig.h"
#include "support/clock_ahead.h"
#include "swarm/holepunch.h"
#include "swarm/pex.h"

#define THEIR_ID 9	/* the far end's number for these messages */
#define MANY 60

static const char none[] = "00000";
static const struct addr somebody = {
	.ip = {203, 0, 113, 9}, .port = 6881, .family = AF_INET};
static const struct addr elsewhere = {
	.ip = {203, 0, 113, 9}, .port = 40000, .family = AF_INET};

struct punch_rig {
	struct rig rig;
	uint32_t refusal;	/* what introduce says */
	unsigned introduced;	/* rig.lock */
	unsigned punched;	/* rig.lock */
	struct addr last;	/* rig.lock; of either */
	uint8_t flags;		/* of the last one found */
	uint32_t teller;
	unsigned found;		/* rig.lock */
};

static void
note(struct punch_rig *n, const struct addr *a, unsigned *what)
{
	mutex_lock(&n->rig.lock);
	n->last = *a;
	mutex_unlock(&n->rig.lock);
	rig_count(&n->rig, what);
}

static uint32_t
on_introduce(void *ctx, struct peer *p, const struct addr *target,
	     struct addr *where)
{
	struct punch_rig *n = ctx;

	(void)p;
	*where = elsewhere;
	note(n, target, &n->introduced);
	return n->refusal;
}

static void
on_punch(void *ctx, struct peer *p, const struct addr *to)
{
	struct punch_rig *n = ctx;

	(void)p;
	note(n, to, &n->punched);
}

static size_t
on_connected(void *ctx, uint32_t id, struct pex_peer *out, size_t max)
{
	(void)ctx;
	(void)id;
	(void)out;
	(void)max;
	return 0;
}

static void
on_found(void *ctx, uint32_t id, const struct pex_peer *peers, size_t count)
{
	struct punch_rig *n = ctx;

	MUST(count == 1);
	n->flags = peers->flags;
	n->teller = id;
	rig_count(&n->rig, &n->found);
}

static void
open_punch(struct punch_rig *n, bool on)
{
	memset(n, 0, sizeof(*n));
	rig_open(&n->rig, none);
	n->rig.swarm.use_holepunch = on;
	n->rig.swarm.use_pex = true;
	n->rig.swarm.events.introduce = on_introduce;
	n->rig.swarm.events.punch = on_punch;
	n->rig.swarm.events.connected = on_connected;
	n->rig.swarm.events.found = on_found;
}

static void
close_punch(struct punch_rig *n, struct remote *m)
{
	close(m->fd);
	rig_await_end(&n->rig);
	rig_close(&n->rig);
}

/* The far end's handshake; with it, it knows the extension. */
static void
say_hello(struct remote *m, bool knows)
{
	static const char dict[] = "\0d1:md12:ut_holepunchi9eee";
	static const char without[] = "\0d1:mdee";

	if (knows)
		remote_say_payload(m, WIRE_EXTENDED, dict, sizeof(dict) - 1);
	else
		remote_say_payload(m, WIRE_EXTENDED, without,
				   sizeof(without) - 1);
}

/* Up to where the far end has said what it knows. */
static void
meet(struct punch_rig *n, struct remote *m, bool knows)
{
	rig_meet(&n->rig, m, true, true);
	say_hello(m, knows);
}

/* What was said before is acted on. */
static void
settle(struct punch_rig *n, struct remote *m)
{
	unsigned before;

	mutex_lock(&n->rig.lock);
	before = n->rig.interest;
	mutex_unlock(&n->rig.lock);
	remote_say_id(m, before % 2 ? WIRE_NOT_INTERESTED : WIRE_INTERESTED);
	rig_await(&n->rig, &n->rig.interest, before + 1);
}

static void
say(struct remote *m, enum holepunch_kind kind, const struct addr *a)
{
	struct holepunch message = {.kind = kind, .addr = *a};
	struct buffer b;

	buffer_init(&b, HOLEPUNCH_MAX + 1);
	buffer_u8(&b, EXTENSION_HOLEPUNCH);
	holepunch_put(&b, &message);
	MUST(!b.failed);
	remote_say_payload(m, WIRE_EXTENDED, b.data, b.used);
	buffer_release(&b);
}

/* The next one for the far end. */
static struct holepunch
hear(struct remote *m)
{
	struct wire_message got;
	struct holepunch message;

	do
		got = remote_await(m, WIRE_EXTENDED);
	while (got.extended != THEIR_ID);
	MUST(holepunch_parse(&message, got.data, got.size));
	return message;
}

/* ---- who takes part ---- */

static uint8_t
announced(struct punch_rig *n)
{
	struct extension_handshake h = {0};
	struct wire_message got;
	struct remote m;

	rig_meet(&n->rig, &m, true, true);
	got = remote_await(&m, WIRE_EXTENDED);
	MUST(extension_parse_handshake(&h, got.data, got.size, NULL) == 0);
	close_punch(n, &m);
	return h.ids[EXTENSION_HOLEPUNCH];
}

static void
peer_says_that_it_knows_how_with_utp(void **state)
{
	struct punch_rig n;

	(void)state;
	open_punch(&n, true);
	assert_int_equal(announced(&n), EXTENSION_HOLEPUNCH);
	open_punch(&n, false);
	assert_int_equal(announced(&n), 0);
}

static void
peer_of_a_private_torrent_says_nothing_of_it(void **state)
{
	struct punch_rig n;

	(void)state;
	open_punch(&n, true);
	n.rig.swarm.private = true;
	assert_int_equal(announced(&n), 0);
}

static void
ignores_all(struct punch_rig *n, bool knows)
{
	struct remote m;

	meet(n, &m, knows);
	say(&m, HOLEPUNCH_CONNECT, &somebody);
	say(&m, HOLEPUNCH_RENDEZVOUS, &somebody);
	say(&m, HOLEPUNCH_ERROR, &somebody);
	settle(n, &m);
	assert_int_equal(n->punched + n->introduced, 0);
	close_punch(n, &m);
}

static void
peer_ignores_who_does_not_know_how(void **state)
{
	struct punch_rig n;

	(void)state;
	open_punch(&n, true);
	ignores_all(&n, false);
}

static void
peer_ignores_all_of_it_without_utp(void **state)
{
	struct punch_rig n;

	(void)state;
	open_punch(&n, false);
	ignores_all(&n, true);
}

static void
peer_ignores_all_of_it_when_private(void **state)
{
	struct punch_rig n;

	(void)state;
	open_punch(&n, true);
	n.rig.swarm.private = true;
	ignores_all(&n, true);
}

/* ---- told to connect ---- */

static void
peer_that_says_connect_has_somebody_called(void **state)
{
	struct punch_rig n;
	struct remote m;

	(void)state;
	open_punch(&n, true);
	meet(&n, &m, true);
	say(&m, HOLEPUNCH_CONNECT, &somebody);
	rig_await(&n.rig, &n.punched, 1);
	assert_true(addr_equal(&n.last, &somebody));
	close_punch(&n, &m);
}

static void
peer_has_nobody_called_who_cannot_be(void **state)
{
	struct addr without_port = somebody, group = somebody;
	struct punch_rig n;
	struct remote m;

	(void)state;
	without_port.port = 0;
	group.ip[0] = 224;
	open_punch(&n, true);
	meet(&n, &m, true);
	say(&m, HOLEPUNCH_CONNECT, &without_port);
	say(&m, HOLEPUNCH_CONNECT, &group);
	settle(&n, &m);
	assert_int_equal(n.punched, 0);
	close_punch(&n, &m);
}

static void
peer_goes_on_over_what_it_cannot_read(void **state)
{
	static const char *const odd[] = {"\4", "\4\1", "\4\1\0\1\2\3",
					  "\4\1\7\1\2\3\4\5\6\7\10",
					  "\4\7\1\1\2\3\4\5\6\7\10"};
	struct punch_rig n;
	struct remote m;

	(void)state;
	open_punch(&n, true);
	meet(&n, &m, true);
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++)
		remote_say_payload(&m, WIRE_EXTENDED, odd[i],
				   i == 2 ? 6 : strlen(odd[i]));
	say(&m, HOLEPUNCH_CONNECT, &somebody);
	rig_await(&n.rig, &n.punched, 1);
	assert_int_equal(n.punched, 1);
	close_punch(&n, &m);
}

static void
peer_has_only_so_many_called(void **state)
{
	struct punch_rig n;
	struct remote m;

	(void)state;
	open_punch(&n, true);
	meet(&n, &m, true);
	for (int i = 0; i < MANY; i++)
		say(&m, HOLEPUNCH_CONNECT, &somebody);
	settle(&n, &m);
	/* Ten, and one more for each second that this took. */
	assert_in_range(n.punched, 10, MANY / 2);
	close_punch(&n, &m);
}

/* ---- asked for a rendezvous ---- */

static void
peer_that_asks_is_told_where_to_connect_to(void **state)
{
	struct punch_rig n;
	struct holepunch got;
	struct remote m;

	(void)state;
	open_punch(&n, true);
	meet(&n, &m, true);
	say(&m, HOLEPUNCH_RENDEZVOUS, &somebody);
	got = hear(&m);
	assert_int_equal(got.kind, HOLEPUNCH_CONNECT);
	assert_true(addr_equal(&got.addr, &elsewhere));
	assert_true(addr_equal(&n.last, &somebody));
	close_punch(&n, &m);
}

static void
peer_that_asks_is_told_why_not(void **state)
{
	struct punch_rig n;
	struct holepunch got;
	struct remote m;

	(void)state;
	open_punch(&n, true);
	n.refusal = HOLEPUNCH_NO_SUPPORT;
	meet(&n, &m, true);
	say(&m, HOLEPUNCH_RENDEZVOUS, &somebody);
	got = hear(&m);
	assert_int_equal(got.kind, HOLEPUNCH_ERROR);
	assert_int_equal(got.error, HOLEPUNCH_NO_SUPPORT);
	assert_true(addr_equal(&got.addr, &somebody));
	close_punch(&n, &m);
}

static void
peer_that_asks_for_an_impossible_address_hears_so(void **state)
{
	struct addr without_port = somebody;
	struct punch_rig n;
	struct holepunch got;
	struct remote m;

	(void)state;
	without_port.port = 0;
	open_punch(&n, true);
	meet(&n, &m, true);
	say(&m, HOLEPUNCH_RENDEZVOUS, &without_port);
	got = hear(&m);
	assert_int_equal(got.kind, HOLEPUNCH_ERROR);
	assert_int_equal(got.error, HOLEPUNCH_NO_SUCH_PEER);
	assert_int_equal(got.addr.port, 0);
	assert_int_equal(n.introduced, 0);
	close_punch(&n, &m);
}

static void
peer_may_ask_only_so_often(void **state)
{
	struct punch_rig n;
	struct remote m;

	(void)state;
	open_punch(&n, true);
	meet(&n, &m, true);
	for (int i = 0; i < MANY; i++)
		say(&m, HOLEPUNCH_RENDEZVOUS, &somebody);
	settle(&n, &m);
	assert_in_range(n.introduced, 20, MANY / 2);
	close_punch(&n, &m);
}

/* ---- told by others ---- */

static void
peer_is_told_what_others_have_for_it(void **state)
{
	struct holepunch word = {.kind = HOLEPUNCH_CONNECT, .addr = somebody};
	struct punch_rig n;
	struct peer_view v;
	struct holepunch got;
	struct remote m;

	(void)state;
	open_punch(&n, true);
	meet(&n, &m, true);
	settle(&n, &m);
	peer_look(n.rig.peer, &v);
	assert_true(v.holepunch);
	assert_true(peer_say_holepunch(n.rig.peer, &word));
	got = hear(&m);
	assert_int_equal(got.kind, HOLEPUNCH_CONNECT);
	assert_true(addr_equal(&got.addr, &somebody));
	close_punch(&n, &m);
}

static void
peer_that_does_not_know_how_is_told_nothing(void **state)
{
	struct holepunch word = {.kind = HOLEPUNCH_CONNECT, .addr = somebody};
	struct punch_rig n;
	struct peer_view v;
	struct remote m;

	(void)state;
	open_punch(&n, true);
	meet(&n, &m, false);
	settle(&n, &m);
	peer_look(n.rig.peer, &v);
	assert_false(v.holepunch);
	assert_false(peer_say_holepunch(n.rig.peer, &word));
	close_punch(&n, &m);
}

/* As much as it may be; each word is heard, so that none waits in the queue. */
static unsigned
tell_all(struct punch_rig *n, struct remote *m)
{
	struct holepunch word = {.kind = HOLEPUNCH_CONNECT, .addr = somebody};
	unsigned said = 0;

	while (said < MANY && peer_say_holepunch(n->rig.peer, &word)) {
		hear(m);
		said++;
	}
	return said;
}

/* Twenty, and one for each half of a second since. */
static int64_t
words_due(int64_t began)
{
	return 20 + (clock_ns() - began) / (500 * CLOCK_MS);
}

static void
peer_is_told_20_things_at_once_and_then_two_a_second(void **state)
{
	struct punch_rig n;
	struct remote m;
	int64_t began;
	unsigned said;

	(void)state;
	open_punch(&n, true);
	meet(&n, &m, true);
	settle(&n, &m);
	began = clock_ns();
	said = tell_all(&n, &m);
	assert_in_range(said, 20, words_due(began));
	atomic_fetch_add(&ahead_s, 1);
	said += tell_all(&n, &m);
	assert_in_range(said, 22, words_due(began));
	close_punch(&n, &m);
}

static void
peer_that_came_by_utp_is_called_where_it_came_from(void **state)
{
	static const char dict[] = "\0d1:pi12345eee";
	struct punch_rig n;
	struct remote m;

	(void)state;
	open_punch(&n, true);
	rig_meet(&n.rig, &m, true, true);
	assert_int_equal(peer_utp_addr(n.rig.peer).port,
			 peer_addr(n.rig.peer)->port);
	remote_say_payload(&m, WIRE_EXTENDED, dict, sizeof(dict) - 1);
	settle(&n, &m);
	/* To the rig, a socket pair is uTP. */
	assert_int_equal(peer_listen_addr(n.rig.peer).port, 12345);
	assert_int_equal(peer_utp_addr(n.rig.peer).port,
			 peer_addr(n.rig.peer)->port);
	close_punch(&n, &m);
}

/* ---- peer exchange ---- */

static uint8_t
flags_of_a_found_one(struct punch_rig *n, bool knows)
{
	struct pex_message pex = {.added_count = 1};
	struct remote m;
	struct buffer b;

	pex.added[0] = (struct pex_peer){somebody, PEX_HOLEPUNCH | PEX_UTP};
	buffer_init(&b, 256);
	buffer_u8(&b, EXTENSION_PEX);
	pex_put(&b, &pex);
	meet(n, &m, knows);
	remote_say_payload(&m, WIRE_EXTENDED, b.data, b.used);
	buffer_release(&b);
	rig_await(&n->rig, &n->found, 1);
	assert_int_equal(n->teller, peer_id_number(n->rig.peer));
	close_punch(n, &m);
	return n->flags;
}

static void
peer_that_tells_of_others_is_a_relay_if_it_knows_how(void **state)
{
	struct punch_rig n;

	(void)state;
	open_punch(&n, true);
	assert_int_equal(flags_of_a_found_one(&n, true),
			 PEX_HOLEPUNCH | PEX_UTP);
	open_punch(&n, true);
	assert_int_equal(flags_of_a_found_one(&n, false), PEX_UTP);
	open_punch(&n, false);
	assert_int_equal(flags_of_a_found_one(&n, true), PEX_UTP);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_says_that_it_knows_how_with_utp),
		cmocka_unit_test(peer_of_a_private_torrent_says_nothing_of_it),
		cmocka_unit_test(peer_ignores_who_does_not_know_how),
		cmocka_unit_test(peer_ignores_all_of_it_without_utp),
		cmocka_unit_test(peer_ignores_all_of_it_when_private),
		cmocka_unit_test(peer_that_says_connect_has_somebody_called),
		cmocka_unit_test(peer_has_nobody_called_who_cannot_be),
		cmocka_unit_test(peer_goes_on_over_what_it_cannot_read),
		cmocka_unit_test(peer_has_only_so_many_called),
		cmocka_unit_test(peer_that_asks_is_told_where_to_connect_to),
		cmocka_unit_test(peer_that_asks_is_told_why_not),
		cmocka_unit_test(
			peer_that_asks_for_an_impossible_address_hears_so),
		cmocka_unit_test(peer_may_ask_only_so_often),
		cmocka_unit_test(peer_is_told_what_others_have_for_it),
		cmocka_unit_test(peer_that_does_not_know_how_is_told_nothing),
		cmocka_unit_test(
			peer_is_told_20_things_at_once_and_then_two_a_second),
		cmocka_unit_test(
			peer_that_came_by_utp_is_called_where_it_came_from),
		cmocka_unit_test(
			peer_that_tells_of_others_is_a_relay_if_it_knows_how),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
