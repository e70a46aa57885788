/*
 * owner: whose the data under a name in the folder is.
 *
 * DIR/.btget has an empty file, name-SHA1.owner-INFOHASH, for each torrent
 * that writes to DIR/NAME or has found its data there (the SHA-1 is of NAME,
 * in small letters where the disk ignores case).
 * It is made before the data is, and asks nothing of it: neither a kill nor a
 * changed time makes a name look free.  Several torrents of the same data own
 * a name together.
 *
 * Threads: any that shares the name's lock (session/lock); owner_take needs
 *          it alone.
 */
#ifndef BTGET_STORE_OWNER_H
#define BTGET_STORE_OWNER_H

#include "base/error.h"
#include "meta/metainfo.h"
#include "store/folder.h"
#include "store/layout.h"

/* What a name is told from others by in this folder.  Letters beyond ASCII are
 * not looked at: disks do not agree on them. */
void owner_key(const struct folder *f, const char *name,
	       char out[LAYOUT_NAME_MAX + 1]);

/* Looks below `dir` (DIR/.btget) for a torrent but `hex` that owns the name.
 * 1, with its info hash in `other`; 0: none; -1 on errors. */
int owner_find(int dir, const char *name, const char *hex,
	       char other[METAINFO_HEX_MAX], struct error *e);

/* Calls for each torrent but `hex` that owns the name, until it returns what is
 * not 0, which is returned then. */
int owner_each(int dir, const char *name, const char *hex,
	       int (*each)(void *ctx, const char *other, struct error *e),
	       void *ctx, struct error *e);

/* The torrent owns the name too, on stable storage. */
int owner_join(int dir, const char *name, const char *hex, struct error *e);

/* The same, and nobody else: what others had under the name is gone. */
int owner_take(int dir, const char *name, const char *hex, struct error *e);

#endif
