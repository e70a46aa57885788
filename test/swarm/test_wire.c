#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "swarm/wire.h"

#define PIECES 20

static enum wire_status
parse(const void *data, size_t size, struct wire_message *m, size_t *used)
{
	return wire_parse(data, size, PIECES, m, used);
}

/* What is said of a whole message. */
static enum wire_status
judge(const void *data, size_t size)
{
	struct wire_message m;
	size_t used;

	return parse(data, size, &m, &used);
}

#define JUDGE(text) judge(text, sizeof(text) - 1)

static void
wire_reads_what_it_writes(void **state)
{
	uint8_t out[WIRE_MESSAGE_MAX];
	struct wire_message m;
	size_t used, n;

	(void)state;
	n = wire_put_block(out, WIRE_REQUEST, 3, 16384, 0x01020304);
	assert_int_equal(n, 17);
	assert_int_equal(parse(out, n, &m, &used), WIRE_OK);
	assert_int_equal(used, n);
	assert_int_equal(m.id, WIRE_REQUEST);
	assert_int_equal(m.piece, 3);
	assert_int_equal(m.offset, 16384);
	assert_int_equal(m.length, 0x01020304);
	n = wire_put_index(out, WIRE_HAVE, 19);
	assert_int_equal(parse(out, n, &m, &used), WIRE_OK);
	assert_int_equal(m.id, WIRE_HAVE);
	assert_int_equal(m.piece, 19);
	n = wire_put_port(out, 6881);
	assert_int_equal(parse(out, n, &m, &used), WIRE_OK);
	assert_int_equal(m.port, 6881);
}

static void
wire_reads_plain_messages(void **state)
{
	static const enum wire_id ids[] = {
		WIRE_CHOKE, WIRE_UNCHOKE, WIRE_INTERESTED, WIRE_NOT_INTERESTED,
		WIRE_HAVE_ALL, WIRE_HAVE_NONE,
	};
	uint8_t out[WIRE_MESSAGE_MAX];
	struct wire_message m;
	size_t used, n;

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		n = wire_put_plain(out, ids[i]);
		assert_int_equal(n, 5);
		assert_int_equal(parse(out, n, &m, &used), WIRE_OK);
		assert_int_equal(m.id, ids[i]);
	}
	n = wire_put_keepalive(out);
	assert_int_equal(parse(out, n, &m, &used), WIRE_OK);
	assert_int_equal(m.id, WIRE_KEEPALIVE);
	assert_int_equal(used, 4);
}

static void
wire_borrows_the_block(void **state)
{
	uint8_t out[WIRE_PIECE_HEADER + 3];
	struct wire_message m;
	size_t used;

	(void)state;
	assert_int_equal(wire_put_piece_header(out, 7, 32768, 3),
			 WIRE_PIECE_HEADER);
	assert_int_equal(parse(out, sizeof(out), &m, &used), WIRE_OK);
	assert_int_equal(m.id, WIRE_PIECE);
	assert_int_equal(m.piece, 7);
	assert_int_equal(m.offset, 32768);
	assert_int_equal(m.length, 3);
	assert_ptr_equal(m.data, out + WIRE_PIECE_HEADER);
	assert_int_equal(m.size, 3);
}

static void
wire_waits_for_every_byte(void **state)
{
	uint8_t out[WIRE_MESSAGE_MAX];
	struct wire_message m;
	size_t used, n = wire_put_block(out, WIRE_CANCEL, 1, 0, 16384);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(parse(out, i, &m, &used), WIRE_MORE);
		assert_int_equal(used, i < 4 ? 4 : i < 5 ? 5 : n);
	}
}

static void
wire_judges_a_length_before_the_payload_comes(void **state)
{
	(void)state;
	assert_int_equal(JUDGE("\xff\xff\xff\xff\x07"), WIRE_BAD);
	assert_int_equal(JUDGE("\xff\xff\xff\xff\x14"), WIRE_BAD);
	assert_int_equal(JUDGE("\xff\xff\xff\xff\x63"), WIRE_BAD);
	assert_int_equal(JUDGE("\x7f\xff\xff\xff\x05"), WIRE_BAD);
}

