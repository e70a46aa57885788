/* When a URL has its turn again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/clock.h"
#include "session/torrent_parts.h"

#define NOW (1000 * CLOCK_S)
#define LATER (NOW + 600 * CLOCK_S)

/* Two URLs, the first with a second connection; none runs. */
static struct torrent *
make(void)
{
	struct torrent *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->webseed_count = 3;
	t->webseeds = calloc(t->webseed_count, sizeof(*t->webseeds));
	assert_non_null(t->webseeds);
	t->webseeds[1].more = true;
	for (size_t i = 0; i < t->webseed_count; i++) {
		struct torrent_webseed *tw = &t->webseeds[i];

		tw->due = LATER;
		tw->more_due = LATER;
		tw->failures = tw->more_failures = 9;
	}
	return t;
}

static void
drop(struct torrent *t)
{
	free(t->webseeds);
	free(t);
}

static void
in_a_hurry_who_could_not_be_reached_is_due(void **state)
{
	struct torrent *t = make();

	(void)state;
	t->webseeds[0].unreachable = true;
	torrent_webseeds_hurry(t, NOW);
	assert_true(t->webseeds[0].due == NOW);
	assert_true(t->webseeds[0].more_due == NOW);
	assert_int_equal(t->webseeds[0].failures, 1);
	assert_int_equal(t->webseeds[0].more_failures, 0);
	drop(t);
}

/* It has said that it has nothing, or when to come again. */
static void
in_a_hurry_who_has_answered_is_left_alone(void **state)
{
	struct torrent *t = make();

	(void)state;
	t->webseeds[0].unreachable = true;
	torrent_webseeds_hurry(t, NOW);
	assert_true(t->webseeds[2].due == LATER);
	assert_int_equal(t->webseeds[2].failures, 9);
	drop(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_a_hurry_who_could_not_be_reached_is_due),
		cmocka_unit_test(in_a_hurry_who_has_answered_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
