/*
 * blaster: the other side of a bench, as cheap as can be, so that what is
 * measured is the client under test.  One thread each; they run until they
 * are done (leech), or until TERM (seed).
 */
#ifndef BTGET_BENCH_BLASTER_H
#define BTGET_BENCH_BLASTER_H

#include "common.h"

void blaster_seed(const struct words *w);
void blaster_leech(const struct words *w);

#endif
