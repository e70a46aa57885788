#include "session/utp_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "net/utp.h"
#include "session/listener.h"

#define SPEAK_TIMEOUT (10 * CLOCK_S)	/* the listener's */
#define LEFT_MAX (60 * CLOCK_S)	/* as utp_close gives */
#define SILENT_MAX 256		/* that have not said enough yet; */
#define SILENT_PART 4		/* of all places, no more */
#define DIALLED_PART 2		/* and of those that we call ourselves */
#define PARTS 64
#define PORTION 65536

struct link {
	struct utp *u;
	int fd;			/* our end of the pair, or -1 */
	bool dialled;		/* by us, and not yet reported */
	bool silent;		/* came in, and not yet handed over */
	bool shut;		/* the peer was told of the end */
	bool readable;		/* the pair may have something */
	bool unheard;		/* as was told */
	uint32_t owner;
	int64_t left_at;	/* nobody is at the other end since then */
	int64_t since;
	size_t index;		/* in the array */
};

struct utp_link {
	struct utp_link_config config;
	struct utp_set *set;
	struct link **links;
	size_t count;
	size_t size;
	size_t silent;
	size_t silent_max;
	size_t dialled;
	size_t dialled_max;
	size_t left;
	struct pollfd *fds;
	size_t fds_size;
	uint8_t *portion;
};

static void
fill_random(void *ctx, void *out, size_t n)
{
	(void)ctx;
	random_bytes(out, n);
}

static size_t
part_of(size_t max, size_t part)
{
	return max < part ? 1 : max / part;
}

struct utp_link *
utp_link_new(const struct utp_link_config *config)
{
	struct utp_link *l = calloc(1, sizeof(*l));
	struct utp_config set = {.ctx = config->ctx, .send = config->send,
				 .random = fill_random, .max = config->max};

	if (!l)
		return NULL;
	l->config = *config;
	l->silent_max = part_of(config->max, SILENT_PART);
	if (l->silent_max > SILENT_MAX)
		l->silent_max = SILENT_MAX;
	l->dialled_max = part_of(config->max, DIALLED_PART);
	l->set = utp_set_new(&set);
	l->portion = malloc(PORTION);
	if (l->set && l->portion)
		return l;
	utp_link_free(l, 0);
	return NULL;
}

/* ---- the list ---- */

static struct link *
add(struct utp_link *l, struct utp *u, int64_t now)
{
	struct link *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	if (l->count == l->size) {
		size_t size = l->size ? l->size * 2 : 16;
		struct link **more;

		/* NOLINTNEXTLINE(bugprone-sizeof-expression): pointers */
		more = realloc(l->links, size * sizeof(*more));
		if (!more) {
			free(k);
			return NULL;
		}
		l->links = more;
		l->size = size;
	}
	k->u = u;
	k->fd = -1;
	k->since = now;
	k->left_at = CLOCK_NEVER;
	k->index = l->count;
	l->links[l->count++] = k;
	utp_set_user(u, k);
	return k;
}

static void
drop(struct utp_link *l, struct link *k, int64_t now)
{
	struct link *last = l->links[--l->count];

	l->links[k->index] = last;
	last->index = k->index;
	l->silent -= k->silent;
	l->dialled -= k->dialled;
	l->left -= k->left_at != CLOCK_NEVER;
	if (k->fd >= 0)
		close(k->fd);
	utp_free(k->u, now);
	free(k);
}

void
utp_link_free(struct utp_link *l, int64_t now)
{
	if (!l)
		return;
	while (l->count > 0)
		drop(l, l->links[l->count - 1], now);
	utp_set_free(l->set);
	free(l->links);
	free(l->fds);
	free(l->portion);
	free(l);
}

/* ---- beginning ---- */

/* The other end, or -1 and errno. */
static int
make_pair(struct link *k)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		       0, pair) < 0)
		return -1;
	k->fd = pair[0];
	return pair[1];
}

void
utp_link_dial(struct utp_link *l, uint32_t owner, const struct addr *to,
	      int64_t now)
{
	struct utp *u = NULL;
	struct link *k;

	/* Others are to get in, however many do not answer. */
	if (l->dialled < l->dialled_max)
		u = utp_connect(l->set, to, now);
	k = u ? add(l, u, now) : NULL;
	if (k) {
		k->dialled = true;
		k->owner = owner;
		l->dialled++;
		return;
	}
	utp_free(u, now);
	l->config.dialled(l->config.ctx, owner, to, -1, ENOBUFS);
}

