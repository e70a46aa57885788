/*
 * What strangers and hostile ones may do to a connection: packets are made by
 * hand, and nothing comes back but what the test says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "net/utp.h"
#include "net/utp_pace.h"
#include "net/utp_packet.h"

/* ---- strangers ---- */

static struct utp_packet last_said;
static unsigned said;
static size_t said_bytes;

static void
keep_said(void *ctx, const struct addr *to, const void *data, size_t n)
{
	(void)ctx;
	(void)to;
	said++;
	said_bytes += n;
	assert_int_equal(utp_packet_read(&last_said, data, n), 0);
}

static void
fill_same(void *ctx, void *out, size_t n)
{
	(void)ctx;
	memset(out, 5, n);
}

static struct utp_set *
lone_set(void)
{
	struct utp_config config = {.send = keep_said, .random = fill_same,
				    .max = 8};
	struct utp_set *set = utp_set_new(&config);

	assert_non_null(set);
	said = 0;
	said_bytes = 0;
	return set;
}

static struct addr
stranger(uint32_t n)
{
	struct addr a = {.family = AF_INET, .port = 5000};

	put_u32(a.ip, 0x14000001 + n);
	return a;
}

static void
hear(struct utp_set *set, uint32_t who, struct utp_packet p, int64_t now)
{
	struct addr from = stranger(who);
	uint8_t raw[UTP_HEADER + 16];
	size_t n = utp_packet_write(raw, &p);

	if (p.type == UTP_DATA)
		raw[n++] = 'x';
	utp_set_packet(set, &from, raw, n, now);
}

static void
callers_cost_nothing(void **state)
{
	struct utp_set *set = lone_set();

	(void)state;
	for (uint32_t i = 0; i < 100000; i++)
		hear(set, i, (struct utp_packet){.type = UTP_SYN,
						 .id = (uint16_t)i}, CLOCK_S);
	assert_int_equal(utp_set_count(set), 0);
	assert_null(utp_set_changed(set));
	assert_int_equal(utp_set_due(set), CLOCK_NEVER);
	/* A second's worth, each no longer than what asked for it. */
	assert_in_range(said, 400, 600);
	assert_int_equal(said_bytes, said * UTP_HEADER);
	utp_set_free(set);
}

static void
strangers_are_not_answered_without_end(void **state)
{
	struct utp_set *set = lone_set();

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		hear(set, i, (struct utp_packet){.type = UTP_DATA,
						 .id = (uint16_t)i}, CLOCK_S);
	assert_in_range(said, 1, 100);
	assert_int_equal(last_said.type, UTP_RESET);
	assert_in_range(utp_set_count(set), 0, 1);	/* a lucky guess */
	said = 0;
	for (uint16_t i = 0; i < 1000; i++) {
		hear(set, i, (struct utp_packet){.type = UTP_RESET, .id = i},
		     100 * CLOCK_S);
		hear(set, i, (struct utp_packet){.type = UTP_STATE, .id = i},
		     100 * CLOCK_S);
	}
	assert_int_equal(said, 0);
	utp_set_free(set);
}

/* One who cannot see the answer cannot begin. */
static void
only_who_got_the_answer_begins(void **state)
{
	struct utp_packet syn = {.type = UTP_SYN, .id = 40, .seq = 7};
	struct utp_packet data = {.type = UTP_DATA, .id = 41, .seq = 8,
				  .window = 100000};
	struct utp_set *set = lone_set();
	struct utp *u;

	(void)state;
	hear(set, 1, syn, CLOCK_S);
	assert_int_equal(last_said.ack, 7);
	data.ack = (uint16_t)(last_said.seq - 1);
	hear(set, 2, data, CLOCK_S);	/* another address */
	data.ack++;
	hear(set, 1, data, CLOCK_S);	/* another number */
	data.ack--;
	data.seq += UTP_START_PACKETS;
	hear(set, 1, data, CLOCK_S);	/* not among the first */
	data.seq -= UTP_START_PACKETS;
	hear(set, 1, data, 30 * CLOCK_S);	/* too late */
	assert_int_equal(utp_set_count(set), 0);
	hear(set, 1, data, CLOCK_S);
	assert_int_equal(utp_set_count(set), 1);
	u = utp_set_changed(set);
	assert_non_null(u);
	assert_true(utp_incoming(u) && utp_ready(u) == 1);
	utp_set_free(set);
}

