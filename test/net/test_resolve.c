#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sync.h"
#include "net/iface.h"
#include "net/resolve.h"
#include "support/clock_ahead.h"

/*
 * The name server of this test stands in for libc's: "two.test" has two
 * addresses, what ends in "slow.test" is known once the gate is open, the rest
 * is not.
 */
static struct gate {
	struct mutex lock;
	struct cond moved;
	bool open;		/* lock */
	unsigned inside;	/* lock */
	unsigned asked;		/* lock; in all */
} gate;

static void
wait_for_gate(void)
{
	mutex_lock(&gate.lock);
	gate.inside++;
	cond_broadcast(&gate.moved);
	while (!gate.open)
		cond_wait(&gate.moved, &gate.lock, CLOCK_NEVER);
	gate.inside--;
	cond_broadcast(&gate.moved);
	mutex_unlock(&gate.lock);
}

static struct addrinfo *
one(uint32_t ip, struct addrinfo *next)
{
	struct sockaddr_in *in = calloc(1, sizeof(*in));
	struct addrinfo *ai = calloc(1, sizeof(*ai));

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(ip);
	ai->ai_addr = (void *)in;
	ai->ai_next = next;
	return ai;
}

int
getaddrinfo(const char *restrict node, const char *restrict service,
	    const struct addrinfo *restrict hints,
	    struct addrinfo **restrict list)
{
	(void)service;
	(void)hints;
	mutex_lock(&gate.lock);
	gate.asked++;
	mutex_unlock(&gate.lock);
	if (strstr(node, "slow.test"))
		wait_for_gate();
	else if (strcmp(node, "two.test") != 0)
		return EAI_NONAME;
	*list = one(0x7f000001, one(0x7f000002, NULL));
	return 0;
}

void
freeaddrinfo(struct addrinfo *list)
{
	while (list) {
		struct addrinfo *next = list->ai_next;

		free(list->ai_addr);
		free(list);
		list = next;
	}
}

static void
gate_set(bool open)
{
	mutex_lock(&gate.lock);
	gate.open = open;
	cond_broadcast(&gate.moved);
	mutex_unlock(&gate.lock);
}

static void
gate_wait_inside(unsigned n)
{
	int64_t limit = clock_ns() + 10 * CLOCK_S;
	unsigned inside;

	mutex_lock(&gate.lock);
	while (gate.inside != n) {
		if (!cond_wait(&gate.moved, &gate.lock, limit))
			break;
	}
	inside = gate.inside;
	mutex_unlock(&gate.lock);
	assert_int_equal(inside, n);
}

#define ALONE_MAX (RESOLVE_NAMES_MAX / 2)	/* of one owner */

struct got {
	unsigned calls;
	size_t count;
	struct addr first;
	struct error error;
};

static void
keep(void *ctx, const struct addr *addrs, size_t count, const struct error *e)
{
	struct got *g = ctx;

	g->calls++;
	g->count = count;
	g->error = *e;
	if (count > 0)
		g->first = addrs[0];
}

static void
settle(struct resolver *r, struct got *g, unsigned calls)
{
	struct pollfd fd = {.fd = resolver_fd(r), .events = POLLIN};
	int64_t limit = clock_ns() + 10 * CLOCK_S;

	while (g->calls < calls && clock_ns() < limit) {
		poll(&fd, 1, 1000);
		resolver_run(r);
	}
	assert_int_equal(g->calls, calls);
}

static uint64_t
start_of(struct resolver *r, const void *owner, const char *host, struct got *g)
{
	struct resolve_query what = {.host = host, .port = 80, .owner = owner,
				     .done = keep, .ctx = g};

	return resolver_start(r, &what, NULL);
}

static uint64_t
start(struct resolver *r, const char *host, uint16_t port, resolve_done *done,
      void *ctx, struct error *e)
{
	struct resolve_query what = {.host = host, .port = port,
				     .done = done, .ctx = ctx};

	return resolver_start(r, &what, e);
}

/* One of many that keep us waiting. */
static uint64_t
start_slow(struct resolver *r, int number, struct got *g)
{
	char host[32];

	snprintf(host, sizeof(host), "%d.slow.test", number);
	return start(r, host, 80, keep, g, NULL);
}

