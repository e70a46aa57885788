#include "session/tracker_server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "session/tracker_conn.h"
#include "session/tracker_service.h"
#include "session/tracker_socket.h"

#define UDP_BATCH 64
#define ACCEPT_PAUSE CLOCK_S

/* The figures of the header; memory is all but proportional to them. */
static const struct tracker_swarm_limits swarm_limits = {
	.swarms = 8192,
	.peers = 65536,
	.per_swarm = 8192,
	.per_host = 16,
};

/* poll's entries: the wake, two listeners, two UDP sockets, connections. */
enum {
	AT_STOP = 0,
	AT_TCP = 1,
	AT_UDP = AT_TCP + TRACKER_SOCKET_FAMILIES,
	AT_CONNS = AT_UDP + TRACKER_SOCKET_FAMILIES,
	AT_END = AT_CONNS + TRACKER_CONN_MAX,
};

struct tracker_server {
	struct tracker_sockets sockets;
	struct tracker_allow allow;
	struct tracker_service service;
	struct tracker_conns *conns;
	struct log *log;
	int64_t accept_after;	/* no room for connections until then */
	struct tracker_packet packet;
	struct buffer reply;
	struct pollfd polls[AT_END];
};

void
tracker_server_defaults(struct tracker_server_config *c)
{
	*c = (struct tracker_server_config){
		.port = TRACKER_SERVER_PORT,
		.interval_s = TRACKER_SERVER_INTERVAL_S,
	};
}

static int
read_config(struct tracker_server *t, const struct tracker_server_config *c,
	    struct addr *bind, struct error *e)
{
	*bind = (struct addr){.port = c->port};
	if (c->bind && !addr_parse(bind, c->bind, c->port))
		return error_set(e, ERROR_USAGE,
				 "'%s' is not a numeric address", c->bind);
	if (c->interval_s < 1 ||
	    c->interval_s > TRACKER_SERVER_INTERVAL_MAX_S)
		return error_set(e, ERROR_USAGE,
				 "an interval is 1 to %d seconds",
				 TRACKER_SERVER_INTERVAL_MAX_S);
	t->service.interval_s = c->interval_s;
	if (!c->allow_file)
		return 0;
	t->service.allow = &t->allow;
	return tracker_allow_read(&t->allow, c->allow_file, e);
}

static int
make_parts(struct tracker_server *t, struct error *e)
{
	struct tracker_swarm_limits limits = swarm_limits;

	limits.life_ns = tracker_swarm_life(t->service.interval_s);
	random_bytes(t->service.secret, sizeof(t->service.secret));
	t->service.swarms = tracker_swarms_new(&limits, random_u64());
	t->conns = tracker_conns_new(&t->service, TRACKER_CONN_MAX);
	if (!t->service.swarms || !t->conns)
		return error_memory(e);
	return 0;
}

struct tracker_server *
tracker_server_new(const struct tracker_server_config *c, struct error *e)
{
	struct tracker_server *t = calloc(1, sizeof(*t));
	struct addr bind;

	if (!t) {
		error_memory(e);
		return NULL;
	}
	t->sockets = (struct tracker_sockets){{-1, -1}, {-1, -1}, 0};
	t->log = t->service.log = c->log;
	buffer_init(&t->reply, TRACKER_SERVICE_UDP_MAX);
	if (read_config(t, c, &bind, e) != 0 || make_parts(t, e) != 0 ||
	    tracker_sockets_open(&t->sockets, &bind, e) != 0) {
		tracker_server_free(t);
		return NULL;
	}
	return t;
}

void
tracker_server_free(struct tracker_server *t)
{
	if (!t)
		return;
	tracker_conns_free(t->conns);
	tracker_sockets_close(&t->sockets);
	tracker_swarms_free(t->service.swarms);
	tracker_allow_release(&t->allow);
	buffer_release(&t->reply);
	free(t);
}

uint16_t
tracker_server_port(const struct tracker_server *t)
{
	return t->sockets.port;
}

static nfds_t
fill_polls(struct tracker_server *t, const struct wake *stop, int64_t now)
{
	bool listens = now >= t->accept_after;

	t->polls[AT_STOP] = (struct pollfd){stop->fd, POLLIN, 0};
	for (int i = 0; i < TRACKER_SOCKET_FAMILIES; i++) {
		t->polls[AT_TCP + i] = (struct pollfd){
			listens ? t->sockets.tcp[i] : -1, POLLIN, 0};
		t->polls[AT_UDP + i] = (struct pollfd){
			t->sockets.udp[i], POLLIN, 0};
	}
	return AT_CONNS + tracker_conns_poll(t->conns, t->polls + AT_CONNS);
}

static void
serve_listener(struct tracker_server *t, int fd, int64_t now)
{
	if (tracker_conns_accept(t->conns, fd, now))
		return;
	t->accept_after = now + ACCEPT_PAUSE;
	log_write(t->log, LOG_WARNING, NULL,
		  "tracker: no room for connections");
}

static void
serve_udp(struct tracker_server *t, int fd, int64_t now)
{
	for (int i = 0; i < UDP_BATCH; i++) {
		if (!tracker_socket_receive(fd, &t->packet))
			return;
		tracker_service_udp(&t->service, t->packet.data,
				    t->packet.size, &t->packet.from, now,
				    &t->reply);
		if (t->reply.used > 0)
			tracker_socket_answer(fd, &t->packet, t->reply.data,
					      t->reply.used);
	}
}

static void
serve(struct tracker_server *t, int64_t now)
{
	tracker_conns_serve(t->conns, t->polls + AT_CONNS, now);
	for (int i = 0; i < TRACKER_SOCKET_FAMILIES; i++) {
		if (t->polls[AT_TCP + i].revents)
			serve_listener(t, t->sockets.tcp[i], now);
		if (t->polls[AT_UDP + i].revents)
			serve_udp(t, t->sockets.udp[i], now);
	}
}

/* Peers expire when somebody asks, so an idle tracker sleeps. */
int
tracker_server_run(struct tracker_server *t, struct wake *stop,
		   struct error *e)
{
	int64_t now = clock_ns(), when;
	nfds_t count;

	log_write(t->log, LOG_NOTICE, NULL, "tracker: listens on port %u",
		  t->sockets.port);
	for (;;) {
		when = tracker_conns_expire(t->conns, now);
		if (now < t->accept_after)
			when = clock_min(when, t->accept_after);
		count = fill_polls(t, stop, now);
		if (poll(t->polls, count, clock_poll_ms(now, when)) < 0) {
			if (errno != EINTR)
				return error_sys(e, ERROR_INTERNAL, errno,
						 "the tracker cannot wait");
			now = clock_ns();
			continue;
		}
		now = clock_ns();
		if (t->polls[AT_STOP].revents)
			return 0;
		serve(t, now);
	}
}
