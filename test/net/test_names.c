#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/names.h"
#include "net/resolve.h"

/* The name server of this test stands in for libc's: while it is away it
 * knows nobody; what ends in "slow.test" is answered once the gate is open. */
static _Atomic bool away;
static _Atomic bool open_gate;
static _Atomic unsigned asked, answered;

/* By so many threads, of which none is let go on yet. */
static void
await_asked(unsigned n)
{
	for (int i = 0; asked < n && i < 10000; i++)
		usleep(1000);
	assert_true(asked >= n);
}

int
getaddrinfo(const char *restrict node, const char *restrict service,
	    const struct addrinfo *restrict hints,
	    struct addrinfo **restrict list)
{
	struct sockaddr_in *in;
	struct addrinfo *ai;

	(void)service;
	(void)hints;
	atomic_fetch_add(&asked, 1);
	while (strstr(node, "slow.test") && !atomic_load(&open_gate))
		usleep(1000);
	atomic_fetch_add(&answered, 1);
	if (atomic_load(&away))
		return EAI_AGAIN;
	in = calloc(1, sizeof(*in));
	ai = calloc(1, sizeof(*ai));
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(0x7f000001);
	ai->ai_addr = (void *)in;
	*list = ai;
	return 0;
}

void
freeaddrinfo(struct addrinfo *list)
{
	free(list->ai_addr);
	free(list);
}

struct room {
	struct resolver *resolver;
	struct names *names;
	unsigned calls;
	size_t count;
	unsigned failures;
	enum error_kind kind;
	struct addr first;
};

static void
keep(void *ctx, const struct addr *addrs, size_t count, const struct error *e,
     unsigned failures)
{
	struct room *r = ctx;

	r->calls++;
	r->count = count;
	r->failures = failures;
	r->kind = e->kind;
	if (count > 0)
		r->first = addrs[0];
}

static int
setup(void **state)
{
	struct room *r = calloc(1, sizeof(*r));

	*state = r;
	away = open_gate = false;
	asked = answered = 0;
	r->resolver = resolver_new(NULL);
	r->names = names_new(r->resolver, r, keep, r, NULL);
	return r->names ? 0 : -1;
}

static int
teardown(void **state)
{
	struct room *r = *state;

	open_gate = true;
	names_free(r->names);
	resolver_free(r->resolver);
	free(r);
	return 0;
}

/* Answers come until there were so many calls. */
static void
settle(struct room *r, unsigned calls)
{
	struct pollfd fd = {.fd = resolver_fd(r->resolver), .events = POLLIN};
	int64_t limit = clock_ns() + 10 * CLOCK_S;

	while (r->calls < calls && clock_ns() < limit) {
		poll(&fd, 1, 1000);
		resolver_run(r->resolver);
	}
	assert_int_equal(r->calls, calls);
}

static void
a_name_that_is_found_is_asked_for_once(void **state)
{
	struct room *r = *state;

	assert_int_equal(names_add(r->names, "a.test", 80, NULL), 0);
	assert_int_equal(names_mind(r->names, 0), CLOCK_NEVER);
	settle(r, 1);
	assert_int_equal(r->count, 1);
	assert_int_equal(r->failures, 0);
	assert_int_equal(r->first.port, 80);
	assert_int_equal(names_mind(r->names, 3600 * CLOCK_S), CLOCK_NEVER);
	assert_int_equal(asked, 1);
}

static void
a_name_that_failed_is_tried_again_ever_later(void **state)
{
	static const int64_t waits[] = {30, 60, 120, 240, 480, 900, 900};
	struct room *r = *state;
	int64_t now = 0;

	away = true;
	names_add(r->names, "a.test", 80, NULL);
	for (unsigned i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
		names_mind(r->names, now);
		settle(r, i + 1);
		assert_int_equal(r->failures, i + 1);
		assert_int_equal(r->kind, ERROR_NETWORK);
		assert_int_equal(names_mind(r->names, now + CLOCK_S),
				 now + waits[i] * CLOCK_S);
		now += waits[i] * CLOCK_S;
	}
	away = false;
	names_mind(r->names, now);
	settle(r, 8);
	assert_int_equal(r->count, 1);
}

