/* When a silence was a long one, and is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "session/session_parts.h"

#define MIN (60 * CLOCK_S)
#define NOW (1000 * MIN)

static void
a_long_silence_is_over_once(void **state)
{
	int64_t at = 0;

	(void)state;
	assert_false(session_silence_over(&at, false, CLOCK_NEVER, NOW));
	assert_false(session_silence_over(&at, false, CLOCK_NEVER,
					  NOW + 4 * MIN));
	assert_true(session_silence_over(&at, true, CLOCK_NEVER,
					 NOW + 5 * MIN));
	assert_false(session_silence_over(&at, true, CLOCK_NEVER,
					  NOW + 5 * MIN));
}

static void
a_short_silence_is_none(void **state)
{
	int64_t at = 0;

	(void)state;
	assert_false(session_silence_over(&at, false, CLOCK_NEVER, NOW));
	assert_false(session_silence_over(&at, true, CLOCK_NEVER,
					  NOW + 4 * MIN));
	/* And the next one begins anew. */
	assert_false(session_silence_over(&at, false, CLOCK_NEVER,
					  NOW + 4 * MIN));
	assert_false(session_silence_over(&at, true, CLOCK_NEVER,
					  NOW + 8 * MIN));
}

/* What still counted as a sign of life was old. */
static void
a_silence_began_when_the_dht_says(void **state)
{
	int64_t at = 0;

	(void)state;
	assert_false(session_silence_over(&at, false, NOW, NOW + 4 * MIN));
	assert_true(session_silence_over(&at, true, CLOCK_NEVER,
					 NOW + 6 * MIN));
}

/* UDP may be blocked, and peers come and go. */
static void
a_dht_that_never_answers_is_no_silence(void **state)
{
	int64_t at = 0;

	(void)state;
	for (int i = 0; i < 10; i++) {
		int64_t now = NOW + i * MIN;

		assert_false(session_silence_over(&at, false, MIN, now));
		assert_false(session_silence_over(&at, true, MIN,
						  now + MIN / 3));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_long_silence_is_over_once),
		cmocka_unit_test(a_short_silence_is_none),
		cmocka_unit_test(a_silence_began_when_the_dht_says),
		cmocka_unit_test(a_dht_that_never_answers_is_no_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
