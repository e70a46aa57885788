#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "discover/announce.h"
#include "net/http.h"
#include "net/iface.h"
#include "net/proxy.h"
#include "support/clock_ahead.h"
#include "support/loopback.h"

#define ONE_PEER                                                             \
	"d8:completei3e8:intervali1800e5:peers6:\x01\x02\x03\x04\x1a\xe1"     \
	"e"

/* The last two are the same. */
#define NAMED_PEERS                                                          \
	"d8:intervali1800e5:peersl"                                          \
	"d2:ip9:localhost4:porti80ee"                                        \
	"d2:ip9:localhost4:porti81ee"                                        \
	"d2:ip9:localhost4:porti81ee"                                        \
	"ee"

/* In the place of libc's: what ends in "slow.test" is known once the gate is
 * open, and is here. */
static struct wake gate;

int
getaddrinfo(const char *restrict node, const char *restrict service,
	    const struct addrinfo *restrict hints,
	    struct addrinfo **restrict list)
{
	int (*true_one)(const char *, const char *, const struct addrinfo *,
			struct addrinfo **);

	*(void **)&true_one = dlsym(RTLD_NEXT, "getaddrinfo");
	if (!strstr(node, "slow.test"))
		return true_one(node, service, hints, list);
	poll(&(struct pollfd){.fd = gate.fd, .events = POLLIN}, 1, -1);
	return true_one("127.0.0.1", service, hints, list);
}

#define NAMES 16	/* as many as are kept of one answer */

/* Peers that have names, from this port on, and one that has an address. */
static void
reply_names(int fd, unsigned port)
{
	char body[2048];
	int n = snprintf(body, sizeof(body), "d8:intervali1800e5:peersl");

	for (unsigned i = 0; i < NAMES; i++)
		n += snprintf(body + n, sizeof(body) - (size_t)n,
			      "d2:ip13:n%02u.slow.test4:porti%uee", i,
			      port + i);
	n += snprintf(body + n, sizeof(body) - (size_t)n,
		      "d2:ip7:1.2.3.44:porti1eeee");
	loopback_reply(fd, "200 OK", body, (size_t)n);
}

/* Until when answers are late; where it is not there, for a moment. */
static struct wake late_gate = {-1};

static void
answer(struct loopback *l, int fd, const char *request)
{
	static const char refusal[] = "d14:failure reason7:unknowne";
	static const char later[] = "d14:failure reason7:unknown8:retry in"
				    "i60ee";
	static const char slow[] = "d8:intervali1800e15:warning message2:hie";

	/* The one is good, the other is silent, or late. */
	if (strstr(request, "GET /half") && l->family == AF_INET6)
		poll(&(struct pollfd){.fd = fd, .events = POLLRDHUP}, 1, 5000);
	if ((strstr(request, "/late/") ||
	     (strstr(request, "/late6/") && l->family == AF_INET6)) &&
	    strstr(request, "event=started"))
		poll((struct pollfd[]){{.fd = l->stop.fd, .events = POLLIN},
				       {.fd = late_gate.fd, .events = POLLIN}},
		     2, late_gate.fd < 0 ? 300 : 10000);
	if (strstr(request, "GET /plain") && strstr(request, "event=paused"))
		loopback_reply(fd, "200 OK", refusal, sizeof(refusal) - 1);
	else if (strstr(request, "GET /many1"))
		reply_names(fd, 1000);
	else if (strstr(request, "GET /many2"))
		reply_names(fd, 2000);
	else if (strstr(request, "GET /named"))
		loopback_reply(fd, "200 OK", NAMED_PEERS,
			       sizeof(NAMED_PEERS) - 1);
	else if (strstr(request, "GET /mute") &&
		 strstr(request, "event=completed"))
		poll(&(struct pollfd){.fd = fd, .events = POLLRDHUP}, 1, 20000);
	else if (strstr(request, "GET /mute") ||
		 strstr(request, "GET /good") ||
		 strstr(request, "GET /half") ||
		 strstr(request, "GET /late") || strstr(request, "GET /plain"))
		loopback_reply(fd, "200 OK", ONE_PEER, sizeof(ONE_PEER) - 1);
	else if (strstr(request, "GET /slow") &&
		 strstr(request, "event=started"))
		poll(&(struct pollfd){.fd = fd, .events = POLLRDHUP}, 1, 5000);
	else if (strstr(request, "GET /warn") || strstr(request, "GET /slow"))
		loopback_reply(fd, "200 OK", slow, sizeof(slow) - 1);
	else if (strstr(request, "GET /refuse"))
		loopback_reply(fd, "403 Forbidden", refusal,
			       sizeof(refusal) - 1);
	else if (strstr(request, "GET /tired") && l->family == AF_INET)
		loopback_reply(fd, "200 OK", later, sizeof(later) - 1);
	else if (strstr(request, "GET /silent"))
		poll(&(struct pollfd){.fd = l->stop.fd, .events = POLLIN}, 1,
		     5000);
	else
		loopback_reply(fd, "404 Not Found", "gone", 4);
}

