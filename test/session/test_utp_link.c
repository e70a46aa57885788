/*
 * Two links with nothing between them but a list of packets; time is what
 * the test says it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/utp.h"
#include "session/listener.h"
#include "session/utp_link.h"

#define FDS 400
#define OWNER 9

struct packet {
	struct packet *next;
	size_t size;
	uint8_t data[];
};

struct world;

struct side {
	struct world *world;
	struct utp_link *link;
	struct addr addr;
	int fds[FDS];		/* what came out of it */
	unsigned count;
	unsigned failed;
	unsigned told;		/* that one is unheard, or not */
	bool unheard;
	int sys;
};

struct world {
	struct side side[2];
	struct packet *first[2];	/* on the way to this side */
	struct packet **last[2];
	bool cut;
	int64_t now;
};

static void
send_packet(void *ctx, const struct addr *to, const void *data, size_t n)
{
	struct side *s = ctx;
	struct world *w = s->world;
	int other = s == &w->side[0];
	struct packet *p;

	assert_true(addr_equal(to, &w->side[other].addr));
	if (w->cut)
		return;
	p = malloc(sizeof(*p) + n);
	assert_non_null(p);
	p->next = NULL;
	p->size = n;
	memcpy(p->data, data, n);
	*w->last[other] = p;
	w->last[other] = &p->next;
}

static void
incoming(void *ctx, int fd, const struct addr *from)
{
	struct side *s = ctx;

	assert_int_equal(from->port, 1000);
	assert_true(s->count < FDS);
	s->fds[s->count++] = fd;
}

static void
dialled(void *ctx, uint32_t owner, const struct addr *to, int fd, int sys)
{
	struct side *s = ctx;

	assert_int_equal(owner, OWNER);
	assert_int_equal(to->port, 1001);
	if (fd < 0) {
		s->failed++;
		s->sys = sys;
		return;
	}
	s->fds[s->count++] = fd;
}

static void
unheard(void *ctx, const struct addr *with, bool unheard)
{
	struct side *s = ctx;

	assert_int_equal(with->port, s == &s->world->side[0] ? 1001 : 1000);
	assert_true(unheard != s->unheard);
	s->unheard = unheard;
	s->told++;
}

static void
begin(struct world *w, size_t max)
{
	memset(w, 0, sizeof(*w));
	w->now = 1000 * CLOCK_S;
	for (int i = 0; i < 2; i++) {
		struct side *s = &w->side[i];
		struct utp_link_config config = {
			.ctx = s, .send = send_packet, .incoming = incoming,
			.dialled = dialled, .unheard = unheard, .max = max};

		s->world = w;
		s->addr = (struct addr){.family = AF_INET,
					.port = (uint16_t)(1000 + i),
					.ip = {10, 0, 0, 1}};
		s->link = utp_link_new(&config);
		assert_non_null(s->link);
		w->last[i] = &w->first[i];
	}
}

static void
end(struct world *w)
{
	w->cut = true;
	for (int i = 0; i < 2; i++) {
		struct side *s = &w->side[i];

		for (unsigned k = 0; k < s->count; k++)
			if (s->fds[k] >= 0)
				close(s->fds[k]);
		utp_link_free(s->link, w->now);
		while (w->first[i]) {
			struct packet *p = w->first[i];

			w->first[i] = p->next;
			free(p);
		}
	}
}

static bool
never(void *ctx)
{
	(void)ctx;
	return false;
}

static void
beat(struct side *s)
{
	struct world *w = s->world;
	int i = s == &w->side[1];
	struct pollfd *fds;
	size_t n;

	while (w->first[i]) {
		struct packet *p = w->first[i];

		w->first[i] = p->next;
		if (!p->next)
			w->last[i] = &w->first[i];
		utp_link_packet(s->link, &w->side[!i].addr, p->data, p->size,
				w->now);
		free(p);
	}
	utp_link_serve(s->link, w->now, never);
	fds = utp_link_poll(s->link, 0, &n);
	assert_true(fds || n == 0);
	if (n > 0 && poll(fds, n, 0) > 0)
		utp_link_ready(s->link, fds, n, w->now);
	utp_link_serve(s->link, w->now, never);
}

