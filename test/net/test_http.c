#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/clock.h"
#include "net/http_fetch.h"
#include "../../src/net/http_library.h"
#include "support/loopback.h"

/* gzip of "hello, hello, hello" */
static const uint8_t gzipped[] = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xcb, 0x48,
    0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0xc8, 0x40, 0xa2, 0x00, 0x9f, 0xa1, 0xca,
    0x09, 0x13, 0x00, 0x00, 0x00};

static void
redirect(int fd, const char *to)
{
	char head[256];

	snprintf(head, sizeof(head), "302 Found\r\nLocation: %s", to);
	loopback_reply(fd, head, "", 0);
}

static void
endless(int fd, const char *start, const char *line)
{
	if (!loopback_send(fd, start, strlen(start)))
		return;
	/* Bounded, but by far more than anyone should take. */
	for (int i = 0; i < 1 << 20; i++) {
		if (!loopback_send(fd, line, strlen(line)))
			return;
	}
}

/* Begins well, and then says no more. */
static void
halting(struct loopback *l, int fd)
{
	static const char begin[] =
	    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nplain";
	struct pollfd stop = {.fd = l->stop.fd, .events = POLLIN};

	if (loopback_send(fd, begin, sizeof(begin) - 1))
		poll(&stop, 1, 5000);
}

static void
answer(struct loopback *l, int fd, const char *request)
{
	char big[5000];

	memset(big, 'x', sizeof(big));
	if (strstr(request, "GET /plain"))
		loopback_reply(fd, "200 OK", "plain body", 10);
	else if (strstr(request, "GET /gzip"))
		loopback_reply(fd, "200 OK\r\nContent-Encoding: gzip", gzipped,
			       sizeof(gzipped));
	else if (strstr(request, "GET /big"))
		loopback_reply(fd, "200 OK", big, sizeof(big));
	else if (strstr(request, "GET /busy"))
		loopback_reply(fd, "503 Busy", "later", 5);
	else if (strstr(request, "GET /eager"))
		loopback_reply(fd, "429 Too Many Requests", "later", 5);
	else if (strstr(request, "GET /once") || strstr(request, "GET /link"))
		redirect(fd, "/plain");
	else if (strstr(request, "GET /announce?old"))
		redirect(fd, "/announce?new");
	else if (strstr(request, "GET /announce?new"))
		loopback_reply(fd, "200 OK", "peers", 5);
	else if (strstr(request, "GET /announce") ||
		 strstr(request, "GET /lin-k"))
		redirect(fd, "/plain?and=more");
	else if (strstr(request, "GET /loop"))
		redirect(fd, "/loop");
	else if (strstr(request, "GET /file"))
		redirect(fd, "file:///etc/passwd");
	else if (strstr(request, "GET /headers"))
		endless(fd, "HTTP/1.1 200 OK\r\n", "X-Endless: header\r\n");
	else if (strstr(request, "GET /line"))
		endless(fd, "HTTP/1.1 200 OK\r\nX-Endless: ", "header");
	else if (strstr(request, "GET /status"))
		endless(fd, "HTTP/1.1 200 ", "OK");
	else if (strstr(request, "GET /continue"))
		endless(fd, "", "HTTP/1.1 100 Continue\r\n\r\n");
	else if (strstr(request, "GET /halting"))
		halting(l, fd);
	else if (strstr(request, "GET /silent"))
		poll(&(struct pollfd){.fd = l->stop.fd, .events = POLLIN}, 1,
		     5000);
	else
		loopback_reply(fd, "404 Not Found", "gone", 4);
}

struct got {
	unsigned calls;
	long status;
	char body[64];
	struct error error;
	bool no_address;
};

static void
keep(void *ctx, const struct http_answer *a)
{
	struct got *g = ctx;
	size_t n = a->size < sizeof(g->body) ? a->size : sizeof(g->body) - 1;

	g->calls++;
	g->status = a->status;
	g->error = a->error;
	g->no_address = a->no_address;
	if (n > 0)
		memcpy(g->body, a->body, n);
	g->body[n] = '\0';
}

struct fixture {
	struct loopback server;
	struct http *http;
	struct got got;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || loopback_start(&f->server, answer) != 0)
		return -1;
	f->http = http_new(NULL, NULL);
	return f->http ? 0 : -1;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	loopback_stop(&f->server);
	http_free(f->http);
	free(f);
	return 0;
}