/* A UDP tracker in a thread: knows one peer, keeps the events it hears. */
struct udp_tracker {
	struct mutex lock;
	struct wake stop;
	struct thread thread;
	int fd;
	uint16_t port;
	unsigned connects;	/* lock */
	unsigned announces;	/* lock */
	uint32_t events[8];	/* lock */
	char path[32];		/* lock */
};

static size_t
udp_answer(struct udp_tracker *t, const uint8_t *in, size_t n, uint8_t *out)
{
	static const uint8_t peer[6] = {5, 6, 7, 8, 0, 80};
	bool connect = get_u32(in + 8) == 0;

	memset(out, 0, 32);
	put_u32(out, connect ? 0 : 1);
	put_u32(out + 4, get_u32(in + 12));
	mutex_lock(&t->lock);
	if (connect) {
		t->connects++;
	} else {
		if (t->announces < 8)
			t->events[t->announces] = get_u32(in + 80);
		t->announces++;
		if (n > 100)
			snprintf(t->path, sizeof(t->path), "%.*s",
				 (int)(n - 100), (const char *)in + 100);
	}
	mutex_unlock(&t->lock);
	if (connect) {
		put_u64(out + 8, 4711);
		return 16;
	}
	put_u32(out + 8, 1800);
	memcpy(out + 20, peer, sizeof(peer));
	return get_u64(in) == 4711 ? 26 : 0;
}

static void
udp_run(void *arg)
{
	struct udp_tracker *t = arg;
	struct pollfd fds[2] = {{.fd = t->fd, .events = POLLIN},
				{.fd = t->stop.fd, .events = POLLIN}};
	uint8_t in[512], out[64];

	for (;;) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		ssize_t n;
		size_t reply;

		if (poll(fds, 2, -1) < 0 || fds[1].revents)
			return;
		n = recvfrom(t->fd, in, sizeof(in), 0, (void *)&from, &size);
		if (n < 16)
			continue;
		reply = udp_answer(t, in, (size_t)n, out);
		sendto(t->fd, out, reply, 0, (void *)&from, size);
	}
}

static int
udp_start(struct udp_tracker *t)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t size = sizeof(in);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	t->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (t->fd < 0 || bind(t->fd, (void *)&in, sizeof(in)) != 0 ||
	    getsockname(t->fd, (void *)&in, &size) != 0 ||
	    wake_init(&t->stop, NULL) != 0)
		return -1;
	t->port = ntohs(in.sin_port);
	mutex_init(&t->lock);
	return thread_start(&t->thread, "udp tracker", THREAD_STACK_LARGE,
			    udp_run, t, NULL);
}

static void
udp_stop(struct udp_tracker *t)
{
	wake_up(&t->stop);
	thread_join(&t->thread);
	wake_release(&t->stop);
	mutex_release(&t->lock);
	close(t->fd);
}

struct fixture {
	struct loopback http;
	struct loopback http6;	/* at the same port of ::1, if begun */
	struct udp_tracker udp;
	struct iface route;
	struct proxy proxy;
	struct announcer *announcer;
	struct announce *announce;
	char urls[4][128];
	const char *pointers[4];
	uint16_t ports[8];	/* in the order of their coming */
	size_t port_count;
	size_t names;
	bool many;		/* they are those of reply_names */
	bool by_proxy;		/* the names */
	size_t peers;		/* that the callback was given */
	struct addr peer;
	bool stop_from_callback;
	bool paused;
};

static void
give_stats(void *ctx, struct announce_stats *out)
{
	struct fixture *f = ctx;

	out->paused = f->paused;
	out->uploaded = 11;
	out->downloaded = 22;
	out->left = 33;
	out->want_peers = true;
}

static void
take_peers(void *ctx, const struct addr *peers, size_t count)
{
	struct fixture *f = ctx;

	f->peers += count;
	if (f->port_count < 8)
		f->ports[f->port_count++] = peers[0].port;
	f->peer = peers[0];
	if (f->stop_from_callback)
		announce_stop(f->announce);
}

static bool
take_name(void *ctx, const char *host, uint16_t port)
{
	struct fixture *f = ctx;

	if (!f->many) {
		assert_string_equal(host, "localhost");
		assert_in_range(port, 80, 81);
	}
	f->names++;
	return f->by_proxy;
}

static int
setup(void **state)
{
	struct announcer_config config = {.port = 6881};
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f || loopback_start(&f->http, answer) != 0 ||
	    udp_start(&f->udp) != 0)
		return -1;
	f->announcer = announcer_new(&config, NULL, NULL);
	return f->announcer ? 0 : -1;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	announce_free(f->announce);
	announcer_free(f->announcer);
	loopback_stop(&f->http);
	if (f->http6.port)
		loopback_stop(&f->http6);
	udp_stop(&f->udp);
	free(f);
	return 0;
}

