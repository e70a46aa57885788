/*
 * -i and --proxy: what all traffic leaves by, and what it goes through.
 *
 * The interface is watched: when it goes, nothing is tried any more until it
 * is back (whatever is tried all the same fails, see net/iface); when it is
 * back, or is another one, sockets are made anew, and so are connections.
 */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "discover/announce.h"
#include "net/nameserver.h"
#include "net/proxy.h"
#include "net/resolve.h"
#include "session/outside.h"
#include "session/session_parts.h"

#define LOOK_EACH (5 * CLOCK_S)		/* where nobody tells of changes */
#define REST (200 * CLOCK_MS)		/* they come several at a time */
#define RESOLVE_AGAIN (30 * CLOCK_S)

/* ---- at the start ---- */

static int
begin_interface(struct session *s, struct error *e)
{
	/* Before the first look, so that no change falls between. */
	s->route_fd = iface_watch();
	if (!s->config->interface)
		return 0;
	if (iface_set(&s->route_given, s->config->interface, e) < 0 ||
	    iface_check(&s->route_given, e) < 0)
		return -1;
	s->route = &s->route_given;
	s->route_due = s->route_fd >= 0 ? CLOCK_NEVER : 0;
	iface_look(s->route, &s->route_seen);
	s->way.route = s->route;
	log_write(s->log, LOG_DETAIL, NULL, "all traffic leaves by the "
		  "interface %s", s->route_seen.name);
	return 0;
}

/* By the interface's name, since it may have many addresses. */
static bool
is_asked_by_it(const struct session *s, const struct addr *server)
{
	struct iface_state state;
	struct iface from = {0};

	return !nameserver_from(server, &from.ip) ||
	       (iface_look(&from, &state) &&
		strcmp(state.name, s->route_seen.name) == 0);
}

/* Names are the system's, which may ask for them by another way. */
static void
judge_nameservers(struct session *s)
{
	struct addr servers[NAMESERVERS_MAX];
	size_t n = nameserver_read(NAMESERVER_FILE, servers);
	char text[ADDR_TEXT_MAX];

	if (!s->route || s->route_seen.loopback || !session_goes_direct(s))
		return;
	for (size_t i = 0; i < n; i++) {
		addr_format_ip(&servers[i], text);
		if (addr_is_loopback(&servers[i]))
			log_write(s->log, LOG_DETAIL, NULL, "names are looked "
				  "up by %s on this machine, which goes its "
				  "own way", text);
		else if (!is_asked_by_it(s, &servers[i]))
			log_write(s->log, LOG_WARNING, NULL, "names are "
				  "looked up by %s, which is not asked by the "
				  "interface %s", text, s->route_seen.name);
	}
}

static int
begin_proxy(struct session *s, struct error *e)
{
	if (!s->config->proxy)
		return 0;
	s->proxy = proxy_new(s->config->proxy, e);
	if (!s->proxy)
		return -1;
	s->way.proxy = s->proxy;
	if (proxy_carries_peers(s->proxy))
		log_write(s->log, LOG_DETAIL, NULL, "all goes through the "
			  "proxy %s: no incoming connections, UDP trackers, "
			  "DHT, local discovery, port mapping",
			  s->proxy->shown);
	else
		log_write(s->log, LOG_DETAIL, NULL, "trackers and web seeds "
			  "go through the proxy %s: no UDP trackers; peers "
			  "and the DHT do not go through it",
			  s->proxy->shown);
	return 0;
}

int
session_route_begin(struct session *s, struct error *e)
{
	if (begin_interface(s, e) < 0) {
		error_prefix(e, "--interface");
		return -1;
	}
	if (begin_proxy(s, e) < 0) {
		error_prefix(e, "--proxy");
		return -1;
	}
	judge_nameservers(s);
	return 0;
}

bool
session_goes_direct(const struct session *s)
{
	return !proxy_carries_peers(s->proxy);
}

void
session_route_release(struct session *s)
{
	if (s->route_fd >= 0)
		close(s->route_fd);
	proxy_free(s->proxy);
}

