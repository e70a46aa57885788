#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/stream.h"

static struct rc4_library *library;

static const uint8_t info_hash[20] = "the only torrent";

static bool
find(void *ctx, const uint8_t hash[MSE_HASH_SIZE], uint8_t out[20])
{
	(void)ctx;
	(void)hash;
	memcpy(out, info_hash, 20);
	return true;
}

struct link {
	int fds[2];
	struct stream a, b;
};

static void
open_link(struct link *l)
{
	int size = 1;	/* the least that there is */

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				    l->fds), 0);
	setsockopt(l->fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	stream_init(&l->a, l->fds[0]);
	stream_init(&l->b, l->fds[1]);
}

static void
close_link(struct link *l)
{
	stream_release(&l->a);
	stream_release(&l->b);
	close(l->fds[0]);
	close(l->fds[1]);
}

static size_t
pass(struct mse *from, struct mse *to, struct link *l)
{
	size_t n, used = 0;
	const uint8_t *data = mse_output(from, &n);

	mse_feed(to, data, n, &used);
	/* What belongs to the stream goes through the socket. */
	if (used < n)
		assert_int_equal(send(l->fds[0], data + used, n - used, 0),
				 n - used);
	mse_sent(from, n);
	return n;
}

static void
secure(struct link *l, unsigned method, const char *beginning)
{
	struct mse_config config = {library, method, method, NULL, NULL};
	struct mse_finder finder = {NULL, find};
	struct mse *a = mse_new_outgoing(&config, info_hash, beginning,
					 strlen(beginning));
	struct mse *b = mse_new_incoming(&config, &finder);

	assert_true(a && b);
	while (pass(a, b, l) + pass(b, a, l) > 0)
		;
	assert_int_equal(mse_status(a), MSE_DONE);
	assert_int_equal(mse_status(b), MSE_DONE);
	stream_secure(&l->a, a);
	stream_secure(&l->b, b);
	mse_free(a);
	mse_free(b);
}

static void
expect(struct stream *s, const char *text)
{
	char got[256] = {0};

	assert_int_equal(stream_recv(s, got, sizeof(got) - 1), strlen(text));
	assert_string_equal(got, text);
}

static void
a_plain_stream_is_the_socket(void **state)
{
	struct link l;
	char raw[8] = {0};

	(void)state;
	open_link(&l);
	assert_true(stream_is_plain(&l.a));
	assert_int_equal(stream_send(&l.a, "hello", 5, true), 5);
	assert_int_equal(stream_pending(&l.a), 0);
	assert_int_equal(stream_flush(&l.a), 0);
	assert_int_equal(recv(l.fds[1], raw, sizeof(raw), 0), 5);
	assert_string_equal(raw, "hello");
	assert_int_equal(stream_recv(&l.a, raw, sizeof(raw)), -1);
	assert_int_equal(errno, EAGAIN);
	close_link(&l);
}

static void
an_encrypted_one_carries_both_ways(void **state)
{
	struct link l;

	(void)state;
	open_link(&l);
	secure(&l, MSE_RC4, "");
	assert_false(stream_is_plain(&l.a));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(stream_send(&l.a, "one way", 7, false), 7);
		assert_int_equal(stream_send(&l.b, "and back", 8, false), 8);
		expect(&l.b, "one way");
		expect(&l.a, "and back");
	}
	close_link(&l);
}

static void
nothing_is_readable_on_the_way(void **state)
{
	static const uint8_t zeros[64];
	uint8_t raw[64];
	struct link l;

	(void)state;
	open_link(&l);
	secure(&l, MSE_RC4, "");
	assert_int_equal(stream_send(&l.a, zeros, 64, false), 64);
	assert_int_equal(recv(l.fds[1], raw, sizeof(raw), 0), 64);
	assert_memory_not_equal(raw, zeros, 64);
	close_link(&l);
}

static void
the_beginning_is_read_first(void **state)
{
	struct link l;

	(void)state;
	open_link(&l);
	secure(&l, MSE_RC4, "beginning ");
	assert_int_equal(stream_send(&l.a, "and more", 8, false), 8);
	expect(&l.b, "beginning and more");
	close_link(&l);
}

static void
only_the_beginning_of_a_plain_method_is_encrypted(void **state)
{
	struct link l;

	(void)state;
	open_link(&l);
	secure(&l, MSE_PLAIN, "beginning ");
	assert_true(stream_is_plain(&l.a));
	assert_true(stream_is_plain(&l.b));
	assert_int_equal(stream_send(&l.a, "and more", 8, false), 8);
	expect(&l.b, "beginning and more");
	assert_int_equal(send(l.fds[0], "plain", 5, 0), 5);
	expect(&l.b, "plain");
	close_link(&l);
}

