/*
 * Connections under any packets.  One is ours, and whoever comes in begins
 * more; the input is a row of orders: a packet of any bytes, or one whose
 * numbers are near those that the connection expects, or something that our
 * own side does.  Whatever comes: what is sent can be read and has its bound,
 * what is held has one, and the beat goes on.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "net/utp.h"
#include "net/utp_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONNECTIONS 4

/* An order: kind and flags, time, two distances, a length; then bytes. */
#define KIND 7
#define RAW 5			/* kinds: those of packets, and these */
#define WRITE 6
#define CLOSE 7
#define SACK 8			/* the first four bytes are one */
#define LEAVE 16		/* nothing is taken */
#define SHUT 32			/* no window */
#define OTHER 64		/* from another address */
#define STRANGER 128		/* not to the connection but to none */

struct world {
	uint64_t seed;
	struct utp_packet said;	/* last, to the first address */
	struct utp_packet to_other;
	struct utp *ours;
};

static const struct addr friend = {
	.family = AF_INET, .port = 6881, .ip = {20, 0, 0, 1}};
static const struct addr other = {
	.family = AF_INET6, .port = 6882, .ip = {0x2a, 1}};

static void
send_packet(void *ctx, const struct addr *to, const void *data, size_t n)
{
	struct world *w = ctx;
	struct utp_packet p;

	if (n > UTP_DATAGRAM_MAX || !utp_is_packet(data, n) ||
	    utp_packet_read(&p, data, n) < 0)
		abort();
	p.data = p.sack = NULL;
	if (addr_equal(to, &friend))
		w->said = p;
	else
		w->to_other = p;
}

static void
fill(void *ctx, void *out, size_t n)
{
	struct world *w = ctx;

	for (size_t i = 0; i < n; i++) {
		w->seed = w->seed * 6364136223846793005u + 1;
		((uint8_t *)out)[i] = (uint8_t)(w->seed >> 33);
	}
}

static void
take_all(struct utp *u)
{
	struct utp_part parts[8];
	size_t n, sum;

	while (utp_ready(u) > 0) {
		sum = 0;
		n = utp_peek(u, parts, 8);
		for (size_t i = 0; i < n; i++)
			sum += parts[i].size;
		if (sum == 0 || sum > utp_ready(u))
			abort();
		/* Half of it, so that packets are split. */
		utp_consume(u, sum > 1 ? sum / 2 : sum);
	}
}

static void
serve(struct utp_set *set, struct world *w, bool leave, int64_t now)
{
	struct utp *u;

	while ((u = utp_set_changed(set)) != NULL) {
		if (utp_ready(u) > (size_t)2 * UTP_WINDOW_MAX ||
		    utp_room(u) > UTP_WINDOW_MAX)
			abort();
		if (!leave)
			take_all(u);
		if (utp_state(u) == UTP_ENDED) {
			if (u == w->ours)
				w->ours = NULL;
			utp_free(u, now);
			continue;
		}
		utp_flush(u, now);
	}
	if (utp_set_count(set) > CONNECTIONS)
		abort();
}

static void
beat(struct utp_set *set, struct world *w, bool leave, int64_t now)
{
	for (int i = 0; utp_set_due(set) <= now; i++) {
		utp_set_tick(set, now);
		serve(set, w, leave, now);
		if (i > 100)
			abort();
	}
}

static void
feed_made(struct utp_set *set, const struct world *w, unsigned how,
	  const int8_t off[2], struct bytes *payload, int64_t now)
{
	const struct addr *from = how & OTHER ? &other : &friend;
	const struct utp_packet *last = how & OTHER ? &w->to_other : &w->said;
	uint8_t raw[UTP_HEADER + 2 + 4 + 255];
	struct utp_packet p = {
		.type = (enum utp_type)(how & KIND),
		.id = (uint16_t)(last->id + (last->type == UTP_SYN ? 0 : -1)),
		.sent_us = (uint32_t)(now / CLOCK_US) - 20000,
		.delay_us = 1000 + (uint32_t)(off[0] * off[1]),
		.window = how & SHUT ? 0 : 1 << 20,
		.seq = (uint16_t)(last->ack + 1 + off[0]),
		.ack = (uint16_t)(last->seq + off[1]),
	};
	size_t n;

	if (how & STRANGER)
		p.id = (uint16_t)(last->id + 1);
	if (p.type == UTP_SYN)
		p.id = 77;
	if ((how & SACK) && payload->left >= 4) {
		p.sack = bytes_take(payload, 4);
		p.sack_size = 4;
	}
	n = utp_packet_write(raw, &p);
	memcpy(raw + n, payload->at, payload->left);
	n += payload->left;
	utp_set_packet(set, from, raw, n, now);
}

static void
obey(struct utp_set *set, struct world *w, struct bytes *in, int64_t *now)
{
	static const uint8_t zeros[65536];
	unsigned how = bytes_u8(in), wait = bytes_u8(in);
	int8_t off[2] = {(int8_t)bytes_u8(in), (int8_t)bytes_u8(in)};
	size_t n = bytes_u8(in);
	struct bytes payload;

	n = n < in->left ? n : in->left;
	payload = bytes_over(bytes_take(in, n), n);
	*now += wait & 128 ? (wait & 127) * CLOCK_S / 4 : wait * CLOCK_MS;
	beat(set, w, how & LEAVE, *now);
	if ((how & KIND) == WRITE && w->ours)
		utp_write(w->ours, zeros, n * 257);
	else if ((how & KIND) == CLOSE && w->ours)
		utp_close(w->ours, *now);
	else if ((how & KIND) == RAW && utp_is_packet(payload.at, n))
		utp_set_packet(set, &friend, payload.at, n, *now);
	else if ((how & KIND) < RAW)
		feed_made(set, w, how, off, &payload, *now);
	if (w->ours)
		utp_touch(w->ours);
	serve(set, w, how & LEAVE, *now);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = {.seed = 1};
	struct utp_config config = {.ctx = &w, .send = send_packet,
				    .random = fill, .max = CONNECTIONS};
	struct bytes in = bytes_over(data, size);
	struct utp_set *set = utp_set_new(&config);
	int64_t now = CLOCK_S;

	if (!set)
		return 0;
	w.ours = utp_connect(set, &friend, now);
	while (in.left >= 5)
		obey(set, &w, &in, &now);
	utp_set_free(set);
	return 0;
}