static struct http_job *
ask(struct fixture *f, const char *path, struct got *got)
{
	char url[256];
	struct http_request r = {.url = url,
				 .body_max = 4096,
				 .timeout_ms = 5000,
				 .done = keep,
				 .ctx = got};

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", f->server.port,
		 path);
	return http_start(f->http, &r, NULL);
}

static void
settle(struct fixture *f, struct got *got, unsigned calls)
{
	int64_t limit = clock_ns() + 10 * CLOCK_S;

	while (got->calls < calls && clock_ns() < limit)
		assert_int_equal(http_wait(f->http, NULL, 0, 100, NULL), 0);
	assert_int_equal(got->calls, calls);
}

static struct got *
get(void **state, const char *path)
{
	struct fixture *f = *state;

	assert_non_null(ask(f, path, &f->got));
	settle(f, &f->got, 1);
	return &f->got;
}

static void
a_body_and_its_status_arrive(void **state)
{
	struct fixture *f = *state;
	struct got *g = get(state, "/plain");

	assert_int_equal(g->status, 200);
	assert_string_equal(g->body, "plain body");
	assert_true(loopback_heard(&f->server, 0,
				   "User-Agent: btget/" BTGET_VERSION "\r\n"));
}

static void
another_status_is_an_answer_too(void **state)
{
	struct got *g = get(state, "/nothing");

	assert_int_equal(g->status, 404);
	assert_int_equal(g->error.kind, ERROR_NONE);
}

static void
gzip_is_undone(void **state)
{
	assert_string_equal(get(state, "/gzip")->body, "hello, hello, hello");
}

static void
a_body_over_its_cap_fails(void **state)
{
	struct got *g = get(state, "/big");

	assert_int_equal(g->error.kind, ERROR_PROTOCOL);
	assert_string_equal(g->error.text,
			    "the answer is larger than 4.0 KiB");
}

static void
a_redirect_is_followed(void **state)
{
	assert_string_equal(get(state, "/once")->body, "plain body");
}

static void
a_redirect_is_an_answer_where_it_is_not_wanted(void **state)
{
	struct fixture *f = *state;
	char url[64];
	struct http_request r = {.url = url,
				 .no_redirects = true,
				 .body_max = 4096,
				 .timeout_ms = 5000,
				 .done = keep,
				 .ctx = &f->got};

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/once", f->server.port);
	assert_non_null(http_start(f->http, &r, NULL));
	settle(f, &f->got, 1);
	assert_int_equal(f->got.status, 302);
	assert_int_equal(loopback_count(&f->server), 1);
}

static void
a_post_has_its_body_and_headers(void **state)
{
	struct fixture *f = *state;
	const char *headers[] = {"X-One: 1", "Content-Type: text/odd", NULL};
	char url[64];
	struct http_request r = {.url = url,
				 .post = "the body",
				 .headers = headers,
				 .body_max = 4096,
				 .timeout_ms = 5000,
				 .done = keep,
				 .ctx = &f->got};

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/order",
		 f->server.port);
	assert_non_null(http_start(f->http, &r, NULL));
	settle(f, &f->got, 1);
	assert_true(loopback_heard(&f->server, 0, "POST /order HTTP/1.1\r\n"));
	assert_true(loopback_heard(&f->server, 0, "\r\nX-One: 1\r\n"));
	assert_true(loopback_heard(&f->server, 0,
				   "\r\nContent-Type: text/odd\r\n"));
	assert_true(loopback_heard(&f->server, 0,
				   "\r\nContent-Length: 8\r\n"));
}

static struct got *
get_strangers(void **state, const char *path, bool announce)
{
	struct fixture *f = *state;
	char url[64];
	struct http_request r = {.url = url,
				 .announce = announce,
				 .link = !announce,
				 .body_max = 4096,
				 .timeout_ms = 5000,
				 .done = keep,
				 .ctx = &f->got};

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", f->server.port,
		 path);
	memset(&f->got, 0, sizeof(f->got));
	assert_non_null(http_start(f->http, &r, NULL));
	settle(f, &f->got, 1);
	return &f->got;
}

/* It is held to what its URL would have been held to. */
static void
a_redirect_within_the_local_network_is_judged(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(get_strangers(state, "/announce?old", true)->body,
			    "peers");
	assert_string_equal(get_strangers(state, "/link", false)->body,
			    "plain body");
	assert_int_equal(loopback_count(&f->server), 4);
	assert_string_equal(get_strangers(state, "/announce?x", true)
				->error.text,
			    "it leads to an address that it must not reach");
	assert_string_equal(get_strangers(state, "/lin-k", false)
				->error.text,
			    "it leads to an address that it must not reach");
	assert_int_equal(loopback_count(&f->server), 6);
}

