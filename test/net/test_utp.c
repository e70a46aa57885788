/*
 * Connections over a path in virtual time: see utp_sim.h.
 */
#include "net/utp_sim.h"

#include <errno.h>

#define MIB (1024u * 1024u)

static void
set_path(struct sim *s, struct sim_way way)
{
	s->way[0] = s->way[1] = way;
}

/* ---- bytes arrive ---- */

static void
move_both_ways(struct sim_way way, uint64_t bytes, uint64_t seed)
{
	struct sim s;

	sim_init(&s, seed);
	set_path(&s, way);
	s.side[0].to_send = bytes;
	s.side[1].to_send = bytes / 3;
	sim_connect(&s);
	assert_true(sim_transfer(&s, 3600 * CLOCK_S));
	sim_release(&s);
}

static void
all_bytes_arrive_whatever_is_lost(void **state)
{
	static const unsigned loss[] = {0, 10, 50, 100, 200};

	(void)state;
	for (size_t i = 0; i < sizeof(loss) / sizeof(*loss); i++)
		for (uint64_t seed = 1; seed <= 3; seed++)
			move_both_ways((struct sim_way){
				.delay = 10 * CLOCK_MS, .loss = loss[i]},
				loss[i] > 50 ? MIB / 2 : 2 * MIB, seed);
}

static void
all_bytes_arrive_over_a_path_that_does_everything(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++)
		move_both_ways((struct sim_way){
			.rate = 2 * MIB, .queue = 100000,
			.delay = 15 * CLOCK_MS, .jitter = 20 * CLOCK_MS,
			.loss = 30, .twice = 50, .late = 50}, MIB, seed);
}

static void
a_wide_path_is_filled(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	s.side[0].to_send = 40 * MIB;
	sim_connect(&s);
	assert_true(sim_transfer(&s, 3 * CLOCK_S));
	/* Loss of none, and not one packet too many. */
	assert_true(s.way[0].packets < 40 * MIB / UTP_PAYLOAD4 + 16);
	assert_true(s.way[1].packets < s.way[0].packets);
	sim_release(&s);
}

/* IPv4's header, and UDP's. */
static void
a_full_packet_fits_into_a_tunnel(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	s.way[0].largest = 1420 - 20 - 8;
	s.side[0].to_send = MIB;
	sim_connect(&s);
	assert_true(sim_transfer(&s, 2 * CLOCK_S));
	sim_release(&s);
}

/* 80,000 packets; and the microseconds of both clocks wrap, too. */
static void
numbers_and_times_wrap(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	s.side[0].clock = (int64_t)UINT32_MAX * CLOCK_US - CLOCK_S;
	s.side[1].clock = (int64_t)UINT32_MAX * CLOCK_US - 2 * CLOCK_S;
	s.way[0].loss = s.way[1].loss = 1;
	s.way[0].delay = s.way[1].delay = CLOCK_MS;
	s.side[0].to_send = 110 * MIB;
	sim_connect(&s);
	assert_true(sim_transfer(&s, 60 * CLOCK_S));
	assert_true(s.way[0].packets > 80000 && s.now > 2 * CLOCK_S);
	sim_release(&s);
}

/* How much arrives in a while in which packets are lost. */
static uint64_t
taken_with_loss(struct sim *s)
{
	uint64_t before = s->side[1].taken;

	s->way[0].loss = 20;
	sim_run(s, 5 * CLOCK_S);
	return s->side[1].taken - before;
}

/* 40,000 packets and no loss: numbers of before are half a turn away. */
static void
a_loss_slows_down_after_any_number_of_packets(void **state)
{
	uint64_t early, late;
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	s.side[0].to_send = UINT64_MAX / 2;
	sim_connect(&s);
	sim_run(&s, CLOCK_S);
	early = taken_with_loss(&s);
	sim_release(&s);
	sim_init(&s, 1);
	s.side[0].to_send = UINT64_MAX / 2;
	sim_connect(&s);
	while (s.way[0].packets < 40000)
		sim_run(&s, CLOCK_MS);
	late = taken_with_loss(&s);
	assert_true(s.way[0].packets < 60000);
	assert_true(late < 2 * early);
	sim_release(&s);
}

