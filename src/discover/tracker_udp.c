#include "discover/tracker_udp.h"

#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/text.h"

#define PROTOCOL_ID 0x41727101980ull
#define LINK_LIFE (60 * CLOCK_S)
#define FIRST_TIMEOUT (15 * CLOCK_S)
/* One lost packet need not cost all of that. */
#define FIRST_TRY (4 * CLOCK_S)
#define OPTION_URL_DATA 2
#define HOST_MAX 256

enum action {
	ACTION_CONNECT = 0,
	ACTION_ANNOUNCE = 1,
	ACTION_ERROR = 3,
};

void
tracker_udp_start(struct tracker_udp *u, const struct tracker_request *request,
		  const char *path, unsigned tries_max, int64_t now)
{
	size_t n = strnlen(path, sizeof(u->path) - 1);

	memset(u, 0, sizeof(*u));
	u->request = *request;
	memcpy(u->path, path, n);
	u->tries_max = tries_max < TRACKER_UDP_TRIES_MAX
			   ? tries_max
			   : TRACKER_UDP_TRIES_MAX;
	u->due = now;
}

bool
tracker_udp_expired(const struct tracker_udp *u, int64_t now)
{
	return now >= u->due && u->tries >= u->tries_max;
}

static void
put_url_data(struct buffer *b, const char *path)
{
	size_t left = strlen(path);

	while (left > 0) {
		size_t n = left < UINT8_MAX ? left : UINT8_MAX;

		buffer_u8(b, OPTION_URL_DATA);
		buffer_u8(b, (uint8_t)n);
		buffer_put(b, path, n);
		path += n;
		left -= n;
	}
}

static void
put_announce(struct buffer *b, const struct tracker_udp *u, uint64_t id)
{
	const struct tracker_request *r = &u->request;

	buffer_u64(b, id);
	buffer_u32(b, ACTION_ANNOUNCE);
	buffer_u32(b, u->transaction);
	buffer_put(b, r->info_hash, sizeof(r->info_hash));
	buffer_put(b, r->peer_id, sizeof(r->peer_id));
	buffer_u64(b, r->downloaded);
	buffer_u64(b, r->left);
	buffer_u64(b, r->uploaded);
	buffer_u32(b, (uint32_t)r->event);
	buffer_u32(b, 0);	/* our address: it sees it */
	buffer_u32(b, r->key);
	buffer_u32(b, r->numwant);
	buffer_u16(b, r->port);
	put_url_data(b, u->path);
}

/* How long this many tries have, all together. */
static int64_t
time_of(unsigned tries)
{
	if (tries < 2)
		return tries * FIRST_TRY;
	return FIRST_TIMEOUT * ((1 << (tries - 1)) - 1);
}

size_t
tracker_udp_send(struct tracker_udp *u, struct tracker_udp_link *link,
		 int64_t now, uint32_t random, uint8_t out[TRACKER_UDP_MAX])
{
	bool connecting = now >= link->expires;
	struct buffer b;
	size_t size;

	if (now < u->due || u->tries >= u->tries_max)
		return 0;
	/* The answer to an earlier try of the same kind is as good. */
	if (!u->sent || connecting != u->connecting)
		u->transaction = random;
	u->sent = true;
	u->connecting = connecting;
	u->tries++;
	u->due = now + time_of(u->tries) - time_of(u->tries - 1);
	buffer_init(&b, TRACKER_UDP_MAX);
	if (connecting) {
		buffer_u64(&b, PROTOCOL_ID);
		buffer_u32(&b, ACTION_CONNECT);
		buffer_u32(&b, u->transaction);
	} else {
		u->announces = u->tries;
		put_announce(&b, u, link->id);
	}
	size = b.failed ? 0 : b.used;
	if (size > 0)
		memcpy(out, b.data, size);
	buffer_release(&b);
	return size;
}

/* Ready to send the next kind of packet at once.  Announces that stayed
 * unanswered count on: connecting in between must not make it endless. */
static void
send_next(struct tracker_udp *u, int64_t now)
{
	u->sent = false;
	u->tries = u->announces;
	u->due = now;
}

void
tracker_udp_again(struct tracker_udp *u, int64_t now)
{
	u->connected = false;
	if (u->announces >= u->tries_max && !u->again) {
		u->announces = u->tries_max - 1;
		u->again = true;
	}
	send_next(u, now);
}

static enum tracker_udp_state
receive_error(struct tracker_udp *u, struct tracker_udp_link *link,
	      struct bytes *b, int64_t now, struct error *e)
{
	char words[TRACKER_TEXT_MAX];
	size_t size = b->left;
	bool stale = !u->connecting && !u->connected;

