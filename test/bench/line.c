/*
 * line HOST...: the lines of some homes, and all that lies between them.
 *
 * A HOST is ADDRESS[,NAME=VALUE]...: up and down are the bits a second of its
 * line, up_queue and down_queue the bytes that wait in front of each before
 * more is dropped (all: no limit if left out), delay_us is the way from the
 * host to the middle.  With only=N it exchanges packets with host N (counted
 * from 0) and with no other one; several may be named.  With nosyn a call by
 * TCP never reaches it.  With breaks nothing goes by its line from one USR1 to
 * the next.
 *
 * Each host is a network of its own, with a TUN device DEVICE that is to be
 * set up by who starts this, once "ready" is printed: host N's network is
 * /proc/PID/fd/(100 + N), as nsenter --net takes it.  A packet waits in the
 * sender's queue, is as long on the sender's line as its bytes take, then on
 * the way, then the same at the receiver.  All of it goes with the process.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define DEVICE "line"
#define HOSTS 64		/* bits of only */
#define FIRST_FD 100
#define PACKET 2048		/* more than the MTU */
#define BATCH 64		/* packets of one host, before the others' turn */
#define LATE (20 * SECOND / 1000)	/* for a packet, which is told */
#define SECOND INT64_C(1000000000)

/* One direction of a line. */
struct way {
	int64_t bps;		/* bits a second; 0: no limit */
	int64_t queue;		/* bytes; 0: no limit */
	int64_t free_at;	/* its last byte has left, then */
};

struct host {
	struct in_addr addr;
	struct way up;
	struct way down;
	int64_t delay;
	uint64_t only;		/* a bit for each host; 0: all */
	bool nosyn;
	bool breaks;
	int fd;			/* of the device */
};

struct packet {
	int64_t due;
	uint64_t number;	/* of those due at a time, the first is first */
	struct host *to;
	bool last;		/* it has gone through the line down */
	size_t size;
	uint8_t data[];
};

static struct host hosts[HOSTS];
static nfds_t host_count;
static volatile sig_atomic_t broken;

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* ---- packets on their way: a heap, the next one on top ---- */

static struct packet **heap;
static size_t heap_used;
static size_t heap_room;

