#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/bytes.h"
#include "net/portmap_codec.h"

static const uint8_t nonce[PCP_NONCE_SIZE] = "nonce nonce";

static struct portmap_question
question(void)
{
	struct portmap_question q = {.protocol = PORTMAP_TCP,
				     .internal_port = 6881,
				     .external_port = 6882,
				     .lifetime = 7200};

	assert_true(addr_parse(&q.client, "192.168.1.5", 0));
	memcpy(q.nonce, nonce, sizeof(nonce));
	return q;
}

/* What a gateway would answer to question(). */
static void
pcp_answer(uint8_t raw[60])
{
	memset(raw, 0, 60);
	raw[0] = 2;
	raw[1] = 129;
	put_u32(raw + 4, 3600);
	put_u32(raw + 8, 1000);
	memcpy(raw + 24, nonce, sizeof(nonce));
	raw[36] = 6;
	put_u16(raw + 40, 6881);
	put_u16(raw + 42, 50000);
	memset(raw + 54, 0xff, 2);
	memcpy(raw + 56, (uint8_t[]){203, 0, 113, 7}, 4);
}

static void
natpmp_answer(uint8_t raw[16])
{
	raw[0] = 0;
	raw[1] = 130;
	put_u16(raw + 2, 0);
	put_u32(raw + 4, 1000);
	put_u16(raw + 8, 6881);
	put_u16(raw + 10, 50000);
	put_u32(raw + 12, 3600);
}

static void
expect_ip(const struct addr *a, const char *text)
{
	char got[ADDR_TEXT_MAX];

	assert_string_equal(addr_format_ip(a, got), text);
}

/* ---- PCP ---- */

static void
pcp_map_is_written_as_the_rfc_says(void **state)
{
	struct portmap_question q = question();
	uint8_t raw[PORTMAP_PACKET_MAX];

	(void)state;
	assert_int_equal(pcp_put_map(raw, &q), 60);
	assert_int_equal(get_u32(raw), 0x02010000);
	assert_int_equal(get_u32(raw + 4), 7200);
	assert_int_equal(get_u16(raw + 18), 0xffff);
	assert_memory_equal(raw + 20, ((uint8_t[]){192, 168, 1, 5}), 4);
	assert_memory_equal(raw + 24, nonce, sizeof(nonce));
	assert_int_equal(get_u32(raw + 36), 6u << 24);
	assert_int_equal(get_u16(raw + 40), 6881);
	assert_int_equal(get_u16(raw + 42), 6882);
	assert_int_equal(get_u16(raw + 54), 0xffff);
	assert_int_equal(get_u32(raw + 56), 0);
}

static void
pcp_removal_wishes_for_nothing(void **state)
{
	struct portmap_question q = question();
	uint8_t raw[PORTMAP_PACKET_MAX], zero[18] = {0};

	(void)state;
	q.lifetime = 0;
	q.external_ip = q.client;
	assert_int_equal(pcp_put_map(raw, &q), 60);
	assert_int_equal(get_u32(raw + 4), 0);
	assert_memory_equal(raw + 24, nonce, sizeof(nonce));
	assert_memory_equal(raw + 42, zero, sizeof(zero));
}

static void
pcp_answer_is_read(void **state)
{
	struct portmap_question q = question();
	struct portmap_answer a;
	uint8_t raw[60];

	(void)state;
	pcp_answer(raw);
	assert_true(pcp_read(raw, sizeof(raw), &a));
	assert_int_equal(a.kind, PORTMAP_MAPPED);
	assert_int_equal(a.result, 0);
	assert_int_equal(a.lifetime, 3600);
	assert_int_equal(a.epoch, 1000);
	assert_int_equal(a.external_port, 50000);
	expect_ip(&a.external_ip, "203.0.113.7");
	assert_true(portmap_answers(&a, PORTMAP_PCP, &q));
}

static void
pcp_answer_must_have_the_nonce_the_port_and_the_protocol(void **state)
{
	const size_t at[] = {24, 36, 41};
	struct portmap_question q = question();
	struct portmap_answer a;
	uint8_t raw[60];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		pcp_answer(raw);
		raw[at[i]] = at[i] == 36 ? 17 : (uint8_t)(raw[at[i]] + 1);
		assert_true(pcp_read(raw, sizeof(raw), &a));
		assert_false(portmap_answers(&a, PORTMAP_PCP, &q));
	}
}

