/*
 * sandbox: gives up what the rest of the run has no need of, so that a bug
 * which lets strangers run code in it gives them little.
 *
 * Once entered: no new privileges (set-user-ID programs gain nothing), no
 * program can be started, and nothing can be written, made, renamed or
 * removed but below the folders that were allowed.  Reading is not
 * restricted: the resolver, certificates and torrents lie anywhere.  Files
 * that are open already stay as they are.
 *
 * The kernel enforces it (Landlock, Linux 5.13); where it has no Landlock,
 * only the first of these holds and nothing else changes.
 *
 * Threads: enters for the calling thread and for those that it starts from
 *          then on, so that main does it before there is any other.
 * Source:  Linux Documentation/userspace-api/landlock.rst.
 */
#ifndef BTGET_SESSION_SANDBOX_H
#define BTGET_SESSION_SANDBOX_H

#include <stdbool.h>

struct sandbox {
	int rules;	/* -1: no Landlock here, or given up */
};

/* Starts with nothing allowed. */
void sandbox_init(struct sandbox *s);
void sandbox_release(struct sandbox *s);

/* Allows writing below a folder, which is made (mkdir -p) with this mode if
 * missing; -1 with errno. */
int sandbox_allow(struct sandbox *s, const char *folder, unsigned mode);

/* Allows the file to be made again and written to, with the files beside
 * it, and those beside what it leads to if it is a link that is there; nothing
 * there can be removed. */
int sandbox_allow_file(struct sandbox *s, const char *file);

/* There is no way back.  True if the file rules hold now. */
bool sandbox_enter(struct sandbox *s);

#endif
