/*
 * The udp thread's part in uTP: packets of the DHT and of uTP come by the
 * same sockets, and all of uTP's go out in batches.
 */
#include <errno.h>

#include "base/clock.h"
#include "discover/blocklist.h"
#include "discover/dht.h"
#include "net/datagram_batch.h"
#include "net/utp_packet.h"
#include "session/utp_link.h"
#include "udp_parts.h"

/* At the end: for what others have not yet acknowledged. */
#define LINGER (2 * CLOCK_S)

static void
send_packet(void *ctx, const struct addr *to, const void *data, size_t n)
{
	struct udp *u = ctx;

	if (datagram_batch_add(u->batch, to, data, n))
		return;
	if (!u->stuck)
		u->stuck = !datagram_batch_flush(u->batch, u->sockets);
	(void)datagram_batch_add(u->batch, to, data, n);
}

static void
incoming(void *ctx, int fd, const struct addr *from)
{
	const struct udp *u = ctx;

	u->config.events.incoming(u->config.events.ctx, fd, from);
}

static void
dialled(void *ctx, uint32_t owner, const struct addr *to, int fd, int sys)
{
	const struct udp *u = ctx;

	u->config.events.dialled(u->config.events.ctx, owner, to, fd, sys);
}

static void
unheard(void *ctx, const struct addr *with, bool unheard)
{
	const struct udp *u = ctx;

	u->config.events.unheard(u->config.events.ctx, with, unheard);
}

int
udp_utp_begin(struct udp *u, struct error *e)
{
	struct utp_link_config config = {
		.ctx = u,
		.send = send_packet,
		.incoming = incoming,
		.dialled = dialled,
		.unheard = unheard,
		.max = u->config.utp_max,
	};

	u->linger_until = CLOCK_NEVER;
	/* A link sends through the batch, as it is freed, too. */
	u->batch = datagram_batch_new();
	if (u->batch && u->config.utp)
		u->link = utp_link_new(&config);
	if (u->batch && (u->link || !u->config.utp))
		return 0;
	return error_memory(e);
}

void
udp_utp_release(struct udp *u)
{
	if (u->link) {
		utp_link_free(u->link, clock_ns());
		(void)datagram_batch_flush(u->batch, u->sockets);
	}
	datagram_batch_free(u->batch);
}

int
udp_connect(struct udp *u, uint32_t owner, const struct addr *to)
{
	struct command c = {.order = ORDER_DIAL, .owner = owner, .node = *to};

	return u->config.utp ? udp_tell(u, &c) : -1;
}

void
udp_utp_dial(struct udp *u, const struct command *c, int64_t now)
{
	if (u->sockets[c->node.family == AF_INET6] < 0)
		dialled(u, c->owner, &c->node, -1, EAFNOSUPPORT);
	else
		utp_link_dial(u->link, c->owner, &c->node, now);
}

static void
take(void *ctx, const struct addr *from, const uint8_t *data, size_t n)
{
	struct udp *u = ctx;

	if (blocklist_has(u->config.blocklist, from))
		return;
	if (u->link && utp_is_packet(data, n))
		utp_link_packet(u->link, from, data, n, clock_ns());
	else if (u->dht)
		dht_packet(u->dht, from, data, n, clock_ns());
}

void
udp_read(struct udp *u, int fd)
{
	datagram_batch_read(u->batch, fd, u, take);
}

static bool
is_stuck(void *ctx)
{
	const struct udp *u = ctx;

	return u->stuck;
}

void
udp_utp_serve(struct udp *u, int64_t now)
{
	if (u->stuck)
		u->stuck = !datagram_batch_flush(u->batch, u->sockets);
	utp_link_serve(u->link, now, is_stuck);
	if (!u->stuck)
		u->stuck = !datagram_batch_flush(u->batch, u->sockets);
}

bool
udp_utp_done(struct udp *u, int64_t now)
{
	if (!u->link || !utp_link_owes(u->link))
		return true;
	if (u->linger_until == CLOCK_NEVER)
		u->linger_until = now + LINGER;
	return now >= u->linger_until;
}
