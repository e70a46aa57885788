/*
 * The way through a proxy: where it is, the handshake with it, and what is
 * done when it fails.
 *
 * A dial goes on from its connection to the proxy with the handshake, in the
 * same place among the half-open ones and with the same deadline.  When the
 * proxy fails, all dials rest for a while, longer each time: a second up to
 * half a minute.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "listener_parts.h"
#include "net/proxy.h"
#include "net/socks5.h"

#define PAUSE_MIN (1 * CLOCK_S)
#define PAUSE_DOUBLINGS 5

/* 100::/64; the last four bytes are the name's number. */
static const uint8_t name_prefix[12] = {1};

/* ---- for other threads ---- */

void
listener_set_proxy(struct listener *l, const struct addr *addrs, size_t n)
{
	if (n > LISTENER_PROXY_MAX)
		n = LISTENER_PROXY_MAX;
	mutex_lock(&l->lock);
	memcpy(l->proxies, addrs, n * sizeof(*addrs));
	l->proxy_count = n;
	mutex_unlock(&l->lock);
	wake_up(&l->wake);
}

bool
listener_is_name(const struct addr *a)
{
	return a->family == AF_INET6 &&
	       memcmp(a->ip, name_prefix, sizeof(name_prefix)) == 0;
}

/* Its number, from 1 on; 0 if there is no room. */
static size_t
number_locked(struct listener *l, const char *host, size_t most)
	REQUIRES(l->lock)
{
	struct listener_host *more;
	size_t size = strlen(host) + 1;

	for (size_t i = 0; i < l->name_count; i++)
		if (strcmp(l->names[i].host, host) == 0)
			return i + 1;
	if (l->name_count >= most || size > sizeof(more->host))
		return 0;
	more = realloc(l->names, (l->name_count + 1) * sizeof(*more));
	if (!more)
		return 0;
	l->names = more;
	memcpy(more[l->name_count].host, host, size);
	return ++l->name_count;
}

static bool
name_among(struct listener *l, const char *host, uint16_t port, size_t most,
	   struct addr *out)
{
	size_t number;

	if (!l->config.proxy || addr_parse(out, host, port))
		return false;
	mutex_lock(&l->lock);
	number = number_locked(l, host, most);
	mutex_unlock(&l->lock);
	memset(out, 0, sizeof(*out));
	if (number == 0)
		return true;
	out->family = AF_INET6;
	out->port = port;
	memcpy(out->ip, name_prefix, sizeof(name_prefix));
	put_u32(out->ip + 12, (uint32_t)number);
	return true;
}

bool
listener_name(struct listener *l, const char *host, uint16_t port,
	      struct addr *out)
{
	return name_among(l, host, port, NAMES_MAX, out);
}

bool
listener_name_of_strangers(struct listener *l, const char *host, uint16_t port,
			   struct addr *out)
{
	return name_among(l, host, port, NAMES_MAX / 2, out);
}

/* ---- the listener's thread ---- */

bool
listener_proxy_ready(struct listener *l, int64_t now)
{
	bool known;

	if (!l->config.proxy)
		return true;
	mutex_lock(&l->lock);
	known = l->proxy_count > 0;
	mutex_unlock(&l->lock);
	return known && now >= l->proxy_at;
}

struct addr
listener_proxy_addr(struct listener *l)
{
	struct addr a;

	mutex_lock(&l->lock);
	a = l->proxies[l->proxy_turn % l->proxy_count];
	mutex_unlock(&l->lock);
	return a;
}

/* False when it is none that we gave. */
static bool
find_name(struct listener *l, const struct addr *a, char host[256])
{
	uint32_t number = get_u32(a->ip + 12);
	bool found;

	mutex_lock(&l->lock);
	found = number > 0 && number <= l->name_count;
	if (found)
		memcpy(host, l->names[number - 1].host, 256);
	mutex_unlock(&l->lock);
	return found;
}

void
listener_proxy_failed(struct listener *l, size_t i, const char *why)
{
	int64_t now = clock_ns();

	/* Those that were under way together fail together. */
	if (now >= l->proxy_at) {
		unsigned n = l->proxy_failures < PAUSE_DOUBLINGS
				     ? l->proxy_failures++ : PAUSE_DOUBLINGS;

		l->proxy_at = now + (PAUSE_MIN << n);
		l->proxy_turn++;
	}
	proxy_failed(l->config.proxy, l->log, why);
	listener_dial_end(l, i, ECANCELED);
}

static void
proxy_worked(struct listener *l)
{
	l->proxy_failures = 0;
	l->proxy_at = 0;
	proxy_works(l->config.proxy);
}

void
listener_proxy_begin(struct listener *l, size_t i)
{
	const struct proxy *p = l->config.proxy;
	struct pending *d = &l->dials[i];
	char host[256];
	bool name = listener_is_name(&d->addr);

	if (name && !find_name(l, &d->addr, host)) {
		listener_dial_end(l, i, EADDRNOTAVAIL);
		return;
	}
	d->socks = malloc(sizeof(*d->socks));
	if (!d->socks) {
		listener_dial_end(l, i, ECANCELED);
		return;
	}
	socks5_begin(d->socks, &d->addr, name ? host : NULL, p->user,
		     p->password);
	listener_proxy_talk(l, i);
}

/* True when all is sent; false when it must be waited for, or is over. */
static bool
talk_out(struct listener *l, size_t i)
{
	struct pending *d = &l->dials[i];
	const uint8_t *out;
	size_t n;

	while ((out = socks5_output(d->socks, &n)), n > 0) {
		ssize_t sent = send(d->fd, out, n, MSG_NOSIGNAL);

		if (sent > 0) {
			socks5_sent(d->socks, (size_t)sent);
			continue;
		}
		if (errno == EAGAIN || errno == EINTR)
			d->events = POLLOUT;
		else
			listener_proxy_failed(l, i, "it hangs up");
		return false;
	}
	d->events = POLLIN;
	return true;
}

/* The end of the conversation, for better or worse; false: it goes on. */
static bool
settle(struct listener *l, size_t i)
{
	const struct socks5 *s = l->dials[i].socks;

	switch (s->status) {
	case SOCKS5_MORE:
		return false;
	case SOCKS5_DONE:
		proxy_worked(l);
		listener_dial_end(l, i, 0);
		break;
	case SOCKS5_UNREACHABLE:
		proxy_worked(l);
		listener_dial_end(l, i, s->sys);
		break;
	case SOCKS5_BAD:
		listener_proxy_failed(l, i, s->why);
		break;
	}
	return true;
}

/* Some hang up where they should say that the other end did. */
static void
hung_up(struct listener *l, size_t i)
{
	if (l->dials[i].socks->stage == SOCKS5_CONNECT)
		listener_dial_end(l, i, ECONNRESET);
	else
		listener_proxy_failed(l, i, "it hangs up");
}

void
listener_proxy_talk(struct listener *l, size_t i)
{
	struct socks5 *s = l->dials[i].socks;
	uint8_t in[SOCKS5_IN_MAX];
	ssize_t n;

	while (!settle(l, i) && talk_out(l, i)) {
		n = recv(l->dials[i].fd, in, socks5_wants(s), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			hung_up(l, i);
			return;
		}
		socks5_feed(s, in, (size_t)n);
	}
}
