/*
 * check: verifies the data on disk against a torrent, on all processors,
 * and changes nothing.
 *
 * Looks at DIR/NAME, or DIR/NAME.part where only that has something.
 * Threads: one caller at a time for each result; the progress callback
 * comes from the calling thread.
 */
#ifndef BTGET_SESSION_CHECK_H
#define BTGET_SESSION_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "session/stats.h"

struct check_file {
	char *path;		/* in the torrent, with '/', raw */
	uint64_t length;
	uint64_t good;		/* bytes in pieces that are right */
	bool missing;		/* there is no such file */
	bool wrong_size;	/* it is there, with another length */
	bool unsure;		/* all that is not right of it lies in pieces
				 * that reach into missing files */
};

struct check_result {
	char name[STATS_NAME_MAX];
	char info_hash[STATS_HASH_MAX];
	uint64_t length;
	uint64_t good;
	uint32_t pieces;
	uint32_t pieces_good;
	bool complete;
	bool in_part;		/* it lies in NAME.part */
	struct check_file *files;
	size_t file_count;
};

struct check_job {
	const char *torrent;	/* as on the command line */
	const char *dir;
	int stop_fd;		/* readable: ERROR_STOPPED; -1: none */
	/* Called a few times a second.  May be NULL. */
	void (*progress)(void *ctx, uint64_t checked, uint64_t length);
	void *ctx;
};

/* Fills in result, which check_release empties, also after a failure.
 * Missing or wrong data is no error. */
int check_run(const struct check_job *job, struct check_result *result,
	      struct error *e);
void check_release(struct check_result *result);

#endif
