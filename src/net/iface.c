#include "net/iface.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"

#define SHOWN_MAX 64

/* ---- what the user wrote ---- */

static bool
is_name(const char *text)
{
	size_t n = strlen(text);

	if (n == 0 || n >= IF_NAMESIZE || strcmp(text, ".") == 0 ||
	    strcmp(text, "..") == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '/' ||
		    text[i] == ':')
			return false;
	return true;
}

int
iface_set(struct iface *r, const char *text, struct error *e)
{
	char clean[SHOWN_MAX];

	memset(r, 0, sizeof(*r));
	if (addr_parse(&r->ip, text, 1)) {
		bool usable = addr_usable(&r->ip);

		r->ip.port = 0;
		if (usable)
			return 0;
	} else if (is_name(text)) {
		memset(&r->ip, 0, sizeof(r->ip));
		memcpy(r->name, text, strlen(text) + 1);
		return 0;
	}
	return error_set(e, ERROR_USAGE, "'%s' is neither the name of an "
			 "interface nor an address of one",
			 text_clean(clean, sizeof(clean), text));
}

/* ---- what there is ---- */

/* The name without the label that an IPv4 address may have ("eth0:1"). */
static bool
same_name(const char *label, const char *name)
{
	size_t n = strcspn(label, ":");

	return strlen(name) == n && memcmp(label, name, n) == 0;
}

static bool
in_loopback_net(const struct addr *ip, const struct ifaddrs *i)
{
	return ip->family == AF_INET && addr_is_loopback(ip) &&
	       (i->ifa_flags & IFF_LOOPBACK);
}

static bool
is_link_local(const struct addr *a)
{
	return a->family == AF_INET6 && a->ip[0] == 0xfe &&
	       (a->ip[1] & 0xc0) == 0x80;
}

static void
take_interface(struct iface_state *out, const struct ifaddrs *i)
{
	size_t n = strcspn(i->ifa_name, ":");

	if (out->index != 0 || n >= sizeof(out->name))
		return;
	memcpy(out->name, i->ifa_name, n);
	out->name[n] = '\0';
	out->index = if_nametoindex(out->name);
	out->up = (i->ifa_flags & IFF_UP) != 0;
	out->loopback = (i->ifa_flags & IFF_LOOPBACK) != 0;
}

static void
look_at(const struct iface *r, struct iface_state *out,
	const struct ifaddrs *i)
{
	struct addr a = {0};
	bool has = i->ifa_addr && addr_from_sockaddr(&a, i->ifa_addr);

	a.port = 0;
	if (r->name[0]) {
		if (!same_name(i->ifa_name, r->name))
			return;
	} else if (!has || (!addr_same_ip(&a, &r->ip) &&
			    !in_loopback_net(&r->ip, i))) {
		return;
	} else {
		a = r->ip;
	}
	take_interface(out, i);
	/* With a link-local address alone nobody afar can be reached. */
	if (has && (!r->name[0] || !is_link_local(&a)) &&
	    out->ip[a.family == AF_INET6].family == 0)
		out->ip[a.family == AF_INET6] = a;
}

bool
iface_look(const struct iface *r, struct iface_state *out)
{
	struct ifaddrs *all;

	memset(out, 0, sizeof(*out));
	if (getifaddrs(&all) < 0) {
		out->sys = errno;
		return false;
	}
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		look_at(r, out, i);
	freeifaddrs(all);
	return out->index != 0 && out->up &&
	       (out->ip[0].family != 0 || out->ip[1].family != 0);
}

int
iface_check(const struct iface *r, struct error *e)
{
	struct iface_state s;
	char text[ADDR_TEXT_MAX];

	if (!r || iface_look(r, &s))
		return 0;
	if (s.sys)
		return error_sys(e, ERROR_INTERNAL, s.sys, "cannot list the "
				 "system's interfaces");
	if (!r->name[0] && s.index == 0)
		return error_set(e, ERROR_USAGE, "no interface has the "
				 "address %s", addr_format_ip(&r->ip, text));
	if (s.index == 0)
		return error_set(e, ERROR_USAGE, "there is no interface '%s'",
				 r->name);
	return error_set(e, ERROR_USAGE, "the interface '%s' %s", s.name,
			 s.up ? "has no address" : "is down");
}

bool
iface_same(const struct iface_state *a, const struct iface_state *b)
{
	return a->index == b->index && addr_same_ip(&a->ip[0], &b->ip[0]) &&
	       addr_same_ip(&a->ip[1], &b->ip[1]);
}

int
iface_family(const struct iface *r)
{
	struct iface_state s;

	if (!r || !iface_look(r, &s) ||
	    (s.ip[0].family != 0 && s.ip[1].family != 0))
		return AF_UNSPEC;
	return s.ip[0].family != 0 ? AF_INET : AF_INET6;
}

void
iface_note(struct iface *r, bool away)
{
	atomic_store(&r->away, away);
}

bool
iface_away(const struct iface *r)
{
	return r && atomic_load(&r->away);
}

/* ---- binding ---- */

/*
 * Ties the socket to the interface.  *at becomes the address that it is to
 * be bound to as well, or the unspecified one.
 */
static int
tie(const struct iface *r, int fd, int family, struct addr *at)
{
	struct iface_state s;
	const struct addr *ip = &s.ip[family == AF_INET6];
	bool by_address = !r->name[0];

	if (!iface_look(r, &s)) {
		errno = ENETDOWN;
		return -1;
	}
	if (ip->family == 0) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	if (by_address && s.loopback && !addr_is_loopback(ip)) {
		*at = *ip;
		return 0;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, s.name,
		       (socklen_t)strlen(s.name)) < 0) {
		if (errno != EPERM)
			return -1;
		by_address = true;
	}
	if (by_address)
		*at = *ip;
	return 0;
}

static int
bind_to(int fd, struct addr *at, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t size;

	at->port = port;
	size = addr_to_sockaddr(at, &sa);
	return bind(fd, (struct sockaddr *)&sa, size);
}

int
iface_leave(const struct iface *r, int fd, int family)
{
	struct addr at = {0};
	int one = 1;

	if (!r)
		return 0;
	if (tie(r, fd, family, &at) < 0)
		return -1;
	if (at.family == 0)
		return 0;
	/* The port is chosen when it connects: then many may share one. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return bind_to(fd, &at, 0);
}

int
iface_bind(const struct iface *r, int fd, int family, uint16_t port)
{
	struct addr at = {0};

	if (r && tie(r, fd, family, &at) < 0)
		return -1;
	at.family = (uint16_t)family;
	return bind_to(fd, &at, port);
}

/* ---- changes ---- */

int
iface_watch(void)
{
	struct sockaddr_nl sa = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
			     RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
			     RTMGRP_IPV6_ROUTE,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
			NETLINK_ROUTE);

	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* What has changed does not matter: it will be looked at. */
bool
iface_watch_drain(int fd)
{
	char data[8192];
	bool any = false;

	/* ENOBUFS: more came than could be kept. */
	while (recv(fd, data, sizeof(data), MSG_TRUNC) > 0 ||
	       errno == ENOBUFS)
		any = true;
	return any;
}
