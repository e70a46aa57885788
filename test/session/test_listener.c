#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sync.h"
#include "net/datagram.h"
#include "session/listener.h"

#define PATIENCE_S 8		/* less than the listener has itself */
#define SILENT 150

static const uint8_t hello[LISTENER_PREFIX + 20] =
	"\023BitTorrent protocol--------an info hash of 20 b-peer id";

/* What the callbacks were told. */
struct desk {
	struct listener *l;
	struct mutex lock;
	struct cond changed;
	/* All below: lock. */
	unsigned incoming;
	int in_fd;
	struct addr from;
	uint8_t prefix[LISTENER_PREFIX];
	size_t size;
	unsigned dialled;
	uint32_t owner;
	struct addr to;
	int out_fd;
	int sys;
};

static void
on_incoming(void *ctx, int fd, const struct addr *from,
	    const uint8_t prefix[LISTENER_PREFIX])
{
	struct desk *d = ctx;

	mutex_lock(&d->lock);
	if (d->in_fd >= 0)
		close(d->in_fd);
	d->in_fd = fd;
	d->from = *from;
	d->size = LISTENER_PREFIX;
	memcpy(d->prefix, prefix, LISTENER_PREFIX);
	d->incoming++;
	cond_broadcast(&d->changed);
	mutex_unlock(&d->lock);
}

static void
on_dialled(void *ctx, uint32_t owner, const struct addr *to, int fd, int sys)
{
	struct desk *d = ctx;

	mutex_lock(&d->lock);
	if (d->out_fd >= 0)
		close(d->out_fd);
	d->out_fd = fd;
	d->owner = owner;
	d->to = *to;
	d->sys = sys;
	d->dialled++;
	cond_broadcast(&d->changed);
	mutex_unlock(&d->lock);
}

static void
await(struct desk *d, const unsigned *what, unsigned n)
{
	int64_t until = clock_ns() + PATIENCE_S * CLOCK_S;
	bool in_time = true;

	mutex_lock(&d->lock);
	while (*what < n && in_time)
		in_time = cond_wait(&d->changed, &d->lock, until);
	mutex_unlock(&d->lock);
	assert_true(in_time);
}

static unsigned
look(struct desk *d, const unsigned *what)
{
	unsigned n;

	mutex_lock(&d->lock);
	n = *what;
	mutex_unlock(&d->lock);
	return n;
}

static struct listener *
make(struct desk *d, uint16_t min, uint16_t max, struct error *e)
{
	struct listener_config config = {
		.port_min = min,
		.port_max = max,
		.udp = true,
		.events = {
			.ctx = d,
			.incoming = on_incoming,
			.dialled = on_dialled,
		},
	};

	return listener_new(&config, NULL, e);
}

static int
setup(void **state)
{
	static struct desk desk;

	desk = (struct desk){.in_fd = -1, .out_fd = -1};
	mutex_init(&desk.lock);
	cond_init(&desk.changed);
	desk.l = make(&desk, 0, 0, NULL);
	*state = &desk;
	return desk.l ? 0 : -1;
}

static int
setup_started(void **state)
{
	struct desk *d;

	if (setup(state) < 0)
		return -1;
	d = *state;
	return listener_start(d->l, NULL);
}

static int
teardown(void **state)
{
	struct desk *d = *state;

	listener_free(d->l);
	if (d->in_fd >= 0)
		close(d->in_fd);
	if (d->out_fd >= 0)
		close(d->out_fd);
	cond_release(&d->changed);
	mutex_release(&d->lock);
	return 0;
}

static struct addr
loopback(uint16_t port)
{
	struct addr a = {.ip = {127, 0, 0, 1}, .family = AF_INET};

	a.port = port;
	return a;
}

