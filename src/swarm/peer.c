#include "swarm/peer.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "swarm/havelog.h"
#include "swarm/peer_parts.h"

#define SILENCE_TIMEOUT (180 * CLOCK_S)	/* BEP 3: keepalives each 120 s */
#define STUCK_TIMEOUT (120 * CLOCK_S)	/* it takes nothing of what we send */
#define SNUB_TIMEOUT (60 * CLOCK_S)
#define HELD_UP (1 * CLOCK_S)	/* by more than what a turn takes */

int
peer_end(struct peer *p, enum peer_end end, const char *fmt, ...)
{
	va_list ap;

	if (atomic_load(&p->end) != PEER_END_NONE)
		return -1;
	atomic_store(&p->end, (int)end);
	va_start(ap, fmt);
	vsnprintf(p->why, sizeof(p->why), fmt, ap);
	va_end(ap);
	return -1;
}

/* ---- the loop ---- */

/* A request that other ones overtook by far is not waited for. */
static void
drop_late_requests(struct peer *p)
{
	size_t freed = 0;

	while (peer_flight_due(p) <= p->now) {
		struct block b = peer_flight_oldest(p)->block;

		peer_flight_remove(p, &b, NULL);
		freed += picker_return(p->swarm->picker, p->pp, &b);
	}
	peer_give_back(p, freed);
}

/* They are not worth a word any more; but what stays in flight must be what
 * stays with the picker, or it would be with this peer for good. */
static void
drop_cancelled(struct peer *p)
{
	struct block blocks[16];
	size_t n;

	do {
		n = picker_take_cancels(p->swarm->picker, p->pp, blocks, 16);
		for (size_t i = 0; i < n; i++)
			peer_flight_remove(p, &blocks[i], NULL);
	} while (n == 16);
}

static void
snub(struct peer *p)
{
	size_t freed;

	drop_cancelled(p);
	freed = picker_return_but(p->swarm->picker, p->pp, 1);
	log_write(p->swarm->log, LOG_DEBUG, p->swarm->name,
		  "peer %u: snubbed: no data for 60 s", p->id);
	pipeline_snubbed(&p->pipeline);
	atomic_store(&p->snubbed, true);
	if (p->flight_used > 1)
		p->flight_used = 1;
	p->block_at = p->now;
	peer_give_back(p, freed);
}

/* Deadlines that are over; -1: the end. */
static int
check_time(struct peer *p)
{
	if (p->now - p->heard_at >= SILENCE_TIMEOUT)
		return peer_end(p, PEER_END_CLOSED, "silent for too long");
	if (p->out_blocked && p->now - p->moved_at >= STUCK_TIMEOUT)
		return peer_end(p, PEER_END_CLOSED, "takes no data");
	if (p->flight_used > 0 && p->now - p->block_at >= SNUB_TIMEOUT)
		snub(p);
	if (!atomic_load(&p->swarm->complete))
		return 0;
	if (atomic_load(&p->upload_only))
		return peer_end(p, PEER_END_STOPPED, "both complete");
	/* Whatever comes now is small. */
	peer_slow_down(p);
	return 0;
}

static int64_t
next_due(const struct peer *p)
{
	int64_t due = p->heard_at + SILENCE_TIMEOUT;

	if (p->out_blocked)
		due = clock_min(due, p->moved_at + STUCK_TIMEOUT);
	if (p->flight_used > 0)
		due = clock_min(due, p->block_at + SNUB_TIMEOUT);
	due = clock_min(due, peer_path_due(p));
	due = clock_min(due, peer_silence_due(p));
	due = clock_min(due, peer_flight_due(p));
	if (p->recv_at > p->now)
		due = clock_min(due, p->recv_at);
	return clock_min(due, peer_send_due(p));
}

/* The one place where a peer thread waits. */
static int
wait_for_more(struct peer *p)
{
	struct pollfd fds[2] = {{.fd = p->fd},
				{.fd = p->wake.fd, .events = POLLIN}};
	int timeout = clock_poll_ms(p->now, next_due(p));

	if (p->recv_at <= p->now && !loads_waits(&p->seeker))
		fds[0].events |= POLLIN;
	if (p->out_blocked)
		fds[0].events |= POLLOUT;
	/* Without POLLIN a hang-up would end each poll at once. */
	if (!fds[0].events)
		fds[0].fd = -1;
	if (poll(fds, 2, timeout) < 0 && errno != EINTR)
		return peer_end(p, PEER_END_CLOSED, "%m");
	p->now = clock_ns();
	if (fds[1].revents)
		wake_drain(&p->wake);
	if (fds[0].revents & POLLOUT)
		p->out_blocked = false;
	if (fds[0].revents & (POLLIN | POLLERR | POLLHUP))
		p->in_more = true;
	return 0;
}

