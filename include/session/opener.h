/*
 * opener: opens the log's file, whatever rights were given up since.
 *
 * Landlock (session/sandbox) knows folders, not their names: where one is
 * removed and made anew, nothing can be opened for writing any more.  So a
 * process that was forked before does that.  It opens this one file, as
 * base/log does, when it is asked to, and can be asked for nothing else.  It
 * ends with its owner, or when opener_free is called.
 *
 * Threads: made while there is but one; asked by one at a time.
 */
#ifndef BTGET_SESSION_OPENER_H
#define BTGET_SESSION_OPENER_H

#include "base/error.h"

struct opener;

struct opener *opener_new(const char *path, struct error *e);
void opener_free(struct opener *o);

/* A descriptor, the caller's; -1 with errno. */
int opener_open(struct opener *o);

#endif
