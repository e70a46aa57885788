#include "meta/metainfo.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "base/sync.h"
#include "meta/merkle.h"
#include "metainfo_parts.h"

#define CHUNK_FIRST 4096
#define CHUNK_MAX (1u << 20)
#define HASH_BESIDE (1u << 20)
#define TEXT_MAX (1u << 20)

struct chunk {
	struct chunk *next;
	size_t size;
	size_t used;
	char data[];
};

char *
metainfo_room(struct metainfo_whole *w, size_t n, struct error *e)
{
	struct chunk *c = w->chunks;
	size_t size = CHUNK_FIRST;

	if (n > METAINFO_PATHS_MAX - w->string_bytes) {
		error_set(e, ERROR_TORRENT, "the paths of its files take more "
			  "than %u bytes", METAINFO_PATHS_MAX);
		return NULL;
	}
	if (c && n <= c->size - c->used)
		return c->data + c->used;
	if (c)
		size = c->size < CHUNK_MAX ? 2 * c->size : CHUNK_MAX;
	if (size < n)
		size = n;
	c = malloc(sizeof(*c) + size);
	if (!c) {
		error_memory(e);
		return NULL;
	}
	if (size >= CHUNK_MAX)
		memory_expect(c, sizeof(*c) + size);
	*c = (struct chunk){.next = w->chunks, .size = size};
	w->chunks = c;
	return c->data;
}

void
metainfo_keep(struct metainfo_whole *w, size_t n)
{
	w->chunks->used += n;
	w->string_bytes += n;
}

char *
metainfo_copy(struct metainfo_whole *w, const void *at, size_t size)
{
	char *text = metainfo_room(w, size + 1, NULL);

	if (!text)
		return NULL;
	memcpy(text, at, size);
	text[size] = '\0';
	metainfo_keep(w, size + 1);
	return text;
}

/* As much of it as anybody reads; NULL if v is none or empty, or without
 * memory. */
static const char *
copy_text(struct metainfo_whole *w, struct bencode v)
{
	const uint8_t *at;
	size_t size;

	if (!bencode_str(v, &at, &size) || size == 0)
		return NULL;
	return metainfo_copy(w, at, size < TEXT_MAX ? size : TEXT_MAX);
}

struct metainfo_file *
metainfo_add_file(struct metainfo_whole *w, struct error *e)
{
	uint32_t room = w->file_room ? 2 * w->file_room : 4;
	struct metainfo_file *files;

	if (w->m.file_count < w->file_room)
		return &w->m.files[w->m.file_count++];
	if (room > METAINFO_FILES_MAX) {
		error_set(e, ERROR_TORRENT, "more than %u files",
			  METAINFO_FILES_MAX);
		return NULL;
	}
	files = realloc(w->m.files, room * sizeof(*files));
	if (!files) {
		error_memory(e);
		return NULL;
	}
	if (room * sizeof(*files) >= CHUNK_MAX)
		memory_expect(files + w->file_room,
			      (room - w->file_room) * sizeof(*files));
	memset(files + w->file_room, 0,
	       (room - w->file_room) * sizeof(*files));
	w->m.files = files;
	w->file_room = room;
	return &files[w->m.file_count++];
}

enum {
	INFO_NAME,
	INFO_NAME_UTF8,
	INFO_PIECE_LENGTH,
	INFO_PIECES,
	INFO_LENGTH,
	INFO_FILES,
	INFO_ATTR,
	INFO_VERSION,
	INFO_TREE,
	INFO_PRIVATE,
	INFO_SOURCE,
	INFO_KEYS,
};

static const struct bencode_key info_keys[INFO_KEYS] = {
	[INFO_NAME] = BENCODE_KEY("name"),
	[INFO_NAME_UTF8] = BENCODE_KEY("name.utf-8"),
	[INFO_PIECE_LENGTH] = BENCODE_KEY("piece length"),
	[INFO_PIECES] = BENCODE_KEY("pieces"),
	[INFO_LENGTH] = BENCODE_KEY("length"),
	[INFO_FILES] = BENCODE_KEY("files"),
	[INFO_ATTR] = BENCODE_KEY("attr"),
	[INFO_VERSION] = BENCODE_KEY("meta version"),
	[INFO_TREE] = BENCODE_KEY("file tree"),
	[INFO_PRIVATE] = BENCODE_KEY("private"),
	[INFO_SOURCE] = BENCODE_KEY("source"),
};

/* Which halves there are.  Asked first: a newer version may have changed
 * anything else. */