static void
report(struct utp_link *l, struct link *k, int fd, int sys)
{
	k->dialled = false;
	l->dialled--;
	l->config.dialled(l->config.ctx, k->owner, utp_addr(k->u), fd, sys);
}

static struct link *
oldest_silent(struct utp_link *l)
{
	struct link *oldest = NULL;

	for (size_t i = 0; i < l->count; i++)
		if (l->links[i]->silent &&
		    (!oldest || l->links[i]->since < oldest->since))
			oldest = l->links[i];
	return oldest;
}

/* The link of a connection; one that came in has none at first. */
static struct link *
link_of(struct utp_link *l, struct utp *u, int64_t now)
{
	struct link *k = utp_user(u);

	if (k)
		return k;
	if (l->silent == l->silent_max)
		drop(l, oldest_silent(l), now);
	k = add(l, u, now);
	if (!k) {
		utp_free(u, now);
		return NULL;
	}
	k->silent = true;
	l->silent++;
	return k;
}

/* ---- moving bytes ---- */

/* Nobody is at the other end any more. */
static void
hang_up(struct link *k, int64_t now)
{
	close(k->fd);
	k->fd = -1;
	utp_close(k->u, now);
	utp_consume(k->u, utp_ready(k->u));
}

/* What has come, as it is to be sent. */
static size_t
gather(const struct utp *u, struct iovec *iov)
{
	struct utp_part parts[PARTS];
	size_t n = utp_peek(u, parts, PARTS);

	for (size_t i = 0; i < n; i++) {
		memcpy(&iov[i].iov_base, &parts[i].data, sizeof(void *));
		iov[i].iov_len = parts[i].size;
	}
	return n;
}

/* From the connection to the peer. */
static void
deliver(struct link *k, int64_t now)
{
	struct iovec iov[PARTS];
	struct msghdr m = {.msg_iov = iov};
	ssize_t sent = 1;

	if (k->fd < 0 && !k->silent)
		utp_consume(k->u, utp_ready(k->u));
	while (k->fd >= 0 && sent > 0 && utp_ready(k->u) > 0) {
		m.msg_iovlen = gather(k->u, iov);
		sent = sendmsg(k->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent > 0)
			utp_consume(k->u, (size_t)sent);
		else if (errno != EAGAIN && errno != EINTR)
			hang_up(k, now);
	}
	if (k->fd >= 0 && !k->shut && utp_at_end(k->u)) {
		k->shut = true;
		(void)shutdown(k->fd, SHUT_WR);
	}
}

/* From the peer to the connection: no more than it can send. */
static void
fetch(struct utp_link *l, struct link *k, int64_t now)
{
	while (k->fd >= 0 && k->readable) {
		size_t room = utp_room(k->u);
		ssize_t n;

		if (room == 0)
			return;
		if (room > PORTION)
			room = PORTION;
		n = recv(k->fd, l->portion, room, MSG_DONTWAIT);
		if (n > 0 && utp_write(k->u, l->portion, (size_t)n) < (size_t)n)
			n = 0;		/* out of memory: a byte is missing */
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			k->readable = false;
		else if (n <= 0)
			hang_up(k, now);
		else
			k->readable = (size_t)n == room;
	}
}

/* It is connected, or has said enough: somebody will have it.  False when
 * nobody can. */
static bool
hand_over(struct utp_link *l, struct link *k, int64_t now)
{
	int fd;

	if (k->silent && utp_ready(k->u) < LISTENER_PREFIX)
		return !utp_at_end(k->u);
	if (!k->silent && !k->dialled)
		return true;
	fd = make_pair(k);
	if (k->dialled) {
		report(l, k, fd, fd < 0 ? errno : 0);
		return fd >= 0;
	}
	if (fd < 0)
		return false;
	k->silent = false;
	l->silent--;
	deliver(k, now);
	l->config.incoming(l->config.ctx, fd, utp_addr(k->u));
	return true;
}

static void
tell_unheard(struct utp_link *l, struct link *k, bool unheard)
{
	if (k->unheard == unheard)
		return;
	k->unheard = unheard;
	l->config.unheard(l->config.ctx, utp_addr(k->u), unheard);
}

