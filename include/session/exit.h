/*
 * exit: the exit status, which scripts rely on.  Pure.
 */
#ifndef BTGET_SESSION_EXIT_H
#define BTGET_SESSION_EXIT_H

#include "base/error.h"

enum exit_code {
	EXIT_COMPLETE = 0,	/* all complete, verified, synced */
	EXIT_INTERNAL = 1,	/* something unexpected in btget itself */
	EXIT_USAGE = 2,		/* the command line or config file */
	EXIT_TORRENT = 3,	/* invalid, or could not be read */
	EXIT_STORAGE = 4,
	EXIT_NO_PEERS = 5,	/* not one peer could be reached */
	EXIT_INCOMPLETE = 6,	/* stalled or out of time; run it again */
	EXIT_LOCKED = 7,	/* another run holds the lock */
	EXIT_HOOK = 8,		/* complete, but the command failed */
	EXIT_SIGNAL = 128,	/* plus the signal's number */
};

/* Of two torrents: the smaller one that is not 0, 1 counting last. */
int exit_merge(int a, int b);

/* The code for an error that ended a torrent. */
int exit_for(enum error_kind kind);

#endif
