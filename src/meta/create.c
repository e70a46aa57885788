#include "meta/create.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/bencode.h"
#include "meta/merkle.h"

#define PIECE_LENGTH_MIN (16u << 10)
#define PIECE_LENGTH_MAX (16u << 20)
#define PIECES_AIM 2000

uint64_t
create_pieces(uint64_t length, uint32_t piece_length)
{
	return length / piece_length + (length % piece_length != 0);
}

uint32_t
create_piece_length(enum create_kind kind, uint64_t length, size_t files)
{
	uint32_t piece = PIECE_LENGTH_MIN;

	while (piece < PIECE_LENGTH_MAX && length / piece >= PIECES_AIM) {
		/* Half a piece is lost to each file. */
		if (kind != CREATE_V1 && files > 1 && length / piece < files)
			break;
		piece *= 2;
	}
	return piece;
}

bool
create_padded(enum create_kind kind, size_t files)
{
	return kind == CREATE_HYBRID && files > 1;
}

/* What a reader would refuse is not written. */
static int
check_head(const struct create *c, struct error *e)
{
	if (c->piece_length == 0 ||
	    c->piece_length > METAINFO_PIECE_LENGTH_MAX ||
	    (c->kind != CREATE_V1 &&
	     (c->piece_length < MERKLE_BLOCK ||
	      (c->piece_length & (c->piece_length - 1)) != 0)))
		return error_set(e, ERROR_INTERNAL,
				 "piece length %u cannot be",
				 c->piece_length);
	if (!c->name || !*c->name || c->file_count == 0 ||
	    c->file_count > METAINFO_FILES_MAX ||
	    (!c->multi && c->file_count != 1))
		return error_set(e, ERROR_INTERNAL,
				 "no name, or a wrong number of files");
	return 0;
}

static bool
lacks_hashes(const struct create *c, const struct create_file *f)
{
	if (c->kind == CREATE_V1 || f->length == 0)
		return false;
	return !f->root || (f->length > c->piece_length && !f->layer);
}

static int
check(const struct create *c, struct error *e)
{
	uint64_t total = 0, pieces = 0;

	if (check_head(c, e) != 0)
		return -1;
	for (size_t i = 0; i < c->file_count; i++) {
		const struct create_file *f = &c->files[i];

		if (f->length > (uint64_t)INT64_MAX - total)
			return error_set(e, ERROR_INTERNAL,
					 "all files together are too long");
		if (lacks_hashes(c, f))
			return error_set(e, ERROR_INTERNAL,
					 "file %zu has no v2 hashes", i);
		total += f->length;
		pieces += create_pieces(f->length, c->piece_length);
	}
	if (c->kind == CREATE_V1)
		pieces = create_pieces(total, c->piece_length);
	if (pieces > METAINFO_PIECES_MAX ||
	    (c->kind != CREATE_V2 && pieces != c->piece_count))
		return error_set(e, ERROR_INTERNAL, "%zu piece hashes given, "
				 "%llu needed", c->piece_count,
				 (unsigned long long)pieces);
	return 0;
}

/* ---- the v1 half ---- */

static void
put_path(struct buffer *out, const char *path)
{
	bencode_put_list(out);
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n > 0)
			bencode_put_bytes(out, path, n);
		path += n;
		path += *path == '/';
	}
	bencode_put_end(out);
}

static void
put_attributes(struct buffer *out, const struct create_file *f)
{
	if (!f->executable)
		return;
	bencode_put_str(out, "attr");
	bencode_put_str(out, "x");
}

static void
put_pad(struct buffer *out, uint64_t length)
{
	char name[24];

	snprintf(name, sizeof(name), "%llu", (unsigned long long)length);
	bencode_put_dict(out);
	bencode_put_str(out, "attr");
	bencode_put_str(out, "p");
	bencode_put_str(out, "length");
	bencode_put_int(out, (int64_t)length);
	bencode_put_str(out, "path");
	bencode_put_list(out);
	bencode_put_str(out, ".pad");
	bencode_put_str(out, name);
	bencode_put_end(out);
	bencode_put_end(out);
}

