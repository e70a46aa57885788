/*
 * dht_cache: the file in which the DHT's nodes outlive a run.
 *
 * A run that has none gets by without: it only takes longer to get in.  The
 * file is replaced as a whole, so that several runs do not mix theirs.
 *
 * Threads: any.
 */
#ifndef BTGET_STORE_DHT_CACHE_H
#define BTGET_STORE_DHT_CACHE_H

#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"

/* Appends the file to out, whose cap bounds it.  No file is no error. */
int dht_cache_read(const char *path, struct buffer *out, struct error *e);
/* Makes the folders that are missing. */
int dht_cache_write(const char *path, const void *data, size_t n,
		    struct error *e);

#endif
