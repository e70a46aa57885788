#include "store/folder.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define FOLDER_STATE_UPPER ".BTGET"
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

bool
folder_is_fat(const struct folder *f)
{
	uint32_t kind = disk_kind(f);

	return kind == MSDOS_SUPER_MAGIC || kind == EXFAT_SUPER_MAGIC;
}

uint64_t
folder_largest(const struct folder *f)
{
	return disk_kind(f) == MSDOS_SUPER_MAGIC ? UINT32_MAX : UINT64_MAX;
}

bool
folder_lacks_holes(const struct folder *f)
{
	return folder_is_fat(f) || disk_kind(f) == NTFS3_MAGIC;
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
