/*
 * Any packets as those of a UDP tracker.  The input is a row of packets,
 * each with a byte for its length and one that says how long it took; a
 * transaction id of 0 stands for the one that is asked for.  The exchange
 * must end, in bounded tries, whatever the tracker sends.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "discover/tracker_udp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
run(struct tracker_udp *u, struct bytes *in, struct tracker_answer *answer)
{
	struct tracker_udp_link link = {0};
	uint8_t out[TRACKER_UDP_MAX], packet[255];
	struct tracker_udp_packet p = {.data = packet};
	int64_t now = CLOCK_S;

	while (in->left > 2) {
		size_t n = bytes_u8(in);
		uint8_t wait = bytes_u8(in);
		struct error e = {0};

		n = n < in->left ? n : in->left;
		bytes_copy(in, packet, n);
		now += (wait & 127) * CLOCK_S;
		if (tracker_udp_expired(u, now))
			return;
		if (tracker_udp_send(u, &link, now, 5, out) > sizeof(out))
			abort();
		if (n >= 8 && get_u32(packet + 4) == 0)
			put_u32(packet + 4, u->transaction);
		p.size = n;
		p.family = wait & 128 ? AF_INET6 : AF_INET;
		if (tracker_udp_receive(u, &link, &p, now, answer, &e) !=
		    TRACKER_UDP_BUSY)
			return;
		if (u->announces > u->tries_max || u->tries > u->tries_max)
			abort();
	}
}

static void
split(const uint8_t *data, size_t size)
{
	char url[TRACKER_URL_MAX + 16], host[64], path[TRACKER_URL_MAX];
	uint16_t port;
	size_t n = size < sizeof(url) - 7 ? size : sizeof(url) - 7;

	memcpy(url, "udp://", 6);
	if (n > 0)
		memcpy(url + 6, data, n);
	url[6 + n] = '\0';
	if (tracker_udp_split(url, host, sizeof(host), &port, path) &&
	    (port == 0 || !memchr(path, '\0', sizeof(path)) ||
	     !memchr(host, '\0', sizeof(host))))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tracker_request request = {.port = 1};
	struct tracker_answer answer;
	struct tracker_udp u;
	struct bytes in = bytes_over(data, size);

	split(data, size);
	tracker_answer_init(&answer);
	tracker_udp_start(&u, &request, "/announce", 4, CLOCK_S);
	run(&u, &in, &answer);
	if (answer.peer_count > TRACKER_PEERS_MAX)
		abort();
	tracker_answer_release(&answer);
	return 0;
}