/* ---- hostile ones ---- */

/* A connection of ours whose other side is played by the test. */
static struct utp *
begin_played(struct utp_set *set, uint16_t *id, uint16_t *seq)
{
	struct addr to = stranger(1);
	struct utp *u = utp_connect(set, &to, CLOCK_S);

	assert_non_null(u);
	assert_int_equal(last_said.type, UTP_SYN);
	*id = last_said.id;
	*seq = last_said.seq;
	hear(set, 1, (struct utp_packet){.type = UTP_STATE, .id = *id,
					 .seq = 500, .ack = *seq,
					 .window = 100000}, CLOCK_S);
	assert_int_equal(utp_state(u), UTP_OPEN);
	return u;
}

static void
write_some(struct utp *u, size_t n)
{
	static const uint8_t data[65536];

	assert_int_equal(utp_write(u, data, n), n);
	utp_flush(u, CLOCK_S);
}

static void
acknowledging_what_was_not_sent_is_ignored(void **state)
{
	struct utp_set *set = lone_set();
	uint16_t id, seq;
	struct utp *u = begin_played(set, &id, &seq);

	(void)state;
	write_some(u, 100);
	for (unsigned ahead = 2; ahead < 60000; ahead += 7)
		hear(set, 1, (struct utp_packet){
			.type = UTP_STATE, .id = id, .seq = 500,
			.ack = (uint16_t)(seq + ahead), .window = 100000},
		     CLOCK_S);
	assert_false(utp_all_acked(u));
	assert_int_equal(utp_state(u), UTP_OPEN);
	hear(set, 1, (struct utp_packet){.type = UTP_STATE, .id = id,
					 .seq = 500,
					 .ack = (uint16_t)(seq + 1),
					 .window = 100000}, CLOCK_S);
	assert_true(utp_all_acked(u));
	utp_set_free(set);
}

static void
a_blind_reset_does_not_end_it(void **state)
{
	struct utp_set *set = lone_set();
	uint16_t id, seq;
	struct utp *u = begin_played(set, &id, &seq);

	(void)state;
	for (unsigned off = 1000; off < 60000; off += 11)
		hear(set, 1, (struct utp_packet){
			.type = UTP_RESET, .id = id,
			.ack = (uint16_t)(seq - off)}, CLOCK_S);
	hear(set, 2, (struct utp_packet){.type = UTP_RESET, .id = id,
					 .ack = seq}, CLOCK_S);
	assert_int_equal(utp_state(u), UTP_OPEN);
	hear(set, 1, (struct utp_packet){.type = UTP_RESET, .id = id,
					 .ack = seq}, CLOCK_S);
	assert_int_equal(utp_state(u), UTP_ENDED);
	utp_set_free(set);
}

static void
what_lies_out_of_the_window_is_not_kept(void **state)
{
	struct utp_set *set = lone_set();
	uint16_t id, seq;
	struct utp *u = begin_played(set, &id, &seq);

	(void)state;
	for (unsigned i = 0; i < 65000; i += 3)
		hear(set, 1, (struct utp_packet){
			.type = UTP_DATA, .id = id, .ack = seq,
			.seq = (uint16_t)(501 + i), .window = 100000},
		     CLOCK_S);
	assert_int_equal(utp_ready(u), 0);
	hear(set, 1, (struct utp_packet){.type = UTP_DATA, .id = id,
					 .ack = seq, .seq = 500,
					 .window = 100000}, CLOCK_S);
	assert_int_equal(utp_ready(u), 2);	/* and 501 */
	utp_set_free(set);
}

static void
a_window_of_nothing_or_of_everything_is_harmless(void **state)
{
	struct utp_set *set = lone_set();
	uint16_t id, seq;
	struct utp *u = begin_played(set, &id, &seq);
	struct utp_packet p = {.type = UTP_STATE, .id = id, .seq = 500,
			       .ack = seq, .window = 0};

	(void)state;
	hear(set, 1, p, CLOCK_S);
	said = 0;
	write_some(u, utp_room(u) < 1000 ? utp_room(u) : 1000);
	assert_int_equal(said, 0);
	p.window = UINT32_MAX;
	hear(set, 1, p, CLOCK_S);
	assert_true(utp_room(u) <= UTP_WINDOW_MAX);
	utp_flush(u, CLOCK_S);
	utp_set_free(set);
}

