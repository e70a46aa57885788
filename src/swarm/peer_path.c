/*
 * What TCP says of the way to a peer: how long the queues on it are, what has
 * come to the other side, and whether anything does.  Out of what all
 * connections see, the session learns whether our own upload stands in the
 * way of what we fetch; and the torrent, that a connection hangs.
 */
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include <linux/tcp.h>

#include "net/ratelimit.h"
#include "swarm/peer_parts.h"

#define LOOK_EACH (200 * CLOCK_MS)
#define LOOK_SOON (50 * CLOCK_MS)	/* while the limit of upload is found */
#define DELAY_KEPT (500 * CLOCK_MS)	/* while nothing is acknowledged */
/* What was measured before a longer rest says nothing of today. */
#define STALE (2 * CLOCK_S)
/* Nearer ones are in the same house, and do not come by its line. */
#define NEAR_US 2000
#define LAGS_EACH (1 * CLOCK_S)
#define SILENT (5 * CLOCK_S)	/* while it is its turn */
#define SILENT_AGAIN (1 * CLOCK_S)	/* and an eighth of it so far */
/* aria2 takes two that come within 5 s, as after an outage, for a flood. */
#define ALIVE_EACH (10 * CLOCK_S)
#define HANGS_AFTER 3		/* timeouts of TCP, one after the other */

static bool
ask_kernel(int fd, struct tcp_info *out)
{
	socklen_t size = sizeof(*out);

	out->tcpi_notsent_bytes = 0;	/* not all kernels tell */
	out->tcpi_snd_wnd = UINT32_MAX;
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

/* What we have for it waits, and not for the way: it has no room itself. */
static bool
lags(const struct tcp_info *info)
{
	return info->tcpi_notsent_bytes > 0 &&
	       info->tcpi_snd_wnd < (uint64_t)info->tcpi_snd_cwnd *
					info->tcpi_snd_mss;
}

/* What we send is limited while we fetch something: by what all connections
 * tell, mostly. */
static bool
looks_often(const struct peer *p)
{
	return !p->utp && p->asks_used > 0 &&
	       ratelimit_enabled(p->swarm->up) &&
	       !atomic_load(&p->swarm->complete);
}

static void
note_delay(struct peer *p, int64_t delay)
{
	if (delay < 0 && p->now - p->delay_at <= DELAY_KEPT)
		return;
	if (delay >= 0)
		p->delay_at = p->now;
	atomic_store(&p->queue_delay, delay);
}

void
peer_look_at_path(struct peer *p)
{
	struct tcp_info info;
	int64_t delay = -1;

	if (p->utp || p->now - atomic_load(&p->path_at) <
			      (looks_often(p) ? LOOK_SOON : LOOK_EACH))
		return;
	if (ask_kernel(p->fd, &info)) {
		delay = queue_delay(p, &info);
		atomic_store(&p->acked, info.tcpi_bytes_acked);
		atomic_store(&p->lags, lags(&info));
		atomic_store(&p->far, info.tcpi_min_rtt >= NEAR_US);
		pipeline_set_path(&p->pipeline,
				  (int64_t)info.tcpi_rtt * CLOCK_US);
	}
	note_delay(p, delay);
	atomic_store(&p->path_at, p->now);
}

void
peer_pace(struct peer *p)
{
	uint64_t limit = ratelimit_rate(p->swarm->up);
	uint32_t pace = ratelimit_pace(limit);

	if (limit == p->paced_for || p->utp)
		return;
	p->paced_for = limit;
	setsockopt(p->fd, SOL_SOCKET, SO_MAX_PACING_RATE, &pace, sizeof(pace));
}

/* While what we have for it finds no room there, a look each second. */
int64_t
peer_path_due(const struct peer *p)
{
	if (looks_often(p))
		return atomic_load(&p->path_at) + LOOK_SOON;
	if (p->utp || !(p->out_blocked || atomic_load(&p->lags)))
		return CLOCK_NEVER;
	return atomic_load(&p->path_at) + LAGS_EACH;
}

/* ---- silence ---- */

static int64_t
silence(const struct peer *p)
{
	return p->now - p->heard_at;
}

/* It is to give us something, or to take what we give. */
static bool
owes_us(const struct peer *p)
{
	return p->flight_used > 0 || p->out_blocked ||
	       p->meta_patience.owed > 0 || p->hash_patience.owed > 0;
}

/* Who may ask us may have done so, or wait for what is on its way. */
static bool
is_its_turn(const struct peer *p)
{
	return owes_us(p) ||
	       (atomic_load(&p->interested) && !atomic_load(&p->choked));
}

int64_t
peer_silence_due(const struct peer *p)
{
	int64_t due = p->heard_at + SILENT;

	if (!is_its_turn(p) && !atomic_load(&p->hangs))
		return CLOCK_NEVER;
	return due > p->silence_at ? due : p->silence_at;
}

static void
note_hangs(struct peer *p, bool hangs)
{
	struct swarm *s = p->swarm;

	if (atomic_exchange(&p->hangs, hangs) || !hangs)
		return;
	log_write(s->log, LOG_DETAIL, s->name, "peer %u: hangs: nothing comes, "
		  "and nothing that we say arrives", p->id);
	s->events.hangs(s->events.ctx);
}

/* What could not even leave, as there is no route, is told as probes are. */
static bool
is_unheard(const struct peer *p)
{
	struct tcp_info info;

	if (p->utp)
		return atomic_load(&p->unheard);
	return ask_kernel(p->fd, &info) &&
	       info.tcpi_retransmits + info.tcpi_probes >= HANGS_AFTER;
}

/* Something that we said is under way, and tells as well. */
static bool
is_to_be_acked(const struct peer *p)
{
	struct tcp_info info;

	if (p->utp)
		return atomic_load(&p->unheard);
	return ask_kernel(p->fd, &info) &&
	       (info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0);
}

/*
 * It may have nothing for us just now, or the way is gone.  Then what we say
 * does not arrive, so something must be said; and by that we hear of it, too,
 * if the other side has given up.
 */
void
peer_mind_silence(struct peer *p)
{
	if (atomic_load(&p->hangs) && silence(p) < SILENT)
		note_hangs(p, false);
	if (p->now < peer_silence_due(p))
		return;
	p->silence_at = p->now + SILENT_AGAIN + silence(p) / 8;
	if (p->now - p->said_at >= ALIVE_EACH && !is_to_be_acked(p))
		peer_say_alive(p);
	note_hangs(p, is_its_turn(p) && is_unheard(p));
}

bool
peer_ended_in_silence(const struct peer *p)
{
	return atomic_load(&p->end) == PEER_END_CLOSED && owes_us(p) &&
	       silence(p) >= SILENT;
}