static int
read_version(struct metainfo *m, const struct bencode *v, struct error *e)
{
	int64_t version = 1;

	if (v[INFO_VERSION].size > 0 &&
	    !bencode_int(v[INFO_VERSION], &version))
		return error_set(e, ERROR_TORRENT,
				 "'meta version' is not an integer");
	if (version < 1 || version > 2)
		return error_set(e, ERROR_TORRENT, "meta version %lld is not "
				 "known", (long long)version);
	m->has_v2 = version == 2;
	m->has_v1 = v[INFO_PIECES].size > 0;
	if (m->has_v2 && bencode_type(v[INFO_TREE]) != BENCODE_DICT)
		return error_set(e, ERROR_TORRENT,
				 "meta version 2 without a file tree");
	if (!m->has_v1 && !m->has_v2)
		return error_set(e, ERROR_TORRENT, "no piece hashes");
	return 0;
}

static int
read_piece_length(struct metainfo *m, struct bencode v, struct error *e)
{
	int64_t length;

	if (!bencode_int(v, &length))
		return error_set(e, ERROR_TORRENT, "no piece length");
	if (length < 1 || length > METAINFO_PIECE_LENGTH_MAX)
		return error_set(e, ERROR_TORRENT, "piece length %lld is not "
				 "within 1 and %u", (long long)length,
				 METAINFO_PIECE_LENGTH_MAX);
	if (m->has_v2 &&
	    (length < MERKLE_BLOCK || (length & (length - 1)) != 0))
		return error_set(e, ERROR_TORRENT, "piece length %lld of a v2 "
				 "torrent is not a power of two from %d on",
				 (long long)length, MERKLE_BLOCK);
	m->piece_length = (uint32_t)length;
	return 0;
}

static int
read_name(struct metainfo_whole *w, const struct bencode *v, struct error *e)
{
	struct bencode name = v[INFO_NAME_UTF8];
	const uint8_t *at;
	size_t size;

	if (!bencode_str(name, &at, &size) || size == 0)
		name = v[INFO_NAME];
	if (!bencode_str(name, &at, &size) || size == 0)
		return error_set(e, ERROR_TORRENT, "no name");
	if (memchr(at, '\0', size))
		return error_set(e, ERROR_TORRENT, "NUL in the name");
	if (size >= METAINFO_PATH_SIZE_MAX)
		return error_set(e, ERROR_TORRENT, "name of %zu bytes", size);
	w->m.name = copy_text(w, name);
	return w->m.name ? 0 : error_memory(e);
}

static int
read_v1(struct metainfo_whole *w, const struct bencode *v, struct error *e)
{
	struct metainfo *m = &w->m;
	uint64_t count;
	size_t size;

	/* Beside a list, a length stands for nothing, as others have it. */
	if (bencode_type(v[INFO_FILES]) == BENCODE_LIST ||
	    (v[INFO_FILES].size > 0 && v[INFO_LENGTH].size == 0)) {
		if (metainfo_read_files(w, v[INFO_FILES], e) != 0)
			return -1;
	} else if (metainfo_read_single(w, v[INFO_LENGTH], v[INFO_ATTR],
					e) != 0) {
		return -1;
	}
	if (!bencode_str(v[INFO_PIECES], &m->pieces, &size))
		return error_set(e, ERROR_TORRENT, "'pieces' is not a string");
	count = m->length / m->piece_length +
		(m->length % m->piece_length != 0);
	if (count > METAINFO_PIECES_MAX)
		return error_set(e, ERROR_TORRENT, "more than %u pieces",
				 METAINFO_PIECES_MAX);
	if (size != count * SHA1_SIZE)
		return error_set(e, ERROR_TORRENT, "piece hashes take %zu "
				 "bytes, %llu pieces need %llu", size,
				 (unsigned long long)count,
				 (unsigned long long)count * SHA1_SIZE);
	m->piece_count = (uint32_t)count;
	return 0;
}

static void
hash_info(void *ctx)
{
	struct metainfo *m = ctx;

	if (m->has_v1)
		hash_sha1(m->hash_v1, m->info, m->info_size);
	if (m->has_v2)
		hash_sha256(m->hash_v2, m->info, m->info_size);
}

static int
read_fields(struct metainfo_whole *w, const struct bencode *v,
	    struct error *e)
{
	struct metainfo *m = &w->m;
	int64_t private = 0;

	if (read_piece_length(m, v[INFO_PIECE_LENGTH], e) != 0 ||
	    read_name(w, v, e) != 0)
		return -1;
	if (m->has_v1 && read_v1(w, v, e) != 0)
		return -1;
	if (m->has_v2 && metainfo_read_tree(w, v[INFO_TREE], e) != 0)
		return -1;
	m->private = bencode_type(v[INFO_PRIVATE]) == BENCODE_INT &&
		     (!bencode_int(v[INFO_PRIVATE], &private) || private != 0);
	m->source = copy_text(w, v[INFO_SOURCE]);
	return 0;
}

