#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/http_range.h"
#include "net/ratelimit.h"
#include "support/loopback.h"

#define SIZE 1000		/* of the file */

static const char file[SIZE] = "0123456789abcdefghij";

static const char broken[] = "HTTP/1.1 206 X\r\n"
			     "Content-Range: bytes 10-15/1000\r\n\r\nabc";

static const char endless[] = "HTTP/1.1 200 X\r\n"
			      "Content-Encoding: gzip\r\n\r\nabc";

static void
part(int fd, const char *head, size_t n)
{
	loopback_reply(fd, head, file + 10, n);
}

static void
redirect(int fd, const char *to)
{
	char head[256];

	snprintf(head, sizeof(head), "302 Found\r\nLocation: %s", to);
	loopback_reply(fd, head, "moved", 5);
}

/* To what it must not lead to, and the connection is kept for that. */
static void
stay(struct loopback *l, int fd)
{
	static const char moved[] = "HTTP/1.1 302 X\r\nContent-Length: 0\r\n"
				    "Location: /good?and=more\r\n\r\n";
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN},
				{.fd = l->stop.fd, .events = POLLIN}};
	char more[1024];

	if (loopback_send(fd, moved, sizeof(moved) - 1) &&
	    poll(fds, 2, 5000) > 0 && recv(fd, more, sizeof(more), 0) > 0)
		part(fd, "206 X\r\nContent-Range: bytes 10-15/1000", 6);
}

