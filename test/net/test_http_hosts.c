#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>

#include "net/http_hosts.h"

#define PLACES 8		/* so that a part is two of them */

static struct http_host *
host_of(struct http_hosts *hs, unsigned number)
{
	char url[64];

	snprintf(url, sizeof(url), "http://host%u.test/announce", number);
	return http_hosts_find(hs, url, AF_INET);
}

/* A request to it that waits for its first byte. */
static struct http_host *
ask(struct http_hosts *hs, unsigned number)
{
	struct http_host *host = host_of(hs, number);

	http_hosts_asked(hs, host);
	return host;
}

static void
disappoint(struct http_hosts *hs, struct http_host *host)
{
	http_hosts_silent(hs, host, true);
	http_hosts_drop(hs, host);
}

static void
hear(struct http_hosts *hs, struct http_host *host)
{
	http_hosts_heard(hs, host);
	http_hosts_drop(hs, host);
}

static bool
has_place(struct http_hosts *hs, unsigned number)
{
	struct http_host *host = host_of(hs, number);
	bool has = http_hosts_has_place(hs, host);

	http_hosts_drop(hs, host);
	return has;
}

static int
setup(void **state)
{
	static struct http_hosts hs;

	http_hosts_init(&hs, PLACES);
	*state = &hs;
	return 0;
}

static int
teardown(void **state)
{
	http_hosts_release(*state);
	return 0;
}

static void
a_host_is_its_name_port_and_family(void **state)
{
	struct http_hosts *hs = *state;
	struct http_host *host = http_hosts_find(hs, "http://a.b:80/x", AF_INET);

	assert_ptr_equal(http_hosts_find(hs, "HTTP://A.b:80?y", AF_INET), host);
	assert_ptr_not_equal(http_hosts_find(hs, "http://a.b:80/x", AF_INET6),
			     host);
	assert_ptr_not_equal(http_hosts_find(hs, "http://a.b:8/x", AF_INET),
			     host);
	assert_ptr_not_equal(http_hosts_find(hs, "http://a.b/x", AF_INET),
			     host);
}

static void
a_silent_host_gets_a_part_of_the_places(void **state)
{
	ask(*state, 1);
	assert_true(has_place(*state, 1));
	ask(*state, 1);
	assert_false(has_place(*state, 1));
	assert_true(has_place(*state, 2));
}

static void
one_that_answers_gets_all_places(void **state)
{
	struct http_host *host = ask(*state, 1);

	ask(*state, 1);
	http_hosts_heard(*state, host);
	for (int i = 0; i < PLACES; i++) {
		assert_true(has_place(*state, 1));
		ask(*state, 1);
	}
}

static void
silent_hosts_leave_a_part_to_those_that_answer(void **state)
{
	struct http_host *good = host_of(*state, 0), *last = NULL;

	http_hosts_asked(*state, good);
	http_hosts_heard(*state, good);
	for (unsigned i = 1; i <= PLACES - PLACES / 4; i++) {
		assert_true(has_place(*state, i));
		last = ask(*state, i);
	}
	assert_false(has_place(*state, 99));
	assert_true(has_place(*state, 0));
	assert_true(http_hosts_crowds(*state, last));
	assert_false(http_hosts_crowds(*state, good));
	disappoint(*state, last);
	assert_true(has_place(*state, 99));
}

/* Those that wait for it as its first word comes are no silent ones. */
static void
with_its_word_all_its_requests_change_sides(void **state)
{
	struct http_hosts *hs = *state;
	struct http_host *host = host_of(hs, 1);

	for (int i = 0; i < PLACES; i++)
		http_hosts_asked(hs, host);
	assert_false(has_place(hs, 2));
	http_hosts_heard(hs, host);
	assert_int_equal(hs->silent, 0);
	assert_true(has_place(hs, 2));
	http_hosts_silent(hs, host, true);
	assert_int_equal(hs->silent, PLACES - 2);
	assert_false(has_place(hs, 2));
	for (int i = 0; i < PLACES - 2; i++)
		http_hosts_silent(hs, host, false);
	assert_int_equal(hs->silent, 0);
}

static void
who_has_failed_is_behind_others_until_it_answers(void **state)
{
	struct http_host *host;

	disappoint(*state, ask(*state, 1));
	host = host_of(*state, 1);
	assert_true(http_hosts_rank(host) >
		    http_hosts_rank(host_of(*state, 2)));
	http_hosts_asked(*state, host);
	assert_true(http_hosts_rank(host) > 1);
	http_hosts_heard(*state, host);
	assert_int_equal(http_hosts_rank(host), 0);
}

static void
what_nobody_wanted_any_more_is_no_failure(void **state)
{
	struct http_host *host = ask(*state, 1);

	host_of(*state, 1);
	http_hosts_silent(*state, host, false);
	assert_int_equal(http_hosts_rank(host), 0);
}

static void
the_last_words_of_a_few_are_kept(void **state)
{
	struct http_hosts *hs = *state;
	struct http_host *host;
	unsigned kept = 0;

	for (unsigned i = 0; i < 1000; i++)
		hear(hs, ask(hs, i));
	TAILQ_FOREACH(host, &hs->list, entry)
		kept++;
	assert_in_range(kept, 10, 100);
	assert_int_equal(hs->idle, kept);
	assert_int_equal(host_of(hs, 999)->word, HOST_ANSWERS);
	assert_int_equal(host_of(hs, 0)->word, HOST_NEW);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_host_is_its_name_port_and_family),
	    TEST(a_silent_host_gets_a_part_of_the_places),
	    TEST(one_that_answers_gets_all_places),
	    TEST(silent_hosts_leave_a_part_to_those_that_answer),
	    TEST(with_its_word_all_its_requests_change_sides),
	    TEST(who_has_failed_is_behind_others_until_it_answers),
	    TEST(what_nobody_wanted_any_more_is_no_failure),
	    TEST(the_last_words_of_a_few_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
