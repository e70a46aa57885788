#include "net/multicast.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/iface.h"

/* The route's own, if it has the family. */
static size_t
one_interface(const struct iface *route, int family, unsigned *out)
{
	struct iface_state s;

	if (!iface_look(route, &s) || s.ip[family == AF_INET6].family == 0)
		return 0;
	*out = s.index;
	return 1;
}

/* The indexes of interfaces that are up, take part in multicast and have an
 * address of the family. */
static size_t
interfaces(const struct iface *route, int family,
	   unsigned out[MULTICAST_INTERFACES_MAX])
{
	struct ifaddrs *all, *i;
	size_t n = 0;

	if (route)
		return one_interface(route, family, out);
	if (getifaddrs(&all) < 0)
		return 0;
	for (i = all; i && n < MULTICAST_INTERFACES_MAX; i = i->ifa_next) {
		unsigned index, wanted = IFF_UP | IFF_MULTICAST;
		size_t k;

		if (!i->ifa_addr || i->ifa_addr->sa_family != family ||
		    (i->ifa_flags & wanted) != wanted)
			continue;
		index = if_nametoindex(i->ifa_name);
		for (k = 0; k < n && out[k] != index; k++)
			;
		if (index != 0 && k == n)
			out[n++] = index;
	}
	freeifaddrs(all);
	return n;
}

/* A route by address may have no device that could be bound to: joins and
 * sends name the interface all the same. */
static int
hold_to(const struct iface *route, int fd)
{
	struct iface_state s;

	if (!route)
		return 0;
	if (!iface_look(route, &s)) {
		errno = ENETDOWN;
		return -1;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, s.name,
		       (socklen_t)strlen(s.name)) < 0 && errno != EPERM)
		return -1;
	return 0;
}

static int
set_up(const struct iface *route, int fd, const struct addr *group)
{
	struct sockaddr_storage sa;
	socklen_t size = addr_to_sockaddr(group, &sa);
	int one = 1, off = 0;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return -1;
	/* Only groups that were joined by this very socket. */
	if (group->family == AF_INET &&
	    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off,
		       sizeof(off)) < 0)
		return -1;
	if (group->family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		return -1;
	if (hold_to(route, fd) < 0)
		return -1;
	return bind(fd, (struct sockaddr *)&sa, size);
}

int
multicast_open(const struct iface *route, const struct addr *group,
	       struct error *e)
{
	char text[ADDR_TEXT_MAX];
	int fd = socket(group->family,
			SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && set_up(route, fd, group) == 0)
		return fd;
	error_sys(e, ERROR_NETWORK, errno, "cannot listen on %s",
		  addr_format(group, text));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* A membership that is there already fails, and is all right. */
static void
join_one(int fd, const struct addr *group, unsigned index)
{
	if (group->family == AF_INET) {
		struct ip_mreqn m = {.imr_ifindex = (int)index};

		memcpy(&m.imr_multiaddr, group->ip, 4);
		(void)setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m,
				 sizeof(m));
	} else {
		struct ipv6_mreq m = {.ipv6mr_interface = index};

		memcpy(&m.ipv6mr_multiaddr, group->ip, 16);
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m,
				 sizeof(m));
	}
}

size_t
multicast_join(const struct iface *route, int fd, const struct addr *group)
{
	unsigned list[MULTICAST_INTERFACES_MAX];
	size_t n = interfaces(route, group->family, list);

	for (size_t i = 0; i < n; i++)
		join_one(fd, group, list[i]);
	return n;
}

static int
choose(int fd, int family, unsigned index)
{
	struct ip_mreqn m = {.imr_ifindex = (int)index};
	int number = (int)index;

	if (family == AF_INET)
		return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &m,
				  sizeof(m));
	return setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &number,
			  sizeof(number));
}

size_t
multicast_send(const struct iface *route, int fd, const struct addr *group,
	       const void *data, size_t n)
{
	unsigned list[MULTICAST_INTERFACES_MAX];
	size_t count = interfaces(route, group->family, list), sent = 0;
	struct sockaddr_storage sa;
	socklen_t size = addr_to_sockaddr(group, &sa);

	for (size_t i = 0; i < count; i++)
		if (choose(fd, group->family, list[i]) == 0 &&
		    sendto(fd, data, n, MSG_NOSIGNAL, (struct sockaddr *)&sa,
			   size) == (ssize_t)n)
			sent++;
	return sent;
}
