/*
 * magnet: magnet links and bare info hashes.
 *
 * Unknown parameters and hashes of other networks are ignored; what is
 * known but malformed is refused, except trackers, web seeds, and peers that
 * could not be used, which are left out.  Pure.
 *
 * Source: BEP 9, 53; multihash.
 */
#ifndef BTGET_META_MAGNET_H
#define BTGET_META_MAGNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "meta/metainfo.h"

#define MAGNET_SIZE_MAX 65536
#define MAGNET_SOURCES_MAX 8
#define MAGNET_LIST_MAX 128	/* of each kind; the rest is left out */
#define MAGNET_RANGES_MAX 8192	/* of files; a link with more is wrong */

struct magnet_peer {
	const char *host;	/* name or numeric, without brackets */
	uint16_t port;
};

struct magnet_range {
	uint32_t first;		/* file indexes from 0, both included */
	uint32_t last;
};

struct magnet {
	bool has_v1;
	bool has_v2;
	uint8_t hash_v1[SHA1_SIZE];
	uint8_t hash_v2[SHA256_SIZE];
	const char *name;	/* dn, raw; or NULL */

	const char *trackers[METAINFO_TRACKERS_MAX];
	size_t tracker_count;
	size_t trackers_left_out;	/* beyond the bound */
	const char *web_seeds[MAGNET_LIST_MAX];
	size_t web_seed_count;
	const char *sources[MAGNET_SOURCES_MAX];	/* of its .torrent: xs, as */
	size_t source_count;
	struct magnet_peer peers[MAGNET_LIST_MAX];
	size_t peer_count;
	struct magnet_range *select;	/* sorted, with gaps between them */
	size_t select_count;	/* 0: all files */

	char *text;		/* what the pointers above lead into */
};

/* Does it look like one: "magnet:", or 40 hex, 32 base32 or 64 hex digits? */
bool magnet_is(const char *text);

/* ERROR_TORRENT if it is wrong. */
struct magnet *magnet_parse(const char *text, struct error *e);
void magnet_free(struct magnet *m);

/* What is saved of it is named by that: its v1 hash, or else the v2 one, in
 * hex. */
void magnet_hex(const struct magnet *m, char out[METAINFO_HEX_MAX]);

/* Selects these files as well.  -1, and then it selects all: there are too many
 * ranges, or there is no memory. */
int magnet_select(struct magnet *m, const struct magnet_range *more, size_t n,
		  struct error *e);
bool magnet_selects(const struct magnet *m, uint32_t file);

/* Has the torrent every hash that the link has? */
bool magnet_fits(const struct magnet *m, const struct metainfo *t);

#endif
