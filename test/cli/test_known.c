#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cli/known.h"

static void
add(struct known *k, const char *name, const char *hash)
{
	struct stats_torrent t;

	memset(&t, 0, sizeof(t));
	snprintf(t.name, sizeof(t.name), "%s", name);
	snprintf(t.info_hash, sizeof(t.info_hash), "%s", hash);
	known_add(k, &t);
}

static void
finds(struct known *k, const char *name, const char *hash)
{
	struct stats_torrent t;

	known_find(k, name, &t);
	assert_string_equal(t.name, name);
	assert_string_equal(t.info_hash, hash);
}

static void
a_name_gives_the_hash(void **state)
{
	struct known k;
	char name[16];

	(void)state;
	known_init(&k);
	finds(&k, "a", "");
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		add(&k, name, name + 1);
		add(&k, name, name + 1);
	}
	finds(&k, "t0", "0");
	finds(&k, "t99", "99");
	finds(&k, "t100", "");
	assert_int_equal(k.count, 100);
	known_release(&k);
}

static void
a_name_of_two_gives_none(void **state)
{
	struct known k;

	(void)state;
	known_init(&k);
	add(&k, "same", "1");
	finds(&k, "same", "1");
	add(&k, "same", "2");
	finds(&k, "same", "");
	known_release(&k);
}

static void
who_has_ended_is_forgotten(void **state)
{
	struct stats_torrent t = {.info_hash = "1"};
	struct known k;

	(void)state;
	known_init(&k);
	add(&k, "link", "1");
	add(&k, "same", "1");
	add(&k, "same", "2");
	known_drop(&k, &t);
	finds(&k, "link", "");
	finds(&k, "same", "2");
	assert_int_equal(k.count, 1);
	known_release(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_gives_the_hash),
		cmocka_unit_test(a_name_of_two_gives_none),
		cmocka_unit_test(who_has_ended_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
