/*
 * The leech: so many connections, each from an address of its own, with so
 * many blocks asked for at a time; what comes is counted, compared with the
 * data on wish, and dropped.  It ends when the wanted number of bytes came.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "blaster.h"

#define IN_SIZE (512u * 1024)		/* a bitfield must fit, too */
#define EVENTS 256
#define PATIENCE_MS 60000		/* without any event */

struct conn {
	int fd;
	bool open;		/* unchoked */
	uint8_t *in;
	size_t in_used;
	uint32_t flying;	/* blocks asked for */
};

struct leech {
	const struct words *w;
	const uint8_t *data;	/* to compare with; NULL: don't */
	uint32_t piece;		/* to ask for next; goes round and round */
	uint32_t offset;
	uint64_t to_ask;	/* blocks */
	uint64_t to_come;	/* blocks */
	uint64_t bytes;
	int64_t first;		/* when it came */
};

static void
ask(struct leech *l, struct conn *c)
{
	uint8_t out[WIRE_MESSAGE_MAX * 512];
	size_t n = 0;

	if (!c->open || c->flying > l->w->inflight / 2)
		return;
	while (c->flying < l->w->inflight && l->to_ask > 0) {
		n += wire_put_block(out + n, WIRE_REQUEST, l->piece,
				    l->offset,
				    block_size(l->w, l->piece, l->offset));
		c->flying++;
		l->to_ask--;
		l->offset += BLOCK;
		if (l->offset >= piece_size(l->w, l->piece)) {
			l->offset = 0;
			l->piece = (l->piece + 1) % piece_count(l->w);
		}
		if (n + WIRE_MESSAGE_MAX > sizeof(out)) {
			send_all(c->fd, out, n);
			n = 0;
		}
	}
	if (n > 0)
		send_all(c->fd, out, n);
}

static void
take_block(struct leech *l, struct conn *c, const uint8_t *m, uint32_t size)
{
	uint64_t at = (uint64_t)get_u32(m + 5) * l->w->piece + get_u32(m + 9);

	size -= WIRE_PIECE_HEADER - WIRE_HEADER;
	if (at > l->w->length || size > l->w->length - at)
		die("a block beyond the end");
	if (l->data && memcmp(l->data + at, m + WIRE_PIECE_HEADER, size) != 0)
		die("wrong data at %llu", (unsigned long long)at);
	if (l->first == 0)
		l->first = now_ns();
	if (c->flying == 0 || l->to_come == 0)
		return;
	c->flying--;
	l->to_come--;
	l->bytes += size;
}

static void
take(struct leech *l, struct conn *c, const uint8_t *m, uint32_t size)
{
	switch (m[4]) {
	case WIRE_CHOKE:
		c->open = false;
		l->to_ask += c->flying;
		c->flying = 0;
		break;
	case WIRE_UNCHOKE:
		c->open = true;
		break;
	case WIRE_PIECE:
		take_block(l, c, m, size);
		break;
	default:
		break;
	}
}

static void
receive(struct leech *l, struct conn *c)
{
	size_t at = 0;
	ssize_t n = recv(c->fd, c->in + c->in_used, IN_SIZE - c->in_used,
			 MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		die("the seeder closed: %s", n ? strerror(errno) : "end");
	c->in_used += (size_t)n;
	while (c->in_used - at >= WIRE_HEADER) {
		uint32_t size = get_u32(c->in + at);

		if (size > IN_SIZE - WIRE_HEADER)
			die("a message of %u bytes", size);
		if (c->in_used - at < WIRE_HEADER + size)
			break;
		if (size > 0)
			take(l, c, c->in + at, size);
		at += WIRE_HEADER + size;
	}
	memmove(c->in, c->in + at, c->in_used - at);
	c->in_used -= at;
	ask(l, c);
}

static void
begin(struct leech *l, struct conn *c, uint32_t i)
{
	struct in_addr from = l->w->from;
	uint8_t data[HANDSHAKE_SIZE];

	if (from.s_addr)
		from = nth_addr(from, i);
	c->in = malloc(IN_SIZE);
	if (!c->in)
		die("out of memory");
	c->fd = connect_from(from, l->w->host, l->w->port);
	hello(data, l->w, false);
	send_all(c->fd, data, sizeof(data));
	recv_all(c->fd, data, sizeof(data));
	send_all(c->fd, data, wire_put_plain(data, WIRE_INTERESTED));
}

void
blaster_leech(const struct words *w)
{
	struct conn *conns = calloc(w->connections, sizeof(*conns));
	struct leech l = {.w = w};
	struct epoll_event events[EVENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (!conns || epoll < 0 || w->connections == 0 || w->inflight == 0)
		die("cannot begin");
	l.to_ask = l.to_come = w->bytes / BLOCK;
	if (w->check)
		l.data = map_data(w);
	for (uint32_t i = 0; i < w->connections; i++) {
		struct epoll_event ev = {.events = EPOLLIN,
					 .data.ptr = &conns[i]};

		begin(&l, &conns[i], i);
		epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &ev);
	}
	while (l.to_come > 0) {
		int n = epoll_wait(epoll, events, EVENTS, PATIENCE_MS);

		if (n == 0)
			die("nothing comes");
		for (int i = 0; i < n; i++)
			receive(&l, events[i].data.ptr);
	}
	for (uint32_t i = 0; i < w->connections; i++)
		free(conns[i].in);
	free(conns);
	printf("bytes %llu ns %lld\n", (unsigned long long)l.bytes,
	       (long long)(now_ns() - l.first));
}
