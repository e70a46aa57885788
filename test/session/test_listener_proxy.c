#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sync.h"
#include "net/proxy.h"
#include "session/listener.h"

#define PATIENCE_S 8
#define BYTES(text) (text), sizeof(text) - 1

/* The test plays the proxy: it listens, and says each side's lines. */
struct desk {
	struct proxy *proxy;
	struct listener *l;
	int listening;
	struct addr where;
	struct mutex lock;
	struct cond changed;
	/* All below: lock. */
	unsigned dialled;
	struct addr to;
	int fd;
	int sys;
};

static void
on_dialled(void *ctx, uint32_t owner, const struct addr *to, int fd, int sys)
{
	struct desk *d = ctx;

	(void)owner;
	mutex_lock(&d->lock);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = fd;
	d->to = *to;
	d->sys = sys;
	d->dialled++;
	cond_broadcast(&d->changed);
	mutex_unlock(&d->lock);
}

static void
await(struct desk *d, unsigned n)
{
	int64_t until = clock_ns() + PATIENCE_S * CLOCK_S;
	bool in_time = true;

	mutex_lock(&d->lock);
	while (d->dialled < n && in_time)
		in_time = cond_wait(&d->changed, &d->lock, until);
	mutex_unlock(&d->lock);
	assert_true(in_time);
}

static void
limit(int fd)
{
	struct timeval t = {.tv_sec = PATIENCE_S};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

static int
begin_proxy(struct desk *d)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t size = sizeof(in);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	d->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (d->listening < 0 ||
	    bind(d->listening, (struct sockaddr *)&in, sizeof(in)) < 0 ||
	    listen(d->listening, 16) < 0 ||
	    getsockname(d->listening, (struct sockaddr *)&in, &size) < 0)
		return -1;
	limit(d->listening);
	return addr_from_sockaddr(&d->where, (struct sockaddr *)&in) ? 0 : -1;
}

static int
setup(void **state)
{
	static struct desk desk;
	struct listener_config config = {
		.port_min = 6881,
		.port_max = 6999,
		.events = {.ctx = &desk, .dialled = on_dialled},
	};

	desk = (struct desk){.fd = -1};
	mutex_init(&desk.lock);
	cond_init(&desk.changed);
	*state = &desk;
	desk.proxy = proxy_new("socks5://me:secret@127.0.0.1:1", NULL);
	config.proxy = desk.proxy;
	desk.l = listener_new(&config, NULL, NULL);
	if (!desk.l || begin_proxy(&desk) < 0)
		return -1;
	return listener_start(desk.l, NULL);
}

static int
teardown(void **state)
{
	struct desk *d = *state;

	listener_free(d->l);
	proxy_free(d->proxy);
	close(d->listening);
	if (d->fd >= 0)
		close(d->fd);
	cond_release(&d->changed);
	mutex_release(&d->lock);
	return 0;
}

static void
dial(struct desk *d)
{
	struct addr to = {.ip = {192, 0, 2, 7}, .port = 6881,
			  .family = AF_INET};

	assert_int_equal(listener_dial(d->l, 3, &to, false), 0);
}

static int
answer_call(struct desk *d)
{
	int fd = accept(d->listening, NULL, NULL);

	assert_true(fd >= 0);
	limit(fd);
	return fd;
}

static void
hear(int fd, const char *want, size_t n)
{
	char data[64];

	assert_int_equal(recv(fd, data, n, MSG_WAITALL), n);
	assert_memory_equal(data, want, n);
}

static void
say(int fd, const char *what, size_t n)
{
	assert_int_equal(send(fd, what, n, MSG_NOSIGNAL), n);
}

/* Up to what it is to connect to. */
static int
call_and_login(struct desk *d)
{
	int fd;

	listener_set_proxy(d->l, &d->where, 1);
	dial(d);
	fd = answer_call(d);
	hear(fd, BYTES("\5\2\0\2"));
	say(fd, BYTES("\5\2"));
	hear(fd, BYTES("\1\2me\6secret"));
	say(fd, BYTES("\1\0"));
	hear(fd, BYTES("\5\1\0\1\300\0\2\7\x1a\xe1"));
	return fd;
}

static void
nothing_listens(void **state)
{
	struct desk *d = *state;

	assert_int_equal(listener_port(d->l), 0);
	listener_rebind(d->l);
	assert_int_equal(listener_port(d->l), 0);
}

