/* How a peer begins, talks about pieces, and ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer_rig.h"
#include "swarm/peer_parts.h"
#include "swarm/extension.h"

static const char none[] = "00000", all[] = "11111", some[] = "10100";

/* ---- the handshake ---- */

static void
peer_that_dialled_speaks_first(void **state)
{
	struct rig r;
	struct remote m;
	struct handshake h = {0};

	(void)state;
	rig_open(&r, none);
	rig_connect(&r, &m, false);
	assert_true(remote_hear_handshake(&m, &h));
	assert_memory_equal(h.info_hash, RIG_HASH, 20);
	assert_memory_equal(h.peer_id, r.swarm.peer_id, 20);
	assert_true(h.fast && h.extended && !h.dht);
	remote_say_handshake(&m, true, true);
	rig_await(&r, &r.admitted, 1);
	assert_memory_equal(peer_remote_id(r.peer), "-XX0000-somebodyelse", 20);
	close(m.fd);
	assert_int_equal(rig_await_end(&r), PEER_END_CLOSED);
	rig_close(&r);
}

static void
peer_that_came_in_is_answered(void **state)
{
	struct rig r;
	struct remote m;
	struct handshake h;
	char byte;

	(void)state;
	rig_open(&r, none);
	rig_connect(&r, &m, true);
	/* It has nothing to say before it knows which torrent is meant. */
	assert_int_equal(recv(m.fd, &byte, 1, MSG_DONTWAIT), -1);
	remote_say_handshake(&m, true, true);
	assert_true(remote_hear_handshake(&m, &h));
	assert_memory_equal(h.info_hash, RIG_HASH, 20);
	close(m.fd);
	rig_await_end(&r);
	rig_close(&r);
}

/* Some programs, and trackers that look whether we can be reached, keep their
 * peer id back until then. */
static void
peer_answers_who_has_named_the_torrent(void **state)
{
	uint8_t raw[HANDSHAKE_SIZE];
	struct handshake h = {.fast = true};
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, all);
	rig_connect(&r, &m, true);
	memcpy(h.info_hash, RIG_HASH, 20);
	memcpy(h.peer_id, "-XX0000-somebodyelse", 20);
	handshake_put(raw, &h);
	remote_say(&m, raw, HANDSHAKE_HASH_END);
	assert_true(remote_hear_handshake(&m, &h));
	assert_memory_equal(h.peer_id, r.swarm.peer_id, 20);
	assert_int_equal(r.admitted, 0);
	remote_say(&m, raw + HANDSHAKE_HASH_END, 20);
	remote_await(&m, WIRE_HAVE_ALL);
	assert_memory_equal(peer_remote_id(r.peer), "-XX0000-somebodyelse", 20);
	close(m.fd);
	rig_await_end(&r);
	rig_close(&r);
}

static bool
find_torrent(void *ctx, const uint8_t hash[MSE_HASH_SIZE], uint8_t out[20])
{
	(void)ctx;
	(void)hash;
	memcpy(out, RIG_HASH, 20);
	return true;
}

static void
pass_on(struct mse *from, struct mse *to)
{
	size_t n, used;
	const uint8_t *out = mse_output(from, &n);

	if (n == 0)
		return;
	mse_feed(to, out, n, &used);
	assert_int_equal(used, n);
	mse_sent(from, n);
}

