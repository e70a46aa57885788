#include "net/portmap_codec.h"

#include <string.h>

#include "base/bytes.h"

#define PCP_VERSION 2
#define PCP_ANNOUNCE 0
#define PCP_MAP 1
#define NATPMP_VERSION 0
#define NATPMP_ADDRESS 0
#define NATPMP_UDP 1
#define NATPMP_TCP 2
#define ANSWER 128		/* added to the operation */
#define RESULT_VERSION 1	/* of both: another version, please */

#define PCP_HEADER 24
#define PCP_MAP_SIZE (PCP_HEADER + 36)
#define NATPMP_MAP_SIZE 12

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* ---- questions ---- */

/* PCP's 16 bytes: an IPv4 address is written as IPv6 maps it. */
static void
put_ip(uint8_t out[16], const struct addr *a)
{
	if (a->family == AF_INET6) {
		memcpy(out, a->ip, 16);
		return;
	}
	memcpy(out, mapped_prefix, 12);
	if (a->family == AF_INET)
		memcpy(out + 12, a->ip, 4);
	else
		memset(out + 12, 0, 4);
}

size_t
pcp_put_map(uint8_t *out, const struct portmap_question *q)
{
	uint8_t *map = out + PCP_HEADER;

	memset(out, 0, PCP_MAP_SIZE);
	out[0] = PCP_VERSION;
	out[1] = PCP_MAP;
	put_u32(out + 4, q->lifetime);
	put_ip(out + 8, &q->client);
	memcpy(map, q->nonce, PCP_NONCE_SIZE);
	map[12] = (uint8_t)q->protocol;
	put_u16(map + 16, q->internal_port);
	if (q->lifetime == 0)	/* 15: no wishes in a removal */
		return PCP_MAP_SIZE;
	put_u16(map + 18, q->external_port);
	put_ip(map + 20, &q->external_ip);
	return PCP_MAP_SIZE;
}

size_t
natpmp_put_map(uint8_t *out, const struct portmap_question *q)
{
	memset(out, 0, NATPMP_MAP_SIZE);
	out[0] = NATPMP_VERSION;
	out[1] = q->protocol == PORTMAP_TCP ? NATPMP_TCP : NATPMP_UDP;
	put_u16(out + 4, q->internal_port);
	if (q->lifetime > 0)
		put_u16(out + 6, q->external_port);
	put_u32(out + 8, q->lifetime);
	return NATPMP_MAP_SIZE;
}

size_t
natpmp_put_address(uint8_t *out)
{
	out[0] = NATPMP_VERSION;
	out[1] = NATPMP_ADDRESS;
	return 2;
}

/* ---- answers ---- */

/* An address that others could reach; anything else is none. */
static void
take_ip(struct addr *out, const uint8_t *ip, size_t size)
{
	uint8_t raw[ADDR_COMPACT6];
	struct addr a;

	memcpy(raw, ip, size);
	put_u16(raw + size, 1);
	a = size == 4 ? addr_from_compact4(raw) : addr_from_compact6(raw);
	if (addr_usable(&a))
		*out = a;
	out->port = 0;
}

static void
take_map(struct bytes *b, struct portmap_answer *a)
{
	uint8_t protocol, ip[16];

	bytes_copy(b, a->nonce, sizeof(a->nonce));
	protocol = bytes_u8(b);
	bytes_take(b, 3);
	a->internal_port = bytes_u16(b);
	a->external_port = bytes_u16(b);
	bytes_copy(b, ip, sizeof(ip));
	a->protocol = protocol == PORTMAP_TCP ? PORTMAP_TCP : PORTMAP_UDP;
	if (protocol != PORTMAP_TCP && protocol != PORTMAP_UDP)
		b->failed = true;
	if (a->result == 0)
		take_ip(&a->external_ip, ip, sizeof(ip));
}

bool
pcp_read(const uint8_t *data, size_t size, struct portmap_answer *a)
{
	struct bytes b = bytes_over(data, size);
	uint8_t version = bytes_u8(&b), operation = bytes_u8(&b);
	uint8_t first = bytes_u8(&b), second = bytes_u8(&b);

	memset(a, 0, sizeof(*a));
	if (bytes_failed(&b) || size > PORTMAP_PACKET_MAX ||
	    !(operation & ANSWER))
		return false;
	if (version != PCP_VERSION) {
		/* NAT-PMP's result has 16 bits, PCP's the lower 8 of them. */
		a->kind = PORTMAP_OTHER_VERSION;
		a->result = second;
		return second == RESULT_VERSION &&
		       (version != NATPMP_VERSION || first == 0);
	}
	a->result = second;
	a->lifetime = bytes_u32(&b);
	a->epoch = bytes_u32(&b);
	bytes_take(&b, 12);
	if (a->result == RESULT_VERSION) {
		a->kind = PORTMAP_OTHER_VERSION;
	} else if (operation == ANSWER + PCP_MAP) {
		a->kind = PORTMAP_MAPPED;
		take_map(&b, a);
	} else {
		a->kind = PORTMAP_RESTARTED;
		b.failed = b.failed || operation != ANSWER + PCP_ANNOUNCE;
	}
	return !bytes_failed(&b);
}