static void
redirects_end_after_five(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(get(state, "/loop")->error.text,
			    "too many redirects");
	assert_int_equal(loopback_count(&f->server), 6);
}

static void
a_redirect_never_leaves_http(void **state)
{
	assert_int_equal(get(state, "/file")->error.kind, ERROR_PROTOCOL);
}

#if LIBCURL_VERSION_NUM >= 0x075500
static __typeof__(&curl_easy_setopt) real_setopt;

/* As libcurl has it that was made without TLS.  What the argument is shows in
 * the option's number. */
static CURLcode
setopt_without_tls(CURL *c, CURLoption which, ...)
{
	CURLcode code;
	va_list args;

	va_start(args, which);
	/* NOLINTNEXTLINE(bugprone-branch-clone): of other types */
	if (which >= CURLOPTTYPE_OFF_T && which < CURLOPTTYPE_BLOB) {
		code = real_setopt(c, which, va_arg(args, curl_off_t));
	} else if (which < CURLOPTTYPE_OBJECTPOINT) {
		code = real_setopt(c, which, va_arg(args, long));
	} else {
		void *value = va_arg(args, void *);
		bool list = which == CURLOPT_PROTOCOLS_STR ||
			    which == CURLOPT_REDIR_PROTOCOLS_STR;

		code = list && strstr(value, "https")
			       ? CURLE_UNSUPPORTED_PROTOCOL
			       : real_setopt(c, which, value);
	}
	va_end(args);
	return code;
}

static void
http_works_without_tls(void **state)
{
	real_setopt = curl.easy_setopt;
	curl.easy_setopt = setopt_without_tls;
	assert_int_equal(get(state, "/plain")->status, 200);
	curl.easy_setopt = real_setopt;
}
#endif

static void
endless_headers_are_cut_off(void **state)
{
	assert_string_equal(get(state, "/headers")->error.text,
			    "the headers are too large");
}

static void
an_endless_line_is_told_as_such(void **state)
{
	assert_string_equal(get(state, "/line")->error.text,
			    "the headers are too large");
	assert_string_equal(get(state, "/status")->error.text,
			    "the headers are too large");
}

static void
endless_1xx_answers_are_cut_off(void **state)
{
	assert_string_equal(get(state, "/continue")->error.text,
			    "the headers are too large");
}

static void
a_server_that_says_nothing_times_out(void **state)
{
	struct fixture *f = *state;
	char url[64];
	struct http_request r = {.url = url,
				 .body_max = 64,
				 .timeout_ms = 50,
				 .done = keep,
				 .ctx = &f->got};

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/silent",
		 f->server.port);
	assert_non_null(http_start(f->http, &r, NULL));
	settle(f, &f->got, 1);
	assert_int_equal(f->got.error.kind, ERROR_NETWORK);
}

static void
a_cancelled_request_never_reports(void **state)
{
	struct fixture *f = *state;
	struct got other = {0};
	struct http_job *job = ask(f, "/silent", &f->got);

	assert_non_null(job);
	assert_int_equal(http_run(f->http, NULL), 0);
	http_cancel(f->http, job);
	assert_non_null(ask(f, "/plain", &other));
	settle(f, &other, 1);
	assert_int_equal(f->got.calls, 0);
}

static void
many_requests_run_at_once(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 10; i++)
		assert_non_null(ask(f, "/plain", &f->got));
	settle(f, &f->got, 10);
}

/* Connections to it are made, and nothing comes. */
static int
silent_server(uint16_t *port)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (void *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (void *)&in, &size), 0);
	*port = ntohs(in.sin_port);
	return fd;
}

#define SERVERS 32

/* Four connections, for all that is asked of silent servers. */
struct crowd {
	struct http *http;
	struct got silent, got;
	int fds[SERVERS];
	uint16_t ports[SERVERS];
	size_t servers;
};

static void
crowd_begin(struct crowd *c, int patience_ms)
{
	struct http_config config = {.connections_max = 4,
				     .patience_ms = patience_ms};

	memset(c, 0, sizeof(*c));
	c->http = http_new(&config, NULL);
	assert_non_null(c->http);
}