/* Its first words go behind the encrypted handshake, not along with it. */
static void
peer_answers_who_has_named_the_torrent_encrypted(void **state)
{
	struct rc4_library *library = rc4_library_new(NULL);
	struct mse_config config = {.library = library, .methods = MSE_RC4};
	struct mse_finder finder = {.find = find_torrent};
	uint8_t raw[HANDSHAKE_SIZE];
	struct handshake h = {.fast = true};
	struct stream far;
	struct mse *mse;
	struct remote m;
	struct rig r;
	size_t got = 0;

	(void)state;
	rig_open(&r, all);
	memcpy(h.info_hash, RIG_HASH, 20);
	handshake_put(raw, &h);
	mse = mse_new_outgoing(&config, (const uint8_t *)RIG_HASH, "", 0);
	r.mse = mse_new_incoming(&config, &finder);
	assert_true(mse && r.mse);
	while (mse_status(mse) == MSE_MORE) {
		pass_on(mse, r.mse);
		pass_on(r.mse, mse);
	}
	rig_connect(&r, &m, true);
	stream_init(&far, m.fd);
	stream_secure(&far, mse);
	mse_free(mse);
	assert_int_equal(stream_send(&far, raw, HANDSHAKE_HASH_END, false),
			 HANDSHAKE_HASH_END);
	while (got < sizeof(raw)) {
		ssize_t n = stream_recv(&far, raw + got, sizeof(raw) - got);

		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_true(handshake_parse(raw, &h));
	assert_memory_equal(h.info_hash, RIG_HASH, 20);
	assert_int_equal(stream_send(&far, "-XX0000-somebodyelse", 20, false),
			 20);
	rig_await(&r, &r.admitted, 1);
	assert_memory_equal(peer_remote_id(r.peer), "-XX0000-somebodyelse", 20);
	stream_release(&far);
	close(m.fd);
	rig_await_end(&r);
	rig_close(&r);
	rc4_library_free(library);
}

static enum peer_end
end_after(const void *said, size_t n)
{
	struct rig r;
	struct remote m;
	enum peer_end end;

	rig_open(&r, none);
	rig_connect(&r, &m, true);
	remote_say(&m, said, n);
	shutdown(m.fd, SHUT_WR);
	end = rig_await_end(&r);
	assert_int_equal(r.admitted, 0);
	close(m.fd);
	rig_close(&r);
	return end;
}

static void
peer_refuses_another_torrent(void **state)
{
	struct handshake h = {.info_hash = "another info hash"};
	uint8_t raw[HANDSHAKE_SIZE];

	(void)state;
	handshake_put(raw, &h);
	assert_int_equal(end_after(raw, sizeof(raw)), PEER_END_REFUSED);
}

static void
peer_refuses_another_protocol(void **state)
{
	(void)state;
	assert_int_equal(end_after("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27),
			 PEER_END_REFUSED);
}

static void
peer_refuses_half_a_handshake(void **state)
{
	(void)state;
	assert_int_equal(end_after("\023BitTorrent protocol\0\0\0", 23),
			 PEER_END_REFUSED);
}

static enum peer_end
end_unadmitted(bool ourselves)
{
	struct rig r;
	struct remote m;
	enum peer_end end;

	rig_open(&r, all);
	r.ourselves = ourselves;
	r.refuse = true;
	rig_connect(&r, &m, true);
	remote_say_handshake(&m, true, true);
	end = rig_await_end(&r);
	close(m.fd);
	rig_close(&r);
	return end;
}

static void
peer_leaves_when_it_is_not_admitted(void **state)
{
	(void)state;
	assert_int_equal(end_unadmitted(false), PEER_END_STOPPED);
}

static void
peer_leaves_when_it_is_ourselves(void **state)
{
	(void)state;
	assert_int_equal(end_unadmitted(true), PEER_END_OURSELVES);
}

static void
peer_understands_single_bytes(void **state)
{
	uint8_t raw[HANDSHAKE_SIZE + 9];
	struct handshake h = {.fast = true}, back;
	struct rig r;
	struct remote m;

	(void)state;
	rig_open(&r, none);
	memcpy(h.info_hash, RIG_HASH, 20);
	handshake_put(raw, &h);
	wire_put_index(raw + HANDSHAKE_SIZE, WIRE_HAVE, 3);
	rig_connect(&r, &m, true);
	for (size_t i = 0; i < sizeof(raw); i++)
		remote_say(&m, raw + i, 1);
	assert_true(remote_hear_handshake(&m, &back));
	remote_await(&m, WIRE_INTERESTED);
	close(m.fd);
	rig_close(&r);
}

/* ---- two versions ---- */

#define BOTH (SWARM_V1 | SWARM_V2)

/* Says this as the one that dialled, and returns what is answered. */
static struct handshake
answer_to(unsigned versions, const char *hash, bool v2)
{
	struct handshake back = {0};
	struct remote m;
	struct rig r;

	rig_open_versions(&r, none, versions);
	rig_connect(&r, &m, true);
	remote_say_hash(&m, hash, (struct handshake){.v2 = v2});
	if (!remote_hear_handshake(&m, &back))
		back.info_hash[0] = '\0';
	close(m.fd);
	rig_await_end(&r);
	rig_close(&r);
	return back;
}

static void
peer_answers_by_the_hash_that_it_is_asked_for(void **state)
{
	struct handshake h;

	(void)state;
	h = answer_to(BOTH, RIG_HASH, false);
	assert_memory_equal(h.info_hash, RIG_HASH, 20);
	assert_true(h.v2);
	h = answer_to(BOTH, RIG_HASH_V2, false);
	assert_memory_equal(h.info_hash, RIG_HASH_V2, 20);
	h = answer_to(SWARM_V2, RIG_HASH_V2, true);
	assert_memory_equal(h.info_hash, RIG_HASH_V2, 20);
	h = answer_to(SWARM_V1, RIG_HASH, true);
	assert_memory_equal(h.info_hash, RIG_HASH, 20);
	assert_false(h.v2);
}

static void
peer_upgrades_who_knows_v2(void **state)
{
	struct handshake h = answer_to(BOTH, RIG_HASH, true);

	(void)state;
	assert_memory_equal(h.info_hash, RIG_HASH_V2, 20);
}

static void
peer_refuses_the_hash_that_it_has_not(void **state)
{
	(void)state;
	assert_int_equal(answer_to(SWARM_V1, RIG_HASH_V2, true).info_hash[0],
			 '\0');
	assert_int_equal(answer_to(SWARM_V2, RIG_HASH, true).info_hash[0],
			 '\0');
}

/* Dials, is answered by this hash; was it admitted? */
static bool
dial(unsigned versions, bool by_v2, const char *answer, const char *asked)
{
	struct handshake h;
	struct remote m;
	struct rig r;
	bool admitted;

	rig_open_versions(&r, none, versions);
	r.by_v2 = by_v2;
	rig_connect(&r, &m, false);
	assert_true(remote_hear_handshake(&m, &h));
	assert_memory_equal(h.info_hash, asked, 20);
	assert_int_equal(h.v2, (versions & SWARM_V2) != 0);
	remote_say_hash(&m, answer, (struct handshake){0});
	close(m.fd);
	rig_await_end(&r);
	admitted = r.admitted > 0;
	rig_close(&r);
	return admitted;
}

static void
peer_that_dialled_may_be_upgraded(void **state)
{
	(void)state;
	assert_true(dial(BOTH, false, RIG_HASH, RIG_HASH));
	assert_true(dial(BOTH, false, RIG_HASH_V2, RIG_HASH));
	assert_true(dial(BOTH, true, RIG_HASH_V2, RIG_HASH_V2));
	assert_true(dial(SWARM_V2, false, RIG_HASH_V2, RIG_HASH_V2));
	/* Never the other way round. */
	assert_false(dial(BOTH, true, RIG_HASH, RIG_HASH_V2));
	assert_false(dial(SWARM_V1, false, RIG_HASH_V2, RIG_HASH));
}

/* ---- the first words ---- */

static struct wire_message
first_word(const char *have, bool fast, struct remote *m)
{
	struct wire_message got;
	struct rig r;

	rig_open(&r, have);
	rig_meet(&r, m, fast, true);
	assert_true(remote_hear(m, &got));
	close(m->fd);
	rig_close(&r);
	return got;
}

static void
peer_says_have_all_when_fast_and_complete(void **state)
{
	struct remote m;

	(void)state;
	assert_int_equal(first_word(all, true, &m).id, WIRE_HAVE_ALL);
}

static void
peer_says_have_none_when_fast_and_empty(void **state)
{
	struct remote m;

	(void)state;
	assert_int_equal(first_word(none, true, &m).id, WIRE_HAVE_NONE);
}

static void
peer_says_its_bitfield_when_it_has_some(void **state)
{
	struct wire_message got;
	struct remote m;

	(void)state;
	got = first_word(some, true, &m);
	assert_int_equal(got.id, WIRE_BITFIELD);
	assert_int_equal(got.size, 1);
	assert_int_equal(m.message[WIRE_HEADER + 1], 0xa0);
}

static void
peer_says_its_bitfield_when_complete_without_fast(void **state)
{
	struct remote m;

	(void)state;
	assert_int_equal(first_word(all, false, &m).id, WIRE_BITFIELD);
	assert_int_equal(m.message[WIRE_HEADER + 1], 0xf8);
}

static void
peer_says_no_bitfield_when_empty_without_fast(void **state)
{
	struct remote m;

	(void)state;
	assert_int_equal(first_word(none, false, &m).id, WIRE_EXTENDED);
}

static void
peer_says_its_port_and_queue_in_the_extension_handshake(void **state)
{
	struct extension_handshake h = {0};
	struct wire_message got;
	struct remote m;

	(void)state;
	got = first_word(none, false, &m);
	assert_int_equal(got.extended, EXTENSION_HANDSHAKE);
	assert_int_equal(extension_parse_handshake(
				 &h, m.message + WIRE_HEADER + 2, got.size,
				 NULL), 0);
	assert_int_equal(h.port, 6881);
	assert_int_equal(h.reqq, 2000);
	assert_false(h.upload_only);
}

static void
peer_over_ipv6_says_its_port_there(void **state)
{
	struct extension_handshake h = {0};
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	r.ipv6 = true;
	rig_meet(&r, &m, false, true);
	assert_true(remote_hear(&m, &got));
	assert_int_equal(got.extended, EXTENSION_HANDSHAKE);
	assert_int_equal(extension_parse_handshake(
				 &h, m.message + WIRE_HEADER + 2, got.size,
				 NULL), 0);
	assert_int_equal(h.port, 6886);
	close(m.fd);
	rig_close(&r);
}

/* BEP 21: it wants a part of the torrent, and now has that. */
static void
peer_says_that_it_wants_no_more_as_soon_as_that_is_so(void **state)
{
	struct extension_handshake h = {0};
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, some);
	rig_meet(&r, &m, true, true);
	remote_await(&m, WIRE_EXTENDED);
	atomic_store(&r.swarm.complete, true);
	peer_wake(r.peer);
	got = remote_await(&m, WIRE_EXTENDED);
	assert_int_equal(got.extended, EXTENSION_HANDSHAKE);
	assert_int_equal(extension_parse_handshake(
				 &h, m.message + WIRE_HEADER + 2, got.size,
				 NULL), 0);
	assert_true(h.upload_only);
	close(m.fd);
	rig_close(&r);
}

static void
two_partial_seeds_part(void **state)
{
	static const char dict[] = "\0d11:upload_onlyi1ee";
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, some);
	rig_meet(&r, &m, true, true);
	remote_say_payload(&m, WIRE_EXTENDED, dict, sizeof(dict) - 1);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&r, &r.interest, 1);
	assert_int_equal(r.ended, 0);
	atomic_store(&r.swarm.complete, true);
	peer_wake(r.peer);
	assert_int_equal(rig_await_end(&r), PEER_END_STOPPED);
	close(m.fd);
	rig_close(&r);
}

