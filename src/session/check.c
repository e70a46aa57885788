#include "session/check.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitfield.h"
#include "base/clock.h"
#include "base/sync.h"
#include "base/text.h"
#include "meta/metainfo.h"
#include "session/saved.h"
#include "session/source.h"
#include "store/files.h"
#include "store/folder.h"
#include "store/layout.h"
#include "store/place.h"
#include "store/verify.h"

#define MAX_OPEN 64
#define TELL_MS 200

/* Everything that one check holds open. */
struct check {
	struct metainfo *meta;
	struct layout *layout;
	struct folder folder;
	bool has_folder;
	struct files *files;
	struct bitfield wanted;
	struct bitfield good;
	struct wake done;
	char id[STATS_HASH_MAX];	/* in hex */
};

static void
check_close(struct check *c)
{
	files_free(c->files);
	if (c->has_folder)
		folder_release(&c->folder);
	layout_free(c->layout);
	metainfo_free(c->meta);
	bitfield_release(&c->wanted);
	bitfield_release(&c->good);
	if (c->done.fd >= 0)
		wake_release(&c->done);
}

static int
load(struct check *c, const struct check_job *job, struct error *e)
{
	const struct source_limits limits = {
		.stop_fd = job->stop_fd, .until = CLOCK_NEVER,
	};

	c->meta = saved_read_whole(job->torrent, job->dir, &limits, e);
	if (!c->meta)
		return -1;
	metainfo_hex(c->meta, c->id);
	return 0;
}

static int
lay_out(struct check *c, struct error *e)
{
	c->layout = c->has_folder
			? place_lay_out(c->meta, NULL, NULL, &c->folder, e)
			: layout_new(c->meta, NULL, e);
	if (!c->layout)
		return -1;
	if (bitfield_init(&c->wanted, c->meta->piece_count) < 0 ||
	    bitfield_init(&c->good, c->meta->piece_count) < 0)
		return error_memory(e);
	layout_wanted_pieces(c->layout, &c->wanted);
	return 0;
}

/* Without the folder, all is missing and nothing is wrong with that. */
static int
open_data(struct check *c, const char *dir, struct error *e)
{
	struct files_options options = {
		.allocation = FILES_NONE,
		.max_open = MAX_OPEN,
		.id = c->id,
	};
	struct error why = { 0 };

	c->has_folder = folder_open(&c->folder, dir, false, &why) == 0;
	if (!c->has_folder && why.sys != ENOENT) {
		if (e)
			*e = why;
		return -1;
	}
	if (lay_out(c, e) < 0)
		return -1;
	if (!c->has_folder)
		return 0;
	c->files = files_open(c->layout, &c->folder, &options, e);
	return c->files ? 0 : -1;
}

static void
wake_done(void *ctx)
{
	wake_up(ctx);
}

static void
wait_verified(struct check *c, struct verify *v, const struct check_job *job)
{
	struct pollfd fds[2] = {
		{ .fd = c->done.fd, .events = POLLIN },
		{ .fd = job->stop_fd, .events = POLLIN },
	};
	struct verify_progress now;

	while (!verify_done(v)) {
		poll(fds, 2, job->progress ? TELL_MS : -1);
		if (fds[1].revents) {
			verify_stop(v);
			return;
		}
		verify_progress(v, &now);
		if (job->progress)
			job->progress(job->ctx, now.checked, now.total);
	}
}

static int
verify_all(struct check *c, const struct check_job *job, struct error *e)
{
	struct verify_options options = {
		.pieces = &c->wanted,
		.done = wake_done,
		.ctx = &c->done,
	};
	struct verify *v;
	int rc;

	if (!c->files || !bitfield_ones(&c->wanted))
		return 0;
	if (wake_init(&c->done, e) < 0)
		return -1;
	v = verify_start(c->files, &options, e);
	if (!v)
		return -1;
	wait_verified(c, v, job);
	rc = verify_join(v, e);
	verify_results(v, &c->good, NULL);
	verify_free(v);
	return rc;
}

/* ---- the result ---- */

