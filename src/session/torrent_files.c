/*
 * Which of a torrent's files are wanted, how much of them is there, and
 * which have just become complete.
 */
#include <stdlib.h>
#include <string.h>

#include "meta/metainfo.h"
#include "meta/selection.h"
#include "session/torrent_parts.h"
#include "store/begun.h"
#include "store/files.h"
#include "store/layout.h"
#include "store/place.h"
#include "store/verify.h"
#include "swarm/havelog.h"
#include "swarm/picker.h"

/* ---- choosing: the worker's ---- */

static int
apply_list(struct torrent *t, struct error *e)
{
	struct selection *s = selection_parse(t->env.config->files, e);
	const char *unused;
	int status = -1;

	if (s)
		status = selection_apply(s, t->meta, &t->selected, e);
	if (status < 0) {
		error_prefix(e, "--files");
	} else {
		unused = selection_unused(s, t->meta);
		if (unused)
			log_write(t->env.log, LOG_WARNING, t->name,
				  "--files: '%s' names no file", unused);
	}
	selection_free(s);
	return status;
}

/* Files that an earlier run has made and that are not wanted now: what they
 * have of wanted pieces need not come again. */
static int
find_spares(struct torrent *t, struct bitfield *spare, struct error *e)
{
	struct files_options options = {.max_open = 1, .id = t->state_hex};
	struct layout *all;
	struct files *files = NULL;

	if (!t->loaded || bitfield_full(&t->selected))
		return 0;
	all = place_lay_out(t->meta, NULL, NULL, &t->folder, e);
	if (all)
		files = files_open(all, &t->folder, &options, e);
	for (size_t i = 0; files && i < spare->count; i++)
		if (!bitfield_get(&t->selected, i) &&
		    layout_fate(all, i) == LAYOUT_KEPT &&
		    state_knows(&t->state, files, i))
			bitfield_set(spare, i);
	files_free(files);
	layout_free(all);
	return files ? 0 : -1;
}

static int
make_layout(struct torrent *t, const struct bitfield *spare, struct error *e)
{
	t->layout = place_lay_out(t->meta, &t->selected, spare,
				  &t->folder, e);
	if (!t->layout)
		return -1;
	bitfield_copy(&t->stored, &t->selected);
	for (size_t i = 0; i < spare->count; i++)
		if (bitfield_get(spare, i))
			bitfield_set(&t->stored, i);
	t->reselected = memcmp(t->stored.bits, t->state.selected.bits,
			       bitfield_bytes(&t->stored)) != 0;
	atomic_store(&t->wanted_bytes, layout_size(t->layout));
	return 0;
}

int
torrent_choose_files(struct torrent *t, struct error *e)
{
	struct bitfield spare = {NULL, 0};
	size_t count = t->meta->file_count;
	int status = 0;

	if (bitfield_init(&t->selected, count) < 0 ||
	    bitfield_init(&t->stored, count) < 0 ||
	    bitfield_init(&spare, count) < 0)
		status = error_memory(e);
	else if (t->env.config->files)
		status = apply_list(t, e);
	else if (t->link)
		status = selection_apply_link(t->link, t->meta, &t->selected,
					      e);
	else
		bitfield_fill(&t->selected);
	if (status == 0)
		status = find_spares(t, &spare, e);
	if (status == 0)
		status = make_layout(t, &spare, e);
	bitfield_release(&spare);
	return status;
}

/* ---- what was begun: the worker's ---- */

/* Those that do not look as the state says (else they were spares): a run that
 * died has written more than it noted, or they are somebody else's by now. */
static size_t
find_changed(const struct torrent *t, struct files *files,
	     const struct bitfield *begun, struct bitfield *out)
{
	struct files_stamp now;

	for (size_t i = 0; (i = bitfield_next(begun, NULL, i)) < begun->count;
	     i++)
		if (layout_fate(t->layout, i) == LAYOUT_SKIPPED &&
		    !files_is_aside(files, i) &&
		    files_stamp(files, i, &now, NULL) == 0 && now.there)
			bitfield_set(out, i);
	return bitfield_ones(out);
}

/* Sets in `good` which pieces of these files are right. */
static int
verify_files(struct torrent *t, struct files *files,
	     const struct bitfield *changed, struct bitfield *good,
	     struct error *e)
{
	struct verify_options options = {.stop = &t->stop_disk};
	struct verify *v = NULL;
	struct bitfield pieces;
	struct error why = {.kind = ERROR_NONE};

