/* What does not look on the disk as we made it. */
#include <stdlib.h>
#include <unistd.h>

#include "files_inside.h"
#include "meta/metainfo.h"

/* Which file on the disk a file is. */
struct identity {
	dev_t dev;
	ino_t ino;
	size_t file;
};

static int
by_identity(const void *left, const void *right)
{
	const struct identity *a = left, *b = right;

	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	return (a->file > b->file) - (a->file < b->file);
}

static void
mark_twins(const struct files *f, struct identity *all, size_t n,
	   struct bitfield *pieces)
{
	qsort(all, n, sizeof(*all), by_identity);
	for (size_t i = 1; i < n; i++) {
		if (all[i].dev != all[i - 1].dev ||
		    all[i].ino != all[i - 1].ino)
			continue;
		layout_mark_file(f->layout, all[i - 1].file, pieces);
		layout_mark_file(f->layout, all[i].file, pieces);
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
		all[n++] = (struct identity){st.st_dev, st.st_ino, i};
		if ((uint64_t)st.st_blocks * 512 < files_length(f, i))
			mark_holes(f, i, pieces);
	}
	mark_twins(f, all, n, pieces);
	free(all);
	return 0;
}
