#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "swarm/peer_parts.h"
#include "swarm/pex.h"

static struct pex_peer
peer4(uint8_t last, uint16_t port, uint8_t flags)
{
	return (struct pex_peer){
		.addr = {.ip = {10, 0, 0, last}, .port = port,
			 .family = AF_INET},
		.flags = flags,
	};
}

static struct pex_peer
peer6(uint8_t last, uint16_t port, uint8_t flags)
{
	struct pex_peer p = {
		.addr = {.port = port, .family = AF_INET6},
		.flags = flags,
	};

	p.addr.ip[0] = 0x20;
	p.addr.ip[1] = 0x01;
	p.addr.ip[15] = last;
	return p;
}

static void
pex_reads_what_it_writes(void **state)
{
	struct pex_message in = {.added_count = 3, .dropped_count = 1}, out;
	struct buffer b;

	(void)state;
	in.added[0] = peer4(1, 6881, PEX_SEED);
	in.added[1] = peer6(2, 6882, PEX_UTP | PEX_REACHABLE);
	in.added[2] = peer4(3, 6883, 0);
	in.dropped[0] = peer6(9, 6889, 0);
	buffer_init(&b, 4096);
	pex_put(&b, &in);
	assert_false(b.failed);
	assert_int_equal(pex_parse(&out, b.data, b.used, NULL), 0);
	buffer_release(&b);
	assert_int_equal(out.added_count, 3);
	assert_true(addr_equal(&out.added[0].addr, &in.added[0].addr));
	assert_int_equal(out.added[0].flags, PEX_SEED);
	assert_true(addr_equal(&out.added[1].addr, &in.added[2].addr));
	assert_true(addr_equal(&out.added[2].addr, &in.added[1].addr));
	assert_int_equal(out.added[2].flags, PEX_UTP | PEX_REACHABLE);
	assert_int_equal(out.dropped_count, 1);
	assert_true(addr_equal(&out.dropped[0].addr, &in.dropped[0].addr));
}

static void
pex_bounds_what_one_message_adds(void **state)
{
	struct pex_message out;
	struct buffer b;

	(void)state;
	buffer_init(&b, 4096);
	buffer_printf(&b, "d5:added%d:", 200 * ADDR_COMPACT4);
	for (int i = 0; i < 200; i++) {
		uint8_t raw[ADDR_COMPACT4] = {10, 1, 0, (uint8_t)i, 1, 1};

		buffer_put(&b, raw, sizeof(raw));
	}
	buffer_str(&b, "e");
	assert_int_equal(pex_parse(&out, b.data, b.used, NULL), 0);
	assert_int_equal(out.added_count, PEX_MAX);
	buffer_release(&b);
}

/* A first message may have more than a later one. */
static void
pex_takes_as_many_of_each_family(void **state)
{
	struct pex_message in = {.added_count = PEX_HEARD}, out;
	struct buffer b;

	(void)state;
	for (uint8_t i = 0; i < PEX_MAX; i++) {
		in.added[i] = peer4(i + 1, 6881, 0);
		in.added[PEX_MAX + i] = peer6(i + 1, 6881, 0);
	}
	buffer_init(&b, 8192);
	pex_put(&b, &in);
	assert_int_equal(pex_parse(&out, b.data, b.used, NULL), 0);
	buffer_release(&b);
	assert_int_equal(out.added_count, PEX_HEARD);
	assert_true(addr_equal(&out.added[PEX_HEARD - 1].addr,
			       &in.added[PEX_HEARD - 1].addr));
}

static void
count_found(void *ctx, uint32_t id, const struct pex_peer *peers, size_t count)
{
	(void)id;
	(void)peers;
	*(size_t *)ctx += count;
}

