/*
 * UPnP: a gateway is searched for by multicast, describes itself in XML, and
 * takes orders by HTTP.  The two orders of a round run side by side.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "net/datagram.h"
#include "net/http.h"
#include "net/iface.h"
#include "portmap_parts.h"

#define SEARCH_TIMES 2
#define SEARCH_EACH (1250 * CLOCK_MS)	/* they may take a second (MX) */
#define FOUND_MAX 4
#define DATAGRAM_MAX 2048
#define DESCRIPTION_MAX (128u << 10)
#define REPLY_MAX (16u << 10)
#define BODY_MAX (4u << 10)
#define HTTP_TIME_MS 4000
#define PORT_TRIES 4		/* others may have the port already */
#define PORTS_FROM 20000
#define PORTS 40000

struct found {
	struct upnp_url list[FOUND_MAX];
	size_t count;
	bool gateway;		/* the first is the gateway's own */
};

/* ---- the search ---- */

/* To our address towards the gateway; or to what all leaves by. */
static int
bind_search(const struct portmap *p, int fd)
{
	struct addr here = p->local;
	struct sockaddr_storage sa;
	socklen_t size;

	if (p->config.route)
		return iface_leave(p->config.route, fd, AF_INET);
	here.port = 0;
	size = addr_to_sockaddr(&here, &sa);
	return bind(fd, (struct sockaddr *)&sa, size);
}

static int
open_search(const struct portmap *p, struct error *e)
{
	struct in_addr way;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return error_sys(e, ERROR_NETWORK, errno,
				 "cannot make a socket");
	memcpy(&way, p->local.ip, sizeof(way));
	if (bind_search(p, fd) < 0 ||
	    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &way,
		       sizeof(way)) < 0) {
		error_sys(e, ERROR_NETWORK, errno, "cannot search by UPnP");
		close(fd);
		return -1;
	}
	return fd;
}

/* To all, and to the gateway itself where multicast does not get through. */
static void
send_searches(const struct portmap *p, int fd)
{
	struct addr to[2] = {p->gateway, p->gateway};
	struct buffer text;

	addr_parse(&to[0], UPNP_SEARCH_IP, UPNP_SEARCH_PORT);
	to[1].port = UPNP_SEARCH_PORT;
	for (unsigned i = 0; i < 2 * UPNP_SEARCHES; i++) {
		buffer_init(&text, DATAGRAM_MAX);
		upnp_put_search(&text, i / 2);
		if (!text.failed)
			datagram_send(fd, &to[i % 2], text.data, text.used);
		buffer_release(&text);
	}
}

static bool
is_known(const struct found *f, const struct upnp_url *url)
{
	for (size_t i = 0; i < f->count; i++)
		if (addr_equal(&f->list[i].host, &url->host) &&
		    strcmp(f->list[i].path, url->path) == 0)
			return true;
	return false;
}

/* Only of our own network; and the gateway goes first. */
static void
take_found(const struct portmap *p, int fd, struct found *f)
{
	char data[DATAGRAM_MAX];
	struct upnp_url url;
	struct addr from;
	ssize_t n = datagram_receive(fd, data, sizeof(data), &from);
	bool gateway;

	if (n <= 0)
		return;
	gateway = addr_same_ip(&from, &p->gateway);
	if (!gateway && (!addr_is_local(&from) || addr_is_loopback(&from)))
		return;
	if (!upnp_read_found(data, (size_t)n, &from, &url) ||
	    is_known(f, &url))
		return;
	if (f->count < FOUND_MAX)
		f->list[f->count++] = url;
	else if (gateway)
		f->list[FOUND_MAX - 1] = url;
	if (gateway) {
		struct upnp_url first = f->list[0];

		f->list[0] = f->list[f->count - 1];
		f->list[f->count - 1] = first;
		f->gateway = true;
	}
}

static int
search(struct portmap *p, struct found *f, struct error *e)
{
	int fd = open_search(p, e);

	if (fd < 0)
		return -1;
	for (int i = 0; i < SEARCH_TIMES && !f->gateway; i++) {
		int64_t end = clock_ns() + SEARCH_EACH;

		send_searches(p, fd);
		while (!f->gateway && portmap_poll(p, fd, end))
			take_found(p, fd, f);
		if (portmap_stopping(p))
			break;
	}
	close(fd);
	if (f->count == 0)
		return error_set(e, ERROR_NETWORK,
				 "the gateway answers to none of PCP, NAT-PMP "
				 "and UPnP");
	return 0;
}