static void
small_messages_share_packets(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	sim_connect(&s);
	sim_run(&s, CLOCK_S);
	for (int i = 0; i < 1000; i++) {
		s.side[0].to_send += 17;
		utp_touch(s.side[0].conn);
		sim_serve(&s.side[0]);
		sim_run(&s, CLOCK_MS);
	}
	assert_true(sim_transfer(&s, CLOCK_S));
	/* One is under way at a time, which takes 20 ms. */
	assert_true(s.way[0].packets < 80);
	sim_release(&s);
}

/* ---- what it does to the path ---- */

static void
the_queue_stays_near_the_target(void **state)
{
	struct sim s;
	uint64_t before;

	(void)state;
	sim_init(&s, 1);
	set_path(&s, (struct sim_way){.rate = 1000000, .queue = 2000000,
				      .delay = 20 * CLOCK_MS});
	s.side[0].to_send = UINT64_MAX / 2;
	sim_connect(&s);
	sim_run(&s, 30 * CLOCK_S);
	s.way[0].queue_most = 0;
	before = s.side[1].taken;
	sim_run(&s, 60 * CLOCK_S);
	assert_true(s.way[0].queue_most < 130 * CLOCK_MS);
	assert_true(s.way[0].queue_most > 80 * CLOCK_MS);
	assert_true(s.side[1].taken - before > 60 * 900000);
	sim_release(&s);
}

static void
clocks_that_differ_change_nothing(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	set_path(&s, (struct sim_way){.rate = 500000, .queue = 2000000,
				      .delay = 20 * CLOCK_MS});
	s.side[1].clock = 77777 * CLOCK_S;
	s.side[1].drift = 30;		/* parts in a million */
	s.side[0].to_send = UINT64_MAX / 2;
	sim_connect(&s);
	sim_run(&s, 30 * CLOCK_S);
	s.way[0].queue_most = 0;
	sim_run(&s, 270 * CLOCK_S);
	assert_true(s.way[0].queue_most < 150 * CLOCK_MS);
	assert_true(s.side[1].taken > 300ull * 470000);
	sim_release(&s);
}

static void
it_gives_way_to_tcp_and_comes_back(void **state)
{
	struct sim s;
	uint64_t ours, theirs;

	(void)state;
	sim_init(&s, 1);
	set_path(&s, (struct sim_way){.rate = 1000000, .queue = 400000,
				      .delay = 20 * CLOCK_MS});
	s.side[0].to_send = UINT64_MAX / 2;
	sim_connect(&s);
	sim_run(&s, 20 * CLOCK_S);
	s.rival.window = 10;
	sim_rival_send(&s);
	sim_run(&s, 20 * CLOCK_S);
	ours = s.side[1].taken;
	theirs = s.rival.arrived;
	sim_run(&s, 40 * CLOCK_S);
	ours = s.side[1].taken - ours;
	theirs = s.rival.arrived - theirs;
	assert_true(theirs > 30 * 1000000 && ours < theirs / 4);
	s.rival.window = 0;
	sim_run(&s, 20 * CLOCK_S);
	ours = s.side[1].taken;
	sim_run(&s, 20 * CLOCK_S);
	assert_true(s.side[1].taken - ours > 20 * 800000);
	sim_release(&s);
}

static void
an_idle_connection_says_a_word_each_half_minute(void **state)
{
	struct sim s;
	uint64_t before;

	(void)state;
	sim_init(&s, 1);
	s.side[0].to_send = 1000;
	sim_connect(&s);
	assert_true(sim_transfer(&s, CLOCK_S));
	sim_run(&s, CLOCK_S);
	before = s.way[0].packets + s.way[1].packets;
	sim_run(&s, 290 * CLOCK_S);
	assert_int_equal(s.way[0].packets + s.way[1].packets - before, 20);
	assert_false(s.side[0].ended || s.side[1].ended);
	sim_release(&s);
}

/* ---- who does not take, or is gone ---- */

static void
a_slow_reader_holds_the_sender_up(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	s.side[0].to_send = 4 * MIB;
	s.side[1].slow = true;
	sim_connect(&s);
	sim_run(&s, 300 * CLOCK_S);
	assert_non_null(s.side[1].conn);
	assert_true(utp_ready(s.side[1].conn) <= UTP_WINDOW_MAX);
	assert_true(utp_ready(s.side[1].conn) > UTP_WINDOW_MAX / 2);
	assert_false(s.side[0].ended);
	s.side[1].slow = false;
	utp_touch(s.side[1].conn);
	sim_serve(&s.side[1]);
	assert_true(sim_transfer(&s, 20 * CLOCK_S));
	sim_release(&s);
}

