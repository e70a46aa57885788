/*
 * The handshake: plain, or inside of an encrypted one.  Going out, ours is
 * sent along with the encrypted one, so that this costs no round trip more.
 * What came in encrypted was met by whoever found the torrent by it; here
 * only the stream is taken over.
 *
 * Coming in, ours is the answer to the info hash: some programs keep their
 * peer id back until they have it.
 *
 * A try that fails says no more than that: the torrent dials again, the
 * other way.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "swarm/peer_parts.h"

#define HANDSHAKE_TIMEOUT (10 * CLOCK_S)
/* Two round trips.  Who answers in plain alone mostly closes at once; who
 * says nothing should not delay the plain try for long. */
#define ENCRYPTED_TIMEOUT (6 * CLOCK_S)

static int
wait_socket(struct peer *p, short events, int64_t until)
{
	struct pollfd fds[2] = {{.fd = p->fd, .events = events},
				{.fd = p->wake.fd, .events = POLLIN}};
	int64_t now = clock_ns();

	if (now >= until)
		return peer_end(p, PEER_END_REFUSED, "handshake timed out");
	if (poll(fds, 2, clock_poll_ms(now, until)) < 0 && errno != EINTR)
		return peer_end(p, PEER_END_CLOSED, "%m");
	if (fds[1].revents)
		wake_drain(&p->wake);
	if (atomic_load(&p->stop))
		return peer_end(p, PEER_END_STOPPED, "stopped");
	return 0;
}

/* The hash that this connection is, or is to be, about. */
static const uint8_t *
our_hash(const struct peer *p)
{
	return p->v2 ? p->swarm->hash_v2 : p->swarm->hash_v1;
}

static bool
has_version(const struct peer *p, unsigned version)
{
	return (atomic_load(&p->swarm->versions) & version) != 0;
}

static void
put_handshake(const struct peer *p, uint8_t raw[HANDSHAKE_SIZE])
{
	struct handshake ours = {
		.extended = true,
		.fast = true,
		.dht = atomic_load(&p->swarm->dht_port) != 0,
		.v2 = has_version(p, SWARM_V2),
	};

	memcpy(ours.info_hash, our_hash(p), 20);
	memcpy(ours.peer_id, p->swarm->peer_id, 20);
	handshake_put(raw, &ours);
}

/* Until the socket has all of it. */
static int
flush(struct peer *p, int64_t until)
{
	while (stream_pending(&p->stream) > 0) {
		if (stream_flush(&p->stream) >= 0)
			continue;
		if (errno != EAGAIN && errno != EINTR)
			return peer_end(p, PEER_END_REFUSED, "%m");
		if (wait_socket(p, POLLOUT, until) < 0)
			return -1;
	}
	return 0;
}

static int
send_handshake(struct peer *p, int64_t until)
{
	uint8_t raw[HANDSHAKE_SIZE];
	size_t sent = 0;

	put_handshake(p, raw);
	while (sent < sizeof(raw)) {
		ssize_t n = stream_send(&p->stream, raw + sent,
					sizeof(raw) - sent, false);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return peer_end(p, PEER_END_REFUSED, "%m");
		if (n > 0)
			sent += (size_t)n;
		else if (wait_socket(p, POLLOUT, until) < 0)
			return -1;
	}
	return flush(p, until);
}

/*
 * By which hash do we go on?  Whoever comes by a hybrid's v1 hash and knows
 * v2 is answered by the v2 one, and so may we be.  Without that, an answer
 * has the hash that was asked for.
 */
static bool
judge_hash(struct peer *p)
{
	bool v1 = has_version(p, SWARM_V1) &&
		  memcmp(p->remote.info_hash, p->swarm->hash_v1, 20) == 0;
	bool v2 = has_version(p, SWARM_V2) &&
		  memcmp(p->remote.info_hash, p->swarm->hash_v2, 20) == 0;

	if (!v1 && !v2)
		return false;
	if (!p->incoming && p->v2 && !v2)
		return false;
	p->v2 = v2 || (p->incoming && p->remote.v2 &&
		       has_version(p, SWARM_V2));
	return true;
}

/* Until so much of it is there, and no more. */
static int
receive(struct peer *p, size_t size, int64_t until)
{
	while (p->in_used < size) {
		ssize_t n = stream_recv(&p->stream, p->in + p->in_used,
					size - p->in_used);

		if (n == 0)
			return peer_end(p, PEER_END_REFUSED,
					"closed during the handshake");
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return peer_end(p, PEER_END_REFUSED, "%m");
		if (n > 0)
			p->in_used += (size_t)n;
		else if (wait_socket(p, POLLIN, until) < 0)
			return -1;
		if (p->in_used >= HANDSHAKE_PREFIX &&
		    !handshake_is_plain(p->in, p->in_used))
			return peer_end(p, PEER_END_REFUSED,
					"not a BitTorrent handshake");
	}
	return 0;
}

static int
receive_hash(struct peer *p, int64_t until)
{
	if (receive(p, HANDSHAKE_HASH_END, until) < 0)
		return -1;
	memset(p->in + HANDSHAKE_HASH_END, 0,
	       HANDSHAKE_SIZE - HANDSHAKE_HASH_END);
	if (!handshake_parse(p->in, &p->remote))
		return peer_end(p, PEER_END_REFUSED, "bad handshake");
	if (!judge_hash(p))
		return peer_end(p, PEER_END_REFUSED, "another torrent");
	return 0;
}

static int
receive_id(struct peer *p, int64_t until)
{
	if (receive(p, HANDSHAKE_SIZE, until) < 0)
		return -1;
	p->in_used = 0;
	memcpy(p->remote.peer_id, p->in + HANDSHAKE_HASH_END, 20);
	return 0;
}

/* ---- encrypted ---- */

static void
take_over(struct peer *p)
{
	p->method = mse_method(p->mse);
	stream_secure(&p->stream, p->mse);
	mse_free(p->mse);
	p->mse = NULL;
}

static int
exchange(struct peer *p, int64_t until)
{
	const char *why = "";
	short events = 0;

	for (;;) {
		switch (stream_shake(&p->stream, p->mse, &events, &why)) {
		case MSE_DONE:
			return 0;
		case MSE_BAD:
			return peer_end(p, PEER_END_REFUSED, "%s", why);
		case MSE_MORE:
			break;
		}
		if (wait_socket(p, events, until) < 0)
			return -1;
	}
}

/* Ours is on its way when this is done. */
static int
call_encrypted(struct peer *p)
{
	struct mse_config config = {.library = p->swarm->rc4,
				    .methods = p->swarm->methods};
	uint8_t raw[HANDSHAKE_SIZE];

	put_handshake(p, raw);
	p->mse = mse_new_outgoing(&config, our_hash(p), raw, sizeof(raw));
	if (!p->mse)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	if (exchange(p, clock_ns() + ENCRYPTED_TIMEOUT) < 0)
		return -1;
	take_over(p);
	return 0;
}

int
peer_shake_hands(struct peer *p)
{
	int64_t until;

	/* Without a v1 hash there is no other way. */
	if (!p->incoming && !has_version(p, SWARM_V1))
		p->v2 = true;
	if (p->mse)
		take_over(p);
	else if (p->encrypted && call_encrypted(p) < 0)
		return -1;
	until = clock_ns() + HANDSHAKE_TIMEOUT;
	if (!p->incoming && !p->encrypted && send_handshake(p, until) < 0)
		return -1;
	if (receive_hash(p, until) < 0)
		return -1;
	if (p->incoming && send_handshake(p, until) < 0)
		return -1;
	return receive_id(p, until);
}
