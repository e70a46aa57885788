/*
 * A torrent made by hand, its bytes, and a folder of its own for it.  Bytes
 * of files follow a pattern without repeats, padding is zeros.
 */
#ifndef BTGET_TEST_STORE_FIXTURE_H
#define BTGET_TEST_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/hash.h"
#include "meta/metainfo.h"
#include "store/files.h"
#include "store/folder.h"
#include "store/layout.h"

#define FIXTURE_FILES 80
#define FIXTURE_ID "0123456789abcdef0123456789abcdef01234567"

/* A path with '/' between its components; they may be hostile all the same:
 * '|' stands for a '/' inside of one. */
struct fixture_file {
	const char *path;
	uint64_t length;
	uint16_t flags;
};

struct fixture {
	struct metainfo m;
	struct metainfo_file files[FIXTURE_FILES];
	char *paths[FIXTURE_FILES];
	uint8_t *bytes;			/* the stream */
	uint8_t *pieces;
	struct layout *layout;
	struct folder folder;
	struct files *store;
	char dir[64];
	struct error e;
};

static inline void
fixture_path(struct metainfo_file *mf, char *path)
{
	size_t length = strlen(path);

	mf->path = path;
	mf->path_size = (uint16_t)(length + 1);
	mf->components = 1;
	for (size_t i = 0; i < length; i++) {
		if (path[i] == '/') {
			path[i] = '\0';
			mf->components++;
		} else if (path[i] == '|') {
			path[i] = '/';
		}
	}
}

/* The metainfo alone; bytes and hashes only if it is small. */
static inline void
fixture_torrent(struct fixture *x, const char *name, uint32_t piece_length,
		const struct fixture_file *files, size_t count)
{
	uint64_t at = 0;

	memset(x, 0, sizeof(*x));
	x->m.has_v1 = true;
	x->m.multi = true;
	x->m.name = name;
	x->m.piece_length = piece_length;
	x->m.files = x->files;
	x->m.file_count = (uint32_t)count;
	memcpy(x->m.hash_v1, FIXTURE_ID, SHA1_SIZE);
	for (size_t i = 0; i < count; i++) {
		x->paths[i] = strdup(files[i].path);
		fixture_path(&x->files[i], x->paths[i]);
		x->files[i].offset = at;
		x->files[i].length = files[i].length;
		x->files[i].flags = files[i].flags;
		at += files[i].length;
	}
	x->m.length = at;
	x->m.piece_count = (uint32_t)((at + piece_length - 1) / piece_length);
	if (at > 64 << 20)
		return;
	x->bytes = calloc((size_t)at + 1, 1);
	for (size_t i = 0; i < count; i++) {
		for (uint64_t b = 0; b < files[i].length; b++) {
			uint64_t v = (x->files[i].offset + b + 1) *
				     0x9e3779b97f4a7c15ULL;

			if (!(files[i].flags & METAINFO_PAD))
				x->bytes[x->files[i].offset + b] =
				    (uint8_t)(v >> 56);
		}
	}
	x->pieces = calloc(x->m.piece_count + 1u, SHA1_SIZE);
	for (uint32_t i = 0; i < x->m.piece_count; i++)
		hash_sha1(x->pieces + (size_t)i * SHA1_SIZE,
			  x->bytes + (uint64_t)i * piece_length,
			  metainfo_piece_size(&x->m, i));
	x->m.pieces = x->pieces;
}

static inline void
fixture_dir(struct fixture *x)
{
	strcpy(x->dir, "/tmp/btget-store-XXXXXX");
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): x is still there */
	assert_non_null(mkdtemp(x->dir));
	assert_int_equal(folder_open(&x->folder, x->dir, true, &x->e), 0);
}

static inline void
fixture_close(struct fixture *x)
{
	files_free(x->store);
	layout_free(x->layout);
	x->store = NULL;
	x->layout = NULL;
}

/* What a test's own lseek goes on to. */
static inline off_t
fixture_lseek(int fd, off_t at, int whence)
{
#ifdef SYS__llseek
	loff_t now;

	return syscall(SYS__llseek, fd, (unsigned long)(at >> 32),
		       (unsigned long)at, &now, whence) < 0 ? -1 : now;
#else
	return (off_t)syscall(SYS_lseek, fd, at, whence);
#endif
}

/* Opens it anew, as the next run would. */
static inline int
fixture_open_as(struct fixture *x, const struct bitfield *selected,
		enum files_allocation allocation, size_t max_open)
{
	struct files_options o = { .allocation = allocation,
				   .max_open = max_open,
				   .id = FIXTURE_ID };

	fixture_close(x);
	x->layout = layout_new(&x->m, selected, &x->e);
	assert_non_null(x->layout);
	x->store = files_open(x->layout, &x->folder, &o, &x->e);
	return x->store ? 0 : -1;
}

static inline void
fixture_open(struct fixture *x)
{
	assert_int_equal(fixture_open_as(x, NULL, FILES_SPARSE, 4), 0);
}

static inline int
fixture_remove(const char *path, const struct stat *st, int flag,
	       struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void
fixture_release(struct fixture *x)
{
	fixture_close(x);
	if (x->dir[0]) {
		folder_release(&x->folder);
		nftw(x->dir, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
	}
	for (size_t i = 0; i < FIXTURE_FILES; i++)
		free(x->paths[i]);
	free(x->bytes);
	free(x->pieces);
}

/* A path below the folder. */
static inline const char *
fixture_at(struct fixture *x, const char *path)
{
	static __thread char out[512];

	snprintf(out, sizeof(out), "%s/%s", x->dir, path);
	return out;
}

static inline bool
fixture_exists(struct fixture *x, const char *path)
{
	struct stat st;

	return lstat(fixture_at(x, path), &st) == 0;
}

static inline long
fixture_size(struct fixture *x, const char *path)
{
	struct stat st;

	return lstat(fixture_at(x, path), &st) == 0 ? (long)st.st_size : -1;
}

/* Makes a file with these bytes, and the folder it is in. */
static inline void
fixture_put(struct fixture *x, const char *path, const void *data, size_t n)
{
	char *full = strdup(fixture_at(x, path)), *slash;
	int fd;

	slash = strrchr(full, '/');
	*slash = '\0';
	mkdir(full, 0777);
	*slash = '/';
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), n);
	close(fd);
	free(full);
}

/* Is the file there with exactly these bytes? */
static inline bool
fixture_holds(struct fixture *x, const char *path, const void *data, size_t n)
{
	char *is = malloc(n + 2);
	int fd = open(fixture_at(x, path), O_RDONLY);
	ssize_t got = fd < 0 ? -1 : read(fd, is, n + 1);
	bool same = got == (ssize_t)n && memcmp(is, data, n) == 0;

	if (fd >= 0)
		close(fd);
	free(is);
	return same;
}

static inline void
fixture_link(struct fixture *x, const char *target, const char *path)
{
	assert_int_equal(symlinkat(target, x->folder.dir, path), 0);
}

static inline void
fixture_rename(struct fixture *x, const char *from, const char *to)
{
	assert_int_equal(renameat(x->folder.dir, from, x->folder.dir, to), 0);
}

static inline void
fixture_write_all(struct fixture *x)
{
	assert_int_equal(files_write(x->store, 0, x->bytes,
				     (size_t)x->m.length, &x->e), 0);
}

#endif