static void
run(struct world *w, int64_t span)
{
	int64_t until = w->now + span;

	for (; w->now < until; w->now += 5 * CLOCK_MS) {
		beat(&w->side[0]);
		beat(&w->side[1]);
	}
}

/* A connection from the first to the second, and its one descriptor. */
static int
dial(struct world *w)
{
	unsigned before = w->side[0].count;

	utp_link_dial(w->side[0].link, OWNER, &w->side[1].addr, w->now);
	run(w, 30 * CLOCK_MS);
	assert_int_equal(w->side[0].count, before + 1);
	return w->side[0].fds[before];
}

static void
say(int fd, size_t n)
{
	uint8_t data[4096];

	memset(data, 'x', sizeof(data));
	assert_int_equal(send(fd, data, n, MSG_NOSIGNAL), n);
}

static bool
has_ended(int fd)
{
	uint8_t byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void
a_call_comes_out_at_the_other_end(void **state)
{
	uint8_t data[200];
	struct world w;
	int fd;

	(void)state;
	begin(&w, 8);
	fd = dial(&w);
	say(fd, 100);
	run(&w, CLOCK_S);
	assert_int_equal(w.side[1].count, 1);
	assert_int_equal(recv(w.side[1].fds[0], data, 200, 0), 100);
	say(w.side[1].fds[0], 70);
	run(&w, CLOCK_S);
	assert_int_equal(recv(fd, data, 200, 0), 70);
	/* Its last words arrive though it has gone. */
	say(fd, 33);
	close(fd);
	w.side[0].fds[0] = -1;
	run(&w, CLOCK_S);
	assert_int_equal(recv(w.side[1].fds[0], data, 200, 0), 33);
	assert_true(has_ended(w.side[1].fds[0]));
	assert_false(utp_link_owes(w.side[0].link));
	end(&w);
}

static void
what_does_not_arrive_is_told_and_what_does_again(void **state)
{
	struct world w;
	int fd;

	(void)state;
	begin(&w, 8);
	fd = dial(&w);
	say(fd, 100);
	run(&w, CLOCK_S);
	w.cut = true;
	run(&w, 5 * CLOCK_S);
	assert_int_equal(w.side[0].told, 0);	/* nothing was said */
	say(fd, 10);
	run(&w, CLOCK_S);
	assert_int_equal(w.side[0].told, 0);	/* one may be lost */
	run(&w, 5 * CLOCK_S);
	assert_int_equal(w.side[0].told, 1);
	assert_true(w.side[0].unheard);
	w.cut = false;
	run(&w, 15 * CLOCK_S);
	assert_int_equal(w.side[0].told, 2);
	assert_int_equal(w.side[1].told, 0);
	end(&w);
}

static void
who_says_too_little_is_sent_away(void **state)
{
	struct world w;
	int fd;

	(void)state;
	begin(&w, 8);
	fd = dial(&w);
	say(fd, LISTENER_PREFIX - 1);
	run(&w, 9 * CLOCK_S);
	assert_int_equal(w.side[1].count, 0);
	assert_false(has_ended(fd));
	run(&w, 2 * CLOCK_S);
	assert_true(has_ended(fd));
	assert_int_equal(w.side[1].count, 0);
	end(&w);
}

static void
nobody_there_is_told_once(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 8);
	w.cut = true;
	utp_link_dial(w.side[0].link, OWNER, &w.side[1].addr, w.now);
	run(&w, 10 * CLOCK_S);
	assert_int_equal(w.side[0].failed, 1);
	assert_int_equal(w.side[0].sys, ETIMEDOUT);
	end(&w);
}

static void
one_too_many_is_told_at_once(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 2);
	(void)dial(&w);
	(void)dial(&w);
	utp_link_dial(w.side[0].link, OWNER, &w.side[1].addr, w.now);
	assert_int_equal(w.side[0].failed, 1);
	assert_int_equal(w.side[0].sys, ENOBUFS);
	end(&w);
}

