/*
 * loopback: a tiny HTTP server in a thread of the test, on 127.0.0.1 or ::1.
 *
 * One connection at a time: reads a request up to its empty line, hands it
 * to the test's function, which writes whatever it likes, and closes.
 * Requests are kept so that the test can look at them.
 */
#ifndef BTGET_TEST_LOOPBACK_H
#define BTGET_TEST_LOOPBACK_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/sync.h"

#define LOOPBACK_REQUESTS 32
#define LOOPBACK_REQUEST_MAX 4096

struct loopback;

typedef void loopback_answer(struct loopback *l, int fd, const char *request);

struct loopback {
	struct mutex lock;
	struct wake stop;
	struct thread thread;
	loopback_answer *answer;
	int family;
	int fd;
	uint16_t port;
	unsigned count;		/* lock */
	char requests[LOOPBACK_REQUESTS][LOOPBACK_REQUEST_MAX];	/* lock */
};

/* False when the other side has gone. */
static inline bool
loopback_send(int fd, const void *data, size_t n)
{
	const char *at = data;

	while (n > 0) {
		ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		at += sent;
		n -= (size_t)sent;
	}
	return true;
}

static inline void
loopback_reply(int fd, const char *head, const void *body, size_t size)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "HTTP/1.1 %s\r\nContent-Length: %zu\r\n"
		 "Connection: close\r\n\r\n",
		 head, size);
	if (loopback_send(fd, text, strlen(text)))
		loopback_send(fd, body, size);
}

static inline void
loopback_serve(struct loopback *l, int fd)
{
	char request[LOOPBACK_REQUEST_MAX];
	struct timeval limit = {.tv_sec = 5};
	size_t used = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	request[0] = '\0';
	while (!strstr(request, "\r\n\r\n")) {
		ssize_t n = recv(fd, request + used,
				 sizeof(request) - 1 - used, 0);

		if (n <= 0)
			return;
		used += (size_t)n;
		request[used] = '\0';
	}
	mutex_lock(&l->lock);
	if (l->count < LOOPBACK_REQUESTS)
		memcpy(l->requests[l->count], request, used + 1);
	l->count++;
	mutex_unlock(&l->lock);
	l->answer(l, fd, request);
}

static inline void
loopback_run(void *arg)
{
	struct loopback *l = arg;
	struct pollfd fds[2] = {{.fd = l->fd, .events = POLLIN},
				{.fd = l->stop.fd, .events = POLLIN}};

	for (;;) {
		int fd;

		if (poll(fds, 2, -1) < 0 || fds[1].revents)
			return;
		fd = accept(l->fd, NULL, NULL);
		if (fd < 0)
			continue;
		loopback_serve(l, fd);
		close(fd);
	}
}

/* port 0: any. */
static inline int
loopback_bind(struct loopback *l, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons(port),
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	bool v6 = l->family == AF_INET6;
	socklen_t size = v6 ? sizeof(in6) : sizeof(in);
	void *at = v6 ? (void *)&in6 : (void *)&in;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l->fd = socket(l->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || bind(l->fd, at, size) != 0 ||
	    listen(l->fd, 64) != 0 || getsockname(l->fd, at, &size) != 0)
		return -1;
	l->port = ntohs(v6 ? in6.sin6_port : in.sin_port);
	return 0;
}

static inline int
loopback_start_at(struct loopback *l, loopback_answer *answer, int family,
		  uint16_t port)
{
	struct error e;

	memset(l, 0, sizeof(*l));
	l->answer = answer;
	l->family = family;
	if (loopback_bind(l, port) != 0)
		return -1;
	mutex_init(&l->lock);
	if (wake_init(&l->stop, &e) != 0)
		return -1;
	return thread_start(&l->thread, "loopback", THREAD_STACK_LARGE,
			    loopback_run, l, &e);
}

static inline int
loopback_start(struct loopback *l, loopback_answer *answer)
{
	return loopback_start_at(l, answer, AF_INET, 0);
}

static inline void
loopback_stop(struct loopback *l)
{
	wake_up(&l->stop);
	thread_join(&l->thread);
	wake_release(&l->stop);
	mutex_release(&l->lock);
	close(l->fd);
}

/* How many requests came, and does the i-th one hold this text? */
static inline unsigned
loopback_count(struct loopback *l)
{
	unsigned n;

	mutex_lock(&l->lock);
	n = l->count;
	mutex_unlock(&l->lock);
	return n;
}

static inline bool
loopback_heard(struct loopback *l, unsigned i, const char *text)
{
	bool found;

	mutex_lock(&l->lock);
	found = i < l->count && i < LOOPBACK_REQUESTS &&
		strstr(l->requests[i], text);
	mutex_unlock(&l->lock);
	return found;
}

#endif
