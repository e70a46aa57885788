#include "session/tracker_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "net/datagram.h"

#define BACKLOG 512
#define PORT_TRIES 32

static const uint16_t families[TRACKER_SOCKET_FAMILIES] = {AF_INET, AF_INET6};

static int
set_option(int fd, int level, int option)
{
	const int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on));
}

static int
set_options(int fd, int type, uint16_t family)
{
	if (type == SOCK_STREAM &&
	    set_option(fd, SOL_SOCKET, SO_REUSEADDR) != 0)
		return -1;
	if (family == AF_INET6 &&
	    set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0)
		return -1;
	if (type == SOCK_STREAM)
		return 0;
	if (family == AF_INET6)
		return set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
	return set_option(fd, IPPROTO_IP, IP_PKTINFO);
}

/* The socket, or -1 with errno set. */
static int
open_one(int type, const struct addr *at)
{
	struct sockaddr_storage sa;
	socklen_t size = addr_to_sockaddr(at, &sa);
	int fd, saved;

	fd = socket(at->family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (set_options(fd, type, at->family) == 0 &&
	    bind(fd, (struct sockaddr *)&sa, size) == 0 &&
	    (type != SOCK_STREAM || listen(fd, BACKLOG) == 0))
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* Both sockets of one family; the port of the first is that of all. */
static int
open_family(struct tracker_sockets *s, int i, struct addr at)
{
	at.port = s->port;
	s->tcp[i] = open_one(SOCK_STREAM, &at);
	if (s->tcp[i] < 0)
		return -1;
	if (s->port == 0)
		s->port = datagram_port(s->tcp[i]);
	at.port = s->port;
	s->udp[i] = open_one(SOCK_DGRAM, &at);
	return s->udp[i] < 0 ? -1 : 0;
}

static bool
family_is_missing(int err)
{
	return err == EAFNOSUPPORT || err == EADDRNOTAVAIL ||
	       err == EPROTONOSUPPORT;
}

static int
open_all(struct tracker_sockets *s, const struct addr *bind, struct error *e)
{
	char text[ADDR_TEXT_MAX];

	*s = (struct tracker_sockets){{-1, -1}, {-1, -1}, bind->port};
	for (int i = 0; i < TRACKER_SOCKET_FAMILIES; i++) {
		struct addr at = *bind;

		if (at.family != 0 && at.family != families[i])
			continue;
		at.family = families[i];
		if (open_family(s, i, at) == 0)
			continue;
		if (bind->family == 0 && family_is_missing(errno) &&
		    s->tcp[i] < 0)
			continue;
		at.port = s->port;
		error_sys(e, ERROR_NETWORK, errno, "cannot listen on %s",
			  addr_format(&at, text));
		tracker_sockets_close(s);
		return -1;
	}
	if (s->tcp[0] >= 0 || s->tcp[1] >= 0)
		return 0;
	return error_set(e, ERROR_NETWORK, "there is neither IPv4 nor IPv6");
}

int
tracker_sockets_open(struct tracker_sockets *s, const struct addr *bind,
		     struct error *e)
{
	struct error mine = {0};

	/* A port that is free for one of them may be taken for another. */
	for (int i = 0; i < PORT_TRIES; i++) {
		if (open_all(s, bind, &mine) == 0)
			return 0;
		if (bind->port != 0 || mine.sys != EADDRINUSE)
			break;
	}
	if (e)
		*e = mine;
	return -1;
}

void
tracker_sockets_close(struct tracker_sockets *s)
{
	for (int i = 0; i < TRACKER_SOCKET_FAMILIES; i++) {
		if (s->tcp[i] >= 0)
			close(s->tcp[i]);
		if (s->udp[i] >= 0)
			close(s->udp[i]);
		s->tcp[i] = s->udp[i] = -1;
	}
}

/* Turns what was received into what is to be sent: only the address counts,
 * the interface just where the address means nothing without it. */
static void
keep_source(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	struct in6_pktinfo six;
	struct in_pktinfo four;

	if (!c)
		return;
	if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
		memcpy(&four, CMSG_DATA(c), sizeof(four));
		four.ipi_ifindex = 0;
		memcpy(CMSG_DATA(c), &four, sizeof(four));
	} else if (c->cmsg_level == IPPROTO_IPV6 &&
		   c->cmsg_type == IPV6_PKTINFO) {
		memcpy(&six, CMSG_DATA(c), sizeof(six));
		if (!IN6_IS_ADDR_LINKLOCAL(&six.ipi6_addr))
			six.ipi6_ifindex = 0;
		memcpy(CMSG_DATA(c), &six, sizeof(six));
	} else {
		m->msg_controllen = 0;
	}
}

bool
tracker_socket_receive(int fd, struct tracker_packet *p)
{
	struct iovec iov = {p->data, sizeof(p->data)};
	struct msghdr m = {
		.msg_name = &p->peer,
		.msg_namelen = sizeof(p->peer),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = p->control,
		.msg_controllen = sizeof(p->control),
	};
	ssize_t n = recvmsg(fd, &m, 0);

	if (n < 0)
		return false;
	keep_source(&m);
	p->size = (size_t)n;
	p->peer_size = m.msg_namelen;
	p->control_size = m.msg_controllen;
	return addr_from_sockaddr(&p->from, (struct sockaddr *)&p->peer);
}

void
tracker_socket_answer(int fd, struct tracker_packet *p, const void *data,
		      size_t size)
{
	struct iovec iov = {NULL, size};
	struct msghdr m = {
		.msg_name = &p->peer,
		.msg_namelen = p->peer_size,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = p->control_size ? p->control : NULL,
		.msg_controllen = p->control_size,
	};

	/* sendmsg only reads, though iovec cannot say so. */
	memcpy(&iov.iov_base, &data, sizeof(data));
	while (sendmsg(fd, &m, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}
