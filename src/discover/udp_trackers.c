#include "discover/udp_trackers.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/hash.h"
#include "discover/blocklist.h"
#include "discover/tracker_udp.h"
#include "net/datagram.h"
#include "net/iface.h"

#define LINKS_MAX 64
/* Packets read at a time, so that a flood cannot keep the thread busy. */
#define BURST_MAX 64
#define SEND_TRIES 3
/* Hundreds of torrents are announced to one tracker, at the start, at the end
 * and as their interval is over: a queue on the way, or the tracker's, that
 * holds 256 packets lost what was sent at once, and each loss costs 4 s. */
#define SENDS_AT_ONCE 32
#define SENDS_PAUSE (20 * CLOCK_MS)

enum { V4, V6, FAMILIES };

struct udp_job {
	struct udp_job *next;
	int family;		/* 0: either */
	int64_t until;
	uint64_t lookup;	/* 0: none under way */
	bool asks;		/* `to` is being asked */
	struct addr to;
	struct tracker_udp udp;
	bool no_address;	/* so it has failed */
	struct error error;
	udp_job_done *done;
	void *ctx;
	struct udp_trackers *owner;
};

struct link {
	struct addr to;
	struct tracker_udp_link link;
};

struct udp_trackers {
	int fds[FAMILIES];	/* -1: the system has none of that family */
	const struct iface *route;	/* or NULL */
	const struct blocklist *blocklist;	/* or NULL */
	struct resolver *resolver;
	struct udp_job *jobs;
	struct link links[LINKS_MAX];
	size_t link_count;
	unsigned sends_left;	/* before the pause */
	int64_t pause_until;
	uint8_t packet[TRACKER_UDP_ANSWER_MAX];
};

