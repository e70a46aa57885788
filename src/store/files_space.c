/*
 * Space is checked, and reserved on wish, before the first byte comes: a
 * download that cannot fit should say so now and not in six hours.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "files_inside.h"

#define BLOCK 512		/* of st_blocks, on every Linux */
#define RESERVE_STEP (1ULL << 30)
#define FILL_STEP 16384

static const char zeros[FILL_STEP];

static uint64_t
free_space(const struct files *f)
{
	struct statvfs fs;

	/* Some network and user file systems tell nothing. */
	if (fstatvfs(f->folder->dir, &fs) < 0 || fs.f_blocks == 0)
		return UINT64_MAX;
	return (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* `others` is what others have been promised of what is free. */
static int
no_space(struct files *f, size_t file, uint64_t need, uint64_t others,
	 struct error *e)
{
	char label[FILES_LABEL_MAX], needs[32], has[32], theirs[64] = "";
	uint64_t have = free_space(f);

	text_size(needs, sizeof(needs), need);
	text_size(has, sizeof(has), others);
	if (others > 0)
		snprintf(theirs, sizeof(theirs),
			 ", of which others still need %s", has);
	text_size(has, sizeof(has), have);
	error_set(e, ERROR_STORAGE,
		  "cannot create '%s': %s (needs %s, %s free%s)",
		  files_label(f, file, label), "No space left on device",
		  needs, has, theirs);
	if (e)
		e->sys = ENOSPC;
	return -1;
}

/* What one file, to have so many bytes, will still take. */
static uint64_t
still_needs(struct files *f, size_t file, uint64_t length)
{
	uint64_t taken;
	struct stat st;

	if (length == 0 || files_stat(f, file, &st) < 0)
		return length;
	taken = (uint64_t)st.st_blocks * BLOCK;
	return taken < length ? length - taken : 0;
}

static uint64_t
file_need(struct files *f, size_t file)
{
	return still_needs(f, file, files_length(f, file));
}

static uint64_t
side_need(struct files *f)
{
	return still_needs(f, f->side_index, layout_side_size(f->layout));
}

static bool
kept(const struct files *f, size_t file)
{
	return layout_fate(f->layout, file) == LAYOUT_KEPT &&
	       files_length(f, file) > 0;
}

/* What is yet to be taken, but for the side; *first is the first file that
 * takes some. */
static uint64_t
files_need(struct files *f, size_t *first)
{
	uint64_t need = 0, one;

	*first = f->side_index;
	for (size_t i = f->side_index; i-- > 0;) {
		if (!kept(f, i))
			continue;
		one = f->fresh ? files_length(f, i) : file_need(f, i);
		if (one > 0)
			*first = i;
		need += one;
	}
	return need;
}

/* Until when it goes on. */
struct patience {
	const _Atomic bool *stop;	/* or NULL */
	int64_t until;			/* 0: no matter how long it takes */
};

static bool
is_stopped(const struct patience *p)
{
	return p->stop && atomic_load(p->stop);
}

/* Asked after each step, so that there is one at least. */
static bool
is_over(const struct patience *p)
{
	return is_stopped(p) || (p->until > 0 && clock_ns() >= p->until);
}

static void
note_taken(struct files *f, uint64_t n)
{
	f->reserve_left -= n < f->reserve_left ? n : f->reserve_left;
}

/* Where the file system cannot reserve, zeros are written behind the end of
 * the file: holes before it stay holes, data stays as it is. */
static int
fill(struct files *f, int fd, uint64_t from, uint64_t length,
     const struct patience *p)
{
	while (from < length) {
		size_t part = length - from < FILL_STEP
				  ? (size_t)(length - from)
				  : FILL_STEP;
		ssize_t n = pwrite(fd, zeros, part, (off_t)from);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		from += (uint64_t)n;
		note_taken(f, (uint64_t)n);
		if (is_over(p)) {
			errno = ECANCELED;
			return -1;
		}
	}
	return 0;
}

/* Where there are no holes, fallocate would write all the zeros in one, or
 * leave them to the first write behind them. */
static int
reserve_fd(struct files *f, int fd, uint64_t length, const struct patience *p)
{
	struct stat st;
	int status;

	if (fstat(fd, &st) < 0)
		return -1;
	if ((uint64_t)st.st_size >= length &&
	    (uint64_t)st.st_blocks * BLOCK >= length)
		return 0;
	if (f->no_holes)
		return fill(f, fd, (uint64_t)st.st_size, length, p);
	while (f->reserve_at < length) {
		uint64_t at = f->reserve_at, part = length - at;

		if (part > RESERVE_STEP)
			part = RESERVE_STEP;
		do
			status = fallocate(fd, 0, (off_t)at, (off_t)part);
		while (status < 0 && errno == EINTR && !is_over(p));
		if (status < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
			return fill(f, fd, (uint64_t)st.st_size, length, p);
		if (status < 0 && errno == EINTR)
			errno = ECANCELED;
		if (status < 0)
			return -1;
		f->reserve_at += part;
		note_taken(f, part);
		if (f->reserve_at < length && is_over(p)) {
			errno = ECANCELED;
			return -1;
		}
	}
	return 0;
}

static int
reserve_file(struct files *f, size_t file, const struct patience *p,
	     struct error *e)
{
	char label[FILES_LABEL_MAX];
	uint64_t need = file_need(f, file);
	struct pin *pin;
	int fd, status, sys;

	fd = files_pin(f, file, true, &pin, e);
	if (fd < 0)
		return -1;
	status = reserve_fd(f, fd, files_length(f, file), p);
	sys = errno;
	files_mark_dirty(f, file);
	fdtable_unpin(f->table, pin);
	if (status == 0)
		return 0;
	if (sys == ECANCELED)
		return error_set(e, ERROR_STOPPED,
				 "stopped while reserving space");
	if (sys == ENOSPC)
		return no_space(f, file, need, 0, e);
	return error_sys(e, ERROR_STORAGE, sys, "cannot reserve '%s'",
			 files_label(f, file, label));
}

/* By blocks alone it would be too much where a disk compresses, or does not
 * count them. */
static int
check_space(struct files *f, struct files_room *room, struct error *e)
{
	uint64_t have = free_space(f), more = files_side_other_size(f);
	size_t first;

	if (more < UINT64_MAX - have)
		have += more;

	room->need = files_need(f, &first) + side_need(f);
	if (room->need > room->missing)
		room->need = room->missing;
	if (room->need == 0 ||
	    (room->need <= have && room->others <= have - room->need))
		return 0;
	room->taken = room->need <= have;
	return no_space(f, first, room->need, room->others, e);
}

uint64_t
files_room_left(struct files *f, uint64_t missing, uint64_t others)
{
	uint64_t left = free_space(f), need;
	size_t first;

	if (left == UINT64_MAX)
		return left;
	left -= others < left ? others : left;
	need = files_need(f, &first);
	if (need > missing)
		need = missing;
	return left - (need < left ? need : left);
}

/* The disk itself would say so only after all that it does take. */
static int
check_sizes(struct files *f, struct error *e)
{
	char label[FILES_LABEL_MAX];

	for (size_t i = 0; i < f->side_index; i++)
		if (kept(f, i) && files_length(f, i) > f->largest)
			return error_sys(e, ERROR_STORAGE, EFBIG,
					 "cannot create '%s'",
					 files_label(f, i, label));
	return 0;
}

static int
reserve_all(struct files *f, const struct patience *p, struct error *e)
{
	bool over = is_stopped(p);

	for (size_t i; !over && (i = f->reserve_file) < f->side_index;) {
		if (kept(f, i) && reserve_file(f, i, p, e) < 0)
			return -1;
		f->reserve_file++;
		f->reserve_at = 0;
		over = is_over(p) && f->reserve_file < f->side_index;
	}
	return over ? error_set(e, ERROR_STOPPED,
				"stopped while reserving space") : 0;
}

int
files_prepare(struct files *f, struct files_room *room,
	      const _Atomic bool *stop, struct error *e)
{
	const struct patience p = {stop, room->until};
	int status;

	room->need = 0;
	room->taken = false;
	if (check_sizes(f, e) < 0)
		return -1;
	/* What was granted is being taken. */
	if (f->allocation != FILES_NONE && !f->reserves &&
	    check_space(f, room, e) < 0)
		return -1;
	files_side_drop_other(f);
	if (f->allocation != FILES_FULL)
		return 0;
	if (!f->reserves) {
		f->reserve_left = room->need;
		f->reserve_file = 0;
		f->reserve_at = 0;
	}
	status = reserve_all(f, &p, e);
	f->reserves = status < 0 && e && e->kind == ERROR_STOPPED;
	room->need = status < 0 ? f->reserve_left : side_need(f);
	return status;
}