static void
put_files(struct buffer *out, const struct create *c)
{
	uint64_t rest;

	bencode_put_str(out, "files");
	bencode_put_list(out);
	for (size_t i = 0; i < c->file_count; i++) {
		bencode_put_dict(out);
		put_attributes(out, &c->files[i]);
		bencode_put_str(out, "length");
		bencode_put_int(out, (int64_t)c->files[i].length);
		bencode_put_str(out, "path");
		put_path(out, c->files[i].path);
		bencode_put_end(out);
		rest = c->files[i].length % c->piece_length;
		if (create_padded(c->kind, c->file_count) && rest > 0)
			put_pad(out, c->piece_length - rest);
	}
	bencode_put_end(out);
}

/* ---- the v2 half ---- */

static void
put_leaf(struct buffer *out, const struct create_file *f)
{
	bencode_put_dict(out);
	bencode_put_str(out, "");
	bencode_put_dict(out);
	put_attributes(out, f);
	bencode_put_str(out, "length");
	bencode_put_int(out, (int64_t)f->length);
	if (f->length > 0) {
		bencode_put_str(out, "pieces root");
		bencode_put_bytes(out, f->root, SHA256_SIZE);
	}
	bencode_put_end(out);
	bencode_put_end(out);
}

/* How many folders the two paths have in common, and in *at where the rest
 * of `path` begins. */
static unsigned
common_folders(const char *last, const char *path, size_t *at)
{
	unsigned folders = 0;

	*at = 0;
	for (size_t i = 0; path[i] && path[i] == last[i]; i++) {
		if (path[i] != '/')
			continue;
		folders++;
		*at = i + 1;
	}
	return folders;
}

/* As the files are in order, a folder that was left never comes again. */
static void
put_tree(struct buffer *out, const struct create *c)
{
	const char *last = "";
	unsigned open = 0;

	bencode_put_str(out, "file tree");
	bencode_put_dict(out);
	for (size_t i = 0; i < c->file_count; i++) {
		const char *path = c->multi ? c->files[i].path : c->name;
		size_t at, n;
		unsigned kept = 0;

		at = 0;
		if (c->multi)
			kept = common_folders(last, path, &at);
		for (; open > kept; open--)
			bencode_put_end(out);
		for (; n = strcspn(path + at, "/"), c->multi && path[at + n];
		     at += n + 1, open++) {
			bencode_put_bytes(out, path + at, n);
			bencode_put_dict(out);
		}
		bencode_put_str(out, path + at);
		put_leaf(out, &c->files[i]);
		last = path;
	}
	for (; open > 0; open--)
		bencode_put_end(out);
	bencode_put_end(out);
}

/* Of a file's piece layer, in bytes. */
static size_t
layer_size(const struct create *c, const struct create_file *f)
{
	uint64_t pieces = create_pieces(f->length, c->piece_length);

	/* More than the largest torrent holds is too much as it is. */
	if (pieces > METAINFO_PIECES_MAX)
		pieces = METAINFO_PIECES_MAX;
	return (size_t)pieces * SHA256_SIZE;
}

static int
compare_roots(const void *a, const void *b)
{
	const struct create_file *const *x = a, *const *y = b;

	return memcmp((*x)->root, (*y)->root, SHA256_SIZE);
}

static int
put_layers(struct buffer *out, const struct create *c, struct error *e)
{
	const struct create_file **files;
	size_t n = 0;

	if (c->kind == CREATE_V1)
		return 0;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it holds pointers */
	files = malloc(c->file_count * sizeof(*files));
	if (!files)
		return error_memory(e);
	for (size_t i = 0; i < c->file_count; i++)
		if (c->files[i].length > c->piece_length)
			files[n++] = &c->files[i];
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it holds pointers */
	qsort(files, n, sizeof(*files), compare_roots);
	bencode_put_str(out, "piece layers");
	bencode_put_dict(out);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && compare_roots(&files[i - 1], &files[i]) == 0)
			continue;	/* the same data */
		bencode_put_bytes(out, files[i]->root, SHA256_SIZE);
		bencode_put_bytes(out, files[i]->layer,
				  layer_size(c, files[i]));
	}
	bencode_put_end(out);
	free(files);
	return 0;
}

/* ---- all of it ---- */

