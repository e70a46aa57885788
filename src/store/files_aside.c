/*
 * Files that were begun and are not wanted any more.  They keep their bytes,
 * but nobody is to see them below DIR/NAME: before NAME.part gets that name,
 * or what is wanted in a DIR/NAME that was there is called complete, they go
 * to DIR/.btget/INFOHASH.aside/, each named by its number (padding counts).
 * When wanted again they grow there and go home once they are whole.
 *
 * A move changes neither size nor time: what a state says of a file holds
 * before and after it, whenever a run dies.  What lies at home is what counts.
 * If there is something aside as well, then a copy was broken off or somebody
 * has put the file there; it goes when the file is whole.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "files_inside.h"
#include "meta/metainfo.h"

void
files_aside_name(size_t file, char out[FILES_ASIDE_MAX])
{
	snprintf(out, FILES_ASIDE_MAX, "%zu", file + 1);
}

/* --- what is there --- */

/* 0: no name of ours. */
static size_t
parse_number(const char *name)
{
	size_t number = 0;

	if (*name == '0')
		return 0;
	for (; *name; name++) {
		if (*name < '0' || *name > '9' || number > UINT32_MAX)
			return 0;
		number = number * 10 + (size_t)(*name - '0');
	}
	return number;
}

static void
find_one(struct files *f, const char *name)
{
	size_t number = parse_number(name);
	struct stat st;

	if (number == 0 || number > f->side_index)
		return;
	if (files_stat(f, number - 1, &st) == 0 ||
	    (errno != ENOENT && errno != ENOTDIR))
		return;
	f->fresh = false;
	mutex_lock(&f->lock);
	bitfield_set(&f->aside, number - 1);
	mutex_unlock(&f->lock);
}

static int
cannot_open(const struct files *f, struct error *e)
{
	return error_sys(e, ERROR_STORAGE, errno, "cannot open folder '%s/%s'",
			 FOLDER_STATE, f->aside_name);
}

int
files_find_aside(struct files *f, struct error *e)
{
	const struct dirent *entry;
	DIR *list;
	int fd;

	if (f->folder->state < 0 || !layout_multi(f->layout))
		return 0;
	fd = folder_subdir(f->folder->state, f->aside_name);
	if (fd < 0)
		return errno == ENOENT ? 0 : cannot_open(f, e);
	mutex_lock(&f->lock);
	f->aside_dir = fd;
	mutex_unlock(&f->lock);
	list = folder_list(fd);
	if (!list)
		return cannot_open(f, e);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody shares the stream */
	while ((entry = readdir(list)))
		find_one(f, entry->d_name);
	closedir(list);
	return 0;
}

/* --- moving --- */

/* Who opens files by name meanwhile waits: see files_locate. */
static int
move(struct files *f, size_t file, bool home, struct error *e)
{
	char name[FILES_ASIDE_MAX], path[LAYOUT_PATH_MAX];
	char label[FILES_LABEL_MAX];
	const char *below = path + f->top_length + 1;
	int status, sys, base, aside;

	files_aside_name(file, name);
	layout_path(f->layout, file, path, sizeof(path));
	mutex_lock(&f->lock);
	while (f->renaming)
		cond_wait(&f->changed, &f->lock, CLOCK_NEVER);
	f->renaming = true;
	base = f->base;
	aside = f->aside_dir;
	mutex_unlock(&f->lock);
	status = home ? folder_move(aside, name, base, below)
		      : folder_move(base, below, aside, name);
	sys = errno;
	mutex_lock(&f->lock);
	f->renaming = false;
	if (status >= 0 && home)
		bitfield_unset(&f->aside, file);
	else if (status >= 0)
		bitfield_set(&f->aside, file);
	if (status == 1)	/* it may not have kept all of its time */
		bitfield_set(&f->touched, file);
	cond_broadcast(&f->changed);
	mutex_unlock(&f->lock);
	if (status >= 0)
		return files_disks_tell(f) ? 0 : files_sync_move(f, file, e);
	return error_sys(e, ERROR_STORAGE, sys, "cannot move '%s' %s",
			 files_label(f, file, label),
			 home ? "to its place" : "aside");
}

static int
make_aside(struct files *f, struct error *e)
{
	int fd;

	if (f->aside_dir >= 0)
		return 0;
	if (mkdirat(f->folder->state, f->aside_name, 0777) < 0 &&
	    errno != EEXIST)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot create folder '%s/%s'", FOLDER_STATE,
				 f->aside_name);
	fd = folder_subdir(f->folder->state, f->aside_name);
	if (fd < 0)
		return cannot_open(f, e);
	mutex_lock(&f->lock);
	f->aside_dir = fd;
	mutex_unlock(&f->lock);
	return 0;
}

