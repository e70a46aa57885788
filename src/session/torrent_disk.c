/*
 * What the worker does for a torrent: all that may take a disk's time.
 * What it saves is in torrent_save.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "meta/metainfo.h"
#include "session/torrent_parts.h"
#include "store/adopt.h"
#include "store/borrow.h"
#include "store/files.h"
#include "store/layout.h"
#include "store/verify.h"
#include "swarm/layers.h"

#define PREPARE_EACH (1 * CLOCK_S)	/* then others have their turn */
#define BORROW_EACH (64u << 20)		/* the same, bytes */

void
torrent_job(struct torrent *t, void (*run)(void *ctx))
{
	t->job.run = run;
	t->job.ctx = t;
	error_clear(&t->job_error);
	worker_submit(t->env.worker, &t->job);
}

static struct files_options
options_of(const struct torrent *t)
{
	static const enum files_allocation allocations[] = {
		[ALLOCATION_NONE] = FILES_NONE,
		[ALLOCATION_SPARSE] = FILES_SPARSE,
		[ALLOCATION_FULL] = FILES_FULL,
	};

	return (struct files_options){
		.allocation = allocations[t->env.config->allocation],
		.max_open = t->env.max_open,
		.budget = t->env.files_left,
		.id = t->state_hex,
		/* All is there, and has been for long. */
		.side_as_left = t->loaded && t->state.complete &&
				!t->reselected,
	};
}

static int
open_files(struct torrent *t, struct error *e)
{
	struct files_options options = options_of(t);

	t->swarm.files = files_open(t->layout, &t->folder, &options, e);
	return t->swarm.files ? 0 : -1;
}

/* A state that cannot be used costs a verification and nothing else. */
static int
load_state(struct torrent *t, struct error *e)
{
	struct error why;
	int status;

	if (state_init(&t->state, t->meta, e) < 0)
		return -1;
	status = state_load(&t->state, t->folder.state, &why);
	if (status < 0)
		log_write(t->env.log, LOG_WARNING, t->name,
			  "%s; the data is verified instead", why.text);
	t->loaded = status == 0;
	return 0;
}

/* ---- how it stands ---- */

bool
torrent_covers(const struct torrent *t, const struct bitfield *have,
	       const struct bitfield *unchecked)
{
	size_t i = 0;

	while ((i = bitfield_next(&t->wanted, have, i)) < t->wanted.count &&
	       unchecked && bitfield_get(unchecked, i))
		i++;
	return i == t->wanted.count;
}

bool
torrent_has_all(const struct torrent *t)
{
	return torrent_covers(t, &t->have, NULL);
}

bool
torrent_is_as_left(const struct torrent *t)
{
	return t->state.complete && t->all_same && torrent_has_all(t) &&
	       files_in_place(t->swarm.files);
}

/* ---- opening ---- */

/* With --check, what the state vouches for stays so until it was looked at. */
static int
look_at_all(struct torrent *t, struct error *e)
{
	struct bitfield none;
	int status;

	if (bitfield_init(&none, t->check.count) < 0)
		return error_memory(e);
	bitfield_add(&t->vouched, &t->have);
	status = state_compare(NULL, t->swarm.files, &none, &t->check, NULL,
			       e);
	bitfield_release(&none);
	return status;
}

/* Is nothing wanted that was not wanted before? */
static bool
was_selected(const struct torrent *t)
{
	return bitfield_next(&t->selected, &t->state.selected, 0) ==
	       t->selected.count;
}

