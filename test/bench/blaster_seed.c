/*
 * The seeder: listens on one port of all addresses, so that it is as many
 * seeders as there are addresses to call, and is the tracker of its torrent,
 * too.  The data is mapped; one sendmsg takes many blocks.  With rate= each
 * connection gets a block when its time has come, with delay= each request
 * waits as on a long path; without data= nobody is ever served.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "blaster.h"

#define ASKS 4096			/* held for each connection */
#define REQQ "d4:reqqi2000ee"
#define BATCH 64			/* blocks for each sendmsg */
#define IN_SIZE (32u * 1024)
#define EVENTS 256
#define TICK_MS 2
#define BURST_NS 100000000		/* a late block is not made up for longer */

struct ask {
	uint32_t piece;
	uint32_t offset;
	uint32_t length;
	int64_t due;
};

struct conn {
	int fd;
	bool shaken;
	bool extended;
	bool full;		/* the socket took not all: EPOLLOUT is set */
	uint8_t in[IN_SIZE];
	size_t in_used;
	size_t skip;		/* bytes of a message that is of no interest */
	struct ask asks[ASKS];
	size_t head;
	size_t used;
	size_t sent;		/* of the first block with its header */
	int64_t next;		/* by rate */
	struct conn *after;
	struct conn **before;
};

struct seed {
	const struct words *w;
	const uint8_t *data;
	int epoll;
	int listener;
	struct conn *conns;
	bool timed;
	bool asked;		/* the first request came */
	uint64_t served;
};

static volatile sig_atomic_t stop;

static void
on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static void
conn_free(struct conn *c)
{
	*c->before = c->after;
	if (c->after)
		c->after->before = c->before;
	close(c->fd);
	free(c);
}

/* ---- serving ---- */

static void
watch(struct seed *s, struct conn *c, bool full)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	if (full == c->full)
		return;
	c->full = full;
	if (full)
		ev.events |= EPOLLOUT;
	epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

/* How many of the blocks asked for may go now. */
static size_t
due(const struct seed *s, const struct conn *c, int64_t now)
{
	size_t n = c->used < BATCH ? c->used : BATCH, i;

	if (!s->data)
		return 0;
	if (s->w->rate)
		return n > 0 && (c->next <= now || c->sent > 0);
	if (!s->w->delay_ms)
		return n;
	for (i = 0; i < n; i++)
		if (c->asks[(c->head + i) % ASKS].due > now)
			break;
	return i;
}

static size_t
fill(const struct seed *s, const struct conn *c, size_t blocks,
     struct iovec *iov, uint8_t heads[][WIRE_PIECE_HEADER])
{
	size_t total = 0;

	for (size_t i = 0; i < blocks; i++) {
		const struct ask *a = &c->asks[(c->head + i) % ASKS];
		uint64_t at = (uint64_t)a->piece * s->w->piece + a->offset;

		wire_put_piece_header(heads[i], a->piece, a->offset,
				      a->length);
		iov[2 * i] = (struct iovec){heads[i], WIRE_PIECE_HEADER};
		iov[2 * i + 1].iov_len = a->length;
		/* Only read; iovec knows no const. */
		memcpy(&iov[2 * i + 1].iov_base, &(const uint8_t *){
		       s->data + at}, sizeof(void *));
		total += WIRE_PIECE_HEADER + a->length;
	}
	return total;
}

/* Leaves out what has been sent of the first block. */
static void
skip_sent(struct iovec *iov, size_t sent)
{
	size_t head = sent < iov[0].iov_len ? sent : iov[0].iov_len;

	iov[0].iov_base = (char *)iov[0].iov_base + head;
	iov[0].iov_len -= head;
	iov[1].iov_base = (char *)iov[1].iov_base + (sent - head);
	iov[1].iov_len -= sent - head;
}

static void
took(struct seed *s, struct conn *c, size_t n, int64_t now)
{
	c->sent += n;
	while (c->used > 0) {
		size_t size = WIRE_PIECE_HEADER + c->asks[c->head].length;

		if (c->sent < size)
			return;
		c->sent -= size;
		s->served += size - WIRE_PIECE_HEADER;
		c->head = (c->head + 1) % ASKS;
		c->used--;
		if (!s->w->rate)
			continue;
		if (c->next < now - BURST_NS)
			c->next = now - BURST_NS;
		c->next += (int64_t)(size * 1000000000 / s->w->rate);
	}
}