/* A large one is hashed while the rest of it is read. */
static int
read_info(struct metainfo_whole *w, struct bencode info, struct error *e)
{
	struct metainfo *m = &w->m;
	struct bencode v[INFO_KEYS];
	struct thread beside = {0};
	int status;

	if (bencode_type(info) != BENCODE_DICT)
		return error_set(e, ERROR_TORRENT, "no info dictionary");
	if (bencode_pick(info, info_keys, v, INFO_KEYS, e) != 0 ||
	    read_version(m, v, e) != 0)
		return -1;
	m->info = info.at;
	m->info_size = info.size;
	if (info.size < HASH_BESIDE ||
	    thread_start(&beside, "hash", THREAD_STACK_SMALL, hash_info, m,
			 NULL) != 0)
		hash_info(m);
	status = read_fields(w, v, e);
	thread_join(&beside);
	return status;
}

enum {
	TOP_INFO,
	TOP_ANNOUNCE,
	TOP_TIERS,
	TOP_URLS,
	TOP_HTTP_SEEDS,
	TOP_NODES,
	TOP_LAYERS,
	TOP_COMMENT,
	TOP_COMMENT_UTF8,
	TOP_CREATED_BY,
	TOP_DATE,
	TOP_KEYS,
};

static const struct bencode_key top_keys[TOP_KEYS] = {
	[TOP_INFO] = BENCODE_KEY("info"),
	[TOP_ANNOUNCE] = BENCODE_KEY("announce"),
	[TOP_TIERS] = BENCODE_KEY("announce-list"),
	[TOP_URLS] = BENCODE_KEY("url-list"),
	[TOP_HTTP_SEEDS] = BENCODE_KEY("httpseeds"),
	[TOP_NODES] = BENCODE_KEY("nodes"),
	[TOP_LAYERS] = BENCODE_KEY("piece layers"),
	[TOP_COMMENT] = BENCODE_KEY("comment"),
	[TOP_COMMENT_UTF8] = BENCODE_KEY("comment.utf-8"),
	[TOP_CREATED_BY] = BENCODE_KEY("created by"),
	[TOP_DATE] = BENCODE_KEY("creation date"),
};

static int
read_top(struct metainfo_whole *w, struct bencode top, struct error *e)
{
	struct metainfo *m = &w->m;
	struct bencode v[TOP_KEYS];

	if (bencode_pick(top, top_keys, v, TOP_KEYS, e) != 0 ||
	    read_info(w, v[TOP_INFO], e) != 0)
		return -1;
	if (m->has_v2 && metainfo_read_layers(w, v[TOP_LAYERS], e) != 0)
		return -1;
	metainfo_read_trackers(w, v[TOP_ANNOUNCE], v[TOP_TIERS]);
	metainfo_read_web_seeds(w, v[TOP_URLS], v[TOP_HTTP_SEEDS]);
	metainfo_read_nodes(w, v[TOP_NODES]);
	m->comment = copy_text(w, v[TOP_COMMENT_UTF8]);
	if (!m->comment)
		m->comment = copy_text(w, v[TOP_COMMENT]);
	m->created_by = copy_text(w, v[TOP_CREATED_BY]);
	if (!bencode_int(v[TOP_DATE], &m->creation_date) ||
	    m->creation_date < 0)
		m->creation_date = -1;
	return 0;
}

/* Takes the raw bytes over. */
static struct metainfo_whole *
whole_new(void *raw, struct error *e)
{
	struct metainfo_whole *w = calloc(1, sizeof(*w));

	if (!w) {
		free(raw);
		error_memory(e);
		return NULL;
	}
	w->raw = raw;
	w->m.creation_date = -1;
	return w;
}

/* Gives memory back that the arrays do not need, if all went well. */
static struct metainfo *
finish(struct metainfo_whole *w, int status, struct error *e)
{
	struct metainfo_file *files;

	if (status != 0) {
		if (e && e->kind == ERROR_PROTOCOL)
			e->kind = ERROR_TORRENT;
		if (e && e->kind == ERROR_TORRENT)
			error_prefix(e, "invalid torrent");
		metainfo_free(&w->m);
		return NULL;
	}
	if (w->m.file_count < w->file_room) {
		files = realloc(w->m.files,
				(w->m.file_count + 1) * sizeof(*files));
		if (files)
			w->m.files = files;
	}
	return &w->m;
}

