/*
 * Any bytes as UDP packets: each is 16 bits of length and the packet.  Where
 * a packet is no connect, the id is made valid, or nothing behind it would
 * ever be reached.
 */
#include <stdlib.h>
#include <string.h>

#include "session/tracker_service.h"

static const struct tracker_swarm_limits limits = {
	.swarms = 4, .peers = 16, .per_swarm = 8, .per_host = 3,
	.life_ns = 1000,
};

static const uint8_t connect_packet[16] = {0, 0, 4, 0x17, 0x27, 0x10, 0x19,
					   0x80};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
serve(struct tracker_service *s, const uint8_t *data, size_t size,
      int64_t now, struct buffer *out)
{
	struct addr from = {.ip = {127, [3] = 1}, .family = AF_INET};
	uint8_t packet[2048];

	if (size > sizeof(packet))
		size = sizeof(packet);
	memcpy(packet, data, size);
	if (size > 0 && packet[size - 1] & 1)
		from.family = AF_INET6;
	tracker_service_udp(s, connect_packet, sizeof(connect_packet), &from,
			    now, out);
	if (out->used != 16)
		abort();
	if (size >= 16 && get_u32(packet + 8) != 0)
		memcpy(packet, out->data + 8, 8);
	tracker_service_udp(s, packet, size, &from, now, out);
	if (out->failed || (out->used > 0 && out->used < 8))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tracker_service s = {.interval_s = 1};
	struct bytes b = bytes_over(data, size);
	struct buffer out;

	s.swarms = tracker_swarms_new(&limits, 1);
	if (!s.swarms)
		return 0;
	buffer_init(&out, TRACKER_SERVICE_UDP_MAX);
	for (int64_t now = 0; b.left >= 2; now += 300) {
		size_t n = bytes_u16(&b);

		if (n > b.left)
			n = b.left;
		serve(&s, bytes_take(&b, n), n, now, &out);
	}
	if (tracker_swarms_totals(s.swarms).peers > limits.peers)
		abort();
	buffer_release(&out);
	tracker_swarms_free(s.swarms);
	return 0;
}
