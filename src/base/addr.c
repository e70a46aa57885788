#include "base/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0,
					  0, 0, 0xff, 0xff};

static void
unmap(struct addr *a)
{
	if (a->family != AF_INET6 ||
	    memcmp(a->ip, mapped_prefix, sizeof(mapped_prefix)) != 0)
		return;
	memmove(a->ip, a->ip + 12, 4);
	memset(a->ip + 4, 0, 12);
	a->family = AF_INET;
	a->scope = 0;
}

struct addr
addr_from_compact4(const uint8_t raw[ADDR_COMPACT4])
{
	struct addr a = {.family = AF_INET, .port = get_u16(raw + 4)};

	memcpy(a.ip, raw, 4);
	return a;
}

struct addr
addr_from_compact6(const uint8_t raw[ADDR_COMPACT6])
{
	struct addr a = {.family = AF_INET6, .port = get_u16(raw + 16)};

	memcpy(a.ip, raw, 16);
	unmap(&a);
	return a;
}

size_t
addr_ip_size(const struct addr *a)
{
	return a->family == AF_INET ? 4 : 16;
}

size_t
addr_to_compact(const struct addr *a, uint8_t raw[ADDR_COMPACT6])
{
	size_t n = addr_ip_size(a);

	memcpy(raw, a->ip, n);
	put_u16(raw + n, a->port);
	return n + 2;
}

bool
addr_from_sockaddr(struct addr *a, const struct sockaddr *sa)
{
	memset(a, 0, sizeof(*a));
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		a->family = AF_INET;
		a->port = ntohs(in->sin_port);
		memcpy(a->ip, &in->sin_addr, 4);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)sa;

		a->family = AF_INET6;
		a->port = ntohs(in->sin6_port);
		memcpy(a->ip, &in->sin6_addr, 16);
		if (IN6_IS_ADDR_LINKLOCAL(&in->sin6_addr))
			a->scope = in->sin6_scope_id;
		unmap(a);
		return true;
	}
	return false;
}

socklen_t
addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *sa)
{
	memset(sa, 0, sizeof(*sa));
	if (a->family == AF_INET) {
		struct sockaddr_in *in = (void *)sa;

		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (void *)sa;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(a->port);
	in6->sin6_scope_id = a->scope;
	memcpy(&in6->sin6_addr, a->ip, 16);
	return sizeof(*in6);
}

bool
addr_parse(struct addr *a, const char *host, uint16_t port)
{
	char text[ADDR_TEXT_MAX];
	size_t n = strlen(host);
	char *scope;

	memset(a, 0, sizeof(*a));
	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	if (n >= sizeof(text))
		return false;
	memcpy(text, host, n);
	text[n] = '\0';
	a->port = port;
	if (inet_pton(AF_INET, text, a->ip) == 1) {
		a->family = AF_INET;
		return true;
	}
	scope = strchr(text, '%');
	if (scope) {
		*scope++ = '\0';
		a->scope = if_nametoindex(scope);
		if (a->scope == 0)
			return false;
	}
	if (inet_pton(AF_INET6, text, a->ip) != 1)
		return false;
	a->family = AF_INET6;
	unmap(a);
	return true;
}

bool
addr_host_usable(const char *host)
{
	const char *at = host;

	while (*at > ' ' && *at <= '~')
		at++;
	return at > host && *at == '\0';
}

bool
addr_split(const char *text, char *host, size_t host_size, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	size_t n;
	uint64_t number;

	if (!colon || colon == text ||
	    !text_parse_number(colon + 1, 1, UINT16_MAX, &number))
		return false;
	n = (size_t)(colon - text);
	if (text[0] == '[') {
		if (n < 3 || text[n - 1] != ']')
			return false;
		text++;
		n -= 2;
	} else if (memchr(text, ':', n)) {
		return false;
	}
	if (n >= host_size)
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	*port = (uint16_t)number;
	return true;
}

char *
addr_format_ip(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	size_t used;

	if (!inet_ntop(a->family, a->ip, out, ADDR_TEXT_MAX))
		snprintf(out, ADDR_TEXT_MAX, "?");
	used = strlen(out);
	if (a->scope)
		snprintf(out + used, ADDR_TEXT_MAX - used, "%%%u", a->scope);
	return out;
}

char *
addr_format(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	char ip[ADDR_TEXT_MAX];

	addr_format_ip(a, ip);
	snprintf(out, ADDR_TEXT_MAX, a->family == AF_INET6 ? "[%.60s]:%u"
							   : "%.60s:%u",
		 ip, a->port);
	return out;
}

bool
addr_same_ip(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && a->scope == b->scope &&
	       memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	return a->port == b->port && addr_same_ip(a, b);
}

uint32_t
addr_hash(const struct addr *a)
{
	uint32_t h = 2166136261u ^ a->port;	/* FNV-1a */

	for (size_t i = 0; i < sizeof(a->ip); i++)
		h = (h ^ a->ip[i]) * 16777619u;
	return h;
}

bool
addr_usable(const struct addr *a)
{
	static const uint8_t zero[16];

	if (a->port == 0)
		return false;
	if (a->family == AF_INET)
		return a->ip[0] != 0 && a->ip[0] < 224;
	if (a->family == AF_INET6)
		return a->ip[0] != 0xff && memcmp(a->ip, zero, 16) != 0;
	return false;
}

bool
addr_is_loopback(const struct addr *a)
{
	static const uint8_t one[16] = {[15] = 1};

	if (a->family == AF_INET)
		return a->ip[0] == 127;
	return memcmp(a->ip, one, sizeof(one)) == 0;
}

bool
addr_is_local(const struct addr *a)
{
	const uint8_t *ip = a->ip;

	if (addr_is_loopback(a))
		return true;
	if (a->family == AF_INET)
		return ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) ||
		       (ip[0] == 192 && ip[1] == 168) ||
		       (ip[0] == 169 && ip[1] == 254) ||
		       (ip[0] == 100 && (ip[1] & 0xc0) == 64);
	return (ip[0] & 0xfe) == 0xfc ||
	       (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}