/* The same, of an owner. */
static uint64_t
start_slow_of(struct resolver *r, const void *owner, int number, struct got *g)
{
	char host[32];

	snprintf(host, sizeof(host), "%d.slow.test", number);
	return start_of(r, owner, host, g);
}

static int
setup(void **state)
{
	gate_set(false);
	gate.asked = 0;
	*state = resolver_new(NULL);
	return *state ? 0 : -1;
}

static int
teardown(void **state)
{
	resolver_free(*state);
	gate_set(true);
	gate_wait_inside(0);
	return 0;
}

static void
no_name_is_looked_up_while_the_interface_is_away(void **state)
{
	struct got g = {0};
	struct iface r;
	struct error e;

	assert_int_equal(iface_set(&r, "nowhere0", NULL), 0);
	resolver_set_route(*state, &r);
	assert_int_equal(start(*state, "two.test", 80, keep, &g, &e),
			 0);
	assert_int_equal(e.kind, ERROR_NETWORK);
	/* A number is none. */
	assert_true(start(*state, "192.0.2.1", 80, keep, &g, NULL));
	settle(*state, &g, 1);
	assert_int_equal(iface_set(&r, "lo", NULL), 0);
	assert_true(start(*state, "two.test", 80, keep, &g, NULL));
	settle(*state, &g, 2);
}

static void
a_name_becomes_addresses_with_the_port(void **state)
{
	struct got g = {0};

	assert_true(start(*state, "two.test", 80, keep, &g, NULL));
	settle(*state, &g, 1);
	assert_int_equal(g.count, 2);
	assert_int_equal(g.first.port, 80);
	assert_int_equal(g.first.ip[0], 127);
}

static void
an_unknown_name_is_a_network_error(void **state)
{
	struct got g = {0};

	assert_true(start(*state, "no.test", 80, keep, &g, NULL));
	settle(*state, &g, 1);
	assert_int_equal(g.count, 0);
	assert_int_equal(g.error.kind, ERROR_NETWORK);
}

static void
a_numeric_host_waits_for_nobody(void **state)
{
	struct got slow = {0}, g = {0};

	for (int i = 0; i < 8; i++)
		start_slow(*state, i, &slow);
	/* All places are taken. */
	gate_wait_inside(4);
	assert_true(start(*state, "[::1]", 80, keep, &g, NULL));
	resolver_run(*state);
	assert_int_equal(g.calls, 1);
	assert_int_equal(g.first.family, AF_INET6);
}

static void
the_callback_never_comes_from_start(void **state)
{
	struct got g = {0};

	assert_true(start(*state, "127.0.0.1", 80, keep, &g, NULL));
	assert_int_equal(g.calls, 0);
	settle(*state, &g, 1);
}

static void
a_slow_name_does_not_hold_up_others(void **state)
{
	struct got slow = {0}, g = {0};

	start(*state, "slow.test", 80, keep, &slow, NULL);
	gate_wait_inside(1);
	start(*state, "two.test", 80, keep, &g, NULL);
	settle(*state, &g, 1);
	assert_int_equal(slow.calls, 0);
}

static void
an_owner_has_four_names_asked_at_a_time(void **state)
{
	struct got g = {0};

	for (int i = 0; i < 20; i++)
		start_slow(*state, i, &g);
	gate_wait_inside(4);
	gate_set(true);
	settle(*state, &g, 20);
}

static void
at_most_eight_names_are_asked_at_a_time(void **state)
{
	struct got g = {0};
	int owners[3];

	for (int i = 0; i < 30; i++)
		start_slow_of(*state, &owners[i % 3], i, &g);
	gate_wait_inside(8);
	gate_set(true);
	settle(*state, &g, 30);
}

static void
an_owner_of_many_silent_names_holds_up_itself(void **state)
{
	struct got g = {0}, other = {0};
	int owners[2];

	for (int i = 0; i < 100; i++)
		start_slow_of(*state, &owners[0], i, &g);
	gate_wait_inside(4);
	start_of(*state, &owners[1], "two.test", &other);
	settle(*state, &other, 1);
	assert_int_equal(other.count, 2);
	assert_int_equal(g.calls, 0);
}

