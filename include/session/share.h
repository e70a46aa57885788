/*
 * share: the descriptors that the process may have, dealt out, so that
 * neither strangers who connect nor a torrent of many files take those that
 * another one needs.
 *
 * Units:     descriptors, unless it says otherwise.
 * Threads:   any; it only computes.
 */
#ifndef BTGET_SESSION_SHARE_H
#define BTGET_SESSION_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Places, as of a peer, that a torrent takes while its folder is open: for
 * the folder, the state, the locks, the data's folder. */
#define SHARE_TORRENT_PLACES 2

struct share {
	size_t files;		/* of data, of all torrents together */
	size_t files_each;	/* the same, of one */
	size_t dials;		/* half-open */
	size_t waiting;		/* accepted, and nothing said yet */
	size_t http;		/* connections to trackers */
	size_t utp;		/* connections: the other ends of their pairs */
	size_t places;		/* peers, each with a socket and a wake fd */
};

void share_descriptors(struct share *out, uint64_t limit, bool utp);

#endif
