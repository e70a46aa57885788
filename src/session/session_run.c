/*
 * The main thread's loop: signals, what is due, and one wait for all the rest.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "discover/announce.h"
#include "discover/blocklist.h"
#include "net/names.h"
#include "session/exit.h"
#include "session/hooks.h"
#include "session/readers.h"
#include "session/session_parts.h"
#include "session/watch.h"

#define GIVEN_MAX 1024		/* addresses of -P */
#define GIVEN_AGAIN (15 * 60 * CLOCK_S)	/* names may lead elsewhere by then */
#define COMMANDS_HAVE (5 * CLOCK_S)	/* once a signal has come */

/* ---- -P ---- */

/* False when it was there already, or cannot be kept. */
static bool
remember_given(struct session *s, const struct addr *a)
{
	struct addr *more;

	for (size_t i = 0; i < s->given_count; i++)
		if (addr_equal(&s->given[i], a))
			return false;
	if (s->given_count == GIVEN_MAX)
		return false;
	more = realloc(s->given, (s->given_count + 1) * sizeof(*more));
	if (!more)
		return false;
	more[s->given_count++] = *a;
	s->given = more;
	return true;
}

static void
on_resolved(void *ctx, const struct addr *addrs, size_t count,
	    const struct error *e, unsigned failures)
{
	struct session *s = ctx;
	char text[ADDR_TEXT_MAX];

	if (failures > 0)
		log_write(s->log, failures == 1 && !s->names_again
				  ? LOG_WARNING : LOG_DETAIL,
			  NULL, "%s", e->text);
	for (size_t i = 0; i < count; i++) {
		if (!remember_given(s, &addrs[i]))
			continue;
		if (blocklist_has(s->blocklist, &addrs[i]))
			log_write(s->log, LOG_WARNING, NULL, "%s is on the "
				  "blocklist", addr_format(&addrs[i], text));
		for (size_t k = 0; k < s->count; k++)
			torrent_add_peer(s->torrents[k], &addrs[i]);
	}
}

/* False when nobody else looks it up. */
static bool
name_peer(struct session *s, const struct session_peer *p)
{
	char text[ADDR_TEXT_MAX];
	struct addr a;

	if (!listener_name(s->listener, p->host, p->port, &a))
		return false;
	if (a.family == 0) {
		log_write(s->log, LOG_WARNING, NULL, "%s: too many names",
			  p->host);
		return true;
	}
	log_write(s->log, LOG_DETAIL, NULL, "the proxy looks up %s, which is "
		  "shown as %s", p->host, addr_format(&a, text));
	on_resolved(s, &a, 1, NULL, 0);
	return true;
}

static void
resolve_peers(struct session *s)
{
	struct error e;

	for (size_t i = 0; i < s->config->peer_count; i++) {
		const struct session_peer *p = &s->config->peers[i];

		if (name_peer(s, p))
			continue;
		if (names_add(s->names, p->host, p->port, &e) < 0)
			log_write(s->log, LOG_WARNING, NULL, "%s", e.text);
	}
}

/* ---- running ---- */

void
session_interrupt(struct session *s, int signal)
{
	atomic_store(&s->signal, signal);
	wake_up(&s->stop);
	wake_up(&s->wake);
}

void
session_reopen_log(struct session *s)
{
	atomic_store(&s->reopen, true);
	wake_up(&s->wake);
}

static void
follow_signal(struct session *s)
{
	int signal = atomic_exchange(&s->signal, 0);
	char reason[64];
	struct error e;

	if (atomic_exchange(&s->reopen, false) && log_reopen(s->log, &e) < 0)
		log_write(s->log, LOG_WARNING, NULL, "%s", e.text);
	if (signal == 0)
		return;
	s->ended_by = signal;
	s->commands_until = clock_ns() + COMMANDS_HAVE;
	snprintf(reason, sizeof(reason), "stopped by signal %d", signal);
	for (size_t i = 0; i < s->count; i++)
		torrent_stop(s->torrents[i], EXIT_SIGNAL + signal, reason);
	outside_stop(s->outside);
}