/* Nobody waits behind what the first one who asked for it wants besides. */
static void
what_two_owners_want_waits_for_neither(void **state)
{
	struct got g = {0}, other = {0};
	int owners[2];

	for (int i = 0; i < 4; i++)
		start_slow_of(*state, &owners[0], i, &g);
	gate_wait_inside(4);
	start_of(*state, &owners[0], "two.test", &g);
	start_of(*state, &owners[1], "two.test", &other);
	settle(*state, &other, 1);
	assert_int_equal(g.calls, 1);
	assert_int_equal(gate.asked, 5);
}

static void
a_name_is_looked_up_once_for_all_who_ask(void **state)
{
	struct got slow[8] = {{0}}, g = {0};

	for (uint16_t i = 0; i < 8; i++)
		assert_true(start(*state, "slow.test", 80 + i, keep,
					   &slow[i], NULL));
	gate_wait_inside(1);
	/* So there is somebody for another one. */
	assert_true(start(*state, "two.test", 80, keep, &g, NULL));
	settle(*state, &g, 1);
	gate_set(true);
	settle(*state, &slow[7], 1);
	for (uint16_t i = 0; i < 8; i++) {
		assert_int_equal(slow[i].calls, 1);
		assert_int_equal(slow[i].count, 2);
		assert_int_equal(slow[i].first.port, 80 + i);
	}
	assert_int_equal(gate.asked, 2);
}

static void
one_who_leaves_does_not_take_the_answer_from_others(void **state)
{
	struct got g[3] = {{0}};
	uint64_t ids[3];

	for (int i = 0; i < 3; i++)
		ids[i] = start(*state, "slow.test", 80, keep, &g[i],
					NULL);
	gate_wait_inside(1);
	resolver_cancel(*state, ids[2]);
	resolver_cancel(*state, ids[0]);
	assert_true(start(*state, "slow.test", 80, keep, &g[2],
				   NULL));
	gate_set(true);
	settle(*state, &g[2], 1);
	assert_int_equal(g[1].calls, 1);
	assert_int_equal(g[0].calls, 0);
	assert_int_equal(gate.asked, 1);
}

/* The line may be back by then. */
static void
a_name_that_hangs_is_looked_up_once_more_later(void **state)
{
	struct got g = {0};

	for (unsigned i = 0; i < 4; i++) {
		start(*state, "slow.test", 80, keep, &g, NULL);
		gate_wait_inside(i == 0 ? 1 : 2);
		atomic_fetch_add(&ahead_s, 60);
	}
	gate_set(true);
	settle(*state, &g, 4);
	assert_int_equal(gate.asked, 2);
}

/* The others of the same answer, as a torrent does that ends. */
struct leaver {
	struct resolver *r;
	uint64_t others[2];
	unsigned calls;
};

static void
leave(void *ctx, const struct addr *addrs, size_t count, const struct error *e)
{
	struct leaver *l = ctx;

	(void)addrs;
	(void)count;
	(void)e;
	l->calls++;
	for (size_t i = 0; i < 2; i++)
		resolver_cancel(l->r, l->others[i]);
}

static void
who_is_told_may_end_what_others_wait_for(void **state)
{
	struct leaver l = {.r = *state};
	struct got before = {0}, g[2] = {{0}};

	start(*state, "slow.test", 80, keep, &before, NULL);
	start(*state, "slow.test", 80, leave, &l, NULL);
	for (int i = 0; i < 2; i++)
		l.others[i] = start(*state, "slow.test", 80, keep,
					     &g[i], NULL);
	gate_set(true);
	settle(*state, &before, 1);
	assert_int_equal(l.calls, 1);
	assert_int_equal(g[0].calls + g[1].calls, 0);
}

struct again {
	struct resolver *r;
	struct got *got;
};

static void
ask_again(void *ctx, const struct addr *addrs, size_t count,
	  const struct error *e)
{
	struct again *again = ctx;

	(void)addrs;
	(void)count;
	(void)e;
	start(again->r, "two.test", 80, keep, again->got, NULL);
}

