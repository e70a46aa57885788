/*
 * The engine under any packets: a row of them, each with a byte for its
 * length, one for who sends it and one for how long it took.  Where a packet
 * begins with "d1:t4:" the transaction of the latest query is put in, so that
 * answers reach their questions.  Whatever comes: the beat goes on, packets
 * have their bounds, traffic has its budget.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "discover/dht.h"
#include "discover/dht_krpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	uint64_t seed;
	uint64_t sent;
	uint8_t transaction[4];
	struct addr asked;
};

static void
send_packet(void *ctx, const struct addr *to, const void *data, size_t n)
{
	struct world *w = ctx;
	static struct krpc m;

	w->sent += n;
	if (n > KRPC_PACKET_MAX || !addr_usable(to) ||
	    krpc_read(&m, data, n, NULL) < 0)
		abort();
	if (m.type == KRPC_QUERY && m.transaction.size == 4) {
		memcpy(w->transaction, m.transaction.at, 4);
		w->asked = *to;
	}
}

static void
take_peers(void *ctx, const uint8_t info_hash[20], const struct addr *peers,
	   size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++)
		if (!addr_usable(&peers[i]) || info_hash[0] != 5)
			abort();
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

static struct addr
source(const struct world *w, uint8_t who)
{
	struct addr a = {.family = AF_INET, .port = 6881};

	if (who == 0)
		return w->asked;
	a.ip[0] = who & 1 ? 127 : 20;
	a.ip[1] = who;
	a.ip[3] = 1;
	if (who >= 192) {
		a.family = AF_INET6;
		a.ip[0] = 0x2a;
	}
	return a;
}

static void
beat(struct dht *d, int64_t now)
{
	for (int i = 0; dht_due(d) <= now; i++) {
		dht_tick(d, now);
		if (i > 100)
			abort();
	}
}

static void
run(struct dht *d, struct world *w, struct bytes *in)
{
	int64_t now = CLOCK_S, start = now;
	struct dht_wish wish = {.info_hash = {5}, .port = 6881};

	dht_search(d, &wish, now);
	while (in->left > 3) {
		size_t n = bytes_u8(in);
		struct addr from = source(w, bytes_u8(in));
		uint8_t wait = bytes_u8(in), packet[255];

		n = n < in->left ? n : in->left;
		bytes_copy(in, packet, n);
		if (n > 10 && memcmp(packet, "d1:t4:", 6) == 0)
			memcpy(packet + 6, w->transaction, 4);
		now += wait & 128 ? (wait & 127) * CLOCK_S
				  : wait * 20 * CLOCK_MS;
		if (wait == 77)
			dht_add_node(d, &from, now);
		beat(d, now);
		dht_packet(d, &from, packet, n, now);
		beat(d, now);
	}
	if (w->sent > 65536 + 8192u * (uint64_t)((now - start) / CLOCK_S + 1))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = {.seed = 1};
	struct dht_config config = {.ctx = &w, .send = send_packet,
				    .peers = take_peers, .random = fill,
				    .ipv4 = true, .ipv6 = true};
	struct dht *d = dht_new(&config, CLOCK_S);
	struct bytes in = bytes_over(data, size);
	struct buffer saved;

	if (!d)
		return 0;
	if (size > 0 && data[0] == 0)
		(void)dht_load(d, data + 1, size - 1, CLOCK_S);
	run(d, &w, &in);
	buffer_init(&saved, DHT_SAVE_MAX);
	if (dht_save(d, 10000 * CLOCK_S, &saved) < 0)
		abort();
	buffer_release(&saved);
	dht_free(d);
	return 0;
}
