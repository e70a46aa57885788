#include "session/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

#define PATIENCE_MS 5000	/* then the disk hangs: the run goes on */
#define KEPT 3			/* the helper's socket; nothing above it */

struct opener {
	int socket;
	pid_t helper;
	bool lost;
};

/* A descriptor goes along with an int, its errno or 0. */
union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

/* ---- the helper ---- */

/* -1: the kernel, or what we were built with, does not know how. */
static int
close_above(int fd)
{
#ifdef SYS_close_range
	return (int)syscall(SYS_close_range, (unsigned)fd + 1, ~0u, 0);
#else
	(void)fd;
	return -1;
#endif
}

/* Signals are for btget, which ends us by ending. */
static void
leave_all(int socket)
{
	static const int not_for_us[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM,
					 SIGTSTP, SIGPIPE, SIGUSR1, SIGUSR2};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_NAME, "btget-log", 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (size_t i = 0; i < sizeof(not_for_us) / sizeof(int); i++)
		sigaction(not_for_us[i], &ignore, NULL);
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (socket != KEPT && dup2(socket, KEPT) < 0)
		_exit(1);
	if (close_above(KEPT) < 0)
		for (int fd = KEPT + 1; fd < 1024; fd++)
			close(fd);
}

static void
answer(int fd, int sys)
{
	union control control = {{0}};
	struct iovec what = {&sys, sizeof(sys)};
	struct msghdr message = {.msg_iov = &what, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	sendmsg(KEPT, &message, MSG_NOSIGNAL);
}

static _Noreturn void
serve(int socket, const char *path)
{
	char ask;

	leave_all(socket);
	for (;;) {
		ssize_t n = recv(KEPT, &ask, 1, 0);
		int fd;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0);
		fd = log_open_file(path);
		answer(fd, fd < 0 ? errno : 0);
		if (fd >= 0)
			close(fd);
	}
}

/* ---- the owner ---- */

struct opener *
opener_new(const char *path, struct error *e)
{
	struct opener *o = calloc(1, sizeof(*o));
	int ends[2];

	if (!o) {
		error_memory(e);
		return NULL;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		error_sys(e, ERROR_INTERNAL, errno, "cannot make a socket");
		free(o);
		return NULL;
	}
	o->socket = ends[0];
	o->helper = fork();
	if (o->helper == 0)
		serve(ends[1], path);
	close(ends[1]);
	if (o->helper > 0)
		return o;
	error_sys(e, ERROR_INTERNAL, errno, "cannot start a process");
	close(ends[0]);
	free(o);
	return NULL;
}

void
opener_free(struct opener *o)
{
	if (!o)
		return;
	close(o->socket);
	/* One that hangs in a disk is not waited for. */
	if (!o->lost)
		while (waitpid(o->helper, NULL, 0) < 0 && errno == EINTR)
			;
	free(o);
}

/* An answer that comes late would be taken for the next one's. */
static int
lose(struct opener *o, int sys)
{
	o->lost = true;
	shutdown(o->socket, SHUT_RDWR);
	errno = sys;
	return -1;
}

static int
receive(struct opener *o)
{
	union control control;
	int sys = 0, fd = -1;
	struct iovec what = {&sys, sizeof(sys)};
	struct msghdr message = {
		.msg_iov = &what,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(o->socket, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	if (n != sizeof(sys))
		return lose(o, EPIPE);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	errno = sys ? sys : EPIPE;
	return fd;
}

int
opener_open(struct opener *o)
{
	struct pollfd fd = {.fd = o->socket, .events = POLLIN};
	int n;

	if (o->lost || send(o->socket, "o", 1, MSG_NOSIGNAL) < 0)
		return lose(o, EPIPE);
	do
		n = poll(&fd, 1, PATIENCE_MS);
	while (n < 0 && errno == EINTR);
	return n > 0 ? receive(o) : lose(o, ETIMEDOUT);
}
