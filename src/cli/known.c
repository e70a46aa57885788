#include "cli/known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
known_init(struct known *k)
{
	memset(k, 0, sizeof(*k));
	mutex_init(&k->lock);
}

void
known_release(struct known *k)
{
	free(k->torrents);
	mutex_release(&k->lock);
}

static bool
has_locked(const struct known *k, const struct stats_torrent *t)
    REQUIRES(k->lock)
{
	for (size_t i = 0; i < k->count; i++)
		if (strcmp(k->torrents[i].name, t->name) == 0 &&
		    strcmp(k->torrents[i].info_hash, t->info_hash) == 0)
			return true;
	return false;
}

static bool
make_room_locked(struct known *k) REQUIRES(k->lock)
{
	size_t room = k->room ? 2 * k->room : 8;
	struct known_torrent *more;

	if (k->count < k->room)
		return true;
	more = realloc(k->torrents, room * sizeof(*more));
	if (!more)
		return false;
	k->torrents = more;
	k->room = room;
	return true;
}

void
known_add(struct known *k, const struct stats_torrent *t)
{
	mutex_lock(&k->lock);
	if (!has_locked(k, t) && make_room_locked(k)) {
		struct known_torrent *one = &k->torrents[k->count++];

		memcpy(one->name, t->name, sizeof(one->name));
		memcpy(one->info_hash, t->info_hash, sizeof(one->info_hash));
	}
	mutex_unlock(&k->lock);
}

void
known_drop(struct known *k, const struct stats_torrent *t)
{
	size_t kept = 0;

	mutex_lock(&k->lock);
	for (size_t i = 0; i < k->count; i++)
		if (strcmp(k->torrents[i].info_hash, t->info_hash) != 0)
			k->torrents[kept++] = k->torrents[i];
	k->count = kept;
	mutex_unlock(&k->lock);
}

void
known_find(struct known *k, const char *name, struct stats_torrent *out)
{
	size_t found = 0;

	memset(out, 0, sizeof(*out));
	out->eta = -1;
	snprintf(out->name, sizeof(out->name), "%s", name);
	mutex_lock(&k->lock);
	for (size_t i = 0; i < k->count; i++) {
		if (strcmp(k->torrents[i].name, out->name) != 0)
			continue;
		found++;
		memcpy(out->info_hash, k->torrents[i].info_hash,
		       sizeof(out->info_hash));
	}
	mutex_unlock(&k->lock);
	if (found != 1)
		out->info_hash[0] = '\0';
}
