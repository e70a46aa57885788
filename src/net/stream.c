#include "net/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void
stream_init(struct stream *s, int fd)
{
	*s = (struct stream){.fd = fd};
}

void
stream_release(struct stream *s)
{
	rc4_free(s->ciphers.in);
	rc4_free(s->ciphers.out);
	free(s->buffer);
	*s = (struct stream){.fd = -1};
}

void
stream_secure(struct stream *s, struct mse *m)
{
	mse_take_ciphers(m, &s->ciphers);
}

/* ---- the handshake ---- */

/* Not an error of the connection: the rest stays for later. */
static bool
is_only_full(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* Looks at what came, and takes what the handshake wants of it. */
static ssize_t
feed(const struct stream *s, struct mse *m)
{
	uint8_t data[2048];
	ssize_t n = recv(s->fd, data, sizeof(data), MSG_PEEK);
	size_t used = 0;

	if (n <= 0)
		return n;
	mse_feed(m, data, (size_t)n, &used);
	return recv(s->fd, data, used, 0);
}

static int
send_output(const struct stream *s, struct mse *m)
{
	size_t n;
	const uint8_t *data = mse_output(m, &n);
	ssize_t sent;

	while (n > 0) {
		sent = send(s->fd, data, n, MSG_NOSIGNAL);
		if (sent < 0)
			return is_only_full() ? 0 : -1;
		mse_sent(m, (size_t)sent);
		data = mse_output(m, &n);
	}
	return 0;
}

enum mse_status
stream_shake(const struct stream *s, struct mse *m, short *events,
	     const char **why)
{
	ssize_t n = 1;
	size_t left;

	while (n > 0 && mse_status(m) == MSE_MORE) {
		if (send_output(s, m) < 0)
			goto lost;
		n = feed(s, m);
		if (n == 0)
			goto lost;
		if (n < 0 && !is_only_full())
			goto lost;
	}
	if (mse_status(m) == MSE_BAD) {
		*why = mse_why(m);
		return MSE_BAD;
	}
	if (send_output(s, m) < 0)
		goto lost;
	mse_output(m, &left);
	if (mse_status(m) == MSE_DONE && left == 0)
		return MSE_DONE;
	*events = left > 0 ? POLLOUT : 0;
	if (mse_status(m) == MSE_MORE)
		*events |= POLLIN;
	return MSE_MORE;
lost:
	*why = "closed during the encrypted handshake";
	return MSE_BAD;
}

bool
stream_is_utp(const struct stream *s)
{
	int domain = 0;
	socklen_t size = sizeof(domain);

	return getsockopt(s->fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       domain == AF_UNIX;
}

bool
stream_is_plain(const struct stream *s)
{
	return !s->ciphers.out;
}

ssize_t
stream_recv(struct stream *s, void *buf, size_t n)
{
	struct mse_ciphers *c = &s->ciphers;
	ssize_t got = recv(s->fd, buf, n, 0);
	size_t part;

	if (got <= 0 || !c->in)
		return got;
	part = (uint64_t)got < c->in_left ? (size_t)got : (size_t)c->in_left;
	rc4_crypt(c->in, buf, part);
	if (c->in_left != UINT64_MAX)
		c->in_left -= part;
	if (c->in_left == 0) {
		rc4_free(c->in);
		c->in = NULL;
	}
	return got;
}

/* ---- sending ---- */

size_t
stream_pending(const struct stream *s)
{
	return s->used - s->sent;
}

static ssize_t
flush(struct stream *s, bool more)
{
	int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
	ssize_t n;

	if (s->sent == s->used)
		return 0;
	n = send(s->fd, s->buffer + s->sent, s->used - s->sent, flags);
	if (n <= 0)
		return n;
	s->sent += (size_t)n;
	if (s->sent == s->used)
		s->sent = s->used = 0;
	return n;
}

ssize_t
stream_flush(struct stream *s)
{
	return flush(s, false);
}

uint8_t *
stream_room(struct stream *s, size_t *n)
{
	if (!s->buffer)
		s->buffer = malloc(STREAM_BUFFER);
	if (!s->buffer) {
		errno = ENOMEM;
		return NULL;
	}
	if (s->used - s->sent == STREAM_BUFFER && flush(s, false) < 0)
		return NULL;
	if (s->sent > 0) {
		memmove(s->buffer, s->buffer + s->sent, s->used - s->sent);
		s->used -= s->sent;
		s->sent = 0;
	}
	*n = STREAM_BUFFER - s->used;
	return s->buffer + s->used;
}

int
stream_commit(struct stream *s, size_t n, bool more)
{
	rc4_crypt(s->ciphers.out, s->buffer + s->used, n);
	s->used += n;
	/* What follows at once goes along in one call, if there is room. */
	if (more && s->used < STREAM_BUFFER)
		return 0;
	return flush(s, more) < 0 && !is_only_full() ? -1 : 0;
}

ssize_t
stream_send(struct stream *s, const void *data, size_t n, bool more)
{
	uint8_t *to;
	size_t room;

	if (stream_is_plain(s))
		return send(s->fd, data, n,
			    MSG_NOSIGNAL | (more ? MSG_MORE : 0));
	to = stream_room(s, &room);
	if (!to)
		return -1;
	if (n > room)
		n = room;
	memcpy(to, data, n);
	return stream_commit(s, n, more) < 0 ? -1 : (ssize_t)n;
}