/* "/path" is on the HTTP server, "name/path" there by a name that has addresses
 * of both families, "udp/path" on the UDP one, the rest stands for itself. */
static void
set_url(struct fixture *f, size_t i, const char *what)
{
	char *out = f->urls[i];

	f->pointers[i] = out;
	if (what[0] == '/')
		snprintf(out, sizeof(f->urls[i]), "http://127.0.0.1:%u%s",
			 f->http.port, what);
	else if (strncmp(what, "name/", 5) == 0)
		snprintf(out, sizeof(f->urls[i]), "http://localhost:%u%s",
			 f->http.port, what + 4);
	else if (strncmp(what, "udp/", 4) == 0)
		snprintf(out, sizeof(f->urls[i]), "udp://127.0.0.1:%u/%s",
			 f->udp.port, what + 4);
	else
		snprintf(out, sizeof(f->urls[i]), "%s", what);
}

/* All in one tier, in order or not. */
static struct fixture *
start(void **state, const char *a, const char *b)
{
	struct fixture *f = *state;
	size_t size = b ? 2 : 1;
	struct announce_torrent torrent = {.name = "test",
					   .urls = f->pointers,
					   .tier_sizes = &size,
					   .tier_count = a ? 1 : 0};
	struct announce_callbacks callbacks = {
	    .ctx = f, .stats = give_stats, .peers = take_peers,
	    .name = take_name};

	if (a)
		set_url(f, 0, a);
	if (b)
		set_url(f, 1, b);
	memset(torrent.info_hash, 0xff, 20);
	memset(torrent.peer_id, 'p', 20);
	f->announce = announce_new(f->announcer, &torrent, &callbacks, NULL);
	assert_non_null(f->announce);
	announce_start(f->announce);
	return f;
}

static struct announce_status
status_of(struct fixture *f)
{
	struct announce_status s;

	announce_get_status(f->announce, &s);
	return s;
}

#define WAIT_UNTIL(f, condition)                                             \
	do {                                                                 \
		/* The other threads of the test do not end the wait. */    \
		int64_t limit_ = clock_ns() + 10 * CLOCK_S;                  \
									     \
		while (!(condition) && clock_ns() < limit_)                  \
			assert_int_equal(                                    \
			    announcer_wait((f)->announcer, NULL, 0,          \
					   clock_ns() + 20 * CLOCK_MS,       \
					   NULL),                            \
			    0);                                              \
		assert_true(condition);                                      \
	} while (0)

static void
an_http_tracker_gives_peers(void **state)
{
	struct fixture *f = start(state, "/good/announce", NULL);
	char text[ADDR_TEXT_MAX];

	WAIT_UNTIL(f, f->peers == 1);
	assert_string_equal(addr_format(&f->peer, text), "1.2.3.4:6881");
	assert_int_equal(status_of(f).seeds, 3);
	assert_int_equal(status_of(f).working, 1);
	assert_true(loopback_heard(&f->http, 0, "event=started"));
	assert_true(loopback_heard(
	    &f->http, 0, "port=6881&uploaded=11&downloaded=22&left=33&key="));
	assert_true(loopback_heard(&f->http, 0, "numwant=200"));
}

static void
peers_that_have_names_are_looked_up_one_by_one(void **state)
{
	struct fixture *f = start(state, "/named/announce", NULL);

	WAIT_UNTIL(f, f->port_count == 2);
	assert_int_equal(f->names, 3);
	assert_int_equal(f->ports[0], 80);
	assert_int_equal(f->ports[1], 81);
	assert_true(f->peer.family != 0);
}

static void
names_that_are_somebody_elses_are_not_looked_up(void **state)
{
	struct fixture *f = *state;

	f->by_proxy = true;
	start(state, "/named/announce", NULL);
	WAIT_UNTIL(f, f->names == 3);
	/* Nothing is waited for. */
	assert_int_equal(announcer_wait(f->announcer, NULL, 0, 0, NULL), 0);
	assert_int_equal(f->peers, 0);
}

static void
names_may_be_dropped_while_under_way(void **state)
{
	struct fixture *f = start(state, "/named/announce", NULL);

	WAIT_UNTIL(f, f->names == 3);
	announce_stop(f->announce);
	WAIT_UNTIL(f, announce_idle(f->announce));
}

/* Two trackers, the second only when the first has answered; returns once
 * that one has, too. */
static struct fixture *
hear_many_names(void **state, bool looked_up_between, int later_s)
{
	struct fixture *f = *state;
	size_t size = 1, told = 1;
	struct announce_torrent more = {.urls = f->pointers + 1,
					.tier_sizes = &size,
					.tier_count = 1};

	f->many = true;
	assert_int_equal(wake_init(&gate, NULL), 0);
	if (looked_up_between)
		wake_up(&gate);
	start(state, "/many1/announce", NULL);
	if (looked_up_between)
		told += NAMES;
	WAIT_UNTIL(f, f->peers == told);
	assert_int_equal(f->names, NAMES);
	atomic_fetch_add(&ahead_s, later_s);
	set_url(f, 1, "/many2/announce");
	assert_int_equal(announce_add(f->announce, &more, NULL), 0);
	WAIT_UNTIL(f, f->peers > told);
	return f;
}

