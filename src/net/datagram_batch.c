#include "net/datagram_batch.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define OUT_SIZE (256 * 1024)
#define OUT_COUNT 1024
#define RUN_SIZE 60000		/* of datagrams that go as one */
#define RUN_COUNT 60
#define CALLS 16		/* runs in one call */
#define IN_SIZE 65536
#define IN_COUNT 8		/* received in one call */
#define IN_CALLS 4		/* before others have their turn */
#define SOCKET_BUFFER (4 * 1024 * 1024)

struct entry {
	struct addr to;
	uint32_t at;
	uint32_t size;
};

struct datagram_batch {
	uint8_t *out;
	struct entry entries[OUT_COUNT];
	size_t first;		/* entries before it have gone */
	size_t count;
	size_t used;
	bool probed;
	bool no_segments;	/* the kernel cannot */
	size_t singles;		/* entries before it go each alone */
	uint8_t *in;
};

struct datagram_batch *
datagram_batch_new(void)
{
	struct datagram_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->out = malloc(OUT_SIZE);
	b->in = malloc(IN_SIZE * IN_COUNT);
	if (b->out && b->in)
		return b;
	datagram_batch_free(b);
	return NULL;
}

void
datagram_batch_free(struct datagram_batch *b)
{
	if (!b)
		return;
	free(b->out);
	free(b->in);
	free(b);
}

void
datagram_batch_tune(int fd, int family)
{
	int size = SOCKET_BUFFER, one = 1, how = IP_PMTUDISC_DONT;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	(void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one));
	if (family == AF_INET)
		(void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &how,
				 sizeof(how));
}

/* ---- sending ---- */

bool
datagram_batch_add(struct datagram_batch *b, const struct addr *to,
		   const void *data, size_t n)
{
	if (b->count == OUT_COUNT || n > OUT_SIZE - b->used)
		return false;
	b->entries[b->count++] = (struct entry){
		*to, (uint32_t)b->used, (uint32_t)n};
	memcpy(b->out + b->used, data, n);
	b->used += n;
	return true;
}

bool
datagram_batch_empty(const struct datagram_batch *b)
{
	return b->first == b->count;
}

bool
datagram_batch_waits_for(const struct datagram_batch *b, int family)
{
	return b->first < b->count && b->entries[b->first].to.family == family;
}

/* Datagrams that go as one. */
struct run {
	size_t count;
	struct sockaddr_storage sa;
	struct iovec part;
	union {
		struct cmsghdr align;
		uint8_t raw[CMSG_SPACE(sizeof(uint16_t))];
	} control;
};

/* Linux before 4.18 would not refuse a run: it sends it as one datagram. */
static void
probe(struct datagram_batch *b, int fd)
{
	int size;
	socklen_t n = sizeof(size);

	if (b->probed)
		return;
	b->probed = true;
	b->no_segments = getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size,
				    &n) < 0;
}

/* How many from the i-th on may go together: the last may be shorter. */
static size_t
run_length(const struct datagram_batch *b, size_t i)
{
	const struct entry *first = &b->entries[i];
	size_t n = 1, size = first->size;

	if (b->no_segments || i < b->singles)
		return 1;
	while (i + n < b->count && n < RUN_COUNT) {
		const struct entry *e = &b->entries[i + n];

		if (!addr_equal(&e->to, &first->to) ||
		    e->size > first->size || size + e->size > RUN_SIZE)
			break;
		size += e->size;
		n++;
		if (e->size < first->size)
			break;
	}
	return n;
}

static void
fill_run(const struct datagram_batch *b, size_t i, struct run *r,
	 struct msghdr *m)
{
	const struct entry *first = &b->entries[i];
	const struct entry *last = &b->entries[i + r->count - 1];
	uint16_t size = (uint16_t)first->size;
	struct cmsghdr *c;

	memset(m, 0, sizeof(*m));
	r->part.iov_base = b->out + first->at;
	r->part.iov_len = last->at + last->size - first->at;
	m->msg_name = &r->sa;
	m->msg_namelen = addr_to_sockaddr(&first->to, &r->sa);
	m->msg_iov = &r->part;
	m->msg_iovlen = 1;
	if (r->count == 1)
		return;
	m->msg_control = r->control.raw;
	m->msg_controllen = sizeof(r->control.raw);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(c), &size, sizeof(size));
}

