/*
 * The file, all numbers big-endian:
 *
 *   "btgetov1"  owner, up to a zero (METAINFO_HEX_MAX)
 *   for each part, ordered: piece u32  file u32  SHA-256 (32)
 *   SHA-256 of all before it (32)
 */
#include "store/overlap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "store/folder.h"

#define MAGIC "btgetov1"
#define MAGIC_SIZE (sizeof(MAGIC) - 1)
#define PART_SIZE (4 + 4 + SHA256_SIZE)
#define FILE_MAX (64u << 20)
#define NAME_SIZE (METAINFO_HEX_MAX + 8)

void
overlap_release(struct overlap *o)
{
	free(o->parts);
	memset(o, 0, sizeof(*o));
}

int
overlap_add(struct overlap *o, const struct overlap_part *part,
	    struct error *e)
{
	struct overlap_part *grown = o->parts;

	/* Grown at powers of two. */
	if ((o->count & (o->count - 1)) == 0) {
		grown = realloc(o->parts, (o->count ? 2 * o->count : 1) *
						  sizeof(*grown));
		if (!grown)
			return error_memory(e);
		o->parts = grown;
	}
	grown[o->count++] = *part;
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const struct overlap_part *x = a, *y = b;

	if (x->piece != y->piece)
		return x->piece < y->piece ? -1 : 1;
	return (x->file > y->file) - (x->file < y->file);
}

bool
overlap_knows(const struct overlap *o, uint32_t piece, uint32_t file)
{
	struct overlap_part key = {.piece = piece, .file = file};

	return o->sorted > 0 && bsearch(&key, o->parts, o->sorted,
					sizeof(key), compare);
}

static void
file_name(const char *hex, char out[NAME_SIZE])
{
	snprintf(out, NAME_SIZE, "%s.overlap", hex);
}

static void
encode(const struct overlap *o, struct buffer *out)
{
	uint8_t sum[SHA256_SIZE];

	buffer_str(out, MAGIC);
	buffer_put(out, o->owner, sizeof(o->owner));
	for (size_t i = 0; i < o->count; i++) {
		buffer_u32(out, o->parts[i].piece);
		buffer_u32(out, o->parts[i].file);
		buffer_put(out, o->parts[i].digest, SHA256_SIZE);
	}
	if (out->failed)
		return;
	hash_sha256(sum, out->data, out->used);
	buffer_put(out, sum, sizeof(sum));
}

int
overlap_save(struct overlap *o, int dir, const char *hex, struct error *e)
{
	char name[NAME_SIZE];
	struct buffer b;
	int status;

	file_name(hex, name);
	if (o->count == 0) {
		if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
			return 0;
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot remove '%s/%s'", FOLDER_STATE, name);
	}
	qsort(o->parts, o->count, sizeof(*o->parts), compare);
	o->sorted = o->count;
	buffer_init(&b, FILE_MAX);
	encode(o, &b);
	status = b.failed ? error_memory(e)
			  : folder_save(dir, name, b.data, b.used, e);
	buffer_release(&b);
	return status;
}

static bool
decode(struct overlap *o, const struct buffer *data)
{
	size_t least = MAGIC_SIZE + sizeof(o->owner) + SHA256_SIZE;
	struct overlap_part part;
	uint8_t sum[SHA256_SIZE];
	struct bytes b;

	if (data->used < least || (data->used - least) % PART_SIZE != 0)
		return false;
	b = bytes_over(data->data, data->used - sizeof(sum));
	hash_sha256(sum, data->data, b.left);
	if (memcmp(sum, data->data + b.left, sizeof(sum)) != 0 ||
	    memcmp(bytes_take(&b, MAGIC_SIZE), MAGIC, MAGIC_SIZE) != 0)
		return false;
	bytes_copy(&b, o->owner, sizeof(o->owner));
	o->owner[sizeof(o->owner) - 1] = '\0';
	while (b.left > 0) {
		part.piece = bytes_u32(&b);
		part.file = bytes_u32(&b);
		bytes_copy(&b, part.digest, sizeof(part.digest));
		if (overlap_add(o, &part, NULL) < 0)
			return false;
	}
	o->sorted = o->count;
	return !bytes_failed(&b);
}

void
overlap_load(struct overlap *o, int dir, const char *hex)
{
	char name[NAME_SIZE];
	struct buffer b;

	overlap_release(o);
	file_name(hex, name);
	buffer_init(&b, FILE_MAX);
	if (folder_load(dir, name, &b, NULL) == 0 && !decode(o, &b))
		overlap_release(o);
	buffer_release(&b);
}
