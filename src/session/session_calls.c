/*
 * What the listener's thread and the udp thread ask and tell: which torrent
 * a connection is for, which peers were found.
 */
#include <string.h>
#include <unistd.h>

#include "net/mse.h"
#include "session/session_parts.h"
#include "swarm/wire.h"

/* To be dropped. */
static struct torrent *
torrent_for(struct session *s, const uint8_t info_hash[20])
{
	struct torrent *t = NULL;

	mutex_lock(&s->lock);
	for (size_t i = 0; i < s->count && !t; i++)
		if (torrent_wants(s->torrents[i], info_hash))
			t = s->torrents[i];
	if (t)
		torrent_hold(t);
	mutex_unlock(&s->lock);
	return t;
}

static void
on_incoming(void *ctx, int fd, const struct addr *from,
	    const uint8_t prefix[LISTENER_PREFIX])
{
	struct session *s = ctx;
	struct torrent *t = NULL;

	if (s->config->encryption != ENCRYPTION_REQUIRE &&
	    handshake_is_plain(prefix, LISTENER_PREFIX))
		t = torrent_for(s, prefix + HANDSHAKE_PREFIX + 8);
	if (!t) {
		close(fd);
		return;
	}
	torrent_incoming(t, fd, from, NULL);
	torrent_drop(t);
}

bool
session_find_secret(void *ctx, const uint8_t hash[20], uint8_t info_hash[20])
{
	struct session *s = ctx;
	const uint8_t *found = NULL;

	mutex_lock(&s->lock);
	for (size_t i = 0; i < s->count && !found; i++) {
		found = torrent_wants_secret(s->torrents[i], hash);
		if (found)
			memcpy(info_hash, found, 20);
	}
	mutex_unlock(&s->lock);
	return found != NULL;
}

static void
on_encrypted(void *ctx, int fd, const struct addr *from, struct mse *mse)
{
	struct torrent *t = torrent_for(ctx, mse_info_hash(mse));

	if (t) {
		torrent_incoming(t, fd, from, mse);
		torrent_drop(t);
		return;
	}
	close(fd);
	mse_free(mse);
}

static void
on_dialled(void *ctx, uint32_t owner, const struct addr *to, int fd, int sys)
{
	struct torrent *t = session_hold(ctx, owner);

	if (t) {
		torrent_dialled(t, to, fd, sys);
		torrent_drop(t);
	} else if (fd >= 0) {
		close(fd);
	}
}

struct listener_events
session_listener_events(struct session *s)
{
	return (struct listener_events){
		.ctx = s,
		.incoming = on_incoming,
		.dialled = on_dialled,
		.encrypted = on_encrypted,
	};
}

/* ---- called by the udp thread ---- */

void
session_on_found(void *ctx, const uint8_t info_hash[20],
		 enum udp_source source, const struct addr *peers, size_t n)
{
	struct torrent *t = torrent_for(ctx, info_hash);

	if (!t)
		return;
	torrent_found(t, info_hash, source, peers, n);
	torrent_drop(t);
}

void
session_on_utp_incoming(void *ctx, int fd, const struct addr *from)
{
	struct session *s = ctx;

	listener_take(s->listener, fd, from);
}

void
session_on_utp_dialled(void *ctx, uint32_t owner, const struct addr *to,
		       int fd, int sys)
{
	struct torrent *t = session_hold(ctx, owner);

	if (t) {
		torrent_utp_dialled(t, to, fd, sys);
		torrent_drop(t);
	} else if (fd >= 0) {
		close(fd);
	}
}

void
session_on_utp_unheard(void *ctx, const struct addr *with, bool unheard)
{
	struct session *s = ctx;

	mutex_lock(&s->lock);
	for (size_t i = 0; i < s->count; i++)
		torrent_utp_unheard(s->torrents[i], with, unheard);
	mutex_unlock(&s->lock);
}
