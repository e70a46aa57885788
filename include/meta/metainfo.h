/*
 * metainfo: what a torrent holds: v1, v2 and hybrid, checked in full.
 *
 * Everything that follows from the bytes alone is checked here: sizes and
 * sums, piece hashes against lengths, the v2 file tree, piece layers up to
 * their roots, and that a hybrid's halves describe the same files.  Names
 * are only checked to be there and free of NUL: what is safe on a disk is
 * decided by store/layout, and they stay raw bytes, perhaps not UTF-8.
 *
 * The stream is the byte sequence that pieces cut up: all files one after
 * another, pad files among them.  In a torrent without v1 each non-empty
 * file begins at a multiple of the piece length and the gaps behind them, the
 * last one's too, belong to none: pieces there are as short as the data.
 *
 * Ownership: all pointers belong to the metainfo, many lead into the raw
 *            bytes it keeps.  Read-only after it was made, so any thread.
 * Source:    BEP 3, 5, 12, 19, 27, 47, 52.
 */
#ifndef BTGET_META_METAINFO_H
#define BTGET_META_METAINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

#define METAINFO_SIZE_MAX (256u << 20)		/* of a .torrent */
#define METAINFO_FILES_MAX (4u << 20)
#define METAINFO_PIECES_MAX (16u << 20)
#define METAINFO_PIECE_LENGTH_MAX (256u << 20)
#define METAINFO_PATH_SIZE_MAX 65535u
#define METAINFO_PATHS_MAX (256u << 20)		/* bytes of all paths */
#define METAINFO_TRACKERS_MAX 1000		/* the rest is left out */
#define METAINFO_URLS_MAX 256			/* web seeds */
#define METAINFO_URL_SIZE_MAX 2048
#define METAINFO_NODES_MAX 256

enum {
	METAINFO_PAD = 1,	/* zeros, never written or listed */
	METAINFO_EXECUTABLE = 2,
	METAINFO_HIDDEN = 4,
	METAINFO_SYMLINK = 8,	/* length 0; never made */
};

/*
 * The path is `components` strings, each ended by NUL, one behind the other;
 * none is empty.  It does not begin with the torrent's name, but in a
 * single-file torrent it is the name.  A pad file may have none.
 */
struct metainfo_file {
	uint64_t offset;	/* in the stream, bytes */
	uint64_t length;	/* bytes */
	const char *path;
	uint16_t path_size;	/* bytes, with all the NULs */
	uint16_t components;
	uint16_t flags;
};

/* The v2 half of a file. */
struct metainfo_tree {
	const uint8_t *root;	/* 32 bytes; NULL: the file is empty */
	const uint8_t *layer;	/* a hash for each piece, or NULL if one piece
				 * holds it all or the layer is not known */
	uint32_t layer_count;
};

struct metainfo_tracker {
	const char *url;
	uint32_t tier;		/* from 0; ascending in the array */
};

struct metainfo_node {
	const char *host;
	uint16_t port;
};

struct metainfo {
	bool has_v1;
	bool has_v2;
	bool multi;		/* a folder called `name` holds the files */
	bool private;
	uint8_t hash_v1[SHA1_SIZE];
	uint8_t hash_v2[SHA256_SIZE];

	const char *name;	/* not empty, no NUL; otherwise raw */
	const char *folder;	/* what a v2 torrent of one file calls itself
				 * if its file has another name; or NULL */
	uint32_t piece_length;
	uint32_t piece_count;
	uint64_t length;	/* of the stream, with padding */
	uint64_t content_length;	/* without */
	const uint8_t *pieces;	/* v1: 20 bytes a piece, or NULL */

	struct metainfo_file *files;
	struct metainfo_tree *trees;	/* one a file, or NULL without v2 */
	uint32_t file_count;		/* pad files included */
	uint32_t pad_count;

	struct metainfo_tracker *trackers;
	uint32_t tracker_count;
	uint32_t trackers_left_out;	/* beyond the bound */
	const char **web_seeds;
	uint32_t web_seed_count;
	const char **http_seeds;	/* BEP 17 */
	uint32_t http_seed_count;
	struct metainfo_node *nodes;
	uint32_t node_count;