static void
a_name_that_cannot_be_asked_for_is_tried_again(void **state)
{
	struct room *r = *state;

	names_add(r->names, "a b.test", 80, NULL);
	assert_int_equal(names_mind(r->names, 5), 5 + NAMES_AGAIN);
	assert_int_equal(r->calls, 1);
	assert_int_equal(r->failures, 1);
}

static void
in_a_hurry_a_name_that_failed_is_due(void **state)
{
	struct room *r = *state;

	away = true;
	names_add(r->names, "a.test", 80, NULL);
	for (unsigned i = 1; i <= 4; i++) {
		names_mind(r->names, i * 3600 * CLOCK_S);
		settle(r, i);
	}
	names_hurry(r->names, 14410 * CLOCK_S);
	names_mind(r->names, 14410 * CLOCK_S);
	settle(r, 5);
	assert_int_equal(names_mind(r->names, 14410 * CLOCK_S),
			 14410 * CLOCK_S + 2 * NAMES_AGAIN);
}

static void
a_name_that_is_wanted_already_is_not_wanted_twice(void **state)
{
	struct room *r = *state;

	names_add(r->names, "a.test", 80, NULL);
	names_add(r->names, "a.test", 80, NULL);
	names_add(r->names, "a.test", 81, NULL);
	names_mind(r->names, 0);
	settle(r, 2);
	assert_int_equal(names_add(r->names, "a.test", 80, NULL), 0);
	names_mind(r->names, 0);
	settle(r, 3);
}

static void
nothing_is_heard_of_a_lookup_that_outlives_its_names(void **state)
{
	struct room *r = *state;

	names_add(r->names, "slow.test", 80, NULL);
	names_mind(r->names, 0);
	await_asked(1);
	names_free(r->names);
	open_gate = true;
	r->names = names_new(r->resolver, r, keep, r, NULL);
	names_add(r->names, "slow.test", 80, NULL);
	names_mind(r->names, 0);
	settle(r, 1);
	while (answered < 2)
		usleep(1000);
	resolver_run(r->resolver);
	assert_int_equal(r->calls, 1);
}

static void
names_that_nobody_answers_for_hold_up_no_others(void **state)
{
	struct room *r = *state;
	struct names *silent = names_new(r->resolver, &r->first, keep, r, NULL);
	char host[32];

	for (int i = 0; i < 100; i++) {
		snprintf(host, sizeof(host), "%d.slow.test", i);
		assert_int_equal(names_add(silent, host, 80, NULL), 0);
	}
	names_mind(silent, 0);
	await_asked(4);
	names_add(r->names, "a.test", 80, NULL);
	names_mind(r->names, 0);
	settle(r, 1);
	assert_int_equal(r->count, 1);
	names_free(silent);
}

static void
the_number_of_names_is_bounded(void **state)
{
	struct room *r = *state;
	struct error e;

	for (unsigned i = 0; i < NAMES_MAX; i++)
		assert_int_equal(names_add(r->names, "a.test",
					   (uint16_t)(i + 1), NULL), 0);
	assert_int_equal(names_add(r->names, "b.test", 1, &e), -1);
	assert_int_equal(e.kind, ERROR_NETWORK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_name_that_is_found_is_asked_for_once),
		TEST(a_name_that_failed_is_tried_again_ever_later),
		TEST(a_name_that_cannot_be_asked_for_is_tried_again),
		TEST(in_a_hurry_a_name_that_failed_is_due),
		TEST(a_name_that_is_wanted_already_is_not_wanted_twice),
		TEST(nothing_is_heard_of_a_lookup_that_outlives_its_names),
		TEST(names_that_nobody_answers_for_hold_up_no_others),
		TEST(the_number_of_names_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