/* What comes behind the proxy's answer is the peer's, to the byte. */
static void
a_dial_is_the_handshake_too(void **state)
{
	struct desk *d = *state;
	int fd = call_and_login(d);
	char byte;

	say(fd, BYTES("\5\0\0\3\2hi\0\1P"));
	await(d, 1);
	assert_int_equal(d->sys, 0);
	assert_int_equal(d->to.port, 6881);
	assert_int_equal(recv(d->fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 'P');
	close(fd);
}

static void
a_peer_that_is_away_is_no_fault_of_the_proxy(void **state)
{
	struct desk *d = *state;
	int fd = call_and_login(d);

	say(fd, BYTES("\5\5\0\1"));
	await(d, 1);
	assert_int_equal(d->fd, -1);
	assert_int_equal(d->sys, ECONNREFUSED);
	assert_false(proxy_is_failing(d->proxy));
	close(fd);
	dial(d);	/* at once */
	close(answer_call(d));
}

static void
one_that_hangs_up_then_is_the_peers_fault(void **state)
{
	struct desk *d = *state;

	close(call_and_login(d));
	await(d, 1);
	assert_int_equal(d->sys, ECONNRESET);
	assert_false(proxy_is_failing(d->proxy));
}

static void
a_proxy_that_lies_is_no_fault_of_the_peer(void **state)
{
	struct desk *d = *state;
	int fd;

	listener_set_proxy(d->l, &d->where, 1);
	dial(d);
	fd = answer_call(d);
	say(fd, BYTES("HTTP/1.1 400"));
	await(d, 1);
	assert_int_equal(d->fd, -1);
	assert_int_equal(d->sys, ECANCELED);
	assert_true(proxy_is_failing(d->proxy));
	close(fd);
	/* After a while, another try. */
	dial(d);
	close(answer_call(d));
}

static void
one_that_cannot_be_reached_gives_way_to_its_next_address(void **state)
{
	struct desk *d = *state;
	struct addr both[2] = {d->where, d->where};

	both[0].port = 1;	/* nobody listens there */
	listener_set_proxy(d->l, both, 2);
	dial(d);
	await(d, 1);
	assert_int_equal(d->sys, ECANCELED);
	dial(d);
	close(answer_call(d));
}

static void
dials_wait_until_the_proxy_is_known(void **state)
{
	struct desk *d = *state;

	dial(d);
	close(call_and_login(d));
}

static void
the_dials_of_an_owner_are_forgotten_on_their_way(void **state)
{
	struct desk *d = *state;
	int fd = call_and_login(d);
	char byte;

	listener_forget(d->l, 3);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	assert_int_equal(d->dialled, 0);
	close(fd);
}

static void
a_stop_in_the_middle_leaves_nothing(void **state)
{
	struct desk *d = *state;
	int fd = call_and_login(d);
	char byte;

	listener_stop(d->l);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	assert_int_equal(d->dialled, 0);
	close(fd);
}

static void
names_are_bounded(void **state)
{
	struct desk *d = *state;
	char host[32];
	struct addr a;
	unsigned n = 0;

	do {
		snprintf(host, sizeof(host), "s%u.example", n++);
		assert_true(listener_name_of_strangers(d->l, host, 80, &a));
	} while (a.family != 0 && n < 100000);
	assert_in_range(n, 500, 2000);
	n = 0;
	do {
		snprintf(host, sizeof(host), "h%u.example", n++);
		assert_true(listener_name(d->l, host, 80, &a));
	} while (a.family != 0 && n < 100000);
	assert_in_range(n, 500, 2000);
	/* A name that is there already is anybody's. */
	assert_true(listener_name_of_strangers(d->l, "h1.example", 80, &a));
	assert_int_not_equal(a.family, 0);
}

static void
a_name_goes_to_the_proxy(void **state)
{
	struct desk *d = *state;
	struct addr a, again, other, none;
	int fd;

	assert_true(listener_name(d->l, "a.example", 80, &a));
	assert_true(listener_name(d->l, "a.example", 81, &again));
	assert_true(listener_name(d->l, "b.example", 80, &other));
	assert_false(listener_name(d->l, "192.0.2.1", 80, &none));
	assert_true(addr_same_ip(&a, &again));
	assert_false(addr_same_ip(&a, &other));
	none = other;
	assert_true(listener_is_name(&a));
	assert_true(addr_usable(&a));
	none.ip[15]++;	/* it was never given */
	listener_set_proxy(d->l, &d->where, 1);
	assert_int_equal(listener_dial(d->l, 3, &none, false), 0);
	close(answer_call(d));
	await(d, 1);
	assert_int_equal(d->sys, EADDRNOTAVAIL);
	assert_int_equal(listener_dial(d->l, 3, &a, false), 0);
	fd = answer_call(d);
	hear(fd, BYTES("\5\2\0\2"));
	say(fd, BYTES("\5\0"));
	hear(fd, BYTES("\5\1\0\3\11a.example\0\120"));
	close(fd);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_listens),
		TEST(a_dial_is_the_handshake_too),
		TEST(a_peer_that_is_away_is_no_fault_of_the_proxy),
		TEST(one_that_hangs_up_then_is_the_peers_fault),
		TEST(a_proxy_that_lies_is_no_fault_of_the_peer),
		TEST(one_that_cannot_be_reached_gives_way_to_its_next_address),
		TEST(dials_wait_until_the_proxy_is_known),
		TEST(the_dials_of_an_owner_are_forgotten_on_their_way),
		TEST(a_stop_in_the_middle_leaves_nothing),
		TEST(names_are_bounded),
		TEST(a_name_goes_to_the_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