static void
nobody_there_is_known_after_three_seconds(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	s.cut = true;
	sim_connect(&s);
	sim_run(&s, 2900 * CLOCK_MS);
	assert_false(s.side[0].ended);
	sim_run(&s, 200 * CLOCK_MS);
	assert_true(s.side[0].ended);
	assert_int_equal(s.side[0].error, ETIMEDOUT);
	assert_int_equal(s.way[0].packets, 2);
	assert_int_equal(utp_set_due(s.side[0].set), CLOCK_NEVER);
	sim_release(&s);
}

static void
who_goes_silent_is_given_up(void **state)
{
	struct sim s;
	uint64_t before;

	(void)state;
	sim_init(&s, 1);
	s.side[0].to_send = 10 * MIB;
	sim_connect(&s);
	sim_run(&s, 200 * CLOCK_MS);
	s.cut = true;
	before = s.way[0].packets;
	sim_run(&s, 20 * CLOCK_S);
	assert_false(s.side[0].ended);
	sim_run(&s, 60 * CLOCK_S);
	assert_true(s.side[0].ended);
	assert_int_equal(s.side[0].error, ETIMEDOUT);
	assert_in_range(s.way[0].packets - before, 1, 20);
	sim_release(&s);
}

static void
a_path_that_comes_back_goes_on(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	s.side[0].to_send = 10 * MIB;
	sim_connect(&s);
	sim_run(&s, 200 * CLOCK_MS);
	s.cut = true;
	sim_run(&s, 5 * CLOCK_S);
	s.cut = false;
	assert_true(sim_transfer(&s, 20 * CLOCK_S));
	sim_release(&s);
}

/* From a window of one packet, whose acknowledgement is not said at once. */
static void
a_window_of_one_packet_grows(void **state)
{
	(void)state;
	for (int64_t delay = 2; delay <= 30; delay += 4) {
		struct sim s;

		sim_init(&s, 1);
		s.way[0].delay = s.way[1].delay = delay * CLOCK_MS;
		s.side[0].to_send = 10 * MIB;
		sim_connect(&s);
		sim_run(&s, 200 * CLOCK_MS);
		s.cut = true;
		sim_run(&s, CLOCK_S);
		s.cut = false;
		assert_true(sim_transfer(&s, 10 * CLOCK_S));
		sim_release(&s);
	}
}

/* It was small while nothing arrived. */
static void
a_path_that_comes_back_is_as_wide_as_before(void **state)
{
	struct sim s;
	uint64_t before;

	(void)state;
	sim_init(&s, 1);
	s.side[0].to_send = 10 * MIB;
	sim_connect(&s);
	sim_run(&s, 200 * CLOCK_MS);
	s.cut = true;
	sim_run(&s, 5 * CLOCK_S);
	s.cut = false;
	sim_run(&s, 10 * CLOCK_S);
	s.side[0].to_send += 10 * MIB;
	before = s.way[0].packets;
	utp_touch(s.side[0].conn);
	sim_serve(&s.side[0]);
	assert_true(sim_transfer(&s, 20 * CLOCK_S));
	assert_true(s.way[0].packets - before < 10 * MIB / UTP_PAYLOAD4 + 50);
	sim_release(&s);
}

/* ---- the end ---- */

static void
closing_waits_until_all_has_arrived(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 3);
	s.way[0].loss = s.way[1].loss = 100;
	s.side[0].to_send = 100000;
	s.side[0].close = true;
	sim_connect(&s);
	assert_true(sim_transfer(&s, 60 * CLOCK_S));
	sim_run(&s, 20 * CLOCK_S);
	assert_true(s.side[0].ended && s.side[0].error == 0);
	assert_true(s.side[1].at_end && !s.side[1].ended);
	sim_release(&s);
}

static void
who_forgets_it_tells_the_other_side(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	s.side[0].to_send = 1000;
	sim_connect(&s);
	assert_true(sim_transfer(&s, CLOCK_S));
	utp_free(s.side[1].conn, sim_clock(&s.side[1]));
	sim_run(&s, CLOCK_S);
	assert_true(s.side[0].ended);
	assert_int_equal(s.side[0].error, ECONNRESET);
	sim_release(&s);
}