/* ---- its HTTP ---- */

/* One request of a few that run side by side. */
struct call {
	bool done;
	bool good;		/* a reply that could be read */
	struct upnp_reply reply;
	struct buffer *keep;	/* the body, where it is no reply */
};

static void
on_answer(void *ctx, const struct http_answer *answer)
{
	struct call *c = ctx;

	c->done = true;
	if (answer->error.kind != ERROR_NONE)
		return;
	if (c->keep) {
		c->good = answer->status == 200;
		buffer_put(c->keep, answer->body, answer->size);
		return;
	}
	/* A fault comes with 500. */
	c->good = (answer->status == 200 || answer->status == 500) &&
		  upnp_read_reply(answer->body, answer->size, &c->reply) &&
		  (answer->status == 200 || c->reply.fault != 0);
}

static bool
all_done(const struct call *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!calls[i].done)
			return false;
	return true;
}

/* Until all are done, or the time is over, or the end is asked for; what is
 * still under way is then given up. */
static void
finish_calls(struct portmap *p, struct http *h, struct call *calls, size_t n,
	     int64_t until)
{
	bool stopping = portmap_stopping(p);
	struct pollfd wake = {.fd = p->wake.fd, .events = POLLIN};

	while (!all_done(calls, n) && clock_ns() < until &&
	       stopping == portmap_stopping(p)) {
		wake.revents = 0;
		if (http_wait(h, &wake, stopping ? 0 : 1,
			      clock_poll_ms(clock_ns(), until), NULL) != 0)
			break;
		if (wake.revents)	/* haste, which has to wait */
			wake_drain(&p->wake);
	}
	http_free(h);
}

static struct http *
new_http(const struct portmap *p)
{
	struct http_config config = {.route = p->config.route};

	return http_new(&config, NULL);
}

/* The gateway is at hand: no proxy, no redirect. */
static void
begin_get(struct http *h, const struct upnp_url *url, struct call *c)
{
	char text[UPNP_URL_MAX];
	struct http_request r = {
		.url = upnp_format_url(url, text),
		.no_redirects = true,
		.body_max = DESCRIPTION_MAX,
		.timeout_ms = HTTP_TIME_MS,
		.done = on_answer,
		.ctx = c,
	};

	if (!http_start(h, &r, NULL))
		c->done = true;
}

static void
begin_order(struct http *h, const struct upnp_service *s, const char *action,
	    struct buffer *body, struct call *c)
{
	char text[UPNP_URL_MAX], header[128];
	const char *headers[] = {
		"Content-Type: text/xml; charset=\"utf-8\"", header,
		"Expect:", NULL};
	struct http_request r = {
		.url = upnp_format_url(&s->control, text),
		.post = buffer_text(body),
		.headers = headers,
		.no_redirects = true,
		.body_max = REPLY_MAX,
		.timeout_ms = HTTP_TIME_MS,
		.done = on_answer,
		.ctx = c,
	};

	snprintf(header, sizeof(header), "SOAPAction: \"%s#%s\"", s->type,
		 action);
	if (!r.post || !http_start(h, &r, NULL))
		c->done = true;
	buffer_release(body);
}

/* ---- which service ---- */

/* The one that is connected: that has an address. */
static bool
ask_address(struct portmap *p, const struct upnp_service *s)
{
	struct http *h = new_http(p);
	struct call c = {0};
	struct buffer body;

	if (!h)
		return false;
	buffer_init(&body, BODY_MAX);
	upnp_put_get_address(&body, s->type);
	begin_order(h, s, UPNP_GET_ADDRESS, &body, &c);
	finish_calls(p, h, &c, 1, CLOCK_NEVER);
	if (!c.good || c.reply.external_ip.family == 0)
		return false;
	p->external_ip = c.reply.external_ip;
	return true;
}