/* And again as soon as those who do not answer are given up. */
static void
our_own_calls_leave_half_of_the_places(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 10);
	w.cut = true;
	for (int i = 0; i < 6; i++)
		utp_link_dial(w.side[0].link, OWNER, &w.side[1].addr, w.now);
	assert_int_equal(w.side[0].failed, 1);
	assert_int_equal(w.side[0].sys, ENOBUFS);
	run(&w, 4 * CLOCK_S);
	assert_int_equal(w.side[0].failed, 6);
	w.cut = false;
	for (int i = 0; i < 8; i++)
		(void)dial(&w);
	end(&w);
}

/* What nobody takes fills two windows and the sockets' buffers, and is not
 * read from then on. */
static void
who_does_not_take_holds_the_other_up(void **state)
{
	uint8_t data[65536] = {0};
	uint64_t written = 0, taken = 0;
	struct world w;
	ssize_t n;
	int fd;

	(void)state;
	begin(&w, 8);
	fd = dial(&w);
	for (int i = 0; i < 400; i++) {
		while ((n = send(fd, data, sizeof(data),
				 MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
			written += (uint64_t)n;
		run(&w, 20 * CLOCK_MS);
	}
	assert_int_equal(w.side[1].count, 1);
	assert_true(written > UTP_WINDOW_MAX / 2);
	assert_true(written < 4 * UTP_WINDOW_MAX);
	for (int i = 0; i < 400; i++) {
		while ((n = recv(w.side[1].fds[0], data, sizeof(data),
				 MSG_DONTWAIT)) > 0)
			taken += (uint64_t)n;
		run(&w, 20 * CLOCK_MS);
	}
	assert_int_equal(taken, written);
	end(&w);
}

/* Its window stays shut, and it says so each time it is asked: that keeps no
 * place of ours for ever. */
static void
who_never_takes_what_was_left_to_it_is_dropped(void **state)
{
	uint8_t data[65536] = {0};
	struct world w;
	int fd;

	(void)state;
	begin(&w, 8);
	fd = dial(&w);
	for (int i = 0; i < 400; i++) {
		while (send(fd, data, sizeof(data),
			    MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
			;
		run(&w, 20 * CLOCK_MS);
	}
	close(fd);
	w.side[0].fds[0] = -1;
	run(&w, 59 * CLOCK_S);
	assert_true(utp_link_owes(w.side[0].link));
	assert_true(utp_link_due(w.side[0].link) <= w.now + CLOCK_S);
	run(&w, 2 * CLOCK_S);
	assert_false(utp_link_owes(w.side[0].link));
	assert_int_equal(w.side[0].told, 0);
	end(&w);
}

/* The one that has waited longest makes room. */
static void
only_so_many_may_be_silent(void **state)
{
	struct world w;
	int first;

	(void)state;
	begin(&w, 2000);
	first = dial(&w);
	say(first, 1);
	run(&w, 30 * CLOCK_MS);
	for (int i = 0; i < 255; i++) {
		say(dial(&w), 1);
		if (i == 250)
			assert_false(has_ended(first));
	}
	say(dial(&w), 1);
	run(&w, 100 * CLOCK_MS);
	assert_true(has_ended(first));
	assert_false(has_ended(w.side[0].fds[256]));
	assert_int_equal(w.side[1].count, 0);
	end(&w);
}

static void
where_places_are_few_fewer_may_be_silent(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 40);
	for (int i = 0; i < 11; i++) {
		assert_true(i < 10 || !has_ended(w.side[0].fds[0]));
		say(dial(&w), 1);
		run(&w, 30 * CLOCK_MS);
	}
	run(&w, 100 * CLOCK_MS);
	assert_true(has_ended(w.side[0].fds[0]));
	assert_false(has_ended(w.side[0].fds[1]));
	end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_comes_out_at_the_other_end),
		cmocka_unit_test(what_does_not_arrive_is_told_and_what_does_again),
		cmocka_unit_test(who_says_too_little_is_sent_away),
		cmocka_unit_test(nobody_there_is_told_once),
		cmocka_unit_test(one_too_many_is_told_at_once),
		cmocka_unit_test(our_own_calls_leave_half_of_the_places),
		cmocka_unit_test(who_does_not_take_holds_the_other_up),
		cmocka_unit_test(
		    who_never_takes_what_was_left_to_it_is_dropped),
		cmocka_unit_test(only_so_many_may_be_silent),
		cmocka_unit_test(where_places_are_few_fewer_may_be_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