static void
a_connection_that_lasts_may_say_more_than_a_short_one(void **state)
{
	struct pex_message said = {.added_count = PEX_MAX};
	size_t found = 0;
	struct swarm s = {.use_pex = true,
			  .events = {.ctx = &found, .found = count_found}};
	struct peer *p = calloc(1, sizeof(*p));
	struct buffer b;

	(void)state;
	assert_non_null(p);
	p->swarm = &s;
	p->now = 1000 * CLOCK_S;
	for (uint8_t i = 0; i < PEX_MAX; i++)
		said.added[i] = peer4(i + 1, 6881, 0);
	buffer_init(&b, 4096);
	pex_put(&b, &said);
	for (int i = 0; i < 100; i++) {
		struct wire_message m = {.data = b.data, .size = b.used};

		assert_int_equal(peer_pex_take(p, &m), 0);
		p->now += 65 * CLOCK_S;
	}
	assert_int_equal(found, 100 * PEX_MAX);
	/* One that hurries gets no further than it did. */
	for (int i = 0; i < 100; i++) {
		struct wire_message m = {.data = b.data, .size = b.used};

		for (int k = 0; k < 4; k++)
			assert_int_equal(peer_pex_take(p, &m), 0);
		p->now += 30 * CLOCK_S;
	}
	assert_true(found < 180 * PEX_MAX);
	buffer_release(&b);
	free(p);
}

static void
pex_leaves_out_what_cannot_be_dialled(void **state)
{
	static const char text[] = "d5:added12:\xe0\0\0\1\1\1\12\0\0\1\0\0e";
	static const char odd[] = "d5:added5:abcde7:added.fi3ee";
	struct pex_message out;

	(void)state;
	assert_int_equal(pex_parse(&out, text, sizeof(text) - 1, NULL), 0);
	assert_int_equal(out.added_count, 0);
	assert_int_equal(pex_parse(&out, odd, sizeof(odd) - 1, NULL), 0);
	assert_int_equal(out.added_count, 0);
	assert_int_equal(pex_parse(&out, "le", 2, NULL), -1);
	assert_int_equal(pex_parse(&out, "", 0, NULL), -1);
}

static void
pex_tells_only_what_has_changed(void **state)
{
	struct pex_peer told[8], now[3];
	struct pex_message m;
	size_t n;

	(void)state;
	now[0] = peer4(1, 1, 0);
	now[1] = peer4(2, 2, 0);
	n = pex_diff(&m, told, 0, now, 2, 8);
	assert_int_equal(n, 2);
	assert_int_equal(m.added_count, 2);
	assert_int_equal(m.dropped_count, 0);
	n = pex_diff(&m, told, n, now, 2, 8);
	assert_int_equal(m.added_count + m.dropped_count, 0);
	now[0] = peer4(3, 3, 0);
	n = pex_diff(&m, told, n, now, 2, 8);
	assert_int_equal(n, 2);
	assert_int_equal(m.added_count, 1);
	assert_int_equal(m.added[0].addr.port, 3);
	assert_int_equal(m.dropped_count, 1);
	assert_int_equal(m.dropped[0].addr.port, 1);
}

static void
pex_remembers_no_more_than_there_is_room_for(void **state)
{
	struct pex_peer told[2], now[5];
	struct pex_message m;

	(void)state;
	for (uint8_t i = 0; i < 5; i++)
		now[i] = peer4(i, (uint16_t)(i + 1), 0);
	assert_int_equal(pex_diff(&m, told, 0, now, 5, 2), 2);
	assert_int_equal(m.added_count, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pex_reads_what_it_writes),
		cmocka_unit_test(pex_bounds_what_one_message_adds),
		cmocka_unit_test(pex_takes_as_many_of_each_family),
		cmocka_unit_test(
		    a_connection_that_lasts_may_say_more_than_a_short_one),
		cmocka_unit_test(pex_leaves_out_what_cannot_be_dialled),
		cmocka_unit_test(pex_tells_only_what_has_changed),
		cmocka_unit_test(pex_remembers_no_more_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
