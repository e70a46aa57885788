#include "session/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "landlock_abi.h"
#include "store/folder.h"

/* Rights that came after the first version; the headers may be older than
 * the kernel. */
#define ACCESS_REFER (1ull << 13)	/* version 2 */
#define ACCESS_TRUNCATE (1ull << 14)	/* version 3 */

static const uint64_t refused =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
    LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
    LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
    LANDLOCK_ACCESS_FS_MAKE_SYM | ACCESS_REFER | ACCESS_TRUNCATE;

/* Links, devices and sockets are made nowhere. */
static const uint64_t for_folder =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
    LANDLOCK_ACCESS_FS_MAKE_REG | ACCESS_REFER | ACCESS_TRUNCATE;
static const uint64_t for_file =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG;

/* What this kernel knows of; 0: no Landlock. */
static uint64_t
known(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
			       LANDLOCK_CREATE_RULESET_VERSION);
	uint64_t rights = refused;

	if (version < 1)
		return 0;
	if (version < 2)
		rights &= ~ACCESS_REFER;
	if (version < 3)
		rights &= ~ACCESS_TRUNCATE;
	return rights;
}

void
sandbox_init(struct sandbox *s)
{
	struct landlock_ruleset_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.handled_access_fs = known();
	s->rules = -1;
	if (attr.handled_access_fs)
		s->rules = (int)syscall(SYS_landlock_create_ruleset, &attr,
					sizeof(attr), 0);
}

void
sandbox_release(struct sandbox *s)
{
	if (s->rules >= 0)
		close(s->rules);
	s->rules = -1;
}

static int
allow(struct sandbox *s, const char *folder, uint64_t rights)
{
	struct landlock_path_beneath_attr rule;
	long status;
	int fd, sys;

	if (s->rules < 0)
		return 0;
	fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	memset(&rule, 0, sizeof(rule));
	rule.allowed_access = rights & known();
	rule.parent_fd = fd;
	status = syscall(SYS_landlock_add_rule, s->rules,
			 LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	sys = errno;
	close(fd);
	errno = sys;
	return (int)status;
}

int
sandbox_allow(struct sandbox *s, const char *folder, unsigned mode)
{
	if (*folder == '\0')
		folder = ".";
	if (s->rules >= 0 && folder_make(folder, mode) < 0)
		return -1;
	return allow(s, folder, for_folder);
}

static int
allow_beside(struct sandbox *s, const char *file)
{
	const char *slash = strrchr(file, '/');
	char folder[PATH_MAX] = ".";
	size_t n = slash ? (size_t)(slash - file) + 1 : 0;

	if (n >= sizeof(folder)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (n > 0) {
		memcpy(folder, file, n);
		folder[n] = '\0';
	}
	return allow(s, folder, for_file);
}

int
sandbox_allow_file(struct sandbox *s, const char *file)
{
	char real[PATH_MAX];

	if (realpath(file, real) && allow_beside(s, real) < 0)
		return -1;
	return allow_beside(s, file);
}

bool
sandbox_enter(struct sandbox *s)
{
	bool holds = false;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && s->rules >= 0)
		holds = syscall(SYS_landlock_restrict_self, s->rules, 0) == 0;
	sandbox_release(s);
	return holds;
}
