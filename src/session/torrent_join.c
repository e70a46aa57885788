/*
 * A torrent may be named more than once: by its .torrent and by links, each
 * of which may know trackers, web seeds, peers and places of the .torrent that
 * the others do not.  What comes later joins the one that is at work: a link
 * that looks for its metadata has it from a .torrent, and of all else what is
 * new is copied.
 *
 * A private torrent has the trackers of its .torrent; what others say of it
 * is left alone (BEP 27).
 *
 * Which files it downloads is settled once it is opened, and one that has
 * ended does nothing more.  Where what comes later needs that, the torrent
 * ends, if it has not yet, and another one goes on from what is on disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/text.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "meta/selection.h"
#include "session/exit.h"
#include "session/torrent_parts.h"

#define TEXTS_MAX MAGNET_LIST_MAX	/* of each kind, however many join */
#define PEER_TEXT_MAX 300

/* A source, or what one that gives way has taken over from others. */
struct torrent_joining {
	struct torrent_joining *next;
	struct torrent_source source;
	struct torrent_more more;
	bool is_file;			/* a .torrent says so */
};

/* ---- lists ---- */

/* Our copy, or NULL: it is there already, or there is no room. */
static const char *
add_text(struct torrent_texts *list, const char *text)
{
	char **more;

	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->all[i], text) == 0)
			return NULL;
	if (list->count == TEXTS_MAX)
		return NULL;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it holds pointers */
	more = realloc(list->all, (list->count + 1) * sizeof(*more));
	if (!more)
		return NULL;
	list->all = more;
	more[list->count] = strdup(text);
	return more[list->count] ? more[list->count++] : NULL;
}

static void
release_texts(struct torrent_texts *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->all[i]);
	free(list->all);
}

static void
release_more(struct torrent_more *more)
{
	release_texts(&more->trackers);
	release_texts(&more->web_seeds);
	release_texts(&more->http_seeds);
	release_texts(&more->sources);
	release_texts(&more->peers);
}

/* ---- taking ---- */

/* By what it was first named by. */
static bool
has_tracker(const struct torrent *t, const char *url)
{
	for (size_t i = 0; t->link && i < t->link->tracker_count; i++)
		if (strcmp(t->link->trackers[i], url) == 0)
			return true;
	for (uint32_t i = 0; t->meta && i < t->meta->tracker_count; i++)
		if (strcmp(t->meta->trackers[i].url, url) == 0)
			return !t->link || t->has_file || t->uses_trackers;
	return false;
}

static void
take_tracker(struct torrent *t, const char *url)
{
	if (!has_tracker(t, url))
		add_text(&t->more.trackers, url);
}

static void
take_web_seed(struct torrent *t, const char *url, bool by_piece)
{
	const char *ours = add_text(by_piece ? &t->more.http_seeds
					     : &t->more.web_seeds, url);

	if (ours)
		torrent_webseeds_more(t, ours, by_piece);
}

static void
take_source(struct torrent *t, const char *url)
{
	for (size_t i = 0; t->link && i < t->link->source_count; i++)
		if (strcmp(t->link->sources[i], url) == 0)
			return;
	add_text(&t->more.sources, url);
}

static void
take_peer(struct torrent *t, const struct magnet_peer *p)
{
	char text[PEER_TEXT_MAX];

	snprintf(text, sizeof(text), "[%s]:%u", p->host, p->port);
	if (add_text(&t->more.peers, text) && t->announced)
		torrent_ask_peer(t, p->host, p->port);
}

/* While nothing but a hash is known of it. */
static void
take_name(struct torrent *t, const struct magnet *link)
{
	if (!link->name || !t->link || t->link->name || t->meta ||
	    *t->given_name)
		return;
	text_clean(t->given_name, sizeof(t->given_name), link->name);
	torrent_set_name(t, t->given_name);
}

static void
take_link(struct torrent *t, const struct magnet *link)
{
	take_name(t, link);
	for (size_t i = 0; i < link->tracker_count; i++)
		take_tracker(t, link->trackers[i]);
	for (size_t i = 0; i < link->web_seed_count; i++)
		take_web_seed(t, link->web_seeds[i], false);
	for (size_t i = 0; i < link->source_count; i++)
		take_source(t, link->sources[i]);
	for (size_t i = 0; i < link->peer_count; i++)
		take_peer(t, &link->peers[i]);
	torrent_announce_more(t);
}

