#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "discover/udp_trackers.h"

/* The name server of this test stands in for libc's: what ends in "slow.test"
 * is known once the gate is open, the rest at once, and is here. */
static _Atomic bool open_gate;
static _Atomic unsigned asked;

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
	struct sockaddr_in *in = calloc(1, sizeof(*in));
	struct addrinfo *ai = calloc(1, sizeof(*ai));

	(void)service;
	(void)hints;
	atomic_fetch_add(&asked, 1);
	while (strstr(node, "slow.test") && !atomic_load(&open_gate))
		usleep(1000);
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
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

/* A tracker that says nothing, and what asks it. */
struct fixture {
	int fd;
	uint16_t port;
	char url[64];
	struct resolver *resolver;
	struct udp_trackers *u;
	unsigned ended;
	unsigned no_address;	/* of these */
};

static void
on_done(void *ctx, struct tracker_answer *answer, const struct error *e,
	bool no_address)
{
	struct fixture *f = ctx;

	(void)answer;
	(void)e;
	f->ended++;
	f->no_address += no_address;
}

static int
setup(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t size = sizeof(in);
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f)
		return -1;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->fd < 0 || bind(f->fd, (void *)&in, sizeof(in)) != 0 ||
	    getsockname(f->fd, (void *)&in, &size) != 0)
		return -1;
	f->port = ntohs(in.sin_port);
	snprintf(f->url, sizeof(f->url), "udp://127.0.0.1:%u/announce",
		 f->port);
	f->resolver = resolver_new(NULL);
	f->u = udp_trackers_new(NULL, NULL, f->resolver, NULL);
	return f->u ? 0 : -1;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	udp_trackers_free(f->u);
	resolver_free(f->resolver);
	close(f->fd);
	free(f);
	return 0;
}

static void
start_until(struct fixture *f, unsigned count, int64_t until)
{
	struct tracker_request r = {.event = TRACKER_STARTED};
	struct udp_job_config config = {.url = f->url,
					.request = &r,
					.tries = 2,
					.until = until,
					.done = on_done,
					.ctx = f};

	while (count-- > 0)
		assert_non_null(udp_trackers_start(f->u, &config, NULL));
	resolver_run(f->resolver);
}

static void
start(struct fixture *f, unsigned count)
{
	start_until(f, count, 0);
}

/* Loopback delivers what is sent before the call is over, but for a machine
 * with much to do. */
static bool
comes(const struct fixture *f)
{
	struct pollfd fd = {.fd = f->fd, .events = POLLIN};

	return poll(&fd, 1, 1000) == 1;
}

/* How many packets have come; so many are waited for. */
static unsigned
received(const struct fixture *f, unsigned due)
{
	char packet[512];
	unsigned n = 0;

	while (n < due && comes(f) &&
	       recv(f->fd, packet, sizeof(packet), 0) > 0)
		n++;
	while (recv(f->fd, packet, sizeof(packet), 0) > 0)
		n++;
	return n;
}

static void
many_are_sent_in_portions(void **state)
{
	struct fixture *f = *state;
	unsigned sent = 0;
	int64_t now;

	start(f, 100);
	now = clock_ns();
	for (int i = 0; i < 4; i++) {
		unsigned n;

		udp_trackers_run(f->u, now);
		n = received(f, sent < 96 ? 32 : 4);
		assert_in_range(n, 1, 32);
		sent += n;
		/* Before its time nothing more goes out. */
		udp_trackers_run(f->u, now);
		assert_int_equal(received(f, 0), 0);
		assert_true(udp_trackers_due(f->u) > now);
		now = udp_trackers_due(f->u);
	}
	assert_int_equal(sent, 100);
	assert_int_equal(f->ended, 0);
}

static void
a_few_are_sent_at_once(void **state)
{
	struct fixture *f = *state;

	start(f, 32);
	udp_trackers_run(f->u, clock_ns());
	assert_int_equal(received(f, 32), 32);
}

static void
one_with_little_time_is_given_up(void **state)
{
	struct fixture *f = *state;
	int64_t until = clock_ns() + 3 * CLOCK_S;

	start_until(f, 1, until);
	udp_trackers_run(f->u, clock_ns());
	assert_int_equal(received(f, 1), 1);
	assert_true(udp_trackers_due(f->u) == until);
	udp_trackers_run(f->u, until - 1);
	assert_int_equal(f->ended, 0);
	udp_trackers_run(f->u, until);
	assert_int_equal(f->ended, 1);
	assert_true(udp_trackers_due(f->u) == CLOCK_NEVER);
}