static void
a_torrents_names_are_16_in_a_minute(void **state)
{
	struct fixture *f = hear_many_names(state, true, 50);

	assert_int_equal(f->names, NAMES);
	wake_release(&gate);
}

static void
a_minute_later_there_are_as_many_names_again(void **state)
{
	struct fixture *f = hear_many_names(state, true, 60);

	assert_int_equal(f->names, 2 * NAMES);
	WAIT_UNTIL(f, f->peers == 2 * (NAMES + 1));
	wake_release(&gate);
}

/* The name server is slow: those of the next minute are not added. */
static void
a_torrent_has_16_names_waiting(void **state)
{
	struct fixture *f = hear_many_names(state, false, 60);

	assert_int_equal(f->names, 2 * NAMES);
	wake_up(&gate);
	WAIT_UNTIL(f, f->peers >= 2 + NAMES);
	/* Nothing is looked up any more. */
	assert_int_equal(announcer_wait(f->announcer, NULL, 0, clock_ns() +
					100 * CLOCK_MS, NULL), 0);
	assert_int_equal(f->peers, 2 + NAMES);
	wake_release(&gate);
}

static void
many_trackers_may_come_later(void **state)
{
	enum { MORE = 40 };
	struct fixture *f = start(state, "/good/announce", NULL);
	char urls[MORE][64];
	const char *pointers[MORE];
	size_t sizes[MORE];
	struct announce_torrent more = {.urls = pointers,
					.tier_sizes = sizes,
					.tier_count = MORE};

	for (size_t i = 0; i < MORE; i++) {
		snprintf(urls[i], sizeof(urls[i]),
			 "http://127.0.0.1:%u/good/announce?%zu", f->http.port,
			 i);
		pointers[i] = urls[i];
		sizes[i] = 1;
	}
	WAIT_UNTIL(f, f->peers == 1);
	assert_int_equal(announce_add(f->announce, &more, NULL), 0);
	WAIT_UNTIL(f, f->peers == 1 + MORE);
	assert_int_equal(status_of(f).working, 1 + MORE);
}

static void
a_udp_tracker_gives_peers(void **state)
{
	struct fixture *f = start(state, "udp/announce?k=v", NULL);
	char text[ADDR_TEXT_MAX];

	WAIT_UNTIL(f, f->peers == 1);
	assert_string_equal(addr_format(&f->peer, text), "5.6.7.8:80");
	mutex_lock(&f->udp.lock);
	assert_int_equal(f->udp.events[0], TRACKER_STARTED);
	assert_string_equal(f->udp.path, "/announce?k=v");
	mutex_unlock(&f->udp.lock);
}

static void
a_tracker_that_is_away_is_passed_over(void **state)
{
	struct fixture *f = start(state, "http://127.0.0.1:1/", "/good/announce");

	WAIT_UNTIL(f, f->peers == 1);
}

static void
a_udp_tracker_that_is_away_is_passed_over(void **state)
{
	struct fixture *f = start(state, "udp://127.0.0.1:1/", "/good/announce");

	WAIT_UNTIL(f, f->peers == 1);
}

static void
a_udp_port_where_nobody_listens_fails_at_once(void **state)
{
	struct fixture *f = start(state, "udp://127.0.0.1:1/", NULL);

	WAIT_UNTIL(f, status_of(f).error[0] != '\0');
	assert_non_null(strstr(status_of(f).error, "Connection refused"));
}

static void
the_reason_of_a_refusal_is_told(void **state)
{
	struct fixture *f = start(state, "/refuse/announce", NULL);

	WAIT_UNTIL(f, status_of(f).error[0] != '\0');
	assert_non_null(
	    strstr(status_of(f).error, "the tracker says 'unknown'"));
	assert_int_equal(status_of(f).working, 0);
}

static void
a_page_that_is_missing_is_told(void **state)
{
	struct fixture *f = start(state, "/nothing/announce", NULL);

	WAIT_UNTIL(f, status_of(f).error[0] != '\0');
	assert_non_null(strstr(status_of(f).error, "it answered 404"));
}

static void
a_failed_announce_comes_back_later(void **state)
{
	struct fixture *f = start(state, "/refuse/announce", NULL);

	WAIT_UNTIL(f, status_of(f).error[0] != '\0');
	assert_int_equal(announcer_wait(f->announcer, NULL, 0, 0, NULL), 0);
	assert_in_range(announcer_next_due(f->announcer) - clock_ns(),
			10 * CLOCK_S, 22 * CLOCK_S);
}

static struct fixture *
start_both(void **state, const char *what)
{
	struct fixture *f = *state;

	if (loopback_start_at(&f->http6, answer, AF_INET6, f->http.port) != 0)
		skip();
	return start(state, what, NULL);
}

