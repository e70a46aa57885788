/*
 * begun: files that an earlier run has begun, and not finished.
 *
 * As far as its state knows: they were to be stored, something of them was
 * verified or is noted as received, and not all was verified.  What others
 * have put under such a name before is none of these; whether they have put
 * something there since, who asks has to look.  Pure.
 *
 * Threads: as for the state.
 */
#ifndef BTGET_STORE_BEGUN_H
#define BTGET_STORE_BEGUN_H

#include "base/bitfield.h"
#include "store/layout.h"
#include "store/state.h"

/* Sets them in `out`, by file. */
void begun_find(const struct state *s, const struct layout *l,
		struct bitfield *out);

#endif
