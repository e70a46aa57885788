#include "store/place.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/metainfo.h"
#include "store/owner.h"

#define PART ".part"
#define PART_MAX (LAYOUT_NAME_MAX + sizeof(PART))

static bool
has_own_name(const struct layout *l, const struct folder *f)
{
	char part[PART_MAX];

	snprintf(part, sizeof(part), "%s%s", layout_name(l), PART);
	return folder_has(f->dir, layout_name(l)) || folder_has(f->dir, part);
}

/* The regular file in a folder; links are not followed. */
static bool
look_in(const struct folder *f, const char *folder, const char *file,
	struct stat *st)
{
	int dir = folder_subdir(f->dir, folder);
	bool there;

	if (dir < 0)
		return false;
	there = fstatat(dir, file, st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISREG(st->st_mode);
	close(dir);
	return there;
}

static bool
is_others(const struct layout *l, const struct folder *f)
{
	char hex[METAINFO_HEX_MAX], other[METAINFO_HEX_MAX];
	char key[LAYOUT_NAME_MAX + 1];

	metainfo_hex(layout_metainfo(l), hex);
	owner_key(f, layout_name(l), key);
	return f->state >= 0 && owner_find(f->state, key, hex, other,
					   NULL) > 0;
}

static bool
has_folder(const struct layout *l, const struct folder *f)
{
	const struct metainfo *m = layout_metainfo(l);
	char path[LAYOUT_PATH_MAX], part[PART_MAX];
	const char *file = path + strlen(layout_name(l)) + 1;
	struct stat st;

	layout_path(l, 0, path, sizeof(path));
	if (look_in(f, layout_name(l), file, &st))
		return (uint64_t)st.st_size == m->files[0].length;
	snprintf(part, sizeof(part), "%s%s", layout_name(l), PART);
	return look_in(f, part, file, &st) && !is_others(l, f);
}

struct layout *
place_lay_out(const struct metainfo *m, const struct bitfield *selected,
	      const struct bitfield *spare, const struct folder *f,
	      struct error *e)
{
	struct folder_names names = folder_names(f);
	struct layout *l = layout_new_on(m, selected, spare, names, e);
	struct layout *other;

	if (!l || !m->folder || has_own_name(l, f))
		return l;
	other = layout_new_on(m, selected, spare, names, e);
	if (other)
		layout_use_folder(other);
	if (other && !has_folder(other, f)) {
		layout_free(other);
		return l;
	}
	layout_free(l);
	return other;
}