/* Of a silent server. */
static void
crowd_request(struct crowd *c, size_t server, int timeout_ms, bool second,
	      const void *group)
{
	char url[64];
	struct http_request r = {.url = url,
				 .body_max = 4096,
				 .timeout_ms = timeout_ms,
				 .second = second,
				 .group = group,
				 .done = keep,
				 .ctx = &c->silent};

	if (server == c->servers)
		c->fds[c->servers++] = silent_server(&c->ports[server]);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", c->ports[server]);
	assert_non_null(http_start(c->http, &r, NULL));
}

/* So many new ones, asked once each. */
static void
crowd_add(struct crowd *c, unsigned servers, int timeout_ms, bool second,
	  const void *group)
{
	while (servers-- > 0)
		crowd_request(c, c->servers, timeout_ms, second, group);
}

/* One that is answered, behind them all. */
static void
crowd_ask(struct crowd *c, struct fixture *f, int timeout_ms, bool urgent,
	  const void *group)
{
	char url[64];
	struct http_request r = {.url = url,
				 .body_max = 4096,
				 .timeout_ms = timeout_ms,
				 .urgent = urgent,
				 .group = group,
				 .done = keep,
				 .ctx = &c->got};
	int64_t limit = clock_ns() + 20 * CLOCK_S;

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/plain",
		 f->server.port);
	assert_non_null(http_start(c->http, &r, NULL));
	c->got.calls = 0;
	while (c->got.calls == 0 && clock_ns() < limit)
		assert_int_equal(http_wait(c->http, NULL, 0, -1, NULL), 0);
	assert_int_equal(c->got.status, 200);
}

static void
crowd_end(struct crowd *c)
{
	http_free(c->http);
	while (c->servers > 0)
		close(c->fds[--c->servers]);
}

/* Three at a time: one place is for those that answer. */
static void
who_waits_loses_no_time(void **state)
{
	struct crowd c;

	crowd_begin(&c, 0);
	crowd_add(&c, 6, 400, false, NULL);
	crowd_ask(&c, *state, 700, false, NULL);
	/* The last ones may still have been waited for. */
	assert_in_range(c.silent.calls, 4, 6);
	crowd_end(&c);
}

static void
silent_servers_are_given_up_while_others_wait(void **state)
{
	struct crowd c;

	crowd_begin(&c, 100);
	crowd_add(&c, 9, 30000, false, NULL);
	crowd_ask(&c, *state, 5000, false, NULL);
	/* The last ones may still have been waited for. */
	assert_in_range(c.silent.calls, 7, 9);
	assert_string_equal(c.silent.error.text,
			    "no answer, and others wait to be asked");
	crowd_end(&c);
}

static void
each_group_has_its_turn(void **state)
{
	struct crowd c;

	crowd_begin(&c, 1000);
	crowd_add(&c, 20, 30000, false, "many");
	crowd_ask(&c, *state, 5000, false, "one");
	assert_true(c.silent.calls <= 4);
	crowd_end(&c);
}

static void
seconds_leave_others_half_of_the_places(void **state)
{
	struct crowd c;

	crowd_begin(&c, 30000);
	crowd_add(&c, 4, 30000, true, "one");
	crowd_ask(&c, *state, 5000, false, "one");
	assert_int_equal(c.silent.calls, 0);
	crowd_end(&c);
}

/* As hundreds of torrents that name one tracker ask it. */
static void
a_silent_server_leaves_others_their_places(void **state)
{
	struct crowd c;

	crowd_begin(&c, 30000);
	for (int i = 0; i < 50; i++)
		crowd_request(&c, 0, 30000, false, NULL);
	crowd_ask(&c, *state, 5000, false, NULL);
	assert_int_equal(c.silent.calls, 0);
	crowd_end(&c);
}

static void
silent_servers_leave_one_that_has_answered_a_place(void **state)
{
	struct crowd c;

	crowd_begin(&c, 30000);
	crowd_ask(&c, *state, 5000, false, NULL);
	crowd_add(&c, 20, 30000, false, NULL);
	crowd_ask(&c, *state, 5000, false, NULL);
	assert_int_equal(c.silent.calls, 0);
	crowd_end(&c);
}

/* Though there are places for others. */
static void
silence_ends_sooner_where_others_wait_for_the_same(void **state)
{
	struct crowd c;

	(void)state;
	crowd_begin(&c, 100);
	crowd_request(&c, 0, 30000, false, NULL);
	crowd_request(&c, 0, 30000, false, NULL);
	while (c.silent.calls == 0)
		assert_int_equal(http_wait(c.http, NULL, 0, -1, NULL), 0);
	assert_string_equal(c.silent.error.text,
			    "no answer, and others wait to be asked");
	crowd_end(&c);
}

