#include <string.h>

#include "metainfo_parts.h"

#define PADDING_NAME "_____padding_file_"	/* the beginning */

enum {
	FILE_LENGTH,
	FILE_PATH,
	FILE_PATH_UTF8,
	FILE_ATTR,
	FILE_KEYS,
};

static const struct bencode_key file_keys[FILE_KEYS] = {
	[FILE_LENGTH] = BENCODE_KEY("length"),
	[FILE_PATH] = BENCODE_KEY("path"),
	[FILE_PATH_UTF8] = BENCODE_KEY("path.utf-8"),
	[FILE_ATTR] = BENCODE_KEY("attr"),
};

unsigned
metainfo_attributes(struct bencode attr)
{
	const uint8_t *at;
	size_t size;
	unsigned flags = 0;

	if (!bencode_str(attr, &at, &size))
		return 0;
	for (size_t i = 0; i < size; i++) {
		if (at[i] == 'p')
			flags |= METAINFO_PAD;
		else if (at[i] == 'x')
			flags |= METAINFO_EXECUTABLE;
		else if (at[i] == 'h')
			flags |= METAINFO_HIDDEN;
		else if (at[i] == 'l')
			flags |= METAINFO_SYMLINK;
	}
	return flags;
}

int
metainfo_length(struct bencode v, uint64_t *length, struct error *e)
{
	int64_t number;

	if (!bencode_int(v, &number))
		return error_set(e, ERROR_TORRENT, "no length");
	if (number < 0)
		return error_set(e, ERROR_TORRENT, "negative length");
	*length = (uint64_t)number;
	return 0;
}

/* Leaves out empty components: some old programs wrote them.  The raw list
 * is room enough: "3:abc" takes more than "abc" and its NUL. */
int
metainfo_components(char *out, struct bencode list, uint16_t *count,
		    size_t *used, struct error *e)
{
	struct bencode_iter it = bencode_items(list);
	struct bencode item;
	const uint8_t *at;
	size_t size;

	*count = 0;
	*used = 0;
	while (bencode_next(&it, &item)) {
		if (!bencode_str(item, &at, &size))
			return error_set(e, ERROR_TORRENT, "a component of "
					 "its path is not a string");
		if (size == 0)
			continue;
		if (memchr(at, '\0', size))
			return error_set(e, ERROR_TORRENT,
					 "NUL in its path");
		if (size >= METAINFO_PATH_SIZE_MAX - *used)
			return error_set(e, ERROR_TORRENT,
					 "its path is too long");
		memcpy(out + *used, at, size);
		*used += size;
		out[(*used)++] = '\0';
		(*count)++;
	}
	return 0;
}

static int
set_path(struct metainfo_whole *w, struct metainfo_file *f,
	 struct bencode path, struct error *e)
{
	char *out = metainfo_room(w, path.size, e);
	size_t used = 0;

	if (!out ||
	    metainfo_components(out, path, &f->components, &used, e) != 0)
		return -1;
	f->path = out;
	f->path_size = (uint16_t)used;
	metainfo_keep(w, used);
	return 0;
}

bool
metainfo_names_padding(const char *name)
{
	return strncmp(name, PADDING_NAME, sizeof(PADDING_NAME) - 1) == 0;
}

/* BitComet's padding, from before there were attributes.  That of a hybrid is
 * younger and has them, and its other half may hold a file of such a name. */
static bool
is_named_padding(const struct metainfo_whole *w, const struct metainfo_file *f)
{
	const char *before;

	if (w->m.has_v2 || f->components == 0)
		return false;
	before = memrchr(f->path, '\0', f->path_size - 1u);
	return metainfo_names_padding(before ? before + 1 : f->path);
}

static int
set_file(struct metainfo_whole *w, struct metainfo_file *f,
	 const struct bencode *v, struct error *e)
{
	unsigned flags = metainfo_attributes(v[FILE_ATTR]);
	struct bencode path = v[FILE_PATH_UTF8];

	if (flags & METAINFO_PAD)
		flags = METAINFO_PAD;
	if (bencode_type(path) != BENCODE_LIST)
		path = v[FILE_PATH];
	/* A link takes nothing of the stream, whatever is said of the file that
	 * it leads to. */
	if (!(flags & METAINFO_SYMLINK) &&
	    metainfo_length(v[FILE_LENGTH], &f->length, e) != 0)
		return -1;
	if (set_path(w, f, path, e) != 0)
		return -1;
	if (is_named_padding(w, f))
		flags = METAINFO_PAD;
	if (f->components == 0 && !(flags & METAINFO_PAD))
		return error_set(e, ERROR_TORRENT, "no path");
	f->flags = (uint16_t)flags;
	return 0;
}

/* Puts the file at the end of the stream. */
static int
append(struct metainfo *m, struct metainfo_file *f, struct error *e)
{
	if (f->length > (uint64_t)INT64_MAX - m->length)
		return error_set(e, ERROR_TORRENT,
				 "all files together are too long");
	f->offset = m->length;
	m->length += f->length;
	if (f->flags & METAINFO_PAD)
		m->pad_count++;
	else
		m->content_length += f->length;
	return 0;
}

int
metainfo_read_files(struct metainfo_whole *w, struct bencode files,
		    struct error *e)
{
	struct metainfo *m = &w->m;
	struct bencode_iter it = bencode_items(files);
	struct bencode v[FILE_KEYS];
	struct metainfo_file *f;
	int more;

	m->multi = true;
	while ((more = bencode_pick_next(&it, file_keys, v, FILE_KEYS,
					 e)) == 1) {
		f = metainfo_add_file(w, e);
		if (!f)
			return -1;
		if (set_file(w, f, v, e) != 0 || append(m, f, e) != 0) {
			error_prefix(e, "file %u", m->file_count);
			return -1;
		}
	}
	if (more < 0) {
		error_prefix(e, "file %u", m->file_count + 1);
		return -1;
	}
	if (m->file_count == m->pad_count)
		return error_set(e, ERROR_TORRENT, "no files");
	return 0;
}

int
metainfo_read_single(struct metainfo_whole *w, struct bencode length,
		     struct bencode attr, struct error *e)
{
	struct metainfo_file *f = metainfo_add_file(w, e);

	if (!f || metainfo_length(length, &f->length, e) != 0)
		return -1;
	f->path = w->m.name;
	f->path_size = (uint16_t)(strlen(f->path) + 1);
	f->components = 1;
	f->flags = metainfo_attributes(attr) &
		   (METAINFO_EXECUTABLE | METAINFO_HIDDEN);
	return append(&w->m, f, e);
}

char *
metainfo_path(const struct metainfo_file *f, char *out)
{
	size_t n = metainfo_path_length(f);

	for (size_t i = 0; i < n; i++) {
		out[i] = f->path[i];
		if (!out[i])
			out[i] = '/';
	}
	out[n] = '\0';
	return out;
}
