/*
 * Any bytes as what an HTTP connection sends: split into heads as the server
 * does it, each answered.  An answer must be whole and within its bound.
 */
#include <stdlib.h>
#include <string.h>

#include "session/tracker_query.h"
#include "session/tracker_service.h"

static const struct tracker_swarm_limits limits = {
	.swarms = 4, .peers = 16, .per_swarm = 8, .per_host = 3,
	.life_ns = 1000,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tracker_service s = {.interval_s = 1};
	struct addr from = {.ip = {127, [3] = 1}, .family = AF_INET};
	struct buffer out;
	size_t n;

	s.swarms = tracker_swarms_new(&limits, 1);
	if (!s.swarms)
		return 0;
	buffer_init(&out, TRACKER_SERVICE_HTTP_MAX);
	for (int64_t now = 0; size > 0; now += 300) {
		size_t part = size < TRACKER_QUERY_HEAD_MAX
				  ? size : TRACKER_QUERY_HEAD_MAX;

		n = tracker_head_size(data, part);
		if (n > part)
			abort();
		if (n == 0)
			n = part;
		tracker_service_http(&s, data, n, &from, now, &out);
		if (out.failed || out.used < 12 ||
		    memcmp(out.data, "HTTP/1.1 ", 9) != 0 ||
		    memcmp(out.data + 9, "500", 3) == 0)
			abort();
		from.ip[0] ^= 64;	/* by turns local and not */
		data += n;
		size -= n;
	}
	if (tracker_swarms_totals(s.swarms).peers > limits.peers)
		abort();
	buffer_release(&out);
	tracker_swarms_free(s.swarms);
	return 0;
}
