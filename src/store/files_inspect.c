/*
 * What does not look on the disk as we made it.
 *
 * Two names may be one file there: by links, which have one inode; or on a
 * disk that does not tell upper from lower case, where a FUSE file system may
 * give each name an inode of its own.  Then only what is read is true, and
 * that not before the kernel has forgotten what it knows of either name.
 */
#include <stdlib.h>
#include <unistd.h>

#include "files_inside.h"
#include "meta/metainfo.h"

/* Which file on the disk a file is, and its name whatever the case. */
struct identity {
	dev_t dev;
	ino_t ino;
	uint64_t name;
	size_t file;
};

static int
by_inode(const void *left, const void *right)
{
	const struct identity *a = left, *b = right;

	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	return (a->ino > b->ino) - (a->ino < b->ino);
}

static int
by_name(const void *left, const void *right)
{
	const struct identity *a = left, *b = right;

	return (a->name > b->name) - (a->name < b->name);
}

/* FNV-1a.  Who makes names of one hash has them read once more. */
static uint64_t
hash_name(const struct files *f, size_t file)
{
	char path[LAYOUT_PATH_MAX];
	uint64_t hash = 0xcbf29ce484222325;

	layout_path(f->layout, file, path, sizeof(path));
	for (const char *at = path; *at; at++) {
		uint8_t c = (uint8_t)*at;

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		hash = (hash ^ c) * 0x100000001b3;
	}
	return hash;
}

static void
mark_twins(struct files *f, struct identity *all, size_t n,
	   int (*by)(const void *left, const void *right),
	   struct bitfield *pieces)
{
	qsort(all, n, sizeof(*all), by);
	for (size_t i = 1; i < n; i++) {
		if (by(&all[i - 1], &all[i]) != 0)
			continue;
		for (size_t k = i - 1; k <= i; k++) {
			layout_mark_file(f->layout, all[k].file, pieces);
			files_forget(f, all[k].file);
		}
	}
}

/* Sets the pieces that have a hole in this file. */
static void
mark_holes(struct files *f, size_t file, struct bitfield *pieces)
{
	const struct metainfo *m = layout_metainfo(f->layout);
	uint64_t start = m->files[file].offset, length = files_length(f, file);
	uint64_t at = 0;
	struct pin *pin;
	int fd = files_pin(f, file, false, &pin, NULL);

	if (fd < 0)
		return;		/* for those who need it to report */
	while (at < length) {
		/* cppcheck-suppress invalidFunctionArg; it knows POSIX only */
		off_t hole = lseek(fd, (off_t)at, SEEK_HOLE), data;
		uint64_t end = length;

		if (hole < 0 || (uint64_t)hole >= length)
			break;
		/* cppcheck-suppress invalidFunctionArg */
		data = lseek(fd, hole, SEEK_DATA);
		if (data > hole && (uint64_t)data < length)
			end = (uint64_t)data;
		for (at = (uint64_t)hole; at < end;) {
			uint64_t piece = (start + at) / m->piece_length;

			bitfield_set(pieces, (size_t)piece);
			at = (piece + 1) * m->piece_length - start;
		}
		at = end;
	}
	fdtable_unpin(f->table, pin);
}

int
files_inspect(struct files *f, struct bitfield *pieces, struct error *e)
{
	struct identity *all = malloc((f->side_index + 1) * sizeof(*all));
	size_t n = 0;

	if (!all)
		return error_memory(e);
	for (size_t i = 0; i < f->side_index; i++) {
		struct stat st;

		if (layout_fate(f->layout, i) != LAYOUT_KEPT ||
		    files_stat(f, i, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		all[n++] = (struct identity){st.st_dev, st.st_ino,
					     hash_name(f, i), i};
		if ((uint64_t)st.st_blocks * 512 < files_length(f, i))
			mark_holes(f, i, pieces);
	}
	mark_twins(f, all, n, by_inode, pieces);
	mark_twins(f, all, n, by_name, pieces);
	free(all);
	return 0;
}