static int
connect_to(uint16_t port)
{
	struct timeval limit = {.tv_sec = PATIENCE_S};
	struct addr a = loopback(port);
	struct sockaddr_storage sa;
	socklen_t size = addr_to_sockaddr(&a, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, size), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static void
say(int fd, size_t from, size_t to)
{
	assert_int_equal(send(fd, hello + from, to - from, MSG_NOSIGNAL),
			 to - from);
}

static bool
is_closed(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	/* With bytes unread, closing resets. */
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void
listener_shows_the_prefix_and_leaves_it_unread(void **state)
{
	struct desk *d = *state;
	uint8_t back[sizeof(hello)];
	int fd = connect_to(listener_port(d->l));

	say(fd, 0, sizeof(hello));
	await(d, &d->incoming, 1);
	assert_int_equal(d->size, LISTENER_PREFIX);
	assert_memory_equal(d->prefix, hello, LISTENER_PREFIX);
	assert_true(addr_is_loopback(&d->from));
	assert_int_equal(recv(d->in_fd, back, sizeof(back), 0), sizeof(back));
	assert_memory_equal(back, hello, sizeof(back));
	close(fd);
}

/* What came in by uTP is one end of a pair. */
static void
listener_treats_what_it_is_given_as_accepted(void **state)
{
	struct desk *d = *state;
	struct addr from = loopback(77);
	int pair[2], other[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				    pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
	say(other[1], 0, LISTENER_PREFIX - 1);
	shutdown(other[1], SHUT_WR);
	listener_take(d->l, other[0], &from);
	assert_true(is_closed(other[1]));
	say(pair[1], 0, sizeof(hello));
	listener_take(d->l, pair[0], &from);
	await(d, &d->incoming, 1);
	assert_int_equal(d->in_fd, pair[0]);
	assert_int_equal(d->from.port, 77);
	assert_memory_equal(d->prefix, hello, LISTENER_PREFIX);
	assert_int_equal(look(d, &d->incoming), 1);
	close(pair[1]);
	close(other[1]);
}

static void
listener_hands_over_sockets_that_do_not_block(void **state)
{
	struct desk *d = *state;
	struct pollfd in = {.events = POLLIN};
	uint8_t back[sizeof(hello)];
	int fd = connect_to(listener_port(d->l));

	say(fd, 0, LISTENER_PREFIX);
	await(d, &d->incoming, 1);
	in.fd = d->in_fd;
	assert_int_equal(recv(d->in_fd, back, sizeof(back), 0),
			 LISTENER_PREFIX);
	assert_int_equal(recv(d->in_fd, back, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
	/* One byte is worth a wake-up again. */
	say(fd, LISTENER_PREFIX, LISTENER_PREFIX + 1);
	assert_int_equal(poll(&in, 1, PATIENCE_S * 1000), 1);
	close(fd);
}

static void
listener_waits_for_the_whole_prefix(void **state)
{
	struct desk *d = *state;
	int fd = connect_to(listener_port(d->l));

	for (size_t i = 0; i < LISTENER_PREFIX; i++) {
		assert_int_equal(look(d, &d->incoming), 0);
		say(fd, i, i + 1);
	}
	await(d, &d->incoming, 1);
	close(fd);
}

static void
listener_drops_who_closes_before_speaking(void **state)
{
	struct desk *d = *state;
	int fd = connect_to(listener_port(d->l));

	say(fd, 0, LISTENER_PREFIX - 1);
	shutdown(fd, SHUT_WR);
	assert_true(is_closed(fd));
	assert_int_equal(look(d, &d->incoming), 0);
	close(fd);
}

static void
listener_is_not_held_up_by_the_silent(void **state)
{
	struct desk *d = *state;
	int silent[SILENT], fd;

	for (int i = 0; i < SILENT; i++)
		silent[i] = connect_to(listener_port(d->l));
	fd = connect_to(listener_port(d->l));
	say(fd, 0, sizeof(hello));
	await(d, &d->incoming, 1);
	close(fd);
	for (int i = 0; i < SILENT; i++)
		close(silent[i]);
}

static void
listener_closes_the_silent_when_it_stops(void **state)
{
	struct desk *d = *state;
	int silent = connect_to(listener_port(d->l));
	int fd = connect_to(listener_port(d->l));

	say(fd, 0, sizeof(hello));
	await(d, &d->incoming, 1);	/* so the other was accepted */
	listener_stop(d->l);
	assert_true(is_closed(silent));
	close(silent);
	close(fd);
}

static void
listener_dials(void **state)
{
	struct desk *d = *state;
	struct addr to = loopback(listener_port(d->l));

	assert_int_equal(listener_dial(d->l, 3, &to, false), 0);
	await(d, &d->dialled, 1);
	assert_int_equal(d->owner, 3);
	assert_int_equal(d->sys, 0);
	assert_true(addr_equal(&d->to, &to));
	say(d->out_fd, 0, sizeof(hello));
	await(d, &d->incoming, 1);
}

/* A port on which nobody listens, for as long as fd is open. */
static uint16_t
deaf_port(int *fd)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t size = sizeof(in);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&in, size), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&in, &size), 0);
	return ntohs(in.sin_port);
}

static void
listener_says_why_a_dial_failed(void **state)
{
	struct desk *d = *state;
	struct addr to;
	int fd;

	to = loopback(deaf_port(&fd));
	assert_int_equal(listener_dial(d->l, 4, &to, false), 0);
	await(d, &d->dialled, 1);
	assert_int_equal(d->out_fd, -1);
	assert_int_equal(d->sys, ECONNREFUSED);
	close(fd);
}

/* Nothing answers there: its only place is taken. */
static uint16_t
silent_port(int fds[2])
{
	uint16_t port = deaf_port(&fds[0]);

	assert_int_equal(listen(fds[0], 0), 0);
	fds[1] = connect_to(port);
	return port;
}

static void
listener_gives_a_brief_dial_less_time(void **state)
{
	struct desk *d = *state;
	struct addr to;
	int fds[2];

	to = loopback(silent_port(fds));
	assert_int_equal(listener_dial(d->l, 5, &to, false), 0);
	assert_int_equal(listener_dial(d->l, 6, &to, true), 0);
	await(d, &d->dialled, 1);
	assert_int_equal(d->owner, 6);
	assert_int_equal(d->sys, ETIMEDOUT);
	close(fds[0]);
	close(fds[1]);
}

static void
listener_forgets_the_dials_of_an_owner(void **state)
{
	struct desk *d = *state;
	struct addr to = loopback(listener_port(d->l));

	for (int i = 0; i < 5; i++)
		assert_int_equal(listener_dial(d->l, i == 3 ? 8 : 9, &to,
					       false), 0);
	listener_forget(d->l, 9);
	assert_int_equal(listener_dial(d->l, 8, &to, false), 0);
	assert_int_equal(listener_start(d->l, NULL), 0);
	await(d, &d->dialled, 2);
	assert_int_equal(d->owner, 8);
	listener_stop(d->l);
	assert_int_equal(d->dialled, 2);
}

static void
listener_takes_no_dials_without_end(void **state)
{
	struct desk *d = *state;
	struct addr to = loopback(1);
	unsigned taken = 0;

	while (taken < 100000 && listener_dial(d->l, 1, &to, false) == 0)
		taken++;
	assert_in_range(taken, 100, 10000);
}

static void
listener_dials_more_than_it_has_places_for(void **state)
{
	struct desk *d = *state;
	struct addr to;
	int fd;

	to = loopback(deaf_port(&fd));
	for (int i = 0; i < 500; i++)
		assert_int_equal(listener_dial(d->l, 1, &to, false), 0);
	assert_int_equal(listener_start(d->l, NULL), 0);
	await(d, &d->dialled, 500);
	close(fd);
}

static void
listener_says_which_port_is_taken(void **state)
{
	struct desk *d = *state;
	uint16_t port = listener_port(d->l);
	struct error e;

	assert_null(make(d, port, port, &e));
	assert_int_equal(e.kind, ERROR_NETWORK);
	assert_int_equal(e.sys, EADDRINUSE);
}

static void
listener_takes_the_first_free_port_of_a_range(void **state)
{
	struct desk *d = *state;
	uint16_t port = listener_port(d->l);
	uint16_t last = port < 65000 ? (uint16_t)(port + 500) : 65535;
	struct listener *l = make(d, port, last, NULL);

	assert_non_null(l);
	assert_in_range(listener_port(l), port + 1, last);
	listener_free(l);
}

/* UDP has it; TCP has not, nor does it remember a connection from there. */
static uint16_t
port_for_udp_alone(int *udp)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t size = sizeof(in);
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(tcp, (struct sockaddr *)&in, size), 0);
	assert_int_equal(getsockname(tcp, (struct sockaddr *)&in, &size), 0);
	*udp = datagram_bind(NULL, AF_INET, ntohs(in.sin_port));
	assert_true(*udp >= 0);
	close(tcp);
	return ntohs(in.sin_port);
}