static void
natpmp_take_map(struct bytes *b, struct portmap_answer *a)
{
	a->kind = PORTMAP_MAPPED;
	a->internal_port = bytes_u16(b);
	a->external_port = bytes_u16(b);
	a->lifetime = bytes_u32(b);
}

static void
natpmp_take_address(struct bytes *b, struct portmap_answer *a)
{
	const uint8_t *ip = bytes_take(b, 4);

	a->kind = PORTMAP_ADDRESS;
	if (ip && a->result == 0)
		take_ip(&a->external_ip, ip, 4);
}

bool
natpmp_read(const uint8_t *data, size_t size, struct portmap_answer *a)
{
	struct bytes b = bytes_over(data, size);
	uint8_t version = bytes_u8(&b), operation = bytes_u8(&b);

	memset(a, 0, sizeof(*a));
	a->result = bytes_u16(&b);
	a->epoch = bytes_u32(&b);
	if (bytes_failed(&b) || size > PORTMAP_PACKET_MAX ||
	    version != NATPMP_VERSION)
		return false;
	a->protocol = operation == ANSWER + NATPMP_TCP ? PORTMAP_TCP
						       : PORTMAP_UDP;
	if (a->result == RESULT_VERSION)
		a->kind = PORTMAP_OTHER_VERSION;
	else if (operation == ANSWER + NATPMP_ADDRESS)
		natpmp_take_address(&b, a);
	else if (operation == ANSWER + NATPMP_UDP ||
		 operation == ANSWER + NATPMP_TCP)
		natpmp_take_map(&b, a);
	else
		return false;
	return !bytes_failed(&b);
}

bool
portmap_answers(const struct portmap_answer *a, enum portmap_method by,
		const struct portmap_question *q)
{
	return a->kind == PORTMAP_MAPPED && a->protocol == q->protocol &&
	       a->internal_port == q->internal_port &&
	       (by != PORTMAP_PCP ||
		memcmp(a->nonce, q->nonce, sizeof(a->nonce)) == 0);
}

const char *
portmap_result(enum portmap_method by, unsigned result)
{
	static const char *const pcp[] = {
		"granted", "another version is wanted", "not authorized",
		"the request is malformed", "the operation is not known",
		"the option is not known", "the option is malformed",
		"the network has failed", "no resources are left",
		"the protocol is not known", "the quota is used up",
		"it has no such external address", "another NAT is between",
		"too many peers are excluded",
	};
	static const char *const natpmp[] = {
		"granted", "another version is wanted", "not authorized",
		"the network has failed", "no resources are left",
		"the operation is not known",
	};

	if (by == PORTMAP_PCP && result < sizeof(pcp) / sizeof(*pcp))
		return pcp[result];
	if (by == PORTMAP_NATPMP && result < sizeof(natpmp) / sizeof(*natpmp))
		return natpmp[result];
	return "refused";
}

/* ---- times ---- */

int64_t
portmap_wait(unsigned tries)
{
	if (tries >= PORTMAP_TRIES)
		return 0;
	return PORTMAP_FIRST_WAIT << tries;
}

int64_t
portmap_renew_at(uint32_t lifetime, int64_t now)
{
	uint32_t s;

	if (lifetime > PORTMAP_LIFETIME_MAX)
		lifetime = PORTMAP_LIFETIME_MAX;
	s = lifetime / 2;
	if (s < PORTMAP_RENEW_MIN_S)
		s = PORTMAP_RENEW_MIN_S;
	return now + s * CLOCK_S;
}

/* RFC 6887, 8.5: both clocks may be off by a sixteenth, and two seconds. */
static bool
pcp_runs_true(int64_t client, int64_t server)
{
	return client + 2 >= server - server / 16 &&
	       server + 2 >= client - client / 16;
}

/* RFC 6886, 3.6: at least seven eighths of our time, less two seconds. */
static bool
natpmp_runs_true(int64_t client, int64_t server)
{
	return server + 2 >= client * 7 / 8;
}

bool
portmap_epoch_take(struct portmap_epoch *e, enum portmap_method by,
		   uint32_t server, int64_t now)
{
	int64_t passed = (now - e->at) / CLOCK_S;
	int64_t told = (int64_t)server - e->server;
	bool kept = true;

	if (e->known && by == PORTMAP_PCP)
		kept = told >= -1 && pcp_runs_true(passed, told);
	else if (e->known)
		kept = natpmp_runs_true(passed, told);
	e->known = true;
	e->server = server;
	e->at = now;
	return kept;
}