static int
look_at_data(struct torrent *t, struct error *e)
{
	size_t pieces = t->meta->piece_count;
	int status;

	if (bitfield_init(&t->have, pieces) < 0 ||
	    bitfield_init(&t->check, pieces) < 0 ||
	    bitfield_init(&t->unknown, pieces) < 0 ||
	    bitfield_init(&t->vouched, pieces) < 0 ||
	    bitfield_init(&t->wanted, pieces) < 0)
		return error_memory(e);
	layout_wanted_pieces(t->layout, &t->wanted);
	state_drop_changed(&t->state, t->swarm.files);
	bitfield_copy(&t->vouched, &t->state.damaged);
	status = state_compare(t->loaded ? &t->state : NULL, t->swarm.files,
			       &t->have, &t->check, t->state.stamps, e);
	t->all_same = status == 1;
	adopt_narrow(&t->state, t->swarm.files, &t->adopted, &t->check);
	bitfield_copy(&t->unknown, &t->check);
	t->was_complete = (t->state.complete || t->state.was_complete) &&
			  was_selected(t) &&
			  torrent_covers(t, &t->have, &t->unknown);
	if (status >= 0 && t->env.config->check)
		status = look_at_all(t, e);
	return status < 0 ? -1 : 0;
}

static int
take_places(struct torrent *t, struct error *e)
{
	if (pool_join(t->env.pool, &t->pool))
		return 0;
	t->crowded = true;
	return error_set(e, ERROR_STORAGE, "too many torrents at once for the "
			 "limit of open files");
}

static bool
is_unwritable(int sys)
{
	return sys == EROFS || sys == EACCES || sys == EPERM ||
	       sys == ENOSPC || sys == EDQUOT;
}

/* What is complete needs no lock: that is judged once the data has been
 * looked at. */
static int
judge_later(struct torrent *t, struct error *e)
{
	if (t->lock_error.kind == ERROR_NONE)
		t->lock_error = *e;
	error_clear(e);
	return 0;
}

/* Where nothing can be written, no lock can be made. */
static int
do_without(struct torrent *t, int status, struct error *e)
{
	if (status == 0 || !is_unwritable(e->sys))
		return status;
	return judge_later(t, e);
}

/* Once: a magnet link's folder is open before its files are. */
static int
open_folder(struct torrent *t, struct error *e)
{
	char name[STATS_HASH_MAX + 8];
	int status;

	if (t->folder.dir >= 0)
		return 0;
	if (take_places(t, e) < 0)
		return -1;
	snprintf(name, sizeof(name), "%s.lock", t->hash_hex);
	if (folder_open(&t->folder, t->env.config->dir, true, e) < 0)
		return -1;
	status = do_without(t, lock_take(&t->lock, t->folder.state, name, e),
			    e);
	if (status == 0 && t->lock.pretended)
		log_write(t->env.log, LOG_WARNING, t->name, "the folder's "
			  "file system has no locks: that no other run is at "
			  "work on it is up to you");
	return status;
}

static int
share_name(struct torrent *t, struct error *e)
{
	int status = torrent_name_share(t, e);

	return status > 0 ? judge_later(t, e) : do_without(t, status, e);
}

/* What is on the side of files that are wanted from now on.  For the first
 * write to it the name is to be ours; if it cannot be, the download that is to
 * come could not begin either.  Where there are no holes, space is taken
 * before what lies at a file's end. */
static int
take_side(struct torrent *t, struct error *e)
{
	if (!t->loaded || !t->reselected ||
	    t->lock_error.kind != ERROR_NONE)
		return 0;
	if (bitfield_init(&t->adopted, t->meta->file_count) < 0)
		return error_memory(e);
	adopt_find(&t->state, t->swarm.files, &t->adopted);
	if (bitfield_ones(&t->adopted) == 0)
		return 0;
	if (torrent_name_take(t, false, e) < 0)
		return -1;
	if (!files_lacks_holes(t->swarm.files))
		return adopt_files(&t->state, t->swarm.files, &t->adopted, e);
	if (adopt_begins(&t->state, t->swarm.files, &t->adopted, e) < 0)
		return -1;
	t->adopts_later = true;
	adopt_add_missing(t->swarm.files, &t->adopted);
	return 0;
}