/* As programs say that fetch the metadata alone. */
static void
peer_keeps_who_wants_nothing_but_metadata(void **state)
{
	static const char wants[] = "\0d1:md11:ut_metadatai3ee"
				    "11:upload_onlyi1ee";
	static const char asks[] = "\2d8:msg_typei0e5:piecei0ee";
	static const char has[] = "\0d13:metadata_sizei1000ee";
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, all);
	atomic_store(&r.swarm.complete, true);
	rig_meet(&r, &m, true, true);
	remote_await(&m, WIRE_EXTENDED);
	remote_say_id(&m, WIRE_HAVE_NONE);
	remote_say_payload(&m, WIRE_EXTENDED, wants, sizeof(wants) - 1);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&r, &r.interest, 1);
	remote_say_payload(&m, WIRE_EXTENDED, asks, sizeof(asks) - 1);
	assert_int_equal(remote_await(&m, WIRE_EXTENDED).extended, 3);
	remote_say_payload(&m, WIRE_EXTENDED, has, sizeof(has) - 1);
	assert_int_equal(rig_await_end(&r), PEER_END_STOPPED);
	close(m.fd);
	rig_close(&r);
}

static void
peer_sends_nothing_extended_to_who_does_not_speak_it(void **state)
{
	struct wire_message got;
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	rig_meet(&r, &m, true, false);
	remote_say_id(&m, WIRE_HAVE_ALL);
	assert_true(remote_hear(&m, &got));
	assert_int_equal(got.id, WIRE_HAVE_NONE);
	assert_true(remote_hear(&m, &got));
	assert_int_equal(got.id, WIRE_INTERESTED);
	close(m.fd);
	rig_close(&r);
}

