/*
 * One thread, one poll: on the socket, on the output of the command that
 * runs, and on SIGCHLD by a signalfd.
 */
#include "hooks_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

#define GRACE_NS CLOCK_S	/* between TERM and KILL */
#define READS_AT_END 16		/* what a pipe holds */

static const char *const variables[] = {
	"BTGET_NAME", "BTGET_DIR", "BTGET_PATH", "BTGET_INFO_HASH",
	"BTGET_EXIT",
};
#define VARIABLES (sizeof(variables) / sizeof(variables[0]))

/* They are meant for btget, which tells us by closing the socket. */
static const int not_for_us[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
#define NOT_FOR_US (sizeof(not_for_us) / sizeof(not_for_us[0]))

struct helper {
	int socket;
	const char *const *commands;
	int children;		/* the signalfd */
	struct sigaction before[NOT_FOR_US];

	pid_t child;		/* 0: none runs */
	int output;		/* -1: none, or closed */
	char line[1 + HOOKS_LINE_MAX];	/* a message, as it grows */
	size_t used;		/* of it, behind the kind */
};

/* ---- speaking ---- */

/* When nobody listens any more the socket's end tells, too. */
static void
say(const struct helper *h, const void *message, size_t size)
{
	while (send(h->socket, message, size, MSG_NOSIGNAL) < 0 &&
	       errno == EINTR)
		;
}

/* The line's first n bytes; the others are the next one's. */
static void
say_line(struct helper *h, size_t n)
{
	if (n == 0)
		return;
	h->line[0] = HELPER_LINE;
	say(h, h->line, 1 + n);
	h->used -= n;
	memmove(h->line + 1, h->line + 1 + n, h->used);
}

static void
say_end(const struct helper *h, int status)
{
	char message[1 + sizeof(status)] = { HELPER_END };

	memcpy(message + 1, &status, sizeof(status));
	say(h, message, sizeof(message));
}

/* ---- output ---- */

static void
take_output(struct helper *h, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (data[i] != '\n')
			h->line[1 + h->used++] = data[i];
		if (data[i] == '\n')
			say_line(h, h->used);
		else if (h->used == HOOKS_LINE_MAX)
			say_line(h, text_whole(h->line + 1, h->used));
	}
}

/* False when there is no more for now. */
static bool
read_output(struct helper *h)
{
	char data[4096];
	ssize_t n = read(h->output, data, sizeof(data));

	if (n > 0) {
		take_output(h, data, (size_t)n);
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	close(h->output);
	h->output = -1;
	return false;
}

/* ---- a command ---- */

/* In the child. */
static _Noreturn void
become_command(const struct helper *h, const char *command, int out)
{
	struct sigaction usual = { .sa_handler = SIG_DFL };
	sigset_t none;

	setpgid(0, 0);
	for (size_t i = 0; i < NOT_FOR_US; i++)
		sigaction(not_for_us[i], &h->before[i], NULL);
	sigaction(SIGPIPE, &usual, NULL);
	sigaction(SIGXFSZ, &usual, NULL);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* From here to the child by fork alone; the helper has no other thread. */
static int
set_environment(const char *message, size_t size)
{
	const char *at = message + 1, *end = message + size;

	for (size_t i = 0; i < VARIABLES; i++) {
		size_t n = strnlen(at, (size_t)(end - at));

		/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
		if (at + n == end || setenv(variables[i], at, 1) < 0)
			return -1;
		at += n + 1;
	}
	return 0;
}

static int
start(struct helper *h, const char *message, size_t size)
{
	const char *command = NULL;
	int ends[2];

	if (size > 0 && (unsigned char)message[0] < HOOK_KINDS)
		command = h->commands[(unsigned char)message[0]];
	if (!command || set_environment(message, size) < 0 ||
	    pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	h->child = fork();
	if (h->child == 0)
		become_command(h, command, ends[1]);
	close(ends[1]);
	if (h->child < 0) {
		h->child = 0;
		close(ends[0]);
		return -1;
	}
	/* In both, so that it is done before anybody kills the group. */
	setpgid(h->child, h->child);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	h->output = ends[0];
	return 0;
}

/* It has ended; others may still hold its output, and are not waited for. */
static void
ended(struct helper *h, int status)
{
	for (int i = 0; i < READS_AT_END && h->output >= 0; i++)
		if (!read_output(h))
			break;
	if (h->output >= 0)
		close(h->output);
	h->output = -1;
	say_line(h, h->used);
	h->child = 0;
	say_end(h, status);
}

static bool
reap(struct helper *h)
{
	struct signalfd_siginfo info;
	int status;

	while (read(h->children, &info, sizeof(info)) > 0)
		;
	if (h->child == 0 || waitpid(h->child, &status, WNOHANG) != h->child)
		return false;
	ended(h, status);
	return true;
}

/* ---- the end ---- */

/* Nobody wants to know any more. */
static _Noreturn void
give_up(struct helper *h)
{
	int64_t until = clock_ns() + GRACE_NS;
	struct pollfd fd = { .fd = h->children, .events = POLLIN };

	if (h->child)
		kill(-h->child, SIGTERM);
	while (h->child && clock_ns() < until) {
		poll(&fd, 1, clock_poll_ms(clock_ns(), until));
		reap(h);
	}
	if (h->child)
		kill(-h->child, SIGKILL);
	_exit(0);
}

/* ---- the loop ---- */

static void
take_message(struct helper *h)
{
	char message[HOOKS_JOB_MAX];
	ssize_t n = recv(h->socket, message, sizeof(message), MSG_TRUNC);

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0)
		give_up(h);
	if ((size_t)n > sizeof(message) ||
	    start(h, message, (size_t)n) < 0)
		say_end(h, -1);
}

static void
serve(struct helper *h)
{
	struct pollfd fds[3] = {
		/* While one runs, only the end is news. */
		{ .fd = h->socket, .events = h->child ? 0 : POLLIN },
		{ .fd = h->children, .events = POLLIN },
		{ .fd = h->output, .events = POLLIN },
	};

	if (poll(fds, 3, -1) < 0)
		return;
	if (fds[2].revents)
		read_output(h);
	if (fds[1].revents)
		reap(h);
	if (fds[0].revents & (POLLHUP | POLLERR))
		give_up(h);
	if (fds[0].revents & POLLIN)
		take_message(h);
}

static void
set_signals(struct helper *h)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction usual = { .sa_handler = SIG_DFL };
	sigset_t set;

	for (size_t i = 0; i < NOT_FOR_US; i++)
		sigaction(not_for_us[i], &ignore, &h->before[i]);
	/* Whoever started us may have it ignored, and children with it. */
	sigaction(SIGCHLD, &usual, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	h->children = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* What stands there belongs to btget, and ends with it. */
static void
leave_standard_descriptors(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
}

_Noreturn void
hooks_helper(int socket, const char *const commands[HOOK_KINDS])
{
	struct helper h = {
		.socket = socket, .commands = commands, .output = -1,
	};

	prctl(PR_SET_NAME, "btget-hooks", 0, 0, 0);
	leave_standard_descriptors();
	set_signals(&h);
	if (h.children < 0)
		_exit(1);
	for (;;)
		serve(&h);
}