	if (bitfield_init(&pieces, good->count) < 0)
		return error_memory(e);
	for (size_t i = 0; (i = bitfield_next(changed, NULL, i)) <
			   changed->count; i++)
		layout_mark_file(t->layout, i, &pieces);
	options.pieces = &pieces;
	v = verify_start(files, &options, e);
	if (v && (verify_join(v, &why) == 0 || why.kind != ERROR_STOPPED))
		verify_results(v, good, NULL);
	else if (v)
		*e = why;
	bitfield_release(&pieces);
	verify_free(v);
	return v && why.kind != ERROR_STOPPED ? 0 : -1;
}

bool
torrent_piece_is_zeros(const struct torrent *t, struct files *files,
		       size_t piece)
{
	return verify_is_zeros(files, (uint64_t)piece * t->meta->piece_length,
			       metainfo_piece_size(t->meta, (uint32_t)piece));
}

/* What holds nothing of the torrent is not what was begun. */
static bool
is_strange(const struct torrent *t, struct files *files, size_t file,
	   const struct bitfield *good)
{
	size_t first, count;

	layout_file_pieces(t->layout, file, &first, &count);
	for (size_t i = first; (i = bitfield_next(good, NULL, i)) <
			       first + count; i++)
		if (!torrent_piece_is_zeros(t, files, i))
			return false;
	return true;
}

/* Is there all that a piece has of other files? */
static bool
has_neighbours(struct files *files, size_t piece, size_t file)
{
	const struct layout *l = files_layout(files);
	uint64_t size = layout_metainfo(l)->piece_length;
	struct files_stamp now;
	struct layout_cursor c;
	struct span s;

	layout_seek(l, &c, piece * size, size);
	while (layout_next(l, &c, &s))
		if (s.kind == SPAN_FILE && s.file != file &&
		    (files_stamp(files, s.file, &now, NULL) < 0 ||
		     now.size < s.offset + s.length))
			return false;
	return true;
}

bool
torrent_piece_is_full(const struct torrent *t, struct files *files,
		      size_t piece, size_t file)
{
	const struct metainfo_file *f = &t->meta->files[file];
	uint64_t at = (uint64_t)piece * t->meta->piece_length;
	uint64_t end = at + t->meta->piece_length, next;

	if (end > f->offset + f->length)
		end = f->offset + f->length;
	for (; at < end; at = next) {
		uint64_t from = at < f->offset ? f->offset : at;

		next = at + STATE_BLOCK < end ? at + STATE_BLOCK : end;
		if (from < next && verify_is_zeros(files, from, next - from))
			return false;
	}
	return true;
}

/* What holds all of the file is whole.  On its borders it is taken at its
 * word where the neighbours are not there, with which alone the pieces could
 * be verified. */
static bool
is_whole(const struct torrent *t, struct files *files, size_t file,
	 const struct bitfield *good)
{
	const struct metainfo_file *f = &t->meta->files[file];
	struct files_stamp now;
	size_t first, count;

	layout_file_pieces(t->layout, file, &first, &count);
	for (size_t i = first; i < first + count; i++)
		if (!bitfield_get(good, i) &&
		    (has_neighbours(files, i, file) ||
		     !torrent_piece_is_full(t, files, i, file)))
			return false;
	return files_stamp(files, file, &now, NULL) == 0 &&
	       now.size == f->length;
}

static int
drop_strange(struct torrent *t, struct files *files, struct bitfield *begun,
	     struct error *e)
{
	struct bitfield changed, good;
	int status = 0;

	if (bitfield_init(&changed, begun->count) < 0)
		return error_memory(e);
	if (bitfield_init(&good, t->meta->piece_count) < 0) {
		bitfield_release(&changed);
		return error_memory(e);
	}
	if (find_changed(t, files, begun, &changed) > 0)
		status = verify_files(t, files, &changed, &good, e);
	for (size_t i = 0; (i = bitfield_next(&changed, NULL, i)) <
			   changed.count; i++)
		if (is_strange(t, files, i, &good) ||
		    is_whole(t, files, i, &good))
			bitfield_unset(begun, i);
	bitfield_release(&changed);
	bitfield_release(&good);
	return status;
}