/* ---- interest ---- */

static void
peer_follows_interest(void **state)
{
	static const uint8_t donthave[] = {EXTENSION_DONTHAVE, 0, 0, 0, 1};
	/* Some have numbers of their own for what they send. */
	static const uint8_t other[] = {EXTENSION_DONTHAVE, 0, 0, 0, 1, 'e'};
	static const uint8_t beyond[] = {EXTENSION_DONTHAVE, 'd', '5', ':', 'a'};
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, some);
	rig_meet(&r, &m, true, true);
	remote_say_id(&m, WIRE_HAVE_NONE);
	remote_say_index(&m, WIRE_HAVE, 0);	/* it has that */
	remote_say_index(&m, WIRE_HAVE, 1);
	remote_await(&m, WIRE_INTERESTED);
	remote_say_payload(&m, WIRE_EXTENDED, other, sizeof(other));
	remote_say_payload(&m, WIRE_EXTENDED, beyond, sizeof(beyond));
	remote_say_payload(&m, WIRE_EXTENDED, donthave, sizeof(donthave));
	remote_await(&m, WIRE_NOT_INTERESTED);
	close(m.fd);
	rig_close(&r);
}

static void
peer_tells_of_new_pieces(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, some);
	rig_meet(&r, &m, true, true);
	remote_await(&m, WIRE_EXTENDED);
	havelog_add(r.swarm.havelog, 4);
	peer_wake(r.peer);
	assert_int_equal(remote_await(&m, WIRE_HAVE).piece, 4);
	close(m.fd);
	rig_close(&r);
}

