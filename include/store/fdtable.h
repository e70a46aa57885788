/*
 * fdtable: keeps the files used last open, and never more than a bound.
 *
 * A file is pinned while it is used; the one that was used longest ago and
 * is not pinned gives way to another.  Files are opened and closed without
 * the lock; two that ask for the same wait for one open.  When all places
 * are pinned, the next one to ask waits.
 *
 * Several tables may share a budget.  Once it is spent, each of them gives up
 * one of its own for another, and one that has none to give up holds its
 * file for no longer than it is pinned.  So together they hold no more than
 * the budget and one for each thread that is at work.
 *
 * Threads: any; but a thread pins one at a time, or all could wait for ever.
 */
#ifndef BTGET_STORE_FDTABLE_H
#define BTGET_STORE_FDTABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct fdtable;
struct pin;

struct fdbudget {
	_Atomic long left;	/* below zero: spent, and lent */
};

/* Opens a file for reading, or for both; -1 on failure. */
typedef int fdtable_open(void *ctx, size_t file, bool write, struct error *e);

struct fdtable *fdtable_new(size_t max, fdtable_open *open, void *ctx,
			    struct error *e);
void fdtable_free(struct fdtable *t);	/* closes all; none is pinned */

/* Before the first pin; the budget outlives the table. */
void fdtable_share(struct fdtable *t, struct fdbudget *budget);

/* Returns its descriptor and the pin to give back, or -1.  For reading, one
 * that is open for both will do. */
int fdtable_pin(struct fdtable *t, size_t file, bool write, struct pin **pin,
		struct error *e);
void fdtable_unpin(struct fdtable *t, struct pin *pin);

/* Closes those that nobody has pinned. */
void fdtable_close_idle(struct fdtable *t);

/* What was said as a file was closed, if that failed: an errno, or 0. */
int fdtable_lost(const struct fdtable *t);

#endif
