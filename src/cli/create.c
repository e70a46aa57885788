#include "session/maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "session/exit.h"
#include "session/session.h"
#include "session/source.h"

#define CREATED_BY "btget/" BTGET_VERSION

/* ---- the URLs ---- */

struct urls {
	struct metainfo_tracker *trackers;
	size_t count;
	char *text;		/* what the URLs of one tier lie in */
};

/* Room for as many trackers and bytes as there can be. */
static int
urls_init(struct urls *u, const struct text_list *tiers, struct error *e)
{
	size_t bytes = 1;
	size_t most = 1;
	size_t i;
	const char *p;

	for (i = 0; i < tiers->count; i++) {
		bytes += strlen(tiers->items[i]) + 1;
		most++;
		for (p = tiers->items[i]; *p; p++)
			most += *p == ',';
	}
	u->count = 0;
	u->trackers = calloc(most, sizeof(*u->trackers));
	u->text = malloc(bytes);
	return u->trackers && u->text ? 0 : error_memory(e);
}

static void
urls_release(struct urls *u)
{
	free(u->trackers);
	free(u->text);
}

/* A piece behind a comma may be the rest of a key that had one in it. */
static int
bad_tracker(const char *url, bool first, struct error *e)
{
	char shown[256];

	text_tracker_url(shown, sizeof(shown), url);
	return error_set(e, ERROR_USAGE, "--announce: '%s' is not a URL of "
			 "http, https or udp",
			 first || strstr(url, "://") ? shown : "...");
}

static int
bad_web_seed(const char *url, struct error *e)
{
	char shown[256];

	return error_set(e, ERROR_USAGE, "--web-seed: '%s' is not a URL of "
			 "http or https",
			 text_url(shown, sizeof(shown), url));
}

static int
lacks(const char *option, const char *url, const char *what, struct error *e)
{
	char shown[256];

	return error_set(e, ERROR_USAGE, "%s: '%s' names no %s", option,
			 text_tracker_url(shown, sizeof(shown), url), what);
}

static int
add_tracker(struct urls *u, const char *url, bool first, uint32_t tier,
	    struct error *e)
{
	const char *what;

	if (!metainfo_tracker_usable(url, strlen(url)))
		return bad_tracker(url, first, e);
	what = metainfo_url_lacks(url);
	if (what)
		return lacks("--announce", url, what, e);
	if (u->count == METAINFO_TRACKERS_MAX)
		return error_set(e, ERROR_USAGE, "more than %d trackers",
				 METAINFO_TRACKERS_MAX);
	u->trackers[u->count].url = url;
	u->trackers[u->count++].tier = tier;
	return 0;
}

static int
add_trackers(struct urls *u, const struct text_list *tiers, struct error *e)
{
	char *at = u->text;
	uint32_t tier;

	for (tier = 0; tier < tiers->count; tier++) {
		size_t size = strlen(tiers->items[tier]) + 1;
		char *rest = memcpy(at, tiers->items[tier], size);
		const char *first = rest, *url;

		at += size;
		while ((url = strsep(&rest, ",")))
			if (add_tracker(u, url, url == first, tier, e) < 0)
				return -1;
	}
	return 0;
}

static int
check_web_seeds(const struct text_list *seeds, struct error *e)
{
	size_t i;

	if (seeds->count > METAINFO_URLS_MAX)
		return error_set(e, ERROR_USAGE, "more than %d web seeds",
				 METAINFO_URLS_MAX);
	for (i = 0; i < seeds->count; i++) {
		const char *url = seeds->items[i];

		if (!source_is_url(url) ||
		    !metainfo_web_seed_usable(url, strlen(url)))
			return bad_web_seed(url, e);
		if (metainfo_url_lacks(url))
			return lacks("--web-seed", url, "host", e);
	}
	return 0;
}

/* ---- what the display asks ---- */

struct view {
	struct maker_progress *progress;
	const char *name;
};

static bool
view_stats(void *ctx, size_t from, struct stats_torrent *out)
{
	struct view *v = ctx;

	if (from > 0)
		return false;
	memset(out, 0, sizeof(*out));
	text_clean(out->name, sizeof(out->name), v->name);
	out->length = atomic_load(&v->progress->total);
	out->checked = atomic_load(&v->progress->hashed);
	out->done = out->checked;
	out->state = TORRENT_CHECKING;
	snprintf(out->reason, sizeof(out->reason), "hashing");
	out->eta = -1;
	return true;
}

static void
view_cells(void *ctx, size_t number, uint8_t *cells, size_t n)
{
	struct stats_torrent now;

	(void)number;
	view_stats(ctx, 0, &now);
	command_fill(&now, cells, n);
}

static void
interrupt(void *ctx, int signal)
{
	struct maker_progress *p = ctx;

	(void)signal;
	atomic_store(&p->stop, true);
}

static void
on_warning(void *ctx, const char *line)
{
	char text[COMMAND_LINE_MAX];

	command_line(text, sizeof(text), NULL, line);
	progress_message(ctx, text);
}