static void
an_address_of_the_other_family_is_not_asked(void **state)
{
	struct fixture *f = *state;
	struct tracker_request r = {.event = TRACKER_STARTED};
	struct udp_job_config config = {.url = f->url,
					.request = &r,
					.tries = 1,
					.done = on_done,
					.ctx = f};

	config.family = AF_INET6;
	assert_non_null(udp_trackers_start(f->u, &config, NULL));
	config.family = AF_INET;
	assert_non_null(udp_trackers_start(f->u, &config, NULL));
	resolver_run(f->resolver);
	udp_trackers_run(f->u, clock_ns());
	assert_int_equal(received(f, 1), 1);
	assert_int_equal(f->ended, 1);
	assert_int_equal(f->no_address, 1);
}

/* What the packet that came asks for: 0 to connect, 1 to announce. */
static uint32_t
action_of(const struct fixture *f, uint8_t packet[512],
	  struct sockaddr_in *from)
{
	socklen_t size = sizeof(*from);

	assert_true(comes(f));
	assert_true(recvfrom(f->fd, packet, 512, 0, (void *)from, &size) >= 16);
	return get_u32(packet + 8);
}

static void
connections_end_when_the_route_changes(void **state)
{
	struct fixture *f = *state;
	uint8_t packet[512], out[16] = {0};
	struct sockaddr_in from, later;
	struct pollfd fds[UDP_TRACKERS_FDS];

	start(f, 1);
	udp_trackers_run(f->u, clock_ns());
	assert_int_equal(action_of(f, packet, &from), 0);
	memcpy(out + 4, packet + 12, 4);
	put_u64(out + 8, 4711);
	assert_int_equal(sendto(f->fd, out, sizeof(out), 0, (void *)&from,
				sizeof(from)), sizeof(out));
	assert_int_equal(poll(fds, udp_trackers_fds(f->u, fds), 1000), 1);
	udp_trackers_run(f->u, clock_ns());
	assert_int_equal(action_of(f, packet, &from), 1);
	udp_trackers_rebind(f->u);
	udp_trackers_run(f->u, clock_ns() + 5 * CLOCK_S);
	assert_int_equal(action_of(f, packet, &later), 0);
	assert_int_equal(received(f, 0), 0);
}

/* Of one torrent, named so. */
static void
start_named(struct fixture *f, const void *owner, const char *host)
{
	struct tracker_request r = {.event = TRACKER_STARTED};
	char url[64];
	struct udp_job_config config = {.url = url,
					.request = &r,
					.tries = 2,
					.owner = owner,
					.done = on_done,
					.ctx = f};

	snprintf(url, sizeof(url), "udp://%s:%u/announce", host, f->port);
	assert_non_null(udp_trackers_start(f->u, &config, NULL));
}

static void
names_that_nobody_answers_for_hold_up_no_other_torrent(void **state)
{
	struct fixture *f = *state;
	struct pollfd fd = {.fd = resolver_fd(f->resolver), .events = POLLIN};
	int64_t limit = clock_ns() + 10 * CLOCK_S;
	unsigned n = 0;
	int owners[2];
	char host[32];

	for (int i = 0; i < 100; i++) {
		snprintf(host, sizeof(host), "%d.slow.test", i);
		start_named(f, &owners[0], host);
	}
	await_asked(4);
	start_named(f, &owners[1], "tracker.test");
	while (n == 0 && clock_ns() < limit) {
		poll(&fd, 1, 1000);
		resolver_run(f->resolver);
		udp_trackers_run(f->u, clock_ns());
		n = received(f, 0);
	}
	assert_int_equal(n, 1);
	open_gate = true;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(many_are_sent_in_portions),
	    TEST(a_few_are_sent_at_once),
	    TEST(one_with_little_time_is_given_up),
	    TEST(an_address_of_the_other_family_is_not_asked),
	    TEST(connections_end_when_the_route_changes),
	    TEST(names_that_nobody_answers_for_hold_up_no_other_torrent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