static void
wire_refuses_sizes_that_no_message_has(void **state)
{
	(void)state;
	assert_int_equal(JUDGE("\0\0\0\2\0"), WIRE_BAD);	/* choke */
	assert_int_equal(JUDGE("\0\0\0\4\4"), WIRE_BAD);	/* have */
	assert_int_equal(JUDGE("\0\0\0\3\5"), WIRE_BAD);	/* bitfield */
	assert_int_equal(JUDGE("\0\0\0\5\5"), WIRE_BAD);
	assert_int_equal(JUDGE("\0\0\0\4\5"), WIRE_MORE);	/* 20 bits */
	assert_int_equal(JUDGE("\0\0\0\xe\6"), WIRE_BAD);	/* request */
	assert_int_equal(JUDGE("\0\0\0\x8\7"), WIRE_BAD);	/* piece */
	assert_int_equal(JUDGE("\0\0\x40\x0a\7"), WIRE_BAD);
	assert_int_equal(JUDGE("\0\0\x40\x09\7"), WIRE_MORE);
	assert_int_equal(JUDGE("\0\0\0\1\x14"), WIRE_BAD);	/* extended */
	assert_int_equal(JUDGE("\0\2\0\1\x14"), WIRE_MORE);
	assert_int_equal(JUDGE("\0\2\0\2\x14"), WIRE_BAD);
}

static void
wire_refuses_pieces_that_the_torrent_has_not(void **state)
{
	(void)state;
	assert_int_equal(JUDGE("\0\0\0\5\4\0\0\0\x13"), WIRE_OK);
	assert_int_equal(JUDGE("\0\0\0\5\4\0\0\0\x14"), WIRE_BAD);
	assert_int_equal(JUDGE("\0\0\0\5\x11\xff\xff\xff\xff"), WIRE_BAD);
	assert_int_equal(JUDGE("\0\0\0\5\x0d\0\0\0\x14"), WIRE_BAD);
	assert_int_equal(JUDGE("\0\0\0\x9\7\0\0\0\x14\0\0\0\0"), WIRE_BAD);
}

static void
wire_skips_unknown_messages(void **state)
{
	struct wire_message m;
	size_t used;

	(void)state;
	assert_int_equal(parse("\0\0\0\3\12ab?", 8, &m, &used), WIRE_OK);
	assert_int_equal(m.id, WIRE_UNKNOWN);
	assert_int_equal(used, 7);
	assert_int_equal(JUDGE("\0\0\0\1\xff"), WIRE_OK);
	assert_int_equal(JUDGE("\0\0\x40\x02\xff"), WIRE_BAD);
}

static void
wire_writes_and_reads_messages_about_hashes(void **state)
{
	struct wire_hashes in = {.base = 2, .index = 512, .count = 256,
				 .proofs = 9}, got;
	uint8_t out[WIRE_HASHES_HEADER + 2 * SHA256_SIZE];
	struct wire_message m;
	size_t used, n;

	(void)state;
	memset(in.root, 'r', sizeof(in.root));
	memset(out, 'h', sizeof(out));
	n = wire_put_hashes(out, WIRE_HASH_REQUEST, &in, 0);
	assert_int_equal(n, WIRE_HASHES_HEADER);
	assert_int_equal(parse(out, n, &m, &used), WIRE_OK);
	assert_int_equal(m.id, WIRE_HASH_REQUEST);
	got = wire_get_hashes(&m);
	assert_memory_equal(&got, &in, sizeof(in));
	wire_put_hashes(out, WIRE_HASHES, &in, 2);
	assert_int_equal(parse(out, n, &m, &used), WIRE_MORE);
	assert_int_equal(parse(out, sizeof(out), &m, &used), WIRE_OK);
	assert_int_equal(m.size, WIRE_HASHES_SIZE + 2 * SHA256_SIZE);
	assert_memory_equal(m.data + WIRE_HASHES_SIZE, "hhhh", 4);
}

static void
wire_refuses_odd_messages_about_hashes(void **state)
{
	(void)state;
	assert_int_equal(JUDGE("\0\0\0\x31\x15"), WIRE_MORE);
	assert_int_equal(JUDGE("\0\0\0\x30\x15"), WIRE_BAD);
	assert_int_equal(JUDGE("\0\0\0\x32\x17"), WIRE_BAD);
	assert_int_equal(JUDGE("\0\0\0\x31\x16"), WIRE_BAD);
	assert_int_equal(JUDGE("\0\0\0\x51\x16"), WIRE_MORE);
	assert_int_equal(JUDGE("\0\0\0\x52\x16"), WIRE_BAD);
	assert_int_equal(JUDGE("\0\0\x48\x51\x16"), WIRE_BAD);
}