/* Others take it for UDP alone. */
static void
listener_prefers_a_port_that_udp_has_as_well(void **state)
{
	struct desk *d = *state;
	int fd;
	uint16_t port = port_for_udp_alone(&fd);
	uint16_t last = port < 65000 ? (uint16_t)(port + 500) : 65535;
	struct listener *l = make(d, port, last, NULL);

	assert_non_null(l);
	assert_in_range(listener_port(l), port + 1, last);
	listener_free(l);
	l = make(d, port, port, NULL);
	assert_non_null(l);
	assert_int_equal(listener_port(l), port);
	listener_free(l);
	close(fd);
}

int
main(void)
{
#define STARTED(t) cmocka_unit_test_setup_teardown(t, setup_started, teardown)
#define STOPPED(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		STARTED(listener_shows_the_prefix_and_leaves_it_unread),
		STARTED(listener_treats_what_it_is_given_as_accepted),
		STARTED(listener_hands_over_sockets_that_do_not_block),
		STARTED(listener_waits_for_the_whole_prefix),
		STARTED(listener_drops_who_closes_before_speaking),
		STARTED(listener_is_not_held_up_by_the_silent),
		STARTED(listener_closes_the_silent_when_it_stops),
		STARTED(listener_dials),
		STARTED(listener_says_why_a_dial_failed),
		STARTED(listener_gives_a_brief_dial_less_time),
		STOPPED(listener_forgets_the_dials_of_an_owner),
		STOPPED(listener_takes_no_dials_without_end),
		STOPPED(listener_dials_more_than_it_has_places_for),
		STOPPED(listener_says_which_port_is_taken),
		STOPPED(listener_takes_the_first_free_port_of_a_range),
		STOPPED(listener_prefers_a_port_that_udp_has_as_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