/* Every request is for bytes 10 to 15, but for /whole. */
static void
answer(struct loopback *l, int fd, const char *request)
{
	const struct {
		const char *path, *head;
		size_t n;
	} parts[] = {
		{"/good", "206 X\r\nContent-Range: bytes 10-15/1000", 6},
		{"/star", "206 X\r\ncontent-range:BYTES 10-15/* ", 6},
		{"/early", "206 X\r\nContent-Range: bytes 9-14/1000", 6},
		{"/long", "206 X\r\nContent-Range: bytes 10-16/1000", 7},
		{"/short", "206 X\r\nContent-Range: bytes 10-14/1000", 5},
		{"/other", "206 X\r\nContent-Range: bytes 10-15/999", 6},
		{"/none", "206 X", 6},
		{"/size", "206 X\r\nContent-Range: bytes 10-15/1000", 9},
		{"/gz-good", "206 X\r\nContent-Range: bytes 10-15/1000\r\n"
			     "Content-Encoding: x-gzip", 6},
		{"/gz-other", "206 X\r\nContent-Range: bytes 10-15/999\r\n"
			      "Content-Encoding: gzip", 6},
		{"/gz-star", "206 X\r\nContent-Range: bytes 10-15/*\r\n"
			     "Content-Encoding: gzip", 6},
		{"/gz-200", "200 OK\r\nContent-Encoding: gzip", 20},
		{"/200", "200 OK", 20},
		{"/busy", "503 X\r\nRetry-After: 7", 3},
		{"/never", "429 X\r\nRetry-After: 999999999", 3},
		{"/gone", "410 Gone", 3},
		{"/secret", "403 Forbidden", 3},
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (strstr(request, parts[i].path)) {
			part(fd, parts[i].head, parts[i].n);
			return;
		}
	if (strstr(request, "GET /wait"))
		loopback_reply(fd, "503 X", "42\r\n", 4);
	else if (strstr(request, "GET /ages"))
		loopback_reply(fd, "503 X", "99999999", 8);
	else if (strstr(request, "GET /page"))
		loopback_reply(fd, "503 X\r\nRetry-After: 7",
			       "<html>Not now, please.</html>", 29);
	else if (strstr(request, "GET /whole"))
		loopback_reply(fd, "200 OK", file, SIZE);
	else if (strstr(request, "GET /gz-whole"))
		loopback_reply(fd, "200 OK\r\nContent-Encoding: gzip", file,
			       SIZE);
	else if (strstr(request, "GET /gz-endless"))
		loopback_send(fd, endless, sizeof(endless) - 1);
	else if (strstr(request, "GET /moved"))
		redirect(fd, "/good");
	else if (strstr(request, "GET /asks"))
		redirect(fd, "/good?and=more");
	else if (strstr(request, "GET /stays"))
		stay(l, fd);
	else if (strstr(request, "GET /loop"))
		redirect(fd, "/loop");
	else if (strstr(request, "GET /file"))
		redirect(fd, "file:///etc/passwd");
	else if (strstr(request, "GET /broken") ||
		 strstr(request, "GET /pause"))
		loopback_send(fd, broken, sizeof(broken) - 1);
	else if (strstr(request, "GET /headers"))
		for (int i = 0; i < 1 << 20; i++)
			if (!loopback_send(fd, i ? "X-A: b\r\n"
						 : "HTTP/1.1 206 X\r\n",
					   i ? 8 : 16))
				return;
	if (strstr(request, "GET /line"))
		for (int i = 0; i < 1 << 20; i++)
			if (!loopback_send(fd, i ? "X" : "HTTP/1.1 206 X",
					   i ? 1 : 14))
				return;
	if (strstr(request, "GET /silent") || strstr(request, "GET /pause"))
		poll(&(struct pollfd){.fd = l->stop.fd, .events = POLLIN}, 1,
		     5000);
}

struct fixture {
	struct loopback server;
	struct ratelimit down;
	struct wake wake;
	struct http_range *http;
	struct http_range_answer answer;
	char got[SIZE + 1];
	size_t used;
	bool stop_at_data;
	bool go_on;
	unsigned woken;
	unsigned asking;	/* sockets that ask who is silent, then */
	size_t enough;		/* a wait with so much of it is the end */
};

static int
option_of(int fd, int level, int name)
{
	socklen_t size = sizeof(int);
	int value = 0;

	return getsockopt(fd, level, name, &value, &size) == 0 ? value : 0;
}

static unsigned
count_asking(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += option_of(fd, SOL_SOCKET, SO_KEEPALIVE) &&
		     option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 5 &&
		     option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 1;
	return n;
}

static int
keep(void *ctx, const uint8_t *data, size_t n)
{
	struct fixture *f = ctx;

	f->asking = count_asking();
	if (f->stop_at_data)
		return -1;
	assert_true(f->used + n <= SIZE);
	memcpy(f->got + f->used, data, n);
	f->used += n;
	return 0;
}

static int
note_wait(void *ctx)
{
	struct fixture *f = ctx;

	return f->enough > 0 && f->used == f->enough ? -1 : 0;
}

static bool
go_on(void *ctx)
{
	struct fixture *f = ctx;

	f->woken++;
	return f->go_on;
}

static int
make(struct fixture *f, uint64_t limit, bool local)
{
	struct http_range_config config = {
		.wake = &f->wake, .down = &f->down, .local = local};

	ratelimit_init(&f->down, limit);
	f->http = http_range_new(&config, NULL);
	return f->http ? 0 : -1;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || wake_init(&f->wake, NULL) != 0 ||
	    loopback_start(&f->server, answer) != 0)
		return -1;
	return make(f, 0, true);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	loopback_stop(&f->server);
	http_range_free(f->http);
	ratelimit_release(&f->down);
	wake_release(&f->wake);
	free(f);
	return 0;
}

static enum http_range_end
ask(struct fixture *f, const char *path, uint64_t first, uint64_t count)
{
	char url[64];
	struct http_range_request r = {.url = url, .first = first,
				       .count = count, .size = SIZE,
				       .whole = count == SIZE,
				       .data = keep, .go_on = go_on,
				       .waits = note_wait,
				       .ctx = f};

	f->used = 0;
	memset(f->got, 0, sizeof(f->got));
	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", f->server.port,
		 path);
	http_range_get(f->http, &r, &f->answer);
	return f->answer.end;
}

static enum http_range_end
get(void **state, const char *path)
{
	return ask(*state, path, 10, 6);
}

static void
the_part_that_was_asked_for_is_taken(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(state, "/good"), HTTP_RANGE_DONE);
	assert_string_equal(f->got, "abcdef");
	assert_true(loopback_heard(&f->server, 0, "Range: bytes=10-15\r\n"));
	assert_int_equal(get(state, "/star"), HTTP_RANGE_DONE);
}

static void
any_other_part_is_wrong(void **state)
{
	static const char *const paths[] = {"/early", "/long", "/short",
					    "/other", "/none", "/size",
					    "/gz-other", "/gz-star"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		assert_int_equal(get(state, paths[i]), HTTP_RANGE_WRONG);
		assert_int_equal(f->used, 0);
	}
}