static void
look_for_metadata(struct torrent *t)
{
	struct metainfo *meta;
	struct buffer data;
	char name[STATS_HASH_MAX + 16];
	struct error e;

	torrent_metadata_name(t, name, sizeof(name));
	buffer_init(&data, METAINFO_SIZE_MAX);
	if (folder_load(t->folder.state, name, &data, &e) != 0) {
		buffer_release(&data);
		return;		/* none, or none that can be used */
	}
	meta = metainfo_adopt(data.data, data.used, &e);
	if (meta && torrent_fits(t, meta) && !metainfo_lacks_layers(meta)) {
		if (!t->meta) {
			torrent_set_meta(t, meta);
			return;
		}
		layers_fill(atomic_load(&t->swarm.layers), meta);
	}
	metainfo_free(meta);
}

/* Hundreds may wait for their turn when all are to end. */
bool
torrent_is_stopped(const struct torrent *t, struct error *e)
{
	return atomic_load(&t->stop_disk) &&
	       error_set(e, ERROR_STOPPED, "stopped") < 0;
}

void
torrent_job_look(void *ctx)
{
	struct torrent *t = ctx;

	if (torrent_is_stopped(t, &t->job_error) ||
	    open_folder(t, &t->job_error) < 0)
		return;
	look_for_metadata(t);
}

/* A link that names the v2 hash alone has locked that; what it leads to may
 * be a hybrid, whose state is named by the v1 hash. */
static int
lock_state(struct torrent *t, struct error *e)
{
	char name[STATS_HASH_MAX + 8];

	if (strcmp(t->hash_hex, t->state_hex) == 0)
		return 0;
	snprintf(name, sizeof(name), "%s.lock", t->state_hex);
	return do_without(t, lock_take(&t->state_lock, t->folder.state, name,
				       e), e);
}

/* Is there nothing to be written in this run?  What --check alone looks at
 * is as the state has it, until it is found not to be. */
static bool
needs_no_lock(const struct torrent *t)
{
	return torrent_is_as_left(t) && !torrent_will_seed(t);
}

/* What wanted pieces lack may lie in files that are not wanted.  Where that is
 * much, others have their turn between. */
static int
borrow(struct torrent *t, struct error *e)
{
	struct files_options options = options_of(t);
	struct borrow b = {
		.to = t->swarm.files,
		.folder = &t->folder,
		.options = &options,
		.have = &t->have,
		.stop = &t->stop_disk,
		.at_once = BORROW_EACH,
		.from = t->borrow_from,
	};
	struct bitfield whole;
	struct stat st;
	int status;

	if (fstat(t->folder.dir, &st) == 0)
		b.others = room_claimed(t->env.room, st.st_dev, clock_ns());
	if (bitfield_init(&whole, t->check.count) < 0)
		return error_memory(e);
	status = borrow_shares(&b, &whole, e);
	t->borrows_on = status > 0;
	t->borrow_from = b.from;
	bitfield_add(&t->check, &whole);
	bitfield_add(&t->unknown, &whole);
	if (bitfield_ones(&whole) > 0)
		t->all_same = false;
	bitfield_release(&whole);
	return status;
}

static void
look(struct torrent *t, struct error *e)
{
	t->borrow_from = 0;
	t->borrows_on = false;
	torrent_hook_look(t);
	/* With other files, they lie elsewhere and are of no use. */
	if (!t->reselected)
		state_drop_absent(&t->state, t->swarm.files, &t->stop_disk);
	if (torrent_is_stopped(t, e) || look_at_data(t, e) < 0)
		return;
	if (t->lock_error.kind == ERROR_NONE)
		borrow(t, e);
	else if (!needs_no_lock(t))
		*e = t->lock_error;
}

void
torrent_job_open(void *ctx)
{
	struct torrent *t = ctx;
	struct error *e = &t->job_error;

	if (torrent_is_stopped(t, e) || open_folder(t, e) < 0 ||
	    torrent_save_metadata(t, e) < 0 ||
	    lock_state(t, e) < 0 || load_state(t, e) < 0 ||
	    torrent_choose_files(t, e) < 0 || share_name(t, e) < 0 ||
	    open_files(t, e) < 0)
		return;
	torrent_name_look(t);
	if (take_side(t, e) == 0 && !t->adopts_later)
		look(t, e);
}