static int
open_socket(int family, const struct iface *route)
{
	int one = 1, status, saved;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* With the error queue we hear at once that nobody listens there. */
	if (family == AF_INET6) {
		status = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one,
				    sizeof(one));
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof(one));
	} else {
		status = setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one,
				    sizeof(one));
	}
	if (status == 0)
		status = iface_leave(route, fd, family);
	if (status == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

struct udp_trackers *
udp_trackers_new(const struct iface *route,
		 const struct blocklist *blocklist, struct resolver *r,
		 struct error *e)
{
	struct udp_trackers *u = calloc(1, sizeof(*u));

	if (!u) {
		error_memory(e);
		return NULL;
	}
	u->resolver = r;
	u->route = route;
	u->blocklist = blocklist;
	u->fds[V6] = open_socket(AF_INET6, route);
	u->fds[V4] = open_socket(AF_INET, route);
	if (u->fds[V4] < 0 && u->fds[V6] < 0 && !route) {
		error_sys(e, ERROR_NETWORK, errno,
			  "cannot open a socket for UDP trackers");
		udp_trackers_free(u);
		return NULL;
	}
	return u;
}

/* What was sent is lost, and connection ids are bound to the address that we
 * had (BEP 15). */
void
udp_trackers_rebind(struct udp_trackers *u)
{
	u->link_count = 0;
	for (struct udp_job *job = u->jobs; job; job = job->next)
		if (job->asks)
			tracker_udp_again(&job->udp, clock_ns());
	for (int f = 0; f < FAMILIES; f++) {
		if (u->fds[f] >= 0)
			close(u->fds[f]);
		u->fds[f] = open_socket(f == V6 ? AF_INET6 : AF_INET,
					u->route);
	}
}

void
udp_trackers_free(struct udp_trackers *u)
{
	if (!u)
		return;
	while (u->jobs)
		udp_trackers_cancel(u, u->jobs);
	for (int f = 0; f < FAMILIES; f++) {
		if (u->fds[f] >= 0)
			close(u->fds[f]);
	}
	free(u);
}

static void
unlink_job(struct udp_trackers *u, struct udp_job *job)
{
	for (struct udp_job **at = &u->jobs; *at; at = &(*at)->next) {
		if (*at == job) {
			*at = job->next;
			return;
		}
	}
}

void
udp_trackers_cancel(struct udp_trackers *u, struct udp_job *job)
{
	if (!job)
		return;
	if (job->lookup != 0)
		resolver_cancel(u->resolver, job->lookup);
	unlink_job(u, job);
	free(job);
}

bool
udp_trackers_sent(const struct udp_job *job)
{
	return job->udp.announces > 0;
}

/* The connection to an address; when there are many, the one that has
 * expired or will do so first makes room. */
static struct tracker_udp_link *
link_to(struct udp_trackers *u, const struct addr *to)
{
	struct link *oldest = &u->links[0];

	for (size_t i = 0; i < u->link_count; i++) {
		struct link *l = &u->links[i];

		if (addr_equal(&l->to, to))
			return &l->link;
		if (l->link.expires < oldest->link.expires)
			oldest = l;
	}
	if (u->link_count < LINKS_MAX)
		oldest = &u->links[u->link_count++];
	*oldest = (struct link){.to = *to};
	return &oldest->link;
}

static bool
is_active(const struct udp_job *job)
{
	return job->lookup != 0 || job->asks;
}

static int
index_of(const struct addr *a)
{
	return a->family == AF_INET6 ? V6 : V4;
}

/* Takes a job that has failed out of the list, if there is one. */
static struct udp_job *
take_ended(struct udp_trackers *u)
{
	for (struct udp_job **at = &u->jobs; *at; at = &(*at)->next) {
		struct udp_job *job = *at;

		if (!is_active(job)) {
			*at = job->next;
			return job;
		}
	}
	return NULL;
}

/* What is due, the end included, is udp_trackers_run's. */
static void
fail(struct udp_job *job, const struct error *e)
{
	job->asks = false;
	job->error = *e;
}

/* Could it be asked from here? */
static bool
is_passable(const struct udp_job *job, const struct addr *a)
{
	return (job->family == 0 || a->family == job->family) &&
	       job->owner->fds[index_of(a)] >= 0;
}

static void
resolved(void *ctx, const struct addr *addrs, size_t count,
	 const struct error *e)
{
	struct udp_job *job = ctx;

	job->lookup = 0;
	job->no_address = true;
	error_set(&job->error, ERROR_NETWORK,
		  "no address of it can be reached from here");
	if (count == 0)
		job->error = *e;
	for (size_t i = 0; i < count && !job->asks; i++) {
		if (!is_passable(job, &addrs[i]))
			continue;
		job->no_address = false;
		job->asks = !blocklist_has(job->owner->blocklist, &addrs[i]);
		job->to = addrs[i];
		job->udp.due = clock_ns();
		if (!job->asks)
			error_set(&job->error, ERROR_PROTOCOL,
				  "its address is on the blocklist");
	}
}

struct udp_job *
udp_trackers_start(struct udp_trackers *u, const struct udp_job_config *config,
		   struct error *e)
{
	char path[TRACKER_URL_MAX];
	char host[256];
	struct udp_job *job = calloc(1, sizeof(*job));
	struct resolve_query what = {.host = host,
				     .owner = config->owner,
				     .done = resolved,
				     .ctx = job};

	if (!job) {
		error_memory(e);
		return NULL;
	}
	if (!tracker_udp_split(config->url, host, sizeof(host),
			       &what.port, path)) {
		error_set(e, ERROR_PROTOCOL, "not a UDP tracker's URL");
		goto out;
	}
	job->owner = u;
	job->family = config->family;
	job->until = config->until;
	job->done = config->done;
	job->ctx = config->ctx;
	tracker_udp_start(&job->udp, config->request, path, config->tries,
			  clock_ns());
	job->lookup = resolver_start(u->resolver, &what, e);
	if (job->lookup == 0)
		goto out;
	job->next = u->jobs;
	u->jobs = job;
	return job;
out:
	free(job);
	return NULL;
}

size_t
udp_trackers_fds(const struct udp_trackers *u,
		 struct pollfd out[UDP_TRACKERS_FDS])
{
	size_t n = 0;

	for (int f = 0; f < FAMILIES; f++) {
		if (u->fds[f] >= 0)
			out[n++] = (struct pollfd){.fd = u->fds[f],
						   .events = POLLIN};
	}
	return n;
}

/* Through NAT64 (RFC 6052) it sees IPv4, and names peers of that. */
static bool
sees_ipv6(const struct addr *tracker)
{
	static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};

	return tracker->family == AF_INET6 &&
	       memcmp(tracker->ip, nat64, sizeof(nat64)) != 0;
}

/* Hands a packet to the job that it answers, if there is one. */
static void
dispatch(struct udp_trackers *u, const struct addr *from, size_t size,
	 int64_t now)
{
	struct tracker_answer answer;
	struct error e = {0};
	struct tracker_udp_packet packet = {
		.data = u->packet, .size = size,
		.family = sees_ipv6(from) ? AF_INET6 : AF_INET,
	};

	tracker_answer_init(&answer);
	for (struct udp_job *job = u->jobs; job; job = job->next) {
		enum tracker_udp_state state;

		if (!job->asks || !addr_equal(&job->to, from))
			continue;
		state = tracker_udp_receive(&job->udp, link_to(u, from),
					    &packet, now, &answer, &e);
		if (state == TRACKER_UDP_BUSY)
			continue;
		if (state == TRACKER_UDP_FAILED) {
			fail(job, &e);
			break;
		}
		unlink_job(u, job);
		job->done(job->ctx, &answer, NULL, false);
		free(job);
		break;
	}
	tracker_answer_release(&answer);
}

