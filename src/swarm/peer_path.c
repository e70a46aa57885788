/*
 * What TCP says of the way to a peer: how long the queues on it are, and what
 * has come to the other side.  Out of what all connections see, the session
 * learns whether our own upload stands in the way of what we fetch.
 */
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include <linux/tcp.h>

#include "swarm/peer_parts.h"

#define LOOK_EACH (200 * CLOCK_MS)
/* What was measured before a longer rest says nothing of today. */
#define STALE (2 * CLOCK_S)
/* Nearer ones are in the same house, and do not come by its line. */
#define NEAR_US 2000

static bool
ask_kernel(int fd, struct tcp_info *out)
{
	socklen_t size = sizeof(*out);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, out, &size) == 0 &&
	       size >= offsetof(struct tcp_info, tcpi_min_rtt) +
			       sizeof(out->tcpi_min_rtt);
}

/* The round trip is measured by what is acknowledged. */
static int64_t
queue_delay(struct peer *p, const struct tcp_info *info)
{
	bool news = info->tcpi_bytes_acked > atomic_load(&p->acked) &&
		    p->now - atomic_load(&p->path_at) < STALE;

	if (!news || info->tcpi_min_rtt < NEAR_US ||
	    info->tcpi_rtt < info->tcpi_min_rtt)
		return -1;
	return (int64_t)(info->tcpi_rtt - info->tcpi_min_rtt) * CLOCK_US;
}

void
peer_look_at_path(struct peer *p)
{
	struct tcp_info info;
	int64_t delay = -1;

	if (p->utp || p->now - atomic_load(&p->path_at) < LOOK_EACH)
		return;
	if (ask_kernel(p->fd, &info)) {
		delay = queue_delay(p, &info);
		atomic_store(&p->acked, info.tcpi_bytes_acked);
		pipeline_set_path(&p->pipeline,
				  (int64_t)info.tcpi_rtt * CLOCK_US);
	}
	atomic_store(&p->queue_delay, delay);
	atomic_store(&p->path_at, p->now);
}