static void
the_beginning_may_be_read_byte_by_byte(void **state)
{
	const char *text = "beginning and more";
	struct link l;

	(void)state;
	open_link(&l);
	secure(&l, MSE_PLAIN, "beginning ");
	assert_int_equal(stream_send(&l.a, "and more", 8, false), 8);
	for (size_t i = 0; text[i]; i++) {
		char c;

		assert_int_equal(stream_recv(&l.b, &c, 1), 1);
		assert_int_equal(c, text[i]);
	}
	close_link(&l);
}

static void
what_follows_at_once_is_sent_in_one_call(void **state)
{
	struct link l;
	char c;

	(void)state;
	open_link(&l);
	secure(&l, MSE_RC4, "");
	assert_int_equal(stream_send(&l.a, "head ", 5, true), 5);
	assert_int_equal(stream_pending(&l.a), 5);
	assert_int_equal(recv(l.fds[1], &c, 1, 0), -1);
	assert_int_equal(stream_send(&l.a, "body", 4, false), 4);
	assert_int_equal(stream_pending(&l.a), 0);
	expect(&l.b, "head body");
	close_link(&l);
}

/* Reads all that there is, and checks that it goes on where it was. */
static size_t
drain(struct stream *s, uint32_t *next)
{
	uint8_t buf[777];
	size_t all = 0;
	ssize_t n;

	while ((n = stream_recv(s, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(buf[i], (uint8_t)((*next)++ % 251));
		all += (size_t)n;
	}
	return all;
}

static void
fill(uint8_t *to, size_t n, uint32_t *next)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)((*next + i) % 251);
}

/* The socket takes little and often nothing; each byte comes once. */
static void
a_slow_socket_loses_and_repeats_nothing(void **state)
{
	enum { ALL = 1 << 20 };
	uint32_t sent = 0, got = 0;
	uint8_t data[40000];
	struct link l;
	int full = 0;

	(void)state;
	open_link(&l);
	secure(&l, MSE_RC4, "");
	while (sent < ALL) {
		size_t n = sent % sizeof(data) + 1;
		ssize_t took;

		fill(data, n, &sent);
		took = stream_send(&l.a, data, n, sent % 3 == 0);
		if (took > 0) {
			sent += (uint32_t)took;
			continue;
		}
		assert_int_equal(took, -1);
		assert_int_equal(errno, EAGAIN);
		full++;
		assert_true(stream_pending(&l.a) > 0);
		drain(&l.b, &got);
		assert_true(stream_flush(&l.a) > 0);
	}
	while (stream_pending(&l.a) > 0) {
		drain(&l.b, &got);
		assert_true(stream_flush(&l.a) >= 0);
	}
	drain(&l.b, &got);
	assert_int_equal(got, sent);
	assert_true(full > 3);
	close_link(&l);
}

static void
room_is_filled_without_a_copy(void **state)
{
	uint32_t sent = 0, got = 0;
	struct link l;
	uint8_t *to;
	size_t n;

	(void)state;
	open_link(&l);
	secure(&l, MSE_RC4, "");
	for (int i = 0; i < 50; i++) {
		to = stream_room(&l.a, &n);
		if (!to) {
			assert_int_equal(errno, EAGAIN);
			drain(&l.b, &got);
			continue;
		}
		assert_true(n > 0 && n <= STREAM_BUFFER);
		fill(to, n, &sent);
		sent += (uint32_t)n;
		assert_int_equal(stream_commit(&l.a, n, false), 0);
		assert_true(stream_pending(&l.a) <= STREAM_BUFFER);
	}
	while (drain(&l.b, &got) > 0)
		stream_flush(&l.a);
	assert_int_equal(got, sent);
	close_link(&l);
}

static void
a_closed_connection_shows(void **state)
{
	uint8_t data[100] = {0};
	struct link l;

	(void)state;
	open_link(&l);
	secure(&l, MSE_RC4, "");
	shutdown(l.fds[1], SHUT_RDWR);
	assert_int_equal(stream_recv(&l.a, data, sizeof(data)), 0);
	assert_int_equal(stream_send(&l.a, data, sizeof(data), false), -1);
	assert_int_equal(errno, EPIPE);
	close_link(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_stream_is_the_socket),
		cmocka_unit_test(an_encrypted_one_carries_both_ways),
		cmocka_unit_test(nothing_is_readable_on_the_way),
		cmocka_unit_test(the_beginning_is_read_first),
		cmocka_unit_test(
			only_the_beginning_of_a_plain_method_is_encrypted),
		cmocka_unit_test(the_beginning_may_be_read_byte_by_byte),
		cmocka_unit_test(what_follows_at_once_is_sent_in_one_call),
		cmocka_unit_test(a_slow_socket_loses_and_repeats_nothing),
		cmocka_unit_test(room_is_filled_without_a_copy),
		cmocka_unit_test(a_closed_connection_shows),
	};
	int failed;

	library = rc4_library_new(NULL);
	if (!library) {
		printf("no RC4 on this machine: nothing to test\n");
		return 0;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rc4_library_free(library);
	return failed;
}
