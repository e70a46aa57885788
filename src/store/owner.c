#include "store/owner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"

#define PREFIX_SIZE (5 + 2 * SHA1_SIZE + 7 + 1)
#define FILE_SIZE (PREFIX_SIZE + METAINFO_HEX_MAX)

/* A name may be as long as a file's name can be: its hash stands for it. */
static void
make_prefix(const char *name, char out[PREFIX_SIZE])
{
	uint8_t hash[SHA1_SIZE];
	char hex[2 * SHA1_SIZE + 1];

	hash_sha1(hash, name, strlen(name));
	hex_encode(hex, hash, sizeof(hash));
	snprintf(out, PREFIX_SIZE, "name-%s.owner-", hex);
}

static void
make_file_name(const char *name, const char *hex, char out[FILE_SIZE])
{
	char prefix[PREFIX_SIZE];

	make_prefix(name, prefix);
	snprintf(out, FILE_SIZE, "%s%s", prefix, hex);
}

/* Others may have put anything there, and it is shown. */
static bool
is_hash(const char *text)
{
	size_t length = strlen(text);

	return strspn(text, "0123456789abcdef") == length && length > 0 &&
	       length < METAINFO_HEX_MAX;
}

void
owner_key(const struct folder *f, const char *name,
	  char out[LAYOUT_NAME_MAX + 1])
{
	bool lower = folder_ignores_case(f);

	snprintf(out, LAYOUT_NAME_MAX + 1, "%s", name);
	for (char *at = out; lower && *at; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at |= 0x20;
}

int
owner_each(int dir, const char *name, const char *hex,
	   int (*each)(void *ctx, const char *other, struct error *e),
	   void *ctx, struct error *e)
{
	DIR *list = folder_list(dir);
	const struct dirent *entry;
	char prefix[PREFIX_SIZE];
	int status = 0;

	if (!list)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot read folder '%s'", FOLDER_STATE);
	make_prefix(name, prefix);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody shares the stream */
	while (status == 0 && (entry = readdir(list))) {
		const char *who = entry->d_name + strlen(prefix);

		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
		    is_hash(who) && strcmp(who, hex) != 0)
			status = each(ctx, who, e);
	}
	closedir(list);
	return status;
}

static int
take_first(void *ctx, const char *other, struct error *e)
{
	(void)e;
	memcpy(ctx, other, strlen(other) + 1);
	return 1;
}

int
owner_find(int dir, const char *name, const char *hex,
	   char other[METAINFO_HEX_MAX], struct error *e)
{
	return owner_each(dir, name, hex, take_first, other, e);
}

int
owner_join(int dir, const char *name, const char *hex, struct error *e)
{
	char file[FILE_SIZE];
	int fd;

	make_file_name(name, hex, file);
	if (folder_has(dir, file))
		return 0;
	fd = folder_openat(dir, file, O_WRONLY | O_CREAT, 0666);
	if (fd < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot create '%s/%s'", FOLDER_STATE, file);
	close(fd);
	if (folder_sync(dir) < 0)
		return error_sys(e, ERROR_STORAGE, errno, "cannot sync '%s'",
				 FOLDER_STATE);
	return 0;
}

/* The others go first: after a crash in between nobody owns the name, under
 * which there is nothing yet. */
int
owner_take(int dir, const char *name, const char *hex, struct error *e)
{
	char other[METAINFO_HEX_MAX], file[FILE_SIZE];
	int found;

	while ((found = owner_find(dir, name, hex, other, e)) > 0) {
		make_file_name(name, other, file);
		if (unlinkat(dir, file, 0) < 0 && errno != ENOENT)
			return error_sys(e, ERROR_STORAGE, errno,
					 "cannot remove '%s/%s'",
					 FOLDER_STATE, file);
	}
	return found < 0 ? -1 : owner_join(dir, name, hex, e);
}