/* False: the connection has failed. */
static bool
serve(struct seed *s, struct conn *c)
{
	uint8_t heads[BATCH][WIRE_PIECE_HEADER];
	struct iovec iov[2 * BATCH];
	int64_t now = s->timed ? now_ns() : 0;
	size_t blocks;

	while ((blocks = due(s, c, now)) > 0) {
		size_t total = fill(s, c, blocks, iov, heads) - c->sent;
		struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2 * blocks};
		ssize_t n;

		skip_sent(iov, c->sent);
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n > 0)
			took(s, c, (size_t)n, now);
		if (n < (ssize_t)total) {
			watch(s, c, true);
			return true;
		}
	}
	watch(s, c, false);
	return true;
}

/* ---- the tracker ---- */

static bool
track(const struct seed *s, const struct conn *c)
{
	uint32_t n = s->w->peers;
	size_t size = 6 * (size_t)n;
	uint8_t *out = malloc(size + 256);
	int head;

	if (!out)
		return false;
	head = snprintf((char *)out, 256,
			"HTTP/1.1 200 OK\r\nConnection: close\r\n"
			"Content-Length: %zu\r\n\r\n"
			"d8:intervali1800e5:peers%zu:",
			(size_t)snprintf(NULL, 0, "d8:intervali1800e5:peers"
					 "%zu:", size) + size + 1, size);
	for (uint32_t i = 0; i < n; i++) {
		struct in_addr a = nth_addr(s->w->host, i);

		memcpy(out + head + 6 * i, &a.s_addr, 4);
		put_u16(out + head + 6 * i + 4, s->w->port);
	}
	out[(size_t)head + size] = 'e';
	send_all(c->fd, out, (size_t)head + size + 1);
	free(out);
	return false;		/* the connection ends with it */
}

/* ---- what comes ---- */

static bool
shake(struct seed *s, struct conn *c)
{
	uint32_t bytes = (piece_count(s->w) + 7) / 8;
	size_t n = 0, size = HANDSHAKE_SIZE + bytes + 64;
	uint8_t *out;
	struct handshake h;

	if (!handshake_parse(c->in, &h) ||
	    memcmp(h.info_hash, s->w->hash, 20) != 0)
		return false;
	c->extended = h.extended;
	out = malloc(size);
	if (!out)
		return false;
	hello(out, s->w, c->extended);
	n = HANDSHAKE_SIZE;
	n += wire_put_header(out + n, WIRE_BITFIELD, bytes);
	memset(out + n, 0xff, bytes);
	n += bytes;
	if (piece_count(s->w) % 8)
		out[n - 1] = (uint8_t)(0xff << (8 - piece_count(s->w) % 8));
	if (c->extended) {
		n += wire_put_header(out + n, WIRE_EXTENDED,
				     sizeof(REQQ));
		out[n++] = 0;
		memcpy(out + n, REQQ, sizeof(REQQ) - 1);
		n += sizeof(REQQ) - 1;
	}
	n += wire_put_plain(out + n, WIRE_UNCHOKE);
	send_all(c->fd, out, n);
	free(out);
	c->shaken = true;
	return true;
}

static void
take_cancel(struct conn *c, const struct ask *a)
{
	for (size_t i = c->sent > 0; i < c->used; i++) {
		struct ask *b = &c->asks[(c->head + i) % ASKS];

		if (b->piece != a->piece || b->offset != a->offset)
			continue;
		for (; i + 1 < c->used; i++)
			c->asks[(c->head + i) % ASKS] =
				c->asks[(c->head + i + 1) % ASKS];
		c->used--;
	}
}

