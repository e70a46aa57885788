/*
 * PCP and NAT-PMP: questions in packets, over a socket that is connected to
 * the gateway, so that nobody else's answers come in.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/datagram.h"
#include "net/iface.h"
#include "portmap_parts.h"

struct round {
	struct portmap *p;
	uint32_t lifetime;
	bool want_address;	/* NAT-PMP: not yet known */
	bool nobody;
};

static int
open_news(const struct iface *route)
{
	int one = 1;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* Sent to all hosts: every socket of that port gets it.  Others may
	 * hold the port for themselves; then a restart shows later. */
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (iface_bind(route, fd, AF_INET, PORTMAP_CLIENT_PORT) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int
portmap_pcp_connect(const struct portmap *p, struct addr *local,
		    struct error *e)
{
	struct addr to = p->gateway;
	struct sockaddr_storage sa;
	socklen_t size;
	int fd;

	to.port = PORTMAP_SERVER_PORT;
	size = addr_to_sockaddr(&to, &sa);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_sys(e, ERROR_NETWORK, errno,
				 "cannot make a socket");
	if (iface_leave(p->config.route, fd, AF_INET) < 0 ||
	    connect(fd, (struct sockaddr *)&sa, size) < 0) {
		error_sys(e, ERROR_NETWORK, errno, "cannot reach the gateway");
		close(fd);
		return -1;
	}
	size = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &size) < 0 ||
	    !addr_from_sockaddr(local, (struct sockaddr *)&sa)) {
		close(fd);
		return error_set(e, ERROR_NETWORK,
				 "no address towards the gateway");
	}
	return fd;
}

int
portmap_pcp_open(struct portmap *p, struct error *e)
{
	portmap_pcp_close(p);
	p->fd = portmap_pcp_connect(p, &p->local, e);
	if (p->fd < 0)
		return -1;
	p->news_fd = open_news(p->config.route);
	return 0;
}

void
portmap_pcp_close(struct portmap *p)
{
	if (p->fd >= 0)
		close(p->fd);
	if (p->news_fd >= 0)
		close(p->news_fd);
	p->fd = p->news_fd = -1;
}

/* ---- a round of questions ---- */

static void
ask(struct round *r, const uint8_t *packet, size_t size)
{
	/* Lost, whatever the reason: it will be asked again. */
	if (send(r->p->fd, packet, size, MSG_NOSIGNAL) < 0 &&
	    errno == ECONNREFUSED)
		r->nobody = true;
}

static void
ask_all(struct round *r)
{
	struct portmap *p = r->p;
	uint8_t packet[PORTMAP_PACKET_MAX];

	if (r->want_address)
		ask(r, packet, natpmp_put_address(packet));
	for (size_t i = 0; i < PORTMAP_MAPS; i++) {
		struct portmap_map *m = &p->maps[i];

		if (m->answered)
			continue;
		m->q.lifetime = r->lifetime;
		m->q.client = p->local;
		m->q.external_ip = p->external_ip;
		m->asked = true;
		ask(r, packet, p->method == PORTMAP_PCP
				       ? pcp_put_map(packet, &m->q)
				       : natpmp_put_map(packet, &m->q));
	}
}

static bool
all_answered(const struct round *r)
{
	for (size_t i = 0; i < PORTMAP_MAPS; i++)
		if (!r->p->maps[i].answered)
			return false;
	return !r->want_address;
}

static void
take_map(struct portmap *p, struct portmap_map *m,
	 const struct portmap_answer *a)
{
	m->answered = true;
	m->result = a->result;
	/* A port or a lifetime of 0 is none. */
	m->granted = a->result == 0 && a->lifetime > 0 &&
		     a->external_port != 0;
	if (!m->granted)
		return;
	m->external_port = a->external_port;
	m->q.external_port = a->external_port;
	m->lifetime = a->lifetime;
	if (a->external_ip.family != 0)
		p->external_ip = a->external_ip;
}

static void
take_answer(struct round *r, const struct portmap_answer *a)
{
	struct portmap *p = r->p;

	p->heard = true;
	if (a->kind == PORTMAP_OTHER_VERSION) {
		r->nobody = true;
		return;
	}
	if (a->kind == PORTMAP_ADDRESS) {
		r->want_address = false;
		if (a->external_ip.family != 0)
			p->external_ip = a->external_ip;
	}
	for (size_t i = 0; i < PORTMAP_MAPS; i++)
		if (!p->maps[i].answered &&
		    portmap_answers(a, p->method, &p->maps[i].q))
			take_map(p, &p->maps[i], a);
	/* Both mappings are asked for together: what it lost is there anew. */
	portmap_epoch_take(&p->epoch, p->method, a->epoch, clock_ns());
}

static void
receive(struct round *r)
{
	struct portmap *p = r->p;
	uint8_t packet[PORTMAP_PACKET_MAX + 1];
	struct portmap_answer a;
	ssize_t n = recv(p->fd, packet, sizeof(packet), 0);
	bool good;

	if (n < 0) {
		if (errno == ECONNREFUSED)
			r->nobody = true;
		return;
	}
	good = p->method == PORTMAP_PCP ? pcp_read(packet, (size_t)n, &a)
					: natpmp_read(packet, (size_t)n, &a);
	if (good)
		take_answer(r, &a);
}

enum portmap_end
portmap_pcp_round(struct portmap *p, uint32_t lifetime, int64_t until)
{
	struct round r = {
		.p = p,
		.lifetime = lifetime,
		.want_address = p->method == PORTMAP_NATPMP && lifetime > 0,
	};
	int64_t wait;

	for (size_t i = 0; i < PORTMAP_MAPS; i++)
		p->maps[i].answered = false;
	for (unsigned i = 0; (wait = portmap_wait(i)) > 0; i++) {
		int64_t end = clock_min(clock_ns() + wait, until);

		ask_all(&r);
		while (!r.nobody && !all_answered(&r) &&
		       portmap_poll(p, p->fd, end))
			receive(&r);
		if (r.nobody)
			return PORTMAP_NOBODY;
		if (all_answered(&r))
			return PORTMAP_ANSWERED;
		if (clock_ns() >= until ||
		    (lifetime > 0 && portmap_stopping(p)))
			break;
	}
	/* Without the address we can do. */
	return p->maps[0].answered ? PORTMAP_ANSWERED : PORTMAP_SILENT;
}

/* ---- what it tells unasked ---- */

bool
portmap_pcp_restarted(struct portmap *p)
{
	uint8_t packet[PORTMAP_PACKET_MAX + 1];
	struct portmap_answer a;
	struct addr from;
	ssize_t n = datagram_receive(p->news_fd, packet, sizeof(packet),
				     &from);
	bool good;

	if (n <= 0 || !addr_same_ip(&from, &p->gateway))
		return false;
	if (p->method == PORTMAP_PCP)
		good = pcp_read(packet, (size_t)n, &a) &&
		       a.kind == PORTMAP_RESTARTED;
	else
		good = natpmp_read(packet, (size_t)n, &a) &&
		       a.kind == PORTMAP_ADDRESS;
	return good && !portmap_epoch_take(&p->epoch, p->method, a.epoch,
					   clock_ns());
}