/* ---- the run ---- */

/* Hashes while a display shows it. */
static int
make(const struct options *o, const char *name, struct maker_options *m,
     struct buffer *out, struct error *e)
{
	const struct progress_config config = {
		.mode = o->quiet ? PROGRESS_NONE : command_progress_mode(),
		.out = STDERR_FILENO,
		.err = STDERR_FILENO,
		.dir = ".",
		.patience_ns = COMMAND_PATIENCE_NS,
	};
	struct maker_progress done = { 0 };
	struct view view = { &done, name };
	const struct progress_source source = {
		&view, view_stats, view_cells
	};
	struct progress *p = progress_new(&config, e);
	const struct signals signals = {
		.interrupt = interrupt, .ctx = &done, .progress = p,
	};
	int rc;

	if (!p)
		return -1;
	m->warning = o->quiet ? NULL : on_warning;
	m->ctx = p;
	signals_begin(&signals);
	progress_watch(p, &source);
	rc = maker_run(o->operands[0], m, &done, out, e);
	progress_stop(p);
	signals_end();
	progress_free(p);
	return rc;
}

/* One line of what was made, and where. */
static int
tell(const char *file, const struct buffer *data, struct error *e)
{
	struct metainfo *m = metainfo_parse(data->data, data->used, e);
	struct buffer out;
	char hex[2 * SHA256_SIZE + 1];
	char size[32];
	char clean[1024];

	if (!m)
		return -1;
	buffer_init(&out, 4096);
	hex_encode(hex, m->has_v1 ? m->hash_v1 : m->hash_v2,
		   m->has_v1 ? SHA1_SIZE : SHA256_SIZE);
	buffer_printf(&out, "%s: %s in %u piece%s, info hash %s\n",
		      text_clean(clean, sizeof(clean), file),
		      text_size(size, sizeof(size), m->content_length),
		      m->piece_count, m->piece_count == 1 ? "" : "s", hex);
	command_mention(&out);
	buffer_release(&out);
	metainfo_free(m);
	return EXIT_COMPLETE;
}

/* "/dev/stdout", "/dev/fd/1", or a link there. */
static bool
is_standard_output(const char *file)
{
	struct stat named, out;

	return stat(file, &named) == 0 && fstat(STDOUT_FILENO, &out) == 0 &&
	       named.st_dev == out.st_dev && named.st_ino == out.st_ino;
}

static int
save(const struct options *o, const char *file, const struct buffer *data,
     struct error *e)
{
	if (strcmp(file, "-") == 0)
		return command_print_whole(data);
	if (maker_save(file, data, e) < 0)
		return -1;
	/* A line in the torrent would spoil it. */
	if (o->quiet || is_standard_output(file))
		return EXIT_COMPLETE;
	return tell(file, data, e);
}

/* The exit code, or -1. */
static int
create(const struct options *o, struct urls *urls, struct buffer *data,
       struct error *e)
{
	const struct create_options *c = &o->create;
	struct maker_options m = {
		.kind = c->v1 ? CREATE_V1 : c->v2 ? CREATE_V2 : CREATE_HYBRID,
		.piece_length = (uint32_t)c->piece_length,
		.private = c->private,
		.web_seeds = c->web_seeds.items,
		.web_seed_count = c->web_seeds.count,
		.comment = c->comment,
		.source = c->source,
		.created_by = CREATED_BY,
		.creation_date = c->date ? (int64_t)time(NULL) : -1,
	};
	struct stat out;
	char *name;
	char *file = NULL;
	int rc = -1;

	if (add_trackers(urls, &c->tiers, e) < 0 ||
	    check_web_seeds(&c->web_seeds, e) < 0)
		return -1;
	m.trackers = urls->trackers;
	m.tracker_count = urls->count;
	name = maker_name(o->operands[0], e);
	if (!name)
		return -1;
	if (asprintf(&file, "%s.torrent", name) < 0) {
		file = NULL;
		rc = error_memory(e);
	} else {
		const char *output = c->output ? c->output : file;

		if (strcmp(output, "-") != 0)
			m.output = output;
		else if (fstat(STDOUT_FILENO, &out) == 0 &&
			 S_ISREG(out.st_mode))
			/* The shell has made it, and it may lie there. */
			m.open_output = &out;
		if (make(o, name, &m, data, e) == 0)
			rc = save(o, output, data, e);
	}
	free(file);
	free(name);
	return rc;
}

int
command_create(const struct options *o)
{
	struct urls urls = { 0 };
	struct buffer data;
	struct error e;
	int code = -1;

	error_clear(&e);
	buffer_init(&data, METAINFO_SIZE_MAX);
	if (urls_init(&urls, &o->create.tiers, &e) == 0)
		code = create(o, &urls, &data, &e);
	if (code < 0 && signals_caught()) {
		code = EXIT_SIGNAL + signals_caught();
	} else if (code < 0) {
		command_report(NULL, e.text);
		code = exit_for(e.kind);
	}
	urls_release(&urls);
	buffer_release(&data);
	return code;
}
