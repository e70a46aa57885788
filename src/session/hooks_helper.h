/*
 * hooks_helper: the other process; and what is said between the two, in
 * messages over a socket pair.
 *
 * To the helper: a byte for the kind, then BTGET_NAME to BTGET_EXIT as
 * strings, each ended by NUL.  One at a time: the next one follows the end
 * of the one before.
 * From it: HELPER_LINE with a line of output, HELPER_END with the wait
 * status as an int of this machine.
 */
#ifndef BTGET_SESSION_HOOKS_HELPER_H
#define BTGET_SESSION_HOOKS_HELPER_H

#include "session/hooks.h"

enum { HELPER_LINE = 'l', HELPER_END = 'e' };

/* Serves until the socket ends, and then ends the process. */
_Noreturn void hooks_helper(int socket,
			    const char *const commands[HOOK_KINDS]);

#endif
