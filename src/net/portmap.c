#include "net/portmap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "net/gateway.h"
#include "net/iface.h"
#include "portmap_parts.h"

/* Machines come to other networks, and gateways are switched on again. */
#define RETRY_AFTER (10 * 60 * CLOCK_S)
#define HURRY_EACH (60 * CLOCK_S)	/* where it seems to be the same one */

static const char *const method_names[] = {"PCP", "NAT-PMP", "UPnP"};

bool
portmap_poll(struct portmap *p, int fd, int64_t until)
{
	bool stopping = portmap_stopping(p);
	struct pollfd fds[] = {
		{.fd = fd, .events = POLLIN},
		{.fd = stopping ? -1 : p->wake.fd, .events = POLLIN},
	};
	int n;

	do {
		n = poll(fds, 2, clock_poll_ms(clock_ns(), until));
		if (n > 0 && fds[1].revents != 0)
			wake_drain(&p->wake);
		if (!stopping && portmap_stopping(p))
			return false;
	} while (n > 0 && fds[0].revents == 0 && !p->idle);
	return n > 0 && fds[0].revents != 0;
}

/* Says it once, and again only if it is another thing. */
static void
note(struct portmap *p, const char *text)
{
	if (strcmp(p->note, text) == 0)
		return;
	snprintf(p->note, sizeof(p->note), "%s", text);
	log_write(p->log, LOG_DETAIL, NULL, "no port mapping: %s", text);
}

/* ---- asking ---- */

static enum portmap_end
ask(struct portmap *p, uint32_t lifetime, int64_t until)
{
	if (p->method == PORTMAP_UPNP)
		return portmap_upnp_round(p, lifetime, until);
	return portmap_pcp_round(p, lifetime, until);
}

static void
tell(struct portmap *p)
{
	struct portmap_news news = {
		.external_ip = p->external_ip,
		.tcp_port = p->maps[0].external_port,
		.udp_port = p->maps[1].granted ? p->maps[1].external_port : 0,
	};
	char ip[ADDR_TEXT_MAX] = "an unknown address";

	/* One of a private range says that there is a NAT behind the NAT. */
	if (addr_is_local(&news.external_ip))
		news.external_ip.family = 0;
	if (news.tcp_port == p->told.tcp_port &&
	    news.udp_port == p->told.udp_port &&
	    news.external_ip.family == p->told.external_ip.family &&
	    addr_same_ip(&news.external_ip, &p->told.external_ip))
		return;
	p->told = news;
	p->note[0] = '\0';
	if (p->external_ip.family != 0)
		addr_format_ip(&p->external_ip, ip);
	log_write(p->log, LOG_DETAIL, NULL,
		  "port %u is open to the outside: port %u of %s (%s%s)",
		  p->config.port, news.tcp_port, ip, method_names[p->method],
		  news.udp_port ? "" : ", without UDP");
	p->config.mapped(p->config.ctx, &news);
}

/* Nobody gets in by what was told any more. */
static void
tell_lost(struct portmap *p)
{
	if (p->told.tcp_port == 0)
		return;
	log_write(p->log, LOG_DETAIL, NULL,
		  "port %u is no longer open to the outside", p->config.port);
	memset(&p->told, 0, sizeof(p->told));
	p->config.mapped(p->config.ctx, &p->told);
}

/* Asks for the mappings by the method at hand; true when TCP is granted. */
static bool
request(struct portmap *p, struct error *e)
{
	const char *name = method_names[p->method];
	const struct portmap_map *tcp = &p->maps[0], *udp = &p->maps[1];
	int64_t asked_at = clock_ns();

	p->mapped = false;
	if (ask(p, PORTMAP_LIFETIME, CLOCK_NEVER) != PORTMAP_ANSWERED) {
		error_set(e, ERROR_NETWORK, "%s gets no answer", name);
		return false;
	}
	if (!tcp->granted) {
		if (p->method == PORTMAP_UPNP)
			error_set(e, ERROR_NETWORK, "UPnP refuses: error %u",
				  tcp->result);
		else
			error_set(e, ERROR_NETWORK, "%s refuses: %s", name,
				  portmap_result(p->method, tcp->result));
		return false;
	}
	p->mapped = true;
	if (p->method != PORTMAP_UPNP)
		p->had[p->method] = true;
	p->due = portmap_renew_at(tcp->lifetime, asked_at);
	if (udp->granted)
		p->due = clock_min(p->due, portmap_renew_at(udp->lifetime,
							    asked_at));
	tell(p);
	return true;
}

/* A new method, or another gateway: little of before is of any use. */
static void
forget(struct portmap *p, enum portmap_method method)
{
	p->method = method;
	p->mapped = p->heard = false;
	p->epoch.known = false;
	p->external_ip.family = 0;
	p->lease = PORTMAP_LIFETIME;
	for (size_t i = 0; i < PORTMAP_MAPS; i++) {
		struct portmap_map *m = &p->maps[i];

		memset(m, 0, sizeof(*m));
		m->q.protocol = i == 0 ? PORTMAP_TCP : PORTMAP_UDP;
		m->q.internal_port = m->q.external_port = p->config.port;
		m->external_port = p->config.port;
		memcpy(m->q.nonce, p->nonces[i], sizeof(m->q.nonce));
	}
}

/* Each has a socket of its own: late answers to PCP are none to NAT-PMP. */
static bool
try_packets(struct portmap *p, struct error *e)
{
	for (enum portmap_method m = PORTMAP_PCP;
	     m <= PORTMAP_NATPMP && !portmap_stopping(p); m++) {
		forget(p, m);
		if (portmap_pcp_open(p, e) < 0)
			return false;
		if (request(p, e))
			return true;
	}
	return false;
}

