#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session/share.h"

static size_t
sum(const struct share *s)
{
	return s->files + s->dials + s->waiting + s->http + s->utp +
	       2 * s->places;
}

static void
all_together_stay_within_the_limit(void **state)
{
	static const uint64_t limits[] = {96, 128, 256, 1024, 4096, 1u << 20,
					  UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		struct share s;

		share_descriptors(&s, limits[i], true);
		assert_true(sum(&s) < limits[i]);
	}
}

static void
a_usual_limit_leaves_a_crowd_of_peers(void **state)
{
	struct share s;

	(void)state;
	share_descriptors(&s, 1024, true);
	assert_true(s.places >= 150 && s.files >= 100 && s.waiting >= 100);
	share_descriptors(&s, 1u << 20, true);
	assert_true(s.places >= (sizeof(void *) < 8 ? 8000 : 100000));
	assert_int_equal(s.files_each, 128);
	assert_int_equal(s.dials, 160);
	assert_int_equal(s.waiting, 512);
}

/* A peer takes 167 KiB of them where a pointer has 32 bits. */
static void
all_peers_have_addresses(void **state)
{
	struct share s;

	(void)state;
	share_descriptors(&s, UINT64_MAX, false);
	assert_true(s.places < SIZE_MAX / 2 / (167 << 10));
}

static void
without_utp_there_are_more_peers(void **state)
{
	struct share with, without;

	(void)state;
	share_descriptors(&with, 1024, true);
	share_descriptors(&without, 1024, false);
	assert_int_equal(without.utp, 0);
	assert_true(without.places > with.places && with.utp > 50);
	assert_true(sum(&without) < 1024);
}

static void
the_least_is_a_torrent_with_a_peer_and_a_file(void **state)
{
	(void)state;
	for (uint64_t limit = 0; limit < 100; limit++) {
		struct share s;

		share_descriptors(&s, limit, true);
		assert_true(s.places > SHARE_TORRENT_PLACES);
		assert_true(s.files_each > 0 && s.files >= s.files_each);
		assert_true(s.dials > 0 && s.waiting > 0 && s.http > 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_together_stay_within_the_limit),
		cmocka_unit_test(a_usual_limit_leaves_a_crowd_of_peers),
		cmocka_unit_test(all_peers_have_addresses),
		cmocka_unit_test(without_utp_there_are_more_peers),
		cmocka_unit_test(
		    the_least_is_a_torrent_with_a_peer_and_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
