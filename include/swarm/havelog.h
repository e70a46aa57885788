/*
 * havelog: which pieces are verified, and in which order they came to be.
 *
 * An append-only list.  Each peer thread keeps a cursor in it and tells its
 * peer of everything from there to the end whenever it runs: no queues, no
 * thread touches another one's socket.  The set can be asked without a lock.
 *
 * Threads: every function may be called from any thread, havelog_begin only
 * before the first peer thread runs.
 */
#ifndef BTGET_SWARM_HAVELOG_H
#define BTGET_SWARM_HAVELOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bitfield.h"
#include "base/error.h"

struct havelog;

struct havelog *havelog_new(size_t pieces, struct error *e);
void havelog_free(struct havelog *h);

/* What was verified before the run: in the set, not in the list. */
void havelog_begin(struct havelog *h, const struct bitfield *have);

/* The piece is verified from now on; false if it already was. */
bool havelog_add(struct havelog *h, uint32_t piece);

bool havelog_has(const struct havelog *h, uint32_t piece);
size_t havelog_count(const struct havelog *h);	/* verified, in all */
size_t havelog_pieces(const struct havelog *h);	/* of the torrent */

/* How long the list is, and its i-th entry (i below the length). */
size_t havelog_length(const struct havelog *h);
uint32_t havelog_at(const struct havelog *h, size_t i);

/* Copies the set, at least as new as a length read before the call. */
void havelog_copy(const struct havelog *h, struct bitfield *out);

#endif