static void
a_whole_file_is_no_part(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(state, "/200"), HTTP_RANGE_IGNORED);
	assert_int_equal(f->used, 0);
}

static void
a_whole_file_is_taken_when_all_was_asked_for(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "/whole", 0, SIZE), HTTP_RANGE_DONE);
	assert_int_equal(f->used, SIZE);
	assert_false(loopback_heard(&f->server, 0, "Range:"));
	assert_int_equal(ask(f, "/200", 0, SIZE), HTTP_RANGE_WRONG);
}

/* No coding was asked for, so what has the file's size is the file. */
static void
a_file_that_is_labelled_with_a_coding_is_taken_by_its_size(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(state, "/gz-good"), HTTP_RANGE_DONE);
	assert_string_equal(f->got, "abcdef");
	assert_int_equal(ask(f, "/gz-whole", 0, SIZE), HTTP_RANGE_DONE);
	assert_memory_equal(f->got, file, SIZE);
	assert_int_equal(ask(f, "/gz-200", 0, SIZE), HTTP_RANGE_WRONG);
	assert_int_equal(ask(f, "/gz-endless", 0, SIZE), HTTP_RANGE_WRONG);
	assert_int_equal(f->used, 0);
}

static void
a_status_says_what_to_do(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(state, "/gone"), HTTP_RANGE_MISSING);
	assert_int_equal(get(state, "/secret"), HTTP_RANGE_REFUSED);
	assert_int_equal(f->answer.status, 403);
	assert_int_equal(get(state, "/busy"), HTTP_RANGE_BUSY);
	assert_int_equal(f->answer.retry_after_s, 7);
	assert_int_equal(get(state, "/never"), HTTP_RANGE_BUSY);
	assert_int_equal(f->answer.retry_after_s, HTTP_RANGE_RETRY_MAX);
}

static enum http_range_end
ask_piece(void **state, const char *path)
{
	struct fixture *f = *state;
	char url[64];
	struct http_range_request r = {.url = url, .count = 20, .size = 20,
				       .whole = true, .wait_in_body = true,
				       .data = keep, .go_on = go_on,
				       .waits = note_wait,
				       .ctx = f};

	f->used = 0;
	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", f->server.port,
		 path);
	http_range_get(f->http, &r, &f->answer);
	return f->answer.end;
}

static void
a_503_may_say_in_its_body_when_to_come_again(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask_piece(state, "/wait"), HTTP_RANGE_BUSY);
	assert_int_equal(f->answer.retry_after_s, 42);
	assert_int_equal(f->used, 0);
	assert_int_equal(ask_piece(state, "/ages"), HTTP_RANGE_BUSY);
	assert_int_equal(f->answer.retry_after_s, HTTP_RANGE_RETRY_MAX);
	assert_int_equal(ask_piece(state, "/page"), HTTP_RANGE_BUSY);
	assert_int_equal(f->answer.retry_after_s, 7);
	assert_int_equal(ask_piece(state, "/200"), HTTP_RANGE_DONE);
	assert_int_equal(f->used, 20);
	/* Who did not ask for pieces does not read it. */
	assert_int_equal(get(state, "/wait"), HTTP_RANGE_BUSY);
	assert_int_equal(f->answer.retry_after_s, 0);
}

static void
an_answer_that_breaks_off_is_told(void **state)
{
	assert_int_equal(get(state, "/broken"), HTTP_RANGE_UNREACHABLE);
}

static void
a_redirect_is_followed_and_remembered(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(state, "/moved"), HTTP_RANGE_DONE);
	assert_string_equal(f->got, "abcdef");
	assert_int_equal(loopback_count(&f->server), 2);
	assert_int_equal(get(state, "/moved"), HTTP_RANGE_DONE);
	assert_int_equal(loopback_count(&f->server), 3);
}

/* As its URL must not have one. */
static void
a_redirect_within_the_local_network_has_no_query(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(state, "/asks"), HTTP_RANGE_REFUSED);
	assert_string_equal(f->answer.error.text,
			    "it leads to an address inside the local network");
	assert_int_equal(loopback_count(&f->server), 1);
	/* Nor by the connection that is there. */
	assert_int_equal(get(state, "/stays"), HTTP_RANGE_REFUSED);
	assert_int_equal(loopback_count(&f->server), 2);
}