static void
put_info(struct buffer *out, const struct create *c)
{
	bool v1 = c->kind != CREATE_V2, v2 = c->kind != CREATE_V1;

	bencode_put_str(out, "info");
	bencode_put_dict(out);
	if (v1 && !c->multi)
		put_attributes(out, &c->files[0]);
	if (v2)
		put_tree(out, c);
	if (v1 && c->multi)
		put_files(out, c);
	if (v1 && !c->multi) {
		bencode_put_str(out, "length");
		bencode_put_int(out, (int64_t)c->files[0].length);
	}
	if (v2) {
		bencode_put_str(out, "meta version");
		bencode_put_int(out, 2);
	}
	bencode_put_str(out, "name");
	bencode_put_str(out, c->name);
	bencode_put_str(out, "piece length");
	bencode_put_int(out, c->piece_length);
	if (v1) {
		bencode_put_str(out, "pieces");
		bencode_put_bytes(out, c->pieces, c->piece_count * SHA1_SIZE);
	}
	if (c->private) {
		bencode_put_str(out, "private");
		bencode_put_int(out, 1);
	}
	if (c->source) {
		bencode_put_str(out, "source");
		bencode_put_str(out, c->source);
	}
	bencode_put_end(out);
}

/* One tracker needs no list: old programs know only `announce`. */
static void
put_trackers(struct buffer *out, const struct create *c)
{
	const struct metainfo_tracker *t = c->trackers;

	if (c->tracker_count == 0)
		return;
	bencode_put_str(out, "announce");
	bencode_put_str(out, t[0].url);
	if (c->tracker_count == 1)
		return;
	bencode_put_str(out, "announce-list");
	bencode_put_list(out);
	for (size_t i = 0; i < c->tracker_count; i++) {
		if (i == 0 || t[i].tier != t[i - 1].tier)
			bencode_put_list(out);
		bencode_put_str(out, t[i].url);
		if (i + 1 == c->tracker_count || t[i + 1].tier != t[i].tier)
			bencode_put_end(out);
	}
	bencode_put_end(out);
}

static void
put_text(struct buffer *out, const char *key, const char *text)
{
	if (!text)
		return;
	bencode_put_str(out, key);
	bencode_put_str(out, text);
}

static void
put_web_seeds(struct buffer *out, const struct create *c)
{
	if (c->web_seed_count == 0)
		return;
	bencode_put_str(out, "url-list");
	bencode_put_list(out);
	for (size_t i = 0; i < c->web_seed_count; i++)
		bencode_put_str(out, c->web_seeds[i]);
	bencode_put_end(out);
}

/* Up to the layers. */
static void
put_front(struct buffer *out, const struct create *c)
{
	bencode_put_dict(out);
	put_trackers(out, c);
	put_text(out, "comment", c->comment);
	put_text(out, "created by", c->created_by);
	if (c->creation_date >= 0) {
		bencode_put_str(out, "creation date");
		bencode_put_int(out, c->creation_date);
	}
	put_info(out, c);
}

static void
put_back(struct buffer *out, const struct create *c)
{
	put_web_seeds(out, c);
	bencode_put_end(out);
}

/* As much as put_layers writes, if no two files are the same. */
static void
count_layers(struct buffer *out, const struct create *c)
{
	if (c->kind == CREATE_V1)
		return;
	bencode_put_str(out, "piece layers");
	bencode_put_dict(out);
	for (size_t i = 0; i < c->file_count; i++) {
		size_t size = layer_size(c, &c->files[i]);

		if (size <= SHA256_SIZE)
			continue;
		bencode_put_bytes(out, NULL, SHA256_SIZE);
		bencode_put_bytes(out, NULL, size);
	}
	bencode_put_end(out);
}

bool
create_fits(const struct create *c, size_t size)
{
	struct buffer out;

	buffer_init_count(&out, size);
	put_front(&out, c);
	count_layers(&out, c);
	put_back(&out, c);
	return !out.failed;
}

int
create_write(const struct create *c, struct buffer *out, struct error *e)
{
	if (check(c, e) != 0)
		return -1;
	put_front(out, c);
	if (put_layers(out, c, e) != 0)
		return -1;
	put_back(out, c);
	if (out->failed)
		return error_set(e, ERROR_INTERNAL,
				 "the torrent takes too much memory");
	return 0;
}
