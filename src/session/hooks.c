#include "session/hooks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/text.h"
#include "hooks_helper.h"

/* A command may write faster than its lines are told. */
#define MESSAGES_AT_ONCE 256

/* A job that waits, or the one that runs. */
struct job {
	struct job *next;
	enum hook_kind kind;
	void *ctx;
	void (*output)(void *ctx, enum hook_kind kind, const char *name,
		       const char *line);
	void (*done)(void *ctx, enum hook_kind kind, const char *name,
		     const char *why);
	char last[HOOKS_LINE_MAX + 1];	/* line that it wrote, clean */
	size_t size;
	uint8_t message[];
};

struct hooks {
	int socket;
	pid_t helper;
	bool has[HOOK_KINDS];
	bool lost;		/* the helper is gone */
	bool abandoned;
	bool running;		/* the first job was sent */
	struct job *first;
	struct job **last;
};

struct hooks *
hooks_new(const char *const commands[HOOK_KINDS], struct error *e)
{
	struct hooks *h = calloc(1, sizeof(*h));
	int ends[2];

	if (!h) {
		error_memory(e);
		return NULL;
	}
	h->last = &h->first;
	for (size_t i = 0; i < HOOK_KINDS; i++)
		h->has[i] = commands[i] != NULL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		error_sys(e, ERROR_INTERNAL, errno, "cannot make a socket");
		goto fail;
	}
	h->socket = ends[0];
	h->helper = fork();
	if (h->helper == 0) {
		close(ends[0]);
		hooks_helper(ends[1], commands);
	}
	close(ends[1]);
	if (h->helper > 0)
		return h;
	error_sys(e, ERROR_INTERNAL, errno, "cannot start a process");
	close(ends[0]);
fail:
	free(h);
	return NULL;
}

void
hooks_free(struct hooks *h)
{
	struct job *job;

	if (!h)
		return;
	close(h->socket);
	while (waitpid(h->helper, NULL, 0) < 0 && errno == EINTR)
		;
	while ((job = h->first) != NULL) {
		h->first = job->next;
		free(job);
	}
	free(h);
}

bool
hooks_has(const struct hooks *h, enum hook_kind kind)
{
	return h && h->has[kind];
}

const char *
hooks_dir(char out[PATH_MAX], const char *dir)
{
	size_t n;

	if (realpath(dir, out))
		return out;
	/* What is not there yet has a place all the same. */
	n = *dir != '/' && getcwd(out, PATH_MAX) ? strlen(out) : 0;
	snprintf(out + n, PATH_MAX - n, n > 0 ? "/%s" : "%s", dir);
	return out;
}

bool
hooks_idle(const struct hooks *h)
{
	return !h || !h->first;
}

int
hooks_fd(const struct hooks *h)
{
	return h->lost ? -1 : h->socket;
}

void
hooks_abandon(struct hooks *h)
{
	h->abandoned = true;
	shutdown(h->socket, SHUT_RDWR);
}

/* ---- jobs ---- */

/* The message begins with the kind, and then this. */
static const char *
name_of(const struct job *job)
{
	return (const char *)job->message + 1;
}

static void
finish_first(struct hooks *h, const char *why)
{
	struct job *job = h->first;

	h->first = job->next;
	if (!h->first)
		h->last = &h->first;
	h->running = false;
	job->done(job->ctx, job->kind, name_of(job), why);
	free(job);
}

/* Sends the next job, unless one runs. */
static void
send_next(struct hooks *h)
{
	while (h->first && !h->running) {
		ssize_t n = -1;

		if (!h->lost)
			n = send(h->socket, h->first->message,
				 h->first->size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR && !h->lost)
			continue;
		h->running = n >= 0;
		if (n < 0)
			finish_first(h, h->abandoned ? "was not run"
						     : "could not be run");
	}
}

static void
put(struct buffer *b, const char *text)
{
	buffer_str(b, text ? text : "");
	buffer_u8(b, 0);
}

static void
put_job(struct buffer *b, const struct hook_job *job)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", job->exit);
	buffer_u8(b, (uint8_t)job->kind);
	put(b, job->name);
	put(b, job->dir);
	put(b, job->path);
	put(b, job->info_hash);
	put(b, number);
}

int
hooks_submit(struct hooks *h, const struct hook_job *in, struct error *e)
{
	struct job *job = NULL;
	struct buffer b;

	buffer_init(&b, HOOKS_JOB_MAX);
	put_job(&b, in);
	if (!b.failed)
		job = calloc(1, sizeof(*job) + b.used);
	if (!job) {
		buffer_release(&b);
		return error_set(e, ERROR_INTERNAL, "the command could not "
				 "be run: its environment is too large");
	}
	job->kind = in->kind;
	job->ctx = in->ctx;
	job->output = in->output;
	job->done = in->done;
	job->size = b.used;
	memcpy(job->message, b.data, b.used);
	buffer_release(&b);
	*h->last = job;
	h->last = &job->next;
	send_next(h);
	return 0;
}

/* ---- what the helper says ---- */

static void
tell_end(struct hooks *h, int status)
{
	char why[HOOKS_LINE_MAX + 64], *last = h->first->last, signal[32];
	const char *colon = *last ? ": " : "";

	if (status == 0) {
		finish_first(h, NULL);
		return;
	}
	if (status == -1)
		snprintf(why, sizeof(why), "could not be run");
	else if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "was ended by %s%s%s",
			 text_signal(signal, sizeof(signal), WTERMSIG(status)),
			 colon, last);
	else
		snprintf(why, sizeof(why), "ended with %d%s%s",
			 WEXITSTATUS(status), colon, last);
	finish_first(h, why);
}

static void
take_message(struct hooks *h, const char *message, size_t size)
{
	struct job *job = h->first;
	int status;

	if (!job || !h->running)
		return;
	if (message[0] == HELPER_LINE) {
		text_clean_n(job->last, sizeof(job->last), message + 1,
			     size - 1);
		job->output(job->ctx, job->kind, name_of(job), job->last);
	} else if (message[0] == HELPER_END && size == 1 + sizeof(status)) {
		memcpy(&status, message + 1, sizeof(status));
		tell_end(h, status);
	}
}

void
hooks_receive(struct hooks *h)
{
	char message[1 + HOOKS_LINE_MAX];
	ssize_t n;

	for (int i = 0; i < MESSAGES_AT_ONCE && !h->lost; i++) {
		n = recv(h->socket, message, sizeof(message), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n <= 0)
			h->lost = true;
		else
			take_message(h, message, (size_t)n);
	}
	if (h->lost && h->running)
		finish_first(h, h->abandoned ? "was ended" : "could not be "
			     "run: the helper process is gone");
	send_next(h);
}
