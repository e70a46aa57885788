#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/sync.h"
#include "net/datagram.h"
#include "session/udp.h"
#include "store/dht_cache.h"

#define PATIENCE (20 * CLOCK_S)

/* One of the threads under test, and what it found. */
struct side {
	struct udp *udp;
	struct mutex lock;
	struct cond changed;
	unsigned found;		/* guarded by lock */
	struct addr peer;	/* guarded by lock */
	enum udp_source source;	/* guarded by lock */
	unsigned connected;	/* guarded by lock */
	int fd;			/* guarded by lock; of the last one */
	int sys;		/* guarded by lock */
};

static void
take_found(void *ctx, const uint8_t info_hash[20], enum udp_source source,
	   const struct addr *peers, size_t n)
{
	struct side *s = ctx;

	mutex_lock(&s->lock);
	if (info_hash[0] == 7)
		s->found += (unsigned)n;
	s->peer = peers[0];
	s->source = source;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

static void
take_connection(struct side *s, int fd, int sys)
{
	mutex_lock(&s->lock);
	s->connected++;
	s->fd = fd;
	s->sys = sys;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

static void
take_incoming(void *ctx, int fd, const struct addr *from)
{
	assert_true(addr_is_loopback(from));
	take_connection(ctx, fd, 0);
}

static void
take_dialled(void *ctx, uint32_t owner, const struct addr *to, int fd, int sys)
{
	assert_int_equal(owner, 5);
	assert_true(addr_is_loopback(to));
	take_connection(ctx, fd, sys);
}

static void
take_unheard(void *ctx, const struct addr *with, bool unheard)
{
	(void)ctx;
	(void)with;
	(void)unheard;
}

static void
begin_config(struct side *s, struct udp_config *config)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	mutex_init(&s->lock);
	cond_init(&s->changed);
	config->events = (struct udp_events){s, take_found, take_incoming,
					     take_dialled, take_unheard};
	s->udp = udp_new(config, NULL, NULL);
	assert_non_null(s->udp);
	assert_int_equal(udp_start(s->udp, NULL), 0);
}

static void
begin(struct side *s, const struct session_peer *node, const char *cache)
{
	struct udp_config config = {.dht = true, .nodes = node,
				    .node_count = 1, .cache = cache};

	begin_config(s, &config);
}

static void
begin_utp(struct side *s)
{
	struct udp_config config = {.utp = true, .utp_max = 8};

	begin_config(s, &config);
}

static void
end(struct side *s)
{
	udp_stop(s->udp);
	udp_free(s->udp);
	cond_release(&s->changed);
	mutex_release(&s->lock);
}

static struct session_peer
loopback(uint16_t port)
{
	struct session_peer p = {.host = "127.0.0.1", .port = port};

	return p;
}

static struct udp_wish
wish(uint16_t port)
{
	struct udp_wish w = {.info_hash = {7}, .port = port, .dht = true};

	return w;
}

/* Waits until a peer of this port was found; by what, in *source. */
static bool
found(struct side *s, uint16_t port, enum udp_source *source)
{
	int64_t until = clock_ns() + PATIENCE;
	bool there;

	mutex_lock(&s->lock);
	while ((s->found == 0 || s->peer.port != port) &&
	       cond_wait(&s->changed, &s->lock, until))
		;
	there = s->found > 0 && s->peer.port == port;
	*source = s->source;
	mutex_unlock(&s->lock);
	return there;
}

static bool
knows_a_node(struct side *s)
{
	int64_t until = clock_ns() + PATIENCE;

	while (udp_nodes(s->udp) == 0 && clock_ns() < until)
		usleep(2000);
	return udp_nodes(s->udp) > 0;
}

/* Nothing is sent until a torrent wants peers. */
static void
a_thread_without_torrents_is_silent(void **state)
{
	int fd = datagram_bind(NULL, AF_INET, 0);
	struct session_peer node = loopback(datagram_port(fd));
	struct side a;
	struct addr from;
	uint8_t data[64];

	(void)state;
	assert_true(fd >= 0);
	begin(&a, &node, NULL);
	end(&a);
	assert_true(datagram_receive(fd, data, sizeof(data), &from) < 0);
	close(fd);
}

static void
two_torrents_meet_through_the_dht(void **state)
{
	struct session_peer none = loopback(9), node;
	struct udp_wish w = wish(0), announced = wish(4444);
	enum udp_source source;
	struct side a, b;

	(void)state;
	begin(&a, &none, NULL);
	udp_search(a.udp, &w);		/* its DHT runs */
	node = loopback(udp_port(a.udp));
	begin(&b, &node, NULL);
	udp_search(b.udp, &announced);
	assert_true(knows_a_node(&b));
	assert_true(found(&a, 4444, &source));
	assert_int_equal(source, UDP_DHT);
	end(&b);
	end(&a);
}

static void
nodes_are_saved_at_the_end(void **state)
{
	char folder[] = "/tmp/btget-test-XXXXXX", path[64];
	struct session_peer none = loopback(9), node;
	struct udp_wish w = wish(0);
	struct side a, b;
	struct buffer saved;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/dht.dat", folder);
	begin(&a, &none, NULL);
	udp_search(a.udp, &w);
	node = loopback(udp_port(a.udp));
	begin(&b, &node, folder);
	udp_search(b.udp, &w);
	assert_true(knows_a_node(&b));
	end(&b);
	buffer_init(&saved, 8192);
	assert_int_equal(dht_cache_read(path, &saved, NULL), 0);
	assert_true(saved.used > 26);
	buffer_release(&saved);
	/* And they are a way in. */
	begin(&b, &none, folder);
	udp_search(b.udp, &w);
	assert_true(knows_a_node(&b));
	end(&b);
	end(&a);
	unlink(path);
	rmdir(folder);
}

/* Its DHT runs once it has asked its first node, which is this socket. */
static bool
is_awake(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, (int)(PATIENCE / CLOCK_MS)) == 1;
}

