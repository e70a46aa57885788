/*
 * Whom a torrent dials, when, and what comes of it.
 */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "discover/peerlist.h"
#include "net/http.h"
#include "net/iface.h"
#include "session/listener.h"
#include "session/torrent_parts.h"

/* More than the listener holds half-open, so that it knows that others wait
 * behind addresses that do not answer. */
#define DIALLING_MAX 300
/* Of those that nobody answers: they are what a router has to remember. */
#define DIALS_A_SECOND 100
#define DIALS_AT_ONCE 200	/* after a while without any */
#define REST (5 * CLOCK_S)	/* without what a connection takes */
#define HERE_REST (20 * CLOCK_S) /* is here already, and may leave */
#define QUEUE_REST (100 * CLOCK_MS) /* the dials of others fill it */

/* ---- what comes of it ---- */

/* Encrypted, unless that has just failed, or plain was right before. */
static bool
encrypts(struct torrent *t, const struct addr *to)
{
	if (!t->env.rc4)
		return false;
	return t->env.config->encryption == ENCRYPTION_REQUIRE ||
	       !(peerlist_flags(t->peerlist, to) & PEERLIST_PLAIN);
}

/* Takes the descriptor over.  Who cannot be let in would be dialled again at
 * once, connected to and closed, over and over. */
static void
admit_dialled(struct torrent *t, struct peer_start start)
{
	if (!torrent_is_open(t)) {
		close(start.fd);
		peerlist_return(t->peerlist, &start.addr);
	} else if (torrent_add_connection(t, start)) {
		atomic_fetch_add(&t->dials_answered, 1);
	} else {
		peerlist_rest(t->peerlist, &start.addr, clock_ns() + REST);
	}
}

/* We could not, whatever the peer is like. */
static bool
is_ours_to_blame(int sys)
{
	return sys == EMFILE || sys == ENFILE || sys == ENOMEM ||
	       sys == ENOBUFS || sys == ECANCELED;
}

/* Nothing has left this machine, and nothing will by uTP. */
static bool
is_without_route(int sys)
{
	return sys == ENETUNREACH || sys == ENETDOWN || sys == EADDRNOTAVAIL;
}

/* A router, or our own network, says that there is none. */
static enum peer_failure
failure_of(int sys)
{
	return is_without_route(sys) || sys == EHOSTUNREACH ? PEER_NO_ROUTE
							    : PEER_UNREACHABLE;
}

/* A dial is over, whichever way it took. */
static void
take_dialled(struct torrent *t, const struct addr *to, int fd, int sys,
	     const char *how)
{
	struct peer_start start = {.fd = fd, .addr = *to};
	char text[ADDR_TEXT_MAX];
	struct error e;

	start.encrypt = encrypts(t, to);
	start.v2 = (peerlist_flags(t->peerlist, to) & PEERLIST_V2) != 0;
	if (fd >= 0) {
		admit_dialled(t, start);
	} else if (sys == ECANCELED) {
		peerlist_return(t->peerlist, to);	/* others wait, too */
	} else if (is_ours_to_blame(sys)) {
		peerlist_rest(t->peerlist, to, clock_ns() + REST);
	} else {
		peerlist_failed(t->peerlist, to, failure_of(sys), clock_ns());
		error_sys(&e, ERROR_NETWORK, sys, "cannot connect to %s%s",
			  addr_format(to, text), how);
		log_write(t->env.log, LOG_DETAIL, t->name, "%s", e.text);
	}
}

static bool
has_utp(const struct torrent *t)
{
	return t->env.config->use_utp && t->env.udp;
}

bool
torrent_dial_utp(struct torrent *t, const struct addr *to)
{
	if (!has_utp(t) || !torrent_is_open(t))
		return false;
	if (atomic_fetch_add(&t->utp_dialling, 1) < DIALLING_MAX &&
	    udp_connect(t->env.udp, t->number, to) == 0)
		return true;
	atomic_fetch_sub(&t->utp_dialling, 1);
	return false;
}

bool
torrent_dial_tcp(struct torrent *t, const struct addr *to, bool brief)
{
	atomic_fetch_add(&t->dialling, 1);
	if (listener_dial(t->env.listener, t->number, to, brief) == 0)
		return true;
	atomic_fetch_sub(&t->dialling, 1);
	return false;
}

/*
 * TCP first: it is quicker and costs less.  Whom it does not reach is tried
 * by uTP at once: routers open themselves to that more often.  With those whom
 * uTP has reached it is the other way round.
 */
static void
take_tcp_dialled(struct torrent *t, const struct addr *to, int fd, int sys)
{
	bool over = fd >= 0 || is_ours_to_blame(sys) || is_without_route(sys);

	if (!over && (peerlist_flags(t->peerlist, to) & PEERLIST_NOT_UTP)) {
		peerlist_clear_flags(t->peerlist, to, PEERLIST_NOT_UTP);
		torrent_ask_relays(t, to);
		take_dialled(t, to, fd, sys, " by uTP or TCP");
	} else if (over || !torrent_dial_utp(t, to)) {
		peerlist_clear_flags(t->peerlist, to, PEERLIST_NOT_UTP);
		take_dialled(t, to, fd, sys, "");
	}
}

void
torrent_dialled(struct torrent *t, const struct addr *to, int fd, int sys)
{
	if (!torrent_hang_called(t, to, fd))
		take_tcp_dialled(t, to, fd, sys);
	atomic_fetch_sub(&t->dialling, 1);
	wake_up(t->env.wake);
}

