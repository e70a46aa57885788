#include "session/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRIES 100
#define AGAIN_TRIES 20
#define AGAIN_PAUSE_NS 1000000

/* Is the file that we hold still the one of that name?  The run before us
 * removes it as it ends.  1: yes, 0: no, -1 with errno: who knows. */
static int
still_there(const struct lock *l)
{
	struct stat held, named;

	if (fstat(l->fd, &held) < 0)
		return -1;
	if (fstatat(l->dir, l->name, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	return held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

/* Another user's, which we may but read, can be locked as well. */
static int
open_lock(const struct lock *l)
{
	const int how = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	int fd = openat(l->dir, l->name, O_RDWR | O_CREAT | how, 0666);
	int sys = errno;

	if (fd >= 0 || (sys != EACCES && sys != EPERM))
		return fd;
	fd = openat(l->dir, l->name, O_RDONLY | how);
	errno = sys;
	return fd;
}

/* Some file systems, over a network mostly, have no locks. */
static bool
has_no_locks(int sys)
{
	return sys == ENOSYS || sys == EOPNOTSUPP || sys == ENOLCK ||
	       sys == EINVAL;
}

/* 0: taken; 1: it was removed meanwhile, once more; -1 with the error. */
static int
try_once(struct lock *l, int how, struct error *e)
{
	struct stat st;
	int there;
	int sys;

	l->fd = open_lock(l);
	if (l->fd < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot create the lock '%s'", l->name);
	if (fstat(l->fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		error_set(e, ERROR_STORAGE, "cannot use the lock '%s': it is "
			  "no regular file", l->name);
		goto fail;
	}
	sys = flock(l->fd, how | LOCK_NB) < 0 ? errno : 0;
	if (sys == EBADF)
		sys = EACCES;	/* over NFS it takes the right to write */
	l->pretended = has_no_locks(sys);
	if (sys != 0 && !l->pretended) {
		if (sys == EWOULDBLOCK)
			error_set(e, ERROR_LOCKED, "another run holds the "
				  "lock '%s'", l->name);
		else
			error_sys(e, ERROR_STORAGE, sys,
				  "cannot take the lock '%s'", l->name);
		goto fail;
	}
	there = still_there(l);
	if (there > 0)
		return 0;
	if (there < 0) {
		error_sys(e, ERROR_STORAGE, errno, "cannot look at the lock "
			  "'%s'", l->name);
		goto fail;
	}
	close(l->fd);
	l->fd = -1;
	return 1;
fail:
	close(l->fd);
	l->fd = -1;
	return -1;
}

static int
take(struct lock *l, int dir, const char *name, int how, struct error *e)
{
	int status = 1;

	l->fd = -1;
	l->dir = dir;
	if (strlen(name) >= sizeof(l->name))
		return error_set(e, ERROR_INTERNAL,
				 "the lock's name '%s' is too long", name);
	memcpy(l->name, name, strlen(name) + 1);
	for (int i = 0; i < TRIES && status == 1; i++)
		status = try_once(l, how, e);
	if (status == 1)
		return error_set(e, ERROR_LOCKED,
				 "other runs fight over the lock '%s'", name);
	return status;
}

int
lock_take(struct lock *l, int dir, const char *name, struct error *e)
{
	return take(l, dir, name, LOCK_EX, e);
}

int
lock_share(struct lock *l, int dir, const char *name, struct error *e)
{
	return take(l, dir, name, LOCK_SH, e);
}

int
lock_own(struct lock *l, struct error *e)
{
	char name[sizeof(l->name)];

	/* While it changes hands the lock is free for a moment, in which the
	 * last one to share it may remove the file. */
	if (flock(l->fd, LOCK_EX | LOCK_NB) == 0 && still_there(l) > 0)
		return 0;
	close(l->fd);
	memcpy(name, l->name, sizeof(name));
	return take(l, l->dir, name, LOCK_EX, e);
}

int
lock_share_again(struct lock *l, struct error *e)
{
	const struct timespec pause = {.tv_nsec = AGAIN_PAUSE_NS};
	char name[sizeof(l->name)];
	int status;

	memcpy(name, l->name, sizeof(name));
	for (int i = 1;; i++) {
		status = take(l, l->dir, name, LOCK_SH, e);
		if (status == 0 || e->kind != ERROR_LOCKED || i == AGAIN_TRIES)
			return status;
		nanosleep(&pause, NULL);
	}
}

void
lock_ease(struct lock *l)
{
	if (l->fd >= 0)
		flock(l->fd, LOCK_SH | LOCK_NB);
}

void
lock_release(struct lock *l)
{
	if (l->fd < 0)
		return;
	/* While it is held alone: nobody else can have taken this one. */
	if ((l->pretended || flock(l->fd, LOCK_EX | LOCK_NB) == 0) &&
	    still_there(l) > 0)
		unlinkat(l->dir, l->name, 0);
	close(l->fd);
	l->fd = -1;
}