static void
one_that_nobody_knows_is_reset(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	s.side[0].to_send = 20000;
	sim_connect(&s);
	assert_true(sim_transfer(&s, CLOCK_S));
	s.cut = true;
	utp_free(s.side[1].conn, sim_clock(&s.side[1]));
	s.side[1].conn = NULL;
	s.cut = false;
	s.side[0].to_send += 1000;
	utp_touch(s.side[0].conn);
	sim_serve(&s.side[0]);
	sim_run(&s, CLOCK_S);
	assert_true(s.side[0].ended);
	assert_int_equal(s.side[0].error, ECONNRESET);
	sim_release(&s);
}

/* Until the connection is given up; then another one. */
static void
begin_again(struct sim *s)
{
	sim_run(s, 300 * CLOCK_S);
	assert_true(s->side[0].ended);
	assert_int_equal(s->side[0].error, ETIMEDOUT);
	for (int i = 0; i < 2; i++) {
		utp_free(s->side[i].conn, sim_clock(&s->side[i]));
		s->side[i].conn = NULL;
		s->side[i].ended = false;
		s->side[i].taken = s->side[i].sent = 0;
	}
	sim_connect(s);
}

static void
large_packets_that_never_arrive_are_small_the_next_time(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	s.way[0].largest = 1300;
	s.side[0].to_send = MIB;
	sim_connect(&s);
	begin_again(&s);
	assert_true(sim_transfer(&s, 60 * CLOCK_S));
	sim_release(&s);
}

static void
who_is_gone_is_no_narrow_path(void **state)
{
	struct sim s;
	uint64_t before;

	(void)state;
	sim_init(&s, 1);
	s.side[0].to_send = 8000;
	sim_connect(&s);
	assert_true(sim_transfer(&s, CLOCK_S));
	s.cut = true;
	s.side[0].to_send += MIB;
	utp_touch(s.side[0].conn);
	sim_serve(&s.side[0]);
	begin_again(&s);
	s.cut = false;
	before = s.way[0].packets;
	assert_true(sim_transfer(&s, 60 * CLOCK_S));
	assert_true(s.way[0].packets - before < MIB / UTP_PAYLOAD4 + 50);
	sim_release(&s);
}

static void
there_are_only_so_many(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, 1);
	for (int i = 0; i < 8; i++)
		sim_connect(&s);
	assert_null(utp_connect(s.side[0].set, &s.side[1].addr,
				sim_clock(&s.side[0])));
	sim_release(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_bytes_arrive_whatever_is_lost),
		cmocka_unit_test(
		    all_bytes_arrive_over_a_path_that_does_everything),
		cmocka_unit_test(a_wide_path_is_filled),
		cmocka_unit_test(a_full_packet_fits_into_a_tunnel),
		cmocka_unit_test(numbers_and_times_wrap),
		cmocka_unit_test(a_loss_slows_down_after_any_number_of_packets),
		cmocka_unit_test(small_messages_share_packets),
		cmocka_unit_test(the_queue_stays_near_the_target),
		cmocka_unit_test(clocks_that_differ_change_nothing),
		cmocka_unit_test(it_gives_way_to_tcp_and_comes_back),
		cmocka_unit_test(
		    an_idle_connection_says_a_word_each_half_minute),
		cmocka_unit_test(a_slow_reader_holds_the_sender_up),
		cmocka_unit_test(nobody_there_is_known_after_three_seconds),
		cmocka_unit_test(who_goes_silent_is_given_up),
		cmocka_unit_test(a_path_that_comes_back_goes_on),
		cmocka_unit_test(a_window_of_one_packet_grows),
		cmocka_unit_test(a_path_that_comes_back_is_as_wide_as_before),
		cmocka_unit_test(closing_waits_until_all_has_arrived),
		cmocka_unit_test(who_forgets_it_tells_the_other_side),
		cmocka_unit_test(one_that_nobody_knows_is_reset),
		cmocka_unit_test(
		    large_packets_that_never_arrive_are_small_the_next_time),
		cmocka_unit_test(who_is_gone_is_no_narrow_path),
		cmocka_unit_test(there_are_only_so_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