static void
a_tracker_that_refuses_paused_hears_no_more_of_it(void **state)
{
	struct fixture *f = *state;

	f->paused = true;
	start(state, "/plain/announce", NULL);
	WAIT_UNTIL(f, f->peers == 1);
	assert_string_equal(status_of(f).error, "");
	assert_true(loopback_heard(&f->http, 0, "event=paused"));
	assert_true(loopback_heard(&f->http, 1, "event=started"));
	announce_completed(f->announce);
	WAIT_UNTIL(f, f->peers == 2);
	assert_true(loopback_heard(&f->http, 2, "event=completed"));
	announce_stop(f->announce);
	WAIT_UNTIL(f, announce_idle(f->announce));
	assert_true(loopback_heard(&f->http, 3, "event=stopped"));
	assert_int_equal(loopback_count(&f->http), 4);
}

static void
each_family_finds_out_whether_paused_is_refused(void **state)
{
	struct fixture *f = *state;

	f->paused = true;
	start_both(state, "name/plain/announce");
	WAIT_UNTIL(f, f->peers == 2);
	assert_true(loopback_heard(&f->http, loopback_count(&f->http) - 1,
				   "event=started"));
	assert_true(loopback_heard(&f->http6, loopback_count(&f->http6) - 1,
				   "event=started"));
}

/* It is not the event, then. */
static void
who_refuses_without_paused_too_has_refused(void **state)
{
	struct fixture *f = *state;
	struct announce_tracker t;

	f->paused = true;
	start(state, "/refuse/announce", NULL);
	WAIT_UNTIL(f, status_of(f).error[0] != '\0');
	assert_int_equal(loopback_count(&f->http), 2);
	assert_true(announce_get_tracker(f->announce, 0, &t));
	assert_int_equal(t.failures, 1);
}

static void
a_tracker_that_takes_paused_is_told_it_again(void **state)
{
	struct fixture *f = *state;

	f->paused = true;
	start(state, "/good/announce", NULL);
	WAIT_UNTIL(f, f->peers == 1);
	announce_completed(f->announce);
	WAIT_UNTIL(f, f->peers == 2);
	assert_int_equal(loopback_count(&f->http), 2);
	assert_true(loopback_heard(&f->http, 0, "event=paused"));
	assert_true(loopback_heard(&f->http, 1, "event=paused"));
}

static void
stop_tells_the_tracker_and_ends(void **state)
{
	struct fixture *f = start(state, "/good/announce", NULL);

	WAIT_UNTIL(f, f->peers == 1);
	announce_stop(f->announce);
	assert_false(announce_idle(f->announce));
	WAIT_UNTIL(f, announce_idle(f->announce));
	assert_true(loopback_heard(&f->http, 1, "event=stopped"));
	assert_true(loopback_heard(&f->http, 1, "numwant=0&"));
}

static void
stop_over_udp_uses_the_same_connection(void **state)
{
	struct fixture *f = start(state, "udp/", NULL);

	WAIT_UNTIL(f, f->peers == 1);
	announce_stop(f->announce);
	WAIT_UNTIL(f, announce_idle(f->announce));
	mutex_lock(&f->udp.lock);
	assert_int_equal(f->udp.connects, 1);
	assert_int_equal(f->udp.events[1], TRACKER_STOPPED);
	mutex_unlock(&f->udp.lock);
}

static void
completed_is_heard_even_if_stop_follows_at_once(void **state)
{
	struct fixture *f = start(state, "/good/announce", NULL);

	WAIT_UNTIL(f, f->peers == 1);
	announce_completed(f->announce);
	announce_stop(f->announce);
	WAIT_UNTIL(f, announce_idle(f->announce));
	assert_true(loopback_heard(&f->http, 1, "event=completed"));
	assert_true(loopback_heard(&f->http, 2, "event=stopped"));
	assert_int_equal(loopback_count(&f->http), 3);
}

static void
expect_events(struct loopback *l)
{
	assert_int_equal(loopback_count(l), 3);
	assert_true(loopback_heard(l, 0, "event=started"));
	assert_true(loopback_heard(l, 1, "event=completed"));
	assert_true(loopback_heard(l, 2, "event=stopped"));
}

static void
silence_about_completed_does_not_keep_stop_from_being_told(void **state)
{
	struct fixture *f = start(state, "/mute/announce", NULL);

	WAIT_UNTIL(f, f->peers == 1);
	announce_completed(f->announce);
	announce_stop(f->announce);
	WAIT_UNTIL(f, announce_idle(f->announce));
	expect_events(&f->http);
}

static void
stop_is_told_to_a_tracker_that_has_not_answered_yet(void **state)
{
	struct fixture *f = start(state, "/slow/announce", NULL);

	WAIT_UNTIL(f, loopback_count(&f->http) == 1);
	announce_stop(f->announce);
	assert_false(announce_idle(f->announce));
	WAIT_UNTIL(f, announce_idle(f->announce));
	/* It is sent, and not waited for. */
	WAIT_UNTIL(f, loopback_count(&f->http) == 2);
	assert_true(loopback_heard(&f->http, 1, "event=stopped"));
}

