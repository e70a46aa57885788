/*
 * tracker_allow: the torrents that a tracker serves, from a file.
 *
 * One info hash a line, of 40 hex digits or, for version 2, 64; blank lines
 * and what follows a '#' do not count.  At most a million.  Pure but for
 * _read; no locks.
 */
#ifndef BTGET_SESSION_TRACKER_ALLOW_H
#define BTGET_SESSION_TRACKER_ALLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

#define TRACKER_ALLOW_MAX 1000000

struct tracker_allow {
	uint8_t (*hashes)[SHA1_SIZE];	/* sorted */
	size_t count;
};

/* ERROR_USAGE, naming `name` and the line, for a bad one; `a` needs no
 * release then. */
int tracker_allow_parse(struct tracker_allow *a, const char *name,
			const void *text, size_t size, struct error *e);
int tracker_allow_read(struct tracker_allow *a, const char *path,
		       struct error *e);
void tracker_allow_release(struct tracker_allow *a);

bool tracker_allow_has(const struct tracker_allow *a,
		       const uint8_t info_hash[SHA1_SIZE]);

#endif