/* Some ban who takes much and never says that it has anything. */
static void
peer_tells_a_seed_of_new_pieces_as_well(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, some);
	rig_meet(&r, &m, true, true);
	remote_await(&m, WIRE_EXTENDED);
	remote_say_id(&m, WIRE_HAVE_ALL);
	remote_await(&m, WIRE_INTERESTED);
	havelog_add(r.swarm.havelog, 4);
	peer_wake(r.peer);
	assert_int_equal(remote_await(&m, WIRE_HAVE).piece, 4);
	close(m.fd);
	rig_close(&r);
}

static void
peer_reports_the_interest_of_the_other_side(void **state)
{
	struct peer_view v;
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, all);
	rig_meet(&r, &m, true, true);
	remote_say_id(&m, WIRE_INTERESTED);
	remote_say_id(&m, WIRE_INTERESTED);
	remote_say_id(&m, WIRE_NOT_INTERESTED);
	rig_await(&r, &r.interest, 2);
	peer_look(r.peer, &v);
	assert_false(v.interested);
	close(m.fd);
	rig_await_end(&r);
	assert_int_equal(r.interest, 2);
	rig_close(&r);
}

static void
peer_is_not_late_while_the_limit_holds_it(void **state)
{
	const int64_t sold = 200 * CLOCK_S;
	int64_t begun = clock_ns();
	struct ratelimit down;
	struct remote m;
	struct rig r;

	(void)state;
	ratelimit_init(&down, 1024);
	ratelimit_reserve(&down, 200 * 1024, begun);
	rig_open(&r, some);
	r.swarm.down = &down;
	rig_meet(&r, &m, true, true);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&r, &r.interest, 1);
	peer_stop(r.peer);
	assert_int_equal(rig_await_end(&r), PEER_END_STOPPED);
	assert_true(r.peer->heard_at >= begun + sold);
	assert_true(r.peer->block_at >= begun + sold);
	close(m.fd);
	rig_close(&r);
	ratelimit_release(&down);
}

static void
peer_leaves_a_seed_when_both_are_complete(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, all);
	atomic_store(&r.swarm.complete, true);
	rig_meet(&r, &m, true, true);
	remote_say_id(&m, WIRE_HAVE_ALL);
	assert_int_equal(rig_await_end(&r), PEER_END_STOPPED);
	close(m.fd);
	rig_close(&r);
}

/* ---- what no honest peer says ---- */

static enum peer_end
end_after_words(bool fast, const void *said, size_t n)
{
	enum peer_end end;
	struct remote m;
	struct rig r;

	rig_open(&r, none);
	rig_meet(&r, &m, fast, true);
	remote_say(&m, said, n);
	end = rig_await_end(&r);
	close(m.fd);
	rig_close(&r);
	return end;
}

#define END_AFTER(fast, said) end_after_words(fast, said, sizeof(said) - 1)

static void
peer_ends_over_a_length_of_4_gib(void **state)
{
	(void)state;
	assert_int_equal(END_AFTER(true, "\xff\xff\xff\xff\x07"),
			 PEER_END_BROKE);
}

static void
peer_ends_over_a_have_out_of_range(void **state)
{
	(void)state;
	assert_int_equal(END_AFTER(true, "\0\0\0\5\4\0\0\0\5"),
			 PEER_END_BROKE);
}

static void
peer_ends_over_a_bitfield_with_spare_bits(void **state)
{
	(void)state;
	assert_int_equal(END_AFTER(true, "\0\0\0\2\5\xfc"), PEER_END_BROKE);
}

static void
peer_ends_over_a_bitfield_of_another_size(void **state)
{
	(void)state;
	assert_int_equal(END_AFTER(true, "\0\0\0\3\5\xf8\0"), PEER_END_BROKE);
}

