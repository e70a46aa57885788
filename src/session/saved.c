#include "session/saved.h"

#include <stdio.h>

#include "base/bytes.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "session/source.h"
#include "store/folder.h"

/* What a download has saved of the torrent that a link names. */
static int
load(const char *dir, const struct magnet *link, struct buffer *out,
     struct error *e)
{
	struct folder folder = { .dir = -1, .state = -1 };
	char hex[METAINFO_HEX_MAX];
	char name[METAINFO_HEX_MAX + sizeof(".torrent")];
	int rc = 1;

	magnet_hex(link, hex);
	snprintf(name, sizeof(name), "%s.torrent", hex);
	if (folder_open(&folder, dir, false, NULL) == 0) {
		if (folder.state >= 0)
			rc = folder_load(folder.state, name, out, e);
		folder_release(&folder);
	}
	if (rc == 1)
		error_set(e, ERROR_TORRENT, "a link does not say what the "
			  "torrent holds, and no download has saved its "
			  "metadata here");
	return rc == 0 ? 0 : -1;
}

static struct metainfo *
read_link(const struct magnet *link, const char *dir, struct error *e)
{
	struct buffer data;
	struct metainfo *m;

	buffer_init(&data, METAINFO_SIZE_MAX);
	if (load(dir, link, &data, e) < 0) {
		buffer_release(&data);
		return NULL;
	}
	m = metainfo_adopt_saved(data.data, data.used, e);
	if (m && !magnet_fits(link, m)) {
		error_set(e, ERROR_TORRENT, "what is saved of it is another "
			  "torrent");
		metainfo_free(m);
		m = NULL;
	}
	return m;
}

struct metainfo *
saved_read(const char *torrent, const char *dir,
	   const struct source_limits *limits, struct error *e)
{
	struct metainfo *m = NULL;
	struct magnet *link = NULL;
	struct buffer data;

	if (magnet_is(torrent))
		link = magnet_parse(torrent, e);
	else if (source_read(torrent, limits, &data, e) < 0)
		buffer_release(&data);
	else
		source_parse(&data, &m, &link, e);
	if (link)
		m = read_link(link, dir, e);
	magnet_free(link);
	return m;
}
