#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "swarm/places.h"

#define THEN (1000 * CLOCK_S)

static struct places_peer
newcomer(void)
{
	return (struct places_peer){.connected_at = THEN};
}

static void
who_neither_has_nor_wants_gets_a_few_seconds(void **state)
{
	struct places_peer p = newcomer();

	(void)state;
	assert_int_equal(places_until(&p, true), THEN + PLACES_IDLE);
}

static void
who_has_something_may_take_its_time_to_unchoke_us(void **state)
{
	struct places_peer p = newcomer();

	(void)state;
	p.interesting = true;
	assert_int_equal(places_until(&p, true), THEN + PLACES_PROMISING);
	assert_true(PLACES_PROMISING > 30 * CLOCK_S);
}

static void
who_waits_for_our_unchoke_is_given_time(void **state)
{
	struct places_peer p = newcomer();

	(void)state;
	p.interested = true;
	assert_int_equal(places_until(&p, true), THEN + PLACES_CHOKED);
}

static void
who_was_unchoked_is_to_ask_for_something(void **state)
{
	struct places_peer p = newcomer();

	(void)state;
	p.interested = true;
	p.unchoked_at = THEN + CLOCK_S;
	assert_int_equal(places_until(&p, true),
			 p.unchoked_at + PLACES_UNCHOKED);
	/* That does not shorten what it has for its own pieces. */
	p.interesting = true;
	assert_int_equal(places_until(&p, true), THEN + PLACES_PROMISING);
}

static void
data_counts_more_than_all_else(void **state)
{
	struct places_peer p = newcomer();

	(void)state;
	p.moved_at = THEN + 500 * CLOCK_S;
	assert_int_equal(places_until(&p, true), p.moved_at + PLACES_MOVED);
	assert_int_equal(places_until(&p, false), p.moved_at + PLACES_MOVED);
}

static void
without_metadata_there_is_no_telling(void **state)
{
	struct places_peer p = newcomer();

	(void)state;
	p.interested = true;
	assert_int_equal(places_until(&p, false), THEN + PLACES_UNKNOWN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_neither_has_nor_wants_gets_a_few_seconds),
		cmocka_unit_test(
		    who_has_something_may_take_its_time_to_unchoke_us),
		cmocka_unit_test(who_waits_for_our_unchoke_is_given_time),
		cmocka_unit_test(who_was_unchoked_is_to_ask_for_something),
		cmocka_unit_test(data_counts_more_than_all_else),
		cmocka_unit_test(without_metadata_there_is_no_telling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