static void
peer_takes_what_is_new_in_a_second_bitfield(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	rig_meet(&r, &m, true, true);
	remote_say(&m, "\0\0\0\1\x0f\0\0\0\2\5\xf8", 11);
	remote_await(&m, WIRE_INTERESTED);
	close(m.fd);
	rig_close(&r);
}

/* What it is taken for once it has said this. */
static bool
is_seed_after(const void *said, size_t n)
{
	struct peer_view v;
	struct remote m;
	struct rig r;

	rig_open(&r, none);
	rig_meet(&r, &m, true, true);
	remote_say(&m, said, n);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&r, &r.interest, 1);
	peer_look(r.peer, &v);
	close(m.fd);
	rig_close(&r);
	return v.seed;
}

#define HAVE_0 "\0\0\0\5\4\0\0\0\0"
#define HAVE_ALL "\0\0\0\1\x0e"
#define HAVE_NONE "\0\0\0\1\x0f"
#define DONTHAVE_0 "\0\0\0\6\x14\1\0\0\0\0"
_Static_assert(EXTENSION_DONTHAVE == 1, "DONTHAVE_0 says so");
#define IS_SEED_AFTER(said) is_seed_after(said, sizeof(said) - 1)

static void
peer_takes_a_late_have_all(void **state)
{
	(void)state;
	assert_true(IS_SEED_AFTER(HAVE_0 HAVE_ALL));
	assert_true(IS_SEED_AFTER(HAVE_NONE HAVE_ALL));
}

/* Each takes a look at every piece. */
static void
peer_takes_have_all_once(void **state)
{
	(void)state;
	assert_false(IS_SEED_AFTER(HAVE_ALL DONTHAVE_0 HAVE_ALL));
	assert_true(IS_SEED_AFTER(HAVE_ALL DONTHAVE_0 HAVE_ALL HAVE_0));
}

static void
peer_takes_have_none_first_alone(void **state)
{
	(void)state;
	assert_true(IS_SEED_AFTER(HAVE_ALL HAVE_NONE));
	assert_false(IS_SEED_AFTER(HAVE_NONE));
}

static void
peer_ends_over_fast_messages_without_fast(void **state)
{
	(void)state;
	assert_int_equal(END_AFTER(false, "\0\0\0\1\x0e"), PEER_END_BROKE);
}

static void
peer_ends_over_a_bad_extension_handshake(void **state)
{
	(void)state;
	assert_int_equal(END_AFTER(true, "\0\0\0\4\x14\0i1"), PEER_END_BROKE);
}

/* 256 KiB of it pass, whatever it is; as much again does not. */
static void
say_again_and_again(const void *said, size_t n)
{
	struct peer_view v;
	struct remote m;
	struct rig r;

	rig_open(&r, none);
	rig_meet(&r, &m, true, true);
	for (size_t i = 0; i < (256 << 10) / n; i++)
		remote_say(&m, said, n);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&r, &r.interest, 1);
	peer_look(r.peer, &v);
	assert_int_equal(v.end, PEER_END_NONE);
	for (size_t i = 0; i < (256 << 10) / n; i++)
		remote_say(&m, said, n);
	assert_int_equal(rig_await_end(&r), PEER_END_BROKE);
	close(m.fd);
	rig_close(&r);
}

#define SAY_AGAIN(said) say_again_and_again(said, sizeof(said) - 1)