static bool
take(struct seed *s, struct conn *c, const uint8_t *m)
{
	struct ask a = {get_u32(m + 5), get_u32(m + 9), get_u32(m + 13), 0};

	if (m[4] == WIRE_CANCEL) {
		take_cancel(c, &a);
		return true;
	}
	if (a.piece >= piece_count(s->w) || c->used == ASKS ||
	    a.length > piece_size(s->w, a.piece) ||
	    a.offset > piece_size(s->w, a.piece) - a.length)
		return false;
	if (!s->asked) {
		s->asked = true;
		printf("first %lld\n", (long long)now_ns());
		fflush(stdout);
	}
	if (s->w->delay_ms)
		a.due = now_ns() + s->w->delay_ms * 1000000LL;
	c->asks[(c->head + c->used++) % ASKS] = a;
	return true;
}

/* The messages in the buffer; false: the connection is to be closed. */
static bool
parse(struct seed *s, struct conn *c)
{
	size_t at = 0;

	if (!c->shaken) {
		if (c->in_used >= 4 && memcmp(c->in, "GET ", 4) == 0)
			return memmem(c->in, c->in_used, "\r\n\r\n", 4)
				       ? track(s, c) : true;
		if (c->in_used > 0 && c->in[0] != 19)
			return false;	/* encrypted */
		if (c->in_used < HANDSHAKE_SIZE)
			return true;
		if (!shake(s, c))
			return false;
		at = HANDSHAKE_SIZE;
	}
	for (;;) {
		size_t left = c->in_used - at, n = c->skip;

		if (n == 0 && left >= 5 && (c->in[at + 4] == WIRE_REQUEST ||
					    c->in[at + 4] == WIRE_CANCEL)) {
			if (left < WIRE_MESSAGE_MAX)
				break;
			if (!take(s, c, c->in + at))
				return false;
			n = WIRE_MESSAGE_MAX;
		} else if (n == 0) {
			if (left < 4)
				break;
			n = 4 + (size_t)get_u32(c->in + at);
			if (n > 4 && left < 5)
				break;
		}
		c->skip = n > left ? n - left : 0;
		at += n > left ? left : n;
		if (at == c->in_used)
			break;
	}
	memmove(c->in, c->in + at, c->in_used - at);
	c->in_used -= at;
	return true;
}

static bool
receive(struct seed *s, struct conn *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_used, IN_SIZE - c->in_used,
			 MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	c->in_used += (size_t)n;
	return parse(s, c) && (c->full || serve(s, c));
}

/* ---- the loop ---- */

static void
welcome(struct seed *s)
{
	int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
	struct conn *c = calloc(1, sizeof(*c));
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	if (fd < 0 || !c)
		die("cannot accept: %m");
	c->fd = fd;
	c->after = s->conns;
	c->before = &s->conns;
	if (c->after)
		c->after->before = &c->after;
	s->conns = c;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("cannot watch: %m");
}

static void
handle(struct seed *s, const struct epoll_event *ev)
{
	struct conn *c = ev->data.ptr;
	bool good = true;

	if (!c) {
		welcome(s);
		return;
	}
	if (ev->events & EPOLLOUT)
		good = serve(s, c);
	if (good && ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		good = receive(s, c);
	if (!good)
		conn_free(c);
}

static void
serve_timed(struct seed *s)
{
	struct conn *c, *after;

	for (c = s->conns; c; c = after) {
		after = c->after;
		if (c->used > 0 && !c->full && !serve(s, c))
			conn_free(c);
	}
}

static void
begin_listening(struct seed *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(s->w->port)};
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	int one = 1;

	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (s->listener < 0 || s->epoll < 0 ||
	    bind(s->listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(s->listener, 4096) < 0 ||
	    epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &ev) < 0)
		die("cannot listen: %m");
}

void
blaster_seed(const struct words *w)
{
	struct seed s = {.w = w, .timed = w->rate || w->delay_ms};
	struct sigaction sa = {.sa_handler = on_term};
	struct epoll_event events[EVENTS];

	if (w->data)
		s.data = map_data(w);
	sigaction(SIGTERM, &sa, NULL);
	begin_listening(&s);
	printf("ready\n");
	fflush(stdout);
	while (!stop) {
		int n = epoll_wait(s.epoll, events, EVENTS,
				   s.timed && s.conns ? TICK_MS : -1);

		for (int i = 0; i < n; i++)
			handle(&s, &events[i]);
		if (s.timed)
			serve_timed(&s);
	}
	printf("served %llu\n", (unsigned long long)s.served);
}
