/*
 * What is done with a file of the watched folder: it is added, a .torrent as
 * the torrent that it is, a .magnet as its link.
 */
#include <string.h>
#include <strings.h>

#include "meta/magnet_file.h"
#include "session/session_parts.h"
#include "session/source.h"

static bool
is_magnet_file(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && strcasecmp(dot, ".magnet") == 0;
}

int
session_take(void *ctx, const char *name, struct buffer *data,
	     struct error *e)
{
	struct torrent_source source = {0};

	if (is_magnet_file(name))
		source.link = magnet_file_parse(data, e);
	else
		source_parse(data, &source.meta, &source.link, e);
	if (!source.meta && !source.link)
		return -1;
	/* It may be put again since that failed, by --on-error itself. */
	if (session_is_ending(ctx, &source)) {
		session_drop_source(&source);
		return 1;
	}
	return session_add_source(ctx, &source, e);
}
