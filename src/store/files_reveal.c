/*
 * The step to the final name.
 */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "files_inside.h"

#define RENAME_TRIES 5
#define RENAME_PAUSE_NS 100000000

/* Some disks over a network (SMB, 9p) rename nothing that is open, nor what
 * that lies in.  What is in use will not be so for long, and whoever opens it
 * again waits. */
static int
rename_closed(struct files *f, const char *name)
{
	const struct timespec pause = {.tv_nsec = RENAME_PAUSE_NS};
	int dir = f->folder->dir, status;

	for (int i = 1;; i++) {
		fdtable_close_idle(f->table);
		status = folder_rename(dir, f->part, dir, name);
		if (status == 0 || i == RENAME_TRIES ||
		    (errno != EACCES && errno != EBUSY))
			return status;
		nanosleep(&pause, NULL);
	}
}

static bool
is_empty_file(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && st.st_size == 0;
}

/* The file that was empty when we started.  It is looked at once nobody finds
 * it any more, and comes back if somebody has written to it. */
static int
clear_way_to(const struct files *f, int where)
{
	const char *name = layout_name(f->layout), *away = f->empty_name;
	int dir = f->folder->dir;

	if (!is_empty_file(dir, name))
		return -1;
	if (is_empty_file(where, away))		/* a run has died here */
		unlinkat(where, away, 0);
	if (folder_rename(dir, name, where, away) < 0)
		return -1;
	if (is_empty_file(where, away))
		return unlinkat(where, away, 0);
	folder_rename(where, away, dir, name);
	errno = EEXIST;
	return -1;
}

static int
clear_way(const struct files *f)
{
	if (clear_way_to(f, f->folder->state) == 0)
		return 0;
	/* Before Linux 5.19 Landlock lets nothing go to another folder. */
	return errno == EXDEV ? clear_way_to(f, f->folder->dir) : -1;
}

static int
rename_part(struct files *f)
{
	const char *name = layout_name(f->layout);
	int dir = f->folder->dir, sys;

	if (rename_closed(f, name) == 0)
		return 0;
	sys = errno;
	/* An empty folder that somebody made meanwhile is nothing to keep. */
	if ((sys == EEXIST || sys == ENOTEMPTY) && layout_multi(f->layout) &&
	    unlinkat(dir, name, AT_REMOVEDIR) == 0)
		return folder_rename(dir, f->part, dir, name);
	if (sys == EEXIST && !layout_multi(f->layout) && f->makes_way &&
	    clear_way(f) == 0)
		return folder_rename(dir, f->part, dir, name);
	errno = sys;
	return -1;
}

/* Who opens files by name meanwhile waits: see files_locate. */
int
files_reveal(struct files *f, struct error *e)
{
	int status, sys;

	mutex_lock(&f->lock);
	while (f->renaming)
		cond_wait(&f->changed, &f->lock, CLOCK_NEVER);
	if (f->in_place) {
		mutex_unlock(&f->lock);
		return 0;
	}
	f->renaming = true;
	mutex_unlock(&f->lock);
	status = rename_part(f);
	sys = errno;
	mutex_lock(&f->lock);
	f->renaming = false;
	f->in_place = status == 0;
	cond_broadcast(&f->changed);
	mutex_unlock(&f->lock);
	if (status < 0)
		return error_sys(e, ERROR_STORAGE, sys,
				 "cannot give '%s' its final name", f->part);
	if (folder_sync(f->folder->dir) < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot sync a folder");
	return 0;
}