static void
who_has_failed_is_asked_behind_others(void **state)
{
	struct crowd c;

	crowd_begin(&c, 30000);
	crowd_add(&c, 1, 50, false, NULL);
	while (c.silent.calls == 0)
		assert_int_equal(http_wait(c.http, NULL, 0, -1, NULL), 0);
	crowd_add(&c, 1, 200, false, NULL);
	crowd_add(&c, 2, 30000, false, NULL);	/* no place is left */
	crowd_request(&c, 0, 30000, false, NULL);
	crowd_ask(&c, *state, 5000, false, NULL);
	assert_int_equal(c.silent.calls, 2);
	crowd_end(&c);
}

static void
ask_family(struct fixture *f, const char *host, int family)
{
	char url[64];
	struct http_request r = {.url = url,
				 .body_max = 4096,
				 .timeout_ms = 5000,
				 .family = family,
				 .done = keep,
				 .ctx = &f->got};

	snprintf(url, sizeof(url), "http://%s:%u/plain", host, f->server.port);
	assert_non_null(http_start(f->http, &r, NULL));
	settle(f, &f->got, f->got.calls + 1);
}

/* The server is there over IPv4 alone. */
static void
a_family_is_asked_alone(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		ask_family(f, "localhost", AF_INET6);
		assert_int_equal(f->got.error.kind, ERROR_NETWORK);
		ask_family(f, "localhost", AF_INET);
		assert_int_equal(f->got.status, 200);
	}
	assert_int_equal(loopback_count(&f->server), 2);
}

static void
a_number_of_the_other_family_is_not_asked(void **state)
{
	struct fixture *f = *state;

	ask_family(f, "127.0.0.1", AF_INET6);
	assert_int_equal(f->got.error.kind, ERROR_NETWORK);
	assert_true(f->got.no_address);
	assert_int_equal(loopback_count(&f->server), 0);
}

static void
what_waits_can_be_cancelled(void **state)
{
	struct fixture *f = *state;
	struct http_config config = {.connections_max = 1};
	struct http *whole = f->http;
	struct got first = {0}, second = {0};
	struct http_job *job;

	f->http = http_new(&config, NULL);
	assert_non_null(ask(f, "/plain", &first));
	job = ask(f, "/plain", &second);
	assert_false(http_sent(job));
	http_cancel(f->http, job);
	settle(f, &first, 1);
	assert_int_equal(second.calls, 0);
	assert_int_equal(loopback_count(&f->server), 1);
	http_free(f->http);
	f->http = whole;
}

static void
the_wait_ends_for_the_callers_fd(void **state)
{
	struct fixture *f = *state;
	struct wake wake;
	struct pollfd fd = {.events = POLLIN};
	int64_t start = clock_ns();

	assert_int_equal(wake_init(&wake, NULL), 0);
	fd.fd = wake.fd;
	wake_up(&wake);
	assert_int_equal(http_wait(f->http, &fd, 1, 60000, NULL), 0);
	assert_int_equal(fd.revents, POLLIN);
	assert_true(clock_ns() - start < 30 * CLOCK_S);
	wake_release(&wake);
}

static void
the_environments_proxy_is_not_asked(void **state)
{
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	assert_int_equal(get(state, "/plain")->status, 200);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
}

static int
fetch(struct fixture *f, const char *path, int stop_fd, struct buffer *out,
      struct error *e)
{
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", f->server.port,
		 path);
	return http_fetch(NULL, url,
			  &(struct http_patience){.timeout_ms = 5000,
						  .stop_fd = stop_fd},
			  out, e);
}

static void
fetch_gives_the_body(void **state)
{
	struct buffer out;
	struct error e;

	buffer_init(&out, 100);
	assert_int_equal(fetch(*state, "/plain", -1, &out, &e), 0);
	assert_string_equal(buffer_text(&out), "plain body");
	buffer_release(&out);
}

static void
fetch_takes_nothing_but_200(void **state)
{
	struct buffer out;
	struct error e;

	buffer_init(&out, 100);
	assert_int_equal(fetch(*state, "/nothing", -1, &out, &e), -1);
	assert_int_equal(e.kind, ERROR_TORRENT);
	assert_string_equal(e.text, "the server answered 404");
	buffer_release(&out);
}