int
torrent_find_begun(struct torrent *t, struct bitfield *out, struct error *e)
{
	struct files_options options = {
		.max_open = t->env.max_open,
		.budget = t->env.files_left,
		.id = t->state_hex,
	};
	struct layout *all;
	struct files *files = NULL;
	int status = -1;

	if (!t->loaded || !files_in_place(t->swarm.files))
		return 0;
	begun_find(&t->state, t->layout, out);
	if (bitfield_ones(out) == 0)
		return 0;
	all = place_lay_out(t->meta, NULL, NULL, &t->folder, e);
	if (all)
		files = files_open(all, &t->folder, &options, e);
	if (files)
		status = drop_strange(t, files, out, e);
	files_free(files);
	layout_free(all);
	return status;
}

/* ---- counting ---- */

/* Calls for each part of a piece that lies in a wanted file. */
static void
each_part(struct torrent *t, uint64_t piece,
	  void (*part)(struct torrent *t, const struct span *s))
{
	struct layout_cursor c;
	struct span s;

	layout_seek(t->layout, &c, piece * t->meta->piece_length,
		    t->meta->piece_length);
	while (layout_next(t->layout, &c, &s))
		if (s.kind == SPAN_FILE &&
		    layout_fate(t->layout, s.file) == LAYOUT_KEPT)
			part(t, &s);
}

static void
add_done(struct torrent *t, const struct span *s)
{
	atomic_fetch_add(&t->done_bytes, s->length);
}

/* How many pieces each file lacks, so that its last one can be told. */
static void
count_lacking(struct torrent *t)
{
	size_t n = layout_count(t->layout);

	t->file_left = calloc(n ? n : 1, sizeof(*t->file_left));
	for (size_t i = 0; t->file_left && i < n; i++) {
		size_t first, count;

		if (layout_fate(t->layout, i) != LAYOUT_KEPT)
			continue;
		layout_file_pieces(t->layout, i, &first, &count);
		if (count == 0)		/* it is to be made */
			t->file_left[i] = !t->state.stamps[i].there;
		for (size_t k = first; k < first + count; k++)
			t->file_left[i] += !bitfield_get(&t->have, k);
	}
}

void
torrent_count_files(struct torrent *t)
{
	atomic_store(&t->done_bytes, 0);
	for (size_t i = 0; (i = bitfield_next(&t->have, NULL, i)) <
			   t->have.count; i++)
		each_part(t, i, add_done);
	if (t->env.events && t->env.events->file)
		count_lacking(t);
}

/* ---- telling ---- */

static void
tell_file(struct torrent *t, const struct stats_torrent *now, size_t file)
{
	const struct session_events *events = t->env.events;
	char path[METAINFO_PATH_TEXT];

	events->file(events->ctx, now,
		     metainfo_path(&t->meta->files[file], path));
}

static void
part_came(struct torrent *t, const struct span *s)
{
	struct stats_torrent now;

	add_done(t, s);
	if (!t->file_left || t->file_left[s->file] == 0 ||
	    --t->file_left[s->file] > 0)
		return;
	torrent_stats(t, &now);
	tell_file(t, &now, s->file);
}

void
torrent_tell_files(struct torrent *t)
{
	size_t end = havelog_length(t->swarm.havelog);

	for (; t->filed < end; t->filed++)
		each_part(t, havelog_at(t->swarm.havelog, t->filed),
			  part_came);
}

void
torrent_tell_empty_files(struct torrent *t)
{
	size_t n = t->file_left ? layout_count(t->layout) : 0;
	struct stats_torrent now;

	if (n > 0)
		torrent_stats(t, &now);
	for (size_t i = 0; i < n; i++)
		if (t->meta->files[i].length == 0 && t->file_left[i] > 0) {
			t->file_left[i] = 0;
			tell_file(t, &now, i);
		}
}

/* ---- what trackers are told ---- */

bool
torrent_is_whole(const struct torrent *t)
{
	return havelog_count(t->swarm.havelog) == t->meta->piece_count;
}

bool
torrent_is_partial_seed(const struct torrent *t)
{
	return atomic_load(&t->swarm.complete) && !torrent_is_whole(t);
}

/* What is wanted and missing.  Once that is nothing, what else is missing:
 * who has but a part is no seed (BEP 21). */
uint64_t
torrent_left(struct torrent *t)
{
	struct picker_totals totals;

	picker_totals(t->swarm.picker, &totals);
	if (totals.missing > 0)
		return torrent_wanted_bytes(t) - atomic_load(&t->done_bytes);
	return metainfo_pieces_length(t->meta) - totals.good_bytes;
}
