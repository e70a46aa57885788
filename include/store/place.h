/*
 * place: where below DIR a torrent's data lies.
 *
 * That is DIR/NAME, or NAME.part, but for a v2 torrent of one file that calls
 * itself otherwise (metainfo's folder): whoever made it of a folder has the
 * file in there, and so has who downloaded it by the rules of before.  Where
 * there is nothing under the file's own name, a file of its size in that
 * folder is taken for it, or what was begun in the folder's .part, unless
 * that is another torrent's.
 *
 * Threads: any.
 */
#ifndef BTGET_STORE_PLACE_H
#define BTGET_STORE_PLACE_H

#include "store/folder.h"
#include "store/layout.h"

/* As layout_new_on, for this folder. */
struct layout *place_lay_out(const struct metainfo *m,
			     const struct bitfield *selected,
			     const struct bitfield *spare,
			     const struct folder *f, struct error *e);

#endif