/* The other one may have a new connection by then. */
static void
drop_served(struct utp_link *l, struct link *k, int64_t now)
{
	tell_unheard(l, k, false);
	drop(l, k, now);
}

static void
serve_one(struct utp_link *l, struct link *k, int64_t now)
{
	if (utp_state(k->u) == UTP_CONNECTING)
		return;
	if (utp_state(k->u) == UTP_ENDED) {
		if (k->dialled)
			report(l, k, -1, utp_error(k->u));
		deliver(k, now);
		drop_served(l, k, now);
		return;
	}
	if (!hand_over(l, k, now)) {
		drop(l, k, now);
		return;
	}
	deliver(k, now);
	fetch(l, k, now);
	/* A goodbye behind what does not arrive comes late: until then the
	 * other side takes no other connection of ours. */
	if (k->unheard && (k->left_at != CLOCK_NEVER || k->fd < 0)) {
		drop_served(l, k, now);
		return;
	}
	utp_flush(k->u, now);
	if (k->fd >= 0)
		tell_unheard(l, k, utp_is_unheard(k->u));
}

/* Who says nothing, and what nobody takes of one that we have left: its
 * window may stay shut for as long as the other side likes. */
static int64_t
expires_at(const struct link *k)
{
	if (k->silent)
		return k->since + SPEAK_TIMEOUT;
	return k->left_at == CLOCK_NEVER ? CLOCK_NEVER : k->left_at + LEFT_MAX;
}

static void
expire(struct utp_link *l, int64_t now)
{
	for (size_t i = l->count; l->silent + l->left > 0 && i-- > 0;)
		if (now >= expires_at(l->links[i]))
			drop_served(l, l->links[i], now);
}

void
utp_link_serve(struct utp_link *l, int64_t now, bool (*stuck)(void *ctx))
{
	struct utp *u;

	utp_set_tick(l->set, now);
	expire(l, now);
	while (!stuck(l->config.ctx) && (u = utp_set_changed(l->set))) {
		struct link *k = link_of(l, u, now);

		if (k)
			serve_one(l, k, now);
	}
}

/* ---- waiting ---- */

struct pollfd *
utp_link_poll(struct utp_link *l, size_t spare, size_t *count)
{
	size_t n = spare + l->count;

	if (n > l->fds_size) {
		struct pollfd *more = realloc(l->fds, 2 * n * sizeof(*more));

		if (!more)
			return NULL;
		l->fds = more;
		l->fds_size = 2 * n;
	}
	for (size_t i = 0; i < l->count; i++) {
		const struct link *k = l->links[i];
		struct pollfd *p = &l->fds[spare + i];

		*p = (struct pollfd){.fd = k->fd};
		if (k->fd >= 0 && utp_room(k->u) > 0)
			p->events |= POLLIN;
		if (k->fd >= 0 && utp_ready(k->u) > 0)
			p->events |= POLLOUT;
		/* A hang-up is heard without events, and would end each
		 * poll from then on. */
		if (!p->events && k->left_at != CLOCK_NEVER)
			p->fd = -1;
	}
	*count = n;
	return l->fds;
}

void
utp_link_ready(struct utp_link *l, const struct pollfd *fds, size_t n,
	       int64_t now)
{
	for (size_t i = 0; i < n && i < l->count; i++) {
		struct link *k = l->links[i];

		if (!fds[i].revents)
			continue;
		if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
			k->readable = true;
		if ((fds[i].revents & POLLHUP) && k->left_at == CLOCK_NEVER) {
			k->left_at = now;
			l->left++;
		}
		utp_touch(k->u);
	}
}

int64_t
utp_link_due(const struct utp_link *l)
{
	int64_t due = utp_set_due(l->set);

	for (size_t i = 0; l->silent + l->left > 0 && i < l->count; i++)
		due = clock_min(due, expires_at(l->links[i]));
	return due;
}

void
utp_link_packet(struct utp_link *l, const struct addr *from, const void *data,
		size_t n, int64_t now)
{
	utp_set_packet(l->set, from, data, n, now);
}

bool
utp_link_owes(const struct utp_link *l)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct link *k = l->links[i];

		if (!k->silent && !k->dialled &&
		    utp_state(k->u) == UTP_OPEN &&
		    (k->readable || !utp_all_acked(k->u)))
			return true;
	}
	return false;
}
