#include "net/datagram.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/iface.h"

int
datagram_bind(const struct iface *route, int family, uint16_t port)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1, sys;

	if (fd < 0)
		return -1;
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (iface_bind(route, fd, family, port) == 0)
		return fd;
	sys = errno;
	close(fd);
	errno = sys;
	return -1;
}

int
datagram_bind_near(const struct iface *route, int family, uint16_t port)
{
	int fd = datagram_bind(route, family, port);

	if (fd < 0 && errno == EADDRINUSE)
		fd = datagram_bind(route, family, 0);
	return fd;
}

uint16_t
datagram_port(int fd)
{
	struct sockaddr_storage sa;
	socklen_t size = sizeof(sa);
	struct addr a;

	if (getsockname(fd, (struct sockaddr *)&sa, &size) < 0 ||
	    !addr_from_sockaddr(&a, (struct sockaddr *)&sa))
		return 0;
	return a.port;
}

void
datagram_send(int fd, const struct addr *to, const void *data, size_t n)
{
	struct sockaddr_storage sa;
	socklen_t size = addr_to_sockaddr(to, &sa);

	(void)sendto(fd, data, n, MSG_NOSIGNAL, (struct sockaddr *)&sa, size);
}

ssize_t
datagram_receive(int fd, void *data, size_t size, struct addr *from)
{
	struct sockaddr_storage sa;
	socklen_t length = sizeof(sa);
	ssize_t n = recvfrom(fd, data, size, 0, (struct sockaddr *)&sa,
			     &length);

	if (n >= 0 && !addr_from_sockaddr(from, (struct sockaddr *)&sa))
		return 0;
	return n;
}