void
torrent_job_adopt(void *ctx)
{
	struct torrent *t = ctx;
	struct error *e = &t->job_error;

	if (torrent_is_stopped(t, e))
		return;
	if (adopt_files(&t->state, t->swarm.files, &t->adopted, e) == 0)
		look(t, e);
}

void
torrent_job_borrow(void *ctx)
{
	struct torrent *t = ctx;

	if (!torrent_is_stopped(t, &t->job_error))
		borrow(t, &t->job_error);
}

/* ---- before the first write ---- */

/* A state that says complete is not to outlive what was lost: after a run that
 * dies when that has come again, nobody would know that it came. */
static int
note_loss(struct torrent *t, struct error *e)
{
	if (t->reselected || !(t->state.complete || t->state.was_complete))
		return 0;
	return torrent_save_state(t, false, NULL, e);
}

/* What it needs is claimed once; and as it takes it, that is less. */
static void
claim_room(struct torrent *t, dev_t disk, uint64_t need, bool again)
{
	if (again)
		room_shrink(t->env.room, &t->claim, need, true, clock_ns());
	else
		room_claim(t->env.room, &t->claim, disk, need, clock_ns());
}

/* One worker does so for all torrents, one after the other, and for none for
 * long: where zeros are written, others have their turn between. */
static int
take_room(struct torrent *t, bool again, struct error *e)
{
	struct files_room room = {
		.missing = torrent_wanted_bytes(t) -
			   atomic_load(&t->done_bytes),
		.until = clock_ns() + PREPARE_EACH,
	};
	struct stat st;
	int status;

	if (fstat(t->folder.dir, &st) < 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot look at folder '%s'", t->folder.path);
	if (!again)
		room.others = room_claimed(t->env.room, st.st_dev, clock_ns());
	status = files_prepare(t->swarm.files, &room, &t->stop_disk, e);
	t->lacks_room = room.taken;
	t->prepares_on = status < 0 && e->kind == ERROR_STOPPED &&
			 !atomic_load(&t->stop_disk);
	if (t->prepares_on)
		error_clear(e);
	if (status == 0 || t->prepares_on)
		claim_room(t, st.st_dev, room.need, again);
	return t->prepares_on ? 0 : status;
}

void
torrent_job_prepare(void *ctx)
{
	struct torrent *t = ctx;
	struct error *e = &t->job_error;
	bool again = t->prepares_on;

	if (!again && torrent_name_take(t, true, e) < 0)
		return;
	/* Who waits for room keeps the name. */
	if ((take_room(t, again, e) < 0 && !t->lacks_room) ||
	    (!t->lacks_room && !t->prepares_on && note_loss(t, e) < 0))
		lock_release(&t->name_lock);
}

void
torrent_close_disk(struct torrent *t)
{
	struct verify *v = t->verify;

	mutex_lock(&t->view_lock);
	t->verify = NULL;
	mutex_unlock(&t->view_lock);
	verify_free(v);
	files_free(t->swarm.files);
	t->swarm.files = NULL;
	state_release(&t->state);
	layout_free(t->layout);
	t->layout = NULL;
	bitfield_release(&t->have);
	bitfield_release(&t->check);
	bitfield_release(&t->unknown);
	bitfield_release(&t->lost);
	bitfield_release(&t->vouched);
	overlap_release(&t->overlap);
	bitfield_release(&t->claimed);
	bitfield_release(&t->begun);
	bitfield_release(&t->wanted);
	bitfield_release(&t->stored);
	bitfield_release(&t->adopted);
	lock_release(&t->name_lock);
	lock_release(&t->state_lock);
	lock_release(&t->lock);
	folder_release(&t->folder);
	pool_leave(t->env.pool, &t->pool);
	room_give_back(t->env.room, &t->claim);
}