/* A layer that is made whole needs no hash beside it. */
static void
proofs_begin_above_what_is_whole(void **state)
{
	struct wire_hashes h = {.count = 2, .proofs = 3};

	(void)state;
	assert_int_equal(wire_proofs(&h), 3);
	h.count = 4;
	assert_int_equal(wire_proofs(&h), 2);
	h.count = 512;
	assert_int_equal(wire_proofs(&h), 0);
	h.proofs = 8;
	assert_int_equal(wire_proofs(&h), 0);
	h.proofs = 9;
	assert_int_equal(wire_proofs(&h), 1);
	h.count = 1;
	assert_int_equal(wire_proofs(&h), 10);
}

static void
handshake_says_what_it_can(void **state)
{
	struct handshake in = {.extended = true, .fast = true, .dht = true}, h;
	uint8_t raw[HANDSHAKE_SIZE];

	(void)state;
	memset(in.info_hash, 'i', 20);
	memset(in.peer_id, 'p', 20);
	handshake_put(raw, &in);
	assert_memory_equal(raw, "\023BitTorrent protocol\0\0\0\0\0\x10\0\x05",
			    28);
	assert_true(handshake_parse(raw, &h));
	assert_true(h.extended && h.fast && h.dht && !h.v2);
	in.v2 = true;
	handshake_put(raw, &in);
	assert_int_equal(raw[27], 0x15);
	assert_true(handshake_parse(raw, &h));
	assert_true(h.v2);
	assert_memory_equal(h.info_hash, in.info_hash, 20);
	assert_memory_equal(h.peer_id, in.peer_id, 20);
	memset(raw + HANDSHAKE_PREFIX, 0, 8);
	assert_true(handshake_parse(raw, &h));
	assert_false(h.extended || h.fast || h.dht);
}

static void
handshake_of_another_protocol_is_none(void **state)
{
	struct handshake h = {0};
	uint8_t raw[HANDSHAKE_SIZE];

	(void)state;
	handshake_put(raw, &h);
	assert_true(handshake_is_plain(raw, HANDSHAKE_PREFIX));
	assert_false(handshake_is_plain(raw, HANDSHAKE_PREFIX - 1));
	raw[19] ^= 1;
	assert_false(handshake_is_plain(raw, HANDSHAKE_PREFIX));
	assert_false(handshake_parse(raw, &h));
}

/* The two examples of BEP 6: 80.4.4.200, all of the info hash 0xaa, 1313
 * pieces. */
static void
allowed_fast_is_that_of_bep_6(void **state)
{
	static const uint32_t want[] = {1059, 431, 808, 1217, 287,
					376, 1188, 353, 508};
	static const uint8_t ip[4] = {80, 4, 4, 200};
	uint32_t set[9];
	uint8_t hash[20];

	(void)state;
	memset(hash, 0xaa, sizeof(hash));
	assert_int_equal(wire_allowed_fast(set, 7, ip, hash, 1313), 7);
	assert_memory_equal(set, want, 7 * sizeof(*set));
	assert_int_equal(wire_allowed_fast(set, 9, ip, hash, 1313), 9);
	assert_memory_equal(set, want, 9 * sizeof(*set));
}

static void
allowed_fast_of_a_small_torrent_is_all_of_it(void **state)
{
	static const uint8_t ip[4] = {80, 4, 4, 200}, hash[20];
	unsigned seen = 0;
	uint32_t set[10];

	(void)state;
	assert_int_equal(wire_allowed_fast(set, 10, ip, hash, 3), 3);
	for (int i = 0; i < 3; i++)
		seen |= 1u << set[i];
	assert_int_equal(seen, 7);
	assert_int_equal(wire_allowed_fast(set, 10, ip, hash, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wire_reads_what_it_writes),
		cmocka_unit_test(wire_reads_plain_messages),
		cmocka_unit_test(wire_borrows_the_block),
		cmocka_unit_test(wire_waits_for_every_byte),
		cmocka_unit_test(wire_judges_a_length_before_the_payload_comes),
		cmocka_unit_test(wire_refuses_sizes_that_no_message_has),
		cmocka_unit_test(wire_refuses_pieces_that_the_torrent_has_not),
		cmocka_unit_test(wire_skips_unknown_messages),
		cmocka_unit_test(wire_writes_and_reads_messages_about_hashes),
		cmocka_unit_test(wire_refuses_odd_messages_about_hashes),
		cmocka_unit_test(proofs_begin_above_what_is_whole),
		cmocka_unit_test(handshake_says_what_it_can),
		cmocka_unit_test(handshake_of_another_protocol_is_none),
		cmocka_unit_test(allowed_fast_is_that_of_bep_6),
		cmocka_unit_test(allowed_fast_of_a_small_torrent_is_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