static bool
before(const struct packet *a, const struct packet *b)
{
	return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void
heap_push(struct packet *p)
{
	static uint64_t numbers;
	size_t at = heap_used++;

	if (at == heap_room) {
		heap_room = heap_room ? 2 * heap_room : 1024;
		heap = reallocarray(heap, heap_room, sizeof(struct packet *));
		if (!heap)
			err(1, "packets");
	}
	p->number = numbers++;
	for (; at && before(p, heap[(at - 1) / 2]); at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = p;
}

static struct packet *
heap_pop(void)
{
	struct packet *top = heap[0], *p = heap[--heap_used];
	size_t at = 0, next;

	while ((next = 2 * at + 1) < heap_used) {
		if (next + 1 < heap_used &&
		    before(heap[next + 1], heap[next]))
			next++;
		if (!before(heap[next], p))
			break;
		heap[at] = heap[next];
		at = next;
	}
	heap[at] = p;
	return top;
}

/* ---- what becomes of a packet ---- */

/* When its last byte has left, or -1: the queue is full. */
static int64_t
way_pass(struct way *w, size_t size, int64_t at)
{
	int64_t bits = 8 * (int64_t)size;

	if (w->bps == 0)
		return at;
	if (w->free_at < at)
		w->free_at = at;
	if (w->queue && w->free_at - at >
	    (8 * w->queue - bits) * SECOND / w->bps)
		return -1;
	w->free_at += bits * SECOND / w->bps;
	return w->free_at;
}

static struct host *
host_at(in_addr_t addr)
{
	for (nfds_t i = 0; i < host_count; i++)
		if (hosts[i].addr.s_addr == addr)
			return &hosts[i];
	return NULL;
}

static bool
is_call(const uint8_t *data, size_t size)
{
	size_t head = 4u * (data[0] & 15u);
	struct tcphdr tcp;

	if (data[9] != IPPROTO_TCP || size < head + sizeof(tcp))
		return false;
	memcpy(&tcp, data + head, sizeof(tcp));
	return tcp.syn && !tcp.ack;
}

static bool
is_there(const struct host *h)
{
	return !h->breaks || !broken;
}

static bool
knows(const struct host *a, const struct host *b)
{
	return !a->only || a->only >> (b - hosts) & 1;
}

/* What is stopped further on has had its time on the sender's line. */
static void
take(struct host *from, const uint8_t *data, size_t size, int64_t now)
{
	struct iphdr ip;
	struct packet *p;
	struct host *to;
	int64_t left;

	if (size < sizeof(ip) || data[0] >> 4 != 4)
		return;
	memcpy(&ip, data, sizeof(ip));
	to = host_at(ip.daddr);
	if (!is_there(from) || (to && !is_there(to)))
		return;
	left = way_pass(&from->up, size, now);
	if (left < 0 || !to || !knows(from, to) || !knows(to, from) ||
	    (to->nosyn && is_call(data, size)))
		return;
	p = malloc(sizeof(*p) + size);
	if (!p)
		err(1, "a packet");
	p->due = left + from->delay + to->delay;
	p->to = to;
	p->last = false;
	p->size = size;
	memcpy(p->data, data, size);
	heap_push(p);
}

static void
receive(struct host *from)
{
	uint8_t data[PACKET];
	ssize_t n;

	for (int i = 0; i < BATCH; i++) {
		n = read(from->fd, data, sizeof(data));
		if (n <= 0)
			return;
		take(from, data, (size_t)n, now_ns());
	}
}

static void
move(struct packet *p)
{
	if (!p->last) {
		p->last = true;
		p->due = way_pass(&p->to->down, p->size, p->due);
		if (p->due >= 0) {
			heap_push(p);
			return;
		}
	} else if (write(p->to->fd, p->data, p->size) < 0) {
		warn("a packet is lost");
	}
	free(p);
}

/* The machine stood still, and so did packets: who looks for what makes them
 * wait must know.  The most there was so far. */
static void
tell_late(int64_t late)
{
	static int64_t most = LATE;

	if (late <= most)
		return;
	most = late;
	printf("late %lld ms\n", (long long)(most / (SECOND / 1000)));
	fflush(stdout);
}

static void
run(void)
{
	struct pollfd polled[HOSTS];
	struct timespec t = {0};
	int64_t now;

	for (nfds_t i = 0; i < host_count; i++)
		polled[i] = (struct pollfd){.fd = hosts[i].fd,
					    .events = POLLIN};
	for (;;) {
		now = now_ns();
		if (heap_used)
			tell_late(now - heap[0]->due);
		while (heap_used && heap[0]->due <= now)
			move(heap_pop());
		if (heap_used) {
			t.tv_sec = (heap[0]->due - now) / SECOND;
			t.tv_nsec = (heap[0]->due - now) % SECOND;
		}
		if (ppoll(polled, host_count, heap_used ? &t : NULL, NULL) < 0) {
			if (errno != EINTR)
				err(1, "ppoll");
			continue;
		}
		for (nfds_t i = 0; i < host_count; i++)
			if (polled[i].revents)
				receive(&hosts[i]);
	}
}

/* ---- set-up ---- */

static void
parse(struct host *h, char *text)
{
	enum { UP, DOWN, UP_QUEUE, DOWN_QUEUE, DELAY_US, ONLY, NOSYN, BREAKS };
	char *const names[] = {"up", "down", "up_queue", "down_queue",
			       "delay_us", "only", "nosyn", "breaks", NULL};
	int64_t *const numbers[] = {&h->up.bps, &h->down.bps, &h->up.queue,
				    &h->down.queue, &h->delay};
	char *addr = strsep(&text, ","), *value;
	int name;

	if (inet_pton(AF_INET, addr, &h->addr) != 1)
		errx(2, "no address: '%s'", addr);
	while (text && *text) {
		name = getsubopt(&text, names, &value);
		if (name < 0 || (name < NOSYN && !value))
			errx(2, "not understood: '%s'", value ? value : "");
		else if (name == NOSYN)
			h->nosyn = true;
		else if (name == BREAKS)
			h->breaks = true;
		else if (name == ONLY)
			h->only |= UINT64_C(1) << (unsigned)atoi(value) % HOSTS;
		else
			*numbers[name] = atoll(value);
	}
	h->delay *= 1000;
}

/* Without a header in front of packets the kernel hands over none that are
 * larger than the MTU, and finishes their checksums. */
static void
open_device(struct host *h)
{
	struct ifreq r = {.ifr_name = DEVICE,
			  .ifr_flags = IFF_TUN | IFF_NO_PI};

	h->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (h->fd < 0)
		err(1, "cannot open /dev/net/tun");
	if (ioctl(h->fd, TUNSETIFF, &r) || ioctl(h->fd, TUNSETOFFLOAD, 0))
		err(1, "cannot make a TUN device");
}

static void
add_host(char *text)
{
	struct host *h = &hosts[host_count];
	int net;

	parse(h, text);
	if (unshare(CLONE_NEWNET))
		err(1, "cannot make a network");
	net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (net < 0 || dup3(net, FIRST_FD + (int)host_count, O_CLOEXEC) < 0)
		err(1, "cannot hold a network");
	close(net);
	open_device(h);
	host_count++;
}

static void
break_or_mend(int number)
{
	(void)number;
	broken = !broken;
}

int
main(int argc, char **argv)
{
	if (argc < 2 || argc > HOSTS + 1)
		errx(2, "usage: line HOST..., at most %d", HOSTS);
	for (int i = 1; i < argc; i++)
		add_host(argv[i]);
	signal(SIGUSR1, break_or_mend);
	/* Packets come on time, not 50 us late. */
	prctl(PR_SET_TIMERSLACK, 1);
	puts("ready");
	fflush(stdout);
	run();
}
