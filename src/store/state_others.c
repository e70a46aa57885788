/*
 * What the states of other torrents say, of whatever shape they are.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "state_inside.h"
#include "store/folder.h"

#define TAIL ".state"
#define OTHER_MAX (64u << 20)

static bool
is_among(const struct files_stamp *one, const struct files_stamp *all,
	 size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (state_same_stamp(one, &all[i]))
			return true;
	return false;
}

/* Of a state of any shape, as state_encode writes it. */
static bool
vouches_for(const struct buffer *data, const struct files_stamp *stamps,
	    size_t count)
{
	struct bytes b = bytes_over(data->data, data->used);
	const uint8_t *magic = bytes_take(&b, strlen(STATE_MAGIC)), *have;
	uint32_t pieces, files;
	bool any = false;
	uint8_t flags;

	if (!magic || memcmp(magic, STATE_MAGIC, strlen(STATE_MAGIC)) != 0)
		return false;
	bytes_take(&b, 20 + 8 + 8);
	pieces = bytes_u32(&b);
	files = bytes_u32(&b);
	bytes_take(&b, 8 + 8);
	flags = bytes_u8(&b);
	have = bytes_take(&b, ((size_t)pieces + 7) / 8);
	if (state_has_unchecked(flags))
		bytes_take(&b, ((size_t)pieces + 7) / 8);
	bytes_take(&b, ((size_t)files + 7) / 8);
	for (size_t i = 0; have && i < ((size_t)pieces + 7) / 8; i++)
		any = any || have[i];
	for (uint32_t i = 0; any && i < files && !bytes_failed(&b); i++) {
		struct files_stamp one = {.there = bytes_u8(&b) == 1};

		one.size = bytes_u64(&b);
		one.mtime_ns = (int64_t)bytes_u64(&b);
		if (one.there && one.size > 0 && !bytes_failed(&b) &&
		    is_among(&one, stamps, count))
			return true;
	}
	return false;
}

bool
state_find_owner(const struct state *s, int dir,
		 const struct files_stamp *stamps, size_t count,
		 char owner[METAINFO_HEX_MAX])
{
	DIR *list = folder_list(dir);
	const struct dirent *entry;
	bool found = false;

	if (!list)
		return false;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody shares the stream */
	while (!found && (entry = readdir(list))) {
		size_t length = strlen(entry->d_name);
		struct buffer data;

		if (length <= strlen(TAIL) ||
		    length - strlen(TAIL) >= METAINFO_HEX_MAX)
			continue;
		length -= strlen(TAIL);
		if (strcmp(entry->d_name + length, TAIL) != 0 ||
		    strncmp(entry->d_name, s->hex, length) == 0)
			continue;
		buffer_init(&data, OTHER_MAX);
		found = folder_load(dir, entry->d_name, &data, NULL) == 0 &&
			vouches_for(&data, stamps, count);
		buffer_release(&data);
		memcpy(owner, entry->d_name, length);
		owner[length] = '\0';
	}
	closedir(list);
	return found;
}