/* What a peer's PORT message leads to. */
static void
an_added_node_is_asked(void **state)
{
	int fd = datagram_bind(NULL, AF_INET, 0);
	struct session_peer none = loopback(9);
	struct session_peer node = loopback(datagram_port(fd));
	struct udp_wish w = wish(0);
	struct side a, b;
	struct addr at;

	(void)state;
	begin(&a, &node, NULL);
	begin(&b, &none, NULL);
	udp_search(a.udp, &w);
	udp_search(b.udp, &w);
	assert_true(is_awake(fd));
	assert_true(addr_parse(&at, "127.0.0.1", udp_port(a.udp)));
	udp_add_node(b.udp, &at);
	assert_true(knows_a_node(&b));
	udp_forget(b.udp, w.info_hash);
	end(&b);
	end(&a);
	close(fd);
}

static void
a_taken_port_is_no_obstacle(void **state)
{
	int fd = datagram_bind(NULL, AF_INET, 0);
	struct udp_config config = {.port = datagram_port(fd), .dht = true};
	struct udp *u = udp_new(&config, NULL, NULL);

	(void)state;
	assert_non_null(u);
	assert_int_not_equal(udp_port(u), config.port);
	udp_free(u);
	close(fd);
}

/* ---- uTP ---- */

static bool
connected(struct side *s)
{
	int64_t until = clock_ns() + PATIENCE;
	bool there;

	mutex_lock(&s->lock);
	while (s->connected == 0 && cond_wait(&s->changed, &s->lock, until))
		;
	there = s->connected == 1;
	mutex_unlock(&s->lock);
	return there;
}

static bool
receive(int fd, void *out, size_t n)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (size_t at = 0; at < n;) {
		ssize_t got;

		if (poll(&p, 1, (int)(PATIENCE / CLOCK_MS)) != 1)
			return false;
		got = recv(fd, (uint8_t *)out + at, n - at, 0);
		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

/* Both ends are sockets like any other, and the last words arrive. */
static void
utp_comes_out_as_a_socket(void **state)
{
	uint8_t hello[100] = "hello", back[100];
	struct side a, b;
	struct addr to;

	(void)state;
	begin_utp(&a);
	begin_utp(&b);
	assert_true(addr_parse(&to, "127.0.0.1", udp_port(b.udp)));
	assert_int_equal(udp_connect(a.udp, 5, &to), 0);
	assert_true(connected(&a));
	assert_true(a.fd >= 0);
	assert_int_equal(send(a.fd, hello, 100, 0), 100);
	assert_true(connected(&b));
	assert_true(receive(b.fd, back, 100));
	assert_memory_equal(back, hello, 100);
	assert_int_equal(send(b.fd, hello, 50, 0), 50);
	assert_true(receive(a.fd, back, 50));
	assert_int_equal(send(a.fd, hello, 7, 0), 7);
	close(a.fd);
	end(&a);
	assert_true(receive(b.fd, back, 7));
	assert_false(receive(b.fd, back, 1));
	close(b.fd);
	end(&b);
}

static void
utp_tells_that_nobody_is_there(void **state)
{
	int fd = datagram_bind(NULL, AF_INET, 0);
	struct side a;
	struct addr to;

	(void)state;
	begin_utp(&a);
	assert_true(addr_parse(&to, "127.0.0.1", datagram_port(fd)));
	assert_int_equal(udp_connect(a.udp, 5, &to), 0);
	assert_true(connected(&a));
	assert_int_equal(a.fd, -1);
	assert_int_equal(a.sys, ETIMEDOUT);
	end(&a);
	close(fd);
}

static void
without_utp_there_is_no_call(void **state)
{
	struct session_peer none = loopback(9);
	struct side a;
	struct addr to;

	(void)state;
	begin(&a, &none, NULL);
	assert_true(addr_parse(&to, "127.0.0.1", 9));
	assert_int_equal(udp_connect(a.udp, 5, &to), -1);
	end(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_thread_without_torrents_is_silent),
	    cmocka_unit_test(two_torrents_meet_through_the_dht),
	    cmocka_unit_test(nodes_are_saved_at_the_end),
	    cmocka_unit_test(an_added_node_is_asked),
	    cmocka_unit_test(a_taken_port_is_no_obstacle),
	    cmocka_unit_test(utp_comes_out_as_a_socket),
	    cmocka_unit_test(utp_tells_that_nobody_is_there),
	    cmocka_unit_test(without_utp_there_is_no_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