static bool
any_online(const struct session *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (torrent_online(s->torrents[i]))
			return true;
	return false;
}

/* Where all is complete, not even a name is looked up.  A proxy looks names up
 * for each connection. */
static int64_t
mind_given_peers(struct session *s, int64_t now)
{
	struct error e;

	if (s->config->peer_count == 0 || !any_online(s))
		return CLOCK_NEVER;
	if (!s->names) {
		s->names = names_new(announcer_resolver(s->announcer), s,
				     on_resolved, s, &e);
		if (!s->names)
			return CLOCK_NEVER;
		resolve_peers(s);
		s->names_at = now + GIVEN_AGAIN;
	}
	if (now >= s->names_at && session_goes_direct(s)) {
		s->names_again = true;
		resolve_peers(s);
	}
	if (now >= s->names_at)
		s->names_at = now + GIVEN_AGAIN;
	return clock_min(names_mind(s->names, now), s->names_at);
}

/* The router lets our port in, once there is something to be had there. */
static void
mind_port(struct session *s)
{
	uint16_t port;

	/* Port 0, of who may not listen, would stand for all ports. */
	if (s->config->use_portmap && !s->outside_begun &&
	    session_goes_direct(s) && any_online(s) &&
	    listener_port(s->listener) != 0) {
		s->outside_begun = true;
		s->outside = outside_new(listener_port(s->listener), s->route,
					 &s->wake, s->log);
	}
	if (!s->outside || !outside_news(s->outside, &s->news))
		return;
	port = s->news.tcp_port ? s->news.tcp_port
				: listener_port(s->listener);
	announcer_set_ports(s->announcer, port, listener_port(s->listener));
	/* Without an address of the Internet there is another router behind
	 * that one, and nobody gets in. */
	if (s->udp)
		udp_mapped(s->udp, s->news.udp_port != 0 &&
				       s->news.external_ip.family != 0);
	for (size_t i = 0; i < s->count; i++)
		torrent_set_outside(s->torrents[i], &s->news.external_ip,
				    port);
}

/* When the next tick is due; *ended when there is none.  They come in their
 * order, but while there are too few places in the queue of dials, of which
 * whoever is first gets more: then each in turn is. */
static int64_t
tick_all(struct session *s, bool *ended)
{
	int64_t now = clock_ns(), due = CLOCK_NEVER;
	size_t first = s->count > 0 ? s->turn % s->count : 0;
	unsigned sharers = 0;
	bool crowded = false;

	*ended = true;
	for (size_t i = 0; i < s->count; i++) {
		struct torrent *t = s->torrents[(first + i) % s->count];

		due = clock_min(due, torrent_tick(t, now));
		*ended = *ended && torrent_ended(t);
		sharers += torrent_is_asked(t);
		crowded = crowded || torrent_waits_to_dial(t, now);
	}
	s->up_sharers = sharers;
	s->turn = crowded ? s->turn + 1 : 0;
	return due;
}

/* They are to come to an end as well, and run again the next time. */
static int64_t
mind_commands(struct session *s, int64_t now)
{
	if (!s->ended_by || hooks_idle(s->hooks))
		return CLOCK_NEVER;
	if (now >= s->commands_until) {
		hooks_abandon(s->hooks);
		s->commands_until = CLOCK_NEVER;
	}
	return s->commands_until;
}

/* Files that appeared; until it is to end. */
static bool
is_watching(const struct session *s)
{
	return s->watch && !s->ended_by;
}

/* For torrents to come. */
static bool
is_waiting(const struct session *s)
{
	return is_watching(s) || !readers_idle(s->readers);
}

