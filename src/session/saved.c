#include "session/saved.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "session/source.h"
#include "store/folder.h"

/* What a download has saved of a torrent; 1: nothing. */
static int
load(const char *dir, const char *hex, struct buffer *out, struct error *e)
{
	struct folder folder = { .dir = -1, .state = -1 };
	char name[METAINFO_HEX_MAX + sizeof(".torrent")];
	int rc = 1;

	snprintf(name, sizeof(name), "%s.torrent", hex);
	if (folder_open(&folder, dir, false, NULL) == 0) {
		if (folder.state >= 0)
			rc = folder_load(folder.state, name, out, e);
		folder_release(&folder);
	}
	return rc;
}

static struct metainfo *
read_link(const struct magnet *link, const char *dir, struct error *e)
{
	char hex[METAINFO_HEX_MAX];
	struct buffer data;
	struct metainfo *m;
	int rc;

	magnet_hex(link, hex);
	buffer_init(&data, METAINFO_SIZE_MAX);
	rc = load(dir, hex, &data, e);
	if (rc == 1)
		error_set(e, ERROR_TORRENT, "a link does not say what the "
			  "torrent holds, and no download has saved its "
			  "metadata here");
	if (rc != 0) {
		buffer_release(&data);
		return NULL;
	}
	m = metainfo_adopt(data.data, data.used, e);
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

static bool
is_same_whole(const struct metainfo *a, const struct metainfo *b)
{
	return b->has_v2 && !metainfo_lacks_layers(b) &&
	       memcmp(a->hash_v2, b->hash_v2, sizeof(a->hash_v2)) == 0;
}

struct metainfo *
saved_read_whole(const char *torrent, const char *dir,
		 const struct source_limits *limits, struct error *e)
{
	struct metainfo *m = saved_read(torrent, dir, limits, e), *saved = NULL;
	char hex[METAINFO_HEX_MAX];
	struct buffer data;

	if (!m || !metainfo_lacks_layers(m))
		return m;
	metainfo_hex(m, hex);
	buffer_init(&data, METAINFO_SIZE_MAX);
	if (load(dir, hex, &data, NULL) == 0)
		saved = metainfo_adopt(data.data, data.used, NULL);
	else
		buffer_release(&data);
	if (saved && !is_same_whole(m, saved)) {
		metainfo_free(saved);
		saved = NULL;
	}
	metainfo_free(m);
	if (!saved)
		error_set(e, ERROR_TORRENT, "it lacks its piece layers, "
			  "without which no data can be verified, and no "
			  "download has saved them here");
	return saved;
}

/* ---- what a URL gave ---- */

#define URL_NAME_MAX (sizeof("url-.torrent") + 2 * SHA1_SIZE)

/* Not by the URL itself, which may hold a key. */
static void
url_name(char out[URL_NAME_MAX], const char *url)
{
	uint8_t hash[SHA1_SIZE];
	char hex[2 * SHA1_SIZE + 1];

	hash_sha1(hash, url, strlen(url));
	hex_encode(hex, hash, sizeof(hash));
	snprintf(out, URL_NAME_MAX, "url-%s.torrent", hex);
}

static int
load_url(const struct folder *f, const char *url, struct buffer *out,
	 struct error *e)
{
	char name[URL_NAME_MAX];

	url_name(name, url);
	return f->state >= 0 ? folder_load(f->state, name, out, e) : 1;
}

static bool
is_same(const struct folder *f, const char *url, const void *data,
	size_t size)
{
	struct buffer old;
	bool same;

	buffer_init(&old, size);
	same = load_url(f, url, &old, NULL) == 0 && old.used == size &&
	       memcmp(old.data, data, size) == 0;
	buffer_release(&old);
	return same;
}

int
saved_keep_url(const char *dir, const char *url, const void *data,
	       size_t size, struct error *e)
{
	struct folder folder;
	char name[URL_NAME_MAX];
	int status = 0;

	if (folder_open(&folder, dir, true, e) < 0)
		return -1;
	url_name(name, url);
	if (!is_same(&folder, url, data, size))
		status = folder_save_secret(folder.state, name, data, size,
					    e);
	folder_release(&folder);
	return status;
}

int
saved_load_url(const char *dir, const char *url, struct buffer *out,
	       struct error *e)
{
	struct folder folder;
	int status;

	if (folder_open(&folder, dir, false, e) < 0)
		return -1;
	status = load_url(&folder, url, out, e);
	folder_release(&folder);
	return status == 0 ? 0 : -1;
}
