/*
 * Whose DIR/NAME is.  Torrents of one name share a folder's place: one at a
 * time writes there, and none over what another has left there.
 *
 * What fits is everybody's: the same data may belong to several torrents
 * (torrent_claims.c has what of it they do not have in common).  Where nothing
 * fits, whoever is noted as the owner (store/owner) keeps it; what was made
 * before owners were noted is known by its looks in another torrent's state.
 *
 * Several that are begun together all look first, and share the name.  The
 * first of them, and who has something there, waits until the others have found
 * that they are not to write, or gives up.
 */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "meta/metainfo.h"
#include "session/torrent_parts.h"
#include "store/files.h"
#include "store/layout.h"
#include "store/owner.h"

#define OWN_STAMPS_MAX 256
#define PART ".part"
#define TRIES_FIRST 10		/* by the first of those of one command */
#define TRIES_FIT 10		/* more, by those that have something there */

/* Two torrents that write to one name would ruin both. */
static int
explain_lock(const struct torrent *t, struct error *e)
{
	if (e->kind != ERROR_LOCKED)
		return -1;
	error_set(e, ERROR_STORAGE, "another torrent is at work on '%s' in "
		  "this folder", layout_name(t->layout));
	return 1;
}

const char *
torrent_name_key(const struct torrent *t, char *out)
{
	owner_key(&t->folder, layout_name(t->layout), out);
	return out;
}

int
torrent_name_share(struct torrent *t, struct error *e)
{
	char name[LAYOUT_NAME_MAX + 1];
	uint8_t hash[SHA1_SIZE];
	char hex[2 * SHA1_SIZE + 1];
	char file[sizeof(t->name_lock.name)];
	size_t n;

	torrent_name_key(t, name);
	n = strlen(name);
	/* Where "x.PART" is what "x" is written to: no other name ends so. */
	if (n > strlen(PART) && strcmp(name + n - strlen(PART), PART) == 0)
		name[n - strlen(PART)] = '\0';
	/* A name may be as long as a file's name can be. */
	hash_sha1(hash, name, strlen(name));
	hex_encode(hex, hash, sizeof(hash));
	snprintf(file, sizeof(file), "name-%s.lock", hex);
	if (lock_share(&t->name_lock, t->folder.state, file, e) == 0)
		return 0;
	return explain_lock(t, e);
}

/* By what lies there: 1 with another torrent that knows it, or 0. */
static int
find_by_looks(const struct torrent *t, char owner[METAINFO_HEX_MAX])
{
	struct files_stamp stamps[OWN_STAMPS_MAX];
	size_t n = 0;

	for (uint32_t i = 0; i < t->meta->file_count && n < OWN_STAMPS_MAX;
	     i++) {
		const struct files_stamp *one = &t->state.stamps[i];

		if (one->there && one->size > 0)
			stamps[n++] = *one;
	}
	return n > 0 && state_find_owner(&t->state, t->folder.state, stamps, n,
					 owner);
}

/* What was put aside says nothing of the name. */
bool
torrent_name_has(const struct torrent *t, size_t file)
{
	enum layout_fate fate = layout_fate(t->layout, file);

	return (fate == LAYOUT_KEPT || fate == LAYOUT_SPARE) &&
	       !files_is_aside(t->swarm.files, file);
}

void
torrent_name_look(struct torrent *t)
{
	size_t first, count;

	for (size_t i = 0; t->loaded && !t->name_known &&
			   i < t->meta->file_count; i++) {
		layout_file_pieces(t->layout, i, &first, &count);
		t->name_known = bitfield_next(&t->state.have, NULL, first) <
					first + count &&
				torrent_name_has(t, i) &&
				state_knows(&t->state, t->swarm.files, i);
	}
}

bool
torrent_name_fits(const struct torrent *t, size_t file)
{
	size_t first, count;

	layout_file_pieces(t->layout, file, &first, &count);
	for (size_t i = first; (i = bitfield_next(&t->have, NULL, i)) <
			       first + count; i++)
		if (!torrent_piece_is_zeros(t, t->swarm.files, i))
			return true;
	return false;
}

/* Does anything under the name fit?  What looks as the state has it does, and
 * right pieces, once the data was looked at. */
static bool
fits(const struct torrent *t)
{
	bool looked = t->have.count > 0, found = t->name_known;

	for (size_t i = 0; looked && !found && i < t->meta->file_count; i++)
		found = torrent_name_has(t, i) && torrent_name_fits(t, i);
	return found;
}

static int
spare_others(struct torrent *t, struct error *e)
{
	const char *name = layout_name(t->layout);
	char owner[METAINFO_HEX_MAX], key[LAYOUT_NAME_MAX + 1];
	int found;

	if (files_bare(t->swarm.files) || fits(t))
		return 0;
	found = owner_find(t->folder.state, torrent_name_key(t, key),
			   t->state_hex, owner, e);
	if (found == 0)
		found = find_by_looks(t, owner);
	if (found <= 0)
		return found;
	return error_set(e, ERROR_STORAGE, "'%s%s' holds data of another "
			 "torrent, %s, and nothing of this one: give another "
			 "--dir, or move it away", name,
			 files_in_place(t->swarm.files) ? "" : ".part", owner);
}

/* Others may have data there too, unless there is nothing. */
static int
note_owner(struct torrent *t, bool alone, struct error *e)
{
	char name[LAYOUT_NAME_MAX + 1];
	int status;

	torrent_name_key(t, name);
	status = alone ? owner_take(t->folder.state, name, t->state_hex, e)
		       : owner_join(t->folder.state, name, t->state_hex, e);

	t->owns_name = status == 0;
	return status;
}

int
torrent_name_join(struct torrent *t, struct error *e)
{
	if (t->owns_name)
		return 0;
	if (spare_others(t, e) < 0 || torrent_claims_spare(t, e) < 0)
		return -1;
	return note_owner(t, false, e);
}

int
torrent_name_is_shared(struct torrent *t, struct error *e)
{
	char owner[METAINFO_HEX_MAX], key[LAYOUT_NAME_MAX + 1];

	return owner_find(t->folder.state, torrent_name_key(t, key),
			  t->state_hex, owner, e);
}

/* Others are spared before the lock is asked for, which they may need.  1: they
 * have it. */
static int
take(struct torrent *t, struct error *e)
{
	if ((!t->owns_name && spare_others(t, e) < 0) ||
	    torrent_claims_spare(t, e) < 0)
		return -1;
	if (lock_own(&t->name_lock, e) < 0)
		return explain_lock(t, e);
	return t->owns_name ? 0 : note_owner(t, files_bare(t->swarm.files), e);
}

/* What is seen stays so while we share it. */
static bool
waits(struct torrent *t)
{
	unsigned first = t->name_later ? 0 : TRIES_FIRST;
	struct error e;

	return t->name_tries < first + (fits(t) ? TRIES_FIT : 0) &&
	       lock_share_again(&t->name_lock, &e) == 0;
}

int
torrent_name_take(struct torrent *t, bool may_wait, struct error *e)
{
	int status = take(t, e);

	if (status == 0)
		return 0;
	t->name_waits = status > 0 && may_wait && waits(t);
	if (t->name_waits)
		return -1;
	/* The end may last, with its command: nobody is held up by that. */
	lock_release(&t->name_lock);
	return -1;
}
