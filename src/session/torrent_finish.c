/*
 * What the worker does once all of a torrent is there: nothing is called
 * complete that is not on the disk, or that others have changed meanwhile.
 */
#include <stdlib.h>
#include <string.h>

#include "meta/metainfo.h"
#include "session/torrent_parts.h"
#include "store/files.h"
#include "store/layout.h"
#include "store/verify.h"
#include "swarm/havelog.h"

/* Verifies pieces; those that are no longer right are set in t->lost. */
static int
verify_again(struct torrent *t, const struct bitfield *pieces,
	     struct error *e)
{
	struct verify_options options = {
		.pieces = pieces, .stop = &t->stop_disk,
	};
	struct verify *v = NULL;
	struct bitfield good;
	struct error why;
	int status = -1;

	error_clear(&why);
	if (bitfield_init(&good, pieces->count) < 0 ||
	    (!t->lost.count && bitfield_init(&t->lost, pieces->count) < 0)) {
		error_memory(e);
		goto out;
	}
	v = verify_start(t->swarm.files, &options, e);
	if (!v)
		goto out;
	if (verify_join(v, &why) < 0 && why.kind == ERROR_STOPPED) {
		*e = why;
		goto out;
	}
	verify_results(v, &good, NULL);
	status = 0;
	for (size_t i = 0; (i = bitfield_next(pieces, &good, i)) <
			   pieces->count; i++) {
		bitfield_set(&t->lost, i);
		status = -1;
	}
	if (status < 0)
		error_set(e, ERROR_STORAGE, "%zu of its pieces were changed "
			  "by another program meanwhile; run it again",
			  bitfield_ones(&t->lost));
out:
	verify_free(v);
	bitfield_release(&good);
	return status;
}

/* Is each piece of the file that we have among those? */
static bool
is_covered(const struct torrent *t, size_t file, const struct bitfield *had,
	   const struct bitfield *pieces)
{
	size_t first, count;

	if (file >= layout_count(t->layout))
		return false;
	layout_file_pieces(t->layout, file, &first, &count);
	for (size_t i = first; i < first + count; i++)
		if (bitfield_get(had, i) && !bitfield_get(pieces, i))
			return false;
	return true;
}

/* Files of which these are all are then right as they looked before they were
 * read: that may take long, and what others change meanwhile is not
 * accepted. */
static int
accept_again(struct torrent *t, const struct bitfield *had,
	     const struct bitfield *pieces, struct error *e)
{
	size_t n = t->state.stamp_count;
	struct files_stamp *now = calloc(n, sizeof(*now));
	int status = 0;

	if (!now)
		return error_memory(e);
	for (size_t i = 0; status == 0 && i < n; i++)
		status = files_stamp(t->swarm.files, i, &now[i], e);
	if (status == 0)
		status = verify_again(t, pieces, e);
	for (size_t i = 0; status == 0 && i < n; i++)
		if (is_covered(t, i, had, pieces))
			t->state.stamps[i] = now[i];
	free(now);
	return status;
}

/* Nothing is called complete that others may have changed on the disk: what
 * does not look as we left it is verified again. */
static int
settle(struct torrent *t, struct error *e)
{
	struct bitfield strange, had;
	int status = -1;

	if (bitfield_init(&strange, t->meta->piece_count) < 0)
		return error_memory(e);
	if (bitfield_init(&had, t->meta->piece_count) < 0) {
		bitfield_release(&strange);
		return error_memory(e);
	}
	if (torrent_save_state(t, false, &strange, e) < 0 ||
	    files_inspect(t->swarm.files, &strange, e) < 0)
		goto out;
	havelog_copy(t->swarm.havelog, &had);
	for (size_t i = 0; (i = bitfield_next(&strange, &had, i)) <
			   strange.count; i++)
		bitfield_unset(&strange, i);	/* what is not had */
	status = 0;
	if (bitfield_ones(&strange) == 0)
		goto out;
	status = accept_again(t, &had, &strange, e);
out:
	bitfield_release(&strange);
	bitfield_release(&had);
	return status;
}

/* What was begun for another selection is not to be seen as finished; but
 * where the name is another torrent's as well, it may be that one's. */
static int
set_aside(struct torrent *t, struct error *e)
{
	struct bitfield have = {NULL, 0}, begun = {NULL, 0};
	int status = torrent_name_is_shared(t, e);

	if (status != 0)
		return status < 0 ? -1 : 0;
	if (bitfield_init(&have, t->meta->piece_count) < 0 ||
	    bitfield_init(&begun, t->meta->file_count) < 0) {
		status = error_memory(e);
		goto out;
	}
	havelog_copy(t->swarm.havelog, &have);
	status = torrent_find_begun(t, &begun, e);
	if (status == 0)
		status = files_set_aside(t->swarm.files, &have, &begun, e);
out:
	bitfield_release(&have);
	bitfield_release(&begun);
	return status;
}

void
torrent_job_finish(void *ctx)
{
	struct torrent *t = ctx;
	struct error *e = &t->job_error;

	if (torrent_name_join(t, e) < 0 || settle(t, e) < 0 ||
	    torrent_claims_settle(t, e) < 0 ||
	    set_aside(t, e) < 0 ||
	    files_finish(t->swarm.files, &t->stop_disk, e) < 0 ||
	    (!t->was_complete && torrent_hook_note(t, e) < 0))
		return;
	torrent_save_state(t, true, NULL, e);
	lock_ease(&t->name_lock);
}
