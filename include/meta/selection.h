/*
 * selection: which files of a torrent are wanted.
 *
 * A list has items with commas between, space around them is nothing:
 *
 *   3  2-5  7-     by number, as `btget show` prints them, from 1
 *   *.iso          by pattern, on the path with '/' or on its last component
 *   doc  doc/      all in the folders that match, as patterns of paths
 *   !ITEM          leaves out what ITEM says
 *
 * A file is wanted if any item names it, or there are only items that leave
 * out, and none leaves it out; the order of items does not matter.
 *
 * In patterns `*` is any text, '/' too, `?` one character, `[a-c]` and
 * `[!a-c]` one of these and one of the others; `\` takes the next character
 * as it is, a comma too.  Characters are those of UTF-8; a byte that is none
 * is a character.  Case makes a difference.  What is written exactly as
 * a file or folder is called names it, whatever signs are in it.
 *
 * Pure.
 * Threads: one to make it, then any.
 */
#ifndef BTGET_META_SELECTION_H
#define BTGET_META_SELECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bitfield.h"
#include "base/error.h"

struct magnet;
struct metainfo;
struct selection;

#define SELECTION_SIZE_MAX 65536	/* bytes of a list */

/* ERROR_USAGE if it is wrong. */
struct selection *selection_parse(const char *text, struct error *e);
void selection_free(struct selection *s);

/* Sets the wanted files, by their index in the metainfo; padding always is.
 * ERROR_USAGE when no file is wanted. */
int selection_apply(const struct selection *s, const struct metainfo *m,
		    struct bitfield *out, struct error *e);

/* The first item that names no file of this torrent, or NULL: a mistake,
 * perhaps. */
const char *selection_unused(const struct selection *s,
			     const struct metainfo *m);

/* What a magnet link selects (BEP 53, from 0, padding counted); all if it
 * does not. ERROR_TORRENT when that is nothing. */
int selection_apply_link(const struct magnet *link, const struct metainfo *m,
			 struct bitfield *out, struct error *e);

/* Does it select one that is not in `have`?  Not when it selects nothing. */
bool selection_link_adds(const struct magnet *link, const struct metainfo *m,
			 const struct bitfield *have);

/* Does a text match a pattern?  Time grows with the product of their
 * lengths at most. */
bool selection_match(const char *pattern, const char *text, size_t length);

#endif