static void
redirects_are_bounded_and_stay_with_http(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(state, "/loop"), HTTP_RANGE_REFUSED);
	assert_int_equal(loopback_count(&f->server), 6);
	assert_int_equal(get(state, "/file"), HTTP_RANGE_REFUSED);
}

static void
endless_headers_are_cut_off(void **state)
{
	assert_int_equal(get(state, "/headers"), HTTP_RANGE_WRONG);
	assert_int_equal(get(state, "/line"), HTTP_RANGE_WRONG);
}

static void
an_address_inside_is_not_connected_to(void **state)
{
	struct fixture *f = *state;

	http_range_free(f->http);
	ratelimit_release(&f->down);
	assert_int_equal(make(f, 0, false), 0);
	assert_int_equal(get(state, "/good"), HTTP_RANGE_REFUSED);
	assert_string_equal(f->answer.error.text,
			    "it leads to an address inside the local network");
	assert_int_equal(loopback_count(&f->server), 0);
}

static void
a_wake_up_ends_the_wait(void **state)
{
	struct fixture *f = *state;
	int64_t begun = clock_ns();

	wake_up(&f->wake);
	assert_int_equal(get(state, "/silent"), HTTP_RANGE_STOPPED);
	assert_int_equal(f->woken, 1);
	assert_true(clock_ns() - begun < 4 * CLOCK_S);
}

static void
a_wake_up_need_not_end_it(void **state)
{
	struct fixture *f = *state;

	f->go_on = true;
	wake_up(&f->wake);
	assert_int_equal(get(state, "/good"), HTTP_RANGE_DONE);
}

static void
who_takes_the_data_can_end_it(void **state)
{
	struct fixture *f = *state;

	f->stop_at_data = true;
	assert_int_equal(get(state, "/good"), HTTP_RANGE_STOPPED);
}

static void
before_each_wait_all_that_came_was_handed_over(void **state)
{
	struct fixture *f = *state;

	f->enough = 3;
	assert_int_equal(get(state, "/pause"), HTTP_RANGE_STOPPED);
	assert_string_equal(f->got, "abc");
}

/* Else nobody would say that the way is gone. */
static void
who_is_silent_is_asked_whether_it_is_there(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(state, "/good"), HTTP_RANGE_DONE);
	assert_int_equal(f->asking, 1);
}

static void
the_rate_limit_is_waited_for(void **state)
{
	struct fixture *f = *state;
	int64_t begun;

	http_range_free(f->http);
	ratelimit_release(&f->down);
	assert_int_equal(make(f, 10000, true), 0);
	ratelimit_reserve(&f->down, 2000, clock_ns());
	begun = clock_ns();
	assert_int_equal(get(state, "/good"), HTTP_RANGE_DONE);
	assert_int_equal(get(state, "/good"), HTTP_RANGE_DONE);
	/* What the second one waits for: 200 ms, and its own first bytes. */
	assert_true(clock_ns() - begun >= 190 * CLOCK_MS);
	assert_string_equal(f->got, "abcdef");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_part_that_was_asked_for_is_taken),
		TEST(any_other_part_is_wrong),
		TEST(a_whole_file_is_no_part),
		TEST(a_whole_file_is_taken_when_all_was_asked_for),
		TEST(a_file_that_is_labelled_with_a_coding_is_taken_by_its_size),
		TEST(a_status_says_what_to_do),
		TEST(a_503_may_say_in_its_body_when_to_come_again),
		TEST(an_answer_that_breaks_off_is_told),
		TEST(a_redirect_is_followed_and_remembered),
		TEST(a_redirect_within_the_local_network_has_no_query),
		TEST(redirects_are_bounded_and_stay_with_http),
		TEST(endless_headers_are_cut_off),
		TEST(an_address_inside_is_not_connected_to),
		TEST(a_wake_up_ends_the_wait),
		TEST(a_wake_up_need_not_end_it),
		TEST(who_takes_the_data_can_end_it),
		TEST(before_each_wait_all_that_came_was_handed_over),
		TEST(who_is_silent_is_asked_whether_it_is_there),
		TEST(the_rate_limit_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