static void
pcp_answer_that_is_cut_off_is_none(void **state)
{
	struct portmap_answer a;
	uint8_t raw[60];

	(void)state;
	pcp_answer(raw);
	for (size_t n = 0; n < sizeof(raw); n++)
		assert_false(pcp_read(raw, n, &a));
}

static void
pcp_question_is_no_answer(void **state)
{
	struct portmap_question q = question();
	uint8_t raw[PORTMAP_PACKET_MAX];
	struct portmap_answer a;

	(void)state;
	assert_false(pcp_read(raw, pcp_put_map(raw, &q), &a));
}

static void
pcp_refusal_gives_no_address(void **state)
{
	struct portmap_answer a;
	uint8_t raw[60];

	(void)state;
	pcp_answer(raw);
	raw[3] = 8;
	assert_true(pcp_read(raw, sizeof(raw), &a));
	assert_int_equal(a.result, 8);
	assert_int_equal(a.external_ip.family, 0);
	assert_string_equal(portmap_result(PORTMAP_PCP, a.result),
			    "no resources are left");
}

static void
pcp_learns_that_the_gateway_speaks_natpmp_only(void **state)
{
	const uint8_t raw[] = {0, 128, 0, 1, 0, 0, 0, 9};
	struct portmap_answer a;

	(void)state;
	assert_true(pcp_read(raw, sizeof(raw), &a));
	assert_int_equal(a.kind, PORTMAP_OTHER_VERSION);
}

static void
pcp_learns_that_the_gateway_speaks_another_version(void **state)
{
	uint8_t raw[24] = {1, 129, 0, 1};
	struct portmap_answer a;

	(void)state;
	assert_true(pcp_read(raw, sizeof(raw), &a));
	assert_int_equal(a.kind, PORTMAP_OTHER_VERSION);
}

static void
pcp_restart_is_read(void **state)
{
	uint8_t raw[24] = {2, 128, [11] = 5};
	struct portmap_answer a;

	(void)state;
	assert_true(pcp_read(raw, sizeof(raw), &a));
	assert_int_equal(a.kind, PORTMAP_RESTARTED);
	assert_int_equal(a.epoch, 5);
}

static void
addresses_that_nobody_reaches_are_none(void **state)
{
	struct portmap_answer a;
	uint8_t raw[60];

	(void)state;
	pcp_answer(raw);
	memset(raw + 56, 0, 4);
	assert_true(pcp_read(raw, sizeof(raw), &a));
	assert_int_equal(a.external_ip.family, 0);
}

/* ---- NAT-PMP ---- */

static void
natpmp_questions_are_written_as_the_rfc_says(void **state)
{
	const uint8_t want[] = {0, 2, 0, 0, 0x1a, 0xe1, 0x1a, 0xe2,
				0, 0, 0x1c, 0x20};
	struct portmap_question q = question();
	uint8_t raw[PORTMAP_PACKET_MAX];

	(void)state;
	assert_int_equal(natpmp_put_map(raw, &q), sizeof(want));
	assert_memory_equal(raw, want, sizeof(want));
	q.protocol = PORTMAP_UDP;
	q.lifetime = 0;
	natpmp_put_map(raw, &q);
	assert_int_equal(raw[1], 1);
	assert_int_equal(get_u16(raw + 4), 6881);
	assert_int_equal(get_u16(raw + 6), 0);
	assert_int_equal(natpmp_put_address(raw), 2);
	assert_int_equal(get_u16(raw), 0);
}

static void
natpmp_answer_is_read(void **state)
{
	struct portmap_question q = question();
	struct portmap_answer a;
	uint8_t raw[16];

	(void)state;
	natpmp_answer(raw);
	assert_true(natpmp_read(raw, sizeof(raw), &a));
	assert_int_equal(a.kind, PORTMAP_MAPPED);
	assert_int_equal(a.external_port, 50000);
	assert_int_equal(a.lifetime, 3600);
	assert_true(portmap_answers(&a, PORTMAP_NATPMP, &q));
	raw[1] = 129;
	assert_true(natpmp_read(raw, sizeof(raw), &a));
	assert_false(portmap_answers(&a, PORTMAP_NATPMP, &q));
}

static void
natpmp_address_is_read(void **state)
{
	const uint8_t raw[] = {0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7};
	struct portmap_answer a;

	(void)state;
	assert_true(natpmp_read(raw, sizeof(raw), &a));
	assert_int_equal(a.kind, PORTMAP_ADDRESS);
	expect_ip(&a.external_ip, "203.0.113.7");
}