static void
take_file(struct torrent *t, const struct metainfo *m)
{
	for (uint32_t i = 0; i < m->tracker_count; i++)
		take_tracker(t, m->trackers[i].url);
	for (uint32_t i = 0; i < m->web_seed_count; i++)
		take_web_seed(t, m->web_seeds[i], false);
	for (uint32_t i = 0; i < m->http_seed_count; i++)
		take_web_seed(t, m->http_seeds[i], true);
	torrent_announce_more(t);
}

static void
take_texts(struct torrent *t, const struct torrent_more *more)
{
	char host[PEER_TEXT_MAX];
	struct magnet_peer p = {.host = host};

	for (size_t i = 0; i < more->trackers.count; i++)
		take_tracker(t, more->trackers.all[i]);
	for (size_t i = 0; i < more->web_seeds.count; i++)
		take_web_seed(t, more->web_seeds.all[i], false);
	for (size_t i = 0; i < more->http_seeds.count; i++)
		take_web_seed(t, more->http_seeds.all[i], true);
	for (size_t i = 0; i < more->sources.count; i++)
		take_source(t, more->sources.all[i]);
	for (size_t i = 0; i < more->peers.count; i++)
		if (addr_split(more->peers.all[i], host, sizeof(host),
			       &p.port))
			take_peer(t, &p);
	torrent_announce_more(t);
}

/* What any of them wants is wanted; NULL, and who names none: all files. */
static void
widen(struct magnet *ours, const struct magnet *link)
{
	struct error e;

	if (ours->select_count == 0)
		return;
	if (!link || link->select_count == 0)
		ours->select_count = 0;
	else
		(void)magnet_select(ours, link->select, link->select_count,
				    &e);
}

static bool
may_take(const struct torrent *t, const struct torrent_joining *j)
{
	if (!t->meta || !t->meta->private)
		return true;
	return j->is_file && t->link && !t->has_file;
}

/* False: it is a .torrent that the link is not of, which is another matter. */
static bool
take(struct torrent *t, struct torrent_joining *j)
{
	struct torrent_source *source = &j->source;

	if (torrent_is_link(t) && t->link && (source->link || source->meta))
		widen(t->link, source->link);
	/* They are right or wrong, whoever has them. */
	if (source->meta && t->meta)
		torrent_take_layers(t, source->meta);
	if (torrent_is_link(t) && source->meta && !t->meta) {
		if (!torrent_take_file(t, source->meta))
			return false;
		source->meta = NULL;
	} else if (may_take(t, j)) {
		if (source->link)
			take_link(t, source->link);
		else if (source->meta)
			take_file(t, source->meta);
		take_texts(t, &j->more);
	}
	t->has_file |= t->link && j->is_file;
	return true;
}

/* ---- what waits ---- */

static void
free_joining(struct torrent_joining *j)
{
	metainfo_free(j->source.meta);
	magnet_free(j->source.link);
	release_more(&j->more);
	free(j);
}

/* Behind all others. */
static void
append(struct torrent *t, struct torrent_joining *j)
{
	struct torrent_joining **end = &t->joining;

	while (*end)
		end = &(*end)->next;
	*end = j;
}

/* ---- beginning anew ---- */

/* Does it ask for files that are left out by the so= of the links before? */
static bool
wants_more(const struct torrent *t, const struct torrent_source *source)
{
	if (t->env.config->files || t->selected.count == 0 ||
	    bitfield_full(&t->selected))
		return false;
	if (source->meta)
		return true;
	return source->link &&
	       selection_link_adds(source->link, t->meta, &t->selected);
}

bool
torrent_does_for(const struct torrent *t, const struct torrent *other)
{
	struct torrent_source source = {.link = other->link};

	if (!other->link)
		source.meta = other->meta;
	return !wants_more(t, &source);
}

/* A .torrent may be all that was lacking: it knows what the torrent holds, and
 * perhaps where to get it. */
static bool
is_mended_by_file(int code)
{
	return code == EXIT_NO_PEERS || code == EXIT_INCOMPLETE ||
	       code == EXIT_TORRENT;
}

/* For a source, once the torrent ends. */
static bool
is_for_another(const struct torrent *t, const struct torrent_joining *j)
{
	if (t->code == EXIT_COMPLETE || t->code == EXIT_HOOK)
		return wants_more(t, &j->source);
	return j->source.meta && is_mended_by_file(t->code);
}