static void
who_answers_late_hears_all_in_order(void **state)
{
	struct fixture *f;

	assert_int_equal(wake_init(&late_gate, NULL), 0);
	f = start(state, "/late/announce", NULL);
	WAIT_UNTIL(f, loopback_count(&f->http) == 1);
	announce_completed(f->announce);
	announce_stop(f->announce);
	wake_up(&late_gate);
	WAIT_UNTIL(f, announce_idle(f->announce));
	expect_events(&f->http);
	wake_release(&late_gate);
}

static void
a_name_is_told_over_both_families(void **state)
{
	struct fixture *f = start_both(state, "name/good/announce");

	WAIT_UNTIL(f, f->peers == 2);
	announce_completed(f->announce);
	announce_stop(f->announce);
	WAIT_UNTIL(f, announce_idle(f->announce));
	expect_events(&f->http);
	expect_events(&f->http6);
}

static void
each_family_is_told_its_port(void **state)
{
	struct fixture *f = *state;

	announcer_set_ports(f->announcer, 7001, 7002);
	start_both(state, "name/good/announce");
	WAIT_UNTIL(f, f->peers == 2);
	assert_true(loopback_heard(&f->http, 0, "&port=7001&"));
	assert_true(loopback_heard(&f->http6, 0, "&port=7002&"));
}

static void
a_number_of_ipv6_is_told_the_port_there(void **state)
{
	struct fixture *f = *state;
	char url[64];

	announcer_set_ports(f->announcer, 7001, 7002);
	snprintf(url, sizeof(url), "http://[::1]:%u/good/announce",
		 f->http.port);
	start_both(state, url);
	WAIT_UNTIL(f, f->peers == 1);
	assert_true(loopback_heard(&f->http6, 0, "&port=7002&"));
}

/* The tracker names no minimum: 60 s, instead of 1,800. */
static void
another_port_is_told_early(void **state)
{
	struct fixture *f = start(state, "/good/announce", NULL);
	int64_t due;

	WAIT_UNTIL(f, f->peers == 1);
	due = status_of(f).next_due;
	announcer_set_ports(f->announcer, 6881, 6881);
	assert_true(status_of(f).next_due == due);
	announcer_set_ports(f->announcer, 7001, 6881);
	assert_true(status_of(f).next_due == due - 1740 * CLOCK_S);
}

static void
a_family_that_is_silent_holds_up_no_other(void **state)
{
	struct fixture *f = start_both(state, "name/half/announce");

	WAIT_UNTIL(f, f->peers == 1 && loopback_count(&f->http6) == 1);
	assert_int_equal(status_of(f).working, 1);
	announce_completed(f->announce);
	WAIT_UNTIL(f, f->peers == 2);
	announce_stop(f->announce);
	WAIT_UNTIL(f, loopback_count(&f->http) == 3);
	expect_events(&f->http);
	WAIT_UNTIL(f, announce_idle(f->announce));
	WAIT_UNTIL(f, loopback_count(&f->http6) == 2);
	assert_true(loopback_heard(&f->http6, 1, "event=stopped"));
}

/* IPv6 is behind with `started`, when all else is told over IPv4. */
static void
a_family_that_is_late_hears_all_in_order(void **state)
{
	struct fixture *f;

	assert_int_equal(wake_init(&late_gate, NULL), 0);
	f = start_both(state, "name/good/late6/announce");
	WAIT_UNTIL(f, loopback_count(&f->http) == 1 &&
			  loopback_count(&f->http6) == 1);
	announce_completed(f->announce);
	announce_stop(f->announce);
	wake_up(&late_gate);
	WAIT_UNTIL(f, announce_idle(f->announce));
	expect_events(&f->http);
	expect_events(&f->http6);
	wake_release(&late_gate);
}

static void
a_failure_over_both_families_is_one(void **state)
{
	struct fixture *f = start_both(state, "name/refuse/announce");
	struct announce_tracker t;

	WAIT_UNTIL(f, status_of(f).error[0] != '\0');
	assert_int_equal(loopback_count(&f->http), 1);
	assert_int_equal(loopback_count(&f->http6), 1);
	assert_true(announce_get_tracker(f->announce, 0, &t));
	assert_int_equal(t.failures, 1);
	assert_false(t.busy);
}

/* What is said over IPv6 is another thing, and comes later. */
static void
when_to_come_back_is_kept_with_the_reason(void **state)
{
	struct fixture *f = start_both(state, "name/tired/late6/announce");
	struct announce_tracker t;

	WAIT_UNTIL(f, status_of(f).error[0] != '\0');
	assert_int_equal(loopback_count(&f->http6), 1);
	assert_non_null(
	    strstr(status_of(f).error, "the tracker says 'unknown'"));
	assert_true(announce_get_tracker(f->announce, 0, &t));
	assert_true(t.next_due > clock_ns() + 3000 * CLOCK_S);
}

