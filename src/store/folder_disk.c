#include "store/folder.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define FOLDER_STATE_UPPER ".BTGET"
#define OWN_NAME_MAX 120	/* without that we cannot work at all */
#ifndef EXFAT_SUPER_MAGIC	/* of some kernels' headers */
#define EXFAT_SUPER_MAGIC 0x2011BAB0
#endif
#define NTFS3_MAGIC 0x7366746e		/* of no header */

/* What kind of disk it is; 0: not known. */
static uint32_t
disk_kind(const struct folder *f)
{
	struct statfs fs;

	return fstatfs(f->dir, &fs) == 0 ? (uint32_t)fs.f_type : 0;
}

static bool
is_fat(const struct folder *f)
{
	uint32_t kind = disk_kind(f);

	return kind == MSDOS_SUPER_MAGIC || kind == EXFAT_SUPER_MAGIC;
}

/* Some disks tell nothing, and some tell the most that other letters would
 * take. */
static size_t
longest_name(const struct folder *f)
{
	struct statfs fs;

	if (fstatfs(f->dir, &fs) < 0 || fs.f_namelen < OWN_NAME_MAX ||
	    fs.f_namelen > NAME_MAX)
		return NAME_MAX;
	return (size_t)fs.f_namelen;
}

struct folder_names
folder_names(const struct folder *f)
{
	return (struct folder_names){is_fat(f), longest_name(f)};
}

uint64_t
folder_largest(const struct folder *f)
{
	return disk_kind(f) == MSDOS_SUPER_MAGIC ? UINT32_MAX : UINT64_MAX;
}

bool
folder_lacks_holes(const struct folder *f)
{
	return is_fat(f) || disk_kind(f) == NTFS3_MAGIC;
}

bool
folder_ignores_case(const struct folder *f)
{
	struct stat held, other;

	return f->state >= 0 && fstat(f->state, &held) == 0 &&
	       fstatat(f->dir, FOLDER_STATE_UPPER, &other,
		       AT_SYMLINK_NOFOLLOW) == 0 &&
	       held.st_dev == other.st_dev && held.st_ino == other.st_ino;
}