/* Was it the first to be tried?  Then TCP has its turn. */
static bool
turn_to_tcp(struct torrent *t, const struct addr *to)
{
	if (!(peerlist_flags(t->peerlist, to) & PEERLIST_BY_UTP) ||
	    !torrent_is_open(t))
		return false;
	peerlist_clear_flags(t->peerlist, to, PEERLIST_BY_UTP);
	peerlist_set_flags(t->peerlist, to, PEERLIST_NOT_UTP);
	if (!torrent_dial_tcp(t, to, false)) {
		/* By TCP first, when the queue has room. */
		peerlist_clear_flags(t->peerlist, to, PEERLIST_NOT_UTP);
		peerlist_rest(t->peerlist, to, clock_ns() + REST);
	}
	return true;
}

/* Not by TCP either, or as a relay said, which is for uTP alone. */
static void
take_utp_failed(struct torrent *t, const struct addr *to, int sys, bool punched)
{
	if (!punched && turn_to_tcp(t, to))
		return;
	if (punched)
		torrent_turn_relay(t, to);
	else
		torrent_ask_relays(t, to);
	take_dialled(t, to, -1, sys, punched ? " through its router"
					     : " by TCP or uTP");
}

/* TCP did not reach it, and for uTP there was no place: at once again it would
 * be called by TCP over and over. */
static void
take_half_tried(struct torrent *t, const struct addr *to)
{
	char text[ADDR_TEXT_MAX];

	peerlist_failed(t->peerlist, to, PEER_NO_ROUTE, clock_ns());
	log_write(t->env.log, LOG_DETAIL, t->name, "cannot connect to %s by "
		  "TCP, and too many are connected by uTP",
		  addr_format(to, text));
}

static void
take_utp_dialled(struct torrent *t, const struct addr *to, int fd, int sys)
{
	unsigned flags = peerlist_flags(t->peerlist, to);
	bool punched = (flags & PEERLIST_PUNCHED) != 0;

	peerlist_clear_flags(t->peerlist, to, PEERLIST_PUNCHED);
	if (fd >= 0)
		peerlist_set_flags(t->peerlist, to, PEERLIST_BY_UTP);
	if (fd < 0 && sys == ENOBUFS && !punched &&
	    !(flags & PEERLIST_BY_UTP))
		take_half_tried(t, to);
	else if (fd >= 0 || is_ours_to_blame(sys))
		take_dialled(t, to, fd, sys, "");
	else
		take_utp_failed(t, to, sys, punched);
}

void
torrent_utp_dialled(struct torrent *t, const struct addr *to, int fd, int sys)
{
	if (!torrent_hang_called(t, to, fd))
		take_utp_dialled(t, to, fd, sys);
	atomic_fetch_sub(&t->utp_dialling, 1);
	wake_up(t->env.wake);
}

/* ---- when ---- */

void
torrent_dial_init(struct torrent *t)
{
	t->dial_tokens = DIALS_AT_ONCE;
}

static void
refill_tokens(struct torrent *t, int64_t now)
{
	int64_t span = clock_min(now - t->dial_tokens_at, CLOCK_S);
	int64_t add = span * DIALS_A_SECOND / CLOCK_S;
	unsigned punched = atomic_exchange(&t->dials_punched, 0);

	t->dial_tokens -= punched < t->dial_tokens ? punched : t->dial_tokens;
	if (add > 0) {
		t->dial_tokens_at = now;
		t->dial_tokens += (unsigned)add;
	}
	t->dial_tokens += atomic_exchange(&t->dials_answered, 0);
	if (t->dial_tokens > DIALS_AT_ONCE)
		t->dial_tokens = DIALS_AT_ONCE;
}

bool
torrent_may_dial(const struct torrent *t)
{
	unsigned dialling = atomic_load(&t->dialling);

	return torrent_is_open(t) && !iface_away(t->env.way->route) &&
	       dialling < DIALLING_MAX &&
	       atomic_load(&t->connected) < t->env.config->max_peers &&
	       pool_may_take(t->env.pool, &t->pool, clock_ns());
}

/* False when there is no room for more. */
static bool
dial_one(struct torrent *t, const struct peer_candidate *c)
{
	if ((c->flags & PEERLIST_BY_UTP) && torrent_dial_utp(t, &c->addr))
		return true;
	/* Who is far behind a full line gets more time later. */
	return torrent_dial_tcp(t, &c->addr, c->failures == 0 && has_utp(t));
}

void
torrent_dial(struct torrent *t, int64_t now)
{
	struct peer_candidate c;

	refill_tokens(t, now);
	while (t->dial_tokens > 0 && now >= t->dial_again &&
	       torrent_may_dial(t) &&
	       peerlist_next(t->peerlist, now, &c)) {
		if (torrent_came_in(t, &c.addr)) {
			peerlist_rest(t->peerlist, &c.addr, now + HERE_REST);
			continue;
		}
		if (!dial_one(t, &c)) {
			peerlist_return(t->peerlist, &c.addr);
			t->dial_again = now + QUEUE_REST;
			break;
		}
		t->dial_tokens--;
	}
	if ((torrent_phase(t) == PHASE_DOWNLOADING ||
	     torrent_phase(t) == PHASE_METADATA) &&
	    atomic_load(&t->connected) < TORRENT_ENOUGH_PEERS &&
	    peerlist_next_due(t->peerlist, now) > now)
		torrent_announce_want_peers(t);
}

bool
torrent_waits_to_dial(const struct torrent *t, int64_t now)
{
	return t->dial_again > now;
}

int64_t
torrent_dial_due(const struct torrent *t, int64_t now)
{
	int64_t due = CLOCK_NEVER;

	if (torrent_may_dial(t)) {
		due = peerlist_next_due(t->peerlist, now);
		if (t->dial_tokens == 0 && due <= now)
			due = now + CLOCK_S / DIALS_A_SECOND;
		if (due < t->dial_again)
			due = t->dial_again;
	}
	return due;
}
