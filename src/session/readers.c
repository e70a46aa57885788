#include "session/readers.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/sync.h"
#include "meta/magnet.h"
#include "meta/magnet_file.h"
#include "meta/metainfo.h"
#include "session/saved.h"

struct reader {
	struct readers *home;
	struct source source;
	struct thread thread;
	bool taken;		/* main's */
	_Atomic bool done;	/* what follows is the thread's until then */
	struct metainfo *meta;
	struct magnet *link;
	bool kept;
	struct error error;
};

struct readers {
	struct readers_config config;
	struct reader **list;
	size_t count;
	size_t room;
	size_t next;		/* the first that waits */
	size_t taken;
	_Atomic size_t done;	/* and not taken */
};

/* ---- in a thread of its own ---- */

static void
finish(struct reader *r)
{
	source_close(&r->source);
	atomic_store(&r->done, true);
	atomic_fetch_add(&r->home->done, 1);
	wake_up(r->home->config.wake);
}

/* Where what it gives is kept, or NULL. */
static const char *
kept_in(const struct reader *r)
{
	return source_is_url(r->source.arg) ? r->home->config.dir : NULL;
}

static int
get(struct reader *r)
{
	const char *dir = kept_in(r);
	struct buffer data, link;
	int status;

	buffer_init(&link, SOURCE_URL_MAX);
	if (source_get(&r->source, &r->home->config.limits, &data,
		       &r->error) < 0) {
		buffer_release(&data);
		return -1;
	}
	if (dir && magnet_file_is(data.data, data.used))
		buffer_put(&link, data.data, data.used);
	status = source_parse(&data, &r->meta, &r->link, &r->error);
	/* Where it cannot be, nothing else can, which is told then. */
	if (dir && r->meta)
		saved_keep_url(dir, r->source.arg, r->meta->file,
			       r->meta->file_size, NULL);
	else if (dir && r->link && !link.failed)
		saved_keep_url(dir, r->source.arg, link.data, link.used, NULL);
	buffer_release(&link);
	return status;
}

/* What it gave the last time: where its server is away, not where that says
 * something else now. */
static void
get_kept(struct reader *r)
{
	struct buffer data;

	buffer_init(&data, SOURCE_MAX);
	if (saved_load_url(kept_in(r), r->source.arg, &data, NULL) < 0)
		buffer_release(&data);
	else
		r->kept = source_parse(&data, &r->meta, &r->link, NULL) == 0;
}

static void
run(void *ctx)
{
	struct reader *r = ctx;

	if (get(r) < 0 && r->error.kind == ERROR_NETWORK && kept_in(r))
		get_kept(r);
	finish(r);
}

/* ---- in the main one ---- */

static void
start_more(struct readers *r)
{
	while (r->next < r->count && r->next - r->taken < READERS_MAX) {
		struct reader *one = r->list[r->next++];

		if (thread_start(&one->thread, "read", THREAD_STACK_LARGE, run,
				 one, &one->error) < 0)
			finish(one);
	}
}

struct readers *
readers_new(const struct readers_config *config, struct error *e)
{
	struct readers *r = calloc(1, sizeof(*r));

	if (!r) {
		error_memory(e);
		return NULL;
	}
	r->config = *config;
	return r;
}

void
readers_free(struct readers *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->count; i++) {
		struct reader *one = r->list[i];

		thread_join(&one->thread);
		source_close(&one->source);
		metainfo_free(one->meta);
		magnet_free(one->link);
		free(one);
	}
	free(r->list);
	free(r);
}

/* Two threads that read one pipe would each get half of it. */
static bool
is_there(const struct readers *r, const struct source *source)
{
	for (size_t i = 0; source->fd >= 0 && i < r->count; i++) {
		const struct source *s = &r->list[i]->source;

		if (!source_is_url(s->arg) && s->inode == source->inode &&
		    s->device == source->device)
			return true;
	}
	return false;
}

static bool
make_room(struct readers *r)
{
	size_t room = r->room ? 2 * r->room : 8;
	struct reader **more;

	if (r->count < r->room)
		return true;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it holds pointers */
	more = realloc(r->list, room * sizeof(*more));
	if (!more)
		return false;
	r->list = more;
	r->room = room;
	return true;
}

int
readers_add(struct readers *r, struct source *source, struct error *e)
{
	struct reader *one = NULL;

	if (is_there(r, source)) {
		source_close(source);
		return 0;
	}
	if (make_room(r))
		one = calloc(1, sizeof(*one));
	if (!one) {
		source_close(source);
		return error_memory(e);
	}
	one->home = r;
	one->source = *source;
	r->list[r->count++] = one;
	start_more(r);
	return 0;
}

/* There is one. */
static struct reader *
find_done(const struct readers *r)
{
	size_t i = 0;

	while (r->list[i]->taken || !atomic_load(&r->list[i]->done))
		i++;
	return r->list[i];
}

bool
readers_take(struct readers *r, struct readers_result *out)
{
	struct reader *one;

	if (!r || atomic_load(&r->done) == 0)
		return false;
	one = find_done(r);
	thread_join(&one->thread);
	one->taken = true;
	r->taken++;
	atomic_fetch_sub(&r->done, 1);
	*out = (struct readers_result){ .arg = one->source.arg,
					.meta = one->meta,
					.link = one->link,
					.kept = one->kept,
					.error = one->error };
	one->meta = NULL;
	one->link = NULL;
	start_more(r);
	return true;
}

bool
readers_idle(const struct readers *r)
{
	return !r || r->taken == r->count;
}
