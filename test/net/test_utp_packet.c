#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "net/utp_packet.h"

static const uint8_t state[] = {
    0x21, 0x00, 0x12, 0x34, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
    0x07, 0x08, 0x00, 0x0a, 0x00, 0x00, 0x77, 0x88, 0x99, 0xaa};

static void
a_header_is_as_bep_29_has_it(void **unused)
{
	struct utp_packet p = {.type = UTP_STATE, .id = 0x1234,
			       .sent_us = 0x01020304, .delay_us = 0x05060708,
			       .window = 0x000a0000, .seq = 0x7788,
			       .ack = 0x99aa};
	uint8_t raw[64];

	(void)unused;
	assert_int_equal(utp_packet_write(raw, &p), UTP_HEADER);
	assert_memory_equal(raw, state, sizeof(state));
}

static void
what_was_written_is_read(void **unused)
{
	static const uint8_t bits[8] = {0x81, 0, 0, 0, 0, 0, 0, 0x40};
	struct utp_packet p = {.type = UTP_STATE, .id = 7, .sent_us = 1,
			       .delay_us = 2, .window = 3, .seq = 4, .ack = 5,
			       .sack = bits, .sack_size = 8}, q;
	uint8_t raw[64];
	size_t n = utp_packet_write(raw, &p);

	(void)unused;
	assert_int_equal(n, UTP_HEADER + 2 + 8);
	assert_int_equal(utp_packet_read(&q, raw, n), 0);
	assert_int_equal(q.type, UTP_STATE);
	assert_int_equal(q.id, 7);
	assert_int_equal(q.sent_us, 1);
	assert_int_equal(q.delay_us, 2);
	assert_int_equal(q.window, 3);
	assert_int_equal(q.seq, 4);
	assert_int_equal(q.ack, 5);
	assert_int_equal(q.sack_size, 8);
	assert_true(utp_sack_has(&q, 0) && utp_sack_has(&q, 7));
	assert_true(utp_sack_has(&q, 62) && !utp_sack_has(&q, 1));
	assert_false(utp_sack_has(&q, 64));
	assert_int_equal(q.size, 0);
}

static void
unknown_extensions_are_skipped(void **unused)
{
	static const uint8_t tail[] = {3, 2, 'x', 'x', 1, 0,
				       0, 4, 5, 0, 0, 0, 'z'};
	uint8_t raw[64] = {0};
	struct utp_packet p;

	(void)unused;
	memcpy(raw, state, UTP_HEADER);
	raw[0] = 0x01;			/* data */
	raw[1] = 2;			/* of which nobody knows */
	memcpy(raw + 20, tail, sizeof(tail));
	assert_int_equal(utp_packet_read(&p, raw, 33), 0);
	assert_int_equal(p.sack_size, 4);
	assert_true(utp_sack_has(&p, 0) && utp_sack_has(&p, 2));
	assert_int_equal(p.size, 1);
	assert_int_equal(p.data[0], 'z');
}

/* libtorrent sends those that BEP 29 does not allow. */
static void
a_selective_ack_has_any_length(void **unused)
{
	static const uint8_t tail[] = {0, 1, 2};
	uint8_t raw[64] = {0};
	struct utp_packet p;

	(void)unused;
	memcpy(raw, state, UTP_HEADER);
	raw[1] = 1;
	memcpy(raw + 20, tail, sizeof(tail));
	assert_int_equal(utp_packet_read(&p, raw, 23), 0);
	assert_int_equal(p.sack_size, 1);
	assert_true(utp_sack_has(&p, 1) && !utp_sack_has(&p, 8));
}

static void
every_cut_of_a_packet_is_refused_or_whole(void **unused)
{
	static const uint8_t tail[] = {2, 4, 1, 0, 0, 0, 0, 3, 'x', 'y', 'z'};
	uint8_t raw[32] = {0};
	struct utp_packet p;

	(void)unused;
	memcpy(raw, state, UTP_HEADER);
	raw[1] = 1;
	memcpy(raw + 20, tail, sizeof(tail));
	for (size_t n = 0; n < 31; n++)
		assert_int_equal(utp_packet_read(&p, raw, n), -1);
	assert_int_equal(utp_packet_read(&p, raw, 31), 0);
}

static void
others_are_no_packets(void **unused)
{
	uint8_t raw[UTP_HEADER];
	struct utp_packet p;

	(void)unused;
	memcpy(raw, state, sizeof(raw));
	for (int first = 0; first < 256; first++) {
		bool is = (first & 15) == 1 && first >> 4 < 5;

		raw[0] = (uint8_t)first;
		assert_int_equal(utp_is_packet(raw, sizeof(raw)), is);
		/* Data without data would take a number for nothing. */
		assert_int_equal(utp_packet_read(&p, raw, sizeof(raw)),
				 is && first != 1 ? 0 : -1);
	}
	assert_false(utp_is_packet("d1:ad2:id20:abcdefghij", 22));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_is_as_bep_29_has_it),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(unknown_extensions_are_skipped),
		cmocka_unit_test(a_selective_ack_has_any_length),
		cmocka_unit_test(every_cut_of_a_packet_is_refused_or_whole),
		cmocka_unit_test(others_are_no_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
