/* Reads any bytes as a torrent, and as an info dictionary, and checks what
 * the rest of the program relies on. */
#include <stdlib.h>
#include <string.h>

#include "meta/metainfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

/* Reads every byte of the strings; returns how many bytes they take. */
static size_t
walk_strings(const char *at, unsigned count)
{
	size_t used = 0;

	for (unsigned i = 0; i < count; i++) {
		size_t n = strlen(at + used);

		must(n > 0);
		used += n + 1;
	}
	return used;
}

static void
check_file(const struct metainfo *m, uint32_t i)
{
	const struct metainfo_file *f = &m->files[i];

	must(f->offset <= m->length || f->length == 0);
	must(f->length <= m->length);
	must(f->length == 0 || f->length <= m->length - f->offset);
	must(f->components > 0 || (f->flags & METAINFO_PAD));
	must(walk_strings(f->path, f->components) == f->path_size);
	must(f->length == 0 || !(f->flags & METAINFO_SYMLINK));
	if (m->trees && f->length > 0 && !(f->flags & METAINFO_PAD))
		must(m->trees[i].root != NULL);
	if (m->trees && m->trees[i].layer)
		must(m->trees[i].layer_count > 1);
}

/* Tiers ascend one by one, and the bytes can be read. */
static bool
check_tracker(void *ctx, const char *url, size_t size, uint32_t tier)
{
	uint32_t *last = ctx;

	must(size > 0 && memchr(url, '\n', size) != url);
	must(tier == *last || tier == *last + 1);
	*last = tier;
	return true;
}

static void
check(struct metainfo *m)
{
	uint64_t sum = 0;
	uint32_t tier = 0;

	if (!m)
		return;
	must(m->has_v1 || m->has_v2);
	must(m->name && *m->name);
	must(m->piece_length > 0 && m->file_count > m->pad_count);
	for (uint32_t i = 0; i < m->file_count; i++)
		check_file(m, i);
	for (uint32_t i = 0; i < m->piece_count; i++) {
		must(metainfo_piece_size(m, i) > 0);
		must(!m->has_v2 || metainfo_piece(m, i).size > 0);
		sum += metainfo_piece_size(m, i);
	}
	must(sum == metainfo_pieces_length(m));
	must(sum <= m->length);
	must(m->content_length <= m->length);
	must(m->has_v1 || !m->pieces);
	for (uint32_t i = 0; i < m->tracker_count; i++)
		must(metainfo_tracker_usable(m->trackers[i].url,
					     strlen(m->trackers[i].url)));
	for (uint32_t i = 1; i < m->tracker_count; i++)
		must(m->trackers[i].tier >= m->trackers[i - 1].tier);
	metainfo_each_tracker(m, check_tracker, &tier);
	for (uint32_t i = 0; i < m->web_seed_count; i++)
		must(strlen(m->web_seeds[i]) > 0);
	for (uint32_t i = 0; i < m->http_seed_count; i++)
		must(strlen(m->http_seeds[i]) > 0);
	for (uint32_t i = 0; i < m->node_count; i++)
		must(m->nodes[i].port > 0 && strlen(m->nodes[i].host) > 0);
	metainfo_free(m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error e;

	check(metainfo_parse(data, size, &e));
	check(metainfo_from_info(data, size, NULL, 0, &e));
	return 0;
}