static void *
copy_of(const void *data, size_t size, struct error *e)
{
	void *copy;

	if (size > METAINFO_SIZE_MAX) {
		error_set(e, ERROR_TORRENT,
			  "invalid torrent: larger than %u bytes",
			  METAINFO_SIZE_MAX);
		return NULL;
	}
	copy = malloc(size > 0 ? size : 1);
	if (!copy)
		error_memory(e);
	else if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

/* Downloads, editors and servers leave this and that behind a file, which other
 * programs do not look at. */
struct metainfo *
metainfo_adopt(void *data, size_t size, struct error *e)
{
	struct metainfo_whole *w = whole_new(data, e);
	struct bencode top;
	int status = -1;

	if (!w)
		return NULL;
	w->m.file = data;
	w->m.file_size = size;
	if (size > METAINFO_SIZE_MAX)
		error_set(e, ERROR_TORRENT, "larger than %u bytes",
			  METAINFO_SIZE_MAX);
	else if (bencode_read_prefix(&top, data, size, e) == 0)
		status = read_top(w, top, e);
	return finish(w, status, e);
}

struct metainfo *
metainfo_parse(const void *data, size_t size, struct error *e)
{
	void *raw;

	raw = copy_of(data, size, e);
	return raw ? metainfo_adopt(raw, size, e) : NULL;
}

struct metainfo *
metainfo_from_info(const void *info, size_t size,
		   const struct metainfo_tracker *trackers,
		   size_t tracker_count, struct error *e)
{
	struct metainfo_whole *w;
	struct bencode v;
	int status = -1;
	void *raw;

	raw = copy_of(info, size, e);
	w = raw ? whole_new(raw, e) : NULL;
	if (!w)
		return NULL;
	if (bencode_read(&v, raw, size, e) == 0)
		status = read_info(w, v, e);
	for (size_t i = 0; status == 0 && i < tracker_count; i++)
		metainfo_add_tracker(w, trackers[i].url,
				     strlen(trackers[i].url),
				     trackers[i].tier);
	return finish(w, status, e);
}

void
metainfo_free(struct metainfo *m)
{
	struct metainfo_whole *w = (struct metainfo_whole *)m;

	if (!m)
		return;
	while (w->chunks) {
		struct chunk *c = w->chunks;

		w->chunks = c->next;
		free(c);
	}
	free(m->files);
	free(m->trees);
	free(m->trackers);
	free(m->web_seeds);
	free(m->http_seeds);
	free(m->nodes);
	free(w->raw);
	free(w);
}

const uint8_t *
metainfo_id(const struct metainfo *m)
{
	return m->has_v1 ? m->hash_v1 : m->hash_v2;
}

void
metainfo_hex(const struct metainfo *m, char out[METAINFO_HEX_MAX])
{
	if (m->has_v1)
		hex_encode(out, m->hash_v1, SHA1_SIZE);
	else
		hex_encode(out, m->hash_v2, SHA256_SIZE);
}

uint32_t
metainfo_piece_size(const struct metainfo *m, uint32_t piece)
{
	uint64_t begin = (uint64_t)piece * m->piece_length;

	if (m->has_v2 && !m->has_v1)
		return metainfo_piece(m, piece).size;
	if (begin >= m->length)
		return 0;
	if (m->length - begin < m->piece_length)
		return (uint32_t)(m->length - begin);
	return m->piece_length;
}

uint64_t
metainfo_pieces_length(const struct metainfo *m)
{
	return m->has_v2 && !m->has_v1 ? m->content_length : m->length;
}

bool
metainfo_is_padded(const struct metainfo *m)
{
	return metainfo_pieces_length(m) > m->content_length;
}

size_t
metainfo_file_at(const struct metainfo *m, size_t from, uint64_t offset)
{
	size_t low = from, high = m->file_count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (m->files[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

bool
metainfo_lacks_layers(const struct metainfo *m)
{
	for (uint32_t i = 0; !m->has_v1 && i < m->file_count; i++)
		if (m->files[i].length > m->piece_length &&
		    !m->trees[i].layer)
			return true;
	return false;
}

struct metainfo_piece
metainfo_piece(const struct metainfo *m, uint32_t piece)
{
	uint64_t at = (uint64_t)piece * m->piece_length;
	size_t file = metainfo_file_at(m, 0, at);
	const struct metainfo_file *f = &m->files[file];
	const struct metainfo_tree *tree = &m->trees[file];
	uint64_t within = at - f->offset;
	struct metainfo_piece p = {.root = tree->root};

	if (within >= f->length)
		return (struct metainfo_piece){0};
	p.size = f->length - within < m->piece_length
			 ? (uint32_t)(f->length - within) : m->piece_length;
	if (f->length <= m->piece_length)
		return p;
	p.level = merkle_level(m->piece_length);
	p.root = tree->layer;
	if (p.root)
		p.root += within / m->piece_length * SHA256_SIZE;
	return p;
}