/* An empty file is whole as soon as it is there. */
static bool
is_whole(const struct files *f, size_t file, const struct bitfield *have)
{
	size_t first, count;

	if (files_length(f, file) > 0 &&
	    layout_fate(f->layout, file) != LAYOUT_SPARE)
		return false;
	layout_file_pieces(f->layout, file, &first, &count);
	while (count > 0)
		if (!bitfield_get(have, first + --count))
			return false;
	return true;
}

static bool
is_to_hide(struct files *f, size_t file, const struct bitfield *have)
{
	enum layout_fate fate = layout_fate(f->layout, file);

	return (fate == LAYOUT_SPARE || fate == LAYOUT_SKIPPED) &&
	       !files_is_aside(f, file) && !is_whole(f, file, have);
}

/* Is it there?  1, 0, or -1 with the error.  What is no file is not ours. */
static int
look_for(struct files *f, size_t file, struct error *e)
{
	char label[FILES_LABEL_MAX];
	struct stat st;

	if (files_stat(f, file, &st) == 0)
		return S_ISREG(st.st_mode);
	if (errno == ENOENT || errno == ENOTDIR)
		return 0;
	return error_sys(e, ERROR_STORAGE, errno, "cannot read '%s'",
			 files_label(f, file, label));
}

/* Over what is aside of it, which a copy that was broken off has left. */
static int
hide(struct files *f, size_t file, struct error *e)
{
	char name[FILES_ASIDE_MAX];

	if (make_aside(f, e) < 0)
		return -1;
	files_aside_name(file, name);
	unlinkat(f->aside_dir, name, 0);
	return move(f, file, false, e);
}

/* Also those that a run has left behind which died before this. */
static void
prune(struct files *f)
{
	char path[LAYOUT_PATH_MAX];
	int base;

	mutex_lock(&f->lock);
	base = f->base;
	mutex_unlock(&f->lock);
	for (size_t i = 0; base >= 0 && i < f->side_index; i++) {
		if (layout_fate(f->layout, i) == LAYOUT_KEPT ||
		    !files_is_aside(f, i))
			continue;
		layout_path(f->layout, i, path, sizeof(path));
		folder_prune(base, path + f->top_length + 1);
	}
}

int
files_set_aside(struct files *f, const struct bitfield *have,
		const struct bitfield *begun, struct error *e)
{
	bool in_place = files_in_place(f), any = false;
	int there;

	if (!layout_multi(f->layout))
		return 0;
	/* A copy is another file than the one that is open. */
	if (files_sync(f, e) < 0)
		return -1;
	for (size_t i = 0; i < f->side_index; i++) {
		if (!is_to_hide(f, i, have) ||
		    (in_place && !bitfield_get(begun, i)))
			continue;
		there = look_for(f, i, e);
		if (there < 0 || (there && hide(f, i, e) < 0))
			return -1;
		any |= there;
	}
	if (any && files_sync_disks(f, e) < 0)
		return -1;
	prune(f);
	return 0;
}

/* Is there a folder to go home to? */
static int
need_base(struct files *f, struct error *e)
{
	int base;

	mutex_lock(&f->lock);
	base = f->base;
	mutex_unlock(&f->lock);
	return base < 0 ? files_make_base(f, e) : 0;
}

int
files_come_home(struct files *f, struct error *e)
{
	bool any = false;

	if (f->aside_dir < 0)
		return 0;
	for (size_t i = 0; i < f->side_index; i++) {
		if (layout_fate(f->layout, i) != LAYOUT_KEPT ||
		    !files_is_aside(f, i))
			continue;
		if (need_base(f, e) < 0 || move(f, i, true, e) < 0)
			return -1;
		any = true;
	}
	return any ? files_sync_disks(f, e) : 0;
}

void
files_clear_aside(struct files *f)
{
	char name[FILES_ASIDE_MAX];

	if (f->aside_dir < 0)
		return;
	for (size_t i = 0; i < f->side_index; i++) {
		if (layout_fate(f->layout, i) != LAYOUT_KEPT)
			continue;
		files_aside_name(i, name);
		unlinkat(f->aside_dir, name, 0);
	}
	unlinkat(f->aside_dir, FOLDER_MOVING, 0);
	/* As long as others are in it, it stays. */
	unlinkat(f->folder->state, f->aside_name, AT_REMOVEDIR);
}
