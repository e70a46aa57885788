#include "meta/create.h"

#include <string.h>

#include "meta/bencode.h"

#define PIECE_LENGTH_MIN (16u << 10)
#define PIECE_LENGTH_MAX (16u << 20)
#define PIECES_AIM 2000

uint32_t
create_piece_length(uint64_t length)
{
	uint32_t piece = PIECE_LENGTH_MIN;

	while (piece < PIECE_LENGTH_MAX && length / piece >= PIECES_AIM)
		piece *= 2;
	return piece;
}

/* What a reader would refuse is not written. */
static int
check(const struct create *c, struct error *e)
{
	uint64_t total = 0;
	uint64_t count;

	if (c->piece_length == 0 ||
	    c->piece_length > METAINFO_PIECE_LENGTH_MAX)
		return error_set(e, ERROR_INTERNAL,
				 "piece length %u cannot be",
				 c->piece_length);
	if (!c->name || !*c->name || c->file_count == 0 ||
	    c->file_count > METAINFO_FILES_MAX ||
	    (!c->multi && c->file_count != 1))
		return error_set(e, ERROR_INTERNAL,
				 "no name, or a wrong number of files");
	for (size_t i = 0; i < c->file_count; i++) {
		if (c->files[i].length > (uint64_t)INT64_MAX - total)
			return error_set(e, ERROR_INTERNAL,
					 "all files together are too long");
		total += c->files[i].length;
	}
	count = total / c->piece_length + (total % c->piece_length != 0);
	if (count != c->piece_count || count > METAINFO_PIECES_MAX)
		return error_set(e, ERROR_INTERNAL, "%zu piece hashes given, "
				 "%llu needed", c->piece_count,
				 (unsigned long long)count);
	return 0;
}

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
put_files(struct buffer *out, const struct create *c)
{
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
	}
	bencode_put_end(out);
}

static void
put_info(struct buffer *out, const struct create *c)
{
	bencode_put_str(out, "info");
	bencode_put_dict(out);
	if (c->multi) {
		put_files(out, c);
	} else {
		put_attributes(out, &c->files[0]);
		bencode_put_str(out, "length");
		bencode_put_int(out, (int64_t)c->files[0].length);
	}
	bencode_put_str(out, "name");
	bencode_put_str(out, c->name);
	bencode_put_str(out, "piece length");
	bencode_put_int(out, c->piece_length);
	bencode_put_str(out, "pieces");
	bencode_put_bytes(out, c->pieces, c->piece_count * SHA1_SIZE);
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

int
create_write(const struct create *c, struct buffer *out, struct error *e)
{
	if (check(c, e) != 0)
		return -1;
	bencode_put_dict(out);
	put_trackers(out, c);
	put_text(out, "comment", c->comment);
	put_text(out, "created by", c->created_by);
	if (c->creation_date >= 0) {
		bencode_put_str(out, "creation date");
		bencode_put_int(out, c->creation_date);
	}
	put_info(out, c);
	put_web_seeds(out, c);
	bencode_put_end(out);
	if (out->failed)
		return error_set(e, ERROR_INTERNAL,
				 "the torrent takes too much memory");
	return 0;
}
