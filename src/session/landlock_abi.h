/*
 * landlock_abi: what the kernel's header says of the first version of
 * Landlock.  A system's headers may be older than its kernel.  For the
 * sandbox alone.
 */
#ifndef BTGET_SESSION_LANDLOCK_ABI_H
#define BTGET_SESSION_LANDLOCK_ABI_H

#include <sys/syscall.h>

#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#else
#include <stdint.h>

#define LANDLOCK_CREATE_RULESET_VERSION 1u
#define LANDLOCK_RULE_PATH_BENEATH 1

#define LANDLOCK_ACCESS_FS_EXECUTE (1ull << 0)
#define LANDLOCK_ACCESS_FS_WRITE_FILE (1ull << 1)
#define LANDLOCK_ACCESS_FS_REMOVE_DIR (1ull << 4)
#define LANDLOCK_ACCESS_FS_REMOVE_FILE (1ull << 5)
#define LANDLOCK_ACCESS_FS_MAKE_CHAR (1ull << 6)
#define LANDLOCK_ACCESS_FS_MAKE_DIR (1ull << 7)
#define LANDLOCK_ACCESS_FS_MAKE_REG (1ull << 8)
#define LANDLOCK_ACCESS_FS_MAKE_SOCK (1ull << 9)
#define LANDLOCK_ACCESS_FS_MAKE_FIFO (1ull << 10)
#define LANDLOCK_ACCESS_FS_MAKE_BLOCK (1ull << 11)
#define LANDLOCK_ACCESS_FS_MAKE_SYM (1ull << 12)

struct landlock_ruleset_attr {
	uint64_t handled_access_fs;
};

struct landlock_path_beneath_attr {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));
#endif

/* The same on every architecture that Landlock is on. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#endif