/* Sends from b->first on, to one family; how many runs went, or -1. */
static int
send_runs(struct datagram_batch *b, int fd, struct run *runs)
{
	struct mmsghdr messages[CALLS];
	uint16_t family = b->entries[b->first].to.family;
	size_t at = b->first;
	unsigned n = 0;

	probe(b, fd);
	while (n < CALLS && at < b->count &&
	       b->entries[at].to.family == family) {
		runs[n].count = run_length(b, at);
		fill_run(b, at, &runs[n], &messages[n].msg_hdr);
		at += runs[n++].count;
	}
	return sendmmsg(fd, messages, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The first run did not go: again in single ones, or not at all.  Whether a
 * run can go may depend on the way to that address. */
static void
give_way(struct datagram_batch *b, const struct run *first)
{
	bool run = first->count > 1;

	if (run && (errno == EOPNOTSUPP || errno == ENOPROTOOPT))
		b->no_segments = true;
	else if (run && (errno == EINVAL || errno == EIO || errno == EMSGSIZE))
		b->singles = b->first + first->count;
	else
		b->first++;
}

bool
datagram_batch_flush(struct datagram_batch *b, const int sockets[2])
{
	struct run runs[CALLS];

	while (b->first < b->count) {
		const struct addr *to = &b->entries[b->first].to;
		int fd = sockets[to->family == AF_INET6];
		int n;

		if (fd < 0) {
			b->first++;
			continue;
		}
		n = send_runs(b, fd, runs);
		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
			return false;
		if (n < 0 && errno != EINTR)
			give_way(b, &runs[0]);
		for (int i = 0; i < n; i++)
			b->first += runs[i].count;
	}
	b->first = b->count = b->used = b->singles = 0;
	return true;
}

/* ---- receiving ---- */

struct source {
	struct sockaddr_storage sa;
	struct iovec part;
	union {
		struct cmsghdr align;
		uint8_t raw[CMSG_SPACE(sizeof(int))];
	} control;
};

/* The size of each of those that came as one; 0: it is one. */
static size_t
segment_size(struct msghdr *m)
{
	int size = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
			memcpy(&size, CMSG_DATA(c), sizeof(size));
	return size > 0 ? (size_t)size : 0;
}

static int
receive_some(struct datagram_batch *b, int fd, struct mmsghdr *messages,
	     struct source *sources)
{
	memset(messages, 0, IN_COUNT * sizeof(*messages));
	for (size_t i = 0; i < IN_COUNT; i++) {
		struct msghdr *m = &messages[i].msg_hdr;
		struct source *s = &sources[i];

		s->part.iov_base = b->in + i * IN_SIZE;
		s->part.iov_len = IN_SIZE;
		m->msg_name = &s->sa;
		m->msg_namelen = sizeof(s->sa);
		m->msg_iov = &s->part;
		m->msg_iovlen = 1;
		m->msg_control = s->control.raw;
		m->msg_controllen = sizeof(s->control.raw);
	}
	return recvmmsg(fd, messages, IN_COUNT, MSG_DONTWAIT, NULL);
}

void
datagram_batch_read(struct datagram_batch *b, int fd, void *ctx,
		    void (*take)(void *ctx, const struct addr *from,
				 const uint8_t *data, size_t n))
{
	struct mmsghdr messages[IN_COUNT];
	struct source sources[IN_COUNT];
	int n = IN_COUNT;

	for (int call = 0; call < IN_CALLS && n == IN_COUNT; call++) {
		n = receive_some(b, fd, messages, sources);
		for (int i = 0; i < n; i++) {
			const uint8_t *at = b->in + (size_t)i * IN_SIZE;
			size_t left = messages[i].msg_len;
			size_t size = segment_size(&messages[i].msg_hdr);
			struct addr from;

			if (!addr_from_sockaddr(&from, (struct sockaddr *)
						       &sources[i].sa))
				continue;
			while (left > 0) {
				size_t part = size && size < left ? size
								  : left;

				take(ctx, &from, at, part);
				at += part;
				left -= part;
			}
		}
	}
}
