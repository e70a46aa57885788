/*
 * metainfo_parts: what the sources of metainfo share among themselves.
 *
 * Functions return 0, or -1 with a report of ERROR_TORRENT (ERROR_PROTOCOL
 * from bencode becomes that at the end).
 */
#ifndef BTGET_META_METAINFO_PARTS_H
#define BTGET_META_METAINFO_PARTS_H

#include "meta/bencode.h"
#include "meta/metainfo.h"

/* Strings live in chunks that never move. */
struct chunk;

struct metainfo_whole {
	struct metainfo m;	/* first: it is what users hold */
	void *raw;
	struct chunk *chunks;	/* the newest first */
	size_t string_bytes;
	uint32_t file_room;	/* files that fit the arrays */
	uint32_t trackers_seen;
	struct bencode announce;	/* as they are in the file */
	struct bencode tiers;
};

/* Room for n bytes, of which metainfo_keep takes the first ones. */
char *metainfo_room(struct metainfo_whole *w, size_t n, struct error *e);
void metainfo_keep(struct metainfo_whole *w, size_t n);

/* A copy with a NUL; NULL without memory. */
char *metainfo_copy(struct metainfo_whole *w, const void *at, size_t size);

/* A new file at the end, all zero, or NULL. */
struct metainfo_file *metainfo_add_file(struct metainfo_whole *w,
					struct error *e);

unsigned metainfo_attributes(struct bencode attr);
int metainfo_length(struct bencode v, uint64_t *length, struct error *e);

/* Copies the components of a list, each with a NUL, to out, which has room
 * for the raw list. */
int metainfo_components(char *out, struct bencode list, uint16_t *count,
			size_t *used, struct error *e);

/* The v1 list of files: `files` or `length`. */
int metainfo_read_files(struct metainfo_whole *w, struct bencode files,
			struct error *e);
int metainfo_read_single(struct metainfo_whole *w, struct bencode length,
			 struct bencode attr, struct error *e);

/* The v2 tree, after the v1 list where there is one. */
int metainfo_read_tree(struct metainfo_whole *w, struct bencode tree,
		       struct error *e);
int metainfo_read_layers(struct metainfo_whole *w, struct bencode layers,
			 struct error *e);

/* What stands beside the info dictionary. */
void metainfo_read_trackers(struct metainfo_whole *w, struct bencode announce,
			    struct bencode tiers);
void metainfo_read_web_seeds(struct metainfo_whole *w, struct bencode files,
			     struct bencode pieces);
void metainfo_read_nodes(struct metainfo_whole *w, struct bencode nodes);
void metainfo_add_tracker(struct metainfo_whole *w, const void *url,
			  size_t size, uint32_t tier);

#endif