/* Over IPv6 nobody is there: that is not the reason that is told. */
static void
the_reason_of_who_is_there_is_told(void **state)
{
	struct fixture *f = start(state, "name/refuse/announce", NULL);

	WAIT_UNTIL(f, status_of(f).error[0] != '\0');
	assert_non_null(
	    strstr(status_of(f).error, "the tracker says 'unknown'"));
}

/* It has let nobody connect, so it heard no announce. */
static void
stop_does_not_wait_for_a_tracker_that_heard_nothing(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(in);
	struct fixture *f;
	struct pollfd heard = {.events = POLLIN};
	char url[64];

	assert_int_equal(bind(fd, (struct sockaddr *)&in, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
	snprintf(url, sizeof(url), "udp://127.0.0.1:%u/", ntohs(in.sin_port));
	f = start(state, url, NULL);
	heard.fd = fd;
	WAIT_UNTIL(f, poll(&heard, 1, 0) > 0);
	announce_stop(f->announce);
	assert_true(announce_idle(f->announce));
	close(fd);
}

static void
the_peers_callback_may_stop_the_announce(void **state)
{
	struct fixture *f = *state;

	f->stop_from_callback = true;
	start(state, "udp/", NULL);
	WAIT_UNTIL(f, f->peers == 1 && announce_idle(f->announce));
}

static void
both_kinds_may_be_freed_while_under_way(void **state)
{
	struct fixture *f = start(state, "/silent/announce", NULL);

	WAIT_UNTIL(f, loopback_count(&f->http) == 1);
	announce_free(f->announce);
	start(state, "udp/", NULL);
	assert_int_equal(announcer_wait(f->announcer, NULL, 0, 0, NULL), 0);
}

static void
a_warning_is_no_failure(void **state)
{
	struct fixture *f = start(state, "/warn/announce", NULL);

	WAIT_UNTIL(f, status_of(f).working == 1);
	assert_string_equal(status_of(f).error, "");
}

static void
each_tracker_can_be_looked_at(void **state)
{
	struct fixture *f = start(state, "/good/announce?passkey=secret", NULL);
	struct announce_tracker t;

	WAIT_UNTIL(f, f->peers == 1);
	assert_true(announce_get_tracker(f->announce, 0, &t));
	assert_null(strstr(t.url, "secret"));
	assert_true(t.working);
	assert_false(announce_get_tracker(f->announce, 1, &t));
}

/* Over IPv6 nobody is there. */
static void
a_tracker_of_both_families_answers_over_one(void **state)
{
	struct fixture *f = *state;
	char url[64];

	snprintf(url, sizeof(url), "udp://localhost:%u/", f->udp.port);
	start(state, url, NULL);
	WAIT_UNTIL(f, f->peers == 1);
	assert_int_equal(status_of(f).working, 1);
}

static void
leave_through(struct fixture *f, const char *interface)
{
	struct announcer_config config = {.port = 6881, .route = &f->route};

	assert_int_equal(iface_set(&f->route, interface, NULL), 0);
	announcer_free(f->announcer);
	f->announcer = announcer_new(&config, NULL, NULL);
	assert_non_null(f->announcer);
}

static void
an_interface_that_is_there_is_used(void **state)
{
	struct fixture *f = *state;

	leave_through(f, "127.0.0.1");
	start(state, "/good/announce", NULL);
	WAIT_UNTIL(f, f->peers == 1);
	announce_free(f->announce);
	start(state, "udp/", NULL);
	WAIT_UNTIL(f, f->peers == 2);
}

/* 192.0.2.0/24 is for documents only (RFC 5737). */
static void
nothing_leaves_when_the_interface_is_gone(void **state)
{
	struct fixture *f = *state;

	leave_through(f, "192.0.2.1");
	start(state, "/good/announce", "udp/");
	WAIT_UNTIL(f, status_of(f).error[0] != '\0' &&
			  status_of(f).busy == 0);
	assert_int_equal(f->peers, 0);
	assert_int_equal(loopback_count(&f->http), 0);
	assert_int_equal(f->udp.connects, 0);
}

static void
nothing_is_begun_while_the_interface_is_away(void **state)
{
	struct fixture *f = *state;

	leave_through(f, "127.0.0.1");
	iface_note(&f->route, true);
	start(state, "/good/announce", NULL);
	assert_true(announcer_next_due(f->announcer) == CLOCK_NEVER);
	for (int i = 0; i < 3; i++)
		announcer_wait(f->announcer, NULL, 0, clock_ns(), NULL);
	assert_int_equal(status_of(f).busy, 0);
	iface_note(&f->route, false);
	announcer_rebind(f->announcer);
	WAIT_UNTIL(f, f->peers == 1);
	assert_int_equal(loopback_count(&f->http), 1);
}

/* The HTTP server stands for the proxy: it is asked for a whole URL. */
static void
behind_a_proxy_no_udp_tracker_is_asked(void **state)
{
	struct fixture *f = *state;
	struct announcer_config config = {.proxy = &f->proxy};
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", f->http.port);
	assert_int_equal(proxy_set(&f->proxy, url, NULL), 0);
	announcer_free(f->announcer);
	f->announcer = announcer_new(&config, NULL, NULL);
	assert_non_null(f->announcer);
	start(state, "http://tracker.invalid/good/announce", "udp/");
	assert_int_equal(status_of(f).trackers, 1);
	WAIT_UNTIL(f, loopback_count(&f->http) == 1);
	assert_true(loopback_heard(&f->http, 0,
				   "GET http://tracker.invalid/good/"));
	/* Nobody can reach us. */
	assert_true(loopback_heard(&f->http, 0, "&port=49151&"));
	assert_int_equal(f->udp.connects, 0);
}

static void
the_wait_ends_for_the_callers_fd(void **state)
{
	struct fixture *f = start(state, NULL, NULL);
	struct wake wake;
	struct pollfd fd = {.events = POLLIN};

	assert_int_equal(wake_init(&wake, NULL), 0);
	wake_up(&wake);
	fd.fd = wake.fd;
	assert_int_equal(announcer_wait(f->announcer, &fd, 1, CLOCK_NEVER,
					NULL),
			 0);
	assert_int_equal(fd.revents, POLLIN);
	wake_release(&wake);
}

static void
without_trackers_the_wait_ends_at_the_deadline(void **state)
{
	struct fixture *f = start(state, NULL, NULL);
	int64_t deadline = clock_ns() + 20 * CLOCK_MS;

	assert_true(announcer_next_due(f->announcer) == CLOCK_NEVER);
	while (clock_ns() < deadline)
		assert_int_equal(announcer_wait(f->announcer, NULL, 0,
						deadline, NULL),
				 0);
	assert_true(clock_ns() < deadline + 5 * CLOCK_S);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_http_tracker_gives_peers),
	    TEST(peers_that_have_names_are_looked_up_one_by_one),
	    TEST(names_that_are_somebody_elses_are_not_looked_up),
	    TEST(names_may_be_dropped_while_under_way),
	    TEST(a_torrents_names_are_16_in_a_minute),
	    TEST(a_minute_later_there_are_as_many_names_again),
	    TEST(a_torrent_has_16_names_waiting),
	    TEST(many_trackers_may_come_later),
	    TEST(a_udp_tracker_gives_peers),
	    TEST(a_tracker_that_is_away_is_passed_over),
	    TEST(a_udp_tracker_that_is_away_is_passed_over),
	    TEST(a_udp_port_where_nobody_listens_fails_at_once),
	    TEST(the_reason_of_a_refusal_is_told),
	    TEST(a_page_that_is_missing_is_told),
	    TEST(a_failed_announce_comes_back_later),
	    TEST(a_tracker_that_refuses_paused_hears_no_more_of_it),
	    TEST(each_family_finds_out_whether_paused_is_refused),
	    TEST(who_refuses_without_paused_too_has_refused),
	    TEST(a_tracker_that_takes_paused_is_told_it_again),
	    TEST(stop_tells_the_tracker_and_ends),
	    TEST(stop_over_udp_uses_the_same_connection),
	    TEST(completed_is_heard_even_if_stop_follows_at_once),
	    TEST(silence_about_completed_does_not_keep_stop_from_being_told),
	    TEST(stop_is_told_to_a_tracker_that_has_not_answered_yet),
	    TEST(who_answers_late_hears_all_in_order),
	    TEST(a_name_is_told_over_both_families),
	    TEST(each_family_is_told_its_port),
	    TEST(a_number_of_ipv6_is_told_the_port_there),
	    TEST(another_port_is_told_early),
	    TEST(a_family_that_is_silent_holds_up_no_other),
	    TEST(a_family_that_is_late_hears_all_in_order),
	    TEST(a_failure_over_both_families_is_one),
	    TEST(when_to_come_back_is_kept_with_the_reason),
	    TEST(the_reason_of_who_is_there_is_told),
	    TEST(stop_does_not_wait_for_a_tracker_that_heard_nothing),
	    TEST(the_peers_callback_may_stop_the_announce),
	    TEST(both_kinds_may_be_freed_while_under_way),
	    TEST(a_warning_is_no_failure),
	    TEST(each_tracker_can_be_looked_at),
	    TEST(a_tracker_of_both_families_answers_over_one),
	    TEST(an_interface_that_is_there_is_used),
	    TEST(nothing_leaves_when_the_interface_is_gone),
	    TEST(nothing_is_begun_while_the_interface_is_away),
	    TEST(behind_a_proxy_no_udp_tracker_is_asked),
	    TEST(the_wait_ends_for_the_callers_fd),
	    TEST(without_trackers_the_wait_ends_at_the_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