	const char *comment;	/* raw text; NULL if there is none */
	const char *created_by;
	const char *source;
	int64_t creation_date;	/* seconds since the epoch, or -1 */

	const uint8_t *info;	/* the raw info dictionary */
	size_t info_size;
	const void *file;	/* the whole .torrent; NULL: made from an info */
	size_t file_size;
};

/* Reads a whole .torrent; ERROR_TORRENT if it is wrong.  It may lack piece
 * layers, as one that was made of what peers gave for a link does. */
struct metainfo *metainfo_parse(const void *data, size_t size,
				struct error *e);

/* The same for bytes from malloc, which it takes over in any case; saves a
 * copy. */
struct metainfo *metainfo_adopt(void *data, size_t size, struct error *e);

/* From a bare info dictionary, as peers give it, and the trackers that are
 * known from elsewhere (copied, filtered).  Piece layers are then missing. */
struct metainfo *metainfo_from_info(const void *info, size_t size,
				    const struct metainfo_tracker *trackers,
				    size_t tracker_count, struct error *e);

void metainfo_free(struct metainfo *m);

/* The 20 bytes by which it is known to peers and trackers: the v1 hash, or
 * else the v2 hash cut short. */
const uint8_t *metainfo_id(const struct metainfo *m);

/* The name of its state, and what users see: the v1 hash, or else the whole
 * v2 hash, in hex. */
#define METAINFO_HEX_MAX (2 * SHA256_SIZE + 1)
void metainfo_hex(const struct metainfo *m, char out[METAINFO_HEX_MAX]);

/* How many bytes the piece has: of the stream, and so with padding, but
 * without the gaps of a torrent that has no v1. */
uint32_t metainfo_piece_size(const struct metainfo *m, uint32_t piece);

/* The path of a file as text, with '/', otherwise as the torrent has it: below
 * the torrent's name or, in a single-file torrent, that name.  Returns out,
 * which has room for METAINFO_PATH_TEXT bytes, or for its length + 1. */
#define METAINFO_PATH_TEXT (UINT16_MAX + 1)
char *metainfo_path(const struct metainfo_file *f, char *out);

static inline size_t
metainfo_path_length(const struct metainfo_file *f)
{
	return f->path_size > 0 ? f->path_size - 1u : 0;
}

/* All pieces together. */
uint64_t metainfo_pieces_length(const struct metainfo *m);

/* Is it what BitComet calls its padding?  In a v1 torrent that is no file. */
bool metainfo_names_padding(const char *name);

/* Do pieces hold padding? */
bool metainfo_is_padded(const struct metainfo *m);

/* The last file, of those from this one on, that begins at the offset or
 * before: those that begin at the same place but the last are empty. */
size_t metainfo_file_at(const struct metainfo *m, size_t from,
			uint64_t offset);

/* With a v2 half: what the piece must be. */
struct metainfo_piece {
	const uint8_t *root;	/* 32 bytes; NULL: not known */
	unsigned level;		/* the tree's, at least (merkle_end) */
	uint32_t size;		/* of the file's bytes in it */
};

/* Is there a piece of which no hash is known, of v1 neither? */
bool metainfo_lacks_layers(const struct metainfo *m);

struct metainfo_piece metainfo_piece(const struct metainfo *m,
				     uint32_t piece);

/* Tells of each tracker that a .torrent names, usable or not and as often as
 * it is named, tier after tier, until `tell` says no.  The URL is raw, not
 * empty and without a NUL behind it; tiers count from 0. */
void metainfo_each_tracker(const struct metainfo *m,
			   bool (*tell)(void *ctx, const char *url,
					size_t size, uint32_t tier),
			   void *ctx);

/* Is it a URL of a tracker that can be used: http, https or udp, no control
 * characters, a host of ASCII, not too long? */
bool metainfo_tracker_usable(const char *url, size_t size);
/* The same of a web seed: http or https, whatever its host. */
bool metainfo_web_seed_usable(const char *url, size_t size);

/* What a URL that passed there should name and does not: "host", or for udp
 * "host and port"; NULL: nothing. */
const char *metainfo_url_lacks(const char *url);

#endif
