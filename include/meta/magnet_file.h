/*
 * magnet_file: a text that holds one magnet link or info hash, as .magnet
 * files do: in a line with nothing but space and comments (#) around it, and
 * perhaps the mark of UTF-8 before all.  Pure.
 */
#ifndef BTGET_META_MAGNET_FILE_H
#define BTGET_META_MAGNET_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"
#include "meta/magnet.h"

/* Does it begin with "magnet:", behind space and comments?  What does is no
 * torrent. */
bool magnet_file_is(const void *data, size_t size);

/* ERROR_TORRENT if it holds anything else.  The text is cut up. */
struct magnet *magnet_file_parse(struct buffer *text, struct error *e);

#endif