static void
peer_ends_over_floods_of_keepalives(void **state)
{
	(void)state;
	SAY_AGAIN("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
}

static void
peer_ends_over_floods_of_what_it_has_told(void **state)
{
	(void)state;
	SAY_AGAIN(HAVE_0);
	SAY_AGAIN("\0\0\0\2\5\x80");	/* its bitfield */
}

static void
peer_skips_what_it_does_not_know(void **state)
{
	static const uint8_t unknown[] = "\0\0\0\3\x63zz\0\0\0\0";
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	rig_meet(&r, &m, true, true);
	remote_say(&m, unknown, sizeof(unknown) - 1);
	remote_say_id(&m, WIRE_HAVE_ALL);
	remote_await(&m, WIRE_INTERESTED);
	close(m.fd);
	rig_close(&r);
}

static void
peer_takes_long_extension_messages(void **state)
{
	static uint8_t long_one[WIRE_EXTENDED_MAX];
	struct remote m;
	struct rig r;

	(void)state;
	long_one[0] = 200;
	rig_open(&r, none);
	rig_meet(&r, &m, true, true);
	remote_say_payload(&m, WIRE_EXTENDED, long_one, sizeof(long_one));
	remote_say_id(&m, WIRE_HAVE_ALL);
	remote_await(&m, WIRE_INTERESTED);
	close(m.fd);
	rig_close(&r);
}

/* ---- being stopped ---- */

static void
peer_stops_during_the_handshake(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	rig_connect(&r, &m, true);
	peer_stop(r.peer);
	assert_int_equal(rig_await_end(&r), PEER_END_STOPPED);
	close(m.fd);
	rig_close(&r);
}

static void
peer_stops_while_idle(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_open(&r, none);
	rig_meet(&r, &m, true, true);
	remote_await(&m, WIRE_EXTENDED);
	peer_stop(r.peer);
	assert_int_equal(rig_await_end(&r), PEER_END_STOPPED);
	close(m.fd);
	rig_close(&r);
}

struct held {
	struct rig r;		/* first: the events' context */
	unsigned go;
};

static void
hold(void *ctx)
{
	struct held *h = ctx;

	rig_count(&h->r, &h->r.interest);
	rig_await(&h->r, &h->go, 1);
}

static void
peer_stops_between_two_messages(void **state)
{
	struct remote m;
	struct held h;

	(void)state;
	h.go = 0;
	rig_open(&h.r, none);
	h.r.swarm.events.interest = hold;
	rig_meet(&h.r, &m, true, true);
	remote_say(&m, "\0\0\0\1\2\0\0\0\1\3", 10);
	rig_await(&h.r, &h.r.interest, 1);
	peer_stop(h.r.peer);
	rig_count(&h.r, &h.go);
	assert_int_equal(rig_await_end(&h.r), PEER_END_STOPPED);
	assert_int_equal(h.r.interest, 1);
	close(m.fd);
	rig_close(&h.r);
}

static void
peer_stops_while_the_socket_is_full(void **state)
{
	struct remote m;
	struct rig r;

	(void)state;
	rig_meet_unchoked(&r, &m, true, true);
	remote_flood(&m, 200);
	remote_say_id(&m, WIRE_NOT_INTERESTED);
	rig_await(&r, &r.interest, 2);
	peer_stop(r.peer);
	assert_int_equal(rig_await_end(&r), PEER_END_STOPPED);
	close(m.fd);
	rig_close(&r);
}

/* ---- the DHT ---- */

struct node_rig {
	struct rig rig;
	unsigned told;		/* rig.lock */
	struct addr node;	/* rig.lock */
};

static void
on_node(void *ctx, const struct addr *node)
{
	struct node_rig *n = ctx;

	n->node = *node;
	rig_count(&n->rig, &n->told);
}

/* A peer that is a node of the DHT itself, or is not. */
static void
meet_node(struct node_rig *n, struct remote *m, uint16_t ours, bool theirs)
{
	struct handshake h = {.fast = true, .dht = theirs};
	uint8_t raw[HANDSHAKE_SIZE];

	n->told = 0;
	rig_open(&n->rig, none);
	n->rig.swarm.dht_port = ours;
	n->rig.swarm.events.dht_node = on_node;
	rig_connect(&n->rig, m, true);
	memcpy(h.info_hash, RIG_HASH, 20);
	memcpy(h.peer_id, "-XX0000-somebodyelse", 20);
	handshake_put(raw, &h);
	remote_say(m, raw, sizeof(raw));
	assert_true(remote_hear_handshake(m, &h));
	assert_int_equal(h.dht, ours != 0);
}

static void
say_port(struct remote *m, uint16_t port)
{
	uint8_t raw[WIRE_MESSAGE_MAX];

	remote_say(m, raw, wire_put_port(raw, port));
}

static void
peers_tell_each_other_their_nodes(void **state)
{
	struct node_rig n;
	struct wire_message got;
	struct remote m;

	(void)state;
	meet_node(&n, &m, 7007, true);
	assert_true(remote_hear(&m, &got));
	assert_int_equal(got.id, WIRE_HAVE_NONE);
	assert_true(remote_hear(&m, &got));
	assert_int_equal(got.id, WIRE_PORT);
	assert_int_equal(got.port, 7007);
	say_port(&m, 0);
	say_port(&m, 8008);
	say_port(&m, 9009);	/* once is enough */
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&n.rig, &n.rig.interest, 1);
	assert_int_equal(n.told, 1);
	assert_int_equal(n.node.port, 8008);
	close(m.fd);
	rig_await_end(&n.rig);
	rig_close(&n.rig);
}

