#include "session/tracker_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "session/tracker_query.h"

#define ACCEPT_BATCH 32
#define READ_SIZE 2048

enum phase {
	PHASE_READ,
	PHASE_WRITE,
	PHASE_LINGER,	/* all is sent; a close now could cut it off */
};

struct conn {
	int fd;			/* -1: closed, to be swept */
	struct addr from;
	enum phase phase;
	int64_t since;		/* the phase began */
	bool keep;		/* after this answer */
	struct buffer in;
	struct buffer out;
	size_t sent;		/* of out */
	TAILQ_ENTRY(conn) by_age;
};

struct tracker_conns {
	struct tracker_service *service;
	size_t max, count;
	struct conn *conns[TRACKER_CONN_MAX];
	TAILQ_HEAD(conn_list, conn) by_age;	/* open ones, oldest first */
};

struct tracker_conns *
tracker_conns_new(struct tracker_service *s, size_t max)
{
	struct tracker_conns *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->service = s;
	c->max = max < TRACKER_CONN_MAX ? max : TRACKER_CONN_MAX;
	TAILQ_INIT(&c->by_age);
	return c;
}

static void
enter(struct tracker_conns *c, struct conn *conn, enum phase phase,
      int64_t now)
{
	conn->phase = phase;
	conn->since = now;
	TAILQ_REMOVE(&c->by_age, conn, by_age);
	TAILQ_INSERT_TAIL(&c->by_age, conn, by_age);
}

/* It stays in the table, where poll's entries point, until swept. */
static void
conn_close(struct tracker_conns *c, struct conn *conn)
{
	if (conn->fd < 0)
		return;
	close(conn->fd);
	conn->fd = -1;
	TAILQ_REMOVE(&c->by_age, conn, by_age);
	buffer_release(&conn->in);
	buffer_release(&conn->out);
}

static void
sweep(struct tracker_conns *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->count; i++) {
		if (c->conns[i]->fd >= 0)
			c->conns[kept++] = c->conns[i];
		else
			free(c->conns[i]);
	}
	c->count = kept;
}

static void
close_oldest(struct tracker_conns *c)
{
	conn_close(c, TAILQ_FIRST(&c->by_age));
	sweep(c);
}

void
tracker_conns_free(struct tracker_conns *c)
{
	if (!c)
		return;
	while (!TAILQ_EMPTY(&c->by_age))
		conn_close(c, TAILQ_FIRST(&c->by_age));
	sweep(c);
	free(c);
}

static void
conn_add(struct tracker_conns *c, int fd, const struct sockaddr *sa,
	 int64_t now)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	const int on = 1;

	if (!conn || !addr_from_sockaddr(&conn->from, sa)) {
		free(conn);
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (c->count == c->max)
		close_oldest(c);
	conn->fd = fd;
	conn->since = now;
	buffer_init(&conn->in, TRACKER_QUERY_HEAD_MAX);
	buffer_init(&conn->out, TRACKER_SERVICE_HTTP_MAX);
	TAILQ_INSERT_TAIL(&c->by_age, conn, by_age);
	c->conns[c->count++] = conn;
}

bool
tracker_conns_accept(struct tracker_conns *c, int fd, int64_t now)
{
	struct sockaddr_storage sa;
	socklen_t size;
	int got;

	for (int i = 0; i < ACCEPT_BATCH; i++) {
		size = sizeof(sa);
		got = accept4(fd, (struct sockaddr *)&sa, &size,
			      SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (got >= 0) {
			conn_add(c, got, (struct sockaddr *)&sa, now);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS) {
			if (c->count == 0)
				return false;
			close_oldest(c);
			continue;
		}
		/* The rest says that one connection is gone already. */
		if (errno == EAGAIN)
			break;
	}
	return true;
}

size_t
tracker_conns_poll(const struct tracker_conns *c, struct pollfd *out)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct conn *conn = c->conns[i];

		out[i].fd = conn->fd;
		out[i].events = conn->phase == PHASE_WRITE ? POLLOUT : POLLIN;
		out[i].revents = 0;
	}
	return c->count;
}

/* Sends what it can; true when all of the answer is gone. */
static bool
flush(struct tracker_conns *c, struct conn *conn)
{
	while (conn->sent < conn->out.used) {
		ssize_t n = send(conn->fd, conn->out.data + conn->sent,
				 conn->out.used - conn->sent, MSG_NOSIGNAL);

		if (n >= 0)
			conn->sent += (size_t)n;
		else if (errno == EAGAIN)
			return false;
		else if (errno != EINTR) {
			conn_close(c, conn);
			return false;
		}
	}
	return true;
}

/* Makes an answer of what has come; false if it is no whole request yet. */
static bool
answer(struct tracker_conns *c, struct conn *conn, int64_t now)
{
	size_t size = tracker_head_size(conn->in.data, conn->in.used);

	if (size == 0 && conn->in.used < conn->in.cap)
		return false;
	if (size == 0) {
		tracker_service_http_refuse(431, &conn->out);
		conn->keep = false;
	} else {
		conn->keep = tracker_service_http(c->service, conn->in.data,
						  size, &conn->from, now,
						  &conn->out);
		buffer_drop(&conn->in, size);
	}
	conn->sent = 0;
	return true;
}

/* Goes as far as it can without waiting.  Requests that came together are
 * answered one after the other. */
static void
advance(struct tracker_conns *c, struct conn *conn, int64_t now)
{
	for (;;) {
		if (conn->phase == PHASE_READ) {
			if (!answer(c, conn, now))
				return;
			enter(c, conn, PHASE_WRITE, now);
		}
		if (!flush(c, conn))
			return;
		buffer_release(&conn->out);
		if (!conn->keep) {
			shutdown(conn->fd, SHUT_WR);
			enter(c, conn, PHASE_LINGER, now);
			buffer_release(&conn->in);
			return;
		}
		enter(c, conn, PHASE_READ, now);
		if (conn->in.used == 0) {
			buffer_release(&conn->in);
			return;
		}
	}
}

static void
receive(struct tracker_conns *c, struct conn *conn, int64_t now)
{
	size_t n = conn->in.cap - conn->in.used;
	uint8_t *to;
	ssize_t got;

	if (n > READ_SIZE)
		n = READ_SIZE;
	to = buffer_room(&conn->in, n);
	got = to ? recv(conn->fd, to, n, 0) : 0;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		conn_close(c, conn);
		return;
	}
	buffer_added(&conn->in, (size_t)got);
	advance(c, conn, now);
}

static void
discard(struct tracker_conns *c, struct conn *conn)
{
	uint8_t waste[READ_SIZE];
	ssize_t got = recv(conn->fd, waste, sizeof(waste), 0);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		conn_close(c, conn);
}

void
tracker_conns_serve(struct tracker_conns *c, const struct pollfd *in,
		    int64_t now)
{
	for (size_t i = 0; i < c->count; i++) {
		struct conn *conn = c->conns[i];

		if (in[i].revents == 0)
			continue;
		if (conn->phase == PHASE_READ)
			receive(c, conn, now);
		else if (conn->phase == PHASE_WRITE)
			advance(c, conn, now);
		else
			discard(c, conn);
	}
	sweep(c);
}

int64_t
tracker_conns_expire(struct tracker_conns *c, int64_t now)
{
	const int64_t life = TRACKER_CONN_PHASE_S * CLOCK_S;
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&c->by_age)) != NULL) {
		if (now - conn->since < life)
			return conn->since + life;
		close_oldest(c);
	}
	return CLOCK_NEVER;
}
