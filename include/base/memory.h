/*
 * memory: a hint to the kernel, for blocks of a megabyte and more.
 *
 * A page is made when it is first touched, by an exception; in a virtual
 * machine that was seen to cost twenty times as much as a page of many that
 * are made by one call.
 *
 * No state, any thread.
 */
#ifndef BTGET_BASE_MEMORY_H
#define BTGET_BASE_MEMORY_H

#include <stddef.h>

/* All of these bytes are about to be written: makes their pages now.  Their
 * contents stay as they are; where the kernel cannot, nothing happens. */
void memory_expect(void *at, size_t size);

#endif
