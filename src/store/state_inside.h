/*
 * What state.c, which reads and writes the state of a torrent, state_disk.c,
 * which holds it against the files, and state_others.c, which looks into those
 * of others, know of one another: the file, all numbers big-endian:
 *
 *   "btgetst1"  info hash (20)  length u64  piece length u64
 *   pieces u32  files u32  uploaded u64  downloaded u64
 *   flags u8: 0, 1 (complete), 2 (pieces are unchecked) or 3 (it was
 *   complete; perhaps pieces are unchecked); and 4 more (pieces are damaged)
 *   verified pieces, unchecked ones (with 2 and 3), damaged ones (with 4),
 *   selected files: bitfields as in BEP 3
 *   for each file and the side file: there u8  size u64  mtime ns u64
 *   (there is 2 where no piece of the file is known to be missing or wrong)
 *   partials u32, for each: piece u32  blocks u32  bitfield
 *   SHA-256 of all before it (32)
 */
#ifndef BTGET_STORE_STATE_INSIDE_H
#define BTGET_STORE_STATE_INSIDE_H

#include "store/state.h"

#define STATE_MAGIC "btgetst1"
#define STATE_FLAG_COMPLETE 1
#define STATE_FLAG_UNCHECKED 2
#define STATE_FLAG_WAS_COMPLETE 3
#define STATE_FLAG_DAMAGED 4		/* with any of them */
#define STATE_THERE 1
#define STATE_THERE_WHOLE 2

static inline bool
state_has_unchecked(uint8_t flags)
{
	flags &= (uint8_t)~STATE_FLAG_DAMAGED;
	return flags == STATE_FLAG_UNCHECKED ||
	       flags == STATE_FLAG_WAS_COMPLETE;
}

static inline bool
state_same_stamp(const struct files_stamp *a, const struct files_stamp *b)
{
	return a->there == b->there && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns;
}

#endif
