/*
 * hooks: runs commands of the user's when something has happened.
 *
 * A helper process does it, which is forked while the program has but one
 * thread and nothing to lose: no lock or descriptor of ours is ever in a
 * command's way, and what we may no longer do ourselves by then it still
 * may.  It runs one command at a time, in order, by /bin/sh -c, in a process
 * group of its own, with no input, and passes on what the command writes,
 * line by line.
 *
 * Names reach a command through its environment alone (BTGET_NAME and so
 * on), never as part of what the shell reads.
 *
 * When we are gone, however that came, a command that still runs is told to
 * end (TERM), and killed a second later.
 *
 * Ownership: commands and jobs are copied.
 * Threads:   hooks_new while there is one thread; all from the main thread.
 */
#ifndef BTGET_SESSION_HOOKS_H
#define BTGET_SESSION_HOOKS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define HOOKS_LINE_MAX 512	/* of output; longer ones are cut up,
				 * between characters */
#define HOOKS_JOB_MAX 16384	/* bytes that a job takes as a message */

enum hook_kind { HOOK_COMPLETE, HOOK_ERROR, HOOK_KINDS };

struct hook_job {
	enum hook_kind kind;
	/* What the command finds in its environment; NULL is "". */
	const char *name;		/* BTGET_NAME */
	const char *dir;		/* BTGET_DIR */
	const char *path;		/* BTGET_PATH */
	const char *info_hash;		/* BTGET_INFO_HASH, in hex */
	int exit;			/* BTGET_EXIT */

	/* Called by hooks_receive, with the name above. */
	void *ctx;
	void (*output)(void *ctx, enum hook_kind kind, const char *name,
		       const char *line);
	/* why is NULL when it ended with 0, and words for people if not. */
	void (*done)(void *ctx, enum hook_kind kind, const char *name,
		     const char *why);
};

struct hooks;

/* By kind; NULL: there is none.  Starts the helper. */
struct hooks *hooks_new(const char *const commands[HOOK_KINDS],
			struct error *e);
void hooks_free(struct hooks *h);	/* commands do not outlive it */

/* NULL has none. */
bool hooks_has(const struct hooks *h, enum hook_kind kind);

/* The target folder from the root on; returns out. */
const char *hooks_dir(char out[PATH_MAX], const char *dir);

/* To be run when those before it are done; -1 when it cannot be. */
int hooks_submit(struct hooks *h, const struct hook_job *job,
		 struct error *e);

bool hooks_idle(const struct hooks *h);

/* Nobody waits any longer: the command that runs is ended as if we were gone,
 * and hooks_receive tells that it was, and that those that wait were not
 * run. */
void hooks_abandon(struct hooks *h);

/* Readable when there is something for hooks_receive, which never waits; -1
 * once the helper is gone. */
int hooks_fd(const struct hooks *h);
void hooks_receive(struct hooks *h);

#endif