/* Takes what the network reports as undeliverable; false at the end. */
static bool
receive_refusal(struct udp_trackers *u, int family)
{
	struct sockaddr_storage to;
	struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof(to)};
	union {
		struct cmsghdr align;
		uint8_t room[256];
	} control;
	struct addr a;
	struct error e;
	int why = ECONNREFUSED;

	m.msg_control = &control;
	m.msg_controllen = sizeof(control);
	if (recvmsg(u->fds[family], &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		struct sock_extended_err see;

		if (c->cmsg_len < CMSG_LEN(sizeof(see)))
			continue;
		memcpy(&see, CMSG_DATA(c), sizeof(see));
		why = (int)see.ee_errno;
	}
	if (!addr_from_sockaddr(&a, (void *)&to) || why == EMSGSIZE)
		return true;
	error_sys(&e, ERROR_NETWORK, why, "cannot reach it");
	for (struct udp_job *job = u->jobs; job; job = job->next) {
		if (job->asks && addr_equal(&job->to, &a))
			fail(job, &e);
	}
	return true;
}

static void
receive(struct udp_trackers *u, int family, int64_t now)
{
	for (int i = 0; i < BURST_MAX; i++) {
		if (!receive_refusal(u, family))
			break;
	}
	for (int i = 0; i < BURST_MAX; i++) {
		struct addr from;
		ssize_t n = datagram_receive(u->fds[family], u->packet,
					     sizeof(u->packet), &from);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		/* Other errors are what came back for a packet sent earlier:
		 * the queue above tells to whom. */
		if (n > 0)
			dispatch(u, &from, (size_t)n, now);
	}
}

static int
send_packet(const struct udp_trackers *u, const struct addr *to,
	    const uint8_t *data, size_t n)
{
	struct sockaddr_storage sa;
	socklen_t size = addr_to_sockaddr(to, &sa);
	int fd = u->fds[index_of(to)];

	if (fd < 0) {
		errno = ENETDOWN;
		return -1;
	}
	/* An error may be an old packet's; sending again tells. */
	for (int i = 0; i < SEND_TRIES; i++) {
		if (sendto(fd, data, n, MSG_NOSIGNAL, (void *)&sa, size) >= 0)
			return 0;
		if (errno == EAGAIN || errno == ENOBUFS)
			return 0;	/* lost, as packets may be */
	}
	return -1;
}

static void
run_job(struct udp_job *job, int64_t now)
{
	struct udp_trackers *u = job->owner;
	uint8_t out[TRACKER_UDP_MAX];
	struct error e;
	size_t n;

	if (!job->asks || now < job->udp.due || u->sends_left == 0)
		return;
	if (tracker_udp_expired(&job->udp, now)) {
		error_set(&e, ERROR_NETWORK, "timed out");
		fail(job, &e);
		return;
	}
	n = tracker_udp_send(&job->udp, link_to(u, &job->to), now,
			     (uint32_t)random_u64(), out);
	u->sends_left -= n > 0;
	if (n > 0 && send_packet(u, &job->to, out, n) != 0) {
		job->no_address = errno == ENETUNREACH || errno == ENETDOWN;
		error_sys(&e, ERROR_NETWORK, errno, "cannot reach it");
		fail(job, &e);
	}
}

static void
give_up(struct udp_job *job)
{
	struct error e;

	if (job->lookup != 0)
		resolver_cancel(job->owner->resolver, job->lookup);
	job->lookup = 0;
	error_set(&e, ERROR_NETWORK, "timed out");
	fail(job, &e);
}

void
udp_trackers_run(struct udp_trackers *u, int64_t now)
{
	struct udp_job *ended;

	for (int f = 0; f < FAMILIES; f++) {
		if (u->fds[f] >= 0)
			receive(u, f, now);
	}
	if (now >= u->pause_until) {
		u->pause_until = now + SENDS_PAUSE;
		u->sends_left = SENDS_AT_ONCE;
	}
	for (struct udp_job *job = u->jobs; job; job = job->next) {
		run_job(job, now);
		if (job->until != 0 && now >= job->until)
			give_up(job);
	}
	/* Callbacks may start and cancel jobs: search anew after each. */
	while ((ended = take_ended(u))) {
		ended->done(ended->ctx, NULL, &ended->error,
			    ended->no_address);
		free(ended);
	}
}

int64_t
udp_trackers_due(const struct udp_trackers *u)
{
	int64_t due = CLOCK_NEVER;

	for (const struct udp_job *job = u->jobs; job; job = job->next) {
		if (!is_active(job))
			return 0;
		if (job->until != 0)
			due = clock_min(due, job->until);
		if (job->asks)
			due = clock_min(due, job->udp.due);
	}
	if (u->sends_left == 0 && due < u->pause_until)
		due = u->pause_until;
	return due;
}
