#include "session/tracker_allow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define FILE_MAX (64 * 1024 * 1024)
#define READ_SIZE 65536

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, SHA1_SIZE);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next line without its comment and the space around it. */
static const char *
next_line(struct bytes *b, size_t *length)
{
	const char *line = (const char *)b->at;
	const char *end = memchr(line, '\n', b->left);
	size_t n = end ? (size_t)(end - line) : b->left;
	const char *comment = memchr(line, '#', n);

	bytes_take(b, end ? n + 1 : n);
	if (comment)
		n = (size_t)(comment - line);
	while (n > 0 && is_blank(line[n - 1]))
		n--;
	while (n > 0 && is_blank(*line)) {
		line++;
		n--;
	}
	*length = n;
	return line;
}

/* Trackers know a torrent of version 2 by as much of its hash as one of
 * version 1 has (BEP 52). */
static bool
read_hash(uint8_t out[SHA1_SIZE], const char *hex, size_t length)
{
	uint8_t v2[SHA256_SIZE];

	if (!hex_decode(v2, SHA256_SIZE, hex, length))
		return hex_decode(out, SHA1_SIZE, hex, length);
	memcpy(out, v2, SHA1_SIZE);
	return true;
}

static int
make_room(struct tracker_allow *a, size_t *size, struct error *e)
{
	uint8_t(*hashes)[SHA1_SIZE];
	size_t more = *size ? *size * 2 : 64;

	if (a->count < *size)
		return 0;
	if (a->count >= TRACKER_ALLOW_MAX)
		return error_set(e, ERROR_USAGE, "more than %d info hashes",
				 TRACKER_ALLOW_MAX);
	hashes = realloc(a->hashes, more * SHA1_SIZE);
	if (!hashes)
		return error_memory(e);
	a->hashes = hashes;
	*size = more;
	return 0;
}

int
tracker_allow_parse(struct tracker_allow *a, const char *name,
		    const void *text, size_t size, struct error *e)
{
	struct bytes b = bytes_over(text, size);
	size_t room = 0, number = 0, length;
	int status = 0;

	*a = (struct tracker_allow){0};
	while (b.left > 0 && status == 0) {
		const char *line = next_line(&b, &length);

		number++;
		if (length == 0)
			continue;
		status = make_room(a, &room, e);
		if (status != 0)
			break;
		if (read_hash(a->hashes[a->count], line, length))
			a->count++;
		else
			status = error_set(e, ERROR_USAGE, "not an info hash "
					   "of 40 or 64 hex digits");
	}
	if (status != 0) {
		error_prefix(e, "'%s' line %zu", name, number);
		tracker_allow_release(a);
		return -1;
	}
	if (a->count > 0)
		qsort(a->hashes, a->count, SHA1_SIZE, compare);
	return 0;
}

int
tracker_allow_read(struct tracker_allow *a, const char *path, struct error *e)
{
	FILE *f = fopen(path, "re");
	struct buffer text;
	uint8_t *room;
	size_t n;
	int status = -1;

	buffer_init(&text, FILE_MAX);
	if (!f)
		return error_sys(e, ERROR_USAGE, errno, "cannot open '%s'",
				 path);
	do {
		room = buffer_room(&text, READ_SIZE);
		if (!room) {
			error_set(e, ERROR_USAGE, "'%s' is too large", path);
			goto out;
		}
		n = fread(room, 1, READ_SIZE, f);
		buffer_added(&text, n);
	} while (n > 0);
	if (ferror(f)) {
		error_sys(e, ERROR_USAGE, errno, "cannot read '%s'", path);
		goto out;
	}
	status = tracker_allow_parse(a, path, text.data, text.used, e);
out:
	buffer_release(&text);
	fclose(f);
	return status;
}

void
tracker_allow_release(struct tracker_allow *a)
{
	free(a->hashes);
	*a = (struct tracker_allow){0};
}

bool
tracker_allow_has(const struct tracker_allow *a,
		  const uint8_t info_hash[SHA1_SIZE])
{
	return a->count > 0 && bsearch(info_hash, a->hashes, a->count,
				       SHA1_SIZE, compare) != NULL;
}