static bool
try_upnp(struct portmap *p, struct error *e)
{
	forget(p, PORTMAP_UPNP);
	return portmap_upnp_find(p, e) == 0 && request(p, e);
}

/* Of the interface that all leaves by, if there is one. */
static int
find_gateway(const struct portmap *p, struct addr *out, struct error *e)
{
	const struct iface *r = p->config.route;
	struct iface_state s;
	bool there;

	if (!r)
		return gateway_find(GATEWAY_TABLE, NULL, out, e);
	out->family = 0;
	there = iface_look(r, &s);
	if (s.sys)
		return error_sys(e, ERROR_NETWORK, s.sys,
				 "cannot look at the interface");
	if (!there || s.ip[0].family == 0)
		return error_set(e, ERROR_NETWORK,
				 "the interface has no IPv4 address");
	return gateway_find(GATEWAY_TABLE, s.name, out, e);
}

/* Another gateway, or another address of ours: what it maps leads nowhere. */
static bool
has_moved(const struct portmap *p)
{
	struct addr gateway, local;
	struct error e;
	int fd;

	/* For want of a descriptor nothing may be seen. */
	if (find_gateway(p, &gateway, &e) < 0)
		return e.sys == 0 && p->gateway.family != 0;
	if (!addr_same_ip(&gateway, &p->gateway))
		return true;
	fd = portmap_pcp_connect(p, &local, &e);
	if (fd < 0)
		return false;
	close(fd);
	return !addr_same_ip(&local, &p->local);
}

/* From the beginning: who is the gateway, and what does it speak? */
static void
discover(struct portmap *p)
{
	struct error e;

	p->due = clock_ns() + RETRY_AFTER;
	forget(p, PORTMAP_PCP);
	if (find_gateway(p, &p->gateway, &e) < 0) {
		note(p, e.text);
		return;
	}
	if (try_packets(p, &e))
		return;
	if (p->local.family == 0 || portmap_stopping(p))
		return;
	if (!try_upnp(p, &e) && !portmap_stopping(p))
		note(p, e.text);
}

/* ---- the thread ---- */

/* Until it is time to ask again. */
static void
idle(struct portmap *p)
{
	int64_t soon = p->begun_at + PORTMAP_RENEW_MIN_S * CLOCK_S;
	bool packets = p->mapped && p->method != PORTMAP_UPNP;

	p->idle = true;
	while (!portmap_stopping(p) && clock_ns() < p->due) {
		if (atomic_exchange(&p->hurry, false))
			p->due = clock_min(p->due, has_moved(p)
					? soon : p->begun_at + HURRY_EACH);
		else if (portmap_poll(p, packets ? p->news_fd : -1, p->due) &&
			 portmap_pcp_restarted(p))
			p->due = clock_min(p->due, soon);
	}
	p->idle = false;
}

/* What it may still have of us.  Who never answered is told, not waited for;
 * and so is, at last, who spoke by another method before. */
static void
remove_all(struct portmap *p)
{
	int64_t until = atomic_load(&p->stop_at);
	bool any = false;

	for (size_t i = 0; i < PORTMAP_MAPS; i++)
		any = any || p->maps[i].asked;
	if (any) {
		ask(p, 0, p->heard ? until : 0);
		if (p->method != PORTMAP_UPNP)
			p->had[p->method] = false;
	}
	for (size_t m = PORTMAP_PCP; m < PORTMAP_UPNP; m++)
		if (p->had[m]) {
			p->method = (enum portmap_method)m;
			ask(p, 0, 0);
		}
}

static void
run(void *arg)
{
	struct portmap *p = arg;
	struct error e;

	while (!portmap_stopping(p)) {
		p->begun_at = clock_ns();
		if (!p->mapped || has_moved(p) ||
		    (!request(p, &e) && !portmap_stopping(p)))
			discover(p);
		if (!p->mapped && !portmap_stopping(p))
			tell_lost(p);
		idle(p);
	}
	remove_all(p);
	portmap_pcp_close(p);
}

struct portmap *
portmap_start(const struct portmap_config *config, struct log *log,
	      struct error *e)
{
	struct portmap *p = calloc(1, sizeof(*p));

	if (!p) {
		error_memory(e);
		return NULL;
	}
	p->config = *config;
	p->log = log;
	p->fd = p->news_fd = -1;
	p->wake.fd = -1;
	random_bytes(p->nonces, sizeof(p->nonces));
	/* libcurl wants a large stack. */
	if (wake_init(&p->wake, e) < 0 ||
	    thread_start(&p->thread, "portmap", THREAD_STACK_LARGE, run, p,
			 e) < 0) {
		portmap_free(p);
		return NULL;
	}
	return p;
}

void
portmap_hurry(struct portmap *p)
{
	atomic_store(&p->hurry, true);
	wake_up(&p->wake);
}

void
portmap_stop(struct portmap *p)
{
	if (!p || portmap_stopping(p))
		return;
	atomic_store(&p->stop_at, clock_ns() + PORTMAP_STOP_MS * CLOCK_MS);
	atomic_store(&p->stop, true);
	wake_up(&p->wake);
}

void
portmap_free(struct portmap *p)
{
	if (!p)
		return;
	portmap_stop(p);
	thread_join(&p->thread);
	wake_release(&p->wake);
	free(p);
}