/* Of a private torrent, or with the DHT off. */
static void
peer_without_a_node_tells_and_takes_none(void **state)
{
	struct node_rig n;
	struct wire_message got;
	struct remote m;

	(void)state;
	meet_node(&n, &m, 0, true);
	assert_true(remote_hear(&m, &got));
	assert_int_equal(got.id, WIRE_HAVE_NONE);
	say_port(&m, 8008);
	remote_say_id(&m, WIRE_INTERESTED);
	rig_await(&n.rig, &n.rig.interest, 1);
	assert_int_equal(n.told, 0);
	close(m.fd);
	rig_await_end(&n.rig);
	rig_close(&n.rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_that_dialled_speaks_first),
		cmocka_unit_test(peer_that_came_in_is_answered),
		cmocka_unit_test(peer_answers_who_has_named_the_torrent),
		cmocka_unit_test(
		    peer_answers_who_has_named_the_torrent_encrypted),
		cmocka_unit_test(peer_refuses_another_torrent),
		cmocka_unit_test(peer_refuses_another_protocol),
		cmocka_unit_test(peer_refuses_half_a_handshake),
		cmocka_unit_test(peer_leaves_when_it_is_not_admitted),
		cmocka_unit_test(peer_leaves_when_it_is_ourselves),
		cmocka_unit_test(peer_answers_by_the_hash_that_it_is_asked_for),
		cmocka_unit_test(peer_upgrades_who_knows_v2),
		cmocka_unit_test(peer_refuses_the_hash_that_it_has_not),
		cmocka_unit_test(peer_that_dialled_may_be_upgraded),
		cmocka_unit_test(peer_understands_single_bytes),
		cmocka_unit_test(peer_says_have_all_when_fast_and_complete),
		cmocka_unit_test(peer_says_have_none_when_fast_and_empty),
		cmocka_unit_test(peer_says_its_bitfield_when_it_has_some),
		cmocka_unit_test(
			peer_says_its_bitfield_when_complete_without_fast),
		cmocka_unit_test(peer_says_no_bitfield_when_empty_without_fast),
		cmocka_unit_test(
			peer_says_its_port_and_queue_in_the_extension_handshake),
		cmocka_unit_test(peer_over_ipv6_says_its_port_there),
		cmocka_unit_test(
			peer_says_that_it_wants_no_more_as_soon_as_that_is_so),
		cmocka_unit_test(two_partial_seeds_part),
		cmocka_unit_test(peer_keeps_who_wants_nothing_but_metadata),
		cmocka_unit_test(
			peer_sends_nothing_extended_to_who_does_not_speak_it),
		cmocka_unit_test(peer_follows_interest),
		cmocka_unit_test(peer_tells_of_new_pieces),
		cmocka_unit_test(peer_tells_a_seed_of_new_pieces_as_well),
		cmocka_unit_test(peer_reports_the_interest_of_the_other_side),
		cmocka_unit_test(peer_is_not_late_while_the_limit_holds_it),
		cmocka_unit_test(peer_leaves_a_seed_when_both_are_complete),
		cmocka_unit_test(peer_ends_over_a_length_of_4_gib),
		cmocka_unit_test(peer_ends_over_a_have_out_of_range),
		cmocka_unit_test(peer_ends_over_a_bitfield_with_spare_bits),
		cmocka_unit_test(peer_ends_over_a_bitfield_of_another_size),
		cmocka_unit_test(peer_takes_what_is_new_in_a_second_bitfield),
		cmocka_unit_test(peer_takes_a_late_have_all),
		cmocka_unit_test(peer_takes_have_all_once),
		cmocka_unit_test(peer_takes_have_none_first_alone),
		cmocka_unit_test(peer_ends_over_fast_messages_without_fast),
		cmocka_unit_test(peer_ends_over_a_bad_extension_handshake),
		cmocka_unit_test(peer_ends_over_floods_of_keepalives),
		cmocka_unit_test(peer_ends_over_floods_of_what_it_has_told),
		cmocka_unit_test(peer_skips_what_it_does_not_know),
		cmocka_unit_test(peer_takes_long_extension_messages),
		cmocka_unit_test(peer_stops_during_the_handshake),
		cmocka_unit_test(peer_stops_while_idle),
		cmocka_unit_test(peer_stops_between_two_messages),
		cmocka_unit_test(peer_stops_while_the_socket_is_full),
		cmocka_unit_test(peers_tell_each_other_their_nodes),
		cmocka_unit_test(peer_without_a_node_tells_and_takes_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