/* There is something to receive, now is the time, and there is room. */
static bool
receives(const struct peer *p)
{
	return p->in_more && p->recv_at <= p->now && !loads_waits(&p->seeker);
}

/* A disk may have held us up, or does: it is not the peer that is silent. */
static void
take_time(struct peer *p)
{
	int64_t now = clock_ns(), held = now - p->now;

	if (held >= HELD_UP) {
		p->heard_at += held;
		p->block_at += held;
		p->moved_at += held;
		for (size_t i = 0; i < p->flight_used; i++)
			peer_flight_oldest(p)[i].at_us +=
				(uint32_t)(held / CLOCK_US);
	}
	p->now = now;
	if (!p->in_more || !loads_waits(&p->seeker))
		return;
	if (p->heard_at < now)
		p->heard_at = now;
	p->block_at = now;
}

static void
loop(struct peer *p)
{
	while (!atomic_load(&p->stop)) {
		take_time(p);
		/* A busy thread comes to no poll, and sees this all the same. */
		if (atomic_exchange(&p->woken, false))
			p->look_around = true;
		/* First: what is late may be asked for again. */
		drop_late_requests(p);
		if (peer_send(p) < 0 || check_time(p) < 0)
			return;
		peer_look_at_path(p);
		peer_mind_silence(p);
		if (!p->out_more && !receives(p) && wait_for_more(p) < 0)
			return;
		if (receives(p) && peer_receive(p) < 0)
			return;
	}
	peer_end(p, PEER_END_STOPPED, "stopped");
}

static void
work(struct peer *p)
{
	struct swarm *s = p->swarm;
	const char *why;

	if (!s->events.admit(s->events.ctx, p, &why)) {
		peer_end(p, PEER_END_STOPPED, "%s", why);
		return;
	}
	if (atomic_load(&s->ready)) {
		p->pp = picker_join(s->picker, p->id, p->source);
		if (!p->pp) {
			peer_end(p, PEER_END_STOPPED, "out of memory");
			return;
		}
		atomic_store(&p->told, havelog_length(s->havelog));
	}
	atomic_store(&p->admitted, true);
	p->now = clock_ns();
	p->heard_at = p->said_at = p->moved_at = p->block_at = p->now;
	p->in_more = true;
	atomic_fetch_add(&s->peers, 1);
	peer_put_hello(p);
	loop(p);
	atomic_fetch_sub(&s->peers, 1);
	peer_slow_down(p);
	if (p->pp)
		loads_drain(s->loads);
	peer_meta_leave(p);
	peer_point_leave(p);
	peer_hashes_leave(p);
	if (p->pp)
		peer_give_back(p, picker_leave(s->picker, p->pp));
}

static void
say_goodbye(struct peer *p)
{
	char text[ADDR_TEXT_MAX];

	if (!log_wants(p->swarm->log, LOG_DETAIL))
		return;
	log_write(p->swarm->log, LOG_DETAIL, p->swarm->name,
		  "peer %u %s%s%s: closed: %s", p->id,
		  addr_format(&p->addr, text), *p->said.client ? " " : "",
		  p->said.client, p->why);
}

/* A goodbye that waits behind what does not arrive comes late, and until then
 * the other side takes no new connection of ours. */
static void
reset_on_close(int fd)
{
	struct linger none = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

static void
run(void *arg)
{
	struct peer *p = arg;
	struct swarm *s = p->swarm;
	int one = 1;

	if (!p->utp)
		setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one,
			   sizeof(one));
	if (peer_shake_hands(p) == 0)
		work(p);
	peer_return_credit(p);
	say_goodbye(p);
	stream_release(&p->stream);
	if (peer_ended_in_silence(p))
		atomic_store(&p->hangs, true);
	if (atomic_load(&p->hangs))
		reset_on_close(p->fd);
	close(p->fd);
	p->fd = -1;
	atomic_store(&p->ended, true);
	s->events.ended(s->events.ctx, p);
}

/* ---- for other threads ---- */

