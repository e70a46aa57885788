/* The tracker over real sockets on loopback; every wait has a deadline. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "session/tracker_conn.h"
#include "session/tracker_server.h"

#define DEADLINE_MS 5000
#define IDS "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=pppppppppppppppppppp"

struct fixture {
	struct tracker_server *server;
	struct wake stop;
	struct thread thread;
	int status;
};

static void
run(void *arg)
{
	struct fixture *f = arg;

	f->status = tracker_server_run(f->server, &f->stop, NULL);
}

static int
setup(void **state)
{
	static struct fixture f;
	struct tracker_server_config c;

	tracker_server_defaults(&c);
	c.port = 0;
	f.status = -2;
	f.server = tracker_server_new(&c, NULL);
	if (!f.server || wake_init(&f.stop, NULL) != 0)
		return -1;
	*state = &f;
	return thread_start(&f.thread, "tracker", THREAD_STACK_LARGE, run,
			    &f, NULL);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	wake_up(&f->stop);
	thread_join(&f->thread);
	wake_release(&f->stop);
	tracker_server_free(f->server);
	return f->status;	/* 0: it was stopped as it should be */
}

/* A socket connected to the tracker; -1 if there is no such family. */
static int
dial(const struct fixture *f, int type, const char *host)
{
	struct timeval limit = {.tv_sec = DEADLINE_MS / 1000};
	struct sockaddr_storage sa;
	struct addr a;
	socklen_t size;
	int fd;

	assert_true(addr_parse(&a, host, tracker_server_port(f->server)));
	size = addr_to_sockaddr(&a, &sa);
	fd = socket(a.family, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&sa, size) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
say(int fd, const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Reads until the end of the stream, or until `until` was read. */
static void
hear(int fd, char *out, size_t size, const char *until)
{
	size_t used = 0;

	for (;;) {
		ssize_t n = recv(fd, out + used, size - 1 - used, 0);

		assert_true(n >= 0);
		used += (size_t)n;
		out[used] = '\0';
		if (n == 0 || (until && strstr(out, until)))
			return;
	}
}

static void
http_answers_and_keeps_the_connection(void **state)
{
	int fd = dial(*state, SOCK_STREAM, "127.0.0.1");
	char out[4096];

	assert_true(fd >= 0);
	say(fd, "GET /announce?" IDS "&port=6881&left=0 HTTP/1.1\r\n\r\n");
	hear(fd, out, sizeof(out), "5:peers0:e");
	assert_non_null(strstr(out, "8:completei1e"));
	say(fd, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
	hear(fd, out, sizeof(out), NULL);
	assert_non_null(strstr(out, "peers      1\n"));
	close(fd);
}

static void
http_answers_requests_that_come_together(void **state)
{
	int fd = dial(*state, SOCK_STREAM, "127.0.0.1");
	char out[4096];

	say(fd, "GET /nothing HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n");
	hear(fd, out, sizeof(out), NULL);
	assert_memory_equal(out, "HTTP/1.1 404 ", 13);
	assert_non_null(strstr(out, "HTTP/1.1 200 "));
	close(fd);
}

static void
http_takes_requests_byte_by_byte(void **state)
{
	static const char request[] = "GET / HTTP/1.0\r\nA: b\r\n\r\n";
	int fd = dial(*state, SOCK_STREAM, "127.0.0.1");
	char out[4096], one[2] = "";

	for (const char *at = request; *at; at++) {
		one[0] = *at;
		say(fd, one);
	}
	hear(fd, out, sizeof(out), NULL);
	assert_non_null(strstr(out, "HTTP/1.1 200 "));
	close(fd);
}

static void
http_refuses_heads_that_are_too_long(void **state)
{
	int fd = dial(*state, SOCK_STREAM, "127.0.0.1");
	char out[4096];

	say(fd, "GET / HTTP/1.1\r\n");
	for (int i = 0; i < 300; i++)
		say(fd, "X-Filler: 0123456789012345678901234567\r\n");
	hear(fd, out, sizeof(out), NULL);
	assert_memory_equal(out, "HTTP/1.1 431 ", 13);
	close(fd);
}

static void
http_serves_ipv6(void **state)
{
	int fd = dial(*state, SOCK_STREAM, "::1");
	char out[4096];

	if (fd < 0)
		skip();
	say(fd, "GET /announce?" IDS "&port=6881 HTTP/1.0\r\n\r\n");
	hear(fd, out, sizeof(out), NULL);
	assert_non_null(strstr(out, "5:peers0:6:peers60:e"));
	close(fd);
}

static void
newcomers_push_out_the_oldest_connection(void **state)
{
	int fds[TRACKER_CONN_MAX + 1];
	char out[4096];

	for (int i = 0; i <= TRACKER_CONN_MAX; i++) {
		fds[i] = dial(*state, SOCK_STREAM, "127.0.0.1");
		assert_true(fds[i] >= 0);
	}
	/* All are taken once the last one is answered. */
	say(fds[TRACKER_CONN_MAX], "GET / HTTP/1.0\r\n\r\n");
	hear(fds[TRACKER_CONN_MAX], out, sizeof(out), NULL);
	assert_non_null(strstr(out, " 200 "));
	assert_int_equal(recv(fds[0], out, 1, 0), 0);
	assert_int_equal(recv(fds[1], out, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	for (int i = 0; i <= TRACKER_CONN_MAX; i++)
		close(fds[i]);
}

/* A connect and an announce from `host`; the answer's size. */
static ssize_t
udp_announce(void **state, const char *host, uint16_t port, uint8_t out[64])
{
	uint8_t packet[98] = {0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80};
	int fd = dial(*state, SOCK_DGRAM, host);
	ssize_t n;

	if (fd < 0)
		skip();
	assert_int_equal(send(fd, packet, 16, 0), 16);
	assert_int_equal(recv(fd, out, 64, 0), 16);
	memcpy(packet, out + 8, 8);
	put_u32(packet + 8, 1);
	memset(packet + 16, 'h', 20);
	put_u16(packet + 36, port);
	put_u64(packet + 64, 1);
	put_u32(packet + 92, UINT32_MAX);
	put_u16(packet + 96, port);
	assert_int_equal(send(fd, packet, sizeof(packet), 0), 98);
	n = recv(fd, out, 64, 0);
	close(fd);
	return n;
}

static void
udp_answers_with_peers(void **state)
{
	uint8_t out[64];

	assert_int_equal(udp_announce(state, "127.0.0.1", 1000, out), 20);
	assert_int_equal(udp_announce(state, "127.0.0.1", 1001, out), 26);
	assert_memory_equal(out + 20, "\x7f\0\0\1\x03\xe8", 6);
}

/* The client's socket is connected: an answer from 127.0.0.1 would be lost. */
static void
udp_answers_from_the_address_that_was_asked(void **state)
{
	uint8_t out[64];

	assert_int_equal(udp_announce(state, "127.0.0.77", 1000, out), 20);
}

static void
udp_serves_ipv6(void **state)
{
	uint8_t out[64];

	assert_int_equal(udp_announce(state, "::1", 1000, out), 20);
	assert_int_equal(udp_announce(state, "::1", 1001, out), 38);
}

static void
taken_port_is_reported(void **state)
{
	const struct fixture *f = *state;
	struct tracker_server_config c;
	char expect[128];
	struct error e;

	tracker_server_defaults(&c);
	c.port = tracker_server_port(f->server);
	c.bind = "127.0.0.1";
	assert_null(tracker_server_new(&c, &e));
	assert_int_equal(e.kind, ERROR_NETWORK);
	snprintf(expect, sizeof(expect), "cannot listen on 127.0.0.1:%u: %s",
		 c.port, strerror(EADDRINUSE));
	assert_string_equal(e.text, expect);
}

static void
bad_options_are_refused(void **state)
{
	struct tracker_server_config c;
	struct error e;

	(void)state;
	tracker_server_defaults(&c);
	c.bind = "localhost";
	assert_null(tracker_server_new(&c, &e));
	assert_int_equal(e.kind, ERROR_USAGE);
	assert_string_equal(e.text, "'localhost' is not a numeric address");
	tracker_server_defaults(&c);
	c.interval_s = 0;
	assert_null(tracker_server_new(&c, &e));
	assert_int_equal(e.kind, ERROR_USAGE);
	tracker_server_defaults(&c);
	c.allow_file = "/nonexistent/list";
	assert_null(tracker_server_new(&c, &e));
	assert_int_equal(e.kind, ERROR_USAGE);
	assert_string_equal(e.text, "cannot open '/nonexistent/list': "
				    "No such file or directory");
}

/* ---- connections with injected time ---- */

static void
slow_requests_are_cut_off(void **state)
{
	struct tracker_service service = {0};
	struct tracker_conns *c = tracker_conns_new(&service, 4);
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t size = sizeof(sa);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd p;
	char byte;

	(void)state;
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, size), 0);
	assert_int_equal(listen(listener, 4), 0);
	getsockname(listener, (struct sockaddr *)&sa, &size);
	assert_int_equal(connect(client, (struct sockaddr *)&sa, size), 0);
	assert_true(tracker_conns_accept(c, listener, 0));
	for (int64_t s = 0; s < TRACKER_CONN_PHASE_S; s++) {
		say(client, "G");
		assert_int_equal(tracker_conns_poll(c, &p), 1);
		assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
		tracker_conns_serve(c, &p, s * CLOCK_S);
		assert_int_equal(tracker_conns_expire(c, s * CLOCK_S),
				 TRACKER_CONN_PHASE_S * CLOCK_S);
	}
	assert_int_equal(tracker_conns_expire(c, TRACKER_CONN_PHASE_S *
					      CLOCK_S), CLOCK_NEVER);
	assert_int_equal(tracker_conns_poll(c, &p), 0);
	assert_int_equal(recv(client, &byte, 1, 0), 0);
	close(client);
	close(listener);
	tracker_conns_free(c);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(http_answers_and_keeps_the_connection),
		CASE(http_answers_requests_that_come_together),
		CASE(http_takes_requests_byte_by_byte),
		CASE(http_refuses_heads_that_are_too_long),
		CASE(http_serves_ipv6),
		CASE(newcomers_push_out_the_oldest_connection),
		CASE(udp_answers_with_peers),
		CASE(udp_answers_from_the_address_that_was_asked),
		CASE(udp_serves_ipv6),
		CASE(taken_port_is_reported),
		cmocka_unit_test(bad_options_are_refused),
		cmocka_unit_test(slow_requests_are_cut_off),
	};

	return cmocka_run_group_tests_name("tracker_server", tests, NULL,
					   NULL);
}