static uint64_t
good_bytes(const struct check *c, size_t file)
{
	const struct metainfo_file *f = &c->meta->files[file];
	uint64_t size = c->meta->piece_length;
	uint64_t sum = 0;
	size_t first;
	size_t count;
	size_t p;

	layout_file_pieces(c->layout, file, &first, &count);
	for (p = first; p < first + count; p++) {
		uint64_t from = p * size;
		uint64_t to = from + size;

		if (!bitfield_get(&c->good, p))
			continue;
		if (from < f->offset)
			from = f->offset;
		if (to > f->offset + f->length)
			to = f->offset + f->length;
		sum += to - from;
	}
	return sum;
}

static int
add_file(struct check *c, size_t file, struct check_result *r,
	 struct error *e)
{
	struct check_file *out = &r->files[r->file_count];
	struct files_stamp stamp = { 0 };

	if (c->files && files_stamp(c->files, file, &stamp, e) < 0)
		return -1;
	out->path = malloc((size_t)c->meta->files[file].path_size + 1);
	if (!out->path)
		return error_memory(e);
	metainfo_path(&c->meta->files[file], out->path);
	r->file_count++;
	out->length = c->meta->files[file].length;
	out->good = good_bytes(c, file);
	out->missing = !stamp.there;
	out->wrong_size = stamp.there && stamp.size != out->length;
	r->length += out->length;
	r->good += out->good;
	if (out->missing || out->wrong_size || out->good != out->length)
		r->complete = false;
	return 0;
}

static bool
is_unsure(const struct check *c, size_t file, const struct bitfield *gaps)
{
	size_t first, count;

	layout_file_pieces(c->layout, file, &first, &count);
	for (size_t p = first; p < first + count; p++)
		if (!bitfield_get(&c->good, p) && !bitfield_get(gaps, p))
			return false;
	return true;
}

/* A file that was left out takes what its neighbours share with it along. */
static int
tell_unsure(const struct check *c, struct check_result *r, struct error *e)
{
	size_t count = layout_count(c->layout);
	struct bitfield gaps;
	size_t n = 0;

	if (bitfield_init(&gaps, c->meta->piece_count) < 0)
		return error_memory(e);
	for (size_t i = 0; i < count; i++)
		if (layout_fate(c->layout, i) == LAYOUT_KEPT &&
		    r->files[n++].missing)
			layout_mark_file(c->layout, i, &gaps);
	n = 0;
	for (size_t i = 0; i < count; i++) {
		struct check_file *f;

		if (layout_fate(c->layout, i) != LAYOUT_KEPT)
			continue;
		f = &r->files[n++];
		f->unsure = !f->missing && f->good != f->length &&
			    is_unsure(c, i, &gaps);
	}
	bitfield_release(&gaps);
	return 0;
}

static int
add_up(struct check *c, struct check_result *r, struct error *e)
{
	size_t count = layout_count(c->layout);
	size_t i;

	text_clean(r->name, sizeof(r->name), c->meta->name);
	memcpy(r->info_hash, c->id, sizeof(r->info_hash));
	r->pieces = (uint32_t)bitfield_ones(&c->wanted);
	r->pieces_good = (uint32_t)bitfield_ones(&c->good);
	r->complete = true;
	r->in_part = c->files && !files_fresh(c->files) &&
		     !files_in_place(c->files);
	r->files = calloc(count ? count : 1, sizeof(*r->files));
	if (!r->files)
		return error_memory(e);
	for (i = 0; i < count; i++)
		if (layout_fate(c->layout, i) == LAYOUT_KEPT &&
		    add_file(c, i, r, e) < 0)
			return -1;
	return r->complete ? 0 : tell_unsure(c, r, e);
}

int
check_run(const struct check_job *job, struct check_result *result,
	  struct error *e)
{
	struct check c;
	int rc;

	memset(&c, 0, sizeof(c));
	memset(result, 0, sizeof(*result));
	c.done.fd = -1;
	rc = load(&c, job, e);
	if (rc == 0)
		rc = open_data(&c, job->dir, e);
	if (rc == 0)
		rc = verify_all(&c, job, e);
	if (rc == 0)
		rc = add_up(&c, result, e);
	check_close(&c);
	return rc;
}

void
check_release(struct check_result *result)
{
	size_t i;

	for (i = 0; i < result->file_count; i++)
		free(result->files[i].path);
	free(result->files);
	memset(result, 0, sizeof(*result));
}