static bool
describe(struct portmap *p, const struct upnp_url *url)
{
	struct upnp_service list[UPNP_SERVICES_MAX];
	struct http *h = new_http(p);
	struct buffer xml;
	struct call c = {.keep = &xml};
	size_t count = 0, i = 0;

	if (!h)
		return false;
	buffer_init(&xml, DESCRIPTION_MAX);
	begin_get(h, url, &c);
	finish_calls(p, h, &c, 1, CLOCK_NEVER);
	if (c.good && !xml.failed)
		count = upnp_read_description(xml.data, xml.used, url, list);
	buffer_release(&xml);
	if (count == 0)
		return false;
	p->heard = true;
	while (i < count && !portmap_stopping(p) && !ask_address(p, &list[i]))
		i++;
	p->service = list[i < count ? i : 0];
	return true;
}

int
portmap_upnp_find(struct portmap *p, struct error *e)
{
	struct found found = {.count = 0};
	int status = -1;

	if (search(p, &found, e) < 0)
		return -1;
	for (size_t i = 0; i < found.count && status < 0; i++)
		if (!portmap_stopping(p) && describe(p, &found.list[i]))
			status = 0;
	if (status < 0)
		error_set(e, ERROR_NETWORK,
			  "nobody who answers to UPnP maps ports");
	return status;
}

/* ---- mapping ---- */

static void
begin_map(struct portmap *p, struct http *h, struct portmap_map *m,
	  bool wanted, struct call *c)
{
	struct upnp_mapping mapping = {
		.protocol = m->q.protocol,
		.external_port = m->external_port,
		.internal_port = m->q.internal_port,
		.client = p->local,
		.lifetime = p->lease,
	};
	struct buffer body;

	m->asked = true;
	buffer_init(&body, BODY_MAX);
	if (wanted)
		upnp_put_add(&body, p->service.type, &mapping);
	else
		upnp_put_delete(&body, p->service.type, &mapping);
	begin_order(h, &p->service, wanted ? UPNP_ADD : UPNP_DELETE, &body,
		    c);
}

/* Takes a fault for advice where it is one; true: ask again. */
static bool
give_way(struct portmap *p, struct portmap_map *m)
{
	if (!m->answered || m->result == 0)
		return false;
	if (m->result == UPNP_CONFLICT)
		m->external_port = (uint16_t)(PORTS_FROM +
					      random_u64() % PORTS);
	else if (m->result == UPNP_PERMANENT_ONLY)
		p->lease = 0;
	else
		return false;
	m->answered = false;
	return true;
}

static void
take_reply(struct portmap_map *m, const struct call *c)
{
	m->answered = c->good;
	m->result = c->reply.fault;
	m->granted = c->good && c->reply.fault == 0;
	m->lifetime = PORTMAP_LIFETIME;
	/* Refused: what is there is somebody else's. */
	if (c->good && !m->granted)
		m->asked = false;
}

/* Each map that is not settled, once. */
static void
ask_once(struct portmap *p, bool wanted, int64_t until)
{
	struct call calls[PORTMAP_MAPS] = {{0}};
	struct http *h = new_http(p);

	if (!h)
		return;
	for (size_t i = 0; i < PORTMAP_MAPS; i++) {
		struct portmap_map *m = &p->maps[i];

		calls[i].done = m->answered || (!wanted && !m->asked);
		if (!calls[i].done)
			begin_map(p, h, m, wanted, &calls[i]);
	}
	finish_calls(p, h, calls, PORTMAP_MAPS, until);
	for (size_t i = 0; i < PORTMAP_MAPS; i++)
		if (!p->maps[i].answered)
			take_reply(&p->maps[i], &calls[i]);
}

enum portmap_end
portmap_upnp_round(struct portmap *p, uint32_t lifetime, int64_t until)
{
	bool again = true;

	for (size_t i = 0; i < PORTMAP_MAPS; i++)
		p->maps[i].answered = false;
	for (int i = 0; i < PORT_TRIES && again; i++) {
		ask_once(p, lifetime > 0, until);
		again = false;
		if (lifetime > 0 && !portmap_stopping(p))
			for (size_t k = 0; k < PORTMAP_MAPS; k++)
				if (i + 1 < PORT_TRIES &&
				    give_way(p, &p->maps[k]))
					again = true;
	}
	return p->maps[0].answered ? PORTMAP_ANSWERED : PORTMAP_SILENT;
}