static void
natpmp_answer_that_is_cut_off_is_none(void **state)
{
	struct portmap_answer a;
	uint8_t raw[16];

	(void)state;
	natpmp_answer(raw);
	for (size_t n = 0; n < sizeof(raw); n++)
		assert_false(natpmp_read(raw, n, &a));
}

static void
natpmp_takes_no_other_version_or_operation(void **state)
{
	struct portmap_answer a;
	uint8_t raw[16];

	(void)state;
	natpmp_answer(raw);
	raw[0] = 2;
	assert_false(natpmp_read(raw, sizeof(raw), &a));
	natpmp_answer(raw);
	raw[1] = 131;
	assert_false(natpmp_read(raw, sizeof(raw), &a));
	raw[1] = 2;
	assert_false(natpmp_read(raw, sizeof(raw), &a));
}

/* ---- times ---- */

static void
waits_double_and_end(void **state)
{
	(void)state;
	assert_int_equal(portmap_wait(0), 250 * CLOCK_MS);
	assert_int_equal(portmap_wait(1), 500 * CLOCK_MS);
	assert_int_equal(portmap_wait(3), 2000 * CLOCK_MS);
	assert_int_equal(portmap_wait(4), 0);
}

static void
renewal_is_at_half_the_lifetime_within_bounds(void **state)
{
	(void)state;
	assert_int_equal(portmap_renew_at(7200, 5 * CLOCK_S), 3605 * CLOCK_S);
	assert_int_equal(portmap_renew_at(1, 0), 4 * CLOCK_S);
	assert_int_equal(portmap_renew_at(UINT32_MAX, 0), 43200 * CLOCK_S);
}

static bool
epoch_kept(enum portmap_method by, uint32_t from, uint32_t to, int64_t passed)
{
	struct portmap_epoch e = {.known = false};

	assert_true(portmap_epoch_take(&e, by, from, 100 * CLOCK_S));
	return portmap_epoch_take(&e, by, to, (100 + passed) * CLOCK_S);
}

static void
epoch_that_follows_our_clock_is_kept(void **state)
{
	(void)state;
	assert_true(epoch_kept(PORTMAP_PCP, 1000, 2000, 1000));
	assert_true(epoch_kept(PORTMAP_PCP, 1000, 2040, 1000));
	assert_true(epoch_kept(PORTMAP_PCP, 1000, 999, 0));
	assert_true(epoch_kept(PORTMAP_NATPMP, 1000, 1880, 1000));
}

static void
epoch_that_does_not_is_a_restart(void **state)
{
	(void)state;
	assert_false(epoch_kept(PORTMAP_PCP, 1000, 5, 10));
	assert_false(epoch_kept(PORTMAP_PCP, 1000, 1900, 1000));
	assert_false(epoch_kept(PORTMAP_PCP, 1000, 2200, 1000));
	assert_false(epoch_kept(PORTMAP_NATPMP, 1000, 1870, 1000));
	assert_false(epoch_kept(PORTMAP_NATPMP, 1000, 0, 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pcp_map_is_written_as_the_rfc_says),
		cmocka_unit_test(pcp_removal_wishes_for_nothing),
		cmocka_unit_test(pcp_answer_is_read),
		cmocka_unit_test(
		    pcp_answer_must_have_the_nonce_the_port_and_the_protocol),
		cmocka_unit_test(pcp_answer_that_is_cut_off_is_none),
		cmocka_unit_test(pcp_question_is_no_answer),
		cmocka_unit_test(pcp_refusal_gives_no_address),
		cmocka_unit_test(pcp_learns_that_the_gateway_speaks_natpmp_only),
		cmocka_unit_test(
		    pcp_learns_that_the_gateway_speaks_another_version),
		cmocka_unit_test(pcp_restart_is_read),
		cmocka_unit_test(addresses_that_nobody_reaches_are_none),
		cmocka_unit_test(natpmp_questions_are_written_as_the_rfc_says),
		cmocka_unit_test(natpmp_answer_is_read),
		cmocka_unit_test(natpmp_address_is_read),
		cmocka_unit_test(natpmp_answer_that_is_cut_off_is_none),
		cmocka_unit_test(natpmp_takes_no_other_version_or_operation),
		cmocka_unit_test(waits_double_and_end),
		cmocka_unit_test(renewal_is_at_half_the_lifetime_within_bounds),
		cmocka_unit_test(epoch_that_follows_our_clock_is_kept),
		cmocka_unit_test(epoch_that_does_not_is_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