struct peer *
peer_new(const struct peer_start *start, struct error *e)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (!p) {
		close(start->fd);
		mse_free(start->mse);
		error_memory(e);
		return NULL;
	}
	p->swarm = start->swarm;
	p->id = start->id;
	p->fd = start->fd;
	p->addr = start->addr;
	p->incoming = start->incoming;
	p->v2 = start->v2;
	p->encrypted = start->encrypt || start->mse;
	p->mse = start->mse;
	stream_init(&p->stream, start->fd);
	p->utp = stream_is_utp(&p->stream);
	p->source = start->source;
	p->hash_from.address = start->source;
	p->wake.fd = -1;
	mutex_init(&p->words_lock);
	p->connected_at = clock_ns();
	atomic_store(&p->choking_us, true);
	atomic_store(&p->choked, true);
	atomic_store(&p->queue_delay, -1);
	pipeline_init(&p->pipeline);
	buffer_init(&p->out, PEER_OUT_MAX);
	p->seeker.wake = &p->wake;
	p->in_size = PEER_IN_SIZE;
	p->in = malloc(p->in_size);
	if (!p->in)
		error_memory(e);
	if (!p->in || wake_init(&p->wake, e) < 0 ||
	    thread_start(&p->thread, "peer", THREAD_STACK_SMALL, run, p,
			 e) < 0) {
		close(p->fd);
		peer_free(p);
		return NULL;
	}
	return p;
}

void
peer_stop(struct peer *p)
{
	atomic_store(&p->stop, true);
	wake_up(&p->wake);
}

void
peer_free(struct peer *p)
{
	if (!p)
		return;
	thread_join(&p->thread);
	wake_release(&p->wake);
	mutex_release(&p->words_lock);
	buffer_release(&p->out);
	stream_release(&p->stream);
	mse_free(p->mse);
	free(p->in);
	free(p->flight);
	free(p->asks);
	free(p->early);
	bitfield_release(&p->meta_serve);
	free(p->hash_asks);
	free(p->pex_told);
	free(p);
}

void
peer_wake(struct peer *p)
{
	atomic_store(&p->woken, true);
	wake_up(&p->wake);
}

void
peer_order_unchoke(struct peer *p, bool unchoke)
{
	if (atomic_exchange(&p->order_unchoke, unchoke) != unchoke)
		wake_up(&p->wake);
}

void
peer_look(const struct peer *p, struct peer_view *out)
{
	uint64_t downloaded = atomic_load(&p->downloaded);
	uint64_t uploaded = atomic_load(&p->uploaded);
	bool seed = atomic_load(&p->seed);

	*out = (struct peer_view){
		.id = p->id,
		.addr = p->addr,
		.incoming = p->incoming,
		.encrypted = p->encrypted,
		.utp = p->utp,
		.admitted = atomic_load(&p->admitted),
		.interested = atomic_load(&p->interested),
		.interesting = atomic_load(&p->interesting),
		.choking_us = atomic_load(&p->choking_us),
		.ordered_unchoke = atomic_load(&p->order_unchoke),
		.seed = seed,
		.upload_only = atomic_load(&p->upload_only),
		.holepunch = atomic_load(&p->holepunch),
		.snubbed = atomic_load(&p->snubbed),
		.hangs = atomic_load(&p->hangs),
		.useful = seed || downloaded + uploaded > 0 ||
			  atomic_load(&p->gave_facts),
		.ended = atomic_load(&p->ended),
		.downloaded = downloaded,
		.uploaded = uploaded,
		.acked = atomic_load(&p->acked),
		.queue_delay = atomic_load(&p->queue_delay),
		.path_at = atomic_load(&p->path_at),
		.far = atomic_load(&p->far),
		.lags = atomic_load(&p->lags),
		.connected_at = p->connected_at,
		.told = atomic_load(&p->told),
		.end = (enum peer_end)atomic_load(&p->end),
	};
}

const uint8_t *
peer_remote_id(const struct peer *p)
{
	return p->remote.peer_id;
}

uint32_t
peer_id_number(const struct peer *p)
{
	return p->id;
}

uint64_t
peer_source(const struct peer *p)
{
	return p->source;
}

const struct addr *
peer_addr(const struct peer *p)
{
	return &p->addr;
}

bool
peer_incoming(const struct peer *p)
{
	return p->incoming;
}

unsigned
peer_method(const struct peer *p)
{
	return p->method;
}

bool
peer_by_v2(const struct peer *p)
{
	return p->v2;
}

bool
peer_utp(const struct peer *p)
{
	return p->utp;
}

struct addr
peer_listen_addr(const struct peer *p)
{
	struct addr a = p->addr;

	if (p->incoming)
		a.port = atomic_load(&p->listen_port);
	return a;
}

struct addr
peer_utp_addr(const struct peer *p)
{
	return p->utp ? p->addr : peer_listen_addr(p);
}

void
peer_note_unheard(struct peer *p, bool unheard)
{
	atomic_store(&p->unheard, unheard);
}

bool
peer_is_idle(const struct peer *p)
{
	return atomic_load(&p->idle);
}

void
peer_set_ourselves(struct peer *p)
{
	peer_end(p, PEER_END_OURSELVES, "ourselves");
}
