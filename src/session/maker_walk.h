/*
 * maker_walk: the list of what goes into a torrent.
 */
#ifndef BTGET_SESSION_MAKER_WALK_H
#define BTGET_SESSION_MAKER_WALK_H

#include <time.h>

#include "meta/create.h"
#include "session/maker.h"

struct maker_file {
	char *path;		/* owned; create_file borrows it */
	uint64_t offset;	/* in the stream, bytes */
	struct timespec changed;
};

struct maker_list {
	int root;			/* the folder, or the file itself */
	bool multi;
	struct create_file *files;
	struct maker_file *more;	/* one a file */
	size_t count;
	size_t room;
	uint64_t length;
};

/* Walks; the list is to be released in any case. */
int maker_walk(struct maker_list *l, const char *path,
	       const struct maker_options *options,
	       const struct maker_progress *progress, struct error *e);
void maker_list_release(struct maker_list *l);

#endif