static void
who_asks_again_when_told_gets_another_answer(void **state)
{
	struct got g = {0};
	struct again again = {.r = *state, .got = &g};

	start(*state, "two.test", 80, ask_again, &again, NULL);
	settle(*state, &g, 1);
	assert_int_equal(gate.asked, 2);
}

static void
a_cancelled_lookup_never_reports(void **state)
{
	struct got g = {0}, other = {0};
	uint64_t id;

	id = start(*state, "slow.test", 80, keep, &g, NULL);
	gate_wait_inside(1);
	resolver_cancel(*state, id);
	gate_set(true);
	start(*state, "slow.test", 80, keep, &other, NULL);
	settle(*state, &other, 1);
	assert_int_equal(g.calls, 0);
}

static void
freeing_does_not_wait_for_a_lookup(void **state)
{
	struct got g = {0};

	start(*state, "slow.test", 80, keep, &g, NULL);
	gate_wait_inside(1);
	resolver_free(*state);
	*state = NULL;
	assert_int_equal(g.calls, 0);
}

static void
the_number_of_lookups_is_bounded(void **state)
{
	struct got g = {0};
	struct error e;

	for (int i = 0; i < ALONE_MAX; i++)
		assert_true(start_slow(*state, i, &g));
	assert_int_equal(
	    start(*state, "two.test", 80, keep, &g, &e), 0);
	assert_int_equal(e.kind, ERROR_NETWORK);
}

static void
an_owner_of_many_leaves_room_for_others(void **state)
{
	struct got g = {0}, other = {0};
	int owners[3], n = 0;

	while (start_slow_of(*state, &owners[0], n, &g))
		n++;
	assert_int_equal(n, ALONE_MAX);
	while (start_slow_of(*state, &owners[1], n, &g))
		n++;
	assert_int_equal(n, ALONE_MAX + ALONE_MAX / 2);
	assert_true(start_slow_of(*state, &owners[2], n, &other));
}

static void
bad_host_names_are_refused(void **state)
{
	struct got g = {0};

	assert_int_equal(start(*state, "", 80, keep, &g, NULL), 0);
	assert_int_equal(start(*state, "a\nb", 80, keep, &g, NULL),
			 0);
}

/* Answered, cancelled before it was begun, and while it is under way. */
static void
lookups_that_are_over_make_room(void **state)
{
	struct got g = {0};
	uint64_t id;

	for (unsigned i = 0; i < RESOLVE_NAMES_MAX; i++) {
		assert_true(start(*state, "two.test", 80, keep, &g,
					   NULL));
		settle(*state, &g, i + 1);
	}
	for (int i = 0; i < RESOLVE_NAMES_MAX; i++) {
		id = start_slow(*state, i, &g);
		assert_true(id);
		resolver_cancel(*state, id);
	}
	for (int i = 0; i < ALONE_MAX; i++)
		assert_true(start_slow(*state, i, &g));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_name_becomes_addresses_with_the_port),
	    TEST(no_name_is_looked_up_while_the_interface_is_away),
	    TEST(an_unknown_name_is_a_network_error),
	    TEST(a_numeric_host_waits_for_nobody),
	    TEST(the_callback_never_comes_from_start),
	    TEST(a_slow_name_does_not_hold_up_others),
	    TEST(an_owner_has_four_names_asked_at_a_time),
	    TEST(at_most_eight_names_are_asked_at_a_time),
	    TEST(an_owner_of_many_silent_names_holds_up_itself),
	    TEST(what_two_owners_want_waits_for_neither),
	    TEST(a_name_is_looked_up_once_for_all_who_ask),
	    TEST(one_who_leaves_does_not_take_the_answer_from_others),
	    TEST(a_name_that_hangs_is_looked_up_once_more_later),
	    TEST(who_is_told_may_end_what_others_wait_for),
	    TEST(who_asks_again_when_told_gets_another_answer),
	    TEST(a_cancelled_lookup_never_reports),
	    TEST(freeing_does_not_wait_for_a_lookup),
	    TEST(the_number_of_lookups_is_bounded),
	    TEST(an_owner_of_many_leaves_room_for_others),
	    TEST(lookups_that_are_over_make_room),
	    TEST(bad_host_names_are_refused),
	};

	mutex_init(&gate.lock);
	cond_init(&gate.moved);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