static void
fetch_from_a_server_that_cannot_now_is_a_network_error(void **state)
{
	static const char *const paths[] = {"/busy", "/eager"};

	for (size_t i = 0; i < 2; i++) {
		struct buffer out;
		struct error e;

		buffer_init(&out, 100);
		assert_int_equal(fetch(*state, paths[i], -1, &out, &e), -1);
		assert_int_equal(e.kind, ERROR_NETWORK);
		assert_string_equal(e.text, i ? "the server answered 429"
					      : "the server answered 503");
		buffer_release(&out);
	}
}

static void
fetch_stays_within_its_buffer(void **state)
{
	struct buffer out;
	struct error e;

	buffer_init(&out, 100);
	assert_int_equal(fetch(*state, "/big", -1, &out, &e), -1);
	assert_int_equal(e.kind, ERROR_TORRENT);
	assert_int_equal(out.used, 0);
	buffer_release(&out);
}

static void
fetch_from_a_closed_port_is_a_network_error(void **state)
{
	struct buffer out;
	struct error e;

	(void)state;
	buffer_init(&out, 100);
	assert_int_equal(http_fetch(NULL, "http://127.0.0.1:1/",
				    &(struct http_patience){
					.timeout_ms = 5000, .stop_fd = -1},
				    &out, &e),
			 -1);
	assert_int_equal(e.kind, ERROR_NETWORK);
	buffer_release(&out);
}

static void
fetch_ends_when_woken(void **state)
{
	struct wake wake;
	struct buffer out;
	struct error e;

	assert_int_equal(wake_init(&wake, NULL), 0);
	wake_up(&wake);
	buffer_init(&out, 100);
	assert_int_equal(fetch(*state, "/silent", wake.fd, &out, &e), -1);
	assert_int_equal(e.kind, ERROR_STOPPED);
	buffer_release(&out);
	wake_release(&wake);
}

static void
fetch_ends_when_nothing_more_comes(void **state)
{
	static const char *const paths[] = {"silent", "halting"};
	const struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		struct http_patience patience = {
			.timeout_ms = 60000, .idle_ms = 50, .stop_fd = -1,
		};
		struct buffer out;
		struct error e;
		char url[256];

		snprintf(url, sizeof(url), "http://127.0.0.1:%u/%s",
			 f->server.port, paths[i]);
		buffer_init(&out, 100);
		assert_int_equal(http_fetch(NULL, url, &patience, &out, &e),
				 -1);
		assert_int_equal(e.kind, ERROR_NETWORK);
		assert_string_equal(e.text, "no data for 0s");
		buffer_release(&out);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_body_and_its_status_arrive),
	    TEST(another_status_is_an_answer_too),
	    TEST(gzip_is_undone),
	    TEST(a_body_over_its_cap_fails),
	    TEST(a_redirect_is_followed),
	    TEST(a_redirect_is_an_answer_where_it_is_not_wanted),
	    TEST(a_post_has_its_body_and_headers),
	    TEST(a_redirect_within_the_local_network_is_judged),
	    TEST(redirects_end_after_five),
	    TEST(a_redirect_never_leaves_http),
	    TEST(endless_headers_are_cut_off),
	    TEST(an_endless_line_is_told_as_such),
	    TEST(endless_1xx_answers_are_cut_off),
	    TEST(a_server_that_says_nothing_times_out),
	    TEST(a_cancelled_request_never_reports),
	    TEST(many_requests_run_at_once),
	    TEST(who_waits_loses_no_time),
	    TEST(silent_servers_are_given_up_while_others_wait),
	    TEST(each_group_has_its_turn),
	    TEST(seconds_leave_others_half_of_the_places),
	    TEST(a_silent_server_leaves_others_their_places),
	    TEST(silent_servers_leave_one_that_has_answered_a_place),
	    TEST(silence_ends_sooner_where_others_wait_for_the_same),
	    TEST(who_has_failed_is_asked_behind_others),
	    TEST(a_family_is_asked_alone),
	    TEST(a_number_of_the_other_family_is_not_asked),
	    TEST(what_waits_can_be_cancelled),
	    TEST(the_wait_ends_for_the_callers_fd),
	    TEST(the_environments_proxy_is_not_asked),
	    TEST(fetch_gives_the_body),
	    TEST(fetch_takes_nothing_but_200),
	    TEST(fetch_from_a_server_that_cannot_now_is_a_network_error),
	    TEST(fetch_stays_within_its_buffer),
	    TEST(fetch_ends_when_nothing_more_comes),
	    TEST(fetch_from_a_closed_port_is_a_network_error),
	    TEST(fetch_ends_when_woken),
#if LIBCURL_VERSION_NUM >= 0x075500
	    TEST(http_works_without_tls),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
