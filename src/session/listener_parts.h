/*
 * listener_parts: the inside of a listener, for the files that make it up:
 * listener.c (its thread, and what comes in), listener_dial.c (what goes
 * out), listener_proxy.c (the handshake with a proxy).
 */
#ifndef BTGET_SESSION_LISTENER_PARTS_H
#define BTGET_SESSION_LISTENER_PARTS_H

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/sync.h"
#include "session/listener.h"

#define QUEUE_MAX 1024		/* asked for, not begun */
#define QUEUE_PART 32		/* that each may have of its second half */
#define SOCKETS 2
#define TAKEN_MAX 32		/* not yet looked at */
#define NAMES_MAX 1024		/* that stand for peers */
#define FDS_MAX (1 + SOCKETS + LISTENER_WAITING_MAX + LISTENER_DIALS_MAX)

struct pending {
	int fd;
	uint32_t owner;		/* of a dial */
	struct addr addr;
	int64_t since;
	struct mse *mse;	/* incoming, and not plain */
	struct socks5 *socks;	/* of a dial: the proxy is connected */
	short events;		/* waited for */
	bool brief;		/* of a dial: as it was wished */
};

struct listener_host {
	char host[256];
};

struct wish {
	uint32_t owner;
	struct addr addr;
	bool brief;
};

struct listener {
	struct listener_config config;
	struct log *log;
	struct thread thread;
	struct wake wake;
	_Atomic bool stop;
	_Atomic bool rebind;	/* the route has changed */
	int sockets[SOCKETS];	/* IPv4, IPv6; -1 where there is none */
	uint16_t port;

	struct mutex lock;
	struct wish queue[QUEUE_MAX];	/* guarded by lock; a ring */
	size_t queue_head;		/* guarded by lock */
	size_t queue_used;		/* guarded by lock */
	uint32_t turn;			/* guarded by lock; whose was the last */
	struct pending taken[TAKEN_MAX];	/* guarded by lock */
	size_t taken_count;		/* guarded by lock */
	uint32_t forgotten[16];		/* guarded by lock */
	size_t forgotten_count;		/* guarded by lock */
	struct addr proxies[LISTENER_PROXY_MAX];	/* guarded by lock */
	size_t proxy_count;		/* guarded by lock */
	struct listener_host *names;	/* guarded by lock */
	size_t name_count;		/* guarded by lock */

	/* The thread's own. */
	struct pending waiting[LISTENER_WAITING_MAX];	/* oldest first */
	size_t waiting_count;
	struct pending dials[LISTENER_DIALS_MAX];	/* oldest first */
	size_t dial_count;
	int64_t accept_at;	/* not before this, after EMFILE */
	int64_t proxy_at;	/* not before this, after its failure */
	unsigned proxy_failures;	/* in a row */
	size_t proxy_turn;	/* which of its addresses */
	struct pollfd fds[FDS_MAX];
};

static inline void
pending_drop(struct pending *list, size_t *count, size_t i)
{
	memmove(list + i, list + i + 1, (*count - i - 1) * sizeof(*list));
	(*count)--;
}

/* listener_dial.c; all in the listener's thread. */
void listener_dial_wishes(struct listener *l, int64_t now);
void listener_dial_ready(struct listener *l, size_t i);
void listener_dial_expire(struct listener *l, int64_t now);
int64_t listener_dial_due(struct listener *l, int64_t now);
void listener_dial_drop(struct listener *l, size_t i);	/* no callback */
void listener_dial_end(struct listener *l, size_t i, int sys);
void listener_dial_forget(struct listener *l);	/* who was told to be */

/* listener_proxy.c; the same. */
bool listener_proxy_ready(struct listener *l, int64_t now);
struct addr listener_proxy_addr(struct listener *l);
/* The i-th dial has reached the proxy; and what is to be done next. */
void listener_proxy_begin(struct listener *l, size_t i);
void listener_proxy_talk(struct listener *l, size_t i);
/* The i-th dial ends by the proxy's fault. */
void listener_proxy_failed(struct listener *l, size_t i, const char *why);

#endif