/* ---- the interface comes and goes ---- */

static void
tell(struct session *s, bool there)
{
	if (there == !iface_away(s->route))
		return;
	if (there)
		log_write(s->log, LOG_WARNING, NULL, "the interface %s is "
			  "back", s->config->interface);
	else
		log_write(s->log, LOG_WARNING, NULL, "the interface %s is "
			  "away: nothing is sent until it is back",
			  s->config->interface);
}

/* Connections of before lead nowhere if it is another interface now, or has
 * another address; one that was down for a moment keeps them.  Of IPv6
 * addresses there are many, and the old ones stay for a while. */
static bool
is_another(const struct iface_state *old, const struct iface_state *now)
{
	return old->index != now->index ||
	       (old->ip[0].family != 0 &&
		!addr_same_ip(&old->ip[0], &now->ip[0]));
}

static void
renew(struct session *s, const struct iface_state *now)
{
	bool another = is_another(&s->route_seen, now);

	s->route_seen = *now;
	announcer_rebind(s->announcer);
	if (s->listener)
		listener_rebind(s->listener);
	if (s->udp)
		udp_rebind(s->udp);
	for (size_t i = 0; i < s->count && another; i++)
		torrent_reconnect(s->torrents[i]);
	session_hurry(s);
}

static void
look(struct session *s)
{
	struct iface_state now;
	bool there = iface_look(s->route, &now);
	bool was_away = iface_away(s->route);

	/* Nothing was seen, for want of a descriptor or of memory. */
	s->route_due = now.sys ? clock_ns() + LOOK_EACH : CLOCK_NEVER;
	if (now.sys)
		return;
	tell(s, there);
	iface_note(s->route, !there);
	if (there && (was_away || !iface_same(&s->route_seen, &now)))
		renew(s, &now);
}

static int64_t
mind_interface(struct session *s, int64_t now)
{
	if (s->route_fd >= 0) {
		bool again = s->route && now >= s->route_due;

		if (now < s->route_rest)
			return s->route_rest;
		if (!iface_watch_drain(s->route_fd) && !again)
			return s->route ? s->route_due : CLOCK_NEVER;
		s->route_rest = now + REST;
		session_reach_soon(s);
		if (s->outside)		/* another router, maybe */
			outside_hurry(s->outside);
		if (s->route)
			look(s);
		return s->route_rest;
	}
	if (!s->route)
		return CLOCK_NEVER;
	if (now >= s->route_due) {
		look(s);
		s->route_due = now + LOOK_EACH;
	}
	return s->route_due;
}

/* ---- where the proxy is ---- */

static void
on_proxy_found(void *ctx, const struct addr *addrs, size_t count,
	       const struct error *e)
{
	struct session *s = ctx;

	s->proxy_asked = false;
	if (count == 0) {
		proxy_failed(s->proxy, s->log, e->text);
		return;
	}
	s->proxy_known = true;
	listener_set_proxy(s->listener, addrs, count);
}

/* One that fails may be elsewhere by now. */
static int64_t
mind_proxy(struct session *s, int64_t now, bool online)
{
	struct resolver *r = announcer_resolver(s->announcer);
	struct resolve_query what;
	struct error e;

	if (!proxy_carries_peers(s->proxy) || !online || s->proxy_asked ||
	    (s->proxy_known && !proxy_is_failing(s->proxy)))
		return CLOCK_NEVER;
	if (now < s->proxy_due)
		return s->proxy_due;
	s->proxy_due = now + RESOLVE_AGAIN;
	what = (struct resolve_query){.host = s->proxy->host,
				      .port = s->proxy->port,
				      .owner = s->proxy,
				      .done = on_proxy_found,
				      .ctx = s};
	s->proxy_asked = resolver_start(r, &what, &e) != 0;
	if (!s->proxy_asked)
		proxy_failed(s->proxy, s->log, e.text);
	return s->proxy_due;
}

int64_t
session_route_mind(struct session *s, bool online)
{
	int64_t now = clock_ns();

	return clock_min(mind_interface(s, now), mind_proxy(s, now, online));
}
