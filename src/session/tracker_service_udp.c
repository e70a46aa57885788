#include "session/tracker_service.h"

#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/hash.h"
#include "session/tracker_query.h"

/* All of it is BEP 15's. */
#define PROTOCOL_ID 0x41727101980
#define ID_LIFE_S 120
#define ANNOUNCE_HEAD 20
#define SCRAPE_MAX 74

enum {
	ACTION_CONNECT,
	ACTION_ANNOUNCE,
	ACTION_SCRAPE,
	ACTION_ERROR,
};

struct request {
	uint64_t id;
	uint32_t action;
	uint32_t transaction;
	struct bytes rest;
	const struct addr *from;
	int64_t now;
};

/* The low 16 bits are the second of its making, which thus need not be
 * searched for; a port that changes on the way (NAT) does not matter. */
static uint64_t
connection_id(const struct tracker_service *s, const struct addr *from,
	      uint64_t second)
{
	uint8_t message[sizeof(s->secret) + sizeof(from->ip) + 2 + 8];
	uint8_t digest[SHA256_SIZE];
	uint8_t *at = message;

	memcpy(at, s->secret, sizeof(s->secret));
	at += sizeof(s->secret);
	memcpy(at, from->ip, sizeof(from->ip));
	at += sizeof(from->ip);
	put_u16(at, from->family);
	put_u64(at + 2, second);
	hash_sha256(digest, message, sizeof(message));
	return (get_u64(digest) & ~UINT64_C(0xffff)) | (second & 0xffff);
}

static bool
id_holds(const struct tracker_service *s, const struct request *r)
{
	uint64_t second = (uint64_t)(r->now / CLOCK_S);
	uint64_t age = (second - r->id) & 0xffff;

	return age <= ID_LIFE_S && age <= second &&
	       connection_id(s, r->from, second - age) == r->id;
}

static void
put_head(struct buffer *out, uint32_t action, const struct request *r)
{
	buffer_u32(out, action);
	buffer_u32(out, r->transaction);
}

static void
put_error(struct buffer *out, const struct request *r, const char *text)
{
	buffer_clear(out);
	put_head(out, ACTION_ERROR, r);
	buffer_str(out, text);
}

static void
answer_connect(const struct tracker_service *s, const struct request *r,
	       struct buffer *out)
{
	uint64_t second = (uint64_t)(r->now / CLOCK_S);

	if (r->id != PROTOCOL_ID)
		return;
	put_head(out, ACTION_CONNECT, r);
	buffer_u64(out, connection_id(s, r->from, second));
}

/* What follows the fixed part (the options of BEP 41) is left alone: the
 * path of the URL does not matter here. */
static bool
read_announce(struct request *r, struct tracker_swarm_announce *a,
	      struct addr *ip, uint32_t *want)
{
	struct bytes *b = &r->rest;
	uint32_t event, numwant;
	uint8_t raw[ADDR_COMPACT4] = {[ADDR_COMPACT4 - 1] = 1};

	*a = (struct tracker_swarm_announce){0};
	bytes_copy(b, a->info_hash, sizeof(a->info_hash));
	bytes_copy(b, a->peer_id, sizeof(a->peer_id));
	bytes_u64(b);				/* downloaded */
	a->complete = bytes_u64(b) == 0;
	bytes_u64(b);				/* uploaded */
	event = bytes_u32(b);
	bytes_copy(b, raw, 4);
	bytes_u32(b);				/* key */
	numwant = bytes_u32(b);
	a->addr.port = bytes_u16(b);
	if (event <= TRACKER_SWARM_STOPPED)
		a->event = (enum tracker_swarm_event)event;
	*ip = addr_from_compact4(raw);
	if (!addr_usable(ip))
		*ip = (struct addr){0};
	*want = numwant > INT32_MAX ? TRACKER_QUERY_WANT : numwant;
	return !bytes_failed(b);
}

static void
answer_announce(struct tracker_service *s, struct request *r,
		struct buffer *out)
{
	struct tracker_swarm_peer peers[TRACKER_QUERY_WANT_MAX];
	uint16_t family = r->from->family;
	size_t each = family == AF_INET6 ? ADDR_COMPACT6 : ADDR_COMPACT4;
	size_t most = (TRACKER_SERVICE_UDP_MAX - ANNOUNCE_HEAD) / each;
	struct tracker_swarm_counts counts;
	struct tracker_swarm_announce a;
	uint8_t raw[ADDR_COMPACT6];
	struct addr ip;
	struct error e;
	uint32_t want;
	size_t n;

	if (!read_announce(r, &a, &ip, &want)) {
		put_error(out, r, "the announce is too short");
		return;
	}
	if (tracker_service_announce(s, &a, r->from, &ip, r->now, &e) != 0) {
		put_error(out, r, e.text);
		return;
	}
	if (most > TRACKER_QUERY_WANT_MAX)
		most = TRACKER_QUERY_WANT_MAX;
	if (a.event == TRACKER_SWARM_STOPPED)
		want = 0;
	n = tracker_swarms_pick(s->swarms, &a, family, peers,
				want < most ? want : most);
	counts = tracker_swarms_counts(s->swarms, a.info_hash);
	put_head(out, ACTION_ANNOUNCE, r);
	buffer_u32(out, s->interval_s);
	buffer_u32(out, counts.incomplete);
	buffer_u32(out, counts.complete);
	for (size_t i = 0; i < n; i++)
		buffer_put(out, raw, addr_to_compact(&peers[i].addr, raw));
}

static void
answer_scrape(struct tracker_service *s, struct request *r,
	      struct buffer *out)
{
	struct tracker_swarm_counts counts;
	const uint8_t *hash;

	s->scrapes++;
	if (r->rest.left < SHA1_SIZE) {
		put_error(out, r, "the scrape names no torrent");
		return;
	}
	tracker_swarms_expire(s->swarms, r->now);
	put_head(out, ACTION_SCRAPE, r);
	for (int i = 0; i < SCRAPE_MAX && r->rest.left >= SHA1_SIZE; i++) {
		hash = bytes_take(&r->rest, SHA1_SIZE);
		counts = tracker_swarms_counts(s->swarms, hash);
		buffer_u32(out, counts.complete);
		buffer_u32(out, counts.downloaded);
		buffer_u32(out, counts.incomplete);
	}
}

void
tracker_service_udp(struct tracker_service *s, const void *packet,
		    size_t size, const struct addr *from, int64_t now,
		    struct buffer *out)
{
	struct bytes b = bytes_over(packet, size);
	struct request r = {.from = from, .now = now};

	buffer_clear(out);
	r.id = bytes_u64(&b);
	r.action = bytes_u32(&b);
	r.transaction = bytes_u32(&b);
	r.rest = b;
	if (bytes_failed(&b))
		return;
	if (r.action == ACTION_CONNECT) {
		answer_connect(s, &r, out);
		return;
	}
	if (!id_holds(s, &r))
		return;
	if (r.action == ACTION_ANNOUNCE)
		answer_announce(s, &r, out);
	else if (r.action == ACTION_SCRAPE)
		answer_scrape(s, &r, out);
	else
		put_error(out, &r, "the action is not known");
	if (out->failed)
		buffer_clear(out);
}