/* A shut window is knocked at, ever less often, for as long as the other
 * side answers. */
static void
a_shut_window_is_knocked_at(void **state)
{
	struct utp_set *set = lone_set();
	uint16_t id, seq;
	struct utp *u = begin_played(set, &id, &seq);
	struct utp_packet p = {.type = UTP_STATE, .id = id, .seq = 500,
			       .ack = seq, .window = 0};
	int64_t now = CLOCK_S;

	(void)state;
	write_some(u, 1000);
	hear(set, 1, p, now);
	said = 0;
	while (now < 300 * CLOCK_S) {
		now = utp_set_due(set);
		utp_set_tick(set, now);
		hear(set, 1, p, now);
		while ((u = utp_set_changed(set)) != NULL) {
			assert_int_equal(utp_state(u), UTP_OPEN);
			utp_flush(u, now);
		}
	}
	assert_in_range(said, 10, 300);
	utp_set_free(set);
}

static void
three_that_came_later_tell_of_a_loss(void **state)
{
	static const uint8_t three[4] = {0x07};
	struct utp_set *set = lone_set();
	uint16_t id, seq;
	struct utp *u = begin_played(set, &id, &seq);
	struct utp_packet p = {.type = UTP_STATE, .id = id, .seq = 500,
			       .ack = seq, .window = 100000};

	(void)state;
	write_some(u, 4 * UTP_PAYLOAD4 - 100);
	said = 0;
	p.sack = three;
	p.sack_size = 4;
	hear(set, 1, p, CLOCK_S);
	utp_flush(u, CLOCK_S);
	assert_int_equal(said, 1);
	assert_int_equal(last_said.type, UTP_DATA);
	assert_int_equal(last_said.seq, (uint16_t)(seq + 1));
	utp_set_free(set);
}

static void
three_times_the_same_tell_of_a_loss(void **state)
{
	struct utp_set *set = lone_set();
	uint16_t id, seq;
	struct utp *u = begin_played(set, &id, &seq);
	struct utp_packet p = {.type = UTP_STATE, .id = id, .seq = 500,
			       .ack = seq, .window = 100000};

	(void)state;
	write_some(u, 4 * UTP_PAYLOAD4 - 100);
	said = 0;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(said, 0);
		hear(set, 1, p, CLOCK_S);
		utp_flush(u, CLOCK_S);
	}
	assert_int_equal(said, 1);
	assert_int_equal(last_said.seq, (uint16_t)(seq + 1));
	utp_set_free(set);
}

/* libtorrent 2.0 takes a SYN that comes twice for two callers. */
static void
the_last_answer_to_a_syn_counts(void **state)
{
	struct utp_set *set = lone_set();
	uint16_t id, seq;
	struct utp *u = begin_played(set, &id, &seq);

	(void)state;
	write_some(u, 100);
	assert_int_equal(last_said.ack, 499);
	hear(set, 1, (struct utp_packet){.type = UTP_STATE, .id = id,
					 .seq = 9000, .ack = seq,
					 .window = 100000}, CLOCK_S);
	utp_set_tick(set, CLOCK_S);
	utp_flush(u, CLOCK_S);
	assert_int_equal(last_said.type, UTP_DATA);
	assert_int_equal(last_said.ack, 8999);
	utp_set_free(set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(callers_cost_nothing),
		cmocka_unit_test(strangers_are_not_answered_without_end),
		cmocka_unit_test(only_who_got_the_answer_begins),
		cmocka_unit_test(acknowledging_what_was_not_sent_is_ignored),
		cmocka_unit_test(a_blind_reset_does_not_end_it),
		cmocka_unit_test(what_lies_out_of_the_window_is_not_kept),
		cmocka_unit_test(
		    a_window_of_nothing_or_of_everything_is_harmless),
		cmocka_unit_test(a_shut_window_is_knocked_at),
		cmocka_unit_test(three_that_came_later_tell_of_a_loss),
		cmocka_unit_test(three_times_the_same_tell_of_a_loss),
		cmocka_unit_test(the_last_answer_to_a_syn_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