bool
torrent_begins_anew(const struct torrent *t)
{
	const struct torrent_joining *j = t->joining;

	if (torrent_phase(t) < PHASE_ENDING || t->gave_way)
		return false;
	while (j && !is_for_another(t, j))
		j = j->next;
	return j != NULL;
}

void
torrent_give_up_to(struct torrent *t, struct torrent_source *out)
{
	struct torrent_joining **at = &t->joining, *j;

	while (!is_for_another(t, *at))
		at = &(*at)->next;
	j = *at;
	*at = j->next;
	*out = j->source;
	j->source = (struct torrent_source){0};
	free_joining(j);
	/* The first link stays the first: a private torrent has its trackers,
	 * and what is saved beside the data is named by its hash. */
	if (out->link && t->link) {
		struct magnet *later = out->link;

		out->link = t->link;
		t->link = later;
	}
	t->gave_way = true;
}

/* ---- joining ---- */

/* What a job looks at stays as it is until that is over. */
void
torrent_take_joined(struct torrent *t)
{
	struct torrent_joining *j;

	while ((j = t->joining) && !worker_busy(&t->job) && !t->crowded &&
	       torrent_phase(t) < PHASE_ENDING) {
		if (!torrent_is_link(t) && wants_more(t, &j->source)) {
			/* What is about to be complete becomes so. */
			if (torrent_phase(t) != PHASE_FINISHING)
				torrent_stop(t, EXIT_COMPLETE,
					     "more is wanted of it");
			return;
		}
		t->joining = j->next;
		j->next = NULL;
		if (j->source.link || j->source.meta)
			log_write(t->env.log, LOG_DETAIL, t->name,
				  j->source.link ? "named by one more link"
				  : "named by one more .torrent");
		if (!take(t, j)) {
			j->next = t->joining;
			t->joining = j;
			return;
		}
		free_joining(j);
	}
}

void
torrent_join(struct torrent *t, const struct torrent_source *source)
{
	struct torrent_joining *j = calloc(1, sizeof(*j));

	if (!j) {
		metainfo_free(source->meta);
		magnet_free(source->link);
		return;
	}
	j->source = *source;
	j->is_file = source->meta != NULL;
	append(t, j);
	torrent_take_joined(t);
}

/* What others have told it. */
static void
hand_over_more(struct torrent *from, struct torrent *to)
{
	struct torrent_joining *j = calloc(1, sizeof(*j));

	if (!j)
		return;
	j->more = from->more;
	from->more = (struct torrent_more){0};
	append(to, j);
}

/* What its own .torrent says, if it has one. */
static void
hand_over_file(const struct torrent *from, struct torrent *to)
{
	const struct metainfo *m = from->meta;
	struct torrent_joining *j;

	if (!m || (from->link && !from->has_file && !from->uses_trackers) ||
	    !(j = calloc(1, sizeof(*j))))
		return;
	j->is_file = true;
	for (uint32_t i = 0; i < m->tracker_count; i++)
		add_text(&j->more.trackers, m->trackers[i].url);
	for (uint32_t i = 0; i < m->web_seed_count; i++)
		add_text(&j->more.web_seeds, m->web_seeds[i]);
	for (uint32_t i = 0; i < m->http_seed_count; i++)
		add_text(&j->more.http_seeds, m->http_seeds[i]);
	append(to, j);
}

/* Whom it has met, or what, counts for how the other one ends. */
static void
hand_over_luck(const struct torrent *from, struct torrent *to)
{
	atomic_fetch_add(&to->ever_admitted,
			 atomic_load(&from->ever_admitted));
	to->webseed_reached |= from->webseed_reached;
}

void
torrent_hand_over(struct torrent *from, struct torrent *to)
{
	struct torrent_source source = {.link = from->link};
	struct torrent_joining *j;

	hand_over_file(from, to);
	hand_over_luck(from, to);
	from->link = NULL;
	if (source.link)
		torrent_join(to, &source);
	hand_over_more(from, to);
	while ((j = from->joining)) {
		from->joining = j->next;
		j->next = NULL;
		append(to, j);
	}
	torrent_take_joined(to);
}

void
torrent_join_release(struct torrent *t)
{
	struct torrent_joining *j;

	while ((j = t->joining)) {
		t->joining = j->next;
		free_joining(j);
	}
	release_more(&t->more);
}