	/* It may have restarted and not know the connection any more. */
	link->expires = 0;
	if (stale) {
		send_next(u, now);
		return TRACKER_UDP_BUSY;
	}
	while (size > 0 && b->at[size - 1] == '\0')
		size--;
	text_tracker_words(words, sizeof(words), b->at, size, u->path);
	if (words[0] != '\0')
		error_set(e, ERROR_PROTOCOL, "the tracker says '%s'", words);
	else
		error_set(e, ERROR_PROTOCOL,
			  "the tracker refused without a reason");
	return TRACKER_UDP_FAILED;
}

static enum tracker_udp_state
receive_connect(struct tracker_udp *u, struct tracker_udp_link *link,
		struct bytes *b, int64_t now)
{
	uint64_t id = bytes_u64(b);

	if (bytes_failed(b))
		return TRACKER_UDP_BUSY;
	link->id = id;
	link->expires = now + LINK_LIFE;
	u->connected = true;
	send_next(u, now);
	return TRACKER_UDP_BUSY;
}

/* Some trackers send -1 for what they do not know. */
static int64_t
count_of(uint32_t number)
{
	return number <= INT32_MAX ? (int64_t)number : -1;
}

static enum tracker_udp_state
receive_announce(struct bytes *b, int family, struct tracker_answer *answer,
		 struct error *e)
{
	size_t step = family == AF_INET6 ? ADDR_COMPACT6 : ADDR_COMPACT4;
	uint32_t interval = bytes_u32(b);
	uint32_t leechers = bytes_u32(b);
	uint32_t seeds = bytes_u32(b);

	if (bytes_failed(b))
		return TRACKER_UDP_BUSY;
	answer->interval = interval;
	answer->leechers = count_of(leechers);
	answer->seeds = count_of(seeds);
	while (b->left >= step) {
		const uint8_t *raw = bytes_take(b, step);
		struct addr peer = family == AF_INET6
				       ? addr_from_compact6(raw)
				       : addr_from_compact4(raw);

		if (tracker_answer_add(answer, &peer) != 0) {
			error_memory(e);
			return TRACKER_UDP_FAILED;
		}
	}
	return TRACKER_UDP_ANSWERED;
}

enum tracker_udp_state
tracker_udp_receive(struct tracker_udp *u, struct tracker_udp_link *link,
		    const struct tracker_udp_packet *packet, int64_t now,
		    struct tracker_answer *answer, struct error *e)
{
	struct bytes b = bytes_over(packet->data, packet->size);
	uint32_t action = bytes_u32(&b);
	uint32_t transaction = bytes_u32(&b);

	if (bytes_failed(&b) || !u->sent || transaction != u->transaction)
		return TRACKER_UDP_BUSY;
	if (action == ACTION_ERROR)
		return receive_error(u, link, &b, now, e);
	if (u->connecting && action == ACTION_CONNECT)
		return receive_connect(u, link, &b, now);
	if (!u->connecting && action == ACTION_ANNOUNCE)
		return receive_announce(&b, packet->family, answer, e);
	return TRACKER_UDP_BUSY;
}

bool
tracker_udp_split(const char *url, char *host, size_t host_size,
		  uint16_t *port, char path[TRACKER_URL_MAX])
{
	char authority[300];
	const char *start = url + 6;
	const char *rest;
	struct buffer encoded;
	size_t n;

	if (strncasecmp(url, "udp://", 6) != 0)
		return false;
	n = strcspn(start, "/?#");
	rest = start + n;
	if (n >= sizeof(authority) || memchr(start, '@', n))
		return false;
	memcpy(authority, start, n);
	authority[n] = '\0';
	if (!addr_split(authority, host, host_size, port))
		return false;
	buffer_init(&encoded, TRACKER_URL_MAX - 1);
	if (*rest == '?')
		buffer_u8(&encoded, '/');
	buffer_url(&encoded, rest, strcspn(rest, "#"));
	if (encoded.failed) {
		buffer_release(&encoded);
		return false;
	}
	if (encoded.used > 0)
		memcpy(path, encoded.data, encoded.used);
	path[encoded.used] = '\0';
	buffer_release(&encoded);
	return true;
}

bool
tracker_udp_is_number(const char *url)
{
	char path[TRACKER_URL_MAX], host[HOST_MAX];
	struct addr a;
	uint16_t port;

	return tracker_udp_split(url, host, sizeof(host), &port, path) &&
	       addr_parse(&a, host, port);
}
