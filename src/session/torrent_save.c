/*
 * What the worker saves of a torrent.
 *
 * The order that keeps the state true: copy what is verified, sync the data,
 * look at sizes and times, then write the state.  What is verified meanwhile
 * it has as unchecked.
 */
#include "base/clock.h"
#include "session/torrent_parts.h"
#include "store/files.h"
#include "store/verify.h"
#include "swarm/havelog.h"
#include "swarm/picker.h"

/* While data is verified, or a run was ended in that: what is known so far,
 * and what the next run is to go on with. */
static int
collect_checked(struct torrent *t, struct state *s, struct error *e)
{
	bitfield_copy(&s->have, &t->have);
	bitfield_copy(&s->unchecked, &t->unknown);
	if (t->verify)
		verify_results(t->verify, &s->have, &s->unchecked);
	s->complete = torrent_is_as_left(t) && torrent_covers(t, &s->have, NULL);
	s->was_complete = !s->complete && t->was_complete &&
			  torrent_covers(t, &s->have, &s->unchecked);
	for (size_t i = 0; !t->reselected && i < t->state.partial_count; i++)
		if (state_add_partial(s, t->state.partials[i].piece,
				      &t->state.partials[i].blocks) < 0)
			return error_memory(e);
	return 0;
}

static int
add_partials(struct torrent *t, struct state *s, struct error *e)
{
	struct picker_partial *partials;
	size_t n;
	int status = 0;

	if (picker_export_partials(t->swarm.picker, &partials, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n && status == 0; i++)
		status = state_add_partial(s, partials[i].piece,
					   &partials[i].blocks);
	picker_free_partials(partials, n);
	return status < 0 ? error_memory(e) : 0;
}

static int
collect_had(struct torrent *t, struct state *s, bool complete, struct error *e)
{
	s->complete = complete;
	havelog_copy(t->swarm.havelog, &s->have);
	if (t->lost.count)
		bitfield_remove(&s->have, &t->lost);
	if (!complete) {
		bitfield_copy(&s->unchecked, &t->unknown);
		bitfield_remove(&s->unchecked, &s->have);
		s->was_complete = t->was_complete &&
				  torrent_covers(t, &s->have, NULL);
	}
	return add_partials(t, s, e);
}

/* What is true now, before the sync. */
static int
collect(struct torrent *t, struct state *s, bool complete, struct error *e)
{
	int status;

	if (state_init(s, t->meta, e) < 0)
		return -1;
	bitfield_copy(&s->selected, &t->stored);
	s->uploaded = t->state.uploaded + atomic_load(&t->swarm.uploaded);
	s->downloaded = t->state.downloaded + atomic_load(&t->swarm.downloaded);
	status = t->swarm.picker ? collect_had(t, s, complete, e)
				 : collect_checked(t, s, e);
	if (t->vouched.count) {
		bitfield_copy(&s->damaged, &t->vouched);
		bitfield_remove(&s->damaged, &s->have);
	}
	return status;
}

/* How much of the have log is known to be in what is collected from now on. */
static size_t
logged(const struct torrent *t)
{
	return t->swarm.picker ? havelog_length(t->swarm.havelog) : 0;
}

/* What came after the collecting may be in a file that was looked at since,
 * and so looks as the state has it: the next run would not read it. */
static void
add_later(struct torrent *t, struct state *s, size_t from)
{
	for (size_t end = logged(t); from < end; from++) {
		uint32_t piece = havelog_at(t->swarm.havelog, from);

		if (!bitfield_get(&s->have, piece))
			bitfield_set(&s->unchecked, piece);
	}
}

int
torrent_save_state(struct torrent *t, bool complete, struct bitfield *strange,
		   struct error *e)
{
	struct state s;
	size_t from = logged(t);
	int status = collect(t, &s, complete, e);
	int64_t begun;

	if (status == 0)
		status = files_sync(t->swarm.files, e);
	begun = clock_ns();
	if (status == 0)
		status = state_stamp(&s, t->swarm.files, t->state.stamps,
				     strange, e);
	if (status == 0 && !complete)
		add_later(t, &s, from);
	if (status == 0) {
		status = state_save(&s, t->folder.state, e);
		/* A disk that did not keep this may not have kept the data
		 * either, whatever it said: ext4 was seen to. */
		if (status < 0)
			files_drop_cached(t->swarm.files);
	}
	t->save_took = clock_ns() - begun;
	state_release(&s);
	return status;
}

void
torrent_job_save(void *ctx)
{
	struct torrent *t = ctx;

	/* Without a lock nothing is written, nor is there any need. */
	if (t->lock_error.kind == ERROR_NONE)
		torrent_save_state(t, t->complete, NULL, &t->job_error);
}

void
torrent_job_push(void *ctx)
{
	struct torrent *t = ctx;
	int64_t begun = clock_ns();

	files_push(t->swarm.files);
	t->push_took = clock_ns() - begun;
}