/* The main thread's one wait. */
static int
wait_for_news(struct session *s, int64_t due, struct error *e)
{
	struct pollfd fds[4] = {{.fd = s->wake.fd, .events = POLLIN}};
	size_t n = 1;

	if (s->hooks && hooks_fd(s->hooks) >= 0)
		fds[n++] = (struct pollfd){.fd = hooks_fd(s->hooks),
					   .events = POLLIN};
	if (s->route_fd >= 0 && clock_ns() >= s->route_rest)
		fds[n++] = (struct pollfd){.fd = s->route_fd,
					   .events = POLLIN};
	if (is_watching(s)) {
		due = clock_min(due, watch_due(s->watch));
		if (watch_fd(s->watch) >= 0)
			fds[n++] = (struct pollfd){.fd = watch_fd(s->watch),
						   .events = POLLIN};
	}
	if (announcer_wait(s->announcer, fds, n, due, e) < 0)
		return -1;
	if (fds[0].revents)
		wake_drain(&s->wake);
	if (s->hooks)
		hooks_receive(s->hooks);
	return 0;
}

static int
run(struct session *s, struct error *e)
{
	for (;;) {
		bool ended;
		int64_t due;

		follow_signal(s);
		session_mind_sleep(s);
		if (is_watching(s))
			watch_look(s->watch, clock_ns(), session_take, s);
		session_take_read(s);
		due = tick_all(s, &ended);
		if (session_begin_anew(s))
			continue;
		if (s->watch)
			due = clock_min(due, session_let_go(s, clock_ns()));
		ended = ended && !is_waiting(s);
		if (ended && hooks_idle(s->hooks))
			return 0;
		if (ended)
			outside_stop(s->outside);
		due = clock_min(due, session_route_mind(s, any_online(s)));
		due = clock_min(due, session_reach_mind(s, any_online(s)));
		due = clock_min(due, session_uplink_mind(s, clock_ns()));
		due = clock_min(due, mind_given_peers(s, clock_ns()));
		due = clock_min(due, mind_commands(s, clock_ns()));
		mind_port(s);
		if (wait_for_news(s, due, e) < 0)
			return -1;
	}
}

/* Nobody had it, or not all of it; but it was begun anew, or is complete by
 * another of its hashes. */
static bool
is_made_up_for(const struct session *s, const struct torrent *t)
{
	int code = torrent_exit_code(t);

	if (code != EXIT_NO_PEERS && code != EXIT_INCOMPLETE)
		return false;
	if (torrent_gave_way(t))
		return true;
	for (size_t i = 0; i < s->count; i++) {
		const struct torrent *other = s->torrents[i];

		code = torrent_exit_code(other);
		if (other != t && torrent_same(other, t) &&
		    !torrent_gave_way(other) &&
		    (code == EXIT_COMPLETE || code == EXIT_HOOK) &&
		    torrent_does_for(other, t))
			return true;
	}
	return false;
}

int
session_run(struct session *s)
{
	int code = EXIT_COMPLETE;
	struct error e;

	if (s->count == 0 && hooks_idle(s->hooks) && !s->watch &&
	    readers_idle(s->readers))
		return s->code;
	if (s->watch)
		log_write(s->log, LOG_NOTICE, NULL, "watching '%s'",
			  s->config->watch);
	if (run(s, &e) < 0) {
		log_write(s->log, LOG_ERROR, NULL, "%s", e.text);
		code = EXIT_INTERNAL;
	} else if (s->watch) {
		/* That is the one way in which watching ends. */
		return EXIT_SIGNAL + s->ended_by;
	}
	code = exit_merge(code, s->code);
	if (s->cut) {
		follow_signal(s);	/* it may have come just now */
		code = exit_merge(code, EXIT_SIGNAL + s->ended_by);
	}
	for (size_t i = 0; i < s->count; i++)
		if (!is_made_up_for(s, s->torrents[i]))
			code = exit_merge(code,
					  torrent_exit_code(s->torrents[i]));
	return code;
}
